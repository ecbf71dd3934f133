//! Sequences that chance seldom makes, each with how its last command must end.

use registry::{ConflictKind, InviteMode, InviteState, Role};

use super::{
    commands::{By, Command, Op, Place, Who},
    invites::{HOUR, PAUSE},
    inviting::{Inviting, NewInvite},
    reference::{DAY, Refusal},
};

fn by(session: u64, op: Op) -> Command {
    Command::Ask { by: By::Session(session), op, replay: None }
}

fn asked(session: u64, op: Inviting) -> Command {
    by(session, Op::Invites(op))
}

fn conflict(kind: ConflictKind) -> Option<Refusal> {
    Some(Refusal::Conflict(kind, Vec::new()))
}

type Sequence = (&'static str, Vec<Command>, Option<Refusal>);

/// What to do after the prologue, in which session n + 1 is that of person n, the invites 171 and 191 are to
/// the sixth, by the second and the third, and 211 is to the fifth.
pub fn sequences() -> Vec<Sequence> {
    let accept = |invite| asked(6, Inviting::Accept { invite });
    let repeatably = |op| Command::Ask { by: By::Session(6), op: Op::Invites(op), replay: Some(900) };
    let to_second = |first| {
        asked(2, Inviting::ToGroup { group: 22, invites: vec![(2, Role::Viewer)], partial: false, first })
    };
    let mut again_and_again = vec![Command::Advance { millis: HOUR }];
    let mut reminders = vec![Command::Advance { millis: PAUSE }];
    for number in (300..350).step_by(10) {
        again_and_again.extend([to_second(number), asked(2, Inviting::Revoke { invite: number })]);
        reminders.push(asked(1, Inviting::Resend { invite: 211, secret: number }));
        reminders.push(Command::Advance { millis: PAUSE });
    }
    // The last reminder is one too many, with the first mail.
    reminders.pop();
    let mut in_the_end = again_and_again.clone();
    again_and_again.push(to_second(400));
    in_the_end.extend([Command::Advance { millis: HOUR }, to_second(400)]);
    let once_more = NewInvite {
        address: 5,
        role: Role::Viewer,
        groups: vec![(22, Role::Editor)],
        mode: InviteMode::Ask,
        path: None,
    };
    let demote = |place, person| by(2, Op::ChangeRoles { place, changes: vec![(person, Role::Viewer)] });
    vec![
        (
            "the same person is invited to the same place five times an hour",
            again_and_again,
            Some(Refusal::Conflict(ConflictKind::InvitedTooOften, vec![0])),
        ),
        ("after an hour they are invited again", in_the_end, None),
        (
            "that a group's member is shut out is not told by inviting them",
            vec![
                by(1, Op::SetStatus { person: 4, enabled: false }),
                asked(
                    3,
                    Inviting::ToGroup {
                        group: 21,
                        invites: vec![(4, Role::Admin)],
                        partial: false,
                        first: 300,
                    },
                ),
            ],
            Some(Refusal::Conflict(ConflictKind::AlreadyMember, vec![0])),
        ),
        ("an invite is mailed five times an hour", reminders, Some(Refusal::TooMany)),
        (
            "what the inviter may give no more is not given, however often the request is repeated",
            vec![
                demote(Place::Org(11), 2),
                repeatably(Inviting::Accept { invite: 191 }),
                repeatably(Inviting::Accept { invite: 191 }),
            ],
            conflict(ConflictKind::InviteNoLongerValid),
        ),
        (
            "an invite that was void is revoked",
            vec![demote(Place::Org(11), 2), accept(191), accept(191)],
            conflict(ConflictKind::InviteClosed(InviteState::Revoked)),
        ),
        (
            "what was sent to somebody who is added meanwhile has been overtaken",
            vec![
                by(2, Op::AddMembers { place: Place::Org(11), members: vec![(Who::Id(5), Role::Viewer)] }),
                accept(171),
            ],
            conflict(ConflictKind::InviteClosed(InviteState::Revoked)),
        ),
        (
            "and the group that came along is theirs to answer, by the newer of two",
            vec![
                by(2, Op::AddMembers { place: Place::Org(11), members: vec![(Who::Id(5), Role::Viewer)] }),
                accept(192),
            ],
            None,
        ),
        (
            "of two that sleep for one group the newer wakes, and the other invite is settled",
            vec![accept(171), accept(191)],
            conflict(ConflictKind::InviteClosed(InviteState::Revoked)),
        ),
        (
            "of two that sleep for one group the older wakes if the newer's inviter is no admin any more",
            vec![demote(Place::Group(21), 2), accept(171), accept(172)],
            None,
        ),
        (
            "nothing wakes that sleeps on an invite that is past due",
            vec![
                Command::Advance { millis: 3 * DAY },
                asked(3, Inviting::Resend { invite: 191, secret: 300 }),
                Command::Advance { millis: 4 * DAY + 1 },
                accept(191),
                accept(173),
            ],
            Some(Refusal::NotFound),
        ),
        (
            "who leaves cannot come back by an invite that was there before",
            vec![
                by(2, Op::AddMembers { place: Place::Org(11), members: vec![(Who::Id(5), Role::Viewer)] }),
                by(2, Op::RemoveMembers { place: Place::Org(11), people: vec![5] }),
                accept(171),
            ],
            conflict(ConflictKind::InviteClosed(InviteState::Revoked)),
        ),
        (
            "what has expired stands in nobody's way, though no sweep has been by",
            vec![
                Command::Advance { millis: 7 * DAY + 1 },
                asked(1, Inviting::ToPlatform { address: 8, invite: 300 }),
                asked(2, Inviting::ToOrg { org: 11, invites: vec![once_more], partial: false, first: 310 }),
                asked(
                    1,
                    Inviting::ToGroup {
                        group: 22,
                        invites: vec![(4, Role::Viewer)],
                        partial: false,
                        first: 320,
                    },
                ),
            ],
            None,
        ),
        (
            "what has expired is not revoked",
            vec![
                Command::Advance { millis: 7 * DAY + 1 },
                by(2, Op::RemoveMembers { place: Place::Group(22), people: vec![3] }),
                by(1, Op::SetStatus { person: 1, enabled: false }),
                asked(5, Inviting::Accept { invite: 211 }),
            ],
            conflict(ConflictKind::InviteClosed(InviteState::Expired)),
        ),
    ]
}

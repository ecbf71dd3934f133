//! The life of invites as a model that is explored whole: every order in which two inviters, an invitee and
//! time can act on two organisation invites that offer the same group and on an invite to that group, with
//! a crash possible between any two writes. Decisions are those of `life`, as the use cases take them;
//! writes stand in the order of the use cases, and count when they are committed.

use uuid::Uuid;

use super::*;

mod explore;

/// Invites: to the organisation by the first and by the second inviter; asleep on those, to the disputed
/// group by either and to the other group by the first; and to the disputed group by the second.
const ALL: [usize; 6] = [FIRST, SECOND, 2, 3, 4, EXPLICIT];
const FIRST: usize = 0;
const SECOND: usize = 1;
const EXPLICIT: usize = 5;

const fn inviter(invite: usize) -> usize {
    [0, 1, 0, 1, 0, 1][invite]
}

/// The group that it leads to; none is the organisation itself.
const fn group(invite: usize) -> Option<usize> {
    [None, None, Some(0), Some(0), Some(1), Some(0)][invite]
}

const fn role(invite: usize) -> Role {
    [Role::Viewer, Role::Editor, Role::Viewer, Role::Admin, Role::Editor, Role::Editor][invite]
}

/// By whose invite one answers each group, and by whose one joins at once.
const fn mode(org_invite: usize) -> InviteMode {
    [InviteMode::Ask, InviteMode::Join][org_invite]
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Row {
    /// None: it was not made yet.
    state: Option<InviteState>,
    /// Its moment has come, whatever its state says.
    due: bool,
    invitee: bool,
    /// Linked to the organisation's invite of the same inviter.
    linked: bool,
    /// A membership was made by it.
    made: bool,
    /// The invitee was to be told of it by mail.
    news: bool,
}

/// What is committed.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Db {
    /// What the inviters are in the organisation and in its groups.
    inviters: [Option<Role>; 2],
    org: Option<Role>,
    groups: [Option<Role>; 2],
    rows: [Row; 6],
    /// Mails to be sent, and those that are marked as sent.
    queued: u8,
    marked: u8,
}

/// One statement of a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Write {
    Insert(usize),
    End(usize, InviteState),
    Unlink(usize),
    Wake(usize, InviteState),
    Answer(usize),
    Join(usize),
    Add(Option<usize>),
    Leave(Option<usize>),
    Inviter(usize, Option<Role>),
    Letter,
}

/// Who acts besides the two inviters and the invitee: everything at once would be too much to look at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum With {
    /// People are added by hand, leave, are demoted and removed.
    Members,
    /// The worker sends mails, and crashes.
    Mails,
}

fn now() -> Timestamp {
    Timestamp::from_millis(1_000)
}

impl Row {
    fn expires_at(&self) -> Option<Timestamp> {
        Some(Timestamp::from_millis(if self.due { 1_000 } else { 1_001 }))
    }

    fn is_pending(&self) -> bool {
        self.state == Some(InviteState::Pending)
    }

    /// As it is seen, not as it is stored.
    fn seen(&self) -> Option<InviteState> {
        self.state.map(|state| InviteState::at(state.as_str(), self.expires_at(), now()))
    }
}

impl Db {
    fn beginning() -> Self {
        let pending = |invitee, linked| Row {
            state: Some(InviteState::Pending),
            due: false,
            invitee,
            linked,
            made: false,
            news: false,
        };
        let (org, asleep) = (pending(true, false), pending(false, true));
        let explicit = Row { state: None, ..org };
        Self {
            inviters: [Some(Role::Admin); 2],
            org: None,
            groups: [None; 2],
            rows: [org, org, asleep, asleep, asleep, explicit],
            queued: 0,
            marked: 0,
        }
    }

    fn is_member(&self, place: Option<usize>) -> bool {
        place.map_or(self.org, |group| self.groups[group]).is_some()
    }

    fn pending(&self) -> impl Iterator<Item = usize> + '_ {
        ALL.into_iter().filter(|invite| self.rows[*invite].is_pending())
    }

    fn asleep_on(&self, org_invite: usize) -> impl Iterator<Item = usize> + '_ {
        ALL.into_iter().filter(move |at| self.rows[*at].linked && inviter(*at) == org_invite)
    }

    /// An invite with what sleeps on it.
    fn end(&self, invite: usize, state: InviteState) -> Vec<Write> {
        if !self.rows[invite].is_pending() {
            return Vec::new();
        }
        let mut writes = vec![Write::End(invite, state)];
        if group(invite).is_none() {
            writes.extend(self.asleep_on(invite).map(|sleeper| Write::End(sleeper, state)));
            writes.extend(self.asleep_on(invite).map(Write::Unlink));
        } else if self.rows[invite].linked {
            writes.push(Write::Unlink(invite));
        }
        writes
    }

    fn end_all(&self, invites: impl Iterator<Item = usize>, state: InviteState) -> Vec<Write> {
        let mut writes: Vec<Write> = Vec::new();
        for write in invites.flat_map(|invite| self.end(invite, state)) {
            if !writes.contains(&write) {
                writes.push(write);
            }
        }
        writes
    }

    fn accept(&self, invite: usize) -> Vec<Write> {
        let row = &self.rows[invite];
        let Some(Ok(pending)) =
            row.seen().map(|state| Pending::of(state, Some(role(invite)), row.expires_at()))
        else {
            return Vec::new();
        };
        let place = group(invite);
        let standing = Standing {
            inviter: self.inviters[inviter(invite)],
            member: self.is_member(place),
            eligible: place.is_none() || self.org.is_some(),
        };
        match pending.accept(now(), standing) {
            Err(Refusal::Closed(_)) => Vec::new(),
            Err(Refusal::Void(_)) => self.end(invite, InviteState::Revoked),
            Ok(accepted) => {
                assert_eq!(accepted.role(), role(invite));
                let mut writes = Vec::new();
                if place.is_none() {
                    let other = FIRST + SECOND - invite;
                    let due = self.rows[other].due;
                    if due {
                        writes.extend(self.end(other, InviteState::Expired));
                    }
                    writes.extend([Write::Answer(invite), Write::Join(invite)]);
                    let asleep =
                        ALL.into_iter().filter(|at| self.rows[*at].linked && !(due && inviter(*at) == other));
                    writes.extend(self.wake(Arrived::ByAnswer, &asleep.collect::<Vec<_>>()));
                    if !due && self.rows[other].is_pending() {
                        writes.push(Write::End(other, InviteState::Revoked));
                    }
                } else {
                    writes.extend([Write::Answer(invite), Write::Join(invite)]);
                }
                writes
            }
        }
    }

    /// Somebody adds the invitee to the organisation, which overtakes their invites to it.
    fn added(&self) -> Vec<Write> {
        let pending = [FIRST, SECOND].into_iter().filter(|at| self.rows[*at].is_pending());
        let (due, open): (Vec<usize>, Vec<usize>) = pending.partition(|at| self.rows[*at].due);
        let mut writes = vec![Write::Add(None)];
        writes.extend(self.end_all(due.into_iter(), InviteState::Expired));
        let asleep = open.iter().flat_map(|bed| self.asleep_on(*bed));
        writes.extend(self.wake(Arrived::ByOthers, &asleep.collect::<Vec<_>>()));
        writes.extend(open.into_iter().map(|bed| Write::End(bed, InviteState::Revoked)));
        writes
    }

    fn wake(&self, how: Arrived, asleep: &[usize]) -> Vec<Write> {
        let mut writes: Vec<Write> = self
            .pending()
            .filter(|at| self.rows[*at].invitee && self.rows[*at].due && group(*at).is_some())
            .map(|at| Write::End(at, InviteState::Expired))
            .collect();
        let id = |n: usize| Uuid::from_u128(n as u128);
        let sleepers: Vec<Sleeper> = asleep
            .iter()
            .map(|at| Sleeper {
                id: id(*at).into(),
                group: id(group(*at).unwrap()).into(),
                role: Some(role(*at)),
                inviter: id(inviter(*at)).into(),
                mode: mode(inviter(*at)),
            })
            .collect();
        let number = |id: Uuid| usize::try_from(id.as_u128()).unwrap();
        let already = |group_id: GroupId| {
            let here = number(group_id.uuid());
            let invited =
                |at: &usize| group(*at) == Some(here) && self.rows[*at].invitee && !self.rows[*at].due;
            Already { member: self.groups[here].is_some(), invited: self.pending().any(|at| invited(&at)) }
        };
        let fates = super::wake(how, &sleepers, already, |who, _| self.inviters[number(who.uuid())]);
        for (invite, fate) in &fates {
            let at = number(invite.uuid());
            writes.push(match fate {
                Fate::Wakes => Write::Wake(at, InviteState::Pending),
                Fate::Joins(_) => Write::Wake(at, InviteState::Accepted),
                Fate::Revoked => Write::End(at, InviteState::Revoked),
            });
            writes.push(Write::Unlink(at));
            match fate {
                Fate::Wakes => writes.push(Write::Letter),
                Fate::Joins(_) => writes.push(Write::Join(at)),
                Fate::Revoked => {}
            }
        }
        writes
    }

    /// What everybody may ask for now, as the writes that it takes.
    fn use_cases(&self, with: With) -> Vec<Vec<Write>> {
        let mut all = Vec::new();
        for invite in self.pending() {
            if self.rows[invite].invitee {
                all.push(self.accept(invite));
                let seen = self.rows[invite].seen().unwrap();
                all.extend(decline(seen).map(|state| self.end(invite, state)));
            }
            if self.rows[invite].seen() == Some(InviteState::Pending) {
                all.push(self.end(invite, InviteState::Revoked));
            }
        }
        let due = self.pending().filter(|at| self.rows[*at].due && !self.rows[*at].linked);
        all.push(self.end_all(due, InviteState::Expired));
        let to_the_group = |at: &usize| group(*at) == Some(0) && self.rows[*at].invitee;
        let clash = self.pending().any(|at| to_the_group(&at) && !self.rows[at].due);
        if self.rows[EXPLICIT].state.is_none()
            && may_grant(self.inviters[inviter(EXPLICIT)], role(EXPLICIT))
            && self.org.is_some()
            && !self.is_member(Some(0))
            && !clash
        {
            let mut writes = self.end_all(self.pending().filter(to_the_group), InviteState::Expired);
            writes.extend([Write::Insert(EXPLICIT), Write::Letter]);
            all.push(writes);
        }
        if with == With::Members {
            self.members_move(&mut all);
        }
        all.retain(|writes| !writes.is_empty());
        all
    }

    /// People are added by hand, leave, are demoted and removed.
    fn members_move(&self, all: &mut Vec<Vec<Write>>) {
        if self.org.is_none() {
            all.push(self.added());
        } else if !self.is_member(Some(0)) {
            all.push(vec![Write::Add(Some(0))]);
        }
        if self.org.is_some() {
            let mut writes: Vec<Write> =
                [Some(0), Some(1)].into_iter().filter(|at| self.is_member(*at)).map(Write::Leave).collect();
            writes.insert(0, Write::Leave(None));
            let theirs = self.pending().filter(|at| self.rows[*at].invitee);
            writes.extend(self.end_all(theirs, InviteState::Revoked));
            all.push(writes);
        }
        for who in [0, 1] {
            if self.inviters[who] == Some(Role::Admin) {
                all.push(vec![Write::Inviter(who, Some(Role::Editor))]);
            }
            if self.inviters[who].is_some() {
                let mut writes = vec![Write::Inviter(who, None)];
                let theirs = self.pending().filter(|at| inviter(*at) == who);
                writes.extend(self.end_all(theirs, InviteState::Revoked));
                all.push(writes);
            }
        }
    }

    fn apply(&mut self, write: Write) {
        match write {
            Write::Insert(at) => self.rows[at].state = Some(InviteState::Pending),
            Write::End(at, state) if self.rows[at].is_pending() => self.rows[at].state = Some(state),
            Write::Wake(at, state) if self.rows[at].is_pending() => {
                self.rows[at].state = Some(state);
                (self.rows[at].invitee, self.rows[at].due) = (true, false);
                self.rows[at].news = state == InviteState::Pending;
            }
            Write::Answer(at) if self.rows[at].is_pending() => {
                self.rows[at].state = Some(InviteState::Accepted);
            }
            // Guarded: somebody else was quicker.
            Write::End(..) | Write::Wake(..) | Write::Answer(_) => {}
            Write::Unlink(at) => self.rows[at].linked = false,
            Write::Join(at) => {
                self.rows[at].made = true;
                *self.place(group(at)) = Some(role(at));
            }
            Write::Add(place) => *self.place(place) = Some(Role::Viewer),
            Write::Leave(place) => *self.place(place) = None,
            Write::Inviter(who, role) => self.inviters[who] = role,
            Write::Letter => self.queued += 1,
        }
    }

    fn place(&mut self, place: Option<usize>) -> &mut Option<Role> {
        match place {
            None => &mut self.org,
            Some(group) => &mut self.groups[group],
        }
    }

    /// V4 to V8, of what is committed.
    fn broken(&self) -> Option<&'static str> {
        let to_the_group = |at: &usize| group(*at) == Some(0) && self.rows[*at].invitee;
        if self.pending().filter(to_the_group).count() > 1 {
            return Some("V4: two pending invites of one person to one group");
        }
        for at in ALL {
            let row = &self.rows[at];
            if (row.state == Some(InviteState::Accepted)) != row.made {
                return Some("V5: accepted, and no membership; or the reverse");
            }
            if row.linked != (row.is_pending() && !row.invitee) {
                return Some("V7: a link of an invite that does not sleep, or none of one that does");
            }
            if row.linked && !self.rows[inviter(at)].is_pending() {
                return Some("V7: it sleeps on an invite that has ended");
            }
        }
        if self.org.is_none() && self.groups.iter().any(Option::is_some) {
            return Some("V8: in a group, and not in its organisation");
        }
        let news = self.rows.iter().filter(|row| row.news).count()
            + usize::from(self.rows[EXPLICIT].state.is_some());
        if usize::from(self.queued + self.marked) != news {
            return Some("a mail was lost, or made up");
        }
        None
    }

    /// What no commit may do.
    fn broken_by(&self, after: &Self) -> Option<&'static str> {
        let accepted = |db: &Self, at: usize| db.rows[at].state == Some(InviteState::Accepted);
        let said_yes = [FIRST, SECOND].into_iter().any(|at| accepted(after, at) && !accepted(self, at));
        for at in ALL {
            let (before, after) = (self.rows[at].state, after.rows[at].state);
            if before.is_some_and(|state| state != InviteState::Pending) && before != after {
                return Some("a terminal state was left");
            }
            let strong = |own: Role| own >= Role::Admin && own >= role(at) && role(at) != Role::Owner;
            let accepted = before != after && after == Some(InviteState::Accepted);
            if accepted && !self.inviters[inviter(at)].is_some_and(strong) {
                return Some("V6: a role was given by somebody who may not give it");
            }
            if accepted && !self.rows[at].invitee && !said_yes {
                return Some("somebody was added and taken to have agreed to a group");
            }
        }
        let places =
            [(self.org, after.org), (self.groups[0], after.groups[0]), (self.groups[1], after.groups[1])];
        if places.iter().any(|(before, after)| before.is_some() && after.is_some() && before != after) {
            return Some("a role was changed");
        }
        None
    }
}

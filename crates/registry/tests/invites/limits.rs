//! How many invites there may be, and many in one request.

use std::time::Duration;

use registry::{
    ConflictKind, Error, Expect, GroupId, InviteMode, Invited, NewGroupInvite, NewOrgInvite, Role,
    text::RedirectPath,
};

use crate::support::{
    engines,
    invites::{HOUR, audit, nobody, scene, scene_with, sleeper, to_group, to_org},
    log_ins::email,
    orgs::told,
};

fn many(numbers: std::ops::Range<usize>) -> Vec<NewOrgInvite> {
    numbers.map(|n| to_org(&email(&format!("guest{n}")), &[], InviteMode::Ask)).collect()
}

fn waits<T: std::fmt::Debug>(outcome: Result<T, Error>) -> Duration {
    match outcome {
        Err(Error::TooMany { retry_after }) => retry_after,
        other => panic!("{other:?}"),
    }
}

/// I13.
#[tokio::test]
async fn one_person_invites_so_many_in_an_hour() {
    for engine in engines() {
        let s = scene_with(engine, |settings| settings.invites.per_hour = 10).await;
        let ask = async |new: &[NewOrgInvite]| s.create_org_invites(&s.adam.call(), s.org, new, false).await;
        ask(&many(0..6)).await.unwrap();
        s.clock.advance(HOUR / 2);
        let (rows, entries) = (s.rows().await, s.entries().await);
        assert_eq!(waits(ask(&many(6..11)).await), HOUR / 2, "until the first of them is an hour old");
        assert_eq!((s.rows().await, s.entries().await), (rows, entries));
        ask(&many(6..9)).await.unwrap();
        // Wherever to: groups count as well, and what sleeps does not.
        s.invite_to(&s.adam, s.red, &s.max, Role::Viewer).await.unwrap();
        waits(s.invite_to(&s.adam, s.blue, &s.max, Role::Viewer).await);
        waits(ask(&many(9..10)).await);
        s.ask(&s.alma, &s.gus, &[s.red, s.green, s.blue]).await;
        let more = s.create_org_invites(&s.alma.call(), s.org, &many(10..19), false).await.unwrap();
        assert_eq!(more.len(), 9);
        s.clock.advance(HOUR / 2);
        ask(&many(20..26)).await.unwrap();
        audit(&s).await;
    }
}

/// An organisation's invite is one, however many groups come along, asleep, awake, or joined at once.
#[tokio::test]
async fn the_groups_that_come_along_count_with_their_invite() {
    for engine in engines() {
        let s = scene_with(engine, |settings| settings.invites.per_hour = 6).await;
        let groups = [(s.red, Role::Viewer), (s.green, Role::Viewer), (s.blue, Role::Viewer)];
        let mut asked = None;
        for (n, mode) in
            [InviteMode::Ask, InviteMode::Join, InviteMode::Ask, InviteMode::Ask].iter().enumerate()
        {
            let guest = s.person(&format!("guest{n}")).await;
            let invite = s.invite(&s.adam, to_org(&guest.email, &groups, *mode)).await.unwrap();
            match n {
                0 | 1 => drop(s.accept_invite(&guest.call(), invite.id).await.unwrap()),
                2 => s.join(s.org, &guest, Role::Viewer).await,
                _ => s.decline_invite(&guest.call(), invite.id).await.unwrap(),
            }
            asked = asked.or(Some((guest, invite)));
        }
        let (guest, invite) = asked.unwrap();
        s.decline_invite(&guest.call(), sleeper(&invite, s.red)).await.unwrap();
        // Four so far. One to a group by itself is one; sending one again that came along is one, too.
        s.invite_to(&s.adam, s.red, &guest, Role::Viewer).await.unwrap();
        s.clock.advance(Duration::from_secs(60));
        s.resend_invite(&s.adam.call(), sleeper(&invite, s.green)).await.unwrap();
        waits(s.create_org_invites(&s.adam.call(), s.org, &many(9..10), false).await);
        audit(&s).await;
    }
}

/// I13.
#[tokio::test]
async fn a_place_has_so_many_pending() {
    for engine in engines() {
        let s = scene_with(engine, |settings| settings.invites.pending = 3).await;
        let ask = async |new: &[NewOrgInvite]| s.create_org_invites(&s.adam.call(), s.org, new, false).await;
        waits(ask(&many(0..4)).await);
        ask(&many(0..2)).await.unwrap();
        let third = s.ask(&s.alma, &s.gus, &[s.red]).await;
        for by in [&s.adam, &s.owner, &s.root] {
            waits(s.create_org_invites(&by.call(), s.org, &many(3..4), false).await);
        }
        let people = [s.person("zoe").await, s.person("yan").await];
        for person in &people {
            s.join(s.org, person, Role::Viewer).await;
            // What sleeps in the group is not counted there.
            s.invite_to(&s.adam, s.red, person, Role::Viewer).await.unwrap();
        }
        s.invite_to(&s.adam, s.red, &s.max, Role::Viewer).await.unwrap();
        s.accept_invite(&s.gus.call(), third.id).await.unwrap();
        let vera = s.person("vera").await;
        s.join(s.org, &vera, Role::Viewer).await;
        waits(s.invite_to(&s.alma, s.red, &vera, Role::Viewer).await);
        s.decline_invite(&s.gus.call(), sleeper(&third, s.red)).await.unwrap();
        waits(s.invite_to(&s.alma, s.red, &vera, Role::Viewer).await);
        ask(&many(3..4)).await.unwrap();
        // Past due is not pending.
        s.clock.advance(crate::support::invites::LIFE);
        s.invite_to(&s.alma, s.red, &vera, Role::Viewer).await.unwrap();
        ask(&many(4..7)).await.unwrap();
        audit(&s).await;
    }
}

/// I13: one address is not mailed without end, by inviting, taking back and inviting again.
#[tokio::test]
async fn one_address_is_invited_so_often_to_one_place() {
    for engine in engines() {
        let s = scene(engine).await;
        for n in 0..5 {
            let by = [&s.adam, &s.alma][n % 2];
            let invite = s.ask(by, &s.gus, &[]).await.id;
            s.revoke_invite(&by.call(), invite).await.unwrap();
            let invite = s.invite_to(by, s.red, &s.max, Role::Viewer).await.unwrap().id;
            s.decline_invite(&s.max.call(), invite).await.unwrap();
        }
        let outcome = told(s.invite(&s.owner, to_org(&s.gus.email, &[], InviteMode::Ask)).await);
        assert_eq!(outcome, "InvitedTooOften [0]");
        assert_eq!(told(s.invite_to(&s.owner, s.red, &s.max, Role::Viewer).await), "InvitedTooOften [0]");
        // Elsewhere, and somebody else, is another matter.
        s.invite_to(&s.owner, s.blue, &s.max, Role::Viewer).await.unwrap();
        s.invite(&s.owner, to_org(&nobody(), &[], InviteMode::Ask)).await.unwrap();
        s.clock.advance(HOUR);
        s.ask(&s.owner, &s.gus, &[]).await;
        s.invite_to(&s.owner, s.red, &s.max, Role::Viewer).await.unwrap();
        audit(&s).await;
    }
}

/// I13: many places together do not flood one address either, by making invites or sending them again.
#[tokio::test]
async fn one_address_is_mailed_so_often_by_all_places() {
    for engine in engines() {
        let s = scene_with(engine, |settings| settings.invites.per_address = 6).await;
        let call = s.stranger.call();
        let places = [s.org(&s.stranger).await, s.org(&s.stranger).await, s.org(&s.stranger).await];
        for to in [&s.max.email, &nobody()] {
            let new = [to_org(to, &[], InviteMode::Ask)];
            for place in places {
                let invite = s.create_org_invites(&call, place, &new, false).await.unwrap();
                s.revoke_invite(&call, crate::support::invites::made(invite).id).await.unwrap();
            }
        }
        s.create_platform_invite(&s.root.call(), &nobody(), None).await.unwrap();
        let green = s.invite_to(&s.adam, s.green, &s.max, Role::Viewer).await.unwrap().id;
        s.clock.advance(Duration::from_secs(60));
        s.resend_invite(&s.adam.call(), green).await.unwrap();
        let (new, far) = (to_org(&nobody(), &[], InviteMode::Ask), s.elsewhere);
        s.create_org_invites(&call, far, std::slice::from_ref(&new), false).await.unwrap();
        // Groups that came along were no mail, and waking is one's own doing.
        let gus = s.ask(&s.adam, &s.gus, &[s.red, s.green, s.blue]).await;
        s.accept_invite(&s.gus.call(), gus.id).await.unwrap();
        s.clock.advance(Duration::from_secs(60));
        let blue = s.invite_to(&s.adam, s.blue, &s.max, Role::Viewer).await.unwrap().id;
        let near = s.invite(&s.adam, new.clone()).await.unwrap().id;
        // Six each: of whatever kind the next would be, by whomever, and whatever became of those before.
        s.clock.advance(Duration::from_secs(60));
        let often = "InvitedTooOften [0]";
        assert_eq!(told(s.create_org_invites(&call, places[0], &[new], false).await), often);
        // Who has an account is invited all the same, but not by mail: nobody shuts others' invites out.
        let mails = async || s.opened.database.number("SELECT count(*) FROM mails").await;
        let before = mails().await;
        let red = s.invite_to(&s.alma, s.red, &s.max, Role::Viewer).await.unwrap().id;
        let to_max = [to_org(&s.max.email, &[], InviteMode::Ask)];
        let far_off = s.create_org_invites(&call, places[0], &to_max, false).await.unwrap();
        assert_eq!(mails().await, before);
        for id in [red, crate::support::invites::made(far_off).id] {
            s.decline_invite(&s.max.call(), id).await.unwrap();
        }
        for invite in [green, blue, near] {
            assert_eq!(told(s.resend_invite(&s.adam.call(), invite).await), "InvitedTooOften []");
        }
        let groups = [to_org(&s.gus.email, &[], InviteMode::Ask)];
        s.create_org_invites(&call, far, &groups, false).await.unwrap();
        s.clock.advance(HOUR);
        s.invite_to(&s.alma, s.red, &s.max, Role::Viewer).await.unwrap();
        s.resend_invite(&s.adam.call(), near).await.unwrap();
        audit(&s).await;
    }
}

/// I13: whoever deletes the place that was invited to is still known to have invited, and so is the address.
#[tokio::test]
async fn deleting_a_place_forgets_nothing() {
    for engine in engines() {
        let s = scene_with(engine, |settings| {
            settings.invites.per_address = 6;
            settings.invites.per_hour = 8;
        })
        .await;
        let call = s.stranger.call();
        let invite = async |to: &registry::text::Email| {
            let org = s.org(&s.stranger).await;
            let new = [to_org(to, &[], InviteMode::Ask)];
            let outcome = s.create_org_invites(&call, org, &new, false).await;
            s.delete_org(&call, org, &Expect::any()).await.unwrap();
            outcome
        };
        for _ in 0..6 {
            invite(&nobody()).await.unwrap();
        }
        assert_eq!(told(invite(&nobody()).await), "InvitedTooOften [0]");
        for n in 0..2 {
            invite(&email(&format!("guest{n}"))).await.unwrap();
        }
        assert_eq!(waits(invite(&email("guest2")).await), HOUR);
        s.clock.advance(HOUR);
        invite(&nobody()).await.unwrap();
        let rows = async || s.opened.database.number("SELECT count(*) FROM invite_mails").await;
        assert!(rows().await > 1);
        s.sweep().await.unwrap();
        assert_eq!(rows().await, 1, "for an hour, not longer");
        audit(&s).await;
    }
}

#[tokio::test]
async fn all_or_none_unless_some_are_asked_for() {
    for engine in engines() {
        let s = scene(engine).await;
        let zoe = s.person("zoe").await;
        s.ask(&s.adam, &zoe, &[]).await;
        let new = [
            to_org(&s.gus.email, &[(s.red, Role::Viewer)], InviteMode::Ask),
            to_org(&s.max.email, &[], InviteMode::Ask),
            to_org(&zoe.email, &[], InviteMode::Ask),
            to_org(&nobody(), &[], InviteMode::Ask),
            to_org(&s.alma.email, &[], InviteMode::Ask),
        ];
        let call = s.adam.call();
        let before = (s.rows().await, s.entries().await);
        let outcome = s.create_org_invites(&call, s.org, &new, false).await;
        assert_eq!(told(outcome), "AlreadyMember [1, 4]");
        assert_eq!((s.rows().await, s.entries().await), before);
        let invited = s.create_org_invites(&call, s.org, &new, true).await.unwrap();
        let short = |invited: &[Invited]| -> Vec<String> {
            let one = |invited: &Invited| match invited {
                Invited::Made(invite) => invite.invitee_email.as_ref().unwrap().as_str().to_owned(),
                Invited::Clash(kind) => format!("{kind:?}"),
                Invited::Invalid { field, .. } => field.clone(),
            };
            invited.iter().map(one).collect()
        };
        assert_eq!(
            short(&invited),
            ["gus@example.com", "AlreadyMember", "AlreadyInvited", "nora@example.com", "AlreadyMember"]
        );
        // The same twice, and what is wrong with a field, come before what clashes.
        let new = [
            to_org(&email("a"), &[], InviteMode::Ask),
            to_org(&s.max.email, &[], InviteMode::Ask),
            to_org(&email("a"), &[], InviteMode::Ask),
        ];
        let outcome = s.create_org_invites(&call, s.org, &new, false).await;
        assert_eq!(told(outcome), "[2].email: is the same as in item 0");
        let invited = s.create_org_invites(&call, s.org, &new, true).await.unwrap();
        assert_eq!(short(&invited), ["a@example.com", "AlreadyMember", "email"]);

        let group: Vec<NewGroupInvite> =
            [&s.max.email, &s.gus.email, &s.alma.email].map(|who| to_group(who, Role::Editor)).into();
        let before = s.rows().await;
        let outcome = s.create_group_invites(&call, s.red, &group, false).await;
        assert_eq!(told(outcome), "NotInOrg [1]");
        assert_eq!(s.rows().await, before);
        let invited = s.create_group_invites(&call, s.red, &group, true).await.unwrap();
        assert_eq!(short(&invited), ["max@example.com", "NotInOrg", "AlreadyMember"]);
        let invited = s.create_group_invites(&call, s.red, &group, true).await.unwrap();
        assert_eq!(invited[0], Invited::Clash(ConflictKind::AlreadyInvited));
        audit(&s).await;
    }
}

#[tokio::test]
async fn a_thousand_at_once() {
    for engine in engines() {
        let s = scene(engine).await;
        let groups = [(s.red, Role::Viewer)];
        let mut new: Vec<NewOrgInvite> = many(0..1000);
        for new in &mut new {
            new.groups = groups.to_vec();
        }
        let call = s.adam.call();
        let more = [new.clone(), many(1000..1001)].concat();
        assert!(matches!(s.create_org_invites(&call, s.org, &more, false).await, Err(Error::Invalid(_))));
        assert!(matches!(s.create_org_invites(&call, s.org, &[], false).await, Err(Error::Invalid(_))));
        assert!(matches!(s.create_group_invites(&call, s.red, &[], false).await, Err(Error::Invalid(_))));
        let mut too_many: Vec<NewOrgInvite> = many(0..1);
        too_many[0].groups =
            (1..=101).map(|n| (GroupId::from(uuid::Uuid::from_u128(n)), Role::Viewer)).collect();
        let outcome = told(s.create_org_invites(&call, s.org, &too_many, false).await);
        assert_eq!(outcome, "[0].group_invites: must name at most 100 groups");
        let invited = s.create_org_invites(&call, s.org, &new, false).await.unwrap();
        assert_eq!(invited.len(), 1000);
        for (new, invited) in new.iter().zip(&invited) {
            let Invited::Made(invite) = invited else { panic!() };
            assert_eq!((invite.invitee_email.as_ref(), invite.group_invites.len()), (Some(&new.email), 1));
        }
        assert_eq!(s.rows().await, 4000);
        s.remove_org_members(&s.owner.call(), s.org, &[s.adam.id]).await.unwrap();
        let left = "SELECT count(*) FROM invites WHERE state = 'pending'";
        assert_eq!(s.opened.database.number(left).await, 0);
        audit(&s).await;
    }
}

/// I13: where a link goes on to is a path on the same host.
#[tokio::test]
async fn a_path_leads_nowhere_else() {
    for engine in engines() {
        let s = scene(engine).await;
        for bad in [
            "",
            "x",
            "//evil.example",
            "/\\evil",
            "https://evil.example",
            "/a?b",
            "/a#b",
            "/a%2f",
            "/a.b",
            "/a b",
            "/é",
            "/a\r\nb",
        ] {
            assert!(RedirectPath::try_from(bad).is_err(), "{bad:?}");
        }
        assert!(RedirectPath::try_from(format!("/{}", "x".repeat(129)).as_str()).is_err());
        let path = RedirectPath::try_from("/groups/red_1-x").unwrap();
        let mut new = to_org(&s.gus.email, &[], InviteMode::Ask);
        new.redirect_path = Some(path.clone());
        let invite = s.invite(&s.adam, new).await.unwrap();
        assert_eq!(invite.redirect_path.as_ref(), Some(&path));
        assert_eq!(s.view_invite(&s.gus.call(), invite.id).await.unwrap().redirect_path, Some(path));
        // What somebody wrote into the table behind our back is looked at again.
        let id = s.opened.database.literal(invite.id.uuid());
        s.opened
            .database
            .execute(format!("UPDATE org_invites SET redirect_path = '//evil.example' WHERE id = {id}"))
            .await;
        assert_eq!(s.view_invite(&s.gus.call(), invite.id).await.unwrap().redirect_path, None);
        audit(&s).await;
    }
}

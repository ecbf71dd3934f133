//! Somebody is added to an organisation by hand while invites to it wait for them.

use registry::{InviteMode, InviteState, MemberRef, NewMember, Role, RoleChange, mail::Letter, text::Email};

use crate::support::{
    engines,
    invites::{LIFE, Scene, audit, nobody, only, scene, scene_with, sleeper, to_org},
    log_ins::{anonymous, json, password},
    orgs::told,
    people::{PASSWORD, Person, log_in},
};

/// Adds them to the organisation as its owner.
async fn add(s: &Scene, who: &[&Person], role: Role) {
    let new: Vec<_> = who.iter().map(|person| NewMember { who: MemberRef::Id(person.id), role }).collect();
    s.add_org_members(&s.owner.call(), s.org, &new).await.unwrap();
}

/// How many mails about invites there are, sent or waiting.
async fn mails(s: &Scene) -> i64 {
    s.opened.database.number("SELECT count(*) FROM mails WHERE kind = 'invite'").await
}

#[tokio::test]
async fn their_invites_end_and_the_groups_are_theirs_to_answer() {
    for mode in [InviteMode::Ask, InviteMode::Join] {
        for engine in engines() {
            let s = scene(engine).await;
            let groups = [(s.red, Role::Editor), (s.green, Role::Viewer)];
            let invite = s.invite(&s.adam, to_org(&s.gus.email, &groups, mode)).await.unwrap();
            s.clock.advance(LIFE / 2);
            let before = (s.entries().await, mails(&s).await);
            add(&s, &[&s.gus], Role::Editor).await;
            assert_eq!(s.role_in_org(&s.gus).await, Some(Role::Editor), "as added, not as invited");
            // The membership, the invite, two groups; of the invite's own mail nothing is left, and one mail
            // tells of all groups.
            assert_eq!((s.entries().await, mails(&s).await), (before.0 + 4, before.1 - 1));
            let mails = s.claim_mails(1000).await.unwrap();
            let letters: Vec<_> =
                mails.iter().filter(|mail| mail.to == s.gus.email).map(|mail| &mail.letter).collect();
            assert!(matches!(letters.as_slice(), [Letter::MemberAdded { waiting: 2, .. }]), "{letters:?}");
            assert_eq!(s.story(invite.id).await, ["invite.created", "invite.revoked"]);
            let last = s.trail(invite.id).await.pop().unwrap();
            assert_eq!((last.actor_id, last.via.as_str()), (Some(s.owner.id.uuid()), "membership"));
            for (group, role) in groups {
                let id = sleeper(&invite, group);
                assert_eq!(s.role_in(group, &s.gus).await, None, "they have agreed to nothing");
                let woken = s.view_invite(&s.gus.call(), id).await.unwrap();
                assert_eq!((woken.state, woken.invitee_role), (InviteState::Pending, Some(role)));
                assert_eq!((woken.invitee_id, woken.dormant), (Some(s.gus.id), false));
                assert_eq!(woken.expires_at, Some(s.clock.now().after(LIFE)), "its clock starts now");
                assert_eq!(s.story(id).await, ["invite.created", "invite.woken"]);
            }
            assert_eq!(told(s.accept_invite(&s.gus.call(), invite.id).await), "InviteClosed(Revoked) []");
            s.accept_invite(&s.gus.call(), sleeper(&invite, s.red)).await.unwrap();
            s.decline_invite(&s.gus.call(), sleeper(&invite, s.green)).await.unwrap();
            assert_eq!(s.role_in(s.red, &s.gus).await, Some(Role::Editor));
            audit(&s).await;
        }
    }
}

/// The same rules as when they accept: what they have wins, then the newest whose inviter still qualifies,
/// and time has ended what is past due.
#[tokio::test]
async fn what_slept_wakes_by_the_rules_of_an_acceptance() {
    for engine in engines() {
        let s = scene(engine).await;
        let explicit = s.invite_to(&s.alma, s.green, &s.max, Role::Editor).await.unwrap();
        s.vanish_from_org(s.max.id).await;
        let old = s.ask(&s.owner, &s.max, &[s.red, s.blue]).await;
        s.clock.advance(LIFE / 2);
        s.resend_invite(&s.alma.call(), explicit.id).await.unwrap();
        let first = s.ask(&s.adam, &s.max, &[s.red, s.green, s.blue]).await;
        let second = s.ask(&s.alma, &s.max, &[s.red, s.blue]).await;
        let fallen = [RoleChange { member_id: s.alma.id, role: Role::Editor }];
        s.update_group_members(&s.owner.call(), s.blue, &fallen).await.unwrap();
        s.clock.advance(LIFE / 2);
        add(&s, &[&s.max], Role::Viewer).await;
        for id in [old.id, sleeper(&old, s.red), sleeper(&old, s.blue)] {
            assert_eq!(s.stored(id).await, "expired");
        }
        for id in [first.id, second.id] {
            assert_eq!(s.stored(id).await, "revoked");
        }
        let pending = s.received(&s.max, only(InviteState::Pending)).await;
        let mut woken: Vec<_> = pending.iter().map(|invite| invite.id).collect();
        woken.sort_unstable();
        assert_eq!(woken, [explicit.id, sleeper(&first, s.blue), sleeper(&second, s.red)]);
        audit(&s).await;
    }
}

#[tokio::test]
async fn many_at_once_each_for_themselves() {
    for engine in engines() {
        let s = scene(engine).await;
        let [yan, zoe] = [s.person("yan").await, s.person("zoe").await];
        let to_gus = s.ask(&s.adam, &s.gus, &[s.red]).await;
        let to_zoe = s.ask(&s.alma, &zoe, &[s.red, s.blue]).await;
        let elsewhere = [to_org(&s.gus.email, &[], InviteMode::Ask)];
        let elsewhere = s.create_org_invites(&s.stranger.call(), s.elsewhere, &elsewhere, false).await;
        let elsewhere = crate::support::invites::made(elsewhere.unwrap()).id;
        add(&s, &[&zoe, &yan, &s.gus], Role::Viewer).await;
        for (id, state) in [(to_gus.id, "revoked"), (to_zoe.id, "revoked"), (elsewhere, "pending")] {
            assert_eq!(s.stored(id).await, state);
        }
        s.accept_invite(&s.gus.call(), sleeper(&to_gus, s.red)).await.unwrap();
        s.accept_invite(&zoe.call(), sleeper(&to_zoe, s.blue)).await.unwrap();
        assert_eq!(told(s.view_invite(&yan.call(), sleeper(&to_zoe, s.red)).await), "NotFound");
        audit(&s).await;
    }
}

/// An invite that sleeps for an address is theirs whose the address is: an account that an administrator made
/// meanwhile, but none that anybody could have made.
#[tokio::test]
async fn what_sleeps_for_an_address_is_settled_if_it_is_known_to_be_theirs() {
    for proved in [true, false] {
        for engine in engines() {
            let s = scene_with(engine, |settings| settings.open_registration = true).await;
            let new = to_org(&nobody(), &[(s.red, Role::Viewer)], InviteMode::Join);
            let (invite, secret) = s.send(&s.adam, new).await;
            let nora = if proved { s.person("nora").await } else { on_their_own(&s, &nobody()).await };
            add(&s, &[&nora], Role::Viewer).await;
            let asleep = sleeper(&invite, s.red);
            if proved {
                assert_eq!(s.story(invite.id).await, ["invite.created", "invite.revoked"]);
                assert_eq!(told(s.view_invite_by_secret(&secret).await.map(drop)), "NotFound");
                assert_eq!(s.role_in(s.red, &nora).await, None);
                s.accept_invite(&nora.call(), asleep).await.unwrap();
            } else {
                assert_eq!([s.stored(invite.id).await, s.stored(asleep).await], ["pending", "pending"]);
                assert_eq!(told(s.view_invite(&nora.call(), asleep).await), "NotFound");
                s.view_invite_by_secret(&secret).await.unwrap();
                // Once it is known to be theirs, nothing is left to accept but the groups.
                let joined = s.claim_invite(&nora.call(), &secret).await.unwrap();
                assert_eq!(joined.invites, [asleep]);
                assert_eq!(s.story(invite.id).await, ["invite.created", "invite.woken", "invite.revoked"]);
                assert_eq!(s.role_in(s.red, &nora).await, None);
                s.accept_invite(&nora.call(), asleep).await.unwrap();
                assert_eq!(s.role_in(s.red, &nora).await, Some(Role::Viewer));
            }
            audit(&s).await;
        }
    }
}

async fn on_their_own(s: &Scene, who: &Email) -> Person {
    s.register_user(&anonymous(), who, &password(PASSWORD), &json("{}")).await.unwrap();
    log_in(s, who.clone()).await
}

//! Taking an invite back, and sending it again.

use std::time::Duration;

use registry::{Error, InviteMode, InviteState, MemberRef, NewMember, Role};

use crate::support::{
    engines,
    invites::{HOUR, LIFE, audit, kind, nobody, scene, sleeper, to_org},
    log_ins::json,
    orgs::told,
    people::first,
};

const MINUTE: Duration = Duration::from_secs(60);

fn waits<T: std::fmt::Debug>(outcome: Result<T, Error>) -> Duration {
    match outcome {
        Err(Error::TooMany { retry_after }) => retry_after,
        other => panic!("{other:?}"),
    }
}

/// I12: the inviter is not needed for it.
#[tokio::test]
async fn any_admin_of_the_place_takes_an_invite_back() {
    for engine in engines() {
        let s = scene(engine).await;
        let edith = s.person("edith").await;
        s.join(s.org, &edith, Role::Editor).await;
        s.admit(s.red, &[(&edith, Role::Editor)]).await;
        for by in [&s.adam, &s.alma, &s.owner, &s.root] {
            let to_group = s.invite_to(&s.adam, s.red, &s.max, Role::Viewer).await.unwrap().id;
            let to_org = s.ask(&s.adam, &s.gus, &[s.red]).await;
            assert_eq!(told(s.revoke_invite(&edith.call(), to_group).await), "NotFound");
            assert_eq!(told(s.revoke_invite(&edith.call(), to_org.id).await), "NotFound");
            // They see it, and decline it instead.
            assert_eq!(told(s.revoke_invite(&s.max.call(), to_group).await), "Role");
            assert_eq!(told(s.resend_invite(&s.gus.call(), to_org.id).await), "Role");
            for (id, guest) in [(to_group, &s.max), (to_org.id, &s.gus)] {
                s.revoke_invite(&by.call(), id).await.unwrap();
                assert_eq!(s.state(id).await, InviteState::Revoked);
                assert_eq!(told(s.accept_invite(&guest.call(), id).await), "InviteClosed(Revoked) []");
                let last = s.trail(id).await.pop().unwrap();
                assert_eq!((last.action.as_str(), last.actor_id), ("invite.revoked", Some(by.id.uuid())));
            }
            let asleep = sleeper(&to_org, s.red);
            assert_eq!(s.state(asleep).await, InviteState::Revoked);
            assert_eq!(s.story(asleep).await, ["invite.created", "invite.revoked"]);
            assert_eq!(s.role_in(s.red, &s.max).await, None);
        }
        audit(&s).await;
    }
}

#[tokio::test]
async fn whoever_invited_takes_it_back_whatever_they_are_now() {
    for engine in engines() {
        let s = scene(engine).await;
        let invite = s.invite_to(&s.adam, s.red, &s.max, Role::Viewer).await.unwrap().id;
        let change = [registry::RoleChange { member_id: s.adam.id, role: Role::Viewer }];
        s.update_group_members(&s.owner.call(), s.red, &change).await.unwrap();
        s.revoke_invite(&s.adam.call(), invite).await.unwrap();
        audit(&s).await;
    }
}

#[tokio::test]
async fn one_group_is_taken_back_while_it_sleeps() {
    for engine in engines() {
        let s = scene(engine).await;
        let invite = s.ask(&s.adam, &s.gus, &[s.red, s.blue]).await;
        s.revoke_invite(&s.alma.call(), sleeper(&invite, s.red)).await.unwrap();
        let seen = s.view_invite(&s.gus.call(), invite.id).await.unwrap();
        assert_eq!(seen.group_invites, invite.group_invites[1..]);
        s.accept_invite(&s.gus.call(), invite.id).await.unwrap();
        assert_eq!(s.state(sleeper(&invite, s.red)).await, InviteState::Revoked);
        assert_eq!(s.state(sleeper(&invite, s.blue)).await, InviteState::Pending);
        audit(&s).await;
    }
}

#[tokio::test]
async fn sending_again_starts_the_clock_again_and_not_too_often() {
    for engine in engines() {
        let s = scene(engine).await;
        for to_a_group in [true, false] {
            let (id, by) = if to_a_group {
                (s.invite_to(&s.adam, s.red, &s.max, Role::Viewer).await.unwrap().id, &s.alma)
            } else {
                let invite = s.ask(&s.adam, &s.gus, &[s.red]).await;
                let asleep = s.resend_invite(&s.adam.call(), sleeper(&invite, s.red)).await;
                assert_eq!(told(asleep), "InviteSleeps []");
                (invite.id, &s.adam)
            };
            // Making it was a mail.
            assert_eq!(waits(s.resend_invite(&by.call(), id).await), MINUTE);
            s.clock.advance(MINUTE - Duration::from_millis(1));
            assert!(waits(s.resend_invite(&by.call(), id).await) <= Duration::from_secs(1));
            s.clock.advance(Duration::from_millis(1));
            let again = s.resend_invite(&by.call(), id).await.unwrap();
            assert_eq!(again.expires_at, Some(s.clock.now().after(LIFE)));
            assert_eq!(s.view_invite(&s.root.call(), id).await.unwrap(), again);
            assert_eq!(waits(s.resend_invite(&s.root.call(), id).await), MINUTE);
            assert_eq!(s.story(id).await, ["invite.created", "invite.resent"]);
            // Five in an hour.
            for _ in 0..3 {
                s.clock.advance(MINUTE);
                s.resend_invite(&by.call(), id).await.unwrap();
            }
            s.clock.advance(MINUTE);
            let wait = waits(s.resend_invite(&by.call(), id).await);
            assert!(wait > 50 * MINUTE && wait < HOUR, "{wait:?}");
            s.clock.advance(wait);
            s.resend_invite(&by.call(), id).await.unwrap();
            s.clock.advance(HOUR);
        }
        audit(&s).await;
    }
}

#[tokio::test]
async fn what_sleeps_lives_on_with_what_it_sleeps_on() {
    for engine in engines() {
        let s = scene(engine).await;
        let invite = s.ask(&s.adam, &s.gus, &[s.red]).await;
        s.clock.advance(LIFE - MINUTE);
        s.resend_invite(&s.adam.call(), invite.id).await.unwrap();
        s.clock.advance(LIFE - MINUTE);
        s.sweep().await.unwrap();
        assert_eq!(s.state(sleeper(&invite, s.red)).await, InviteState::Pending);
        s.accept_invite(&s.gus.call(), invite.id).await.unwrap();
        s.accept_invite(&s.gus.call(), sleeper(&invite, s.red)).await.unwrap();
        audit(&s).await;
    }
}

#[tokio::test]
async fn a_new_secret_ends_the_one_before() {
    for engine in engines() {
        let s = scene(engine).await;
        let (invite, secret) =
            s.send(&s.adam, to_org(&nobody(), &[(s.red, Role::Viewer)], InviteMode::Ask)).await;
        s.view_invite_by_secret(&secret).await.unwrap();
        s.clock.advance(MINUTE);
        let again = s.resend_invite(&s.alma.call(), invite.id).await.unwrap();
        assert_eq!((again.dormant, again.expires_at), (true, Some(s.clock.now().after(LIFE))));
        assert_eq!(told(s.view_invite_by_secret(&secret).await.map(drop)), "NotFound");
        let call = crate::support::log_ins::anonymous();
        let password = crate::support::log_ins::password(crate::support::people::PASSWORD);
        let outcome = s.register_by_invite(&call, &secret, None, &password, &json("{}")).await;
        assert_eq!(told(outcome.map(drop)), "NotFound");
        // By the platform invite's id it is the same mail.
        let (platform, query) = (kind(registry::InviteKind::Platform), first(9, registry::InviteOrder::Id));
        let page = s.list_invites(&s.root.call(), &platform, &query).await;
        let carrier = page.unwrap().items.remove(0).id;
        assert_eq!(waits(s.resend_invite(&s.alma.call(), carrier).await), MINUTE);
        s.clock.advance(MINUTE);
        let secret = s.known_secret(invite.id).await;
        s.resend_invite(&s.alma.call(), carrier).await.unwrap();
        assert_eq!(told(s.view_invite_by_secret(&secret).await.map(drop)), "NotFound");
        assert_eq!(waits(s.resend_invite(&s.adam.call(), invite.id).await), MINUTE);
        let expires_at = Some(s.clock.now().after(LIFE));
        for id in [invite.id, carrier, sleeper(&invite, s.red)] {
            assert_eq!(s.view_invite(&s.adam.call(), id).await.unwrap().expires_at, expires_at);
        }
        let secret = s.known_secret(invite.id).await;
        s.enter(&nobody(), &secret).await;
        audit(&s).await;
    }
}

#[tokio::test]
async fn the_way_in_is_taken_back_by_either_id() {
    for engine in engines() {
        let s = scene(engine).await;
        for by_carrier in [false, true] {
            let new = to_org(&nobody(), &[(s.red, Role::Viewer)], InviteMode::Ask);
            let (invite, secret) = s.send(&s.adam, new).await;
            let filter = registry::InviteFilter {
                state: Some(InviteState::Pending),
                kind: Some(registry::InviteKind::Platform),
            };
            let page = s.list_invites(&s.root.call(), &filter, &first(9, registry::InviteOrder::Id)).await;
            let carrier = page.unwrap().items.remove(0).id;
            s.revoke_invite(&s.alma.call(), if by_carrier { carrier } else { invite.id }).await.unwrap();
            for id in [carrier, invite.id, sleeper(&invite, s.red)] {
                assert_eq!(s.state(id).await, InviteState::Revoked);
            }
            assert_eq!(told(s.view_invite_by_secret(&secret).await.map(drop)), "NotFound");
            assert_eq!(s.story(invite.id).await, ["invite.created", "invite.revoked"]);
        }
        audit(&s).await;
    }
}

#[tokio::test]
async fn an_invite_to_somebody_who_was_taken_in_is_still_taken_back() {
    for engine in engines() {
        let s = scene(engine).await;
        let invite = s.invite_to(&s.adam, s.red, &s.max, Role::Viewer).await.unwrap().id;
        let new = [NewMember { who: MemberRef::Id(s.max.id), role: Role::Editor }];
        s.add_group_members(&s.adam.call(), s.red, &new).await.unwrap();
        s.revoke_invite(&s.alma.call(), invite).await.unwrap();
        assert_eq!(s.role_in(s.red, &s.max).await, Some(Role::Editor));
        audit(&s).await;
    }
}

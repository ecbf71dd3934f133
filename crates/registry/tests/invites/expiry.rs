//! What time does to invites: decided when it matters, by one clock; said by a sweep.

use std::time::Duration;

use registry::{InviteFilter, InviteMode, InviteOrder, InviteState, Role};

use crate::support::{
    engines,
    invites::{LIFE, audit, nobody, scene, sleeper, to_org},
    orgs::told,
    people::first,
};

const MOMENT: Duration = Duration::from_millis(1);

/// I8: to the last moment and not a moment longer, with nobody having tidied up.
#[tokio::test]
async fn an_invite_ends_at_its_moment() {
    for engine in engines() {
        let s = scene(engine).await;
        let zoe = s.person("zoe").await;
        s.join(s.org, &zoe, Role::Viewer).await;
        let in_time = s.invite_to(&s.adam, s.red, &s.max, Role::Viewer).await.unwrap().id;
        let late = s.invite_to(&s.adam, s.red, &zoe, Role::Viewer).await.unwrap().id;
        let late_org = s.ask(&s.adam, &s.gus, &[s.red]).await;
        s.clock.advance(LIFE - MOMENT);
        s.accept_invite(&s.max.call(), in_time).await.unwrap();
        s.clock.advance(MOMENT);
        assert_eq!(told(s.accept_invite(&zoe.call(), late).await), "InviteClosed(Expired) []");
        assert_eq!(told(s.accept_invite(&s.gus.call(), late_org.id).await), "InviteClosed(Expired) []");
        for by in [&s.adam, &s.root] {
            assert_eq!(told(s.revoke_invite(&by.call(), late).await), "InviteClosed(Expired) []");
            assert_eq!(told(s.resend_invite(&by.call(), late).await), "InviteClosed(Expired) []");
        }
        assert_eq!(s.role_in(s.red, &zoe).await, None);
        assert_eq!(s.stored(late).await, "pending", "asking changes nothing");
        assert_eq!(s.state(late).await, InviteState::Expired);
        audit(&s).await;
    }
}

#[tokio::test]
async fn what_is_past_due_is_never_shown_as_pending() {
    for engine in engines() {
        let s = scene(engine).await;
        let to_group = s.invite_to(&s.adam, s.red, &s.max, Role::Viewer).await.unwrap().id;
        let to_max = s
            .create_org_invites(
                &s.stranger.call(),
                s.elsewhere,
                &[to_org(&s.max.email, &[], InviteMode::Ask)],
                false,
            )
            .await;
        let to_max = crate::support::invites::made(to_max.unwrap()).id;
        let with_sleeper = s.ask(&s.adam, &s.gus, &[s.red]).await;
        let (far, _) = s.send(&s.adam, to_org(&nobody(), &[(s.red, Role::Viewer)], InviteMode::Ask)).await;
        s.clock.advance(LIFE);
        for swept in [false, true] {
            if swept {
                s.sweep().await.unwrap();
            }
            let query = first(100, InviteOrder::Id);
            let count = async |state: Option<InviteState>| {
                let filter = InviteFilter { state, kind: None };
                let root = s.root.call();
                let all = s.list_invites(&root, &filter, &query).await.unwrap();
                let org = s.list_org_invites(&s.adam.call(), s.org, &filter, &query).await.unwrap();
                let group = s.list_group_invites(&s.adam.call(), s.red, &filter, &query).await.unwrap();
                let received =
                    s.list_received_invites(&s.max.call(), s.max.id, &filter, &query).await.unwrap();
                let sent = s.list_sent_invites(&s.adam.call(), s.adam.id, &filter, &query).await.unwrap();
                let pages = [all, org, group, received, sent];
                for page in &pages {
                    assert_eq!(page.total, page.items.len() as u64);
                    for invite in &page.items {
                        assert_eq!(invite.state, InviteState::Expired);
                        assert!(!invite.dormant);
                    }
                }
                pages.map(|page| page.total)
            };
            assert_eq!(count(Some(InviteState::Pending)).await, [0; 5], "swept: {swept}");
            assert_eq!(count(Some(InviteState::Expired)).await, [6, 2, 3, 2, 5], "swept: {swept}");
            assert_eq!(count(None).await, [6, 2, 3, 2, 5], "swept: {swept}");
            for id in [to_group, to_max, with_sleeper.id, sleeper(&with_sleeper, s.red), far.id] {
                assert_eq!(s.state(id).await, InviteState::Expired);
            }
        }
        audit(&s).await;
    }
}

#[tokio::test]
async fn a_sweep_says_so_once_of_everything() {
    for engine in engines() {
        let s = scene(engine).await;
        let to_group = s.invite_to(&s.adam, s.red, &s.max, Role::Viewer).await.unwrap().id;
        let invite = s.ask(&s.adam, &s.gus, &[s.red, s.blue]).await;
        let (far, _) = s.send(&s.adam, to_org(&nobody(), &[(s.red, Role::Viewer)], InviteMode::Ask)).await;
        let platform = s
            .create_platform_invite(&s.root.call(), &crate::support::log_ins::email("other"), None)
            .await
            .unwrap()
            .id;
        s.clock.advance(MOMENT);
        let young = s.ask(&s.alma, &s.gus, &[s.red]).await;
        s.clock.advance(LIFE - MOMENT);
        let before = s.entries().await;
        s.sweep().await.unwrap();
        let ended = [
            to_group,
            invite.id,
            sleeper(&invite, s.red),
            sleeper(&invite, s.blue),
            far.id,
            sleeper(&far, s.red),
            platform,
        ];
        for id in ended {
            assert_eq!(s.stored(id).await, "expired");
            let trail = s.trail(id).await;
            assert_eq!(trail.len(), 2);
            let last = &trail[1];
            assert_eq!((last.action.as_str(), last.via.as_str()), ("invite.expired", "system"));
            assert_eq!((last.actor_kind.as_str(), last.actor_id), ("system", None));
        }
        assert_eq!(s.entries().await, before + 7);
        assert_eq!(s.opened.database.number("SELECT count(*) FROM dormant_group_invites").await, 1);
        assert_eq!(
            s.opened.database.number("SELECT count(*) FROM platform_invites WHERE state = 'pending'").await,
            0
        );
        s.sweep().await.unwrap();
        assert_eq!(s.entries().await, before + 7);
        s.accept_invite(&s.gus.call(), young.id).await.unwrap();
        audit(&s).await;
    }
}

/// I7: what is past due is in nobody's way, whoever sent it.
#[tokio::test]
async fn another_admin_invites_again() {
    for engine in engines() {
        let s = scene(engine).await;
        for by in [&s.alma, &s.adam] {
            let old = s.invite_to(&s.adam, s.red, &s.max, Role::Viewer).await.unwrap().id;
            let old_org = s.ask(&s.adam, &s.gus, &[s.red]).await;
            let (far, _) = s.send(&s.adam, to_org(&nobody(), &[], InviteMode::Ask)).await;
            s.clock.advance(LIFE);
            let new = s.invite_to(by, s.red, &s.max, Role::Editor).await.unwrap().id;
            let new_org = s.ask(by, &s.gus, &[s.red]).await;
            let (again, _) = s.send(by, to_org(&nobody(), &[], InviteMode::Ask)).await;
            for id in [old, old_org.id, sleeper(&old_org, s.red), far.id] {
                assert_eq!(s.stored(id).await, "expired");
                assert_eq!(s.story(id).await, ["invite.created", "invite.expired"]);
            }
            let entry = s.trail(old_org.id).await.pop().unwrap();
            assert_eq!((entry.via.as_str(), entry.actor_id), ("system", Some(by.id.uuid())));
            for id in [new, new_org.id, sleeper(&new_org, s.red), again.id] {
                assert_eq!(s.state(id).await, InviteState::Pending);
            }
            for id in [new, new_org.id, again.id] {
                s.revoke_invite(&s.owner.call(), id).await.unwrap();
            }
        }
        audit(&s).await;
    }
}

/// Whether or not a sweep has been by: it is over, so no is as good as said, and it stays expired.
#[tokio::test]
async fn no_can_be_said_late() {
    for swept in [false, true] {
        for engine in engines() {
            let s = scene(engine).await;
            let to_group = s.invite_to(&s.adam, s.red, &s.max, Role::Viewer).await.unwrap().id;
            let invite = s.ask(&s.adam, &s.gus, &[s.red]).await;
            s.clock.advance(LIFE);
            if swept {
                s.sweep().await.unwrap();
            }
            for _ in 0..2 {
                s.decline_invite(&s.max.call(), to_group).await.unwrap();
                s.decline_invite(&s.gus.call(), invite.id).await.unwrap();
            }
            for id in [to_group, invite.id, sleeper(&invite, s.red)] {
                assert_eq!(s.stored(id).await, "expired");
                assert_eq!(s.story(id).await, ["invite.created", "invite.expired"]);
            }
            audit(&s).await;
        }
    }
}

//! What becomes of the group invites that sleep on an organisation's invite when it is accepted.

use registry::{GroupId, Invite, InviteMode, InviteState, Role, RoleChange};

use crate::support::{
    engines,
    invites::{LIFE, Scene, audit, scene, sleeper, to_org},
    orgs::told,
    people::Person,
};

async fn states(s: &Scene, invites: &[&Invite], group: GroupId) -> Vec<InviteState> {
    let mut states = Vec::new();
    for invite in invites {
        states.push(s.state(sleeper(invite, group)).await);
    }
    states
}

/// Takes a role in a group away, so that what was sent stays and yet makes no member.
async fn demote(s: &Scene, who: &Person, group: GroupId) {
    let change = [RoleChange { member_id: who.id, role: Role::Editor }];
    s.update_group_members(&s.owner.call(), group, &change).await.unwrap();
}

#[tokio::test]
async fn each_group_is_answered_for_itself() {
    for engine in engines() {
        let s = scene(engine).await;
        let groups = [(s.red, Role::Editor), (s.green, Role::Viewer), (s.blue, Role::Admin)];
        let invite = s.invite(&s.adam, to_org(&s.gus.email, &groups, InviteMode::Ask)).await.unwrap();
        let half = LIFE / 2;
        s.clock.advance(half);
        let accepted = s.accept_invite(&s.gus.call(), invite.id).await.unwrap();
        assert_eq!((accepted.state, accepted.group_invites.len()), (InviteState::Accepted, 0));
        assert_eq!(s.role_in_org(&s.gus).await, Some(Role::Viewer));
        for (group, role) in groups {
            let id = sleeper(&invite, group);
            let woken = s.view_invite(&s.gus.call(), id).await.unwrap();
            assert_eq!((woken.state, woken.dormant), (InviteState::Pending, false));
            assert_eq!((woken.invitee_id, woken.invitee_role), (Some(s.gus.id), Some(role)));
            assert_eq!(woken.expires_at, Some(s.clock.now().after(LIFE)), "its clock starts now");
            assert_eq!(s.role_in(group, &s.gus).await, None);
            assert_eq!(s.story(id).await, ["invite.created", "invite.woken"]);
        }
        s.clock.advance(LIFE - std::time::Duration::from_millis(1));
        s.accept_invite(&s.gus.call(), sleeper(&invite, s.red)).await.unwrap();
        s.decline_invite(&s.gus.call(), sleeper(&invite, s.green)).await.unwrap();
        s.revoke_invite(&s.alma.call(), sleeper(&invite, s.blue)).await.unwrap();
        assert_eq!(s.role_in(s.red, &s.gus).await, Some(Role::Editor));
        assert_eq!(s.role_in(s.green, &s.gus).await, None);
        assert_eq!(s.opened.database.number("SELECT count(*) FROM dormant_group_invites").await, 0);
        audit(&s).await;
    }
}

#[tokio::test]
async fn or_all_are_joined_at_once() {
    for engine in engines() {
        let s = scene(engine).await;
        let groups = [(s.red, Role::Editor), (s.green, Role::Viewer)];
        let invite = s.invite(&s.adam, to_org(&s.gus.email, &groups, InviteMode::Join)).await.unwrap();
        let before = s.entries().await;
        s.accept_invite(&s.gus.call(), invite.id).await.unwrap();
        // The organisation and two groups, each an answer and a membership.
        assert_eq!(s.entries().await, before + 6);
        for (group, role) in groups {
            assert_eq!(s.role_in(group, &s.gus).await, Some(role));
            let id = sleeper(&invite, group);
            assert_eq!(s.state(id).await, InviteState::Accepted);
            assert_eq!(s.story(id).await, ["invite.created", "invite.accepted"]);
            assert_eq!(s.view_invite(&s.gus.call(), id).await.unwrap().invitee_id, Some(s.gus.id));
        }
        audit(&s).await;
    }
}

/// I10: members, and those who have an invite of their own, keep what they have.
#[tokio::test]
async fn what_one_has_already_wins_over_what_sleeps() {
    for mode in [InviteMode::Ask, InviteMode::Join] {
        for engine in engines() {
            let s = scene(engine).await;
            s.admit(s.red, &[(&s.max, Role::Editor)]).await;
            let explicit = s.invite_to(&s.alma, s.green, &s.max, Role::Editor).await.unwrap();
            s.vanish_from_org(s.max.id).await;
            let groups = [(s.red, Role::Admin), (s.green, Role::Admin), (s.blue, Role::Viewer)];
            let invite = s.invite(&s.adam, to_org(&s.max.email, &groups, mode)).await.unwrap();
            let other = s.invite(&s.alma, to_org(&s.max.email, &groups, mode)).await.unwrap();
            s.accept_invite(&s.max.call(), invite.id).await.unwrap();
            let both = [&invite, &other];
            assert_eq!(states(&s, &both, s.red).await, [InviteState::Revoked; 2]);
            assert_eq!(s.role_in(s.red, &s.max).await, Some(Role::Editor));
            assert_eq!(states(&s, &both, s.green).await, [InviteState::Revoked; 2]);
            assert_eq!(s.view_invite(&s.max.call(), explicit.id).await.unwrap(), explicit);
            let (newest, role) = match mode {
                InviteMode::Ask => (InviteState::Pending, None),
                InviteMode::Join => (InviteState::Accepted, Some(Role::Viewer)),
            };
            assert_eq!(states(&s, &both, s.blue).await, [InviteState::Revoked, newest]);
            assert_eq!(s.role_in(s.blue, &s.max).await, role);
            assert_eq!(s.state(other.id).await, InviteState::Revoked);
            s.accept_invite(&s.max.call(), explicit.id).await.unwrap();
            assert_eq!(s.role_in(s.green, &s.max).await, Some(Role::Editor));
            audit(&s).await;
        }
    }
}

#[tokio::test]
async fn an_invite_of_ones_own_that_is_past_due_is_in_nobodys_way() {
    for engine in engines() {
        let s = scene(engine).await;
        let explicit = s.invite_to(&s.alma, s.red, &s.max, Role::Editor).await.unwrap();
        s.vanish_from_org(s.max.id).await;
        s.clock.advance(LIFE);
        let invite = s.ask(&s.adam, &s.max, &[s.red]).await;
        s.accept_invite(&s.max.call(), invite.id).await.unwrap();
        assert_eq!(s.stored(explicit.id).await, "expired");
        assert_eq!(s.story(explicit.id).await, ["invite.created", "invite.expired"]);
        s.accept_invite(&s.max.call(), sleeper(&invite, s.red)).await.unwrap();
        assert_eq!(s.role_in(s.red, &s.max).await, Some(Role::Viewer));
        audit(&s).await;
    }
}

#[tokio::test]
async fn of_several_that_sleep_for_a_group_the_newest_wins_whose_inviter_still_qualifies() {
    for engine in engines() {
        let s = scene(engine).await;
        let olga = s.owner.clone();
        // Who of the three inviters, oldest first, may no longer invite to the group; and which wins.
        let cases: [(&[&Person], Option<usize>); 5] = [
            (&[], Some(2)),
            (&[&s.alma], Some(2)),
            (&[&olga], Some(1)),
            (&[&olga, &s.alma], Some(0)),
            (&[&olga, &s.alma, &s.adam], None),
        ];
        for (n, (fallen, wins)) in cases.into_iter().enumerate() {
            let guest = s.person(&format!("guest{n}")).await;
            let group = s.group(s.org, &format!("group{n}")).await;
            s.admit(group, &[(&s.adam, Role::Admin), (&s.alma, Role::Admin)]).await;
            let mut invites = Vec::new();
            for (by, role) in [(&s.adam, Role::Viewer), (&s.alma, Role::Editor), (&olga, Role::Admin)] {
                s.clock.advance(std::time::Duration::from_millis(1));
                let new = to_org(&guest.email, &[(group, role)], InviteMode::Ask);
                invites.push(s.invite(by, new).await.unwrap());
            }
            for who in fallen {
                if who.id == olga.id {
                    // An owner of the organisation qualifies everywhere in it, until they are shut out.
                    let id = s.opened.database.literal(olga.id.uuid());
                    s.opened
                        .database
                        .execute(format!("UPDATE users SET status = 'disabled' WHERE id = {id}"))
                        .await;
                } else {
                    let id = s.opened.database.literal(who.id.uuid());
                    let place = s.opened.database.literal(group.uuid());
                    let sql = format!(
                        "UPDATE group_memberships SET role = 'editor' WHERE member_id = {id} AND group_id = {place}"
                    );
                    s.opened.database.execute(sql).await;
                }
            }
            // Whichever is accepted: they all wake, or end.
            let accepted = &invites[n % 2];
            s.accept_invite(&guest.call(), accepted.id).await.unwrap();
            for (at, invite) in invites.iter().enumerate() {
                let wanted = if Some(at) == wins { InviteState::Pending } else { InviteState::Revoked };
                assert_eq!(s.state(sleeper(invite, group)).await, wanted, "case {n}, invite {at}");
                let wanted =
                    if invite.id == accepted.id { InviteState::Accepted } else { InviteState::Revoked };
                assert_eq!(s.state(invite.id).await, wanted, "case {n}, invite {at}");
            }
            if let Some(at) = wins {
                s.accept_invite(&guest.call(), sleeper(&invites[at], group)).await.unwrap();
            }
            let id = s.opened.database.literal(olga.id.uuid());
            s.opened.database.execute(format!("UPDATE users SET status = 'enabled' WHERE id = {id}")).await;
        }
        audit(&s).await;
    }
}

#[tokio::test]
async fn what_sleeps_on_an_invite_that_is_past_due_does_not_wake() {
    for engine in engines() {
        let s = scene(engine).await;
        let old = s.ask(&s.alma, &s.gus, &[s.red, s.blue]).await;
        s.clock.advance(LIFE / 2);
        let new = s.ask(&s.adam, &s.gus, &[s.blue]).await;
        s.clock.advance(LIFE / 2);
        s.accept_invite(&s.gus.call(), new.id).await.unwrap();
        assert_eq!(s.stored(old.id).await, "expired");
        for group in [s.red, s.blue] {
            assert_eq!(s.stored(sleeper(&old, group)).await, "expired");
            assert_eq!(s.story(sleeper(&old, group)).await, ["invite.created", "invite.expired"]);
        }
        assert_eq!(s.state(sleeper(&new, s.blue)).await, InviteState::Pending);
        audit(&s).await;
    }
}

#[tokio::test]
async fn no_clash_fails_the_acceptance() {
    for engine in engines() {
        let s = scene(engine).await;
        let invite = s.ask(&s.adam, &s.gus, &[s.red, s.green, s.blue]).await;
        // One is gone with its group, one's inviter may no longer, one was taken back.
        s.delete_groups(&s.owner.call(), &[s.red]).await.unwrap();
        demote(&s, &s.adam, s.green).await;
        s.revoke_invite(&s.alma.call(), sleeper(&invite, s.blue)).await.unwrap();
        s.accept_invite(&s.gus.call(), invite.id).await.unwrap();
        assert_eq!(s.role_in_org(&s.gus).await, Some(Role::Viewer));
        assert_eq!(s.state(sleeper(&invite, s.green)).await, InviteState::Revoked);
        assert_eq!(s.state(sleeper(&invite, s.blue)).await, InviteState::Revoked);
        assert_eq!(told(s.view_invite(&s.root.call(), sleeper(&invite, s.red)).await), "NotFound");
        audit(&s).await;
    }
}

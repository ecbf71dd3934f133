//! What goes with people and places: their invites.

use registry::{InviteMode, InviteState, MemberRef, NewMember, Role, RoleChange};

use crate::support::{
    engines,
    invites::{Scene, audit, nobody, only, scene, sleeper, to_org},
    orgs::told,
    people::Person,
};

/// I11 and I6: whoever leaves an organisation leaves no way back in, for themselves or for others.
#[tokio::test]
async fn who_leaves_the_organisation_takes_their_invites_along() {
    for removed in [false, true] {
        for engine in engines() {
            let s = scene(engine).await;
            let zoe = s.person("zoe").await;
            s.join(s.org, &zoe, Role::Viewer).await;
            // To them: to groups, also one that came along with an invite before they were added.
            let early = s.ask(&s.adam, &s.gus, &[s.blue]).await;
            s.join(s.org, &s.gus, Role::Admin).await;
            s.admit(s.green, &[(&s.gus, Role::Admin)]).await;
            let to_them = s.invite_to(&s.adam, s.red, &s.gus, Role::Viewer).await.unwrap().id;
            // By them: to a group, to the organisation with and without an account.
            let by_them = s.invite_to(&s.gus, s.green, &zoe, Role::Viewer).await.unwrap().id;
            let guest = s.person("guest").await;
            let to_org_by_them = s.ask(&s.gus, &guest, &[s.green]).await;
            let (far, secret) =
                s.send(&s.gus, to_org(&nobody(), &[(s.green, Role::Viewer)], InviteMode::Ask)).await;
            // Those of others stay.
            let of_others = [
                s.invite_to(&s.adam, s.red, &zoe, Role::Viewer).await.unwrap().id,
                s.ask(&s.adam, &guest, &[s.green]).await.id,
            ];
            // So do theirs elsewhere.
            s.join(s.elsewhere, &s.gus, Role::Admin).await;
            let new = [to_org(&guest.email, &[], InviteMode::Ask)];
            let elsewhere = s.create_org_invites(&s.gus.call(), s.elsewhere, &new, false).await.unwrap();
            let elsewhere = crate::support::invites::made(elsewhere).id;

            let by = if removed { &s.owner } else { &s.gus };
            s.remove_org_members(&by.call(), s.org, &[s.gus.id]).await.unwrap();
            let ended = [
                sleeper(&early, s.blue),
                to_them,
                by_them,
                to_org_by_them.id,
                sleeper(&to_org_by_them, s.green),
                far.id,
                sleeper(&far, s.green),
            ];
            for id in ended {
                assert_eq!(s.state(id).await, InviteState::Revoked);
                let trail = s.trail(id).await;
                let mut story: Vec<_> = trail.iter().map(|record| record.action.as_str()).collect();
                story.retain(|action| *action != "invite.woken");
                assert_eq!(story, ["invite.created", "invite.revoked"]);
                assert_eq!(trail.last().unwrap().actor_id, Some(by.id.uuid()));
            }
            for id in of_others.into_iter().chain([elsewhere]) {
                assert_eq!(s.state(id).await, InviteState::Pending);
            }
            assert_eq!(told(s.view_invite_by_secret(&secret).await.map(drop)), "NotFound");
            assert_eq!(told(s.accept_invite(&s.gus.call(), early.id).await), "InviteClosed(Revoked) []");
            assert_eq!(s.role_in_org(&s.gus).await, None);
            audit(&s).await;
        }
    }
}

/// The same by an address that was not proved when the invite was made: it has no invitee to find it by.
#[tokio::test]
async fn who_was_invited_by_address_and_removed_has_no_secret_left() {
    for engine in engines() {
        let s = scene(engine).await;
        let new = to_org(&nobody(), &[(s.red, Role::Viewer)], InviteMode::Ask);
        let (invite, secret) = s.send(&s.adam, new).await;
        let nora = s.person("nora").await;
        s.join(s.org, &nora, Role::Viewer).await;
        s.remove_org_members(&s.owner.call(), s.org, &[nora.id]).await.unwrap();
        assert_eq!(told(s.claim_invite(&nora.call(), &secret).await.map(drop)), "NotFound");
        assert_eq!(s.state(invite.id).await, InviteState::Revoked);
        audit(&s).await;
    }
}

#[tokio::test]
async fn who_leaves_a_group_takes_their_invites_to_it_along() {
    for engine in engines() {
        let s = scene(engine).await;
        let gone = s.invite_to(&s.adam, s.red, &s.max, Role::Viewer).await.unwrap().id;
        let stays = s.invite_to(&s.adam, s.blue, &s.max, Role::Viewer).await.unwrap().id;
        let invite = s.ask(&s.adam, &s.gus, &[s.red, s.blue]).await;
        s.remove_group_members(&s.adam.call(), s.red, &[s.adam.id]).await.unwrap();
        for id in [gone, sleeper(&invite, s.red)] {
            assert_eq!(s.state(id).await, InviteState::Revoked);
            assert_eq!(s.story(id).await, ["invite.created", "invite.revoked"]);
        }
        for id in [stays, invite.id, sleeper(&invite, s.blue)] {
            assert_eq!(s.state(id).await, InviteState::Pending);
        }
        // One's own that was overtaken by being added.
        let invite = s.invite_to(&s.alma, s.red, &s.max, Role::Admin).await.unwrap().id;
        let new = [NewMember { who: MemberRef::Id(s.max.id), role: Role::Viewer }];
        s.add_group_members(&s.alma.call(), s.red, &new).await.unwrap();
        s.remove_group_members(&s.alma.call(), s.red, &[s.max.id]).await.unwrap();
        assert_eq!(told(s.accept_invite(&s.max.call(), invite).await), "InviteClosed(Revoked) []");
        audit(&s).await;
    }
}

#[tokio::test]
async fn who_is_shut_out_invites_nobody_any_more() {
    for engine in engines() {
        let s = scene(engine).await;
        let admin = s.person("second").await;
        let id = s.opened.database.literal(admin.id.uuid());
        s.opened.database.execute(format!("UPDATE users SET platform_role = 'admin' WHERE id = {id}")).await;
        let admin = crate::support::people::log_in(&s, admin.email.clone()).await;
        let platform = s.create_platform_invite(&admin.call(), &nobody(), None).await.unwrap().id;
        let to_group = s.invite_to(&admin, s.red, &s.max, Role::Viewer).await.unwrap().id;
        let to_org = s.ask(&admin, &s.gus, &[s.red]).await;
        let to_them = {
            let new = [crate::support::invites::to_org(&admin.email, &[], InviteMode::Ask)];
            let made = s.create_org_invites(&s.stranger.call(), s.elsewhere, &new, false).await.unwrap();
            crate::support::invites::made(made).id
        };
        let before = s.entries().await;
        s.disable_user(&s.root.call(), admin.id).await.unwrap();
        assert_eq!(s.entries().await, before + 5);
        s.enable_user(&s.root.call(), admin.id).await.unwrap();
        for id in [platform, to_group, to_org.id, sleeper(&to_org, s.red)] {
            assert_eq!(s.state(id).await, InviteState::Revoked);
            assert_eq!(s.story(id).await, ["invite.created", "invite.revoked"]);
        }
        assert_eq!(s.state(to_them).await, InviteState::Pending);
        audit(&s).await;
    }
}

/// The request came while they still were somebody, and waited for their row.
#[tokio::test]
async fn who_is_shut_out_meanwhile_invites_nobody() {
    for engine in engines() {
        let s = scene(engine).await;
        let id = s.opened.database.literal(s.adam.id.uuid());
        let shut_out = format!(
            "UPDATE users SET status = 'disabled' WHERE id = {id}; DELETE FROM sessions WHERE user_id = {id}"
        );
        let (call, new) = (s.adam.call(), [to_org(&s.gus.email, &[], InviteMode::Ask)]);
        let rows = s.rows().await;
        let held = s.opened.database.hold(&shut_out).await;
        let (asked, ()) = tokio::join!(s.create_org_invites(&call, s.org, &new, false), async {
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            held.commit().await;
        });
        assert_eq!(told(asked), "Unauthenticated");
        assert_eq!(s.rows().await, rows);
    }
}

/// A lower role takes nothing back by itself: whether it is enough is asked when the invite is accepted.
#[tokio::test]
async fn who_is_demoted_and_raised_again_has_invited_all_the_same() {
    for engine in engines() {
        let s = scene(engine).await;
        let invite = s.invite_to(&s.adam, s.red, &s.max, Role::Viewer).await.unwrap().id;
        for role in [Role::Viewer, Role::Admin] {
            let change = [RoleChange { member_id: s.adam.id, role }];
            s.update_group_members(&s.owner.call(), s.red, &change).await.unwrap();
            assert_eq!(s.state(invite).await, InviteState::Pending);
        }
        s.accept_invite(&s.max.call(), invite).await.unwrap();
        audit(&s).await;
    }
}

/// Everything at once: pending, asleep, answered.
async fn all_kinds(s: &Scene, guest: &Person) {
    let max = &s.max;
    s.invite_to(&s.adam, s.red, max, Role::Viewer).await.unwrap();
    let declined = s.invite_to(&s.adam, s.blue, max, Role::Viewer).await.unwrap();
    s.decline_invite(&max.call(), declined.id).await.unwrap();
    s.ask(&s.adam, guest, &[s.red, s.blue]).await;
    s.send(&s.alma, to_org(&nobody(), &[(s.red, Role::Viewer)], InviteMode::Join)).await;
    let joined =
        s.invite(&s.adam, to_org(&s.gus.email, &[(s.red, Role::Viewer)], InviteMode::Join)).await.unwrap();
    s.accept_invite(&s.gus.call(), joined.id).await.unwrap();
}

/// V10.
#[tokio::test]
async fn nothing_is_left_of_a_group_or_an_organisation() {
    for engine in engines() {
        let s = scene(engine).await;
        let guest = s.person("guest").await;
        all_kinds(&s, &guest).await;
        let database = &s.opened.database;
        s.delete_groups(&s.owner.call(), &[s.red]).await.unwrap();
        let red = database.literal(s.red.uuid());
        assert_eq!(
            database.number(format!("SELECT count(*) FROM group_invites WHERE group_id = {red}")).await,
            0
        );
        audit(&s).await;
        // The organisation's invites go on without it.
        let pending = s.received(&guest, only(InviteState::Pending)).await;
        assert_eq!(pending.len(), 1);
        assert_eq!(pending[0].group_invites.len(), 1);
        s.accept_invite(&guest.call(), pending[0].id).await.unwrap();
        audit(&s).await;
        let new = [to_org(&guest.email, &[], InviteMode::Ask)];
        s.create_org_invites(&s.stranger.call(), s.elsewhere, &new, false).await.unwrap();
        s.delete_orgs(&s.owner.call(), &[s.org]).await.unwrap();
        assert_eq!(s.rows().await, 1, "the one to another organisation");
        audit(&s).await;
    }
}

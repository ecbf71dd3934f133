//! Yes and no, whose they are to say, and what is decided in that moment.

use registry::{Call, InviteId, InviteMode, InviteState, MemberRef, NewMember, Role, RoleChange, Within};
use serde_json::json;

use crate::support::{
    engines,
    invites::{Scene, audit, scene, to_org},
    orgs::told,
    people::Person,
};

/// All that can be done to an invite by its id, told without what was found.
async fn verbs(s: &Scene, call: &Call, id: InviteId) -> Vec<String> {
    vec![
        told(s.view_invite(call, id).await.map(|invite| invite.id)),
        told(s.accept_invite(call, id).await.map(|invite| invite.id)),
        told(s.decline_invite(call, id).await),
        told(s.revoke_invite(call, id).await),
        told(s.resend_invite(call, id).await.map(|invite| invite.id)),
    ]
}

#[tokio::test]
async fn accepting_makes_the_membership() {
    for engine in engines() {
        let s = scene(engine).await;
        let invite = s.invite_to(&s.adam, s.red, &s.max, Role::Editor).await.unwrap();
        let before = s.entries().await;
        let accepted = s.accept_invite(&s.max.call(), invite.id).await.unwrap();
        assert_eq!(accepted.state, InviteState::Accepted);
        assert_eq!(s.state(invite.id).await, InviteState::Accepted);
        assert_eq!(s.role_in(s.red, &s.max).await, Some(Role::Editor));
        assert_eq!(s.entries().await, before + 2);
        let trail = s.trail(invite.id).await;
        let last = trail.last().unwrap();
        assert_eq!((last.action.as_str(), last.via.as_str()), ("invite.accepted", "invitation"));
        assert_eq!(
            (last.actor_id, last.org_id, last.group_id),
            (Some(s.max.id.uuid()), Some(s.org), Some(s.red))
        );
        let added = crate::support::orgs::journal(&s, s.org).await.pop().unwrap();
        assert_eq!((added.action.as_str(), added.via.as_str()), ("member.added", "invitation"));
        assert_eq!((added.subject_id, added.group_id), (s.max.id.uuid(), Some(s.red)));
        assert_eq!(json!(added.changes), json!({"role": {"after": "editor"}}));
        audit(&s).await;
    }
}

/// I15: what has ended stays as it ended, and stays.
#[tokio::test]
async fn an_invite_ends_once() {
    for engine in engines() {
        let s = scene(engine).await;
        for (end, state) in ["accept", "decline", "revoke", "expire"].into_iter().zip(&InviteState::ALL[1..])
        {
            let people = [s.person(&format!("{end}-org")).await, s.person(&format!("{end}-group")).await];
            s.join(s.org, &people[1], Role::Viewer).await;
            let invites = [
                s.ask(&s.adam, &people[0], &[s.red]).await.id,
                s.invite_to(&s.adam, s.red, &people[1], Role::Viewer).await.unwrap().id,
            ];
            for (person, id) in people.iter().zip(invites) {
                let person = person.call();
                match end {
                    "accept" => drop(s.accept_invite(&person, id).await.unwrap()),
                    "decline" => s.decline_invite(&person, id).await.unwrap(),
                    "revoke" => s.revoke_invite(&s.adam.call(), id).await.unwrap(),
                    _ => {
                        s.clock.advance(crate::support::invites::LIFE);
                        s.sweep().await.unwrap();
                    }
                }
                let closed = format!("InviteClosed({state:?}) []");
                let (rows, entries) = (s.rows().await, s.entries().await);
                for _ in 0..2 {
                    let outcome = s.accept_invite(&person, id).await;
                    assert_eq!(told(outcome), closed, "after {end}");
                    // To say no to what time has ended is as good as done.
                    let no = if end == "expire" { "()" } else { &closed };
                    assert_eq!(told(s.decline_invite(&person, id).await), no, "after {end}");
                    for by in [&s.adam, &s.alma, &s.root] {
                        assert_eq!(told(s.revoke_invite(&by.call(), id).await), closed, "after {end}");
                        assert_eq!(told(s.resend_invite(&by.call(), id).await), closed, "after {end}");
                    }
                }
                assert_eq!(s.state(id).await, *state);
                assert_eq!((s.rows().await, s.entries().await), (rows, entries), "nothing was written");
            }
        }
        audit(&s).await;
    }
}

#[tokio::test]
async fn declining_ends_it_with_what_sleeps_on_it() {
    for engine in engines() {
        let s = scene(engine).await;
        let invite = s.ask(&s.adam, &s.gus, &[s.red, s.blue]).await;
        s.decline_invite(&s.gus.call(), invite.id).await.unwrap();
        assert_eq!(s.state(invite.id).await, InviteState::Declined);
        assert_eq!(s.role_in_org(&s.gus).await, None);
        for offer in &invite.group_invites {
            assert_eq!(s.state(offer.id).await, InviteState::Declined);
            assert_eq!(s.story(offer.id).await, ["invite.created", "invite.declined"]);
        }
        // Nothing of it stands in the way of the next.
        let again = s.ask(&s.adam, &s.gus, &[s.red, s.blue]).await;
        s.accept_invite(&s.gus.call(), again.id).await.unwrap();
        audit(&s).await;
    }
}

/// I1 and I2: to everybody else there is no such invite, whatever its state, whatever they do.
#[tokio::test]
async fn the_id_is_no_authority() {
    for engine in engines() {
        let s = scene(engine).await;
        let vera = s.person("vera").await;
        s.join(s.org, &vera, Role::Editor).await;
        s.admit(s.red, &[(&vera, Role::Editor)]).await;
        let bound = s.by_token(&s.adam, true, Some(Within::Group(s.green))).await;
        let mut invites = Vec::new();
        for state in InviteState::ALL {
            let guest = s.person(&format!("guest-{}", state.as_str())).await;
            let invite = s.ask(&s.adam, &guest, &[s.red]).await;
            let asleep = invite.group_invites[0].id;
            match state {
                InviteState::Pending => {}
                InviteState::Accepted => drop(s.accept_invite(&guest.call(), invite.id).await.unwrap()),
                InviteState::Declined => s.decline_invite(&guest.call(), invite.id).await.unwrap(),
                InviteState::Revoked => s.revoke_invite(&s.alma.call(), invite.id).await.unwrap(),
                InviteState::Expired => {
                    let id = s.opened.database.literal(invite.id.uuid());
                    let past = match s.opened.database.engine {
                        crate::support::Engine::Sqlite => "0",
                        crate::support::Engine::Postgres => "'epoch'",
                    };
                    let sql = format!("UPDATE org_invites SET expires_at = {past} WHERE id = {id}");
                    s.opened.database.execute(sql).await;
                }
            }
            invites.extend([invite.id, asleep]);
        }
        let platform =
            s.create_platform_invite(&s.root.call(), &crate::support::invites::nobody(), None).await;
        invites.push(platform.unwrap().id);
        invites.extend((0..20).map(|n| InviteId::from(sqlx::types::Uuid::from_u128(n))));
        let (rows, entries) = (s.rows().await, s.entries().await);
        for person in [&s.stranger, &s.gus, &s.max, &vera, &bound] {
            for id in &invites {
                let outcome = verbs(&s, &person.call(), *id).await;
                assert!(outcome.iter().all(|told| told == "NotFound"), "{}: {outcome:?}", person.email);
            }
        }
        // Inviters, admins and the platform's administrators see it, and answer nothing.
        for person in [&s.adam, &s.alma, &s.owner, &s.root] {
            for id in &invites {
                assert_eq!(told(s.accept_invite(&person.call(), *id).await), "NotFound");
                assert_eq!(told(s.decline_invite(&person.call(), *id).await), "NotFound");
            }
        }
        assert_eq!((s.rows().await, s.entries().await), (rows, entries));
        let anonymous = crate::support::log_ins::anonymous();
        let outcome = verbs(&s, &anonymous, invites[0]).await;
        assert!(outcome.iter().all(|told| told == "Unauthenticated"), "{outcome:?}");
    }
}

#[tokio::test]
async fn narrower_tokens_do_not_answer() {
    for engine in engines() {
        let s = scene(engine).await;
        let invite = s.invite_to(&s.adam, s.red, &s.max, Role::Viewer).await.unwrap().id;
        let reading = s.by_token(&s.max, false, None).await;
        s.view_invite(&reading.call(), invite).await.unwrap();
        assert_eq!(told(s.accept_invite(&reading.call(), invite).await), "Scope");
        assert_eq!(told(s.decline_invite(&reading.call(), invite).await), "Scope");
        let bound = s.by_token(&s.max, true, Some(Within::Org(s.org))).await;
        assert_eq!(told(s.view_invite(&bound.call(), invite).await), "NotFound");
        assert_eq!(told(s.accept_invite(&bound.call(), invite).await), "NotFound");
        // An admin's token for the group does what admins do, one for another group does not.
        let here = s.by_token(&s.adam, true, Some(Within::Group(s.red))).await;
        let there = s.by_token(&s.adam, true, Some(Within::Group(s.blue))).await;
        let looking = s.by_token(&s.adam, false, Some(Within::Group(s.red))).await;
        s.view_invite(&looking.call(), invite).await.unwrap();
        assert_eq!(told(s.revoke_invite(&looking.call(), invite).await), "Scope");
        assert_eq!(told(s.view_invite(&there.call(), invite).await), "NotFound");
        assert_eq!(told(s.revoke_invite(&there.call(), invite).await), "NotFound");
        s.revoke_invite(&here.call(), invite).await.unwrap();
        let whole = s.by_token(&s.max, true, None).await;
        let invite = s.invite_to(&s.adam, s.red, &s.max, Role::Viewer).await.unwrap().id;
        s.accept_invite(&whole.call(), invite).await.unwrap();
        audit(&s).await;
    }
}

/// I6: who is a member already stays what they are.
#[tokio::test]
async fn an_invite_changes_no_role() {
    for engine in engines() {
        let s = scene(engine).await;
        for (given, had) in [(Role::Admin, Role::Viewer), (Role::Viewer, Role::Admin)] {
            let person = s.person(&format!("had-{}", had.as_str())).await;
            let guest = s.person(&format!("guest-{}", had.as_str())).await;
            s.join(s.org, &person, Role::Viewer).await;
            let invite = s.invite_to(&s.adam, s.red, &person, given).await.unwrap().id;
            let new = [NewMember { who: MemberRef::Id(person.id), role: had }];
            s.add_group_members(&s.owner.call(), s.red, &new).await.unwrap();
            assert_eq!(told(s.accept_invite(&person.call(), invite).await), "AlreadyMember []");
            assert_eq!(s.role_in(s.red, &person).await, Some(had));
            assert_eq!(s.state(invite).await, InviteState::Revoked);
            assert_eq!(s.story(invite).await, ["invite.created", "invite.revoked"]);

            let mut new = to_org(&guest.email, &[(s.red, Role::Viewer)], InviteMode::Join);
            new.role = given;
            let invite = s.invite(&s.adam, new).await.unwrap();
            s.join(s.org, &guest, had).await;
            assert_eq!(told(s.accept_invite(&guest.call(), invite.id).await), "InviteClosed(Revoked) []");
            assert_eq!(s.role_in_org(&guest).await, Some(had));
            assert_eq!(s.role_in(s.red, &guest).await, None);
        }
        audit(&s).await;
    }
}

/// I4: the inviter's role counts as it is when the invite is accepted.
#[tokio::test]
async fn an_inviter_who_may_no_longer_invite_makes_no_member() {
    for engine in engines() {
        let s = scene(engine).await;
        let database = &s.opened.database;
        for (n, fall) in ["demoted", "removed", "gone", "disabled", "unknown role"].into_iter().enumerate() {
            let inviter = s.person(&format!("inviter{n}")).await;
            s.join(s.org, &inviter, Role::Admin).await;
            s.admit(s.red, &[(&inviter, Role::Admin)]).await;
            let (guest, member) =
                (s.person(&format!("guest{n}")).await, s.person(&format!("member{n}")).await);
            s.join(s.org, &member, Role::Viewer).await;
            let to_org = s.ask(&inviter, &guest, &[]).await.id;
            let to_group = s.invite_to(&inviter, s.red, &member, Role::Viewer).await.unwrap().id;
            let id = database.literal(inviter.id.uuid());
            // Behind the registry's back where it would have revoked them itself.
            let sql = match fall {
                "demoted" => {
                    let change = [RoleChange { member_id: inviter.id, role: Role::Editor }];
                    s.update_group_members(&s.owner.call(), s.red, &change).await.unwrap();
                    s.update_org_members(&s.owner.call(), s.org, &change).await.unwrap();
                    String::new()
                }
                "removed" => format!(
                    "DELETE FROM group_memberships WHERE member_id = {id}; DELETE FROM org_memberships WHERE member_id = {id}"
                ),
                "gone" => format!(
                    "DELETE FROM group_memberships WHERE member_id = {id}; DELETE FROM org_memberships WHERE member_id = {id}; DELETE FROM sessions WHERE user_id = {id}; DELETE FROM users WHERE id = {id}"
                ),
                "disabled" => format!("UPDATE users SET status = 'disabled' WHERE id = {id}"),
                _ => format!(
                    "UPDATE group_memberships SET role = 'superowner' WHERE member_id = {id}; UPDATE org_memberships SET role = 'superowner' WHERE member_id = {id}"
                ),
            };
            if !sql.is_empty() {
                database.execute(sql).await;
            }
            let no_longer = "InviteNoLongerValid []";
            assert_eq!(told(s.accept_invite(&guest.call(), to_org).await), no_longer, "{fall}");
            assert_eq!(told(s.accept_invite(&member.call(), to_group).await), no_longer, "{fall}");
            assert_eq!(s.role_in_org(&guest).await, None);
            assert_eq!(s.role_in(s.red, &member).await, None);
            for invite in [to_org, to_group] {
                assert_eq!(s.state(invite).await, InviteState::Revoked);
                assert_eq!(s.story(invite).await, ["invite.created", "invite.revoked"]);
            }
            assert_eq!(told(s.accept_invite(&guest.call(), to_org).await), "InviteClosed(Revoked) []");
            database.execute(format!("DELETE FROM group_memberships WHERE member_id = {id}; DELETE FROM org_memberships WHERE member_id = {id}")).await;
        }
        audit(&s).await;
    }
}

/// I11: the second look, for rows that should not be.
#[tokio::test]
async fn only_members_of_the_organisation_join_a_group() {
    for engine in engines() {
        let s = scene(engine).await;
        let invite = s.invite_to(&s.adam, s.red, &s.max, Role::Viewer).await.unwrap().id;
        s.vanish_from_org(s.max.id).await;
        assert_eq!(told(s.accept_invite(&s.max.call(), invite).await), "InviteNoLongerValid []");
        assert_eq!(s.role_in(s.red, &s.max).await, None);
        assert_eq!(s.state(invite).await, InviteState::Revoked);
        audit(&s).await;
    }
}

#[tokio::test]
async fn a_repetition_changes_nothing_and_is_told_the_same() {
    for engine in engines() {
        let s = scene(engine).await;
        let again = |person: &Person, key: &str| person.call().repeatable("route", key, b"{}");
        let new = [to_org(&s.gus.email, &[(s.red, Role::Viewer)], InviteMode::Join)];
        let create =
            async || s.create_org_invites(&again(&s.adam, "create"), s.org, &new, false).await.unwrap();
        let first = create().await;
        let count = (s.rows().await, s.entries().await);
        assert_eq!(create().await, first);
        assert_eq!((s.rows().await, s.entries().await), count);
        let id = crate::support::invites::made(first).id;

        let accept = async || told(s.accept_invite(&again(&s.gus, "accept"), id).await);
        let first = accept().await;
        let count = s.entries().await;
        assert_eq!(accept().await, first);
        assert_eq!(s.entries().await, count);
        assert_eq!(told(s.accept_invite(&s.gus.call(), id).await), "InviteClosed(Accepted) []");

        // Also an answer that is a refusal and yet changed something.
        let invite = s.invite_to(&s.adam, s.green, &s.max, Role::Viewer).await.unwrap().id;
        s.admit(s.green, &[(&s.max, Role::Editor)]).await;
        for _ in 0..2 {
            assert_eq!(told(s.accept_invite(&again(&s.max, "void"), invite).await), "AlreadyMember []");
        }
        let invite = s.invite_to(&s.adam, s.blue, &s.max, Role::Viewer).await.unwrap().id;
        for _ in 0..2 {
            assert_eq!(told(s.revoke_invite(&again(&s.adam, "revoke"), invite).await), "()");
        }
        assert_eq!(s.story(invite).await, ["invite.created", "invite.revoked"]);
        audit(&s).await;
    }
}

/// The place may be gone by the time that a client asks again what became of its request.
#[tokio::test]
async fn a_repetition_is_answered_although_the_invite_is_gone() {
    for engine in engines() {
        let s = scene(engine).await;
        let invite = s.invite_to(&s.adam, s.red, &s.max, Role::Viewer).await.unwrap().id;
        let call = s.max.call().repeatable("route", "key", b"");
        let first = s.accept_invite(&call, invite).await.unwrap();
        s.delete_groups(&s.owner.call(), &[s.red]).await.unwrap();
        assert_eq!(s.accept_invite(&call, invite).await.unwrap(), first);
        assert_eq!(told(s.accept_invite(&s.max.call(), invite).await), "NotFound");
        audit(&s).await;
    }
}

//! Answers that meet a change of what they are decided by.

use std::sync::Arc;

use registry::{ConflictKind, InviteMode, InviteState, MemberRef, NewMember, Role, RoleChange};

use crate::{
    NO_LONGER, accept, closed, meet, mode, number, of,
    support::{
        engines,
        invites::audit,
        race::{ROUNDS, Told, done, racer, rounds},
        stage::{group, invite, inviter, org, stage},
    },
};

/// I4: once the inviter has fallen, in the journal's order, nobody is a member by their word.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_joins_by_the_word_of_somebody_who_has_fallen() {
    for engine in engines() {
        let mut stage = stage(engine).await;
        for round in 0..ROUNDS {
            stage.org_member(round, stage.guest.id, "viewer");
            stage.group_invite(0, round, invite(0, round), stage.adam.id, None);
        }
        let world = stage.set().await;
        let people = Arc::new([stage.guest.clone(), stage.adam.clone(), stage.owner.clone()]);
        let shared = Arc::clone(&world);
        rounds(move |round| {
            let (world, people) = (Arc::clone(&shared), Arc::clone(&people));
            async move {
                let [guest, adam, owner] = people.as_ref();
                let (place, id) = (group(0, round), invite(0, round));
                let mut racers = Vec::new();
                for n in 0..4 {
                    racers.push(("accept", accept(&world, guest, id)));
                    let (call, own, whom) = (owner.call(), adam.call(), [adam.id]);
                    racers.push((
                        "fall",
                        match (round + n) % 4 {
                            0 => racer(&world, |world| async move {
                                let change = [RoleChange { member_id: whom[0], role: Role::Editor }];
                                world.update_group_members(&call, place, &change).await
                            }),
                            1 => racer(&world, |world| async move {
                                world.remove_group_members(&call, place, &whom).await
                            }),
                            2 => racer(&world, |world| async move {
                                world.remove_org_members(&own, org(round), &whom).await
                            }),
                            _ => racer(&world, |world| async move {
                                world.remove_org_members(&call, org(round), &whom).await
                            }),
                        },
                    ));
                }
                let told = meet(round, racers).await;
                let accepts = of(&told, "accept");
                assert!(done(&accepts) <= 1, "{told:?}");
                let refused =
                    [closed(InviteState::Accepted), closed(InviteState::Revoked), NO_LONGER, Told::Done];
                assert!(accepts.iter().all(|told| refused.contains(told)), "{told:?}");
                assert!(done(&of(&told, "fall")) >= 1, "{told:?}");
                let lost = [Told::Done, Told::NotFound, Told::Conflict(ConflictKind::NotAMember)];
                assert!(of(&told, "fall").iter().all(|told| lost.contains(told)), "{told:?}");
                let state = world.view_invite(&guest.call(), id).await.unwrap().state;
                let wanted = if done(&accepts) == 1 { InviteState::Accepted } else { InviteState::Revoked };
                assert_eq!(state, wanted, "{told:?}");
            }
        })
        .await;
        let adam = world.opened.database.literal(stage.adam.id.uuid());
        let after = format!(
            "journal a JOIN journal f ON f.group_id = a.group_id AND f.id < a.id WHERE a.action = 'invite.accepted' \
             AND f.subject_id = {adam} AND f.action IN ('member.updated', 'member.removed')"
        );
        assert_eq!(number(&world, &after).await, 0, "accepted after the fall");
        audit(&world).await;
    }
}

/// I11 and V8.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_stays_in_a_group_of_an_organisation_that_they_leave() {
    for engine in engines() {
        let mut stage = stage(engine).await;
        for round in 0..ROUNDS {
            stage.org_member(round, stage.guest.id, "viewer");
            stage.group_invite(0, round, invite(0, round), stage.adam.id, None);
        }
        let world = stage.set().await;
        let people = Arc::new([stage.guest.clone(), stage.owner.clone()]);
        let shared = Arc::clone(&world);
        rounds(move |round| {
            let (world, people) = (Arc::clone(&shared), Arc::clone(&people));
            async move {
                let [guest, owner] = people.as_ref();
                let id = invite(0, round);
                let mut racers = Vec::new();
                for n in 0..4 {
                    racers.push(("accept", accept(&world, guest, id)));
                    let (call, whom) = ([guest, owner][n % 2].call(), [guest.id]);
                    racers.push((
                        "leave",
                        racer(&world, |world| async move {
                            world.remove_org_members(&call, org(round), &whom).await
                        }),
                    ));
                }
                let told = meet(round, racers).await;
                assert_eq!(done(&of(&told, "leave")), 1, "{told:?}");
                let accepts = of(&told, "accept");
                assert!(done(&accepts) <= 1, "{told:?}");
                let state = if done(&accepts) == 1 { InviteState::Accepted } else { InviteState::Revoked };
                assert!(accepts.iter().all(|told| [Told::Done, closed(state)].contains(told)), "{told:?}");
                assert_eq!(world.view_invite(&guest.call(), id).await.unwrap().state, state);
            }
        })
        .await;
        let guest = world.opened.database.literal(stage.guest.id.uuid());
        for table in ["org_memberships", "group_memberships"] {
            assert_eq!(number(&world, &format!("{table} WHERE member_id = {guest}")).await, 0);
        }
        audit(&world).await;
    }
}

/// Somebody is shut out while their word is taken: to a group, and by what slept on their invite to the
/// organisation while another's is accepted.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_joins_by_the_word_of_somebody_who_is_shut_out() {
    for engine in engines() {
        let mut stage = stage(engine).await;
        for round in 0..ROUNDS {
            stage.user(round);
            stage.org_member(round, inviter(round), "admin");
            for which in [0, 1] {
                stage.member(which, round, inviter(round), "admin");
            }
            if round % 2 == 0 {
                stage.org_member(round, stage.guest.id, "viewer");
                stage.group_invite(0, round, invite(0, round), inviter(round), None);
            } else {
                for (n, by) in [(0, stage.adam.id), (3, inviter(round))] {
                    stage.org_invite(round, invite(n, round), by, InviteMode::Join);
                    stage.group_invite(0, round, invite(n + 1, round), by, Some(invite(n, round)));
                    stage.group_invite(1, round, invite(n + 2, round), by, Some(invite(n, round)));
                }
            }
        }
        let world = stage.set().await;
        let guest = stage.guest.clone();
        let shared = Arc::clone(&world);
        rounds(move |round| {
            let (world, guest) = (Arc::clone(&shared), guest.clone());
            async move {
                let mut racers = Vec::new();
                for _ in 0..4 {
                    racers.push(("accept", accept(&world, &guest, invite(0, round))));
                    let root = world.root.call();
                    racers.push((
                        "disable",
                        racer(&world, |world| async move { world.disable_user(&root, inviter(round)).await }),
                    ));
                }
                let told = meet(round, racers).await;
                assert_eq!(done(&of(&told, "disable")), 4, "{told:?}");
                let accepts = of(&told, "accept");
                if round % 2 == 0 {
                    assert!(done(&accepts) <= 1, "{told:?}");
                    let state =
                        if done(&accepts) == 1 { InviteState::Accepted } else { InviteState::Revoked };
                    let lost = [Told::Done, closed(state)];
                    assert!(accepts.iter().all(|told| lost.contains(told)), "{told:?}");
                } else {
                    // The one accepted is another's.
                    assert_eq!(done(&accepts), 1, "{told:?}");
                    let lost = [Told::Done, closed(InviteState::Accepted)];
                    assert!(accepts.iter().all(|told| lost.contains(told)), "{told:?}");
                    for (by_adam, by_other) in [(1, 4), (2, 5)] {
                        let mut states = Vec::new();
                        for which in [by_adam, by_other] {
                            let root = world.root.call();
                            states.push(world.view_invite(&root, invite(which, round)).await.unwrap().state);
                        }
                        states.sort_unstable_by_key(|state| state.as_str());
                        assert_eq!(states, [InviteState::Accepted, InviteState::Revoked], "{told:?}");
                    }
                }
            }
        })
        .await;
        assert_eq!(number(&world, "invites WHERE state = 'pending'").await, 0);
        audit(&world).await;
    }
}

/// V10: a group goes while its invite is accepted, or while it wakes.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_left_of_a_group_that_somebody_joins() {
    for engine in engines() {
        let mut stage = stage(engine).await;
        for round in 0..ROUNDS {
            let id = invite(0, round);
            if round % 2 == 0 {
                stage.org_member(round, stage.guest.id, "viewer");
                stage.group_invite(0, round, id, stage.adam.id, None);
            } else {
                stage.org_invite(round, id, stage.adam.id, mode(round / 2));
                stage.group_invite(0, round, invite(1, round), stage.adam.id, Some(id));
                stage.group_invite(1, round, invite(2, round), stage.adam.id, Some(id));
            }
        }
        let world = stage.set().await;
        let people = Arc::new([stage.guest.clone(), stage.owner.clone()]);
        let shared = Arc::clone(&world);
        rounds(move |round| {
            let (world, people) = (Arc::clone(&shared), Arc::clone(&people));
            async move {
                let [guest, owner] = people.as_ref();
                let id = invite(0, round);
                let mut racers = Vec::new();
                for _ in 0..4 {
                    racers.push(("accept", accept(&world, guest, id)));
                    let call = owner.call();
                    racers.push((
                        "delete",
                        racer(
                            &world,
                            |world| async move { world.delete_groups(&call, &[group(0, round)]).await },
                        ),
                    ));
                }
                let told = meet(round, racers).await;
                assert_eq!(done(&of(&told, "delete")), 1, "{told:?}");
                assert!(of(&told, "delete").iter().all(|told| [Told::Done, Told::NotFound].contains(told)));
                let accepts = of(&told, "accept");
                let lost = [Told::Done, Told::NotFound, closed(InviteState::Accepted)];
                assert!(accepts.iter().all(|told| lost.contains(told)), "{told:?}");
                if round % 2 == 0 {
                    assert!(done(&accepts) <= 1, "{told:?}");
                } else {
                    assert_eq!(done(&accepts), 1, "{told:?}");
                    let other = world.view_invite(&world.root.call(), invite(2, round)).await.unwrap();
                    assert!(!other.dormant, "{told:?}");
                }
            }
        })
        .await;
        assert_eq!(number(&world, "dormant_group_invites").await, 0);
        assert_eq!(number(&world, "group_invites i WHERE i.id NOT IN (SELECT id FROM invites)").await, 0);
        assert_eq!(number(&world, "groups WHERE name = 'group0'").await, 0);
        audit(&world).await;
    }
}

/// Somebody is added by hand in the moment in which they accept: they are in once, and no group is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_is_added_while_they_accept_is_in_once() {
    for engine in engines() {
        let mut stage = stage(engine).await;
        for round in 0..ROUNDS {
            let id = invite(0, round);
            stage.org_invite(round, id, stage.adam.id, mode(round));
            stage.group_invite(0, round, invite(1, round), stage.adam.id, Some(id));
            stage.group_invite(1, round, invite(2, round), stage.adam.id, Some(id));
        }
        let world = stage.set().await;
        let people = Arc::new([stage.guest.clone(), stage.owner.clone()]);
        let shared = Arc::clone(&world);
        rounds(move |round| {
            let (world, people) = (Arc::clone(&shared), Arc::clone(&people));
            async move {
                let [guest, owner] = people.as_ref();
                let mut racers = Vec::new();
                for _ in 0..4 {
                    racers.push(("accept", accept(&world, guest, invite(0, round))));
                    let new = [NewMember { who: MemberRef::Id(guest.id), role: Role::Editor }];
                    let call = owner.call();
                    racers.push((
                        "add",
                        racer(
                            &world,
                            |world| async move { world.add_org_members(&call, org(round), &new).await },
                        ),
                    ));
                }
                let told = meet(round, racers).await;
                let (accepts, adds) = (of(&told, "accept"), of(&told, "add"));
                assert_eq!(done(&accepts) + done(&adds), 1, "{told:?}");
                let accepted = done(&accepts) == 1;
                let end = if accepted { InviteState::Accepted } else { InviteState::Revoked };
                assert!(accepts.iter().all(|told| [Told::Done, closed(end)].contains(told)), "{told:?}");
                let already = Told::Conflict(ConflictKind::AlreadyMember);
                assert!(adds.iter().all(|told| [Told::Done, already].contains(told)), "{told:?}");
                let woken = match mode(round) {
                    InviteMode::Join if accepted => InviteState::Accepted,
                    InviteMode::Join | InviteMode::Ask => InviteState::Pending,
                };
                for which in [1, 2] {
                    let seen = world.view_invite(&guest.call(), invite(which, round)).await.unwrap();
                    assert_eq!((seen.state, seen.dormant), (woken, false), "{told:?}");
                }
            }
        })
        .await;
        assert_eq!(number(&world, "dormant_group_invites").await, 0);
        audit(&world).await;
    }
}

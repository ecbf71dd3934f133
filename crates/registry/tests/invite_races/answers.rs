//! Answers that meet each other, and invites that meet invites.

use std::sync::Arc;

use registry::{ConflictKind, InviteMode, InviteState, Role, Secret, secret::Prefix};

use crate::{
    accept, closed, decline, meet, mode, number, of, revoke,
    support::{
        engines,
        invites::{audit, to_group, to_org},
        log_ins::{anonymous, json, password},
        people::{PASSWORD, World},
        race::{ROUNDS, Told, done, racer, rounds},
        stage::{Stage, address, group, invite, inviter, inviter_address, org, stage},
    },
};

async fn one_answer_wins(stage: &Stage, world: Arc<World>) {
    let people = Arc::new([stage.guest.clone(), stage.adam.clone(), stage.alma.clone()]);
    let shared = Arc::clone(&world);
    rounds(move |round| {
        let (world, people) = (Arc::clone(&shared), Arc::clone(&people));
        async move {
            let [guest, adam, alma] = people.as_ref();
            let id = invite(0, round);
            let mut racers = Vec::new();
            for _ in 0..3 {
                racers.push((InviteState::Accepted, accept(&world, guest, id)));
                racers.push((InviteState::Declined, decline(&world, guest, id)));
            }
            racers.push((InviteState::Revoked, revoke(&world, adam, id)));
            racers.push((InviteState::Revoked, revoke(&world, alma, id)));
            let told = meet(round, racers).await;
            let winners: Vec<_> = told.iter().filter(|(_, told)| *told == Told::Done).collect();
            assert_eq!(winners.len(), 1, "{told:?}");
            let state = winners[0].0;
            assert!(told.iter().all(|(_, told)| [Told::Done, closed(state)].contains(told)), "{told:?}");
            assert_eq!(world.view_invite(&guest.call(), id).await.unwrap().state, state);
        }
    })
    .await;
}

/// I5 and V5: of three who accept, three who decline and two who revoke, one.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_groups_invite_is_answered_once() {
    for engine in engines() {
        let mut stage = stage(engine).await;
        for round in 0..ROUNDS {
            stage.org_member(round, stage.guest.id, "viewer");
            stage.group_invite(0, round, invite(0, round), stage.adam.id, None);
        }
        let world = stage.set().await;
        one_answer_wins(&stage, Arc::clone(&world)).await;
        let pending = number(&world, "group_invites WHERE state = 'pending'").await;
        assert_eq!(pending, 0);
        audit(&world).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_organisations_invite_is_answered_once() {
    for engine in engines() {
        let mut stage = stage(engine).await;
        for round in 0..ROUNDS {
            let id = invite(0, round);
            stage.org_invite(round, id, stage.adam.id, mode(round));
            // In every third nothing sleeps, so that no group's row keeps them apart.
            if round % 3 > 0 {
                stage.group_invite(0, round, invite(1, round), stage.adam.id, Some(id));
                stage.group_invite(1, round, invite(2, round), stage.adam.id, Some(id));
            }
        }
        let world = stage.set().await;
        one_answer_wins(&stage, Arc::clone(&world)).await;
        assert_eq!(number(&world, "org_invites WHERE state = 'pending'").await, 0);
        assert_eq!(number(&world, "dormant_group_invites").await, 0);
        audit(&world).await;
    }
}

/// I10: two organisation invites by two admins offer the same two groups, and both are accepted at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_invites_with_the_same_groups_one_is_accepted_and_one_of_each_wakes() {
    for engine in engines() {
        let mut stage = stage(engine).await;
        for round in 0..ROUNDS {
            for (n, by) in [(0, stage.adam.id), (3, stage.alma.id)] {
                stage.org_invite(round, invite(n, round), by, mode(round));
                stage.group_invite(0, round, invite(n + 1, round), by, Some(invite(n, round)));
                stage.group_invite(1, round, invite(n + 2, round), by, Some(invite(n, round)));
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
                    racers.push((0, accept(&world, &guest, invite(0, round))));
                    racers.push((3, accept(&world, &guest, invite(3, round))));
                }
                let told = meet(round, racers).await;
                let winner = told.iter().find(|(_, told)| *told == Told::Done).unwrap().0;
                for (which, told) in &told {
                    let lost = if *which == winner { InviteState::Accepted } else { InviteState::Revoked };
                    assert!([Told::Done, closed(lost)].contains(told), "{told:?}");
                }
                let wins: Vec<Told> = told.iter().map(|(_, told)| *told).collect();
                assert_eq!(done(&wins), 1, "{told:?}");
                // Of each pair the newer, whichever was accepted.
                let woken = match mode(round) {
                    InviteMode::Ask => InviteState::Pending,
                    InviteMode::Join => InviteState::Accepted,
                };
                for (which, state) in
                    [(1, InviteState::Revoked), (2, InviteState::Revoked), (4, woken), (5, woken)]
                {
                    let seen = world.view_invite(&world.root.call(), invite(which, round)).await.unwrap();
                    assert_eq!(seen.state, state, "{told:?}");
                }
            }
        })
        .await;
        assert_eq!(number(&world, "dormant_group_invites").await, 0);
        audit(&world).await;
    }
}

/// I7: two admins invite the same people, four times each, where an invite that is past due still stands.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_pair_has_one_pending_invite() {
    for engine in engines() {
        let mut stage = stage(engine).await;
        for round in 0..ROUNDS {
            // Each round somebody else, because what an address was sent lately is counted.
            stage.user(round);
            stage.org_member(round, inviter(round), "viewer");
            stage.due_group_invite(0, round, invite(0, round), stage.adam.id);
        }
        let world = stage.set().await;
        let people = Arc::new([stage.adam.clone(), stage.alma.clone()]);
        let shared = Arc::clone(&world);
        rounds(move |round| {
            let (world, people) = (Arc::clone(&shared), Arc::clone(&people));
            async move {
                let [adam, alma] = people.as_ref();
                let refused = Told::Conflict(ConflictKind::AlreadyInvited);
                let (mut to_a_group, mut to_an_org) = (Vec::new(), Vec::new());
                for (which, by) in [adam, alma].into_iter().cycle().take(8).enumerate() {
                    let (call, new) = (by.call(), [to_group(&inviter_address(round), Role::Viewer)]);
                    let racer_ = racer(&world, |world| async move {
                        world.create_group_invites(&call, group(0, round), &new, false).await
                    });
                    to_a_group.push((which % 2, racer_));
                    let (call, new) = (by.call(), [to_org(&address(round), &[], InviteMode::Ask)]);
                    let racer_ = racer(&world, |world| async move {
                        world.create_org_invites(&call, org(round), &new, false).await
                    });
                    to_an_org.push((which % 2, racer_));
                }
                let told = meet(round, to_a_group).await;
                let all: Vec<Told> = told.iter().map(|(_, told)| *told).collect();
                assert_eq!(done(&all), 1, "{told:?}");
                assert!(all.iter().all(|told| [Told::Done, refused].contains(told)), "{told:?}");
                // To an organisation each of the two may invite.
                let told = meet(round, to_an_org).await;
                for which in [0, 1] {
                    let theirs = of(&told, which);
                    assert_eq!(done(&theirs), 1, "{told:?}");
                    assert!(theirs.iter().all(|told| [Told::Done, refused].contains(told)), "{told:?}");
                }
            }
        })
        .await;
        let rounds = i64::try_from(ROUNDS).unwrap();
        assert_eq!(number(&world, "group_invites WHERE state = 'pending'").await, rounds);
        assert_eq!(number(&world, "group_invites WHERE state = 'expired'").await, rounds);
        assert_eq!(number(&world, "org_invites WHERE state = 'pending'").await, 2 * rounds);
        audit(&world).await;
    }
}

/// I2: a secret is used once, or taken back before.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_secret_makes_one_account_or_none() {
    for engine in engines() {
        let mut stage = stage(engine).await;
        let mut secrets = Vec::new();
        for round in 0..ROUNDS {
            let secret = Secret::generate(Prefix::Invite).unwrap();
            if round % 2 == 0 {
                stage.platform_invite(round, invite(0, round), stage.world.root.id, &secret);
            } else {
                let ids = [invite(0, round), invite(1, round)];
                stage.far_invite(round, ids, stage.adam.id, &secret);
                stage.group_invite(0, round, invite(2, round), stage.adam.id, Some(ids[0]));
            }
            secrets.push(secret);
        }
        let world = stage.set().await;
        let (secrets, alma) = (Arc::new(secrets), stage.alma.clone());
        let shared = Arc::clone(&world);
        rounds(move |round| {
            let (world, secrets, alma) = (Arc::clone(&shared), Arc::clone(&secrets), alma.clone());
            async move {
                let alone = round % 2 == 0;
                let mut racers = Vec::new();
                for n in 0..4 {
                    let secret = secrets[round].clone();
                    racers.push((
                        "register",
                        racer(&world, |world| async move {
                            let (call, password, metadata) = (anonymous(), password(PASSWORD), json("{}"));
                            world.register_by_invite(&call, &secret, None, &password, &metadata).await
                        }),
                    ));
                    let by = if alone { &world.root } else { &alma };
                    let id = invite(if alone { 0 } else { n % 2 }, round);
                    racers.push(("revoke", revoke(&world, by, id)));
                }
                let told = meet(round, racers).await;
                let (registered, revoked) = (done(&of(&told, "register")), done(&of(&told, "revoke")));
                assert!(
                    of(&told, "register").iter().all(|told| [Told::Done, Told::NotFound].contains(told)),
                    "{told:?}"
                );
                assert!(registered <= 1 && revoked <= 1, "{told:?}");
                assert!(registered + revoked >= 1, "{told:?}");
                // What it woke can be taken back a moment later.
                assert!(!alone || registered + revoked == 1, "{told:?}");
                let ends = [InviteState::Accepted, InviteState::Revoked].map(closed);
                assert!(
                    of(&told, "revoke").iter().all(|told| *told == Told::Done || ends.contains(told)),
                    "{told:?}"
                );
                let email = address(round);
                let people = number(&world, &format!("users WHERE email = '{email}'")).await;
                assert_eq!(people, i64::try_from(registered).unwrap(), "{told:?}");
            }
        })
        .await;
        assert_eq!(number(&world, "platform_invites WHERE state = 'pending'").await, 0);
        audit(&world).await;
    }
}

/// I2: two organisations invite an address, and both secrets are used at once. One makes the account, which gets
/// what both sent; the other is told that it does not work any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_secrets_for_an_address_one_makes_the_account() {
    for engine in engines() {
        let mut stage = stage(engine).await;
        let mut secrets = Vec::new();
        for round in 0..ROUNDS {
            let pair = [(); 2].map(|()| Secret::generate(Prefix::Invite).unwrap());
            stage.far_invite(round, [invite(0, round), invite(1, round)], stage.adam.id, &pair[0]);
            stage.group_invite(0, round, invite(2, round), stage.adam.id, Some(invite(0, round)));
            let elsewhere = (round + 1) % ROUNDS;
            let ids = [invite(3, round), invite(4, round)];
            stage.far_invite_to(elsewhere, round, ids, stage.alma.id, &pair[1]);
            secrets.push(pair);
        }
        let world = stage.set().await;
        let secrets = Arc::new(secrets);
        let shared = Arc::clone(&world);
        rounds(move |round| {
            let (world, secrets) = (Arc::clone(&shared), Arc::clone(&secrets));
            async move {
                let mut racers = Vec::new();
                for which in [0, 1, 0, 1] {
                    let secret = secrets[round][which].clone();
                    let register = racer(&world, |world| async move {
                        let (call, password, metadata) = (anonymous(), password(PASSWORD), json("{}"));
                        world.register_by_invite(&call, &secret, None, &password, &metadata).await
                    });
                    racers.push((which, register));
                }
                let told = meet(round, racers).await;
                let all: Vec<Told> = told.iter().map(|(_, told)| *told).collect();
                let lost = [Told::Done, Told::NotFound, Told::Conflict(ConflictKind::EmailTaken)];
                assert_eq!(done(&all), 1, "{told:?}");
                assert!(all.iter().all(|told| lost.contains(told)), "{told:?}");
                let email = address(round);
                assert_eq!(number(&world, &format!("users WHERE email = '{email}'")).await, 1);
                let mut invitees = Vec::new();
                for which in [0, 3] {
                    let seen = world.view_invite(&world.root.call(), invite(which, round)).await.unwrap();
                    assert_eq!((seen.state, seen.dormant), (InviteState::Pending, false), "{told:?}");
                    invitees.push(seen.invitee_id.unwrap());
                }
                assert_eq!(invitees[0], invitees[1], "{told:?}");
            }
        })
        .await;
        assert_eq!(number(&world, "platform_invites WHERE state <> 'accepted'").await, 0);
        audit(&world).await;
    }
}

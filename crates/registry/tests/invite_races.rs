//! Answers to invites that meet each other, and whatever else changes what they are decided by: a thousand
//! rounds of eight, on every engine. One wins, the others are told so in a way that a client understands,
//! and no row breaks a rule.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "also outside of the functions marked as tests"
)]

mod support;

mod invite_races {
    mod answers;
    mod changes;
}

use std::sync::Arc;

use registry::{ConflictKind, InviteId, InviteMode, InviteState};
use support::{
    people::{Person, World},
    race::{Racer, Told, race, racer},
};

fn accept(world: &Arc<World>, by: &Person, id: InviteId) -> Racer {
    let call = by.call();
    racer(world, |world| async move { world.accept_invite(&call, id).await })
}

fn decline(world: &Arc<World>, by: &Person, id: InviteId) -> Racer {
    let call = by.call();
    racer(world, |world| async move { world.decline_invite(&call, id).await })
}

fn revoke(world: &Arc<World>, by: &Person, id: InviteId) -> Racer {
    let call = by.call();
    racer(world, |world| async move { world.revoke_invite(&call, id).await })
}

fn closed(state: InviteState) -> Told {
    Told::Conflict(ConflictKind::InviteClosed(state))
}

const NO_LONGER: Told = Told::Conflict(ConflictKind::InviteNoLongerValid);

/// Starts them in another order in each round; tells of each kind how it went.
async fn meet<K: Copy + PartialEq>(round: usize, mut racers: Vec<(K, Racer)>) -> Vec<(K, Told)> {
    let by = round % racers.len();
    racers.rotate_left(by);
    let (kinds, racers): (Vec<K>, Vec<Racer>) = racers.into_iter().unzip();
    kinds.into_iter().zip(race(racers).await).collect()
}

fn of<K: Copy + PartialEq>(told: &[(K, Told)], kind: K) -> Vec<Told> {
    told.iter().filter(|(its, _)| *its == kind).map(|(_, told)| *told).collect()
}

/// Both modes in turn.
fn mode(round: usize) -> InviteMode {
    [InviteMode::Ask, InviteMode::Join][round % 2]
}

async fn number(world: &World, sql: &str) -> i64 {
    world.opened.database.number(format!("SELECT count(*) FROM {sql}")).await
}

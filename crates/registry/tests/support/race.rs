//! Requests that are made in the same moment, many times over.

#![allow(dead_code, unreachable_pub, reason = "every test crate includes this file and uses part of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "what goes wrong here fails the test")]

use std::{pin::Pin, sync::Arc};

use registry::{ConflictKind, Denial, Error};
use tokio::sync::Barrier;

use super::people::World;

/// How often each race is run.
pub const ROUNDS: usize = 1_000;
/// How many rounds run side by side.
pub const LANES: usize = 6;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Done,
    NotFound,
    Forbidden,
    Stale,
    Conflict(ConflictKind),
}

pub type Racer = Pin<Box<dyn Future<Output = Told> + Send>>;

/// A request as somebody in a race.
pub fn racer<T, F>(world: &Arc<World>, request: impl FnOnce(Arc<World>) -> F) -> Racer
where
    F: Future<Output = Result<T, Error>> + Send + 'static,
{
    let request = request(Arc::clone(world));
    Box::pin(async move {
        match request.await {
            Ok(_) => Told::Done,
            Err(Error::NotFound) => Told::NotFound,
            Err(Error::Forbidden(Denial::Role | Denial::Rank)) => Told::Forbidden,
            Err(Error::Stale) => Told::Stale,
            Err(Error::Conflict(conflict)) => Told::Conflict(conflict.kind),
            Err(other) => panic!("this got out: {other:?}"),
        }
    })
}

/// Starts all of them in the same moment.
pub async fn race(racers: Vec<Racer>) -> Vec<Told> {
    let start = Arc::new(Barrier::new(racers.len()));
    let running: Vec<_> = racers
        .into_iter()
        .map(|racer| {
            let start = Arc::clone(&start);
            tokio::spawn(async move {
                start.wait().await;
                racer.await
            })
        })
        .collect();
    let mut told = Vec::new();
    for racer in running {
        told.push(racer.await.unwrap());
    }
    told
}

/// Runs the rounds, several at a time.
pub async fn rounds<F: Future<Output = ()> + Send + 'static>(
    round: impl Fn(usize) -> F + Send + Sync + Clone + 'static,
) {
    let lanes: Vec<_> = (0..LANES)
        .map(|lane| {
            let round = round.clone();
            tokio::spawn(async move {
                for number in (lane..ROUNDS).step_by(LANES) {
                    round(number).await;
                }
            })
        })
        .collect();
    for lane in lanes {
        lane.await.unwrap();
    }
}

pub fn done(told: &[Told]) -> usize {
    told.iter().filter(|told| **told == Told::Done).count()
}

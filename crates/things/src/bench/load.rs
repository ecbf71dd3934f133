//! Load in a closed loop: so many connections, on each of them one request after the other.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use super::{
    Result,
    child::Server,
    client::{Ask, Client, Told},
    fleet::{Fleet, Thing},
    histogram::Histogram,
};
use crate::cli::Failure;

/// How many things are asked for again and again where keys are hot.
pub(super) const HOT: usize = 100;

/// Numbers that look random and are the same in every run.
#[derive(Clone)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x2545_f491_4f6c_dd1d))
    }

    /// The next number: splitmix64.
    pub(super) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One below `end`.
    pub(super) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.roll() % (end.max(1) as u64)).unwrap_or(0)
    }
}

/// Whose keys are shown, and until when.
#[derive(Clone)]
pub(super) enum Keys {
    /// Of the first so many things, at random, until the moment.
    Among(usize, Instant),
    /// The same, until it is told to stop.
    While(usize, Arc<AtomicBool>),
    /// Each thing once, in this order.
    Each(Arc<[u32]>, Arc<AtomicUsize>),
    /// So many made-up keys with a wrong checksum, of which so many have been shown.
    MadeUp(usize, Arc<AtomicUsize>),
}

/// What came of it.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) histogram: Histogram,
    pub(super) took: Duration,
}

impl Tally {
    pub(super) fn merge(&mut self, other: &Self) {
        self.histogram.merge(&other.histogram);
        self.took += other.took;
    }

    pub(super) fn per_second(&self) -> f64 {
        self.histogram.count() as f64 / self.took.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

/// Connections to a server, kept from one load to the next.
pub(super) struct Connections {
    clients: Vec<(Client, Dice)>,
}

impl Connections {
    pub(super) async fn open(server: &Server, ask: Ask, count: usize) -> Result<Self> {
        let mut clients = Vec::with_capacity(count);
        for number in 0..count {
            clients.push((Client::connect(server, ask).await?, Dice::new(number as u64 + 1)));
        }
        Ok(Self { clients })
    }

    /// Loads the server. An answer that is not the right one ends the run: it would have measured
    /// something else.
    pub(super) async fn load(&mut self, fleet: &Arc<Fleet>, ask: Ask, keys: &Keys) -> Result<Tally> {
        let mut running = JoinSet::new();
        let started = Instant::now();
        for (client, dice) in self.clients.drain(..) {
            running.spawn(converse(client, dice, Arc::clone(fleet), ask, keys.clone()));
        }
        let mut tally = Tally::default();
        while let Some(ended) = running.join_next().await {
            let (client, dice, histogram) = ended.map_err(|error| Failure::to("go on", &error))??;
            tally.histogram.merge(&histogram);
            self.clients.push((client, dice));
        }
        tally.took = started.elapsed();
        Ok(tally)
    }
}

async fn converse(
    mut client: Client,
    mut dice: Dice,
    fleet: Arc<Fleet>,
    ask: Ask,
    keys: Keys,
) -> Result<(Client, Dice, Histogram)> {
    let mut histogram = Histogram::default();
    let mut wrong = String::new();
    loop {
        let thing = match &keys {
            Keys::Among(_, until) if Instant::now() >= *until => break,
            Keys::While(_, going) if !going.load(Ordering::Relaxed) => break,
            Keys::Among(first, _) | Keys::While(first, _) => fleet.things.get(dice.below(*first)),
            Keys::Each(order, next) => match order.get(next.fetch_add(1, Ordering::Relaxed)) {
                Some(at) => fleet.things.get(*at as usize),
                None => break,
            },
            Keys::MadeUp(count, next) => match next.fetch_add(1, Ordering::Relaxed) < *count {
                true => None,
                false => break,
            },
        };
        let made_up = thing.is_none();
        let (key, id) = match thing {
            Some(Thing { key, id, .. }) => (&**key, &**id),
            None => {
                make_up(&mut wrong, &mut dice);
                (wrong.as_str(), "")
            }
        };
        let asked = Instant::now();
        let told = client.ask(ask, key, id).await?;
        histogram.add(asked.elapsed());
        let expected = if made_up { Told::Refused } else { Told::Right };
        if told != expected {
            return Err(Failure::Failed(format!("{}: a server's answer is not the right one", ask.name())));
        }
    }
    Ok((client, dice, histogram))
}

/// A key that looks generated. One in 62⁶ would have the right checksum.
fn make_up(key: &mut String, dice: &mut Dice) {
    const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    key.clear();
    key.push_str("thk_");
    for _ in 0..36 {
        key.push(LETTERS.get(dice.below(LETTERS.len())).map_or('0', |letter| char::from(*letter)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_keys_look_generated_and_are_not() {
        let (mut key, mut dice) = (String::new(), Dice::new(1));
        for _ in 0..100 {
            make_up(&mut key, &mut dice);
            let key = registry::Secret::new(key.as_str());
            assert_eq!(key.expose().len(), 40);
            assert!(!key.is_well_formed(registry::secret::Prefix::ThingKey));
        }
    }
}

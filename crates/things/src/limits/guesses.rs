//! How often keys were wrong that came from one network, and what follows from it.
//!
//! A network that fails too often is held for a moment: only what is in memory counts for it, so that its
//! guesses cost no query, and the devices that are there go on.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use governor::{Quota, RateLimiter};
use registry::Error;

use super::{Buckets, Source, take, tidy};

/// Wrong keys that may come from one network in a second.
pub(super) const FAILURES: NonZeroU32 = NonZeroU32::new(50).unwrap();

/// How long a network is held that failed too often.
const HELD: Duration = Duration::from_secs(1);

/// What one port knows of wrong keys: who fails at one of them is not held at the others.
pub(crate) struct Guesses {
    failures: Buckets<Source>,
    /// Until when networks are held.
    held: Mutex<HashMap<Source, Instant>>,
    /// Whether any is.
    holding: AtomicBool,
}

impl Default for Guesses {
    fn default() -> Self {
        Self {
            failures: RateLimiter::keyed(Quota::per_second(FAILURES)),
            held: Mutex::default(),
            holding: AtomicBool::new(false),
        }
    }
}

impl Guesses {
    /// Counts a wrong key; an error if it was one too many. Good ones are never counted: a gateway that hosts a
    /// thousand things must not be locked out because one of them has a wrong key.
    pub(crate) fn failed(&self, source: Source) -> Result<(), Error> {
        take(&self.failures, &source).inspect_err(|_| {
            let now = Instant::now();
            let mut held = self.held();
            held.retain(|_, until| *until > now);
            held.insert(source, now + HELD);
            self.holding.store(true, Ordering::Relaxed);
        })
    }

    /// For how much longer a network is held, if it is.
    pub(crate) fn hold(&self, source: Source) -> Option<Duration> {
        // Nobody is on most days.
        if !self.holding.load(Ordering::Relaxed) {
            return None;
        }
        let now = Instant::now();
        let mut held = self.held();
        held.retain(|_, until| *until > now);
        self.holding.store(!held.is_empty(), Ordering::Relaxed);
        held.get(&source).map(|until| *until - now)
    }

    pub(super) fn tidy(&self) {
        tidy(&self.failures);
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Source, Instant>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

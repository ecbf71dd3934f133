//! Who has asked how often: one bucket per person, one per source network for those without a token.

pub(crate) mod bodies;
pub(crate) mod time;

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use governor::{Quota, RateLimiter, clock::Clock as _};
use registry::{Actor, Error, Secret, UserId, credentials::CredentialKind, secret::Prefix};

use crate::app::Options;

/// Where a request comes from, as far as a limit is concerned: a /24 or a /56, because one holder of
/// such a network has all its addresses. Forwarding headers are not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Source([u8; 8]);

impl Source {
    pub(crate) fn of(peer: SocketAddr) -> Self {
        match peer.ip().to_canonical() {
            IpAddr::V4(ip) => {
                let [a, b, c, _] = ip.octets();
                Self([0, 0, 0, 0, 4, a, b, c])
            }
            IpAddr::V6(ip) => {
                let [a, b, c, d, e, f, g, ..] = ip.octets();
                Self([a, b, c, d, e, f, g, 6])
            }
        }
    }
}

/// Whose bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Principal {
    User(UserId),
    Source(Source),
}

impl Principal {
    pub(crate) fn of(actor: Option<&Actor>, source: Source) -> Self {
        match actor {
            Some(Actor::User(user)) => Self::User(user.id()),
            Some(Actor::Anonymous | Actor::Thing(_) | Actor::System) | None => Self::Source(source),
        }
    }
}

type Buckets<K> =
    RateLimiter<K, governor::state::keyed::DefaultKeyedStateStore<K>, governor::clock::DefaultClock>;

/// Failed presentations of keys that one source network may make in a second.
const KEY_FAILURES: NonZeroU32 = NonZeroU32::new(50).unwrap();

/// How long a network that failed too often waits before anything guessable is looked up for it.
const HELD: Duration = Duration::from_secs(1);

/// The buckets of this process.
pub struct RateLimits {
    requests: Option<Buckets<Principal>>,
    key_failures: Buckets<Source>,
    /// Networks that failed too often, and until when nothing guessable is looked up for them.
    held: Mutex<HashMap<Source, Instant>>,
    /// Whether there are any.
    holding: AtomicBool,
}

impl RateLimits {
    pub(crate) fn new(options: &Options) -> Self {
        let burst = NonZeroU32::new(options.burst).unwrap_or(NonZeroU32::MIN);
        let quota = options
            .requests_per_second
            .and_then(NonZeroU32::new)
            .map(|rate| Quota::per_second(rate).allow_burst(burst));
        Self {
            requests: quota.map(RateLimiter::keyed),
            key_failures: RateLimiter::keyed(Quota::per_second(KEY_FAILURES)),
            held: Mutex::default(),
            holding: AtomicBool::new(false),
        }
    }

    /// Takes one request out of the principal's bucket.
    pub(crate) fn request(&self, principal: Principal) -> Result<(), Error> {
        self.requests.as_ref().map_or(Ok(()), |buckets| take(buckets, &principal))
    }

    /// Counts a failed presentation of a key. Successes are never counted: a gateway that hosts a
    /// thousand things must not be locked out because one of them has a wrong key.
    pub fn key_failure(&self, source: Source) -> Result<(), Error> {
        take(&self.key_failures, &source).inspect_err(|_| {
            let until = Instant::now() + HELD;
            let mut held = self.held();
            held.retain(|_, until| *until > Instant::now());
            held.insert(source, until);
            self.holding.store(true, Ordering::Relaxed);
        })
    }

    /// Whether this key may be looked up for this network now: for a second after too many failures only one
    /// that cannot have been guessed, a generated one.
    pub(crate) fn guess(&self, source: Source, kind: CredentialKind, key: &Secret) -> Result<(), Error> {
        // Nobody is held on most days.
        if !self.holding.load(Ordering::Relaxed)
            || (kind == CredentialKind::Internal && key.is_well_formed(Prefix::ThingKey))
        {
            return Ok(());
        }
        let now = Instant::now();
        let mut held = self.held();
        held.retain(|_, until| *until > now);
        self.holding.store(!held.is_empty(), Ordering::Relaxed);
        match held.get(&source) {
            Some(until) => Err(Error::TooMany { retry_after: *until - now }),
            None => Ok(()),
        }
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Source, Instant>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets buckets that are full again, once a minute, as long as `app` lives.
    pub(crate) fn tidy_regularly(app: &crate::App) {
        let app = app.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_secs(60)).await;
                if let Some(buckets) = &app.limits.requests {
                    buckets.retain_recent();
                    buckets.shrink_to_fit();
                }
                app.limits.key_failures.retain_recent();
                app.limits.key_failures.shrink_to_fit();
            }
        });
    }
}

fn take<K: Clone + std::hash::Hash + Eq>(buckets: &Buckets<K>, key: &K) -> Result<(), Error> {
    buckets
        .check_key(key)
        .map_err(|until| Error::TooMany { retry_after: until.wait_time_from(buckets.clock().now()) })
}

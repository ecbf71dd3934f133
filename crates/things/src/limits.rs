//! Who has asked how often: one bucket per person, one per source network for those without a token.

pub(crate) mod bodies;
mod guesses;
pub(crate) mod time;

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    time::Duration,
};

use governor::{Quota, RateLimiter, clock::Clock as _};
use registry::{Actor, Error, UserId};

pub(crate) use self::guesses::Guesses;
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

/// The buckets of this process.
pub struct RateLimits {
    requests: Option<Buckets<Principal>>,
    /// Wrong keys at the API.
    pub(crate) keys: Guesses,
    /// Wrong keys that devices have shown to brokers.
    pub(crate) hook_keys: Guesses,
    hook_secrets: Buckets<Source>,
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
            keys: Guesses::default(),
            hook_keys: Guesses::default(),
            hook_secrets: RateLimiter::keyed(Quota::per_second(guesses::FAILURES)),
        }
    }

    /// Takes one request out of the principal's bucket.
    pub(crate) fn request(&self, principal: Principal) -> Result<(), Error> {
        self.requests.as_ref().map_or(Ok(()), |buckets| take(buckets, &principal))
    }

    /// Counts a wrong secret at the hooks; tells whether it is worth a line in the log. Nothing else follows: the
    /// devices behind the address may be those of the right broker.
    pub(crate) fn wrong_hook_secret(&self, source: Source) -> bool {
        take(&self.hook_secrets, &source).is_ok()
    }

    /// Forgets buckets that are full again, once a minute, as long as `app` lives.
    pub(crate) fn tidy_regularly(app: &crate::App) {
        let app = app.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_secs(60)).await;
                app.limits.requests.iter().for_each(tidy);
                app.limits.keys.tidy();
                app.limits.hook_keys.tidy();
                tidy(&app.limits.hook_secrets);
            }
        });
    }
}

fn take<K: Clone + std::hash::Hash + Eq>(buckets: &Buckets<K>, key: &K) -> Result<(), Error> {
    buckets
        .check_key(key)
        .map_err(|until| Error::TooMany { retry_after: until.wait_time_from(buckets.clock().now()) })
}

fn tidy<K: Clone + std::hash::Hash + Eq>(buckets: &Buckets<K>) {
    buckets.retain_recent();
    buckets.shrink_to_fit();
}

//! Limits on attempts to prove who one is, taken before the proof is looked at.
//!
//! For each account and source network, ten attempts are free; then the wait before the next one
//! doubles from one second to a quarter of an hour, and success ends it. Another network is not held up
//! by it, so nobody locks the owner out. For each network all its attempts on any account draw on
//! one bucket. Unknown accounts count like known ones; the network is that of the connection, never
//! something that the client says.

use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aws_lc_rs::digest;

use crate::{
    clock::Clock,
    error::{Error, Result},
    ids::UserId,
    text::Email,
};

/// Attempts on one account from one network before each next one has to wait.
const FREE: u32 = 10;
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(15 * 60);
/// After so long without an attempt the earlier ones no longer count.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 3600);
/// Attempts of one network at once; then one a second comes back.
const NETWORK_BURST: u32 = 100;
const NETWORK_REFILL: Duration = Duration::from_secs(1);
/// Password resets for one account: one in a minute, five in an hour.
const RESET_GAP: Duration = Duration::from_secs(60);
const RESETS_PER_HOUR: usize = 5;
const HOUR: Duration = Duration::from_secs(3600);

/// How much is remembered: 100,000 entries in all; the ones touched longest ago go first.
const MOST_PAIRS: usize = 80_000;
const MOST_NETWORKS: usize = 15_000;
const MOST_RESETS: usize = 5_000;

/// All counts, in memory: a restart forgives, which an attacker cannot cause.
pub(crate) struct Attempts {
    clock: Clock,
    counts: Mutex<Counts>,
}

struct Counts {
    pairs: Bounded<(Account, Network), Failures>,
    networks: Bounded<Network, Bucket>,
    resets: Bounded<Account, Resets>,
}

/// An attempt that was counted and may now be carried out.
#[must_use = "tell how it went"]
pub(crate) struct Attempt(Account, Network);

impl Attempts {
    pub(crate) fn new(clock: Clock) -> Self {
        let counts = Counts {
            pairs: Bounded::new(MOST_PAIRS),
            networks: Bounded::new(MOST_NETWORKS),
            resets: Bounded::new(MOST_RESETS),
        };
        Self { clock, counts: Mutex::new(counts) }
    }

    /// Counts an attempt to log in; refuses it when there were too many.
    pub(crate) fn log_in(&self, email: &Email, source: IpAddr) -> Result<Attempt> {
        self.take(Account::of(b"email", email.as_str().as_bytes()), Network::of(source))
    }

    /// Counts an attempt of a person who is logged in to prove it again by their password.
    pub(crate) fn confirm(&self, user: UserId) -> Result<Attempt> {
        self.take(Account::of(b"user", user.uuid().as_bytes()), Network::NONE)
    }

    /// The proof was right: what went before is forgiven, and the network gets its attempt back.
    pub(crate) fn succeeded(&self, attempt: &Attempt) {
        let mut counts = self.counts();
        counts.pairs.remove(&(attempt.0, attempt.1));
        counts.networks.entry(attempt.1).give_back();
    }

    /// The proof was never looked at, for reasons of our own: the attempt does not count.
    pub(crate) fn did_not_happen(&self, attempt: &Attempt) {
        let mut counts = self.counts();
        counts.pairs.entry((attempt.0, attempt.1)).take_back();
        counts.networks.entry(attempt.1).give_back();
    }

    /// The account's owner has proved themselves in another way.
    pub(crate) fn forgive(&self, email: &Email) {
        let account = Account::of(b"email", email.as_str().as_bytes());
        self.counts().pairs.retain(|(counted, _)| *counted != account);
    }

    /// Whether a password reset may be made for this account now, and if so counts it. The network's
    /// limit is told to the client, the account's is not: it would tell that somebody asks for it.
    pub(crate) fn reset(&self, email: &Email, source: IpAddr) -> Result<bool> {
        let now = self.clock.uptime();
        let mut counts = self.counts();
        counts.networks.entry(Network::of(source)).check(now).map_err(too_many)?;
        counts.networks.entry(Network::of(source)).count(now);
        Ok(counts.resets.entry(Account::of(b"email", email.as_str().as_bytes())).take(now))
    }

    fn take(&self, account: Account, network: Network) -> Result<Attempt> {
        let now = self.clock.uptime();
        let mut counts = self.counts();
        // The network first: once its bucket is empty it cannot push other entries out of memory.
        if network != Network::NONE {
            counts.networks.entry(network).check(now).map_err(too_many)?;
        }
        counts.pairs.entry((account, network)).check(now).map_err(too_many)?;
        counts.pairs.entry((account, network)).count(now);
        counts.networks.entry(network).count(now);
        Ok(Attempt(account, network))
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn too_many(wait: Duration) -> Error {
    Error::TooMany { retry_after: wait }
}

/// An account as somebody named it, whether it exists or not.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Account([u8; 16]);

impl Account {
    fn of(kind: &[u8], name: &[u8]) -> Self {
        let digest = digest::digest(&digest::SHA256, &[kind, b"\0", name].concat());
        Self(digest.as_ref().first_chunk().copied().unwrap_or_default())
    }
}

/// A /24 of IPv4 or a /56 of IPv6: what one customer of a provider usually has.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Network([u8; 8]);

impl Network {
    /// Not from outside.
    const NONE: Self = Self([0; 8]);

    fn of(source: IpAddr) -> Self {
        Self(match source.to_canonical() {
            IpAddr::V4(address) => {
                let [a, b, c, _] = address.octets();
                [4, a, b, c, 0, 0, 0, 0]
            }
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, g, ..] = address.octets();
                [6, a, b, c, d, e, f, g]
            }
        })
    }
}

/// Attempts on one account from one network.
#[derive(Default)]
struct Failures {
    counted: u32,
    last: Duration,
    next: Duration,
}

impl Failures {
    fn check(&mut self, now: Duration) -> Result<(), Duration> {
        if now.saturating_sub(self.last) > FORGOTTEN_AFTER {
            *self = Self::default();
        }
        match self.next.checked_sub(now) {
            Some(wait) if !wait.is_zero() => Err(wait),
            _ => Ok(()),
        }
    }

    fn count(&mut self, now: Duration) {
        self.counted = self.counted.saturating_add(1);
        self.last = now;
        if let Some(beyond) = self.counted.checked_sub(FREE) {
            let wait = FIRST_WAIT.saturating_mul(1u32.checked_shl(beyond).unwrap_or(u32::MAX));
            self.next = now + wait.min(LONGEST_WAIT);
        }
    }

    fn take_back(&mut self) {
        self.counted = self.counted.saturating_sub(1);
        self.next = Duration::ZERO;
    }
}

/// All attempts of one network: `empty_at` is when all of them will have been forgotten.
#[derive(Default)]
struct Bucket {
    empty_at: Duration,
}

impl Bucket {
    fn check(&self, now: Duration) -> Result<(), Duration> {
        let full = now + NETWORK_REFILL * NETWORK_BURST;
        match (self.empty_at.max(now) + NETWORK_REFILL).checked_sub(full) {
            Some(wait) if !wait.is_zero() => Err(wait),
            _ => Ok(()),
        }
    }

    fn count(&mut self, now: Duration) {
        self.empty_at = self.empty_at.max(now) + NETWORK_REFILL;
    }

    fn give_back(&mut self) {
        self.empty_at = self.empty_at.saturating_sub(NETWORK_REFILL);
    }
}

/// When the last resets were made for one account, oldest first.
#[derive(Default)]
struct Resets(std::collections::VecDeque<Duration>);

impl Resets {
    fn take(&mut self, now: Duration) -> bool {
        self.0.retain(|at| now.saturating_sub(*at) < HOUR);
        let too_soon = self.0.back().is_some_and(|at| now.saturating_sub(*at) < RESET_GAP);
        if too_soon || self.0.len() >= RESETS_PER_HOUR {
            return false;
        }
        self.0.push_back(now);
        true
    }
}

/// A map that forgets what was touched longest ago.
pub(crate) struct Bounded<K, V> {
    most: usize,
    touches: u64,
    values: HashMap<K, (u64, V)>,
    by_touch: BTreeMap<u64, K>,
}

impl<K: Copy + Eq + Hash, V: Default> Bounded<K, V> {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, touches: 0, values: HashMap::new(), by_touch: BTreeMap::new() }
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    pub(crate) fn entry(&mut self, key: K) -> &mut V {
        if !self.values.contains_key(&key)
            && self.values.len() >= self.most
            && let Some((_, oldest)) = self.by_touch.pop_first()
        {
            self.values.remove(&oldest);
        }
        self.touches += 1;
        let (touch, value) = self.values.entry(key).or_default();
        self.by_touch.remove(touch);
        *touch = self.touches;
        self.by_touch.insert(self.touches, key);
        value
    }

    pub(crate) fn remove(&mut self, key: &K) {
        if let Some((touch, _)) = self.values.remove(key) {
            self.by_touch.remove(&touch);
        }
    }

    fn retain(&mut self, keep: impl Fn(&K) -> bool) {
        self.values.retain(|key, _| keep(key));
        self.by_touch.retain(|_, key| keep(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    const HOME: &str = "192.0.2.7";

    fn limits() -> (Attempts, Clock) {
        let clock = Clock::standing(Timestamp::from_millis(1_700_000_000_000));
        (Attempts::new(clock.clone()), clock)
    }

    fn email(text: &str) -> Email {
        Email::try_from(text).unwrap()
    }

    fn from(source: &str) -> IpAddr {
        source.parse().unwrap()
    }

    fn wait(outcome: Result<Attempt>) -> u64 {
        match outcome {
            Ok(_) => 0,
            Err(Error::TooMany { retry_after }) => retry_after.as_secs(),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn ten_are_free_and_then_the_wait_doubles_up_to_a_quarter_of_an_hour() {
        let (limits, clock) = limits();
        let ada = email("ada@example.com");
        let try_ = || wait(limits.log_in(&ada, from(HOME)));
        for _ in 0..10 {
            assert_eq!(try_(), 0);
        }
        for expected in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900] {
            assert_eq!(try_(), expected);
            clock.advance(Duration::from_millis(expected * 1000 - 1));
            assert!(limits.log_in(&ada, from(HOME)).is_err());
            clock.advance(Duration::from_millis(1));
            assert_eq!(try_(), 0);
        }
        clock.advance(FORGOTTEN_AFTER + Duration::from_millis(1));
        for _ in 0..10 {
            assert_eq!(try_(), 0);
        }
        assert_eq!(try_(), 1);
    }

    #[test]
    fn success_forgives_and_others_are_not_held_up() {
        let (limits, _) = limits();
        let (ada, eve) = (email("ada@example.com"), email("eve@example.com"));
        let mut last = None;
        for _ in 0..10 {
            last = Some(limits.log_in(&ada, from(HOME)).unwrap());
        }
        assert!(limits.log_in(&ada, from(HOME)).is_err());
        assert!(limits.log_in(&ada, from("192.0.2.254")).is_err());
        assert!(limits.log_in(&ada, from("::ffff:192.0.2.9")).is_err());
        assert!(limits.log_in(&ada, from("192.0.3.7")).is_ok());
        assert!(limits.log_in(&eve, from(HOME)).is_ok());
        limits.succeeded(&last.unwrap());
        assert!(limits.log_in(&ada, from(HOME)).is_ok());
        for _ in 0..9 {
            let _ = limits.log_in(&ada, from(HOME));
        }
        assert!(limits.log_in(&ada, from(HOME)).is_err());
        limits.forgive(&ada);
        assert!(limits.log_in(&ada, from(HOME)).is_ok());
    }

    #[test]
    fn what_was_never_looked_at_does_not_count() {
        let (limits, _) = limits();
        for _ in 0..50 {
            let attempt = limits.log_in(&email("ada@example.com"), from(HOME)).unwrap();
            limits.did_not_happen(&attempt);
        }
        for _ in 0..10 {
            assert!(limits.log_in(&email("ada@example.com"), from(HOME)).is_ok());
        }
        assert!(limits.log_in(&email("ada@example.com"), from(HOME)).is_err());
    }

    #[test]
    fn a_network_has_one_bucket_for_all_accounts() {
        let (limits, clock) = limits();
        let try_ =
            |n: usize, source: &str| wait(limits.log_in(&email(&format!("u{n}@example.com")), from(source)));
        for n in 0..100 {
            assert_eq!(try_(n, &format!("2001:db8:0:{n:x}::1")), 0, "{n}");
        }
        assert_eq!(try_(100, "2001:db8:0:ff::1"), 1);
        assert_eq!(try_(100, "2001:db8:0:100::1"), 0, "another /56");
        clock.advance(Duration::from_secs(3));
        for n in 101..104 {
            assert_eq!(try_(n, "2001:db8::1"), 0);
        }
        assert_eq!(try_(105, "2001:db8::1"), 1);
        // Success gives the attempt back: honest people behind one address do not use it up.
        clock.advance(Duration::from_secs(1));
        for n in 200..400 {
            let attempt = limits.log_in(&email(&format!("u{n}@example.com")), from("2001:db8::1")).unwrap();
            limits.succeeded(&attempt);
        }
    }

    #[test]
    fn resets_are_one_a_minute_and_five_an_hour() {
        let (limits, clock) = limits();
        let ada = email("ada@example.com");
        for _ in 0..5 {
            assert!(limits.reset(&ada, from(HOME)).unwrap());
            clock.advance(Duration::from_secs(59));
            assert!(!limits.reset(&ada, from(HOME)).unwrap());
            clock.advance(Duration::from_secs(1));
        }
        assert!(!limits.reset(&ada, from(HOME)).unwrap());
        assert!(limits.reset(&email("eve@example.com"), from(HOME)).unwrap());
        clock.advance(Duration::from_secs(55 * 60));
        assert!(limits.reset(&ada, from(HOME)).unwrap());
        let refused = (0..200).filter(|_| limits.reset(&ada, from(HOME)).is_err()).count();
        assert!(refused >= 100, "{refused}");
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_goes_first() {
        let mut map: Bounded<u32, u32> = Bounded::new(3);
        for key in [1, 2, 3, 1, 4] {
            *map.entry(key) += 1;
        }
        assert_eq!((map.values.len(), map.by_touch.len()), (3, 3));
        assert!(!map.values.contains_key(&2));
        assert_eq!(map.values.get(&1).map(|(_, n)| *n), Some(2));
        map.remove(&1);
        map.retain(|key| *key != 3);
        assert_eq!((map.values.len(), map.by_touch.len()), (1, 1));
        assert_eq!(MOST_PAIRS + MOST_NETWORKS + MOST_RESETS, 100_000);
    }
}

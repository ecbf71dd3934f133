//! How often a person was told that a key is taken. A key is unique across all organisations, so that
//! answer says something about a stranger's devices: it is given a few times an hour, for mistakes, and
//! then nothing more is looked up for this person.
//!
//! The right to one such answer is taken before anything is looked up and given back if it was not
//! needed. Counted afterwards, a hundred requests at once would all be looked up, and those refused for
//! their number would stand out from those that succeeded.

use std::{
    collections::VecDeque,
    pin::pin,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use crate::{
    actor::Call,
    clock::Clock,
    error::{ConflictKind, Error, Result},
    identity::attempts::Bounded,
    ids::UserId,
};

/// Keys that a person is told to be taken, in an hour.
const MOST_TOLD: usize = 20;
const HOUR: Duration = Duration::from_secs(3600);
/// How long a request waits for others of the same person that are under way.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// How many people are remembered; those who brought keys longest ago go first.
const MOST_PEOPLE: usize = 5_000;

/// The counts, in memory: a restart forgives.
pub(crate) struct Probes {
    clock: Clock,
    told: Mutex<Bounded<UserId, Told>>,
    given_back: Notify,
}

/// What a person was told, and may be told by requests under way.
#[derive(Default)]
struct Told {
    /// When they were told of a taken key, oldest first.
    at: VecDeque<Duration>,
    under_way: usize,
}

/// The right to be told of one taken key; given back when dropped.
#[must_use = "held while the keys are looked up"]
pub(crate) struct Probe<'p> {
    probes: &'p Probes,
    user: UserId,
}

impl Probes {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, told: Mutex::new(Bounded::new(MOST_PEOPLE)), given_back: Notify::new() }
    }

    /// Before a request that brings keys of the client's choice is looked at. While others of the same
    /// person may use up what is left, it waits.
    pub(crate) async fn take(&self, call: &Call) -> Result<Probe<'_>> {
        let user = call.user()?.id();
        let until = Instant::now() + LONGEST_WAIT;
        loop {
            let mut given_back = pin!(self.given_back.notified());
            // From here on, so that nothing is missed that is given back after the look at the count.
            given_back.as_mut().enable();
            let taken = self.told().entry(user).take(self.clock.uptime())?;
            if taken {
                return Ok(Probe { probes: self, user });
            }
            let waited = tokio::time::timeout_at(until, given_back).await;
            waited.map_err(|_| Error::TooMany { retry_after: Duration::from_secs(1) })?;
        }
    }

    fn told(&self) -> MutexGuard<'_, Bounded<UserId, Told>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Probe<'_> {
    /// After the request failed: the error to tell. Of the items that clash no more are named than
    /// there is room for.
    pub(crate) fn weigh(self, error: Error) -> Error {
        match error {
            Error::Conflict(mut conflict) if conflict.kind == ConflictKind::CredentialUnavailable => {
                let told = self.tell(conflict.items.len());
                conflict.items.truncate(told);
                Error::Conflict(conflict)
            }
            error => error,
        }
    }

    /// After so many keys were found to be taken: of how many of them there is room to tell.
    pub(crate) fn tell(self, taken: usize) -> usize {
        let now = self.probes.clock.uptime();
        self.probes.told().entry(self.user).note(now, taken)
    }
}

impl Drop for Probe<'_> {
    fn drop(&mut self) {
        let mut people = self.probes.told();
        let told = people.entry(self.user);
        told.under_way = told.under_way.saturating_sub(1);
        if told.under_way == 0 && told.at.is_empty() {
            people.remove(&self.user);
        }
        drop(people);
        self.probes.given_back.notify_waiters();
    }
}

impl Told {
    fn recent(&self, now: Duration) -> impl Iterator<Item = &Duration> {
        self.at.iter().filter(move |at| now.saturating_sub(**at) < HOUR)
    }

    /// Whether there is room for one more; an error if there will be none before some time has passed.
    fn take(&mut self, now: Duration) -> Result<bool> {
        let told = self.recent(now).count();
        if told >= MOST_TOLD {
            let oldest = self.recent(now).min().copied().unwrap_or(now);
            return Err(Error::TooMany { retry_after: (oldest + HOUR).saturating_sub(now) });
        }
        let room = told + self.under_way < MOST_TOLD;
        if room {
            self.under_way += 1;
        }
        Ok(room)
    }

    /// Of how many taken keys one of those under way may tell; counts them.
    fn note(&mut self, now: Duration, taken: usize) -> usize {
        let others = self.under_way.saturating_sub(1);
        let room = MOST_TOLD.saturating_sub(self.recent(now).count() + others).max(1);
        let told = taken.min(room);
        self.at.retain(|at| now.saturating_sub(*at) < HOUR);
        self.at.extend(std::iter::repeat_n(now, told.max(1)));
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        actor::{Actor, CredentialUsed, UserActor},
        clock::Timestamp,
        error::Conflict,
    };

    fn person(id: u128) -> Call {
        let user = UserActor {
            id: UserId::from(uuid::Uuid::from_u128(id)),
            platform: None,
            credential: CredentialUsed::Session(uuid::Uuid::from_u128(id).into()),
        };
        Call::new(Actor::User(user), "test")
    }

    fn clash(items: usize) -> Error {
        let items = (0..items).collect();
        Error::Conflict(Conflict { kind: ConflictKind::CredentialUnavailable, items })
    }

    fn items(error: Error) -> usize {
        match error {
            Error::Conflict(conflict) => conflict.items.len(),
            other => panic!("{other:?}"),
        }
    }

    async fn wait(probes: &Probes, call: &Call) -> Duration {
        match probes.take(call).await {
            Err(Error::TooMany { retry_after }) => retry_after,
            other => panic!("{:?}", other.map(drop)),
        }
    }

    #[tokio::test]
    async fn twenty_keys_an_hour_are_told_of_to_each_person() {
        let clock = Clock::standing(Timestamp::from_millis(0));
        let probes = Probes::new(clock.clone());
        let (eve, ada) = (person(1), person(2));
        for _ in 0..20 {
            assert_eq!(items(probes.take(&eve).await.unwrap().weigh(clash(0))), 0);
            clock.advance(Duration::from_secs(1));
        }
        let left = wait(&probes, &eve).await;
        assert_eq!(left, HOUR - Duration::from_secs(20));
        drop(probes.take(&ada).await.unwrap());
        clock.advance(left);
        assert_eq!(items(probes.take(&eve).await.unwrap().weigh(clash(5))), 1);
        wait(&probes, &eve).await;
    }

    #[tokio::test]
    async fn one_bulk_request_tells_no_more_than_twenty_requests() {
        let probes = Probes::new(Clock::standing(Timestamp::from_millis(0)));
        let eve = person(1);
        assert_eq!(items(probes.take(&eve).await.unwrap().weigh(clash(1000))), 20);
        wait(&probes, &eve).await;
    }

    #[tokio::test]
    async fn requests_at_once_share_what_there_is() {
        let probes = Probes::new(Clock::standing(Timestamp::from_millis(0)));
        let eve = person(1);
        let mut under_way = Vec::new();
        for _ in 0..20 {
            under_way.push(probes.take(&eve).await.unwrap());
        }
        // The next one is not looked up before it is known whether there is anything left to tell.
        let mut next = pin!(probes.take(&eve));
        let waits = tokio::time::timeout(Duration::from_millis(20), next.as_mut()).await;
        assert!(waits.is_err());
        // Each of them is told one, and no other answer: not even those that clash in many items.
        assert_eq!(items(under_way.pop().unwrap().weigh(clash(1000))), 1);
        let waits = tokio::time::timeout(Duration::from_millis(20), next.as_mut()).await;
        assert!(waits.is_err());
        drop(under_way.pop());
        let next = next.await.unwrap();
        for probe in under_way {
            assert_eq!(items(probe.weigh(clash(1))), 1);
        }
        assert_eq!(items(next.weigh(clash(7))), 1);
        wait(&probes, &eve).await;
    }

    #[tokio::test]
    async fn other_errors_pass_and_do_not_count() {
        let probes = Probes::new(Clock::standing(Timestamp::from_millis(0)));
        let ada = person(1);
        for _ in 0..50 {
            let error = probes.take(&ada).await.unwrap().weigh(Error::conflict(ConflictKind::ThingNameTaken));
            assert!(matches!(error, Error::Conflict(_)));
            let error = probes.take(&ada).await.unwrap().weigh(Error::NotFound);
            assert!(matches!(error, Error::NotFound));
        }
        drop(probes.take(&ada).await.unwrap());
        assert!(probes.told().is_empty(), "nothing is remembered");
    }
}

//! How often a person was told that a key is taken. A key is unique across all organisations, so that
//! answer says something about a stranger's devices: it is given a few times an hour, for mistakes, and
//! then nothing more is looked up for this person.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    actor::Call,
    clock::Clock,
    error::{Conflict, ConflictKind, Error, Result},
    identity::attempts::Bounded,
    ids::UserId,
};

/// Keys that a person is told to be taken, in an hour.
const MOST_TOLD: usize = 20;
const HOUR: Duration = Duration::from_secs(3600);
/// How many people are remembered; those told longest ago go first.
const MOST_PEOPLE: usize = 5_000;

/// The counts, in memory: a restart forgives.
pub(crate) struct Probes {
    clock: Clock,
    told: Mutex<Bounded<UserId, Told>>,
}

/// When a person was told so, oldest first.
#[derive(Default)]
struct Told(VecDeque<Duration>);

impl Probes {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, told: Mutex::new(Bounded::new(MOST_PEOPLE)) }
    }

    /// Before a request that brings keys of the client's choice is looked at. Afterwards would be too
    /// late: being refused only for taken keys tells as much as the conflict.
    pub(crate) fn check(&self, call: &Call) -> Result<()> {
        let user = call.user()?.id();
        match self.told().get(&user) {
            Some(told) => told.room(self.clock.uptime()).map(drop),
            None => Ok(()),
        }
    }

    /// After such a request failed: the error to tell. Of the items that clash no more are named than
    /// there is room for.
    pub(crate) fn weigh(&self, call: &Call, error: Error) -> Error {
        let (user, mut conflict) = match (call.user(), error) {
            (Ok(user), Error::Conflict(conflict)) if conflict.kind == ConflictKind::CredentialUnavailable => {
                (user.id(), conflict)
            }
            (_, error) => return error,
        };
        let now = self.clock.uptime();
        let mut people = self.told();
        let told = people.entry(user);
        match told.room(now) {
            Ok(room) => {
                conflict.items.truncate(room);
                told.note(now, &conflict);
                Error::Conflict(conflict)
            }
            Err(error) => error,
        }
    }

    fn told(&self) -> MutexGuard<'_, Bounded<UserId, Told>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Told {
    /// How many more keys may be told of.
    fn room(&self, now: Duration) -> Result<usize> {
        let recent = self.0.iter().filter(|at| now.saturating_sub(**at) < HOUR);
        let (count, oldest) = (recent.clone().count(), recent.min().copied().unwrap_or(now));
        match MOST_TOLD.checked_sub(count) {
            None | Some(0) => Err(Error::TooMany { retry_after: (oldest + HOUR).saturating_sub(now) }),
            Some(room) => Ok(room),
        }
    }

    fn note(&mut self, now: Duration, conflict: &Conflict) {
        self.0.retain(|at| now.saturating_sub(*at) < HOUR);
        self.0.extend(std::iter::repeat_n(now, conflict.items.len().max(1)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        actor::{Actor, CredentialUsed, UserActor},
        clock::Timestamp,
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

    #[test]
    fn twenty_keys_an_hour_are_told_of_to_each_person() {
        let clock = Clock::standing(Timestamp::from_millis(0));
        let probes = Probes::new(clock.clone());
        let (eve, ada) = (person(1), person(2));
        for _ in 0..20 {
            probes.check(&eve).unwrap();
            assert!(matches!(probes.weigh(&eve, clash(0)), Error::Conflict(_)));
            clock.advance(Duration::from_secs(1));
        }
        let wait = match probes.check(&eve) {
            Err(Error::TooMany { retry_after }) => retry_after,
            other => panic!("{other:?}"),
        };
        assert_eq!(wait, HOUR - Duration::from_secs(20));
        // One that was under way when the twentieth was told.
        assert!(matches!(probes.weigh(&eve, clash(1)), Error::TooMany { .. }));
        probes.check(&ada).unwrap();
        clock.advance(wait);
        probes.check(&eve).unwrap();
        assert!(matches!(probes.weigh(&eve, clash(5)), Error::Conflict(told) if told.items == [0]));
        assert!(probes.check(&eve).is_err());
    }

    #[test]
    fn one_bulk_request_tells_no_more_than_twenty_requests() {
        let probes = Probes::new(Clock::standing(Timestamp::from_millis(0)));
        let eve = person(1);
        assert!(matches!(probes.weigh(&eve, clash(1000)), Error::Conflict(told) if told.items.len() == 20));
        assert!(matches!(probes.check(&eve), Err(Error::TooMany { .. })));
    }

    #[test]
    fn other_errors_pass_and_do_not_count() {
        let probes = Probes::new(Clock::standing(Timestamp::from_millis(0)));
        let ada = person(1);
        for _ in 0..50 {
            let error = probes.weigh(&ada, Error::conflict(ConflictKind::ThingNameTaken));
            assert!(matches!(error, Error::Conflict(_)));
            assert!(matches!(probes.weigh(&ada, Error::NotFound), Error::NotFound));
        }
        probes.check(&ada).unwrap();
    }
}

//! Checks of credentials that failed, and why: for whoever wonders why a device does not get in. The
//! credential itself is no part of it.
//!
//! Bounded everywhere, because anybody can fail: what is alike is counted, what is noted between two writings has
//! a most, and so has what is stored; neither one thing nor strangers can push all others out.

use std::{
    collections::HashMap,
    net::IpAddr,
    str::FromStr,
    sync::{Mutex, PoisonError},
};

use super::{Asker, CredentialKind, device::Refusal};
use crate::{
    Registry,
    access::{self, Administered, Review},
    actor::Call,
    clock::Timestamp,
    error::{Error, Result},
    ids::ThingId,
    page::{Page, PageQuery},
    store,
};

/// Different failures that are noted at a time, of all things and strangers together.
const MOST: usize = 1_000;
/// Of them those of which it is not known whose credential it was.
const MOST_OF_NOBODY: usize = 500;
/// And those of one thing.
const MOST_OF_A_THING: usize = 100;
/// How often writing is tried that met a thing just being deleted.
const ATTEMPTS: u32 = 3;

/// How many are stored: the newest.
pub(crate) mod kept {
    pub(crate) const IN_ALL: i64 = 10_000;
    /// Of them those of which it is not known whose credential it was.
    pub(crate) const OF_NOBODY: i64 = 5_000;
    /// And those of one thing.
    pub(crate) const OF_A_THING: i64 = 100;
}

/// Why a credential lets nobody in. Whoever shows it is told only that it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Nobody's, as far as is known.
    UnknownKey,
    /// It looks generated, but there is a typing mistake in it.
    Checksum,
    /// A previous key after its time.
    Expired,
    /// There is another in its place.
    Replaced,
    /// An external key that was taken away.
    Removed,
    /// The thing is disabled.
    Disabled,
    /// A key shown as an external key, or the other way round.
    WrongKind,
    /// Shown under a name that is not its thing's id, and had to be.
    WrongName,
    /// Shown with a client id that begins with another thing's id.
    ClientId,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::UnknownKey,
        Self::Checksum,
        Self::Expired,
        Self::Replaced,
        Self::Removed,
        Self::Disabled,
        Self::WrongKind,
        Self::WrongName,
        Self::ClientId,
    ];

    /// As stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownKey => "unknown_key",
            Self::Checksum => "checksum",
            Self::Expired => "expired",
            Self::Replaced => "replaced",
            Self::Removed => "removed",
            Self::Disabled => "disabled",
            Self::WrongKind => "wrong_kind",
            Self::WrongName => "wrong_name",
            Self::ClientId => "client_id",
        }
    }
}

impl FromStr for Reason {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text).ok_or(
            "must be one of unknown_key, checksum, expired, replaced, removed, disabled, wrong_kind, wrong_name, \
             client_id",
        )
    }
}

/// Failures that are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Failure {
    pub(crate) refusal: Refusal,
    pub(crate) kind: CredentialKind,
    pub(crate) asker: Asker,
}

/// When it last happened, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) at: Timestamp,
    pub(crate) times: u32,
}

/// Failures since those before were written down.
#[derive(Default)]
pub(super) struct Failures(Mutex<Window>);

#[derive(Default)]
struct Window {
    /// With their places in the order in which they began.
    counts: HashMap<Failure, (usize, Count)>,
    of: HashMap<Option<ThingId>, usize>,
}

impl Failures {
    /// Counts a failure; tells whether there was room.
    pub(super) fn note(&self, failure: Failure, count: Count) -> bool {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = window.counts.get_mut(&failure) {
            known.at = known.at.max(count.at);
            known.times = known.times.saturating_add(count.times);
            return true;
        }
        let thing = failure.refusal.thing;
        let most = if thing.is_some() { MOST_OF_A_THING } else { MOST_OF_NOBODY };
        let room = window.counts.len() < MOST && window.of.get(&thing).is_none_or(|of| *of < most);
        if room {
            *window.of.entry(thing).or_default() += 1;
            let place = window.counts.len();
            window.counts.insert(failure, (place, count));
        }
        room
    }

    /// All of them, in the order in which they began.
    fn take(&self) -> Vec<(Failure, Count)> {
        let window = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let mut taken: Vec<_> = window.counts.into_iter().collect();
        taken.sort_unstable_by_key(|(_, (place, _))| *place);
        taken.into_iter().map(|(failure, (_, count))| (failure, count)).collect()
    }
}

/// Failed checks as they are read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedCheck {
    /// Ordered; gaps are normal.
    pub id: i64,
    /// When it last happened.
    pub at: Timestamp,
    /// How often until then, within a few seconds.
    pub times: i64,
    /// Why: as [`Reason`] has it.
    pub reason: String,
    /// Since when it is so.
    pub since: Option<Timestamp>,
    /// What was shown: as [`CredentialKind`] has it.
    pub kind: String,
    /// Through which door: as [`super::Front`] has it.
    pub front: String,
    /// The address of the device, or else of whoever asked for it.
    pub source: Option<IpAddr>,
    /// Whose credential it is or was.
    pub thing: Option<ThingId>,
}

/// Which failed checks.
#[derive(Clone, Debug, Default)]
pub struct FailedCheckFilter {
    /// Of this thing's credentials.
    pub thing: Option<ThingId>,
    /// For this reason.
    pub reason: Option<Reason>,
    /// At or after this moment.
    pub since: Option<Timestamp>,
}

/// Failed checks are ordered by their ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct FailedCheckOrder;

impl Registry {
    /// Checks that failed of the things that the caller administers; to administrators of the platform also
    /// those of which it is not known whose credential it was.
    pub async fn list_failed_checks(
        &self,
        call: &Call,
        filter: &FailedCheckFilter,
        query: &PageQuery<FailedCheckOrder>,
    ) -> Result<Page<FailedCheck>> {
        let mut conn = self.db.read().await?;
        let visible = Administered::of(call)?;
        // A thing that the caller sees but does not administer is refused, not shown as empty.
        if let Some(thing) = filter.thing {
            access::permit::<Review, _>(&mut conn, call, thing).await?;
        }
        store::failed_checks::list(&mut conn, &self.keyring, &visible, filter, query).await
    }

    pub(super) async fn write_failures(&self) -> Result<()> {
        let failures = &self.devices.notes.failures;
        let taken = failures.take();
        if taken.is_empty() {
            return Ok(());
        }
        let mut attempt = 1;
        loop {
            let written = async {
                let mut tx = self.db.write().await?;
                store::failed_checks::insert(&mut tx, &taken).await?;
                store::failed_checks::trim(&mut tx).await?;
                tx.commit_raw().await
            };
            match written.await {
                Err(Error::Collision) if attempt < ATTEMPTS => attempt += 1,
                Err(error) => {
                    for (failure, count) in taken {
                        failures.note(failure, count);
                    }
                    return Err(error);
                }
                Ok(()) => return Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::credentials::Front;

    fn failure(thing: Option<u128>, source: u32) -> Failure {
        let thing = thing.map(|id| ThingId::from(uuid::Uuid::from_u128(id)));
        Failure {
            refusal: Refusal { reason: Reason::Checksum, thing, since: None },
            kind: CredentialKind::Internal,
            asker: Asker { front: Front::Http, source: Some(Ipv4Addr::from(source).into()) },
        }
    }

    #[test]
    fn what_is_alike_is_counted_and_what_is_not_is_bounded() {
        let failures = Failures::default();
        let once = |millis| Count { at: Timestamp::from_millis(millis), times: 1 };
        for n in 0..1_000_000_u32 {
            assert_eq!(failures.note(failure(None, n % 1_000), once(n.into())), n % 1_000 < 500);
        }
        for n in 0..200 {
            assert_eq!(failures.note(failure(Some(1), n), once(0)), n < 100);
        }
        for thing in 2..2_000 {
            assert_eq!(failures.note(failure(Some(thing), 0), once(0)), thing < 402, "{thing}");
        }
        let taken = failures.take();
        assert_eq!(taken.len(), MOST);
        let last = Count { at: Timestamp::from_millis(999_499), times: 1_000 };
        assert_eq!(taken[499], (failure(None, 499), last));
        assert!(failures.take().is_empty());
        assert!(failures.note(failure(None, 501), once(0)), "there is room again");
    }
}

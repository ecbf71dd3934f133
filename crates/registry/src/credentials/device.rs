//! Authentication: from a credential to the thing that it names and what that needs to talk.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{
    Asker, Claim, Count, CredentialKind, Failure, IndexedAs, PLAUSIBLE_BYTES, Reason,
    activity::Notes,
    cache::{Cache, Found, Held},
    fence::Mark,
    nodes::Lease,
    watch::{self, Watch},
};
use crate::{
    Registry,
    actor::Actor,
    clock::Timestamp,
    error::{Error, Result},
    ids::{GroupId, OrgId, ProfileId, ThingId},
    json::JsonObject,
    profiles::{Handling, ProfileConfig, ProfileTopics},
    secret::{Digest, Prefix, Secret},
    store,
    things::ThingType,
};

/// How long the database may take to answer a device.
const PATIENCE: Duration = Duration::from_secs(2);
/// The same where what is in memory can be answered instead.
const PATIENCE_IN_GRACE: Duration = Duration::from_millis(200);

/// A thing that has shown a valid credential.
#[derive(Clone, Debug)]
pub struct Device {
    /// Which.
    pub thing: ThingId,
    /// What kind it is; `None` for a stored value that nothing recognises, which may command nothing.
    pub kind: Option<ThingType>,
    /// By which of its credentials.
    pub credential: IndexedAs,
    /// Where it is and how it talks.
    pub place: Arc<Place>,
    /// How long the answer stays true if nothing changes: until the credential expires, and at most ten
    /// minutes.
    pub valid_for: Duration,
    /// When the credential expires; `None` if it does not.
    pub expires_at: Option<Timestamp>,
}

/// A profile as its things see it.
#[derive(Clone, Debug)]
pub struct Place {
    /// The profile.
    pub profile: ProfileId,
    /// Its group.
    pub group: GroupId,
    /// The group's organisation.
    pub org: OrgId,
    /// How messages are read and where they go; `None` for nowhere.
    pub config: Option<ProfileConfig>,
    /// The same as adapters read it, so that it is not taken apart for every device.
    pub handling: Option<Handling>,
    /// Which topics it narrows its things to; not taken apart for every message either.
    pub topics: ProfileTopics,
    /// How long the configuration is as text, in bytes; and again, which is more than its parts are.
    pub(crate) bytes: u64,
}

impl Place {
    /// A profile's row, read together with its group's.
    pub(crate) fn new(profile: ProfileId, group: GroupId, org: OrgId, config: Option<JsonObject>) -> Self {
        let config = config.map(ProfileConfig::stored);
        let handling = config.as_ref().map(ProfileConfig::handling);
        let topics = config.as_ref().map(ProfileConfig::topics).unwrap_or_default();
        // Twice: as it is, and as it is sent; its topics are less than that once more.
        let bytes = config.as_ref().map_or(0, |config| 3 * config.object().bytes() as u64);
        Self { profile, group, org, config, handling, topics, bytes }
    }

    pub(super) fn marks(&self) -> [Mark; 2] {
        [Mark::Object(self.profile.uuid()), Mark::Object(self.group.uuid())]
    }
}

/// A failed check, as far as it is known whose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Refusal {
    pub(crate) reason: Reason,
    pub(crate) thing: Option<ThingId>,
    /// Since when it is so.
    pub(crate) since: Option<Timestamp>,
}

impl Refusal {
    fn nobodys(reason: Reason) -> Self {
        Self { reason, thing: None, since: None }
    }
}

/// A credential that was valid once.
pub(crate) struct Retired {
    pub(crate) thing: ThingId,
    pub(crate) reason: Reason,
    pub(crate) since: Timestamp,
}

/// What the index and what hangs on it say of a verifier.
pub(crate) struct Known {
    pub(crate) thing: ThingId,
    pub(crate) indexed_as: IndexedAs,
    pub(crate) not_after: Option<Timestamp>,
    pub(crate) kind: Option<ThingType>,
    pub(crate) disabled_since: Option<Timestamp>,
    pub(crate) place: Place,
}

/// What has to do with devices' credentials at run time.
pub(crate) struct Devices {
    pub(super) cache: Cache,
    pub(super) lease: Lease,
    watch: watch::Feed,
    pub(super) notes: Notes,
    off: bool,
    from_memory: AtomicU64,
    from_database: AtomicU64,
    passed: AtomicU64,
    failed: [AtomicU64; Reason::ALL.len()],
    unlisted: AtomicU64,
}

/// What checks of devices' credentials were answered from, and how, since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checks {
    /// From memory.
    pub from_memory: u64,
    /// From the database.
    pub from_database: u64,
    /// Those that let a device in.
    pub passed: u64,
    /// Those that did not, by reason.
    pub failed: [(Reason, u64); Reason::ALL.len()],
    /// How many of these the list of failed checks had no room for.
    pub unlisted: u64,
}

impl Devices {
    /// `alone` says that the database is this process's only.
    pub(crate) fn new(cached_credentials: usize, alone: bool, grace: Duration) -> Self {
        Self {
            cache: Cache::new(cached_credentials),
            lease: Lease::new(alone, grace),
            watch: watch::Feed::default(),
            notes: Notes::default(),
            off: cached_credentials == 0,
            from_memory: AtomicU64::new(0),
            from_database: AtomicU64::new(0),
            passed: AtomicU64::new(0),
            failed: Default::default(),
            unlisted: AtomicU64::new(0),
        }
    }

    /// Nobody knows whether a commit of this process has happened.
    pub(crate) fn doubt(&self) {
        self.lease.doubt();
    }

    fn failed(&self, refusal: Refusal, kind: CredentialKind, asker: &Asker, at: Timestamp) {
        let by_reason = Reason::ALL.iter().zip(&self.failed).find(|(reason, _)| **reason == refusal.reason);
        if let Some((_, count)) = by_reason {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let failure = Failure { refusal, kind, asker: *asker };
        if !self.notes.failures.note(failure, Count { at, times: 1 }) {
            self.unlisted.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// These changes are committed: whoever asks from now on gets the new state, and who keeps answers is
    /// told.
    pub(crate) fn changed(&self, marks: &[Mark]) {
        if !planted!("T8: a change does not end what is in memory") {
            self.cache.fence.touch(marks);
        }
        self.watch.tell(marks);
    }
}

impl Registry {
    /// What changes from now on of what devices' authentication depends on.
    pub fn watch_devices(&self) -> Watch {
        self.devices.watch.open()
    }

    /// The thing that a credential names. Every failure is the same [`Error::NotFound`]; why is noted for
    /// the administrators of the thing's group.
    pub async fn authenticate_device(
        &self,
        kind: CredentialKind,
        credential: &Secret,
        asker: &Asker,
    ) -> Result<Device> {
        self.authenticate_claim(&Claim::new(kind, credential, *asker)).await
    }

    /// The same, where more is asked of a credential than to be good. [`Error::TooMany`] where nothing is looked
    /// up for whoever asks, and it is not in memory.
    pub async fn authenticate_claim(&self, claim: &Claim<'_>) -> Result<Device> {
        match self.check(claim).await? {
            Ok(device) => {
                self.devices.passed.fetch_add(1, Ordering::Relaxed);
                Ok(device)
            }
            Err(refusal) => {
                let kind = claim.kind.unwrap_or(CredentialKind::Internal);
                self.devices.failed(refusal, kind, &claim.asker, self.db.clock.now());
                Err(Error::NotFound)
            }
        }
    }

    /// Whether devices are answered from memory at this moment. A process that shares its database does so
    /// only while it hears what the others change.
    pub fn answers_from_memory(&self) -> bool {
        !self.devices.off && self.devices.lease.holds()
    }

    /// Whether this process hears at this moment of all that changes.
    pub fn hears_changes(&self) -> bool {
        self.devices.lease.holds()
    }

    /// What checks of devices' credentials were answered from, and how.
    pub fn device_checks(&self) -> Checks {
        let devices = &self.devices;
        let mut failed = Reason::ALL.map(|reason| (reason, 0));
        for ((_, told), counted) in failed.iter_mut().zip(&devices.failed) {
            *told = counted.load(Ordering::Relaxed);
        }
        Checks {
            from_memory: devices.from_memory.load(Ordering::Relaxed),
            from_database: devices.from_database.load(Ordering::Relaxed),
            passed: devices.passed.load(Ordering::Relaxed),
            failed,
            unlisted: devices.unlisted.load(Ordering::Relaxed),
        }
    }

    /// Makes an actor of a thing that shows its credential.
    pub async fn authenticate_thing(&self, claim: &Claim<'_>) -> Result<Actor> {
        match self.authenticate_claim(claim).await {
            Ok(device) => Ok(Actor::Thing(device.thing)),
            Err(Error::NotFound) => Err(Error::Unauthenticated),
            Err(error) => Err(error),
        }
    }

    async fn check(&self, claim: &Claim<'_>) -> Result<Result<Device, Refusal>> {
        let plausible = match claim.kind {
            Some(kind) => plausible(kind, claim.credential),
            None => plausible(CredentialKind::External, claim.credential),
        };
        let too_many = |retry_after| Err(Error::TooMany { retry_after });
        if let Err(reason) = plausible {
            return claim.held.map_or(Ok(Err(Refusal::nobodys(reason))), too_many);
        }
        let digest = self.keyring.digest(claim.credential);
        let now = self.db.clock.uptime();
        let devices = &self.devices;
        let known = if devices.lease.holds() { devices.cache.find(&digest, now) } else { Found::Unknown };
        if let Some(retry_after) = claim.held
            && !matches!(known, Found::Device(..))
        {
            return too_many(retry_after);
        }
        let (held, place, valid_for, to_note) = match known {
            Found::Device(held, place, valid_for, to_note) => {
                devices.from_memory.fetch_add(1, Ordering::Relaxed);
                (held, place, valid_for, to_note)
            }
            Found::Refused(refusal) => {
                devices.from_memory.fetch_add(1, Ordering::Relaxed);
                return Ok(Err(refusal));
            }
            // Boxed, because it is large, and would be moved along with every answer from memory.
            Found::Unknown => match Box::pin(self.look_up_in_time(digest, now)).await? {
                Ok((held, place, valid_for)) => (held, place, valid_for, true),
                Err(refusal) => return Ok(Err(refusal)),
            },
        };
        let refused = |reason| Ok(Err(Refusal { reason, thing: Some(held.thing), since: None }));
        let is_external = |kind| kind == CredentialKind::External;
        if claim.kind.is_some_and(|kind| is_external(kind) != (held.indexed_as == IndexedAs::External)) {
            return refused(Reason::WrongKind);
        }
        if !claim.whose.is(held.thing) {
            return refused(Reason::WrongName);
        }
        // Only whether there is such a thing counts.
        if let Some(owner) = claim.client_of
            && owner != held.thing
            && Box::pin(self.is_thing(owner)).await?
        {
            return refused(Reason::ClientId);
        }
        if to_note && devices.notes.uses.note(held.thing, digest, self.db.clock.now()) {
            devices.cache.noted(&digest, now);
        }
        Ok(Ok(Device {
            thing: held.thing,
            kind: held.kind,
            credential: held.indexed_as,
            place,
            valid_for,
            expires_at: held.not_after(),
        }))
    }

    async fn look_up_in_time(
        &self,
        digest: Digest,
        now: Duration,
    ) -> Result<Result<(Held, Arc<Place>, Duration), Refusal>> {
        let known = || match self.devices.cache.find(&digest, now) {
            Found::Device(held, place, valid_for, _) => Some(Ok((held, place, valid_for))),
            Found::Refused(_) | Found::Unknown => None,
        };
        self.in_time(self.look_up(digest, now), known).await
    }

    /// What a look-up finds. If the database does not answer, what is in memory counts for the grace.
    pub(super) async fn in_time<T>(
        &self,
        look_up: impl Future<Output = Result<T>>,
        known: impl FnOnce() -> Option<T>,
    ) -> Result<T> {
        let lease = &self.devices.lease;
        let patience = if lease.in_grace() { PATIENCE_IN_GRACE } else { PATIENCE };
        match tokio::time::timeout(patience, look_up).await.unwrap_or(Err(Error::Unavailable)) {
            Err(Error::Unavailable) if lease.in_grace() => known().ok_or(Error::Unavailable),
            found => found,
        }
    }

    /// One read of the index, and of what hangs on it by primary keys.
    async fn look_up(
        &self,
        digest: Digest,
        now: Duration,
    ) -> Result<Result<(Held, Arc<Place>, Duration), Refusal>> {
        let cache = &self.devices.cache;
        self.devices.from_database.fetch_add(1, Ordering::Relaxed);
        // Noted before anything is read: see `fence.rs`.
        let moment = (cache.fence.now(), now);
        let mut conn = self.db.read().await?;
        let verifier = self.keyring.verifier_of(&digest);
        let known = store::credentials::find(&mut conn, &verifier).await?;
        let refused = |reason, thing, since| {
            let refusal = Refusal { reason, thing, since };
            cache.keep_refusal(digest, refusal, moment);
            Ok(Err(refusal))
        };
        let Some(known) = known else {
            return match store::credentials::find_retired(&mut conn, &verifier).await? {
                Some(was) => refused(was.reason, Some(was.thing), Some(was.since)),
                None => refused(Reason::UnknownKey, None, None),
            };
        };
        let mut valid = None;
        if let Some(not_after) = known.not_after {
            let now = conn.now(&self.db.clock).await?;
            if not_after <= now {
                return refused(Reason::Expired, Some(known.thing), Some(not_after));
            }
            valid = Some(not_after.since(now));
        }
        if let Some(since) = known.disabled_since
            && !planted!("T8: a disabled thing gets in")
        {
            return refused(Reason::Disabled, Some(known.thing), Some(since));
        }
        let held = Held::new(&known);
        let place = Arc::new(known.place);
        let kept = cache.keep(digest, held, &place, moment, valid);
        Ok(Ok((held, place, kept)))
    }
}

/// Whether it can be a credential at all. A typing mistake in a generated key, or a guess at one, costs no
/// query.
fn plausible(kind: CredentialKind, credential: &Secret) -> Result<(), Reason> {
    let text = credential.expose();
    if kind == CredentialKind::Internal && text.starts_with(Prefix::ThingKey.as_str()) {
        return if credential.is_well_formed(Prefix::ThingKey) { Ok(()) } else { Err(Reason::Checksum) };
    }
    if PLAUSIBLE_BYTES.contains(&text.len()) { Ok(()) } else { Err(Reason::UnknownKey) }
}

//! What was read of credentials and profiles, kept in memory. [`Fence`] says whether it may still be
//! true, so that nothing has to be removed for a change to count.
//!
//! Bounded twice: credentials, and things by their ids, by number, profiles' configurations by bytes. Keys are
//! digests, never credentials.

use std::{
    hash::{BuildHasherDefault, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use quick_cache::{UnitWeighter, Weighter, sync::Cache as Map};

use super::{
    IndexedAs, Standing,
    activity::GRAIN,
    device::{Known, Place, Refusal},
    fence::{Fence, Mark, Seen},
};
use crate::{
    clock::Timestamp,
    ids::{ProfileId, ThingId},
    secret::{Digest, Short},
    things::ThingType,
};

/// 1 MB: with a million things, eight share a mark.
const MARKS: usize = 1 << 17;
/// Profiles' configurations, in bytes of their JSON text.
const PLACES: u64 = 32 << 20;
/// What a profile weighs besides its configuration.
const PLACE: u64 = 256;
/// Whatever was read is read again after this long: for changes that somebody made in the database by
/// hand.
const LONGEST: Duration = Duration::from_secs(600);
/// How long it is remembered that a credential let nobody in.
const REFUSED: Duration = Duration::from_secs(1);

/// No end: in place of an `Option`, which would take twice the room.
const NEVER_ENDS: i64 = i64::MAX;

/// What the index says of a credential.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) thing: ThingId,
    /// Whose group is the thing's too (V2).
    pub(super) profile: ProfileId,
    pub(super) indexed_as: IndexedAs,
    pub(super) kind: Option<ThingType>,
    ends: i64,
}

impl Held {
    pub(super) fn new(known: &Known) -> Self {
        Self {
            thing: known.thing,
            profile: known.place.profile,
            indexed_as: known.indexed_as,
            kind: known.kind,
            ends: known.not_after.map_or(NEVER_ENDS, Timestamp::millis),
        }
    }

    /// When it ends by itself.
    pub(super) fn not_after(&self) -> Option<Timestamp> {
        (self.ends != NEVER_ENDS).then(|| Timestamp::from_millis(self.ends))
    }
}

/// What is known of a thing depends on these. On the group too, because the thing ends with it; its profile is
/// looked at by itself.
fn marks(thing: ThingId, place: &Place) -> [Mark; 2] {
    [Mark::Object(thing.uuid()), Mark::Object(place.group.uuid())]
}

/// Of a use that was never noted.
const NEVER: u32 = u32::MAX;

/// There may be millions, so that every byte counts.
#[derive(Clone, Copy)]
struct Credential {
    seen: Seen,
    /// In tenths of a second since the start, rounded down: never longer than it is true.
    until: u32,
    /// When its use was last noted, in seconds since the start.
    noted: u32,
    /// Of its profile, as it was read.
    tenure: u32,
    held: Result<Held, Refusal>,
}

/// What a thing's row says; where it is says its profile.
#[derive(Clone, Copy)]
struct Thing {
    seen: Seen,
    /// In tenths of a second since the start, rounded down: never longer than it is true.
    until: u32,
    profile: ProfileId,
    tenure: u32,
    kind: Option<ThingType>,
    enabled: bool,
}

#[derive(Clone)]
struct Profile {
    seen: Seen,
    until: Duration,
    /// A number for the profile in this group. If its id comes to be used again in another one, whatever was there
    /// before is known by another number: the marks of the group where it is now do not tell of its end.
    tenure: u32,
    place: Arc<Place>,
}

/// A cached answer.
pub(super) enum Found {
    /// Whose it is, where that is, how long the answer may still be kept, and whether this use is to be
    /// noted.
    Device(Held, Arc<Place>, Duration, bool),
    /// It lets nobody in.
    Refused(Refusal),
    /// It has to be looked up.
    Unknown,
}

/// The cache.
pub(super) struct Cache {
    pub(super) fence: Fence,
    credentials: Map<Short, Credential, UnitWeighter, BuildHasherDefault<Prefix>>,
    things: Map<ThingId, Thing>,
    profiles: Map<ProfileId, Profile, ByBytes>,
    tenures: AtomicU32,
}

impl Cache {
    /// With room for so many credentials, and as many things by their ids; none is a cache that forgets at once.
    pub(super) fn new(credentials: usize) -> Self {
        let most = u64::try_from(credentials).unwrap_or(u64::MAX);
        Self {
            fence: Fence::new(MARKS),
            credentials: Map::with(
                credentials.min(1_000),
                most,
                UnitWeighter,
                BuildHasherDefault::default(),
                Default::default(),
            ),
            things: Map::with_weighter(credentials.min(1_000), most, UnitWeighter),
            profiles: Map::with_weighter(100, if most == 0 { 0 } else { PLACES }, ByBytes),
            tenures: AtomicU32::new(0),
        }
    }

    /// What is known of a credential at `now`, in time since the start.
    pub(super) fn find(&self, digest: &Digest, now: Duration) -> Found {
        let Some(Credential { seen, until, noted, tenure, held }) = self.credentials.get(&digest.short())
        else {
            return Found::Unknown;
        };
        let Some(left) = left(until, now) else { return Found::Unknown };
        match held {
            Err(refusal) if self.fence.holds(seen, &[Mark::Credentials]) => Found::Refused(refusal),
            Ok(held) => match self.place((held.profile, tenure), now) {
                Some(place) if self.fence.holds(seen, &marks(held.thing, &place)) => {
                    let due = noted == NEVER || seconds(now).saturating_sub(noted) >= GRAIN;
                    Found::Device(held, place, left, due)
                }
                _ => Found::Unknown,
            },
            Err(_) => Found::Unknown,
        }
    }

    /// A use of a credential was noted. Should the entry be an older one by then than what somebody has just put
    /// in its place, the fence says so, and it is read again.
    pub(super) fn noted(&self, digest: &Digest, now: Duration) {
        if let Some(credential) = self.credentials.get(&digest.short()) {
            self.credentials.insert(digest.short(), Credential { noted: seconds(now), ..credential });
        }
    }

    /// The place of a profile in its tenure, if it is known.
    fn place(&self, (profile, tenure): (ProfileId, u32), now: Duration) -> Option<Arc<Place>> {
        let found = self.profiles.get(&profile).filter(|found| found.until > now)?;
        if found.tenure != tenure && !planted!("T8: a profile is the same in any group") {
            return None;
        }
        self.fence.holds(found.seen, &found.place.marks()).then_some(found.place)
    }

    /// Keeps whose a credential was when it was read at `seen`; `valid` is how much longer it is valid, if
    /// that is bounded. Answers how long it is kept.
    pub(super) fn keep(
        &self,
        digest: Digest,
        held: Held,
        place: &Arc<Place>,
        (seen, now): (Seen, Duration),
        valid: Option<Duration>,
    ) -> Duration {
        let kept = valid.unwrap_or(LONGEST).min(LONGEST);
        let tenure = self.keep_place(place, (seen, now));
        let credential = Credential { seen, until: tenths(now, kept), noted: NEVER, tenure, held: Ok(held) };
        self.credentials.insert(digest.short(), credential);
        kept
    }

    /// Keeps a place, and tells the profile's tenure.
    fn keep_place(&self, place: &Arc<Place>, (seen, now): (Seen, Duration)) -> u32 {
        let known = self.profiles.get(&place.profile).filter(|known| known.place.group == place.group);
        let tenure = known.map_or_else(|| self.tenures.fetch_add(1, Ordering::Relaxed), |known| known.tenure);
        let until = now.saturating_add(LONGEST);
        self.profiles.insert(place.profile, Profile { seen, until, tenure, place: Arc::clone(place) });
        tenure
    }

    /// What is known of a thing by its id.
    pub(super) fn standing(&self, thing: ThingId, now: Duration) -> Option<Standing> {
        let Thing { seen, until, profile, tenure, kind, enabled } = self.things.get(&thing)?;
        left(until, now)?;
        let place = self.place((profile, tenure), now)?;
        self.fence.holds(seen, &marks(thing, &place)).then_some(Standing { kind, enabled, place })
    }

    /// Keeps what a thing was when it was read at `seen`.
    pub(super) fn keep_standing(&self, thing: ThingId, standing: &Standing, (seen, now): (Seen, Duration)) {
        let Standing { kind, enabled, place } = standing;
        let until = tenths(now, LONGEST);
        let tenure = self.keep_place(place, (seen, now));
        let profile = place.profile;
        self.things.insert(thing, Thing { seen, until, profile, tenure, kind: *kind, enabled: *enabled });
    }

    /// Keeps that a credential let nobody in.
    pub(super) fn keep_refusal(&self, digest: Digest, refusal: Refusal, (seen, now): (Seen, Duration)) {
        let until = tenths(now, REFUSED);
        let credential = Credential { seen, until, noted: NEVER, tenure: 0, held: Err(refusal) };
        self.credentials.insert(digest.short(), credential);
    }
}

fn tenths(now: Duration, kept: Duration) -> u32 {
    u32::try_from(now.saturating_add(kept).as_millis() / 100).unwrap_or(u32::MAX)
}

/// How much longer something is kept, if it has not ended.
fn left(until: u32, now: Duration) -> Option<Duration> {
    Duration::from_millis(u64::from(until) * 100).checked_sub(now).filter(|left| !left.is_zero())
}

fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(NEVER - 1)
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<ProfileId, Profile> for ByBytes {
    fn weight(&self, _: &ProfileId, profile: &Profile) -> u64 {
        PLACE + profile.place.bytes
    }
}

/// Digests under the pepper are as good as random, and nobody outside can choose them.
#[derive(Default)]
pub(super) struct Prefix(u64);

impl Hasher for Prefix {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk::<8>() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

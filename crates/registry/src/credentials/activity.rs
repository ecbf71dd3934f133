//! When devices were last seen: noted in memory by whoever checks a credential, and written down in
//! batches by a task of its own, so that no check waits for it.

use std::{
    collections::HashMap,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{IndexedAs, failures::Failures};
use crate::{
    Registry,
    access::{self, Inspect},
    actor::Call,
    clock::Timestamp,
    error::{Error, Result},
    ids::ThingId,
    secret::Digest,
    store,
};

/// What is answered from memory is noted again after so many seconds.
pub(super) const GRAIN: u32 = 60;
/// How often what is noted is written down.
const PERIOD: Duration = Duration::from_secs(5);
/// How many credentials are noted at a time; further ones are noted when they are checked again.
const MOST: usize = 100_000;
/// Rows of one statement.
const BATCH: usize = 1_000;
/// How often a batch is tried that met a thing just being deleted.
const ATTEMPTS: u32 = 3;

/// The last use of each credential since what was noted was written down. Devices' credentials are known by
/// digests, because a key may have become a previous key until then.
#[derive(Default)]
pub(super) struct Uses(Mutex<HashMap<(ThingId, Digest), Timestamp>>);

impl Uses {
    /// Notes a use; tells whether there was room.
    pub(super) fn note(&self, thing: ThingId, digest: Digest, at: Timestamp) -> bool {
        let mut uses = self.lock();
        let room = uses.len() < MOST;
        if let Some(last) = uses.get_mut(&(thing, digest)) {
            *last = at.max(*last);
            return true;
        }
        if room {
            uses.insert((thing, digest), at);
        }
        room
    }

    fn take(&self) -> Vec<((ThingId, Digest), Timestamp)> {
        // Not drained: the room for a hundred thousand is given back.
        let mut taken: Vec<_> = std::mem::take(&mut *self.lock()).into_iter().collect();
        // Two processes that write about the same things take turns by this.
        taken.sort_unstable_by_key(|((thing, _), _)| *thing);
        taken
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(ThingId, Digest), Timestamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is noted and not yet written down.
#[derive(Default)]
pub(crate) struct Notes {
    pub(super) uses: Uses,
    pub(super) failures: Failures,
}

/// One of a thing's credentials, without its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Which.
    pub kind: IndexedAs,
    /// When the thing last authenticated by it, give or take a minute.
    pub last_seen_at: Option<Timestamp>,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
}

impl Registry {
    /// The credentials that a thing has, without their values, for its editors: whether a device has taken
    /// over its new key shows here.
    pub async fn list_credentials(&self, call: &Call, id: ThingId) -> Result<Vec<Credential>> {
        let mut conn = self.db.read().await?;
        let permit = access::permit::<Inspect, _>(&mut conn, call, id).await?;
        let now = conn.now(&self.db.clock).await?;
        store::activity::credentials(&mut conn, &permit, now).await
    }

    /// Writes down what devices do every few seconds, until `stopping`, and then what is left.
    pub async fn note_activity(self: Arc<Self>, stopping: impl Future<Output = ()>) {
        let mut stopping = pin!(stopping);
        let mut well = true;
        loop {
            let ending = tokio::select! {
                () = &mut stopping => true,
                () = tokio::time::sleep(PERIOD) => false,
            };
            match self.write_activity().await {
                Ok(()) => well = true,
                Err(error) if well => {
                    well = false;
                    tracing::warn!(%error, "cannot write down what devices do; it is tried again");
                }
                Err(_) => {}
            }
            if ending {
                return;
            }
        }
    }

    /// Writes down what is noted of devices' checks. What cannot be written stays noted.
    pub async fn write_activity(&self) -> Result<()> {
        let (uses, failures) = tokio::join!(self.write_uses(), self.write_failures());
        uses.and(failures)
    }

    async fn write_uses(&self) -> Result<()> {
        let uses = &self.devices.notes.uses;
        let taken = uses.take();
        let mut batches = taken.chunks(BATCH);
        while let Some(batch) = batches.next() {
            let rows: Vec<_> = batch
                .iter()
                .map(|((thing, digest), at)| (*thing, self.keyring.verifier_of(digest), *at))
                .collect();
            if let Err(error) = self.write_batch(&rows).await {
                for ((thing, digest), at) in batch.iter().chain(batches.flatten()) {
                    uses.note(*thing, *digest, *at);
                }
                return Err(error);
            }
        }
        Ok(())
    }

    async fn write_batch(&self, rows: &[store::activity::Use]) -> Result<()> {
        let mut attempt = 1;
        loop {
            let written = async {
                let mut tx = self.db.write().await?;
                store::activity::write(&mut tx, rows).await?;
                tx.commit_raw().await
            };
            match written.await {
                Err(Error::Collision) if attempt < ATTEMPTS => attempt += 1,
                written => return written,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Secret, secret::Keyring};

    #[test]
    fn what_is_noted_is_bounded_and_the_latest() {
        let keys: Keyring = format!("pepper=p1:{0}\nkek=k1:{0}\n", "A".repeat(43)).parse().unwrap();
        let uses = Uses::default();
        let thing = |n: usize| ThingId::from(uuid::Uuid::from_u128(n as u128));
        let digest = keys.digest(&Secret::new("a key of a device"));
        for n in 0..MOST {
            assert!(uses.note(thing(n), digest, Timestamp::from_millis(5)));
        }
        assert!(!uses.note(thing(MOST), digest, Timestamp::from_millis(5)), "no room for another");
        assert!(uses.note(thing(7), digest, Timestamp::from_millis(9)), "but for one that is there");
        assert!(uses.note(thing(7), digest, Timestamp::from_millis(6)));
        let taken = uses.take();
        let ((of, _), at) = taken[7];
        assert_eq!((taken.len(), of, at), (MOST, thing(7), Timestamp::from_millis(9)));
        assert!(uses.take().is_empty());
    }
}

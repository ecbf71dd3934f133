//! Things by their ids: for brokers, which show a credential once and ask about topics afterwards. Kept in
//! memory behind the same fence as credentials, and answered from there under the same lease and grace.

use std::{sync::Arc, time::Duration};

use super::device::{Device, Place};
use crate::{
    Registry,
    error::{Error, Result},
    ids::ThingId,
    store,
    things::ThingType,
};

/// A thing, and what decides what it may do. Whether it has shown a credential is not said.
#[derive(Clone, Debug)]
pub struct Party {
    /// Which.
    pub thing: ThingId,
    /// What kind it is.
    pub kind: Option<ThingType>,
    /// Where it is and how it talks.
    pub place: Arc<Place>,
}

impl From<Device> for Party {
    fn from(device: Device) -> Self {
        Self { thing: device.thing, kind: device.kind, place: device.place }
    }
}

/// What a thing's row, and what hangs on it, say.
#[derive(Clone)]
pub(crate) struct Standing {
    /// `None` for a stored value that nothing recognises: it commands nothing and is commanded by nothing.
    pub(crate) kind: Option<ThingType>,
    /// A disabled thing does nothing. It may still be commanded: what waits for it reaches it when it is let
    /// in again.
    pub(crate) enabled: bool,
    pub(crate) place: Arc<Place>,
}

impl Registry {
    /// A thing that whoever asks has let in before, as it is now: [`Error::NotFound`] unless it exists and
    /// is enabled.
    pub async fn device_by_id(&self, thing: ThingId) -> Result<Party> {
        match self.standing(thing).await? {
            Standing { kind, enabled: true, place } => Ok(Party { thing, kind, place }),
            Standing { enabled: false, .. } => Err(Error::NotFound),
        }
    }

    /// Whether there is a thing with this id, enabled or not. For services that have let somebody in.
    pub async fn is_thing(&self, id: ThingId) -> Result<bool> {
        match self.standing(id).await {
            Ok(_) => Ok(true),
            Err(Error::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn standing(&self, thing: ThingId) -> Result<Standing> {
        let now = self.db.clock.uptime();
        let devices = &self.devices;
        let known = if devices.lease.holds() { devices.cache.standing(thing, now) } else { None };
        match known {
            Some(standing) => Ok(standing),
            None => {
                let looked_up = Box::pin(self.look_up_thing(thing, now));
                let known = || devices.cache.standing(thing, now).map(Some);
                self.in_time(looked_up, known).await?.ok_or(Error::NotFound)
            }
        }
    }

    async fn look_up_thing(&self, thing: ThingId, now: Duration) -> Result<Option<Standing>> {
        let cache = &self.devices.cache;
        // Noted before anything is read: see `fence.rs`.
        let moment = (cache.fence.now(), now);
        let mut conn = self.db.read().await?;
        let found = store::credentials::standing(&mut conn, thing).await?;
        // That there is none is not kept: it may come to be by a change that tells only of itself.
        if let Some(standing) = &found {
            cache.keep_standing(thing, standing, moment);
        }
        Ok(found)
    }
}

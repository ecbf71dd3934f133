//! Enabling and disabling things: a disabled one keeps its keys, and none of them lets it in.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Thing;
use crate::{
    Registry,
    access::Edit,
    actor::Call,
    error::Result,
    ids::ThingId,
    journal::{self, Changes, Entry, Subject},
    store,
    version::Expect,
};

/// Whether a thing can authenticate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ThingStatus {
    /// It can.
    #[default]
    Enabled,
    /// It cannot, whatever it shows.
    Disabled,
}

impl ThingStatus {
    /// As shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
        }
    }
}

impl FromStr for ThingStatus {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Enabled, Self::Disabled]
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or("must be one of enabled, disabled")
    }
}

impl Registry {
    /// Lets a thing authenticate again.
    pub async fn enable_thing(&self, call: &Call, id: ThingId, expect: &Expect) -> Result<Thing> {
        self.set_thing_status(call, id, ThingStatus::Enabled, expect).await
    }

    /// Shuts a thing out: none of its credentials works once this returns. It keeps them for the day it
    /// is enabled again.
    pub async fn disable_thing(&self, call: &Call, id: ThingId, expect: &Expect) -> Result<Thing> {
        self.set_thing_status(call, id, ThingStatus::Disabled, expect).await
    }

    async fn set_thing_status(
        &self,
        call: &Call,
        id: ThingId,
        status: ThingStatus,
        expect: &Expect,
    ) -> Result<Thing> {
        let action = match status {
            ThingStatus::Enabled => "thing.enabled",
            ThingStatus::Disabled => "thing.disabled",
        };
        use_case!(self, call, |tx| {
            let permit = self.lock_thing::<Edit>(&mut tx, call, id).await?;
            let before = store::things::get(&mut tx, &permit).await?;
            expect.check(&before.version())?;
            let after = Thing { status, ..before.clone() };
            let mut entries = Vec::new();
            if before.status != status {
                store::things::set_status(&mut tx, &permit, status).await?;
                let changes = Changes::default().field("status", &before.status, &after.status);
                entries.push(Entry::by(&permit, action, Subject::thing(id, &after.name)).with(changes));
            }
            journal::commit(self, tx, call, entries, after).await
        })
    }
}

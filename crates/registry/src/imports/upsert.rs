//! Rows that are about things which are there already: found, and changed by the rules of the API.

use std::{collections::HashMap, time::Duration};

use super::{
    ImportRow, MatchBy,
    batch::{Place, Plan},
};
use crate::{
    Registry,
    access::{self, Edit, Permit},
    actor::Call,
    error::{Error, Result},
    ids::ThingId,
    journal::{Changes, Entry, Subject},
    store::{self, Tx, lock, sql::Arg},
    things::{Thing, ThingStatus},
};

/// The things that a batch's rows are about, locked, with the right to change them.
#[derive(Default)]
pub(super) struct Known {
    things: HashMap<ThingId, Thing>,
    by_name: HashMap<String, ThingId>,
    by_external_key: HashMap<String, ThingId>,
    permits: Vec<Permit<Edit, ThingId>>,
}

/// One of them.
pub(super) struct Found<'k> {
    pub(super) before: &'k Thing,
    permit: &'k Permit<Edit, ThingId>,
}

impl Known {
    /// What a row is about.
    pub(super) fn find(&self, by: Option<MatchBy>, row: &ImportRow) -> Option<Found<'_>> {
        let id = match by? {
            MatchBy::Id => row.id?,
            MatchBy::Name => *self.by_name.get(row.name.as_ref()?.as_str())?,
            MatchBy::ExternalKey => *self.by_external_key.get(row.external_key.as_ref()?.as_str())?,
        };
        let at = self.permits.binary_search_by_key(&id, Permit::target).ok()?;
        Some(Found { before: self.things.get(&id)?, permit: self.permits.get(at)? })
    }
}

impl Registry {
    /// Looks for the things of the group that rows are about, and locks them.
    pub(super) async fn known<'r>(
        &self,
        tx: &mut Tx,
        call: &Call,
        place: &Place,
        by: MatchBy,
        rows: impl Iterator<Item = &'r ImportRow>,
    ) -> Result<Known> {
        let text = |text: &str| Arg::Text(text.to_owned());
        let values: Vec<Arg> = rows
            .filter_map(|row| match by {
                MatchBy::Id => row.id.map(|id| Arg::Id(id.uuid())),
                MatchBy::ExternalKey => row.external_key.as_ref().map(|key| text(key.as_str())),
                MatchBy::Name => row.name.as_ref().map(|name| text(name.as_str())),
            })
            .collect();
        let ids = store::imports::matching(tx, &place.group, by, values.into_iter()).await?;
        if ids.is_empty() {
            return Ok(Known::default());
        }
        lock::things(tx, &ids).await?;
        let permits: Vec<Permit<Edit, ThingId>> = match access::permit_all(tx, call, &ids).await {
            // One went, between the look and the lock.
            Err(Error::NotFound) => return Err(Error::Collision),
            permits => permits?,
        };
        let things = store::things::get_all(tx, &permits).await?;
        // One that went to another group meanwhile is not of this one.
        let things = things.into_iter().filter(|thing| thing.group_id == place.group.target());
        let mut known = Known { permits, ..Known::default() };
        for thing in things {
            known.by_name.insert(thing.name.clone(), thing.id);
            known.by_external_key.extend(thing.external_key.clone().map(|key| (key, thing.id)));
            known.things.insert(thing.id, thing);
        }
        Ok(known)
    }

    /// Makes a thing what its row says, and tells the changes, each as the API would.
    pub(super) async fn change(
        &self,
        tx: &mut Tx,
        place: &Place,
        plan: &Plan<'_>,
        found: &Found<'_>,
    ) -> Result<Vec<Entry>> {
        let (row, before, permit) = (plan.row, found.before, found.permit);
        let mut entries = Vec::new();
        let mut after = Thing {
            name: row.name.as_ref().map_or_else(|| before.name.clone(), |name| name.as_str().to_owned()),
            kind: row.kind.or(before.kind),
            metadata: row.metadata.as_ref().unwrap_or(&before.metadata).clone(),
            ..before.clone()
        };
        let subject = Subject::thing(before.id, &after.name);
        let mut changes = Changes::default()
            .field("name", &before.name, &after.name)
            .field("type", &before.kind, &after.kind)
            .field("metadata", &before.metadata, &after.metadata);
        if !changes.is_empty() {
            store::things::update(tx, permit, &after).await?;
        }
        if let (Some(key), Some(verifier)) = (&row.key, &plan.key)
            && *verifier != before.verifier
        {
            after.verifier = self.replace_key(tx, permit, key, Duration::ZERO).await?.verifier;
            changes = changes.secret("key");
        }
        if !changes.is_empty() {
            entries.push(Entry::by(permit, "thing.updated", subject.clone()).with(changes));
        }
        if let (Some(external), Some(verifier)) = (&row.external_key, &plan.external)
            && before.external_key.as_deref() != Some(external.as_str())
        {
            store::credentials::set_external(tx, permit, Some((external.as_str(), verifier))).await?;
            let is = Some(external.as_str().to_owned());
            let changes = Changes::default().field("external_key", &before.external_key, &is);
            entries.push(Entry::by(permit, "thing.external_key_set", subject.clone()).with(changes));
        }
        if let Some(profile) = plan.profile.filter(|profile| *profile != before.profile_id) {
            let to = place.profile(profile).ok_or(Error::NotFound)?;
            store::things::relocate(tx, permit, to).await?;
            let changes = Changes::default().field("profile_id", &before.profile_id, &profile);
            entries.push(Entry::by(permit, "thing.moved", subject.clone()).with(changes));
        }
        if let Some(status) = row.status.filter(|status| *status != before.status) {
            store::things::set_status(tx, permit, status).await?;
            let action = match status {
                ThingStatus::Enabled => "thing.enabled",
                ThingStatus::Disabled => "thing.disabled",
            };
            let changes = Changes::default().field("status", &before.status, &status);
            entries.push(Entry::by(permit, action, subject).with(changes));
        }
        Ok(entries)
    }
}

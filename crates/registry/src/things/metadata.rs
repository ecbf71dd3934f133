//! Metadata of several things at once.

use std::collections::{BTreeMap, HashMap};

use super::Thing;
use crate::{
    Registry,
    access::{self, Edit, Permit},
    actor::Call,
    error::{Error, FieldError, Result},
    groups::{bulk_size, no_repeats},
    ids::ThingId,
    journal::{self, Changes, Entry, Subject},
    json::{self, JsonObject},
    page::MAX_PAGE_BYTES,
    store::{self, lock},
};

/// Of how many things metadata is merged at a time.
const AT_ONCE: usize = 64;

impl Registry {
    /// Lays metadata over that of several things, each one level deep, all or none. What is answered holds
    /// no more than a page may.
    pub async fn merge_metadata(&self, call: &Call, updates: &[(ThingId, JsonObject)]) -> Result<Vec<Thing>> {
        bulk_size("", updates.len())?;
        let mut errors = Vec::new();
        no_repeats("id", updates.iter().map(|(id, _)| Some(*id)), &mut errors);
        if !errors.is_empty() {
            return Err(Error::Invalid(errors));
        }
        let ids: Vec<ThingId> = updates.iter().map(|(id, _)| *id).collect();
        let wanted: HashMap<ThingId, (usize, &JsonObject)> =
            updates.iter().enumerate().map(|(item, (id, metadata))| (*id, (item, metadata))).collect();
        use_case!(self, call, |tx| {
            lock::groups_of_things(&mut tx, &ids).await?;
            lock::things(&mut tx, &ids).await?;
            let permits: Vec<Permit<Edit, ThingId>> = access::permit_all(&mut tx, call, &ids).await?;
            let (mut merged, mut bytes, mut errors) = (BTreeMap::new(), 0, Vec::new());
            // Some at a time: those that are answered fit into memory, but not thrice.
            for permits in permits.chunks(AT_ONCE) {
                let (mut changed, mut entries) = (Vec::new(), Vec::new());
                let mut things = store::things::get_all(&mut tx, permits).await?;
                things.sort_unstable_by_key(|thing| thing.id);
                for before in things {
                    // Both were made from the same ids.
                    let (item, metadata) = wanted.get(&before.id).ok_or(Error::NotFound)?;
                    let at = permits.binary_search_by_key(&before.id, Permit::target);
                    let permit = at.ok().and_then(|at| permits.get(at)).ok_or(Error::NotFound)?;
                    let metadata = match before.metadata.merge(metadata) {
                        Ok(metadata) => metadata,
                        Err(error) => {
                            errors.push(FieldError::new("metadata", error.to_string()).in_item(*item));
                            continue;
                        }
                    };
                    bytes += metadata.bytes();
                    if bytes > MAX_PAGE_BYTES {
                        return Err(Error::invalid(
                            "",
                            format!(
                                "must hold fewer items: what these things hold together is more than {} MiB; \
                                 {} always fit",
                                MAX_PAGE_BYTES >> 20,
                                MAX_PAGE_BYTES / json::MAX_BYTES
                            ),
                        ));
                    }
                    let after = Thing { metadata, ..before.clone() };
                    if after != before {
                        let changes = Changes::default().field("metadata", &before.metadata, &after.metadata);
                        let subject = Subject::thing(after.id, &after.name);
                        entries.push(Entry::by(permit, "thing.updated", subject).with(changes));
                        changed.push(after.clone());
                    }
                    merged.insert(*item, after);
                }
                if errors.is_empty() {
                    store::things::update_metadata(&mut tx, permits, &changed).await?;
                    journal::note(&mut tx, call, &entries).await?;
                }
            }
            if !errors.is_empty() {
                errors.sort_by_key(|error| error.item);
                return Err(Error::Invalid(errors));
            }
            // In the order of the request.
            let merged: Vec<Thing> = merged.into_values().collect();
            journal::commit(self, tx, call, Vec::new(), merged).await
        })
    }
}

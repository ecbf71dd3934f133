//! Making things: a thousand in a request, all or none.

use std::collections::HashMap;

use super::{CreatedThing, NewThing, Thing, ThingStatus};
use crate::{
    Conflict, Registry,
    access::{self, Edit, Permit},
    actor::Call,
    credentials::ThingKey,
    error::{ConflictKind, Error, FieldError, Result},
    groups::{bulk_size, no_repeats},
    ids::ProfileId,
    journal::{self, Entry, Subject},
    secret::Secret,
    store::{self, lock},
};

impl Registry {
    /// Makes things on a profile, all or none, and answers them with their keys in the order given.
    pub async fn create_things(
        &self,
        call: &Call,
        profile: ProfileId,
        things: &[NewThing],
    ) -> Result<Vec<CreatedThing>> {
        bulk_size("", things.len())?;
        let mut errors = Vec::new();
        no_repeats("name", things.iter().map(|thing| Some(thing.name.as_str())), &mut errors);
        no_repeats("id", things.iter().map(|thing| thing.id), &mut errors);
        no_repeats(
            "key",
            things.iter().map(|thing| thing.key.as_ref().map(|key| key.secret().expose())),
            &mut errors,
        );
        no_repeats("external_key", things.iter().map(|thing| thing.external_key.as_ref()), &mut errors);
        let keys: HashMap<&str, usize> = things
            .iter()
            .enumerate()
            .filter_map(|(item, thing)| Some((thing.key.as_ref()?.secret().expose(), item)))
            .collect();
        for (item, thing) in things.iter().enumerate() {
            // One value names one thing, whether as key or as external key.
            let message = match thing.external_key.as_ref().and_then(|external| keys.get(external.as_str())) {
                Some(of) if *of == item => "must differ from the key".to_owned(),
                Some(of) => format!("is the same as the key of item {of}"),
                None => continue,
            };
            errors.push(FieldError::new("external_key", message).in_item(item));
        }
        if !errors.is_empty() {
            return Err(Error::Invalid(errors));
        }
        let probe = match things.iter().any(|thing| thing.key.is_some() || thing.external_key.is_some()) {
            true => Some(self.probes.take(call).await?),
            false => None,
        };
        let made = use_case!(self, call, |tx| {
            lock::groups_of_profiles(&mut tx, &[profile]).await?;
            lock::profiles_shared(&mut tx, &[profile]).await?;
            let permit: Permit<Edit, ProfileId> = access::permit(&mut tx, call, profile).await?;
            let (made, rows) = self.make(tx.now(), &permit, things)?;
            store::things::insert(&mut tx, &permit, &rows.iter().collect::<Vec<_>>()).await?;
            let entries = made
                .iter()
                .map(|CreatedThing { thing, .. }| {
                    Entry::by(&permit, "thing.created", Subject::thing(thing.id, &thing.name))
                })
                .collect();
            journal::commit(self, tx, call, entries, made).await
        });
        match made {
            Err(Error::Conflict(conflict)) => {
                let error = self.which_things(profile, things, conflict).await;
                Err(match probe {
                    Some(probe) => probe.weigh(error),
                    None => error,
                })
            }
            made => made,
        }
    }

    /// The things to answer and the rows to store.
    fn make(
        &self,
        now: crate::Timestamp,
        permit: &Permit<Edit, ProfileId>,
        things: &[NewThing],
    ) -> Result<(Vec<CreatedThing>, Vec<store::things::NewRow>)> {
        let mut made = Vec::with_capacity(things.len());
        let mut rows = Vec::with_capacity(things.len());
        for new in things {
            let id = new.id.unwrap_or_else(|| self.ids.make(now));
            let key = new.key.clone().map_or_else(ThingKey::generate, Ok)?;
            let verifier = self.verifier_of(&key);
            rows.push(store::things::NewRow {
                id,
                name: new.name.as_str().to_owned(),
                kind: new.kind,
                metadata: new.metadata.to_text(),
                verifier: verifier.clone(),
                chosen: new.key.is_some(),
                external: new.external_key.as_ref().map(|external| {
                    let verifier = self.keyring.verifier(&Secret::new(external.as_str()));
                    (external.as_str().to_owned(), verifier)
                }),
                sealed: self.seal_key(id, &key)?,
            });
            made.push(CreatedThing {
                thing: Thing {
                    id,
                    group_id: permit.home().group,
                    profile_id: permit.target(),
                    name: new.name.as_str().to_owned(),
                    kind: Some(new.kind),
                    external_key: new.external_key.as_ref().map(|external| external.as_str().to_owned()),
                    metadata: new.metadata.clone(),
                    status: ThingStatus::Enabled,
                    last_seen_at: None,
                    role: permit.role(),
                    verifier,
                },
                key: Some(key.secret().clone()),
            });
        }
        Ok((made, rows))
    }

    /// Says what a conflict is about, and which items; asked only after one happened. Several things may
    /// clash at once, and each engine finds another of them first: the answer is the same for all.
    async fn which_things(&self, profile: ProfileId, things: &[NewThing], conflict: Conflict) -> Error {
        const KINDS: &[ConflictKind] =
            &[ConflictKind::IdTaken, ConflictKind::ThingNameTaken, ConflictKind::CredentialUnavailable];
        if !KINDS.contains(&conflict.kind) {
            return Error::Conflict(conflict);
        }
        let verifiers: Vec<_> = things
            .iter()
            .map(|thing| {
                let key = thing.key.as_ref().map(|key| self.verifier_of(key));
                let external =
                    thing.external_key.as_ref().map(|key| self.keyring.verifier(&Secret::new(key.as_str())));
                (key, external)
            })
            .collect();
        let found = async {
            let mut conn = self.db.read().await?;
            for kind in KINDS {
                let items = store::things::clashes(&mut conn, profile, things, &verifiers, *kind).await?;
                if !items.is_empty() {
                    return Ok(Some(Conflict { kind: *kind, items }));
                }
            }
            Ok::<_, Error>(None)
        };
        match found.await {
            Ok(found) => Error::Conflict(found.unwrap_or(conflict)),
            Err(error) => {
                tracing::debug!(%error, "which items clash is not known");
                Error::Conflict(conflict)
            }
        }
    }
}

//! Things: devices. Each is in exactly one group, on exactly one profile of that group.

pub(crate) mod commands;
mod create;
mod metadata;
mod status;

use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use status::ThingStatus;

use crate::{
    Registry,
    access::{self, Administer, Edit, Permit, Role, View, Visible},
    actor::Call,
    clock::Timestamp,
    credentials::{ExternalKey, ThingKey},
    error::{Error, Result},
    groups::bulk_size,
    ids::{GroupId, OrgId, ProfileId, ThingId},
    journal::{self, Changes, Entry, Subject},
    json::JsonObject,
    page::{Page, PageQuery},
    secret::{self, Secret, Verifier},
    store::{self, lock, lock::GroupLock},
    text::{SearchText, ThingName},
    version::{Expect, Version},
};

/// What kind of thing it is; decides which things may command which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ThingType {
    /// Anything.
    #[default]
    Device,
    /// Measures.
    Sensor,
    /// Acts.
    Actuator,
    /// Commands others.
    Controller,
    /// Speaks for others.
    Gateway,
}

impl ThingType {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Device, Self::Sensor, Self::Actuator, Self::Controller, Self::Gateway];

    /// As stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Sensor => "sensor",
            Self::Actuator => "actuator",
            Self::Controller => "controller",
            Self::Gateway => "gateway",
        }
    }
}

impl FromStr for ThingType {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or("must be one of device, sensor, actuator, controller, gateway")
    }
}

/// A thing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Thing {
    /// Its id.
    pub id: ThingId,
    /// The group it is in: its profile's.
    pub group_id: GroupId,
    /// How it talks.
    pub profile_id: ProfileId,
    /// Unique in the group.
    pub name: String,
    /// What kind it is; `None` for a stored value that nothing recognises.
    pub kind: Option<ThingType>,
    /// By what it is known outside.
    pub external_key: Option<String>,
    /// Free-form.
    pub metadata: JsonObject,
    /// Whether it can authenticate.
    // An answer kept for a repetition may have been written before there was a status.
    #[serde(default)]
    pub status: ThingStatus,
    /// When it last authenticated, give or take a minute; no part of the version.
    pub last_seen_at: Option<Timestamp>,
    /// The caller's strongest role in its group.
    pub role: Role,
    /// What the key is checked by; part of the version, never shown.
    pub(crate) verifier: Verifier,
}

impl Thing {
    /// What an ETag is made of: everything that people change, a new key included, but not the caller's
    /// role.
    pub fn version(&self) -> Version {
        Version::of(&(
            self.id,
            self.profile_id,
            &self.name,
            self.kind,
            &self.external_key,
            &self.metadata,
            &self.verifier,
            self.status,
        ))
    }
}

/// A thing to be made.
#[derive(Clone, Debug)]
pub struct NewThing {
    /// Chosen by the client, or made.
    pub id: Option<ThingId>,
    /// Unique in the group.
    pub name: ThingName,
    /// What kind it is.
    pub kind: ThingType,
    /// Chosen by the client, or made.
    pub key: Option<ThingKey>,
    /// By what it is known outside.
    pub external_key: Option<ExternalKey>,
    /// Free-form.
    pub metadata: JsonObject,
}

/// A thing with its key, shown when the key is made or revealed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CreatedThing {
    /// The thing.
    pub thing: Thing,
    /// Its key.
    #[serde(with = "secret::in_sealed_record")]
    pub key: Option<Secret>,
}

/// A change to a thing; what is `None` stays.
#[derive(Clone, Debug)]
pub struct ThingUpdate {
    /// The new name.
    pub name: ThingName,
    /// The new kind.
    pub kind: Option<ThingType>,
    /// The new metadata, replaced as a whole.
    pub metadata: Option<JsonObject>,
    /// A new key; the old one ends at once.
    pub key: Option<ThingKey>,
}

/// Where to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Scope {
    /// In every group the caller has a role in.
    #[default]
    Everywhere,
    /// In those of one organisation.
    Org(OrgId),
    /// In one group.
    Group(GroupId),
    /// On one profile.
    Profile(ProfileId),
}

/// Which things.
#[derive(Clone, Debug, Default)]
pub struct ThingFilter {
    /// Where.
    pub scope: Scope,
    /// Part of the name, upper and lower case alike (ASCII).
    pub name: Option<SearchText>,
    /// Metadata that contains this.
    pub metadata: Option<JsonObject>,
    /// Exactly this kind.
    pub kind: Option<ThingType>,
    /// Exactly this external key.
    pub external_key: Option<SearchText>,
    /// With this status.
    pub status: Option<ThingStatus>,
}

/// What things are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ThingOrder {
    /// By id: for ids of version 7 the order of creation.
    #[default]
    Id,
    /// By name, ASCII case folded, then by code point.
    Name,
    /// By kind.
    Kind,
}

impl Registry {
    /// The things the caller may see, without keys.
    pub async fn list_things(
        &self,
        call: &Call,
        filter: &ThingFilter,
        query: &PageQuery<ThingOrder>,
    ) -> Result<Page<Thing>> {
        let mut conn = self.db.read().await?;
        let visible = match filter.scope {
            Scope::Everywhere => Visible::everywhere(call)?,
            Scope::Org(org) => Visible::in_org(call, &access::permit(&mut conn, call, org).await?)?,
            Scope::Group(group) => Visible::in_group(call, &access::permit(&mut conn, call, group).await?)?,
            Scope::Profile(profile) => {
                Visible::in_profile(call, &access::permit(&mut conn, call, profile).await?)?
            }
        };
        store::things::list(&mut conn, &self.keyring, call.user()?, &visible, filter, query).await
    }

    /// One thing; with its key for who may edit it, where copies of keys are kept.
    pub async fn view_thing(&self, call: &Call, id: ThingId) -> Result<CreatedThing> {
        let mut conn = self.db.read().await?;
        let permit = access::permit::<View, _>(&mut conn, call, id).await?;
        let thing = store::things::get(&mut conn, &permit).await?;
        let key = match access::permit::<Edit, _>(&mut conn, call, id).await {
            Ok(permit) => self.copy_of_key(&mut conn, &permit).await?,
            Err(Error::Forbidden(_)) => None,
            Err(error) => return Err(error),
        };
        Ok(CreatedThing { thing, key })
    }

    /// Changes a thing. Without a key the present one stays; with another it is replaced at once.
    pub async fn update_thing(
        &self,
        call: &Call,
        id: ThingId,
        update: &ThingUpdate,
        expect: &Expect,
    ) -> Result<Thing> {
        let probe = match update.key {
            Some(_) => Some(self.probes.take(call).await?),
            None => None,
        };
        let updated = use_case!(self, call, |tx| {
            let permit = self.lock_thing::<Edit>(&mut tx, call, id).await?;
            let before = store::things::get(&mut tx, &permit).await?;
            expect.check(&before.version())?;
            let mut after = Thing {
                name: update.name.as_str().to_owned(),
                kind: update.kind.or(before.kind),
                metadata: update.metadata.clone().unwrap_or_else(|| before.metadata.clone()),
                ..before.clone()
            };
            let mut changes = Changes::default()
                .field("name", &before.name, &after.name)
                .field("type", &before.kind, &after.kind)
                .field("metadata", &before.metadata, &after.metadata);
            if after != before {
                store::things::update(&mut tx, &permit, &after).await?;
            }
            if let Some(key) = &update.key
                && self.verifier_of(key) != before.verifier
            {
                after.verifier =
                    self.replace_key(&mut tx, &permit, key, std::time::Duration::ZERO).await?.verifier;
                changes = changes.secret("key");
            }
            let mut entries = Vec::new();
            if !changes.is_empty() {
                let subject = Subject::thing(id, &after.name);
                entries.push(Entry::by(&permit, "thing.updated", subject).with(changes));
            }
            journal::commit(self, tx, call, entries, after).await
        });
        updated.map_err(|error| match probe {
            Some(probe) => probe.weigh(error),
            None => error,
        })
    }

    /// Moves a thing to a profile of a group; the caller edits in both groups.
    pub async fn move_thing(
        &self,
        call: &Call,
        id: ThingId,
        group: GroupId,
        profile: ProfileId,
        expect: &Expect,
    ) -> Result<Thing> {
        use_case!(self, call, |tx| {
            let from = store::things::group_of(&mut tx, id).await?.ok_or(Error::NotFound)?;
            lock::groups(&mut tx, &[from, group], GroupLock::Contents).await?;
            lock::profiles_shared(&mut tx, &[profile]).await?;
            lock::things(&mut tx, &[id]).await?;
            let thing: Permit<Edit, ThingId> = access::permit(&mut tx, call, id).await?;
            if thing.home().group != from {
                // It moved between the first look and the lock.
                return Err(Error::Collision);
            }
            let target: Permit<Edit, GroupId> = access::permit(&mut tx, call, group).await?;
            let profile: Permit<Edit, ProfileId> = access::permit(&mut tx, call, profile).await?;
            if profile.home().group != target.target() {
                return Err(Error::invalid("profile_id", "must be a profile of the group in `group_id`"));
            }
            let before = store::things::get(&mut tx, &thing).await?;
            expect.check(&before.version())?;
            let after = Thing {
                group_id: target.target(),
                profile_id: profile.target(),
                role: target.role(),
                ..before.clone()
            };
            if after == before {
                return journal::commit(self, tx, call, Vec::new(), after).await;
            }
            store::things::relocate(&mut tx, &thing, &profile).await?;
            let changes = Changes::default().field("group_id", &before.group_id, &after.group_id).field(
                "profile_id",
                &before.profile_id,
                &after.profile_id,
            );
            let subject = Subject::thing(id, &after.name);
            let mut entries = vec![Entry::by(&thing, "thing.moved", subject.clone()).with(changes.clone())];
            if before.group_id != after.group_id {
                // Each group's administrators see it in their own part of the journal.
                entries.push(Entry::by(&profile, "thing.arrived", subject).with(changes));
            }
            journal::commit(self, tx, call, entries, after).await
        })
    }

    /// Deletes a thing. Its keys stop working with the commit.
    pub async fn delete_thing(&self, call: &Call, id: ThingId, expect: &Expect) -> Result<()> {
        self.delete_things_as(call, &[id], expect).await
    }

    /// Deletes things, all or none. Their keys stop working with the commit.
    pub async fn delete_things(&self, call: &Call, ids: &[ThingId]) -> Result<()> {
        self.delete_things_as(call, ids, &Expect::any()).await
    }

    async fn delete_things_as(&self, call: &Call, ids: &[ThingId], expect: &Expect) -> Result<()> {
        bulk_size("thing_ids", ids.len())?;
        use_case!(self, call, |tx| {
            lock::groups_of_things(&mut tx, ids).await?;
            lock::things(&mut tx, ids).await?;
            let permits: Vec<Permit<Administer, ThingId>> = access::permit_all(&mut tx, call, ids).await?;
            if !expect.is_any() {
                for permit in &permits {
                    expect.check(&store::things::get(&mut tx, permit).await?.version())?;
                }
            }
            let names = store::things::names(&mut tx, &permits).await?;
            let entries = permits
                .iter()
                .map(|permit| {
                    let name = names.get(&permit.target()).map_or("", String::as_str);
                    Entry::by(permit, "thing.deleted", Subject::thing(permit.target(), name))
                })
                .collect();
            store::things::delete(&mut tx, &permits).await?;
            journal::commit(self, tx, call, entries, ()).await
        })
    }
}

//! Profiles: how a kind of device talks. Each is in one group for ever; things of that group use it.

mod config;

use serde::{Deserialize, Serialize};

use crate::{
    Conflict, Registry,
    access::{self, Administer, Edit, Permit, Role, View, Visible},
    actor::Call,
    error::{ConflictKind, Error, Result},
    groups::{bulk_size, no_repeats},
    ids::{GroupId, OrgId, ProfileId, ThingId},
    journal::{self, Changes, Entry, Subject},
    json::JsonObject,
    page::{Page, PageQuery},
    store::{self, lock, lock::GroupLock},
    text::{ProfileName, SearchText},
    version::{Expect, Version},
};

pub use config::{Handling, ProfileConfig, Transformer};

/// A profile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// Its id.
    pub id: ProfileId,
    /// The group it belongs to, for ever.
    pub group_id: GroupId,
    /// Unique in the group.
    pub name: String,
    /// How the messages of its things are read and where they go; `None` for nowhere.
    pub config: Option<ProfileConfig>,
    /// Free-form.
    pub metadata: JsonObject,
    /// The caller's strongest role in its group.
    pub role: Role,
}

impl Profile {
    /// What an ETag is made of: everything but the caller's role.
    pub fn version(&self) -> Version {
        Version::of(&(self.id, &self.name, &self.config, &self.metadata))
    }
}

/// A profile to be made.
#[derive(Clone, Debug)]
pub struct NewProfile {
    /// Chosen by the client, or made.
    pub id: Option<ProfileId>,
    /// Unique in the group.
    pub name: ProfileName,
    /// How its things talk.
    pub config: Option<ProfileConfig>,
    /// Free-form.
    pub metadata: JsonObject,
}

/// A change to a profile; what is `None` stays.
#[derive(Clone, Debug)]
pub struct ProfileUpdate {
    /// The new name.
    pub name: ProfileName,
    /// The new configuration, replaced as a whole; `Some(None)` takes it away.
    pub config: Option<Option<ProfileConfig>>,
    /// The new metadata, replaced as a whole.
    pub metadata: Option<JsonObject>,
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
}

/// Which profiles.
#[derive(Clone, Debug, Default)]
pub struct ProfileFilter {
    /// Where.
    pub scope: Scope,
    /// Part of the name, upper and lower case alike (ASCII).
    pub name: Option<SearchText>,
    /// Metadata that contains this.
    pub metadata: Option<JsonObject>,
    /// Exactly this content type.
    pub content_type: Option<SearchText>,
}

/// What profiles are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ProfileOrder {
    /// By id: for ids of version 7 the order of creation.
    #[default]
    Id,
    /// By name, ASCII case folded, then by code point.
    Name,
}

impl Registry {
    /// Makes profiles in a group, all or none, and answers them in the order given.
    pub async fn create_profiles(
        &self,
        call: &Call,
        group: GroupId,
        profiles: &[NewProfile],
    ) -> Result<Vec<Profile>> {
        bulk_size("", profiles.len())?;
        let mut errors = Vec::new();
        no_repeats("name", profiles.iter().map(|profile| Some(profile.name.as_str())), &mut errors);
        no_repeats("id", profiles.iter().map(|profile| profile.id), &mut errors);
        if !errors.is_empty() {
            return Err(Error::Invalid(errors));
        }
        let made = use_case!(self, call, |tx| {
            lock::groups(&mut tx, &[group], GroupLock::Contents).await?;
            let permit: Permit<Edit, GroupId> = access::permit(&mut tx, call, group).await?;
            let now = tx.now();
            let made: Vec<Profile> = profiles
                .iter()
                .map(|new| Profile {
                    id: new.id.unwrap_or_else(|| self.ids.make(now)),
                    group_id: permit.target(),
                    name: new.name.as_str().to_owned(),
                    config: new.config.clone(),
                    metadata: new.metadata.clone(),
                    role: permit.role(),
                })
                .collect();
            store::profiles::insert(&mut tx, &permit, &made).await?;
            let entries = made
                .iter()
                .map(|profile| {
                    Entry::by(&permit, "profile.created", Subject::profile(profile.id, &profile.name))
                })
                .collect();
            journal::commit(self, tx, call, entries, made).await
        });
        match made {
            Err(Error::Conflict(conflict)) => Err(self.which_profiles(group, profiles, conflict).await),
            made => made,
        }
    }

    /// The profiles the caller may see.
    pub async fn list_profiles(
        &self,
        call: &Call,
        filter: &ProfileFilter,
        query: &PageQuery<ProfileOrder>,
    ) -> Result<Page<Profile>> {
        let mut conn = self.db.read().await?;
        let visible = match filter.scope {
            Scope::Everywhere => Visible::everywhere(call)?,
            Scope::Org(org) => Visible::in_org(call, &access::permit(&mut conn, call, org).await?)?,
            Scope::Group(group) => Visible::in_group(call, &access::permit(&mut conn, call, group).await?)?,
        };
        store::profiles::list(&mut conn, &self.keyring, call.user()?, &visible, filter, query).await
    }

    /// One profile.
    pub async fn view_profile(&self, call: &Call, id: ProfileId) -> Result<Profile> {
        let mut conn = self.db.read().await?;
        let permit = access::permit::<View, _>(&mut conn, call, id).await?;
        store::profiles::get(&mut conn, &permit).await
    }

    /// The profile a thing is on.
    pub async fn view_profile_of_thing(&self, call: &Call, id: ThingId) -> Result<Profile> {
        let mut conn = self.db.read().await?;
        let thing = access::permit::<View, _>(&mut conn, call, id).await?;
        let permit = access::permit::<View, _>(&mut conn, call, thing.home().profile).await?;
        store::profiles::get(&mut conn, &permit).await
    }

    /// Changes a profile's name, configuration or metadata.
    pub async fn update_profile(
        &self,
        call: &Call,
        id: ProfileId,
        update: &ProfileUpdate,
        expect: &Expect,
    ) -> Result<Profile> {
        use_case!(self, call, |tx| {
            lock::groups_of_profiles(&mut tx, &[id]).await?;
            lock::profiles(&mut tx, &[id]).await?;
            let permit: Permit<Edit, ProfileId> = access::permit(&mut tx, call, id).await?;
            let before = store::profiles::get(&mut tx, &permit).await?;
            expect.check(&before.version())?;
            let after = Profile {
                name: update.name.as_str().to_owned(),
                config: update.config.clone().unwrap_or_else(|| before.config.clone()),
                metadata: update.metadata.clone().unwrap_or_else(|| before.metadata.clone()),
                ..before.clone()
            };
            let mut entries = Vec::new();
            if after != before {
                store::profiles::update(&mut tx, &permit, &after).await?;
                let changes = Changes::default()
                    .field("name", &before.name, &after.name)
                    .field("config", &before.config, &after.config)
                    .field("metadata", &before.metadata, &after.metadata);
                let subject = Subject::profile(id, &after.name);
                entries.push(Entry::by(&permit, "profile.updated", subject).with(changes));
            }
            journal::commit(self, tx, call, entries, after).await
        })
    }

    /// Deletes a profile, unless a thing uses it.
    pub async fn delete_profile(&self, call: &Call, id: ProfileId, expect: &Expect) -> Result<()> {
        self.delete_profiles_as(call, &[id], expect).await
    }

    /// Deletes profiles, all or none. One that a thing uses cannot go.
    pub async fn delete_profiles(&self, call: &Call, ids: &[ProfileId]) -> Result<()> {
        self.delete_profiles_as(call, ids, &Expect::any()).await
    }

    async fn delete_profiles_as(&self, call: &Call, ids: &[ProfileId], expect: &Expect) -> Result<()> {
        bulk_size("profile_ids", ids.len())?;
        use_case!(self, call, |tx| {
            // Under the profiles' own locks no thing can be put on them any more, so the count stays
            // true until the commit.
            lock::groups_of_profiles(&mut tx, ids).await?;
            lock::profiles(&mut tx, ids).await?;
            let permits: Vec<Permit<Administer, ProfileId>> = access::permit_all(&mut tx, call, ids).await?;
            if !expect.is_any() {
                for permit in &permits {
                    expect.check(&store::profiles::get(&mut tx, permit).await?.version())?;
                }
            }
            let used = store::profiles::uses(&mut tx, &permits).await?;
            if !used.is_empty() {
                return Err(Error::Conflict(Conflict {
                    kind: ConflictKind::ProfileInUse { things: used.iter().map(|(_, things)| things).sum() },
                    items: positions(ids, |id| used.iter().any(|(profile, _)| profile == id)),
                }));
            }
            let names = store::profiles::names(&mut tx, &permits).await?;
            let entries = permits
                .iter()
                .map(|permit| {
                    let name = names.get(&permit.target()).map_or("", String::as_str);
                    Entry::by(permit, "profile.deleted", Subject::profile(permit.target(), name))
                })
                .collect();
            store::profiles::delete(&mut tx, &permits).await?;
            journal::commit(self, tx, call, entries, ()).await
        })
    }

    /// Says what a conflict is about, and which items; asked only after one happened. Several things may
    /// clash at once, and each engine finds another of them first: the answer is the same for all.
    async fn which_profiles(&self, group: GroupId, profiles: &[NewProfile], conflict: Conflict) -> Error {
        const KINDS: &[ConflictKind] = &[ConflictKind::IdTaken, ConflictKind::ProfileNameTaken];
        if !KINDS.contains(&conflict.kind) {
            return Error::Conflict(conflict);
        }
        let found = async {
            let mut conn = self.db.read().await?;
            for kind in KINDS {
                let items = store::profiles::clashes(&mut conn, group, profiles, *kind).await?;
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

/// At which places of a request those items stand that `are`.
fn positions<T>(items: &[T], are: impl Fn(&T) -> bool) -> Vec<usize> {
    items.iter().enumerate().filter(|(_, item)| are(item)).map(|(at, _)| at).collect()
}

//! Groups: the access boundary. Every right on things and profiles is a role in their group.

use serde::{Deserialize, Serialize};

use crate::{
    MAX_BULK, Registry,
    access::{self, Administer, Edit, Own, Permit, Role, View, Visible},
    actor::Call,
    clock::Timestamp,
    error::{Conflict, ConflictKind, Error, FieldError, Result},
    ids::{GroupId, OrgId, ProfileId, ThingId},
    journal::{self, Changes, Entry, Subject},
    json::JsonObject,
    page::{Page, PageQuery},
    store::{self, lock, lock::GroupLock, lock::OrgLock},
    text::{Description, GroupName, SearchText},
    version::{Expect, Version},
};

/// A group as its members see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Its id.
    pub id: GroupId,
    /// The organisation it belongs to, for ever.
    pub org_id: OrgId,
    /// Unique in the organisation.
    pub name: String,
    /// Possibly empty.
    pub description: String,
    /// Free-form.
    pub metadata: JsonObject,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// The caller's strongest role.
    pub role: Role,
}

impl Group {
    /// What an ETag is made of: everything but the caller's role.
    pub fn version(&self) -> Version {
        Version::of(&(self.id, &self.name, &self.description, &self.metadata, self.updated_at))
    }
}

/// A group to be made.
#[derive(Clone, Debug)]
pub struct NewGroup {
    /// Chosen by the client, or made.
    pub id: Option<GroupId>,
    /// Unique in the organisation.
    pub name: GroupName,
    /// Possibly empty.
    pub description: Description,
    /// Free-form.
    pub metadata: JsonObject,
}

/// A change to a group; what is `None` stays.
#[derive(Clone, Debug)]
pub struct GroupUpdate {
    /// The new name.
    pub name: GroupName,
    /// The new description.
    pub description: Option<Description>,
    /// The new metadata, replaced as a whole.
    pub metadata: Option<JsonObject>,
}

/// Which groups.
#[derive(Clone, Debug, Default)]
pub struct GroupFilter {
    /// Only of this organisation.
    pub org: Option<OrgId>,
    /// Part of the name, upper and lower case alike (ASCII).
    pub name: Option<SearchText>,
    /// Metadata that contains this.
    pub metadata: Option<JsonObject>,
}

/// What groups are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum GroupOrder {
    /// By id: for ids of version 7 the order of creation.
    #[default]
    Id,
    /// By name, ASCII case folded, then by code point.
    Name,
    /// By the time of creation.
    CreatedAt,
    /// By the time of the last change.
    UpdatedAt,
}

/// Checks the number of items of a bulk request.
pub(crate) fn bulk_size(field: &'static str, items: usize) -> Result<()> {
    match items {
        0 => Err(Error::invalid(field, "must hold at least one item")),
        items if items > MAX_BULK => {
            Err(Error::invalid(field, format!("must hold at most {MAX_BULK} items")))
        }
        _ => Ok(()),
    }
}

/// Finds values that occur twice in one request; the database would only say that some did.
pub(crate) fn no_repeats<T: Eq + std::hash::Hash>(
    field: &'static str,
    values: impl Iterator<Item = Option<T>>,
    errors: &mut Vec<FieldError>,
) {
    let mut seen = std::collections::HashMap::new();
    for (item, value) in values.enumerate() {
        let Some(value) = value else { continue };
        if let Some(first) = seen.get(&value) {
            errors.push(FieldError::new(field, format!("is the same as in item {first}")).in_item(item));
        } else {
            seen.insert(value, item);
        }
    }
}

impl Registry {
    /// Makes groups in an organisation, all or none, and answers them in the order given. The
    /// organisation's owners become owners of each; another creator becomes admin.
    pub async fn create_groups(&self, call: &Call, org: OrgId, groups: &[NewGroup]) -> Result<Vec<Group>> {
        bulk_size("", groups.len())?;
        let mut errors = Vec::new();
        no_repeats("name", groups.iter().map(|group| Some(group.name.as_str())), &mut errors);
        no_repeats("id", groups.iter().map(|group| group.id), &mut errors);
        if !errors.is_empty() {
            return Err(Error::Invalid(errors));
        }
        let made = use_case!(self, call, |tx| {
            lock::org(&mut tx, org, OrgLock::Share).await?;
            let permit: Permit<Edit, OrgId> = access::permit(&mut tx, call, org).await?;
            let now = tx.now();
            let creator = call.user()?.id();
            let members = store::groups::first_members(&mut tx, &permit, creator).await?;
            // Who administers the platform or owns the organisation stays what they are.
            let membership = members.iter().find(|(member, _)| *member == creator).map(|(_, role)| *role);
            let role = membership.map_or(permit.role(), |role| role.max(permit.role()));
            let made: Vec<Group> = groups
                .iter()
                .map(|new| Group {
                    id: new.id.unwrap_or_else(|| self.ids.make(now)),
                    org_id: permit.target(),
                    name: new.name.as_str().to_owned(),
                    description: new.description.as_str().to_owned(),
                    metadata: new.metadata.clone(),
                    created_at: now,
                    updated_at: now,
                    role,
                })
                .collect();
            store::groups::insert(&mut tx, &permit, &made, &members).await?;
            let entries = made
                .iter()
                .map(|group| {
                    Entry::by(&permit, "group.created", Subject::group(group.id, &group.name))
                        .in_group(group.id)
                })
                .collect();
            journal::commit(self, tx, call, entries, made).await
        });
        match made {
            Err(Error::Conflict(conflict)) => Err(self.which_groups(org, groups, conflict).await),
            made => made,
        }
    }

    /// The groups the caller has a role in.
    pub async fn list_groups(
        &self,
        call: &Call,
        filter: &GroupFilter,
        query: &PageQuery<GroupOrder>,
    ) -> Result<Page<Group>> {
        let mut conn = self.db.read().await?;
        let visible = match filter.org {
            Some(org) => Visible::in_org(call, &access::permit(&mut conn, call, org).await?)?,
            None => Visible::everywhere(call)?,
        };
        store::groups::list(&mut conn, &self.keyring, call.user()?, &visible, filter, query).await
    }

    /// One group.
    pub async fn view_group(&self, call: &Call, id: GroupId) -> Result<Group> {
        let mut conn = self.db.read().await?;
        let permit = access::permit::<View, _>(&mut conn, call, id).await?;
        store::groups::get(&mut conn, &permit).await
    }

    /// The group a thing is in.
    pub async fn view_group_of_thing(&self, call: &Call, id: ThingId) -> Result<Group> {
        let mut conn = self.db.read().await?;
        let thing = access::permit::<View, _>(&mut conn, call, id).await?;
        let permit = access::permit::<View, _>(&mut conn, call, thing.home().group).await?;
        store::groups::get(&mut conn, &permit).await
    }

    /// The group a profile is in.
    pub async fn view_group_of_profile(&self, call: &Call, id: ProfileId) -> Result<Group> {
        let mut conn = self.db.read().await?;
        let profile = access::permit::<View, _>(&mut conn, call, id).await?;
        let permit = access::permit::<View, _>(&mut conn, call, profile.home().group).await?;
        store::groups::get(&mut conn, &permit).await
    }

    /// Changes a group's name, description or metadata.
    pub async fn update_group(
        &self,
        call: &Call,
        id: GroupId,
        update: &GroupUpdate,
        expect: &Expect,
    ) -> Result<Group> {
        use_case!(self, call, |tx| {
            lock::groups(&mut tx, &[id], GroupLock::Members).await?;
            let permit: Permit<Administer, GroupId> = access::permit(&mut tx, call, id).await?;
            let before = store::groups::get(&mut tx, &permit).await?;
            expect.check(&before.version())?;
            let mut after = Group {
                name: update.name.as_str().to_owned(),
                description: update
                    .description
                    .as_ref()
                    .map_or(before.description.clone(), |text| text.as_str().to_owned()),
                metadata: update.metadata.clone().unwrap_or_else(|| before.metadata.clone()),
                ..before.clone()
            };
            let mut entries = Vec::new();
            if after != before {
                after.updated_at = tx.now();
                store::groups::update(&mut tx, &permit, &after).await?;
                let changes = Changes::default()
                    .field("name", &before.name, &after.name)
                    .field("description", &before.description, &after.description)
                    .field("metadata", &before.metadata, &after.metadata);
                entries
                    .push(Entry::by(&permit, "group.updated", Subject::group(id, &after.name)).with(changes));
            }
            journal::commit(self, tx, call, entries, after).await
        })
    }

    /// Deletes a group with everything in it.
    pub async fn delete_group(&self, call: &Call, id: GroupId, expect: &Expect) -> Result<()> {
        self.delete_groups_as(call, &[id], expect).await
    }

    /// Deletes groups with everything in them, all or none.
    pub async fn delete_groups(&self, call: &Call, ids: &[GroupId]) -> Result<()> {
        self.delete_groups_as(call, ids, &Expect::any()).await
    }

    async fn delete_groups_as(&self, call: &Call, ids: &[GroupId], expect: &Expect) -> Result<()> {
        bulk_size("group_ids", ids.len())?;
        use_case!(self, call, |tx| {
            lock::groups(&mut tx, ids, GroupLock::Delete).await?;
            let permits: Vec<Permit<Own, GroupId>> = access::permit_all(&mut tx, call, ids).await?;
            let mut entries = Vec::with_capacity(permits.len());
            for permit in &permits {
                let group = store::groups::get(&mut tx, permit).await?;
                expect.check(&group.version())?;
                entries.push(Entry::by(permit, "group.deleted", Subject::group(group.id, &group.name)));
                store::groups::delete(&mut tx, permit).await?;
            }
            journal::commit(self, tx, call, entries, ()).await
        })
    }

    /// Says what a conflict is about, and which items; asked only after one happened. Several things may
    /// clash at once, and each engine finds another of them first: the answer is the same for all.
    async fn which_groups(&self, org: OrgId, groups: &[NewGroup], conflict: Conflict) -> Error {
        const KINDS: &[ConflictKind] = &[ConflictKind::IdTaken, ConflictKind::GroupNameTaken];
        if !KINDS.contains(&conflict.kind) {
            return Error::Conflict(conflict);
        }
        let found = async {
            let mut conn = self.db.read().await?;
            for kind in KINDS {
                let items = store::groups::clashes(&mut conn, org, groups, *kind).await?;
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

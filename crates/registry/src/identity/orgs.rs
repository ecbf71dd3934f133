//! Organisations: who groups belong to, and whose members may be members of those groups.

use serde::{Deserialize, Serialize};

use crate::{
    Registry,
    access::{self, Administer, Own, Permit, Role, Via, View, Visible},
    actor::Call,
    clock::Timestamp,
    error::Result,
    groups::bulk_size,
    ids::OrgId,
    journal::{self, Changes, Entry, Subject},
    json::JsonObject,
    page::{Page, PageQuery},
    store::{self, lock, lock::OrgLock},
    text::{Description, OrgName, SearchText},
    version::{Expect, Version},
};

/// An organisation as its members see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Org {
    /// Its id.
    pub id: OrgId,
    /// Not unique.
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

impl Org {
    /// What an ETag is made of: everything but the caller's role.
    pub fn version(&self) -> Version {
        Version::of(&(self.id, &self.name, &self.description, &self.metadata, self.updated_at))
    }
}

/// An organisation to be made.
#[derive(Clone, Debug)]
pub struct NewOrg {
    /// Chosen by the client, or made.
    pub id: Option<OrgId>,
    /// Not unique.
    pub name: OrgName,
    /// Possibly empty.
    pub description: Description,
    /// Free-form.
    pub metadata: JsonObject,
}

/// A change to an organisation; what is `None` stays.
#[derive(Clone, Debug)]
pub struct OrgUpdate {
    /// The new name.
    pub name: OrgName,
    /// The new description.
    pub description: Option<Description>,
    /// The new metadata, replaced as a whole.
    pub metadata: Option<JsonObject>,
}

/// Which organisations.
#[derive(Clone, Debug, Default)]
pub struct OrgFilter {
    /// Part of the name, upper and lower case alike (ASCII).
    pub name: Option<SearchText>,
    /// Metadata that contains this.
    pub metadata: Option<JsonObject>,
}

/// What organisations are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OrgOrder {
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

impl Registry {
    /// Makes an organisation, whose owner the caller becomes.
    pub async fn create_org(&self, call: &Call, new: &NewOrg) -> Result<Org> {
        use_case!(self, call, |tx| {
            let permit = access::oneself(call, true)?;
            let now = tx.now();
            let org = Org {
                id: new.id.unwrap_or_else(|| self.ids.make(now)),
                name: new.name.as_str().to_owned(),
                description: new.description.as_str().to_owned(),
                metadata: new.metadata.clone(),
                created_at: now,
                updated_at: now,
                role: Role::Owner,
            };
            store::orgs::insert(&mut tx, &permit, &org).await?;
            let entry =
                Entry::about(Via::Oneself, "org.created", Subject::org(org.id, &org.name)).in_org(org.id);
            journal::commit(self, tx, call, vec![entry], org).await
        })
    }

    /// The organisations the caller belongs to; for the platform's administrators all.
    pub async fn list_orgs(
        &self,
        call: &Call,
        filter: &OrgFilter,
        query: &PageQuery<OrgOrder>,
    ) -> Result<Page<Org>> {
        let mut conn = self.db.read().await?;
        let visible = Visible::everywhere(call)?;
        store::orgs::list(&mut conn, &self.keyring, call.user()?, &visible, filter, query).await
    }

    /// One organisation.
    pub async fn view_org(&self, call: &Call, id: OrgId) -> Result<Org> {
        let mut conn = self.db.read().await?;
        let permit = access::permit::<View, _>(&mut conn, call, id).await?;
        store::orgs::get(&mut conn, &permit).await
    }

    /// Changes an organisation's name, description or metadata.
    pub async fn update_org(
        &self,
        call: &Call,
        id: OrgId,
        update: &OrgUpdate,
        expect: &Expect,
    ) -> Result<Org> {
        use_case!(self, call, |tx| {
            lock::org(&mut tx, id, OrgLock::Change).await?;
            let permit: Permit<Administer, OrgId> = access::permit(&mut tx, call, id).await?;
            let before = store::orgs::get(&mut tx, &permit).await?;
            expect.check(&before.version())?;
            let mut after = Org {
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
                store::orgs::update(&mut tx, &permit, &after).await?;
                let changes = Changes::default()
                    .field("name", &before.name, &after.name)
                    .field("description", &before.description, &after.description)
                    .field("metadata", &before.metadata, &after.metadata);
                entries.push(Entry::by(&permit, "org.updated", Subject::org(id, &after.name)).with(changes));
            }
            journal::commit(self, tx, call, entries, after).await
        })
    }

    /// Deletes an organisation with its groups and everything in them.
    pub async fn delete_org(&self, call: &Call, id: OrgId, expect: &Expect) -> Result<()> {
        self.delete_orgs_as(call, &[id], expect).await
    }

    /// Deletes organisations with their groups and everything in them, all or none.
    pub async fn delete_orgs(&self, call: &Call, ids: &[OrgId]) -> Result<()> {
        self.delete_orgs_as(call, ids, &Expect::any()).await
    }

    async fn delete_orgs_as(&self, call: &Call, ids: &[OrgId], expect: &Expect) -> Result<()> {
        bulk_size("org_ids", ids.len())?;
        use_case!(self, call, |tx| {
            lock::orgs(&mut tx, ids, OrgLock::Delete).await?;
            let permits: Vec<Permit<Own, OrgId>> = access::permit_all(&mut tx, call, ids).await?;
            lock::groups_of_orgs(&mut tx, ids).await?;
            let mut entries = Vec::new();
            for permit in &permits {
                let org = store::orgs::get(&mut tx, permit).await?;
                expect.check(&org.version())?;
                for (group, name) in store::groups::delete_all_in(&mut tx, permit).await? {
                    let entry = Entry::by(permit, "group.deleted", Subject::group(group, &name));
                    entries.push(entry.in_group(group));
                }
                store::orgs::delete(&mut tx, permit).await?;
                entries.push(Entry::by(permit, "org.deleted", Subject::org(org.id, &org.name)));
            }
            journal::commit(self, tx, call, entries, ()).await
        })
    }
}

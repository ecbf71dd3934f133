//! Organisations' rows.

use super::{
    Conn, Tx, on,
    page::{self, Keyed, Listing, OrderKey, Reading},
    rows,
    sql::{Arg, RawJson, Sql},
};
use crate::{
    access::{self, Action, Administer, Own, Permit, Role, SelfPermit, Visible},
    actor::UserActor,
    clock::Timestamp,
    error::{Error, Result},
    identity::orgs::{Org, OrgFilter, OrgOrder},
    ids::OrgId,
    json::JsonObject,
    page::{Page, PageQuery},
    secret::Keyring,
};

#[derive(sqlx::FromRow)]
struct Row {
    id: OrgId,
    name: String,
    description: Option<String>,
    metadata: Option<sqlx::types::Json<JsonObject>>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl Row {
    fn seen_as(self, role: Role) -> Org {
        Org {
            id: self.id,
            name: self.name,
            description: self.description.unwrap_or_default(),
            metadata: self.metadata.map(|json| json.0).unwrap_or_default(),
            created_at: self.created_at,
            updated_at: self.updated_at,
            role,
        }
    }
}

pub(crate) async fn get<A: Action>(conn: &mut Conn, permit: &Permit<A, OrgId>) -> Result<Org> {
    let found: Option<Row> = on!(conn, conn => sqlx::query_as(
        "SELECT id, name, description, metadata, created_at, updated_at FROM orgs WHERE id = $1")
        .bind(permit.target()).fetch_optional(conn))?;
    found.map(|row| row.seen_as(permit.role())).ok_or(Error::NotFound)
}

/// Stores an organisation with its first owner.
pub(crate) async fn insert(tx: &mut Tx, permit: &SelfPermit, org: &Org) -> Result<()> {
    rows!(tx, sqlx::query(
        "INSERT INTO orgs (id, name, description, metadata, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6)")
        .bind(org.id).bind(org.name.as_str()).bind(org.description.as_str())
        .bind(RawJson(org.metadata.to_text())).bind(org.created_at).bind(org.updated_at))?;
    rows!(
        tx,
        sqlx::query("INSERT INTO org_memberships (org_id, member_id, role) VALUES ($1, $2, 'owner')")
            .bind(org.id)
            .bind(permit.user())
    )?;
    Ok(())
}

pub(crate) async fn update(tx: &mut Tx, permit: &Permit<Administer, OrgId>, org: &Org) -> Result<()> {
    rows!(
        tx,
        sqlx::query(
            "UPDATE orgs SET name = $2, description = $3, metadata = $4, updated_at = $5 WHERE id = $1"
        )
        .bind(permit.target())
        .bind(org.name.as_str())
        .bind(org.description.as_str())
        .bind(RawJson(org.metadata.to_text()))
        .bind(org.updated_at)
    )?;
    Ok(())
}

/// Deletes an organisation whose groups are gone already.
pub(crate) async fn delete(tx: &mut Tx, permit: &Permit<Own, OrgId>) -> Result<()> {
    let id = permit.target();
    super::invites::delete_of_org(tx, permit).await?;
    rows!(tx, sqlx::query("DELETE FROM access_tokens WHERE org_id = $1").bind(id))?;
    rows!(tx, sqlx::query("DELETE FROM org_memberships WHERE org_id = $1").bind(id))?;
    rows!(tx, sqlx::query("DELETE FROM orgs WHERE id = $1").bind(id))?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct Listed {
    #[sqlx(flatten)]
    row: Row,
    #[sqlx(flatten)]
    facts: super::access::Facts,
}

impl Keyed<OrgOrder> for Listed {
    fn key(&self, order: &OrgOrder) -> Option<Arg> {
        match order {
            OrgOrder::Id => None,
            OrgOrder::Name => Some(Arg::Text(self.row.name.to_ascii_lowercase())),
            OrgOrder::CreatedAt => Some(Arg::Time(self.row.created_at)),
            OrgOrder::UpdatedAt => Some(Arg::Time(self.row.updated_at)),
        }
    }
    fn id(&self) -> Arg {
        Arg::Id(self.row.id.uuid())
    }
    fn content(&self) -> usize {
        page::content(self.row.metadata.as_ref())
    }
}

pub(crate) async fn list(
    conn: &mut Conn,
    keyring: &Keyring,
    user: &UserActor,
    visible: &Visible,
    filter: &OrgFilter,
    query: &PageQuery<OrgOrder>,
) -> Result<Page<Org>> {
    let mut condition = visible.orgs("o.id");
    if let Some(name) = &filter.name {
        condition.and_name_contains(conn, "o.name", name.as_str());
    }
    if let Some(metadata) = &filter.metadata {
        condition.and_json_contains(conn, "o.metadata", metadata)?;
    }
    let mut select = Sql::new(
        "SELECT o.id, o.name, o.description, o.metadata, o.created_at, o.updated_at, m.role, NULL AS org_role FROM orgs o \
         LEFT JOIN org_memberships m ON m.org_id = o.id AND m.member_id = ",
    );
    select.bind(Arg::Id(user.id().uuid()));
    let same = |column| Some(OrderKey { sqlite: column, postgres: column });
    let listing = Listing {
        select,
        count: Sql::new("SELECT 1 AS one FROM orgs o"),
        filter: condition,
        key: match query.order() {
            OrgOrder::Id => None,
            OrgOrder::Name => Some(OrderKey {
                sqlite: "lower(o.name)",
                postgres: "lower(o.name COLLATE \"C\") COLLATE \"C\"",
            }),
            OrgOrder::CreatedAt => same("o.created_at"),
            OrgOrder::UpdatedAt => same("o.updated_at"),
        },
        id: "o.id",
        reading: Reading::Plain,
    };
    let page: Page<Listed> = page::fetch(conn, keyring, listing, query).await?;
    Ok(page.map(|listed| {
        let role = access::role_towards(user, (listed.row.id, None), &listed.facts);
        listed.row.seen_as(role)
    }))
}

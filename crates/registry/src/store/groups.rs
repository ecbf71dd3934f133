//! Groups' rows, and the deletion of everything in one.

use std::collections::HashMap;

use super::{
    Conn, Tx, on,
    page::{self, Keyed, Listing, OrderKey, Reading},
    rows,
    sql::{Arg, RawJson, Sql},
};
use crate::{
    access::{self, Action, Edit, Own, Permit, Role, Visible},
    actor::UserActor,
    clock::Timestamp,
    error::{ConflictKind, Error, Result},
    groups::{Group, GroupFilter, GroupOrder, NewGroup},
    ids::{GroupId, OrgId, UserId},
    json::JsonObject,
    page::{Page, PageQuery},
    secret::Keyring,
};

/// A row as the seed allows it: what it leaves nullable reads as empty.
#[derive(sqlx::FromRow)]
struct Row {
    id: GroupId,
    org_id: OrgId,
    name: String,
    description: Option<String>,
    metadata: Option<sqlx::types::Json<JsonObject>>,
    created_at: Option<Timestamp>,
    updated_at: Option<Timestamp>,
}

impl Row {
    fn seen_as(self, role: Role) -> Group {
        Group {
            id: self.id,
            org_id: self.org_id,
            name: self.name,
            description: self.description.unwrap_or_default(),
            metadata: self.metadata.map(|json| json.0).unwrap_or_default(),
            created_at: self.created_at.unwrap_or(Timestamp::from_millis(0)),
            updated_at: self.updated_at.unwrap_or(Timestamp::from_millis(0)),
            role,
        }
    }
}

pub(crate) async fn get<A: Action>(conn: &mut Conn, permit: &Permit<A, GroupId>) -> Result<Group> {
    let found: Option<Row> = on!(conn, conn => sqlx::query_as(
        "SELECT id, org_id, name, description, metadata, created_at, updated_at FROM groups WHERE id = $1")
        .bind(permit.target()).fetch_optional(conn))?;
    found.map(|row| row.seen_as(permit.role())).ok_or(Error::NotFound)
}

/// The names of groups of an organisation.
pub(crate) async fn names(
    conn: &mut Conn,
    permit: &Permit<access::Administer, OrgId>,
    groups: &[GroupId],
) -> Result<HashMap<GroupId, String>> {
    let mut sql = Sql::new("SELECT id, name FROM groups WHERE org_id = ");
    sql.bind(Arg::Id(permit.target().uuid())).push(" AND id IN (");
    sql.bind_all(groups.iter().map(|id| Arg::Id(id.uuid()))).push(")");
    let found: Vec<(GroupId, String)> = sql.fetch_all(conn).await?;
    Ok(found.into_iter().collect())
}

/// The ids of groups, the first `most` of them in ascending order.
pub(crate) async fn ids(conn: &mut Conn, visible: &Visible, most: usize) -> Result<Vec<GroupId>> {
    let mut sql = Sql::new("SELECT g.id FROM groups g WHERE ");
    sql.append(&visible.groups("g.id", None));
    sql.push(" ORDER BY g.id LIMIT ").bind(Arg::Int(i64::try_from(most).unwrap_or(i64::MAX)));
    let found: Vec<(GroupId,)> = sql.fetch_all(conn).await?;
    Ok(found.into_iter().map(|(id,)| id).collect())
}

/// The name of the group's organisation.
pub(crate) async fn org_name<A: Action>(conn: &mut Conn, permit: &Permit<A, GroupId>) -> Result<String> {
    on!(conn, conn => sqlx::query_scalar("SELECT name FROM orgs WHERE id = $1")
        .bind(permit.home().org).fetch_optional(conn))
    .map(Option::unwrap_or_default)
}

/// Who is in a new group from its start: the organisation's owners, and its creator as admin if they
/// belong to the organisation without owning it.
pub(crate) async fn first_members(
    conn: &mut Conn,
    org: &Permit<Edit, OrgId>,
    creator: UserId,
) -> Result<Vec<(UserId, Role)>> {
    let members: Vec<(UserId, String)> = on!(conn, conn => sqlx::query_as(
        "SELECT member_id, role FROM org_memberships WHERE org_id = $1 AND (role = 'owner' OR member_id = $2) ORDER BY member_id")
        .bind(org.target()).bind(creator).fetch_all(conn))?;
    Ok(members
        .into_iter()
        .map(|(member, role)| (member, if role == Role::Owner.as_str() { Role::Owner } else { Role::Admin }))
        .collect())
}

pub(crate) async fn insert(
    tx: &mut Tx,
    org: &Permit<Edit, OrgId>,
    groups: &[Group],
    members: &[(UserId, Role)],
) -> Result<()> {
    for group in groups {
        rows!(tx, sqlx::query(
            "INSERT INTO groups (id, org_id, name, description, metadata, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7)")
            .bind(group.id).bind(org.target()).bind(group.name.as_str()).bind(group.description.as_str())
            .bind(RawJson(group.metadata.to_text())).bind(group.created_at).bind(group.updated_at))?;
        for (member, role) in members {
            rows!(
                tx,
                sqlx::query("INSERT INTO group_memberships (group_id, member_id, role) VALUES ($1, $2, $3)")
                    .bind(group.id)
                    .bind(*member)
                    .bind(role.as_str())
            )?;
        }
    }
    Ok(())
}

pub(crate) async fn update(
    tx: &mut Tx,
    permit: &Permit<access::Administer, GroupId>,
    group: &Group,
) -> Result<()> {
    rows!(
        tx,
        sqlx::query(
            "UPDATE groups SET name = $2, description = $3, metadata = $4, updated_at = $5 WHERE id = $1"
        )
        .bind(permit.target())
        .bind(group.name.as_str())
        .bind(group.description.as_str())
        .bind(RawJson(group.metadata.to_text()))
        .bind(group.updated_at)
    )?;
    Ok(())
}

/// Deletes a group and all that is in it, in the one order that works on every engine: profiles are
/// RESTRICTed by things, and the order of cascades is nobody's promise.
pub(crate) async fn delete(tx: &mut Tx, permit: &Permit<Own, GroupId>) -> Result<()> {
    empty(tx, permit.target()).await
}

/// Deletes every group of an organisation that is about to go; the caller holds its lock.
pub(crate) async fn delete_all_in(tx: &mut Tx, org: &Permit<Own, OrgId>) -> Result<Vec<(GroupId, String)>> {
    let groups: Vec<(GroupId, String)> = on!(tx, conn => sqlx::query_as("SELECT id, name FROM groups WHERE org_id = $1 ORDER BY id")
        .bind(org.target()).fetch_all(conn))?;
    let ids: Vec<GroupId> = groups.iter().map(|(id, _)| *id).collect();
    super::lock::groups(tx, &ids, super::lock::GroupLock::Delete).await?;
    for id in ids {
        empty(tx, id).await?;
    }
    Ok(groups)
}

// tidy: no permit, because both callers above hold one for the group or its organisation.
async fn empty(tx: &mut Tx, id: GroupId) -> Result<()> {
    rows!(tx, sqlx::query("DELETE FROM things WHERE group_id = $1").bind(id))?;
    rows!(tx, sqlx::query("DELETE FROM profiles WHERE group_id = $1").bind(id))?;
    super::invites::delete_of_group(tx, id).await?;
    rows!(tx, sqlx::query("DELETE FROM group_memberships WHERE group_id = $1").bind(id))?;
    rows!(tx, sqlx::query("DELETE FROM access_tokens WHERE group_id = $1").bind(id))?;
    rows!(tx, sqlx::query("DELETE FROM groups WHERE id = $1").bind(id))?;
    Ok(())
}

/// Which of the items clash with what exists, in the way that `kind` says.
pub(crate) async fn clashes(
    conn: &mut Conn,
    org: OrgId,
    groups: &[NewGroup],
    kind: ConflictKind,
) -> Result<Vec<usize>> {
    let by_id = kind == ConflictKind::IdTaken;
    let mut sql = Sql::new("SELECT id, name FROM groups WHERE ");
    if by_id {
        sql.push("id IN (").bind_all(groups.iter().filter_map(|new| new.id).map(|id| Arg::Id(id.uuid())));
    } else {
        sql.push("org_id = ").bind(Arg::Id(org.uuid())).push(" AND name IN (");
        sql.bind_all(groups.iter().map(|new| Arg::Text(new.name.as_str().to_owned())));
    }
    sql.push(")");
    let found: Vec<(GroupId, String)> = sql.fetch_all(conn).await?;
    let clashes = |new: &NewGroup| {
        found.iter().any(|(id, name)| if by_id { new.id == Some(*id) } else { new.name.as_str() == name })
    };
    Ok(groups.iter().enumerate().filter(|(_, new)| clashes(new)).map(|(item, _)| item).collect())
}

#[derive(sqlx::FromRow)]
struct Listed {
    #[sqlx(flatten)]
    row: Row,
    #[sqlx(flatten)]
    facts: super::access::Facts,
}

impl Keyed<GroupOrder> for Listed {
    fn key(&self, order: &GroupOrder) -> Option<Arg> {
        let time = |time: Option<Timestamp>| Some(Arg::Time(time.unwrap_or(Timestamp::from_millis(0))));
        match order {
            GroupOrder::Id => None,
            GroupOrder::Name => Some(Arg::Text(self.row.name.to_ascii_lowercase())),
            GroupOrder::CreatedAt => time(self.row.created_at),
            GroupOrder::UpdatedAt => time(self.row.updated_at),
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
    filter: &GroupFilter,
    query: &PageQuery<GroupOrder>,
) -> Result<Page<Group>> {
    let mut condition = visible.groups("g.id", None);
    if let Some(name) = &filter.name {
        condition.and_name_contains(conn, "g.name", name.as_str());
    }
    if let Some(metadata) = &filter.metadata {
        condition.and_json_contains(conn, "g.metadata", metadata)?;
    }
    let mut select = Sql::new(
        "SELECT g.id, g.org_id, g.name, g.description, g.metadata, g.created_at, g.updated_at, m.role, o.role AS org_role FROM groups g \
         LEFT JOIN group_memberships m ON m.group_id = g.id AND m.member_id = ",
    );
    select
        .bind(Arg::Id(user.id().uuid()))
        .push(" LEFT JOIN org_memberships o ON o.org_id = g.org_id AND o.member_id = ");
    select.bind(Arg::Id(user.id().uuid()));
    let listing = Listing {
        select,
        count: Sql::new("SELECT 1 AS one FROM groups g"),
        filter: condition,
        key: match query.order() {
            GroupOrder::Id => None,
            GroupOrder::Name => Some(OrderKey {
                sqlite: "lower(g.name)",
                postgres: "lower(g.name COLLATE \"C\") COLLATE \"C\"",
            }),
            GroupOrder::CreatedAt => Some(OrderKey {
                sqlite: "COALESCE(g.created_at, 0)",
                postgres: "COALESCE(g.created_at, 'epoch'::timestamptz)",
            }),
            GroupOrder::UpdatedAt => Some(OrderKey {
                sqlite: "COALESCE(g.updated_at, 0)",
                postgres: "COALESCE(g.updated_at, 'epoch'::timestamptz)",
            }),
        },
        id: "g.id",
        reading: Reading::Plain,
    };
    let page: Page<Listed> = page::fetch(conn, keyring, listing, query).await?;
    Ok(page.map(|listed| {
        let place = (listed.row.org_id, Some(listed.row.id));
        let role = access::role_towards(user, place, &listed.facts);
        listed.row.seen_as(role)
    }))
}

//! Group memberships' rows, and what goes with one that ends.

use std::collections::{BTreeMap, HashSet};

use serde_json::json;

use super::{
    Conn, Engine, Tx,
    conflict::translate,
    on,
    page::{self, Keyed, Listing, OrderKey, Reading},
    rows,
    sql::{Arg, Sql},
};
use crate::{
    access::{
        Action, Administer, Answer, ArrivalPermit, EndMemberships, InvitePermit, Own, Permit, Role, Visible,
    },
    actor::UserActor,
    error::{Error, Result},
    ids::{GroupId, InviteId, UserId},
    invites::life::{Accepted, InviteState},
    members::{Member, MemberFilter, MemberOrder, Standing},
    page::{Page, PageQuery},
    secret::Keyring,
    text::Email,
};

/// A right by which roles change: managing members, or handing ownership over.
pub(crate) trait Ranks: Action {}
impl Ranks for Administer {}
impl Ranks for Own {}

/// Those of `members` who are in the group.
pub(crate) async fn standings<A: Action>(
    conn: &mut Conn,
    permit: &Permit<A, GroupId>,
    members: &[UserId],
) -> Result<BTreeMap<UserId, Standing>> {
    let mut sql = Sql::new(
        "SELECT m.member_id, m.role, u.email FROM group_memberships m LEFT JOIN users u ON u.id = m.member_id WHERE m.group_id = ",
    );
    sql.bind(Arg::Id(permit.target().uuid())).push(" AND m.member_id IN (").bind_all(ids(members)).push(")");
    let found: Vec<(UserId, Option<String>, Option<Email>)> = sql.fetch_all(conn).await?;
    let standing =
        |role: Option<String>, email| Standing { role: role.as_deref().and_then(Role::parse), email };
    Ok(found.into_iter().map(|(id, role, email)| (id, standing(role, email))).collect())
}

/// Those of `members` who are in the group's organisation.
pub(crate) async fn in_org(
    conn: &mut Conn,
    permit: &Permit<Administer, GroupId>,
    members: &[UserId],
) -> Result<HashSet<UserId>> {
    let mut sql = Sql::new("SELECT member_id FROM org_memberships WHERE org_id = ");
    sql.bind(Arg::Id(permit.home().org.uuid())).push(" AND role IN ('viewer', 'editor', 'admin', 'owner')");
    sql.push(" AND member_id IN (").bind_all(ids(members)).push(")");
    let found: Vec<(UserId,)> = sql.fetch_all(conn).await?;
    Ok(found.into_iter().map(|(id,)| id).collect())
}

fn ids(members: &[UserId]) -> impl Iterator<Item = Arg> {
    members.iter().map(|id| Arg::Id(id.uuid()))
}

/// The group's owners by membership, in ascending id.
pub(crate) async fn owners<A: Action>(conn: &mut Conn, permit: &Permit<A, GroupId>) -> Result<Vec<UserId>> {
    on!(conn, conn => sqlx::query_scalar(
        "SELECT member_id FROM group_memberships WHERE group_id = $1 AND role = 'owner' ORDER BY member_id")
        .bind(permit.target()).fetch_all(conn))
}

/// Stores memberships in one statement, by an array or a JSON array.
pub(crate) async fn insert(
    tx: &mut Tx,
    permit: &Permit<Administer, GroupId>,
    members: &[Member],
) -> Result<()> {
    match tx.engine() {
        Engine::Postgres(conn) => sqlx::query(
            "INSERT INTO group_memberships (group_id, member_id, role) SELECT $1, m.id, m.role FROM unnest($2::uuid[], $3::text[]) AS m(id, role)")
            .bind(permit.target())
            .bind(members.iter().map(|member| member.member_id.uuid()).collect::<Vec<_>>())
            .bind(members.iter().map(|member| member.role.as_str()).collect::<Vec<_>>())
            .execute(conn)
            .await
            .map(drop),
        Engine::Sqlite(conn) => {
            let rows: Vec<_> = members
                .iter()
                .map(|member| json!([member.member_id.uuid().as_simple().to_string(), member.role.as_str()]))
                .collect();
            sqlx::query(
                "INSERT INTO group_memberships (group_id, member_id, role) SELECT $1, unhex(value ->> 0), value ->> 1 FROM jsonb_each($2)")
                .bind(permit.target())
                .bind(serde_json::to_string(&rows).map_err(Error::internal)?)
                .execute(conn)
                .await
                .map(drop)
        }
    }
    .map_err(translate)
}

/// Whether the invitee is in the group already, with whatever role.
pub(crate) async fn is_member(
    conn: &mut Conn,
    permit: &InvitePermit<Answer>,
    group: GroupId,
) -> Result<bool> {
    let found: Option<(GroupId,)> = on!(conn, conn => sqlx::query_as(
        "SELECT group_id FROM group_memberships WHERE group_id = $1 AND member_id = $2")
        .bind(group).bind(permit.actor()).fetch_optional(conn))?;
    Ok(found.is_some())
}

/// The invitee joins: the one membership that is made from an accepted invite, not by an admin. A role
/// that is there already is left as it is.
pub(crate) async fn join(
    tx: &mut Tx,
    arrival: &ArrivalPermit,
    group: GroupId,
    accepted: Accepted,
) -> Result<()> {
    let sql = if planted!("I6: accepting overwrites a role") {
        "INSERT INTO group_memberships (group_id, member_id, role) VALUES ($1, $2, $3) ON CONFLICT (group_id, member_id) DO UPDATE SET role = $3"
    } else {
        "INSERT INTO group_memberships (group_id, member_id, role) VALUES ($1, $2, $3)"
    };
    rows!(tx, sqlx::query(sql).bind(group).bind(arrival.person()).bind(accepted.role().as_str()))?;
    Ok(())
}

pub(crate) async fn set_role<A: Ranks>(
    tx: &mut Tx,
    permit: &Permit<A, GroupId>,
    member: UserId,
    role: Role,
) -> Result<()> {
    rows!(
        tx,
        sqlx::query("UPDATE group_memberships SET role = $3 WHERE group_id = $1 AND member_id = $2")
            .bind(permit.target())
            .bind(member)
            .bind(role.as_str())
    )?;
    Ok(())
}

/// Ends a membership, with the person's access tokens for the group and every pending invite to it
/// that they received or sent. Tells which invites were revoked.
pub(crate) async fn remove(
    tx: &mut Tx,
    permit: &Permit<EndMemberships, GroupId>,
    member: UserId,
) -> Result<Vec<InviteId>> {
    let group = permit.target();
    rows!(
        tx,
        sqlx::query("DELETE FROM group_memberships WHERE group_id = $1 AND member_id = $2")
            .bind(group)
            .bind(member)
    )?;
    rows!(
        tx,
        sqlx::query("DELETE FROM access_tokens WHERE group_id = $1 AND user_id = $2")
            .bind(group)
            .bind(member)
    )?;
    let mut sql = super::invites::open_groups(tx.now());
    sql.push(" AND i.group_id = ").bind(Arg::Id(group.uuid()));
    sql.push(" AND (i.invitee_id = ").bind(Arg::Id(member.uuid()));
    sql.push(" OR i.inviter_id = ").bind(Arg::Id(member.uuid())).push(") ORDER BY i.id");
    let invites: Vec<(InviteId,)> = sql.fetch_all(tx).await?;
    let invites: Vec<InviteId> = invites.into_iter().map(|(id,)| id).collect();
    let revoked = super::invites::end_groups(tx, &invites, InviteState::Revoked).await?;
    Ok(revoked.into_iter().map(|(id, _)| id).collect())
}

#[derive(sqlx::FromRow)]
struct Row {
    member_id: UserId,
    role: String,
    email: Option<Email>,
}

impl Keyed<MemberOrder> for Row {
    fn key(&self, order: &MemberOrder) -> Option<Arg> {
        match order {
            MemberOrder::Id => None,
            MemberOrder::Email => {
                Some(Arg::Text(self.email.as_ref().map_or(String::new(), |email| email.as_str().to_owned())))
            }
        }
    }
    fn id(&self) -> Arg {
        Arg::Id(self.member_id.uuid())
    }
    fn content(&self) -> usize {
        0
    }
}

/// A page of a group's members, with their addresses.
pub(crate) async fn list(
    conn: &mut Conn,
    keyring: &Keyring,
    user: &UserActor,
    visible: &Visible,
    filter: &MemberFilter,
    query: &PageQuery<MemberOrder>,
) -> Result<Page<Member>> {
    let mut condition = visible.groups("m.group_id", None);
    match filter.role {
        Some(role) => condition.push(" AND m.role = ").bind(Arg::Text(role.as_str().to_owned())),
        None => condition.push(" AND m.role IN ('viewer', 'editor', 'admin', 'owner')"),
    };
    if let Some(email) = &filter.email {
        condition.and_name_contains(conn, "u.email", email.as_str());
    }
    // True, and there to bind the cursor to the caller.
    condition.push(" AND ").bind(Arg::Id(user.id().uuid())).push(" IS NOT NULL");
    let listing = Listing {
        select: Sql::new(
            "SELECT m.member_id, m.role, u.email FROM group_memberships m LEFT JOIN users u ON u.id = m.member_id",
        ),
        count: Sql::new("SELECT 1 AS one FROM group_memberships m LEFT JOIN users u ON u.id = m.member_id"),
        filter: condition,
        key: match query.order() {
            MemberOrder::Id => None,
            MemberOrder::Email => Some(OrderKey {
                sqlite: "COALESCE(u.email, '')",
                postgres: "COALESCE(u.email, '') COLLATE \"C\"",
            }),
        },
        id: "m.member_id",
        reading: Reading::Plain,
    };
    let page: Page<Row> = page::fetch(conn, keyring, listing, query).await?;
    Ok(page.map(|row| Member {
        member_id: row.member_id,
        email: row.email,
        // The condition lets no other text through.
        role: Role::parse(&row.role).unwrap_or(Role::Viewer),
    }))
}

//! The facts that permissions are decided by: where an object lives and what the user is to that
//! place, in one query. Weighing them is `crate::access`.

use uuid::Uuid;

use super::{
    Conn,
    sql::{Arg, Sql},
};
use crate::{
    access::{GroupHome, Located, ProfileHome, Role, ThingHome},
    error::Result,
    ids::{GroupId, OrgId, ProfileId, ThingId, UserId},
};

/// What the user is to a place, as stored.
#[derive(sqlx::FromRow)]
pub(crate) struct Facts {
    role: Option<String>,
    org_role: Option<String>,
}

impl Facts {
    /// The membership's role; none, unknown or NULL is no role.
    pub(crate) fn role(&self) -> Option<Role> {
        self.role.as_deref().and_then(Role::parse)
    }

    /// Whether the user owns the organisation that the group belongs to.
    pub(crate) fn owns_org(&self) -> bool {
        self.org_role.as_deref() == Some(Role::Owner.as_str())
    }
}

fn query(
    select: &'static str,
    joins: &'static str,
    id: &'static str,
    ids: impl Iterator<Item = Uuid>,
    user: UserId,
) -> Sql {
    let mut sql = Sql::new(select);
    sql.push(" LEFT JOIN org_memberships o ON o.org_id = g.org_id AND o.member_id = ")
        .bind(Arg::Id(user.uuid()));
    sql.push(joins).bind(Arg::Id(user.uuid()));
    sql.push(" WHERE ").push(id).push(" IN (").bind_all(ids.map(Arg::Id)).push(")");
    sql
}

const MEMBERSHIP: &str = " LEFT JOIN group_memberships m ON m.group_id = g.id AND m.member_id = ";

pub(crate) async fn orgs(conn: &mut Conn, targets: &[OrgId], user: UserId) -> Result<Vec<Located<OrgId>>> {
    #[derive(sqlx::FromRow)]
    struct Row {
        id: OrgId,
        #[sqlx(flatten)]
        facts: Facts,
    }
    let mut sql = Sql::new(
        "SELECT o.id, m.role, NULL AS org_role FROM orgs o LEFT JOIN org_memberships m ON m.org_id = o.id AND m.member_id = ",
    );
    sql.bind(Arg::Id(user.uuid()))
        .push(" WHERE o.id IN (")
        .bind_all(targets.iter().map(|id| Arg::Id(id.uuid())))
        .push(")");
    let rows: Vec<Row> = sql.fetch_all(conn).await?;
    Ok(rows.into_iter().map(|row| Located { target: row.id, home: (), facts: row.facts }).collect())
}

pub(crate) async fn groups(
    conn: &mut Conn,
    targets: &[GroupId],
    user: UserId,
) -> Result<Vec<Located<GroupId>>> {
    #[derive(sqlx::FromRow)]
    struct Row {
        id: GroupId,
        org_id: OrgId,
        #[sqlx(flatten)]
        facts: Facts,
    }
    let ids = targets.iter().map(|id| id.uuid());
    let sql = query(
        "SELECT g.id, g.org_id, m.role, o.role AS org_role FROM groups g",
        MEMBERSHIP,
        "g.id",
        ids,
        user,
    );
    let rows: Vec<Row> = sql.fetch_all(conn).await?;
    Ok(rows
        .into_iter()
        .map(|row| Located { target: row.id, home: GroupHome { org: row.org_id }, facts: row.facts })
        .collect())
}

pub(crate) async fn profiles(
    conn: &mut Conn,
    targets: &[ProfileId],
    user: UserId,
) -> Result<Vec<Located<ProfileId>>> {
    #[derive(sqlx::FromRow)]
    struct Row {
        id: ProfileId,
        group_id: GroupId,
        org_id: OrgId,
        #[sqlx(flatten)]
        facts: Facts,
    }
    let ids = targets.iter().map(|id| id.uuid());
    let sql = query(
        "SELECT p.id, p.group_id, g.org_id, m.role, o.role AS org_role FROM profiles p JOIN groups g ON g.id = p.group_id",
        MEMBERSHIP,
        "p.id",
        ids,
        user,
    );
    let rows: Vec<Row> = sql.fetch_all(conn).await?;
    Ok(rows
        .into_iter()
        .map(|row| Located {
            target: row.id,
            home: ProfileHome { org: row.org_id, group: row.group_id },
            facts: row.facts,
        })
        .collect())
}

pub(crate) async fn things(
    conn: &mut Conn,
    targets: &[ThingId],
    user: UserId,
) -> Result<Vec<Located<ThingId>>> {
    #[derive(sqlx::FromRow)]
    struct Row {
        id: ThingId,
        group_id: GroupId,
        profile_id: ProfileId,
        org_id: OrgId,
        #[sqlx(flatten)]
        facts: Facts,
    }
    let ids = targets.iter().map(|id| id.uuid());
    let sql = query(
        "SELECT t.id, t.group_id, t.profile_id, g.org_id, m.role, o.role AS org_role FROM things t JOIN groups g ON g.id = t.group_id",
        MEMBERSHIP,
        "t.id",
        ids,
        user,
    );
    let rows: Vec<Row> = sql.fetch_all(conn).await?;
    Ok(rows
        .into_iter()
        .map(|row| Located {
            target: row.id,
            home: ThingHome { org: row.org_id, group: row.group_id, profile: row.profile_id },
            facts: row.facts,
        })
        .collect())
}

//! Accounts, organisations and who belongs to them: read from the databases of Mainflux's Users and Auth, written
//! into ours.

use sqlx::PgConnection;
use uuid::Uuid;

use super::{exists, postgres};
use crate::{
    clock::Timestamp,
    error::Result,
    ids::{GroupId, OrgId, UserId},
    store::{Conn, Tx, conflict::translate},
};

/// An account as Mainflux keeps it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct ForeignUser {
    pub(crate) id: Uuid,
    pub(crate) email: String,
    pub(crate) password: Option<String>,
    pub(crate) metadata: Option<String>,
    pub(crate) status: String,
}

/// An organisation as Mainflux keeps it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct ForeignOrg {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) metadata: Option<String>,
    pub(crate) created_at: Option<Timestamp>,
    pub(crate) updated_at: Option<Timestamp>,
    pub(crate) owner_id: Option<Uuid>,
}

/// What one database has; each service has one of its own.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) users: Option<Vec<ForeignUser>>,
    pub(crate) orgs: Option<Vec<ForeignOrg>>,
    /// Organisation, member, role.
    pub(crate) members: Option<Vec<(Uuid, Uuid, Option<String>)>>,
    /// Person, role on the platform.
    pub(crate) roles: Option<Vec<(Uuid, String)>>,
}

/// Reads what there is of Mainflux's Users and Auth.
pub(crate) async fn read(conn: &mut Conn) -> Result<Found> {
    let conn = postgres(conn)?;
    let mut found = Found::default();
    // Ours are called the same, and are no source.
    let mainfluxs = exists(conn, "gorp_migrations").await?;
    if !mainfluxs {
        return Ok(found);
    }
    if has_columns(conn, "users", &["id", "email", "password", "metadata", "status"]).await? {
        let users = sqlx::query_as(
            "SELECT id, email::text AS email, rtrim(password::text) AS password, metadata::text AS metadata, status::text AS status \
             FROM users ORDER BY id",
        );
        found.users = Some(users.fetch_all(&mut *conn).await.map_err(translate)?);
    }
    let org = ["id", "name", "description", "metadata", "created_at", "updated_at"];
    if has_columns(conn, "orgs", &org).await? {
        let sql = if has_columns(conn, "orgs", &["owner_id"]).await? {
            "SELECT id, name::text AS name, description::text AS description, metadata::text AS metadata, created_at, updated_at, owner_id \
             FROM orgs ORDER BY id"
        } else {
            "SELECT id, name::text AS name, description::text AS description, metadata::text AS metadata, created_at, updated_at, NULL::uuid AS owner_id \
             FROM orgs ORDER BY id"
        };
        found.orgs = Some(sqlx::query_as(sql).fetch_all(&mut *conn).await.map_err(translate)?);
    }
    // Called otherwise before.
    for (table, sql) in [
        (
            "org_memberships",
            "SELECT org_id, member_id, role::text FROM org_memberships ORDER BY org_id, member_id",
        ),
        (
            "member_relations",
            "SELECT org_id, member_id, role::text FROM member_relations ORDER BY org_id, member_id",
        ),
    ] {
        if found.members.is_none() && has_columns(conn, table, &["org_id", "member_id", "role"]).await? {
            found.members = Some(sqlx::query_as(sql).fetch_all(&mut *conn).await.map_err(translate)?);
        }
    }
    if has_columns(conn, "users_roles", &["user_id", "role"]).await? {
        let roles = sqlx::query_as(
            "SELECT user_id, role::text FROM users_roles WHERE role IS NOT NULL ORDER BY user_id",
        );
        found.roles = Some(roles.fetch_all(conn).await.map_err(translate)?);
    }
    Ok(found)
}

async fn has_columns(conn: &mut PgConnection, table: &str, columns: &[&str]) -> Result<bool> {
    let found: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_attribute WHERE attrelid = to_regclass($1) AND attname = ANY($2) AND NOT attisdropped",
    )
    .bind(table)
    .bind(columns)
    .fetch_one(conn)
    .await
    .map_err(translate)?;
    Ok(usize::try_from(found).is_ok_and(|found| found == columns.len()))
}

/// Which of these addresses belong to an account of another id here: id and address.
pub(crate) async fn taken(conn: &mut Conn, ids: &[Uuid], emails: &[String]) -> Result<Vec<(Uuid, String)>> {
    let conn = postgres(conn)?;
    if !exists(conn, "access_tokens").await? {
        return Ok(Vec::new());
    }
    sqlx::query_as(
        "SELECT n.id, n.email FROM unnest($1::uuid[], $2::text[]) n(id, email) JOIN users u ON u.email = n.email WHERE u.id <> n.id",
    )
    .bind(ids)
    .bind(emails)
    .fetch_all(conn)
    .await
    .map_err(translate)
}

/// The accounts that there are already, if our tables are there.
pub(crate) async fn accounts(conn: &mut Conn) -> Result<Vec<Uuid>> {
    let conn = postgres(conn)?;
    if !exists(conn, "access_tokens").await? {
        return Ok(Vec::new());
    }
    sqlx::query_scalar("SELECT id FROM users").fetch_all(conn).await.map_err(translate)
}

/// Who belongs to which organisation already, and as what, if our tables are there.
pub(crate) async fn members(conn: &mut Conn) -> Result<Vec<(Uuid, Uuid, String)>> {
    let conn = postgres(conn)?;
    if !exists(conn, "access_tokens").await? {
        return Ok(Vec::new());
    }
    sqlx::query_as("SELECT org_id, member_id, role::text FROM org_memberships")
        .fetch_all(conn)
        .await
        .map_err(translate)
}

/// Accounts ready to be ours, in columns.
#[derive(Default)]
pub(crate) struct Users {
    pub(crate) ids: Vec<Uuid>,
    pub(crate) emails: Vec<String>,
    pub(crate) passwords: Vec<Option<String>>,
    pub(crate) statuses: Vec<&'static str>,
    pub(crate) platform_roles: Vec<Option<&'static str>>,
    pub(crate) metadata: Vec<String>,
}

/// Adds accounts; tells which are new. Their addresses are not proved: Mainflux believed what people said.
// tidy: no permit, because whoever runs the program owns the database.
pub(crate) async fn add_users(tx: &mut Tx, users: &Users) -> Result<Vec<UserId>> {
    let now = tx.now();
    sqlx::query_scalar(
        "INSERT INTO users (id, email, password_hash, status, platform_role, metadata, created_at, updated_at) \
         SELECT n.id, n.email, n.password, n.status, n.role, n.metadata::jsonb, $7, $7 \
         FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[]) n(id, email, password, status, role, metadata) \
         ON CONFLICT (id) DO NOTHING RETURNING id",
    )
    .bind(&users.ids)
    .bind(&users.emails)
    .bind(&users.passwords)
    .bind(&users.statuses)
    .bind(&users.platform_roles)
    .bind(&users.metadata)
    .bind(now)
    .fetch_all(postgres(tx)?)
    .await
    .map_err(translate)
}

/// Organisations ready to be ours, in columns.
#[derive(Default)]
pub(crate) struct Orgs {
    pub(crate) ids: Vec<Uuid>,
    pub(crate) names: Vec<String>,
    pub(crate) descriptions: Vec<String>,
    pub(crate) metadata: Vec<String>,
    pub(crate) created: Vec<Option<Timestamp>>,
    pub(crate) updated: Vec<Option<Timestamp>>,
}

/// Adds organisations; one that was only called by its id gets its name. Tells what each is called now.
// tidy: no permit, because whoever runs the program owns the database.
pub(crate) async fn add_orgs(tx: &mut Tx, orgs: &Orgs) -> Result<Vec<(OrgId, String)>> {
    let now = tx.now();
    sqlx::query(
        "INSERT INTO orgs (id, name, description, metadata, created_at, updated_at) \
         SELECT n.id, n.name, n.description, n.metadata::jsonb, COALESCE(n.created, n.updated, $7), COALESCE(n.updated, n.created, $7) \
         FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[]) n(id, name, description, metadata, created, updated) \
         ON CONFLICT (id) DO UPDATE SET name = excluded.name, description = excluded.description, metadata = excluded.metadata, \
         created_at = excluded.created_at, updated_at = excluded.updated_at WHERE orgs.name = orgs.id::text",
    )
    .bind(&orgs.ids)
    .bind(&orgs.names)
    .bind(&orgs.descriptions)
    .bind(&orgs.metadata)
    .bind(&orgs.created)
    .bind(&orgs.updated)
    .bind(now)
    .execute(postgres(tx)?)
    .await
    .map_err(translate)?;
    sqlx::query_as("SELECT id, name FROM orgs WHERE id = ANY($1) ORDER BY id")
        .bind(&orgs.ids)
        .fetch_all(postgres(tx)?)
        .await
        .map_err(translate)
}

/// Which of these organisations were taken over before, or deleted here.
pub(crate) async fn taken_orgs(conn: &mut Conn, ids: &[Uuid]) -> Result<Vec<Uuid>> {
    sqlx::query_scalar(
        "SELECT DISTINCT subject_id FROM journal WHERE subject_id = ANY($1) AND action IN ('org.adopted', 'org.deleted')",
    )
    .bind(ids)
    .fetch_all(postgres(conn)?)
    .await
    .map_err(translate)
}

/// Who was taken over into an organisation before, or removed from it here: organisation and member.
pub(crate) async fn settled_members(conn: &mut Conn) -> Result<Vec<(Uuid, Uuid)>> {
    sqlx::query_as(
        "SELECT DISTINCT org_id, subject_id FROM journal \
         WHERE action IN ('member.adopted', 'member.removed') AND org_id IS NOT NULL AND group_id IS NULL",
    )
    .fetch_all(postgres(conn)?)
    .await
    .map_err(translate)
}

/// A membership that was added: organisation, member, role.
pub(crate) type Joined = (OrgId, UserId, String);

/// Adds members of organisations, of those that have accounts, and then owners where there would be none. Tells
/// of each; of an owner possibly twice, and then last as an owner.
// tidy: no permit, because whoever runs the program owns the database.
pub(crate) async fn add_members(
    tx: &mut Tx,
    members: (&[Uuid], &[Uuid], &[String]),
    owners: (&[Uuid], &[Uuid]),
) -> Result<Vec<Joined>> {
    let conn = postgres(tx)?;
    let mut added: Vec<Joined> = sqlx::query_as(
        "INSERT INTO org_memberships (org_id, member_id, role) \
         SELECT n.org, n.member, n.role FROM unnest($1::uuid[], $2::uuid[], $3::text[]) n(org, member, role) \
         JOIN users u ON u.id = n.member JOIN orgs o ON o.id = n.org ON CONFLICT DO NOTHING RETURNING org_id, member_id, role",
    )
    .bind(members.0)
    .bind(members.1)
    .bind(members.2)
    .fetch_all(&mut *conn)
    .await
    .map_err(translate)?;
    let owning: Vec<Joined> = sqlx::query_as(
        "INSERT INTO org_memberships (org_id, member_id, role) \
         SELECT n.org, n.owner, 'owner' FROM unnest($1::uuid[], $2::uuid[]) n(org, owner) \
         JOIN users u ON u.id = n.owner JOIN orgs o ON o.id = n.org \
         WHERE NOT EXISTS (SELECT 1 FROM org_memberships m WHERE m.org_id = n.org AND m.role = 'owner') \
         ON CONFLICT (org_id, member_id) DO UPDATE SET role = 'owner' RETURNING org_id, member_id, role",
    )
    .bind(owners.0)
    .bind(owners.1)
    .fetch_all(conn)
    .await
    .map_err(translate)?;
    added.extend(owning);
    Ok(added)
}

/// Makes an organisation's owners the owners of its groups that have none; tells of which.
// tidy: no permit, because whoever runs the program owns the database.
pub(crate) async fn own_groups(tx: &mut Tx) -> Result<Vec<(GroupId, OrgId, UserId)>> {
    sqlx::query_as(
        "WITH owned AS (INSERT INTO group_memberships (group_id, member_id, role) \
         SELECT g.id, o.member_id, 'owner' FROM groups g JOIN org_memberships o ON o.org_id = g.org_id AND o.role = 'owner' \
         WHERE NOT EXISTS (SELECT 1 FROM group_memberships m WHERE m.group_id = g.id AND m.role = 'owner') \
         ON CONFLICT (group_id, member_id) DO UPDATE SET role = 'owner' RETURNING group_id, member_id) \
         SELECT g.id, g.org_id, w.member_id FROM owned w JOIN groups g ON g.id = w.group_id ORDER BY g.id, w.member_id",
    )
    .fetch_all(postgres(tx)?)
    .await
    .map_err(translate)
}

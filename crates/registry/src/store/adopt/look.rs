//! What is read to find the rows that break a rule. Nothing is written.

use sqlx::PgConnection;
use uuid::Uuid;

use super::postgres;
use crate::{
    adopt::rules::{self, Rule},
    error::Result,
    store::{Conn, conflict::translate},
};

/// How many rows are read at a time.
const PAGE: i64 = 1000;

/// When a question makes sense.
#[derive(Clone, Copy, PartialEq)]
enum Needs {
    Nothing,
    ExternalKeys,
    Types,
    Invites,
    /// Invites as Mainflux has them: none to organisations.
    OnlyGroupInvites,
    OrgInvites,
}

/// What not every database has, and one that is adopted has from some moment on.
#[derive(Clone, Copy, Debug, sqlx::FromRow)]
pub(crate) struct Has {
    external_keys: bool,
    types: bool,
    group_invites: bool,
    org_invites: bool,
}

/// Asks the catalogue.
pub(crate) async fn has(conn: &mut Conn) -> Result<Has> {
    sqlx::query_as(
        "SELECT bool_or(attname = 'external_key') AS external_keys, bool_or(attname = 'type') AS types, \
         to_regclass('group_invites') IS NOT NULL AS group_invites, to_regclass('org_invites') IS NOT NULL AS org_invites \
         FROM pg_attribute WHERE attrelid = to_regclass('things') AND attnum > 0 AND NOT attisdropped",
    )
    .fetch_one(postgres(conn)?)
    .await
    .map_err(translate)
}

/// A rule that a query can answer: it selects the id of each row that breaks it, and what it is about.
type Question = (&'static Rule, &'static str, Needs, &'static str);

const QUESTIONS: &[Question] = &[
    (
        &rules::PROFILE_ELSEWHERE,
        "things",
        Needs::Nothing,
        "SELECT t.id::text, 'it is in group ' || t.group_id || ', its profile in ' || p.group_id \
         FROM things t JOIN profiles p ON p.id = t.profile_id WHERE t.group_id <> p.group_id ORDER BY t.id",
    ),
    (
        &rules::CREDENTIAL_TWICE,
        "things",
        Needs::ExternalKeys,
        "SELECT t.id::text, 'its key is the external key of ' || o.id FROM things t JOIN things o ON o.external_key = t.key \
         WHERE t.key <> '' ORDER BY t.id",
    ),
    (&rules::KEY_EMPTY, "things", Needs::Nothing, "SELECT id::text, '' FROM things WHERE key = ''"),
    (
        &rules::KEY_TOO_LONG,
        "things",
        Needs::Nothing,
        "SELECT id::text, octet_length(key) || ' bytes' FROM things WHERE octet_length(key) > 4096 ORDER BY id",
    ),
    (
        &rules::KEY_TOO_LONG,
        "things",
        Needs::ExternalKeys,
        "SELECT id::text, octet_length(external_key) || ' bytes' FROM things WHERE octet_length(external_key) > 4096 ORDER BY id",
    ),
    (
        &rules::KEY_UNUSUAL,
        "things",
        Needs::Nothing,
        "SELECT id::text, octet_length(key) || ' bytes' FROM things \
         WHERE octet_length(key) BETWEEN 1 AND 15 OR octet_length(key) BETWEEN 513 AND 4096 ORDER BY id",
    ),
    (
        &rules::EXTERNAL_EMPTY,
        "things",
        Needs::ExternalKeys,
        "SELECT id::text, '' FROM things WHERE external_key = ''",
    ),
    (
        &rules::EXTERNAL_UNUSUAL,
        "things",
        Needs::ExternalKeys,
        "SELECT id::text, octet_length(external_key) || ' bytes' FROM things \
         WHERE octet_length(external_key) BETWEEN 1 AND 4 OR octet_length(external_key) BETWEEN 513 AND 4096 ORDER BY id",
    ),
    (
        &rules::TYPE_UNKNOWN,
        "things",
        Needs::Types,
        "SELECT id::text, 'type \"' || type || '\"' FROM things \
         WHERE type NOT IN ('device', 'sensor', 'actuator', 'controller', 'gateway') ORDER BY id",
    ),
    (
        &rules::METADATA_NULL,
        "things",
        Needs::Nothing,
        "SELECT id::text, 'metadata' FROM things WHERE metadata IS NULL OR metadata = 'null'::jsonb ORDER BY id",
    ),
    // Where there are none, Mainflux keeps NULL, which is as good as an empty object.
    (
        &rules::METADATA_NULL,
        "profiles",
        Needs::Nothing,
        "SELECT id::text, 'metadata or config' FROM profiles WHERE metadata = 'null'::jsonb OR config = 'null'::jsonb ORDER BY id",
    ),
    (
        &rules::METADATA_NULL,
        "groups",
        Needs::Nothing,
        "SELECT id::text, 'metadata' FROM groups WHERE metadata = 'null'::jsonb ORDER BY id",
    ),
    (
        &rules::TIME_MISSING,
        "groups",
        Needs::Nothing,
        "SELECT id::text, CASE WHEN created_at IS NULL OR created_at < to_timestamp(0) THEN 'created_at' ELSE 'updated_at' END FROM groups \
         WHERE created_at IS NULL OR updated_at IS NULL OR LEAST(created_at, updated_at) < to_timestamp(0) ORDER BY id",
    ),
    (
        &rules::TIME_MISSING,
        "group_invites",
        Needs::OnlyGroupInvites,
        "SELECT id::text, CASE WHEN created_at IS NULL OR created_at < to_timestamp(0) THEN 'created_at' ELSE 'expires_at' END FROM group_invites \
         WHERE created_at IS NULL OR expires_at IS NULL OR LEAST(created_at, expires_at) < to_timestamp(0) ORDER BY id",
    ),
    // Those that sleep on invites that are here end with them.
    (
        &rules::TIME_MISSING,
        "group_invites",
        Needs::OrgInvites,
        "SELECT i.id::text, CASE WHEN i.created_at IS NULL OR i.created_at < to_timestamp(0) THEN 'created_at' ELSE 'expires_at' END FROM group_invites i \
         WHERE i.created_at IS NULL OR LEAST(i.created_at, i.expires_at) < to_timestamp(0) OR (i.expires_at IS NULL AND NOT EXISTS \
         (SELECT 1 FROM dormant_group_invites d JOIN org_invites o ON o.id = d.org_invite_id WHERE d.group_invite_id = i.id)) ORDER BY i.id",
    ),
    (
        &rules::TIME_INFINITE,
        "groups",
        Needs::Nothing,
        "SELECT id::text, '' FROM groups WHERE NOT isfinite(created_at) OR NOT isfinite(updated_at) ORDER BY id",
    ),
    (
        &rules::TIME_INFINITE,
        "group_invites",
        Needs::Invites,
        "SELECT id::text, '' FROM group_invites WHERE NOT isfinite(created_at) OR NOT isfinite(expires_at) ORDER BY id",
    ),
    (
        &rules::ROLE_UNKNOWN,
        "group_memberships",
        Needs::Nothing,
        "SELECT group_id || '/' || member_id, COALESCE('role \"' || role || '\"', 'no role') FROM group_memberships \
         WHERE role IS NULL OR role NOT IN ('viewer', 'editor', 'admin', 'owner') ORDER BY group_id, member_id",
    ),
    (
        &rules::INVITE_UNKNOWN,
        "group_invites",
        Needs::Invites,
        "SELECT id::text, 'state \"' || state || '\", role \"' || invitee_role || '\"' FROM group_invites \
         WHERE state NOT IN ('pending', 'accepted', 'declined', 'revoked', 'expired') \
         OR state = 'pending' AND invitee_role NOT IN ('viewer', 'editor', 'admin') ORDER BY id",
    ),
    (
        &rules::INVITE_TWICE,
        "group_invites",
        Needs::Invites,
        "SELECT max(id::text), 'invitee ' || invitee_id || ', group ' || group_id FROM group_invites \
         WHERE state = 'pending' AND invitee_id IS NOT NULL GROUP BY invitee_id, group_id HAVING count(*) > 1",
    ),
    (
        &rules::INVITE_SLEEPS,
        "group_invites",
        Needs::OnlyGroupInvites,
        "SELECT i.id::text, 'group ' || i.group_id FROM group_invites i WHERE i.state = 'pending' AND i.invitee_id IS NULL \
         OR EXISTS (SELECT 1 FROM dormant_group_invites d WHERE d.group_invite_id = i.id) ORDER BY i.id",
    ),
    // Those that were sent from here sleep on invites that are here.
    (
        &rules::INVITE_SLEEPS,
        "group_invites",
        Needs::OrgInvites,
        "SELECT i.id::text, 'group ' || i.group_id FROM group_invites i WHERE i.state = 'pending' AND i.invitee_id IS NULL AND NOT EXISTS \
         (SELECT 1 FROM dormant_group_invites d JOIN org_invites o ON o.id = d.org_invite_id WHERE d.group_invite_id = i.id) ORDER BY i.id",
    ),
];

/// Asks everything that a query can answer.
pub(crate) async fn ask(
    conn: &mut Conn,
    has: Has,
    tell: &mut (dyn FnMut(&'static Rule, &'static str, String, String) + Send),
) -> Result<()> {
    let conn = postgres(conn)?;
    for (rule, table, needs, sql) in QUESTIONS {
        let sensible = match needs {
            Needs::Nothing => true,
            Needs::ExternalKeys => has.external_keys,
            Needs::Types => has.types,
            Needs::Invites => has.group_invites,
            Needs::OnlyGroupInvites => has.group_invites && !has.org_invites,
            Needs::OrgInvites => has.org_invites,
        };
        if sensible {
            let found: Vec<(String, String)> =
                sqlx::query_as(*sql).fetch_all(&mut *conn).await.map_err(translate)?;
            for (id, detail) in found {
                tell(rule, table, id, detail);
            }
        }
    }
    Ok(())
}

/// How many rows there are: groups, memberships, profiles, things, invites.
pub(crate) async fn counts(conn: &mut Conn, has: Has) -> Result<Vec<(&'static str, i64)>> {
    const COUNTS: [(&str, &str); 5] = [
        ("groups", "SELECT count(*) FROM groups"),
        ("group_memberships", "SELECT count(*) FROM group_memberships"),
        ("profiles", "SELECT count(*) FROM profiles"),
        ("things", "SELECT count(*) FROM things"),
        ("group_invites", "SELECT count(*) FROM group_invites"),
    ];
    let conn = postgres(conn)?;
    let mut counts = Vec::new();
    for (table, sql) in COUNTS {
        if table != "group_invites" || has.group_invites {
            counts.push((table, count(conn, sql).await?));
        }
    }
    Ok(counts)
}

async fn count(conn: &mut PgConnection, sql: &'static str) -> Result<i64> {
    sqlx::query_scalar(sql).fetch_one(conn).await.map_err(translate)
}

/// How many other programs are connected to this database.
pub(crate) async fn others(conn: &mut Conn) -> Result<i64> {
    count(
        postgres(conn)?,
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() \
         AND backend_type = 'client backend' AND application_name <> 'things'",
    )
    .await
}

/// A table whose rows have names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Named {
    Groups,
    Profiles,
    Things,
}

/// A row with a name, in the organisation or group where that must be its own.
#[derive(sqlx::FromRow)]
pub(crate) struct NamedRow {
    pub(crate) id: Uuid,
    pub(crate) place: Uuid,
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) metadata: Option<String>,
    pub(crate) config: Option<String>,
}

/// The next rows, in ascending order of id.
pub(crate) async fn page(conn: &mut Conn, table: Named, after: Option<Uuid>) -> Result<Vec<NamedRow>> {
    let sql = match table {
        Named::Groups => {
            "SELECT id, org_id AS place, name, description, NULLIF(metadata::text, '{}') AS metadata, NULL AS config FROM groups \
             WHERE id >= $1 AND id IS DISTINCT FROM $2 ORDER BY id LIMIT $3"
        }
        Named::Profiles => {
            "SELECT id, group_id AS place, name, NULL AS description, NULLIF(metadata::text, '{}') AS metadata, config::text AS config FROM profiles \
             WHERE id >= $1 AND id IS DISTINCT FROM $2 ORDER BY id LIMIT $3"
        }
        Named::Things => {
            "SELECT id, group_id AS place, name, NULL AS description, NULLIF(metadata::text, '{}') AS metadata, NULL AS config FROM things \
             WHERE id >= $1 AND id IS DISTINCT FROM $2 ORDER BY id LIMIT $3"
        }
    };
    sqlx::query_as(sql)
        .bind(after.unwrap_or_default())
        .bind(after)
        .bind(PAGE)
        .fetch_all(postgres(conn)?)
        .await
        .map_err(translate)
}

/// Which of these names are taken in their place, each with the row that has it.
pub(crate) async fn taken(
    conn: &mut Conn,
    table: Named,
    places: &[Uuid],
    names: &[String],
) -> Result<Vec<(Uuid, String, Uuid)>> {
    let sql = match table {
        Named::Groups => {
            "SELECT r.org_id, r.name, r.id FROM unnest($1::uuid[], $2::text[]) n(place, name) JOIN groups r ON r.org_id = n.place AND r.name = n.name"
        }
        Named::Profiles => {
            "SELECT r.group_id, r.name, r.id FROM unnest($1::uuid[], $2::text[]) n(place, name) JOIN profiles r ON r.group_id = n.place AND r.name = n.name"
        }
        Named::Things => {
            "SELECT r.group_id, r.name, r.id FROM unnest($1::uuid[], $2::text[]) n(place, name) JOIN things r ON r.group_id = n.place AND r.name = n.name"
        }
    };
    sqlx::query_as(sql).bind(places).bind(names).fetch_all(postgres(conn)?).await.map_err(translate)
}

/// The keys that begin like those which we generate.
pub(crate) async fn keys_like_ours(conn: &mut Conn) -> Result<Vec<(Uuid, String)>> {
    sqlx::query_as("SELECT id, key FROM things WHERE starts_with(key, 'thk_') ORDER BY id")
        .fetch_all(postgres(conn)?)
        .await
        .map_err(translate)
}

/// The groups without an owner, each with its organisation.
pub(crate) async fn ownerless(conn: &mut Conn) -> Result<Vec<(Uuid, Uuid)>> {
    sqlx::query_as(
        "SELECT g.id, g.org_id FROM groups g WHERE NOT EXISTS \
         (SELECT 1 FROM group_memberships m WHERE m.group_id = g.id AND m.role = 'owner') ORDER BY g.id",
    )
    .fetch_all(postgres(conn)?)
    .await
    .map_err(translate)
}

/// Who is in which group, and that group's organisation.
pub(crate) async fn members(conn: &mut Conn) -> Result<Vec<(Uuid, Uuid, Uuid)>> {
    sqlx::query_as(
        "SELECT m.group_id, m.member_id, g.org_id FROM group_memberships m JOIN groups g ON g.id = m.group_id \
         ORDER BY m.group_id, m.member_id",
    )
    .fetch_all(postgres(conn)?)
    .await
    .map_err(translate)
}

/// The organisations that groups name.
pub(crate) async fn orgs(conn: &mut Conn) -> Result<Vec<Uuid>> {
    sqlx::query_scalar("SELECT DISTINCT org_id FROM groups ORDER BY org_id")
        .fetch_all(postgres(conn)?)
        .await
        .map_err(translate)
}

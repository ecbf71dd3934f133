//! What is put right in rows that come from Mainflux, and the organisations that they name.

use uuid::Uuid;

use super::{look::Named, postgres};
use crate::{
    error::Result,
    ids::{GroupId, OrgId},
    store::{Tx, conflict::translate},
};

/// Each changes only the rows that need it, so that it can be done any number of times.
const MENDS: &[&str] = &[
    "UPDATE things SET metadata = '{}' WHERE metadata IS NULL OR metadata = 'null'::jsonb",
    "UPDATE profiles SET metadata = '{}' WHERE metadata IS NULL OR metadata = 'null'::jsonb",
    "UPDATE profiles SET config = NULL WHERE config = 'null'::jsonb",
    "UPDATE groups SET metadata = '{}' WHERE metadata IS NULL OR metadata = 'null'::jsonb",
    "UPDATE things SET external_key = NULL WHERE external_key = ''",
    // Mainflux cannot read a group without one.
    "UPDATE groups SET description = '' WHERE description IS NULL",
    // They count as revoked, or cannot be accepted.
    "UPDATE group_invites SET state = 'revoked' WHERE state NOT IN ('pending', 'accepted', 'declined', 'revoked', 'expired') \
     OR state = 'pending' AND invitee_role NOT IN ('viewer', 'editor', 'admin')",
];

/// Mainflux's empty time is of the year 1; before 1970 nothing was made here.
const EMPTY_TIMES: &[&str] = &[
    "UPDATE groups SET created_at = NULL WHERE created_at < to_timestamp(0)",
    "UPDATE groups SET updated_at = NULL WHERE updated_at < to_timestamp(0)",
    "UPDATE group_invites SET created_at = NULL WHERE created_at < to_timestamp(0)",
    "UPDATE group_invites SET expires_at = NULL WHERE expires_at < to_timestamp(0)",
];

/// The same with the moment as `$1`. Invites that sleep on one that was sent from here end with that, and have no end of
/// their own.
const TIMED_MENDS: &[&str] = &[
    "UPDATE groups SET created_at = COALESCE(created_at, updated_at, $1), updated_at = COALESCE(updated_at, created_at, $1) \
     WHERE created_at IS NULL OR updated_at IS NULL",
    "UPDATE group_invites SET created_at = COALESCE(created_at, expires_at - interval '7 days', $1), \
     expires_at = COALESCE(expires_at, COALESCE(created_at, $1) + interval '7 days') WHERE created_at IS NULL OR (expires_at IS NULL \
     AND NOT EXISTS (SELECT 1 FROM dormant_group_invites d JOIN org_invites o ON o.id = d.org_invite_id WHERE d.group_invite_id = group_invites.id))",
];

/// Invites that sleep on nothing: only those, also when it is done again after people were invited here.
const SLEEPERS: &[&str] = &[
    "UPDATE group_invites i SET state = 'revoked' WHERE i.state = 'pending' AND i.invitee_id IS NULL AND NOT EXISTS \
     (SELECT 1 FROM dormant_group_invites d JOIN org_invites o ON o.id = d.org_invite_id WHERE d.group_invite_id = i.id)",
    "DELETE FROM dormant_group_invites d WHERE NOT EXISTS (SELECT 1 FROM org_invites o WHERE o.id = d.org_invite_id)",
];

/// Puts right what needs no look at each row.
// tidy: no permit, because whoever runs the program owns the database.
pub(crate) async fn rows(tx: &mut Tx) -> Result<()> {
    let now = tx.now();
    let conn = postgres(tx)?;
    for sql in EMPTY_TIMES {
        sqlx::query(*sql).execute(&mut *conn).await.map_err(translate)?;
    }
    for sql in TIMED_MENDS {
        sqlx::query(*sql).bind(now).execute(&mut *conn).await.map_err(translate)?;
    }
    for sql in MENDS.iter().chain(SLEEPERS) {
        sqlx::query(*sql).execute(&mut *conn).await.map_err(translate)?;
    }
    Ok(())
}

/// Makes the organisations that groups name and nobody knows, called by their ids.
// tidy: no permit, because whoever runs the program owns the database.
pub(crate) async fn orgs(tx: &mut Tx) -> Result<()> {
    let now = tx.now();
    sqlx::query(
        "INSERT INTO orgs (id, name, description, metadata, created_at, updated_at) \
         SELECT DISTINCT g.org_id, g.org_id::text, '', '{}'::jsonb, $1, $1 FROM groups g ON CONFLICT (id) DO NOTHING",
    )
    .bind(now)
    .execute(postgres(tx)?)
    .await
    .map(drop)
    .map_err(translate)
}

/// A row that was renamed: where it is, and both names.
pub(crate) type Renamed = (Uuid, OrgId, GroupId, String, String);

/// Renames rows that are still called so.
// tidy: no permit, because whoever runs the program owns the database.
pub(crate) async fn names(
    tx: &mut Tx,
    table: Named,
    renamed: &[(Uuid, String, String)],
) -> Result<Vec<Renamed>> {
    let sql = match table {
        Named::Groups => {
            "UPDATE groups r SET name = n.after FROM unnest($1::uuid[], $2::text[], $3::text[]) n(id, before, after) \
             WHERE r.id = n.id AND r.name = n.before RETURNING r.id, r.org_id, r.id, n.before, n.after"
        }
        Named::Profiles => {
            "UPDATE profiles r SET name = n.after FROM unnest($1::uuid[], $2::text[], $3::text[]) n(id, before, after), groups g \
             WHERE r.id = n.id AND r.name = n.before AND g.id = r.group_id RETURNING r.id, g.org_id, g.id, n.before, n.after"
        }
        Named::Things => {
            "UPDATE things r SET name = n.after FROM unnest($1::uuid[], $2::text[], $3::text[]) n(id, before, after), groups g \
             WHERE r.id = n.id AND r.name = n.before AND g.id = r.group_id RETURNING r.id, g.org_id, g.id, n.before, n.after"
        }
    };
    sqlx::query_as(sql)
        .bind(renamed.iter().map(|(id, ..)| *id).collect::<Vec<_>>())
        .bind(renamed.iter().map(|(_, before, _)| before.as_str()).collect::<Vec<_>>())
        .bind(renamed.iter().map(|(.., after)| after.as_str()).collect::<Vec<_>>())
        .fetch_all(postgres(tx)?)
        .await
        .map_err(translate)
}

/// A group that was described otherwise: where it is, its name, and both descriptions.
pub(crate) type Described = (GroupId, OrgId, String, String, String);

/// Changes descriptions of groups that are still described so.
// tidy: no permit, because whoever runs the program owns the database.
pub(crate) async fn descriptions(
    tx: &mut Tx,
    described: &[(Uuid, String, String)],
) -> Result<Vec<Described>> {
    sqlx::query_as(
        "UPDATE groups g SET description = n.after FROM unnest($1::uuid[], $2::text[], $3::text[]) n(id, before, after) \
         WHERE g.id = n.id AND g.description = n.before RETURNING g.id, g.org_id, g.name, n.before, n.after",
    )
    .bind(described.iter().map(|(id, ..)| *id).collect::<Vec<_>>())
    .bind(described.iter().map(|(_, before, _)| before.as_str()).collect::<Vec<_>>())
    .bind(described.iter().map(|(.., after)| after.as_str()).collect::<Vec<_>>())
    .fetch_all(postgres(tx)?)
    .await
    .map_err(translate)
}

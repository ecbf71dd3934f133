//! Keys on their way from the clear to verifiers: batches of things, what the index knows of them, and the
//! writing of what it does not.
//!
//! Invariant: whatever is written is decided by a row that is locked: while a batch is at work neither
//! program can change one of its keys, nor delete one of its things.

use uuid::Uuid;

use super::postgres;
use crate::{
    error::Result,
    store::{Conn, Tx, conflict::translate},
};

/// How many things are dealt with in one transaction.
pub(crate) const BATCH: i64 = 1000;

/// A thing's credentials, and what the index has of them.
#[derive(sqlx::FromRow)]
pub(crate) struct KeyRow {
    pub(crate) id: Uuid,
    pub(crate) key: String,
    pub(crate) external_key: Option<String>,
    pub(crate) indexed_key: Option<String>,
    pub(crate) indexed_external: Option<String>,
    pub(crate) has_copy: bool,
}

/// The next things by id. Scalar sub-selects, because tables that were just made have no statistics yet, and a join
/// might read the whole index for each batch.
const NEXT: &str = "SELECT t.id, t.key, t.external_key, \
         (SELECT c.verifier FROM credential_index c WHERE c.thing_id = t.id AND c.kind = 'key' LIMIT 1) AS indexed_key, \
         (SELECT c.verifier FROM credential_index c WHERE c.thing_id = t.id AND c.kind = 'external' LIMIT 1) AS indexed_external, \
         (SELECT true FROM thing_key_material m WHERE m.thing_id = t.id) IS NOT NULL AS has_copy FROM things t \
         WHERE t.id >= $1 AND t.id IS DISTINCT FROM $2 ORDER BY t.id LIMIT $3";
/// The same, locked so that their credentials stay as they are.
const NEXT_TO_INDEX: &str = "SELECT t.id, t.key, t.external_key, \
         (SELECT c.verifier FROM credential_index c WHERE c.thing_id = t.id AND c.kind = 'key' LIMIT 1) AS indexed_key, \
         (SELECT c.verifier FROM credential_index c WHERE c.thing_id = t.id AND c.kind = 'external' LIMIT 1) AS indexed_external, \
         (SELECT true FROM thing_key_material m WHERE m.thing_id = t.id) IS NOT NULL AS has_copy FROM things t \
         WHERE t.id >= $1 AND t.id IS DISTINCT FROM $2 ORDER BY t.id LIMIT $3 FOR KEY SHARE OF t";
/// The same, locked so that their keys can be replaced.
const NEXT_TO_REPLACE: &str = "SELECT t.id, t.key, t.external_key, \
         (SELECT c.verifier FROM credential_index c WHERE c.thing_id = t.id AND c.kind = 'key' LIMIT 1) AS indexed_key, \
         (SELECT c.verifier FROM credential_index c WHERE c.thing_id = t.id AND c.kind = 'external' LIMIT 1) AS indexed_external, \
         (SELECT true FROM thing_key_material m WHERE m.thing_id = t.id) IS NOT NULL AS has_copy FROM things t \
         WHERE t.id >= $1 AND t.id IS DISTINCT FROM $2 ORDER BY t.id LIMIT $3 FOR UPDATE OF t";

async fn next(conn: &mut Conn, sql: &'static str, after: Option<Uuid>) -> Result<Vec<KeyRow>> {
    sqlx::query_as(sql)
        .bind(after.unwrap_or_default())
        .bind(after)
        .bind(BATCH)
        .fetch_all(postgres(conn)?)
        .await
        .map_err(translate)
}

/// The next things by id, as they are at this moment.
pub(crate) async fn peek(conn: &mut Conn, after: Option<Uuid>) -> Result<Vec<KeyRow>> {
    next(conn, NEXT, after).await
}

/// The next things by id, locked so that their credentials stay (`replacing`: so that they can be replaced).
pub(crate) async fn batch(tx: &mut Tx, after: Option<Uuid>, replacing: bool) -> Result<Vec<KeyRow>> {
    next(tx, if replacing { NEXT_TO_REPLACE } else { NEXT_TO_INDEX }, after).await
}

/// One thing's row, locked like those of a batch.
pub(crate) async fn one(tx: &mut Tx, id: Uuid) -> Result<Option<(String, Option<String>)>> {
    sqlx::query_as("SELECT key, external_key FROM things WHERE id = $1 FOR KEY SHARE")
        .bind(id)
        .fetch_optional(postgres(tx)?)
        .await
        .map_err(translate)
}

/// What a batch makes of its things, in columns.
#[derive(Default)]
pub(crate) struct Changes {
    /// Index rows that are no longer true: thing and kind.
    pub(crate) stale: (Vec<Uuid>, Vec<&'static str>),
    /// Index rows to be: verifier, thing, kind.
    pub(crate) indexed: (Vec<String>, Vec<Uuid>, Vec<&'static str>),
    /// Sealed copies of keys.
    pub(crate) copies: (Vec<Uuid>, Vec<Vec<u8>>),
    /// Verifiers that take the place of keys.
    pub(crate) replaced: (Vec<Uuid>, Vec<String>),
}

impl Changes {
    /// Whether the index says what the things say.
    pub(crate) fn is_empty(&self) -> bool {
        self.stale.0.is_empty()
            && self.indexed.0.is_empty()
            && self.copies.0.is_empty()
            && self.replaced.0.is_empty()
    }
}

/// A row of the index that is in the way of another.
#[derive(sqlx::FromRow)]
pub(crate) struct Taken {
    pub(crate) verifier: String,
    pub(crate) thing_id: Uuid,
    pub(crate) kind: String,
}

/// Removes from the index what is no longer true.
// tidy: no permit, because whoever runs the program owns the database.
pub(crate) async fn forget(tx: &mut Tx, things: &[Uuid], kinds: &[&str]) -> Result<()> {
    if things.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "DELETE FROM credential_index c USING unnest($1::uuid[], $2::text[]) s(thing, kind) \
         WHERE c.thing_id = s.thing AND c.kind = s.kind",
    )
    .bind(things)
    .bind(kinds)
    .execute(postgres(tx)?)
    .await
    .map(drop)
    .map_err(translate)
}

/// Adds to the index; tells what of it is another's already, which is then not added.
// tidy: no permit, because whoever runs the program owns the database.
pub(crate) async fn index(tx: &mut Tx, changes: &Changes) -> Result<Vec<Taken>> {
    let (verifiers, things, kinds) = &changes.indexed;
    if verifiers.is_empty() {
        return Ok(Vec::new());
    }
    let conn = postgres(tx)?;
    // Of a value that is valid again it is not said any more that it was valid once.
    sqlx::query("DELETE FROM retired_credentials WHERE verifier = ANY($1)")
        .bind(verifiers)
        .execute(&mut *conn)
        .await
        .map_err(translate)?;
    let added = sqlx::query(
        "INSERT INTO credential_index (verifier, thing_id, kind) SELECT * FROM unnest($1::text[], $2::uuid[], $3::text[]) \
         ON CONFLICT (verifier) DO NOTHING",
    )
    .bind(verifiers)
    .bind(things)
    .bind(kinds)
    .execute(&mut *conn)
    .await
    .map_err(translate)?;
    if added.rows_affected() == verifiers.len() as u64 {
        return Ok(Vec::new());
    }
    sqlx::query_as(
        "SELECT c.verifier, c.thing_id, c.kind FROM credential_index c \
         JOIN unnest($1::text[], $2::uuid[], $3::text[]) n(verifier, thing, kind) ON n.verifier = c.verifier \
         WHERE c.thing_id <> n.thing OR c.kind <> n.kind",
    )
    .bind(verifiers)
    .bind(things)
    .bind(kinds)
    .fetch_all(conn)
    .await
    .map_err(translate)
}

/// Keeps sealed copies of keys, in place of older ones.
// tidy: no permit, because whoever runs the program owns the database.
pub(crate) async fn keep_copies(tx: &mut Tx, changes: &Changes) -> Result<()> {
    let (things, sealed) = &changes.copies;
    if things.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO thing_key_material (thing_id, sealed) SELECT * FROM unnest($1::uuid[], $2::bytea[]) \
         ON CONFLICT (thing_id) DO UPDATE SET sealed = excluded.sealed",
    )
    .bind(things)
    .bind(sealed)
    .execute(postgres(tx)?)
    .await
    .map(drop)
    .map_err(translate)
}

/// Puts verifiers in the place of keys.
// tidy: no permit, because whoever runs the program owns the database.
pub(crate) async fn replace(tx: &mut Tx, changes: &Changes) -> Result<()> {
    let (things, verifiers) = &changes.replaced;
    if things.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "UPDATE things t SET key = n.verifier FROM unnest($1::uuid[], $2::text[]) n(id, verifier) WHERE t.id = n.id",
    )
    .bind(things)
    .bind(verifiers)
    .execute(postgres(tx)?)
    .await
    .map(drop)
    .map_err(translate)
}

/// How many things there are up to this one, and in all.
pub(crate) async fn counts(conn: &mut Conn, upto: Option<Uuid>) -> Result<(i64, i64)> {
    let conn = postgres(conn)?;
    let total =
        sqlx::query_scalar("SELECT count(*) FROM things").fetch_one(&mut *conn).await.map_err(translate)?;
    let done = match upto {
        None => 0,
        Some(id) => sqlx::query_scalar("SELECT count(*) FROM things WHERE id <= $1")
            .bind(id)
            .fetch_one(conn)
            .await
            .map_err(translate)?,
    };
    Ok((done, total))
}

/// How many keys are not verifiers yet.
pub(crate) async fn in_the_clear(conn: &mut Conn) -> Result<i64> {
    sqlx::query_scalar(
        "SELECT count(*) FROM things t WHERE NOT EXISTS \
         (SELECT 1 FROM credential_index c WHERE c.verifier = t.key AND c.thing_id = t.id AND c.kind = 'key')",
    )
    .fetch_one(postgres(conn)?)
    .await
    .map_err(translate)
}

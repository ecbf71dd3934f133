//! When things were last seen, and by which of their credentials.

use serde_json::json;

use super::{Conn, Engine, Tx, conflict::translate, on};
use crate::{
    access::{Inspect, Permit},
    clock::Timestamp,
    credentials::{Credential, IndexedAs},
    error::{Error, Result},
    ids::ThingId,
    secret::Verifier,
};

/// A thing that authenticated, by what, and when.
pub(crate) type Use = (ThingId, Verifier, Timestamp);

/// Writes down uses in one statement, whatever became of the things and credentials since: what is gone is
/// left out, and a key that has been rotated is a previous key by now.
// tidy: no permit, because the things themselves did it, by their credentials.
pub(crate) async fn write(tx: &mut Tx, uses: &[Use]) -> Result<()> {
    match tx.engine() {
        Engine::Postgres(conn) => sqlx::query(
            "INSERT INTO thing_activity AS a (thing_id, seen_at, key_at, previous_at, external_at) \
             SELECT u.thing_id, max(u.at), max(u.at) FILTER (WHERE c.kind = 'key'), \
                 max(u.at) FILTER (WHERE c.kind = 'previous'), max(u.at) FILTER (WHERE c.kind = 'external') \
             FROM unnest($1::uuid[], $2::text[], $3::timestamptz[]) AS u(thing_id, verifier, at) \
             JOIN things t ON t.id = u.thing_id \
             LEFT JOIN credential_index c ON c.verifier = u.verifier AND c.thing_id = u.thing_id \
             GROUP BY u.thing_id ORDER BY u.thing_id \
             ON CONFLICT (thing_id) DO UPDATE SET seen_at = greatest(a.seen_at, excluded.seen_at), \
                 key_at = greatest(a.key_at, excluded.key_at), \
                 previous_at = greatest(a.previous_at, excluded.previous_at), \
                 external_at = greatest(a.external_at, excluded.external_at)")
            .bind(uses.iter().map(|(thing, ..)| thing.uuid()).collect::<Vec<_>>())
            .bind(uses.iter().map(|(_, verifier, _)| verifier.as_str()).collect::<Vec<_>>())
            .bind(uses.iter().map(|(.., at)| *at).collect::<Vec<_>>())
            .execute(conn)
            .await
            .map(drop),
        Engine::Sqlite(conn) => {
            let rows: Vec<_> = uses
                .iter()
                .map(|(thing, verifier, at)| {
                    json!([thing.uuid().as_simple().to_string(), verifier.as_str(), at.millis()])
                })
                .collect();
            // SQLite's `max` of two is NULL if one of them is.
            sqlx::query(
                "INSERT INTO thing_activity AS a (thing_id, seen_at, key_at, previous_at, external_at) \
                 SELECT t.id, max(u.value ->> 2), max(u.value ->> 2) FILTER (WHERE c.kind = 'key'), \
                     max(u.value ->> 2) FILTER (WHERE c.kind = 'previous'), max(u.value ->> 2) FILTER (WHERE c.kind = 'external') \
                 FROM jsonb_each($1) u CROSS JOIN things t ON t.id = unhex(u.value ->> 0) \
                 LEFT JOIN credential_index c ON c.verifier = u.value ->> 1 AND c.thing_id = t.id \
                 WHERE true GROUP BY t.id \
                 ON CONFLICT (thing_id) DO UPDATE SET seen_at = max(a.seen_at, excluded.seen_at), \
                     key_at = coalesce(max(a.key_at, excluded.key_at), a.key_at, excluded.key_at), \
                     previous_at = coalesce(max(a.previous_at, excluded.previous_at), a.previous_at, excluded.previous_at), \
                     external_at = coalesce(max(a.external_at, excluded.external_at), a.external_at, excluded.external_at)")
                .bind(serde_json::to_string(&rows).map_err(Error::internal)?)
                .execute(conn)
                .await
                .map(drop)
        }
    }
    .map_err(translate)
}

/// The credentials that a thing has at `now`.
pub(crate) async fn credentials(
    conn: &mut Conn,
    permit: &Permit<Inspect, ThingId>,
    now: Timestamp,
) -> Result<Vec<Credential>> {
    #[derive(sqlx::FromRow)]
    struct Row {
        kind: String,
        not_after: Option<Timestamp>,
        key_at: Option<Timestamp>,
        previous_at: Option<Timestamp>,
        external_at: Option<Timestamp>,
    }
    let rows: Vec<Row> = on!(conn, conn => sqlx::query_as(
        "SELECT c.kind, c.not_after, a.key_at, a.previous_at, a.external_at \
         FROM credential_index c LEFT JOIN thing_activity a ON a.thing_id = c.thing_id \
         WHERE c.thing_id = $1 AND (c.not_after IS NULL OR c.not_after > $2)")
        .bind(permit.target()).bind(now).fetch_all(conn))?;
    let mut credentials: Vec<Credential> = rows
        .into_iter()
        .filter_map(|row| {
            let kind = IndexedAs::parse(&row.kind)?;
            let last_seen_at = match kind {
                IndexedAs::Key => row.key_at,
                IndexedAs::Previous => row.previous_at,
                IndexedAs::External => row.external_at,
            };
            Some(Credential { kind, last_seen_at, expires_at: row.not_after })
        })
        .collect();
    credentials.sort_unstable_by_key(|credential| match credential.kind {
        IndexedAs::Key => 0,
        IndexedAs::Previous => 1,
        IndexedAs::External => 2,
    });
    Ok(credentials)
}

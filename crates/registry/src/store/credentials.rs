//! The credential index, the sealed copies, and the installation's canary.
//!
//! Whoever claims a value writes it into `things` first and into the index second, so that two who
//! claim the same one wait for each other in the same order.

use std::{sync::Arc, time::Duration};

use sqlx::types::Json;

use super::{
    Conn, Engine, Tx,
    conflict::translate,
    on, rows,
    sql::{Arg, Sql},
};
use crate::{
    access::{Action, Edit, Permit},
    clock::Timestamp,
    credentials::{IndexedAs, Known, Place, Reason, Retired, Standing},
    error::{Error, Result},
    ids::{GroupId, OrgId, ProfileId, ThingId},
    json::JsonObject,
    secret::{Keyring, Verifier},
};

/// The one look-up of device authentication: a read of one index entry, and of what hangs on it by
/// primary keys.
pub(crate) async fn find(conn: &mut Conn, verifier: &Verifier) -> Result<Option<Known>> {
    #[derive(sqlx::FromRow)]
    struct Row {
        kind: String,
        not_after: Option<Timestamp>,
        thing_id: ThingId,
        r#type: String,
        profile_id: ProfileId,
        group_id: GroupId,
        org_id: OrgId,
        config: Option<Json<JsonObject>>,
        disabled_since: Option<Timestamp>,
    }
    let row: Option<Row> = on!(conn, conn => sqlx::query_as(
        "SELECT c.kind, c.not_after, c.thing_id, t.type, t.profile_id, t.group_id, g.org_id, p.config, d.since AS disabled_since \
         FROM credential_index c JOIN things t ON t.id = c.thing_id JOIN profiles p ON p.id = t.profile_id \
         JOIN groups g ON g.id = t.group_id LEFT JOIN disabled_things d ON d.thing_id = t.id WHERE c.verifier = $1")
        .bind(verifier.as_str()).fetch_optional(conn))?;
    Ok(row.and_then(|row| {
        Some(Known {
            thing: row.thing_id,
            indexed_as: IndexedAs::parse(&row.kind)?,
            not_after: row.not_after,
            kind: row.r#type.parse().ok(),
            disabled_since: row.disabled_since,
            place: Place::new(row.profile_id, row.group_id, row.org_id, row.config.map(|config| config.0)),
        })
    }))
}

/// A thing, and what decides what it may do and who may command it.
// tidy: no permit, because it tells services what they need to judge a thing that they have let in.
pub(crate) async fn standing(conn: &mut Conn, thing: ThingId) -> Result<Option<Standing>> {
    type Row = (String, ProfileId, GroupId, OrgId, Option<Json<JsonObject>>, bool);
    let row: Option<Row> = on!(conn, conn => sqlx::query_as(
        "SELECT t.type, t.profile_id, t.group_id, g.org_id, p.config, d.since IS NULL \
         FROM things t JOIN profiles p ON p.id = t.profile_id JOIN groups g ON g.id = t.group_id \
         LEFT JOIN disabled_things d ON d.thing_id = t.id WHERE t.id = $1")
        .bind(thing).fetch_optional(conn))?;
    Ok(row.map(|(kind, profile, group, org, config, enabled)| {
        let place = Arc::new(Place::new(profile, group, org, config.map(|config| config.0)));
        Standing { kind: kind.parse().ok(), enabled, place }
    }))
}

/// What a verifier was that is in the index no more. A second look, only where the first has failed.
pub(crate) async fn find_retired(conn: &mut Conn, verifier: &Verifier) -> Result<Option<Retired>> {
    let row: Option<(ThingId, String, Timestamp)> = on!(conn, conn => sqlx::query_as(
        "SELECT thing_id, reason, retired_at FROM retired_credentials WHERE verifier = $1")
        .bind(verifier.as_str()).fetch_optional(conn))?;
    Ok(row.and_then(|(thing, reason, since)| Some(Retired { thing, reason: reason.parse().ok()?, since })))
}

/// Remembers the verifiers that a thing is about to lose. A previous key may be over already.
async fn retire(tx: &mut Tx, thing: ThingId, kind: IndexedAs, reason: Reason) -> Result<()> {
    let now = tx.now();
    rows!(tx, sqlx::query(
        "INSERT INTO retired_credentials (verifier, thing_id, reason, retired_at) \
         SELECT verifier, thing_id, CASE WHEN not_after <= $4 THEN $5 ELSE $3 END, CASE WHEN not_after <= $4 THEN not_after ELSE $4 END \
         FROM credential_index WHERE thing_id = $1 AND kind = $2 \
         ON CONFLICT (verifier) DO UPDATE SET thing_id = excluded.thing_id, reason = excluded.reason, retired_at = excluded.retired_at")
        .bind(thing).bind(kind.as_str()).bind(reason.as_str()).bind(now).bind(Reason::Expired.as_str()))?;
    Ok(())
}

/// Forgets that verifiers were valid once: they are valid again.
// tidy: no permit, because it is a part of making them valid, which has shown one.
pub(super) async fn unretire(tx: &mut Tx, verifiers: impl Iterator<Item = &Verifier>) -> Result<()> {
    let mut sql = Sql::new("DELETE FROM retired_credentials WHERE verifier IN (");
    sql.bind_all(verifiers.map(|verifier| Arg::Text(verifier.as_str().to_owned()))).push(")");
    sql.execute(tx).await.map(drop)
}

/// Makes `verifier` the thing's key. The old one becomes the previous key until `not_after`, or goes.
pub(crate) async fn replace_key(
    tx: &mut Tx,
    permit: &Permit<Edit, ThingId>,
    verifier: &Verifier,
    sealed: Option<&[u8]>,
    not_after: Option<Timestamp>,
) -> Result<()> {
    let thing = permit.target();
    rows!(tx, sqlx::query("UPDATE things SET key = $2 WHERE id = $1").bind(thing).bind(verifier.as_str()))?;
    retire(tx, thing, IndexedAs::Previous, Reason::Replaced).await?;
    rows!(
        tx,
        sqlx::query("DELETE FROM credential_index WHERE thing_id = $1 AND kind = 'previous'").bind(thing)
    )?;
    match not_after {
        Some(not_after) => {
            rows!(tx, sqlx::query(
                "UPDATE credential_index SET kind = 'previous', not_after = $2 WHERE thing_id = $1 AND kind = 'key'")
                .bind(thing).bind(not_after))?;
            rows!(
                tx,
                sqlx::query(
                    "UPDATE thing_activity SET previous_at = key_at, key_at = NULL WHERE thing_id = $1"
                )
                .bind(thing)
            )?;
        }
        None => {
            retire(tx, thing, IndexedAs::Key, Reason::Replaced).await?;
            rows!(
                tx,
                sqlx::query("DELETE FROM credential_index WHERE thing_id = $1 AND kind = 'key'").bind(thing)
            )?;
            rows!(
                tx,
                sqlx::query(
                    "UPDATE thing_activity SET previous_at = NULL, key_at = NULL WHERE thing_id = $1"
                )
                .bind(thing)
            )?;
        }
    }
    unretire(tx, std::iter::once(verifier)).await?;
    rows!(
        tx,
        sqlx::query("INSERT INTO credential_index (verifier, thing_id, kind) VALUES ($1, $2, 'key')")
            .bind(verifier.as_str())
            .bind(thing)
    )?;
    rows!(tx, sqlx::query("DELETE FROM thing_key_material WHERE thing_id = $1").bind(thing))?;
    if let Some(sealed) = sealed {
        rows!(
            tx,
            sqlx::query("INSERT INTO thing_key_material (thing_id, sealed) VALUES ($1, $2)")
                .bind(thing)
                .bind(sealed)
        )?;
    }
    Ok(())
}

/// Sets, replaces or removes the external key.
pub(crate) async fn set_external<A: Action>(
    tx: &mut Tx,
    permit: &Permit<A, ThingId>,
    external: Option<(&str, &Verifier)>,
) -> Result<()> {
    let thing = permit.target();
    rows!(
        tx,
        sqlx::query("UPDATE things SET external_key = $2 WHERE id = $1")
            .bind(thing)
            .bind(external.map(|(key, _)| key))
    )?;
    let reason = if external.is_some() { Reason::Replaced } else { Reason::Removed };
    retire(tx, thing, IndexedAs::External, reason).await?;
    // Set to what it is already, it is the same one.
    rows!(
        tx,
        sqlx::query(
            "UPDATE thing_activity SET external_at = NULL WHERE thing_id = $1 \
             AND NOT EXISTS (SELECT 1 FROM credential_index WHERE thing_id = $1 AND kind = 'external' AND verifier = $2)"
        )
        .bind(thing)
        .bind(external.map(|(_, verifier)| verifier.as_str()))
    )?;
    rows!(
        tx,
        sqlx::query("DELETE FROM credential_index WHERE thing_id = $1 AND kind = 'external'").bind(thing)
    )?;
    if let Some((_, verifier)) = external {
        unretire(tx, std::iter::once(verifier)).await?;
        rows!(
            tx,
            sqlx::query(
                "INSERT INTO credential_index (verifier, thing_id, kind) VALUES ($1, $2, 'external')"
            )
            .bind(verifier.as_str())
            .bind(thing)
        )?;
    }
    Ok(())
}

/// The sealed copy of the present key.
pub(crate) async fn sealed_key(conn: &mut Conn, permit: &Permit<Edit, ThingId>) -> Result<Option<Vec<u8>>> {
    on!(conn, conn => sqlx::query_scalar("SELECT sealed FROM thing_key_material WHERE thing_id = $1")
        .bind(permit.target()).fetch_optional(conn))
}

/// Removes every copy: the installation has decided to keep none.
// tidy: no permit, because the operator's configuration decides, at start.
pub(crate) async fn forget_copies(tx: &mut Tx) -> Result<u64> {
    rows!(tx, sqlx::query("DELETE FROM thing_key_material"))
}

/// How long it is remembered that a credential was valid once.
const RETIRED_KEPT: Duration = Duration::from_secs(90 * 24 * 3600);

/// Ends previous keys whose time is over, which the look-up ignores already, and forgets what was retired
/// long ago.
// tidy: no permit, because the program tidies up after itself.
pub(crate) async fn sweep(tx: &mut Tx) -> Result<u64> {
    let now = tx.now();
    rows!(tx, sqlx::query(
        "INSERT INTO retired_credentials (verifier, thing_id, reason, retired_at) \
         SELECT verifier, thing_id, $2, not_after FROM credential_index WHERE kind = 'previous' AND not_after <= $1 \
         ON CONFLICT (verifier) DO UPDATE SET thing_id = excluded.thing_id, reason = excluded.reason, retired_at = excluded.retired_at")
        .bind(now).bind(Reason::Expired.as_str()))?;
    let ended = rows!(
        tx,
        sqlx::query("DELETE FROM credential_index WHERE kind = 'previous' AND not_after <= $1").bind(now)
    )?;
    let forgotten = rows!(
        tx,
        sqlx::query("DELETE FROM retired_credentials WHERE retired_at < $1").bind(now.before(RETIRED_KEPT))
    )?;
    Ok(ended + forgotten)
}

/// Proves that the keys at hand are those this database was written with, or, on a new database,
/// writes down which they are.
// tidy: no permit, because it runs before there is anybody to ask.
pub(crate) async fn check_canary(tx: &mut Tx, keyring: &Keyring) -> Result<()> {
    if let Engine::Postgres(conn) = tx.engine() {
        // Two first starts at once: one writes, the other compares.
        sqlx::query("LOCK TABLE installation IN EXCLUSIVE MODE").execute(conn).await.map_err(translate)?;
    }
    let (pepper, context) = keyring.canary();
    let found: Option<(String, Vec<u8>)> = on!(tx, conn =>
        sqlx::query_as("SELECT pepper_canary, kek_canary FROM installation").fetch_optional(conn))?;
    match found {
        None => {
            let now = tx.now();
            let sealed = keyring.seal(context.as_bytes(), b"canary")?;
            rows!(tx, sqlx::query("INSERT INTO installation (one, created_at, pepper_canary, kek_canary) VALUES (1, $1, $2, $3)")
                .bind(now).bind(pepper).bind(sealed))?;
            Ok(())
        }
        Some((known, sealed)) if known == pepper && keyring.open(context.as_bytes(), &sealed).is_ok() => {
            Ok(())
        }
        Some(_) => Err(Error::internal(
            "these are not the keys that the database was written with: no device could authenticate. \
             Put back the key file that belongs to this database (things.keys in its data directory, or THINGS_KEYS)",
        )),
    }
}

//! Things' rows.

mod list;

use std::collections::HashMap;

use serde_json::json;
use uuid::Uuid;

use super::{
    Conn, Engine, Tx,
    conflict::translate,
    on, rows,
    sql::{Arg, RawJson, Sql},
};
use crate::{
    access::{Action, Administer, Edit, Permit, Role},
    clock::Timestamp,
    error::{ConflictKind, Error, Result},
    ids::{GroupId, ProfileId, ThingId},
    json::JsonObject,
    secret::Verifier,
    things::{NewThing, Thing, ThingStatus, ThingType},
};

pub(crate) use list::list;

/// A thing about to be stored, with everything kept of its credentials.
#[derive(Clone)]
pub(crate) struct NewRow {
    pub(crate) id: ThingId,
    pub(crate) name: String,
    pub(crate) kind: ThingType,
    pub(crate) metadata: String,
    pub(crate) verifier: Verifier,
    /// Whether the client chose the key: it may have been somebody's before.
    pub(crate) chosen: bool,
    pub(crate) external: Option<(String, Verifier)>,
    pub(crate) sealed: Option<Vec<u8>>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: ThingId,
    group_id: GroupId,
    profile_id: ProfileId,
    name: String,
    #[sqlx(rename = "type")]
    kind: String,
    external_key: Option<String>,
    metadata: Option<sqlx::types::Json<JsonObject>>,
    key: Verifier,
    disabled_since: Option<Timestamp>,
    seen_at: Option<Timestamp>,
}

impl Row {
    fn seen_as(self, role: Role) -> Thing {
        Thing {
            id: self.id,
            group_id: self.group_id,
            profile_id: self.profile_id,
            name: self.name,
            kind: self.kind.parse().ok(),
            external_key: self.external_key,
            metadata: self.metadata.map(|json| json.0).unwrap_or_default(),
            status: match self.disabled_since {
                None => ThingStatus::Enabled,
                Some(_) => ThingStatus::Disabled,
            },
            last_seen_at: self.seen_at,
            role,
            verifier: self.key,
        }
    }
}

/// Stores things with their credentials: a few statements, however many there are. PostgreSQL
/// unnests typed arrays, SQLite a JSON array with hexadecimal bytes (`jsonb_each`, because `json_each`
/// would write each row as text and every `->>` read it anew).
pub(crate) async fn insert(tx: &mut Tx, profile: &Permit<Edit, ProfileId>, things: &[&NewRow]) -> Result<()> {
    let (group, profile) = (profile.home().group, profile.target());
    let ids = || things.iter().map(|thing| thing.id.uuid());
    let keys = things.iter().map(|thing| (&thing.verifier, thing.id, "key"));
    let externals = things
        .iter()
        .filter_map(|thing| thing.external.as_ref().map(|(_, verifier)| (verifier, thing.id, "external")));
    let index: Vec<(&Verifier, ThingId, &str)> = keys.chain(externals.clone()).collect();
    let chosen = things.iter().filter(|thing| thing.chosen).map(|thing| &thing.verifier);
    let used: Vec<&Verifier> = chosen.chain(externals.map(|(verifier, ..)| verifier)).collect();
    if !used.is_empty() {
        super::credentials::unretire(tx, used.into_iter()).await?;
    }
    let copies: Vec<(Uuid, &[u8])> = things
        .iter()
        .filter_map(|thing| thing.sealed.as_deref().map(|sealed| (thing.id.uuid(), sealed)))
        .collect();
    match tx.engine() {
        Engine::Postgres(conn) => {
            sqlx::query(
                "INSERT INTO things (id, group_id, profile_id, name, type, metadata, key, external_key) \
                 SELECT t.id, $1, $2, t.name, t.type, t.metadata::jsonb, t.key, t.external_key \
                 FROM unnest($3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[]) \
                 AS t(id, name, type, metadata, key, external_key)",
            )
            .bind(group)
            .bind(profile)
            .bind(ids().collect::<Vec<_>>())
            .bind(things.iter().map(|thing| thing.name.as_str()).collect::<Vec<_>>())
            .bind(things.iter().map(|thing| thing.kind.as_str()).collect::<Vec<_>>())
            .bind(things.iter().map(|thing| thing.metadata.as_str()).collect::<Vec<_>>())
            .bind(things.iter().map(|thing| thing.verifier.as_str()).collect::<Vec<_>>())
            .bind(
                things
                    .iter()
                    .map(|thing| thing.external.as_ref().map(|(key, _)| key.as_str()))
                    .collect::<Vec<_>>(),
            )
            .execute(&mut *conn)
            .await
            .map_err(translate)?;
            sqlx::query(
                "INSERT INTO credential_index (verifier, thing_id, kind) SELECT * FROM unnest($1::text[], $2::uuid[], $3::text[])")
                .bind(index.iter().map(|(verifier, ..)| verifier.as_str()).collect::<Vec<_>>())
                .bind(index.iter().map(|(_, id, _)| id.uuid()).collect::<Vec<_>>())
                .bind(index.iter().map(|(.., kind)| *kind).collect::<Vec<_>>())
                .execute(&mut *conn)
                .await
                .map_err(translate)?;
            if !copies.is_empty() {
                sqlx::query("INSERT INTO thing_key_material (thing_id, sealed) SELECT * FROM unnest($1::uuid[], $2::bytea[])")
                    .bind(copies.iter().map(|(id, _)| *id).collect::<Vec<_>>())
                    .bind(copies.iter().map(|(_, sealed)| *sealed).collect::<Vec<_>>())
                    .execute(conn)
                    .await
                    .map_err(translate)?;
            }
        }
        Engine::Sqlite(conn) => {
            let hex = |id: Uuid| id.as_simple().to_string();
            let rows = things.iter().map(|thing| {
                let external = thing.external.as_ref().map(|(key, _)| key.as_str());
                json!([
                    hex(thing.id.uuid()),
                    thing.name,
                    thing.kind.as_str(),
                    thing.metadata,
                    thing.verifier.as_str(),
                    external
                ])
            });
            sqlx::query(
                "INSERT INTO things (id, group_id, profile_id, name, type, metadata, key, external_key) \
                 SELECT unhex(value ->> 0), $1, $2, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5 \
                 FROM jsonb_each($3) ORDER BY key")
                .bind(group)
                .bind(profile)
                .bind(array(rows)?)
                .execute(&mut *conn)
                .await
                .map_err(translate)?;
            let rows =
                index.iter().map(|(verifier, id, kind)| json!([verifier.as_str(), hex(id.uuid()), kind]));
            sqlx::query(
                "INSERT INTO credential_index (verifier, thing_id, kind) \
                 SELECT value ->> 0, unhex(value ->> 1), value ->> 2 FROM jsonb_each($1)",
            )
            .bind(array(rows)?)
            .execute(&mut *conn)
            .await
            .map_err(translate)?;
            if !copies.is_empty() {
                let rows = copies.iter().map(|(id, sealed)| json!([hex(*id), to_hex(sealed)]));
                sqlx::query(
                    "INSERT INTO thing_key_material (thing_id, sealed) \
                     SELECT unhex(value ->> 0), unhex(value ->> 1) FROM jsonb_each($1)",
                )
                .bind(array(rows)?)
                .execute(conn)
                .await
                .map_err(translate)?;
            }
        }
    }
    Ok(())
}

fn array(rows: impl Iterator<Item = serde_json::Value>) -> Result<String> {
    serde_json::to_string(&rows.collect::<Vec<_>>()).map_err(Error::internal)
}

fn to_hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

pub(crate) async fn get<A: Action>(conn: &mut Conn, permit: &Permit<A, ThingId>) -> Result<Thing> {
    let found: Option<Row> = on!(conn, conn => sqlx::query_as(
        "SELECT t.id, t.group_id, t.profile_id, t.name, t.type, t.external_key, t.metadata, t.key, d.since AS disabled_since, a.seen_at \
         FROM things t LEFT JOIN disabled_things d ON d.thing_id = t.id LEFT JOIN thing_activity a ON a.thing_id = t.id WHERE t.id = $1")
        .bind(permit.target()).fetch_optional(conn))?;
    found.map(|row| row.seen_as(permit.role())).ok_or(Error::NotFound)
}

/// The things of these permits, in no particular order.
pub(crate) async fn get_all<A: Action>(
    conn: &mut Conn,
    permits: &[Permit<A, ThingId>],
) -> Result<Vec<Thing>> {
    let mut sql = Sql::new(
        "SELECT t.id, t.group_id, t.profile_id, t.name, t.type, t.external_key, t.metadata, t.key, d.since AS disabled_since, a.seen_at \
         FROM things t LEFT JOIN disabled_things d ON d.thing_id = t.id LEFT JOIN thing_activity a ON a.thing_id = t.id WHERE t.id IN (",
    );
    sql.bind_all(permits.iter().map(|permit| Arg::Id(permit.target().uuid()))).push(")");
    let found: Vec<Row> = sql.fetch_all(conn).await?;
    Ok(found
        .into_iter()
        .map(|row| {
            let at = permits.binary_search_by_key(&row.id, Permit::target);
            let role = at.ok().and_then(|at| permits.get(at)).map_or(Role::Viewer, Permit::role);
            row.seen_as(role)
        })
        .collect())
}

/// What the things of these permits are called; what else they hold may be large.
pub(crate) async fn names(
    conn: &mut Conn,
    permits: &[Permit<Administer, ThingId>],
) -> Result<HashMap<ThingId, String>> {
    let mut sql = Sql::new("SELECT id, name FROM things WHERE id IN (");
    sql.bind_all(permits.iter().map(|permit| Arg::Id(permit.target().uuid()))).push(")");
    let found: Vec<(ThingId, String)> = sql.fetch_all(conn).await?;
    Ok(found.into_iter().collect())
}

/// The ids of things on a profile, the first `most` of them in ascending order.
pub(crate) async fn ids<A: Action>(
    conn: &mut Conn,
    profile: &Permit<A, ProfileId>,
    most: usize,
) -> Result<Vec<ThingId>> {
    on!(conn, conn => sqlx::query_scalar("SELECT id FROM things WHERE profile_id = $1 ORDER BY id LIMIT $2")
        .bind(profile.target()).bind(i64::try_from(most).unwrap_or(i64::MAX)).fetch_all(conn))
}

/// Where a thing is, for whoever must lock that group before asking whether they may.
pub(crate) async fn group_of(conn: &mut Conn, id: ThingId) -> Result<Option<GroupId>> {
    on!(conn, conn => sqlx::query_scalar("SELECT group_id FROM things WHERE id = $1").bind(id).fetch_optional(conn))
}

/// What a thing may read of itself; its credential is the permit.
pub(crate) async fn own_metadata(conn: &mut Conn, id: ThingId) -> Result<Option<JsonObject>> {
    let found: Option<(Option<sqlx::types::Json<JsonObject>>,)> = on!(conn, conn =>
        sqlx::query_as("SELECT metadata FROM things WHERE id = $1").bind(id).fetch_optional(conn))?;
    Ok(found.map(|(metadata,)| metadata.map(|json| json.0).unwrap_or_default()))
}

pub(crate) async fn update(tx: &mut Tx, permit: &Permit<Edit, ThingId>, thing: &Thing) -> Result<()> {
    let kind = thing.kind.unwrap_or_default().as_str();
    rows!(
        tx,
        sqlx::query("UPDATE things SET name = $2, type = $3, metadata = $4 WHERE id = $1")
            .bind(permit.target())
            .bind(thing.name.as_str())
            .bind(kind)
            .bind(RawJson(thing.metadata.to_text()))
    )?;
    Ok(())
}

/// Writes the metadata of things that `permits` name; others are passed over.
pub(crate) async fn update_metadata(
    tx: &mut Tx,
    permits: &[Permit<Edit, ThingId>],
    things: &[Thing],
) -> Result<()> {
    if things.is_empty() {
        return Ok(());
    }
    let allowed = |thing: &&Thing| permits.binary_search_by_key(&thing.id, Permit::target).is_ok();
    let things = || things.iter().filter(allowed);
    match tx.engine() {
        Engine::Postgres(conn) => sqlx::query(
            "UPDATE things SET metadata = u.metadata::jsonb FROM unnest($1::uuid[], $2::text[]) AS u(id, metadata) WHERE things.id = u.id")
            .bind(things().map(|thing| thing.id.uuid()).collect::<Vec<_>>())
            .bind(things().map(|thing| thing.metadata.to_text()).collect::<Vec<_>>())
            .execute(conn)
            .await
            .map(drop),
        Engine::Sqlite(conn) => sqlx::query(
            "UPDATE things SET metadata = u.value ->> 1 FROM jsonb_each($1) AS u WHERE things.id = unhex(u.value ->> 0)")
            .bind(array(things().map(|thing| json!([thing.id.uuid().as_simple().to_string(), thing.metadata.to_text()])))?)
            .execute(conn)
            .await
            .map(drop),
    }
    .map_err(translate)
}

/// Puts a thing on a profile and thereby into its group: one statement, so that the two never part.
pub(crate) async fn relocate(
    tx: &mut Tx,
    thing: &Permit<Edit, ThingId>,
    profile: &Permit<Edit, ProfileId>,
) -> Result<()> {
    rows!(
        tx,
        sqlx::query("UPDATE things SET group_id = $2, profile_id = $3 WHERE id = $1")
            .bind(thing.target())
            .bind(profile.home().group)
            .bind(profile.target())
    )?;
    Ok(())
}

/// Notes whether a thing can authenticate.
pub(crate) async fn set_status(
    tx: &mut Tx,
    permit: &Permit<Edit, ThingId>,
    status: ThingStatus,
) -> Result<()> {
    let (thing, now) = (permit.target(), tx.now());
    match status {
        ThingStatus::Enabled => {
            rows!(tx, sqlx::query("DELETE FROM disabled_things WHERE thing_id = $1").bind(thing))?
        }
        ThingStatus::Disabled => rows!(
            tx,
            sqlx::query("INSERT INTO disabled_things (thing_id, since) VALUES ($1, $2)")
                .bind(thing)
                .bind(now)
        )?,
    };
    Ok(())
}

/// Deletes things; their credentials, copies and what they did go with them.
pub(crate) async fn delete(tx: &mut Tx, permits: &[Permit<Administer, ThingId>]) -> Result<()> {
    let mut sql = Sql::new("DELETE FROM things WHERE id IN (");
    sql.bind_all(permits.iter().map(|permit| Arg::Id(permit.target().uuid()))).push(")");
    sql.execute(tx).await.map(drop)
}

/// Which of the items clash with what exists, in the way that `kind` says.
pub(crate) async fn clashes(
    conn: &mut Conn,
    profile: ProfileId,
    things: &[NewThing],
    verifiers: &[(Option<Verifier>, Option<Verifier>)],
    kind: ConflictKind,
) -> Result<Vec<usize>> {
    let found: Vec<bool> = match kind {
        ConflictKind::ThingNameTaken => {
            let mut sql = Sql::new(
                "SELECT name FROM things WHERE group_id = (SELECT group_id FROM profiles WHERE id = ",
            );
            sql.bind(Arg::Id(profile.uuid())).push(") AND name IN (");
            sql.bind_all(things.iter().map(|thing| Arg::Text(thing.name.as_str().to_owned()))).push(")");
            let taken: Vec<(String,)> = sql.fetch_all(conn).await?;
            things.iter().map(|thing| taken.iter().any(|(name,)| name == thing.name.as_str())).collect()
        }
        ConflictKind::IdTaken => {
            let mut sql = Sql::new("SELECT id FROM things WHERE id IN (");
            sql.bind_all(things.iter().filter_map(|thing| thing.id).map(|id| Arg::Id(id.uuid()))).push(")");
            let taken: Vec<(ThingId,)> = sql.fetch_all(conn).await?;
            things.iter().map(|thing| taken.iter().any(|(id,)| thing.id == Some(*id))).collect()
        }
        ConflictKind::CredentialUnavailable => {
            let mut sql = Sql::new("SELECT verifier FROM credential_index WHERE verifier IN (");
            let all = verifiers.iter().flat_map(|(key, external)| [key, external]).flatten();
            sql.bind_all(all.map(|verifier| Arg::Text(verifier.as_str().to_owned()))).push(")");
            let taken: Vec<(String,)> = sql.fetch_all(conn).await?;
            let is_taken = |verifier: &Option<Verifier>| {
                verifier
                    .as_ref()
                    .is_some_and(|verifier| taken.iter().any(|(taken,)| taken == verifier.as_str()))
            };
            verifiers.iter().map(|(key, external)| is_taken(key) || is_taken(external)).collect()
        }
        _ => Vec::new(),
    };
    Ok(found.into_iter().enumerate().filter_map(|(item, clashes)| clashes.then_some(item)).collect())
}

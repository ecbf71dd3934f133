//! Things' rows.

use std::collections::HashMap;

use serde_json::json;
use uuid::Uuid;

use super::{
    Conn, Engine, Tx,
    access::Facts,
    conflict::translate,
    on,
    page::{self, Keyed, Listing, Merged, OrderKey, Reading},
    rows, search,
    sql::{Arg, RawJson, Sql},
};
use crate::{
    access::{self, Action, Administer, Edit, Permit, Role, Visible},
    actor::UserActor,
    error::{ConflictKind, Error, Result},
    ids::{GroupId, OrgId, ProfileId, ThingId},
    json::JsonObject,
    page::{Page, PageQuery},
    secret::{Keyring, Verifier},
    text::SearchText,
    things::{NewThing, Thing, ThingFilter, ThingOrder, ThingType},
};

/// A thing about to be stored, with everything kept of its credentials.
pub(crate) struct NewRow {
    pub(crate) id: ThingId,
    pub(crate) name: String,
    pub(crate) kind: ThingType,
    pub(crate) metadata: String,
    pub(crate) verifier: Verifier,
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
            role,
            verifier: self.key,
        }
    }
}

/// Stores things with their credentials: three statements, however many there are. PostgreSQL
/// unnests typed arrays, SQLite a JSON array with hexadecimal bytes (`jsonb_each`, because `json_each`
/// would write each row as text and every `->>` read it anew).
pub(crate) async fn insert(tx: &mut Tx, profile: &Permit<Edit, ProfileId>, things: &[NewRow]) -> Result<()> {
    let (group, profile) = (profile.home().group, profile.target());
    let ids = || things.iter().map(|thing| thing.id.uuid());
    let keys = things.iter().map(|thing| (&thing.verifier, thing.id, "key"));
    let externals = things
        .iter()
        .filter_map(|thing| thing.external.as_ref().map(|(_, verifier)| (verifier, thing.id, "external")));
    let index: Vec<(&Verifier, ThingId, &str)> = keys.chain(externals).collect();
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
        "SELECT id, group_id, profile_id, name, type, external_key, metadata, key FROM things WHERE id = $1")
        .bind(permit.target()).fetch_optional(conn))?;
    found.map(|row| row.seen_as(permit.role())).ok_or(Error::NotFound)
}

/// The things of these permits, in no particular order.
pub(crate) async fn get_all<A: Action>(
    conn: &mut Conn,
    permits: &[Permit<A, ThingId>],
) -> Result<Vec<Thing>> {
    let mut sql = Sql::new(
        "SELECT id, group_id, profile_id, name, type, external_key, metadata, key FROM things WHERE id IN (",
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

/// Deletes things; their credentials and copies go with them.
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

/// Up to so many groups are read one by one and merged; the list of somebody with more is read as a
/// whole, in which theirs are frequent.
const MERGED: i64 = 50;

/// The groups whose things are listed, where these are some but not too many. No index has the things
/// of several groups in the list's order, so one statement over all would sort every thing in them.
async fn groups_of(conn: &mut Conn, visible: &Visible) -> Result<Option<Vec<GroupId>>> {
    if !visible.is_of_groups() {
        return Ok(None);
    }
    let mut sql = Sql::new("SELECT id FROM groups WHERE ");
    sql.append(&visible.groups("id", None)).push(" LIMIT ").bind(Arg::Int(MERGED + 1));
    let groups: Vec<(GroupId,)> = sql.fetch_all(conn).await?;
    let few = (1..=MERGED).contains(&i64::try_from(groups.len()).unwrap_or(i64::MAX));
    Ok(few.then(|| groups.into_iter().map(|(group,)| group).collect()))
}

const COLUMNS: &str = "SELECT t.id, t.group_id, t.profile_id, t.name, t.type, t.external_key, t.metadata, t.key, \
     g.org_id, m.role, o.role AS org_role FROM";

#[derive(sqlx::FromRow)]
struct Listed {
    #[sqlx(flatten)]
    row: Row,
    org_id: OrgId,
    #[sqlx(flatten)]
    facts: Facts,
}

impl Keyed<ThingOrder> for Listed {
    fn key(&self, order: &ThingOrder) -> Option<Arg> {
        match order {
            ThingOrder::Id => None,
            ThingOrder::Name => Some(Arg::Text(self.row.name.to_ascii_lowercase())),
            ThingOrder::Kind => Some(Arg::Text(self.row.kind.clone())),
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
    filter: &ThingFilter,
    query: &PageQuery<ThingOrder>,
) -> Result<Page<Thing>> {
    let mut filters = Sql::default();
    if let Some(name) = &filter.name {
        filters.and_name_contains(conn, "t.name", name.as_str());
    }
    if let Some(metadata) = &filter.metadata {
        filters.and_json_contains(conn, "t.metadata", metadata)?;
    }
    if let Some(kind) = filter.kind {
        // As the index has it.
        filters.push(if conn.is_postgres() { " AND t.type COLLATE \"C\" = " } else { " AND t.type = " });
        filters.bind(Arg::Text(kind.as_str().to_owned()));
    }
    if let Some(external) = &filter.external_key {
        filters.push(" AND t.external_key = ").bind(Arg::Text(external.as_str().to_owned()));
    }
    let mut condition = visible.groups("t.group_id", Some("t.profile_id"));
    let name = filter.name.as_ref().map(SearchText::as_str);
    let plan = search::plan(conn, &condition, name, filter.metadata.as_ref()).await?;
    condition.append(&filters);
    let mut joins = Sql::new(
        " JOIN groups g ON g.id = t.group_id LEFT JOIN group_memberships m ON m.group_id = t.group_id AND m.member_id = ",
    );
    joins
        .bind(Arg::Id(user.id().uuid()))
        .push(" LEFT JOIN org_memberships o ON o.org_id = g.org_id AND o.member_id = ");
    joins.bind(Arg::Id(user.id().uuid()));
    let select = |source: &Sql| {
        let mut sql = Sql::new(COLUMNS);
        sql.push(" ").append(source).append(&joins);
        sql
    };
    let mut count = Sql::new("SELECT 1 AS one FROM ");
    count.append(&plan.counted);
    let listing = Listing {
        select: select(&Sql::new("things t")),
        count,
        filter: condition,
        key: match query.order() {
            ThingOrder::Id => None,
            ThingOrder::Name => Some(OrderKey {
                sqlite: "lower(t.name)",
                postgres: "lower(t.name COLLATE \"C\") COLLATE \"C\"",
            }),
            ThingOrder::Kind => Some(OrderKey { sqlite: "t.type", postgres: "t.type COLLATE \"C\"" }),
        },
        id: "t.id",
        reading: if plan.walked {
            match groups_of(conn, visible).await? {
                Some(groups) => {
                    let parts = groups
                        .into_iter()
                        .map(|group| {
                            let mut part = Sql::new("t.group_id = ");
                            part.bind(Arg::Id(group.uuid())).append(&filters);
                            part
                        })
                        .collect();
                    Reading::Merged(Merged { columns: COLUMNS, table: "things t", joins, parts })
                }
                None => Reading::Plain,
            }
        } else {
            Reading::Gathered(select(&plan.source))
        },
    };
    let page: Page<Listed> = page::fetch(conn, keyring, listing, query).await?;
    Ok(page.map(|listed| {
        let role = access::role_towards(user, (listed.org_id, Some(listed.row.group_id)), &listed.facts);
        listed.row.seen_as(role)
    }))
}

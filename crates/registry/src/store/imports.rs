//! What imports need that others do not: how far they are, finding things by what rows bring, and telling
//! which rows clash.

use std::{collections::HashMap, time::Duration};

use super::{
    Conn, Tx, on,
    replay::KEPT,
    rows,
    sql::{Arg, Sql},
};
use crate::{
    access::{Edit, Permit, View},
    clock::Timestamp,
    error::{ConflictKind, Error, Result},
    ids::{GroupId, ProfileId, ThingId},
    imports::{Counts, Exported, MatchBy, ProfileRef},
    json::JsonObject,
    page::MAX_PAGE_BYTES,
    secret::Verifier,
    things::{ThingStatus, ThingType},
};

/// How far an import is that came before under the same key.
pub(crate) struct Kept {
    /// A keyed digest of all that is done.
    pub(crate) content: Vec<u8>,
    pub(crate) counts: Counts,
    pub(crate) started_at: Timestamp,
}

/// An import of at most a day ago.
// tidy: no permit, because it precedes every question of rights.
pub(crate) async fn find(conn: &mut Conn, digest: &[u8], now: Timestamp) -> Result<Option<Kept>> {
    type Row = (Vec<u8>, i64, i64, i64, i64, i64, Timestamp);
    let row: Option<Row> = on!(conn, conn => sqlx::query_as(
        "SELECT content, rows_done, created, updated, unchanged, rejected, started_at FROM imports WHERE digest = $1 AND started_at > $2")
        .bind(digest).bind(now.before(KEPT)).fetch_optional(conn))?;
    Ok(row.map(|(content, done, created, updated, unchanged, rejected, started_at)| {
        let number = |number: i64| u64::try_from(number).unwrap_or(0);
        let counts = Counts {
            rows_done: number(done),
            created: number(created),
            updated: number(updated),
            unchanged: number(unchanged),
            rejected: number(rejected),
        };
        Kept { content, counts, started_at }
    }))
}

/// Writes down how far an import is, if nobody else went on with it since it was `before`.
// tidy: no permit, because it belongs to the request, whose rows were written by a permit.
pub(crate) async fn advance(tx: &mut Tx, digest: &[u8], before: Option<u64>, kept: &Kept) -> Result<()> {
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let counts = &kept.counts;
    let written = match before {
        None => {
            let over = tx.now().before(KEPT);
            for sql in [
                "DELETE FROM import_batches WHERE digest IN (SELECT digest FROM imports WHERE digest = $1 AND started_at <= $2)",
                "DELETE FROM imports WHERE digest = $1 AND started_at <= $2",
            ] {
                rows!(tx, sqlx::query(sql).bind(digest).bind(over))?;
            }
            rows!(tx, sqlx::query(
                "INSERT INTO imports (digest, content, rows_done, created, updated, unchanged, rejected, started_at) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING")
                .bind(digest).bind(kept.content.as_slice()).bind(number(counts.rows_done)).bind(number(counts.created))
                .bind(number(counts.updated)).bind(number(counts.unchanged)).bind(number(counts.rejected))
                .bind(kept.started_at))
        }
        Some(before) => rows!(tx, sqlx::query(
            "UPDATE imports SET content = $2, rows_done = $3, created = $4, updated = $5, unchanged = $6, rejected = $7 \
             WHERE digest = $1 AND rows_done = $8 AND started_at = $9")
            .bind(digest).bind(kept.content.as_slice()).bind(number(counts.rows_done)).bind(number(counts.created))
            .bind(number(counts.updated)).bind(number(counts.unchanged)).bind(number(counts.rejected))
            .bind(number(before)).bind(kept.started_at)),
    };
    match written {
        Ok(1) => Ok(()),
        // Another process has it, or the other one took longer than the lock timeout.
        Ok(_) | Err(Error::Unavailable) => Err(Error::conflict(ConflictKind::InFlight)),
        Err(error) => Err(error),
    }
}

/// Writes down what became of a batch's rows.
// tidy: no permit, because it belongs to the request, whose rows were written by a permit.
pub(crate) async fn keep_batch(
    tx: &mut Tx,
    digest: &[u8],
    batch: u64,
    outcomes: &str,
    rejected: Option<&str>,
) -> Result<()> {
    let batch = i64::try_from(batch).map_err(Error::internal)?;
    rows!(
        tx,
        sqlx::query("INSERT INTO import_batches (digest, batch, outcomes, rejected) VALUES ($1, $2, $3, $4)")
            .bind(digest)
            .bind(batch)
            .bind(outcomes)
            .bind(rejected)
    )?;
    Ok(())
}

/// What became of a batch's rows.
pub(crate) async fn batch(conn: &mut Conn, digest: &[u8], batch: u64) -> Result<(String, Option<String>)> {
    let batch = i64::try_from(batch).map_err(Error::internal)?;
    let found: Option<(String, Option<String>)> = on!(conn, conn => sqlx::query_as(
        "SELECT outcomes, rejected FROM import_batches WHERE digest = $1 AND batch = $2")
        .bind(digest).bind(batch).fetch_optional(conn))?;
    // Swept while it was answered again: as good as new, but not in the middle of it.
    found.ok_or(Error::Unavailable)
}

/// Forgets all imports: what they made is shown no more where no copies of keys may be kept.
// tidy: no permit, because the operator's configuration decides, at start.
pub(crate) async fn forget(tx: &mut Tx) -> Result<()> {
    rows!(tx, sqlx::query("DELETE FROM import_batches"))?;
    rows!(tx, sqlx::query("DELETE FROM imports")).map(drop)
}

/// Forgets imports that cannot be repeated any more. One that still goes on is not told of its progress.
// tidy: no permit, because the program tidies up after itself.
pub(crate) async fn sweep(tx: &mut Tx) -> Result<u64> {
    let over = tx.now().before(KEPT + Duration::from_secs(3600));
    rows!(
        tx,
        sqlx::query(
            "DELETE FROM import_batches WHERE digest IN (SELECT digest FROM imports WHERE started_at <= $1)"
        )
        .bind(over)
    )?;
    rows!(tx, sqlx::query("DELETE FROM imports WHERE started_at <= $1").bind(over))
}

/// A point inside of the transaction to which what follows can be undone: PostgreSQL goes on with nothing
/// else after an error.
// tidy: no permit, because it changes nothing.
pub(crate) async fn savepoint(tx: &mut Tx) -> Result<()> {
    rows!(tx, sqlx::query("SAVEPOINT part")).map(drop)
}

/// What followed the savepoint stays.
// tidy: no permit, because it changes nothing.
pub(crate) async fn release(tx: &mut Tx) -> Result<()> {
    rows!(tx, sqlx::query("RELEASE SAVEPOINT part")).map(drop)
}

/// Undoes what followed the savepoint.
// tidy: no permit, because it changes nothing.
pub(crate) async fn undo(tx: &mut Tx) -> Result<()> {
    rows!(tx, sqlx::query("ROLLBACK TO SAVEPOINT part"))?;
    release(tx).await
}

/// Those of the named profiles that are the group's.
pub(crate) async fn profiles(
    conn: &mut Conn,
    group: &Permit<Edit, GroupId>,
    wanted: &[ProfileRef],
) -> Result<HashMap<ProfileRef, ProfileId>> {
    let mut sql = Sql::new("SELECT id, name FROM profiles WHERE group_id = ");
    sql.bind(Arg::Id(group.target().uuid())).push(" AND (id IN (");
    sql.bind_all(wanted.iter().filter_map(|wanted| match wanted {
        ProfileRef::Id(id) => Some(Arg::Id(id.uuid())),
        ProfileRef::Name(_) => None,
    }));
    sql.push(") OR name IN (");
    sql.bind_all(wanted.iter().filter_map(|wanted| match wanted {
        ProfileRef::Name(name) => Some(Arg::Text(name.as_str().to_owned())),
        ProfileRef::Id(_) => None,
    }));
    sql.push("))");
    let found: Vec<(ProfileId, String)> = sql.fetch_all(conn).await?;
    let mut profiles = HashMap::new();
    for wanted in wanted {
        let is_it = |(id, name): &&(ProfileId, String)| match wanted {
            ProfileRef::Id(wanted) => wanted == id,
            ProfileRef::Name(wanted) => wanted.as_str() == name,
        };
        if let Some((id, _)) = found.iter().find(is_it) {
            profiles.insert(wanted.clone(), *id);
        }
    }
    Ok(profiles)
}

/// The group's things that have one of these values in the field that rows are matched by.
pub(crate) async fn matching(
    conn: &mut Conn,
    group: &Permit<Edit, GroupId>,
    by: MatchBy,
    values: impl Iterator<Item = Arg>,
) -> Result<Vec<ThingId>> {
    let mut sql = Sql::new("SELECT id FROM things WHERE group_id = ");
    sql.bind(Arg::Id(group.target().uuid())).push(match by {
        MatchBy::Id => " AND id IN (",
        MatchBy::ExternalKey => " AND external_key IN (",
        MatchBy::Name => " AND name IN (",
    });
    sql.bind_all(values).push(")");
    Ok(sql.fetch_all::<(ThingId,)>(conn).await?.into_iter().map(|(id,)| id).collect())
}

/// What a row claims for a thing.
pub(crate) struct Claim<'r> {
    /// The thing, if it exists: what is its own is free to it.
    pub(crate) owner: Option<ThingId>,
    pub(crate) id: Option<ThingId>,
    pub(crate) name: Option<&'r str>,
    pub(crate) key: Option<&'r Verifier>,
    pub(crate) external: Option<&'r Verifier>,
}

/// What a claim fails by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clash {
    Id,
    Name,
    /// By a credential of a thing of this group.
    Key(GroupId),
    External(GroupId),
}

impl Clash {
    /// Whose credential it is that clashes.
    pub(crate) fn group(self) -> Option<GroupId> {
        match self {
            Self::Id | Self::Name => None,
            Self::Key(group) | Self::External(group) => Some(group),
        }
    }
}

/// What each of the claims fails by, if anything.
pub(crate) async fn clashes(
    conn: &mut Conn,
    group: GroupId,
    claims: &[Claim<'_>],
) -> Result<Vec<Option<Clash>>> {
    let mut sql = Sql::new("SELECT name, id FROM things WHERE group_id = ");
    sql.bind(Arg::Id(group.uuid())).push(" AND name IN (");
    sql.bind_all(claims.iter().filter_map(|claim| Some(Arg::Text(claim.name?.to_owned())))).push(")");
    let names: Vec<(String, ThingId)> = sql.fetch_all(conn).await?;
    let names: HashMap<String, ThingId> = names.into_iter().collect();
    let mut sql = Sql::new("SELECT id FROM things WHERE id IN (");
    sql.bind_all(claims.iter().filter_map(|claim| Some(Arg::Id(claim.id?.uuid())))).push(")");
    let ids: Vec<(ThingId,)> = sql.fetch_all(conn).await?;
    let mut sql = Sql::new(
        "SELECT c.verifier, c.thing_id, t.group_id FROM credential_index c JOIN things t ON t.id = c.thing_id WHERE c.verifier IN (",
    );
    let verifiers = claims.iter().flat_map(|claim| [claim.key, claim.external]).flatten();
    sql.bind_all(verifiers.map(|verifier| Arg::Text(verifier.as_str().to_owned()))).push(")");
    let held: Vec<(String, ThingId, GroupId)> = sql.fetch_all(conn).await?;
    let held: HashMap<String, (ThingId, GroupId)> =
        held.into_iter().map(|(verifier, thing, group)| (verifier, (thing, group))).collect();
    let taken = |claim: &Claim<'_>, verifier: Option<&Verifier>| {
        let (thing, place) = held.get(verifier?.as_str())?;
        (claim.owner != Some(*thing)).then_some(*place)
    };
    Ok(claims
        .iter()
        .map(|claim| {
            let named = claim.name.and_then(|name| names.get(name));
            if claim.id.is_some_and(|id| claim.owner != Some(id) && ids.contains(&(id,))) {
                Some(Clash::Id)
            } else if named.is_some_and(|thing| claim.owner != Some(*thing)) {
                Some(Clash::Name)
            } else if let Some(group) = taken(claim, claim.key) {
                Some(Clash::Key(group))
            } else {
                taken(claim, claim.external).map(Clash::External)
            }
        })
        .collect())
}

#[derive(sqlx::FromRow)]
struct Row {
    id: ThingId,
    name: String,
    #[sqlx(rename = "type")]
    kind: String,
    profile: String,
    external_key: Option<String>,
    metadata: Option<sqlx::types::Json<JsonObject>>,
    disabled_since: Option<Timestamp>,
}

/// The group's things behind `after`, by ascending id: at most `most`, and fewer if they are large.
pub(crate) async fn page(
    conn: &mut Conn,
    group: &Permit<View, GroupId>,
    after: Option<ThingId>,
    most: usize,
) -> Result<Vec<Exported>> {
    let mut sql = Sql::new(
        "SELECT t.id, t.name, t.type, p.name AS profile, t.external_key, t.metadata, d.since AS disabled_since \
         FROM things t JOIN profiles p ON p.id = t.profile_id LEFT JOIN disabled_things d ON d.thing_id = t.id \
         WHERE t.group_id = ",
    );
    sql.bind(Arg::Id(group.target().uuid()));
    if let Some(after) = after {
        sql.push(" AND t.id > ").bind(Arg::Id(after.uuid()));
    }
    sql.push(" ORDER BY t.id LIMIT ").bind(Arg::Int(i64::try_from(most).unwrap_or(i64::MAX)));
    let (mut bytes, mut first) = (0, true);
    let wanted = |row: &Row| {
        bytes += super::page::content(row.metadata.as_ref());
        // One always fits.
        std::mem::take(&mut first) || bytes <= MAX_PAGE_BYTES
    };
    let (found, _) = sql.fetch_while(conn, wanted).await?;
    Ok(found
        .into_iter()
        .map(|row| Exported {
            id: row.id,
            name: row.name,
            kind: row.kind.parse::<ThingType>().unwrap_or_default(),
            profile: row.profile,
            external_key: row.external_key,
            metadata: row.metadata.map(|json| json.0).unwrap_or_default(),
            status: match row.disabled_since {
                None => ThingStatus::Enabled,
                Some(_) => ThingStatus::Disabled,
            },
        })
        .collect())
}

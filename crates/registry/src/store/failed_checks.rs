//! Checks that failed: their rows, of which the newest are kept.

use serde_json::json;

use super::{
    Conn, Engine, Tx,
    conflict::translate,
    page::{self, Keyed, Listing, Reading},
    rows,
    sql::{Arg, Sql},
};
use crate::{
    access::Administered,
    clock::Timestamp,
    credentials::{Count, FailedCheck, FailedCheckFilter, FailedCheckOrder, Failure, kept},
    error::{Error, Result},
    ids::ThingId,
    page::{Page, PageQuery},
    secret::Keyring,
};

/// Writes failures down, in order, in one statement; those of things that are gone are left out.
// tidy: no permit, because it is written of who had none.
pub(crate) async fn insert(tx: &mut Tx, failures: &[(Failure, Count)]) -> Result<()> {
    let things: Vec<_> =
        failures.iter().map(|(failure, _)| failure.refusal.thing.map(|id| id.uuid())).collect();
    let source = |failure: &Failure| failure.asker.source.map(|source| source.to_string());
    match tx.engine() {
        Engine::Postgres(conn) => {
            // One process at a time, so that none waits for rows that another is about to trim.
            sqlx::query("LOCK TABLE failed_checks IN SHARE ROW EXCLUSIVE MODE")
                .execute(&mut *conn)
                .await
                .map_err(translate)?;
            // Who deletes a thing holds it and waits for this table: a thing that is held is as good as gone.
            sqlx::query(
                "WITH here AS (SELECT id FROM things WHERE id = ANY($6::uuid[]) FOR KEY SHARE SKIP LOCKED) \
                 INSERT INTO failed_checks (at, reason, since, kind, front, source, thing_id, times) \
                 SELECT f.at, f.reason, f.since, f.kind, f.front, f.source, f.thing_id, f.times \
                 FROM unnest($1::timestamptz[], $2::text[], $3::timestamptz[], $4::text[], $5::text[], $7::text[], $6::uuid[], $8::bigint[]) \
                 WITH ORDINALITY AS f(at, reason, since, kind, front, source, thing_id, times, place) \
                 WHERE f.thing_id IS NULL OR f.thing_id IN (SELECT id FROM here) ORDER BY f.place")
                .bind(failures.iter().map(|(_, count)| count.at).collect::<Vec<_>>())
                .bind(failures.iter().map(|(failure, _)| failure.refusal.reason.as_str()).collect::<Vec<_>>())
                .bind(failures.iter().map(|(failure, _)| failure.refusal.since).collect::<Vec<_>>())
                .bind(failures.iter().map(|(failure, _)| failure.kind.as_str()).collect::<Vec<_>>())
                .bind(failures.iter().map(|(failure, _)| failure.asker.front.as_str()).collect::<Vec<_>>())
                .bind(things)
                .bind(failures.iter().map(|(failure, _)| source(failure)).collect::<Vec<_>>())
                .bind(failures.iter().map(|(_, count)| i64::from(count.times)).collect::<Vec<_>>())
                .execute(conn)
                .await
                .map(drop)
        }
        Engine::Sqlite(conn) => {
            let rows: Vec<_> = failures
                .iter()
                .zip(&things)
                .map(|((failure, count), thing)| {
                    json!([
                        count.at.millis(),
                        failure.refusal.reason.as_str(),
                        failure.refusal.since.map(Timestamp::millis),
                        failure.kind.as_str(),
                        failure.asker.front.as_str(),
                        source(failure),
                        thing.map(|id| id.as_simple().to_string()),
                        count.times,
                    ])
                })
                .collect();
            sqlx::query(
                "INSERT INTO failed_checks (at, reason, since, kind, front, source, thing_id, times) \
                 SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, unhex(value ->> 6), value ->> 7 \
                 FROM jsonb_each($1) WHERE value ->> 6 IS NULL OR EXISTS (SELECT 1 FROM things WHERE id = unhex(value ->> 6)) ORDER BY key")
                .bind(serde_json::to_string(&rows).map_err(Error::internal)?)
                .execute(conn)
                .await
                .map(drop)
        }
    }
    .map_err(translate)
}

/// Removes the oldest: of each thing, of nobody, and of all.
// tidy: no permit, because the program tidies up after itself.
pub(crate) async fn trim(tx: &mut Tx) -> Result<()> {
    rows!(
        tx,
        sqlx::query(
            "DELETE FROM failed_checks WHERE id IN (SELECT r.id FROM ( \
                 SELECT id, thing_id, row_number() OVER (PARTITION BY thing_id ORDER BY id DESC) AS place FROM failed_checks) r \
             WHERE r.place > CASE WHEN r.thing_id IS NULL THEN $1 ELSE $2 END)")
            .bind(kept::OF_NOBODY)
            .bind(kept::OF_A_THING)
    )?;
    rows!(
        tx,
        sqlx::query("DELETE FROM failed_checks WHERE id <= (SELECT id FROM failed_checks ORDER BY id DESC LIMIT 1 OFFSET $1)")
            .bind(kept::IN_ALL)
    )?;
    Ok(())
}

/// A page of those that the caller may read.
pub(crate) async fn list(
    conn: &mut Conn,
    keyring: &Keyring,
    visible: &Administered,
    filter: &FailedCheckFilter,
    query: &PageQuery<FailedCheckOrder>,
) -> Result<Page<FailedCheck>> {
    // Without a thing there is no group and no organisation, and so nobody's scope but everything.
    let mut condition = match planted!("T1: everybody reads all failed checks") {
        true => Sql::new("1 = 1"),
        false => visible.scopes("g.org_id", "t.group_id"),
    };
    if let Some(thing) = filter.thing {
        condition.push(" AND f.thing_id = ").bind(Arg::Id(thing.uuid()));
    }
    if let Some(reason) = filter.reason {
        condition.push(" AND f.reason = ").bind(Arg::Text(reason.as_str().to_owned()));
    }
    if let Some(since) = filter.since {
        condition.push(" AND f.at >= ").bind(Arg::Time(since));
    }
    let listing = Listing {
        select: Sql::new(
            "SELECT f.id, f.at, f.times, f.reason, f.since, f.kind, f.front, f.source, f.thing_id FROM failed_checks f \
             LEFT JOIN things t ON t.id = f.thing_id LEFT JOIN groups g ON g.id = t.group_id",
        ),
        count: Sql::new(
            "SELECT 1 AS one FROM failed_checks f LEFT JOIN things t ON t.id = f.thing_id LEFT JOIN groups g ON g.id = t.group_id",
        ),
        filter: condition,
        key: None,
        id: "f.id",
        reading: Reading::Plain,
    };
    let page: Page<Row> = page::fetch(conn, keyring, listing, query).await?;
    Ok(page.map(|row| FailedCheck {
        id: row.id,
        at: row.at,
        times: row.times,
        reason: row.reason,
        since: row.since,
        kind: row.kind,
        front: row.front,
        source: row.source.and_then(|source| source.parse().ok()),
        thing: row.thing_id,
    }))
}

#[derive(sqlx::FromRow)]
struct Row {
    id: i64,
    at: Timestamp,
    times: i64,
    reason: String,
    since: Option<Timestamp>,
    kind: String,
    front: String,
    source: Option<String>,
    thing_id: Option<ThingId>,
}

impl Keyed<FailedCheckOrder> for Row {
    fn key(&self, _: &FailedCheckOrder) -> Option<Arg> {
        None
    }
    fn id(&self) -> Arg {
        Arg::Int(self.id)
    }
    fn content(&self) -> usize {
        0
    }
}

//! What processes on one PostgreSQL database tell each other about devices' credentials.
//!
//! A revocation is a row with its transaction's id, and what a node has heard of is a snapshot: so that
//! a node's next reading has exactly what its last one could not see, in whatever order transactions
//! commit. `NOTIFY` only makes it soon; nothing depends on its arrival.

use std::time::Duration;

use sqlx::postgres::{PgListener, PgPoolOptions};
use uuid::Uuid;

use super::{Db, Engine, Pools, Tx, conflict::translate};
use crate::{credentials::Mark, error::Result};

const CHANNEL: &str = "things_revocations";
/// How long after its lease a node counts as living. It has stopped to answer from memory long before; the
/// rest is for a database clock that jumps.
const GONE_MS: i64 = 5_000;
/// Revocations are kept this long. A node that has heard nothing for longer starts afresh.
pub(crate) const KEPT: Duration = Duration::from_secs(900);

/// A transaction's id, as PostgreSQL writes it.
pub(crate) struct Xid(String);

/// What a node has heard of: a snapshot, as PostgreSQL writes it, and when that was by the database's clock,
/// which goes on while the machine of a node is suspended.
#[derive(Clone)]
pub(crate) struct Heard {
    snapshot: String,
    at_ms: i64,
}

impl Heard {
    /// Whether revocations may have been removed between `last` and this one.
    pub(crate) fn misses_some_since(&self, last: &Self) -> bool {
        let kept_ms = i64::try_from(KEPT.as_millis()).unwrap_or(i64::MAX);
        !(0..kept_ms / 2).contains(&(self.at_ms - last.at_ms))
    }
}

/// No object: told by a transaction that changes nothing, to see that others have heard of all before it.
pub(crate) const NOTHING: Mark = Mark::Object(Uuid::nil());

/// All objects: told by a transaction that changes too many to name them.
const EVERYTHING: Uuid = Uuid::max();

/// Writes down what this transaction changes, for the other nodes; tells its id if there was anything.
// tidy: no permit, because it is made from the entries of the journal.
pub(crate) async fn announce(tx: &mut Tx, node: Uuid, marks: &[Mark]) -> Result<Option<Xid>> {
    let object = |mark: &Mark| match *mark {
        Mark::Object(id) => Some(id),
        Mark::Everything => Some(EVERYTHING),
        // Whoever hears of anything takes it that there are new ones.
        Mark::Credentials => None,
    };
    let objects: Vec<Uuid> = marks.iter().filter_map(object).collect();
    let Engine::Postgres(conn) = tx.engine() else { return Ok(None) };
    if objects.is_empty() {
        return Ok(None);
    }
    let xid: String = sqlx::query_scalar(
        "WITH told AS (INSERT INTO revocations (object, node) SELECT unnest($1::uuid[]), $3 RETURNING 1) \
         SELECT pg_current_xact_id()::text FROM (SELECT count(*), pg_notify($2, '') FROM told) AS done",
    )
    .bind(objects)
    .bind(CHANNEL)
    .bind(node)
    .fetch_one(conn)
    .await
    .map_err(translate)?;
    Ok(Some(Xid(xid)))
}

/// Removes what is over: old revocations, and nodes that went without a word.
// tidy: no permit, because the program tidies up after itself.
pub(crate) async fn sweep(tx: &mut Tx) -> Result<u64> {
    let Engine::Postgres(conn) = tx.engine() else { return Ok(0) };
    let kept_ms = i64::try_from(KEPT.as_millis()).unwrap_or(i64::MAX);
    let mut removed = 0;
    for sql in [
        "DELETE FROM revocations WHERE at < clock_timestamp() - $1 * interval '1 ms'",
        "DELETE FROM nodes WHERE lease_until < clock_timestamp() - $1 * interval '1 ms'",
    ] {
        let done = sqlx::query(sql).bind(kept_ms).execute(&mut *conn).await.map_err(translate)?;
        removed += done.rows_affected();
    }
    Ok(removed)
}

impl Db {
    /// Whether other nodes than this one have yet to hear of a transaction; if so, how long the most
    /// patient of them goes on without news.
    pub(crate) async fn unheard(&self, node: Uuid, xid: &Xid) -> Result<Option<Duration>> {
        let Pools::Postgres(pool) = &self.pools else { return Ok(None) };
        let longest: Option<i64> = sqlx::query_scalar(
            "SELECT max(keeps_ms) FROM nodes WHERE id <> $1 AND lease_until > clock_timestamp() - $2 * interval '1 ms' \
             AND NOT pg_visible_in_snapshot($3::text::xid8, seen)",
        )
        .bind(node)
        .bind(GONE_MS)
        .bind(&xid.0)
        .fetch_one(pool)
        .await
        .map_err(translate)?;
        Ok(longest.map(|millis| Duration::from_millis(millis.unsigned_abs())))
    }

    /// A connection that hears of revocations; on SQLite there are none to hear of.
    pub(crate) async fn feed(&self, node: Uuid, keeps: Duration) -> Result<Option<Feed>> {
        let Pools::Postgres(pool) = &self.pools else { return Ok(None) };
        // A connection of its own: requests that take all of the pool's must not keep it from the news.
        let own = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(Duration::from_secs(1))
            .connect_lazy_with(pool.connect_options().as_ref().clone());
        let mut listener = PgListener::connect_with(&own).await.map_err(translate)?;
        listener.eager_reconnect(false);
        listener.listen(CHANNEL).await.map_err(translate)?;
        let keeps_ms = i64::try_from(keeps.as_millis()).unwrap_or(i64::MAX);
        Ok(Some(Feed { listener, node, keeps_ms }))
    }

    /// Whether there can be other nodes.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self.pools, Pools::Postgres(_))
    }
}

/// A node's connection to the others.
pub(crate) struct Feed {
    listener: PgListener,
    node: Uuid,
    keeps_ms: i64,
}

impl Feed {
    /// Waits until there may be news.
    pub(crate) async fn wait(&mut self, at_most: Duration) -> Result<()> {
        match tokio::time::timeout(at_most, self.listener.try_recv()).await {
            Ok(received) => {
                received.map_err(translate)?;
                // One reading has all of them.
                while self.listener.next_buffered().is_some() {}
                Ok(())
            }
            Err(_) => Ok(()),
        }
    }

    /// What others have changed since `last`, and `own` changes too if so wanted, and what has been heard of now.
    pub(crate) async fn read(&mut self, last: Option<&Heard>, own: bool) -> Result<(Vec<Mark>, Heard)> {
        let (snapshot, at_ms, objects): (String, i64, Vec<Uuid>) = sqlx::query_as(
            "SELECT pg_current_snapshot()::text, (extract(epoch FROM clock_timestamp()) * 1000)::bigint, \
             ARRAY(SELECT object FROM revocations WHERE xid >= pg_snapshot_xmin($1::text::pg_snapshot) \
             AND NOT pg_visible_in_snapshot(xid, $1::text::pg_snapshot) AND (node <> $2 OR $3))",
        )
        .bind(last.map(|heard| heard.snapshot.as_str()))
        .bind(self.node)
        .bind(own)
        .fetch_one(&mut self.listener)
        .await
        .map_err(translate)?;
        let mark = |object| if object == EVERYTHING { Mark::Everything } else { Mark::Object(object) };
        Ok((objects.into_iter().map(mark).collect(), Heard { snapshot, at_ms }))
    }

    /// Tells the others that this node lives, and what it has heard of.
    // tidy: no permit, because the row is the process's own.
    pub(crate) async fn tell(&mut self, heard: Option<&Heard>) -> Result<()> {
        sqlx::query(
            "INSERT INTO nodes (id, seen, keeps_ms, lease_until) \
             VALUES ($1, COALESCE($2::text::pg_snapshot, pg_current_snapshot()), $3, clock_timestamp() + $3 * interval '1 ms') \
             ON CONFLICT (id) DO UPDATE SET seen = COALESCE($2::text::pg_snapshot, nodes.seen), keeps_ms = EXCLUDED.keeps_ms, \
             lease_until = EXCLUDED.lease_until",
        )
        .bind(self.node)
        .bind(heard.map(|heard| heard.snapshot.as_str()))
        .bind(self.keeps_ms)
        .execute(&mut self.listener)
        .await
        .map_err(translate)?;
        Ok(())
    }

    /// Says goodbye, so that nobody waits for this node.
    // tidy: no permit, because the row is the process's own.
    pub(crate) async fn leave(&mut self) -> Result<()> {
        sqlx::query("DELETE FROM nodes WHERE id = $1")
            .bind(self.node)
            .execute(&mut self.listener)
            .await
            .map_err(translate)?;
        Ok(())
    }
}

//! The adoption of a Mainflux database: how far it has come, and who may open the database meanwhile.
//!
//! Only PostgreSQL: Mainflux knows no other engine.

pub(crate) mod keys;
pub(crate) mod look;
pub(crate) mod mend;
pub(crate) mod people;
pub(crate) mod shape;

use sqlx::PgConnection;
use uuid::Uuid;

use super::{Conn, Db, Engine, Pools, Tx, conflict::translate};
use crate::{clock::Timestamp, error::Error, error::Result};

/// The row of an adoption.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct State {
    pub(crate) source: String,
    pub(crate) indexed_at: Option<Timestamp>,
    pub(crate) finished_at: Option<Timestamp>,
}

/// The PostgreSQL connection in it.
pub(crate) fn postgres(conn: &mut Conn) -> Result<&mut PgConnection> {
    match conn.engine() {
        Engine::Postgres(conn) => Ok(conn),
        Engine::Sqlite(_) => {
            Err(Error::invalid("database_url", "must begin with `postgres://`: Mainflux knows no other"))
        }
    }
}

async fn exists(conn: &mut PgConnection, relation: &str) -> Result<bool> {
    sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
        .bind(relation)
        .fetch_one(conn)
        .await
        .map_err(translate)
}

/// How far it has come; `None` where none was begun.
pub(crate) async fn state(conn: &mut Conn) -> Result<Option<State>> {
    let conn = postgres(conn)?;
    if !exists(conn, "adoption").await? {
        return Ok(None);
    }
    sqlx::query_as("SELECT source, indexed_at, finished_at FROM adoption")
        .fetch_optional(conn)
        .await
        .map_err(translate)
}

/// Whether one goes on: then some keys are still in clear in the column of Mainflux's.
pub(crate) async fn goes_on(conn: &mut Conn) -> Result<bool> {
    if let Engine::Sqlite(_) = conn.engine() {
        return Ok(false);
    }
    Ok(state(conn).await?.is_some_and(|state| state.finished_at.is_none()))
}

/// Whether our migrations were applied here, which sqlx keeps a table of.
pub(crate) async fn is_ours(conn: &mut Conn) -> Result<bool> {
    exists(postgres(conn)?, "_sqlx_migrations").await
}

/// Refuses a database of Mainflux's, and one whose credentials are not all indexed yet: its devices would be
/// turned away.
pub(crate) async fn refuse_unadopted(conn: &mut Conn) -> Result<()> {
    if !conn.is_postgres() {
        return Ok(());
    }
    match state(conn).await? {
        Some(State { indexed_at: None, .. }) => {
            return Err(Error::internal(
                "the adoption of this Mainflux database is not done: its devices' keys are not all indexed; \
                 run `things adopt` again, it goes on where it was",
            ));
        }
        Some(_) => return Ok(()),
        None => {}
    }
    if is_ours(conn).await? {
        return Ok(());
    }
    let conn = postgres(conn)?;
    if exists(conn, "gorp_migrations").await? || exists(conn, "things").await? {
        return Err(Error::internal(
            "this is a database of Mainflux: `things adopt` makes it one of ours, with every key as it is; \
             or name an empty database",
        ));
    }
    Ok(())
}

/// Begins a phase anew from its first thing, or notes what it has come to.
// tidy: no permit, because whoever runs the program owns the database.
pub(crate) async fn advance(tx: &mut Tx, position: Option<Uuid>) -> Result<()> {
    sqlx::query("UPDATE adoption SET position = $1")
        .bind(position)
        .execute(postgres(tx)?)
        .await
        .map(drop)
        .map_err(translate)
}

/// Where the present phase is.
pub(crate) async fn position(conn: &mut Conn) -> Result<Option<Uuid>> {
    sqlx::query_scalar("SELECT position FROM adoption").fetch_one(postgres(conn)?).await.map_err(translate)
}

/// Every credential is indexed.
// tidy: no permit, because whoever runs the program owns the database.
pub(crate) async fn note_indexed(tx: &mut Tx) -> Result<()> {
    let now = tx.now();
    sqlx::query("UPDATE adoption SET indexed_at = COALESCE(indexed_at, $1), position = NULL")
        .bind(now)
        .execute(postgres(tx)?)
        .await
        .map(drop)
        .map_err(translate)
}

/// No key is in the clear any more.
// tidy: no permit, because whoever runs the program owns the database.
pub(crate) async fn note_finished(tx: &mut Tx) -> Result<()> {
    let now = tx.now();
    sqlx::query("UPDATE adoption SET finished_at = COALESCE(finished_at, $1), position = NULL")
        .bind(now)
        .execute(postgres(tx)?)
        .await
        .map(drop)
        .map_err(translate)
}

/// What nobody else may do meanwhile; let go of with the connection.
pub(crate) struct Alone(
    #[expect(dead_code, reason = "held, not used")] sqlx::pool::PoolConnection<sqlx::Postgres>,
);

impl Db {
    /// Keeps other adoptions of this database away; `None` if one is running.
    pub(crate) async fn adopt_alone(&self) -> Result<Option<Alone>> {
        // Any number, as long as it is always the same.
        const LOCK: i64 = 0x0074_6869_6e67_7301;
        let Pools::Postgres(pool) = &self.pools else {
            return Err(Error::invalid(
                "database_url",
                "must begin with `postgres://`: Mainflux knows no other",
            ));
        };
        let mut conn = pool.acquire().await.map_err(translate)?;
        let taken: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
            .bind(LOCK)
            .fetch_one(&mut *conn)
            .await
            .map_err(translate)?;
        Ok(taken.then_some(Alone(conn)))
    }

    /// Notes of the first `to` migrations that what they do is done.
    // tidy: no permit, because it runs before there is anybody to ask.
    pub(super) async fn skip_migrations(conn: &mut PgConnection, to: i64) -> Result<()> {
        use sqlx::migrate::Migrate;
        let migrator = sqlx::migrate!("migrations/postgres");
        let table = "_sqlx_migrations";
        conn.ensure_migrations_table(table).await.map_err(Error::internal)?;
        for migration in migrator.iter().filter(|migration| migration.version <= to) {
            conn.skip(table, migration).await.map_err(Error::internal)?;
        }
        Ok(())
    }

    /// The text of a migration, by what its file is called.
    pub(super) fn migration(description: &str) -> Result<sqlx::SqlStr> {
        let migrator = sqlx::migrate!("migrations/postgres");
        let found = migrator.iter().find(|migration| migration.description == description);
        found
            .map(|migration| migration.sql.clone())
            .ok_or_else(|| Error::internal(format!("there is no migration `{description}`")))
    }

    /// The names of the tables and views that our migrations make.
    pub(super) fn tables() -> Vec<String> {
        let migrator = sqlx::migrate!("migrations/postgres");
        let mut names = Vec::new();
        for migration in migrator.iter() {
            for line in migration.sql.as_str().lines() {
                let made = line.strip_prefix("CREATE TABLE ").or_else(|| line.strip_prefix("CREATE VIEW "));
                let Some(rest) = made else { continue };
                let rest = rest.strip_prefix("IF NOT EXISTS ").unwrap_or(rest);
                names.extend(rest.split([' ', '(']).next().map(str::to_owned));
            }
        }
        names
    }
}

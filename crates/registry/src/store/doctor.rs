//! What the examination reads.

use uuid::Uuid;

use super::{Conn, Engine, conflict::translate, on, sql::Sql};
use crate::{doctor::Rule, error::Result};

pub(crate) async fn server_version(conn: &mut Conn) -> Result<String> {
    match conn.engine() {
        Engine::Sqlite(conn) => {
            sqlx::query_scalar("SELECT 'SQLite ' || sqlite_version()").fetch_one(conn).await
        }
        Engine::Postgres(conn) => {
            sqlx::query_scalar("SELECT 'PostgreSQL ' || current_setting('server_version')")
                .fetch_one(conn)
                .await
        }
    }
    .map_err(translate)
}

/// Whether the schema was ever made; sqlx keeps a table of that.
pub(crate) async fn has_schema(conn: &mut Conn) -> Result<bool> {
    let noted: bool = match conn.engine() {
        Engine::Sqlite(conn) => sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '_sqlx_migrations')",
        )
        .fetch_one(conn)
        .await,
        Engine::Postgres(conn) => {
            sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL").fetch_one(conn).await
        }
    }
    .map_err(translate)?;
    Ok(noted && newest_migration(conn).await? > 0)
}

/// The newest migration that was applied, in a database that has a schema.
pub(crate) async fn newest_migration(conn: &mut Conn) -> Result<i64> {
    let newest: Option<i64> = on!(conn, conn => sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations WHERE success").fetch_one(conn))?;
    Ok(newest.unwrap_or(0))
}

pub(crate) async fn has_name_trigrams(conn: &mut Conn) -> Result<bool> {
    match conn.engine() {
        Engine::Sqlite(_) => Ok(true),
        Engine::Postgres(conn) => {
            sqlx::query_scalar("SELECT to_regclass('things_name_trigrams') IS NOT NULL")
                .fetch_one(conn)
                .await
                .map_err(translate)
        }
    }
}

/// How many rows break a rule, and the first of them.
pub(crate) async fn offenders(conn: &mut Conn, rule: &Rule) -> Result<(i64, Option<Uuid>)> {
    let mut sql = Sql::new("WITH offenders AS (");
    sql.push(rule.sql).push(") SELECT (SELECT count(*) FROM offenders), (SELECT * FROM offenders LIMIT 1)");
    Ok(sql.fetch_one(conn).await?.unwrap_or((0, None)))
}

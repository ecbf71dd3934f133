//! The limit for bulk creation: the very rows that the API wrote, loaded into a second database with
//! the same tables, indexes and triggers by the fastest way its engine has, in one transaction.
//! Nothing is parsed, checked, encrypted or sent: the engine reads them from a file of its own.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use sqlx::{
    AssertSqlSafe, Connection, PgConnection, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use crate::{Result, server::Home};

/// How long loading took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// All rows in all the tables that creating things writes.
    pub(crate) all: Duration,
    /// Those of `things` alone, committed.
    pub(crate) things: Duration,
}

/// A table, the columns that are loaded (the others number themselves), and which rows in what order:
/// that in which the API wrote them.
struct Table {
    name: &'static str,
    columns: &'static str,
    sqlite: &'static str,
}

const THINGS: &str = "id, group_id, profile_id, name, type, metadata, key, external_key";
const JOURNAL: &str = "at, org_id, group_id, actor_kind, actor_id, via, action, subject_kind, subject_id, \
                       subject_name, changes, request_id";

const TABLES: [Table; 4] = [
    Table { name: "things", columns: THINGS, sqlite: "ORDER BY seq" },
    Table {
        name: "credential_index",
        columns: "verifier, thing_id, kind, not_after",
        sqlite: "ORDER BY (SELECT seq FROM written.things WHERE id = thing_id)",
    },
    Table { name: "thing_key_material", columns: "thing_id, sealed", sqlite: "ORDER BY rowid" },
    Table { name: "journal", columns: JOURNAL, sqlite: "ORDER BY id" },
];

/// What those rows refer to.
const PARENTS: [&str; 2] = ["groups", "profiles"];

/// Loads what is in `from` into `into`, which has the schema and nothing else. Neither is in use.
pub(crate) async fn load(from: &Home, into: &Home) -> Result<Load> {
    match (from.url(), into.url()) {
        (Some(from), Some(into)) => copy(from, into).await,
        _ => insert(&from.file(), &into.file()).await,
    }
}

/// PostgreSQL: `COPY … FROM` a file on the server, in the binary format.
async fn copy(from: &str, into: &str) -> Result<Load> {
    let mut source = PgConnection::connect(from).await?;
    let mut target = PgConnection::connect(into).await?;
    let directory: String =
        sqlx::query_scalar("SELECT current_setting('data_directory')").fetch_one(&mut source).await?;
    let file = |table: &str| format!("'{directory}/things_bench_{table}' WITH (FORMAT binary)");
    for table in PARENTS {
        run(&mut source, format!("COPY {table} TO {}", file(table))).await?;
        run(&mut target, format!("COPY {table} FROM {}", file(table))).await?;
    }
    for Table { name, columns, .. } in &TABLES {
        // In the order of the heap, which is that of insertion.
        let rows = match *name {
            "journal" => "WHERE action = 'thing.created' ORDER BY id",
            _ => "",
        };
        run(&mut source, format!("COPY (SELECT {columns} FROM {name} {rows}) TO {}", file(name))).await?;
    }
    run(&mut target, "CHECKPOINT".to_owned()).await?;

    let begun = Instant::now();
    run(&mut target, "BEGIN".to_owned()).await?;
    let mut things = Duration::ZERO;
    for Table { name, columns, .. } in &TABLES {
        run(&mut target, format!("COPY {name} ({columns}) FROM {}", file(name))).await?;
        if *name == "things" {
            things = begun.elapsed();
        }
    }
    let committing = Instant::now();
    run(&mut target, "COMMIT".to_owned()).await?;
    let load = Load { all: begun.elapsed(), things: things + committing.elapsed() };
    source.close().await?;
    target.close().await?;
    Ok(load)
}

async fn run(conn: &mut PgConnection, sql: String) -> Result<()> {
    #[expect(clippy::disallowed_methods, reason = "COPY binds nothing; all of it is made here")]
    let sql = AssertSqlSafe(sql);
    sqlx::raw_sql(sql).execute(conn).await?;
    Ok(())
}

/// SQLite: one prepared `INSERT … SELECT` for each table, out of a plain copy of the rows in a database
/// beside it. Rows bound one by one would take several times as long, because the full-text indexes
/// flush with every statement.
async fn insert(from: &Path, into: &Path) -> Result<Load> {
    let rows = tempfile::NamedTempFile::new()?;
    // As the program opens its own.
    let options = SqliteConnectOptions::new()
        .filename(into)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .pragma("cache_size", "-16000")
        .pragma("temp_store", "MEMORY")
        .pragma("wal_autocheckpoint", "8000");
    let mut conn = SqliteConnection::connect_with(&options).await?;
    sqlx::query("ATTACH $1 AS written").bind(path(from)?).execute(&mut conn).await?;
    sqlx::query("ATTACH $1 AS plain").bind(path(rows.path())?).execute(&mut conn).await?;
    for table in PARENTS {
        statement(&mut conn, format!("INSERT INTO {table} SELECT * FROM written.{table}")).await?;
    }
    for Table { name, columns, sqlite } in &TABLES {
        let which = if *name == "journal" { "WHERE action = 'thing.created'" } else { "" };
        let select = format!("SELECT {columns} FROM written.{name} {which} {sqlite}");
        statement(&mut conn, format!("CREATE TABLE plain.{name} AS {select}")).await?;
    }

    let begun = Instant::now();
    statement(&mut conn, "BEGIN IMMEDIATE".to_owned()).await?;
    let mut things = Duration::ZERO;
    for Table { name, columns, .. } in &TABLES {
        let select = format!("SELECT {columns} FROM plain.{name} ORDER BY rowid");
        statement(&mut conn, format!("INSERT INTO main.{name} ({columns}) {select}")).await?;
        if *name == "things" {
            things = begun.elapsed();
        }
    }
    let committing = Instant::now();
    statement(&mut conn, "COMMIT".to_owned()).await?;
    let load = Load { all: begun.elapsed(), things: things + committing.elapsed() };
    conn.close().await?;
    Ok(load)
}

async fn statement(conn: &mut SqliteConnection, sql: String) -> Result<()> {
    #[expect(clippy::disallowed_methods, reason = "names of tables cannot be bound; all of it is made here")]
    let sql = AssertSqlSafe(sql);
    sqlx::query(sql).execute(conn).await?;
    Ok(())
}

fn path(path: &Path) -> Result<String> {
    Ok(path.to_str().ok_or("the temporary directory's name is not UTF-8")?.to_owned())
}

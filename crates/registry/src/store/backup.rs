//! Whole tables, read in one snapshot and written in one transaction: what backups, restores and moves do
//! to rows, whatever they are rows of.

mod arrival;

use std::str::FromStr;

use sqlx::{
    Connection, PgConnection, Row as _,
    postgres::{PgConnectOptions, PgRow},
    sqlite::SqliteRow,
    types::Json,
};
use uuid::Uuid;

use super::{
    Conn, Db, Engine, Link, Pools, Tx,
    conflict::{self, Violation, translate},
    on, rows,
    sql::{Absent, Arg, Shape, Sql, Taker},
    sqlite_path,
};
pub(crate) use arrival::{Restorer, park_journal, unpark_journal};

use crate::{
    backup::tables::{Cell, Kept, Kind, Table},
    clock::Timestamp,
    error::{Error, Result},
    ids::UserId,
    json::JsonObject,
};

impl Db {
    /// A connection that sees the database as it is at its first look, whatever is changed meanwhile.
    pub(crate) async fn snapshot(&self) -> Result<Conn> {
        let link = match &self.pools {
            Pools::Sqlite { readers, .. } => Link::SqliteTx(readers.begin().await.map_err(translate)?),
            Pools::Postgres(pool) => Link::PostgresTx(
                pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                    .await
                    .map_err(translate)?,
            ),
        };
        let mut conn = Conn(link);
        take_time(&mut conn).await?;
        Ok(conn)
    }
}

/// Lets a transaction wait for whoever reads or sends the rows: they have limits of their own.
pub(crate) async fn take_time(conn: &mut Conn) -> Result<()> {
    match conn.engine() {
        Engine::Sqlite(_) => Ok(()),
        Engine::Postgres(conn) => sqlx::query("SET LOCAL idle_in_transaction_session_timeout = 0")
            .execute(conn)
            .await
            .map(drop)
            .map_err(translate),
    }
}

/// Which rows are meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scope {
    /// What is true of the installation wherever it is.
    Backup,
    /// Everything, what is true of it at this moment only, too.
    Everything,
}

impl Scope {
    pub(crate) fn has(self, table: &Table) -> bool {
        self == Self::Everything || table.kept != Kept::Moved
    }
}

fn of_scope(sql: &mut Sql, table: &Table, scope: Scope) {
    if let (Scope::Backup, Kept::Where(condition)) = (scope, table.kept) {
        sql.push(" WHERE ").push(condition);
    }
}

/// How many rows there are.
pub(crate) async fn count(conn: &mut Conn, table: &'static Table, scope: Scope) -> Result<u64> {
    let mut sql = Sql::new("SELECT count(*) FROM ");
    sql.push(table.name);
    of_scope(&mut sql, table, scope);
    let count: Option<(i64,)> = sql.fetch_one(conn).await?;
    Ok(count.map_or(0, |(count,)| count.unsigned_abs()))
}

/// Hands on all rows, in the order of their key.
pub(crate) async fn read(
    conn: &mut Conn,
    table: &'static Table,
    scope: Scope,
    taker: &mut impl Taker<Vec<Cell>>,
) -> Result<()> {
    let mut sql = Sql::new("SELECT ");
    names(&mut sql, table.columns.iter().map(|column| column.name));
    sql.push(" FROM ").push(table.name);
    of_scope(&mut sql, table, scope);
    sql.push(" ORDER BY ");
    names(&mut sql, table.key.iter().copied());
    sql.for_each(conn, &Columns(table), taker).await
}

fn names(sql: &mut Sql, all: impl Iterator<Item = &'static str>) {
    for (at, name) in all.enumerate() {
        // `type` and `key` are words of SQL on some engines.
        sql.push(if at == 0 { "\"" } else { ", \"" }).push(name).push("\"");
    }
}

struct Columns(&'static Table);

macro_rules! cells {
    ($table:expr, $row:ident) => {{
        let mut cells = Vec::with_capacity($table.columns.len());
        for (at, column) in $table.columns.iter().enumerate() {
            let cell = match column.kind {
                Kind::Id => $row.try_get::<Option<Uuid>, _>(at)?.map(Cell::Id),
                Kind::Int => $row.try_get::<Option<i64>, _>(at)?.map(Cell::Int),
                Kind::Bool => $row.try_get::<Option<bool>, _>(at)?.map(Cell::Bool),
                Kind::Text => $row.try_get::<Option<String>, _>(at)?.map(Cell::Text),
                Kind::Time => $row.try_get::<Option<Timestamp>, _>(at)?.map(Cell::Time),
                Kind::Json | Kind::Changes => {
                    $row.try_get::<Option<Json<JsonObject>>, _>(at)?.map(|json| Cell::Json(json.0))
                }
                Kind::Bytes => $row.try_get::<Option<Vec<u8>>, _>(at)?.map(Cell::Bytes),
            };
            cells.push(cell.unwrap_or(Cell::Null));
        }
        Ok(cells)
    }};
}

impl Shape for Columns {
    type Row = Vec<Cell>;
    fn of_sqlite(&self, row: &SqliteRow) -> sqlx::Result<Vec<Cell>> {
        cells!(self.0, row)
    }
    fn of_postgres(&self, row: &PgRow) -> sqlx::Result<Vec<Cell>> {
        cells!(self.0, row)
    }
}

fn arg(cell: &Cell, kind: Kind) -> Arg {
    match cell {
        Cell::Id(id) => Arg::Id(*id),
        Cell::Int(number) => Arg::Int(*number),
        Cell::Bool(value) => Arg::Bool(*value),
        Cell::Text(text) => Arg::Text(text.clone()),
        Cell::Time(time) => Arg::Time(*time),
        Cell::Json(object) => Arg::Json(object.to_text()),
        Cell::Bytes(bytes) => Arg::Bytes(bytes.clone()),
        Cell::Null => Arg::Null(match kind {
            Kind::Id => Absent::Id,
            Kind::Int => Absent::Int,
            Kind::Bool => Absent::Bool,
            Kind::Text => Absent::Text,
            Kind::Time => Absent::Time,
            Kind::Json | Kind::Changes => Absent::Json,
            Kind::Bytes => Absent::Bytes,
        }),
    }
}

/// Which row of several could not be stored, and why.
pub(crate) struct Fault {
    pub(crate) at: usize,
    pub(crate) field: String,
    pub(crate) reason: String,
}

/// Stores rows in one statement, or tells the first that cannot be.
// tidy: no permit, because whoever restores has shown one, and whoever moves owns both databases.
pub(crate) async fn insert(
    tx: &mut Tx,
    table: &'static Table,
    all: &[Vec<Cell>],
) -> Result<std::result::Result<(), Fault>> {
    if all.is_empty() {
        return Ok(Ok(()));
    }
    rows!(tx, sqlx::query("SAVEPOINT batch"))?;
    match insert_all(tx, table, all).await {
        Ok(_) => {
            rows!(tx, sqlx::query("RELEASE SAVEPOINT batch"))?;
            return Ok(Ok(()));
        }
        Err(error) => match conflict::violation(error) {
            Violation::Other(error) => return Err(error),
            Violation::Unique(_) | Violation::Foreign => {}
        },
    }
    rows!(tx, sqlx::query("ROLLBACK TO SAVEPOINT batch"))?;
    for (at, row) in all.iter().enumerate() {
        rows!(tx, sqlx::query("SAVEPOINT single"))?;
        let Err(error) = insert_all(tx, table, std::slice::from_ref(row)).await else { continue };
        let violation = conflict::violation(error);
        rows!(tx, sqlx::query("ROLLBACK TO SAVEPOINT single"))?;
        let (field, reason) = match violation {
            Violation::Other(error) => return Err(error),
            Violation::Unique(columns) => {
                // A constraint whose columns are not known is nearly always the primary key.
                let columns = match columns.contains('.') {
                    true => columns.replace(&format!("{}.", table.name), ""),
                    false => table.key.join(", "),
                };
                let field = columns.rsplit(", ").next().unwrap_or_default().to_owned();
                let reason = match columns.contains(", ") {
                    true => format!("is there already: {columns} must differ together"),
                    false => "is there already".to_owned(),
                };
                (field, reason)
            }
            Violation::Foreign => missing(tx, table, row).await?,
        };
        return Ok(Err(Fault { at, field, reason }));
    }
    // Each alone could be stored: what they fell over has gone.
    Err(Error::Collision)
}

async fn insert_all(tx: &mut Tx, table: &'static Table, all: &[Vec<Cell>]) -> sqlx::Result<u64> {
    let mut sql = Sql::new("INSERT INTO ");
    sql.push(table.name).push(" (");
    names(&mut sql, table.columns.iter().map(|column| column.name));
    sql.push(")");
    if table.numbered && tx.is_postgres() {
        sql.push(" OVERRIDING SYSTEM VALUE");
    }
    for (at, row) in all.iter().enumerate() {
        sql.push(if at == 0 { " VALUES (" } else { ", (" });
        sql.bind_all(table.columns.iter().zip(row).map(|(column, cell)| arg(cell, column.kind))).push(")");
    }
    sql.try_execute(tx).await
}

/// Which of the rows that a row refers to is not there.
async fn missing(tx: &mut Tx, table: &'static Table, row: &[Cell]) -> Result<(String, String)> {
    for (column, target) in table.refers {
        let Some(id) = table.cell(row, column).id() else { continue };
        let mut sql = Sql::new("SELECT count(*) FROM ");
        sql.push(target).push(" WHERE id = ").bind(Arg::Id(id));
        let found: Option<(i64,)> = sql.fetch_one(tx).await?;
        if found.is_none_or(|(count,)| count == 0) {
            return Ok(((*column).to_owned(), format!("names a row of {target} that is not there")));
        }
    }
    Ok((String::new(), "refers to a row that is not there".to_owned()))
}

/// Makes the database number on from the rows that were stored with their numbers.
// tidy: no permit, because it is a part of storing them.
pub(crate) async fn number_on(tx: &mut Tx, table: &'static Table) -> Result<()> {
    // SQLite does so by itself.
    if table.numbered && tx.is_postgres() {
        let mut sql = Sql::new("SELECT setval(pg_get_serial_sequence('");
        sql.push(table.name).push("', 'id'), GREATEST((SELECT max(id) FROM ").push(table.name);
        sql.push("), 1))");
        let _: Option<(i64,)> = sql.fetch_one(tx).await?;
    }
    Ok(())
}

/// Whether there is nothing but one person's account.
pub(crate) async fn is_empty_but_for(conn: &mut Conn, person: UserId) -> Result<bool> {
    let others: i64 = on!(conn, conn => sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM users WHERE id <> $1) + (SELECT count(*) FROM orgs) + (SELECT count(*) FROM groups) \
         + (SELECT count(*) FROM profiles) + (SELECT count(*) FROM things)")
        .bind(person).fetch_one(conn))?;
    Ok(others == 0)
}

/// Some rows of a table with a kind of key and what was stored for things.
pub(crate) struct KeyOfThing {
    pub(crate) thing: Uuid,
    pub(crate) key: String,
    pub(crate) external: Option<String>,
}

/// What things are known by, of those that exist.
pub(crate) async fn keys_of(conn: &mut Conn, things: &[Uuid]) -> Result<Vec<KeyOfThing>> {
    let mut sql = Sql::new("SELECT id, key, external_key FROM things WHERE id IN (");
    sql.bind_all(things.iter().map(|id| Arg::Id(*id))).push(")");
    let found: Vec<(Uuid, String, Option<String>)> = sql.fetch_all(conn).await?;
    Ok(found.into_iter().map(|(thing, key, external)| KeyOfThing { thing, key, external }).collect())
}

/// A rule on rows together, and how to find those that break it.
pub(crate) struct Whole {
    pub(crate) table: &'static str,
    /// Columns that an offending row is found by; two ids are selected, the second NULL where one is enough.
    pub(crate) columns: &'static [&'static str],
    pub(crate) field: &'static str,
    sql: &'static str,
    pub(crate) reason: &'static str,
}

/// What is asked once everything is stored, in the order of the tables.
pub(crate) const WHOLE: &[Whole] = &[
    Whole {
        table: "orgs",
        columns: &["id"],
        field: "id",
        sql: "SELECT o.id, NULL FROM orgs o WHERE NOT EXISTS (SELECT 1 FROM org_memberships m WHERE m.org_id = o.id AND m.role = 'owner')",
        reason: "the organisation has no owner",
    },
    Whole {
        table: "groups",
        columns: &["id"],
        field: "org_id",
        sql: "SELECT g.id, NULL FROM groups g WHERE NOT EXISTS (SELECT 1 FROM orgs o WHERE o.id = g.org_id)",
        reason: "names a row of orgs that is not there",
    },
    Whole {
        table: "groups",
        columns: &["id"],
        field: "id",
        sql: "SELECT g.id, NULL FROM groups g WHERE NOT EXISTS (SELECT 1 FROM group_memberships m WHERE m.group_id = g.id AND m.role = 'owner')",
        reason: "the group has no owner",
    },
    Whole {
        table: "group_memberships",
        columns: &["group_id", "member_id"],
        field: "member_id",
        sql: "SELECT m.group_id, m.member_id FROM group_memberships m JOIN groups g ON g.id = m.group_id \
              WHERE NOT EXISTS (SELECT 1 FROM org_memberships o WHERE o.org_id = g.org_id AND o.member_id = m.member_id)",
        reason: "the member does not belong to the group's organisation",
    },
    Whole {
        table: "things",
        columns: &["id"],
        field: "profile_id",
        sql: "SELECT t.id, NULL FROM things t JOIN profiles p ON p.id = t.profile_id WHERE t.group_id <> p.group_id",
        reason: "the profile belongs to another group than the thing",
    },
    Whole {
        table: "things",
        columns: &["id"],
        field: "key",
        sql: "SELECT t.id, NULL FROM things t WHERE NOT EXISTS \
              (SELECT 1 FROM credential_index c WHERE c.verifier = t.key AND c.thing_id = t.id AND c.kind = 'key')",
        reason: "the key is not in credential_index",
    },
    Whole {
        table: "things",
        columns: &["id"],
        field: "external_key",
        sql: "SELECT t.id, NULL FROM things t WHERE t.external_key IS NOT NULL AND NOT EXISTS \
              (SELECT 1 FROM credential_index c WHERE c.thing_id = t.id AND c.kind = 'external')",
        reason: "the external key is not in credential_index",
    },
    Whole {
        table: "credential_index",
        columns: &["thing_id"],
        field: "kind",
        sql: "SELECT c.thing_id, NULL FROM credential_index c GROUP BY c.thing_id, c.kind HAVING count(*) > 1",
        reason: "the thing has two credentials of one kind",
    },
];

/// A row that breaks a rule.
pub(crate) async fn offender(conn: &mut Conn, rule: &Whole) -> Result<Option<(Uuid, Option<Uuid>)>> {
    let mut sql = Sql::new("SELECT * FROM (");
    sql.push(rule.sql).push(") AS offenders LIMIT 1");
    if conn.is_postgres() {
        // A NULL without a type would be text.
        sql = Sql::new("WITH offenders (a, b) AS (");
        sql.push(rule.sql).push(") SELECT a, b::text::uuid FROM offenders LIMIT 1");
    }
    sql.fetch_one(conn).await
}

/// The number of the journal's newest entry; 0 where there is none.
pub(crate) async fn newest_entry(conn: &mut Conn) -> Result<i64> {
    on!(conn, conn => sqlx::query_scalar("SELECT COALESCE(max(id), 0) FROM journal").fetch_one(conn))
}

/// When the program last began a backup by itself.
pub(crate) async fn last_scheduled(conn: &mut Conn) -> Result<Option<Timestamp>> {
    on!(conn, conn => sqlx::query_scalar(
        "SELECT max(at) FROM journal WHERE subject_id = $1 AND action = 'platform.backed_up' AND actor_kind = 'system'")
        .bind(Uuid::nil()).fetch_one(conn))
}

/// How many connections processes of this program have to a database that they can share. Asked by a connection
/// of its own and before there is a pool, whose connections would be among them.
pub(crate) async fn processes(url: &str) -> Result<i64> {
    if sqlite_path(url).is_some() {
        return Ok(0);
    }
    let options = PgConnectOptions::from_str(url)
        .map_err(|_| Error::invalid("database_url", "is not a valid postgres:// URL"))?;
    let mut conn = PgConnection::connect_with(&options.application_name("things-move"))
        .await
        .map_err(|error| Error::internal(format!("cannot connect to PostgreSQL: {error}")))?;
    let count = sqlx::query_scalar(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'things'",
    )
    .fetch_one(&mut conn)
    .await
    .map_err(translate)?;
    conn.close().await.map_err(translate)?;
    Ok(count)
}

/// How many triggers and views there are that no migration made, in a file that anybody may have made.
pub(crate) async fn strange_objects(conn: &mut Conn) -> Result<usize> {
    let Engine::Sqlite(conn) = conn.engine() else { return Ok(0) };
    let found: Vec<Option<String>> =
        sqlx::query_scalar("SELECT sql FROM sqlite_master WHERE type IN ('trigger', 'view')")
            .fetch_all(conn)
            .await
            .map_err(translate)?;
    let ours: String =
        sqlx::migrate!("migrations/sqlite").iter().map(|migration| migration.sql.as_str()).collect();
    // SQLite keeps the text as it was given.
    Ok(found.iter().filter(|sql| sql.as_ref().is_none_or(|sql| !ours.contains(sql.as_str()))).count())
}

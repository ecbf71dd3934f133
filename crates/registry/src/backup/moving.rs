//! Moving an installation to another database, on whichever engine: everything is copied, what is true at
//! this moment only, too, in one transaction, by the same readers and writers as backups use.

use std::time::Duration;

use crate::{
    clock::Clock,
    error::{Error, Result},
    secret::Keyring,
    store::{self, Conn, Db, Tx, backup::Scope, sql::Taker},
};

use super::tables::{Cell, TABLES, Table};

/// How many rows go into one statement, and about how many bytes.
pub(crate) const BATCH_ROWS: usize = 500;
pub(crate) const BATCH_BYTES: usize = 2 << 20;

/// How far a move has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// What is being copied.
    pub table: &'static str,
    /// Rows that were copied so far, of all tables.
    pub rows_done: u64,
    /// Rows that there are.
    pub rows: u64,
}

/// What was moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Rows of each table that has any.
    pub tables: Vec<(&'static str, u64)>,
}

impl Moved {
    /// All rows.
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|(_, rows)| rows).sum()
    }
}

/// Copies everything that is in the database `from` into `to`, which must be empty; its schema is made if it is
/// not there. The installation's keys stay what they are, and must be those of `from`. No process may have
/// either database open: for SQLite the caller holds their locks, on PostgreSQL it is looked for here, before and, by
/// what was written meanwhile, just before the commit. All is copied or nothing.
pub async fn copy(
    from: &str,
    to: &str,
    keyring: &Keyring,
    told: &mut (dyn FnMut(Step) + Send),
) -> Result<Moved> {
    refuse_others(from, "from").await?;
    refuse_others(to, "to").await?;
    let source = Db::connect(from, 2, Clock::system()).await?;
    let moved = async {
        let mut conn = source.read().await?;
        if !store::doctor::has_schema(&mut conn).await? {
            return Err(Error::invalid("from", "is not a database of this program: it has none of its tables"));
        }
        let (applied, known) = (store::doctor::newest_migration(&mut conn).await?, Db::newest_migration());
        if applied != known {
            let reason = format!(
                "has a schema of another version (migration {applied}; this program has {known}); run `things migrate` on it first"
            );
            return Err(Error::invalid("from", reason));
        }
        if store::backup::strange_objects(&mut conn).await? > 0 {
            return Err(Error::invalid("from", "has triggers or views that are not this program's; drop them first"));
        }
        drop(conn);
        // Rolled back: nothing is written here.
        store::credentials::check_canary(&mut source.write().await?, keyring).await?;
        let target = Db::open(to, 2, Clock::system()).await?;
        let moved = copy_into(&source, &target, told).await;
        target.close().await;
        moved
    }
    .await;
    source.close().await;
    moved
}

async fn copy_into(source: &Db, target: &Db, told: &mut (dyn FnMut(Step) + Send)) -> Result<Moved> {
    let mut tx = target.write().await?;
    store::backup::take_time(&mut tx).await?;
    for table in TABLES {
        if store::backup::count(&mut tx, table, Scope::Everything).await? > 0 {
            let reason = format!("is not empty: there are {} already; name a new database", table.name);
            return Err(Error::invalid("to", reason));
        }
    }
    let mut conn = source.snapshot().await?;
    if store::adopt::goes_on(&mut conn).await? {
        return Err(Error::invalid(
            "from",
            "its adoption is not done yet; run `things adopt` to its end first",
        ));
    }
    let copied = state(&mut conn).await?;
    let rows = copied.rows;
    let mut tables = Vec::new();
    let mut rows_done = 0;
    for table in TABLES {
        let step = Step { table: table.name, rows_done, rows };
        told(step);
        let mut batch =
            Batch { tx: &mut tx, table, rows: Vec::new(), bytes: 0, count: 0, step, told: &mut *told };
        store::backup::read(&mut conn, table, Scope::Everything, &mut batch).await?;
        batch.store().await?;
        let count = batch.count;
        store::backup::number_on(&mut tx, table).await?;
        rows_done += count;
        if count > 0 {
            tables.push((table.name, count));
        }
    }
    told(Step { table: "", rows_done, rows });
    if rows_done != rows {
        return Err(Error::internal("the snapshot has other rows than it had when they were counted"));
    }
    drop(conn);
    // Whatever starts the program again may have done so: what it wrote would be missing.
    if state(&mut source.read().await?).await? != copied {
        return Err(Error::invalid(
            "from",
            "was changed while it was copied: this program was started on it again; stop every `things serve`, and \
             what starts it by itself, and run this once more",
        ));
    }
    tx.commit_raw().await?;
    Ok(Moved { tables })
}

/// What nearly every change shows in: log-ins, for one, have no entry in the journal.
#[derive(PartialEq, Eq)]
struct State {
    newest_entry: i64,
    rows: u64,
}

async fn state(conn: &mut Conn) -> Result<State> {
    let mut rows = 0;
    for table in TABLES {
        rows += store::backup::count(conn, table, Scope::Everything).await?;
    }
    Ok(State { newest_entry: store::backup::newest_entry(conn).await?, rows })
}

async fn refuse_others(url: &str, which: &'static str) -> Result<()> {
    let mut looks = 0;
    loop {
        let count = store::backup::processes(url).await?;
        if count == 0 {
            return Ok(());
        }
        // PostgreSQL needs a moment to see that a process has ended.
        if looks == LOOKS {
            let reason = format!(
                "is in use: this program has {count} connections to it; stop every `things serve` first"
            );
            return Err(Error::invalid(which, reason));
        }
        looks += 1;
        tokio::time::sleep(BETWEEN).await;
    }
}

/// How often it is looked whether others are there, and how long after each other.
const LOOKS: u32 = 20;
const BETWEEN: Duration = Duration::from_millis(100);

/// Rows on their way into a table.
struct Batch<'m> {
    tx: &'m mut Tx,
    table: &'static Table,
    rows: Vec<Vec<Cell>>,
    bytes: usize,
    count: u64,
    step: Step,
    told: &'m mut (dyn FnMut(Step) + Send),
}

impl Batch<'_> {
    async fn store(&mut self) -> Result<()> {
        match store::backup::insert(self.tx, self.table, &self.rows).await? {
            Ok(()) => {}
            Err(fault) => {
                let at = self.count + fault.at as u64 + 1;
                let reason = format!("row {at} of {}, {}: {}", self.table.name, fault.field, fault.reason);
                return Err(Error::invalid("from", reason));
            }
        }
        self.count += self.rows.len() as u64;
        self.rows.clear();
        self.bytes = 0;
        (self.told)(Step { rows_done: self.step.rows_done + self.count, ..self.step });
        Ok(())
    }
}

impl Taker<Vec<Cell>> for Batch<'_> {
    async fn take(&mut self, row: Vec<Cell>) -> Result<()> {
        self.bytes += row.iter().map(Cell::size).sum::<usize>();
        self.rows.push(row);
        if self.rows.len() >= BATCH_ROWS || self.bytes >= BATCH_BYTES { self.store().await } else { Ok(()) }
    }
}

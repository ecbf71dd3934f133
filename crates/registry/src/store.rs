//! The only place that names an engine: connections, transactions, and one file of SQL per noun.
//!
//! One SQL text serves both engines (`on!`): sqlx infers the engine from the connection, and its
//! SQLite driver takes `$1`. House rules keep the text portable: `$n` only; times and ids bound from
//! Rust; no arrays, no `FOR UPDATE`. Where an engine must differ it is a `match` on [`Engine`], in
//! place, with the reason.

pub(crate) mod access;
pub(crate) mod activity;
pub(crate) mod adopt;
pub(crate) mod backup;
pub(crate) mod conflict;
pub(crate) mod credentials;
pub(crate) mod doctor;
pub(crate) mod failed_checks;
pub(crate) mod groups;
pub(crate) mod imports;
pub(crate) mod invites;
pub(crate) mod journal;
pub(crate) mod lock;
pub(crate) mod mails;
pub(crate) mod members;
pub(crate) mod memberships;
pub(crate) mod nodes;
pub(crate) mod org_memberships;
pub(crate) mod orgs;
pub(crate) mod page;
pub(crate) mod profiles;
pub(crate) mod replay;
pub(crate) mod search;
pub(crate) mod sessions;
pub(crate) mod sql;
pub(crate) mod things;
pub(crate) mod tokens;
pub(crate) mod users;

use std::{
    ops::{Deref, DerefMut},
    path::Path,
    str::FromStr,
    time::Duration,
};

use sqlx::{
    Connection, PgConnection, PgPool, Postgres, Sqlite, SqliteConnection, SqlitePool, Transaction,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use crate::{
    clock::{Clock, Timestamp},
    credentials::Mark,
    error::{Error, Result},
};

/// Runs one query text on whichever engine the connection belongs to.
macro_rules! on {
    ($conn:expr, $c:ident => $query:expr) => {
        match $crate::store::Conn::engine(&mut *$conn) {
            $crate::store::Engine::Sqlite($c) => $query.await,
            $crate::store::Engine::Postgres($c) => $query.await,
        }
        .map_err($crate::store::conflict::translate)
    };
}
pub(crate) use on;

/// Runs one statement and tells how many rows it changed.
macro_rules! rows {
    ($conn:expr, $query:expr) => {
        match $crate::store::Conn::engine(&mut *$conn) {
            $crate::store::Engine::Sqlite(c) => $query.execute(c).await.map(|done| done.rows_affected()),
            $crate::store::Engine::Postgres(c) => $query.execute(c).await.map(|done| done.rows_affected()),
        }
        .map_err($crate::store::conflict::translate)
    };
}
pub(crate) use rows;

/// SQLite below this can corrupt a database in WAL mode (fixed in 3.51.3).
const SQLITE_FLOOR: i32 = 3_051_003;
/// How long a statement waits for a lock before the client is told to come back.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);
const SQLITE_BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a request waits for a free connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// The database, on either engine. Clones share its connections.
#[derive(Clone)]
pub(crate) struct Db {
    pools: Pools,
    pub(crate) clock: Clock,
}

#[derive(Clone)]
enum Pools {
    /// One writer, so that a write transaction waits in a fair queue and never inside SQLite.
    Sqlite {
        writer: SqlitePool,
        readers: SqlitePool,
    },
    Postgres(PgPool),
}

impl Db {
    /// Connects and brings the schema up to date. Any number of processes may do so at once: on
    /// PostgreSQL sqlx takes an advisory lock; on SQLite a lock file is held meanwhile, also for the
    /// switch to WAL, which two connections cannot ask for in the same moment.
    pub(crate) async fn open(url: &str, connections: u32, clock: Clock) -> Result<Self> {
        let _alone = match sqlite_path(url) {
            Some(path) => Some(lock_file(path).await?),
            None => None,
        };
        let db = Self::connect(url, connections, clock).await?;
        adopt::refuse_unadopted(&mut db.read().await?).await?;
        db.migrate().await?;
        Ok(db)
    }

    /// Connects; `url` is `sqlite:PATH` or `postgres://…`.
    pub(crate) async fn connect(url: &str, connections: u32, clock: Clock) -> Result<Self> {
        let pools = if let Some(path) = sqlite_path(url) {
            sqlite(path, connections).await?
        } else if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            Pools::Postgres(postgres(url, connections).await?)
        } else {
            return Err(Error::invalid("database_url", "must begin with `sqlite:` or `postgres://`"));
        };
        Ok(Self { pools, clock })
    }

    /// What a person calls the engine.
    pub(crate) fn engine_name(&self) -> &'static str {
        match self.pools {
            Pools::Sqlite { .. } => "SQLite",
            Pools::Postgres(_) => "PostgreSQL",
        }
    }

    pub(crate) fn is_postgres(&self) -> bool {
        matches!(self.pools, Pools::Postgres(_))
    }

    /// A connection for reading.
    pub(crate) async fn read(&self) -> Result<Conn> {
        let link = match &self.pools {
            Pools::Sqlite { readers, .. } => {
                Link::Sqlite(readers.acquire().await.map_err(conflict::translate)?)
            }
            Pools::Postgres(pool) => Link::Postgres(pool.acquire().await.map_err(conflict::translate)?),
        };
        Ok(Conn(link))
    }

    /// A write transaction. On SQLite it is the one writer from its first moment; on PostgreSQL it
    /// is READ COMMITTED and its first statements take the locks that the use case needs.
    pub(crate) async fn write(&self) -> Result<Tx> {
        let (link, now) = match &self.pools {
            Pools::Sqlite { writer, .. } => {
                let tx = writer.begin_with("BEGIN IMMEDIATE").await.map_err(conflict::translate)?;
                (Link::SqliteTx(tx), self.clock.now())
            }
            Pools::Postgres(pool) => {
                let mut tx = pool.begin().await.map_err(conflict::translate)?;
                let now = if self.clock.is_standing() {
                    self.clock.now()
                } else {
                    sqlx::query_scalar("SELECT clock_timestamp()")
                        .fetch_one(&mut *tx)
                        .await
                        .map_err(conflict::translate)?
                };
                (Link::PostgresTx(tx), now)
            }
        };
        Ok(Tx { conn: Conn(link), now, marks: Vec::new() })
    }

    /// Lets go of every connection.
    pub(crate) async fn close(&self) {
        match &self.pools {
            Pools::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Pools::Postgres(pool) => pool.close().await,
        }
    }

    pub(crate) async fn migrate(&self) -> Result<()> {
        let done = match &self.pools {
            Pools::Sqlite { writer, .. } => sqlx::migrate!("migrations/sqlite").run(writer).await,
            Pools::Postgres(pool) => sqlx::migrate!("migrations/postgres").run(pool).await,
        };
        done.map_err(|error| match error {
            sqlx::migrate::MigrateError::VersionMissing(version) => Error::internal(format!(
                "the database was written by a newer Things (migration {version} is unknown here); run that version or newer"
            )),
            sqlx::migrate::MigrateError::VersionMismatch(version) => Error::internal(format!(
                "migration {version} was applied in another form; this database is not one of ours, or was altered"
            )),
            other => Error::internal(other),
        })
    }

    /// The newest migration this program knows.
    pub(crate) fn newest_migration() -> i64 {
        sqlx::migrate!("migrations/sqlite").iter().map(|migration| migration.version).max().unwrap_or(0)
    }
}

fn sqlite_path(url: &str) -> Option<&Path> {
    url.strip_prefix("sqlite:").map(|path| Path::new(path.trim_start_matches("//")))
}

/// Waits until no other process opens this database. Let go of when dropped or when the process
/// ends; the file stays, because removing it would let two others lock two different ones.
async fn lock_file(database: &Path) -> Result<std::fs::File> {
    let mut path = database.as_os_str().to_owned();
    path.push("-lock");
    let locked = tokio::task::spawn_blocking(move || {
        let file = std::fs::File::create(&path)?;
        file.lock()?;
        Ok(file)
    });
    locked.await.map_err(Error::internal)?.map_err(|error: std::io::Error| {
        Error::internal(format!("cannot lock {} to open it: {error}", database.display()))
    })
}

async fn sqlite(path: &Path, connections: u32) -> Result<Pools> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(SQLITE_BUSY_TIMEOUT)
        .pragma("trusted_schema", "OFF")
        .pragma("cache_size", "-16000")
        // In pages: 32 MB. Keys spread over their indexes, so a thousand things change two thousand
        // pages; a copy back into the file after each such commit would take as long as the commit.
        .pragma("wal_autocheckpoint", "8000")
        .pragma("journal_size_limit", "67108864")
        .pragma("temp_store", "MEMORY");
    let pool = |most: u32| {
        SqlitePoolOptions::new()
            .max_connections(most)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None)
            .after_connect(|conn, _| Box::pin(assert_pragmas(conn)))
    };
    let open = |error: sqlx::Error| Error::internal(format!("cannot open {}: {error}", path.display()));
    // The writer first: it creates the file and switches it to WAL.
    let writer = pool(1).connect_with(options.clone()).await.map_err(open)?;
    let version: i32 = sqlx::query_scalar::<_, String>("SELECT sqlite_version()")
        .fetch_one(&writer)
        .await
        .map_err(open)?
        .split('.')
        .fold(0, |number, part| number * 1000 + part.parse::<i32>().unwrap_or(0));
    if version < SQLITE_FLOOR {
        return Err(Error::internal(format!(
            "SQLite {version} can corrupt databases in WAL mode; build with 3.51.3 or newer"
        )));
    }
    let readers = pool(connections.max(1)).connect_lazy_with(options);
    Ok(Pools::Sqlite { writer, readers })
}

/// Settings that are silently ignored when misspelt are read back.
async fn assert_pragmas(conn: &mut SqliteConnection) -> sqlx::Result<()> {
    for (pragma, wanted) in [
        ("PRAGMA foreign_keys", "1"),
        ("PRAGMA synchronous", "2"),
        ("PRAGMA journal_mode", "wal"),
        ("PRAGMA trusted_schema", "0"),
        ("PRAGMA busy_timeout", "5000"),
    ] {
        use sqlx::{Row, ValueRef};
        let row = sqlx::query(pragma).fetch_one(&mut *conn).await?;
        let raw = row.try_get_raw(0)?;
        let is = if raw.type_info().to_string() == "TEXT" {
            row.try_get::<String, _>(0)?
        } else {
            row.try_get::<i64, _>(0)?.to_string()
        };
        if is != wanted {
            return Err(sqlx::Error::Configuration(format!("{pragma} is {is}, must be {wanted}").into()));
        }
    }
    Ok(())
}

async fn postgres(url: &str, connections: u32) -> Result<PgPool> {
    let lock_timeout = LOCK_TIMEOUT.as_millis().to_string();
    let options = PgConnectOptions::from_str(url)
        .map_err(|_| Error::invalid("database_url", "is not a valid postgres:// URL"))?
        .application_name("things")
        .options([
            ("lock_timeout", lock_timeout.as_str()),
            ("idle_in_transaction_session_timeout", "10000"),
            ("default_transaction_isolation", "read committed"),
            ("timezone", "UTC"),
            // Compiling a query takes longer than any of ours runs.
            ("jit", "off"),
            // For disks without a head to move. At the default of 4, made for those that have one, the
            // planner would rather read all things from the newest on than a group by its index.
            ("random_page_cost", "1.1"),
        ]);
    PgPoolOptions::new()
        .max_connections(connections.max(2))
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // A ping before each use would double the cost of a point query.
        .test_before_acquire(false)
        .after_connect(|conn, _| {
            Box::pin(async move {
                // A standby would accept the connection and refuse the first write.
                let standby: bool =
                    sqlx::query_scalar("SELECT pg_is_in_recovery()").fetch_one(&mut *conn).await?;
                let version: i32 = sqlx::query_scalar("SELECT current_setting('server_version_num')::int4")
                    .fetch_one(&mut *conn)
                    .await?;
                match (standby, version) {
                    (true, _) => {
                        Err(sqlx::Error::Configuration("this PostgreSQL server is a standby".into()))
                    }
                    (_, ..130_000) => {
                        Err(sqlx::Error::Configuration("PostgreSQL 13 or newer is needed".into()))
                    }
                    _ => Ok(()),
                }
            })
        })
        .connect_with(options)
        .await
        .map_err(|error| Error::internal(format!("cannot connect to PostgreSQL: {error}")))
}

/// So many objects a transaction tells of one by one. Of more it tells that everything may have changed, which costs
/// some reads and keeps what is told short, however much an import changes.
const MOST_MARKS: usize = 4_096;

/// A connection to read by.
pub(crate) struct Conn(Link);

enum Link {
    Sqlite(PoolConnection<Sqlite>),
    SqliteTx(Transaction<'static, Sqlite>),
    Postgres(PoolConnection<Postgres>),
    PostgresTx(Transaction<'static, Postgres>),
}

/// Which engine, with its connection.
pub(crate) enum Engine<'c> {
    Sqlite(&'c mut SqliteConnection),
    Postgres(&'c mut PgConnection),
}

impl Conn {
    pub(crate) fn engine(&mut self) -> Engine<'_> {
        match &mut self.0 {
            Link::Sqlite(conn) => Engine::Sqlite(conn),
            Link::SqliteTx(tx) => Engine::Sqlite(tx),
            Link::Postgres(conn) => Engine::Postgres(conn),
            Link::PostgresTx(tx) => Engine::Postgres(tx),
        }
    }

    pub(crate) fn is_postgres(&self) -> bool {
        matches!(self.0, Link::Postgres(_) | Link::PostgresTx(_))
    }

    /// The present moment by the clock that expiry is decided by.
    pub(crate) async fn now(&mut self, clock: &Clock) -> Result<Timestamp> {
        match self.engine() {
            Engine::Postgres(conn) if !clock.is_standing() => sqlx::query_scalar("SELECT clock_timestamp()")
                .fetch_one(conn)
                .await
                .map_err(conflict::translate),
            _ => Ok(clock.now()),
        }
    }

    /// Whether the server answers.
    pub(crate) async fn ping(&mut self) -> Result<()> {
        on!(self, conn => conn.ping())
    }
}

/// A write transaction: reads like a [`Conn`], rolled back when dropped.
pub(crate) struct Tx {
    conn: Conn,
    now: Timestamp,
    /// What devices' authentication depends on and this changes.
    marks: Vec<Mark>,
}

impl Deref for Tx {
    type Target = Conn;
    fn deref(&self) -> &Conn {
        &self.conn
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Conn {
        &mut self.conn
    }
}

impl Tx {
    /// The database's clock at the start of the transaction: what expiry is decided by.
    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    /// Notes what the cache of credentials has to hear of once this is committed.
    pub(crate) fn mark(&mut self, marks: impl IntoIterator<Item = Mark>) {
        for mark in marks {
            if self.marks.len() >= MOST_MARKS {
                self.marks = vec![Mark::Everything];
            }
            // A transaction that makes a million things says so once.
            if self.marks.first() != Some(&Mark::Everything) && !self.marks.contains(&mark) {
                self.marks.push(mark);
            }
        }
    }

    /// What was noted.
    pub(crate) fn take_marks(&mut self) -> Vec<Mark> {
        std::mem::take(&mut self.marks)
    }

    /// The database's clock at this moment: asked again where locks were waited for meanwhile.
    pub(crate) async fn moment(&mut self, clock: &Clock) -> Result<Timestamp> {
        self.conn.now(clock).await
    }

    /// Undoes everything.
    pub(crate) async fn roll_back(self) -> Result<()> {
        match self.conn.0 {
            Link::SqliteTx(tx) => tx.rollback().await,
            Link::PostgresTx(tx) => tx.rollback().await,
            Link::Sqlite(_) | Link::Postgres(_) => Ok(()),
        }
        .map_err(conflict::translate)
    }

    /// Commits. A connection that breaks here leaves the outcome unknown, which is told as such.
    /// Private to the journal, the sweepers, what becomes of mails, what devices do and the adoption: a
    /// change is committed with its entry or not at all.
    pub(crate) async fn commit_raw(self) -> Result<()> {
        let done = match self.conn.0 {
            Link::SqliteTx(tx) => tx.commit().await,
            Link::PostgresTx(tx) => tx.commit().await,
            Link::Sqlite(_) | Link::Postgres(_) => Ok(()),
        };
        done.map_err(|error| match error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::WorkerCrashed => Error::OutcomeUnknown,
            // Cut off by an administrator or a crash, connection lost, completion unknown: a commit that
            // waited for a standby has happened by then.
            sqlx::Error::Database(database)
                if conflict::commit_may_have_happened(&*database)
                    || database.code().is_some_and(|code| {
                        code.starts_with("57P0") || code.starts_with("08") || code == "40003"
                    }) =>
            {
                Error::OutcomeUnknown
            }
            other => conflict::translate(other),
        })
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[tokio::test]
    async fn a_transaction_tells_of_so_many_objects_and_then_of_everything() {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", dir.path().join("things.db").display());
        let db = Db::open(&url, 1, Clock::system()).await.unwrap();
        let mut tx = db.write().await.unwrap();
        let objects = |numbers: std::ops::Range<u128>| {
            numbers.flat_map(|n| [Mark::Object(Uuid::from_u128(n)), Mark::Credentials])
        };
        tx.mark(objects(1..2_000).chain(objects(1..2_000)));
        assert_eq!(tx.take_marks().len(), 2_000, "each object, and once that there are credentials");
        tx.mark(objects(1..10_000));
        assert_eq!(tx.take_marks(), [Mark::Everything]);
        tx.mark(objects(1..2));
        assert_eq!(tx.take_marks().len(), 2);
    }

    #[tokio::test]
    async fn every_sqlite_connection_has_the_settings() {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", dir.path().join("things.db").display());
        let db = Db::open(&url, 3, Clock::system()).await.unwrap();
        let mut all = vec![db.write().await.unwrap().conn];
        for _ in 0..3 {
            all.push(db.read().await.unwrap());
        }
        for conn in &mut all {
            match conn.engine() {
                Engine::Sqlite(conn) => assert_pragmas(conn).await.unwrap(),
                Engine::Postgres(_) => unreachable!(),
            }
        }
    }

    #[tokio::test]
    async fn a_full_database_is_unavailable() {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", dir.path().join("things.db").display());
        let db = Db::open(&url, 1, Clock::system()).await.unwrap();
        let error = async {
            let mut tx = db.write().await?;
            // It cannot be made smaller than it is.
            rows!(tx, sqlx::query("PRAGMA max_page_count = 1"))?;
            let much = "INSERT INTO idempotency_keys (digest, body_digest, sealed, created_at) \
                        VALUES (x'00', x'00', zeroblob(1000000), 0)";
            rows!(tx, sqlx::query(much))?;
            tx.commit_raw().await
        };
        assert!(matches!(error.await, Err(Error::Unavailable)));
    }

    #[tokio::test]
    async fn a_sqlite_connection_without_them_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let plain =
            SqliteConnectOptions::new().filename(dir.path().join("things.db")).create_if_missing(true);
        let right = plain
            .clone()
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(SQLITE_BUSY_TIMEOUT)
            .pragma("trusted_schema", "OFF");
        for (options, lacks) in [
            (right.clone(), None),
            (right.clone().foreign_keys(false), Some("foreign_keys")),
            (right.clone().synchronous(SqliteSynchronous::Normal), Some("synchronous")),
            (right.clone().journal_mode(SqliteJournalMode::Delete), Some("journal_mode")),
            (right.clone().pragma("trusted_schema", "ON"), Some("trusted_schema")),
            (right.clone().busy_timeout(Duration::ZERO), Some("busy_timeout")),
        ] {
            let mut conn = SqliteConnection::connect_with(&options).await.unwrap();
            let told = assert_pragmas(&mut conn).await.err().map(|error| error.to_string());
            match lacks {
                None => assert_eq!(told, None),
                Some(pragma) => assert!(told.unwrap().contains(pragma), "{pragma}"),
            }
            conn.close().await.unwrap();
        }
    }
}

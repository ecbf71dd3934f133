//! Databases for tests, on every engine: SQLite in a directory of its own always, PostgreSQL when
//! `THINGS_TEST_POSTGRES` holds a superuser's URL of a scratch cluster (`cargo xtask test` sees to it).

#![allow(dead_code, unreachable_pub, reason = "every test crate includes this file and uses part of it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot have its database cannot go on"
)]

pub mod invites;
pub mod log_ins;
pub mod mainflux;
pub mod orgs;
pub mod people;
pub mod proxy;
pub mod race;
pub mod stage;

use std::{
    ops::Deref,
    path::Path,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use registry::{Clock, Keyring, PasswordCost, Registry, Settings};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, PgConnection, SqliteConnection,
    migrate::{Migrate, Migrator},
    postgres::PgConnectOptions,
    sqlite::SqliteConnectOptions,
};

/// A database engine that the registry runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
}

/// The engines at hand: a test runs on each of them.
pub fn engines() -> Vec<Engine> {
    match cluster() {
        Some(_) => vec![Engine::Sqlite, Engine::Postgres],
        None => vec![Engine::Sqlite],
    }
}

/// A database of its own for one test; gone when dropped.
pub struct Database {
    pub engine: Engine,
    url: String,
    /// SQLite's directory.
    dir: Option<tempfile::TempDir>,
}

impl Database {
    /// What the registry opens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Executes a statement behind the registry's back.
    pub async fn execute(&self, sql: impl Into<String>) {
        #[expect(clippy::disallowed_methods, reason = "a test's own text")]
        let sql = sqlx::raw_sql(AssertSqlSafe(sql.into()));
        match self.engine {
            Engine::Sqlite => sql.execute(&mut self.sqlite().await).await.map(drop),
            Engine::Postgres => sql.execute(&mut self.postgres().await).await.map(drop),
        }
        .unwrap();
    }

    /// Asks for a number behind the registry's back.
    pub async fn number(&self, sql: impl Into<String>) -> i64 {
        #[expect(clippy::disallowed_methods, reason = "a test's own text")]
        let sql = AssertSqlSafe(sql.into());
        match self.engine {
            Engine::Sqlite => sqlx::query_scalar(sql).fetch_one(&mut self.sqlite().await).await,
            Engine::Postgres => sqlx::query_scalar(sql).fetch_one(&mut self.postgres().await).await,
        }
        .unwrap()
    }

    /// Asks for text behind the registry's back.
    pub async fn text(&self, sql: impl Into<String>) -> String {
        #[expect(clippy::disallowed_methods, reason = "a test's own text")]
        let sql = AssertSqlSafe(sql.into());
        match self.engine {
            Engine::Sqlite => sqlx::query_scalar(sql).fetch_one(&mut self.sqlite().await).await,
            Engine::Postgres => sqlx::query_scalar(sql).fetch_one(&mut self.postgres().await).await,
        }
        .unwrap()
    }

    /// Asks for a column of text behind the registry's back.
    pub async fn texts(&self, sql: impl Into<String>) -> Vec<String> {
        #[expect(clippy::disallowed_methods, reason = "a test's own text")]
        let sql = AssertSqlSafe(sql.into());
        match self.engine {
            Engine::Sqlite => sqlx::query_scalar(sql).fetch_all(&mut self.sqlite().await).await,
            Engine::Postgres => sqlx::query_scalar(sql).fetch_all(&mut self.postgres().await).await,
        }
        .unwrap()
    }

    /// Every row of every table as text, after its table's name, sorted: equal if and only if nothing has changed.
    /// Without what processes tell each other of being there.
    pub async fn dump(&self) -> Vec<String> {
        let tables = match self.engine {
            Engine::Sqlite => {
                "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'"
            }
            Engine::Postgres => {
                "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' AND tablename NOT IN ('nodes', 'revocations')"
            }
        };
        let mut parts = Vec::new();
        for table in self.texts(tables).await {
            let row = match self.engine {
                Engine::Postgres => "t::text".to_owned(),
                Engine::Sqlite => {
                    let columns = format!(
                        "SELECT 'quote(\"' || name || '\")' FROM pragma_table_info('{table}') ORDER BY cid"
                    );
                    self.texts(columns).await.join(" || ',' || ")
                }
            };
            parts.push(format!("SELECT '{table}: ' || {row} AS line FROM \"{table}\" t"));
        }
        // One statement: connecting for each table would take longer than all of them.
        let mut rows = self.texts(parts.join(" UNION ALL ")).await;
        rows.sort();
        rows
    }

    /// Executes a statement and keeps its transaction open: what it locked stays locked.
    pub async fn hold(&self, sql: &str) -> Held {
        #[expect(clippy::disallowed_methods, reason = "a test's own text")]
        let text = |begin: &str| AssertSqlSafe(format!("{begin}; {sql}"));
        match self.engine {
            Engine::Sqlite => {
                let mut conn = self.sqlite().await;
                sqlx::raw_sql(text("BEGIN IMMEDIATE")).execute(&mut conn).await.unwrap();
                Held::Sqlite(conn)
            }
            Engine::Postgres => {
                let mut conn = self.postgres().await;
                sqlx::raw_sql(text("BEGIN")).execute(&mut conn).await.unwrap();
                Held::Postgres(conn)
            }
        }
    }

    /// An id as it is written in such a statement.
    pub fn literal(&self, id: sqlx::types::Uuid) -> String {
        match self.engine {
            Engine::Sqlite => format!("x'{}'", id.as_simple()),
            Engine::Postgres => format!("'{id}'::uuid"),
        }
    }

    /// Bytes as they are written in such a statement.
    pub fn bytes(&self, bytes: &[u8]) -> String {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        match self.engine {
            Engine::Sqlite => format!("x'{hex}'"),
            Engine::Postgres => format!("'\\x{hex}'::bytea"),
        }
    }

    async fn sqlite(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::from_str(&self.url).unwrap();
        options.busy_timeout(Duration::from_secs(30)).connect().await.unwrap()
    }

    async fn postgres(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.unwrap()
    }

    /// SQLite's file.
    pub fn file(&self) -> Option<std::path::PathBuf> {
        self.dir.as_ref().map(|dir| dir.path().join(SQLITE_FILE))
    }
}

const SQLITE_FILE: &str = "things.db";

/// A transaction kept open, until it is released or dropped.
pub enum Held {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Held {
    /// Commits it.
    pub async fn commit(self) {
        match self {
            Self::Sqlite(mut conn) => sqlx::raw_sql("COMMIT").execute(&mut conn).await.map(drop),
            Self::Postgres(mut conn) => sqlx::raw_sql("COMMIT").execute(&mut conn).await.map(drop),
        }
        .unwrap();
    }

    /// Rolls it back.
    pub async fn release(self) {
        match self {
            Self::Sqlite(conn) => conn.close().await.unwrap(),
            Self::Postgres(conn) => conn.close().await.unwrap(),
        }
    }
}

/// A database with the present schema.
pub async fn fresh(engine: Engine) -> Database {
    match engine {
        // The registry migrates it in a few milliseconds when it opens it.
        Engine::Sqlite => empty(engine).await,
        Engine::Postgres => {
            let template = template().await;
            create(&format!(" TEMPLATE {template}")).await
        }
    }
}

/// A database with nothing in it.
pub async fn empty(engine: Engine) -> Database {
    match engine {
        Engine::Sqlite => {
            let dir = tempfile::tempdir().unwrap();
            let url = format!("sqlite:{}", dir.path().join(SQLITE_FILE).display());
            Database { engine, url, dir: Some(dir) }
        }
        Engine::Postgres => create(" TEMPLATE template0").await,
    }
}

/// A copy of a database that nobody has open.
pub async fn copy(database: &Database) -> Database {
    match database.file() {
        Some(from) => {
            let copy = empty(Engine::Sqlite).await;
            std::fs::copy(from, copy.file().unwrap()).unwrap();
            copy
        }
        None => {
            let options = PgConnectOptions::from_str(&database.url).unwrap();
            create(&format!(" TEMPLATE {}", options.get_database().unwrap())).await
        }
    }
}

/// Keys that are the same in every test.
pub fn keyring() -> Keyring {
    format!("pepper=p1:{0}\nkek=k1:{0}\n", "A".repeat(43)).parse().unwrap()
}

/// A registry on a database of its own.
pub struct Opened {
    // Dropped before the database it uses.
    pub registry: Arc<Registry>,
    pub database: Database,
}

impl Deref for Opened {
    type Target = Registry;
    fn deref(&self) -> &Registry {
        &self.registry
    }
}

/// Opens a registry on a fresh database.
pub async fn registry(engine: Engine, clock: Clock) -> Opened {
    let database = fresh(engine).await;
    let registry = open(&database, clock).await.unwrap();
    Opened { registry, database }
}

/// Opens a registry on this database, as another process would.
pub async fn open(database: &Database, clock: Clock) -> registry::Result<Arc<Registry>> {
    Registry::open(settings(database, clock)).await
}

/// How tests set a registry up: passwords cost nothing.
pub fn settings(database: &Database, clock: Clock) -> Settings {
    Settings {
        connections: 8,
        clock,
        password_cost: PasswordCost::Minimal,
        ..Settings::new(database.url(), keyring())
    }
}

fn cluster() -> Option<PgConnectOptions> {
    let url = std::env::var("THINGS_TEST_POSTGRES").ok().filter(|url| !url.is_empty())?;
    Some(PgConnectOptions::from_str(&url).expect("THINGS_TEST_POSTGRES must be a postgres:// URL"))
}

async fn connect(options: &PgConnectOptions) -> PgConnection {
    PgConnection::connect_with(options).await.expect("the cluster of THINGS_TEST_POSTGRES must answer")
}

async fn run(conn: &mut PgConnection, sql: String) -> sqlx::Result<()> {
    #[expect(clippy::disallowed_methods, reason = "names of databases cannot be bound; these are made here")]
    let sql = AssertSqlSafe(sql);
    sqlx::raw_sql(sql).execute(conn).await.map(drop)
}

/// Creates a database under a name that no other test process uses.
async fn create(how: &str) -> Database {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let options = cluster().expect("engines() offers PostgreSQL only where there is a cluster");
    let mut admin = connect(&options).await;
    let made = MADE.fetch_add(1, Ordering::Relaxed);
    let name = format!("things_test_{}_{made}", std::process::id());
    // Process ids come round again in a cluster that lives long.
    run(&mut admin, format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await.unwrap();
    let mut attempts = 0;
    // 55006: somebody (autovacuum) is connected to the template in this moment.
    while let Err(error) = run(&mut admin, format!("CREATE DATABASE {name}{how}")).await {
        let in_use = error.as_database_error().and_then(|error| error.code()).as_deref() == Some("55006");
        assert!(in_use && attempts < 100, "cannot create a test's database: {error}");
        attempts += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    admin.close().await.unwrap();
    let url = options.database(&name).to_url_lossy().to_string();
    Database { engine: Engine::Postgres, url, dir: None }
}

/// The name of a database with the present schema, made once for each cluster and schema.
async fn template() -> String {
    let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("../registry/migrations/postgres");
    let migrator = Migrator::new(migrations).await.unwrap();
    // FNV-1a over the checksums.
    let hash = migrator
        .iter()
        .flat_map(|migration| migration.checksum.iter())
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
    let name = format!("things_template_{hash:016x}");
    let options = cluster().expect("engines() offers PostgreSQL only where there is a cluster");
    let mut admin = connect(&options).await;
    // One process makes it, under another name until it is whole; the others wait here.
    admin.lock().await.unwrap();
    let there: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)")
        .bind(&name)
        .fetch_one(&mut admin)
        .await
        .unwrap();
    if !there {
        let draft = format!("{name}_draft");
        run(&mut admin, format!("DROP DATABASE IF EXISTS {draft} WITH (FORCE)")).await.unwrap();
        run(&mut admin, format!("CREATE DATABASE {draft} TEMPLATE template0")).await.unwrap();
        let mut conn = connect(&options.clone().database(&draft)).await;
        migrator.run(&mut conn).await.unwrap();
        conn.close().await.unwrap();
        run(&mut admin, format!("ALTER DATABASE {draft} RENAME TO {name}")).await.unwrap();
    }
    admin.unlock().await.unwrap();
    admin.close().await.unwrap();
    name
}

impl Drop for Database {
    fn drop(&mut self) {
        if self.engine == Engine::Sqlite {
            return;
        }
        let url = self.url.clone();
        // A thread of its own, because a runtime may be running on this one. What cannot be dropped
        // goes with the scratch cluster.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let options = PgConnectOptions::from_str(&url)?;
                let name = options.get_database().unwrap_or_default().to_owned();
                let Some(cluster) = cluster() else { return Ok(()) };
                let mut admin = PgConnection::connect_with(&cluster).await?;
                run(&mut admin, format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await
            })
        });
        let _: Result<sqlx::Result<()>, _> = dropping.join();
    }
}

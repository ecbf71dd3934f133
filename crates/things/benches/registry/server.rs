//! The program under measurement: a process with a data directory and a database of its own.

use std::{
    env,
    fs::{self, File},
    net::{SocketAddr, TcpListener},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use sqlx::Connection;
use tempfile::TempDir;

use crate::{Result, client::Client};

const EMAIL: &str = "bench@example.com";
pub(crate) const PASSWORD: &str = "correct horse battery staple";
/// A start that takes longer has failed.
const START_LIMIT: Duration = Duration::from_secs(60);
/// The program promises to stop within 10 s.
const STOP_LIMIT: Duration = Duration::from_secs(15);

/// A database engine to measure on.
#[derive(Clone, Debug)]
pub(crate) enum Engine {
    Sqlite,
    /// With the URL of a superuser of a cluster that is ours to fill.
    Postgres {
        url: String,
    },
}

/// A data directory and a database, gone when dropped (PostgreSQL's with its cluster).
pub(crate) struct Home {
    directory: TempDir,
    /// PostgreSQL's database.
    url: Option<String>,
}

impl Home {
    pub(crate) async fn new(engine: &Engine) -> Result<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let directory = tempfile::Builder::new().prefix("things-bench-").tempdir()?;
        let url = match engine {
            Engine::Sqlite => None,
            Engine::Postgres { url } => {
                let name = format!("things_bench_{}", MADE.fetch_add(1, Ordering::Relaxed));
                let mut conn = sqlx::PgConnection::connect(url).await?;
                #[expect(
                    clippy::disallowed_methods,
                    reason = "a name cannot be bound; this one is made above"
                )]
                let sql = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name} TEMPLATE template0"));
                sqlx::raw_sql(sql).execute(&mut conn).await?;
                conn.close().await?;
                let (cluster, _) = url.rsplit_once('/').ok_or("the cluster's URL names no database")?;
                Some(format!("{cluster}/{name}"))
            }
        };
        Ok(Self { directory, url })
    }

    /// SQLite's file.
    pub(crate) fn file(&self) -> PathBuf {
        self.directory.path().join("things.db")
    }

    /// PostgreSQL's database; `None` on SQLite.
    pub(crate) fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    /// What the program wrote, of its last start.
    pub(crate) fn log(&self) -> PathBuf {
        self.directory.path().join("bench.log")
    }
}

/// The running program. Dropping it kills it.
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    started_in: Duration,
}

impl Server {
    /// Starts it with its defaults, but for the rate limit and addresses.
    pub(crate) async fn start(binary: &Path, home: &Home) -> Result<Self> {
        Self::start_logging(binary, home, "info").await
    }

    pub(crate) async fn start_logging(binary: &Path, home: &Home, log: &str) -> Result<Self> {
        // Somebody else may take the port before the program does; then the run ends with a word.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = Command::new(binary);
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("THINGS_")) {
            command.env_remove(name);
        }
        command.arg("serve").current_dir(home.directory.path());
        command.env("THINGS_DATA_DIR", home.directory.path());
        if let Some(url) = home.url() {
            command.env("THINGS_DATABASE_URL", url);
        }
        command
            .env("THINGS_HTTP", address.to_string())
            .env("THINGS_METRICS", "off")
            .env("THINGS_GRPC", "off")
            .env("THINGS_HOOKS", "off")
            .env("THINGS_LOG", log)
            .env("THINGS_LIMITS_REQUESTS_PER_SECOND", "0")
            .env("THINGS_ADMIN_EMAIL", EMAIL)
            .env("THINGS_ADMIN_PASSWORD", PASSWORD);
        let output = File::create(home.log())?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        // Ctrl-C is for us; we end it.
        command.process_group(0);
        let spawned = Instant::now();
        let child = command.spawn()?;
        let mut server = Self { child, address, started_in: Duration::ZERO };
        let http = reqwest::Client::builder().no_proxy().build()?;
        let ready = format!("http://{address}/ready");
        loop {
            if http.get(&ready).send().await.is_ok_and(|answer| answer.status().is_success()) {
                server.started_in = spawned.elapsed();
                return Ok(server);
            }
            if let Some(status) = server.child.try_wait()? {
                let log = fs::read_to_string(home.log()).unwrap_or_default();
                return Err(format!("{} ended with {status}:\n{log}", binary.display()).into());
            }
            if spawned.elapsed() > START_LIMIT {
                return Err(format!("{} is not ready after {START_LIMIT:?}", binary.display()).into());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// From the start of the process until `/ready` answered 200.
    pub(crate) fn started_in(&self) -> Duration {
        self.started_in
    }

    /// The memory it holds at the moment, in megabytes: what `ps` calls RSS.
    pub(crate) fn resident(&self) -> Result<f64> {
        let output = Command::new("ps").args(["-o", "rss=", "-p", &self.child.id().to_string()]).output();
        let told = match fs::read_to_string(format!("/proc/{}/status", self.child.id())) {
            Ok(status) => status
                .lines()
                .find_map(|line| line.strip_prefix("VmRSS:"))
                .map(|line| line.trim().trim_end_matches(" kB").to_owned()),
            Err(_) => Some(String::from_utf8_lossy(&output?.stdout).trim().to_owned()),
        };
        let kilobytes: f64 = told.and_then(|text| text.parse().ok()).ok_or("its memory cannot be read")?;
        Ok(kilobytes * 1024.0 / 1_000_000.0)
    }

    /// The most memory it has held, in megabytes, where the system tells.
    pub(crate) fn peak(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let told = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = told.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
        Ok(kilobytes.ok_or("its memory cannot be read")? * 1024.0 / 1_000_000.0)
    }

    /// The administrator of the platform, logged in.
    pub(crate) async fn log_in(&self) -> Result<Client> {
        Client::log_in(self.address, EMAIL, PASSWORD).await
    }

    /// Somebody else.
    pub(crate) async fn log_in_as(&self, email: &str) -> Result<Client> {
        Client::log_in(self.address, email, PASSWORD).await
    }

    /// Somebody without a token.
    pub(crate) fn stranger(&self) -> Result<Client> {
        Client::new(self.address)
    }

    /// Asks it to stop and waits until it has, so that its database is closed in good order.
    pub(crate) async fn stop(mut self) -> Result<()> {
        Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status()?;
        let asked = Instant::now();
        while self.child.try_wait()?.is_none() {
            if asked.elapsed() > STOP_LIMIT {
                return Err(format!("the program has not stopped within {STOP_LIMIT:?}").into());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Errors mean that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

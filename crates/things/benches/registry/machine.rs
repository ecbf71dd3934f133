//! Where all this is measured: numbers mean nothing without it.

use std::{fs, process::Command, thread};

use sqlx::Connection;

use crate::{Result, Task, report::say, server::Engine};

/// The machine, the program and the task.
pub(crate) fn introduce(task: &Task) -> Result<()> {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    say(&format!("machine: {}, {cores} cores, {}", told_by("uname", &["-n"]), processor()));
    say(&format!("commit: {}", commit()));
    let size = fs::metadata(&task.binary)?.len();
    let stripped = tempfile::NamedTempFile::new()?;
    fs::copy(&task.binary, stripped.path())?;
    let strip = Command::new("strip").arg(stripped.path()).status();
    let without_symbols = match strip {
        Ok(status) if status.success() => {
            format!(", {:.1} MB without symbols", megabytes(fs::metadata(stripped.path())?.len()))
        }
        _ => String::new(),
    };
    say(&format!("binary: {:.1} MB as built by cargo build --release{without_symbols}", megabytes(size)));
    say(&format!(
        "task: a group of {}, {} things in all; the program's defaults, no rate limit, loopback, HTTP/1.1, one \
         connection for each client",
        task.group, task.total
    ));
    load();
    Ok(())
}

/// How busy the machine is besides.
pub(crate) fn load() {
    if let Ok(load) = fs::read_to_string("/proc/loadavg") {
        let load: Vec<&str> = load.split(' ').take(3).collect();
        say(&format!("load average: {}", load.join(" ")));
    }
}

/// The engine, its version, and how safely it writes.
pub(crate) async fn version(engine: &Engine) -> Result<String> {
    match engine {
        Engine::Sqlite => {
            let mut conn = sqlx::SqliteConnection::connect("sqlite::memory:").await?;
            let version: String = sqlx::query_scalar("SELECT sqlite_version()").fetch_one(&mut conn).await?;
            Ok(format!("SQLite {version} (write-ahead log, synchronous=FULL)"))
        }
        Engine::Postgres { url } => {
            let mut conn = sqlx::PgConnection::connect(url).await?;
            let told: Vec<(String, String)> = sqlx::query_as(
                "SELECT name, current_setting(name) FROM pg_settings WHERE name IN \
                 ('server_version', 'fsync', 'synchronous_commit', 'full_page_writes', 'shared_buffers') \
                 ORDER BY name = 'server_version' DESC, name",
            )
            .fetch_all(&mut conn)
            .await?;
            conn.close().await?;
            let mut told = told.into_iter();
            let version = told.next().map_or_else(String::new, |(_, version)| version);
            let settings: Vec<String> = told.map(|(name, value)| format!("{name}={value}")).collect();
            Ok(format!("PostgreSQL {version} ({})", settings.join(", ")))
        }
    }
}

fn processor() -> String {
    let linux = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    linux.unwrap_or_else(|| told_by("sysctl", &["-n", "machdep.cpu.brand_string"]))
}

fn commit() -> String {
    let commit = told_by("git", &["rev-parse", "--short", "HEAD"]);
    if told_by("git", &["status", "--porcelain", "--untracked-files=no"]).is_empty() {
        commit
    } else {
        format!("{commit} and changes")
    }
}

/// What a program prints; nothing if it cannot be had.
fn told_by(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

fn megabytes(bytes: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "sizes of programs")]
    let bytes = bytes as f64;
    bytes / 1_000_000.0
}

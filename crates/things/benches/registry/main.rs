//! What the registry costs, measured through the real program on each engine and set against a limit
//! of the same machine in the same minutes. `cargo xtask bench` builds the program, starts
//! PostgreSQL and runs this; see docs/performance.md for what was measured and how to read it.
#![expect(clippy::indexing_slicing, reason = "serde_json answers null where there is nothing")]

mod baseline;
mod bulk;
mod client;
mod import;
mod machine;
mod pages;
mod plans;
mod report;
mod rows;
mod search;
mod server;
mod startup;
mod storm;

use std::{path::PathBuf, process::ExitCode};

use report::{note, say};
use server::{Engine, Home};

/// An error ends the run with one sentence.
type Error = Box<dyn std::error::Error + Send + Sync>;
type Result<T> = std::result::Result<T, Error>;

/// What to measure, and on how much.
pub(crate) struct Task {
    pub(crate) binary: PathBuf,
    engines: Vec<Engine>,
    plans: bool,
    /// Whether nothing but imports is measured.
    import: bool,
    /// Whether each query's time is told.
    pub(crate) verbose: bool,
    /// Things in the group that is filled and paged through.
    pub(crate) group: usize,
    /// Things in the whole database when it is searched.
    pub(crate) total: usize,
}

fn main() -> ExitCode {
    // `cargo bench` and `cargo test --all-targets` come by as well, without anything to measure.
    let Some(binary) = std::env::var_os("THINGS_BENCH_BINARY") else {
        say("registry: nothing to measure; run `cargo xtask bench`");
        return ExitCode::SUCCESS;
    };
    let outcome = Task::of(PathBuf::from(binary), std::env::args().skip(1)).and_then(|task| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(async {
            // Stopping by returning lets servers end and directories go.
            tokio::select! {
                outcome = measure(&task) => outcome,
                () = interrupted() => Err("interrupted".into()),
            }
        })
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("registry: {error}"));
            ExitCode::FAILURE
        }
    }
}

impl Task {
    fn of(binary: PathBuf, arguments: impl Iterator<Item = String>) -> Result<Self> {
        let (mut quick, mut plans, mut verbose, mut import) = (false, false, false, false);
        for argument in arguments {
            match argument.as_str() {
                "--quick" => quick = true,
                "--plans" => plans = true,
                "--verbose" => verbose = true,
                "--import" => import = true,
                // Cargo says so to every benchmark.
                "--bench" => {}
                other => {
                    return Err(format!(
                        "unknown argument {other}; known are --quick, --verbose, --plans, --import"
                    )
                    .into());
                }
            }
        }
        let mut engines = vec![Engine::Sqlite];
        if let Ok(url) = std::env::var("THINGS_BENCH_POSTGRES") {
            engines.push(Engine::Postgres { url });
        }
        let (group, total) = if quick { (10_000, 100_000) } else { (100_000, 1_000_000) };
        Ok(Self { binary, engines, plans, import, verbose, group, total })
    }
}

async fn measure(task: &Task) -> Result<()> {
    machine::introduce(task)?;
    for engine in &task.engines {
        say("");
        say(&format!("## {}", machine::version(engine).await?));
        let empty = Home::new(engine).await?;
        startup::on_empty(task, &empty).await?;
        drop(empty);

        import::import(task, engine).await?;
        if task.import {
            continue;
        }
        let filled = bulk::create(task, engine).await?;
        startup::on_full(task, &filled.home).await?;
        let server = server::Server::start(&task.binary, &filled.home).await?;
        let admin = server.log_in().await?;
        pages::walk(task, &admin, &filled).await?;
        search::search(task, &server, &admin, &filled).await?;
        note("memory after all that", &format!("{:.1} MB", server.resident()?), "");
        storm::storm(&server, &admin, &filled).await?;
        server.stop().await?;
        if task.plans {
            plans::print(task, &filled).await?;
        }
    }
    say("");
    machine::load();
    Ok(())
}

async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let wait = async |kind| match signal(kind) {
        Ok(mut signal) => signal.recv().await.map_or((), drop),
        Err(_) => std::future::pending().await,
    };
    tokio::select! {
        () = wait(SignalKind::interrupt()) => {}
        () = wait(SignalKind::terminate()) => {}
        () = wait(SignalKind::hangup()) => {}
    }
}

//! `things bench`: what it costs to tell whose a device's key is, set against servers that do nothing else.
//!
//! Ours, a bare axum and a bare tonic server are processes of this program, on this machine, in turn under the
//! same load; what counts is how much processor time a request costs each of them. The database is a scratch
//! one. See docs/performance.md for what was measured and how to read it.

pub(crate) mod bare;
mod cells;
mod child;
mod client;
mod fleet;
mod guessing;
mod histogram;
mod load;
mod progress;
mod report;
mod scratch;

use std::{fs, sync::Arc, time::Duration};

use registry::Registry;

use crate::{
    build,
    cli::{Failure, print},
};
use child::Server;
use client::Ask;
use progress::Progress;
use report::{Report, Spread};
use scratch::Scratch;

type Result<T, E = Failure> = std::result::Result<T, E>;

/// How many things a server that keeps nothing in memory is asked for: enough to fill SQLite's own caches.
const WITHOUT_CACHE: usize = 50_000;

/// What to measure, and on how much.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    /// How many things there are.
    pub(crate) things: usize,
    /// How long each cell is measured.
    pub(crate) time: Duration,
    /// On how many connections.
    pub(crate) connections: Vec<usize>,
    /// Whether HTTP and gRPC are asked.
    pub(crate) fronts: (bool, bool),
    /// How many wrong keys are shown; none leaves that part out.
    pub(crate) wrong_keys: usize,
    /// An empty database, or else a scratch one on SQLite.
    pub(crate) database_url: Option<String>,
    /// Whether the result is JSON.
    pub(crate) json: bool,
}

/// Measures, and prints what was measured.
pub(crate) async fn run(task: &Task) -> Result<()> {
    let report = tokio::select! {
        report = measure(task) => report?,
        // Returning ends the servers and removes what was made.
        () = interrupted() => return Err(Failure::Failed("interrupted".to_owned())),
    };
    if !task.json {
        return print(&report.text());
    }
    let text = serde_json::to_string_pretty(&report).map_err(|error| Failure::to("write JSON", &error))?;
    print(&format!("{text}\n"))
}

async fn measure(task: &Task) -> Result<Report> {
    let load_before = load_average();
    let progress = Progress::new();
    let scratch = Scratch::make()?;
    if let Some(url) = &task.database_url {
        let found = Registry::has_schema(url).await;
        if found.map_err(|error| Failure::to("look into the database", &error))? {
            return Err(Failure::Usage(
                "--database-url: this database is in use by Things already; give an empty one, which is yours to drop \
                 afterwards"
                    .to_owned(),
            ));
        }
    }
    let url = task.database_url.clone().unwrap_or_else(|| scratch.database_url());
    let fleet = Arc::new(fleet::seed(&url, scratch.keyring()?, task.things, &progress).await?);
    let asks: Vec<Ask> = Ask::ALL
        .into_iter()
        .filter(|ask| if ask.is_http() { task.fronts.0 } else { task.fronts.1 })
        .collect();
    let ask = asks.first().copied().unwrap_or(Ask::HttpIdentify);
    let url = task.database_url.as_deref();
    let mut forgetful = Server::ours(&scratch, url, 0).await?;
    let without_cache = cells::first_time(&mut forgetful, &fleet, ask, WITHOUT_CACHE, &progress).await?;
    drop(forgetful);
    // Room for all: the cache divides its room among parts, which are not filled evenly.
    let cached = fleet.things.len() + fleet.things.len() / 8 + 10_000;
    let mut ours = Server::ours(&scratch, url, cached).await?;
    let first_time = cells::first_time(&mut ours, &fleet, ask, usize::MAX, &progress).await?;
    let memory = cells::memory(&first_time, &without_cache);
    let mut bare = Server::bare(&scratch, &fleet).await?;

    let mut cells = Vec::new();
    for ask in &asks {
        for keys in [Spread::Hot, Spread::Uniform] {
            for connections in &task.connections {
                let name = format!("{}, {} keys, {connections} connections", ask.name(), keys.name());
                progress.at(&format!("{name} …"));
                let which = (*ask, keys, *connections);
                let cell = cells::cell((&mut ours, &mut bare), &fleet, which, task.time).await?;
                let ratio = cell.cpu_ratio.map_or_else(|| "?".to_owned(), |ratio| format!("{ratio:.2}"));
                progress.done(&format!("{name}: {ratio} × the bare server's CPU"));
                cells.push(cell);
            }
        }
    }
    let guessing = match task.wrong_keys {
        0 => None,
        count => {
            let servers = (&mut ours, &mut bare);
            Some(guessing::guess(servers, &fleet, ask, count, task.time * 2, &progress).await?)
        }
    };
    let mut notes = Vec::new();
    if let Some(url) = &task.database_url {
        let scheme = url.split(':').next().unwrap_or_default();
        notes.push(format!("The {scheme} database still holds the things of this measurement; drop it."));
    }
    if first_time.measured.cpu_us.is_none() {
        notes.push(
            "There is no /proc here: neither CPU nor memory of the servers can be measured.".to_owned(),
        );
    }
    let mut report = Report {
        version: build::VERSION,
        commit: build::COMMIT,
        engine: fleet.engine,
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        load_before,
        things: fleet.things.len(),
        seconds_per_cell: task.time.as_secs_f64(),
        seeded_in_seconds: fleet.seconds,
        first_time,
        without_cache,
        memory,
        cells,
        guessing,
        aims: Vec::new(),
        notes,
    };
    report.judge();
    Ok(report)
}

fn load_average() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
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

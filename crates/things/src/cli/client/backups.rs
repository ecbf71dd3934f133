//! `things backup` and `things restore`: a whole installation as a file.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicU64},
};

use clap::{Arg, Command, value_parser};
use serde::Deserialize;
use serde_json::Value;
use things_client::{Problem, Upload};
use tokio::fs::File;

use super::{
    Failure,
    asked::{Asked, note},
    given::file,
    output::counted,
    progress::{Counted, Counts, Progress, interruptible, watched},
    secrets::Whole,
};

pub(super) fn commands() -> [Command; 2] {
    [
        Command::new("backup")
            .about("Write everything the installation holds into a file, as its administrator")
            .long_about(
                "Writes everything the installation holds into a file, for its owner only. The file appears under its name \
                 when it is whole. What guards the devices' keys is not in it: keep a copy of things.keys apart from it.",
            )
            .arg(file("to", "Which file; one that exists is replaced").required(true)),
        Command::new("restore")
            .about("Fill an empty installation from a backup, of Things or Mainflux's, as its administrator")
            .arg(
                Arg::new("FILE").required(true).value_parser(value_parser!(PathBuf)).help("The backup"),
            ),
    ]
}

pub(super) async fn backup(asked: &Asked<'_>) -> Result<(), Failure> {
    let Some(to) = asked.given.path("to") else { return Ok(()) };
    interruptible(|| "nothing is written".to_owned(), write(asked, to)).await
}

async fn write(asked: &Asked<'_>, to: &Path) -> Result<(), Failure> {
    let failed = |error| Failure::asking("back up", &error);
    let mut lines =
        asked.client.get("/backup").accept("application/x-ndjson").stream().await.map_err(failed)?.lines();
    let mut whole = Whole::begin(to, true)?;
    let mut progress = Progress::begin("backup", Counts::Rows, None);
    let (mut rows, mut of, mut last) = (0_u64, None, Vec::new());
    while let Some(mut line) = lines.next_line().await.map_err(failed)? {
        if rows == 0 {
            of = announced(&line);
        } else {
            progress.at(rows, of);
        }
        rows += 1;
        last.clone_from(&line);
        line.push(b'\n');
        whole.write(&line)?;
    }
    progress.end();
    // Without its last line it is no backup, whatever else arrived.
    let end: Value = serde_json::from_slice(&last).unwrap_or_default();
    if end.get("end").and_then(Value::as_bool) != Some(true) {
        return Err(Failure::Failed("the backup broke off, and nothing is written; try again".to_owned()));
    }
    whole.finish()?;
    note(&format!(
        "{} holds {}; keep the installation's things.keys apart from it",
        to.display(),
        counted(rows.saturating_sub(2), "row")
    ));
    Ok(())
}

/// How many rows the manifest, which is the first line, announces.
fn announced(line: &[u8]) -> Option<u64> {
    let manifest: Value = serde_json::from_slice(line).ok()?;
    let counts = ["counts", "tables", "rows"].iter().find_map(|name| manifest.get(*name));
    match counts? {
        Value::Object(tables) => Some(tables.values().filter_map(Value::as_u64).sum()),
        count => count.as_u64(),
    }
}

/// What the server tells while it restores.
#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Event {
    Progress {
        rows_done: u64,
        rows: Option<u64>,
    },
    Done(Value),
    Failed {
        problem: Problem,
    },
    #[serde(other)]
    Other,
}

pub(super) async fn restore(asked: &Asked<'_>) -> Result<(), Failure> {
    let Some(from) = asked.given.path("FILE") else { return Ok(()) };
    let failed = |error: std::io::Error| Failure::Usage(format!("cannot read {}: {error}", from.display()));
    let file = File::open(from).await.map_err(failed)?;
    let length = file.metadata().await.map_err(failed)?.len();
    asked.confirm(&format!("Fill the installation at {} from {}", asked.client.url(), from.display()))?;
    let words =
        || "the server ends what it has begun: all of it or nothing; `things org list` will tell".to_owned();
    interruptible(words, fill(asked, file, length)).await
}

async fn fill(asked: &Asked<'_>, file: File, length: u64) -> Result<(), Failure> {
    let failed = |error| Failure::asking("restore", &error);
    let counter = Arc::new(AtomicU64::new(0));
    let upload = Upload::new(Counted::new(file, Arc::clone(&counter)), Some(length));
    let sending = asked.client.post("/restore").upload("application/x-ndjson", upload);
    let bar = Progress::begin("upload", Counts::Bytes, Some(length));
    let mut events = watched(bar, counter, Some(length), sending).await.map_err(failed)?.lines();
    let mut bar = Progress::begin("restore", Counts::Rows, None);
    while let Some(event) = events.next::<Event>().await.map_err(failed)? {
        match event {
            Event::Progress { rows_done, rows } => bar.at(rows_done, rows),
            Event::Done(told) => {
                bar.end();
                asked.done("everything is restored; log in again if you are not let in", &[], Some(&told))?;
                return Ok(());
            }
            Event::Failed { problem } => {
                bar.end();
                return Err(Failure::told("restore", &problem));
            }
            Event::Other => {}
        }
    }
    bar.end();
    Err(Failure::Failed(
        "the server's answer broke off; whether everything is restored or nothing, `things org list` tells"
            .to_owned(),
    ))
}

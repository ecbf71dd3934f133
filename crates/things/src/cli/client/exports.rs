//! `things export`: a group's things as a file, without their keys.

use std::{
    io::{self, IsTerminal, Write},
    path::PathBuf,
};

use clap::Command;

use super::{
    Failure,
    asked::{Asked, note},
    given::{file, option},
    inert,
    output::counted,
    progress::{Counts, Progress, interruptible},
    secrets::Whole,
};

pub(super) fn command() -> Command {
    Command::new("export")
        .about("Write the things of --group, without their keys, as `things import` reads them")
        .arg(option("format", "FORMAT", "csv or ndjson [default: csv]").value_parser(["csv", "ndjson"]))
        .arg(file("to", "Write this file, which appears when it is whole [default: the standard output]"))
}

pub(super) async fn run(asked: &Asked<'_>) -> Result<(), Failure> {
    let group =
        asked.group().await?.ok_or_else(|| Failure::Usage("say of which group: --group".to_owned()))?;
    let to = asked.given.path("to");
    let words = || match to {
        Some(_) => "nothing is written".to_owned(),
        None => "what was written is not all".to_owned(),
    };
    interruptible(words, export(asked, &group, to)).await
}

async fn export(asked: &Asked<'_>, group: &str, to: Option<&PathBuf>) -> Result<(), Failure> {
    let failed = |error| Failure::asking("export", &error);
    let format = asked.given.text("format").unwrap_or("csv");
    let request = asked.client.get(&format!("/groups/{group}/export")).query("format", format);
    let mut response = request.accept("*/*").stream().await.map_err(failed)?;
    let mut whole = to.map(|path| Whole::begin(path, false)).transpose()?;
    let terminal = to.is_none() && io::stdout().is_terminal();
    let mut progress = (!terminal).then(|| Progress::begin("export", Counts::Bytes, None));
    let (mut bytes, mut lines) = (0, 0);
    let mut text = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        bytes += u64::try_from(chunk.len()).unwrap_or_default();
        lines += chunk.iter().filter(|byte| **byte == b'\n').count();
        if let Some(progress) = &mut progress {
            progress.at(bytes, None);
        }
        match &mut whole {
            Some(whole) => whole.write(&chunk)?,
            None if terminal => {
                // Whole lines, so that no character is cut in two.
                text.extend_from_slice(&chunk);
                if let Some(end) = text.iter().rposition(|byte| *byte == b'\n') {
                    let rest = text.split_off(end + 1);
                    super::super::print(&inert::lines(&String::from_utf8_lossy(&text)))?;
                    text = rest;
                }
            }
            None => match io::stdout().write_all(&chunk) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                written => written.map_err(|error| Failure::to("write", &error))?,
            },
        }
    }
    if let Some(progress) = progress {
        progress.end();
    }
    if let (Some(whole), Some(path)) = (whole, to) {
        whole.finish()?;
        let rows = if format == "csv" { lines.saturating_sub(1) } else { lines };
        let rows = counted(u64::try_from(rows).unwrap_or_default(), "line");
        note(&format!("{} is written: {rows}", path.display()));
    }
    Ok(())
}

//! `things move`: copies an installation to another database, on whichever engine.

use std::{
    io::{self, IsTerminal, Write},
    path::PathBuf,
    time::{Duration, Instant},
};

use registry::backup::{self, Step};

use super::{Failure, print, setup};
use crate::config::{Config, database_file, without_password};

/// How often it is told how far it has come: over and over on one line of a terminal, or else in lines.
const ON_TERMINAL: Duration = Duration::from_millis(100);
const IN_LINES: Duration = Duration::from_secs(5);

/// Copies everything from one database to the other; what is in the first stays there.
pub(super) async fn run(config: &Config, from: &str, to: &str) -> Result<(), Failure> {
    for (name, url) in [("FROM_URL", from), ("TO_URL", to)] {
        if !["sqlite:", "postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
            let rule = "must begin with `sqlite:` or `postgres://`";
            return Err(Failure::Usage(format!("{name} {rule}")));
        }
    }
    if from == to {
        return Err(Failure::Usage("FROM_URL and TO_URL are one database".to_owned()));
    }
    let source = database_file(from);
    if let Some(file) = source.as_ref().filter(|file| !file.is_file()) {
        return Err(Failure::Failed(format!("there is no database {} to move from", file.display())));
    }
    let keyring = setup::keyring(config, false)?;
    let mut held = Vec::new();
    for file in [&source, &database_file(to)].into_iter().flatten() {
        held.push(setup::claim_file(file)?);
    }
    if let Some(file) = database_file(to) {
        setup::make_database_file(&file)?;
    }
    let mut told = Told { at: None, terminal: io::stderr().is_terminal(), shown: false };
    let what = format!("move {} to {}", without_password(from), without_password(to));
    let moved = backup::copy(from, to, &keyring, &mut |step| told.step(step)).await;
    told.end();
    drop(held);
    let moved = moved.map_err(|error| Failure::to(&what, &error))?;
    let mut text = format!("Copied {} rows to {}:\n\n", moved.rows(), without_password(to));
    for (table, rows) in &moved.tables {
        text.push_str(&format!("  {table:<22}{rows:>10}\n"));
    }
    text.push_str(
        "\nThe keys stay where they are. Set database_url to the new database, start, and look with `things doctor`;\n\
         the old database is as it was, and can go once the new one has been backed up.\n",
    );
    print(&text)
}

/// What was told, and when.
struct Told {
    at: Option<Instant>,
    terminal: bool,
    shown: bool,
}

impl Told {
    fn step(&mut self, step: Step) {
        let pause = if self.terminal { ON_TERMINAL } else { IN_LINES };
        if self.at.is_some_and(|at| at.elapsed() < pause) && step.rows_done < step.rows {
            return;
        }
        self.at = Some(Instant::now());
        let Step { table, rows_done, rows } = step;
        let percent = rows_done.saturating_mul(100).checked_div(rows).unwrap_or(100);
        let line = format!("{percent:>3} %  {rows_done} of {rows} rows  {table:<22}");
        // If nobody reads it, it is told to nobody.
        let _ = match self.terminal {
            true => write!(io::stderr(), "\r{line}"),
            false => writeln!(io::stderr(), "{}", line.trim_end()),
        };
        self.shown = true;
    }

    fn end(&self) {
        if self.terminal && self.shown {
            let _ = writeln!(io::stderr());
        }
    }
}

/// What a person gives, as the command line has it.
pub(super) fn command() -> clap::Command {
    let url = |name: &'static str, help: &'static str| clap::Arg::new(name).required(true).help(help);
    clap::Command::new("move")
        .about("Copy an installation to another database, from SQLite to PostgreSQL or back; stop it first")
        .arg(url("FROM_URL", "The database that has it: sqlite:PATH or postgres://…"))
        .arg(url("TO_URL", "An empty one: sqlite:PATH or postgres://…"))
}

/// Where SQLite's lock for a database is.
pub(super) fn lock_of(database: &std::path::Path) -> PathBuf {
    let mut path = database.to_owned().into_os_string();
    path.push("-serving");
    path.into()
}

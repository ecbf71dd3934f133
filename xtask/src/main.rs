//! Chores of the project, run as `cargo xtask <chore>`. They need Rust, git and a Unix, nothing else.
//!
//! A chore is a module with `run`, named in [`CHORES`] and nowhere else.
#![expect(clippy::print_stderr, reason = "a chore talks to the person who started it")]

mod bench;
mod debian;
mod deny;
mod planted;
mod postgres;
mod process;
mod test;
mod tidy;

use std::{env, error::Error, ffi::OsString, process::ExitCode};

/// A chore ends well or with one sentence that says what to do.
type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A chore's name, what it does, and the function that gets the arguments after the name.
type Chore = (&'static str, &'static str, fn(Vec<OsString>) -> Result<()>);

const CHORES: &[Chore] = &[
    (
        "test",
        "run every test on SQLite and PostgreSQL: [--sqlite-only] [--brokers] [--planted] [-- ARGS FOR CARGO TEST]",
        test::run,
    ),
    (
        "bench",
        "measure the release build on both engines: [--quick] [--verbose] [--plans] [--import]",
        bench::run,
    ),
    ("planted", "take rules out, one at a time, and see that their tests fail", planted::run),
    ("tidy", "check the house's rules over the source", tidy::run),
    ("deny", "check dependencies: advisories (THINGS_ADVISORY_DB), licences, bans, sources", deny::run),
];

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    let name = arguments.next().unwrap_or_default();
    let Some((_, _, run)) = CHORES.iter().find(|(chore, ..)| name == **chore) else {
        eprintln!("usage: cargo xtask <chore>");
        for (chore, about, _) in CHORES {
            eprintln!("  {chore:<7} {about}");
        }
        return ExitCode::FAILURE;
    };
    match run(arguments.collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", name.display());
            ExitCode::FAILURE
        }
    }
}

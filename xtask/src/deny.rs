//! `cargo xtask deny`: advisories, licences, bans and sources of all dependencies, by cargo-deny.

use std::{
    env,
    ffi::OsString,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    Result,
    process::{Interrupts, cargo, root, say},
};

/// A git repository or bundle that holds the RustSec advisory database on its branch `main`.
const DATABASE: &str = "THINGS_ADVISORY_DB";

/// What cargo-deny believes it clones, and where `db-path` in deny.toml tells it to.
const UPSTREAM: &str = "https://github.com/RustSec/advisory-db";
const CLONES: &str = "target/advisory-db";

pub(crate) fn run(arguments: Vec<OsString>) -> Result<()> {
    if let Some(argument) = arguments.first() {
        return Err(format!("takes no arguments, got {}", argument.display()).into());
    }
    let interrupts = Interrupts::listen()?;
    if !installed()? {
        say("deny: skipped, cargo-deny is not installed (cargo install cargo-deny --locked)");
        return Ok(());
    }

    let mut checks = vec!["bans", "licenses", "sources"];
    match env::var_os(DATABASE).map(PathBuf::from) {
        None => say(&format!("deny: advisories are skipped, {DATABASE} names no copy of the database")),
        Some(database) if !database.exists() => {
            let shown = database.display();
            say(&format!("deny: advisories are skipped, there is nothing at {DATABASE}={shown}"));
        }
        Some(database) => {
            unpack(&database, &interrupts)?;
            checks.insert(0, "advisories");
        }
    }

    // All platforms' crates are looked at, and the build has only fetched its own.
    let mut fetch = cargo()?;
    fetch.args(["fetch", "--quiet", "--locked"]);
    if !interrupts.run(&mut fetch)?.success() {
        say("deny: `cargo fetch` failed; going on with what is there");
    }
    let mut check = cargo()?;
    check.args(["deny", "--offline", "check"]).args(&checks);
    if !interrupts.run(&mut check)?.success() {
        return Err("cargo-deny found something; exceptions are made in deny.toml, with the reason".into());
    }
    say(&format!("deny: {} are fine", checks.join(", ")));
    Ok(())
}

fn installed() -> Result<bool> {
    Ok(cargo()?.args(["deny", "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status()?.success())
}

/// Lets cargo-deny clone the database itself, for only it knows the directory's name, and has git
/// take the copy at hand for the upstream.
fn unpack(database: &Path, interrupts: &Interrupts) -> Result<()> {
    let database = database.canonicalize()?;
    let clones = root()?.join(CLONES);
    match fs::remove_dir_all(&clones) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        _ => fs::create_dir_all(&clones)?,
    }
    let mut fetch = cargo()?;
    fetch.args(["deny", "fetch", "db"]);
    instead_of_upstream(&mut fetch, &database);
    if !interrupts.run(&mut fetch)?.success() {
        return Err(format!("{} is not a git repository or bundle with `main`", database.display()).into());
    }
    Ok(())
}

fn instead_of_upstream(command: &mut Command, database: &Path) {
    let mut key = OsString::from("url.");
    key.push(database);
    key.push(".insteadOf");
    command.env("GIT_CONFIG_COUNT", "1").env("GIT_CONFIG_KEY_0", key).env("GIT_CONFIG_VALUE_0", UPSTREAM);
}

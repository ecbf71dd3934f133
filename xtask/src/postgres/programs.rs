//! Where PostgreSQL's server programs are, and how they get there on Debian.

use std::{env, fs, path::PathBuf, process::Command};

use crate::{
    Result,
    debian::{apt_get, may_install},
    process::{Interrupts, say},
};

const OLDEST: u32 = 13;

const HOW_TO: &str = "needs PostgreSQL 13 or newer (initdb, postgres): install the package `postgresql` \
                      (apt, dnf) or `postgresql@17` (brew), or leave it out with --sqlite-only";

/// Where packages put the programs when they are not on the PATH: each directory of `parent` whose
/// name begins with `prefix`, and in it `bin`.
const PLACES: &[(&str, &str)] = &[
    ("/usr/lib/postgresql", ""),
    ("/usr", "pgsql-"),
    ("/opt/homebrew/opt", "postgresql"),
    ("/usr/local/opt", "postgresql"),
    ("/home/linuxbrew/.linuxbrew/opt", "postgresql"),
    ("/Applications/Postgres.app/Contents/Versions", ""),
];

/// Debian's package makes and starts a cluster for the system unless a file here tells it not to.
const CREATECLUSTER: &str = "/etc/postgresql-common/createcluster.d";

/// A directory with `initdb` and `postgres`.
pub(super) struct Programs {
    pub(super) directory: PathBuf,
    /// As initdb tells it, for people.
    pub(super) version: String,
    major: u32,
}

pub(super) fn find_or_install(interrupts: &Interrupts) -> Result<Programs> {
    if let Some(programs) = find() {
        return Ok(programs);
    }
    if !may_install() {
        return Err(HOW_TO.into());
    }
    install(interrupts).map_err(|error| format!("{error}; {HOW_TO}"))?;
    find().ok_or_else(|| HOW_TO.into())
}

/// The PATH is the user's choice; elsewhere the newest wins.
fn find() -> Option<Programs> {
    let path = env::var_os("PATH").unwrap_or_default();
    // A link on the PATH may point at one program only; its target has the others beside it.
    let linked =
        |directory: PathBuf| Some(directory.join("initdb").canonicalize().ok()?.parent()?.to_owned());
    env::split_paths(&path)
        .filter_map(linked)
        .find_map(examine)
        .or_else(|| elsewhere().into_iter().filter_map(examine).max_by_key(|programs| programs.major))
}

fn elsewhere() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for (parent, prefix) in PLACES {
        for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
            if entry.file_name().to_str().is_some_and(|name| name.starts_with(prefix)) {
                found.push(entry.path().join("bin"));
            }
        }
    }
    found
}

fn examine(directory: PathBuf) -> Option<Programs> {
    if !directory.join("postgres").exists() {
        return None;
    }
    let output = Command::new(directory.join("initdb")).arg("--version").output().ok()?;
    let (version, major) = parse_version(&String::from_utf8(output.stdout).ok()?)?;
    (major >= OLDEST).then_some(Programs { directory, version, major })
}

/// `initdb (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)`, `17beta1` and the like.
fn parse_version(output: &str) -> Option<(String, u32)> {
    let version = output.trim().split_once("(PostgreSQL) ")?.1;
    let digits = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
    Some((format!("PostgreSQL {version}"), version.get(..digits)?.parse().ok()?))
}

fn install(interrupts: &Interrupts) -> Result<()> {
    say("postgres: not found; installing Debian's packages (apt-get)");
    apt_get(interrupts, &["update"])?;
    // First the part that reads the policy, then the policy, then the server.
    apt_get(interrupts, &["install", "postgresql-common"])?;
    fs::create_dir_all(CREATECLUSTER)?;
    let policy = tempfile::Builder::new().prefix("things-").suffix(".conf").tempfile_in(CREATECLUSTER)?;
    fs::write(policy.path(), "create_main_cluster = false\n")?;
    // The extensions of `contrib` have been in the server's package since PostgreSQL 10.
    apt_get(interrupts, &["install", "postgresql"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_initdb_prints_them() {
        let debian = "initdb (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)\n";
        assert_eq!(parse_version(debian), Some(("PostgreSQL 15.20 (Debian 15.20-0+deb12u1)".into(), 15)));
        assert_eq!(parse_version("initdb (PostgreSQL) 19beta1").map(|(_, major)| major), Some(19));
        assert_eq!(parse_version("initdb: error"), None);
    }
}

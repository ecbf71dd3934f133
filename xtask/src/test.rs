//! `cargo xtask test`: every test on both engines, from nothing.

use std::{
    ffi::OsString,
    process::{Command, Stdio},
    time::Instant,
};

use crate::{
    Result,
    debian::{apt_get, may_install},
    postgres::{Cluster, FORGETFUL},
    process::{Interrupts, cargo, say},
};

/// Where the tests find a PostgreSQL cluster that is theirs to fill.
const POSTGRES: &str = "THINGS_TEST_POSTGRES";

/// Programs that tests use and Debian has: the program, its packages, and what is left out without it.
/// Chromium has nothing to write with unless there is a font.
const TOOLS: &[(&str, &str, &str)] = &[
    ("curl", "curl", "README.md is not executed"),
    ("jq", "jq", "README.md is not executed"),
    ("chromium", "chromium fonts-liberation", "the pages are not tried in a browser"),
    ("chromedriver", "chromium-driver", "the pages are not tried in a browser"),
];

pub(crate) fn run(arguments: Vec<OsString>) -> Result<()> {
    let (sqlite_only, extra) = parse(arguments)?;
    let interrupts = Interrupts::listen()?;
    let started = Instant::now();

    let mut tests = cargo()?;
    tests.arg("test");
    // Cargo would let `--workspace` win over a package that was asked for.
    if !extra.iter().any(names_package) {
        tests.arg("--workspace");
    }
    tests.args(extra);

    let cluster = if sqlite_only {
        say("test: without PostgreSQL, as asked");
        tests.env_remove(POSTGRES);
        None
    } else {
        let cluster = Cluster::start(&interrupts, FORGETFUL)?;
        tests.env(POSTGRES, cluster.url());
        Some(cluster)
    };
    provide_tools(&interrupts);
    say("test: cargo test");
    let status = interrupts.run(&mut tests);
    drop(cluster);

    let seconds = started.elapsed().as_secs();
    let took = format!("{} min {:02} s", seconds / 60, seconds % 60);
    match status {
        Ok(status) if status.success() => {
            let engines = if sqlite_only { "SQLite" } else { "SQLite and PostgreSQL" };
            say(&format!("test: all passed on {engines} in {took}"));
            Ok(())
        }
        Ok(_) => Err(format!("failed after {took}").into()),
        Err(error) => Err(format!("{error} after {took}").into()),
    }
}

/// Installs what is missing, where it may; else some tests are skipped, which is no reason to stop.
fn provide_tools(interrupts: &Interrupts) {
    let is_missing = |tool: &&(&str, &str, &str)| {
        let mut version = Command::new(tool.0);
        version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
        !version.status().is_ok_and(|status| status.success())
    };
    let missing: Vec<_> = TOOLS.iter().filter(is_missing).collect();
    if missing.is_empty() {
        return;
    }
    if !may_install() {
        for (program, packages, without) in missing {
            say(&format!("test: without {program} {without}; Debian's packages: {packages}"));
        }
        return;
    }
    let packages: Vec<&str> = missing.iter().flat_map(|(_, packages, _)| packages.split(' ')).collect();
    say(&format!("test: installing {} (apt-get)", packages.join(", ")));
    let install = [&["install"], packages.as_slice()].concat();
    if let Err(error) = apt_get(interrupts, &["update"]).and_then(|()| apt_get(interrupts, &install)) {
        say(&format!("test: {error}; what needs them is left out"));
    }
}

/// Whether PostgreSQL is left out, and what cargo gets.
fn parse(arguments: Vec<OsString>) -> Result<(bool, Vec<OsString>)> {
    let mut arguments = arguments.into_iter();
    let mut sqlite_only = false;
    for argument in &mut arguments {
        match argument.to_str() {
            Some("--sqlite-only") => sqlite_only = true,
            Some("--") => break,
            _ => {
                let shown = argument.display();
                return Err(format!("unknown argument {shown}; what cargo shall get goes after `--`").into());
            }
        }
    }
    Ok((sqlite_only, arguments.collect()))
}

fn names_package(argument: &OsString) -> bool {
    argument.to_str().is_some_and(|text| text.starts_with("-p") || text.starts_with("--package"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn what_follows_the_dashes_is_cargos() {
        assert_eq!(parse(words("")).unwrap(), (false, vec![]));
        assert_eq!(parse(words("--sqlite-only")).unwrap(), (true, vec![]));
        assert_eq!(parse(words("-- -p x -- --nocapture")).unwrap(), (false, words("-p x -- --nocapture")));
        assert!(parse(words("-p x")).is_err());
    }
}

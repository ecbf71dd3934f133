//! `cargo xtask test`: every test on both engines, from nothing.

use std::{
    ffi::OsString,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use crate::{
    Result,
    debian::{apt_get, may_install},
    planted::{FEATURE, PLANTED, hunt},
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

/// Tells the tests that real brokers may be started.
const BROKERS: &str = "THINGS_TEST_BROKERS";

/// Brokers that Debian has with all that they need to ask: the program, its package. Mosquitto is not one
/// of them, because the plugin by which it asks is in no package.
const BROKER_PACKAGES: &[(&str, &str)] = &[("/usr/lib/rabbitmq/bin/rabbitmq-server", "rabbitmq-server")];

/// What is asked for.
#[derive(Debug, Default, PartialEq)]
struct Asked {
    sqlite_only: bool,
    brokers: bool,
    planted: bool,
    extra: Vec<OsString>,
}

pub(crate) fn run(arguments: Vec<OsString>) -> Result<()> {
    let Asked { sqlite_only, brokers, planted, extra } = parse(arguments)?;
    let interrupts = Interrupts::listen()?;
    let started = Instant::now();

    let mut tests = cargo()?;
    tests.arg("test").env_remove(PLANTED);
    if planted {
        // The faults lie in the code and are off: one build serves the tests and the hunt.
        tests.args(FEATURE);
    }
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
    if brokers {
        provide_brokers(&interrupts)?;
        tests.env(BROKERS, "1");
    } else {
        tests.env_remove(BROKERS);
    }
    say("test: cargo test");
    let status = interrupts.run(&mut tests);
    drop(cluster);

    let seconds = started.elapsed().as_secs();
    let took = format!("{} min {:02} s", seconds / 60, seconds % 60);
    match status {
        Ok(status) if status.success() => {
            let engines = if sqlite_only { "SQLite" } else { "SQLite and PostgreSQL" };
            say(&format!("test: all passed on {engines} in {took}"));
            if planted { hunt(&interrupts) } else { Ok(()) }
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

/// Installs the brokers that are missing. Who asks for them wants them tried: without one it is an error.
fn provide_brokers(interrupts: &Interrupts) -> Result<()> {
    let missing = || BROKER_PACKAGES.iter().filter(|(program, _)| !Path::new(program).exists());
    let packages: Vec<&str> = missing().map(|(_, package)| *package).collect();
    if packages.is_empty() {
        return Ok(());
    }
    if !may_install() {
        return Err(format!("install Debian's packages {}, or run this as root", packages.join(", ")).into());
    }
    say(&format!("test: installing {} (apt-get)", packages.join(", ")));
    apt_get(interrupts, &["update"])?;
    apt_get(interrupts, &[&["install"], packages.as_slice()].concat())?;
    match missing().next() {
        Some((program, package)) => Err(format!("{package} has no {program}").into()),
        None => Ok(()),
    }
}

fn parse(arguments: Vec<OsString>) -> Result<Asked> {
    let mut arguments = arguments.into_iter();
    let mut asked = Asked::default();
    for argument in &mut arguments {
        match argument.to_str() {
            Some("--sqlite-only") => asked.sqlite_only = true,
            Some("--brokers") => asked.brokers = true,
            Some("--planted") => asked.planted = true,
            Some("--") => break,
            _ => {
                let shown = argument.display();
                return Err(format!("unknown argument {shown}; what cargo shall get goes after `--`").into());
            }
        }
    }
    asked.extra = arguments.collect();
    Ok(asked)
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
        let asked = |sqlite_only, brokers, extra| Asked {
            sqlite_only,
            brokers,
            extra: words(extra),
            ..Asked::default()
        };
        assert_eq!(parse(words("")).unwrap(), asked(false, false, ""));
        assert_eq!(parse(words("--sqlite-only")).unwrap(), asked(true, false, ""));
        assert!(parse(words("--planted")).unwrap().planted);
        assert_eq!(parse(words("--brokers -- -p x")).unwrap(), asked(false, true, "-p x"));
        assert_eq!(parse(words("-- -p x -- --brokers")).unwrap(), asked(false, false, "-p x -- --brokers"));
        assert!(parse(words("-p x")).is_err());
    }
}

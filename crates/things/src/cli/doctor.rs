//! `things doctor`: looks at everything that can be wrong with an installation, and says what to do.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use registry::{
    Registry,
    doctor::{Finding, Severity},
};

use super::{Failure, print, setup};
use crate::{config::Config, health::free_space, serve::tls};

/// Below this a person should look.
const LITTLE_DISK: u64 = 1 << 30;

pub(super) async fn examine(config: &Config) -> Result<(), Failure> {
    let mut findings = files(config);
    findings.extend(database(config).await);
    let mut text = String::new();
    for finding in &findings {
        let mark = match finding.severity {
            Severity::Fine => "ok     ",
            Severity::Warning => "warning",
            Severity::Error => "ERROR  ",
        };
        text.push_str(&format!("{mark}  {:<22} {}\n", finding.subject, finding.message));
        if !finding.advice.is_empty() {
            text.push_str(&format!("{:33}-> {}\n", "", finding.advice));
        }
    }
    print(&text)?;
    match findings.iter().map(|finding| finding.severity).max() {
        Some(Severity::Error) => Err(Failure::Unwell),
        _ => Ok(()),
    }
}

fn finding(
    severity: Severity,
    subject: &'static str,
    message: impl Into<String>,
    advice: &'static str,
) -> Finding {
    Finding { severity, subject, message: message.into(), advice }
}

/// What can be seen without the database.
fn files(config: &Config) -> Vec<Finding> {
    let dir = config.data_dir();
    let mut findings = Vec::new();
    if dir.is_dir() {
        findings.push(private("data directory", dir, "run `chmod 700` on it"));
        findings.push(match free_space(dir) {
            Some(free) if free < LITTLE_DISK => finding(
                Severity::Warning,
                "disk",
                format!("{} MiB free", free >> 20),
                "make room before it is full",
            ),
            Some(free) => finding(Severity::Fine, "disk", format!("{} GiB free", free >> 30), ""),
            None => finding(
                Severity::Warning,
                "disk",
                "the free space cannot be told",
                "look at it by other means",
            ),
        });
    } else {
        let message = format!("{} does not exist", dir.display());
        findings.push(finding(Severity::Warning, "data directory", message, "the first start makes it"));
    }
    if let Some((certificate, key)) = config.tls() {
        findings.push(match tls::acceptor(certificate, key) {
            Ok(_) => finding(Severity::Fine, "TLS", format!("{} and its key fit", certificate.display()), ""),
            Err(error) => finding(Severity::Error, "TLS", error.to_string(), "see tls_cert and tls_key"),
        });
        findings.push(private("TLS key", key, "run `chmod 600` on it"));
    }
    findings
}

/// Whether only its owner can look into it.
fn private(subject: &'static str, path: &Path, advice: &'static str) -> Finding {
    let shown = path.display();
    match fs::metadata(path).map(|found| found.permissions().mode() & 0o777) {
        Ok(mode) if mode & 0o077 == 0 => finding(Severity::Fine, subject, format!("{shown} is private"), ""),
        Ok(mode) => finding(
            Severity::Warning,
            subject,
            format!("others can look into {shown} (mode {mode:o})"),
            advice,
        ),
        Err(error) => finding(Severity::Error, subject, format!("{shown}: {error}"), ""),
    }
}

async fn database(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(file) = config.database_file() {
        if !file.exists() {
            let message = format!("{} does not exist", file.display());
            let advice = "`things migrate` makes it, and so does the first start of `things serve`";
            return vec![finding(Severity::Warning, "database", message, advice)];
        }
        findings.push(private("database file", &file, "run `chmod 600` on it"));
    }
    let failed = |subject, failure: Failure, advice| {
        vec![finding(Severity::Error, subject, failure.to_string(), advice)]
    };
    // Before the keys: they are made with the schema.
    match Registry::has_schema(&config.database_url()).await {
        Ok(true) => {}
        Ok(false) => {
            let message = format!("{} has no schema yet", config.shown_database_url());
            let advice = "`things migrate` makes it, and so does the first start of `things serve`";
            findings.push(finding(Severity::Warning, "database", message, advice));
            return findings;
        }
        Err(error) => {
            let failure = Failure::to("use it", &error);
            return failed("database", failure, "see database_url, and whether it is running");
        }
    }
    let keyring = match setup::keyring(config, false) {
        Ok(keyring) => keyring,
        Err(failure) => {
            return failed("keys", failure, "put back the key file that belongs to this database");
        }
    };
    let registry = match Registry::attach(config.registry(keyring)).await {
        Ok(registry) => registry,
        Err(error) => {
            return failed(
                "database",
                Failure::to("use it", &error),
                "see database_url, and whether it is running",
            );
        }
    };
    let found = registry.doctor().await;
    registry.close().await;
    findings.extend(found.unwrap_or_else(|error| failed("database", Failure::to("examine it", &error), "")));
    findings
}

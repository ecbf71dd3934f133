//! `things bench`: it runs from nothing to the last table, tells what it promises to, and leaves nothing.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where it cannot go on"
)]

use std::{
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

/// The program, with `dir` for temporary files and with variables that must not count.
fn bench(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_things"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("THINGS_")) {
        command.env_remove(name);
    }
    command.env("THINGS_DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing");
    command.current_dir(dir).env("TMPDIR", dir).arg("bench").args(arguments).output().unwrap()
}

#[test]
fn everything_is_measured_and_nothing_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = ["--things", "200", "--seconds", "0.05", "--connections", "1,3", "--wrong-keys", "300"];
    let Output { status, stdout, stderr } =
        bench(dir.path(), &[&arguments[..], &["--output", "json"]].concat());
    let errors = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{errors}");
    assert!(errors.contains("seeded 200 things"), "{errors}");
    let report: Value = serde_json::from_slice(&stdout).unwrap();
    assert_eq!(report["engine"], "SQLite");
    assert_eq!(report["things"], 200);
    assert_eq!(report["first_time"]["measured"]["requests"], 200);
    assert_eq!(report["first_time"]["database_reads"], 200, "one read for each check that is not in memory");

    let number = |value: &Value| value.as_f64().unwrap_or_else(|| panic!("{value} is no number"));
    let cells = report["cells"].as_array().unwrap();
    let asks = ["http_identify", "grpc_identify", "grpc_pub_config", "grpc_authenticate"];
    assert_eq!(cells.len(), asks.len() * 2 * 2);
    for ask in asks {
        for keys in ["hot", "uniform"] {
            for connections in [1, 3] {
                let is = |cell: &&Value| {
                    cell["ask"] == ask && cell["keys"] == keys && cell["connections"] == connections
                };
                let cell = cells.iter().find(is).unwrap();
                assert_eq!(cell["from_memory"], 1.0, "{cell}");
                for side in [&cell["ours"], &cell["bare"]] {
                    assert!(number(&side["requests"]) >= f64::from(connections), "{cell}");
                    assert!(number(&side["per_second"]) > 0.0, "{cell}");
                    assert!(number(&side["p50_us"]) > 0.0, "{cell}");
                    assert!(number(&side["p99_us"]) >= number(&side["p50_us"]), "{cell}");
                    if cfg!(target_os = "linux") {
                        assert!(number(&side["cpu_us"]) >= 0.0 && number(&side["memory_mb"]) > 1.0, "{cell}");
                    }
                }
            }
        }
    }
    let guessing = &report["guessing"];
    assert_eq!(guessing["wrong_keys"], 300);
    assert_eq!(guessing["database_reads"], 0, "a wrong checksum costs no query");
    assert!(number(&guessing["ours"]["during"]["requests"]) > 0.0);
    assert_eq!(report["aims"].as_array().unwrap().len(), 6);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "the scratch directory is gone");
}

#[test]
fn one_front_alone_is_told_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = ["--things", "50", "--seconds", "0.2", "--connections", "2", "--wrong-keys", "0"];
    let Output { status, stdout, stderr } =
        bench(dir.path(), &[&arguments[..], &["--only", "http"]].concat());
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    let text = String::from_utf8(stdout).unwrap();
    for told in ["HTTP POST /identify, ours and bare", "checks/s", "Aims", "too few things"] {
        assert!(text.contains(told), "no {told} in {text}");
    }
    assert!(!text.contains("gRPC"), "{text}");
}

#[test]
fn a_database_in_use_is_refused_and_so_is_what_would_be_ignored() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", dir.path().join("things.db").display());
    let mut migrate = Command::new(env!("CARGO_BIN_EXE_things"));
    migrate.current_dir(dir.path()).args(["migrate", "--database-url", &url]);
    assert!(migrate.output().unwrap().status.success());
    let left = || {
        let mut names: Vec<_> =
            std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = left();
    let Output { status, stderr, .. } = bench(dir.path(), &["--things", "10", "--database-url", &url]);
    assert_eq!(status.code(), Some(2));
    assert!(String::from_utf8_lossy(&stderr).contains("is in use by Things already"));
    assert_eq!(left(), before);
    let Output { status, stderr, .. } = bench(dir.path(), &["--http", "127.0.0.1:1"]);
    assert_eq!(status.code(), Some(2));
    assert!(String::from_utf8_lossy(&stderr).contains("bench takes no --http"));
}

//! The documents, as far as a machine can check them: the files that they name exist.

#![allow(clippy::unwrap_used, clippy::panic, reason = "also outside of the functions marked as tests")]

use std::{
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Every file under a directory, by its path from there.
fn files(directory: &Path, from: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && name != "things-data" && name != ".git" {
                found.extend(files(&path, from));
            }
        } else {
            found.push(path.strip_prefix(from).unwrap().to_string_lossy().into_owned());
        }
    }
    found
}

/// What stands between backticks, outside of blocks.
fn code_spans(text: &str) -> Vec<&str> {
    let prose = text.split("\n```").step_by(2);
    prose.flat_map(|prose| prose.split('`').skip(1).step_by(2)).collect()
}

/// Targets of links that lead to files.
fn links(text: &str) -> Vec<&str> {
    let after = text.split("](").skip(1);
    after.filter_map(|rest| rest.split(')').next()).filter(|link| !link.contains("://")).collect()
}

#[test]
fn files_that_documents_name_exist() {
    let root = root();
    let all = files(&root, &root);
    let mut wrong = Vec::new();
    for document in all.iter().filter(|file| file.ends_with(".md")) {
        let text = fs::read_to_string(root.join(document)).unwrap();
        let directory = root.join(document).parent().unwrap().to_owned();
        for link in links(&text) {
            if !directory.join(link).exists() {
                wrong.push(format!("{document}: links to {link}"));
            }
        }
        for span in code_spans(&text) {
            let plain = !span.contains(|c: char| c.is_whitespace() || "<{*…".contains(c));
            let named = plain
                && !span.contains("NNNN")
                && (span.ends_with(".rs") || span.ends_with(".sql") || span.starts_with("crates/"));
            let suffix = format!("/{span}");
            // Documents may leave out the beginning of a path that they speak of.
            let exists =
                || root.join(span).exists() || all.iter().any(|file| format!("/{file}").ends_with(&suffix));
            if named && !exists() {
                wrong.push(format!("{document}: names {span}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(all.iter().filter(|file| file.ends_with(".md")).count() > 10);
}

#[test]
fn the_map_stays_a_map() {
    let lines = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap().lines().count();
    assert!(lines <= 150, "ARCHITECTURE.md has {lines} lines; it is read when it is short");
}

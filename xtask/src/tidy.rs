//! `cargo xtask tidy`: the rules of the house that the compiler cannot check, over the source text.
//!
//! The text is taken to be formatted by rustfmt, so a line tells what it is and how deep it stands.

mod proofs;
mod rules;

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fmt, fs,
    path::{Path, PathBuf},
};

use crate::{
    Result, planted,
    process::{root, say},
};

/// Longer files are questioned, not refused.
const LONG: usize = 500;

pub(crate) fn run(arguments: Vec<OsString>) -> Result<()> {
    if let Some(argument) = arguments.first() {
        return Err(format!("takes no arguments, got {}", argument.display()).into());
    }
    let report = inspect(&root()?)?;
    for question in &report.questions {
        say(&format!("question: {question}"));
    }
    for finding in &report.findings {
        say(&format!("error: {finding}"));
    }
    match report.findings.len() {
        0 => {
            say(&format!("tidy: {} files are in order", report.files));
            Ok(())
        }
        1 => Err("one rule is broken".into()),
        many => Err(format!("{many} rules are broken").into()),
    }
}

/// A broken rule: where, what, and what to do about it.
#[derive(Debug, PartialEq)]
struct Finding {
    file: String,
    line: usize,
    text: String,
}

impl Finding {
    fn new(file: &str, line: usize, text: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, text: text.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.text)
    }
}

#[derive(Default)]
struct Report {
    files: usize,
    findings: Vec<Finding>,
    questions: Vec<Finding>,
}

fn inspect(root: &Path) -> Result<Report> {
    let mut report = Report::default();
    let findings = &mut report.findings;
    let mut planted_faults = BTreeSet::new();

    for path in [root.join("crates"), root.join("xtask")].iter().flat_map(|directory| sources(directory)) {
        let text = fs::read_to_string(&path)?;
        let file = path.strip_prefix(root)?.to_string_lossy().into_owned();
        report.files += 1;
        findings.extend(rules::unfinished(&file, &text));
        if !file.ends_with(".rs") {
            continue;
        }
        findings.extend(rules::opening_sentence(&file, &text));
        findings.extend(rules::names(&file, &text));
        findings.extend(rules::asserted_sql(&file, &text));
        if planted::may_lie_in(&file) {
            findings.extend(rules::unlisted_faults(&file, &text));
            planted_faults.extend(planted::in_source(&text).map(|(_, fault)| fault.to_owned()));
        }
        if file.starts_with("crates/registry/src/store/") {
            findings.extend(proofs::check(&file, &text));
        }
        let lines = text.lines().count();
        if lines > LONG {
            report.questions.push(Finding::new(
                &file,
                lines,
                format!("over {LONG} lines; is it two modules?"),
            ));
        }
    }

    findings.extend(planted::missing(&planted_faults).map(|fault| {
        Finding::new("xtask/src/planted.rs", 1, format!("`{fault}` is planted nowhere in the code"))
    }));

    let manifest = |file: &str| fs::read_to_string(root.join(file));
    let (registry, things) = ("crates/registry/Cargo.toml", "crates/things/Cargo.toml");
    let client = "crates/client/Cargo.toml";
    findings.extend(rules::client_dependencies(client, &manifest(client)?));
    findings.extend(rules::registry_dependencies(registry, &manifest(registry)?));
    findings.extend(rules::things_dependencies(things, &manifest(things)?));

    let migrations = "crates/registry/migrations";
    let names = |engine: &str| file_names(&root.join(migrations).join(engine));
    findings.extend(rules::migration_pairs(migrations, &names("sqlite")?, &names("postgres")?));

    Ok(report)
}

/// Files that people write, sorted.
fn sources(directory: &Path) -> Vec<PathBuf> {
    const KINDS: &[&str] = &["rs", "sql", "toml", "proto", "html", "css", "js", "txt"];
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().and_then(|kind| kind.to_str()).is_some_and(|kind| KINDS.contains(&kind)) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn file_names(directory: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_house_is_tidy() {
        let report = inspect(&root().unwrap()).unwrap();
        let findings: Vec<_> = report.findings.iter().map(ToString::to_string).collect();
        assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
        assert!(report.files > 10, "only {} files were found", report.files);
    }
}

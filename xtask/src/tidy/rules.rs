//! Rules that look at one line, one manifest or one list of names at a time.

use super::Finding;
use crate::planted;

/// Ends of names that say nothing about what the thing is.
const BANNED_SUFFIXES: &[&str] = &["Manager", "Handler", "Service", "Util", "Helper", "Base", "Impl"];

/// Every module opens with one sentence of purpose.
pub(super) fn opening_sentence(file: &str, text: &str) -> Option<Finding> {
    let mut sentence = String::new();
    for line in text.lines().map_while(|line| line.strip_prefix("//!")).take_while(|line| !line.is_empty()) {
        sentence.push_str(line);
    }
    let sentence = sentence.trim();
    let complete = sentence.ends_with(['.', ':', '!', '?', ')']) && sentence.contains(' ');
    (!complete)
        .then(|| Finding::new(file, 1, "open the file with `//!` and one sentence that says what it is for"))
}

/// Nothing half-done is left behind.
pub(super) fn unfinished(file: &str, text: &str) -> Vec<Finding> {
    // Put together, so that this file does not find itself.
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("to", "do", "!")];
    let mut findings = Vec::new();
    for (number, line) in lines(text) {
        if let Some(mark) = marks.iter().find(|mark| has_word(line, mark)) {
            findings.push(Finding::new(
                file,
                number,
                format!("`{mark}`: do it now, or open an issue and say why not yet"),
            ));
        }
    }
    findings
}

/// Names are the field's own terms.
pub(super) fn names(file: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in lines(text) {
        let Some((kind, name)) = definition(line) else { continue };
        let banned = |suffix: &&&str| {
            if kind == "mod" {
                let (singular, name) = (suffix.to_lowercase(), name.trim_end_matches('s'));
                name == singular || name.ends_with(&format!("_{singular}"))
            } else {
                name.ends_with(**suffix)
                    || name.strip_suffix('s').is_some_and(|name| name.ends_with(**suffix))
            }
        };
        if let Some(suffix) = BANNED_SUFFIXES.iter().find(banned) {
            let text = format!("`{kind} {name}`: `{suffix}` says nothing; name it by what it is or does");
            findings.push(Finding::new(file, number, text));
        }
    }
    findings
}

/// SQL put together at run time is written in two files only, where it can be reviewed. Tests may
/// make databases with it.
pub(super) fn asserted_sql(file: &str, text: &str) -> Vec<Finding> {
    const PLACES: &[&str] = &["crates/registry/src/store.rs", "crates/registry/src/store/sql.rs"];
    if PLACES.contains(&file) || !file.starts_with("crates/") || !file.contains("/src/") {
        return Vec::new();
    }
    lines(text)
        .filter(|(_, line)| has_word(line, "AssertSqlSafe"))
        .map(|(number, _)| {
            Finding::new(file, number, "`AssertSqlSafe`: build the text with store/sql.rs and bind values")
        })
        .collect()
}

/// Rules cannot know a status code or a flag.
pub(super) fn registry_dependencies(file: &str, manifest: &str) -> Vec<Finding> {
    dependencies(manifest)
        .filter(|dependency| ["axum", "tonic", "clap"].iter().any(|name| is_of(dependency.name, name)))
        .map(|Dependency { line, name, .. }| {
            Finding::new(
                file,
                line,
                format!("`{name}` belongs to crates/things: the registry does not know how things are said"),
            )
        })
        .collect()
}

/// Routes and commands cannot query.
pub(super) fn things_dependencies(file: &str, manifest: &str) -> Vec<Finding> {
    dependencies(manifest)
        .filter(|dependency| !dependency.dev && is_of(dependency.name, "sqlx"))
        .map(|Dependency { line, name, .. }| {
            Finding::new(
                file,
                line,
                format!("`{name}` belongs to crates/registry: add a use case there and call it"),
            )
        })
        .collect()
}

/// A client knows the HTTP API and nothing behind it.
pub(super) fn client_dependencies(file: &str, manifest: &str) -> Vec<Finding> {
    dependencies(manifest)
        .filter(|dependency| ["registry", "things"].contains(&dependency.name))
        .map(|Dependency { line, name, .. }| {
            Finding::new(file, line, format!("`{name}` is the service: a client speaks HTTP with it"))
        })
        .collect()
}

/// Whatever is planted in the code is in the list of `cargo xtask planted`, or nobody would notice it.
pub(super) fn unlisted_faults(file: &str, text: &str) -> Vec<Finding> {
    planted::in_source(text)
        .filter(|(_, fault)| !planted::is_listed(fault))
        .map(|(line, fault)| {
            Finding::new(
                file,
                line,
                format!("list `{fault}` in xtask/src/planted.rs, with a test that fails"),
            )
        })
        .collect()
}

/// Both engines have the same migrations under the same names.
pub(super) fn migration_pairs(directory: &str, sqlite: &[String], postgres: &[String]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (engine, mine, other, theirs) in
        [("sqlite", sqlite, "postgres", postgres), ("postgres", postgres, "sqlite", sqlite)]
    {
        let mut last = 0;
        for name in mine {
            let file = format!("{directory}/{engine}/{name}");
            if !theirs.contains(name) {
                findings.push(Finding::new(&file, 1, format!("write its pair, {directory}/{other}/{name}")));
            }
            let number =
                name.split_once('_').filter(|(number, _)| number.len() == 4 && name.ends_with(".sql"));
            match number.and_then(|(number, _)| number.parse::<u32>().ok()) {
                Some(number) if number == last + 1 => last = number,
                Some(number) => {
                    findings.push(Finding::new(
                        &file,
                        1,
                        format!("number {number} follows {last}; leave no gap and no double"),
                    ));
                    last = number;
                }
                None => findings.push(Finding::new(&file, 1, "call it NNNN_what_it_adds.sql")),
            }
        }
    }
    findings
}

/// The kind and name a line defines, if it defines one. An indented `type` is an associated type,
/// whose name is somebody else's choice.
fn definition(line: &str) -> Option<(&str, &str)> {
    let indented = line.starts_with(' ');
    let line = line.trim_start();
    let line = match line.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(')')?.1,
        Some(rest) => rest,
        None => line,
    };
    let (kind, rest) = line.trim_start().split_once(' ')?;
    if !["struct", "enum", "trait", "mod", "type"].contains(&kind) || (kind == "type" && indented) {
        return None;
    }
    let end = rest.find(|c| !is_identifier(c)).unwrap_or(rest.len());
    Some((kind, rest.get(..end)?))
}

struct Dependency<'m> {
    line: usize,
    name: &'m str,
    dev: bool,
}

/// What a manifest depends on, by the names the packages have, renamed or not.
fn dependencies(manifest: &str) -> impl Iterator<Item = Dependency<'_>> {
    let mut table = "";
    lines(manifest).filter_map(move |(line, text)| {
        let text = text.trim();
        if let Some(header) = text.strip_prefix('[') {
            table = header.trim_end_matches(']');
            // `[dependencies.name]`
            let (head, name) = table.rsplit_once('.')?;
            let name = name.trim_matches('"');
            return head.ends_with("dependencies").then_some(Dependency { line, name, dev: is_dev(table) });
        }
        let name = if let Some((_, renamed)) = text.split_once("package = \"") {
            renamed.split('"').next()?
        } else if table.ends_with("dependencies") {
            text.split(['.', ' ', '=']).next()?
        } else {
            return None;
        };
        Some(Dependency { line, name, dev: is_dev(table) })
    })
}

fn is_dev(table: &str) -> bool {
    table.contains("dev-dependencies")
}

/// Whether a package is `family` or one of its parts (`axum-extra`, `clap_complete`).
fn is_of(package: &str, family: &str) -> bool {
    package.strip_prefix(family).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_']))
}

/// Lines with their numbers as editors count them.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines())
}

/// Whether a word stands in a text on its own, not within a longer identifier.
pub(super) fn has_word(text: &str, word: &str) -> bool {
    befores(text, word).next().is_some()
}

/// What stands before each place where a word stands on its own.
pub(super) fn befores<'t>(text: &'t str, word: &str) -> impl Iterator<Item = &'t str> {
    text.match_indices(word).filter_map(move |(at, word)| {
        let (before, after) = (text.get(..at)?, text.get(at + word.len()..)?);
        let alone = !before.ends_with(is_identifier) && !after.starts_with(is_identifier);
        alone.then_some(before)
    })
}

pub(super) fn is_identifier(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_opens_with_a_sentence() {
        assert!(
            opening_sentence("a.rs", "//! Things and their keys,\n//! as rows.\n//!\n//! More").is_none()
        );
        for bad in
            ["", "use std::fmt;", "//! x", "// Things and their keys.", "//! Things and keys\n//!\n//! More."]
        {
            assert!(opening_sentence("a.rs", bad).is_some(), "{bad:?}");
        }
    }

    #[test]
    fn unfinished_work_is_found_by_line() {
        let mark = concat!("TO", "DO");
        let found = unfinished("a.rs", &format!("let a = 1;\n// {mark}: b\nlet {mark}S = 1;"));
        assert_eq!(found.iter().map(|finding| finding.line).collect::<Vec<_>>(), [2]);
        assert_eq!(unfinished("a.rs", concat!("    to", "do!()")).len(), 1);
    }

    #[test]
    fn only_our_own_definitions_are_named_by_us() {
        for bad in [
            "pub(crate) struct KeyManager {",
            "enum Base {",
            "pub trait ThingService: Send {",
            "type FooImpl<T> = Foo<T>;",
            "struct StringUtils;",
            "mod util;",
            "    pub(super) mod json_helpers {",
        ] {
            assert_eq!(names("a.rs", bad).len(), 1, "{bad}");
        }
        for good in [
            "use tower::Service;",
            "impl Service<Request> for Foo {",
            "    type Service = Foo;",
            "struct Database;",
            "pub(crate) struct Baseline<T>(T);",
            "mod database;",
            "let service = Service::new();",
        ] {
            assert_eq!(names("a.rs", good), [], "{good}");
        }
    }

    #[test]
    fn asserted_sql_has_two_places() {
        let text = "use sqlx::AssertSqlSafe;";
        assert_eq!(asserted_sql("crates/registry/src/things.rs", text).len(), 1);
        assert_eq!(asserted_sql("crates/registry/src/store/sql.rs", text), []);
        assert_eq!(asserted_sql("crates/registry/tests/schema.rs", text), []);
    }

    #[test]
    fn manifests_keep_the_boundary() {
        let lines_of =
            |found: Vec<Finding>| found.into_iter().map(|finding| finding.line).collect::<Vec<_>>();
        let things = "[dependencies]\naxum.workspace = true\nsqlx.workspace = true\n\
                      db = { package = \"sqlx-core\", version = \"1\" }\n[dev-dependencies]\nsqlx = \"1\"\n\
                      [target.'cfg(unix)'.dependencies.sqlx]\nversion = \"1\"";
        assert_eq!(lines_of(things_dependencies("Cargo.toml", things)), [3, 4, 7]);
        let registry = "[package]\nname = \"axum\"\n[dependencies]\nsqlx = \"1\"\ntonic-prost = \"1\"\n\
                        clapper = \"1\"\n[dev-dependencies]\nclap = \"1\"";
        assert_eq!(lines_of(registry_dependencies("Cargo.toml", registry)), [5, 8]);
        let client = "[dependencies]\nreqwest = \"1\"\nregistry.workspace = true\nthingsboard = \"1\"";
        assert_eq!(lines_of(client_dependencies("Cargo.toml", client)), [3]);
    }

    #[test]
    fn migrations_come_in_pairs_without_gaps() {
        let names = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let good = names("0001_a.sql 0002_b.sql");
        assert_eq!(migration_pairs("m", &good, &good), []);
        let files = |sqlite, postgres| {
            let found = migration_pairs("m", &names(sqlite), &names(postgres));
            found.into_iter().map(|finding| finding.file).collect::<Vec<_>>()
        };
        assert_eq!(files("0001_a.sql 0002_b.sql", "0001_a.sql"), ["m/sqlite/0002_b.sql"]);
        assert_eq!(files("0001_a.sql", "0001_b.sql"), ["m/sqlite/0001_a.sql", "m/postgres/0001_b.sql"]);
        assert_eq!(files("0001_a.sql 0003_b.sql", "0001_a.sql 0003_b.sql").len(), 2);
        assert_eq!(files("a.sql", "a.sql").len(), 2);
    }
}

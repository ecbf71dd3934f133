//! P1, the proof is an argument: whoever writes in the store shows a `Permit` or says why not.

use std::collections::BTreeSet;

use super::{
    Finding,
    rules::{befores, is_identifier, lines},
};

/// Stands directly above a function that writes without a permit, with the reason.
const EXEMPTION: &str = "// tidy: no permit, because ";

/// Functions that others can call and that write, themselves or through the file's private
/// functions and constants, without a permit.
pub(super) fn check(file: &str, text: &str) -> Vec<Finding> {
    // Tests write as they like.
    let text = text.split("\n#[cfg(test)]\nmod ").next().unwrap_or(text);
    let functions = functions(text);
    let mut writers = constants(text);
    // A private function hands the question to its callers; they may be private again.
    loop {
        let before = writers.len();
        for function in &functions {
            if !function.exported && !function.has_permit() && function.writes(&writers) {
                writers.insert(function.name);
            }
        }
        if writers.len() == before {
            break;
        }
    }
    functions
        .iter()
        .filter(|function| function.exported && !function.has_permit() && !function.exempt)
        .filter(|function| function.writes(&writers))
        .map(|function| {
            let name = function.name;
            let text = format!("`{name}` writes: take a `Permit`, or say `{EXEMPTION}…` above it");
            Finding::new(file, function.line, text)
        })
        .collect()
}

struct Function<'t> {
    line: usize,
    name: &'t str,
    exported: bool,
    exempt: bool,
    signature: String,
    /// Without comments.
    body: String,
}

impl Function<'_> {
    /// `Permit`, or one of its kin: `SelfPermit`, `PlatformPermit`, …
    fn has_permit(&self) -> bool {
        self.signature.split(|c| !is_identifier(c)).any(|word| word.ends_with("Permit"))
    }

    fn writes(&self, writers: &BTreeSet<&str>) -> bool {
        // `map.insert(…)` is somebody else's method.
        let ours = |before: &str| !before.ends_with('.') || before.ends_with("self.");
        holds_write(&self.body) || writers.iter().any(|writer| befores(&self.body, writer).any(ours))
    }
}

/// Functions begin on a line of their own and end with a brace as deep as they began.
fn functions(text: &str) -> Vec<Function<'_>> {
    let mut found = Vec::new();
    let mut exempt = false;
    let mut rest = lines(text);
    while let Some((line, first)) = rest.next() {
        let trimmed = first.trim_start();
        let Some(name) = function_name(trimmed) else {
            // The exemption may have attributes and other comments between it and the function.
            let above = trimmed.starts_with("//") || trimmed.starts_with("#[");
            let reason = trimmed.strip_prefix(EXEMPTION).is_some_and(|reason| !reason.trim().is_empty());
            exempt = above && (exempt || reason);
            continue;
        };
        let (mut signature, mut body) = (String::new(), String::new());
        let end = format!("{}}}", " ".repeat(first.len() - trimmed.len()));
        let mut current = first;
        while !current.ends_with(['{', '}', ';']) {
            signature.push_str(current);
            let Some((_, next)) = rest.next() else { break };
            current = next;
        }
        signature.push_str(current);
        if current.ends_with('{') {
            for (_, inner) in rest.by_ref().take_while(|(_, inner)| *inner != end) {
                if !inner.trim_start().starts_with("//") {
                    body.push_str(inner);
                    body.push('\n');
                }
            }
        }
        let exported = trimmed.starts_with("pub");
        found.push(Function { line, name, exported, exempt, signature, body });
        exempt = false;
    }
    found
}

fn function_name(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let qualifiers = before.split_whitespace();
    let allowed = |word: &str| ["const", "async"].contains(&word) || word.starts_with("pub");
    if !qualifiers.clone().all(allowed) {
        return None;
    }
    let end = after.find(|c| !is_identifier(c))?;
    after.get(..end).filter(|name| !name.is_empty())
}

/// The names of constants whose text writes.
fn constants(text: &str) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    let mut rest = lines(text);
    while let Some((_, first)) = rest.next() {
        let declared = first.split_once("const ").or_else(|| first.split_once("static "));
        let Some((_, after)) = declared.filter(|(before, _)| before.is_empty() || before.starts_with("pub"))
        else {
            continue;
        };
        let Some((name, _)) = after.split_once(':') else { continue };
        let mut value = first.to_owned();
        while !value.ends_with(';') {
            let Some((_, next)) = rest.next() else { break };
            value.push('\n');
            value.push_str(next);
        }
        if holds_write(&value) {
            found.insert(name);
        }
    }
    found
}

/// Whether a text holds a statement that changes rows. `FOR UPDATE` only locks them, and
/// `DO UPDATE` comes with an INSERT.
fn holds_write(text: &str) -> bool {
    let words: Vec<&str> = text.split(|c| !is_identifier(c)).filter(|word| !word.is_empty()).collect();
    words.windows(2).any(|pair| {
        matches!(pair, ["INSERT", "INTO" | "OR"] | ["REPLACE" | "MERGE", "INTO"] | ["DELETE", "FROM"])
    }) || words.iter().enumerate().any(|(at, word)| {
        let before = at.checked_sub(1).and_then(|before| words.get(before));
        *word == "UPDATE" && !matches!(before, Some(&("FOR" | "KEY" | "DO")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<usize> {
        check("a.rs", text).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn statements_that_change_rows_are_told_from_those_that_lock() {
        for write in ["INSERT INTO a", "INSERT OR IGNORE INTO a", "DELETE\n   FROM a", "UPDATE a SET b = $1"]
        {
            assert!(holds_write(write), "{write}");
        }
        for read in
            ["SELECT 1 FROM a FOR UPDATE", "FOR NO KEY UPDATE", "Action::Delete", "updated_at, INSERTED"]
        {
            assert!(!holds_write(read), "{read}");
        }
    }

    #[test]
    fn a_writer_takes_a_permit() {
        let body = "    rows!(tx, sqlx::query(\"DELETE FROM a WHERE id = $1\"))\n}\n";
        assert_eq!(found(&format!("pub(crate) async fn a(tx: &mut Tx) -> Result<()> {{\n{body}")), [1]);
        assert_eq!(found(&format!("pub(crate) fn a(tx: &mut Tx, permit: &Permit<Edit, Id>) {{\n{body}")), []);
        let wrapped =
            "pub(crate) async fn a(\n    tx: &mut Tx,\n    permit: &Permit<Edit, Id>,\n) -> Result<()> {\n";
        assert_eq!(found(&format!("{wrapped}{body}")), []);
        assert_eq!(found(&format!("{}{body}", wrapped.replace("Permit<Edit, Id>", "SelfPermit"))), []);
        assert_eq!(found(&format!("{}{body}", wrapped.replace("Permit", "Evidence"))), [1]);
        assert_eq!(found("pub(crate) fn a() {\n    // DELETE FROM is done elsewhere.\n    b()\n}\n"), []);
    }

    #[test]
    fn an_exemption_needs_a_reason() {
        let function = "#[inline]\npub(crate) fn a() {\n    b(\"UPDATE a SET b = 1\")\n}\n";
        assert_eq!(found(&format!("{EXEMPTION}the caller is the sweeper.\n/// Sweeps.\n{function}")), []);
        assert_eq!(found(&format!("{EXEMPTION}\n{function}")), [3]);
        assert_eq!(found(&format!("{EXEMPTION}it is far away.\n\n{function}")), [4]);
        assert_eq!(found(&format!("{EXEMPTION}one only.\n{function}\n{function}")), [8]);
    }

    #[test]
    fn writing_through_private_parts_is_writing() {
        let text = "const SQL: &str =\n    \"INSERT INTO a VALUES ($1)\";\n\nfn inner() {\n    run(SQL)\n}\n\n\
                    fn outer() {\n    inner()\n}\n\npub(crate) fn a() {\n    outer()\n}\n\n\
                    pub(crate) fn b(permit: &Permit<Edit, Id>) {\n    outer()\n}\n";
        assert_eq!(found(text), [12]);
        let methods = "fn insert() {\n    run(\"INSERT INTO a\")\n}\n\npub fn a() {\n    map.insert(1)\n}\n\n\
                       pub fn b() {\n    self.insert()\n}\n";
        assert_eq!(found(methods), [9]);
    }

    #[test]
    fn methods_and_tests_are_told_apart() {
        let text = "impl A {\n    pub(crate) async fn a(&self) {\n        b(\"DELETE FROM a\")\n    }\n\n\
                    \x20   pub(crate) fn c(&self) {\n        d()\n    }\n}\n\n\
                    #[cfg(test)]\nmod tests {\n    pub(super) fn e() {\n        b(\"DELETE FROM a\")\n    }\n}\n";
        assert_eq!(found(text), [2]);
    }
}

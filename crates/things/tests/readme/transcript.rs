//! A transcript of a terminal within a Markdown text, and how it is compared with what really happens.

use std::{collections::BTreeMap, ops::Range};

/// A command and what it prints.
#[derive(Debug, PartialEq)]
pub(crate) struct Step {
    /// Where in the text it stands.
    pub(crate) line: usize,
    pub(crate) command: String,
    pub(crate) output: Vec<String>,
}

/// The commands of all `console` blocks. `$ ` begins one, `> ` goes on with it.
pub(crate) fn steps(markdown: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for (number, line) in (1..).zip(markdown.lines()) {
        if line.starts_with("```") {
            inside = line == "```console";
        } else if let Some(command) = line.strip_prefix("$ ").filter(|_| inside) {
            steps.push(Step { line: number, command: command.to_owned(), output: Vec::new() });
        } else if let Some(step) = steps.last_mut().filter(|_| inside) {
            match line.strip_prefix("> ") {
                Some(more) if step.output.is_empty() => {
                    step.command.push('\n');
                    step.command.push_str(more);
                }
                _ => step.output.push(line.to_owned()),
            }
        }
    }
    steps
}

/// What differs each time: `H` is a hexadecimal digit, `D` a decimal one, `W` a letter or a digit.
const SHAPES: [&str; 6] = [
    "HHHHHHHH-HHHH-HHHH-HHHH-HHHHHHHHHHHH",
    "thk_WWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWW",
    "ses_WWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWW",
    "pat_WWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWW",
    "DDDD-DD-DDTDD:DD:DD.DDDZ",
    // The first password.
    "WWWWWWWWWWWWWWWWWWWW",
];

fn shape_of(rest: &str) -> Option<&'static str> {
    let fits = |shape: &&&str| {
        let Some(value) = rest.get(..shape.len()) else { return false };
        let same = shape.chars().zip(value.chars()).all(|(wanted, c)| match wanted {
            'H' => matches!(c, '0'..='9' | 'a'..='f'),
            'D' => c.is_ascii_digit(),
            'W' => c.is_ascii_alphanumeric(),
            _ => wanted == c,
        });
        same && !rest[shape.len()..].starts_with(char::is_alphanumeric)
    };
    SHAPES.iter().find(fits).copied()
}

/// Where in a line such values stand, and their shapes.
fn values(line: &str) -> Vec<(Range<usize>, &'static str)> {
    let (mut found, mut at, mut between_words) = (Vec::new(), 0, true);
    while let Some(c) = line[at..].chars().next() {
        match shape_of(&line[at..]).filter(|_| between_words) {
            Some(shape) => {
                found.push((at..at + shape.len(), shape));
                at += shape.len();
                between_words = false;
            }
            None => {
                at += c.len_utf8();
                between_words = !c.is_alphanumeric();
            }
        }
    }
    found
}

/// The line with each value put into `instead`'s words.
fn rewritten<'t>(line: &'t str, mut instead: impl FnMut(&'t str, &'static str) -> String) -> String {
    let (mut text, mut at) = (String::new(), 0);
    for (range, shape) in values(line) {
        text.push_str(&line[at..range.start]);
        text.push_str(&instead(&line[range.clone()], shape));
        at = range.end;
    }
    text + &line[at..]
}

/// Which value of this run stands for which one in the text. Where the text repeats a value, the run
/// must repeat its own.
#[derive(Default)]
pub(crate) struct Names {
    run: BTreeMap<String, String>,
    text: BTreeMap<String, String>,
}

impl Names {
    /// A command as it is typed in this run.
    pub(crate) fn typed(&self, command: &str) -> String {
        rewritten(command, |value, _| self.run.get(value).map_or(value, String::as_str).to_owned())
    }

    /// Whether a line that was printed is the one in the text.
    pub(crate) fn agree(&mut self, text: &str, run: &str) -> bool {
        let shapes = |line| rewritten(line, |_, shape| format!("<{shape}>"));
        if shapes(text) != shapes(run) {
            return false;
        }
        values(text).into_iter().zip(values(run)).all(|((theirs, _), (ours, _))| {
            let (theirs, ours) = (text[theirs].to_owned(), run[ours].to_owned());
            *self.run.entry(theirs.clone()).or_insert(ours.clone()) == ours
                && *self.text.entry(ours).or_insert(theirs.clone()) == theirs
        })
    }
}

#[test]
fn commands_and_their_output_are_found() {
    let text = "$ not here\n```console\n$ one\nout\n\n$ two \\\n> three\n```\n```sh\n$ nor here\n```\n```console\n$ four\n```\n";
    let step = |line, command: &str, output: &[&str]| Step {
        line,
        command: command.to_owned(),
        output: output.iter().map(ToString::to_string).collect(),
    };
    assert_eq!(
        steps(text),
        [step(3, "one", &["out", ""]), step(6, "two \\\nthree", &[]), step(13, "four", &[])]
    );
}

#[test]
fn values_may_differ_but_not_change_places() {
    let (a, b) = ("0197a1f0-0000-7000-8000-000000000001", "0197a1f0-0000-7000-8000-000000000002");
    let (x, y) = ("0198b2c3-1111-7111-9111-111111111111", "0198b2c3-2222-7222-9222-222222222222");
    let mut names = Names::default();
    assert!(names.agree(&format!("id {a}."), &format!("id {x}.")));
    assert!(names.agree(&format!("{a} {b}"), &format!("{x} {y}")));
    assert!(!names.agree(b, x));
    assert!(!names.agree(a, y));
    assert_eq!(names.typed(&format!("get /{a}/{b}/x")), format!("get /{x}/{y}/x"));
    assert!(names.agree("at 2026-01-01T00:00:00.000Z", "at 2027-02-03T04:05:06.789Z"));
    assert!(!names.agree("at 2026-01-01T00:00:00.000Z", "at 2027-02-03T04:05:06Z"));
    assert!(names.agree("same", "same"));
    assert!(!names.agree("one", "other"));
    let key = |c: &str| format!("thk_{}", c.repeat(36));
    assert!(names.agree(&key("a"), &key("b")) && !names.agree(&key("c"), &key("b")));
    assert!(!names.agree(&key("d"), &key("e").replace("thk", "ses")));
}

//! What is shown of answers: tables for people; JSON, NDJSON and CSV for programs.

use std::io::{self, IsTerminal, Write};

use serde_json::Value;

use super::{Failure, inert, table::Table, terminal};

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Form {
    Table,
    Json,
    Ndjson,
    Csv,
}

impl Form {
    pub(super) const NAMES: [&str; 4] = ["table", "json", "ndjson", "csv"];

    /// Tables unless asked otherwise, in a pipe too: what a command prints does not depend on where to.
    pub(super) fn named(name: Option<&str>) -> Self {
        match name {
            Some("json") => Self::Json,
            Some("ndjson") => Self::Ndjson,
            Some("csv") => Self::Csv,
            _ => Self::Table,
        }
    }
}

/// A column of a list: its title, the member it shows, and whether it is in tables too or only in CSV.
#[derive(Clone, Copy)]
pub(super) struct Column {
    pub(super) member: &'static str,
    title: &'static str,
    in_tables: bool,
}

impl Column {
    pub(super) const fn new(member: &'static str, title: &'static str) -> Self {
        Self { member, title, in_tables: true }
    }

    /// Only in CSV, and where one thing is shown whole.
    pub(super) const fn wide(member: &'static str, title: &'static str) -> Self {
        Self { member, title, in_tables: false }
    }
}

/// Writes results in one form.
#[derive(Clone, Copy)]
pub(super) struct Output {
    pub(super) form: Form,
}

impl Output {
    /// Begins a list that is shown as its pages come.
    pub(super) fn list(self, columns: &'static [Column]) -> List {
        List { form: self.form, columns, shown: 0 }
    }

    /// One object, whole.
    pub(super) fn object(self, columns: &'static [Column], object: &Value) -> Result<(), Failure> {
        match self.form {
            Form::Json => self.json(object),
            Form::Ndjson => print(&format!("{object}\n"), Escape::Json),
            Form::Csv => {
                let mut list = self.list(columns);
                list.page(std::slice::from_ref(object))?;
                list.end()
            }
            Form::Table => {
                let mut table = Table::new(vec!["", ""], vec![true, false]);
                let known = columns.iter().filter_map(|column| {
                    let shown = shown(object.get(column.member)?);
                    (!shown.is_empty()).then(|| vec![column.title.to_lowercase(), shown])
                });
                known.for_each(|row| table.push(row));
                // A single object is for reading: its values are not cut.
                print(&table.render(None, false), Escape::Done)
            }
        }
    }

    /// Any value, as JSON.
    pub(super) fn json(self, value: &Value) -> Result<(), Failure> {
        print(&format!("{value:#}\n"), Escape::Json)
    }

    /// A sentence about what was done; programs read the answer instead.
    pub(super) fn say(self, sentence: &str) -> Result<(), Failure> {
        match self.form {
            Form::Table => print(&format!("{}\n", inert::line(sentence)), Escape::Done),
            _ => Ok(()),
        }
    }
}

/// A list being shown.
pub(super) struct List {
    form: Form,
    columns: &'static [Column],
    shown: usize,
}

impl List {
    /// Shows some more rows; tells whether anybody still reads: `things thing list --all | head -1` wants no more.
    pub(super) fn page(&mut self, rows: &[Value]) -> Result<bool, Failure> {
        let first = self.shown == 0;
        self.shown += rows.len();
        match self.form {
            Form::Table => {
                let columns: Vec<&Column> = self.columns.iter().filter(|column| column.in_tables).collect();
                let titles = columns.iter().map(|column| column.title).collect();
                let ids =
                    columns.iter().map(|column| column.member == "id" || column.member.ends_with("_id"));
                let mut table = Table::new(titles, ids.collect());
                for row in rows {
                    table.push(
                        columns
                            .iter()
                            .map(|column| row.get(column.member).map(shown).unwrap_or_default())
                            .collect(),
                    );
                }
                if rows.is_empty() && first {
                    return Ok(true);
                }
                read_on(&table.render(terminal::width(), first), Escape::Done)
            }
            Form::Json => {
                let mut text = String::new();
                for (at, row) in rows.iter().enumerate() {
                    text.push_str(if first && at == 0 { "[\n" } else { ",\n" });
                    text.push_str(&row.to_string());
                }
                read_on(&text, Escape::Json)
            }
            Form::Ndjson => {
                read_on(&rows.iter().map(|row| format!("{row}\n")).collect::<String>(), Escape::Json)
            }
            Form::Csv => {
                let mut writer = csv::Writer::from_writer(Vec::new());
                let failed = |error: csv::Error| Failure::to("write CSV", &error);
                if first {
                    writer.write_record(self.columns.iter().map(|column| column.member)).map_err(failed)?;
                }
                for row in rows {
                    let cells = self
                        .columns
                        .iter()
                        .map(|column| row.get(column.member).map(plain).unwrap_or_default());
                    writer.write_record(cells.map(|cell| inert::cell(&cell).into_owned())).map_err(failed)?;
                }
                let bytes = writer.into_inner().map_err(|error| Failure::to("write CSV", error.error()))?;
                read_on(&String::from_utf8_lossy(&bytes), Escape::Csv)
            }
        }
    }

    pub(super) fn end(self) -> Result<(), Failure> {
        match (self.form, self.shown) {
            (Form::Table, 0) => {
                let _ = writeln!(io::stderr(), "there are none");
                Ok(())
            }
            (Form::Json, 0) => print("[]\n", Escape::Done),
            (Form::Json, _) => print("\n]\n", Escape::Done),
            (Form::Csv, 0) => {
                let titles: Vec<_> = self.columns.iter().map(|column| column.member).collect();
                print(&format!("{}\n", titles.join(",")), Escape::Done)
            }
            _ => Ok(()),
        }
    }
}

/// `1 row`, `2 rows`.
pub(super) fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// A value as text: texts as they are, the rest as JSON.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
        }
        Value::Object(members) if members.is_empty() => String::new(),
        Value::Object(members) if members.contains_key("kind") && members.contains_key("id") => {
            // Who did it, or what it was done to, in the journal.
            let name = members
                .get("name")
                .and_then(Value::as_str)
                .or_else(|| members.get("id").and_then(Value::as_str));
            let kind = members.get("kind").and_then(Value::as_str).unwrap_or_default();
            format!("{kind} {}", name.unwrap_or_default()).trim_end().to_owned()
        }
        other => other.to_string(),
    }
}

fn shown(value: &Value) -> String {
    inert::line(&plain(value)).into_owned()
}

/// What the text still needs before a terminal may see it.
pub(super) enum Escape {
    Done,
    Json,
    Csv,
}

/// Writes to the standard output.
pub(super) fn print(text: &str, escape: Escape) -> Result<(), Failure> {
    read_on(text, escape).map(|_| ())
}

/// The same, and whether anybody still reads.
fn read_on(text: &str, escape: Escape) -> Result<bool, Failure> {
    let terminal = io::stdout().is_terminal();
    match escape {
        Escape::Json => super::super::read_on(&inert::json(text)),
        // A file gets its cells as they are; a terminal must not obey them.
        Escape::Csv if terminal => super::super::read_on(&inert::lines(text)),
        _ => super::super::read_on(text),
    }
}

//! A backup read from a file: whole and ours, and then row by row.
//!
//! All of it blocks and runs on threads of its own; what was read is handed on in batches.

use std::{
    collections::BTreeMap,
    fmt,
    fs::File,
    io::{BufRead, BufReader, Read, Seek, SeekFrom},
};

use tokio::sync::mpsc;
use uuid::Uuid;

use super::{
    CHECK, MAC, keys,
    lines::{self, END, End, FORMAT, Head, MAX_LINE, MAX_ROWS, RowLine, refusal},
    moving::{BATCH_BYTES, BATCH_ROWS},
    tables::{Cell, Kept, TABLES, Table},
};
use crate::{
    error::{Error, Result},
    secret::Keyring,
    store::Db,
};

/// The oldest schema whose rows are as they are now.
const OLDEST_SCHEMA: i64 = 13;

/// Where in a file something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Counted from 1.
    Line(u64),
    /// In one of the arrays of Mainflux's backup, counted from 0.
    Item(&'static str, u64),
    /// It is there, but not where.
    Somewhere,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Item(array, item) => write!(f, "{array}[{item}]"),
            Self::Somewhere => f.write_str("somewhere"),
        }
    }
}

/// Rows of one table.
pub(crate) struct Batch {
    pub(crate) table: &'static Table,
    pub(crate) places: Vec<Place>,
    pub(crate) rows: Vec<Vec<Cell>>,
    bytes: usize,
}

impl Batch {
    pub(crate) fn of(table: &'static Table) -> Self {
        Self { table, places: Vec::new(), rows: Vec::new(), bytes: 0 }
    }

    pub(crate) fn push(&mut self, place: Place, row: Vec<Cell>) {
        self.bytes += row.iter().map(Cell::size).sum::<usize>();
        self.places.push(place);
        self.rows.push(row);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.rows.len() >= BATCH_ROWS || self.bytes >= BATCH_BYTES
    }

    pub(crate) fn place(&self, at: usize) -> Place {
        self.places.get(at).copied().unwrap_or(Place::Somewhere)
    }
}

/// To whom batches go.
pub(crate) type Batches = mpsc::Sender<Result<Batch>>;

/// Hands a batch on; `false` if nobody wants any more.
pub(crate) fn hand_on(to: &Batches, batch: Batch) -> bool {
    batch.rows.is_empty() || to.blocking_send(Ok(batch)).is_ok()
}

/// The lines of a file, each within the limit.
struct Lines {
    reader: BufReader<File>,
    line: Vec<u8>,
    number: u64,
}

impl Lines {
    fn of(file: &File) -> Result<Self> {
        let mut file = file.try_clone().map_err(Error::internal)?;
        file.seek(SeekFrom::Start(0)).map_err(Error::internal)?;
        Ok(Self { reader: BufReader::with_capacity(128 * 1024, file), line: Vec::new(), number: 0 })
    }

    /// Goes to the next line, which then has its end; `false` after the last one.
    fn next(&mut self) -> Result<bool> {
        self.line.clear();
        let most = MAX_LINE as u64;
        let read =
            (&mut self.reader).take(most).read_until(b'\n', &mut self.line).map_err(Error::internal)?;
        if read == 0 {
            return Ok(false);
        }
        self.number += 1;
        if self.line.last() != Some(&b'\n') {
            let reason = match self.line.len() >= MAX_LINE {
                true => format!("is longer than {MAX_LINE} bytes"),
                false => "has no end: the file was cut off; take the backup again".to_owned(),
            };
            return Err(refusal(Place::Line(self.number), "", reason));
        }
        Ok(true)
    }
}

/// What was wrong with JSON, in words that hold little of it.
pub(crate) fn wrong_json(error: &serde_json::Error) -> String {
    let told: String = error.to_string().chars().filter(|c| !c.is_control()).take(200).collect();
    format!("must be a row, {{\"table\":…,\"row\":{{…}}}}: {told}")
}

/// Whether the file begins as our backups do. Anything else that is JSON is taken for Mainflux's.
pub(crate) fn is_ours(file: &File) -> Result<bool> {
    let mut start = Vec::new();
    let mut file = file.try_clone().map_err(Error::internal)?;
    file.seek(SeekFrom::Start(0)).map_err(Error::internal)?;
    file.take(64).read_to_end(&mut start).map_err(Error::internal)?;
    Ok(start.starts_with(b"{\"format\":"))
}

/// Reads the head and the end and compares the digest of all between: whether the file is whole, unchanged,
/// and of an installation with these keys.
pub(crate) fn examine(file: &File, keyring: &Keyring) -> Result<Head> {
    let mut lines = Lines::of(file)?;
    let mut mac = keyring.mac_of_pieces(MAC);
    if !lines.next()? {
        return Err(refusal("line 1", "", "is missing: the file is empty"));
    }
    let head: Head = serde_json::from_slice(&lines.line).map_err(|error| {
        let told: String = error.to_string().chars().filter(|c| !c.is_control()).take(200).collect();
        refusal("line 1", "", format!("must be the head of a backup: {told}"))
    })?;
    check_head(&head, keyring)?;
    mac.update(&lines.line);
    let mut rows = 0;
    loop {
        if !lines.next()? {
            let place = Place::Line(lines.number + 1);
            return Err(refusal(
                place,
                "",
                "the end line is missing: the file was cut off; take the backup again",
            ));
        }
        if lines.line.starts_with(END) {
            break;
        }
        rows += 1;
        if rows > MAX_ROWS {
            return Err(refusal(
                Place::Line(lines.number),
                "",
                format!("there are more than {MAX_ROWS} rows"),
            ));
        }
        mac.update(&lines.line);
    }
    let place = Place::Line(lines.number);
    let end: End = serde_json::from_slice(&lines.line)
        .map_err(|_| refusal(place, "", "must be the end of a backup: end, rows and mac"))?;
    if !end.end || end.rows != rows {
        let reason = format!("must be the number of lines between head and end, which is {rows}");
        return Err(refusal(place, "rows", reason));
    }
    if !mac.is(&end.mac) {
        return Err(refusal(
            place,
            "mac",
            "is not that of the lines before: the file was altered or damaged",
        ));
    }
    if lines.next()? {
        return Err(refusal(Place::Line(lines.number), "", "nothing may follow the end line"));
    }
    if head.rows != rows {
        return Err(refusal("line 1", "rows", format!("must be the number of rows, which is {rows}")));
    }
    Ok(head)
}

fn check_head(head: &Head, keyring: &Keyring) -> Result<()> {
    let wrong = |field, reason: String| Err(refusal("line 1", field, reason));
    if head.format != FORMAT {
        return wrong("format", format!("must be {FORMAT}, which is all that this program reads"));
    }
    let newest = Db::newest_migration();
    if !(OLDEST_SCHEMA..=newest).contains(&head.schema) {
        let reason = format!(
            "must be from {OLDEST_SCHEMA} to {newest}: the backup was made by another version; restore it by that version, \
             and then update"
        );
        return wrong("schema", reason);
    }
    let own = keys(keyring)?;
    let kek = || {
        let sealed = lines::from_base64(&head.keyring.kek_check)?;
        keyring.open(CHECK, &sealed).ok()
    };
    let advice = "the backup was made with other keys, without which no device could authenticate: put that \
                  installation's key file (things.keys, or THINGS_KEYS) in the place of this one's, and start anew";
    if (&head.keyring.pepper, &head.keyring.check) != (&own.pepper, &own.check) {
        return wrong("keyring.check", format!("is not of this installation's pepper: {advice}"));
    }
    if head.keyring.kek != own.kek || kek().is_none() {
        return wrong("keyring.kek_check", format!("does not open with this installation's kek: {advice}"));
    }
    for table in head.counts.keys() {
        if !TABLES.iter().any(|known| known.name == table && known.kept != Kept::Moved) {
            return wrong("counts", "names a table that is no part of a backup".to_owned());
        }
    }
    if head.counts.values().try_fold(0u64, |sum, count| sum.checked_add(*count)) != Some(head.rows) {
        return wrong("counts", "must add up to rows".to_owned());
    }
    Ok(())
}

/// Reads all rows, each checked by itself, and that each table has as many as the head says.
pub(crate) fn rows(file: &File, head: &Head, to: &Batches) -> Result<()> {
    let mut lines = Lines::of(file)?;
    lines.next()?;
    let mut batch: Option<Batch> = None;
    let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
    while lines.next()? && !lines.line.starts_with(END) {
        let place = Place::Line(lines.number);
        let line: RowLine<'_> =
            serde_json::from_slice(&lines.line).map_err(|error| refusal(place, "", wrong_json(&error)))?;
        let table = match Table::named(&line.table) {
            Some(table) if table.kept != Kept::Moved => table,
            _ => return Err(refusal(place, "table", "is not a table that backups have")),
        };
        let row = line.row.cells(table, place)?;
        if let Some(before) = batch.take_if(|batch| batch.is_full() || batch.table.name != table.name) {
            if before.table.position() > table.position() {
                let reason = format!(
                    "{} must come before {}: rows depend on each other",
                    table.name, before.table.name
                );
                return Err(refusal(place, "table", reason));
            }
            if !hand_on(to, before) {
                return Ok(());
            }
        }
        batch.get_or_insert_with(|| Batch::of(table)).push(place, row);
        *counts.entry(table.name).or_default() += 1;
    }
    if let Some(batch) = batch {
        hand_on(to, batch);
    }
    for (table, count) in &head.counts {
        let is = counts.get(table.as_str()).copied().unwrap_or(0);
        if is != *count {
            let reason = format!("says {count} rows, of which there are {is}");
            return Err(refusal("line 1", &format!("counts.{table}"), reason));
        }
    }
    if let Some(table) = counts.keys().find(|table| !head.counts.contains_key(**table)) {
        return Err(refusal("line 1", &format!("counts.{table}"), "is missing, but there are rows"));
    }
    Ok(())
}

/// The line about a row with these ids in these columns.
pub(crate) fn find(file: &File, table: &str, wanted: &[(&str, Uuid)]) -> Result<Place> {
    let mut lines = Lines::of(file)?;
    lines.next()?;
    while lines.next()? {
        if lines::is_about(&lines.line, table, wanted) {
            return Ok(Place::Line(lines.number));
        }
    }
    Ok(Place::Somewhere)
}

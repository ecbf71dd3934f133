//! From a file's records to valid rows, in batches; and the first look at a whole file, which needs no
//! database.

use std::{collections::HashSet, fmt::Display, str::FromStr, sync::Arc};

use csv_core::{ReadRecordResult, Reader, ReaderBuilder, Terminator};
use registry::{
    Error, FieldError, JsonObject, ProfileId, Result,
    credentials::ThingKey,
    imports::{BATCH, Batch, ImportRow, MAX_PROFILES, MAX_ROWS, MatchBy, ProfileRef, Rejection},
};
use serde::Deserialize;

use super::{
    columns::{Column, MAX_COLUMNS, Renamed, header, metadata},
    lines::{Lines, about},
    spool::Spool,
};
use crate::rest::{check::RawObject, wording};

/// A batch ends when it has so many bytes, even if it has fewer rows than it may.
const MAX_BATCH_BYTES: usize = 4 * 1024 * 1024;
/// More errors than this are not told.
const MOST_ERRORS: usize = 1_000;

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Csv,
    Ndjson,
}

/// How a file is read.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) format: Format,
    pub(super) renamed: Renamed,
    /// By what rows find their things, and so have to say; `None` if each makes one, and needs a name.
    pub(super) upsert: Option<MatchBy>,
    /// Whether there is a profile for rows that name none.
    pub(super) has_profile: bool,
    /// All of the request that decides what rows mean: other words under the same Idempotency-Key are another
    /// request.
    pub(super) manner: String,
}

/// What the first look at a file tells.
pub(super) struct Scan {
    pub(super) rows: u64,
    /// At the end of each batch: how many rows there are up to there, and a digest of them.
    pub(super) digests: Vec<(u64, [u8; 32])>,
    /// All that are named.
    pub(super) profiles: Vec<ProfileRef>,
}

/// The batches of a file.
pub(super) struct Batches {
    reading: Arc<Reading>,
    lines: Lines,
    columns: Option<Vec<Column>>,
    cells: Cells,
    row: u64,
    over: bool,
}

/// Takes a CSV record apart.
struct Cells {
    reader: Box<Reader>,
    text: Vec<u8>,
    ends: Vec<usize>,
    count: usize,
    /// Whether the reader is at the beginning of a record.
    clean: bool,
}

/// Reads a whole file. Of rows that are wrong the first are told, unless they are for a `partial` import,
/// which tells them when it comes to them.
pub(super) fn scan(
    spool: &Spool,
    reading: &Arc<Reading>,
    partial: bool,
    default: Option<ProfileId>,
) -> Result<Scan> {
    let mut found = Scan { rows: 0, digests: Vec::new(), profiles: Vec::new() };
    let (mut errors, mut profiles) = (Vec::new(), HashSet::new());
    for batch in Batches::new(spool, reading) {
        let batch = batch?;
        found.rows += batch.rows.len() as u64;
        found.digests.push((found.rows, batch.digest));
        for row in batch.rows {
            match row {
                Ok(row) => profiles.extend(row.profile),
                Err(rejection) if !partial && errors.len() < MOST_ERRORS => errors.extend(rejection.told()),
                Err(_) => {}
            }
        }
        if profiles.len() > MAX_PROFILES {
            return Err(Error::invalid(
                "body",
                format!("names more than {MAX_PROFILES} profiles; split the file"),
            ));
        }
    }
    if !errors.is_empty() {
        errors.truncate(MOST_ERRORS);
        return Err(Error::Invalid(errors));
    }
    profiles.extend(default.map(ProfileRef::Id));
    found.profiles = profiles.into_iter().collect();
    Ok(found)
}

impl Batches {
    pub(super) fn new(spool: &Spool, reading: &Arc<Reading>) -> Self {
        Self {
            reading: Arc::clone(reading),
            lines: Lines::new(spool.reader(), &reading.manner),
            columns: None,
            cells: Cells::new(),
            row: 0,
            over: false,
        }
    }

    fn header(&mut self) -> Result<()> {
        let Some((line, record)) = self.lines.next(true)? else {
            return Err(Error::invalid("body", "must begin with a line of column names, and is empty"));
        };
        if line > 1 {
            return Err(about(line, "the file must begin with a line of column names"));
        }
        let record = std::str::from_utf8(record)
            .map_err(|_| about(1, "is not UTF-8; save the file as UTF-8 and send it again"))?;
        self.cells.take(record).map_err(|message| about(1, message))?;
        let columns = header(self.cells.iter(), &self.reading.renamed)?;
        let (needed, name) = match self.reading.upsert {
            None | Some(MatchBy::Name) => (Column::Name, "name"),
            Some(MatchBy::ExternalKey) => (Column::ExternalKey, "external_key"),
            Some(MatchBy::Id) => (Column::Id, "id"),
        };
        if !columns.contains(&needed) {
            let finds = if self.reading.upsert.is_some() { ", by which rows find their things" } else { "" };
            let told = format!(
                "there is no column `{name}`{finds}; if another column has it, say so with columns=<column>:{name}"
            );
            return Err(about(1, &told));
        }
        self.columns = Some(columns);
        Ok(())
    }

    fn batch(&mut self) -> Result<Option<Batch>> {
        let csv = self.reading.format == Format::Csv;
        if csv && self.columns.is_none() {
            self.header()?;
        }
        let (mut rows, mut bytes) = (Vec::with_capacity(BATCH), 0);
        while rows.len() < BATCH && bytes < MAX_BATCH_BYTES {
            let Some((line, record)) = self.lines.next(csv)? else { break };
            self.row += 1;
            if self.row > MAX_ROWS {
                return Err(about(line, &format!("the file holds more than {MAX_ROWS} rows; split it")));
            }
            bytes += record.len();
            let (row, reading) = (self.row, &self.reading);
            let parsed = match (std::str::from_utf8(record), &self.columns) {
                (Err(_), _) => {
                    Err(vec![FieldError::new("", "is not UTF-8; save the file as UTF-8 and send it again")])
                }
                (Ok(text), Some(columns)) => of_cells(&mut self.cells, columns, reading, text),
                (Ok(text), None) => of_json(reading, text),
            };
            rows.push(match parsed {
                Ok(parsed) => Ok(ImportRow { row, line, ..parsed }),
                Err(errors) => Err(Rejection { row, line, errors }),
            });
        }
        if rows.is_empty() {
            return Ok(None);
        }
        Ok(Some(Batch { rows, digest: self.lines.digest() }))
    }
}

impl Iterator for Batches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let batch = self.batch().transpose();
        self.over = !matches!(batch, Some(Ok(_)));
        batch
    }
}

impl Cells {
    fn new() -> Self {
        // A line end is the record's own already; a carriage return inside is a part of its cell.
        let reader = ReaderBuilder::new().terminator(Terminator::Any(b'\n')).build();
        Self {
            reader: Box::new(reader),
            text: Vec::new(),
            ends: vec![0; MAX_COLUMNS + 1],
            count: 0,
            clean: true,
        }
    }

    fn take(&mut self, record: &str) -> std::result::Result<(), &'static str> {
        const QUOTE: &str = "has a quote in the middle of a cell; put the cell between quotes, and write its own quotes twice";
        // Not after a record that was well: the reader takes off what looks like a file's beginning.
        if !std::mem::take(&mut self.clean) {
            self.reader.reset();
        }
        // With room to spare, so that it never is what is missing.
        self.text.resize(record.len() + 1, 0);
        let (done, read, wrote, ends) =
            self.reader.read_record(record.as_bytes(), &mut self.text, &mut self.ends);
        match done {
            ReadRecordResult::InputEmpty => {}
            ReadRecordResult::OutputEndsFull => return Err("has more than 1000 cells"),
            _ => return Err(QUOTE),
        }
        if read < record.len() {
            return Err(QUOTE);
        }
        let output = self.text.get_mut(wrote..).unwrap_or_default();
        let rest = self.ends.get_mut(ends..).unwrap_or_default();
        let (done, _, _, more) = self.reader.read_record(&[], output, rest);
        match done {
            ReadRecordResult::Record | ReadRecordResult::End => {}
            ReadRecordResult::OutputEndsFull => return Err("has more than 1000 cells"),
            _ => return Err(QUOTE),
        }
        self.count = ends + more;
        self.clean = true;
        Ok(())
    }

    fn iter(&self) -> impl Iterator<Item = &str> {
        let mut begin = 0;
        self.ends.iter().take(self.count).map(move |end| {
            let cell = self.text.get(begin..*end).unwrap_or_default();
            begin = *end;
            // Parts of a text, cut at ASCII characters.
            std::str::from_utf8(cell).unwrap_or_default()
        })
    }
}

/// Takes off what an export puts before cells that spreadsheets would take for formulas.
fn without_guard(cell: &str) -> &str {
    match cell.strip_prefix('\'') {
        Some(rest) if rest.starts_with(super::export::GUARDED) => rest,
        _ => cell,
    }
}

fn of_cells(
    cells: &mut Cells,
    columns: &[Column],
    reading: &Reading,
    record: &str,
) -> std::result::Result<ImportRow, Vec<FieldError>> {
    let whole = |message: String| vec![FieldError::new("", message)];
    cells.take(record).map_err(|message| whole(message.to_owned()))?;
    if cells.count != columns.len() {
        return Err(whole(format!("has {} cells, and there are {} columns", cells.count, columns.len())));
    }
    let (mut fields, mut given, mut members) = (Fields::default(), None, Vec::new());
    let mut has_metadata = false;
    for (column, cell) in columns.iter().zip(cells.iter()) {
        let cell = without_guard(cell);
        let text = Some(cell).filter(|cell| !cell.is_empty());
        match column {
            Column::LeftOut => {}
            Column::Id => fields.id = text,
            Column::Name => fields.name = text,
            Column::Type => fields.kind = text,
            Column::Profile => fields.profile = text,
            Column::ProfileId => fields.profile_id = text,
            Column::Key => fields.key = text,
            Column::ExternalKey => fields.external_key = text,
            Column::Status => fields.status = text,
            Column::Metadata => (has_metadata, given) = (true, Some(cell)),
            Column::Member(path, kind) => {
                has_metadata = true;
                members.push((path.as_slice(), *kind, cell));
            }
        }
    }
    let metadata = has_metadata.then(|| metadata(given, members.into_iter()));
    fields.check(reading, metadata)
}

/// A row of NDJSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonRow {
    id: Option<String>,
    name: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    profile: Option<String>,
    profile_id: Option<String>,
    key: Option<String>,
    external_key: Option<String>,
    status: Option<String>,
    metadata: Option<RawObject>,
}

fn of_json(reading: &Reading, text: &str) -> std::result::Result<ImportRow, Vec<FieldError>> {
    let row: JsonRow = match serde_json::from_str(text) {
        Ok(row) => row,
        Err(_) => {
            let mut reader = serde_json::Deserializer::from_str(text);
            let told = match serde_path_to_error::deserialize::<_, JsonRow>(&mut reader) {
                Ok(_) => FieldError::new("", "must hold one JSON object and nothing after it"),
                Err(error) => wording::field_of_json(&error.path().clone(), error.inner()),
            };
            return Err(vec![told]);
        }
    };
    let metadata = row.metadata.as_ref().map(|raw| {
        JsonObject::parse(raw.text()).map_err(|error| FieldError::new("metadata", error.to_string()))
    });
    let fields = Fields {
        id: given(&row.id),
        name: given(&row.name),
        kind: given(&row.kind),
        profile: given(&row.profile),
        profile_id: given(&row.profile_id),
        key: given(&row.key),
        external_key: given(&row.external_key),
        status: given(&row.status),
    };
    fields.check(reading, metadata)
}

fn given(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

/// A row's texts; empty ones are left out.
#[derive(Default)]
struct Fields<'t> {
    id: Option<&'t str>,
    name: Option<&'t str>,
    kind: Option<&'t str>,
    profile: Option<&'t str>,
    profile_id: Option<&'t str>,
    key: Option<&'t str>,
    external_key: Option<&'t str>,
    status: Option<&'t str>,
}

impl Fields<'_> {
    /// The row, or all that is wrong with it.
    fn check(
        self,
        reading: &Reading,
        metadata: Option<std::result::Result<JsonObject, FieldError>>,
    ) -> std::result::Result<ImportRow, Vec<FieldError>> {
        let mut wrong = Wrong(Vec::new());
        let id = wrong.parsed("id", self.id);
        let name = wrong.text("name", self.name);
        let makes = reading.upsert.is_none();
        if self.name.is_none() && makes {
            wrong.0.push(FieldError::new("name", "is required"));
        }
        // Otherwise the row would make a thing that no later file finds.
        let lacking = match reading.upsert {
            Some(MatchBy::Name) if self.name.is_none() => Some("name"),
            Some(MatchBy::ExternalKey) if self.external_key.is_none() => Some("external_key"),
            Some(MatchBy::Id) if self.id.is_none() => Some("id"),
            _ => None,
        };
        let required = |field| FieldError::new(field, "is required: rows find their things by it");
        wrong.0.extend(lacking.map(required));
        let kind = wrong.parsed("type", self.kind);
        let profile_id = wrong.parsed("profile_id", self.profile_id);
        let profile = wrong.text("profile", self.profile);
        if self.profile.is_some() && self.profile_id.is_some() {
            wrong.0.push(FieldError::new("profile", "must not be given beside `profile_id`"));
        }
        if self.profile.is_none() && self.profile_id.is_none() && makes && !reading.has_profile {
            wrong.0.push(FieldError::new("profile", "is required, or `profile_id` for all rows"));
        }
        let key = wrong.valid("key", self.key.map(ThingKey::custom));
        let external_key = wrong.text("external_key", self.external_key);
        let status = wrong.parsed("status", self.status);
        let metadata = match metadata.transpose() {
            Ok(metadata) => metadata,
            Err(error) => {
                wrong.0.push(error);
                None
            }
        };
        if !wrong.0.is_empty() {
            return Err(wrong.0);
        }
        let profile = profile_id.map(ProfileRef::Id).or(profile.map(ProfileRef::Name));
        Ok(ImportRow { row: 0, line: 0, id, name, kind, profile, key, external_key, status, metadata })
    }
}

struct Wrong(Vec<FieldError>);

impl Wrong {
    fn valid<T, E: Display>(
        &mut self,
        field: &'static str,
        result: Option<std::result::Result<T, E>>,
    ) -> Option<T> {
        match result? {
            Ok(value) => Some(value),
            Err(error) => {
                self.0.push(FieldError::new(field, error.to_string()));
                None
            }
        }
    }

    fn text<'t, T: TryFrom<&'t str, Error: Display>>(
        &mut self,
        field: &'static str,
        text: Option<&'t str>,
    ) -> Option<T> {
        self.valid(field, text.map(T::try_from))
    }

    fn parsed<T: FromStr<Err: Display>>(&mut self, field: &'static str, text: Option<&str>) -> Option<T> {
        self.valid(field, text.map(str::parse))
    }
}

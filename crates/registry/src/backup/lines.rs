//! A backup's lines: its head, its rows, its end, to text and back.

use std::{collections::BTreeMap, marker::PhantomData};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::tables::{Cell, Column, Kind, Table};
use crate::{
    clock::Timestamp,
    error::{Error, FieldError, Result},
    ids::ThingId,
    json::JsonObject,
};

/// The name of the format, and its version.
pub(crate) const FORMAT: &str = "things-backup/1";
/// The longest line in bytes, its end included.
pub const MAX_LINE: usize = 1 << 20;
/// The most rows in all.
pub(crate) const MAX_ROWS: u64 = 500_000_000;

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Head {
    pub(crate) format: String,
    /// Which program wrote it.
    pub(crate) product: String,
    /// The newest migration of its database.
    pub(crate) schema: i64,
    pub(crate) made_at: String,
    pub(crate) engine: String,
    pub(crate) rows: u64,
    pub(crate) counts: BTreeMap<String, u64>,
    pub(crate) keyring: Keys,
    pub(crate) left_out: Vec<String>,
}

/// Which keys the verifiers and sealed copies were made with: proof of possession, no secret.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Keys {
    pub(crate) pepper: String,
    pub(crate) check: String,
    pub(crate) kek: String,
    /// Something sealed.
    pub(crate) kek_check: String,
}

/// The last line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct End {
    pub(crate) end: bool,
    pub(crate) rows: u64,
    pub(crate) mac: String,
}

/// How a line begins that is the last one.
pub(crate) const END: &[u8] = br#"{"end":"#;

/// A refusal that tells where, what and why.
pub(crate) fn refusal(place: impl std::fmt::Display, field: &str, reason: impl Into<String>) -> Error {
    let at = if field.is_empty() { place.to_string() } else { format!("{place}: {field}") };
    Error::Invalid(vec![FieldError::new(at, reason)])
}

/// Appends a line.
pub(crate) fn put(out: &mut Vec<u8>, line: &impl Serialize) -> Result<()> {
    serde_json::to_writer(&mut *out, line).map_err(Error::internal)?;
    out.push(b'\n');
    Ok(())
}

/// Appends a row's line.
pub(crate) fn put_row(out: &mut Vec<u8>, table: &Table, row: &[Cell]) -> Result<()> {
    out.extend_from_slice(br#"{"table":""#);
    out.extend_from_slice(table.name.as_bytes());
    out.extend_from_slice(br#"","row":{"#);
    for (at, (column, cell)) in table.columns.iter().zip(row).enumerate() {
        out.extend_from_slice(if at == 0 { b"\"" } else { b",\"" });
        out.extend_from_slice(column.name.as_bytes());
        out.extend_from_slice(b"\":");
        put_cell(out, cell)?;
    }
    out.extend_from_slice(b"}}\n");
    Ok(())
}

fn put_cell(out: &mut Vec<u8>, cell: &Cell) -> Result<()> {
    match cell {
        Cell::Null => out.extend_from_slice(b"null"),
        Cell::Int(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Cell::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
        Cell::Json(object) => out.extend_from_slice(object.as_text().as_bytes()),
        Cell::Id(id) => quoted(out, &id.as_hyphenated().to_string()),
        Cell::Time(time) => quoted(out, &time.to_string()),
        Cell::Bytes(bytes) => quoted(out, &to_base64(bytes)),
        Cell::Text(text) => serde_json::to_writer(out, text).map_err(Error::internal)?,
    }
    Ok(())
}

/// For text that has nothing to be escaped.
fn quoted(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

pub(crate) fn to_base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// A row's line, taken apart.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RowLine<'l> {
    pub(crate) table: String,
    #[serde(borrow)]
    pub(crate) row: Members<'l>,
}

/// An object's members as they come, none twice.
pub(crate) struct Members<'l>(Vec<(String, &'l RawValue)>);

impl<'de: 'l, 'l> Deserialize<'de> for Members<'l> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Collect<'l>(PhantomData<&'l ()>);
        impl<'de: 'l, 'l> Visitor<'de> for Collect<'l> {
            type Value = Members<'l>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members: Vec<(String, &'l RawValue)> = Vec::with_capacity(16);
                while let Some((name, value)) = map.next_entry::<String, &'l RawValue>()? {
                    if members.len() >= 64 {
                        return Err(serde::de::Error::custom("more than 64 fields"));
                    }
                    if members.iter().any(|(known, _)| *known == name) {
                        return Err(serde::de::Error::custom("a field is given twice"));
                    }
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        from.deserialize_map(Collect(PhantomData))
    }
}

impl Members<'_> {
    /// The row's values in the order of the columns, each checked by itself.
    pub(crate) fn cells(&self, table: &Table, place: impl std::fmt::Display + Copy) -> Result<Vec<Cell>> {
        let mut errors = Vec::new();
        let mut wrong = |field: &str, reason: String| {
            errors.push(FieldError::new(format!("{place}: {}.{field}", table.name), reason));
        };
        for (name, _) in &self.0 {
            if !table.columns.iter().any(|column| column.name == name) {
                wrong(&shortened(name), format!("is not a field of {}", table.name));
            }
        }
        let mut cells = Vec::with_capacity(table.columns.len());
        for column in table.columns {
            let given = self.0.iter().find(|(name, _)| name == column.name);
            let cell = match given {
                None => Err("is missing".to_owned()),
                Some((_, raw)) => cell(column, raw),
            };
            match cell.and_then(|cell| checked(column, cell)) {
                Ok(cell) => cells.push(cell),
                Err(reason) => wrong(column.name, reason),
            }
        }
        if errors.is_empty() { Ok(cells) } else { Err(Error::Invalid(errors)) }
    }

    /// A member that is a string.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        let (_, raw) = self.0.iter().find(|(known, _)| known == name)?;
        serde_json::from_str(raw.get()).ok()
    }
}

/// What a client wrote, for a message: no more than a name is long, and nothing that cannot be seen.
fn shortened(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}

fn cell(column: &Column, raw: &RawValue) -> Result<Cell, String> {
    let raw = raw.get();
    if raw == "null" {
        return Ok(Cell::Null);
    }
    let text = || serde_json::from_str::<String>(raw).map_err(|_| "must be a string".to_owned());
    match column.kind {
        Kind::Id => {
            let id: ThingId = text()?.parse().map_err(|error| format!("{error}"))?;
            Ok(Cell::Id(id.uuid()))
        }
        Kind::Int => {
            serde_json::from_str(raw).map(Cell::Int).map_err(|_| "must be a whole number".to_owned())
        }
        Kind::Bool => {
            serde_json::from_str(raw).map(Cell::Bool).map_err(|_| "must be true or false".to_owned())
        }
        Kind::Text => text().map(Cell::Text),
        Kind::Time => time(&text()?).map(Cell::Time),
        Kind::Json => JsonObject::parse(raw).map(Cell::Json).map_err(|error| error.to_string()),
        Kind::Changes => {
            JsonObject::parse_within(raw, CHANGED).map(Cell::Json).map_err(|error| error.to_string())
        }
        Kind::Bytes => {
            from_base64(&text()?).map(Cell::Bytes).ok_or_else(|| "must be bytes in base64url".to_owned())
        }
    }
}

/// The objects that fit into an entry's changes: two, each before and after, and as much room as one more has for
/// what stands around them and for the other fields, which are short.
const CHANGED: usize = 5;

/// The end of the year 9999.
const LAST: Timestamp = Timestamp::from_millis(253_402_300_799_999);

/// A time that both engines hold and that is written back as it came.
pub(crate) fn time(text: &str) -> Result<Timestamp, String> {
    let time = Timestamp::parse(text)
        .ok_or_else(|| "must be a time as RFC 3339 writes it: 2026-11-23T12:13:20.000Z".to_owned())?;
    if (Timestamp::from_millis(0)..=LAST).contains(&time) {
        Ok(time)
    } else {
        Err("must be between the years 1970 and 9999".to_owned())
    }
}

/// A value of the right kind, if it is also what its column takes.
fn checked(column: &Column, cell: Cell) -> Result<Cell, String> {
    if cell == Cell::Null {
        return if column.nullable { Ok(cell) } else { Err("must not be null".to_owned()) };
    }
    // No text goes into the database that PostgreSQL would refuse and SQLite cut.
    if cell.text().is_some_and(|text| text.contains('\0')) {
        return Err("must not contain the character U+0000".to_owned());
    }
    (column.rule)(&cell)?;
    Ok(cell)
}

/// Whether a line is about the row with these values in these columns.
pub(crate) fn is_about(line: &[u8], table: &str, wanted: &[(&str, Uuid)]) -> bool {
    serde_json::from_slice::<RowLine<'_>>(line).is_ok_and(|line| {
        line.table == table
            && wanted.iter().all(|(column, id)| {
                line.row.text(column).is_some_and(|text| text == id.as_hyphenated().to_string())
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_as_they_were_written() {
        let table = Table::named("groups").unwrap();
        let row = vec![
            Cell::Id(Uuid::from_u128(7)),
            Cell::Id(Uuid::from_u128(9)),
            Cell::Text("a \"name\" with ü".to_owned()),
            Cell::Null,
            Cell::Json(JsonObject::parse(r#"{"a":[1,2.5,"x\n"]}"#).unwrap()),
            Cell::Time(Timestamp::from_millis(1_763_900_000_120)),
            Cell::Null,
        ];
        let mut text = Vec::new();
        put_row(&mut text, table, &row).unwrap();
        assert!(text.ends_with(b"}}\n"));
        let line: RowLine<'_> = serde_json::from_slice(&text).unwrap();
        assert_eq!(line.table, "groups");
        assert_eq!(line.row.cells(table, "line 2").unwrap(), row);
        assert!(is_about(&text, "groups", &[("id", Uuid::from_u128(7))]));
        assert!(!is_about(&text, "groups", &[("id", Uuid::from_u128(8))]));
    }

    #[test]
    fn what_is_wrong_with_a_row_is_told_with_its_line_and_field() {
        let table = Table::named("org_memberships").unwrap();
        let refused = |row: &str| {
            let text = format!(r#"{{"table":"org_memberships","row":{row}}}"#);
            let line: RowLine<'_> = serde_json::from_str(&text).map_err(|error| error.to_string())?;
            line.row.cells(table, "line 3").map_err(|error| error.to_string())
        };
        let id = "01890000-0000-7000-8000-000000000000";
        for (row, told) in [
            (
                format!(r#"{{"org_id":"{id}","member_id":"{id}"}}"#),
                "line 3: org_memberships.role: is missing",
            ),
            (
                format!(r#"{{"org_id":"{id}","member_id":"{id}","role":"king"}}"#),
                "line 3: org_memberships.role: must be one of viewer",
            ),
            (
                format!(r#"{{"org_id":"{id}","member_id":"{id}","role":"viewer","x":1}}"#),
                "line 3: org_memberships.x: is not a field of org_memberships",
            ),
            (
                format!(r#"{{"org_id":7,"member_id":"{id}","role":"viewer"}}"#),
                "line 3: org_memberships.org_id: must be a string",
            ),
            (format!(r#"{{"org_id":"{id}","org_id":"{id}"}}"#), "a field is given twice"),
        ] {
            let error = refused(&row).unwrap_err();
            assert!(error.contains(told), "{row}: {error}");
        }
    }
}

//! Which column of a CSV file is which field.

use std::collections::{BTreeMap, HashSet};

use registry::{
    Error, FieldError, JsonObject, Result,
    json::{MAX_DEPTH, MAX_NAME_BYTES},
};
use serde_json::{Map, Value};

/// The most columns.
pub(super) const MAX_COLUMNS: usize = 1_000;
const KNOWN: &str =
    "id, name, type, profile, profile_id, key, external_key, status, metadata and metadata.<name>";

/// What a column holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Column {
    LeftOut,
    Id,
    Name,
    Type,
    Profile,
    ProfileId,
    Key,
    ExternalKey,
    Status,
    Metadata,
    /// A member of the metadata, by the names that lead to it.
    Member(Vec<String>, Kind),
}

/// How a member's cell is to be read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Text,
    Number,
    Bool,
    Json,
}

/// What the `columns` parameter says: other names for columns, or `-` to leave one out.
#[derive(Clone, Debug, Default)]
pub(super) struct Renamed(BTreeMap<String, String>);

impl Renamed {
    /// Reads `Serial:external_key,Notes:-`.
    pub(super) fn parse(text: &str) -> std::result::Result<Self, String> {
        let mut renamed = BTreeMap::new();
        for part in text.split(',').filter(|part| !part.trim().is_empty()) {
            let Some((from, to)) = pair(part) else {
                return Err(format!("must be pairs such as Serial:external_key, and `{part}` is none"));
            };
            if renamed.insert(from.trim().to_owned(), to.trim().to_owned()).is_some() {
                return Err(format!("names the column `{}` twice", from.trim()));
            }
        }
        Ok(Self(renamed))
    }

    /// What a field of a record is called.
    pub(super) fn name<'n>(&'n self, column: &'n str) -> &'n str {
        self.0.get(column).map_or(column, String::as_str)
    }
}

/// Takes `from:to` apart. Columns may have colons in their names, and so has `to` if it is `metadata.<name>:<kind>`.
fn pair(part: &str) -> Option<(&str, &str)> {
    let (from, to) = part.rsplit_once(':')?;
    match from.rsplit_once(':') {
        Some((column, path))
            if path.trim_start().starts_with("metadata.")
                && matches!(to.trim(), "number" | "bool" | "json") =>
        {
            Some((column, part.get(column.len() + 1..)?))
        }
        _ => Some((from, to)),
    }
}

/// Reads the first line.
pub(super) fn header<'c>(cells: impl Iterator<Item = &'c str>, renamed: &Renamed) -> Result<Vec<Column>> {
    let (mut columns, mut errors, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
    let mut refuse = |message: String| errors.push(FieldError::new("body", format!("line 1: {message}")));
    let mut left = renamed.0.clone();
    for cell in cells {
        let given = cell.trim();
        left.remove(given);
        let name = renamed.name(given);
        match column(name) {
            Some(Column::Member(path, _)) if path.len() > MAX_DEPTH => {
                refuse(format!(
                    "`{}` leads deeper than the {MAX_DEPTH} levels that metadata may have; name fewer of them",
                    shown(given)
                ));
                columns.push(Column::LeftOut);
            }
            Some(Column::Member(path, _)) if path.iter().any(|name| name.len() > MAX_NAME_BYTES) => {
                refuse(format!(
                    "`{}` has a member whose name is longer than {MAX_NAME_BYTES} bytes; shorten it",
                    shown(given)
                ));
                columns.push(Column::LeftOut);
            }
            Some(column) => {
                if column != Column::LeftOut && !seen.insert(name.to_owned()) {
                    refuse(format!("two columns are `{name}`; rename one of them in the file, or remove it"));
                }
                columns.push(column);
            }
            None => {
                let given = shown(given);
                let advice = match given.contains(',') {
                    true => "Rename it in the file: `columns` takes no names with commas".to_owned(),
                    false => format!(
                        "Say what it is with columns={given}:<field>, or leave it out with columns={given}:-"
                    ),
                };
                refuse(format!("`{given}` is not a known column; known are {KNOWN}. {advice}"));
                columns.push(Column::LeftOut);
            }
        }
    }
    if columns.len() > MAX_COLUMNS {
        return Err(Error::invalid("body", format!("line 1: there are more than {MAX_COLUMNS} columns")));
    }
    if let Some(name) = left.into_keys().next() {
        errors.push(FieldError::new("columns", format!("names the column `{name}`, and there is none")));
    }
    for path in in_each_others_way(&columns) {
        errors.push(FieldError::new(
            "body",
            format!("line 1: `metadata.{path}` is also the beginning of another column"),
        ));
    }
    if columns.contains(&Column::Profile) && columns.contains(&Column::ProfileId) {
        errors.push(FieldError::new("body", "line 1: give `profile` or `profile_id`, not both"));
    }
    if errors.is_empty() { Ok(columns) } else { Err(Error::Invalid(errors)) }
}

/// As much of a column's name as is told: it may be as long as a row.
fn shown(name: &str) -> &str {
    const MOST: usize = 100;
    name.char_indices().nth(MOST).and_then(|(end, _)| name.get(..end)).unwrap_or(name)
}

fn column(name: &str) -> Option<Column> {
    Some(match name {
        "-" => Column::LeftOut,
        "id" => Column::Id,
        "name" => Column::Name,
        "type" => Column::Type,
        "profile" => Column::Profile,
        "profile_id" => Column::ProfileId,
        "key" => Column::Key,
        "external_key" => Column::ExternalKey,
        "status" => Column::Status,
        "metadata" => Column::Metadata,
        name => {
            let path = name.strip_prefix("metadata.")?;
            let (path, kind) = match path.rsplit_once(':') {
                Some((path, "number")) => (path, Kind::Number),
                Some((path, "bool")) => (path, Kind::Bool),
                Some((path, "json")) => (path, Kind::Json),
                Some(_) => return None,
                None => (path, Kind::Text),
            };
            // One more than there may be is enough to be refused; a header has room for half a million.
            let names: Vec<String> = path.split('.').take(MAX_DEPTH + 1).map(str::to_owned).collect();
            if names.iter().any(String::is_empty) {
                return None;
            }
            Column::Member(names, kind)
        }
    })
}

/// Members that are also objects in which others are.
fn in_each_others_way(columns: &[Column]) -> Vec<String> {
    let paths: Vec<&Vec<String>> = columns
        .iter()
        .filter_map(|column| match column {
            Column::Member(path, _) => Some(path),
            _ => None,
        })
        .collect();
    let all: HashSet<&[String]> = paths.iter().map(|path| path.as_slice()).collect();
    let mut wrong: Vec<String> = paths
        .iter()
        .flat_map(|path| (1..path.len()).filter_map(|len| path.get(..len)))
        .filter(|beginning| all.contains(beginning))
        .map(|beginning| beginning.join("."))
        .collect();
    wrong.sort();
    wrong.dedup();
    wrong
}

/// A metadata object from a row's cells.
pub(super) fn metadata<'c>(
    whole: Option<&str>,
    members: impl Iterator<Item = (&'c [String], Kind, &'c str)>,
) -> std::result::Result<JsonObject, FieldError> {
    let refuse = |field: String, message: String| FieldError::new(field, message);
    let base = match whole {
        Some(text) if !text.is_empty() => {
            JsonObject::parse(text).map_err(|error| refuse("metadata".to_owned(), error.to_string()))?
        }
        _ => JsonObject::default(),
    };
    let mut members = members.filter(|(_, _, cell)| !cell.is_empty()).peekable();
    if members.peek().is_none() {
        return Ok(base);
    }
    let mut object = base.members();
    for (path, kind, cell) in members {
        let field = format!("metadata.{}", path.join("."));
        let value = value(kind, cell).map_err(|message| refuse(field.clone(), message))?;
        place(&mut object, path, value)
            .ok_or_else(|| refuse(field, "is inside of something that is no object".to_owned()))?;
    }
    JsonObject::parse(&Value::Object(object).to_string())
        .map_err(|error| refuse("metadata".to_owned(), error.to_string()))
}

fn value(kind: Kind, cell: &str) -> std::result::Result<Value, String> {
    let json = || {
        serde_json::from_str::<serde::de::IgnoredAny>(cell).map_err(|_| "must be valid JSON".to_owned())?;
        // With the rules for all JSON here, such as which numbers are kept exactly.
        let object =
            JsonObject::parse(&format!("{{\"value\":{cell}}}")).map_err(|error| error.to_string())?;
        object.members().remove("value").ok_or_else(|| "must be valid JSON".to_owned())
    };
    match kind {
        Kind::Text => Ok(Value::String(cell.to_owned())),
        Kind::Bool => match cell {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            _ => Err("must be true or false".to_owned()),
        },
        Kind::Number => match json() {
            Ok(number @ Value::Number(_)) => Ok(number),
            Err(told) if told.contains("64 bits") => Err(told),
            _ => Err("must be a number".to_owned()),
        },
        Kind::Json => json(),
    }
}

/// Calls itself for each of the path's names, of which there are few: [`header`] sees to that.
fn place(object: &mut Map<String, Value>, path: &[String], value: Value) -> Option<()> {
    let (name, rest) = path.split_first()?;
    if rest.is_empty() {
        object.insert(name.clone(), value);
        return Some(());
    }
    let inner = object.entry(name.clone()).or_insert_with(|| Value::Object(Map::new()));
    place(inner.as_object_mut()?, rest, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_advised_about_a_column_works() {
        for name in ["colour", "Serial:No", "metadata.a:date", "a:b:c", "metadata.a:number:x", ""] {
            let told = header(["name", name].into_iter(), &Renamed::default()).unwrap_err().to_string();
            let advice = format!("leave it out with columns={name}:-");
            assert!(told.contains(&advice), "{told}");
            for (to, column) in [
                ("-", Column::LeftOut),
                ("external_key", Column::ExternalKey),
                ("metadata.n:number", Column::Member(vec!["n".to_owned()], Kind::Number)),
            ] {
                let renamed = Renamed::parse(&format!("{name}:{to}")).unwrap();
                let columns = header(["name", name].into_iter(), &renamed).unwrap();
                assert_eq!(columns, [Column::Name, column], "{name}");
            }
        }
        let told = header(["name", "Serial, No"].into_iter(), &Renamed::default()).unwrap_err().to_string();
        assert!(told.contains("Rename it in the file"), "{told}");
    }
}

//! What serde refused, in plain words: which field, and what it must be. Values are never repeated,
//! because they can be secrets in the wrong place, and neither are the names of Rust's types.

use registry::{Error, FieldError};
use serde_json::error::Category;
use serde_path_to_error::{Path, Segment};

use super::Problem;

/// For a body.
pub(crate) fn of_json(path: &Path, error: &serde_json::Error) -> Problem {
    Error::Invalid(vec![field_of_json(path, error)]).into()
}

/// The same as it is told of a part of a body.
pub(crate) fn field_of_json(path: &Path, error: &serde_json::Error) -> FieldError {
    let text = error.to_string();
    let broken = match error.classify() {
        Category::Data => return field_of(path, without_position(&text)),
        Category::Eof if error.line() <= 1 && error.column() == 0 => ", but is empty".to_owned(),
        Category::Eof => ", but ends too early".to_owned(),
        Category::Syntax | Category::Io => format!(": {text}"),
    };
    FieldError::new("body", format!("must be valid JSON{broken}"))
}

/// For anything that serde reads: `message` is what its derived code says.
pub(crate) fn of(path: &Path, message: &str) -> Problem {
    Error::Invalid(vec![field_of(path, message)]).into()
}

fn field_of(path: &Path, message: &str) -> FieldError {
    let mut place = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => place.push_str(&format!("[{index}]")),
            Segment::Map { key } | Segment::Enum { variant: key } => {
                if !place.is_empty() {
                    place.push('.');
                }
                place.push_str(key);
            }
            Segment::Unknown => {}
        }
    }
    let (field, message) = plain(message);
    if let Some(field) = field
        && path.iter().next_back().is_none_or(|last| !matches!(last, Segment::Map { key } if key == field))
    {
        if !place.is_empty() {
            place.push('.');
        }
        place.push_str(field);
    }
    if place.is_empty() {
        place.push_str("body");
    }
    FieldError::new(place, message)
}

/// The field that the message names, if it does, and what it means.
fn plain(message: &str) -> (Option<&str>, String) {
    let quoted = |text: &'_ str| -> Vec<String> {
        text.split('`').skip(1).step_by(2).filter(|name| !name.is_empty()).map(str::to_owned).collect()
    };
    if let Some(rest) = message.strip_prefix("unknown field `") {
        let end = rest.find('`').unwrap_or(rest.len());
        let (field, rest) = rest.split_at(end);
        let known = quoted(rest.get(1..).unwrap_or_default());
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return (Some(field), format!("is not a known field; known are {known}"));
    }
    for (prefix, meaning) in [("missing field `", "is required"), ("duplicate field `", "is given twice")] {
        if let Some(rest) = message.strip_prefix(prefix) {
            return (rest.split('`').next(), meaning.to_owned());
        }
    }
    if message.starts_with("unknown variant `") {
        let expected = message.rsplit_once(", expected ").map_or("", |(_, expected)| expected);
        return (None, format!("must be one of {}", quoted(expected).join(", ")));
    }
    if message.starts_with("invalid ")
        && let Some((_, expected)) = message.rsplit_once(", expected ")
    {
        return (None, format!("must be {}", kind(expected)));
    }
    (None, message.to_owned())
}

/// Rust's name of a kind of value, as JSON calls it.
fn kind(expected: &str) -> &str {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number from 0",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a sequence" => "an array",
        "a map" => "an object",
        other if other.starts_with("struct ") => "an object",
        other => other,
    }
}

/// Without serde_json's ` at line 1 column 2`, which means nothing to who sees the field's name.
fn without_position(text: &str) -> &str {
    text.rsplit_once(" at line ").map_or(text, |(message, _)| message)
}

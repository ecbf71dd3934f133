//! Free-form JSON (metadata and profile configuration): objects only, within limits that both
//! engines can hold, in the one spelling that both give back.
//!
//! Two facts decide the limits. PostgreSQL stores a number as exact decimal, so nine kilobytes of
//! `1e131071` read back as 131 megabytes: a number must be a finite double and counts with the
//! length of its plain decimal form. And it keeps neither member order nor duplicates: members
//! are sorted, duplicates refused.
//!
//! Objects are kept as text: a page of a thousand of them is as large as it is long, where parsed ones
//! would take up to thirty times as much.

use std::{fmt, sync::Arc};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value, value::RawValue};

/// The most bytes, counted as PostgreSQL writes it back.
pub const MAX_BYTES: usize = 64 * 1024;
/// The deepest nesting, the object itself included.
pub const MAX_DEPTH: usize = 32;
/// The most members in all.
pub const MAX_MEMBERS: usize = 1_000;
/// The longest member name in bytes.
pub const MAX_NAME_BYTES: usize = 256;

/// The deepest nesting of a filter.
pub const MAX_FILTER_DEPTH: usize = 16;
/// The most values in a filter, members and elements in all.
pub const MAX_FILTER_VALUES: usize = 256;

/// A JSON object within the limits, in its one spelling. Cheap to clone.
#[derive(Clone, Debug)]
pub struct JsonObject(Arc<RawValue>);

impl PartialEq for JsonObject {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

impl Default for JsonObject {
    fn default() -> Self {
        Map::new().into()
    }
}

impl Serialize for JsonObject {
    fn serialize<S: Serializer>(&self, writer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(writer)
    }
}

/// From storage, where the limits hold already but PostgreSQL has its own spelling.
impl<'de> Deserialize<'de> for JsonObject {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        Map::deserialize(reader).map(Self::from)
    }
}

/// What is wrong with a JSON value; its `Display` says what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JsonError(String);

impl JsonObject {
    /// Reads and checks JSON text.
    pub fn parse(text: &str) -> Result<Self, JsonError> {
        Self::parse_within(text, 1)
    }

    /// The same for an object that holds so many others, each of which may be as large as the limits say.
    pub(crate) fn parse_within(text: &str, objects: usize) -> Result<Self, JsonError> {
        exact_integers(text)?;
        let mut tally = Tally::of(objects);
        let mut reader = serde_json::Deserializer::from_str(text);
        let value = Checked { tally: &mut tally, depth: 0 }.deserialize(&mut reader);
        match value.and_then(|value| reader.end().map(|()| value)) {
            Ok(Value::Object(members)) => Ok(members.into()),
            Ok(_) => Err(JsonError("must be a JSON object".into())),
            Err(error) => {
                Err(JsonError(tally.refusal.unwrap_or_else(|| format!("must be valid JSON: {error}"))))
            }
        }
    }

    /// Checks a member of a request that was left unread.
    pub fn from_raw(raw: &RawValue) -> Result<Self, JsonError> {
        Self::parse(raw.get())
    }

    /// The members, sorted by name.
    pub fn members(&self) -> Map<String, Value> {
        // Cannot fail: the text was made from a map.
        serde_json::from_str(self.0.get()).unwrap_or_default()
    }

    /// How long it is as text.
    pub fn bytes(&self) -> usize {
        self.0.get().len()
    }

    /// Whether it may be looked for: every value becomes part of a query, which engines bound.
    pub fn check_filter(&self) -> Result<(), JsonError> {
        fn values(value: &Value, depth: usize) -> Option<usize> {
            let inner: Box<dyn Iterator<Item = &Value>> = match value {
                Value::Object(members) => Box::new(members.values()),
                Value::Array(items) => Box::new(items.iter()),
                _ => return Some(1),
            };
            let depth = depth.checked_sub(1)?;
            inner.map(|value| values(value, depth)).try_fold(1, |sum, count| Some(sum + count?))
        }
        let mut sum = 0;
        for value in self.members().values() {
            sum += values(value, MAX_FILTER_DEPTH - 1).ok_or_else(|| {
                JsonError(format!("as a filter must be nested at most {MAX_FILTER_DEPTH} levels deep"))
            })?;
        }
        if sum > MAX_FILTER_VALUES {
            return Err(JsonError(format!(
                "as a filter must hold at most {MAX_FILTER_VALUES} values in all"
            )));
        }
        Ok(())
    }

    /// Lays `other`'s members over this object's, one level deep: an existing member is replaced
    /// as a whole, none is removed.
    pub fn merge(&self, other: &Self) -> Result<Self, JsonError> {
        let mut merged = self.members();
        merged.extend(other.members());
        // Two objects within the limits can exceed them together.
        Self::parse(&Value::Object(merged).to_string())
    }

    /// The text, without a copy.
    pub(crate) fn as_text(&self) -> &str {
        self.0.get()
    }

    /// The text as stored.
    pub fn to_text(&self) -> String {
        self.0.get().to_owned()
    }
}

/// For members the server has typed itself (a profile's configuration): the limits hold already.
impl From<Map<String, Value>> for JsonObject {
    fn from(members: Map<String, Value>) -> Self {
        // Cannot fail: maps of strings to values always serialise.
        Self(serde_json::value::to_raw_value(&members).unwrap_or_default().into())
    }
}

/// Refuses integers that neither a 64-bit integer nor a double holds exactly: they would be
/// changed silently. Looks at number tokens only, outside of strings.
fn exact_integers(text: &str) -> Result<(), JsonError> {
    let mut rest = text;
    let mut in_string = false;
    while let Some(at) = rest.find(|c: char| c == '"' || c == '\\' || c == '-' || c.is_ascii_digit()) {
        let tail = rest.get(at..).unwrap_or_default();
        if in_string {
            let skip = if tail.starts_with('\\') { 2 } else { 1 };
            in_string = !tail.starts_with('"');
            rest = tail.get(skip..).unwrap_or_default();
            continue;
        }
        if tail.starts_with('"') || tail.starts_with('\\') {
            in_string = tail.starts_with('"');
            rest = tail.get(1..).unwrap_or_default();
            continue;
        }
        let end = tail.find(|c: char| !(c.is_ascii_digit() || "+-.eE".contains(c))).unwrap_or(tail.len());
        let (token, after) = tail.split_at(end);
        let integer = !token.contains(['.', 'e', 'E']);
        if integer && token.len() > 15 && token.parse::<i64>().is_err() && token.parse::<u64>().is_err() {
            return Err(JsonError(format!(
                "the integer {:.40} is beyond 64 bits; send it as a string",
                token
            )));
        }
        rest = after;
    }
    Ok(())
}

struct Tally {
    bytes: usize,
    members: usize,
    refusal: Option<String>,
    most_bytes: usize,
    most_members: usize,
    most_depth: usize,
}

impl Tally {
    fn of(objects: usize) -> Self {
        Self {
            bytes: 0,
            members: 0,
            refusal: None,
            most_bytes: MAX_BYTES.saturating_mul(objects),
            most_members: MAX_MEMBERS.saturating_mul(objects),
            // What holds the others has two levels of its own.
            most_depth: if objects > 1 { MAX_DEPTH + 2 } else { MAX_DEPTH },
        }
    }

    /// Remembers the reason by itself, because the parser adds line and column to its own.
    fn refuse<E: de::Error>(&mut self, reason: String) -> E {
        self.refusal = Some(reason);
        E::custom("refused")
    }

    fn add<E: de::Error>(&mut self, bytes: usize) -> Result<(), E> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > self.most_bytes {
            let most = self.most_bytes;
            return Err(
                self.refuse(format!("must be at most {most} bytes long, numbers written out in full"))
            );
        }
        Ok(())
    }

    fn text<E: de::Error>(&mut self, text: &str) -> Result<(), E> {
        if text.contains('\0') {
            return Err(self.refuse("must not contain the character U+0000".into()));
        }
        self.add(escaped(text) + 2)
    }
}

/// How long a text is between its quotes.
fn escaped(text: &str) -> usize {
    text.bytes()
        .map(|byte| match byte {
            b'"' | b'\\' | 0x08 | 0x09 | 0x0a | 0x0c | 0x0d => 2,
            ..0x20 => 6,
            _ => 1,
        })
        .sum()
}

struct Checked<'a> {
    tally: &'a mut Tally,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Checked<'_> {
    type Value = Value;
    fn deserialize<D: de::Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Checked<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        self.tally.add(4)?;
        Ok(Value::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        self.tally.add(5)?;
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        self.tally.add(20)?;
        Ok(value.into())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        self.tally.add(20)?;
        Ok(value.into())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        // Written out, a double takes its decimal exponent plus at most 17 digits, a sign, a point.
        let exponent = if value == 0.0 { 0.0 } else { value.abs().log10().abs().ceil() };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 324")]
        self.tally.add(exponent as usize + 20)?;
        match canonical(value) {
            Some(number) => Ok(Value::Number(number)),
            None => Err(self.tally.refuse("numbers must be finite".into())),
        }
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
        self.tally.text(text)?;
        Ok(Value::String(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Value, A::Error> {
        let depth = self.enter()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(Checked { tally: &mut *self.tally, depth })? {
            self.tally.add(2)?;
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<Value, A::Error> {
        let depth = self.enter()?;
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            self.tally.members += 1;
            let most = self.tally.most_members;
            if self.tally.members > most {
                return Err(self.tally.refuse(format!("must have at most {most} members in all")));
            }
            if name.len() > MAX_NAME_BYTES {
                return Err(self
                    .tally
                    .refuse(format!("member names must be at most {MAX_NAME_BYTES} bytes long")));
            }
            self.tally.text(&name)?;
            self.tally.add(4)?;
            if object.contains_key(&name) {
                return Err(self.tally.refuse(format!("has the member {name:?} twice")));
            }
            let value = members.next_value_seed(Checked { tally: &mut *self.tally, depth })?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

impl Checked<'_> {
    fn enter<E: de::Error>(&mut self) -> Result<usize, E> {
        self.tally.add(2)?;
        let most = self.tally.most_depth;
        if self.depth >= most {
            return Err(self.tally.refuse(format!("must be nested at most {most} levels deep")));
        }
        Ok(self.depth + 1)
    }
}

/// The spelling that survives PostgreSQL's exact decimals: negative zero is zero, and a whole
/// number within 64 bits that would be written with an exponent is an integer.
fn canonical(value: f64) -> Option<Number> {
    if value == 0.0 {
        return Number::from_f64(0.0);
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
    if value.fract() == 0.0 && value.abs() >= 1e15 {
        if (-9.2e18..0.0).contains(&value) {
            return Some((value as i64).into());
        }
        if (0.0..1.8e19).contains(&value) {
            return Some((value as u64).into());
        }
    }
    Number::from_f64(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        JsonObject::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn ordinary_objects_pass_unchanged_and_sorted() {
        let object = JsonObject::parse(r#"{"b":[1,2.5,"x\n",null,true],"a":{"k":-3}}"#).unwrap();
        assert_eq!(object.to_text(), r#"{"a":{"k":-3},"b":[1,2.5,"x\n",null,true]}"#);
    }

    #[test]
    fn bombs_are_refused_with_the_limit() {
        assert!(refusal(r#"{"a":1e131071}"#).contains("out of range"));
        assert!(refusal(r#"{"a":1e400}"#).contains("out of range"));
        assert!(refusal(&format!(r#"{{"a":[{}1]}}"#, "1e308,".repeat(300))).contains("65536 bytes"));
        assert!(refusal(&format!("{}{}", r#"{"a":"#.repeat(40), "1}".repeat(40))).contains("32 levels"));
        assert!(JsonObject::parse(&"[".repeat(20_000)).is_err());
        assert!(refusal(r#"{"a":"\u0000"}"#).contains("U+0000"));
        assert!(refusal(r#"{"a":"\ud800"}"#).contains("valid JSON"));
        assert!(refusal(r#"{"a":1,"a":2}"#).contains("twice"));
        assert!(refusal(r#"{"a":{"b":1,"b":2}}"#).contains("twice"));
        assert!(refusal("[1]").contains("object"));
        assert!(refusal(r#"{"a":18446744073709551616}"#).contains("64 bits"));
        assert!(refusal(&format!(r#"{{"a":"{}"}}"#, "x".repeat(70_000))).contains("65536"));
        assert!(refusal(r#"{} {}"#).contains("valid JSON"));
    }

    #[test]
    fn nothing_is_longer_as_text_than_it_counts() {
        let longest = |part: &str, room: usize| {
            let times = room / escaped(&serde_json::from_str::<String>(&format!("\"{part}\"")).unwrap());
            JsonObject::parse(&format!(r#"{{"a":"{}"}}"#, part.repeat(times)))
        };
        for part in ["x", r"\u0001", r"\n", r"\\", r#"\""#, "ü", r"\u007f", r"\/"] {
            let object = longest(part, MAX_BYTES - 20).unwrap();
            assert!((MAX_BYTES - 30..=MAX_BYTES).contains(&object.bytes()), "{part}: {}", object.bytes());
            assert!(longest(part, MAX_BYTES).is_err(), "{part}");
        }
    }

    #[test]
    fn filters_have_limits_of_their_own() {
        let nested =
            |depth: usize| JsonObject::parse(&format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth)));
        assert!(nested(MAX_FILTER_DEPTH).unwrap().check_filter().is_ok());
        assert!(nested(MAX_FILTER_DEPTH + 1).unwrap().check_filter().is_err());
        let wide = |count: usize| JsonObject::parse(&format!(r#"{{"a":[1{}]}}"#, ",1".repeat(count - 1)));
        assert!(wide(MAX_FILTER_VALUES - 1).unwrap().check_filter().is_ok());
        assert!(wide(MAX_FILTER_VALUES).unwrap().check_filter().is_err());
    }

    #[test]
    fn digits_in_strings_are_only_text() {
        assert!(JsonObject::parse(r#"{"a":"\"99999999999999999999999","9999999999999999999999":1}"#).is_ok());
    }

    #[test]
    fn numbers_have_the_spelling_that_exact_decimals_give_back() {
        let text = JsonObject::parse(r#"{"a":-0.0,"b":1e16,"c":1e2,"d":1e-7,"e":1e300}"#).unwrap().to_text();
        assert_eq!(text, r#"{"a":0.0,"b":10000000000000000,"c":100.0,"d":1e-7,"e":1e+300}"#);
    }
}

//! Query strings, as strict as bodies: unknown and repeated parameters are refused, and so is a
//! broken `%` escape. Commas have no meaning, so a JSON value may contain them.

use axum::{extract::FromRequestParts, http::request::Parts};
use registry::Error;
use serde::{
    Deserializer,
    de::{
        DeserializeOwned, IntoDeserializer, Unexpected, Visitor,
        value::{Error as Refused, MapDeserializer},
    },
    forward_to_deserialize_any,
};

use super::{Problem, wording};
use crate::App;

/// The query string.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<App> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        parse(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

/// Reads what is written as `application/x-www-form-urlencoded`: a query string, or a form's body.
pub(crate) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Problem> {
    let mut parameters = Vec::new();
    for parameter in text.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let name = decode(name).ok_or_else(|| Error::invalid("query", "has a malformed %-escape"))?;
        let value = decode(value).ok_or_else(|| Error::invalid(name.clone(), "has a malformed %-escape"))?;
        parameters.push((name, Value(value)));
    }
    serde_path_to_error::deserialize(MapDeserializer::<_, Refused>::new(parameters.into_iter()))
        .map_err(|error| wording::of(&error.path().clone(), &error.inner().to_string()))
}

/// Undoes `application/x-www-form-urlencoded`; `None` when it is not that, or not UTF-8.
pub(crate) fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                if !digits.iter().all(u8::is_ascii_hexdigit) {
                    return None;
                }
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

/// A parameter's value: text that can be read as a number or a word.
struct Value(String);

impl<'de> IntoDeserializer<'de, Refused> for Value {
    type Deserializer = Self;
    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! numbers {
    ($($method:ident $visit:ident $type:ty;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
            match self.0.parse::<$type>() {
                Ok(number) => visitor.$visit(number),
                Err(_) => Err(serde::de::Error::invalid_type(Unexpected::Other("text"), &stringify!($type))),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Value {
    type Error = Refused;

    /// How [`super::list::RawObject`] knows that it reads a text and not a member of a body.
    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_string(self.0)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.0.into_deserializer().deserialize_enum(name, variants, visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        match self.0.as_str() {
            "true" => visitor.visit_bool(true),
            "false" => visitor.visit_bool(false),
            _ => Err(serde::de::Error::invalid_type(Unexpected::Other("text"), &"a boolean")),
        }
    }

    numbers! {
        deserialize_u8 visit_u8 u8;
        deserialize_u16 visit_u16 u16;
        deserialize_u32 visit_u32 u32;
        deserialize_u64 visit_u64 u64;
        deserialize_i8 visit_i8 i8;
        deserialize_i16 visit_i16 i16;
        deserialize_i32 visit_i32 i32;
        deserialize_i64 visit_i64 i64;
    }

    forward_to_deserialize_any! {
        f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize, Debug, PartialEq, Default)]
    #[serde(deny_unknown_fields, default)]
    struct Wanted {
        limit: Option<u32>,
        name: Option<String>,
        dir: Option<Dir>,
    }

    #[derive(Deserialize, Debug, PartialEq)]
    #[serde(rename_all = "lowercase")]
    enum Dir {
        Asc,
        Desc,
    }

    fn refusal(text: &str) -> String {
        parse::<Wanted>(text).unwrap_err().errors_for_test()
    }

    #[test]
    fn parameters_are_read_and_decoded() {
        assert_eq!(
            parse::<Wanted>("limit=7&&name=a%2Cb+c%C3%A9,d&dir=asc").unwrap(),
            Wanted { limit: Some(7), name: Some("a,b cé,d".into()), dir: Some(Dir::Asc) }
        );
        assert_eq!(parse::<Wanted>("").unwrap(), Wanted::default());
        assert_eq!(parse::<Wanted>("name").unwrap().name.as_deref(), Some(""));
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        for (query, told) in [
            ("limti=1", "limti: is not a known field; known are limit, name, dir"),
            ("limit=1&limit=1", "limit: is given twice"),
            ("limit=-1", "limit: must be a whole number from 0"),
            ("limit=", "limit: must be a whole number from 0"),
            ("limit=18446744073709551616", "limit: must be a whole number from 0"),
            ("dir=up", "dir: must be one of asc, desc"),
            ("name=%zz", "name: has a malformed %-escape"),
            ("name=%+1", "name: has a malformed %-escape"),
            ("name=%ff", "name: has a malformed %-escape"),
            ("%=1", "query: has a malformed %-escape"),
        ] {
            assert_eq!(refusal(query), told, "{query}");
        }
    }
}

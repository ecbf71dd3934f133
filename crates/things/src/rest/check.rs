//! From wire to valid: every field of every item is looked at, and all that is wrong is told at once.

use std::{fmt::Display, str::FromStr};

use registry::{Error, FieldError, JsonObject, MAX_BULK};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, value::RawValue};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};

use super::Problem;

/// More broken rules than this are not told; nobody reads them.
const MOST_ERRORS: usize = 100;

/// Collects what is wrong with a request.
#[derive(Default)]
pub(crate) struct Check {
    item: Option<usize>,
    errors: Vec<FieldError>,
}

impl Check {
    /// Converts a bulk request's items, in order; either all of them are valid or none is returned.
    /// `convert` returns `None` only after having told why.
    pub(crate) fn each<W, T>(
        items: Vec<W>,
        mut convert: impl FnMut(W, &mut Self) -> Option<T>,
    ) -> Result<Vec<T>, Problem> {
        if items.len() > MAX_BULK {
            return Err(Error::invalid("", format!("must hold at most {MAX_BULK} items")).into());
        }
        let mut check = Self::default();
        let mut converted = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            check.item = Some(index);
            converted.extend(convert(item, &mut check));
        }
        check.done(Some(converted))
    }

    /// Converts a single object.
    pub(crate) fn one<T>(convert: impl FnOnce(&mut Self) -> Option<T>) -> Result<T, Problem> {
        let mut check = Self::default();
        let converted = convert(&mut check);
        check.done(converted)
    }

    /// A list of ids.
    pub(crate) fn ids<T: FromStr<Err: Display>>(
        field: &'static str,
        texts: &[String],
    ) -> Result<Vec<T>, Problem> {
        if texts.len() > MAX_BULK {
            return Err(Error::invalid(field, format!("must hold at most {MAX_BULK} ids")).into());
        }
        let mut check = Self::default();
        let mut ids = Vec::with_capacity(texts.len());
        for (index, text) in texts.iter().enumerate() {
            match text.parse() {
                Ok(id) => ids.push(id),
                Err(error) => {
                    check.errors.push(FieldError::new(format!("{field}[{index}]"), format!("{error}")))
                }
            }
        }
        check.done(Some(ids))
    }

    fn done<T>(mut self, converted: Option<T>) -> Result<T, Problem> {
        match converted {
            Some(converted) if self.errors.is_empty() => Ok(converted),
            _ => {
                self.errors.truncate(MOST_ERRORS);
                Err(Error::Invalid(self.errors).into())
            }
        }
    }

    /// Tells what is wrong with a field.
    pub(crate) fn refuse(&mut self, field: &'static str, message: impl Into<String>) {
        let error = FieldError::new(field, message);
        self.errors.push(match self.item {
            Some(item) => error.in_item(item),
            None => error,
        });
    }

    /// A text that must be there: a name, an address.
    pub(crate) fn required<T>(&mut self, field: &'static str, text: Option<&str>) -> Option<T>
    where
        T: for<'a> TryFrom<&'a str, Error: Display>,
    {
        if text.is_none() {
            self.refuse(field, "is required");
        }
        self.optional(field, text)
    }

    /// A text that may be left out.
    pub(crate) fn optional<T>(&mut self, field: &'static str, text: Option<&str>) -> Option<T>
    where
        T: for<'a> TryFrom<&'a str, Error: Display>,
    {
        self.valid(field, T::try_from(text?))
    }

    /// A text to filter a list by; empty is no filter.
    pub(crate) fn filter<T>(&mut self, field: &'static str, text: Option<&str>) -> Option<T>
    where
        T: for<'a> TryFrom<&'a str, Error: Display>,
    {
        self.optional(field, text.filter(|text| !text.is_empty()))
    }

    /// A text with a form of its own that may be left out: an id. Empty counts as left out, as Go
    /// clients send it.
    pub(crate) fn parsed<T: FromStr<Err: Display>>(
        &mut self,
        field: &'static str,
        text: Option<&str>,
    ) -> Option<T> {
        self.valid(field, text.filter(|text| !text.is_empty())?.parse())
    }

    /// A free-form object that may be left out.
    pub(crate) fn object(&mut self, field: &'static str, raw: Option<&RawObject>) -> Option<JsonObject> {
        // `metadata=` in a query is no filter, as `name=` is none.
        let raw = raw.filter(|raw| !raw.0.is_empty())?;
        self.valid(field, JsonObject::parse(&raw.0))
    }

    /// A result of any other check.
    pub(crate) fn valid<T, E: Display>(&mut self, field: &'static str, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.refuse(field, error.to_string())).ok()
    }

    /// A result of a check that looks at several fields.
    pub(crate) fn fields<T>(&mut self, result: Result<T, Vec<FieldError>>) -> Option<T> {
        let item = self.item;
        let place = |error: FieldError| FieldError { item, ..error };
        result.map_err(|errors| self.errors.extend(errors.into_iter().map(place))).ok()
    }

    /// A field that the server owns: it may come back as it was given, or empty, and is refused
    /// otherwise, since it would be ignored. `truth` is `None` where there is none yet.
    pub(crate) fn owned(&mut self, field: &'static str, echo: Option<&Echo>, truth: Option<&str>) {
        if let Some(echo) = echo
            && echo.is_given()
            && truth.is_none_or(|truth| !echo.is(truth))
        {
            self.refuse(field, "is not yours to set; leave it out");
        }
    }
}

/// A free-form JSON object on the wire, unread: what is wrong with it is told with its item.
#[derive(Debug, Clone)]
pub(crate) struct RawObject(Box<str>);

impl<'de> Deserialize<'de> for RawObject {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        // In a query string it is a text, in a body a member.
        if from.is_human_readable() {
            Box::<RawValue>::deserialize(from).map(|raw| Self(raw.get().into()))
        } else {
            String::deserialize(from).map(|text| Self(text.into()))
        }
    }
}

impl RawObject {
    /// As it was sent.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

impl PartialSchema for RawObject {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().schema_type(Type::Object).into()
    }
}

impl ToSchema for RawObject {
    fn name() -> std::borrow::Cow<'static, str> {
        "FreeForm".into()
    }
}

/// A field that the server owns, in a write: clients that send back what they read are welcome.
#[derive(Debug, Clone)]
pub(crate) struct Echo(Box<RawValue>);

impl<'de> Deserialize<'de> for Echo {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(from).map(Self)
    }
}

impl PartialSchema for Echo {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::SchemaType::AnyValue)
            .read_only(true)
            .description(Some("Set by the server: leave it out, or send it back as it was read."))
            .into()
    }
}

impl ToSchema for Echo {}

impl Echo {
    /// Whether it says anything: empty values, zeroes and Go's zero time do not.
    pub(crate) fn is_given(&self) -> bool {
        !matches!(self.0.get(), "null" | "\"\"" | "0" | "false" | "[]" | "{}" | "\"0001-01-01T00:00:00Z\"")
    }

    /// Whether it is this text, or as a time the same moment.
    fn is(&self, truth: &str) -> bool {
        let Ok(Value::String(text)) = serde_json::from_str(self.0.get()) else { return false };
        text == truth || registry::Timestamp::parse(&text).is_some_and(|moment| moment.to_string() == truth)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Wire {
        id: Option<Echo>,
    }

    fn owned(sent: &str, truth: Option<&str>) -> bool {
        let wire: Wire = serde_json::from_str(sent).unwrap();
        Check::one(|check| {
            check.owned("id", wire.id.as_ref(), truth);
            Some(())
        })
        .is_ok()
    }

    #[test]
    fn owned_fields_pass_when_they_say_nothing_or_the_truth() {
        for sent in
            [r"{}", r#"{"id":null}"#, r#"{"id":""}"#, r#"{"id":0}"#, r#"{"id":"0001-01-01T00:00:00Z"}"#]
        {
            assert!(owned(sent, None), "{sent}");
            assert!(owned(sent, Some("x")), "{sent}");
        }
        assert!(owned(r#"{"id":"x"}"#, Some("x")));
        assert!(owned(r#"{"id":"2026-01-01T01:00:00+01:00"}"#, Some("2026-01-01T00:00:00.000Z")));
        assert!(!owned(r#"{"id":"y"}"#, Some("x")));
        assert!(!owned(r#"{"id":"y"}"#, None));
        assert!(!owned(r#"{"id":7}"#, Some("7")));
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let raw = |text: &str| RawObject(text.into());
        let items = vec![(Some("ok"), raw("{}")), (None, raw("[]")), (Some(" "), raw(r#"{"a":1,"a":2}"#))];
        let problem = Check::each(items, |(name, metadata), check| {
            let name: Option<registry::text::GroupName> = check.required("name", name);
            let metadata = check.object("metadata", Some(&metadata));
            Some((name?, metadata?))
        })
        .unwrap_err();
        assert_eq!(
            problem.errors_for_test(),
            "[1].metadata: must be a JSON object\n[1].name: is required\n\
             [2].metadata: has the member \"a\" twice\n[2].name: must not be empty"
        );
    }
}

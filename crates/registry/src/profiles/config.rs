//! A profile's configuration: checked where it has a meaning, kept as it came elsewhere.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{error::FieldError, json::JsonObject};

/// What happens to the messages of a profile's things. The members that adapters rely on have the
/// types they expect; any others are kept as they came.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProfileConfig(JsonObject);

/// Where messages go. They go everywhere unless a configuration says otherwise.
const FLAGS: [(&str, &str); 3] = [
    ("write_enabled", "config.write_enabled"),
    ("webhook_enabled", "config.webhook_enabled"),
    ("rule_enabled", "config.rule_enabled"),
];

const TRANSFORMER_TEXTS: [(&str, &str); 4] = [
    ("data_field", "config.transformer.data_field"),
    ("time_field", "config.transformer.time_field"),
    ("time_format", "config.transformer.time_format"),
    ("time_location", "config.transformer.time_location"),
];

impl ProfileConfig {
    /// Checks the members that have a meaning; a null one counts as absent. The flags are true where
    /// absent.
    pub fn new(object: JsonObject) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        let mut members = object.members();
        let mut known =
            |members: &mut Map<String, Value>, name, field, wanted, fits: fn(&Value) -> bool| match members
                .get(name)
            {
                Some(Value::Null) => drop(members.remove(name)),
                Some(value) if !fits(value) => {
                    errors.push(FieldError::new(field, format!("must be {wanted}")));
                }
                _ => {}
            };
        known(&mut members, "content_type", "config.content_type", "a string", Value::is_string);
        for (name, field) in FLAGS {
            known(&mut members, name, field, "true or false", Value::is_boolean);
        }
        known(&mut members, "transformer", "config.transformer", "an object", Value::is_object);
        if let Some(Value::Object(transformer)) = members.get_mut("transformer") {
            known(
                transformer,
                "data_filters",
                "config.transformer.data_filters",
                "an array of strings",
                |value| value.as_array().is_some_and(|filters| filters.iter().all(Value::is_string)),
            );
            for (name, field) in TRANSFORMER_TEXTS {
                known(transformer, name, field, "a string", Value::is_string);
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let full = Self::with_flags(members);
        // The flags may be what exceeds a limit; what is answered must be accepted when it comes back.
        match JsonObject::parse(&full.0.to_text()) {
            Ok(object) => Ok(Self(object)),
            Err(error) => Err(vec![FieldError::new("config", error.to_string())]),
        }
    }

    /// As it was stored, by whomever: older records lack the flags, which meant that all are set.
    pub(crate) fn stored(object: JsonObject) -> Self {
        Self::with_flags(object.members())
    }

    fn with_flags(mut members: Map<String, Value>) -> Self {
        for (flag, _) in FLAGS {
            members.entry(flag).or_insert(Value::Bool(true));
        }
        Self(members.into())
    }

    /// All members.
    pub fn object(&self) -> &JsonObject {
        &self.0
    }

    /// What adapters read of it. What is not of the kind that they expect is as good as absent.
    pub fn handling(&self) -> Handling {
        let mut members = self.0.members();
        let flag = |name| members.get(name).and_then(Value::as_bool).unwrap_or(true);
        let (write, webhook, rule) = (flag("write_enabled"), flag("webhook_enabled"), flag("rule_enabled"));
        let transformer = match members.remove("transformer") {
            Some(Value::Object(mut members)) => Some(Transformer {
                data_filters: match members.remove("data_filters") {
                    Some(Value::Array(filters)) => filters.into_iter().filter_map(text).collect(),
                    _ => Vec::new(),
                },
                data_field: take(&mut members, "data_field"),
                time_field: take(&mut members, "time_field"),
                time_format: take(&mut members, "time_format"),
                time_location: take(&mut members, "time_location"),
            }),
            _ => None,
        };
        Handling { content_type: take(&mut members, "content_type"), transformer, write, webhook, rule }
    }
}

/// A configuration as adapters read it.
#[derive(Clone, Debug, PartialEq)]
pub struct Handling {
    /// Possibly empty.
    pub content_type: String,
    /// How messages are taken apart.
    pub transformer: Option<Transformer>,
    /// Whether messages go to the database.
    pub write: bool,
    /// Whether they go to webhooks.
    pub webhook: bool,
    /// Whether they go to rules.
    pub rule: bool,
}

/// How messages are taken apart. What is not said is empty.
#[derive(Clone, Debug, PartialEq)]
pub struct Transformer {
    /// Which members are data.
    pub data_filters: Vec<String>,
    /// Where the data is.
    pub data_field: String,
    /// Where the time is.
    pub time_field: String,
    /// How the time is written.
    pub time_format: String,
    /// In which time zone, where that does not say.
    pub time_location: String,
}

fn take(members: &mut Map<String, Value>, name: &str) -> String {
    members.remove(name).and_then(text).unwrap_or_default()
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Result<ProfileConfig, Vec<FieldError>> {
        ProfileConfig::new(JsonObject::parse(text).unwrap())
    }

    #[test]
    fn flags_default_to_true_and_other_members_are_kept() {
        let made = config(
            r#"{"webhook_enabled":false,"retain":{"days":7},"transformer":{"x":1,"data_filters":null}}"#,
        );
        assert_eq!(
            made.unwrap().object().to_text(),
            r#"{"retain":{"days":7},"rule_enabled":true,"transformer":{"x":1},"webhook_enabled":false,"write_enabled":true}"#
        );
    }

    #[test]
    fn wrong_types_are_told_all_at_once_with_their_places() {
        let errors = config(
            r#"{"content_type":1,"write_enabled":"yes","rule_enabled":0,
                "transformer":{"data_filters":["a",2],"data_field":[],"time_format":"ms"}}"#,
        )
        .unwrap_err();
        let fields: Vec<_> = errors.iter().map(|error| error.field.as_ref()).collect();
        assert_eq!(
            fields,
            [
                "config.content_type",
                "config.write_enabled",
                "config.rule_enabled",
                "config.transformer.data_filters",
                "config.transformer.data_field"
            ]
        );
        assert_eq!(config(r#"{"transformer":[]}"#).unwrap_err()[0].field, "config.transformer");
    }

    #[test]
    fn what_is_answered_is_accepted_when_it_comes_back() {
        let room = crate::json::MAX_BYTES - r#"{"a":""}"#.len() - 4;
        for less in [0, 10, 40, 80, 120] {
            let text = format!(r#"{{"a":"{}"}}"#, "x".repeat(room - less));
            match config(&text) {
                Ok(made) => assert_eq!(ProfileConfig::new(made.object().clone()), Ok(made)),
                Err(errors) => assert_eq!(errors[0].field, "config"),
            }
        }
    }

    #[test]
    fn a_stored_record_without_flags_has_them_set() {
        let stored = ProfileConfig::stored(JsonObject::parse(r#"{"rule_enabled":false}"#).unwrap());
        assert_eq!(
            stored.object().to_text(),
            r#"{"rule_enabled":false,"webhook_enabled":true,"write_enabled":true}"#
        );
    }
}

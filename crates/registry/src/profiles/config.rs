//! A profile's configuration: checked where it has a meaning, kept as it came elsewhere.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{error::FieldError, json::JsonObject, topics::Filter};

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

const TOPIC_LISTS: [(&str, &str); 2] =
    [("publish", "config.topics.publish"), ("subscribe", "config.topics.subscribe")];

/// Which of a thing's messages its profile lets it use, as filters below the place where they are; an
/// empty filter is that place itself. `None` for all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProfileTopics {
    /// What it may publish.
    pub publish: Option<Vec<String>>,
    /// What it may subscribe to.
    pub subscribe: Option<Vec<String>>,
}

fn is_topic_list(value: &Value) -> bool {
    let is_filter = |value: &Value| {
        value
            .as_str()
            .is_some_and(|text| text.len() <= 256 && (text.is_empty() || Filter::parse(text).is_some()))
    };
    value.as_array().is_some_and(|list| list.len() <= 50 && list.iter().all(is_filter))
}

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
        known(&mut members, "topics", "config.topics", "an object", Value::is_object);
        if let Some(Value::Object(topics)) = members.get_mut("topics") {
            for (name, field) in TOPIC_LISTS {
                let wanted = "an array of at most 50 topic filters of at most 256 bytes each";
                known(topics, name, field, wanted, is_topic_list);
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

    /// What [`ProfileConfig::new`] would refuse, in one line.
    pub(crate) fn faults(object: JsonObject) -> Option<String> {
        let errors = Self::new(object).err()?;
        let all: Vec<_> = errors.iter().map(|error| format!("{} {}", error.path(), error.message)).collect();
        Some(all.join("; "))
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

    /// Which topics it narrows its things to. What was stored by others and cannot be read allows none.
    pub fn topics(&self) -> ProfileTopics {
        // Most configurations say nothing of topics.
        if !self.0.as_text().contains("\"topics\"") {
            return ProfileTopics::default();
        }
        let members = self.0.members();
        let list = |name| match members.get("topics") {
            None | Some(Value::Null) => None,
            Some(topics) => match topics.get(name) {
                None | Some(Value::Null) if topics.is_object() => None,
                Some(list) if is_topic_list(list) => Some(
                    list.as_array()
                        .into_iter()
                        .flatten()
                        .filter_map(Value::as_str)
                        .map(str::to_owned)
                        .collect(),
                ),
                _ => Some(Vec::new()),
            },
        };
        ProfileTopics { publish: list("publish"), subscribe: list("subscribe") }
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
    fn topics_are_lists_of_filters_and_all_where_nothing_is_said() {
        let topics = |text: &str| config(text).map(|config| config.topics());
        assert_eq!(topics("{}"), Ok(ProfileTopics::default()));
        assert_eq!(topics(r#"{"topics":null}"#), Ok(ProfileTopics::default()));
        assert_eq!(
            topics(r#"{"topics":{"publish":["","telemetry/#"],"subscribe":null}}"#).unwrap().publish.unwrap(),
            ["", "telemetry/#"]
        );
        for (wrong, field) in [
            (r#"{"topics":[]}"#, "config.topics"),
            (r#"{"topics":{"publish":"a"}}"#, "config.topics.publish"),
            (r#"{"topics":{"subscribe":["a","a/#/b"]}}"#, "config.topics.subscribe"),
            (r#"{"topics":{"subscribe":["a+"]}}"#, "config.topics.subscribe"),
        ] {
            let errors = topics(wrong).unwrap_err();
            assert_eq!(
                errors.iter().map(|error| error.field.as_ref()).collect::<Vec<_>>(),
                [field],
                "{wrong}"
            );
            let stored = ProfileConfig::stored(JsonObject::parse(wrong).unwrap()).topics();
            assert!(
                stored.publish == Some(vec![]) || stored.subscribe == Some(vec![]),
                "{wrong}: {stored:?}"
            );
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

//! The file: how an organisation is to be. What is left out is left alone.

use std::{collections::BTreeSet, fs, path::Path};

use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::{PartialSchema, ToSchema};

use super::super::{Failure, inert};

/// An organisation as it is to be. It exists already.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// The organisation's name or id.
    #[schema(min_length = 1)]
    pub(super) organisation: String,
    /// Its members; the list is left alone without this.
    #[schema(inline)]
    pub(super) members: Option<Vec<Member>>,
    /// Its groups; left alone without this.
    #[schema(inline)]
    pub(super) groups: Option<Vec<Group>>,
}

/// Somebody with an account.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Member {
    /// The address.
    #[schema(format = Email)]
    pub(super) email: String,
    /// What they may do.
    #[schema(inline)]
    pub(super) role: Role,
}

/// What somebody may do.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Role {
    Viewer,
    Editor,
    Admin,
    Owner,
}

impl Role {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Editor => "editor",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }
}

/// A group, which is known by its name.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Group {
    /// Unique in the organisation.
    #[schema(min_length = 1, max_length = 254)]
    pub(super) name: String,
    #[schema(max_length = 1024)]
    pub(super) description: Option<String>,
    #[schema(value_type = Option<Object>)]
    pub(super) metadata: Option<Map<String, Value>>,
    /// Its members, who are members of the organisation; the list is left alone without this.
    #[schema(inline)]
    pub(super) members: Option<Vec<Member>>,
    /// Its profiles; left alone without this.
    #[schema(inline)]
    pub(super) profiles: Option<Vec<Profile>>,
    /// Its things; left alone without this.
    #[schema(inline)]
    pub(super) things: Option<Vec<Thing>>,
}

/// A profile, which is known by its name.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Profile {
    /// Unique in the group.
    #[schema(min_length = 1, max_length = 1024)]
    pub(super) name: String,
    /// How its things talk.
    #[schema(value_type = Option<Object>)]
    pub(super) config: Option<Map<String, Value>>,
    #[schema(value_type = Option<Object>)]
    pub(super) metadata: Option<Map<String, Value>>,
}

/// A thing, which is known by its name. Keys are made, and never in the file.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Thing {
    /// Unique in the group.
    #[schema(min_length = 1, max_length = 1024)]
    pub(super) name: String,
    /// The name of its profile, in this group.
    #[schema(min_length = 1)]
    pub(super) profile: String,
    #[serde(rename = "type")]
    #[schema(inline)]
    pub(super) kind: Option<Type>,
    /// A serial number, EUI or asset tag.
    #[schema(min_length = 5, max_length = 512)]
    pub(super) external_key: Option<String>,
    #[schema(value_type = Option<Object>)]
    pub(super) metadata: Option<Map<String, Value>>,
    /// Whether it is let in.
    #[schema(inline)]
    pub(super) status: Option<Status>,
}

/// What kind of thing it is.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Type {
    Device,
    Sensor,
    Actuator,
    Controller,
    Gateway,
}

impl Type {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Sensor => "sensor",
            Self::Actuator => "actuator",
            Self::Controller => "controller",
            Self::Gateway => "gateway",
        }
    }
}

/// Whether a thing is let in.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Enabled,
    Disabled,
}

impl Status {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
        }
    }
}

impl Wanted {
    /// The groups that the file has.
    pub(super) fn groups(&self) -> &[Group] {
        self.groups.as_deref().unwrap_or_default()
    }

    pub(super) fn read(file: &Path) -> Result<Self, Failure> {
        let text = fs::read_to_string(file)
            .map_err(|error| Failure::Usage(format!("cannot read {}: {error}", file.display())))?;
        Self::parse(&text)
            .map_err(|told| Failure::Usage(inert::lines(&format!("{}: {told}", file.display()))))
    }

    /// What is wrong names its line and column, or the names that are there twice.
    fn parse(text: &str) -> Result<Self, String> {
        let wanted: Self = serde_saphyr::from_str(text).map_err(|error| {
            let told = error.without_snippet().to_string();
            match error.location() {
                Some(place) if !told.contains(" at line ") => {
                    format!("line {}, column {}: {told}", place.line(), place.column())
                }
                _ => told,
            }
        })?;
        let mut twice = Vec::new();
        let mut once = |place: &str, noun: &str, names: Vec<String>| {
            let mut seen = BTreeSet::new();
            // The server folds the case of addresses; names differ by it.
            for name in names {
                if !seen.insert(name.clone()) {
                    twice.push(format!("{place}: {noun} {name} is there twice"));
                }
            }
        };
        let emails = |members: &Option<Vec<Member>>| -> Vec<String> {
            members.iter().flatten().map(|member| member.email.to_lowercase()).collect()
        };
        once("organisation", "member", emails(&wanted.members));
        once("organisation", "group", wanted.groups().iter().map(|group| group.name.clone()).collect());
        for group in wanted.groups() {
            let place = format!("group {}", group.name);
            once(&place, "member", emails(&group.members));
            once(
                &place,
                "profile",
                group.profiles.iter().flatten().map(|profile| profile.name.clone()).collect(),
            );
            once(&place, "thing", group.things.iter().flatten().map(|thing| thing.name.clone()).collect());
        }
        if twice.is_empty() { Ok(wanted) } else { Err(twice.join("\n  ")) }
    }
}

/// The JSON Schema of the file, for editors that complete and check YAML.
pub(crate) fn schema() -> String {
    let mut schema = serde_json::to_value(Wanted::schema()).unwrap_or_default();
    if let Some(members) = schema.as_object_mut() {
        members.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        members.insert(
            "title".to_owned(),
            json!("An organisation of Things, for `things plan` and `things apply`"),
        );
    }
    format!("{schema:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "\
organisation: Nordlicht
members:
  - {email: ben@example.com, role: viewer}
groups:
  - name: Cold stores
    description: all of them
    metadata: {floor: -1, tags: [a, b]}
    members:
      - {email: ben@example.com, role: editor}
    profiles:
      - name: Sensors
        config: {content_type: application/senml+json}
    things:
      - {name: Boiler room, profile: Sensors, type: sensor, external_key: SN-004217, status: disabled}
";

    #[test]
    fn a_file_is_read() {
        let wanted = Wanted::parse(WHOLE).unwrap();
        let group = &wanted.groups()[0];
        assert_eq!(Value::from(group.metadata.clone().unwrap()), json!({"floor": -1, "tags": ["a", "b"]}));
        assert_eq!(group.things.as_ref().unwrap()[0].status, Some(Status::Disabled));
        assert!(group.members.as_ref().unwrap()[0].role == Role::Editor);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (from, to, told) in [
            ("role: editor", "role: boss", "boss"),
            ("    description:", "    descripton:", "descripton"),
            ("    profiles:\n", "    profiles: {\n", ""),
        ] {
            let error = Wanted::parse(&WHOLE.replace(from, to)).unwrap_err();
            assert!(error.contains("line") && error.contains("column") && error.contains(told), "{error}");
        }
        let twice =
            WHOLE.replace("members:\n  - {", "members:\n  - {email: BEN@example.com, role: admin}\n  - {");
        assert!(Wanted::parse(&twice).unwrap_err().contains("member ben@example.com is there twice"));
    }

    #[test]
    fn the_schema_is_the_one_in_docs() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/organisation.schema.json");
        let written = fs::read_to_string(file).unwrap_or_default();
        assert_eq!(written, schema(), "write it anew: things plan --schema > docs/organisation.schema.json");
    }
}

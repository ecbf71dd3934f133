//! Where the configuration comes from, and how it is said what is wrong there.

use std::path::PathBuf;

use figment::{
    Metadata, Profile, Provider,
    error::Kind,
    util::nest,
    value::{Dict, Map, Value},
};

use super::options::{OPTIONS, Opt};

/// Where the configuration comes from.
#[derive(Default)]
pub(crate) struct Sources {
    /// The file that was named.
    pub(crate) file: Option<PathBuf>,
    /// The environment.
    pub(crate) environment: Vec<(String, String)>,
    /// Option names with the flags' values.
    pub(crate) flags: Vec<(&'static str, String)>,
}

/// One option as text, from the defaults, the environment or a flag.
pub(super) struct Given<'a> {
    pub(super) option: &'static Opt,
    pub(super) text: &'a str,
    pub(super) from: String,
}

impl Provider for Given<'_> {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.from.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let text = match self.option.default {
            // A default is written as TOML.
            Some(default) if self.text == default => default.trim_matches('"'),
            _ => self.text,
        };
        // A password of digits is a text: only what is a number is read as one.
        let value = match text.parse::<i64>() {
            Ok(number) if self.option.number => Value::from(number),
            _ => Value::from(text),
        };
        let nested = nest(self.option.key, value).into_dict().unwrap_or_default();
        Ok(Profile::Default.collect(nested))
    }
}

/// All that is wrong, one to a line, each with its option and its place.
pub(super) fn told(errors: figment::Error) -> String {
    let lines: Vec<String> = errors
        .into_iter()
        .map(|error| {
            let key = error.path.join(".");
            let from = error
                .metadata
                .as_ref()
                .map_or_else(String::new, |metadata| format!(" (in {})", place(metadata)));
            let secret = OPTIONS.iter().any(|option| option.key == key && option.secret);
            match &error.kind {
                Kind::UnknownField(name, _) => {
                    let known: Vec<_> = OPTIONS.iter().map(|option| option.key).collect();
                    let name = if key.is_empty() { name } else { &key };
                    format!("{name} is not an option{from}; known are {}", known.join(", "))
                }
                Kind::UnknownVariant(_, known) => format!("{key} must be one of {}{from}", known.join(", ")),
                Kind::InvalidType(_, _) if secret => format!("{key} must be a text{from}"),
                kind if key.is_empty() => format!("{kind}{from}"),
                kind => format!("{key}: {kind}{from}"),
            }
        })
        .collect();
    lines.join("\n")
}

pub(super) fn place(metadata: &Metadata) -> String {
    match metadata.source.as_ref().and_then(|source| source.file_path()) {
        Some(file) => file.display().to_string(),
        None => metadata.name.to_string(),
    }
}

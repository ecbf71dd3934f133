//! Which servers this person uses, and as whom: `contexts.toml`, for its owner only.

use std::{
    collections::BTreeMap,
    env, fs,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use clap::Command;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Failure,
    given::{Given, verb, word},
    output::{Column, Form, Output},
    secrets::{self, Whole},
};

/// The file.
#[derive(Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Contexts {
    /// The one that is used unless another is named.
    pub(super) current: Option<String>,
    #[serde(default)]
    pub(super) contexts: BTreeMap<String, Context>,
}

/// One server, and who one is there.
// No Debug: it holds a token.
#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Context {
    pub(super) url: String,
    pub(super) email: Option<String>,
    pub(super) token: Option<String>,
    /// Whether the token is a log-in's, which `logout` ends, and not an access token, which it only forgets.
    #[serde(default)]
    pub(super) session: bool,
}

impl Contexts {
    /// `$XDG_CONFIG_HOME/things/contexts.toml`, by default `~/.config/things/contexts.toml`.
    pub(super) fn file() -> Result<PathBuf, Failure> {
        let named = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let config = named("XDG_CONFIG_HOME").or_else(|| named("HOME").map(|home| home.join(".config")));
        let config = config.ok_or_else(|| {
            Failure::Usage(
                "HOME is not set, so contexts have no place: set THINGS_URL and THINGS_TOKEN".to_owned(),
            )
        })?;
        Ok(config.join("things").join("contexts.toml"))
    }

    /// What is in the file; nothing if there is none.
    pub(super) fn read() -> Result<Self, Failure> {
        let Ok(file) = Self::file() else { return Ok(Self::default()) };
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(Failure::to(&format!("read {}", file.display()), &error)),
        };
        secrets::private(&file)?;
        // Not the error's own rendering, which shows the line: a token may be in it.
        toml::from_str(&text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            Failure::Usage(format!("{}:{line}: {}", file.display(), error.message()))
        })
    }

    pub(super) fn write(&self) -> Result<(), Failure> {
        let file = Self::file()?;
        let directory = file.parent().unwrap_or(Path::new("."));
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.map_err(|error| Failure::to(&format!("make {}", directory.display()), &error))?;
        let text = toml::to_string(self).map_err(|error| Failure::to("write the contexts", &error))?;
        let mut whole = Whole::begin(&file, true)?;
        whole.write(b"# Made by `things login`. Tokens: for nobody else to read.\n")?;
        whole.write(text.as_bytes())?;
        whole.finish()
    }

    /// The one of that name, or the current one.
    pub(super) fn chosen(&self, name: Option<&str>) -> Result<Option<(&str, &Context)>, Failure> {
        let Some(name) = name.or(self.current.as_deref()) else { return Ok(None) };
        match self.contexts.get_key_value(name) {
            Some((name, context)) => Ok(Some((name, context))),
            None => Err(Failure::not_found(format!(
                "there is no context {name}; there are: {}",
                self.contexts.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
            ))),
        }
    }
}

pub(super) fn command() -> Command {
    Command::new("context")
        .about("Look at the servers you use, and choose one")
        .subcommand_required(true)
        .subcommand(verb("list", "List them; the one in use has a *"))
        .subcommand(verb("use", "Use this one from now on").arg(word("NAME", "Which")))
        .subcommand(verb("remove", "Forget one, with its token").arg(word("NAME", "Which")))
}

const COLUMNS: &[Column] = &[
    Column::new("current", ""),
    Column::new("name", "NAME"),
    Column::new("url", "URL"),
    Column::new("email", "E-MAIL"),
];

pub(super) fn run(given: &Given<'_>) -> Result<(), Failure> {
    let out = Output { form: Form::named(given.text("output")) };
    let mut contexts = Contexts::read()?;
    let name = given.text("NAME").unwrap_or_default();
    match given.word(1) {
        "use" => {
            contexts.chosen(Some(name))?;
            contexts.current = Some(name.to_owned());
            contexts.write()?;
            out.say(&format!("{name} is in use now"))
        }
        "remove" => {
            contexts.chosen(Some(name))?;
            contexts.contexts.remove(name);
            contexts.current = contexts.current.filter(|current| current != name);
            contexts.write()?;
            out.say(&format!("{name} is forgotten; a log-in of it lasts until it ends by itself"))
        }
        _ => {
            let rows: Vec<Value> = contexts
                .contexts
                .iter()
                .map(|(name, context)| {
                    let current = if contexts.current.as_ref() == Some(name) { "*" } else { "" };
                    json!({"current": current, "name": name, "url": context.url, "email": context.email})
                })
                .collect();
            let mut list = out.list(COLUMNS);
            list.page(&rows)?;
            list.end()
        }
    }
}

//! What was typed: an argument counts wherever it stands, before the noun, before the verb or after it.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command, value_parser};
use serde_json::{Map, Value};

use super::{Failure, HEADING};

/// The arguments of one command, with those that stand before it.
#[derive(Clone)]
pub(super) struct Given<'a> {
    /// From the program's own to the verb's.
    chain: Vec<&'a ArgMatches>,
    /// The words that chose the command.
    pub(super) words: Vec<&'a str>,
}

impl<'a> Given<'a> {
    pub(super) fn of(matches: &'a ArgMatches) -> Self {
        let (mut chain, mut words) = (vec![matches], Vec::new());
        let mut deepest = matches;
        while let Some((word, inner)) = deepest.subcommand() {
            words.push(word);
            chain.push(inner);
            deepest = inner;
        }
        Self { chain, words }
    }

    /// The noun or the command.
    pub(super) fn word(&self, at: usize) -> &'a str {
        self.words.get(at).copied().unwrap_or_default()
    }

    fn find<T: Clone + Send + Sync + 'static>(&self, name: &str) -> Option<&'a T> {
        self.chain.iter().rev().find_map(|matches| matches.try_get_one::<T>(name).ok().flatten())
    }

    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        self.find::<String>(name).map(String::as_str)
    }

    /// One that clap has seen to.
    pub(super) fn required(&self, name: &str) -> &'a str {
        self.text(name).unwrap_or_default()
    }

    pub(super) fn texts(&self, name: &str) -> Vec<&'a str> {
        let found =
            self.chain.iter().rev().find_map(|matches| matches.try_get_many::<String>(name).ok().flatten());
        found.into_iter().flatten().map(String::as_str).collect()
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.chain
            .iter()
            .any(|matches| matches.try_get_one::<bool>(name).ok().flatten().copied().unwrap_or_default())
    }

    /// Whether the command itself has this flag, and not only one of those around it.
    pub(super) fn takes(&self, name: &str) -> bool {
        // A flag of the command has a value, given or not. Whether there is such a flag clap tells in debug builds only.
        let own = self.chain.last().and_then(|matches| matches.try_get_one::<bool>(name).ok().flatten());
        own.is_some()
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.find::<u64>(name).copied()
    }

    pub(super) fn path(&self, name: &str) -> Option<&'a PathBuf> {
        self.find::<PathBuf>(name)
    }

    /// A JSON object, or `@FILE` with one.
    pub(super) fn object(&self, name: &str) -> Result<Option<Value>, Failure> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let read;
        let json = match text.strip_prefix('@') {
            None => text,
            Some(file) => {
                read = std::fs::read_to_string(file)
                    .map_err(|error| Failure::Usage(format!("--{name}: cannot read {file}: {error}")))?;
                &read
            }
        };
        match serde_json::from_str(json) {
            Ok(value @ Value::Object(_)) => Ok(Some(value)),
            Ok(_) => {
                Err(Failure::Usage(format!("--{name} must be a JSON object, like '{{\"site\": \"Porto\"}}'")))
            }
            Err(error) => Err(Failure::Usage(format!("--{name} is not JSON: {error}"))),
        }
    }

    /// Puts texts that were given into a body, under the names that the API has for them.
    pub(super) fn fill(&self, body: &mut Map<String, Value>, fields: &[(&str, &str)]) {
        for (argument, member) in fields {
            if let Some(text) = self.text(argument) {
                body.insert((*member).to_owned(), text.into());
            }
        }
    }

    /// The same for JSON objects.
    pub(super) fn fill_objects(&self, body: &mut Map<String, Value>, names: &[&str]) -> Result<(), Failure> {
        for name in names {
            if let Some(object) = self.object(name)? {
                body.insert((*name).to_owned(), object);
            }
        }
        Ok(())
    }
}

/// `--name VALUE`.
pub(super) fn option(name: &'static str, placeholder: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(placeholder).help(help)
}

/// `--name`.
pub(super) fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

/// `--name NUMBER`.
pub(super) fn number(name: &'static str, range: std::ops::RangeInclusive<u64>, help: &'static str) -> Arg {
    option(name, "NUMBER", help).value_parser(value_parser!(u64).range(range))
}

/// `--name FILE`.
pub(super) fn file(name: &'static str, help: &'static str) -> Arg {
    option(name, "FILE", help).value_parser(value_parser!(PathBuf))
}

/// A word that must be there.
pub(super) fn word(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).required(true).help(help)
}

/// One word or more.
pub(super) fn words(name: &'static str, help: &'static str) -> Arg {
    word(name, help).num_args(1..)
}

/// A verb.
pub(super) fn verb(name: &'static str, about: &'static str) -> Command {
    Command::new(name).about(about)
}

/// A verb that changes something, and can ask first what that would do.
pub(super) fn change(name: &'static str, about: &'static str) -> Command {
    verb(name, about).arg(dry_run())
}

/// At least one of these options: an update without any would change nothing.
pub(super) fn some_of(options: &'static [&'static str]) -> ArgGroup {
    ArgGroup::new("change").args(options).multiple(true).required(true)
}

/// `--dry-run`: for commands that do nothing but tell, if it is given. No other has it, and is refused with it.
pub(super) fn dry_run() -> Arg {
    switch("dry-run", "Change nothing: ask the server what the change would do").help_heading(HEADING)
}

/// `list`, with what all lists take.
pub(super) fn list(about: &'static str, orders: &'static [&'static str]) -> Command {
    verb("list", about)
        .arg(number("limit", 1..=1_000_000, "The most rows to show [default: 100]"))
        .arg(switch("all", "Show all of them, however many").conflicts_with("limit"))
        .arg(option("order", "FIELD", "What to sort by").value_parser(orders.to_vec()))
        .arg(
            option("dir", "DIRECTION", "Which way: asc or desc [default: desc]")
                .value_parser(["asc", "desc"]),
        )
}

/// `--metadata`.
pub(super) fn metadata() -> Arg {
    option("metadata", "JSON", "Metadata: a JSON object, or @FILE with one; replaces all of it")
}

/// Where keys and tokens that are shown once go.
pub(super) fn key_file() -> Arg {
    file("key-file", "Write the secret into this new file, for its owner only, instead of printing it")
}

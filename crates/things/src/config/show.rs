//! `things config show`: what is in force and where it comes from, without secrets.

use figment::value::Value;

use super::{Config, OPTIONS};

impl Config {
    /// The configuration in force, as a file that could be read again but for its secrets.
    pub fn show(&self) -> String {
        let mut shown = String::new();
        let mut section = "";
        for option in OPTIONS {
            let (inside, name) = option.key.split_once('.').unwrap_or(("", option.key));
            if inside != section {
                section = inside;
                shown.push_str(&format!("\n[{section}]\n"));
            }
            let value = match self.figment.find_value(option.key) {
                Ok(Value::String(_, text)) if matches!(option.key, "database_url" | "mail") => {
                    quoted(&without_password(&text))
                }
                Ok(Value::String(..)) if option.secret => quoted("********"),
                Ok(Value::String(_, text)) => quoted(&text),
                Ok(other) => other.to_i128().map_or_else(String::new, |number| number.to_string()),
                Err(_) => {
                    shown.push_str(&format!("# {name} is not set\n"));
                    continue;
                }
            };
            shown.push_str(&format!("{name} = {value}  # {}\n", self.source(option.key)));
        }
        shown
    }
}

fn quoted(text: &str) -> String {
    // JSON's strings are TOML's basic strings.
    serde_json::Value::from(text).to_string()
}

/// The URL of a database or a mail server for a person to read: whatever could be a password is
/// covered.
pub(crate) fn without_password(url: &str) -> String {
    let (address, query) = url.split_once('?').map_or((url, None), |(address, query)| (address, Some(query)));
    let mut shown = match address.split_once("://") {
        Some((scheme, rest)) => {
            let (credentials, host) =
                rest.rsplit_once('@').map_or((None, rest), |(user, host)| (Some(user), host));
            match credentials.map(|credentials| credentials.split_once(':')) {
                Some(Some((user, _))) => format!("{scheme}://{user}:********@{host}"),
                Some(None) => format!("{scheme}://{}@{host}", credentials.unwrap_or_default()),
                None => format!("{scheme}://{host}"),
            }
        }
        None => address.to_owned(),
    };
    if let Some(query) = query {
        let parts: Vec<String> = query
            .split('&')
            .map(|part| match part.split_once('=') {
                Some((name, _)) if name.to_ascii_lowercase().contains("pass") => format!("{name}=********"),
                _ => part.to_owned(),
            })
            .collect();
        shown.push('?');
        shown.push_str(&parts.join("&"));
    }
    shown
}

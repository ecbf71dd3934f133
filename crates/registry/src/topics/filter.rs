//! MQTT topics and topic filters: what is well-formed, and which filter covers which.

use std::fmt;

/// The longest topic or filter, in bytes: MQTT's own limit.
pub const MAX_BYTES: usize = 65_535;

/// A topic filter that is well-formed. A topic without wildcards is one as well, and covers itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Filter(String);

impl Filter {
    /// Checks a filter: `+` and `#` are whole levels, and `#` is the last.
    pub fn parse(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        let mut ended = false;
        let mut fits = |level: &str| {
            let follows_the_end = std::mem::replace(&mut ended, level == "#");
            !follows_the_end && (matches!(level, "+" | "#") || !level.contains(['+', '#']))
        };
        (plain(&text) && text.split('/').all(&mut fits)).then_some(Self(text))
    }

    /// Checks a topic, which has no wildcards.
    pub fn topic(text: &str) -> Option<Self> {
        (plain(text) && !text.contains(['+', '#'])).then(|| Self(text.to_owned()))
    }

    /// Checks what a client subscribes to: a filter, or `$share/<name>/<filter>`, which gets what the
    /// filter gets.
    pub fn subscription(text: &str) -> Option<Self> {
        let Some(shared) = text.strip_prefix("$share/") else { return Self::parse(text) };
        let (name, filter) = shared.split_once('/')?;
        (text.len() <= MAX_BYTES && !name.is_empty() && !name.contains(['+', '#', '\0']))
            .then(|| Self::parse(filter))?
    }

    /// The text, to keep.
    pub fn into_text(self) -> String {
        self.0
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether each topic that `other` matches is matched by this one too.
    pub fn covers(&self, other: &Self) -> bool {
        let (mut mine, mut others) = (levels(&self.0), levels(&other.0));
        let mut first = true;
        loop {
            match (mine.next(), others.next()) {
                // What is above `#` belongs to it: `a/#` matches `a`.
                (Some("#"), _) | (None, None) => return true,
                // A wildcard in the first place leaves out what begins with `$`.
                (Some("+"), Some(level)) if level != "#" && !(first && level.starts_with('$')) => {}
                (Some(level), Some(same)) if level == same => {}
                _ => return false,
            }
            first = false;
        }
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn plain(text: &str) -> bool {
    (1..=MAX_BYTES).contains(&text.len()) && !text.contains('\0')
}

/// The levels, with `#` as `+/#`, and `/#` as `/+/#`: what would be above them is the empty topic, which is
/// none, so that both match the same.
fn levels(filter: &str) -> std::str::Split<'_, char> {
    match filter {
        "#" => "+/#",
        "/#" => "/+/#",
        filter => filter,
    }
    .split('/')
}

//! Names, descriptions and e-mail addresses: text that is valid once it exists.
//!
//! One rule for all of it: trimmed, Unicode NFC, and no character that a person cannot see or that
//! turns the reading direction, so that two names that look alike are alike, on both engines.
//! Limits in bytes exist because an index entry holds about 2,700 of them.

use std::fmt;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

/// The longest name in bytes of UTF-8.
pub const NAME_BYTES: usize = 2_400;

/// What is wrong with a text; its `Display` says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Nothing but white space.
    #[error("must not be empty")]
    Empty,
    /// Too many characters.
    #[error("must be at most {0} characters long")]
    TooLong(usize),
    /// Too many bytes.
    #[error("must be at most {0} bytes long in UTF-8")]
    TooBig(usize),
    /// A control, invisible or direction-changing character.
    #[error(
        "must not contain the character U+{0:04X}: control, invisible and direction-changing characters are refused"
    )]
    Forbidden(u32),
    /// Not an e-mail address.
    #[error("must be an e-mail address, such as ada@example.com")]
    NotAnAddress,
    /// Not a path on this installation.
    #[error("must be a path such as /welcome: a slash and at most 128 of A-Z, a-z, 0-9, /, _ and -")]
    NotAPath,
}

/// Control characters, and those of Unicode's general category Cf (format), which includes the
/// zero-width and bidirectional ones. The zero-width joiner stays: emoji families need it.
///
/// Noncharacters (Unicode §23.7) mean nothing in interchange, and SQLite takes two of them for U+FFFD.
fn forbidden(c: char) -> bool {
    c.is_control()
        || u32::from(c) & 0xFFFE == 0xFFFE
        || matches!(c, '\u{FDD0}'..='\u{FDEF}')
        || matches!(c,
            '\u{00AD}' | '\u{0600}'..='\u{0605}' | '\u{061C}' | '\u{06DD}' | '\u{070F}'
            | '\u{0890}'..='\u{0891}' | '\u{08E2}' | '\u{180E}' | '\u{200B}' | '\u{200C}' | '\u{200E}'..='\u{200F}'
            | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}'
            | '\u{110BD}' | '\u{110CD}' | '\u{13430}'..='\u{1343F}' | '\u{1BCA0}'..='\u{1BCA3}'
            | '\u{1D173}'..='\u{1D17A}' | '\u{E0001}' | '\u{E0020}'..='\u{E007F}')
}

fn visible(text: &str) -> Result<(), TextError> {
    match text.chars().find(|c| forbidden(*c)) {
        Some(c) => Err(TextError::Forbidden(u32::from(c))),
        None => Ok(()),
    }
}

fn tidy(text: &str, most_chars: usize) -> Result<String, TextError> {
    let tidy: String = text.trim().nfc().collect();
    visible(&tidy)?;
    if tidy.chars().count() > most_chars {
        return Err(TextError::TooLong(most_chars));
    }
    Ok(tidy)
}

/// The same text without what [`tidy`] refuses or takes away: what separates becomes a space, what is invisible
/// goes. Possibly nothing is left.
pub(crate) fn tidied(text: &str) -> String {
    let visible = text.nfc().filter_map(|c| match c {
        _ if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => Some(' '),
        _ if forbidden(c) => None,
        _ => Some(c),
    });
    visible.collect::<String>().trim().nfc().collect()
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident($most:literal);)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, sqlx::Type)]
        #[serde(transparent)]
        #[sqlx(transparent)]
        pub struct $name(String);

        impl $name {
            /// The most characters it may have.
            pub const MAX_CHARS: usize = $most;

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<&str> for $name {
            type Error = TextError;
            fn try_from(text: &str) -> Result<Self, TextError> {
                let text = tidy(text, $most)?;
                if text.is_empty() {
                    return Err(TextError::Empty);
                }
                if text.len() > NAME_BYTES {
                    return Err(TextError::TooBig(NAME_BYTES));
                }
                Ok(Self(text))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

names! {
    /// An organisation's name: 1..254 characters. Not unique.
    OrgName(254);
    /// A group's name: 1..254 characters, unique in its organisation.
    GroupName(254);
    /// A profile's name: 1..1,024 characters and at most 2,400 bytes, unique in its group.
    ProfileName(1024);
    /// A thing's name: 1..1,024 characters and at most 2,400 bytes, unique in its group.
    ThingName(1024);
    /// What a person calls an access token: 1..254 characters.
    TokenName(254);
}

/// Text to look for in a filter: NFC like what it is compared with, not trimmed, 1..1,024 characters.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SearchText(String);

impl SearchText {
    /// The most characters it may have.
    pub const MAX_CHARS: usize = 1024;

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for SearchText {
    type Error = TextError;
    fn try_from(text: &str) -> Result<Self, TextError> {
        let composed: String = text.nfc().collect();
        visible(&composed)?;
        match composed.chars().count() {
            0 => Err(TextError::Empty),
            count if count > Self::MAX_CHARS => Err(TextError::TooLong(Self::MAX_CHARS)),
            _ => Ok(Self(composed)),
        }
    }
}

/// A description: up to 1,024 characters, possibly none.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, sqlx::Type)]
#[serde(transparent)]
#[sqlx(transparent)]
pub struct Description(String);

impl Description {
    /// The most characters it may have.
    pub const MAX_CHARS: usize = 1024;

    /// The same text in the form in which it is stored ([`tidied`]); only one that is too long is refused.
    pub(crate) fn tidied(text: &str) -> Result<Self, TextError> {
        Self::try_from(tidied(text).as_str())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for Description {
    type Error = TextError;
    fn try_from(text: &str) -> Result<Self, TextError> {
        tidy(text, Self::MAX_CHARS).map(Self)
    }
}

/// An e-mail address, in the one spelling it is compared by: lower case, NFC. The check is for
/// typing mistakes and header injection, not for RFC 5321's rarities (quoted local parts, address
/// literals), which are refused.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, sqlx::Type)]
#[serde(transparent)]
#[sqlx(transparent)]
pub struct Email(String);

impl Email {
    /// The most characters it may have (RFC 5321 §4.5.3.1.3).
    pub const MAX_CHARS: usize = 254;

    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for Email {
    type Error = TextError;
    fn try_from(text: &str) -> Result<Self, TextError> {
        let address = tidy(text, Self::MAX_CHARS)?.to_lowercase();
        let address: String = address.nfc().collect();
        let well_formed = address.split_once('@').is_some_and(|(local, domain)| {
            let plain = |c: char| !c.is_whitespace() && !"@<>()[]\\,;:\"".contains(c);
            let label = |l: &str| {
                !l.is_empty()
                    && !l.starts_with('-')
                    && !l.ends_with('-')
                    && l.chars().all(|c| c.is_alphanumeric() || c == '-')
            };
            let local_ok = (1..=64).contains(&local.len())
                && local.chars().all(plain)
                && !local.starts_with('.')
                && !local.ends_with('.')
                && !local.contains("..");
            local_ok && domain.split('.').all(label)
        });
        if well_formed && address.chars().count() <= Self::MAX_CHARS {
            Ok(Self(address))
        } else {
            Err(TextError::NotAnAddress)
        }
    }
}

/// A path on the installation's public address, to go on to after an invite was answered:
/// `/` and up to 128 of `A–Z a–z 0–9 / _ -`, not beginning with `//`, so that it never leads elsewhere.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RedirectPath(String);

impl RedirectPath {
    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for RedirectPath {
    type Error = TextError;
    fn try_from(text: &str) -> Result<Self, TextError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-');
        let path = text.strip_prefix('/').filter(|rest| !rest.starts_with('/') && rest.chars().all(plain));
        match path {
            Some(rest) if rest.len() <= 128 => Ok(Self(text.to_owned())),
            _ if planted!("I13: a path leads anywhere") => Ok(Self(text.to_owned())),
            _ => Err(TextError::NotAPath),
        }
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_trimmed_composed_and_visible() {
        assert_eq!(ThingName::try_from("  pump 7 ").unwrap().as_str(), "pump 7");
        assert_eq!(ThingName::try_from("Ku\u{0308}che").unwrap().as_str(), "Küche");
        assert_eq!(ThingName::try_from(" \t "), Err(TextError::Empty));
        for bad in
            ["a\0b", "a\nb", "a\u{202E}b", "a\u{200B}b", "\u{FEFF}a", "a\u{2066}b", "a\u{FFFF}", "\u{10FFFE}"]
        {
            assert!(matches!(ThingName::try_from(bad), Err(TextError::Forbidden(_))), "{bad:?}");
        }
        assert!(ThingName::try_from("👨\u{200D}👩\u{200D}👧").is_ok());
    }

    #[test]
    fn tidied_names_are_valid() {
        for (text, name) in [
            ("pump 7", "pump 7"),
            (" pump\t7\u{200B} ", "pump 7"),
            ("Ku\u{0308}che\n", "Küche"),
            ("\u{FEFF} \u{2028}", ""),
            ("u\u{200B}\u{0308}", "ü"),
        ] {
            assert_eq!(tidied(text), name);
            assert!(name.is_empty() || ThingName::try_from(name).unwrap().as_str() == name);
        }
    }

    #[test]
    fn names_are_bounded_in_characters_and_in_bytes() {
        assert!(GroupName::try_from("é".repeat(254).as_str()).is_ok());
        assert_eq!(GroupName::try_from("é".repeat(255).as_str()), Err(TextError::TooLong(254)));
        assert_eq!(ThingName::try_from("😀".repeat(1024).as_str()), Err(TextError::TooBig(2400)));
        assert!(ThingName::try_from("x".repeat(1024).as_str()).is_ok());
    }

    #[test]
    fn one_address_has_one_spelling() {
        assert_eq!(Email::try_from(" Ada@Example.COM ").unwrap().as_str(), "ada@example.com");
        assert!(Email::try_from("root@localhost").is_ok());
        for bad in
            ["", "ada", "@b.c", "a@", "a@b..c", "a b@c.d", "a@b@c", "a\r\nBcc: x@y.z", "<a@b.c>", ".a@b.c"]
        {
            assert!(Email::try_from(bad).is_err(), "{bad:?}");
        }
    }
}

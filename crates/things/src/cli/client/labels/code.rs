//! What a label's code says, and how it looks.

use qrcode::{Color, EcLevel, QrCode};

use super::super::Failure;

/// What codes say.
pub(super) enum Content {
    /// The external key, or the id where there is none.
    Either,
    ExternalKey,
    Id,
    /// An address, with places for values.
    Template(Vec<Part>),
}

/// A piece of an address.
#[derive(Debug, PartialEq)]
pub(super) enum Part {
    Text(String),
    Id,
    ExternalKey,
}

/// A code's squares.
pub(super) struct Code {
    /// How many there are on each side.
    pub(super) width: usize,
    dark: Vec<bool>,
}

impl Content {
    pub(super) fn parse(text: Option<&str>) -> Result<Self, Failure> {
        match text {
            None => Ok(Self::Either),
            Some("external-key") => Ok(Self::ExternalKey),
            Some("id") => Ok(Self::Id),
            Some(template) => parts(template).map(Self::Template),
        }
    }

    /// The code of one thing.
    pub(super) fn of(&self, id: &str, name: &str, external_key: Option<&str>) -> Result<Code, Failure> {
        let key = || {
            external_key.ok_or_else(|| {
                Failure::Failed(
                    super::super::inert::line(&format!(
                        "{name} ({id}) has no external key to make a code of; use --code id"
                    ))
                    .into_owned(),
                )
            })
        };
        let text = match self {
            Self::Either => external_key.unwrap_or(id).to_owned(),
            Self::ExternalKey => key()?.to_owned(),
            Self::Id => id.to_owned(),
            Self::Template(parts) => {
                let mut text = String::new();
                for part in parts {
                    match part {
                        Part::Text(given) => text.push_str(given),
                        Part::Id => text.push_str(id),
                        Part::ExternalKey => text.push_str(&encoded(key()?)),
                    }
                }
                text
            }
        };
        Code::new(&text).ok_or_else(|| {
            let told = format!(
                "what the code of {name} ({id}) would say is {} bytes long, and no code holds so much; use --code id, or a \
                 shorter address",
                text.len()
            );
            Failure::Failed(super::super::inert::line(&told).into_owned())
        })
    }
}

/// Takes an address apart. What is in braces must be known: a code with `{serial}` in it would be on every label.
fn parts(template: &str) -> Result<Vec<Part>, Failure> {
    let refuse = || {
        Failure::Usage(format!(
            "--code {template}: must be external-key, id, or an address with {{id}} or {{external_key}} in it"
        ))
    };
    let (mut parts, mut rest) = (Vec::new(), template);
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').ok_or_else(refuse)?;
        parts.push(Part::Text(before.to_owned()));
        parts.push(match name {
            "id" => Part::Id,
            "external_key" => Part::ExternalKey,
            _ => return Err(refuse()),
        });
        rest = after;
    }
    if parts.is_empty() || rest.contains('}') {
        return Err(refuse());
    }
    parts.push(Part::Text(rest.to_owned()));
    Ok(parts)
}

/// A value within an address: all but letters, digits and `-._~` as `%XX`.
fn encoded(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                text.push(char::from(byte))
            }
            byte => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

impl Code {
    /// The code of a text, which survives that 15 % of it are lost, or 7 % if there is too much text for that;
    /// `None` for more than any code holds.
    pub(super) fn new(text: &str) -> Option<Self> {
        let code = [EcLevel::M, EcLevel::L]
            .into_iter()
            .find_map(|level| QrCode::with_error_correction_level(text.as_bytes(), level).ok())?;
        let width = code.width();
        let dark = code.to_colors().into_iter().map(|color| color == Color::Dark).collect();
        Some(Self { width, dark })
    }

    /// Dark squares that are side by side, as row, first column and how many.
    pub(super) fn runs(&self) -> impl Iterator<Item = (usize, usize, usize)> + '_ {
        self.dark.chunks(self.width).enumerate().flat_map(|(row, squares)| {
            let mut runs = Vec::new();
            let mut first = None;
            for (column, dark) in squares.iter().chain([&false]).enumerate() {
                match (dark, first) {
                    (true, None) => first = Some(column),
                    (false, Some(began)) => {
                        runs.push((row, began, column - began));
                        first = None;
                    }
                    _ => {}
                }
            }
            runs
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart_and_their_values_are_encoded() {
        let content = Content::parse(Some("https://example.com/claim?key={external_key}#{id}")).unwrap();
        assert!(matches!(&content, Content::Template(parts) if parts.len() == 5));
        for bad in ["https://example.com", "{serial}", "{id", "a}{id}}", "{}", ""] {
            assert!(Content::parse(Some(bad)).is_err(), "{bad}");
        }
        assert_eq!(encoded("SN 1/ü&=%"), "SN%201%2F%C3%BC%26%3D%25");
    }

    #[test]
    fn what_no_code_holds_is_refused_by_name() {
        let long = "x".repeat(3000);
        let failure = Content::Either.of("an-id", "Boiler\u{1b}[2J", Some(&long)).err().unwrap();
        let told = failure.to_string();
        assert!(told.contains("Boiler\\u{1b}[2J (an-id)") && told.contains("3000 bytes"), "{told}");
        let failure = Content::ExternalKey.of("an-id", "Boiler", None).err().unwrap();
        assert!(failure.to_string().contains("has no external key"));
    }
}

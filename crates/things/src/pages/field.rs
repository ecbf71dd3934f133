//! The fields of forms, each with its label, its hint and what is wrong with it, tied together for
//! screen readers.

use askama::{Template, filters::HtmlSafe};

use super::form::Wrong;

/// A field.
#[derive(Template)]
#[template(path = "pages/field.html")]
pub(super) struct Field {
    name: &'static str,
    label: &'static str,
    kind: &'static str,
    autocomplete: &'static str,
    value: String,
    hint: Option<&'static str>,
    wrong: Option<String>,
    focus: bool,
    fixed: bool,
}

/// Its own template escapes what has to be.
impl HtmlSafe for Field {}

impl Field {
    /// An e-mail address. Not `type="email"`: browsers then refuse addresses that are fine here.
    pub(super) fn email(value: &str, wrong: &Wrong) -> Self {
        Self { value: value.to_owned(), ..Self::new("email", "E-mail address", "text", "username", wrong) }
    }

    /// The password of an account that there is.
    pub(super) fn password(wrong: &Wrong) -> Self {
        Self::new("password", "Password", "password", "current-password", wrong)
    }

    /// A password to be.
    pub(super) fn new_password(wrong: &Wrong) -> Self {
        let hint = "12 characters or more. Several unrelated words are easy to remember and hard to guess.";
        Self { hint: Some(hint), ..Self::new("password", "New password", "password", "new-password", wrong) }
    }

    /// What is shown and sent, and not to be changed.
    pub(super) fn fixed(self) -> Self {
        Self { fixed: true, ..self }
    }

    /// Where one begins to type.
    pub(super) fn focused(self, focus: bool) -> Self {
        Self { focus, ..self }
    }

    fn new(
        name: &'static str,
        label: &'static str,
        kind: &'static str,
        autocomplete: &'static str,
        wrong: &Wrong,
    ) -> Self {
        Self {
            name,
            label,
            kind,
            autocomplete,
            value: String::new(),
            hint: None,
            wrong: wrong.at(name),
            focus: false,
            fixed: false,
        }
    }
}

//! The words of mails: templates that are built in, and that an operator's files replace.
//!
//! Each kind of mail has two: `<kind>.txt`, whose first line is the subject, and `<kind>.html`. They are
//! read at start and rendered against samples of every letter, so that a mistake stops the start and
//! not a mail.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use serde::Serialize;

use super::SetupError;

macro_rules! built_in {
    ($($name:literal),* $(,)?) => {
        /// The built-in templates, by the names of their files.
        pub(crate) const BUILT_IN: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../templates/mail/", $name)))),*];
    };
}

built_in![
    "layout.html",
    "role.txt",
    "invite.txt",
    "invite.html",
    "member-added.txt",
    "member-added.html",
    "role-changed.txt",
    "role-changed.html",
    "member-removed.txt",
    "member-removed.html",
    "ownership-received.txt",
    "ownership-received.html",
    "groups-inherited.txt",
    "groups-inherited.html",
    "password-reset.txt",
    "password-reset.html",
    "test.txt",
    "test.html",
];

/// What the first line of a text begins with.
const SUBJECT: &str = "Subject: ";
/// The most characters of a subject.
const LONGEST_SUBJECT: usize = 200;

/// A template that cannot be used, by its file and line.
#[derive(Debug, PartialEq)]
pub(super) struct TemplateError(String);

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A mail in words.
#[derive(Debug)]
pub(super) struct Words {
    pub(super) subject: String,
    pub(super) text: String,
    pub(super) html: String,
}

/// All templates, ready to be rendered.
pub(super) struct Templates {
    environment: Environment<'static>,
    dir: Option<PathBuf>,
}

impl Templates {
    /// The built-in ones, replaced by those that are in `dir`.
    pub(super) fn load(dir: Option<&Path>) -> Result<Self, SetupError> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|name| {
            if name.ends_with(".html") { AutoEscape::Html } else { AutoEscape::None }
        });
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_keep_trailing_newline(true);
        let mut templates = Self { environment, dir: dir.map(Path::to_owned) };
        for (name, text) in BUILT_IN {
            let text = match dir {
                Some(dir) => replacement(dir, name)?.unwrap_or_else(|| (*text).to_owned()),
                None => (*text).to_owned(),
            };
            let added = templates.environment.add_template_owned(*name, text);
            added.map_err(|error| SetupError::new("mail_templates", templates.told(name, &error)))?;
        }
        Ok(templates)
    }

    /// Puts facts into the words of a kind of mail.
    pub(super) fn render(&self, kind: &str, facts: &impl Serialize) -> Result<Words, TemplateError> {
        let name = format!("{kind}.txt");
        let text = self.rendered(&name, facts)?;
        let (first, text) = text.split_once('\n').unwrap_or((&text, ""));
        // A name in it may hold anything that is one line to a person.
        let subject = first.strip_prefix(SUBJECT).map(|subject| {
            let words: Vec<&str> = subject.split(|c: char| c.is_whitespace() || c.is_control()).collect();
            let subject: String = words.join(" ").trim().chars().take(LONGEST_SUBJECT).collect();
            // What looks like RFC 2047's encoding would be shown as what it encodes.
            subject.replace("=?", "= ?")
        });
        let subject = subject.filter(|subject| !subject.is_empty()).ok_or_else(|| {
            TemplateError(format!("{}, line 1: must be `{SUBJECT}` and the subject", self.place(&name)))
        })?;
        let html = self.rendered(&format!("{kind}.html"), facts)?;
        Ok(Words { subject, text: text.trim_start_matches('\n').to_owned(), html })
    }

    fn rendered(&self, name: &str, facts: &impl Serialize) -> Result<String, TemplateError> {
        let rendered = self.environment.get_template(name).and_then(|template| template.render(facts));
        rendered.map_err(|error| TemplateError(self.told(name, &error)))
    }

    /// What is wrong and where. An error in an included template is the last cause.
    fn told(&self, name: &str, error: &minijinja::Error) -> String {
        let mut innermost = error;
        let mut next: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(error);
        while let Some(cause) = next {
            if let Some(cause) = cause.downcast_ref::<minijinja::Error>() {
                innermost = cause;
            }
            next = cause.source();
        }
        let file = self.place(innermost.name().unwrap_or(name));
        let line = innermost.line().map_or_else(String::new, |line| format!(", line {line}"));
        let detail = innermost.detail().map_or_else(String::new, |detail| format!(": {detail}"));
        format!("{file}{line}: {}{detail}", innermost.kind())
    }

    fn place(&self, name: &str) -> String {
        match &self.dir {
            Some(dir) if dir.join(name).exists() => dir.join(name).display().to_string(),
            _ => format!("the built-in template {name}"),
        }
    }
}

/// An operator's own template of this name, if there is one.
fn replacement(dir: &Path, name: &str) -> Result<Option<String>, SetupError> {
    let file = dir.join(name);
    match fs::read_to_string(&file) {
        Ok(text) => Ok(Some(text.replace("\r\n", "\n"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound && dir.is_dir() => Ok(None),
        Err(error) => Err(SetupError::new(
            "mail_templates",
            format!("{}: {error}; `things mail templates DIR` writes files to begin with", file.display()),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Facts {
        by: &'static str,
    }

    fn with(name: &str, text: &str) -> Result<Templates, String> {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(name), text).unwrap();
        let loaded = Templates::load(Some(dir.path()));
        loaded.map_err(|error| error.to_string().replace(&dir.path().display().to_string(), "DIR"))
    }

    #[test]
    fn a_subject_is_one_line_and_markup_is_escaped() {
        let mut templates = Templates::load(None).unwrap();
        let add = |templates: &mut Templates, name: &'static str, text: &'static str| {
            templates.environment.add_template_owned(name, text).unwrap();
        };
        add(&mut templates, "x.txt", "Subject: Hello\t{{ by }}\n\nDear {{ by }}\n");
        add(&mut templates, "x.html", "<p>{{ by }}</p>");
        let words = templates.render("x", &Facts { by: "<b>\u{85}" }).unwrap();
        assert_eq!(words.subject, "Hello <b>");
        assert_eq!(
            (words.text.as_str(), words.html.as_str()),
            ("Dear <b>\u{85}\n", "<p>&lt;b&gt;\u{85}</p>")
        );
        add(&mut templates, "x.txt", "Hello\n");
        let told = templates.render("x", &Facts { by: "" }).unwrap_err();
        assert!(told.0.ends_with("x.txt, line 1: must be `Subject: ` and the subject"), "{told}");
        add(&mut templates, "x.txt", "Subject: x\n{{ bye }}\n");
        let told = templates.render("x", &Facts { by: "" }).unwrap_err();
        assert!(told.0.contains("x.txt, line 2: undefined value"), "{told}");
    }

    #[test]
    fn a_mistake_is_told_with_its_file_and_line() {
        let told = with("invite.html", "<p>\n{% if by %}\n</p>").err().unwrap();
        assert!(told.starts_with("mail_templates: DIR/invite.html, line 3: syntax error: "), "{told}");
        assert!(with("other.txt", "{{").is_ok());
        let missing = Templates::load(Some(Path::new("/no/such"))).err().unwrap().to_string();
        assert!(
            missing.contains("/no/such/layout.html") && missing.contains("things mail templates"),
            "{missing}"
        );
    }
}

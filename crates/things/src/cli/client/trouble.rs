//! What went wrong, for the person at the terminal: a sentence that says what, one that says what to do, and
//! an exit code that says it to programs.

use std::sync::OnceLock;

use things_client::{Error, Problem};

use super::{Failure, inert, output::counted};

/// Exit codes beyond 0 to 3, which all commands share.
pub(crate) mod exit {
    /// Not authenticated, or not allowed.
    pub(crate) const FORBIDDEN: u8 = 4;
    /// No such thing, or not yours to see.
    pub(crate) const NOT_FOUND: u8 = 5;
    /// In conflict with how things are.
    pub(crate) const CONFLICT: u8 = 6;
    /// The server cannot be reached, or cannot answer.
    pub(crate) const UNREACHABLE: u8 = 7;
    /// Interrupted by Ctrl-C.
    pub(crate) const INTERRUPTED: u8 = 130;
    /// The terminal is gone.
    pub(crate) const HUNG_UP: u8 = 129;
    /// Told to end.
    pub(crate) const TERMINATED: u8 = 143;
}

/// What the server is shown; told when the server refuses it.
#[derive(Debug)]
pub(super) enum Shown {
    /// What THINGS_TOKEN holds.
    Variable,
    /// The token of the context of this name.
    Context(String),
}

// A process is one command, which shows one thing. It is known where the server is chosen, and wanted wherever an answer is
// refused; nothing else between the two has to do with it.
static SHOWN: OnceLock<Shown> = OnceLock::new();

impl Shown {
    /// From now on.
    pub(super) fn note(self) {
        let _ = SHOWN.set(self);
    }

    fn advice(shown: Option<&Self>) -> String {
        match shown {
            None => "Log in with `things login`, or set THINGS_TOKEN.".to_owned(),
            Some(Self::Variable) => {
                "THINGS_TOKEN is set, and was refused: give it a valid token, or unset it and use `things login`.".to_owned()
            }
            Some(Self::Context(name)) => {
                format!("The log-in of the context {name} has ended, or its token was revoked: `things login --context {name}`.")
            }
        }
    }
}

/// More errors than this are only counted.
const TOLD: usize = 20;

impl Failure {
    /// What was being done when the server, or the way to it, failed.
    pub(super) fn asking(what: &str, error: &Error) -> Self {
        match error {
            Error::Problem(problem) => Self::told(what, problem),
            Error::Invalid(_) => Self::Usage(format!("cannot {what}: {error}")),
            Error::Unreachable(_) | Error::TimedOut(_) | Error::Foreign(_) => Self::Told {
                code: exit::UNREACHABLE,
                text: inert::lines(&format!(
                    "cannot {what}: {error}\n  Is the server running, and is its URL right? `--url`, `--context`, THINGS_URL and the context in \
                     use say it."
                )),
            },
            _ => Self::Failed(inert::lines(&format!("cannot {what}: {error}"))),
        }
    }

    /// The server's problem.
    pub(super) fn told(what: &str, problem: &Problem) -> Self {
        let mut text = format!("cannot {what}: {}", problem.detail.trim_end_matches('.'));
        for (field, message) in problem.errors.iter().take(TOLD) {
            if !problem.detail.contains(&format!("{field}: {message}")) && *message != problem.detail {
                // Numbers are padded, to be in order.
                let field: Vec<&str> = field.split_whitespace().collect();
                text.push_str(&format!("\n  {}: {message}", field.join(" ")));
            }
        }
        if problem.errors.len() > TOLD {
            text.push_str(&format!("\n  and {} more", problem.errors.len() - TOLD));
        }
        if let Some(next) = next(problem) {
            text.push_str(&format!("\n  {next}"));
        }
        if !problem.request_id.is_empty() {
            text.push_str(&format!("\n  request {}", problem.request_id));
        }
        let code = match problem.status {
            401 | 403 => exit::FORBIDDEN,
            404 => exit::NOT_FOUND,
            409 | 412 | 422 => exit::CONFLICT,
            502..=504 => exit::UNREACHABLE,
            _ => 1,
        };
        Self::Told { code, text: inert::lines(&text) }
    }

    pub(super) fn not_found(text: String) -> Self {
        Self::Told { code: exit::NOT_FOUND, text: inert::lines(&text) }
    }

    pub(super) fn conflict(text: String) -> Self {
        Self::Told { code: exit::CONFLICT, text: inert::lines(&text) }
    }

    /// By a signal, which the code tells.
    pub(super) fn interrupted(code: u8, text: &str) -> Self {
        Self::Told { code, text: inert::lines(&format!("interrupted; {text}")) }
    }
}

/// What to do about it, where the server's own words are for programs.
fn next(problem: &Problem) -> Option<String> {
    let next = match (problem.code.as_str(), problem.status) {
        ("unauthenticated", _) => return Some(Shown::advice(SHOWN.get())),
        ("login-required", _) => "An access token is not enough for this: `things login` with your password.",
        ("insufficient-scope", _) => "The access token may not do that: use one that may, or `things login`.",
        ("forbidden", _) => "An admin of the group or organisation can do it, or raise your role.",
        ("rank-too-low", _) => "Only roles below your own are yours to give, change and take.",
        ("platform-admin-only", _) => "Ask an administrator of the platform.",
        ("not-found", _) => {
            "Look with `list` what there is; what is not yours to see looks as if it were not there."
        }
        ("stale", _) => "Somebody changed it in the meantime. Look again, and repeat the command.",
        ("profile-in-use", _) => "`things thing list --profile …` shows what uses it.",
        ("last-owner", _) => "Hand it over first: `hand-over`.",
        ("already-invited", _) => "`things invite list --sent` shows it; `resend` or `revoke` it.",
        ("too-many-requests", _) => {
            // What is told within an answer comes without a time.
            return Some(problem.retry_after.map_or_else(
                || "Try again later.".to_owned(),
                |after| format!("Try again in {}.", counted(after.as_secs(), "second")),
            ));
        }
        ("outcome-unknown", _) => "It happened or it did not: look before you repeat the command.",
        ("", 404 | 405) => "Is this URL the API of Things, and is the server new enough for this command?",
        (_, 502..=504) => "Try again in a moment.",
        (_, 500) => "The server's operator finds the reason in its log, by the request's id.",
        _ => return None,
    };
    Some(next.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(problem: serde_json::Value) -> String {
        let problem: Problem = serde_json::from_value(problem).unwrap();
        Failure::told("import", &problem).to_string()
    }

    #[test]
    fn a_time_that_nobody_said_is_not_told() {
        let problem =
            serde_json::json!({"status": 429, "type": "/problems/too-many-requests", "detail": "too many"});
        assert_eq!(told(problem), "cannot import: too many\n  Try again later.");
    }

    #[test]
    fn advice_is_about_what_was_refused() {
        assert!(Shown::advice(Some(&Shown::Variable)).contains("THINGS_TOKEN is set, and was refused"));
        assert!(Shown::advice(Some(&Shown::Context("a".to_owned()))).contains("things login --context a"));
        assert!(Shown::advice(None).contains("set THINGS_TOKEN"));
    }
}

//! What went wrong, for the person at the terminal: a sentence that says what, one that says what to do, and
//! an exit code that says it to programs.

use things_client::{Error, Problem};

use super::{Failure, inert};

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
        ("unauthenticated", _) => "Log in with `things login`, or set THINGS_TOKEN.",
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
            let after = problem.retry_after.map_or(1, |after| after.as_secs());
            return Some(format!("Try again in {after} seconds."));
        }
        ("outcome-unknown", _) => "It happened or it did not: look before you repeat the command.",
        ("", 404 | 405) => "Is this URL the API of Things, and is the server new enough for this command?",
        (_, 502..=504) => "Try again in a moment.",
        (_, 500) => "The server's operator finds the reason in its log, by the request's id.",
        _ => return None,
    };
    Some(next.to_owned())
}

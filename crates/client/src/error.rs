//! What can go wrong.

use std::error::Error as _;

use crate::Problem;

/// Why there is no answer, or not the one that was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server says why not.
    #[error("{0}")]
    Problem(Box<Problem>),
    /// Nobody answered at that address, or the connection broke. Whether the request was carried out is not known,
    /// unless it only reads.
    #[error("{0}")]
    Unreachable(String),
    /// No answer came in time.
    #[error("no answer came in {} seconds", .0.as_secs())]
    TimedOut(std::time::Duration),
    /// What answers does not speak as Things does.
    #[error("{0}")]
    Foreign(String),
    /// The URL, the token or a value cannot be sent.
    #[error("{0}")]
    Invalid(String),
    /// What was to be sent could not be read.
    #[error("cannot read what was to be sent: {0}")]
    Source(#[source] std::io::Error),
}

impl Error {
    /// The server's own words, if it has any.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Problem(problem) => Some(problem),
            _ => None,
        }
    }

    /// The server's status, if it answered.
    pub fn status(&self) -> Option<u16> {
        self.problem().map(|problem| problem.status)
    }

    /// What the transport says, with its causes; of the URL only which server it is, since the rest may be long.
    pub(crate) fn transport(error: reqwest::Error, patience: std::time::Duration) -> Self {
        if error.is_builder() {
            return Self::Invalid(chain(&error.without_url()));
        }
        // A connection that cannot be made in time is nobody's answer that is late.
        if error.is_timeout() && !error.is_connect() {
            return Self::TimedOut(patience);
        }
        if let Some(source) = found::<crate::request::Unreadable>(&error) {
            return Self::Source(std::io::Error::new(source.0, source.1.clone()));
        }
        let server = error.url().map(|url| url.origin().ascii_serialization());
        let broken = if error.is_connect() { " cannot be reached" } else { "" };
        let why = chain(&error.without_url());
        Self::Unreachable(server.map_or_else(|| why.clone(), |server| format!("{server}{broken}: {why}")))
    }
}

fn found<E: std::error::Error + 'static>(error: &reqwest::Error) -> Option<&E> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        if let Some(inner) = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref)
            && let Some(found) = inner.downcast_ref::<E>()
        {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

/// The innermost reason says most; those around it repeat it or say less.
fn chain(error: &reqwest::Error) -> String {
    let mut told = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !told.iter().any(|text| text.contains(&more)) {
            told.push(more);
        }
        cause = error.source();
    }
    told.split_off(1.min(told.len() - 1)).join(": ")
}

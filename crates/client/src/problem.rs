//! Why the server did not do it, in its own words.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{Deserialize, Deserializer, Serialize};

/// An answer that is not a success (RFC 9457).
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
pub struct Problem {
    /// The HTTP status.
    #[serde(default)]
    pub status: u16,
    /// What kind it is, as programs tell them apart: `thing-name-taken`. Empty if the answer was not one of Things.
    #[serde(default, rename = "type", deserialize_with = "code")]
    pub code: String,
    /// The kind in a few words.
    #[serde(default)]
    pub title: String,
    /// What is wrong and what to do about it.
    #[serde(default)]
    pub detail: String,
    /// Messages by field; in bulk requests a field is named with its item: `[3].name`.
    #[serde(default)]
    pub errors: BTreeMap<String, String>,
    /// Under which the server's log has the request.
    #[serde(default)]
    pub request_id: String,
    /// When the server wants to be asked again.
    #[serde(skip)]
    pub retry_after: Option<Duration>,
}

impl Problem {
    /// From a body that should be a problem. Whatever answers (a proxy, another program) is told as well as it goes.
    pub(crate) fn parse(status: u16, reason: &str, body: &[u8]) -> Self {
        let parsed: Option<Self> = serde_json::from_slice(body).ok();
        let mut problem = parsed.unwrap_or_else(|| Self {
            status,
            code: String::new(),
            title: String::new(),
            detail: String::new(),
            errors: BTreeMap::new(),
            request_id: String::new(),
            retry_after: None,
        });
        problem.status = status;
        if problem.title.is_empty() {
            problem.title = reason.to_owned();
        }
        if problem.detail.is_empty() {
            problem.detail = format!("the server answered {status} {reason}, without saying why");
        }
        problem
    }

    /// Whether nothing was carried out, so that the request can be sent again whatever it was.
    pub(crate) fn nothing_happened(&self) -> bool {
        self.status == 429 || (self.status == 503 && self.code == "unavailable")
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

/// The last part of `/problems/thing-name-taken`.
fn code<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let reference = String::deserialize(from)?;
    Ok(reference.rsplit('/').next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_read_whole() {
        let body = br#"{"type":"/problems/invalid","title":"Invalid request","status":400,"detail":"the request is invalid",
            "error":"the request is invalid","errors":{"[3].name":"must not be empty"},"request_id":"r1"}"#;
        let problem = Problem::parse(400, "Bad Request", body);
        assert_eq!((problem.code.as_str(), problem.request_id.as_str()), ("invalid", "r1"));
        assert_eq!(problem.errors["[3].name"], "must not be empty");
        assert!(!problem.nothing_happened());
    }

    #[test]
    fn what_is_no_problem_is_told_by_its_status() {
        for body in [&b"<html>Bad gateway</html>"[..], b"", b"[]", b"{\"status\":\"no\"}"] {
            let problem = Problem::parse(502, "Bad Gateway", body);
            assert_eq!(problem.status, 502);
            assert_eq!(problem.to_string(), "the server answered 502 Bad Gateway, without saying why");
            assert!(problem.code.is_empty());
        }
    }
}

//! From a form to valid values, and what is wrong with it, for the page to say beside each field.

use std::collections::BTreeMap;

use axum::{
    extract::{FromRequest, Request},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use registry::Error;
use serde::de::DeserializeOwned;

use super::sentence;
use crate::{
    App,
    rest::{
        body,
        problem::{Answer, Problem, kinds},
        query,
    },
};

/// A form as browsers send it. The last argument of a handler.
pub(super) struct Form<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<App> for Form<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        is_form(&parts.headers)?;
        let body = body::read(&parts, body, app).await?;
        let text = std::str::from_utf8(&body).map_err(|_| Error::invalid("body", "must be UTF-8"))?;
        query::parse(text).map(Self)
    }
}

fn is_form(headers: &HeaderMap) -> Result<(), Problem> {
    let named = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = named.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
        && !headers.contains_key(header::CONTENT_ENCODING)
    {
        return Ok(());
    }
    Err(Problem::new(
        &kinds::MEDIA_TYPE,
        "a page takes forms only, as browsers send them: `application/x-www-form-urlencoded`",
    ))
}

/// What is wrong with a form that was sent.
#[derive(Debug, Default)]
pub(super) struct Wrong {
    fields: BTreeMap<String, String>,
    whole: Option<String>,
    status: StatusCode,
    retry_after: Option<u64>,
}

impl Wrong {
    /// What of the problem a person can put right in the form that has these fields; anything else is
    /// a page of its own.
    pub(super) fn with(problem: Problem, fields: &[&str]) -> Result<Self, Problem> {
        let status = match problem.status() {
            // It would have to say how else to come, and a browser has no other way.
            StatusCode::UNAUTHORIZED => StatusCode::FORBIDDEN,
            status @ (StatusCode::BAD_REQUEST
            | StatusCode::FORBIDDEN
            | StatusCode::CONFLICT
            | StatusCode::TOO_MANY_REQUESTS) => status,
            _ => return Err(problem),
        };
        let mut wrong = Self { status, retry_after: problem.retry_after(), ..Self::default() };
        for (field, message) in problem.errors() {
            if !fields.contains(&field.as_str()) {
                return Err(problem);
            }
            // A broken rule says what the field must be, a conflict is a sentence of its own.
            let is_rule = problem.kind().code == kinds::INVALID.code;
            let message = if is_rule { format!("This {message}") } else { message.clone() };
            wrong.fields.insert(field.clone(), sentence(&message));
        }
        if wrong.fields.is_empty() {
            wrong.whole = Some(sentence(problem.detail()));
        }
        Ok(wrong)
    }

    /// What is wrong with this field.
    pub(super) fn at(&self, field: &str) -> Option<String> {
        self.fields.get(field).cloned()
    }

    /// What is wrong with no field in particular, and how long it stays so.
    pub(super) fn whole(&self) -> Option<String> {
        let text = self.whole.clone()?;
        Some(match self.retry_after {
            None => text,
            Some(seconds) => format!("{text} {}", again_in(seconds)),
        })
    }

    /// The page with the form, sent back.
    pub(super) fn page(&self, page: &impl askama::Template) -> Answer<Response> {
        let mut response = super::page(self.status, page)?;
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        Ok(response)
    }
}

/// When to come back, in words.
pub(super) fn again_in(seconds: u64) -> String {
    match seconds {
        1 => "Try again in a second.".to_owned(),
        2..=90 => format!("Try again in {seconds} seconds."),
        _ => format!("Try again in {} minutes.", seconds.div_ceil(60)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use registry::ConflictKind;

    use super::*;

    #[test]
    fn what_is_wrong_is_said_at_its_field() {
        let invalid = || Problem::from(Error::invalid("email", "is required"));
        let wrong = Wrong::with(invalid(), &["email"]).unwrap();
        assert_eq!(wrong.at("email").unwrap(), "This is required.");
        assert_eq!((wrong.whole(), wrong.status), (None, StatusCode::BAD_REQUEST));
        assert!(Wrong::with(invalid(), &["password"]).is_err(), "there is no such field to say it at");

        let taken = Error::conflict(ConflictKind::EmailTaken).into();
        let wrong = Wrong::with(taken, &["email"]).unwrap();
        assert_eq!(wrong.at("email").unwrap(), "An account with this e-mail address already exists.");

        let wrong = Wrong::with(Error::Unauthenticated.into(), &[]).unwrap();
        assert_eq!(wrong.status, StatusCode::FORBIDDEN);
        assert!(Wrong::with(Error::Unavailable.into(), &[]).is_err());
        assert!(Wrong::with(Problem::internal("x"), &[]).is_err());
    }

    #[test]
    fn waiting_is_told_in_words() {
        for (wait, told) in [(0, "in a second."), (59, "in 59 seconds."), (900, "in 15 minutes.")] {
            let error = Error::TooMany { retry_after: Duration::from_secs(wait) };
            let wrong = Wrong::with(error.into(), &[]).unwrap();
            let whole = wrong.whole().unwrap();
            assert!(whole.starts_with("Too many attempts") && whole.ends_with(told), "{whole}");
        }
    }
}

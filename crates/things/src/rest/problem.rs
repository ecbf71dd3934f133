//! What went wrong, as HTTP tells it: the registry's errors become RFC 9457 problems here, once.
//!
//! A [`Problem`] travels as a response extension and is written out by the outermost layer
//! (`rest::edge`), which alone knows the request's id; every answer that is not a success goes
//! through it, those of the framework included.

pub(crate) mod kinds;

use std::{collections::BTreeMap, error::Error as StdError, sync::Arc, time::Duration};

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use registry::{Conflict, ConflictKind, Denial, Error, FieldError};
use serde::Serialize;
use utoipa::ToSchema;

pub(crate) use kinds::Kind;

/// The body of every answer that is not a success.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody {
    /// A stable reference to the kind of problem; following it explains the kind.
    #[schema(example = "/problems/not-found")]
    r#type: String,
    /// The kind in a few words.
    title: &'static str,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What is wrong and what to do about it.
    detail: String,
    /// The same sentence as `detail`, under the name that Mainflux's clients read.
    error: String,
    /// Messages by field; in bulk requests a field is named with its item: `[3].name`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(required = false)]
    errors: BTreeMap<String, String>,
    /// Under which the log has this request; also the `X-Request-Id` header.
    request_id: String,
}

/// What went wrong with one item of a request whose others succeeded.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ItemProblem {
    /// A stable reference to the kind of problem; following it explains the kind.
    #[schema(example = "/problems/already-member")]
    r#type: String,
    /// The kind in a few words.
    title: &'static str,
    /// What is wrong and what to do about it.
    detail: String,
    /// Messages by field.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(required = false)]
    errors: BTreeMap<String, String>,
}

/// A request that did not succeed, and why.
#[derive(Clone, Debug)]
pub struct Problem {
    kind: &'static Kind,
    detail: String,
    errors: BTreeMap<String, String>,
    retry_after: Option<Duration>,
    challenge: &'static str,
    /// For the log, never for the client.
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// How a handler answers.
pub(crate) type Answer<T = Response> = Result<T, Problem>;

/// What a client that came without a valid credential is told to come with.
const BEARER: &str = "Bearer realm=\"things\"";
/// The same for the endpoints that things use.
const DEVICE: &str = "Thing realm=\"things\", External realm=\"things\"";

/// How long a client waits for a database that is away.
const UNAVAILABLE: Duration = Duration::from_secs(2);

impl Problem {
    pub(crate) fn new(kind: &'static Kind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            errors: BTreeMap::new(),
            retry_after: None,
            challenge: BEARER,
            source: None,
        }
    }

    /// A defect: the reason goes to the log.
    pub(crate) fn internal(reason: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Error::internal(reason).into()
    }

    /// A valid thing key is missing, not a user's token.
    #[must_use]
    pub(crate) fn for_things(mut self) -> Self {
        self.challenge = DEVICE;
        self
    }

    /// The HTTP status it is told with.
    pub fn status(&self) -> StatusCode {
        self.kind.status
    }

    /// What is told about fields, one to a line.
    #[cfg(test)]
    pub(crate) fn errors_for_test(&self) -> String {
        let lines: Vec<_> =
            self.errors.iter().map(|(field, message)| format!("{field}: {message}")).collect();
        lines.join("\n")
    }

    /// What kind it is of.
    pub(crate) fn kind(&self) -> &'static Kind {
        self.kind
    }

    /// What is wrong and what to do about it.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// Messages by field.
    pub(crate) fn errors(&self) -> &BTreeMap<String, String> {
        &self.errors
    }

    /// In how many seconds to come back, where that is known.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        self.retry_after.map(|wait| wait.as_millis().div_ceil(1000).max(1) as u64)
    }

    /// Says in how long to come back.
    #[must_use]
    pub(crate) fn wait(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }

    /// Logs what the client is not shown.
    pub(crate) fn log(&self, request_id: &str) {
        if let Some(source) = &self.source {
            tracing::error!(request_id, error = %Chain(source.as_ref()), "internal error");
        }
    }

    fn with(mut self, field: String, message: &str) -> Self {
        self.errors
            .entry(field)
            .and_modify(|known| {
                known.push_str("; ");
                known.push_str(message);
            })
            .or_insert_with(|| message.to_owned());
        self
    }

    /// Calls fields as the request does, where it differs from the registry.
    #[must_use]
    pub(crate) fn naming(mut self, name: impl Fn(String) -> String) -> Self {
        self.errors = self.errors.into_iter().map(|(field, message)| (name(field), message)).collect();
        self
    }

    /// As what became of one item: what is about the whole request is told with that.
    pub(crate) fn of_item(self) -> ItemProblem {
        ItemProblem {
            r#type: self.reference(),
            title: self.kind.title,
            detail: self.detail,
            errors: self.errors,
        }
    }

    fn reference(&self) -> String {
        format!("/problems/{}", self.kind.code)
    }

    /// As programs read it, under the request's id.
    pub(crate) fn body(self, request_id: &str) -> ProblemBody {
        ProblemBody {
            r#type: self.reference(),
            title: self.kind.title,
            status: self.kind.status.as_u16(),
            error: self.detail.clone(),
            detail: self.detail,
            errors: self.errors,
            request_id: request_id.to_owned(),
        }
    }

    /// Writes it out for programs, under the request's id.
    pub(crate) fn render(self, request_id: &str) -> Response {
        let (wait, status, challenge) = (self.retry_after(), self.kind.status, self.challenge);
        let mut response = (status, Json(self.body(request_id))).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Some(wait) = wait {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait));
        }
        response
    }
}

/// An error and what caused it, on one line.
struct Chain<'a>(&'a (dyn StdError + Send + Sync));

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.kind.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let detail = error.to_string();
        match error {
            Error::Unauthenticated => Self::new(&kinds::UNAUTHENTICATED, detail),
            Error::NotFound => Self::new(&kinds::NOT_FOUND, detail),
            Error::Forbidden(denial) => Self::new(refused(denial), detail),
            Error::Invalid(errors) => invalid(&errors, detail),
            Error::Conflict(conflict) => clash(&conflict, detail),
            Error::Stale => Self::new(&kinds::STALE, detail),
            Error::ReplayMismatch => Self::new(&kinds::REPLAY_MISMATCH, detail),
            Error::TooMany { retry_after } => {
                Self { retry_after: Some(retry_after), ..Self::new(&kinds::TOO_MANY, detail) }
            }
            Error::TakenTooOften { told, retry_after } => {
                let problem = Self { kind: &kinds::TOO_MANY, ..invalid(&told, detail) };
                problem.wait(retry_after)
            }
            // The registry repeats collisions by itself; one that gets here is told as being busy.
            Error::Unavailable | Error::Collision => Self {
                retry_after: Some(UNAVAILABLE),
                ..Self::new(&kinds::UNAVAILABLE, Error::Unavailable.to_string())
            },
            Error::OutcomeUnknown => Self::new(&kinds::OUTCOME_UNKNOWN, detail),
            Error::Internal(source) => {
                Self { source: Some(source.into()), ..Self::new(&kinds::INTERNAL, detail) }
            }
        }
    }
}

fn refused(denial: Denial) -> &'static Kind {
    match denial {
        Denial::Role => &kinds::FORBIDDEN,
        Denial::Scope => &kinds::SCOPE,
        Denial::SessionOnly => &kinds::SESSION_ONLY,
        Denial::PlatformOnly => &kinds::PLATFORM_ONLY,
        Denial::Rank => &kinds::RANK,
        Denial::RegistrationClosed => &kinds::REGISTRATION_CLOSED,
    }
}

fn invalid(errors: &[FieldError], detail: String) -> Problem {
    errors.iter().fold(Problem::new(&kinds::INVALID, detail), |problem, error| {
        problem.with(error.path(), &error.message)
    })
}

fn clash(conflict: &Conflict, detail: String) -> Problem {
    let kind = match conflict.kind {
        ConflictKind::IdTaken => &kinds::ID_TAKEN,
        ConflictKind::GroupNameTaken => &kinds::GROUP_NAME_TAKEN,
        ConflictKind::ProfileNameTaken => &kinds::PROFILE_NAME_TAKEN,
        ConflictKind::ThingNameTaken => &kinds::THING_NAME_TAKEN,
        ConflictKind::CredentialUnavailable => &kinds::CREDENTIAL_UNAVAILABLE,
        ConflictKind::ProfileInUse { .. } => &kinds::PROFILE_IN_USE,
        ConflictKind::LastOwner => &kinds::LAST_OWNER,
        ConflictKind::AlreadyMember => &kinds::ALREADY_MEMBER,
        ConflictKind::NotInOrg => &kinds::NOT_IN_ORGANISATION,
        ConflictKind::NotAMember => &kinds::NOT_A_MEMBER,
        ConflictKind::AlreadyInvited => &kinds::ALREADY_INVITED,
        ConflictKind::InvitedTooOften => &kinds::INVITED_TOO_OFTEN,
        ConflictKind::InviteClosed(_) => &kinds::INVITE_CLOSED,
        ConflictKind::InviteNoLongerValid => &kinds::INVITE_NO_LONGER_VALID,
        ConflictKind::InviteSleeps => &kinds::INVITE_SLEEPS,
        ConflictKind::NoMail => &kinds::NO_MAIL,
        ConflictKind::EmailTaken => &kinds::EMAIL_TAKEN,
        ConflictKind::TooManyTokens => &kinds::TOO_MANY_TOKENS,
        ConflictKind::LastPlatformAdmin => &kinds::LAST_PLATFORM_ADMIN,
        ConflictKind::InFlight => &kinds::IN_FLIGHT,
        ConflictKind::NotEmpty => &kinds::NOT_EMPTY,
        ConflictKind::UnderWay => &kinds::UNDER_WAY,
        ConflictKind::HalfAdopted => &kinds::HALF_ADOPTED,
    };
    let field = conflict.kind.field();
    let mut problem = Problem::new(kind, detail.clone());
    for item in &conflict.items {
        let path = FieldError::new(field.unwrap_or_default(), "").in_item(*item).path();
        problem = problem.with(path, &detail);
    }
    if let (true, Some(field)) = (conflict.items.is_empty(), field) {
        problem = problem.with(field.to_owned(), &detail);
    }
    if matches!(conflict.kind, ConflictKind::InFlight) {
        problem.retry_after = Some(Duration::from_secs(1));
    }
    problem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conflict_has_one_code_in_the_registry_and_here() {
        for kind in [
            ConflictKind::IdTaken,
            ConflictKind::GroupNameTaken,
            ConflictKind::ProfileNameTaken,
            ConflictKind::ThingNameTaken,
            ConflictKind::CredentialUnavailable,
            ConflictKind::ProfileInUse { things: 3 },
            ConflictKind::LastOwner,
            ConflictKind::AlreadyMember,
            ConflictKind::NotInOrg,
            ConflictKind::NotAMember,
            ConflictKind::AlreadyInvited,
            ConflictKind::InvitedTooOften,
            ConflictKind::InviteClosed(registry::InviteState::Revoked),
            ConflictKind::InviteNoLongerValid,
            ConflictKind::InviteSleeps,
            ConflictKind::NoMail,
            ConflictKind::EmailTaken,
            ConflictKind::TooManyTokens,
            ConflictKind::LastPlatformAdmin,
            ConflictKind::InFlight,
            ConflictKind::NotEmpty,
            ConflictKind::UnderWay,
            ConflictKind::HalfAdopted,
        ] {
            let problem = Problem::from(Error::conflict(kind));
            assert_eq!(problem.kind.code, kind.code());
            assert_eq!(problem.status(), StatusCode::CONFLICT);
        }
    }

    #[test]
    fn fields_are_told_with_their_item() {
        let errors = vec![
            FieldError::new("name", "must not be empty").in_item(3),
            FieldError::new("name", "is the same as in item 1").in_item(3),
            FieldError::new("", "must be an object").in_item(4),
        ];
        let problem = Problem::from(Error::Invalid(errors));
        assert_eq!(problem.errors["[3].name"], "must not be empty; is the same as in item 1");
        assert_eq!(problem.errors["[4]"], "must be an object");
    }

    #[test]
    fn the_source_of_an_internal_error_is_not_shown() {
        let response = Problem::internal("psql: /src/store.rs").render("r1");
        let body = format!("{response:?}");
        assert!(!body.contains("psql"), "{body}");
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
}

//! Log-in sessions over HTTP: Mainflux calls them tokens.

use axum::{
    Json as Out,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use registry::{Call, Error, NewSession, Secret, text::Email};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Peer, Problem,
    body::Json,
    check::Check,
    extract::{Anyone, Caller},
    problem::{Answer, kinds},
    secret::SecretText,
    wire::Moment,
};
use crate::App;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(create_session)).routes(routes!(end_session))
}

/// Who logs in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Credentials {
    #[schema(value_type = String, format = Email)]
    email: Option<String>,
    #[schema(value_type = SecretText)]
    password: Option<SecretText>,
}

impl Credentials {
    fn check(self, check: &mut Check) -> Option<(Email, Secret)> {
        let email = check.required("email", self.email.as_deref());
        if self.password.is_none() {
            check.refuse("password", "is required");
        }
        Some((email?, self.password?.0))
    }
}

/// A session just begun.
// No Debug: it holds the token.
#[derive(Serialize, ToSchema)]
struct Session {
    /// For `Authorization: Bearer <token>`; shown once.
    token: String,
    /// When the session ends by itself.
    expires_at: Moment,
}

impl From<NewSession> for Session {
    fn from(session: NewSession) -> Self {
        Self {
            token: session.token.map(|token| token.expose().to_owned()).unwrap_or_default(),
            expires_at: session.expires_at.into(),
        }
    }
}

/// Log in
#[utoipa::path(post, path = "/tokens", tag = "Sign-in", request_body = Credentials, security(()), responses((status = 201, body = Session)))]
async fn create_session(
    State(app): State<App>,
    anyone: Anyone,
    peer: Peer,
    Json(body): Json<Credentials>,
) -> Answer<Response> {
    let (email, password) = Check::one(|check| body.check(check))?;
    let session = log_in(&app, &anyone, &email, &password, peer).await?;
    Ok((StatusCode::CREATED, Out(Session::from(session))).into_response())
}

/// Logs in, for every front.
pub(crate) async fn log_in(
    app: &App,
    call: &Call,
    email: &Email,
    password: &Secret,
    peer: Peer,
) -> Answer<NewSession> {
    match app.registry.create_session(call, email, password, peer.ip()).await {
        // The same for every reason, but not the one for a missing token.
        Err(Error::Unauthenticated) => Err(Problem::new(
            &kinds::UNAUTHENTICATED,
            "the e-mail address or the password is wrong, or the account is disabled",
        )),
        session => Ok(session?),
    }
}

/// Log out: the session that asks ends
#[utoipa::path(delete, path = "/tokens/current", tag = "Sign-in", responses((status = 204)))]
async fn end_session(State(app): State<App>, caller: Caller) -> Answer<StatusCode> {
    app.registry.end_session(&caller).await?;
    Ok(StatusCode::NO_CONTENT)
}

//! Passwords over HTTP: change one's own, or set a new one without knowing the old.

use axum::{Json as Out, extract::State, http::StatusCode};
use registry::{Call, Password, Secret, text::Email};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Peer,
    body::Json,
    check::{Check, Echo},
    compat,
    extract::{Anyone, Caller},
    problem::Answer,
    secret::SecretText,
    users::new_password,
};
use crate::App;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(change_password))
        .routes(routes!(request_password_reset))
        .routes(routes!(reset_password))
}

/// A new password in place of the present one.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PasswordChange {
    #[schema(value_type = SecretText)]
    old_password: Option<SecretText>,
    /// 12 to 128 characters.
    #[schema(value_type = SecretText)]
    password: Option<SecretText>,
    email: Option<Echo>,
}

impl PasswordChange {
    fn check(self, check: &mut Check) -> Option<(Secret, Password)> {
        check.owned("email", self.email.as_ref(), None);
        if self.old_password.is_none() {
            check.refuse("old_password", "is required");
        }
        let new = new_password(self.password, check);
        Some((self.old_password?.0, new?))
    }
}

/// Nothing: Mainflux's clients expect an object.
#[derive(Debug, Serialize, ToSchema)]
struct Done {}

/// Change your password; your other sessions end, your access tokens stay
#[utoipa::path(patch, path = "/password", tag = "Sign-in", request_body = PasswordChange, responses((status = 201, body = Done)))]
async fn change_password(
    State(app): State<App>,
    caller: Caller,
    Json(body): Json<PasswordChange>,
) -> Answer<(StatusCode, Out<Done>)> {
    let (old, new) = Check::one(|check| body.check(check))?;
    app.registry.change_password(&caller, &old, &new).await?;
    Ok((StatusCode::CREATED, Out(Done {})))
}

/// Whose password is forgotten.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ResetRequest {
    #[schema(value_type = String, format = Email)]
    email: Option<String>,
    redirect_path: Option<String>,
}

/// What happens next.
#[derive(Debug, Serialize, ToSchema)]
struct ResetRequested {
    msg: &'static str,
}

/// Ask for a mail by which a new password can be set
///
/// The answer is the same whether there is such an account or not, and so is the time it takes. One
/// account gets at most one mail a minute and five an hour.
#[utoipa::path(post, path = "/password/reset-request", tag = "Sign-in", request_body = ResetRequest, security(()), responses((status = 202, body = ResetRequested)))]
async fn request_password_reset(
    State(app): State<App>,
    anyone: Anyone,
    peer: Peer,
    Json(body): Json<ResetRequest>,
) -> Answer<(StatusCode, Out<ResetRequested>)> {
    let email: Email = Check::one(|check| {
        compat::redirect_path(body.redirect_path.as_deref(), check);
        check.required("email", body.email.as_deref())
    })?;
    send_reset(app, (*anyone).clone(), email, peer);
    let msg = "if there is an account with this address, a mail is on its way to it";
    Ok((StatusCode::ACCEPTED, Out(ResetRequested { msg })))
}

/// Sends the mail, if there is to be one, for every front: whatever depends on the account happens
/// after the answer is decided.
pub(crate) fn send_reset(app: App, call: Call, email: Email, peer: Peer) {
    tokio::spawn(async move {
        if let Err(error) = app.registry.request_password_reset(&call, &email, peer.ip()).await {
            tracing::warn!(request_id = call.request_id(), %error, "a password reset was not made");
        }
    });
}

/// A new password, by the right to set it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PasswordReset {
    /// From the mail.
    #[schema(value_type = SecretText)]
    token: Option<SecretText>,
    /// 12 to 128 characters.
    #[schema(value_type = SecretText)]
    password: Option<SecretText>,
    /// The same again, where it is asked for twice.
    confirm_password: Option<SecretText>,
}

impl PasswordReset {
    fn check(self, check: &mut Check) -> Option<(Secret, Password)> {
        if self.token.is_none() {
            check.refuse("token", "is required");
        }
        if let (Some(one), Some(other)) = (&self.password, &self.confirm_password)
            && one.0 != other.0
        {
            check.refuse("confirm_password", "must be the same as `password`");
        }
        let new = new_password(self.password, check);
        Some((self.token?.0, new?))
    }
}

/// Set a new password by the token from a mail; all your sessions and access tokens end
#[utoipa::path(put, path = "/password/reset", tag = "Sign-in", request_body = PasswordReset, security(()), responses((status = 201, body = Done)))]
async fn reset_password(
    State(app): State<App>,
    anyone: Anyone,
    Json(body): Json<PasswordReset>,
) -> Answer<(StatusCode, Out<Done>)> {
    let (token, new) = Check::one(|check| body.check(check))?;
    app.registry.reset_password(&anyone, &token, &new).await?;
    Ok((StatusCode::CREATED, Out(Done {})))
}

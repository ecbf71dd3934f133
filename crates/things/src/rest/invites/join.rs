//! Coming in by a platform invite: whoever shows its secret may see what it leads to, make the account,
//! or prove the address of the account they have.

use std::{convert::Infallible, str::FromStr};

use axum::{
    Json as Out,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
};
use registry::{InviteId, Joined, Joining, JsonObject, Password, Secret, text::Email};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::InviteBody;
use crate::{
    App,
    rest::{
        Problem,
        body::OptionalJson,
        check::{Check, RawObject},
        compat,
        extract::{Anyone, Caller, Id},
        problem::Answer,
        secret::SecretText,
        users::{UserBody, new_password},
    },
};

/// A path's secret. Any text may be one: which it is not, the registry knows.
pub(super) struct PathSecret(Secret);

impl FromStr for PathSecret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(Secret::new(text)))
    }
}

/// What a platform invite leads to: the organisation's invite behind it, or itself.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Joining)]
pub(super) struct JoiningBody {
    #[serde(flatten)]
    invite: InviteBody,
    /// Whether the address has an account already: then log in and claim the invite.
    has_account: bool,
}

impl From<Joining> for JoiningBody {
    fn from(joining: Joining) -> Self {
        Self { invite: joining.invite.into(), has_account: joining.has_account }
    }
}

/// An account to be made by an invite, as it is or as `user`; or nothing, to claim the invite.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = Invited)]
#[serde(deny_unknown_fields)]
pub(super) struct InvitedBody {
    /// The address that was invited; it need not be said.
    #[schema(value_type = Option<String>, format = Email)]
    email: Option<String>,
    /// 12 to 128 characters.
    password: Option<SecretText>,
    #[schema(value_type = Option<Object>)]
    metadata: Option<RawObject>,
    #[serde(alias = "User")]
    user: Option<InvitedUserBody>,
    redirect_path: Option<String>,
}

/// The same, as Mainflux's clients nest it.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = InvitedUser)]
#[serde(deny_unknown_fields)]
struct InvitedUserBody {
    #[schema(value_type = Option<String>, format = Email)]
    email: Option<String>,
    /// 12 to 128 characters.
    password: Option<SecretText>,
    #[schema(value_type = Option<Object>)]
    metadata: Option<RawObject>,
}

/// A valid [`InvitedBody`] that makes an account.
struct NewUser {
    email: Option<Email>,
    password: Password,
    metadata: JsonObject,
}

impl InvitedBody {
    /// `Some(None)` when it is to claim the invite, which `may_claim` allows.
    fn check(self, may_claim: bool, check: &mut Check) -> Option<Option<NewUser>> {
        compat::redirect_path(self.redirect_path.as_deref(), check);
        let flat = InvitedUserBody { email: self.email, password: self.password, metadata: self.metadata };
        let says_something = |user: &InvitedUserBody| {
            user.email.is_some() || user.password.is_some() || user.metadata.is_some()
        };
        if self.user.is_some() && says_something(&flat) {
            check.refuse("user", "must be the only place of `email`, `password` and `metadata`");
        }
        let user = self.user.unwrap_or(flat);
        if !says_something(&user) {
            if !may_claim {
                check.refuse(
                    "password",
                    "is required, or the token of a session with the account that you have",
                );
            }
            return Some(None);
        }
        let email = check.filter("email", user.email.as_deref());
        let password = new_password(user.password, check);
        let metadata = check.object("metadata", user.metadata.as_ref());
        Some(Some(NewUser { email, password: password?, metadata: metadata.unwrap_or_default() }))
    }
}

/// An account, and the organisations' invites that it can answer now.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Joined)]
struct JoinedBody {
    #[serde(flatten)]
    user: UserBody,
    invites: Vec<Uuid>,
}

impl From<Joined> for JoinedBody {
    fn from(joined: Joined) -> Self {
        Self { user: joined.user.into(), invites: joined.invites.into_iter().map(InviteId::uuid).collect() }
    }
}

/// View what a platform invite leads to, by the secret from its mail
///
/// A secret that is wrong, used or past due is as unknown as any other path.
#[utoipa::path(
    get,
    path = "/register/invite/{secret}",
    tag = "Invites",
    params(("secret" = String, Path, description = "From the mail.")),
    security(()),
    responses((status = 200, body = JoiningBody))
)]
pub(super) async fn view_invite_by_secret(
    State(app): State<App>,
    _anyone: Anyone,
    Id(PathSecret(secret)): Id<PathSecret>,
) -> Answer<Out<JoiningBody>> {
    Ok(Out(app.registry.view_invite_by_secret(&secret).await?.into()))
}

/// Make yourself the account that you are invited to, whether registration is open or not
///
/// Without a body, and with the token of a session of an account of the invited address, the invite is
/// claimed for that account instead; the answer is 200 then.
#[utoipa::path(
    post,
    path = "/register/invite/{secret}",
    tag = "Invites",
    params(("secret" = String, Path, description = "From the mail.")),
    request_body = Option<InvitedBody>,
    security((), ("user" = [])),
    responses((status = 201, body = JoinedBody, headers(("Location"))), (status = 200, body = JoinedBody))
)]
pub(super) async fn register_by_invite(
    State(app): State<App>,
    anyone: Anyone,
    caller: Result<Caller, Problem>,
    Id(PathSecret(secret)): Id<PathSecret>,
    OptionalJson(body): OptionalJson<InvitedBody>,
) -> Answer {
    if let Err(problem) = &caller
        && problem.status().is_server_error()
    {
        return Err(problem.clone());
    }
    let new = Check::one(|check| body.check(caller.is_ok(), check))?;
    let (status, joined) = match (new, caller) {
        (Some(NewUser { email, password, metadata }), _) => {
            let joined = app
                .registry
                .register_by_invite(&anyone, &secret, email.as_ref(), &password, &metadata)
                .await?;
            (StatusCode::CREATED, joined)
        }
        (None, Ok(caller)) => (StatusCode::OK, app.registry.claim_invite(&caller, &secret).await?),
        (None, Err(problem)) => return Err(problem),
    };
    let location = format!("/users/{}", joined.user.id);
    let mut response = (status, Out(JoinedBody::from(joined))).into_response();
    if status == StatusCode::CREATED
        && let Ok(location) = location.parse()
    {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

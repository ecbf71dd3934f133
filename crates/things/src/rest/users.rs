//! Accounts over HTTP: registering, the platform's list of users, one's own profile.

use axum::{
    Json as Out,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use registry::{
    JsonObject, Password, PlatformRole, User, UserFilter, UserId, UserOrder, UserStatus, text::Email,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    body::{Json, OptionalJson},
    check::{Check, Echo, RawObject},
    compat,
    etag::{IfMatch, IfNoneMatch, changed, tagged},
    extract::{Anyone, Caller, Id},
    list::{list_query, page_body, sorts},
    problem::Answer,
    query::Query,
    secret::SecretText,
};
use crate::App;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(register_user))
        .routes(routes!(create_user, list_users, update_own_user))
        .routes(routes!(search_users))
        .routes(routes!(view_own_profile, update_own_profile))
        .routes(routes!(view_user))
        .routes(routes!(enable_user))
        .routes(routes!(disable_user))
}

/// An account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = User)]
pub(super) struct UserBody {
    id: Uuid,
    #[schema(value_type = String, format = Email)]
    email: Email,
    #[schema(value_type = Object)]
    metadata: JsonObject,
    #[schema(value_type = StatusName)]
    status: UserStatus,
    /// What the person is to the whole platform; absent for most.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = PlatformRoleName, required = false)]
    role: Option<PlatformRole>,
}

impl From<User> for UserBody {
    fn from(user: User) -> Self {
        Self {
            id: user.id.uuid(),
            email: user.email,
            metadata: user.metadata,
            status: user.status,
            role: user.platform_role,
        }
    }
}

/// Whether a person can log in.
#[derive(ToSchema)]
#[schema(as = UserStatus)]
#[expect(dead_code, reason = "describes registry::UserStatus, which knows no OpenAPI")]
enum StatusName {
    #[schema(rename = "enabled")]
    Enabled,
    #[schema(rename = "disabled")]
    Disabled,
}

/// What a person is to the whole platform.
#[derive(ToSchema)]
#[schema(as = PlatformRole)]
#[expect(dead_code, reason = "describes registry::PlatformRole, which knows no OpenAPI")]
enum PlatformRoleName {
    #[schema(rename = "admin")]
    Admin,
    #[schema(rename = "root")]
    Root,
}

/// An account to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewUserBody {
    #[schema(value_type = String, format = Email)]
    email: Option<String>,
    /// 12 to 128 characters.
    #[schema(value_type = SecretText)]
    password: Option<SecretText>,
    #[schema(value_type = Option<Object>)]
    metadata: Option<RawObject>,
    /// `admin` lets the person administer the platform.
    role: Option<String>,
    id: Option<Echo>,
    status: Option<Echo>,
}

/// A valid [`NewUserBody`].
struct NewUser {
    email: Email,
    password: Password,
    metadata: JsonObject,
    role: Option<PlatformRole>,
}

impl NewUserBody {
    fn check(self, check: &mut Check) -> Option<NewUser> {
        check.owned("id", self.id.as_ref(), None);
        check.owned("status", self.status.as_ref(), Some(UserStatus::Enabled.as_str()));
        let email = check.required("email", self.email.as_deref());
        let password = new_password(self.password, check);
        let metadata = check.object("metadata", self.metadata.as_ref());
        let role = match self.role.as_deref() {
            None | Some("") => None,
            Some("admin") => Some(PlatformRole::Admin),
            Some(_) => {
                check.refuse("role", "must be `admin` or absent: there is one root, made at the first start");
                None
            }
        };
        Some(NewUser { email: email?, password: password?, metadata: metadata.unwrap_or_default(), role })
    }
}

/// A password that is to become somebody's.
pub(crate) fn new_password(text: Option<SecretText>, check: &mut Check) -> Option<Password> {
    match text {
        Some(text) => check.valid("password", Password::try_from(text.0)),
        None => {
            check.refuse("password", "is required");
            None
        }
    }
}

/// One's own account to be made: as it is, or as `user`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RegistrationBody {
    #[schema(value_type = Option<String>, format = Email)]
    email: Option<String>,
    /// 12 to 128 characters.
    password: Option<SecretText>,
    #[schema(value_type = Option<Object>)]
    metadata: Option<RawObject>,
    id: Option<Echo>,
    status: Option<Echo>,
    role: Option<Echo>,
    #[serde(alias = "User")]
    user: Option<NewUserBody>,
    redirect_path: Option<String>,
}

impl RegistrationBody {
    fn check(self, check: &mut Check) -> Option<NewUser> {
        compat::redirect_path(self.redirect_path.as_deref(), check);
        check.owned("role", self.role.as_ref(), None);
        let flat = NewUserBody {
            email: self.email,
            password: self.password,
            metadata: self.metadata,
            role: None,
            id: self.id,
            status: self.status,
        };
        let Some(nested) = self.user else { return flat.check(check) };
        if flat.email.is_some() || flat.password.is_some() || flat.metadata.is_some() {
            check.refuse("user", "must be the only place of `email`, `password` and `metadata`");
        }
        let new = nested.check(check);
        if new.as_ref().is_some_and(|new| new.role.is_some()) {
            check.refuse("role", "is not yours to set; leave it out");
        }
        new
    }
}

/// A change to one's own account; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct OwnUserUpdateBody {
    /// Replaced as a whole.
    #[schema(value_type = Option<Object>)]
    metadata: Option<RawObject>,
    id: Option<Echo>,
    email: Option<Echo>,
    status: Option<Echo>,
    role: Option<Echo>,
}

impl OwnUserUpdateBody {
    /// Whether something has to be compared with the account as it is.
    fn echoes(&self) -> bool {
        [&self.id, &self.email, &self.status, &self.role].into_iter().flatten().any(Echo::is_given)
    }

    fn check(self, truth: Option<&User>, check: &mut Check) -> Option<Option<JsonObject>> {
        check.owned("id", self.id.as_ref(), truth.map(|user| user.id.to_string()).as_deref());
        check.owned("email", self.email.as_ref(), truth.map(|user| user.email.as_str()));
        check.owned("status", self.status.as_ref(), truth.map(|user| user.status.as_str()));
        let role = truth.and_then(|user| user.platform_role).map(PlatformRole::as_str);
        check.owned("role", self.role.as_ref(), role);
        Some(check.object("metadata", self.metadata.as_ref()))
    }
}

sorts! { UserSort => UserOrder: Id "id", Email "email", CreatedAt "created_at", UpdatedAt "updated_at" }

list_query! {
    /// Which accounts, and which page of them.
    UserQuery sorted by UserSort {
        /// Part of the address, upper and lower case alike.
        email: Option<String>,
        /// `enabled`, `disabled`, or `all`, which is the default.
        status: Option<String>,
        /// Accounts whose metadata contains this JSON object.
        #[schema(value_type = Option<Object>)]
        #[param(value_type = Option<String>)]
        metadata: Option<RawObject>,
    }
}

page_body! { UserPage of UserQuery sorted by UserSort, users: UserBody }

async fn list(app: &App, caller: &Caller, query: UserQuery) -> Answer<Out<UserPage>> {
    let filter = Check::one(|check| {
        let email = check.filter("email", query.email.as_deref());
        let status = match query.status.as_deref() {
            None | Some("" | "all") => None,
            Some(text) => {
                let status = UserStatus::parse(text);
                if status.is_none() {
                    check.refuse("status", "must be one of all, enabled, disabled");
                }
                status
            }
        };
        Some(UserFilter { email, status, metadata: check.object("metadata", query.metadata.as_ref()) })
    })?;
    let page = app.registry.list_users(caller, &filter, &query.page()?).await?;
    Ok(Out(UserPage::new(page, &query)))
}

/// List all accounts
#[utoipa::path(get, path = "/users", tag = "Users", params(UserQuery), responses((status = 200, body = UserPage)))]
async fn list_users(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<UserQuery>,
) -> Answer<Out<UserPage>> {
    list(&app, &caller, query).await
}

/// Search all accounts
#[utoipa::path(post, path = "/users/search", tag = "Users", request_body = Option<UserQuery>, responses((status = 200, body = UserPage)))]
async fn search_users(
    State(app): State<App>,
    caller: Caller,
    OptionalJson(query): OptionalJson<UserQuery>,
) -> Answer<Out<UserPage>> {
    list(&app, &caller, query).await
}

/// Make yourself an account, where that is open to everybody
#[utoipa::path(post, path = "/register", tag = "Users", request_body = RegistrationBody, security(()), responses((status = 201, body = UserBody, headers(("Location"), ("ETag")))))]
async fn register_user(State(app): State<App>, anyone: Anyone, Json(body): Json<RegistrationBody>) -> Answer {
    let new = Check::one(|check| body.check(check))?;
    Ok(made(app.registry.register_user(&anyone, &new.email, &new.password, &new.metadata).await?))
}

/// Make somebody an account
#[utoipa::path(post, path = "/users", tag = "Users", request_body = NewUserBody, responses((status = 201, body = UserBody, headers(("Location"), ("ETag")))))]
async fn create_user(State(app): State<App>, caller: Caller, Json(body): Json<NewUserBody>) -> Answer {
    let new = Check::one(|check| body.check(check))?;
    let user = app.registry.create_user(&caller, &new.email, &new.password, &new.metadata, new.role).await?;
    Ok(made(user))
}

fn made(user: User) -> Response {
    let location = format!("/users/{}", user.id);
    (StatusCode::CREATED, [(header::LOCATION, location)], as_it_is(user)).into_response()
}

fn as_it_is(user: User) -> Response {
    shown(user, None)
}

/// Who sees an account sees all of it, so its tag needs no role.
fn shown(user: User, known: Option<&IfNoneMatch>) -> Response {
    let version = user.version();
    let body = UserBody::from(user);
    match known {
        Some(known) => tagged(body, &version, "self", known),
        None => changed(body, &version, "self"),
    }
}

/// View your own account
#[utoipa::path(get, path = "/users/profile", tag = "Users", responses((status = 200, body = UserBody, headers(("ETag")))))]
async fn view_own_profile(State(app): State<App>, caller: Caller, known: IfNoneMatch) -> Answer {
    Ok(shown(app.registry.view_own_user(&caller).await?, Some(&known)))
}

/// View an account: your own, or any as an administrator of the platform
#[utoipa::path(get, path = "/users/{id}", tag = "Users", responses((status = 200, body = UserBody, headers(("ETag")))))]
async fn view_user(State(app): State<App>, caller: Caller, Id(id): Id<UserId>, known: IfNoneMatch) -> Answer {
    Ok(shown(app.registry.view_user(&caller, id).await?, Some(&known)))
}

async fn update(app: &App, caller: &Caller, IfMatch(expect): IfMatch, body: OwnUserUpdateBody) -> Answer {
    let truth = if body.echoes() { Some(app.registry.view_own_user(caller).await?) } else { None };
    let metadata = Check::one(|check| body.check(truth.as_ref(), check))?;
    Ok(as_it_is(app.registry.update_own_user(caller, metadata.as_ref(), &expect).await?))
}

/// Change your own account
#[utoipa::path(put, path = "/users/profile", tag = "Users", request_body = OwnUserUpdateBody, responses((status = 200, body = UserBody, headers(("ETag")))))]
async fn update_own_profile(
    State(app): State<App>,
    caller: Caller,
    expect: IfMatch,
    Json(body): Json<OwnUserUpdateBody>,
) -> Answer {
    update(&app, &caller, expect, body).await
}

/// Change your own account, under the path that Mainflux's clients use
#[utoipa::path(put, path = "/users", tag = "Users", request_body = OwnUserUpdateBody, responses((status = 200, body = UserBody, headers(("ETag")))))]
async fn update_own_user(
    State(app): State<App>,
    caller: Caller,
    expect: IfMatch,
    Json(body): Json<OwnUserUpdateBody>,
) -> Answer {
    update(&app, &caller, expect, body).await
}

/// Let somebody in again
#[utoipa::path(post, path = "/users/{id}/enable", tag = "Users", responses((status = 204)))]
async fn enable_user(State(app): State<App>, caller: Caller, Id(id): Id<UserId>) -> Answer<StatusCode> {
    app.registry.enable_user(&caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Shut somebody out; all their sessions and access tokens end
#[utoipa::path(post, path = "/users/{id}/disable", tag = "Users", responses((status = 204)))]
async fn disable_user(State(app): State<App>, caller: Caller, Id(id): Id<UserId>) -> Answer<StatusCode> {
    app.registry.disable_user(&caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

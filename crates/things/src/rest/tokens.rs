//! Personal access tokens over HTTP: Mainflux calls them keys.

use std::time::Duration;

use axum::{
    Json as Out,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
};
use registry::{
    AccessToken, CreatedToken, NewToken, Timestamp, TokenId, TokenOrder, Within, identity::tokens::MAX_LIFE,
    text::TokenName,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    body::{Json, OptionalJson},
    check::{Check, Echo},
    etag::{IfMatch, IfNoneMatch, tagged},
    extract::{Caller, Id},
    journal::moment,
    list::{list_query, page_body, sorts},
    problem::Answer,
    query::Query,
    wire::Moment,
};
use crate::App;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create_token, list_tokens))
        .routes(routes!(search_tokens))
        .routes(routes!(view_token, delete_token))
}

/// An access token, without its value.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AccessToken)]
struct TokenBody {
    id: Uuid,
    name: String,
    /// `read`, `write`, and the place it is bound to: `org:<id>` or `group:<id>`.
    #[schema(value_type = Vec<String>)]
    scopes: Vec<String>,
    /// When it was made.
    issued_at: Moment,
    /// When it ends by itself; absent for never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    expires_at: Option<Moment>,
    /// Give or take a minute; absent for never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    last_used_at: Option<Moment>,
}

impl From<AccessToken> for TokenBody {
    fn from(token: AccessToken) -> Self {
        let mut scopes = vec![READ.to_owned()];
        if token.can_write {
            scopes.push(WRITE.to_owned());
        }
        match token.within {
            Some(Within::Org(org)) => scopes.push(format!("{ORG}{org}")),
            Some(Within::Group(group)) => scopes.push(format!("{GROUP}{group}")),
            None => {}
        }
        Self {
            id: token.id.uuid(),
            name: token.name,
            scopes,
            issued_at: token.created_at.into(),
            expires_at: token.expires_at.map(Into::into),
            last_used_at: token.last_used_at.map(Into::into),
        }
    }
}

/// An access token just made, with its value.
// No Debug: it holds the value.
#[derive(Serialize, ToSchema)]
struct CreatedTokenBody {
    #[serde(flatten)]
    token: TokenBody,
    /// For `Authorization: Bearer <token>`; shown once.
    #[serde(rename = "token")]
    secret: String,
    /// The same, under the name that Mainflux's clients read.
    value: String,
}

impl From<CreatedToken> for CreatedTokenBody {
    fn from(made: CreatedToken) -> Self {
        let secret = made.value.map(|value| value.expose().to_owned()).unwrap_or_default();
        Self { token: made.token.into(), value: secret.clone(), secret }
    }
}

const READ: &str = "read";
const WRITE: &str = "write";
const ORG: &str = "org:";
const GROUP: &str = "group:";

/// The type that Mainflux's clients send with what they call an API key.
const API_KEY: u8 = 2;

/// An access token to be made. `type` and `duration` are what Mainflux's clients send.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewTokenBody {
    /// What to call it.
    #[schema(value_type = String, min_length = 1, max_length = 254)]
    name: Option<String>,
    /// What it may do: `read`, which every token may, `write`; and at most one place that it is bound to,
    /// `org:<id>` or `group:<id>`.
    #[schema(value_type = Vec<String>)]
    scopes: Option<Vec<String>>,
    /// When it ends by itself, at most ten years from now; never, unless given.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<String>,
    /// `2`. With it `name` and `scopes` can be left out: the token may then read and write.
    #[serde(rename = "type")]
    kind: Option<u8>,
    /// In place of `expires_at`: seconds from now; or nanoseconds, where they would be more than ten years.
    duration: Option<u64>,
    id: Option<Echo>,
    issued_at: Option<Echo>,
    last_used_at: Option<Echo>,
}

impl NewTokenBody {
    fn check(self, now: Timestamp, check: &mut Check) -> Option<NewToken> {
        check.owned("id", self.id.as_ref(), None);
        check.owned("issued_at", self.issued_at.as_ref(), None);
        check.owned("last_used_at", self.last_used_at.as_ref(), None);
        if self.kind.is_some_and(|kind| kind != API_KEY) {
            check.refuse("type", "must be 2; log in by POST /tokens");
        }
        let mainflux = self.kind == Some(API_KEY);
        let name: Option<TokenName> = match &self.name {
            None if mainflux => check.optional("name", Some("API key")),
            name => check.required("name", name.as_deref()),
        };
        let scopes = match &self.scopes {
            None if mainflux => Some((true, None)),
            None => {
                check.refuse("scopes", "is required: a list of `read`, `write`, `org:<id>` or `group:<id>`");
                None
            }
            Some(scopes) => scopes_of(scopes, check),
        };
        let expires_at = match (self.expires_at.as_deref().filter(|text| !text.is_empty()), self.duration) {
            (Some(_), Some(1..)) => {
                check.refuse("duration", "cannot be combined with `expires_at`");
                None
            }
            (text @ Some(_), _) => moment(check, "expires_at", text),
            (None, Some(length @ 1..)) => Some(now.after(duration(length))),
            (None, _) => None,
        };
        let (can_write, within) = scopes?;
        Some(NewToken { name: name?, can_write, within, expires_at })
    }
}

/// Mainflux's service counts in seconds, while its SDK sends nanoseconds; no sensible length is both.
fn duration(length: u64) -> Duration {
    if length > MAX_LIFE.as_secs() { Duration::from_nanos(length) } else { Duration::from_secs(length) }
}

fn scopes_of(scopes: &[String], check: &mut Check) -> Option<(bool, Option<Within>)> {
    let (mut can_write, mut within) = (false, None);
    for scope in scopes {
        let place = match scope.as_str() {
            READ => continue,
            WRITE => {
                can_write = true;
                continue;
            }
            scope => match (scope.strip_prefix(ORG), scope.strip_prefix(GROUP)) {
                (Some(id), _) => id.parse().ok().map(Within::Org),
                (None, Some(id)) => id.parse().ok().map(Within::Group),
                (None, None) => None,
            },
        };
        if place.is_none() {
            check.refuse("scopes", "must hold nothing but `read`, `write`, `org:<id>` and `group:<id>`");
            return None;
        }
        if within.is_some() && within != place {
            check.refuse("scopes", "must name at most one organisation or group");
            return None;
        }
        within = place;
    }
    Some((can_write, within))
}

sorts! { TokenSort => TokenOrder: Id "id", Name "name" }

list_query! {
    /// Which page of access tokens.
    TokenQuery sorted by TokenSort {}
}

page_body! { TokenPage of TokenQuery sorted by TokenSort, keys: TokenBody }

async fn list(app: &App, caller: &Caller, query: TokenQuery) -> Answer<Out<TokenPage>> {
    let page = app.registry.list_tokens(caller, &query.page()?).await?;
    Ok(Out(TokenPage::new(page, &query)))
}

/// List your access tokens
#[utoipa::path(get, path = "/keys", tag = "Access tokens", params(TokenQuery), responses((status = 200, body = TokenPage)))]
async fn list_tokens(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<TokenQuery>,
) -> Answer<Out<TokenPage>> {
    list(&app, &caller, query).await
}

/// Search your access tokens
#[utoipa::path(post, path = "/keys/search", tag = "Access tokens", request_body = Option<TokenQuery>, responses((status = 200, body = TokenPage)))]
async fn search_tokens(
    State(app): State<App>,
    caller: Caller,
    OptionalJson(query): OptionalJson<TokenQuery>,
) -> Answer<Out<TokenPage>> {
    list(&app, &caller, query).await
}

/// Make yourself an access token; the answer shows its value, once
#[utoipa::path(post, path = "/keys", tag = "Access tokens", request_body = NewTokenBody, responses((status = 201, body = CreatedTokenBody, headers(("Location")))))]
async fn create_token(State(app): State<App>, caller: Caller, Json(body): Json<NewTokenBody>) -> Answer {
    let new = Check::one(|check| body.check(app.registry.clock().now(), check))?;
    let made = app.registry.create_token(&caller, &new).await?;
    let location = format!("/keys/{}", made.token.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Out(CreatedTokenBody::from(made)))
        .into_response())
}

/// View one of your access tokens
#[utoipa::path(get, path = "/keys/{id}", tag = "Access tokens", responses((status = 200, body = TokenBody, headers(("ETag")))))]
async fn view_token(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<TokenId>,
    known: IfNoneMatch,
) -> Answer {
    let token = app.registry.view_token(&caller, id).await?;
    let version = token.version();
    Ok(tagged(TokenBody::from(token), &version, "self", &known))
}

/// Delete one of your access tokens; it works no more
#[utoipa::path(delete, path = "/keys/{id}", tag = "Access tokens", responses((status = 204)))]
async fn delete_token(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<TokenId>,
    IfMatch(expect): IfMatch,
) -> Answer<StatusCode> {
    app.registry.delete_token(&caller, id, &expect).await?;
    Ok(StatusCode::NO_CONTENT)
}

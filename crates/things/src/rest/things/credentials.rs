//! What a thing authenticates by, and whether it may.

use std::time::Duration;

use axum::{Json as Out, extract::State, http::StatusCode, response::IntoResponse};
use registry::{
    ThingId,
    credentials::{ExternalKey, MAX_OVERLAP},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{ThingBody, as_it_is};
use crate::{
    App,
    rest::{
        body::{Json, OptionalJson},
        check::Check,
        etag::IfMatch,
        extract::{Caller, Id},
        problem::Answer,
    },
};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(set_external_key, clear_external_key))
        .routes(routes!(enable_thing))
        .routes(routes!(disable_thing))
        .routes(routes!(rotate_key))
        .routes(routes!(reveal_key))
}

/// Whether a thing can authenticate.
#[derive(ToSchema)]
#[schema(as = ThingStatus)]
#[expect(dead_code, reason = "describes registry::things::ThingStatus, which knows no OpenAPI")]
pub(super) enum StatusName {
    #[schema(rename = "enabled")]
    Enabled,
    #[schema(rename = "disabled")]
    Disabled,
}

/// The external key to set.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ExternalKeyBody {
    /// 5 to 512 bytes.
    #[schema(value_type = String, required, min_length = 5, max_length = 512)]
    key: Option<String>,
}

/// How to rotate.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Rotation {
    /// For how many seconds the old key stays valid; 0, unless given, ends it now.
    #[schema(minimum = 0, maximum = 604_800, default = 0)]
    overlap: Option<u64>,
}

/// Set or replace a thing's external key
#[utoipa::path(patch, path = "/things/{id}/external-key", tag = "Things", request_body = ExternalKeyBody, responses((status = 200, body = ThingBody, headers(("ETag")))))]
async fn set_external_key(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<ThingId>,
    IfMatch(expect): IfMatch,
    Json(body): Json<ExternalKeyBody>,
) -> Answer {
    let key: ExternalKey = Check::one(|check| check.required("key", body.key.as_deref()))?;
    Ok(as_it_is(app.registry.set_external_key(&caller, id, &key, &expect).await?))
}

/// Take a thing's external key away
#[utoipa::path(delete, path = "/things/{id}/external-key", tag = "Things", responses((status = 204)))]
async fn clear_external_key(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<ThingId>,
    IfMatch(expect): IfMatch,
) -> Answer<StatusCode> {
    app.registry.clear_external_key(&caller, id, &expect).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Let a thing authenticate again
#[utoipa::path(post, path = "/things/{id}/enable", tag = "Things", responses((status = 200, body = ThingBody, headers(("ETag")))))]
async fn enable_thing(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<ThingId>,
    IfMatch(expect): IfMatch,
) -> Answer {
    Ok(as_it_is(app.registry.enable_thing(&caller, id, &expect).await?))
}

/// Shut a thing out: none of its credentials works any more, until it is enabled again
#[utoipa::path(post, path = "/things/{id}/disable", tag = "Things", responses((status = 200, body = ThingBody, headers(("ETag")))))]
async fn disable_thing(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<ThingId>,
    IfMatch(expect): IfMatch,
) -> Answer {
    Ok(as_it_is(app.registry.disable_thing(&caller, id, &expect).await?))
}

/// Give a thing a new key, shown once; the old one may stay valid for a while
#[utoipa::path(post, path = "/things/{id}/key/rotate", tag = "Things", request_body = Option<Rotation>, responses((status = 201, body = ThingBody)))]
async fn rotate_key(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<ThingId>,
    OptionalJson(rotation): OptionalJson<Rotation>,
) -> Answer {
    // Capped before it becomes a duration: the registry tells the limit.
    let overlap = rotation.overlap.unwrap_or(0).min(MAX_OVERLAP.as_secs() + 1);
    let made = app.registry.rotate_key(&caller, id, Duration::from_secs(overlap)).await?;
    Ok((StatusCode::CREATED, Out(ThingBody::from(made))).into_response())
}

/// A thing's key.
#[derive(Serialize, ToSchema)]
struct RevealedKey {
    key: String,
}

/// Reveal a thing's key, where copies are kept; the journal notes it
#[utoipa::path(get, path = "/things/{id}/key", tag = "Things", responses((status = 200, body = RevealedKey)))]
async fn reveal_key(State(app): State<App>, caller: Caller, Id(id): Id<ThingId>) -> Answer<Out<RevealedKey>> {
    let found = app.registry.reveal_key(&caller, id).await?;
    let key = found.key.ok_or(registry::Error::NotFound)?;
    Ok(Out(RevealedKey { key: key.expose().to_owned() }))
}

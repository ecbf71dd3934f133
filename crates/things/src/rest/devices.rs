//! What devices and brokers ask: which thing a key names, and what a thing may read of itself.

use axum::{
    Json as Out,
    extract::{Request, State},
    http::Method,
    response::{IntoResponse, Response},
};
use registry::{
    Call, Error, Secret,
    credentials::{Claim, CredentialKind},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{Peer, body, check::Check, edge, extract::DeviceKey, problem::Answer, unknown_method};
use crate::{App, limits::Source};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(own_metadata))
}

/// What stands outside of the layers: see [`edge::directly`].
pub(super) fn direct() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(identify))
}

/// The same path, asked by another method.
pub(super) async fn not_directly(State(app): State<App>, method: Method, request: Request) -> Response {
    edge::directly(&app, request, async |_| Err(unknown_method(method).await)).await
}

/// A key, and of which kind.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PresentedKey {
    #[schema(value_type = String, required)]
    key: Option<String>,
    /// `internal` unless given.
    #[serde(rename = "type")]
    #[schema(value_type = Option<KeyType>)]
    kind: Option<String>,
}

/// Whether it is the thing's key or its external key.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes registry::credentials::CredentialKind, which knows no OpenAPI")]
enum KeyType {
    #[schema(rename = "internal")]
    Internal,
    #[schema(rename = "external")]
    External,
}

/// The thing that a key names.
#[derive(Debug, Serialize, ToSchema)]
struct Identified {
    id: Uuid,
}

/// Tell which thing a key names
///
/// Open to whoever holds the key. Every failure is one and the same 404, and too many of them from one
/// network are answered 429 for a moment.
#[utoipa::path(post, path = "/identify", tag = "Devices", request_body = PresentedKey, security(()), responses((status = 200, body = Identified)))]
async fn identify(State(app): State<App>, request: Request) -> Response {
    edge::directly(&app, request, |request| whose(&app, request)).await
}

async fn whose(app: &App, request: Request) -> Answer {
    let query = request.uri().query().unwrap_or_default();
    if let Some(parameter) = query.split('&').find(|parameter| !parameter.is_empty()) {
        let name = parameter.split('=').next().unwrap_or_default();
        return Err(Error::invalid(name.to_owned(), "is no parameter of this operation; leave it out").into());
    }
    let peer = request.extensions().get::<Peer>().copied().unwrap_or_default();
    let (body, _room) = body::anonymous_json::<PresentedKey>(request, app).await?;
    let (kind, key) = Check::one(|check| {
        let kind = match body.kind.as_deref().filter(|kind| !kind.is_empty()) {
            None => Some(CredentialKind::Internal),
            Some(kind) => check.valid("type", kind.parse().map_err(|()| "must be internal or external")),
        };
        if body.key.is_none() {
            check.refuse("key", "is required");
        }
        Some((kind?, Secret::new(body.key?)))
    })?;
    match app.registry.authenticate_claim(&claim(app, peer, kind, &key)).await {
        Ok(device) => Ok(Out(Identified { id: device.thing.uuid() }).into_response()),
        Err(error) => Err(failed(app, peer.source(), error)),
    }
}

/// That a key is some thing's; of a network that is held, only if it is in memory.
fn claim<'a>(app: &App, peer: Peer, kind: CredentialKind, key: &'a Secret) -> Claim<'a> {
    Claim { held: app.limits.keys.hold(peer.source()), ..Claim::new(kind, key, peer.asker()) }
}

/// A failure counts against the network it comes from; once there were too many, that is told instead.
fn failed(app: &App, source: Source, error: Error) -> super::Problem {
    match error {
        Error::NotFound | Error::Unauthenticated => {
            app.limits.keys.failed(source).err().unwrap_or(error).into()
        }
        error => error.into(),
    }
}

/// What a thing may read of itself.
#[derive(Debug, Serialize, ToSchema)]
struct OwnMetadata {
    #[schema(value_type = Object)]
    metadata: registry::JsonObject,
}

/// View the metadata of the thing whose key is presented
#[utoipa::path(get, path = "/metadata", tag = "Devices", security(("thing" = [])), responses((status = 200, body = OwnMetadata)))]
async fn own_metadata(State(app): State<App>, peer: Peer, key: DeviceKey) -> Answer<Out<OwnMetadata>> {
    let (kind, secret) = match &key {
        DeviceKey::Key(key) => (CredentialKind::Internal, key),
        DeviceKey::External(key) => (CredentialKind::External, key),
    };
    let found = app.registry.authenticate_thing(&claim(&app, peer, kind, secret)).await;
    let actor = found.map_err(|error| failed(&app, peer.source(), error).for_things())?;
    let metadata = app.registry.own_metadata(&Call::new(actor, "")).await?;
    Ok(Out(OwnMetadata { metadata }))
}

//! What handlers take from a request, in the order in which it is judged.
//!
//! The caller comes first in every handler's arguments: who may not ask learns nothing, not even
//! that an id or a body is malformed. Path, query and body follow.

use std::{convert::Infallible, ops::Deref, str::FromStr};

use axum::{
    extract::{FromRequestParts, MatchedPath, RawPathParams},
    http::{header, request::Parts},
};
use registry::{Actor, Call, DryRun, Error, Secret};

use super::{
    Problem,
    edge::{Peer, RequestId},
    openapi,
    repeat::Repetition,
};
use crate::{
    App,
    auth::{Identity, Presented},
};

/// A person who has shown a valid token. Use it as a [`Call`].
pub(crate) struct Caller(Call);

/// Anybody, with or without credentials: for public endpoints. Use it as a [`Call`].
pub(crate) struct Anyone(Call);

impl Deref for Caller {
    type Target = Call;
    fn deref(&self) -> &Call {
        &self.0
    }
}

impl Deref for Anyone {
    type Target = Call;
    fn deref(&self) -> &Call {
        &self.0
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        match parts.extensions.get::<Identity>() {
            Some(Identity::User(actor)) => call(parts, actor.clone()).map(Self),
            Some(Identity::Unknown(problem)) => Err(problem.clone()),
            Some(Identity::None(_) | Identity::Refused) | None => Err(Error::Unauthenticated.into()),
        }
    }
}

impl FromRequestParts<App> for Anyone {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        call(parts, Actor::Anonymous).map(Self)
    }
}

fn call(parts: &Parts, actor: Actor) -> Result<Call, Problem> {
    nothing_ignored(parts)?;
    let request_id = parts.extensions.get::<RequestId>().map_or("", |id| id.as_str());
    let mut call = Call::new(actor, request_id);
    if let Some(dry_run) = parts.extensions.get::<DryRun>() {
        call = call.dry(dry_run);
    }
    match parts.extensions.get::<Repetition>() {
        None => Ok(call),
        Some(Repetition::Refused(problem)) => Err(problem.clone()),
        Some(Repetition::Possible { route, key, body }) => Ok(call.repeatable(route, key, body)),
    }
}

/// Refuses what would be ignored: parameters and conditions that the operation does not look at.
fn nothing_ignored(parts: &Parts) -> Result<(), Problem> {
    let query = parts.uri.query().unwrap_or_default();
    let conditional = parts.headers.contains_key(header::IF_MATCH);
    if query.is_empty() && !conditional {
        return Ok(());
    }
    let route = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let Some(looks) = openapi::looks(&parts.method, route) else { return Ok(()) };
    if conditional && !looks.if_match {
        return Err(Error::invalid("If-Match", "is not supported by this operation").into());
    }
    if !query.is_empty() && !looks.query {
        return Err(Error::invalid("query", "must be empty: this operation has no parameters").into());
    }
    Ok(())
}

/// What a thing presents: for the endpoints that things use.
pub(crate) enum DeviceKey {
    /// `Thing <key>`
    Key(Secret),
    /// `External <key>`
    External(Secret),
}

impl FromRequestParts<App> for DeviceKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        match parts.extensions.get::<Identity>() {
            Some(Identity::None(Presented::Key(key))) => Ok(Self::Key(key.clone())),
            Some(Identity::None(Presented::ExternalKey(key))) => Ok(Self::External(key.clone())),
            _ => Err(Problem::from(Error::Unauthenticated).for_things()),
        }
    }
}

impl FromRequestParts<App> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().copied().unwrap_or_default())
    }
}

/// The path's id. A malformed one is as unknown as any other that does not exist.
pub(crate) struct Id<T>(pub(crate) T);

/// The path's two ids, in order.
pub(crate) struct Ids<A, B>(pub(crate) A, pub(crate) B);

impl<T: FromStr> FromRequestParts<App> for Id<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let ids = path_ids(parts, app).await?;
        let mut ids = ids.iter();
        Ok(Self(id(ids.next())?))
    }
}

impl<A: FromStr, B: FromStr> FromRequestParts<App> for Ids<A, B> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let ids = path_ids(parts, app).await?;
        let mut ids = ids.iter();
        Ok(Self(id(ids.next())?, id(ids.next())?))
    }
}

async fn path_ids(parts: &mut Parts, app: &App) -> Result<RawPathParams, Problem> {
    RawPathParams::from_request_parts(parts, app).await.map_err(|_| Error::NotFound.into())
}

fn id<T: FromStr>(found: Option<(&str, &str)>) -> Result<T, Problem> {
    found.and_then(|(_, text)| text.parse().ok()).ok_or_else(|| Error::NotFound.into())
}

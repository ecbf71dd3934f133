//! Who is there: what the handlers of pages take first.

use std::ops::Deref;

use axum::{
    extract::{FromRequestParts, MatchedPath},
    http::request::Parts,
    response::{IntoResponse, Response},
};
use registry::{Actor, Call};
use serde::Deserialize;

use super::{is_shown, next::Next, see_other};
use crate::{
    App,
    auth::Identity,
    rest::{Problem, edge::RequestId, query},
};

/// Anybody, logged in or not.
pub(super) struct Visitor {
    /// To ask for what is public.
    pub(super) call: Call,
    /// Who it is, if they are logged in.
    pub(super) person: Option<Person>,
}

/// Somebody who is logged in; all others are sent to log in and come back. Use it as a [`Call`].
pub(super) struct Person(Call);

impl Deref for Person {
    type Target = Call;
    fn deref(&self) -> &Call {
        &self.0
    }
}

impl FromRequestParts<App> for Visitor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        let id = parts.extensions.get::<RequestId>().map_or("", |id| id.as_str());
        let person = match parts.extensions.get::<Identity>() {
            Some(Identity::User(actor)) => Some(Person(Call::new(actor.clone(), id))),
            Some(Identity::Unknown(problem)) => return Err(problem.clone()),
            Some(Identity::None(_) | Identity::Refused) | None => None,
        };
        Ok(Self { call: Call::new(Actor::Anonymous, id), person })
    }
}

impl FromRequestParts<App> for Person {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        match Visitor::from_request_parts(parts, app).await {
            Ok(Visitor { person: Some(person), .. }) => Ok(person),
            Ok(Visitor { person: None, .. }) => {
                let login =
                    back_here(parts).map_or_else(|| "/login".to_owned(), |next| next.after_logging_in());
                Err(see_other(&then(parts, login)).into_response())
            }
            Err(problem) => Err(problem.into_response()),
        }
    }
}

/// The page to come back to: the one asked for, or the one with the form that was sent, which is there
/// or one step up (`/things/7/delete` is sent from `/things/7`).
fn back_here(parts: &Parts) -> Option<Next> {
    let route = parts.extensions.get::<MatchedPath>()?.as_str();
    let path = parts.uri.path();
    if is_shown(route) {
        return Next::parse(path);
    }
    let (route, path) = (route.rsplit_once('/')?.0, path.rsplit_once('/')?.0);
    if is_shown(route) { Next::parse(path) } else { None }
}

/// With where the page asked for goes on to itself.
fn then(parts: &Parts, login: String) -> String {
    #[derive(Deserialize)]
    struct Onward {
        next: Option<String>,
    }
    let onward = query::parse::<Onward>(parts.uri.query().unwrap_or_default());
    let next = onward.ok().and_then(|onward| Next::parse(onward.next.as_deref()?));
    match next {
        Some(next) if login.contains('?') => format!("{login}&then={next}"),
        _ => login,
    }
}

//! Which brokers are answered, and what is noted of every question: never its address, where the secret
//! may be, nor anything that a device has sent.

use std::time::Instant;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::{
    extract::{MatchedPath, RawPathParams, Request, State, rejection::RawPathParamsRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use registry::Secret;

use super::{Hooks, emqx};
use crate::{
    auth::Presented,
    rest::Peer,
    telemetry::hooks::{Broker, Question, Verdict},
};

/// The layer.
pub(super) async fn guard(
    State(hooks): State<Hooks>,
    parameters: Result<RawPathParams, RawPathParamsRejection>,
    request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("", MatchedPath::as_str).to_owned();
    // A path that leads nowhere has none.
    let in_path = parameters.ok().and_then(|parameters| {
        parameters.iter().find(|(name, _)| *name == "secret").map(|(_, value)| Secret::new(value))
    });
    let mut response =
        match admitted(hooks.app.options.hooks_secret.as_ref(), request.headers(), in_path.as_ref()) {
            true => next.run(request).await,
            false => {
                let peer = request.extensions().get::<Peer>().copied().unwrap_or_default();
                refused(&hooks, &route, peer)
            }
        };
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let (status, took) = (response.status(), started.elapsed());
    hooks.app.metrics.request(&method, &route, status, took);
    let ms = took.as_secs_f64() * 1000.0;
    tracing::debug!(target: "things::access", %method, route, status = status.as_u16(), ms, "hook");
    response
}

fn admitted(secret: Option<&Secret>, headers: &HeaderMap, in_path: Option<&Secret>) -> bool {
    // Brokers are no web pages, which reach a port of the machine that they are open on.
    if headers.contains_key(header::ORIGIN) {
        return false;
    }
    let Some(secret) = secret else { return true };
    let same = |shown: &Secret| verify_slices_are_equal(&shown.digest(), &secret.digest()).is_ok();
    match Presented::of(headers) {
        Presented::Token(token) if same(&token) => true,
        _ => in_path.is_some_and(same),
    }
}

/// EMQX and RMQTT go on to the next who may allow it when they get a status that is no success.
fn refused(hooks: &Hooks, route: &str, peer: Peer) -> Response {
    let broker = Broker::ALL.into_iter().find(|broker| route.contains(broker.as_str()));
    if let Some(broker) = broker {
        hooks.app.metrics.hooks.count(broker, Question::Secret, Verdict::Refused);
    }
    if hooks.app.limits.wrong_hook_secret(peer.source()) {
        let (broker, peer) = (broker.map_or("", Broker::as_str), peer.ip());
        tracing::warn!(broker, %peer, "a hook was called without the right secret (option hooks_secret)");
    }
    match broker {
        Some(Broker::Emqx | Broker::Rmqtt) => emqx::denied(),
        _ => (StatusCode::UNAUTHORIZED, "the secret is missing or wrong\n").into_response(),
    }
}

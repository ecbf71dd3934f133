//! Changes that survive the client: every request that can change something runs to its end even if
//! the client hangs up, and a POST with an Idempotency-Key can be repeated.

use std::sync::Arc;

use axum::{
    body::{Body, Bytes},
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, Method},
    middleware::Next,
    response::{IntoResponse, Response},
};
use registry::{Error, actor::MAX_HEADER_KEY};

use super::{Problem, body, imports};
use crate::App;

/// Whether this request may be a repetition; found by `extract::Caller`, after the caller is known.
// No Debug: a body may hold a password.
#[derive(Clone)]
pub(crate) enum Repetition {
    /// It has a key; the whole request tells it apart from another one under the same key.
    Possible { route: Arc<str>, key: Arc<str>, body: Bytes },
    /// The key or the body is no good.
    Refused(Problem),
}

/// Runs what can change something in a task of its own: axum drops a handler when its client hangs
/// up, and a transaction must not be left between its commit and what follows it.
pub(crate) async fn to_its_end(State(app): State<App>, mut request: Request, next: Next) -> Response {
    if request.method().is_safe() {
        return next.run(request).await;
    }
    let room = body::HeldRoom::default();
    request.extensions_mut().insert(room.clone());
    let done = tokio::spawn(async move {
        let request = match request.method() {
            &Method::POST if !is_streamed(&request) => repeatable(request, &app).await,
            _ => request,
        };
        let response = next.run(request).await;
        drop(room);
        response
    });
    match done.await {
        Ok(response) => response,
        Err(error) => Problem::internal(error).into_response(),
    }
}

/// Restores are all or nothing by themselves, and need an installation with nothing in it.
const RESTORE: &str = "/restore";

/// Whether an operation can be repeated by its key.
pub(super) fn takes_a_key(path: &str) -> bool {
    path != RESTORE
}

/// Too large to be held: imports are repeated part by part, and restores are not.
fn is_streamed(request: &Request) -> bool {
    let route = request.extensions().get::<MatchedPath>();
    route.is_some_and(|route| [imports::PATH, RESTORE].contains(&route.as_str()))
}

/// Attaches the idempotency key, and the body, which is needed to recognise the request again.
async fn repeatable(request: Request, app: &App) -> Request {
    let key = match key(request.headers()) {
        None => return request,
        Some(key) => key,
    };
    let (mut parts, body) = request.into_parts();
    let read = match key {
        Ok(key) => body::read(&parts, body, app).await.map(|body| (key, body)),
        Err(problem) => Err(problem),
    };
    let body = match read {
        Ok((key, body)) => {
            let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
            let route = format!("{} {path}", parts.method).into();
            parts.extensions.insert(Repetition::Possible { route, key, body: body.clone() });
            Body::from(body)
        }
        Err(problem) => {
            parts.extensions.insert(Repetition::Refused(problem));
            Body::empty()
        }
    };
    Request::from_parts(parts, body)
}

/// The request's key, if it has one.
pub(super) fn key(headers: &HeaderMap) -> Option<Result<Arc<str>, Problem>> {
    let mut values = headers.get_all("idempotency-key").iter();
    let value = values.next()?;
    let text = value.to_str().unwrap_or_default();
    let valid = values.next().is_none()
        && (1..=MAX_HEADER_KEY).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    Some(if valid {
        Ok(text.into())
    } else {
        let rule = format!("must be given once, as 1 to {MAX_HEADER_KEY} visible ASCII characters");
        Err(Error::invalid("Idempotency-Key", rule).into())
    })
}

//! The outermost layer of the port: gives each request its id, asks whether it may come in, bounds its time,
//! and on the way out writes the log and the metrics.

use std::{collections::HashSet, error::Error as StdError, sync::LazyLock, time::Instant};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, Version, header},
    response::{IntoResponse, Response},
};
use registry::Error;
use tokio::time::timeout;
use tonic::{Code, Status};
use tower::ServiceExt;

use super::{
    METHODS, guard,
    status::{name, told},
};
use crate::{
    App,
    rest::edge::{RequestId, X_REQUEST_ID, caught},
};

/// Methods that are not ours but have a name in metrics.
const STANDARD: [&str; 4] = [
    HEALTH,
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];
const HEALTH: &str = "/grpc.health.v1.Health/Check";

/// What can be asked, for metrics: whatever a client makes up is no label.
static KNOWN: LazyLock<HashSet<&'static str>> =
    LazyLock::new(|| METHODS.iter().chain(&STANDARD).copied().collect());

/// The routes within it. A handler before them rather than a layer around each: brokers ask thousands of times
/// a second, and layers would be a good part of what that costs.
pub(super) fn around(app: App, routes: Router) -> Router {
    Router::new().fallback(edge).with_state((app, routes))
}

async fn edge(State((app, routes)): State<(App, Router)>, mut request: Request) -> Response {
    if !speaks_grpc(request.version(), request.headers()) {
        let told = "this port speaks gRPC: HTTP/2 with content-type application/grpc, and not to web pages\n";
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, told).into_response();
    }
    let started = Instant::now();
    let id = RequestId::of(request.headers(), &app);
    request.extensions_mut().insert(id.clone());
    let method = KNOWN.get(request.uri().path()).copied().unwrap_or("other");
    // Probes have no token, and learn nothing but whether all is well.
    let admitted = match method {
        HEALTH => Ok(()),
        _ => guard::admit(app.options.grpc_token.as_ref(), request.headers()),
    };
    let mut response = match admitted {
        // The head of a stream's answer is there at once; the rest of it may take for ever.
        Ok(()) => match timeout(app.options.body_timeout, caught(routes.oneshot(request))).await {
            Ok(Some(Ok(response))) => response,
            Ok(None) => told(Error::internal("the request's code panicked")).into_http(),
            Err(_) => Status::deadline_exceeded("the request did not arrive or was not answered in time")
                .into_http(),
        },
        Err(status) => status.into_http(),
    };
    response.headers_mut().insert(X_REQUEST_ID, id.header());
    // Without one it is a success, or a stream whose end is not known yet.
    let code =
        response.headers().get("grpc-status").map_or(Code::Ok, |code| Code::from_bytes(code.as_bytes()));
    if let Some(status) = response.extensions().get::<Status>()
        && let Some(source) = status.source()
    {
        tracing::error!(request_id = id.as_str(), error = %Chain(source), "internal error");
    }
    let took = started.elapsed();
    app.metrics.rpc(method, name(code), took);
    let ms = took.as_secs_f64() * 1000.0;
    tracing::debug!(target: "things::access", method, code = name(code), ms, request_id = id.as_str(), "rpc");
    response
}

/// Whether it is a gRPC client that asks. A web page open on this machine reaches this port as well, but its
/// browser speaks no HTTP/2 without TLS, sends no such content type unasked, and tells the page's origin.
fn speaks_grpc(version: Version, headers: &HeaderMap) -> bool {
    let content = headers.get(header::CONTENT_TYPE).and_then(|content| content.to_str().ok());
    let rest = content.and_then(|content| content.strip_prefix("application/grpc"));
    version == Version::HTTP_2
        && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', ';']))
        && !headers.contains_key(header::ORIGIN)
}

/// An error and what caused it, on one line.
struct Chain<'a>(&'a (dyn StdError + 'static));

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

//! The outermost layer: what happens to every request, whatever becomes of it. It gives the request
//! its id, refuses what is too long, settles who asks and how often they may, and on the way out
//! writes problems, headers, the access log and the metrics.

use std::{
    future::poll_fn,
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::atomic::{AtomicU32, Ordering},
    task::Poll,
    time::Instant,
};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use registry::{
    Actor, Ids, Timestamp,
    actor::MAX_HEADER_KEY,
    credentials::{Asker, Front},
};
use uuid::Uuid;

use super::{
    Problem,
    problem::{Answer, kinds},
};
use crate::{
    App,
    auth::{self, Identity, Presented},
    limits::{Principal, Source},
    pages,
};

/// The longest address in bytes.
const MAX_URI: usize = 8 * 1024;
/// The most headers, and the most bytes of them.
const MAX_HEADERS: usize = 64;
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// How many headers are added to an answer, here and where its length is known.
const HEADERS: usize = 7;

/// Under which name the id travels.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Under which a request is logged, journalled and answered.
// Kept as the header that it is answered with.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    pub(crate) fn as_str(&self) -> &str {
        // Always text: it is checked, or made here.
        self.0.to_str().unwrap_or_default()
    }

    /// As it is answered. Marked as not worth keeping, because HTTP/2 would make room for each of them in the
    /// connection's table of headers, which no later answer uses.
    pub(crate) fn header(&self) -> HeaderValue {
        let mut value = self.0.clone();
        value.set_sensitive(true);
        value
    }

    /// The client's, if it is one, or a new one.
    pub(crate) fn of(headers: &HeaderMap, app: &App) -> Self {
        let given = headers.get(X_REQUEST_ID).filter(|id| {
            (1..=MAX_HEADER_KEY).contains(&id.len())
                && id.as_bytes().iter().all(|byte| byte.is_ascii_graphic())
        });
        Self(match given {
            Some(id) => id.clone(),
            None => app.request_ids.next(app.registry.clock().now()),
        })
    }
}

/// New ids, in the form of UUIDs of version 7: this process's own random part, and a count. Told apart they
/// must be; secret or hard to guess they need not be, which would cost a call of the system each.
pub(crate) struct RequestIds {
    process: Uuid,
    count: AtomicU32,
}

impl RequestIds {
    pub(crate) fn new(ids: &Ids, now: Timestamp) -> Self {
        Self { process: ids.make(now), count: AtomicU32::new(0) }
    }

    fn next(&self, now: Timestamp) -> HeaderValue {
        // The time, then what is random in the process's id, then the count.
        let time = u128::from(now.millis().max(0).unsigned_abs()) << 80;
        let process = self.process.as_u128() & !(u128::MAX << 80) & (u128::MAX << 32);
        let id = Uuid::from_u128(time | process | u128::from(self.count.fetch_add(1, Ordering::Relaxed)));
        let mut text = [0; uuid::fmt::Simple::LENGTH];
        let text: &str = id.as_simple().encode_lower(&mut text);
        // Hexadecimal digits are always a header's value.
        HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
    }
}

/// The other end of the connection; set by the accept loop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

impl Default for Peer {
    fn default() -> Self {
        Self(SocketAddr::from(([0, 0, 0, 0], 0)))
    }
}

impl Peer {
    /// Who is told to have asked about a credential.
    pub(crate) fn asker(self) -> Asker {
        Asker { front: Front::Http, source: Some(self.ip()) }
    }

    /// Whom the attempts of logging in are counted against.
    pub(crate) fn ip(self) -> std::net::IpAddr {
        self.0.ip().to_canonical()
    }

    /// Whom requests and failed keys are counted against.
    pub(crate) fn source(self) -> Source {
        Source::of(self.0)
    }
}

/// The layer.
pub(crate) async fn edge(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let passage = Passage::begin(&app, &request);
    request.extensions_mut().insert(passage.id.clone());
    let mut principal = None;
    let for_people = pages::are_asked(passage.route.as_ref(), request.headers());
    let response = match admit(&app, &mut request, passage.route.as_ref(), &mut principal).await {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    passage.end(&app, response, for_people, principal)
}

/// The same for a route that stands outside of the layers, because machines ask it thousands of times a second
/// and the layers would be most of what it costs. Only for what [`for_machines`] names, looks at nobody's token
/// and changes nothing: that is what it does without.
pub(super) async fn directly<F: Future<Output = Answer>>(
    app: &App,
    request: Request,
    answer: impl FnOnce(Request) -> F,
) -> Response {
    let passage = Passage::begin(app, &request);
    let answered = match within_limits(&request) {
        Ok(()) => {
            let panicked = || Err(Problem::internal("the request's code panicked"));
            caught(answer(request)).await.unwrap_or_else(panicked)
        }
        Err(problem) => Err(problem),
    };
    passage.end(app, answered.unwrap_or_else(IntoResponse::into_response), false, None)
}

/// What comes of a future, or `None` if it panics: that ends one request and no more. The panic's message is
/// for the log; the hook has written it there with its place.
pub(crate) async fn caught<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(polled) => polled.map(Some),
        Err(_) => Poll::Ready(None),
    })
    .await
}

/// What is known of a request from its beginning to its end.
struct Passage {
    started: Instant,
    id: RequestId,
    method: Method,
    route: Option<MatchedPath>,
}

impl Passage {
    fn begin(app: &App, request: &Request) -> Self {
        Self {
            started: Instant::now(),
            id: RequestId::of(request.headers(), app),
            method: request.method().clone(),
            route: request.extensions().get::<MatchedPath>().cloned(),
        }
    }

    fn end(self, app: &App, response: Response, for_people: bool, principal: Option<Uuid>) -> Response {
        let response = finish(app, response, &self.id, for_people);
        let (route, status) = (self.route.as_ref().map_or("", MatchedPath::as_str), response.status());
        let took = self.started.elapsed();
        app.metrics.request(&self.method, route, status, took);
        log(&self.method, route, status, took.as_secs_f64() * 1000.0, &self.id, principal);
        response
    }
}

/// Decides whether the request goes on, and attaches who asks.
async fn admit(
    app: &App,
    request: &mut Request,
    route: Option<&MatchedPath>,
    principal: &mut Option<Uuid>,
) -> Result<(), Problem> {
    within_limits(request)?;
    let presented = match route {
        Some(route) if pages::is_page(route.as_str()) => pages::presented(&app.options, request.headers()),
        _ => Presented::of(request.headers()),
    };
    let identity = auth::identify(&app.registry, presented).await;
    let actor = match &identity {
        Identity::User(actor) => Some(actor),
        Identity::None(_) | Identity::Refused | Identity::Unknown(_) => None,
    };
    *principal = match actor {
        Some(Actor::User(user)) => Some(user.id().uuid()),
        _ => None,
    };
    if !route.is_some_and(|route| for_machines(route.as_str())) {
        let source = request.extensions().get::<Peer>().copied().unwrap_or_default().source();
        app.limits.request(Principal::of(actor, source))?;
    }
    request.extensions_mut().insert(identity);
    Ok(())
}

/// Whether its head is not too long.
fn within_limits(request: &Request) -> Result<(), Problem> {
    if request.uri().path_and_query().is_some_and(|path| path.as_str().len() > MAX_URI) {
        return Err(Problem::new(
            &kinds::URI_TOO_LONG,
            format!("the address is longer than {MAX_URI} bytes"),
        ));
    }
    let bytes: usize =
        request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if request.headers().len() > MAX_HEADERS || bytes > MAX_HEADER_BYTES {
        let limits = format!("there are more than {MAX_HEADERS} headers or {MAX_HEADER_BYTES} bytes of them");
        return Err(Problem::new(&kinds::HEADERS_TOO_LARGE, limits));
    }
    Ok(())
}

/// What is asked without a person behind it, by brokers, gateways and probes: many things share a
/// source. `/identify` and `/metadata` limit failures by themselves.
fn for_machines(route: &str) -> bool {
    matches!(route, "/identify" | "/metadata" | "/health" | "/ready")
}

/// Writes out the problem, if it is one, and the headers of every answer.
fn finish(app: &App, mut response: Response, id: &RequestId, for_people: bool) -> Response {
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        problem.log(id.as_str());
        let mut told = match for_people {
            true => pages::problem(problem, id.as_str()),
            false => problem.render(id.as_str()),
        };
        // A 405's list of methods comes from the router.
        if let Some(allow) = response.headers_mut().remove(header::ALLOW) {
            told.headers_mut().insert(header::ALLOW, allow);
        }
        response = told;
    }
    let https = app.options.https().then_some((header::STRICT_TRANSPORT_SECURITY, "max-age=31536000"));
    let headers = response.headers_mut();
    headers.reserve(HEADERS);
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ]
    .into_iter()
    .chain(https)
    {
        // Pages and their assets have said something better suited already.
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    headers.insert(X_REQUEST_ID, id.header());
    response
}

/// The access log: no query strings, bodies or headers, because secrets and names get into those.
fn log(method: &Method, route: &str, status: StatusCode, ms: f64, id: &RequestId, principal: Option<Uuid>) {
    let request_id = id.as_str();
    let principal = principal.map(tracing::field::display);
    let status = status.as_u16();
    // Machines ask thousands of times a second; what they do right is not worth a line.
    if for_machines(route) && status < 500 {
        tracing::debug!(target: "things::access", %method, route, status, ms, request_id, "request");
    } else {
        tracing::info!(target: "things::access", %method, route, status, ms, request_id, principal, "request");
    }
}

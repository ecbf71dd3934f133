//! Metrics, in the form Prometheus reads. Labels are closed sets: matched routes, methods, classes of
//! status; never an id, a name or anything else a client chooses.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, OnceLock, PoisonError, RwLock},
    time::Duration,
};

use axum::http::{Method, StatusCode};
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::Registry,
};

use super::{devices::DeviceChecks, hooks::HookMetrics};
use crate::backups::BackupState;

/// Everything that is counted.
pub struct Metrics {
    registry: Registry,
    requests: Family<Request, Counter>,
    durations: Family<Route, Histogram, fn() -> Histogram>,
    seen: RwLock<HashMap<String, Arc<Seen>>>,
    /// Open connections.
    pub connections: Gauge,
    rpcs: Family<Rpc, Counter>,
    rpc_durations: Family<RpcMethod, Histogram, fn() -> Histogram>,
    /// Open connections to the gRPC port.
    pub grpc_connections: Gauge,
    /// Mail.
    pub mail: MailMetrics,
    /// Broker hooks.
    pub hooks: HookMetrics,
}

/// What is counted about mail. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct MailMetrics {
    attempts: Family<Attempt, Counter>,
    /// Mails that have not been sent yet, as last seen.
    pub(crate) waiting: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Attempt {
    outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Outcome {
    Sent,
    Refused,
    GivenUp,
}

impl EncodeLabelValue for Outcome {
    fn encode(&self, encoder: &mut prometheus_client::encoding::LabelValueEncoder<'_>) -> fmt::Result {
        fmt::Write::write_str(
            encoder,
            match self {
                Self::Sent => "sent",
                Self::Refused => "refused",
                Self::GivenUp => "given_up",
            },
        )
    }
}

impl MailMetrics {
    pub(crate) fn sent(&self) {
        self.count(Outcome::Sent);
    }

    pub(crate) fn refused(&self) {
        self.count(Outcome::Refused);
    }

    pub(crate) fn given_up(&self) {
        self.count(Outcome::GivenUp);
    }

    fn count(&self, outcome: Outcome) {
        self.attempts.get_or_create(&Attempt { outcome }).inc();
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    method: Verb,
    route: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    method: Verb,
    route: String,
    status: Class,
}

/// The counters of one route, so that a request need not put together their labels to find them.
#[derive(Default)]
struct Seen([OnceLock<Counts>; 6]);

/// Those of one of its methods: durations, and answers by the first digit of their status.
struct Counts {
    took: Histogram,
    answers: [OnceLock<Counter>; 6],
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RpcMethod {
    method: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Rpc {
    method: &'static str,
    code: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Verb {
    Get,
    Post,
    Put,
    Patch,
    Delete,
    Other,
}

impl From<&Method> for Verb {
    fn from(method: &Method) -> Self {
        match *method {
            Method::GET | Method::HEAD => Self::Get,
            Method::POST => Self::Post,
            Method::PUT => Self::Put,
            Method::PATCH => Self::Patch,
            Method::DELETE => Self::Delete,
            _ => Self::Other,
        }
    }
}

impl EncodeLabelValue for Verb {
    fn encode(&self, encoder: &mut prometheus_client::encoding::LabelValueEncoder<'_>) -> fmt::Result {
        fmt::Write::write_str(
            encoder,
            match self {
                Self::Get => "GET",
                Self::Post => "POST",
                Self::Put => "PUT",
                Self::Patch => "PATCH",
                Self::Delete => "DELETE",
                Self::Other => "other",
            },
        )
    }
}

/// `2xx`, `3xx`, `4xx`, `5xx`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Class(u16);

impl EncodeLabelValue for Class {
    fn encode(&self, encoder: &mut prometheus_client::encoding::LabelValueEncoder<'_>) -> fmt::Result {
        fmt::Write::write_fmt(encoder, format_args!("{}xx", self.0))
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("things");
        let requests = Family::default();
        let seconds: fn() -> Histogram =
            || Histogram::new([0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0]);
        let durations = Family::new_with_constructor(seconds);
        let rpcs = Family::default();
        let rpc_durations = Family::new_with_constructor(seconds);
        let grpc_connections = Gauge::default();
        let connections = Gauge::default();
        registry.register("http_requests", "Requests answered", requests.clone());
        registry.register(
            "http_request_duration_seconds",
            "Time to the answer's head",
            Family::clone(&durations),
        );
        registry.register("http_connections", "Open connections", connections.clone());
        registry.register("grpc_requests", "Rpcs answered", rpcs.clone());
        registry.register(
            "grpc_request_duration_seconds",
            "Time to the answer's head",
            Family::clone(&rpc_durations),
        );
        registry.register("grpc_connections", "Open connections to the gRPC port", grpc_connections.clone());
        let mail = MailMetrics::default();
        registry.register(
            "mail_attempts",
            "Attempts to send a mail, by their outcome",
            mail.attempts.clone(),
        );
        registry.register("mail_waiting", "Mails that have not been sent yet", mail.waiting.clone());
        let hooks = HookMetrics::default();
        hooks.register(&mut registry);
        registry.register(
            "build",
            "Which program this is",
            Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]),
        );
        Self {
            registry,
            requests,
            durations,
            seen: RwLock::default(),
            connections,
            rpcs,
            rpc_durations,
            grpc_connections,
            mail,
            hooks,
        }
    }
}

impl Metrics {
    /// Tells also what the registry counts.
    pub(crate) fn of(registry: &Arc<registry::Registry>, backups: &BackupState) -> Self {
        let mut metrics = Self::default();
        metrics.registry.register(
            "backup_last_success_timestamp_seconds",
            "When this process last finished a scheduled backup; 0 for never",
            backups.succeeded.clone(),
        );
        metrics.registry.register(
            "backup_last_failure_timestamp_seconds",
            "When a scheduled backup of this process last failed; 0 for never",
            backups.failed.clone(),
        );
        metrics.registry.register_collector(Box::new(DeviceChecks(Arc::clone(registry))));
        metrics
    }

    /// Counts an answered request.
    pub(crate) fn request(&self, method: &Method, route: &str, status: StatusCode, took: Duration) {
        let (method, class) = (Verb::from(method), status.as_u16() / 100);
        let seen = self.seen(route);
        // Always there: six methods, and six digits that a status can begin with.
        let Some(counts) = seen.0.get(method as usize) else { return };
        let counts = counts.get_or_init(|| {
            let labels = Route { method, route: route.to_owned() };
            Counts { took: self.durations.get_or_create(&labels).clone(), answers: Default::default() }
        });
        counts.took.observe(took.as_secs_f64());
        let Some(answers) = counts.answers.get(usize::from(class)) else { return };
        let labels = || Request { method, route: route.to_owned(), status: Class(class) };
        answers.get_or_init(|| self.requests.get_or_create(&labels()).clone()).inc();
    }

    fn seen(&self, route: &str) -> Arc<Seen> {
        if let Some(seen) = self.seen.read().unwrap_or_else(PoisonError::into_inner).get(route) {
            return Arc::clone(seen);
        }
        let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(seen.entry(route.to_owned()).or_default())
    }

    /// Counts an answered rpc.
    pub(crate) fn rpc(&self, method: &'static str, code: &'static str, took: Duration) {
        self.rpc_durations.get_or_create(&RpcMethod { method }).observe(took.as_secs_f64());
        self.rpcs.get_or_create(&Rpc { method, code }).inc();
    }

    /// The text that Prometheus reads.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut out = String::new();
        text::encode(&mut out, &self.registry)?;
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_route_method_and_class() {
        let metrics = Metrics::default();
        metrics.request(&Method::HEAD, "/groups/{id}", StatusCode::NOT_FOUND, Duration::from_millis(2));
        let text = metrics.encode().unwrap();
        assert!(
            text.contains(r#"things_http_requests_total{method="GET",route="/groups/{id}",status="4xx"} 1"#),
            "{text}"
        );
    }
}

//! Operations: is it well, what can it do, what does this problem mean.

use std::sync::LazyLock;

use axum::{
    Json as Out,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use registry::Error;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    openapi,
    problem::{Answer, kinds},
};
use crate::{App, build};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(show_health))
        .routes(routes!(show_readiness))
        .routes(routes!(show_openapi))
        .routes(routes!(explain_problem))
}

/// Whether the service is well, in the form Mainflux gives it.
#[derive(Debug, Serialize, ToSchema)]
struct Health {
    status: Status,
    version: &'static str,
    commit: &'static str,
    description: &'static str,
    build_time: &'static str,
    checks: Checks,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = HealthStatus)]
enum Status {
    Pass,
    /// Works, but someone should look.
    Warn,
    Fail,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HealthChecks)]
struct Checks {
    database: Checked,
    migrations: Checked,
    disk: Checked,
    mail: Checked,
    /// Absent where no backups are taken by themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    backup: Option<Checked>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HealthCheck)]
struct Checked {
    status: Status,
}

fn checked(well: bool, otherwise: Status) -> Checked {
    Checked { status: if well { Status::Pass } else { otherwise } }
}

/// See whether the service is well
#[utoipa::path(get, path = "/health", tag = "Operations", security(()), responses(
    (status = 200, body = Health, content_type = "application/health+json"),
    (status = 503, body = Health, content_type = "application/health+json")))]
async fn show_health(State(app): State<App>) -> Response {
    let report = app.health.report(&app.registry, app.options.data_dir.as_deref(), &app.backups).await;
    let well = report.has_room() && report.mail && report.backup != Some(false);
    let (code, status) = match (report.is_ready(), well) {
        (false, _) => (StatusCode::SERVICE_UNAVAILABLE, Status::Fail),
        (true, false) => (StatusCode::OK, Status::Warn),
        (true, true) => (StatusCode::OK, Status::Pass),
    };
    let body = Health {
        status,
        version: build::VERSION,
        commit: build::COMMIT,
        description: "things service",
        build_time: build::TIME,
        checks: Checks {
            database: checked(report.database, Status::Fail),
            migrations: checked(report.schema_fits(), Status::Fail),
            disk: checked(report.has_room(), Status::Warn),
            mail: checked(report.mail, Status::Warn),
            backup: report.backup.map(|well| checked(well, Status::Warn)),
        },
    };
    (code, [(header::CONTENT_TYPE, "application/health+json")], Out(body)).into_response()
}

/// See whether requests can be answered
#[utoipa::path(get, path = "/ready", tag = "Operations", security(()), responses((status = 204)))]
async fn show_readiness(State(app): State<App>) -> Answer<StatusCode> {
    let report = app.health.report(&app.registry, app.options.data_dir.as_deref(), &app.backups).await;
    if report.is_ready() { Ok(StatusCode::NO_CONTENT) } else { Err(Error::Unavailable.into()) }
}

/// Read this document
#[utoipa::path(get, path = "/openapi.json", tag = "Operations", security(()), responses((status = 200, body = Object)))]
async fn show_openapi() -> Response {
    static TEXT: LazyLock<String> = LazyLock::new(|| openapi::document().to_json().unwrap_or_default());
    ([(header::CONTENT_TYPE, "application/json")], TEXT.as_str()).into_response()
}

/// Explain a kind of problem
#[utoipa::path(get, path = "/problems/{code}", tag = "Operations", security(()), params(("code" = String, Path)), responses((status = 200, content_type = "text/plain", body = String)))]
async fn explain_problem(Path(code): Path<String>) -> Answer {
    let kind = kinds::KINDS.iter().find(|kind| kind.code == code).ok_or(Error::NotFound)?;
    let text = format!("{} ({})\n\n{}\n", kind.title, kind.status.as_u16(), kind.help);
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response())
}

//! Operations: is it well, what can it do, what does this problem mean.

use axum::{Json as Out, Router, extract::Path, http::header, response::IntoResponse};
use registry::Error;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    openapi,
    problem::{Answer, kinds},
};
use crate::App;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(explain_problem)).routes(routes!(show_openapi))
}

/// Explain a kind of problem
#[utoipa::path(get, path = "/problems/{code}", tag = "Operations", security(()), params(("code" = String, Path)), responses((status = 200, content_type = "text/plain", body = String)))]
async fn explain_problem(Path(code): Path<String>) -> Answer {
    let kind = kinds::KINDS.iter().find(|kind| kind.code == code).ok_or(Error::NotFound)?;
    let text = format!("{} ({})\n\n{}\n", kind.title, kind.status.as_u16(), kind.help);
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response())
}

/// This document
#[utoipa::path(get, path = "/openapi.json", tag = "Operations", security(()), responses((status = 200, body = Object)))]
async fn show_openapi() -> Out<utoipa::openapi::OpenApi> {
    Out(openapi::document())
}

/// What is for people and not part of the API.
pub(super) fn unlisted_routes() -> Router<App> {
    Router::new()
}

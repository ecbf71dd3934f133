//! The first page: what this is, and where to go from here.

use askama::Template;
use axum::http::StatusCode;

use super::page;
use crate::{build, rest::problem::Answer};

#[derive(Template)]
#[template(path = "pages/home.html")]
struct Home {
    version: &'static str,
}

pub(super) async fn show() -> Answer {
    page(StatusCode::OK, &Home { version: build::VERSION })
}

//! The first page: what this is, and where to go from here.

use askama::Template;
use axum::http::StatusCode;
use serde::Deserialize;

use super::{notice::Notice, page};
use crate::{
    build,
    rest::{problem::Answer, query::Query},
};

/// How one comes to the page.
#[derive(Debug, Deserialize)]
pub(super) struct Arrival {
    notice: Option<String>,
}

#[derive(Template)]
#[template(path = "pages/home.html")]
struct Home {
    version: &'static str,
    notice: Option<Notice>,
}

pub(super) async fn show(Query(arrival): Query<Arrival>) -> Answer {
    let notice = arrival.notice.as_deref().and_then(Notice::parse);
    page(StatusCode::OK, &Home { version: build::VERSION, notice })
}

//! Errors as pages: what the API tells as a problem, for people.

use askama::Template;
use axum::{
    http::{HeaderValue, header},
    response::Response,
};

use super::{form::again_in, sentence};
use crate::rest::Problem;

#[derive(Template)]
#[template(path = "pages/problem.html")]
struct ProblemPage<'a> {
    status: u16,
    title: &'static str,
    detail: String,
    again: Option<String>,
    request_id: &'a str,
}

/// Writes a problem out as a page.
pub(crate) fn page(problem: Problem, request_id: &str) -> Response {
    let wait = problem.retry_after();
    let page = ProblemPage {
        status: problem.status().as_u16(),
        title: problem.kind().title,
        detail: sentence(problem.detail()),
        again: wait.map(again_in),
        request_id,
    };
    match super::page(problem.status(), &page) {
        Ok(mut response) => {
            if let Some(wait) = wait {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait));
            }
            response
        }
        Err(_) => problem.render(request_id),
    }
}

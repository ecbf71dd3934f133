//! Pages for people: HTML over the same use cases as the API, for browsers with and without scripts.
//!
//! One more front, with no rule of its own: what may be done and how often is decided where the API asks
//! too. [`PAGES`] is the list of them; CONTRIBUTING.md, "Adding a page", is the recipe. What is common:
//!
//! | module | |
//! |---|---|
//! | [`visitor`] | who is there: what handlers take first |
//! | [`cookie`] | how a browser keeps a log-in |
//! | [`origin`] | forms come from our own pages |
//! | [`form`], [`field`], [`link`] | from forms and links to valid values, and back with what is wrong beside each field |
//! | [`next`], [`notice`] | where to go on to, and what to say there |
//! | [`offer`] | what an invite offers, in words |
//! | [`problem`] | errors as pages |
//! | [`assets`] | the style sheet and the icon |

mod assets;
mod cookie;
mod field;
mod form;
mod home;
mod invitation;
mod invitations;
mod join;
mod link;
mod login;
mod next;
mod notice;
mod offer;
mod origin;
mod problem;
mod reset;
mod visitor;

use askama::Template;
use axum::{
    Router,
    extract::MatchedPath,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware,
    response::{Html, IntoResponse},
    routing::{MethodRouter, get, post},
};

use crate::{
    App, Options,
    auth::Presented,
    rest::problem::{Answer, Problem},
};

pub(crate) use problem::page as problem;

/// A page, or what a form on one is sent to.
struct Page {
    method: &'static str,
    path: &'static str,
    route: fn() -> MethodRouter<App>,
}

/// All of them.
const PAGES: &[Page] = &[
    shown("/", || get(home::show)),
    shown("/login", || get(login::show)),
    sent("/login", || post(login::log_in)),
    sent("/logout", || post(login::log_out)),
    shown("/forgot", || get(reset::show_request)),
    sent("/forgot", || post(reset::request)),
    shown("/reset/{secret}", || get(reset::show)),
    sent("/reset/{secret}", || post(reset::reset)),
    shown("/invitations", || get(invitations::show)),
    shown("/invitations/{id}", || get(invitation::show)),
    sent("/invitations/{id}/accept", || post(invitation::accept)),
    sent("/invitations/{id}/decline", || post(invitation::decline)),
    shown("/join/{secret}", || get(join::show)),
    sent("/join/{secret}", || post(join::join)),
    sent("/join/{secret}/decline", || post(join::decline)),
];

const fn shown(path: &'static str, route: fn() -> MethodRouter<App>) -> Page {
    Page { method: "GET", path, route }
}

const fn sent(path: &'static str, route: fn() -> MethodRouter<App>) -> Page {
    Page { method: "POST", path, route }
}

/// Methods and paths of all pages, as a table of who sees them must list them.
pub fn operations() -> impl Iterator<Item = String> {
    PAGES.iter().map(|page| format!("{} {}", page.method, page.path))
}

/// Whether people and not programs use this route.
pub(crate) fn is_page(route: &str) -> bool {
    PAGES.iter().any(|page| page.path == route)
}

/// Whether this is a page that can be looked at, and not only sent to.
fn is_shown(route: &str) -> bool {
    PAGES.iter().any(|page| page.method == "GET" && page.path == route)
}

/// Whether a request is answered to a person: it is for a page, or for nothing there is, by somebody who
/// would rather read HTML, as browsers say and programs do not.
pub(crate) fn are_asked(route: Option<&MatchedPath>, headers: &HeaderMap) -> bool {
    match route {
        Some(route) => is_page(route.as_str()),
        None => headers
            .get_all(header::ACCEPT)
            .iter()
            .any(|value| value.to_str().is_ok_and(|value| value.contains("text/html"))),
    }
}

/// What a browser shows of who uses it.
pub(crate) fn presented(options: &Options, headers: &HeaderMap) -> Presented {
    Presented::in_cookie(headers, cookie::name(options))
}

/// The pages and what they are made with.
pub(crate) fn routes(app: &App) -> Router<App> {
    PAGES
        .iter()
        .fold(Router::new(), |router, page| router.route(page.path, (page.route)()))
        .layer(middleware::from_fn_with_state(app.clone(), origin::only_ours))
        .route("/assets/{file}", get(assets::serve))
}

/// What every page tells the browser, besides what every answer does.
const HEADERS: [(HeaderName, HeaderValue); 2] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; \
             frame-ancestors 'none'",
        ),
    ),
    // Never a path, because paths hold secrets. With `no-referrer` browsers would send forms with
    // `Origin: null` as well, and over plain HTTP nothing would tell ours from those of others.
    (header::REFERRER_POLICY, HeaderValue::from_static("strict-origin")),
];

/// Writes out a page.
fn page(status: StatusCode, page: &impl Template) -> Answer {
    let html = page.render().map_err(Problem::internal)?;
    Ok((status, HEADERS, Html(html)).into_response())
}

/// Sends the browser on to another page, which it asks for by GET.
fn see_other(location: &str) -> Answer {
    let location = HeaderValue::from_str(location).map_err(Problem::internal)?;
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response())
}

/// The text as a sentence: messages elsewhere begin small and end without a stop.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(char::to_uppercase).into_iter().flatten();
    let mut sentence: String = first.chain(chars).collect();
    if !sentence.ends_with(['.', '!', '?']) {
        sentence.push('.');
    }
    sentence
}

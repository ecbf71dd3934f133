//! The HTTP API: how the registry's use cases are said in REST.
//!
//! `rest/<noun>.rs` holds a noun's routes and wire types and nothing else; CONTRIBUTING.md, "Adding an
//! endpoint", is the recipe. What is common:
//!
//! | module | |
//! |---|---|
//! | [`edge`], [`repeat`], [`dry_run`] | layers: what happens to every request |
//! | [`extract`], [`query`], [`body`], [`etag`] | what handlers take |
//! | [`check`], [`secret`], [`many`], [`compat`] | from wire to valid |
//! | [`list`] | parameters and pages of lists |
//! | [`problem`] | errors |
//! | [`openapi`] | the document |

mod backup;
pub(crate) mod body;
pub(crate) mod check;
mod compat;
mod devices;
mod docs;
mod doctor;
mod dry_run;
pub(crate) mod edge;
mod etag;
pub(crate) mod extract;
mod groups;
pub(crate) mod imports;
mod invites;
mod journal;
mod list;
mod many;
mod memberships;
mod openapi;
mod ops;
mod org_memberships;
mod orgs;
pub(crate) mod passwords;
pub(crate) mod problem;
mod profiles;
pub(crate) mod query;
mod repeat;
pub(crate) mod secret;
pub(crate) mod sessions;
mod things;
mod tokens;
pub(crate) mod unnamed;
pub(crate) mod users;
mod wire;
mod wording;

pub(crate) use edge::Peer;
pub use openapi::document;
pub use problem::Problem;

use axum::{Router, http::Method, middleware};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;

use crate::{App, pages};

/// All routes, with what they answer.
fn routes() -> OpenApiRouter<App> {
    within_layers().merge(devices::direct())
}

fn within_layers() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(openapi::frame())
        .merge(sessions::routes())
        .merge(passwords::routes())
        .merge(tokens::routes())
        .merge(users::routes())
        .merge(orgs::routes())
        .merge(org_memberships::routes())
        .merge(groups::routes())
        .merge(memberships::routes())
        .merge(invites::routes())
        .merge(profiles::routes())
        .merge(things::routes())
        .merge(imports::routes())
        .merge(devices::routes())
        .merge(doctor::routes())
        .merge(journal::routes())
        .merge(backup::routes())
        .merge(ops::routes())
}

/// The whole HTTP API, and the pages beside it.
pub fn router(app: App) -> Router {
    let (router, _) = within_layers().split_for_parts();
    let pages = pages::routes(&app);
    let layered = layered(router.merge(docs::routes()).merge(pages), app.clone());
    let (direct, _) = devices::direct().split_for_parts();
    direct.method_not_allowed_fallback(devices::not_directly).fallback_service(layered).with_state(app)
}

/// What every route goes through, from the inside out.
fn layered(routes: Router<App>, app: App) -> Router {
    routes
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_method)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn(dry_run::dry_run))
        .layer(middleware::from_fn_with_state(app.clone(), repeat::to_its_end))
        .layer(middleware::from_fn_with_state(app.clone(), edge::edge))
        .with_state(app)
}

async fn unknown_path() -> Problem {
    Problem::new(&problem::kinds::NOT_FOUND, "there is no such path; /docs lists what there is")
}

async fn unknown_method(method: Method) -> Problem {
    Problem::new(&problem::kinds::METHOD, format!("this path does not take {method}"))
}

/// The panic's message is for the log; the hook has written it there with its place.
fn panicked(_: Box<dyn std::any::Any + Send>) -> axum::response::Response {
    axum::response::IntoResponse::into_response(Problem::internal("the request's code panicked"))
}

#[cfg(test)]
mod tests;

//! NanoMQ: its HTTP authentication. 200 is yes, any other status no.
//!
//! It puts the filters of one SUBSCRIBE into one text with commas between them, and does not escape
//! forms, so that its configuration should ask for JSON.

use axum::{
    Router,
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use registry::topics::Act;

use super::{Denied, Hooks, Judged, Naming, asked::Asked};
use crate::telemetry::hooks::{Broker, Question};

pub(super) fn routes() -> Router<Hooks> {
    Router::new()
        .route("/nanomq/auth", post(authenticate))
        .route("/nanomq/super", post(superuser))
        .route("/nanomq/acl", post(authorize))
}

/// What is asked for by `access` (1 to subscribe, 2 to publish) and `topic`, in which `split` finds the
/// filters of a subscription.
fn acts(asked: &Asked, split: fn(&str) -> Vec<&str>) -> Option<Vec<Act<'_>>> {
    let topic = asked.get("topic");
    match asked.get("access") {
        "1" => Some(split(topic).into_iter().map(Act::Subscribe).collect()),
        "2" => Some(vec![Act::Publish(topic)]),
        _ => None,
    }
}

pub(super) async fn judge(hooks: &Hooks, request: Request, split: fn(&str) -> Vec<&str>) -> Judged<()> {
    let asked = Asked::read(request, hooks).await?;
    let acts = acts(&asked, split).ok_or(Denied::Refused)?;
    let party = hooks.party(asked.login()).await?;
    hooks.authorize(&party, &acts).await
}

fn answer(judged: &Judged<()>) -> Response {
    if judged.is_ok() { StatusCode::OK } else { StatusCode::FORBIDDEN }.into_response()
}

async fn authenticate(State(hooks): State<Hooks>, request: Request) -> Response {
    let judging = async {
        let asked = Asked::read(request, &hooks).await?;
        hooks.connect(asked.login(), Naming::Optional).await.map(drop)
    };
    answer(&hooks.settle(Broker::Nanomq, Question::Connect, judging).await)
}

/// No thing is above the rules.
async fn superuser(State(_): State<Hooks>) -> Response {
    StatusCode::FORBIDDEN.into_response()
}

async fn authorize(State(hooks): State<Hooks>, request: Request) -> Response {
    // A filter may hold a comma itself. Then its beginning, up to there, has to be allowed, and with it
    // the place where it is.
    let judging = judge(&hooks, request, |topics| topics.split(',').collect());
    answer(&hooks.settle(Broker::Nanomq, Question::Topic, judging).await)
}

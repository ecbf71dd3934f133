//! NanoMQ: its HTTP authentication. 200 is yes, any other status no.
//!
//! It puts the filters of one SUBSCRIBE into one text with commas between them, and does not escape
//! forms, so that its configuration should ask for JSON.

use axum::{
    Router,
    extract::State,
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
pub(super) fn act<'a>(asked: &'a Asked, split: fn(&'a str) -> Vec<&'a str>) -> Option<Vec<Act<'a>>> {
    let topic = asked.get("topic");
    match asked.get("access") {
        "1" => Some(split(topic).into_iter().map(Act::Subscribe).collect()),
        "2" => Some(vec![Act::Publish(topic)]),
        _ => None,
    }
}

pub(super) async fn judge(hooks: &Hooks, asked: &Asked, acts: &[Act<'_>]) -> Judged<()> {
    let party = hooks.party(asked.login()).await?;
    for act in acts {
        hooks.authorize(&party, *act).await?;
    }
    Ok(())
}

fn answer(judged: &Judged<()>) -> Response {
    if judged.is_ok() { StatusCode::OK } else { StatusCode::FORBIDDEN }.into_response()
}

async fn authenticate(State(hooks): State<Hooks>, asked: Asked) -> Response {
    let judged = hooks.connect(asked.login(), Naming::Optional).await.map(drop);
    answer(&hooks.counted(Broker::Nanomq, Question::Connect, judged))
}

/// No thing is above the rules.
async fn superuser(State(_): State<Hooks>) -> Response {
    StatusCode::FORBIDDEN.into_response()
}

async fn authorize(State(hooks): State<Hooks>, asked: Asked) -> Response {
    // A filter may hold a comma itself. Then its beginning, up to there, has to be allowed, and with it
    // the place where it is.
    let judged = match act(&asked, |topics| topics.split(',').collect()) {
        Some(acts) => judge(&hooks, &asked, &acts).await,
        None => Err(Denied::Refused),
    };
    answer(&hooks.counted(Broker::Nanomq, Question::Topic, judged))
}

//! Mosquitto with mosquitto-go-auth: its HTTP backend, with forms or JSON, in any of its response modes.
//!
//! A refusal is 403, which is one in every mode. Yes is the body for the mode `json`, which `status` does
//! not look at, or with `?response=text` in the URI the one for `text`.

use axum::{
    Json, Router,
    extract::{RawQuery, Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use registry::topics::Act;
use serde_json::json;

use super::{Denied, Hooks, Judged, Naming, asked::Asked};
use crate::telemetry::hooks::{Broker, Question};

pub(super) fn routes() -> Router<Hooks> {
    Router::new()
        .route("/mosquitto/user", post(user))
        .route("/mosquitto/superuser", post(superuser))
        .route("/mosquitto/acl", post(acl))
}

fn answer(judged: &Judged<()>, query: Option<&str>) -> Response {
    match (judged, query) {
        (Err(_), _) => {
            (StatusCode::FORBIDDEN, Json(json!({"ok": false, "error": "not authorized"}))).into_response()
        }
        (Ok(()), Some("response=text")) => "ok".into_response(),
        (Ok(()), _) => Json(json!({"ok": true, "error": ""})).into_response(),
    }
}

async fn user(State(hooks): State<Hooks>, RawQuery(query): RawQuery, request: Request) -> Response {
    let judging = async {
        let asked = Asked::read(request, &hooks).await?;
        hooks.connect(asked.login(), Naming::Needed).await.map(drop)
    };
    answer(&hooks.settle(Broker::Mosquitto, Question::Connect, judging).await, query.as_deref())
}

/// No thing is above the rules.
async fn superuser(RawQuery(query): RawQuery) -> Response {
    answer(&Err(Denied::Refused), query.as_deref())
}

async fn acl(State(hooks): State<Hooks>, RawQuery(query): RawQuery, request: Request) -> Response {
    let judging = judge(&hooks, request);
    answer(&hooks.settle(Broker::Mosquitto, Question::Topic, judging).await, query.as_deref())
}

async fn judge(hooks: &Hooks, request: Request) -> Judged<()> {
    let asked = Asked::read(request, hooks).await?;
    let topic = asked.get("topic");
    let acts: &[Act<'_>] = match asked.get("acc") {
        "1" => &[Act::Receive(topic)],
        "2" => &[Act::Publish(topic)],
        "3" => &[Act::Receive(topic), Act::Publish(topic)],
        "4" => &[Act::Subscribe(topic)],
        _ => return Err(Denied::Refused),
    };
    let party = hooks.party(asked.login()).await?;
    hooks.authorize(&party, acts).await
}

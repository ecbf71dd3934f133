//! RMQTT: its HTTP plugin, with the whole list of topics in the answer.
//!
//! A refusal is 200 with `deny`; without `X-Cache` no answer about a topic is kept.

use axum::{
    Json, Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::post,
};
use registry::credentials::Party;
use serde::Serialize;

use super::{Hooks, Naming, asked::Asked, emqx, nanomq};
use crate::telemetry::hooks::{Broker, Question};

pub(super) fn routes() -> Router<Hooks> {
    Router::new().route("/rmqtt/auth", post(authenticate)).route("/rmqtt/acl", post(authorize))
}

#[derive(Serialize)]
struct Answer {
    result: &'static str,
    superuser: bool,
    acl: Vec<emqx::Rule>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expire_at: Option<i64>,
}

async fn authenticate(State(hooks): State<Hooks>, request: Request) -> Response {
    let judging = async {
        let asked = Asked::read(request, &hooks).await?;
        hooks.connect(asked.login(), Naming::Needed).await
    };
    let Ok(device) = hooks.settle(Broker::Rmqtt, Question::Connect, judging).await else {
        return emqx::denied();
    };
    let (expire_at, party) = (emqx::expire_at(&device), Party::from(device));
    let acl = emqx::rules(&hooks.app.options.topics.acl(&party));
    Json(Answer { result: "allow", superuser: false, acl, expire_at }).into_response()
}

async fn authorize(State(hooks): State<Hooks>, request: Request) -> Response {
    let judging = nanomq::judge(&hooks, request, |topic| vec![topic]);
    match hooks.settle(Broker::Rmqtt, Question::Topic, judging).await {
        Ok(()) => "allow".into_response(),
        Err(_) => "deny".into_response(),
    }
}

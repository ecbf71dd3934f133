//! RMQTT: its HTTP plugin, with the whole list of topics in the answer.
//!
//! A refusal is 200 with `deny`; without `X-Cache` no answer about a topic is kept.

use axum::{
    Json, Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::post,
};
use registry::credentials::Party;
use serde::Serialize;

use super::{Denied, Hooks, Naming, asked::Asked, emqx, nanomq};
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

async fn authenticate(State(hooks): State<Hooks>, asked: Asked) -> Response {
    let device = hooks.connect(asked.login(), Naming::Needed).await;
    let Ok(device) = hooks.counted(Broker::Rmqtt, Question::Connect, device) else {
        return emqx::denied();
    };
    let (expire_at, party) = (emqx::expire_at(&device), Party::from(device));
    let acl = emqx::rules(&hooks.app.options.topics.acl(&party));
    Json(Answer { result: "allow", superuser: false, acl, expire_at }).into_response()
}

async fn authorize(State(hooks): State<Hooks>, asked: Asked) -> Response {
    let judged = match nanomq::act(&asked, |topic| vec![topic]) {
        Some(acts) => nanomq::judge(&hooks, &asked, &acts).await,
        None => Err(Denied::Refused),
    };
    match hooks.counted(Broker::Rmqtt, Question::Topic, judged) {
        Ok(()) => "allow".into_response(),
        Err(_) => "deny".into_response(),
    }
}

//! VerneMQ: its webhooks, all at one address; the header `vernemq-hook` says which.
//!
//! Every answer is 200. Without `cache-control` VerneMQ keeps none of them.

use std::net::IpAddr;

use axum::{
    Json, Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::post,
};
use registry::topics::Act;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Denied, Hooks, Judged, Login, Naming,
    asked::{ip, peer, read, unreadable},
};
use crate::telemetry::hooks::{Broker, Question};

/// A message's payload may come along, unless VerneMQ is told to leave it out.
const LONGEST: usize = 1024 * 1024;

pub(super) fn routes() -> Router<Hooks> {
    Router::new().route("/vernemq", post(hook))
}

/// What the hooks have in them, as far as it counts.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Event {
    username: Option<String>,
    password: Option<String>,
    client_id: Option<String>,
    peer_addr: Option<String>,
    topic: String,
    topics: Vec<Subscription>,
}

#[derive(Deserialize, Serialize)]
struct Subscription {
    topic: String,
    qos: u8,
}

impl Event {
    async fn read(request: Request, hooks: &Hooks) -> Judged<Self> {
        let body = read(request, hooks, LONGEST).await?;
        // What counts and comes twice is unreadable.
        serde_json::from_slice(&body).map_err(|_| unreadable("not a hook's JSON"))
    }

    fn login(&self, peer: IpAddr) -> Login<'_> {
        Login {
            username: self.username.as_deref().unwrap_or_default(),
            password: self.password.as_deref().unwrap_or_default(),
            client_id: self.client_id.as_deref().unwrap_or_default(),
            source: self.peer_addr.as_deref().and_then(ip).unwrap_or(peer),
            broker: peer,
        }
    }
}

async fn hook(State(hooks): State<Hooks>, request: Request) -> Response {
    let name = request.headers().get("vernemq-hook").and_then(|name| name.to_str().ok());
    let name = name.unwrap_or_default().to_owned();
    let peer = peer(&request);
    // Those of MQTT 5 are the same questions.
    let (name, five) = name.strip_suffix("_m5").map_or((name.as_str(), false), |name| (name, true));
    let question = match name {
        "auth_on_register" => Question::Connect,
        "auth_on_publish" | "auth_on_subscribe" => Question::Topic,
        _ => return refused(),
    };
    let judging = async {
        let event = Event::read(request, &hooks).await?;
        match name {
            "auth_on_register" => hooks.connect(event.login(peer), Naming::Needed).await.map(|_| yes()),
            "auth_on_publish" => publish(&hooks, &event, peer).await,
            _ => subscribe(&hooks, event, peer, five).await,
        }
    };
    match hooks.settle(Broker::Vernemq, question, judging).await {
        Ok(answer) => Json(answer).into_response(),
        Err(_) => refused(),
    }
}

fn yes() -> Value {
    json!({"result": "ok"})
}

fn refused() -> Response {
    Json(json!({"result": {"error": "not_allowed"}})).into_response()
}

async fn publish(hooks: &Hooks, event: &Event, peer: IpAddr) -> Judged<Value> {
    let party = hooks.party(event.login(peer)).await?;
    hooks.authorize(&party, &[Act::Publish(&event.topic)]).await?;
    Ok(yes())
}

/// What is not allowed is taken out of the list by its `qos`; if nothing is, all of it is refused.
async fn subscribe(hooks: &Hooks, mut event: Event, peer: IpAddr, five: bool) -> Judged<Value> {
    let party = hooks.party(event.login(peer)).await?;
    let acts: Vec<_> = event.topics.iter().map(|asked| Act::Subscribe(&asked.topic)).collect();
    let allowed = hooks.weigh(&party, &acts).await?;
    for (subscription, _) in event.topics.iter_mut().zip(&allowed).filter(|(_, allowed)| !**allowed) {
        subscription.qos = if five { 135 } else { 128 };
    }
    let topics = event.topics;
    match allowed.iter().filter(|allowed| !**allowed).count() {
        refused if refused == allowed.len() => Err(Denied::Refused),
        0 => Ok(yes()),
        _ if five => Ok(json!({"result": "ok", "modifiers": {"topics": topics}})),
        _ => Ok(json!({"result": "ok", "topics": topics})),
    }
}

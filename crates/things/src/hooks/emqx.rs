//! EMQX 5: HTTP authentication, with the whole list of topics in the answer, and HTTP authorization.
//!
//! A refusal is 200 with `deny`: any status from 400 on is `ignore` to EMQX, which then asks whoever is
//! next in its chain.

use axum::{
    Json, Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::post,
};
use registry::{
    credentials::{Device, Party},
    topics::{Acl, Act, Filter},
};
use serde::Serialize;
use serde_json::json;

use super::{Denied, Hooks, Judged, Login, Naming, asked::Asked};
use crate::telemetry::hooks::{Broker, Question};

pub(super) fn routes() -> Router<Hooks> {
    Router::new().route("/emqx/authn", post(authenticate)).route("/emqx/authz", post(authorize))
}

/// A rule of EMQX's access control lists, which RMQTT has taken over.
#[derive(Serialize)]
pub(super) struct Rule {
    permission: &'static str,
    action: &'static str,
    topic: String,
}

#[derive(Serialize)]
struct Answer {
    result: &'static str,
    is_superuser: bool,
    client_attrs: Attributes,
    acl: Vec<Rule>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expire_at: Option<i64>,
}

/// What EMQX can put into later questions and into its own rules.
#[derive(Serialize)]
struct Attributes {
    thing: String,
    group: String,
    org: String,
    profile: String,
}

/// The first rule that fits decides. What fits none is asked about at `/emqx/authz`: commands to other
/// things, of which there may be any number.
pub(super) fn rules(acl: &Acl) -> Vec<Rule> {
    let allow = |action| {
        move |filter: &Filter| Rule { permission: "allow", action, topic: filter.as_str().to_owned() }
    };
    let rest = if acl.commands_others { "subscribe" } else { "all" };
    let allowed =
        acl.publish.iter().map(allow("publish")).chain(acl.subscribe.iter().map(allow("subscribe")));
    allowed.chain([Rule { permission: "deny", action: rest, topic: "#".to_owned() }]).collect()
}

/// When a session has to end, in seconds: only if its key expires.
pub(super) fn expire_at(device: &Device) -> Option<i64> {
    device.expires_at.map(|at| at.millis() / 1000)
}

/// No.
pub(super) fn denied() -> Response {
    Json(json!({"result": "deny"})).into_response()
}

async fn authenticate(State(hooks): State<Hooks>, request: Request) -> Response {
    let judging = async {
        let asked = Asked::read(request, &hooks).await?;
        hooks.connect(asked.login(), Naming::Optional).await
    };
    let Ok(device) = hooks.settle(Broker::Emqx, Question::Connect, judging).await else { return denied() };
    let (expire_at, party) = (expire_at(&device), Party::from(device));
    let acl = rules(&hooks.app.options.topics.acl(&party));
    let client_attrs = Attributes {
        thing: party.thing.to_string(),
        group: party.place.group.to_string(),
        org: party.place.org.to_string(),
        profile: party.place.profile.to_string(),
    };
    Json(Answer { result: "allow", is_superuser: false, client_attrs, acl, expire_at }).into_response()
}

async fn authorize(State(hooks): State<Hooks>, request: Request) -> Response {
    match hooks.settle(Broker::Emqx, Question::Topic, judge(&hooks, request)).await {
        Ok(()) => Json(json!({"result": "allow"})).into_response(),
        Err(_) => denied(),
    }
}

async fn judge(hooks: &Hooks, request: Request) -> Judged<()> {
    let asked = Asked::read(request, hooks).await?;
    let topic = asked.get("topic");
    let act = match asked.get("action") {
        "publish" => Act::Publish(topic),
        "subscribe" => Act::Subscribe(topic),
        _ => return Err(Denied::Refused),
    };
    // The attribute that the connection was given tells more surely than a user name that may be a
    // kind of key. EMQX writes one that is not set as an empty text or as `undefined`.
    let thing = asked.get("thing");
    let username = if matches!(thing, "" | "undefined") { asked.get("username") } else { thing };
    let party = hooks.party(Login { username, password: "", ..asked.login() }).await?;
    hooks.authorize(&party, &[act]).await
}

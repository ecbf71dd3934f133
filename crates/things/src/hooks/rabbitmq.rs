//! RabbitMQ: its HTTP backend, for devices that come by its MQTT plugin.
//!
//! There a topic is a routing key on `amq.topic` and a subscription a queue named for the client id. By
//! AMQP the same rules hold, so that a device may publish, and nothing else.

use axum::{
    Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::post,
};
use registry::topics::Act;

use super::{Denied, Hooks, Judged, Login, Naming, asked::Asked};
use crate::telemetry::hooks::{Broker, Question};

/// The exchange that the MQTT plugin uses unless it is told otherwise.
const EXCHANGE: &str = "amq.topic";

pub(super) fn routes() -> Router<Hooks> {
    Router::new()
        .route("/rabbitmq/user", post(user))
        .route("/rabbitmq/vhost", post(vhost))
        .route("/rabbitmq/resource", post(resource))
        .route("/rabbitmq/topic", post(topic))
}

fn answer(judged: &Judged<()>) -> Response {
    if judged.is_ok() { "allow" } else { "deny" }.into_response()
}

async fn user(State(hooks): State<Hooks>, request: Request) -> Response {
    let judging = async {
        let asked = Asked::read(request, &hooks).await?;
        // Without a password it would be somebody whom RabbitMQ knows by other means.
        hooks.connect(asked.login(), Naming::Needed).await.map(drop)
    };
    answer(&hooks.settle(Broker::Rabbitmq, Question::Connect, judging).await)
}

async fn vhost(State(hooks): State<Hooks>, request: Request) -> Response {
    let judging = async { known(&hooks, &Asked::read(request, &hooks).await?).await.map(drop) };
    answer(&hooks.settle(Broker::Rabbitmq, Question::Topic, judging).await)
}

async fn resource(State(hooks): State<Hooks>, request: Request) -> Response {
    let judging = async { judge_resource(&hooks, &Asked::read(request, &hooks).await?).await };
    answer(&hooks.settle(Broker::Rabbitmq, Question::Topic, judging).await)
}

async fn topic(State(hooks): State<Hooks>, request: Request) -> Response {
    let judging = async { judge_topic(&hooks, &Asked::read(request, &hooks).await?).await };
    answer(&hooks.settle(Broker::Rabbitmq, Question::Topic, judging).await)
}

async fn known(hooks: &Hooks, asked: &Asked) -> Judged<registry::credentials::Party> {
    hooks.party(Login { password: "", ..asked.login() }).await
}

async fn judge_resource(hooks: &Hooks, asked: &Asked) -> Judged<()> {
    let party = known(hooks, asked).await?;
    let allowed = match (asked.get("resource"), asked.get("permission")) {
        ("exchange", "read" | "write") => asked.get("name") == EXCHANGE,
        ("queue", "configure" | "read" | "write") => {
            let client_id = asked.get("client_id");
            hooks.client_id_is_free(client_id, party.thing).await?;
            is_queue_of(asked.get("name"), client_id)
        }
        _ => false,
    };
    if allowed { Ok(()) } else { Err(Denied::Refused) }
}

/// The MQTT plugin's queues of a client.
fn is_queue_of(queue: &str, client_id: &str) -> bool {
    let subscription = queue.strip_prefix("mqtt-subscription-").and_then(|rest| rest.strip_prefix(client_id));
    let will = queue.strip_prefix("mqtt-will-");
    !client_id.is_empty() && (matches!(subscription, Some("qos0" | "qos1")) || will == Some(client_id))
}

async fn judge_topic(hooks: &Hooks, asked: &Asked) -> Judged<()> {
    let party = known(hooks, asked).await?;
    if asked.get("name") != EXCHANGE {
        return Err(Denied::Refused);
    }
    let topic = as_mqtt(asked.get("routing_key"));
    let act = match asked.get("permission") {
        "write" => Act::Publish(&topic),
        "read" => Act::Subscribe(&topic),
        _ => return Err(Denied::Refused),
    };
    hooks.authorize(&party, &[act]).await
}

/// The MQTT plugin writes `/` as `.` and `+` as `*`; a `.` or `*` that a device has written is the same to
/// RabbitMQ, and so it is here.
fn as_mqtt(routing_key: &str) -> String {
    routing_key.replace('.', "/").replace('*', "+")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routing_keys_are_topics() {
        assert_eq!(as_mqtt("things.a.messages.*.x.#"), "things/a/messages/+/x/#");
    }

    #[test]
    fn queues_belong_to_one_client_id() {
        assert!(is_queue_of("mqtt-subscription-aqos0", "a"));
        assert!(is_queue_of("mqtt-subscription-aqos1", "a"));
        assert!(is_queue_of("mqtt-will-a", "a"));
        for queue in ["mqtt-subscription-abqos0", "mqtt-subscription-aqos0qos1", "a", "mqtt-will-ab", ""] {
            assert!(!is_queue_of(queue, "a"), "{queue}");
        }
        assert!(!is_queue_of("mqtt-subscription-qos0", ""));
    }
}

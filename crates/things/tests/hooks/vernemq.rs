//! VerneMQ's webhooks, of MQTT 3 and 5.

use serde_json::{Value, json};

use crate::{
    app::{Engine, Send, engines},
    scene::{QUESTIONS, Scene, Thing},
};

async fn hook(scene: &Scene, name: &str, body: Value) -> Value {
    let request = scene.client().post(format!("{}/hooks/vernemq", scene.hooks)).header("vernemq-hook", name);
    let answer = request.json(&body).reply().await;
    assert_eq!(answer.header("cache-control"), "");
    answer.expect(200)
}

fn refused() -> Value {
    json!({"result": {"error": "not_allowed"}})
}

fn register(username: &str, password: &str) -> Value {
    json!({
        "peer_addr": "127.0.0.1", "peer_port": 8888, "username": username, "password": password,
        "mountpoint": "", "client_id": "clientid", "clean_session": false,
    })
}

#[tokio::test]
async fn registering_needs_the_key_and_the_id() {
    for engine in engines() {
        let scene = Scene::new(engine).await;
        let Thing { id, key } = &scene.sensor;
        for name in ["auth_on_register", "auth_on_register_m5"] {
            assert_eq!(hook(&scene, name, register(id, key)).await, json!({"result": "ok"}));
            assert_eq!(hook(&scene, name, register("username", key)).await, refused());
            assert_eq!(hook(&scene, name, register(id, "password")).await, refused());
            let anonymous = json!({"username": null, "password": null, "client_id": "c", "mountpoint": ""});
            assert_eq!(hook(&scene, name, anonymous).await, refused());
        }
        for other in ["on_register", "on_deliver", ""] {
            assert_eq!(hook(&scene, other, register(id, key)).await, refused());
        }
        scene.rotate(&scene.sensor).await;
        assert_eq!(hook(&scene, "auth_on_register", register(id, key)).await, refused());
    }
}

#[tokio::test]
async fn messages_and_subscriptions_are_judged() {
    for engine in engines() {
        let scene = Scene::new(engine).await;
        for (who, action, topic, allowed) in QUESTIONS {
            let (id, topic) = (&scene.named(who).id, scene.topic(topic));
            let body = match *action {
                "publish" => json!({
                    "username": id, "client_id": "clientid", "mountpoint": "", "qos": 1, "topic": topic,
                    "payload": "aGVsbG8=", "retain": false,
                }),
                _ => json!({
                    "client_id": "clientid", "mountpoint": "", "username": id,
                    "topics": [{"topic": topic, "qos": 1}],
                }),
            };
            for version in ["", "_m5"] {
                let answer = hook(&scene, &format!("auth_on_{action}{version}"), body.clone()).await;
                let wanted = if *allowed { json!({"result": "ok"}) } else { refused() };
                assert_eq!(answer, wanted, "{who} {action} {topic}");
            }
        }
        let (own, others) =
            (scene.topic("things/{sensor}/commands"), scene.topic("things/{device}/commands"));
        let body = json!({
            "username": scene.sensor.id, "client_id": "c", "mountpoint": "",
            "topics": [{"topic": own, "qos": 1}, {"topic": others, "qos": 2}],
        });
        let topics = |no| json!([{"topic": own, "qos": 1}, {"topic": others, "qos": no}]);
        assert_eq!(
            hook(&scene, "auth_on_subscribe", body.clone()).await,
            json!({"result": "ok", "topics": topics(128)})
        );
        assert_eq!(
            hook(&scene, "auth_on_subscribe_m5", body).await,
            json!({"result": "ok", "modifiers": {"topics": topics(135)}})
        );
    }
}

/// What one question may ask has an end, and to put together what the thing may do is done once for it.
#[tokio::test]
async fn a_subscription_names_two_hundred_filters_at_most() {
    let scene = Scene::new(Engine::Sqlite).await;
    let lists: Vec<String> = (0..50).map(|n| format!("a/{n}/+")).collect();
    let profile = json!({"name": "mqtt", "config": {"topics": {"publish": lists, "subscribe": lists}}});
    scene.root.put(&format!("/profiles/{}", scene.profile), &profile).await.expect(200);
    let topics = |many: usize| -> Vec<String> {
        (0..many).map(|n| scene.topic(&format!("things/{{sensor}}/messages/a/49/{n}"))).collect()
    };
    for (many, allowed) in [(200, true), (201, false), (20_000, false)] {
        let subscriptions: Vec<_> =
            topics(many).iter().map(|topic| json!({"topic": topic, "qos": 1})).collect();
        let body = json!({"username": scene.sensor.id, "client_id": "c", "topics": subscriptions});
        // What is longer than a question may be cannot be read at all.
        let wanted = if allowed { json!({"result": "ok"}) } else { refused() };
        for version in ["", "_m5"] {
            let answer = hook(&scene, &format!("auth_on_subscribe{version}"), body.clone()).await;
            assert_eq!(answer, wanted, "{many}");
        }
        let body = json!({"username": scene.sensor.id, "access": "1", "topic": topics(many).join(",")});
        let status = scene.json("/hooks/nanomq/acl", &body).await.status;
        assert_eq!(status, if allowed { 200 } else { 403 }, "{many}");
    }
}

//! RabbitMQ's four paths, as its MQTT plugin makes it ask.

use crate::{
    app::engines,
    scene::{QUESTIONS, Scene, Thing},
};

async fn user(scene: &Scene, username: &str, password: &str) -> String {
    let form = [("username", username), ("vhost", "/"), ("client_id", "c-1"), ("password", password)];
    let answer = scene.form("/hooks/rabbitmq/user", &form).await;
    assert_eq!(answer.status, 200);
    answer.text
}

#[tokio::test]
async fn a_device_logs_in_under_its_id_until_its_key_is_replaced() {
    for engine in engines() {
        let scene = Scene::new(engine).await;
        let Thing { id, key } = &scene.sensor;
        assert_eq!(user(&scene, id, key).await, "allow");
        assert_eq!(
            user(&scene, &format!("external:{id}"), &format!("SN-{}-sensor", scene.profile)).await,
            "allow"
        );
        for (username, password) in [
            ("internal", key.as_str()),
            ("", key),
            (&scene.device.id, key),
            (id, ""),
            (id, "wrong"),
            ("guest", "guest"),
        ] {
            assert_eq!(user(&scene, username, password).await, "deny", "{username} {password}");
        }
        let new = scene.rotate(&scene.sensor).await;
        assert_eq!(user(&scene, id, key).await, "deny");
        assert_eq!(user(&scene, id, &new.key).await, "allow");
        scene.disable(&scene.device).await;
        assert_eq!(user(&scene, &scene.device.id, &scene.device.key).await, "deny");
        // A key in an address would be in logs.
        let query = format!("{}/hooks/rabbitmq/user?username={id}&password={}", scene.hooks, new.key);
        assert_eq!(scene.client().get(query).send().await.unwrap().status(), 405);
    }
}

#[tokio::test]
async fn the_plugins_exchange_and_ones_own_queues_are_all_there_is() {
    for engine in engines() {
        let scene = Scene::new(engine).await;
        let id = scene.sensor.id.as_str();
        let vhost = |username: &'static str| [("username", username), ("vhost", "/"), ("ip", "203.0.113.9")];
        assert_eq!(scene.form("/hooks/rabbitmq/vhost", &vhost("guest")).await.text, "deny");
        let form = [("username", id), ("vhost", "/"), ("ip", "203.0.113.9"), ("tags", "")];
        assert_eq!(scene.form("/hooks/rabbitmq/vhost", &form).await.text, "allow");
        let others = scene.device.id.as_str();
        let others_queue = format!("mqtt-subscription-{others}qos1");
        for (resource, name, permission, client_id, allowed) in [
            ("exchange", "amq.topic", "write", "c-1", true),
            ("exchange", "amq.topic", "read", "c-1", true),
            ("exchange", "amq.topic", "configure", "c-1", false),
            ("exchange", "", "write", "c-1", false),
            ("exchange", "amq.direct", "write", "c-1", false),
            ("queue", "mqtt-subscription-c-1qos1", "configure", "c-1", true),
            ("queue", "mqtt-subscription-c-1qos0", "read", "c-1", true),
            ("queue", "mqtt-subscription-c-1qos1", "write", "c-1", true),
            ("queue", "mqtt-subscription-c-2qos1", "read", "c-1", false),
            ("queue", "jobs", "read", "c-1", false),
            ("queue", "mqtt-subscription-qos1", "read", "", false),
            ("queue", &others_queue, "read", others, false),
            ("topic", "amq.topic", "write", "c-1", false),
        ] {
            let form = [
                ("username", id),
                ("vhost", "/"),
                ("resource", resource),
                ("name", name),
                ("permission", permission),
                ("tags", ""),
                ("client_id", client_id),
            ];
            let answer = scene.form("/hooks/rabbitmq/resource", &form).await;
            let wanted = if allowed { "allow" } else { "deny" };
            assert_eq!((answer.status, answer.text.as_str()), (200, wanted), "{form:?}");
        }
    }
}

#[tokio::test]
async fn routing_keys_are_judged_as_topics() {
    for engine in engines() {
        let scene = Scene::new(engine).await;
        let ask = async |username: &str, name: &str, permission: &str, key: &str| {
            let form = [
                ("username", username),
                ("vhost", "/"),
                ("resource", "topic"),
                ("name", name),
                ("permission", permission),
                ("tags", ""),
                ("routing_key", key),
                ("variable_map.client_id", "c-1"),
                ("variable_map.username", username),
                ("variable_map.vhost", "/"),
            ];
            scene.form("/hooks/rabbitmq/topic", &form).await.text
        };
        for (who, action, topic, allowed) in QUESTIONS {
            let key = scene.topic(topic).replace('/', ".").replace('+', "*");
            let permission = if *action == "publish" { "write" } else { "read" };
            let answer = ask(&scene.named(who).id, "amq.topic", permission, &key).await;
            assert_eq!(answer, if *allowed { "allow" } else { "deny" }, "{who} {action} {topic}");
            assert_eq!(ask(&scene.named(who).id, "amq.direct", permission, &key).await, "deny");
        }
        // To AMQP `#` in the middle is any number of words, to MQTT it is nothing.
        let (id, own) = (&scene.sensor.id, scene.topic("things.{sensor}.messages"));
        assert_eq!(ask(id, "amq.topic", "read", &format!("{own}.#.x")).await, "deny");
        assert_eq!(ask(id, "amq.topic", "read", "things.*.messages").await, "deny");
        // A star within a word is none; a device cannot write one into a topic either.
        assert_eq!(ask(id, "amq.topic", "write", &format!("{own}.a*")).await, "deny");
        assert_eq!(ask(id, "amq.topic", "configure", &own).await, "deny");
    }
}

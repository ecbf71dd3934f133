//! NanoMQ: JSON as it should be asked for, and its forms, which it does not escape.

use serde_json::json;

use crate::{
    app::engines,
    scene::{QUESTIONS, Scene},
};

#[tokio::test]
async fn nanomq_is_answered_by_status() {
    for engine in engines() {
        let scene = Scene::new(engine).await;
        let sensor = &scene.sensor;
        let login =
            json!({"clientid": "c", "username": "internal", "password": sensor.key, "ipaddr": "203.0.113.9"});
        assert_eq!(scene.json("/hooks/nanomq/auth", &login).await.status, 200);
        let form = format!("clientid=c&username={}&password={}", sensor.id, sensor.key);
        assert_eq!(scene.raw_form("/hooks/nanomq/auth", form.clone()).await.status, 200);
        assert_eq!(scene.raw_form("/hooks/nanomq/super", form.clone()).await.status, 403);
        for (who, action, topic, allowed) in QUESTIONS {
            let (access, thing) = (if *action == "publish" { "2" } else { "1" }, scene.named(who));
            let (topic, status) = (scene.topic(topic), if *allowed { 200 } else { 403 });
            // With the key it does not matter what the user name is.
            let by_key = json!({
                "clientid": "c", "username": "internal", "password": thing.key, "access": access,
                "ipaddr": "203.0.113.9", "topic": topic,
            });
            assert_eq!(
                scene.json("/hooks/nanomq/acl", &by_key).await.status,
                status,
                "{who} {action} {topic}"
            );
            if !topic.contains('+') {
                let form = format!(
                    "clientid=c&username={}&access={access}&ipaddr=203.0.113.9&topic={topic}",
                    thing.id
                );
                assert_eq!(scene.raw_form("/hooks/nanomq/acl", form).await.status, status, "{topic}");
            }
        }
        let (own, others) = ("things/{sensor}/commands/#", "things/{device}/commands/#");
        for (topics, status) in [
            (format!("{own},things/{{sensor}}/messages"), 200),
            (format!("{own},{others}"), 403),
            (format!("{others},{own}"), 403),
            (format!("{own},"), 403),
        ] {
            let body = json!({"username": sensor.id, "access": "1", "topic": scene.topic(&topics)});
            assert_eq!(scene.json("/hooks/nanomq/acl", &body).await.status, status, "{topics}");
        }
        // A device that writes another's name into its client id, for NanoMQ to pass on.
        let injected = format!(
            "clientid=c&username={}&username=x&access=2&topic={}",
            scene.device.id,
            scene.topic("things/{device}/messages")
        );
        assert_eq!(scene.raw_form("/hooks/nanomq/acl", injected).await.status, 403);
        scene.rotate(sensor).await;
        assert_eq!(scene.raw_form("/hooks/nanomq/auth", form).await.status, 403);
        let by_old_key = json!({
            "username": sensor.id, "password": sensor.key, "access": "2",
            "topic": scene.topic("things/{sensor}/messages"),
        });
        assert_eq!(scene.json("/hooks/nanomq/acl", &by_old_key).await.status, 403);
    }
}

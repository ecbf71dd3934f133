//! mosquitto-go-auth's HTTP backend: both ways to ask, all ways to be answered.

use serde_json::{Value, json};

use crate::{
    app::engines,
    scene::{QUESTIONS, Scene, Thing},
};

#[tokio::test]
async fn users_are_checked_in_every_mode() {
    for engine in engines() {
        let scene = Scene::new(engine).await;
        let Thing { id, key } = scene.sensor.clone();
        let json = json!({"username": id, "password": key, "clientid": "c"});
        let form = [("clientid", "c"), ("password", key.as_str()), ("username", &id)];
        let yes = json!({"ok": true, "error": ""});
        assert_eq!(scene.json("/hooks/mosquitto/user", &json).await.expect(200), yes);
        assert_eq!(scene.form("/hooks/mosquitto/user", &form).await.expect(200), yes);
        let text = scene.form("/hooks/mosquitto/user?response=text", &form).await;
        assert_eq!((text.status, text.text.as_str()), (200, "ok"));
        let no = |reply: crate::app::Reply| {
            assert_eq!(reply.expect(403), json!({"ok": false, "error": "not authorized"}));
        };
        no(scene.json("/hooks/mosquitto/superuser", &json!({"username": id})).await);
        // Topics are asked about by user name alone, which therefore has to be the id.
        no(scene.json("/hooks/mosquitto/user", &json!({"username": "internal", "password": key})).await);
        // Another thing's id as client id would take over its session.
        let other = scene.device.id.as_str();
        for client_id in [other, &format!("{other}-2")] {
            no(scene
                .form(
                    "/hooks/mosquitto/user",
                    &[("clientid", client_id), ("password", &key), ("username", &id)],
                )
                .await);
        }
        for client_id in [id.as_str(), &format!("{id}-2"), "01975c1e-7c35-7000-8000-0123456789ab", ""] {
            let form = [("clientid", client_id), ("password", key.as_str()), ("username", &id)];
            assert_eq!(scene.form("/hooks/mosquitto/user", &form).await.status, 200, "{client_id}");
        }
        scene.rotate(&scene.sensor).await;
        no(scene.json("/hooks/mosquitto/user", &json).await);
        no(scene.form("/hooks/mosquitto/user", &form).await);
    }
}

#[tokio::test]
async fn access_is_a_number_in_json_and_in_forms() {
    for engine in engines() {
        let scene = Scene::new(engine).await;
        for (who, action, topic, allowed) in QUESTIONS {
            let (acc, id) = (if *action == "publish" { 2 } else { 4 }, &scene.named(who).id);
            let (topic, status) = (scene.topic(topic), if *allowed { 200 } else { 403 });
            let json = json!({"username": id, "clientid": "c", "topic": topic, "acc": acc});
            assert_eq!(
                scene.json("/hooks/mosquitto/acl", &json).await.status,
                status,
                "{who} {action} {topic}"
            );
            let acc = acc.to_string();
            let form = [("username", id.as_str()), ("clientid", "c"), ("topic", &topic), ("acc", &acc)];
            assert_eq!(
                scene.form("/hooks/mosquitto/acl", &form).await.status,
                status,
                "{who} {action} {topic}"
            );
        }
        let ask = async |acc: Value, topic: &str| {
            let body = json!({"username": scene.sensor.id, "clientid": "c", "topic": scene.topic(topic), "acc": acc});
            scene.json("/hooks/mosquitto/acl", &body).await.status
        };
        // To read is to get a message of a topic; 3 is to read and write.
        assert_eq!(ask(json!(1), "things/{sensor}/commands/on").await, 200);
        assert_eq!(ask(json!(1), "things/{device}/commands/on").await, 403);
        assert_eq!(ask(json!(3), "things/{sensor}/messages").await, 200);
        assert_eq!(ask(json!(3), "things/{sensor}/commands").await, 403);
        for acc in [json!(0), json!(5), json!("x"), json!(null)] {
            assert_eq!(ask(acc, "things/{sensor}/messages").await, 403);
        }
    }
}

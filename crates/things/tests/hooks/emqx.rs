//! EMQX, and RMQTT, which has taken over its lists.

use serde_json::{Value, json};

use crate::{
    app::engines,
    scene::{QUESTIONS, Scene},
};

fn login(username: &str, password: &str) -> Value {
    json!({"clientid": "emqx_c", "username": username, "password": password, "peerhost": "203.0.113.9"})
}

#[tokio::test]
async fn a_connection_gets_its_whole_list_at_once() {
    for engine in engines() {
        let scene = Scene::new(engine).await;
        let answer = scene.json("/hooks/emqx/authn", &login("internal", &scene.sensor.key)).await;
        assert_eq!(answer.header("content-type"), "application/json");
        let answer = answer.expect(200);
        let rule = |permission: &str, action: &str, topic: &str| json!({"permission": permission, "action": action, "topic": scene.topic(topic)});
        assert_eq!(
            answer,
            json!({
                "result": "allow",
                "is_superuser": false,
                "client_attrs": {
                    "thing": scene.sensor.id,
                    "group": scene.group,
                    "org": answer["client_attrs"]["org"],
                    "profile": scene.profile,
                },
                "acl": [
                    rule("allow", "publish", "things/{sensor}/messages/#"),
                    rule("allow", "subscribe", "things/{sensor}/messages/#"),
                    rule("allow", "subscribe", "things/{sensor}/commands/#"),
                    rule("allow", "subscribe", "groups/{group}/commands/#"),
                    rule("deny", "all", "#"),
                ],
            })
        );
        // What a controller may command is asked about one by one.
        let answer =
            scene.json("/hooks/emqx/authn", &login(&scene.controller.id, &scene.controller.key)).await;
        let acl = answer.expect(200)["acl"].clone();
        assert_eq!(acl[5], rule("deny", "subscribe", "#"));
        assert_eq!(acl[1], rule("allow", "publish", "groups/{group}/commands/#"));
    }
}

#[tokio::test]
async fn a_refusal_is_200_and_says_nothing_more() {
    for engine in engines() {
        let scene = Scene::new(engine).await;
        let (sensor, device) = (&scene.sensor, &scene.device);
        let external = format!("SN-{}-sensor", scene.profile);
        for (username, password, allowed) in [
            (sensor.id.as_str(), sensor.key.as_str(), true),
            ("", &sensor.key, true),
            ("whatever", &sensor.key, true),
            ("external", &external, true),
            (&format!("external:{}", sensor.id), &external, true),
            ("external", &sensor.key, false),
            ("internal", &external, false),
            (&format!("external:{}", device.id), &external, false),
            (&device.id, &sensor.key, false),
            (&sensor.id, "", false),
            (&sensor.id, "thk_000000000000000000000000000000000000000000000000", false),
            (&sensor.id, "a key that nobody has", false),
        ] {
            let answer = scene.json("/hooks/emqx/authn", &login(username, password)).await;
            assert_eq!(answer.status, 200);
            if allowed {
                assert_eq!(answer.json()["result"], "allow", "{username} {password}");
            } else {
                assert_eq!(answer.text, r#"{"result":"deny"}"#, "{username} {password}");
            }
        }
        for garbage in ["", "{", "[]", "null", r#"{"username":{}}"#] {
            for path in ["/hooks/emqx/authn", "/hooks/emqx/authz"] {
                let request = scene.client().post(format!("{}{path}", scene.hooks));
                let request = request.header("content-type", "application/json").body(garbage);
                let answer = crate::app::Send::reply(request).await;
                assert_eq!((answer.status, answer.text.as_str()), (200, r#"{"result":"deny"}"#), "{garbage}");
            }
        }
    }
}

#[tokio::test]
async fn a_session_ends_with_its_key_only_if_that_ends() {
    for engine in engines() {
        let scene = Scene::new(engine).await;
        let old = login("internal", &scene.sensor.key);
        assert!(scene.json("/hooks/emqx/authn", &old).await.expect(200).get("expire_at").is_none());
        let rotate = format!("/things/{}/key/rotate", scene.sensor.id);
        let made = scene.root.post(&rotate, &json!({"overlap": 86400})).await.expect(201);
        let new = login("internal", made["key"].as_str().unwrap());
        assert!(scene.json("/hooks/emqx/authn", &new).await.expect(200).get("expire_at").is_none());
        // Twice: read from the database, and from memory.
        for _ in 0..2 {
            let answer = scene.json("/hooks/emqx/authn", &old).await.expect(200);
            assert_eq!(answer["expire_at"], crate::app::START.millis() / 1000 + 86400);
        }
        scene.root.post(&rotate, &json!({"overlap": 0})).await.expect(201);
        for gone in [&old, &new] {
            assert_eq!(scene.json("/hooks/emqx/authn", gone).await.text, r#"{"result":"deny"}"#);
        }
    }
}

#[tokio::test]
async fn topics_are_judged_by_attribute_or_user_name() {
    for engine in engines() {
        let scene = Scene::new(engine).await;
        let ask = async |who: Value, action: &str, topic: &str| {
            let mut body = json!({
                "username": "internal", "topic": scene.topic(topic), "action": action,
                "peerhost": "203.0.113.9", "clientid": "c", "qos": 1, "retain": false,
            });
            body.as_object_mut().unwrap().extend(who.as_object().unwrap().clone());
            let answer = scene.json("/hooks/emqx/authz", &body).await;
            answer.expect(200)["result"].as_str().unwrap().to_owned()
        };
        for (who, action, topic, allowed) in QUESTIONS {
            let expected = if *allowed { "allow" } else { "deny" };
            let id = &scene.named(who).id;
            assert_eq!(ask(json!({"thing": id}), action, topic).await, expected, "{who} {action} {topic}");
            let by_name = json!({"thing": "undefined", "username": id});
            assert_eq!(ask(by_name, action, topic).await, expected, "{who} {action} {topic}");
            assert_eq!(ask(json!({}), action, topic).await, "deny");
        }
        let own = "things/{sensor}/messages";
        assert_eq!(ask(json!({"thing": scene.sensor.id}), "all", own).await, "deny");
        scene.disable(&scene.sensor).await;
        assert_eq!(ask(json!({"thing": scene.sensor.id}), "publish", own).await, "deny");
    }
}

#[tokio::test]
async fn a_profile_narrows_its_things() {
    for engine in engines() {
        let scene = Scene::new(engine).await;
        let body =
            json!({"name": "narrow", "config": {"topics": {"publish": ["telemetry/+"], "subscribe": []}}});
        scene.root.put(&format!("/profiles/{}", scene.profile), &body).await.expect(200);
        let answer = scene.json("/hooks/emqx/authn", &login("internal", &scene.sensor.key)).await.expect(200);
        assert_eq!(answer["acl"][0]["topic"], scene.topic("things/{sensor}/messages/telemetry/+"));
        assert_eq!(answer["acl"][1]["topic"], scene.topic("things/{sensor}/commands/#"));
        let wrong = json!({"name": "x", "config": {"topics": {"publish": ["a#"]}}});
        let refused = scene.root.put(&format!("/profiles/{}", scene.profile), &wrong).await;
        assert!(refused.expect(400)["errors"]["config.topics.publish"].is_string());
    }
}

#[tokio::test]
async fn rmqtt_is_answered_in_its_words() {
    for engine in engines() {
        let scene = Scene::new(engine).await;
        let sensor = &scene.sensor;
        let form = [("clientid", "c"), ("username", &sensor.id), ("password", &sensor.key)];
        let answer = scene.form("/hooks/rmqtt/auth", &form).await;
        assert_eq!(answer.header("content-type"), "application/json");
        let answer = answer.expect(200);
        assert_eq!((&answer["result"], &answer["superuser"]), (&json!("allow"), &json!(false)));
        assert_eq!(answer["acl"][0]["topic"], scene.topic("things/{sensor}/messages/#"));
        for (who, action, topic, allowed) in QUESTIONS {
            let (access, id) = (if *action == "publish" { "2" } else { "1" }, &scene.named(who).id);
            let topic = scene.topic(topic);
            let form = [
                ("access", access),
                ("username", id),
                ("clientid", "c"),
                ("ipaddr", "203.0.113.9"),
                ("topic", &topic),
            ];
            let answer = scene.form("/hooks/rmqtt/acl", &form).await;
            assert_eq!(answer.status, 200);
            assert_eq!(answer.text, if *allowed { "allow" } else { "deny" }, "{who} {action} {topic}");
            assert_eq!(answer.header("x-cache"), "");
        }
        let new = scene.rotate(sensor).await;
        let old = json!({"clientid": "c", "username": sensor.id, "password": sensor.key});
        assert_eq!(scene.json("/hooks/rmqtt/auth", &old).await.expect(200), json!({"result": "deny"}));
        let new = json!({"clientid": "c", "username": new.id, "password": new.key});
        assert_eq!(scene.json("/hooks/rmqtt/auth", &new).await.expect(200)["result"], "allow");
    }
}

//! Disabling things, when they were last seen and why they do not get in, over HTTP, on every engine.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where it cannot go on"
)]

#[path = "support/app.rs"]
mod app;

use std::time::Duration;

use app::{Client, Engine, Running, Send, engines, start};
use reqwest::Method;
use serde_json::{Value, json};

struct Scene {
    server: Running,
    root: Client,
    /// The thing's path.
    path: String,
    id: Value,
    key: String,
}

async fn scene(engine: Engine) -> Scene {
    let server = start(engine).await;
    let root = server.root().await;
    let org = server.org(&root).await;
    let id = |made: Value, noun: &str| made[noun][0]["id"].as_str().unwrap().to_owned();
    let made = root.post(&format!("/orgs/{org}/groups"), &json!([{ "name": "g" }])).await.expect(201);
    let profiles = format!("/groups/{}/profiles", id(made, "groups"));
    let made = root.post(&profiles, &json!([{ "name": "p" }])).await.expect(201);
    let things = format!("/profiles/{}/things", id(made, "profiles"));
    let made = root.post(&things, &json!([{ "name": "t", "external_key": "SN-1000" }])).await.expect(201);
    let thing = made["things"][0].clone();
    assert_eq!((&thing["status"], &thing["last_seen_at"]), (&json!("enabled"), &Value::Null));
    let path = format!("/things/{}", thing["id"].as_str().unwrap());
    Scene { server, root, path, id: thing["id"].clone(), key: thing["key"].as_str().unwrap().to_owned() }
}

impl Scene {
    async fn identify(&self, kind: &str, key: &str) -> u16 {
        self.server.anonymous.post("/identify", &json!({ "type": kind, "key": key })).await.status
    }

    async fn read(&self, path: &str) -> Value {
        self.server.registry.write_activity().await.unwrap();
        self.root.get(path).await.expect(200)
    }
}

#[tokio::test]
async fn a_disabled_thing_is_nobody_until_it_is_enabled_again() {
    for engine in engines() {
        let s = scene(engine).await;
        assert_eq!(
            (s.identify("internal", &s.key).await, s.identify("external", "SN-1000").await),
            (200, 200)
        );
        let shown = s.root.get(&s.path).await;
        let post = async |what: &str, tag: Option<&str>| {
            let mut request = s.root.request(Method::POST, &format!("{}/{what}", s.path));
            if let Some(tag) = tag {
                request = request.header("if-match", tag);
            }
            request.reply().await
        };
        let disabled = post("disable", Some(shown.header("etag"))).await;
        assert_eq!(disabled.expect(200)["status"], "disabled");
        assert_ne!(disabled.header("etag"), shown.header("etag"));
        assert_eq!(
            (s.identify("internal", &s.key).await, s.identify("external", "SN-1000").await),
            (404, 404)
        );
        let own = s.server.anonymous.request(Method::GET, "/metadata");
        let own = own.header("authorization", format!("Thing {}", s.key)).reply().await;
        assert_eq!(own.problem(401), "unauthenticated");
        assert_eq!(post("disable", None).await.expect(200)["status"], "disabled");
        assert_eq!(post("enable", Some(shown.header("etag"))).await.problem(412), "stale");
        for (query, total) in
            [("status=disabled", 1), ("status=enabled", 0), ("status=all", 1), ("status=&name=t", 1)]
        {
            assert_eq!(s.read(&format!("/things?{query}")).await["total"], total, "{query}");
        }
        let refused = s.root.get("/things?status=asleep").await;
        assert_eq!(refused.expect(400)["errors"]["status"], "must be one of all, enabled, disabled");

        // It is not a matter of PUT: what was read may come back, another status may not.
        let mut body = s.read(&s.path).await;
        body["last_seen_at"] = json!("2020-01-01T00:00:00.000Z");
        let same = s.root.put(&s.path, &body).await;
        assert_eq!(
            (same.expect(200)["status"].clone(), same.header("etag")),
            (json!("disabled"), disabled.header("etag"))
        );
        body["status"] = json!("enabled");
        let refused = s.root.put(&s.path, &body).await.expect(400);
        assert_eq!(refused["errors"]["status"], "is not yours to set; leave it out");

        assert_eq!(post("enable", None).await.expect(200)["status"], "enabled");
        assert_eq!(
            (s.identify("internal", &s.key).await, s.identify("external", "SN-1000").await),
            (200, 200)
        );
        let journal = s.read("/journal?action=thing.").await;
        let told =
            |at: usize| (journal["entries"][at]["action"].clone(), journal["entries"][at]["changes"].clone());
        let change = |before: &str, after: &str| json!({ "status": { "before": before, "after": after } });
        assert_eq!(told(0), (json!("thing.enabled"), change("disabled", "enabled")));
        assert_eq!(told(1), (json!("thing.disabled"), change("enabled", "disabled")));
    }
}

#[tokio::test]
async fn it_shows_when_a_thing_was_last_seen_and_why_not() {
    for engine in engines() {
        let s = scene(engine).await;
        assert_eq!(s.identify("internal", &s.key).await, 200);
        assert_eq!(s.read(&s.path).await["last_seen_at"], "2026-01-01T00:00:00.000Z");
        assert_eq!(s.read("/things").await["things"][0]["last_seen_at"], "2026-01-01T00:00:00.000Z");
        s.server.clock.advance(Duration::from_secs(3600));
        let rotated =
            s.root.post(&format!("{}/key/rotate", s.path), &json!({ "overlap": 60 })).await.expect(201);
        assert_eq!(
            s.read(&format!("{}/credentials", s.path)).await["credentials"],
            json!([
                { "kind": "key" },
                { "kind": "previous", "last_seen_at": "2026-01-01T00:00:00.000Z", "expires_at": "2026-01-01T01:01:00.000Z" },
                { "kind": "external" },
            ])
        );
        assert_eq!(s.identify("internal", rotated["key"].as_str().unwrap()).await, 200);
        s.server.clock.advance(Duration::from_secs(3600));
        for _ in 0..3 {
            assert_eq!(s.identify("internal", &s.key).await, 404);
        }
        let failed = format!("{}/failed-checks", s.path);
        let page = s.read(&failed).await;
        let check = &page["failed_checks"][0];
        assert_eq!(
            *check,
            json!({
                "id": check["id"],
                "at": "2026-01-01T02:00:00.000Z",
                "times": 3,
                "reason": "expired",
                "since": "2026-01-01T01:01:00.000Z",
                "type": "internal",
                "front": "http",
                "source": "127.0.0.1",
                "thing_id": s.id,
            })
        );
        assert_eq!(s.identify("internal", "thk_mistyped").await, 404);
        let all = s.read("/failed-checks?limit=1").await;
        assert_eq!((&all["total"], &all["failed_checks"][0]["reason"]), (&json!(2), &json!("checksum")));
        let next = format!("/failed-checks?limit=1&cursor={}", all["next"].as_str().unwrap());
        assert_eq!(s.read(&next).await["failed_checks"], json!([check]));
        for (query, total) in [
            ("reason=checksum", 1),
            ("reason=replaced", 0),
            ("since=2026-01-01T02:00:00.000Z", 2),
            ("since=2026-01-01T02:00:00.001Z", 0),
            (&format!("thing_id={}", s.id.as_str().unwrap()), 1),
        ] {
            assert_eq!(s.read(&format!("/failed-checks?{query}")).await["total"], total, "{query}");
        }
        let found =
            s.root.post(&format!("{failed}/search"), &json!({ "reason": "expired" })).await.expect(200);
        assert_eq!(found["failed_checks"], json!([check]));
        for wrong in ["reason=because", "since=yesterday", "thing_id=x", "order=at"] {
            assert_eq!(
                s.root.get(&format!("/failed-checks?{wrong}")).await.problem(400),
                "invalid",
                "{wrong}"
            );
        }

        let metrics = s.server.app.metrics.encode().unwrap();
        for line in [
            "things_device_checks_total{outcome=\"passed\"} 2",
            "things_device_checks_total{outcome=\"expired\"} 3",
            "things_device_checks_total{outcome=\"checksum\"} 1",
            "things_device_failed_checks_unlisted_total 0",
            "things_device_lookups_total{source=\"database\"} ",
        ] {
            assert!(metrics.contains(line), "{line} in {metrics}");
        }
    }
}

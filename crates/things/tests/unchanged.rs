//! Changes that change nothing, on every engine: answered like others, and leaving nothing behind.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "also outside of the functions marked as tests"
)]

#[path = "support/app.rs"]
mod app;

use std::time::Duration;

use app::{Client, engines, start};
use serde_json::{Value, json};

async fn made(client: &Client, path: &str, noun: &str, body: Value) -> String {
    let made = client.post(path, &body).await.expect(201);
    made[noun][0]["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_stays_as_it_is_leaves_no_trace() {
    for engine in engines() {
        let app = start(engine).await;
        // Sees the whole journal.
        let root = app.root().await;
        let org = app.org(&root).await;
        let meta = json!({ "a": 1, "b": { "c": [1.5, 1e300, "x"] } });
        let groups = json!([{ "name": "g", "description": "d", "metadata": meta }]);
        let group = made(&root, &format!("/orgs/{org}/groups"), "groups", groups).await;
        let profiles = json!([{ "name": "p", "config": { "content_type": "senml" }, "metadata": meta }]);
        let profile = made(&root, &format!("/groups/{group}/profiles"), "profiles", profiles).await;
        let key = "a key of my own choice";
        let things = json!([{ "name": "t", "type": "sensor", "key": key, "metadata": meta }]);
        let thing = made(&root, &format!("/profiles/{profile}/things"), "things", things).await;
        root.put("/users/profile", &json!({ "metadata": meta })).await.expect(200);
        app.clock.advance(Duration::from_secs(1));

        let entries = async || root.get("/journal").await.expect(200)["total"].as_u64().unwrap();
        let before = entries().await;
        let thing_path = format!("/things/{thing}");
        for (path, whole, part) in [
            (
                format!("/orgs/{org}"),
                json!({ "name": "An organisation", "description": "", "metadata": {} }),
                json!({ "name": "An organisation" }),
            ),
            (
                format!("/groups/{group}"),
                json!({ "name": "g", "description": "d", "metadata": meta }),
                json!({ "name": "g" }),
            ),
            (
                format!("/profiles/{profile}"),
                json!({ "name": "p", "config": { "content_type": "senml" }, "metadata": meta }),
                json!({ "name": "p" }),
            ),
            (
                thing_path.clone(),
                json!({ "name": "t", "type": "sensor", "key": key, "metadata": meta }),
                json!({ "name": "t" }),
            ),
            ("/users/profile".to_owned(), json!({ "metadata": meta }), json!({})),
        ] {
            let seen = root.get(&path).await;
            for same in [whole, part] {
                let unchanged = root.put(&path, &same).await;
                let mut shown = seen.expect(200);
                // Read-back is for reading.
                shown.as_object_mut().unwrap().remove("key");
                assert_eq!(unchanged.expect(200), shown, "{path}");
                assert_eq!(unchanged.header("etag"), seen.header("etag"), "{path}");
            }
            assert_eq!(root.get(&path).await.header("etag"), seen.header("etag"), "{path}");
        }
        let stays = root.patch(&thing_path, &json!({ "group_id": group, "profile_id": profile })).await;
        stays.expect(200);
        assert_eq!(entries().await, before);

        // Of many, those that change are told of.
        let other =
            made(&root, &format!("/profiles/{profile}/things"), "things", json!([{ "name": "u" }])).await;
        let merged = root
            .put(
                "/things",
                &json!([{ "id": thing, "metadata": { "a": 1 } }, { "id": other, "metadata": { "a": 1 } }]),
            )
            .await;
        assert_eq!(merged.expect(200)["things"][0]["metadata"], meta);
        let told = root.get("/journal?action=thing.updated").await.expect(200);
        assert_eq!((&told["total"], &told["entries"][0]["subject"]["id"]), (&json!(1), &json!(other)));
        assert_eq!(entries().await, before + 2);
    }
}

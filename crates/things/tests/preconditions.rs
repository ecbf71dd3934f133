//! `If-Match` on whatever deletes or moves one resource, on every engine.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "also outside of the functions marked as tests"
)]

#[path = "support/app.rs"]
mod app;

use app::{Client, Reply, Send, engines, start};
use reqwest::Method;
use serde_json::{Value, json};

async fn made(client: &Client, path: &str, noun: &str, body: Value) -> String {
    let made = client.post(path, &body).await.expect(201);
    let made = if noun.is_empty() { &made } else { &made[noun][0] };
    made["id"].as_str().unwrap().to_owned()
}

/// Asks for it under a condition, with a body if there is one.
async fn under(client: &Client, method: Method, path: &str, tag: &str, body: Option<&Value>) -> Reply {
    let request = client.request(method, path).header("if-match", tag);
    match body {
        Some(body) => request.json(body).reply().await,
        None => request.reply().await,
    }
}

async fn tag(client: &Client, path: &str) -> String {
    let seen = client.get(path).await;
    seen.expect(200);
    seen.header("etag").to_owned()
}

#[tokio::test]
async fn what_has_changed_is_not_deleted() {
    for engine in engines() {
        let app = start(engine).await;
        let ann = app.person("ann@example.com").await;
        let org = app.org(&ann).await;
        let group = made(&ann, &format!("/orgs/{org}/groups"), "groups", json!([{ "name": "g" }])).await;
        let profiles = format!("/groups/{group}/profiles");
        let profile = made(&ann, &profiles, "profiles", json!([{ "name": "p" }])).await;
        let things = format!("/profiles/{profile}/things");
        let new = json!([{ "name": "t", "external_key": "SN-0001" }]);
        let thing = made(&ann, &things, "things", new).await;
        let token = made(&ann, "/keys", "", json!({ "name": "k", "scopes": ["read"] })).await;

        // The precondition comes before what else may refuse.
        let (profile_path, stale) = (format!("/profiles/{profile}"), "\"stale\"");
        let used = under(&ann, Method::DELETE, &profile_path, stale, None).await;
        assert_eq!(used.problem(412), "stale");
        let present = tag(&ann, &profile_path).await;
        let used = under(&ann, Method::DELETE, &profile_path, &present, None).await;
        assert_eq!(used.problem(409), "profile-in-use");

        let thing_path = format!("/things/{thing}");
        for (path, of) in [
            (format!("/keys/{token}"), format!("/keys/{token}")),
            (format!("{thing_path}/external-key"), thing_path.clone()),
            (thing_path.clone(), thing_path.clone()),
            (profile_path.clone(), profile_path.clone()),
            (format!("/groups/{group}"), format!("/groups/{group}")),
            (format!("/orgs/{org}"), format!("/orgs/{org}")),
        ] {
            let present = tag(&ann, &of).await;
            for stale in [stale, &format!("W/{present}")] {
                let kept = under(&ann, Method::DELETE, &path, stale, None).await;
                assert_eq!(kept.problem(412), "stale", "{path}");
            }
            assert_eq!(tag(&ann, &of).await, present, "{path}");
            let gone = under(&ann, Method::DELETE, &path, &format!("{stale}, {present}"), None).await;
            assert_eq!(gone.status, 204, "{path}: {gone:?}");
        }
        // What is not there is not there, whatever is expected of it.
        let gone = under(&ann, Method::DELETE, &thing_path, stale, None).await;
        assert_eq!(gone.problem(404), "not-found");
    }
}

#[tokio::test]
async fn what_has_changed_is_not_moved() {
    for engine in engines() {
        let app = start(engine).await;
        let ann = app.person("ann@example.com").await;
        let org = app.org(&ann).await;
        let group = made(&ann, &format!("/orgs/{org}/groups"), "groups", json!([{ "name": "g" }])).await;
        let profiles = format!("/groups/{group}/profiles");
        let here = made(&ann, &profiles, "profiles", json!([{ "name": "here" }])).await;
        let there = made(&ann, &profiles, "profiles", json!([{ "name": "there" }])).await;
        let things = format!("/profiles/{here}/things");
        let thing = format!("/things/{}", made(&ann, &things, "things", json!([{ "name": "t" }])).await);

        let seen = tag(&ann, &thing).await;
        ann.put(&thing, &json!({ "name": "renamed" })).await.expect(200);
        let to = json!({ "group_id": group, "profile_id": there });
        assert_eq!(under(&ann, Method::PATCH, &thing, &seen, Some(&to)).await.problem(412), "stale");
        assert_eq!(ann.get(&thing).await.expect(200)["profile_id"], here);
        let present = tag(&ann, &thing).await;
        let moved = under(&ann, Method::PATCH, &thing, &present, Some(&to)).await;
        assert_eq!(moved.expect(200)["profile_id"], there);
        assert_ne!(moved.header("etag"), present);
    }
}

/// Whatever changes or deletes something that has an ETag looks at `If-Match`; a header that an
/// operation does not declare is refused.
#[test]
fn every_change_of_one_resource_can_be_made_conditional() {
    let document = serde_json::to_value(things::rest::document()).unwrap();
    let mut conditional: Vec<String> = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            if parameters.iter().any(|parameter| parameter["name"] == "If-Match") {
                conditional.push(format!("{} {path}", method.to_uppercase()));
            }
        }
    }
    conditional.sort();
    assert_eq!(
        conditional,
        [
            "DELETE /groups/{id}",
            "DELETE /invites/{id}",
            "DELETE /keys/{id}",
            "DELETE /orgs/{id}",
            "DELETE /profiles/{id}",
            "DELETE /things/{id}",
            "DELETE /things/{id}/external-key",
            "PATCH /things/{id}",
            "PATCH /things/{id}/external-key",
            "POST /things/{id}/disable",
            "POST /things/{id}/enable",
            "PUT /groups/{id}",
            "PUT /orgs/{id}",
            "PUT /profiles/{id}",
            "PUT /things/{id}",
            "PUT /users",
            "PUT /users/profile",
        ]
    );
}

//! Profiles over HTTP, on every engine.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unreachable,
    reason = "a test ends where it cannot go on"
)]

#[path = "support/app.rs"]
mod app;
#[path = "support/personas.rs"]
mod personas;

use app::{Send, engines, start};
use personas::{cast, members, text};
use reqwest::Method;
use serde_json::{Value, json};

const NOBODY: &str = "01890000-0000-7000-8000-000000000000";

#[tokio::test]
async fn a_profile_is_made_read_changed_and_deleted() {
    for engine in engines() {
        let server = start(engine).await;
        let cast = cast(&server).await;
        let config = json!({
            "content_type": "application/senml+json",
            "transformer": {"data_filters": ["a", "b"], "data_field": "d", "time_field": "t", "time_format": "unix", "time_location": "UTC"},
            "webhook_enabled": false,
            "retain": {"days": 7},
        });
        let body = json!([
            {"name": " mqtt ", "config": config, "metadata": {"a": 1}, "group_id": cast.group},
            {"name": "bare", "id": "01890000-0000-7000-8000-00000000000a", "config": null},
        ]);
        let path = format!("/groups/{}/profiles", cast.group);
        let made = cast.editor.post(&path, &body).await.expect(201);
        let profile = made["profiles"][0].clone();
        assert_eq!(members(&profile), ["config", "group_id", "id", "metadata", "name"]);
        let mut kept = config.clone();
        kept["write_enabled"] = json!(true);
        kept["rule_enabled"] = json!(true);
        assert_eq!((&profile["config"], &profile["name"]), (&kept, &json!("mqtt")));
        assert_eq!(members(&made["profiles"][1]), ["group_id", "id", "metadata", "name"]);

        let at = format!("/profiles/{}", text(&profile["id"]));
        let seen = cast.viewer.get(&at).await;
        assert_eq!(seen.json(), profile);
        let known = cast.viewer.request(Method::GET, &at).header("if-none-match", seen.header("etag"));
        let known = known.reply().await;
        assert_eq!((known.status, known.text.as_str()), (304, ""));
        let mut wanted = profile.clone();
        wanted["name"] = json!("coap");
        assert_eq!(cast.editor.put(&at, &wanted).await.expect(200), wanted);
        let stale = cast.editor.request(Method::PUT, &at).header("if-match", seen.header("etag"));
        assert_eq!(stale.json(&wanted).reply().await.problem(412), "stale");
        assert_eq!(cast.editor.put(&at, &json!({"name": "coap"})).await.expect(200), wanted);
        let bare = cast.editor.put(&at, &json!({"name": "coap", "config": null})).await.expect(200);
        assert_eq!((bare.get("config"), &bare["metadata"]), (None, &json!({"a": 1})));
        let flags =
            cast.editor.put(&at, &json!({"name": "coap", "config": {}})).await.expect(200)["config"].clone();
        assert_eq!(flags, json!({"write_enabled": true, "webhook_enabled": true, "rule_enabled": true}));

        let of_thing = format!("/things/{}/profiles", cast.thing);
        assert_eq!(cast.viewer.get(&of_thing).await.expect(200)["id"], cast.profile);
        assert_eq!(cast.stranger.get(&of_thing).await.problem(404), "not-found");

        assert_eq!(cast.editor.delete(&at).await.problem(403), "forbidden");
        assert_eq!(cast.admin.delete(&at).await.status, 204);
        assert_eq!(cast.admin.delete(&at).await.problem(404), "not-found");
        let both = json!({"profile_ids": ["01890000-0000-7000-8000-00000000000a", cast.profile]});
        assert_eq!(cast.editor.patch("/profiles", &both).await.problem(403), "forbidden");
        let reply = cast.admin.patch("/profiles", &both).await;
        assert_eq!(reply.problem(409), "profile-in-use");
        assert!(reply.json()["detail"].as_str().unwrap().starts_with("1 thing"), "{}", reply.text);
        assert_eq!(
            cast.admin.delete(&format!("/profiles/{}", cast.profile)).await.problem(409),
            "profile-in-use"
        );
        let one = json!({"profile_ids": ["01890000-0000-7000-8000-00000000000a"]});
        assert_eq!(cast.admin.patch("/profiles", &one).await.status, 204);
        assert_eq!(cast.admin.patch("/profiles", &one).await.problem(404), "not-found");
    }
}

#[tokio::test]
async fn everything_wrong_with_profiles_is_told_at_once() {
    for engine in engines() {
        let server = start(engine).await;
        let cast = cast(&server).await;
        let path = format!("/groups/{}/profiles", cast.group);
        let body = json!([
            {"name": "fine"},
            {"config": {"content_type": 5, "transformer": {"data_filters": "a"}, "write_enabled": "yes"}, "id": "X"},
            {"name": "x".repeat(1025), "group_id": NOBODY, "metadata": 1},
            {"name": "y", "config": []},
        ]);
        let reply = cast.editor.post(&path, &body).await;
        assert_eq!(reply.problem(400), "invalid");
        assert_eq!(
            reply.json()["errors"],
            json!({
                "[1].id": "must be a lower-case hyphenated UUID",
                "[1].name": "is required",
                "[1].config.content_type": "must be a string",
                "[1].config.transformer.data_filters": "must be an array of strings",
                "[1].config.write_enabled": "must be true or false",
                "[2].group_id": "is not yours to set; leave it out",
                "[2].metadata": "must be a JSON object",
                "[2].name": "must be at most 1024 characters long",
                "[3].config": "must be a JSON object",
            })
        );
        let reply = cast.editor.post(&path, &json!([{"name": "free"}, {"name": "A profile"}])).await;
        assert_eq!(reply.problem(409), "profile-name-taken");
        assert!(reply.json()["errors"]["[1].name"].is_string(), "{}", reply.text);
        let reply = cast.editor.post(&path, &json!([{"name": "x", "colour": 1}])).await;
        assert!(reply.json()["errors"]["[0].colour"].is_string(), "{}", reply.text);
        for body in [json!([]), json!({}), json!({"profiles": []})] {
            assert_eq!(cast.editor.post(&path, &body).await.problem(400), "invalid");
        }
        let at = format!("/profiles/{}", cast.profile);
        for (body, field) in [
            (json!({}), "name"),
            (json!({"name": "x", "config": {"rule_enabled": 1}}), "config.rule_enabled"),
            (json!({"name": "x", "config": "{}"}), "config"),
            (json!({"name": "x", "group_id": NOBODY}), "group_id"),
            (json!({"name": "x", "id": NOBODY}), "id"),
            (json!({"name": "x", "things": []}), "things"),
        ] {
            let reply = cast.editor.put(&at, &body).await;
            assert_eq!(reply.problem(400), "invalid", "{body}");
            assert!(reply.json()["errors"][field].is_string(), "{body}: {}", reply.text);
        }
        assert_eq!(cast.viewer.get(&path).await.expect(200)["total"], 1);
    }
}

#[tokio::test]
async fn profiles_are_listed_in_every_scope_and_found() {
    for engine in engines() {
        let server = start(engine).await;
        let cast = cast(&server).await;
        let path = format!("/groups/{}/profiles", cast.group);
        let body = json!([
            {"name": "b", "config": {"content_type": "application/json"}, "metadata": {"a": 1, "b": [2]}},
            {"name": "c 100%", "config": {"content_type": "application/senml+json"}},
        ]);
        cast.editor.post(&path, &body).await.expect(201);
        let groups = format!("/orgs/{}/groups", cast.org);
        let other = cast.owner.post(&groups, &json!([{"name": "Other"}])).await.expect(201);
        let other = format!("/groups/{}/profiles", text(&other["groups"][0]["id"]));
        cast.owner.post(&other, &json!([{"name": "hidden"}])).await.expect(201);

        let names = |page: &Value| -> Vec<String> {
            page["profiles"].as_array().unwrap().iter().map(|profile| text(&profile["name"])).collect()
        };
        for scope in ["/profiles".to_owned(), path.clone(), format!("/orgs/{}/profiles", cast.org)] {
            let page = cast.viewer.get(&format!("{scope}?order=name&dir=asc")).await.expect(200);
            assert_eq!(names(&page), ["A profile", "b", "c 100%"], "{scope}");
            for (filter, found) in [
                (json!({"name": "0%"}), vec!["c 100%"]),
                (json!({"content_type": "application/json"}), vec!["b"]),
                (json!({"content_type": "application"}), vec![]),
                (json!({"metadata": {"b": [2], "a": 1}}), vec!["b"]),
                (json!({"order": "name", "dir": "asc", "limit": 1, "offset": 1}), vec!["b"]),
            ] {
                let page = cast.viewer.post(&format!("{scope}/search"), &filter).await.expect(200);
                assert_eq!(names(&page), found, "{scope} {filter}");
            }
            let page = cast.viewer.get(&format!("{scope}?metadata=%7B%22a%22:1,%22b%22:%5B2%5D%7D")).await;
            assert_eq!(names(&page.expect(200)), ["b"], "{scope}");
            assert_eq!(cast.viewer.get(&format!("{scope}?type=x")).await.problem(400), "invalid");
        }
        assert_eq!(cast.viewer.get(&other).await.problem(404), "not-found");
        assert_eq!(cast.org_admin.get("/profiles").await.expect(200)["profiles"], json!([]));
        assert_eq!(names(&cast.root.get("/profiles?name=hid").await.expect(200)), ["hidden"]);
        for person in [&cast.stranger, &cast.org_admin] {
            assert_eq!(person.get(&path).await.problem(404), "not-found");
            assert_eq!(person.post(&path, &json!([{"name": "x"}])).await.problem(404), "not-found");
        }
        assert_eq!(
            cast.stranger.get(&format!("/orgs/{}/profiles", cast.org)).await.problem(404),
            "not-found"
        );
        assert_eq!(cast.viewer.post(&path, &json!([{"name": "x"}])).await.problem(403), "forbidden");
    }
}

#[tokio::test]
async fn a_repeated_request_makes_its_profiles_once() {
    for engine in engines() {
        let server = start(engine).await;
        let cast = cast(&server).await;
        let path = format!("/groups/{}/profiles", cast.group);
        let make = |name: &str| {
            let request = cast.editor.request(Method::POST, &path).header("idempotency-key", "once");
            request.json(&json!([{"name": name, "config": {"x": 1}}])).reply()
        };
        let first = make("one").await;
        assert_eq!((make("one").await.text, first.status), (first.text, 201));
        assert_eq!(make("two").await.problem(422), "idempotency-key-reused");
        assert_eq!(cast.editor.get(&path).await.expect(200)["total"], 2);
    }
}

/// It tells them nothing that they were not told.
#[tokio::test]
async fn a_repeated_request_is_answered_to_whoever_may_do_less_since_but_to_nobody_who_is_shut_out() {
    for engine in engines() {
        let server = start(engine).await;
        let cast = cast(&server).await;
        let path = format!("/groups/{}/profiles", cast.group);
        let make = |key: &str| {
            let request = cast.editor.request(Method::POST, &path).header("idempotency-key", key);
            request.json(&json!([{"name": key}])).reply()
        };
        let first = make("once").await;
        first.expect(201);
        let members = format!("/groups/{}/memberships", cast.group);
        let lowered = json!({"group_memberships": [{"member_id": cast.editor.id, "role": "viewer"}]});
        cast.owner.put(&members, &lowered).await.expect(200);
        assert_eq!(make("twice").await.problem(403), "forbidden");
        let again = make("once").await;
        assert_eq!((again.status, again.text), (201, first.text));
        let disable = format!("/users/{}/disable", cast.editor.id);
        assert_eq!(cast.root.post(&disable, &json!(null)).await.status, 204);
        assert_eq!(make("once").await.problem(401), "unauthenticated");
    }
}

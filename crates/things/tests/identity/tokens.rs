//! Personal access tokens.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    NOBODY,
    app::{Send, engines, start},
    personas::{cast, members, person, text},
    same_404,
};

#[tokio::test]
async fn a_token_is_shown_once_and_works_until_it_is_deleted() {
    for engine in engines() {
        let app = start(engine).await;
        let (ann, eve) = (person(&app, "ann").await, person(&app, "eve").await);
        let body =
            json!({"name": "ci", "scopes": ["read", "write"], "expires_at": "2026-02-01T01:00:00+01:00"});
        let reply = ann.post("/keys", &body).await;
        let made = reply.expect(201);
        assert_eq!(members(&made), ["expires_at", "id", "issued_at", "name", "scopes", "token", "value"]);
        assert_eq!(made["token"], made["value"]);
        assert_eq!(made["scopes"], json!(["read", "write"]));
        assert_eq!(made["issued_at"], "2026-01-01T00:00:00.000Z");
        assert_eq!(made["expires_at"], "2026-02-01T00:00:00.000Z");
        let at = format!("/keys/{}", text(&made["id"]));
        assert_eq!(reply.header("location"), at);
        let by_key = app.client(&text(&made["token"]));
        assert!(by_key.token().starts_with("pat_"));

        let reply = ann.get(&at).await;
        let tag = reply.header("etag").to_owned();
        assert_eq!(members(&reply.expect(200)), ["expires_at", "id", "issued_at", "name", "scopes"]);
        let known = ann.request(Method::GET, &at).header("if-none-match", tag).reply().await;
        assert_eq!((known.status, known.text.as_str()), (304, ""));
        by_key.get("/users/profile").await.expect(200);
        let mut seen = Value::Null;
        for _ in 0..500 {
            seen = ann.get(&at).await.expect(200)["last_used_at"].clone();
            if seen.is_string() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(seen, "2026-01-01T00:00:00.000Z");

        same_404(&eve, &format!("/keys/{NOBODY}"), &at).await;
        assert_eq!(eve.delete(&at).await.problem(404), "not-found");
        // A token may do what its owner may, but not make tokens, nor log anybody out.
        assert_eq!(by_key.post("/keys", &body).await.problem(403), "login-required");
        assert_eq!(by_key.delete("/tokens/current").await.problem(403), "login-required");
        by_key.post("/orgs", &json!({"name": "made by a program"})).await.expect(201);

        ann.post("/keys", &json!({"name": "another", "scopes": ["read"]})).await.expect(201);
        let page = ann.get("/keys?order=name&dir=asc").await.expect(200);
        assert_eq!((&page["total"], &page["keys"][0]["name"]), (&json!(2), &json!("another")));
        assert!(page["keys"].as_array().unwrap().iter().all(|key| key.get("token").is_none()));
        let searched = ann.post("/keys/search", &json!({"limit": 1, "dir": "asc"})).await.expect(200);
        assert_eq!(searched["keys"][0]["name"], "ci");
        assert_eq!(eve.get("/keys").await.expect(200)["keys"], json!([]));
        assert_eq!(ann.get("/keys?name=ci").await.problem(400), "invalid");

        assert_eq!(ann.delete(&at).await.status, 204);
        assert_eq!(by_key.get("/users/profile").await.problem(401), "unauthenticated");
        assert_eq!(ann.delete(&at).await.problem(404), "not-found");
    }
}

#[tokio::test]
async fn scopes_narrow_what_a_token_may() {
    for engine in engines() {
        let app = start(engine).await;
        let cast = cast(&app).await;
        let editor = &cast.editor;
        let groups = format!("/orgs/{}/groups", cast.org);
        let other = cast.owner.post(&groups, &json!([{"name": "Other"}])).await.expect(201);
        let other = text(&other["groups"][0]["id"]);
        let join = json!([{"member_id": editor.id, "role": "editor"}]);
        cast.owner.post(&format!("/groups/{other}/memberships"), &join).await.expect(201);
        let make = async |scopes: Value| {
            let made = editor.post("/keys", &json!({"name": "k", "scopes": scopes})).await.expect(201);
            (app.client(&text(&made["token"])), made["scopes"].clone())
        };

        let (reader, scopes) = make(json!([])).await;
        assert_eq!(scopes, json!(["read"]));
        assert_eq!(reader.get("/groups").await.expect(200)["total"], 2);
        let rename = json!({"name": "renamed"});
        let profile = format!("/profiles/{}", cast.profile);
        assert_eq!(reader.put(&profile, &rename).await.problem(403), "insufficient-scope");

        let bound = format!("group:{other}");
        let (bound, scopes) = make(json!([bound, "write"])).await;
        assert_eq!(scopes, json!(["read", "write", format!("group:{other}")]));
        assert_eq!(bound.get("/groups").await.expect(200)["total"], 1);
        assert_eq!(bound.put(&profile, &rename).await.problem(404), "not-found");
        assert_eq!(bound.get("/users/profile").await.problem(403), "insufficient-scope");
        bound.post(&format!("/groups/{other}/profiles"), &json!([{"name": "p"}])).await.expect(201);

        let (in_org, scopes) = make(json!(["read", format!("org:{}", cast.org)])).await;
        assert_eq!(scopes, json!(["read", format!("org:{}", cast.org)]));
        assert_eq!(in_org.get("/groups").await.expect(200)["total"], 2);

        let org = format!("org:{}", cast.org);
        for (scopes, told) in [
            (json!(["admin"]), "must hold nothing but `read`, `write`, `org:<id>` and `group:<id>`"),
            (json!(["org:x"]), "must hold nothing but `read`, `write`, `org:<id>` and `group:<id>`"),
            (json!(["group:"]), "must hold nothing but `read`, `write`, `org:<id>` and `group:<id>`"),
            (json!([org, format!("group:{other}")]), "must name at most one organisation or group"),
        ] {
            let reply = editor.post("/keys", &json!({"name": "k", "scopes": scopes})).await;
            assert_eq!(reply.problem(400), "invalid");
            assert_eq!(reply.json()["errors"]["scopes"], told, "{scopes}");
        }
        for place in [format!("org:{NOBODY}"), format!("group:{NOBODY}")] {
            let body = json!({"name": "k", "scopes": [place]});
            assert_eq!(editor.post("/keys", &body).await.problem(404), "not-found");
            assert_eq!(
                cast.stranger.post("/keys", &json!({"name": "k", "scopes": [org]})).await.problem(404),
                "not-found"
            );
        }
    }
}

#[tokio::test]
async fn what_mainfluxs_clients_ask_for_is_made() {
    for engine in engines() {
        let app = start(engine).await;
        let ann = person(&app, "ann").await;
        // Its SDK sends nanoseconds, its service takes seconds.
        for (duration, ends) in [
            (json!(3_600_000_000_000u64), json!("2026-01-01T01:00:00.000Z")),
            (json!(3600), json!("2026-01-01T01:00:00.000Z")),
            (json!(0), Value::Null),
            (Value::Null, Value::Null),
        ] {
            let made = ann.post("/keys", &json!({"type": 2, "duration": duration})).await.expect(201);
            assert_eq!(made["expires_at"], ends, "{duration}");
            assert_eq!((&made["scopes"], &made["name"]), (&json!(["read", "write"]), &json!("API key")));
            app.client(&text(&made["value"])).get("/users/profile").await.expect(200);
        }
        app.clock.advance(Duration::from_secs(3600));
        for (body, field) in [
            (json!({"type": 0}), "type"),
            (json!({}), "name"),
            (json!({"name": "k"}), "scopes"),
            (json!({"name": "", "scopes": []}), "name"),
            (json!({"name": "k", "scopes": "read"}), "scopes"),
            (json!({"name": "k", "scopes": [], "expires_at": "soon"}), "expires_at"),
            (json!({"name": "k", "scopes": [], "expires_at": "2026-01-01T00:00:00Z"}), "expires_at"),
            (json!({"name": "k", "scopes": [], "expires_at": "2036-02-01T00:00:00Z"}), "expires_at"),
            (
                json!({"name": "k", "scopes": [], "expires_at": "2026-03-01T00:00:00Z", "duration": 5}),
                "duration",
            ),
            (json!({"name": "k", "scopes": [], "id": NOBODY}), "id"),
            (json!({"name": "k", "scopes": [], "token": "pat_x"}), "token"),
        ] {
            let reply = ann.post("/keys", &body).await;
            assert_eq!(reply.problem(400), "invalid", "{body}");
            assert!(reply.json()["errors"][field].is_string(), "{body}: {}", reply.text);
        }
    }
}

#[tokio::test]
async fn a_repeated_request_makes_one_token_and_shows_it_again() {
    for engine in engines() {
        let app = start(engine).await;
        let (ann, eve) = (person(&app, "ann").await, person(&app, "eve").await);
        let make = |client: &crate::app::Client, body: Value| {
            client.request(Method::POST, "/keys").header("idempotency-key", "once").json(&body).reply()
        };
        let body = json!({"name": "k", "scopes": ["read"]});
        let first = make(&ann, body.clone()).await;
        let again = make(&ann, body.clone()).await;
        assert_eq!((first.status, &first.text), (again.status, &again.text));
        assert_eq!(first.header("location"), again.header("location"));
        assert_eq!(ann.get("/keys").await.expect(200)["total"], 1);
        let reply = make(&ann, json!({"name": "other", "scopes": ["read"]})).await;
        assert_eq!(reply.problem(422), "idempotency-key-reused");
        assert_ne!(make(&eve, body).await.expect(201)["token"], first.json()["token"]);
    }
}

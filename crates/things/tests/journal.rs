//! The journal over HTTP, on every engine: who reads what of it, and what it says.

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

use std::time::Duration;

use app::{Send, engines, start};
use personas::{Person, cast, members, person};
use reqwest::Method;
use serde_json::{Value, json};

async fn entries(reader: &Person, query: &str) -> Vec<Value> {
    let page = reader.get(&format!("/journal?limit=1000&{query}")).await.expect(200);
    page["entries"].as_array().unwrap().clone()
}

async fn actions(reader: &Person, query: &str) -> Vec<String> {
    entries(reader, query).await.iter().map(|entry| personas::text(&entry["action"])).collect()
}

#[tokio::test]
async fn a_change_is_told_with_who_what_and_why() {
    for engine in engines() {
        let server = start(engine).await;
        let cast = cast(&server).await;
        server.clock.advance(Duration::from_secs(60));
        let rename = cast.admin.request(Method::PUT, &format!("/groups/{}", cast.group));
        let rename = rename.header("x-request-id", "rename-1").json(&json!({"name": "Renamed"}));
        rename.reply().await.expect(200);
        let page = cast.admin.get("/journal?limit=1").await.expect(200);
        assert_eq!(members(&page), ["dir", "entries", "limit", "next", "offset", "order", "total"]);
        let entry = &page["entries"][0];
        assert_eq!(
            *entry,
            json!({
                "id": entry["id"],
                "at": "2026-01-01T00:01:00.000Z",
                "org_id": cast.org,
                "group_id": cast.group,
                "actor": {"kind": "user", "id": cast.admin.id},
                "via": "membership",
                "action": "group.updated",
                "subject": {"kind": "group", "id": cast.group, "name": "Renamed"},
                "changes": {"name": {"before": "A group", "after": "Renamed"}},
                "request_id": "rename-1",
            })
        );
        // The next page begins where this one ends.
        let next = page["next"].as_str().unwrap();
        let second = cast.admin.get(&format!("/journal?limit=1&cursor={next}")).await.expect(200);
        assert!(second["entries"][0]["id"].as_i64() < entry["id"].as_i64());
        let oldest = cast.admin.post("/journal/search", &json!({"limit": 1, "dir": "asc"})).await.expect(200);
        assert_eq!(oldest["entries"][0]["action"], "group.created");
    }
}

#[tokio::test]
async fn filters_narrow_what_is_told() {
    for engine in engines() {
        let server = start(engine).await;
        let cast = cast(&server).await;
        server.clock.advance(Duration::from_secs(60));
        let thing = format!("/things/{}", cast.thing);
        cast.editor.put(&thing, &json!({"name": "Renamed"})).await.expect(200);
        cast.editor.post(&format!("{thing}/key/rotate"), &json!({})).await.expect(201);
        let recent = ["thing.key_rotated", "thing.updated"];
        for query in [
            format!("actor={}", cast.editor.id),
            format!("group={}&since=2026-01-01T00:01:00Z", cast.group),
            "since=2026-01-01T01:01:00%2B01:00&until=".to_owned(),
            format!("subject={}&since=2026-01-01T00:01:00Z", cast.thing),
        ] {
            assert_eq!(actions(&cast.admin, &query).await, recent, "{query}");
        }
        let in_org = format!("org={}&subject={}&actor={}", cast.org, cast.thing, cast.editor.id);
        assert_eq!(actions(&cast.owner, &in_org).await, recent);
        assert_eq!(
            actions(&cast.admin, "action=thing.").await,
            ["thing.key_rotated", "thing.updated", "thing.created"]
        );
        assert_eq!(actions(&cast.admin, "action=thing.updated").await, ["thing.updated"]);
        assert_eq!(actions(&cast.admin, "action=thing").await, [""; 0]);
        assert_eq!(actions(&cast.admin, "action=thing.&until=2026-01-01T00:01:00Z").await, ["thing.created"]);
        // Neither the old nor the new key is in there.
        let told = json!(entries(&cast.root, "").await).to_string();
        assert!(!told.contains(&cast.key) && !told.contains("thk_"), "{told}");
        for (query, field) in [
            ("org=x", "org"),
            ("group=x", "group"),
            ("actor=x", "actor"),
            ("subject=x", "subject"),
            ("since=yesterday", "since"),
            ("until=2026-01-01", "until"),
            ("action=%01", "action"),
            ("order=at", "order"),
            ("name=x", "name"),
            ("limit=0", "limit"),
        ] {
            let reply = cast.admin.get(&format!("/journal?{query}")).await;
            assert_eq!(reply.problem(400), "invalid", "{query}");
            assert!(reply.json()["errors"][field].is_string(), "{query}: {}", reply.text);
        }
        assert_eq!(cast.admin.post("/journal/search", &json!({"since": 5})).await.problem(400), "invalid");
    }
}

#[tokio::test]
async fn everybody_reads_what_they_administer() {
    for engine in engines() {
        let server = start(engine).await;
        let cast = cast(&server).await;
        let (org, group) = (format!("org={}", cast.org), format!("group={}", cast.group));
        // In the group, about the group.
        let in_group = entries(&cast.admin, "").await;
        assert!(in_group.iter().all(|entry| entry["group_id"] == json!(cast.group)), "{in_group:#?}");
        assert_eq!(entries(&cast.admin, &group).await, in_group);
        // In the organisation, but not in its groups.
        let in_org = entries(&cast.org_admin, "").await;
        assert!(
            !in_org.is_empty() && in_org.iter().all(|entry| entry.get("group_id").is_none()),
            "{in_org:#?}"
        );
        assert_eq!(entries(&cast.org_admin, &org).await, in_org);
        // Both.
        let owned = entries(&cast.owner, "").await;
        assert_eq!(owned.len(), in_group.len() + in_org.len());
        // Beyond any organisation.
        let all = entries(&cast.root, "").await;
        assert!(all.iter().any(|entry| entry["action"] == "user.created"));
        assert!(all.len() > owned.len());
        assert_eq!(entries(&cast.root, &org).await, owned);

        for person in [&cast.viewer, &cast.editor] {
            assert_eq!(entries(person, "").await, [json!(null); 0]);
            assert_eq!(person.get(&format!("/journal?{group}")).await.problem(403), "forbidden");
            assert_eq!(person.get(&format!("/journal?{org}")).await.problem(403), "forbidden");
        }
        assert_eq!(cast.org_admin.get(&format!("/journal?{group}")).await.problem(404), "not-found");
        for query in [&org, &group] {
            assert_eq!(cast.stranger.get(&format!("/journal?{query}")).await.problem(404), "not-found");
        }
        assert_eq!(cast.stranger.get("/journal").await.expect(200)["entries"], json!([]));
        assert_eq!(server.anonymous.get("/journal").await.problem(401), "unauthenticated");
        assert_eq!(cast.disabled.get("/journal").await.problem(401), "unauthenticated");

        // What happened in a group is read by the organisation's owner after its end.
        assert_eq!(cast.owner.delete(&format!("/groups/{}", cast.group)).await.status, 204);
        assert_eq!(entries(&cast.owner, &group).await.len(), in_group.len() + 1);
        assert_eq!(cast.admin.get(&format!("/journal?{group}")).await.problem(404), "not-found");
    }
}

#[tokio::test]
async fn people_are_named_by_id_and_secrets_by_name_alone() {
    for engine in engines() {
        let server = start(engine).await;
        let root = personas::root(&server).await;
        let ann = person(&server, "ann").await;
        let change = json!({"old_password": app::ROOT_PASSWORD, "password": "four unrelated words here"});
        ann.patch("/password", &change).await.expect(201);
        ann.post("/keys", &json!({"name": "ci", "scopes": ["write"]})).await.expect(201);
        assert_eq!(ann.delete("/tokens/current").await.status, 204);
        let query = format!("actor={}", ann.id);
        assert_eq!(
            actions(&root, &query).await,
            ["session.ended", "token.created", "password.changed", "session.created"]
        );
        let told = entries(&root, &query).await;
        assert_eq!(told[2]["changes"], json!({"password": {}}));
        assert_eq!(
            (&told[2]["via"], &told[2]["subject"]),
            (&json!("oneself"), &json!({"kind": "user", "id": ann.id}))
        );
        let text = json!(entries(&root, "").await).to_string();
        for secret in ["unrelated words", "pat_", "ses_", "ann@example.com"] {
            assert!(!text.contains(secret), "{secret} is in {text}");
        }
    }
}

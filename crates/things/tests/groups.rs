//! Groups over HTTP, on every engine.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where it cannot go on"
)]

#[path = "support/app.rs"]
mod app;

use app::{Client, Send, engines, start};
use reqwest::Method;
use serde_json::{Value, json};

async fn made(client: &Client, org: &str, name: &str) -> Value {
    client.post(&format!("/orgs/{org}/groups"), &json!([{"name": name}])).await.expect(201)["groups"][0]
        .clone()
}

fn path(group: &Value) -> String {
    format!("/groups/{}", group["id"].as_str().unwrap())
}

#[tokio::test]
async fn a_group_is_made_read_changed_and_deleted() {
    for engine in engines() {
        let app = start(engine).await;
        let ann = app.person("ann@example.com").await;
        let org = app.org(&ann).await;
        let body = json!([
            {"name": " Plant 1 ", "description": "North", "metadata": {"floor": 2}, "org_id": org, "created_at": "0001-01-01T00:00:00Z"},
            {"name": "Plant 2", "id": "01890000-0000-7000-8000-00000000000a"},
        ]);
        let answer = ann.post(&format!("/orgs/{org}/groups"), &body).await.expect(201);
        let group = answer["groups"][0].clone();
        assert_eq!(
            group,
            json!({"id": group["id"], "org_id": org, "name": "Plant 1", "description": "North", "metadata": {"floor": 2},
                "created_at": "2026-01-01T00:00:00.000Z", "updated_at": "2026-01-01T00:00:00.000Z", "role": "owner"})
        );
        assert_eq!(answer["groups"][1]["id"], "01890000-0000-7000-8000-00000000000a");
        assert_eq!(ann.get(&path(&group)).await.expect(200), group);

        app.clock.advance(std::time::Duration::from_millis(1500));
        let mut wanted = group.clone();
        wanted["name"] = json!("Plant one");
        // What was read can be sent back with a change.
        let changed = ann.put(&path(&group), &wanted).await.expect(200);
        wanted["updated_at"] = json!("2026-01-01T00:00:01.500Z");
        assert_eq!(changed, wanted);

        assert_eq!(ann.delete(&path(&group)).await.status, 204);
        assert_eq!(ann.get(&path(&group)).await.problem(404), "not-found");
        let ids = json!({"group_ids": ["01890000-0000-7000-8000-00000000000a"]});
        assert_eq!(ann.patch("/groups", &ids).await.status, 204);
        assert_eq!(ann.patch("/groups", &ids).await.problem(404), "not-found");
    }
}

#[tokio::test]
async fn everything_wrong_with_a_bulk_request_is_told_at_once() {
    for engine in engines() {
        let app = start(engine).await;
        let ann = app.person("ann@example.com").await;
        let org = app.org(&ann).await;
        let groups = format!("/orgs/{org}/groups");
        let body = json!([
            {"name": "fine"},
            {"metadata": [], "id": "X"},
            {"name": "x".repeat(255), "org_id": "another"},
        ]);
        let reply = ann.post(&groups, &body).await;
        assert_eq!(reply.problem(400), "invalid");
        assert_eq!(
            reply.json()["errors"],
            json!({
                "[1].id": "must be a lower-case hyphenated UUID",
                "[1].metadata": "must be a JSON object",
                "[1].name": "is required",
                "[2].name": "must be at most 254 characters long",
                "[2].org_id": "is not yours to set; leave it out",
            })
        );
        assert_eq!(ann.get(&groups).await.expect(200)["total"], 0);

        made(&ann, &org, "taken").await;
        let reply = ann.post(&groups, &json!([{"name": "free"}, {"name": "taken"}])).await;
        assert_eq!(reply.problem(409), "group-name-taken");
        assert!(reply.json()["errors"]["[1].name"].is_string(), "{}", reply.text);
        let reply = ann.post(&groups, &json!([{"name": "one"}, {"name": "one"}])).await;
        assert_eq!(reply.json()["errors"], json!({"[1].name": "is the same as in item 0"}));
        let many: Vec<Value> = (0..1001).map(|n| json!({"name": n.to_string()})).collect();
        assert_eq!(ann.post(&groups, &json!(many)).await.problem(400), "invalid");
        assert_eq!(ann.post(&groups, &json!([])).await.problem(400), "invalid");
        assert_eq!(ann.get(&groups).await.expect(200)["total"], 1);
    }
}

#[tokio::test]
async fn pages_have_the_form_of_mainflux_and_a_cursor() {
    for engine in engines() {
        let app = start(engine).await;
        let ann = app.person("ann@example.com").await;
        let org = app.org(&ann).await;
        for name in ["a", "b", "c"] {
            made(&ann, &org, name).await;
        }
        let page = ann.get("/groups?limit=2&order=name&dir=asc").await.expect(200);
        assert_eq!(page["groups"].as_array().unwrap().len(), 2);
        assert_eq!(page["groups"][0]["name"], "a");
        for (field, value) in [
            ("total", json!(3)),
            ("offset", json!(0)),
            ("limit", json!(2)),
            ("order", json!("name")),
            ("dir", json!("asc")),
        ] {
            assert_eq!(page[field], value);
        }
        assert!(page.get("total_exact").is_none());
        let search = json!({"limit": 2, "order": "name", "dir": "asc", "cursor": page["next"]});
        let last = ann.post("/groups/search", &search).await.expect(200);
        assert_eq!((last["groups"][0]["name"].as_str(), last.get("next")), (Some("c"), None));
        assert_eq!(last["offset"], 2);
        let empty = ann.get("/groups?name=%25").await.expect(200);
        assert_eq!(
            (&empty["groups"], &empty["order"], &empty["dir"]),
            (&json!([]), &json!("id"), &json!("desc"))
        );
    }
}

#[tokio::test]
async fn tags_tell_whether_a_group_is_still_the_same() {
    for engine in engines() {
        let app = start(engine).await;
        let ann = app.person("ann@example.com").await;
        let org = app.org(&ann).await;
        let group = made(&ann, &org, "one").await;
        let tag = ann.get(&path(&group)).await.header("etag").to_owned();
        assert!(tag.ends_with(".owner\""), "{tag}");
        let get =
            |known: String| ann.request(Method::GET, &path(&group)).header("if-none-match", known).reply();
        for known in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
            let reply = get(known).await;
            assert_eq!((reply.status, reply.text.as_str(), reply.header("etag")), (304, "", tag.as_str()));
        }
        assert_eq!(get("\"x.owner\"".to_owned()).await.status, 200);

        let put = |expected: String, name: &'static str| {
            ann.request(Method::PUT, &path(&group))
                .header("if-match", expected)
                .json(&json!({"name": name}))
                .reply()
        };
        let changed = put(format!("\"x\", {tag}"), "two").await;
        assert_eq!(changed.status, 200);
        assert_ne!(changed.header("etag"), tag);
        for stale in [tag.clone(), format!("W/{}", changed.header("etag")), "\"x\"".to_owned()] {
            assert_eq!(put(stale, "three").await.problem(412), "stale");
        }
        assert_eq!(put("nonsense".to_owned(), "three").await.problem(400), "invalid");
        // Another role is another tag, but not another version.
        let other_role = changed.header("etag").replace(".owner", ".viewer");
        assert_eq!(put(other_role, "three").await.status, 200);
        assert_eq!(put("*".to_owned(), "four").await.status, 200);
    }
}

#[tokio::test]
async fn a_repeated_post_has_one_effect() {
    for engine in engines() {
        let app = start(engine).await;
        let ann = app.person("ann@example.com").await;
        let org = app.org(&ann).await;
        let groups = format!("/orgs/{org}/groups");
        let post = |key: &'static str, name: &'static str| {
            ann.request(Method::POST, &groups)
                .header("idempotency-key", key)
                .json(&json!([{"name": name}]))
                .reply()
        };
        let first = post("k1", "one").await.expect(201);
        assert_eq!(post("k1", "one").await.expect(201), first);
        assert_eq!(post("k1", "two").await.problem(422), "idempotency-key-reused");
        assert_eq!(post("k2", "one").await.problem(409), "group-name-taken");
        let bad =
            ann.request(Method::POST, &groups).header("idempotency-key", "a b").json(&json!([{"name": "x"}]));
        assert_eq!(bad.reply().await.problem(400), "invalid");
        assert_eq!(ann.get("/groups").await.expect(200)["total"], 1);
    }
}

#[tokio::test]
async fn the_journal_is_read_by_those_who_administer_its_scope() {
    for engine in engines() {
        let app = start(engine).await;
        let (ann, bob) = (app.person("ann@example.com").await, app.person("bob@example.com").await);
        let org = app.org(&ann).await;
        let reply = ann
            .request(Method::POST, &format!("/orgs/{org}/groups"))
            .header("x-request-id", "req-7")
            .json(&json!([{"name": "one"}]))
            .reply()
            .await;
        let group = reply.expect(201)["groups"][0].clone();
        let page = ann.get(&format!("/journal?group={}", group["id"].as_str().unwrap())).await.expect(200);
        let entry = &page["entries"][0];
        assert_eq!((&entry["action"], &entry["via"]), (&json!("group.created"), &json!("membership")));
        assert_eq!(entry["subject"], json!({"kind": "group", "id": group["id"], "name": "one"}));
        assert_eq!((&entry["request_id"], &entry["actor"]["kind"]), (&json!("req-7"), &json!("user")));
        assert_eq!(bob.get(&format!("/journal?org={org}")).await.problem(404), "not-found");
        assert_eq!(ann.get("/journal?action=group.").await.expect(200)["total"], 1);
        assert_eq!(
            ann.post("/journal/search", &json!({"until": "2026-01-01T00:00:00Z", "org": org}))
                .await
                .expect(200)["total"],
            0
        );
        for (query, field) in [("since=yesterday", "since"), ("org=x", "org"), ("limit=0", "limit")] {
            let reply = ann.get(&format!("/journal?{query}")).await;
            assert_eq!(reply.problem(400), "invalid");
            assert!(reply.json()["errors"][field].is_string(), "{}", reply.text);
        }
    }
}

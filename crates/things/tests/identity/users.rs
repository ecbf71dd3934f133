//! Accounts: made by registering or by the platform's administrators, read, changed, shut out.

use reqwest::Method;
use serde_json::json;
use things::{Options, serve::Limits};

use crate::{
    NOBODY,
    app::{ROOT_PASSWORD as PASSWORD, Send, engines, start, start_set_up},
    personas::{members, person, root, text},
    same_404,
};

fn options() -> Options {
    Options { requests_per_second: None, ..Options::default() }
}

#[tokio::test]
async fn anybody_may_register_where_that_is_open() {
    for engine in engines() {
        let closed = start(engine).await;
        let body = json!({"email": "ann@example.com", "password": PASSWORD});
        assert_eq!(closed.anonymous.post("/register", &body).await.problem(403), "registration-closed");

        let app =
            start_set_up(engine, options(), Limits::default(), |set| set.open_registration = true).await;
        let reply = app.anonymous.post("/register", &body).await;
        let made = reply.expect(201);
        assert_eq!(
            made,
            json!({"id": made["id"], "email": "ann@example.com", "metadata": {}, "status": "enabled"})
        );
        assert_eq!(reply.header("location"), format!("/users/{}", text(&made["id"])));
        assert_eq!(app.anonymous.post("/register", &body).await.problem(409), "email-taken");

        // What Mainflux's clients send.
        for (key, email) in [("user", "ben@example.com"), ("User", "cat@example.com")] {
            let user = json!({"email": email, "password": PASSWORD, "metadata": {"a": 1}});
            let body = json!({key: user, "redirect_path": "/welcome"});
            let made = app.anonymous.post("/register", &body).await.expect(201);
            assert_eq!((&made["email"], &made["metadata"]), (&json!(email), &json!({"a": 1})));
            app.log_in(email, PASSWORD).await.get("/users/profile").await.expect(200);
        }
        for (body, field) in [
            (json!({}), "email"),
            (json!({"email": "dan@example.com"}), "password"),
            (json!({"email": "dan", "password": PASSWORD}), "email"),
            (json!({"email": "dan@example.com", "password": "too short"}), "password"),
            (json!({"email": "dan@example.com", "password": 12345678901234u64}), "password"),
            (json!({"email": "daniel@example.com", "password": "I am daniel the great"}), "password"),
            (json!({"email": "dan@example.com", "password": PASSWORD, "role": "admin"}), "role"),
            (json!({"user": {"email": "dan@example.com", "password": PASSWORD, "role": "admin"}}), "role"),
            (json!({"email": "dan@example.com", "user": {"password": PASSWORD}}), "user"),
            (json!({"user": {"email": "dan@example.com", "password": PASSWORD, "nick": 1}}), "user.nick"),
            (json!({"email": "dan@example.com", "password": PASSWORD, "metadata": []}), "metadata"),
            (json!({"email": "dan@example.com", "password": PASSWORD, "id": NOBODY}), "id"),
            (
                json!({"email": "dan@example.com", "password": PASSWORD, "redirect_path": "//x.y"}),
                "redirect_path",
            ),
        ] {
            let reply = app.anonymous.post("/register", &body).await;
            assert_eq!(reply.problem(400), "invalid", "{body}");
            assert!(reply.json()["errors"][field].is_string(), "{body}: {}", reply.text);
            assert!(!reply.text.contains("too short\"") && !reply.text.contains("12345678901234"));
        }
    }
}

#[tokio::test]
async fn administrators_make_accounts_and_see_all_of_them() {
    for engine in engines() {
        let app = start(engine).await;
        let root = root(&app).await;
        let ann = person(&app, "ann").await;
        let body = json!({"email": "Ben@Example.com", "password": PASSWORD, "metadata": {"team": "a"}, "role": "admin", "id": ""});
        assert_eq!(ann.post("/users", &body).await.problem(403), "platform-admin-only");
        assert_eq!(app.anonymous.post("/users", &body).await.problem(401), "unauthenticated");
        let reply = root.post("/users", &body).await;
        let made = reply.expect(201);
        assert_eq!(members(&made), ["email", "id", "metadata", "role", "status"]);
        assert_eq!((&made["email"], &made["role"]), (&json!("ben@example.com"), &json!("admin")));
        let at = format!("/users/{}", text(&made["id"]));
        assert_eq!(reply.header("location"), at);
        assert_eq!(root.post("/users", &body).await.problem(409), "email-taken");
        for role in ["root", "owner"] {
            let body = json!({"email": "x@example.com", "password": PASSWORD, "role": role});
            let reply = root.post("/users", &body).await;
            assert_eq!(reply.problem(400), "invalid");
            assert!(reply.json()["errors"]["role"].is_string());
        }

        assert_eq!(root.get(&at).await.expect(200), made);
        assert_eq!(ann.get(&format!("/users/{}", ann.id)).await.expect(200)["email"], ann.email);
        same_404(&ann, &format!("/users/{NOBODY}"), &at).await;

        for (query, emails) in [
            ("order=email&dir=asc", vec!["ann@example.com", "ben@example.com", "root@example.com"]),
            (
                "order=email&dir=asc&status=all",
                vec!["ann@example.com", "ben@example.com", "root@example.com"],
            ),
            ("email=AN", vec!["ann@example.com"]),
            ("email=%25", vec![]),
            ("metadata=%7B%22team%22:%22a%22%7D", vec!["ben@example.com"]),
            ("status=disabled", vec![]),
            ("limit=1&order=email&dir=desc&total=0", vec!["root@example.com"]),
        ] {
            let page = root.get(&format!("/users?{query}")).await.expect(200);
            let found: Vec<_> =
                page["users"].as_array().unwrap().iter().map(|user| text(&user["email"])).collect();
            assert_eq!(found, emails, "{query}");
        }
        let searched =
            root.post("/users/search", &json!({"email": "ben", "status": "enabled"})).await.expect(200);
        assert_eq!((&searched["total"], &searched["users"][0]), (&json!(1), &made));
        assert_eq!(ann.get("/users").await.problem(403), "platform-admin-only");
        assert_eq!(ann.post("/users/search", &json!({})).await.problem(403), "platform-admin-only");
        for query in ["status=gone", "role=admin", "order=name"] {
            assert_eq!(root.get(&format!("/users?{query}")).await.problem(400), "invalid", "{query}");
        }
    }
}

#[tokio::test]
async fn ones_own_profile_is_read_and_changed_under_both_paths() {
    for engine in engines() {
        let app = start(engine).await;
        let ann = person(&app, "ann").await;
        let reply = ann.get("/users/profile").await;
        let (tag, profile) = (reply.header("etag").to_owned(), reply.expect(200));
        assert_eq!(members(&profile), ["email", "id", "metadata", "status"]);
        let known = ann.request(Method::GET, "/users/profile").header("if-none-match", &tag).reply().await;
        assert_eq!((known.status, known.text.as_str()), (304, ""));

        app.clock.advance(std::time::Duration::from_secs(1));
        let mut wanted = profile.clone();
        wanted["metadata"] = json!({"theme": "dark"});
        assert_eq!(ann.put("/users", &wanted).await.expect(200), wanted);
        let stale = ann.request(Method::PUT, "/users/profile").header("if-match", &tag).json(&wanted);
        assert_eq!(stale.reply().await.problem(412), "stale");
        assert_eq!(ann.put("/users/profile", &json!({})).await.expect(200), wanted);
        assert_eq!(
            ann.put("/users/profile", &json!({"metadata": {}})).await.expect(200)["metadata"],
            json!({})
        );
        for (body, field) in [
            (json!({"email": "other@example.com"}), "email"),
            (json!({"role": "admin"}), "role"),
            (json!({"status": "disabled"}), "status"),
            (json!({"id": NOBODY}), "id"),
            (json!({"password": PASSWORD}), "password"),
            (json!({"metadata": 1}), "metadata"),
        ] {
            let reply = ann.put("/users/profile", &body).await;
            assert_eq!(reply.problem(400), "invalid", "{body}");
            assert!(reply.json()["errors"][field].is_string(), "{body}: {}", reply.text);
            assert!(!reply.text.contains(PASSWORD));
        }
        assert_eq!(app.anonymous.get("/users/profile").await.problem(401), "unauthenticated");
    }
}

#[tokio::test]
async fn who_is_disabled_is_out_at_once_and_comes_back_by_a_new_log_in() {
    for engine in engines() {
        let app = start(engine).await;
        let root = root(&app).await;
        let ann = person(&app, "ann").await;
        let key = ann.post("/keys", &json!({"name": "k", "scopes": ["read"]})).await.expect(201);
        let by_key = app.client(&text(&key["token"]));
        by_key.get("/users/profile").await.expect(200);
        let at = format!("/users/{}", ann.id);
        for verb in ["enable", "disable"] {
            let path = format!("{at}/{verb}");
            assert_eq!(ann.post(&path, &json!(null)).await.problem(403), "platform-admin-only");
        }

        assert_eq!(root.request(Method::POST, &format!("{at}/disable")).reply().await.status, 204);
        assert_eq!(ann.get("/users/profile").await.problem(401), "unauthenticated");
        assert_eq!(by_key.get("/users/profile").await.problem(401), "unauthenticated");
        let body = json!({"email": ann.email, "password": PASSWORD});
        assert_eq!(app.anonymous.post("/tokens", &body).await.problem(401), "unauthenticated");
        assert_eq!(root.get(&at).await.expect(200)["status"], "disabled");
        assert_eq!(root.get("/users?status=disabled").await.expect(200)["total"], 1);

        assert_eq!(root.request(Method::POST, &format!("{at}/enable")).reply().await.status, 204);
        assert_eq!(ann.get("/users/profile").await.problem(401), "unauthenticated");
        app.anonymous.post("/tokens", &body).await.expect(201);

        let own = format!("/users/{}/disable", root.id);
        assert_eq!(root.post(&own, &json!(null)).await.problem(409), "last-platform-admin");
        let nobody = format!("/users/{NOBODY}/disable");
        assert_eq!(root.post(&nobody, &json!(null)).await.problem(404), "not-found");
    }
}

//! Errors are pages too.

use reqwest::Method;
use things::{Options, serve::Limits};

use crate::{
    app::{Engine, ROOT_PASSWORD as PASSWORD, Reply, Send, engines, start, start_with},
    page::{get, log_in, text},
};

/// A page that says what went wrong, with the request's id.
#[track_caller]
fn says(reply: &Reply, status: u16, title: &str) {
    assert_eq!(reply.status, status, "{}", reply.text);
    assert_eq!(reply.header("content-type"), "text/html; charset=utf-8");
    let seen = text(reply);
    assert!(seen.contains(&format!("{status} {title}")), "{seen}");
    assert!(seen.contains(reply.header("x-request-id")), "{seen}");
    assert_eq!(
        (reply.header("cache-control"), reply.header("referrer-policy")),
        ("no-store", "strict-origin")
    );
}

#[tokio::test]
async fn what_is_not_there_is_told_to_people_in_html_and_to_programs_in_json() {
    let server = start(Engine::Sqlite).await;
    let accepting = |path: &str, accept: &str| {
        server.anonymous.request(Method::GET, path).header("accept", accept).reply()
    };
    says(&accepting("/nowhere", "text/html,application/xhtml+xml,*/*;q=0.8").await, 404, "Not found");
    for program in ["*/*", "application/json", "application/problem+json, application/json"] {
        assert_eq!(accepting("/nowhere", program).await.problem(404), "not-found");
    }
    // The API stays what it is, whoever asks.
    assert_eq!(accepting("/groups", "text/html").await.problem(401), "unauthenticated");
    assert_eq!(accepting("/groups/x", "text/html").await.problem(401), "unauthenticated");

    for (method, path, allow) in [
        (Method::PUT, "/login", ["GET", "POST"].as_slice()),
        (Method::DELETE, "/forgot", &["GET", "POST"]),
        (Method::GET, "/logout", &["POST"]),
        (Method::POST, "/", &["GET"]),
    ] {
        let reply = server.anonymous.request(method.clone(), path).reply().await;
        says(&reply, 405, "Method not allowed");
        let allowed = reply.header("allow");
        assert!(allow.iter().all(|method| allowed.contains(method)), "{method} {path}: {allowed}");
    }
    let long = server.anonymous.get(&format!("/login?next={}", "x".repeat(9000))).await;
    says(&long, 414, "URI too long");
    let repeated = server.anonymous.get("/login?next=/a&next=/b").await;
    says(&repeated, 400, "Invalid request");
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_back() {
    let options = Options { requests_per_second: Some(1), burst: 2, ..Options::default() };
    let server = start_with(Engine::Sqlite, options, Limits::default()).await;
    let mut refused = None;
    for _ in 0..10 {
        let reply = server.anonymous.get("/login").await;
        if reply.status != 200 {
            refused = Some(reply);
            break;
        }
    }
    let refused = refused.unwrap();
    says(&refused, 429, "Too many requests");
    assert_eq!(refused.header("retry-after"), "1");
    assert!(text(&refused).contains("Try again in a second."));
}

#[tokio::test]
async fn an_internal_error_tells_nothing_but_its_id() {
    for engine in engines() {
        let server = start(engine).await;
        server.person("ann@example.com").await;
        let cookie = log_in(&server, "ann@example.com", PASSWORD).await;
        server.database.execute("ALTER TABLE sessions RENAME TO broken").await;
        let reply = get(&server, "/login", &cookie).await;
        says(&reply, 500, "Internal error");
        for word in ["sqlx", "sessions", "/src/", "relation", "no such table", "ses_"] {
            assert!(!reply.text.contains(word), "{word}: {}", reply.text);
        }
        // Who shows nothing is asked nothing.
        assert_eq!(server.anonymous.get("/login").await.status, 200);
        server.database.execute("ALTER TABLE broken RENAME TO sessions").await;

        server.registry.close().await;
        let away = get(&server, "/login", &cookie).await;
        assert!([500, 503].contains(&away.status), "{}", away.text);
        assert_eq!(away.header("content-type"), "text/html; charset=utf-8");
    }
}

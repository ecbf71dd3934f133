//! What holds for every route: the order in which a request is judged, problems, limits, headers.

#[path = "support/app.rs"]
mod app;

use app::{Send, engines, start};
use reqwest::Method;
use serde_json::json;

const NOBODY: &str = "01890000-0000-7000-8000-000000000000";

#[tokio::test]
async fn authentication_comes_before_everything_else() {
    let app = start(app::Engine::Sqlite).await;
    for (method, path) in [
        (Method::GET, "/groups/not-an-id"),
        (Method::GET, "/groups?limit=nonsense"),
        (Method::POST, "/orgs/x/groups"),
        (Method::PUT, "/groups/x"),
    ] {
        let reply = app.anonymous.request(method.clone(), path).body("not json").reply().await;
        assert_eq!(reply.problem(401), "unauthenticated", "{method} {path}");
        assert!(reply.header("www-authenticate").starts_with("Bearer"), "{method} {path}");
    }
    // Not even a body that is too large, or a malformed key, is judged before the caller.
    let large = vec![b' '; 2 << 20];
    let reply = app
        .anonymous
        .request(Method::POST, "/groups/search")
        .header("idempotency-key", "two words")
        .body(large)
        .reply()
        .await;
    assert_eq!(reply.problem(401), "unauthenticated");
}

#[tokio::test]
async fn only_one_exact_bearer_token_is_a_credential() {
    let app = start(app::Engine::Sqlite).await;
    let root = app.root().await;
    root.get("/groups").await.expect(200);
    for header in
        ["bearer TOKEN", "Thing TOKEN", "Basic TOKEN", "Bearer  TOKEN", "TOKEN", "Bearer", "Bearer ses_x"]
    {
        let header = header.replace("TOKEN", root.token());
        let reply =
            app.anonymous.request(Method::GET, "/groups").header("authorization", header).reply().await;
        assert_eq!(reply.problem(401), "unauthenticated");
    }
    let twice =
        root.request(Method::GET, "/groups").header("authorization", format!("Bearer {}", root.token()));
    assert_eq!(twice.reply().await.problem(401), "unauthenticated");
}

#[tokio::test]
async fn unknown_and_malformed_ids_get_the_same_answer() {
    for engine in engines() {
        let app = start(engine).await;
        let root = app.root().await;
        let mut answers = Vec::new();
        for id in [NOBODY, "x", "01890000-0000-7000-8000-00000000000A", "%ff", "%00"] {
            let mut reply = root.get(&format!("/groups/{id}")).await;
            assert_eq!(reply.problem(404), "not-found", "{id}");
            let request_id = reply.header("x-request-id").to_owned();
            for name in ["x-request-id", "date"] {
                reply.headers.remove(name);
            }
            answers.push((reply.text.replace(&request_id, ""), format!("{:?}", reply.headers)));
        }
        assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:#?}");
    }
}

#[tokio::test]
async fn what_the_framework_refuses_is_a_problem_too() {
    let app = start(app::Engine::Sqlite).await;
    let root = app.root().await;
    assert_eq!(root.get("/nowhere").await.problem(404), "not-found");
    let reply = root.request(Method::DELETE, "/groups").reply().await;
    assert_eq!(reply.problem(405), "method-not-allowed");
    assert_eq!(reply.header("allow"), "GET,HEAD,PATCH");
    let reply = root.request(Method::POST, "/groups/search").body("{}").reply().await;
    assert_eq!(reply.problem(415), "unsupported-media-type");
    let reply =
        root.request(Method::POST, "/groups/search").json(&json!({})).header("content-encoding", "gzip");
    assert_eq!(reply.reply().await.problem(415), "unsupported-media-type");
    let reply = root.request(Method::POST, "/groups/search").body(vec![b' '; (1 << 20) + 1]).reply().await;
    assert_eq!(reply.problem(413), "body-too-large");
    assert_eq!(root.get(&format!("/groups?name={}", "x".repeat(8200))).await.problem(414), "uri-too-long");
    let mut many = root.request(Method::GET, "/groups");
    for n in 0..70 {
        many = many.header(format!("x-{n}"), "y");
    }
    assert_eq!(many.reply().await.problem(431), "headers-too-large");
    let reply = root.request(Method::GET, "/groups").header("x-long", "y".repeat(17_000)).reply().await;
    assert_eq!(reply.problem(431), "headers-too-large");
}

#[tokio::test]
async fn queries_and_searches_are_strict_alike() {
    let app = start(app::Engine::Sqlite).await;
    let root = app.root().await;
    root.post("/groups/search", &json!({"limit": 5, "dir": "asc", "order": "name", "total": 0}))
        .await
        .expect(200);
    root.get("/groups?limit=5&dir=asc&order=name&total=0&metadata=%7B%22a%22:1,%22b%22:%5B2%5D%7D")
        .await
        .expect(200);
    let reply = root.request(Method::POST, "/groups/search").reply().await;
    assert_eq!(reply.expect(200)["limit"], 10);
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=-1", "limit"),
        ("offset=10001", "offset"),
        ("offset=1000000000", "offset"),
        ("order=size", "order"),
        ("dir=up", "dir"),
        ("color=red", "color"),
        ("metadata=%7B", "metadata"),
        ("metadata=5", "metadata"),
        ("cursor=x", "cursor"),
        ("cursor=x&offset=1", "offset"),
        ("name=a&name=b", "name"),
    ] {
        let reply = root.get(&format!("/groups?{query}")).await;
        assert_eq!(reply.problem(400), "invalid", "{query}");
        assert!(reply.json()["errors"][field].is_string(), "{query}: {}", reply.text);
    }
    for (body, field) in [
        (json!({"limit": 0}), "limit"),
        (json!({"limit": -1}), "limit"),
        (json!({"limit": "5"}), "limit"),
        (json!({"color": "red"}), "color"),
        (json!({"metadata": []}), "metadata"),
        (json!([]), "body"),
    ] {
        let reply = root.post("/groups/search", &body).await;
        assert_eq!(reply.problem(400), "invalid", "{body}");
        assert!(reply.json()["errors"][field].is_string(), "{body}: {}", reply.text);
    }
}

#[tokio::test]
async fn nothing_that_a_request_asks_for_is_ignored() {
    let app = start(app::Engine::Sqlite).await;
    let root = app.root().await;
    let group = format!("/groups/{NOBODY}");
    assert_eq!(root.get(&format!("{group}?verbose=1")).await.problem(400), "invalid");
    assert_eq!(root.post("/groups/search?limit=5", &json!({})).await.problem(400), "invalid");
    let bulk = root.request(Method::PATCH, "/groups").header("if-match", "\"x\"").reply().await;
    assert_eq!(bulk.problem(400), "invalid");
    assert_eq!(app.anonymous.get(&format!("{group}?verbose=1")).await.problem(401), "unauthenticated");
}

#[tokio::test]
async fn every_answer_has_its_id_and_headers() {
    let app = start(app::Engine::Sqlite).await;
    let reply = app.anonymous.request(Method::GET, "/nowhere").header("x-request-id", "mine-1").reply().await;
    assert_eq!(reply.header("x-request-id"), "mine-1");
    for bad in ["", "two words", &"x".repeat(129)] {
        let reply = app.anonymous.request(Method::GET, "/nowhere").header("x-request-id", bad).reply().await;
        assert_eq!(reply.header("x-request-id").len(), 32, "{bad:?}");
    }
    assert_eq!(reply.header("x-content-type-options"), "nosniff");
    assert_eq!(reply.header("cache-control"), "no-store");
    assert!(reply.header("content-security-policy").contains("default-src 'none'"));
    assert_eq!(reply.header("strict-transport-security"), "");
}

#[tokio::test]
async fn every_problem_is_explained() {
    let app = start(app::Engine::Sqlite).await;
    let text = app.anonymous.get("/problems/not-found").await;
    assert_eq!(text.status, 200);
    assert!(text.text.starts_with("Not found (404)"));
    assert_eq!(app.anonymous.get("/problems/nonsense").await.problem(404), "not-found");
}

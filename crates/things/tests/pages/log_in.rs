//! Sessions by cookie.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use things::{Options, serve::Limits};

use crate::{
    app::{Engine, ROOT_PASSWORD as PASSWORD, Send, engines, start, start_with},
    page::{cookie, form, get, log_in, text},
};

const ANN: &str = "ann@example.com";

#[tokio::test]
async fn a_browser_keeps_the_session_that_a_program_would_get() {
    for engine in engines() {
        let server = start(engine).await;
        server.person(ANN).await;
        let reply =
            form(&server, "/login", &[("email", " Ann@Example.com "), ("password", PASSWORD)]).reply().await;
        assert_eq!((reply.status, reply.header("location")), (303, "/login"), "{}", reply.text);
        let (cookie, attributes) = cookie(&reply);
        assert_eq!(attributes, ["Path=/", "Max-Age=1209600", "HttpOnly", "SameSite=Lax"]);
        let token = cookie.strip_prefix("things_session=").unwrap();
        server.client(token).get("/users/profile").await.expect(200);
        let page = get(&server, "/login", &cookie).await;
        assert!(text(&page).contains("You are logged in Account ann@example.com"), "{}", page.text);
        assert!(!page.text.contains(token));

        // Other cookies do not matter, and no other kind of token does.
        let others = format!("a=b; things_session2=x; {cookie}; c=\"d\"");
        assert!(text(&get(&server, "/login", &others).await).contains("You are logged in"));
        let made = server.client(token).post("/keys", &json!({"name": "k", "scopes": ["write"]})).await;
        let pat = format!("things_session={}", made.expect(201)["token"].as_str().unwrap());
        let twice = format!("{cookie}; {cookie}");
        for nobody in
            ["", "things_session=", "things_session=x", &pat, &twice, &cookie.replace("ses_", "SES_")]
        {
            let page = get(&server, "/login", nobody).await;
            assert!(!text(&page).contains("You are logged in"), "{nobody}");
        }
        // Neither does what programs send.
        let page = server.client(token).get("/login").await;
        assert!(!text(&page).contains("You are logged in"));

        let out = form(&server, "/logout", &[]).header("cookie", &cookie).reply().await;
        assert_eq!((out.status, out.header("location")), (303, "/login?notice=logged-out"));
        assert_eq!(out.header("set-cookie"), "things_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
        assert!(!text(&get(&server, "/login", &cookie).await).contains("You are logged in"));
        assert_eq!(server.client(token).get("/users/profile").await.problem(401), "unauthenticated");
        let again = form(&server, "/logout", &[]).header("cookie", &cookie).reply().await;
        assert_eq!((again.status, again.header("location")), (303, "/login"));

        let cookie = log_in(&server, ANN, PASSWORD).await;
        server.clock.advance(Duration::from_secs(14 * 24 * 3600));
        assert!(!text(&get(&server, "/login", &cookie).await).contains("You are logged in"));
    }
}

#[tokio::test]
async fn to_the_api_a_cookie_is_nothing() {
    let server = start(Engine::Sqlite).await;
    server.person(ANN).await;
    let cookie = log_in(&server, ANN, PASSWORD).await;
    let document = serde_json::to_value(things::rest::document()).unwrap();
    let mut tried = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            if operation["security"][0].get("user").is_none() {
                continue;
            }
            let path: String = path
                .split('/')
                .map(|part| if part.starts_with('{') { "01900000-0000-7000-8000-00000000000a" } else { part })
                .collect::<Vec<_>>()
                .join("/");
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let request = server.anonymous.request(method.clone(), &path).header("cookie", &cookie);
            assert_eq!(
                request.json(&json!({})).reply().await.problem(401),
                "unauthenticated",
                "{method} {path}"
            );
            tried += 1;
        }
    }
    assert!(tried > 50, "only {tried} operations were tried");
}

#[tokio::test]
async fn over_https_the_cookie_is_bound_to_it_and_to_the_host() {
    let options = Options {
        requests_per_second: None,
        public_url: "https://things.example.com".to_owned(),
        ..Options::default()
    };
    let server = start_with(Engine::Sqlite, options, Limits::default()).await;
    server.person(ANN).await;
    let reply = form(&server, "/login", &[("email", ANN), ("password", PASSWORD)]).reply().await;
    let (cookie, attributes) = cookie(&reply);
    assert_eq!(attributes, ["Path=/", "Max-Age=1209600", "HttpOnly", "SameSite=Lax", "Secure"]);
    assert!(cookie.starts_with("__Host-things_session=ses_"));
    let page = get(&server, "/login", &cookie).await;
    assert!(text(&page).contains("You are logged in"));
    assert_eq!(page.header("strict-transport-security"), "max-age=31536000");
    // What a neighbour over plain HTTP could have set counts for nothing.
    let plain = cookie.trim_start_matches("__Host-");
    assert!(!text(&get(&server, "/login", plain).await).contains("You are logged in"));
    let out = form(&server, "/logout", &[]).header("cookie", &cookie).reply().await;
    assert_eq!(
        out.header("set-cookie"),
        "__Host-things_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax; Secure"
    );
}

#[tokio::test]
async fn one_goes_on_to_where_one_wanted_and_nowhere_else() {
    let server = start(Engine::Sqlite).await;
    server.person(ANN).await;
    let here = log_in(&server, ANN, PASSWORD).await;
    for (next, goes_on) in [
        ("/invitations/0190-a_b", true),
        ("/", true),
        ("//evil.example", false),
        ("/\\evil.example", false),
        ("https://evil.example", false),
        ("javascript:alert(1)", false),
        ("/a?b=c", false),
        ("/a\r\nx: y", false),
        ("", false),
    ] {
        let encoded: String = next.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let page = server.anonymous.get(&format!("/login?next={encoded}")).await;
        let kept = format!("name=\"next\" value=\"{next}\"");
        assert_eq!(page.text.contains(&kept), goes_on, "{next:?}");
        let target = if goes_on { next } else { "/login" };
        let fields = [("email", ANN), ("password", PASSWORD), ("next", next)];
        assert_eq!(form(&server, "/login", &fields).reply().await.header("location"), target, "{next:?}");
        // A mistake does not lose it, and who is logged in already goes on at once.
        let fields = [("email", ANN), ("password", "wrong"), ("next", next)];
        let refused = form(&server, "/login", &fields).reply().await;
        assert_eq!((refused.status, refused.text.contains(&kept)), (403, goes_on), "{next:?}");
        let page = get(&server, &format!("/login?next={encoded}"), &here).await;
        let expected = if goes_on { (303, next) } else { (200, "") };
        assert_eq!((page.status, page.header("location")), expected, "{next:?}");
    }
}

#[tokio::test]
async fn every_failure_to_log_in_looks_the_same() {
    for engine in engines() {
        let server = start(engine).await;
        server.person(ANN).await;
        let bob = server.person("bob@example.com").await;
        let id = bob.get("/users/profile").await.expect(200)["id"].clone();
        let root = server.root().await;
        let disable = format!("/users/{}/disable", id.as_str().unwrap());
        assert_eq!(root.post(&disable, &json!(null)).await.status, 204);
        let mut answers = Vec::new();
        for (email, password) in
            [(ANN, "not the right password"), ("nobody@example.com", PASSWORD), ("bob@example.com", PASSWORD)]
        {
            let reply = form(&server, "/login", &[("email", email), ("password", password)]).reply().await;
            assert_eq!((reply.status, reply.header("set-cookie")), (403, ""));
            assert!(text(&reply).contains("The e-mail address or the password is wrong"), "{}", reply.text);
            assert!(!reply.text.contains(password));
            answers.push(reply.text.replace(email, "…"));
        }
        assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:#?}");
    }
}

#[tokio::test]
async fn attempts_by_page_and_by_api_are_counted_together() {
    for engine in engines() {
        let server = start(engine).await;
        server.person(ANN).await;
        let wrong = [("email", ANN), ("password", "not the right password")];
        for _ in 0..5 {
            assert_eq!(form(&server, "/login", &wrong).reply().await.status, 403);
            let body = json!({"email": ANN, "password": "not the right password"});
            assert_eq!(server.anonymous.post("/tokens", &body).await.problem(401), "unauthenticated");
        }
        let right = [("email", ANN), ("password", PASSWORD)];
        let reply = form(&server, "/login", &right).reply().await;
        assert_eq!((reply.status, reply.header("retry-after"), reply.header("set-cookie")), (429, "1", ""));
        assert!(text(&reply).contains("Too many attempts; wait before the next one. Try again in a second."));
        server.clock.advance(Duration::from_secs(1));
        assert_eq!(form(&server, "/login", &right).reply().await.status, 303);
    }
}

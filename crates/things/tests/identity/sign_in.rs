//! Logging in and out, changing and resetting passwords.

use std::{path::Path, time::Duration};

use reqwest::Method;
use serde_json::json;
use things::mail::{Destination, Setup};

use crate::{
    app::{Engine, ROOT_PASSWORD as PASSWORD, Send, engines, start, start_mailing, start_open},
    personas::{members, person, text},
};

const NEW: &str = "four unrelated words here";

#[tokio::test]
async fn a_session_begins_and_ends() {
    for engine in engines() {
        let app = start(engine).await;
        let ann = person(&app, "ann").await;
        let body = json!({"email": "Ann@Example.COM", "password": PASSWORD});
        let session = app.anonymous.post("/tokens", &body).await.expect(201);
        assert_eq!(members(&session), ["expires_at", "token"]);
        assert_eq!(session["expires_at"], "2026-01-15T00:00:00.000Z");
        let second = app.client(&text(&session["token"]));
        assert!(second.token().starts_with("ses_"));
        assert_eq!(second.get("/users/profile").await.expect(200)["id"], ann.id);

        assert_eq!(second.delete("/tokens/current").await.status, 204);
        assert_eq!(second.get("/users/profile").await.problem(401), "unauthenticated");
        assert_eq!(second.delete("/tokens/current").await.problem(401), "unauthenticated");
        ann.get("/users/profile").await.expect(200);
        app.clock.advance(Duration::from_secs(14 * 24 * 3600));
        assert_eq!(ann.get("/users/profile").await.problem(401), "unauthenticated");
    }
}

#[tokio::test]
async fn every_failure_to_log_in_looks_the_same() {
    for engine in engines() {
        let app = start(engine).await;
        person(&app, "ann").await;
        let mut answers = Vec::new();
        for (email, password) in [
            ("ann@example.com", "not the right password"),
            ("nobody@example.com", PASSWORD),
            ("ann@example.com", ""),
        ] {
            let body = json!({"email": email, "password": password});
            let reply = app.anonymous.post("/tokens", &body).await;
            assert_eq!(reply.problem(401), "unauthenticated");
            answers.push(reply.text.replace(reply.header("x-request-id"), ""));
        }
        assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:#?}");
        for (body, field) in [
            (json!({}), "email"),
            (json!({"email": "ann@example.com"}), "password"),
            (json!({"email": "ann", "password": "a secret that must not be shown"}), "email"),
            (
                json!({"email": "ann@example.com", "password": ["a secret that must not be shown"]}),
                "password",
            ),
            (json!({"email": "ann@example.com", "a secret": "a secret that must not be shown"}), "a secret"),
        ] {
            let reply = app.anonymous.post("/tokens", &body).await;
            assert_eq!(reply.problem(400), "invalid", "{body}");
            assert!(reply.json()["errors"][field].is_string(), "{body}: {}", reply.text);
            assert!(!reply.text.contains("must not be shown"), "{}", reply.text);
        }
    }
}

#[tokio::test]
async fn after_ten_failures_one_has_to_wait() {
    for engine in engines() {
        let app = start(engine).await;
        person(&app, "ann").await;
        let wrong = json!({"email": "ann@example.com", "password": "not the right password"});
        let right = json!({"email": "ann@example.com", "password": PASSWORD});
        for _ in 0..10 {
            assert_eq!(app.anonymous.post("/tokens", &wrong).await.problem(401), "unauthenticated");
        }
        let reply = app.anonymous.post("/tokens", &right).await;
        assert_eq!(reply.problem(429), "too-many-requests");
        assert_eq!(reply.header("retry-after"), "1");
        app.clock.advance(Duration::from_secs(1));
        app.anonymous.post("/tokens", &right).await.expect(201);
        app.anonymous.post("/tokens", &right).await.expect(201);
    }
}

#[tokio::test]
async fn a_repeated_log_in_is_one_session() {
    for engine in engines() {
        let app = start(engine).await;
        person(&app, "ann").await;
        let right = json!({"email": "ann@example.com", "password": PASSWORD});
        let log_in = |body: &serde_json::Value| {
            app.anonymous.request(Method::POST, "/tokens").header("idempotency-key", "k1").json(body).reply()
        };
        let first = log_in(&right).await.expect(201);
        assert_eq!(log_in(&right).await.expect(201), first);
        // Knowing the key is not knowing the password.
        let wrong = json!({"email": "ann@example.com", "password": "not the right password"});
        assert_eq!(log_in(&wrong).await.problem(401), "unauthenticated");

        // What is kept of the body is not a plain digest of it: passwords could be tried against that.
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, right.to_string().as_bytes());
        let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let literal = match engine {
            Engine::Sqlite => format!("x'{hex}'"),
            Engine::Postgres => format!("'\\x{hex}'::bytea"),
        };
        let count = |filter: String| format!("SELECT count(*) FROM idempotency_keys{filter}");
        assert_eq!(app.database.number(count(String::new())).await, 1);
        assert_eq!(app.database.number(count(format!(" WHERE body_digest = {literal}"))).await, 0);
    }
}

/// Strangers cannot agree on who uses which key.
#[tokio::test]
async fn two_strangers_may_use_one_idempotency_key() {
    for engine in engines() {
        let app = start_open(engine).await;
        let register = |name: &str| {
            let body = json!({"email": format!("{name}@example.com"), "password": PASSWORD});
            let request = app.anonymous.request(Method::POST, "/register");
            request.header("idempotency-key", "1").json(&body).reply()
        };
        let (ann, bob) = (register("ann").await.expect(201), register("bob").await.expect(201));
        assert_ne!(ann["id"], bob["id"]);
        assert_eq!(register("ann").await.expect(201), ann);
        assert_eq!(register("bob").await.expect(201), bob);
        let log_in = |name: &str| {
            let body = json!({"email": format!("{name}@example.com"), "password": PASSWORD});
            let request = app.anonymous.request(Method::POST, "/tokens");
            request.header("idempotency-key", "1").json(&body).reply()
        };
        let (ann, bob) = (log_in("ann").await.expect(201), log_in("bob").await.expect(201));
        assert_ne!(ann["token"], bob["token"]);
        assert_eq!(log_in("ann").await.expect(201), ann);
    }
}

#[tokio::test]
async fn a_password_is_changed_by_who_knows_it() {
    for engine in engines() {
        let app = start(engine).await;
        let ann = person(&app, "ann").await;
        let other = app.log_in(&ann.email, PASSWORD).await;
        let key = ann.post("/keys", &json!({"name": "k", "scopes": ["write"]})).await.expect(201);
        let by_key = app.client(&text(&key["token"]));
        let change = json!({"old_password": PASSWORD, "password": NEW});
        assert_eq!(by_key.patch("/password", &change).await.problem(403), "login-required");
        assert_eq!(app.anonymous.patch("/password", &change).await.problem(401), "unauthenticated");
        for (body, field) in [
            (json!({"old_password": "not the right one", "password": NEW}), "old_password"),
            (json!({"old_password": PASSWORD, "password": "password1234"}), "password"),
            (json!({"password": NEW}), "old_password"),
            (json!({"old_password": PASSWORD}), "password"),
            (json!({"old_password": PASSWORD, "password": NEW, "confirm": NEW}), "confirm"),
        ] {
            let reply = ann.patch("/password", &body).await;
            assert_eq!(reply.problem(400), "invalid", "{body}");
            assert!(reply.json()["errors"][field].is_string(), "{body}: {}", reply.text);
            assert!(!reply.text.contains(PASSWORD) && !reply.text.contains(NEW), "{}", reply.text);
        }

        assert_eq!(ann.patch("/password", &change).await.expect(201), json!({}));
        ann.get("/users/profile").await.expect(200);
        by_key.get("/users/profile").await.expect(200);
        assert_eq!(other.get("/users/profile").await.problem(401), "unauthenticated");
        let old = json!({"email": ann.email, "password": PASSWORD});
        assert_eq!(app.anonymous.post("/tokens", &old).await.problem(401), "unauthenticated");
        app.anonymous.post("/tokens", &json!({"email": ann.email, "password": NEW})).await.expect(201);
    }
}

/// Mails into files.
fn files(home: &Path) -> Setup {
    Setup {
        destination: Destination::Files(home.join("mail")),
        from: None,
        templates: None,
        ca: None,
        site: "https://things.example.com/".to_owned(),
    }
}

/// What the link in a mail ends with, which stands in it as it is.
fn token_in(mail: &str) -> String {
    const LINK: &str = "https://things.example.com/reset/";
    mail.split_whitespace().find_map(|word| word.strip_prefix(LINK)).unwrap().to_owned()
}

/// The mails there are, oldest first, once there are so many.
async fn mails(home: &Path, wanted: usize) -> Vec<String> {
    for _ in 0..500 {
        let mut files: Vec<_> = std::fs::read_dir(home.join("mail"))
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "eml"))
            .collect();
        if files.len() >= wanted {
            files.sort();
            return files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("there are not {wanted} mails");
}

#[tokio::test]
async fn a_forgotten_password_is_set_anew_through_a_mail() {
    for engine in engines() {
        let home = tempfile::tempdir().unwrap();
        let app = start_mailing(engine, &files(home.path())).await;
        let ann = person(&app, "ann").await;
        let key = ann.post("/keys", &json!({"name": "k", "scopes": []})).await.expect(201);
        let ask = async |email: &str| {
            let body = json!({"email": email, "redirect_path": "/reset"});
            let reply = app.anonymous.post("/password/reset-request", &body).await;
            assert_eq!(reply.status, 202, "{}", reply.text);
            reply.text
        };
        // The same for everybody, also for who asks too often.
        let told = ask("nobody@example.com").await;
        assert_eq!(ask("ann@example.com").await, told);
        let mail = mails(home.path(), 1).await.remove(0);
        assert_eq!(ask("ann@example.com").await, told);
        app.clock.advance(Duration::from_secs(61));
        assert_eq!(ask("Ann@example.com").await, told);
        let second = mails(home.path(), 2).await.remove(1);

        for part in ["\nTo: ann@example.com\n", "\nSubject: Your new password\n", "2026-01-01 01:00 UTC"] {
            assert!(mail.contains(part), "{mail}");
        }
        let token = token_in;
        let reset = async |token: &str, password: &str| {
            let body = json!({"token": token, "password": password, "confirm_password": password});
            app.anonymous.put("/password/reset", &body).await
        };
        // The newest mail counts.
        let reply = reset(&token(&mail), NEW).await;
        assert_eq!(reply.problem(400), "invalid");
        assert!(reply.json()["errors"]["token"].is_string());
        let token = token(&second);
        let unequal = json!({"token": token, "password": NEW, "confirm_password": PASSWORD});
        let reply = app.anonymous.put("/password/reset", &unequal).await;
        assert_eq!(reply.json()["errors"]["confirm_password"], "must be the same as `password`");
        assert!(reset(&token, "short").await.json()["errors"]["password"].is_string());

        assert_eq!(reset(&token, NEW).await.expect(201), json!({}));
        assert_eq!(reset(&token, NEW).await.problem(400), "invalid");
        assert_eq!(ann.get("/users/profile").await.problem(401), "unauthenticated");
        let by_key = app.client(&text(&key["token"]));
        assert_eq!(by_key.get("/users/profile").await.problem(401), "unauthenticated");
        app.log_in(&ann.email, NEW).await.get("/users/profile").await.expect(200);

        for (body, field) in [
            (json!({}), "email"),
            (json!({"email": "ann"}), "email"),
            (json!({"email": "ann@example.com", "redirect_path": "https://evil.example"}), "redirect_path"),
            (json!({"email": "ann@example.com", "to": "eve@example.com"}), "to"),
        ] {
            let reply = app.anonymous.post("/password/reset-request", &body).await;
            assert_eq!(reply.problem(400), "invalid", "{body}");
            assert!(reply.json()["errors"][field].is_string(), "{body}: {}", reply.text);
        }
        assert_eq!(mails(home.path(), 2).await.len(), 2);
    }
}

#[tokio::test]
async fn a_reset_ends_after_an_hour() {
    for engine in engines() {
        let home = tempfile::tempdir().unwrap();
        let app = start_mailing(engine, &files(home.path())).await;
        let ann = person(&app, "ann").await;
        let ask = app.anonymous.post("/password/reset-request", &json!({"email": ann.email})).await;
        assert_eq!(members(&ask.expect(202)), ["msg"]);
        let mail = mails(home.path(), 1).await.remove(0);
        let token = token_in(&mail);
        app.clock.advance(Duration::from_secs(3600));
        let reply = app.anonymous.put("/password/reset", &json!({"token": token, "password": NEW})).await;
        assert!(reply.json()["errors"]["token"].is_string(), "{}", reply.text);
        ann.get("/users/profile").await.expect(200);
    }
}

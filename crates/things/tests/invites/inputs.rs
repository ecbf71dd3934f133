//! What cannot be invited, and cannot be answered: refused by name, and never with a 5xx.

use super::*;
use crate::{
    app::{engines, start},
    personas::{cast, members},
};

#[tokio::test]
async fn what_is_wrong_is_named() {
    for engine in engines() {
        let server = start(engine).await;
        let cast = cast(&server).await;
        let group = json!({ "group_id": cast.group, "member_role": "viewer" });
        let org: [(Value, &[&str]); 15] = [
            (json!({}), &["email", "role"]),
            (json!({ "email": "a@example.com" }), &["role"]),
            (json!({ "role": "viewer" }), &["email"]),
            (json!({ "email": "a@example.com\r\nBcc: b@example.com", "role": "viewer" }), &["email"]),
            (json!({ "email": "a@example.com", "role": "" }), &["role"]),
            (json!({ "email": "a@example.com", "role": "Owner" }), &["role"]),
            (json!({ "email": "a@example.com", "role": "owner" }), &["role"]),
            (json!({ "email": "a@example.com", "role": ["viewer"] }), &["role"]),
            (json!({ "email": "a@example.com", "role": "viewer", "mode": "force" }), &["mode"]),
            (json!({ "email": "a@example.com", "role": "viewer", "state": "accepted" }), &["state"]),
            (json!({ "email": "a@example.com", "role": "viewer", "invitee_id": NOBODY }), &["invitee_id"]),
            (
                json!({ "email": "a@example.com", "role": "viewer", "group_invites": [group, group] }),
                &["group_invites[1].group_id"],
            ),
            (
                json!({ "email": "a@example.com", "role": "viewer", "group_invites": [{}, { "group_id": "x", "member_role": "owner" }] }),
                &[
                    "group_invites[0].group_id",
                    "group_invites[0].member_role",
                    "group_invites[1].group_id",
                    "group_invites[1].member_role",
                ],
            ),
            (
                json!({ "email": "a@example.com", "role": "viewer", "group_invites": [{ "group": "x" }] }),
                &["group_invites[0].group"],
            ),
            (json!("a@example.com"), &["body"]),
        ];
        for (body, fields) in &org {
            let reply = cast.owner.post(&to_org(&cast), body).await;
            assert_eq!(members(&reply.expect(400)["errors"]), *fields, "{body}");
            if body.is_object() {
                let reply = cast.owner.post(&to_org(&cast), &json!([body])).await;
                let placed: Vec<_> = fields.iter().map(|field| format!("[0].{field}")).collect();
                assert_eq!(members(&reply.expect(400)["errors"]), placed, "[{body}]");
            }
        }
        let platform: [(Value, &[&str]); 4] = [
            (json!({}), &["email"]),
            (
                json!({ "email": "a@example.com", "role": "viewer", "mode": "ask", "group_invites": [group] }),
                &["group_invites", "mode", "role"],
            ),
            (json!({ "email": "a@example.com", "org_id": "x" }), &["org_id", "role"]),
            (json!({ "email": "a@example.com", "org_id": cast.org }), &["role"]),
        ];
        for (body, fields) in &platform {
            let reply = cast.root.post("/invites", body).await;
            assert_eq!(members(&reply.expect(400)["errors"]), *fields, "{body}");
        }
        let reply = cast
            .admin
            .post(&to_group(&cast), &json!({ "email": "a@example.com", "role": "viewer", "mode": "join" }))
            .await;
        assert_eq!(members(&reply.expect(400)["errors"]), ["mode"]);
        for path in [to_org(&cast), to_group(&cast), "/invites".to_owned()] {
            let request = cast.root.request(Method::POST, &path).body(r#"{"email":"a@example.com"}"#);
            assert_eq!(request.reply().await.problem(415), "unsupported-media-type");
            let request =
                cast.root.request(Method::POST, &path).header("content-type", "text/html").body("{}");
            assert_eq!(request.reply().await.problem(415), "unsupported-media-type");
        }
        assert_eq!(cast.root.get("/invites").await.expect(200)["total"], 0, "none was made");
    }
}

#[tokio::test]
async fn nobody_is_sent_to_another_site() {
    for engine in engines() {
        let server = start(engine).await;
        let cast = cast(&server).await;
        let ben = colleague(&server, &cast, "ben").await;
        let long = format!("/{}", "x".repeat(129));
        for path in [
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "https://evil.example",
            "http:/evil.example",
            "javascript:alert(1)",
            "evil.example",
            "/a\r\nSet-Cookie: x=y",
            "/a%0d%0aSet-Cookie:%20x=y",
            "/@evil.example",
            "/..//evil.example",
            "/\u{2044}/evil.example",
            "/a?next=https://evil.example",
            "/a#b",
            "/a b",
            "/\t/evil.example",
            " /a",
            "/\u{0}",
            &long,
        ] {
            for (at, client, email) in [
                (to_org(&cast), &cast.owner, "a@example.com"),
                (to_group(&cast), &cast.admin, ben.email.as_str()),
                ("/invites".to_owned(), &cast.root, "a@example.com"),
            ] {
                let mut body = json!({ "email": email, "role": "viewer", "redirect_path": path });
                if at == "/invites" {
                    body.as_object_mut().unwrap().remove("role");
                }
                let reply = client.post(&at, &body).await;
                assert_eq!(members(&reply.expect(400)["errors"]), ["redirect_path"], "{path:?} at {at}");
            }
        }
        for (n, path) in
            ["", "/", "/welcome", "/a/b_c-D/9", &format!("/{}", "x".repeat(128))].iter().enumerate()
        {
            let body =
                json!({ "email": format!("a{n}@example.com"), "role": "viewer", "redirect_path": path });
            let made = cast.owner.post(&to_org(&cast), &body).await.expect(201);
            assert_eq!(made.get("redirect_path"), (!path.is_empty()).then(|| json!(path)).as_ref());
        }
        let id =
            invited(&cast.admin, &to_group(&cast), &json!({ "email": ben.email, "role": "viewer" })).await;
        for path in ["//evil.example", "https://evil.example", "/\\evil.example"] {
            for what in ["accept", "decline"] {
                let reply =
                    ben.post(&format!("/invites/{id}/{what}"), &json!({ "redirect_path": path })).await;
                assert_eq!(reply.problem(400), "invalid", "{path} {what}");
            }
        }
        for body in [json!({ "state": "accepted" }), json!([]), json!("yes")] {
            assert_eq!(ben.post(&format!("/invites/{id}/accept"), &body).await.problem(400), "invalid");
        }
        let request = ben.request(Method::POST, &format!("/invites/{id}/accept")).body("{}");
        assert_eq!(request.reply().await.problem(415), "unsupported-media-type");
        assert_eq!(state(&ben, &id).await, "pending");
        ben.post(&format!("/invites/{id}/accept"), &json!(null)).await.expect(201);
    }
}

#[tokio::test]
async fn a_get_changes_nothing() {
    for engine in engines() {
        let server = start(engine).await;
        let cast = cast(&server).await;
        let body = json!({ "email": cast.stranger.email, "role": "viewer" });
        let id = invited(&cast.owner, &to_org(&cast), &body).await;
        for what in ["accept", "decline", "resend"] {
            for method in [Method::GET, Method::HEAD, Method::PUT, Method::DELETE] {
                let request = cast.stranger.request(method.clone(), &format!("/invites/{id}/{what}"));
                assert_eq!(request.reply().await.status, 405, "{method} {what}");
            }
        }
        invited(&cast.owner, &to_org(&cast), &json!({ "email": "new@example.com", "role": "viewer" })).await;
        let secret = server.invite_secret("new@example.com").await;
        for _ in 0..3 {
            server.anonymous.get(&format!("/register/invite/{}", secret.expose())).await.expect(200);
        }
        assert_eq!(state(&cast.stranger, &id).await, "pending");
    }
}

#[tokio::test]
async fn hostile_secrets_are_unknown() {
    for engine in engines() {
        let server = start(engine).await;
        let body = json!({ "email": "new@example.com" });
        let root = server.root().await;
        root.post("/invites", &body).await.expect(201);
        let secret = server.invite_secret("new@example.com").await;
        let secret = secret.expose();
        let unknown = bare(server.anonymous.get("/register/invite/x").await);
        assert_eq!(unknown.0, 404);
        for other in [
            secret.to_uppercase(),
            secret.replace("inv_", "ses_"),
            secret.replace("inv_", ""),
            format!("{secret}%00"),
            format!("{secret}%20"),
            format!("%20{secret}"),
            secret.get(..secret.len() - 1).unwrap().to_owned(),
            "%ff".to_owned(),
            "%27%20OR%201=1--".to_owned(),
            "..%2f..%2finvites".to_owned(),
            "x".repeat(4000),
            NOBODY.to_owned(),
        ] {
            let at = format!("/register/invite/{other}");
            assert_eq!(bare(server.anonymous.get(&at).await), unknown, "{other}");
            let register = server.anonymous.post(&at, &json!({ "password": ROOT_PASSWORD })).await;
            assert_eq!(bare(register), unknown, "{other}");
        }
        let at = format!("/register/invite/{secret}");
        let request = server.anonymous.request(Method::POST, &at).body(r#"{"password":"x"}"#);
        assert_eq!(request.reply().await.problem(415), "unsupported-media-type");
        assert_eq!(server.anonymous.get(&format!("{at}?next=/x")).await.problem(400), "invalid");
        server.anonymous.get(&at).await.expect(200);
        server.anonymous.post(&at, &json!({ "password": ROOT_PASSWORD })).await.expect(201);
    }
}

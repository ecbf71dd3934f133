//! Who sees which page, and with what every page comes.

use std::collections::BTreeSet;

use registry::{Secret, secret::Prefix};
use reqwest::Method;

use crate::{
    app::{Engine, ROOT_PASSWORD as PASSWORD, Reply, Running, Send, engines, start},
    page::{form, get, log_in},
};

/// An operation, and what becomes of it for nobody in particular and for somebody who is logged in: the
/// status, and where one is sent.
struct Row {
    operation: &'static str,
    fields: &'static [(&'static str, &'static str)],
    anonymous: &'static str,
    person: &'static str,
}

const fn row(operation: &'static str, anonymous: &'static str, person: &'static str) -> Row {
    Row { operation, fields: &[], anonymous, person }
}

/// All of them, in the order of `crates/things/src/pages.rs`.
const ROWS: &[Row] = &[
    row("GET /", "200", "200"),
    row("GET /login", "200", "200"),
    Row {
        fields: &[("email", "ann@example.com"), ("password", PASSWORD)],
        ..row("POST /login", "303 /login", "303 /login")
    },
    row("POST /logout", "303 /login", "303 /login?notice=logged-out"),
    row("GET /forgot", "200", "200"),
    Row {
        fields: &[("email", "ann@example.com")],
        ..row("POST /forgot", "303 /forgot?sent", "303 /forgot?sent")
    },
    row("GET /reset/{secret}", "200", "200"),
    Row { fields: &[("password", PASSWORD)], ..row("POST /reset/{secret}", "404", "404") },
    row("GET /invitations", "303 /login?next=/invitations", "200"),
    row("GET /invitations/{id}", "303 /login?next=/invitations/{id}", "404"),
    row("POST /invitations/{id}/accept", "303 /login?next=/invitations/{id}", "404"),
    row("POST /invitations/{id}/decline", "303 /login?next=/invitations/{id}", "404"),
    row("GET /join/{secret}", "404", "404"),
    row("POST /join/{secret}", "404", "404"),
    row("POST /join/{secret}/decline", "404", "404"),
];

/// An id that nothing has.
const NOBODY: &str = "01890000-0000-7000-8000-000000000000";

#[test]
fn every_page_has_a_row() {
    let rows: BTreeSet<String> = ROWS.iter().map(|row| row.operation.to_owned()).collect();
    assert_eq!(rows, things::pages::operations().collect());
}

#[tokio::test]
async fn everybody_sees_the_pages_that_are_for_them() {
    for engine in engines() {
        let server = start(engine).await;
        server.person("ann@example.com").await;
        for row in ROWS {
            let cookie = log_in(&server, "ann@example.com", PASSWORD).await;
            for (who, cookie, expected) in
                [("anonymous", "", row.anonymous), ("a person", cookie.as_str(), row.person)]
            {
                let reply = send(&server, row, cookie).await;
                let told = format!("{} {}", reply.status, reply.header("location"));
                let expected = expected.replace("{id}", NOBODY);
                assert_eq!(told.trim_end(), expected, "{} for {who}: {}", row.operation, reply.text);
                comes_with_what_every_page_does(&server, row.operation, &reply).await;
            }
        }
    }
}

async fn send(server: &Running, row: &Row, cookie: &str) -> Reply {
    let (method, path) = row.operation.split_once(' ').unwrap();
    let kind = if path.starts_with("/join/") { Prefix::Invite } else { Prefix::PasswordReset };
    let secret = Secret::generate(kind).unwrap();
    let path = path.replace("{secret}", secret.expose()).replace("{id}", NOBODY);
    match method {
        "GET" => get(server, &path, cookie).await,
        _ => form(server, &path, row.fields).header("cookie", cookie).reply().await,
    }
}

pub(crate) async fn comes_with_what_every_page_does(server: &Running, operation: &str, reply: &Reply) {
    for (name, value) in [("x-content-type-options", "nosniff"), ("cache-control", "no-store")] {
        assert_eq!(reply.header(name), value, "{operation}");
    }
    assert_ne!(reply.header("x-request-id"), "", "{operation}");
    assert_eq!(reply.header("strict-transport-security"), "", "{operation}: this is not HTTPS");
    let policy = reply.header("content-security-policy");
    if reply.status == 303 {
        assert_eq!(reply.text, "", "{operation}");
        assert!(policy.contains("default-src 'none'"), "{operation}: {policy}");
        return;
    }
    assert_eq!(reply.header("content-type"), "text/html; charset=utf-8", "{operation}");
    assert_eq!(
        policy,
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; \
         frame-ancestors 'none'",
        "{operation}"
    );
    assert_eq!(reply.header("referrer-policy"), "strict-origin", "{operation}");
    for absent in ["<script", "style=", "http:", "https:", "onclick"] {
        assert!(!reply.text.contains(absent), "{operation} has {absent}: {}", reply.text);
    }
    for link in reply.text.split("=\"/").skip(1).filter_map(|rest| rest.split('"').next()) {
        let status = server.anonymous.get(&format!("/{link}")).await.status;
        assert!([200, 303, 405].contains(&status), "{operation} points to /{link}: {status}");
    }
}

#[tokio::test]
async fn what_pages_are_made_with_is_kept_for_good() {
    let server = start(Engine::Sqlite).await;
    let home = server.anonymous.get("/").await;
    for (kind, end) in [("text/css; charset=utf-8", ".css"), ("image/svg+xml", ".svg")] {
        let path = home.text.split('"').find(|text| text.ends_with(end)).unwrap();
        let reply = server.anonymous.get(path).await;
        assert_eq!((reply.status, reply.header("content-type")), (200, kind));
        assert_eq!(reply.header("cache-control"), "public, max-age=31536000, immutable");
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        let stale = path.replace("things-", "things-x");
        assert_eq!(server.anonymous.get(&stale).await.problem(404), "not-found");
    }
    assert_eq!(server.anonymous.get("/assets/%FF").await.problem(404), "not-found");
    assert_eq!(server.anonymous.request(Method::HEAD, "/login").reply().await.status, 200);
}

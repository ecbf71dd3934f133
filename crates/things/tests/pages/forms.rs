//! What is accepted as a form, and from where.

use reqwest::Method;
use things::{Options, serve::Limits};

use crate::{
    app::{Engine, ROOT_PASSWORD as PASSWORD, Running, Send, start, start_with},
    page::text,
};

const FORM: &str = "application/x-www-form-urlencoded";
const ANN: &str = "ann@example.com";

/// Sends a log-in with these headers; its status.
async fn sent(server: &Running, headers: &[(&str, &str)]) -> u16 {
    let body = format!("email={ANN}&password={}", PASSWORD.replace(' ', "+"));
    let request = server.anonymous.request(Method::POST, "/login").header("content-type", FORM).body(body);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let reply = request.reply().await;
    if reply.status == 403 {
        assert_eq!(reply.header("set-cookie"), "");
        assert!(text(&reply).contains("Sent from another site"), "{}", reply.text);
    }
    reply.status
}

#[tokio::test]
async fn forms_come_from_our_own_pages() {
    let server = start(Engine::Sqlite).await;
    server.person(ANN).await;
    let own = format!("http://{}", server.address);
    let neighbour = "http://127.0.0.1:1";
    let (yes, no) = (303, 403);
    // By Sec-Fetch-Site: absent, same-origin, none, same-site, cross-site, and what nobody has heard of.
    for (origin, expected) in [
        (None, [yes, yes, yes, no, no, no]),
        (Some(own.as_str()), [yes, yes, yes, no, no, no]),
        (Some("null"), [no, yes, yes, no, no, no]),
        (Some(neighbour), [no, yes, yes, no, no, no]),
        (Some("https://evil.example"), [no, yes, yes, no, no, no]),
        (Some(server.address.to_string().as_str()), [no, yes, yes, no, no, no]),
        (Some(""), [no, yes, yes, no, no, no]),
    ] {
        let sites =
            [None, Some("same-origin"), Some("none"), Some("same-site"), Some("cross-site"), Some("x")];
        for (site, expected) in sites.into_iter().zip(expected) {
            let headers: Vec<_> = [("origin", origin), ("sec-fetch-site", site)]
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?)))
                .collect();
            assert_eq!(sent(&server, &headers).await, expected, "{headers:?}");
        }
    }
}

#[tokio::test]
async fn behind_a_proxy_the_public_address_is_ours_too() {
    let options = Options {
        requests_per_second: None,
        public_url: "https://Things.example.com:443/".to_owned(),
        ..Options::default()
    };
    let server = start_with(Engine::Sqlite, options, Limits::default()).await;
    server.person(ANN).await;
    for (origin, expected) in [
        ("https://things.example.com", 303),
        ("http://things.example.com", 403),
        ("https://things.example.com:8443", 403),
        ("https://things.example.com.evil.example", 403),
        ("https://evil.example", 403),
    ] {
        assert_eq!(sent(&server, &[("origin", origin)]).await, expected, "{origin}");
    }
    // The proxy may pass on the name that it was asked by.
    let asked = [("host", "things.lan"), ("origin", "http://things.lan")];
    assert_eq!(sent(&server, &asked).await, 303);
}

#[tokio::test]
async fn a_form_is_a_form_and_not_large() {
    let server = start(Engine::Sqlite).await;
    let send = async |kind: Option<&str>, body: Vec<u8>| {
        let request = server.anonymous.request(Method::POST, "/login").body(body);
        match kind {
            Some(kind) => request.header("content-type", kind).reply().await,
            None => request.reply().await,
        }
    };
    let padded = |size: usize| format!("email={}", "x".repeat(size - 6)).into_bytes();
    assert_eq!(send(Some(FORM), padded(16 * 1024)).await.status, 400);
    for (what, kind, body, status) in [
        ("too large", Some(FORM), padded(16 * 1024 + 1), 413),
        ("much too large", Some(FORM), padded(2 * 1024 * 1024), 413),
        ("JSON", Some("application/json"), b"{}".to_vec(), 415),
        ("text", Some("text/plain"), b"email=a".to_vec(), 415),
        ("with files", Some("multipart/form-data; boundary=x"), b"--x--".to_vec(), 415),
        ("nothing", None, b"email=a".to_vec(), 415),
        ("not UTF-8", Some(FORM), b"email=\xFF".to_vec(), 400),
        ("not UTF-8 when decoded", Some(FORM), b"email=%FF".to_vec(), 400),
        ("a broken escape", Some(FORM), b"email=%4".to_vec(), 400),
        ("a field twice", Some(FORM), b"email=a&email=b".to_vec(), 400),
        ("an unknown field", Some(FORM), b"email=a&role=root".to_vec(), 400),
    ] {
        let reply = send(kind, body).await;
        assert_eq!(reply.status, status, "{what}: {}", reply.text);
        assert_eq!(reply.header("content-type"), "text/html; charset=utf-8", "{what}");
        assert!(text(&reply).contains(reply.header("x-request-id")), "{what}: {}", reply.text);
    }
    let charset = send(Some("Application/X-WWW-Form-Urlencoded; charset=UTF-8"), b"email=a".to_vec()).await;
    assert_eq!(charset.status, 400);
    assert!(
        text(&charset).contains("This must be an e-mail address")
            && text(&charset).contains("This is required.")
    );
}

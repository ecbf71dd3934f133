//! A browser without a browser: forms, cookies, and what stands on a page.

#![allow(dead_code, unreachable_pub, reason = "every test crate includes this file and uses part of it")]

use reqwest::{Method, RequestBuilder};

use super::app::{Reply, Running, Send};

/// What a form is sent with, unless a test says otherwise: that it comes from our own page.
pub fn form(server: &Running, path: &str, fields: &[(&str, &str)]) -> RequestBuilder {
    let body: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    server
        .anonymous
        .request(Method::POST, path)
        .header("content-type", "application/x-www-form-urlencoded")
        .header("origin", format!("http://{}", server.address))
        .body(body.join("&"))
}

/// Every byte, as a form may write it.
fn encode(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// The cookie that an answer sets: its name and value, and its attributes.
#[track_caller]
pub fn cookie(reply: &Reply) -> (String, Vec<String>) {
    let mut parts = reply.header("set-cookie").split("; ").map(str::to_owned);
    (parts.next().unwrap_or_default(), parts.collect())
}

/// Logs in by the page; what the browser then sends.
pub async fn log_in(server: &Running, email: &str, password: &str) -> String {
    let reply = form(server, "/login", &[("email", email), ("password", password)]).reply().await;
    assert_eq!(reply.status, 303, "{}", reply.text);
    cookie(&reply).0
}

/// A page as whoever has this cookie sees it.
pub async fn get(server: &Running, path: &str, cookie: &str) -> Reply {
    server.anonymous.request(Method::GET, path).header("cookie", cookie).reply().await
}

/// The page's text without its marks, in one line.
pub fn text(reply: &Reply) -> String {
    let mut text = String::new();
    // Where a word may be broken is none of its text.
    for part in reply.text.replace("<wbr>", "").split('<') {
        text.push_str(part.split_once('>').map_or(part, |(_, text)| text));
        text.push(' ');
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

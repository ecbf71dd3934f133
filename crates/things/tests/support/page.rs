//! A browser without a browser: forms, cookies, and what stands on a page.

#![allow(dead_code, unreachable_pub, reason = "every test crate includes this file and uses part of it")]

use std::path::Path;

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

/// Mails into files below this directory.
pub fn mails_into(home: &Path) -> things::mail::Setup {
    things::mail::Setup {
        destination: things::mail::Destination::Files(home.join("mail")),
        from: None,
        templates: None,
        ca: None,
        site: "http://127.0.0.1".to_owned(),
    }
}

/// The secret in the newest mail, once there are so many: the end of the link to set a new password.
pub async fn secret_from_mail(data_dir: &Path, wanted: usize) -> String {
    for _ in 0..1000 {
        let mut files: Vec<_> = std::fs::read_dir(data_dir.join("mail"))
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "eml"))
            .collect();
        if files.len() >= wanted {
            files.sort();
            let mail = std::fs::read_to_string(files.last().unwrap()).unwrap();
            let at = mail.find("rst_").unwrap();
            return mail[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("there are not {wanted} mails");
}

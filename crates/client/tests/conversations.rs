//! What the client says to a server, and what it makes of the answers: a server that answers by the script, over TCP.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where it cannot go on"
)]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use things_client::{Client, Error, Patience, Token, Upload};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// A server that gives these answers, one to a connection, and what it was asked.
struct Server {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn answering(answers: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let answers: Vec<String> = answers.iter().map(|answer| (*answer).to_owned()).collect();
        let log = Arc::clone(&asked);
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let request = read(&mut stream).await;
                log.lock().unwrap().push(request);
                stream.write_all(answer.as_bytes()).await.unwrap();
                stream.shutdown().await.unwrap();
            }
        });
        Self { url, asked }
    }

    fn client(&self) -> Client {
        let patience = Patience { longest_wait: Duration::from_secs(2), ..Patience::default() };
        Client::builder(&self.url, Some(Token::new("tok_secret"))).patience(patience).build().unwrap()
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// A whole request: its head, and as much as it announces.
async fn read(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    loop {
        let mut part = [0; 4096];
        let read = stream.read(&mut part).await.unwrap();
        text.extend_from_slice(&part[..read]);
        let so_far = String::from_utf8_lossy(&text);
        if let Some((head, body)) = so_far.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return so_far.into_owned();
            }
        }
        assert!(read > 0, "{so_far}");
    }
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-type: application/json\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn problem(status: u16, code: &str) -> String {
    json!({"type": format!("/problems/{code}"), "title": "T", "status": status, "detail": "why", "error": "why", "request_id": "r1"})
        .to_string()
}

#[tokio::test]
async fn pages_follow_one_another_and_the_token_goes_along() {
    let first = answer("200 OK", "", r#"{"total":3,"next":"a/b=","things":[{"n":1},{"n":2}]}"#);
    let last = answer("200 OK", "", r#"{"total":3,"things":[{"n":3}]}"#);
    let server = Server::answering(&[&first, &last]).await;
    let list = server.client().get("/things").query("name", "a b&c").query("limit", "2").pages("things");
    let all: Vec<Value> = list.collect(100).await.unwrap();
    assert_eq!(all, [json!({"n": 1}), json!({"n": 2}), json!({"n": 3})]);
    let asked = server.asked();
    assert!(asked[0].starts_with("GET /things?name=a+b%26c&limit=2 HTTP/1.1\r\n"), "{}", asked[0]);
    assert!(
        asked[1].starts_with("GET /things?name=a+b%26c&limit=2&cursor=a%2Fb%3D HTTP/1.1\r\n"),
        "{}",
        asked[1]
    );
    assert!(asked.iter().all(|request| request.contains("authorization: Bearer tok_secret\r\n")));
}

#[tokio::test]
async fn what_is_safe_is_repeated_and_nothing_else() {
    let ok = answer("200 OK", "", "{}");
    let busy = answer("503 Service Unavailable", "retry-after: 0\r\n", &problem(503, "unavailable"));
    let many = answer("429 Too Many Requests", "retry-after: 0\r\n", &problem(429, "too-many-requests"));
    let gateway = answer("502 Bad Gateway", "retry-after: 0\r\n", "<html>");
    let unknown = answer("503 Service Unavailable", "retry-after: 0\r\n", &problem(503, "outcome-unknown"));

    // Nothing was carried out: whatever it was, it is sent again.
    let server = Server::answering(&[&busy, &many, &ok]).await;
    server.client().delete("/things/1").done().await.unwrap();
    assert_eq!(server.asked().len(), 3);

    // It may have been carried out.
    for broken in [&gateway, &unknown] {
        let server = Server::answering(&[broken, &ok]).await;
        let error = server.client().post("/orgs").json(&json!({})).done().await.unwrap_err();
        assert!(matches!(error.status(), Some(502 | 503)), "{error:?}");
        assert_eq!(server.asked().len(), 1);
        // The server recognises it.
        let server = Server::answering(&[broken, &ok]).await;
        server.client().post("/orgs").json(&json!({})).idempotent("k1").done().await.unwrap();
        let asked = server.asked();
        assert!(asked.len() == 2 && asked.iter().all(|request| request.contains("idempotency-key: k1\r\n")));
        assert_eq!(asked[0], asked[1]);
    }

    // Not for ever, and not when that takes too long.
    let server = Server::answering(&[&busy, &busy, &busy, &busy, &ok]).await;
    assert_eq!(server.client().get("/orgs").done().await.unwrap_err().status(), Some(503));
    assert_eq!(server.asked().len(), 4);
    let late = answer("429 Too Many Requests", "retry-after: 3600\r\n", &problem(429, "too-many-requests"));
    let server = Server::answering(&[&late, &ok]).await;
    let error = server.client().get("/orgs").done().await.unwrap_err();
    assert_eq!(error.problem().unwrap().retry_after, Some(Duration::from_secs(3600)));
}

#[tokio::test]
async fn what_is_no_answer_of_things_is_told_as_such() {
    let elsewhere =
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: https://example.com/\r\ncontent-length: 0\r\n\r\n";
    let server = Server::answering(&[elsewhere]).await;
    let error = server.client().get("/orgs").done().await.unwrap_err();
    assert!(matches!(&error, Error::Foreign(told) if told.contains("https://example.com/")), "{error:?}");
    assert_eq!(server.asked().len(), 1, "a redirect is not followed");

    let page = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>";
    let server = Server::answering(&[page]).await;
    let error = server.client().get("/orgs").read::<Value>().await.unwrap_err();
    assert!(error.to_string().contains("text/html"), "{error}");

    let refused = answer("409 Conflict", "x-request-id: r1\r\n", &problem(409, "thing-name-taken"));
    let server = Server::answering(&[&refused]).await;
    let error =
        server.client().put("/things/1").if_match("\"v.owner\"").json(&json!({})).done().await.unwrap_err();
    let problem = error.problem().unwrap();
    assert_eq!(
        (problem.code.as_str(), problem.status, problem.request_id.as_str()),
        ("thing-name-taken", 409, "r1")
    );
    assert!(server.asked()[0].contains("if-match: \"v.owner\"\r\n"));

    let nobody = Client::new("http://127.0.0.1:1", Some(Token::new("tok_secret"))).unwrap();
    let error = nobody.post("/orgs").done().await.unwrap_err();
    assert!(matches!(error, Error::Unreachable(_)), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("tok_secret"));
}

#[tokio::test]
async fn bodies_go_and_come_in_pieces() {
    let (one, two) = ("{\"event\":\"a\"}\n\n{\"eve", "nt\":\"ü\"}\n{\"event\":\"last\"}");
    let chunked = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{one}\r\n{:x}\r\n{two}\r\n0\r\n\r\n",
        one.len(),
        two.len()
    );
    let server = Server::answering(&[&chunked]).await;
    let upload = Upload::new(std::io::Cursor::new(b"name\npump\n".to_vec()), Some(10));
    let mut lines =
        server.client().post("/groups/1/import").upload("text/csv", upload).await.unwrap().lines();
    let mut events = Vec::new();
    while let Some(event) = lines.next::<Value>().await.unwrap() {
        events.push(event["event"].as_str().unwrap().to_owned());
    }
    assert_eq!(events, ["a", "ü", "last"]);
    let asked = server.asked();
    assert!(
        asked[0].contains("content-type: text/csv\r\n") && asked[0].ends_with("\r\n\r\nname\npump\n"),
        "{}",
        asked[0]
    );

    // One that breaks off is no end.
    let cut = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"a\":";
    let server = Server::answering(&[cut]).await;
    let mut lines = server.client().get("/backup").stream().await.unwrap().lines();
    assert!(matches!(lines.next::<Value>().await.unwrap_err(), Error::Unreachable(_)));
}

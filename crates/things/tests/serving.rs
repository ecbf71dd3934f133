//! The accept loop against clients that are slow, large, many or malformed.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where it cannot go on"
)]

#[path = "support/app.rs"]
mod app;

use std::time::{Duration, Instant};

use app::{Engine, Running, Send, start_with};
use things::{Options, serve::Limits};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_millis(900);

async fn server() -> Running {
    let limits =
        Limits { connections: 4, streams: 100, head: SHORT, idle: LONG, drain: Duration::from_secs(5) };
    let options = Options { requests_per_second: None, body_timeout: SHORT, ..Options::default() };
    start_with(Engine::Sqlite, options, limits).await
}

/// Sends bytes, reads until the server closes; tells what came and after how long.
async fn raw(server: &Running, bytes: &[u8]) -> (String, Duration) {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    rest(&mut stream).await
}

async fn rest(stream: &mut TcpStream) -> (String, Duration) {
    let started = Instant::now();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(8), stream.read_to_end(&mut answer)).await;
    assert!(read.is_ok(), "still open: {}", String::from_utf8_lossy(&answer));
    (String::from_utf8_lossy(&answer).into_owned(), started.elapsed())
}

async fn answer(stream: &mut TcpStream, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut part = [0; 4096];
    let read = stream.read(&mut part).await.unwrap();
    String::from_utf8_lossy(&part[..read]).into_owned()
}

#[tokio::test]
async fn a_head_that_does_not_come_ends_the_connection() {
    let server = server().await;
    for bytes in ["", "GET", "GET / HTTP/1.1\r\nhost: x\r\nx-slow: ", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let (_, after) = raw(&server, bytes.as_bytes()).await;
        assert!(after >= SHORT - Duration::from_millis(50) && after < LONG, "{bytes:?} after {after:?}");
    }
    // One byte at a time is no way around it, neither first nor on a connection in use.
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    assert!(answer(&mut stream, "GET /ready HTTP/1.1\r\nhost: x\r\n\r\n").await.starts_with("HTTP/1.1 204"));
    let started = Instant::now();
    for byte in "GET /ready HTTP/1.1\r\nhost: x\r\nx-slow: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy".bytes() {
        if stream.write_all(&[byte]).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert!(started.elapsed() > SHORT);
    let mut left = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(2), stream.read_to_end(&mut left)).await.unwrap();
    assert!(left.is_empty(), "{}", String::from_utf8_lossy(&left));
}

#[tokio::test]
async fn an_idle_connection_may_wait_longer_than_a_head() {
    let server = server().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    for _ in 0..2 {
        assert!(
            answer(&mut stream, "GET /ready HTTP/1.1\r\nhost: x\r\n\r\n").await.starts_with("HTTP/1.1 204")
        );
        tokio::time::sleep(SHORT * 2).await;
    }
    let (_, after) = rest(&mut stream).await;
    assert!(after < LONG, "{after:?}");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_told() {
    let server = server().await;
    let root = server.root().await;
    let head = format!(
        "POST /groups/search HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: 100\r\nidempotency-key: k\r\n\r\n{{",
        root.token()
    );
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let told = answer(&mut stream, &head).await;
    assert!(told.starts_with("HTTP/1.1 408") && told.contains("/problems/request-timeout"), "{told}");
    rest(&mut stream).await;
}

#[tokio::test]
async fn bodies_have_room_together_and_those_of_strangers_are_small() {
    let options = Options { requests_per_second: None, ..Options::default() };
    let server = start_with(Engine::Sqlite, options, Limits::default()).await;
    let root = server.root().await;
    let search = |token: &str, length: usize| {
        format!(
            "POST /groups/search HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
        )
    };
    // Without a token, as long as it may be and one byte longer, announced or not.
    let padded = |length: usize| format!("{{\"type\":\"internal\",\"key\":\"{}\"}}", "x".repeat(length - 28));
    for (length, status) in [(16 * 1024, 404), (16 * 1024 + 1, 413)] {
        let body = padded(length);
        assert_eq!(body.len(), length);
        let identify = server.anonymous.request(reqwest::Method::POST, "/identify");
        let reply = identify.header("content-type", "application/json").body(body.clone()).reply().await;
        assert_eq!(reply.status, status, "{}", reply.text);
        let chunked = format!(
            "POST /identify HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
             transfer-encoding: chunked\r\nconnection: close\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n"
        );
        let (told, _) = raw(&server, chunked.as_bytes()).await;
        assert!(told.starts_with(&format!("HTTP/1.1 {status}")), "{told}");
    }
    // 96 bodies of the largest size that do not come.
    let mut slow = Vec::new();
    for _ in 0..96 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(search(root.token(), 1 << 20).as_bytes()).await.unwrap();
        slow.push(stream);
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (told, waited) = raw(&server, format!("{}{{}}", search(root.token(), 2)).as_bytes()).await;
    assert!(told.starts_with("HTTP/1.1 503") && told.contains("retry-after: 2"), "{told}");
    assert!(waited > Duration::from_secs(2), "{waited:?}");
    // What needs no room goes on, and so do strangers.
    assert_eq!(root.get("/groups").await.status, 200);
    assert_eq!(root.request(reqwest::Method::POST, "/groups/search").reply().await.status, 200);
    let unknown = serde_json::json!({"type": "internal", "key": "nobody has this key"});
    assert_eq!(server.anonymous.post("/identify", &unknown).await.status, 404);
    drop(slow);
    assert_eq!(root.post("/groups/search", &serde_json::json!({})).await.status, 200);
}

#[tokio::test]
async fn heads_beyond_all_measure_are_not_kept() {
    let server = server().await;
    let (told, _) =
        raw(&server, format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(100_000)).as_bytes()).await;
    assert!(told.starts_with("HTTP/1.1 4"), "{told}");
    let many: String = (0..2000).map(|n| format!("x-{n}: y\r\n")).collect();
    let (told, _) = raw(&server, format!("GET / HTTP/1.1\r\n{many}\r\n").as_bytes()).await;
    assert!(told.starts_with("HTTP/1.1 431"), "{told}");
}

#[tokio::test]
async fn ambiguous_requests_are_refused_and_the_connection_ends() {
    let server = server().await;
    let smuggled = "GET /health HTTP/1.1\r\nhost: x\r\n\r\n";
    for head in [
        "POST /identify HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ncontent-length: 5\r\n\r\n",
        "POST /identify HTTP/1.1\r\nhost: x\r\ncontent-length: +4\r\n\r\n",
        "POST /identify HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked, identity\r\n\r\n",
        "POST /identify HTTP/1.1\r\nhost: x\r\ntransfer-encoding: xchunked\r\n\r\n",
        "GET /ready HTTP/1.1\r\nhost: x\r\nx: a\r\n b\r\n\r\n",
        "GET /ready HTTP/1.1\rhost: x\r\r",
        "GET /ready HTTP/1.1\r\nhost : x\r\n\r\n",
        "GET /ready HTTP/9.9\r\nhost: x\r\n\r\n",
    ] {
        let (told, _) = raw(&server, format!("{head}{smuggled}").as_bytes()).await;
        assert!(!told.contains("things service"), "{head:?} let the next one in: {told}");
        assert!(told.is_empty() || told.starts_with("HTTP/1.1 400"), "{head:?}: {told}");
    }
    // Both lengths: chunked counts, and what follows on the connection is not believed.
    let both = "POST /identify HTTP/1.1\r\nhost: x\r\ncontent-length: 60\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    let (told, _) = raw(&server, format!("{both}{smuggled}").as_bytes()).await;
    assert!(!told.contains("things service"), "{told}");
}

#[tokio::test]
async fn more_connections_than_allowed_wait_their_turn() {
    let server = server().await;
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        answer(&mut stream, "GET /ready HTTP/1.1\r\nhost: x\r\n\r\n").await;
        held.push(stream);
    }
    let mut fifth = TcpStream::connect(server.address).await.unwrap();
    fifth.write_all(b"GET /ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let waiting = tokio::time::timeout(SHORT, fifth.readable()).await;
    assert!(waiting.is_err());
    held.pop();
    let (told, _) = rest(&mut fifth).await;
    assert!(told.starts_with("HTTP/1.1 204"), "{told}");
}

#[tokio::test]
async fn stopping_lets_requests_end_and_takes_no_new_ones() {
    let mut server = server().await;
    let root = server.root().await;
    let head = format!(
        "POST /groups/search HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: 2\r\n\r\n",
        root.token()
    );
    let mut under_way = TcpStream::connect(server.address).await.unwrap();
    under_way.write_all(head.as_bytes()).await.unwrap();
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    answer(&mut idle, "GET /ready HTTP/1.1\r\nhost: x\r\n\r\n").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let ended = server.stop();
    assert_eq!(rest(&mut idle).await.0, "");
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(TcpStream::connect(server.address).await.is_err());
    under_way.write_all(b"{}").await.unwrap();
    let (told, _) = rest(&mut under_way).await;
    assert!(told.starts_with("HTTP/1.1 200"), "{told}");
    assert!(ended.await, "not drained");
}

#[tokio::test]
async fn http_2_is_spoken_without_tls_too() {
    let server = server().await;
    let client = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
    let reply = client.get(format!("http://{}/health", server.address)).send().await.unwrap();
    assert_eq!((reply.version(), reply.status().as_u16()), (reqwest::Version::HTTP_2, 200));
    // An idle one is closed as any other.
    tokio::time::sleep(LONG + SHORT).await;
    let reply = client.get(format!("http://{}/nowhere", server.address)).reply().await;
    assert_eq!(reply.problem(404), "not-found");
}

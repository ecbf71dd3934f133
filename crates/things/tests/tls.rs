//! HTTPS, from PEM files to HTTP/2.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

#[path = "support/app.rs"]
mod app;

use std::time::Duration;

use app::{Engine, Send, start_tls};
use reqwest::{Certificate, Client, ClientBuilder, tls::Version};
use things::serve::tls::acceptor;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

struct Files {
    dir: tempfile::TempDir,
    root: Certificate,
}

impl Files {
    fn make() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(dir.path().join("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(dir.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        std::fs::write(dir.path().join("empty.pem"), "").unwrap();
        Self { dir, root: Certificate::from_pem(made.cert.pem().as_bytes()).unwrap() }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn client(&self) -> ClientBuilder {
        Client::builder().no_proxy().tls_certs_only([self.root.clone()])
    }
}

#[tokio::test]
async fn https_is_spoken_and_insisted_on() {
    let files = Files::make();
    let tls = acceptor(&files.path("cert.pem"), &files.path("key.pem")).unwrap();
    let server = start_tls(Engine::Sqlite, tls).await;
    let url = format!("https://localhost:{}/health", server.address.port());
    for (least, most) in [(Version::TLS_1_2, Version::TLS_1_2), (Version::TLS_1_3, Version::TLS_1_3)] {
        let client = files.client().tls_version_min(least).tls_version_max(most).build().unwrap();
        let response = client.get(&url).send().await.unwrap();
        assert_eq!(response.version(), reqwest::Version::HTTP_2);
        assert_eq!(response.status(), 200);
    }
    let reply = files.client().http1_only().build().unwrap().get(&url).reply().await;
    assert_eq!(reply.header("strict-transport-security"), "max-age=31536000");

    // Plain HTTP gets nowhere, and neither does a handshake that never comes.
    for bytes in ["GET /health HTTP/1.1\r\nhost: x\r\n\r\n", ""] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        let mut told = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(3), stream.read_to_end(&mut told)).await;
        assert!(read.is_ok(), "still open");
        assert!(!String::from_utf8_lossy(&told).contains("HTTP"));
    }
}

#[test]
fn files_that_are_no_good_are_named() {
    let files = Files::make();
    let told = |certificate: &str, key: &str| {
        let refused = acceptor(&files.path(certificate), &files.path(key)).err().unwrap().to_string();
        refused.replace(&format!("{}/", files.dir.path().display()), "")
    };
    assert_eq!(told("empty.pem", "key.pem"), "empty.pem: there is no certificate in it");
    assert!(told("none.pem", "key.pem").starts_with("none.pem: "));
    assert!(told("cert.pem", "cert.pem").starts_with("cert.pem: "));
    let other = rcgen::generate_simple_self_signed(["x".to_owned()]).unwrap();
    std::fs::write(files.path("other.pem"), other.signing_key.serialize_pem()).unwrap();
    assert!(told("cert.pem", "other.pem").contains("cert.pem: "), "keys do not match");
}

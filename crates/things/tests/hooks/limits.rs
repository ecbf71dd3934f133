//! What strangers cannot take from brokers: their keys' look-ups, their room, their time.

use std::time::Duration;

use registry::topics::Layout;
use serde_json::json;
use things::{Options, serve::Limits};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::{
    app::{Engine, Send},
    scene::Scene,
};

const SECRET: &str = "0123456789-hooks-secret";

impl Scene {
    /// Whether EMQX lets somebody in; `peer` is where it says that the device is.
    async fn lets_in(&self, peer: Option<&str>, username: &str, password: &str) -> bool {
        let mut body = json!({"clientid": "c", "username": username, "password": password});
        if let Some(peer) = peer {
            body["peerhost"] = peer.into();
        }
        self.json("/hooks/emqx/authn", &body).await.expect(200)["result"] == "allow"
    }

    fn looked_up(&self) -> u64 {
        self.server.registry.device_checks().from_database
    }
}

#[tokio::test]
async fn a_network_that_guesses_is_answered_from_memory() {
    let scene = Scene::new(Engine::Sqlite).await;
    let external = format!("SN-{}-sensor", scene.profile);
    let (guesser, neighbour, other) = (Some("203.0.113.9"), Some("203.0.113.7"), Some("198.51.100.7"));
    assert!(scene.lets_in(neighbour, "internal", &scene.sensor.key).await);
    let mut before = None;
    for n in 0.. {
        if before == Some(scene.looked_up()) {
            break;
        }
        before = Some(scene.looked_up());
        assert!(!scene.lets_in(guesser, "external", &format!("SN-guess-{n}")).await);
    }
    let before = scene.looked_up();
    assert!(scene.lets_in(neighbour, "internal", &scene.sensor.key).await, "it is in memory");
    assert!(!scene.lets_in(neighbour, "external", &external).await, "its network has guessed too often");
    // That a key is well-formed says nothing: anybody can compute its checksum.
    assert!(!scene.lets_in(neighbour, "internal", &scene.device.key).await);
    assert_eq!(scene.looked_up(), before, "guesses cost a query");
    assert!(scene.lets_in(other, "internal", &scene.device.key).await);
    assert!(scene.lets_in(other, "external", &external).await);
}

#[tokio::test]
async fn a_brokers_own_address_is_never_held() {
    let scene = Scene::new(Engine::Sqlite).await;
    for peer in [None, Some("127.0.0.1")] {
        let before = scene.looked_up();
        for n in 0..200 {
            assert!(!scene.lets_in(peer, "external", &format!("SN-guess-{n}-{peer:?}")).await);
        }
        assert_eq!(scene.looked_up(), before + 200);
    }
    assert!(scene.lets_in(None, "internal", &scene.sensor.key).await);
    assert!(scene.lets_in(Some("127.0.0.1"), "internal", &scene.device.key).await);
}

#[tokio::test]
async fn what_is_wrong_elsewhere_holds_no_device() {
    let scene = Scene::with(Engine::Sqlite, Layout::isolated(), Some(SECRET)).await;
    let guess = json!({"key": "nobody has this key"});
    let mut held = false;
    for _ in 0..200 {
        held |= scene.server.anonymous.post("/identify", &guess).await.status == 429;
        scene.json("/hooks/wrong/emqx/authn", &json!({"username": "x"})).await.expect(200);
    }
    assert!(held, "the API holds this network");
    // Of the same network, by a broker on it.
    for (peer, thing) in [("127.0.0.7", &scene.sensor), ("127.0.0.1", &scene.device)] {
        let body = json!({"username": thing.id, "password": thing.key, "clientid": "c", "peerhost": peer});
        let answer = scene.json(&format!("/hooks/{SECRET}/emqx/authn"), &body).await.expect(200);
        assert_eq!(answer["result"], "allow", "{peer}");
    }
}

/// Announces a body of 1 MiB and sends nothing of it.
async fn announce(address: &str, head: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST {head}\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1048576\r\n\r\n{{"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn slow_bodies_at_the_api_take_no_room_from_brokers() {
    let scene = Scene::new(Engine::Sqlite).await;
    let (address, token) = (scene.server.address.to_string(), scene.root.token().to_owned());
    let head = format!("/orgs HTTP/1.1\r\nauthorization: Bearer {token}");
    let mut slow = Vec::new();
    for _ in 0..100 {
        slow.push(announce(&address, &head).await);
    }
    // Until all room for those with a token is taken.
    let body = json!([{"name": "x"}]);
    while scene.root.post("/orgs", &body).await.status != 503 {}
    assert!(scene.lets_in(None, "internal", &scene.sensor.key).await);
}

#[tokio::test]
async fn what_does_not_arrive_or_cannot_be_read_has_failed() {
    let options =
        Options { requests_per_second: None, body_timeout: Duration::from_millis(300), ..Options::default() };
    let scene = Scene::set_up(Engine::Sqlite, options, Limits::default()).await;
    let address = scene.hooks.trim_start_matches("http://").to_owned();
    let _slow = announce(&address, "/hooks/emqx/authn HTTP/1.1").await;
    let failed = |broker: &str, question: &str, times: usize| {
        format!(
            "things_hook_answers_total{{broker=\"{broker}\",question=\"{question}\",verdict=\"failed\"}} {times}\n"
        )
    };
    let counted = || scene.server.app.metrics.encode().unwrap();
    let sensor = &scene.sensor;
    let twice = format!(
        r#"{{"username":"{}","password":"{}","username":"{}"}}"#,
        scene.device.id, sensor.key, sensor.id
    );
    let post = async |path: &str, body: String| {
        let request = scene.client().post(format!("{}{path}", scene.hooks));
        request
            .header("content-type", "application/json")
            .header("vernemq-hook", "auth_on_register")
            .body(body)
            .reply()
            .await
    };
    for (broker, path, status, no) in [
        ("mosquitto", "/hooks/mosquitto/user", 403, "not authorized"),
        ("vernemq", "/hooks/vernemq", 200, "not_allowed"),
        ("rabbitmq", "/hooks/rabbitmq/user", 200, "deny"),
        ("nanomq", "/hooks/nanomq/auth", 403, ""),
        ("rmqtt", "/hooks/rmqtt/auth", 200, "deny"),
    ] {
        for body in [twice.clone(), "{".to_owned(), "x".repeat(70_000)] {
            let reply = post(path, body).await;
            assert!(reply.status == status && reply.text.contains(no), "{path}: {reply:?}");
        }
        assert!(counted().contains(&failed(broker, "connect", 3)), "{broker} in {}", counted());
    }
    // The one that never arrived.
    while !counted().contains(&failed("emqx", "connect", 1)) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

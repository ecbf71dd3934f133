//! Who may ask at all, and what is left of the asking.

use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use registry::topics::Layout;
use serde_json::json;
use things::{
    hooks::router,
    serve::{Limits, Server, Stop, tls::mutual_acceptor},
};
use tracing_subscriber::fmt::MakeWriter;

use crate::{
    app::{Engine, Send},
    scene::Scene,
};

const SECRET: &str = "canary-hooks-secret-0123456789";

#[tokio::test]
async fn the_secret_is_shown_in_a_header_or_in_the_path() {
    let scene = Scene::with(Engine::Sqlite, Layout::isolated(), Some(SECRET)).await;
    let login = json!({"clientid": "c", "username": scene.sensor.id, "password": scene.sensor.key});
    let post = async |path: &str, header: Option<&str>| {
        let mut request = scene.client().post(format!("{}{path}", scene.hooks)).json(&login);
        if let Some(value) = header {
            request = request.header("authorization", value);
        }
        request.reply().await
    };
    for (path, yes) in [
        ("emqx/authn", "\"result\":\"allow\""),
        ("mosquitto/user", "\"ok\":true"),
        ("rabbitmq/user", "allow"),
        ("rmqtt/auth", "\"result\":\"allow\""),
    ] {
        let right = post(&format!("/hooks/{path}"), Some(&format!("Bearer {SECRET}"))).await;
        assert!(right.status == 200 && right.text.contains(yes), "{right:?}");
        let right = post(&format!("/hooks/{SECRET}/{path}"), None).await;
        assert!(right.status == 200 && right.text.contains(yes), "{right:?}");
        // Those that go on after a status that is no success are told no in their words.
        let (status, text) = match path {
            "emqx/authn" | "rmqtt/auth" => (200, "{\"result\":\"deny\"}"),
            _ => (401, "the secret is missing or wrong\n"),
        };
        for (path, header) in [
            (format!("/hooks/{path}"), None),
            (format!("/hooks/{path}"), Some("Bearer wrong")),
            (format!("/hooks/{path}"), Some(SECRET)),
            (format!("/hooks/wrong/{path}"), None),
            (format!("/hooks/{SECRET}x/{path}"), None),
        ] {
            let wrong = post(&path, header).await;
            assert_eq!((wrong.status, wrong.text.as_str()), (status, text), "{path}");
        }
    }
    let metrics = scene.server.app.metrics.encode().unwrap();
    for line in [
        r#"things_hook_answers_total{broker="emqx",question="connect",verdict="allowed"} 2"#,
        r#"things_hook_answers_total{broker="rabbitmq",question="secret",verdict="refused"} 5"#,
        r#"route="/hooks/{secret}/rabbitmq/user""#,
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
    assert!(!metrics.contains("canary"));
}

/// Everything that this process logs.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn neither_keys_nor_the_secret_are_ever_logged() {
    let log = Log::default();
    // For the whole process: whatever the other tests log in the meantime may not hold these either.
    tracing_subscriber::fmt()
        .with_writer(log.clone())
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .init();
    let scene = Scene::with(Engine::Sqlite, Layout::isolated(), Some(SECRET)).await;
    let wrong = "canary-wrong-key-000000000";
    for path in ["emqx/authn", "mosquitto/user", "rabbitmq/user", "nanomq/auth", "rmqtt/auth"] {
        for secret in [SECRET, "canary-wrong-secret"] {
            for password in [scene.sensor.key.as_str(), wrong] {
                let body = json!({"username": scene.sensor.id, "password": password, "clientid": "c"});
                scene.json(&format!("/hooks/{secret}/{path}"), &body).await;
                let form = [("username", scene.sensor.id.as_str()), ("password", password)];
                scene.form(&format!("/hooks/{secret}/{path}"), &form).await;
            }
        }
    }
    let logged = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    // The client of this test is in the same process, and logs what it sends.
    let ours: Vec<&str> = logged.lines().filter(|line| line.contains(" things::")).collect();
    assert!(ours.iter().any(|line| line.contains("/hooks/{secret}/rabbitmq/user")));
    assert!(ours.iter().any(|line| line.contains("without the right secret")));
    for line in ours {
        assert!(!line.contains("canary") && !line.contains(&scene.sensor.key), "{line}");
    }
}

#[tokio::test]
async fn mainfluxs_layout_is_shared_and_has_to_be_asked_for() {
    let scene = Scene::with(Engine::Sqlite, Layout::mainflux(), None).await;
    for (topic, allowed) in [("messages", true), ("messages/a/b", true), ("things/{device}/messages", false)]
    {
        let body = json!({
            "thing": scene.sensor.id, "topic": scene.topic(topic), "action": "publish",
        });
        let answer = scene.json("/hooks/emqx/authz", &body).await.expect(200);
        assert_eq!(answer["result"], if allowed { "allow" } else { "deny" }, "{topic}");
    }
}

#[tokio::test]
async fn where_certificates_are_asked_for_only_brokers_that_have_one_get_in() {
    let scene = Scene::new(Engine::Sqlite).await;
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let authority = || {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    };
    let (ours, theirs) = (authority(), authority());
    let issue = |by: &CertifiedIssuer<'_, KeyPair>| {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        (params.signed_by(&key, by).unwrap().pem(), key.serialize_pem())
    };
    let root = AsRef::<rcgen::Certificate>::as_ref(&ours).pem();
    let (certificate, key) = issue(&ours);
    for (name, text) in [("ca.pem", &root), ("server.pem", &certificate), ("server.key", &key)] {
        std::fs::write(path(name), text).unwrap();
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/hooks/emqx/authn", listener.local_addr().unwrap().port());
    let router = router(scene.server.app.clone());
    let tls = mutual_acceptor(&path("server.pem"), &path("server.key"), &path("ca.pem")).unwrap();
    let (_stop, stopping) = Stop::switch();
    let server =
        Server { router, limits: Limits::default(), tls: Some(tls), connections: Default::default() };
    tokio::spawn(server.run(listener, stopping));

    let login = json!({"username": scene.sensor.id, "password": scene.sensor.key, "clientid": "c"});
    let ask = async |identity: Option<(String, String)>| {
        let roots = [reqwest::Certificate::from_pem(root.as_bytes()).unwrap()];
        let mut client = reqwest::Client::builder().no_proxy().tls_certs_only(roots);
        if let Some((certificate, key)) = identity {
            client = client
                .identity(reqwest::Identity::from_pem(format!("{key}{certificate}").as_bytes()).unwrap());
        }
        client.build().unwrap().post(&url).json(&login).send().await
    };
    let answer = ask(Some(issue(&ours))).await.unwrap();
    assert!(answer.text().await.unwrap().contains("\"result\":\"allow\""));
    assert!(ask(Some(issue(&theirs))).await.is_err());
    assert!(ask(None).await.is_err());
}

//! The port itself: who is let in, what is there, and what it counts.

use std::{net::SocketAddr, path::Path, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use registry::Secret;
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, version};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use things::{
    Options,
    serve::{Limits, Server, Stop, tls::mutual_acceptor},
};
use tonic::{
    Code, Request, Status,
    codegen::tokio_stream,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::{v1, v1alpha};

use crate::{
    app::{Engine, start, start_with},
    wire::{
        channel,
        protomfx::{ThingId, ThingKey, things_service_client::ThingsServiceClient},
    },
    world::{World, code},
};

const SERVICES: [&str; 5] = [
    "grpc.health.v1.Health",
    "protomfx.AuthService",
    "protomfx.ThingsService",
    "protomfx.UsersService",
    "things.v1.Registry",
];

async fn health(channel: Channel, service: &str) -> Result<i32, Status> {
    let asked = HealthCheckRequest { service: service.to_owned() };
    Ok(HealthClient::new(channel).check(asked).await?.into_inner().status)
}

#[tokio::test]
async fn the_server_and_each_of_its_services_is_well() {
    let mut server = start(Engine::Sqlite).await;
    let channel = channel(server.grpc);
    for service in ["", "protomfx.ThingsService", "things.v1.Registry"] {
        assert_eq!(health(channel.clone(), service).await.unwrap(), ServingStatus::Serving as i32);
    }
    assert_eq!(health(channel.clone(), "protomfx.Nothing").await.unwrap_err().code(), Code::NotFound);
    let asked = HealthCheckRequest { service: String::new() };
    let mut watched = HealthClient::new(channel).watch(asked).await.unwrap().into_inner();
    assert_eq!(watched.message().await.unwrap().unwrap().status, ServingStatus::Serving as i32);
    assert!(server.stop().await);
    let mut last = 0;
    while let Ok(Some(told)) = watched.message().await {
        last = told.status;
    }
    assert_eq!(last, ServingStatus::NotServing as i32);
}

#[tokio::test]
async fn web_pages_are_not_answered() {
    let world = World::on(Engine::Sqlite).await;
    let mut message = vec![0, 0, 0, 0];
    let asked = prost::Message::encode_to_vec(&ThingId { value: world.sensor.id.clone() });
    message.push(u8::try_from(asked.len()).unwrap());
    message.extend(asked);
    let url = format!("http://{}/protomfx.ThingsService/GetKeyByThingID", world.server.grpc);
    let ask = async |client: &reqwest::Client, headers: &[(&str, &str)]| {
        let request = client.post(&url).body(message.clone());
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.bytes().await.unwrap())
    };
    let (one, two) = (
        reqwest::Client::builder().http1_only().build().unwrap(),
        reqwest::Client::builder().http2_prior_knowledge().build().unwrap(),
    );
    let grpc = ("content-type", "application/grpc");
    for (client, headers) in [
        (&one, &[("content-type", "text/plain"), ("origin", "http://evil.example")][..]),
        (&one, &[grpc][..]),
        (&two, &[("content-type", "text/plain")][..]),
        (&two, &[("content-type", "application/grpc-web")][..]),
        (&two, &[grpc, ("origin", "http://evil.example")][..]),
    ] {
        let (status, told) = ask(client, headers).await;
        assert_eq!(status, 415, "{headers:?}");
        assert!(!told.windows(4).any(|bytes| bytes == b"thk_"), "{headers:?}");
    }
    let (status, told) = ask(&two, &[grpc]).await;
    assert_eq!(status, 200);
    assert!(told.windows(4).any(|bytes| bytes == b"thk_"), "whoever speaks gRPC is answered");
}

#[tokio::test]
async fn reflection_lists_the_services_in_both_versions() {
    let server = start(Engine::Sqlite).await;
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(channel(server.grpc));
    let list = v1::server_reflection_request::MessageRequest::ListServices(String::new());
    let asked = v1::ServerReflectionRequest { host: String::new(), message_request: Some(list) };
    let mut told = client.server_reflection_info(tokio_stream::iter([asked])).await.unwrap().into_inner();
    let answer = told.message().await.unwrap().unwrap().message_response.unwrap();
    let v1::server_reflection_response::MessageResponse::ListServicesResponse(list) = answer else {
        panic!("{answer:?}");
    };
    let names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    for service in SERVICES {
        assert!(names.iter().any(|name| name == service), "{service} in {names:?}");
    }

    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(channel(server.grpc));
    let symbol = "protomfx.ThingsService".to_owned();
    let symbol = v1alpha::server_reflection_request::MessageRequest::FileContainingSymbol(symbol);
    let asked = v1alpha::ServerReflectionRequest { host: String::new(), message_request: Some(symbol) };
    let mut told = client.server_reflection_info(tokio_stream::iter([asked])).await.unwrap().into_inner();
    let answer = told.message().await.unwrap().unwrap().message_response.unwrap();
    assert!(
        matches!(answer, v1alpha::server_reflection_response::MessageResponse::FileDescriptorResponse(_)),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_service_token_is_asked_for_where_one_is_set() {
    const TOKEN: &str = "a-token-for-services";
    let options =
        Options { requests_per_second: None, grpc_token: Some(Secret::new(TOKEN)), ..Options::default() };
    let world = World::in_server(start_with(Engine::Sqlite, options, Limits::default()).await).await;
    let mut things = world.things();
    let asked = |shown: Option<&str>| {
        let mut request = Request::new(world.sensor.internal());
        if let Some(shown) = shown {
            request.metadata_mut().insert("authorization", shown.parse().unwrap());
        }
        request
    };
    let found = things.identify(asked(Some(&format!("Bearer {TOKEN}")))).await.unwrap().into_inner();
    assert_eq!(found.value, world.sensor.id);
    let wrong = format!("Bearer {TOKEN}x");
    let person = format!("Bearer {}", world.root.token());
    for shown in [None, Some(TOKEN), Some(&*wrong), Some("Bearer x"), Some(&*person)] {
        assert_eq!(code(things.identify(asked(shown)).await), Code::Unauthenticated, "{shown:?}");
    }
    // Probes have none.
    assert_eq!(health(world.channel.clone(), "").await.unwrap(), ServingStatus::Serving as i32);
    let watch = world.contract().watch_credentials(crate::wire::v1::WatchCredentialsRequest {}).await;
    assert_eq!(watch.err().map(|status| status.code()), Some(Code::Unauthenticated));
}

#[tokio::test]
async fn rpcs_are_counted_by_their_name_and_code() {
    let world = World::on(Engine::Sqlite).await;
    let mut things = world.things();
    things.identify(world.sensor.internal()).await.unwrap();
    let unknown = ThingKey { value: "nobody-has-this-key".to_owned(), r#type: String::new() };
    assert_eq!(code(things.identify(unknown).await), Code::NotFound);
    let http = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
    for path in ["/made.up.by/Somebody", "/protomfx.ThingsService/MadeUp"] {
        let asked = http.post(format!("http://{}{path}", world.server.grpc));
        let reply = asked.header("content-type", "application/grpc").send().await.unwrap();
        assert_eq!(reply.headers()["grpc-status"], "12");
    }
    let metrics = world.server.app.metrics.encode().unwrap();
    for line in [
        r#"things_grpc_requests_total{method="/protomfx.ThingsService/Identify",code="OK"} 1"#,
        r#"things_grpc_requests_total{method="/protomfx.ThingsService/Identify",code="NOT_FOUND"} 1"#,
        r#"things_grpc_requests_total{method="other",code="UNIMPLEMENTED"} 2"#,
        "things_grpc_connections 2",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    assert!(!metrics.contains("MadeUp") && !metrics.contains("made.up"), "{metrics}");
}

#[tokio::test]
async fn a_request_may_be_so_large_and_no_larger() {
    let world = World::on(Engine::Sqlite).await;
    let key = ThingKey { value: "k".repeat(2 << 20), r#type: String::new() };
    assert_eq!(code(world.things().identify(key).await), Code::OutOfRange);
}

/// An authority, and what it has signed for somebody.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn write(&self, dir: &Path, name: &str) {
        std::fs::write(dir.join(name), AsRef::<rcgen::Certificate>::as_ref(&self.0).pem()).unwrap();
    }

    /// Writes `<name>.pem` and `<name>.key`.
    fn issue(&self, dir: &Path, name: &str) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        std::fs::write(dir.join(format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(dir.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}

/// A connection over TLS, with this certificate if any.
fn encrypted(address: SocketAddr, dir: &Path, client: Option<&str>) -> Channel {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(dir.join("ca.pem")).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&version::TLS13])
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match client {
        None => config.with_no_client_auth(),
        Some(name) => {
            let certificate = CertificateDer::from_pem_file(dir.join(format!("{name}.pem"))).unwrap();
            let key = PrivateKeyDer::from_pem_file(dir.join(format!("{name}.key"))).unwrap();
            config.with_client_auth_cert(vec![certificate], key).unwrap()
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let connect = move |_: axum::http::Uri| {
        let connector = connector.clone();
        async move {
            let stream = tokio::net::TcpStream::connect(address).await?;
            let name = ServerName::try_from("localhost").unwrap();
            let stream = connector.connect(name, stream).await?;
            Ok::<_, std::io::Error>(hyper_util::rt::TokioIo::new(stream))
        }
    };
    Endpoint::from_static("http://localhost").connect_with_connector_lazy(tower::service_fn(connect))
}

#[tokio::test]
async fn only_clients_of_the_authority_get_in_where_certificates_are_asked_for() {
    let world = World::on(Engine::Sqlite).await;
    let dir = tempfile::tempdir().unwrap();
    let (ours, theirs) = (Authority::new(), Authority::new());
    ours.write(dir.path(), "ca.pem");
    for name in ["server", "gateway"] {
        ours.issue(dir.path(), name);
    }
    theirs.issue(dir.path(), "intruder");
    let path = |name: &str| dir.path().join(name);
    let tls = mutual_acceptor(&path("server.pem"), &path("server.key"), &path("ca.pem")).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (_stop, stopping) = Stop::switch();
    let router = things::grpc::router(world.server.app.clone(), &stopping);
    let connections = world.server.app.metrics.grpc_connections.clone();
    let server = Server { router, limits: Limits::default(), tls: Some(tls), connections };
    tokio::spawn(server.run(listener, stopping));

    let ask =
        async |channel: Channel| ThingsServiceClient::new(channel).identify(world.sensor.internal()).await;
    let found = ask(encrypted(address, dir.path(), Some("gateway"))).await.unwrap().into_inner();
    assert_eq!(found.value, world.sensor.id);
    for stranger in [None, Some("intruder")] {
        assert!(ask(encrypted(address, dir.path(), stranger)).await.is_err(), "{stranger:?}");
    }
    assert!(ask(channel(address)).await.is_err(), "not in the clear");

    std::fs::write(path("empty.pem"), "").unwrap();
    let refused = mutual_acceptor(&path("server.pem"), &path("server.key"), &path("empty.pem"));
    assert!(refused.err().unwrap().to_string().ends_with("empty.pem: there is no certificate in it"));
}

//! The whole server inside the test's process: the real accept loop on a port of its own, on either
//! engine, with a clock that the test moves.

#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "every test crate includes this file and uses part of it"
)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test without its server cannot go on"
)]

use std::{sync::Arc, time::Duration};

use registry::{
    Call, Clock, NewOrg, Password, Registry, Secret, Settings, Timestamp,
    secret::Prefix,
    text::{Email, OrgName},
};
use reqwest::{Method, RequestBuilder, header::HeaderMap};
use serde_json::Value;
use things::{
    App, Options,
    mail::{Mailing, Setup},
    rest,
    serve::{Limits, Server, Stop},
};

#[path = "../../../registry/tests/support/mod.rs"]
pub mod databases;

pub use databases::{Engine, engines};

/// Where a test's clock stands at first: 2026-01-01.
pub const START: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// The platform's root in tests.
pub const ROOT_EMAIL: &str = "root@example.com";
pub const ROOT_PASSWORD: &str = "correct horse battery staple";

/// A running server. It stops when dropped.
pub struct Running {
    stop: Stop,
    serving: Option<tokio::task::JoinHandle<bool>>,
    pub address: std::net::SocketAddr,
    /// Where gRPC is answered.
    pub grpc: std::net::SocketAddr,
    pub registry: Arc<Registry>,
    /// What the fronts hold.
    pub app: App,
    pub clock: Clock,
    /// Nobody: a client without a token.
    pub anonymous: Client,
    http: reqwest::Client,
    // Dropped last: the registry has it open.
    pub database: databases::Database,
}

/// Starts a server with the usual options, no rate limit, and a clock that stands at [`START`].
pub async fn start(engine: Engine) -> Running {
    start_with(engine, Options { requests_per_second: None, ..Options::default() }, Limits::default()).await
}

/// Starts a server.
pub async fn start_with(engine: Engine, options: Options, limits: Limits) -> Running {
    start_set_up(engine, options, limits, |_| {}).await
}

/// Starts a server whose registry is set up otherwise.
pub async fn start_set_up(
    engine: Engine,
    options: Options,
    limits: Limits,
    set_up: impl FnOnce(&mut Settings),
) -> Running {
    launch(engine, options, limits, None, None, set_up).await
}

/// Starts a server that sends mail, and looks for what is due all the time.
pub async fn start_mailing(engine: Engine, mail: &Setup) -> Running {
    let options = Options { requests_per_second: None, public_url: mail.site.clone(), ..Options::default() };
    let mailing = Mailing::new(mail).unwrap().unwrap().polling(Duration::from_millis(20));
    launch(engine, options, Limits::default(), None, Some(mailing), |_| {}).await
}

/// Starts a server where anybody may register.
pub async fn start_open(engine: Engine) -> Running {
    let options = Options { requests_per_second: None, ..Options::default() };
    start_set_up(engine, options, Limits::default(), |settings| settings.open_registration = true).await
}

/// Starts a server that speaks TLS.
pub async fn start_tls(engine: Engine, tls: tokio_rustls::TlsAcceptor) -> Running {
    let options = Options { tls: true, ..Options::default() };
    let limits = Limits { head: Duration::from_millis(500), ..Limits::default() };
    launch(engine, options, limits, Some(tls), None, |_| {}).await
}

async fn launch(
    engine: Engine,
    options: Options,
    limits: Limits,
    tls: Option<tokio_rustls::TlsAcceptor>,
    mailing: Option<Mailing>,
    set_up: impl FnOnce(&mut Settings),
) -> Running {
    let clock = Clock::standing(START);
    let database = databases::fresh(engine).await;
    let mut settings = databases::settings(&database, clock.clone());
    set_up(&mut settings);
    let registry = Registry::open(settings).await.unwrap();
    let app = App::new(Arc::clone(&registry), options);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopping) = Stop::switch();
    if let Some(mailing) = mailing {
        let registry = Arc::clone(&registry);
        tokio::spawn(mailing.run(registry, app.metrics.mail.clone(), stopping.clone(), limits.drain));
    }
    let connections = app.metrics.connections.clone();
    let server = Server { router: rest::router(app.clone()), limits, tls, connections };
    let port = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let grpc = port.local_addr().unwrap();
    let connections = app.metrics.grpc_connections.clone();
    let router = things::grpc::router(app.clone(), &stopping);
    let limits = Limits { streams: things::grpc::STREAMS, ..server.limits.clone() };
    let rpcs = Server { router, limits, tls: None, connections };
    let serving = Some(tokio::spawn(async move {
        let (http, grpc) =
            tokio::join!(server.run(listener, stopping.clone()), rpcs.run(port, stopping.clone()));
        http && grpc
    }));
    let http = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(30))
        .build()
        .unwrap();
    let anonymous = Client { http: http.clone(), base: format!("http://{address}"), token: None };
    Running { stop, serving, address, grpc, registry, app, clock, anonymous, http, database }
}

impl Running {
    /// Tells the server to stop; the answer tells whether every request ended in time.
    pub fn stop(&mut self) -> impl Future<Output = bool> + use<> {
        self.stop.now();
        let serving = self.serving.take().unwrap();
        async move { serving.await.unwrap() }
    }

    /// The platform's root, logged in; made at the first call.
    pub async fn root(&self) -> Client {
        self.registry.ensure_root(email(ROOT_EMAIL), Some(password(ROOT_PASSWORD))).await.unwrap();
        self.log_in(ROOT_EMAIL, ROOT_PASSWORD).await
    }

    /// A new account, logged in.
    pub async fn person(&self, address: &str) -> Client {
        let root = self.root().await;
        let call = Call::new(root.actor(&self.registry).await, "test");
        let (address, password) = (email(address), password(ROOT_PASSWORD));
        self.registry.create_user(&call, &address, &password, &Default::default(), None).await.unwrap();
        self.log_in(address.as_str(), ROOT_PASSWORD).await
    }

    /// Somebody's client, with a new session.
    pub async fn log_in(&self, address: &str, password: &str) -> Client {
        let call = Call::new(registry::Actor::Anonymous, "test");
        let (address, password, ip) = (email(address), Secret::new(password), self.address.ip());
        let session = self.registry.create_session(&call, &address, &password, ip).await.unwrap();
        self.client(session.token.unwrap().expose())
    }

    /// A new organisation of this person's; its id.
    pub async fn org(&self, owner: &Client) -> String {
        let call = Call::new(owner.actor(&self.registry).await, "test");
        let new = NewOrg {
            id: None,
            name: OrgName::try_from("An organisation").unwrap(),
            description: Default::default(),
            metadata: Default::default(),
        };
        self.registry.create_org(&call, &new).await.unwrap().id.to_string()
    }

    /// The secret that the platform invite to this address has from now on: the one it was mailed with
    /// is known to nobody else.
    pub async fn invite_secret(&self, address: &str) -> Secret {
        let secret = Secret::generate(Prefix::Invite).unwrap();
        let hex: String = secret.digest().iter().map(|byte| format!("{byte:02x}")).collect();
        let digest = match self.database.engine {
            Engine::Sqlite => format!("x'{hex}'"),
            Engine::Postgres => format!("decode('{hex}', 'hex')"),
        };
        let those = format!("WHERE invitee_email = '{address}' AND state = 'pending'");
        let found = self.database.number(format!("SELECT count(*) FROM platform_invites {those}")).await;
        assert_eq!(found, 1, "platform invites to {address}");
        self.database.execute(format!("UPDATE platform_invites SET digest = {digest} {those}")).await;
        secret
    }

    /// A client with this token.
    pub fn client(&self, token: &str) -> Client {
        Client { http: self.http.clone(), base: self.anonymous.base.clone(), token: Some(token.to_owned()) }
    }
}

fn email(text: &str) -> Email {
    Email::try_from(text).unwrap()
}

fn password(text: &str) -> Password {
    Password::try_from(Secret::new(text)).unwrap()
}

/// Somebody who sends requests.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

impl Client {
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        }
    }

    pub fn token(&self) -> &str {
        self.token.as_deref().unwrap_or_default()
    }

    /// Who this is to the registry.
    pub async fn actor(&self, registry: &Registry) -> registry::Actor {
        registry.authenticate(&Secret::new(self.token())).await.unwrap()
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.request(Method::GET, path).reply().await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        self.request(Method::POST, path).json(body).reply().await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Reply {
        self.request(Method::PUT, path).json(body).reply().await
    }

    pub async fn patch(&self, path: &str, body: &Value) -> Reply {
        self.request(Method::PATCH, path).json(body).reply().await
    }

    pub async fn delete(&self, path: &str) -> Reply {
        self.request(Method::DELETE, path).reply().await
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Reply {
    /// The body; `null` when there is none.
    pub fn json(&self) -> Value {
        if self.text.is_empty() {
            return Value::Null;
        }
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The body, if the status is this one.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.json()
    }

    /// The problem's kind, if it is one with this status.
    #[track_caller]
    pub fn problem(&self, status: u16) -> String {
        let body = self.expect(status);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(body["status"], status);
        assert_eq!(body["detail"], body["error"]);
        assert_eq!(body["request_id"], self.header("x-request-id"));
        body["type"].as_str().unwrap().trim_start_matches("/problems/").to_owned()
    }

    /// A header, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// Sends, and reads the answer.
pub trait Send {
    fn reply(self) -> impl Future<Output = Reply> + std::marker::Send;
}

impl Send for RequestBuilder {
    async fn reply(self) -> Reply {
        let response = self.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Reply { status, headers, text: response.text().await.unwrap() }
    }
}

//! One client: a connection of its own, and one request after the other on it.

use std::net::SocketAddr;

use axum::http::{Method, Request, StatusCode, header, uri::PathAndQuery};
use http_body_util::{BodyExt, Full};
use hyper::{body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::net::TcpStream;
use tonic::{
    Code, Status,
    client::Grpc,
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;

use super::{Result, child::Server};
use crate::{
    cli::Failure,
    grpc::wire::{
        protomfx::{PubConfigByKeyRes, ThingId, ThingKey},
        v1::{AuthenticateRequest, AuthenticateResponse, authenticate_request::Credential},
    },
};

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ask {
    /// `POST /identify`
    HttpIdentify,
    /// `protomfx.ThingsService/Identify`
    GrpcIdentify,
    /// `protomfx.ThingsService/GetPubConfigByKey`
    GrpcPubConfig,
    /// `things.v1.Registry/Authenticate`
    GrpcAuthenticate,
}

impl Ask {
    pub(super) const ALL: [Self; 4] =
        [Self::HttpIdentify, Self::GrpcIdentify, Self::GrpcPubConfig, Self::GrpcAuthenticate];

    pub(super) fn is_http(self) -> bool {
        self == Self::HttpIdentify
    }

    /// What a person calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::HttpIdentify => "HTTP POST /identify",
            Self::GrpcIdentify => "gRPC Identify",
            Self::GrpcPubConfig => "gRPC GetPubConfigByKey",
            Self::GrpcAuthenticate => "gRPC Authenticate",
        }
    }

    fn path(self) -> PathAndQuery {
        PathAndQuery::from_static(match self {
            Self::HttpIdentify => "/identify",
            Self::GrpcIdentify => "/protomfx.ThingsService/Identify",
            Self::GrpcPubConfig => "/protomfx.ThingsService/GetPubConfigByKey",
            Self::GrpcAuthenticate => "/things.v1.Registry/Authenticate",
        })
    }
}

/// What came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// The thing that was expected.
    Right,
    /// That the key lets nobody in, or that there were too many such keys.
    Refused,
    /// Something else.
    Wrong,
}

/// A connection.
pub(super) enum Client {
    Http { send: http1::SendRequest<Full<Bytes>>, host: String },
    Grpc(Grpc<Channel>),
}

impl Client {
    /// Connects to what answers such questions.
    pub(super) async fn connect(server: &Server, ask: Ask) -> Result<Self> {
        let failed = |error: &(dyn std::error::Error + 'static)| Failure::to("connect to a server", error);
        if ask.is_http() {
            return Self::http(server.http).await;
        }
        let endpoint =
            Endpoint::from_shared(format!("http://{}", server.grpc)).map_err(|error| failed(&error))?;
        let channel = endpoint.tcp_nodelay(true).connect().await.map_err(|error| failed(&error))?;
        Ok(Self::Grpc(Grpc::new(channel)))
    }

    async fn http(address: SocketAddr) -> Result<Self> {
        let failed = |error: &(dyn std::error::Error + 'static)| Failure::to("connect to a server", error);
        let stream = TcpStream::connect(address).await.map_err(|error| failed(&error))?;
        stream.set_nodelay(true).map_err(|error| failed(&error))?;
        let (send, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
        // It ends with `send`; what went wrong is told there.
        tokio::spawn(connection);
        Ok(Self::Http { send, host: address.to_string() })
    }

    /// Asks whose a key is, and compares with whose it should be.
    pub(super) async fn ask(&mut self, ask: Ask, key: &str, id: &str) -> Result<Told> {
        let failed = |error: &(dyn std::error::Error + 'static)| Failure::to("ask a server", error);
        match self {
            Self::Http { send, host } => {
                let request = Request::builder()
                    .method(Method::POST)
                    .uri(ask.path().as_str())
                    .header(header::HOST, host.as_str())
                    .header(header::CONTENT_TYPE, "application/json")
                    .body(Full::new(Bytes::from(format!(r#"{{"key":"{key}"}}"#))))
                    .map_err(|error| failed(&error))?;
                send.ready().await.map_err(|error| failed(&error))?;
                let answer = send.send_request(request).await.map_err(|error| failed(&error))?;
                let status = answer.status();
                let body = answer.into_body().collect().await.map_err(|error| failed(&error))?.to_bytes();
                Ok(match status {
                    StatusCode::OK => right(body.get(7..43) == Some(id.as_bytes())),
                    StatusCode::NOT_FOUND | StatusCode::TOO_MANY_REQUESTS => Told::Refused,
                    _ => Told::Wrong,
                })
            }
            Self::Grpc(grpc) => {
                grpc.ready().await.map_err(|error| failed(&error))?;
                let key = || ThingKey { value: key.to_owned(), r#type: String::new() };
                let told = match ask {
                    Ask::HttpIdentify => return Ok(Told::Wrong),
                    Ask::GrpcIdentify => {
                        let codec = ProstCodec::<ThingKey, ThingId>::default();
                        let answer = grpc.unary(tonic::Request::new(key()), ask.path(), codec).await;
                        answer.map(|answer| answer.get_ref().value == id)
                    }
                    Ask::GrpcPubConfig => {
                        let codec = ProstCodec::<ThingKey, PubConfigByKeyRes>::default();
                        let answer = grpc.unary(tonic::Request::new(key()), ask.path(), codec).await;
                        answer.map(|answer| {
                            let answer = answer.get_ref();
                            answer.publisher_id == id && answer.profile_config.is_some()
                        })
                    }
                    Ask::GrpcAuthenticate => {
                        let codec = ProstCodec::<AuthenticateRequest, AuthenticateResponse>::default();
                        let credential = Some(Credential::Key(key().value));
                        let message = AuthenticateRequest { credential, source: String::new() };
                        let answer = grpc.unary(tonic::Request::new(message), ask.path(), codec).await;
                        answer.map(|answer| answer.get_ref().thing_id == id)
                    }
                };
                Ok(told.map_or_else(refused, right))
            }
        }
    }
}

fn right(is: bool) -> Told {
    if is { Told::Right } else { Told::Wrong }
}

#[expect(clippy::needless_pass_by_value, reason = "as errors are mapped")]
fn refused(status: Status) -> Told {
    match status.code() {
        Code::NotFound | Code::ResourceExhausted => Told::Refused,
        _ => Told::Wrong,
    }
}

/// How many checks the registry has answered, from memory and from the database.
pub(super) async fn checks(server: &Server) -> Result<Option<(u64, u64)>> {
    let Some(address) = server.metrics else { return Ok(None) };
    let Client::Http { mut send, host } = Client::http(address).await? else { return Ok(None) };
    let failed = |error: &(dyn std::error::Error + 'static)| Failure::to("read a server's metrics", error);
    let request = Request::builder()
        .uri("/metrics")
        .header(header::HOST, host)
        .body(Full::default())
        .map_err(|error| failed(&error))?;
    let answer = send.send_request(request).await.map_err(|error| failed(&error))?;
    let body = answer.into_body().collect().await.map_err(|error| failed(&error))?.to_bytes();
    let text = String::from_utf8_lossy(&body);
    let count = |from: &str| {
        let name = format!("things_device_lookups_total{{source=\"{from}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&name)).and_then(|count| count.trim().parse().ok())
    };
    match (count("memory"), count("database")) {
        (Some(memory), Some(database)) => Ok(Some((memory, database))),
        _ => Err(Failure::Failed("a server's metrics do not count checks of credentials".to_owned())),
    }
}

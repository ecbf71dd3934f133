//! A client as a program would write one: one connection, kept open, one request after the other.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};

use crate::{Result, report::Samples};

/// Somebody's client. Clones share the token, not the connection.
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

impl Clone for Client {
    fn clone(&self) -> Self {
        Self { http: connection().unwrap_or_default(), base: self.base.clone(), token: self.token.clone() }
    }
}

fn connection() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .no_proxy()
        .tcp_nodelay(true)
        .pool_max_idle_per_host(1)
        .timeout(Duration::from_secs(120))
        .build()
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Result<Self> {
        Ok(Self { http: connection()?, base: format!("http://{address}"), token: None })
    }

    pub(crate) async fn log_in(address: SocketAddr, email: &str, password: &str) -> Result<Self> {
        let mut client = Self::new(address)?;
        let session = client.post("/tokens", &json!({ "email": email, "password": password })).await?;
        client.token = Some(text(&session, "/token")?);
        Ok(client)
    }

    /// Sends a value, answers what came back.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let (_, answer) = self.send(Method::POST, path, Some(serde_json::to_vec(body)?)).await?;
        Ok(serde_json::from_slice(&answer).unwrap_or_default())
    }

    /// Sends a body made beforehand; answers how long that took, the whole answer received.
    pub(crate) async fn timed_post(&self, path: &str, body: Vec<u8>) -> Result<Duration> {
        Ok(self.send(Method::POST, path, Some(body)).await?.0)
    }

    /// Sends a CSV file; answers what was told of it.
    pub(crate) async fn import(&self, path: &str, file: Vec<u8>) -> Result<Vec<u8>> {
        let request = self.http.post(format!("{}{path}", self.base)).timeout(Duration::from_secs(900));
        let request = request.header(header::CONTENT_TYPE, "text/csv").body(file);
        let answer = match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
        .send()
        .await?;
        let status = answer.status();
        let bytes = answer.bytes().await?;
        if status == StatusCode::OK {
            Ok(bytes.into())
        } else {
            Err(refusal(&Method::POST, path, status, &bytes))
        }
    }

    /// Sends a body made beforehand; whether it was taken, or is to be sent again later.
    pub(crate) async fn is_taken(&self, path: &str, body: Vec<u8>) -> Result<bool> {
        let (status, _, answer) = self.ask(Method::POST, path, Some(body)).await?;
        match status {
            StatusCode::CREATED => Ok(true),
            StatusCode::TOO_MANY_REQUESTS => Ok(false),
            _ => Err(refusal(&Method::POST, path, status, &answer)),
        }
    }

    /// How long it takes to get something, and what it is.
    pub(crate) async fn get(&self, path: &str) -> Result<(Duration, Value)> {
        let (took, answer) = self.send(Method::GET, path, None).await?;
        Ok((took, serde_json::from_slice(&answer)?))
    }

    /// How long it takes to get something, several times.
    pub(crate) async fn timed_gets(&self, path: &str, times: usize) -> Result<Samples> {
        let mut samples = Samples::default();
        for _ in 0..times {
            samples.add(self.send(Method::GET, path, None).await?.0);
        }
        Ok(samples)
    }

    async fn send(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Result<(Duration, Vec<u8>)> {
        let (status, took, answer) = self.ask(method.clone(), path, body).await?;
        match status {
            StatusCode::OK | StatusCode::CREATED | StatusCode::NO_CONTENT => Ok((took, answer)),
            _ => Err(refusal(&method, path, status, &answer)),
        }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<(StatusCode, Duration, Vec<u8>)> {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.header(header::CONTENT_TYPE, "application/json").body(body);
        }
        let sent = Instant::now();
        let answer = request.send().await?;
        let status = answer.status();
        let bytes = answer.bytes().await?;
        Ok((status, sent.elapsed(), bytes.into()))
    }
}

fn refusal(method: &Method, path: &str, status: StatusCode, answer: &[u8]) -> crate::Error {
    let told: String = String::from_utf8_lossy(answer).chars().take(500).collect();
    format!("{method} {path} answered {status}: {told}").into()
}

/// The text at a JSON pointer.
pub(crate) fn text(value: &Value, pointer: &str) -> Result<String> {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.map(str::to_owned).ok_or_else(|| format!("there is no {pointer} in the answer").into())
}

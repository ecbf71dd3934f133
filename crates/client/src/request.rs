//! One request: what is sent, and what becomes of it.

use std::{
    io::ErrorKind,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_core::Stream;
use reqwest::{
    Method, Url,
    header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue, IF_MATCH, RETRY_AFTER},
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::io::AsyncRead;
use tokio_util::io::ReaderStream;

use crate::{Client, Error, Pages, Problem, Response, client};

/// A problem's body is small; more than this is not read of one.
const MAX_PROBLEM: usize = 1 << 20;

/// How long an upload's body follows its head. A server that refuses by the head alone (no such group, not yours) closes
/// the connection, and whoever is writing then learns of that and not of the answer.
const REFUSAL: Duration = Duration::from_millis(300);

/// A request to be sent.
#[derive(Debug)]
#[must_use = "it is not sent by itself"]
pub struct Request {
    client: Client,
    method: Method,
    url: Result<Url, Error>,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Option<Bytes>,
    /// What was wrong with a value; told when it would be sent.
    wrong: Option<Error>,
    repeatable: bool,
}

impl Request {
    pub(crate) fn new(
        client: Client,
        method: Method,
        url: Result<Url, Error>,
        token: Option<HeaderValue>,
    ) -> Self {
        let repeatable = method.is_safe();
        let headers = token.map(|token| (client::TOKEN, token)).into_iter().collect();
        Self { client, method, url, headers, body: None, wrong: None, repeatable }
    }

    /// A parameter of the query string.
    pub fn query(mut self, name: &str, value: impl AsRef<str>) -> Self {
        if let Ok(url) = &mut self.url {
            url.query_pairs_mut().append_pair(name, value.as_ref());
        }
        self
    }

    /// The same, unless there is no value.
    pub fn query_opt(self, name: &str, value: Option<impl AsRef<str>>) -> Self {
        match value {
            Some(value) => self.query(name, value),
            None => self,
        }
    }

    /// A parameter in place of the one of that name.
    pub(crate) fn requery(mut self, name: &str, value: &str) -> Self {
        if let Ok(url) = &mut self.url {
            let kept: Vec<(String, String)> = url
                .query_pairs()
                .filter(|(key, _)| key != name)
                .map(|(k, v)| (k.into_owned(), v.into_owned()))
                .collect();
            url.query_pairs_mut().clear().extend_pairs(kept).append_pair(name, value);
        }
        self
    }

    /// What is sent, as JSON.
    pub fn json(mut self, body: &(impl Serialize + ?Sized)) -> Self {
        match serde_json::to_vec(body) {
            Ok(body) => self.body = Some(body.into()),
            Err(error) => self.wrong = Some(Error::Invalid(format!("the body is not JSON: {error}"))),
        }
        self.header(CONTENT_TYPE, "application/json")
    }

    /// Only if it is still as it was when this tag was read.
    pub fn if_match(self, tag: &str) -> Self {
        self.header(IF_MATCH, tag)
    }

    /// A key under which the server recognises the request when it comes again, for a day: the change happens
    /// once, and the request is repeated by itself when the connection breaks. 1 to 128 visible ASCII characters.
    pub fn idempotent(mut self, key: &str) -> Self {
        self.repeatable = true;
        self.header(HeaderName::from_static("idempotency-key"), key)
    }

    /// It reads, though its method may change: a search.
    pub fn only_reads(mut self) -> Self {
        self.repeatable = true;
        self
    }

    /// Only to learn what would change; nothing does.
    pub fn dry_run(mut self) -> Self {
        self.repeatable = true;
        self.query("dry_run", "true")
    }

    /// Another kind of answer than JSON.
    pub fn accept(self, kind: &str) -> Self {
        self.header(ACCEPT, kind)
    }

    fn header(mut self, name: HeaderName, value: &str) -> Self {
        match HeaderValue::from_str(value) {
            Ok(value) => self.headers.push((name, value)),
            Err(_) => self.wrong = Some(Error::Invalid(format!("{name} cannot be {value:?}"))),
        }
        self
    }

    /// Sends it, and reads the answer as JSON.
    ///
    /// # Errors
    /// [`Error::Problem`] for an answer that is not a success, [`Error::Foreign`] for one that is something else.
    pub async fn read<T: DeserializeOwned>(self) -> Result<T, Error> {
        self.send().await?.json().await
    }

    /// Sends it; a success is all that matters.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn done(self) -> Result<(), Error> {
        self.send().await.map(|_| ())
    }

    /// The list's pages, one after the other; `items` is the member that holds them.
    pub fn pages(self, items: &'static str) -> Pages {
        Pages::new(self, items)
    }

    /// Sends it, and gives the answer with its headers, read whole.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn send(self) -> Result<Response, Error> {
        let time = self.client.inner.patience.answer;
        self.attempts(Some(time)).await
    }

    /// Sends it, and gives the answer when it begins: for what is too long to be held.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn stream(self) -> Result<Response, Error> {
        self.attempts(None).await
    }

    /// Sends what a reader gives, as it comes, and gives the answer when it begins. It is sent once: a reader cannot
    /// be read twice. There is no limit on how long it takes until the answer begins.
    ///
    /// # Errors
    /// As [`read`](Self::read); [`Error::Source`] if the reader fails.
    pub async fn upload(self, content_type: &str, upload: Upload) -> Result<Response, Error> {
        let request = self.header(CONTENT_TYPE, content_type);
        let (client, built) = (request.client.clone(), request.build(None)?);
        let built = match upload.length {
            Some(length) => built.header("content-length", length),
            None => built,
        };
        let stream = ReaderStream::with_capacity(upload.reader, 64 * 1024);
        let stream = Readable { stream, pause: Some(Box::pin(tokio::time::sleep(REFUSAL))) };
        one(&client, built.body(reqwest::Body::wrap_stream(stream)), None).await
    }

    async fn attempts(self, time: Option<Duration>) -> Result<Response, Error> {
        let patience = self.client.inner.patience;
        let mut sent = 0;
        loop {
            let built = self.build(time)?;
            sent += 1;
            let error = match one(&self.client, built, time).await {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            let pause = self.pause(&error, sent);
            match pause {
                Some(pause) if sent < patience.attempts && pause <= patience.longest_wait => {
                    tokio::time::sleep(pause).await;
                }
                _ => return Err(error),
            }
        }
    }

    /// How long to wait before it is sent again; `None` if it must not be.
    fn pause(&self, error: &Error, sent: u32) -> Option<Duration> {
        let usual = Duration::from_millis(250) * 2_u32.saturating_pow(sent.saturating_sub(1).min(5));
        match error {
            Error::Problem(problem) if problem.nothing_happened() => {
                Some(problem.retry_after.unwrap_or(usual))
            }
            Error::Problem(problem) if self.repeatable && matches!(problem.status, 502..=504) => {
                Some(problem.retry_after.unwrap_or(usual))
            }
            // The first request with this key is still running.
            Error::Problem(problem) if problem.code == "request-in-flight" => {
                Some(problem.retry_after.unwrap_or(usual))
            }
            Error::Unreachable(_) if self.repeatable => Some(usual),
            _ => None,
        }
    }

    fn build(&self, time: Option<Duration>) -> Result<reqwest::RequestBuilder, Error> {
        if let Some(wrong) = &self.wrong {
            return Err(Error::Invalid(wrong.to_string()));
        }
        let url = self.url.as_ref().map_err(|error| Error::Invalid(error.to_string()))?;
        let mut request = self.client.inner.http.request(self.method.clone(), url.clone());
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if let Some(time) = time {
            request = request.timeout(time);
        }
        if let Some(body) = &self.body {
            request = request.body(body.clone());
        }
        Ok(request)
    }

    /// Once more, for the next page.
    pub(crate) fn again(&self) -> Result<Self, Error> {
        if let Some(wrong) = &self.wrong {
            return Err(Error::Invalid(wrong.to_string()));
        }
        let url = self.url.as_ref().map_err(|error| Error::Invalid(error.to_string()))?;
        Ok(Self {
            client: self.client.clone(),
            method: self.method.clone(),
            url: Ok(url.clone()),
            headers: self.headers.clone(),
            body: self.body.clone(),
            wrong: None,
            repeatable: self.repeatable,
        })
    }
}

async fn one(
    client: &Client,
    request: reqwest::RequestBuilder,
    time: Option<Duration>,
) -> Result<Response, Error> {
    let told = time.unwrap_or(client.inner.patience.connect);
    let response = request.send().await.map_err(|error| Error::transport(error, told))?;
    let status = response.status();
    if status.is_success() {
        return Ok(Response::new(response, told, client.inner.patience.silence));
    }
    if status.is_redirection() {
        let to = client::header(response.headers(), "location").to_owned();
        let to = if to.is_empty() { "elsewhere".to_owned() } else { format!("to {to}") };
        return Err(Error::Foreign(format!("the server sends on {to}; use the URL that it really has")));
    }
    let retry_after =
        client::header(response.headers(), RETRY_AFTER.as_str()).parse().ok().map(Duration::from_secs);
    let request_id = client::header(response.headers(), "x-request-id").to_owned();
    let reading = Response::new(response, told, client.inner.patience.silence);
    // Whatever is wrong with the body, the status has been said.
    let body = reading.bytes_up_to(MAX_PROBLEM).await.unwrap_or_default();
    let mut problem = Problem::parse(status.as_u16(), status.canonical_reason().unwrap_or_default(), &body);
    problem.retry_after = retry_after;
    if problem.request_id.is_empty() {
        problem.request_id = request_id;
    }
    Err(Error::Problem(Box::new(problem)))
}

/// What is sent as it is read.
pub struct Upload {
    reader: Pin<Box<dyn AsyncRead + Send>>,
    length: Option<u64>,
}

impl Upload {
    /// All that the reader gives; `length` in bytes, if it is known.
    pub fn new(reader: impl AsyncRead + Send + 'static, length: Option<u64>) -> Self {
        Self { reader: Box::pin(reader), length }
    }
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upload").field("length", &self.length).finish_non_exhaustive()
    }
}

/// Marks a reader's failure, to tell it from the network's.
#[derive(Debug, thiserror::Error)]
#[error("{1}")]
pub(crate) struct Unreadable(pub(crate) ErrorKind, pub(crate) String);

/// A body that waits for [`REFUSAL`] before it begins.
struct Readable<R> {
    stream: ReaderStream<R>,
    pause: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl<R: AsyncRead + Unpin> Stream for Readable<R> {
    type Item = Result<Bytes, Unreadable>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(context));
            self.pause = None;
        }
        Pin::new(&mut self.stream)
            .poll_next(context)
            .map(|item| item.map(|read| read.map_err(|error| Unreadable(error.kind(), error.to_string()))))
    }
}

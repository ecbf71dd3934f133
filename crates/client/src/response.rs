//! An answer that is a success.

use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::{Error, Lines, client};

/// An answer; its body may still be on its way.
#[derive(Debug)]
pub struct Response {
    inner: reqwest::Response,
    /// How long the whole may take, to tell when it took longer.
    time: Duration,
    /// How long a piece may take.
    silence: Duration,
}

impl Response {
    pub(crate) fn new(inner: reqwest::Response, time: Duration, silence: Duration) -> Self {
        Self { inner, time, silence }
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.inner.status().as_u16()
    }

    /// A header, or an empty text.
    pub fn header(&self, name: &str) -> &str {
        client::header(self.inner.headers(), name)
    }

    /// The tag of the version, for [`if_match`](crate::Request::if_match).
    pub fn etag(&self) -> &str {
        self.header("etag")
    }

    /// The body as JSON; nothing is `null`.
    ///
    /// # Errors
    /// [`Error::Foreign`] if it is something else.
    pub async fn json<T: DeserializeOwned>(self) -> Result<T, Error> {
        let kind = self.header("content-type").to_owned();
        let time = self.time;
        let body = self.inner.bytes().await.map_err(|error| Error::transport(error, time))?;
        let text: &[u8] = if body.is_empty() { b"null" } else { &body };
        serde_json::from_slice(text).map_err(|error| {
            Error::Foreign(if kind.contains("json") {
                format!("the answer is not as expected ({error}); is the server of another version?")
            } else {
                format!("the answer is {kind:?} and not JSON; is this URL the API of Things?")
            })
        })
    }

    /// The next piece of the body, or nothing at its end.
    ///
    /// # Errors
    /// [`Error::TimedOut`] if the server is silent for too long, [`Error::Unreachable`] if the body breaks off.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        match tokio::time::timeout(self.silence, self.inner.chunk()).await {
            Ok(chunk) => chunk.map_err(|error| Error::transport(error, self.time)),
            Err(_) => Err(Error::TimedOut(self.silence)),
        }
    }

    /// The body's lines: NDJSON, an event in each.
    pub fn lines(self) -> Lines {
        Lines::new(self)
    }

    pub(crate) async fn bytes_up_to(mut self, most: usize) -> Result<Vec<u8>, Error> {
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            let room = most.saturating_sub(body.len());
            body.extend_from_slice(chunk.get(..room.min(chunk.len())).unwrap_or_default());
            if chunk.len() >= room {
                break;
            }
        }
        Ok(body)
    }
}

//! What a broker sends: a form or a flat JSON object, as one list of named texts.

use std::{convert::Infallible, net::IpAddr};

use axum::{
    body::{Bytes, HttpBody},
    extract::{FromRequest, Request},
    http::header,
};
use http_body_util::{BodyExt, Limited};
use serde_json::{Map, Value};

use super::{Hooks, Login};
use crate::rest::{Peer, query::decode};

/// A topic of the longest kind, with every byte escaped, and something beside it.
const LONGEST: usize = 256 * 1024;

/// A question's fields. One that cannot be read has none, and nobody is let in for that.
pub(super) struct Asked {
    fields: Vec<(String, String)>,
    pub(super) peer: IpAddr,
}

impl FromRequest<Hooks> for Asked {
    type Rejection = Infallible;

    async fn from_request(request: Request, hooks: &Hooks) -> Result<Self, Infallible> {
        let peer = peer(&request);
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let is_json = kind.is_some_and(|kind| kind.trim_start().starts_with("application/json"));
        let bytes = read(request, hooks, LONGEST).await.unwrap_or_default();
        let fields = if is_json { json(&bytes) } else { form(&bytes) };
        Ok(Self { fields: fields.unwrap_or_default(), peer })
    }
}

impl Asked {
    /// A field; empty where there is none.
    pub(super) fn get(&self, name: &str) -> &str {
        self.fields.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// What it says of the device, in the names that most brokers' examples use.
    pub(super) fn login(&self) -> Login<'_> {
        let address = ["ipaddr", "ipaddress", "peerhost"].into_iter().find_map(|name| ip(self.get(name)));
        let client_id = Some(self.get("clientid")).filter(|id| !id.is_empty());
        Login {
            username: self.get("username"),
            password: self.get("password"),
            client_id: client_id.unwrap_or_else(|| self.get("client_id")),
            source: address.unwrap_or(self.peer),
        }
    }
}

/// The other end of the connection.
pub(super) fn peer(request: &Request) -> IpAddr {
    request.extensions().get::<Peer>().copied().unwrap_or_default().ip()
}

/// An address as brokers write it, with or without a port.
pub(super) fn ip(text: &str) -> Option<IpAddr> {
    let with_port = || text.parse::<std::net::SocketAddr>().map(|address| address.ip());
    text.parse().or_else(|_| with_port()).ok().map(|ip: IpAddr| ip.to_canonical())
}

/// Reads a body, as far as it is within limits.
pub(super) async fn read(request: Request, hooks: &Hooks, most: usize) -> Option<Bytes> {
    let told = request.body().size_hint().upper().and_then(|bytes| usize::try_from(bytes).ok());
    let _room = hooks.app.bodies.take(true, told.map_or(most, |bytes| bytes.min(most))).await.ok()?;
    let reading = Limited::new(request.into_body(), most).collect();
    let read = tokio::time::timeout(hooks.app.options.body_timeout, reading).await.ok()?.ok()?;
    Some(read.to_bytes())
}

/// A name that comes twice makes it unreadable: not all brokers escape what devices choose, and the
/// first of two could be a device's own.
fn form(bytes: &[u8]) -> Option<Vec<(String, String)>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut fields: Vec<(String, String)> = Vec::new();
    for part in text.split('&').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let name = decode(name)?;
        if fields.iter().any(|(known, _)| *known == name) {
            return None;
        }
        fields.push((name, decode(value)?));
    }
    Some(fields)
}

fn json(bytes: &[u8]) -> Option<Vec<(String, String)>> {
    let members: Map<String, Value> = serde_json::from_slice(bytes).ok()?;
    let text = |value| match value {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    Some(members.into_iter().filter_map(|(name, value)| Some((name, text(value)?))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_that_names_something_twice_is_unreadable() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(form(b"a=1&b=x%2Fy+z&c"), Some(vec![pair("a", "1"), pair("b", "x/y z"), pair("c", "")]));
        assert_eq!(form(b"clientid=c&username=victim&username=me"), None);
        assert_eq!(form(b"a=%zz"), None);
        assert_eq!(form(b"\xff=1"), None);
    }

    #[test]
    fn addresses_are_read_with_and_without_ports() {
        for (text, told) in [
            ("10.0.0.1", "10.0.0.1"),
            ("10.0.0.1:5000", "10.0.0.1"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("[2001:db8::1]:1883", "2001:db8::1"),
        ] {
            assert_eq!(ip(text).unwrap().to_string(), told);
        }
        assert_eq!(ip("localhost"), None);
    }
}

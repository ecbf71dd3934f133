//! What a broker sends: a form or a flat JSON object, as one list of named texts.

use std::{fmt, net::IpAddr};

use axum::{
    body::{Bytes, HttpBody},
    extract::Request,
    http::header,
};
use http_body_util::{BodyExt, Limited};
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value;

use super::{Denied, Hooks, Judged, Login};
use crate::{
    limits::bodies::Sender,
    rest::{Peer, query::decode},
};

/// The longest question: names, a key and a topic are far below that.
const LONGEST: usize = 64 * 1024;
/// How many fields it may have: brokers ask with ten or so.
const MOST_FIELDS: usize = 100;

/// A question's fields.
pub(super) struct Asked {
    fields: Vec<(String, String)>,
    peer: IpAddr,
}

impl Asked {
    /// Reads a question. One that does not arrive, or cannot be read, is not settled: it may be anybody's.
    pub(super) async fn read(request: Request, hooks: &Hooks) -> Judged<Self> {
        let peer = peer(&request);
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let is_json = kind.is_some_and(|kind| kind.trim_start().starts_with("application/json"));
        let bytes = read(request, hooks, LONGEST).await?;
        let fields = if is_json { json(&bytes) } else { form(&bytes) };
        Ok(Self { fields: fields.ok_or_else(|| unreadable("neither a form nor a flat JSON object"))?, peer })
    }

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
            broker: self.peer,
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

/// Reads a body of at most so many bytes.
pub(super) async fn read(request: Request, hooks: &Hooks, most: usize) -> Judged<Bytes> {
    let told = request.body().size_hint().upper().and_then(|bytes| usize::try_from(bytes).ok());
    let _room = hooks.app.bodies.take(Sender::Broker, told.map_or(most, |bytes| bytes.min(most))).await?;
    match Limited::new(request.into_body(), most).collect().await {
        Ok(read) => Ok(read.to_bytes()),
        Err(_) => Err(unreadable("too long, or it broke off")),
    }
}

/// For whoever looks for the reason: a device may be able to provoke it, so that it is no warning.
pub(super) fn unreadable(why: &str) -> Denied {
    tracing::debug!(why, "a broker's question cannot be read");
    Denied::Unwell
}

/// A name that comes twice makes it unreadable: not all brokers escape what devices choose, and the
/// first of two could be a device's own.
fn form(bytes: &[u8]) -> Option<Vec<(String, String)>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut fields: Vec<(String, String)> = Vec::new();
    for part in text.split('&').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let name = decode(name)?;
        if fields.len() >= MOST_FIELDS || fields.iter().any(|(known, _)| *known == name) {
            return None;
        }
        fields.push((name, decode(value)?));
    }
    Some(fields)
}

/// The texts and numbers of an object. The same holds for its names: which of two counts is the reader's taste.
fn json(bytes: &[u8]) -> Option<Vec<(String, String)>> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let members = reader.deserialize_map(Members).ok()?;
    reader.end().ok()?;
    let text = |value| match value {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    Some(members.into_iter().filter_map(|(name, value)| Some((name, text(value)?))).collect())
}

/// An object's members, each of another name.
struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(String, Value)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members: Self::Value = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if members.len() >= MOST_FIELDS || members.iter().any(|(known, _)| *known == name) {
                return Err(A::Error::custom("a name comes twice, or there are too many"));
            }
            members.push((name, map.next_value()?));
        }
        Ok(members)
    }
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
    fn an_object_that_names_something_twice_is_unreadable() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            json(br#"{"a":"x","b":1,"c":null,"d":{"a":"y"}} "#),
            Some(vec![pair("a", "x"), pair("b", "1")])
        );
        for unreadable in [
            r#"{"username":"victim","username":"me"}"#,
            // By whatever value and however it is written.
            r#"{"username":null,"username":"me"}"#,
            r#"{"username":"victim","user\u006eame":"me"}"#,
            r#"{"a":"x"} {"a":"x"}"#,
            r#"["a"]"#,
            r#"{"a":"#,
            "",
        ] {
            assert_eq!(json(unreadable.as_bytes()), None, "{unreadable}");
        }
        let many = |fields: usize| {
            let fields: Vec<_> = (0..fields).map(|n| format!("\"{n}\":0")).collect();
            json(format!("{{{}}}", fields.join(",")).as_bytes()).map(|fields| fields.len())
        };
        assert_eq!((many(MOST_FIELDS), many(MOST_FIELDS + 1)), (Some(MOST_FIELDS), None));
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

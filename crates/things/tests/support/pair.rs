//! Two servers, one on each engine, that must answer alike. With only SQLite at hand there is one
//! server, and what is left of the promise is that it never answers 5xx.

#![allow(dead_code, unreachable_pub, reason = "every test crate includes this file and uses part of it")]

use std::collections::HashMap;

use registry::{Call, identity::orgs::NewOrg, text::OrgName};
use reqwest::Method;
use serde_json::Value;

use super::app::{Client, Reply, Running, Send, engines, start};

/// The same server on every engine, with the same administrator and organisation.
pub struct Pair {
    pub servers: Vec<Running>,
    pub roots: Vec<Client>,
    names: Vec<Names>,
    pub requests: usize,
}

/// Ids that a server made, by the order in which they appeared.
#[derive(Default)]
struct Names {
    numbers: HashMap<String, usize>,
    ids: Vec<String>,
}

pub const ORG: &str = "01900000-0000-7000-8000-00000000000a";

/// What is sent.
#[derive(Clone)]
pub enum Body {
    None,
    Json(Value),
    /// Text that claims to be JSON.
    Raw(String),
}

impl Pair {
    pub async fn start() -> Self {
        let mut pair = Self { servers: vec![], roots: vec![], names: vec![], requests: 0 };
        for engine in engines() {
            let server = start(engine).await;
            let root = server.root().await;
            let call = Call::new(root.actor(&server.registry).await, "test");
            let org = NewOrg {
                id: Some(ORG.parse().unwrap()),
                name: OrgName::try_from("org").unwrap(),
                description: Default::default(),
                metadata: Default::default(),
            };
            server.registry.create_org(&call, &org).await.unwrap();
            pair.servers.push(server);
            pair.roots.push(root);
            pair.names.push(Names::default());
        }
        pair
    }

    /// Sends as root to both; the answers must be equal and no 5xx.
    pub async fn send(&mut self, method: Method, path: &str, body: Body) -> Reply {
        self.send_with(method, path, body, &[]).await
    }

    pub async fn send_with(
        &mut self,
        method: Method,
        path: &str,
        body: Body,
        headers: &[(&str, &str)],
    ) -> Reply {
        let roots = self.roots.clone();
        self.send_all(&roots, method, path, body, headers).await
    }

    /// Sends as the same person to both, who has a client at each.
    pub async fn send_by(&mut self, person: &[Client], method: Method, path: &str, body: Body) -> Reply {
        self.send_all(person, method, path, body, &[]).await
    }

    /// The number of an id that the first server has shown: `{#number}` in a path is the id that each
    /// server has by this number.
    pub fn number(&self, id: &str) -> Option<usize> {
        self.names[0].numbers.get(id).copied()
    }

    async fn send_all(
        &mut self,
        clients: &[Client],
        method: Method,
        path: &str,
        body: Body,
        headers: &[(&str, &str)],
    ) -> Reply {
        let mut first: Option<(String, Reply)> = None;
        for (at, client) in clients.iter().enumerate() {
            let mut request = client.request(method.clone(), &self.names[at].placed(path));
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            request = match &body {
                Body::None => request,
                Body::Json(value) => request.json(value),
                Body::Raw(text) => request.header("content-type", "application/json").body(text.clone()),
            };
            let reply = request.reply().await;
            let told = || {
                let sent = match &body {
                    Body::None => String::new(),
                    Body::Json(value) => value.to_string(),
                    Body::Raw(text) => text.clone(),
                };
                format!("{method} {path:.300} {sent:.600}")
            };
            assert!(reply.status < 500, "{} on {:?}: {reply:?}", told(), self.servers[at].database.engine);
            let seen = format!("{} {}", reply.status, self.names[at].normalised(&reply));
            match &first {
                None => first = Some((seen, reply)),
                Some((other, _)) => assert_eq!(&seen, other, "{}", told()),
            }
        }
        self.requests += 1;
        first.unwrap().1
    }

    pub async fn get(&mut self, path: &str) -> Reply {
        self.send(Method::GET, path, Body::None).await
    }

    pub async fn post(&mut self, path: &str, body: Value) -> Reply {
        self.send(Method::POST, path, Body::Json(body)).await
    }
}

impl Names {
    /// The body without what may differ: request ids, generated keys, cursors; ids by their number.
    fn normalised(&mut self, reply: &Reply) -> String {
        let Ok(mut body) = serde_json::from_str::<Value>(&reply.text) else { return reply.text.clone() };
        self.rename(&mut body);
        body.to_string()
    }

    /// The path, with its own ids for the numbers.
    fn placed(&self, path: &str) -> String {
        let mut parts = path.split("{#");
        let mut placed = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (number, rest) = part.split_once('}').unwrap();
            placed += &self.ids[number.parse::<usize>().unwrap()];
            placed += rest;
        }
        placed
    }

    fn rename(&mut self, value: &mut Value) {
        match value {
            Value::Object(members) => {
                members.remove("request_id");
                for (name, value) in members.iter_mut() {
                    match (name.as_str(), &*value) {
                        ("next", Value::String(_)) => *value = "cursor".into(),
                        // Within a minute it depends on whether a check was answered from memory.
                        ("last_seen_at", Value::String(_)) => *value = "a moment".into(),
                        ("key", Value::String(key)) if key.starts_with("thk_") => *value = "generated".into(),
                        _ => self.rename(value),
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.rename(item)),
            Value::String(text) if is_made_here(text) => {
                let next = self.ids.len();
                let number = *self.numbers.entry(text.clone()).or_insert(next);
                if number == next {
                    self.ids.push(text.clone());
                }
                *text = format!("id {number}");
            }
            _ => {}
        }
    }
}

/// Ids that tests choose begin like this, and are the same everywhere.
fn is_made_here(text: &str) -> bool {
    text.len() == 36
        && text.as_bytes()[8] == b'-'
        && text.as_bytes()[13] == b'-'
        && !text.starts_with("01900000-")
}

/// Percent-encoded for a query string.
pub fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

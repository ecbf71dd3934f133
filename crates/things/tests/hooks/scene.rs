//! A server with hooks, and things in two groups of two organisations.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "two test crates include this file, and one uses part of it"
)]

use registry::{
    Secret,
    topics::{Layout, TopicRules},
};
use serde_json::{Value, json};
use things::{
    Options, hooks,
    serve::{Limits, Server, Stop},
};

use crate::app::{Client, Engine, Reply, Running, Send, start_with};

/// A thing and its key.
#[derive(Clone, Debug)]
pub struct Thing {
    pub id: String,
    pub key: String,
}

/// The scene. In the plant there are a sensor, a device and a controller; elsewhere, in another
/// organisation, is a device.
pub struct Scene {
    pub server: Running,
    pub root: Client,
    pub group: String,
    pub profile: String,
    pub sensor: Thing,
    pub device: Thing,
    pub controller: Thing,
    pub elsewhere: Thing,
    pub hooks: String,
    http: reqwest::Client,
    _stop: Stop,
}

impl Scene {
    pub async fn new(engine: Engine) -> Self {
        Self::with(engine, Layout::isolated(), None).await
    }

    pub async fn with(engine: Engine, layout: Layout, secret: Option<&str>) -> Self {
        let options = Options {
            requests_per_second: None,
            hooks_secret: secret.map(Secret::new),
            topics: TopicRules::new(&layout).unwrap(),
            ..Options::default()
        };
        Self::set_up(engine, options, Limits::default()).await
    }

    pub async fn set_up(engine: Engine, options: Options, limits: Limits) -> Self {
        let server = start_with(engine, options, limits).await;
        let root = server.root().await;
        let (group, profile) = place(&server, &root).await;
        let (_, other_profile) = place(&server, &root).await;
        let sensor = thing(&root, &profile, "sensor").await;
        let device = thing(&root, &profile, "device").await;
        let controller = thing(&root, &profile, "controller").await;
        let elsewhere = thing(&root, &other_profile, "device").await;

        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let hooks = format!("http://{}", listener.local_addr().unwrap());
        let router = hooks::router(server.app.clone());
        let connections = Default::default();
        let (stop, stopping) = Stop::switch();
        tokio::spawn(
            Server { router, limits: Limits::default(), tls: None, connections }.run(listener, stopping),
        );
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { server, root, group, profile, sensor, device, controller, elsewhere, hooks, http, _stop: stop }
    }

    /// Asks with JSON.
    pub async fn json(&self, path: &str, body: &Value) -> Reply {
        self.http.post(format!("{}{path}", self.hooks)).json(body).reply().await
    }

    /// Asks with a form, escaped as it has to be.
    pub async fn form(&self, path: &str, fields: &[(&str, &str)]) -> Reply {
        let escape = |text: &str| -> String {
            text.bytes()
                .map(|byte| match byte {
                    byte if byte.is_ascii_alphanumeric() || b"-._".contains(&byte) => {
                        char::from(byte).to_string()
                    }
                    byte => format!("%{byte:02X}"),
                })
                .collect()
        };
        let body: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={}", escape(value))).collect();
        self.raw_form(path, body.join("&")).await
    }

    /// Asks with a form as it stands.
    pub async fn raw_form(&self, path: &str, body: String) -> Reply {
        let request = self.http.post(format!("{}{path}", self.hooks));
        request.header("content-type", "application/x-www-form-urlencoded").body(body).reply().await
    }

    pub fn client(&self) -> &reqwest::Client {
        &self.http
    }

    /// Gives a thing another key, and ends the old one at once.
    pub async fn rotate(&self, thing: &Thing) -> Thing {
        let made = self.root.post(&format!("/things/{}/key/rotate", thing.id), &json!({"overlap": 0})).await;
        Thing { id: thing.id.clone(), key: made.expect(201)["key"].as_str().unwrap().to_owned() }
    }

    /// Disables a thing.
    pub async fn disable(&self, thing: &Thing) {
        self.root.post(&format!("/things/{}/disable", thing.id), &json!(null)).await.expect(200);
    }

    /// A thing's topics, by short names: `{sensor}`, `{device}`, `{controller}`, `{elsewhere}`, `{group}`.
    pub fn topic(&self, text: &str) -> String {
        text.replace("{sensor}", &self.sensor.id)
            .replace("{device}", &self.device.id)
            .replace("{controller}", &self.controller.id)
            .replace("{elsewhere}", &self.elsewhere.id)
            .replace("{group}", &self.group)
    }
}

async fn place(server: &Running, root: &Client) -> (String, String) {
    let org = server.org(root).await;
    let made = root.post(&format!("/orgs/{org}/groups"), &json!([{"name": "plant"}])).await.expect(201);
    let group = made["groups"][0]["id"].as_str().unwrap().to_owned();
    let made = root.post(&format!("/groups/{group}/profiles"), &json!([{"name": "mqtt"}])).await.expect(201);
    (group, made["profiles"][0]["id"].as_str().unwrap().to_owned())
}

async fn thing(root: &Client, profile: &str, kind: &str) -> Thing {
    let body = json!([{"name": kind, "type": kind, "external_key": format!("SN-{profile}-{kind}")}]);
    let made = root.post(&format!("/profiles/{profile}/things"), &body).await.expect(201);
    let text = |name: &str| made["things"][0][name].as_str().unwrap().to_owned();
    Thing { id: text("id"), key: text("key") }
}

/// What a sensor, and then a controller, may do, in every broker's words: who, what, on which topic.
pub const QUESTIONS: &[(&str, &str, &str, bool)] = &[
    ("sensor", "publish", "things/{sensor}/messages", true),
    ("sensor", "publish", "things/{sensor}/messages/temperature/1", true),
    ("sensor", "publish", "things/{device}/messages", false),
    ("sensor", "publish", "messages/temperature", false),
    ("sensor", "publish", "things/{device}/commands", false),
    ("sensor", "publish", "groups/{group}/commands", false),
    ("sensor", "subscribe", "things/{sensor}/messages/#", true),
    ("sensor", "subscribe", "things/{sensor}/commands/+/now", true),
    ("sensor", "subscribe", "groups/{group}/commands/#", true),
    ("sensor", "subscribe", "things/{device}/commands/#", false),
    ("sensor", "subscribe", "things/+/messages", false),
    ("sensor", "subscribe", "#", false),
    ("controller", "publish", "things/{sensor}/commands/on", true),
    ("controller", "publish", "things/{controller}/commands/on", false),
    ("controller", "publish", "things/{elsewhere}/commands/on", false),
    ("controller", "publish", "things/01975c1e-7c35-7000-8000-0123456789ab/commands", false),
    ("controller", "publish", "groups/{group}/commands/on", true),
    ("device", "publish", "things/{sensor}/commands/on", false),
    ("device", "publish", "things/{device}/commands/on", true),
];

impl Scene {
    pub fn named(&self, name: &str) -> &Thing {
        match name {
            "sensor" => &self.sensor,
            "device" => &self.device,
            "controller" => &self.controller,
            _ => &self.elsewhere,
        }
    }
}

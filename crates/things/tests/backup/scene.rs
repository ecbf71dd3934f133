//! An installation with something of everything in it, and what it takes to see that it is there again.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::app::{Client, Engine, Reply, Running, Send, start};

/// What is known of it.
pub struct Scene {
    pub server: Running,
    pub root: Client,
    /// Keys and external keys that let a thing in, and which.
    pub keys: Vec<(&'static str, String, String)>,
    /// Those that let nobody in.
    pub refused: Vec<String>,
    pub group: String,
    pub profile: String,
}

/// A password of people in it.
pub const PASSWORD: &str = "a horse of another colour";

fn first(made: &Value, noun: &str) -> String {
    made[noun][0]["id"].as_str().unwrap().to_owned()
}

impl Scene {
    pub async fn on(engine: Engine) -> Self {
        let server = start(engine).await;
        let root = server.root().await;
        let org = server.org(&root).await;
        let metadata = json!({ "a": [1, 2.5, "x\n", null, 1e300], "ü": { "deep": [{}, []] } });
        let made = json!([{ "name": "Küche", "description": "where \"it\" is", "metadata": metadata }, { "name": "'; DROP TABLE users; --" }]);
        let groups = root.post(&format!("/orgs/{org}/groups"), &made).await.expect(201);
        let group = first(&groups, "groups");
        let other = groups["groups"][1]["id"].as_str().unwrap().to_owned();
        let config = json!({ "content_type": "senml", "topics": { "publish": ["a/+"] }, "transformer": { "data_filters": ["x"] } });
        let profiles = json!([{ "name": "p", "config": config, "metadata": metadata }]);
        let profile =
            first(&root.post(&format!("/groups/{group}/profiles"), &profiles).await.expect(201), "profiles");
        let others =
            root.post(&format!("/groups/{other}/profiles"), &json!([{ "name": "p" }])).await.expect(201);
        let mut scene = Self {
            server,
            root,
            keys: Vec::new(),
            refused: Vec::new(),
            group: group.clone(),
            profile: profile.clone(),
        };
        scene.people(&org, &group).await;
        scene.things(&profile, &first(&others, "profiles")).await;
        scene.server.registry.write_activity().await.unwrap();
        scene
    }

    async fn people(&self, org: &str, group: &str) {
        let root = &self.root;
        for name in ["ann", "bob", "eve"] {
            let body = json!({ "email": format!("{name}@example.com"), "password": PASSWORD, "metadata": { "n": name } });
            let made = root.post("/users", &body).await;
            assert_eq!(made.status, 201, "{}", made.text);
        }
        let ann = self.server.log_in("ann@example.com", PASSWORD).await;
        let bob = self.server.log_in("bob@example.com", PASSWORD).await;
        let me = ann.get("/users/profile").await.expect(200)["id"].clone();
        let members = json!({ "org_memberships": [{ "member_id": me, "role": "editor" }] });
        assert!(root.post(&format!("/orgs/{org}/memberships"), &members).await.status < 300);
        let members = json!({ "group_memberships": [{ "member_id": me, "role": "admin" }] });
        assert!(root.post(&format!("/groups/{group}/memberships"), &members).await.status < 300);
        // One declined, one revoked, one that waits and one asleep with it.
        let invites = format!("/orgs/{org}/invites");
        let invite = async |email: &str, body: Value| {
            let mut body = body;
            body["email"] = json!(email);
            body["role"] = json!("viewer");
            let made = root.post(&invites, &body).await;
            made.expect(201)["id"].as_str().unwrap().to_owned()
        };
        let declined = invite("bob@example.com", json!({})).await;
        assert!(
            bob.request(Method::POST, &format!("/invites/{declined}/decline")).reply().await.status < 300
        );
        let revoked = invite("bob@example.com", json!({})).await;
        assert!(root.delete(&format!("/invites/{revoked}")).await.status < 300);
        invite(
            "eve@example.com",
            json!({ "group_invites": [{ "group_id": group, "member_role": "viewer" }] }),
        )
        .await;
        invite("nobody-yet@example.com", json!({})).await;
        let token = json!({ "name": "a program's", "scopes": ["read"] });
        assert_eq!(root.post("/keys", &token).await.status, 201);
        let disabled = self.server.log_in("eve@example.com", PASSWORD).await;
        let id = disabled.get("/users/profile").await.expect(200)["id"].as_str().unwrap().to_owned();
        assert!(root.request(Method::POST, &format!("/users/{id}/disable")).reply().await.status < 300);
    }

    async fn things(&mut self, profile: &str, elsewhere: &str) {
        let root = self.root.clone();
        let things = json!([
            { "name": "plain" },
            { "name": "chosen", "key": "a key of my own choice", "type": "sensor", "metadata": { "k": [true] } },
            { "name": "serial", "external_key": "SN-1000", "type": "gateway" },
            { "name": "rotated" },
            { "name": "replaced" },
            { "name": "disabled" },
        ]);
        let made = root.post(&format!("/profiles/{profile}/things"), &things).await.expect(201);
        let known = |at: usize| {
            let thing = &made["things"][at];
            (thing["id"].as_str().unwrap().to_owned(), thing["key"].as_str().unwrap().to_owned())
        };
        for at in 0..4 {
            let (id, key) = known(at);
            self.keys.push(("internal", key, id));
        }
        self.keys.push(("external", "SN-1000".to_owned(), known(2).0));
        for (at, overlap) in [(3, 86_400), (4, 0)] {
            let (id, key) = known(at);
            let path = format!("/things/{id}/key/rotate");
            let rotated = root.post(&path, &json!({ "overlap": overlap })).await.expect(201);
            self.keys.push(("internal", rotated["key"].as_str().unwrap().to_owned(), id));
            if overlap == 0 {
                self.refused.push(key);
            }
        }
        let (id, key) = known(5);
        assert!(root.request(Method::POST, &format!("/things/{id}/disable")).reply().await.status < 300);
        self.refused.push(key);
        let more = root
            .post(&format!("/profiles/{elsewhere}/things"), &json!([{ "name": "plain" }]))
            .await
            .expect(201);
        self.keys.push((
            "internal",
            more["things"][0]["key"].as_str().unwrap().to_owned(),
            first(&more, "things"),
        ));
        self.authenticate(&self.server).await;
    }

    /// Every key lets in its thing and no other, there.
    pub async fn authenticate(&self, server: &Running) {
        for (kind, key, id) in &self.keys {
            let told = server.anonymous.post("/identify", &json!({ "type": kind, "key": key })).await;
            assert_eq!(
                (told.status, told.json()["id"].as_str()),
                (200, Some(id.as_str())),
                "{kind} {id}: {}",
                told.text
            );
        }
        for key in &self.refused {
            let told = server.anonymous.post("/identify", &json!({ "type": "internal", "key": key })).await;
            assert_eq!(told.status, 404, "{}", told.text);
        }
    }

    /// A backup of it.
    pub async fn backup(&self) -> String {
        backup(&self.root).await
    }
}

pub async fn backup(root: &Client) -> String {
    let reply = root.get("/backup").await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(reply.header("content-type"), "application/x-ndjson");
    let name = reply.header("content-disposition");
    assert!(name.starts_with("attachment; filename=\"things-2026") && name.ends_with("Z.ndjson\""), "{name}");
    reply.text
}

/// Sends a file to be restored.
pub async fn send(root: &Client, file: impl Into<Vec<u8>>) -> Reply {
    let request = root.request(Method::POST, "/restore").header("content-type", "application/x-ndjson");
    request.timeout(Duration::from_secs(120)).body(file.into()).reply().await
}

/// The last event of a restore that has begun.
pub fn last_event(reply: &Reply) -> Value {
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(reply.header("content-type"), "application/x-ndjson");
    serde_json::from_str(reply.text.lines().last().unwrap()).unwrap()
}

/// What a restore was refused with, told at once or in its last event.
pub fn refusal(reply: &Reply) -> Value {
    let problem = match reply.status {
        200 => {
            let last = last_event(reply);
            assert_eq!(last["event"], "failed", "{}", reply.text);
            last["problem"].clone()
        }
        _ => reply.json(),
    };
    assert!(problem["status"].as_u64().unwrap() < 500, "{problem}");
    problem
}

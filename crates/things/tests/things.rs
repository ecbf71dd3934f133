//! Things and their keys over HTTP, on every engine.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "also outside of the functions marked as tests"
)]

#[path = "support/app.rs"]
mod app;

use std::time::Duration;

use app::{Client, Engine, Running, engines, start};
use serde_json::{Value, json};

/// A server, its root, and a profile to put things on.
struct Scene {
    server: Running,
    root: Client,
    org: String,
    group: String,
    profile: String,
}

async fn scene(engine: Engine) -> Scene {
    let server = start(engine).await;
    let root = server.root().await;
    let call = registry::Call::new(root.actor(&server.registry).await, "test");
    let new = registry::identity::orgs::NewOrg {
        id: None,
        name: registry::text::OrgName::try_from("org").unwrap(),
        description: Default::default(),
        metadata: Default::default(),
    };
    let org = server.registry.create_org(&call, &new).await.unwrap().id.to_string();
    let group = group(&root, &org, "plant").await;
    let profile = profile(&server, &root, &group, "mqtt").await;
    Scene { server, root, org, group, profile }
}

async fn group(client: &Client, org: &str, name: &str) -> String {
    let made = client.post(&format!("/orgs/{org}/groups"), &json!([{ "name": name }])).await;
    assert_eq!(made.status, 201, "{made:?}");
    made.json()["groups"][0]["id"].as_str().unwrap().to_owned()
}

async fn profile(server: &Running, client: &Client, group: &str, name: &str) -> String {
    let call = registry::Call::new(client.actor(&server.registry).await, "test");
    let new = registry::profiles::NewProfile {
        id: None,
        name: registry::text::ProfileName::try_from(name).unwrap(),
        config: None,
        metadata: Default::default(),
    };
    server.registry.create_profiles(&call, group.parse().unwrap(), &[new]).await.unwrap()[0].id.to_string()
}

impl Scene {
    async fn create(&self, things: Value) -> app::Reply {
        self.root.post(&format!("/profiles/{}/things", self.profile), &things).await
    }

    async fn one(&self, name: &str) -> (String, String) {
        let made = self.create(json!([{ "name": name }])).await.json();
        let thing = &made["things"][0];
        (thing["id"].as_str().unwrap().to_owned(), thing["key"].as_str().unwrap().to_owned())
    }

    async fn identify(&self, kind: &str, key: &str) -> app::Reply {
        self.server.anonymous.post("/identify", &json!({ "type": kind, "key": key })).await
    }

    /// Whether the key names this thing.
    async fn names(&self, key: &str, id: &str) -> bool {
        let reply = self.identify("internal", key).await;
        reply.status == 200 && reply.json()["id"] == id
    }
}

#[tokio::test]
async fn made_things_come_back_in_order_with_their_keys_once() {
    for engine in engines() {
        let scene = scene(engine).await;
        let made = scene
            .create(json!([
                { "name": "a", "type": "gateway", "metadata": { "floor": 7 }, "external_key": "SN-0001" },
                { "name": "b", "key": "a key of my own choice" },
                { "name": "c", "id": "0190e0b5-7b1a-7000-8000-000000000001" },
            ]))
            .await;
        assert_eq!(made.status, 201);
        let things = made.json()["things"].clone();
        let names: Vec<_> = things.as_array().unwrap().iter().map(|thing| thing["name"].clone()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert_eq!(things[0]["type"], "gateway");
        assert_eq!(things[1]["type"], "device");
        assert_eq!(things[1]["key"], "a key of my own choice");
        assert_eq!(things[2]["id"], "0190e0b5-7b1a-7000-8000-000000000001");
        assert!(things[0]["key"].as_str().unwrap().starts_with("thk_"));
        assert_eq!(things[0]["group_id"], scene.group);
        assert_eq!(things[0]["profile_id"], scene.profile);

        for path in [
            "/things".to_owned(),
            format!("/groups/{}/things", scene.group),
            format!("/profiles/{}/things", scene.profile),
            format!("/orgs/{}/things", scene.org),
        ] {
            let page = scene.root.get(&format!("{path}?order=name&dir=asc")).await.json();
            assert_eq!(page["total"], 3, "{path}");
            assert_eq!(page["things"][0]["external_key"], "SN-0001");
            assert!(
                page["things"].as_array().unwrap().iter().all(|thing| thing.get("key").is_none()),
                "{path}"
            );
            let searched =
                scene.root.post(&format!("{path}/search"), &json!({ "type": "gateway" })).await.json();
            assert_eq!(searched["total"], 1, "{path}");
        }
    }
}

#[tokio::test]
async fn a_bulk_request_is_all_or_nothing_and_tells_every_item() {
    for engine in engines() {
        let scene = scene(engine).await;
        scene.create(json!([{ "name": "taken", "external_key": "SN-TAKEN" }])).await;

        let refused = scene
            .create(json!([
                { "name": "fine" },
                { "name": "", "type": "toaster", "key": "short", "metadata": [] },
                { "name": "x", "group_id": "0190e0b5-7b1a-7000-8000-000000000009" },
            ]))
            .await;
        assert_eq!(refused.status, 400);
        let fields = refused.json()["errors"].clone();
        for field in ["[1].name", "[1].type", "[1].key", "[1].metadata", "[2].group_id"] {
            assert!(fields.get(field).is_some(), "{field} in {fields}");
        }
        for (body, field) in [
            (json!([{ "name": "new" }, { "name": "taken" }]), "[1].name"),
            (json!([{ "name": "new" }, { "name": "other", "external_key": "SN-TAKEN" }]), "[1].key"),
        ] {
            let refused = scene.create(body).await;
            assert_eq!(refused.status, 409, "{refused:?}");
            assert!(refused.json()["errors"].get(field).is_some(), "{refused:?}");
        }
        for body in [
            json!([]),
            json!([{ "name": "twin" }, { "name": "twin" }]),
            json!([{ "name": "same", "key": "one and the same", "external_key": "one and the same" }]),
        ] {
            assert_eq!(scene.create(body).await.status, 400);
        }
        let many: Vec<_> = (0..1001).map(|n| json!({ "name": format!("n{n}") })).collect();
        assert_eq!(scene.create(json!(many)).await.status, 400);
        assert_eq!(scene.root.get("/things").await.json()["total"], 1, "nothing else was made");
    }
}

#[tokio::test]
async fn one_value_names_one_thing_whatever_it_is_used_as() {
    for engine in engines() {
        let scene = scene(engine).await;
        let value = "0123456789abcdef";
        scene.create(json!([{ "name": "a", "external_key": value }])).await;
        assert_eq!(scene.create(json!([{ "name": "b", "key": value }])).await.status, 409);
        let (id, _) = scene.one("c").await;
        let refused = scene.root.put(&format!("/things/{id}"), &json!({ "name": "c", "key": value })).await;
        assert_eq!(refused.status, 409);
        let refused = scene.root.patch(&format!("/things/{id}/external-key"), &json!({ "key": value })).await;
        assert_eq!(refused.status, 409);
        // The kinds never cross.
        assert_eq!(scene.identify("external", value).await.status, 200);
        assert_eq!(scene.identify("internal", value).await.status, 404);
    }
}

#[tokio::test]
async fn rotation_overlaps_for_one_previous_key_only() {
    for engine in engines() {
        let scene = scene(engine).await;
        let (id, first) = scene.one("pump").await;
        let rotate = async |overlap: u64| {
            let reply =
                scene.root.post(&format!("/things/{id}/key/rotate"), &json!({ "overlap": overlap })).await;
            assert_eq!(reply.status, 201, "{reply:?}");
            reply.json()["key"].as_str().unwrap().to_owned()
        };
        let second = rotate(60).await;
        assert!(scene.names(&first, &id).await && scene.names(&second, &id).await);
        let third = rotate(60).await;
        assert!(!scene.names(&first, &id).await, "at most one previous key");
        assert!(scene.names(&second, &id).await && scene.names(&third, &id).await);
        scene.server.clock.advance(Duration::from_secs(60));
        assert!(!scene.names(&second, &id).await, "the overlap is over");
        let fourth = rotate(0).await;
        assert!(!scene.names(&third, &id).await && scene.names(&fourth, &id).await);
        let refused =
            scene.root.post(&format!("/things/{id}/key/rotate"), &json!({ "overlap": 604_801 })).await;
        assert_eq!(refused.status, 400);
    }
}

#[tokio::test]
async fn keys_are_replaced_kept_read_back_and_gone_with_the_thing() {
    for engine in engines() {
        let scene = scene(engine).await;
        let (id, key) = scene.one("valve").await;
        let path = format!("/things/{id}");

        let kept = scene.root.put(&path, &json!({ "name": "valve 2", "metadata": { "a": 1 } })).await;
        assert_eq!(kept.status, 200);
        assert_eq!(kept.json()["metadata"], json!({ "a": 1 }));
        assert!(scene.names(&key, &id).await);
        assert_eq!(scene.root.get(&path).await.json()["key"], key);
        assert_eq!(scene.root.get(&format!("{path}/key")).await.json()["key"], key);

        let tag = scene.root.get(&path).await.header("etag").to_owned();
        let own = "another key of my own";
        scene.root.put(&path, &json!({ "name": "valve 2", "key": own })).await;
        assert_ne!(scene.root.get(&path).await.header("etag"), tag, "a new key is a new version");
        assert!(!scene.names(&key, &id).await && scene.names(own, &id).await);

        let thing = |scheme: &str, key: &str| {
            let value = format!("{scheme} {key}");
            let request = scene.server.anonymous.request(reqwest::Method::GET, "/metadata");
            request.header("authorization", value)
        };
        assert_eq!(thing("Thing", own).send().await.unwrap().status(), 200);
        assert_eq!(thing("External", own).send().await.unwrap().status(), 401);
        assert_eq!(thing("Bearer", own).send().await.unwrap().status(), 401);

        assert_eq!(scene.root.delete(&path).await.status, 204);
        assert_eq!(scene.identify("internal", own).await.status, 404);
        assert_eq!(thing("Thing", own).send().await.unwrap().status(), 401);
        assert_eq!(scene.root.get(&path).await.status, 404);
    }
}

#[tokio::test]
async fn a_thing_moves_only_onto_a_profile_of_the_group_it_goes_to() {
    for engine in engines() {
        let scene = scene(engine).await;
        let other = group(&scene.root, &scene.org, "other").await;
        let there = profile(&scene.server, &scene.root, &other, "there").await;
        let (id, key) = scene.one("mover").await;
        let path = format!("/things/{id}");
        let refused =
            scene.root.patch(&path, &json!({ "group_id": other, "profile_id": scene.profile })).await;
        assert_eq!(refused.status, 400, "{refused:?}");
        let moved = scene.root.patch(&path, &json!({ "group_id": other, "profile_id": there })).await;
        assert_eq!(moved.status, 200, "{moved:?}");
        assert_eq!((&moved.json()["group_id"], &moved.json()["profile_id"]), (&json!(other), &json!(there)));
        assert!(scene.names(&key, &id).await, "its key goes with it");
        // Its old group goes without it, its new one takes it along.
        assert_eq!(scene.root.delete(&format!("/groups/{}", scene.group)).await.status, 204);
        assert!(scene.names(&key, &id).await);
        assert_eq!(scene.root.delete(&format!("/groups/{other}")).await.status, 204);
        assert!(!scene.names(&key, &id).await);
    }
}

#[tokio::test]
async fn metadata_is_merged_into_all_things_or_none() {
    for engine in engines() {
        let scene = scene(engine).await;
        let (a, _) = scene.one("a").await;
        let (b, _) = scene.one("b").await;
        let both = json!([{ "id": b, "metadata": { "n": 1, "deep": { "x": 1 } } }, { "id": a, "metadata": { "n": 2 } }]);
        let merged = scene.root.put("/things", &both).await;
        assert_eq!(merged.status, 200, "{merged:?}");
        assert_eq!(merged.json()["things"][0]["name"], "b", "in the order given");
        let more = json!([{ "id": b, "metadata": { "deep": { "y": 2 } } }]);
        assert_eq!(
            scene.root.put("/things", &more).await.json()["things"][0]["metadata"],
            json!({ "n": 1, "deep": { "y": 2 } })
        );
        let unknown = json!([{ "id": a, "metadata": { "n": 3 } }, { "id": "0190e0b5-7b1a-7000-8000-00000000dead", "metadata": {} }]);
        assert_eq!(scene.root.put("/things", &unknown).await.status, 404);
        assert_eq!(scene.root.get(&format!("/things/{a}")).await.json()["metadata"], json!({ "n": 2 }));
    }
}

#[tokio::test]
async fn things_are_found_by_name_and_metadata_literally() {
    for engine in engines() {
        let scene = scene(engine).await;
        let names = ["Pump 100% A", "pump_b", "PUMP-c \"x\"", "valve \\ d", "Küche", "ab"];
        let things: Vec<_> = names
            .iter()
            .enumerate()
            .map(|(n, name)| {
                let tags = if n % 2 == 0 { json!(["a", "b"]) } else { json!(["b"]) };
                json!({ "name": name, "metadata": { "n": n, "tags": tags, "site": { "city": "Oslo, N", "ok": n > 2 } } })
            })
            .collect();
        assert_eq!(scene.create(json!(things)).await.status, 201);
        for (text, hits) in [
            ("pump", 3),
            ("%", 1),
            ("100%", 1),
            ("_b", 1),
            ("p_m", 0),
            ("\\ d", 1),
            ("\"x\"", 1),
            ("üch", 1),
            ("b", 2),
            ("ab", 1),
            ("pump*", 0),
            ("NOT", 0),
            ("' OR 1=1", 0),
            ("a\" OR \"b", 0),
            (" ", 3),
        ] {
            let found = scene.root.post("/things/search", &json!({ "name": text })).await;
            assert_eq!(found.json()["total"], hits, "{text:?}: {found:?}");
        }
        for (filter, hits) in [
            (json!({}), 6),
            (json!({ "n": 3 }), 1),
            (json!({ "n": 3.0 }), 1),
            (json!({ "n": "3" }), 0),
            (json!({ "tags": ["a"] }), 3),
            (json!({ "tags": ["b", "a"] }), 3),
            (json!({ "tags": [] }), 6),
            (json!({ "site": { "city": "Oslo, N" } }), 6),
            (json!({ "site": { "ok": true }, "tags": ["a"] }), 1),
            (json!({ "site": {} }), 6),
            (json!({ "site": null }), 0),
            (json!({ "tags": "a" }), 0),
            (json!({ "n": 1, "site": { "ok": false, "city": "Oslo, N" } }), 1),
        ] {
            let text = filter.to_string();
            let found = scene.root.get(&format!("/things?metadata={}", encoded(&text))).await.json();
            assert_eq!(found["total"], hits, "{text}: {found}");
        }
        // What was renamed or changed is found as it is now.
        let page = scene.root.post("/things/search", &json!({ "name": "ab" })).await.json();
        let id = page["things"][0]["id"].as_str().unwrap();
        scene
            .root
            .put(&format!("/things/{id}"), &json!({ "name": "renamed", "metadata": { "n": 77 } }))
            .await;
        assert_eq!(scene.root.post("/things/search", &json!({ "name": "named" })).await.json()["total"], 1);
        assert_eq!(
            scene.root.post("/things/search", &json!({ "metadata": { "n": 77 } })).await.json()["total"],
            1
        );
        assert_eq!(
            scene.root.post("/things/search", &json!({ "metadata": { "n": 5 } })).await.json()["total"],
            0
        );
    }
}

#[tokio::test]
async fn every_failure_to_identify_is_the_same_until_there_are_too_many() {
    for engine in engines() {
        let scene = scene(engine).await;
        let (_, key) = scene.one("pump").await;
        let mut typo = key.clone();
        typo.replace_range(10..11, if &key[10..11] == "x" { "y" } else { "x" });
        let failures = [
            ("internal", typo.as_str()),
            ("internal", "nobody has this key"),
            ("external", &key),
            ("internal", ""),
        ];
        let mut bodies = std::collections::BTreeSet::new();
        for (kind, key) in failures {
            let mut reply = scene.identify(kind, key).await.json();
            assert_eq!(reply["status"], 404, "{kind} {key}");
            reply.as_object_mut().unwrap().remove("request_id");
            bodies.insert(reply.to_string());
        }
        assert_eq!(bodies.len(), 1);
        while !scene.server.registry.answers_from_memory() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(scene.identify("internal", &key).await.status, 200);
        let (_, unseen) = scene.one("valve").await;
        let mut last = 404;
        for _ in 0..200 {
            last = scene.identify("internal", "nobody has this key").await.status;
            if last == 429 {
                break;
            }
        }
        assert_eq!(last, 429);
        let looked_up = || scene.server.registry.device_checks().from_database;
        let before = looked_up();
        assert_eq!(scene.identify("internal", &key).await.status, 200, "one in memory still works");
        assert_eq!(scene.identify("internal", &unseen).await.status, 429);
        assert_eq!(scene.identify("internal", "nobody has this either").await.status, 429);
        assert_eq!(looked_up(), before, "guesses cost a query");
    }
}

/// Percent-encoded for a query string.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn twenty_taken_keys_an_hour_are_told_of() {
    for engine in engines() {
        let scene = scene(engine).await;
        let taken = "SN-0001";
        scene.create(json!([{ "name": "holder", "external_key": taken }])).await.expect(201);
        let (id, _) = scene.one("prober").await;
        let external = format!("/things/{id}/external-key");
        for round in 0..20 {
            let reply = match round % 2 {
                0 => scene.root.patch(&external, &json!({ "key": taken })).await,
                _ => scene.create(json!([{ "name": "x", "external_key": taken }])).await,
            };
            assert_eq!(reply.problem(409), "credential-unavailable");
        }
        for key in [taken, "SN-0002"] {
            // Free or taken: nothing is told any more.
            let reply = scene.root.patch(&external, &json!({ "key": key })).await;
            assert_eq!(reply.problem(429), "too-many-requests");
            assert_eq!(reply.header("retry-after"), "3600");
            let reply = scene.create(json!([{ "name": "y", "external_key": key }])).await;
            assert_eq!(reply.problem(429), "too-many-requests");
        }
        let update = json!({ "name": "prober", "key": "a key of my own choice" });
        assert_eq!(scene.root.put(&format!("/things/{id}"), &update).await.problem(429), "too-many-requests");
        // Keys made here tell nothing.
        scene.create(json!([{ "name": "z" }])).await.expect(201);
        scene.root.post(&format!("/things/{id}/key/rotate"), &json!({})).await.expect(201);
        scene.server.clock.advance(Duration::from_secs(3600));
        scene.root.patch(&external, &json!({ "key": "SN-0002" })).await.expect(200);
    }
}

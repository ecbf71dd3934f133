//! Imports and exports over HTTP, on every engine.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    unreachable_pub,
    reason = "also outside of the functions marked as tests; modules of a test export to nobody"
)]

#[path = "support/app.rs"]
mod app;
#[path = "imports/hostile.rs"]
mod hostile;
#[path = "imports/killed.rs"]
mod killed;
#[path = "imports/many.rs"]
mod many;
#[path = "imports/meanwhile.rs"]
mod meanwhile;
#[path = "imports/round_trip.rs"]
mod round_trip;
#[path = "imports/taken.rs"]
mod taken;

use app::{Client, Engine, Reply, Running, Send, engines, start};
use reqwest::Method;
use serde_json::{Value, json};

/// A server, its root, and a group with a profile.
pub(crate) struct Scene {
    pub(crate) server: Running,
    pub(crate) root: Client,
    pub(crate) org: String,
    pub(crate) group: String,
    pub(crate) profile: String,
}

impl Scene {
    pub(crate) async fn new(engine: Engine) -> Self {
        Self::on(start(engine).await).await
    }

    pub(crate) async fn on(server: Running) -> Self {
        let root = server.root().await;
        let org = server.org(&root).await;
        let (group, profile) = place(&root, &org, "plant").await;
        Self { server, root, org, group, profile }
    }

    /// Imports CSV, on the group's profile.
    pub(crate) async fn import(&self, query: &str, csv: &str) -> Reply {
        import(&self.root, &self.group, &format!("profile_id={}&{query}", self.profile), csv, "").await
    }

    /// All of the group, by name.
    pub(crate) async fn things(&self) -> Vec<Value> {
        let path = format!("/groups/{}/things?limit=1000&order=name&dir=asc", self.group);
        self.root.get(&path).await.expect(200)["things"].as_array().unwrap().clone()
    }

    pub(crate) async fn names(&self) -> Vec<String> {
        self.things().await.iter().map(|thing| thing["name"].as_str().unwrap().to_owned()).collect()
    }
}

/// A group with a profile.
pub(crate) async fn place(client: &Client, org: &str, name: &str) -> (String, String) {
    let made = client.post(&format!("/orgs/{org}/groups"), &json!([{ "name": name }])).await.expect(201);
    let group = made["groups"][0]["id"].as_str().unwrap().to_owned();
    let made =
        client.post(&format!("/groups/{group}/profiles"), &json!([{ "name": "mqtt" }])).await.expect(201);
    (group, made["profiles"][0]["id"].as_str().unwrap().to_owned())
}

/// Imports CSV, or NDJSON if it looks like that.
pub(crate) async fn import(client: &Client, group: &str, query: &str, body: &str, key: &str) -> Reply {
    let media = if body.starts_with('{') { "application/x-ndjson" } else { "text/csv" };
    import_as(client, group, query, body.to_owned().into_bytes(), media, key).await
}

pub(crate) async fn import_as(
    client: &Client,
    group: &str,
    query: &str,
    body: Vec<u8>,
    media: &str,
    key: &str,
) -> Reply {
    let path = format!("/groups/{group}/import?{query}");
    let request = client.request(Method::POST, &path).header("content-type", media).body(body);
    if key.is_empty() { request.reply().await } else { request.header("idempotency-key", key).reply().await }
}

/// The events of an answer.
pub(crate) fn events(reply: &Reply) -> Vec<Value> {
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(reply.header("content-type"), "application/x-ndjson");
    reply.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub(crate) fn of<'e>(events: &'e [Value], kind: &str) -> Vec<&'e Value> {
    events.iter().filter(|event| event["event"] == kind).collect()
}

/// The last event, which is this one.
#[track_caller]
pub(crate) fn end(events: &[Value], kind: &str) -> Value {
    let last = events.last().unwrap();
    assert_eq!(last["event"], kind, "{last}");
    last.clone()
}

#[track_caller]
pub(crate) fn counts(events: &[Value]) -> [u64; 5] {
    let done = end(events, "done");
    ["rows", "created", "updated", "unchanged", "rejected"].map(|count| done[count].as_u64().unwrap())
}

async fn identify(scene: &Scene, key: &str) -> Reply {
    scene.server.anonymous.post("/identify", &json!({ "key": key })).await
}

#[tokio::test]
async fn rows_become_things_with_keys_that_work() {
    for engine in engines() {
        let scene = Scene::new(engine).await;
        let csv = "\u{feff}name,type,Serial,status,metadata,metadata.site.floor:number,metadata.tag,Notes,key\r\n\
                   pump,sensor,SN-0001,,\"{\"\"a\"\":1}\",3,x,nothing,\r\n\
                   \r\n\
                   \"valve, \"\"left\"\"\",,SN-0002,disabled,,,,\"two\nlines\",a key of my own 1\r\n\
                   '=meter,,,enabled,,,'-1,,\r\n";
        let reply = scene.import("columns=Serial:external_key,Notes:-", csv).await;
        let told = events(&reply);
        assert_eq!(counts(&told), [3, 3, 0, 0, 0]);
        let created = of(&told, "created");
        let lines: Vec<_> =
            created.iter().map(|event| (event["row"].as_u64(), event["line"].as_u64())).collect();
        assert_eq!(lines, [(Some(1), Some(2)), (Some(2), Some(4)), (Some(3), Some(6))]);
        assert!(created[0]["key"].as_str().unwrap().starts_with("thk_"));
        assert!(created[1].get("key").is_none(), "it brought its own");
        assert_eq!(created[1]["name"], "valve, \"left\"");

        let things = scene.things().await;
        let thing = |name: &str| things.iter().find(|thing| thing["name"] == name).unwrap();
        assert_eq!(thing("pump")["metadata"], json!({ "a": 1, "site": { "floor": 3 }, "tag": "x" }));
        assert_eq!(
            (&thing("pump")["type"], &thing("pump")["external_key"]),
            (&json!("sensor"), &json!("SN-0001"))
        );
        assert_eq!(thing("valve, \"left\"")["status"], "disabled");
        assert_eq!(thing("=meter")["metadata"], json!({ "tag": "-1" }));
        assert_eq!(thing("pump")["id"], created[0]["id"]);
        identify(&scene, created[0]["key"].as_str().unwrap()).await.expect(200);
        identify(&scene, created[2]["key"].as_str().unwrap()).await.expect(200);
        identify(&scene, "a key of my own 1").await.expect(404);

        let lines = format!(
            "{{\"name\":\"n1\",\"profile\":\"mqtt\",\"metadata\":{{\"b\":[1]}}}}\n{{\"name\":\"n2\",\"profile_id\":\"{}\"}}",
            scene.profile
        );
        let told = events(&import(&scene.root, &scene.group, "", &lines, "").await);
        assert_eq!(counts(&told), [2, 2, 0, 0, 0]);
        assert!(scene.names().await.contains(&"n2".to_owned()));

        // One entry for each, as by the API.
        let path = format!("/journal?group={}&action=thing.created&limit=100", scene.group);
        assert_eq!(scene.root.get(&path).await.expect(200)["total"], 5);
        let path = format!("/journal?group={}&action=thing.disabled", scene.group);
        assert_eq!(scene.root.get(&path).await.expect(200)["total"], 1);
    }
}

#[tokio::test]
async fn all_or_nothing_and_partial() {
    for engine in engines() {
        let scene = Scene::new(engine).await;
        scene.import("", "name\nthere\n").await;
        let before = scene.server.database.dump().await;
        // What needs no database is told at once, with its line.
        let reply = scene.import("", "name,type\na,sensor\n,robot\n").await;
        let errors = reply.expect(400)["errors"].clone();
        assert_eq!(errors["[1].name"], "line 3: is required");
        assert!(errors["[1].type"].as_str().unwrap().starts_with("line 3: must be one of"), "{errors}");
        // What needs it ends the import.
        let told = events(&scene.import("", "name\na\nthere\nb\n").await);
        assert!(of(&told, "created").is_empty());
        let problem = end(&told, "failed")["problem"].clone();
        assert_eq!(problem["errors"]["[1].name"], "line 3: a thing of this name already exists in the group");
        assert_eq!((&problem["status"], &problem["type"]), (&json!(400), &json!("/problems/invalid")));
        assert_eq!(scene.server.database.dump().await, before);

        let csv =
            "name,type,external_key\na,sensor,SN-00001\n,robot,\nthere,,\nb,,SN-00001\nc,,SN-00002\na,,\n";
        let reply = scene.import("partial=true", csv).await;
        let told = events(&reply);
        assert_eq!(counts(&told), [6, 2, 0, 0, 4]);
        let rejected: Vec<_> = of(&told, "rejected")
            .iter()
            .map(|event| {
                let fields = event["errors"].as_array().unwrap().iter();
                let fields =
                    fields.map(|error| error["field"].as_str().unwrap()).collect::<Vec<_>>().join(",");
                (event["row"].as_u64().unwrap(), event["line"].as_u64().unwrap(), fields)
            })
            .collect();
        let expected = [(2, 3, "type,name"), (3, 4, "name"), (4, 5, "external_key"), (6, 7, "name")];
        let mut expected: Vec<_> = expected.map(|(row, line, field)| (row, line, field.to_owned())).to_vec();
        expected[0].2 = rejected[0].2.clone();
        assert_eq!(rejected, expected);
        assert_eq!(scene.names().await, ["a", "c", "there"]);
    }
}

#[tokio::test]
async fn rows_change_what_is_there() {
    for engine in engines() {
        let scene = Scene::new(engine).await;
        let other = scene
            .root
            .post(&format!("/groups/{}/profiles", scene.group), &json!([{ "name": "lora" }]))
            .await
            .expect(201)["profiles"][0]["id"]
            .clone();
        scene.import("", "name,external_key,metadata\na,SN-00001,\"{\"\"x\"\":1}\"\nb,SN-00002,\n").await;
        let csv = "external_key,name,type,status,profile,metadata.x:number\n\
                   SN-00001,a2,gateway,disabled,lora,2\nSN-00002,b,,,,\nSN-00003,c,,,,\nSN-00004,,,,,\n";
        let told = events(&scene.import("mode=upsert&match=external_key&partial=true", csv).await);
        assert_eq!(counts(&told), [4, 1, 1, 1, 1]);
        assert_eq!(of(&told, "rejected")[0]["errors"][0]["field"], "name");
        let things = scene.things().await;
        assert_eq!(scene.names().await, ["a2", "b", "c"]);
        assert_eq!(things[0]["type"], "gateway");
        assert_eq!((&things[0]["status"], &things[0]["profile_id"]), (&json!("disabled"), &other));
        assert_eq!(things[0]["metadata"], json!({ "x": 2 }));
        for action in ["thing.updated", "thing.moved", "thing.disabled"] {
            let path = format!("/journal?group={}&action={action}", scene.group);
            assert_eq!(scene.root.get(&path).await.expect(200)["total"], 1, "{action}");
        }
        // By name, and by id; again it changes nothing.
        let id = things[1]["id"].as_str().unwrap();
        for (query, csv) in [
            ("mode=upsert", "name,external_key\na2,SN-00005\nb,SN-00002\n".to_owned()),
            ("mode=upsert&match=id", format!("id,name\n{id},b3\n")),
        ] {
            assert_eq!(counts(&events(&scene.import(query, &csv).await))[2], 1, "{query}");
            let again = counts(&events(&scene.import(query, &csv).await));
            assert_eq!((again[1], again[2], again[4]), (0, 0, 0), "{query}");
        }
        assert_eq!(scene.names().await, ["a2", "b3", "c"]);
        // What does not say which thing it is about makes none.
        let before = scene.server.database.dump().await;
        for (by, missing, empty) in [
            ("external_key", "name,type\nd,\ne,\n", "name,external_key\nd,\n"),
            ("id", "name\nd\n", "name,id\nd,\n"),
            ("name", "id,type\n,sensor\n", "name,type\n,sensor\n"),
        ] {
            let query = format!("mode=upsert&match={by}");
            let refused = scene.import(&query, missing).await.expect(400)["errors"]["body"].clone();
            let told = format!("line 1: there is no column `{by}`, by which rows find their things");
            assert!(refused.as_str().unwrap().starts_with(&told), "{refused}");
            let (told, lines) = ("is required: rows find their things by it", "{\"type\":\"sensor\"}\n");
            for file in [empty, lines] {
                let refused = scene.import(&query, file).await.expect(400)["errors"].clone();
                assert!(refused[format!("[0].{by}")].as_str().unwrap().ends_with(told), "{refused}");
            }
            let partly = events(&scene.import(&format!("{query}&partial=true"), empty).await);
            assert_eq!(counts(&partly), [1, 0, 0, 0, 1]);
        }
        assert_eq!(scene.server.database.dump().await, before);
    }
}

#[tokio::test]
async fn dry_runs_tell_what_imports_would_do() {
    for engine in engines() {
        let scene = Scene::new(engine).await;
        scene.import("", "name\nthere\n").await;
        let before = scene.server.database.dump().await;
        let csv = "name\na\nthere\nb\n";
        let told = scene.import("partial=true&dry_run=true", csv).await.expect(200);
        assert_eq!(
            (&told["total"], &told["import"]["created"], &told["import"]["rejected"]),
            (&json!(2), &json!(2), &json!(1))
        );
        assert_eq!(told["import"]["rejections"][0]["row"], 2);
        assert_eq!(told["changes"][0]["action"], "thing.created");
        assert!(!told.to_string().contains("thk_"));
        let refused = scene.import("dry_run=true", csv).await;
        assert!(refused.expect(400)["errors"]["[1].name"].is_string());
        let many: String = "name\n"
            .chars()
            .chain((0..2500).flat_map(|n| format!("n{n}\n").chars().collect::<Vec<_>>()))
            .collect();
        let told = scene.import("dry_run=true", &many).await.expect(200);
        assert_eq!((&told["total"], told["changes"].as_array().unwrap().len()), (&json!(2500), 1000));
        assert_eq!(scene.server.database.dump().await, before);
    }
}

#[tokio::test]
async fn a_repetition_answers_the_same_keys_and_makes_nothing_twice() {
    for engine in engines() {
        let scene = Scene::new(engine).await;
        let csv: String = "name\n"
            .chars()
            .chain((0..2300).flat_map(|n| format!("n{}\n", n % 2200).chars().collect::<Vec<_>>()))
            .collect();
        let query = format!("profile_id={}&partial=true", scene.profile);
        let once = async |body: &str, key: &str| import(&scene.root, &scene.group, &query, body, key).await;
        let first = events(&once(&csv, "one").await);
        assert_eq!(counts(&first), [2300, 2200, 0, 0, 100]);
        let before = scene.server.database.dump().await;
        let again = events(&once(&csv, "one").await);
        let rows = |events: &[Value]| -> Vec<Value> {
            events.iter().filter(|event| event["event"] != "progress").cloned().collect()
        };
        assert_eq!(rows(&again), rows(&first));
        assert_eq!(scene.server.database.dump().await, before);
        assert_eq!(once(&csv.replace("n7\n", "m7\n"), "one").await.problem(422), "idempotency-key-reused");
        let key = of(&again, "created")[2199]["key"].as_str().unwrap();
        identify(&scene, key).await.expect(200);
        // Under another key they are other rows, and clash.
        assert_eq!(counts(&events(&once(&csv, "two").await)), [2300, 0, 0, 0, 2300]);
        // Another person, and another group, share no keys.
        let (group, profile) = place(&scene.root, &scene.org, "elsewhere").await;
        let there = import(&scene.root, &group, &format!("profile_id={profile}"), "name\nn0\n", "one").await;
        assert_ne!(of(&events(&there), "created")[0]["key"], of(&first, "created")[0]["key"]);
    }
}

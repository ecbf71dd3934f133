//! What comes back is what was there.

use std::{sync::Arc, time::Duration};

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    app::{Engine, ROOT_EMAIL, ROOT_PASSWORD, Send, engines, start},
    file::File,
    scene::{PASSWORD, Scene, backup, last_event, refusal, send},
};

/// All pairs of engines.
fn ways() -> Vec<(Engine, Engine)> {
    let engines = engines();
    engines.iter().flat_map(|from| engines.iter().map(move |to| (*from, *to))).collect()
}

/// A table's rows but for what a restore changes by design: the account of who restores, and what the new
/// journal has noted by itself.
fn comparable(file: &File, table: &str, journal: usize) -> Vec<Value> {
    let mut rows: Vec<Value> = file.of(table).into_iter().cloned().collect();
    if table == "journal" {
        rows.truncate(journal);
    }
    for row in &mut rows {
        if row["email"] == ROOT_EMAIL {
            row["password_hash"] = json!("of who restores");
        }
    }
    rows
}

#[tokio::test]
async fn a_backup_restores_to_what_was_there_on_either_engine() {
    for (from, to) in ways() {
        let source = Scene::on(from).await;
        let text = source.backup().await;
        let file = File::parse(&text);
        assert!(file.head["rows"].as_u64().unwrap() > 30);
        let counts = file.head["counts"].as_object().unwrap();
        for table in [
            "sessions",
            "access_tokens",
            "mails",
            "idempotency_keys",
            "dormant_group_invites",
            "installation",
        ] {
            assert!(!counts.contains_key(table), "{table}");
        }
        for table in [
            "users",
            "things",
            "credential_index",
            "retired_credentials",
            "disabled_things",
            "org_invites",
            "thing_activity",
        ] {
            assert!(counts[table].as_u64().unwrap() > 0, "{table}");
        }
        assert!(file.of("org_invites").iter().all(|row| row["state"] != "pending"));
        let noted = source.root.get("/journal?action=platform.backed_up").await.expect(200);
        assert_eq!(noted["total"], 1);

        let target = start(to).await;
        let root = target.root().await;
        let own_entries = root.get("/journal").await.expect(200)["total"].as_u64().unwrap();
        let reply = send(&root, text.clone()).await;
        let done = last_event(&reply);
        assert_eq!(done["event"], "done", "{from:?} to {to:?}: {}", reply.text);
        assert_eq!((&done["rows"], &done["left_out"]), (&file.head["rows"], &json!({})));
        let begun: Value = serde_json::from_str(reply.text.lines().next().unwrap()).unwrap();
        assert_eq!((&begun["event"], &begun["rows"]), (&json!("progress"), &file.head["rows"]));

        // Who restored goes on with the same session, as the account of the backup with that address.
        let me = root.get("/users/profile").await.expect(200);
        assert_eq!(me["email"], ROOT_EMAIL);
        assert_eq!(me["id"], done["account"]);
        let was = file.of("users").into_iter().find(|user| user["email"] == ROOT_EMAIL).unwrap();
        assert_eq!(me["id"], was["id"]);
        target.log_in(ROOT_EMAIL, ROOT_PASSWORD).await;
        target.log_in("ann@example.com", PASSWORD).await;
        let again = File::parse(&backup(&root).await);
        let journal = file.of("journal").len();
        for table in counts.keys() {
            assert_eq!(
                comparable(&file, table, journal),
                comparable(&again, table, journal),
                "{table}, {from:?} to {to:?}"
            );
        }
        // What the new one had noted follows, then the restore, the log-ins, the backup.
        let restored = root.get("/journal?action=platform.restored").await.expect(200);
        assert_eq!(restored["total"], 1);
        assert!(again.of("journal").len() as u64 > journal as u64 + own_entries);
        source.authenticate(&target).await;
        let thing = root.get(&format!("/things/{}", source.keys[0].2)).await.expect(200);
        assert_eq!(thing["key"].as_str(), Some(source.keys[0].1.as_str()));
        let findings = target.registry.audit_rows().await.unwrap();
        assert!(findings.is_empty(), "{findings:?}");
        // It goes on from there: ids of the journal do not clash, nothing is stuck.
        root.post(&format!("/profiles/{}/things", source.profile), &json!([{ "name": "new" }]))
            .await
            .expect(201);
        assert_eq!(refusal(&send(&root, text).await)["type"], "/problems/installation-not-empty");
    }
}

#[tokio::test]
async fn keys_that_were_refused_a_moment_ago_let_in_after_a_restore() {
    for engine in engines() {
        let source = Scene::on(engine).await;
        let text = source.backup().await;
        let target = start(engine).await;
        let root = target.root().await;
        for (kind, key, _) in &source.keys {
            let told = target.anonymous.post("/identify", &json!({ "type": kind, "key": key })).await;
            assert_eq!(told.status, 404);
        }
        assert_eq!(last_event(&send(&root, text).await)["event"], "done");
        source.authenticate(&target).await;
    }
}

#[tokio::test]
async fn who_restores_is_an_account_of_the_backup_or_one_beside_them() {
    for engine in engines() {
        let source = Scene::on(engine).await;
        let text = source.backup().await;
        // Nobody there has this address.
        let target = start(engine).await;
        let (email, password) = ("new-root@example.com", "correct horse battery staple");
        let made = target
            .registry
            .ensure_root(
                registry::text::Email::try_from(email).unwrap(),
                Some(registry::Password::try_from(registry::Secret::new(password)).unwrap()),
            )
            .await;
        assert!(made.unwrap().is_some());
        let root = target.log_in(email, password).await;
        assert_eq!(last_event(&send(&root, text.clone()).await)["event"], "done");
        assert_eq!(root.get("/users/profile").await.expect(200)["email"], email);
        assert_eq!(root.get("/users").await.expect(200)["total"], 5);
        target.log_in(ROOT_EMAIL, ROOT_PASSWORD).await;

        // The same account, by its id, under another address by then.
        let target = start(engine).await;
        let root = target.root().await;
        let own = root.get("/users/profile").await.expect(200)["id"].clone();
        let mut file = File::parse(&text);
        let at = file.at("users", |user| user["email"] == ROOT_EMAIL);
        let (old, new) = (file.rows[at].row["id"].to_string(), own.to_string());
        file.rows[at].row["email"] = json!("older@example.com");
        for row in &mut file.rows {
            row.row = serde_json::from_str(&row.row.to_string().replace(&old, &new)).unwrap();
        }
        let reply = send(&root, file.sealed()).await;
        assert_eq!(last_event(&reply)["event"], "done", "{}", reply.text);
        let me = root.get("/users/profile").await.expect(200);
        assert_eq!((&me["id"], &me["email"]), (&own, &json!("older@example.com")));
        target.log_in("older@example.com", ROOT_PASSWORD).await;
    }
}

#[tokio::test]
async fn a_backup_is_one_moment_however_much_goes_on() {
    for engine in engines() {
        let source = Arc::new(Scene::on(engine).await);
        let writing = Arc::clone(&source);
        let writer = tokio::spawn(async move {
            for n in 0..100 {
                let pair = json!([{ "name": format!("left {n}") }, { "name": format!("right {n}") }]);
                writing.root.post(&format!("/profiles/{}/things", writing.profile), &pair).await.expect(201);
            }
        });
        let mut seen = Vec::new();
        let mut files = Vec::new();
        while !writer.is_finished() && files.len() < 20 {
            files.push(source.backup().await);
        }
        writer.await.unwrap();
        files.push(source.backup().await);
        for text in &files {
            let file = File::parse(text);
            let names = |side: &str| {
                let mut numbers: Vec<usize> = file
                    .of("things")
                    .iter()
                    .filter_map(|thing| {
                        thing["name"].as_str().unwrap().strip_prefix(side)?.trim().parse().ok()
                    })
                    .collect();
                numbers.sort_unstable();
                numbers
            };
            let (left, right) = (names("left"), names("right"));
            assert_eq!(left, right);
            assert_eq!(left, (0..left.len()).collect::<Vec<_>>());
            let made = file.of("journal").iter().filter(|entry| entry["action"] == "thing.created").count();
            assert_eq!(made, file.of("things").len());
            seen.push(left.len());
        }
        assert!(seen.is_sorted() && seen.last() == Some(&100), "{seen:?}");
        let target = start(engine).await;
        let root = target.root().await;
        let middle = &files[files.len() / 2];
        assert_eq!(last_event(&send(&root, middle.clone()).await)["event"], "done");
    }
}

#[tokio::test]
async fn mainfluxs_backup_is_taken_over() {
    for engine in engines() {
        let server = start(engine).await;
        let root = server.root().await;
        let id = |n: u32| format!("0189{n:04x}-0000-7000-8000-000000000000");
        let file = json!({
            "things": [
                { "id": id(30), "group_id": id(10), "profile_id": id(20), "name": "pump", "key": id(40), "external_key": "SN-1000", "metadata": { "a": 1 } },
                { "id": id(31), "group_id": id(11), "profile_id": id(21), "name": "pump", "key": id(41), "type": "sensor" },
            ],
            "profiles": [
                { "id": id(20), "group_id": id(10), "name": "p", "config": { "content_type": "senml" } },
                { "id": id(21), "group_id": id(11), "name": "p", "metadata": null },
            ],
            "groups": [
                { "id": id(10), "name": " g ", "org_id": id(1), "created_at": "2024-01-02T03:04:05.678901Z", "updated_at": "2024-01-02T03:04:05Z" },
                { "id": id(11), "name": "g", "org_id": id(2), "description": "d", "created_at": "2024-01-02T03:04:05Z", "updated_at": "2024-01-02T03:04:05Z" },
            ],
            "group_memberships": [{ "member_id": id(50), "group_id": id(10), "email": "", "role": "owner" }],
        });
        let request = root.request(Method::POST, "/restore").json(&file).timeout(Duration::from_secs(60));
        let reply = request.reply().await;
        let done = last_event(&reply);
        assert_eq!(done["event"], "done", "{}", reply.text);
        assert_eq!(done["left_out"], json!({ "group_memberships": 1 }));
        for (key, thing) in [(id(40), id(30)), (id(41), id(31))] {
            let told = server
                .anonymous
                .post("/identify", &json!({ "type": "internal", "key": key }))
                .await
                .expect(200);
            assert_eq!(told["id"], thing);
        }
        let told = server.anonymous.post("/identify", &json!({ "type": "external", "key": "SN-1000" })).await;
        assert_eq!(told.expect(200)["id"], id(30));
        let thing = root.get(&format!("/things/{}", id(31))).await.expect(200);
        assert_eq!((&thing["type"], &thing["key"]), (&json!("sensor"), &json!(id(41))));
        let org = root.get(&format!("/orgs/{}", id(1))).await.expect(200);
        assert_eq!(org["name"], id(1));
        let group = root.get(&format!("/groups/{}", id(10))).await.expect(200);
        assert_eq!((&group["name"], &group["created_at"]), (&json!("g"), &json!("2024-01-02T03:04:05.678Z")));
        assert!(server.registry.audit_rows().await.unwrap().is_empty());
        // No key is where a thief would read it.
        let dump = server.database.dump().await.join("\n");
        assert!(!dump.contains(&id(40)) && dump.contains("SN-1000"));
    }
}

#[tokio::test]
async fn a_backup_that_nobody_takes_to_its_end_is_no_backup() {
    let source = Scene::on(Engine::Sqlite).await;
    let things: Vec<Value> = (0..1000)
        .map(|n| json!({ "name": format!("t {n}"), "metadata": { "x": "y".repeat(800) } }))
        .collect();
    for n in 0..4 {
        let profiles = json!([{ "name": format!("more {n}") }]);
        let made =
            source.root.post(&format!("/groups/{}/profiles", source.group), &profiles).await.expect(201);
        let id = made["profiles"][0]["id"].as_str().unwrap();
        let named: Vec<Value> = things
            .iter()
            .map(|thing| json!({ "name": format!("{n} {}", thing["name"]), "metadata": thing["metadata"] }))
            .collect();
        source.root.post(&format!("/profiles/{id}/things"), &json!(named)).await.expect(201);
    }
    let mut response = source.root.request(Method::GET, "/backup").send().await.unwrap();
    let begin = response.chunk().await.unwrap().unwrap();
    // One at a time: this one is not at its end.
    assert_eq!(source.root.get("/backup").await.problem(409), "already-under-way");
    // The database goes away in the middle.
    source.server.registry.close().await;
    let mut text = begin.to_vec();
    let broken = loop {
        match response.chunk().await {
            Ok(Some(bytes)) => text.extend_from_slice(&bytes),
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    // Either the reader had its connection to the end, or the client sees that it has not.
    let whole = String::from_utf8_lossy(&text).lines().last().unwrap().starts_with("{\"end\":true");
    assert_eq!(whole, !broken);
}

#[tokio::test]
async fn the_largest_change_that_is_accepted_is_restored() {
    let many = |count: usize, mark: &str| -> Value {
        (0..count).map(|n| (format!("m{n}"), json!(mark))).collect::<serde_json::Map<_, _>>().into()
    };
    let long = |mark: &str| json!({ "long": mark.repeat(65_000) });
    for (from, to) in ways() {
        let source = Scene::on(from).await;
        let made = json!([{ "name": "largest" }]);
        let made = source.root.post(&format!("/groups/{}/profiles", source.group), &made).await.expect(201);
        let profile = format!("/profiles/{}", made["profiles"][0]["id"].as_str().unwrap());
        // Three flags are in every configuration.
        let most = 997;
        let name = "n".repeat(254);
        for (config, metadata) in [
            (many(most, "1"), many(1_000, "2")),
            (many(most, "3"), many(1_000, "4")),
            (long("5"), long("6")),
            (long("7"), long("8")),
        ] {
            let changed = json!({ "name": name, "config": config, "metadata": metadata });
            source.root.put(&profile, &changed).await.expect(200);
        }
        let file = source.backup().await;
        let target = start(to).await;
        let root = target.root().await;
        let told = last_event(&send(&root, file).await);
        assert_eq!(told["event"], "done", "{from:?} {to:?}: {told}");
    }
}

#[tokio::test]
async fn asking_what_a_backup_would_be_takes_none() {
    for engine in engines() {
        let scene = Scene::on(engine).await;
        let count = async || scene.server.database.number("SELECT count(*) FROM journal".to_owned()).await;
        let before = count().await;
        let answer = scene.root.request(Method::HEAD, "/backup").send().await.unwrap();
        assert_eq!((answer.status().as_u16(), &answer.headers()["allow"]), (405, &"GET".parse().unwrap()));
        assert_eq!(count().await, before, "{engine:?}");
    }
}

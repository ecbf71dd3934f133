//! Restores that the whole process does not outlive: all or nothing.

use std::{
    io::Read,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    app::{databases, engines},
    scene::Scene,
};

const PASSWORD: &str = "correct horse battery staple";

struct Process {
    child: Child,
    url: String,
}

impl Process {
    fn on(dir: &Path, database: &databases::Database) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_things"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("THINGS_")) {
            command.env_remove(name);
        }
        for listener in ["THINGS_HTTP", "THINGS_METRICS", "THINGS_GRPC", "THINGS_HOOKS"] {
            command.env(listener, "127.0.0.1:0");
        }
        command.env("THINGS_KEYS", format!("pepper=p1:{0} kek=k1:{0}", "A".repeat(43)));
        command.env("THINGS_DATABASE_URL", database.url()).env("THINGS_ADMIN_PASSWORD", PASSWORD);
        command.current_dir(dir).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let (mut banner, mut part) = (Vec::new(), [0; 4096]);
        let deadline = Instant::now() + Duration::from_secs(30);
        while !String::from_utf8_lossy(&banner).contains("  keys  ") && Instant::now() < deadline {
            match child.stdout.as_mut().unwrap().read(&mut part).unwrap() {
                0 => break,
                read => banner.extend_from_slice(&part[..read]),
            }
        }
        let banner = String::from_utf8(banner).unwrap();
        let line = banner
            .lines()
            .find(|line| line.trim_start().starts_with("API"))
            .unwrap_or_else(|| panic!("{banner}"));
        let url = line.split_whitespace().nth(1).unwrap().to_owned();
        Self { child, url }
    }

    async fn restore(&self, file: &str) -> reqwest::Result<reqwest::Response> {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let body = json!({ "email": "admin@example.com", "password": PASSWORD });
        let made: Value =
            client.post(format!("{}/tokens", self.url)).json(&body).send().await?.json().await?;
        let token = made["token"].as_str().unwrap_or_else(|| panic!("{made}"));
        client
            .request(Method::POST, format!("{}/restore", self.url))
            .bearer_auth(token)
            .header("content-type", "application/x-ndjson")
            .body(file.to_owned())
            .send()
            .await
    }

    fn kill(self) {
        drop(self);
    }
}

/// No test leaves a process behind, however it ends.
impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_process_that_is_killed_has_restored_all_or_nothing() {
    for engine in engines() {
        let scene = Scene::on(engine).await;
        for n in 0..3 {
            let profiles = json!([{ "name": format!("many {n}") }]);
            let made =
                scene.root.post(&format!("/groups/{}/profiles", scene.group), &profiles).await.expect(201);
            let path = format!("/profiles/{}/things", made["profiles"][0]["id"].as_str().unwrap());
            let things: Vec<Value> =
                (0..1000).map(|at| json!({ "name": format!("thing {n} {at}") })).collect();
            scene.root.post(&path, &json!(things)).await.expect(201);
        }
        let file = scene.backup().await;
        let dir = tempfile::tempdir().unwrap();
        let database = databases::fresh(engine).await;
        let all = scene.server.database.number("SELECT count(*) FROM things").await;
        let mut whole = 0;
        for pause in [20, 60, 120, 200, 300, 450, 700] {
            let service = Process::on(dir.path(), &database);
            let restoring = service.restore(&file);
            let killing = tokio::time::sleep(Duration::from_millis(pause));
            tokio::select! { _ = restoring => {}, () = killing => {} }
            tokio::time::sleep(Duration::from_millis(pause / 2)).await;
            service.kill();
            // PostgreSQL sees a moment later that its client is gone.
            let mut looks = 0;
            let counts = loop {
                let things = database.number("SELECT count(*) FROM things").await;
                let index = database.number("SELECT count(*) FROM credential_index").await;
                let users = database.number("SELECT count(*) FROM users").await;
                if things == 0 || looks > 100 {
                    break (things, index > 0, users);
                }
                looks += 1;
                tokio::time::sleep(Duration::from_millis(10)).await;
            };
            if counts.0 == 0 {
                assert_eq!((counts.1, counts.2), (false, 1), "{engine:?}, killed after {pause} ms");
            } else {
                // The program's own administrator beside the four of the backup.
                assert_eq!(counts, (all, true, 5), "{engine:?}, killed after {pause} ms");
                whole += 1;
                break;
            }
        }
        if whole == 0 {
            let service = Process::on(dir.path(), &database);
            let text = service.restore(&file).await.unwrap().text().await.unwrap();
            assert!(text.lines().last().unwrap().contains("\"done\""), "{text}");
            service.kill();
            assert_eq!(database.number("SELECT count(*) FROM things").await, all);
        }
        let registry = databases::open(&database, registry::Clock::system()).await.unwrap();
        assert!(registry.audit_rows().await.unwrap().is_empty());
        registry.close().await;
    }
}

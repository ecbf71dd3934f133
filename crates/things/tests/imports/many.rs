//! An import that changes more than is told one by one.

use std::{sync::Arc, time::Duration};

use registry::{
    Registry, Secret,
    credentials::{Asker, CredentialKind, Front},
};

use crate::{
    Scene,
    app::{Engine, databases, engines},
    counts, events,
};

/// More than a transaction tells of by name.
const MANY: usize = 5_000;

fn key(n: usize) -> String {
    format!("a key of thing {n:05}")
}

#[tokio::test]
async fn every_process_hears_of_an_import_that_disables_many() {
    for engine in engines() {
        let scene = Scene::new(engine).await;
        // Where the database is shared, another process.
        let node = match engine {
            Engine::Sqlite => Arc::clone(&scene.server.registry),
            Engine::Postgres => {
                let settings = databases::settings(&scene.server.database, scene.server.clock.clone());
                let node = Registry::open(settings).await.unwrap();
                tokio::spawn(Arc::clone(&node).keep_step(std::future::pending()));
                node
            }
        };
        while !node.answers_from_memory() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let rows = |status: &str| -> String {
            let row = |n: usize| format!("n{n},{},{status}\n", key(n));
            std::iter::once("name,key,status\n".to_owned()).chain((0..MANY).map(row)).collect()
        };
        let all = u64::try_from(MANY).unwrap();
        assert_eq!(counts(&events(&scene.import("", &rows("")).await)), [all, all, 0, 0, 0]);
        let shown = [0, 2_500, MANY - 1].map(|n| Secret::new(key(n)));
        let asker = Asker { front: Front::Http, source: None };
        for secret in &shown {
            node.authenticate_device(CredentialKind::Internal, secret, &asker).await.unwrap();
        }
        let told = events(&scene.import("mode=upsert", &rows("disabled")).await);
        assert_eq!(counts(&told), [all, 0, all, 0, 0]);
        for secret in &shown {
            let answer = node.authenticate_device(CredentialKind::Internal, secret, &asker).await;
            assert!(answer.is_err(), "it is answered by what was before");
        }
        if engine == Engine::Postgres {
            assert_eq!(scene.server.database.number("SELECT count(*) FROM revocations").await, 1);
        }
    }
}

//! Moves from one engine to the other and back.

use std::process::Command;

use registry::{Clock, Secret, backup};

use crate::{
    app::{Engine, databases, engines},
    scene::{PASSWORD, Scene},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_things");

async fn moved(from: &databases::Database, to: &databases::Database) -> registry::Result<backup::Moved> {
    let mut steps = Vec::new();
    let moved = backup::copy(from.url(), to.url(), &databases::keyring(), &mut |step| steps.push(step)).await;
    if let Ok(moved) = &moved {
        let last = steps.last().unwrap();
        assert_eq!((last.rows_done, last.rows), (moved.rows(), moved.rows()));
        assert!(steps.windows(2).all(|pair| pair[0].rows_done <= pair[1].rows_done));
    }
    moved
}

/// What a move copies: all but the record of migrations, where the engine's numbering stands, and what SQLite
/// finds names by.
async fn content(database: &databases::Database) -> Vec<String> {
    let own = ["_sqlx_migrations: ", "sqlite_sequence: ", "revocations: ", "thing_names", "thing_terms"];
    let rows =
        database.dump().await.into_iter().filter(|row| !own.iter().any(|table| row.starts_with(table)));
    let mut rows: Vec<String> = rows
        .map(|row| {
            match (database.engine, row.strip_prefix("things: ").and_then(|row| row.split_once(','))) {
                // SQLite's own number for it comes first.
                (Engine::Sqlite, Some((_, rest))) => format!("things: {rest}"),
                _ => row,
            }
        })
        .collect();
    rows.sort_unstable();
    rows
}

#[tokio::test]
async fn everything_comes_along_from_sqlite_to_postgresql_and_back() {
    for between in engines() {
        let mut scene = Scene::on(Engine::Sqlite).await;
        let token = Secret::new(scene.root.token());
        scene.server.stop().await;
        scene.server.registry.close().await;
        let first = databases::copy(&scene.server.database).await;
        let (second, third) = (databases::empty(between).await, databases::empty(Engine::Sqlite).await);
        let moved_once = moved(&first, &second).await.unwrap();
        for table in [
            "sessions",
            "access_tokens",
            "mails",
            "installation",
            "dormant_group_invites",
            "journal",
            "thing_key_material",
        ] {
            assert!(moved_once.tables.iter().any(|(name, _)| *name == table), "{table}");
        }
        assert_eq!(moved(&second, &third).await.unwrap(), moved_once);
        assert!(content(&first).await == content(&third).await, "by {between:?}");

        // Who is logged in stays so, keys let in, and what is numbered goes on.
        let registry = databases::open(&second, Clock::standing(crate::app::START)).await.unwrap();
        let actor = registry.authenticate(&token).await.unwrap();
        let call = registry::Call::new(actor, "after-the-move");
        let asker = registry::credentials::Asker { front: registry::credentials::Front::Http, source: None };
        for (kind, key, id) in &scene.keys {
            let device =
                registry.authenticate_device(kind.parse().unwrap(), &Secret::new(key.as_str()), &asker).await;
            assert_eq!(device.unwrap().thing.to_string(), *id);
        }
        let email = registry::text::Email::try_from("ann@example.com").unwrap();
        let anybody = registry::Call::new(registry::Actor::Anonymous, "test");
        registry
            .create_session(&anybody, &email, &Secret::new(PASSWORD), "127.0.0.1".parse().unwrap())
            .await
            .unwrap();
        let new = registry::NewOrg {
            id: None,
            name: registry::text::OrgName::try_from("after").unwrap(),
            description: Default::default(),
            metadata: Default::default(),
        };
        registry.create_org(&call, &new).await.unwrap();
        assert!(registry.audit_rows().await.unwrap().is_empty());
        registry.close().await;
        // Into what is not empty nothing is moved.
        let before = content(&second).await;
        let error = moved(&first, &second).await.unwrap_err().to_string();
        assert!(error.contains("to: is not empty"), "{error}");
        assert!(before == content(&second).await);
    }
}

#[tokio::test]
async fn what_is_not_an_installation_or_not_its_keys_is_not_moved() {
    for engine in engines() {
        let (nothing, target) = (databases::empty(engine).await, databases::empty(engine).await);
        let error = moved(&nothing, &target).await.unwrap_err().to_string();
        assert!(error.contains("from: is not a database of this program"), "{error}");
        let source = databases::registry(engine, Clock::system()).await;
        source.registry.close().await;
        let other = registry::Keyring::generate_text().unwrap().expose().parse().unwrap();
        let refused = backup::copy(source.database.url(), target.url(), &other, &mut |_| ()).await;
        let told = match refused.unwrap_err() {
            registry::Error::Internal(told) => told.to_string(),
            other => panic!("{other:?}"),
        };
        assert!(told.contains("not the keys"), "{told}");
        if engine == Engine::Sqlite {
            source
                .database
                .execute("CREATE TRIGGER t AFTER INSERT ON users BEGIN DELETE FROM users; END")
                .await;
            let error = moved(&source.database, &target).await.unwrap_err().to_string();
            assert!(error.contains("triggers"), "{error}");
        }
    }
}

#[tokio::test]
async fn what_is_changed_while_it_is_copied_is_not_moved() {
    for engine in engines() {
        let source = databases::registry(engine, Clock::system()).await;
        source.registry.close().await;
        let target = databases::empty(engine).await;
        let nil = source.database.literal(sqlx::types::Uuid::nil());
        for written in [
            format!(
                "INSERT INTO journal (at, actor_kind, via, action, subject_kind, subject_id, request_id) \
                 SELECT created_at, 'system', 'system', 'platform.tested', 'platform', {nil}, 'test' FROM installation"
            ),
            format!(
                "INSERT INTO users (id, email, status, created_at, updated_at) \
                 SELECT {nil}, 'late@example.com', 'enabled', created_at, created_at FROM installation"
            ),
        ] {
            let mut wrote = false;
            let moved =
                backup::copy(source.database.url(), target.url(), &databases::keyring(), &mut |step| {
                    if step.table == "things" && !std::mem::replace(&mut wrote, true) {
                        elsewhere(source.database.execute(written.as_str()));
                    }
                })
                .await;
            let error = moved.unwrap_err().to_string();
            assert!(error.contains("from: was changed while it was copied"), "{engine:?}: {error}");
        }
        let done = moved(&source.database, &target).await.unwrap();
        assert!(done.tables.contains(&("users", 1)), "{done:?}");
    }
}

/// On another thread, as another process would do it.
fn elsewhere(work: impl Future<Output = ()> + Send) {
    let work = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(work);
    };
    std::thread::scope(|scope| scope.spawn(work).join().unwrap());
}

#[tokio::test]
async fn the_command_moves_what_nobody_serves() {
    for engine in engines() {
        let mut scene = Scene::on(Engine::Sqlite).await;
        scene.server.stop().await;
        scene.server.registry.close().await;
        let source = databases::copy(&scene.server.database).await;
        let target = databases::empty(engine).await;
        let dir = tempfile::tempdir().unwrap();
        let run = |from: &str, to: &str| {
            let output = Command::new(PROGRAM)
                .args(["move", from, to])
                .env("THINGS_KEYS", format!("pepper=p1:{0} kek=k1:{0}", "A".repeat(43)))
                .current_dir(dir.path())
                .output()
                .unwrap();
            let text = |bytes| String::from_utf8(bytes).unwrap();
            (output.status.code(), text(output.stdout), text(output.stderr))
        };
        let lock = std::fs::File::create(format!("{}-serving", source.file().unwrap().display())).unwrap();
        lock.lock().unwrap();
        let (code, _, errors) = run(source.url(), target.url());
        assert_eq!(code, Some(1), "{errors}");
        assert!(errors.contains("another `things serve` has the database"), "{errors}");
        drop(lock);
        let (code, told, errors) = run(source.url(), target.url());
        assert_eq!(code, Some(0), "{errors}");
        assert!(told.contains("Copied ") && told.contains("thing_key_material"), "{told}");
        assert!(errors.contains("100 %"), "{errors}");
        assert!(!told.contains("password") && !errors.contains("password"), "{told} {errors}");
        assert_eq!(run(source.url(), source.url()).0, Some(2));
        assert_eq!(run("mysql://x", target.url()).0, Some(2));
        let (code, _, errors) = run("sqlite:/nowhere/things.db", target.url());
        assert_eq!(code, Some(1), "{errors}");
        assert!(errors.contains("there is no database"), "{errors}");
        let (code, _, errors) = run(source.url(), target.url());
        assert_eq!(code, Some(1), "{errors}");
        assert!(errors.contains("is not empty"), "{errors}");
    }
}

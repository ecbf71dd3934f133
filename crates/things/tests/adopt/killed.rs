//! Adoption that is cut off again and again, and devices that notice nothing.

use std::time::Duration;

use registry::credentials::CredentialKind::{External, Internal};

use crate::{
    adopt, credentials,
    databases::{
        Database,
        mainflux::{self, Version},
    },
    named, open, possible, run, things,
};

/// What Mainflux asks.
async fn mainflux_knows(database: &Database, key: &str) -> Option<String> {
    let found = format!("SELECT id::text FROM things WHERE key = '{key}'");
    database.texts(found).await.pop()
}

async fn stage(database: &Database) -> &'static str {
    if database.number("SELECT (to_regclass('adoption') IS NOT NULL)::int::bigint").await == 0 {
        return "new";
    }
    let sql = "SELECT (count(indexed_at) + count(finished_at))::bigint FROM adoption";
    ["indexing", "indexed", "finished"][usize::try_from(database.number(sql).await).unwrap()]
}

/// `THINGS_ADOPTED_THINGS` says how many things; `cargo xtask bench` measures 100,000.
#[tokio::test]
async fn a_run_that_was_killed_goes_on_where_it_was_and_every_key_gets_in_all_the_while() {
    const KILLS: u32 = 20;
    if !possible() {
        return;
    }
    let many =
        std::env::var("THINGS_ADOPTED_THINGS").ok().and_then(|many| many.parse().ok()).unwrap_or(5_000);
    let database = mainflux::things(Version::Things10, many).await;
    let dir = tempfile::tempdir().unwrap();
    let before = credentials(&database).await;
    assert_eq!(before.len(), many);
    let described = "SELECT concat_ws(' ', id, group_id, profile_id, name, metadata, type, external_key) FROM things ORDER BY id";
    let rows = database.texts(described).await;
    let sample: Vec<_> = before.iter().step_by(many / 40).collect();

    let (mut killed, mut ended, mut wait) = (0, 0, 40);
    let mut seen = std::collections::BTreeSet::new();
    while killed < KILLS {
        let mut child = adopt(dir.path(), &database, &["--yes"])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        // Longer and longer, so that they end everywhere.
        tokio::time::sleep(Duration::from_millis(wait)).await;
        wait += 25;
        match child.try_wait().unwrap() {
            Some(status) => {
                assert!(status.success());
                ended += 1;
                // Begins anew on another database.
                break;
            }
            None => child.kill().unwrap(),
        }
        child.wait().unwrap();
        killed += 1;
        let stage = stage(&database).await;
        seen.insert(stage);
        let ours = match stage {
            "new" | "indexing" => {
                if stage == "indexing" {
                    let refused = open(dir.path(), &database).await.err().unwrap();
                    let registry::Error::Internal(reason) = refused else { panic!("{refused}") };
                    assert!(reason.to_string().contains("run `things adopt`"), "{reason}");
                }
                None
            }
            _ => Some(open(dir.path(), &database).await.unwrap()),
        };
        for (id, key, external) in &sample {
            match &ours {
                None => assert_eq!(mainflux_knows(&database, key).await.as_ref(), Some(id), "{stage}"),
                Some(registry) => {
                    assert_eq!(named(registry, Internal, key).await.as_ref(), Some(id), "{stage}");
                    if !external.is_empty() {
                        assert_eq!(named(registry, External, external).await.as_ref(), Some(id));
                    }
                }
            }
        }
        if let Some(registry) = ours {
            registry.close().await;
        }
    }
    assert!(ended == 1 || killed == KILLS);
    assert!(seen.len() > 1, "{seen:?}");
    let (code, told, errors) = run(&mut adopt(dir.path(), &database, &["--yes"]));
    assert_eq!(code, Some(0), "{told}{errors}");
    assert_eq!(stage(&database).await, "finished");

    let registry = open(dir.path(), &database).await.unwrap();
    for (id, key, external) in &before {
        assert_eq!(named(&registry, Internal, key).await.as_ref(), Some(id));
        if !external.is_empty() {
            assert_eq!(named(&registry, External, external).await.as_ref(), Some(id));
        }
    }
    registry.close().await;
    assert_eq!(database.texts(described).await, rows);
    let count = i64::try_from(many).unwrap();
    assert_eq!(database.number("SELECT count(*) FROM things WHERE key LIKE 'h1.%'").await, count);
    assert_eq!(database.number("SELECT count(*) FROM thing_key_material").await, count);
    assert_eq!(database.number("SELECT count(*) FROM gorp_migrations").await, 10);
    // Everything that is wrong is about the people, who stayed behind.
    let (_, told, _) = run(things(dir.path()).args(["doctor", "--database-url", database.url()]));
    let wrong: Vec<&str> = told.lines().filter(|line| line.starts_with("ERROR")).collect();
    assert!(
        wrong.iter().all(|line| line.contains("group members") || line.contains("organisation owners")),
        "{told}"
    );
}

/// What Mainflux does between the phases counts.
#[tokio::test]
async fn what_mainflux_changes_after_phase_a_is_found() {
    if !possible() {
        return;
    }
    let database = mainflux::things(Version::Things10, 30).await;
    let dir = tempfile::tempdir().unwrap();
    let (code, told, errors) = run(&mut adopt(dir.path(), &database, &["--yes", "--index-only"]));
    assert_eq!(code, Some(0), "{told}{errors}");
    assert!(told.contains("The keys are as they were"), "{told}");
    let before = credentials(&database).await;
    let [changed, other, gone, ..] = before.as_slice() else { panic!() };
    let t = |number: &str| format!("md5('{number}')::uuid");
    database
        .execute(format!(
            "UPDATE things SET key = 'a key that came later' WHERE id = '{}';
             -- What one had, another gets.
             UPDATE things SET key = '{}' WHERE id = '{}';
             DELETE FROM things WHERE id = '{}';
             INSERT INTO things (id, group_id, profile_id, key, external_key, name, metadata)
                 VALUES ('00000000-0000-0000-0000-000000000000', {}, {}, 'a thing that came later', 'SN-later', 'later', '{{}}');",
            changed.0,
            changed.1,
            other.0,
            gone.0,
            t("group 0"),
            t("profile 0")
        ))
        .await;
    let (code, told, errors) = run(&mut adopt(dir.path(), &database, &["--yes"]));
    assert_eq!(code, Some(0), "{told}{errors}");
    let registry = open(dir.path(), &database).await.unwrap();
    assert_eq!(named(&registry, Internal, "a key that came later").await.as_ref(), Some(&changed.0));
    assert_eq!(named(&registry, Internal, &changed.1).await.as_ref(), Some(&other.0));
    assert_eq!(named(&registry, Internal, &other.1).await, None);
    assert_eq!(named(&registry, Internal, &gone.1).await, None);
    let nil = Some("00000000-0000-0000-0000-000000000000".to_owned());
    assert_eq!(named(&registry, Internal, "a thing that came later").await, nil);
    assert_eq!(named(&registry, External, "SN-later").await, nil);
    registry.close().await;

    // And what it writes although it should have stopped.
    database
        .execute(format!(
            "INSERT INTO things (id, group_id, profile_id, key, name, metadata) VALUES (md5('x')::uuid, {}, {}, 'one more of them', 'more', '{{}}')",
            t("group 0"),
            t("profile 0")
        ))
        .await;
    let (code, told, errors) = run(&mut adopt(dir.path(), &database, &["--yes"]));
    assert_eq!(code, Some(0), "{told}{errors}");
    let registry = open(dir.path(), &database).await.unwrap();
    assert!(named(&registry, Internal, "one more of them").await.is_some());
    registry.close().await;
}

#[tokio::test]
async fn a_value_that_comes_to_name_two_things_stops_it_until_one_is_changed() {
    if !possible() {
        return;
    }
    let database = mainflux::things(Version::Things10, 10).await;
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(run(&mut adopt(dir.path(), &database, &["--yes", "--index-only"])).0, Some(0));
    let before = credentials(&database).await;
    let (one, two) = (&before[0], &before[1]);
    database.execute(format!("UPDATE things SET external_key = '{}' WHERE id = '{}'", one.1, two.0)).await;
    let refused = || {
        let (code, told, errors) = run(&mut adopt(dir.path(), &database, &["--yes"]));
        assert_eq!(code, Some(1), "{told}{errors}");
        assert!(!told.contains(&one.1) && !errors.contains(&one.1));
        (told, errors)
    };
    let (told, _) = refused();
    assert!(
        told.contains(&format!("things {} its key is the external key of {}", one.0, two.0))
            && told.contains("change one of the two"),
        "{told}"
    );
    let repair = format!("UPDATE things SET external_key = NULL WHERE id = '{}'", two.0);
    database.execute(repair.as_str()).await;
    assert_eq!(run(&mut adopt(dir.path(), &database, &["--yes"])).0, Some(0));

    // Now that the key is a verifier only the index can tell.
    database.execute(format!("UPDATE things SET external_key = '{}' WHERE id = '{}'", one.1, two.0)).await;
    let (_, errors) = refused();
    assert!(
        errors.contains(&one.0) && errors.contains(&two.0) && errors.contains("change one of the two"),
        "{errors}"
    );
    database.execute(repair).await;
    assert_eq!(run(&mut adopt(dir.path(), &database, &["--yes"])).0, Some(0));
}

//! Adoption that is cut off again and again, and devices that notice nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use registry::{
    Registry,
    credentials::CredentialKind::{External, Internal},
};

use crate::{
    adopt, credentials,
    databases::{
        Database,
        mainflux::{self, Version},
    },
    named, open, possible, run, things,
};

async fn stage(database: &Database) -> &'static str {
    if database.number("SELECT (to_regclass('adoption') IS NOT NULL)::int::bigint").await == 0 {
        return "new";
    }
    let sql = "SELECT (count(indexed_at) + count(finished_at))::bigint FROM adoption";
    ["indexing", "indexed", "finished"][usize::try_from(database.number(sql).await).unwrap()]
}

/// Thing, key, external key.
type Known = (String, String, String);

/// A database that is adopted, and devices that ask all the while whether they are known: both programs, each from
/// when and until when it has to know them.
struct Fleet {
    database: Database,
    dir: tempfile::TempDir,
    before: Vec<Known>,
    sample: Vec<Known>,
    /// How often the sample was gone through, and how often ours was asked.
    rounds: AtomicU64,
    by_ours: AtomicU64,
    over: AtomicBool,
}

impl Fleet {
    async fn new(many: usize) -> Arc<Self> {
        let database = mainflux::things(Version::Things10, many).await;
        let before = credentials(&database).await;
        assert_eq!(before.len(), many);
        let sample = before.iter().step_by(many / 20).cloned().collect();
        Arc::new(Self {
            database,
            dir: tempfile::tempdir().unwrap(),
            before,
            sample,
            rounds: AtomicU64::new(0),
            by_ours: AtomicU64::new(0),
            over: AtomicBool::new(false),
        })
    }

    /// A process of ours, as soon as one may start.
    async fn start(&self) -> Option<Arc<Registry>> {
        match stage(&self.database).await {
            "new" => None,
            "indexing" => {
                let Err(refused) = open(self.dir.path(), &self.database).await else {
                    // Phase A has ended in between.
                    assert_ne!(stage(&self.database).await, "indexing");
                    return None;
                };
                // Others pass: a lock that adoption holds.
                if let registry::Error::Internal(reason) = refused {
                    assert!(reason.to_string().contains("run `things adopt`"), "{reason}");
                }
                None
            }
            _ => Some(open(self.dir.path(), &self.database).await.unwrap()),
        }
    }

    /// Asks until it is over. What Mainflux does not find any more ours has to know.
    async fn ask(self: Arc<Self>) {
        let keys: Vec<String> = self.sample.iter().map(|(_, key, _)| format!("'{key}'")).collect();
        let mainfluxs =
            format!("SELECT key || '|' || id FROM things WHERE key IN ({}) ORDER BY key", keys.join(", "));
        let mut ours: Option<Arc<Registry>> = None;
        let mut in_step = None;
        while !self.over.load(Ordering::Relaxed) {
            let found: BTreeMap<String, String> = self
                .database
                .texts(mainfluxs.as_str())
                .await
                .iter()
                .filter_map(|row| row.split_once('|'))
                .map(|(key, id)| (key.to_owned(), id.to_owned()))
                .collect();
            if ours.is_none() {
                ours = self.start().await;
                // As `things serve` does, so that it answers from memory.
                in_step = ours.clone().map(|ours| tokio::spawn(ours.keep_step(std::future::pending())));
            }
            for (id, key, external) in &self.sample {
                match found.get(key) {
                    Some(found) => assert_eq!(found, id),
                    None => assert!(ours.is_some(), "nobody knows {id} any more"),
                }
                if let Some(registry) = &ours {
                    assert_eq!(named(registry, Internal, key).await.as_ref(), Some(id));
                    if !external.is_empty() {
                        assert_eq!(named(registry, External, external).await.as_ref(), Some(id));
                    }
                    self.by_ours.fetch_add(1, Ordering::Relaxed);
                }
            }
            self.rounds.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if let (Some(registry), Some(in_step)) = (ours, in_step) {
            in_step.abort();
            registry.close().await;
        }
    }

    /// Runs adoption and kills it after a while; `false` if it came to its end before.
    async fn kill_after(&self, wait: Duration) -> bool {
        let mut child = adopt(self.dir.path(), &self.database, &["--yes"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        tokio::time::sleep(wait).await;
        match child.try_wait().unwrap() {
            Some(status) => {
                assert!(status.success());
                false
            }
            None => {
                child.kill().unwrap();
                child.wait().unwrap();
                true
            }
        }
    }

    /// Everything is as it was, and every key lets its thing in.
    async fn check(&self) {
        assert_eq!(stage(&self.database).await, "finished");
        let registry = open(self.dir.path(), &self.database).await.unwrap();
        for (id, key, external) in &self.before {
            assert_eq!(named(&registry, Internal, key).await.as_ref(), Some(id));
            if !external.is_empty() {
                assert_eq!(named(&registry, External, external).await.as_ref(), Some(id));
            }
        }
        registry.close().await;
        let count = i64::try_from(self.before.len()).unwrap();
        let number = async |sql: &str| self.database.number(sql).await;
        assert_eq!(number("SELECT count(*) FROM things WHERE key LIKE 'h1.%'").await, count);
        assert_eq!(number("SELECT count(*) FROM thing_key_material").await, count);
        assert_eq!(number("SELECT count(*) FROM gorp_migrations").await, 10);
    }
}

/// `THINGS_ADOPTED_THINGS` says how many things; `cargo xtask bench` measures 100,000.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_was_killed_goes_on_where_it_was_and_every_key_gets_in_all_the_while() {
    const KILLS: u32 = 20;
    if !possible() {
        return;
    }
    let many =
        std::env::var("THINGS_ADOPTED_THINGS").ok().and_then(|many| many.parse().ok()).unwrap_or(5_000);
    let described = "SELECT concat_ws(' ', id, group_id, profile_id, name, metadata, type, external_key) FROM things ORDER BY id";
    let (mut killed, mut fleets) = (0, 0);
    let mut seen = BTreeSet::new();
    while killed < KILLS {
        fleets += 1;
        assert!(fleets <= KILLS, "{killed} kills, {seen:?}");
        let fleet = Fleet::new(many).await;
        let rows = fleet.database.texts(described).await;
        let asking = tokio::spawn(Arc::clone(&fleet).ask());
        let mut wait = Duration::from_millis(40);
        while killed < KILLS && fleet.kill_after(wait).await {
            killed += 1;
            seen.insert(stage(&fleet.database).await);
            // Longer and longer, so that they end everywhere; on a fast machine the next database goes on with it.
            wait += Duration::from_millis(25);
        }
        let (code, told, errors) = run(&mut adopt(fleet.dir.path(), &fleet.database, &["--yes"]));
        assert_eq!(code, Some(0), "{told}{errors}");
        let asked = fleet.by_ours.load(Ordering::Relaxed);
        while fleet.by_ours.load(Ordering::Relaxed) < asked + 2 * fleet.sample.len() as u64 {
            assert!(!asking.is_finished(), "a device was turned away: {:?}", asking.await);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        fleet.over.store(true, Ordering::Relaxed);
        asking.await.unwrap();
        assert!(fleet.rounds.load(Ordering::Relaxed) > 2);
        fleet.check().await;
        assert_eq!(fleet.database.texts(described).await, rows);
        // Everything that is wrong is about the people, who stayed behind.
        let (_, told, _) =
            run(things(fleet.dir.path()).args(["doctor", "--database-url", fleet.database.url()]));
        let wrong: Vec<&str> = told.lines().filter(|line| line.starts_with("ERROR")).collect();
        assert!(
            wrong.iter().all(|line| line.contains("group members") || line.contains("organisation owners")),
            "{told}"
        );
    }
    assert_eq!(killed, KILLS);
    assert!(seen.len() > 1, "{seen:?}");
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

//! Backups that the program takes by itself.

use std::{path::Path, sync::Arc, time::Duration};

use things::{BackupState, Options, Schedule, serve::Limits};

use crate::{
    app::{Engine, databases, engines, start_with},
    file::File,
};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = match std::fs::read_dir(dir) {
        Ok(found) => found.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect(),
        Err(_) => Vec::new(),
    };
    names.retain(|name| !name.starts_with('.'));
    names.sort_unstable();
    names
}

/// Waits for what must come.
async fn until(what: impl AsyncFn() -> bool) {
    for _ in 0..4000 {
        if what().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it did not come");
}

/// Looks all the time, for backups that are a day apart by the test's clock.
fn schedule(dir: &Path) -> Schedule {
    Schedule::new(dir.to_owned(), DAY, 2).looking_every(Duration::from_millis(20))
}

#[tokio::test]
async fn the_newest_are_kept_and_each_is_whole() {
    for engine in engines() {
        let options = Options { requests_per_second: None, backup_every: Some(DAY), ..Options::default() };
        let server = start_with(engine, options, Limits::default()).await;
        let health = async || server.anonymous.get("/health").await.json();
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("backups");
        let run = schedule(&dir).run(
            Arc::clone(&server.registry),
            server.app.backups.clone(),
            std::future::pending(),
        );
        let running = tokio::spawn(run);
        for day in 1..=4 {
            until(async || {
                names(&dir).len() == day.min(2)
                    && names(&dir).last().unwrap().contains(&format!("things-2026010{day}T"))
            })
            .await;
            server.clock.advance(DAY);
        }
        assert_eq!(health().await["checks"]["backup"]["status"], "pass");
        let last = dir.join(names(&dir).last().unwrap());
        let text = std::fs::read_to_string(&last).unwrap();
        assert!(text.lines().last().unwrap().starts_with("{\"end\":true"));
        assert!(File::parse(&text).head["rows"].as_u64().is_some());
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&last).unwrap().permissions().mode() & 0o777, 0o600);
        running.abort();
        let _ = running.await;
        let metrics = server.app.metrics.encode().unwrap();
        assert!(metrics.contains("things_backup_last_success_timestamp_seconds 17"), "{metrics}");
        // Nobody takes the next ones.
        server.clock.advance(DAY * 3);
        until(async || health().await["checks"]["backup"]["status"] == "warn").await;
        assert_eq!(health().await["status"], "warn");
    }
}

#[tokio::test]
async fn what_fails_is_told_and_tried_again() {
    let options = Options { requests_per_second: None, backup_every: Some(DAY), ..Options::default() };
    let server = start_with(Engine::Sqlite, options, Limits::default()).await;
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("backups");
    // Where there is a file, there can be no directory.
    std::fs::write(&place, "").unwrap();
    let run = schedule(&place).run(
        Arc::clone(&server.registry),
        server.app.backups.clone(),
        std::future::pending(),
    );
    let running = tokio::spawn(run);
    let status = async || server.anonymous.get("/health").await.json()["checks"]["backup"]["status"].clone();
    until(async || status().await == "warn").await;
    std::fs::remove_file(&place).unwrap();
    until(async || names(&place).len() == 1).await;
    until(async || status().await == "pass").await;
    running.abort();
}

#[tokio::test]
async fn of_several_processes_one_takes_each() {
    for engine in engines().into_iter().filter(|engine| *engine == Engine::Postgres) {
        let clock = registry::Clock::standing(crate::app::START);
        let first = databases::registry(engine, clock.clone()).await;
        let second = databases::open(&first.database, clock.clone()).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let places = [dir.path().join("one"), dir.path().join("two")];
        let running: Vec<_> = [Arc::clone(&first.registry), second]
            .into_iter()
            .zip(&places)
            .map(|(registry, place)| {
                let mut schedule = schedule(place);
                schedule.keep = 100;
                tokio::spawn(schedule.run(registry, BackupState::default(), std::future::pending()))
            })
            .collect();
        for day in 1..=5 {
            until(async || names(&places[0]).len() + names(&places[1]).len() == day).await;
            clock.advance(DAY);
        }
        until(async || names(&places[0]).len() + names(&places[1]).len() == 6).await;
        let noted = "SELECT count(*) FROM journal WHERE action = 'platform.backed_up'";
        assert_eq!(first.database.number(noted).await, 6);
        for task in running {
            task.abort();
        }
    }
}

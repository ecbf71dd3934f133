//! What Mainflux writes after the first look is looked at as well.

use std::{process::Stdio, time::Duration};

use registry::credentials::CredentialKind::Internal;

use crate::{
    adopt,
    databases::{
        Database,
        mainflux::{self, Version},
    },
    dump, named, open, possible,
    rules::report,
    run,
};

/// A database of Mainflux's with all keys indexed, and where the program runs.
async fn behind_phase_a() -> (Database, tempfile::TempDir) {
    let database = mainflux::things(Version::Things10, 20).await;
    let dir = tempfile::tempdir().unwrap();
    let (code, told, errors) = run(&mut adopt(dir.path(), &database, &["--yes", "--index-only"]));
    assert_eq!(code, Some(0), "{told}{errors}");
    (database, dir)
}

#[tokio::test]
async fn rows_that_come_after_phase_a_are_looked_at_before_it_goes_on() {
    if !possible() {
        return;
    }
    let (database, dir) = behind_phase_a().await;
    let file = dir.path().join("report");
    let late = database.text("SELECT md5('late')::uuid::text").await;
    let thing = |key: &str, name: &str, profile: u32, metadata: &str| {
        format!(
            "INSERT INTO things (id, group_id, profile_id, key, name, metadata) VALUES \
             (md5('late')::uuid, md5('group 1')::uuid, md5('profile {profile}')::uuid, '{key}', '{name}', '{metadata}')"
        )
    };
    let big = format!("{{\"x\": \"{}\"}}", "x".repeat(70_000));
    for (rule, sql) in [
        ("profile-elsewhere", thing("a key that came late", "late", 2, "{}")),
        ("name-taken", thing("a key that came late", "thing 1 ", 1, "{}")),
        ("metadata-unfit", thing("a key that came late", "late", 1, &big)),
        ("key-looks-ours", thing("thk_and-nothing-of-ours", "late", 1, "{}")),
    ] {
        database.execute(sql).await;
        let before = dump(&database).await;
        for how in ["--dry-run", "--yes"] {
            let arguments = [how, "--report", file.to_str().unwrap()];
            let (code, told, errors) = run(&mut adopt(dir.path(), &database, &arguments));
            assert_eq!(code, Some(1), "{rule}: {told}{errors}");
            assert!(told.contains(rule) && told.contains(&late), "{rule}: {told}");
            assert!(errors.contains("1 rows have to be put right first"), "{rule}: {errors}");
            let report = report(&file);
            assert_eq!(report.get(&(rule.to_owned(), late.clone())).map(String::as_str), Some("refused"));
        }
        assert!(dump(&database).await == before, "{rule}");
        database.execute("DELETE FROM things WHERE id = md5('late')::uuid").await;
    }
    database.execute(thing("a key that came late", "late ", 1, "{}")).await;
    let arguments = ["--yes", "--report", file.to_str().unwrap()];
    let (code, told, errors) = run(&mut adopt(dir.path(), &database, &arguments));
    assert_eq!(code, Some(0), "{told}{errors}");
    assert!(report(&file).contains_key(&("name-untidy".to_owned(), late.clone())));
    assert_eq!(database.text("SELECT name FROM things WHERE id = md5('late')::uuid").await, "late");
}

#[tokio::test]
async fn rows_that_come_during_phase_a_are_looked_at_before_keys_are_replaced() {
    if !possible() {
        return;
    }
    let (database, dir) = behind_phase_a().await;

    // Phase A cannot end while this is held.
    let held = database.hold("UPDATE adoption SET position = position").await;
    let child = adopt(dir.path(), &database, &["--yes"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while database.number(waiting).await == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    database
        .execute(
            "INSERT INTO things (id, group_id, profile_id, key, name, metadata) VALUES \
             (md5('late')::uuid, md5('group 1')::uuid, md5('profile 1')::uuid, 'a key that came late', 'thing 1 ', '{}')",
        )
        .await;
    held.commit().await;
    let ended = child.wait_with_output().unwrap();
    let (told, errors) = (String::from_utf8(ended.stdout).unwrap(), String::from_utf8(ended.stderr).unwrap());
    assert_eq!(ended.status.code(), Some(1), "{told}{errors}");
    let late = database.text("SELECT md5('late')::uuid::text").await;
    assert!(told.contains("name-taken") && told.contains(&late), "{told}");
    assert!(errors.contains("phase B was not begun: 1 rows"), "{errors}");
    assert_eq!(database.number("SELECT count(*) FROM things WHERE key LIKE 'h1.%'").await, 0);

    database.execute("UPDATE things SET name = ' late' WHERE id = md5('late')::uuid").await;
    let (code, told, errors) = run(&mut adopt(dir.path(), &database, &["--yes"]));
    assert_eq!(code, Some(0), "{told}{errors}");
    let registry = open(dir.path(), &database).await.unwrap();
    assert_eq!(named(&registry, Internal, "a key that came late").await, Some(late));
    registry.close().await;
}

#[tokio::test]
async fn invites_that_were_sent_from_here_stay_as_they_are() {
    if !possible() {
        return;
    }
    let (database, dir) = behind_phase_a().await;
    // Somebody is invited to the organisation, with a group, which sleeps until they accept: it has no end of its own.
    for sql in [
        "INSERT INTO org_invites (id, org_id, invitee_email, invitee_role, inviter_id, mode, state, created_at, expires_at) \
         SELECT md5('invite')::uuid, org_id, 'ben@example.com', 'viewer', md5('ada')::uuid, 'ask', 'pending', now(), now() + interval '7 days' \
         FROM groups WHERE id = md5('group 1')::uuid",
        "INSERT INTO group_invites (id, inviter_id, group_id, invitee_role, created_at, state) \
         VALUES (md5('sleeper')::uuid, md5('ada')::uuid, md5('group 1')::uuid, 'viewer', now(), 'pending')",
        "INSERT INTO dormant_group_invites (group_invite_id, org_invite_id) VALUES (md5('sleeper')::uuid, md5('invite')::uuid)",
    ] {
        database.execute(sql).await;
    }
    let file = dir.path().join("report");
    let (code, told, errors) =
        run(&mut adopt(dir.path(), &database, &["--yes", "--report", file.to_str().unwrap()]));
    assert_eq!(code, Some(0), "{told}{errors}");
    assert!(!told.contains("time-missing"), "{told}");
    let asleep = "SELECT count(*) FROM group_invites WHERE state = 'pending' AND expires_at IS NULL";
    assert_eq!(database.number(asleep).await, 1);
}

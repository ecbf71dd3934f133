//! What is no database to adopt, and what a look leaves behind: nothing.

use crate::{
    adopt,
    databases::{
        Engine, empty, fresh,
        mainflux::{self, VERSIONS, Version},
    },
    dump, possible, run, things,
};

#[tokio::test]
async fn what_is_not_mainflux_things_is_refused_with_what_it_is() {
    if !possible() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let with = async |sql: &str| {
        let database = mainflux::things(Version::Things10, 5).await;
        database.execute(sql).await;
        database
    };
    let users = empty(Engine::Postgres).await;
    users.execute(mainflux::noted("users", 3)).await;
    let stranger = empty(Engine::Postgres).await;
    stranger.execute("CREATE TABLE invoices (id INT)").await;
    for (database, wanted) in [
        (empty(Engine::Postgres).await, "it has no table groups, group_memberships, profiles, things; it has no tables at all"),
        (stranger, "it has invoices"),
        (users, "another service's database: it has the migration users_1"),
        (with("DELETE FROM gorp_migrations WHERE id IN ('things_8', 'things_9', 'things_10')").await, "start Mainflux Things of version 0.33 or newer"),
        (with("INSERT INTO gorp_migrations VALUES ('things_11')").await, "newer than what this program knows"),
        (with("CREATE TABLE users (id UUID)").await, "tables here already that Things would make: users"),
        (with("ALTER TABLE things ADD COLUMN colour TEXT").await, "things.colour (text) is no column of Mainflux's"),
        (with("ALTER TABLE groups ALTER COLUMN name TYPE TEXT").await, "groups.name is text and should be character varying(254)"),
        (with("ALTER TABLE things ADD CHECK (name <> 'x')").await, "things has the constraint things_name_check"),
        (with("CREATE UNIQUE INDEX one ON things (lower(name))").await, "things has the unique index one on lower"),
        (with("CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; CREATE TRIGGER t BEFORE INSERT ON things FOR EACH ROW EXECUTE FUNCTION f()").await, "triggers, which Mainflux does not make: t on things"),
        (fresh(Engine::Postgres).await, "one of Things already"),
    ] {
        let before = dump(&database).await;
        for arguments in [&["--yes"][..], &["--dry-run"]] {
            let (code, told, errors) = run(&mut adopt(dir.path(), &database, arguments));
            assert_eq!(code, Some(1), "{wanted}: {told}{errors}");
            assert!(errors.contains(wanted), "{wanted}: {errors}");
        }
        assert!(dump(&database).await == before, "{wanted}");
    }
    assert!(!dir.path().join("things-data").exists());
}

#[tokio::test]
async fn a_dry_run_and_a_question_without_an_answer_change_nothing() {
    if !possible() {
        return;
    }
    for version in VERSIONS {
        let database = mainflux::things(version, 20).await;
        let dir = tempfile::tempdir().unwrap();
        let before = dump(&database).await;
        let (code, told, errors) = run(&mut adopt(dir.path(), &database, &["--dry-run"]));
        assert_eq!(code, Some(0), "{told}{errors}");
        assert!(
            told.contains("things                    20 rows") && told.contains("Nothing was changed"),
            "{told}"
        );
        let (code, _, errors) = run(&mut adopt(dir.path(), &database, &[]));
        assert_eq!(code, Some(2), "{errors}");
        assert!(errors.contains("nobody can be asked here"), "{errors}");
        // Another command does not take it for its own either.
        let (code, _, errors) = run(things(dir.path()).args(["migrate", "--database-url", database.url()]));
        assert_eq!(code, Some(1), "{errors}");
        assert!(errors.contains("`things adopt` makes it one of ours"), "{errors}");
        assert!(dump(&database).await == before, "{version:?}");
    }
    let dir = tempfile::tempdir().unwrap();
    let (code, _, errors) = run(things(dir.path()).args(["adopt", "--dry-run"]));
    assert_eq!(code, Some(2), "{errors}");
    assert!(errors.contains("is no PostgreSQL database"), "{errors}");
}

#[tokio::test]
async fn two_at_once_are_one_too_many() {
    if !possible() {
        return;
    }
    let database = mainflux::things(Version::Things9, 5).await;
    let dir = tempfile::tempdir().unwrap();
    let held = database.hold("SELECT pg_advisory_lock(32765899331564289)").await;
    let (code, _, errors) = run(&mut adopt(dir.path(), &database, &["--dry-run"]));
    held.release().await;
    assert_eq!(code, Some(1), "{errors}");
    assert!(errors.contains("another `things adopt` is at work"), "{errors}");
}

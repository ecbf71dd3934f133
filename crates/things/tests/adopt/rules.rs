//! Rows that break a rule: each is told of, with its id and what becomes of it.

use std::collections::BTreeMap;

use registry::credentials::CredentialKind::{External, Internal};

use crate::{
    adopt,
    databases::{
        Database,
        mainflux::{self, Version},
    },
    dump, named, open, possible, run,
};

/// Rule, what becomes of it, a row that breaks it, and how it comes to; `$N` is thing number N.
pub(crate) type Case = (&'static str, &'static str, &'static str, &'static str);

pub(crate) const THINGS: [Case; 24] = [
    ("key-empty", "mended", "$1", "UPDATE things SET key = '' WHERE id = $1"),
    (
        "external-key-empty",
        "mended",
        "$2",
        "ALTER TABLE things DROP CONSTRAINT things_external_key_check; UPDATE things SET external_key = '' WHERE id = $2",
    ),
    ("name-untidy", "mended", "$3", "UPDATE things SET name = E' pump\\t7 ' WHERE id = $3"),
    ("name-untidy", "mended", "$4", "UPDATE things SET name = '' WHERE id = $4"),
    ("metadata-null", "mended", "$5", "UPDATE things SET metadata = NULL WHERE id = $5"),
    ("metadata-null", "mended", "$6", "UPDATE things SET metadata = 'null' WHERE id = $6"),
    (
        "time-missing",
        "mended",
        "md5('group 1')::uuid",
        "UPDATE groups SET created_at = NULL, updated_at = NULL WHERE id = md5('group 1')::uuid",
    ),
    ("key-unusual", "kept", "$7", "UPDATE things SET key = 'short' WHERE id = $7"),
    ("key-unusual", "kept", "$8", "UPDATE things SET key = repeat('long', 200) WHERE id = $8"),
    ("external-key-unusual", "kept", "$9", "UPDATE things SET external_key = 'x1' WHERE id = $9"),
    (
        "external-key-unusual",
        "kept",
        "$18",
        "UPDATE things SET external_key = repeat('SN', 400) WHERE id = $18",
    ),
    (
        "description-untidy",
        "mended",
        "md5('group 0')::uuid",
        "UPDATE groups SET description = E' two\nlines ' WHERE id = md5('group 0')::uuid",
    ),
    (
        "config-unfit",
        "refused",
        "md5('profile 3')::uuid",
        "UPDATE profiles SET config = '{\"topics\": [], \"write_enabled\": 1}' WHERE id = md5('profile 3')::uuid",
    ),
    (
        "time-missing",
        "mended",
        "md5('group 4')::uuid",
        "UPDATE groups SET created_at = '0001-01-01Z' WHERE id = md5('group 4')::uuid",
    ),
    ("type-unknown", "kept", "$10", "UPDATE things SET type = '' WHERE id = $10"),
    (
        "group-without-owner",
        "kept",
        "md5('group 2')::uuid",
        "UPDATE group_memberships SET role = 'admin' WHERE group_id = md5('group 2')::uuid AND role = 'owner'",
    ),
    (
        "role-unknown",
        "kept",
        "md5('group 3')::uuid",
        "UPDATE group_memberships SET role = NULL WHERE group_id = md5('group 3')::uuid AND role = 'editor'",
    ),
    (
        "role-unknown",
        "kept",
        "md5('group 4')::uuid",
        "UPDATE group_memberships SET role = 'vieweadmin' WHERE group_id = md5('group 4')::uuid AND role = 'editor'",
    ),
    (
        "profile-elsewhere",
        "refused",
        "$11",
        "UPDATE things SET profile_id = md5('profile 2')::uuid WHERE id = $11",
    ),
    (
        "credential-twice",
        "refused",
        "$12",
        "UPDATE things SET external_key = (SELECT key FROM things WHERE id = $12) WHERE id = $13",
    ),
    ("name-taken", "refused", "$19", "UPDATE things SET name = 'thing 14 ' WHERE id = $19"),
    ("metadata-unfit", "refused", "$15", "UPDATE things SET metadata = '[1]' WHERE id = $15"),
    (
        "metadata-unfit",
        "refused",
        "$16",
        "UPDATE things SET metadata = jsonb_build_object('x', repeat('x', 70000)) WHERE id = $16",
    ),
    ("key-looks-ours", "refused", "$17", "UPDATE things SET key = 'thk_and-nothing-of-ours' WHERE id = $17"),
];

pub(crate) const INVITES: [Case; 6] = [
    (
        "invite-sleeps",
        "mended",
        "md5('i1')::uuid",
        "INSERT INTO group_invites VALUES (md5('i1')::uuid, NULL, md5('user 0')::uuid, md5('group 0')::uuid, 'viewer', now(), now()); \
        INSERT INTO dormant_group_invites VALUES (md5('i1')::uuid, md5('o')::uuid)",
    ),
    (
        "time-missing",
        "mended",
        "md5('i2')::uuid",
        "INSERT INTO group_invites VALUES (md5('i2')::uuid, md5('user 5')::uuid, md5('user 0')::uuid, md5('group 0')::uuid, 'viewer', NULL, NULL)",
    ),
    (
        "invite-unknown",
        "mended",
        "md5('i4')::uuid",
        "INSERT INTO group_invites VALUES (md5('i4')::uuid, md5('user 4')::uuid, md5('user 0')::uuid, md5('group 0')::uuid, 'owner', now(), now())",
    ),
    (
        "invite-unknown",
        "mended",
        "md5('i3')::uuid",
        "INSERT INTO group_invites VALUES (md5('i3')::uuid, md5('user 6')::uuid, md5('user 0')::uuid, md5('group 0')::uuid, 'viewer', now(), now(), 'lost')",
    ),
    (
        "invite-twice",
        "refused",
        "md5('i5')::uuid",
        "DROP INDEX unique_group_invitee_pending; \
        INSERT INTO group_invites SELECT md5(n)::uuid, md5('user 7')::uuid, md5('user 0')::uuid, md5('group 0')::uuid, 'viewer', now(), now() FROM unnest(ARRAY['i5', 'i5']) WITH ORDINALITY u(n, i) WHERE i = 1; \
        INSERT INTO group_invites VALUES ('00000000-0000-0000-0000-000000000001', md5('user 7')::uuid, md5('user 0')::uuid, md5('group 0')::uuid, 'viewer', now(), now())",
    ),
    (
        "time-infinite",
        "refused",
        "md5('i6')::uuid",
        "INSERT INTO group_invites VALUES (md5('i6')::uuid, md5('user 8')::uuid, md5('user 0')::uuid, md5('group 0')::uuid, 'viewer', now(), 'infinity')",
    ),
];

/// With the ids of things in the place of their numbers, the highest first: `$1` is in `$10`.
pub(crate) fn sql(text: &str) -> String {
    (1..=20).rev().fold(text.to_owned(), |text, number| {
        text.replace(&format!("${number}"), &format!("md5('thing {number}')::uuid"))
    })
}

pub(crate) async fn broken(version: Version, cases: &[Case], fates: &[&str]) -> Database {
    let database = mainflux::things(version, 20).await;
    for (_, _, _, change) in cases.iter().filter(|(_, fate, ..)| fates.contains(fate)) {
        database.execute(sql(change)).await;
    }
    database
}

/// Rule and row of each line of the report, with what becomes of it.
pub(crate) fn report(path: &std::path::Path) -> BTreeMap<(String, String), String> {
    let text = std::fs::read_to_string(path).unwrap();
    let text_of = |line: &serde_json::Value, name: &str| line[name].as_str().unwrap().to_owned();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .map(|line: serde_json::Value| {
            ((text_of(&line, "rule"), text_of(&line, "id")), text_of(&line, "fate"))
        })
        .collect()
}

#[tokio::test]
async fn every_row_that_breaks_a_rule_is_told_of_and_what_cannot_be_mended_is_refused() {
    if !possible() {
        return;
    }
    for (version, cases) in [(Version::Things10, &THINGS[..]), (Version::Invites, &INVITES)] {
        let database = broken(version, cases, &["mended", "kept", "refused"]).await;
        let dir = tempfile::tempdir().unwrap();
        let before = dump(&database).await;
        let file = dir.path().join("report");
        let (code, told, errors) =
            run(&mut adopt(dir.path(), &database, &["--yes", "--report", file.to_str().unwrap()]));
        assert_eq!(code, Some(1), "{told}{errors}");
        assert!(
            errors.contains("nothing was changed") && errors.contains("rows have to be put right first"),
            "{errors}"
        );
        let report = report(&file);
        for (rule, fate, row, _) in cases {
            let id = database.text(format!("SELECT ({})::text", sql(row))).await;
            let found = report.iter().find(|((found, row), _)| found == rule && row.starts_with(&id));
            assert_eq!(found.map(|(_, fate)| fate.as_str()), Some(*fate), "{rule} {id}: {report:#?}");
            assert!(told.contains(rule) && told.contains(&id), "{rule}: {told}");
        }
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        // Nothing secret is in it.
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(!text.contains("short\"") && !text.contains("thk_and"), "{text}");
        assert!(dump(&database).await == before, "{version:?}");
        assert!(!dir.path().join("things-data").exists());
    }
}

#[tokio::test]
async fn what_can_be_is_mended_and_the_rest_is_kept() {
    if !possible() {
        return;
    }
    let database = broken(Version::Things10, &THINGS, &["mended", "kept"]).await;
    let dir = tempfile::tempdir().unwrap();
    let (code, told, errors) = run(&mut adopt(dir.path(), &database, &["--yes"]));
    assert_eq!(code, Some(0), "{told}{errors}");
    let id = |number: usize| sql(&format!("${number}"));
    let name = async |number: usize| {
        database.text(format!("SELECT name FROM things WHERE id = {}", id(number))).await
    };
    assert_eq!(name(3).await, "pump 7");
    assert_eq!(name(4).await, format!("th_{}", database.text(format!("SELECT {}::text", id(4))).await));
    for (wrong, sql) in [
        (
            "metadata",
            "SELECT count(*) FROM things WHERE metadata IS NULL OR jsonb_typeof(metadata) <> 'object'",
        ),
        ("times", "SELECT count(*) FROM groups WHERE created_at IS NULL OR updated_at IS NULL"),
        ("external keys", "SELECT count(*) FROM things WHERE external_key = ''"),
        (
            "descriptions",
            "SELECT count(*) FROM groups WHERE description = E' two\nlines ' OR created_at < '1970-01-01Z'",
        ),
        ("keys", "SELECT count(*) FROM things WHERE key NOT LIKE 'h1.%'"),
        ("orgs", "SELECT count(*) FROM groups WHERE org_id NOT IN (SELECT id FROM orgs)"),
    ] {
        assert_eq!(database.number(sql).await, 0, "{wrong}");
    }
    assert_eq!(
        database
            .number("SELECT count(*) FROM journal WHERE action = 'thing.updated' AND actor_kind = 'system'")
            .await,
        2
    );
    assert_eq!(
        database.text("SELECT description::text FROM groups WHERE id = md5('group 0')::uuid").await,
        "two lines"
    );
    let told = "SELECT changes->'description'->>'before' FROM journal WHERE action = 'group.updated'";
    assert_eq!(database.texts(told).await, [" two\nlines "]);
    let registry = open(dir.path(), &database).await.unwrap();
    let thing = async |number: usize| Some(database.text(format!("SELECT {}::text", id(number))).await);
    assert_eq!(named(&registry, Internal, "short").await, thing(7).await);
    assert_eq!(named(&registry, Internal, &"long".repeat(200)).await, thing(8).await);
    assert_eq!(named(&registry, External, "x1").await, thing(9).await);
    assert_eq!(named(&registry, Internal, "").await, None);
    registry.close().await;

    let database = broken(Version::Invites, &INVITES, &["mended", "kept"]).await;
    let dir = tempfile::tempdir().unwrap();
    let (code, told, errors) = run(&mut adopt(dir.path(), &database, &["--yes"]));
    assert_eq!(code, Some(0), "{told}{errors}");
    for invite in ["i1", "i3", "i4"] {
        let state = format!("SELECT state::text FROM group_invites WHERE id = md5('{invite}')::uuid");
        assert_eq!(database.text(state).await, "revoked", "{invite}");
    }
    assert_eq!(database.number("SELECT count(*) FROM dormant_group_invites").await, 0);
    assert_eq!(database.number("SELECT count(*) FROM group_invites WHERE expires_at IS NULL").await, 0);
}

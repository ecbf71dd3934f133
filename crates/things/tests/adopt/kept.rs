//! What adoption keeps or mends comes back from a backup: either the doctor complains of a row, or a restore takes it.

use std::{
    io::{Seek, Write},
    sync::{Arc, atomic::AtomicU64},
};

use registry::{
    Actor, Call, Password, Registry, Secret,
    credentials::CredentialKind::{External, Internal},
    text::Email,
};

use crate::{
    adopt,
    databases::{
        Database, empty, engines,
        mainflux::{self, Version},
    },
    named, open,
    people::{HASH, PASSWORD, everybody},
    possible,
    rules::{Case, INVITES, THINGS, broken, sql},
    run,
};

/// What takes hours to check, as anybody may have put it into Mainflux's database.
const DEAR: &str = "$2a$31$abcdefghijklmnopqrstuug6JqkwS..IpCKBXnW8gOWV9BcuZsA1y";

/// The rest of what Mainflux may have and no rule is about.
const MORE: [Case; 2] = [
    (
        "",
        "kept",
        "",
        "INSERT INTO group_invites VALUES (md5('j1')::uuid, md5('user 5')::uuid, md5('user 0')::uuid, md5('group 1')::uuid, 'owner', now(), now(), 'accepted')",
    ),
    (
        "",
        "kept",
        "",
        "INSERT INTO group_invites VALUES (md5('j2')::uuid, md5('user 6')::uuid, md5('user 0')::uuid, md5('group 1')::uuid, 'vieweadmin', '0001-01-01Z', now(), 'declined')",
    ),
];

/// What the doctor advises, as a person would do it.
const ADVISED: &str = "
    INSERT INTO org_memberships (org_id, member_id, role)
        SELECT DISTINCT g.org_id, m.member_id, 'viewer' FROM group_memberships m JOIN groups g ON g.id = m.group_id ON CONFLICT DO NOTHING;
    UPDATE group_memberships SET role = 'viewer' WHERE role IS NULL OR role = 'vieweadmin';
    UPDATE things SET type = 'device' WHERE type = '';";

pub(crate) async fn logged_in(registry: &Registry, email: &str, password: &str) -> Call {
    let (email, password) = (Email::try_from(email).unwrap(), Secret::new(password));
    let anybody = Call::new(Actor::Anonymous, "test");
    let session =
        registry.create_session(&anybody, &email, &password, "192.0.2.1".parse().unwrap()).await.unwrap();
    Call::new(registry.authenticate(&session.token.unwrap()).await.unwrap(), "test")
}

/// A backup by somebody who administers the platform.
async fn backup(registry: &Arc<Registry>) -> Vec<u8> {
    let call = logged_in(registry, "person4@example.com", PASSWORD).await;
    let mut backup = registry.back_up(&call).await.unwrap();
    let mut bytes = Vec::new();
    while let Some(piece) = backup.next().await {
        bytes.extend(piece.unwrap());
    }
    bytes
}

async fn restore(registry: &Arc<Registry>, backup: &[u8]) -> registry::Result<registry::backup::Restored> {
    let (email, password) = ("new-root@example.com", "correct horse battery staple");
    let chosen = Password::try_from(Secret::new(password)).unwrap();
    registry.ensure_root(Email::try_from(email).unwrap(), Some(chosen)).await.unwrap();
    let call = logged_in(registry, email, password).await;
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(backup).unwrap();
    file.rewind().unwrap();
    registry.begin_restore(&call).await?.examine(file).await?.restore(Arc::new(AtomicU64::new(0))).await
}

#[tokio::test]
async fn what_is_kept_comes_back_from_a_backup() {
    if !possible() {
        return;
    }
    let invites: Vec<Case> = INVITES.into_iter().chain(MORE).collect();
    for (version, cases) in [(Version::Things10, &THINGS[..]), (Version::Invites, &invites)] {
        let database = broken(version, cases, &["mended", "kept"]).await;
        let (users, auth) = mainflux::people(HASH).await;
        users.execute(format!("UPDATE users SET password = '{DEAR}' WHERE id = md5('user 2')::uuid")).await;
        auth.execute("UPDATE orgs SET description = E' two\\nlines' WHERE id = md5('org 1')::uuid").await;
        let dir = tempfile::tempdir().unwrap();
        let (code, told, errors) = run(&mut adopt(dir.path(), &database, &everybody(&users, &auth)));
        assert_eq!(code, Some(0), "{told}{errors}");
        for rule in ["password-unfit", "description-untidy"] {
            assert!(told.contains(rule), "{rule}: {told}");
        }
        assert_eq!(
            database.text("SELECT description::text FROM orgs WHERE id = md5('org 1')::uuid").await,
            "two lines"
        );
        database.execute(ADVISED).await;
        let registry = open(dir.path(), &database).await.unwrap();
        let wrong = registry.audit_rows().await.unwrap();
        assert!(wrong.is_empty(), "{wrong:?}");
        let backup = backup(&registry).await;
        registry.close().await;
        for engine in engines() {
            let target = empty(engine).await;
            let restored = open(dir.path(), &target).await.unwrap();
            let done = restore(&restored, &backup).await;
            assert!(done.is_ok(), "{version:?}, {engine:?}: {done:?}");
            if version == Version::Things10 {
                lets_in(&restored, &database).await;
            }
            restored.close().await;
        }
    }
}

async fn lets_in(registry: &Registry, database: &Database) {
    let long = "long".repeat(200);
    let serial = "SN".repeat(400);
    for (kind, credential, number) in [
        (Internal, "short", 7),
        (Internal, long.as_str(), 8),
        (External, "x1", 9),
        (External, serial.as_str(), 18),
    ] {
        let id = database.text(format!("SELECT ({})::text", sql(&format!("${number}")))).await;
        assert_eq!(named(registry, kind, credential).await, Some(id), "{number}");
    }
}

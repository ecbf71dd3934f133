//! People that come along, and those that come later.

use registry::{Actor, Call, Error, Secret, text::Email};

use crate::{
    adopt,
    databases::{
        Database,
        mainflux::{self, Version},
    },
    dump,
    kept::logged_in,
    open, possible, run,
};

pub(crate) const PASSWORD: &str = "what they had in Mainflux";
/// bcrypt's of the password above, at the least cost.
pub(crate) const HASH: &str = "$2a$04$abcdefghijklmnopqrstuug6JqkwS..IpCKBXnW8gOWV9BcuZsA1y";

pub(crate) fn everybody<'a>(users: &'a Database, auth: &'a Database) -> [&'a str; 5] {
    ["--yes", "--users-from", users.url(), "--users-from", auth.url()]
}

#[tokio::test]
async fn people_come_along_with_their_passwords_and_memberships() {
    if !possible() {
        return;
    }
    let database = mainflux::things(Version::Things10, 20).await;
    let (users, auth) = mainflux::people(HASH).await;
    // An organisation's owner is to get the group; a member of a group is in no organisation; somebody has no account.
    database
        .execute("DELETE FROM group_memberships WHERE group_id = md5('group 1')::uuid AND role = 'owner'")
        .await;
    auth.execute("INSERT INTO org_memberships VALUES (md5('nobody')::uuid, md5('org 0')::uuid, 'viewer', now(), now())").await;
    let (before_users, before_auth) = (dump(&users).await, dump(&auth).await);
    let dir = tempfile::tempdir().unwrap();
    let (code, told, errors) = run(&mut adopt(dir.path(), &database, &everybody(&users, &auth)));
    assert_eq!(code, Some(0), "{told}{errors}");
    assert!(
        told.contains("Taken over: 5 accounts and 2 organisations with 3 memberships; 1 ownerships"),
        "{told}"
    );
    for rule in ["group-gets-owner", "member-outside-org", "org-member-without-account"] {
        assert!(told.contains(rule), "{rule}: {told}");
    }
    assert!(dump(&users).await == before_users && dump(&auth).await == before_auth);
    assert_eq!(database.text("SELECT string_agg(name, ',' ORDER BY name) FROM orgs").await, "Org 0,Org 1");
    assert_eq!(
        database.text("SELECT platform_role::text FROM users WHERE id = md5('user 4')::uuid").await,
        "root"
    );
    assert_eq!(database.number("SELECT count(*) FROM users WHERE verified_at IS NOT NULL").await, 0);
    assert_eq!(
        database.number("SELECT count(*) FROM groups g WHERE NOT EXISTS (SELECT 1 FROM group_memberships m WHERE m.group_id = g.id AND m.role = 'owner')").await,
        0
    );

    let registry = open(dir.path(), &database).await.unwrap();
    // There is somebody who administers the platform.
    assert!(
        registry.ensure_root(Email::try_from("admin@example.com").unwrap(), None).await.unwrap().is_none()
    );
    let log_in = async |number: usize, password: &str| {
        let email = Email::try_from(format!("person{number}@example.com").as_str()).unwrap();
        let source = "192.0.2.1".parse().unwrap();
        registry
            .create_session(&Call::new(Actor::Anonymous, "test"), &email, &Secret::new(password), source)
            .await
    };
    assert!(matches!(log_in(0, "what they never had").await, Err(Error::Unauthenticated)));
    assert!(matches!(log_in(3, PASSWORD).await, Err(Error::Unauthenticated)), "disabled");
    let session = log_in(0, PASSWORD).await.unwrap();
    assert!(
        database
            .text("SELECT password_hash::text FROM users WHERE id = md5('user 0')::uuid")
            .await
            .starts_with("$argon2id$")
    );
    let actor = registry.authenticate(&session.token.unwrap()).await.unwrap();
    let call = Call::new(actor, "test");
    let group = database.text("SELECT md5('group 0')::uuid::text").await.parse().unwrap();
    assert_eq!(registry.view_group(&call, group).await.unwrap().role, registry::Role::Owner);
    log_in(0, PASSWORD).await.unwrap();
    log_in(2, PASSWORD).await.unwrap();
    registry.close().await;
}

#[tokio::test]
async fn people_may_come_later_and_once_is_enough() {
    if !possible() {
        return;
    }
    let database = mainflux::things(Version::Things9, 20).await;
    let dir = tempfile::tempdir().unwrap();
    let (code, told, errors) = run(&mut adopt(dir.path(), &database, &["--yes"]));
    assert_eq!(code, Some(0), "{told}{errors}");
    assert!(told.contains("member-without-account") && told.contains("10 members of groups"), "{told}");
    assert_eq!(database.number("SELECT count(*) FROM orgs WHERE name = id::text").await, 2);
    let (users, auth) = mainflux::people(HASH).await;
    for new in [5, 0] {
        let (code, told, errors) = run(&mut adopt(dir.path(), &database, &everybody(&users, &auth)));
        assert_eq!(code, Some(0), "{told}{errors}");
        assert!(told.contains(&format!("Taken over: {new} accounts")), "{told}");
    }
    assert_eq!(database.text("SELECT string_agg(name, ',' ORDER BY name) FROM orgs").await, "Org 0,Org 1");
    assert_eq!(database.number("SELECT count(*) FROM org_memberships").await, 3);
}

#[tokio::test]
async fn who_was_removed_here_stays_so_and_every_membership_is_in_the_journal() {
    if !possible() {
        return;
    }
    let database = mainflux::things(Version::Things10, 10).await;
    let (users, auth) = mainflux::people(HASH).await;
    let dir = tempfile::tempdir().unwrap();
    let people = &everybody(&users, &auth)[1..];
    let adopted = async |arguments: &[&str]| {
        let (code, told, errors) = run(&mut adopt(dir.path(), &database, arguments));
        assert_eq!(code, Some(0), "{told}{errors}");
        told
    };
    adopted(&[&["--yes", "--index-only"][..], people].concat()).await;
    let id = async |of: &str| database.text(format!("SELECT md5('{of}')::uuid::text")).await;
    let registry = open(dir.path(), &database).await.unwrap();
    let root = logged_in(&registry, "person4@example.com", PASSWORD).await;
    let (here, gone) = (id("org 0").await.parse().unwrap(), id("org 1").await.parse().unwrap());
    let removed = id("user 2").await.parse().unwrap();
    registry.remove_org_members(&root, here, &[removed]).await.unwrap();
    registry.delete_orgs(&root, &[gone]).await.unwrap();
    registry.close().await;
    // Meanwhile somebody comes to Mainflux, and somebody who is here already joins an organisation there.
    users
        .execute(format!(
            "INSERT INTO users VALUES (md5('user 7')::uuid, 'person7@example.com', '{HASH}', NULL, 'enabled')"
        ))
        .await;
    auth.execute(
        "INSERT INTO org_memberships SELECT md5('user ' || n)::uuid, md5('org 0')::uuid, 'editor', now(), now() FROM unnest(ARRAY[3, 7]) n",
    )
    .await;
    for (accounts, members) in [(1, 2), (0, 0)] {
        let told = adopted(&[&["--yes"][..], people].concat()).await;
        let wanted =
            format!("Taken over: {accounts} accounts and 0 organisations with {members} memberships");
        assert!(told.contains(&wanted), "{told}");
    }
    let members = "SELECT u.email || ' ' || m.role FROM org_memberships m JOIN users u ON u.id = m.member_id ORDER BY 1";
    assert_eq!(
        database.texts(members).await,
        ["person0@example.com owner", "person3@example.com editor", "person7@example.com editor"]
    );
    assert_eq!(database.text("SELECT string_agg(name, ',') FROM orgs").await, "Org 0");
    let noted = "SELECT subject_id::text || ' ' || (changes->'role'->>'after') FROM journal \
                 WHERE action = 'member.adopted' AND org_id = md5('org 0')::uuid AND actor_kind = 'system' ORDER BY id";
    let mut noted = database.texts(noted).await;
    noted.sort();
    let mut wanted = Vec::new();
    for (number, role) in [(0, "owner"), (2, "viewer"), (3, "editor"), (7, "editor")] {
        wanted.push(format!("{} {role}", id(&format!("user {number}")).await));
    }
    wanted.sort();
    assert_eq!(noted, wanted);
}

#[tokio::test]
async fn accounts_that_cannot_be_ours_are_refused() {
    if !possible() {
        return;
    }
    let database = mainflux::things(Version::Things10, 5).await;
    let (users, auth) = mainflux::people(HASH).await;
    users
        .execute(
            "INSERT INTO users VALUES (md5('a')::uuid, 'person0@EXAMPLE.com', 'x', NULL, 'enabled'), (md5('b')::uuid, 'nobody', 'x', NULL, 'enabled')",
        )
        .await;
    let dir = tempfile::tempdir().unwrap();
    let before = dump(&database).await;
    let (code, told, errors) = run(&mut adopt(dir.path(), &database, &everybody(&users, &auth)));
    assert_eq!(code, Some(1), "{told}{errors}");
    for rule in ["email-unfit", "email-twice", "password-unfit"] {
        assert!(told.contains(rule), "{rule}: {told}");
    }
    assert!(dump(&database).await == before);
    let (code, _, errors) =
        run(&mut adopt(dir.path(), &database, &["--yes", "--users-from", database.url()]));
    assert_eq!(code, Some(1), "{errors}");
    assert!(errors.contains("neither Mainflux's table `users` nor"), "{errors}");
}

//! Log-in sessions and the passwords that open them, on every engine.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "also outside of the functions marked as tests"
)]

mod support;

use std::{sync::Arc, time::Duration};

use registry::{
    Call, Denial, Error, PasswordCost, Registry, Secret,
    journal::{JournalFilter, JournalOrder},
};
use support::{
    Database, engines,
    log_ins::{
        HOME, NEW_PASSWORD, actions, actor, anonymous, email, field, from, new_token, password, register,
        reset_secret, session, standing, unauthenticated,
    },
    people::{PASSWORD, Person, World, first, world},
    settings,
};

#[tokio::test]
async fn a_typing_mistake_in_a_token_costs_no_query() {
    for engine in engines() {
        let world = world(engine).await;
        let token = session(&world, "root", PASSWORD, HOME).await.unwrap().token.unwrap();
        assert!(world.authenticate(&token).await.is_ok());
        world.close().await;
        // Without a database only what needs none is still answered as before.
        assert!(matches!(world.authenticate(&token).await, Err(Error::Unavailable)));
        let mut typo = token.expose().to_owned();
        typo.replace_range(9..10, if typo.as_bytes()[9] == b'x' { "y" } else { "x" });
        let key = "thk_0000000000000000000000000000000000000";
        for text in ["", "ses_", &typo, key, &token.expose().replace("ses_", "rst_")] {
            assert!(unauthenticated(world.authenticate(&Secret::new(text)).await), "{text}");
        }
    }
}

#[tokio::test]
async fn a_session_lasts_two_weeks_or_until_it_is_ended() {
    for engine in engines() {
        let (_database, registry, clock, _) = standing(engine).await;
        let made = session(&registry, "root", PASSWORD, HOME).await.unwrap();
        let token = made.token.clone().unwrap();
        assert!(token.expose().starts_with("ses_"));
        assert_eq!(made.expires_at, clock.now().after(Duration::from_secs(14 * 24 * 3600)));
        clock.advance(made.expires_at.since(clock.now()) - Duration::from_millis(1));
        let other = session(&registry, "root", PASSWORD, HOME).await.unwrap();
        let call = actor(&registry, made).await.unwrap();
        registry.end_session(&call).await.unwrap();
        assert!(unauthenticated(registry.authenticate(&token).await));
        assert!(unauthenticated(registry.end_session(&call).await), "ended once");
        clock.advance(Duration::from_millis(1));
        actor(&registry, other.clone()).await.unwrap();
        clock.advance(other.expires_at.since(clock.now()));
        assert!(unauthenticated(actor(&registry, other).await));
    }
}

#[tokio::test]
async fn every_refused_log_in_looks_the_same() {
    for engine in engines() {
        let world = world(engine).await;
        let person = world.person("ada").await;
        world.disable_user(&world.root.call(), person.id).await.unwrap();
        let mut answers = Vec::new();
        for (name, password) in
            [("ada", PASSWORD), ("ada", "wrong"), ("nobody", PASSWORD), ("root", "wrong"), ("root", "")]
        {
            let error = session(&world, name, password, HOME).await.unwrap_err();
            answers.push(format!("{error:?} {error}"));
        }
        answers.dedup();
        assert_eq!(answers.len(), 1, "{answers:?}");
        assert!(answers[0].starts_with("Unauthenticated"));
    }
}

#[tokio::test]
async fn two_hundred_guesses_at_once_are_ten_guesses() {
    for engine in engines() {
        let (_database, registry, clock, root) = standing(engine).await;
        register(&registry, &root, "ada").await;
        // The last one is right, and comes too late as well.
        let guesses: Vec<_> = (0..200)
            .map(|n| {
                let registry = Arc::clone(&registry);
                let guess = if n == 199 { PASSWORD } else { "wrong" };
                tokio::spawn(async move { session(&registry, "ada", guess, HOME).await })
            })
            .collect();
        let (mut verified, mut refused) = (0, 0);
        for guess in guesses {
            match guess.await.unwrap() {
                Err(Error::Unauthenticated) => verified += 1,
                Err(Error::TooMany { retry_after }) => {
                    assert_eq!(retry_after, Duration::from_secs(1));
                    refused += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((verified, refused), (10, 190));
        assert!(session(&registry, "ada", PASSWORD, "192.0.3.1").await.is_ok(), "from another network");
        assert!(session(&registry, "root", PASSWORD, HOME).await.is_ok(), "into another account");
        assert!(session(&registry, "ada", PASSWORD, HOME).await.is_err());
        clock.advance(Duration::from_secs(1));
        assert!(session(&registry, "ada", PASSWORD, HOME).await.is_ok(), "after the wait");
        for _ in 0..10 {
            assert!(unauthenticated(session(&registry, "ada", "wrong", HOME).await), "all forgiven");
        }
    }
}

#[tokio::test]
async fn hashes_follow_the_cost_at_the_next_log_in() {
    for engine in engines() {
        let (database, registry, clock, _) = standing(engine).await;
        registry.close().await;
        let dear = "SELECT count(*) FROM users WHERE password_hash LIKE '$argon2id$v=19$m=19456,t=2,p=1$%'";
        assert_eq!(database.number(dear).await, 0);
        let mut settings = settings(&database, clock);
        settings.password_cost = PasswordCost::Standard;
        let registry = Registry::open(settings).await.unwrap();
        assert!(unauthenticated(session(&registry, "root", "wrong", HOME).await));
        assert_eq!(database.number(dear).await, 0);
        session(&registry, "root", PASSWORD, HOME).await.unwrap();
        assert_eq!(database.number(dear).await, 1);
        session(&registry, "root", PASSWORD, HOME).await.unwrap();
    }
}

#[tokio::test]
async fn a_new_password_ends_the_other_sessions() {
    for engine in engines() {
        let (_database, registry, clock, root) = standing(engine).await;
        register(&registry, &root, "ada").await;
        let mine = actor(&registry, session(&registry, "ada", PASSWORD, HOME).await.unwrap()).await.unwrap();
        let other = session(&registry, "ada", PASSWORD, HOME).await.unwrap();
        let token = registry.create_token(&mine, &new_token("ci")).await.unwrap().value.unwrap();
        let by_token = Call::new(registry.authenticate(&token).await.unwrap(), "test");
        let (old, new) = (Secret::new(PASSWORD), password(NEW_PASSWORD));
        let refused = registry.change_password(&by_token, &old, &new).await;
        assert!(matches!(refused, Err(Error::Forbidden(Denial::SessionOnly))));
        for _ in 0..10 {
            assert_eq!(
                field(registry.change_password(&mine, &Secret::new("wrong"), &new).await),
                "old_password"
            );
        }
        assert!(matches!(registry.change_password(&mine, &old, &new).await, Err(Error::TooMany { .. })));
        clock.advance(Duration::from_secs(1));
        registry.change_password(&mine, &old, &new).await.unwrap();
        assert!(registry.view_own_user(&mine).await.is_ok());
        assert!(unauthenticated(actor(&registry, other).await));
        assert!(registry.authenticate(&token).await.is_ok(), "tokens are not made from the password");
        assert!(unauthenticated(session(&registry, "ada", PASSWORD, HOME).await));
        session(&registry, "ada", NEW_PASSWORD, HOME).await.unwrap();
        let named = password("ada's ada, and lovelace too");
        assert!(registry.change_password(&mine, &Secret::new(NEW_PASSWORD), &named).await.is_ok());
    }
}

#[tokio::test]
async fn no_session_outlives_the_password_it_was_opened_by() {
    for engine in engines() {
        let world = world(engine).await;
        let mut passwords = [PASSWORD, NEW_PASSWORD];
        let ada = world.person("ada").await;
        for n in 0..25 {
            let [old, new] = passwords;
            let source = format!("10.1.{n}.1");
            let (secret, next) = (Secret::new(old), password(new));
            let call = ada.call();
            let (opened, changed) = tokio::join!(
                session(&world, "ada", old, &source),
                world.change_password(&call, &secret, &next)
            );
            changed.unwrap();
            match opened {
                Ok(opened) => {
                    assert!(unauthenticated(actor(&world, opened).await), "opened before, ended by")
                }
                Err(error) => assert!(matches!(error, Error::Unauthenticated), "{error}"),
            }
            passwords.reverse();
        }
    }
}

#[tokio::test]
async fn a_reset_works_once_for_an_hour_and_ends_everything() {
    for engine in engines() {
        let (_database, registry, clock, root) = standing(engine).await;
        register(&registry, &root, "ada").await;
        let live = session(&registry, "ada", PASSWORD, HOME).await.unwrap();
        let request = async |name| reset_secret(&registry, &anonymous(), &email(name)).await;
        let reset = async |token: &Secret| {
            registry.reset_password(&anonymous(), token, &password(NEW_PASSWORD)).await
        };
        assert!(request("nobody").await.is_none());
        let first = request("ada").await.unwrap();
        assert!(first.expose().starts_with("rst_"));
        assert!(request("ada").await.is_none(), "one a minute");
        clock.advance(Duration::from_secs(60));
        let second = request("ada").await.unwrap();
        assert_eq!(field(reset(&first).await), "token", "replaced by the second");
        assert_eq!(field(reset(&Secret::new("rst_")).await), "token");
        assert!(unauthenticated(registry.authenticate(&second).await), "a reset is no log-in");
        let outcomes = tokio::join!(reset(&second), reset(&second));
        assert!(outcomes.0.is_ok() ^ outcomes.1.is_ok(), "{outcomes:?}");
        assert!(unauthenticated(actor(&registry, live).await));
        assert!(unauthenticated(session(&registry, "ada", PASSWORD, HOME).await));
        session(&registry, "ada", NEW_PASSWORD, HOME).await.unwrap();

        clock.advance(Duration::from_secs(60));
        let third = request("ada").await.unwrap();
        clock.advance(Duration::from_secs(3600));
        assert_eq!(field(reset(&third).await), "token", "too late");
        assert_eq!(registry.sweep().await.unwrap(), 1);
        let recorded = actions(&registry, &root).await;
        let count = |action: &str| recorded.iter().filter(|one| *one == action).count();
        assert_eq!((count("password.reset_requested"), count("password.reset")), (3, 1));
    }
}

#[tokio::test]
async fn a_reset_forgives_the_guesses_before_it() {
    for engine in engines() {
        let (_database, registry, _, root) = standing(engine).await;
        register(&registry, &root, "ada").await;
        for _ in 0..10 {
            assert!(unauthenticated(session(&registry, "ada", "forgotten", HOME).await));
        }
        assert!(matches!(session(&registry, "ada", PASSWORD, HOME).await, Err(Error::TooMany { .. })));
        let secret = reset_secret(&registry, &anonymous(), &email("ada")).await.unwrap();
        registry.reset_password(&anonymous(), &secret, &password(NEW_PASSWORD)).await.unwrap();
        session(&registry, "ada", NEW_PASSWORD, HOME).await.unwrap();
    }
}

#[tokio::test]
async fn a_repeated_log_in_is_one_log_in() {
    for engine in engines() {
        let world = world(engine).await;
        let log_in = async |body: &[u8], password: &str| {
            let call = anonymous().repeatable("POST /tokens", "k1", body);
            world.create_session(&call, &email("root"), &Secret::new(password), from(HOME)).await
        };
        let first = log_in(b"right", PASSWORD).await.unwrap();
        let again = log_in(b"right", PASSWORD).await.unwrap();
        assert!(first.token == again.token && first.token.is_some());
        // Somebody else may have chosen the same key: another body is another request.
        let other = log_in(b"other", PASSWORD).await.unwrap();
        assert!(other.token != first.token && other.token.is_some());
        // The record is no way around the password.
        assert!(unauthenticated(log_in(b"right", "wrong").await));
    }
}

/// Every secret that this file knows is looked for in all that the database holds.
#[tokio::test]
async fn no_secret_is_at_rest_or_in_the_journal() {
    for engine in engines() {
        let world: World = world(engine).await;
        let ada: Person = world.person("ada").await;
        let repeatable = |route: &str| anonymous().repeatable(route, "key", b"body");
        let call = repeatable("POST /tokens");
        let opened =
            world.create_session(&call, &ada.email, &Secret::new(PASSWORD), from(HOME)).await.unwrap();
        let by_token = new_token("ci");
        let token = world
            .create_token(&ada.call().repeatable("POST /keys", "key", b"body"), &by_token)
            .await
            .unwrap();
        let call = repeatable("POST /password/reset-request");
        let secret = reset_secret(&world, &call, &ada.email).await.unwrap();
        assert!(reset_secret(&world, &call, &ada.email).await.is_none(), "a repetition makes no second one");
        let secrets = [
            opened.token.unwrap().expose().to_owned(),
            token.value.unwrap().expose().to_owned(),
            secret.expose().to_owned(),
            PASSWORD.to_owned(),
        ];
        let held = dump(&world.opened.database).await;
        assert!(held.windows(3).any(|part| part == b"ada"), "the dump holds what is there");
        for secret in secrets {
            assert!(
                !held.windows(secret.len()).any(|part| part == secret.as_bytes()),
                "{engine:?} {secret:.4}"
            );
        }
        let journal = world
            .list_journal(&world.root.call(), &JournalFilter::default(), &first(1000, JournalOrder))
            .await
            .unwrap();
        assert!(!format!("{journal:?}").contains("example.com"), "addresses outlive nobody's account");
    }
}

/// All bytes that the database holds: SQLite's files, PostgreSQL's rows as text.
async fn dump(database: &Database) -> Vec<u8> {
    let Some(file) = database.file() else {
        let mut text = String::new();
        let tables =
            ["users", "sessions", "access_tokens", "password_resets", "journal", "idempotency_keys", "mails"];
        for table in tables {
            text +=
                &database.text(format!("SELECT coalesce(string_agg(t::text, ' '), '') FROM {table} t")).await;
        }
        let sealed = "SELECT string_agg(encode(sealed, 'escape'), ' ') FROM idempotency_keys";
        text += &database.text(sealed).await;
        text += &database.text("SELECT string_agg(encode(payload, 'escape'), ' ') FROM mails").await;
        return text.into_bytes();
    };
    let mut bytes = std::fs::read(&file).unwrap();
    let mut wal = file.into_os_string();
    wal.push("-wal");
    bytes.extend(std::fs::read(wal).unwrap_or_default());
    bytes
}

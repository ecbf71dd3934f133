//! People and how they prove who they are, on every engine.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "also outside of the functions marked as tests"
)]

mod support;

use std::{net::IpAddr, sync::Arc, time::Duration};

use registry::{
    Actor, Call, Clock, ConflictKind, Denial, Dir, Error, Expect, JsonObject, NewSession, NewToken,
    PageQuery, Password, PasswordCost, PlatformRole, Registry, Secret, Settings, Timestamp, UserFilter,
    UserOrder, UserStatus,
    journal::{JournalFilter, JournalOrder},
    text::{Email, SearchText, TokenName},
};
use support::{
    Database, Engine, engines, fresh, open,
    people::{PASSWORD, Person, World, after, first, log_in, world},
    settings,
};

const NEW_PASSWORD: &str = "another horse, another staple";
const HOME: &str = "192.0.2.7";

fn email(name: &str) -> Email {
    Email::try_from(format!("{name}@example.com").as_str()).unwrap()
}

fn password(text: &str) -> Password {
    Password::try_from(Secret::new(text)).unwrap()
}

fn new_token(name: &str) -> NewToken {
    NewToken { name: TokenName::try_from(name).unwrap(), can_write: true, within: None, expires_at: None }
}

fn json(text: &str) -> JsonObject {
    JsonObject::parse(text).unwrap()
}

fn anonymous() -> Call {
    Call::new(Actor::Anonymous, "test")
}

fn from(source: &str) -> IpAddr {
    source.parse().unwrap()
}

async fn session(registry: &Registry, name: &str, password: &str, source: &str) -> Result<NewSession, Error> {
    registry.create_session(&anonymous(), &email(name), &Secret::new(password), from(source)).await
}

/// A registry whose clock stands still, with its root.
async fn standing(engine: Engine) -> (Database, Arc<Registry>, Clock, Call) {
    standing_with(engine, |_| {}).await
}

async fn standing_with(
    engine: Engine,
    change: impl FnOnce(&mut Settings),
) -> (Database, Arc<Registry>, Clock, Call) {
    let clock = Clock::standing(Timestamp::from_millis(1_800_000_000_000));
    let database = fresh(engine).await;
    let mut settings = settings(&database, clock.clone());
    change(&mut settings);
    let registry = Registry::open(settings).await.unwrap();
    registry.ensure_root(email("root"), Some(password(PASSWORD))).await.unwrap().unwrap();
    let root = log_in(&registry, email("root")).await.call();
    (database, registry, clock, root)
}

async fn register(registry: &Registry, root: &Call, name: &str) -> registry::User {
    registry.create_user(root, &email(name), &password(PASSWORD), &JsonObject::default(), None).await.unwrap()
}

async fn actor(registry: &Registry, session: NewSession) -> Result<Call, Error> {
    Ok(Call::new(registry.authenticate(&session.token.unwrap()).await?, "test"))
}

fn unauthenticated<T>(outcome: Result<T, Error>) -> bool {
    matches!(outcome, Err(Error::Unauthenticated))
}

fn conflict<T: std::fmt::Debug>(outcome: Result<T, Error>) -> ConflictKind {
    match outcome {
        Err(Error::Conflict(conflict)) => conflict.kind,
        other => panic!("{other:?}"),
    }
}

fn field<T: std::fmt::Debug>(outcome: Result<T, Error>) -> String {
    match outcome {
        Err(Error::Invalid(errors)) => errors[0].path(),
        other => panic!("{other:?}"),
    }
}

/// The journal, oldest first.
async fn actions(registry: &Registry, root: &Call) -> Vec<String> {
    let page =
        registry.list_journal(root, &JournalFilter::default(), &first(1000, JournalOrder)).await.unwrap();
    page.items.into_iter().map(|record| record.action).collect()
}

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
async fn registration_is_closed_unless_opened() {
    for engine in engines() {
        let (_database, closed, ..) = standing(engine).await;
        let (secret, metadata) = (password(PASSWORD), json(r#"{"team":"a"}"#));
        let refused = closed.register_user(&anonymous(), &email("ada"), &secret, &metadata).await;
        assert!(matches!(refused, Err(Error::Forbidden(Denial::RegistrationClosed))));

        let (_database, open, _, root) =
            standing_with(engine, |settings| settings.open_registration = true).await;
        let made = open.register_user(&anonymous(), &email("ada"), &secret, &metadata).await.unwrap();
        assert_eq!((made.status, made.platform_role), (UserStatus::Enabled, None));
        assert_eq!(open.view_user(&root, made.id).await.unwrap(), made);
        let again = Email::try_from("ADA@Example.com").unwrap();
        assert_eq!(
            conflict(open.register_user(&anonymous(), &again, &secret, &metadata).await),
            ConflictKind::EmailTaken
        );
        let named = password("I am babbage, the first");
        assert_eq!(
            field(open.register_user(&anonymous(), &email("babbage"), &named, &metadata).await),
            "password"
        );
        session(&open, "ada", PASSWORD, HOME).await.unwrap();
    }
}

#[tokio::test]
async fn only_administrators_deal_with_other_accounts() {
    for engine in engines() {
        let world = world(engine).await;
        let (ada, eve) = (world.person("ada").await, world.person("eve").await);
        let (secret, nothing) = (password(PASSWORD), JsonObject::default());
        let platform_only = |error: Error| assert!(matches!(error, Error::Forbidden(Denial::PlatformOnly)));
        let (call, new) = (eve.call(), email("new"));
        platform_only(world.create_user(&call, &new, &secret, &nothing, None).await.unwrap_err());
        platform_only(
            world.list_users(&call, &UserFilter::default(), &first(10, UserOrder::Id)).await.unwrap_err(),
        );
        platform_only(world.disable_user(&call, ada.id).await.unwrap_err());
        platform_only(world.enable_user(&call, eve.id).await.unwrap_err());
        for call in [anonymous(), Call::new(Actor::Thing(uuid(7).into()), "test")] {
            assert!(unauthenticated(world.create_user(&call, &new, &secret, &nothing, None).await));
            assert!(unauthenticated(world.view_user(&call, ada.id).await));
            assert!(unauthenticated(world.view_own_user(&call).await));
        }
        assert_eq!(world.view_user(&call, eve.id).await.unwrap(), world.view_own_user(&call).await.unwrap());
        let foreign = world.view_user(&call, ada.id).await.unwrap_err();
        let absent = world.view_user(&call, uuid(7).into()).await.unwrap_err();
        assert_eq!(format!("{foreign:?}"), format!("{absent:?}"));
        assert!(matches!(foreign, Error::NotFound));
        let root = world.root.call();
        assert_eq!(world.view_user(&root, ada.id).await.unwrap().email, ada.email);
        assert!(matches!(world.view_user(&root, uuid(7).into()).await, Err(Error::NotFound)));
        assert!(matches!(world.disable_user(&root, uuid(7).into()).await, Err(Error::NotFound)));
        let second_root = world.create_user(&root, &new, &secret, &nothing, Some(PlatformRole::Root)).await;
        assert_eq!(field(second_root), "role");
        // What an administrator's token may do is bounded by the token.
        let reader = world.by_token(&world.root, false, None).await.call();
        assert!(world.view_user(&reader, ada.id).await.is_ok());
        assert!(matches!(world.disable_user(&reader, ada.id).await, Err(Error::Forbidden(Denial::Scope))));
    }
}

fn uuid(n: u128) -> sqlx::types::Uuid {
    sqlx::types::Uuid::from_u128(n)
}

#[tokio::test]
async fn accounts_are_listed_alike_on_every_engine() {
    for engine in engines() {
        let (_database, registry, clock, root) = standing(engine).await;
        for (name, metadata) in
            [("Bea_1", r#"{"team":{"n":1}}"#), ("bea-2", r#"{"team":{"n":2}}"#), ("émile", "{}")]
        {
            clock.advance(Duration::from_secs(1));
            registry
                .create_user(&root, &email(name), &password(PASSWORD), &json(metadata), None)
                .await
                .unwrap();
        }
        let list = async |filter: UserFilter, order, dir| {
            let query = PageQuery::new(Some(10), None, None, order, dir).unwrap();
            let page = registry.list_users(&root, &filter, &query).await.unwrap();
            assert_eq!(page.total, page.items.len() as u64);
            let name = |user: registry::User| user.email.as_str().split('@').next().unwrap().to_owned();
            page.items.into_iter().map(name).collect::<Vec<_>>()
        };
        let all = UserFilter::default();
        assert_eq!(list(all.clone(), UserOrder::Email, Dir::Asc).await, ["bea-2", "bea_1", "root", "émile"]);
        for order in [UserOrder::Id, UserOrder::CreatedAt, UserOrder::UpdatedAt] {
            assert_eq!(list(all.clone(), order, Dir::Desc).await, ["émile", "bea-2", "bea_1", "root"]);
        }
        let containing =
            |text: &str| UserFilter { email: Some(SearchText::try_from(text).unwrap()), ..all.clone() };
        assert_eq!(list(containing("BEA_"), UserOrder::Id, Dir::Asc).await, ["bea_1"]);
        assert_eq!(list(containing("%"), UserOrder::Id, Dir::Asc).await, [""; 0]);
        let in_team = UserFilter { metadata: Some(json(r#"{"team":{"n":2}}"#)), ..all.clone() };
        assert_eq!(list(in_team, UserOrder::Id, Dir::Asc).await, ["bea-2"]);
        let first_page = registry.list_users(&root, &all, &first(3, UserOrder::Email)).await.unwrap();
        registry.disable_user(&root, first_page.items[0].id).await.unwrap();
        let disabled = UserFilter { status: Some(UserStatus::Disabled), ..all.clone() };
        assert_eq!(list(disabled, UserOrder::Id, Dir::Asc).await, ["bea-2"]);
        let next = after(3, UserOrder::Email, first_page.next.unwrap());
        let page = registry.list_users(&root, &all, &next).await.unwrap();
        assert_eq!((page.items.len(), page.offset, page.next), (1, 3, None));
    }
}

#[tokio::test]
async fn ones_own_account_changes_by_compare_and_set() {
    for engine in engines() {
        let (_database, registry, clock, root) = standing(engine).await;
        let made = register(&registry, &root, "ada").await;
        let call = log_in(&registry, email("ada")).await.call();
        clock.advance(Duration::from_secs(1));
        let seen = Expect::one_of(vec![made.version().as_str().to_owned()]);
        let changed = registry.update_own_user(&call, &json(r#"{"a":1}"#), &seen).await.unwrap();
        assert_eq!(changed.metadata, json(r#"{"a":1}"#));
        assert_eq!(registry.view_own_user(&call).await.unwrap(), changed);
        let stale = registry.update_own_user(&call, &json(r#"{"a":2}"#), &seen).await;
        assert!(matches!(stale, Err(Error::Stale)));
        registry.update_own_user(&call, &json("{}"), &Expect::any()).await.unwrap();
    }
}

#[tokio::test]
async fn who_is_disabled_is_out_at_once_and_for_good() {
    for engine in engines() {
        let world = world(engine).await;
        let root = world.root.call();
        let ada = world.person("ada").await;
        let live = session(&world, "ada", PASSWORD, HOME).await.unwrap();
        let new = new_token("ci");
        let token = world.create_token(&ada.call(), &new).await.unwrap().value.unwrap();
        let ticket =
            world.request_password_reset(&anonymous(), &ada.email, from(HOME)).await.unwrap().unwrap();
        world.disable_user(&root, ada.id).await.unwrap();
        let entries = actions(&world, &root).await.len();
        world.disable_user(&root, ada.id).await.unwrap();
        assert_eq!(
            actions(&world, &root).await.len(),
            entries,
            "a change that changes nothing leaves no trace"
        );
        let shut_out = async || {
            assert!(unauthenticated(actor(&world, live.clone()).await));
            assert!(unauthenticated(world.authenticate(&token).await));
            let reset = world.reset_password(&anonymous(), &ticket.token, &password(NEW_PASSWORD)).await;
            assert_eq!(field(reset), "token");
        };
        shut_out().await;
        assert!(unauthenticated(session(&world, "ada", PASSWORD, HOME).await));
        assert!(world.request_password_reset(&anonymous(), &ada.email, from(HOME)).await.unwrap().is_none());
        // A request that was let in just before makes nothing that outlives it.
        assert!(unauthenticated(world.create_token(&ada.call(), &new).await));
        world.enable_user(&root, ada.id).await.unwrap();
        world.enable_user(&root, ada.id).await.unwrap();
        shut_out().await;
        session(&world, "ada", PASSWORD, HOME).await.unwrap();
        let recorded = actions(&world, &root).await;
        let count = |action: &str| recorded.iter().filter(|one| *one == action).count();
        assert_eq!((count("user.disabled"), count("user.enabled")), (1, 1));
    }
}

#[tokio::test]
async fn somebody_can_always_administer_the_platform() {
    for engine in engines() {
        let (_database, registry, _, root) = standing(engine).await;
        let root_id = registry.view_own_user(&root).await.unwrap().id;
        assert_eq!(conflict(registry.disable_user(&root, root_id).await), ConflictKind::LastPlatformAdmin);
        let admin = Some(PlatformRole::Admin);
        let second = registry
            .create_user(&root, &email("second"), &password(PASSWORD), &JsonObject::default(), admin)
            .await
            .unwrap();
        for _ in 0..25 {
            let [one, two] = [
                log_in(&registry, email("root")).await.call(),
                log_in(&registry, email("second")).await.call(),
            ];
            let outcomes =
                tokio::join!(registry.disable_user(&one, second.id), registry.disable_user(&two, root_id));
            let survivor = match outcomes {
                (Ok(()), Err(Error::Conflict(conflict))) => {
                    assert_eq!(conflict.kind, ConflictKind::LastPlatformAdmin);
                    &one
                }
                (Err(Error::Conflict(conflict)), Ok(())) => {
                    assert_eq!(conflict.kind, ConflictKind::LastPlatformAdmin);
                    &two
                }
                other => panic!("{other:?}"),
            };
            registry.enable_user(survivor, root_id).await.unwrap();
            registry.enable_user(survivor, second.id).await.unwrap();
        }
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
        let request =
            async |name| registry.request_password_reset(&anonymous(), &email(name), from(HOME)).await;
        let reset = async |token: &Secret| {
            registry.reset_password(&anonymous(), token, &password(NEW_PASSWORD)).await
        };
        assert!(request("nobody").await.unwrap().is_none());
        let first = request("ada").await.unwrap().unwrap();
        assert_eq!(first.email, email("ada"));
        assert!(first.token.expose().starts_with("rst_"));
        assert!(request("ada").await.unwrap().is_none(), "one a minute");
        clock.advance(Duration::from_secs(60));
        let second = request("ada").await.unwrap().unwrap();
        assert_eq!(field(reset(&first.token).await), "token", "replaced by the second");
        assert_eq!(field(reset(&Secret::new("rst_")).await), "token");
        assert!(unauthenticated(registry.authenticate(&second.token).await), "a reset is no log-in");
        let outcomes = tokio::join!(reset(&second.token), reset(&second.token));
        assert!(outcomes.0.is_ok() ^ outcomes.1.is_ok(), "{outcomes:?}");
        assert!(unauthenticated(actor(&registry, live).await));
        assert!(unauthenticated(session(&registry, "ada", PASSWORD, HOME).await));
        session(&registry, "ada", NEW_PASSWORD, HOME).await.unwrap();

        clock.advance(Duration::from_secs(60));
        let third = request("ada").await.unwrap().unwrap();
        clock.advance(Duration::from_secs(3600));
        assert_eq!(field(reset(&third.token).await), "token", "too late");
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
        let ticket =
            registry.request_password_reset(&anonymous(), &email("ada"), from(HOME)).await.unwrap().unwrap();
        registry.reset_password(&anonymous(), &ticket.token, &password(NEW_PASSWORD)).await.unwrap();
        session(&registry, "ada", NEW_PASSWORD, HOME).await.unwrap();
    }
}

#[tokio::test]
async fn the_first_start_makes_one_root() {
    for engine in engines() {
        let database = fresh(engine).await;
        for _ in 0..2 {
            let registries = [
                open(&database, Clock::system()).await.unwrap(),
                open(&database, Clock::system()).await.unwrap(),
            ];
            let [one, two] = &registries;
            let made = tokio::join!(one.ensure_root(email("one"), None), two.ensure_root(email("two"), None));
            let made: Vec<_> = [made.0.unwrap(), made.1.unwrap()].into_iter().flatten().collect();
            if let [made] = made.as_slice() {
                let secret = made.generated.as_ref().unwrap();
                assert_eq!(secret.expose().len(), 20);
                let call = anonymous();
                let session = one.create_session(&call, &made.email, secret, from(HOME)).await.unwrap();
                let root = actor(one, session).await.unwrap();
                let user = two.view_own_user(&root).await.unwrap();
                assert_eq!(user.platform_role, Some(PlatformRole::Root));
                assert_eq!(actions(two, &root).await, ["user.created", "session.created"]);
            } else {
                assert_eq!(made.len(), 0);
            }
            assert_eq!(database.number("SELECT count(*) FROM users").await, 1);
            for registry in registries {
                registry.close().await;
            }
        }
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
        assert!(matches!(log_in(b"other", PASSWORD).await, Err(Error::ReplayMismatch)));
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
        let ticket = world
            .request_password_reset(&repeatable("POST /password/reset-request"), &ada.email, from(HOME))
            .await
            .unwrap()
            .unwrap();
        let secrets = [
            opened.token.unwrap().expose().to_owned(),
            token.value.unwrap().expose().to_owned(),
            ticket.token.expose().to_owned(),
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
        for table in ["users", "sessions", "access_tokens", "password_resets", "journal", "idempotency_keys"]
        {
            text +=
                &database.text(format!("SELECT coalesce(string_agg(t::text, ' '), '') FROM {table} t")).await;
        }
        let sealed = "SELECT string_agg(encode(sealed, 'escape'), ' ') FROM idempotency_keys";
        text += &database.text(sealed).await;
        return text.into_bytes();
    };
    let mut bytes = std::fs::read(&file).unwrap();
    let mut wal = file.into_os_string();
    wal.push("-wal");
    bytes.extend(std::fs::read(wal).unwrap_or_default());
    bytes
}

//! Personal access tokens, on every engine.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "also outside of the functions marked as tests"
)]

mod support;

use std::time::Duration;

use registry::{
    Actor, Call, Clock, ConflictKind, Denial, Error, Expect, JsonObject, NewOrg, NewToken, OrgId, Registry,
    Role, Secret, Timestamp, TokenId, TokenOrder, Within,
    journal::{JournalFilter, JournalOrder},
    text::{Description, OrgName, TokenName},
};
use support::{
    engines,
    people::{first, world, world_at},
};

fn named(name: &str) -> NewToken {
    NewToken { name: TokenName::try_from(name).unwrap(), can_write: true, within: None, expires_at: None }
}

async fn call(registry: &Registry, token: &Secret) -> Result<Call, Error> {
    Ok(Call::new(registry.authenticate(token).await?, "test"))
}

fn org(name: &str) -> NewOrg {
    NewOrg {
        id: None,
        name: OrgName::try_from(name).unwrap(),
        description: Description::default(),
        metadata: JsonObject::default(),
    }
}

#[tokio::test]
async fn a_token_shows_its_value_once_and_works_until_it_is_deleted() {
    for engine in engines() {
        let world = world(engine).await;
        let (ada, eve) = (world.person("ada").await, world.person("eve").await);
        let made = world.create_token(&ada.call(), &named("  ci ")).await.unwrap();
        let value = made.value.unwrap();
        assert!(value.expose().starts_with("pat_"));
        assert_eq!((made.token.name.as_str(), made.token.last_used_at), ("ci", None));
        let id = made.token.id;
        assert_eq!(world.view_token(&ada.call(), id).await.unwrap(), made.token);
        world.create_token(&ada.call(), &named("Backup")).await.unwrap();
        for (order, names) in [(TokenOrder::Id, ["ci", "Backup"]), (TokenOrder::Name, ["Backup", "ci"])] {
            let page = world.list_tokens(&ada.call(), &first(10, order)).await.unwrap();
            assert_eq!(page.items.iter().map(|token| token.name.as_str()).collect::<Vec<_>>(), names);
        }
        assert_eq!(world.list_tokens(&eve.call(), &first(10, TokenOrder::Id)).await.unwrap().total, 0);
        // Another's and none are one and the same.
        for id in [id, TokenId::from(sqlx::types::Uuid::from_u128(7))] {
            assert!(matches!(world.view_token(&eve.call(), id).await, Err(Error::NotFound)));
            assert!(matches!(
                world.delete_token(&eve.call(), id, &Expect::any()).await,
                Err(Error::NotFound)
            ));
        }
        let by_token = call(&world, &value).await.unwrap();
        assert_eq!(world.view_own_user(&by_token).await.unwrap().id, ada.id);
        world.delete_token(&ada.call(), id, &Expect::any()).await.unwrap();
        assert!(matches!(world.authenticate(&value).await, Err(Error::Unauthenticated)));
        assert!(matches!(world.delete_token(&ada.call(), id, &Expect::any()).await, Err(Error::NotFound)));
    }
}

#[tokio::test]
async fn tokens_make_no_tokens_and_end_no_sessions() {
    for engine in engines() {
        let world = world(engine).await;
        let by_token = world.by_token(&world.root, true, None).await.call();
        let session_only = |error: Error| assert!(matches!(error, Error::Forbidden(Denial::SessionOnly)));
        session_only(world.create_token(&by_token, &named("more")).await.unwrap_err());
        session_only(world.end_session(&by_token).await.unwrap_err());
        for nobody in [Call::new(Actor::Anonymous, "test"), Call::new(Actor::System, "test")] {
            assert!(matches!(world.create_token(&nobody, &named("x")).await, Err(Error::Unauthenticated)));
            assert!(matches!(world.end_session(&nobody).await, Err(Error::Unauthenticated)));
        }
    }
}

#[tokio::test]
async fn a_token_ends_when_it_should() {
    for engine in engines() {
        let clock = Clock::standing(Timestamp::from_millis(1_800_000_000_000));
        let world = world_at(engine, clock.clone()).await;
        let root = world.root.call();
        let at = |seconds: u64| Some(clock.now().after(Duration::from_secs(seconds)));
        let ten_years = 3_653 * 24 * 3600;
        for (expires_at, fine) in
            [(at(0), false), (at(1), true), (at(ten_years), true), (at(ten_years * 2), false)]
        {
            let made = world.create_token(&root, &NewToken { expires_at, ..named("t") }).await;
            match made {
                Ok(made) => assert!(fine && made.token.expires_at == expires_at),
                Err(Error::Invalid(errors)) => assert!(!fine && errors[0].path() == "expires_at"),
                Err(error) => panic!("{error}"),
            }
        }
        let value = world
            .create_token(&root, &NewToken { expires_at: at(60), ..named("t") })
            .await
            .unwrap()
            .value
            .unwrap();
        clock.advance(Duration::from_millis(59_999));
        assert!(world.authenticate(&value).await.is_ok());
        clock.advance(Duration::from_millis(1));
        assert!(matches!(world.authenticate(&value).await, Err(Error::Unauthenticated)));
    }
}

#[tokio::test]
async fn a_person_has_at_most_a_hundred() {
    for engine in engines() {
        let world = world(engine).await;
        let ada = world.person("ada").await.call();
        let mut last = None;
        for n in 0..99 {
            last = Some(world.create_token(&ada, &named(&format!("t{n}"))).await.unwrap().token.id);
        }
        let (first, second) = (named("one"), named("two"));
        let both = tokio::join!(world.create_token(&ada, &first), world.create_token(&ada, &second));
        let refused = match both {
            (Ok(_), Err(error)) | (Err(error), Ok(_)) => error,
            other => panic!("{other:?}"),
        };
        assert!(matches!(refused, Error::Conflict(conflict) if conflict.kind == ConflictKind::TooManyTokens));
        world.delete_token(&ada, last.unwrap(), &Expect::any()).await.unwrap();
        world.create_token(&ada, &named("again")).await.unwrap();
    }
}

#[tokio::test]
async fn a_token_is_no_wider_than_its_scopes() {
    for engine in engines() {
        let world = world(engine).await;
        let ada = world.person("ada").await;
        let [mine, other] = [
            world.create_org(&ada.call(), &org("mine")).await.unwrap().id,
            world.create_org(&ada.call(), &org("other")).await.unwrap().id,
        ];
        let foreign = world.create_org(&world.root.call(), &org("foreign")).await.unwrap().id;
        let (group, foreign_group) = (world.group(mine, "g").await, world.group(foreign, "f").await);
        let absent = OrgId::from(sqlx::types::Uuid::from_u128(7));
        for place in [Within::Org(foreign), Within::Org(absent), Within::Group(foreign_group)] {
            let refused =
                world.create_token(&ada.call(), &NewToken { within: Some(place), ..named("t") }).await;
            assert!(matches!(refused, Err(Error::NotFound)), "{place:?}");
        }

        let scope = |error: Error| assert!(matches!(error, Error::Forbidden(Denial::Scope)), "{error:?}");
        let reader = world.by_token(&ada, false, None).await.call();
        assert!(world.view_org(&reader, mine).await.is_ok() && world.view_own_user(&reader).await.is_ok());
        scope(world.create_org(&reader, &org("new")).await.unwrap_err());
        scope(world.delete_orgs(&reader, &[mine]).await.unwrap_err());
        scope(world.remove_org_members(&reader, mine, &[ada.id]).await.unwrap_err());
        let any = world.list_tokens(&reader, &first(1, TokenOrder::Id)).await.unwrap().items[0].id;
        scope(world.delete_token(&reader, any, &Expect::any()).await.unwrap_err());

        for named in [(Some(mine), None), (None, Some(group)), (None, None)] {
            let filter = JournalFilter { org: named.0, group: named.1, ..JournalFilter::default() };
            let read = world.list_journal(&reader, &filter, &first(10, JournalOrder)).await.unwrap();
            assert!(read.total > 0, "{named:?}");
        }

        let in_org = world.by_token(&ada, true, Some(Within::Org(mine))).await.call();
        assert!(
            world.view_org(&in_org, mine).await.is_ok() && world.view_group(&in_org, group).await.is_ok()
        );
        assert!(matches!(world.view_org(&in_org, other).await, Err(Error::NotFound)));
        scope(world.create_org(&in_org, &org("new")).await.unwrap_err());
        scope(world.view_own_user(&in_org).await.unwrap_err());
        scope(world.list_tokens(&in_org, &first(1, TokenOrder::Id)).await.unwrap_err());

        let in_group = world.by_token(&ada, true, Some(Within::Group(group))).await.call();
        assert!(world.view_group(&in_group, group).await.is_ok());
        assert!(matches!(world.view_org(&in_group, mine).await, Err(Error::NotFound)));
        let token = world.list_tokens(&ada.call(), &first(10, TokenOrder::Id)).await.unwrap().items.pop();
        assert_eq!(token.unwrap().within, Some(Within::Group(group)));

        // What a token is bound to takes it along.
        world.delete_groups(&ada.call(), &[group]).await.unwrap();
        world.delete_orgs(&ada.call(), &[mine]).await.unwrap();
        assert_eq!(world.list_tokens(&ada.call(), &first(10, TokenOrder::Id)).await.unwrap().total, 1);
        assert!(matches!(world.view_org(&in_org, mine).await, Err(Error::NotFound)));
    }
}

#[tokio::test]
async fn the_last_use_is_noted_once_a_minute_and_never_in_the_way() {
    for engine in engines() {
        let clock = Clock::standing(Timestamp::from_millis(1_800_000_000_000));
        let world = world_at(engine, clock.clone()).await;
        let root = world.root.call();
        let made = world.create_token(&root, &named("t")).await.unwrap();
        let (value, id) = (made.value.unwrap(), made.token.id);
        let noted = async |expected: Timestamp| {
            for _ in 0..500 {
                if world.view_token(&root, id).await.unwrap().last_used_at == Some(expected) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            panic!("{expected} was never noted");
        };
        let first_use = clock.now();
        let _ = tokio::join!(world.authenticate(&value), world.authenticate(&value));
        noted(first_use).await;
        clock.advance(Duration::from_secs(59));
        world.authenticate(&value).await.unwrap();
        clock.advance(Duration::from_secs(1));
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(world.view_token(&root, id).await.unwrap().last_used_at, Some(first_use));
        world.authenticate(&value).await.unwrap();
        noted(clock.now()).await;

        // Somebody holds the row, or the one writer: the request does not wait.
        clock.advance(Duration::from_secs(60));
        let held = world.opened.database.hold("UPDATE access_tokens SET name = name").await;
        let begun = std::time::Instant::now();
        world.authenticate(&value).await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(1));
        held.release().await;
        noted(clock.now()).await;
    }
}

#[tokio::test]
async fn a_role_taken_away_is_taken_from_the_tokens_too() {
    for engine in engines() {
        let world = world(engine).await;
        let (ada, eve) = (world.person("ada").await, world.person("eve").await);
        let home = world.create_org(&ada.call(), &org("home")).await.unwrap().id;
        world.join(home, &eve, Role::Editor).await;
        let group = world.group(home, "g").await;
        world.admit(group, &[(&eve, Role::Admin)]).await;
        let free = world.by_token(&eve, true, None).await.call();
        world.by_token(&eve, true, Some(Within::Org(home))).await;
        world.by_token(&eve, true, Some(Within::Group(group))).await;
        world.by_token(&ada, true, Some(Within::Group(group))).await;
        world.remove_org_members(&ada.call(), home, &[eve.id]).await.unwrap();
        assert!(matches!(world.view_group(&free, group).await, Err(Error::NotFound)));
        assert_eq!(world.list_tokens(&eve.call(), &first(10, TokenOrder::Id)).await.unwrap().total, 1);
        assert_eq!(world.list_tokens(&ada.call(), &first(10, TokenOrder::Id)).await.unwrap().total, 1);
    }
}

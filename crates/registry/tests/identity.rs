//! Accounts, on every engine.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "also outside of the functions marked as tests"
)]

mod support;

use std::time::Duration;

use registry::{
    Actor, Call, Clock, ConflictKind, Denial, Dir, Error, Expect, JsonObject, PageQuery, PlatformRole,
    UserFilter, UserOrder, UserStatus,
    text::{Email, SearchText},
};
use support::{
    engines, fresh,
    log_ins::{
        HOME, NEW_PASSWORD, actions, actor, anonymous, conflict, email, field, from, json, new_token,
        password, register, reset_secret, session, standing, standing_with, unauthenticated,
    },
    open,
    people::{PASSWORD, after, first, log_in, world},
};

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
        assert!(matches!(world.disable_user(&call, ada.id).await, Err(Error::NotFound)));
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
        let changed = registry.update_own_user(&call, Some(&json(r#"{"a":1}"#)), &seen).await.unwrap();
        assert_eq!(changed.metadata, json(r#"{"a":1}"#));
        assert_eq!(registry.view_own_user(&call).await.unwrap(), changed);
        let stale = registry.update_own_user(&call, Some(&json(r#"{"a":2}"#)), &seen).await;
        assert!(matches!(stale, Err(Error::Stale)));
        registry.update_own_user(&call, Some(&json("{}")), &Expect::any()).await.unwrap();
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
        let secret = reset_secret(&world, &anonymous(), &ada.email).await.unwrap();
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
            let reset = world.reset_password(&anonymous(), &secret, &password(NEW_PASSWORD)).await;
            assert_eq!(field(reset), "token");
        };
        shut_out().await;
        assert!(unauthenticated(session(&world, "ada", PASSWORD, HOME).await));
        assert!(reset_secret(&world, &anonymous(), &ada.email).await.is_none());
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
            // Whoever comes second is either the last one left to be disabled, or disabled already.
            let too_late = |error: &Error| match error {
                Error::Conflict(conflict) => conflict.kind == ConflictKind::LastPlatformAdmin,
                error => matches!(error, Error::Unauthenticated),
            };
            let survivor = match outcomes {
                (Ok(()), Err(error)) if too_late(&error) => &one,
                (Err(error), Ok(())) if too_late(&error) => &two,
                other => panic!("{other:?}"),
            };
            registry.enable_user(survivor, root_id).await.unwrap();
            registry.enable_user(survivor, second.id).await.unwrap();
        }
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

fn uuid(n: u128) -> sqlx::types::Uuid {
    sqlx::types::Uuid::from_u128(n)
}

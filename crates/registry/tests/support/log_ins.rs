//! Logging in and out, and what can be told from the outcome.

#![allow(dead_code, unreachable_pub, reason = "every test crate includes this file and uses part of it")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's own steps must succeed"
)]

use std::{net::IpAddr, sync::Arc};

use registry::{
    Actor, Call, Clock, ConflictKind, Error, JsonObject, NewSession, NewToken, Password, Registry, Secret,
    Settings, Timestamp, User,
    journal::{JournalFilter, JournalOrder},
    mail::Letter,
    text::{Email, TokenName},
};

use super::{
    Database, Engine, fresh,
    people::{PASSWORD, first, log_in},
    settings,
};

pub const NEW_PASSWORD: &str = "another horse, another staple";
pub const HOME: &str = "192.0.2.7";

pub fn email(name: &str) -> Email {
    Email::try_from(format!("{name}@example.com").as_str()).unwrap()
}

pub fn password(text: &str) -> Password {
    Password::try_from(Secret::new(text)).unwrap()
}

pub fn new_token(name: &str) -> NewToken {
    NewToken { name: TokenName::try_from(name).unwrap(), can_write: true, within: None, expires_at: None }
}

pub fn json(text: &str) -> JsonObject {
    JsonObject::parse(text).unwrap()
}

pub fn anonymous() -> Call {
    Call::new(Actor::Anonymous, "test")
}

pub fn from(source: &str) -> IpAddr {
    source.parse().unwrap()
}

pub async fn session(
    registry: &Registry,
    name: &str,
    password: &str,
    source: &str,
) -> Result<NewSession, Error> {
    registry.create_session(&anonymous(), &email(name), &Secret::new(password), from(source)).await
}

/// What somebody gets by mail who forgot their password, if they get anything.
pub async fn reset_secret(registry: &Registry, call: &Call, to: &Email) -> Option<Secret> {
    registry.request_password_reset(call, to, from(HOME)).await.unwrap();
    let mails = registry.claim_mails(1000).await.unwrap();
    // Others may be due again.
    let newest = mails.into_iter().filter(|mail| mail.to == *to).max_by_key(|mail| mail.created_at)?;
    match newest.letter {
        Letter::PasswordReset { secret, .. } if newest.attempt == 1 => Some(secret),
        _ => None,
    }
}

/// A registry whose clock stands still, with its root.
pub async fn standing(engine: Engine) -> (Database, Arc<Registry>, Clock, Call) {
    standing_with(engine, |_| {}).await
}

pub async fn standing_with(
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

pub async fn register(registry: &Registry, root: &Call, name: &str) -> User {
    registry.create_user(root, &email(name), &password(PASSWORD), &JsonObject::default(), None).await.unwrap()
}

pub async fn actor(registry: &Registry, session: NewSession) -> Result<Call, Error> {
    Ok(Call::new(registry.authenticate(&session.token.unwrap()).await?, "test"))
}

pub fn unauthenticated<T>(outcome: Result<T, Error>) -> bool {
    matches!(outcome, Err(Error::Unauthenticated))
}

pub fn conflict<T: std::fmt::Debug>(outcome: Result<T, Error>) -> ConflictKind {
    match outcome {
        Err(Error::Conflict(conflict)) => conflict.kind,
        other => panic!("{other:?}"),
    }
}

pub fn field<T: std::fmt::Debug>(outcome: Result<T, Error>) -> String {
    match outcome {
        Err(Error::Invalid(errors)) => errors[0].path(),
        other => panic!("{other:?}"),
    }
}

/// The journal, oldest first.
pub async fn actions(registry: &Registry, root: &Call) -> Vec<String> {
    let page =
        registry.list_journal(root, &JournalFilter::default(), &first(1000, JournalOrder)).await.unwrap();
    page.items.into_iter().map(|record| record.action).collect()
}

//! How many statements it takes to check devices' credentials: none for those that are known, and none for
//! those that cannot be any.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "also outside of the functions marked as tests"
)]

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use registry::{
    Clock, Error, JsonObject, Secret, Timestamp,
    credentials::{Asker, CredentialKind, Front},
    text::ThingName,
    things::{NewThing, ThingType},
};
use support::{engines, people::world_at};
use tracing::{Event, Subscriber};
use tracing_subscriber::{Layer, filter::Targets, layer::Context, prelude::*};

/// Counts the statements that sqlx tells of, but for those by which processes keep in step.
struct Counter(Arc<AtomicUsize>);

impl<S: Subscriber> Layer<S> for Counter {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        struct Statement(String);
        impl tracing::field::Visit for Statement {
            fn record_debug(&mut self, _: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                self.0 += &format!("{value:?}");
            }
        }
        let mut statement = Statement(String::new());
        event.record(&mut statement);
        if !["nodes", "revocations", "LISTEN", "pg_"].iter().any(|of| statement.0.contains(of)) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// The number after the last event: a statement tells of itself a moment after it has answered.
async fn settled(counted: &AtomicUsize) -> usize {
    let mut before = counted.load(Ordering::SeqCst);
    loop {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let now = counted.load(Ordering::SeqCst);
        if now == before {
            return now;
        }
        before = now;
    }
}

#[tokio::test]
async fn a_thousand_checks_take_no_statement() {
    let counted = Arc::new(AtomicUsize::new(0));
    let only = Targets::new().with_target("sqlx::query", tracing::Level::DEBUG);
    let subscriber = tracing_subscriber::registry().with(Counter(Arc::clone(&counted)).with_filter(only));
    tracing::subscriber::set_global_default(subscriber).unwrap();
    for engine in engines() {
        let clock = Clock::standing(Timestamp::from_millis(1_800_000_000_000));
        let world = world_at(engine, clock.clone()).await;
        tokio::spawn(Arc::clone(&world.opened.registry).keep_step(std::future::pending()));
        while !world.answers_from_memory() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let org = world.org(&world.root).await;
        let profile = world.profile(world.group(org, "group").await, "profile").await;
        let new = NewThing {
            id: None,
            name: ThingName::try_from("thing").unwrap(),
            kind: ThingType::Device,
            key: None,
            external_key: None,
            metadata: JsonObject::default(),
        };
        let made = world.create_things(&world.root.call(), profile, &[new]).await.unwrap().remove(0);
        let key = made.key.unwrap();
        let asker = Asker { front: Front::Http, source: None };
        let check =
            async |key: &Secret| world.authenticate_device(CredentialKind::Internal, key, &asker).await;
        check(&key).await.unwrap();
        // Brokers ask by the id afterwards.
        world.device_by_id(made.thing.id).await.unwrap();

        let before = settled(&counted).await;
        let known = world.device_checks().from_database;
        for _ in 0..1_000 {
            check(&key).await.unwrap();
            world.device_by_id(made.thing.id).await.unwrap();
            world.can_command(made.thing.id, made.thing.id).await.unwrap();
            // Uses are noted on the way, too.
            clock.advance(Duration::from_millis(500));
            let mistyped = check(&Secret::new("thk_no such key, by its checksum")).await;
            assert!(matches!(mistyped, Err(Error::NotFound)));
        }
        let statements = settled(&counted).await - before;
        // A process that shares its database and could not hear from it in time has looked things up, by
        // their keys and by their ids.
        let looked_up = 4 * usize::try_from(world.device_checks().from_database - known).unwrap();
        assert!(statements <= looked_up, "{engine:?}: {statements} statements, {looked_up} looked up");
        assert!(looked_up == 0 || engine == support::Engine::Postgres);
        world.write_activity().await.unwrap();
        let written = settled(&counted).await - before - statements;
        assert!((1..=10).contains(&written), "{engine:?}: {written}");
        assert_eq!(world.opened.database.number("SELECT count(*) FROM failed_checks").await, 1);
        let times = "SELECT times FROM failed_checks";
        assert_eq!(world.opened.database.number(times).await, 1_000);
    }
}

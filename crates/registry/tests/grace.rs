//! The grace: while PostgreSQL does not answer, devices in memory go on being let in, for as long as the operator
//! has said and no longer.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "also outside of the functions marked as tests"
)]

mod support;

use std::{
    str::FromStr,
    sync::Arc,
    time::{Duration, Instant},
};

use registry::{
    Clock, Error, JsonObject, Registry, Secret, Settings,
    credentials::{Asker, CredentialKind, Front},
    text::ThingName,
    things::{NewThing, ThingType},
};
use sqlx::{ConnectOptions, postgres::PgConnectOptions};
use support::{Engine, engines, people::world, proxy::Proxy};

const GRACE: Duration = Duration::from_secs(3);
/// So long that a grace that does not end is noticed.
const LONG: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_memory_counts_for_the_grace_and_then_no_more() {
    if !engines().contains(&Engine::Postgres) {
        return;
    }
    let world = world(Engine::Postgres).await;
    let url = PgConnectOptions::from_str(world.opened.database.url()).unwrap();
    let proxy = Proxy::to(url.get_port()).await;
    let through = url.port(proxy.port).to_url_lossy().to_string();
    let settings = support::settings(&world.opened.database, Clock::system());
    let node =
        Registry::open(Settings { database_url: through, auth_grace: GRACE, ..settings }).await.unwrap();
    tokio::spawn(Arc::clone(&node).keep_step(std::future::pending()));
    let in_step = async || {
        while !node.answers_from_memory() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    in_step().await;

    let org = world.org(&world.root).await;
    let profile = world.profile(world.group(org, "group").await, "profile").await;
    let new = |name: &str| NewThing {
        id: None,
        name: ThingName::try_from(name).unwrap(),
        kind: ThingType::Device,
        key: None,
        external_key: None,
        metadata: JsonObject::default(),
    };
    let made =
        world.create_things(&world.root.call(), profile, &[new("known"), new("unknown")]).await.unwrap();
    let (thing, key) = (made[0].thing.id, made[0].key.clone().unwrap());
    let unknown = made[1].key.clone().unwrap();
    let asker = Asker { front: Front::Http, source: None };
    let shows = async |key: &Secret| {
        node.authenticate_device(CredentialKind::Internal, key, &asker).await.map(|device| device.thing)
    };
    let by_id = async || node.device_by_id(thing).await.map(|party| party.thing);
    assert_eq!((shows(&key).await.unwrap(), by_id().await.unwrap()), (thing, thing));

    proxy.cut(true);
    let cut = Instant::now();
    let (mut from_memory, mut in_grace, mut by_id_in_grace) = (0, 0, 0);
    loop {
        assert!(cut.elapsed() < LONG, "the grace does not end");
        let held = node.answers_from_memory();
        match (shows(&key).await, by_id().await) {
            (Ok(_), Ok(_)) if held => from_memory += 1,
            (Ok(_), Ok(_)) => in_grace += 1,
            (Err(Error::Unavailable), Err(Error::Unavailable)) => break,
            // One of the two was asked when the grace had just ended.
            (Ok(_), Err(Error::Unavailable)) => by_id_in_grace += 1,
            answers => panic!("{answers:?}"),
        }
        if in_grace == 1 {
            // Only what is in memory.
            assert!(matches!(shows(&unknown).await, Err(Error::Unavailable)));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(from_memory > 0 && in_grace > 0 && by_id_in_grace <= 1, "{from_memory} {in_grace}");
    // And so it stays, until the database answers.
    assert!(matches!(shows(&key).await, Err(Error::Unavailable)));
    assert!(matches!(by_id().await, Err(Error::Unavailable)));
    proxy.cut(false);
    in_step().await;
    assert_eq!((shows(&key).await.unwrap(), by_id().await.unwrap()), (thing, thing));
    assert_eq!(shows(&unknown).await.unwrap(), made[1].thing.id);
}

//! V14: a million authentications, and questions by things' ids, beside a thousand changes of every kind that
//! ends or alters what they say. None that begins after a change was acknowledged is answered by what was
//! before: not by one process on SQLite, nor by any of three on one PostgreSQL that are cut off from it in turn
//! and make changes all the same.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "also outside of the functions marked as tests"
)]

#[path = "coherence/changes.rs"]
mod changes;
#[path = "coherence/shown.rs"]
mod shown;
mod support;

use std::{
    str::FromStr,
    sync::{
        Arc, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use changes::By;
use registry::{Call, Clock, OrgId, Registry, Secret, Settings, ThingId, credentials::CredentialKind};
use shown::Shown;
use sqlx::{ConnectOptions, postgres::PgConnectOptions};
use support::{Engine, engines, people::world, proxy::Proxy};

const AUTHENTICATIONS: usize = 1_000_000;
const CHANGES: usize = 1_000;
const WRITERS: usize = 8;
/// What readers choose from: the newest.
const WINDOW: usize = 48;

struct Scene {
    nodes: Vec<Arc<Registry>>,
    call: Call,
    org: OrgId,
    /// How long a client waits for an answer before it asks another node the same.
    patience: Duration,
    shown: RwLock<Vec<Arc<Shown>>>,
    done: AtomicUsize,
    repeated: AtomicUsize,
}

impl Scene {
    /// Adds something to what readers choose from, once all nodes have it in memory.
    async fn show(&self, kind: CredentialKind, secret: Secret, thing: ThingId) -> Arc<Shown> {
        let shown = Shown::new(kind, secret, thing);
        self.shown.write().unwrap().push(Arc::clone(&shown));
        for node in &self.nodes {
            shown.remember(node).await;
        }
        shown
    }
}

/// Readers until there were enough authentications and all changes are made, each by the next node.
async fn play(scene: Arc<Scene>) {
    let next = Arc::new(AtomicUsize::new(0));
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            let (scene, next) = (Arc::clone(&scene), Arc::clone(&next));
            tokio::spawn(async move {
                while scene.done.load(Ordering::SeqCst) < CHANGES {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    let node = number % scene.nodes.len();
                    By { scene: &scene, number, node }.change().await.unwrap();
                    scene.done.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    let asked = Arc::new(AtomicUsize::new(0));
    let readers: Vec<_> = (0..4)
        .map(|reader: usize| {
            let (scene, asked) = (Arc::clone(&scene), Arc::clone(&asked));
            tokio::spawn(async move {
                let mut random = 0x9e37_79b9_usize.wrapping_mul(reader + 1);
                while asked.load(Ordering::Relaxed) < AUTHENTICATIONS
                    || scene.done.load(Ordering::SeqCst) < CHANGES
                {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    let shown = {
                        let all = scene.shown.read().unwrap();
                        let oldest = all.len().saturating_sub(WINDOW);
                        match all.len() - oldest {
                            0 => None,
                            some => Some(Arc::clone(&all[oldest + random % some])),
                        }
                    };
                    let Some(shown) = shown else {
                        tokio::task::yield_now().await;
                        continue;
                    };
                    // A node that is cut off lets a reader wait; the others have theirs.
                    let node = &scene.nodes[(reader + random % 2) % scene.nodes.len()];
                    if shown.check(node).await {
                        asked.fetch_add(1, Ordering::Relaxed);
                    }
                    if random.is_multiple_of(8) {
                        shown.check_by_id(node).await;
                    }
                    if random.is_multiple_of(64) {
                        tokio::task::yield_now().await;
                    }
                }
            })
        })
        .collect();
    for task in writers.into_iter().chain(readers) {
        task.await.unwrap();
    }
    for node in &scene.nodes {
        let answered = node.device_checks();
        assert!(answered.from_memory > answered.from_database, "{answered:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_process_never_answers_by_what_was_before() {
    let world = world(Engine::Sqlite).await;
    let scene = Scene {
        nodes: vec![Arc::clone(&world.opened.registry)],
        call: world.root.call(),
        org: world.org(&world.root).await,
        patience: Duration::from_secs(60),
        shown: RwLock::default(),
        done: AtomicUsize::new(0),
        repeated: AtomicUsize::new(0),
    };
    assert!(world.answers_from_memory());
    play(Arc::new(scene)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn three_processes_never_do_while_one_is_cut_off() {
    if !engines().contains(&Engine::Postgres) {
        return;
    }
    let world = world(Engine::Postgres).await;
    let url = PgConnectOptions::from_str(world.opened.database.url()).unwrap();
    let (mut nodes, mut proxies, mut following) = (Vec::new(), Vec::new(), Vec::new());
    let stop = Arc::new(tokio::sync::Notify::new());
    for _ in 0..3 {
        let proxy = Proxy::to(url.get_port()).await;
        let through = url.clone().port(proxy.port).to_url_lossy().to_string();
        let settings = support::settings(&world.opened.database, Clock::system());
        let node = Registry::open(Settings { database_url: through, ..settings }).await.unwrap();
        let stop = Arc::clone(&stop);
        following.push(tokio::spawn(Arc::clone(&node).keep_step(async move { stop.notified().await })));
        nodes.push(node);
        proxies.push(proxy);
    }
    while !nodes.iter().all(|node| node.answers_from_memory()) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let scene = Arc::new(Scene {
        nodes: nodes.clone(),
        call: world.root.call(),
        org: world.org(&world.root).await,
        // Shorter than a node is cut off, so that what it was asked for is asked of the next one.
        patience: Duration::from_millis(700),
        shown: RwLock::default(),
        done: AtomicUsize::new(0),
        repeated: AtomicUsize::new(0),
    });
    let cutting = {
        let scene = Arc::clone(&scene);
        tokio::spawn(async move {
            let mut cuts = 0;
            // Each at least twice.
            for which in (0..3).cycle() {
                if cuts >= 6 && scene.done.load(Ordering::SeqCst) >= CHANGES {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(700)).await;
                proxies[which].cut(true);
                tokio::time::sleep(Duration::from_millis(1_500)).await;
                proxies[which].cut(false);
                cuts += 1;
            }
            (cuts, proxies)
        })
    };
    play(Arc::clone(&scene)).await;
    let (cuts, _proxies) = cutting.await.unwrap();
    println!("{cuts} cuts, {} changes asked for again", scene.repeated.load(Ordering::SeqCst));
    stop.notify_waiters();
    for node in following {
        node.await.unwrap();
    }
    assert_eq!(world.opened.database.number("SELECT count(*) FROM nodes").await, 0, "nobody said goodbye");
}

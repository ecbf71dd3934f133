//! V14: a million authentications beside a thousand changes of every kind that ends or alters what a
//! credential says. None that begins after a change was acknowledged is answered by what was before: not
//! by one process on SQLite, nor by any of three on one PostgreSQL that are cut off from it in turn.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "also outside of the functions marked as tests"
)]

mod support;

use std::{
    str::FromStr,
    sync::{
        Arc, OnceLock, RwLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use registry::{
    Call, Clock, Error, Expect, GroupId, JsonObject, OrgId, ProfileId, Registry, Result, Secret, Settings,
    ThingId,
    credentials::{Asker, CredentialKind, Device, ExternalKey, Front, ThingKey},
    groups::NewGroup,
    profiles::{NewProfile, ProfileConfig, ProfileUpdate},
    text::{Description, GroupName, ProfileName, ThingName},
    things::{NewThing, ThingType, ThingUpdate},
};
use sqlx::{ConnectOptions, postgres::PgConnectOptions};
use support::{Engine, engines, people::world, proxy::Proxy};

const AUTHENTICATIONS: usize = 1_000_000;
const CHANGES: usize = 1_000;
const WRITERS: usize = 8;
/// What readers choose from: the newest.
const WINDOW: usize = 48;

/// Something a device shows, and what has been acknowledged about it.
struct Shown {
    kind: CredentialKind,
    secret: Secret,
    dead: AtomicBool,
    group: OnceLock<GroupId>,
    config: AtomicU64,
}

impl Shown {
    fn new(kind: CredentialKind, secret: Secret) -> Arc<Self> {
        Arc::new(Self {
            kind,
            secret,
            dead: AtomicBool::new(false),
            group: OnceLock::new(),
            config: AtomicU64::new(0),
        })
    }

    async fn show(&self, node: &Registry) -> Result<Device> {
        let asker = Asker { front: Front::Http, source: None };
        node.authenticate_device(self.kind, &self.secret, &asker).await
    }

    /// Authenticates once, and compares with what was acknowledged before.
    async fn check(&self, node: &Registry) -> bool {
        let (dead, group, config) =
            (self.dead.load(Ordering::SeqCst), self.group.get().copied(), self.config.load(Ordering::SeqCst));
        match self.show(node).await {
            Ok(device) => {
                assert!(!dead, "a credential was accepted that had been revoked");
                assert!(
                    group.is_none_or(|group| group == device.place.group),
                    "a thing was found where it had been"
                );
                let version = device.place.config.as_ref().map_or(0, version);
                assert!(version >= config, "a configuration was answered that had been replaced");
                true
            }
            Err(Error::NotFound) => true,
            Err(Error::Unavailable) => false,
            Err(error) => panic!("{error}"),
        }
    }
}

fn version(config: &ProfileConfig) -> u64 {
    let text = config.object().to_text();
    let digits: String =
        text.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

fn config(version: u64) -> ProfileConfig {
    ProfileConfig::new(JsonObject::parse(&format!(r#"{{"a":{version}}}"#)).unwrap()).unwrap()
}

struct Scene {
    nodes: Vec<Arc<Registry>>,
    call: Call,
    org: OrgId,
    shown: RwLock<Vec<Arc<Shown>>>,
    done: AtomicUsize,
    lost: AtomicUsize,
}

impl Scene {
    fn show(&self, kind: CredentialKind, secret: Secret) -> Arc<Shown> {
        let shown = Shown::new(kind, secret);
        self.shown.write().unwrap().push(Arc::clone(&shown));
        shown
    }

    async fn group(&self, node: &Registry, name: String) -> Result<GroupId> {
        let new = NewGroup {
            id: None,
            name: GroupName::try_from(name.as_str()).unwrap(),
            description: Description::default(),
            metadata: JsonObject::default(),
        };
        Ok(node.create_groups(&self.call, self.org, &[new]).await?[0].id)
    }

    async fn profile(&self, node: &Registry, group: GroupId) -> Result<ProfileId> {
        let new = NewProfile {
            id: None,
            name: ProfileName::try_from("p").unwrap(),
            config: Some(config(0)),
            metadata: JsonObject::default(),
        };
        Ok(node.create_profiles(&self.call, group, &[new]).await?[0].id)
    }

    async fn thing(&self, node: &Registry, profile: ProfileId, name: &str) -> Result<(ThingId, Secret)> {
        let new = NewThing {
            id: None,
            name: ThingName::try_from(name).unwrap(),
            kind: ThingType::Device,
            key: None,
            external_key: None,
            metadata: JsonObject::default(),
        };
        let made = node.create_things(&self.call, profile, &[new]).await?.remove(0);
        Ok((made.thing.id, made.key.unwrap()))
    }

    /// One change of the kind that `number` stands for, of something that all nodes have in memory.
    async fn change(&self, number: usize, node: &Registry) -> Result<()> {
        let any = Expect::any();
        let group = self.group(node, format!("g{number}")).await?;
        let profile = self.profile(node, group).await?;
        let (thing, key) = self.thing(node, profile, "t").await?;
        let first = self.show(CredentialKind::Internal, key);
        for other in &self.nodes {
            let _ = first.show(other).await;
        }
        tokio::task::yield_now().await;
        match number % 9 {
            0 => {
                node.rotate_key(&self.call, thing, Duration::ZERO).await?;
                first.dead.store(true, Ordering::SeqCst);
            }
            1 => {
                let key = ThingKey::custom(&format!("a key of the client's choice {number}")).unwrap();
                let update = ThingUpdate {
                    name: ThingName::try_from("t").unwrap(),
                    kind: None,
                    metadata: None,
                    key: Some(key),
                };
                node.update_thing(&self.call, thing, &update, &any).await?;
                first.dead.store(true, Ordering::SeqCst);
            }
            set_or_cleared @ (2 | 3) => {
                let serial = format!("serial {number}");
                let external = ExternalKey::try_from(serial.as_str()).unwrap();
                node.set_external_key(&self.call, thing, &external, &any).await?;
                let external = self.show(CredentialKind::External, Secret::new(serial));
                for other in &self.nodes {
                    let _ = external.show(other).await;
                }
                if set_or_cleared == 2 {
                    let next = ExternalKey::try_from(format!("another serial {number}").as_str()).unwrap();
                    node.set_external_key(&self.call, thing, &next, &any).await?;
                } else {
                    node.clear_external_key(&self.call, thing, &any).await?;
                }
                external.dead.store(true, Ordering::SeqCst);
            }
            4 => {
                node.delete_things(&self.call, &[thing]).await?;
                first.dead.store(true, Ordering::SeqCst);
            }
            5 => {
                let there = self.group(node, format!("there{number}")).await?;
                let other = self.profile(node, there).await?;
                node.move_thing(&self.call, thing, there, other, &any).await?;
                first.group.set(there).unwrap();
            }
            6 => {
                let update = ProfileUpdate {
                    name: ProfileName::try_from("p").unwrap(),
                    config: Some(Some(config(1))),
                    metadata: None,
                };
                node.update_profile(&self.call, profile, &update, &any).await?;
                first.config.store(1, Ordering::SeqCst);
            }
            7 => {
                node.delete_groups(&self.call, &[group]).await?;
                first.dead.store(true, Ordering::SeqCst);
            }
            _ => {
                // The one before, which overlaps, ends with the next rotation.
                node.rotate_key(&self.call, thing, Duration::from_secs(3600)).await?;
                let _ = first.show(node).await;
                node.rotate_key(&self.call, thing, Duration::ZERO).await?;
                first.dead.store(true, Ordering::SeqCst);
            }
        }
        Ok(())
    }
}

/// Readers until there were enough authentications and all changes are made; `node` chooses who makes the
/// next change.
async fn play(scene: Arc<Scene>, node: impl Fn(usize) -> usize + Send + Sync + 'static) {
    let node = Arc::new(node);
    let next = Arc::new(AtomicUsize::new(0));
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            let (scene, next, node) = (Arc::clone(&scene), Arc::clone(&next), Arc::clone(&node));
            tokio::spawn(async move {
                while scene.done.load(Ordering::SeqCst) < CHANGES {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    match scene.change(number, &scene.nodes[node(number)]).await {
                        Ok(()) => drop(scene.done.fetch_add(1, Ordering::SeqCst)),
                        // Whether it happened is not known, so nothing was acknowledged.
                        Err(Error::Unavailable | Error::OutcomeUnknown) => {
                            scene.lost.fetch_add(1, Ordering::SeqCst);
                        }
                        Err(error) => panic!("{error}"),
                    }
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
        shown: RwLock::default(),
        done: AtomicUsize::new(0),
        lost: AtomicUsize::new(0),
    };
    assert!(world.answers_from_memory());
    play(Arc::new(scene), |_| 0).await;
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
    let cut_off = Arc::new(AtomicUsize::new(usize::MAX));
    let scene = Arc::new(Scene {
        nodes: nodes.clone(),
        call: world.root.call(),
        org: world.org(&world.root).await,
        shown: RwLock::default(),
        done: AtomicUsize::new(0),
        lost: AtomicUsize::new(0),
    });
    let cutting = {
        let (scene, cut_off) = (Arc::clone(&scene), Arc::clone(&cut_off));
        tokio::spawn(async move {
            let mut cuts = 0;
            // Each at least twice.
            for which in (0..3).cycle() {
                if cuts >= 6 && scene.done.load(Ordering::SeqCst) >= CHANGES {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(700)).await;
                cut_off.store(which, Ordering::SeqCst);
                proxies[which].cut(true);
                tokio::time::sleep(Duration::from_millis(1_500)).await;
                proxies[which].cut(false);
                cut_off.store(usize::MAX, Ordering::SeqCst);
                cuts += 1;
            }
            (cuts, proxies)
        })
    };
    let cut = Arc::clone(&cut_off);
    play(Arc::clone(&scene), move |number| {
        let node = number % 3;
        if node == cut.load(Ordering::SeqCst) { (node + 1) % 3 } else { node }
    })
    .await;
    let (cuts, _proxies) = cutting.await.unwrap();
    println!("{cuts} cuts, {} changes without an acknowledgement", scene.lost.load(Ordering::SeqCst));
    stop.notify_waiters();
    for node in following {
        node.await.unwrap();
    }
    assert_eq!(world.opened.database.number("SELECT count(*) FROM nodes").await, 0, "nobody said goodbye");
}

//! Changes of every kind, made through any node, and asked for again while it is not known what became of
//! them.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use registry::{
    Call, ConflictKind, Error, Expect, GroupId, JsonObject, NewOrg, OrgId, ProfileId, Registry, Result,
    Secret, ThingId,
    credentials::{CredentialKind, ExternalKey, ThingKey},
    groups::NewGroup,
    profiles::{NewProfile, ProfileUpdate},
    text::{Description, GroupName, OrgName, ProfileName, ThingName},
    things::{NewThing, ThingType, ThingUpdate},
};

use super::{Scene, shown::config};

/// How many kinds there are.
const KINDS: usize = 14;

/// Who makes a change, and which.
#[derive(Clone, Copy)]
pub(crate) struct By<'a> {
    pub(crate) scene: &'a Scene,
    pub(crate) number: usize,
    pub(crate) node: usize,
}

impl By<'_> {
    /// Makes a part of a change, named by `key`. While it is not known what became of it, it is asked for again
    /// under the same key, of the next node, as a client does; what was begun goes on, as in the server.
    async fn settled<T, F>(self, key: &str, attempt: impl Fn(Arc<Registry>, Call) -> F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let Self { scene, number, mut node } = self;
        let call = scene.call.clone().repeatable(key, &number.to_string(), b"");
        loop {
            let asked = Arc::clone(&scene.nodes[node % scene.nodes.len()]);
            let answer = tokio::spawn(attempt(asked, call.clone()));
            match tokio::time::timeout(scene.patience, answer).await {
                Err(_) | Ok(Ok(Err(Error::Unavailable | Error::OutcomeUnknown))) => {
                    scene.repeated.fetch_add(1, Ordering::SeqCst);
                    node += 1;
                }
                Ok(Ok(Err(Error::Conflict(conflict)))) if conflict.kind == ConflictKind::InFlight => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Ok(answer) => return answer.unwrap(),
            }
        }
    }

    async fn org(self) -> Result<OrgId> {
        let new = NewOrg {
            id: None,
            name: OrgName::try_from("an organisation").unwrap(),
            description: Description::default(),
            metadata: JsonObject::default(),
        };
        let made = self.settled("org", move |node, call| {
            let new = new.clone();
            async move { node.create_org(&call, &new).await }
        });
        Ok(made.await?.id)
    }

    async fn group(self, org: OrgId, name: &'static str) -> Result<GroupId> {
        let new = NewGroup {
            id: None,
            name: GroupName::try_from(format!("{name} {}", self.number).as_str()).unwrap(),
            description: Description::default(),
            metadata: JsonObject::default(),
        };
        let made = self.settled(name, move |node, call| {
            let new = new.clone();
            async move { node.create_groups(&call, org, &[new]).await }
        });
        Ok(made.await?[0].id)
    }

    async fn profile(self, group: GroupId, name: &'static str) -> Result<ProfileId> {
        let new = NewProfile {
            id: None,
            name: ProfileName::try_from(name).unwrap(),
            config: Some(config(0)),
            metadata: JsonObject::default(),
        };
        let made = self.settled(name, move |node, call| {
            let new = new.clone();
            async move { node.create_profiles(&call, group, &[new]).await }
        });
        Ok(made.await?[0].id)
    }

    async fn thing(self, profile: ProfileId) -> Result<(ThingId, Secret)> {
        let new = NewThing {
            id: None,
            name: ThingName::try_from("t").unwrap(),
            kind: ThingType::Device,
            key: None,
            external_key: None,
            metadata: JsonObject::default(),
        };
        let made = self.settled("thing", move |node, call| {
            let new = new.clone();
            async move { node.create_things(&call, profile, &[new]).await }
        });
        let made = made.await?.remove(0);
        Ok((made.thing.id, made.key.unwrap()))
    }

    async fn rotate(self, key: &str, thing: ThingId, overlap: Duration) -> Result<()> {
        let rotated =
            self.settled(key, move |node, call| async move { node.rotate_key(&call, thing, overlap).await });
        rotated.await.map(drop)
    }

    async fn update(self, thing: ThingId, kind: Option<ThingType>, key: Option<ThingKey>) -> Result<()> {
        let name = ThingName::try_from("t").unwrap();
        let update = ThingUpdate { name, kind, metadata: None, key };
        let updated = self.settled("update", move |node, call| {
            let update = update.clone();
            async move { node.update_thing(&call, thing, &update, &Expect::any()).await }
        });
        updated.await.map(drop)
    }

    async fn set_external(self, key: &'static str, thing: ThingId) -> Result<Secret> {
        let serial = format!("{key} {}", self.number);
        let external = ExternalKey::try_from(serial.as_str()).unwrap();
        let set = self.settled(key, move |node, call| {
            let external = external.clone();
            async move { node.set_external_key(&call, thing, &external, &Expect::any()).await }
        });
        set.await.map(|_| Secret::new(serial))
    }

    async fn set_enabled(self, thing: ThingId, enabled: bool) -> Result<()> {
        let set = self.settled(if enabled { "enable" } else { "disable" }, move |node, call| async move {
            match enabled {
                true => node.enable_thing(&call, thing, &Expect::any()).await,
                false => node.disable_thing(&call, thing, &Expect::any()).await,
            }
        });
        set.await.map(drop)
    }

    async fn move_thing(self, thing: ThingId, group: GroupId, profile: ProfileId) -> Result<()> {
        let moved = self.settled("move", move |node, call| async move {
            node.move_thing(&call, thing, group, profile, &Expect::any()).await
        });
        moved.await.map(drop)
    }

    /// One change of the kind that the number stands for, of something that all nodes have in memory.
    pub(crate) async fn change(self) -> Result<()> {
        let org = if self.number % KINDS == 9 { self.org().await? } else { self.scene.org };
        let group = self.group(org, "here").await?;
        let profile = self.profile(group, "p").await?;
        let (thing, key) = self.thing(profile).await?;
        let first = self.scene.show(CredentialKind::Internal, key, thing).await;
        tokio::task::yield_now().await;
        match self.number % KINDS {
            0 => {
                self.rotate("rotate", thing, Duration::ZERO).await?;
                first.dead.store(true, Ordering::SeqCst);
            }
            1 => {
                let key = ThingKey::custom(&format!("a key of the client's choice {}", self.number)).unwrap();
                self.update(thing, None, Some(key)).await?;
                first.dead.store(true, Ordering::SeqCst);
            }
            set_or_cleared @ (2 | 3) => {
                let serial = self.set_external("serial", thing).await?;
                let external = self.scene.show(CredentialKind::External, serial, thing).await;
                if set_or_cleared == 2 {
                    self.set_external("another serial", thing).await?;
                } else {
                    let cleared = self.settled("clear", move |node, call| async move {
                        node.clear_external_key(&call, thing, &Expect::any()).await
                    });
                    cleared.await?;
                }
                external.dead.store(true, Ordering::SeqCst);
            }
            4 => {
                let deleted = self.settled("delete", move |node, call| async move {
                    node.delete_things(&call, &[thing]).await
                });
                deleted.await?;
                first.ends();
            }
            5 => {
                let there = self.group(org, "there").await?;
                let other = self.profile(there, "q").await?;
                self.move_thing(thing, there, other).await?;
                first.group.set(there).unwrap();
            }
            6 => {
                let update = ProfileUpdate {
                    name: ProfileName::try_from("p").unwrap(),
                    config: Some(Some(config(1))),
                    metadata: None,
                };
                let updated = self.settled("profile", move |node, call| {
                    let update = update.clone();
                    async move { node.update_profile(&call, profile, &update, &Expect::any()).await }
                });
                updated.await?;
                first.config.store(1, Ordering::SeqCst);
            }
            7 => {
                let deleted = self.settled("delete", move |node, call| async move {
                    node.delete_groups(&call, &[group]).await
                });
                deleted.await?;
                first.ends();
            }
            8 => {
                let other = self.profile(group, "q").await?;
                self.move_thing(thing, group, other).await?;
                first.profile.set(other).unwrap();
            }
            9 => {
                let deleted =
                    self.settled(
                        "delete",
                        move |node, call| async move { node.delete_orgs(&call, &[org]).await },
                    );
                deleted.await?;
                first.ends();
            }
            10 => {
                self.set_enabled(thing, false).await?;
                first.ends();
            }
            11 => {
                self.set_enabled(thing, false).await?;
                for node in &self.scene.nodes {
                    first.remember(node).await;
                }
                self.set_enabled(thing, true).await?;
                first.alive.store(true, Ordering::SeqCst);
            }
            12 => {
                self.update(thing, Some(ThingType::Sensor), None).await?;
                first.mute.store(true, Ordering::SeqCst);
            }
            _ => {
                // The one before, which overlaps, ends with the next rotation.
                self.rotate("first", thing, Duration::from_secs(3600)).await?;
                let _ = first.show(&self.scene.nodes[self.node]).await;
                self.rotate("second", thing, Duration::ZERO).await?;
                first.dead.store(true, Ordering::SeqCst);
            }
        }
        Ok(())
    }
}

//! What devices show and brokers ask, and what has been acknowledged about it.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use registry::{
    Error, GroupId, JsonObject, ProfileId, Registry, Result, Secret, ThingId,
    credentials::{Asker, CredentialKind, Device, Front, Place},
    profiles::ProfileConfig,
};

/// Something a device shows, and what has been acknowledged about it and its thing.
pub(crate) struct Shown {
    kind: CredentialKind,
    secret: Secret,
    thing: ThingId,
    /// It lets nobody in.
    pub(crate) dead: AtomicBool,
    /// The thing does not exist or is disabled.
    pub(crate) gone: AtomicBool,
    /// It was enabled again, for good.
    pub(crate) alive: AtomicBool,
    /// It commands nothing.
    pub(crate) mute: AtomicBool,
    pub(crate) group: OnceLock<GroupId>,
    pub(crate) profile: OnceLock<ProfileId>,
    pub(crate) config: AtomicU64,
}

/// What had been acknowledged at a moment.
struct Acknowledged {
    dead: bool,
    gone: bool,
    alive: bool,
    mute: bool,
    group: Option<GroupId>,
    profile: Option<ProfileId>,
    config: u64,
}

impl Acknowledged {
    fn hold_of(&self, place: &Place) {
        assert!(self.group.is_none_or(|group| group == place.group), "a thing was found where it had been");
        assert!(self.profile.is_none_or(|profile| profile == place.profile), "it had another profile");
        let version = place.config.as_ref().map_or(0, version);
        assert!(version >= self.config, "a configuration was answered that had been replaced");
    }
}

impl Shown {
    pub(crate) fn new(kind: CredentialKind, secret: Secret, thing: ThingId) -> Arc<Self> {
        Arc::new(Self {
            kind,
            secret,
            thing,
            dead: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            alive: AtomicBool::new(false),
            mute: AtomicBool::new(false),
            group: OnceLock::new(),
            profile: OnceLock::new(),
            config: AtomicU64::new(0),
        })
    }

    pub(crate) fn ends(&self) {
        for end in [&self.dead, &self.gone, &self.mute] {
            end.store(true, Ordering::SeqCst);
        }
    }

    fn acknowledged(&self) -> Acknowledged {
        let is = |flag: &AtomicBool| flag.load(Ordering::SeqCst);
        Acknowledged {
            dead: is(&self.dead),
            gone: is(&self.gone),
            alive: is(&self.alive),
            mute: is(&self.mute),
            group: self.group.get().copied(),
            profile: self.profile.get().copied(),
            config: self.config.load(Ordering::SeqCst),
        }
    }

    pub(crate) async fn show(&self, node: &Registry) -> Result<Device> {
        let asker = Asker { front: Front::Http, source: None };
        node.authenticate_device(self.kind, &self.secret, &asker).await
    }

    /// Puts all that can be asked into a node's memory.
    pub(crate) async fn remember(&self, node: &Registry) {
        let _ = self.show(node).await;
        let _ = node.device_by_id(self.thing).await;
    }

    /// Authenticates once, and compares with what was acknowledged before.
    pub(crate) async fn check(&self, node: &Registry) -> bool {
        let before = self.acknowledged();
        match self.show(node).await {
            Ok(device) => {
                assert!(!before.dead, "a credential was accepted that had been revoked");
                before.hold_of(&device.place);
                true
            }
            Err(Error::NotFound) => {
                assert!(!before.alive, "a thing was refused that had been enabled");
                true
            }
            Err(Error::Unavailable) => false,
            Err(error) => panic!("{error}"),
        }
    }

    /// The same of what brokers ask by the thing's id.
    pub(crate) async fn check_by_id(&self, node: &Registry) {
        let before = self.acknowledged();
        match node.device_by_id(self.thing).await {
            Ok(party) => {
                assert!(!before.gone, "a thing was found that had been deleted or disabled");
                before.hold_of(&party.place);
            }
            Err(Error::NotFound) => assert!(!before.alive, "a thing was not found that had been enabled"),
            Err(Error::Unavailable) => {}
            Err(error) => panic!("{error}"),
        }
        let before = self.acknowledged();
        match node.can_command(self.thing, self.thing).await {
            Ok(commands) => assert!(!(commands && before.mute), "a thing commanded that may do so no more"),
            Err(Error::NotFound | Error::Unavailable) => {}
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

pub(crate) fn config(version: u64) -> ProfileConfig {
    ProfileConfig::new(JsonObject::parse(&format!(r#"{{"a":{version}}}"#)).unwrap()).unwrap()
}

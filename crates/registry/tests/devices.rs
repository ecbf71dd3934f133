//! Authentication of devices: what a credential says, and that nothing which is kept in memory outlives a
//! change of what it was made from.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "also outside of the functions marked as tests"
)]

mod support;

use std::time::Duration;

use registry::{
    Clock, Error, Expect, JsonObject, ProfileId, Secret, ThingId, Timestamp,
    credentials::{Asker, CredentialKind, Device, ExternalKey, Front, IndexedAs, ThingKey},
    profiles::{ProfileConfig, ProfileUpdate},
    text::{ProfileName, ThingName},
    things::{NewThing, ThingType, ThingUpdate},
};
use support::{
    engines,
    people::{World, world, world_at},
};

const INTERNAL: CredentialKind = CredentialKind::Internal;
const EXTERNAL: CredentialKind = CredentialKind::External;

impl World {
    async fn shows(&self, kind: CredentialKind, credential: &Secret) -> Option<Device> {
        let asker = Asker { front: Front::Http, source: None };
        match self.authenticate_device(kind, credential, &asker).await {
            Ok(device) => Some(device),
            Err(Error::NotFound) => None,
            Err(error) => panic!("{error}"),
        }
    }

    async fn thing(&self, profile: ProfileId, name: &str) -> (ThingId, Secret) {
        let new = NewThing {
            id: None,
            name: ThingName::try_from(name).unwrap(),
            kind: ThingType::Sensor,
            key: None,
            external_key: Some(ExternalKey::try_from(format!("serial of {name}").as_str()).unwrap()),
            metadata: JsonObject::default(),
        };
        let made = self.create_things(&self.root.call(), profile, &[new]).await.unwrap().remove(0);
        (made.thing.id, made.key.unwrap())
    }
}

fn serial(name: &str) -> Secret {
    Secret::new(format!("serial of {name}"))
}

#[tokio::test]
async fn a_credential_tells_whose_it_is_and_how_that_talks() {
    for engine in engines() {
        let world = world(engine).await;
        let org = world.org(&world.root).await;
        let group = world.group(org, "group").await;
        let profile = world.profile(group, "profile").await;
        let (thing, key) = world.thing(profile, "a").await;
        // Twice: from the database, and from memory where that is on.
        for _ in 0..2 {
            let device = world.shows(INTERNAL, &key).await.unwrap();
            assert_eq!((device.thing, device.kind), (thing, Some(ThingType::Sensor)));
            assert_eq!(device.credential, IndexedAs::Key);
            assert_eq!((device.place.profile, device.place.group, device.place.org), (profile, group, org));
            assert!(device.place.config.is_none());
            assert_eq!(world.shows(EXTERNAL, &serial("a")).await.unwrap().credential, IndexedAs::External);
            assert!(world.shows(EXTERNAL, &key).await.is_none());
            assert!(world.shows(INTERNAL, &serial("a")).await.is_none());
            assert!(world.shows(INTERNAL, &Secret::new("nobody's key at all")).await.is_none());
            assert!(world.shows(INTERNAL, &Secret::new("thk_with a bad checksum")).await.is_none());
        }
    }
}

/// Every change that ends or alters what a credential says, each after the answer has been kept.
#[tokio::test]
async fn what_is_kept_in_memory_ends_with_what_it_was_made_from() {
    for engine in engines() {
        let world = world(engine).await;
        let call = world.root.call();
        let org = world.org(&world.root).await;
        let (here, there) = (world.group(org, "here").await, world.group(org, "there").await);
        let (profile, other) = (world.profile(here, "profile").await, world.profile(there, "profile").await);
        let any = Expect::any();

        let (thing, first) = world.thing(profile, "a").await;
        assert!(world.shows(INTERNAL, &first).await.is_some());
        let second = world.rotate_key(&call, thing, Duration::ZERO).await.unwrap().key.unwrap();
        assert!(world.shows(INTERNAL, &first).await.is_none(), "rotated away");
        assert!(world.shows(INTERNAL, &second).await.is_some());

        let third = ThingKey::custom("a key of the client's choice").unwrap();
        assert!(world.shows(INTERNAL, third.secret()).await.is_none(), "nobody's yet");
        let update = ThingUpdate {
            name: ThingName::try_from("a").unwrap(),
            kind: Some(ThingType::Gateway),
            metadata: None,
            key: Some(third.clone()),
        };
        world.update_thing(&call, thing, &update, &any).await.unwrap();
        assert!(world.shows(INTERNAL, &second).await.is_none(), "replaced");
        assert_eq!(world.shows(INTERNAL, third.secret()).await.unwrap().kind, Some(ThingType::Gateway));

        let serial_of = |name: &str| ExternalKey::try_from(name).unwrap();
        assert!(world.shows(EXTERNAL, &serial("a")).await.is_some());
        assert!(world.shows(EXTERNAL, &Secret::new("another serial")).await.is_none());
        world.set_external_key(&call, thing, &serial_of("another serial"), &any).await.unwrap();
        assert!(world.shows(EXTERNAL, &serial("a")).await.is_none(), "set to another");
        assert!(world.shows(EXTERNAL, &Secret::new("another serial")).await.is_some());
        world.clear_external_key(&call, thing, &any).await.unwrap();
        assert!(world.shows(EXTERNAL, &Secret::new("another serial")).await.is_none(), "taken away");

        let config = ProfileConfig::new(JsonObject::parse(r#"{"content_type":"x"}"#).unwrap()).unwrap();
        let update = ProfileUpdate {
            name: ProfileName::try_from("profile").unwrap(),
            config: Some(Some(config.clone())),
            metadata: None,
        };
        world.update_profile(&call, profile, &update, &any).await.unwrap();
        let device = world.shows(INTERNAL, third.secret()).await.unwrap();
        assert_eq!(device.place.config, Some(config), "another configuration");

        world.move_thing(&call, thing, there, other, &any).await.unwrap();
        let device = world.shows(INTERNAL, third.secret()).await.unwrap();
        assert_eq!((device.place.group, device.place.profile), (there, other), "moved");

        world.delete_things(&call, &[thing]).await.unwrap();
        assert!(world.shows(INTERNAL, third.secret()).await.is_none(), "deleted");

        let (_, key) = world.thing(other, "b").await;
        assert!(world.shows(INTERNAL, &key).await.is_some());
        world.delete_groups(&call, &[there]).await.unwrap();
        assert!(world.shows(INTERNAL, &key).await.is_none(), "the group is gone");

        let (_, key) = world.thing(profile, "c").await;
        assert!(world.shows(INTERNAL, &key).await.is_some());
        world.delete_orgs(&call, &[org]).await.unwrap();
        assert!(world.shows(INTERNAL, &key).await.is_none(), "the organisation is gone");
    }
}

/// The same by ids, which is how brokers ask about topics.
#[tokio::test]
async fn what_is_kept_of_a_thing_by_its_id_ends_with_what_it_was_made_from() {
    for engine in engines() {
        let world = world(engine).await;
        let call = world.root.call();
        let org = world.org(&world.root).await;
        let (here, there) = (world.group(org, "here").await, world.group(org, "there").await);
        let (profile, other) = (world.profile(here, "profile").await, world.profile(there, "profile").await);
        let next_door = world.profile(here, "another profile").await;
        let any = Expect::any();
        let (thing, _) = world.thing(profile, "a").await;
        let (sensor, _) = world.thing(profile, "b").await;
        let kind = async |of: ThingId, kind: ThingType| {
            let update = ThingUpdate {
                name: ThingName::try_from(if of == thing { "a" } else { "b" }).unwrap(),
                kind: Some(kind),
                metadata: None,
                key: None,
            };
            world.update_thing(&call, of, &update, &any).await.unwrap();
        };
        let place = async |thing: ThingId| world.device_by_id(thing).await.unwrap().place;
        let commands = async || world.can_command(thing, sensor).await.unwrap();
        let is_gone = async |thing: ThingId| {
            matches!(world.device_by_id(thing).await, Err(Error::NotFound))
                && !world.is_thing(thing).await.unwrap()
        };

        assert!(!commands().await, "sensors command nothing");
        kind(thing, ThingType::Controller).await;
        assert!(commands().await);
        assert!(world.can_command_group(thing, here).await.unwrap());
        kind(sensor, ThingType::Gateway).await;
        assert!(!commands().await, "nobody commands gateways");
        kind(sensor, ThingType::Sensor).await;
        assert!(commands().await);

        world.disable_thing(&call, thing, &any).await.unwrap();
        assert!(matches!(world.device_by_id(thing).await, Err(Error::NotFound)), "disabled");
        assert!(world.is_thing(thing).await.unwrap());
        assert!(!commands().await, "disabled things command nothing");
        world.enable_thing(&call, thing, &any).await.unwrap();
        assert!(commands().await);

        assert_eq!(place(thing).await.topics.publish, None);
        let config =
            ProfileConfig::new(JsonObject::parse(r#"{"topics":{"publish":["a"]}}"#).unwrap()).unwrap();
        let update = ProfileUpdate {
            name: ProfileName::try_from("profile").unwrap(),
            config: Some(Some(config)),
            metadata: None,
        };
        world.update_profile(&call, profile, &update, &any).await.unwrap();
        assert_eq!(place(thing).await.topics.publish, Some(vec!["a".to_owned()]));
        world.move_thing(&call, thing, here, next_door, &any).await.unwrap();
        assert_eq!(place(thing).await.topics.publish, None, "another profile of the group");

        world.move_thing(&call, sensor, there, other, &any).await.unwrap();
        assert_eq!(place(sensor).await.group, there, "moved");
        assert!(!commands().await, "another group");

        world.delete_things(&call, &[thing]).await.unwrap();
        assert!(is_gone(thing).await, "deleted");
        assert!(matches!(world.can_command(sensor, thing).await, Err(Error::NotFound)));
        world.delete_groups(&call, &[there]).await.unwrap();
        assert!(is_gone(sensor).await, "the group is gone");
        let (last, _) = world.thing(profile, "c").await;
        assert!(!is_gone(last).await);
        world.delete_orgs(&call, &[org]).await.unwrap();
        assert!(is_gone(last).await, "the organisation is gone");
    }
}

/// A group and a profile that come back under the ids of deleted ones bring nobody's key back.
#[tokio::test]
async fn ids_that_are_used_again_bring_no_key_back() {
    for engine in engines() {
        let world = world(engine).await;
        let call = world.root.call();
        let org = world.org(&world.root).await;
        let group = world.group(org, "group").await;
        let profile = world.profile(group, "profile").await;
        let (thing, key) = world.thing(profile, "a").await;
        assert!(world.shows(INTERNAL, &key).await.is_some());
        world.device_by_id(thing).await.unwrap();
        world.delete_groups(&call, &[group]).await.unwrap();
        let other = world.group(org, "other").await;
        let again = registry::profiles::NewProfile {
            id: Some(profile),
            name: ProfileName::try_from("profile").unwrap(),
            config: None,
            metadata: JsonObject::default(),
        };
        world.create_profiles(&call, other, &[again]).await.unwrap();
        let (_, neighbour) = world.thing(profile, "b").await;
        assert_eq!(world.shows(INTERNAL, &neighbour).await.unwrap().place.group, other);
        assert!(world.shows(INTERNAL, &key).await.is_none());
        assert!(matches!(world.device_by_id(thing).await, Err(Error::NotFound)));
    }
}

#[tokio::test]
async fn a_previous_key_ends_when_it_was_said_to() {
    for engine in engines() {
        let clock = Clock::standing(Timestamp::from_millis(1_800_000_000_000));
        let world = world_at(engine, clock.clone()).await;
        let org = world.org(&world.root).await;
        let profile = world.profile(world.group(org, "group").await, "profile").await;
        let (thing, first) = world.thing(profile, "a").await;
        world.rotate_key(&world.root.call(), thing, Duration::from_secs(60)).await.unwrap();
        clock.advance(Duration::from_secs(20));
        let device = world.shows(INTERNAL, &first).await.unwrap();
        assert_eq!((device.credential, device.valid_for), (IndexedAs::Previous, Duration::from_secs(40)));
        clock.advance(Duration::from_millis(39_999));
        assert_eq!(world.shows(INTERNAL, &first).await.unwrap().valid_for, Duration::from_millis(1));
        clock.advance(Duration::from_millis(1));
        assert!(world.shows(INTERNAL, &first).await.is_none());
    }
}

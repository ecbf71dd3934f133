//! What keys a thing can have, on every engine.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "also outside of the functions marked as tests"
)]

mod support;

use registry::{
    Error, JsonObject,
    credentials::{ExternalKey, ThingKey},
    text::ThingName,
    things::{NewThing, ThingType},
};
use support::{engines, people::world};

fn new(name: &str, key: Option<&str>, external: Option<&str>) -> NewThing {
    NewThing {
        id: None,
        name: ThingName::try_from(name).unwrap(),
        kind: ThingType::Device,
        key: key.map(|key| ThingKey::custom(key).unwrap()),
        external_key: external.map(|key| ExternalKey::try_from(key).unwrap()),
        metadata: JsonObject::default(),
    }
}

/// It would be refused as unavailable otherwise, with no thing to be seen that has it.
#[tokio::test]
async fn a_value_that_a_request_gives_to_two_things_is_told_with_both() {
    for engine in engines() {
        let world = world(engine).await;
        let org = world.org(&world.root).await;
        let profile = world.profile(world.group(org, "group").await, "profile").await;
        let value = "SERIAL-0000-0001";
        for (things, expected) in [
            (
                [new("a", Some(value), None), new("b", None, Some(value))],
                (1, "external_key", "is the same as the key of item 0"),
            ),
            (
                [new("a", None, Some(value)), new("b", Some(value), None)],
                (0, "external_key", "is the same as the key of item 1"),
            ),
            (
                [new("a", None, None), new("b", Some(value), Some(value))],
                (1, "external_key", "must differ from the key"),
            ),
            (
                [new("a", Some(value), None), new("b", Some(value), None)],
                (1, "key", "is the same as in item 0"),
            ),
        ] {
            match world.create_things(&world.root.call(), profile, &things).await {
                Err(Error::Invalid(errors)) => {
                    let told: Vec<_> = errors
                        .iter()
                        .map(|error| (error.item.unwrap(), error.field.as_ref(), error.message.as_str()))
                        .collect();
                    assert_eq!(told, [expected]);
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

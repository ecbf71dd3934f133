//! Much metadata at once, on every engine: what a page and a bulk change hold is bounded.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "also outside of the functions marked as tests"
)]

mod support;

use registry::{
    Dir, Error, Expect, JsonObject, PageQuery, ThingId,
    journal::{JournalFilter, JournalOrder},
    text::ThingName,
    things::{NewThing, Scope, ThingFilter, ThingOrder, ThingType, ThingUpdate},
};
use support::{
    Engine, engines,
    people::{World, world},
};

/// How long the metadata of each thing is, as text.
const LENGTH: usize = 65_000;
/// How many of those fit onto a page: 16 MiB.
const FIT: usize = 258;
const THINGS: usize = 262;

fn metadata(filled_with: &str) -> JsonObject {
    let text = format!(r#"{{"a":"{}"}}"#, filled_with.repeat(LENGTH - 8));
    assert_eq!(text.len(), LENGTH);
    JsonObject::parse(&text).unwrap()
}

/// A world with more than fits, in ascending order.
async fn scene(engine: Engine) -> (World, Vec<ThingId>) {
    let world = world(engine).await;
    let org = world.org(&world.root).await;
    let profile = world.profile(world.group(org, "group").await, "profile").await;
    let metadata = metadata("x");
    let things: Vec<NewThing> = (0..THINGS)
        .map(|number| NewThing {
            id: None,
            name: ThingName::try_from(format!("thing {number}").as_str()).unwrap(),
            kind: ThingType::Device,
            key: None,
            external_key: None,
            metadata: metadata.clone(),
        })
        .collect();
    let made = world.create_things(&world.root.call(), profile, &things).await.unwrap();
    let mut ids: Vec<ThingId> = made.into_iter().map(|made| made.thing.id).collect();
    ids.sort_unstable();
    (world, ids)
}

fn told<T>(outcome: Result<T, Error>) -> String {
    match outcome {
        Ok(_) => "done".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn a_page_that_would_be_too_large_is_refused_with_what_fits() {
    for engine in engines() {
        let (world, ids) = scene(engine).await;
        let call = world.root.call();
        let list = async |limit: usize, offset: Option<u32>, cursor: Option<String>| {
            let limit = Some(u32::try_from(limit).unwrap());
            let query = PageQuery::new(limit, offset, cursor, ThingOrder::Id, Dir::Asc).unwrap();
            world.list_things(&call, &ThingFilter::default(), &query).await
        };
        let refusal = |fit: usize| {
            format!("limit: must be at most {fit} here: a page holds up to 16 MiB of metadata and the like")
        };
        for limit in [FIT + 1, 1_000] {
            assert_eq!(told(list(limit, None, None).await), refusal(FIT));
        }
        let page = list(FIT, None, None).await.unwrap();
        assert_eq!((page.items.len(), page.total), (FIT, THINGS as u64));
        let rest = list(1_000, None, page.next).await.unwrap();
        assert_eq!(rest.items.iter().map(|thing| thing.id).collect::<Vec<_>>(), ids[FIT..]);
        // It depends on where the page begins.
        assert_eq!(list(1_000, Some(4), None).await.unwrap().items.len(), THINGS - 4);
        assert_eq!(told(list(1_000, Some(3), None).await), refusal(FIT));
        // The connection on which the rest of the rows was left unread still works.
        for _ in 0..20 {
            assert_eq!(list(1, None, None).await.unwrap().items.len(), 1);
        }
        let few = ThingFilter {
            scope: Scope::Everywhere,
            name: Some(registry::text::SearchText::try_from("thing 7").unwrap()),
            ..Default::default()
        };
        let query = PageQuery::new(Some(1_000), None, None, ThingOrder::Name, Dir::Desc).unwrap();
        assert_eq!(world.list_things(&call, &few, &query).await.unwrap().items.len(), 11);
    }
}

#[tokio::test]
async fn a_page_of_the_journal_holds_no_more() {
    for engine in engines() {
        let (world, ids) = scene(engine).await;
        let call = world.root.call();
        for id in &ids[..140] {
            let update = ThingUpdate {
                name: ThingName::try_from(format!("{id}").as_str()).unwrap(),
                kind: None,
                metadata: Some(metadata("y")),
                key: None,
            };
            world.update_thing(&call, *id, &update, &Expect::any()).await.unwrap();
        }
        let list = async |limit: u32| {
            let query = PageQuery::new(Some(limit), None, None, JournalOrder, Dir::Desc).unwrap();
            world.list_journal(&call, &JournalFilter::default(), &query).await
        };
        // Each tells of two metadata.
        let refusal = told(list(1_000).await);
        assert!(refusal.starts_with("limit: must be at most 128 here"), "{refusal}");
        assert_eq!(list(128).await.unwrap().items.len(), 128);
    }
}

#[tokio::test]
async fn metadata_is_laid_over_that_of_as_many_things_as_can_be_answered() {
    for engine in engines() {
        let (world, ids) = scene(engine).await;
        let call = world.root.call();
        let more = JsonObject::parse(r#"{"b":1}"#).unwrap();
        // Out of order, to see in which order they are answered.
        let updates: Vec<_> = ids.iter().rev().map(|id| (*id, more.clone())).collect();
        let refusal = told(world.merge_metadata(&call, &updates).await);
        assert!(refusal.starts_with("body: must hold fewer items"), "{refusal}");
        let journal = async || {
            let filter = JournalFilter {
                action: Some(registry::text::SearchText::try_from("thing.updated").unwrap()),
                ..Default::default()
            };
            let query = PageQuery::new(Some(100), None, None, JournalOrder, Dir::Asc).unwrap();
            world.list_journal(&call, &filter, &query).await.unwrap()
        };
        assert_eq!(journal().await.total, 0);
        assert_eq!(world.view_thing(&call, ids[0]).await.unwrap().thing.metadata, metadata("x"));

        let merged = world.merge_metadata(&call, &updates[..FIT - 1]).await.unwrap();
        let order: Vec<ThingId> = merged.iter().map(|thing| thing.id).collect();
        assert_eq!(order, updates[..FIT - 1].iter().map(|(id, _)| *id).collect::<Vec<_>>());
        assert!(merged.iter().all(|thing| thing.metadata.members()["b"] == 1));
        let told = journal().await;
        assert_eq!(told.total, (FIT - 1) as u64);
        let subjects: Vec<_> = told.items.iter().map(|entry| entry.subject_id).collect();
        let expected: Vec<_> = ids[THINGS - FIT + 1..][..100].iter().map(|id| id.uuid()).collect();
        assert_eq!(subjects, expected);
        let seen = world.view_thing(&call, ids[THINGS - 1]).await.unwrap().thing;
        assert_eq!(Some(&seen), merged.first());
    }
}

//! Lists of things, on every engine: whatever way to the rows is chosen, the page is the one that
//! reading everything, filtering, sorting and cutting would give.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "also outside of the functions marked as tests"
)]

mod support;

use std::collections::BTreeMap;

use registry::{
    Dir, Expect, GroupId, JsonObject, PageQuery, ProfileId, Role,
    text::{SearchText, ThingName},
    things::{NewThing, Scope, Thing, ThingFilter, ThingOrder, ThingStatus, ThingType},
};
use support::{
    engines,
    people::{Person, World, world},
};

const KINDS: [ThingType; 3] = [ThingType::Sensor, ThingType::Device, ThingType::Gateway];

/// Four groups in two organisations, with the things of all mixed up in time, name and kind.
struct Scene {
    world: World,
    /// See everything; the first organisation; two groups; one group; nothing.
    people: Vec<(Person, Vec<GroupId>)>,
    groups: Vec<GroupId>,
    scopes: Vec<Scope>,
    things: Vec<Thing>,
}

async fn scene(engine: support::Engine) -> Scene {
    let world = world(engine).await;
    let mut orgs = Vec::new();
    let mut owners = Vec::new();
    for name in ["olga", "otto"] {
        let owner = world.person(name).await;
        orgs.push(world.org(&owner).await);
        owners.push(owner);
    }
    let mut groups = Vec::new();
    let mut profiles: Vec<ProfileId> = Vec::new();
    for at in 0..4 {
        let group = world.group(orgs[at / 3], &format!("group {at}")).await;
        profiles.push(world.profile(group, "profile").await);
        groups.push(group);
    }
    let (two, one, none) =
        (world.person("twyla").await, world.person("una").await, world.person("nora").await);
    for person in [&two, &one, &none] {
        world.join(orgs[0], person, Role::Admin).await;
    }
    world.admit(groups[0], &[(&two, Role::Viewer)]).await;
    world.admit(groups[2], &[(&two, Role::Editor), (&one, Role::Viewer)]).await;

    let mut things = Vec::new();
    for n in 0..10 {
        for (at, profile) in profiles.iter().enumerate() {
            // Upper and lower case, so that folding and code points decide the order of names.
            let name = format!("{}{:02} of {at}", if n % 2 == 0 { "Pump-" } else { "pump_" }, n * 7 % 10 * 3);
            let metadata = format!(r#"{{"site":"s{}","at":{{"room":{at}}},"tags":["t{}"]}}"#, n % 3, n % 5);
            let new = NewThing {
                id: None,
                name: ThingName::try_from(name.as_str()).unwrap(),
                kind: KINDS[n % 3],
                key: None,
                external_key: None,
                metadata: JsonObject::parse(&metadata).unwrap(),
            };
            let made = world.create_things(&world.root.call(), *profile, &[new]).await.unwrap();
            let thing = made.into_iter().next().unwrap().thing;
            things.push(match n {
                2 | 7 => world.disable_thing(&world.root.call(), thing.id, &Expect::any()).await.unwrap(),
                _ => thing,
            });
        }
    }
    let people = vec![
        (world.root.clone(), groups.clone()),
        (owners[0].clone(), groups[..3].to_vec()),
        (two, vec![groups[0], groups[2]]),
        (one, vec![groups[2]]),
        (none, Vec::new()),
    ];
    let scopes =
        vec![Scope::Everywhere, Scope::Org(orgs[0]), Scope::Group(groups[2]), Scope::Profile(profiles[2])];
    Scene { world, people, groups, scopes, things }
}

/// A filter, and what it means.
type Meaning = (ThingFilter, fn(&Thing) -> bool);

/// Filters that have an index and filters that have none, by themselves and together.
fn filters() -> Vec<Meaning> {
    fn with(name: &str, metadata: &str, kind: Option<ThingType>) -> ThingFilter {
        ThingFilter {
            name: (!name.is_empty()).then(|| SearchText::try_from(name).unwrap()),
            metadata: (!metadata.is_empty()).then(|| JsonObject::parse(metadata).unwrap()),
            kind,
            ..ThingFilter::default()
        }
    }
    fn site(thing: &Thing, site: &str) -> bool {
        thing.metadata.members()["site"] == site
    }
    vec![
        (with("", "", None), |_| true),
        (with("P_", "", None), |thing| thing.name.contains("p_")),
        (with("pUMP-1", "", None), |thing| thing.name.starts_with("Pump-1")),
        (with("", r#"{"site":"s1"}"#, None), |thing| site(thing, "s1")),
        (with("", r#"{"at":{},"tags":[]}"#, None), |_| true),
        (with("", "", Some(ThingType::Gateway)), |thing| thing.kind == Some(ThingType::Gateway)),
        (with("ump", r#"{"site":"s2","tags":["t4"]}"#, Some(ThingType::Gateway)), |thing| {
            site(thing, "s2") && thing.metadata.members()["tags"][0] == "t4"
        }),
        (with("_0", r#"{"at":{}}"#, None), |thing| thing.name.starts_with("pump_0")),
        (with("pump", r#"{"site":"elsewhere"}"#, None), |_| false),
        (ThingFilter { status: Some(ThingStatus::Disabled), ..with("", "", None) }, |thing| {
            thing.status == ThingStatus::Disabled
        }),
        (
            ThingFilter { status: Some(ThingStatus::Disabled), ..with("PUMP", r#"{"site":"s1"}"#, None) },
            |thing| thing.status == ThingStatus::Disabled && site(thing, "s1"),
        ),
        (
            ThingFilter { status: Some(ThingStatus::Enabled), ..with("", "", Some(ThingType::Gateway)) },
            |thing| thing.status == ThingStatus::Enabled && thing.kind == Some(ThingType::Gateway),
        ),
    ]
}

#[tokio::test]
async fn every_way_to_a_page_gives_the_same_page() {
    for engine in engines() {
        let Scene { world, people, groups, scopes, things } = scene(engine).await;
        for (person, visible) in &people {
            for scope in &scopes {
                let inside: &[GroupId] = match scope {
                    Scope::Everywhere => &groups,
                    Scope::Org(_) => &groups[..3],
                    Scope::Group(_) | Scope::Profile(_) => &groups[2..3],
                };
                let seen: Vec<&Thing> = things
                    .iter()
                    .filter(|thing| inside.contains(&thing.group_id) && visible.contains(&thing.group_id))
                    .collect();
                for (filter, matches) in filters() {
                    let filter = ThingFilter { scope: *scope, ..filter };
                    for order in [ThingOrder::Id, ThingOrder::Name, ThingOrder::Kind] {
                        for dir in [Dir::Asc, Dir::Desc] {
                            let expected = sorted(seen.iter().copied().filter(|t| matches(t)), order, dir);
                            let found = walk(&world, person, &filter, order, dir).await;
                            let case = format!("{engine:?} {} {filter:?} {order:?} {dir:?}", person.email);
                            match found {
                                Some(found) => assert_eq!(found, expected, "{case}"),
                                None => assert!(seen.is_empty(), "{case}"),
                            }
                        }
                    }
                }
            }
        }
    }
}

fn sorted<'a>(things: impl Iterator<Item = &'a Thing>, order: ThingOrder, dir: Dir) -> Vec<String> {
    let sorted: BTreeMap<_, _> = things
        .map(|thing| {
            let key = match order {
                ThingOrder::Id => String::new(),
                ThingOrder::Name => thing.name.to_ascii_lowercase(),
                ThingOrder::Kind => thing.kind.unwrap().as_str().to_owned(),
            };
            ((key, thing.id), thing.name.clone())
        })
        .collect();
    let names = sorted.into_values();
    match dir {
        Dir::Asc => names.collect(),
        Dir::Desc => names.rev().collect(),
    }
}

/// All pages by cursor, and some by offset; `None` where the place is not theirs to see.
async fn walk(
    world: &World,
    person: &Person,
    filter: &ThingFilter,
    order: ThingOrder,
    dir: Dir,
) -> Option<Vec<String>> {
    const LIMIT: u32 = 11;
    let page = async |offset, cursor| {
        let query = PageQuery::new(Some(LIMIT), offset, cursor, order, dir).unwrap();
        world.list_things(&person.call(), filter, &query).await
    };
    let mut found = Vec::new();
    let mut cursor = None;
    loop {
        let Ok(read) = page(None, cursor).await else { return None };
        found.extend(read.items.into_iter().map(|thing| thing.name));
        assert!(read.total_exact);
        cursor = read.next;
        if cursor.is_none() {
            assert_eq!(read.total, found.len() as u64);
            break;
        }
    }
    let skipped = page(Some(9), None).await.unwrap();
    let names: Vec<String> = skipped.items.into_iter().map(|thing| thing.name).collect();
    let rest: Vec<String> = found.iter().skip(9).take(LIMIT as usize).cloned().collect();
    assert_eq!(names, rest);
    Some(found)
}

//! Requests that meet: a thousand rounds of each race, on every engine. Whoever loses is told so in
//! a way that a client understands; no collision, time-out or inner error gets out.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "also outside of the functions marked as tests"
)]

mod support;

use std::sync::Arc;

use registry::{
    Call, ConflictKind, Expect, GroupId, JsonObject, MemberRef, NewMember, ProfileId, Role, RoleChange,
    Secret, ThingId,
    credentials::{Asker, CredentialKind, ExternalKey, Front, ThingKey},
    groups::{GroupUpdate, NewGroup},
    profiles::{NewProfile, ProfileUpdate},
    text::{Description, GroupName, ProfileName, ThingName},
    things::{NewThing, ThingType, ThingUpdate},
};
use support::{
    engines,
    people::{Person, World, world},
    race::{LANES, ROUNDS, Told, done, race, racer, rounds},
};

fn named(name: &str) -> NewThing {
    NewThing {
        id: None,
        name: ThingName::try_from(name).unwrap(),
        kind: ThingType::Device,
        key: None,
        external_key: None,
        metadata: JsonObject::default(),
    }
}

impl World {
    async fn many_groups(&self, owner: &Person) -> Vec<GroupId> {
        let org = self.org(owner).await;
        let groups: Vec<_> = (0..ROUNDS)
            .map(|number| NewGroup {
                id: None,
                name: GroupName::try_from(format!("group {number}").as_str()).unwrap(),
                description: Description::default(),
                metadata: JsonObject::default(),
            })
            .collect();
        let made = self.create_groups(&owner.call(), org, &groups).await.unwrap();
        made.into_iter().map(|group| group.id).collect()
    }

    async fn many_profiles(&self, group: GroupId) -> Vec<ProfileId> {
        let profiles: Vec<_> = (0..ROUNDS)
            .map(|number| NewProfile {
                id: None,
                name: ProfileName::try_from(format!("{number}").as_str()).unwrap(),
                config: None,
                metadata: JsonObject::default(),
            })
            .collect();
        let made = self.create_profiles(&self.root.call(), group, &profiles).await.unwrap();
        made.into_iter().map(|profile| profile.id).collect()
    }

    async fn none(&self, what: &str, sql: &str) {
        let count = self.opened.database.number(format!("SELECT count(*) FROM {sql}")).await;
        assert_eq!(count, 0, "{what}");
    }

    /// V2 and V3, of everything there is.
    async fn is_consistent(&self) {
        self.none(
            "things outside of their profile's group",
            "things t LEFT JOIN profiles p ON p.id = t.profile_id WHERE p.id IS NULL OR p.group_id <> t.group_id",
        )
        .await;
        self.none(
            "things without exactly one key",
            "things t WHERE (SELECT count(*) FROM credential_index c WHERE c.thing_id = t.id AND c.kind = 'key' AND c.verifier = t.key) <> 1",
        )
        .await;
    }
}

const ASKER: Asker = Asker { front: Front::Http, source: None };

/// V1, M1: two owners at a time try to get rid of each other, or of ownership.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_group_never_loses_its_last_owner() {
    for engine in engines() {
        let world = Arc::new(world(engine).await);
        let founder = world.person("founder").await;
        let groups = Arc::new(world.many_groups(&founder).await);
        let org = world.view_group(&founder.call(), groups[0]).await.unwrap().org_id;
        // In even groups the two own the organisation as well, and so stay owners in the one sense
        // when they lose the membership.
        let mut people = Vec::new();
        for (name, role) in
            [("anna", Role::Owner), ("bert", Role::Owner), ("carl", Role::Viewer), ("dora", Role::Viewer)]
        {
            let person = world.person(name).await;
            world.join(org, &person, role).await;
            people.push(person);
        }
        let heir = world.person("heir").await;
        world.join(org, &heir, Role::Viewer).await;
        let database = &world.opened.database;
        let literal = |person: &Person| database.literal(person.id.uuid());
        let mut sql = "DELETE FROM group_memberships;".to_owned();
        for (at, pair) in people.chunks(2).enumerate() {
            for (person, role) in [(&pair[0], "owner"), (&pair[1], "owner"), (&heir, "viewer")] {
                sql += &format!(
                    "INSERT INTO group_memberships (group_id, member_id, role) SELECT id, {}, '{role}' FROM groups \
                     WHERE CAST(substr(name, 7) AS INTEGER) % 2 = {at};",
                    literal(person)
                );
            }
        }
        database.execute(sql).await;

        let (shared, people) = (Arc::clone(&world), Arc::new(people));
        rounds(move |number| {
            let (world, people, groups, heir) =
                (Arc::clone(&shared), Arc::clone(&people), Arc::clone(&groups), heir.id);
            async move {
                let group = groups[number];
                let pair = &people[number % 2 * 2..][..2];
                let (one, other) = (pair[0].clone(), pair[1].clone());
                let demote = |by: &Person, whom: &Person, role| {
                    let (call, change) = (by.call(), [RoleChange { member_id: whom.id, role }]);
                    racer(
                        &world,
                        |world| async move { world.update_group_members(&call, group, &change).await },
                    )
                };
                let remove = |by: &Person, whom: &Person| {
                    let (call, whom) = (by.call(), [whom.id]);
                    racer(
                        &world,
                        |world| async move { world.remove_group_members(&call, group, &whom).await },
                    )
                };
                let hand_over = |by: &Person| {
                    let call = by.call();
                    racer(&world, |world| async move { world.transfer_group(&call, group, heir).await })
                };
                let told = race(match number / 2 % 6 {
                    0 => vec![demote(&one, &other, Role::Admin), demote(&other, &one, Role::Viewer)],
                    1 => vec![remove(&one, &other), remove(&other, &one)],
                    2 => vec![remove(&one, &one), remove(&other, &other)],
                    3 => vec![demote(&one, &other, Role::Editor), remove(&other, &one)],
                    4 => vec![
                        demote(&one, &one, Role::Admin),
                        remove(&other, &other),
                        demote(&one, &other, Role::Viewer),
                    ],
                    _ => vec![hand_over(&one), hand_over(&other), remove(&one, &other), remove(&other, &one)],
                })
                .await;
                assert!(done(&told) >= 1, "{told:?}");
                let allowed = [
                    Told::Done,
                    Told::NotFound,
                    Told::Forbidden,
                    Told::Conflict(ConflictKind::LastOwner),
                    Told::Conflict(ConflictKind::NotAMember),
                ];
                assert!(told.iter().all(|told| allowed.contains(told)), "{told:?}");
            }
        })
        .await;
        world
            .none(
                "groups without an owner",
                "groups g WHERE NOT EXISTS (SELECT 1 FROM group_memberships m WHERE m.group_id = g.id AND m.role = 'owner')",
            )
            .await;
    }
}

/// V8: somebody leaves the organisation while being taken into one of its groups.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_is_in_a_group_and_not_in_its_organisation() {
    for engine in engines() {
        let world = Arc::new(world(engine).await);
        let owner = world.person("owner").await;
        let org = world.org(&owner).await;
        let mut lanes = Vec::new();
        for lane in 0..LANES {
            let group = world.group(org, &format!("group {lane}")).await;
            lanes.push((world.person(&format!("person{lane}")).await, group));
        }
        let (shared, lanes) = (Arc::clone(&world), Arc::new(lanes));
        rounds(move |number| {
            let (world, lanes, owner) = (Arc::clone(&shared), Arc::clone(&lanes), owner.clone());
            async move {
                let (person, group) = &lanes[number % LANES];
                let (group, member) =
                    (*group, NewMember { who: MemberRef::Id(person.id), role: Role::Viewer });
                world.add_org_members(&owner.call(), org, std::slice::from_ref(&member)).await.unwrap();
                let remove = |by: &Person| {
                    let (call, whom) = (by.call(), [person.id]);
                    racer(&world, |world| async move { world.remove_org_members(&call, org, &whom).await })
                };
                let call = owner.call();
                let add =
                    racer(
                        &world,
                        |world| async move { world.add_group_members(&call, group, &[member]).await },
                    );
                let told = race(vec![remove(&owner), add, remove(person)]).await;
                assert!(matches!(told[1], Told::Done | Told::Conflict(ConflictKind::NotInOrg)), "{told:?}");
                assert_eq!(done(&[told[0], told[2]]), 1, "{told:?}");
                assert!(matches!(told[0], Told::Done | Told::Conflict(ConflictKind::NotAMember)), "{told:?}");
                assert!(matches!(told[2], Told::Done | Told::NotFound), "{told:?}");
            }
        })
        .await;
        world
            .none(
                "members of a group, not of its organisation",
                "group_memberships m JOIN groups g ON g.id = m.group_id \
                 LEFT JOIN org_memberships o ON o.org_id = g.org_id AND o.member_id = m.member_id WHERE o.member_id IS NULL",
            )
            .await;
    }
}

/// T2: a thing is moved to two places at once while its profile, or one of those, is deleted.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thing_is_always_on_a_profile_of_its_group() {
    for engine in engines() {
        let world = Arc::new(world(engine).await);
        let owner = world.person("owner").await;
        let org = world.org(&owner).await;
        let mut places = Vec::new();
        for name in ["from", "to", "or"] {
            let group = world.group(org, name).await;
            places.push((group, world.many_profiles(group).await));
        }
        let nursery = world.profile(places[0].0, "nursery").await;
        let things: Vec<_> = (0..ROUNDS).map(|number| named(&number.to_string())).collect();
        let things: Vec<ThingId> = world
            .create_things(&owner.call(), nursery, &things)
            .await
            .unwrap()
            .into_iter()
            .map(|made| made.thing.id)
            .collect();
        // Each on a profile of its own.
        world
            .opened
            .database
            .execute("UPDATE things SET profile_id = (SELECT p.id FROM profiles p WHERE p.group_id = things.group_id AND p.name = things.name)")
            .await;

        let (shared, places, things) = (Arc::clone(&world), Arc::new(places), Arc::new(things));
        rounds(move |number| {
            let (world, places, things, call) =
                (Arc::clone(&shared), Arc::clone(&places), Arc::clone(&things), owner.call());
            async move {
                let thing = things[number];
                let profile = |place: usize| places[place].1[number];
                let moving = |place: usize| {
                    let (group, profile, call) = (places[place].0, profile(place), call.clone());
                    racer(&world, |world| async move {
                        world.move_thing(&call, thing, group, profile, &Expect::any()).await
                    })
                };
                let deleting = |place: usize| {
                    let (profile, call) = ([profile(place)], call.clone());
                    racer(&world, |world| async move { world.delete_profiles(&call, &profile).await })
                };
                let told = race(vec![moving(1), deleting(1), moving(2), deleting(0)]).await;
                let in_use = Told::Conflict(ConflictKind::ProfileInUse { things: 1 });
                assert!(
                    told.iter().all(|told| [Told::Done, Told::NotFound, in_use].contains(told)),
                    "{told:?}"
                );
                assert_eq!(told[2], Told::Done, "nobody deletes the third place: {told:?}");
                let seen = world.view_thing(&call, thing).await.unwrap().thing;
                let at = (0..3).find(|place| profile(*place) == seen.profile_id).unwrap();
                assert_eq!(seen.group_id, places[at].0);
                assert_ne!(at, 0, "it was moved: {told:?}");
            }
        })
        .await;
        world.is_consistent().await;
    }
}

/// T3: things are put on a profile that is being deleted.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_thing_outlives_its_profile() {
    for engine in engines() {
        let world = Arc::new(world(engine).await);
        let owner = world.person("owner").await;
        let group = world.group(world.org(&owner).await, "group").await;
        let profiles = Arc::new(world.many_profiles(group).await);
        let shared = Arc::clone(&world);
        rounds(move |number| {
            let (world, profile, call) = (Arc::clone(&shared), profiles[number], owner.call());
            async move {
                let create = |name: &str| {
                    let (call, new) = (call.clone(), [named(&format!("{name} {number}"))]);
                    racer(&world, |world| async move { world.create_things(&call, profile, &new).await })
                };
                let deleting = call.clone();
                let delete =
                    racer(&world, |world| async move { world.delete_profiles(&deleting, &[profile]).await });
                let told = race(vec![create("one"), delete, create("other")]).await;
                match told[1] {
                    Told::Done => assert_eq!((told[0], told[2]), (Told::NotFound, Told::NotFound)),
                    Told::Conflict(ConflictKind::ProfileInUse { things: 1 | 2 }) => {
                        assert_eq!((told[0], told[2]), (Told::Done, Told::Done));
                    }
                    other => panic!("{other:?}"),
                }
            }
        })
        .await;
        world.is_consistent().await;
    }
}

/// V3: many claim the same value, as key and as external key, in several groups.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_value_names_one_thing() {
    for engine in engines() {
        let world = Arc::new(world(engine).await);
        let owner = world.person("owner").await;
        let org = world.org(&owner).await;
        let (mut groups, mut profiles) = (Vec::new(), Vec::new());
        for name in ["one", "two", "three"] {
            let group = world.group(org, name).await;
            profiles.push(world.profile(group, "profile").await);
            groups.push(group);
        }
        // Nobody is told of more than twenty taken keys in an hour, and each round tells four times.
        let mut claimants = Vec::new();
        for number in 0..ROUNDS / 4 {
            let claimant = world.person(&format!("claimant{number}")).await;
            world.join(org, &claimant, Role::Viewer).await;
            for group in &groups {
                world.admit(*group, &[(&claimant, Role::Editor)]).await;
            }
            claimants.push(claimant);
        }
        // One for each lane: the next round takes its value away again.
        let changing: Vec<_> = (0..LANES).map(|lane| named(&format!("changing {lane}"))).collect();
        let changing = world.create_things(&owner.call(), profiles[0], &changing).await.unwrap();
        let (shared, profiles) = (Arc::clone(&world), Arc::new(profiles));
        rounds(move |number| {
            let (world, profiles, call) =
                (Arc::clone(&shared), Arc::clone(&profiles), claimants[number % (ROUNDS / 4)].call());
            let changing = changing[number % LANES].thing.id;
            async move {
                let value = format!("claimed by many {number}");
                let key = || ThingKey::custom(&value).unwrap();
                let external = || ExternalKey::try_from(value.as_str()).unwrap();
                let create = |new: NewThing, at: usize| {
                    let (call, profile) = (call.clone(), profiles[at]);
                    racer(&world, |world| async move { world.create_things(&call, profile, &[new]).await })
                };
                let as_key =
                    |at| create(NewThing { key: Some(key()), ..named(&format!("key {number}")) }, at);
                let as_external = |at| {
                    create(
                        NewThing { external_key: Some(external()), ..named(&format!("external {number}")) },
                        at,
                    )
                };
                let setting = (call.clone(), external());
                let set = racer(&world, |world| async move {
                    world.set_external_key(&setting.0, changing, &setting.1, &Expect::any()).await
                });
                let told = race(vec![as_key(0), as_external(0), as_key(1), as_external(2), set]).await;
                assert_eq!(done(&told), 1, "{told:?}");
                let refused = Told::Conflict(ConflictKind::CredentialUnavailable);
                assert!(told.iter().all(|told| [Told::Done, refused].contains(told)), "{told:?}");
                let value = Secret::new(value);
                let as_key = world.authenticate_device(CredentialKind::Internal, &value, &ASKER).await;
                let as_external = world.authenticate_device(CredentialKind::External, &value, &ASKER).await;
                assert!(as_key.is_ok() != as_external.is_ok(), "{as_key:?} {as_external:?}");
            }
        })
        .await;
        world.is_consistent().await;
    }
}

/// T10, as V5: of several changes made to the same version exactly one happens.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_change_for_each_version() {
    for engine in engines() {
        let world = Arc::new(world(engine).await);
        let owner = world.person("owner").await;
        let org = world.org(&owner).await;
        let mut lanes = Vec::new();
        for lane in 0..LANES {
            let group = world.group(org, &format!("group {lane}")).await;
            let profile = world.profile(group, "profile").await;
            let made =
                world.create_things(&owner.call(), profile, &[named("thing")]).await.unwrap().remove(0);
            lanes.push((group, profile, made.thing.id));
        }
        let (shared, lanes) = (Arc::clone(&world), Arc::new(lanes));
        rounds(move |number| {
            let (world, (group, profile, thing), call) =
                (Arc::clone(&shared), lanes[number % LANES], owner.call());
            async move {
                let what = number / LANES % 3;
                let version = match what {
                    0 => world.view_group(&call, group).await.unwrap().version(),
                    1 => world.view_profile(&call, profile).await.unwrap().version(),
                    _ => world.view_thing(&call, thing).await.unwrap().thing.version(),
                };
                let racers = (0..3)
                    .map(|each| {
                        let call: Call = call.clone();
                        let expect = Expect::one_of(vec![version.as_str().to_owned()]);
                        let metadata =
                            Some(JsonObject::parse(&format!(r#"{{"round":{number},"by":{each}}}"#)).unwrap());
                        racer(&world, |world| async move {
                            match what {
                                0 => {
                                    let name = GroupName::try_from(format!("{group}").as_str()).unwrap();
                                    let update = GroupUpdate { name, description: None, metadata };
                                    world.update_group(&call, group, &update, &expect).await.map(drop)
                                }
                                1 => {
                                    let name = ProfileName::try_from("profile").unwrap();
                                    let update = ProfileUpdate { name, config: None, metadata };
                                    world.update_profile(&call, profile, &update, &expect).await.map(drop)
                                }
                                _ => {
                                    let name = ThingName::try_from("thing").unwrap();
                                    let update = ThingUpdate { name, kind: None, metadata, key: None };
                                    world.update_thing(&call, thing, &update, &expect).await.map(drop)
                                }
                            }
                        })
                    })
                    .collect();
                let mut told = race(racers).await;
                told.sort_by_key(|told| *told != Told::Done);
                assert_eq!(told, [Told::Done, Told::Stale, Told::Stale]);
            }
        })
        .await;
    }
}

/// V10: everything happens in a group at once, its deletion included.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_left_of_a_deleted_group() {
    for engine in engines() {
        let world = Arc::new(world(engine).await);
        let owner = world.person("owner").await;
        let groups = Arc::new(world.many_groups(&owner).await);
        let org = world.view_group(&owner.call(), groups[0]).await.unwrap().org_id;
        let member = world.person("member").await;
        world.join(org, &member, Role::Viewer).await;
        // A profile in each, under the group's own id.
        world
            .opened
            .database
            .execute("INSERT INTO profiles (id, group_id, name) SELECT id, id, 'profile' FROM groups")
            .await;
        let shared = Arc::clone(&world);
        rounds(move |number| {
            let (world, group, call, member) = (Arc::clone(&shared), groups[number], owner.call(), member.id);
            async move {
                let profile = ProfileId::from(group.uuid());
                let create = |name: &str| {
                    let (call, new) = (call.clone(), [named(name)]);
                    racer(&world, |world| async move { world.create_things(&call, profile, &new).await })
                };
                let delete = || {
                    let call = call.clone();
                    racer(&world, |world| async move { world.delete_groups(&call, &[group]).await })
                };
                let adding = call.clone();
                let add = racer(&world, |world| async move {
                    let member = NewMember { who: MemberRef::Id(member), role: Role::Viewer };
                    world.add_group_members(&adding, group, &[member]).await
                });
                let making = call.clone();
                let make = racer(&world, |world| async move {
                    let name = ProfileName::try_from("late").unwrap();
                    let new = NewProfile { id: None, name, config: None, metadata: JsonObject::default() };
                    world.create_profiles(&making, group, &[new]).await
                });
                let told = race(vec![create("one"), delete(), create("other"), add, make, delete()]).await;
                assert!(told.iter().all(|told| [Told::Done, Told::NotFound].contains(told)), "{told:?}");
                assert_eq!(done(&[told[1], told[5]]), 1, "{told:?}");
            }
        })
        .await;
        for table in
            ["groups", "profiles", "things", "group_memberships", "credential_index", "thing_key_material"]
        {
            world.none(table, table).await;
        }
    }
}

//! Profiles, on every engine.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "also outside of the functions marked as tests"
)]

mod support;

use registry::{
    ConflictKind, Denial, Dir, Error, Expect, GroupId, JsonObject, OrgId, PageQuery, ProfileId, Role,
    ThingId,
    journal::{JournalFilter, JournalOrder},
    profiles::{NewProfile, Profile, ProfileConfig, ProfileFilter, ProfileOrder, ProfileUpdate, Scope},
    text::{ProfileName, SearchText, ThingName},
    things::{NewThing, ThingType},
};
use support::{
    engines,
    people::{Person, World, after, first, world},
};

fn json(text: &str) -> JsonObject {
    JsonObject::parse(text).unwrap()
}

fn text(text: &str) -> SearchText {
    SearchText::try_from(text).unwrap()
}

fn config(text: &str) -> ProfileConfig {
    ProfileConfig::new(json(text)).unwrap()
}

fn named(name: &str) -> NewProfile {
    NewProfile {
        id: None,
        name: ProfileName::try_from(name).unwrap(),
        config: None,
        metadata: JsonObject::default(),
    }
}

fn rename(name: &str) -> ProfileUpdate {
    ProfileUpdate { name: ProfileName::try_from(name).unwrap(), config: None, metadata: None }
}

async fn thing_on(world: &World, profile: ProfileId, name: &str) -> ThingId {
    let new = NewThing {
        id: None,
        name: ThingName::try_from(name).unwrap(),
        kind: ThingType::Device,
        key: None,
        external_key: None,
        metadata: JsonObject::default(),
    };
    world.create_things(&world.root.call(), profile, &[new]).await.unwrap()[0].thing.id
}

async fn profiles_in(world: &World, group: GroupId) -> u64 {
    let filter = ProfileFilter { scope: Scope::Group(group), ..ProfileFilter::default() };
    world.list_profiles(&world.root.call(), &filter, &first(1, ProfileOrder::Id)).await.unwrap().total
}

/// One organisation, one group, and somebody of each role in it.
struct Scene {
    world: World,
    org: OrgId,
    group: GroupId,
    owner: Person,
    viewer: Person,
    editor: Person,
    admin: Person,
    /// Of the organisation, not of the group.
    colleague: Person,
    stranger: Person,
}

async fn scene(engine: support::Engine) -> Scene {
    let world = world(engine).await;
    let owner = world.person("olga").await;
    let org = world.org(&owner).await;
    let group = world.group(org, "group").await;
    let mut people = Vec::new();
    for name in ["vera", "edith", "adam", "colin"] {
        let person = world.person(name).await;
        world.join(org, &person, Role::Admin).await;
        people.push(person);
    }
    let [viewer, editor, admin, colleague] = people.try_into().unwrap();
    world.admit(group, &[(&viewer, Role::Viewer), (&editor, Role::Editor), (&admin, Role::Admin)]).await;
    let stranger = world.person("stan").await;
    Scene { world, org, group, owner, viewer, editor, admin, colleague, stranger }
}

#[tokio::test]
async fn profiles_are_made_in_the_order_given_and_read_back_as_answered() {
    for engine in engines() {
        let Scene { world, group, editor, viewer, .. } = scene(engine).await;
        let id: ProfileId = "01890000-0000-7000-8000-000000000001".parse().unwrap();
        let new = [
            NewProfile { id: Some(id), ..named("zeta") },
            NewProfile {
                config: Some(config(
                    r#"{"content_type":"application/senml+json","write_enabled":false,"retain":{"days":7},
                        "transformer":{"data_filters":["a","b"],"time_format":"unix"}}"#,
                )),
                metadata: json(r#"{"site":"north","n":1e300}"#),
                ..named("Ärger 😀")
            },
            NewProfile { config: Some(config("{}")), ..named("alpha") },
        ];
        let made = world.create_profiles(&editor.call(), group, &new).await.unwrap();
        let names: Vec<_> = made.iter().map(|profile| profile.name.as_str()).collect();
        assert_eq!(names, ["zeta", "Ärger 😀", "alpha"]);
        assert_eq!(made[0].id, id);
        assert_eq!(made[0].config, None);
        assert!(made[1].id < made[2].id, "ids are in the order of creation");
        for profile in &made {
            assert_eq!(profile.group_id, group);
            let seen = world.view_profile(&viewer.call(), profile.id).await.unwrap();
            assert_eq!(seen, Profile { role: Role::Viewer, ..profile.clone() });
            assert_eq!(seen.version(), profile.version());
        }
        assert_eq!(
            made[1].config.as_ref().unwrap().object().to_text(),
            r#"{"content_type":"application/senml+json","retain":{"days":7},"rule_enabled":true,"transformer":{"data_filters":["a","b"],"time_format":"unix"},"webhook_enabled":true,"write_enabled":false}"#
        );
        let thing = thing_on(&world, id, "pump").await;
        assert_eq!(world.view_profile_of_thing(&viewer.call(), thing).await.unwrap().id, id);

        let filter =
            JournalFilter { group: Some(group), action: Some(text("profile.")), ..Default::default() };
        let entries =
            world.list_journal(&world.root.call(), &filter, &first(10, JournalOrder)).await.unwrap();
        let told: Vec<_> =
            entries.items.iter().map(|entry| (entry.action.as_str(), entry.subject_id)).collect();
        assert_eq!(
            told,
            made.iter().map(|profile| ("profile.created", profile.id.uuid())).collect::<Vec<_>>()
        );
    }
}

#[tokio::test]
async fn what_clashes_is_told_by_item_and_nothing_is_made() {
    for engine in engines() {
        let Scene { world, org, group, editor, .. } = scene(engine).await;
        let call = editor.call();
        let elsewhere = world.group(org, "elsewhere").await;
        let taken = world.profile(elsewhere, "there").await;
        world.profile(group, "one").await;
        world.profile(group, "two").await;

        let names = [named("new"), named("two"), named("newer"), named("one")];
        let Err(Error::Conflict(conflict)) = world.create_profiles(&call, group, &names).await else {
            panic!()
        };
        assert_eq!((conflict.kind, conflict.items), (ConflictKind::ProfileNameTaken, vec![1, 3]));

        let ids = [named("new"), NewProfile { id: Some(taken), ..named("newer") }];
        let Err(Error::Conflict(conflict)) = world.create_profiles(&call, group, &ids).await else {
            panic!()
        };
        assert_eq!((conflict.kind, conflict.items), (ConflictKind::IdTaken, vec![1]));

        let twice = [named("new"), named("other"), named("new")];
        let Err(Error::Invalid(errors)) = world.create_profiles(&call, group, &twice).await else { panic!() };
        assert_eq!(errors[0].path(), "[2].name");

        let Err(Error::Invalid(_)) = world.create_profiles(&call, group, &[]).await else { panic!() };
        let many: Vec<_> = (0..1001).map(|n| named(&format!("p{n}"))).collect();
        let Err(Error::Invalid(_)) = world.create_profiles(&call, group, &many).await else { panic!() };
        assert_eq!(profiles_in(&world, group).await, 2);
        world.create_profiles(&call, group, &many[..1000]).await.unwrap();
        assert_eq!(profiles_in(&world, group).await, 1002);
    }
}

#[tokio::test]
async fn a_repeated_request_has_one_effect_and_one_answer() {
    for engine in engines() {
        let Scene { world, group, admin, .. } = scene(engine).await;
        let new = [NewProfile { config: Some(config(r#"{"x":[1,null]}"#)), ..named("once") }];
        let call = |key: &str, body: &str| admin.call().repeatable("create", key, body.as_bytes());
        let first_answer = world.create_profiles(&call("1", "body"), group, &new).await.unwrap();
        let second = world.create_profiles(&call("1", "body"), group, &new).await.unwrap();
        assert_eq!(first_answer, second);
        let other = world.create_profiles(&call("1", "other body"), group, &new).await;
        assert!(matches!(other, Err(Error::ReplayMismatch)), "{other:?}");
        let Err(Error::Conflict(_)) = world.create_profiles(&call("2", "body"), group, &new).await else {
            panic!()
        };
        assert_eq!(profiles_in(&world, group).await, 1);
        let gone = [first_answer[0].id];
        for _ in 0..2 {
            world.delete_profiles(&call("3", "body"), &gone).await.unwrap();
        }
        let again = world.delete_profiles(&call("4", "body"), &gone).await;
        assert!(matches!(again, Err(Error::NotFound)), "{again:?}");
    }
}

#[tokio::test]
async fn each_role_may_what_it_may() {
    for engine in engines() {
        let s = scene(engine).await;
        let profile = s.world.profile(s.group, "profile").await;
        let absent: ProfileId = "01890000-0000-7000-8000-00000000dead".parse().unwrap();
        for (person, role) in [
            (&s.stranger, None),
            (&s.colleague, None),
            (&s.viewer, Some(Role::Viewer)),
            (&s.editor, Some(Role::Editor)),
            (&s.admin, Some(Role::Admin)),
            (&s.owner, Some(Role::Owner)),
            (&s.world.root, Some(Role::Owner)),
        ] {
            let call = person.call();
            let expect = |outcome: Result<(), Error>, needs: Role| match (role, outcome) {
                (None, Err(Error::NotFound)) => {}
                (Some(role), Err(Error::Forbidden(Denial::Role))) if role < needs => {}
                (Some(role), Ok(())) if role >= needs => {}
                (role, outcome) => panic!("{} as {role:?}, needs {needs:?}: {outcome:?}", person.email),
            };
            expect(s.world.view_profile(&call, profile).await.map(drop), Role::Viewer);
            let in_group = ProfileFilter { scope: Scope::Group(s.group), ..Default::default() };
            let list = s.world.list_profiles(&call, &in_group, &first(10, ProfileOrder::Id)).await;
            expect(list.map(drop), Role::Viewer);
            let made = s.world.create_profiles(&call, s.group, &[named(person.email.as_str())]).await;
            let made_one = made.as_ref().ok().map(|made| made[0].id);
            expect(made.map(drop), Role::Editor);
            let update = s.world.update_profile(&call, profile, &rename("profile"), &Expect::any()).await;
            expect(update.map(drop), Role::Editor);
            let other = match made_one {
                Some(id) => id,
                None => s.world.profile(s.group, &format!("for {}", person.email)).await,
            };
            expect(s.world.delete_profiles(&call, &[other]).await, Role::Admin);

            // What is not there looks like what is not theirs.
            assert!(matches!(s.world.view_profile(&call, absent).await, Err(Error::NotFound)));
            assert!(matches!(s.world.delete_profiles(&call, &[profile, absent]).await, Err(Error::NotFound)));
            let seen = s.world.list_profiles(&call, &Default::default(), &first(10, ProfileOrder::Id)).await;
            assert_eq!(seen.unwrap().total > 0, role.is_some(), "{}", person.email);
        }
        s.world.view_profile(&s.viewer.call(), profile).await.unwrap();
    }
}

#[tokio::test]
async fn an_update_replaces_what_it_names_and_nothing_else() {
    for engine in engines() {
        let Scene { world, group, editor, .. } = scene(engine).await;
        let call = editor.call();
        world.profile(group, "taken").await;
        let new = NewProfile {
            config: Some(config(r#"{"content_type":"text/plain"}"#)),
            metadata: json(r#"{"a":1}"#),
            ..named("first")
        };
        let made = world.create_profiles(&call, group, &[new]).await.unwrap().remove(0);

        let renamed = world.update_profile(&call, made.id, &rename("second"), &Expect::any()).await.unwrap();
        assert_eq!(renamed, Profile { name: "second".into(), ..made.clone() });
        assert_ne!(renamed.version(), made.version());
        let stale = Expect::one_of(vec![made.version().as_str().into()]);
        let outcome = world.update_profile(&call, made.id, &rename("third"), &stale).await;
        assert!(matches!(outcome, Err(Error::Stale)));
        let current = Expect::one_of(vec!["other".into(), renamed.version().as_str().into()]);
        let update = ProfileUpdate {
            config: Some(Some(config(r#"{"rule_enabled":false}"#))),
            metadata: Some(JsonObject::default()),
            ..rename("third")
        };
        let after = world.update_profile(&call, made.id, &update, &current).await.unwrap();
        assert_eq!(
            after.config.as_ref().unwrap().object().to_text(),
            r#"{"rule_enabled":false,"webhook_enabled":true,"write_enabled":true}"#
        );
        assert_eq!(after.metadata, JsonObject::default());
        assert_eq!(world.view_profile(&call, made.id).await.unwrap(), after);
        let without = ProfileUpdate { config: Some(None), ..rename("third") };
        let after = world.update_profile(&call, made.id, &without, &Expect::any()).await.unwrap();
        assert_eq!(after.config, None);
        assert_eq!(world.view_profile(&call, made.id).await.unwrap(), after);

        let outcome = world.update_profile(&call, made.id, &rename("taken"), &Expect::any()).await;
        let Err(Error::Conflict(conflict)) = outcome else { panic!() };
        assert_eq!(conflict.kind, ConflictKind::ProfileNameTaken);

        let filter = JournalFilter { subject: Some(made.id.uuid()), ..Default::default() };
        let entries =
            world.list_journal(&world.root.call(), &filter, &first(10, JournalOrder)).await.unwrap();
        let told: Vec<_> = entries
            .items
            .iter()
            .map(|entry| {
                let name = |changes: &JsonObject| {
                    changes.members().get("name").map_or("null".to_owned(), ToString::to_string)
                };
                entry.changes.as_ref().map_or(String::new(), name)
            })
            .collect();
        assert_eq!(
            told,
            ["", r#"{"after":"second","before":"first"}"#, r#"{"after":"third","before":"second"}"#, "null"]
        );
    }
}

#[tokio::test]
async fn a_profile_that_things_use_stays() {
    for engine in engines() {
        let Scene { world, group, admin, .. } = scene(engine).await;
        let call = admin.call();
        let (free, used) = (world.profile(group, "free").await, world.profile(group, "used").await);
        let things = [thing_on(&world, used, "one").await, thing_on(&world, used, "two").await];
        let outcome = world.delete_profiles(&call, &[used, free, used]).await;
        let Err(Error::Conflict(conflict)) = outcome else { panic!() };
        assert_eq!((conflict.kind, conflict.items), (ConflictKind::ProfileInUse { things: 2 }, vec![0, 2]));
        assert_eq!(profiles_in(&world, group).await, 2);

        let target = world.profile(group, "target").await;
        world.move_thing(&call, things[0], group, target, &Expect::any()).await.unwrap();
        world.delete_things(&call, &things[1..]).await.unwrap();
        world.delete_profiles(&call, &[used, free, used]).await.unwrap();
        assert!(matches!(world.view_profile(&call, used).await, Err(Error::NotFound)));
        assert!(matches!(world.delete_profiles(&call, &[used]).await, Err(Error::NotFound)));
        assert_eq!(profiles_in(&world, group).await, 1);
        let filter = JournalFilter { action: Some(text("profile.deleted")), ..Default::default() };
        let entries =
            world.list_journal(&world.root.call(), &filter, &first(10, JournalOrder)).await.unwrap();
        let mut told: Vec<_> =
            entries.items.iter().map(|entry| entry.subject_name.as_deref().unwrap()).collect();
        told.sort_unstable();
        assert_eq!(told, ["free", "used"]);
    }
}

#[tokio::test]
async fn a_thing_never_uses_a_profile_of_another_group() {
    for engine in engines() {
        let Scene { world, org, group, owner, editor, .. } = scene(engine).await;
        let other = world.group(org, "other").await;
        let (here, there) = (world.profile(group, "here").await, world.profile(other, "there").await);
        let thing = thing_on(&world, here, "pump").await;
        let outcome = world.move_thing(&owner.call(), thing, group, there, &Expect::any()).await;
        let Err(Error::Invalid(errors)) = outcome else { panic!("{outcome:?}") };
        assert_eq!(errors[0].field, "profile_id");
        // Editing where it comes from is not enough.
        let outcome = world.move_thing(&editor.call(), thing, other, there, &Expect::any()).await;
        assert!(matches!(outcome, Err(Error::NotFound)), "{outcome:?}");
        let moved = world.move_thing(&owner.call(), thing, other, there, &Expect::any()).await.unwrap();
        assert_eq!((moved.group_id, moved.profile_id), (other, there));
        assert!(matches!(world.view_thing(&editor.call(), thing).await, Err(Error::NotFound)));
        // Whose profile it was can be deleted now, and so can the group with all that is in the other.
        world.delete_profiles(&owner.call(), &[here]).await.unwrap();
        world.delete_groups(&owner.call(), &[group]).await.unwrap();
        world.view_thing(&owner.call(), thing).await.unwrap();
    }
}

#[tokio::test]
async fn lists_filter_sort_and_page() {
    for engine in engines() {
        let Scene { world, org, group, owner, viewer, stranger, .. } = scene(engine).await;
        let other = world.group(org, "other").await;
        world.profile(other, "50% more").await;
        let new: Vec<_> = (0..25)
            .map(|n| NewProfile {
                config: (n % 2 == 0).then(|| config(r#"{"content_type":"application/json"}"#)),
                metadata: json(&format!(r#"{{"n":{},"tags":["a","{}"]}}"#, n % 5, n % 3)),
                ..named(&format!("{}robe {}", if n % 2 == 0 { 'P' } else { 'p' }, 24 - n))
            })
            .collect();
        let made = world.create_profiles(&world.root.call(), group, &new).await.unwrap();
        let count = async |person: &Person, filter: ProfileFilter| {
            world
                .list_profiles(&person.call(), &filter, &first(100, ProfileOrder::Id))
                .await
                .unwrap()
                .items
                .len()
        };
        let name = |text: &str| ProfileFilter { name: Some(self::text(text)), ..ProfileFilter::default() };
        assert_eq!(count(&viewer, ProfileFilter::default()).await, 25);
        assert_eq!(count(&owner, ProfileFilter::default()).await, 26);
        assert_eq!(count(&stranger, ProfileFilter::default()).await, 0);
        assert_eq!(count(&viewer, name("ROBE 1")).await, 11);
        assert_eq!(count(&owner, name("%")).await, 1);
        assert_eq!(count(&owner, name("_")).await, 0);
        assert_eq!(count(&owner, name("\\")).await, 0);
        let within = |scope| ProfileFilter { scope, ..ProfileFilter::default() };
        assert_eq!(count(&owner, within(Scope::Group(other))).await, 1);
        assert_eq!(count(&owner, within(Scope::Org(org))).await, 26);
        assert_eq!(count(&viewer, within(Scope::Org(org))).await, 25);
        let content = text("application/json");
        let filter = ProfileFilter { content_type: Some(content), ..Default::default() };
        assert_eq!(count(&viewer, filter).await, 13);
        let filter = ProfileFilter { metadata: Some(json(r#"{"n":2,"tags":["0"]}"#)), ..Default::default() };
        assert_eq!(count(&viewer, filter).await, 1);

        for (order, by_name) in [(ProfileOrder::Id, false), (ProfileOrder::Name, true)] {
            let filter = within(Scope::Group(group));
            let mut seen = Vec::new();
            let mut page = world.list_profiles(&viewer.call(), &filter, &first(7, order)).await.unwrap();
            loop {
                assert_eq!((page.total, page.offset), (25, seen.len() as u64));
                seen.append(&mut page.items);
                let Some(next) = page.next else { break };
                let foreign =
                    world.list_profiles(&owner.call(), &filter, &after(7, order, next.clone())).await;
                assert!(matches!(foreign, Err(Error::Invalid(_))), "another person's cursor");
                page = world.list_profiles(&viewer.call(), &filter, &after(7, order, next)).await.unwrap();
            }
            let mut wanted = made.clone();
            if by_name {
                wanted.sort_by_key(|profile| profile.name.to_ascii_lowercase());
            }
            let ids = |profiles: &[Profile]| profiles.iter().map(|profile| profile.id).collect::<Vec<_>>();
            assert_eq!(ids(&seen), ids(&wanted));
            let down = PageQuery::new(Some(100), None, None, order, Dir::Desc).unwrap();
            let down = world.list_profiles(&viewer.call(), &filter, &down).await.unwrap();
            wanted.reverse();
            assert_eq!(ids(&down.items), ids(&wanted));
        }
    }
}

#[tokio::test]
async fn records_of_older_programs_read_as_they_were_meant() {
    for engine in engines() {
        let Scene { world, group, viewer, .. } = scene(engine).await;
        let (plain, none) = (world.profile(group, "plain").await, world.profile(group, "none").await);
        let database = &world.opened.database;
        let sql = format!(
            r#"UPDATE profiles SET config = '{{"content_type":"application/json","write_enabled":false}}' WHERE id = {}"#,
            database.literal(plain.uuid())
        );
        database.execute(sql).await;
        let sql = format!("UPDATE profiles SET metadata = NULL WHERE id = {}", database.literal(none.uuid()));
        database.execute(sql).await;
        let seen = world.view_profile(&viewer.call(), plain).await.unwrap();
        assert_eq!(
            seen.config.unwrap().object().to_text(),
            r#"{"content_type":"application/json","rule_enabled":true,"webhook_enabled":true,"write_enabled":false}"#
        );
        let seen = world.view_profile(&viewer.call(), none).await.unwrap();
        assert_eq!((seen.config, seen.metadata), (None, JsonObject::default()));
    }
}

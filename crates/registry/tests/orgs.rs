//! Organisations, on every engine.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "also outside of the functions marked as tests"
)]

mod support;

use registry::{
    Dir, Expect, NewOrg, OrgFilter, OrgOrder, OrgUpdate, PageQuery, Role,
    text::{OrgName, SearchText},
};
use support::{
    engines,
    orgs::{Scene, absent, group_of, journal, json, member, named_group, new_org, roles, scene, told},
    people::{Person, after, first, world},
};

#[tokio::test]
async fn an_organisation_is_made_by_its_owner_and_seen_by_its_members() {
    for engine in engines() {
        let Scene { world, org, owner, admin, editor, viewer, stranger } = scene(engine).await;
        let seen = world.view_org(&owner.call(), org).await.unwrap();
        assert_eq!(
            (seen.name.as_str(), seen.description.as_str(), seen.role),
            ("org", "for tests", Role::Owner)
        );
        for (person, role) in [(&admin, Role::Admin), (&editor, Role::Editor), (&viewer, Role::Viewer)] {
            let same = world.view_org(&person.call(), org).await.unwrap();
            assert_eq!(same.role, role);
            assert_eq!(same.version(), seen.version());
        }
        assert_eq!(world.view_org(&world.root.call(), org).await.unwrap().role, Role::Owner);
        for org in [org, absent().into()] {
            assert_eq!(told(world.view_org(&stranger.call(), org).await), "NotFound");
            assert_eq!(told(world.delete_orgs(&stranger.call(), &[org]).await), "NotFound");
            assert_eq!(
                told(world.remove_org_members(&stranger.call(), org, &[stranger.id]).await),
                "NotFound"
            );
            assert_eq!(told(world.transfer_org(&stranger.call(), org, owner.id).await), "NotFound");
        }
        let taken = NewOrg { id: Some(org), ..new_org("other", "{}") };
        assert_eq!(told(world.create_org(&stranger.call(), &taken).await), "IdTaken []");

        let update = OrgUpdate { name: OrgName::try_from("new").unwrap(), description: None, metadata: None };
        let any = Expect::any();
        for (person, outcome) in [(&viewer, "Role"), (&editor, "Role"), (&stranger, "NotFound")] {
            assert_eq!(told(world.update_org(&person.call(), org, &update, &any).await), outcome);
        }
        let expect = Expect::one_of(vec![seen.version().as_str().to_owned()]);
        let changed = world.update_org(&admin.call(), org, &update, &expect).await.unwrap();
        assert_eq!((changed.name.as_str(), changed.description.as_str()), ("new", "for tests"));
        assert_eq!(told(world.update_org(&admin.call(), org, &update, &expect).await), "Stale");
        let recorded = journal(&world, org).await;
        assert_eq!(
            recorded.iter().map(|record| record.action.as_str()).collect::<Vec<_>>(),
            ["org.created", "member.added", "member.added", "member.added", "org.updated"]
        );
        let changes = recorded[4].changes.as_ref().unwrap().to_text();
        assert_eq!(changes, r#"{"name":{"after":"new","before":"org"}}"#);
    }
}

#[tokio::test]
async fn lists_show_what_one_belongs_to() {
    for engine in engines() {
        let world = world(engine).await;
        let (ada, eve) = (world.person("ada").await, world.person("eve").await);
        for (name, metadata) in
            [("beta", r#"{"tags":["x","y"]}"#), ("Alpha", r#"{"tags":["x"]}"#), ("ägypt", "{}")]
        {
            world.create_org(&ada.call(), &new_org(name, metadata)).await.unwrap();
        }
        let shared = world.create_org(&eve.call(), &new_org("shared", "{}")).await.unwrap().id;
        world.add_org_members(&eve.call(), shared, &[member(&ada, Role::Viewer)]).await.unwrap();
        world.create_org(&eve.call(), &new_org("hers", "{}")).await.unwrap();
        let list = async |person: &Person, filter: &OrgFilter, order, dir| {
            let query = PageQuery::new(Some(10), None, None, order, dir).unwrap();
            let page = world.list_orgs(&person.call(), filter, &query).await.unwrap();
            assert_eq!(page.total, page.items.len() as u64);
            page.items
                .into_iter()
                .map(|org| format!("{} {}", org.name, org.role.as_str()))
                .collect::<Vec<_>>()
        };
        let all = OrgFilter::default();
        assert_eq!(
            list(&ada, &all, OrgOrder::Name, Dir::Asc).await,
            ["Alpha owner", "beta owner", "shared viewer", "ägypt owner"]
        );
        assert_eq!(list(&eve, &all, OrgOrder::CreatedAt, Dir::Desc).await, ["hers owner", "shared owner"]);
        assert_eq!(list(&world.root, &all, OrgOrder::UpdatedAt, Dir::Asc).await.len(), 5);
        let named = |text: &str| OrgFilter { name: Some(SearchText::try_from(text).unwrap()), ..all.clone() };
        assert_eq!(list(&ada, &named("ALPH"), OrgOrder::Id, Dir::Asc).await, ["Alpha owner"]);
        assert_eq!(list(&ada, &named("%"), OrgOrder::Id, Dir::Asc).await, [""; 0]);
        let tagged = OrgFilter { metadata: Some(json(r#"{"tags":["y"]}"#)), ..all.clone() };
        assert_eq!(list(&ada, &tagged, OrgOrder::Id, Dir::Asc).await, ["beta owner"]);
        let page = world.list_orgs(&ada.call(), &all, &first(3, OrgOrder::Name)).await.unwrap();
        let next = page.next.unwrap();
        let rest = world.list_orgs(&ada.call(), &all, &after(3, OrgOrder::Name, next.clone())).await.unwrap();
        assert_eq!(rest.items[0].name, "ägypt");
        let stolen = world.list_orgs(&eve.call(), &all, &after(3, OrgOrder::Name, next)).await;
        assert!(told(stolen).starts_with("cursor: "));
    }
}

#[tokio::test]
async fn a_platform_administrator_owns_the_groups_they_make_as_a_member_too() {
    for engine in engines() {
        let Scene { world, org, editor, .. } = scene(engine).await;
        world.join(org, &world.root, Role::Viewer).await;
        for (person, role) in [(&world.root, Role::Owner), (&editor, Role::Admin)] {
            let new = [named_group(role.as_str())];
            let made = world.create_groups(&person.call(), org, &new).await.unwrap().remove(0);
            assert_eq!(made.role, role);
            assert_eq!(world.view_group(&person.call(), made.id).await.unwrap(), made);
        }
    }
}

#[tokio::test]
async fn an_organisation_takes_its_groups_along() {
    for engine in engines() {
        let Scene { world, org, owner, admin, .. } = scene(engine).await;
        let other = world.create_org(&owner.call(), &new_org("other", "{}")).await.unwrap().id;
        let foreign = world.create_org(&admin.call(), &new_org("foreign", "{}")).await.unwrap().id;
        let groups = [
            group_of(&world, &owner, org, "a").await,
            group_of(&world, &admin, org, "b").await,
            group_of(&world, &owner, other, "a").await,
        ];
        for group in groups {
            world.profile(group, "p").await;
        }
        assert_eq!(told(world.delete_orgs(&admin.call(), &[org]).await), "Role");
        assert_eq!(told(world.delete_orgs(&owner.call(), &[org, foreign]).await), "NotFound");
        assert_eq!(told(world.delete_orgs(&owner.call(), &[]).await), "org_ids: must hold at least one item");
        assert!(world.view_group(&owner.call(), groups[0]).await.is_ok(), "all or nothing");
        world.delete_orgs(&owner.call(), &[other, org, org]).await.unwrap();
        for gone in [org, other] {
            assert_eq!(told(world.view_org(&world.root.call(), gone).await), "NotFound");
            let deleted =
                journal(&world, gone).await.iter().filter(|one| one.action == "group.deleted").count();
            assert_eq!(deleted, if gone == org { 2 } else { 1 });
            assert_eq!(journal(&world, gone).await.last().unwrap().action, "org.deleted");
        }
        for table in ["groups", "group_memberships", "profiles"] {
            assert_eq!(
                world.opened.database.number(format!("SELECT count(*) FROM {table}")).await,
                0,
                "{table}"
            );
        }
        assert_eq!(roles(&world, foreign).await, [(admin.id, Role::Owner)]);
    }
}

#[tokio::test]
async fn an_organisation_goes_while_groups_come_and_go() {
    for engine in engines() {
        let world = world(engine).await;
        let owner = world.person("olga").await;
        for round in 0..25 {
            let org = world.create_org(&owner.call(), &new_org("org", "{}")).await.unwrap().id;
            let group = group_of(&world, &owner, org, "a").await;
            let calls = [owner.call(), owner.call(), owner.call()];
            let new = [named_group("b")];
            let outcomes = tokio::join!(
                async { told(world.delete_orgs(&calls[0], &[org]).await) },
                async { told(world.create_groups(&calls[1], org, &new).await) },
                async { told(world.delete_groups(&calls[2], &[group]).await) }
            );
            assert_eq!(outcomes.0, "()", "{round}");
            assert!(outcomes.1.starts_with("[Group") || outcomes.1 == "NotFound", "{round}: {outcomes:?}");
            assert!(outcomes.2 == "()" || outcomes.2 == "NotFound", "{round}: {outcomes:?}");
            assert_eq!(world.opened.database.number("SELECT count(*) FROM groups").await, 0, "{round}");
        }
    }
}

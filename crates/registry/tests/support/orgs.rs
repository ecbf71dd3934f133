//! An organisation for tests, with somebody of each role.

#![allow(dead_code, unreachable_pub, reason = "every test crate includes this file and uses part of it")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test without its scene cannot go on")]

use registry::{
    Error, GroupId, JsonObject, MemberFilter, MemberOrder, MemberRef, NewMember, NewOrg, OrgId, Role, UserId,
    groups::NewGroup,
    journal::{JournalFilter, JournalOrder, Record},
    text::{Description, GroupName, OrgName},
};

use super::{
    Engine,
    people::{Person, World, first, world},
};

pub fn json(text: &str) -> JsonObject {
    JsonObject::parse(text).unwrap()
}

pub fn new_org(name: &str, metadata: &str) -> NewOrg {
    NewOrg {
        id: None,
        name: OrgName::try_from(name).unwrap(),
        description: Description::try_from("for tests").unwrap(),
        metadata: json(metadata),
    }
}

pub fn member(who: &Person, role: Role) -> NewMember {
    NewMember { who: MemberRef::Id(who.id), role }
}

pub fn absent() -> sqlx::types::Uuid {
    sqlx::types::Uuid::from_u128(7)
}

/// The error, without its type.
pub fn told<T: std::fmt::Debug>(outcome: Result<T, Error>) -> String {
    match outcome {
        Ok(value) => format!("{value:?}"),
        Err(Error::Forbidden(denial)) => format!("{denial:?}"),
        Err(Error::Conflict(conflict)) => format!("{:?} {:?}", conflict.kind, conflict.items),
        Err(Error::Invalid(errors)) => errors
            .iter()
            .map(|error| format!("{}: {}", error.path(), error.message))
            .collect::<Vec<_>>()
            .join("; "),
        Err(other) => format!("{other:?}"),
    }
}

pub async fn group_of(world: &World, caller: &Person, org: OrgId, name: &str) -> GroupId {
    world.create_groups(&caller.call(), org, &[named_group(name)]).await.unwrap()[0].id
}

pub fn named_group(name: &str) -> NewGroup {
    NewGroup {
        id: None,
        name: GroupName::try_from(name).unwrap(),
        description: Description::default(),
        metadata: JsonObject::default(),
    }
}

pub async fn roles(world: &World, org: OrgId) -> Vec<(UserId, Role)> {
    let query = first(1000, MemberOrder::Id);
    let page =
        world.list_org_members(&world.root.call(), org, &MemberFilter::default(), &query).await.unwrap();
    page.items.into_iter().map(|member| (member.member_id, member.role)).collect()
}

pub async fn group_roles(world: &World, group: GroupId) -> Vec<(UserId, Role)> {
    let query = first(1000, MemberOrder::Id);
    let page =
        world.list_group_members(&world.root.call(), group, &MemberFilter::default(), &query).await.unwrap();
    page.items.into_iter().map(|member| (member.member_id, member.role)).collect()
}

/// The journal of an organisation, oldest first.
pub async fn journal(world: &World, org: OrgId) -> Vec<Record> {
    let filter = JournalFilter { org: Some(org), ..JournalFilter::default() };
    world.list_journal(&world.root.call(), &filter, &first(1000, JournalOrder)).await.unwrap().items
}

/// An organisation with somebody of each role, and somebody of none.
pub struct Scene {
    pub world: World,
    pub org: OrgId,
    pub owner: Person,
    pub admin: Person,
    pub editor: Person,
    pub viewer: Person,
    pub stranger: Person,
}

impl Scene {
    pub fn of(&self, role: Role) -> &Person {
        match role {
            Role::Viewer => &self.viewer,
            Role::Editor => &self.editor,
            Role::Admin => &self.admin,
            Role::Owner => &self.owner,
        }
    }
}

pub async fn scene(engine: Engine) -> Scene {
    let world = world(engine).await;
    let [owner, admin, editor, viewer, stranger] = [
        world.person("olga").await,
        world.person("adam").await,
        world.person("edith").await,
        world.person("vera").await,
        world.person("stan").await,
    ];
    let org = world.create_org(&owner.call(), &new_org("org", "{}")).await.unwrap().id;
    let new = [member(&admin, Role::Admin), member(&editor, Role::Editor), member(&viewer, Role::Viewer)];
    world.add_org_members(&owner.call(), org, &new).await.unwrap();
    Scene { world, org, owner, admin, editor, viewer, stranger }
}

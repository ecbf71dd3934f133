//! People for tests, in organisations and groups.

#![allow(dead_code, unreachable_pub, reason = "every test crate includes this file and uses part of it")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test without its people cannot go on")]

use std::{
    net::Ipv4Addr,
    ops::Deref,
    sync::atomic::{AtomicU32, Ordering},
};

use registry::{
    Actor, Call, Clock, Dir, GroupId, JsonObject, MemberRef, NewMember, OrgId, PageQuery, Password,
    ProfileId, Registry, Role, Secret, Settings, UserId, Within,
    groups::NewGroup,
    identity::{orgs::NewOrg, tokens::NewToken},
    profiles::NewProfile,
    text::{Description, Email, GroupName, OrgName, ProfileName, TokenName},
};

use sqlx::types::Uuid;

use super::{Engine, Opened};

/// A registry with somebody in it.
pub struct World {
    pub opened: Opened,
    /// The platform's administrator.
    pub root: Person,
}

/// Somebody who is logged in.
#[derive(Clone, Debug)]
pub struct Person {
    pub id: UserId,
    pub email: Email,
    actor: Actor,
}

impl Person {
    /// A request of theirs.
    pub fn call(&self) -> Call {
        Call::new(self.actor.clone(), "test")
    }
}

impl Deref for World {
    type Target = Registry;
    fn deref(&self) -> &Registry {
        &self.opened
    }
}

/// Everybody's.
pub const PASSWORD: &str = "correct horse battery staple";

/// A registry on a database of its own, with its first administrator.
pub async fn world(engine: Engine) -> World {
    world_at(engine, Clock::system()).await
}

/// The same with a clock of the test's own.
pub async fn world_at(engine: Engine, clock: Clock) -> World {
    world_with(engine, clock, |_| {}).await
}

/// The same, set up otherwise.
pub async fn world_with(engine: Engine, clock: Clock, change: impl FnOnce(&mut Settings)) -> World {
    let database = super::fresh(engine).await;
    let mut settings = super::settings(&database, clock);
    change(&mut settings);
    let opened = Opened { registry: Registry::open(settings).await.unwrap(), database };
    let email = address("root");
    let password = Password::try_from(Secret::new(PASSWORD)).unwrap();
    opened.ensure_root(email.clone(), Some(password)).await.unwrap().unwrap();
    let root = log_in(&opened, email).await;
    World { opened, root }
}

fn address(name: &str) -> Email {
    Email::try_from(format!("{name}@example.com").as_str()).unwrap()
}

/// Logs somebody in.
pub async fn log_in(registry: &Registry, email: Email) -> Person {
    static SOURCES: AtomicU32 = AtomicU32::new(0x0a00_0000);
    // Everybody comes from another network, so that nobody's attempts count for another.
    let source = Ipv4Addr::from(SOURCES.fetch_add(256, Ordering::Relaxed));
    let call = Call::new(Actor::Anonymous, "test");
    let password = Secret::new(PASSWORD);
    let session = registry.create_session(&call, &email, &password, source.into()).await.unwrap();
    let actor = registry.authenticate(&session.token.unwrap()).await.unwrap();
    Person { id: session.user_id, email, actor }
}

impl World {
    /// Somebody new, who logs in.
    pub async fn person(&self, name: &str) -> Person {
        let email = address(name);
        let password = Password::try_from(Secret::new(PASSWORD)).unwrap();
        self.create_user(&self.root.call(), &email, &password, &JsonObject::default(), None).await.unwrap();
        log_in(self, email).await
    }

    /// Somebody as they come in by an access token.
    pub async fn by_token(&self, person: &Person, can_write: bool, within: Option<Within>) -> Person {
        let name = TokenName::try_from("token").unwrap();
        let new = NewToken { name, can_write, within, expires_at: None };
        let made = self.create_token(&person.call(), &new).await.unwrap();
        let actor = self.authenticate(&made.value.unwrap()).await.unwrap();
        Person { actor, ..person.clone() }
    }

    /// An organisation that `owner` owns.
    pub async fn org(&self, owner: &Person) -> OrgId {
        let new = NewOrg {
            id: None,
            name: OrgName::try_from("org").unwrap(),
            description: Description::default(),
            metadata: JsonObject::default(),
        };
        self.create_org(&owner.call(), &new).await.unwrap().id
    }

    /// Makes somebody a member of an organisation.
    pub async fn join(&self, org: OrgId, person: &Person, role: Role) {
        let first = NewMember { who: MemberRef::Id(person.id), role: role.min(Role::Admin) };
        self.add_org_members(&self.root.call(), org, &[first]).await.unwrap();
        if role == Role::Owner {
            self.crown("org_memberships", "org_id", org.uuid(), person).await;
        }
    }

    /// Makes a member an owner beside the present ones, as no request can.
    async fn crown(&self, table: &str, column: &str, place: Uuid, person: &Person) {
        let database = &self.opened.database;
        let (place, member) = (database.literal(place), database.literal(person.id.uuid()));
        let sql =
            format!("UPDATE {table} SET role = 'owner' WHERE {column} = {place} AND member_id = {member}");
        database.execute(sql).await;
    }

    /// A group in an organisation; the organisation's owners own it.
    pub async fn group(&self, org: OrgId, name: &str) -> GroupId {
        let new = NewGroup {
            id: None,
            name: GroupName::try_from(name).unwrap(),
            description: Description::default(),
            metadata: JsonObject::default(),
        };
        self.create_groups(&self.root.call(), org, &[new]).await.unwrap()[0].id
    }

    /// Makes members of the organisation members of a group.
    pub async fn admit(&self, group: GroupId, members: &[(&Person, Role)]) {
        let new: Vec<_> = members
            .iter()
            .map(|(person, role)| NewMember { who: MemberRef::Id(person.id), role: (*role).min(Role::Admin) })
            .collect();
        self.add_group_members(&self.root.call(), group, &new).await.unwrap();
        for (person, _) in members.iter().filter(|(_, role)| *role == Role::Owner) {
            self.crown("group_memberships", "group_id", group.uuid(), person).await;
        }
    }

    /// A profile in a group.
    pub async fn profile(&self, group: GroupId, name: &str) -> ProfileId {
        let new = NewProfile {
            id: None,
            name: ProfileName::try_from(name).unwrap(),
            config: None,
            metadata: JsonObject::default(),
        };
        self.create_profiles(&self.root.call(), group, &[new]).await.unwrap()[0].id
    }
}

/// The first page of a list, ascending.
pub fn first<O>(limit: u32, order: O) -> PageQuery<O> {
    PageQuery::new(Some(limit), None, None, order, Dir::Asc).unwrap()
}

/// The page after the one whose `next` this is, ascending.
pub fn after<O>(limit: u32, order: O, next: String) -> PageQuery<O> {
    PageQuery::new(Some(limit), None, Some(next), order, Dir::Asc).unwrap()
}

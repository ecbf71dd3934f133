//! One engine: a registry, and what the test remembers of it (real ids, real secrets) by the model's
//! numbers.

use std::{collections::BTreeMap, net::Ipv4Addr, sync::Arc, time::Duration};

use registry::{
    Actor, Call, Clock, Conflict, Error, GroupId, InviteId, InviteLimits, InviteState, JsonObject, OrgId,
    Password, ProfileId, Registry, Secret, Settings, ThingId, Timestamp, TokenId, UserId, Within,
    credentials::{Asker, CredentialKind, ExternalKey, Front, ThingKey},
    secret::Prefix,
    text::Email,
};
use serde_json::{Value, json};
use sqlx::types::Uuid;

use super::{
    commands::{Address, By, Command, Id, Key, NOBODY, Object, PEOPLE, Person, Place, ROOT},
    doors::{OPEN, PER_HOUR},
    reference::{Answer, Outcome, Refusal, START, Step, Wanted, World, address},
};
use crate::support::{self, Database, Engine};

const PASSWORD: &str = "correct horse battery staple";

/// What the test remembers.
#[derive(Clone, Default)]
pub struct Memory {
    pub people: Vec<UserId>,
    pub emails: Vec<Email>,
    /// People as they last logged in, for looking at what they see.
    pub actors: BTreeMap<Person, Actor>,
    pub sessions: BTreeMap<Id, Secret>,
    pub tokens: BTreeMap<Id, (Option<TokenId>, Secret)>,
    pub keys: BTreeMap<Id, Secret>,
    pub invites: BTreeMap<Id, InviteId>,
    /// The secrets of invites.
    pub secrets: BTreeMap<Id, Secret>,
    /// Those that were mailed and not looked for yet, by their invites.
    pub mailed: BTreeMap<Uuid, Secret>,
    /// How each invite was last seen.
    pub states: BTreeMap<Id, InviteState>,
    /// The versions by contents.
    pub versions: BTreeMap<(Object, String), String>,
    /// Up to where the journal has been read.
    pub journal: i64,
}

/// One engine's registry.
pub struct Side {
    // Dropped before the database it uses.
    pub registry: Arc<Registry>,
    pub database: Database,
    pub clock: Clock,
    pub memory: Memory,
    /// The root as they once logged in, for looking at everything.
    pub root: Actor,
}

impl Side {
    /// A registry with six people and nothing else, of whom the journal says nothing.
    pub async fn new(engine: Engine) -> Self {
        let database = support::fresh(engine).await;
        let clock = Clock::standing(Timestamp::from_millis(START));
        let registry = open(&database, &clock).await;
        registry.ensure_root(email(ROOT), Some(password())).await.unwrap().unwrap();
        let mut side = Self { registry, database, clock, memory: Memory::default(), root: Actor::Anonymous };
        side.memory.emails = (0..PEOPLE).map(email).collect();
        let session = side.log_in(ROOT).await.unwrap();
        side.root = side.registry.authenticate(&session.0).await.unwrap();
        side.memory.people.push(session.1);
        for person in 1..PEOPLE {
            let (call, none) = (side.as_root(), JsonObject::default());
            let made = side.registry.create_user(&call, &email(person), &password(), &none, None).await;
            side.memory.people.push(made.unwrap().id);
        }
        side.database.execute("DELETE FROM journal; DELETE FROM sessions").await;
        side
    }

    /// The same once more, on a copy of its database; it must have been closed.
    pub async fn copy(&self, world: &World) -> Self {
        let database = support::copy(&self.database).await;
        let clock = Clock::standing(Timestamp::from_millis(world.now));
        let registry = open(&database, &clock).await;
        Self { registry, database, clock, memory: self.memory.clone(), root: self.root.clone() }
    }

    pub fn as_root(&self) -> Call {
        Call::new(self.root.clone(), "audit")
    }

    async fn log_in(&self, person: Person) -> registry::Result<(Secret, UserId, i64)> {
        // Each from another network, so that attempts are never too many.
        static SOURCES: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0x0a00_0000);
        let source = Ipv4Addr::from(SOURCES.fetch_add(256, std::sync::atomic::Ordering::Relaxed));
        let (call, secret) = (Call::new(Actor::Anonymous, "model"), Secret::new(PASSWORD));
        let made = self.registry.create_session(&call, &self.email(person), &secret, source.into()).await?;
        Ok((made.token.unwrap(), made.user_id, made.expires_at.millis()))
    }

    /// Carries a command out and tells what came of it, in the model's words.
    pub async fn carry_out(&mut self, command: &Command, step: &Step) -> Outcome {
        match command {
            Command::Ask { by, op, replay } => {
                let actor = match by {
                    By::Nobody => Actor::Anonymous,
                    by => self.registry.authenticate(&self.credential(*by)).await.map_err(refusal)?,
                };
                let mut call = Call::new(actor, "model");
                if let Some(key) = replay {
                    call = call.repeatable(op.kind(), &format!("key {key}"), format!("{op:?}").as_bytes());
                }
                return self.perform(&call, op, step).await;
            }
            Command::LogIn { person, session } => {
                let (token, user, expires) = self.log_in(*person).await.map_err(refusal)?;
                assert_eq!(self.memory.people[*person], user);
                let actor = self.registry.authenticate(&token).await.map_err(refusal)?;
                self.memory.actors.insert(*person, actor);
                self.memory.sessions.insert(*session, token);
                return Ok(Answer { rows: vec![json!({ "expires": expires })], keys: Vec::new() });
            }
            Command::Present { kind, key } => return self.present(*kind, *key).await,
            Command::Advance { millis } => {
                self.clock.advance(Duration::from_millis(millis.unsigned_abs()));
            }
            Command::Reopen => {
                self.registry.close().await;
                self.clock.advance(Duration::from_millis(1));
                self.registry = open(&self.database, &self.clock).await;
            }
            Command::Sweep => drop(self.registry.sweep().await.map_err(refusal)?),
            Command::Crown { place, person } => self.crown(*place, *person).await,
        }
        Ok(Answer::default())
    }

    async fn crown(&self, place: Place, person: Person) {
        let Some(user) = self.memory.people.get(person) else { return };
        let (table, column, id) = match place {
            Place::Org(id) => ("org_memberships", "org_id", id),
            Place::Group(id) => ("group_memberships", "group_id", id),
        };
        let (place, member) = (self.database.literal(uuid(id)), self.database.literal(user.uuid()));
        let sql =
            format!("UPDATE {table} SET role = 'owner' WHERE {column} = {place} AND member_id = {member}");
        self.database.execute(sql).await;
    }

    /// Shows a credential: both ways of asking agree.
    pub async fn present(&mut self, kind: CredentialKind, key: Key) -> Outcome {
        let secret = self.secret(key);
        let asker = Asker { front: Front::Http, source: None };
        let thing = self.registry.authenticate_device(kind, &secret, &asker).await.map_err(refusal)?.thing;
        let actor = self
            .registry
            .authenticate_thing(&registry::credentials::Claim::new(kind, &secret, asker))
            .await
            .map_err(refusal)?;
        let metadata = self.registry.own_metadata(&Call::new(actor, "device")).await.map_err(refusal)?;
        let row = json!({ "thing": number(thing.uuid()), "metadata": metadata });
        Ok(Answer { rows: vec![row], keys: Vec::new() })
    }

    /// The credential of that number, or one of nobody.
    fn credential(&self, by: By) -> Secret {
        let (known, prefix) = match by {
            By::Session(id) => (self.memory.sessions.get(&id), Prefix::Session),
            By::Token(id) => (self.memory.tokens.get(&id).map(|(_, secret)| secret), Prefix::AccessToken),
            By::Nobody => (None, Prefix::Session),
        };
        known.cloned().unwrap_or_else(|| Secret::generate(prefix).unwrap())
    }

    /// The key itself. One that was to be made up, and was not, is made up here.
    pub fn secret(&mut self, key: Key) -> Secret {
        match key {
            Key::Text(text) => Secret::new(text),
            Key::Made(id) => {
                let make = || Secret::generate(Prefix::ThingKey).unwrap();
                self.memory.keys.entry(id).or_insert_with(make).clone()
            }
        }
    }

    pub fn thing_key(&mut self, key: Key) -> ThingKey {
        ThingKey::custom(self.secret(key).expose()).unwrap()
    }

    pub fn external_key(&mut self, key: Key) -> ExternalKey {
        ExternalKey::try_from(self.secret(key).expose()).unwrap()
    }

    /// What the model calls a key that it expects to be `expected`. A key that the registry made up is
    /// remembered under that name, unless it is the key of something else.
    pub fn name_of(&mut self, secret: &Secret, expected: Option<Key>) -> Key {
        let known = self.memory.keys.iter().find(|(_, known)| *known == secret).map(|(id, _)| *id);
        match (known, expected) {
            (Some(id), _) => Key::Made(id),
            (None, Some(Key::Made(id)))
                if !self.memory.keys.contains_key(&id) && secret.is_well_formed(Prefix::ThingKey) =>
            {
                self.memory.keys.insert(id, secret.clone());
                Key::Made(id)
            }
            (None, Some(Key::Text(text))) if text == secret.expose() => Key::Text(text),
            _ => Key::Text("a key that should not be there"),
        }
    }

    pub fn person(&self, user: UserId) -> Person {
        self.memory.people.iter().position(|known| *known == user).unwrap_or(NOBODY)
    }

    /// Their address, or one that nobody has.
    pub fn email(&self, person: Person) -> Email {
        self.memory.emails.get(person).cloned().unwrap_or_else(|| email(person))
    }

    /// The account, or that of nobody.
    pub fn user(&self, person: Person) -> UserId {
        self.memory.people.get(person).copied().unwrap_or_else(|| UserId::from(uuid(999_999)))
    }

    /// The text of the version that a request names.
    pub fn expect(&self, wanted: &Wanted) -> registry::Expect {
        match wanted {
            Wanted::Any => registry::Expect::any(),
            Wanted::Nothing => registry::Expect::one_of(vec!["AAAAAAAAAAAAAAAA".to_owned()]),
            Wanted::Content(object, content) => {
                let version = &self.memory.versions[&(*object, content.clone())];
                registry::Expect::one_of(vec!["BBBBBBBBBBBBBBBB".to_owned(), version.clone()])
            }
        }
    }
}

/// Opens a registry as tests have it, but for anybody to register at, and with few invites allowed.
async fn open(database: &Database, clock: &Clock) -> Arc<Registry> {
    let invites = InviteLimits { per_hour: PER_HOUR, pending: OPEN, ..InviteLimits::default() };
    let usual = support::settings(database, clock.clone());
    Registry::open(Settings { open_registration: true, invites, ..usual }).await.unwrap()
}

/// Everybody's.
pub fn password() -> Password {
    Password::try_from(Secret::new(PASSWORD)).unwrap()
}

fn email(number: Address) -> Email {
    Email::try_from(address(number).as_str()).unwrap()
}

pub fn json_of(text: &str) -> JsonObject {
    JsonObject::parse(text).unwrap()
}

/// The id of that number; ids are ordered as numbers are.
pub fn uuid(id: Id) -> Uuid {
    Uuid::from_u64_pair(id, 7)
}

pub fn number(id: Uuid) -> Id {
    id.as_u64_pair().0
}

pub fn org(id: Id) -> OrgId {
    uuid(id).into()
}

pub fn group(id: Id) -> GroupId {
    uuid(id).into()
}

pub fn profile(id: Id) -> ProfileId {
    uuid(id).into()
}

pub fn thing(id: Id) -> ThingId {
    uuid(id).into()
}

pub fn within(place: Place) -> Within {
    match place {
        Place::Org(id) => Within::Org(org(id)),
        Place::Group(id) => Within::Group(group(id)),
    }
}

pub fn shown_within(within: Option<Within>) -> Value {
    let place = within.map(|within| match within {
        Within::Org(id) => Place::Org(number(id.uuid())),
        Within::Group(id) => Place::Group(number(id.uuid())),
    });
    json!(place.map(|place| format!("{place:?}")))
}

/// The registry's refusal in the model's words.
pub fn refusal(error: Error) -> Refusal {
    match error {
        Error::Unauthenticated => Refusal::Unauthenticated,
        Error::NotFound => Refusal::NotFound,
        Error::Forbidden(denial) => Refusal::Forbidden(denial),
        Error::Invalid(errors) => {
            Refusal::Invalid(errors.into_iter().map(|error| (error.item, error.field.into_owned())).collect())
        }
        Error::Conflict(Conflict { kind, items }) => Refusal::Conflict(kind, items),
        Error::Stale => Refusal::Stale,
        Error::ReplayMismatch => Refusal::ReplayMismatch,
        Error::TooMany { .. } | Error::TakenTooOften { .. } => Refusal::TooMany,
        error => Refusal::Other(format!("{error:?}")),
    }
}

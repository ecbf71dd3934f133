//! The model: everything that the registry should remember, in plain maps.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use registry::{ConflictKind, Denial, Role, Via, things::ThingType};
use serde_json::{Value, json};

use super::{
    commands::{Address, By, Command, Expect, Id, Key, Object, Op, PEOPLE, Person, Place},
    invites::Invite,
};

/// When every sequence begins.
pub const START: i64 = 1_800_000_000_000;
pub const SECOND: i64 = 1_000;
pub const DAY: i64 = 24 * 3600 * SECOND;
/// How long a log-in lasts.
pub const SESSION_LIFE: i64 = 14 * DAY;
/// How long answers are kept for repeated requests.
pub const ANSWERS_KEPT: i64 = DAY;
/// How many keys a person is told to be taken, in an hour.
pub const MOST_TOLD: usize = 20;

/// What the registry answers: rows of the resources, and the keys that are shown with them.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Answer {
    pub rows: Vec<Value>,
    pub keys: Vec<Option<Key>>,
}

/// Why it does not.
#[derive(Clone, PartialEq, Debug)]
pub enum Refusal {
    Unauthenticated,
    NotFound,
    Forbidden(Denial),
    /// Items and fields, in any order.
    Invalid(BTreeSet<(Option<usize>, String)>),
    Conflict(ConflictKind, Vec<usize>),
    Stale,
    ReplayMismatch,
    TooMany,
    /// Nothing that the model ever expects.
    Other(String),
}

pub type Outcome = Result<Answer, Refusal>;

/// Of a person.
#[derive(Clone)]
pub struct Account {
    pub address: Address,
    pub enabled: bool,
    /// Whether they have shown that the address is theirs.
    pub verified: bool,
}

#[derive(Clone)]
pub struct Session {
    pub person: Person,
    pub expires_at: i64,
}

#[derive(Clone)]
pub struct Token {
    pub person: Person,
    pub can_write: bool,
    pub within: Option<Place>,
    pub created_at: i64,
    pub expires_at: Option<i64>,
}

/// An organisation or a group.
#[derive(Clone)]
pub struct Party {
    /// Of a group.
    pub org: Option<Id>,
    pub name: &'static str,
    pub description: &'static str,
    pub metadata: Value,
    pub created_at: i64,
    pub updated_at: i64,
    pub members: BTreeMap<Person, Role>,
}

#[derive(Clone)]
pub struct Profile {
    pub group: Id,
    pub name: &'static str,
    pub config: Option<Value>,
    pub metadata: Value,
}

#[derive(Clone)]
pub struct Thing {
    pub group: Id,
    pub profile: Id,
    pub name: &'static str,
    pub kind: ThingType,
    pub key: Key,
    pub external: Option<Key>,
    pub metadata: Value,
}

/// How a value stands in the index of credentials.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Key,
    External,
    Previous { not_after: i64 },
}

/// What an entry of the journal is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Subject {
    Object(Object),
    Person(Person),
    Token(Id),
    Session,
    Invite(Id),
}

/// An entry of the journal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    pub action: &'static str,
    pub subject: Subject,
    pub org: Option<Id>,
    pub group: Option<Id>,
    pub actor: Option<Person>,
    pub via: Via,
}

/// By whom a request was made repeatable, with which scope, on which route and under which key; of
/// strangers also what it said.
pub type Request = (Person, (bool, Option<Place>), &'static str, Id, Option<String>);

/// The answer to a repeatable request.
#[derive(Clone)]
pub struct Kept {
    pub op: Op,
    pub answer: Outcome,
    pub at: i64,
}

/// The version that a request names, found out before it is carried out.
#[derive(Clone, PartialEq, Debug)]
pub enum Wanted {
    Any,
    Content(Object, String),
    Nothing,
}

/// What the last command should have led to.
#[derive(Clone)]
pub struct Step {
    pub outcome: Outcome,
    pub wanted: Wanted,
    /// From where the journal is new.
    pub journal_before: usize,
    /// What may have changed.
    pub touched: BTreeSet<Object>,
}

/// The whole of it.
#[derive(Clone)]
pub struct World {
    pub now: i64,
    /// The next number to give.
    pub next: Id,
    pub people: Vec<Account>,
    pub sessions: BTreeMap<Id, Session>,
    pub tokens: BTreeMap<Id, Token>,
    pub orgs: BTreeMap<Id, Party>,
    pub groups: BTreeMap<Id, Party>,
    pub profiles: BTreeMap<Id, Profile>,
    pub things: BTreeMap<Id, Thing>,
    pub invites: BTreeMap<Id, Invite>,
    /// What makes a value name at most one thing.
    pub index: BTreeMap<Key, (Id, Kind)>,
    /// Every key that was ever given to a thing, or meant to be.
    pub issued: BTreeSet<Key>,
    pub journal: Vec<Entry>,
    pub kept: BTreeMap<Request, Kept>,
    /// The contents that each object has had.
    pub history: BTreeMap<Object, Vec<String>>,
    pub touched: BTreeSet<Object>,
    /// When each person was told that a key is taken; a restart forgives.
    pub told: BTreeMap<Person, Vec<i64>>,
    /// When each person sent invites again.
    pub resent: BTreeMap<Person, Vec<i64>>,
    /// Whether the refusal of this command leaves something behind.
    pub lasting: bool,
    /// How many commands it has seen.
    pub steps: usize,
    pub last: Step,
}

/// The sequence of commands tells it; the maps would fill pages.
impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "World(after {} commands)", self.steps)
    }
}

impl World {
    /// Six people, who have not logged in.
    pub fn empty() -> Self {
        Self {
            now: START,
            next: 1,
            people: (0..PEOPLE).map(|address| Account { address, enabled: true, verified: true }).collect(),
            sessions: BTreeMap::new(),
            tokens: BTreeMap::new(),
            orgs: BTreeMap::new(),
            groups: BTreeMap::new(),
            profiles: BTreeMap::new(),
            things: BTreeMap::new(),
            invites: BTreeMap::new(),
            index: BTreeMap::new(),
            issued: BTreeSet::new(),
            journal: Vec::new(),
            kept: BTreeMap::new(),
            history: BTreeMap::new(),
            touched: BTreeSet::new(),
            told: BTreeMap::new(),
            resent: BTreeMap::new(),
            lasting: false,
            steps: 0,
            last: Step {
                outcome: Ok(Answer::default()),
                wanted: Wanted::Any,
                journal_before: 0,
                touched: BTreeSet::new(),
            },
        }
    }

    /// The world after a command. A request that is refused leaves no trace, but for what it told and for an
    /// invite that it found void.
    #[must_use]
    pub fn after(mut self, command: &Command) -> Self {
        self.touched.clear();
        self.lasting = false;
        self.steps += 1;
        let journal_before = self.journal.len();
        let wanted = match command {
            Command::Ask { op, .. } => self.wanted(op),
            _ => Wanted::Any,
        };
        let mut then = self.clone();
        let mut outcome = then.carry_out(command, &wanted);
        let mut world = if outcome.is_ok() || then.lasting { then } else { self };
        if let (Command::Ask { by, .. }, Err(refusal)) = (command, &mut outcome) {
            world.note_told(*by, refusal);
        }
        world.next = world.next.max(command.highest_number() + 1);
        world.remember_contents();
        let touched = std::mem::take(&mut world.touched);
        world.last = Step { outcome, wanted, journal_before, touched };
        world
    }

    fn carry_out(&mut self, command: &Command, wanted: &Wanted) -> Outcome {
        match command {
            Command::Ask { by, op, replay } => return self.ask(*by, op, *replay, wanted),
            Command::LogIn { person, session } => return self.log_in(*person, *session),
            Command::Present { kind, key } => return self.present(*kind, *key),
            Command::Advance { millis } => self.now += millis,
            Command::Reopen => {
                self.now += 1;
                self.told.clear();
            }
            Command::Sweep => self.sweep(),
            Command::Crown { place, person } => {
                if let Some(role) = self.party_mut(*place).and_then(|party| party.members.get_mut(person)) {
                    *role = Role::Owner;
                }
            }
        }
        Ok(Answer::default())
    }

    /// What expired goes, but for tokens, whose owners still see them, and for invites, which end.
    fn sweep(&mut self) {
        self.expire_invites(None, |_| true);
        let now = self.now;
        self.kept.retain(|_, kept| kept.at > now - ANSWERS_KEPT);
        self.sessions.retain(|_, session| session.expires_at > now);
        self.index.retain(|_, (_, kind)| !matches!(kind, Kind::Previous { not_after } if *not_after <= now));
    }

    /// How many more keys a person may be told to be taken.
    pub fn room(&self, person: Person) -> usize {
        let told = self.told.get(&person).map(Vec::as_slice).unwrap_or_default();
        MOST_TOLD.saturating_sub(told.iter().filter(|at| self.now - **at < 3600 * SECOND).count())
    }

    fn note_told(&mut self, by: By, refusal: &mut Refusal) {
        let Refusal::Conflict(ConflictKind::CredentialUnavailable, items) = refusal else { return };
        let Ok(asker) = self.authenticate(by) else { return };
        items.truncate(self.room(asker.person));
        let told = std::iter::repeat_n(self.now, items.len().max(1));
        self.told.entry(asker.person).or_default().extend(told);
    }

    fn wanted(&self, op: &Op) -> Wanted {
        let Some((object, expect)) = op.expects() else { return Wanted::Any };
        let history = self.history.get(&object).map(Vec::as_slice).unwrap_or_default();
        let back = match expect {
            Expect::Any => return Wanted::Any,
            Expect::Latest => 1,
            Expect::Back(steps) => steps + 1,
            Expect::Never => return Wanted::Nothing,
        };
        match history.len().checked_sub(back).and_then(|at| history.get(at)) {
            Some(content) => Wanted::Content(object, content.clone()),
            None => Wanted::Nothing,
        }
    }

    fn remember_contents(&mut self) {
        for object in self.touched.clone() {
            if let Some(content) = self.content(object) {
                let history = self.history.entry(object).or_default();
                if history.last() != Some(&content) {
                    history.push(content);
                }
            }
        }
    }

    /// What the object's version must be a digest of.
    pub fn content(&self, object: Object) -> Option<String> {
        match object {
            Object::Org(id) => self.orgs.get(&id).map(Party::content),
            Object::Group(id) => self.groups.get(&id).map(Party::content),
            Object::Profile(id) => self
                .profiles
                .get(&id)
                .map(|profile| format!("{:?}", (profile.name, &profile.config, &profile.metadata))),
            Object::Thing(id) => self.things.get(&id).map(|thing| {
                let Thing { profile, name, kind, key, external, metadata, group: _ } = thing;
                format!("{:?}", (profile, name, kind, key, external, metadata))
            }),
        }
    }

    pub fn party(&self, place: Place) -> Option<&Party> {
        match place {
            Place::Org(id) => self.orgs.get(&id),
            Place::Group(id) => self.groups.get(&id),
        }
    }

    pub fn party_mut(&mut self, place: Place) -> Option<&mut Party> {
        match place {
            Place::Org(id) => self.orgs.get_mut(&id),
            Place::Group(id) => self.groups.get_mut(&id),
        }
    }

    /// How an object is shown to somebody with this role towards it.
    pub fn row(&self, object: Object, role: Role) -> Value {
        let role = role.as_str();
        match object {
            Object::Org(id) => {
                let org = &self.orgs[&id];
                json!({ "id": id, "name": org.name, "description": org.description, "metadata": org.metadata,
                        "created": org.created_at, "updated": org.updated_at, "role": role })
            }
            Object::Group(id) => {
                let group = &self.groups[&id];
                json!({ "id": id, "org": group.org, "name": group.name, "description": group.description,
                        "metadata": group.metadata, "created": group.created_at,
                        "updated": group.updated_at, "role": role })
            }
            Object::Profile(id) => {
                let profile = &self.profiles[&id];
                json!({ "id": id, "group": profile.group, "name": profile.name, "config": profile.config,
                        "metadata": profile.metadata, "role": role })
            }
            Object::Thing(id) => {
                let thing = &self.things[&id];
                json!({ "id": id, "group": thing.group, "profile": thing.profile, "name": thing.name,
                        "type": thing.kind.as_str(), "external": thing.external.map(show),
                        "metadata": thing.metadata, "role": role })
            }
        }
    }
}

impl Party {
    pub fn content(&self) -> String {
        format!("{:?}", (self.name, self.description, &self.metadata, self.updated_at))
    }
}

/// A key as it stands in a row.
pub fn show(key: Key) -> String {
    format!("{key:?}")
}

pub fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// The address of that number.
pub fn address(number: Address) -> String {
    format!("p{number}@example.com")
}

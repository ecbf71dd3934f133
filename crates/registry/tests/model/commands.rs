//! What the test asks of the registry, in the model's own words: numbers instead of ids, names instead
//! of secrets, so that a failing sequence reads the same on every engine and at every run.

use registry::{Dir, InviteKind, InviteState, Role, credentials::CredentialKind, things::ThingType};

use super::inviting::{Inbox, Inviting};

/// Whatever has an id that the client chooses, and everything else that is numbered.
pub type Id = u64;
/// One of the people, by their place in the order of creation; [`ROOT`] administers the platform.
pub type Person = usize;

/// The platform's root.
pub const ROOT: Person = 0;
/// How many people the platform's root makes accounts for, with that of their own; more come by invites.
pub const PEOPLE: usize = 6;
/// A person who never comes.
pub const NOBODY: Person = 99;
/// An address, by its number. The first people have that of theirs.
pub type Address = usize;
/// How many addresses there are.
pub const ADDRESSES: Address = 10;

/// A value by which a thing is authenticated: known text, or the n-th that the registry made up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Key {
    Text(&'static str),
    Made(Id),
}

/// Where people are members.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Place {
    Org(Id),
    Group(Id),
}

/// What roles are asked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Object {
    Org(Id),
    Group(Id),
    Profile(Id),
    Thing(Id),
}

impl From<Place> for Object {
    fn from(place: Place) -> Self {
        match place {
            Place::Org(id) => Self::Org(id),
            Place::Group(id) => Self::Group(id),
        }
    }
}

/// The credential that somebody comes in by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum By {
    Session(Id),
    Token(Id),
    /// None at all.
    Nobody,
}

/// What version a change expects.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expect {
    Any,
    /// The present one.
    Latest,
    /// One that the object had before; which can be the present content again.
    Back(usize),
    /// One that never was.
    Never,
}

/// How a request names a person.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Who {
    Id(Person),
    Email(Person),
}

/// The description of an organisation or group; `None` stays.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patch {
    pub name: &'static str,
    pub description: Option<&'static str>,
    pub metadata: Option<&'static str>,
}

/// A group or profile to be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct New {
    pub id: Id,
    pub name: &'static str,
    pub config: Option<&'static str>,
    pub metadata: &'static str,
}

/// A thing to be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NewThing {
    pub id: Id,
    pub name: &'static str,
    pub kind: ThingType,
    pub key: Option<Key>,
    /// The number of the key that the registry makes up if none is given.
    pub made: Id,
    pub external: Option<Key>,
    pub metadata: &'static str,
}

/// Where a list looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    Everywhere,
    Org(Id),
    Group(Id),
    Profile(Id),
}

/// Which list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Listed {
    Orgs,
    Groups(Scope),
    Profiles(Scope),
    Things(Scope),
    Members(Place),
    Tokens,
    Journal(Scope),
    Invites(Inbox),
}

/// What a list is sorted by; lists that lack the order are sorted by id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    Id,
    Name,
    Kind,
    Created,
    Updated,
    Email,
}

/// A list with its filters; those it does not have are ignored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct List {
    pub what: Listed,
    pub text: Option<&'static str>,
    pub metadata: Option<&'static str>,
    pub kind: Option<ThingType>,
    pub role: Option<Role>,
    pub external: Option<Key>,
    pub content_type: Option<&'static str>,
    pub state: Option<InviteState>,
    pub invite: Option<InviteKind>,
    pub order: Order,
    pub dir: Dir,
    pub limit: u32,
    /// Whether the pages are walked by offset instead of by cursor.
    pub by_offset: bool,
}

/// A request of somebody.
#[derive(Clone, PartialEq, Debug)]
pub enum Op {
    CreateOrg {
        id: Id,
        name: &'static str,
        metadata: &'static str,
    },
    UpdateOrg {
        id: Id,
        patch: Patch,
        expect: Expect,
    },
    DeleteOrgs {
        ids: Vec<Id>,
        expect: Expect,
    },
    AddMembers {
        place: Place,
        members: Vec<(Who, Role)>,
    },
    ChangeRoles {
        place: Place,
        changes: Vec<(Person, Role)>,
    },
    RemoveMembers {
        place: Place,
        people: Vec<Person>,
    },
    Transfer {
        place: Place,
        to: Person,
    },
    CreateGroups {
        org: Id,
        groups: Vec<New>,
    },
    UpdateGroup {
        id: Id,
        patch: Patch,
        expect: Expect,
    },
    DeleteGroups {
        ids: Vec<Id>,
        expect: Expect,
    },
    CreateProfiles {
        group: Id,
        profiles: Vec<New>,
    },
    UpdateProfile {
        id: Id,
        patch: Patch,
        config: Option<Option<&'static str>>,
        expect: Expect,
    },
    DeleteProfiles {
        ids: Vec<Id>,
        expect: Expect,
    },
    CreateThings {
        profile: Id,
        things: Vec<NewThing>,
    },
    UpdateThing {
        id: Id,
        patch: Patch,
        kind: Option<ThingType>,
        key: Option<Key>,
        expect: Expect,
    },
    MoveThing {
        id: Id,
        group: Id,
        profile: Id,
        expect: Expect,
    },
    MergeMetadata {
        updates: Vec<(Id, &'static str)>,
    },
    DeleteThings {
        ids: Vec<Id>,
        expect: Expect,
    },
    RotateKey {
        id: Id,
        overlap_seconds: u64,
        made: Id,
    },
    SetExternalKey {
        id: Id,
        key: Key,
        expect: Expect,
    },
    ClearExternalKey {
        id: Id,
        expect: Expect,
    },
    RevealKey {
        id: Id,
    },
    SetStatus {
        person: Person,
        enabled: bool,
    },
    CreateToken {
        token: Id,
        can_write: bool,
        within: Option<Place>,
        life_seconds: Option<i64>,
    },
    DeleteToken {
        token: Id,
    },
    LogOut,
    View {
        object: Object,
    },
    /// The group (or else the profile) that a thing is in.
    ViewAround {
        thing: Id,
        group: bool,
    },
    List(List),
    Invites(Inviting),
}

impl Op {
    /// Its name, which is also the route of a repeatable request.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::CreateOrg { .. } => "create org",
            Self::UpdateOrg { .. } => "update org",
            Self::DeleteOrgs { .. } => "delete orgs",
            Self::AddMembers { place: Place::Org(_), .. } => "add org members",
            Self::AddMembers { .. } => "add group members",
            Self::ChangeRoles { place: Place::Org(_), .. } => "change org roles",
            Self::ChangeRoles { .. } => "change group roles",
            Self::RemoveMembers { place: Place::Org(_), .. } => "remove org members",
            Self::RemoveMembers { .. } => "remove group members",
            Self::Transfer { place: Place::Org(_), .. } => "transfer org",
            Self::Transfer { .. } => "transfer group",
            Self::CreateGroups { .. } => "create groups",
            Self::UpdateGroup { .. } => "update group",
            Self::DeleteGroups { .. } => "delete groups",
            Self::CreateProfiles { .. } => "create profiles",
            Self::UpdateProfile { .. } => "update profile",
            Self::DeleteProfiles { .. } => "delete profiles",
            Self::CreateThings { .. } => "create things",
            Self::UpdateThing { .. } => "update thing",
            Self::MoveThing { .. } => "move thing",
            Self::MergeMetadata { .. } => "merge metadata",
            Self::DeleteThings { .. } => "delete things",
            Self::RotateKey { .. } => "rotate key",
            Self::SetExternalKey { .. } => "set external key",
            Self::ClearExternalKey { .. } => "clear external key",
            Self::RevealKey { .. } => "reveal key",
            Self::SetStatus { .. } => "set status",
            Self::CreateToken { .. } => "create token",
            Self::DeleteToken { .. } => "delete token",
            Self::LogOut => "log out",
            Self::View { .. } | Self::ViewAround { .. } => "view",
            Self::List(_) => "list",
            Self::Invites(op) => op.kind(),
        }
    }

    /// Whether it changes anything, and so can be made repeatable.
    pub fn writes(&self) -> bool {
        match self {
            Self::View { .. } | Self::ViewAround { .. } | Self::List(_) => false,
            Self::Invites(op) => op.writes(),
            _ => true,
        }
    }

    /// The version it expects, and of what. A bulk request expects none.
    pub fn expects(&self) -> Option<(Object, Expect)> {
        match self {
            Self::DeleteOrgs { ids, expect } => return only(ids).map(|id| (Object::Org(id), *expect)),
            Self::DeleteGroups { ids, expect } => return only(ids).map(|id| (Object::Group(id), *expect)),
            Self::DeleteProfiles { ids, expect } => {
                return only(ids).map(|id| (Object::Profile(id), *expect));
            }
            Self::DeleteThings { ids, expect } => return only(ids).map(|id| (Object::Thing(id), *expect)),
            _ => {}
        }
        match *self {
            Self::UpdateOrg { id, expect, .. } => Some((Object::Org(id), expect)),
            Self::UpdateGroup { id, expect, .. } => Some((Object::Group(id), expect)),
            Self::UpdateProfile { id, expect, .. } => Some((Object::Profile(id), expect)),
            Self::UpdateThing { id, expect, .. }
            | Self::MoveThing { id, expect, .. }
            | Self::SetExternalKey { id, expect, .. }
            | Self::ClearExternalKey { id, expect } => Some((Object::Thing(id), expect)),
            _ => None,
        }
    }
}

/// The one id that a request names, if it is one.
fn only(ids: &[Id]) -> Option<Id> {
    match ids {
        [id] => Some(*id),
        _ => None,
    }
}

/// One step of a sequence.
#[derive(Clone, PartialEq, Debug)]
pub enum Command {
    /// Somebody asks for something, under an Idempotency-Key or not.
    Ask { by: By, op: Op, replay: Option<Id> },
    /// Somebody logs in; the session gets this number.
    LogIn { person: Person, session: Id },
    /// A device shows a credential.
    Present { kind: CredentialKind, key: Key },
    /// Time passes.
    Advance { millis: i64 },
    /// The registry is closed and opened again, which takes a millisecond.
    Reopen,
    /// What has expired is removed.
    Sweep,
    /// A member becomes an owner beside the present ones, as no request can but other databases have it.
    Crown { place: Place, person: Person },
}

impl Command {
    /// The highest number that it gives to something.
    pub fn highest_number(&self) -> Id {
        match self {
            Self::LogIn { session, .. } => *session,
            Self::Ask { op, replay, .. } => {
                let given = match op {
                    Op::CreateOrg { id, .. } => *id,
                    Op::CreateGroups { groups: new, .. } | Op::CreateProfiles { profiles: new, .. } => {
                        new.iter().map(|new| new.id).max().unwrap_or(0)
                    }
                    Op::CreateThings { things, .. } => {
                        things.iter().map(|new| new.id.max(new.made)).max().unwrap_or(0)
                    }
                    Op::RotateKey { made, .. } => *made,
                    Op::CreateToken { token, .. } => *token,
                    Op::Invites(op) => op.highest_number(),
                    _ => 0,
                };
                given.max(replay.unwrap_or(0))
            }
            _ => 0,
        }
    }
}

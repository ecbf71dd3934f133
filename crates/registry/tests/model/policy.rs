//! Who may do what, as the model sees it: written from the rules, not from the code.

use std::collections::BTreeSet;

use registry::{Denial, Role, Via};

use super::{
    commands::{By, Id, Object, Person, Place, ROOT, Who},
    reference::{Entry, Refusal, Subject, World},
};

/// Who asks, and how far their credential goes.
#[derive(Clone, Copy)]
pub struct Asker {
    pub person: Person,
    pub by: By,
    pub can_write: bool,
    pub within: Option<Place>,
}

/// The right somebody has to something.
#[derive(Clone, Copy)]
pub struct Right {
    pub role: Role,
    pub via: Via,
    pub org: Id,
    pub group: Option<Id>,
}

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    View,
    /// See what only admins see.
    Review,
    /// End memberships: any member their own.
    Leave,
    Edit,
    Administer,
    Own,
}

impl Deed {
    fn needs(self) -> Role {
        match self {
            Self::View | Self::Leave => Role::Viewer,
            Self::Edit => Role::Editor,
            Self::Review | Self::Administer => Role::Admin,
            Self::Own => Role::Owner,
        }
    }
}

impl World {
    /// Who shows this credential, if it is valid now.
    pub fn authenticate(&self, by: By) -> Result<Asker, Refusal> {
        let found = match by {
            By::Nobody => return Ok(Self::nobody()),
            By::Session(id) => self
                .sessions
                .get(&id)
                .filter(|session| self.now < session.expires_at)
                .map(|session| Asker { person: session.person, by, can_write: true, within: None }),
            By::Token(id) => {
                self.tokens.get(&id).filter(|token| token.expires_at.is_none_or(|end| self.now < end)).map(
                    |token| Asker {
                        person: token.person,
                        by,
                        can_write: token.can_write,
                        within: token.within,
                    },
                )
            }
        };
        found.filter(|asker| self.people[asker.person].enabled).ok_or(Refusal::Unauthenticated)
    }

    /// Where an object is: its organisation, and its group unless it is an organisation.
    pub fn place_of(&self, object: Object) -> Option<(Id, Option<Id>)> {
        let group = match object {
            Object::Org(id) => return self.orgs.contains_key(&id).then_some((id, None)),
            Object::Group(id) => id,
            Object::Profile(id) => self.profiles.get(&id)?.group,
            Object::Thing(id) => self.things.get(&id)?.group,
        };
        Some((self.groups.get(&group)?.org?, Some(group)))
    }

    /// The strongest right of somebody to an object; of equal ones their own membership comes first,
    /// then owning the organisation, then administering the platform.
    pub fn right(&self, asker: &Asker, object: Object) -> Option<Right> {
        let (org, group) = self.place_of(object)?;
        match asker.within {
            Some(Place::Org(bound)) if bound != org => return None,
            Some(Place::Group(bound)) if Some(bound) != group => return None,
            _ => {}
        }
        let in_org = self.orgs[&org].members.get(&asker.person).copied();
        let mut rights = Vec::new();
        match group {
            None => rights.extend(in_org.map(|role| (role, Via::Membership))),
            Some(group) => {
                let member = self.groups[&group].members.get(&asker.person);
                rights.extend(member.map(|role| (*role, Via::Membership)));
                rights.extend((in_org == Some(Role::Owner)).then_some((Role::Owner, Via::OrgOwner)));
            }
        }
        if asker.person == ROOT {
            rights.push((Role::Owner, Via::PlatformAdmin));
        }
        let strongest = rights.iter().map(|(role, _)| *role).max()?;
        let (role, via) = rights.into_iter().find(|(role, _)| *role == strongest)?;
        Some(Right { role, via, org, group })
    }

    /// The right to do something to each of these objects: what one has nothing to do with is not there.
    pub fn may_all(&self, asker: &Asker, objects: &[Object], deed: Deed) -> Result<Vec<Right>, Refusal> {
        let rights: Option<Vec<Right>> = objects.iter().map(|object| self.right(asker, *object)).collect();
        let rights = rights.ok_or(Refusal::NotFound)?;
        if !matches!(deed, Deed::View | Deed::Review) && !asker.can_write {
            return Err(Refusal::Forbidden(Denial::Scope));
        }
        if rights.iter().any(|right| right.role < deed.needs()) {
            return Err(Refusal::Forbidden(Denial::Role));
        }
        Ok(rights)
    }

    pub fn may(&self, asker: &Asker, object: Object, deed: Deed) -> Result<Right, Refusal> {
        self.may_all(asker, &[object], deed).map(|rights| rights[0])
    }

    /// Adds an entry about something done by a right, where that lies.
    pub fn note(&mut self, asker: &Asker, right: Right, action: &'static str, subject: Subject) {
        let Right { via, org, group, .. } = right;
        self.note_at(Some(asker.person), via, action, subject, (Some(org), group));
    }

    /// Adds an entry about somebody's own affairs.
    pub fn note_own(&mut self, person: Person, action: &'static str, subject: Subject) {
        self.note_at(Some(person), Via::Oneself, action, subject, (None, None));
    }

    /// Adds an entry; without an actor, about what nobody did who was logged in.
    pub fn note_at(
        &mut self,
        actor: Option<Person>,
        via: Via,
        action: &'static str,
        subject: Subject,
        (org, group): (Option<Id>, Option<Id>),
    ) {
        self.journal.push(Entry { action, subject, org, group, actor, via });
    }
}

impl Asker {
    /// Whether one's own account is within reach of the credential.
    pub fn oneself(&self, writes: bool) -> Result<(), Refusal> {
        if self.within.is_some() || (writes && !self.can_write) {
            return Err(Refusal::Forbidden(Denial::Scope));
        }
        Ok(())
    }

    pub fn administers_platform(&self) -> Result<(), Refusal> {
        if self.person != ROOT {
            return Err(Refusal::Forbidden(Denial::PlatformOnly));
        }
        self.oneself(true)
    }

    pub fn logged_in(&self) -> Result<(), Refusal> {
        match self.by {
            By::Session(_) => Ok(()),
            By::Token(_) | By::Nobody => Err(Refusal::Forbidden(Denial::SessionOnly)),
        }
    }
}

impl Right {
    /// Roles are given, changed and taken away below one's own only, except by owners.
    pub fn outranks(&self, other: Role) -> Result<(), Refusal> {
        if self.role > other || self.role == Role::Owner {
            Ok(())
        } else {
            Err(Refusal::Forbidden(Denial::Rank))
        }
    }
}

impl Who {
    pub fn person(self) -> Person {
        match self {
            Self::Id(person) | Self::Email(person) => person,
        }
    }

    pub fn field(self) -> &'static str {
        match self {
            Self::Id(_) => "member_id",
            Self::Email(_) => "email",
        }
    }

    /// The account, if there is one that is enabled; by an address, only if that is known to be theirs.
    pub fn account(self, world: &World) -> Option<Person> {
        let by_id = matches!(self, Self::Id(_));
        let account = world.people.get(self.person())?;
        (account.enabled && (by_id || account.verified)).then(|| self.person())
    }
}

/// One broken rule.
pub fn invalid(field: &str) -> Refusal {
    Refusal::Invalid(BTreeSet::from([(None, field.to_owned())]))
}

/// Broken rules about items of a request.
pub fn all_valid(errors: BTreeSet<(Option<usize>, String)>) -> Result<(), Refusal> {
    if errors.is_empty() { Ok(()) } else { Err(Refusal::Invalid(errors)) }
}

/// The places at which a later value is the same as an earlier one.
pub fn repeats<T: PartialEq>(
    field: &str,
    values: impl Iterator<Item = Option<T>>,
) -> BTreeSet<(Option<usize>, String)> {
    let mut seen = Vec::new();
    let mut errors = BTreeSet::new();
    for (item, value) in values.enumerate() {
        let Some(value) = value else { continue };
        if seen.contains(&value) {
            errors.insert((Some(item), field.to_owned()));
        } else {
            seen.push(value);
        }
    }
    errors
}

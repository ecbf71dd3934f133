//! What requests about organisations, groups and their members should do.

use std::collections::{BTreeMap, BTreeSet};

use registry::{ConflictKind, Denial, Role, Via};
use serde_json::{Value, json};

use super::{
    commands::{Id, New, Object, Patch, Person, Place, Who},
    invites::Invite,
    policy::{Asker, Deed, Right, all_valid, invalid},
    reference::{Answer, Entry, Outcome, Party, Refusal, Subject, Wanted, World, address, parse},
};

/// Refuses if any of the items clashes, and tells which.
pub fn refuse<T>(kind: ConflictKind, items: &[T], clash: impl Fn(&T) -> bool) -> Result<(), Refusal> {
    let clashing: Vec<usize> =
        items.iter().enumerate().filter(|(_, item)| clash(item)).map(|(at, _)| at).collect();
    if clashing.is_empty() { Ok(()) } else { Err(Refusal::Conflict(kind, clashing)) }
}

fn rows(rows: Vec<Value>) -> Outcome {
    Ok(Answer { rows, keys: Vec::new() })
}

/// Without repetitions, in ascending order.
pub fn distinct<T: Copy + Ord>(items: &[T]) -> Vec<T> {
    items.iter().copied().collect::<BTreeSet<_>>().into_iter().collect()
}

impl World {
    pub fn member_row(&self, person: Person, role: Role, address_shown: bool) -> Value {
        let email = address_shown.then(|| address(self.people[person].address));
        json!({ "person": person, "email": email, "role": role.as_str() })
    }

    pub fn create_org(&mut self, asker: &Asker, id: Id, name: &'static str, metadata: &str) -> Outcome {
        asker.oneself(true)?;
        if self.orgs.contains_key(&id) {
            return Err(Refusal::Conflict(ConflictKind::IdTaken, Vec::new()));
        }
        let members = BTreeMap::from([(asker.person, Role::Owner)]);
        let org = self.party_of(None, name, metadata, members);
        self.orgs.insert(id, org);
        self.touched.insert(Object::Org(id));
        self.note_own(asker.person, "org.created", Subject::Object(Object::Org(id)));
        if let Some(entry) = self.journal.last_mut() {
            entry.org = Some(id);
        }
        rows(vec![self.row(Object::Org(id), Role::Owner)])
    }

    fn party_of(
        &self,
        org: Option<Id>,
        name: &'static str,
        metadata: &str,
        members: BTreeMap<Person, Role>,
    ) -> Party {
        let (metadata, now) = (parse(metadata), self.now);
        Party { org, name, description: "", metadata, created_at: now, updated_at: now, members }
    }

    pub fn update_party(&mut self, asker: &Asker, place: Place, patch: Patch, wanted: &Wanted) -> Outcome {
        let right = self.may(asker, place.into(), Deed::Administer)?;
        self.check(place.into(), wanted)?;
        if let Place::Group(id) = place {
            self.group_name_is_free(right.org, patch.name, Some(id))?;
        }
        let now = self.now;
        let Some(party) = self.party_mut(place) else { return Err(Refusal::NotFound) };
        let before = party.content();
        party.name = patch.name;
        party.description = patch.description.unwrap_or(party.description);
        party.metadata = patch.metadata.map_or_else(|| party.metadata.clone(), parse);
        let changed = party.content() != before;
        if changed {
            party.updated_at = now;
        }
        self.touched.insert(place.into());
        let action = match place {
            Place::Org(_) => "org.updated",
            Place::Group(_) => "group.updated",
        };
        if changed {
            self.note(asker, right, action, Subject::Object(place.into()));
        }
        rows(vec![self.row(place.into(), right.role)])
    }

    fn group_name_is_free(&self, org: Id, name: &str, except: Option<Id>) -> Result<(), Refusal> {
        let taken = self
            .groups
            .iter()
            .any(|(id, group)| group.org == Some(org) && group.name == name && Some(*id) != except);
        if taken { Err(Refusal::Conflict(ConflictKind::GroupNameTaken, Vec::new())) } else { Ok(()) }
    }

    pub fn delete_orgs(&mut self, asker: &Asker, ids: &[Id], wanted: &Wanted) -> Outcome {
        let ids = distinct(ids);
        let objects: Vec<Object> = ids.iter().map(|id| Object::Org(*id)).collect();
        let rights = self.may_all(asker, &objects, Deed::Own)?;
        objects.iter().try_for_each(|object| self.check(*object, wanted))?;
        for (id, right) in ids.into_iter().zip(rights) {
            for group in self.groups_of(id) {
                self.empty_group(group);
                let right = Right { group: Some(group), ..right };
                self.note(asker, right, "group.deleted", Subject::Object(Object::Group(group)));
            }
            self.orgs.remove(&id);
            let gone = |invite: &Invite| invite.org == Some(id);
            let carriers =
                self.invites_that(|other| other.carries.is_some_and(|it| gone(&self.invites[&it])));
            self.invites.retain(|id, invite| !gone(invite) && !carriers.contains(id));
            self.tokens.retain(|_, token| token.within != Some(Place::Org(id)));
            self.touched.insert(Object::Org(id));
            self.note(asker, right, "org.deleted", Subject::Object(Object::Org(id)));
        }
        Ok(Answer::default())
    }

    fn groups_of(&self, org: Id) -> Vec<Id> {
        self.groups.iter().filter(|(_, group)| group.org == Some(org)).map(|(id, _)| *id).collect()
    }

    /// Nothing of a group remains.
    fn empty_group(&mut self, id: Id) {
        let gone: Vec<Id> =
            self.things.iter().filter(|(_, thing)| thing.group == id).map(|(id, _)| *id).collect();
        gone.into_iter().for_each(|thing| self.forget_thing(thing));
        self.profiles.retain(|_, profile| profile.group != id);
        self.tokens.retain(|_, token| token.within != Some(Place::Group(id)));
        self.invites.retain(|_, invite| invite.group != Some(id));
        self.groups.remove(&id);
        self.touched.insert(Object::Group(id));
    }

    pub fn create_groups(&mut self, asker: &Asker, org: Id, groups: &[New]) -> Outcome {
        let right = self.may(asker, Object::Org(org), Deed::Edit)?;
        refuse(ConflictKind::IdTaken, groups, |new| self.groups.contains_key(&new.id))?;
        refuse(ConflictKind::GroupNameTaken, groups, |new| {
            self.group_name_is_free(org, new.name, None).is_err()
        })?;
        let mut first = self.orgs[&org].members.clone();
        first.retain(|person, role| *role == Role::Owner || *person == asker.person);
        first.values_mut().for_each(|role| *role = if *role == Role::Owner { *role } else { Role::Admin });
        let mut made = Vec::new();
        for new in groups {
            let group = self.party_of(Some(org), new.name, new.metadata, first.clone());
            self.groups.insert(new.id, group);
            let object = Object::Group(new.id);
            self.touched.insert(object);
            self.note(
                asker,
                Right { group: Some(new.id), ..right },
                "group.created",
                Subject::Object(object),
            );
            // The creator's role now that they are a member, not the one they created it by.
            let role = self.right(asker, object).map_or(right.role, |right| right.role);
            made.push(self.row(object, role));
        }
        rows(made)
    }

    pub fn delete_groups(&mut self, asker: &Asker, ids: &[Id], wanted: &Wanted) -> Outcome {
        let ids = distinct(ids);
        let objects: Vec<Object> = ids.iter().map(|id| Object::Group(*id)).collect();
        let rights = self.may_all(asker, &objects, Deed::Own)?;
        objects.iter().try_for_each(|object| self.check(*object, wanted))?;
        for (id, right) in ids.into_iter().zip(rights) {
            self.empty_group(id);
            self.note(asker, right, "group.deleted", Subject::Object(Object::Group(id)));
        }
        Ok(Answer::default())
    }

    pub fn add_members(&mut self, asker: &Asker, place: Place, new: &[(Who, Role)]) -> Outcome {
        let right = self.may(asker, place.into(), Deed::Administer)?;
        new.iter().try_for_each(|(_, role)| right.outranks(*role))?;
        let mut errors = BTreeSet::new();
        let mut people = Vec::new();
        for (item, (who, _)) in new.iter().enumerate() {
            match who.account(self) {
                Some(person) if !people.contains(&person) => people.push(person),
                _ => drop(errors.insert((Some(item), who.field().to_owned()))),
            }
        }
        all_valid(errors)?;
        if let Place::Group(_) = place {
            let in_org = &self.orgs[&right.org].members;
            refuse(ConflictKind::NotInOrg, &people, |person| !in_org.contains_key(person))?;
        }
        let present = self.party(place).unwrap().members.clone();
        refuse(ConflictKind::AlreadyMember, &people, |person| present.contains_key(person))?;
        let mut made = Vec::new();
        for (person, (_, role)) in people.iter().copied().zip(new) {
            self.party_mut(place).unwrap().members.insert(person, *role);
            self.note(asker, right, "member.added", Subject::Person(person));
            made.push(self.member_row(person, *role, true));
        }
        if let Place::Org(_) = place {
            people.into_iter().for_each(|person| self.overtake(asker, right, person));
        }
        rows(made)
    }

    pub fn change_roles(&mut self, asker: &Asker, place: Place, changes: &[(Person, Role)]) -> Outcome {
        let right = self.may(asker, place.into(), Deed::Administer)?;
        let before = self.party(place).unwrap().members.clone();
        let people: Vec<Person> = changes.iter().map(|(person, _)| *person).collect();
        refuse(ConflictKind::NotAMember, &people, |person| !before.contains_key(person))?;
        let mut made = Vec::new();
        for (person, role) in changes {
            let had = before[person];
            right.outranks(had)?;
            right.outranks(*role)?;
            if *person == asker.person && *role > had {
                return Err(Refusal::Forbidden(Denial::Rank));
            }
            if had != *role {
                self.party_mut(place).unwrap().members.insert(*person, *role);
                self.note(asker, right, "member.updated", Subject::Person(*person));
            }
            made.push(self.member_row(*person, *role, true));
        }
        self.keeps_an_owner(place, &people, &before)?;
        rows(made)
    }

    fn keeps_an_owner(
        &self,
        place: Place,
        people: &[Person],
        before: &BTreeMap<Person, Role>,
    ) -> Result<(), Refusal> {
        if self.owners(place).is_empty() {
            let owned = |person: &Person| before.get(person) == Some(&Role::Owner);
            refuse(ConflictKind::LastOwner, people, owned)?;
        }
        Ok(())
    }

    fn owners(&self, place: Place) -> Vec<Person> {
        let members = &self.party(place).unwrap().members;
        members.iter().filter(|(_, role)| **role == Role::Owner).map(|(person, _)| *person).collect()
    }

    pub fn remove_members(&mut self, asker: &Asker, place: Place, people: &[Person]) -> Outcome {
        let right = self.may(asker, place.into(), Deed::Leave)?;
        if right.role < Role::Admin && people.iter().any(|person| *person != asker.person) {
            return Err(Refusal::Forbidden(Denial::Role));
        }
        let before = self.party(place).unwrap().members.clone();
        refuse(ConflictKind::NotAMember, people, |person| !before.contains_key(person))?;
        let leaving = distinct(people);
        for person in leaving.iter().filter(|person| **person != asker.person) {
            right.outranks(before[person])?;
        }
        self.party_mut(place).unwrap().members.retain(|person, _| !leaving.contains(person));
        self.keeps_an_owner(place, people, &before)?;
        if let Place::Org(org) = place {
            self.invites_leave(asker, right, place, &leaving);
            self.leave_groups(asker, right, org, &leaving);
        }
        self.tokens.retain(|_, token| {
            let here = match (place, token.within) {
                (Place::Org(org), Some(Place::Group(group))) => {
                    self.groups.get(&group).and_then(|group| group.org) == Some(org)
                }
                (place, within) => within == Some(place),
            };
            !(here && leaving.contains(&token.person))
        });
        for person in leaving {
            if let Place::Group(_) = place {
                self.invites_leave(asker, right, place, &[person]);
            }
            self.note(asker, right, "member.removed", Subject::Person(person));
        }
        Ok(Answer::default())
    }

    /// Whoever leaves an organisation leaves its groups; groups that lose their last owner by it fall
    /// to the organisation's owners.
    fn leave_groups(&mut self, asker: &Asker, right: Right, org: Id, leaving: &[Person]) {
        let heirs = self.owners(Place::Org(org));
        let (mut adopted, mut left) = (Vec::new(), Vec::new());
        for id in self.groups_of(org) {
            let group = self.groups.get_mut(&id).unwrap();
            let owned = group.members.values().any(|role| *role == Role::Owner);
            let gone: Vec<Person> =
                leaving.iter().copied().filter(|person| group.members.remove(person).is_some()).collect();
            if owned && !group.members.values().any(|role| *role == Role::Owner) {
                for heir in &heirs {
                    let was_member = group.members.insert(*heir, Role::Owner).is_some();
                    adopted.push((id, *heir, if was_member { "member.updated" } else { "member.added" }));
                }
            }
            left.extend(gone.into_iter().map(|person| (id, person, "member.removed")));
        }
        for (group, person, action) in adopted.into_iter().chain(left) {
            self.note(asker, Right { group: Some(group), ..right }, action, Subject::Person(person));
        }
    }

    pub fn transfer(&mut self, asker: &Asker, place: Place, to: Person) -> Outcome {
        let right = self.may(asker, place.into(), Deed::Own)?;
        if !self.party(place).unwrap().members.contains_key(&to) {
            return Err(Refusal::Conflict(ConflictKind::NotAMember, Vec::new()));
        }
        if !self.people[to].enabled {
            return Err(invalid("member_id"));
        }
        let owners = self.owners(place);
        let action = match place {
            Place::Org(_) => "org.transferred",
            Place::Group(_) => "group.transferred",
        };
        self.party_mut(place).unwrap().members.insert(to, Role::Owner);
        self.note(asker, right, action, Subject::Person(to));
        let by_owner = owners.contains(&asker.person);
        for owner in owners.into_iter().filter(|owner| *owner != to) {
            if !by_owner || owner == asker.person {
                self.party_mut(place).unwrap().members.insert(owner, Role::Admin);
                self.note(asker, right, "member.updated", Subject::Person(owner));
            }
        }
        Ok(Answer::default())
    }

    /// An entry as the journal's list shows it.
    pub fn entry_row(entry: &Entry) -> Value {
        let via: Via = entry.via;
        json!({ "action": entry.action, "subject": format!("{:?}", entry.subject), "org": entry.org,
                "group": entry.group, "actor": entry.actor, "via": via.as_str() })
    }
}

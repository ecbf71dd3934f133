//! What each request should do: the frame around all of them, and those about accounts.

use std::collections::BTreeSet;

use registry::{ConflictKind, Role, credentials::CredentialKind, credentials::MAX_OVERLAP};
use serde_json::json;

use super::{
    commands::{By, Id, Key, Object, Op, Person, Place, ROOT},
    policy::{Asker, Deed, all_valid, invalid, repeats},
    reference::{
        ANSWERS_KEPT, Answer, Kept, Kind, Outcome, Refusal, SECOND, SESSION_LIFE, Session, Subject, Token,
        Wanted, World, parse,
    },
};

/// A token lives ten years at most.
const TOKEN_LIFE: i64 = 10 * 366 * 24 * 3600;

impl World {
    pub fn ask(&mut self, by: By, op: &Op, replay: Option<Id>, wanted: &Wanted) -> Outcome {
        let asker = self.authenticate(by)?;
        self.valid_in_itself(&asker, op)?;
        if brings_keys(op) && self.room(asker.person) == 0 {
            return Err(Refusal::TooMany);
        }
        let Some(key) = replay.filter(|_| op.writes()) else { return self.perform(&asker, op, wanted) };
        // A narrower token is another principal: it is not told what a wider one was.
        let said = (asker.by == By::Nobody).then(|| format!("{op:?}"));
        let request = (asker.person, (asker.can_write, asker.within), op.kind(), key, said);
        if let Some(kept) = self.kept.get(&request).filter(|kept| kept.at > self.now - ANSWERS_KEPT) {
            return if kept.op == *op { kept.answer.clone() } else { Err(Refusal::ReplayMismatch) };
        }
        let answer = self.perform(&asker, op, wanted);
        if answer.is_ok() || self.lasting {
            self.kept.insert(request, Kept { op: op.clone(), answer: answer.clone(), at: self.now });
        }
        answer
    }

    fn perform(&mut self, asker: &Asker, op: &Op, wanted: &Wanted) -> Outcome {
        match op {
            Op::CreateOrg { id, name, metadata } => self.create_org(asker, *id, name, metadata),
            Op::UpdateOrg { id, patch, .. } => self.update_party(asker, Place::Org(*id), *patch, wanted),
            Op::UpdateGroup { id, patch, .. } => self.update_party(asker, Place::Group(*id), *patch, wanted),
            Op::DeleteOrgs { ids, .. } => self.delete_orgs(asker, ids, wanted),
            Op::AddMembers { place, members } => self.add_members(asker, *place, members),
            Op::ChangeRoles { place, changes } => self.change_roles(asker, *place, changes),
            Op::RemoveMembers { place, people } => self.remove_members(asker, *place, people),
            Op::Transfer { place, to } => self.transfer(asker, *place, *to),
            Op::CreateGroups { org, groups } => self.create_groups(asker, *org, groups),
            Op::DeleteGroups { ids, .. } => self.delete_groups(asker, ids, wanted),
            Op::CreateProfiles { group, profiles } => self.create_profiles(asker, *group, profiles),
            Op::UpdateProfile { id, patch, config, .. } => {
                self.update_profile(asker, *id, *patch, *config, wanted)
            }
            Op::DeleteProfiles { ids, .. } => self.delete_profiles(asker, ids, wanted),
            Op::CreateThings { profile, things } => self.create_things(asker, *profile, things),
            Op::UpdateThing { id, patch, kind, key, .. } => {
                self.update_thing(asker, *id, *patch, *kind, *key, wanted)
            }
            Op::MoveThing { id, group, profile, .. } => self.move_thing(asker, *id, *group, *profile, wanted),
            Op::MergeMetadata { updates } => self.merge_metadata(asker, updates),
            Op::DeleteThings { ids, .. } => self.delete_things(asker, ids, wanted),
            Op::RotateKey { id, overlap_seconds, made } => {
                self.rotate_key(asker, *id, *overlap_seconds, *made)
            }
            Op::SetExternalKey { id, key, .. } => self.set_external_key(asker, *id, *key, wanted),
            Op::ClearExternalKey { id, .. } => self.clear_external_key(asker, *id, wanted),
            Op::RevealKey { id } => self.reveal_key(asker, *id),
            Op::SetStatus { person, enabled } => self.set_status(asker, *person, *enabled),
            Op::CreateToken { token, can_write, within, life_seconds } => {
                self.create_token(asker, *token, *can_write, *within, *life_seconds)
            }
            Op::DeleteToken { token } => self.delete_token(asker, *token),
            Op::LogOut => self.log_out(asker),
            Op::View { object } => self.view(asker, *object),
            Op::ViewAround { thing, group } => {
                self.may(asker, Object::Thing(*thing), Deed::View)?;
                let found = &self.things[thing];
                let around = if *group { Object::Group(found.group) } else { Object::Profile(found.profile) };
                self.view(asker, around)
            }
            Op::List(list) => self.list(asker, list),
            Op::Invites(op) => self.perform_invites(asker, op),
        }
    }

    /// Whether the object is as the request expects.
    pub fn check(&self, object: Object, wanted: &Wanted) -> Result<(), Refusal> {
        match wanted {
            Wanted::Any => Ok(()),
            Wanted::Content(of, content)
                if *of == object && self.content(object).as_ref() == Some(content) =>
            {
                Ok(())
            }
            Wanted::Content(..) | Wanted::Nothing => Err(Refusal::Stale),
        }
    }

    fn view(&mut self, asker: &Asker, object: Object) -> Outcome {
        let right = self.may(asker, object, Deed::View)?;
        let keys = match object {
            Object::Thing(id) => {
                let shown = right.role >= Role::Editor && asker.can_write;
                vec![shown.then_some(self.things[&id].key)]
            }
            _ => Vec::new(),
        };
        Ok(Answer { rows: vec![self.row(object, right.role)], keys })
    }

    /// A device shows a credential: the kinds never cross, and a previous key ends on time.
    pub fn present(&mut self, kind: CredentialKind, key: Key) -> Outcome {
        let Some((thing, stands)) = self.index.get(&key) else { return Err(Refusal::NotFound) };
        let right = match (kind, stands) {
            (CredentialKind::Internal, Kind::Key) | (CredentialKind::External, Kind::External) => true,
            (CredentialKind::Internal, Kind::Previous { not_after }) => self.now < *not_after,
            _ => false,
        };
        if !right {
            return Err(Refusal::NotFound);
        }
        let metadata = &self.things[thing].metadata;
        Ok(Answer { rows: vec![json!({ "thing": thing, "metadata": metadata })], keys: Vec::new() })
    }

    pub fn log_in(&mut self, person: Person, session: Id) -> Outcome {
        if !self.people[person].enabled {
            return Err(Refusal::Unauthenticated);
        }
        self.sessions.insert(session, Session { person, expires_at: self.now + SESSION_LIFE });
        self.note_own(person, "session.created", Subject::Session);
        Ok(Answer { rows: vec![json!({ "expires": self.now + SESSION_LIFE })], keys: Vec::new() })
    }

    fn log_out(&mut self, asker: &Asker) -> Outcome {
        asker.logged_in()?;
        if let By::Session(id) = asker.by {
            self.sessions.remove(&id);
        }
        self.note_own(asker.person, "session.ended", Subject::Session);
        Ok(Answer::default())
    }

    fn set_status(&mut self, asker: &Asker, person: Person, enabled: bool) -> Outcome {
        if asker.person != ROOT && asker.person != person {
            // Somebody else's account is not there for them.
            return Err(Refusal::NotFound);
        }
        asker.administers_platform()?;
        let Some(now) = self.people.get(person) else { return Err(Refusal::NotFound) };
        if now.enabled == enabled {
            return Ok(Answer::default());
        }
        if !enabled {
            if person == ROOT {
                return Err(Refusal::Conflict(ConflictKind::LastPlatformAdmin, Vec::new()));
            }
            self.sessions.retain(|_, session| session.person != person);
            self.tokens.retain(|_, token| token.person != person);
        }
        self.people[person].enabled = enabled;
        let action = if enabled { "user.enabled" } else { "user.disabled" };
        let subject = Subject::Person(person);
        self.note_at(Some(asker.person), registry::Via::PlatformAdmin, action, subject, (None, None));
        if !enabled {
            self.revoke_sent(asker.person, person);
        }
        Ok(Answer::default())
    }

    fn create_token(
        &mut self,
        asker: &Asker,
        token: Id,
        can_write: bool,
        within: Option<Place>,
        life_seconds: Option<i64>,
    ) -> Outcome {
        if life_seconds.is_some_and(|life| !(1..=TOKEN_LIFE).contains(&life)) {
            return Err(invalid("expires_at"));
        }
        if let Some(place) = within {
            self.may(asker, place.into(), Deed::View)?;
        }
        let expires_at = life_seconds.map(|life| self.now + life * SECOND);
        let made = Token { person: asker.person, can_write, within, created_at: self.now, expires_at };
        self.tokens.insert(token, made);
        self.note_own(asker.person, "token.created", Subject::Token(token));
        Ok(Answer { rows: vec![self.token_row(token)], keys: Vec::new() })
    }

    pub fn token_row(&self, id: Id) -> serde_json::Value {
        let token = &self.tokens[&id];
        let within = token.within.map(|place| format!("{place:?}"));
        json!({ "token": id, "writes": token.can_write, "within": within,
                "created": token.created_at, "expires": token.expires_at })
    }

    fn delete_token(&mut self, asker: &Asker, token: Id) -> Outcome {
        asker.oneself(true)?;
        if self.tokens.get(&token).is_none_or(|found| found.person != asker.person) {
            return Err(Refusal::NotFound);
        }
        self.tokens.remove(&token);
        self.note_own(asker.person, "token.deleted", Subject::Token(token));
        Ok(Answer::default())
    }

    /// What is wrong with a request whatever the state of the world; it is refused even as a repetition.
    fn valid_in_itself(&self, asker: &Asker, op: &Op) -> Result<(), Refusal> {
        let empty = |field: &str, items: usize| if items == 0 { Err(invalid(field)) } else { Ok(()) };
        let memberships = |place: &Place| match place {
            Place::Org(_) => "org_memberships",
            Place::Group(_) => "group_memberships",
        };
        let owners = |roles: &[Role]| {
            let owner = |(item, role): (usize, &Role)| {
                (*role == Role::Owner).then_some((Some(item), "role".to_owned()))
            };
            roles.iter().enumerate().filter_map(owner).collect::<BTreeSet<_>>()
        };
        match op {
            Op::DeleteOrgs { ids, .. } => empty("org_ids", ids.len()),
            Op::DeleteGroups { ids, .. } => empty("group_ids", ids.len()),
            Op::DeleteProfiles { ids, .. } => empty("profile_ids", ids.len()),
            Op::DeleteThings { ids, .. } => empty("thing_ids", ids.len()),
            Op::AddMembers { place, members } => {
                empty(memberships(place), members.len())?;
                all_valid(owners(&members.iter().map(|(_, role)| *role).collect::<Vec<_>>()))
            }
            Op::ChangeRoles { place, changes } => {
                empty(memberships(place), changes.len())?;
                all_valid(owners(&changes.iter().map(|(_, role)| *role).collect::<Vec<_>>()))?;
                all_valid(repeats("member_id", changes.iter().map(|(person, _)| Some(*person))))
            }
            Op::RemoveMembers { people, .. } => empty("member_ids", people.len()),
            Op::Transfer { to, .. } if *to == asker.person => Err(invalid("member_id")),
            Op::CreateGroups { groups: new, .. } | Op::CreateProfiles { profiles: new, .. } => {
                empty("", new.len())?;
                let mut errors = repeats("name", new.iter().map(|new| Some(new.name)));
                errors.append(&mut repeats("id", new.iter().map(|new| Some(new.id))));
                all_valid(errors)
            }
            Op::CreateThings { things, .. } => {
                empty("", things.len())?;
                let mut errors = repeats("name", things.iter().map(|new| Some(new.name)));
                errors.append(&mut repeats("id", things.iter().map(|new| Some(new.id))));
                errors.append(&mut repeats("key", things.iter().map(|new| new.key)));
                errors.append(&mut repeats("external_key", things.iter().map(|new| new.external)));
                for (item, new) in things.iter().enumerate() {
                    let taken = things.iter().any(|other| other.key.is_some() && other.key == new.external);
                    errors.extend(taken.then(|| (Some(item), "external_key".to_owned())));
                }
                all_valid(errors)
            }
            Op::MergeMetadata { updates } => {
                empty("", updates.len())?;
                all_valid(repeats("id", updates.iter().map(|(id, _)| Some(*id))))
            }
            Op::RotateKey { overlap_seconds, .. } if *overlap_seconds > MAX_OVERLAP.as_secs() => {
                Err(invalid("overlap"))
            }
            Op::CreateToken { .. } => asker.logged_in(),
            Op::Invites(op) => op.valid_in_itself(asker, self),
            _ => Ok(()),
        }
    }
}

/// Whether the answer could tell that a key of the client's choice is taken.
fn brings_keys(op: &Op) -> bool {
    match op {
        Op::CreateThings { things, .. } => {
            things.iter().any(|new| new.key.is_some() || new.external.is_some())
        }
        Op::UpdateThing { key, .. } => key.is_some(),
        Op::SetExternalKey { .. } => true,
        _ => false,
    }
}

/// Lays one object over another, one level deep.
pub fn merged(below: &serde_json::Value, above: &str) -> serde_json::Value {
    let mut members = below.as_object().unwrap().clone();
    members.extend(parse(above).as_object().unwrap().clone());
    members.into()
}

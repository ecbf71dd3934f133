//! What requests about profiles, things and their keys should do.

use std::collections::BTreeMap;

use registry::{ConflictKind, Role, things::ThingType};
use serde_json::{Value, json};

use super::{
    commands::{Id, Key, New, NewThing, Object, Patch},
    parties::{distinct, refuse},
    policy::{Asker, Deed, invalid},
    reference::{Answer, Kind, Outcome, Profile, Refusal, SECOND, Subject, Thing, Wanted, World, parse},
    rules::merged,
};

/// A configuration with the flags that are true where absent.
fn config(text: &str) -> Value {
    let mut full = json!({ "write_enabled": true, "webhook_enabled": true, "rule_enabled": true });
    full.as_object_mut().unwrap().extend(parse(text).as_object().unwrap().clone());
    full
}

fn thing_of(id: Id) -> Subject {
    Subject::Object(Object::Thing(id))
}

impl World {
    pub fn create_profiles(&mut self, asker: &Asker, group: Id, profiles: &[New]) -> Outcome {
        let right = self.may(asker, Object::Group(group), Deed::Edit)?;
        refuse(ConflictKind::IdTaken, profiles, |new| self.profiles.contains_key(&new.id))?;
        let names = self.profile_names(group, None);
        refuse(ConflictKind::ProfileNameTaken, profiles, |new| names.contains(&new.name))?;
        let mut made = Vec::new();
        for new in profiles {
            let (config, metadata) = (new.config.map(config), parse(new.metadata));
            self.profiles.insert(new.id, Profile { group, name: new.name, config, metadata });
            let object = Object::Profile(new.id);
            self.touched.insert(object);
            self.note(asker, right, "profile.created", Subject::Object(object));
            made.push(self.row(object, right.role));
        }
        Ok(Answer { rows: made, keys: Vec::new() })
    }

    fn profile_names(&self, group: Id, except: Option<Id>) -> Vec<&'static str> {
        let here =
            self.profiles.iter().filter(|(id, profile)| profile.group == group && Some(**id) != except);
        here.map(|(_, profile)| profile.name).collect()
    }

    fn thing_names(&self, group: Id, except: Option<Id>) -> Vec<&'static str> {
        let here = self.things.iter().filter(|(id, thing)| thing.group == group && Some(**id) != except);
        here.map(|(_, thing)| thing.name).collect()
    }

    pub fn update_profile(
        &mut self,
        asker: &Asker,
        id: Id,
        patch: Patch,
        new_config: Option<Option<&'static str>>,
        wanted: &Wanted,
    ) -> Outcome {
        let object = Object::Profile(id);
        let right = self.may(asker, object, Deed::Edit)?;
        self.check(object, wanted)?;
        let before = self.profiles[&id].clone();
        if self.profile_names(before.group, Some(id)).contains(&patch.name) {
            return Err(Refusal::Conflict(ConflictKind::ProfileNameTaken, Vec::new()));
        }
        let after = Profile {
            name: patch.name,
            config: new_config.map_or(before.config, |new| new.map(config)),
            metadata: patch.metadata.map_or(before.metadata, parse),
            ..before
        };
        let content = self.content(object);
        self.profiles.insert(id, after);
        self.touched.insert(object);
        if self.content(object) != content {
            self.note(asker, right, "profile.updated", Subject::Object(object));
        }
        Ok(Answer { rows: vec![self.row(object, right.role)], keys: Vec::new() })
    }

    pub fn delete_profiles(&mut self, asker: &Asker, ids: &[Id], wanted: &Wanted) -> Outcome {
        let objects: Vec<Object> = distinct(ids).into_iter().map(Object::Profile).collect();
        let rights = self.may_all(asker, &objects, Deed::Administer)?;
        objects.iter().try_for_each(|object| self.check(*object, wanted))?;
        let used = |id: &Id| self.things.values().any(|thing| thing.profile == *id);
        let things = self.things.values().filter(|thing| ids.contains(&thing.profile)).count();
        refuse(ConflictKind::ProfileInUse { things: i64::try_from(things).unwrap() }, ids, used)?;
        for (object, right) in objects.into_iter().zip(rights) {
            if let Object::Profile(id) = object {
                self.profiles.remove(&id);
            }
            self.touched.insert(object);
            self.note(asker, right, "profile.deleted", Subject::Object(object));
        }
        Ok(Answer::default())
    }

    pub fn create_things(&mut self, asker: &Asker, profile: Id, things: &[NewThing]) -> Outcome {
        let right = self.may(asker, Object::Profile(profile), Deed::Edit)?;
        let group = self.profiles[&profile].group;
        refuse(ConflictKind::IdTaken, things, |new| self.things.contains_key(&new.id))?;
        let names = self.thing_names(group, None);
        refuse(ConflictKind::ThingNameTaken, things, |new| names.contains(&new.name))?;
        let taken = |key: Option<Key>| key.is_some_and(|key| self.index.contains_key(&key));
        refuse(ConflictKind::CredentialUnavailable, things, |new| taken(new.key) || taken(new.external))?;
        let mut answer = Answer::default();
        for new in things {
            let key = new.key.unwrap_or(Key::Made(new.made));
            let thing = Thing {
                group,
                profile,
                name: new.name,
                kind: new.kind,
                key,
                external: new.external,
                metadata: parse(new.metadata),
            };
            self.things.insert(new.id, thing);
            self.stand(key, new.id, Kind::Key);
            if let Some(external) = new.external {
                self.stand(external, new.id, Kind::External);
            }
            let object = Object::Thing(new.id);
            self.touched.insert(object);
            self.note(asker, right, "thing.created", Subject::Object(object));
            answer.rows.push(self.row(object, right.role));
            answer.keys.push(Some(key));
        }
        Ok(answer)
    }

    fn stand(&mut self, key: Key, thing: Id, kind: Kind) {
        self.index.insert(key, (thing, kind));
        self.issued.insert(key);
    }

    /// Ends the thing's values of some kinds.
    fn end(&mut self, thing: Id, which: impl Fn(Kind) -> bool) {
        self.index.retain(|_, (of, kind)| *of != thing || !which(*kind));
    }

    pub fn forget_thing(&mut self, id: Id) {
        self.things.remove(&id);
        self.end(id, |_| true);
        self.touched.insert(Object::Thing(id));
    }

    /// Puts a key in the place of the present one, which stays valid until `not_after`, if at all.
    fn replace_key(&mut self, id: Id, key: Key, not_after: Option<i64>) -> Result<(), Refusal> {
        self.end(id, |kind| matches!(kind, Kind::Previous { .. }));
        let old = self.things[&id].key;
        match not_after {
            Some(not_after) => self.stand(old, id, Kind::Previous { not_after }),
            None => self.end(id, |kind| kind == Kind::Key),
        }
        if self.index.contains_key(&key) {
            return Err(Refusal::Conflict(ConflictKind::CredentialUnavailable, Vec::new()));
        }
        self.stand(key, id, Kind::Key);
        self.things.get_mut(&id).unwrap().key = key;
        Ok(())
    }

    pub fn update_thing(
        &mut self,
        asker: &Asker,
        id: Id,
        patch: Patch,
        kind: Option<ThingType>,
        key: Option<Key>,
        wanted: &Wanted,
    ) -> Outcome {
        let object = Object::Thing(id);
        let right = self.may(asker, object, Deed::Edit)?;
        self.check(object, wanted)?;
        let (before, content) = (self.things[&id].clone(), self.content(object));
        if self.thing_names(before.group, Some(id)).contains(&patch.name) {
            return Err(Refusal::Conflict(ConflictKind::ThingNameTaken, Vec::new()));
        }
        if let Some(key) = key.filter(|key| *key != before.key) {
            self.replace_key(id, key, None)?;
        }
        let thing = self.things.get_mut(&id).unwrap();
        thing.name = patch.name;
        thing.kind = kind.unwrap_or(thing.kind);
        thing.metadata = patch.metadata.map_or_else(|| thing.metadata.clone(), parse);
        self.touched.insert(object);
        if self.content(object) != content {
            self.note(asker, right, "thing.updated", thing_of(id));
        }
        Ok(Answer { rows: vec![self.row(object, right.role)], keys: Vec::new() })
    }

    pub fn move_thing(&mut self, asker: &Asker, id: Id, group: Id, profile: Id, wanted: &Wanted) -> Outcome {
        let from = self.may(asker, Object::Thing(id), Deed::Edit)?;
        let to = self.may(asker, Object::Group(group), Deed::Edit)?;
        self.may(asker, Object::Profile(profile), Deed::Edit)?;
        if self.profiles[&profile].group != group {
            return Err(invalid("profile_id"));
        }
        self.check(Object::Thing(id), wanted)?;
        let name = self.things[&id].name;
        if self.thing_names(group, Some(id)).contains(&name) {
            return Err(Refusal::Conflict(ConflictKind::ThingNameTaken, Vec::new()));
        }
        let thing = self.things.get_mut(&id).unwrap();
        let (left, moved) = (thing.group != group, thing.profile != profile);
        thing.group = group;
        thing.profile = profile;
        self.touched.insert(Object::Thing(id));
        if moved {
            self.note(asker, from, "thing.moved", thing_of(id));
        }
        if left {
            self.note(asker, to, "thing.arrived", thing_of(id));
        }
        Ok(Answer { rows: vec![self.row(Object::Thing(id), to.role)], keys: Vec::new() })
    }

    pub fn merge_metadata(&mut self, asker: &Asker, updates: &[(Id, &'static str)]) -> Outcome {
        let objects: Vec<Object> = updates.iter().map(|(id, _)| Object::Thing(*id)).collect();
        let rights = self.may_all(asker, &objects, Deed::Edit)?;
        let mut rows = BTreeMap::new();
        // Told in the order of the request, done and journalled in that of the ids.
        let mut done: Vec<_> = updates.iter().zip(rights).enumerate().collect();
        done.sort_by_key(|(_, ((id, _), _))| *id);
        for (item, ((id, above), right)) in done {
            let thing = self.things.get_mut(id).unwrap();
            let after = merged(&thing.metadata, above);
            let changed = after != thing.metadata;
            thing.metadata = after;
            self.touched.insert(Object::Thing(*id));
            if changed {
                self.note(asker, right, "thing.updated", thing_of(*id));
            }
            rows.insert(item, self.row(Object::Thing(*id), right.role));
        }
        Ok(Answer { rows: rows.into_values().collect(), keys: Vec::new() })
    }

    pub fn delete_things(&mut self, asker: &Asker, ids: &[Id], wanted: &Wanted) -> Outcome {
        let ids = distinct(ids);
        let objects: Vec<Object> = ids.iter().map(|id| Object::Thing(*id)).collect();
        let rights = self.may_all(asker, &objects, Deed::Administer)?;
        objects.iter().try_for_each(|object| self.check(*object, wanted))?;
        for (id, right) in ids.into_iter().zip(rights) {
            self.forget_thing(id);
            self.note(asker, right, "thing.deleted", thing_of(id));
        }
        Ok(Answer::default())
    }

    pub fn rotate_key(&mut self, asker: &Asker, id: Id, overlap_seconds: u64, made: Id) -> Outcome {
        let right = self.may(asker, Object::Thing(id), Deed::Edit)?;
        let overlap = i64::try_from(overlap_seconds).unwrap() * SECOND;
        self.replace_key(id, Key::Made(made), (overlap > 0).then_some(self.now + overlap))?;
        self.touched.insert(Object::Thing(id));
        self.note(asker, right, "thing.key_rotated", thing_of(id));
        Ok(self.with_key(id, right.role))
    }

    fn with_key(&self, id: Id, role: Role) -> Answer {
        Answer { rows: vec![self.row(Object::Thing(id), role)], keys: vec![Some(self.things[&id].key)] }
    }

    pub fn set_external_key(&mut self, asker: &Asker, id: Id, key: Key, wanted: &Wanted) -> Outcome {
        let object = Object::Thing(id);
        let right = self.may(asker, object, Deed::Edit)?;
        self.check(object, wanted)?;
        self.end(id, |kind| kind == Kind::External);
        if self.index.contains_key(&key) {
            return Err(Refusal::Conflict(ConflictKind::CredentialUnavailable, Vec::new()));
        }
        self.stand(key, id, Kind::External);
        self.things.get_mut(&id).unwrap().external = Some(key);
        self.touched.insert(object);
        self.note(asker, right, "thing.external_key_set", thing_of(id));
        Ok(Answer { rows: vec![self.row(object, right.role)], keys: Vec::new() })
    }

    pub fn clear_external_key(&mut self, asker: &Asker, id: Id, wanted: &Wanted) -> Outcome {
        let right = self.may(asker, Object::Thing(id), Deed::Administer)?;
        self.check(Object::Thing(id), wanted)?;
        if self.things.get_mut(&id).unwrap().external.take().is_some() {
            self.end(id, |kind| kind == Kind::External);
            self.touched.insert(Object::Thing(id));
            self.note(asker, right, "thing.external_key_cleared", thing_of(id));
        }
        Ok(Answer::default())
    }

    pub fn reveal_key(&mut self, asker: &Asker, id: Id) -> Outcome {
        let right = self.may(asker, Object::Thing(id), Deed::Edit)?;
        self.note(asker, right, "thing.key_revealed", thing_of(id));
        Ok(self.with_key(id, right.role))
    }
}

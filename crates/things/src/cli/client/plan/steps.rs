//! From how it is to how it is to be: the steps, in the order in which they can be taken.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{
    super::{Failure, asked::text},
    found::{self, Found},
    wanted::{self, Status, Wanted},
};

/// What is to be done.
pub(super) struct Plan {
    pub(super) org: String,
    pub(super) steps: Vec<Step>,
    /// What is there and not in the file, and is left because nobody said `--prune`.
    pub(super) spared: usize,
}

/// One change.
pub(super) struct Step {
    pub(super) sign: Sign,
    /// The group it is in; the organisation without.
    pub(super) group: Option<String>,
    pub(super) noun: &'static str,
    pub(super) name: String,
    /// What changes, a line for each.
    pub(super) details: Vec<String>,
    pub(super) action: Action,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Sign {
    Make,
    Change,
    Delete,
}

/// How it is made. Groups and profiles that are made on the way have no ids yet: they are named.
pub(super) enum Action {
    AddMember {
        email: String,
        role: &'static str,
    },
    SetRole {
        id: String,
        role: &'static str,
    },
    RemoveMember {
        id: String,
    },
    CreateGroup {
        body: Value,
    },
    CreateProfile {
        body: Value,
    },
    CreateThing {
        profile: String,
        body: Value,
        disabled: bool,
    },
    /// A PUT of a group or profile, which must still be as it was seen.
    Update {
        path: String,
        seen: Value,
        body: Value,
    },
    ChangeThing(Box<ThingChange>),
    Delete {
        path: String,
        seen: Value,
    },
}

/// Everything that changes of one thing; its parts are calls of their own.
pub(super) struct ThingChange {
    pub(super) id: String,
    pub(super) seen: Value,
    pub(super) body: Option<Value>,
    /// The profile's name.
    pub(super) profile: Option<String>,
    pub(super) external_key: Option<String>,
    pub(super) status: Option<Status>,
}

impl Plan {
    pub(super) fn new(wanted: &Wanted, found: &Found, prune: bool) -> Result<Self, Failure> {
        let mut planning = Planning { found, prune, steps: Vec::new(), late: Vec::new(), spared: 0 };
        planning.members(None, wanted.members.as_deref(), &found.members);
        let removals = std::mem::take(&mut planning.late);
        for group in wanted.groups() {
            planning.group(group)?;
        }
        let named: BTreeSet<&str> = wanted.groups().iter().map(|group| group.name.as_str()).collect();
        for (name, group) in
            found.groups.iter().filter(|(name, _)| wanted.groups.is_some() && !named.contains(name.as_str()))
        {
            let action = Action::Delete { path: format!("/groups/{}", group.id), seen: group.value.clone() };
            planning.delete(Step::new(Sign::Delete, None, "group", name, action));
        }
        planning.late.extend(removals);
        let mut steps = planning.steps;
        steps.extend(planning.late);
        Ok(Self { org: wanted.organisation.clone(), steps, spared: planning.spared })
    }
}

impl Step {
    fn new(sign: Sign, group: Option<&str>, noun: &'static str, name: &str, action: Action) -> Self {
        Self {
            sign,
            group: group.map(str::to_owned),
            noun,
            name: name.to_owned(),
            details: Vec::new(),
            action,
        }
    }

    fn with(mut self, details: Vec<String>) -> Self {
        self.details = details;
        self
    }
}

struct Planning<'a> {
    found: &'a Found,
    prune: bool,
    steps: Vec<Step>,
    /// What is deleted when nothing needs it any more.
    late: Vec<Step>,
    spared: usize,
}

impl Planning<'_> {
    fn delete(&mut self, step: Step) {
        if self.prune { self.late.push(step) } else { self.spared += 1 }
    }

    fn members(&mut self, group: Option<&str>, wanted: Option<&[wanted::Member]>, found: &[Value]) {
        let Some(wanted) = wanted else { return };
        for member in wanted {
            let role = member.role.as_str();
            match found.iter().find(|found| text(found, "email").eq_ignore_ascii_case(&member.email)) {
                None => {
                    let action = Action::AddMember { email: member.email.clone(), role };
                    let step = Step::new(Sign::Make, group, "member", &member.email, action);
                    self.steps.push(step.with(vec![format!("role: {role}")]));
                }
                Some(found) if text(found, "role") != role => {
                    let action = Action::SetRole { id: text(found, "member_id").to_owned(), role };
                    let step = Step::new(Sign::Change, group, "member", &member.email, action);
                    self.steps.push(step.with(vec![format!("role: {} -> {role}", text(found, "role"))]));
                }
                Some(_) => {}
            }
        }
        for member in found {
            let (id, email) = (text(member, "member_id"), text(member, "email"));
            let named = wanted.iter().any(|wanted| wanted.email.eq_ignore_ascii_case(email));
            // A list that forgets its owner, or its author, must not lock everybody out.
            if !named && text(member, "role") != "owner" && id != self.found.me {
                let action = Action::RemoveMember { id: id.to_owned() };
                self.delete(Step::new(Sign::Delete, group, "member", email, action));
            }
        }
    }

    fn group(&mut self, wanted: &wanted::Group) -> Result<(), Failure> {
        let name = wanted.name.as_str();
        let mut body = Map::new();
        body.insert("name".to_owned(), name.into());
        insert(&mut body, "description", wanted.description.clone().map(Value::from));
        insert(&mut body, "metadata", wanted.metadata.clone().map(Value::from));
        let nothing;
        let found = match self.found.groups.get(name) {
            Some(found) => {
                let path = format!("/groups/{}", found.id);
                self.update(None, "group", name, &path, &found.value, body);
                found
            }
            None => {
                let details = details(&body);
                let step =
                    Step::new(Sign::Make, None, "group", name, Action::CreateGroup { body: body.into() });
                self.steps.push(step.with(details));
                nothing = found::Group {
                    id: String::new(),
                    value: Value::Null,
                    members: Vec::new(),
                    profiles: Vec::new(),
                    things: Vec::new(),
                };
                &nothing
            }
        };
        self.members(Some(name), wanted.members.as_deref(), &found.members);
        let mut profiles: BTreeSet<&str> =
            found.profiles.iter().map(|profile| text(profile, "name")).collect();
        for profile in wanted.profiles.iter().flatten() {
            profiles.insert(&profile.name);
            self.profile(name, profile, found);
        }
        if let Some(things) = &wanted.things {
            // What is deleted makes room: a new thing may have its external key.
            let late = std::mem::take(&mut self.late);
            self.extra(name, "thing", &found.things, |thing| {
                things.iter().any(|wanted| wanted.name == thing)
            });
            self.steps.append(&mut self.late);
            self.late = late;
            for thing in things {
                if !profiles.contains(thing.profile.as_str()) {
                    return Err(Failure::Usage(super::super::inert::lines(&format!(
                        "group {name}, thing {}: there is no profile {} in the group, nor in the file",
                        thing.name, thing.profile
                    ))));
                }
                self.thing(name, thing, found);
            }
        }
        if let Some(wanted) = &wanted.profiles {
            self.extra(name, "profile", &found.profiles, |profile| {
                wanted.iter().any(|wanted| wanted.name == profile)
            });
        }
        Ok(())
    }

    fn extra(&mut self, group: &str, noun: &'static str, found: &[Value], named: impl Fn(&str) -> bool) {
        for item in found.iter().filter(|item| !named(text(item, "name"))) {
            let action =
                Action::Delete { path: format!("/{noun}s/{}", text(item, "id")), seen: item.clone() };
            self.delete(Step::new(Sign::Delete, Some(group), noun, text(item, "name"), action));
        }
    }

    fn profile(&mut self, group: &str, wanted: &wanted::Profile, found: &found::Group) {
        let mut body = Map::new();
        body.insert("name".to_owned(), wanted.name.clone().into());
        insert(&mut body, "config", wanted.config.clone().map(Value::from));
        insert(&mut body, "metadata", wanted.metadata.clone().map(Value::from));
        match found.profiles.iter().find(|found| text(found, "name") == wanted.name) {
            Some(found) => {
                let path = format!("/profiles/{}", text(found, "id"));
                self.update(Some(group), "profile", &wanted.name, &path, found, body);
            }
            None => {
                let details = details(&body);
                let action = Action::CreateProfile { body: body.into() };
                self.steps
                    .push(Step::new(Sign::Make, Some(group), "profile", &wanted.name, action).with(details));
            }
        }
    }

    fn update(
        &mut self,
        group: Option<&str>,
        noun: &'static str,
        name: &str,
        path: &str,
        seen: &Value,
        body: Map<String, Value>,
    ) {
        let details = differences(seen, &body);
        if !details.is_empty() {
            let action = Action::Update { path: path.to_owned(), seen: seen.clone(), body: body.into() };
            self.steps.push(Step::new(Sign::Change, group, noun, name, action).with(details));
        }
    }

    fn thing(&mut self, group: &str, wanted: &wanted::Thing, found: &found::Group) {
        let mut body = Map::new();
        body.insert("name".to_owned(), wanted.name.clone().into());
        insert(&mut body, "type", wanted.kind.map(|kind| kind.as_str().into()));
        insert(&mut body, "metadata", wanted.metadata.clone().map(Value::from));
        let Some(seen) = found.things.iter().find(|found| text(found, "name") == wanted.name) else {
            insert(&mut body, "external_key", wanted.external_key.clone().map(Value::from));
            let disabled = wanted.status == Some(Status::Disabled);
            let mut told = vec![format!("profile: {}", wanted.profile)];
            told.extend(details(&body));
            if disabled {
                told.push("status: disabled".to_owned());
            }
            let action = Action::CreateThing { profile: wanted.profile.clone(), body: body.into(), disabled };
            self.steps.push(Step::new(Sign::Make, Some(group), "thing", &wanted.name, action).with(told));
            return;
        };
        let mut told = differences(seen, &body);
        let body = (!told.is_empty()).then(|| body.into());
        let profile = found.profiles.iter().find(|profile| text(profile, "id") == text(seen, "profile_id"));
        let profile = profile.map_or("", |profile| text(profile, "name"));
        let moves = (profile != wanted.profile).then(|| wanted.profile.clone());
        if moves.is_some() {
            told.push(format!("profile: {profile} -> {}", wanted.profile));
        }
        let external_key = wanted.external_key.clone().filter(|key| text(seen, "external_key") != key);
        if let Some(key) = &external_key {
            told.push(format!("external_key: {} -> {key}", or_none(text(seen, "external_key"))));
        }
        let status = wanted.status.filter(|status| text(seen, "status") != status.as_str());
        if let Some(status) = status {
            told.push(format!("status: {} -> {}", text(seen, "status"), status.as_str()));
        }
        if !told.is_empty() {
            let change = ThingChange {
                id: text(seen, "id").to_owned(),
                seen: seen.clone(),
                body,
                profile: moves,
                external_key,
                status,
            };
            let action = Action::ChangeThing(Box::new(change));
            self.steps.push(Step::new(Sign::Change, Some(group), "thing", &wanted.name, action).with(told));
        }
    }
}

fn insert(body: &mut Map<String, Value>, name: &str, value: Option<Value>) {
    if let Some(value) = value {
        body.insert(name.to_owned(), value);
    }
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}

/// What a new object gets, but for its name, which is told anyway.
fn details(body: &Map<String, Value>) -> Vec<String> {
    body.iter().filter(|(name, _)| *name != "name").map(|(name, value)| format!("{name}: {value}")).collect()
}

/// What of the body is not so yet.
fn differences(seen: &Value, body: &Map<String, Value>) -> Vec<String> {
    let absent = json!(null);
    body.iter()
        .filter_map(|(name, wanted)| {
            let before = seen.get(name).unwrap_or(&absent);
            let same = if name == "config" { *before == with_defaults(wanted) } else { before == wanted };
            (!same).then(|| format!("{name}: {before} -> {wanted}"))
        })
        .collect()
}

/// A profile's config as the server keeps it: flags that are not said are true, known members that are null are not there.
fn with_defaults(config: &Value) -> Value {
    const FLAGS: [&str; 3] = ["write_enabled", "webhook_enabled", "rule_enabled"];
    const OF_TRANSFORMERS: [&str; 5] =
        ["data_filters", "data_field", "time_field", "time_format", "time_location"];
    let mut config = config.clone();
    if let Some(members) = config.as_object_mut() {
        members.retain(|name, value| {
            !value.is_null()
                || !(FLAGS.contains(&name.as_str())
                    || ["content_type", "transformer"].contains(&name.as_str()))
        });
        for name in FLAGS {
            members.entry(name).or_insert(Value::Bool(true));
        }
        if let Some(transformer) = members.get_mut("transformer").and_then(Value::as_object_mut) {
            transformer.retain(|name, value| !value.is_null() || !OF_TRANSFORMERS.contains(&name.as_str()));
        }
    }
    config
}

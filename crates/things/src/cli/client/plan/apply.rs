//! Taking the steps, each by one call of the API or a few.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    super::{
        Failure,
        asked::{Asked, first, text},
        progress::{Counts, Progress, Signals},
        secrets::Keys,
    },
    found::Found,
    steps::{Action, Step, ThingChange},
    wanted::Status,
};

/// How many things are made by one call.
const AT_ONCE: usize = 100;

/// The steps under way.
pub(super) struct Making<'a> {
    asked: &'a Asked<'a>,
    org: &'a str,
    groups: BTreeMap<String, String>,
    /// By group and name.
    profiles: BTreeMap<(String, String), String>,
    keys: Keys,
    bar: Progress,
}

impl<'a> Making<'a> {
    pub(super) fn new(asked: &'a Asked<'a>, found: &'a Found, keys: Keys, steps: usize) -> Self {
        let groups = found.groups.iter().map(|(name, group)| (name.clone(), group.id.clone())).collect();
        let profiles = found.groups.iter().flat_map(|(name, group)| {
            let profiles = group.profiles.iter();
            profiles.map(|profile| {
                ((name.clone(), text(profile, "name").to_owned()), text(profile, "id").to_owned())
            })
        });
        let profiles = profiles.collect();
        let bar = Progress::begin("apply", Counts::Rows, Some(count(steps)));
        Self { asked, org: &found.org, groups, profiles, keys, bar }
    }

    /// Takes all steps, in order. A signal ends it behind the step under way: the server takes that one whether or not
    /// somebody listens, and tells its keys once. A second signal does not wait.
    pub(super) async fn all(mut self, steps: &[Step]) -> Result<(), Failure> {
        let mut signals = Signals::listen()?;
        let mut rest = steps;
        while !rest.is_empty() {
            let done = steps.len() - rest.len();
            let like = alike(rest);
            let stopped = {
                let mut step = std::pin::pin!(self.step(rest.get(..like).unwrap_or_default()));
                let mut stopped = None;
                let taken = tokio::select! {
                    biased;
                    code = signals.next() => {
                        stopped = Some(code);
                        tokio::select! {
                            code = signals.next() => return Err(interrupted(code, done)),
                            taken = &mut step => taken,
                        }
                    }
                    taken = &mut step => taken,
                };
                taken.map_err(|failure| after(failure, done))?;
                stopped
            };
            rest = rest.get(like..).unwrap_or_default();
            let done = steps.len() - rest.len();
            match stopped {
                Some(code) if !rest.is_empty() => return Err(interrupted(code, done)),
                _ => self.bar.at(count(done), None),
            }
        }
        self.bar.end();
        Ok(())
    }

    async fn step(&mut self, alike: &[Step]) -> Result<(), Failure> {
        match alike {
            [one] => self.one(one).await,
            several => self.things(several).await,
        }
    }

    async fn one(&mut self, step: &Step) -> Result<(), Failure> {
        let asked = self.asked;
        let what = format!("{} the {} {}", verb(&step.action), step.noun, step.name);
        let (place, items) = match &step.group {
            Some(group) => (format!("/groups/{}", self.group(group)), "group_memberships"),
            None => (format!("/orgs/{}", self.org), "org_memberships"),
        };
        match &step.action {
            Action::AddMember { email, role } => {
                let body = json!({ items: [{"email": email, "role": role}] });
                asked.make(&what, asked.client.post(&format!("{place}/memberships")).json(&body)).await?;
            }
            Action::SetRole { id, role } => {
                let body = json!({ items: [{"member_id": id, "role": role}] });
                asked.change(&what, asked.client.put(&format!("{place}/memberships")).json(&body)).await?;
            }
            Action::RemoveMember { id } => {
                let body = json!({"member_ids": [id]});
                asked.change(&what, asked.client.patch(&format!("{place}/memberships")).json(&body)).await?;
            }
            Action::CreateGroup { body } => {
                let request = asked.client.post(&format!("/orgs/{}/groups", self.org)).json(&[body]);
                let made = first(asked.make(&what, request).await?, "groups").unwrap_or_default();
                self.groups.insert(step.name.clone(), text(&made, "id").to_owned());
            }
            Action::CreateProfile { body } => {
                let request = asked.client.post(&format!("{place}/profiles")).json(&[body]);
                let made = first(asked.make(&what, request).await?, "profiles").unwrap_or_default();
                let group = step.group.clone().unwrap_or_default();
                self.profiles.insert((group, step.name.clone()), text(&made, "id").to_owned());
            }
            Action::CreateThing { .. } => self.things(std::slice::from_ref(step)).await?,
            Action::Update { path, seen, body } => {
                let tag = self.unchanged(&what, path, seen).await?;
                asked.change(&what, asked.client.put(path).if_match(&tag).json(body)).await?;
            }
            Action::ChangeThing(change) => self.thing(&what, step, change).await?,
            Action::Delete { path, seen } => {
                let tag = self.unchanged(&what, path, seen).await?;
                asked.change(&what, asked.client.delete(path).if_match(&tag)).await?;
            }
        }
        Ok(())
    }

    fn group(&self, name: &str) -> &str {
        self.groups.get(name).map(String::as_str).unwrap_or_default()
    }

    fn profile(&self, group: Option<&String>, name: &str) -> &str {
        let key = (group.cloned().unwrap_or_default(), name.to_owned());
        self.profiles.get(&key).map(String::as_str).unwrap_or_default()
    }

    /// New things on one profile.
    async fn things(&mut self, steps: &[Step]) -> Result<(), Failure> {
        let Some(Step { action: Action::CreateThing { profile, .. }, group, name, .. }) = steps.first()
        else {
            return Ok(());
        };
        let what = format!("create the thing {name}{}", if steps.len() > 1 { " and others" } else { "" });
        let path = format!("/profiles/{}/things", self.profile(group.as_ref(), profile));
        let bodies: Vec<&Value> = steps
            .iter()
            .filter_map(|step| match &step.action {
                Action::CreateThing { body, .. } => Some(body),
                _ => None,
            })
            .collect();
        let made =
            self.asked.make(&what, self.asked.client.post(&path).json(&bodies)).await?.unwrap_or_default();
        let made = made.get("things").and_then(Value::as_array).cloned().unwrap_or_default();
        let keys = &mut self.keys;
        self.bar.aside(|| keys.add(&made))?;
        for (step, thing) in steps.iter().zip(&made) {
            if let Action::CreateThing { disabled: true, .. } = step.action {
                let request = self.asked.client.post(&format!("/things/{}/disable", text(thing, "id")));
                self.asked.make(&format!("disable the thing {}", step.name), request).await?;
            }
        }
        Ok(())
    }

    /// The parts of a thing's change, each on the version that the one before left.
    async fn thing(&self, what: &str, step: &Step, change: &ThingChange) -> Result<(), Failure> {
        let (asked, path) = (self.asked, format!("/things/{}", change.id));
        let mut tag = self.unchanged(what, &path, &change.seen).await?;
        let mut requests = Vec::new();
        if let Some(body) = &change.body {
            requests.push(asked.client.put(&path).json(body));
        }
        if let Some(profile) = &change.profile {
            let group = step.group.as_ref();
            let body = json!({
                "group_id": group.map(|group| self.group(group)),
                "profile_id": self.profile(group, profile),
            });
            requests.push(asked.client.patch(&path).json(&body));
        }
        if let Some(key) = &change.external_key {
            requests.push(asked.client.patch(&format!("{path}/external-key")).json(&json!({"key": key})));
        }
        if let Some(status) = change.status {
            let verb = if status == Status::Enabled { "enable" } else { "disable" };
            requests.push(asked.client.post(&format!("{path}/{verb}")));
        }
        for request in requests {
            let answer =
                request.if_match(&tag).send().await.map_err(|error| Failure::asking(what, &error))?;
            tag = answer.etag().to_owned();
        }
        Ok(())
    }

    /// The tag of an object that is still as the plan saw it.
    async fn unchanged(&self, what: &str, path: &str, seen: &Value) -> Result<String, Failure> {
        let (now, tag) = self.asked.tagged(what, path).await?;
        // When a device was last seen is no change of it; its key is shown here and not in lists.
        let differs = seen
            .as_object()
            .into_iter()
            .flatten()
            .find(|(name, value)| *name != "last_seen_at" && now.get(name.as_str()) != Some(value));
        match differs {
            None => Ok(tag),
            Some((name, _)) => Err(Failure::conflict(format!(
                "cannot {what}: its {name} has changed since the plan was made\n  Run the command again, and look at the new plan."
            ))),
        }
    }
}

fn count(steps: usize) -> u64 {
    u64::try_from(steps).unwrap_or_default()
}

fn interrupted(code: u8, done: usize) -> Failure {
    let made = if done == 1 { "1 change is made".to_owned() } else { format!("{done} changes are made") };
    Failure::interrupted(code, &format!("{made}, the others are not. Run the command again for those"))
}

/// What went wrong, and that something was done before.
fn after(failure: Failure, done: usize) -> Failure {
    match failure {
        Failure::Told { code, text } if done > 0 => Failure::Told {
            code,
            text: format!("{text}\n  {}, and stay; the next `things apply` does the rest", made(done)),
        },
        failure => failure,
    }
}

fn made(done: usize) -> String {
    if done == 1 { "1 change was made before".to_owned() } else { format!("{done} changes were made before") }
}

/// How many of the next steps are one call: new things on the same profile.
fn alike(steps: &[Step]) -> usize {
    let profile = |step: &Step| match &step.action {
        Action::CreateThing { profile, .. } => Some((step.group.clone(), profile.clone())),
        _ => None,
    };
    match steps.first().and_then(profile) {
        None => 1,
        Some(first) => {
            steps.iter().take(AT_ONCE).take_while(|step| profile(step).as_ref() == Some(&first)).count()
        }
    }
}

fn verb(action: &Action) -> &'static str {
    match action {
        Action::AddMember { .. } => "add",
        Action::SetRole { .. } | Action::Update { .. } | Action::ChangeThing(_) => "change",
        Action::RemoveMember { .. } => "remove",
        Action::Delete { .. } => "delete",
        Action::CreateGroup { .. } | Action::CreateProfile { .. } | Action::CreateThing { .. } => "create",
    }
}

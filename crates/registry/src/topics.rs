//! What a thing may do on which topic of an MQTT broker. Said once, here, for every broker.
//!
//! A thing talks in its own place: it publishes its messages there and reads what is sent to it. What
//! kind of thing it is decides whom it may send commands to ([`crate::things::ThingType::commands`]); its profile may
//! narrow the messages. Where these places are is the installation's to say: [`Layout`].

mod filter;

use serde::Deserialize;
use uuid::Uuid;

pub use filter::{Filter, MAX_BYTES};

use crate::{
    Registry,
    credentials::Party,
    error::{Error, Result},
    ids::ThingId,
    profiles::ProfileTopics,
};

/// Where things talk. Each text is the beginning of topics: what is below it belongs to it.
/// `{thing}`, `{group}`, `{org}` and `{profile}` stand for ids, each as a whole level.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    /// Where a thing's messages are, to and from it.
    pub messages: Vec<String>,
    /// Where commands to the thing `{thing}` are.
    pub thing_commands: Option<String>,
    /// Where commands to all things of the group `{group}` are.
    pub group_commands: Option<String>,
    /// What every thing may publish to besides: filters, nothing is added below them.
    #[serde(default)]
    pub publish: Vec<String>,
    /// What every thing may subscribe to besides: filters, nothing is added below them.
    #[serde(default)]
    pub subscribe: Vec<String>,
    /// Whether texts without any id are allowed, which are the same place for all organisations.
    #[serde(default)]
    pub shared: bool,
}

impl Layout {
    /// Every thing has a place of its own below its id. The names below it are Mainflux's.
    pub fn isolated() -> Self {
        Self {
            messages: vec!["things/{thing}/messages".to_owned()],
            thing_commands: Some("things/{thing}/commands".to_owned()),
            group_commands: Some("groups/{group}/commands".to_owned()),
            publish: Vec::new(),
            subscribe: Vec::new(),
            shared: false,
        }
    }

    /// Mainflux's topics as its devices use them. `messages` is then one place for all: whoever may
    /// talk to the broker reads what is published there.
    pub fn mainflux() -> Self {
        let messages = vec!["messages".to_owned(), "things/{thing}/messages".to_owned()];
        Self { messages, shared: true, ..Self::isolated() }
    }
}

/// A layout, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicRules {
    messages: Vec<Template>,
    thing_commands: Option<Template>,
    group_commands: Option<Template>,
    publish: Vec<Template>,
    subscribe: Vec<Template>,
}

/// What a thing asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act<'a> {
    /// To publish to this topic.
    Publish(&'a str),
    /// To subscribe to this filter, which may be shared (`$share/…`).
    Subscribe(&'a str),
    /// To get a message of this topic.
    Receive(&'a str),
}

/// What the rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Allowed,
    /// No.
    Refused,
    /// If the thing may command this one.
    IfItCommands(ThingId),
}

/// All that a thing may do, as filters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acl {
    /// What it may publish to.
    pub publish: Vec<Filter>,
    /// What it may subscribe to.
    pub subscribe: Vec<Filter>,
    /// Whether it may publish commands to other things besides. Which they are is not in the list,
    /// because there can be any number of them, and changes by the minute.
    pub commands_others: bool,
}

/// Those of [`Layout::isolated`].
impl Default for TopicRules {
    fn default() -> Self {
        let text = |text: &str| Part::Text(text.to_owned());
        Self {
            messages: vec![Template(vec![text("things"), Part::Thing, text("messages")])],
            thing_commands: Some(Template(vec![text("things"), Part::Thing, text("commands")])),
            group_commands: Some(Template(vec![text("groups"), Part::Group, text("commands")])),
            publish: Vec::new(),
            subscribe: Vec::new(),
        }
    }
}

impl TopicRules {
    /// Checks a layout. What is wrong is told in words for whoever wrote it.
    pub fn new(layout: &Layout) -> Result<Self, String> {
        let parse = |text: &String| Template::parse(text, layout.shared);
        let all = |texts: &[String]| texts.iter().map(parse).collect::<Result<Vec<_>, _>>();
        let plain = |template: &Template| !template.0.iter().any(|part| matches!(part, Part::Wild(_)));
        let rules = Self {
            messages: all(&layout.messages)?,
            thing_commands: layout.thing_commands.as_ref().map(parse).transpose()?,
            group_commands: layout.group_commands.as_ref().map(parse).transpose()?,
            publish: all(&layout.publish)?,
            subscribe: all(&layout.subscribe)?,
        };
        let commands = rules.thing_commands.iter().chain(&rules.group_commands);
        if !rules.messages.iter().chain(commands).all(plain) {
            return Err("`messages` and commands take no wildcards: what is below them is theirs".to_owned());
        }
        let count = |template: &Template, part| template.0.iter().filter(|p| **p == part).count();
        if rules.thing_commands.iter().any(|t| count(t, Part::Thing) != 1 || count(t, Part::Profile) != 0) {
            return Err("`thing_commands` needs {thing} once, which is who is commanded, and takes no \
                        {profile}"
                .to_owned());
        }
        let unfit =
            |t: &Template| count(t, Part::Group) == 0 || count(t, Part::Thing) + count(t, Part::Profile) != 0;
        if rules.group_commands.iter().any(unfit) {
            return Err("`group_commands` needs {group}, and takes no {thing} or {profile}".to_owned());
        }
        Ok(rules)
    }

    /// All that a thing may do.
    pub fn acl(&self, party: &Party) -> Acl {
        let commands = party.kind.is_some_and(|kind| !kind.commands().is_empty());
        let ProfileTopics { publish, subscribe } = &party.place.topics;
        let group_commands = || self.group_commands.iter().map(|template| template.below(party, "#"));
        let besides = |templates: &[Template]| -> Vec<Filter> {
            templates.iter().filter_map(|template| Filter::parse(template.render(party))).collect()
        };
        let mut acl = Acl {
            publish: self.messages(party, publish.as_deref()),
            subscribe: self.messages(party, subscribe.as_deref()),
            commands_others: commands && self.thing_commands.is_some(),
        };
        if commands {
            acl.publish.extend(group_commands().flatten());
        }
        acl.publish.extend(besides(&self.publish));
        acl.subscribe.extend(self.thing_commands.iter().filter_map(|template| template.below(party, "#")));
        acl.subscribe.extend(group_commands().flatten());
        acl.subscribe.extend(besides(&self.subscribe));
        acl
    }

    /// What a thing may do of its messages: all, or what its profile says.
    fn messages(&self, party: &Party, filters: Option<&[String]>) -> Vec<Filter> {
        let mut messages = Vec::with_capacity(self.messages.len() * filters.map_or(1, <[_]>::len) + 2);
        for template in &self.messages {
            match filters {
                None => messages.extend(template.below(party, "#")),
                Some(filters) => {
                    messages.extend(filters.iter().filter_map(|filter| template.below(party, filter)));
                }
            }
        }
        messages
    }

    /// What a thing may do, put together once for all that it asks.
    pub fn powers<'a>(&'a self, party: &'a Party) -> Powers<'a> {
        Powers { rules: self, party, acl: self.acl(party) }
    }
}

/// What one thing may do, for any number of its questions.
#[derive(Clone, Debug)]
pub struct Powers<'a> {
    rules: &'a TopicRules,
    party: &'a Party,
    acl: Acl,
}

impl Powers<'_> {
    /// Whether the thing may do something, as far as its own row tells.
    pub fn judge(&self, act: Act<'_>) -> Verdict {
        let (allowed, asked) = match act {
            Act::Publish(topic) => (&self.acl.publish, Filter::topic(topic)),
            Act::Subscribe(filter) => (&self.acl.subscribe, Filter::subscription(filter)),
            Act::Receive(topic) => (&self.acl.subscribe, Filter::topic(topic)),
        };
        let Some(asked) = asked else { return Verdict::Refused };
        if allowed.iter().any(|filter| filter.covers(&asked)) {
            return Verdict::Allowed;
        }
        match (act, &self.rules.thing_commands) {
            (Act::Publish(topic), Some(template)) if self.acl.commands_others => {
                template.recipient(self.party, topic).map_or(Verdict::Refused, Verdict::IfItCommands)
            }
            _ => Verdict::Refused,
        }
    }
}

impl Registry {
    /// Whether a thing may do something on a topic.
    pub async fn may(&self, powers: &Powers<'_>, act: Act<'_>) -> Result<bool> {
        match powers.judge(act) {
            Verdict::Allowed => Ok(true),
            Verdict::Refused => Ok(false),
            Verdict::IfItCommands(other) => match self.can_command(powers.party.thing, other).await {
                // Whether a thing exists is nobody's business who may not command it.
                Err(Error::NotFound) => Ok(false),
                answer => answer,
            },
        }
    }
}

/// A topic with places for ids, by levels.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Wild(&'static str),
    Thing,
    Group,
    Org,
    Profile,
}

impl Template {
    fn parse(text: &str, shared: bool) -> Result<Self, String> {
        let part = |level: &str| match level {
            "{thing}" => Ok(Part::Thing),
            "{group}" => Ok(Part::Group),
            "{org}" => Ok(Part::Org),
            "{profile}" => Ok(Part::Profile),
            "+" => Ok(Part::Wild("+")),
            "#" => Ok(Part::Wild("#")),
            level if level.contains(['{', '}', '$']) => Err(format!(
                "`{text}`: `{level}` is unknown; {{thing}}, {{group}}, {{org}} and {{profile}} are whole levels"
            )),
            level => Ok(Part::Text(level.to_owned())),
        };
        if Filter::parse(text).is_none() || text.len() > 1024 {
            return Err(format!("`{text}` is not a topic filter"));
        }
        let parts: Vec<Part> = text.split('/').map(part).collect::<Result<_, _>>()?;
        if !shared && !parts.iter().any(|part| matches!(part, Part::Thing | Part::Group | Part::Org)) {
            return Err(format!(
                "`{text}` is the same for all organisations, which could then read each other's messages; \
                 put {{thing}}, {{group}} or {{org}} into it, or say `shared = true`"
            ));
        }
        Ok(Self(parts))
    }

    fn render(&self, party: &Party) -> String {
        // Room for a few ids, so that it is allocated once.
        let mut text = String::with_capacity(128);
        for (at, part) in self.0.iter().enumerate() {
            if at > 0 {
                text.push('/');
            }
            let id = match part {
                Part::Text(level) => {
                    text.push_str(level);
                    continue;
                }
                Part::Wild(wild) => {
                    text.push_str(wild);
                    continue;
                }
                Part::Thing => party.thing.uuid(),
                Part::Group => party.place.group.uuid(),
                Part::Org => party.place.org.uuid(),
                Part::Profile => party.place.profile.uuid(),
            };
            text.push_str(id.hyphenated().encode_lower(&mut Uuid::encode_buffer()));
        }
        text
    }

    /// A filter below this place; an empty one is the place itself.
    fn below(&self, party: &Party, filter: &str) -> Option<Filter> {
        let mut text = self.render(party);
        if !filter.is_empty() {
            text.push('/');
            text.push_str(filter);
        }
        Filter::parse(text)
    }

    /// Which thing stands in `{thing}`'s place in a topic here or below. All else has to be the
    /// publisher's: whom it may command is of its group.
    fn recipient(&self, party: &Party, topic: &str) -> Option<ThingId> {
        let at = self.0.iter().position(|part| *part == Part::Thing)?;
        let recipient: ThingId = topic.split('/').nth(at)?.parse().ok()?;
        let of_recipient = Party { thing: recipient, ..party.clone() };
        self.below(&of_recipient, "#")?.covers(&Filter::topic(topic)?).then_some(recipient)
    }
}

#[cfg(test)]
mod tests;

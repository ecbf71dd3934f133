//! What a thing may do on which topic, by table and against the standard's text.

use std::sync::Arc;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::{JsonObject, credentials::Place, things::ThingType};

const OTHER: &str = "00000000-0000-7000-8000-0000000000ff";
const THING: &str = "00000000-0000-7000-8000-000000000001";
const GROUP: &str = "00000000-0000-7000-8000-000000000002";

fn id(n: u128) -> Uuid {
    Uuid::from_u128(0x7000_8000_0000_0000_0000 + n)
}

fn party(kind: Option<ThingType>, config: Option<&str>) -> Party {
    let config = config.map(|text| JsonObject::parse(text).unwrap());
    let place = Place::new(id(3).into(), id(2).into(), id(4).into(), config);
    Party { thing: id(1).into(), kind, place: Arc::new(place) }
}

fn isolated() -> TopicRules {
    let rules = TopicRules::new(&Layout::isolated()).unwrap();
    assert_eq!(rules, TopicRules::default());
    rules
}

impl TopicRules {
    fn judge(&self, party: &Party, act: Act<'_>) -> Verdict {
        self.powers(party).judge(act)
    }
}

fn fill(text: &str) -> String {
    text.replace("{thing}", THING).replace("{group}", GROUP).replace("{other}", OTHER)
}

#[test]
fn a_thing_talks_in_its_own_place_and_nowhere_else() {
    let (rules, sensor) = (isolated(), party(Some(ThingType::Sensor), None));
    use Verdict::{Allowed, Refused};
    for (act, verdict) in [
        (Act::Publish("things/{thing}/messages"), Allowed),
        (Act::Publish("things/{thing}/messages/a/b"), Allowed),
        (Act::Publish("things/{thing}/messages/"), Allowed),
        (Act::Publish("things/{thing}/messagesx"), Refused),
        (Act::Publish("things/{thing}"), Refused),
        (Act::Publish("things/{thing}/messages/+"), Refused),
        (Act::Publish("things/{thing}/messages/#"), Refused),
        (Act::Publish("/things/{thing}/messages"), Refused),
        (Act::Publish("things/{other}/messages"), Refused),
        (Act::Publish("messages"), Refused),
        (Act::Publish(""), Refused),
        (Act::Publish("$SYS/broker"), Refused),
        // A sensor commands nothing.
        (Act::Publish("things/{other}/commands"), Refused),
        (Act::Publish("groups/{group}/commands"), Refused),
        (Act::Subscribe("things/{thing}/messages/#"), Allowed),
        (Act::Subscribe("things/{thing}/messages/+/x"), Allowed),
        (Act::Subscribe("things/{thing}/commands/#"), Allowed),
        (Act::Subscribe("groups/{group}/commands/+"), Allowed),
        (Act::Subscribe("$share/pool/things/{thing}/commands/#"), Allowed),
        (Act::Subscribe("$share/pool/things/{other}/commands/#"), Refused),
        (Act::Subscribe("$share/pool"), Refused),
        (Act::Subscribe("$share//things/{thing}/commands/#"), Refused),
        (Act::Subscribe("$share/po+l/things/{thing}/commands/#"), Refused),
        (Act::Subscribe("$share/pool/"), Refused),
        (Act::Subscribe("$queue/things/{thing}/commands/#"), Refused),
        (Act::Subscribe("things/{thing}/#"), Refused),
        (Act::Subscribe("things/+/messages"), Refused),
        (Act::Subscribe("+/{thing}/messages"), Refused),
        (Act::Subscribe("things/{other}/commands"), Refused),
        (Act::Subscribe("groups/{other}/commands"), Refused),
        (Act::Subscribe("groups/{group}/messages"), Refused),
        (Act::Subscribe("#"), Refused),
        (Act::Subscribe("+/#"), Refused),
        (Act::Subscribe("$SYS/#"), Refused),
        (Act::Subscribe("things/{thing}/messages/#/x"), Refused),
        (Act::Subscribe("things/{thing}/messages/x#"), Refused),
        (Act::Receive("things/{thing}/commands/on"), Allowed),
        (Act::Receive("things/{thing}/commands/#"), Refused),
        (Act::Receive("things/{other}/messages"), Refused),
    ] {
        let text = fill(match act {
            Act::Publish(text) | Act::Subscribe(text) | Act::Receive(text) => text,
        });
        let filled = match act {
            Act::Publish(_) => Act::Publish(&text),
            Act::Subscribe(_) => Act::Subscribe(&text),
            Act::Receive(_) => Act::Receive(&text),
        };
        assert_eq!(rules.judge(&sensor, filled), verdict, "{filled:?}");
    }
}

#[test]
fn what_commands_follows_its_type() {
    let rules = isolated();
    let topics =
        ["things/{other}/commands", "things/{other}/commands/a/b", "groups/{group}/commands/x"].map(fill);
    let kinds = ThingType::ALL.into_iter().map(Some).chain([None]);
    for kind in kinds {
        let thing = party(kind, None);
        let commands = kind.is_some_and(|kind| !kind.commands().is_empty());
        let other = Verdict::IfItCommands(OTHER.parse().unwrap());
        let (to_thing, to_group) =
            if commands { (other, Verdict::Allowed) } else { (Verdict::Refused, Verdict::Refused) };
        assert_eq!(rules.judge(&thing, Act::Publish(&topics[0])), to_thing, "{kind:?}");
        assert_eq!(rules.judge(&thing, Act::Publish(&topics[1])), to_thing, "{kind:?}");
        assert_eq!(rules.judge(&thing, Act::Publish(&topics[2])), to_group, "{kind:?}");
        assert_eq!(rules.acl(&thing).commands_others, commands);
        // Nobody listens to what others are told, nor commands another group.
        assert_eq!(rules.judge(&thing, Act::Subscribe(&topics[0])), Verdict::Refused);
        let elsewhere = fill("groups/{other}/commands");
        assert_eq!(rules.judge(&thing, Act::Publish(&elsewhere)), Verdict::Refused);
        // An id has one spelling; nothing but an id names a thing.
        for topic in [
            fill("things/{other}/commands").to_uppercase().replace("THINGS", "things"),
            "things/x/commands".to_owned(),
            fill("things/{other}/commands/+"),
            fill("things/{other}/commandsx"),
            fill("x/things/{other}/commands"),
        ] {
            assert_eq!(rules.judge(&thing, Act::Publish(&topic)), Verdict::Refused, "{topic}");
        }
    }
}

#[test]
fn a_profile_narrows_messages_and_not_commands() {
    let config = r#"{"topics":{"publish":["telemetry/#","","st/+"],"subscribe":[]}}"#;
    let (rules, thing) = (isolated(), party(Some(ThingType::Controller), Some(config)));
    for (topic, allowed) in [
        ("things/{thing}/messages", true),
        ("things/{thing}/messages/telemetry", true),
        ("things/{thing}/messages/telemetry/a", true),
        ("things/{thing}/messages/st/a", true),
        ("things/{thing}/messages/st/a/b", false),
        ("things/{thing}/messages/x", false),
        ("groups/{group}/commands", true),
    ] {
        assert_eq!(
            rules.judge(&thing, Act::Publish(&fill(topic))) == Verdict::Allowed,
            allowed,
            "publish {topic}"
        );
    }
    let judge = |filter| rules.judge(&thing, Act::Subscribe(&fill(filter)));
    assert_eq!(judge("things/{thing}/messages/#"), Verdict::Refused);
    assert_eq!(judge("things/{thing}/commands/#"), Verdict::Allowed);
    // Nowhere to go is no reason to refuse a message, in Mainflux either.
    let topic = fill("things/{thing}/messages/x");
    for config in [None, Some(r#"{"write_enabled":false}"#)] {
        let thing = party(None, config);
        assert_eq!(rules.judge(&thing, Act::Publish(&topic)), Verdict::Allowed);
    }
}

#[test]
fn a_list_says_what_single_questions_say() {
    let rules = TopicRules::new(&Layout::mainflux()).unwrap();
    let acl = rules.acl(&party(Some(ThingType::Gateway), None));
    let texts = |filters: &[Filter]| filters.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        texts(&acl.publish),
        ["messages/#", "things/{thing}/messages/#", "groups/{group}/commands/#"].map(fill)
    );
    assert_eq!(
        texts(&acl.subscribe),
        ["messages/#", "things/{thing}/messages/#", "things/{thing}/commands/#", "groups/{group}/commands/#"]
            .map(fill)
    );
}

#[test]
fn a_layout_of_ones_own_uses_ids_as_levels() {
    let layout = Layout {
        messages: vec!["{org}/{group}/{thing}/up".to_owned()],
        thing_commands: Some("{org}/{group}/{thing}/down".to_owned()),
        group_commands: None,
        publish: vec!["{org}/hello".to_owned()],
        subscribe: vec!["{org}/news/+".to_owned()],
        shared: false,
    };
    let (rules, thing) = (TopicRules::new(&layout).unwrap(), party(Some(ThingType::Device), None));
    let org = id(4).to_string();
    let judge = |act: fn(&'static str) -> Act<'static>, text: &str| {
        let text = Box::leak(fill(text).replace("{org}", &org).into_boxed_str());
        rules.judge(&thing, act(text))
    };
    assert_eq!(judge(Act::Publish, "{org}/{group}/{thing}/up/x"), Verdict::Allowed);
    assert_eq!(
        judge(Act::Publish, "{org}/{group}/{other}/down"),
        Verdict::IfItCommands(OTHER.parse().unwrap())
    );
    // The recipient's place would be elsewhere.
    assert_eq!(judge(Act::Publish, "{other}/{group}/{other}/down"), Verdict::Refused);
    assert_eq!(judge(Act::Publish, "{org}/hello"), Verdict::Allowed);
    assert_eq!(judge(Act::Publish, "{org}/hello/x"), Verdict::Refused);
    assert_eq!(judge(Act::Subscribe, "{org}/news/a"), Verdict::Allowed);
    assert_eq!(judge(Act::Subscribe, "{org}/news/a/b"), Verdict::Refused);
}

#[test]
fn a_layout_that_mixes_tenants_or_cannot_work_is_refused() {
    let wrong = |change: fn(&mut Layout)| {
        let mut layout = Layout::isolated();
        change(&mut layout);
        TopicRules::new(&layout).unwrap_err()
    };
    assert!(wrong(|l| l.messages = vec!["messages".to_owned()]).contains("shared = true"));
    assert!(wrong(|l| l.subscribe = vec!["#".to_owned()]).contains("all organisations"));
    assert!(wrong(|l| l.messages = vec!["{thing}/#".to_owned()]).contains("wildcards"));
    assert!(wrong(|l| l.publish = vec!["{thing}x/y".to_owned()]).contains("whole levels"));
    assert!(wrong(|l| l.publish = vec!["{key}/y".to_owned()]).contains("`{key}`"));
    assert!(wrong(|l| l.publish = vec!["{org}/#/y".to_owned()]).contains("not a topic filter"));
    assert!(wrong(|l| l.subscribe = vec!["$SYS/{org}".to_owned()]).contains("`$SYS`"));
    assert!(wrong(|l| l.thing_commands = Some("{group}/commands".to_owned())).contains("{thing} once"));
    assert!(wrong(|l| l.thing_commands = Some("{thing}/{thing}".to_owned())).contains("{thing} once"));
    assert!(wrong(|l| l.group_commands = Some("{org}/commands".to_owned())).contains("{group}"));
}

#[test]
fn length_is_counted_in_bytes() {
    let topic = |bytes: usize| "ü".repeat(bytes / 2) + if bytes % 2 == 1 { "x" } else { "" };
    assert!(Filter::topic(&topic(MAX_BYTES)).is_some());
    assert!(Filter::topic(&topic(MAX_BYTES + 1)).is_none());
    assert!(Filter::subscription(&format!("$share/x/{}", topic(MAX_BYTES - 8))).is_none());
    assert!(Filter::topic("a\0b").is_none());
}

#[test]
fn the_empty_topic_is_none_and_need_not_be_covered() {
    let covers = |mine, other| Filter::parse(mine).unwrap().covers(&Filter::parse(other).unwrap());
    assert!(covers("/+/#", "/#") && covers("/#", "/+/#") && covers("+/+/#", "/#"));
    assert!(covers("+/#", "#") && covers("#", "+/#"));
    assert!(!covers("+/+/#", "#") && !covers("a/+/#", "a/#"));
}

/// The textbook's matching of one topic, to compare with: by recursion, from the standard's text.
fn matches(filter: &[&str], topic: &[&str]) -> bool {
    match (filter, topic) {
        ([], []) => true,
        (["#"], _) => true,
        (["+", filter @ ..], [_, topic @ ..]) => matches(filter, topic),
        ([level, filter @ ..], [same, topic @ ..]) => level == same && matches(filter, topic),
        _ => false,
    }
}

fn matched(filter: &Filter, topic: &str) -> bool {
    let (filter, topic): (Vec<_>, Vec<_>) =
        (filter.as_str().split('/').collect(), topic.split('/').collect());
    let hidden = topic[0].starts_with('$') && matches!(filter[0], "+" | "#");
    !hidden && matches(&filter, &topic)
}

/// Every topic of up to five levels over names that filters use and one that they do not.
fn universe() -> Vec<String> {
    let names = ["a", "", "$x", "other"];
    let mut topics: Vec<String> = names.map(str::to_owned).to_vec();
    let mut longest = topics.clone();
    for _ in 0..4 {
        longest = longest.iter().flat_map(|topic| names.map(|name| format!("{topic}/{name}"))).collect();
        topics.extend(longest.iter().cloned());
    }
    topics.retain(|topic| !topic.is_empty());
    topics
}

/// Every filter of up to three levels of these, with and without `#` behind them.
fn filters() -> Vec<Filter> {
    let names = ["a", "", "$x", "+"];
    let mut texts: Vec<String> = names.map(str::to_owned).to_vec();
    let mut longest = texts.clone();
    for _ in 0..2 {
        longest = longest.iter().flat_map(|text| names.map(|name| format!("{text}/{name}"))).collect();
        texts.extend(longest.iter().cloned());
    }
    let open: Vec<String> = texts.iter().map(|text| format!("{text}/#")).collect();
    texts.into_iter().chain(open).chain(["#".to_owned()]).filter_map(|text| Filter::parse(&text)).collect()
}

/// One filter covers another if, and only if, it matches all that the other matches.
#[test]
fn covering_is_matching_all_that_the_other_matches() {
    let topics = universe();
    let matching = |filter: Filter| {
        let matches: Vec<bool> = topics.iter().map(|topic| matched(&filter, topic)).collect();
        (filter, matches)
    };
    let all: Vec<_> = filters().into_iter().map(matching).collect();
    assert!(all.len() > 160, "{}", all.len());
    for (mine, matches) in &all {
        for (other, others) in &all {
            let all = others.iter().zip(matches).all(|(other, mine)| !other || *mine);
            assert_eq!(mine.covers(other), all, "{mine} covers {other}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// A topic is covered by the filters that match it.
    #[test]
    fn covering_a_topic_is_matching_it(mine in proptest::sample::select(filters()), topic in proptest::sample::select(universe())) {
        let as_filter = Filter::topic(&topic).unwrap();
        prop_assert_eq!(mine.covers(&as_filter), matched(&mine, &topic), "{} and {}", mine, topic);
    }

    /// Whatever a client sends is judged, and what is allowed lies in the thing's own place or group.
    #[test]
    fn nothing_outside_of_its_place_is_allowed(text in "[a-z/+#$]{0,12}|(things|groups)/[+#a-z]{1,3}/(commands|messages)(/[+#])?") {
        let (rules, thing) = (isolated(), party(Some(ThingType::Controller), None));
        for act in [Act::Publish(&text), Act::Subscribe(&text), Act::Receive(&text)] {
            prop_assert_eq!(rules.judge(&thing, act), Verdict::Refused, "{:?}", act);
        }
    }
}

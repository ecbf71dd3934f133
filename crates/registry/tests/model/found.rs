//! Sequences that once failed, each with what was wrong.

use registry::{Dir, things::ThingType};

use super::{
    commands::{By, Command, Expect, Key, List, Listed, New, NewThing, Op, Order, Scope},
    inviting::Inviting,
};

fn by(session: u64, op: Op) -> Command {
    Command::Ask { by: By::Session(session), op, replay: None }
}

fn thing(id: u64, name: &'static str, key: Option<&'static str>, external: Option<&'static str>) -> NewThing {
    let (key, external) = (key.map(Key::Text), external.map(Key::Text));
    NewThing { id, name, kind: ThingType::Device, key, made: id + 50, external, metadata: "{}" }
}

fn list(what: Listed) -> List {
    List {
        what,
        text: None,
        metadata: None,
        kind: None,
        role: None,
        external: None,
        content_type: None,
        state: None,
        invite: None,
        order: Order::Id,
        dir: Dir::Asc,
        limit: 2,
        by_offset: false,
    }
}

/// What to do after the prologue, in which session n + 1 is that of person n.
pub fn sequences() -> Vec<(&'static str, Vec<Command>)> {
    let repeatable = |op| Command::Ask { by: By::Session(2), op, replay: Some(900) };
    let serial = "SERIAL-0000-0009";
    let pair = vec![thing(200, "a", Some(serial), None), thing(201, "b", None, Some(serial))];
    let twin = || Op::CreateThings { profile: 31, things: vec![thing(200, "PUMP-1", None, None)] };
    let decline = || Command::Ask {
        by: By::Session(6),
        op: Op::Invites(Inviting::Decline { invite: 171 }),
        replay: Some(900),
    };
    let decline_by = || Command::Ask {
        by: By::Nobody,
        op: Op::Invites(Inviting::DeclineBy { secret: 221 }),
        replay: Some(900),
    };
    let group = |id| New { id, name: "new", config: None, metadata: "{}" };
    vec![
        (
            "one value as key and as external key of two things was refused as taken, by no thing",
            vec![by(2, Op::CreateThings { profile: 31, things: pair })],
        ),
        (
            "the root, when a member, was told a role below their strongest in a group just made",
            vec![by(1, Op::CreateGroups { org: 12, groups: vec![group(200)] })],
        ),
        (
            "of two clashes each engine told another one",
            vec![repeatable(twin()), Command::Advance { millis: 86_400_000 }, repeatable(twin())],
        ),
        (
            "a token that only reads could not read the journal of a place that it named",
            vec![Command::Ask {
                by: By::Token(162),
                op: Op::List(list(Listed::Journal(Scope::Org(11)))),
                replay: None,
            }],
        ),
        (
            "a repeated answer to an invite was not told once the organisation was gone",
            vec![decline(), by(2, Op::DeleteOrgs { ids: vec![11], expect: Expect::Any }), decline()],
        ),
        ("a repeated answer was not told once the secret was used up", vec![decline_by(), decline_by()]),
    ]
}

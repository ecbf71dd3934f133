//! What comes next: a command that makes sense in the present world, more often than not.

use registry::{Dir, Role, credentials::CredentialKind, things::ThingType};

use super::{
    commands::{
        By, Command, Id, Key, List, Listed, New, NewThing, Object, Op, Order, Patch, Person, Place, ROOT,
        Scope, Who,
    },
    dice::{CONFIGS, Dice, FILTERS, KEYS, METADATA, NAMES, SERIALS, TEXTS},
    generate_invites::{self, INVITING},
    invites::PAUSE,
    inviting::Inviting,
    reference::{ANSWERS_KEPT, DAY, Kind, SECOND, World},
};

/// How often each kind of request comes.
const REQUESTS: &[(u64, Make)] = &[
    (2, create_org),
    (2, |w, d| Op::UpdateOrg { id: d.target(w, &w.orgs), patch: patch(d), expect: d.expect() }),
    (1, |w, d| Op::DeleteOrgs { ids: d.several(|d| d.target(w, &w.orgs)), expect: d.expect() }),
    (6, add_members),
    (6, change_roles),
    (6, remove_members),
    (4, |w, d| {
        let place = place(w, d);
        Op::Transfer { place, to: member(w, d, place) }
    }),
    (4, create_groups),
    (3, |w, d| Op::UpdateGroup { id: d.target(w, &w.groups), patch: patch(d), expect: d.expect() }),
    (2, |w, d| Op::DeleteGroups { ids: d.several(|d| d.target(w, &w.groups)), expect: d.expect() }),
    (4, create_profiles),
    (4, update_profile),
    (4, delete_profiles),
    (10, create_things),
    (7, update_thing),
    (5, move_thing),
    (4, |w, d| Op::MergeMetadata { updates: d.several(|d| (d.target(w, &w.things), d.any(METADATA))) }),
    (3, |w, d| Op::DeleteThings { ids: d.several(|d| d.target(w, &w.things)), expect: d.expect() }),
    (7, rotate_key),
    (5, |w, d| Op::SetExternalKey { id: d.target(w, &w.things), key: external(w, d), expect: d.expect() }),
    (2, |w, d| Op::ClearExternalKey { id: d.target(w, &w.things), expect: d.expect() }),
    (2, |w, d| Op::RevealKey { id: d.target(w, &w.things) }),
    (3, |w, d| Op::SetStatus {
        person: d.person(w),
        enabled: d.one_in(2) || w.people.iter().any(|account| !account.enabled),
    }),
    (3, create_token),
    (2, |w, d| Op::DeleteToken { token: d.target(w, &w.tokens) }),
    (1, |_, _| Op::LogOut),
    (5, view),
    (10, |w, d| Op::List(list(w, d))),
];

pub type Make = fn(&World, &mut Dice) -> Op;

/// The command that a seed stands for in this world.
pub fn command(world: &World, seed: u64) -> Command {
    let dice = &mut Dice(seed);
    match dice.roll(100) {
        0..=6 => return Command::Present { kind: dice.any(&KINDS), key: any_key(world, dice) },
        7..=11 => return Command::Advance { millis: while_of(world, dice) },
        12 => return Command::Reopen,
        13 => return Command::Sweep,
        14 => {
            let place = place(world, dice);
            return Command::Crown { place, person: member(world, dice, place) };
        }
        15..=24 if !world.kept.is_empty() => return repetition(world, dice),
        _ => {}
    }
    let op = request(world, dice);
    let person = somebody(world, dice, &op);
    let by = if is_public(&op) { Some(By::Nobody) } else { credential(world, dice, person) };
    let Some(by) = by else {
        return Command::LogIn { person, session: world.next };
    };
    // A number beyond those that the request itself gives.
    let replay = (op.writes() && op != Op::LogOut && dice.one_in(4)).then_some(world.next + 40);
    Command::Ask { by, op, replay }
}

const KINDS: [CredentialKind; 3] =
    [CredentialKind::Internal, CredentialKind::Internal, CredentialKind::External];

fn request(world: &World, dice: &mut Dice) -> Op {
    let all = || REQUESTS.iter().chain(INVITING);
    let mut at = dice.roll(all().map(|(weight, _)| weight).sum());
    for (weight, make) in all() {
        if at < *weight {
            return make(world, dice);
        }
        at -= weight;
    }
    Op::LogOut
}

/// An earlier request once more, or another one under its key.
fn repetition(world: &World, dice: &mut Dice) -> Command {
    let known: Vec<_> = world.kept.iter().collect();
    let (made, kept) = dice.any(&known);
    let &(person, scope, route, key, _) = made;
    let mut op = kept.op.clone();
    if dice.one_in(3) {
        let mut others = (0..200).map(|_| request(world, dice));
        op = others.find(|other| other.kind() == route).unwrap_or(op);
    }
    let by = if is_public(&op) { Some(By::Nobody) } else { credential(world, dice, person) };
    let Some(by) = by else {
        return Command::LogIn { person, session: world.next };
    };
    let same = world.authenticate(by).is_ok_and(|asker| (asker.can_write, asker.within) == scope);
    if !same || kept.at <= world.now - ANSWERS_KEPT {
        // Another effect, with other secrets.
        match &mut op {
            Op::RotateKey { made: number, .. } | Op::CreateToken { token: number, .. } => {
                *number = world.next
            }
            Op::CreateThings { things, .. } => {
                (world.next..).zip(things).for_each(|(number, new)| new.made = number);
            }
            Op::Invites(op) => op.renumber(world.next),
            _ => {}
        }
    }
    Command::Ask { by, op, replay: Some(key) }
}

fn is_public(op: &Op) -> bool {
    matches!(op, Op::Invites(op) if op.is_public())
}

/// Somebody who may have a right to it, more often than not.
fn somebody(world: &World, dice: &mut Dice, op: &Op) -> Person {
    let anybody = dice.anybody(world);
    match op {
        Op::SetStatus { .. } if !dice.one_in(3) => return ROOT,
        Op::DeleteToken { token } if !dice.one_in(3) => {
            return world.tokens.get(token).map_or(anybody, |token| token.person);
        }
        Op::Invites(op) => {
            if let Some(person) = generate_invites::somebody(world, dice, op) {
                return person;
            }
        }
        _ => {}
    }
    let place = match place_of(op).filter(|_| !dice.one_in(4)).and_then(|object| world.place_of(object)) {
        Some((org, group)) => group.map_or(Place::Org(org), Place::Group),
        None => return anybody,
    };
    let weight = |role: &Role| if *role >= Role::Admin { 3 } else { 1 };
    let mut likely = vec![ROOT];
    for (person, role) in &world.party(place).unwrap().members {
        likely.extend(std::iter::repeat_n(*person, weight(role)));
    }
    dice.any(&likely)
}

fn place_of(op: &Op) -> Option<Object> {
    Some(match op {
        Op::UpdateOrg { id, .. } => Object::Org(*id),
        Op::DeleteOrgs { ids, .. } => Object::Org(*ids.first()?),
        Op::AddMembers { place, .. }
        | Op::ChangeRoles { place, .. }
        | Op::RemoveMembers { place, .. }
        | Op::Transfer { place, .. } => (*place).into(),
        Op::CreateGroups { org, .. } => Object::Org(*org),
        Op::UpdateGroup { id, .. } => Object::Group(*id),
        Op::DeleteGroups { ids, .. } => Object::Group(*ids.first()?),
        Op::CreateProfiles { group, .. } => Object::Group(*group),
        Op::UpdateProfile { id, .. } => Object::Profile(*id),
        Op::DeleteProfiles { ids, .. } => Object::Profile(*ids.first()?),
        Op::CreateThings { profile, .. } => Object::Profile(*profile),
        Op::UpdateThing { id, .. }
        | Op::MoveThing { id, .. }
        | Op::RotateKey { id, .. }
        | Op::SetExternalKey { id, .. }
        | Op::ClearExternalKey { id, .. }
        | Op::RevealKey { id } => Object::Thing(*id),
        Op::DeleteThings { ids, .. } => Object::Thing(*ids.first()?),
        Op::MergeMetadata { updates } => Object::Thing(updates.first()?.0),
        Op::Invites(Inviting::ToOrg { org, .. }) => Object::Org(*org),
        Op::Invites(Inviting::ToGroup { group, .. }) => Object::Group(*group),
        _ => return None,
    })
}

/// A credential of theirs: their latest session, if it is still worth trying, or a token.
fn credential(world: &World, dice: &mut Dice, person: Person) -> Option<By> {
    let tokens: Vec<Id> =
        world.tokens.iter().filter(|(_, token)| token.person == person).map(|(id, _)| *id).collect();
    if !tokens.is_empty() && dice.one_in(4) {
        return Some(By::Token(dice.any(&tokens)));
    }
    let mine = world.sessions.iter().rev().find(|(_, session)| session.person == person);
    match mine {
        Some((id, session)) if world.now < session.expires_at || dice.one_in(3) => Some(By::Session(*id)),
        // The credential of somebody who was shut out or logged out.
        _ if dice.one_in(3) => Some(By::Session(world.next + 1)),
        _ => None,
    }
}

fn while_of(world: &World, dice: &mut Dice) -> i64 {
    let ends = world.index.values().filter_map(|(_, kind)| match kind {
        Kind::Previous { not_after } => Some(*not_after),
        _ => None,
    });
    let mut moments: Vec<i64> = ends.chain(world.kept.values().map(|kept| kept.at + ANSWERS_KEPT)).collect();
    moments.extend(world.tokens.values().filter_map(|token| token.expires_at));
    for invite in world.invites.values() {
        moments.extend(invite.expires_at);
        moments.extend(invite.mailed.last().map(|at| at + PAUSE));
    }
    moments.retain(|moment| *moment > world.now && *moment < world.now + 8 * DAY);
    if moments.is_empty() || dice.one_in(2) {
        return dice.any(&[1, SECOND, 60 * SECOND, 3600 * SECOND, DAY]);
    }
    // To the very moment, or to the last one before it.
    (dice.any(&moments) - world.now - i64::from(dice.one_in(2))).max(1)
}

fn place(world: &World, dice: &mut Dice) -> Place {
    if dice.one_in(3) {
        Place::Org(dice.target(world, &world.orgs))
    } else {
        Place::Group(dice.target(world, &world.groups))
    }
}

/// One of the members, more often than not.
fn member(world: &World, dice: &mut Dice, place: Place) -> Person {
    let members: Vec<Person> =
        world.party(place).map(|party| party.members.keys().copied().collect()).unwrap_or_default();
    if members.is_empty() || dice.one_in(6) { dice.person(world) } else { dice.any(&members) }
}

fn patch(dice: &mut Dice) -> Patch {
    Patch {
        name: dice.any(NAMES),
        description: dice.maybe(3, &["", "words"]),
        metadata: dice.maybe(2, METADATA),
    }
}

fn new(world: &World, dice: &mut Dice, given: &mut Id) -> New {
    *given += 1;
    let id = if dice.one_in(20) { 1 + dice.roll(world.next) } else { world.next + *given };
    let config = dice.maybe(2, CONFIGS);
    New { id, name: dice.any(NAMES), config, metadata: dice.any(METADATA) }
}

fn create_org(world: &World, dice: &mut Dice) -> Op {
    let id = if world.orgs.len() >= 4 || dice.one_in(5) { 1 + dice.roll(world.next) } else { world.next };
    Op::CreateOrg { id, name: dice.any(NAMES), metadata: dice.any(METADATA) }
}

fn add_members(world: &World, dice: &mut Dice) -> Op {
    let place = place(world, dice);
    // Into a group come members of its organisation.
    let pool = match place {
        Place::Group(id) => world.groups.get(&id).and_then(|group| group.org).map(Place::Org),
        Place::Org(_) => None,
    };
    let members = dice.several(|dice| {
        let person = match pool {
            Some(org) => member(world, dice, org),
            None => dice.person(world),
        };
        (if dice.one_in(2) { Who::Id(person) } else { Who::Email(person) }, dice.role())
    });
    Op::AddMembers { place, members }
}

fn change_roles(world: &World, dice: &mut Dice) -> Op {
    let place = place(world, dice);
    Op::ChangeRoles { place, changes: dice.several(|dice| (member(world, dice, place), dice.role())) }
}

fn remove_members(world: &World, dice: &mut Dice) -> Op {
    let place = place(world, dice);
    Op::RemoveMembers { place, people: dice.several(|dice| member(world, dice, place)) }
}

fn create_groups(world: &World, dice: &mut Dice) -> Op {
    let (org, mut given) = (dice.target(world, &world.orgs), 0);
    let groups = dice.several(|dice| New { config: None, ..new(world, dice, &mut given) });
    Op::CreateGroups { org, groups }
}

fn create_profiles(world: &World, dice: &mut Dice) -> Op {
    let (group, mut given) = (dice.target(world, &world.groups), 0);
    Op::CreateProfiles { group, profiles: dice.several(|dice| new(world, dice, &mut given)) }
}

fn update_profile(world: &World, dice: &mut Dice) -> Op {
    let config = dice.maybe(2, &[None, Some(CONFIGS[0]), Some(CONFIGS[1]), Some(CONFIGS[2])]);
    Op::UpdateProfile {
        id: dice.target(world, &world.profiles),
        patch: patch(dice),
        config,
        expect: dice.expect(),
    }
}

/// Those that no thing uses, more often than not.
fn delete_profiles(world: &World, dice: &mut Dice) -> Op {
    let used = |id: &Id| world.things.values().any(|thing| thing.profile == *id);
    let unused: Vec<Id> = world.profiles.keys().copied().filter(|id| !used(id)).collect();
    let ids = dice.several(|dice| match unused.as_slice() {
        [_, ..] if !dice.one_in(3) => dice.any(&unused),
        _ => dice.target(world, &world.profiles),
    });
    Op::DeleteProfiles { ids, expect: dice.expect() }
}

fn create_things(world: &World, dice: &mut Dice) -> Op {
    let (profile, mut given) = (dice.target(world, &world.profiles), 0);
    let things = dice.several(|dice| {
        let New { id, name, metadata, .. } = new(world, dice, &mut given);
        let (key, kind) = (dice.one_in(3).then(|| custom(world, dice)), dice.any(&ThingType::ALL));
        let external = dice.one_in(3).then(|| external(world, dice));
        NewThing { id, name, kind, key, made: world.next + 3 + given, external, metadata }
    });
    Op::CreateThings { profile, things }
}

fn update_thing(world: &World, dice: &mut Dice) -> Op {
    let id = dice.target(world, &world.things);
    let present = world.things.get(&id);
    let mut patch = patch(dice);
    if let Some(thing) = present.filter(|_| dice.one_in(2)) {
        patch.name = thing.name;
    }
    let key = match dice.roll(6) {
        0 => present.map(|thing| thing.key),
        1 | 2 => Some(custom(world, dice)),
        _ => None,
    };
    Op::UpdateThing { id, patch, kind: dice.maybe(3, &ThingType::ALL), key, expect: dice.expect() }
}

fn move_thing(world: &World, dice: &mut Dice) -> Op {
    let (id, profile) = (dice.target(world, &world.things), dice.target(world, &world.profiles));
    let group = match world.profiles.get(&profile) {
        Some(profile) if !dice.one_in(5) => profile.group,
        _ => dice.target(world, &world.groups),
    };
    Op::MoveThing { id, group, profile, expect: dice.expect() }
}

fn rotate_key(world: &World, dice: &mut Dice) -> Op {
    let overlap_seconds = dice.any(&[0, 0, 1, 60, 3600, 3600, 604_800, 604_801]);
    Op::RotateKey { id: dice.target(world, &world.things), overlap_seconds, made: world.next }
}

fn create_token(world: &World, dice: &mut Dice) -> Op {
    let within = (!dice.one_in(3)).then(|| place(world, dice));
    let life_seconds = dice.maybe(3, &[1, 60, 86_400, 0, 11 * 366 * 86_400]);
    Op::CreateToken { token: world.next, can_write: !dice.one_in(3), within, life_seconds }
}

fn view(world: &World, dice: &mut Dice) -> Op {
    match dice.roll(6) {
        0 => Op::View { object: Object::Org(dice.target(world, &world.orgs)) },
        1 => Op::View { object: Object::Group(dice.target(world, &world.groups)) },
        2 => Op::View { object: Object::Profile(dice.target(world, &world.profiles)) },
        3 => Op::ViewAround { thing: dice.target(world, &world.things), group: dice.one_in(2) },
        _ => Op::View { object: Object::Thing(dice.target(world, &world.things)) },
    }
}

/// A key that a client chooses: known, or one that the registry made up for something.
fn custom(world: &World, dice: &mut Dice) -> Key {
    if dice.one_in(4) { any_key(world, dice).long() } else { Key::Text(dice.any(KEYS)) }
}

fn external(world: &World, dice: &mut Dice) -> Key {
    if dice.one_in(5) { any_key(world, dice) } else { Key::Text(dice.any(SERIALS)) }
}

fn any_key(world: &World, dice: &mut Dice) -> Key {
    let issued: Vec<Key> = world.issued.iter().copied().collect();
    if issued.is_empty() || dice.one_in(10) { Key::Text(dice.any(KEYS)) } else { dice.any(&issued) }
}

fn list(world: &World, dice: &mut Dice) -> List {
    let scope = |dice: &mut Dice, kinds: u64| match dice.roll(kinds) {
        0 => Scope::Org(dice.target(world, &world.orgs)),
        1 => Scope::Group(dice.target(world, &world.groups)),
        2 => Scope::Profile(dice.target(world, &world.profiles)),
        _ => Scope::Everywhere,
    };
    let what = match dice.roll(12) {
        0 => Listed::Orgs,
        1 | 2 if dice.one_in(2) => Listed::Groups(Scope::Everywhere),
        1 | 2 => Listed::Groups(Scope::Org(dice.target(world, &world.orgs))),
        3 | 4 => Listed::Profiles(match scope(dice, 4) {
            Scope::Profile(_) => Scope::Everywhere,
            scope => scope,
        }),
        5 => Listed::Tokens,
        6 => Listed::Journal(match scope(dice, 4) {
            Scope::Profile(_) => Scope::Everywhere,
            scope => scope,
        }),
        7 | 8 => Listed::Members(place(world, dice)),
        _ => Listed::Things(scope(dice, 6)),
    };
    let list = List {
        what,
        text: dice.maybe(3, TEXTS),
        metadata: dice.maybe(3, FILTERS),
        kind: dice.maybe(6, &ThingType::ALL),
        role: dice.maybe(3, &Role::ALL),
        external: dice.one_in(10).then(|| external(world, dice)),
        content_type: dice.maybe(4, &["senml", "application/json", "none"]),
        state: None,
        invite: None,
        order: dice.any(&[Order::Id, Order::Name, Order::Kind, Order::Created, Order::Updated, Order::Email]),
        dir: dice.any(&[Dir::Asc, Dir::Desc]),
        limit: dice.any(&[1, 2, 3, 100]),
        by_offset: dice.one_in(4),
    };
    if dice.one_in(4) { generate_invites::list(world, dice, list) } else { list }
}

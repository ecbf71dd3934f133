//! What is asked about invites next: something that makes sense in the present world, more often than not.

use registry::{InviteKind, InviteMode, InviteState, Role};

use super::{
    commands::{ADDRESSES, Address, Id, List, Listed, Op, Person, Place, ROOT, Who},
    dice::Dice,
    generate::Make,
    invites::Invite,
    inviting::{Inbox, Inviting, NewInvite},
    reference::World,
};

/// How often each kind of request comes.
pub const INVITING: &[(u64, Make)] = &[
    (9, to_org),
    (7, to_group),
    (2, |w, d| asked(Inviting::ToPlatform { address: stranger(w, d), invite: w.next })),
    (2, |w, d| asked(Inviting::View { invite: d.target(w, &w.invites) })),
    (11, |w, d| asked(Inviting::Accept { invite: answerable(w, d) })),
    (3, |w, d| asked(Inviting::Decline { invite: answerable(w, d) })),
    (4, |w, d| asked(Inviting::Revoke { invite: open(w, d, |_| true) })),
    (5, |w, d| asked(Inviting::Resend { invite: open(w, d, |_| true), secret: w.next })),
    (1, |w, d| asked(Inviting::Register { address: stranger(w, d) })),
    (3, register_by),
    (1, |w, d| asked(Inviting::ViewBy { secret: secret(w, d, |_| true) })),
    (1, |w, d| asked(Inviting::DeclineBy { secret: secret(w, d, |_| true) })),
    (2, claim),
    (2, demote_inviter),
    (1, add_invitee),
];

fn asked(op: Inviting) -> Op {
    Op::Invites(op)
}

/// Who may have a right to it, more often than not.
pub fn somebody(world: &World, dice: &mut Dice, op: &Inviting) -> Option<Person> {
    if dice.one_in(5) {
        return None;
    }
    let invite = |id: &Id| world.invites.get(id);
    match op {
        Inviting::ToPlatform { .. } => Some(ROOT),
        Inviting::View { invite: id } if dice.one_in(2) => invite(id)?.invitee,
        Inviting::Accept { invite: id } | Inviting::Decline { invite: id } => invite(id)?.invitee,
        Inviting::View { invite: id }
        | Inviting::Revoke { invite: id }
        | Inviting::Resend { invite: id, .. } => {
            let invite = invite(id)?;
            let place = invite.org.and_then(|id| world.orgs.get(&id));
            let admins: Vec<Person> =
                place.map(|org| org.members.keys().copied().collect()).unwrap_or_default();
            if admins.is_empty() || !dice.one_in(3) { Some(invite.inviter) } else { Some(dice.any(&admins)) }
        }
        Inviting::Claim { secret } => {
            let to = world.door(*secret).and_then(|door| world.invites[&door].address)?;
            world.people.iter().position(|account| account.address == to)
        }
        _ => None,
    }
}

fn one_of(world: &World, dice: &mut Dice, ids: &[Id]) -> Id {
    if ids.is_empty() || dice.one_in(8) { dice.target(world, &world.invites) } else { dice.any(ids) }
}

fn open(world: &World, dice: &mut Dice, are: impl Fn(&Invite) -> bool) -> Id {
    one_of(world, dice, &world.open_invites(are))
}

/// An invite to a place, and the place.
fn somewhere(world: &World, dice: &mut Dice) -> Option<(Invite, Place)> {
    let invite = world.invites.get(&open(world, dice, |invite| invite.invitee.is_some()))?.clone();
    let place = invite.group.map(Place::Group).or(invite.org.map(Place::Org))?;
    Some((invite, place))
}

/// Who invited may not be able to give the role any more.
fn demote_inviter(world: &World, dice: &mut Dice) -> Op {
    let role = dice.any(&[Role::Viewer, Role::Editor]);
    let (place, changes) = match somewhere(world, dice) {
        Some((invite, place)) => (place, vec![(invite.inviter, role)]),
        None => (Place::Org(world.next), Vec::new()),
    };
    Op::ChangeRoles { place, changes }
}

/// Who is invited may become a member without that.
fn add_invitee(world: &World, dice: &mut Dice) -> Op {
    let found = somewhere(world, dice).and_then(|(invite, place)| Some((invite.invitee?, place)));
    let (person, place) = found.unwrap_or((ROOT, Place::Org(world.next)));
    Op::AddMembers { place, members: vec![(Who::Id(person), Role::Viewer)] }
}

/// One that somebody can answer; now and then one that has just ended, or that will be found void.
fn answerable(world: &World, dice: &mut Dice) -> Id {
    let void = |invite: &Invite| {
        let place = invite.group.map(Place::Group).or(invite.org.map(Place::Org));
        let (Some(place), Some(person), Some(role)) = (place, invite.invitee, invite.role) else {
            return false;
        };
        let member = world.party(place).is_some_and(|party| party.members.contains_key(&person));
        member || !world.may_grant(invite.inviter, place.into(), role)
    };
    let void = world.open_invites(void);
    if !void.is_empty() && dice.one_in(3) {
        return dice.any(&void);
    }
    if dice.one_in(6) {
        let ended = world.invites_that(|invite| invite.invitee.is_some() && !world.is_open(invite));
        return one_of(world, dice, &ended);
    }
    open(world, dice, |invite| invite.invitee.is_some())
}

/// A secret that works, more often than not.
fn secret(world: &World, dice: &mut Dice, of: impl Fn(&Invite) -> bool) -> Id {
    let door = open(world, dice, |invite| invite.kind == InviteKind::Platform && of(invite));
    let known = world.invites.get(&door).and_then(|invite| invite.secret);
    known.filter(|_| !dice.one_in(20)).unwrap_or(door)
}

fn has_account(world: &World, address: Address) -> bool {
    world.people.iter().any(|account| account.address == address)
}

/// An address without an account, more often than not.
fn stranger(world: &World, dice: &mut Dice) -> Address {
    let strangers: Vec<Address> = (0..ADDRESSES).filter(|address| !has_account(world, *address)).collect();
    if strangers.is_empty() || dice.one_in(8) { dice.address() } else { dice.any(&strangers) }
}

fn register_by(world: &World, dice: &mut Dice) -> Op {
    let secret = secret(world, dice, |invite| invite.address.is_some_and(|to| !has_account(world, to)));
    let to = world.door(secret).and_then(|door| world.invites[&door].address);
    let address = match dice.roll(6) {
        0 => Some(dice.address()),
        1 | 2 => to,
        _ => None,
    };
    asked(Inviting::RegisterBy { secret, address })
}

fn claim(world: &World, dice: &mut Dice) -> Op {
    let secret = secret(world, dice, |invite| invite.address.is_some_and(|to| has_account(world, to)));
    asked(Inviting::Claim { secret })
}

/// One that can be given, more often than not.
fn role(dice: &mut Dice) -> Role {
    if dice.one_in(20) { Role::Owner } else { dice.any(&[Role::Viewer, Role::Editor, Role::Admin]) }
}

fn to_org(world: &World, dice: &mut Dice) -> Op {
    let org = dice.target(world, &world.orgs);
    let inside = |person: &Person| world.orgs.get(&org).is_some_and(|org| org.members.contains_key(person));
    let outside: Vec<Address> = (0..ADDRESSES)
        .filter(|address| {
            let person = world.people.iter().position(|account| account.address == *address);
            person.is_none_or(|person| !inside(&person))
        })
        .collect();
    let groups: Vec<Id> =
        world.groups.iter().filter(|(_, group)| group.org == Some(org)).map(|(id, _)| *id).collect();
    let invites = dice.several(|dice| NewInvite {
        address: if outside.is_empty() || dice.one_in(8) { dice.address() } else { dice.any(&outside) },
        role: role(dice),
        groups: (0..dice.any(&[0, 0, 1, 1, 1, 2, 2]))
            .map(|_| {
                let some = groups.is_empty() || dice.one_in(20);
                (if some { dice.target(world, &world.groups) } else { dice.any(&groups) }, role(dice))
            })
            .collect(),
        mode: dice.any(&[InviteMode::Ask, InviteMode::Join]),
        path: dice.maybe(3, &["/", "/welcome/here"]),
    });
    asked(Inviting::ToOrg { org, invites, partial: dice.one_in(4), first: world.next })
}

fn to_group(world: &World, dice: &mut Dice) -> Op {
    let group = dice.target(world, &world.groups);
    let found = world.groups.get(&group);
    let org = found.and_then(|group| world.orgs.get(&group.org?));
    let welcome: Vec<Address> = match (found, org) {
        (Some(group), Some(org)) => {
            let outside = org.members.keys().filter(|person| !group.members.contains_key(person));
            outside.map(|person| world.people[*person].address).collect()
        }
        _ => Vec::new(),
    };
    let invites = dice.several(|dice| {
        let address = if welcome.is_empty() || dice.one_in(8) { dice.address() } else { dice.any(&welcome) };
        (address, role(dice))
    });
    asked(Inviting::ToGroup { group, invites, partial: dice.one_in(4), first: world.next })
}

/// A list of invites, with its filters.
pub fn list(world: &World, dice: &mut Dice, list: List) -> List {
    let inbox = match dice.roll(5) {
        0 => Inbox::Everything,
        1 => Inbox::ToOrg(dice.target(world, &world.orgs)),
        2 => Inbox::ToGroup(dice.target(world, &world.groups)),
        3 => Inbox::Received(dice.person(world)),
        _ => Inbox::Sent(dice.person(world)),
    };
    List {
        what: Listed::Invites(inbox),
        state: dice.maybe(2, &InviteState::ALL),
        invite: dice.maybe(3, &InviteKind::ALL),
        ..list
    }
}

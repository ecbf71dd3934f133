//! The state machine that proptest drives: how a sequence begins, what comes next, what is compared.

use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use proptest::{prelude::*, strategy::BoxedStrategy};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};
use registry::{InviteMode, Role, credentials::CredentialKind, things::ThingType};

use super::{
    audit::Pair,
    commands::{By, Command, Key, New, NewThing, Op, PEOPLE, Place, Who},
    generate,
    inviting::{Inviting, NewInvite},
    reference::World,
    side::Side,
};
use crate::support::{Engine, engines};

pub static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
});

/// The model as proptest sees it.
pub struct Machine;

impl ReferenceStateMachine for Machine {
    type State = World;
    type Transition = Command;

    fn init_state() -> BoxedStrategy<World> {
        Just(beginning()).boxed()
    }

    fn transitions(world: &World) -> BoxedStrategy<Command> {
        let world = world.clone();
        // A command is left out or stays as it is: one with a smaller seed would not be a smaller one.
        any::<u64>().no_shrink().prop_map(move |seed| generate::command(&world, seed)).boxed()
    }

    fn apply(world: World, command: &Command) -> World {
        world.after(command)
    }
}

impl StateMachineTest for Pair {
    type SystemUnderTest = Self;
    type Reference = Machine;

    fn init_test(world: &World) -> Self {
        let seed = seed();
        RUNTIME.block_on(async {
            let mut sides = Vec::new();
            for side in &seed.sides {
                sides.push(side.copy(world).await);
            }
            Self { sides }
        })
    }

    fn apply(mut pair: Self, world: &World, command: Command) -> Self {
        RUNTIME.block_on(pair.follow(world, &command));
        super::tally::count(&command, &world.last.outcome);
        pair
    }

    fn teardown(mut pair: Self, world: World) {
        RUNTIME.block_on(async {
            pair.last_audit(&world).await;
            for side in &pair.sides {
                side.registry.close().await;
            }
        });
    }
}

/// The databases in which every sequence begins; each works on copies of them.
pub struct Seed {
    sides: Vec<Side>,
}

/// Made once, and kept as long as a test holds it.
pub fn seed() -> Arc<Seed> {
    static KNOWN: Mutex<Weak<Seed>> = Mutex::new(Weak::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(seed) = known.upgrade() {
        return seed;
    }
    let seed = Arc::new(RUNTIME.block_on(async {
        let mut pair = Pair { sides: Vec::new() };
        for engine in engines() {
            pair.sides.push(Side::new(engine).await);
        }
        let mut world = World::empty();
        for command in prologue() {
            world = world.after(&command);
            pair.follow(&world, &command).await;
        }
        pair.audit(&world).await;
        for side in &pair.sides {
            side.registry.close().await;
            if side.database.engine == Engine::Sqlite {
                // The file alone is copied, perhaps before the last connection has written its log to it.
                side.database.execute("PRAGMA wal_checkpoint(TRUNCATE)").await;
            }
        }
        Seed { sides: pair.sides }
    }));
    *known = Arc::downgrade(&seed);
    seed
}

/// The world in which every sequence begins.
pub fn beginning() -> World {
    static BEGINNING: LazyLock<World> = LazyLock::new(|| {
        prologue().iter().fold(World::empty(), |world, command| {
            let world = world.after(command);
            assert!(world.last.outcome.is_ok(), "{command:?}: {:?}", world.last.outcome);
            world
        })
    });
    BEGINNING.clone()
}

/// Three organisations with members of every role, their groups, profiles, things and keys of every
/// kind, and invites of every kind: enough for any command to have something to do.
fn prologue() -> Vec<Command> {
    let by = |person: usize, op: Op| {
        let session = u64::try_from(person).unwrap() + 1;
        Command::Ask { by: By::Session(session), op, replay: None }
    };
    let org = |id, name| Op::CreateOrg { id, name, metadata: r#"{"site":"A","n":1}"# };
    let members = |place, members: &[(usize, Role)]| Op::AddMembers {
        place,
        members: members.iter().map(|(person, role)| (Who::Id(*person), *role)).collect(),
    };
    let new = |id, name| New { id, name, config: Some("{}"), metadata: r#"{"site":"B","n":1.0}"# };
    let groups = |org, new: New| Op::CreateGroups { org, groups: vec![New { config: None, ..new }] };
    let profiles = |group, profiles: &[New]| Op::CreateProfiles { group, profiles: profiles.to_vec() };
    let thing = |id, name, key, external| NewThing {
        id,
        name,
        kind: ThingType::Sensor,
        key,
        made: id + 100,
        external,
        metadata: r#"{"tags":["a","b"],"site":"A"}"#,
    };
    let (viewer, editor, admin) = (Role::Viewer, Role::Editor, Role::Admin);
    let text = |text| Some(Key::Text(text));

    let log_in = (0..PEOPLE).map(|person| Command::LogIn { person, session: person as u64 + 1 });
    let mut commands: Vec<Command> = log_in.collect();
    let ask = |op| Command::Ask { by: By::Nobody, op: Op::Invites(op), replay: None };
    // Somebody who has not shown that the address is theirs.
    commands.push(ask(Inviting::Register { address: PEOPLE }));
    commands.push(Command::LogIn { person: PEOPLE, session: PEOPLE as u64 + 1 });
    commands.extend([
        by(1, org(11, "first")),
        by(2, org(12, "second")),
        by(3, org(13, "third")),
        by(1, members(Place::Org(11), &[(2, admin), (3, editor), (4, viewer)])),
        by(2, members(Place::Org(12), &[(1, viewer), (5, editor), (0, editor)])),
        by(3, members(Place::Org(13), &[(4, admin), (5, viewer)])),
        by(1, groups(11, new(21, "north"))),
        by(1, groups(11, new(22, "south"))),
        by(5, groups(12, new(23, "east"))),
        by(3, groups(13, new(24, "west"))),
        by(1, members(Place::Group(21), &[(2, admin), (3, editor), (4, viewer)])),
        by(1, members(Place::Group(22), &[(3, editor)])),
        by(3, members(Place::Group(24), &[(4, editor)])),
        by(3, profiles(21, &[new(31, "pump"), new(32, "valve")])),
        by(3, profiles(22, &[new(33, "pump")])),
        by(2, profiles(23, &[new(34, "pump")])),
        by(4, profiles(24, &[new(35, "pump")])),
    ]);
    let things = |profile, things: &[NewThing]| Op::CreateThings { profile, things: things.to_vec() };
    commands.extend([
        by(3, things(31, &[thing(41, "pump", None, text("SN-42")), thing(42, "Pump", None, None)])),
        by(3, things(32, &[thing(43, "valve \"7\"", text("SERIAL-0000-0001"), None)])),
        by(3, things(33, &[thing(44, "pump", None, None)])),
        by(5, things(34, &[thing(45, "pump", None, text("SERIAL-0000-0003"))])),
        by(4, things(35, &[thing(46, "Zürich", None, None)])),
        by(3, Op::RotateKey { id: 42, overlap_seconds: 3600, made: 151 }),
        by(
            3,
            Op::CreateToken { token: 161, can_write: true, within: Some(Place::Org(11)), life_seconds: None },
        ),
        by(1, Op::CreateToken { token: 162, can_write: false, within: None, life_seconds: None }),
        by(
            2,
            Op::CreateToken {
                token: 163,
                can_write: true,
                within: Some(Place::Group(21)),
                life_seconds: Some(86_400),
            },
        ),
        Command::Present { kind: CredentialKind::Internal, key: Key::Made(142) },
    ]);
    let invited = |address, role, groups: &[(u64, Role)], mode| NewInvite {
        address,
        role,
        groups: groups.to_vec(),
        mode,
        path: Some("/welcome"),
    };
    let to_org = |org, first, invites| Op::Invites(Inviting::ToOrg { org, invites, partial: false, first });
    let (ask, join) = (InviteMode::Ask, InviteMode::Join);
    let to_first = vec![
        invited(5, viewer, &[(21, viewer), (22, editor)], ask),
        invited(PEOPLE, editor, &[(21, viewer)], join),
    ];
    commands.extend([
        by(1, to_org(11, 171, to_first)),
        by(2, to_org(11, 191, vec![invited(5, editor, &[(21, editor)], join)])),
        by(2, to_org(12, 201, vec![invited(7, viewer, &[(23, viewer)], ask)])),
        by(
            1,
            Op::Invites(Inviting::ToGroup {
                group: 22,
                invites: vec![(4, editor)],
                partial: false,
                first: 211,
            }),
        ),
        by(0, Op::Invites(Inviting::ToPlatform { address: 8, invite: 221 })),
        // The copies are other registries, whose ids are in order with these from another millisecond on.
        Command::Advance { millis: 1 },
    ]);
    commands
}

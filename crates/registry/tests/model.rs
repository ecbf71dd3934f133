//! The registry against a model of it: random sequences of commands by six people and those
//! who join them, in three organisations, on every engine at the same time, after each of which the answer must be the
//! model's, and every so often all that is stored.
//!
//! `PROPTEST_CASES` says how many sequences; a sequence that failed is shrunk, shown, and its seed
//! kept in `tests/model.regressions`, from where it is repeated first.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    unreachable_pub,
    reason = "also outside of the functions marked as tests"
)]

mod support;

mod model {
    pub mod audit;
    pub mod audit_invites;
    pub mod commands;
    pub mod devices;
    pub mod dice;
    pub mod doors;
    pub mod found;
    pub mod generate;
    pub mod generate_invites;
    pub mod invites;
    pub mod inviting;
    pub mod lists;
    pub mod machine;
    pub mod parties;
    pub mod perform;
    pub mod perform_invites;
    pub mod policy;
    pub mod rare;
    pub mod reference;
    pub mod rules;
    pub mod side;
    pub mod tally;
    pub mod walk;
}

use model::{audit::Pair, found, machine, rare, tally};
use proptest::test_runner::{Config, FileFailurePersistence, TestError, TestRunner};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};

/// How many sequences unless `PROPTEST_CASES` says otherwise.
const CASES: u32 = 40;
/// How many commands each has.
const COMMANDS: usize = 40;

#[test]
fn the_registry_is_as_its_model_on_every_engine() {
    let cases = match std::env::var_os("PROPTEST_CASES") {
        Some(_) => Config::default().cases,
        None => CASES,
    };
    let config = Config {
        cases,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/model.regressions"))),
        ..Config::default()
    };
    let _seed = machine::seed();
    let mut runner = TestRunner::new(config.clone());
    let sequences = machine::Machine::sequential_strategy(COMMANDS);
    let outcome = runner.run(&sequences, |(world, commands, seen)| {
        Pair::test_sequential(config.clone(), world, commands, seen);
        Ok(())
    });
    eprintln!("{}", tally::report());
    match outcome {
        Err(TestError::Fail(reason, (_, commands, _))) => {
            let commands: Vec<String> = commands.iter().map(|command| format!("{command:?},\n")).collect();
            panic!("{reason}\nafter the prologue:\n{}", commands.concat());
        }
        outcome => outcome.unwrap(),
    }
    let in_vain = tally::never_succeeded();
    let bad_luck = if cases < 10 * CASES { 3 } else { 0 };
    assert!(cases < CASES || in_vain.len() <= bad_luck, "not once could anybody {in_vain:?}");
}

#[test]
fn what_once_failed_fails_no_more() {
    let _seed = machine::seed();
    for (what, commands) in found::sequences() {
        eprintln!("{what}");
        let config = Config { failure_persistence: None, ..Config::default() };
        Pair::test_sequential(config, machine::beginning(), commands, None);
    }
}

#[test]
fn what_chance_seldom_makes_is_as_the_model_has_it() {
    let _seed = machine::seed();
    for (what, commands, end) in rare::sequences() {
        eprintln!("{what}");
        let world = commands.iter().fold(machine::beginning(), |world, command| world.after(command));
        assert_eq!(world.last.outcome.err(), end, "{what}");
        let config = Config { failure_persistence: None, ..Config::default() };
        Pair::test_sequential(config, machine::beginning(), commands, None);
    }
}

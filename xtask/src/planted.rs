//! `cargo xtask planted`: takes rules out one at a time and expects their tests to fail.
//!
//! One build serves all: with the feature `planted` each fault of the list lies in the code, and
//! `THINGS_PLANTED` switches one on. `cargo xtask tidy` compares the list with the code. That of
//! `cargo xtask test --planted` is the same build.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use crate::{
    Result,
    process::{Interrupts, cargo, say},
};

/// Which fault is switched on.
pub(crate) const PLANTED: &str = "THINGS_PLANTED";

/// What puts the faults into the code.
pub(crate) const FEATURE: [&str; 2] = ["--features", "registry/planted"];

/// A test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Test {
    target: &'static str,
    name: &'static str,
}

/// A test in `crates/registry/tests/invites.rs`.
const fn invites(name: &'static str) -> Test {
    Test { target: "invites", name }
}

/// A test in `crates/registry/tests/devices.rs`.
const fn devices(name: &'static str) -> Test {
    Test { target: "devices", name }
}

/// A test in `crates/registry/tests/activity.rs`.
const fn activity(name: &'static str) -> Test {
    Test { target: "activity", name }
}

/// Each fault as its `planted!("…")` has it, beginning with the threat whose rule it takes out; and the tests
/// that notice. All of them must fail.
const FAULTS: &[(&str, &[Test])] = &[
    ("I1: the id is an authority", &[invites("invites::answer::the_id_is_no_authority")]),
    ("I2: anybody may answer", &[invites("invites::answer::the_id_is_no_authority")]),
    ("I2: the secret is bound to no address", &[invites("invites::join::a_secret_is_its_addresss_alone")]),
    (
        "I2: an address need not be proved",
        &[
            invites("invites::join::an_account_made_beforehand_has_to_show_the_secret"),
            invites("invites::create::a_group_invites_nobody_whose_address_is_not_proved"),
            Test { target: "org_memberships", name: "an_address_that_nobody_proved_names_nobody" },
        ],
    ),
    (
        "I2: who is added is taken to have agreed",
        &[invites("invites::added::their_invites_end_and_the_groups_are_theirs_to_answer")],
    ),
    ("I3: any role may be given", &[invites("invites::create::nobody_gives_more_than_an_admin_may")]),
    (
        "I4: the inviter's role is that of then",
        &[invites("invites::answer::an_inviter_who_may_no_longer_invite_makes_no_member")],
    ),
    (
        "I4: an account is made by the word of somebody who has none",
        &[invites("invites::join::who_may_no_longer_invite_makes_no_account")],
    ),
    ("I5: the change of state is not guarded", &[invites("invites::answer::an_invite_ends_once")]),
    ("I6: accepting overwrites a role", &[invites("invites::answer::an_invite_changes_no_role")]),
    ("I7: an expired invite stands in the way", &[invites("invites::expiry::another_admin_invites_again")]),
    (
        "I8: expiry is not looked at",
        &[
            invites("invites::expiry::an_invite_ends_at_its_moment"),
            invites("invites::expiry::what_is_past_due_is_never_shown_as_pending"),
        ],
    ),
    (
        "I9: groups of other organisations",
        &[invites("invites::create::an_organisations_invite_offers_groups_of_it_only")],
    ),
    (
        "I10: clashes are not looked for",
        &[
            invites("invites::wake::what_one_has_already_wins_over_what_sleeps"),
            invites(
                "invites::wake::of_several_that_sleep_for_a_group_the_newest_wins_whose_inviter_still_qualifies",
            ),
        ],
    ),
    (
        "I11: invites outlive a membership of the organisation",
        &[invites("invites::leave::who_leaves_the_organisation_takes_their_invites_along")],
    ),
    (
        "I11: the organisation is not asked again",
        &[invites("invites::answer::only_members_of_the_organisation_join_a_group")],
    ),
    (
        "I12: only the inviter takes an invite back",
        &[invites("invites::withdraw::any_admin_of_the_place_takes_an_invite_back")],
    ),
    (
        "I13: no limits",
        &[
            invites("invites::limits::one_person_invites_so_many_in_an_hour"),
            invites("invites::limits::a_place_has_so_many_pending"),
        ],
    ),
    (
        "I13: an address is invited without end",
        &[invites("invites::limits::one_address_is_invited_so_often_to_one_place")],
    ),
    (
        "I13: many places mail one address without end",
        &[invites("invites::limits::one_address_is_mailed_so_often_by_all_places")],
    ),
    (
        "I13: an invite is mailed again at once",
        &[
            invites("invites::withdraw::sending_again_starts_the_clock_again_and_not_too_often"),
            invites("invites::withdraw::a_new_secret_ends_the_one_before"),
        ],
    ),
    ("I13: a path leads anywhere", &[invites("invites::limits::a_path_leads_nowhere_else")]),
    (
        "I14: sleepers stay when what they sleep on ends",
        &[
            invites("invites::answer::declining_ends_it_with_what_sleeps_on_it"),
            invites("invites::expiry::a_sweep_says_so_once_of_everything"),
        ],
    ),
    ("I15: an answered invite is taken back", &[invites("invites::answer::an_invite_ends_once")]),
    (
        "T8: a change does not end what is in memory",
        &[
            devices("what_is_kept_in_memory_ends_with_what_it_was_made_from"),
            devices("what_is_kept_of_a_thing_by_its_id_ends_with_what_it_was_made_from"),
        ],
    ),
    ("T8: a profile is the same in any group", &[devices("ids_that_are_used_again_bring_no_key_back")]),
    ("T8: a disabled thing gets in", &[activity("a_disabled_thing_gets_in_no_more_and_an_enabled_one_does")]),
    (
        "T1: everybody reads all failed checks",
        &[activity("failed_checks_are_shown_to_who_administers_the_thing")],
    ),
];

pub(crate) fn run(arguments: Vec<OsString>) -> Result<()> {
    if let Some(argument) = arguments.first() {
        return Err(format!("takes no arguments, got {}", argument.display()).into());
    }
    hunt(&Interrupts::listen()?)
}

/// Takes the rules out, one at a time.
pub(crate) fn hunt(interrupts: &Interrupts) -> Result<()> {
    let tests: BTreeSet<Test> = FAULTS.iter().flat_map(|(_, tests)| tests.iter().copied()).collect();
    let targets: BTreeSet<&str> = tests.iter().map(|test| test.target).collect();

    say("planted: cargo test, with nothing planted");
    for target in targets {
        let names = tests.iter().filter(|test| test.target == target);
        let mut all = test(target)?;
        // A name that no fault has: what fails later fails by the fault.
        all.args(names.map(|test| test.name)).env(PLANTED, "nothing");
        if !interrupts.run(&mut all)?.success() {
            return Err("tests fail although nothing is planted".into());
        }
    }

    let mut survived = Vec::new();
    for (fault, tests) in FAULTS {
        for Test { target, name } in *tests {
            let started = Instant::now();
            let mut one = test(target)?;
            one.arg(name).env(PLANTED, fault).stdout(Stdio::null()).stderr(Stdio::null());
            // A test that does not exist fails nothing either.
            let caught = !interrupts.run(&mut one)?.success();
            let seconds = started.elapsed().as_secs_f32();
            let outcome = if caught { "caught  " } else { "SURVIVES" };
            say(&format!("{outcome} {fault:<54} {seconds:>4.1} s  {name}"));
            if !caught {
                survived.push(format!("{fault} ({name})"));
            }
        }
    }
    match survived.as_slice() {
        [] => {
            say(&format!("planted: each of {} faults was caught", FAULTS.len()));
            Ok(())
        }
        survived => Err(format!("nothing noticed: {}", survived.join("; ")).into()),
    }
}

/// Exactly the tests that are named next, on SQLite. The whole workspace is named, because a part of it would make
/// a build of its own, with other features of the same dependencies.
fn test(target: &str) -> Result<Command> {
    let mut command = cargo()?;
    command.args(["test", "--quiet", "--workspace"]).args(FEATURE).args(["--test", target]);
    command.args(["--", "--exact"]).env_remove(PLANTED).env_remove("THINGS_TEST_POSTGRES");
    Ok(command)
}

/// The faults that lie in a file, with their lines.
pub(crate) fn in_source(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")).flat_map(
        |(at, line)| {
            let faults = line.split("planted!(\"").skip(1);
            faults.filter_map(move |rest| Some((at + 1, rest.split_once('"')?.0)))
        },
    )
}

/// Whether `cargo xtask planted` knows this fault.
pub(crate) fn is_listed(fault: &str) -> bool {
    FAULTS.iter().any(|(name, _)| *name == fault)
}

/// The faults of the list that are not among these.
pub(crate) fn missing<'f>(found: &'f BTreeSet<String>) -> impl Iterator<Item = &'static str> + 'f {
    FAULTS.iter().map(|(name, _)| *name).filter(|name| !found.contains(*name))
}

/// Where faults are planted: the programs, not their tests.
pub(crate) fn may_lie_in(file: &str) -> bool {
    let file = Path::new(file);
    file.starts_with("crates") && file.components().any(|part| part.as_os_str() == "src")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_threat_to_invites_has_a_fault_and_each_fault_a_test() {
        for threat in 1..=15 {
            let name = format!("I{threat}: ");
            assert!(FAULTS.iter().any(|(fault, _)| fault.starts_with(&name)), "{name}");
        }
        assert!(FAULTS.iter().all(|(_, tests)| !tests.is_empty()));
    }

    #[test]
    fn faults_are_found_in_code_and_not_in_comments() {
        let text = "//! `planted!(\"…\")`\nif a && !planted!(\"I1: x\") || planted!(\"I2: y\") {";
        assert_eq!(in_source(text).collect::<Vec<_>>(), [(2, "I1: x"), (2, "I2: y")]);
    }
}

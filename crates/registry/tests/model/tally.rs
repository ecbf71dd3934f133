//! What a run came across, so that a generator that only ever asks in vain is noticed.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use super::{
    commands::Command,
    reference::{Outcome, Refusal},
};

type Counts = BTreeMap<&'static str, BTreeMap<String, u64>>;

static TALLY: Mutex<Counts> = Mutex::new(BTreeMap::new());

/// Counts how a command ended.
pub fn count(command: &Command, outcome: &Outcome) {
    let kind = match command {
        Command::Ask { op, .. } => op.kind(),
        Command::LogIn { .. } => "log in",
        Command::Present { .. } => "authenticate",
        Command::Advance { .. } => "advance",
        Command::Reopen => "reopen",
        Command::Sweep => "sweep",
        Command::Crown { .. } => "crown",
    };
    let class = match outcome {
        Ok(_) => "ok".to_owned(),
        Err(Refusal::Conflict(kind, _)) => kind.code().to_owned(),
        Err(Refusal::Forbidden(denial)) => format!("{denial:?}"),
        Err(Refusal::Invalid(_)) => "invalid".to_owned(),
        Err(refusal) => format!("{refusal:?}"),
    };
    let mut tally = TALLY.lock().unwrap_or_else(PoisonError::into_inner);
    *tally.entry(kind).or_default().entry(class).or_default() += 1;
}

/// What was counted, a line for each kind of command.
pub fn report() -> String {
    let tally = TALLY.lock().unwrap_or_else(PoisonError::into_inner);
    let line = |(kind, classes): (&&str, &BTreeMap<String, u64>)| {
        let classes: Vec<String> = classes.iter().map(|(class, count)| format!("{class} {count}")).collect();
        format!("{kind}: {}\n", classes.join(", "))
    };
    tally.iter().map(line).collect()
}

/// The kinds of commands of which not one succeeded.
pub fn never_succeeded() -> Vec<&'static str> {
    let tally = TALLY.lock().unwrap_or_else(PoisonError::into_inner);
    tally.iter().filter(|(_, classes)| !classes.contains_key("ok")).map(|(kind, _)| *kind).collect()
}

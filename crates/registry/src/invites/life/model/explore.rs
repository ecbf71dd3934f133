//! The exploration itself, breadth first, and what must hold of everything that is found.

use std::collections::{HashMap, VecDeque, hash_map::Entry};

use super::*;

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct State {
    db: Db,
    /// A mail has left, and the worker has not marked it yet.
    mailing: bool,
}

/// How transactions are done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Commits {
    AsOne,
    /// The fault that the exploration has to find: the answer is committed before the membership.
    AnswerFirst,
}

impl Db {
    /// What a transaction with these writes can come to: all of it, or what a crash after any of them leaves.
    fn outcomes(&self, writes: &[Write], commits: Commits) -> Vec<Self> {
        let mut all = Vec::new();
        let mut left = self.clone();
        for write in writes {
            if commits == Commits::AnswerFirst && matches!(write, Write::Answer(_)) {
                left.apply(*write);
            }
            // Whoever holds the locks is seen by nobody else, so a crash is all that can come between.
            all.push(left.clone());
        }
        let mut done = self.clone();
        writes.iter().for_each(|write| done.apply(*write));
        all.push(done);
        all
    }
}

impl State {
    /// All states that the next step can lead to.
    fn next(&self, with: With, commits: Commits) -> Vec<Self> {
        let mut next = Vec::new();
        for writes in self.db.use_cases(with) {
            let outcomes = self.db.outcomes(&writes, commits).into_iter();
            next.extend(outcomes.map(|db| Self { db, ..self.clone() }));
        }
        for at in self.db.pending().filter(|at| !self.db.rows[*at].linked && !self.db.rows[*at].due) {
            let mut later = self.clone();
            later.db.rows[at].due = true;
            next.push(later);
        }
        if with == With::Mails && self.mailing {
            let mut marked = Self { mailing: false, ..self.clone() };
            (marked.db.queued, marked.db.marked) = (self.db.queued - 1, self.db.marked + 1);
            // Or the worker has crashed, and the mail is sent once more.
            next.extend([marked, Self { mailing: false, ..self.clone() }]);
        } else if with == With::Mails && self.db.queued > 0 {
            next.push(Self { mailing: true, ..self.clone() });
        }
        next.retain(|state| state != self);
        next
    }
}

/// All states, and the steps between them by their numbers.
type Explored = (Vec<State>, Vec<(u32, u32)>);
/// What does not hold, and the way there.
type Broken = (&'static str, Vec<State>);

/// Looks at everything, or as far as something is broken.
fn explore(with: With, commits: Commits) -> Result<Explored, Broken> {
    let beginning = State { db: Db::beginning(), mailing: false };
    let mut numbers = HashMap::from([(beginning.clone(), 0u32)]);
    let mut states = vec![beginning];
    let (mut from, mut steps) = (vec![0u32], Vec::new());
    let mut waiting = VecDeque::from([0u32]);
    while let Some(number) = waiting.pop_front() {
        let state = states[number as usize].clone();
        for next in state.next(with, commits) {
            let broken = next.db.broken().or_else(|| state.db.broken_by(&next.db));
            let found = u32::try_from(states.len()).unwrap();
            let to = match numbers.entry(next) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(new) => {
                    states.push(new.key().clone());
                    from.push(number);
                    waiting.push_back(found);
                    *new.insert(found)
                }
            };
            steps.push((number, to));
            if let Some(broken) = broken {
                let mut way = vec![states[to as usize].clone()];
                let mut at = number;
                while at != 0 {
                    way.insert(0, states[at as usize].clone());
                    at = from[at as usize];
                }
                return Err((broken, way));
            }
        }
    }
    Ok((states, steps))
}

/// Explores everything, and whether each invite can still end wherever it is.
fn holds(with: With, at_least: usize) {
    let (states, steps) = match explore(with, Commits::AsOne) {
        Ok(explored) => explored,
        Err((broken, way)) => panic!("{broken}, after\n{way:#?}"),
    };
    assert!(states.len() >= at_least, "only {} states were explored", states.len());
    let mut before: Vec<Vec<u32>> = vec![Vec::new(); states.len()];
    for (from, to) in &steps {
        before[*to as usize].push(*from);
    }
    for invite in ALL {
        let ended = |state: &State| state.db.rows[invite].state != Some(InviteState::Pending);
        let mut can: Vec<bool> = states.iter().map(ended).collect();
        let mut waiting: Vec<u32> = (0..).zip(&can).filter(|(_, can)| **can).map(|(at, _)| at).collect();
        while let Some(at) = waiting.pop() {
            for from in &before[at as usize] {
                if !std::mem::replace(&mut can[*from as usize], true) {
                    waiting.push(*from);
                }
            }
        }
        assert!(can.iter().all(|can| *can), "invite {invite} can get stuck");
        for state in InviteState::ALL {
            let reached = states.iter().any(|at| at.db.rows[invite].state == Some(state));
            assert!(reached, "invite {invite} is never {state:?}");
        }
    }
    let sent = states.iter().all(|state| {
        state.db.queued == 0 || with == With::Members || {
            state
                .next(with, Commits::AsOne)
                .iter()
                .any(|next| next.mailing || next.db.marked > state.db.marked)
        }
    });
    assert!(sent, "a mail can be left lying");
    eprintln!("{} states, {} steps", states.len(), steps.len());
}

#[test]
fn nothing_is_broken_whatever_members_do() {
    holds(With::Members, 10_000);
}

#[test]
fn no_mail_is_lost() {
    holds(With::Mails, 1_000);
}

#[test]
fn an_acceptance_that_is_not_one_commit_is_found() {
    let (broken, way) = explore(With::Members, Commits::AnswerFirst).unwrap_err();
    assert!(broken.starts_with("V5"), "{broken}, after\n{way:#?}");
}

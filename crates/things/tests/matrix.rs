//! The permission matrix: every operation, tried by everybody, through a real server on every engine;
//! and what holds for all operations alike. The table in `snapshots/` is to be reviewed, line by line,
//! against what the operation is for: accepting it unread defeats it.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    unreachable_pub,
    reason = "also outside of the functions marked as tests; modules of a test export to nobody"
)]

#[path = "support/app.rs"]
mod app;

#[path = "matrix/assignment.rs"]
mod assignment;
#[path = "matrix/credentials.rs"]
mod credentials;
#[path = "matrix/dry.rs"]
mod dry;
#[path = "matrix/persona.rs"]
mod persona;
#[path = "matrix/row.rs"]
mod row;
#[path = "matrix/rows.rs"]
mod rows;
#[path = "matrix/rpcs.rs"]
mod rpcs;
#[path = "matrix/stage.rs"]
mod stage;
#[path = "matrix/table.rs"]
mod table;
#[path = "matrix/uniform.rs"]
mod uniform;
#[path = "support/grpc.rs"]
mod wire;

use std::collections::BTreeSet;

use app::{Engine, engines};
use row::documented;
use rows::{UNLISTED, rows};

#[test]
fn everybody_gets_what_they_have_a_right_to_and_nothing_else() {
    let tables = on_every_engine(table::table);
    for (engine, table) in &tables {
        for (one, other) in tables[0].1.lines().zip(table.lines()) {
            assert_eq!(one, other, "{:?} and {engine:?} answer alike", tables[0].0);
        }
    }
    insta::assert_snapshot!("permissions", tables[0].1);
}

#[test]
fn rpcs_answer_everybody_by_the_same_rights() {
    let tables = on_every_engine(rpcs::table);
    for (engine, table) in &tables {
        assert_eq!(*table, tables[0].1, "{:?} and {engine:?} answer alike", tables[0].0);
    }
    insta::assert_snapshot!("rpcs", tables[0].1);
}

#[test]
fn every_rpc_has_a_row() {
    let tried: BTreeSet<&str> = rpcs::rpcs().iter().map(|rpc| rpc.path).collect();
    assert_eq!(tried, things::grpc::METHODS.iter().copied().collect());
}

#[test]
fn every_operation_has_a_row_and_every_row_an_operation() {
    let mut expected = documented();
    expected.extend(UNLISTED.map(str::to_owned));
    let tried: BTreeSet<String> = rows().iter().map(|row| row.operation.to_owned()).collect();
    let untried: Vec<_> = expected.difference(&tried).collect();
    assert!(untried.is_empty(), "add rows to tests/matrix/rows.rs for {untried:#?}");
    let unknown: Vec<_> = tried.difference(&expected).collect();
    assert!(unknown.is_empty(), "these rows have no operation: {unknown:#?}");
}

#[test]
fn an_id_of_somebody_elses_is_as_unknown_as_one_of_nobodys() {
    on_every_engine(uniform::paths);
}

#[test]
fn a_bad_body_does_not_tell_whether_an_id_exists() {
    on_every_engine(uniform::paths_with_bad_bodies);
}

#[test]
fn ids_in_bodies_are_as_unknown() {
    on_every_engine(uniform::bodies);
}

#[test]
fn whether_an_account_exists_is_not_told_by_memberships() {
    on_every_engine(uniform::accounts);
}

#[test]
fn what_the_server_owns_is_not_updated() {
    on_every_engine(assignment::updates);
}

#[test]
fn what_the_server_owns_is_not_set_from_the_start() {
    on_every_engine(assignment::creations);
}

#[test]
fn nobody_makes_themselves_more_than_they_are() {
    on_every_engine(assignment::roles);
}

#[test]
fn dry_runs_tell_what_would_happen_and_leave_nothing_behind() {
    on_every_engine(dry::runs);
}

#[test]
fn credentials_of_the_wrong_kind_are_none() {
    on_every_engine(credentials::never_cross);
}

/// Tries something on all engines at once.
fn on_every_engine<T, F>(what: fn(Engine) -> F) -> Vec<(Engine, T)>
where
    T: Send + 'static,
    F: Future<Output = T> + 'static,
{
    let on = |engine| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        (engine, std::thread::spawn(move || runtime.block_on(what(engine))))
    };
    let running: Vec<_> = engines().into_iter().map(on).collect();
    let result = |(engine, thread): (Engine, std::thread::JoinHandle<T>)| {
        (engine, thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    };
    running.into_iter().map(result).collect()
}

//! Invites, on every engine: each event of their life, who may cause it, and what it leaves behind. After
//! each test all rows are looked over.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "also outside of the functions marked as tests"
)]

mod support;

mod invites {
    mod added;
    mod answer;
    mod create;
    mod expiry;
    mod join;
    mod leave;
    mod limits;
    mod lists;
    mod wake;
    mod withdraw;
}

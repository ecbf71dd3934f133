//! Backups, restores and moves, on every engine: what comes back is what was there, and what is wrong changes
//! nothing.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test ends where it cannot go on; modules of a test export to nobody"
)]

#[path = "../support/app.rs"]
mod app;

mod file;
mod hostile;
mod hostile_mainflux;
mod moving;
mod program;
mod scene;
mod schedule;
mod whole;

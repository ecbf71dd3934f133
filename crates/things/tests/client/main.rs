//! `things` as a client: the program itself, against a real server.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where it cannot go on"
)]

#[path = "../support/app.rs"]
mod app;
mod backups;
mod contexts;
mod dry;
mod files;
mod forms;
mod nouns;
mod organisations;
mod rejects;
mod signals;
mod terminal;
mod typed;

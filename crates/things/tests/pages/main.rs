//! The pages as they go over the wire: who sees which, sessions by cookie, forms, invitations, errors, and
//! where forms may come from.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where it cannot go on"
)]

#[path = "../support/app.rs"]
mod app;
#[path = "../support/page.rs"]
mod page;
#[path = "../support/personas.rs"]
mod personas;

mod errors;
mod forms;
mod invitations;
mod join;
mod log_in;
mod reset;
mod visitors;

//! Accounts, sign-in, access tokens and organisations over HTTP, on every engine.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unreachable,
    reason = "a test ends where it cannot go on"
)]

#[path = "../support/app.rs"]
mod app;
#[path = "../support/personas.rs"]
mod personas;

mod org_memberships;
mod orgs;
mod sign_in;
mod tokens;
mod users;

/// An id that nothing has.
const NOBODY: &str = "01890000-0000-7000-8000-000000000000";

/// The answers to the same question about something absent and something foreign, without what tells
/// requests apart, must be equal to the byte.
async fn same_404(client: &app::Client, absent: &str, foreign: &str) {
    let mut answers = Vec::new();
    for path in [absent, foreign] {
        let mut reply = client.get(path).await;
        assert_eq!(reply.problem(404), "not-found", "{path}");
        let request_id = reply.header("x-request-id").to_owned();
        for name in ["x-request-id", "date"] {
            reply.headers.remove(name);
        }
        answers.push((reply.text.replace(&request_id, ""), format!("{:?}", reply.headers)));
    }
    assert_eq!(answers[0], answers[1], "{absent} and {foreign}");
}

//! Invites over HTTP, on every engine.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unreachable,
    unreachable_pub,
    reason = "a test ends where it cannot go on; modules of a test export to nobody"
)]

#[path = "../support/app.rs"]
mod app;
#[path = "../support/personas.rs"]
mod personas;

mod bulk;
mod chain;
mod inputs;
mod lists;
mod rules;

use app::{Client, ROOT_PASSWORD, Reply, Running, Send};
use personas::{Cast, Person, text};
use reqwest::Method;
use serde_json::{Value, json};

/// An id that nothing has.
const NOBODY: &str = "01890000-0000-7000-8000-000000000000";

/// Where the cast's organisation and group are invited to.
fn to_org(cast: &Cast) -> String {
    format!("/orgs/{}/invites", cast.org)
}

fn to_group(cast: &Cast) -> String {
    format!("/groups/{}/invites", cast.group)
}

/// Invites, and answers the invite's id.
async fn invited(inviter: &Client, path: &str, body: &Value) -> String {
    text(&inviter.post(path, body).await.expect(201)["id"])
}

/// A post without a body, as clients do it.
async fn act(client: &Client, id: &str, what: &str) -> Reply {
    client.request(Method::POST, &format!("/invites/{id}/{what}")).reply().await
}

async fn state(client: &Client, id: &str) -> String {
    text(&client.get(&format!("/invites/{id}")).await.expect(200)["state"])
}

/// Somebody with an account who is in the organisation and in no group.
async fn colleague(server: &Running, cast: &Cast, name: &str) -> Person {
    let person = personas::person(server, name).await;
    let join = json!([{ "member_id": person.id, "role": "viewer" }]);
    cast.owner.post(&format!("/orgs/{}/memberships", cast.org), &join).await.expect(200);
    person
}

/// A second group of the cast's organisation.
async fn second_group(cast: &Cast) -> String {
    let path = format!("/orgs/{}/groups", cast.org);
    text(&cast.owner.post(&path, &json!([{ "name": "Another group" }])).await.expect(201)["groups"][0]["id"])
}

/// The role that somebody has in the group or organisation, if they have one.
async fn role(cast: &Cast, place: &str, email: &str) -> Option<String> {
    let page = cast.root.get(&format!("{place}/memberships?limit=1000&email={email}")).await.expect(200);
    let list = if place.starts_with("/orgs") { "org_memberships" } else { "group_memberships" };
    page[list].as_array().unwrap().first().map(|member| text(&member["role"]))
}

/// The answer without what tells requests apart.
fn bare(mut reply: Reply) -> (u16, String, String) {
    let request_id = reply.header("x-request-id").to_owned();
    for name in ["x-request-id", "date"] {
        reply.headers.remove(name);
    }
    (reply.status, reply.text.replace(&request_id, ""), format!("{:?}", reply.headers))
}

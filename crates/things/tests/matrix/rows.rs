//! The rows of the matrix, in the order of the specification.

use registry::InviteKind;
use serde_json::{Value, json};

use crate::{
    row::{About, At, Fresh, Row},
    stage::{Place, unique},
};

/// What the API's document does not list: pages for people, and what has a listener of its own, and
/// so must not be here.
pub const UNLISTED: [&str; 5] = ["GET /", "GET /docs", "GET /docs/", "GET /docs/{file}", "GET /metrics"];

/// All of them.
pub fn rows() -> Vec<Row> {
    [identity(), orgs(), groups(), invites(), answers(), profiles(), things(), operations()].concat()
}

fn identity() -> Vec<Row> {
    vec![
        Row::new("POST /tokens", Fresh::Nothing, |at| json!({ "email": at.email, "password": at.password })),
        Row::new("DELETE /tokens/current", Fresh::Stage, |_| Value::Null),
        Row::new("POST /register", Fresh::Nothing, |at| json!({ "email": email(), "password": at.password })),
        Row::new("POST /users", Fresh::Nothing, |at| json!({ "email": email(), "password": at.password })),
        Row::list("GET /users"),
        Row::search("POST /users/search"),
        Row::read("GET /users/{id}").note("another's"),
        Row::read("GET /users/{id}").note("one's own").about(About::Oneself),
        Row::read("GET /users/profile"),
        Row::new("PUT /users/profile", Fresh::Nothing, |_| json!({ "metadata": { "a": unique("value") } })),
        Row::new("PUT /users", Fresh::Nothing, |_| json!({ "metadata": { "a": unique("value") } })),
        Row::new("POST /users/{id}/enable", Fresh::Nothing, |_| Value::Null).about(About::Disabled),
        Row::new("POST /users/{id}/disable", Fresh::Nothing, |_| Value::Null).about(About::Somebody),
        Row::new(
            "PATCH /password",
            Fresh::Stage,
            |at| json!({ "old_password": at.password, "password": "another horse battery staple" }),
        ),
        Row::new("POST /password/reset-request", Fresh::Nothing, |at| json!({ "email": at.email }))
            .about(About::Somebody),
        Row::new(
            "PUT /password/reset",
            Fresh::Nothing,
            |at| json!({ "token": at.ticket, "password": "another horse battery staple" }),
        )
        .about(About::Somebody),
        Row::new("POST /keys", Fresh::Nothing, |_| json!({ "name": unique("token"), "scopes": ["read"] })),
        Row::list("GET /keys").about(About::Oneself),
        Row::search("POST /keys/search").about(About::Oneself),
        Row::read("GET /keys/{id}").note("one's own").about(About::Oneself),
        Row::read("GET /keys/{id}").note("another's"),
        Row::new("DELETE /keys/{id}", Fresh::Nothing, |_| Value::Null)
            .note("one's own")
            .about(About::Oneself),
        Row::new("DELETE /keys/{id}", Fresh::Nothing, |_| Value::Null).note("another's"),
    ]
}

fn email() -> String {
    format!("{}@example.com", unique("new").replace(' ', "-"))
}

fn orgs() -> Vec<Row> {
    vec![
        Row::new("POST /orgs", Fresh::Nothing, |_| json!({ "name": unique("org") })),
        Row::list("GET /orgs"),
        Row::search("POST /orgs/search"),
        Row::read("GET /orgs/{id}"),
        Row::new("PUT /orgs/{id}", Fresh::Org, |_| json!({ "name": unique("org") })),
        Row::new("DELETE /orgs/{id}", Fresh::Org, |_| Value::Null),
        Row::new("PATCH /orgs", Fresh::Org, |at| json!({ "org_ids": [at.place.org] })),
        Row::list("GET /orgs/{id}/memberships").about(About::Newcomer),
        Row::search("POST /orgs/{id}/memberships/search").about(About::Newcomer),
        Row::read("GET /orgs/{id}/members/{user}").about(About::Newcomer),
        Row::new(
            "POST /orgs/{id}/memberships",
            Fresh::Org,
            |at| json!({ "org_memberships": [{ "member_id": at.user, "role": "viewer" }] }),
        ),
        Row::new(
            "PUT /orgs/{id}/memberships",
            Fresh::Org,
            |at| json!({ "org_memberships": [{ "member_id": at.user, "role": "editor" }] }),
        )
        .about(About::Newcomer),
        Row::new("PATCH /orgs/{id}/memberships", Fresh::Org, |at| json!({ "member_ids": [at.user] }))
            .note("another's")
            .about(About::Newcomer),
        Row::new("PATCH /orgs/{id}/memberships", Fresh::Org, |at| json!({ "member_ids": [at.user] }))
            .note("one's own")
            .about(About::Oneself),
        Row::new("POST /orgs/{id}/owner", Fresh::Org, |at| json!({ "member_id": at.user }))
            .about(About::Newcomer),
    ]
}

fn groups() -> Vec<Row> {
    vec![
        Row::new("POST /orgs/{id}/groups", Fresh::Nothing, |_| json!([{ "name": unique("group") }])),
        Row::list("GET /groups"),
        Row::search("POST /groups/search"),
        Row::list("GET /orgs/{id}/groups"),
        Row::search("POST /orgs/{id}/groups/search"),
        Row::read("GET /groups/{id}"),
        Row::read("GET /things/{id}/groups"),
        Row::read("GET /profiles/{id}/groups"),
        Row::new("PUT /groups/{id}", Fresh::Group, |_| json!({ "name": unique("group") })),
        Row::new("DELETE /groups/{id}", Fresh::Group, |_| Value::Null),
        Row::new("PATCH /groups", Fresh::Group, |at| json!({ "group_ids": [at.place.group] })),
        Row::list("GET /groups/{id}/memberships").about(About::Member),
        Row::search("POST /groups/{id}/memberships/search").about(About::Member),
        Row::new(
            "POST /groups/{id}/memberships",
            Fresh::Group,
            |at| json!({ "group_memberships": [{ "member_id": at.user, "role": "viewer" }] }),
        )
        .about(About::Newcomer),
        Row::new(
            "PUT /groups/{id}/memberships",
            Fresh::Group,
            |at| json!({ "group_memberships": [{ "member_id": at.user, "role": "editor" }] }),
        )
        .about(About::Member),
        Row::new("PATCH /groups/{id}/memberships", Fresh::Group, |at| json!({ "member_ids": [at.user] }))
            .note("another's")
            .about(About::Member),
        Row::new("PATCH /groups/{id}/memberships", Fresh::Group, |at| json!({ "member_ids": [at.user] }))
            .note("one's own")
            .about(About::Oneself),
        Row::new("POST /groups/{id}/owner", Fresh::Group, |at| json!({ "member_id": at.user }))
            .about(About::Member),
    ]
}

fn invites() -> Vec<Row> {
    let about = |row: Row, kind| row.about(About::Somebody).invite(kind);
    let own = |row: Row| row.about(About::Oneself).invite(InviteKind::Org);
    vec![
        Row::new(
            "POST /orgs/{id}/invites",
            Fresh::Nothing,
            |at| json!({ "email": at.email, "role": "editor" }),
        )
        .about(About::Somebody),
        Row::new(
            "POST /orgs/{id}/invites",
            Fresh::Nothing,
            |_| json!([{ "email": email(), "role": "admin" }, { "email": email(), "role": "viewer" }]),
        )
        .note("without accounts"),
        Row::new("POST /orgs/{id}/invites", Fresh::Nothing, |at| {
            json!({
                "email": at.email,
                "role": "viewer",
                "group_invites": [{ "group_id": at.place.group, "member_role": "viewer" }],
            })
        })
        .note("with a group")
        .about(About::Somebody),
        about(Row::list("GET /orgs/{id}/invites"), InviteKind::Org),
        about(Row::search("POST /orgs/{id}/invites/search"), InviteKind::Org),
        Row::new(
            "POST /groups/{id}/invites",
            Fresh::Group,
            |at| json!({ "email": at.email, "role": "editor" }),
        )
        .about(About::Newcomer),
        Row::new(
            "POST /groups/{id}/invites",
            Fresh::Group,
            |at| json!([{ "email": at.email, "role": "admin" }]),
        )
        .note("as an admin")
        .about(About::Newcomer),
        about(Row::list("GET /groups/{id}/invites"), InviteKind::Group),
        about(Row::search("POST /groups/{id}/invites/search"), InviteKind::Group),
        own(Row::list("GET /users/{id}/invites/received")).note("one's own"),
        about(Row::list("GET /users/{id}/invites/received"), InviteKind::Org).note("another's"),
        own(Row::search("POST /users/{id}/invites/received/search")).note("one's own"),
        Row::list("GET /users/{id}/invites/sent").note("one's own").about(About::Oneself),
        Row::list("GET /users/{id}/invites/sent").note("another's"),
        Row::search("POST /users/{id}/invites/sent/search").note("one's own").about(About::Oneself),
        about(Row::list("GET /invites"), InviteKind::Group),
        about(Row::search("POST /invites/search"), InviteKind::Org),
        Row::new("POST /invites", Fresh::Nothing, |_| json!({ "email": email() })),
        Row::new(
            "POST /invites",
            Fresh::Nothing,
            |at| json!({ "email": email(), "org_id": at.place.org, "role": "viewer" }),
        )
        .note("to an org"),
    ]
}

fn answers() -> Vec<Row> {
    let none: fn(&At) -> Value = |_| Value::Null;
    let mut rows = Vec::new();
    for (kind, note) in [
        (InviteKind::Org, "to the org"),
        (InviteKind::Group, "to the group"),
        (InviteKind::Platform, "to the platform"),
    ] {
        for operation in [
            "GET /invites/{id}",
            "DELETE /invites/{id}",
            "POST /invites/{id}/accept",
            "POST /invites/{id}/decline",
            "POST /invites/{id}/resend",
        ] {
            rows.push(
                Row::new(operation, Fresh::Nothing, none).note(note).about(About::Somebody).invite(kind),
            );
        }
    }
    for (kind, note) in [(InviteKind::Org, "one's own, org"), (InviteKind::Group, "one's own, group")] {
        for operation in [
            "GET /invites/{id}",
            "DELETE /invites/{id}",
            "POST /invites/{id}/accept",
            "POST /invites/{id}/decline",
            "POST /invites/{id}/resend",
        ] {
            rows.push(
                Row::new(operation, Fresh::Nothing, none).note(note).about(About::Oneself).invite(kind),
            );
        }
    }
    rows.sort_by_key(|row| row.operation);
    rows.extend([
        Row::read("GET /register/invite/{secret}"),
        Row::new("POST /register/invite/{secret}", Fresh::Nothing, |at| json!({ "password": at.password })),
        Row::new("POST /register/invite/{secret}", Fresh::Nothing, none).note("to another's address"),
    ]);
    rows
}

fn profiles() -> Vec<Row> {
    vec![
        Row::new("POST /groups/{id}/profiles", Fresh::Nothing, |_| json!([{ "name": unique("profile") }])),
        Row::list("GET /profiles"),
        Row::search("POST /profiles/search"),
        Row::list("GET /groups/{id}/profiles"),
        Row::search("POST /groups/{id}/profiles/search"),
        Row::list("GET /orgs/{id}/profiles"),
        Row::search("POST /orgs/{id}/profiles/search"),
        Row::read("GET /things/{id}/profiles"),
        Row::read("GET /profiles/{id}"),
        Row::new("PUT /profiles/{id}", Fresh::Profile, |_| json!({ "name": unique("profile") })),
        Row::new("DELETE /profiles/{id}", Fresh::Profile, |_| Value::Null),
        Row::new("PATCH /profiles", Fresh::Profile, |at| json!({ "profile_ids": [at.place.profile] })),
    ]
}

fn things() -> Vec<Row> {
    vec![
        Row::new("POST /profiles/{id}/things", Fresh::Nothing, |_| json!([{ "name": unique("thing") }])),
        Row::list("GET /things"),
        Row::search("POST /things/search"),
        Row::list("GET /groups/{id}/things"),
        Row::search("POST /groups/{id}/things/search"),
        Row::list("GET /profiles/{id}/things"),
        Row::search("POST /profiles/{id}/things/search"),
        Row::list("GET /orgs/{id}/things"),
        Row::search("POST /orgs/{id}/things/search"),
        Row::new("POST /groups/{id}/import", Fresh::Nothing, |_| json!({ "name": unique("thing") }))
            .query("?profile_id={profile}")
            .ndjson(),
        Row::read("GET /groups/{id}/export"),
        Row::read("GET /things/{id}"),
        Row::new("PUT /things/{id}", Fresh::Thing, |_| json!({ "name": unique("thing") })),
        Row::new("PATCH /things/{id}", Fresh::Thing, |at| into(&at.place)).note("within the group"),
        Row::new("PATCH /things/{id}", Fresh::Thing, |at| into(&at.annex)).note("to where one views"),
        Row::new("PATCH /things/{id}", Fresh::Thing, |at| into(&at.next_door)).note("to a foreign group"),
        Row::new("PUT /things", Fresh::Thing, |at| json!([{ "id": at.place.thing, "metadata": { "a": 1 } }])),
        Row::new("DELETE /things/{id}", Fresh::Thing, |_| Value::Null),
        Row::new("PATCH /things", Fresh::Thing, |at| json!({ "thing_ids": [at.place.thing] })),
        Row::new("PATCH /things/{id}/external-key", Fresh::Thing, |_| json!({ "key": unique("serial") })),
        Row::new("DELETE /things/{id}/external-key", Fresh::Thing, |_| Value::Null),
        Row::new("POST /things/{id}/enable", Fresh::Thing, |_| Value::Null),
        Row::new("POST /things/{id}/disable", Fresh::Thing, |_| Value::Null),
        Row::new("POST /things/{id}/key/rotate", Fresh::Thing, |_| json!({ "overlap": 60 })),
        Row::read("GET /things/{id}/key"),
        Row::read("GET /things/{id}/credentials"),
        Row::list("GET /things/{id}/failed-checks"),
        Row::search("POST /things/{id}/failed-checks/search"),
        Row::new("POST /identify", Fresh::Nothing, |at| json!({ "key": at.key })),
        Row::read("GET /metadata"),
    ]
}

/// A move.
fn into(place: &Place) -> Value {
    json!({ "group_id": place.group, "profile_id": place.profile })
}

fn operations() -> Vec<Row> {
    vec![
        Row::list("GET /journal"),
        Row::search("POST /journal/search"),
        Row::list("GET /journal").note("of the group").query("?group={group}"),
        Row::list("GET /journal").note("of the org").query("?org={org}"),
        Row::list("GET /failed-checks"),
        Row::search("POST /failed-checks/search"),
        Row::list("GET /failed-checks").note("of the thing").query("?thing_id={thing}"),
        Row::read("GET /backup"),
        // Here where there is something already, which who may restore is told.
        Row::new("POST /restore", Fresh::Nothing, |_| json!({ "groups": [] })),
        Row::read("GET /health"),
        Row::read("GET /ready"),
        Row::read("GET /openapi.json"),
        Row::read("GET /problems/{code}"),
        Row::read("GET /"),
        Row::read("GET /docs"),
        Row::read("GET /docs/"),
        Row::read("GET /docs/{file}"),
        Row::read("GET /metrics").note("is elsewhere"),
    ]
}

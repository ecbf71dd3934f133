//! The people (and the thing) that permissions are about, in one organisation with one group.

#![allow(dead_code, unreachable_pub, reason = "every test crate includes this file and uses part of it")]

use std::ops::Deref;

use serde_json::{Value, json};

use crate::app::{Client, Running};

/// Somebody with an account.
#[derive(Clone)]
pub struct Person {
    pub id: String,
    pub email: String,
    client: Client,
}

impl Deref for Person {
    type Target = Client;
    fn deref(&self) -> &Client {
        &self.client
    }
}

/// A new account, logged in.
pub async fn person(server: &Running, name: &str) -> Person {
    let email = format!("{name}@example.com");
    let client = server.person(&email).await;
    of(client).await
}

/// The platform's root.
pub async fn root(server: &Running) -> Person {
    of(server.root().await).await
}

async fn of(client: Client) -> Person {
    let profile = client.get("/users/profile").await.expect(200);
    Person { id: text(&profile["id"]), email: text(&profile["email"]), client }
}

/// A JSON string's text.
#[track_caller]
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

/// The names of an object's members, sorted.
#[track_caller]
pub fn members(value: &Value) -> Vec<&str> {
    value.as_object().unwrap_or_else(|| panic!("{value} is no object")).keys().map(String::as_str).collect()
}

/// Everybody there is.
pub struct Cast {
    /// The platform's root.
    pub root: Person,
    /// Has an account and nothing to do with the organisation.
    pub stranger: Person,
    /// In the group, and a viewer of the organisation, as the next two.
    pub viewer: Person,
    pub editor: Person,
    pub admin: Person,
    /// Owns the organisation, and so the group.
    pub owner: Person,
    /// An admin of the organisation who is not in the group.
    pub org_admin: Person,
    /// Was an admin of the group, and is shut out. The client has the session of before.
    pub disabled: Person,
    pub org: String,
    pub group: String,
    pub profile: String,
    pub thing: String,
    /// The thing's key.
    pub key: String,
}

/// Makes them.
pub async fn cast(server: &Running) -> Cast {
    let root = root(server).await;
    let stranger = person(server, "stranger").await;
    let owner = person(server, "owner").await;
    let org = text(&owner.post("/orgs", &json!({"name": "An organisation"})).await.expect(201)["id"]);
    let path = format!("/orgs/{org}/groups");
    let group = text(&owner.post(&path, &json!([{"name": "A group"}])).await.expect(201)["groups"][0]["id"]);
    let mut people = Vec::new();
    for (name, in_org, in_group) in [
        ("viewer", "viewer", Some("viewer")),
        ("editor", "viewer", Some("editor")),
        ("admin", "viewer", Some("admin")),
        ("org-admin", "admin", None),
        ("disabled", "viewer", Some("admin")),
    ] {
        let person = person(server, name).await;
        let join = json!({"org_memberships": [{"member_id": person.id, "role": in_org}]});
        owner.post(&format!("/orgs/{org}/memberships"), &join).await.expect(200);
        if let Some(role) = in_group {
            let join = json!({"group_memberships": [{"member_id": person.id, "role": role}]});
            owner.post(&format!("/groups/{group}/memberships"), &join).await.expect(201);
        }
        people.push(person);
    }
    let [viewer, editor, admin, org_admin, disabled] = people.try_into().unwrap_or_else(|_| unreachable!());
    assert_eq!(root.post(&format!("/users/{}/disable", disabled.id), &json!(null)).await.status, 204);
    let made = owner.post(&format!("/groups/{group}/profiles"), &json!([{"name": "A profile"}])).await;
    let profile = text(&made.expect(201)["profiles"][0]["id"]);
    let made = owner.post(&format!("/profiles/{profile}/things"), &json!([{"name": "A thing"}])).await;
    let made = made.expect(201)["things"][0].take();
    let (thing, key) = (text(&made["id"]), text(&made["key"]));
    Cast {
        root,
        stranger,
        viewer,
        editor,
        admin,
        owner,
        org_admin,
        disabled,
        org,
        group,
        profile,
        thing,
        key,
    }
}

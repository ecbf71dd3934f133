//! What the server owns cannot be written (threat T9): everything that a resource shows is sent back,
//! once as it is, which is welcome, and once for each of its fields with that one changed.

use serde_json::{Map, Value, json};

use crate::{
    app::{Client, Engine, ROOT_PASSWORD, Reply, start_open},
    stage::{Stage, unique},
};

/// Updates of single resources: a path, and what of it is the caller's to write.
pub async fn updates(engine: Engine) {
    let server = start_open(engine).await;
    let stage = Stage::on(&server).await;
    let (owner, at) = (server.client(stage.outsider.token.expose()), stage.elsewhere);
    let resources: [(String, &[&str]); 6] = [
        ("/users/profile".to_owned(), &["metadata"]),
        ("/users".to_owned(), &["metadata"]),
        (format!("/orgs/{}", at.org), &["name", "description", "metadata"]),
        (format!("/groups/{}", at.group), &["name", "description", "metadata"]),
        (format!("/profiles/{}", at.profile), &["name", "config", "metadata"]),
        (format!("/things/{}", at.thing), &["name", "type", "key", "metadata"]),
    ];
    for (path, writable) in resources {
        let shown_at = path.replace("/users", "/users/profile").replace("/profile/profile", "/profile");
        let before = owner.get(&shown_at).await;
        let shown = before.expect(200).as_object().unwrap().clone();
        assert!(writable.iter().all(|field| shown.contains_key(*field)), "{path} shows {shown:?}");
        let put = async |body: &Map<String, Value>| owner.put(&path, &json!(body)).await;
        let same = async |when: &str| {
            let now = owner.get(&shown_at).await;
            assert_eq!(now.text, before.text, "{path} {when}");
            assert_eq!(now.header("etag"), before.header("etag"), "{path} {when}");
        };
        put(&shown).await.expect(200);
        same("after it was sent back").await;
        for (field, truth) in shown.iter().filter(|(field, _)| !writable.contains(&field.as_str())) {
            let mut body = shown.clone();
            for value in others(truth) {
                body.insert(field.clone(), value);
                // Were the field ignored, this would show.
                body.insert("metadata".to_owned(), json!({ "changed": true }));
                refused_for(&put(&body).await, &[field], &path);
                same(&format!("after {field} was tried")).await;
            }
            // Empty is as good as left out.
            body.insert(field.clone(), json!(""));
            body.insert("metadata".to_owned(), shown["metadata"].clone());
            put(&body).await.expect(200);
            same(&format!("after {field} was left empty")).await;
        }
    }
}

/// Something else of the same kind, and something of other kinds.
fn others(truth: &Value) -> Vec<Value> {
    let other = match truth.as_str() {
        Some(text) if text.len() == 36 && text.matches('-').count() == 4 => {
            json!("01890000-0000-7000-8000-000000000000")
        }
        Some(text) if text.ends_with('Z') => json!("2020-02-02T02:02:02.000Z"),
        Some("owner") => json!("admin"),
        Some("enabled") => json!("disabled"),
        Some(text) if text.contains('@') => json!("somebody-else@example.com"),
        _ => json!("something else"),
    };
    vec![other, json!({ "an": "object" }), json!(7), json!([truth])]
}

#[track_caller]
fn refused_for(refused: &Reply, fields: &[&str], path: &str) {
    let body = refused.expect(400);
    assert_eq!(body["errors"].as_object().unwrap().keys().collect::<Vec<_>>(), fields, "{path}: {body}");
}

/// Creations: what a resource shows is given to a new one, field by field.
pub async fn creations(engine: Engine) {
    let server = start_open(engine).await;
    let stage = Stage::on(&server).await;
    let (owner, at) = (server.client(stage.outsider.token.expose()), stage.elsewhere);
    let (token, _) = stage.token(&stage.outsider, true, None).await;
    // Where it is shown and where made, what the client may choose, and what the path says already.
    let own: [(String, String, &[&str], &[&str]); 5] = [
        (format!("/orgs/{}", at.org), "/orgs".to_owned(), &["id", "name", "description", "metadata"], &[]),
        (
            format!("/groups/{}", at.group),
            format!("/orgs/{}/groups", at.org),
            &["id", "name", "description", "metadata"],
            &["org_id"],
        ),
        (
            format!("/profiles/{}", at.profile),
            format!("/groups/{}/profiles", at.group),
            &["id", "name", "config", "metadata"],
            &["group_id"],
        ),
        (
            format!("/things/{}", at.thing),
            format!("/profiles/{}/things", at.profile),
            &["id", "name", "type", "key", "external_key", "metadata"],
            &["group_id", "profile_id", "status"],
        ),
        (format!("/keys/{token}"), "/keys".to_owned(), &["name", "scopes", "expires_at"], &[]),
    ];
    for (shown_at, path, chosen, said) in own {
        let bulk = path.matches('/').count() > 1;
        let new = |field: &str, value: &Value| {
            let mut new = json!({ "name": unique("new") });
            if path == "/keys" {
                new["scopes"] = json!(["read"]);
            }
            new[field] = value.clone();
            if bulk { json!([new]) } else { new }
        };
        let place = |field: &str| if bulk { format!("[0].{field}") } else { field.to_owned() };
        let list = format!("/{}", shown_at.split('/').nth(1).unwrap());
        let before = total(&owner, &list).await;
        let mut made = 0;
        for (field, truth) in owner.get(&shown_at).await.expect(200).as_object().unwrap() {
            if chosen.contains(&field.as_str()) {
                continue;
            }
            let reply = owner.post(&path, &new(field, truth)).await;
            if said.contains(&field.as_str()) {
                reply.expect(201);
                made += 1;
            } else {
                refused_for(&reply, &[&place(field)], &path);
            }
            for value in others(truth) {
                refused_for(&owner.post(&path, &new(field, &value)).await, &[&place(field)], &path);
            }
        }
        assert_eq!(made, said.len());
        assert_eq!(total(&owner, &list).await, before + said.len() as u64, "{path} makes nothing else");
    }
}

async fn total(owner: &Client, list: &str) -> u64 {
    owner.get(list).await.expect(200)["total"].as_u64().unwrap()
}

/// Accounts and memberships: nobody makes themselves more than they are.
pub async fn roles(engine: Engine) {
    let server = start_open(engine).await;
    let stage = Stage::on(&server).await;
    let anonymous = &server.anonymous;
    let users = "SELECT count(*) FROM users";
    let before = server.database.number(users).await;
    let password = ROOT_PASSWORD;
    for (field, value) in [
        ("role", json!("admin")),
        ("role", json!("root")),
        ("role", json!(["admin"])),
        ("status", json!("disabled")),
        ("id", json!(stage.outsider.id)),
    ] {
        let mut new = json!({ "email": "new@example.com", "password": password });
        new[field] = value;
        refused_for(&anonymous.post("/register", &new).await, &[field], "/register");
        for nest in ["user", "User"] {
            let reply = anonymous.post("/register", &json!({ nest: new })).await;
            assert_eq!(reply.status, 400, "{new}: {reply:?}");
        }
    }
    for member in ["platform_role", "is_admin", "created_at"] {
        let new = json!({ "email": "new@example.com", "password": password, member: true });
        assert_eq!(anonymous.post("/register", &new).await.status, 400, "{member}");
    }
    assert_eq!(server.database.number(users).await, before, "nobody was registered");

    let owner = server.client(stage.owner.token.expose());
    let path = format!("/groups/{}/memberships", stage.home.group);
    let member = json!(stage.member.id);
    let shown = owner.get(&format!("{path}?limit=1000")).await.expect(200)["group_memberships"].take();
    let shown: Vec<_> = shown.as_array().unwrap().iter().filter(|shown| shown["role"] != "owner").collect();
    owner.put(&path, &json!(shown)).await.expect(200);
    for (field, value) in [
        ("group_id", json!(stage.annex.group)),
        ("org_id", json!(stage.home.org)),
        ("created_at", json!("2020-02-02T02:02:02.000Z")),
        ("role", json!("owner")),
        ("role", json!("root")),
    ] {
        let mut change = json!({ "member_id": member, "role": "editor" });
        change[field] = value;
        refused_for(&owner.put(&path, &json!([change])).await, &[&format!("[0].{field}")], &path);
    }
    let both = json!([{ "member_id": member, "email": stage.outsider.email, "role": "editor" }]);
    owner.put(&path, &both).await.expect(409);
    let now = owner.get(&format!("{path}?limit=1000")).await.expect(200)["group_memberships"].take();
    let now: Vec<_> = now.as_array().unwrap().iter().filter(|shown| shown["role"] != "owner").collect();
    assert_eq!(shown, now, "nobody's role changed");
}

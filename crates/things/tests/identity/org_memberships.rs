//! Who belongs to an organisation.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    NOBODY,
    app::{Send, engines, start},
    personas::{cast, person, text},
    same_404,
};

#[tokio::test]
async fn members_are_listed_with_addresses_for_admins_only() {
    for engine in engines() {
        let app = start(engine).await;
        let cast = cast(&app).await;
        let at = format!("/orgs/{}/memberships", cast.org);
        let page = cast.org_admin.get(&format!("{at}?order=email&dir=asc")).await.expect(200);
        let admin = json!({"member_id": cast.admin.id, "email": cast.admin.email, "role": "viewer"});
        assert_eq!((&page["total"], &page["org_memberships"][0]), (&json!(6), &admin));
        let page = cast.org_admin.get(&format!("{at}?email=ORG-&role=admin")).await.expect(200);
        assert_eq!(page["org_memberships"][0]["member_id"], cast.org_admin.id);
        let searched = cast.org_admin.post(&format!("{at}/search"), &json!({"role": "owner"})).await;
        assert_eq!(searched.expect(200)["org_memberships"][0]["member_id"], cast.owner.id);

        let page = cast.viewer.get(&format!("{at}?limit=100&role=")).await.expect(200);
        let all = page["org_memberships"].as_array().unwrap();
        assert!(all.len() == 6 && all.iter().all(|member| member.get("email").is_none()), "{page}");
        for query in ["email=a", "order=email"] {
            assert_eq!(cast.viewer.get(&format!("{at}?{query}")).await.problem(403), "forbidden");
        }
        for query in ["role=boss", "name=a"] {
            assert_eq!(cast.viewer.get(&format!("{at}?{query}")).await.problem(400), "invalid");
        }
        assert_eq!(cast.stranger.get(&at).await.problem(404), "not-found");

        let one = |id: &str| format!("/orgs/{}/members/{id}", cast.org);
        let seen = cast.org_admin.get(&one(&cast.admin.id)).await;
        assert_eq!(seen.json(), admin);
        let known = cast.org_admin.request(Method::GET, &one(&cast.admin.id));
        let known = known.header("if-none-match", seen.header("etag")).reply().await;
        assert_eq!((known.status, known.text.as_str()), (304, ""));
        let seen = cast.viewer.get(&one(&cast.admin.id)).await.expect(200);
        assert_eq!(seen, json!({"member_id": cast.admin.id, "role": "viewer"}));
        same_404(&cast.viewer, &one(NOBODY), &one(&cast.stranger.id)).await;
        same_404(&cast.viewer, &one(NOBODY), &one("x")).await;
        assert_eq!(cast.stranger.get(&one(&cast.admin.id)).await.problem(404), "not-found");
    }
}

#[tokio::test]
async fn people_join_by_id_or_address_in_either_form_of_body() {
    for engine in engines() {
        let app = start(engine).await;
        let cast = cast(&app).await;
        let at = format!("/orgs/{}/memberships", cast.org);
        let (ben, cat, dan) =
            (person(&app, "ben").await, person(&app, "cat").await, person(&app, "dan").await);
        let body = json!({"org_memberships": [
            {"member_id": ben.id, "role": "editor", "org_id": cast.org, "created_at": "0001-01-01T00:00:00Z"},
            {"email": "CAT@example.com", "role": "viewer"},
        ], "redirect_path": "/orgs"});
        assert_eq!(cast.viewer.post(&at, &body).await.problem(403), "forbidden");
        assert_eq!(cast.stranger.post(&at, &body).await.problem(404), "not-found");
        let added = cast.org_admin.post(&at, &body).await.expect(200);
        assert_eq!(
            added,
            json!({"org_memberships": [
                {"member_id": ben.id, "email": ben.email, "role": "editor"},
                {"member_id": cat.id, "email": cat.email, "role": "viewer"},
            ]})
        );
        let bare = json!([{"member_id": dan.id, "email": dan.email, "role": "viewer"}]);
        cast.org_admin.post(&at, &bare).await.expect(200);
        let reply = cast.org_admin.post(&at, &bare).await;
        assert_eq!(reply.problem(409), "already-member");
        assert!(reply.json()["errors"]["[0].member_id"].is_string(), "{}", reply.text);

        for (item, field) in [
            (json!({"role": "viewer"}), "[0].member_id"),
            (json!({"member_id": cast.stranger.id}), "[0].role"),
            (json!({"member_id": cast.stranger.id, "role": "boss"}), "[0].role"),
            (json!({"member_id": cast.stranger.id, "role": "owner"}), "[0].role"),
            (json!({"member_id": "x", "role": "viewer"}), "[0].member_id"),
            (json!({"member_id": NOBODY, "role": "viewer"}), "[0].member_id"),
            (json!({"member_id": cast.stranger.id, "email": ben.email, "role": "viewer"}), "[0].email"),
            (json!({"email": "nobody@example.com", "role": "viewer"}), "[0].email"),
            (json!({"email": "nobody", "role": "viewer"}), "[0].email"),
            (json!({"member_id": cast.stranger.id, "role": "viewer", "org_id": NOBODY}), "[0].org_id"),
            (
                json!({"member_id": cast.stranger.id, "role": "viewer", "group_id": cast.group}),
                "[0].group_id",
            ),
        ] {
            let reply = cast.org_admin.post(&at, &json!([item])).await;
            assert_eq!(reply.problem(400), "invalid", "{item}");
            assert!(reply.json()["errors"][field].is_string(), "{item}: {}", reply.text);
        }
        let reply = cast.org_admin.post(&at, &json!({"org_memberships": [{"nick": 1}]})).await;
        assert!(reply.json()["errors"]["org_memberships[0].nick"].is_string(), "{}", reply.text);
        let reply = cast.org_admin.post(&at, &json!({"members": []})).await;
        assert!(reply.json()["errors"]["members"].is_string(), "{}", reply.text);
        assert_eq!(cast.org_admin.post(&at, &json!([])).await.problem(400), "invalid");
        // Ranks: an admin makes no admins.
        let body = json!([{"member_id": cast.stranger.id, "role": "admin"}]);
        assert_eq!(cast.org_admin.post(&at, &body).await.problem(403), "rank-too-low");
    }
}

#[tokio::test]
async fn roles_change_and_memberships_end() {
    for engine in engines() {
        let app = start(engine).await;
        let cast = cast(&app).await;
        let at = format!("/orgs/{}/memberships", cast.org);
        let change = |role: &str| json!({"org_memberships": [{"member_id": cast.viewer.id, "role": role}]});
        assert_eq!(cast.viewer.put(&at, &change("editor")).await.problem(403), "forbidden");
        let changed = cast.org_admin.put(&at, &change("editor")).await.expect(200);
        let expected = json!({"member_id": cast.viewer.id, "email": cast.viewer.email, "role": "editor"});
        assert_eq!(changed["org_memberships"], json!([expected]));
        // What was read can be sent back with a change, and addresses name people here too.
        let mut back = expected.clone();
        back["role"] = json!("viewer");
        cast.org_admin.put(&at, &json!([back])).await.expect(200);
        let by_address = json!([{"email": cast.viewer.email, "role": "editor"}]);
        assert_eq!(
            cast.org_admin.put(&at, &by_address).await.expect(200)["org_memberships"],
            json!([expected])
        );
        for who in [
            json!({"member_id": cast.stranger.id}),
            json!({"email": cast.stranger.email}),
            json!({"email": "nobody@example.com"}),
            json!({"member_id": cast.viewer.id, "email": cast.admin.email}),
        ] {
            let mut item = who.clone();
            item["role"] = json!("viewer");
            let reply = cast.org_admin.put(&at, &json!([by_address[0], item])).await;
            assert_eq!(reply.problem(409), "not-a-member", "{who}");
            assert!(reply.json()["errors"]["[1].member_id"].is_string(), "{}", reply.text);
        }
        assert_eq!(cast.viewer.put(&at, &by_address).await.problem(403), "forbidden");
        assert_eq!(cast.stranger.put(&at, &by_address).await.problem(404), "not-found");
        let body = json!([{"member_id": cast.owner.id, "role": "viewer"}]);
        assert_eq!(cast.org_admin.put(&at, &body).await.problem(403), "rank-too-low");
        assert_eq!(cast.owner.put(&at, &body).await.problem(409), "last-owner");

        let ids = |ids: &[&str]| json!({"member_ids": ids});
        assert_eq!(cast.viewer.patch(&at, &ids(&[&cast.editor.id])).await.problem(403), "forbidden");
        assert_eq!(cast.org_admin.patch(&at, &ids(&[&cast.editor.id])).await.status, 204);
        // Leaving the organisation is leaving its groups.
        assert_eq!(cast.editor.get(&format!("/groups/{}", cast.group)).await.problem(404), "not-found");
        assert_eq!(cast.viewer.patch(&at, &ids(&[&cast.viewer.id])).await.status, 204);
        assert_eq!(cast.viewer.get(&at).await.problem(404), "not-found");
        assert_eq!(cast.org_admin.patch(&at, &ids(&[&cast.editor.id])).await.problem(409), "not-a-member");
        assert_eq!(cast.owner.patch(&at, &ids(&[&cast.owner.id])).await.problem(409), "last-owner");
        let reply = cast.org_admin.patch(&at, &ids(&["x"])).await;
        assert!(reply.json()["errors"]["member_ids[0]"].is_string(), "{}", reply.text);
        assert_eq!(cast.org_admin.patch(&at, &ids(&[])).await.problem(400), "invalid");
    }
}

#[tokio::test]
async fn an_organisation_changes_hands() {
    for engine in engines() {
        let app = start(engine).await;
        let cast = cast(&app).await;
        let at = format!("/orgs/{}/owner", cast.org);
        let to = |id: &str| json!({"member_id": id});
        assert_eq!(cast.org_admin.post(&at, &to(&cast.viewer.id)).await.problem(403), "forbidden");
        assert_eq!(cast.stranger.post(&at, &to(&cast.viewer.id)).await.problem(404), "not-found");
        assert_eq!(cast.owner.post(&at, &to(&cast.stranger.id)).await.problem(409), "not-a-member");
        for body in [json!({}), to("x"), to(""), to(&cast.owner.id), json!({"email": cast.viewer.email})] {
            assert_eq!(cast.owner.post(&at, &body).await.problem(400), "invalid", "{body}");
        }
        assert_eq!(cast.owner.post(&at, &to(&cast.viewer.id)).await.status, 204);
        let role = async |who: &crate::personas::Person| -> Value {
            cast.root.get(&format!("/orgs/{}/members/{}", cast.org, who.id)).await.expect(200)["role"].clone()
        };
        assert_eq!((role(&cast.viewer).await, role(&cast.owner).await), (json!("owner"), json!("admin")));
        assert_eq!(text(&cast.viewer.get(&format!("/orgs/{}", cast.org)).await.expect(200)["role"]), "owner");
    }
}

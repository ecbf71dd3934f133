//! Who belongs to a group, over HTTP, on every engine.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unreachable,
    reason = "a test ends where it cannot go on"
)]

#[path = "support/app.rs"]
mod app;
#[path = "support/personas.rs"]
mod personas;

use app::{Send, engines, start};
use personas::{Cast, Person, cast, members, person};
use reqwest::Method;
use serde_json::{Value, json};

const NOBODY: &str = "01890000-0000-7000-8000-000000000000";

fn at(cast: &Cast) -> String {
    format!("/groups/{}/memberships", cast.group)
}

fn listed(page: &Value) -> Vec<Value> {
    page["group_memberships"].as_array().unwrap().clone()
}

#[tokio::test]
async fn members_are_listed_with_addresses_for_admins_only() {
    for engine in engines() {
        let server = start(engine).await;
        let cast = cast(&server).await;
        let at = at(&cast);
        let page = cast.admin.get(&format!("{at}?order=email&dir=asc&total=0")).await.expect(200);
        assert_eq!(
            members(&page),
            ["dir", "group_memberships", "limit", "offset", "order", "total"],
            "no `next` on a last page"
        );
        assert_eq!(
            (&page["total"], &page["order"], &page["dir"]),
            (&json!(5), &json!("email"), &json!("asc"))
        );
        let admin = json!({"member_id": cast.admin.id, "email": cast.admin.email, "role": "admin"});
        assert_eq!(listed(&page)[0], admin);
        for (query, found) in [
            ("email=VIEW", vec![&cast.viewer]),
            ("email=%25", vec![]),
            ("role=owner", vec![&cast.owner]),
            ("role=editor&email=editor", vec![&cast.editor]),
            ("role=editor&email=viewer", vec![]),
        ] {
            let page = cast.admin.get(&format!("{at}?{query}")).await.expect(200);
            let ids: Vec<_> = listed(&page).iter().map(|member| member["member_id"].clone()).collect();
            let wanted: Vec<_> = found.iter().map(|person| json!(person.id)).collect();
            assert_eq!(ids, wanted, "{query}");
        }
        let first = cast.viewer.get(&format!("{at}?limit=3")).await.expect(200);
        let rest = cast.viewer.get(&format!("{at}?limit=3&cursor={}", first["next"].as_str().unwrap())).await;
        let all = [listed(&first), listed(&rest.expect(200))].concat();
        assert_eq!(all.len(), 5);
        assert!(all.iter().all(|member| members(member) == ["member_id", "role"]), "{all:?}");
        let searched =
            cast.owner.post(&format!("{at}/search"), &json!({"role": "owner", "email": "own"})).await;
        assert_eq!(listed(&searched.expect(200))[0]["email"], cast.owner.email);

        for query in ["email=a", "order=email"] {
            assert_eq!(cast.editor.get(&format!("{at}?{query}")).await.problem(403), "forbidden");
        }
        for query in ["role=boss", "role=NULL", "order=role", "name=a", "metadata=%7B%7D"] {
            assert_eq!(cast.admin.get(&format!("{at}?{query}")).await.problem(400), "invalid", "{query}");
        }
        for outsider in [&cast.stranger, &cast.org_admin] {
            assert_eq!(outsider.get(&at).await.problem(404), "not-found");
            assert_eq!(outsider.post(&format!("{at}/search"), &json!({})).await.problem(404), "not-found");
        }
        assert_eq!(cast.disabled.get(&at).await.problem(401), "unauthenticated");
    }
}

#[tokio::test]
async fn members_of_the_organisation_join_in_either_form_of_body() {
    for engine in engines() {
        let server = start(engine).await;
        let cast = cast(&server).await;
        let (at, in_org) = (at(&cast), format!("/orgs/{}/memberships", cast.org));
        let (ben, zoe, outsider) =
            (person(&server, "ben").await, person(&server, "zoe").await, person(&server, "outsider").await);
        let join = json!([{"member_id": ben.id, "role": "viewer"}, {"member_id": zoe.id, "role": "viewer"}]);
        cast.owner.post(&in_org, &join).await.expect(200);

        let body = json!({"group_memberships": [
            {"member_id": ben.id, "role": "editor", "group_id": cast.group},
            {"email": "Zoe@example.com", "role": "viewer"},
        ], "redirect_path": "/groups"});
        for person in [&cast.viewer, &cast.editor] {
            assert_eq!(person.post(&at, &body).await.problem(403), "forbidden");
        }
        assert_eq!(cast.stranger.post(&at, &body).await.problem(404), "not-found");
        let add = || {
            let request = cast.admin.request(Method::POST, &at).header("idempotency-key", "once");
            request.json(&body).reply()
        };
        let added = add().await;
        assert_eq!(
            added.expect(201),
            json!({"group_memberships": [
                {"member_id": ben.id, "email": ben.email, "role": "editor"},
                {"member_id": zoe.id, "email": zoe.email, "role": "viewer"},
            ]})
        );
        assert_eq!(add().await.text, added.text);
        assert_eq!(cast.admin.post(&at, &body).await.problem(409), "already-member");

        let bare = |id: &str, role: &str| json!([{"member_id": id, "role": role}]);
        let reply = cast.admin.post(&at, &bare(&outsider.id, "viewer")).await;
        assert_eq!(reply.problem(409), "not-in-organisation");
        assert!(reply.json()["errors"]["[0].member_id"].is_string(), "{}", reply.text);
        cast.owner.post(&in_org, &bare(&outsider.id, "viewer")).await.expect(200);
        cast.admin.post(&at, &bare(&outsider.id, "viewer")).await.expect(201);

        for (item, field) in [
            (json!({"role": "viewer"}), "[0].member_id"),
            (json!({"member_id": cast.org_admin.id}), "[0].role"),
            (json!({"member_id": cast.org_admin.id, "role": ""}), "[0].role"),
            (json!({"member_id": cast.org_admin.id, "role": "owner"}), "[0].role"),
            (json!({"member_id": NOBODY, "role": "viewer"}), "[0].member_id"),
            (json!({"email": "nobody@example.com", "role": "viewer"}), "[0].email"),
            (json!({"member_id": cast.org_admin.id, "role": "viewer", "group_id": NOBODY}), "[0].group_id"),
            (
                json!({"member_id": cast.org_admin.id, "role": "viewer", "created_at": "2020-01-01T00:00:00Z"}),
                "[0].created_at",
            ),
            (json!({"member_id": cast.org_admin.id, "role": "viewer", "rank": 1}), "[0].rank"),
        ] {
            let reply = cast.admin.post(&at, &json!([item])).await;
            assert_eq!(reply.problem(400), "invalid", "{item}");
            assert!(reply.json()["errors"][field].is_string(), "{item}: {}", reply.text);
        }
        let body = json!({"group_memberships": [], "redirect_path": "https://evil.example"});
        let reply = cast.admin.post(&at, &body).await;
        assert!(reply.json()["errors"]["redirect_path"].is_string(), "{}", reply.text);
        for body in [json!([]), json!({"group_memberships": []}), json!({}), json!(null), json!("x")] {
            assert_eq!(cast.admin.post(&at, &body).await.problem(400), "invalid", "{body}");
        }
        // Ranks: an admin makes no admins.
        assert_eq!(
            cast.admin.post(&at, &bare(&cast.org_admin.id, "admin")).await.problem(403),
            "rank-too-low"
        );
    }
}

#[tokio::test]
async fn roles_change_all_or_none() {
    for engine in engines() {
        let server = start(engine).await;
        let cast = cast(&server).await;
        let at = at(&cast);
        let change = |who: &Person, role: &str| json!({"member_id": who.id, "role": role});
        let body =
            json!({"group_memberships": [change(&cast.viewer, "editor"), change(&cast.editor, "viewer")]});
        for person in [&cast.viewer, &cast.editor] {
            assert_eq!(person.put(&at, &body).await.problem(403), "forbidden");
        }
        assert_eq!(cast.stranger.put(&at, &body).await.problem(404), "not-found");
        let changed = cast.admin.put(&at, &body).await.expect(200);
        let roles: Vec<_> = listed(&changed).iter().map(|member| member["role"].clone()).collect();
        assert_eq!(roles, ["editor", "viewer"]);
        // By address, and with everything that was read sent back.
        let by_address = json!([{"email": cast.viewer.email, "role": "viewer"}]);
        cast.admin.put(&at, &by_address).await.expect(200);
        let mut read = listed(&cast.admin.get(&format!("{at}?role=viewer&email=editor")).await.expect(200));
        read[0]["role"] = json!("editor");
        cast.admin.put(&at, &json!(read)).await.expect(200);

        let mixed = json!([change(&cast.viewer, "editor"), change(&cast.stranger, "viewer")]);
        let reply = cast.admin.put(&at, &mixed).await;
        assert_eq!(reply.problem(409), "not-a-member");
        assert!(reply.json()["errors"]["[1].member_id"].is_string(), "{}", reply.text);
        let twice = json!([change(&cast.viewer, "editor"), {"email": cast.viewer.email, "role": "editor"}]);
        let reply = cast.admin.put(&at, &twice).await;
        assert_eq!(reply.problem(400), "invalid");
        assert!(reply.json()["errors"]["[1].member_id"].is_string(), "{}", reply.text);
        assert_eq!(cast.viewer.get(&format!("/groups/{}", cast.group)).await.expect(200)["role"], "viewer");

        for (who, body, told) in [
            (&cast.admin, change(&cast.owner, "viewer"), "rank-too-low"),
            (&cast.admin, change(&cast.viewer, "admin"), "rank-too-low"),
            (&cast.admin, change(&cast.admin, "viewer"), "rank-too-low"),
        ] {
            assert_eq!(who.put(&at, &json!([body])).await.problem(403), told);
        }
        assert_eq!(
            cast.owner.put(&at, &json!([change(&cast.owner, "viewer")])).await.problem(409),
            "last-owner"
        );
        assert_eq!(
            cast.owner.put(&at, &json!([change(&cast.viewer, "owner")])).await.problem(400),
            "invalid"
        );
        cast.owner.put(&at, &json!([change(&cast.admin, "viewer")])).await.expect(200);
        assert_eq!(cast.admin.put(&at, &by_address).await.problem(403), "forbidden");
    }
}

#[tokio::test]
async fn members_are_removed_or_leave() {
    for engine in engines() {
        let server = start(engine).await;
        let cast = cast(&server).await;
        let at = at(&cast);
        let ids =
            |people: &[&Person]| json!({"member_ids": people.iter().map(|it| &it.id).collect::<Vec<_>>()});
        assert_eq!(cast.viewer.patch(&at, &ids(&[&cast.editor])).await.problem(403), "forbidden");
        assert_eq!(cast.stranger.patch(&at, &ids(&[&cast.stranger])).await.problem(404), "not-found");
        assert_eq!(
            cast.admin.patch(&at, &ids(&[&cast.editor, &cast.owner])).await.problem(403),
            "rank-too-low"
        );
        let reply = cast.admin.patch(&at, &ids(&[&cast.editor, &cast.stranger])).await;
        assert_eq!(reply.problem(409), "not-a-member");
        cast.editor.get(&at).await.expect(200);

        assert_eq!(cast.admin.patch(&at, &ids(&[&cast.editor])).await.status, 204);
        assert_eq!(cast.editor.get(&at).await.problem(404), "not-found");
        for person in [&cast.viewer, &cast.admin] {
            assert_eq!(person.patch(&at, &ids(&[person])).await.status, 204);
            assert_eq!(person.get(&at).await.problem(404), "not-found");
        }
        assert_eq!(cast.owner.patch(&at, &ids(&[&cast.owner])).await.problem(409), "last-owner");
        for body in [json!({}), json!({"member_ids": []}), json!([NOBODY]), json!({"member_ids": "x"})] {
            assert_eq!(cast.owner.patch(&at, &body).await.problem(400), "invalid", "{body}");
        }
    }
}

#[tokio::test]
async fn a_group_changes_hands() {
    for engine in engines() {
        let server = start(engine).await;
        let cast = cast(&server).await;
        let owner = format!("/groups/{}/owner", cast.group);
        let to = |who: &Person| json!({"member_id": who.id});
        for person in [&cast.editor, &cast.admin] {
            assert_eq!(person.post(&owner, &to(&cast.viewer)).await.problem(403), "forbidden");
        }
        for person in [&cast.stranger, &cast.org_admin] {
            assert_eq!(person.post(&owner, &to(&cast.viewer)).await.problem(404), "not-found");
        }
        assert_eq!(cast.owner.post(&owner, &to(&cast.stranger)).await.problem(409), "not-a-member");
        assert_eq!(cast.owner.post(&owner, &to(&cast.disabled)).await.problem(400), "invalid");
        assert_eq!(cast.owner.post(&owner, &to(&cast.owner)).await.problem(400), "invalid");
        assert_eq!(cast.owner.post(&owner, &to(&cast.viewer)).await.status, 204);
        let page = cast.viewer.get(&format!("{}?role=owner", at(&cast))).await.expect(200);
        assert_eq!(
            (&page["total"], &page["group_memberships"][0]["member_id"]),
            (&json!(1), &json!(cast.viewer.id))
        );
        // Who owns the organisation owns its groups, whatever their membership says.
        assert_eq!(cast.owner.get(&format!("/groups/{}", cast.group)).await.expect(200)["role"], "owner");
    }
}

//! Organisations: made, read, changed, deleted.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::{
    NOBODY,
    app::{Send, engines, start},
    personas::{cast, person, text},
    same_404,
};

#[tokio::test]
async fn an_organisation_is_made_read_changed_and_deleted() {
    for engine in engines() {
        let app = start(engine).await;
        let ann = person(&app, "ann").await;
        let body = json!({"name": " Works ", "description": "North", "metadata": {"a": 1}, "created_at": "0001-01-01T00:00:00Z", "owner_id": ""});
        let reply = ann.post("/orgs", &body).await;
        let org = reply.expect(201);
        assert_eq!(
            org,
            json!({"id": org["id"], "name": "Works", "description": "North", "metadata": {"a": 1}, "role": "owner",
                "created_at": "2026-01-01T00:00:00.000Z", "updated_at": "2026-01-01T00:00:00.000Z"})
        );
        let at = format!("/orgs/{}", text(&org["id"]));
        assert_eq!(reply.header("location"), at);
        let seen = ann.get(&at).await;
        assert_eq!(seen.header("etag"), reply.header("etag"));
        assert_eq!(seen.expect(200), org);

        app.clock.advance(Duration::from_millis(1500));
        let mut wanted = org.clone();
        wanted["name"] = json!("Factory");
        let changed = ann.put(&at, &wanted).await.expect(200);
        wanted["updated_at"] = json!("2026-01-01T00:00:01.500Z");
        assert_eq!(changed, wanted);
        let kept = ann.put(&at, &json!({"name": "Factory"})).await.expect(200);
        assert_eq!((&kept["description"], &kept["metadata"]), (&json!("North"), &json!({"a": 1})));

        assert_eq!(ann.delete(&at).await.status, 204);
        assert_eq!(ann.get(&at).await.problem(404), "not-found");
        let id = "01890000-0000-7000-8000-00000000000a";
        ann.post("/orgs", &json!({"name": "chosen", "id": id})).await.expect(201);
        let reply = ann.post("/orgs", &json!({"name": "chosen", "id": id})).await;
        assert_eq!(reply.problem(409), "id-taken");
        let ids = json!({"org_ids": [id]});
        assert_eq!(ann.patch("/orgs", &ids).await.status, 204);
        assert_eq!(ann.patch("/orgs", &ids).await.problem(404), "not-found");
    }
}

#[tokio::test]
async fn what_is_wrong_with_an_organisation_is_told() {
    for engine in engines() {
        let app = start(engine).await;
        let ann = person(&app, "ann").await;
        let org = ann.post("/orgs", &json!({"name": "Works"})).await.expect(201);
        let at = format!("/orgs/{}", text(&org["id"]));
        for (body, field) in [
            (json!({}), "name"),
            (json!({"name": " "}), "name"),
            (json!({"name": "x".repeat(255)}), "name"),
            (json!({"name": "x", "description": "x".repeat(1025)}), "description"),
            (json!({"name": "x", "metadata": {"a": {"b": 1}}, "owner_id": NOBODY}), "owner_id"),
            (json!({"name": "x", "metadata": "{}"}), "metadata"),
            (json!({"name": "x", "created_at": "2020-01-01T00:00:00Z"}), "created_at"),
            (json!({"name": "x", "role": "viewer"}), "role"),
            (json!({"name": "x", "colour": "red"}), "colour"),
            (json!({"name": "x", "id": "X"}), "id"),
        ] {
            for reply in [ann.post("/orgs", &body).await, ann.put(&at, &body).await] {
                assert_eq!(reply.problem(400), "invalid", "{body}");
                assert!(reply.json()["errors"][field].is_string(), "{body}: {}", reply.text);
            }
        }
        assert_eq!(ann.patch("/orgs", &json!({"org_ids": []})).await.problem(400), "invalid");
        let reply = ann.patch("/orgs", &json!({"org_ids": ["x"]})).await;
        assert!(reply.json()["errors"]["org_ids[0]"].is_string(), "{}", reply.text);
        assert_eq!(ann.get("/orgs").await.expect(200)["total"], 1);
    }
}

#[tokio::test]
async fn members_see_their_organisations_by_their_roles() {
    for engine in engines() {
        let app = start(engine).await;
        let cast = cast(&app).await;
        let at = format!("/orgs/{}", cast.org);
        for (person, role) in [
            (&cast.viewer, "viewer"),
            (&cast.org_admin, "admin"),
            (&cast.owner, "owner"),
            (&cast.root, "owner"),
        ] {
            let reply = person.get(&at).await;
            assert!(reply.header("etag").ends_with(&format!(".{role}\"")));
            assert_eq!(reply.expect(200)["role"], role);
            let page = person.get("/orgs?name=ORGANISATION").await.expect(200);
            assert_eq!((&page["total"], &page["orgs"][0]["role"]), (&json!(1), &json!(role)));
        }
        let page = cast.stranger.get("/orgs").await.expect(200);
        assert_eq!((&page["total"], &page["orgs"]), (&json!(0), &json!([])));
        same_404(&cast.stranger, &format!("/orgs/{NOBODY}"), &at).await;
        let searched = cast.viewer.post("/orgs/search", &json!({"order": "name", "metadata": {}})).await;
        assert_eq!(searched.expect(200)["order"], "name");
        assert_eq!(cast.viewer.get("/orgs?role=viewer").await.problem(400), "invalid");

        let rename = json!({"name": "Renamed"});
        assert_eq!(cast.viewer.put(&at, &rename).await.problem(403), "forbidden");
        assert_eq!(cast.stranger.put(&at, &rename).await.problem(404), "not-found");
        cast.org_admin.put(&at, &rename).await.expect(200);
        for person in [&cast.viewer, &cast.org_admin] {
            assert_eq!(person.delete(&at).await.problem(403), "forbidden");
            assert_eq!(
                person.patch("/orgs", &json!({"org_ids": [cast.org]})).await.problem(403),
                "forbidden"
            );
        }
        assert_eq!(cast.disabled.get(&at).await.problem(401), "unauthenticated");
        assert_eq!(app.anonymous.get(&at).await.problem(401), "unauthenticated");

        // With its groups and everything in them.
        assert_eq!(cast.owner.delete(&at).await.status, 204);
        assert_eq!(cast.owner.get(&format!("/things/{}", cast.thing)).await.problem(404), "not-found");
        let identify = json!({"type": "internal", "key": cast.key});
        assert_eq!(app.anonymous.post("/identify", &identify).await.problem(404), "not-found");
    }
}

#[tokio::test]
async fn tags_and_repetitions_of_organisations() {
    for engine in engines() {
        let app = start(engine).await;
        let ann = person(&app, "ann").await;
        let make = |name: &str| {
            let request = ann.request(Method::POST, "/orgs").header("idempotency-key", "once");
            request.json(&json!({"name": name})).reply()
        };
        let first = make("Works").await;
        let again = make("Works").await;
        assert_eq!((again.status, &again.text), (201, &first.text));
        assert_eq!(again.header("location"), first.header("location"));
        assert_eq!(make("Other").await.problem(422), "idempotency-key-reused");

        let (at, tag) = (first.header("location"), first.header("etag"));
        let known = ann.request(Method::GET, at).header("if-none-match", tag).reply().await;
        assert_eq!((known.status, known.text.as_str(), known.header("etag")), (304, "", tag));
        app.clock.advance(Duration::from_secs(1));
        let put = |tag: &str, name: &str| {
            ann.request(Method::PUT, at).header("if-match", tag).json(&json!({"name": name})).reply()
        };
        let changed = put(tag, "Factory").await;
        changed.expect(200);
        assert_eq!(put(tag, "Mill").await.problem(412), "stale");
        put(changed.header("etag"), "Mill").await.expect(200);
    }
}

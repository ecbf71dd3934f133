//! Lists of invites: of an organisation, of a group, of a person, of all.

use super::*;
use crate::{
    app::{engines, start},
    personas::cast,
};

fn ids(page: &Value) -> Vec<String> {
    page["invites"].as_array().unwrap().iter().map(|invite| text(&invite["id"])).collect()
}

#[tokio::test]
async fn invites_are_listed_by_place_and_by_person() {
    for engine in engines() {
        let server = start(engine).await;
        let cast = cast(&server).await;
        let ben = colleague(&server, &cast, "ben").await;
        let mut sent = Vec::new();
        for n in 0..5 {
            server.clock.advance(std::time::Duration::from_secs(1));
            let body = json!({
                "email": format!("new{n}@example.com"),
                "role": "viewer",
                "group_invites": [{ "group_id": cast.group, "member_role": "viewer" }],
            });
            sent.push(invited(&cast.owner, &to_org(&cast), &body).await);
        }
        let direct =
            invited(&cast.owner, &to_group(&cast), &json!({ "email": ben.email, "role": "viewer" })).await;
        let known = invited(
            &cast.org_admin,
            &to_org(&cast),
            &json!({ "email": cast.stranger.email, "role": "viewer" }),
        )
        .await;
        assert_eq!(cast.owner.delete(&format!("/invites/{}", sent[4])).await.status, 204);

        let at = to_org(&cast);
        let page = cast.org_admin.get(&format!("{at}?limit=1000&dir=asc&total=0")).await.expect(200);
        let mut all = sent.clone();
        all.push(known.clone());
        assert_eq!((ids(&page), &page["total"]), (all.clone(), &json!(6)));
        for invite in page["invites"].as_array().unwrap() {
            let id = text(&invite["id"]);
            assert_eq!(
                *invite,
                cast.owner.get(&format!("/invites/{id}")).await.expect(200),
                "as it is alone"
            );
        }

        // By cursor and by offset, in either order.
        for order in ["id", "created_at"] {
            let (mut found, mut query) = (Vec::new(), format!("{at}?limit=2&dir=asc&order={order}"));
            loop {
                let page = cast.owner.get(&query).await.expect(200);
                found.extend(ids(&page));
                let Some(next) = page.get("next") else { break };
                query = format!("{at}?limit=2&dir=asc&order={order}&cursor={}", text(next));
            }
            assert_eq!(found, all, "{order}");
            let page =
                cast.owner.get(&format!("{at}?limit=2&offset=4&dir=asc&order={order}")).await.expect(200);
            assert_eq!(ids(&page), all[4..]);
        }
        let first = cast.owner.get(&format!("{at}?limit=2")).await.expect(200);
        let stolen = format!("{at}?limit=2&cursor={}", text(&first["next"]));
        assert_eq!(cast.root.get(&stolen).await.problem(400), "invalid", "a cursor is its reader's");

        for (query, found) in [
            ("state=pending", vec![&sent[0], &sent[1], &sent[2], &sent[3], &known]),
            ("state=revoked", vec![&sent[4]]),
            ("state=accepted", vec![]),
            ("state=&kind=", all.iter().collect()),
            ("kind=org&state=revoked", vec![&sent[4]]),
            ("kind=group", vec![]),
        ] {
            let page = cast.owner.get(&format!("{at}?dir=asc&{query}")).await.expect(200);
            assert_eq!(ids(&page).iter().collect::<Vec<_>>(), found, "{query}");
            let fields: serde_json::Map<String, Value> = query
                .split('&')
                .map(|field| field.split_once('=').unwrap())
                .map(|(name, value)| (name.to_owned(), json!(value)))
                .chain([("dir".to_owned(), json!("asc"))])
                .collect();
            let searched = cast.owner.post(&format!("{at}/search"), &json!(fields)).await.expect(200);
            assert_eq!(searched, page, "{query}");
        }
        for query in ["state=open", "kind=thing", "state=PENDING", "email=a", "order=state", "limit=0"] {
            assert_eq!(cast.owner.get(&format!("{at}?{query}")).await.problem(400), "invalid", "{query}");
        }

        let page = cast.admin.get(&format!("{}?dir=asc&limit=100", to_group(&cast))).await.expect(200);
        assert_eq!(page["total"], 6, "those that sleep among them");
        let sleeping = |invite: &&Value| invite["dormant"] == json!(true);
        assert_eq!(page["invites"].as_array().unwrap().iter().filter(sleeping).count(), 4, "one was revoked");

        // What one received and sent; what sleeps is nobody's yet.
        for (person, list, found) in [
            (&ben, "received", vec![direct.clone()]),
            (&ben, "sent", vec![]),
            (&cast.stranger, "received", vec![known.clone()]),
            (&cast.org_admin, "sent", vec![known.clone()]),
        ] {
            let at = format!("/users/{}/invites/{list}", person.id);
            assert_eq!(ids(&person.get(&at).await.expect(200)), found, "{at}");
            assert_eq!(ids(&cast.root.get(&at).await.expect(200)), found, "{at}");
            assert_eq!(ids(&person.post(&format!("{at}/search"), &json!({})).await.expect(200)), found);
            assert_eq!(cast.owner.get(&at).await.problem(404), "not-found");
        }
        let nobody = format!("/users/{NOBODY}/invites/received");
        assert_eq!(bare(cast.root.get(&nobody).await).0, 404);
        assert_eq!(
            bare(cast.owner.get(&nobody).await),
            bare(cast.owner.get(&format!("/users/{}/invites/received", ben.id)).await)
        );
        let mine =
            cast.owner.get(&format!("/users/{}/invites/sent?limit=100", cast.owner.id)).await.expect(200);
        assert_eq!(mine["total"], 11, "five, their five sleepers, and one to the group");

        // All of them, for the platform's administrators.
        assert_eq!(cast.owner.get("/invites").await.problem(403), "platform-admin-only");
        assert_eq!(cast.root.get("/invites?limit=100").await.expect(200)["total"], 12);
        let carriers = cast.root.get("/invites?kind=platform").await.expect(200);
        assert_eq!(carriers["total"], 5, "one for each address without an account");
        assert_eq!(
            cast.root.post("/invites/search", &json!({ "kind": "org" })).await.expect(200)["total"],
            6
        );

        // A name that changes shows, and the tag with it.
        let before = cast.owner.get(&format!("/invites/{direct}")).await;
        cast.owner.put(&format!("/groups/{}", cast.group), &json!({ "name": "Renamed" })).await.expect(200);
        let after = cast.owner.get(&format!("/invites/{direct}")).await;
        assert_eq!(after.expect(200)["group_name"], "Renamed");
        assert_ne!(before.header("etag"), after.header("etag"));
    }
}

//! Up to a thousand addresses in one request: all or none, or each for itself.

use super::*;
use crate::{
    app::{engines, start, start_set_up},
    personas::{cast, members, person},
};

fn people(numbers: std::ops::Range<usize>) -> Vec<Value> {
    numbers.map(|n| json!({ "email": format!("person{n}@example.com"), "role": "viewer" })).collect()
}

#[tokio::test]
async fn a_thousand_are_invited_together_or_not_at_all() {
    for engine in engines() {
        let options = things::Options { requests_per_second: None, ..Default::default() };
        let server = start_set_up(engine, options, Default::default(), |settings| {
            settings.invites.per_hour = 5_000;
        })
        .await;
        let cast = cast(&server).await;
        let at = to_org(&cast);
        let mut items = people(0..1000);
        items[617] = json!({ "email": cast.viewer.email, "role": "viewer" });
        items[618] = json!({ "email": cast.editor.email, "role": "viewer" });
        let refused = cast.owner.post(&at, &json!(items)).await;
        assert_eq!(refused.problem(409), "already-member");
        assert_eq!(members(&refused.json()["errors"]), ["[617].email", "[618].email"]);
        items[617] = items[2].clone();
        items[618] = items[3].clone();
        let refused = cast.owner.post(&at, &json!(items)).await;
        assert_eq!(
            refused.expect(400)["errors"],
            json!({
                "[617].email": "is the same as in item 2",
                "[618].email": "is the same as in item 3",
            })
        );
        items[617] = json!({ "email": "no address", "role": "boss" });
        let refused = cast.owner.post(&at, &json!(items)).await;
        assert_eq!(members(&refused.expect(400)["errors"]), ["[617].email", "[617].role"]);
        assert_eq!(cast.owner.get(&at).await.expect(200)["total"], 0, "nobody was invited");

        let items = people(0..1000);
        let send =
            || cast.owner.request(Method::POST, &at).header("idempotency-key", "all").json(&items).reply();
        let made = send().await;
        assert_eq!(made.header("location"), "", "there are many");
        let invites = made.expect(201)["invites"].take();
        assert_eq!(send().await.text, made.text);
        assert_eq!(invites.as_array().unwrap().len(), 1000);
        for (n, invite) in invites.as_array().unwrap().iter().enumerate() {
            assert_eq!(invite["invitee_email"], format!("person{n}@example.com"));
            assert_eq!((&invite["dormant"], &invite["state"]), (&json!(true), &json!("pending")));
        }
        assert_eq!(cast.owner.get(&at).await.expect(200)["total"], 1000);

        let many = cast.owner.post(&at, &json!(people(2000..3001))).await;
        assert_eq!(many.expect(400)["errors"]["body"], "must hold at most 1000 items");
        let many = cast.owner.post(&format!("{at}?partial=true"), &json!(people(2000..3001))).await;
        assert_eq!(many.expect(400)["errors"]["body"], "must hold at most 1000 items");

        // Each for itself: every third is new, the others are invited already or nonsense.
        let items: Vec<_> = (0..1000)
            .map(|n| match n % 3 {
                0 => json!({ "email": format!("another{n}@example.com"), "role": "viewer" }),
                1 => json!({ "email": format!("person{n}@example.com"), "role": "viewer" }),
                _ => json!({ "email": format!("person {n}"), "role": "viewer" }),
            })
            .collect();
        let results = cast.owner.post(&format!("{at}?partial=true"), &json!(items)).await.expect(207);
        let results = results["invites"].as_array().unwrap();
        assert_eq!(results.len(), 1000);
        for (n, result) in results.iter().enumerate() {
            match n % 3 {
                0 => {
                    assert_eq!(members(result), ["invite", "status"]);
                    assert_eq!(result["status"], 201);
                    assert_eq!(result["invite"]["invitee_email"], format!("another{n}@example.com"));
                }
                1 => assert_eq!(
                    *result,
                    json!({ "status": 409, "problem": {
                        "type": "/problems/already-invited",
                        "title": "Already invited",
                        "detail": "already invited; resend or revoke that invite instead",
                        "errors": { "email": "already invited; resend or revoke that invite instead" },
                    }})
                ),
                _ => {
                    assert_eq!(result["status"], 400);
                    assert_eq!(result["problem"]["type"], "/problems/invalid");
                    assert_eq!(members(&result["problem"]["errors"]), ["email"]);
                }
            }
        }
        assert_eq!(cast.owner.get(&at).await.expect(200)["total"], 1334);
    }
}

#[tokio::test]
async fn one_object_and_an_array_of_one_differ_in_form_only() {
    for engine in engines() {
        let server = start(engine).await;
        let cast = cast(&server).await;
        let (ben, zoe) = (colleague(&server, &cast, "ben").await, colleague(&server, &cast, "zoe").await);
        let item = |person: &Person, role: &str| json!({ "email": person.email, "role": role });
        let at = to_group(&cast);
        let one = cast.admin.post(&at, &item(&ben, "editor")).await;
        let id = text(&one.expect(201)["id"]);
        assert_eq!(one.header("location"), format!("/invites/{id}"));
        assert_eq!(cast.admin.get(&format!("/invites/{id}")).await.expect(200), one.json());
        assert_eq!(
            members(&one.json()),
            [
                "created_at",
                "dormant",
                "expires_at",
                "group_id",
                "group_name",
                "id",
                "invitee_email",
                "invitee_id",
                "invitee_role",
                "inviter_email",
                "inviter_id",
                "kind",
                "org_id",
                "org_name",
                "state",
            ]
        );
        let many = cast.admin.post(&at, &json!([item(&zoe, "editor")])).await.expect(201);
        assert_eq!(many["invites"].as_array().unwrap().len(), 1);
        assert_eq!(members(&many["invites"][0]), members(&one.json()));

        // Fields are named as the request has them.
        let outsider = person(&server, "outsider").await;
        for (body, query, status) in [
            (item(&outsider, "viewer"), "", 409),
            (json!([item(&outsider, "viewer")]), "", 409),
            (item(&outsider, "viewer"), "?partial=true", 207),
            (json!([item(&outsider, "viewer")]), "?partial=true", 207),
            (item(&ben, "viewer"), "?partial=false", 409),
        ] {
            let reply = cast.admin.post(&format!("{at}{query}"), &body).await.expect(status);
            let (errors, field) = match (status, body.is_array()) {
                (207, _) => (&reply["invites"][0]["problem"]["errors"], "email"),
                (_, false) => (&reply["errors"], "email"),
                (_, true) => (&reply["errors"], "[0].email"),
            };
            assert_eq!(members(errors), [field], "{body} {query}");
        }
        let twice =
            json!([item(&outsider, "viewer"), { "email": "x", "role": "viewer" }, item(&outsider, "editor")]);
        let results = cast.admin.post(&format!("{at}?partial=true"), &twice).await.expect(207);
        assert_eq!(results["invites"][2]["problem"]["errors"]["email"], "is the same as in item 0");
        let all_bad = json!([{ "email": "x" }, {}]);
        let results = cast.admin.post(&format!("{at}?partial=true"), &all_bad).await.expect(207);
        assert_eq!(members(&results["invites"][1]["problem"]["errors"]), ["email", "role"]);
        for query in ["", "?partial=true"] {
            let empty = cast.admin.post(&format!("{at}{query}"), &json!([])).await;
            assert_eq!(empty.expect(400)["errors"]["body"], "must hold at least one item");
        }
        // Rights are not a matter of single items.
        let reply =
            cast.editor.post(&format!("{at}?partial=true"), &json!([item(&outsider, "viewer")])).await;
        assert_eq!(reply.problem(403), "forbidden");
        for query in ["?partial=1", "?partial=", "?part=true", "?partial=true&partial=true"] {
            assert_eq!(
                cast.admin.post(&format!("{at}{query}"), &item(&ben, "viewer")).await.problem(400),
                "invalid"
            );
        }
    }
}

#[tokio::test]
async fn without_mail_each_who_has_no_account_is_refused() {
    for engine in engines() {
        let options = things::Options { requests_per_second: None, ..Default::default() };
        let server =
            start_set_up(engine, options, Default::default(), |settings| settings.mail = false).await;
        let cast = cast(&server).await;
        let at = to_org(&cast);
        let known = json!({ "email": cast.stranger.email, "role": "viewer" });
        let new = json!({ "email": "new@example.com", "role": "viewer" });
        let refused = cast.owner.post(&at, &new).await;
        assert_eq!(refused.problem(409), "no-mail");
        assert!(refused.text.contains("this installation sends no mail"), "{}", refused.text);
        let refused = cast.owner.post(&at, &json!([known, new])).await;
        assert_eq!(refused.problem(409), "no-mail");
        assert_eq!(members(&refused.json()["errors"]), ["[1].email"]);
        let refused = cast.root.post("/invites", &json!({ "email": "new@example.com" })).await;
        assert_eq!(refused.problem(409), "no-mail");
        assert_eq!(cast.root.get("/invites").await.expect(200)["total"], 0);

        let partly = cast.owner.post(&format!("{at}?partial=true"), &json!([new, known])).await.expect(207);
        let (refused, made) = (&partly["invites"][0], &partly["invites"][1]);
        assert_eq!(refused["status"], 409);
        assert_eq!(refused["problem"]["type"], "/problems/no-mail");
        assert_eq!(made["status"], 201);
        // Who has an account sees it there.
        let received = format!("/users/{}/invites/received?state=pending", cast.stranger.id);
        assert_eq!(cast.stranger.get(&received).await.expect(200)["total"], 1);
        act(&cast.stranger, &text(&made["invite"]["id"]), "accept").await.expect(201);
        assert_eq!(role(&cast, &format!("/orgs/{}", cast.org), "stranger@").await.as_deref(), Some("viewer"));
    }
}

//! What becomes of an invite, and what it is refused for.

use super::*;
use crate::{
    app::{engines, start, start_set_up},
    personas::{cast, person},
};

#[track_caller]
fn refused(reply: &Reply, kind: &str, detail: &str) {
    assert_eq!(reply.problem(409), kind);
    assert_eq!(reply.json()["detail"], detail);
}

#[tokio::test]
async fn an_invite_is_answered_once() {
    for engine in engines() {
        let server = start(engine).await;
        let cast = cast(&server).await;
        let ends: [(&str, &str); 3] = [
            ("accepted", "the invite was accepted already"),
            ("declined", "the invite was declined already"),
            ("revoked", "the invite was revoked"),
        ];
        for (how, detail) in ends {
            let ben = colleague(&server, &cast, &format!("ben-{how}")).await;
            let id = invited(&cast.admin, &to_group(&cast), &json!({ "email": ben.email, "role": "viewer" }))
                .await;
            let done = match how {
                "accepted" => act(&ben, &id, "accept").await.status,
                "declined" => act(&ben, &id, "decline").await.status,
                _ => cast.owner.delete(&format!("/invites/{id}")).await.status,
            };
            assert_eq!(done, if how == "accepted" { 201 } else { 204 });
            assert_eq!(state(&ben, &id).await, how);
            for what in ["accept", "decline"] {
                refused(&act(&ben, &id, what).await, "invite-closed", detail);
            }
            refused(&act(&cast.admin, &id, "resend").await, "invite-closed", detail);
            refused(&cast.admin.delete(&format!("/invites/{id}")).await, "invite-closed", detail);
            assert_eq!(state(&ben, &id).await, how, "each end is final");
        }
    }
}

#[tokio::test]
async fn an_expired_invite_can_only_be_declined_and_stands_in_nobodys_way() {
    for engine in engines() {
        let server = start(engine).await;
        let cast = cast(&server).await;
        let ben = colleague(&server, &cast, "ben").await;
        let body = json!({ "email": ben.email, "role": "viewer" });
        let id = invited(&cast.admin, &to_group(&cast), &body).await;
        server.clock.advance(std::time::Duration::from_secs(7 * 24 * 3600));
        assert_eq!(state(&ben, &id).await, "expired");
        for list in [to_group(&cast), format!("/users/{}/invites/received", ben.id)] {
            let client = if list.starts_with("/users") { &ben } else { &cast.admin };
            assert_eq!(client.get(&format!("{list}?state=pending")).await.expect(200)["total"], 0, "{list}");
            assert_eq!(client.get(&format!("{list}?state=expired")).await.expect(200)["total"], 1, "{list}");
            assert_eq!(client.get(&list).await.expect(200)["invites"][0]["state"], "expired", "{list}");
        }
        let detail = "the invite has expired; ask to be invited again";
        refused(&act(&ben, &id, "accept").await, "invite-closed", detail);
        refused(&act(&cast.admin, &id, "resend").await, "invite-closed", detail);
        refused(&cast.admin.delete(&format!("/invites/{id}")).await, "invite-closed", detail);
        let again = invited(&cast.owner, &to_group(&cast), &body).await;
        act(&ben, &again, "accept").await.expect(201);

        let zoe = person(&server, "zoe").await;
        let id = invited(&cast.owner, &to_org(&cast), &json!({ "email": zoe.email, "role": "viewer" })).await;
        server.clock.advance(std::time::Duration::from_secs(7 * 24 * 3600));
        for _ in 0..2 {
            assert_eq!(act(&zoe, &id, "decline").await.status, 204, "there is nothing left to say no to");
            assert_eq!(state(&zoe, &id).await, "expired", "each end is final");
        }
    }
}

#[tokio::test]
async fn what_the_inviter_may_no_longer_give_is_not_given() {
    for engine in engines() {
        let server = start(engine).await;
        let cast = cast(&server).await;
        let ben = colleague(&server, &cast, "ben").await;
        let id =
            invited(&cast.admin, &to_group(&cast), &json!({ "email": ben.email, "role": "editor" })).await;
        let demote = json!([{ "member_id": cast.admin.id, "role": "editor" }]);
        cast.owner.put(&format!("/groups/{}/memberships", cast.group), &demote).await.expect(200);
        assert_eq!(state(&cast.admin, &id).await, "pending", "the inviter sees it still");
        let detail =
            "whoever invited may no longer do so, and the invite was revoked; ask to be invited again";
        let accept =
            || ben.request(Method::POST, &format!("/invites/{id}/accept")).header("idempotency-key", "k");
        let first = accept().reply().await;
        refused(&first, "invite-no-longer-valid", detail);
        refused(&accept().reply().await, "invite-no-longer-valid", detail);
        refused(&act(&ben, &id, "accept").await, "invite-closed", "the invite was revoked");
        assert_eq!(role(&cast, &format!("/groups/{}", cast.group), "ben@").await, None);
    }
}

#[tokio::test]
async fn an_invite_changes_no_role_that_somebody_has() {
    for engine in engines() {
        let server = start(engine).await;
        let cast = cast(&server).await;
        let ben = colleague(&server, &cast, "ben").await;
        let id =
            invited(&cast.admin, &to_group(&cast), &json!({ "email": ben.email, "role": "admin" })).await;
        let join = json!([{ "member_id": ben.id, "role": "viewer" }]);
        let members = format!("/groups/{}/memberships", cast.group);
        cast.owner.post(&members, &join).await.expect(201);
        let reply = act(&ben, &id, "accept").await;
        assert!(matches!(reply.problem(409).as_str(), "already-member" | "invite-closed"), "{reply:?}");
        assert_eq!(role(&cast, &format!("/groups/{}", cast.group), "ben@").await.as_deref(), Some("viewer"));

        // Nor is somebody invited to where they are.
        let again = cast.admin.post(&to_group(&cast), &json!({ "email": ben.email, "role": "admin" })).await;
        assert_eq!(again.problem(409), "already-member");
        assert!(again.json()["errors"]["email"].is_string(), "{}", again.text);
        let again = cast.owner.post(&to_org(&cast), &json!({ "email": ben.email, "role": "admin" })).await;
        assert_eq!(again.problem(409), "already-member");
        assert!(again.json()["errors"]["email"].is_string(), "{}", again.text);
    }
}

#[tokio::test]
async fn whoever_invites_needs_the_right_to() {
    for engine in engines() {
        let server = start(engine).await;
        let cast = cast(&server).await;
        let ben = colleague(&server, &cast, "ben").await;
        let body = json!({ "email": ben.email, "role": "viewer" });
        for person in [&cast.viewer, &cast.editor] {
            assert_eq!(person.post(&to_group(&cast), &body).await.problem(403), "forbidden");
            assert_eq!(person.get(&to_group(&cast)).await.problem(403), "forbidden");
        }
        assert_eq!(cast.admin.post(&to_org(&cast), &body).await.problem(403), "forbidden");
        for path in [to_group(&cast), to_org(&cast)] {
            assert_eq!(cast.stranger.post(&path, &body).await.problem(404), "not-found");
            assert_eq!(cast.stranger.get(&path).await.problem(404), "not-found");
            assert_eq!(server.anonymous.post(&path, &body).await.problem(401), "unauthenticated");
        }
        // Whether an address has an account is not told to a group's admins.
        let mut answers = Vec::new();
        for email in [cast.stranger.email.as_str(), "no-account@example.com"] {
            let reply = cast.admin.post(&to_group(&cast), &json!({ "email": email, "role": "viewer" })).await;
            assert_eq!(reply.problem(409), "not-in-organisation", "{email}");
            answers.push(bare(reply));
        }
        assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:#?}");

        // Groups come along where the inviter is their admin, and only groups of the organisation.
        let zoe = person(&server, "zoe").await;
        let org = text(&zoe.post("/orgs", &json!({ "name": "Zoe's" })).await.expect(201)["id"]);
        let foreign =
            zoe.post(&format!("/orgs/{org}/groups"), &json!([{ "name": "hers" }])).await.expect(201);
        let foreign = text(&foreign["groups"][0]["id"]);
        let with = |group: &str, role: &str| {
            json!({
                "email": cast.stranger.email,
                "role": "viewer",
                "group_invites": [{ "group_id": group, "member_role": role }],
            })
        };
        for (inviter, group) in
            [(&cast.org_admin, cast.group.as_str()), (&cast.owner, &foreign), (&cast.owner, NOBODY)]
        {
            let reply = inviter.post(&to_org(&cast), &with(group, "viewer")).await;
            assert_eq!(reply.problem(400), "invalid");
            let told = text(&reply.json()["errors"]["group_invites"]);
            assert_eq!(told, format!("you are not an admin of a group {group} in this organisation"));
        }
        assert_eq!(cast.owner.get(&to_org(&cast)).await.expect(200)["total"], 0, "none was made");
        cast.owner.post(&to_org(&cast), &with(&cast.group, "admin")).await.expect(201);

        // Two people may invite one; the same one twice may not.
        cast.org_admin
            .post(&to_org(&cast), &json!({ "email": cast.stranger.email, "role": "viewer" }))
            .await
            .expect(201);
        let again = cast
            .org_admin
            .post(&to_org(&cast), &json!({ "email": cast.stranger.email, "role": "viewer" }))
            .await;
        assert_eq!(again.problem(409), "already-invited");
        assert!(again.json()["errors"]["email"].is_string());

        // Nobody is invited above the inviter's own role.
        let reply =
            cast.owner.post(&to_org(&cast), &json!({ "email": "e@example.com", "role": "owner" })).await;
        assert_eq!(reply.expect(400)["errors"]["role"], "must be one of viewer, editor, admin");
    }
}

#[tokio::test]
async fn an_invite_that_is_not_ones_own_does_not_exist_in_any_state() {
    for engine in engines() {
        let server = start(engine).await;
        let cast = cast(&server).await;
        let mut ids = vec![NOBODY.to_owned(), "x".to_owned(), "%00".to_owned(), "..%2f".to_owned() + NOBODY];
        for (name, end) in [("a", ""), ("b", "accept"), ("c", "decline"), ("d", "revoke")] {
            let ben = colleague(&server, &cast, name).await;
            let id = invited(&cast.admin, &to_group(&cast), &json!({ "email": ben.email, "role": "viewer" }))
                .await;
            match end {
                "" => {}
                "revoke" => assert_eq!(cast.admin.delete(&format!("/invites/{id}")).await.status, 204),
                end => assert!(act(&ben, &id, end).await.status < 300),
            }
            ids.push(id);
        }
        let body = json!({
            "email": "asleep@example.com",
            "role": "viewer",
            "group_invites": [{ "group_id": cast.group, "member_role": "viewer" }],
        });
        let asleep = cast.owner.post(&to_org(&cast), &body).await.expect(201);
        ids.extend([text(&asleep["id"]), text(&asleep["group_invites"][0]["id"])]);
        let platform = cast.root.post("/invites", &json!({ "email": "p@example.com" })).await.expect(201);
        ids.push(text(&platform["id"]));
        for expired in [false, true] {
            if expired {
                server.clock.advance(std::time::Duration::from_secs(8 * 24 * 3600));
            }
            for (method, what) in [
                (Method::GET, ""),
                (Method::DELETE, ""),
                (Method::POST, "/accept"),
                (Method::POST, "/decline"),
                (Method::POST, "/resend"),
            ] {
                let mut answers = Vec::new();
                for id in &ids {
                    let request = cast.stranger.request(method.clone(), &format!("/invites/{id}{what}"));
                    answers.push(bare(request.reply().await));
                }
                assert_eq!(answers[0].0, 404);
                let other = answers.iter().zip(&ids).find(|(answer, _)| **answer != answers[0]);
                assert!(other.is_none(), "{method} {what}: {:?} and {other:?}", answers[0]);
            }
        }
    }
}

#[tokio::test]
async fn mails_are_sent_again_but_not_without_end() {
    for engine in engines() {
        let server = start(engine).await;
        let cast = cast(&server).await;
        let body = json!({
            "email": "new@example.com",
            "role": "viewer",
            "group_invites": [{ "group_id": cast.group, "member_role": "viewer" }],
        });
        let invite = cast.owner.post(&to_org(&cast), &body).await.expect(201);
        let (id, sleeper) = (text(&invite["id"]), text(&invite["group_invites"][0]["id"]));
        let first = server.invite_secret("new@example.com").await;
        let soon = act(&cast.owner, &id, "resend").await;
        assert_eq!(soon.problem(429), "too-many-requests");
        assert_eq!(soon.header("retry-after"), "60");
        assert_eq!(act(&cast.admin, &sleeper, "resend").await.problem(409), "invite-sleeps");
        for _ in 0..4 {
            server.clock.advance(std::time::Duration::from_secs(60));
            let again = act(&cast.org_admin, &id, "resend").await.expect(200);
            assert_eq!(again["id"], invite["id"]);
            assert!(text(&again["expires_at"]) > text(&invite["expires_at"]), "its time begins anew");
            assert_eq!(cast.owner.get(&format!("/invites/{id}")).await.expect(200), again);
        }
        server.clock.advance(std::time::Duration::from_secs(60));
        let often = act(&cast.owner, &id, "resend").await;
        assert_eq!(often.problem(429), "too-many-requests");
        assert_eq!(often.header("retry-after"), "3300");
        let door = format!("/register/invite/{}", first.expose());
        assert_eq!(server.anonymous.get(&door).await.problem(404), "not-found");
        let last = server.invite_secret("new@example.com").await;
        server.anonymous.get(&format!("/register/invite/{}", last.expose())).await.expect(200);
    }
}

#[tokio::test]
async fn there_are_limits_of_invites_in_an_hour_and_of_unanswered_ones() {
    for engine in engines() {
        let options = things::Options { requests_per_second: None, ..Default::default() };
        let server = start_set_up(engine, options, Default::default(), |settings| {
            settings.invites.per_hour = 3;
            settings.invites.pending = 4;
        })
        .await;
        let cast = cast(&server).await;
        let people = |names: &[&str]| -> Value {
            names
                .iter()
                .map(|name| json!({ "email": format!("{name}@example.com"), "role": "viewer" }))
                .collect()
        };
        let to_org = to_org(&cast);
        cast.owner.post(&to_org, &people(&["a", "b"])).await.expect(201);
        server.clock.advance(std::time::Duration::from_secs(600));
        for partial in ["", "?partial=true"] {
            let reply = cast.owner.post(&format!("{to_org}{partial}"), &people(&["c", "d"])).await;
            assert_eq!(reply.problem(429), "too-many-requests");
            assert_eq!(reply.header("retry-after"), "3000");
        }
        assert_eq!(cast.owner.get(&to_org).await.expect(200)["total"], 2);
        cast.owner.post(&to_org, &people(&["c"])).await.expect(201);
        // Another inviter has an hour of their own, but not another organisation.
        let reply = cast.org_admin.post(&to_org, &people(&["d", "e"])).await;
        assert_eq!((reply.problem(429).as_str(), reply.header("retry-after")), ("too-many-requests", "3600"));
        let fourth = cast.org_admin.post(&to_org, &people(&["d"])).await.expect(201)["invites"][0].take();
        assert_eq!(cast.root.post(&to_org, &people(&["e"])).await.problem(429), "too-many-requests");
        assert_eq!(cast.org_admin.delete(&format!("/invites/{}", text(&fourth["id"]))).await.status, 204);
        cast.root.post(&to_org, &people(&["e"])).await.expect(201);

        // One address to one place: five times an hour, by whomever.
        let zoe = person(&server, "zoe").await;
        let org = text(&zoe.post("/orgs", &json!({ "name": "Zoe's" })).await.expect(201)["id"]);
        let to_zoes = format!("/orgs/{org}/invites");
        for n in 0..5 {
            if n == 3 {
                server.clock.advance(std::time::Duration::from_secs(1800));
            }
            let inviter = if n < 3 { &zoe } else { &cast.root };
            let id = invited(inviter, &to_zoes, &json!({ "email": "a@example.com", "role": "viewer" })).await;
            inviter.delete(&format!("/invites/{id}")).await;
        }
    }
}

#[tokio::test]
async fn whoever_leaves_or_is_shut_out_has_no_open_invites() {
    for engine in engines() {
        let server = start(engine).await;
        let cast = cast(&server).await;
        let ben = colleague(&server, &cast, "ben").await;
        let id =
            invited(&cast.admin, &to_group(&cast), &json!({ "email": ben.email, "role": "viewer" })).await;
        let leave = json!({ "member_ids": [ben.id] });
        assert_eq!(ben.patch(&format!("/orgs/{}/memberships", cast.org), &leave).await.status, 204);
        assert_eq!(state(&ben, &id).await, "revoked");

        let zoe = colleague(&server, &cast, "zoe").await;
        let id =
            invited(&cast.admin, &to_group(&cast), &json!({ "email": zoe.email, "role": "viewer" })).await;
        assert_eq!(
            cast.root.post(&format!("/users/{}/disable", cast.admin.id), &json!(null)).await.status,
            204
        );
        let reply = act(&zoe, &id, "accept").await;
        assert_eq!(reply.status, 409, "{reply:?}");
        assert_eq!(role(&cast, &format!("/groups/{}", cast.group), "zoe@").await, None);

        // With the group its invites are gone.
        let id =
            invited(&cast.owner, &to_group(&cast), &json!({ "email": zoe.email, "role": "viewer" })).await;
        assert_eq!(cast.owner.delete(&format!("/groups/{}", cast.group)).await.status, 204);
        assert_eq!(zoe.get(&format!("/invites/{id}")).await.problem(404), "not-found");
        assert_eq!(act(&zoe, &id, "accept").await.problem(404), "not-found");
    }
}

#[tokio::test]
async fn what_sleeps_ends_with_what_it_waits_for() {
    for engine in engines() {
        let server = start(engine).await;
        let cast = cast(&server).await;
        let to = |email: &str| {
            json!({
                "email": email,
                "role": "viewer",
                "group_invites": [{ "group_id": cast.group, "member_role": "viewer" }],
            })
        };
        let sleeper = |invite: &Value| text(&invite["group_invites"][0]["id"]);
        let gone = cast.owner.post(&to_org(&cast), &to("gone@example.com")).await.expect(201);
        let secret = server.invite_secret("gone@example.com").await;
        let door = format!("/register/invite/{}", secret.expose());
        let known = cast.owner.post(&to_org(&cast), &to(&cast.stranger.email)).await.expect(201);
        let late = cast.owner.post(&to_org(&cast), &to("late@example.com")).await.expect(201);

        assert_eq!(cast.owner.delete(&format!("/invites/{}", text(&gone["id"]))).await.status, 204);
        assert_eq!(server.anonymous.get(&door).await.problem(404), "not-found");
        assert_eq!(state(&cast.admin, &sleeper(&gone)).await, "revoked");
        let carrier = cast.root.get("/invites?kind=platform&state=revoked").await.expect(200);
        assert_eq!(carrier["total"], 1);

        assert_eq!(act(&cast.stranger, &text(&known["id"]), "decline").await.status, 204);
        assert_eq!(state(&cast.admin, &sleeper(&known)).await, "declined");

        let secret = server.invite_secret("late@example.com").await;
        let door = format!("/register/invite/{}", secret.expose());
        server.clock.advance(std::time::Duration::from_secs(7 * 24 * 3600 - 1));
        server.anonymous.get(&door).await.expect(200);
        server.clock.advance(std::time::Duration::from_secs(1));
        assert_eq!(server.anonymous.get(&door).await.problem(404), "not-found");
        let register = server.anonymous.post(&door, &json!({ "password": ROOT_PASSWORD })).await;
        assert_eq!(register.problem(404), "not-found");
        assert_eq!(state(&cast.owner, &text(&late["id"])).await, "expired");
        assert_eq!(state(&cast.admin, &sleeper(&late)).await, "expired");
    }
}

#[tokio::test]
async fn one_acceptance_settles_all_invites_to_the_organisation() {
    for engine in engines() {
        let server = start(engine).await;
        let cast = cast(&server).await;
        let other = second_group(&cast).await;
        let to = |groups: Value| json!({ "email": cast.stranger.email, "role": "viewer", "group_invites": groups });
        let first = to(json!([
            { "group_id": cast.group, "member_role": "viewer" },
            { "group_id": other, "member_role": "viewer" },
        ]));
        let first = cast.owner.post(&to_org(&cast), &first).await.expect(201);
        let second = to(json!([{ "group_id": cast.group, "member_role": "editor" }]));
        let second = cast.root.post(&to_org(&cast), &second).await.expect(201);
        let third = invited(&cast.org_admin, &to_org(&cast), &to(json!([]))).await;
        let accepted = act(&cast.stranger, &third, "accept").await.expect(201);
        assert_eq!(accepted["invitee_role"], "viewer");
        for invite in [&first, &second] {
            assert_eq!(state(&cast.stranger, &text(&invite["id"])).await, "revoked");
        }
        let received = format!("/users/{}/invites/received?kind=group&dir=asc", cast.stranger.id);
        let page = cast.stranger.get(&format!("{received}&state=pending")).await.expect(200);
        let woken: Vec<_> =
            page["invites"].as_array().unwrap().iter().map(|invite| text(&invite["id"])).collect();
        let expected = [text(&first["group_invites"][1]["id"]), text(&second["group_invites"][0]["id"])];
        assert_eq!(woken, expected, "of two for one group the newer");
    }
}

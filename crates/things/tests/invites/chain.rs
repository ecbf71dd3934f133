//! From an address without an account to a member of groups, step by step; each step repeated.

use super::*;
use crate::{
    app::{engines, start, start_open},
    personas::{cast, members},
};

/// Posts twice under one key: the second answer is the first, and nothing happens twice.
async fn twice(client: &Client, path: &str, body: Option<&Value>) -> Reply {
    let send = || {
        let request = client.request(Method::POST, path).header("idempotency-key", "the-same");
        match body {
            Some(body) => request.json(body),
            None => request,
        }
    };
    let first = send().reply().await;
    let again = send().reply().await;
    assert_eq!((first.status, &first.text), (again.status, &again.text), "{path} is repeatable");
    assert_eq!(first.header("location"), again.header("location"));
    first
}

#[tokio::test]
async fn somebody_without_an_account_comes_in_and_answers_each_group() {
    for engine in engines() {
        let server = start(engine).await;
        let cast = cast(&server).await;
        let other = second_group(&cast).await;
        let body = json!({
            "email": "New@Example.com",
            "role": "editor",
            "group_invites": [
                { "group_id": cast.group, "member_role": "viewer" },
                { "group_id": other, "member_role": "admin" },
            ],
            "redirect_path": "/welcome",
        });
        let made = twice(&cast.owner, &to_org(&cast), Some(&body)).await;
        let invite = made.expect(201);
        let id = text(&invite["id"]);
        assert_eq!(made.header("location"), format!("/invites/{id}"));
        assert_eq!(
            members(&invite),
            [
                "created_at",
                "dormant",
                "expires_at",
                "group_invites",
                "id",
                "invitee_email",
                "invitee_role",
                "inviter_email",
                "inviter_id",
                "kind",
                "mode",
                "org_id",
                "org_name",
                "redirect_path",
                "state",
            ],
            "and no invitee yet"
        );
        assert_eq!(invite["created_at"], "2026-01-01T00:00:00.000Z");
        assert_eq!(invite["expires_at"], "2026-01-08T00:00:00.000Z");
        assert_eq!((&invite["dormant"], &invite["mode"]), (&json!(true), &json!("ask")));
        assert_eq!((&invite["kind"], &invite["state"]), (&json!("org"), &json!("pending")));
        assert_eq!(
            (&invite["invitee_role"], &invite["org_name"]),
            (&json!("editor"), &json!("An organisation"))
        );
        assert_eq!(invite["inviter_email"], cast.owner.email);
        assert_eq!(invite["group_invites"][1]["group_name"], "Another group");
        assert_eq!(members(&invite["group_invites"][0]), ["group_id", "group_name", "id", "member_role"]);

        let shown = cast.org_admin.get(&format!("/invites/{id}")).await;
        assert_eq!(shown.expect(200), invite);
        let known = cast.owner.request(Method::GET, &format!("/invites/{id}"));
        let known = known.header("if-none-match", shown.header("etag")).reply().await;
        assert_eq!((known.status, known.text.as_str()), (304, ""));
        let sleeper = text(&invite["group_invites"][0]["id"]);
        let sleeping = cast.admin.get(&format!("/invites/{sleeper}")).await.expect(200);
        assert_eq!((&sleeping["dormant"], &sleeping["kind"]), (&json!(true), &json!("group")));
        assert_eq!(sleeping["expires_at"], invite["expires_at"], "it ends with what it sleeps on");

        // The mail's link.
        let secret = server.invite_secret("new@example.com").await;
        let door = format!("/register/invite/{}", secret.expose());
        let joining = server.anonymous.get(&door).await;
        assert_eq!(joining.header("cache-control"), "no-store");
        let mut expected = invite.clone();
        expected["has_account"] = json!(false);
        assert_eq!(joining.expect(200), expected);
        for (body, field) in [
            (json!({}), "password"),
            (json!({ "email": "new@example.com" }), "password"),
            (json!({ "password": "short" }), "password"),
            (json!({ "password": ROOT_PASSWORD, "email": "else@example.com" }), "email"),
            (json!({ "password": ROOT_PASSWORD, "user": { "password": ROOT_PASSWORD } }), "user"),
            (json!({ "password": ROOT_PASSWORD, "role": "admin" }), "role"),
            (json!({ "password": ROOT_PASSWORD, "redirect_path": "//evil.example" }), "redirect_path"),
        ] {
            let refused = server.anonymous.post(&door, &body).await;
            assert!(refused.expect(400)["errors"].get(field).is_some(), "{body}: {}", refused.text);
        }
        let nested = json!({
            "user": { "email": "new@example.com", "password": ROOT_PASSWORD, "metadata": { "a": 1 } },
            "redirect_path": "/welcome",
        });
        let made = twice(&server.anonymous, &door, Some(&nested)).await;
        let account = made.expect(201);
        assert_eq!(members(&account), ["email", "id", "invites", "metadata", "status"]);
        assert_eq!(made.header("location"), format!("/users/{}", text(&account["id"])));
        assert_eq!(account["invites"], json!([id]));

        // The secret is used, and as unknown as one that never was.
        let mistyped = format!("{door}x");
        let never = format!("/register/invite/inv_{}", "0".repeat(49));
        let used = bare(server.anonymous.get(&door).await);
        assert_eq!(used.0, 404);
        for unknown in [&mistyped, &never] {
            assert_eq!(bare(server.anonymous.get(unknown).await), used);
            let register = server.anonymous.post(unknown, &json!({ "password": ROOT_PASSWORD })).await;
            assert_eq!(bare(register), used);
        }
        let again = server.anonymous.post(&door, &json!({ "password": ROOT_PASSWORD })).await;
        assert_eq!(bare(again), used);

        let new = server.log_in("new@example.com", ROOT_PASSWORD).await;
        let received = format!("/users/{}/invites/received", text(&account["id"]));
        let page = new.get(&received).await.expect(200);
        assert_eq!((&page["total"], &page["invites"][0]["id"]), (&json!(1), &json!(id)));
        assert_eq!(page["invites"][0]["dormant"], false);
        assert_eq!(page["invites"][0]["invitee_id"], account["id"]);

        // Mainflux's clients send where to go on to.
        let accept = format!("/invites/{id}/accept");
        let accepted = twice(&new, &accept, Some(&json!({ "redirect_path": "/welcome" }))).await.expect(201);
        assert_eq!((&accepted["state"], &accepted["id"]), (&json!("accepted"), &json!(id)));
        assert_eq!(role(&cast, &format!("/orgs/{}", cast.org), "new@").await.as_deref(), Some("editor"));
        assert_eq!(role(&cast, &format!("/groups/{}", cast.group), "new@").await, None, "that is asked for");
        let page = new.get(&format!("{received}?state=pending&kind=group&dir=asc")).await.expect(200);
        let groups: Vec<_> =
            page["invites"].as_array().unwrap().iter().map(|v| text(&v["group_id"])).collect();
        assert_eq!(groups, [cast.group.clone(), other.clone()]);
        let [first, second] = [0, 1].map(|n| text(&page["invites"][n]["id"]));
        assert_eq!(first, sleeper, "the invite that slept is the one that woke");

        twice(&new, &format!("/invites/{first}/accept"), None).await.expect(201);
        let declined =
            twice(&new, &format!("/invites/{second}/decline"), Some(&json!({ "redirect_path": "" }))).await;
        assert_eq!((declined.status, declined.text.as_str()), (204, ""));
        assert_eq!(role(&cast, &format!("/groups/{}", cast.group), "new@").await.as_deref(), Some("viewer"));
        assert_eq!(role(&cast, &format!("/groups/{other}"), "new@").await, None);
        assert_eq!(state(&new, &second).await, "declined");
        let journal = cast.root.get("/journal?limit=1000&action=invite.accepted").await.expect(200);
        assert_eq!(journal["total"], 3, "platform, organisation, group: each once");
    }
}

#[tokio::test]
async fn groups_are_joined_at_once_where_the_mode_says_so() {
    for engine in engines() {
        let server = start(engine).await;
        let cast = cast(&server).await;
        let body = json!({
            "email": cast.stranger.email,
            "role": "viewer",
            "mode": "join",
            "group_invites": [{ "group_id": cast.group, "member_role": "editor" }],
        });
        let invite = cast.owner.post(&to_org(&cast), &body).await.expect(201);
        assert_eq!((&invite["dormant"], &invite["invitee_id"]), (&json!(false), &json!(cast.stranger.id)));
        act(&cast.stranger, &text(&invite["id"]), "accept").await.expect(201);
        assert_eq!(
            role(&cast, &format!("/groups/{}", cast.group), "stranger@").await.as_deref(),
            Some("editor")
        );
        let sleeper = text(&invite["group_invites"][0]["id"]);
        assert_eq!(state(&cast.stranger, &sleeper).await, "accepted");
    }
}

#[tokio::test]
async fn an_account_that_people_made_for_themselves_claims_its_invite_by_the_mail() {
    for engine in engines() {
        let server = start_open(engine).await;
        let cast = cast(&server).await;
        let new = json!({ "email": "self@example.com", "password": ROOT_PASSWORD });
        server.anonymous.post("/register", &new).await.expect(201);
        let body = json!({ "email": "self@example.com", "role": "viewer" });
        let invite = cast.owner.post(&to_org(&cast), &body).await.expect(201);
        assert_eq!(invite["dormant"], true, "who has the account may not have the mailbox");
        let id = text(&invite["id"]);
        let own = server.log_in("self@example.com", ROOT_PASSWORD).await;
        assert_eq!(act(&own, &id, "accept").await.problem(404), "not-found");

        let secret = server.invite_secret("self@example.com").await;
        let door = format!("/register/invite/{}", secret.expose());
        assert_eq!(server.anonymous.get(&door).await.expect(200)["has_account"], true);
        let register = server.anonymous.post(&door, &json!({ "password": ROOT_PASSWORD })).await;
        assert_eq!(register.problem(409), "email-taken");
        let claim = |client: &Client| client.request(Method::POST, &door).reply();
        assert_eq!(claim(&server.anonymous).await.problem(400), "invalid");
        assert_eq!(claim(&server.client("ses_nonsense")).await.problem(400), "invalid");
        assert_eq!(claim(&cast.stranger).await.problem(404), "not-found");
        let token = own.post("/keys", &json!({ "name": "all", "scopes": ["read", "write"] })).await;
        let token = server.client(&text(&token.expect(201)["token"]));
        assert_eq!(claim(&token).await.problem(403), "login-required");

        let claimed = twice(&own, &door, None).await.expect(200);
        assert_eq!((&claimed["email"], &claimed["invites"]), (&json!("self@example.com"), &json!([id])));
        assert_eq!(claim(&own).await.problem(404), "not-found");
        act(&own, &id, "accept").await.expect(201);
    }
}

#[tokio::test]
async fn the_platform_invites_by_itself_too() {
    for engine in engines() {
        let server = start(engine).await;
        let cast = cast(&server).await;
        let body = json!({ "email": "late@example.com", "redirect_path": "/hello" });
        assert_eq!(cast.owner.post("/invites", &body).await.problem(403), "platform-admin-only");
        let made = cast.root.post("/invites", &body).await;
        let invite = made.expect(201);
        let id = text(&invite["id"]);
        assert_eq!(made.header("location"), format!("/invites/{id}"));
        assert_eq!(
            members(&invite),
            [
                "created_at",
                "dormant",
                "expires_at",
                "id",
                "invitee_email",
                "inviter_email",
                "inviter_id",
                "kind",
                "redirect_path",
                "state",
            ]
        );
        assert_eq!((&invite["kind"], &invite["dormant"]), (&json!("platform"), &json!(false)));
        assert_eq!(cast.root.get(&format!("/invites/{id}")).await.expect(200), invite);
        assert_eq!(cast.root.post("/invites", &body).await.problem(409), "already-invited");
        let taken = json!({ "email": cast.stranger.email });
        assert_eq!(cast.root.post("/invites", &taken).await.problem(409), "email-taken");
        assert_eq!(act(&cast.root, &id, "accept").await.problem(404), "not-found");

        let secret = server.invite_secret("late@example.com").await;
        let door = format!("/register/invite/{}", secret.expose());
        server.anonymous.get(&door).await.expect(200);
        assert_eq!(cast.root.delete(&format!("/invites/{id}")).await.status, 204);
        assert_eq!(server.anonymous.get(&door).await.problem(404), "not-found");
        assert_eq!(state(&cast.root, &id).await, "revoked");

        // Mainflux's form: to an organisation through the platform.
        let body = json!({
            "email": "late@example.com",
            "org_id": cast.org,
            "role": "viewer",
            "group_invites": [{ "group_id": cast.group, "member_role": "viewer" }],
            "redirect_path": "/hello",
        });
        let invite = cast.root.post("/invites", &body).await.expect(201);
        assert_eq!((&invite["kind"], &invite["dormant"]), (&json!("org"), &json!(true)));
        let carrying = cast.root.get("/invites?kind=platform&state=pending").await.expect(200);
        assert_eq!(carrying["invites"][0]["org_id"], cast.org);
        assert_eq!(
            cast.root.get("/invites?state=pending").await.expect(200)["total"],
            2,
            "org and its sleeper"
        );
        assert_eq!(cast.admin.post("/invites", &body).await.problem(403), "forbidden");
        assert_eq!(cast.stranger.post("/invites", &body).await.problem(404), "not-found");
        let secret = server.invite_secret("late@example.com").await;
        let door = format!("/register/invite/{}", secret.expose());
        let account = server.anonymous.post(&door, &json!({ "password": ROOT_PASSWORD })).await.expect(201);
        assert_eq!(account["invites"], json!([invite["id"]]));
    }
}

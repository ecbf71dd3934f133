//! Invitations as their invitees and others see them.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    app::{Client, Engine, ROOT_PASSWORD as PASSWORD, Reply, Running, Send, engines, start},
    page::{form, get, log_in, text},
    personas::{self, Cast, cast, person},
    visitors::comes_with_what_every_page_does,
};

const NOBODY: &str = "01890000-0000-7000-8000-000000000000";

/// Invites, and answers the invite's id.
async fn invited(inviter: &Client, path: &str, body: &Value) -> String {
    personas::text(&inviter.post(path, body).await.expect(201)["id"])
}

async fn to_org(cast: &Cast, body: Value) -> String {
    invited(&cast.owner, &format!("/orgs/{}/invites", cast.org), &body).await
}

async fn group(cast: &Cast, name: &str) -> String {
    let path = format!("/orgs/{}/groups", cast.org);
    personas::text(&cast.owner.post(&path, &json!([{ "name": name }])).await.expect(201)["groups"][0]["id"])
}

/// Presses a button on an invite's page.
async fn press(server: &Running, cookie: &str, path: &str, fields: &[(&str, &str)]) -> Reply {
    form(server, path, fields).header("cookie", cookie).reply().await
}

async fn state(cast: &Cast, id: &str) -> String {
    personas::text(&cast.root.get(&format!("/invites/{id}")).await.expect(200)["state"])
}

#[track_caller]
fn says(reply: &Reply, status: u16, all: &[&str]) {
    assert_eq!(reply.status, status, "{}", reply.text);
    let seen = text(reply);
    for words in all {
        assert!(seen.contains(words), "{words:?} is not in {seen}");
    }
}

#[tokio::test]
async fn the_invitee_sees_everything_and_joins_group_by_group() {
    for engine in engines() {
        let server = start(engine).await;
        let cast = cast(&server).await;
        let (other, third) = (group(&cast, "Pumps").await, group(&cast, "Valves").await);
        let new = person(&server, "new").await;
        let along = |group: &str, role: &str| json!({ "group_id": group, "member_role": role });
        let body = json!({
            "email": new.email,
            "role": "viewer",
            "group_invites": [along(&cast.group, "viewer"), along(&other, "editor"), along(&third, "admin")],
            "redirect_path": "/forgot",
        });
        let id = to_org(&cast, body).await;
        let path = format!("/invitations/{id}");

        // Log in first, and come back.
        let away = server.anonymous.get(&path).await;
        assert_eq!((away.status, away.header("location")), (303, format!("/login?next={path}").as_str()));
        let away = form(&server, &format!("{path}/accept"), &[]).reply().await;
        assert_eq!((away.status, away.header("location")), (303, format!("/login?next={path}").as_str()));
        let cookie = log_in(&server, &new.email, PASSWORD).await;

        // Scanners of mail follow links; that changes nothing.
        for _ in 0..3 {
            let page = get(&server, &path, &cookie).await;
            says(
                &page,
                200,
                &[
                    "You are invited to An organisation",
                    "From owner@example.com",
                    "As viewer may see it and their own groups",
                    "Open until 8 January 2026, 00:00 UTC",
                    "3 groups come along After accepting one is asked about each of them.",
                    "A group as a viewer, who may see its things and profiles",
                    "Pumps as an editor, who may create and change its things and profiles",
                    "Valves as an admin, who may create, change and delete its things and profiles",
                    "Accept Decline",
                ],
            );
            comes_with_what_every_page_does(&server, &path, &page).await;
            assert!(!page.text.contains("Continue"), "there is something to answer first");
        }
        let list = get(&server, "/invitations", &cookie).await;
        says(&list, 200, &["An organisation as a viewer, from owner@example.com", "8 January 2026"]);
        says(&get(&server, "/login", &cookie).await, 200, &["You are logged in", "See your invitation"]);
        assert_eq!(state(&cast, &id).await, "pending");

        let done = press(&server, &cookie, &format!("{path}/accept"), &[]).await;
        assert_eq!((done.status, done.header("location")), (303, path.as_str()));
        let page = get(&server, &path, &cookie).await;
        says(
            &page,
            200,
            &[
                "You joined An organisation",
                "You are there as a viewer",
                "3 groups ask you to join",
                "Pumps as an editor",
            ],
        );
        assert!(page.text.contains("href=\"http://127.0.0.1:8182/forgot\">Continue"), "{}", page.text);
        let list = get(&server, "/invitations", &cookie).await;
        says(&list, 200, &["Pumps a group of An organisation , as an editor, from owner@example.com"]);

        // Each button of the page leads back to it.
        let buttons: Vec<String> = page
            .text
            .split("action=\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .map(str::to_owned)
            .collect();
        assert_eq!(buttons.len(), 6);
        let from = [("from", id.as_str()), ("next", "/forgot")];
        for (button, notice) in
            [(&buttons[0], "group-joined"), (&buttons[2], "group-joined"), (&buttons[5], "group-declined")]
        {
            let done = press(&server, &cookie, button, &from).await;
            let back = format!("{path}?notice={notice}&next=/forgot");
            assert_eq!((done.status, done.header("location")), (303, back.as_str()), "{}", done.text);
            says(&get(&server, &back, &cookie).await, 200, &["the group."]);
        }
        let page = get(&server, &path, &cookie).await;
        says(
            &page,
            200,
            &[
                "Groups A group joined as a viewer",
                "Pumps joined as an editor",
                "Valves declined",
                "Continue",
            ],
        );
        for (group, role) in [(&cast.group, Some("viewer")), (&other, Some("editor")), (&third, None)] {
            let members = cast.root.get(&format!("/groups/{group}/memberships?email={}", new.email)).await;
            let members = members.expect(200);
            assert_eq!(members["group_memberships"][0]["role"].as_str(), role, "{group}");
        }
        says(&get(&server, "/invitations", &cookie).await, 200, &["Nothing waits for your answer."]);

        // Once more: told kindly, and back where the button was.
        for (button, from) in [(&buttons[0], Some(&from)), (&buttons[5], Some(&from)), (&buttons[1], None)] {
            let again = press(&server, &cookie, button, from.map_or(&[], |from| from.as_slice())).await;
            says(&again, 409, &["Your answer came too late: the invitation was"]);
            comes_with_what_every_page_does(&server, button, &press(&server, &cookie, button, &[]).await)
                .await;
        }
    }
}

#[tokio::test]
async fn groups_are_joined_at_once_where_that_was_said() {
    let server = start(Engine::Sqlite).await;
    let cast = cast(&server).await;
    let new = person(&server, "new").await;
    let along = json!([{ "group_id": cast.group, "member_role": "editor" }]);
    let body = json!({ "email": new.email, "role": "editor", "mode": "join", "group_invites": along });
    let id = to_org(&cast, body).await;
    let cookie = log_in(&server, &new.email, PASSWORD).await;
    let path = format!("/invitations/{id}");
    says(
        &get(&server, &path, &cookie).await,
        200,
        &["A group comes along By accepting one joins it at once.", "As editor may also make groups in it"],
    );
    press(&server, &cookie, &format!("{path}/accept"), &[]).await;
    let page = get(&server, &path, &cookie).await;
    says(&page, 200, &["You joined An organisation", "Groups A group joined as an editor"]);
    assert!(!page.text.contains("Continue"), "nowhere to go on to was said");
}

#[tokio::test]
async fn a_group_s_invite_keeps_where_it_leads_through_the_log_in() {
    let server = start(Engine::Sqlite).await;
    let cast = cast(&server).await;
    let invite = json!({ "email": cast.org_admin.email, "role": "admin" });
    let id = invited(&cast.owner, &format!("/groups/{}/invites", cast.group), &invite).await;
    let path = format!("/invitations/{id}");
    let away = server.anonymous.get(&format!("{path}?next=/welcome")).await;
    let login = format!("/login?next={path}&then=/welcome");
    assert_eq!((away.status, away.header("location")), (303, login.as_str()));
    let page = server.anonymous.get(&login).await;
    assert!(page.text.contains("name=\"then\" value=\"/welcome\""), "{}", page.text);
    let fields = [
        ("email", cast.org_admin.email.as_str()),
        ("password", PASSWORD),
        ("next", path.as_str()),
        ("then", "/welcome"),
    ];
    let back = form(&server, "/login", &fields).reply().await;
    assert_eq!(back.header("location"), format!("{path}?next=/welcome"));
    let cookie = log_in(&server, &cast.org_admin.email, PASSWORD).await;
    assert_eq!(get(&server, &login, &cookie).await.header("location"), format!("{path}?next=/welcome"));
    let page = get(&server, &format!("{path}?next=/welcome"), &cookie).await;
    says(&page, 200, &["You are invited to A group", "Group A group Organisation An organisation"]);
    assert_eq!(page.text.matches("name=\"next\" value=\"/welcome\"").count(), 2);
    let done = press(&server, &cookie, &format!("{path}/accept"), &[("next", "/welcome")]).await;
    assert_eq!(done.header("location"), format!("{path}?next=/welcome"));
    let page = get(&server, done.header("location"), &cookie).await;
    says(&page, 200, &["You joined A group You are there as an admin", "Continue"]);
    // Nobody is led elsewhere.
    for bad in ["//evil.example", "https://evil.example", "/%0d%0a", "/a?b"] {
        let away = server.anonymous.get(&format!("{path}?next={bad}")).await;
        assert_eq!(away.header("location"), format!("/login?next={path}"), "{bad}");
        let page = get(&server, &format!("{path}?next={bad}"), &cookie).await;
        assert!(!page.text.contains("Continue"), "{bad}");
        let done = press(&server, &cookie, &format!("{path}/decline"), &[("next", bad), ("from", bad)]).await;
        assert!(!done.text.contains("evil"), "{bad}: {}", done.text);
    }
}

#[tokio::test]
async fn whoever_it_is_not_for_sees_what_is_theirs_to_see() {
    for engine in engines() {
        let server = start(engine).await;
        let cast = cast(&server).await;
        let new = person(&server, "new").await;
        let id = to_org(&cast, json!({ "email": new.email, "role": "admin" })).await;
        let path = format!("/invitations/{id}");
        for admin in [&cast.owner, &cast.org_admin, &cast.root] {
            let cookie = log_in(&server, &admin.email, PASSWORD).await;
            let page = get(&server, &path, &cookie).await;
            says(
                &page,
                200,
                &["Invitation to An organisation", "For new@example.com", "State not answered yet"],
            );
            assert!(!page.text.contains("<button"), "{}", page.text);
            comes_with_what_every_page_does(&server, &path, &page).await;
        }
        // To all others it is what it would be if it were not there.
        for other in [&cast.stranger, &cast.viewer, &cast.admin] {
            let cookie = log_in(&server, &other.email, PASSWORD).await;
            let there = get(&server, &path, &cookie).await;
            says(
                &there,
                404,
                &[&format!("There is no such invitation for {}", other.email), "Log in as somebody else"],
            );
            for absent in [NOBODY, "no-such-id"] {
                let absent_page = get(&server, &format!("/invitations/{absent}"), &cookie).await;
                assert_eq!(absent_page.status, 404);
                assert_eq!(absent_page.text.replace(absent, "…"), there.text.replace(&id, "…"));
            }
            for what in ["accept", "decline"] {
                for which in [id.as_str(), NOBODY, "no-such-id"] {
                    let refused = press(&server, &cookie, &format!("/invitations/{which}/{what}"), &[]).await;
                    assert_eq!(refused.status, 404);
                    assert_eq!(refused.text.replace(which, "…"), there.text.replace(&id, "…"));
                }
            }
            says(&get(&server, "/invitations", &cookie).await, 200, &["Nothing waits for your answer."]);
        }
        // The inviter's answer counts as little as a stranger's.
        let cookie = log_in(&server, &cast.owner.email, PASSWORD).await;
        assert_eq!(press(&server, &cookie, &format!("{path}/accept"), &[]).await.status, 404);
        assert_eq!(state(&cast, &id).await, "pending");
        // Logging out leads back to it.
        let out = press(&server, &cookie, "/logout", &[("next", &path)]).await;
        assert_eq!((out.status, out.header("location")), (303, path.as_str()));
    }
}

#[tokio::test]
async fn one_that_is_over_says_what_became_of_it() {
    for engine in engines() {
        let server = start(engine).await;
        let cast = cast(&server).await;
        let new = person(&server, "new").await;
        let cookie = log_in(&server, &new.email, PASSWORD).await;
        let body = json!({ "email": new.email, "role": "viewer" });

        let declined = to_org(&cast, body.clone()).await;
        let path = format!("/invitations/{declined}");
        press(&server, &cookie, &format!("{path}/decline"), &[]).await;
        says(
            &get(&server, &path, &cookie).await,
            200,
            &["You declined", "ask owner@example.com to invite you again"],
        );

        let revoked = to_org(&cast, body.clone()).await;
        let path = format!("/invitations/{revoked}");
        assert_eq!(cast.owner.delete(&format!("/invites/{revoked}")).await.status, 204);
        says(&get(&server, &path, &cookie).await, 200, &["This invitation is over", "invite you again"]);
        let late = press(&server, &cookie, &format!("{path}/accept"), &[]).await;
        says(&late, 409, &["Your answer came too late: the invitation was taken back."]);

        // Whoever invited is nothing there any more.
        let by_admin = format!("/orgs/{}/invites", cast.org);
        let void = invited(&cast.org_admin, &by_admin, &body).await;
        let demoted = json!({ "org_memberships": [{ "member_id": cast.org_admin.id, "role": "viewer" }] });
        let demote = cast.owner.put(&format!("/orgs/{}/memberships", cast.org), &demoted).await;
        assert!(demote.status < 300, "{demote:?}");
        let path = format!("/invitations/{void}");
        let refused = press(&server, &cookie, &format!("{path}/accept"), &[]).await;
        says(&refused, 409, &["Whoever invited you may not do so any more", "This invitation is over"]);

        let expired = to_org(&cast, body.clone()).await;
        let path = format!("/invitations/{expired}");
        server.clock.advance(Duration::from_secs(7 * 24 * 3600));
        says(
            &get(&server, &path, &cookie).await,
            200,
            &["This invitation has expired", "until 8 January 2026, 00:00 UTC", "to invite you again"],
        );
        let late = press(&server, &cookie, &format!("{path}/accept"), &[]).await;
        says(&late, 409, &["Your answer came too late: the invitation was too old."]);
        says(&get(&server, "/invitations", &cookie).await, 200, &["Nothing waits for your answer."]);
    }
}

#[tokio::test]
async fn names_are_only_text() {
    let server = start(Engine::Sqlite).await;
    let cast = cast(&server).await;
    let new = person(&server, "new").await;
    let hostile = "</title><script>alert(1)</script>";
    let org = cast.owner.post("/orgs", &json!({ "name": hostile })).await.expect(201);
    let org = personas::text(&org["id"]);
    let made =
        cast.owner.post(&format!("/orgs/{org}/groups"), &json!([{ "name": "\"><img src=x> שלום" }])).await;
    let group = personas::text(&made.expect(201)["groups"][0]["id"]);
    let body = json!({
        "email": new.email,
        "role": "viewer",
        "group_invites": [{ "group_id": group, "member_role": "viewer" }],
    });
    let id = invited(&cast.owner, &format!("/orgs/{org}/invites"), &body).await;
    let cookie = log_in(&server, &new.email, PASSWORD).await;
    let pages = async || {
        for path in [format!("/invitations/{id}"), "/invitations".to_owned()] {
            let page = get(&server, &path, &cookie).await;
            assert!(!page.text.contains("<script") && !page.text.contains("<img"), "{}", page.text);
            comes_with_what_every_page_does(&server, &path, &page).await;
        }
    };
    pages().await;
    press(&server, &cookie, &format!("/invitations/{id}/accept"), &[]).await;
    pages().await;
    // What is in the path of a page is not put on it.
    let strange = get(&server, "/invitations/%3Cscript%3E%22", &cookie).await;
    assert_eq!(strange.status, 404);
    assert!(!strange.text.contains("script"), "{}", strange.text);
}

#[tokio::test]
async fn answers_come_from_our_own_pages() {
    let server = start(Engine::Sqlite).await;
    let cast = cast(&server).await;
    let new = person(&server, "new").await;
    let id = to_org(&cast, json!({ "email": new.email, "role": "viewer" })).await;
    let cookie = log_in(&server, &new.email, PASSWORD).await;
    let path = format!("/invitations/{id}");
    for what in ["accept", "decline"] {
        let action = format!("{path}/{what}");
        for (name, value) in [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")] {
            let request = server.anonymous.request(Method::POST, &action).header("cookie", &cookie);
            let request = request.header("content-type", "application/x-www-form-urlencoded");
            says(&request.header(name, value).reply().await, 403, &["Sent from another site"]);
        }
        // Neither by a link, nor with a token, nor as JSON.
        assert_eq!(get(&server, &action, &cookie).await.status, 405);
        let by_token = new.request(Method::POST, &action).reply().await;
        assert_eq!(
            (by_token.status, by_token.header("location")),
            (303, format!("/login?next={path}").as_str())
        );
        let json = server.anonymous.request(Method::POST, &action).header("cookie", &cookie);
        assert_eq!(json.json(&json!({})).reply().await.status, 415);
        let unknown = press(&server, &cookie, &action, &[("role", "owner")]).await;
        assert_eq!(unknown.status, 400);
    }
    assert_eq!(state(&cast, &id).await, "pending");
}

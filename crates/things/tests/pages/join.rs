//! Coming in by the link in a platform invite's mail.

use std::time::Duration;

use registry::{Secret, secret::Prefix};
use serde_json::{Value, json};

use crate::{
    app::{Engine, ROOT_PASSWORD as PASSWORD, Reply, Running, Send, engines, start, start_open},
    page::{cookie, form, get, log_in, text},
    personas::{self, Cast, cast, person},
    visitors::comes_with_what_every_page_does,
};

const NEW: &str = "new@example.com";

async fn to_org(cast: &Cast, email: &str) -> String {
    let body = json!({
        "email": email,
        "role": "viewer",
        "group_invites": [{ "group_id": cast.group, "member_role": "editor" }],
    });
    let made = cast.owner.post(&format!("/orgs/{}/invites", cast.org), &body).await;
    personas::text(&made.expect(201)["id"])
}

async fn link(server: &Running, email: &str) -> String {
    format!("/join/{}", server.invite_secret(email).await.expose())
}

#[track_caller]
fn says(reply: &Reply, status: u16, all: &[&str]) {
    assert_eq!(reply.status, status, "{}", reply.text);
    let seen = text(reply);
    for words in all {
        assert!(seen.contains(words), "{words:?} is not in {seen}");
    }
}

const OVER: &str = "This invitation is not open (any more)";

#[tokio::test]
async fn somebody_without_an_account_makes_one() {
    for engine in engines() {
        let server = start(engine).await;
        let cast = cast(&server).await;
        let id = to_org(&cast, NEW).await;
        let link = link(&server, NEW).await;
        // Scanners of mail follow links; that changes nothing.
        for _ in 0..3 {
            let page = get(&server, &link, "").await;
            says(
                &page,
                200,
                &[
                    "You are invited to An organisation",
                    "From owner@example.com",
                    "A group comes along",
                    "Make your account Then you say whether you accept.",
                    "12 characters or more",
                    "Decline",
                ],
            );
            assert!(
                page.text.contains("value=\"new@example.com\" autocomplete=\"username\""),
                "{}",
                page.text
            );
            assert!(page.text.contains(" readonly"), "{}", page.text);
            comes_with_what_every_page_does(&server, "GET /join/{secret}", &page).await;
        }
        for (fields, told) in [
            (&[][..], "This is required."),
            (&[("password", "short")], "This must be at least 12 characters long."),
            (&[("email", NEW), ("password", "aaaaaaaaaaaa")], "must not repeat"),
            (
                &[("email", "else@example.com"), ("password", PASSWORD)],
                "This is not the address that was invited.",
            ),
        ] {
            let refused = form(&server, &link, fields).reply().await;
            says(&refused, 400, &[told, "Make your account"]);
            assert_eq!(refused.header("set-cookie"), "");
        }
        let elsewhere =
            form(&server, &link, &[("password", PASSWORD)]).header("sec-fetch-site", "cross-site");
        assert_eq!(elsewhere.reply().await.status, 403);

        let made = form(&server, &link, &[("email", NEW), ("password", PASSWORD)]).reply().await;
        assert_eq!((made.status, made.header("location")), (303, format!("/invitations/{id}").as_str()));
        let (cookie, attributes) = cookie(&made);
        assert_eq!(attributes, ["Path=/", "Max-Age=1209600", "HttpOnly", "SameSite=Lax"]);
        says(
            &get(&server, made.header("location"), &cookie).await,
            200,
            &["You are invited to An organisation", "Accept Decline"],
        );
        server.log_in(NEW, PASSWORD).await;

        // The link is used up, for everybody and everything.
        for used in [get(&server, &link, "").await, get(&server, &link, &cookie).await] {
            says(&used, 404, &[OVER]);
        }
        for action in [link.clone(), format!("{link}/decline")] {
            says(&form(&server, &action, &[]).reply().await, 404, &[OVER]);
            says(&form(&server, &action, &[]).header("cookie", &cookie).reply().await, 404, &[OVER]);
        }
    }
}

#[tokio::test]
async fn what_is_not_open_looks_the_same_whatever_came_of_it() {
    let server = start(Engine::Sqlite).await;
    let cast = cast(&server).await;
    let unknown = format!("/join/{}", Secret::generate(Prefix::Invite).unwrap().expose());
    let page = get(&server, &unknown, "").await;
    says(&page, 404, &[OVER]);
    comes_with_what_every_page_does(&server, "GET /join/{secret}", &page).await;
    let same = async |path: &str| {
        assert_eq!(get(&server, path, "").await.text, page.text, "{path}");
        for (action, fields) in
            [(path.to_owned(), &[("password", PASSWORD)][..]), (format!("{path}/decline"), &[])]
        {
            let refused = form(&server, &action, fields).reply().await;
            assert_eq!((refused.status, &refused.text), (404, &page.text), "{action}");
        }
    };
    same("/join/x").await;
    same("/join/%3Cscript%3E").await;
    same(&unknown).await;

    let id = to_org(&cast, NEW).await;
    let revoked = link(&server, NEW).await;
    assert_eq!(cast.owner.delete(&format!("/invites/{id}")).await.status, 204);
    same(&revoked).await;

    to_org(&cast, NEW).await;
    let declined = link(&server, NEW).await;
    let no = form(&server, &format!("{declined}/decline"), &[]).reply().await;
    assert_eq!((no.status, no.header("location")), (303, "/?notice=declined"));
    says(&get(&server, "/?notice=declined", "").await, 200, &["You declined the invitation."]);
    same(&declined).await;

    to_org(&cast, NEW).await;
    let expired = link(&server, NEW).await;
    server.clock.advance(Duration::from_secs(7 * 24 * 3600));
    same(&expired).await;
}

#[tokio::test]
async fn to_the_platform_alone_one_goes_on_to_what_waits() {
    let server = start(Engine::Sqlite).await;
    let root = server.root().await;
    let body = json!({ "email": NEW, "redirect_path": "/welcome" });
    root.post("/invites", &body).await.expect(201);
    let link = link(&server, NEW).await;
    says(
        &get(&server, &link, "").await,
        200,
        &["You are invited to Things", "From root@example.com", "That is all there is to accept."],
    );
    let made = form(&server, &link, &[("password", PASSWORD)]).reply().await;
    assert_eq!((made.status, made.header("location")), (303, "/invitations?next=/welcome"));
    let page = get(&server, made.header("location"), &cookie(&made).0).await;
    says(&page, 200, &["Nothing waits for your answer.", "Continue"]);
    assert!(page.text.contains("href=\"http://127.0.0.1:8182/welcome\""), "{}", page.text);
}

#[tokio::test]
async fn whoever_has_an_account_shows_that_the_address_is_theirs() {
    for engine in engines() {
        let server = start_open(engine).await;
        let cast = cast(&server).await;
        let account = json!({ "user": { "email": NEW, "password": PASSWORD } });
        server.anonymous.post("/register", &account).await.expect(201);
        let id = to_org(&cast, NEW).await;
        let link = link(&server, NEW).await;

        let page = get(&server, &link, "").await;
        says(&page, 200, &["You are invited to An organisation", "Log in to go on", NEW]);
        assert!(page.text.contains(&format!("href=\"/login?next={link}\"")), "{}", page.text);
        assert!(!page.text.contains("type=\"password\""), "{}", page.text);
        comes_with_what_every_page_does(&server, "GET /join/{secret}", &page).await;
        // An account is not made twice, whatever is sent.
        let taken = form(&server, &link, &[("password", PASSWORD)]).reply().await;
        says(&taken, 409, &["Log in to go on"]);

        // Somebody else who has the link.
        let stranger = log_in(&server, &cast.stranger.email, PASSWORD).await;
        let other = get(&server, &link, &stranger).await;
        says(&other, 200, &["This is for somebody else", "stranger@example.com", "Log out and go on"]);
        comes_with_what_every_page_does(&server, "GET /join/{secret}", &other).await;
        let refused = form(&server, &link, &[]).header("cookie", &stranger).reply().await;
        says(&refused, 403, &["This is for somebody else"]);
        let out = form(&server, "/logout", &[("next", &link)]).header("cookie", &stranger).reply().await;
        assert_eq!((out.status, out.header("location")), (303, link.as_str()));

        let fields = [("email", NEW), ("password", PASSWORD), ("next", link.as_str())];
        let back = form(&server, "/login", &fields).reply().await;
        assert_eq!(back.header("location"), link);
        let cookie = cookie(&back).0;
        assert_eq!(get(&server, &format!("/invitations/{id}"), &cookie).await.status, 404, "not proved yet");
        let page = get(&server, &link, &cookie).await;
        says(&page, 200, &["You are logged in as new@example.com , the address that was invited.", "Go on"]);
        let claimed = form(&server, &link, &[]).header("cookie", &cookie).reply().await;
        assert_eq!(
            (claimed.status, claimed.header("location")),
            (303, format!("/invitations/{id}").as_str())
        );
        says(&get(&server, claimed.header("location"), &cookie).await, 200, &["Accept Decline"]);
        says(&get(&server, &link, &cookie).await, 404, &[OVER]);
    }
}

#[tokio::test]
async fn only_logging_in_waits_after_too_many_attempts() {
    let server = start(Engine::Sqlite).await;
    let cast = cast(&server).await;
    let id = to_org(&cast, NEW).await;
    let link = link(&server, NEW).await;
    for _ in 0..10 {
        let wrong = [("email", NEW), ("password", "not the right password")];
        assert_eq!(form(&server, "/login", &wrong).reply().await.status, 403);
    }
    let made = form(&server, &link, &[("password", PASSWORD)]).reply().await;
    let on = format!("/login?next=/invitations/{id}");
    assert_eq!((made.status, made.header("location"), made.header("set-cookie")), (303, on.as_str(), ""));
    server.clock.advance(Duration::from_secs(1));
    log_in(&server, NEW, PASSWORD).await;
}

#[tokio::test]
async fn declining_takes_along_what_slept_on_it() {
    let server = start(Engine::Sqlite).await;
    let cast = cast(&server).await;
    let id = to_org(&cast, NEW).await;
    let link = link(&server, NEW).await;
    // Logged in or not: the link is enough.
    let other = person(&server, "other").await;
    let cookie = log_in(&server, &other.email, PASSWORD).await;
    let no = form(&server, &format!("{link}/decline"), &[]).header("cookie", &cookie).reply().await;
    assert_eq!(no.status, 303);
    let invites = cast.root.get("/invites?limit=1000").await.expect(200);
    let states: Vec<&Value> = invites["invites"].as_array().unwrap().iter().map(|i| &i["state"]).collect();
    assert!(!states.is_empty() && states.iter().all(|state| *state == "declined"), "{invites}");
    assert_eq!(cast.root.get(&format!("/invites/{id}")).await.expect(200)["state"], "declined");
}

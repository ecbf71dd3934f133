//! From a mail's link to a member of groups, as a person does it.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::{
    NEW, PASSWORD,
    app::{Client, Engine, Running, start},
    log_in,
    personas::text,
    webdriver::{Browser, Scripts, is_there},
};

const BEA: &str = "bea@example.com";

/// An organisation and groups in it.
struct Place {
    owner: Client,
    org: String,
    groups: Vec<String>,
}

impl Place {
    async fn new(server: &Running, owner: &str, name: &str, groups: &[&str]) -> Self {
        let owner = server.person(owner).await;
        let org = text(&owner.post("/orgs", &json!({ "name": name })).await.expect(201)["id"]);
        let new: Vec<Value> = groups.iter().map(|name| json!({ "name": name })).collect();
        let made = owner.post(&format!("/orgs/{org}/groups"), &json!(new)).await.expect(201);
        let groups = made["groups"].as_array().unwrap().iter().map(|group| text(&group["id"])).collect();
        Self { owner, org, groups }
    }

    /// Invites to the organisation and all groups.
    async fn invite(&self, email: &str, mode: &str, next: Option<&str>) -> String {
        let roles = ["viewer", "editor", "admin"].iter().cycle();
        let groups: Vec<Value> = self
            .groups
            .iter()
            .zip(roles)
            .map(|(group, role)| json!({ "group_id": group, "member_role": role }))
            .collect();
        let body = json!({
            "email": email, "role": "viewer", "mode": mode, "group_invites": groups, "redirect_path": next,
        });
        text(&self.owner.post(&format!("/orgs/{}/invites", self.org), &body).await.expect(201)["id"])
    }

    /// What somebody is in each group.
    async fn roles(&self, email: &str) -> Vec<Option<String>> {
        let mut roles = Vec::new();
        for group in &self.groups {
            let path = format!("/groups/{group}/memberships?email={email}");
            let members = self.owner.get(&path).await.expect(200);
            roles.push(members["group_memberships"][0]["role"].as_str().map(str::to_owned));
        }
        roles
    }
}

#[tokio::test]
async fn a_link_leads_from_no_account_into_groups_without_scripts() {
    if !is_there() {
        return;
    }
    let server = start(Engine::Sqlite).await;
    let site = format!("http://{}", server.address);
    let place = Place::new(&server, "owner@example.com", "Water works", &["Pumps", "Valves", "Meters"]).await;
    place.invite(BEA, "ask", Some("/welcome")).await;
    let secret = server.invite_secret(BEA).await.expose().to_owned();

    let browser = Browser::start(Scripts::Off).await;
    browser.open(&format!("{site}/join/{secret}")).await;
    browser.see("You are invited to Water works").await;
    assert_eq!(browser.value("#email").await, BEA);
    browser.fill("#password", "short").await;
    browser.click("form:not(.second) button").await;
    let told = browser.text("#password-wrong").await;
    assert_eq!(told, "This must be at least 12 characters long.");
    browser.fill("#password", NEW).await;
    browser.click("form:not(.second) button").await;

    browser.see("You are invited to Water works").await;
    assert!(browser.url().await.starts_with(&format!("{site}/invitations/")));
    assert_eq!(browser.count(".list li").await, 3);
    browser.click("form[action$='/accept'] button").await;

    browser.see("You joined Water works").await;
    assert_eq!(browser.count(".asked li").await, 3);
    assert_eq!(browser.text("a.button").await, "Continue");
    browser.click(".asked li:nth-child(1) form[action$='/accept'] button").await;
    assert_eq!(browser.text("[role=status]").await, "You joined the group.");
    assert_eq!(browser.count(".asked li").await, 2);
    browser.click(".asked li:nth-child(1) form[action$='/decline'] button").await;
    assert_eq!(browser.text("[role=status]").await, "You declined the group.");
    browser.click(".asked li:nth-child(1) form[action$='/accept'] button").await;
    browser.see("You joined Water works").await;
    assert_eq!(browser.count(".asked li").await, 0);
    assert_eq!(browser.count(".list li").await, 3);
    let link = "a.button:not(.quiet)[href='http://127.0.0.1:8182/welcome']";
    assert_eq!(browser.text(link).await, "Continue");

    let roles = place.roles(BEA).await;
    assert_eq!(roles, [Some("viewer".to_owned()), None, Some("admin".to_owned())]);
    let bea = server.log_in(BEA, NEW).await;
    bea.get(&format!("/orgs/{}", place.org)).await.expect(200);

    browser.click("a[href='/invitations']").await;
    browser.see("Your invitations").await;
    browser.open(&format!("{site}/join/{secret}")).await;
    browser.see("This invitation is not open (any more)").await;
}

#[tokio::test]
async fn hostile_names_do_nothing() {
    if !is_there() {
        return;
    }
    let server = start(Engine::Sqlite).await;
    let site = format!("http://{}", server.address);
    let names = ["\"><script>alert(1)</script>", "<img src=x onerror=alert(1)>", "{{7*7}} שלום ≠ مرحبا"];
    let place = Place::new(&server, "o'neil@example.com", names[0], &names[1..]).await;
    let invite = place.invite(BEA, "ask", None).await;
    let secret = server.invite_secret(BEA).await.expose().to_owned();
    let browser = Browser::start(Scripts::On).await;
    browser.open(&format!("{site}/join/{secret}")).await;
    let heading = format!("You are invited to {}", names[0]);
    browser.see(&heading).await;
    assert_eq!(browser.text(".list li:nth-child(2) b").await, names[2]);
    browser.fill("#password", NEW).await;
    browser.click("form:not(.second) button").await;
    browser.text("form[action$='/accept'] button").await;
    for path in ["invitations", &format!("invitations/{invite}")] {
        browser.open(&format!("{site}/{path}")).await;
        assert!(!browser.has_dialog().await, "{path}");
        assert_eq!(browser.count("script, img, main svg").await, 0, "{path}");
    }
    browser.see(&heading).await;
    browser.click("form[action$='/accept'] button").await;
    browser.see(&format!("You joined {}", names[0])).await;
    assert!(!browser.has_dialog().await);
    assert_eq!(browser.text(".asked li:nth-child(1) b").await, names[1]);
}

/// Every page about invitations. With new people each time, because invitations are answered once.
pub(crate) async fn tour(server: &Running, browser: &Browser, look: &mut impl AsyncFnMut(&str)) {
    static TURN: AtomicUsize = AtomicUsize::new(0);
    let turn = TURN.fetch_add(1, Ordering::Relaxed);
    let site = format!("http://{}", server.address);
    let (guest, other) = (format!("bea{turn}@example.com"), format!("carl{turn}@example.com"));
    let groups = ["Pumps", "Valves north of the river", "Meters"];
    let owner = format!("olivia{turn}@waterworks.example");
    let works = Place::new(server, &owner, "Amsterdam Water Works", &groups).await;
    let lab = Place::new(server, &format!("lab{turn}@example.com"), "Laboratory", &["Cold room"]).await;

    let invite = works.invite(&guest, "ask", Some("/welcome")).await;
    let secret = server.invite_secret(&guest).await.expose().to_owned();
    browser.open(&format!("{site}/join/{secret}")).await;
    browser.see("You are invited to Amsterdam Water Works").await;
    look("join").await;
    browser.fill("#password", "short").await;
    browser.click("form:not(.second) button").await;
    browser.text("#password-wrong").await;
    look("join-wrong").await;
    browser.fill("#password", NEW).await;
    browser.click("form:not(.second) button").await;
    browser.text("form[action$='/accept'] button").await;
    look("invitation").await;

    let second = lab.invite(&guest, "join", None).await;
    browser.open(&format!("{site}/invitations/{second}")).await;
    browser.see("You are invited to Laboratory").await;
    look("invitation-at-once").await;
    browser.open(&format!("{site}/invitations")).await;
    browser.see("Your invitations").await;
    look("invitations").await;
    browser.open(&format!("{site}/login")).await;
    browser.see("You are logged in").await;
    look("logged-in-invited").await;

    let path = format!("{site}/invitations/{invite}");
    browser.open(&path).await;
    browser.click("form[action$='/accept'] button").await;
    browser.see("You joined Amsterdam Water Works").await;
    look("invitation-groups").await;
    browser.click(".asked li:nth-child(1) form[action$='/accept'] button").await;
    browser.text("[role=status]").await;
    browser.click(".asked li:nth-child(1) form[action$='/decline'] button").await;
    browser.text(".asked li:only-child").await;
    look("invitation-groups-answered").await;
    browser.click(".asked form[action$='/accept'] button").await;
    browser.text("a.button:not(.quiet)").await;
    look("invitation-done").await;

    browser.open(&format!("{site}/invitations/{second}")).await;
    browser.click("form[action$='/decline'] button").await;
    browser.see("You declined").await;
    look("invitation-declined").await;
    browser.open(&format!("{site}/invitations")).await;
    browser.see("Your invitations").await;
    look("invitations-none").await;
    browser.open(&format!("{site}/invitations/01890000-0000-7000-8000-000000000000")).await;
    browser.see(&format!("There is no such invitation for {guest}")).await;
    look("invitation-unknown").await;

    let third = works.invite(&other, "ask", None).await;
    let secret = server.invite_secret(&other).await.expose().to_owned();
    browser.open(&format!("{site}/join/{secret}")).await;
    browser.text(".second button").await;
    look("join-other").await;
    browser.open(&format!("{site}/join/x")).await;
    browser.see("This invitation is not open (any more)").await;
    look("join-over").await;
    browser.open(&format!("{site}/login")).await;
    browser.click("button").await;
    browser.see("Log in").await;

    browser.open(&format!("{site}/invitations/{third}")).await;
    browser.see("Log in").await;
    log_in(browser, &owner, PASSWORD).await;
    browser.see("Invitation to Amsterdam Water Works").await;
    look("invitation-sent").await;
    browser.open(&format!("{site}/login")).await;
    browser.click("button").await;
    browser.see("Log in").await;
}

//! How somebody without an account comes in, whole: invited over HTTP, written to through a mail server, led
//! by the links in its mails. Once with a mail server that is well, and once with each trouble that it can
//! be in when the invite is made.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "also outside of the functions marked as tests"
)]

#[path = "support/app.rs"]
mod app;
#[path = "support/page.rs"]
mod page;
#[path = "support/personas.rs"]
mod personas;
#[path = "support/smtp.rs"]
mod smtp;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use app::{Client, Engine, ROOT_PASSWORD as PASSWORD, Reply, Running, Send, engines, start_mailing};
use page::{cookie, form, get};
use personas::{Person, person, text};
use reqwest::Method;
use serde_json::{Value, json};
use smtp::{Guard, Mode, Received, Sink};
use things::mail::Encryption;

const SITE: &str = "https://things.example.com";
const NEW: &str = "new@example.com";
/// An organisation's name that would like to be a header, and markup.
const ORG: &str = "Süd <b>&\"=?utf-8?q?=0D=0A?= Bcc: eve@example.com";
/// No role.
const NONE: &str = "none";
/// The groups, and as what one is invited to each.
const GROUPS: [(&str, &str); 3] = [("Pumps", "viewer"), ("Valves", "editor"), ("Fans", "admin")];

/// A server that sends mail, and an owner who is about to invite.
struct Story {
    server: Running,
    sink: Sink,
    owner: Person,
    org: String,
    groups: Vec<String>,
}

#[tokio::test]
async fn who_is_invited_by_mail_becomes_a_member_of_what_they_accept() {
    for engine in engines() {
        let story = Story::begin(engine).await;
        let invite = story.invite().await;
        let mail = story.sink.wait_for_mail_to(NEW).await;
        story.follow(&invite, &mail).await;
    }
}

#[tokio::test]
async fn a_mail_server_in_trouble_holds_up_nobody_and_loses_nothing() {
    for engine in engines() {
        for trouble in [Mode::Down, Mode::Hanging, Mode::Refusing(451), Mode::Refusing(550)] {
            let story = Story::begin(engine).await;
            let (server, sink) = (&story.server, &story.sink);
            sink.set(trouble);
            // Answered, and the invite is there,
            let invite = story.invite().await;
            let shown = story.owner.get(&format!("/invites/{}", text(&invite["id"]))).await;
            assert_eq!(shown.expect(200), invite);
            // while the mail has not got anywhere: with a server that hangs, the attempt still waits for
            // its first word.
            if trouble == Mode::Hanging {
                sink.holds_somebody().await;
            } else {
                server.mail_status(|status| status.last_error.is_some()).await;
            }
            let status = server.registry.mail_status().await.unwrap();
            assert_eq!((status.waiting, status.given_up), (1, 0), "{trouble:?}");
            assert_eq!(status.last_error.is_none(), trouble == Mode::Hanging, "{status:?}");
            assert!(sink.mails().is_empty(), "{trouble:?}");

            sink.recover().await;
            server.mail_status(|status| status.last_error.is_some()).await;
            // When it is tried again: a minute later, or up to a quarter more.
            server.clock.advance(Duration::from_secs(75));
            let mail = sink.wait_for_mail_to(NEW).await;
            story.follow(&invite, &mail).await;
        }
    }
}

impl Story {
    async fn begin(engine: Engine) -> Self {
        let sink = Sink::start(Guard::Plain).await;
        let server = start_mailing(engine, &sink.setup(Encryption::None)).await;
        let owner = person(&server, "owner").await;
        let org = text(&owner.post("/orgs", &json!({ "name": ORG })).await.expect(201)["id"]);
        let mut groups = Vec::new();
        for (name, _) in GROUPS {
            let made = owner.post(&format!("/orgs/{org}/groups"), &json!([{ "name": name }])).await;
            groups.push(text(&made.expect(201)["groups"][0]["id"]));
        }
        Self { server, sink, owner, org, groups }
    }

    /// The owner invites an address that nobody has an account of.
    async fn invite(&self) -> Value {
        let groups: Vec<Value> = self
            .groups
            .iter()
            .zip(GROUPS)
            .map(|(group, (_, role))| json!({ "group_id": group, "member_role": role }))
            .collect();
        let body = json!({
            "email": NEW, "role": "viewer", "group_invites": groups, "redirect_path": "/welcome",
        });
        self.owner.post(&format!("/orgs/{}/invites", self.org), &body).await.expect(201)
    }

    /// From the first mail to the last answer.
    async fn follow(&self, invite: &Value, mail: &Received) {
        let id = text(&invite["id"]);
        self.invites_to_the_organisation(mail);
        let door = format!("/join/{}", mail.secret());
        assert_eq!(path(mail), format!("{door}?next=/welcome"));
        let cookie = self.joins(&door, &id).await;

        // Whoever makes an account and stops there has a mail to go on from.
        let mails = self.sink.wait_for(2).await;
        self.invites_to_the_organisation(&mails[1]);
        let offer = format!("/invitations/{id}");
        assert_eq!(path(&mails[1]), format!("{offer}?next=/welcome"));
        let page = self.looks_at(path(&mails[1]), &cookie).await;
        assert!(page::text(&page).contains("3 groups come along"), "{}", page.text);
        assert_eq!(self.roles().await, [NONE; 4]);
        self.presses(&cookie, &format!("{offer}/accept")).await;
        assert_eq!(self.roles().await, ["viewer", NONE, NONE, NONE]);

        let mails = self.sink.wait_for(2 + GROUPS.len()).await;
        let asked = self.groups_that_ask(&mails[2..], &cookie).await;
        let [pumps, valves, fans] = GROUPS.map(|(name, _)| &asked[name]);
        self.presses(&cookie, &format!("/invitations/{pumps}/accept")).await;
        self.presses(&cookie, &format!("/invitations/{valves}/decline")).await;
        let program = self.server.log_in(NEW, PASSWORD).await;
        let accepted = program.request(Method::POST, &format!("/invites/{fans}/accept")).reply().await;
        assert_eq!(accepted.expect(201)["state"], "accepted");
        assert_eq!(self.roles().await, ["viewer", "viewer", NONE, "admin"]);

        self.is_in_the_journal(&id, [pumps, valves, fans]).await;
        self.each_mail_came_once().await;
    }

    /// Makes the account by the page that the mail's link leads to; what the browser then sends.
    async fn joins(&self, link: &str, invite: &str) -> String {
        // Scanners follow links, too.
        for _ in 0..2 {
            let page = self.looks_at(link, "").await;
            let told = page::text(&page);
            assert!(told.contains("From owner@example.com") && told.contains("Make your account"), "{told}");
        }
        let made = form(&self.server, link, &[("email", NEW), ("password", PASSWORD)]).reply().await;
        assert_eq!((made.status, made.header("location")), (303, format!("/invitations/{invite}").as_str()));
        assert_eq!(get(&self.server, link, "").await.status, 404, "it works once");
        cookie(&made).0
    }

    fn invites_to_the_organisation(&self, mail: &Received) {
        // What begins a word in an encoded header is written apart.
        self.is_sound(mail, &format!("owner@example.com invites you to {}", ORG.replace("=?", "= ?")));
        for (name, role) in GROUPS {
            let told = format!("{name}, as {role}");
            assert!(mail.text.contains(&told), "{told}: {}", mail.text);
        }
    }

    /// The mails about the groups that came along: the invite of each, by the group's name.
    async fn groups_that_ask(&self, mails: &[Received], cookie: &str) -> BTreeMap<&'static str, String> {
        let mut asked = BTreeMap::new();
        for mail in mails {
            let ends = |(name, _): &(&str, &str)| mail.header("subject").ends_with(name);
            let (name, role) = GROUPS.into_iter().find(ends).unwrap();
            self.is_sound(mail, &format!("owner@example.com invites you to {name}"));
            assert!(mail.text.contains(&format!("the group “{name}” of")), "{}", mail.text);
            assert!(mail.text.contains(&format!(", as {role}")), "{}", mail.text);
            let page = self.looks_at(path(mail), cookie).await;
            assert!(page::text(&page).contains(&format!("You are invited to {name}")), "{}", page.text);
            asked.insert(name, path(mail).strip_prefix("/invitations/").unwrap().to_owned());
        }
        assert_eq!(asked.len(), GROUPS.len());
        asked
    }

    /// The mail is to one person, in two parts that lead to one place, and is nothing that a name made of it.
    fn is_sound(&self, mail: &Received, subject: &str) {
        assert_eq!(
            (mail.from.as_str(), mail.to.as_slice()),
            ("things@example.com", [NEW.to_owned()].as_slice())
        );
        let names: BTreeSet<&str> = mail.headers.iter().map(|(name, _)| name.as_str()).collect();
        let expected =
            ["auto-submitted", "content-type", "date", "from", "message-id", "mime-version", "subject", "to"];
        assert_eq!(names, BTreeSet::from(expected));
        assert_eq!(mail.headers.len(), expected.len(), "each once: {:?}", mail.headers);
        assert_eq!(mail.header("from"), "Thïngs <things@example.com>");
        assert_eq!(mail.header("to"), NEW);
        assert_eq!(mail.header("subject"), subject);
        assert_eq!(mail.header("mime-version"), "1.0");
        assert!(mail.header("content-type").starts_with("multipart/alternative;"));
        let id = mail.header("message-id");
        let uuid = id.strip_prefix('<').and_then(|id| id.strip_suffix("@example.com>"));
        assert!(uuid.is_some_and(|uuid| uuid.parse::<uuid::Uuid>().is_ok()), "{id}");
        // Of when it was written, which in this story is the first minutes of the year.
        assert!(mail.header("date").starts_with("Thu, 01 Jan 2026 00:0"), "{}", mail.header("date"));
        for part in [&mail.text, &mail.html] {
            assert!(part.contains("owner@example.com") && part.contains("Süd"), "{part}");
        }
        assert!(mail.text.contains(ORG), "{}", mail.text);
        assert!(!mail.html.contains("<b>&"), "{}", mail.html);
        assert_eq!(mail.html_links(), BTreeSet::from([mail.link().to_owned()]));
    }

    /// Follows a link, which changes nothing.
    async fn looks_at(&self, path: &str, cookie: &str) -> Reply {
        let before = self.everything().await;
        let page = get(&self.server, path, cookie).await;
        assert_eq!(page.status, 200, "{path}: {}", page.text);
        assert_eq!(self.everything().await, before, "{path}");
        page
    }

    async fn presses(&self, cookie: &str, path: &str) {
        let done = form(&self.server, path, &[]).header("cookie", cookie).reply().await;
        assert_eq!(done.status, 303, "{path}: {}", done.text);
        assert!(done.header("location").starts_with("/invitations/"), "{path}: {}", done.header("location"));
    }

    /// The roles that they have in the organisation, and in each group.
    async fn roles(&self) -> Vec<String> {
        let org = (format!("/orgs/{}", self.org), "org_memberships");
        let groups = self.groups.iter().map(|group| (format!("/groups/{group}"), "group_memberships"));
        let mut roles = Vec::new();
        for (place, list) in [org].into_iter().chain(groups) {
            let page = self.owner.get(&format!("{place}/memberships?email={NEW}")).await.expect(200);
            roles.push(page[list][0]["role"].as_str().unwrap_or(NONE).to_owned());
        }
        roles
    }

    /// All invites as they stand, and all that has happened.
    async fn everything(&self) -> [Value; 2] {
        let root = self.server.root().await;
        [root.get("/invites?limit=1000").await.expect(200), self.journal(&root).await]
    }

    async fn journal(&self, root: &Client) -> Value {
        let mut journal = root.get("/journal?limit=1000&dir=asc").await.expect(200);
        // The look at it is a log-in of its own.
        journal["entries"].as_array_mut().unwrap().retain(|entry| entry["subject"]["kind"] != "session");
        journal["entries"].take()
    }

    /// Each step is an entry: what became of the invites, and of whom they brought in.
    async fn is_in_the_journal(&self, org: &str, groups: [&String; 3]) {
        let journal = self.journal(&self.server.root().await).await;
        let place = |entry: &Value| {
            let id = entry["subject"]["id"].as_str().unwrap();
            let at = groups.into_iter().position(|group| group == id).map(|at| GROUPS[at].0);
            match (entry["subject"]["kind"].as_str(), at) {
                (Some("invite"), Some(group)) => group.to_owned(),
                (Some("invite"), None) if id == org => "organisation".to_owned(),
                (Some("invite"), None) => "account".to_owned(),
                _ => entry["changes"]["role"]["after"].as_str().unwrap_or("themselves").to_owned(),
            }
        };
        let steps =
            journal.as_array().unwrap().iter().map(|e| format!("{} {}", text(&e["action"]), place(e)));
        let steps: Vec<String> = steps.skip_while(|step| !step.starts_with("invite.")).collect();
        assert_eq!(
            steps,
            [
                "invite.created organisation",
                "invite.created Pumps",
                "invite.created Valves",
                "invite.created Fans",
                "user.created themselves",
                "invite.accepted account",
                "invite.woken organisation",
                "invite.accepted organisation",
                "member.added viewer",
                "invite.woken Pumps",
                "invite.woken Valves",
                "invite.woken Fans",
                "invite.accepted Pumps",
                "member.added viewer",
                "invite.declined Valves",
                "invite.accepted Fans",
                "member.added admin",
            ]
        );
    }

    /// Nothing is sent again later: what is written last comes, and is the last.
    async fn each_mail_came_once(&self) {
        let (server, sink) = (&self.server, &self.sink);
        server.mail_status(|status| status.waiting == 0).await;
        server.clock.advance(Duration::from_secs(24 * 3600));
        server.anonymous.post("/password/reset-request", &json!({ "email": NEW })).await.expect(202);
        let all = 3 + GROUPS.len();
        sink.wait_for(all).await;
        server.mail_status(|status| status.waiting == 0).await;
        let mails = sink.mails();
        let ids: BTreeSet<&str> = mails.iter().map(|mail| mail.header("message-id")).collect();
        assert_eq!((mails.len(), ids.len()), (all, all), "{mails:?}");
        assert!(path(&mails[all - 1]).starts_with("/reset/"), "{mails:?}");
    }
}

/// Where the mail leads, here.
fn path(mail: &Received) -> &str {
    mail.link().strip_prefix(SITE).unwrap_or_else(|| panic!("{} leads away", mail.link()))
}

//! The same few thousand requests to both engines, sensible and otherwise, get the same answers.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "also outside of the functions marked as tests"
)]

#[path = "support/app.rs"]
mod app;
#[path = "support/pair.rs"]
mod pair;

use std::{collections::BTreeMap, time::Duration};

use app::{ROOT_PASSWORD, Reply};
use pair::{Body, ORG, Pair, encoded};
use reqwest::Method;
use serde_json::{Value, json};

const REQUESTS: usize = 5_000;
const PEOPLE: usize = 12;

/// A small generator: the same numbers every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % most as u64).unwrap()
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }

    fn one_in(&mut self, most: usize) -> bool {
        self.below(most) == 0
    }

    /// An id of a kind: few enough to meet again, with one that never exists and one that is none.
    fn id(&mut self, kind: char) -> String {
        match self.below(30) {
            0 => "01900000-0000-7000-8000-00000000dead".into(),
            1 => "not-an-id".into(),
            n => format!("01900000-0000-7000-8000-00000{}{:04x}", u32::from(kind), n % 12),
        }
    }

    fn org(&mut self) -> String {
        if self.one_in(4) { self.id('o') } else { ORG.into() }
    }

    fn name(&mut self) -> String {
        let word = self.pick(&[
            "pump",
            "Pump",
            "valve",
            "Ventil ü",
            "sensor",
            "100%",
            "a_b",
            "a\\b",
            "",
            " x ",
            "日本",
            "x\u{202e}y",
        ]);
        if self.one_in(2) { word.into() } else { format!("{word} {}", self.below(40)) }
    }

    fn metadata(&mut self) -> Value {
        match self.below(9) {
            0 => json!({}),
            1 => json!({ "floor": self.below(4) }),
            2 => json!({ "floor": 1.0, "tags": ["a", "b"] }),
            3 => json!({ "site": { "city": "Oslo", "rooms": [{ "n": 1 }, { "n": self.below(3) }] } }),
            4 => json!({ "on": self.one_in(2), "nothing": null }),
            5 => json!([1]),
            6 => json!({ "big": 9_007_199_254_740_993_u64, "small": 1e-9, "exp": 1e21 }),
            7 => json!({ "text": self.name() }),
            _ => json!({ "tags": ["b"] }),
        }
    }

    fn key(&mut self) -> String {
        match self.below(8) {
            0 => "short".into(),
            1 => "thk_looks generated but is not one".into(),
            n => format!("a key of the fleet {}", n * 3 + self.below(3)),
        }
    }

    fn serial(&mut self) -> String {
        format!("SN-{:04}", self.below(30))
    }

    fn role(&mut self) -> &'static str {
        self.pick(&["viewer", "editor", "admin", "owner", "boss"])
    }

    fn person(&mut self) -> Value {
        json!(format!("user{}@example.com", self.below(6)))
    }

    fn query(&mut self, noun: &str) -> String {
        let mut parts = Vec::new();
        if self.one_in(2) {
            parts.push(format!("limit={}", self.pick(&["1", "3", "10", "100", "1000", "0", "x"])));
        }
        if self.one_in(3) {
            parts.push(format!("offset={}", self.pick(&["0", "1", "5", "10000", "10001"])));
        }
        if self.one_in(2) {
            let orders = match noun {
                "groups" | "orgs" => &["id", "name", "created_at", "updated_at", "size"][..],
                "things" => &["id", "name", "type", "key"],
                _ => &["id", "name", "email"],
            };
            parts.push(format!("order={}", self.pick(orders)));
            parts.push(format!("dir={}", self.pick(&["asc", "desc"])));
        }
        if self.one_in(3) {
            parts.push(format!("name={}", encoded(&self.name())));
        }
        if self.one_in(3) {
            parts.push(format!("metadata={}", encoded(&self.metadata().to_string())));
        }
        if noun == "things" && self.one_in(4) {
            parts.push(format!("type={}", self.pick(&["device", "gateway", "toaster"])));
        }
        if noun == "things" && self.one_in(3) {
            parts.push(format!("status={}", self.pick(&["enabled", "disabled", "disabled", "asleep"])));
        }
        parts.join("&")
    }

    fn new_thing(&mut self) -> Value {
        let mut thing = json!({ "name": self.name(), "metadata": self.metadata() });
        for (field, value) in [
            ("id", json!(self.id('t'))),
            ("key", json!(self.key())),
            ("external_key", json!(self.serial())),
            ("type", json!(self.pick(&["device", "gateway", "sensor", "toaster"]))),
            ("color", json!("red")),
        ] {
            let seldom = if field == "color" { 20 } else { 2 };
            if self.one_in(seldom) {
                thing[field] = value;
            }
        }
        thing
    }

    fn address(&mut self) -> String {
        match self.below(12) {
            0 => "no address".into(),
            n if n < 8 => format!("user{}@example.com", self.below(PEOPLE + 1)),
            _ => format!("guest{}@example.com", self.below(60)),
        }
    }

    fn new_invite(&mut self, offers: bool) -> Value {
        let role = if self.one_in(6) { self.role() } else { self.pick(&["viewer", "editor", "admin"]) };
        let mut invite = json!({ "email": self.address(), "role": role });
        if offers && self.one_in(2) {
            let offer = |dice: &mut Self| json!({ "group_id": dice.id('g'), "member_role": dice.role() });
            invite["group_invites"] = (0..=self.below(2)).map(|_| offer(self)).collect();
            invite["mode"] = json!(self.pick(&["ask", "join", "now"]));
        }
        if self.one_in(3) {
            invite["redirect_path"] = json!(self.pick(&["/welcome", "//evil", "", "/a/b"]));
        }
        invite
    }

    fn invites_query(&mut self) -> String {
        let mut parts = Vec::new();
        for (name, values) in [
            ("state", &["pending", "accepted", "declined", "revoked", "expired", "open"][..]),
            ("kind", &["org", "group", "platform", ""]),
            ("limit", &["1", "3", "100"]),
            ("offset", &["0", "2", "10001"]),
            ("order", &["id", "created_at", "name"]),
            ("dir", &["asc", "desc"]),
        ] {
            if self.one_in(3) {
                parts.push(format!("{name}={}", self.pick(values)));
            }
        }
        parts.join("&")
    }

    /// A request about invites, and which of the people sends it, if it is not root. `made` are the
    /// invites so far.
    fn invites(&mut self, made: &[Made]) -> (Option<usize>, Method, String, Body) {
        let (get, post) = (Method::GET, Method::POST);
        let at = match self.below(3) {
            0 => format!("/groups/{}/invites", self.id('g')),
            _ => format!("/orgs/{}/invites", self.org()),
        };
        let offers = at.starts_with("/orgs");
        let (one, invitee) = match made.len() {
            0 => (self.id('i'), None),
            // Mostly what came lately: the rest is answered already.
            count => {
                let back = if self.one_in(3) { self.below(count) } else { self.below(count.min(12)) };
                let Made { number, invitee } = made[count - 1 - back];
                (format!("{{#{number}}}"), invitee)
            }
        };
        let who = invitee.filter(|_| !self.one_in(5)).unwrap_or_else(|| self.below(PEOPLE));
        match self.below(16) {
            0..=2 => (None, post, at, Body::Json(self.new_invite(offers))),
            3 | 4 => {
                let items: Vec<_> = (0..=self.below(4)).map(|_| self.new_invite(offers)).collect();
                let query = self.pick(&["", "?partial=true", "?partial=true", "?partial=maybe"]);
                (None, post, format!("{at}{query}"), Body::Json(json!(items)))
            }
            5 => {
                let mut invite = self.new_invite(false);
                invite.as_object_mut().unwrap().remove("role");
                (None, post, "/invites".into(), Body::Json(invite))
            }
            6 => (None, get, format!("{at}?{}", self.invites_query()), Body::None),
            7 => (None, get, format!("/invites?{}", self.invites_query()), Body::None),
            8 => (Some(who), get, format!("/invites/{one}"), Body::None),
            9 => (None, Method::DELETE, format!("/invites/{one}"), Body::None),
            10 => (None, post, format!("/invites/{one}/resend"), Body::None),
            11 => (Some(who), post, format!("/invites/{one}/decline"), Body::None),
            _ => (Some(who), post, format!("/invites/{one}/accept"), Body::None),
        }
    }

    /// The next request.
    fn request(&mut self) -> (Method, String, Body) {
        let (get, post, put, patch, delete) =
            (Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE);
        let (group, profile, thing) = (self.id('g'), self.id('p'), self.id('t'));
        let body = Body::Json;
        match self.below(34) {
            0 => (
                post,
                "/orgs".into(),
                body(json!({ "id": self.id('o'), "name": self.name(), "metadata": self.metadata() })),
            ),
            1 => (
                put,
                format!("/orgs/{}", self.org()),
                body(json!({ "name": self.name(), "description": self.name() })),
            ),
            2 => (get, format!("/orgs?{}", self.query("orgs")), Body::None),
            3 if self.one_in(4) => (delete, format!("/orgs/{}", self.id('o')), Body::None),
            3..=5 => {
                let items: Vec<_> =
                    (0..=self.below(3)).map(|_| json!({ "id": self.id('g'), "name": self.name() })).collect();
                (post, format!("/orgs/{}/groups", self.org()), body(json!(items)))
            }
            6 => (
                put,
                format!("/groups/{group}"),
                body(json!({ "name": self.name(), "metadata": self.metadata() })),
            ),
            7 if self.one_in(3) => (delete, format!("/groups/{group}"), Body::None),
            7 | 8 => (get, format!("/groups?{}", self.query("groups")), Body::None),
            9 => (get, format!("/orgs/{}/groups?{}", self.org(), self.query("groups")), Body::None),
            10 => (
                post,
                format!("/orgs/{}/memberships", self.org()),
                body(json!({ "org_memberships": [{ "email": self.person(), "role": self.role() }] })),
            ),
            11 => (
                post,
                format!("/groups/{group}/memberships"),
                body(json!({ "group_memberships": [{ "email": self.person(), "role": self.role() }] })),
            ),
            12 => (get, format!("/groups/{group}/memberships?limit=100"), Body::None),
            13 => (get, format!("/orgs/{}/memberships?limit=100", self.org()), Body::None),
            14..=16 => {
                let items: Vec<_> = (0..=self.below(2))
                    .map(|_| json!({ "id": self.id('p'), "name": self.name(), "config": { "content_type": "application/json", "x": self.metadata() } }))
                    .collect();
                (post, format!("/groups/{group}/profiles"), body(json!(items)))
            }
            17 => (
                put,
                format!("/profiles/{profile}"),
                body(json!({ "name": self.name(), "config": self.metadata() })),
            ),
            18 => (delete, format!("/profiles/{profile}"), Body::None),
            19 => (get, format!("/profiles?{}", self.query("profiles")), Body::None),
            20..=23 => {
                let items: Vec<_> = (0..=self.below(4)).map(|_| self.new_thing()).collect();
                (post, format!("/profiles/{profile}/things"), body(json!(items)))
            }
            24 => {
                let mut update = json!({ "name": self.name(), "metadata": self.metadata() });
                if self.one_in(3) {
                    update["key"] = json!(self.key());
                }
                (put, format!("/things/{thing}"), body(update))
            }
            25 => {
                (patch, format!("/things/{thing}"), body(json!({ "group_id": group, "profile_id": profile })))
            }
            26 if self.one_in(3) => {
                (patch, "/things".into(), body(json!({ "thing_ids": [thing, self.id('t')] })))
            }
            26 => (delete, format!("/things/{thing}"), Body::None),
            27 => (patch, format!("/things/{thing}/external-key"), body(json!({ "key": self.serial() }))),
            28 => (delete, format!("/things/{thing}/external-key"), Body::None),
            29 => (
                put,
                "/things".into(),
                body(
                    json!([{ "id": thing, "metadata": self.metadata() }, { "id": self.id('t'), "metadata": self.metadata() }]),
                ),
            ),
            30 => {
                let (kind, key) =
                    if self.one_in(2) { ("internal", self.key()) } else { ("external", self.serial()) };
                (post, "/identify".into(), body(json!({ "type": kind, "key": key })))
            }
            31 => match self.below(6) {
                0 => (post, format!("/things/{thing}/disable"), Body::None),
                1 => (post, format!("/things/{thing}/enable"), Body::None),
                2 => (get, format!("/things/{thing}/credentials"), Body::None),
                3 => (get, format!("/things/{thing}/failed-checks?limit=100"), Body::None),
                _ => (get, format!("/things/{thing}"), Body::None),
            },
            32 => (get, format!("/things?{}", self.query("things")), Body::None),
            _ => (get, format!("/groups/{group}/things?{}", self.query("things")), Body::None),
        }
    }
}

/// An invite that was made: its number, and which of the people it is for, if it is for one of them.
#[derive(Clone, Copy)]
struct Made {
    number: usize,
    invitee: Option<usize>,
}

/// The invites that an answer shows.
fn invites_in(pair: &Pair, reply: &Reply) -> Vec<Made> {
    let Ok(body) = serde_json::from_str::<Value>(&reply.text) else { return Vec::new() };
    let listed = body["invites"].as_array().cloned().unwrap_or_default();
    let shown = listed.iter().map(|item| item.get("invite").unwrap_or(item)).chain([&body]);
    let invites = shown.filter(|invite| invite["kind"].is_string());
    invites
        .filter_map(|invite| {
            let number = pair.number(invite["id"].as_str()?)?;
            let name = invite["invitee_email"].as_str().and_then(|email| email.split('@').next());
            let invitee = name.and_then(|name| name.strip_prefix("user")?.parse().ok());
            Some(Made { number, invitee: invitee.filter(|person| *person < PEOPLE) })
        })
        .collect()
}

#[tokio::test]
async fn both_engines_answer_alike() {
    let mut pair = Pair::start().await;
    let mut people = Vec::new();
    for n in 0..PEOPLE {
        let email = format!("user{n}@example.com");
        pair.post("/users", json!({ "email": email, "password": ROOT_PASSWORD })).await.expect(201);
        let mut clients = Vec::new();
        for server in &pair.servers {
            clients.push(server.log_in(&email, ROOT_PASSWORD).await);
        }
        people.push(clients);
    }
    let mut invites: Vec<Made> = Vec::new();
    let mut dice = Dice(0x1234_5678_9abc_def1);
    let mut statuses: BTreeMap<u16, usize> = BTreeMap::new();
    for n in 0..REQUESTS {
        if n % 50 == 0 {
            for server in &pair.servers {
                server.registry.write_activity().await.unwrap();
                server.clock.advance(Duration::from_secs(7));
            }
        }
        let reply = if n % 3 == 0 {
            let (who, method, path, body) = dice.invites(&invites);
            let reply = match who {
                Some(who) => pair.send_by(&people[who], method, &path, body).await,
                None => pair.send(method, &path, body).await,
            };
            for made in invites_in(&pair, &reply) {
                if invites.iter().all(|known| known.number != made.number) {
                    invites.push(made);
                }
            }
            reply
        } else {
            let (method, path, body) = dice.request();
            pair.send(method, &path, body).await
        };
        *statuses.entry(reply.status).or_default() += 1;
    }
    let journal = pair.get("/journal?limit=1000").await;
    assert_eq!(journal.status, 200);
    println!("{} requests on {} engines: {statuses:?}", pair.requests, pair.servers.len());
    let accepted = pair.get("/invites?state=accepted").await.expect(200)["total"].as_u64();
    assert!(accepted > Some(10), "{accepted:?} invites were accepted");
    // Neither all refused nor all accepted: the requests are worth comparing.
    for status in [200, 201, 204, 207, 400, 404, 409] {
        assert!(statuses.get(&status).is_some_and(|count| *count > 20), "{status} in {statuses:?}");
    }
}

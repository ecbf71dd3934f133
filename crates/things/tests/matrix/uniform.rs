//! What one has nothing to do with looks like what does not exist (threat T1): the answers are compared
//! byte by byte, for ids in paths and for ids in bodies.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    app::{Engine, Reply, Running, Send, start_open},
    persona::Persona,
    row::{At, Row},
    rows::rows,
    stage::{Person, Place, Stage},
};

/// Nobody's, and nothing's.
const ABSENT: &str = "01890000-0000-7000-8000-000000000000";

/// Every operation with an id in its path.
pub async fn paths(engine: Engine) {
    let server = start_open(engine).await;
    let stage = Stage::on(&server).await;
    for row in rows().iter().filter(|row| row.operation.contains("{id}")) {
        // As it is filled in for the owner: everything is somebody else's to those who ask.
        let at = At::of(row, &stage, Persona::Owner, stage.home).await;
        let entries = journal(&server).await;
        for (who, person) in others(row, &stage) {
            let mut answers = Vec::new();
            for ids in unknown(row, &at) {
                answers.push((ids.clone(), ask(&server, person, row, &at, &ids, row.body(&at)).await));
            }
            assert_eq!(alike(row.operation, who, &answers), 404, "{} by {who}", row.operation);
        }
        assert_eq!(journal(&server).await, entries, "{} changes nothing", row.operation);
    }
}

/// A body that is refused is refused the same way, however far the request gets: compared are an id
/// that exists and one that does not.
pub async fn paths_with_bad_bodies(engine: Engine) {
    let server = start_open(engine).await;
    let stage = Stage::on(&server).await;
    for row in rows().iter().filter(|row| row.operation.contains("{id}")) {
        let at = At::of(row, &stage, Persona::Owner, stage.home).await;
        if row.body(&at).is_null() {
            continue;
        }
        for (who, person) in others(row, &stage) {
            for body in spoilt(row.body(&at)) {
                let mut answers = Vec::new();
                for ids in unknown(row, &at).into_iter().take(2) {
                    answers.push((ids.clone(), ask(&server, person, row, &at, &ids, body.clone()).await));
                }
                alike(row.operation, who, &answers);
            }
        }
    }
}

/// Those to whom the home is somebody else's.
fn others<'s>(row: &Row, stage: &'s Stage<'_>) -> Vec<(&'static str, &'s Person)> {
    let mut others = vec![("a stranger", &stage.stranger), ("another organisation's owner", &stage.outsider)];
    // The home's organisation is the neighbour's, too.
    if !row.operation.contains("/orgs/") {
        others.push(("another group's owner", &stage.neighbour));
    }
    others
}

/// Ids of what does not exist for those others: an absent one, the home's, and what is no id at all.
fn unknown(row: &Row, at: &At) -> Vec<Vec<String>> {
    let there = at.ids(row.operation);
    let first = &there[0];
    let ids = vec![
        ABSENT.to_owned(),
        first.clone(),
        "x".to_owned(),
        first.to_uppercase(),
        first.replace('-', ""),
        format!("{first}0"),
        format!("{first}%00"),
        "%ff".to_owned(),
        "..%2f".to_owned() + first,
        format!("%7B{first}%7D"),
        "0".to_owned(),
        "%20".to_owned(),
        "'".to_owned(),
    ];
    let with = |id: String| std::iter::once(id).chain(there.iter().skip(1).cloned()).collect();
    let mut unknown: Vec<Vec<String>> = ids.into_iter().map(with).collect();
    if there.len() > 1 {
        unknown.push(vec![first.clone(), ABSENT.to_owned()]);
        unknown.push(vec![first.clone(), "x".to_owned()]);
    }
    unknown
}

/// Bodies that are wrong: with an unknown member, with one that the server owns, of another kind.
fn spoilt(body: Value) -> Vec<Value> {
    let with = |name: &str, value: Value| {
        let mut body = body.clone();
        let object = if body.is_array() { &mut body[0] } else { &mut body };
        object[name] = value;
        body
    };
    vec![
        with("nonsense", json!(1)),
        with("created_at", json!("2020-01-01T00:00:00Z")),
        with("id", json!("01890000-0000-7000-8000-00000000abcd")),
        with("name", json!("")),
        json!("nonsense"),
    ]
}

/// Asks, always under the same request id, which then is the same in all answers.
async fn ask(server: &Running, person: &Person, row: &Row, at: &At, ids: &[String], body: Value) -> Reply {
    let (method, path) = row.address(at, ids);
    send(server, person, method, &path, &body).await
}

async fn send(server: &Running, person: &Person, method: Method, path: &str, body: &Value) -> Reply {
    let client = server.client(person.token.expose());
    let mut request = client.request(method, path).header("x-request-id", "the-same");
    if !body.is_null() {
        request = request.json(body);
    }
    let mut reply = request.reply().await;
    reply.headers.remove("date");
    reply
}

/// The status of all the answers, which are equal to the byte.
#[track_caller]
fn alike<T: std::fmt::Debug>(operation: &str, who: &str, answers: &[(T, Reply)]) -> u16 {
    let bytes = |reply: &Reply| (reply.status, format!("{:?}", reply.headers), reply.text.clone());
    let (first, rest) = answers.split_first().unwrap();
    for other in rest {
        assert_eq!(bytes(&first.1), bytes(&other.1), "{operation} by {who}: {:?} and {:?}", first.0, other.0);
    }
    first.1.status
}

async fn journal(server: &Running) -> i64 {
    server.database.number("SELECT count(*) FROM journal").await
}

/// Ids in bodies: the outsider names what is their own, together with what is not.
pub async fn bodies(engine: Engine) {
    let server = start_open(engine).await;
    let stage = Stage::on(&server).await;
    let (own, home) = (stage.elsewhere, stage.home);
    let entries = journal(&server).await;
    for (operation, foreign, body) in cases(&home) {
        let (method, path) = operation.split_once(' ').unwrap();
        let path = path.replace("{id}", &own.thing.to_string());
        let mut answers = Vec::new();
        for id in [ABSENT, &foreign] {
            let body = body(&own, id);
            answers.push((
                body.clone(),
                send(&server, &stage.outsider, method.parse().unwrap(), &path, &body).await,
            ));
        }
        let told = alike(operation, "another organisation's owner", &answers);
        assert_eq!(told, 404, "{operation}: {:?}", answers[0]);
    }
    assert_eq!(journal(&server).await, entries, "none of it changed anything");
}

/// Operations, an id that is somebody else's, and the bodies that name it.
type Case = (&'static str, String, fn(&Place, &str) -> Value);

fn cases(home: &Place) -> Vec<Case> {
    let (org, group, profile) = (home.org.to_string(), home.group.to_string(), home.profile.to_string());
    let thing = home.thing.to_string();
    vec![
        ("PATCH /orgs", org.clone(), |_, id| json!({ "org_ids": [id] })),
        ("PATCH /orgs", org.clone(), |own, id| json!({ "org_ids": [own.org, id] })),
        ("PATCH /groups", group.clone(), |_, id| json!({ "group_ids": [id] })),
        ("PATCH /groups", group.clone(), |own, id| json!({ "group_ids": [own.group, id] })),
        ("PATCH /profiles", profile.clone(), |_, id| json!({ "profile_ids": [id] })),
        ("PATCH /profiles", profile.clone(), |own, id| json!({ "profile_ids": [own.profile, id] })),
        ("PATCH /things", thing.clone(), |_, id| json!({ "thing_ids": [id] })),
        ("PATCH /things", thing.clone(), |own, id| json!({ "thing_ids": [own.thing, id] })),
        ("PUT /things", thing.clone(), |_, id| json!([{ "id": id, "metadata": {} }])),
        (
            "PUT /things",
            thing,
            |own, id| json!([{ "id": own.thing, "metadata": { "a": 1 } }, { "id": id, "metadata": { "a": 1 } }]),
        ),
        ("PATCH /things/{id}", group.clone(), |own, id| json!({ "group_id": id, "profile_id": own.profile })),
        ("PATCH /things/{id}", profile, |own, id| json!({ "group_id": own.group, "profile_id": id })),
        (
            "POST /keys",
            org.clone(),
            |_, id| json!({ "name": "bound", "scopes": ["read", format!("org:{id}")] }),
        ),
        (
            "POST /keys",
            group.clone(),
            |_, id| json!({ "name": "bound", "scopes": ["read", format!("group:{id}")] }),
        ),
        (
            "POST /invites",
            org.clone(),
            |_, id| json!({ "email": "somebody@example.com", "role": "viewer", "org_id": id }),
        ),
        ("POST /journal/search", org, |_, id| json!({ "org": id })),
        ("POST /journal/search", group, |_, id| json!({ "group": id })),
    ]
}

/// Accounts in bodies and below an organisation: whether one exists is not told, but to who makes
/// members of people, because that is how people are found.
pub async fn accounts(engine: Engine) {
    let server = start_open(engine).await;
    let stage = Stage::on(&server).await;
    let own = stage.elsewhere;
    let entries = journal(&server).await;
    let (org, group) = (format!("/orgs/{}", own.org), format!("/groups/{}", own.group));
    let one: fn(&str) -> Value = |id| json!([{ "member_id": id, "role": "viewer" }]);
    let ids: fn(&str) -> Value = |id| json!({ "member_ids": [id] });
    let heir: fn(&str) -> Value = |id| json!({ "member_id": id });
    for (method, path, body) in [
        (Method::PUT, format!("{org}/memberships"), one),
        (Method::PATCH, format!("{org}/memberships"), ids),
        (Method::POST, format!("{org}/owner"), heir),
        (Method::PUT, format!("{group}/memberships"), one),
        (Method::PATCH, format!("{group}/memberships"), ids),
        (Method::POST, format!("{group}/owner"), heir),
    ] {
        let mut answers = Vec::new();
        for id in [ABSENT, &stage.bystander.id.to_string()] {
            answers.push((
                id.to_owned(),
                send(&server, &stage.outsider, method.clone(), &path, &body(id)).await,
            ));
        }
        let told = alike(&format!("{method} {path}"), "its owner", &answers);
        assert_eq!(told, 409, "{method} {path}: {:?}", answers[0]);
    }
    let mut answers = Vec::new();
    for id in [ABSENT, &stage.bystander.id.to_string(), "x"] {
        let path = format!("{org}/members/{id}");
        answers.push((id.to_owned(), send(&server, &stage.outsider, Method::GET, &path, &Value::Null).await));
    }
    assert_eq!(alike("GET /orgs/{id}/members/{user}", "its owner", &answers), 404);
    assert_eq!(journal(&server).await, entries, "none of it changed anything");
}

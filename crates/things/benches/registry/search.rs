//! Finding things by name and metadata among all of them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    Result, Task,
    bulk::Filled,
    client::{Client, text},
    report::{Samples, ms, note, ratio, say},
    rows,
    server::{PASSWORD, Server},
};

/// How often each query is asked; the first time is told apart, because nothing is cached then.
const TIMES: usize = 10;

/// What is looked for, as query parameters, and what is special about it.
pub(crate) fn queries(total: usize) -> Vec<(&'static str, String)> {
    let one = total / 2 + 345;
    let metadata = |value: &Value| format!("metadata={}", encoded(&value.to_string()));
    let name = |text: &str| format!("name={}", encoded(text));
    vec![
        ("name, one", name(&rows::name(one))),
        ("name, a few", name(&format!("{:05}", one % 100_000))),
        ("name, some", name(&format!("-00{:02}", one % 100))),
        ("name, a tenth of all", name("berlin")),
        ("name, frequent, other case", name("PUMP-Lagos")),
        ("name, none", name("submarine")),
        ("name, none, of frequent parts", name("berlin-valve")),
        ("name, two letters, frequent", name("pu")),
        ("name, frequent, by name", format!("{}&order=name&dir=asc", name("oslo"))),
        ("metadata, one", metadata(&json!({ "serial": rows::serial(one) }))),
        ("metadata, a tenth of all", metadata(&json!({ "site": "berlin" }))),
        ("metadata, nested", metadata(&json!({ "location": { "room": "r12" } }))),
        ("metadata, rare tag in a list", metadata(&json!({ "tags": ["vip"] }))),
        ("metadata, three members", metadata(&json!({ "site": "lima", "floor": 7, "firmware": "2.3.4" }))),
        ("metadata, none", metadata(&json!({ "serial": "none" }))),
        ("metadata, none, of frequent parts", metadata(&json!({ "site": "oslo", "model": "pump-99" }))),
        (
            "metadata, frequent, by name",
            format!("{}&order=name&dir=asc", metadata(&json!({ "site": "quito" }))),
        ),
        ("both, rare together", format!("{}&{}", name("camera"), metadata(&json!({ "tags": ["vip"] })))),
        (
            "both, frequent, contradicting",
            format!("{}&{}", name("berlin"), metadata(&json!({ "site": "oslo" }))),
        ),
        ("both, frequent, agreeing", format!("{}&{}", name("perth"), metadata(&json!({ "site": "perth" })))),
    ]
}

/// Queries that no index helps with: each may read everything there is. Told, but not part of the mix.
pub(crate) fn hopeless() -> Vec<(&'static str, String)> {
    vec![
        ("name, two letters, none", "name=xq".to_owned()),
        ("metadata, shape only, none", format!("metadata={}", encoded(r#"{"place":{}}"#))),
    ]
}

/// Asks all of it, everywhere, in one group, and as a member of some groups.
pub(crate) async fn search(task: &Task, server: &Server, admin: &Client, filled: &Filled) -> Result<()> {
    let member = member(server, admin, filled).await?;
    let scopes = scopes(filled)?;
    let one = thing(admin, filled).await?;
    let point = admin.timed_gets(&one, 200).await?.median();
    note("GET /things/{id}", &ms(point), "median of 200");
    let mut all = Samples::default();
    let mut lines = Vec::new();
    for (scope, path, by_member) in &scopes {
        let client = if *by_member { &member } else { admin };
        let (mut medians, mut firsts) = (Samples::default(), Samples::default());
        let mut worst = (Duration::ZERO, "");
        for (what, query) in queries(filled.things) {
            let answer = ask(client, &format!("{path}{query}&limit=100")).await?;
            medians.add(answer.median);
            firsts.add(answer.first);
            if answer.median > worst.0 {
                worst = (answer.median, what);
            }
            lines.push(format!(
                "  {scope:<22} {what:<34} {:>10}   first {:>10}   {:>7} found",
                ms(answer.median),
                ms(answer.first),
                answer.found
            ));
        }
        note(
            &format!("search, {} queries, {scope}", medians.len()),
            &ms(medians.median()),
            &format!(
                "{:.1} times GET /things/{{id}}; worst {} ({}); asked first {}",
                ratio(medians.median(), point),
                ms(worst.0),
                worst.1,
                ms(firsts.median())
            ),
        );
        all.extend(&medians);
    }
    note(
        &format!("search in {} things, all {}", filled.things, all.len()),
        &ms(all.median()),
        &format!("p90 {}, worst {} (aim: median below 50 ms)", ms(all.quantile(0.9)), ms(all.worst())),
    );
    for (what, query) in hopeless() {
        let answer = ask(admin, &format!("/things?{query}&limit=100")).await?;
        note(&format!("  no index helps: {what}"), &ms(answer.median), "reads all things; not in the mix");
    }
    if task.verbose {
        lines.iter().for_each(|line| say(line));
    }
    Ok(())
}

/// Where is searched: what it is called, the path, and whether the member asks.
pub(crate) fn scopes(filled: &Filled) -> Result<Vec<(&'static str, String, bool)>> {
    let group = |at: usize| filled.groups.get(at).map(|id| format!("/groups/{id}/things?"));
    Ok(vec![
        ("everywhere", "/things?".to_owned(), false),
        ("in the large group", group(0).ok_or("no group")?, false),
        ("in a small group", group(filled.groups.len() / 2).ok_or("no group")?, false),
        ("as member of 3 groups", "/things?".to_owned(), true),
    ])
}

/// The path of a thing in the large group.
pub(crate) async fn thing(admin: &Client, filled: &Filled) -> Result<String> {
    let group = filled.groups.first().ok_or("no group")?;
    let (_, page) = admin.get(&format!("/groups/{group}/things?limit=1&offset=5000")).await?;
    Ok(format!("/things/{}", text(&page, "/things/0/id")?))
}

struct Answer {
    first: Duration,
    median: Duration,
    found: String,
}

async fn ask(client: &Client, path: &str) -> Result<Answer> {
    let (first, page) = client.get(path).await?;
    let found = match (&page["total"], page["total_exact"].as_bool()) {
        (total, Some(false)) => format!("{total}+"),
        (total, _) => total.to_string(),
    };
    let median = client.timed_gets(path, TIMES).await?.median();
    Ok(Answer { first, median, found })
}

/// Somebody who may view three groups, the large one among them.
pub(crate) async fn member(server: &Server, admin: &Client, filled: &Filled) -> Result<Client> {
    let email = "member@bench.example";
    let body = json!({ "email": email, "password": PASSWORD });
    let known = server.log_in_as(email).await;
    if let Ok(member) = known {
        return Ok(member);
    }
    admin.post("/users", &body).await?;
    let join = json!({ "org_memberships": [{ "email": email, "role": "viewer" }] });
    admin.post(&format!("/orgs/{}/memberships", filled.org), &join).await?;
    let small = filled.groups.len() / 2;
    for group in [filled.groups.first(), filled.groups.get(small), filled.groups.last()].into_iter().flatten()
    {
        let admit = json!({ "group_memberships": [{ "email": email, "role": "viewer" }] });
        admin.post(&format!("/groups/{group}/memberships"), &admit).await?;
    }
    server.log_in_as(email).await
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

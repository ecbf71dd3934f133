//! Creating things in bulk, over HTTP, against loading the same rows.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::{
    Result, Task, baseline,
    client::{Client, text},
    report::{Samples, ms, note, progress, rate, ratio},
    rows,
    server::{Engine, Home, Server},
};

/// Each ratio is taken so often, and the median told: whatever else the machine does meanwhile seldom
/// meets both sides alike.
const ROUNDS: usize = 3;
/// Groups that fill up the database have so many things.
const SMALL_GROUP: usize = 20_000;

/// A database with as many things as the task asks for.
pub(crate) struct Filled {
    pub(crate) home: Home,
    pub(crate) org: String,
    /// The first has `Task::group` things.
    pub(crate) groups: Vec<String>,
    /// How many there are in all.
    pub(crate) things: usize,
}

/// Creates all things of the task, and tells how fast.
pub(crate) async fn create(task: &Task, engine: &Engine) -> Result<Filled> {
    let mut rounds = Vec::new();
    let mut last = None;
    for round in 1..=ROUNDS {
        let home = Home::new(engine).await?;
        let server = Server::start(&task.binary, &home).await?;
        let mut owner = Owner::new(server.log_in().await?).await?;
        let (took, requests) = owner.fill(0, task.group, 1).await?;
        server.stop().await?;

        let other = Home::new(engine).await?;
        Server::start(&task.binary, &other).await?.stop().await?;
        let load = baseline::load(&home, &other).await?;
        progress(&format!(
            "round {round}: {} things created in {:.2} s, loaded in {:.2} s",
            task.group,
            took.as_secs_f64(),
            load.all.as_secs_f64()
        ));
        rounds.push((ratio(load.all, took), took, requests, load));
        last = Some((home, owner.org, owner.groups));
    }
    rounds.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (of_all, took, requests, load) = rounds.get(ROUNDS / 2).ok_or("no round")?;
    let loader = match engine {
        Engine::Sqlite => "INSERT … SELECT",
        Engine::Postgres { .. } => "COPY",
    };
    note(
        "bulk create, 1,000 a request, 1 client",
        &format!("{:.0} things/s", rate(task.group, *took)),
        &format!("{of_all:.2} of {loader} (aim: 0.5 or more)"),
    );
    note(
        "  the same rows in all tables by it",
        &format!("{:.0} things/s", rate(task.group, load.all)),
        &format!("ratios of {ROUNDS} rounds: {}", list(rounds.iter().map(|round| round.0))),
    );
    note(
        "  only the rows of `things` by it",
        &format!("{:.0} things/s", rate(task.group, load.things)),
        &format!("the API, which writes them all, at {:.2} of that", ratio(load.things, *took)),
    );
    note("  one request", &ms(requests.median()), &format!("p99 {}", ms(requests.quantile(0.99))));

    let (home, org, groups) = last.ok_or("no round")?;
    let server = Server::start(&task.binary, &home).await?;
    let mut owner = Owner { admin: server.log_in().await?, org, groups };
    for (clients, first) in [(2, task.group), (4, task.group * 2)] {
        let (all, requests) = owner.fill(first, task.group, clients).await?;
        note(
            &format!("bulk create, {clients} clients at once"),
            &format!("{:.0} things/s", rate(task.group, all)),
            &format!("one request {}, p99 {}", ms(requests.median()), ms(requests.quantile(0.99))),
        );
    }
    let mut things = task.group * 3;
    let (more, begun) = (task.total.saturating_sub(things), Instant::now());
    while things < task.total {
        let count = SMALL_GROUP.min(task.group).min(task.total - things);
        owner.fill(things, count, 4).await?;
        things += count;
        if things % (task.total / 10).max(1) < SMALL_GROUP {
            progress(&format!("{things} things"));
        }
    }
    note(
        &format!("  and on up to {things} things, 4 clients"),
        &format!("{:.0} things/s", rate(more, begun.elapsed())),
        "",
    );
    server.stop().await?;
    let filled = Filled { home, org: owner.org, groups: owner.groups, things };
    settle(&filled.home).await?;
    Ok(filled)
}

/// What PostgreSQL's autovacuum does within minutes of such a change: statistics, visibility, and the
/// pending entries of its text indexes.
async fn settle(home: &Home) -> Result<()> {
    use sqlx::Connection;
    if let Some(url) = home.url() {
        let mut conn = sqlx::PgConnection::connect(url).await?;
        sqlx::raw_sql("VACUUM (ANALYZE)").execute(&mut conn).await?;
        sqlx::raw_sql("CHECKPOINT").execute(&mut conn).await?;
        conn.close().await?;
    }
    Ok(())
}

/// The owner of an organisation in which groups are made and filled.
struct Owner {
    admin: Client,
    org: String,
    groups: Vec<String>,
}

impl Owner {
    async fn new(admin: Client) -> Result<Self> {
        let org = admin.post("/orgs", &json!({ "name": "bench" })).await?;
        Ok(Self { org: text(&org, "/id")?, admin, groups: Vec::new() })
    }

    /// Makes a group with `count` things, the `first`-th and on, by several clients at once. Bodies are
    /// made before the clock starts.
    async fn fill(&mut self, first: usize, count: usize, clients: usize) -> Result<(Duration, Samples)> {
        let name = format!("group {}", self.groups.len());
        let made = self.admin.post(&format!("/orgs/{}/groups", self.org), &json!([{ "name": name }])).await?;
        let group = text(&made, "/groups/0/id")?;
        let profiles =
            self.admin.post(&format!("/groups/{group}/profiles"), &json!([{ "name": "mqtt" }])).await?;
        let path = format!("/profiles/{}/things", text(&profiles, "/profiles/0/id")?);
        self.groups.push(group);

        let requests = count / rows::SIZE;
        let mut tasks = Vec::new();
        for client in 0..clients {
            let bodies = (client..requests)
                .step_by(clients)
                .map(|request| rows::body(first + request * rows::SIZE))
                .collect::<Result<Vec<_>>>()?;
            tasks.push((self.admin.clone(), path.clone(), bodies));
        }
        let begun = Instant::now();
        let running: Vec<_> = tasks
            .into_iter()
            .map(|(client, path, bodies)| {
                tokio::spawn(async move {
                    let mut samples = Samples::default();
                    for body in bodies {
                        samples.add(client.timed_post(&path, body).await?);
                    }
                    Ok::<_, crate::Error>(samples)
                })
            })
            .collect();
        let mut samples = Samples::default();
        for client in running {
            samples.extend(&client.await??);
        }
        Ok((begun.elapsed(), samples))
    }
}

fn list(ratios: impl Iterator<Item = f64>) -> String {
    ratios.map(|ratio| format!("{ratio:.2}")).collect::<Vec<_>>().join(", ")
}

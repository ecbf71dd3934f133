//! Importing a file over HTTP, against loading the same rows; and whether a longer file takes more memory.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::{
    Result, Task, baseline,
    client::{Client, text},
    report::{note, progress, rate, ratio},
    rows,
    server::{Engine, Home, Server},
};

/// Each ratio is taken so often, and the median told.
const ROUNDS: usize = 3;

pub(crate) async fn import(task: &Task, engine: &Engine) -> Result<()> {
    let loader = match engine {
        Engine::Sqlite => "INSERT … SELECT",
        Engine::Postgres { .. } => "COPY",
    };
    for (what, partial) in [("import of CSV, all or nothing", false), ("import of CSV, partial", true)] {
        let file = csv(task.group);
        let mut rounds = Vec::new();
        for round in 1..=ROUNDS {
            let home = Home::new(engine).await?;
            let server = Server::start(&task.binary, &home).await?;
            let (took, _) = send(&server.log_in().await?, file.clone(), task.group, partial).await?;
            server.stop().await?;
            let other = Home::new(engine).await?;
            Server::start(&task.binary, &other).await?.stop().await?;
            let load = baseline::load(&home, &other).await?;
            progress(&format!(
                "{what}, round {round}: {} rows in {:.2} s, loaded in {:.2} s",
                task.group,
                took.as_secs_f64(),
                load.all.as_secs_f64()
            ));
            rounds.push((ratio(load.all, took), took, load.all));
        }
        rounds.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (of_all, took, load) = rounds.get(ROUNDS / 2).ok_or("no round")?;
        note(
            what,
            &format!("{:.0} rows/s", rate(task.group, *took)),
            &format!("{of_all:.2} of {loader} at {:.0} rows/s (aim: 0.4 or more)", rate(task.group, *load)),
        );
    }

    let home = Home::new(engine).await?;
    let server = Server::start(&task.binary, &home).await?;
    let admin = server.log_in().await?;
    let (_, before) = send(&admin, csv(task.group), task.group, false).await?;
    let small = server.peak()?;
    let (took, _) = send(&admin, csv(task.total), task.total, false).await?;
    note(
        &format!("import of {} rows in one request", task.total),
        &format!("{:.0} rows/s", rate(task.total, took)),
        &format!("{:.0} MB answered for {} rows", before as f64 / 1e6, task.group),
    );
    note(
        "  the most memory until then",
        &format!("{:.1} MB", server.peak()?),
        &format!("{small:.1} MB after {} rows", task.group),
    );
    server.stop().await
}

/// Imports a file into a new group; how long that took, and how much was answered.
async fn send(admin: &Client, file: Vec<u8>, rows: usize, partial: bool) -> Result<(Duration, usize)> {
    let org = text(&admin.post("/orgs", &json!({ "name": "import" })).await?, "/id")?;
    let made = admin.post(&format!("/orgs/{org}/groups"), &json!([{ "name": "import" }])).await?;
    let group = text(&made, "/groups/0/id")?;
    let made = admin.post(&format!("/groups/{group}/profiles"), &json!([{ "name": "mqtt" }])).await?;
    let profile = text(&made, "/profiles/0/id")?;
    let path = format!("/groups/{group}/import?profile_id={profile}&partial={partial}");
    let begun = Instant::now();
    let answer = admin.import(&path, file).await?;
    let took = begun.elapsed();
    let last = String::from_utf8_lossy(&answer).lines().last().unwrap_or_default().to_owned();
    if !last.contains("\"done\"") || !last.contains(&format!("\"created\":{rows},")) {
        return Err(format!("the import ended with {last}").into());
    }
    Ok((took, answer.len()))
}

fn csv(count: usize) -> Vec<u8> {
    let mut file = b"name,type,metadata\n".to_vec();
    for n in 0..count {
        let thing = rows::thing(n);
        let metadata = thing["metadata"].to_string().replace('"', "\"\"");
        let line = format!(
            "{},{},\"{metadata}\"\n",
            thing["name"].as_str().unwrap_or_default(),
            thing["type"].as_str().unwrap_or_default()
        );
        file.extend_from_slice(line.as_bytes());
    }
    file
}

//! How soon the program answers, and how much memory it holds while nobody asks anything.

use std::time::Duration;

use crate::{
    Result, Task,
    report::{Samples, ms, note},
    server::{Home, Server},
};

/// Starts measured, after the first.
const STARTS: usize = 5;
const IDLE: Duration = Duration::from_secs(10);

/// The very first start, which makes the schema, the keys and the administrator; then others.
pub(crate) async fn on_empty(task: &Task, home: &Home) -> Result<()> {
    let server = Server::start(&task.binary, home).await?;
    note(
        "first start, until /ready answers 200",
        &ms(server.started_in()),
        "makes schema, keys and administrator (one password hash)",
    );
    server.stop().await?;
    starts(task, home, "empty").await
}

/// Starts on a database with all the task's things in it.
pub(crate) async fn on_full(task: &Task, home: &Home) -> Result<()> {
    starts(task, home, &format!("{} things", task.total)).await
}

async fn starts(task: &Task, home: &Home, what: &str) -> Result<()> {
    let mut samples = Samples::default();
    for _ in 0..STARTS {
        let server = Server::start(&task.binary, home).await?;
        samples.add(server.started_in());
        server.stop().await?;
    }
    note(
        &format!("start, {what}"),
        &ms(samples.median()),
        &format!("worst of {STARTS}: {}", ms(samples.worst())),
    );
    let server = Server::start(&task.binary, home).await?;
    let at_first = server.resident()?;
    tokio::time::sleep(IDLE).await;
    note(
        &format!("idle memory (RSS), {what}"),
        &format!("{:.1} MB", server.resident()?),
        &format!("{at_first:.1} MB just after the start (aim: below 50 MB)"),
    );
    server.stop().await
}

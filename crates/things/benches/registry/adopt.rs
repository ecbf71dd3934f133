//! How long it takes to make a Mainflux database ours, whole and when it is killed on the way. On PostgreSQL.

use std::{
    process::{Command, Stdio},
    time::Instant,
};

use sqlx::{Connection, PgConnection};

use crate::{
    Result, Task,
    report::{note, progress, rate},
    server::{Engine, Home},
};

/// How often others are killed.
const KILLS: u32 = 20;
/// The tables that everything began with, which Mainflux's are but for some names.
const SEED: &str = include_str!("../../../registry/tests/seed.sql");

pub(crate) async fn adopt(task: &Task, engine: &Engine) -> Result<()> {
    if matches!(engine, Engine::Sqlite) {
        return Ok(());
    }
    let whole = Home::new(engine).await?;
    fill(&whole, task.group).await?;
    let started = Instant::now();
    run(task, &whole)?;
    let took = started.elapsed();
    note(
        &format!("adopt a Mainflux database, {} things", task.group),
        &format!("{:.1} s", took.as_secs_f64()),
        &format!("{:.0} things/s (aim: below 60 s for 100,000)", rate(task.group, took)),
    );

    let killed = Home::new(engine).await?;
    fill(&killed, task.group).await?;
    let started = Instant::now();
    for kill in 1..=KILLS {
        let mut child = command(task, &killed)?.spawn()?;
        // What is done stays done: so long each, and they all end on the way.
        tokio::time::sleep(took / (KILLS + 2)).await;
        if child.try_wait()?.is_some() {
            return Err(format!("it was done before it could be killed for the {kill}th time").into());
        }
        child.kill()?;
        child.wait()?;
    }
    run(task, &killed)?;
    let what = format!("{:.1} s", started.elapsed().as_secs_f64());
    note(
        "the same, killed on the way",
        &what,
        &format!("{KILLS} times, and then run to its end (aim: below 60 s)"),
    );
    in_the_clear(&killed).await
}

async fn in_the_clear(home: &Home) -> Result<()> {
    let mut conn = PgConnection::connect(home.url().unwrap_or_default()).await?;
    let clear: i64 = sqlx::query_scalar("SELECT count(*) FROM things WHERE key NOT LIKE 'h1.%'")
        .fetch_one(&mut conn)
        .await?;
    conn.close().await?;
    if clear > 0 { Err(format!("{clear} keys are still in the clear").into()) } else { Ok(()) }
}

fn command(task: &Task, home: &Home) -> Result<Command> {
    let mut command = Command::new(&task.binary);
    let directory = home.file().parent().ok_or("there is no directory")?.to_owned();
    command.args(["adopt", home.url().unwrap_or_default(), "--yes"]).env("THINGS_DATA_DIR", &directory);
    command.current_dir(directory).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(command)
}

fn run(task: &Task, home: &Home) -> Result<()> {
    if command(task, home)?.status()?.success() { Ok(()) } else { Err("`things adopt` failed".into()) }
}

async fn fill(home: &Home, things: usize) -> Result<()> {
    progress(&format!("filling a database of Mainflux's with {things} things"));
    let mut conn = PgConnection::connect(home.url().unwrap_or_default()).await?;
    // Its first table refers to its second.
    let (memberships, rest) = SEED.split_once(';').ok_or("the seed is one statement")?;
    #[expect(clippy::disallowed_methods, reason = "made of this file's literals and a number")]
    let sql = sqlx::AssertSqlSafe(format!(
        "{rest}; {memberships};
         INSERT INTO groups (id, org_id, name, created_at, updated_at)
             SELECT md5('g' || n)::uuid, md5('o')::uuid, 'group ' || n, now(), now() FROM generate_series(0, 99) n;
         INSERT INTO profiles (id, group_id, name) SELECT md5('p' || n)::uuid, md5('g' || n)::uuid, 'profile' FROM generate_series(0, 99) n;
         INSERT INTO things (id, group_id, profile_id, key, external_key, name, metadata)
             SELECT gen_random_uuid(), md5('g' || n % 100)::uuid, md5('p' || n % 100)::uuid, gen_random_uuid(),
             CASE n % 3 WHEN 0 THEN 'SN-' || n || '-x' END, 'thing ' || n, jsonb_build_object('serial', n) FROM generate_series(1, {things}) n;"
    ));
    sqlx::raw_sql(sql).execute(&mut conn).await?;
    conn.close().await?;
    Ok(())
}

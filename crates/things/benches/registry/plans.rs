//! How the engines go about the lists: the plan of every statement that each list query sends.

use std::{collections::HashSet, fs, path::Path};

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};

use crate::{
    Result, Task,
    bulk::Filled,
    report::say,
    search,
    server::{Home, Server},
};

/// The program tells its statements, and with `auto_explain` PostgreSQL's plans for them.
const LOG: &str = "warn,sqlx::query=debug,sqlx::postgres::notice=trace";

/// Asks each query once and prints what was done for it.
pub(crate) async fn print(task: &Task, filled: &Filled) -> Result<()> {
    explain(&filled.home, true).await?;
    let server = Server::start_logging(&task.binary, &filled.home, LOG).await?;
    let admin = server.log_in().await?;
    let member = search::member(&server, &admin, filled).await?;
    let mut lists =
        vec![("all".to_owned(), String::new()), ("all, by name".to_owned(), "order=name&dir=asc".to_owned())];
    lists.extend(search::queries(filled.things).into_iter().map(|(what, query)| (what.to_owned(), query)));
    for (scope, path, by_member) in search::scopes(filled)? {
        let client = if by_member { &member } else { &admin };
        for (what, query) in &lists {
            say("");
            say(&format!("### {scope}: {what}"));
            let first = format!("{path}{query}&limit=100");
            let before = size(&filled.home);
            let (_, page) = client.get(&first).await?;
            tell(&filled.home, before).await?;
            if let Some(next) = page["next"].as_str() {
                let before = size(&filled.home);
                client.get(&format!("{first}&cursor={next}")).await?;
                say("next page:");
                tell(&filled.home, before).await?;
            }
        }
    }
    server.stop().await?;
    explain(&filled.home, false).await
}

/// Has PostgreSQL tell the plans of the database's statements to who sends them, or no longer.
async fn explain(home: &Home, on: bool) -> Result<()> {
    let Some(url) = home.url() else { return Ok(()) };
    let (_, name) = url.rsplit_once('/').ok_or("the URL names no database")?;
    let mut conn = PgConnection::connect(url).await?;
    let settings = if on {
        vec![
            "session_preload_libraries = auto_explain",
            "auto_explain.log_min_duration = 0",
            "auto_explain.log_level = notice",
        ]
    } else {
        vec![]
    };
    sqlx::raw_sql("LOAD 'auto_explain'").execute(&mut conn).await?;
    let reset = format!("ALTER DATABASE {name} RESET ALL");
    let set = settings.iter().map(|setting| format!("ALTER DATABASE {name} SET {setting}"));
    for sql in [reset].into_iter().chain(set) {
        #[expect(clippy::disallowed_methods, reason = "a database's name cannot be bound; this one is ours")]
        let sql = AssertSqlSafe(sql);
        sqlx::raw_sql(sql).execute(&mut conn).await?;
    }
    conn.close().await?;
    Ok(())
}

fn size(home: &Home) -> usize {
    fs::metadata(home.log()).map_or(0, |log| usize::try_from(log.len()).unwrap_or(0))
}

/// Prints the plans of the statements in the program's log from `before` on, each once.
async fn tell(home: &Home, before: usize) -> Result<()> {
    let log = fs::read_to_string(home.log())?;
    let mut told = HashSet::new();
    for line in log.get(before..).unwrap_or_default().lines() {
        let Ok(record) = serde_json::from_str::<Value>(line) else { continue };
        let field = |name: &str| {
            let found = record.pointer(&format!("/fields/{name}")).or_else(|| record.get(name));
            found.and_then(Value::as_str).unwrap_or_default().trim().to_owned()
        };
        if home.url().is_some() {
            let plan = field("message");
            if plan.contains("Query Text:") && plan.contains("things") && told.insert(plan.clone()) {
                say(&plan);
            }
            continue;
        }
        let statement =
            Some(field("db.statement")).filter(|text| !text.is_empty()).unwrap_or_else(|| field("summary"));
        if statement.starts_with("SELECT") && statement.contains("things") && told.insert(statement.clone()) {
            say(&format!("Query Text: {statement}"));
            for step in query_plan(&home.file(), statement).await? {
                say(&step);
            }
        }
    }
    Ok(())
}

/// SQLite's plan does not depend on the values, so they may be missing.
async fn query_plan(file: &Path, statement: String) -> Result<Vec<String>> {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file).read_only(true);
    let mut conn = SqliteConnection::connect_with(&options).await?;
    #[expect(clippy::disallowed_methods, reason = "the program's own statement")]
    let sql = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
    let steps: Vec<(i64, i64, i64, String)> = sqlx::query_as(sql).fetch_all(&mut conn).await?;
    conn.close().await?;
    let mut lines: Vec<(i64, usize, String)> = Vec::new();
    for (id, parent, _, what) in steps {
        let depth = lines.iter().find(|(above, ..)| *above == parent).map_or(1, |(_, depth, _)| depth + 1);
        lines.push((id, depth, what));
    }
    Ok(lines.into_iter().map(|(_, depth, what)| format!("{}{what}", "  ".repeat(depth))).collect())
}

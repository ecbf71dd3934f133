//! Dry runs of every operation that changes something, by everybody: the database stays as it is, byte for
//! byte, the status is the real one's, and the changes are those that the journal then tells of.

use std::sync::atomic::{AtomicUsize, Ordering};

use registry::{
    Dir, PageQuery,
    journal::{JournalFilter, JournalOrder, Record},
};
use serde_json::{Value, json};

use crate::{
    app::{Engine, Send, start_open},
    persona::Persona,
    row::{At, Fresh, Row},
    rows::{UNLISTED, rows},
    stage::Stage,
    table::places,
};

/// Operations that are refused: what they do is not all in a transaction.
const NEVER: [&str; 7] = [
    "POST /restore",
    "POST /tokens",
    "POST /register",
    "PATCH /password",
    "POST /password/reset-request",
    "PUT /password/reset",
    "POST /register/invite/{secret}",
];

pub async fn runs(engine: Engine) {
    let server = start_open(engine).await;
    let stage = Stage::on(&server).await;
    for row in rows().iter().filter(|row| !UNLISTED.contains(&row.operation)) {
        if row.fresh == Fresh::Stage {
            run(row, &Stage::on(&server).await).await;
        } else {
            run(row, &stage).await;
        }
    }
}

async fn run(row: &Row, stage: &Stage<'_>) {
    let mut places = places(row.fresh, stage).await.into_iter();
    let mut asked = Vec::new();
    for (persona, _) in Persona::ALL {
        let place = places.next().unwrap_or(stage.home);
        let at = At::of(row, stage, persona, place).await;
        let credential = stage.credential(persona, place).await;
        let body = row.body(&at);
        asked.push((persona, at, credential, body));
    }
    stage.server.registry.write_activity().await.unwrap();
    let before = without_uses(stage.server.database.dump().await);
    for (_, at, credential, body) in &asked {
        row.request_with(stage, at, credential.as_deref(), "dry_run=true", body.clone()).reply().await;
    }
    let after = without_uses(stage.server.database.dump().await);
    let known: std::collections::HashSet<&String> = before.iter().collect();
    let changed: Vec<&String> = after.iter().filter(|row| !known.contains(row)).collect();
    assert!(after == before, "{} changes the database by dry runs: {changed:#?}", row.operation);
    for (persona, at, credential, body) in asked {
        // Once more, since what others did for good in between may be seen.
        let dry =
            row.request_with(stage, &at, credential.as_deref(), "dry_run=true", body.clone()).reply().await;
        if !row.writes() || NEVER.contains(&row.operation) {
            if dry.status != 401 {
                assert!(dry.expect(400)["errors"]["dry_run"].is_string(), "{} by {persona:?}", row.operation);
            }
            continue;
        }
        // Two rows may be about one operation.
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let id = format!("dry-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let request = row.request_with(stage, &at, credential.as_deref(), "", body);
        let real = request.header("x-request-id", &id).reply().await;
        if real.status >= 400 {
            assert_eq!(dry.status, real.status, "{} by {persona:?}: {dry:?} {real:?}", row.operation);
            continue;
        }
        let told = dry.expect(200);
        assert_eq!((&told["dry_run"], &told["status"]), (&json!(true), &json!(real.status)));
        let entries = journal(stage, &id).await;
        assert_eq!(told["total"], entries.len(), "{} by {persona:?}: {told}", row.operation);
        assert_eq!(dry_changes(&told), entries, "{} by {persona:?}", row.operation);
        for secret in ["thk_", "ses_", "pat_", "rst_", "inv_"] {
            assert!(!dry.text.contains(secret), "{} by {persona:?}: {}", row.operation, dry.text);
        }
    }
}

/// Without when access tokens were last used, which is noted beside any request: that there are as many stays.
fn without_uses(mut dump: Vec<String>) -> Vec<String> {
    dump.retain(|row| !row.starts_with("access_tokens: "));
    dump
}

/// What the journal tells of a request; without the ids of what was made by it.
async fn journal(stage: &Stage<'_>, request_id: &str) -> Vec<Value> {
    let query = PageQuery::new(Some(100), None, None, JournalOrder, Dir::Desc).unwrap();
    let registry = &stage.server.registry;
    let page = registry.list_journal(&stage.root(), &JournalFilter::default(), &query).await.unwrap();
    let mut entries: Vec<Record> =
        page.items.into_iter().filter(|entry| entry.request_id == request_id).collect();
    entries.reverse();
    entries
        .into_iter()
        .map(|entry| {
            let changes = entry.changes.map_or(Value::Null, |changes| json!(changes));
            comparable(
                &entry.action,
                json!(entry.subject_kind),
                json!(entry.subject_id),
                json!(entry.subject_name),
                changes,
            )
        })
        .collect()
}

fn dry_changes(told: &Value) -> Vec<Value> {
    told["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| {
            let [kind, id, name, changes] =
                ["subject_kind", "subject_id", "subject_name", "changes"].map(|name| change[name].clone());
            comparable(change["action"].as_str().unwrap(), kind, id, name, changes)
        })
        .collect()
}

fn comparable(action: &str, kind: Value, id: Value, name: Value, mut changes: Value) -> Value {
    // An invite that is made with it.
    if let Some(sleeps_on) = changes.get_mut("sleeps_on") {
        *sleeps_on = Value::Null;
    }
    let id = if action.ends_with(".created") { Value::Null } else { id };
    json!([action, kind, id, name, changes])
}

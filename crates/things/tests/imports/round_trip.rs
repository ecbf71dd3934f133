//! What is exported can be imported, and is the same again.

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};

use crate::{Scene, app::engines, counts, events, import, import_as, place};

/// Everything of a thing but its id and where it is.
fn content(thing: &Value) -> Value {
    json!([thing["name"], thing["type"], thing["external_key"], thing["status"], thing["metadata"]])
}

#[tokio::test]
async fn an_export_is_imported_into_another_group() {
    for engine in engines() {
        let scene = Scene::new(engine).await;
        let rows: String = (0..1_700)
            .map(|n| {
                let status = if n % 7 == 0 { "disabled" } else { "enabled" };
                let row = json!({
                    "name": format!("{}n {n}, \"x\"", ["", "=", "'", "'=", "-"][n % 5]),
                    "type": if n % 2 == 0 { "sensor" } else { "gateway" },
                    "status": status,
                    "metadata": { "n": n, "text": "a\nb\r\nc\t\"" },
                });
                format!("{row}\n")
            })
            .collect();
        let query = format!("profile_id={}", scene.profile);
        assert_eq!(counts(&events(&import(&scene.root, &scene.group, &query, &rows, "").await))[1], 1_700);
        let extra = json!([{ "name": "ext", "external_key": "+SN 000001" }]);
        scene.root.post(&format!("/profiles/{}/things", scene.profile), &extra).await.expect(201);

        for format in ["csv", "ndjson"] {
            let export = scene.root.get(&format!("/groups/{}/export?format={format}", scene.group)).await;
            assert_eq!(export.status, 200);
            assert!(!export.text.contains("thk_"));
            let ids: Vec<&str> = export.text.lines().filter_map(|line| line.get(..36)).collect();
            assert!(format == "ndjson" || ids[1..].is_sorted_by(|a, b| a < b || !a.contains("-7")), "by id");
            // Ids and external keys are one thing's alone: the same file changes nothing where it came from.
            let media = if format == "csv" { "text/csv" } else { "application/x-ndjson" };
            let query = "mode=upsert&match=id";
            let body = export.text.clone().into_bytes();
            let same = import_as(&scene.root, &scene.group, query, body, media, "").await;
            assert_eq!(counts(&events(&same)), [1_701, 0, 0, 1_701, 0]);
            // Elsewhere they are left out.
            let (group, _) = place(&scene.root, &scene.org, format).await;
            let body = match format {
                "csv" => export.text.clone(),
                _ => export.text.lines().map(|line| without(line, &["id", "external_key"])).collect(),
            };
            let query = if format == "csv" { "columns=id:-,external_key:-" } else { "" };
            let there = import_as(&scene.root, &group, query, body.into_bytes(), media, "").await;
            assert_eq!(counts(&events(&there)), [1_701, 1_701, 0, 0, 0]);
            let again = scene.root.get(&format!("/groups/{group}/export?format=ndjson")).await;
            let here = scene.root.get(&format!("/groups/{}/export?format=ndjson", scene.group)).await;
            let contents = |text: &str| -> Vec<Value> {
                let mut all: Vec<Value> = text
                    .lines()
                    .map(|line| content(&serde_json::from_str(&without(line, &["external_key"])).unwrap()))
                    .collect();
                all.sort_by_key(Value::to_string);
                all
            };
            assert_eq!(contents(&again.text), contents(&here.text));
        }
        let stranger = scene.server.person("eve@example.com").await;
        stranger.get(&format!("/groups/{}/export", scene.group)).await.problem(404);
    }
}

fn without(line: &str, names: &[&str]) -> String {
    let mut row: Value = serde_json::from_str(line).unwrap();
    for name in names {
        row.as_object_mut().unwrap().remove(*name);
    }
    format!("{row}\n")
}

/// Whatever text is in a thing, a CSV file brings it back.
#[test]
fn every_text_survives_a_csv_file() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for engine in engines() {
        let scene = runtime.block_on(Scene::new(engine));
        let (group, _) = runtime.block_on(place(&scene.root, &scene.org, "copy"));
        let name = prop::string::string_regex("[=+@'\",;a-zé -]{0,8}[a-z]['\" =]{0,3}[!]").unwrap();
        let text = prop::string::string_regex("['=+@\t\r\n\",\\\\a-z\u{2028}é-]{0,12}").unwrap();
        let rows = prop::collection::btree_map(name, text, 1..20);
        let mut runner =
            TestRunner::new(Config { cases: 12, failure_persistence: None, ..Config::default() });
        let outcome = runner.run(&rows, |rows| {
            runtime.block_on(async {
                let file: String = rows
                    .iter()
                    .map(|(name, text)| {
                        format!("{}\n", json!({ "name": name, "metadata": { "text": text } }))
                    })
                    .collect();
                let query = format!("mode=upsert&profile_id={}&partial=true", scene.profile);
                import(&scene.root, &scene.group, &query, &file, "").await;
                let csv = scene.root.get(&format!("/groups/{}/export", scene.group)).await.text;
                let query = "mode=upsert&columns=id:-";
                let done =
                    import_as(&scene.root, &group, query, csv.clone().into_bytes(), "text/csv", "").await;
                assert_eq!(counts(&events(&done))[4], 0);
                let copy = scene.root.get(&format!("/groups/{group}/export")).await.text;
                let tails = |csv: &str| {
                    let mut reader: Vec<String> =
                        records(csv).into_iter().map(|record| record[36..].to_owned()).collect();
                    reader.sort();
                    reader
                };
                assert_eq!(tails(&csv), tails(&copy));
            });
            Ok(())
        });
        outcome.unwrap();
    }
}

/// The records behind the header, as they are written.
fn records(csv: &str) -> Vec<String> {
    let mut records = vec![String::new()];
    let mut quoted = false;
    for c in csv.split_once("\r\n").unwrap().1.chars() {
        quoted ^= c == '"';
        records.last_mut().unwrap().push(c);
        if c == '\n' && !quoted {
            records.push(String::new());
        }
    }
    records.retain(|record| !record.is_empty());
    records
}

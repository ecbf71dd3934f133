//! Files that are refused, each with the line and the reason, and the database as it was.

use serde_json::Value;

use crate::{Scene, app::engines, events, import_as};

fn csv(text: &str) -> (&'static str, Vec<u8>) {
    ("text/csv", text.as_bytes().to_vec())
}

fn json(text: &str) -> (&'static str, Vec<u8>) {
    ("application/x-ndjson", text.as_bytes().to_vec())
}

/// Files, and what must be told of each.
fn files() -> Vec<((&'static str, Vec<u8>), &'static str)> {
    let deep = |opening: &str, closing: &str| {
        format!("{{\"name\":\"a\",\"metadata\":{{\"a\":{}1{}}}}}\n", opening.repeat(40), closing.repeat(40))
    };
    vec![
        (csv(""), "must begin with a line of column names"),
        (csv("\n\nname\na\n"), "line 3: the file must begin"),
        (csv("name,colour\na,red\n"), "line 1: `colour` is not a known column"),
        (csv("name;type\na;sensor\n"), "line 1: `name;type` is not a known column"),
        (csv("type\nsensor\n"), "line 1: there is no column `name`"),
        (csv("name,name\na,b\n"), "line 1: two columns are `name`"),
        (csv("name,metadata.a,metadata.a.b\na,1,2\n"), "`metadata.a` is also the beginning"),
        (csv("name,metadata.\na,1\n"), "line 1: `metadata.` is not a known column"),
        (csv("name,metadata.a:date\na,1\n"), "line 1: `metadata.a:date` is not a known column"),
        (csv(&format!("name,metadata{}\nx,1\n", ".a".repeat(33))), "line 1: `metadata.a.a"),
        (csv(&format!("name,metadata{}\nx,1\n", ".a".repeat(33))), "deeper than the 32 levels"),
        // Deep enough to be too much for a thread's stack, and as deep as a row can name.
        (csv(&format!("name,metadata{}\nx,1\n", ".a".repeat(8_000))), "deeper than the 32 levels"),
        (csv(&format!("name,metadata{}:json\nx,1\n", ".a".repeat(500_000))), "deeper than the 32 levels"),
        (csv(&format!("name,metadata.{}\nx,1\n", "a".repeat(257))), "longer than 256 bytes"),
        (
            csv(&format!("name,metadata{}:json\nx,{{}}\n", ".a".repeat(32))),
            "line 2: must be nested at most 32 levels",
        ),
        (csv("name,profile,profile_id\na,b,c\n"), "not both"),
        (csv("name\n\"a\nb\nc\n"), "line 2: a quote is opened and not closed"),
        (csv("name,type\na\n"), "line 2: has 1 cells, and there are 2 columns"),
        (csv("name\na,b\n"), "line 2: has 2 cells, and there are 1 columns"),
        (csv("name\na\"b\nc\"d\n"), "line 2: has a quote in the middle"),
        (("text/csv", b"name\n\xff\xfe\n".to_vec()), "line 2: is not UTF-8"),
        (("text/csv", b"na\xe4me\na\n".to_vec()), "line 1: is not UTF-8"),
        (
            ("text/csv", [b"name\n".to_vec(), vec![b'a'; 1_100_000]].concat()),
            "line 2: the row is longer than 1024 KiB",
        ),
        (("text/csv", [b"name\n\"".to_vec(), b"a\n".repeat(600_000)].concat()), "a quote may not be closed"),
        (csv(&format!("{}\n", vec!["metadata.a"; 1_200].join(","))), "more than 1000 cells"),
        (csv(&format!("name\n{}\n", "n".repeat(1_025))), "line 2: must be at most 1024 characters"),
        (csv("name\na\u{202e}b\n"), "line 2: must not contain the character U+202E"),
        (csv("name,key\na,short\n"), "line 2: must be from 16 to 512 bytes"),
        (csv("name,key\na,thk_0123456789abcdefghijklmnopqrstuvwxyz\n"), "line 2: looks like a generated key"),
        (
            csv("name,key,external_key\na,0123456789abcdef,0123456789abcdef\n"),
            "line 2: must differ from the key",
        ),
        (csv("name,id\na,not-an-id\n"), "line 2: must be a lower-case hyphenated UUID"),
        (csv("name,status\na,broken\n"), "line 2: must be one of enabled, disabled"),
        (csv("name,profile\na,nowhere\n"), "line 2: is no profile of this group"),
        (csv("name\na\na\n"), "line 3: is the same as in row 1"),
        (csv("name,metadata\na,[1]\n"), "line 2: must be a JSON object"),
        (csv("name,metadata\na,\"{\"\"a\"\":1,\"\"a\"\":2}\"\n"), "line 2: has the member"),
        (csv("name,metadata.a:number\na,1e999\n"), "line 2: must be a number"),
        (csv("name,metadata.a:json\na,\"1,\"\"b\"\":2\"\n"), "line 2: must be valid JSON"),
        (
            csv("name,metadata,metadata.a.b\na,\"{\"\"a\"\":1}\",2\n"),
            "line 2: is inside of something that is no object",
        ),
        (json("{\"name\":\"a\",\"colour\":\"red\"}\n"), "line 1: is not a known field"),
        (json("{\"name\":\"a\"}\n{\"name\":\n"), "line 2: must be valid JSON"),
        (json("{\"name\":\"a\",\"name\":\"b\"}\n"), "line 1: is given twice"),
        (json("{\"name\":5}\n"), "line 1: must be a string"),
        (json("{\"name\":\"a\"} {\"name\":\"b\"}\n"), "line 1: must hold one JSON object"),
        (json("{\"name\":\"a\",\"metadata\":[]}\n"), "line 1: must be a JSON object"),
        (
            json("{\"name\":\"a\",\"metadata\":{\"n\":1e131071}}\n"),
            "line 1: must be valid JSON: number out of range",
        ),
        (json(&deep("[", "]")), "line 1: must be nested at most 32 levels deep"),
        (json(&deep("{\"a\":", "}")), "line 1: must be nested at most 32 levels deep"),
        (
            json(&format!("{{\"name\":\"a\",\"metadata\":{{\"a\":\"{}\"}}}}\n", "x".repeat(70_000))),
            "line 1: must be at most 65536 bytes",
        ),
    ]
}

#[tokio::test]
async fn hostile_files_are_refused_with_line_and_reason() {
    for engine in engines() {
        let scene = Scene::new(engine).await;
        scene.import("", "name\nthere\n").await;
        let before = scene.server.database.dump().await;
        assert!(files().len() >= 30);
        for ((media, body), reason) in files() {
            let shown: String = String::from_utf8_lossy(&body).chars().take(60).collect();
            let query = format!("profile_id={}", scene.profile);
            let reply = import_as(&scene.root, &scene.group, &query, body, media, "").await;
            let problem: Value = match reply.status {
                200 => events(&reply).last().unwrap()["problem"].clone(),
                _ => reply.expect(400),
            };
            assert!(problem["errors"].to_string().contains(reason), "{shown}: {problem}");
        }
        assert_eq!(scene.server.database.dump().await, before);
        let deepest = format!("name,metadata{}\nx,1\n", ".a".repeat(32));
        assert_eq!(scene.import("dry_run=true", &deepest).await.expect(200)["import"]["created"], 1);

        for (query, reason) in [
            ("mode=replace", "mode"),
            ("match=name", "match"),
            ("mode=upsert&match=key", "match"),
            ("columns=Serial", "columns"),
            ("columns=Serial:name", "columns"),
            ("profile_id=x", "profile_id"),
            ("colour=red", "colour"),
            ("partial=maybe", "partial"),
        ] {
            let reply =
                import_as(&scene.root, &scene.group, query, b"name\na\n".to_vec(), "text/csv", "").await;
            assert!(reply.expect(400)["errors"][reason].is_string(), "{query}: {}", reply.text);
        }
        let path = format!("/groups/{}/import", scene.group);
        scene.root.post(&path, &serde_json::json!([])).await.problem(415);
    }
}

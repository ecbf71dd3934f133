//! Files of things: imported, exported, and printed as labels.

use std::collections::BTreeSet;

use crate::{
    app::{engines, start},
    typed::{Shell, mode},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_file_becomes_things_once_and_comes_back() {
    for engine in engines() {
        let server = start(engine).await;
        let shell = Shell::of(&server, &server.person("ada@example.com").await);
        shell.ok(&["org", "create", "Nordlicht"]);
        for group in ["A", "B"] {
            shell.ok(&["group", "create", group, "--org", "Nordlicht"]);
            shell.ok(&["profile", "create", "P", "--group", group]);
        }
        let rows: String = (0..50).map(|n| format!("SN-{n:06},pump {n},sensor,Porto,note\n")).collect();
        std::fs::write(shell.path("d.csv"), format!("Serial,name,type,metadata.site,Notes\n{rows}")).unwrap();
        let into = |group: &'static str, keys: &'static str| {
            let columns = "Serial:external_key,Notes:-";
            vec!["import", "d.csv", "--group", group, "--profile", "P", "--columns", columns, "--keys", keys]
        };
        let dry = shell.ok(&[&into("A", "k.csv")[..], &["--dry-run"]].concat());
        assert!(dry.contains("nothing is changed: 50 rows: 50 made"), "{dry}");
        assert!(!shell.path("k.csv").exists());
        let done = shell.run(&into("A", "k.csv"));
        assert!(done.code == Some(0) && done.err.contains("50 keys are in k.csv"), "{done:?}");
        assert_eq!(mode(&shell.path("k.csv")), 0o600);
        assert!(!shell.path("k.csv.resume").exists(), "it has ended");
        let keys = std::fs::read_to_string(shell.path("k.csv")).unwrap();
        let line: Vec<&str> = keys.lines().nth(7).unwrap().split(',').collect();
        let found =
            server.anonymous.post("/identify", &serde_json::json!({"key": line[2]})).await.expect(200);
        assert_eq!((found["id"].as_str(), line[1]), (Some(line[0]), "pump 6"));

        // Neither the keys' file nor the things are made again.
        assert!(shell.fails(2, &into("A", "k.csv")).contains("exists"));
        let told = shell.fails(1, &into("A", "other.csv"));
        assert!(told.contains("line 2, ") && told.contains("request "), "{told}");
        assert!(!shell.path("other.csv").exists() && !shell.path("other.csv.resume").exists());

        // What can be made is, and the rest is told as it was.
        let more = "SN-900000,new one,sensor,Porto,note\nSN-900001,another,toaster,Porto,note\n";
        std::fs::write(shell.path("d.csv"), format!("Serial,name,type,metadata.site,Notes\n{rows}{more}"))
            .unwrap();
        let told = shell.fails(1, &[&into("A", "k2.csv")[..], &["--partial", "--rejects", "r.csv"]].concat());
        assert!(told.contains("51 rows were rejected") && told.contains("r.csv"), "{told}");
        let rejects = std::fs::read_to_string(shell.path("r.csv")).unwrap();
        assert!(rejects.starts_with("Serial,name,type,metadata.site,Notes,error\n"), "{rejects}");
        assert!(
            rejects.contains("\nSN-900001,another,toaster,Porto,note,") && !rejects.contains("new one"),
            "{rejects}"
        );
        assert_eq!(std::fs::read_to_string(shell.path("k2.csv")).unwrap().lines().count(), 2);

        // An unfinished one is known again, and nothing else goes under its key.
        let state = r#"{"idempotency_key":"k","fingerprint":"another"}"#;
        std::fs::write(shell.path("k3.csv.resume"), state).unwrap();
        assert!(shell.fails(6, &into("B", "k3.csv")).contains("another file"));

        shell.ok(&["export", "--group", "A", "--to", "a.csv"]);
        let exported = shell.ok(&["export", "--group", "A"]);
        assert_eq!(exported, std::fs::read_to_string(shell.path("a.csv")).unwrap());
        assert_eq!(shell.ok(&["export", "--group", "A", "--format", "ndjson"]).lines().count(), 51);
        shell.ok(&[
            "import",
            "a.csv",
            "--group",
            "B",
            "--columns",
            "id:-,external_key:-",
            "--keys",
            "kb.csv",
        ]);
        let names = |group: &str| -> BTreeSet<String> {
            let things = shell.json(&["thing", "list", "--group", group, "--all"]);
            things
                .as_array()
                .unwrap()
                .iter()
                .map(|thing| format!("{} {}", thing["name"], thing["metadata"]))
                .collect()
        };
        assert_eq!(names("A"), names("B"));
        assert!(
            shell
                .fails(5, &["import", "a.csv", "--group", "C", "--keys", "c.csv"])
                .contains("no group named C")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_are_printed_for_all_things_of_a_group() {
    for engine in engines() {
        let server = start(engine).await;
        let shell = Shell::of(&server, &server.person("ada@example.com").await);
        shell.ok(&["org", "create", "Nordlicht"]);
        shell.ok(&["group", "create", "G", "--org", "Nordlicht"]);
        assert!(shell.fails(5, &["labels", "--group", "G", "--to", "l.pdf"]).contains("no things"));
        shell.ok(&["profile", "create", "P", "--group", "G"]);
        for (name, key) in [("Boiler <room>", "SN-004217"), ("温度 1", "SN-004218"), ("c", &"k".repeat(500))]
        {
            shell.ok(&["thing", "create", name, "--group", "G", "--profile", "P", "--external-key", key]);
        }
        let all = ["labels", "--group", "G", "--columns", "1", "--rows", "2"];
        let done = shell.run(&[&all[..], &["--to", "l.pdf", "--size", "letter"]].concat());
        assert!(
            done.out.contains("3 labels on 2 pages: l.pdf") && done.err.contains("1 label has letters"),
            "{done:?}"
        );
        assert!(std::fs::read(shell.path("l.pdf")).unwrap().starts_with(b"%PDF-"));
        let done = shell.ok(&[&all[..], &["--to", "l.svg"]].concat());
        assert!(done.contains("l-1.svg to l-2.svg"), "{done}");
        let first = std::fs::read_to_string(shell.path("l-1.svg")).unwrap();
        assert!(first.contains("Boiler &lt;room&gt;") && first.contains("温度 1"), "{first}");
        let one =
            shell.ok(&["labels", "--group", "G", "--to", "one.svg", "--code", "https://example.com/{id}"]);
        assert!(one.contains("3 labels on 1 page: one.svg"), "{one}");
        shell.ok(&["thing", "external-key", "c", "--remove", "--yes"]);
        let told = shell.fails(1, &["labels", "--group", "G", "--to", "k.svg", "--code", "external-key"]);
        assert!(told.contains("c (") && !shell.path("k.svg").exists(), "{told}");
        // The thing that stands in the way is on the third page; those before it do not appear either.
        let one_each = ["labels", "--group", "G", "--columns", "1", "--rows", "1", "--to", "k.svg"];
        let told = shell.fails(1, &[&one_each[..], &["--code", "external-key"]].concat());
        assert!(told.contains("c ("), "{told}");
        let left = std::fs::read_dir(shell.home.path()).unwrap();
        let left: Vec<_> = left.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        assert!(!left.iter().any(|name| name.starts_with("k")), "{left:?}");
        let address = format!("https://example.com/{}{{id}}", "x".repeat(3000));
        assert!(
            shell
                .fails(1, &["labels", "--group", "G", "--to", "k.svg", "--code", &address])
                .contains("Boiler")
        );
        assert!(shell.fails(2, &["labels", "--group", "G", "--to", "k.doc"]).contains(".pdf or .svg"));
        assert!(
            shell
                .fails(2, &["labels", "--group", "G", "--to", "k.svg", "--code", "{key}"])
                .contains("{external_key}")
        );
    }
}

//! Rows that an import leaves out, how they come back, and what is said of mistakes.

use crate::{
    app::{engines, start},
    typed::Shell,
};

#[tokio::test(flavor = "multi_thread")]
async fn rejected_rows_are_put_right_and_imported_again() {
    for engine in engines() {
        let server = start(engine).await;
        let shell = Shell::of(&server, &server.person("ada@example.com").await);
        shell.furnish();
        std::fs::write(shell.path("d.csv"), "name,type\na,sensor\nb,toaster\nc,kettle\n").unwrap();
        let import = |file: &'static str, keys: &'static str, rejects: &'static str| {
            let into = ["--group", "G", "--profile", "P", "--partial"];
            [&["import", file, "--keys", keys, "--rejects", rejects][..], &into].concat()
        };
        // A dry run writes what it tells of.
        let told = shell.fails(1, &[&import("d.csv", "k.csv", "dry.csv")[..], &["--dry-run"]].concat());
        assert!(told.contains("2 rows would be rejected; dry.csv has them"), "{told}");
        let dry = std::fs::read_to_string(shell.path("dry.csv")).unwrap();
        assert!(dry.starts_with("name,type,error\nb,toaster,") && dry.lines().count() == 3, "{dry}");
        assert!(shell.json(&["thing", "list"]).as_array().unwrap().is_empty());

        let told = shell.fails(1, &import("d.csv", "k.csv", "r.csv"));
        assert!(told.contains("2 rows were rejected; r.csv has them"), "{told}");
        assert!(told.contains("1 key is in k.csv"), "{told}");
        assert_eq!(std::fs::read_to_string(shell.path("r.csv")).unwrap(), dry);
        // One of them is put right; the other has its reason once, not twice.
        std::fs::write(shell.path("r.csv"), dry.replace("b,toaster", "b,sensor")).unwrap();
        let told = shell.fails(1, &import("r.csv", "k2.csv", "r2.csv"));
        assert!(told.contains("1 row was rejected"), "{told}");
        let again = std::fs::read_to_string(shell.path("r2.csv")).unwrap();
        assert!(again.starts_with("name,type,error\nc,kettle,") && again.lines().count() == 2, "{again}");
        assert_eq!(shell.json(&["thing", "list"]).as_array().unwrap().len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_is_imported_as_a_file_is() {
    for engine in engines() {
        let server = start(engine).await;
        let shell = Shell::of(&server, &server.person("ada@example.com").await);
        shell.furnish();
        let into = ["--format", "csv", "--group", "G", "--profile", "P", "--partial"];
        let files = ["--keys", "k.csv", "--rejects", "r.csv"];
        let import = [&["import", "/dev/stdin"][..], &into, &files].concat();
        let rows: String = (0..3_000).map(|n| format!("pump {n},sensor\n")).collect();
        let done = shell.fed(&import, &format!("name,type\n{rows}valve,toaster\n"));
        assert!(done.code == Some(1) && done.err.contains("1 row was rejected"), "{done:?}");
        assert_eq!(std::fs::read_to_string(shell.path("k.csv")).unwrap().lines().count(), 3_001);
        assert!(std::fs::read_to_string(shell.path("r.csv")).unwrap().contains("\nvalve,toaster,"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_told_once_and_in_options() {
    for engine in engines() {
        let server = start(engine).await;
        let shell = Shell::of(&server, &server.person("ada@example.com").await);
        shell.ok(&["org", "create", "Nordlicht"]);
        shell.ok(&["group", "create", "G", "--org", "Nordlicht"]);
        let import = ["import", "d.csv", "--group", "G", "--keys", "k.csv"];
        std::fs::write(shell.path("d.csv"), "name,Serial\na,1\n").unwrap();
        let told = shell.fails(1, &import);
        assert!(
            told.starts_with("things: cannot import: 1 mistake in the file, and nothing is made\n"),
            "{told}"
        );
        assert!(told.contains("\n  line 1: `Serial` is not a known column"), "{told}");
        assert!(told.contains("--columns Serial:<field>") && !told.contains("columns=Serial"), "{told}");
        assert_eq!(told.matches("not a known column").count(), 1, "{told}");
        std::fs::write(shell.path("d.csv"), "name,type\na,toaster\n,sensor\n").unwrap();
        let told = shell.fails(1, &import);
        assert!(told.contains("--profile for all rows") && !told.contains("profile_id"), "{told}");
    }
}

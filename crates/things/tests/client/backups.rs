//! A whole installation as a file.

use crate::{
    app::{ROOT_PASSWORD, engines, start},
    typed::{Shell, mode},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_whole_and_for_its_owner_or_it_is_not_there() {
    for engine in engines() {
        let server = start(engine).await;
        let ada = Shell::of(&server, &server.person("ada@example.com").await);
        let root = Shell::of(&server, &server.root().await);
        ada.ok(&["org", "create", "Nordlicht"]);
        ada.fails(4, &["backup", "--to", "all.ndjson"]);
        assert_eq!(std::fs::read_dir(ada.home.path()).unwrap().count(), 0, "nothing is left of it");

        let done = root.run(&["backup", "--to", "all.ndjson"]);
        assert_eq!(done.code, Some(0), "{done:?}");
        let file = root.path("all.ndjson");
        assert_eq!(mode(&file), 0o600);
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(
            text.contains("Nordlicht") && text.lines().last().unwrap().contains("\"end\":true"),
            "{text}"
        );
        let rows = text.lines().count() - 2;
        assert!(done.err.contains(&format!("holds {rows} rows")), "{done:?}");

        // It fills another one, which is empty and has the same keys.
        let other = start(engine).await;
        let there = Shell::of(&other, &other.root().await);
        let done = there.run(&["restore", file.to_str().unwrap(), "--yes"]);
        assert!(done.code == Some(0) && done.out.contains("everything is restored"), "{done:?}");
        let ada_there = Shell::of(&other, &other.log_in("ada@example.com", ROOT_PASSWORD).await);
        assert_eq!(ada_there.json(&["org", "list"]), ada.json(&["org", "list"]));

        // This installation is not empty.
        assert!(root.fails(2, &["restore", "all.ndjson"]).contains("--yes"));
        let told = root.run(&["restore", "all.ndjson", "--yes"]);
        assert!(matches!(told.code, Some(1 | 6)) && told.err.contains("cannot restore: "), "{told:?}");
        // A file that is cut is refused, whatever it was.
        std::fs::write(&file, &text[..text.len() / 2]).unwrap();
        let told = root.run(&["restore", "all.ndjson", "--yes"]);
        assert!(matches!(told.code, Some(1 | 6)) && told.err.contains("cannot restore: "), "{told:?}");
        assert_eq!(ada.json(&["org", "list"]).as_array().unwrap().len(), 1);
    }
}

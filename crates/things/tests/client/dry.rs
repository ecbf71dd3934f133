//! What `--dry-run` tells, and that nothing happens with it, whatever the command.

use crate::{
    app::{engines, start},
    typed::Shell,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_the_effect_and_has_none() {
    for engine in engines() {
        let server = start(engine).await;
        let shell = Shell::of(&server, &server.person("ada@example.com").await);
        let told = shell.ok(&["org", "create", "Nordlicht", "--dry-run"]);
        assert!(told.contains("dry run: ") && told.contains("org.created"), "{told}");
        assert_eq!(shell.json(&["org", "list"]), serde_json::json!([]));
        shell.ok(&["org", "create", "Nordlicht"]);
        // Nobody is asked about what will not happen.
        let told = shell.json(&["org", "delete", "Nordlicht", "--dry-run"]);
        assert_eq!(told["dry_run"], true);
        shell.ok(&["--dry-run", "org", "update", "Nordlicht", "--name", "Other"]);
        assert_eq!(shell.json(&["org", "list"])[0]["name"], "Nordlicht");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_noun_has_dry_runs_that_leave_it_as_it_was() {
    for engine in engines() {
        let server = start(engine).await;
        server.person("ben@example.com").await;
        let shell = Shell::of(&server, &server.person("ada@example.com").await);
        shell.furnish();
        shell.ok(&[
            "thing",
            "create",
            "pump",
            "--group",
            "G",
            "--profile",
            "P",
            "--external-key",
            "SN-000001",
        ]);
        shell.ok(&["invite", "create", "eve@example.com", "--org", "Nordlicht", "--role", "viewer"]);
        let invite = shell.json(&["invite", "list", "--sent"])[0]["id"].as_str().unwrap().to_owned();
        shell.ok(&["token", "create", "ci"]);
        let lists = [
            &["org", "list"][..],
            &["group", "list"],
            &["profile", "list"],
            &["thing", "list"],
            &["member", "list", "--org", "Nordlicht"],
            &["invite", "list", "--sent"],
            &["token", "list"],
        ];
        let state = || lists.map(|list| shell.json(list));
        let before = state();
        for change in [
            &["org", "hand-over", "Nordlicht", "--to", "ben@example.com"][..],
            &["group", "create", "H", "--org", "Nordlicht"],
            &["group", "delete", "G"],
            &["profile", "update", "P", "--name", "Q"],
            &["thing", "create", "valve", "--group", "G", "--profile", "P"],
            &["thing", "rotate", "pump"],
            &["thing", "external-key", "pump", "--remove"],
            &["thing", "disable", "pump"],
            &["thing", "delete", "pump"],
            &["member", "add", "ben@example.com", "--org", "Nordlicht", "--role", "viewer"],
            &["invite", "create", "max@example.com", "--org", "Nordlicht", "--role", "viewer"],
            &["invite", "revoke", &invite],
            &["token", "create", "another"],
            &["token", "revoke", "ci"],
        ] {
            let done = shell.run(&[change, &["--dry-run"]].concat());
            if change[1] == "hand-over" {
                // Ben is no member: a dry run fails as the change would.
                assert_eq!(done.code, Some(5), "{done:?}");
            } else {
                assert!(done.code == Some(0) && done.out.contains("would be made"), "{change:?}: {done:?}");
                assert!(!done.out.contains("thk_") && !done.out.contains("tok_"), "{done:?}");
            }
        }
        assert_eq!(state(), before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_dry_run_is_refused_with_it() {
    for engine in engines() {
        let server = start(engine).await;
        let ada = server.person("ada@example.com").await;
        let shell = Shell::of(&server, &ada);
        let url = crate::typed::url(&server);
        let done = shell.fed(&["login", "--token-stdin", "--context", "here", "--url", &url], ada.token());
        assert_eq!(done.code, Some(0), "{done:?}");
        std::fs::write(shell.path("b.ndjson"), "{}\n").unwrap();
        for command in [
            &["logout"][..],
            &["context", "remove", "here"],
            &["thing", "key", "pump"],
            &["backup", "--to", "all.ndjson"],
            &["restore", "b.ndjson"],
            &["export", "--group", "G"],
            &["org", "list"],
        ] {
            assert!(shell.fails(2, &[command, &["--dry-run"]].concat()).contains("--dry-run"), "{command:?}");
            let told = shell.fails(2, &[&["--dry-run"], command].concat());
            assert!(told.contains("takes no --dry-run"), "{command:?}: {told}");
        }
        assert!(
            shell.fails(2, &["thing", "--dry-run", "key", "pump"]).contains("thing key takes no --dry-run")
        );
        assert!(shell.json(&["context", "list"]).to_string().contains("here"));
        assert!(!shell.path("all.ndjson").exists());
        // The reason that the server has is one of a restore.
        let root = server.root().await;
        let told = root.post("/restore?dry_run=true", &serde_json::Value::Null).await.expect(400);
        assert!(told["detail"].as_str().unwrap().contains("scratch installation"), "{told}");
    }
}

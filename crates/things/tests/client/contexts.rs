//! Several servers, and a log-in at each.

use crate::{
    app::{engines, start},
    typed::{Shell, mode, url},
};

#[tokio::test(flavor = "multi_thread")]
async fn log_ins_are_remembered_for_their_owner_and_their_server_only() {
    for engine in engines() {
        let (one, two) = (start(engine).await, start(engine).await);
        let ada = one.person("ada@example.com").await;
        let eve = two.person("eve@example.com").await;
        let shell = Shell::bare();
        let wrong = shell.fed(&["--url", &url(&one), "login", "--token-stdin"], "not-a-token\n");
        assert_eq!(wrong.code, Some(4), "{wrong:?}");
        let done = shell.fed(&["--url", &url(&one), "login", "--token-stdin"], &format!("{}\n", ada.token()));
        assert_eq!(done.code, Some(0), "{done:?}");
        let file = shell.path(".config/things/contexts.toml");
        assert_eq!(mode(&file), 0o600);
        assert_eq!(mode(file.parent().unwrap()), 0o700);
        assert!(shell.ok(&["whoami"]).contains("ada@example.com"));
        // The token is not sent to another server.
        assert!(shell.fails(4, &["--url", &url(&two), "whoami"]).contains("things login"));

        let done =
            shell.fed(&["login", "--token-stdin", "--context", "other", "--url", &url(&two)], eve.token());
        assert_eq!(done.code, Some(0), "{done:?}");
        assert!(shell.ok(&["whoami"]).contains("eve@example.com"), "the newest is in use");
        let first = url(&one).trim_start_matches("http://").to_owned();
        assert!(shell.ok(&["--context", &first, "whoami"]).contains("ada@example.com"));
        shell.ok(&["context", "use", &first]);
        let listed = shell.json(&["context", "list"]);
        assert_eq!(listed.as_array().unwrap().len(), 2, "{listed}");
        assert!(!listed.to_string().contains(ada.token()), "tokens are not shown");
        assert!(shell.ok(&["whoami"]).contains("ada@example.com"));
        assert!(shell.fails(5, &["context", "use", "nowhere"]).contains("there are: "));

        // An access token, or one that was given as such, is forgotten and goes on.
        shell.ok(&["logout"]);
        assert!(shell.fails(4, &["whoami"]).contains("things login"));
        ada.get("/users/profile").await.expect(200);
        shell.ok(&["context", "remove", "other"]);

        // A token in the environment counts before any log-in, and is said to if it is in the way.
        let mut shadowed = Shell::bare();
        shadowed.variables = vec![("THINGS_TOKEN", "tok_old".to_owned()), ("THINGS_URL", url(&one))];
        assert!(shadowed.fails(4, &["whoami"]).contains("THINGS_TOKEN is set, and was refused"));
        let done = shadowed.fed(&["login", "--token-stdin", "--context", "mine"], ada.token());
        assert!(done.code == Some(0) && done.err.contains("counts before this log-in"), "{done:?}");
        assert!(shadowed.ok(&["whoami", "--context", "mine"]).contains("ada@example.com"));

        std::fs::write(&file, "current = \"x\"\n[contexts.x]\nurl = 1\n").unwrap();
        let told = shell.fails(2, &["whoami"]);
        assert!(told.contains("contexts.toml:3") && !told.contains("url = 1"), "{told}");
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        assert!(shell.fails(1, &["whoami"]).contains("chmod 600"));
        let _ = shell;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_accounts_on_one_server_are_two_contexts() {
    for engine in engines() {
        let server = start(engine).await;
        let (ada, ben) = (server.person("ada@example.com").await, server.person("ben@example.com").await);
        let shell = Shell::bare();
        // Logging in again is no second account.
        for person in [&ada, &ben, &ben] {
            let done = shell.fed(&["--url", &url(&server), "login", "--token-stdin"], person.token());
            assert_eq!(done.code, Some(0), "{done:?}");
            assert!(!done.err.contains("not encrypted"), "this machine is as good as encrypted: {done:?}");
        }
        let host = url(&server).trim_start_matches("http://").to_owned();
        assert!(shell.ok(&["whoami"]).contains("ben@example.com"), "the newest is in use");
        assert!(shell.ok(&["whoami", "--context", &host]).contains("ada@example.com"));
        assert!(shell.ok(&["whoami", "--context", &format!("{host}/ben@example.com")]).contains("ben@"));
        assert_eq!(shell.json(&["context", "list"]).as_array().unwrap().len(), 2);
    }
}

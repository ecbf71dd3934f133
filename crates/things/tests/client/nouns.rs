//! The nouns and their verbs, by names and ids, in all forms of output.

use serde_json::Value;

use crate::{
    app::{engines, start},
    typed::{Shell, mode},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_made_found_changed_and_deleted_by_names() {
    for engine in engines() {
        let server = start(engine).await;
        let shell = Shell::of(&server, &server.person("ada@example.com").await);
        shell.ok(&["org", "create", "Nordlicht", "--description", "up north"]);
        shell.ok(&["--org", "Nordlicht", "group", "create", "Cold stores"]);
        let within = ["--org", "Nordlicht", "--group", "Cold stores"];
        let run = |arguments: &[&str]| shell.ok(&[&within, arguments].concat());
        run(&["profile", "create", "Sensors", "--content-type", "application/senml+json"]);
        let made = shell.run(&[
            "thing",
            "create",
            "Boiler room",
            "--group",
            "Cold stores",
            "--profile",
            "Sensors",
            "--type",
            "sensor",
            "--external-key",
            "SN-004217",
            "--metadata",
            r#"{"floor": -1, "note": "\u009b31m=cmd"}"#,
        ]);
        assert_eq!(made.code, Some(0), "{made:?}");
        let key = made.out.trim().to_owned();
        assert!(key.starts_with("thk_"), "the key alone is on the standard output: {made:?}");
        let identified =
            server.anonymous.post("/identify", &serde_json::json!({"key": key})).await.expect(200);

        let listed = run(&["thing", "list"]);
        assert!(
            listed.starts_with("ID ") && listed.contains("Boiler room") && listed.contains("SN-004217"),
            "{listed}"
        );
        let thing = shell.json(&[&within[..], &["thing", "show", "Boiler room"]].concat());
        assert_eq!(thing["id"], identified["id"]);
        assert!(thing.get("key").is_none(), "a key is shown by `thing key` only");
        let id = thing["id"].as_str().unwrap();
        // By id it needs no place. A terminal is not given control characters, nor is anything else.
        let shown = shell.ok(&["thing", "show", id]);
        assert!(shown.contains("\\u{9b}") && !shown.contains('\u{9b}'), "{shown}");
        assert!(!shell.ok(&["thing", "show", id, "-o", "json"]).contains('\u{9b}'));

        let own = shell.fed(
            &[&["thing", "create", "Old one", "--profile", "Sensors", "--key-stdin"], &within[..]].concat(),
            "a-key-of-its-own\n",
        );
        assert_eq!((own.code, own.out.as_str()), (Some(0), "a-key-of-its-own\n"), "{own:?}");

        run(&["thing", "update", "Boiler room", "--name", "Boiler", "--metadata", "{}"]);
        assert_eq!(shell.json(&["thing", "show", id])["name"], "Boiler");
        run(&["thing", "disable", "Boiler"]);
        assert_eq!(shell.json(&["thing", "show", id])["status"], "disabled");
        run(&["thing", "enable", "Boiler"]);
        let file = shell.path("key");
        let rotated =
            run(&["thing", "rotate", "Boiler", "--overlap", "60", "--key-file", file.to_str().unwrap()]);
        assert!(!rotated.contains("thk_"), "{rotated}");
        assert_eq!(mode(&file), 0o600);
        assert!(std::fs::read_to_string(&file).unwrap().starts_with("thk_"));
        // What ends at once is asked about, however that was said.
        for ends in [
            &["thing", "rotate", id][..],
            &["thing", "rotate", id, "--overlap", "0"],
            &["thing", "external-key", id, "--remove"],
        ] {
            assert!(shell.fails(2, ends).contains("--yes"), "{ends:?}");
        }
        // A file that exists is not overwritten, and no new key is made for it.
        let told =
            shell.fails(2, &["thing", "rotate", id, "--overlap", "60", "--key-file", file.to_str().unwrap()]);
        assert!(told.contains("exists"), "{told}");
        let kinds = shell.json(&["thing", "credentials", id]);
        assert_eq!(kinds.as_array().unwrap().len(), 3, "{kinds}");

        run(&["profile", "create", "Others"]);
        run(&["thing", "move", "Boiler", "--to-profile", "Others"]);
        let told = shell.fails(6, &[&within[..], &["profile", "delete", "Others", "--yes"]].concat());
        assert!(
            told.contains("cannot delete the profile: ") && told.contains("shows what uses it"),
            "{told}"
        );
        // Nobody is there to ask.
        let told = shell.fails(2, &["thing", "delete", id]);
        assert!(told.contains("--yes"), "{told}");
        shell.ok(&["thing", "delete", id, "--yes"]);
        let told = shell.fails(5, &["thing", "show", id]);
        assert!(told.contains("not found") || told.contains("no such"), "{told}");
        assert!(told.contains("request "), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_several_are_refused_with_their_ids() {
    for engine in engines() {
        let server = start(engine).await;
        let shell = Shell::of(&server, &server.person("ada@example.com").await);
        shell.ok(&["org", "create", "Nordlicht"]);
        let mut ids = Vec::new();
        for group in ["A", "B"] {
            shell.ok(&["group", "create", group, "--org", "Nordlicht"]);
            shell.ok(&["profile", "create", "P", "--group", group]);
            let made = shell.json(&["thing", "create", "pump", "--group", group, "--profile", "P"]);
            ids.push(made["id"].as_str().unwrap().to_owned());
        }
        let told = shell.fails(2, &["thing", "show", "pump"]);
        assert!(ids.iter().all(|id| told.contains(id)), "{told}");
        assert_eq!(shell.json(&["thing", "show", "pump", "--group", "B"])["id"], ids[1].as_str());
        // Part of a name is not the name.
        assert!(shell.fails(5, &["thing", "show", "pum"]).contains("no thing named pum"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_say_when_there_is_more_and_come_in_every_form() {
    for engine in engines() {
        let server = start(engine).await;
        let ada = server.person("ada@example.com").await;
        let shell = Shell::of(&server, &ada);
        let empty = shell.run(&["org", "list"]);
        assert_eq!((empty.code, empty.out.as_str()), (Some(0), ""), "{empty:?}");
        assert_eq!(shell.json(&["org", "list"]), serde_json::json!([]));
        shell.ok(&["org", "create", "Nordlicht"]);
        shell.ok(&["group", "create", "G", "--org", "Nordlicht", "--description", "=1+1"]);
        shell.ok(&["profile", "create", "P", "--group", "G"]);
        let profile =
            shell.json(&["profile", "show", "P", "--group", "G"])["id"].as_str().unwrap().to_owned();
        let things: Vec<Value> =
            (0..130).map(|n| serde_json::json!({"name": format!("pump {n:03}")})).collect();
        ada.post(&format!("/profiles/{profile}/things"), &things.into()).await.expect(201);

        let some = shell.run(&["thing", "list", "--order", "name", "--dir", "asc"]);
        assert_eq!(some.out.lines().count(), 101, "{}", some.out);
        assert!(some.err.contains("100 of 130 are shown; --all"), "{}", some.err);
        let all = shell.run(&["thing", "list", "--all", "-o", "ndjson"]);
        assert_eq!((all.out.lines().count(), all.err.as_str()), (130, ""));
        let five = shell.json(&["thing", "list", "--limit", "5", "--group", "G", "--name", "pump"]);
        assert_eq!(five.as_array().unwrap().len(), 5);

        let csv = shell.ok(&["group", "list", "-o", "csv"]);
        let mut lines = csv.lines();
        assert_eq!(lines.next().unwrap(), "id,name,role,description,org_id,metadata,created_at,updated_at");
        assert!(lines.next().unwrap().contains(",'=1+1,"), "a spreadsheet must not calculate: {csv}");
        let journal = shell.json(&["journal", "list", "--group", "G", "--limit", "1000"]);
        assert!(journal.as_array().unwrap().len() > 130, "{journal}");
        let shown = shell.ok(&["journal", "list", "--org", "Nordlicht", "--limit", "3"]);
        assert!(shown.starts_with("AT ") && shown.contains("user ada@example.com"), "{shown}");
        // Actors by their addresses, subjects by kind and name.
        let count = |filters: &[&str]| {
            let entries = shell.json(&[&["journal", "list", "--limit", "1000"], filters].concat());
            entries.as_array().unwrap().len()
        };
        let everything = count(&["--org", "Nordlicht"]);
        assert_eq!(count(&["--org", "Nordlicht", "--actor", "ada@example.com"]), everything);
        assert!(count(&["--actor", "ada@example.com"]) >= everything);
        assert_eq!(count(&["--subject", "thing pump 007"]), 1);
        assert_eq!(count(&["--subject", "group G", "--action", "group.created"]), 1);
        assert!(
            shell.fails(5, &["journal", "list", "--subject", "thing pump"]).contains("no thing named pump")
        );
        assert!(shell.fails(2, &["journal", "list", "--subject", "pump 007"]).contains("kind"));
        assert!(
            shell.fails(2, &["journal", "list", "--actor", "ben@example.com"]).contains("--org or --group")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn people_come_in_and_tokens_are_made() {
    for engine in engines() {
        let server = start(engine).await;
        let (ada, ben) = (server.person("ada@example.com").await, server.person("ben@example.com").await);
        let (ada, ben) = (Shell::of(&server, &ada), Shell::of(&server, &ben));
        ada.ok(&["org", "create", "Nordlicht"]);
        ada.ok(&["group", "create", "G", "--org", "Nordlicht"]);
        let org = ["--org", "Nordlicht"];
        ada.ok(&[&org[..], &["member", "add", "ben@example.com", "--role", "viewer"]].concat());
        ada.ok(&["--group", "G", "member", "create", "ben@example.com", "--role", "viewer"]);
        assert!(ben.fails(4, &["group", "update", "G", "--description", "mine"]).contains("role"));
        ada.ok(&["--group", "G", "member", "update", "ben@example.com", "--role", "editor"]);
        assert_eq!(ada.json(&["--group", "G", "member", "show", "ben@example.com"])["role"], "editor");
        assert_eq!(ben.json(&["group", "show", "G"])["role"], "editor");
        ada.ok(&["--group", "G", "member", "remove", "ben@example.com", "--yes"]);
        assert!(ben.fails(5, &["group", "show", "G"]).contains("no group named G"));

        ada.ok(&[
            &org[..],
            &["invite", "create", "eve@example.com", "--role", "viewer", "--group-role", "G=editor"],
        ]
        .concat());
        let invites = ada.json(&["invite", "list", "--sent", "--kind", "org"]);
        let id = invites[0]["id"].as_str().unwrap();
        assert_eq!(invites[0]["invitee_email"], "eve@example.com");
        // An address is as good as an id; a path to something else is neither.
        assert_eq!(ada.json(&["invite", "show", "Eve@example.com"])["id"], id);
        assert!(
            ada.fails(5, &["invite", "show", "max@example.com"]).contains("no invite of max@example.com")
        );
        let group = ada.json(&["group", "show", "G"])["id"].as_str().unwrap().to_owned();
        ada.fails(5, &["invite", "revoke", &format!("../groups/{group}"), "--yes"]);
        ada.ok(&["group", "show", &group]);
        // It was mailed a moment ago.
        assert!(ada.fails(1, &["invite", "resend", id]).contains("Try again in"));
        ada.ok(&["invite", "revoke", "eve@example.com", "--org", "Nordlicht", "--yes"]);
        assert_eq!(ada.json(&["invite", "show", id])["state"], "revoked");
        ada.ok(&["--group", "G", "invite", "create", "ben@example.com", "--role", "admin"]);
        assert!(ben.fails(5, &["invite", "accept", "H"]).contains("no invite to H"));
        ben.ok(&["invite", "accept", "G"]);
        assert_eq!(ben.json(&["group", "show", "G"])["role"], "admin");
        ada.ok(&["--yes", "group", "hand-over", "G", "--to", "ben@example.com"]);

        let made = ada.run(&["token", "create", "ci", "--write", "--days", "1"]);
        assert_eq!((made.code, made.out.lines().count()), (Some(0), 1), "{made:?}");
        let mut program = Shell::bare();
        program.variables =
            vec![("THINGS_URL", ada.variables[0].1.clone()), ("THINGS_TOKEN", made.out.trim().to_owned())];
        assert!(program.ok(&["whoami"]).contains("ada@example.com"));
        // Tokens are made by people who have logged in.
        assert!(program.fails(4, &["token", "create", "another"]).contains("things login"));
        ada.ok(&["token", "revoke", "ci", "--yes"]);
        assert!(program.fails(4, &["whoami"]).contains("things login"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_typed_wrongly_is_told() {
    for engine in engines() {
        let server = start(engine).await;
        let shell = Shell::of(&server, &server.person("ada@example.com").await);
        assert!(shell.fails(2, &["--http", "127.0.0.1:1", "org", "list"]).contains("org takes no --http"));
        assert!(shell.fails(2, &["--org", "x", "migrate"]).contains("migrate takes no --org"));
        assert!(shell.fails(2, &["group", "create", "G"]).contains("--org"));
        assert!(shell.fails(2, &["org", "create", "O", "--metadata", "[1]"]).contains("JSON object"));
        assert!(shell.fails(1, &["org", "create", " "]).contains("name"));
        for noun in ["org", "group", "profile", "thing"] {
            assert!(shell.fails(2, &[noun, "update", "X"]).contains("--metadata"), "{noun}");
        }
        shell.ok(&["org", "create", "Nordlicht"]);
        shell.ok(&["group", "create", "G", "--org", "Nordlicht"]);
        let told = shell.fails(6, &["group", "create", "G", "--org", "Nordlicht"]);
        assert!(told.starts_with("things: cannot create the group: ") && told.contains("request "), "{told}");
        let mut away = Shell::bare();
        away.variables = vec![("THINGS_URL", "http://127.0.0.1:1".to_owned())];
        let told = away.fails(7, &["org", "list"]);
        assert!(
            told.contains("http://127.0.0.1:1 cannot be reached") && told.contains("Is the server running"),
            "{told}"
        );
        // What a service needs is not in a client's help, and a client reads none of its files.
        let help = shell.ok(&["thing", "create", "--help"]);
        assert!(help.contains("--dry-run") && !help.contains("--database-url"), "{help}");
        std::fs::write(shell.path("things.toml"), "no = \"such option\"").unwrap();
        shell.ok(&["org", "list"]);
    }
}

#[test]
fn shells_complete_and_the_manual_has_a_page_for_each_command() {
    let shell = Shell::bare();
    for name in ["bash", "zsh", "fish"] {
        assert!(shell.ok(&["completions", name]).contains("external-key"), "{name}");
    }
    shell.ok(&["man", "pages"]);
    for page in ["things.1", "things-thing-rotate.1", "things-serve.1"] {
        let text = std::fs::read_to_string(shell.path("pages").join(page)).unwrap();
        assert!(text.contains(".TH"), "{page}");
    }
}

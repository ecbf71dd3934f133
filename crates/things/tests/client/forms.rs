//! What changes print for programs: the server's answers in the form that was asked for.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::{
    app::{engines, start},
    typed::{PROGRAM, Shell},
};

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_told_in_the_form_that_was_asked_for() {
    for engine in engines() {
        let server = start(engine).await;
        server.person("ben@example.com").await;
        let shell = Shell::of(&server, &server.person("ada@example.com").await);
        let org = shell.ok(&["org", "create", "Nordlicht", "-o", "csv"]);
        let mut lines = org.lines();
        assert_eq!(lines.next(), Some("id,name,role,description,metadata,created_at,updated_at"));
        assert!(lines.next().unwrap().contains(",Nordlicht,owner,"), "{org}");
        shell.ok(&["group", "create", "G", "--org", "Nordlicht"]);
        shell.ok(&["profile", "create", "P", "--group", "G"]);
        let within = ["--group", "G", "--profile", "P"];
        let made = shell.ok(&[&["thing", "create", "a", "-o", "csv"][..], &within].concat());
        assert!(made.starts_with("id,name,type,key,") && made.contains(",a,device,thk_"), "{made}");
        shell.ok(&[&["thing", "create", "b"][..], &within].concat());

        // Several are one list; in NDJSON a line for each, in CSV one header.
        let enabled = shell.json(&["thing", "enable", "a", "b"]);
        let names: Vec<&Value> = enabled.as_array().unwrap().iter().map(|thing| &thing["name"]).collect();
        assert_eq!(names, [&json!("a"), &json!("b")]);
        assert_eq!(shell.ok(&["thing", "disable", "a", "b", "-o", "ndjson"]).lines().count(), 2);
        assert_eq!(shell.ok(&["thing", "enable", "a", "b", "-o", "csv"]).lines().count(), 3);
        let effects = shell.json(&["thing", "disable", "a", "b", "--dry-run"]);
        assert_eq!(effects.as_array().unwrap().len(), 2, "{effects}");
        let effects = shell.ok(&["thing", "disable", "a", "b", "--dry-run", "-o", "csv"]);
        assert!(effects.starts_with("action,subject_kind,subject_name,subject_id,changes\n"), "{effects}");
        assert_eq!(effects.lines().count(), 3, "{effects}");
        // What was done before something went wrong is told.
        let done = shell.run(&[
            "invite",
            "create",
            "x@example.com",
            "no address",
            "--org",
            "Nordlicht",
            "--role",
            "viewer",
            "-o",
            "json",
        ]);
        assert!(done.code != Some(0), "{done:?}");
        let invites: Value = serde_json::from_str(&done.out).unwrap();
        assert_eq!(invites[0]["invitee_email"], "x@example.com");

        let added =
            ["member", "add", "ben@example.com", "--org", "Nordlicht", "--role", "viewer", "-o", "csv"];
        let added = shell.ok(&added);
        assert!(added.starts_with("member_id,email,role\n") && added.contains(",viewer"), "{added}");
        let effect = shell.ok(&["org", "delete", "Nordlicht", "--dry-run", "-o", "ndjson"]);
        assert_eq!(effect.lines().count(), 1, "{effect}");

        std::fs::write(
            shell.path("org.yaml"),
            "organisation: Nordlicht\ngroups:\n  - name: H\n  - name: I\n",
        )
        .unwrap();
        let plan = shell.ok(&["plan", "org.yaml", "-o", "csv"]);
        assert!(plan.starts_with("change,kind,group,name,details\ncreate,group,,H,"), "{plan}");
        assert_eq!(shell.ok(&["plan", "org.yaml", "-o", "ndjson"]).lines().count(), 2);
        assert_eq!(shell.json(&["plan", "org.yaml"])["steps"].as_array().unwrap().len(), 2);

        // No content is nothing.
        for form in ["json", "ndjson", "csv"] {
            shell.ok(&["org", "create", form]);
            assert_eq!(shell.ok(&["org", "delete", form, "--yes", "-o", form]), "");
        }
    }
}

/// Whoever reads no more is sent no more: pages without end come to one.
#[test]
fn a_list_ends_when_nobody_reads_it() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        let things: Vec<_> = (0..1000)
            .map(|n| serde_json::json!({"id": "x".repeat(36), "name": format!("thing {n}")}))
            .collect();
        let page = serde_json::json!({"total": 1, "next": "more", "things": things}).to_string();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 8192]);
            let length = page.len();
            let head =
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length";
            let _ = write!(stream, "{head}: {length}\r\n\r\n{page}");
        }
    });
    let shell = Shell::bare();
    for form in ["table", "json", "csv", "ndjson"] {
        let mut command = Command::new(PROGRAM);
        command.args(["thing", "list", "--all", "-o", form, "--url", &format!("http://{address}")]);
        command.env_clear().envs(shell.environment()).stdin(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
        let status = loop {
            match child.try_wait().unwrap() {
                Some(status) => break status,
                None if std::time::Instant::now() > end => {
                    child.kill().unwrap();
                    panic!("{form}: it goes on and on");
                }
                None => std::thread::sleep(std::time::Duration::from_millis(10)),
            }
        };
        assert_eq!(status.code(), Some(0), "{form}");
    }
}

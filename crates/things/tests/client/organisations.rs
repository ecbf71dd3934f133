//! An organisation as a file: planned, applied, and applied again.

use crate::{
    app::{engines, start},
    typed::{Shell, mode},
};

const FILE: &str = "\
organisation: Nordlicht
members:
  - {email: ben@example.com, role: viewer}
groups:
  - name: Cold stores
    description: all of them
    metadata: {floor: -1}
    members:
      - {email: ben@example.com, role: editor}
    profiles:
      - name: Sensors
        config: {content_type: application/senml+json}
      - name: Pumps
    things:
      - {name: Boiler room, profile: Sensors, type: sensor, external_key: SN-004217}
      - {name: Pump 1, profile: Pumps, metadata: {rpm: 1500}}
      - {name: Pump 2, profile: Pumps, status: disabled}
";

#[tokio::test(flavor = "multi_thread")]
async fn an_organisation_becomes_as_the_file_has_it() {
    for engine in engines() {
        let server = start(engine).await;
        let ada = server.person("ada@example.com").await;
        server.person("ben@example.com").await;
        let shell = Shell::of(&server, &ada);
        shell.ok(&["org", "create", "Nordlicht"]);
        let file = shell.path("org.yaml");
        let write = |text: &str| std::fs::write(&file, text).unwrap();
        write(FILE);

        let plan = shell.ok(&["plan", "org.yaml"]);
        for told in [
            "+ member ben@example.com",
            "+ group Cold stores",
            "+ profile Pumps",
            "+ thing Pump 2",
            "8 changes: 8 new",
        ] {
            assert!(plan.contains(told), "{told}: {plan}");
        }
        assert!(shell.json(&["group", "list"]).as_array().unwrap().is_empty(), "a plan changes nothing");
        assert!(shell.fails(2, &["apply", "org.yaml"]).contains("--yes"));
        let done = shell.run(&["apply", "org.yaml", "--yes", "--key-file", "keys.csv"]);
        assert!(done.code == Some(0) && !done.err.contains("shown once"), "nothing follows: {done:?}");
        assert_eq!(mode(&shell.path("keys.csv")), 0o600);
        let keys = std::fs::read_to_string(shell.path("keys.csv")).unwrap();
        assert_eq!(keys.matches(",thk_").count(), 3, "{keys}");
        assert!(keys.starts_with("id,name,key\n"), "{keys}");
        assert_eq!(shell.ok(&["apply", "org.yaml", "--yes"]), "nothing to do\n");
        assert_eq!(shell.ok(&["plan", "org.yaml"]), "nothing to do\n");
        assert_eq!(shell.json(&["thing", "show", "Pump 2", "--group", "Cold stores"])["status"], "disabled");

        // Everything that can change, does.
        let other = FILE
            .replace("role: editor", "role: admin")
            .replace("all of them", "some of them")
            .replace("application/senml+json", "application/json")
            .replace("rpm: 1500", "rpm: 3000")
            .replace("SN-004217", "SN-004218")
            .replace("Pump 2, profile: Pumps, status: disabled", "Pump 2, profile: Sensors, status: enabled");
        write(&other);
        let plan = shell.json(&["plan", "org.yaml"]);
        let steps = plan["steps"].as_array().unwrap();
        assert!(steps.iter().all(|step| step["change"] == "update") && steps.len() == 6, "{plan}");
        shell.ok(&["apply", "org.yaml", "--yes"]);
        assert_eq!(shell.ok(&["apply", "org.yaml", "--yes"]), "nothing to do\n");
        assert_eq!(shell.json(&["thing", "show", "Boiler room"])["external_key"], "SN-004218");

        // What is not in the file stays, unless it is said that it shall not.
        let fewer = other
            .replace("      - {name: Pump 1, profile: Pumps, metadata: {rpm: 3000}}\n", "")
            .replace("      - name: Pumps\n", "")
            .replace("Pump 2, profile: Sensors", "Pump 3, profile: Sensors");
        write(&fewer);
        let plan = shell.run(&["plan", "org.yaml"]);
        assert!(plan.out.contains("1 change: 1 new") && plan.err.contains("--prune"), "{plan:?}");
        // Things go before the profile that they are on.
        shell.ok(&["apply", "org.yaml", "--yes", "--prune"]);
        assert_eq!(shell.ok(&["apply", "org.yaml", "--yes", "--prune"]), "nothing to do\n");
        assert_eq!(shell.json(&["thing", "list"]).as_array().unwrap().len(), 2);
        write("organisation: Nordlicht\nmembers: []\ngroups: []\n");
        shell.ok(&["apply", "org.yaml", "--yes", "--prune"]);
        assert!(shell.json(&["group", "list"]).as_array().unwrap().is_empty());
        let members = shell.json(&["member", "list", "--org", "Nordlicht"]);
        assert_eq!(members.as_array().unwrap().len(), 1, "the owner stays: {members}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_in_the_file_is_told_and_nothing_is_done() {
    for engine in engines() {
        let server = start(engine).await;
        let shell = Shell::of(&server, &server.person("ada@example.com").await);
        shell.ok(&["org", "create", "Nordlicht"]);
        let file = shell.path("org.yaml");
        std::fs::write(&file, FILE.replace("type: sensor", "type: toaster")).unwrap();
        let told = shell.fails(2, &["plan", "org.yaml"]);
        assert!(told.contains("org.yaml") && told.contains("line 15") && told.contains("toaster"), "{told}");
        std::fs::write(&file, FILE.replace("profile: Sensors, type", "profile: Sensor, type")).unwrap();
        assert!(shell.fails(2, &["apply", "org.yaml", "--yes"]).contains("no profile Sensor"));
        std::fs::write(&file, "organisation: Elsewhere\n").unwrap();
        assert!(shell.fails(5, &["plan", "org.yaml"]).contains("no organisation named Elsewhere"));
        assert!(shell.json(&["group", "list"]).as_array().unwrap().is_empty());
        assert!(shell.ok(&["plan", "--schema"]).contains("json-schema.org"));
    }
}

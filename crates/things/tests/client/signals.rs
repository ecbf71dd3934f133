//! Commands that are told to end: by Ctrl-C, by `kill`, by a terminal that goes away.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    app::{engines, start},
    typed::{PROGRAM, Shell},
};

/// Long enough for any command on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn begin(shell: &Shell, arguments: &[&str]) -> Child {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).env_clear().envs(shell.environment()).current_dir(shell.home.path());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits until a file has this many lines.
fn lines(file: &Path, many: usize) {
    let end = Instant::now() + PATIENCE;
    while std::fs::read_to_string(file).map_or(0, |text| text.lines().count()) < many {
        assert!(Instant::now() < end, "{} has too few lines", file.display());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Sends the signal, and tells the exit code and what was complained of.
fn end(child: Child, signal: &str) -> (Option<i32>, String) {
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_apply_that_is_ended_has_told_every_key() {
    for engine in engines() {
        for (signal, code) in [("-TERM", 143), ("-HUP", 129)] {
            let server = start(engine).await;
            let shell = Shell::of(&server, &server.person("ada@example.com").await);
            shell.ok(&["org", "create", "Nordlicht"]);
            let things: String =
                (0..5_000).map(|n| format!("      - {{name: pump {n}, profile: P}}\n")).collect();
            let begun = "organisation: Nordlicht\ngroups:\n  - name: G\n    profiles:\n      - name: P\n";
            std::fs::write(shell.path("org.yaml"), format!("{begun}    things:\n{things}")).unwrap();
            let child =
                begin(&shell, &["apply", "org.yaml", "--yes", "--key-file", "keys.csv", "-o", "json"]);
            lines(&shell.path("keys.csv"), 101);
            let (ended, told) = end(child, signal);
            assert_eq!(ended, Some(code), "{told}");
            assert!(told.contains("changes are made") && told.contains("Run the command again"), "{told}");
            let keys = std::fs::read_to_string(shell.path("keys.csv")).unwrap();
            assert!(keys.starts_with("id,name,key\n"), "{keys}");
            let made = shell.json(&["thing", "list", "--all"]).as_array().unwrap().len();
            assert!(made < 5_000, "all were made before the signal");
            assert_eq!(keys.matches(",thk_").count(), made, "the key of each thing that there is");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_ended_leaves_no_part_of_the_keys() {
    for engine in engines() {
        let server = start(engine).await;
        let shell = Shell::of(&server, &server.person("ada@example.com").await);
        shell.furnish();
        shell.write_pumps();
        let import = ["import", "d.csv", "--group", "G", "--profile", "P", "--keys", "k.csv", "--partial"];
        let child = begin(&shell, &import);
        lines(&shell.path("k.csv.part"), 2);
        let (code, told) = end(child, "-TERM");
        assert_eq!(code, Some(143), "{told}");
        assert!(told.contains("Run the same command again"), "{told}");
        assert!(!shell.path("k.csv.part").exists() && !shell.path("k.csv").exists());
        assert!(shell.path("k.csv.resume").exists());
        // A run that had no time for that leaves its part, which the next one replaces.
        std::fs::write(shell.path("k.csv.part"), "left").unwrap();
        shell.ok(&import);
        assert_eq!(std::fs::read_to_string(shell.path("k.csv")).unwrap().lines().count(), 20_001);
        assert!(!shell.path("k.csv.part").exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_begun_to_outlive_its_terminal_does() {
    let engine = engines()[0];
    let server = start(engine).await;
    let shell = Shell::of(&server, &server.person("ada@example.com").await);
    shell.furnish();
    shell.write_pumps();
    // As `nohup` does it.
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' HUP; exec \"$0\" \"$@\"", PROGRAM]);
    command.args(["import", "d.csv", "--group", "G", "--profile", "P", "--keys", "k.csv", "--partial"]);
    command.env_clear().envs(shell.environment()).current_dir(shell.home.path());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    lines(&shell.path("k.csv.part"), 2);
    let (code, told) = end(child, "-HUP");
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(std::fs::read_to_string(shell.path("k.csv")).unwrap().lines().count(), 20_001);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_may_have_begun_keeps_what_it_takes_to_go_on() {
    for engine in engines() {
        let server = start(engine).await;
        let shell = Shell::of(&server, &server.person("ada@example.com").await);
        shell.furnish();
        let ids =
            [shell.json(&["group", "show", "G"]), shell.json(&["profile", "show", "P", "--group", "G"])];
        let [group, profile] = ids.map(|found| found["id"].as_str().unwrap().to_owned());
        shell.write_pumps();
        let import =
            ["import", "d.csv", "--group", &group, "--profile", &profile, "--keys", "k.csv", "--partial"];
        let child = begin(&shell, &import);
        lines(&shell.path("k.csv.part"), 2);
        end(child, "-TERM");
        let resume = std::fs::read(shell.path("k.csv.resume")).unwrap();
        // Refused meanwhile: its keys are told under this import's own key only.
        let mut command = Command::new(PROGRAM);
        command.args(import).env_clear().envs(shell.environment()).current_dir(shell.home.path());
        let output = command.env("THINGS_TOKEN", "tht_none").output().unwrap();
        assert_eq!(output.status.code(), Some(4), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(std::fs::read(shell.path("k.csv.resume")).unwrap(), resume);
        shell.ok(&import);
        assert_eq!(std::fs::read_to_string(shell.path("k.csv")).unwrap().lines().count(), 20_001);
    }
}

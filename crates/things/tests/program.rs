//! The program itself: first start, stop, configuration, examination.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where it cannot go on"
)]

#[path = "../../registry/tests/support/mod.rs"]
mod databases;

use std::{
    io::Read,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_things");

fn things(dir: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("THINGS_")) {
        command.env_remove(name);
    }
    for listener in ["THINGS_HTTP", "THINGS_METRICS", "THINGS_GRPC", "THINGS_HOOKS"] {
        command.env(listener, "127.0.0.1:0");
    }
    command.current_dir(dir);
    command
}

fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// A running service and what it has printed.
struct Started {
    child: Child,
    banner: String,
}

impl Started {
    fn by(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut banner = Vec::new();
        let out = child.stdout.as_mut().unwrap();
        // The banner is one write; `keys` is in its last line, or how to log in follows.
        let deadline = Instant::now() + Duration::from_secs(20);
        while !String::from_utf8_lossy(&banner).contains("  keys  ") && Instant::now() < deadline {
            let mut part = [0; 4096];
            match out.read(&mut part).unwrap() {
                0 => break,
                read => banner.extend_from_slice(&part[..read]),
            }
        }
        Self { child, banner: String::from_utf8(banner).unwrap() }
    }

    /// What follows a word of the banner.
    fn told(&self, word: &str) -> &str {
        let line = self.banner.lines().find(|line| line.trim_start().starts_with(word));
        line.unwrap_or_else(|| panic!("no {word} in {}", self.banner)).split_whitespace().nth(1).unwrap()
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap().success());
    }

    fn end(mut self) -> (Option<i32>, String) {
        let status = self.child.wait().unwrap();
        let mut errors = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        (status.code(), errors)
    }
}

#[tokio::test]
async fn the_first_start_makes_everything_and_says_so_once() {
    let dir = tempfile::tempdir().unwrap();
    let service = Started::by(&mut things(dir.path()));
    let password = service.told("password").to_owned();
    assert_eq!(service.told("e-mail"), "admin@example.com");
    let login = format!("things login --url {} --email admin@example.com", service.told("API"));
    assert!(service.banner.contains(&login), "{}", service.banner);
    // On a command line others would see it.
    assert_eq!(service.banner.matches(&password).count(), 1, "{}", service.banner);
    let health = reqwest::get(format!("{}/health", service.told("API"))).await.unwrap();
    assert_eq!(health.status(), 200);
    // Metrics are on their own listener only.
    let metrics = reqwest::get(service.told("metrics")).await.unwrap().text().await.unwrap();
    assert!(metrics.contains("route=\"/health\"") && metrics.ends_with("# EOF\n"), "{metrics}");
    assert_eq!(reqwest::get(format!("{}/metrics", service.told("API"))).await.unwrap().status(), 404);
    let ask = format!("{}/rabbitmq/user", service.told("hooks").trim_end_matches(','));
    let asked = reqwest::Client::new().post(ask).body("username=guest&password=guest").send().await.unwrap();
    assert_eq!((asked.status().as_u16(), asked.text().await.unwrap().as_str()), (200, "deny"));
    let started = Instant::now();
    service.signal("-TERM");
    let (code, errors) = service.end();
    assert_eq!(code, Some(0), "{errors}");
    assert!(started.elapsed() < Duration::from_secs(10));
    for line in errors.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(line["level"].is_string());
    }
    assert!(!errors.contains(&password));

    let data = dir.path().join("things-data");
    for (file, mode) in [("", 0o700), ("things.keys", 0o600), ("things.db", 0o600)] {
        use std::os::unix::fs::PermissionsExt;
        let found = std::fs::metadata(data.join(file)).unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "{file}: {found:o}");
    }
    let again = Started::by(&mut things(dir.path()));
    assert!(!again.banner.contains("password"), "{}", again.banner);
    again.signal("-INT");
    assert_eq!(again.end().0, Some(0));
    let (code, told, _) = run(things(dir.path()).arg("doctor"));
    assert_eq!(code, Some(0), "{told}");
    assert!(!told.contains("warning") && !told.contains("ERROR"), "{told}");
}

/// One of them serves: the others would not hear of what it changes.
#[test]
fn of_several_first_starts_at_once_on_sqlite_one_serves() {
    let dir = tempfile::tempdir().unwrap();
    let commands: Vec<Started> = std::thread::scope(|scope| {
        let start = || scope.spawn(|| Started::by(&mut things(dir.path())));
        let starts: Vec<_> = (0..4).map(|_| start()).collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    let (serving, refused): (Vec<_>, Vec<_>) =
        commands.into_iter().partition(|service| service.banner.contains("password"));
    assert_eq!(serving.len(), 1);
    for service in refused {
        assert_eq!(service.banner, "");
        let (code, errors) = service.end();
        assert_eq!(code, Some(1), "{errors}");
        assert!(errors.contains("another `things serve` has the database"), "{errors}");
    }
    for service in serving {
        service.signal("-TERM");
        let (code, errors) = service.end();
        assert_eq!(code, Some(0), "{errors}");
    }
    // It is let go of with the process.
    let again = Started::by(&mut things(dir.path()));
    again.signal("-KILL");
    again.end();
    let again = Started::by(&mut things(dir.path()));
    assert!(again.banner.contains("  keys  "));
    again.signal("-TERM");
    assert_eq!(again.end().0, Some(0));
}

#[test]
fn what_is_wrong_ends_the_program_with_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let (code, _, told) = run(things(dir.path()).env("THINGS_HTTP", "nowhere"));
    assert_eq!(
        (code, told.as_str()),
        (Some(2), "things: http: invalid socket address syntax (in THINGS_HTTP)\n")
    );
    let (code, _, told) = run(things(dir.path()).args(["serve", "--admin-password", "short"]));
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("admin_password") && !told.contains("short\n"), "{told}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, _, told) = run(things(dir.path()).args(["--http", &address]));
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains(&format!("cannot listen on {address} (option http, flag --http)")), "{told}");
    let url = "postgres://ann:s3cret@127.0.0.1:1/things";
    let (code, _, told) = run(things(dir.path()).args(["migrate", "--database-url", url]));
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("cannot open the database postgres://ann:********@127.0.0.1:1/things"), "{told}");
    assert!(!told.contains("s3cret"));
    assert_eq!(run(things(dir.path()).arg("--nonsense")).0, Some(2));
}

#[test]
fn mail_is_tried_out_and_its_templates_are_written_down() {
    let dir = tempfile::tempdir().unwrap();
    let (code, told, errors) = run(things(dir.path()).args(["mail", "test", "ann@example.com"]));
    assert_eq!(code, Some(0), "{errors}");
    assert!(told.contains("A mail to ann@example.com was written into things-data/mail"), "{told}");
    let files: Vec<_> = std::fs::read_dir(dir.path().join("things-data/mail")).unwrap().collect();
    assert_eq!(files.len(), 1);

    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("smtp://u:s3cret@{dead}");
    let smtp = |command: &mut Command| {
        command.env("THINGS_MAIL", &url).env("THINGS_MAIL_FROM", "Things <things@example.com>");
        run(command)
    };
    let (code, _, told) = smtp(things(dir.path()).args(["mail", "test", "ann@example.com"]));
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains(&format!("by {dead} (not encrypted)")) && told.contains("refused"), "{told}");
    let (code, told, _) = smtp(things(dir.path()).args(["config", "show"]));
    assert_eq!(code, Some(0));
    assert!(told.contains(&format!("mail = \"smtp://u:********@{dead}\"  # THINGS_MAIL")), "{told}");
    let (code, _, told) = run(things(dir.path()).args(["mail", "test", "ann"]));
    assert_eq!(
        (code, told.as_str()),
        (Some(2), "things: ann must be an e-mail address, such as ada@example.com\n")
    );
    let (code, _, told) = run(things(dir.path()).args(["mail", "test", "ann@example.com", "--mail", "off"]));
    assert_eq!((code, told.as_str()), (Some(2), "things: mail is off: set the option mail\n"));

    let (code, told, errors) = run(things(dir.path()).args(["mail", "templates", "words"]));
    assert_eq!(code, Some(0), "{errors}");
    assert!(told.contains("mail_templates = \"words\""), "{told}");
    let (_, again, _) = run(things(dir.path()).args(["mail", "templates", "words"]));
    assert!(again.starts_with("0 templates were written into words; "), "{again}");
    std::fs::write(dir.path().join("words/invite.txt"), "Subject: {{ nobody }}\n").unwrap();
    let (code, _, told) = run(things(dir.path()).env("THINGS_MAIL_TEMPLATES", "words"));
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("mail_templates: words/invite.txt, line 1: undefined value"), "{told}");
    assert!(!dir.path().join("things-data/things.db").exists(), "before anything is made");
}

#[test]
fn the_banner_says_where_mails_go() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = things(dir.path());
    command
        .env("THINGS_MAIL", "smtps://u:s3cret@mail.example.com")
        .env("THINGS_MAIL_FROM", "things@example.com");
    let service = Started::by(&mut command);
    let line = "  mail       mail.example.com:465 (TLS), from things@example.com\n";
    assert!(service.banner.contains(line) && !service.banner.contains("s3cret"), "{}", service.banner);
    service.signal("-TERM");
    let (code, errors) = service.end();
    assert_eq!(code, Some(0), "{errors}");
    assert!(errors.contains("set public_url") && !errors.contains("s3cret"), "{errors}");
    let service = Started::by(things(dir.path()).args(["--mail", "off"]));
    assert!(service.banner.contains("  mail       off; nobody is written to"), "{}", service.banner);
    service.signal("-TERM");
    assert_eq!(service.end().0, Some(0));
}

#[test]
fn foreign_keys_are_refused_and_diagnosed() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for dir in [&dir, &other] {
        assert_eq!(run(things(dir.path()).arg("migrate")).0, Some(0));
    }
    let keys = dir.path().join("things-data/things.keys");
    let own = std::fs::read_to_string(&keys).unwrap();
    std::fs::remove_file(&keys).unwrap();
    for (refusal, then) in [("put back its copy", Some("things-data/things.keys")), ("not the keys", None)] {
        for command in ["serve", "migrate"] {
            let (code, _, told) = run(things(dir.path()).arg(command));
            assert_eq!(code, Some(1));
            assert!(told.contains(refusal), "{told}");
        }
        if let Some(foreign) = then {
            // Nothing was made in its place.
            assert!(!keys.exists());
            std::fs::copy(other.path().join(foreign), &keys).unwrap();
        }
    }
    let (code, told, _) = run(things(dir.path()).arg("doctor"));
    assert_eq!(code, Some(3), "{told}");
    assert!(told.contains("not the keys"), "{told}");
    // The environment has them in the same form, in one line.
    let line = own.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join(" ");
    let (code, told, _) = run(things(dir.path()).arg("doctor").env("THINGS_KEYS", line));
    assert_eq!(code, Some(0), "{told}");
}

#[tokio::test]
async fn a_database_without_a_schema_is_diagnosed_as_such() {
    let dir = tempfile::tempdir().unwrap();
    let doctor = |url: Option<&str>| {
        let mut command = things(dir.path());
        if let Some(url) = url {
            command.env("THINGS_DATABASE_URL", url);
        }
        run(command.arg("doctor"))
    };
    let (code, told, _) = doctor(None);
    assert_eq!(code, Some(0), "{told}");
    assert!(
        told.contains("things.db does not exist") && told.contains("`things migrate` makes it"),
        "{told}"
    );
    assert!(!dir.path().join("things-data").exists(), "an examination makes nothing");
    for engine in databases::engines() {
        let database = databases::empty(engine).await;
        if let Some(file) = database.url().strip_prefix("sqlite:") {
            std::fs::write(file, "").unwrap();
        }
        let (code, told, _) = doctor(Some(database.url()));
        assert_eq!(code, Some(0), "{told}");
        assert!(told.contains("has no schema yet") && told.contains("`things migrate` makes it"), "{told}");
        let with_keys = |command: &str| {
            let mut program = things(dir.path());
            program.env("THINGS_KEYS", format!("pepper=p1:{0} kek=k1:{0}", "A".repeat(43)));
            run(program.env("THINGS_DATABASE_URL", database.url()).arg(command))
        };
        let migrated = with_keys("migrate");
        assert_eq!(migrated.0, Some(0), "{migrated:?}");
        let (code, told, _) = with_keys("doctor");
        assert_eq!(code, Some(0), "{told}");
        assert!(told.contains("migrations") && !told.contains("ERROR"), "{told}");
    }
}

#[test]
fn the_configuration_in_force_is_shown_without_secrets() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("things.toml"),
        "admin_password = \"s3cret-password\"\n[limits]\nburst = 9\n",
    )
    .unwrap();
    let (code, told, _) = run(things(dir.path()).args(["config", "show", "--log", "warn"]));
    assert_eq!(code, Some(0));
    assert!(told.contains("burst = 9  # ") && told.contains("log = \"warn\"  # --log"), "{told}");
    assert!(!told.contains("s3cret"), "{told}");
    assert!(!dir.path().join("things-data").exists());
    std::fs::write(dir.path().join("things.toml"), "limit = 1").unwrap();
    let (code, _, told) = run(things(dir.path()).args(["config", "show"]));
    assert_eq!(code, Some(2));
    assert!(told.contains("limit is not an option (in things.toml)"), "{told}");
    let (code, told, _) = run(things(dir.path()).args(["config", "default"]));
    assert_eq!(code, Some(0));
    assert!(told.contains("\n#http = \"127.0.0.1:8182\"\n"));
}

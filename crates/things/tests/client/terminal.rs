//! The program in a terminal: a real pseudo-terminal, whose screen is read as a person would.

use std::{
    io::{Read, Write},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use crate::{
    app::{ROOT_PASSWORD, engines, start},
    typed::{PROGRAM, Shell, url},
};

/// Long enough for any command on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A command in a window.
struct Window {
    child: Box<dyn Child + Send + Sync>,
    _master: Box<dyn MasterPty + Send>,
    keyboard: Box<dyn Write + Send>,
    seen: Arc<Mutex<Seen>>,
    /// Ends once nobody can write to the window any more.
    reader: Option<thread::JoinHandle<()>>,
}

struct Seen {
    screen: vt100::Parser,
    /// All that was ever written to it.
    bytes: Vec<u8>,
}

impl Window {
    fn open(shell: &Shell, (rows, cols): (u16, u16), arguments: &[&str]) -> Self {
        let size = PtySize { rows, cols, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new(PROGRAM);
        command.args(arguments);
        command.env_clear();
        for (name, value) in shell.environment() {
            command.env(name, value);
        }
        command.env("TERM", "xterm-256color");
        command.cwd(shell.home.path());
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let seen = Arc::new(Mutex::new(Seen {
            screen: vt100::Parser::new(rows.try_into().unwrap(), cols.try_into().unwrap(), 0),
            bytes: Vec::new(),
        }));
        let mut reader = pair.master.try_clone_reader().unwrap();
        let shown = Arc::clone(&seen);
        let reader = thread::spawn(move || {
            let mut part = [0; 4096];
            while let Ok(read @ 1..) = reader.read(&mut part) {
                let mut seen = shown.lock().unwrap();
                seen.screen.process(&part[..read]);
                seen.bytes.extend_from_slice(&part[..read]);
            }
        });
        let keyboard = pair.master.take_writer().unwrap();
        Self { child, _master: pair.master, keyboard, seen, reader: Some(reader) }
    }

    fn screen(&self) -> String {
        self.seen.lock().unwrap().screen.screen().contents()
    }

    fn written(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap().bytes).into_owned()
    }

    /// Waits for something to be written, even if it is gone from the screen by then.
    #[track_caller]
    fn until(&self, text: &str) {
        let end = Instant::now() + PATIENCE;
        while !self.written().contains(text) {
            assert!(Instant::now() < end, "no {text:?} in {:?}", self.written());
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn type_in(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).unwrap();
        self.keyboard.flush().unwrap();
    }

    /// Waits for its end: the exit code, and the name of the signal if one ended it.
    fn end(&mut self) -> (u32, Option<String>) {
        let status = self.child.wait().unwrap();
        // What is written last may still be on its way.
        self.reader.take().unwrap().join().unwrap();
        (status.exit_code(), status.signal().map(str::to_owned))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_asked_for_and_not_shown() {
    for engine in engines() {
        let server = start(engine).await;
        server.person("ada@example.com").await;
        let shell = Shell::bare();
        let mut window = Window::open(&shell, (24, 100), &["login", "--url", &url(&server)]);
        window.until("E-mail: ");
        window.type_in("ada@example.com\n");
        window.until("Password: ");
        // A slip of the finger is taken back, a whole character of it.
        window.type_in(&format!("{ROOT_PASSWORD}ü\u{7f}\n"));
        assert_eq!(window.end(), (0, None), "{}", window.written());
        assert!(!window.written().contains("correct"), "{}", window.written());
        assert!(window.screen().contains("ada@example.com is logged in"), "{}", window.screen());
        assert!(shell.ok(&["whoami"]).contains("ada@example.com"));
        // It was a log-in: it ends on the server.
        let file = std::fs::read_to_string(shell.path(".config/things/contexts.toml")).unwrap();
        let token =
            file.lines().find_map(|line| line.strip_prefix("token = ")).unwrap().trim_matches('"').to_owned();
        shell.ok(&["logout"]);
        assert_eq!(server.client(&token).get("/users/profile").await.status, 401);

        let mut window =
            Window::open(&shell, (24, 100), &["login", "--url", &url(&server), "--email", "ada@example.com"]);
        window.until("Password: ");
        window.type_in("half a pass\u{3}");
        assert_eq!(window.end(), (130, None), "{}", window.written());
        assert!(window.screen().contains("interrupted"), "{}", window.screen());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_is_asked_about() {
    for engine in engines() {
        let server = start(engine).await;
        let shell = Shell::of(&server, &server.person("ada@example.com").await);
        for (answer, code, left) in [("n\n", 1, 1), ("\n", 1, 1), ("y\n", 0, 0)] {
            if left == 1 && shell.json(&["org", "list"]).as_array().unwrap().is_empty() {
                shell.ok(&["org", "create", "Nordlicht"]);
            }
            let mut window = Window::open(&shell, (24, 100), &["org", "delete", "Nordlicht"]);
            window.until("Delete Nordlicht, with all groups, things and keys in it? [y/N] ");
            window.type_in(answer);
            assert_eq!(window.end().0, code, "{}", window.written());
            assert_eq!(shell.json(&["org", "list"]).as_array().unwrap().len(), left);
        }
        // Ctrl-C at the question is an answer as well.
        shell.ok(&["org", "create", "Nordlicht"]);
        let mut window = Window::open(&shell, (24, 100), &["org", "delete", "Nordlicht"]);
        window.until("[y/N] ");
        window.type_in("\u{3}");
        let (code, signal) = window.end();
        assert!(code != 0 || signal.is_some());
        assert_eq!(shell.json(&["org", "list"]).as_array().unwrap().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_as_wide_as_the_window() {
    for engine in engines() {
        let server = start(engine).await;
        let shell = Shell::of(&server, &server.person("ada@example.com").await);
        for n in 0..3 {
            shell.ok(&["org", "create", &format!("温度センサー {n}"), "--description", &"long ".repeat(60)]);
        }
        for cols in [40, 60, 120] {
            let mut window = Window::open(&shell, (24, cols), &["org", "list"]);
            assert_eq!(window.end(), (0, None));
            let screen = window.screen();
            // Wrapped rows would be more lines than rows.
            assert_eq!(screen.trim_end().lines().count(), 4, "{cols}:\n{screen}");
            assert!(screen.contains('…'), "{cols}:\n{screen}");
            if cols > 60 {
                let ids = shell.json(&["org", "list"]);
                assert!(screen.contains(ids[0]["id"].as_str().unwrap()), "ids are whole:\n{screen}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_command_shows_how_far_it_is_and_can_be_interrupted() {
    for engine in engines() {
        let server = start(engine).await;
        let shell = Shell::of(&server, &server.person("ada@example.com").await);
        shell.ok(&["org", "create", "Nordlicht"]);
        let groups: String = (0..600).map(|n| format!("  - name: group {n}\n")).collect();
        std::fs::write(shell.path("org.yaml"), format!("organisation: Nordlicht\ngroups:\n{groups}"))
            .unwrap();
        let mut window = Window::open(&shell, (24, 80), &["apply", "org.yaml", "--yes"]);
        window.until("apply [");
        window.until("/600");
        window.until("left");
        window.type_in("\u{3}");
        assert_eq!(window.end(), (130, None), "{}", window.screen());
        let screen = window.screen();
        assert!(screen.contains("interrupted; ") && screen.contains("made, the others are not"), "{screen}");
        assert!(screen.contains("Run the command again"), "{screen}");
        let made = shell.json(&["group", "list", "--all"]).as_array().unwrap().len();
        assert!(made < 600, "all {made} were made before Ctrl-C");
        let mut window = Window::open(&shell, (24, 80), &["apply", "org.yaml", "--yes"]);
        assert_eq!(window.end(), (0, None), "{}", window.screen());
        // The bar is gone when it has done its work.
        assert!(!window.screen().contains("apply ["), "{}", window.screen());
        assert_eq!(shell.json(&["group", "list", "--all"]).as_array().unwrap().len(), 600);
        assert_eq!(shell.ok(&["apply", "org.yaml", "--yes"]), "nothing to do\n");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_narrow_window_is_not_filled_with_what_is_left_of_bars() {
    for engine in engines() {
        let server = start(engine).await;
        let shell = Shell::of(&server, &server.person("ada@example.com").await);
        shell.ok(&["org", "create", "Nordlicht"]);
        let groups: String = (0..600).map(|n| format!("  - name: group {n}\n")).collect();
        std::fs::write(shell.path("org.yaml"), format!("organisation: Nordlicht\ngroups:\n{groups}"))
            .unwrap();
        for (cols, seen) in [(44, "% "), (80, "apply [")] {
            let mut window = Window::open(&shell, (700, cols), &["apply", "org.yaml", "--yes", "-o", "json"]);
            window.until("apply ");
            window.until(seen);
            window.type_in("\u{3}");
            assert_eq!(window.end(), (130, None), "{}", window.screen());
            let screen = window.screen();
            assert!(screen.trim_start().starts_with("things: interrupted; "), "the bar is gone: {screen}");
            assert!(!screen.contains("apply "), "{screen}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_interrupted_is_gone_on_with() {
    for engine in engines() {
        let server = start(engine).await;
        let shell = Shell::of(&server, &server.person("ada@example.com").await);
        shell.furnish();
        shell.write_pumps();
        let import = ["import", "d.csv", "--group", "G", "--profile", "P", "--keys", "k.csv", "--partial"];
        let mut window = Window::open(&shell, (24, 100), &import);
        window.until("import [");
        window.until("/20,000");
        window.type_in("\u{3}");
        assert_eq!(window.end(), (130, None), "{}", window.screen());
        let screen = window.screen();
        assert!(
            screen.contains("rows are done") && screen.contains("Run the same command again"),
            "{screen}"
        );
        assert!(!shell.path("k.csv").exists() && shell.path("k.csv.resume").exists());
        let mut window = Window::open(&shell, (24, 100), &import);
        assert_eq!(window.end(), (0, None), "{}", window.screen());
        assert!(
            window.screen().contains("20,000") || window.screen().contains("20000 rows"),
            "{}",
            window.screen()
        );
        let keys = std::fs::read_to_string(shell.path("k.csv")).unwrap();
        let named: std::collections::BTreeSet<&str> =
            keys.lines().skip(1).map(|line| line.split(',').nth(1).unwrap()).collect();
        assert_eq!((keys.lines().count(), named.len()), (20_001, 20_000), "all keys, each once");
        assert!(!shell.path("k.csv.resume").exists());
    }
}

//! README.md, executed: the commands of its `console` blocks are typed as they stand, and what they
//! print is compared with what stands below them.
//!
//! `cargo run …` is the first terminal: in it runs the binary of this build, in a directory of its own.
//! All other commands are typed into one shell, the second terminal. Ids, secrets, times and the first
//! password differ each time; they are compared by where they are and where they come again, and
//! a command that holds one is typed with this run's. Where a port is taken, another one is put in.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "also outside of the functions marked as tests"
)]

#[path = "readme/transcript.rs"]
mod transcript;

use std::{
    collections::BTreeMap,
    env, fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

use transcript::{Names, Step, steps};

/// The ports that the text uses, and the options that change them.
const PORTS: [(u16, &str); 4] =
    [(8182, "THINGS_HTTP"), (8183, "THINGS_GRPC"), (8184, "THINGS_HOOKS"), (9182, "THINGS_METRICS")];
/// Long enough for any command on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn the_readme_is_true() {
    for tool in ["curl", "jq"] {
        if Command::new(tool).arg("--version").output().is_err() {
            assert!(env::var("CI").as_deref() != Ok("true"), "{tool} is missing");
            eprintln!("README.md is not executed: {tool} is missing");
            return;
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let ports = ports();
    let mut text = fs::read_to_string(root.join("README.md")).unwrap();
    for ((usual, _), port) in PORTS.iter().zip(&ports) {
        text = text.replace(&format!(":{usual}"), &format!(":{port}"));
    }
    let steps = steps(&text);
    assert!(steps.len() > 10, "README.md has only {} commands", steps.len());

    let place = Place::new(&root, &ports);
    let mut shell = place.shell();
    let mut servers = Vec::new();
    let mut names = Names::default();
    for step in &steps {
        let command = names.typed(&step.command);
        let printed = if command.starts_with("cargo run") {
            let mut server = place.terminal(&command);
            let mut printed = server.lines(step.output.len());
            if printed.len() < step.output.len() {
                printed.extend(fs::read_to_string(place.log()).unwrap().lines().map(str::to_owned));
            }
            servers.push(server);
            printed
        } else {
            shell.run(&command, step)
        };
        compare(&mut names, step, &printed);
    }
}

/// The usual ports where they are free, else any.
fn ports() -> Vec<u16> {
    let taken: Vec<TcpListener> = PORTS
        .iter()
        .map(|(usual, _)| {
            TcpListener::bind(("127.0.0.1", *usual)).or_else(|_| TcpListener::bind("127.0.0.1:0")).unwrap()
        })
        .collect();
    taken.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}

fn compare(names: &mut Names, step: &Step, printed: &[String]) {
    // An empty line at the end of a block, or before the next command, is for the eye.
    let shown = |lines: &[String]| lines.join("\n").trim_end().to_owned();
    let (text, run) = (shown(&step.output), shown(printed));
    let (mut wanted, mut found) = (text.lines(), run.lines());
    loop {
        match (wanted.next(), found.next()) {
            (None, None) => break,
            (Some(wanted), Some(found)) if names.agree(wanted, found) => {}
            _ => panic!(
                "README.md, line {}: $ {}\n\n--- it says\n{text}\n\n--- it prints\n{run}\n",
                step.line, step.command
            ),
        }
    }
}

/// A directory that looks like the repository to the commands, with a `cargo` that runs this build.
struct Place {
    dir: tempfile::TempDir,
    env: BTreeMap<&'static str, String>,
}

impl Place {
    fn new(root: &Path, ports: &[u16]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        symlink(root.join("examples"), dir.path().join("examples")).unwrap();
        let bin = dir.path().join(".bin");
        fs::create_dir(&bin).unwrap();
        let script = "#!/bin/sh\n\
                      [ \"$1 $2\" = 'run --release' ] || exit 2\n\
                      shift 2\n\
                      [ \"${1-}\" != -- ] || shift\n\
                      exec \"$README_BINARY\" \"$@\"\n";
        fs::write(bin.join("cargo"), script).unwrap();
        fs::set_permissions(bin.join("cargo"), fs::Permissions::from_mode(0o755)).unwrap();

        // As `cargo install` would.
        symlink(env!("CARGO_BIN_EXE_things"), bin.join("things")).unwrap();

        let mut path: Vec<PathBuf> = vec![bin];
        path.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
        let mut env = BTreeMap::from([
            ("PATH", env::join_paths(path).unwrap().into_string().unwrap()),
            ("README_BINARY", env!("CARGO_BIN_EXE_things").to_owned()),
            // What the tester has set up for themself is not the newcomer's.
            ("HOME", dir.path().display().to_string()),
            ("NO_PROXY", "127.0.0.1".to_owned()),
        ]);
        for ((usual, option), port) in PORTS.iter().zip(ports) {
            if usual != port {
                env.insert(option, format!("127.0.0.1:{port}"));
            }
        }
        Self { dir, env }
    }

    fn sh(&self) -> Command {
        let mut sh = Command::new("sh");
        sh.current_dir(self.dir.path());
        for (name, _) in env::vars_os() {
            if name.to_string_lossy().starts_with("THINGS_") {
                sh.env_remove(name);
            }
        }
        sh.envs(&self.env);
        sh
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// A terminal in which one command keeps running.
    fn terminal(&self, command: &str) -> Session {
        let mut sh = self.sh();
        sh.args(["-c", &format!("exec {command}")]);
        // Its log, which a terminal would show as well.
        sh.stderr(fs::File::create(self.log()).unwrap());
        Session::start(sh)
    }

    /// A terminal to type into.
    fn shell(&self) -> Session {
        let mut shell = Session::start(self.sh());
        shell.input.write_all(b"exec 2>&1\n").unwrap();
        shell
    }
}

/// A process, what it reads, and the lines it prints. Ended when dropped.
struct Session {
    child: Child,
    input: ChildStdin,
    printed: Receiver<String>,
}

impl Session {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (send, printed) = channel();
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, input, printed }
    }

    /// The next lines, as many as asked for, or fewer if no more come.
    fn lines(&mut self, count: usize) -> Vec<String> {
        (0..count).map_while(|_| self.printed.recv_timeout(PATIENCE).ok()).collect()
    }

    /// Types a command and waits for its end, which must be a good one.
    fn run(&mut self, command: &str, step: &Step) -> Vec<String> {
        const END: &str = "-- the end of a command:";
        writeln!(self.input, "{command}\nprintf '\\n%s %s\\n' '{END}' \"$?\"").unwrap();
        let mut printed = Vec::new();
        loop {
            let Ok(line) = self.printed.recv_timeout(PATIENCE) else {
                panic!("README.md, line {}: no end of\n$ {command}\n{}", step.line, printed.join("\n"));
            };
            if let Some(status) = line.strip_prefix(END) {
                // The line break before the mark is the mark's, unless the command left its line open.
                if printed.last().is_some_and(String::is_empty) {
                    printed.pop();
                }
                let printed_so_far = printed.join("\n");
                assert_eq!(status, " 0", "README.md, line {}: $ {command}\n{printed_so_far}", step.line);
                return printed;
            }
            printed.push(line);
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

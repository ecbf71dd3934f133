//! Somebody at a shell, whose commands are the program of this build.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::app::{Client, Running};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_things");

/// A person with a home of their own.
pub(crate) struct Shell {
    pub(crate) home: tempfile::TempDir,
    /// What is in the environment.
    pub(crate) variables: Vec<(&'static str, String)>,
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Shell {
    /// Somebody without server or token.
    pub(crate) fn bare() -> Self {
        Self { home: tempfile::tempdir().unwrap(), variables: Vec::new() }
    }

    /// Somebody whose environment says where and who.
    pub(crate) fn of(server: &Running, client: &Client) -> Self {
        let mut shell = Self::bare();
        shell.variables = vec![("THINGS_URL", url(server)), ("THINGS_TOKEN", client.token().to_owned())];
        shell
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Makes an organisation `Nordlicht` with a group `G` and in it a profile `P`.
    pub(crate) fn furnish(&self) {
        self.ok(&["org", "create", "Nordlicht"]);
        self.ok(&["group", "create", "G", "--org", "Nordlicht"]);
        self.ok(&["profile", "create", "P", "--group", "G"]);
    }

    /// A file `d.csv` that takes a while to import: 20,000 names.
    pub(crate) fn write_pumps(&self) {
        let rows: String = (0..20_000).map(|n| format!("pump {n}\n")).collect();
        std::fs::write(self.path("d.csv"), format!("name\n{rows}")).unwrap();
    }

    /// The environment of all commands.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let home = self.home.path().to_str().unwrap().to_owned();
        let mut all =
            vec![("HOME".to_owned(), home), ("PATH".to_owned(), std::env::var("PATH").unwrap_or_default())];
        all.extend(self.variables.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        all
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Done {
        self.fed(arguments, "")
    }

    /// The same, with something on the standard input.
    pub(crate) fn fed(&self, arguments: &[&str], input: &str) -> Done {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).env_clear().envs(self.environment()).current_dir(self.home.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // One that does not read has ended, or does not want it.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Done { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// What a command prints that must go well.
    #[track_caller]
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let done = self.run(arguments);
        assert_eq!(done.code, Some(0), "{arguments:?}: {done:?}");
        done.out
    }

    /// The same, as JSON.
    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let mut all = arguments.to_vec();
        all.extend(["--output", "json"]);
        serde_json::from_str(&self.ok(&all)).unwrap()
    }

    /// What a command complains of that must end with this code.
    #[track_caller]
    pub(crate) fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let done = self.run(arguments);
        assert_eq!(done.code, Some(code), "{arguments:?}: {done:?}");
        done.err
    }
}

pub(crate) fn url(server: &Running) -> String {
    format!("http://{}", server.address)
}

/// A file's permissions.
pub(crate) fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

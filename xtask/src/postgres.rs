//! A PostgreSQL cluster of our own, in a temporary directory, for as long as it is held.

mod programs;

use std::{
    fs::{self, File},
    net::TcpListener,
    os::unix::{fs::chown, process::CommandExt},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Signal, geteuid};
use tempfile::TempDir;

use crate::{
    Result,
    process::{Interrupts, Reach, end, say},
};

/// Settings for a cluster whose data nobody will miss: nothing waits for the disk.
pub(crate) const FORGETFUL: &[&str] =
    &["fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=300"];

const START_LIMIT: Duration = Duration::from_secs(60);

/// A running cluster. Dropping it stops the server and removes the directory, so it must be held in
/// a variable that unwinds; see [`Interrupts`] for signals.
pub(crate) struct Cluster {
    server: Child,
    port: u16,
    // Dropped, which is to say removed, after `drop` has stopped the server.
    directory: TempDir,
}

impl Cluster {
    /// Finds or installs the programs, makes a cluster and starts it with `settings` on a free port
    /// of 127.0.0.1. Call it from the main thread: the server dies with the thread that started it.
    pub(crate) fn start(interrupts: &Interrupts, settings: &[&str]) -> Result<Self> {
        let programs = programs::find_or_install(interrupts)?;
        let account = Account::to_run_as()?;
        let started = Instant::now();
        // Between choosing a free port and using it somebody else may take it.
        let mut attempts = 3;
        let cluster = loop {
            attempts -= 1;
            interrupts.check()?;
            match Self::launch(&programs.directory, account.as_ref(), interrupts, settings) {
                Ok(cluster) => break cluster,
                Err(error) if attempts == 0 || !error.to_string().contains("Address already in use") => {
                    return Err(error);
                }
                Err(_) => {}
            }
        };
        say(&format!(
            "postgres: {} on 127.0.0.1:{} in {}, ready after {:.1} s",
            programs.version,
            cluster.port,
            cluster.directory.path().display(),
            started.elapsed().as_secs_f32()
        ));
        Ok(cluster)
    }

    /// How a superuser connects.
    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    fn launch(
        programs: &Path,
        account: Option<&Account>,
        interrupts: &Interrupts,
        settings: &[&str],
    ) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("things-postgres-").tempdir()?;
        if let Some(account) = account {
            chown(directory.path(), Some(account.uid), Some(account.gid))?;
        }
        let data = directory.path().join("data");
        let log = directory.path().join("log");

        let mut initdb = Command::new(programs.join("initdb"));
        initdb.args(["-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C", "-D"]);
        let made = settle(initdb.arg(&data), directory.path(), account).output()?;
        if !made.status.success() {
            return Err(format!("initdb failed: {}", String::from_utf8_lossy(&made.stderr).trim()).into());
        }

        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        // The server itself, not pg_ctl: a child can be waited for, and its death is noticed.
        let mut server = dying_with_us(&programs.join("postgres"));
        server.arg("-D").arg(&data).arg("-k").arg(directory.path()).args(["-h", "127.0.0.1", "-p"]);
        server.arg(port.to_string());
        for setting in settings {
            server.args(["-c", setting]);
        }
        let output = File::create(&log)?;
        server.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        // Ctrl-C is for the chore, which stops the server last.
        let server = settle(&mut server, directory.path(), account).process_group(0).spawn()?;
        let mut cluster = Self { server, port, directory };
        cluster.wait_until_ready(&data, &log, interrupts)?;
        Ok(cluster)
    }

    fn wait_until_ready(&mut self, data: &Path, log: &Path, interrupts: &Interrupts) -> Result<()> {
        let started = Instant::now();
        loop {
            interrupts.check()?;
            // The eighth line is the server's own word for its state; pg_ctl goes by it as well.
            let file = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
            if file.lines().nth(7).is_some_and(|state| state.trim() == "ready") {
                return Ok(());
            }
            let log = || fs::read_to_string(log).unwrap_or_default();
            if let Some(status) = self.server.try_wait()? {
                return Err(format!("postgres ended with {status}: {}", log().trim()).into());
            }
            if started.elapsed() > START_LIMIT {
                return Err(format!("postgres is not ready after {START_LIMIT:?}: {}", log().trim()).into());
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // SIGQUIT is an immediate shutdown: the data is thrown away, so nothing needs writing.
        match end(&mut self.server, Signal::QUIT, Reach::Alone) {
            Ok(()) => say("postgres: stopped and removed"),
            Err(error) => say(&format!("postgres: cannot be stopped: {error}")),
        }
    }
}

/// Who runs the server, because it refuses to run as root.
struct Account {
    uid: u32,
    gid: u32,
}

impl Account {
    /// None when we are not root and the server runs as ourselves.
    fn to_run_as() -> Result<Option<Self>> {
        if !geteuid().is_root() {
            return Ok(None);
        }
        let id = |flag, name| -> Option<u32> {
            let output = Command::new("id").args([flag, name]).output().ok()?;
            String::from_utf8(output.stdout).ok()?.trim().parse().ok()
        };
        ["postgres", "nobody"]
            .iter()
            .find_map(|name| Some(Self { uid: id("-u", name)?, gid: id("-g", name)? }))
            .map(Some)
            .ok_or_else(|| {
                "PostgreSQL refuses to run as root, and there is no user `postgres` or `nobody`".into()
            })
    }
}

/// What initdb and the server have in common: the account, a directory it may enter, and a locale
/// that does not depend on the machine.
fn settle<'c>(command: &'c mut Command, directory: &Path, account: Option<&Account>) -> &'c mut Command {
    if let Some(account) = account {
        command.uid(account.uid).gid(account.gid);
    }
    command.current_dir(directory).env("LC_ALL", "C")
}

/// On Linux the kernel ends the server should we be killed without a chance to do so.
fn dying_with_us(program: &Path) -> Command {
    let mut setpriv = Command::new("setpriv");
    setpriv.args(["--pdeathsig", "QUIT"]);
    let mut trial = Command::new("setpriv");
    trial.args(["--pdeathsig", "QUIT", "true"]).stdout(Stdio::null()).stderr(Stdio::null());
    if trial.status().is_ok_and(|status| status.success()) {
        setpriv.arg(program);
        setpriv
    } else {
        Command::new(program)
    }
}

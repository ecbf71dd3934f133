//! Child processes that end when the chore is interrupted, so that guards still get to clean up.

use std::{
    env,
    ffi::OsString,
    fs::File,
    io::{self, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::Result;

/// How long a child may take to obey a signal before it is killed.
const PATIENCE: Duration = Duration::from_secs(10);
const GLANCE: Duration = Duration::from_millis(50);

/// Says one step in one line. Unlike `println!` it does not panic when nobody reads any more, so
/// that a guard may use it while a lost terminal's chore unwinds.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// The repository's root. Cargo tells it at run time; the path known to the compiler would be wrong
/// when working copies share a build directory.
pub(crate) fn root() -> Result<PathBuf> {
    let manifest = env::var_os("CARGO_MANIFEST_DIR").ok_or("start me as `cargo xtask`")?;
    Ok(Path::new(&manifest).parent().ok_or("xtask has no parent directory")?.to_owned())
}

/// The cargo that started this chore, working at the repository's root.
pub(crate) fn cargo() -> Result<Command> {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    command.current_dir(root()?);
    Ok(command)
}

/// SIGINT, SIGTERM and SIGHUP, noted instead of obeyed: from here on the chore ends by returning,
/// and whatever it has started is cleaned up by the guards on its stack.
pub(crate) struct Interrupts(Arc<AtomicUsize>);

impl Interrupts {
    /// Begins to note them, for the rest of the process.
    pub(crate) fn listen() -> Result<Self> {
        let caught = Arc::new(AtomicUsize::new(0));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register_usize(signal, Arc::clone(&caught), usize::try_from(signal)?)?;
        }
        Ok(Self(caught))
    }

    /// An error once one has come.
    pub(crate) fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) == 0 { Ok(()) } else { Err("interrupted".into()) }
    }

    /// Runs a command to its end; the first interrupt ends it early.
    ///
    /// At a terminal the command shares our process group: Ctrl-C reaches it as it reaches us, and it
    /// may touch the terminal, which stops a background group. Elsewhere it gets a group of its own,
    /// so that a `kill` meant for us ends cargo's compilers and test programs as well.
    pub(crate) fn run(&self, command: &mut Command) -> Result<ExitStatus> {
        self.check()?;
        let reach = if File::open("/dev/tty").is_ok() {
            Reach::Alone
        } else {
            command.process_group(0);
            Reach::Group
        };
        let mut child = command.spawn()?;
        loop {
            if let Some(status) = child.try_wait()? {
                self.check()?;
                return Ok(status);
            }
            if self.check().is_err() {
                end(&mut child, Signal::TERM, reach)?;
                self.check()?;
            }
            thread::sleep(GLANCE);
        }
    }
}

/// Who is ended with a child.
#[derive(Clone, Copy)]
pub(crate) enum Reach {
    Alone,
    /// The process group that it leads.
    Group,
}

/// Ends a child, by force if the signal is not enough.
pub(crate) fn end(child: &mut Child, signal: Signal, reach: Reach) -> Result<()> {
    let pid = Pid::from_child(child);
    // Errors mean that it has just gone; waiting for it tells for certain.
    let send = |signal| match reach {
        Reach::Alone => kill_process(pid, signal).unwrap_or_default(),
        Reach::Group => kill_process_group(pid, signal).unwrap_or_default(),
    };
    let asked = Instant::now();
    send(signal);
    while child.try_wait()?.is_none() {
        if asked.elapsed() > PATIENCE {
            send(Signal::KILL);
            child.wait()?;
        }
        thread::sleep(GLANCE);
    }
    Ok(())
}

//! The servers under measurement: processes of this same program, and what the system says of them.

use std::{
    env,
    fs::{self, File},
    net::SocketAddr,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    time::{Duration, Instant},
};

use super::{Result, bare, fleet::Fleet, scratch::Scratch};
use crate::cli::Failure;

/// A start that takes longer has failed.
const START: Duration = Duration::from_secs(120);
/// How much of a server's log is shown if it ends by itself.
const TAIL: usize = 2_000;

/// A running server. Dropping it ends it.
pub(super) struct Server {
    child: Child,
    /// Held open: the bare server ends with it, so that it never outlives this process.
    _input: Option<ChildStdin>,
    pub(super) http: SocketAddr,
    pub(super) grpc: SocketAddr,
    /// Where its metrics are, if it has any.
    pub(super) metrics: Option<SocketAddr>,
    log: PathBuf,
}

/// What a server prints of where it listens.
struct Listening {
    http: SocketAddr,
    grpc: SocketAddr,
    metrics: Option<SocketAddr>,
}

impl Server {
    /// The registry as it is, with its defaults but for addresses and the size of the cache.
    pub(super) async fn ours(scratch: &Scratch, url: Option<&str>, cached: usize) -> Result<Self> {
        let mut command = command(scratch)?;
        command.arg("serve").stdin(Stdio::null());
        command.env("THINGS_DATA_DIR", scratch.path()).env("THINGS_MAIL", "off");
        command.env("THINGS_LIMITS_CACHED_CREDENTIALS", cached.to_string());
        for listener in ["THINGS_HTTP", "THINGS_GRPC", "THINGS_HOOKS", "THINGS_METRICS"] {
            command.env(listener, "127.0.0.1:0");
        }
        if let Some(url) = url {
            command.env("THINGS_DATABASE_URL", url);
        }
        let log = scratch.path().join("things.log");
        start(command, log, None, in_banner).await
    }

    /// The bare servers, with these things in their map.
    pub(super) async fn bare(scratch: &Scratch, fleet: &Fleet) -> Result<Self> {
        let mut command = command(scratch)?;
        command.args(["bench", "bare"]).stdin(Stdio::piped());
        let log = scratch.path().join("bare.log");
        start(command, log, Some(fleet), |printed| {
            let listening: bare::Listening = serde_json::from_str(printed).ok()?;
            Some(Listening { http: listening.http, grpc: listening.grpc, metrics: None })
        })
        .await
    }

    /// The processor time that it has used so far.
    pub(super) fn cpu(&self) -> Option<Duration> {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).ok()?;
        // The second field is the program's name in parentheses, whatever that holds.
        let mut fields = text.rsplit_once(')')?.1.split_whitespace().skip(11);
        let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        Some(Duration::from_secs_f64((user + system) as f64 / rustix::param::clock_ticks_per_second() as f64))
    }

    /// The memory that it holds, in megabytes.
    pub(super) fn memory(&self) -> Option<f64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kibibytes * 1024.0 / 1e6)
    }

    /// Adds what it has said to an error, if it has ended.
    pub(super) fn explain(&mut self, failure: Failure) -> Failure {
        match self.child.try_wait() {
            Ok(Some(status)) => Failure::Failed(format!("a server ended with {status}: {}", tail(&self.log))),
            _ => failure,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Errors mean that it has ended already. Its database is thrown away: it need not end in good order.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// This program, without anything that is configured here.
fn command(scratch: &Scratch) -> Result<Command> {
    let program = env::current_exe().map_err(|error| Failure::to("find this program", &error))?;
    let mut command = Command::new(program);
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("THINGS_")) {
        command.env_remove(name);
    }
    // Ctrl-C is for this process, which then ends the others. No things.toml is in the scratch directory.
    command.current_dir(scratch.path()).process_group(0);
    Ok(command)
}

async fn start(
    mut command: Command,
    log: PathBuf,
    fleet: Option<&Fleet>,
    read: impl Fn(&str) -> Option<Listening>,
) -> Result<Server> {
    let failed = |error: &std::io::Error| Failure::to("start a server", error);
    let out = log.with_extension("out");
    command.stdout(File::create(&out).map_err(|error| failed(&error))?);
    command.stderr(File::create(&log).map_err(|error| failed(&error))?);
    let child = command.spawn().map_err(|error| failed(&error))?;
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut server = Server { child, _input: None, http: nowhere, grpc: nowhere, metrics: None, log };
    if let (Some(fleet), Some(mut input)) = (fleet, server.child.stdin.take()) {
        let written =
            tokio::task::block_in_place(|| bare::write(fleet, &mut std::io::BufWriter::new(&mut input)));
        written.map_err(|error| server.explain(failed(&error)))?;
        server._input = Some(input);
    }
    let spawned = Instant::now();
    loop {
        if let Some(listening) = fs::read_to_string(&out).ok().and_then(|printed| read(&printed)) {
            (server.http, server.grpc) = (listening.http, listening.grpc);
            server.metrics = listening.metrics;
            return Ok(server);
        }
        let late = Failure::Failed(format!("a server did not start: {}", tail(&server.log)));
        if spawned.elapsed() > START {
            return Err(late);
        }
        if matches!(server.child.try_wait(), Ok(Some(_))) {
            return Err(server.explain(late));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Where `things serve` says that it listens, once it has said all of it.
fn in_banner(banner: &str) -> Option<Listening> {
    let told = |name: &str| {
        let line = banner.lines().find_map(|line| line.trim_start().strip_prefix(name))?;
        let word = line.split_whitespace().next()?;
        let address = word.trim_start_matches("http://").trim_end_matches("/metrics");
        address.trim_end_matches(',').parse().ok()
    };
    banner.contains("\n  keys ").then_some(())?;
    Some(Listening { http: told("API ")?, grpc: told("gRPC ")?, metrics: Some(told("metrics ")?) })
}

fn tail(log: &PathBuf) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let from = text.char_indices().rev().nth(TAIL).map_or(0, |(at, _)| at);
    text.get(from..).unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_banner_says_where_everything_listens() {
        let banner = "Things 0.1.0\n\n  database   SQLite, x\n  API        http://127.0.0.1:1 (read and try it: \
                      http://127.0.0.1:1/docs)\n  metrics    http://127.0.0.1:2/metrics\n  gRPC       127.0.0.1:3, for \
                      this machine\n  mail       off\n  keys       k\n";
        let found = in_banner(banner).unwrap();
        assert_eq!((found.http.port(), found.grpc.port(), found.metrics.unwrap().port()), (1, 3, 2));
        assert!(in_banner("Things 0.1.0\n").is_none());
    }
}

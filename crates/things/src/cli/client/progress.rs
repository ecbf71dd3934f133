//! How far a long command is: a bar where somebody looks, a line every few seconds where it is written down.

use std::{
    fmt,
    io::{self, IsTerminal, Write},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use indicatif::{
    HumanBytes, HumanCount, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle,
};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Failure, inert, terminal, trouble::exit};

/// How often a line is written where there is no terminal.
const EVERY: Duration = Duration::from_secs(5);

/// In windows with fewer columns there is no bar, only how far it is.
const NARROW: usize = 72;

/// One stretch of a long command.
pub(super) struct Progress {
    bar: ProgressBar,
    doing: &'static str,
    counts: Counts,
    /// Where there is no terminal: since when, and when the last line was written.
    lines: Option<(Instant, Instant)>,
}

/// What is counted.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Counts {
    Bytes,
    Rows,
}

impl Progress {
    /// Begins; `of` is the whole, if it is known.
    pub(super) fn begin(doing: &'static str, counts: Counts, of: Option<u64>) -> Self {
        let terminal = io::stderr().is_terminal();
        let bar = match of {
            Some(of) => ProgressBar::new(of),
            None => ProgressBar::no_length(),
        };
        let now = Instant::now();
        if terminal {
            bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
            bar.enable_steady_tick(Duration::from_millis(200));
        } else {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        let progress = Self { bar, doing, counts, lines: (!terminal).then_some((now, now)) };
        progress.style(of.is_some());
        progress
    }

    fn style(&self, known: bool) {
        // The template is ours; were it wrong, the bar would be plain.
        if let Ok(style) =
            ProgressStyle::with_template(&self.template(known, terminal::width_of(&io::stderr())))
        {
            // The one that is built in has decimals.
            let rate = |state: &ProgressState, into: &mut dyn fmt::Write| {
                let _ = write!(into, "{}/s", whole(state.per_sec()));
            };
            self.bar.set_style(style.with_key("rate", rate).progress_chars("=> "));
        }
    }

    /// As much as fits into a line of the window: one that is wrapped is not taken away again.
    fn template(&self, known: bool, width: Option<usize>) -> String {
        let (at, of, rate) = match self.counts {
            Counts::Bytes => ("{bytes}", "{total_bytes}", "{bytes_per_sec}"),
            Counts::Rows => ("{human_pos}", "{human_len}", "{rate}"),
        };
        let doing = self.doing;
        match (known, width) {
            (true, Some(..NARROW)) => format!("{doing} {{percent}}%  {{eta}} left"),
            (false, Some(..NARROW)) => format!("{doing} {{spinner}} {at}"),
            (true, _) => format!("{doing} [{{wide_bar}}] {at}/{of}  {rate}  {{eta}} left"),
            (false, _) => format!("{doing} {{spinner}} {at}  {rate}"),
        }
    }

    /// So far.
    pub(super) fn at(&mut self, done: u64, of: Option<u64>) {
        if let Some(of) = of
            && self.bar.length() != Some(of)
        {
            self.bar.set_length(of);
            self.style(true);
        }
        self.bar.set_position(done);
        if let Some((began, last)) = &mut self.lines
            && last.elapsed() >= EVERY
        {
            *last = Instant::now();
            let began = *began;
            self.line(done, began);
        }
    }

    fn line(&self, done: u64, began: Instant) {
        let seconds = began.elapsed().as_secs().max(1);
        let rate = done / seconds;
        let show = |count: u64| match self.counts {
            Counts::Bytes => HumanBytes(count).to_string(),
            Counts::Rows => HumanCount(count).to_string(),
        };
        let mut text = format!("{} {}", self.doing, show(done));
        if let Some(of) = self.bar.length() {
            text.push_str(&format!(" of {}", show(of)));
            if let Some(left) = of.saturating_sub(done).checked_div(rate) {
                text.push_str(&format!(", {} left", HumanDuration(Duration::from_secs(left))));
            }
        }
        let _ = writeln!(io::stderr(), "{text}, {}/s", show(rate));
    }

    /// A line above the bar.
    pub(super) fn say(&self, text: &str) {
        let text = inert::lines(text);
        self.aside(|| {
            let _ = writeln!(io::stderr(), "{text}");
        });
    }

    /// Takes the bar away while something else is written.
    pub(super) fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bar.suspend(write)
    }

    /// Takes the bar away.
    pub(super) fn end(self) {
        drop(self);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        // A bar fills its line, so the `^C` of the terminal went into the next one, which was cleared in its place.
        let typed = TYPED.swap(0, Ordering::Relaxed);
        if typed > 0 && self.lines.is_none() && terminal::shows_control(&io::stderr()) {
            let _ = write!(io::stderr(), "{}\r", "\u{1b}[1A\u{1b}[2K".repeat(typed));
        }
    }
}

/// A rate without decimals.
fn whole(rate: f64) -> String {
    let text = format!("{rate:.0}");
    text.parse().map_or(text, |rate: u64| HumanCount(rate).to_string())
}

/// Counts what another task moves, and shows it until that task is done.
pub(super) async fn watched<T>(
    mut progress: Progress,
    counter: Arc<AtomicU64>,
    of: Option<u64>,
    work: impl Future<Output = T>,
) -> T {
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => {
                progress.end();
                return done;
            }
            () = tokio::time::sleep(Duration::from_millis(100)) => progress.at(counter.load(Ordering::Relaxed), of),
        }
    }
}

/// How often Ctrl-C was typed while a bar was shown. Signals are the process's, and so is its terminal.
static TYPED: AtomicUsize = AtomicUsize::new(0);

/// Ctrl-C, the end of the terminal, and what service managers and `kill` send. What was ignored when the program began, as
/// by `nohup`, goes on being ignored.
pub(super) struct Signals {
    interrupt: Option<Signal>,
    hang_up: Option<Signal>,
    terminate: Option<Signal>,
}

/// The signals that this process ignores, as Linux tells: a bit for each, from 1 on. Elsewhere none.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// The next of these; never, if they are ignored.
async fn one(signals: &mut Option<Signal>) {
    match signals {
        Some(signals) => drop(signals.recv().await),
        None => std::future::pending().await,
    }
}

impl Signals {
    /// Listens from now on, so that the signals no longer end the program.
    pub(super) fn listen() -> Result<Self, Failure> {
        // Asked once, before the first listening, which ends it.
        static IGNORED: LazyLock<u64> = LazyLock::new(ignored);
        let listen = |kind: SignalKind| {
            let bit = u32::try_from(kind.as_raw_value() - 1).unwrap_or(0);
            if IGNORED.checked_shr(bit).is_some_and(|mask| mask & 1 == 1) {
                return Ok(None);
            }
            signal(kind).map(Some).map_err(|error| Failure::to("listen for signals", &error))
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            hang_up: listen(SignalKind::hangup())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    /// Waits for one: the exit code that tells it.
    pub(super) async fn next(&mut self) -> u8 {
        tokio::select! {
            () = one(&mut self.interrupt) => {
                TYPED.fetch_add(1, Ordering::Relaxed);
                exit::INTERRUPTED
            }
            () = one(&mut self.hang_up) => exit::HUNG_UP,
            () = one(&mut self.terminate) => exit::TERMINATED,
        }
    }
}

/// Runs what may take long; a signal ends it with `words`, which say what is done and how to go on. What the work holds is
/// dropped first: files that are not whole are removed, and no bar is left.
///
/// Signals are listened for before the work begins: whoever sees a bar can interrupt what it shows.
pub(super) async fn interruptible<T>(
    words: impl Fn() -> String,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let mut signals = Signals::listen()?;
    tokio::select! {
        biased;
        code = signals.next() => Err(Failure::interrupted(code, &words())),
        done = work => done,
    }
}

/// A reader that counts.
pub(super) struct Counted<R> {
    inner: R,
    counter: Arc<AtomicU64>,
}

impl<R> Counted<R> {
    pub(super) fn new(inner: R, counter: Arc<AtomicU64>) -> Self {
        Self { inner, counter }
    }
}

impl<R: tokio::io::AsyncRead + Unpin> tokio::io::AsyncRead for Counted<R> {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        into: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        let before = into.filled().len();
        let polled = std::pin::Pin::new(&mut self.inner).poll_read(context, into);
        let read = into.filled().len() - before;
        self.counter.fetch_add(u64::try_from(read).unwrap_or_default(), Ordering::Relaxed);
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_whole() {
        assert_eq!(whole(5_846.683_4), "5,847");
        assert_eq!(whole(0.2), "0");
        assert_eq!(whole(f64::INFINITY), "inf");
    }
}

//! How far a phase has come, on the error stream: a moving line with rate and time left for a person, a line
//! every few seconds otherwise.

use std::{
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

use registry::adopt;

/// How often a person's line moves, and how often another is written where there is none.
const OFTEN: Duration = Duration::from_millis(100);
const SELDOM: Duration = Duration::from_secs(5);

pub(super) struct Progress {
    what: &'static str,
    terminal: bool,
    started: Instant,
    told: Instant,
    /// What an earlier run had done: no part of the rate.
    before: Option<u64>,
}

impl Progress {
    pub(super) fn new(what: &'static str) -> Self {
        let now = Instant::now();
        Self { what, terminal: io::stderr().is_terminal(), started: now, told: now, before: None }
    }

    pub(super) fn at(&mut self, at: adopt::Progress) {
        let before = *self.before.get_or_insert(at.done);
        let pause = if self.terminal { OFTEN } else { SELDOM };
        if self.told.elapsed() < pause {
            return;
        }
        self.told = Instant::now();
        let line = line(self.what, at, before, self.started.elapsed());
        // If it cannot be written there is nobody to tell.
        let _ = if self.terminal {
            write!(io::stderr(), "\r\x1b[K{line}")
        } else {
            writeln!(io::stderr(), "{line}")
        };
    }

    pub(super) fn done(&self, text: &str) {
        let start = if self.terminal { "\r\x1b[K" } else { "" };
        let _ = writeln!(io::stderr(), "{start}{text}");
    }
}

fn line(what: &str, at: adopt::Progress, before: u64, elapsed: Duration) -> String {
    let percent = (at.done * 100).checked_div(at.total).unwrap_or(100);
    let mut line = format!("{what}: {} of {} ({percent} %)", at.done, at.total);
    // Whole numbers: nobody needs more of a guess.
    let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
    let rate = at.done.saturating_sub(before).saturating_mul(1000) / millis;
    if let Some(left) = at.total.saturating_sub(at.done).checked_div(rate) {
        line.push_str(&format!(", {rate}/s, {} min {:02} s left", left / 60, left % 60));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_tells_rate_and_time_left() {
        let at = |done, total| adopt::Progress { done, total };
        let ten = Duration::from_secs(10);
        assert_eq!(
            line("x", at(30_000, 100_000), 10_000, ten),
            "x: 30000 of 100000 (30 %), 2000/s, 0 min 35 s left"
        );
        assert_eq!(line("x", at(0, 100), 0, ten), "x: 0 of 100 (0 %)");
        assert_eq!(line("x", at(0, 0), 0, Duration::ZERO), "x: 0 of 0 (100 %)");
    }
}

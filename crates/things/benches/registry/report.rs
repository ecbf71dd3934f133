//! How measurements are printed, and what is told of many samples.

use std::{
    io::{self, Write},
    time::Duration,
};

/// One line. A reader that went away is no reason to stop before everything is cleaned up.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// One row of the table: what, how much, and compared with what.
pub(crate) fn note(what: &str, value: &str, compared: &str) {
    say(format!("| {what:<47} | {value:>20} | {compared}").trim_end());
}

/// Progress for a person who waits; not part of the table.
pub(crate) fn progress(line: &str) {
    let _ = writeln!(io::stderr(), "  … {line}");
}

/// Durations of the same thing, many times.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(Vec<Duration>);

impl Samples {
    pub(crate) fn add(&mut self, sample: Duration) {
        self.0.push(sample);
    }

    pub(crate) fn extend(&mut self, other: &Samples) {
        self.0.extend_from_slice(&other.0);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The sample that `part` of all are not longer than.
    pub(crate) fn quantile(&self, part: f64) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let last = sorted.len().saturating_sub(1);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a place among some thousand samples"
        )]
        let at = ((last as f64) * part).round() as usize;
        sorted.get(at).copied().unwrap_or_default()
    }

    pub(crate) fn median(&self) -> Duration {
        self.quantile(0.5)
    }

    pub(crate) fn worst(&self) -> Duration {
        self.quantile(1.0)
    }
}

/// Milliseconds for a table.
pub(crate) fn ms(duration: Duration) -> String {
    let ms = duration.as_secs_f64() * 1_000.0;
    if ms < 10.0 { format!("{ms:.2} ms") } else { format!("{ms:.1} ms") }
}

/// How many times as long.
pub(crate) fn ratio(this: Duration, that: Duration) -> f64 {
    this.as_secs_f64() / that.as_secs_f64().max(f64::EPSILON)
}

/// How many a second.
pub(crate) fn rate(count: usize, duration: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "at most millions")]
    let count = count as f64;
    count / duration.as_secs_f64().max(f64::EPSILON)
}

//! How long requests took: counts in buckets whose width grows with what they hold, off by less than 2 %.

use std::time::Duration;

/// Buckets in each doubling.
const STEPS: u32 = 6;
const BUCKETS: usize = (64 - STEPS as usize) * (1 << STEPS) + (1 << STEPS);

/// Durations in nanoseconds.
pub(super) struct Histogram {
    counts: Box<[u64]>,
    total: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS].into(), total: 0 }
    }
}

impl Histogram {
    pub(super) fn add(&mut self, took: Duration) {
        let bucket = bucket(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        // Always there: `bucket` is less than `BUCKETS`.
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
            self.total += 1;
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.total += other.total;
    }

    pub(super) fn count(&self) -> u64 {
        self.total
    }

    /// What `share` of the requests took at most, in microseconds.
    pub(super) fn quantile(&self, share: f64) -> f64 {
        let wanted = (self.total as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return middle(bucket) / 1000.0;
            }
        }
        0.0
    }
}

/// The highest bits of the value, and how far they were moved.
fn bucket(nanos: u64) -> usize {
    let shift = (u64::BITS - nanos.leading_zeros()).saturating_sub(STEPS + 1);
    ((shift as usize) << STEPS) + (nanos >> shift) as usize
}

fn middle(bucket: usize) -> f64 {
    let shift = (bucket >> STEPS).saturating_sub(1);
    let low = ((bucket - (shift << STEPS)) as f64) * 2f64.powi(shift as i32);
    low + (2f64.powi(shift as i32) - 1.0) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_within_two_percent() {
        for nanos in [0, 1, 63, 64, 127, 128, 129, 1_000, 12_345, 999_999, 1 << 40, u64::MAX / 3, u64::MAX] {
            let found = middle(bucket(nanos));
            assert!((found - nanos as f64).abs() <= nanos as f64 * 0.02, "{nanos}: {found}");
            assert!(bucket(nanos) < BUCKETS);
        }
    }

    #[test]
    fn quantiles_are_of_all_that_was_added() {
        let (mut some, mut others) = (Histogram::default(), Histogram::default());
        for micros in 1..=500 {
            some.add(Duration::from_micros(micros));
            others.add(Duration::from_micros(500 + micros));
        }
        some.merge(&others);
        assert_eq!(some.count(), 1_000);
        assert!((some.quantile(0.5) - 500.0).abs() < 10.0);
        assert!((some.quantile(0.99) - 990.0).abs() < 20.0);
        assert_eq!(Histogram::default().quantile(0.99), 0.0);
    }
}

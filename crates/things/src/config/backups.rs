//! The part of the configuration that is about backups.

use std::time::Duration;

use super::{Config, ConfigError};
use crate::backups::Schedule;

/// The shortest and the longest time between two backups.
const EVERY: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(60)..=Duration::from_secs(365 * 24 * 3600);

impl Config {
    pub(super) fn check_backups(&self) -> Result<(), ConfigError> {
        if !duration(&self.raw.backup_every).is_some_and(|every| EVERY.contains(&every)) {
            let rule = "must be a number of minutes, hours or days, such as 30m, 24h or 7d, from 1m to 365d";
            return Err(self.refusal("backup_every", rule));
        }
        if !(1..=10_000).contains(&self.raw.backup_keep) {
            return Err(self.refusal("backup_keep", "must be from 1 to 10000"));
        }
        if self.raw.backup_dir.as_ref().is_some_and(|dir| dir.as_os_str().is_empty()) {
            return Err(self.refusal("backup_dir", "must not be empty"));
        }
        Ok(())
    }

    /// When backups are taken, if they are.
    pub fn backups(&self) -> Option<Schedule> {
        let every = duration(&self.raw.backup_every)?;
        Some(Schedule::new(self.raw.backup_dir.clone()?, every, self.raw.backup_keep as usize))
    }
}

fn duration(text: &str) -> Option<Duration> {
    let unit = match text.chars().next_back()? {
        'm' => 60,
        'h' => 3600,
        'd' => 24 * 3600,
        _ => return None,
    };
    let count = text.get(..text.len() - 1)?;
    if count.starts_with('+') {
        return None;
    }
    Some(Duration::from_secs(u64::from(count.parse::<u32>().ok()?) * unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("24h"), Some(Duration::from_secs(86_400)));
        assert_eq!(duration("7d"), Some(Duration::from_secs(604_800)));
        assert_eq!(duration("30m"), Some(Duration::from_secs(1_800)));
        for wrong in ["", "24", "h", "-1h", "+1h", "1.5h", "1w", "24 h", "24hü"] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }
}

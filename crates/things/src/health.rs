//! Is the process well: for probes and load balancers, which ask often and must cost nothing.

use std::{path::Path, time::Duration};

use registry::Registry;
use tokio::{sync::Mutex, time::Instant};

use crate::backups::BackupState;

/// How old an answer may be.
const KEPT: Duration = Duration::from_secs(1);
/// A database that needs longer than this counts as away.
const PATIENCE: Duration = Duration::from_secs(2);
/// Less free space than this is told, because SQLite and PostgreSQL stop at none.
const LEAST_DISK: u64 = 100 << 20;

/// What was found at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report {
    /// Whether the database answers.
    pub(crate) database: bool,
    /// The newest migration applied and the newest known; `None` while the database is away.
    pub(crate) migrations: Option<(i64, i64)>,
    /// Bytes free where the data is; `None` where that cannot be told.
    pub(crate) disk_free: Option<u64>,
    /// Whether mails are sent: none has waited for an hour or was given up within a day.
    pub(crate) mail: bool,
    /// Whether the newest scheduled backup is as new as it should be; `None` where none are taken.
    pub(crate) backup: Option<bool>,
}

impl Report {
    /// Whether requests can be answered.
    pub(crate) fn is_ready(&self) -> bool {
        self.database && self.schema_fits()
    }

    /// A newer program may have migrated the database meanwhile, which this one then still serves.
    pub(crate) fn schema_fits(&self) -> bool {
        self.migrations.is_some_and(|(applied, known)| applied >= known)
    }

    /// Whether there is room to write.
    pub(crate) fn has_room(&self) -> bool {
        self.disk_free.is_none_or(|free| free >= LEAST_DISK)
    }
}

/// Asks, at most once a second whoever asks.
#[derive(Default)]
pub(crate) struct Health(Mutex<Option<(Instant, Report)>>);

impl Health {
    pub(crate) async fn report(
        &self,
        registry: &Registry,
        data_dir: Option<&Path>,
        backups: &BackupState,
    ) -> Report {
        // Held while asking: the others wait for the same answer.
        let mut kept = self.0.lock().await;
        if let Some((at, report)) = *kept
            && at.elapsed() < KEPT
        {
            return report;
        }
        let migrations =
            tokio::time::timeout(PATIENCE, registry.migrations()).await.ok().and_then(Result::ok);
        let mail = match migrations {
            Some(_) => tokio::time::timeout(PATIENCE, registry.mail_status()).await.ok().and_then(Result::ok),
            None => None,
        };
        let backup = match migrations {
            Some(_) => tokio::time::timeout(PATIENCE, backups.is_well(registry)).await.ok().flatten(),
            None => None,
        };
        let report = Report {
            database: migrations.is_some(),
            migrations,
            disk_free: data_dir.and_then(free_space),
            // What cannot be told is the database's affair.
            mail: mail.is_none_or(|status| status.is_well()),
            backup,
        };
        *kept = Some((Instant::now(), report));
        report
    }
}

/// Bytes that an unprivileged process may still write there.
pub(crate) fn free_space(dir: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(dir).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

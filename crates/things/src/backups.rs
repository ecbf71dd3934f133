//! Backups that the program takes by itself: into a directory, as often as configured, the newest ones kept.
//!
//! Of several processes on one database one takes each backup: whoever notes it in the journal first. A file
//! gets its name once it is whole and on the disk.

use std::{
    fs, io,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use prometheus_client::metrics::gauge::Gauge;
use registry::{Registry, backup::Backup};

/// How often it is looked whether a backup is due.
const LOOK: Duration = Duration::from_secs(60);
/// One that failed is tried again after so many of these: ten minutes.
const AGAIN: u32 = 10;

/// When backups are taken, and how many are kept.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// Where they go.
    pub dir: PathBuf,
    /// How long after each other.
    pub every: Duration,
    /// How many are kept: the newest.
    pub keep: usize,
    look: Duration,
}

/// How backups are doing. Clones tell of the same.
#[derive(Clone, Debug, Default)]
pub struct BackupState {
    every: Option<Duration>,
    failing: Arc<AtomicBool>,
    /// When the last one was whole, in seconds since 1970; 0 for never.
    pub(crate) succeeded: Gauge,
    /// When the last one failed; 0 for never.
    pub(crate) failed: Gauge,
}

impl BackupState {
    /// Of backups that are taken so often.
    pub(crate) fn expecting(every: Option<Duration>) -> Self {
        Self { every, ..Self::default() }
    }

    /// Whether the newest backup is as new as it should be; `None` where none are taken.
    pub(crate) async fn is_well(&self, registry: &Registry) -> Option<bool> {
        let every = self.every?;
        if self.failing.load(Ordering::Relaxed) {
            return Some(false);
        }
        match registry.since_scheduled_backup().await {
            // The first one is under way.
            Ok(None) => Some(true),
            Ok(Some(since)) => Some(since <= every.saturating_mul(2)),
            // What cannot be told is the database's affair.
            Err(_) => Some(true),
        }
    }
}

impl Schedule {
    /// Into this directory, so long after each other, so many of the newest kept.
    pub fn new(dir: PathBuf, every: Duration, keep: usize) -> Self {
        Self { dir, every, keep, look: LOOK }
    }

    /// Looks whether one is due, and tries again, after this time: for tests.
    #[must_use]
    pub fn looking_every(self, look: Duration) -> Self {
        Self { look, ..self }
    }

    /// Takes backups until `stopping`.
    pub async fn run(self, registry: Arc<Registry>, state: BackupState, stopping: impl Future<Output = ()>) {
        tokio::select! {
            () = stopping => {}
            () = self.keep_on(&registry, &state) => {}
        }
    }

    async fn keep_on(&self, registry: &Arc<Registry>, state: &BackupState) {
        // One that ended with its process is taken anew.
        let mut unfinished = self.sweep_parts();
        loop {
            let begun = match unfinished {
                true => registry.back_up_again().await,
                false => registry.back_up_if_due(self.every).await,
            };
            let taken = match begun {
                Ok(None) => Ok(None),
                Ok(Some(backup)) => self.write(backup).await.map(Some),
                Err(error) => Err(io::Error::other(error)),
            };
            let now = registry.clock().now().millis() / 1000;
            match taken {
                Ok(None) => {}
                Ok(Some(file)) => {
                    unfinished = false;
                    state.failing.store(false, Ordering::Relaxed);
                    state.succeeded.set(now);
                    tracing::info!(file = %file.display(), "took a backup");
                }
                Err(error) => {
                    unfinished = true;
                    state.failing.store(true, Ordering::Relaxed);
                    state.failed.set(now);
                    tracing::error!(error = %chain(&error), dir = %self.dir.display(), "cannot take a backup");
                }
            }
            tokio::time::sleep(if unfinished { self.look.saturating_mul(AGAIN) } else { self.look }).await;
        }
    }

    /// Writes a backup aside, onto the disk, and gives it its name; then older ones go.
    async fn write(&self, backup: Backup) -> io::Result<PathBuf> {
        let name = backup.file_name();
        let (aside, place) =
            (self.dir.join(format!(".{name}.part-{}", std::process::id())), self.dir.join(name));
        let written = self.write_aside(backup, &aside).await;
        let (schedule, part, to) = (self.clone(), aside, place.clone());
        blocking(move || {
            // The file stays locked until it has its name.
            let named = written.and_then(|_file| fs::rename(&part, &to));
            if named.is_err() {
                // Retries must not fill the disk.
                let _ = fs::remove_file(&part);
            }
            named?;
            fs::File::open(&schedule.dir)?.sync_all()?;
            schedule.prune();
            Ok(())
        })
        .await?;
        Ok(place)
    }

    async fn write_aside(&self, mut backup: Backup, aside: &Path) -> io::Result<fs::File> {
        let (dir, open) = (self.dir.clone(), aside.to_owned());
        let mut file = blocking(move || {
            fs::create_dir_all(&dir)?;
            let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&open)?;
            // Whoever finds it locked knows that somebody is writing it.
            file.lock()?;
            Ok(file)
        })
        .await?;
        while let Some(piece) = backup.next().await {
            let piece = piece.map_err(io::Error::other)?;
            file = blocking(move || file.write_all(&piece).map(|()| file)).await?;
        }
        blocking(move || file.sync_all().map(|()| file)).await
    }

    /// Removes all backups but the newest; files of other names are not looked at. What cannot be removed is said:
    /// the new backup is none the worse for it.
    fn prune(&self) {
        let mut files = match self.files(is_backup) {
            Ok(files) => files,
            Err(error) => {
                tracing::warn!(%error, dir = %self.dir.display(), "cannot look for old backups");
                return;
            }
        };
        files.sort_unstable();
        let old = files.len().saturating_sub(self.keep);
        for file in files.iter().take(old) {
            if let Err(error) = fs::remove_file(file) {
                tracing::warn!(%error, file = %file.display(), "cannot remove an old backup");
            }
        }
    }

    /// Removes what processes left that ended in the middle of a backup; tells whether there was any.
    fn sweep_parts(&self) -> bool {
        let mut swept = false;
        for file in self.files(is_part).unwrap_or_default() {
            let abandoned = fs::File::open(&file).is_ok_and(|file| file.try_lock().is_ok());
            swept |= abandoned && fs::remove_file(&file).is_ok();
        }
        swept
    }

    fn files(&self, is_wanted: fn(&str) -> bool) -> io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if path.file_name().and_then(|name| name.to_str()).is_some_and(is_wanted) && is_plain(&path) {
                files.push(path);
            }
        }
        Ok(files)
    }
}

/// A file, and no link to one.
fn is_plain(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_file())
}

/// `things-20261123T121320Z.ndjson`, which sorts by time.
fn is_backup(name: &str) -> bool {
    let moment = name.strip_prefix("things-").and_then(|rest| rest.strip_suffix("Z.ndjson"));
    moment.and_then(|moment| moment.split_once('T')).is_some_and(|(day, time)| {
        day.len() == 8
            && time.len() == 6
            && [day, time].iter().all(|part| part.bytes().all(|c| c.is_ascii_digit()))
    })
}

fn is_part(name: &str) -> bool {
    let part = name.strip_prefix('.').and_then(|rest| rest.rsplit_once(".part-"));
    part.is_some_and(|(name, process)| is_backup(name) && process.bytes().all(|c| c.is_ascii_digit()))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// An error and what is behind it, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_its_own_names_are_pruned() {
        let dir = tempfile::tempdir().unwrap();
        let names = [
            "things-20261121T000000Z.ndjson",
            "things-20261122T000000Z.ndjson",
            "things-20261123T121320Z.ndjson",
            "things-20261120.ndjson",
            "things-2026112xT000000Z.ndjson",
            "things-20261120T000000Z.ndjson.bak",
            "my-things-20261120T000000Z.ndjson",
        ];
        for name in names {
            fs::write(dir.path().join(name), "x").unwrap();
        }
        std::os::unix::fs::symlink("/etc/hostname", dir.path().join("things-20200101T000000Z.ndjson"))
            .unwrap();
        let schedule = Schedule::new(dir.path().to_owned(), LOOK, 2);
        schedule.prune();
        let mut left: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort_unstable();
        let mut expected: Vec<_> = names[1..].to_vec();
        expected.push("things-20200101T000000Z.ndjson");
        expected.sort_unstable();
        assert_eq!(left, expected);
    }

    #[test]
    fn what_a_process_left_is_swept_and_what_one_writes_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let schedule = Schedule::new(dir.path().to_owned(), LOOK, 2);
        assert!(!schedule.sweep_parts());
        let part = |number: u32| dir.path().join(format!(".things-20261121T000000Z.ndjson.part-{number}"));
        fs::write(part(1), "x").unwrap();
        fs::write(part(2), "x").unwrap();
        let held = fs::File::open(part(2)).unwrap();
        held.lock().unwrap();
        assert!(schedule.sweep_parts());
        assert!(!part(1).exists() && part(2).exists());
        assert!(!schedule.sweep_parts());
    }
}

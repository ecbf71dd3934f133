//! A directory of this run's own, gone when the run ends.

use std::{
    fs,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use registry::Keyring;

use super::Result;
use crate::cli::Failure;

/// Holds the keys, SQLite's database and what the servers print.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn make() -> Result<Self> {
        let dir = std::env::temp_dir().join(format!("things-bench-{}", std::process::id()));
        // One that is there already belongs to somebody else, and is not removed either.
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&dir)
            .map_err(|error| Failure::to(&format!("make the directory {}", dir.display()), &error))?;
        Ok(Self(dir))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// The installation's keys, made where the servers look for them.
    pub(super) fn keyring(&self) -> Result<Keyring> {
        Keyring::load(&self.0.join("things.keys"), true).map_err(|error| Failure::to("make keys", &error))
    }

    /// SQLite's database.
    pub(super) fn database_url(&self) -> String {
        format!("sqlite:{}", self.0.join("things.db").display())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is in the directory for temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}

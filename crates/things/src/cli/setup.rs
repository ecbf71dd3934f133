//! What comes before serving: the data directory, the installation's keys, the database.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
    sync::Arc,
};

use registry::{Keyring, Registry};

use super::{Failure, moving::lock_of, print};
use crate::config::Config;

/// The keys in the environment, in the key file's form.
const KEYS_VARIABLE: &str = "THINGS_KEYS";

/// Makes SQLite's database this process's own for as long as what is returned lives; there is nothing to be
/// held on PostgreSQL, where processes hear of each other's changes.
pub(super) fn claim(config: &Config) -> Result<Option<fs::File>, Failure> {
    config.database_file().map(|database| claim_file(&database)).transpose()
}

/// The same for one of SQLite's databases, in whatever place.
pub(super) fn claim_file(database: &Path) -> Result<fs::File, Failure> {
    if let Some(dir) = database.parent() {
        make_private(dir)?;
    }
    let path = lock_of(database);
    let what = format!("lock {}", path.display());
    let file = fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = file.map_err(|error| Failure::to(&what, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(Failure::Failed(format!(
            "another `things serve` has the database {} open, and this one would not hear of keys that are \
             revoked there: stop it first, or use PostgreSQL, which several may share",
            database.display()
        ))),
        Err(fs::TryLockError::Error(error)) => Err(Failure::to(&what, &error)),
    }
}

/// Opens the registry, making what is not there yet.
pub(super) async fn open(config: &Config) -> Result<Arc<Registry>, Failure> {
    let keyring = keyring(config, true)?;
    if let Some(file) = config.database_file() {
        make_database_file(&file)?;
    }
    let what = format!("open the database {}", config.shown_database_url());
    Registry::open(config.registry(keyring)).await.map_err(|error| Failure::to(&what, &error))
}

/// Makes SQLite's file for its owner only; one that exists is left as it is.
pub(super) fn make_database_file(file: &Path) -> Result<(), Failure> {
    let Some(dir) = file.parent() else { return Ok(()) };
    make_private(dir)?;
    // SQLite would let everybody read it; its journals follow the file's mode.
    match fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(Failure::to(&format!("make {}", file.display()), &error))
        }
        _ => Ok(()),
    }
}

/// The installation's keys: from the environment, else from their file, which is made if `create`.
pub(super) fn keyring(config: &Config, create: bool) -> Result<Keyring, Failure> {
    match std::env::var(KEYS_VARIABLE) {
        Ok(text) if !text.is_empty() => {
            text.parse().map_err(|error| Failure::to(&format!("use {KEYS_VARIABLE}"), &error))
        }
        _ => {
            // New keys beside a database that has others would look like the right ones.
            if let Some(database) = config.database_file().filter(|file| create && file.exists())
                && !config.key_file().exists()
            {
                let (database, keys) = (database.display(), config.key_file());
                let keys = keys.display();
                return Err(Failure::Failed(format!(
                    "there is a database, {database}, but not its key file, {keys}: put back its copy, \
                     or, to begin anew, move the database away"
                )));
            }
            if create {
                make_private(config.data_dir())?;
            }
            Keyring::load(&config.key_file(), create).map_err(|error| Failure::to("start", &error))
        }
    }
}

/// Where the keys come from, for a person to read.
pub(super) fn key_place(config: &Config) -> String {
    match std::env::var_os(KEYS_VARIABLE) {
        Some(_) => format!("the environment variable {KEYS_VARIABLE}"),
        None => config.key_file().display().to_string(),
    }
}

/// Makes a directory that only its owner can enter; one that exists is left as it is.
fn make_private(dir: &Path) -> Result<(), Failure> {
    if dir.as_os_str().is_empty() {
        return Ok(());
    }
    match fs::DirBuilder::new().recursive(true).mode(0o700).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(Failure::to(&format!("make the directory {}", dir.display()), &error))
        }
        _ => Ok(()),
    }
}

/// `things migrate`.
pub(super) async fn migrate(config: &Config) -> Result<(), Failure> {
    let registry = open(config).await?;
    let (applied, _) =
        registry.migrations().await.map_err(|error| Failure::to("read the schema's version", &error))?;
    registry.close().await;
    print(&format!("{}: the schema is at migration {applied}\n", config.shown_database_url()))
}

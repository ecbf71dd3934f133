//! Mails as files that the operator passes on, readable by the owner of the process only, because a
//! mail may hold a right to become somebody.

use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
};

use registry::{MailId, Secret, Timestamp};

use super::{Refusal, compose::Composed};

/// Writes mails into a directory.
pub(super) struct Files {
    dir: PathBuf,
}

impl Files {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    pub(super) async fn write(&self, mail: &Composed) -> Result<(), Refusal> {
        let text = mail.readable()?;
        let (dir, name) = (self.dir.clone(), file_name(mail.created_at, mail.id));
        let file = self.dir.join(&name);
        let written = tokio::task::spawn_blocking(move || write(&dir, &name, &text)).await;
        match written.map_err(io::Error::other).flatten() {
            Ok(()) => {
                tracing::info!(mail = %mail.id, file = %file.display(), "a mail was written");
                Ok(())
            }
            Err(error) => Err(Refusal::new(&format!("the file cannot be written: {error}"))),
        }
    }
}

/// Sorted by time, and the same at each attempt.
fn file_name(written: Timestamp, id: MailId) -> String {
    format!("{}-{id}.eml", written.to_string().replace(['-', ':'], ""))
}

/// Written aside and linked into place, so that nobody reads half a mail. One that is there already is
/// this one: its writer ended before it could say so.
fn write(dir: &Path, name: &str, text: &Secret) -> io::Result<()> {
    make_dir(dir)?;
    let aside = dir.join(format!(".{name}.part"));
    match fs::remove_file(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = private().write(true).create_new(true).open(&aside)?;
    let placed = file.write_all(text.expose().as_bytes()).and_then(|()| file.sync_all()).and_then(|()| {
        match fs::hard_link(&aside, dir.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        }
    });
    fs::remove_file(&aside)?;
    placed?;
    fs::File::open(dir)?.sync_all()
}

#[cfg(unix)]
fn make_dir(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

#[cfg(unix)]
fn private() -> fs::OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = fs::OpenOptions::new();
    options.mode(0o600);
    options
}

#[cfg(not(unix))]
fn make_dir(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)
}

#[cfg(not(unix))]
fn private() -> fs::OpenOptions {
    fs::OpenOptions::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn mails_are_private_whole_and_never_replaced() {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("mail");
        fs::create_dir(&dir).unwrap();
        fs::set_permissions(&dir, PermissionsExt::from_mode(0o700)).unwrap();
        // Left by a writer that was killed.
        fs::write(dir.join(".1.eml.part"), "fir").unwrap();
        write(&dir, "1.eml", &Secret::new("first")).unwrap();
        write(&dir, "1.eml", &Secret::new("second")).unwrap();
        let file = dir.join("1.eml");
        assert_eq!(fs::read_to_string(&file).unwrap(), "first");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
        write(&dir.join("deeper"), "1.eml", &Secret::new("first")).unwrap();
        assert_eq!(fs::metadata(dir.join("deeper")).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn names_of_files_sort_by_time() {
        let name = |millis| file_name(Timestamp::from_millis(millis), MailId::from(uuid::Uuid::nil()));
        assert_eq!(name(1_767_225_600_000), "20260101T000000.000Z-00000000-0000-0000-0000-000000000000.eml");
        assert!(name(1_767_225_600_000) < name(1_767_225_600_001));
    }
}

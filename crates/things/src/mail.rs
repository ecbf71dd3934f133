//! Mail to people. It goes into files that the operator passes on: `<data-dir>/mail/*.txt`, readable by
//! the owner of the process only, because a mail may hold a right to become somebody.

use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
};

use registry::{Secret, Timestamp, text::Email};

use crate::App;

/// One mail. It cannot be printed: its text may hold a token.
pub(crate) struct Mail {
    pub(crate) to: Email,
    pub(crate) subject: &'static str,
    pub(crate) text: Secret,
}

/// Where mails go.
pub(crate) struct Mailer {
    /// `None` without a data directory: then they cannot go anywhere.
    dir: Option<PathBuf>,
}

impl Mailer {
    pub(crate) fn new(data_dir: Option<&Path>) -> Self {
        Self { dir: data_dir.map(|dir| dir.join("mail")) }
    }

    /// Delivers a mail; a failure is for the operator, because nobody waits for it.
    pub(crate) async fn deliver(&self, mail: Mail, app: &App, request_id: &str) {
        let Some(dir) = self.dir.clone() else {
            tracing::error!(request_id, "there is no data directory to put a mail into");
            return;
        };
        let name = file_name(app.registry.clock().now(), request_id);
        let file = dir.join(&name);
        let written = tokio::task::spawn_blocking(move || write(&dir, &name, &mail)).await;
        match written.map_err(io::Error::other).flatten() {
            Ok(()) => tracing::info!(request_id, file = %file.display(), "a mail was written"),
            Err(error) => {
                tracing::error!(request_id, file = %file.display(), %error, "a mail was not written");
            }
        }
    }
}

/// The time and the request's id, which the client may have chosen.
fn file_name(now: Timestamp, request_id: &str) -> String {
    let moment = now.to_string().replace(['-', ':'], "");
    let request: String = request_id
        .chars()
        .take(64)
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' })
        .collect();
    format!("{moment}-{request}.txt")
}

/// Written aside and linked into place, so that nobody reads half a mail and none replaces another.
fn write(dir: &Path, name: &str, mail: &Mail) -> io::Result<()> {
    make_dir(dir)?;
    let aside = dir.join(format!(".{name}.part"));
    let text = format!("To: {}\nSubject: {}\n\n{}", mail.to, mail.subject, mail.text.expose());
    let text = Secret::new(text);
    let mut file = private().write(true).create_new(true).open(&aside)?;
    let placed = file
        .write_all(text.expose().as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::hard_link(&aside, dir.join(name)));
    fs::remove_file(&aside)?;
    placed
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

    fn mail(text: &str) -> Mail {
        Mail { to: Email::try_from("ada@example.com").unwrap(), subject: "Hello", text: Secret::new(text) }
    }

    #[cfg(unix)]
    #[test]
    fn mails_are_private_whole_and_never_replaced() {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("mail");
        write(&dir, "1.txt", &mail("first")).unwrap();
        assert!(write(&dir, "1.txt", &mail("second")).is_err());
        let file = dir.join("1.txt");
        assert_eq!(fs::read_to_string(&file).unwrap(), "To: ada@example.com\nSubject: Hello\n\nfirst");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
    }

    #[test]
    fn names_of_files_stay_in_their_directory() {
        let now = Timestamp::from_millis(1_767_225_600_000);
        assert_eq!(file_name(now, "r-1"), "20260101T000000.000Z-r-1.txt");
        let hostile = file_name(now, "../../etc/passwd");
        assert_eq!(hostile, "20260101T000000.000Z-______etc_passwd.txt");
        assert!(file_name(now, &"x".repeat(128)).len() < 100);
    }
}

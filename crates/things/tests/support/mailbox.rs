//! Mails as an operator gets them with `mail = "file"`, and the secrets that their links end with.

use std::{fs, path::PathBuf, time::Duration};

use registry::Secret;
use things::mail::{Destination, Setup};

/// A directory that mails are written into.
pub struct Mailbox(tempfile::TempDir);

impl Mailbox {
    pub fn empty() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Mails into it, as the options would say it.
    pub fn setup(&self) -> Setup {
        Setup {
            destination: Destination::Files(self.dir()),
            from: None,
            templates: None,
            ca: None,
            site: "http://127.0.0.1".to_owned(),
        }
    }

    /// The secret of the newest mail, once there are so many.
    pub async fn secret(&self, wanted: usize) -> Secret {
        for _ in 0..1000 {
            let mails = self.mails();
            if mails.len() >= wanted {
                return secret(&mails[mails.len() - 1]);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("there are not {wanted} mails");
    }

    /// The secret of the newest mail to this address.
    pub fn secret_to(&self, address: &str) -> Secret {
        let to = format!("\nTo: {address}\n");
        let newest = self.mails().into_iter().rev().find(|mail| mail.contains(&to));
        secret(&newest.unwrap_or_else(|| panic!("no mail to {address}")))
    }

    /// All of them, oldest first, which is the order of their names.
    fn mails(&self) -> Vec<String> {
        let mut files: Vec<_> = fs::read_dir(self.dir())
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "eml"))
            .collect();
        files.sort();
        files.iter().map(|file| fs::read_to_string(file).unwrap()).collect()
    }

    fn dir(&self) -> PathBuf {
        self.0.path().join("mail")
    }
}

/// The last part of the link, which stands on a line of its own in the text.
fn secret(mail: &str) -> Secret {
    let link = mail.lines().map(str::trim).find(|line| line.starts_with("http"));
    let link = link.unwrap_or_else(|| panic!("no link in {mail}"));
    Secret::new(link.split('?').next().unwrap().rsplit('/').next().unwrap())
}

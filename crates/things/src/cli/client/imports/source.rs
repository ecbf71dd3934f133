//! The file that is imported. It is read more than once, so what can be read only once is kept.

use std::{
    fs::{self, File},
    io::{self, Read, Seek},
    path::{Path, PathBuf},
};

use aws_lc_rs::digest::{Context, SHA256};

use super::super::Failure;

/// A CSV or NDJSON file.
pub(super) struct Source {
    path: PathBuf,
    /// What came through a pipe. The file has no name, so that nothing is left of it, however the command ends: devices'
    /// keys may be in it.
    copy: Option<File>,
    pub(super) csv: bool,
}

impl Source {
    /// Opens it; what is no regular file is read to its end.
    pub(super) fn open(path: &Path, csv: bool) -> Result<Self, Failure> {
        let unreadable = |error| unreadable(path, &error);
        let regular = fs::metadata(path).map_err(unreadable)?.is_file();
        let mut source = Self { path: path.to_owned(), copy: None, csv };
        if !regular {
            let mut copy =
                tempfile::tempfile().map_err(|error| Failure::to("keep what is imported", &error))?;
            io::copy(&mut File::open(path).map_err(unreadable)?, &mut copy).map_err(unreadable)?;
            source.copy = Some(copy);
        }
        Ok(source)
    }

    /// From its beginning. One reader at a time: those of a copy share their place in it.
    pub(super) fn reader(&self) -> Result<File, Failure> {
        let read = match &self.copy {
            None => File::open(&self.path),
            Some(copy) => copy.try_clone().and_then(|mut file| file.rewind().map(|()| file)),
        };
        read.map_err(|error| unreadable(&self.path, &error))
    }

    /// Whether its last column is the reasons that an earlier import gave, in the file of `--rejects`.
    pub(super) fn has_reasons(&self) -> Result<bool, Failure> {
        if !self.csv {
            return Ok(false);
        }
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(self.reader()?);
        // What is no CSV is for the server to tell.
        Ok(reader
            .byte_headers()
            .is_ok_and(|header| header.iter().next_back() == Some(super::rejects::REASON)))
    }

    /// Of what is to be done, and of the file, byte for byte.
    pub(super) fn fingerprint(&self, about: &str) -> Result<String, Failure> {
        let mut digest = Context::new(&SHA256);
        digest.update(about.as_bytes());
        digest.update(&[0]);
        let mut read = self.reader()?;
        let mut part = vec![0; 256 * 1024];
        loop {
            match read.read(&mut part).map_err(|error| unreadable(&self.path, &error))? {
                0 => break,
                some => digest.update(part.get(..some).unwrap_or_default()),
            }
        }
        Ok(digest.finish().as_ref().iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}")))
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::Usage(format!("cannot read {}: {error}", path.display()))
}

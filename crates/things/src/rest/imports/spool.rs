//! Files without a name: a body is taken in as a whole before anything is done with it, so that a slow
//! client never holds a transaction, and what is told of an import waits there for a slow reader.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    body::Body,
    http::{HeaderMap, header},
};
use http_body_util::BodyExt;
use registry::Error;
use tokio::io::AsyncWriteExt;

use crate::{
    App,
    rest::{Problem, problem::kinds},
};

/// The largest file, in bytes.
pub(crate) const MAX_BYTES: u64 = 1024 * 1024 * 1024;

/// A file without a name, gone with the process at the latest. Clones share it.
#[derive(Clone)]
pub(super) struct Spool(Arc<Mutex<File>>);

impl Spool {
    /// An empty one, where the installation has its data.
    pub(super) fn new(app: &App) -> Result<Self, Problem> {
        file(app).map(|file| Self(Arc::new(Mutex::new(file))))
    }

    /// Takes a body in. Each piece of it has the time that a whole body has elsewhere.
    pub(super) async fn of(app: &App, headers: &HeaderMap, mut body: Body) -> Result<Self, Problem> {
        let too_large = || {
            let most = MAX_BYTES >> 30;
            Problem::new(&kinds::TOO_LARGE, format!("the file is larger than {most} GiB; split it"))
        };
        let announced =
            headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        if announced.is_some_and(|length: u64| length > MAX_BYTES) {
            return Err(too_large());
        }
        let mut file = tokio::fs::File::from_std(file(app)?);
        let (limit, mut bytes) = (app.options.body_timeout, 0u64);
        loop {
            let frame = match tokio::time::timeout(limit, body.frame()).await {
                Ok(None) => break,
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(_))) => return Err(Error::invalid("body", "broke off before its end").into()),
                Err(_) => {
                    return Err(Problem::new(
                        &kinds::TIMEOUT,
                        format!("nothing more of the body arrived within {} seconds", limit.as_secs()),
                    ));
                }
            };
            let Ok(piece) = frame.into_data() else { continue };
            bytes += piece.len() as u64;
            if bytes > MAX_BYTES {
                return Err(too_large());
            }
            file.write_all(&piece).await.map_err(no_room)?;
        }
        file.flush().await.map_err(no_room)?;
        Ok(Self(Arc::new(Mutex::new(file.into_std().await))))
    }

    /// Reads what is at `position`; less than the buffer holds only at the end.
    pub(super) fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(position))?;
        let mut read = 0;
        while let Some(rest) = buffer.get_mut(read..).filter(|rest| !rest.is_empty()) {
            match file.read(rest)? {
                0 => break,
                more => read += more,
            }
        }
        Ok(read)
    }

    /// Writes at `position`.
    pub(super) fn write_at(&self, position: u64, bytes: &[u8]) -> io::Result<()> {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(position))?;
        file.write_all(bytes)
    }

    /// From its beginning.
    pub(super) fn reader(&self) -> SpoolReader {
        SpoolReader { spool: self.clone(), position: 0 }
    }
}

/// Reads a spool, beside others.
pub(super) struct SpoolReader {
    spool: Spool,
    position: u64,
}

impl Read for SpoolReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.spool.read_at(self.position, buffer)?;
        self.position += read as u64;
        Ok(read)
    }
}

fn file(app: &App) -> Result<File, Problem> {
    match &app.options.data_dir {
        Some(directory) => tempfile::tempfile_in(directory),
        None => tempfile::tempfile(),
    }
    .map_err(no_room)
}

fn no_room(error: io::Error) -> Problem {
    if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
        tracing::warn!(%error, "there is no room for the file of an import");
        return Error::Unavailable.into();
    }
    Problem::internal(error)
}

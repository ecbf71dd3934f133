//! Files that are read and written at any place: an import's body, and what is told of it, which waits there for
//! a slow reader.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    sync::{Arc, Mutex, PoisonError},
};

use axum::body::Body;

use crate::{
    App,
    rest::{
        Problem,
        unnamed::{take_in, unnamed},
    },
};

/// The largest file, in bytes.
pub(crate) const MAX_BYTES: u64 = 1024 * 1024 * 1024;

/// A file without a name, gone with the process at the latest. Clones share it.
#[derive(Clone)]
pub(super) struct Spool(Arc<Mutex<File>>);

impl Spool {
    /// An empty one, where the installation has its data.
    pub(super) fn new(app: &App) -> Result<Self, Problem> {
        unnamed(app).map(|file| Self(Arc::new(Mutex::new(file))))
    }

    /// Takes a body in.
    pub(super) async fn of(app: &App, body: Body) -> Result<Self, Problem> {
        take_in(app, body, MAX_BYTES).await.map(|file| Self(Arc::new(Mutex::new(file))))
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

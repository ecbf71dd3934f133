//! The records of a file: lines, and for CSV more than one where a quoted cell goes over several. Each is
//! bounded, and all that is read goes into one digest.

use std::io::{BufRead, BufReader, Read};

use aws_lc_rs::digest;
use registry::{Error, Result};

use super::spool::SpoolReader;

/// The longest record, in bytes.
const MAX_RECORD: usize = 1024 * 1024;
const READ_AHEAD: usize = 256 * 1024;
const BOM: &[u8] = b"\xEF\xBB\xBF";

/// Reads records one by one.
pub(super) struct Lines {
    reader: BufReader<SpoolReader>,
    digest: digest::Context,
    record: Vec<u8>,
    /// How many lines were read.
    lines: u64,
}

impl Lines {
    /// From a file's beginning. `manner` says how it is to be read, and is part of the digest.
    pub(super) fn new(reader: SpoolReader, manner: &str) -> Self {
        let mut digest = digest::Context::new(&digest::SHA256);
        digest.update(manner.as_bytes());
        digest.update(b"\0");
        Self { reader: BufReader::with_capacity(READ_AHEAD, reader), digest, record: Vec::new(), lines: 0 }
    }

    /// The next record that is not blank, without its line end, and the line on which it begins. With
    /// `quotes` a line end between quotes is part of it.
    pub(super) fn next(&mut self, quotes: bool) -> Result<Option<(u64, &[u8])>> {
        let mut begins = self.lines + 1;
        self.record.clear();
        let mut open = false;
        loop {
            let before = self.record.len();
            let room = (MAX_RECORD + 2).saturating_sub(before) as u64;
            let read = Read::take(&mut self.reader, room).read_until(b'\n', &mut self.record);
            let read = read.map_err(Error::internal)?;
            if read == 0 && before == 0 {
                return Ok(None);
            }
            let line = self.record.get(before..).unwrap_or_default();
            self.digest.update(line);
            let ended = line.last() == Some(&b'\n');
            let at_end = !ended && (read as u64) < room;
            if !ended && !at_end || self.record.len() > MAX_RECORD + 1 {
                let told = if open { "; a quote may not be closed" } else { "" };
                return Err(about(begins, &format!("the row is longer than {} KiB{told}", MAX_RECORD >> 10)));
            }
            self.lines += 1;
            if self.lines == 1 && self.record.starts_with(BOM) {
                self.record.drain(..BOM.len());
            }
            if quotes {
                let line = self.record.get(before.min(self.record.len())..).unwrap_or_default();
                open ^= line.iter().filter(|byte| **byte == b'"').count() % 2 == 1;
                if open && at_end {
                    return Err(about(begins, "a quote is opened and not closed before the file's end"));
                }
            }
            if open {
                continue;
            }
            while matches!(self.record.last(), Some(b'\n' | b'\r')) {
                self.record.pop();
            }
            if self.record.is_empty() {
                begins = self.lines + 1;
                continue;
            }
            return Ok(Some((begins, &self.record)));
        }
    }

    /// Of all that was read so far.
    pub(super) fn digest(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        // Of the same length: SHA-256.
        bytes.copy_from_slice(self.digest.clone().finish().as_ref());
        bytes
    }
}

/// What is wrong with the file as a whole.
pub(super) fn about(line: u64, what: &str) -> Error {
    Error::invalid("body", format!("line {line}: {what}"))
}

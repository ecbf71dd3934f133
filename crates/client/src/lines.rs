//! A body of lines, read one at a time.

use bytes::BytesMut;
use serde::de::DeserializeOwned;

use crate::{Error, Response};

/// The longest line that is read: twice the longest that the server accepts.
pub const MAX_LINE: usize = 2 << 20;

/// The lines of an answer. Memory is bounded by the longest line.
#[derive(Debug)]
pub struct Lines {
    response: Response,
    held: BytesMut,
    /// How much of what is held has no end of line in it.
    searched: usize,
    ended: bool,
}

impl Lines {
    pub(crate) fn new(response: Response) -> Self {
        Self { response, held: BytesMut::new(), searched: 0, ended: false }
    }

    /// The next line, without its end; nothing after the last.
    ///
    /// # Errors
    /// As [`Response::chunk`]; [`Error::Foreign`] for a line longer than [`MAX_LINE`].
    pub async fn next_line(&mut self) -> Result<Option<Vec<u8>>, Error> {
        loop {
            let unseen = self.held.get(self.searched..).unwrap_or_default();
            if let Some(found) = unseen.iter().position(|byte| *byte == b'\n') {
                let mut line = self.held.split_to(self.searched + found + 1).to_vec();
                self.searched = 0;
                line.pop();
                return Ok(Some(line));
            }
            self.searched = self.held.len();
            if self.searched > MAX_LINE {
                return Err(Error::Foreign(format!("a line of the answer is longer than {MAX_LINE} bytes")));
            }
            if self.ended {
                let rest = std::mem::take(&mut self.held);
                self.searched = 0;
                return Ok((!rest.is_empty()).then(|| rest.to_vec()));
            }
            match self.response.chunk().await? {
                Some(chunk) => self.held.extend_from_slice(&chunk),
                None => self.ended = true,
            }
        }
    }

    /// The next line as JSON; empty lines are passed over.
    ///
    /// # Errors
    /// As [`next_line`](Self::next_line); [`Error::Foreign`] for a line that is something else.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Error> {
        while let Some(line) = self.next_line().await? {
            if !line.iter().all(u8::is_ascii_whitespace) {
                let event = serde_json::from_slice(&line);
                return event
                    .map(Some)
                    .map_err(|error| Error::Foreign(format!("a line is not as expected: {error}")));
            }
        }
        Ok(None)
    }
}

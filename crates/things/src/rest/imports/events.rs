//! What is told of an import: written to a spool as it happens, so that the import never waits for whoever
//! reads, and sent from there. No key is in the spool: each is made again as it is sent.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::{Body, Bytes, HttpBody};
use registry::{
    Error, FieldError, Result, ThingId,
    imports::{Counts, ImportKeys, ImportRow, Rejection, Report},
};
use serde::Serialize;
use serde_json::json;
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use super::spool::Spool;
use crate::rest::Problem;

/// How often progress is told.
const PROGRESS: Duration = Duration::from_millis(500);
/// How often something is told at least, so that a connection is not taken for an idle one.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);
const BUFFER: usize = 256 * 1024;
const CHUNK: usize = 64 * 1024;

/// How an import stands.
#[derive(Clone, Debug, Default)]
struct State {
    /// How much of the spool may be sent.
    settled: u64,
    rows_done: u64,
    end: Option<std::result::Result<Counts, Problem>>,
}

/// Where an import tells what becomes of its rows.
pub(super) struct Events {
    spool: Spool,
    buffer: Vec<u8>,
    /// Behind what is in the spool.
    position: u64,
    settled: u64,
    state: watch::Sender<State>,
}

/// Sends what an import tells.
pub(super) struct Sending {
    spool: Spool,
    state: watch::Receiver<State>,
    keys: ImportKeys,
    rows: u64,
    request_id: String,
    /// How long nobody may read anything.
    idle: Duration,
}

/// As it is told of one row.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Told<'t> {
    Created { row: u64, line: u64, id: ThingId, name: &'t str },
    Rejected { row: u64, line: u64, errors: Vec<ToldError<'t>> },
}

/// What is wrong with one field of a row.
#[derive(Serialize)]
pub(super) struct ToldError<'t> {
    field: &'t str,
    message: &'t str,
}

impl<'t> From<&'t FieldError> for ToldError<'t> {
    fn from(error: &'t FieldError) -> Self {
        Self { field: &error.field, message: &error.message }
    }
}

/// Both ends, for an import of so many rows.
pub(super) fn channel(
    spool: Spool,
    keys: ImportKeys,
    rows: u64,
    (request_id, idle): (&str, Duration),
) -> (Events, Sending) {
    let (sender, state) = watch::channel(State::default());
    let request_id = request_id.to_owned();
    let sending = Sending { spool: spool.clone(), state, keys, rows, request_id, idle };
    (Events { spool, buffer: Vec::new(), position: 0, settled: 0, state: sender }, sending)
}

impl Events {
    /// Tells how the import ended.
    pub(super) fn end(self, end: std::result::Result<Counts, Problem>) {
        self.state.send_modify(|state| state.end = Some(end));
    }

    /// A line: for whom to make the key, if for anybody, then what is told.
    fn line(&mut self, key_of: Option<u64>, told: &Told<'_>) -> Result<()> {
        if let Some(row) = key_of {
            self.buffer.extend_from_slice(row.to_string().as_bytes());
        }
        self.buffer.push(b' ');
        serde_json::to_writer(&mut self.buffer, told).map_err(Error::internal)?;
        self.buffer.push(b'\n');
        if self.buffer.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        // To the system's memory in most cases, and short: not worth another thread.
        self.spool.write_at(self.position, &self.buffer).map_err(Error::internal)?;
        self.position += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

impl Report for Events {
    fn created(&mut self, row: &ImportRow, id: ThingId, generated: bool) -> Result<()> {
        let name = row.name.as_ref().map_or("", |name| name.as_str());
        self.line(generated.then_some(row.row), &Told::Created { row: row.row, line: row.line, id, name })
    }

    fn rejected(&mut self, rejection: &Rejection) -> Result<()> {
        let errors = rejection.errors.iter().map(Into::into).collect();
        self.line(None, &Told::Rejected { row: rejection.row, line: rejection.line, errors })
    }

    fn progress(&mut self, rows_done: u64) {
        self.state.send_modify(|state| state.rows_done = rows_done);
    }

    fn settled(&mut self) -> Result<()> {
        self.flush()?;
        self.settled = self.position;
        self.state.send_modify(|state| state.settled = self.position);
        Ok(())
    }

    fn undone(&mut self) -> Result<()> {
        self.buffer.clear();
        self.position = self.settled;
        Ok(())
    }
}

impl Sending {
    /// The body of the answer.
    pub(super) fn body(self) -> Body {
        let (sender, receiver) = mpsc::channel(2);
        // Ends when the client is gone; the import goes on.
        tokio::spawn(async move { self.send(&sender).await });
        Body::new(Chunks(receiver))
    }

    /// `None` once nobody reads any more, or has not for too long.
    async fn send(mut self, to: &Pieces) -> Option<()> {
        let (mut position, mut told, mut next) = (0, None, Instant::now());
        loop {
            let state = self.state.borrow_and_update().clone();
            let due = if told == Some(state.rows_done) { next + SIGN_OF_LIFE } else { next };
            if Instant::now() >= due && state.end.is_none() {
                let progress =
                    json!({ "event": "progress", "rows_done": state.rows_done, "rows": self.rows });
                self.hand_on(to, Ok(format!("{progress}\n").into())).await?;
                (told, next) = (Some(state.rows_done), Instant::now() + PROGRESS);
            }
            while position < state.settled {
                let (lines, read) = match self.lines(position, state.settled) {
                    Ok(lines) => lines,
                    Err(error) => return self.hand_on(to, Err(error)).await,
                };
                position += read;
                self.hand_on(to, Ok(lines.into())).await?;
            }
            if let Some(end) = state.end {
                return self.hand_on(to, Ok(self.last(end).into())).await;
            }
            // Woken by what happens, and for progress that was not told because it came too soon.
            let waited = tokio::time::timeout(PROGRESS, self.state.changed()).await;
            if let Ok(Err(_)) = waited {
                let end = Err(Problem::internal("an import ended without a word"));
                return self.hand_on(to, Ok(self.last(end).into())).await;
            }
        }
    }

    async fn hand_on(&self, to: &Pieces, piece: Result<Bytes, std::io::Error>) -> Option<()> {
        tokio::time::timeout(self.idle, to.send(piece)).await.ok()?.ok()
    }

    /// Whole lines from the spool, with their keys, and how much of it they were.
    fn lines(&self, position: u64, settled: u64) -> std::io::Result<(Vec<u8>, u64)> {
        let mut size = CHUNK;
        loop {
            let most = usize::try_from(settled - position).unwrap_or(usize::MAX).min(size);
            let mut buffer = vec![0; most];
            let read = self.spool.read_at(position, &mut buffer)?;
            buffer.truncate(read);
            let Some(end) = buffer.iter().rposition(|byte| *byte == b'\n') else {
                if read == 0 {
                    return Err(std::io::ErrorKind::UnexpectedEof.into());
                }
                size *= 2;
                continue;
            };
            buffer.truncate(end + 1);
            let mut lines = Vec::with_capacity(buffer.len() * 2);
            for line in buffer.split_inclusive(|byte| *byte == b'\n') {
                let space = line.iter().position(|byte| *byte == b' ').unwrap_or(0);
                let (row, told) = line.split_at(space);
                let told = told.get(1..).unwrap_or_default();
                let row = std::str::from_utf8(row).ok().and_then(|row| row.parse().ok());
                match (row, told.strip_suffix(b"}\n")) {
                    (Some(row), Some(open)) => {
                        lines.extend_from_slice(open);
                        lines.extend_from_slice(b",\"key\":\"");
                        lines.extend_from_slice(self.keys.key(row).secret().expose().as_bytes());
                        lines.extend_from_slice(b"\"}\n");
                    }
                    _ => lines.extend_from_slice(told),
                }
            }
            return Ok((lines, buffer.len() as u64));
        }
    }

    fn last(&self, end: std::result::Result<Counts, Problem>) -> String {
        let told = match end {
            Ok(counts) => json!({
                "event": "done",
                "rows": self.rows,
                "created": counts.created,
                "updated": counts.updated,
                "unchanged": counts.unchanged,
                "rejected": counts.rejected,
            }),
            Err(problem) => {
                problem.log(&self.request_id);
                json!({ "event": "failed", "problem": problem.body(&self.request_id) })
            }
        };
        format!("{told}\n")
    }
}

/// To a body in pieces.
type Pieces = mpsc::Sender<Result<Bytes, std::io::Error>>;

/// A body in pieces as they come.
pub(super) struct Chunks(pub(super) mpsc::Receiver<Result<Bytes, std::io::Error>>);

impl HttpBody for Chunks {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, std::io::Error>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| piece.map(hyper::body::Frame::data)))
    }
}

/// What a dry run tells of an import.
#[derive(Default)]
pub(super) struct Summary {
    rejected: Vec<serde_json::Value>,
}

/// More rejected rows than this are only counted.
const MOST_REJECTED: usize = 1_000;

impl Summary {
    pub(super) fn told(self, counts: &Counts) -> serde_json::Value {
        json!({
            "rows": counts.rows_done,
            "created": counts.created,
            "updated": counts.updated,
            "unchanged": counts.unchanged,
            "rejected": counts.rejected,
            "rejections": self.rejected,
        })
    }
}

impl Report for Summary {
    fn created(&mut self, _: &ImportRow, _: ThingId, _: bool) -> Result<()> {
        Ok(())
    }

    fn rejected(&mut self, rejection: &Rejection) -> Result<()> {
        if self.rejected.len() < MOST_REJECTED {
            let errors: Vec<ToldError<'_>> = rejection.errors.iter().map(Into::into).collect();
            self.rejected.push(json!({ "row": rejection.row, "line": rejection.line, "errors": errors }));
        }
        Ok(())
    }

    fn progress(&mut self, _: u64) {}

    fn settled(&mut self) -> Result<()> {
        Ok(())
    }

    fn undone(&mut self) -> Result<()> {
        self.rejected.clear();
        Ok(())
    }
}

//! Backups and restores over HTTP: streams of lines, because an installation does not fit into a body.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderName, Method, header},
    response::IntoResponse,
};
use hyper::body::Frame;
use registry::{
    Error,
    backup::{Backup, Examined, Restored},
};
use serde::Serialize;
use tokio::{sync::mpsc, time::MissedTickBehavior};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    Problem,
    edge::RequestId,
    extract::Caller,
    problem::{Answer, ProblemBody, kinds},
    unnamed::take_in,
};
use crate::App;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(back_up)).routes(routes!(restore))
}

/// The largest file that is restored: 16 GiB.
const MAX_RESTORE: u64 = 16 << 30;
/// How often it is told how far a restore has come.
const TOLD: Duration = Duration::from_millis(500);
/// How many of these wait for a client that does not read; more are left out.
const WAITING: usize = 16;

const NDJSON: &str = "application/x-ndjson";

/// Take a backup
///
/// Everything but what is true only here and now (sessions, tokens, pending invites, mails on their way), as lines of
/// JSON: a head, a line for each row, an end. It is whole only if it has its end line. Needs a platform administrator's session,
/// or an access token of theirs with the `write` scope and without bounds: it holds password hashes and sealed keys.
#[utoipa::path(get, path = "/backup", tag = "Operations", responses((status = 200, content_type = "application/x-ndjson", body = String)))]
async fn back_up(State(app): State<App>, caller: Caller, method: Method) -> Answer {
    // axum asks a GET's handler for HEAD too, and throws away what would be hours of work.
    if method == Method::HEAD {
        let told =
            Problem::new(&kinds::METHOD, "a backup has no HEAD: nothing is known of it until it is taken");
        return Ok(([(header::ALLOW, "GET")], told).into_response());
    }
    let backup = app.registry.back_up(&caller).await?;
    let name = format!("attachment; filename=\"{}\"", backup.file_name());
    let headers = [(header::CONTENT_TYPE, NDJSON.to_owned()), (header::CONTENT_DISPOSITION, name)];
    Ok((headers, Body::new(Outgoing(backup))).into_response())
}

/// A backup as an answer's body. If it fails, the connection breaks: what was sent must not look whole.
struct Outgoing(Backup);

impl hyper::body::Body for Outgoing {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let next = std::task::ready!(self.0.poll_next(context));
        Poll::Ready(next.map(|piece| match piece {
            Ok(bytes) => Ok(Frame::data(bytes.into())),
            Err(error) => {
                tracing::error!(error = %cause(&error), "a backup was broken off");
                Err(error)
            }
        }))
    }
}

/// What is behind an error, for the log.
fn cause(error: &Error) -> String {
    match error {
        Error::Internal(source) => source.to_string(),
        other => other.to_string(),
    }
}

/// What is told while a restore is under way: one to a line.
#[derive(Serialize, ToSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
enum RestoreEvent {
    /// So far.
    Progress { rows_done: u64, rows: u64 },
    /// Everything is restored. The last line.
    Done {
        rows: u64,
        /// Rows of each table.
        #[schema(value_type = Object)]
        tables: std::collections::BTreeMap<&'static str, u64>,
        /// What was not taken over.
        #[schema(value_type = Object)]
        left_out: std::collections::BTreeMap<&'static str, u64>,
        /// Which account is the caller's now.
        account: Uuid,
    },
    /// Nothing is restored. The last line.
    Failed { problem: ProblemBody },
}

/// Restore a backup
///
/// Into a new installation with the same keys, whose only account is the caller's. The body is a backup, or the JSON of
/// Mainflux's. What is wrong with the file as a whole is told before anything is done; from then on the answer is lines of
/// JSON, the last of which is `done` or `failed`. All rows are restored or none.
#[utoipa::path(post, path = "/restore", tag = "Operations",
    request_body(content_type = "application/x-ndjson", content = String),
    responses((status = 200, content_type = "application/x-ndjson", body = RestoreEvent)))]
async fn restore(State(app): State<App>, caller: Caller, request: Request) -> Answer {
    let restore = app.registry.begin_restore(&caller).await?;
    let (parts, body) = request.into_parts();
    is_restorable(&parts.headers)?;
    let _sending = app.senders.enter(&caller)?;
    let file = take_in(&app, body, MAX_RESTORE).await?;
    let examined = restore.examine(file).await?;
    let id = parts.extensions.get::<RequestId>().map_or_else(String::new, |id| id.as_str().to_owned());
    let (send, events) = mpsc::channel(WAITING);
    // Goes on to its end, whoever listens.
    tokio::spawn(run(examined, id, send));
    Ok(([(header::CONTENT_TYPE, NDJSON)], Body::new(Events(events))).into_response())
}

async fn run(examined: Examined, id: String, send: mpsc::Sender<Vec<u8>>) {
    let (rows, done) = (examined.rows(), Arc::new(AtomicU64::new(0)));
    let mut restoring = std::pin::pin!(examined.restore(Arc::clone(&done)));
    let mut ticks = tokio::time::interval(TOLD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let restored = loop {
        tokio::select! {
            restored = &mut restoring => break restored,
            _ = ticks.tick() => {
                let event = RestoreEvent::Progress { rows_done: done.load(Ordering::Relaxed), rows };
                // Whoever does not keep up is told later how far it has come.
                let _ = send.try_send(line(&event));
            }
        }
    };
    let last = match restored {
        Ok(Restored { tables, left_out, account }) => {
            tracing::info!(request_id = id, rows = tables.values().sum::<u64>(), "restored a backup");
            RestoreEvent::Done { rows: tables.values().sum(), tables, left_out, account: account.uuid() }
        }
        Err(error) => {
            let problem = Problem::from(error);
            problem.log(&id);
            RestoreEvent::Failed { problem: problem.body(&id) }
        }
    };
    let _ = send.send(line(&last)).await;
}

fn line(event: &RestoreEvent) -> Vec<u8> {
    // Our own plain types always serialise.
    let mut line = serde_json::to_vec(event).unwrap_or_default();
    line.push(b'\n');
    line
}

/// Events as an answer's body.
struct Events(mpsc::Receiver<Vec<u8>>);

impl hyper::body::Body for Events {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(context).map(|next| next.map(|line| Ok(Frame::data(line.into()))))
    }
}

/// Whether a body may be a backup.
fn is_restorable(headers: &HeaderMap) -> Result<(), Problem> {
    let refuse = |detail: &str| Err(Problem::new(&kinds::MEDIA_TYPE, detail));
    if headers.contains_key(header::CONTENT_ENCODING) {
        return refuse(
            "compressed bodies are not accepted; unpack the backup and send it without Content-Encoding",
        );
    }
    if headers.contains_key(HeaderName::from_static("idempotency-key")) {
        let reason = "is not supported by this operation: a backup is restored once, into what is empty";
        return Err(Error::invalid("Idempotency-Key", reason).into());
    }
    let named = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = named.split(';').next().unwrap_or_default().trim();
    if [NDJSON, "application/json"].iter().any(|known| essence.eq_ignore_ascii_case(known)) {
        return Ok(());
    }
    refuse(
        "the body must be a backup; send it with `Content-Type: application/x-ndjson`, or `application/json` if it is Mainflux's",
    )
}

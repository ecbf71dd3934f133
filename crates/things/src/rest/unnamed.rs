//! Files without a name, gone with the process at the latest: a body of any length is taken in as a whole before
//! anything is done with it, so that a slow client never holds a transaction.

use std::{
    collections::HashSet,
    fs::{DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::body::{Body, HttpBody};
use http_body_util::BodyExt;
use registry::{Actor, Call, Error, UserId};
use tokio::{
    io::AsyncWriteExt,
    time::{Instant, timeout_at},
};

use super::{Problem, problem::kinds};
use crate::App;

/// How many bytes a second a file has to arrive with on average, once the time for a whole body elsewhere is over.
const SLOWEST: u64 = 16 * 1024;

/// Whose files arrive: one of each person's at a time, so that whoever sends many keeps nobody else waiting.
#[derive(Clone, Default)]
pub(crate) struct Senders(Arc<Mutex<HashSet<UserId>>>);

/// A person's file arrives, until this is dropped.
pub(super) struct Sending(Senders, UserId);

impl Senders {
    /// Before a file is taken in.
    pub(super) fn enter(&self, call: &Call) -> Result<Sending, Problem> {
        let Actor::User(user) = call.actor() else { return Err(Error::Unauthenticated.into()) };
        let mut sending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match sending.insert(user.id()) {
            true => Ok(Sending(self.clone(), user.id())),
            false => Err(Problem::new(
                &kinds::UNAVAILABLE,
                "another file of yours is on its way here; send this one once that is there",
            )
            .wait(Duration::from_secs(5))),
        }
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

/// An empty one, where the installation has its data.
pub(super) fn unnamed(app: &App) -> Result<File, Problem> {
    let directory = app.options.data_dir.clone().unwrap_or_else(std::env::temp_dir);
    // Where keys come from the environment and the database is elsewhere, nothing has made it.
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&directory);
    made.and_then(|()| tempfile::tempfile_in(directory)).map_err(no_room)
}

/// Takes a body of `most` bytes, whole GiB, or less in. Each piece of it has the time that a whole body has elsewhere,
/// and all of it that time and one second for each [`SLOWEST`] bytes: so it comes to an end.
pub(super) async fn take_in(app: &App, mut body: Body, most: u64) -> Result<File, Problem> {
    let too_large = || {
        Problem::new(
            &kinds::TOO_LARGE,
            format!("the file is larger than the {} GiB that are taken", most >> 30),
        )
    };
    if body.size_hint().lower() > most {
        return Err(too_large());
    }
    let mut file = tokio::fs::File::from_std(unnamed(app)?);
    let (limit, begun, mut bytes) = (app.options.body_timeout, Instant::now(), 0u64);
    loop {
        let in_all = begun + limit + Duration::from_secs(bytes / SLOWEST);
        let frame = match timeout_at(in_all.min(Instant::now() + limit), body.frame()).await {
            Ok(None) => break,
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(_))) => return Err(Error::invalid("body", "broke off before its end").into()),
            Err(_) => {
                return Err(Problem::new(
                    &kinds::TIMEOUT,
                    format!(
                        "the body arrives too slowly: each piece must come within {} seconds, and from then on {} KiB a \
                         second on average; send less at a time",
                        limit.as_secs(),
                        SLOWEST >> 10
                    ),
                ));
            }
        };
        let Ok(piece) = frame.into_data() else { continue };
        bytes = bytes.saturating_add(piece.len() as u64);
        if bytes > most {
            return Err(too_large());
        }
        file.write_all(&piece).await.map_err(no_room)?;
    }
    file.flush().await.map_err(no_room)?;
    Ok(file.into_std().await)
}

fn no_room(error: io::Error) -> Problem {
    tracing::warn!(%error, "cannot keep the file of an import or a restore");
    Error::Unavailable.into()
}

//! Files without a name, gone with the process at the latest: a body of any length is taken in as a whole before
//! anything is done with it, so that a slow client never holds a transaction.

use std::{
    fs::{DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt,
};

use axum::body::{Body, HttpBody};
use http_body_util::BodyExt;
use registry::Error;
use tokio::io::AsyncWriteExt;

use super::{Problem, problem::kinds};
use crate::App;

/// An empty one, where the installation has its data.
pub(super) fn unnamed(app: &App) -> Result<File, Problem> {
    let directory = app.options.data_dir.clone().unwrap_or_else(std::env::temp_dir);
    // Where keys come from the environment and the database is elsewhere, nothing has made it.
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&directory);
    made.and_then(|()| tempfile::tempfile_in(directory)).map_err(no_room)
}

/// Takes a body of `most` bytes, whole GiB, or less in. Each piece of it has the time that a whole body has elsewhere.
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

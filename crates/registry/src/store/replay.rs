//! Answers kept for repeated requests: claimed first in the transaction, so that the same key cannot
//! have two effects, and filled last.

use std::time::Duration;

use super::{Tx, on, rows};
use crate::{
    actor::ReplayDigests,
    error::{ConflictKind, Error, Result},
};

/// How long an answer is kept.
pub(crate) const KEPT: Duration = Duration::from_secs(24 * 3600);

/// What the claim found.
pub(crate) enum Claim {
    /// The request is new: this transaction has it.
    New,
    /// It was carried out before; the sealed answer.
    Done(Vec<u8>),
}

/// Claims the request. Waits for a transaction that is carrying out the same one.
// tidy: no permit, because it precedes every question of rights.
pub(crate) async fn claim(tx: &mut Tx, replay: &ReplayDigests) -> Result<Claim> {
    let now = tx.now();
    let cutoff =
        crate::clock::Timestamp::from_millis(now.millis() - i64::try_from(KEPT.as_millis()).unwrap_or(0));
    let digest = replay.name.as_slice();
    rows!(
        tx,
        sqlx::query("DELETE FROM idempotency_keys WHERE digest = $1 AND created_at <= $2")
            .bind(digest)
            .bind(cutoff)
    )?;
    let claimed = rows!(tx, sqlx::query(
        "INSERT INTO idempotency_keys (digest, body_digest, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
        .bind(digest).bind(replay.body.as_slice()).bind(now));
    match claimed {
        Ok(1) => return Ok(Claim::New),
        Ok(_) => {}
        // The other one took longer than the lock timeout.
        Err(Error::Unavailable) => return Err(Error::conflict(ConflictKind::InFlight)),
        Err(error) => return Err(error),
    }
    let found: Option<(Vec<u8>, Option<Vec<u8>>)> = on!(tx, conn =>
        sqlx::query_as("SELECT body_digest, sealed FROM idempotency_keys WHERE digest = $1").bind(digest).fetch_optional(conn))?;
    match found {
        Some((body, _)) if body != replay.body => Err(Error::ReplayMismatch),
        Some((_, Some(sealed))) => Ok(Claim::Done(sealed)),
        // Gone in this moment, or never filled: the client may simply try again.
        Some((_, None)) | None => Err(Error::conflict(ConflictKind::InFlight)),
    }
}

/// Keeps the answer with the effect.
// tidy: no permit, because it belongs to the request that claimed it.
pub(crate) async fn keep(tx: &mut Tx, replay: &ReplayDigests, sealed: &[u8]) -> Result<()> {
    rows!(
        tx,
        sqlx::query("UPDATE idempotency_keys SET sealed = $2 WHERE digest = $1")
            .bind(replay.name.as_slice())
            .bind(sealed)
    )?;
    Ok(())
}

/// Forgets all answers: some of them hold keys of which no copy may be kept.
// tidy: no permit, because the operator's configuration decides, at start.
pub(crate) async fn forget(tx: &mut Tx) -> Result<u64> {
    rows!(tx, sqlx::query("DELETE FROM idempotency_keys"))
}

/// Forgets answers older than a day.
// tidy: no permit, because the program tidies up after itself.
pub(crate) async fn sweep(tx: &mut Tx) -> Result<u64> {
    let cutoff = crate::clock::Timestamp::from_millis(
        tx.now().millis() - i64::try_from(KEPT.as_millis()).unwrap_or(0),
    );
    rows!(tx, sqlx::query("DELETE FROM idempotency_keys WHERE created_at <= $1").bind(cutoff))
}

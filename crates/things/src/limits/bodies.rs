//! How many bytes of request bodies are in memory at a time, in the whole process.
//!
//! Room for a body is taken before its first byte is read and given back with the answer, so that however
//! many connections there are, their bodies do not exhaust the machine. Who comes without a valid token
//! has a part of its own and cannot keep the others waiting.

use std::{sync::Arc, time::Duration};

use registry::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// For the bodies of callers with a valid token.
const KNOWN_BYTES: usize = 96 * 1024 * 1024;
/// For those of all others.
const UNKNOWN_BYTES: usize = 32 * 1024 * 1024;
/// How long a request waits for room.
const LONGEST_WAIT: Duration = Duration::from_secs(3);

/// What there is room for.
pub(crate) struct BodyRoom {
    known: Arc<Semaphore>,
    unknown: Arc<Semaphore>,
}

/// Room for one body, given back when dropped.
#[derive(Debug)]
pub(crate) struct Room(#[expect(dead_code, reason = "only held")] OwnedSemaphorePermit);

impl Default for BodyRoom {
    fn default() -> Self {
        Self::of(KNOWN_BYTES, UNKNOWN_BYTES)
    }
}

impl BodyRoom {
    fn of(known: usize, unknown: usize) -> Self {
        Self { known: Arc::new(Semaphore::new(known)), unknown: Arc::new(Semaphore::new(unknown)) }
    }

    /// Waits, within bounds, until there is room for a body of so many bytes.
    pub(crate) async fn take(&self, known: bool, bytes: usize) -> Result<Room, Error> {
        let part = if known { &self.known } else { &self.unknown };
        let bytes = u32::try_from(bytes).map_err(Error::internal)?;
        if let Ok(room) = Arc::clone(part).try_acquire_many_owned(bytes) {
            return Ok(Room(room));
        }
        let room = Arc::clone(part).acquire_many_owned(bytes);
        match tokio::time::timeout(LONGEST_WAIT, room).await {
            Ok(Ok(room)) => Ok(Room(room)),
            Ok(Err(closed)) => Err(Error::internal(closed)),
            Err(_) => {
                tracing::warn!(known, "there is no room for another request body");
                Err(Error::Unavailable)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_waits_until_there_is_room_but_not_for_ever() {
        let bodies = BodyRoom::of(100, 10);
        let first = bodies.take(true, 60).await.unwrap();
        let second = tokio::time::timeout(Duration::from_millis(20), bodies.take(true, 60)).await;
        assert!(second.is_err());
        // The others have a part of their own.
        let other = bodies.take(false, 10).await.unwrap();
        let (second, ()) = tokio::join!(bodies.take(true, 60), async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            drop(first);
        });
        second.unwrap();
        assert!(matches!(bodies.take(false, 1).await, Err(Error::Unavailable)));
        drop(other);
        bodies.take(false, 1).await.unwrap();
    }
}

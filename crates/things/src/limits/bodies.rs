//! How many bytes of request bodies are in memory at a time, in the whole process.
//!
//! Room for a body is taken before its first byte is read and given back with the answer, so that however
//! many connections there are, their bodies do not exhaust the machine. Who comes without a valid token
//! has a part of its own and cannot keep the others waiting, and so have brokers that ask at the hooks.

use std::{sync::Arc, time::Duration};

use registry::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// For the bodies of callers with a valid token.
const KNOWN_BYTES: usize = 96 * 1024 * 1024;
/// For those of all others.
const UNKNOWN_BYTES: usize = 32 * 1024 * 1024;
/// For brokers' questions, which are short.
const HOOK_BYTES: usize = 16 * 1024 * 1024;
/// How long a request waits for room.
const LONGEST_WAIT: Duration = Duration::from_secs(3);

/// Whose body it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    /// Somebody's with a valid token.
    Known,
    /// Anybody else's.
    Unknown,
    /// A broker's, at the hooks.
    Broker,
}

/// What there is room for.
pub(crate) struct BodyRoom {
    known: Arc<Semaphore>,
    unknown: Arc<Semaphore>,
    brokers: Arc<Semaphore>,
}

/// Room for one body, given back when dropped.
#[derive(Debug)]
pub(crate) struct Room(#[expect(dead_code, reason = "only held")] OwnedSemaphorePermit);

impl Default for BodyRoom {
    fn default() -> Self {
        Self::of(KNOWN_BYTES, UNKNOWN_BYTES, HOOK_BYTES)
    }
}

impl BodyRoom {
    fn of(known: usize, unknown: usize, brokers: usize) -> Self {
        let part = |bytes| Arc::new(Semaphore::new(bytes));
        Self { known: part(known), unknown: part(unknown), brokers: part(brokers) }
    }

    /// Waits, within bounds, until there is room for a body of so many bytes.
    pub(crate) async fn take(&self, sender: Sender, bytes: usize) -> Result<Room, Error> {
        let part = match sender {
            Sender::Known => &self.known,
            Sender::Unknown => &self.unknown,
            Sender::Broker => &self.brokers,
        };
        let bytes = u32::try_from(bytes).map_err(Error::internal)?;
        if let Ok(room) = Arc::clone(part).try_acquire_many_owned(bytes) {
            return Ok(Room(room));
        }
        let room = Arc::clone(part).acquire_many_owned(bytes);
        match tokio::time::timeout(LONGEST_WAIT, room).await {
            Ok(Ok(room)) => Ok(Room(room)),
            Ok(Err(closed)) => Err(Error::internal(closed)),
            Err(_) => {
                tracing::warn!(?sender, "there is no room for another request body");
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
        let bodies = BodyRoom::of(100, 10, 5);
        let first = bodies.take(Sender::Known, 60).await.unwrap();
        let second = tokio::time::timeout(Duration::from_millis(20), bodies.take(Sender::Known, 60)).await;
        assert!(second.is_err());
        // The others have parts of their own.
        let other = bodies.take(Sender::Unknown, 10).await.unwrap();
        let broker = bodies.take(Sender::Broker, 5).await.unwrap();
        let (second, ()) = tokio::join!(bodies.take(Sender::Known, 60), async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            drop(first);
        });
        second.unwrap();
        assert!(matches!(bodies.take(Sender::Unknown, 1).await, Err(Error::Unavailable)));
        assert!(matches!(bodies.take(Sender::Broker, 1).await, Err(Error::Unavailable)));
        drop((other, broker));
        bodies.take(Sender::Unknown, 1).await.unwrap();
    }
}

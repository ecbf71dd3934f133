//! Tells whoever keeps answers about devices outside of this process what is no longer true.

use std::sync::Arc;

use tokio::sync::broadcast::{self, error::RecvError};
use uuid::Uuid;

use super::fence::Mark;

/// How many commits a watcher may be behind before it is told to forget everything.
const BEHIND: usize = 1024;

/// Something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Whatever was said about this thing, profile or group is no longer true.
    Changed(Uuid),
    /// Some credential came to be valid: what named nobody may name somebody.
    CredentialAdded,
    /// Anything may have changed.
    Everything,
}

impl From<Mark> for Event {
    fn from(mark: Mark) -> Self {
        match mark {
            Mark::Object(id) => Self::Changed(id),
            Mark::Credentials => Self::CredentialAdded,
            Mark::Everything => Self::Everything,
        }
    }
}

/// Where commits are told.
pub(super) struct Feed(broadcast::Sender<Arc<[Event]>>);

impl Default for Feed {
    fn default() -> Self {
        Self(broadcast::Sender::new(BEHIND))
    }
}

impl Feed {
    pub(super) fn open(&self) -> Watch {
        Watch(self.0.subscribe())
    }

    pub(super) fn tell(&self, marks: &[Mark]) {
        if marks.is_empty() || self.0.receiver_count() == 0 {
            return;
        }
        let mut events: Vec<Event> = Vec::with_capacity(marks.len());
        let mut added = false;
        for event in marks.iter().copied().map(Event::from) {
            // A thousand new things are one such event.
            let repeated = event == Event::CredentialAdded && std::mem::replace(&mut added, true);
            if !repeated {
                events.push(event);
            }
        }
        // An error means that the last watcher has just gone.
        let _ = self.0.send(events.into());
    }
}

/// A view of what changes from the moment it was opened.
pub struct Watch(broadcast::Receiver<Arc<[Event]>>);

impl Watch {
    /// What one commit changed; `None` if some were missed, so that anything may have changed. Nothing is
    /// lost if it is not awaited to its end.
    pub async fn next(&mut self) -> Option<Arc<[Event]>> {
        match self.0.recv().await {
            Ok(events) => Some(events),
            Err(RecvError::Lagged(_)) => None,
            // The registry is gone: nothing changes any more.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_watcher_is_told_what_was_committed_and_when_it_missed_something() {
        let feed = Feed::default();
        let id = Uuid::from_u128(7);
        feed.tell(&[Mark::Object(id)]);
        let mut watch = feed.open();
        feed.tell(&[]);
        feed.tell(&[Mark::Object(id), Mark::Credentials, Mark::Credentials]);
        assert_eq!(watch.next().await.as_deref(), Some(&[Event::Changed(id), Event::CredentialAdded][..]));
        for _ in 0..=BEHIND {
            feed.tell(&[Mark::Credentials]);
        }
        assert_eq!(watch.next().await, None);
        assert_eq!(watch.next().await.as_deref(), Some(&[Event::CredentialAdded][..]));
    }
}

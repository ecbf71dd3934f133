//! Dry runs: a request carried out to the end of its transaction and then rolled back, to tell what it
//! would have changed. [`journal::commit`](crate::journal) is the only way out of a write transaction and
//! decides there, so that no use case knows whether it is one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use crate::{
    ids::{GroupId, OrgId},
    journal::Entry,
    json::JsonObject,
    page::MAX_PAGE_BYTES,
};

/// The most changes that are kept; beyond, they are only counted.
pub const MAX_CHANGES: usize = 1_000;

/// What a dry run would have changed. Clones share it: one stays with whoever asks, another goes with
/// the [`Call`](crate::Call).
#[derive(Clone, Debug, Default)]
pub struct DryRun(Arc<Mutex<Record>>);

#[derive(Debug, Default)]
struct Record {
    /// Of a transaction that is not at its end yet, and may be repeated.
    noted: Changes,
    done: Changes,
}

/// The first changes, in order, and how many there are.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// At most [`MAX_CHANGES`], and no more than a page of a list may hold.
    pub first: Vec<Change>,
    /// All of them.
    pub total: u64,
    bytes: usize,
}

/// An entry that the journal would have had.
#[derive(Clone, Debug)]
pub struct Change {
    /// In which organisation.
    pub org_id: Option<OrgId>,
    /// In which group.
    pub group_id: Option<GroupId>,
    /// What: `thing.created`, `group.updated`, …
    pub action: &'static str,
    /// What kind of object it would have happened to.
    pub subject_kind: &'static str,
    /// Which object. One that would have been made would get another id.
    pub subject_id: Uuid,
    /// Its name.
    pub subject_name: Option<String>,
    /// Changed fields, before and after; never secrets.
    pub changes: Option<JsonObject>,
}

impl DryRun {
    /// What would have changed, once the use case has answered.
    pub fn changes(&self) -> Changes {
        self.record().done.clone()
    }

    /// A transaction begins, perhaps once more: what an earlier attempt noted did not happen.
    pub(crate) fn begin(&self) {
        self.record().noted = Changes::default();
    }

    /// What was noted ahead of a transaction's end.
    pub(crate) fn note(&self, entries: &[Entry]) {
        let mut record = self.record();
        for entry in entries {
            record.noted.push(entry);
        }
    }

    /// The transaction is at its end.
    pub(crate) fn end(&self) {
        let mut record = self.record();
        let noted = std::mem::take(&mut record.noted);
        record.done.extend(noted);
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Changes {
    fn has_room(&self) -> bool {
        self.first.len() < MAX_CHANGES && self.bytes <= MAX_PAGE_BYTES
    }

    fn push(&mut self, entry: &Entry) {
        self.total += 1;
        if self.has_room() {
            self.bytes += entry.changes.as_ref().map_or(0, String::len);
            self.first.push(entry.into());
        }
    }

    fn extend(&mut self, other: Self) {
        self.total += other.total;
        for change in other.first {
            if self.has_room() {
                self.bytes += change.changes.as_ref().map_or(0, JsonObject::bytes);
                self.first.push(change);
            }
        }
    }
}

impl From<&Entry> for Change {
    fn from(entry: &Entry) -> Self {
        Self {
            org_id: entry.org,
            group_id: entry.group,
            action: entry.action,
            subject_kind: entry.subject.kind,
            subject_id: entry.subject.id,
            subject_name: entry.subject.name.clone(),
            // Read as it would be from storage; cannot fail, since it is our own text.
            changes: entry.changes.as_deref().and_then(|text| serde_json::from_str(text).ok()),
        }
    }
}

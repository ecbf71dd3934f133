//! The fence between changes and what was read before them: tells whether something that was read may
//! still be true.
//!
//! Time is a counter. Whoever reads notes the count *before* they read ([`Fence::now`]); whoever has
//! changed an object, *after* the commit and before anybody is told, raises the count and marks the
//! object with it ([`Fence::touch`]). What was read at `seen` holds while none of the objects that it
//! depends on is marked with more. So a reader that was overtaken cannot put the old state back, whenever
//! its answer arrives: what it keeps has been invalid from the start.
//!
//! Objects share marks by their ids' hashes. A stranger's mark costs one needless read and nothing else.

use uuid::Uuid;

// The standard library's, or, in `tests/fence.rs`, those of a scheduler that tries the interleavings.
use super::atomic::{AtomicU64, Ordering};

/// A moment by the fence's count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seen(u64);

/// What can be marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// A thing, profile, group or organisation.
    Object(Uuid),
    /// Some credential came to be valid: what was known to be nobody's may be somebody's.
    Credentials,
    /// All there is.
    Everything,
}

/// The counter and the marks.
pub(crate) struct Fence {
    count: AtomicU64,
    objects: Box<[AtomicU64]>,
    credentials: AtomicU64,
    everything: AtomicU64,
}

impl Fence {
    pub(crate) fn new(marks: usize) -> Self {
        Self {
            count: AtomicU64::new(0),
            objects: (0..marks.max(1)).map(|_| AtomicU64::new(0)).collect(),
            credentials: AtomicU64::new(0),
            everything: AtomicU64::new(0),
        }
    }

    /// The present moment. Note it before reading.
    pub(crate) fn now(&self) -> Seen {
        Seen(self.count.load(Ordering::SeqCst))
    }

    /// Ends everything that was read before and depends on one of these. Call it after the commit, before
    /// the change is acknowledged.
    pub(crate) fn touch(&self, marks: &[Mark]) {
        if marks.is_empty() {
            return;
        }
        let count = self.count.fetch_add(1, Ordering::SeqCst) + 1;
        for mark in marks {
            self.mark(*mark).fetch_max(count, Ordering::SeqCst);
        }
    }

    /// Whether what was read at `seen` and depends on these may still be true.
    pub(crate) fn holds(&self, seen: Seen, marks: &[Mark]) -> bool {
        let since = |mark: &Mark| self.mark(*mark).load(Ordering::SeqCst) <= seen.0;
        since(&Mark::Everything) && marks.iter().all(since)
    }

    fn mark(&self, mark: Mark) -> &AtomicU64 {
        let id = match mark {
            Mark::Object(id) => id,
            Mark::Credentials => return &self.credentials,
            Mark::Everything => return &self.everything,
        };
        // Ids may come from clients, so that neither end of them is random; a collision is harmless.
        let (high, low) = id.as_u64_pair();
        let mixed = (high ^ low.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let at = usize::try_from(mixed >> 32).unwrap_or(0) % self.objects.len().max(1);
        // Cannot fail: there is at least one mark, and `at` is less than their number.
        self.objects.get(at).unwrap_or(&self.everything)
    }
}

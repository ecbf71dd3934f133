//! The fence in front of the cache, under a scheduler that tries the interleavings of its atomics:
//! whoever begins to read after a change was acknowledged never gets the state before it.

#![expect(clippy::unwrap_used, reason = "also outside of the functions marked as tests")]

#[path = "../src/credentials/fence.rs"]
mod fence;

use std::collections::HashMap;

use fence::{Fence, Mark, Seen};
use shuttle::{
    sync::{Arc, Mutex, atomic},
    thread,
};
use uuid::Uuid;

const THING: Mark = Mark::Object(Uuid::from_bytes([1; 16]));
const OTHER: Mark = Mark::Object(Uuid::from_bytes([2; 16]));

/// A database of one credential, a cache in front of it, and the protocol between them.
struct Plane {
    fence: Fence,
    /// How often the thing was changed: what a look-up finds.
    database: Mutex<u64>,
    cache: Mutex<HashMap<(), (Seen, u64)>>,
}

impl Plane {
    fn new() -> Arc<Self> {
        Arc::new(Self { fence: Fence::new(2), database: Mutex::new(0), cache: Mutex::new(HashMap::new()) })
    }

    fn look_up(&self, note_late: bool) -> u64 {
        let kept = self.cache.lock().unwrap().get(&()).copied();
        if let Some((seen, state)) = kept
            && self.fence.holds(seen, &[OTHER, THING])
        {
            return state;
        }
        let early = self.fence.now();
        let state = *self.database.lock().unwrap();
        let seen = if note_late { self.fence.now() } else { early };
        self.cache.lock().unwrap().insert((), (seen, state));
        state
    }

    /// Returns once the change counts, which is when it is acknowledged.
    fn change(&self) -> u64 {
        let state = {
            let mut database = self.database.lock().unwrap();
            *database += 1;
            *database
        };
        self.fence.touch(&[THING]);
        state
    }
}

/// Two readers that fill the cache, two writers that each look after their acknowledgement.
fn race(note_late: bool) {
    let plane = Plane::new();
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let plane = Arc::clone(&plane);
            thread::spawn(move || {
                plane.look_up(note_late);
                plane.look_up(note_late);
            })
        })
        .collect();
    let writers: Vec<_> = (0..2)
        .map(|_| {
            let plane = Arc::clone(&plane);
            thread::spawn(move || {
                let acknowledged = plane.change();
                assert!(plane.look_up(note_late) >= acknowledged, "stale");
            })
        })
        .collect();
    for thread in readers.into_iter().chain(writers) {
        thread.join().unwrap();
    }
    assert_eq!(plane.look_up(note_late), 2, "stale");
}

#[test]
fn nobody_who_begins_after_the_acknowledgement_gets_the_old_state() {
    shuttle::check_random(|| race(false), 20_000);
    shuttle::check_pct(|| race(false), 20_000, 3);
}

#[test]
fn the_moment_has_to_be_noted_before_the_read() {
    let found = std::panic::catch_unwind(|| shuttle::check_random(|| race(true), 20_000));
    assert!(found.is_err(), "a reader that notes the moment after its read was not caught");
}

#[test]
fn marks_may_be_shared_but_never_missed() {
    shuttle::check_random(
        || {
            let fence = Fence::new(1);
            let before = fence.now();
            fence.touch(&[]);
            assert!(fence.holds(before, &[THING, OTHER, Mark::Credentials]));
            fence.touch(&[THING]);
            assert!(!fence.holds(before, &[OTHER]), "they share the only mark");
            assert!(fence.holds(before, &[Mark::Credentials]));
            assert!(fence.holds(fence.now(), &[THING]));
            fence.touch(&[Mark::Credentials]);
            assert!(!fence.holds(before, &[Mark::Credentials]));
            fence.touch(&[Mark::Everything]);
            assert!(!fence.holds(before, &[]));
        },
        1,
    );
}

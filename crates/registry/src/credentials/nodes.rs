//! Several processes on one database, each with credentials in memory, and none of them answers by a state
//! whose end was acknowledged anywhere.
//!
//! A node may answer from memory for [`LEASE`] after it began to read the revocations of all. Whoever
//! revokes waits, after the commit, until every other living node has read that, or has been silent for so
//! long that its lease has run out. Each counts by a clock of its own that never jumps, and from a moment
//! that makes it err on the safe side: the node from before its reading, the revoker from after its
//! commit.
//!
//! A request that finds its change made already, by one before it that may still be waiting, waits like that
//! one. Who loses the connection while committing does not know whether, or when, that happens: for a while such a
//! node reads what it has announced itself as well.
//!
//! A node whose lease has run out asks the database. If that does not answer either, what is in memory
//! counts for the grace that the operator chose, and revokers wait for that too.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use uuid::Uuid;

use super::fence::Mark;
use crate::{
    Registry,
    error::Result,
    store::{
        self, Tx,
        nodes::{Heard, KEPT, NOTHING, Xid},
    },
};

/// How long after a reading a node may answer from memory.
const LEASE: Duration = Duration::from_secs(1);
/// How often revocations are read if nobody tells of any.
const PERIOD: Duration = Duration::from_millis(250);
/// How often the others are told that this node lives if there is nothing else to tell.
const TELL: Duration = Duration::from_millis(900);
/// The revoker waits this much longer than it has to.
const MARGIN: Duration = Duration::from_millis(50);

/// Until when this process may answer from memory.
pub(super) struct Lease {
    start: Instant,
    /// In microseconds since `start`; the greatest for a process that is alone.
    until: AtomicU64,
    /// How much longer if the database does not answer.
    grace: Duration,
    /// Until when a commit of unknown outcome may still happen, as `until`.
    doubt: AtomicU64,
}

impl Lease {
    /// Of a process that is alone with its database, or that has yet to hear from the others.
    pub(super) fn new(alone: bool, grace: Duration) -> Self {
        let until = AtomicU64::new(if alone { u64::MAX } else { 0 });
        Self { start: Instant::now(), until, grace, doubt: AtomicU64::new(0) }
    }

    /// Whether what is in memory counts.
    pub(super) fn holds(&self) -> bool {
        self.left().is_some()
    }

    /// Whether it has run out, so lately that what is in memory counts while the database does not answer.
    pub(super) fn in_grace(&self) -> bool {
        let until = Duration::from_micros(self.until.load(Ordering::SeqCst));
        // Zero is a node that has never heard from the others.
        !until.is_zero() && (until..until.saturating_add(self.grace)).contains(&self.start.elapsed())
    }

    /// How much is left of it.
    pub(super) fn left(&self) -> Option<Duration> {
        let until = Duration::from_micros(self.until.load(Ordering::SeqCst));
        until.checked_sub(self.start.elapsed()).filter(|left| !left.is_zero())
    }

    /// A commit is under way of which nobody knows whether it happens.
    pub(super) fn doubt(&self) {
        let until = self.start.elapsed() + KEPT;
        self.doubt.store(u64::try_from(until.as_micros()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    fn in_doubt(&self) -> bool {
        self.start.elapsed() < Duration::from_micros(self.doubt.load(Ordering::SeqCst))
    }

    fn renew(&self, read_at: Instant) {
        let until = read_at.saturating_duration_since(self.start) + LEASE;
        self.until.store(u64::try_from(until.as_micros()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    fn end(&self) {
        self.until.store(0, Ordering::SeqCst);
    }
}

impl Registry {
    /// Keeps step with the other processes on this database, until `stopping`. Without it credentials are
    /// read from a shared database each time. Returns at once where the database belongs to this process
    /// alone.
    pub async fn keep_step(self: Arc<Self>, stopping: impl Future<Output = ()>) {
        if !self.db.is_shared() {
            return;
        }
        let node = self.node;
        let mut heard = None;
        tokio::select! {
            () = stopping => {}
            () = self.follow(&mut heard) => {}
        }
        self.devices.lease.end();
        let goodbye = async {
            if let Some(mut feed) = self.db.feed(node, Duration::ZERO).await? {
                feed.leave().await?;
            }
            Ok::<_, crate::Error>(())
        };
        // If it cannot be said, the others wait for the lease to run out.
        let _ = tokio::time::timeout(LEASE, goodbye).await;
    }

    async fn follow(&self, heard: &mut Option<Heard>) {
        let mut in_step = true;
        loop {
            let error = match self.listen(heard, &mut in_step).await {
                Err(error) => error,
                Ok(never) => match never {},
            };
            if in_step {
                in_step = false;
                tracing::warn!(%error, "out of step with the database: devices' credentials are read from it each time");
            }
            tokio::time::sleep(PERIOD).await;
        }
    }

    /// Follows the news over one connection, as long as that lives.
    async fn listen(
        &self,
        heard: &mut Option<Heard>,
        in_step: &mut bool,
    ) -> Result<std::convert::Infallible> {
        let keeps = LEASE + self.devices.lease.grace;
        let connected = in_time(self.db.feed(self.node, keeps)).await?;
        // Asked only where the database is shared.
        let Some(mut feed) = connected else { return Err(crate::Error::internal("there is no feed")) };
        let mut told = None::<Instant>;
        loop {
            if heard.is_none() || self.devices.lease.left().is_none() {
                // Nobody may be waiting for this node any more: only what is read after they can is enough.
                in_time(feed.tell(None)).await?;
            }
            let began = Instant::now();
            let (marks, now) = in_time(feed.read(heard.as_ref(), self.devices.lease.in_doubt())).await?;
            match heard {
                Some(last) if !now.misses_some_since(last) => self.devices.revoked(&marks),
                // What was read before this moment may have changed unheard.
                _ => self.devices.forget(),
            }
            if !marks.is_empty() || told.is_none_or(|told| told.elapsed() >= TELL) {
                in_time(feed.tell(Some(&now))).await?;
                told = Some(Instant::now());
            }
            *heard = Some(now);
            self.devices.lease.renew(began);
            if !*in_step {
                *in_step = true;
                tracing::info!("in step with the database again");
            }
            feed.wait(PERIOD).await?;
        }
    }

    /// Before a change is acknowledged that was found to be made already: returns once no node, this one included,
    /// can answer by what was before it.
    pub(crate) async fn until_settled(&self, mut tx: Tx) -> Result<()> {
        let told = store::nodes::announce(&mut tx, self.node, &[NOTHING]).await?;
        tx.commit_raw().await?;
        if self.devices.lease.in_doubt() {
            self.devices.forget();
        }
        if let Some(xid) = told {
            self.until_heard(&xid).await;
        }
        Ok(())
    }

    /// After a commit, before it is acknowledged: returns once no other node can answer by what was
    /// before.
    pub(crate) async fn until_heard(&self, xid: &Xid) {
        let committed = Instant::now();
        // As long as all nodes have the same grace.
        let mut longest = LEASE + self.devices.lease.grace;
        let mut pause = Duration::from_millis(1);
        loop {
            match in_time(self.db.unheard(self.node, xid)).await {
                Ok(None) => return,
                Ok(Some(keeps)) => longest = keeps,
                Err(error) => tracing::debug!(%error, "cannot see what the other nodes have heard"),
            }
            if committed.elapsed() >= longest + MARGIN {
                return;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }
}

/// No answer within a lease is no answer.
async fn in_time<T>(asked: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(LEASE, asked).await.unwrap_or(Err(crate::Error::Unavailable))
}

impl super::Devices {
    /// Other nodes have changed these.
    fn revoked(&self, marks: &[Mark]) {
        if !marks.is_empty() {
            self.changed(&[marks, &[Mark::Credentials]].concat());
        }
    }

    /// Anything may have changed.
    fn forget(&self) {
        self.changed(&[Mark::Everything]);
    }
}

/// A name for this process, for as long as it runs.
pub(crate) fn name() -> Result<Uuid> {
    let mut bytes = [0; 16];
    crate::secret::random(&mut bytes)?;
    Ok(Uuid::from_bytes(bytes))
}

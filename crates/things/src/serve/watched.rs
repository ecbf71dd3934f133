//! When a connection was last of use: hyper times nothing but a head that has begun.
//!
//! A connection must bring its first request, and finish each request's head, within the time for
//! heads; otherwise it may wait for as long as idle ones may. Requests under way are not timed here:
//! bodies are by their reader.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::http::Version;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use super::Limits;

/// No head has begun.
const NONE: u64 = u64::MAX;

/// What a connection does, in milliseconds since its start.
///
/// Traffic only leaves a mark: whoever looks whether the connection is overdue turns it into a time. Reading the
/// clock for every piece of every request would cost more than all else here.
pub(super) struct Activity {
    start: Instant,
    moved: AtomicBool,
    last: AtomicU64,
    head_since: AtomicU64,
    running: AtomicUsize,
    /// HTTP/2: bytes between requests are not a head that has begun.
    multiplexed: AtomicBool,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            moved: AtomicBool::new(false),
            last: AtomicU64::new(0),
            // The first request is due from the start.
            head_since: AtomicU64::new(0),
            running: AtomicUsize::new(0),
            multiplexed: AtomicBool::new(false),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(NONE)
    }

    /// A request has begun; it ends when the answer's head is there.
    pub(super) fn request(self: &Arc<Self>, version: Version) -> Running {
        self.multiplexed.store(version == Version::HTTP_2, Relaxed);
        self.head_since.store(NONE, Relaxed);
        self.running.fetch_add(1, Relaxed);
        Running(Arc::clone(self))
    }

    fn read(&self) {
        self.moved.store(true, Relaxed);
        let between = self.running.load(Relaxed) == 0 && !self.multiplexed.load(Relaxed);
        if between && self.head_since.load(Relaxed) == NONE {
            let _ = self.head_since.compare_exchange(NONE, self.now(), Relaxed, Relaxed);
        }
    }

    fn written(&self) {
        self.moved.store(true, Relaxed);
    }

    /// Returns when the connection has waited too long: for the time that idle ones may, and up to as long again
    /// as heads may take, because that is how often it looks.
    pub(super) async fn overdue(&self, limits: &Limits) {
        loop {
            if self.moved.swap(false, Relaxed) {
                self.last.store(self.now(), Relaxed);
            }
            let millis = |limit: Duration| u64::try_from(limit.as_millis()).unwrap_or(NONE);
            let due = if self.running.load(Relaxed) > 0 {
                self.now() + millis(limits.idle)
            } else {
                let idle = self.last.load(Relaxed).saturating_add(millis(limits.idle));
                match self.head_since.load(Relaxed) {
                    NONE => idle,
                    since => idle.min(since.saturating_add(millis(limits.head))),
                }
            };
            let wait = due.saturating_sub(self.now());
            if wait == 0 {
                return;
            }
            // Looks again in between: a head that begins while waiting is due earlier.
            tokio::time::sleep(Duration::from_millis(wait.min(millis(limits.head)).max(1))).await;
        }
    }
}

/// A request under way.
pub(super) struct Running(Arc<Activity>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.written();
        self.0.running.fetch_sub(1, Relaxed);
    }
}

/// A stream whose traffic is noted.
pub(super) struct Watched<S> {
    stream: S,
    activity: Arc<Activity>,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, activity: Arc<Activity>) -> Self {
        Self { stream, activity }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.activity.read();
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if matches!(polled, Poll::Ready(Ok(_))) {
            self.activity.written();
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        if matches!(polled, Poll::Ready(Ok(_))) {
            self.activity.written();
        }
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

//! How long something may take.

use std::{
    future::poll_fn,
    pin::pin,
    task::Poll::{Pending, Ready},
    time::Duration,
};

/// What comes of a future, or `None` if it takes longer than `limit`.
///
/// The timer is set at the second look in vain: what is there already, as the bodies of most requests over
/// HTTP/1 are, takes one or two, and a timer would cost more than both. Only for futures whose task looks again
/// soon anyway, as a connection of HTTP/1 does: a task that waits for another one, as each request of HTTP/2
/// does, would wake a thread for nothing.
pub(crate) async fn within<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut looked = false;
    let early = poll_fn(|context| match future.as_mut().poll(context) {
        Ready(done) => Ready(Some(done)),
        Pending if looked => Ready(None),
        Pending => {
            looked = true;
            context.waker().wake_by_ref();
            Pending
        }
    });
    match early.await {
        Some(done) => Some(done),
        None => tokio::time::timeout(limit, future).await.ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_late_is_given_up_and_nothing_else() {
        let limit = Duration::from_millis(20);
        assert_eq!(within(limit, async { 1 }).await, Some(1));
        let twice = async {
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
            2
        };
        assert_eq!(within(limit, twice).await, Some(2));
        let soon = async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            3
        };
        assert_eq!(within(Duration::from_secs(60), soon).await, Some(3));
        assert_eq!(within(limit, std::future::pending::<()>()).await, None);
    }
}

//! The task that sends what is due: a few mails at a time, woken by letters of this process, looking
//! regularly for those of others.

use std::{sync::Arc, time::Duration};

use registry::{
    Error, Registry,
    mail::{Mail, Refused},
};
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, timeout},
};

use super::Mailing;
use crate::{serve::Stopping, telemetry::MailMetrics};

/// Mails that are sent at a time.
const AT_A_TIME: usize = 4;
/// How long to wait before the database is told again that a mail was sent.
const TELL_AGAIN: Duration = Duration::from_secs(1);
/// How long it is told: after that somebody else may have the mail.
const TELLING: Duration = Duration::from_secs(60);

/// What attempts have in common.
struct Worker {
    mailing: Mailing,
    registry: Arc<Registry>,
    metrics: MailMetrics,
}

impl Mailing {
    /// Sends mails until told to stop; those under way then have `drain` to end. What is cut off is due
    /// again, here after the next start or on another node.
    pub async fn run(
        self,
        registry: Arc<Registry>,
        metrics: MailMetrics,
        mut stopping: Stopping,
        drain: Duration,
    ) {
        let mut poll = tokio::time::interval(self.poll);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let worker = Arc::new(Worker { mailing: self, registry, metrics });
        let mut under_way = JoinSet::new();
        loop {
            worker.take(&mut under_way).await;
            tokio::select! {
                () = stopping.wait() => break,
                // A place is free.
                Some(_) = under_way.join_next() => {}
                () = worker.registry.letter_written() => {}
                _ = poll.tick() => worker.look().await,
            }
        }
        let all = async { while under_way.join_next().await.is_some() {} };
        if timeout(drain, all).await.is_err() {
            tracing::warn!("some mails were cut off and will be sent later");
        }
        under_way.shutdown().await;
        worker.mailing.transport.close().await;
    }
}

impl Worker {
    /// Begins as many attempts as there are places and mails due.
    async fn take(self: &Arc<Self>, under_way: &mut JoinSet<()>) {
        let places = AT_A_TIME.saturating_sub(under_way.len());
        match self.registry.claim_mails(u32::try_from(places).unwrap_or(0)).await {
            Ok(mails) => {
                for mail in mails {
                    let worker = Arc::clone(self);
                    under_way.spawn(async move { worker.attempt(mail).await });
                }
            }
            // It is looked for again soon.
            Err(Error::Unavailable) => tracing::debug!("mails cannot be looked for: the database is away"),
            Err(error) => tracing::warn!(%error, "mails cannot be looked for"),
        }
    }

    async fn look(&self) {
        if let Ok(status) = self.registry.mail_status().await {
            self.metrics.waiting.set(i64::try_from(status.waiting).unwrap_or(i64::MAX));
        }
    }

    async fn attempt(&self, mail: Mail) {
        let (id, kind, attempt) = (mail.id, mail.letter.kind(), mail.attempt);
        match self.mailing.send(self.mailing.composer.compose(&mail)).await {
            Ok(()) => {
                self.metrics.sent();
                tracing::info!(mail = %id, kind, attempt, "a mail was sent");
                self.tell_sent(&mail).await;
            }
            Err(refusal) => {
                let reason = refusal.to_string();
                match self.registry.mail_refused(&mail, &reason).await {
                    Ok(Refused::Again(next)) => {
                        self.metrics.refused();
                        tracing::warn!(mail = %id, kind, attempt, reason, %next, "a mail was not sent; it is tried again");
                    }
                    Ok(Refused::GivenUp) => {
                        self.metrics.given_up();
                        tracing::error!(mail = %id, kind, attempt, reason, "a mail was not sent in three days and is given up");
                    }
                    Err(error) => {
                        tracing::warn!(mail = %id, kind, attempt, reason, %error, "a mail was not sent, which cannot be noted; it is tried again");
                    }
                }
            }
        }
    }

    /// A mail that was sent must not be sent again: the database is told until it listens.
    async fn tell_sent(&self, mail: &Mail) {
        let end = Instant::now() + TELLING;
        while let Err(error) = self.registry.mail_sent(mail).await {
            if Instant::now() >= end {
                tracing::warn!(mail = %mail.id, %error, "a mail was sent, which could not be noted; it may be sent again");
                return;
            }
            tokio::time::sleep(TELL_AGAIN).await;
        }
    }
}

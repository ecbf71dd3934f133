//! An import from its first batch to its last: transactions, repetition, and what is told of it.
//!
//! A thread of its own reads the file and makes keys, digests and sealed copies, a batch or two ahead of
//! the database.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::{
    Counts, Import, ImportKeys, Open, ProfileRef, Rejection, Report,
    batch::{Outcome, Place, Prepared, Written, profiles_of},
};
use crate::{
    Begun, MAX_COLLISIONS, Registry,
    access::{self, Edit, Permit},
    actor::Call,
    back_off,
    error::{Error, FieldError, Result},
    ids::GroupId,
    journal,
    store::{self, Tx, imports::Kept},
};

/// How many batches are ready ahead of the database.
const AHEAD: usize = 2;
/// More errors than this of an import that happens as a whole or not at all are not told.
const MOST_ERRORS: usize = 1_000;

/// How long a dry run may hold SQLite's one writer: others wait for it for five seconds, and then give up.
const REHEARSAL: Duration = Duration::from_secs(3);

/// A batch, read and ready to be written.
struct Ready {
    rows: Vec<Prepared>,
    /// A digest of the file up to here.
    content: Vec<u8>,
}

type Feed = mpsc::Receiver<Result<Ready>>;

/// A rejected row as it is kept for a repetition.
#[derive(Serialize, Deserialize)]
struct KeptRejection(u64, u64, Vec<(String, String)>);

impl Registry {
    /// Carries an import out. `profiles` are all that rows name. On an error, what `report` was told is
    /// settled is done, and nothing else.
    pub async fn run_import(
        self: &Arc<Self>,
        call: &Call,
        import: &Import,
        profiles: &[ProfileRef],
        open: &Open,
        report: &mut dyn Report,
    ) -> Result<Counts> {
        // A dry run of a partial import is one transaction, too: later rows have to see earlier ones.
        if import.options.partial && call.dry_run.is_none() {
            return self.in_parts(call, import, open, report).await;
        }
        let mut collisions = 0;
        loop {
            match self.as_a_whole(call, import, profiles, open, report).await {
                Err(Error::Collision) if collisions < MAX_COLLISIONS => {
                    report.undone()?;
                    collisions += 1;
                    back_off(collisions).await;
                }
                Err(error) => {
                    report.undone()?;
                    return Err(if matches!(error, Error::Collision) { Error::Unavailable } else { error });
                }
                done => return done,
            }
        }
    }

    /// All rows that are left in one transaction.
    async fn as_a_whole(
        self: &Arc<Self>,
        call: &Call,
        import: &Import,
        profiles: &[ProfileRef],
        open: &Open,
        report: &mut dyn Report,
    ) -> Result<Counts> {
        let (mut feed, mut counts) = (self.feed(import, open), Counts::default());
        let (mut ready, mut part) = self.repeat(import, &mut feed, &mut counts, report).await?;
        if ready.is_none() {
            report.settled()?;
            return Ok(counts);
        }
        let alone = call.dry_run.is_some() && !self.db.is_postgres();
        let _turn = if alone { Some(self.rehearsal.lock().await) } else { None };
        let mut tx = self.begin_import_tx(call).await?;
        let begun = Instant::now();
        let place = Place::open(&mut tx, call, import.options.group, profiles).await?;
        let mut told = Vec::new();
        while let Some(Ready { rows, content }) = ready {
            // It may take minutes, in which rights can end.
            let _: Permit<Edit, GroupId> = access::permit(&mut tx, call, import.options.group).await?;
            let before = (counts.rows_done > 0).then_some(counts.rows_done);
            let Written { outcomes, ended } =
                self.write_rows(&mut tx, call, (&import.options, &import.keys), &place, &rows).await?;
            told.extend(
                rejections(&rows, &outcomes).flat_map(Rejection::told).take(MOST_ERRORS - told.len()),
            );
            match ended {
                Some(ended) => return Err(too_many_taken(ended, told)),
                None if told.is_empty() || import.options.partial => {}
                None => return Err(Error::Invalid(told)),
            }
            counts.add(&outcomes);
            self.keep(
                &mut tx,
                import,
                part,
                before,
                content,
                &counts,
                (rows.as_slice(), outcomes.as_slice()),
            )
            .await?;
            part += 1;
            tell(&rows, &outcomes, report)?;
            report.progress(counts.rows_done);
            ready = feed.recv().await.transpose()?;
            if alone && ready.is_some() && begun.elapsed() > REHEARSAL {
                let told = format!(
                    "keeps all other changes waiting on SQLite, and so ends after {} seconds, in which it came to row {}; \
                     try the file in parts",
                    REHEARSAL.as_secs(),
                    counts.rows_done
                );
                return Err(Error::invalid("dry_run", told));
            }
        }
        journal::commit(self, tx, call, Vec::new(), ()).await?;
        report.settled()?;
        Ok(counts)
    }

    /// A transaction for each batch.
    async fn in_parts(
        self: &Arc<Self>,
        call: &Call,
        import: &Import,
        open: &Open,
        report: &mut dyn Report,
    ) -> Result<Counts> {
        let (mut feed, mut counts) = (self.feed(import, open), Counts::default());
        let (mut ready, mut part) = self.repeat(import, &mut feed, &mut counts, report).await?;
        report.settled()?;
        while let Some(batch) = ready {
            let mut collisions = 0;
            let (done, Written { outcomes, ended }) = loop {
                match self.one_part(call, import, part, &batch, &counts).await {
                    Err(Error::Collision) if collisions < MAX_COLLISIONS => {
                        collisions += 1;
                        back_off(collisions).await;
                    }
                    Err(Error::Collision) => return Err(Error::Unavailable),
                    done => break done?,
                }
            };
            counts = done;
            part += 1;
            tell(&batch.rows, &outcomes, report)?;
            report.settled()?;
            report.progress(counts.rows_done);
            if let Some(ended) = ended {
                return Err(too_many_taken(ended, Vec::new()));
            }
            ready = feed.recv().await.transpose()?;
        }
        Ok(counts)
    }

    async fn one_part(
        &self,
        call: &Call,
        import: &Import,
        part: u64,
        batch: &Ready,
        before: &Counts,
    ) -> Result<(Counts, Written)> {
        let mut tx = self.begin_import_tx(call).await?;
        let profiles = profiles_of(&batch.rows, &import.options);
        let place = Place::open(&mut tx, call, import.options.group, &profiles).await?;
        let options = (&import.options, &import.keys);
        let written = self.write_rows(&mut tx, call, options, &place, &batch.rows).await?;
        let mut counts = *before;
        if written.outcomes.is_empty() {
            return Ok((counts, written));
        }
        counts.add(&written.outcomes);
        let done = (before.rows_done > 0).then_some(before.rows_done);
        let content = batch.content.clone();
        self.keep(
            &mut tx,
            import,
            part,
            done,
            content,
            &counts,
            (batch.rows.as_slice(), written.outcomes.as_slice()),
        )
        .await?;
        journal::commit(self, tx, call, Vec::new(), ()).await?;
        Ok((counts, written))
    }

    async fn begin_import_tx(&self, call: &Call) -> Result<Tx> {
        match self.begin(call).await? {
            Begun::New(tx) => Ok(tx),
            // Imports keep their own record.
            Begun::Repeated(_) => Err(Error::internal("an import was taken for a request with an answer")),
        }
    }

    /// Writes down how far a repeatable import is with this part: a batch, or what was done of one.
    #[expect(clippy::too_many_arguments, reason = "all of it goes into one row")]
    async fn keep(
        &self,
        tx: &mut Tx,
        import: &Import,
        part: u64,
        before: Option<u64>,
        content: Vec<u8>,
        counts: &Counts,
        (rows, outcomes): (&[Prepared], &[Outcome]),
    ) -> Result<()> {
        let Some(repeatable) = &import.repeatable else { return Ok(()) };
        let kept = Kept { content, counts: *counts, started_at: import.started_at };
        store::imports::advance(tx, &repeatable.digest, before, &kept).await?;
        let letters: String = outcomes.iter().map(Outcome::letter).collect();
        let rejected: Vec<KeptRejection> = rejections(rows, outcomes)
            .map(|rejection| {
                let errors = rejection.errors.into_iter().map(|error| (error.field.into(), error.message));
                KeptRejection(rejection.row, rejection.line, errors.collect())
            })
            .collect();
        let rejected = match rejected.is_empty() {
            true => None,
            false => Some(serde_json::to_string(&rejected).map_err(Error::internal)?),
        };
        store::imports::keep_batch(tx, &repeatable.digest, part, &letters, rejected.as_deref()).await
    }

    /// Tells again what was done before, and hands out the first rows that were not, with how many parts were.
    async fn repeat(
        &self,
        import: &Import,
        feed: &mut Feed,
        counts: &mut Counts,
        report: &mut dyn Report,
    ) -> Result<(Option<Ready>, u64)> {
        let mut ready = feed.recv().await.transpose()?;
        let (Some(repeatable), Some(kept)) = (&import.repeatable, import.kept()) else {
            return Ok((ready, 0));
        };
        let mut conn = self.db.read().await?;
        let (mut told, mut parts) = (0, 0);
        while let Some(Ready { rows, .. }) = ready.as_mut().filter(|_| told < kept.counts.rows_done) {
            let (letters, rejected) = store::imports::batch(&mut conn, &repeatable.digest, parts).await?;
            parts += 1;
            let rejected: Vec<KeptRejection> = match rejected {
                Some(text) => serde_json::from_str(&text).map_err(Error::internal)?,
                None => Vec::new(),
            };
            let mut rejected = rejected.into_iter();
            // As many as the part has, which may be fewer than the batch.
            let done: Vec<Prepared> = rows.drain(..letters.len().min(rows.len())).collect();
            for (prepared, letter) in done.iter().zip(letters.chars()) {
                match (&prepared.row, letter) {
                    (Ok(row), 'c') => {
                        let id = row.id.unwrap_or_else(|| import.keys.id(row.row));
                        report.created(row, id, row.key.is_none())?;
                    }
                    (_, 'r') => {
                        if let Some(KeptRejection(row, line, errors)) = rejected.next() {
                            let error = |(field, message): (String, String)| FieldError::new(field, message);
                            let errors = errors.into_iter().map(error).collect();
                            report.rejected(&Rejection { row, line, errors })?;
                        }
                    }
                    _ => {}
                }
            }
            told += u64::try_from(done.len()).unwrap_or(0);
            report.progress(told);
            if rows.is_empty() {
                ready = feed.recv().await.transpose()?;
            }
        }
        *counts = kept.counts;
        Ok((ready, parts))
    }

    /// Reads the file in a thread of its own, which ends with the file or when nobody takes its batches.
    fn feed(self: &Arc<Self>, import: &Import, open: &Open) -> Feed {
        let (sender, feed) = mpsc::channel(AHEAD);
        let (registry, open, keys) = (Arc::clone(self), Arc::clone(open), import.keys.clone());
        // What makes things only can be made ready from the rows alone.
        let (makes, done) = (import.options.upsert.is_none(), import.rows_done());
        tokio::task::spawn_blocking(move || {
            let source = match open() {
                Ok(source) => source,
                Err(error) => return drop(sender.blocking_send(Err(error))),
            };
            for batch in source {
                let ready = batch.and_then(|batch| {
                    let content = registry.content_digest(&batch.digest);
                    let rows = batch
                        .rows
                        .into_iter()
                        .map(|row| registry.prepared(&keys, row, makes, done))
                        .collect::<Result<_>>()?;
                    Ok(Ready { rows, content })
                });
                if sender.blocking_send(ready).is_err() {
                    return;
                }
            }
        });
        feed
    }

    fn prepared(
        &self,
        keys: &ImportKeys,
        row: std::result::Result<super::ImportRow, Rejection>,
        makes: bool,
        done: u64,
    ) -> Result<Prepared> {
        let made = match &row {
            Ok(row) if makes && row.row > done => self.made(keys, row)?,
            _ => None,
        };
        Ok(Prepared { row, made })
    }
}

impl Counts {
    fn add(&mut self, outcomes: &[Outcome]) {
        for outcome in outcomes {
            self.rows_done += 1;
            match outcome {
                Outcome::Created { .. } => self.created += 1,
                Outcome::Updated => self.updated += 1,
                Outcome::Unchanged => self.unchanged += 1,
                Outcome::Rejected(_) => self.rejected += 1,
            }
        }
    }
}

impl Outcome {
    /// As it is kept.
    fn letter(&self) -> char {
        match self {
            Self::Created { .. } => 'c',
            Self::Updated => 'u',
            Self::Unchanged => 'n',
            Self::Rejected(_) => 'r',
        }
    }
}

fn rejections(rows: &[Prepared], outcomes: &[Outcome]) -> impl Iterator<Item = Rejection> {
    rows.iter().zip(outcomes).filter_map(|(prepared, outcome)| {
        let Outcome::Rejected(errors) = outcome else { return None };
        let (row, line) = match &prepared.row {
            Ok(row) => (row.row, row.line),
            Err(rejection) => (rejection.row, rejection.line),
        };
        Some(Rejection { row, line, errors: errors.clone() })
    })
}

fn tell(rows: &[Prepared], outcomes: &[Outcome], report: &mut dyn Report) -> Result<()> {
    let mut rejections = rejections(rows, outcomes);
    for (prepared, outcome) in rows.iter().zip(outcomes) {
        match (&prepared.row, outcome) {
            (Ok(row), Outcome::Created { id, generated }) => report.created(row, *id, *generated)?,
            (_, Outcome::Rejected(_)) => {
                if let Some(rejection) = rejections.next() {
                    report.rejected(&rejection)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Why an import ended before its end, with the rows that its caller has not heard of.
fn too_many_taken(ended: Error, told: Vec<FieldError>) -> Error {
    match ended {
        Error::TooMany { retry_after } => Error::TakenTooOften { told, retry_after },
        error => error,
    }
}

impl Rejection {
    /// As errors of a request whose items are the rows.
    pub fn told(self) -> impl Iterator<Item = FieldError> {
        let item = usize::try_from(self.row.saturating_sub(1)).unwrap_or(usize::MAX);
        let line = self.line;
        self.errors.into_iter().map(move |error| FieldError {
            item: Some(item),
            message: format!("line {line}: {}", error.message),
            ..error
        })
    }
}

//! Everything at once: backups, restores and moves between engines.
//!
//! A backup is NDJSON: a head that says what follows and which keys belong to it, a line for each row, and
//! an end with a digest over all lines before, keyed by the installation's pepper. It is read in one snapshot and
//! streamed; a restore checks the digest first, then every row by the rules of the API, and stores all of
//! them in one transaction or none. What is true only here and now is left out: who is logged in,
//! tokens, and invites and mails on their way.

pub(crate) mod lines;
mod mainflux;
mod moving;
mod reading;
mod restore;
pub(crate) mod rules;
pub(crate) mod tables;

use std::{
    collections::BTreeMap,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

pub use lines::MAX_LINE;
pub use moving::{Moved, Step, copy};
pub use restore::{Examined, Restore, Restored};

use crate::{
    Registry,
    access::{self, Via},
    actor::Call,
    clock::Timestamp,
    error::{ConflictKind, Error, Result},
    journal::{self, Entry, Subject},
    secret::{Keyring, RunningMac},
    store::{self, Conn, Db, backup::Scope, lock, sql::Taker},
};
use lines::{End, FORMAT, Head, Keys};
use tables::{Cell, LEFT_OUT, TABLES, Table};

/// How much is handed on at a time, about.
const CHUNK: usize = 64 * 1024;
/// How many of these wait to be taken.
const WAITING: usize = 4;
/// A snapshot is not held for a reader that takes nothing for so long.
const STALLED: Duration = Duration::from_secs(60);

/// What the digest of a backup is keyed for.
const MAC: &str = "backup/1";
/// What is sealed to show that the key-encryption key is the same.
const CHECK: &[u8] = b"backup-check/1";

/// One backup and one restore at a time.
pub(crate) struct Turns {
    backup: Arc<Semaphore>,
    restore: Arc<Semaphore>,
}

impl Default for Turns {
    fn default() -> Self {
        Self { backup: Arc::new(Semaphore::new(1)), restore: Arc::new(Semaphore::new(1)) }
    }
}

fn turn(of: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit> {
    Arc::clone(of).try_acquire_owned().map_err(|_| Error::conflict(ConflictKind::UnderWay))
}

enum Chunk {
    Bytes(Vec<u8>),
    Failed(Error),
    /// Without it, what came is not all.
    End,
}

/// A backup under way: bytes to be taken one chunk after the other.
pub struct Backup {
    made_at: Timestamp,
    rows: u64,
    chunks: mpsc::Receiver<Chunk>,
    ended: bool,
}

impl Backup {
    /// How many rows it has.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// When it was begun.
    pub fn made_at(&self) -> Timestamp {
        self.made_at
    }

    /// A name for its file, such as `things-20261123T121320Z.ndjson`.
    pub fn file_name(&self) -> String {
        let plain: String = self.made_at.to_string().chars().filter(|c| !matches!(c, '-' | ':')).collect();
        let moment = plain.split('.').next().unwrap_or_default();
        format!("things-{moment}Z.ndjson")
    }

    /// The next piece; `None` only after the last one. After an error what was taken is not a backup.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Vec<u8>>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let next = match ready!(self.chunks.poll_recv(context)) {
            Some(Chunk::Bytes(bytes)) => return Poll::Ready(Some(Ok(bytes))),
            Some(Chunk::End) => None,
            Some(Chunk::Failed(error)) => Some(Err(error)),
            None => Some(Err(Error::internal("the backup ended before its time"))),
        };
        self.ended = true;
        Poll::Ready(next)
    }

    /// The same, for who waits.
    pub async fn next(&mut self) -> Option<Result<Vec<u8>>> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }
}

impl Registry {
    /// Begins a backup, for the platform's administrators by a credential without bounds. It is noted in the
    /// journal before the first byte.
    pub async fn back_up(self: &Arc<Self>, call: &Call) -> Result<Backup> {
        let via = access::backup(call)?;
        let turn = turn(&self.backups.backup)?;
        let tx = match self.begin(call).await? {
            crate::Begun::New(tx) => tx,
            crate::Begun::Repeated(_) => return Err(Error::conflict(ConflictKind::UnderWay)),
        };
        journal::commit(self, tx, call, vec![entry(via)], ()).await?;
        self.begin_backup(turn).await
    }

    /// Begins a backup if the last one that the program began by itself, in whichever process, is as long ago
    /// as this or longer.
    pub async fn back_up_if_due(self: &Arc<Self>, every: Duration) -> Result<Option<Backup>> {
        let call = Call::system("scheduled-backup");
        let via = access::backup(&call)?;
        let Ok(turn) = turn(&self.backups.backup) else { return Ok(None) };
        let mut conn = self.db.read().await?;
        let now = conn.now(&self.db.clock).await?;
        if !is_due(store::backup::last_scheduled(&mut conn).await?, every, now) {
            return Ok(None);
        }
        drop(conn);
        let mut tx = self.db.write().await?;
        lock::schedule(&mut tx).await?;
        // Another process may have begun one while this one waited.
        let now = tx.moment(&self.db.clock).await?;
        if !is_due(store::backup::last_scheduled(&mut tx).await?, every, now) {
            return Ok(None);
        }
        journal::commit(self, tx, &call, vec![entry(via)], ()).await?;
        self.begin_backup(turn).await.map(Some)
    }

    /// Begins a backup in the place of one that the program began and could not finish.
    pub async fn back_up_again(self: &Arc<Self>) -> Result<Option<Backup>> {
        let Ok(turn) = turn(&self.backups.backup) else { return Ok(None) };
        self.begin_backup(turn).await.map(Some)
    }

    /// How long ago the program last began a backup by itself; `None` if it never did.
    pub async fn since_scheduled_backup(&self) -> Result<Option<Duration>> {
        let mut conn = self.db.read().await?;
        let now = conn.now(&self.db.clock).await?;
        Ok(store::backup::last_scheduled(&mut conn).await?.map(|last| now.since(last)))
    }

    async fn begin_backup(self: &Arc<Self>, turn: OwnedSemaphorePermit) -> Result<Backup> {
        let mut conn = self.db.snapshot().await?;
        if store::adopt::goes_on(&mut conn).await? {
            return Err(Error::conflict(ConflictKind::HalfAdopted));
        }
        let mut counts = BTreeMap::new();
        for table in TABLES.iter().filter(|table| Scope::Backup.has(table)) {
            let count = store::backup::count(&mut conn, table, Scope::Backup).await?;
            counts.insert(table.name.to_owned(), count);
        }
        let made_at = conn.now(&self.db.clock).await?;
        let rows = counts.values().sum();
        let head = Head {
            format: FORMAT.to_owned(),
            product: env!("CARGO_PKG_VERSION").to_owned(),
            schema: Db::newest_migration(),
            made_at: made_at.to_string(),
            engine: self.engine().to_owned(),
            rows,
            counts,
            keyring: keys(&self.keyring)?,
            left_out: LEFT_OUT.iter().map(|what| (*what).to_owned()).collect(),
        };
        let (send, chunks) = mpsc::channel(WAITING);
        let mut writing = Writing {
            out: Vec::with_capacity(CHUNK * 2),
            mac: self.keyring.mac_of_pieces(MAC),
            send,
            table: None,
            rows: 0,
        };
        tokio::spawn(async move {
            let last = match writing.all(&mut conn, &head).await {
                Ok(()) => Chunk::End,
                Err(error) => Chunk::Failed(error),
            };
            drop(conn);
            // Whoever has the end may begin the next one.
            drop(turn);
            // Nobody may be there any more.
            let _ = tokio::time::timeout(STALLED, writing.send.send(last)).await;
        });
        Ok(Backup { made_at, rows, chunks, ended: false })
    }
}

fn entry(via: Via) -> Entry {
    Entry::about(via, "platform.backed_up", Subject::platform())
}

fn is_due(last: Option<Timestamp>, every: Duration, now: Timestamp) -> bool {
    last.is_none_or(|last| last.after(every) <= now)
}

fn keys(keyring: &Keyring) -> Result<Keys> {
    let (pepper, kek) = keyring.canary();
    let (pepper, check) = pepper.split_once('.').unwrap_or((&pepper, ""));
    Ok(Keys {
        pepper: pepper.to_owned(),
        check: check.to_owned(),
        kek,
        kek_check: lines::to_base64(&keyring.seal(CHECK, b"things")?),
    })
}

/// A backup as it is written.
struct Writing {
    out: Vec<u8>,
    mac: RunningMac,
    send: mpsc::Sender<Chunk>,
    table: Option<&'static Table>,
    rows: u64,
}

impl Writing {
    async fn all(&mut self, conn: &mut Conn, head: &Head) -> Result<()> {
        lines::put(&mut self.out, head)?;
        for table in TABLES.iter().filter(|table| Scope::Backup.has(table)) {
            self.table = Some(table);
            store::backup::read(conn, table, Scope::Backup, self).await?;
        }
        if self.rows != head.rows {
            return Err(Error::internal("the snapshot has other rows than it had when they were counted"));
        }
        self.flush().await?;
        lines::put(&mut self.out, &End { end: true, rows: self.rows, mac: self.mac.told() })?;
        self.hand_on().await
    }

    async fn flush(&mut self) -> Result<()> {
        self.mac.update(&self.out);
        self.hand_on().await
    }

    async fn hand_on(&mut self) -> Result<()> {
        let bytes = std::mem::replace(&mut self.out, Vec::with_capacity(CHUNK * 2));
        match tokio::time::timeout(STALLED, self.send.send(Chunk::Bytes(bytes))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Error::internal("nobody takes the backup any more")),
            Err(_) => Err(Error::internal("the backup was not taken for a minute")),
        }
    }
}

impl Taker<Vec<Cell>> for Writing {
    async fn take(&mut self, row: Vec<Cell>) -> Result<()> {
        if let Some(table) = self.table {
            lines::put_row(&mut self.out, table, &row)?;
        }
        self.rows += 1;
        if self.out.len() >= CHUNK { self.flush().await } else { Ok(()) }
    }
}

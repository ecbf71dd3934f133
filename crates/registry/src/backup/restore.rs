//! Restoring: into an installation with nothing in it but the account of who restores, in one transaction.

use std::{
    collections::BTreeMap,
    fs::File,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::{OwnedSemaphorePermit, mpsc};
use uuid::Uuid;

use super::{
    lines::{Head, refusal},
    mainflux::{self, Items},
    reading::{self, Batch, Batches},
    tables::{Cell, TABLES},
    turn,
};
use crate::{
    Begun, Registry,
    access::{self, PlatformPermit, Via},
    actor::{Actor, Call},
    credentials::{IndexedAs, Readback},
    error::{ConflictKind, Error, Result},
    ids::UserId,
    journal::{self, Changes, Entry, Subject},
    secret::Secret,
    store::{
        self, Tx,
        backup::{Restorer, Scope, WHOLE},
        lock,
    },
};

/// How many batches are read ahead.
const AHEAD: usize = 2;

/// The right to restore, and the turn: nothing has been read yet.
pub struct Restore {
    registry: Arc<Registry>,
    call: Call,
    turn: OwnedSemaphorePermit,
}

/// A file that is whole and ours, or is Mainflux's: none of its rows has been looked at.
pub struct Examined {
    restore: Restore,
    file: Arc<File>,
    source: Arc<Source>,
}

enum Source {
    Ours(Head),
    Mainflux(Items),
}

/// What a restore did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Rows of each table.
    pub tables: BTreeMap<&'static str, u64>,
    /// What is in the file and was not taken over.
    pub left_out: BTreeMap<&'static str, u64>,
    /// Whose account the restorer's is now: that of the backup with their id or address, if it has one.
    pub account: UserId,
}

impl Registry {
    /// Asks whether the caller may restore here and now. Nobody else may until what is returned is dropped.
    pub async fn begin_restore(self: &Arc<Self>, call: &Call) -> Result<Restore> {
        access::platform(call, true)?;
        let turn = turn(&self.backups.restore)?;
        let person = call.user()?.id();
        if !store::backup::is_empty_but_for(&mut self.db.read().await?, person).await? {
            return Err(Error::conflict(ConflictKind::NotEmpty));
        }
        Ok(Restore { registry: Arc::clone(self), call: call.clone(), turn })
    }
}

impl Restore {
    /// Reads the file from its beginning to its end and checks what is true of it as a whole: format, keys,
    /// digest, number of lines. Nothing is changed by that.
    pub async fn examine(self, file: File) -> Result<Examined> {
        let registry = Arc::clone(&self.registry);
        let file = Arc::new(file);
        let read = Arc::clone(&file);
        let source = blocking(move || {
            if reading::is_ours(&read)? {
                reading::examine(&read, &registry.keyring).map(Source::Ours)
            } else {
                mainflux::examine(&read).map(Source::Mainflux)
            }
        });
        Ok(Examined { source: Arc::new(source.await?), restore: self, file })
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(Error::internal)?
}

impl Examined {
    /// How many rows, or items of Mainflux's backup, are taken over.
    pub fn rows(&self) -> u64 {
        match &*self.source {
            Source::Ours(head) => head.rows,
            Source::Mainflux(items) => items.rows,
        }
    }

    /// Checks every row and takes all of them over, or none. `done` counts the rows that were stored.
    pub async fn restore(self, done: Arc<AtomicU64>) -> Result<Restored> {
        let Self { restore: Restore { registry, call, turn }, file, source } = self;
        let mut work = Work {
            registry: &registry,
            file,
            source,
            done,
            restored: BTreeMap::new(),
            skipped: BTreeMap::new(),
        };
        let restored = work.restore(&call).await;
        drop(turn);
        match restored {
            // Whoever holds a lock that long does what a restore must not be mixed with.
            Err(Error::Collision) => Err(Error::Unavailable),
            restored => restored,
        }
    }
}

struct Work<'r> {
    registry: &'r Arc<Registry>,
    file: Arc<File>,
    source: Arc<Source>,
    done: Arc<AtomicU64>,
    restored: BTreeMap<&'static str, u64>,
    skipped: BTreeMap<&'static str, u64>,
}

impl Work<'_> {
    async fn restore(&mut self, call: &Call) -> Result<Restored> {
        let registry = self.registry;
        let mut tx = match registry.begin(call).await? {
            Begun::New(tx) => tx,
            Begun::Repeated(_) => return Err(Error::conflict(ConflictKind::NotEmpty)),
        };
        let permit: PlatformPermit = access::platform(call, true)?;
        let person = call.user()?.id();
        store::backup::take_time(&mut tx).await?;
        lock::everything(&mut tx).await?;
        if !store::backup::is_empty_but_for(&mut tx, person).await? {
            return Err(Error::conflict(ConflictKind::NotEmpty));
        }
        let mut restorer = Restorer::step_aside(&mut tx, &permit, person).await?;
        store::backup::park_journal(&mut tx).await?;
        self.fill(&mut tx, &mut restorer, person).await?;
        restorer.come_back(&mut tx).await?;
        store::backup::unpark_journal(&mut tx).await?;
        for table in TABLES.iter().filter(|table| Scope::Backup.has(table)) {
            store::backup::number_on(&mut tx, table).await?;
        }
        self.check_whole(&mut tx).await?;
        if let Source::Mainflux(items) = &*self.source {
            self.skipped.insert("group_memberships", items.memberships);
        }
        let rows: u64 = self.restored.values().sum();
        let mut changes = Changes::default().made("rows", rows);
        if let Source::Ours(head) = &*self.source {
            changes = changes.made("made_at", &head.made_at);
        }
        let entry = Entry::about(Via::PlatformAdmin, "platform.restored", Subject::platform()).with(changes);
        // Their account may be another one by now.
        let account = restorer.id();
        let mut call = call.clone();
        if let Actor::User(user) = &mut call.actor {
            user.id = account;
        }
        journal::commit(registry, tx, &call, vec![entry], ()).await?;
        self.skipped.retain(|_, count| *count > 0);
        Ok(Restored { tables: self.restored.clone(), left_out: self.skipped.clone(), account })
    }

    /// Stores all rows as they are read.
    async fn fill(&mut self, tx: &mut Tx, restorer: &mut Restorer, owner: UserId) -> Result<()> {
        let (send, mut batches) = mpsc::channel::<Result<Batch>>(AHEAD);
        let (registry, file, source) =
            (Arc::clone(self.registry), Arc::clone(&self.file), Arc::clone(&self.source));
        let now = tx.now();
        tokio::task::spawn_blocking(move || {
            let read = match &*source {
                Source::Ours(head) => reading::rows(&file, head, &send),
                Source::Mainflux(_) => mainflux::rows(&file, &registry, owner, now, &send),
            };
            end(&send, read);
        });
        while let Some(batch) = batches.recv().await {
            let mut batch = batch?;
            let count = batch.rows.len() as u64;
            self.judge(tx, &batch).await?;
            if batch.table.name == "users" {
                if let Some(at) = restorer.look(tx, batch.table, &batch.rows).await? {
                    batch.rows.remove(at);
                    batch.places.remove(at);
                }
            }
            if batch.table.name == "thing_key_material" && self.registry.readback == Readback::Never {
                *self.skipped.entry(batch.table.name).or_default() += count;
            } else {
                if let Err(fault) = store::backup::insert(tx, batch.table, &batch.rows).await? {
                    let field = format!("{}.{}", batch.table.name, fault.field);
                    return Err(refusal(batch.place(fault.at), &field, fault.reason));
                }
                *self.restored.entry(batch.table.name).or_default() += count;
            }
            self.done.fetch_add(count, Ordering::Relaxed);
        }
        Ok(())
    }

    /// What rows of credentials have to do with those of the things that they belong to.
    async fn judge(&self, tx: &mut Tx, batch: &Batch) -> Result<()> {
        let table = batch.table;
        if !matches!(table.name, "things" | "credential_index" | "thing_key_material" | "retired_credentials")
        {
            return Ok(());
        }
        let wrong = |at: usize, field: &str, reason: &str| {
            Err(refusal(batch.place(at), &format!("{}.{field}", table.name), reason))
        };
        let keyring = &self.registry.keyring;
        let verifier_column = if table.name == "things" { "key" } else { "verifier" };
        for (at, row) in batch.rows.iter().enumerate() {
            let verifier = table.cell(row, verifier_column).text();
            if verifier.is_some_and(|verifier| !keyring.names_own_pepper(verifier)) {
                return wrong(at, verifier_column, "was made with another pepper than this installation's");
            }
        }
        if !matches!(table.name, "credential_index" | "thing_key_material") {
            return Ok(());
        }
        let ids: Vec<Uuid> = batch.rows.iter().filter_map(|row| table.cell(row, "thing_id").id()).collect();
        let known: BTreeMap<Uuid, store::backup::KeyOfThing> =
            store::backup::keys_of(tx, &ids).await?.into_iter().map(|key| (key.thing, key)).collect();
        for (at, row) in batch.rows.iter().enumerate() {
            // A thing that is not there is told of by the database.
            let Some(id) = table.cell(row, "thing_id").id() else { continue };
            let Some(thing) = known.get(&id) else { continue };
            if table.name == "thing_key_material" {
                let opened =
                    keyring.open(id.as_bytes(), table.cell(row, "sealed").bytes().unwrap_or_default());
                let opened = opened.ok().and_then(|key| std::str::from_utf8(&key).ok().map(Secret::new));
                if opened.is_none_or(|key| keyring.verifier(&key).as_str() != thing.key) {
                    return wrong(at, "sealed", "does not hold the thing's key");
                }
                continue;
            }
            let verifier = table.cell(row, "verifier").text().unwrap_or_default();
            let expires = *table.cell(row, "not_after") != Cell::Null;
            match table.cell(row, "kind").text().and_then(IndexedAs::parse) {
                Some(IndexedAs::Key) if verifier != thing.key => {
                    return wrong(at, "verifier", "is not that of the thing's key");
                }
                Some(IndexedAs::External) => {
                    let is = thing.external.as_ref().map(|key| keyring.verifier(&Secret::new(key.as_str())));
                    if is.is_none_or(|is| is.as_str() != verifier) {
                        return wrong(at, "verifier", "is not that of the thing's external key");
                    }
                }
                Some(IndexedAs::Previous) if !expires => {
                    return wrong(at, "not_after", "must say when the previous key ends");
                }
                _ => {}
            }
            let kind = table.cell(row, "kind").text();
            if expires && kind != Some(IndexedAs::Previous.as_str()) {
                return wrong(at, "not_after", "must be null: only previous keys end by themselves");
            }
        }
        Ok(())
    }

    /// What is true of rows together (V1, V2, V3, V8), now that all are there.
    async fn check_whole(&self, tx: &mut Tx) -> Result<()> {
        for rule in WHOLE {
            let Some((first, second)) = store::backup::offender(tx, rule).await? else { continue };
            let ids = [Some(first), second];
            let wanted: Vec<(&str, Uuid)> =
                rule.columns.iter().zip(ids).filter_map(|(column, id)| Some((*column, id?))).collect();
            let (file, source) = (Arc::clone(&self.file), Arc::clone(&self.source));
            let place = blocking(move || match &*source {
                Source::Ours(_) => reading::find(&file, rule.table, &wanted),
                Source::Mainflux(_) => mainflux::find(&file, rule.table, first),
            });
            let field = format!("{}.{}", rule.table, rule.field);
            return Err(refusal(place.await?, &field, rule.reason));
        }
        Ok(())
    }
}

/// Tells how reading went, if that is not plain from what was handed on.
fn end(to: &Batches, read: Result<()>) {
    if let Err(error) = read {
        // Whoever takes no more has failed already.
        let _ = to.blocking_send(Err(error));
    }
}

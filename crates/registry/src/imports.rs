//! Imports: things of one group from a file, up to a million; and exports, their mirror.
//!
//! Rows come in batches of [`BATCH`], already checked, from a [`Source`] that can be read again. All of
//! them go into one transaction, or each batch into its own (`partial`), in which what cannot be done is
//! rejected row by row. An import with an Idempotency-Key writes down in each transaction how far it is, and
//! goes on there when it is repeated; its generated keys are derived ([`ImportKeys`]), so that it answers
//! the same ones although none was kept.

mod batch;
mod holders;
mod keys;
mod run;
mod upsert;

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

pub use keys::ImportKeys;

use crate::{
    Registry,
    access::{self, Edit, Permit, View},
    actor::Call,
    credentials::{ExternalKey, ThingKey},
    error::{ConflictKind, Error, FieldError, Result},
    ids::{GroupId, ProfileId, ThingId},
    json::JsonObject,
    store::{self, imports::Kept},
    text::{ProfileName, ThingName},
    things::{ThingStatus, ThingType},
};

/// The most rows of one import.
pub const MAX_ROWS: u64 = 1_000_000;
/// How many rows are written at a time, and in one transaction of a partial import.
pub const BATCH: usize = 1_000;
/// The most profiles that an import may name.
pub const MAX_PROFILES: usize = 1_000;
/// How many things an export reads at a time.
const PAGE: usize = 1_000;

/// What an import does, beside its rows.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// Where things go.
    pub group: GroupId,
    /// The profile of rows that name none.
    pub profile: Option<ProfileId>,
    /// How rows find the things that are there already; `None` to make new ones only.
    pub upsert: Option<MatchBy>,
    /// Whether rows that cannot be done are rejected one by one, rather than all with them.
    pub partial: bool,
}

/// By what a row finds its thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatchBy {
    /// By its id.
    Id,
    /// By its external key.
    ExternalKey,
    /// By its name.
    Name,
}

/// A profile as a row names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ProfileRef {
    /// By id.
    Id(ProfileId),
    /// By its name in the group.
    Name(ProfileName),
}

/// One row. What is `None` is made, or stays as it is.
#[derive(Clone, Debug)]
pub struct ImportRow {
    /// Which row it is, from 1.
    pub row: u64,
    /// On which line of the file it begins, from 1.
    pub line: u64,
    /// The thing's id.
    pub id: Option<ThingId>,
    /// Its name.
    pub name: Option<ThingName>,
    /// Its kind.
    pub kind: Option<ThingType>,
    /// Its profile.
    pub profile: Option<ProfileRef>,
    /// Its key.
    pub key: Option<ThingKey>,
    /// Its external key.
    pub external_key: Option<ExternalKey>,
    /// Whether it can authenticate.
    pub status: Option<ThingStatus>,
    /// All of its metadata.
    pub metadata: Option<JsonObject>,
}

/// A row that cannot be done, and why.
#[derive(Clone, Debug)]
pub struct Rejection {
    /// Which row it is, from 1.
    pub row: u64,
    /// On which line of the file it begins.
    pub line: u64,
    /// All that is wrong with it.
    pub errors: Vec<FieldError>,
}

/// Some rows of a file, in order: [`BATCH`], unless they are long or the last ones.
pub struct Batch {
    /// The rows, or what is wrong with them.
    pub rows: Vec<std::result::Result<ImportRow, Rejection>>,
    /// A digest of the file from its beginning to the end of these rows, and of how it is to be read.
    pub digest: [u8; 32],
}

/// The batches of a file, from its beginning.
pub trait Source: Iterator<Item = Result<Batch>> + Send {}
impl<T: Iterator<Item = Result<Batch>> + Send> Source for T {}

/// Opens the file anew each time.
pub type Open = Arc<dyn Fn() -> Result<Box<dyn Source>> + Send + Sync>;

/// Hears what becomes of rows. It does not wait for anybody.
pub trait Report: Send {
    /// A thing was made; `generated` if its key is [`ImportKeys::key`] of the row.
    fn created(&mut self, row: &ImportRow, id: ThingId, generated: bool) -> Result<()>;
    /// A row was not done.
    fn rejected(&mut self, rejection: &Rejection) -> Result<()>;
    /// So many rows have been dealt with, though perhaps not for good.
    fn progress(&mut self, rows_done: u64);
    /// All that was told so far has happened.
    fn settled(&mut self) -> Result<()>;
    /// What was told since it last was settled has not.
    fn undone(&mut self) -> Result<()>;
}

/// How many rows became what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All that were dealt with.
    pub rows_done: u64,
    /// Made a thing.
    pub created: u64,
    /// Changed one.
    pub updated: u64,
    /// Found one that was so already.
    pub unchanged: u64,
    /// Were not done.
    pub rejected: u64,
}

/// An import that may begin.
pub struct Import {
    options: ImportOptions,
    keys: ImportKeys,
    repeatable: Option<Repeatable>,
    started_at: crate::Timestamp,
}

/// One that can be repeated.
struct Repeatable {
    digest: Vec<u8>,
    /// How far it was when it was cut off.
    kept: Option<Kept>,
    /// Nobody else does the same meanwhile, in this process; others notice at their next batch.
    _alone: Alone,
}

impl Import {
    /// Where its keys come from.
    pub fn keys(&self) -> &ImportKeys {
        &self.keys
    }

    /// How many rows are done already.
    pub fn rows_done(&self) -> u64 {
        self.kept().map_or(0, |kept| kept.counts.rows_done)
    }

    fn kept(&self) -> Option<&Kept> {
        self.repeatable.as_ref()?.kept.as_ref()
    }
}

/// A thing as it is exported: without its key.
#[derive(Clone, Debug, PartialEq)]
pub struct Exported {
    /// Its id.
    pub id: ThingId,
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: ThingType,
    /// Its profile's name.
    pub profile: String,
    /// Its external key.
    pub external_key: Option<String>,
    /// Its metadata.
    pub metadata: JsonObject,
    /// Whether it can authenticate.
    pub status: ThingStatus,
}

/// The imports under way, by their digests.
#[derive(Clone, Default)]
pub(crate) struct UnderWay(Arc<Mutex<HashSet<Vec<u8>>>>);

struct Alone(UnderWay, Vec<u8>);

impl UnderWay {
    fn enter(&self, digest: &[u8]) -> Result<Alone> {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match running.insert(digest.to_vec()) {
            true => Ok(Alone(self.clone(), digest.to_vec())),
            false => Err(Error::conflict(ConflictKind::InFlight)),
        }
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

impl Registry {
    /// Whether the caller may import into the group, and how far an import under this key is. Asked before
    /// a file is taken in; whether it still holds is asked again in each transaction.
    pub async fn begin_import(
        &self,
        call: &Call,
        options: ImportOptions,
        idempotency_key: Option<&str>,
    ) -> Result<Import> {
        let mut conn = self.db.read().await?;
        let _: Permit<Edit, GroupId> = access::permit(&mut conn, call, options.group).await?;
        let now = conn.now(&self.db.clock).await?;
        let Some(key) = idempotency_key else {
            let keys = ImportKeys::random(now)?;
            return Ok(Import { options, keys, repeatable: None, started_at: now });
        };
        let name = format!("{}\n{}\n{key}", call.principal(), options.group);
        let digest = self.keyring.mac("import/1", name.as_bytes());
        let alone = self.importing.enter(&digest)?;
        let kept = store::imports::find(&mut conn, &digest, now).await?;
        let started_at = kept.as_ref().map_or(now, |kept| kept.started_at);
        let keys = ImportKeys::repeatable(&self.keyring, &name, started_at);
        let repeatable = Some(Repeatable { digest, kept, _alone: alone });
        Ok(Import { options, keys, repeatable, started_at })
    }

    /// Whether what is done of a repeated import was the same: by the digests at the ends of a file's batches,
    /// each with how many rows it covers. It may have ended within the last of them.
    pub fn same_import(&self, import: &Import, digests: &[(u64, [u8; 32])]) -> Result<()> {
        let Some(kept) = import.kept() else { return Ok(()) };
        let same = digests
            .iter()
            .find(|(rows, _)| *rows >= kept.counts.rows_done)
            .is_some_and(|(_, digest)| self.content_digest(digest) == kept.content);
        if same { Ok(()) } else { Err(Error::ReplayMismatch) }
    }

    /// What the database keeps of a file's digest. Keyed, since rows may hold keys.
    fn content_digest(&self, digest: &[u8; 32]) -> Vec<u8> {
        self.keyring.mac("import-content/1", digest)
    }

    /// The group's things behind `after`, by ascending id; none at the end.
    pub async fn export_things(
        &self,
        call: &Call,
        group: GroupId,
        after: Option<ThingId>,
    ) -> Result<Vec<Exported>> {
        let mut conn = self.db.read().await?;
        let permit: Permit<View, GroupId> = access::permit(&mut conn, call, group).await?;
        store::imports::page(&mut conn, &permit, after, PAGE).await
    }
}

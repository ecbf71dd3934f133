//! A database of Mainflux Things becomes one of ours, in place, while devices go on authenticating.
//!
//! First the tables are brought to the seed's shape, ours are added, and every credential is indexed (phase
//! A): `things.key` stays as it is, so that Mainflux goes on working, and everything done so far can be
//! undone. Then each key gives way to its verifier (phase B). Both go in batches, and a run that was
//! killed is taken up where it was; `docs/adr/0024-adoption-in-two-phases.md` has the reasons.

mod keys;
mod look;
pub mod people;
pub(crate) mod rules;

use std::time::Duration;

pub use look::{Look, Tell};
pub use people::People;
pub use rules::{Fate, Offence, Rule};

use crate::{
    Settings,
    credentials::{self, Readback},
    ids::OrgId,
    journal::{Changes, Entry, Subject},
    secret::Keyring,
    store::{self, Db, Tx},
};
use crate::{access::Via, actor::Call};

/// Why a database is not adopted, or not yet.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be, as it is; nothing was changed since the last thing that was told.
    #[error("{0}")]
    Refused(String),
    /// Something did not work.
    #[error(transparent)]
    Registry(#[from] crate::Error),
}

impl Error {
    pub(crate) fn refused(reason: String) -> Self {
        Self::Refused(reason)
    }

    /// Whether the same may work in a moment: somebody holds a lock.
    fn passes(&self) -> bool {
        matches!(self, Self::Registry(crate::Error::Unavailable | crate::Error::Collision))
    }
}

/// The result of a step.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// How far an adoption has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Nothing was changed yet.
    New,
    /// The tables are ours; credentials are being indexed.
    Indexing,
    /// Every credential is indexed: both programs let devices in.
    Indexed,
    /// Keys are verifiers; only ours does.
    Finished,
}

/// How far a phase has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Things that were dealt with, those of earlier runs included.
    pub done: u64,
    /// How many there were when the phase began.
    pub total: u64,
}

/// How often a step is tried while somebody else holds a lock that it needs: about half a minute.
const TRIES: u32 = 60;
const PAUSE: Duration = Duration::from_millis(300);

/// An adoption under way; while it is held, nobody else can adopt the same database.
pub struct Adoption {
    db: Db,
    keyring: Keyring,
    readback: Readback,
    node: uuid::Uuid,
    _alone: store::adopt::Alone,
}

/// Does it again while it fails for a reason that passes.
macro_rules! patiently {
    ($attempt:expr) => {{
        let mut tries = 0;
        loop {
            match $attempt.await {
                Err(error) if error.passes() && tries < $crate::adopt::TRIES => {
                    $crate::back_off(tries).await;
                    tokio::time::sleep($crate::adopt::PAUSE).await;
                    tries += 1;
                }
                outcome => break outcome,
            }
        }
    }};
}
use patiently;

impl Adoption {
    /// Connects, and changes nothing.
    pub async fn open(settings: Settings) -> Result<Self> {
        let db = Db::connect(&settings.database_url, settings.connections, settings.clock.clone()).await?;
        let Some(alone) = db.adopt_alone().await? else {
            return Err(Error::refused("another `things adopt` is at work on this database".to_owned()));
        };
        let node = credentials::nodes::name()?;
        Ok(Self { db, keyring: settings.keyring, readback: settings.readback, node, _alone: alone })
    }

    /// From now on with these keys, which are the installation's for good once something is written.
    pub fn use_keys(&mut self, keyring: Keyring) {
        self.keyring = keyring;
    }

    /// How far it has come. A database that was ours from the beginning is refused.
    pub async fn stage(&self) -> Result<Stage> {
        let mut conn = self.db.read().await?;
        let state = store::adopt::state(&mut conn).await?;
        if state.is_none() && store::adopt::is_ours(&mut conn).await? {
            return Err(Error::refused(
                "this database is one of Things already, and never was Mainflux's: there is nothing to adopt"
                    .to_owned(),
            ));
        }
        Ok(match state {
            None => Stage::New,
            Some(state) if state.finished_at.is_some() => Stage::Finished,
            Some(state) if state.indexed_at.is_some() => Stage::Indexed,
            Some(_) => Stage::Indexing,
        })
    }

    /// What the database was when its adoption began, for a person.
    pub async fn source(&self) -> Result<String> {
        let state = store::adopt::state(&mut self.db.read().await?).await?;
        Ok(state.map(|state| state.source).unwrap_or_default())
    }

    /// How many other programs are connected to the database: Mainflux, perhaps.
    pub async fn others(&self) -> Result<i64> {
        Ok(store::adopt::look::others(&mut self.db.read().await?).await?)
    }

    /// Makes the tables the seed's and adds ours, and mends what can be. Mainflux goes on working.
    pub async fn begin(&self, look: &Look) -> Result<()> {
        patiently!(self.make_tables(look))?;
        self.prepare().await
    }

    /// The part of [`Adoption::begin`] that a killed run may have left undone.
    pub async fn prepare(&self) -> Result<()> {
        patiently!(self.migrate())?;
        patiently!(self.check_keys())?;
        self.mend().await
    }

    /// Puts right what can be, also of what Mainflux has written since it was done last.
    pub async fn mend(&self) -> Result<()> {
        for table in look::NAMED {
            self.mend_names(table).await?;
        }
        patiently!(self.mend_rows())
    }

    async fn make_tables(&self, look: &Look) -> Result<()> {
        let mut tx = self.db.write().await?;
        store::adopt::shape::begin(&mut tx, &look.plan).await?;
        Ok(tx.commit_raw().await?)
    }

    async fn migrate(&self) -> Result<()> {
        // Waiting for Mainflux's locks looks to sqlx like any other error, and is worth another try.
        self.db.migrate().await.map_err(|error| match error {
            crate::Error::Internal(source) if source.to_string().contains("lock timeout") => {
                Error::Registry(crate::Error::Unavailable)
            }
            error => error.into(),
        })
    }

    async fn check_keys(&self) -> Result<()> {
        let mut tx = self.db.write().await?;
        store::credentials::check_canary(&mut tx, &self.keyring).await?;
        Ok(tx.commit_raw().await?)
    }

    async fn mend_rows(&self) -> Result<()> {
        let mut tx = self.db.write().await?;
        store::adopt::mend::rows(&mut tx).await?;
        store::adopt::mend::orgs(&mut tx).await?;
        Ok(tx.commit_raw().await?)
    }

    /// Tidies the names and descriptions of a table, a batch at a time. Done twice it changes nothing.
    async fn mend_names(&self, table: look::Named) -> Result<()> {
        let mut after = None;
        loop {
            let rows = store::adopt::look::page(&mut self.db.read().await?, table, after).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = Some(last.id);
            let renamed: Vec<_> = rows
                .iter()
                .filter_map(|row| Some((row.id, row.name.clone(), table.tidy(row.id, &row.name).ok()??)))
                .collect();
            if !renamed.is_empty() {
                patiently!(self.rename(table, &renamed)).map_err(|error| match error {
                    // Written since the look.
                    Error::Registry(crate::Error::Conflict(_)) => Error::refused(format!(
                        "a name in {} has been taken that another is to get once it is tidied: run this again, it tells \
                         which",
                        table.table()
                    )),
                    error => error,
                })?;
            }
            let described: Vec<_> = rows
                .iter()
                .filter_map(|row| Some((row.id, row.description.clone()?, row.tidy_description().ok()??)))
                .collect();
            if !described.is_empty() {
                patiently!(self.describe(&described))?;
            }
        }
    }

    async fn rename(&self, table: look::Named, renamed: &[(uuid::Uuid, String, String)]) -> Result<()> {
        let mut tx = self.db.write().await?;
        let done = store::adopt::mend::names(&mut tx, table, renamed).await?;
        let entries: Vec<Entry> = done
            .into_iter()
            .map(|(id, org, group, before, after)| {
                let (action, subject) = table.about(id, &after);
                Entry::about(Via::System, action, subject)
                    .at(Some(org), Some(group))
                    .with(Changes::default().field("name", &before, &after))
            })
            .collect();
        self.commit(tx, entries).await
    }

    /// Only groups have descriptions.
    async fn describe(&self, described: &[(uuid::Uuid, String, String)]) -> Result<()> {
        let mut tx = self.db.write().await?;
        let done = store::adopt::mend::descriptions(&mut tx, described).await?;
        let entries: Vec<Entry> = done
            .into_iter()
            .map(|(group, org, name, before, after)| {
                Entry::about(Via::System, "group.updated", Subject::group(group, &name))
                    .at(Some(org), Some(group))
                    .with(Changes::default().field("description", &before, &after))
            })
            .collect();
        self.commit(tx, entries).await
    }

    /// Commits with the journal's entries, and tells the other processes on this database what changed.
    async fn commit(&self, mut tx: Tx, entries: Vec<Entry>) -> Result<()> {
        store::journal::append(&mut tx, &Call::system("adopt"), &entries).await?;
        let marks = tx.take_marks();
        store::nodes::announce(&mut tx, self.node, &marks).await?;
        Ok(tx.commit_raw().await?)
    }

    /// Lets go of the database.
    pub async fn close(self) {
        drop(self._alone);
        self.db.close().await;
    }
}

/// An entry about an organisation that came along.
fn org_adopted(id: OrgId, name: &str) -> Entry {
    Entry::about(Via::System, "org.adopted", Subject::org(id, name)).in_org(id)
}

//! What is true: the nouns of the device registry, their rules, permissions and persistence.
//!
//! [`Registry`] is the only public handle. Each use case is a method on it, takes the [`Call`] that
//! asks for it, runs in one transaction and answers in the registry's own words ([`Error`]); nothing
//! here knows HTTP. The map:
//!
//! | module | rule |
//! |---|---|
//! | [`actor`] | who asks |
//! | [`access`] | who may: roles, permits, what lists show |
//! | [`text`], [`json`], [`secret`], [`ids`], [`clock`] | what is valid |
//! | [`identity`] | people, sessions, tokens, organisations |
//! | [`groups`], [`memberships`], [`invites`], [`profiles`], [`things`], [`credentials`] | the nouns |
//! | [`imports`], [`dry_run`] | things by the thousand, from and to files; what a change would do |
//! | [`trusted`] | what trusted services ask without a person |
//! | [`topics`] | what a thing may do on a broker |
//! | [`backup`] | everything at once: backups, restores, moves between engines |
//! | [`journal`], [`mail`] | what happened, and who is written to about it |
//! | [`adopt`] | a Mainflux database becomes one of ours |
//! | `store` | SQL, engines, locks, conflicts |

#[macro_use]
mod planted;
#[macro_use]
mod use_case;

pub mod access;
pub mod actor;
pub mod adopt;
pub mod backup;
pub mod clock;
pub mod credentials;
pub mod doctor;
pub mod dry_run;
pub mod error;
pub mod groups;
pub mod identity;
pub mod ids;
pub mod imports;
pub mod invites;
pub mod journal;
pub mod json;
pub mod mail;
pub mod members;
mod memberships;
pub mod page;
pub mod profiles;
pub mod secret;
mod store;
pub mod text;
pub mod things;
pub mod topics;
pub mod trusted;
pub mod version;

use std::{sync::Arc, time::Duration};

pub use access::{Role, Via};
pub use actor::{Actor, Call, PlatformRole, UserActor, Within};
pub use clock::{Clock, Timestamp};
pub use dry_run::DryRun;
pub use error::{Conflict, ConflictKind, Denial, Error, FieldError, Result};
pub use identity::{
    orgs::{NewOrg, Org, OrgFilter, OrgOrder, OrgUpdate},
    password::{Password, PasswordCost, PasswordError},
    sessions::NewSession,
    tokens::{AccessToken, CreatedToken, NewToken, TokenOrder},
    users::{RootMade, User, UserFilter, UserOrder, UserStatus},
};
pub use ids::{GroupId, Ids, InviteId, MailId, OrgId, ProfileId, SessionId, ThingId, TokenId, UserId};
pub use invites::{
    GroupOffer, Invite, InviteFilter, InviteKind, InviteLimits, InviteMode, InviteOrder, InviteState,
    Invited, Joined, Joining, NewGroupInvite, NewOrgInvite,
};
pub use json::JsonObject;
pub use members::{Member, MemberFilter, MemberOrder, MemberRef, NewMember, RoleChange};
pub use page::{Dir, Page, PageQuery};
pub use secret::{Keyring, Secret, Verifier};
pub use version::{Expect, Version};

use store::{Db, Tx, replay::Claim};

/// The most items one bulk request may hold.
pub const MAX_BULK: usize = 1_000;

/// How the registry is set up. Everything from outside comes in here.
pub struct Settings {
    /// `sqlite:PATH` or `postgres://…`.
    pub database_url: String,
    /// How many connections to the database at most.
    pub connections: u32,
    /// The installation's keys.
    pub keyring: Keyring,
    /// The clock.
    pub clock: Clock,
    /// Whether copies of things' keys are kept.
    pub readback: credentials::Readback,
    /// How many credentials of devices are kept in memory, about 200 bytes each; 0 for none.
    pub cached_credentials: usize,
    /// How long devices are answered from memory while the database does not answer. Revoking a credential
    /// takes up to a second and as long as this when another process on the same database is cut off.
    pub auth_grace: Duration,
    /// How many days a log-in lasts.
    pub session_days: u32,
    /// Whether anybody may make themselves an account.
    pub open_registration: bool,
    /// How many invites there may be, and how long they last.
    pub invites: InviteLimits,
    /// What a password's hash costs.
    pub password_cost: PasswordCost,
    /// How many passwords are hashed at a time; by default all cores but one, and at most two.
    pub hashing_permits: Option<usize>,
    /// Whether mail is sent. If not, nothing is kept that would have to be, and nobody is invited whose way
    /// in is the secret in a mail.
    pub mail: bool,
}

impl Settings {
    /// The defaults: 10 connections, the machine's clock, keys readable by editors, 200,000 credentials
    /// in memory, log-ins that last 14 days, no open registration, passwords hashed at full cost, mail kept for a worker.
    pub fn new(database_url: impl Into<String>, keyring: Keyring) -> Self {
        Self {
            database_url: database_url.into(),
            connections: 10,
            keyring,
            clock: Clock::system(),
            readback: credentials::Readback::default(),
            cached_credentials: 200_000,
            auth_grace: Duration::from_secs(1),
            session_days: 14,
            open_registration: false,
            invites: InviteLimits::default(),
            password_cost: PasswordCost::Standard,
            hashing_permits: None,
            mail: true,
        }
    }
}

/// The registry: every use case is a method. Cheap to share behind an [`Arc`].
pub struct Registry {
    pub(crate) db: Db,
    pub(crate) keyring: Keyring,
    pub(crate) ids: Ids,
    pub(crate) readback: credentials::Readback,
    pub(crate) identity: identity::Identity,
    pub(crate) invites: InviteLimits,
    pub(crate) devices: credentials::Devices,
    /// What this process calls itself among those on one database.
    pub(crate) node: uuid::Uuid,
    pub(crate) probes: credentials::probes::Probes,
    /// Held by a dry run of an import on SQLite: one after the other, so that changes wait for one at most.
    pub(crate) rehearsal: tokio::sync::Mutex<()>,
    pub(crate) outbox: mail::Outbox,
    pub(crate) backups: backup::Turns,
    pub(crate) importing: imports::UnderWay,
}

impl Registry {
    /// Connects, brings the schema up to date, and checks that the keys are this database's.
    pub async fn open(settings: Settings) -> Result<Arc<Self>> {
        let identity = identity::Identity::new(&settings)?;
        let db = Db::open(&settings.database_url, settings.connections, settings.clock.clone()).await?;
        let mut tx = db.write().await?;
        store::credentials::check_canary(&mut tx, &settings.keyring).await?;
        if settings.readback == credentials::Readback::Never {
            let forgotten = store::credentials::forget_copies(&mut tx).await?;
            store::replay::forget(&mut tx).await?;
            store::imports::forget(&mut tx).await?;
            if forgotten > 0 {
                tracing::info!(forgotten, "read-back is off: the sealed copies of keys were deleted");
            }
        }
        if store::users::any_bcrypt(&mut tx).await? {
            identity.hashing.expect_bcrypt();
        }
        tx.commit_raw().await?;
        Self::with(db, identity, settings)
    }

    /// Whether a database has our schema, of whichever version; without it there is nothing to examine.
    pub async fn has_schema(database_url: &str) -> Result<bool> {
        let db = Db::connect(database_url, 1, Clock::system()).await?;
        let found = async { store::doctor::has_schema(&mut db.read().await?).await }.await;
        db.close().await;
        found
    }

    /// Connects to a database that has a schema already and changes nothing in it: for examinations. The
    /// keys are checked only where the schema is this program's.
    pub async fn attach(settings: Settings) -> Result<Arc<Self>> {
        let identity = identity::Identity::new(&settings)?;
        let db = Db::connect(&settings.database_url, settings.connections, settings.clock.clone()).await?;
        let applied = store::doctor::newest_migration(&mut db.read().await?).await?;
        if applied == Db::newest_migration() {
            // Rolled back: a database without a canary is left without.
            store::credentials::check_canary(&mut db.write().await?, &settings.keyring).await?;
        }
        Self::with(db, identity, settings)
    }

    fn with(db: Db, identity: identity::Identity, settings: Settings) -> Result<Arc<Self>> {
        let probes = credentials::probes::Probes::new(db.clock.clone());
        let alone = !db.is_shared();
        Ok(Arc::new(Self {
            db,
            keyring: settings.keyring,
            ids: Ids::default(),
            readback: settings.readback,
            identity,
            invites: settings.invites,
            devices: credentials::Devices::new(settings.cached_credentials, alone, settings.auth_grace),
            node: credentials::nodes::name()?,
            probes,
            rehearsal: tokio::sync::Mutex::default(),
            outbox: mail::Outbox::new(settings.mail),
            backups: backup::Turns::default(),
            importing: imports::UnderWay::default(),
        }))
    }

    /// What a person calls the database engine: `SQLite` or `PostgreSQL`.
    pub fn engine(&self) -> &'static str {
        self.db.engine_name()
    }

    /// The clock everything reads.
    pub fn clock(&self) -> &Clock {
        &self.db.clock
    }

    /// Removes what has expired: kept answers, previous keys, sessions, password resets, and mails that
    /// are over; and ends invites that are past due. Expiry itself is decided where it matters; this only
    /// tidies up. Returns how many rows went or ended.
    pub async fn sweep(&self) -> Result<u64> {
        let ended = self.expire_invites().await?;
        let mut tx = self.db.write().await?;
        let removed = store::replay::sweep(&mut tx).await?
            + store::imports::sweep(&mut tx).await?
            + store::credentials::sweep(&mut tx).await?
            + store::sessions::sweep(&mut tx).await?
            + store::mails::sweep(&mut tx).await?
            + store::nodes::sweep(&mut tx).await?;
        // Counted by nobody: these rows say nothing that the journal does not.
        let since = tx.now().before(invites::InviteLimits::WINDOW);
        store::invites::sweep_sent(&mut tx, since).await?;
        tx.commit_raw().await?;
        Ok(removed + ended)
    }

    /// Lets go of the database.
    pub async fn close(&self) {
        self.db.close().await;
    }

    /// Opens a use case's transaction and settles whether the request is a repetition.
    pub(crate) async fn begin(&self, call: &Call) -> Result<Begun> {
        if let Some(dry_run) = &call.dry_run {
            dry_run.begin();
        }
        let mut tx = self.db.write().await?;
        // Between the head of a request and here its body arrived, which may have taken a while.
        if let Actor::User(user) = &call.actor
            && !store::sessions::holds(&mut tx, user).await?
        {
            return Err(Error::Unauthenticated);
        }
        if let Some(replay) = call.replay.as_ref().map(|replay| replay.digests(&self.keyring))
            && let Claim::Done(sealed) = store::replay::claim(&mut tx, &replay).await?
        {
            let record = self.keyring.open(&replay.name, &sealed)?;
            self.until_settled(tx).await?;
            return Ok(Begun::Repeated(record));
        }
        Ok(Begun::New(tx))
    }

    /// What a repeated request was answered the first time, if it is one: for use cases that look at
    /// something, before they begin, which their own effect changes.
    pub(crate) async fn answered<T: serde::de::DeserializeOwned>(&self, call: &Call) -> Result<Option<T>> {
        if call.replay.is_none() {
            return Ok(None);
        }
        match self.begin(call).await? {
            Begun::New(_) => Ok(None),
            Begun::Repeated(record) => Begun::repeated(&record).map(Some),
        }
    }
}

/// What [`Registry::begin`] found.
pub(crate) enum Begun {
    New(Tx),
    /// The answer of the first time.
    Repeated(zeroize::Zeroizing<Vec<u8>>),
}

impl Begun {
    pub(crate) fn repeated<T: serde::de::DeserializeOwned>(record: &[u8]) -> Result<T> {
        serde_json::from_slice(record).map_err(Error::internal)
    }
}

/// How often colliding transactions are repeated before the client is told to come back.
pub(crate) const MAX_COLLISIONS: u32 = 5;

/// Waits a little longer, and a little less predictably, each time.
pub(crate) async fn back_off(collisions: u32) {
    let mut jitter = [0u8];
    // Without randomness the wait is only less even.
    let _ = secret::random(&mut jitter);
    let most = 5u64 << collisions.min(6);
    tokio::time::sleep(Duration::from_millis(1 + most * u64::from(jitter[0]) / 255)).await;
}

//! Accounts: made at the first start, by the platform's administrators or by registration; enabled
//! or disabled, never deleted, so that no id ever means somebody else.

use serde::{Deserialize, Serialize};

use super::password::{Password, PasswordError};
use crate::{
    Registry,
    access::{self, AccountPermit, PlatformPermit, RegistrationPermit},
    actor::{Call, PlatformRole},
    clock::Timestamp,
    error::{ConflictKind, Error, Result},
    ids::UserId,
    journal::{self, Changes, Entry, Subject},
    json::JsonObject,
    page::{Page, PageQuery},
    secret::Secret,
    store::{
        self, lock,
        lock::{GroupLock, OrgLock},
    },
    text::{Email, SearchText},
    version::{Expect, Version},
};

/// A person's account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// Unique.
    pub email: Email,
    /// Free-form.
    pub metadata: JsonObject,
    /// Whether the person can log in.
    pub status: UserStatus,
    /// What the person is to the whole platform.
    pub platform_role: Option<PlatformRole>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl User {
    /// What an ETag is made of.
    pub fn version(&self) -> Version {
        Version::of(&(self.id, &self.email, &self.metadata, self.status, self.platform_role, self.updated_at))
    }
}

/// Whether a person can log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UserStatus {
    /// They can.
    Enabled,
    /// They cannot, and no session or token of theirs works.
    Disabled,
}

impl UserStatus {
    /// As stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
        }
    }

    /// From text.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Enabled, Self::Disabled].into_iter().find(|status| status.as_str() == text)
    }

    /// From storage; anything unknown is no access.
    pub(crate) fn from_stored(text: &str) -> Self {
        Self::parse(text).unwrap_or(Self::Disabled)
    }
}

/// Which accounts.
#[derive(Clone, Debug, Default)]
pub struct UserFilter {
    /// Part of the address, upper and lower case alike.
    pub email: Option<SearchText>,
    /// With this status.
    pub status: Option<UserStatus>,
    /// Metadata that contains this.
    pub metadata: Option<JsonObject>,
}

/// What accounts are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum UserOrder {
    /// By id: the order of creation.
    #[default]
    Id,
    /// By address, by code point.
    Email,
    /// By the time of creation.
    CreatedAt,
    /// By the time of the last change.
    UpdatedAt,
}

/// The first account, just made.
#[derive(Clone, Debug)]
pub struct RootMade {
    /// Its address.
    pub email: Email,
    /// Its password, if it was made up here: to be shown once.
    pub generated: Option<Secret>,
}

impl From<PasswordError> for Error {
    fn from(error: PasswordError) -> Self {
        Self::invalid("password", error.to_string())
    }
}

impl Registry {
    /// Makes oneself an account, where that is open to everybody.
    pub async fn register_user(
        &self,
        call: &Call,
        email: &Email,
        password: &Password,
        metadata: &JsonObject,
    ) -> Result<User> {
        let permit = access::registration(self.identity.open_registration)?;
        self.make_user(call, &permit, email, password, metadata, None).await
    }

    /// Makes somebody an account, possibly as an administrator of the platform. The root is made at
    /// the first start only.
    pub async fn create_user(
        &self,
        call: &Call,
        email: &Email,
        password: &Password,
        metadata: &JsonObject,
        platform_role: Option<PlatformRole>,
    ) -> Result<User> {
        let permit = access::platform(call, true)?.registration();
        if platform_role == Some(PlatformRole::Root) {
            return Err(Error::invalid(
                "role",
                "must be `admin` or absent: there is one root, made at the first start",
            ));
        }
        self.make_user(call, &permit, email, password, metadata, platform_role).await
    }

    async fn make_user(
        &self,
        call: &Call,
        permit: &RegistrationPermit,
        email: &Email,
        password: &Password,
        metadata: &JsonObject,
        platform_role: Option<PlatformRole>,
    ) -> Result<User> {
        password.suits(email)?;
        let hash = self.identity.hashing.hash(password.secret()).await?;
        use_case!(self, call, |tx| {
            let now = tx.now();
            let user = User {
                id: self.ids.make(now),
                email: email.clone(),
                metadata: metadata.clone(),
                status: UserStatus::Enabled,
                platform_role,
                created_at: now,
                updated_at: now,
            };
            store::users::insert(&mut tx, permit, &user, &hash).await?;
            let mut changes = Changes::default();
            if let Some(role) = platform_role {
                changes = changes.made("platform_role", role);
            }
            let entry = Entry::about(permit.via(), "user.created", Subject::user(user.id)).with(changes);
            journal::commit(self, tx, call, vec![entry], user).await
        })
    }

    /// Makes the platform's root where nobody administers it (on an empty database, or one that came from Mainflux
    /// without), with a password made up here if none is given; `None` where somebody does. Several processes may
    /// do so at once.
    pub async fn ensure_root(&self, email: Email, password: Option<Password>) -> Result<Option<RootMade>> {
        if store::users::any_platform_admin(&mut self.db.read().await?).await? {
            return Ok(None);
        }
        let generated = if password.is_none() { Some(Password::generate()?) } else { None };
        let Some(chosen) = password.as_ref().or(generated.as_ref()) else { return Ok(None) };
        chosen.suits(&email)?;
        let hash = self.identity.hashing.hash(chosen.secret()).await?;
        let call = Call::system("first-start");
        let made = use_case!(self, &call, |tx| {
            lock::all_users(&mut tx).await?;
            if store::users::any_platform_admin(&mut tx).await? {
                return Ok(false);
            }
            let permit = access::first_start(&call)?;
            let now = tx.now();
            let root = User {
                id: self.ids.make(now),
                email: email.clone(),
                metadata: JsonObject::default(),
                status: UserStatus::Enabled,
                platform_role: Some(PlatformRole::Root),
                created_at: now,
                updated_at: now,
            };
            store::users::insert(&mut tx, &permit, &root, &hash).await?;
            let changes = Changes::default().made("platform_role", PlatformRole::Root);
            let entry = Entry::about(permit.via(), "user.created", Subject::user(root.id)).with(changes);
            journal::commit(self, tx, &call, vec![entry], true).await
        })?;
        let generated = generated.map(|password| password.secret().clone());
        Ok(made.then_some(RootMade { email, generated }))
    }

    /// All accounts, for the platform's administrators.
    pub async fn list_users(
        &self,
        call: &Call,
        filter: &UserFilter,
        query: &PageQuery<UserOrder>,
    ) -> Result<Page<User>> {
        let permit = access::platform(call, false)?;
        store::users::list(&mut self.db.read().await?, &self.keyring, &permit, filter, query).await
    }

    /// One account: one's own, or any for the platform's administrators.
    pub async fn view_user(&self, call: &Call, id: UserId) -> Result<User> {
        let permit = access::account(call, id)?;
        store::users::get(&mut self.db.read().await?, &permit).await
    }

    /// One's own account.
    pub async fn view_own_user(&self, call: &Call) -> Result<User> {
        let permit = access::oneself(call, false)?.account();
        store::users::get(&mut self.db.read().await?, &permit).await
    }

    /// Changes one's own account: replaces its metadata, if any are given.
    pub async fn update_own_user(
        &self,
        call: &Call,
        metadata: Option<&JsonObject>,
        expect: &Expect,
    ) -> Result<User> {
        use_case!(self, call, |tx| {
            let permit = access::oneself(call, true)?;
            lock::users(&mut tx, &[permit.user()]).await?;
            let before = store::users::get(&mut tx, &permit.account()).await?;
            expect.check(&before.version())?;
            let metadata = metadata.unwrap_or(&before.metadata).clone();
            let mut after = User { metadata, ..before.clone() };
            let mut entries = Vec::new();
            if after != before {
                after.updated_at = tx.now();
                store::users::update_metadata(&mut tx, &permit, &after).await?;
                let changes = Changes::default().field("metadata", &before.metadata, &after.metadata);
                let subject = Subject::user(after.id);
                entries.push(Entry::about(permit.account().via(), "user.updated", subject).with(changes));
            }
            journal::commit(self, tx, call, entries, after).await
        })
    }

    /// Lets somebody in again. Their sessions and tokens do not come back.
    pub async fn enable_user(&self, call: &Call, id: UserId) -> Result<()> {
        self.set_status(call, id, UserStatus::Enabled, "user.enabled").await
    }

    /// Shuts somebody out: their sessions and tokens are gone when this returns, and the pending invites
    /// that they sent are revoked. Their memberships stay for the day they are enabled again.
    pub async fn disable_user(&self, call: &Call, id: UserId) -> Result<()> {
        self.set_status(call, id, UserStatus::Disabled, "user.disabled").await
    }

    async fn set_status(
        &self,
        call: &Call,
        id: UserId,
        status: UserStatus,
        action: &'static str,
    ) -> Result<()> {
        use_case!(self, call, |tx| {
            let permit: PlatformPermit = access::admission(call, id)?;
            let account: AccountPermit = permit.account(id);
            let (orgs, groups) = match status {
                UserStatus::Disabled => store::invites::places_of_sent(&mut tx, &account).await?,
                UserStatus::Enabled => Default::default(),
            };
            lock::orgs(&mut tx, &orgs, OrgLock::Share).await?;
            lock::groups(&mut tx, &groups, GroupLock::Members).await?;
            lock::platform_admins(&mut tx).await?;
            lock::users(&mut tx, &[id]).await?;
            let user = store::users::get(&mut tx, &account).await?;
            if user.status == status {
                return journal::commit(self, tx, call, Vec::new(), ()).await;
            }
            if status == UserStatus::Disabled {
                if user.platform_role.is_some()
                    && store::users::other_platform_admins(&mut tx, &permit, &account).await? == 0
                {
                    return Err(Error::conflict(ConflictKind::LastPlatformAdmin));
                }
                store::sessions::delete_all(&mut tx, &permit, &account).await?;
            }
            store::users::set_status(&mut tx, &permit, &account, status).await?;
            let changes = Changes::default().field("status", &user.status, &status);
            let mut entries = vec![Entry::about(account.via(), action, Subject::user(id)).with(changes)];
            if status == UserStatus::Disabled {
                // What they sent must not work on the day they are enabled again either. They send nothing
                // more while their row is locked, but may have until then.
                if store::invites::places_of_sent(&mut tx, &account).await? != (orgs, groups) {
                    return Err(Error::Collision);
                }
                let revoked = store::invites::revoke_sent(&mut tx, &account).await?;
                let ids = revoked.into_iter().map(crate::ids::InviteId::uuid);
                let places = store::invites::places(&mut tx, ids).await?;
                entries.extend(places.into_iter().map(|(id, (org, group))| {
                    Entry::about(account.via(), "invite.revoked", Subject::invite(id.into())).at(org, group)
                }));
            }
            journal::commit(self, tx, call, entries, ()).await
        })
    }
}

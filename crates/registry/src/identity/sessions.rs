//! Log-in sessions, and the passwords that open them: log in and out, change the password, reset it.
//!
//! What a password opens is decided twice: it is verified outside of any transaction, because that
//! takes long, and the transaction that follows locks the account and looks whether the verified
//! hash and the account's status are still the same. So a session never outlives the change that
//! should have ended it.

use std::{net::IpAddr, time::Duration};

use serde::{Deserialize, Serialize};

use super::{password::Password, users::UserStatus};
use crate::{
    Registry,
    access::{self, Via},
    actor::{Call, CredentialUsed, UserActor},
    clock::Timestamp,
    error::{Error, Result},
    ids::{SessionId, UserId},
    journal::{self, Changes, Entry, Subject},
    mail::Letter,
    secret::{Prefix, Secret},
    store::{self, Tx, lock, users::Account},
    text::Email,
};

/// How long a reset's token is valid.
const RESET_LIFE: Duration = Duration::from_secs(3600);

/// A session just begun.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NewSession {
    /// The token to come back with; shown once.
    #[serde(with = "crate::secret::in_sealed_record")]
    pub token: Option<Secret>,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// Whose it is.
    pub user_id: UserId,
}

impl Registry {
    /// Logs in. A wrong password, an unknown address and a disabled account take the same time and
    /// get the same answer.
    pub async fn create_session(
        &self,
        call: &Call,
        email: &Email,
        password: &Secret,
        source: IpAddr,
    ) -> Result<NewSession> {
        let attempt = self.identity.attempts.log_in(email, source)?;
        let verified = async {
            let found = store::users::account_by_email(&mut self.db.read().await?, email).await?;
            self.verified(found, password).await
        };
        let account = verified.await.inspect_err(|_| self.identity.attempts.did_not_happen(&attempt))?;
        let account = account.ok_or(Error::Unauthenticated)?;
        self.identity.attempts.succeeded(&attempt);

        let stale = account.password_hash.as_deref().filter(|hash| !self.identity.hashing.is_current(hash));
        let rehashed = match stale {
            Some(_) => Some(self.identity.hashing.hash(password).await?),
            None => None,
        };
        use_case!(self, call, |tx| {
            unchanged(&mut tx, &account).await?.ok_or(Error::Unauthenticated)?;
            if let Some(hash) = &rehashed {
                store::users::set_password_hash(&mut tx, &account, hash).await?;
            }
            let id: SessionId = self.ids.make(tx.now());
            let token = Secret::generate(Prefix::Session)?;
            let expires_at = tx.now().after(self.identity.session_life);
            store::sessions::insert(&mut tx, &account, id, &token, expires_at).await?;
            let call = call.known_as(UserActor {
                id: account.id,
                platform: account.platform_role,
                credential: CredentialUsed::Session(id),
            });
            let entry = Entry::about(Via::Oneself, "session.created", Subject::session(id));
            let session = NewSession { token: Some(token), expires_at, user_id: account.id };
            journal::commit(self, tx, &call, vec![entry], session).await
        })
    }

    /// Logs out: ends the session that asks.
    pub async fn end_session(&self, call: &Call) -> Result<()> {
        use_case!(self, call, |tx| {
            let (_, session) = call.logged_in()?;
            let permit = access::oneself(call, true)?;
            if !store::sessions::delete(&mut tx, &permit, session).await? {
                return Err(Error::Unauthenticated);
            }
            let entry = Entry::about(Via::Oneself, "session.ended", Subject::session(session));
            journal::commit(self, tx, call, vec![entry], ()).await
        })
    }

    /// Changes one's own password, knowing the old one; ends one's other sessions. Access tokens
    /// stay: they are not made from the password.
    pub async fn change_password(&self, call: &Call, old: &Secret, new: &Password) -> Result<()> {
        let (user, session) = call.logged_in()?;
        let permit = access::oneself(call, true)?;
        let attempt = self.identity.attempts.confirm(user.id)?;
        let verified = async {
            let found = store::users::account(&mut self.db.read().await?, permit.user()).await?;
            self.verified(found, old).await
        };
        let account = verified.await.inspect_err(|_| self.identity.attempts.did_not_happen(&attempt))?;
        let account = account.ok_or_else(wrong_password)?;
        self.identity.attempts.succeeded(&attempt);
        new.suits(&account.email)?;
        let hash = self.identity.hashing.hash(new.secret()).await?;
        use_case!(self, call, |tx| {
            unchanged(&mut tx, &account).await?.ok_or_else(wrong_password)?;
            if !store::sessions::is_live(&mut tx, &permit, session).await? {
                return Err(Error::Unauthenticated);
            }
            store::users::set_password_hash(&mut tx, &account, &hash).await?;
            store::sessions::delete_others(&mut tx, &permit, session).await?;
            let entry = Entry::about(Via::Oneself, "password.changed", Subject::user(account.id))
                .with(Changes::default().secret("password"));
            journal::commit(self, tx, call, vec![entry], ()).await
        })
    }

    /// Makes a token to set a new password by, in place of any earlier one, and mails it to the
    /// account's own address and to nobody else. Nothing happens where there is no such account, it is
    /// disabled, it had one lately, or no mail is sent. How long this takes, and whether it fails,
    /// tells whether an account exists: answer the client before waiting for it.
    pub async fn request_password_reset(&self, call: &Call, email: &Email, source: IpAddr) -> Result<()> {
        if !self.identity.attempts.reset(email, source)? || !self.sends_mail() {
            return Ok(());
        }
        let found = store::users::account_by_email(&mut self.db.read().await?, email).await?;
        let Some(account) = found.filter(|account| account.status == UserStatus::Enabled) else {
            return Ok(());
        };
        // A repeated request finds its record and makes no second token.
        use_case!(self, call, |tx| {
            if unchanged(&mut tx, &account).await?.is_none() {
                return Ok(());
            }
            let secret = Secret::generate(Prefix::PasswordReset)?;
            let expires_at = tx.now().after(RESET_LIFE);
            store::sessions::replace_reset(&mut tx, &account, &secret, expires_at).await?;
            let entry = Entry::about(Via::Public, "password.reset_requested", Subject::user(account.id))
                .mail(&account.email, Letter::PasswordReset { secret, expires_at });
            journal::commit(self, tx, call, vec![entry], ()).await
        })
    }

    /// Sets a new password by a reset's token, once; ends all sessions and access tokens, since
    /// whoever knew the old password may have made them. The token came by mail, so the address is theirs.
    pub async fn reset_password(&self, call: &Call, token: &Secret, new: &Password) -> Result<()> {
        if !token.is_well_formed(Prefix::PasswordReset) {
            return Err(no_such_reset());
        }
        let account = {
            let mut conn = self.db.read().await?;
            let now = self.clock().now();
            let user = store::sessions::find_reset(&mut conn, token, now).await?.ok_or_else(no_such_reset)?;
            store::users::account(&mut conn, user).await?.ok_or_else(no_such_reset)?
        };
        new.suits(&account.email)?;
        let hash = self.identity.hashing.hash(new.secret()).await?;
        use_case!(self, call, |tx| {
            lock::users(&mut tx, &[account.id]).await?;
            if !store::sessions::use_reset(&mut tx, token).await? {
                return Err(no_such_reset());
            }
            store::users::set_password_hash(&mut tx, &account, &hash).await?;
            store::users::verify_by_reset(&mut tx, &account).await?;
            store::sessions::delete_all_after_reset(&mut tx, &account).await?;
            let entry = Entry::about(Via::Public, "password.reset", Subject::user(account.id))
                .with(Changes::default().secret("password"));
            journal::commit(self, tx, call, vec![entry], ()).await
        })?;
        self.identity.attempts.forgive(&account.email);
        Ok(())
    }

    /// The account, if it is enabled and this is its password. Takes as long if there is none.
    async fn verified(&self, found: Option<Account>, password: &Secret) -> Result<Option<Account>> {
        let hash = found.as_ref().and_then(|account| account.password_hash.as_deref());
        let right = self.identity.hashing.verify(password, hash).await?;
        Ok(found.filter(|account| right && account.status == UserStatus::Enabled))
    }
}

/// Locks the account and looks whether what was verified before is still so.
async fn unchanged(tx: &mut Tx, verified: &Account) -> Result<Option<()>> {
    lock::users(tx, &[verified.id]).await?;
    let found = store::users::account(tx, verified.id).await?;
    Ok(found
        .filter(|now| now.status == UserStatus::Enabled && now.password_hash == verified.password_hash)
        .map(drop))
}

fn wrong_password() -> Error {
    Error::invalid("old_password", "is not the present password")
}

fn no_such_reset() -> Error {
    Error::invalid("token", "is not valid, or no longer; ask for a new one")
}

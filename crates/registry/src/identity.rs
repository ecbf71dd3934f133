//! Identity: people and how they prove who they are, organisations and who belongs to them.
//!
//! Passwords are proved to [`sessions`], which hand out opaque tokens; [`tokens`] are made by people
//! for their programs. Both are random enough to be kept as plain SHA-256 digests and found by one
//! indexed read. [`attempts`] counts before anything is proved, [`password`] bounds what proving
//! costs.

pub(crate) mod attempts;
pub mod org_memberships;
pub mod orgs;
pub mod password;
pub mod sessions;
pub mod tokens;
pub mod users;

use std::time::Duration;

use crate::{
    Registry, Settings,
    actor::{Actor, CredentialUsed, UserActor},
    error::{Error, Result},
    secret::{Prefix, Secret},
    store,
};

use attempts::Attempts;
use password::Hashing;
use tokens::LastUses;

/// What identity needs besides the database.
pub(crate) struct Identity {
    pub(crate) attempts: Attempts,
    pub(crate) hashing: Hashing,
    pub(crate) last_uses: LastUses,
    pub(crate) session_life: Duration,
    pub(crate) open_registration: bool,
}

impl Identity {
    pub(crate) fn new(settings: &Settings) -> Result<Self> {
        Ok(Self {
            attempts: Attempts::new(settings.clock.clone()),
            hashing: Hashing::new(settings.password_cost, settings.hashing_permits)?,
            last_uses: LastUses::default(),
            session_life: Duration::from_secs(u64::from(settings.session_days) * 24 * 3600),
            open_registration: settings.open_registration,
        })
    }
}

impl Registry {
    /// Who presents this session's or access token. A typing mistake is seen without a look-up;
    /// everything else is one read, and every refusal looks the same.
    pub async fn authenticate(&self, token: &Secret) -> Result<Actor> {
        let is_session = token.is_well_formed(Prefix::Session);
        if !is_session && !token.is_well_formed(Prefix::AccessToken) {
            return Err(Error::Unauthenticated);
        }
        let mut conn = self.db.read().await?;
        // This node's clock, to spare a second question: a skew of seconds means nothing to days.
        let now = self.clock().now();
        if is_session {
            let found = store::sessions::find(&mut conn, token, now).await?.ok_or(Error::Unauthenticated)?;
            return Ok(Actor::User(UserActor {
                id: found.user,
                platform: found.platform_role,
                credential: CredentialUsed::Session(found.id),
            }));
        }
        let found = store::tokens::find(&mut conn, token, now).await?.ok_or(Error::Unauthenticated)?;
        self.identity.last_uses.note(&self.db, found.id, found.last_used_at, now);
        Ok(Actor::User(UserActor {
            id: found.user,
            platform: found.platform_role,
            credential: CredentialUsed::Token {
                id: found.id,
                can_write: found.can_write,
                within: found.within,
            },
        }))
    }
}

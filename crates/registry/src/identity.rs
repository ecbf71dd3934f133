//! Identity: people and how they prove who they are, organisations and who belongs to them.
//!
//! Passwords are proved to [`sessions`], which hand out opaque tokens; [`tokens`] are made by people
//! for their programs. Both are random enough to be kept as plain SHA-256 digests and found by one
//! indexed read. [`attempts`] counts before anything is proved, [`password`] bounds what proving
//! costs.

pub(crate) mod attempts;
pub mod password;

use std::time::Duration;

use crate::{Settings, error::Result};

use attempts::Attempts;
use password::Hashing;

/// What identity needs besides the database.
pub(crate) struct Identity {
    pub(crate) attempts: Attempts,
    pub(crate) hashing: Hashing,
    pub(crate) session_life: Duration,
    pub(crate) open_registration: bool,
}

impl Identity {
    pub(crate) fn new(settings: &Settings) -> Result<Self> {
        Ok(Self {
            attempts: Attempts::new(settings.clock.clone()),
            hashing: Hashing::new(settings.password_cost, settings.hashing_permits)?,
            session_life: Duration::from_secs(u64::from(settings.session_days) * 24 * 3600),
            open_registration: settings.open_registration,
        })
    }
}

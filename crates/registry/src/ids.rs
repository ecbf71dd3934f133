//! Identifiers: one type per noun, so that a group's id cannot be passed where a thing's is meant.

use std::{fmt, str::FromStr, sync::Mutex};

use serde::{Deserialize, Serialize};
use uuid::{ContextV7, Uuid};

use crate::clock::Timestamp;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, sqlx::Type)]
        #[serde(transparent)]
        #[sqlx(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// The plain UUID.
            pub fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0.as_hyphenated())
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;
            fn from_str(text: &str) -> Result<Self, NotAnId> {
                parse(text).map(Self)
            }
        }
    )*};
}

ids! {
    /// An organisation.
    OrgId,
    /// A person's account.
    UserId,
    /// A group: the access boundary.
    GroupId,
    /// A profile: how a kind of device talks.
    ProfileId,
    /// A thing: a device.
    ThingId,
    /// A personal access token.
    TokenId,
    /// A log-in session.
    SessionId,
    /// An invite.
    InviteId,
    /// A mail on its way.
    MailId,
}

/// The text is not a lower-case hyphenated UUID, the only form accepted: two spellings of one id
/// would be two ids to a cache, a log search or an idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a lower-case hyphenated UUID")]
pub struct NotAnId;

fn parse(text: &str) -> Result<Uuid, NotAnId> {
    let canonical = text.len() == 36 && !text.bytes().any(|b| b.is_ascii_uppercase());
    match Uuid::try_parse(text) {
        Ok(id) if canonical => Ok(id),
        _ => Err(NotAnId),
    }
}

/// Where new ids come from: UUID version 7 (RFC 9562 §5.7), whose order is the order of creation,
/// also among those made within one millisecond.
pub struct Ids(Mutex<ContextV7>);

impl Default for Ids {
    fn default() -> Self {
        Self(Mutex::new(ContextV7::new()))
    }
}

impl Ids {
    /// A new id of whatever kind is asked for.
    pub fn make<Id: From<Uuid>>(&self, now: Timestamp) -> Id {
        let context = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let millis = now.millis().max(0).unsigned_abs();
        // Cannot truncate: below 10⁹.
        let nanos = u32::try_from(millis % 1000).unwrap_or(0) * 1_000_000;
        Uuid::new_v7(uuid::Timestamp::from_unix(&*context, millis / 1000, nanos)).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_spelling_is_an_id() {
        let good = "01234567-89ab-7def-8123-456789abcdef";
        assert_eq!(good.parse::<ThingId>().unwrap().to_string(), good);
        for bad in [
            "01234567-89AB-7DEF-8123-456789ABCDEF",
            "0123456789ab7def8123456789abcdef",
            "{01234567-89ab-7def-8123-456789abcdef}",
            "urn:uuid:01234567-89ab-7def-8123-456789abcdef",
            "",
            " 01234567-89ab-7def-8123-456789abcdef",
        ] {
            assert_eq!(bad.parse::<ThingId>(), Err(NotAnId), "{bad}");
        }
    }

    #[test]
    fn ids_made_in_one_millisecond_keep_their_order() {
        let ids = Ids::default();
        let now = Timestamp::from_millis(1_700_000_000_000);
        let made: Vec<ThingId> = (0..1000).map(|_| ids.make(now)).collect();
        assert!(made.is_sorted());
    }
}

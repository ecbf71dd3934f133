//! Who asks. An [`Actor`] exists only because a credential was verified (`identity::sessions`,
//! `identity::tokens`, `credentials`); a [`Call`] is an actor within one request.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    dry_run::DryRun,
    error::{Denial, Error, Result},
    ids::{GroupId, OrgId, SessionId, ThingId, TokenId, UserId},
    secret::Keyring,
};

/// Who asks, as far as a credential has shown.
#[derive(Clone, Debug)]
pub enum Actor {
    /// No credential: only what is public.
    Anonymous,
    /// A person, by a session or an access token.
    User(UserActor),
    /// A thing, by its key. It has no way into the management of the registry.
    Thing(ThingId),
    /// The program itself: first start, sweeps.
    System,
}

/// A person who has shown a valid credential and whose account is enabled.
#[derive(Clone, Debug)]
pub struct UserActor {
    pub(crate) id: UserId,
    pub(crate) platform: Option<PlatformRole>,
    pub(crate) credential: CredentialUsed,
}

impl UserActor {
    /// The account.
    pub fn id(&self) -> UserId {
        self.id
    }

    /// Whether the person administers the platform: every object is theirs to see and change, as far
    /// as the credential's scopes go.
    pub fn is_platform_admin(&self) -> bool {
        self.platform.is_some()
    }

    /// Where the credential works; `None` for everywhere.
    pub(crate) fn within(&self) -> Option<Within> {
        match &self.credential {
            CredentialUsed::Session(_) => None,
            CredentialUsed::Token { within, .. } => *within,
        }
    }

    /// Whether the credential may change anything.
    pub(crate) fn can_write(&self) -> bool {
        match &self.credential {
            CredentialUsed::Session(_) => true,
            CredentialUsed::Token { can_write, .. } => *can_write,
        }
    }
}

/// By what the person came in.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CredentialUsed {
    Session(SessionId),
    Token { id: TokenId, can_write: bool, within: Option<Within> },
}

/// The one place an access token may be bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Within {
    /// An organisation and all its groups.
    Org(OrgId),
    /// One group.
    Group(GroupId),
}

/// What a person is to the whole platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PlatformRole {
    /// May do everything everywhere.
    Admin,
    /// The first administrator, made at the first start.
    Root,
}

impl PlatformRole {
    /// As stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Root => "root",
        }
    }

    /// From storage; anything unknown is no role.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Admin, Self::Root].into_iter().find(|role| role.as_str() == text)
    }
}

/// One request: who asks, under which id it is logged, and whether it may be a repetition or is a dry run.
#[derive(Clone, Debug)]
pub struct Call {
    pub(crate) actor: Actor,
    pub(crate) request_id: String,
    pub(crate) replay: Option<Replay>,
    pub(crate) dry_run: Option<DryRun>,
}

/// The longest request id and idempotency key in bytes.
pub const MAX_HEADER_KEY: usize = 128;

impl Call {
    /// A request by `actor`; the id is cut to 128 bytes of visible ASCII.
    pub fn new(actor: Actor, request_id: &str) -> Self {
        let request_id = request_id.chars().filter(char::is_ascii_graphic).take(MAX_HEADER_KEY).collect();
        Self { actor, request_id, replay: None, dry_run: None }
    }

    /// A call of the program itself.
    pub(crate) fn system(occasion: &str) -> Self {
        Self::new(Actor::System, occasion)
    }

    /// Makes the request repeatable: the same actor, route and key have one effect, whatever how
    /// often they come. `body` is the whole request, by which another one under the same key is
    /// told apart. Strangers share no name space: for them the body belongs to the key.
    #[must_use]
    pub fn repeatable(mut self, route: &str, key: &str, body: &[u8]) -> Self {
        let principal = self.principal();
        self.replay = Some(Replay {
            name: format!("{principal}\n{route}\n{key}"),
            anonymous: principal.is_empty(),
            body: Arc::new(Zeroizing::new(body.to_vec())),
        });
        self
    }

    /// Whose repetitions are one's own. A token of narrower scope is another principal: it must not be told
    /// what a wider one was.
    pub(crate) fn principal(&self) -> String {
        match &self.actor {
            Actor::Anonymous | Actor::System => String::new(),
            Actor::User(user) => format!("{} {} {:?}", user.id, user.can_write(), user.within()),
            Actor::Thing(thing) => thing.to_string(),
        }
    }

    /// Makes the request a dry run: every transaction of it is rolled back at its end, and `dry_run` tells
    /// what would have been in the journal. What a use case keeps outside of its transaction it still
    /// keeps: attempts to log in are counted.
    #[must_use]
    pub fn dry(self, dry_run: &DryRun) -> Self {
        Self { dry_run: Some(dry_run.clone()), ..self }
    }

    /// The same request, now that its content has shown who asks: a log-in.
    pub(crate) fn known_as(&self, actor: UserActor) -> Self {
        Self { actor: Actor::User(actor), ..self.clone() }
    }

    /// Whether it is a dry run.
    pub fn is_dry(&self) -> bool {
        self.dry_run.is_some()
    }

    /// Who asks.
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// The request's id.
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// The person, or the refusal of everybody else.
    pub(crate) fn user(&self) -> Result<&UserActor> {
        match &self.actor {
            Actor::User(user) => Ok(user),
            Actor::Anonymous | Actor::Thing(_) | Actor::System => Err(Error::Unauthenticated),
        }
    }

    /// The person, if they logged in: access tokens cannot make tokens or change passwords.
    pub(crate) fn logged_in(&self) -> Result<(&UserActor, SessionId)> {
        let user = self.user()?;
        match user.credential {
            CredentialUsed::Session(session) => Ok((user, session)),
            CredentialUsed::Token { .. } => Err(Error::Forbidden(Denial::SessionOnly)),
        }
    }
}

/// What identifies a repeatable request.
#[derive(Clone)]
pub(crate) struct Replay {
    name: String,
    /// Nobody in particular asks: two of them are one only if they say the same.
    anonymous: bool,
    /// It may hold a password.
    body: Arc<Zeroizing<Vec<u8>>>,
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Replay(…)")
    }
}

impl Replay {
    /// What the database keeps of it. Keyed, so that a stolen dump is no place to guess the
    /// passwords that were in such requests.
    pub(crate) fn digests(&self, keyring: &Keyring) -> ReplayDigests {
        let body = keyring.mac("replay-body/1", &self.body);
        let name = if self.anonymous {
            keyring.mac("replay/1", &[self.name.as_bytes(), b"\n", &body].concat())
        } else {
            keyring.mac("replay/1", self.name.as_bytes())
        };
        ReplayDigests { name, body }
    }
}

/// A repeatable request as the database knows it.
pub(crate) struct ReplayDigests {
    pub(crate) name: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

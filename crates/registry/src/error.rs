//! What can go wrong, in the registry's own words. Each front (REST, gRPC, pages) translates these
//! once; nothing here knows a status code, and nothing here shows an internal detail to a client.

use std::{borrow::Cow, fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::invites::InviteState;

/// The registry's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a use case did not happen. Nothing of it happened then, except where said.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No valid credential was presented. Which part was wrong is not told.
    #[error("a valid credential is required")]
    Unauthenticated,
    /// The object does not exist, or the actor has nothing to do with it: the two look the same.
    #[error("no such resource, or it is not yours to see")]
    NotFound,
    /// The actor may see the object, but not do this.
    #[error("{0}")]
    Forbidden(Denial),
    /// The request's content breaks rules: all that were found, not only the first.
    #[error("{}", Summary(.0))]
    Invalid(Vec<FieldError>),
    /// The request is fine but the present state refuses it.
    #[error("{}", .0.kind)]
    Conflict(Conflict),
    /// The object changed since the version that the request names.
    #[error("the resource has changed since you read it; read it again and repeat the change")]
    Stale,
    /// An idempotency key came back with another request.
    #[error("this Idempotency-Key was used for another request; use a new key for a new request")]
    ReplayMismatch,
    /// A limit on attempts is used up.
    #[error("too many attempts; wait before the next one")]
    TooMany {
        /// How long until the next attempt can succeed.
        retry_after: Duration,
    },
    /// More of an import's keys are those of others than a person is told of in an hour.
    #[error(
        "more keys and external keys are in use elsewhere than you are told of in an hour; change the rows that were \
         named, or send the rest again in {} minutes", .retry_after.as_secs().div_ceil(60)
    )]
    TakenTooOften {
        /// Those that were told, unless the caller has heard of them already.
        told: Vec<FieldError>,
        /// How long until more can be told.
        retry_after: Duration,
    },
    /// The database does not answer in time; nothing happened.
    #[error("the service is busy or its database is away; nothing was changed, try again")]
    Unavailable,
    /// The connection broke while committing: it may or may not have happened.
    #[error(
        "the connection broke while the change was being committed; repeat the request with the \
         same Idempotency-Key to learn the outcome"
    )]
    OutcomeUnknown,
    /// Two transactions stood in each other's way; the use case repeats itself, so no client sees it.
    #[error("transactions collided")]
    Collision,
    /// A defect or a broken environment. The source is for the log, never for a client.
    #[error("something went wrong on our side; the log has it under this request id")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// An internal error with a reason for the log.
    pub fn internal(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(reason.into())
    }

    /// One broken rule about one field.
    pub fn invalid(field: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError::new(field, message)])
    }

    /// A conflict that is about the request as a whole.
    pub fn conflict(kind: ConflictKind) -> Self {
        Self::Conflict(Conflict { kind, items: Vec::new() })
    }
}

/// Why an actor who may see something may not do something to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// The role is too low.
    #[error("your role does not allow this")]
    Role,
    /// The access token has no `write` scope, or is bound to another organisation or group.
    #[error("this access token's scopes do not allow this")]
    Scope,
    /// Only a log-in session may do this, not an access token.
    #[error("log in to do this; an access token is not enough")]
    SessionOnly,
    /// Only the platform's administrators may do this.
    #[error("only a platform administrator may do this")]
    PlatformOnly,
    /// A role at or above one's own cannot be given, changed or taken away.
    #[error("you can only give, change or remove roles below your own")]
    Rank,
    /// Registration is by invitation only.
    #[error("open registration is switched off; ask an administrator for an account")]
    RegistrationClosed,
}

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// Which item of a bulk request, from 0.
    pub item: Option<usize>,
    /// The field, as the client named it.
    pub field: Cow<'static, str>,
    /// What is wrong and what to do.
    pub message: String,
}

impl FieldError {
    /// About a field of a single object.
    pub fn new(field: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { item: None, field: field.into(), message: message.into() }
    }

    /// About a field of item number `item`.
    #[must_use]
    pub fn in_item(mut self, item: usize) -> Self {
        self.item = Some(item);
        self
    }

    /// `name`, or `[3].name` in a bulk request; `body` for what is wrong with the whole.
    pub fn path(&self) -> String {
        match self.item {
            Some(item) if self.field.is_empty() => format!("[{item}]"),
            Some(item) => format!("[{item}].{}", self.field),
            None if self.field.is_empty() => "body".to_owned(),
            None => self.field.to_string(),
        }
    }
}

struct Summary<'a>(&'a [FieldError]);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("the request is not valid"),
            [one] => write!(f, "{}: {}", one.path(), one.message),
            [one, rest @ ..] => {
                write!(f, "{}: {} (and {} more)", one.path(), one.message, rest.len())
            }
        }
    }
}

/// A conflict with the present state, with the items of a bulk request that caused it, if known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Which rule.
    pub kind: ConflictKind,
    /// Which items of the request, from 0; empty when it is about the whole.
    pub items: Vec<usize>,
}

/// The rules that present state can refuse a request by. `code` is stable; the text is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum ConflictKind {
    /// Ids are unique for ever.
    #[error("the id is already in use")]
    IdTaken,
    /// Unique per organisation.
    #[error("a group of this name already exists in the organisation")]
    GroupNameTaken,
    /// Unique per group.
    #[error("a profile of this name already exists in the group")]
    ProfileNameTaken,
    /// Unique per group.
    #[error("a thing of this name already exists in the group")]
    ThingNameTaken,
    /// Says nothing about who holds it: the answer must not tell a stranger whose serial exists.
    #[error("this key or external key cannot be used; choose another")]
    CredentialUnavailable,
    /// A profile that things use cannot be deleted.
    #[error("{things} things still use this profile; move or delete them first")]
    ProfileInUse {
        /// How many.
        things: i64,
    },
    /// A group or organisation always has an owner.
    #[error("the last owner cannot leave, be removed or be demoted; hand over ownership first")]
    LastOwner,
    /// The person is a member already; their role is left as it is.
    #[error("already a member; change the role instead")]
    AlreadyMember,
    /// The person must join the organisation before its groups.
    #[error("the person is not a member of the organisation; add them there first")]
    NotInOrg,
    /// The person is not a member.
    #[error("not a member")]
    NotAMember,
    /// At most one live invite of a person to a place by the same inviter.
    #[error("already invited; resend or revoke that invite instead")]
    AlreadyInvited,
    /// Nobody is mailed without end.
    #[error("this address was invited too often in the last hour; wait before the next invite")]
    InvitedTooOften,
    /// An invite is answered once.
    #[error("{}", closed(.0))]
    InviteClosed(InviteState),
    /// The inviter may no longer give that role, or the place is no longer open to the invitee.
    #[error("whoever invited may no longer do so, and the invite was revoked; ask to be invited again")]
    InviteNoLongerValid,
    /// There is no mail to send again.
    #[error("the invite sleeps until the organisation's invite is accepted; resend that one")]
    InviteSleeps,
    /// The secret in the mail is the only way in for them.
    #[error(
        "this installation sends no mail, so only who has an account can be invited, with an address that is \
         known to be theirs; ask an administrator to make one, or to set the option `mail`"
    )]
    NoMail,
    /// One account per e-mail address.
    #[error("an account with this e-mail address already exists")]
    EmailTaken,
    /// Access tokens are for programs, of which nobody has that many.
    #[error("an account has at most 100 access tokens; delete one first")]
    TooManyTokens,
    /// Someone must be able to administer the platform.
    #[error("the last platform administrator cannot be disabled")]
    LastPlatformAdmin,
    /// The first request with this Idempotency-Key has not ended yet.
    #[error("the first request with this Idempotency-Key is still running; try again shortly")]
    InFlight,
    /// A restore needs an installation with nothing in it.
    #[error(
        "there are organisations, groups or other accounts here already; restore into a new installation, \
         whose only account is yours"
    )]
    NotEmpty,
    /// Backups and restores go on for long and take much.
    #[error("a backup or restore is under way already; wait for its end")]
    UnderWay,
    /// Keys that are still in clear are no part of a backup.
    #[error("the adoption of this Mainflux database is not done yet; run `things adopt` to its end first")]
    HalfAdopted,
}

fn closed(state: &InviteState) -> &'static str {
    match state {
        // Told when two answer at once and the other one has not ended yet.
        InviteState::Pending => "the invite is being answered",
        InviteState::Accepted => "the invite was accepted already",
        InviteState::Declined => "the invite was declined already",
        InviteState::Revoked => "the invite was revoked",
        InviteState::Expired => "the invite has expired; ask to be invited again",
    }
}

impl ConflictKind {
    /// The stable name: the last part of the problem type's URI.
    pub fn code(self) -> &'static str {
        match self {
            Self::IdTaken => "id-taken",
            Self::GroupNameTaken => "group-name-taken",
            Self::ProfileNameTaken => "profile-name-taken",
            Self::ThingNameTaken => "thing-name-taken",
            Self::CredentialUnavailable => "credential-unavailable",
            Self::ProfileInUse { .. } => "profile-in-use",
            Self::LastOwner => "last-owner",
            Self::AlreadyMember => "already-member",
            Self::NotInOrg => "not-in-organisation",
            Self::NotAMember => "not-a-member",
            Self::AlreadyInvited => "already-invited",
            Self::InvitedTooOften => "invited-too-often",
            Self::InviteClosed(_) => "invite-closed",
            Self::InviteNoLongerValid => "invite-no-longer-valid",
            Self::InviteSleeps => "invite-sleeps",
            Self::NoMail => "no-mail",
            Self::EmailTaken => "email-taken",
            Self::TooManyTokens => "too-many-tokens",
            Self::LastPlatformAdmin => "last-platform-admin",
            Self::InFlight => "request-in-flight",
            Self::NotEmpty => "installation-not-empty",
            Self::UnderWay => "already-under-way",
            Self::HalfAdopted => "half-adopted",
        }
    }

    /// The field it is about, where there is one.
    pub fn field(self) -> Option<&'static str> {
        match self {
            Self::IdTaken => Some("id"),
            Self::GroupNameTaken | Self::ProfileNameTaken | Self::ThingNameTaken => Some("name"),
            Self::CredentialUnavailable => Some("key"),
            Self::EmailTaken | Self::AlreadyInvited | Self::InvitedTooOften | Self::NoMail => Some("email"),
            Self::AlreadyMember | Self::NotInOrg | Self::NotAMember | Self::LastOwner => Some("member_id"),
            Self::ProfileInUse { .. }
            | Self::TooManyTokens
            | Self::LastPlatformAdmin
            | Self::InviteClosed(_)
            | Self::InviteNoLongerValid
            | Self::InviteSleeps
            | Self::InFlight
            | Self::NotEmpty
            | Self::UnderWay
            | Self::HalfAdopted => None,
        }
    }
}

//! Mail: that somebody is written to, to whom, and which facts it tells. The words are found where
//! it is sent.
//!
//! A [`Letter`] is added to the journal's entry of what it tells of and stored by the same commit, so
//! there is no mail without the change and no change without its mail. A worker takes what is due
//! ([`Registry::claim_mails`]) and tells what became of it. Claiming puts the next attempt off first:
//! two workers never have the same mail, and one that ends between the mail server's answer and
//! [`Registry::mail_sent`] leads to a second delivery, but not within a minute of the first.

mod notices;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    MAX_COLLISIONS, Registry, Role, back_off,
    clock::Timestamp,
    error::{Error, Result},
    ids::{Ids, MailId},
    journal::Entry,
    secret::{self, Keyring, Secret},
    store::{self, mails::Claimed},
    text::Email,
};

pub(crate) use notices::Notices;

/// How long one attempt may take, from claiming to the mail server's answer.
pub const ATTEMPT: Duration = Duration::from_secs(30);
/// When a mail is due again whose worker never told what became of it: an attempt, then a minute, then
/// some time for the telling.
const LEASE: Duration = Duration::from_secs(120);
/// The first wait after a refusal; each next one is twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(60);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// How long a mail is tried.
pub const GIVE_UP: Duration = Duration::from_secs(72 * 3600);
/// When a mail is given up that no worker has given up.
pub(crate) const ABANDONED: Duration = Duration::from_secs(96 * 3600);
/// How long is remembered that a mail was sent.
pub(crate) const SENT_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long is remembered that a mail was given up.
pub(crate) const FAILED_KEPT: Duration = Duration::from_secs(30 * 24 * 3600);
/// The most characters of a reason that are kept.
const MAX_REASON: usize = 500;

/// What a mail says, in facts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Letter {
    /// Somebody is invited.
    Invite(InviteLetter),
    /// Somebody was made a member.
    MemberAdded {
        /// Of what.
        place: Place,
        /// As what.
        role: Role,
        /// By whom.
        by: Email,
        /// How many invites to groups are theirs to answer by that; none in what was written before this was told.
        #[serde(default)]
        waiting: usize,
    },
    /// A member's role was changed.
    RoleChanged {
        /// Where.
        place: Place,
        /// From what; `None` for one that nothing recognised.
        before: Option<Role>,
        /// To what.
        role: Role,
        /// By whom.
        by: Email,
    },
    /// A membership was ended by somebody else.
    MemberRemoved {
        /// Of what; of an organisation also in all its groups.
        place: Place,
        /// By whom.
        by: Email,
    },
    /// Ownership was handed over to the one who is written to.
    OwnershipReceived {
        /// Of what.
        place: Place,
        /// By whom.
        by: Email,
    },
    /// Groups without an owner fell to the one who is written to, as owner of the organisation.
    GroupsInherited {
        /// Which groups.
        place: Place,
        /// Who ended the last owner's membership.
        by: Email,
    },
    /// A new password can be set.
    PasswordReset {
        /// The right to set it, once.
        #[serde(with = "secret::in_sealed_record::required")]
        secret: Secret,
        /// Until when.
        expires_at: Timestamp,
    },
}

/// An invite, as the invitee is told of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InviteLetter {
    /// The invite's id.
    pub id: Uuid,
    /// For somebody without an account: the right to make one, once. They have to join by it first.
    #[serde(with = "secret::in_sealed_record")]
    pub secret: Option<Secret>,
    /// The organisation's name.
    pub org: Option<String>,
    /// The group's name.
    pub group: Option<String>,
    /// As what.
    pub role: Option<Role>,
    /// Groups that come with an invite to their organisation.
    pub groups: Vec<GroupOffer>,
    /// Who invites.
    pub inviter: Email,
    /// Until when it can be accepted.
    pub expires_at: Timestamp,
    /// Where the invitee goes on afterwards.
    pub redirect_path: Option<String>,
}

/// A group that comes with an invite to its organisation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupOffer {
    /// The group's name.
    pub name: String,
    /// As what.
    pub role: Role,
}

/// What a mail about memberships is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The organisation's name.
    pub org: String,
    /// The names of groups in it; none when it is about the organisation itself.
    pub groups: Vec<String>,
}

impl Letter {
    /// The stable name of its kind: in the database, in metrics, and of its templates.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Invite(_) => "invite",
            Self::MemberAdded { .. } => "member-added",
            Self::RoleChanged { .. } => "role-changed",
            Self::MemberRemoved { .. } => "member-removed",
            Self::OwnershipReceived { .. } => "ownership-received",
            Self::GroupsInherited { .. } => "groups-inherited",
            Self::PasswordReset { .. } => "password-reset",
        }
    }

    /// From when on it is about nothing any more.
    fn expires_at(&self) -> Option<Timestamp> {
        match self {
            Self::Invite(invite) => Some(invite.expires_at),
            Self::PasswordReset { expires_at, .. } => Some(*expires_at),
            Self::MemberAdded { .. }
            | Self::RoleChanged { .. }
            | Self::MemberRemoved { .. }
            | Self::OwnershipReceived { .. }
            | Self::GroupsInherited { .. } => None,
        }
    }
}

/// A mail that is to be sent now, by whoever claimed it.
#[derive(Clone, Debug)]
pub struct Mail {
    /// Its id: the same at each attempt.
    pub id: MailId,
    /// To whom.
    pub to: Email,
    /// What it says.
    pub letter: Letter,
    /// When it was written.
    pub created_at: Timestamp,
    /// Which attempt this is, from 1.
    pub attempt: u32,
}

/// What follows when a mail could not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is tried again then.
    Again(Timestamp),
    /// It is not tried again.
    GivenUp,
}

/// How mail is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MailStatus {
    /// Mails that have not been sent yet.
    pub waiting: u64,
    /// How long the oldest of them has waited.
    pub oldest: Duration,
    /// Mails that were given up within a day.
    pub given_up: u64,
    /// Why the last attempt failed of a mail that waits or was given up within a day.
    pub last_error: Option<String>,
}

impl MailStatus {
    /// A mail that waited longer than this has been refused several times.
    const LONG: Duration = Duration::from_secs(3600);

    /// Whether nobody need look at it.
    pub fn is_well(&self) -> bool {
        self.given_up == 0 && self.oldest < Self::LONG
    }
}

/// Where letters leave from.
pub(crate) struct Outbox {
    /// Whether mail is sent at all; if not, letters are not kept.
    pub(crate) open: bool,
    /// Tells this process's worker that a letter was committed.
    written: Notify,
}

impl Outbox {
    pub(crate) fn new(open: bool) -> Self {
        Self { open, written: Notify::new() }
    }

    /// Called after a commit that stored letters.
    pub(crate) fn stored(&self) {
        self.written.notify_one();
    }
}

/// A letter as it is stored, without what the statement adds to all of them.
pub(crate) struct Sealed {
    pub(crate) id: MailId,
    pub(crate) journal_id: i64,
    pub(crate) kind: &'static str,
    pub(crate) payload: Vec<u8>,
}

/// What is sealed.
#[derive(Serialize)]
struct PayloadRef<'a> {
    to: &'a Email,
    letter: &'a Letter,
}

#[derive(Deserialize)]
struct Payload {
    to: Email,
    letter: Letter,
}

/// Bound to the row, so that no row's payload opens in another.
fn context(id: MailId) -> [u8; 23] {
    let mut context = *b"mail/1\0________________";
    for (to, from) in context.iter_mut().skip(7).zip(id.uuid().as_bytes()) {
        *to = *from;
    }
    context
}

/// Seals the letters of entries that were stored under these ids.
pub(crate) fn seal(
    keyring: &Keyring,
    ids: &Ids,
    now: Timestamp,
    entries: &[Entry],
    journal_ids: &[i64],
) -> Result<Vec<Sealed>> {
    let letters = entries
        .iter()
        .zip(journal_ids)
        .flat_map(|(entry, journal_id)| entry.letters.iter().map(move |letter| (letter, *journal_id)));
    letters
        .map(|((to, letter), journal_id)| {
            let id: MailId = ids.make(now);
            let plain =
                Zeroizing::new(serde_json::to_vec(&PayloadRef { to, letter }).map_err(Error::internal)?);
            let payload = keyring.seal(&context(id), &plain)?;
            Ok(Sealed { id, journal_id, kind: letter.kind(), payload })
        })
        .collect()
}

impl Registry {
    /// Whether mail is sent at all.
    pub fn sends_mail(&self) -> bool {
        self.outbox.open
    }

    /// Returns once a letter was committed by this process since the last time. Those of other
    /// processes, and those whose next attempt is due, are found by looking.
    pub async fn letter_written(&self) {
        self.outbox.written.notified().await;
    }

    /// Takes up to `most` mails that are due, oldest first, for the caller to send within
    /// [`ATTEMPT`]. Nobody else gets them before a minute after that has passed; then they are due
    /// again, unless the caller tells what became of them. What cannot be sent any more, because it
    /// has expired, is given up here.
    pub async fn claim_mails(&self, most: u32) -> Result<Vec<Mail>> {
        if most == 0 {
            return Ok(Vec::new());
        }
        let due = {
            let mut conn = self.db.read().await?;
            let now = conn.now(self.clock()).await?;
            store::mails::any_due(&mut conn, now).await?
        };
        if !due {
            return Ok(Vec::new());
        }
        let mut collisions = 0;
        loop {
            match self.claim(most).await {
                Err(Error::Collision) if collisions < MAX_COLLISIONS => {
                    collisions += 1;
                    back_off(collisions).await;
                }
                claimed => return claimed,
            }
        }
    }

    async fn claim(&self, most: u32) -> Result<Vec<Mail>> {
        let mut tx = self.db.write().await?;
        let now = tx.now();
        let claimed = store::mails::claim(&mut tx, most, now.after(LEASE)).await?;
        let mut mails = Vec::with_capacity(claimed.len());
        for row in claimed {
            let id = row.id;
            match self.opened(row) {
                Ok(mail) if mail.letter.expires_at().is_none_or(|end| end > now) => mails.push(mail),
                Ok(mail) => {
                    let kind = mail.letter.kind();
                    tracing::error!(mail = %id, kind, "a mail was not sent before what it is about had expired");
                    store::mails::give_up(&mut tx, id, "it expired before it could be sent").await?;
                }
                Err(error) => {
                    tracing::error!(mail = %id, %error, "a mail cannot be opened");
                    store::mails::give_up(&mut tx, id, "its sealed content does not open").await?;
                }
            }
        }
        tx.commit_raw().await?;
        Ok(mails)
    }

    fn opened(&self, row: Claimed) -> Result<Mail> {
        let sealed = row.payload.ok_or_else(|| Error::internal("a waiting mail has no content"))?;
        let plain = self.keyring.open(&context(row.id), &sealed)?;
        let Payload { to, letter } = serde_json::from_slice(&plain).map_err(Error::internal)?;
        Ok(Mail {
            id: row.id,
            to,
            letter,
            created_at: row.created_at,
            attempt: u32::try_from(row.attempts).unwrap_or(u32::MAX),
        })
    }

    /// The mail server has taken the mail: its content is forgotten.
    pub async fn mail_sent(&self, mail: &Mail) -> Result<()> {
        let mut tx = self.db.write().await?;
        store::mails::sent(&mut tx, mail.id).await?;
        tx.commit_raw().await
    }

    /// The mail could not be sent; `reason` must not hold anything that the mail holds. It is tried
    /// again, after waits that double from a minute to an hour, for three days: also what the server
    /// refuses for good, because it may be the server that is set up wrongly.
    pub async fn mail_refused(&self, mail: &Mail, reason: &str) -> Result<Refused> {
        let reason: String = reason.chars().filter(|c| !c.is_control()).take(MAX_REASON).collect();
        let mut tx = self.db.write().await?;
        let now = tx.now();
        let refused = if now.since(mail.created_at) >= GIVE_UP {
            store::mails::give_up(&mut tx, mail.id, &reason).await?;
            Refused::GivenUp
        } else {
            let next = now.after(wait_after(mail.attempt)?);
            store::mails::put_off(&mut tx, mail.id, mail.attempt, next, &reason).await?;
            Refused::Again(next)
        };
        tx.commit_raw().await?;
        Ok(refused)
    }

    /// How mail is doing.
    pub async fn mail_status(&self) -> Result<MailStatus> {
        let mut conn = self.db.read().await?;
        let now = conn.now(self.clock()).await?;
        store::mails::status(&mut conn, now).await
    }
}

/// How long to wait after the attempt of this number: a minute, doubled each time up to an hour, and up
/// to a quarter more, so that mails refused together do not come back together.
fn wait_after(attempt: u32) -> Result<Duration> {
    let doubled = FIRST_WAIT.saturating_mul(1 << attempt.saturating_sub(1).min(6)).min(LONGEST_WAIT);
    let mut jitter = [0u8];
    secret::random(&mut jitter)?;
    Ok(doubled + doubled.mul_f64(0.25 * f64::from(jitter[0]) / 255.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_from_a_minute_to_an_hour() {
        let minutes = |attempt| wait_after(attempt).unwrap().as_secs_f64() / 60.0;
        for (attempt, least) in [(1, 1.0), (2, 2.0), (3, 4.0), (6, 32.0), (7, 60.0), (8, 60.0), (500, 60.0)] {
            for _ in 0..20 {
                let waited = minutes(attempt);
                assert!((least..=least * 1.25).contains(&waited), "{attempt}: {waited}");
            }
        }
    }

    #[test]
    fn a_lease_outlasts_an_attempt_by_a_minute() {
        assert!(LEASE >= ATTEMPT + Duration::from_secs(60));
    }

    #[test]
    fn letters_survive_sealing_and_show_no_secret() {
        let secret = Secret::new("inv_visible");
        let invite = InviteLetter {
            id: Uuid::nil(),
            secret: Some(secret.clone()),
            org: Some("Nordlicht".to_owned()),
            group: None,
            role: Some(Role::Viewer),
            groups: vec![GroupOffer { name: "Cold stores".to_owned(), role: Role::Editor }],
            inviter: Email::try_from("ada@example.com").unwrap(),
            expires_at: Timestamp::from_millis(1),
            redirect_path: Some("/a".to_owned()),
        };
        for letter in
            [Letter::Invite(invite), Letter::PasswordReset { secret, expires_at: Timestamp::from_millis(2) }]
        {
            let text = serde_json::to_string(&letter).unwrap();
            assert_eq!(serde_json::from_str::<Letter>(&text).unwrap(), letter);
            assert!(!format!("{letter:?}").contains("visible"));
        }
    }
}

//! How much may be sent: by one person, to one place, to one address.

use std::{collections::HashMap, time::Duration};

use super::InviteLimits;
use crate::{
    Registry,
    clock::Timestamp,
    error::{Error, Result},
    ids::{InviteId, UserId},
    store::{self, Tx},
    text::Email,
};

/// How many mails about invites each address was sent lately, by all places together.
pub(super) struct Mailed(HashMap<Vec<u8>, i64>);

impl Registry {
    /// Addresses are counted by digests: they need not be known to be told apart, and an invite that is gone
    /// shall leave none behind.
    fn address_digest(&self, email: &Email) -> Vec<u8> {
        self.keyring.mac("invite-mail/1", email.as_str().as_bytes())
    }

    /// What these addresses were sent. Where no mail leaves, nobody can have too many.
    pub(super) async fn mailed_lately(
        &self,
        tx: &mut Tx,
        emails: &[Email],
        now: Timestamp,
    ) -> Result<Mailed> {
        if !self.sends_mail() {
            return Ok(Mailed(HashMap::new()));
        }
        let digests: Vec<Vec<u8>> = emails.iter().map(|email| self.address_digest(email)).collect();
        let since = now.before(InviteLimits::WINDOW);
        Ok(Mailed(store::invites::mailed_to(tx, &digests, since).await?))
    }

    /// Whether this address was sent as many mails about invites lately as it may be, by all places together.
    pub(super) fn flooded(&self, mailed: &Mailed, email: &Email) -> bool {
        if planted!("I13: many places mail one address without end") {
            return false;
        }
        let mails = mailed.0.get(&self.address_digest(email)).copied().unwrap_or(0);
        mails >= i64::from(self.invites.per_address)
    }

    /// Counts invites that are made or sent again, each with the address that it is mailed to.
    pub(super) async fn count_sent<'e>(
        &self,
        tx: &mut Tx,
        inviter: UserId,
        mailed: impl Iterator<Item = Option<&'e Email>>,
        now: Timestamp,
    ) -> Result<()> {
        let sent: Vec<(InviteId, Option<Vec<u8>>)> = mailed
            .map(|email| {
                let email = email.filter(|_| self.sends_mail());
                (self.ids.make(now), email.map(|email| self.address_digest(email)))
            })
            .collect();
        store::invites::count_sent(tx, inviter, &sent).await
    }

    /// Refuses more invites than one person may send, or one place may have open. `there` are the
    /// place's already.
    pub(super) async fn within_limits(
        &self,
        tx: &mut Tx,
        inviter: UserId,
        new: usize,
        there: i64,
        now: Timestamp,
    ) -> Result<()> {
        if planted!("I13: no limits") {
            return Ok(());
        }
        let new = i64::try_from(new).unwrap_or(i64::MAX);
        if there.saturating_add(new) > i64::from(self.invites.pending) {
            return Err(Error::TooMany { retry_after: InviteLimits::WINDOW });
        }
        let since = now.before(InviteLimits::WINDOW);
        let (sent, first) = store::invites::sent_since(tx, inviter, since).await?;
        if sent.saturating_add(new) > i64::from(self.invites.per_hour) {
            let frees = first.unwrap_or(now).after(InviteLimits::WINDOW).since(now);
            return Err(Error::TooMany { retry_after: frees.max(Duration::from_secs(1)) });
        }
        Ok(())
    }
}

//! What is written to people about invites.

use std::collections::HashMap;

use super::Invite;
use crate::{
    clock::Timestamp,
    error::Result,
    ids::InviteId,
    journal::Entry,
    mail::{GroupOffer, InviteLetter, Letter},
    secret::Secret,
    store::{self, Tx},
};

/// Writes to the invitee about the invite that the entry tells of. `secret` is for somebody who has to
/// come in by it first. An invite whose two people have no address any more is not written about.
pub(super) fn written(entry: Entry, invite: &Invite, secret: Option<&Secret>) -> Entry {
    let (Some(to), Some(inviter), Some(expires_at)) =
        (&invite.invitee_email, &invite.inviter_email, invite.expires_at)
    else {
        return entry;
    };
    let letter = InviteLetter {
        id: invite.id.uuid(),
        secret: secret.cloned(),
        org: invite.org_name.clone(),
        group: invite.group_name.clone(),
        role: invite.invitee_role,
        groups: invite
            .group_invites
            .iter()
            .map(|offer| GroupOffer { name: offer.group_name.clone(), role: offer.member_role })
            .collect(),
        inviter: inviter.clone(),
        expires_at,
        redirect_path: invite.redirect_path.as_ref().map(|path| path.as_str().to_owned()),
    };
    entry.mail(to, Letter::Invite(letter))
}

/// Writes to the invitee about each of these invites that has just been woken; `entries` are theirs.
pub(super) async fn woken(
    tx: &mut Tx,
    entries: Vec<Entry>,
    woken: &[InviteId],
    now: Timestamp,
) -> Result<Vec<Entry>> {
    if woken.is_empty() {
        return Ok(entries);
    }
    let invites: HashMap<uuid::Uuid, Invite> = store::invites::all_of(tx, woken, now)
        .await?
        .into_iter()
        .map(|invite| (invite.id.uuid(), invite))
        .collect();
    let write = |entry: Entry| match invites.get(&entry.subject.id) {
        Some(invite) if entry.action == "invite.woken" => written(entry, invite, None),
        _ => entry,
    };
    Ok(entries.into_iter().map(write).collect())
}

//! What happens to an invite: it is accepted, declined, withdrawn, sent again, or nobody answers.
//!
//! Each takes the locks of where the invite leads before it reads anything: so of all who come at once
//! one wins, and the inviter's role, the invitee's membership and the invite are seen as they are.

use serde::{Deserialize, Serialize};

use super::{
    Invite, InviteKind, InviteLimits, InviteState,
    arrive::{joined, overtaken},
    letters::written,
    life::{self, Pending, Refusal, Standing},
};
use crate::{
    Registry,
    access::{self, Administer, Answer, InvitePermit, Permit, Via, Withdraw},
    actor::Call,
    clock::Timestamp,
    error::{Conflict, ConflictKind, Error, Result},
    ids::{GroupId, InviteId, OrgId, UserId},
    journal::{self, Entry, Subject},
    secret::{Prefix, Secret},
    store::{
        self, Tx, lock,
        lock::{GroupLock, OrgLock},
    },
    text::Email,
    version::Expect,
};

/// How accepting ended, once it changed something: an invite that can never be accepted again is revoked
/// by the attempt, and the caller is told why.
#[derive(Serialize, Deserialize)]
enum Answered {
    Joined(Box<Invite>),
    Void(ConflictKind),
}

impl Registry {
    /// The invitee joins: the membership and the invite's state are one change. Accepting an
    /// organisation's invite wakes the group invites that sleep on it, and on others to the same
    /// organisation, which end by that.
    pub async fn accept_invite(&self, call: &Call, id: InviteId) -> Result<Invite> {
        let answered = use_case!(self, call, |tx| {
            self.lock_invite(&mut tx, call, id).await?;
            let permit = access::answer(&mut tx, call, id).await?;
            let (entries, answered) = match permit.place() {
                (Some(org), Some(group)) => self.accept_group(&mut tx, &permit, org, group).await?,
                (Some(org), None) => self.accept_org(&mut tx, &permit, org).await?,
                // A platform invite is answered by its secret, so nobody is its invitee.
                (None, _) => return Err(Error::NotFound),
            };
            journal::commit(self, tx, call, entries, answered).await
        })?;
        match answered {
            Answered::Joined(invite) => Ok(*invite),
            Answered::Void(kind) => Err(Error::conflict(kind)),
        }
    }

    async fn accept_group(
        &self,
        tx: &mut Tx,
        permit: &InvitePermit<Answer>,
        org: OrgId,
        group: GroupId,
    ) -> Result<(Vec<Entry>, Answered)> {
        let now = tx.moment(&self.db.clock).await?;
        let invite = store::invites::view(tx, permit, now).await?;
        lock::users_shared(tx, &[invite.inviter_id]).await?;
        let standing = Standing {
            inviter: access::roles_of(tx, invite.inviter_id, &[group]).await?.get(&group).copied(),
            member: store::memberships::is_member(tx, permit, group).await?,
            eligible: store::org_memberships::is_member(tx, permit, org).await?,
        };
        let accepted = match pending(&invite)?.accept(now, standing) {
            Ok(accepted) => accepted,
            Err(Refusal::Closed(state)) => return Err(closed(state)),
            Err(Refusal::Void(kind)) => {
                // Time ends invites without waiting for the place's locks.
                if store::invites::end_groups(tx, &[invite.id], InviteState::Revoked).await?.is_empty() {
                    return Err(closed(store::invites::view(tx, permit, now).await?.state));
                }
                return Ok((vec![on(permit, "invite.revoked", &invite)], Answered::Void(kind)));
            }
        };
        if !store::invites::answer_group(tx, permit, accepted, now).await? {
            return Err(closed(store::invites::view(tx, permit, now).await?.state));
        }
        let arrival = permit.arrival(org);
        store::memberships::join(tx, &arrival, group, accepted).await?;
        let entries = vec![on(permit, "invite.accepted", &invite), joined(&arrival, Some(group), accepted)];
        Ok((entries, Answered::Joined(Box::new(Invite { state: InviteState::Accepted, ..invite }))))
    }

    async fn accept_org(
        &self,
        tx: &mut Tx,
        permit: &InvitePermit<Answer>,
        org: OrgId,
    ) -> Result<(Vec<Entry>, Answered)> {
        let now = tx.moment(&self.db.clock).await?;
        let invite = store::invites::view(tx, permit, now).await?;
        // What is past due is no part of it: nothing that sleeps on that may wake.
        let (due, others) = store::invites::other_pending(tx, permit, org, now).await?;
        let beds: Vec<InviteId> = others.iter().copied().chain([invite.id]).collect();
        let sleepers = store::invites::sleepers_of(tx, &beds).await?;
        // All at once, because accounts are locked by ascending id.
        let inviters = sleepers.iter().map(|sleeper| sleeper.inviter).chain([invite.inviter_id]);
        lock::users_shared(tx, &inviters.collect::<Vec<UserId>>()).await?;
        let standing = Standing {
            inviter: access::roles_of(tx, invite.inviter_id, &[org]).await?.get(&org).copied(),
            member: store::org_memberships::is_member(tx, permit, org).await?,
            eligible: true,
        };
        let accepted = match pending(&invite)?.accept(now, standing) {
            Ok(accepted) => accepted,
            Err(Refusal::Closed(state)) => return Err(closed(state)),
            Err(Refusal::Void(kind)) => {
                let mut entries = vec![on(permit, "invite.revoked", &invite)];
                let (ended, sleepers) =
                    store::invites::end_orgs(tx, &[invite.id], InviteState::Revoked).await?;
                if ended.is_empty() {
                    return Err(closed(store::invites::view(tx, permit, now).await?.state));
                }
                entries.extend(ended_sleepers(permit, "invite.revoked", &sleepers));
                return Ok((entries, Answered::Void(kind)));
            }
        };
        let mut entries = self.expire_orgs(tx, org, &due).await?;
        if !store::invites::answer_org(tx, permit, accepted, now).await? {
            return Err(closed(store::invites::view(tx, permit, now).await?.state));
        }
        let arrival = permit.arrival(org);
        store::org_memberships::join(tx, &arrival, accepted).await?;
        entries.extend([on(permit, "invite.accepted", &invite), joined(&arrival, None, accepted)]);
        entries.extend(self.wake(tx, &arrival, &sleepers, now).await?);
        entries.extend(overtaken(tx, &arrival, &others).await?);
        let invite = Invite { state: InviteState::Accepted, group_invites: Vec::new(), ..invite };
        Ok((entries, Answered::Joined(Box::new(invite))))
    }

    /// The invitee says no. Allowed after expiry too, on purpose: it only ever removes, and then time has done so.
    pub async fn decline_invite(&self, call: &Call, id: InviteId) -> Result<()> {
        use_case!(self, call, |tx| {
            self.lock_invite(&mut tx, call, id).await?;
            let permit = access::answer(&mut tx, call, id).await?;
            let now = tx.moment(&self.db.clock).await?;
            let invite = store::invites::view(&mut tx, &permit, now).await?;
            let entries = match life::decline(invite.state).map_err(closed)? {
                InviteState::Expired => self.time_ended(&mut tx, &permit, &invite).await?,
                state => match end(&mut tx, &permit, &invite, state).await {
                    // Swept in this moment.
                    Err(Error::Conflict(Conflict {
                        kind: ConflictKind::InviteClosed(InviteState::Expired),
                        ..
                    })) => Vec::new(),
                    ended => ended?,
                },
            };
            journal::commit(self, tx, call, entries, ()).await
        })
    }

    /// The inviter or an admin takes an invite back; only while it is pending.
    pub async fn revoke_invite(&self, call: &Call, id: InviteId) -> Result<()> {
        self.revoke_invite_if(call, id, &Expect::any()).await
    }

    /// The same, if the invite is still as it was seen.
    pub async fn revoke_invite_if(&self, call: &Call, id: InviteId, expect: &Expect) -> Result<()> {
        use_case!(self, call, |tx| {
            self.lock_invite(&mut tx, call, id).await?;
            let permit: InvitePermit<Withdraw> = access::withdrawal(&mut tx, call, id).await?;
            let now = tx.moment(&self.db.clock).await?;
            let invite = store::invites::view(&mut tx, &permit, now).await?;
            expect.check(&invite.version())?;
            if invite.state != InviteState::Pending && !planted!("I15: an answered invite is taken back") {
                return Err(closed(invite.state));
            }
            let entries = end(&mut tx, &permit, &invite, InviteState::Revoked).await?;
            journal::commit(self, tx, call, entries, ()).await
        })
    }

    /// Sends a pending invite again: a new mail and a new clock, and for somebody without an account a
    /// new secret, which ends the one before.
    pub async fn resend_invite(&self, call: &Call, id: InviteId) -> Result<Invite> {
        use_case!(self, call, |tx| {
            self.lock_invite(&mut tx, call, id).await?;
            let permit: InvitePermit<Withdraw> = access::withdrawal(&mut tx, call, id).await?;
            let now = tx.moment(&self.db.clock).await?;
            let invite = store::invites::view(&mut tx, &permit, now).await?;
            if invite.state != InviteState::Pending {
                return Err(closed(invite.state));
            }
            if invite.kind == InviteKind::Group && invite.dormant {
                return Err(Error::conflict(ConflictKind::InviteSleeps));
            }
            let by_secret = invite.dormant || invite.kind == InviteKind::Platform;
            if by_secret && !self.sends_mail() {
                // A new secret would end the one that was mailed, and reach nobody.
                return Err(Error::conflict(ConflictKind::NoMail));
            }
            let mailed = store::invites::mailed_since(&mut tx, id, now.before(InviteLimits::WINDOW)).await?;
            not_too_soon(&mailed, now)?;
            if let Some(email) = &invite.invitee_email {
                let mails = self.mailed_lately(&mut tx, std::slice::from_ref(email), now).await?;
                if self.flooded(&mails, email) {
                    return Err(Error::conflict(ConflictKind::InvitedTooOften));
                }
            }
            self.within_limits(&mut tx, permit.actor(), 1, 0, now).await?;
            let to = std::iter::once(invite.invitee_email.as_ref());
            self.count_sent(&mut tx, permit.actor(), to, now).await?;
            let expires_at = now.after(self.invites.life);
            let secret = Secret::generate(Prefix::Invite)?;
            let done = match invite.kind {
                InviteKind::Group => store::invites::prolong_group(&mut tx, &permit, expires_at).await?,
                InviteKind::Org => {
                    if invite.dormant {
                        store::invites::renew_secret(&mut tx, &permit, &secret, expires_at).await?;
                    }
                    store::invites::prolong_org(&mut tx, &permit, expires_at).await?
                }
                InviteKind::Platform => {
                    store::invites::prolong_carried(&mut tx, &permit, expires_at).await?;
                    store::invites::renew_secret(&mut tx, &permit, &secret, expires_at).await?
                }
            };
            if !done {
                return Err(closed(store::invites::view(&mut tx, &permit, now).await?.state));
            }
            let invite = Invite { expires_at: Some(expires_at), ..invite };
            let secret = by_secret.then_some(&secret);
            let entry = written(on(&permit, "invite.resent", &invite), &invite, secret);
            journal::commit(self, tx, call, vec![entry], invite).await
        })
    }

    /// Says of past-due invites that they are expired, with what slept on them. Whether one can still be
    /// answered is decided when it is; this only tidies up. Answers how many ended.
    pub(crate) async fn expire_invites(&self) -> Result<u64> {
        const MOST: i64 = 1_000;
        let call = Call::system("sweep");
        let mut all = 0;
        loop {
            let ended = use_case!(self, &call, |tx| {
                let now = tx.moment(&self.db.clock).await?;
                let [orgs, groups, platforms] = store::invites::past_due(&mut tx, now, MOST).await?;
                let more = [&orgs, &groups, &platforms].iter().any(|due| due.len() >= 1_000);
                let (orgs, sleepers) = store::invites::end_orgs(&mut tx, &orgs, InviteState::Expired).await?;
                let groups = store::invites::end_groups(&mut tx, &groups, InviteState::Expired).await?;
                let platforms =
                    store::invites::end_platforms(&mut tx, &platforms, InviteState::Expired).await?;
                let ids = orgs.into_iter().chain(platforms);
                let ids = ids.chain(sleepers.into_iter().chain(groups).map(|(id, _)| id));
                let places = store::invites::places(&mut tx, ids.map(InviteId::uuid)).await?;
                let entries: Vec<Entry> =
                    places.into_iter().map(|(id, (org, group))| expired(id.into(), org, group)).collect();
                let ended = entries.len() as u64;
                journal::commit(self, tx, &call, entries, (ended, more)).await
            })?;
            all += ended.0;
            if !ended.1 {
                return Ok(all);
            }
        }
    }

    /// Locks where an invite leads: the organisation, the group, or all groups that sleep on an
    /// organisation's invite. Rights are decided once they are held.
    async fn lock_invite(&self, tx: &mut Tx, call: &Call, id: InviteId) -> Result<()> {
        call.user()?;
        let facts = store::invites::locate(tx, id).await?.ok_or(Error::NotFound)?;
        match (facts.org, facts.group) {
            (Some(org), Some(group)) => {
                lock::org(tx, org, OrgLock::Share).await?;
                lock::groups(tx, &[group], GroupLock::Members).await
            }
            (Some(org), None) => {
                lock::org(tx, org, OrgLock::Change).await?;
                // No invite to the organisation is made or answered meanwhile, so these are all.
                let groups = store::invites::groups_concerned(tx, &facts).await?;
                lock::groups(tx, &groups, GroupLock::Members).await
            }
            (None, _) => Ok(()),
        }
    }

    /// An expired invite of the pair must not stand in the way of a new one, whoever sent it.
    pub(super) async fn expire_pairs_in_org(
        &self,
        tx: &mut Tx,
        permit: &Permit<Administer, OrgId>,
        emails: &[Email],
        now: Timestamp,
    ) -> Result<Vec<Entry>> {
        let due = store::invites::due_in_org(tx, permit, emails, now).await?;
        self.expire_orgs(tx, permit.target(), &due).await
    }

    /// The same for a group.
    pub(super) async fn expire_pairs_in_group(
        &self,
        tx: &mut Tx,
        permit: &Permit<Administer, GroupId>,
        people: &[UserId],
        now: Timestamp,
    ) -> Result<Vec<Entry>> {
        if planted!("I7: an expired invite stands in the way") {
            return Ok(Vec::new());
        }
        let due = store::invites::due_in_group(tx, permit, people, now).await?;
        let ended = store::invites::end_groups(tx, &due, InviteState::Expired).await?;
        let org = permit.home().org;
        Ok(ended.into_iter().map(|(id, group)| expired(id, Some(org), Some(group))).collect())
    }

    /// Says of an invite that is past due that it is expired, if nobody has yet.
    async fn time_ended(
        &self,
        tx: &mut Tx,
        permit: &InvitePermit<Answer>,
        invite: &Invite,
    ) -> Result<Vec<Entry>> {
        match permit.place() {
            (org, Some(_)) => {
                let ended = store::invites::end_groups(tx, &[invite.id], InviteState::Expired).await?;
                Ok(ended.into_iter().map(|(id, group)| expired(id, org, Some(group))).collect())
            }
            (Some(org), None) => self.expire_orgs(tx, org, &[invite.id]).await,
            // Nobody is its invitee.
            (None, None) => Err(Error::NotFound),
        }
    }

    /// Time has ended these invites to an organisation, and what sleeps on them.
    pub(super) async fn expire_orgs(&self, tx: &mut Tx, org: OrgId, due: &[InviteId]) -> Result<Vec<Entry>> {
        let (ended, sleepers) = store::invites::end_orgs(tx, due, InviteState::Expired).await?;
        let sleepers = sleepers.into_iter().map(|(id, group)| expired(id, Some(org), Some(group)));
        Ok(ended.into_iter().map(|id| expired(id, Some(org), None)).chain(sleepers).collect())
    }
}

/// The invite, if its state lets it be answered.
fn pending(invite: &Invite) -> Result<Pending> {
    Pending::of(invite.state, invite.invitee_role, invite.expires_at).map_err(closed)
}

pub(super) fn closed(state: InviteState) -> Error {
    Error::conflict(ConflictKind::InviteClosed(state))
}

/// Ends an invite with all that depends on it, by whoever holds a right to.
async fn end<A>(
    tx: &mut Tx,
    permit: &InvitePermit<A>,
    invite: &Invite,
    state: InviteState,
) -> Result<Vec<Entry>> {
    let action = match state {
        InviteState::Declined => "invite.declined",
        _ => "invite.revoked",
    };
    let mut entries = vec![on(permit, action, invite)];
    let ended = match invite.kind {
        InviteKind::Group => !store::invites::end_groups(tx, &[invite.id], state).await?.is_empty(),
        InviteKind::Org => {
            let (ended, sleepers) = store::invites::end_orgs(tx, &[invite.id], state).await?;
            entries.extend(ended_sleepers(permit, action, &sleepers));
            !ended.is_empty()
        }
        InviteKind::Platform => {
            let ended = !store::invites::end_platforms(tx, &[invite.id], state).await?.is_empty();
            let carried = store::invites::carried_by(tx, permit).await?;
            let (carried, sleepers) = store::invites::end_orgs(tx, &carried, state).await?;
            entries.extend(carried.iter().map(|id| on_id(permit, action, *id)));
            entries.extend(ended_sleepers(permit, action, &sleepers));
            ended
        }
    };
    if ended {
        return Ok(entries);
    }
    // Somebody was quicker, by a moment or by days.
    let now = tx.now();
    Err(closed(store::invites::view(tx, permit, now).await?.state))
}

fn on<A>(permit: &InvitePermit<A>, action: &'static str, invite: &Invite) -> Entry {
    on_id(permit, action, invite.id)
}

fn on_id<A>(permit: &InvitePermit<A>, action: &'static str, id: InviteId) -> Entry {
    let (org, group) = permit.place();
    Entry::about(permit.via(), action, Subject::invite(id)).at(org, group)
}

/// Nobody ends an invite that is past due, whoever comes by first and says so.
pub(super) fn expired(id: InviteId, org: Option<OrgId>, group: Option<GroupId>) -> Entry {
    Entry::about(Via::System, "invite.expired", Subject::invite(id)).at(org, group)
}

fn ended_sleepers<'s, A>(
    permit: &'s InvitePermit<A>,
    action: &'static str,
    sleepers: &'s [(InviteId, GroupId)],
) -> impl Iterator<Item = Entry> + 's {
    sleepers.iter().map(move |(id, group)| on_id(permit, action, *id).in_group(*group))
}

fn not_too_soon(mailed: &[Timestamp], now: Timestamp) -> Result<()> {
    if planted!("I13: an invite is mailed again at once") {
        return Ok(());
    }
    let wait = match mailed {
        [last, ..] if now.since(*last) < InviteLimits::RESEND_PAUSE => {
            last.after(InviteLimits::RESEND_PAUSE).since(now)
        }
        all => match all.get(InviteLimits::PER_PAIR - 1) {
            Some(earlier) => earlier.after(InviteLimits::WINDOW).since(now),
            None => return Ok(()),
        },
    };
    Err(Error::TooMany { retry_after: wait.max(std::time::Duration::from_secs(1)) })
}

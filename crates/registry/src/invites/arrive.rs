//! Coming into an organisation, by one's own answer or because somebody adds one: what slept on invites to
//! it wakes or ends, and those that were not answered have been overtaken.

use std::collections::{BTreeMap, BTreeSet, btree_map};

use super::{
    InviteState,
    answer::expired,
    letters,
    life::{self, Accepted, Arrived, Fate},
};
use crate::{
    Registry,
    access::{self, Administer, ArrivalPermit, Permit, Role},
    clock::Timestamp,
    error::Result,
    ids::{GroupId, InviteId, OrgId, UserId},
    journal::{Changes, Entry, Subject},
    members::Member,
    store::{self, Tx, lock, lock::GroupLock},
};

/// The pending invites to an organisation of somebody who is added to it.
pub(crate) struct Overtaken {
    due: Vec<InviteId>,
    open: Vec<InviteId>,
}

impl Registry {
    /// What waits in an organisation for those who are about to be added to it, with the groups concerned and
    /// the accounts of who invites to them locked. Whoever has nothing waiting is not in it. The caller has locked the organisation for change, so that nothing else comes.
    pub(crate) async fn lock_overtaken(
        &self,
        tx: &mut Tx,
        permit: &Permit<Administer, OrgId>,
        added: &[Member],
    ) -> Result<BTreeMap<UserId, Overtaken>> {
        let now = tx.moment(&self.db.clock).await?;
        let people: Vec<UserId> = added.iter().map(|member| member.member_id).collect();
        let mut found: BTreeMap<UserId, Overtaken> = BTreeMap::new();
        for (id, person, end) in store::invites::waiting_in_org(tx, permit, &people).await? {
            let theirs = found.entry(person).or_insert(Overtaken { due: Vec::new(), open: Vec::new() });
            if end <= now { theirs.due.push(id) } else { theirs.open.push(id) }
        }
        if found.is_empty() {
            return Ok(found);
        }
        let beds: Vec<InviteId> =
            found.values().flat_map(|theirs| theirs.due.iter().chain(&theirs.open)).copied().collect();
        let groups = store::invites::groups_asleep(tx, &beds).await?;
        lock::groups(tx, &groups, GroupLock::Members).await?;
        // Everybody's at once, because accounts are locked by ascending id.
        let open: Vec<InviteId> = found.values().flat_map(|theirs| &theirs.open).copied().collect();
        let sleepers = store::invites::sleepers_of(tx, &open).await?;
        let inviters: Vec<UserId> = sleepers.iter().map(|sleeper| sleeper.inviter).collect();
        lock::users_shared(tx, &inviters).await?;
        Ok(found)
    }

    /// These people are in now, as what they were added: their invites to the organisation have been
    /// overtaken, and the groups that came along are theirs to answer: how many, for the one letter that tells
    /// them. One for each group would be a way to mail somebody without end, since nobody counts them.
    pub(crate) async fn settle_overtaken(
        &self,
        tx: &mut Tx,
        permit: &Permit<Administer, OrgId>,
        waiting: &BTreeMap<UserId, Overtaken>,
    ) -> Result<(Vec<Entry>, BTreeMap<UserId, usize>)> {
        let now = tx.moment(&self.db.clock).await?;
        let (mut entries, mut awake) = (Vec::new(), BTreeMap::new());
        for (person, Overtaken { due, open }) in waiting {
            let arrival = permit.arrival(*person);
            entries.extend(self.expire_orgs(tx, arrival.org(), due).await?);
            let sleepers = store::invites::sleepers_of(tx, open).await?;
            let woken = self.wake(tx, &arrival, &sleepers, now).await?;
            awake.insert(*person, woken.iter().filter(|entry| entry.action == "invite.woken").count());
            entries.extend(woken);
            entries.extend(overtaken(tx, &arrival, open).await?);
        }
        Ok((entries, awake))
    }

    /// Decides about the group invites that slept, one by one, and does it. The caller has locked the groups and
    /// the accounts of the inviters.
    pub(super) async fn wake(
        &self,
        tx: &mut Tx,
        arrival: &ArrivalPermit,
        sleepers: &[life::Sleeper],
        now: Timestamp,
    ) -> Result<Vec<Entry>> {
        if sleepers.is_empty() {
            return Ok(Vec::new());
        }
        let groups: BTreeSet<GroupId> = sleepers.iter().map(|sleeper| sleeper.group).collect();
        let groups: Vec<GroupId> = groups.into_iter().collect();
        let due = store::invites::expire_own(tx, arrival, &groups, now).await?;
        let mut entries: Vec<Entry> =
            due.into_iter().map(|(id, group)| expired(id, Some(arrival.org()), Some(group))).collect();
        let already = store::invites::already(tx, arrival.person(), &groups, now).await?;
        let mut roles: BTreeMap<UserId, BTreeMap<GroupId, Role>> = BTreeMap::new();
        for sleeper in sleepers {
            if let btree_map::Entry::Vacant(first) = roles.entry(sleeper.inviter) {
                first.insert(access::roles_of(tx, sleeper.inviter, &groups).await?);
            }
        }
        let fates = life::wake(
            arrival.how(),
            sleepers,
            |group| already.get(&group).copied().unwrap_or_default(),
            |inviter, group| roles.get(&inviter).and_then(|theirs| theirs.get(&group)).copied(),
        );
        let ids = |wanted: fn(&Fate) -> bool| -> Vec<InviteId> {
            fates.iter().filter(|(_, fate)| wanted(fate)).map(|(id, _)| *id).collect()
        };
        let again = now.after(self.invites.life);
        let woken = ids(|fate| *fate == Fate::Wakes);
        let mut met = store::invites::wake_groups(tx, arrival, &woken, InviteState::Pending, again).await?;
        let joining = ids(|fate| matches!(fate, Fate::Joins(_)));
        met.extend(store::invites::wake_groups(tx, arrival, &joining, InviteState::Accepted, again).await?);
        let clashing = ids(|fate| *fate == Fate::Revoked);
        let revoked = store::invites::end_groups(tx, &clashing, InviteState::Revoked).await?;
        met.extend(revoked.into_iter().map(|(id, _)| id));
        let met: BTreeSet<InviteId> = met.into_iter().collect();
        // One that has ended in this moment, because its inviter was shut out or by time, is no one's to join by.
        for sleeper in sleepers.iter().filter(|sleeper| met.contains(&sleeper.id)) {
            let action = match fates.get(&sleeper.id) {
                Some(Fate::Wakes) => "invite.woken",
                Some(Fate::Joins(accepted)) => {
                    store::memberships::join(tx, arrival, sleeper.group, *accepted).await?;
                    entries.push(joined(arrival, Some(sleeper.group), *accepted));
                    "invite.accepted"
                }
                Some(Fate::Revoked) | None => "invite.revoked",
            };
            entries.push(by_arrival(arrival, action, sleeper.id, Some(sleeper.group)));
        }
        let woken: Vec<InviteId> = woken.into_iter().filter(|id| met.contains(id)).collect();
        match arrival.how() {
            Arrived::ByAnswer => letters::woken(tx, entries, &woken, now).await,
            Arrived::ByOthers => Ok(entries),
        }
    }
}

/// Ends invites to the organisation that are of no use any more, with what still sleeps on them.
pub(super) async fn overtaken(
    tx: &mut Tx,
    arrival: &ArrivalPermit,
    invites: &[InviteId],
) -> Result<Vec<Entry>> {
    let (ended, orphans) = store::invites::end_orgs(tx, invites, InviteState::Revoked).await?;
    let ended = ended.into_iter().map(|id| (id, None));
    let all = ended.chain(orphans.into_iter().map(|(id, group)| (id, Some(group))));
    Ok(all.map(|(id, group)| by_arrival(arrival, "invite.revoked", id, group)).collect())
}

/// A membership that was made by an invite.
pub(super) fn joined(arrival: &ArrivalPermit, group: Option<GroupId>, accepted: Accepted) -> Entry {
    Entry::about(arrival.via(), "member.added", Subject::user(arrival.person()))
        .at(Some(arrival.org()), group)
        .with(Changes::default().made("role", accepted.role()))
}

fn by_arrival(arrival: &ArrivalPermit, action: &'static str, id: InviteId, group: Option<GroupId>) -> Entry {
    Entry::about(arrival.via(), action, Subject::invite(id)).at(Some(arrival.org()), group)
}

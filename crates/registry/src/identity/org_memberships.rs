//! Organisation memberships: who belongs to an organisation, and how ownership of it is handed over.
//!
//! All that changes members happens under the organisation's row lock, taken before anything is
//! read. Group members must be members of the group's organisation, so leaving it means leaving its
//! groups in the same transaction; a group that would lose its last owner by that falls to the
//! organisation's owners.

use std::collections::{BTreeMap, HashSet};

use crate::{
    Registry,
    access::{self, Administer, EndMemberships, Own, Permit, Role, View, outranks},
    actor::Call,
    error::{ConflictKind, Denial, Error, Result},
    groups::{bulk_size, no_repeats},
    ids::{OrgId, UserId},
    journal::{self, Changes, Entry, Subject},
    mail::{Letter, Notices, Place},
    members::{
        self, Member, MemberFilter, MemberOrder, MemberRef, NewMember, RoleChange, Standing, never_owner,
        refuse,
    },
    page::{Page, PageQuery},
    store::{
        self, Tx, lock,
        lock::{GroupLock, OrgLock},
        org_memberships::Departure,
    },
};

use super::users::UserStatus;

impl Registry {
    /// The members of an organisation. Addresses, and looking for or sorting by them, are for admins.
    pub async fn list_org_members(
        &self,
        call: &Call,
        org: OrgId,
        filter: &MemberFilter,
        query: &PageQuery<MemberOrder>,
    ) -> Result<Page<Member>> {
        let mut conn = self.db.read().await?;
        let permit: Permit<View, OrgId> = access::permit(&mut conn, call, org).await?;
        let addresses = permit.role() >= Role::Admin;
        if !addresses && (filter.email.is_some() || *query.order() == MemberOrder::Email) {
            return Err(Error::Forbidden(Denial::Role));
        }
        let page =
            store::org_memberships::list(&mut conn, &self.keyring, call.user()?, &permit, filter, query)
                .await?;
        Ok(page.map(|member| Member { email: member.email.filter(|_| addresses), ..member }))
    }

    /// One member of an organisation.
    pub async fn view_org_member(&self, call: &Call, org: OrgId, member: UserId) -> Result<Member> {
        let mut conn = self.db.read().await?;
        let permit: Permit<View, OrgId> = access::permit(&mut conn, call, org).await?;
        let mut present = store::org_memberships::standings(&mut conn, &permit, &[member]).await?;
        let standing = present.remove(&member).ok_or(Error::NotFound)?;
        Ok(Member {
            member_id: member,
            email: standing.email.filter(|_| permit.role() >= Role::Admin),
            role: standing.role.ok_or(Error::NotFound)?,
        })
    }

    /// Takes people with an account into an organisation, all or none, and answers them in the order
    /// given. Their invites to it end by that, and what sleeps on them is theirs to answer.
    pub async fn add_org_members(
        &self,
        call: &Call,
        org: OrgId,
        members: &[NewMember],
    ) -> Result<Vec<Member>> {
        bulk_size("org_memberships", members.len())?;
        never_owner(members.iter().map(|member| member.role))?;
        use_case!(self, call, |tx| {
            lock::org(&mut tx, org, OrgLock::Change).await?;
            let permit: Permit<Administer, OrgId> = access::permit(&mut tx, call, org).await?;
            for member in members {
                outranks(permit.role(), member.role)?;
            }
            let added = members::resolve(&mut tx, &permit, members).await?;
            let ids: Vec<UserId> = added.iter().map(|member| member.member_id).collect();
            let present = store::org_memberships::standings(&mut tx, &permit, &ids).await?;
            refuse(ConflictKind::AlreadyMember, &ids, |id| present.contains_key(id))?;
            let waiting = self.lock_overtaken(&mut tx, &permit, &added).await?;
            store::org_memberships::insert(&mut tx, &permit, &added).await?;
            let (settled, awake) = self.settle_overtaken(&mut tx, &permit, &waiting).await?;
            let notices = Notices::in_org(self, &mut tx, call, &permit, ids).await?;
            let mut entries: Vec<Entry> = added
                .iter()
                .map(|member| {
                    let entry = Entry::by(&permit, "member.added", Subject::user(member.member_id))
                        .with(Changes::default().made("role", member.role));
                    notices.tell(entry, member.member_id, |place, by| Letter::MemberAdded {
                        place,
                        role: member.role,
                        by,
                        waiting: awake.get(&member.member_id).copied().unwrap_or(0),
                    })
                })
                .collect();
            entries.extend(settled);
            journal::commit(self, tx, call, entries, added).await
        })
    }

    /// Which members of an organisation those are who are named by address, in the order given: for a
    /// request to change them.
    pub async fn find_org_members(&self, call: &Call, org: OrgId, who: &[MemberRef]) -> Result<Vec<UserId>> {
        bulk_size("org_memberships", who.len())?;
        let mut conn = self.db.read().await?;
        let permit: Permit<Administer, OrgId> = access::permit(&mut conn, call, org).await?;
        members::named(&mut conn, &permit, who).await
    }

    /// Changes members' roles, all or none, and answers them in the order given.
    pub async fn update_org_members(
        &self,
        call: &Call,
        org: OrgId,
        changes: &[RoleChange],
    ) -> Result<Vec<Member>> {
        bulk_size("org_memberships", changes.len())?;
        never_owner(changes.iter().map(|change| change.role))?;
        let mut errors = Vec::new();
        no_repeats("member_id", changes.iter().map(|change| Some(change.member_id)), &mut errors);
        if !errors.is_empty() {
            return Err(Error::Invalid(errors));
        }
        let ids: Vec<UserId> = changes.iter().map(|change| change.member_id).collect();
        use_case!(self, call, |tx| {
            lock::org(&mut tx, org, OrgLock::Change).await?;
            let permit: Permit<Administer, OrgId> = access::permit(&mut tx, call, org).await?;
            let present = store::org_memberships::standings(&mut tx, &permit, &ids).await?;
            refuse(ConflictKind::NotAMember, &ids, |id| !present.contains_key(id))?;
            let notices = Notices::in_org(self, &mut tx, call, &permit, present.keys().copied()).await?;
            let (mut after, mut entries) = (Vec::with_capacity(ids.len()), Vec::new());
            for RoleChange { member_id, role } in changes {
                let Some(Standing { role: before, email }) = present.get(member_id) else { continue };
                permit.covers_change(call, *member_id, *before, *role)?;
                if *before != Some(*role) {
                    store::org_memberships::set_role(&mut tx, &permit, *member_id, *role).await?;
                    let changes = Changes::default().field("role", before, &Some(*role));
                    let entry = Entry::by(&permit, "member.updated", Subject::user(*member_id)).with(changes);
                    entries.push(notices.role_changed(entry, *member_id, *before, *role));
                }
                after.push(Member { member_id: *member_id, email: email.clone(), role: *role });
            }
            owners_left(&mut tx, &permit, &ids, &present).await?;
            journal::commit(self, tx, call, entries, after).await
        })
    }

    /// Removes members of lower rank from an organisation and its groups, or the caller themself, all
    /// or none. Their pending invites there end, also those they sent, and so do their access tokens
    /// for it.
    pub async fn remove_org_members(&self, call: &Call, org: OrgId, ids: &[UserId]) -> Result<()> {
        bulk_size("member_ids", ids.len())?;
        use_case!(self, call, |tx| {
            lock::org(&mut tx, org, OrgLock::Change).await?;
            let permit = access::removal(&mut tx, call, org, ids).await?;
            let present = store::org_memberships::standings(&mut tx, &permit, ids).await?;
            refuse(ConflictKind::NotAMember, ids, |id| !present.contains_key(id))?;
            for (member, Standing { role, .. }) in &present {
                permit.covers_removal(call, *member, *role)?;
            }
            let leaving: Vec<UserId> = present.keys().copied().collect();
            // Nobody is added to a group of the organisation while its row is locked for change.
            let groups = store::org_memberships::groups_of(&mut tx, &permit, &leaving).await?;
            lock::groups(&mut tx, &groups, GroupLock::Members).await?;
            store::org_memberships::remove(&mut tx, &permit, &leaving).await?;
            let heirs = owners_left(&mut tx, &permit, ids, &present).await?;
            let departure = store::org_memberships::leave_groups(&mut tx, &permit, &leaving, &heirs).await?;
            if heirs.is_empty() && !departure.orphaned.is_empty() {
                return Err(Error::conflict(ConflictKind::LastOwner));
            }
            let concerned = leaving.iter().chain(&heirs).copied();
            let notices = Notices::in_org(self, &mut tx, call, &permit, concerned).await?;
            let inherited = notices.names(&mut tx, &permit, &departure).await?;
            let entries = departures(&permit, &present, &departure, &notices, &inherited);
            journal::commit(self, tx, call, entries, ()).await
        })
    }

    /// Hands an organisation over to one of its members. The caller, if an owner by membership, becomes
    /// admin; where a platform administrator does it, the present owners do.
    pub async fn transfer_org(&self, call: &Call, org: OrgId, to: UserId) -> Result<()> {
        let caller = call.user()?.id();
        if to == caller {
            return Err(Error::invalid("member_id", "must be another member than yourself"));
        }
        use_case!(self, call, |tx| {
            lock::org(&mut tx, org, OrgLock::Change).await?;
            let permit: Permit<Own, OrgId> = access::permit(&mut tx, call, org).await?;
            let present = store::org_memberships::standings(&mut tx, &permit, &[to]).await?;
            let heir = present.get(&to).ok_or(Error::conflict(ConflictKind::NotAMember))?;
            let account = store::users::account(&mut tx, to).await?;
            if account.is_none_or(|account| account.status != UserStatus::Enabled) {
                return Err(Error::invalid("member_id", "must be somebody who can log in"));
            }
            let owners = store::org_memberships::owners(&mut tx, &permit).await?;
            let concerned = owners.iter().copied().chain([to]);
            let notices = Notices::in_org(self, &mut tx, call, &permit, concerned).await?;
            let by_owner = owners.contains(&caller);
            store::org_memberships::set_role(&mut tx, &permit, to, Role::Owner).await?;
            let risen = Changes::default().field("role", &heir.role, &Some(Role::Owner));
            let entry = Entry::by(&permit, "org.transferred", Subject::user(to)).with(risen);
            let mut entries =
                vec![notices.tell(entry, to, |place, by| Letter::OwnershipReceived { place, by })];
            for owner in owners.into_iter().filter(|owner| *owner != to && (!by_owner || *owner == caller)) {
                store::org_memberships::set_role(&mut tx, &permit, owner, Role::Admin).await?;
                let stepped_down = Changes::default().field("role", &Role::Owner, &Role::Admin);
                let entry = Entry::by(&permit, "member.updated", Subject::user(owner)).with(stepped_down);
                entries.push(notices.role_changed(entry, owner, Some(Role::Owner), Role::Admin));
            }
            journal::commit(self, tx, call, entries, ()).await
        })
    }
}

/// The organisation must have an owner still, unless it had none among those whom the request
/// touched. Tells who they are.
async fn owners_left<A: access::Action>(
    tx: &mut Tx,
    permit: &Permit<A, OrgId>,
    touched: &[UserId],
    before: &BTreeMap<UserId, Standing>,
) -> Result<Vec<UserId>> {
    let owners = store::org_memberships::owners(tx, permit).await?;
    if owners.is_empty() {
        refuse(ConflictKind::LastOwner, touched, |member| before.get(member).is_some_and(Standing::owns))?;
    }
    Ok(owners)
}

/// What a removal did, in the order it is understood: invites end, groups change hands, then people go.
/// Each person is written to once, however many groups it was about.
fn departures(
    permit: &Permit<EndMemberships, OrgId>,
    present: &BTreeMap<UserId, Standing>,
    departure: &Departure,
    notices: &Notices,
    inherited: &[String],
) -> Vec<Entry> {
    let owner = Some(Role::Owner);
    let revoked = departure.revoked.iter().map(|(invite, group)| {
        let entry = Entry::by(permit, "invite.revoked", Subject::invite(*invite));
        entry.at(Some(permit.target()), *group)
    });
    let mut told = HashSet::new();
    let adopted = departure.adoptions.iter().map(|adoption| {
        let action = if adoption.was_member { "member.updated" } else { "member.added" };
        let entry = Entry::by(permit, action, Subject::user(adoption.heir))
            .in_group(adoption.group)
            .with(Changes::default().field("role", &adoption.before, &owner));
        if told.insert(adoption.heir) {
            // Every heir gets every group.
            notices.tell(entry, adoption.heir, |place, by| Letter::GroupsInherited {
                place: Place { groups: inherited.to_vec(), ..place },
                by,
            })
        } else {
            entry
        }
    });
    let left = departure.left.iter().map(|(group, member, role)| {
        Entry::by(permit, "member.removed", Subject::user(*member))
            .in_group(*group)
            .with(Changes::default().field("role", role, &None::<Role>))
    });
    let gone = present.iter().map(|(member, standing)| {
        let changes = Changes::default().field("role", &standing.role, &None::<Role>);
        let entry = Entry::by(permit, "member.removed", Subject::user(*member)).with(changes);
        notices.tell(entry, *member, |place, by| Letter::MemberRemoved { place, by })
    });
    revoked.chain(adopted).chain(left).chain(gone).collect()
}

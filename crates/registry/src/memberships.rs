//! Group memberships: who may do what in a group, and how ownership of it is handed over.
//!
//! All that changes members happens under the group's row lock, taken before anything is read: so no
//! two requests can each see the other's owner and together leave none. The organisation's row is
//! shared before that, so that its members, of whom the group's must be, stay as they are.

use std::collections::BTreeMap;

use crate::{
    Registry,
    access::{self, Administer, Own, Permit, Role, View, Visible, outranks},
    actor::Call,
    error::{ConflictKind, Denial, Error, Result},
    groups::{bulk_size, no_repeats},
    identity::users::UserStatus,
    ids::{GroupId, UserId},
    journal::{self, Changes, Entry, Subject},
    mail::{Letter, Notices},
    members::{
        self, Member, MemberFilter, MemberOrder, MemberRef, NewMember, RoleChange, Standing, never_owner,
        refuse,
    },
    page::{Page, PageQuery},
    store::{self, Tx, lock, lock::GroupLock},
};

impl Registry {
    /// The members of a group. Addresses, and looking for or sorting by them, are for admins.
    pub async fn list_group_members(
        &self,
        call: &Call,
        group: GroupId,
        filter: &MemberFilter,
        query: &PageQuery<MemberOrder>,
    ) -> Result<Page<Member>> {
        let mut conn = self.db.read().await?;
        let permit: Permit<View, GroupId> = access::permit(&mut conn, call, group).await?;
        let addresses = permit.role() >= Role::Admin;
        if !addresses && (filter.email.is_some() || *query.order() == MemberOrder::Email) {
            return Err(Error::Forbidden(Denial::Role));
        }
        let visible = Visible::in_group(call, &permit)?;
        let page =
            store::memberships::list(&mut conn, &self.keyring, call.user()?, &visible, filter, query).await?;
        Ok(page.map(|member| Member { email: member.email.filter(|_| addresses), ..member }))
    }

    /// Takes people of the organisation into a group, all or none, and answers them in the order given.
    pub async fn add_group_members(
        &self,
        call: &Call,
        group: GroupId,
        members: &[NewMember],
    ) -> Result<Vec<Member>> {
        bulk_size("group_memberships", members.len())?;
        never_owner(members.iter().map(|member| member.role))?;
        use_case!(self, call, |tx| {
            lock_members(&mut tx, group).await?;
            let permit: Permit<Administer, GroupId> = access::permit(&mut tx, call, group).await?;
            for member in members {
                outranks(permit.role(), member.role)?;
            }
            let added = members::resolve(&mut tx, &permit, members).await?;
            let ids: Vec<UserId> = added.iter().map(|member| member.member_id).collect();
            let in_org = store::memberships::in_org(&mut tx, &permit, &ids).await?;
            refuse(ConflictKind::NotInOrg, &ids, |id| !in_org.contains(id))?;
            let present = store::memberships::standings(&mut tx, &permit, &ids).await?;
            refuse(ConflictKind::AlreadyMember, &ids, |id| present.contains_key(id))?;
            store::memberships::insert(&mut tx, &permit, &added).await?;
            let notices = Notices::in_group(self, &mut tx, call, &permit, ids).await?;
            let entries = added
                .iter()
                .map(|member| {
                    let entry = Entry::by(&permit, "member.added", Subject::user(member.member_id))
                        .with(Changes::default().made("role", member.role));
                    notices.tell(entry, member.member_id, |place, by| Letter::MemberAdded {
                        place,
                        role: member.role,
                        by,
                        waiting: 0,
                    })
                })
                .collect();
            journal::commit(self, tx, call, entries, added).await
        })
    }

    /// Which members of a group those are who are named by address, in the order given: for a request
    /// to change them.
    pub async fn find_group_members(
        &self,
        call: &Call,
        group: GroupId,
        who: &[MemberRef],
    ) -> Result<Vec<UserId>> {
        bulk_size("group_memberships", who.len())?;
        let mut conn = self.db.read().await?;
        let permit: Permit<Administer, GroupId> = access::permit(&mut conn, call, group).await?;
        members::named(&mut conn, &permit, who).await
    }

    /// Changes members' roles, all or none, and answers them in the order given.
    pub async fn update_group_members(
        &self,
        call: &Call,
        group: GroupId,
        changes: &[RoleChange],
    ) -> Result<Vec<Member>> {
        bulk_size("group_memberships", changes.len())?;
        never_owner(changes.iter().map(|change| change.role))?;
        let mut errors = Vec::new();
        no_repeats("member_id", changes.iter().map(|change| Some(change.member_id)), &mut errors);
        if !errors.is_empty() {
            return Err(Error::Invalid(errors));
        }
        let ids: Vec<UserId> = changes.iter().map(|change| change.member_id).collect();
        use_case!(self, call, |tx| {
            lock_members(&mut tx, group).await?;
            let permit: Permit<Administer, GroupId> = access::permit(&mut tx, call, group).await?;
            let present = store::memberships::standings(&mut tx, &permit, &ids).await?;
            refuse(ConflictKind::NotAMember, &ids, |id| !present.contains_key(id))?;
            let notices = Notices::in_group(self, &mut tx, call, &permit, present.keys().copied()).await?;
            let (mut after, mut entries) = (Vec::with_capacity(ids.len()), Vec::new());
            for RoleChange { member_id, role } in changes {
                let Some(Standing { role: before, email }) = present.get(member_id) else { continue };
                permit.covers_change(call, *member_id, *before, *role)?;
                if *before != Some(*role) {
                    store::memberships::set_role(&mut tx, &permit, *member_id, *role).await?;
                    let changes = Changes::default().field("role", before, &Some(*role));
                    let entry = Entry::by(&permit, "member.updated", Subject::user(*member_id)).with(changes);
                    entries.push(notices.role_changed(entry, *member_id, *before, *role));
                }
                after.push(Member { member_id: *member_id, email: email.clone(), role: *role });
            }
            keep_an_owner(&mut tx, &permit, &ids, &present).await?;
            journal::commit(self, tx, call, entries, after).await
        })
    }

    /// Removes members of lower rank from a group, or the caller themself, all or none. Their pending
    /// invites to the group end, also those they sent, and so do their access tokens for it.
    pub async fn remove_group_members(&self, call: &Call, group: GroupId, ids: &[UserId]) -> Result<()> {
        bulk_size("member_ids", ids.len())?;
        use_case!(self, call, |tx| {
            lock_members(&mut tx, group).await?;
            let permit = access::removal(&mut tx, call, group, ids).await?;
            let present = store::memberships::standings(&mut tx, &permit, ids).await?;
            refuse(ConflictKind::NotAMember, ids, |id| !present.contains_key(id))?;
            let notices = Notices::in_group(self, &mut tx, call, &permit, present.keys().copied()).await?;
            let mut entries = Vec::with_capacity(present.len());
            for (member, Standing { role, .. }) in &present {
                permit.covers_removal(call, *member, *role)?;
                let revoked = store::memberships::remove(&mut tx, &permit, *member).await?;
                entries.extend(
                    revoked.into_iter().map(|id| Entry::by(&permit, "invite.revoked", Subject::invite(id))),
                );
                let changes = Changes::default().field("role", role, &None::<Role>);
                let entry = Entry::by(&permit, "member.removed", Subject::user(*member)).with(changes);
                entries.push(notices.tell(entry, *member, |place, by| Letter::MemberRemoved { place, by }));
            }
            keep_an_owner(&mut tx, &permit, ids, &present).await?;
            journal::commit(self, tx, call, entries, ()).await
        })
    }

    /// Hands a group over to one of its members. The caller, if an owner by membership, becomes admin;
    /// where somebody else decides, the present owners do.
    pub async fn transfer_group(&self, call: &Call, group: GroupId, to: UserId) -> Result<()> {
        let caller = call.user()?.id();
        if to == caller {
            return Err(Error::invalid("member_id", "must be another member than yourself"));
        }
        use_case!(self, call, |tx| {
            lock_members(&mut tx, group).await?;
            let permit: Permit<Own, GroupId> = access::permit(&mut tx, call, group).await?;
            let present = store::memberships::standings(&mut tx, &permit, &[to]).await?;
            let heir = present.get(&to).ok_or(Error::conflict(ConflictKind::NotAMember))?;
            let account = store::users::account(&mut tx, to).await?;
            if account.is_none_or(|account| account.status != UserStatus::Enabled) {
                return Err(Error::invalid("member_id", "must be somebody who can log in"));
            }
            let owners = store::memberships::owners(&mut tx, &permit).await?;
            let concerned = owners.iter().copied().chain([to]);
            let notices = Notices::in_group(self, &mut tx, call, &permit, concerned).await?;
            let by_owner = owners.contains(&caller);
            store::memberships::set_role(&mut tx, &permit, to, Role::Owner).await?;
            let risen = Changes::default().field("role", &heir.role, &Some(Role::Owner));
            let entry = Entry::by(&permit, "group.transferred", Subject::user(to)).with(risen);
            let mut entries =
                vec![notices.tell(entry, to, |place, by| Letter::OwnershipReceived { place, by })];
            for owner in owners.into_iter().filter(|owner| *owner != to && (!by_owner || *owner == caller)) {
                store::memberships::set_role(&mut tx, &permit, owner, Role::Admin).await?;
                let stepped_down = Changes::default().field("role", &Role::Owner, &Role::Admin);
                let entry = Entry::by(&permit, "member.updated", Subject::user(owner)).with(stepped_down);
                entries.push(notices.role_changed(entry, owner, Some(Role::Owner), Role::Admin));
            }
            journal::commit(self, tx, call, entries, ()).await
        })
    }
}

async fn lock_members(tx: &mut Tx, group: GroupId) -> Result<()> {
    lock::org_of_group(tx, group).await?;
    lock::groups(tx, &[group], GroupLock::Members).await
}

/// The group must have an owner still, unless it had none among those whom the request touched.
async fn keep_an_owner<A: access::Action>(
    tx: &mut Tx,
    permit: &Permit<A, GroupId>,
    touched: &[UserId],
    before: &BTreeMap<UserId, Standing>,
) -> Result<()> {
    if !store::memberships::owners(tx, permit).await?.is_empty() {
        return Ok(());
    }
    refuse(ConflictKind::LastOwner, touched, |member| before.get(member).is_some_and(Standing::owns))
}

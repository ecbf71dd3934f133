//! Inviting: people to an organisation with groups of it, members of an organisation to a group, and
//! anybody to the platform.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use super::{
    GroupOffer, Invite, InviteKind, InviteLimits, InviteState, Invited, NewGroupInvite, NewOrgInvite,
    answer::expired, life::may_grant,
};
use crate::{
    MAX_BULK, Registry,
    access::{self, Administer, Permit, Role, Via},
    actor::Call,
    clock::Timestamp,
    error::{Conflict, ConflictKind, Error, FieldError, Result},
    groups::bulk_size,
    identity::users::UserStatus,
    ids::{GroupId, InviteId, OrgId, UserId},
    journal::{self, Changes, Entry, Subject},
    members::{Account, never_owner},
    secret::{Prefix, Secret},
    store::{
        self, Tx,
        invites::{NewOrgRow, NewPlatformRow},
        lock,
        lock::{GroupLock, OrgLock},
    },
    text::{Email, RedirectPath},
};

/// What an invite in the making is refused for, as an item of a request.
type Refused = Invited;

fn clash<T>(kind: ConflictKind) -> std::result::Result<T, Refused> {
    Err(Invited::Clash(kind))
}

fn invalid<T>(field: &str, message: impl Into<String>) -> std::result::Result<T, Refused> {
    Err(Invited::Invalid { field: field.to_owned(), message: message.into() })
}

impl Registry {
    /// Invites people to an organisation, with or without an account, and to groups of it once they
    /// have joined. All or none, unless `partial`; answered in the order given.
    pub async fn create_org_invites(
        &self,
        call: &Call,
        org: OrgId,
        invites: &[NewOrgInvite],
        partial: bool,
    ) -> Result<Vec<Invited>> {
        bulk_size("", invites.len())?;
        never_owner(invites.iter().map(|invite| invite.role))?;
        offered(invites)?;
        let groups: BTreeSet<GroupId> =
            invites.iter().flat_map(|invite| invite.groups.iter().map(|(group, _)| *group)).collect();
        let groups: Vec<GroupId> = groups.into_iter().collect();
        let emails = distinct(invites.iter().map(|invite| &invite.email));
        use_case!(self, call, |tx| {
            // Whoever invites to the organisation comes alone, so what is looked up here stays true.
            lock::org(&mut tx, org, OrgLock::Change).await?;
            let permit: Permit<Administer, OrgId> = access::permit(&mut tx, call, org).await?;
            lock::groups(&mut tx, &groups, GroupLock::Members).await?;
            let inviter = lock_inviter(&mut tx, call).await?;
            let now = tx.moment(&self.db.clock).await?;
            let grantable = access::grantable(&mut tx, call, &permit, &groups).await?;
            let mut entries = self.expire_pairs_in_org(&mut tx, &permit, &emails, now).await?;

            let accounts = by_email(store::members::accounts_of(&mut tx, &permit, &emails).await?);
            let ids: Vec<UserId> = accounts.values().map(|account| account.id).collect();
            let members = store::org_memberships::standings(&mut tx, &permit, &ids).await?;
            let since = now.before(InviteLimits::WINDOW);
            let (pending, lately) =
                store::invites::invited_to_org(&mut tx, &permit, inviter, &emails, since).await?;
            let mut seen: HashMap<&Email, usize> = HashMap::new();
            let mut outcomes: Vec<std::result::Result<Option<UserId>, Refused>> = Vec::new();
            for (item, new) in invites.iter().enumerate() {
                outcomes.push(match seen.insert(&new.email, item) {
                    Some(first) => invalid("email", format!("is the same as in item {first}")),
                    None => {
                        let account = accounts.get(&new.email);
                        let member = account.is_some_and(|account| members.contains_key(&account.id));
                        let often = lately.get(&new.email).copied().unwrap_or(0);
                        one_to_org(new, account, member, pending.contains(&new.email), often, &grantable)
                    }
                });
            }
            let (made, refused) = judged(outcomes, partial)?;
            let there = store::invites::pending_in_org(&mut tx, &permit, now).await?;
            self.within_limits(&mut tx, inviter, made.len(), there, now).await?;

            let place = Place::of_org(&mut tx, &permit, call, &grantable).await?;
            let built = self.build(&made, invites, &place, now)?;
            let expires_at = now.after(self.invites.life);
            store::invites::insert_orgs(&mut tx, &permit, inviter, &built.orgs, now, expires_at).await?;
            store::invites::insert_platforms(&mut tx, inviter, &built.platforms, now, expires_at).await?;
            store::invites::insert_groups(&mut tx, inviter, &built.sleepers, now, None).await?;
            store::invites::insert_links(&mut tx, &built.links).await?;
            entries.extend(built.entries(&permit));
            let answer = in_order(built.invites, refused, invites.len());
            journal::commit(self, tx, call, entries, answer).await
        })
    }

    /// Invites members of a group's organisation to the group. All or none, unless `partial`; answered
    /// in the order given.
    pub async fn create_group_invites(
        &self,
        call: &Call,
        group: GroupId,
        invites: &[NewGroupInvite],
        partial: bool,
    ) -> Result<Vec<Invited>> {
        bulk_size("", invites.len())?;
        never_owner(invites.iter().map(|invite| invite.role))?;
        let emails = distinct(invites.iter().map(|invite| &invite.email));
        use_case!(self, call, |tx| {
            lock::org_of_group(&mut tx, group).await?;
            lock::groups(&mut tx, &[group], GroupLock::Members).await?;
            let permit: Permit<Administer, GroupId> = access::permit(&mut tx, call, group).await?;
            let inviter = lock_inviter(&mut tx, call).await?;
            let now = tx.moment(&self.db.clock).await?;

            let accounts = by_email(store::members::accounts_of(&mut tx, &permit, &emails).await?);
            let ids: Vec<UserId> = accounts.values().map(|account| account.id).collect();
            let mut entries = self.expire_pairs_in_group(&mut tx, &permit, &ids, now).await?;
            let in_org = store::memberships::in_org(&mut tx, &permit, &ids).await?;
            let members = store::memberships::standings(&mut tx, &permit, &ids).await?;
            let since = now.before(InviteLimits::WINDOW);
            let (pending, lately) = store::invites::invited_to_group(&mut tx, &permit, &ids, since).await?;
            let mut seen: HashMap<&Email, usize> = HashMap::new();
            let mut outcomes = Vec::new();
            for (item, new) in invites.iter().enumerate() {
                outcomes.push(match seen.insert(&new.email, item) {
                    Some(first) => invalid("email", format!("is the same as in item {first}")),
                    None => match accounts.get(&new.email) {
                        Some(account)
                            if in_org.contains(&account.id) && account.status == UserStatus::Enabled =>
                        {
                            if members.contains_key(&account.id) {
                                clash(ConflictKind::AlreadyMember)
                            } else if pending.contains(&account.id) {
                                clash(ConflictKind::AlreadyInvited)
                            } else if too_often(lately.get(&account.id).copied().unwrap_or(0)) {
                                clash(ConflictKind::InvitedTooOften)
                            } else if !may_grant(Some(permit.role()), new.role) {
                                invalid("role", "must be viewer, editor or admin, and at most your own role")
                            } else {
                                Ok(Some(account.id))
                            }
                        }
                        // Whether there is an account at all is not for a group's admins to find out.
                        _ => clash(ConflictKind::NotInOrg),
                    },
                });
            }
            let (made, refused) = judged(outcomes, partial)?;
            let there = store::invites::pending_in_group(&mut tx, &permit, now).await?;
            self.within_limits(&mut tx, inviter, made.len(), there, now).await?;

            let place = Place::of_group(&mut tx, &permit, call).await?;
            let expires_at = now.after(self.invites.life);
            let (mut rows, mut answers) = (Vec::new(), BTreeMap::new());
            for (item, invitee) in made {
                let (Some(new), Some(invitee)) = (invites.get(item), invitee) else { continue };
                let id: InviteId = self.ids.make(now);
                rows.push((id, group, Some(invitee), new.role));
                let invite = Invite {
                    invitee_id: Some(invitee),
                    redirect_path: new.redirect_path.clone(),
                    ..place.invite(id, InviteKind::Group, &new.email, Some(new.role), now, expires_at)
                };
                entries.push(
                    Entry::by(&permit, "invite.created", Subject::invite(id))
                        .with(Changes::default().made("invitee", invitee).made("role", new.role)),
                );
                answers.insert(item, invite);
            }
            store::invites::insert_groups(&mut tx, inviter, &rows, now, Some(expires_at)).await?;
            let answer = in_order(answers, refused, invites.len());
            journal::commit(self, tx, call, entries, answer).await
        })
    }

    /// Invites somebody without an account to the platform; for its administrators.
    pub async fn create_platform_invite(
        &self,
        call: &Call,
        email: &Email,
        redirect_path: Option<&RedirectPath>,
    ) -> Result<Invite> {
        use_case!(self, call, |tx| {
            let permit = access::platform(call, true)?;
            let inviter = lock_inviter(&mut tx, call).await?;
            let now = tx.moment(&self.db.clock).await?;
            if store::users::account_by_email(&mut tx, email).await?.is_some() {
                return Err(Error::conflict(ConflictKind::EmailTaken));
            }
            let pending = store::invites::platform_pending(&mut tx, &permit, email).await?;
            let due: Vec<InviteId> =
                pending.iter().filter(|(_, end)| *end <= now).map(|(id, _)| *id).collect();
            if due.len() < pending.len() {
                return Err(Error::conflict(ConflictKind::AlreadyInvited));
            }
            let due = store::invites::end_platforms(&mut tx, &due, InviteState::Expired).await?;
            let mut entries: Vec<Entry> = due.into_iter().map(|id| expired(id, None, None)).collect();
            self.within_limits(&mut tx, inviter, 1, 0, now).await?;
            let id: InviteId = self.ids.make(now);
            let expires_at = now.after(self.invites.life);
            let row = NewPlatformRow {
                id,
                org_invite: None,
                email: email.clone(),
                secret: Secret::generate(Prefix::Invite)?,
                redirect_path: redirect_path.cloned(),
            };
            store::invites::insert_platforms(&mut tx, inviter, &[row], now, expires_at).await?;
            let place = Place::of_platform(&mut tx, call).await?;
            let invite = Invite {
                redirect_path: redirect_path.cloned(),
                ..place.invite(id, InviteKind::Platform, email, None, now, expires_at)
            };
            entries.push(Entry::about(Via::PlatformAdmin, "invite.created", Subject::invite(id)));
            journal::commit(self, tx, call, entries, invite).await
        })
    }

    /// Refuses more invites than one person may send, or one place may have open. `there` are the
    /// place's already.
    async fn within_limits(
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

/// Nobody sends two requests' invites at once, so that limits hold; and whoever was shut out while the locks
/// were waited for sends none.
async fn lock_inviter(tx: &mut Tx, call: &Call) -> Result<UserId> {
    let user = call.user()?;
    lock::users(tx, &[user.id()]).await?;
    if store::sessions::holds(tx, user).await? { Ok(user.id()) } else { Err(Error::Unauthenticated) }
}

/// The groups of each invite are named once and not for ownership; all together are a bulk request.
fn offered(invites: &[NewOrgInvite]) -> Result<()> {
    let mut errors = Vec::new();
    let all: usize = invites.iter().map(|invite| invite.groups.len()).sum();
    if all > MAX_BULK {
        errors.push(FieldError::new("group_invites", format!("must be at most {MAX_BULK} in one request")));
    }
    for (item, invite) in invites.iter().enumerate() {
        let mut seen = BTreeSet::new();
        for (group, role) in &invite.groups {
            if !seen.insert(group) {
                errors.push(FieldError::new("group_invites", "names a group twice").in_item(item));
            }
            if *role == Role::Owner && !planted!("I3: any role may be given") {
                errors.push(
                    FieldError::new("group_invites", "must give the role viewer, editor or admin")
                        .in_item(item),
                );
            }
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(Error::Invalid(errors)) }
}

fn one_to_org(
    new: &NewOrgInvite,
    account: Option<&Account>,
    member: bool,
    pending: bool,
    often: i64,
    grantable: &BTreeMap<GroupId, Role>,
) -> std::result::Result<Option<UserId>, Refused> {
    if account.is_some_and(|account| account.status != UserStatus::Enabled) {
        return invalid("email", "belongs to an account that is disabled");
    }
    if member {
        return clash(ConflictKind::AlreadyMember);
    }
    if pending {
        return clash(ConflictKind::AlreadyInvited);
    }
    if too_often(often) {
        return clash(ConflictKind::InvitedTooOften);
    }
    for (group, role) in &new.groups {
        if !may_grant(grantable.get(group).copied(), *role) {
            return invalid(
                "group_invites",
                format!("you are not an admin of a group {group} in this organisation"),
            );
        }
    }
    // An account whose address nobody has proved may be somebody else's: it has to be proved first.
    let proved = |account: &&Account| account.verified || planted!("I2: an address need not be proved");
    Ok(account.filter(proved).map(|account| account.id))
}

fn too_often(lately: i64) -> bool {
    if planted!("I13: an address is invited without end") {
        return false;
    }
    usize::try_from(lately).unwrap_or(0) >= InviteLimits::PER_PAIR
}

/// Items to be made, with their invitees if they have an account; and those refused.
type Judged<T> = (Vec<(usize, T)>, Vec<(usize, Refused)>);

/// Parts what can be made from what cannot; without `partial` the latter refuses the whole.
fn judged<T>(outcomes: Vec<std::result::Result<T, Refused>>, partial: bool) -> Result<Judged<T>> {
    let (mut made, mut refused) = (Vec::new(), Vec::new());
    for (item, outcome) in outcomes.into_iter().enumerate() {
        match outcome {
            Ok(invitee) => made.push((item, invitee)),
            Err(why) => refused.push((item, why)),
        }
    }
    if partial || refused.is_empty() {
        return Ok((made, refused));
    }
    let errors: Vec<FieldError> = refused
        .iter()
        .filter_map(|(item, why)| match why {
            Invited::Invalid { field, message } => {
                Some(FieldError::new(field.clone(), message.clone()).in_item(*item))
            }
            Invited::Made(_) | Invited::Clash(_) => None,
        })
        .collect();
    if !errors.is_empty() {
        return Err(Error::Invalid(errors));
    }
    let clashes = refused.iter().filter_map(|(item, why)| match why {
        Invited::Clash(kind) => Some((*item, *kind)),
        Invited::Made(_) | Invited::Invalid { .. } => None,
    });
    let kind = clashes.clone().map(|(_, kind)| kind).next().unwrap_or(ConflictKind::AlreadyInvited);
    let items = clashes.filter(|(_, its)| *its == kind).map(|(item, _)| item).collect();
    Err(Error::Conflict(Conflict { kind, items }))
}

fn in_order(made: BTreeMap<usize, Invite>, refused: Vec<(usize, Refused)>, items: usize) -> Vec<Invited> {
    let mut outcomes: BTreeMap<usize, Invited> = refused.into_iter().collect();
    outcomes.extend(made.into_iter().map(|(item, invite)| (item, Invited::Made(Box::new(invite)))));
    debug_assert_eq!(outcomes.len(), items, "each item has an outcome");
    outcomes.into_values().collect()
}

fn distinct<'e>(emails: impl Iterator<Item = &'e Email>) -> Vec<Email> {
    emails.collect::<BTreeSet<_>>().into_iter().cloned().collect()
}

fn by_email(accounts: Vec<Account>) -> HashMap<Email, Account> {
    accounts.into_iter().map(|account| (account.email.clone(), account)).collect()
}

/// What all invites of a request have in common.
struct Place {
    org: Option<(OrgId, String)>,
    group: Option<(GroupId, String)>,
    inviter: UserId,
    inviter_email: Option<Email>,
    /// The names of the groups that may be offered.
    groups: HashMap<GroupId, String>,
}

impl Place {
    async fn of_org(
        tx: &mut Tx,
        permit: &Permit<Administer, OrgId>,
        call: &Call,
        groups: &BTreeMap<GroupId, Role>,
    ) -> Result<Self> {
        let org = store::orgs::get(tx, permit).await?;
        let ids: Vec<GroupId> = groups.keys().copied().collect();
        let groups = store::groups::names(tx, permit, &ids).await?;
        Ok(Self { org: Some((org.id, org.name)), group: None, groups, ..Self::of_platform(tx, call).await? })
    }

    async fn of_group(tx: &mut Tx, permit: &Permit<Administer, GroupId>, call: &Call) -> Result<Self> {
        let group = store::groups::get(tx, permit).await?;
        let org = store::groups::org_name(tx, permit).await?;
        Ok(Self {
            org: Some((group.org_id, org)),
            group: Some((group.id, group.name)),
            ..Self::of_platform(tx, call).await?
        })
    }

    async fn of_platform(tx: &mut Tx, call: &Call) -> Result<Self> {
        let inviter = call.user()?.id();
        let account = store::users::account(tx, inviter).await?;
        let inviter_email = account.map(|account| account.email);
        Ok(Self { org: None, group: None, inviter, inviter_email, groups: HashMap::new() })
    }

    fn invite(
        &self,
        id: InviteId,
        kind: InviteKind,
        email: &Email,
        role: Option<Role>,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Invite {
        Invite {
            id,
            kind,
            state: InviteState::Pending,
            dormant: false,
            invitee_id: None,
            invitee_email: Some(email.clone()),
            invitee_role: role,
            inviter_id: self.inviter,
            inviter_email: self.inviter_email.clone(),
            org_id: self.org.as_ref().map(|(id, _)| *id),
            org_name: self.org.as_ref().map(|(_, name)| name.clone()),
            group_id: self.group.as_ref().map(|(id, _)| *id),
            group_name: self.group.as_ref().map(|(_, name)| name.clone()),
            group_invites: Vec::new(),
            mode: None,
            redirect_path: None,
            created_at: now,
            expires_at: Some(expires_at),
        }
    }
}

/// Rows of one request to invite to an organisation, and what is answered and told about them.
#[derive(Default)]
struct Built {
    orgs: Vec<NewOrgRow>,
    platforms: Vec<NewPlatformRow>,
    sleepers: Vec<(InviteId, GroupId, Option<UserId>, Role)>,
    links: Vec<(InviteId, InviteId)>,
    invites: BTreeMap<usize, Invite>,
}

impl Registry {
    fn build(
        &self,
        made: &[(usize, Option<UserId>)],
        invites: &[NewOrgInvite],
        place: &Place,
        now: Timestamp,
    ) -> Result<Built> {
        let expires_at = now.after(self.invites.life);
        let mut built = Built::default();
        for (item, invitee) in made {
            let Some(new) = invites.get(*item) else { continue };
            let id: InviteId = self.ids.make(now);
            let mut offers = Vec::with_capacity(new.groups.len());
            for (group, role) in &new.groups {
                let sleeper: InviteId = self.ids.make(now);
                built.sleepers.push((sleeper, *group, None, *role));
                built.links.push((sleeper, id));
                let group_name = place.groups.get(group).cloned().unwrap_or_default();
                offers.push(GroupOffer { id: sleeper, group_id: *group, group_name, member_role: *role });
            }
            if invitee.is_none() {
                built.platforms.push(NewPlatformRow {
                    id: self.ids.make(now),
                    org_invite: Some(id),
                    email: new.email.clone(),
                    secret: Secret::generate(Prefix::Invite)?,
                    redirect_path: new.redirect_path.clone(),
                });
            }
            let invite = Invite {
                dormant: invitee.is_none(),
                invitee_id: *invitee,
                group_invites: offers,
                mode: Some(new.mode),
                redirect_path: new.redirect_path.clone(),
                ..place.invite(id, InviteKind::Org, &new.email, Some(new.role), now, expires_at)
            };
            built.orgs.push(NewOrgRow {
                id,
                invitee: *invitee,
                email: new.email.clone(),
                role: new.role,
                mode: new.mode,
                redirect_path: new.redirect_path.clone(),
            });
            built.invites.insert(*item, invite);
        }
        Ok(built)
    }
}

impl Built {
    /// One for each invite, in the organisation; one for each that sleeps, in its group.
    fn entries(&self, permit: &Permit<Administer, OrgId>) -> Vec<Entry> {
        let invites = self.invites.values().flat_map(|invite| {
            let entry = Entry::by(permit, "invite.created", Subject::invite(invite.id)).with(
                Changes::default()
                    .made("invitee", invite.invitee_id)
                    .made("role", invite.invitee_role)
                    .made("mode", invite.mode),
            );
            let sleepers = invite.group_invites.iter().map(|offer| {
                Entry::by(permit, "invite.created", Subject::invite(offer.id))
                    .in_group(offer.group_id)
                    .with(Changes::default().made("role", offer.member_role).made("sleeps_on", invite.id))
            });
            std::iter::once(entry).chain(sleepers)
        });
        invites.collect()
    }
}

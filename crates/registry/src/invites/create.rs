//! Inviting: people to an organisation with groups of it, members of an organisation to a group, and
//! anybody to the platform.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{
    Invite, InviteKind, InviteLimits, InviteState, Invited, NewGroupInvite, NewOrgInvite, answer::expired,
    drafts::Place, letters::written, life::may_grant,
};
use crate::{
    MAX_BULK, Registry,
    access::{self, Administer, Permit, Role, Via},
    actor::Call,
    error::{Conflict, ConflictKind, Error, FieldError, Result},
    groups::bulk_size,
    identity::users::UserStatus,
    ids::{GroupId, InviteId, OrgId, UserId},
    journal::{self, Changes, Entry, Subject},
    members::{Account, never_owner},
    secret::{Prefix, Secret},
    store::{
        self, Tx,
        invites::NewPlatformRow,
        lock,
        lock::{GroupLock, OrgLock},
    },
    text::{Email, RedirectPath},
};

/// The most groups that one invite offers, and all invites of one request together.
const MAX_OFFERS: (usize, usize) = (100, 10 * MAX_BULK);

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
            let mails = self.mailed_lately(&mut tx, &emails, now).await?;
            let mut seen: HashMap<&Email, usize> = HashMap::new();
            let mut outcomes: Vec<std::result::Result<Option<UserId>, Refused>> = Vec::new();
            for (item, new) in invites.iter().enumerate() {
                outcomes.push(match seen.insert(&new.email, item) {
                    Some(first) => invalid("email", format!("is the same as in item {first}")),
                    None => {
                        let account = accounts.get(&new.email);
                        let member = account.is_some_and(|account| members.contains_key(&account.id));
                        let often = too_often(lately.get(&new.email).copied().unwrap_or(0))
                            || (self.flooded(&mails, &new.email) && !account.is_some_and(answers));
                        one_to_org(new, account, member, pending.contains(&new.email), often, &grantable)
                            .and_then(|invitee| self.reachable(invitee))
                    }
                });
            }
            let (made, refused) = judged(outcomes, partial)?;
            let there = store::invites::pending_in_org(&mut tx, &permit, now).await?;
            self.within_limits(&mut tx, inviter, made.len(), there, now).await?;
            // Whoever has an account finds the invite there: that others mailed them a lot stops only the mail.
            let written_to = |email: &Email| !self.flooded(&mails, email);
            let to = made
                .iter()
                .map(|(item, _)| invites.get(*item).map(|new| &new.email).filter(|email| written_to(email)));
            self.count_sent(&mut tx, inviter, to, now).await?;

            let place = Place::of_org(&mut tx, &permit, call, &grantable).await?;
            let built = self.build(&made, invites, &place, now)?;
            let expires_at = now.after(self.invites.life);
            store::invites::insert_orgs(&mut tx, &permit, inviter, &built.orgs, now, expires_at).await?;
            store::invites::insert_platforms(&mut tx, inviter, &built.platforms, now, expires_at).await?;
            store::invites::insert_groups(&mut tx, inviter, &built.sleepers, now, None).await?;
            store::invites::insert_links(&mut tx, &built.links).await?;
            entries.extend(built.entries(&permit, written_to));
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
            let mails = self.mailed_lately(&mut tx, &emails, now).await?;
            let mut seen: HashMap<&Email, usize> = HashMap::new();
            let mut outcomes = Vec::new();
            for (item, new) in invites.iter().enumerate() {
                outcomes.push(match seen.insert(&new.email, item) {
                    Some(first) => invalid("email", format!("is the same as in item {first}")),
                    None => match accounts.get(&new.email) {
                        Some(account) if in_org.contains(&account.id) => {
                            // What a group's admins see in its lists comes first: only then nothing is told
                            // by who cannot be invited.
                            if members.contains_key(&account.id) {
                                clash(ConflictKind::AlreadyMember)
                            } else if pending.contains(&account.id) {
                                clash(ConflictKind::AlreadyInvited)
                            } else if !answers(account) {
                                clash(ConflictKind::NotInOrg)
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
            // Whoever has an account finds the invite there: that others mailed them a lot stops only the mail.
            let written_to = |email: &Email| !self.flooded(&mails, email);
            let to = made
                .iter()
                .map(|(item, _)| invites.get(*item).map(|new| &new.email).filter(|email| written_to(email)));
            self.count_sent(&mut tx, inviter, to, now).await?;

            let place = Place::of_group(&mut tx, &permit, call).await?;
            let expires_at = now.after(self.invites.life);
            let (mut rows, mut answers) = (Vec::new(), BTreeMap::new());
            for (item, invitee) in made {
                let (Some(new), Some(invitee)) = (invites.get(item), invitee) else { continue };
                let id: InviteId = self.ids.make(now);
                rows.push((id, group, Some(invitee), new.role));
                let invite = Invite {
                    invitee_id: Some(invitee),
                    ..place.invite(id, InviteKind::Group, &new.email, Some(new.role), now, expires_at)
                };
                let entry = Entry::by(&permit, "invite.created", Subject::invite(id))
                    .with(Changes::default().made("invitee", invitee).made("role", new.role));
                // Where to go on to is in the mail only: the seed's table has no place for it.
                let mailed = Invite { redirect_path: new.redirect_path.clone(), ..invite.clone() };
                entries.push(if written_to(&new.email) { written(entry, &mailed, None) } else { entry });
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
            if !self.sends_mail() {
                return Err(Error::conflict(ConflictKind::NoMail));
            }
            let due = store::invites::end_platforms(&mut tx, &due, InviteState::Expired).await?;
            let mut entries: Vec<Entry> = due.into_iter().map(|id| expired(id, None, None)).collect();
            let mails = self.mailed_lately(&mut tx, std::slice::from_ref(email), now).await?;
            if self.flooded(&mails, email) {
                return Err(Error::conflict(ConflictKind::InvitedTooOften));
            }
            self.within_limits(&mut tx, inviter, 1, 0, now).await?;
            self.count_sent(&mut tx, inviter, std::iter::once(Some(email)), now).await?;
            let id: InviteId = self.ids.make(now);
            let expires_at = now.after(self.invites.life);
            let secret = Secret::generate(Prefix::Invite)?;
            let row = NewPlatformRow {
                id,
                org_invite: None,
                email: email.clone(),
                secret: secret.clone(),
                redirect_path: redirect_path.cloned(),
            };
            store::invites::insert_platforms(&mut tx, inviter, &[row], now, expires_at).await?;
            let place = Place::of_platform(&mut tx, call).await?;
            let invite = Invite {
                redirect_path: redirect_path.cloned(),
                ..place.invite(id, InviteKind::Platform, email, None, now, expires_at)
            };
            let entry = Entry::about(Via::PlatformAdmin, "invite.created", Subject::invite(id));
            entries.push(written(entry, &invite, Some(&secret)));
            journal::commit(self, tx, call, entries, invite).await
        })
    }

    /// Who has an account that is theirs sees the invite there; everybody else needs the secret in the mail.
    fn reachable(&self, invitee: Option<UserId>) -> std::result::Result<Option<UserId>, Refused> {
        if invitee.is_none() && !self.sends_mail() { clash(ConflictKind::NoMail) } else { Ok(invitee) }
    }
}

/// Nobody sends two requests' invites at once, so that limits hold; and whoever was shut out while the locks
/// were waited for sends none.
async fn lock_inviter(tx: &mut Tx, call: &Call) -> Result<UserId> {
    let user = call.user()?;
    lock::users(tx, &[user.id()]).await?;
    if store::sessions::holds(tx, user).await? { Ok(user.id()) } else { Err(Error::Unauthenticated) }
}

/// The groups of each invite are named once and not for ownership; all together are bounded.
fn offered(invites: &[NewOrgInvite]) -> Result<()> {
    let mut errors = Vec::new();
    let all: usize = invites.iter().map(|invite| invite.groups.len()).sum();
    let (most, most_in_all) = MAX_OFFERS;
    if all > most_in_all {
        errors
            .push(FieldError::new("group_invites", format!("must be at most {most_in_all} in one request")));
    }
    for (item, invite) in invites.iter().enumerate() {
        if invite.groups.len() > most {
            let message = format!("must name at most {most} groups");
            errors.push(FieldError::new("group_invites", message).in_item(item));
        }
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
    often: bool,
    grantable: &BTreeMap<GroupId, Role>,
) -> std::result::Result<Option<UserId>, Refused> {
    if member {
        return clash(ConflictKind::AlreadyMember);
    }
    if pending {
        return clash(ConflictKind::AlreadyInvited);
    }
    if often {
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
    Ok(account.filter(|account| answers(account)).map(|account| account.id))
}

/// Whether an invite may be this account's to answer. One whose address nobody has proved may be somebody else's:
/// it has to be proved first. That one is disabled is not for those to know who invite; nobody logs in to it and
/// claims the invite.
fn answers(account: &Account) -> bool {
    let proved = account.verified || planted!("I2: an address need not be proved");
    proved && account.status == UserStatus::Enabled
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

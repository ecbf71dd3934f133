//! Invites in the making: the rows of one request, and what is answered, told and written about them.

use std::collections::{BTreeMap, HashMap};

use super::{GroupOffer, Invite, InviteKind, InviteState, NewOrgInvite, letters::written};
use crate::{
    Registry,
    access::{Administer, Permit, Role},
    actor::Call,
    clock::Timestamp,
    error::Result,
    ids::{GroupId, InviteId, OrgId, UserId},
    journal::{Changes, Entry, Subject},
    secret::{Prefix, Secret},
    store::{
        self, Tx,
        invites::{NewOrgRow, NewPlatformRow},
    },
    text::Email,
};

/// What all invites of a request have in common.
pub(super) struct Place {
    org: Option<(OrgId, String)>,
    group: Option<(GroupId, String)>,
    inviter: UserId,
    inviter_email: Option<Email>,
    /// The names of the groups that may be offered.
    groups: HashMap<GroupId, String>,
}

impl Place {
    pub(super) async fn of_org(
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

    pub(super) async fn of_group(
        tx: &mut Tx,
        permit: &Permit<Administer, GroupId>,
        call: &Call,
    ) -> Result<Self> {
        let group = store::groups::get(tx, permit).await?;
        let org = store::groups::org_name(tx, permit).await?;
        Ok(Self {
            org: Some((group.org_id, org)),
            group: Some((group.id, group.name)),
            ..Self::of_platform(tx, call).await?
        })
    }

    pub(super) async fn of_platform(tx: &mut Tx, call: &Call) -> Result<Self> {
        let inviter = call.user()?.id();
        let account = store::users::account(tx, inviter).await?;
        let inviter_email = account.map(|account| account.email);
        Ok(Self { org: None, group: None, inviter, inviter_email, groups: HashMap::new() })
    }

    pub(super) fn invite(
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
pub(super) struct Built {
    pub(super) orgs: Vec<NewOrgRow>,
    pub(super) platforms: Vec<NewPlatformRow>,
    pub(super) sleepers: Vec<(InviteId, GroupId, Option<UserId>, Role)>,
    pub(super) links: Vec<(InviteId, InviteId)>,
    pub(super) invites: BTreeMap<usize, Invite>,
}

impl Registry {
    pub(super) fn build(
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
    pub(super) fn entries(
        &self,
        permit: &Permit<Administer, OrgId>,
        written_to: impl Fn(&Email) -> bool,
    ) -> Vec<Entry> {
        let secrets: HashMap<Option<InviteId>, &Secret> =
            self.platforms.iter().map(|row| (row.org_invite, &row.secret)).collect();
        let invites = self.invites.values().flat_map(|invite| {
            let entry = Entry::by(permit, "invite.created", Subject::invite(invite.id)).with(
                Changes::default()
                    .made("invitee", invite.invitee_id)
                    .made("role", invite.invitee_role)
                    .made("mode", invite.mode),
            );
            let entry = if invite.invitee_email.as_ref().is_some_and(&written_to) {
                written(entry, invite, secrets.get(&Some(invite.id)).copied())
            } else {
                entry
            };
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

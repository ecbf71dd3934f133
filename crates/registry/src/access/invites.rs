//! Rights to invites. An invite's id is no authority: it is the invitee's to answer, the inviter's and
//! the admins' of the place it leads to to withdraw, theirs to see, and to everybody else it does not
//! exist, whatever its state.

use std::{collections::BTreeMap, marker::PhantomData};

use super::{
    AccountPermit, Administer, Permit, PlatformPermit, Review, Role, SelfPermit, Target, Via, View, strongest,
};
use crate::{
    actor::{Call, PlatformRole, UserActor},
    error::{Denial, Error, Result},
    identity::users::UserStatus,
    ids::{GroupId, InviteId, OrgId, UserId},
    invites::life::Arrived,
    store::{
        self, Conn,
        sql::{Arg, Sql},
    },
};

/// Say yes or no to it.
pub(crate) struct Answer;
/// Take it back, or send it again.
pub(crate) struct Withdraw;

/// What a right to an invite is decided by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InviteFacts {
    pub(crate) id: InviteId,
    pub(crate) org: Option<OrgId>,
    pub(crate) group: Option<GroupId>,
    pub(crate) invitee: Option<UserId>,
    pub(crate) inviter: UserId,
}

/// Proof that the actor may do `A` to an invite. Only this module makes one.
pub(crate) struct InvitePermit<A> {
    facts: InviteFacts,
    actor: UserId,
    via: Via,
    action: PhantomData<A>,
}

impl<A> InvitePermit<A> {
    /// The invite's id: take it from here, never from the request.
    pub(crate) fn id(&self) -> InviteId {
        self.facts.id
    }

    /// Where it leads.
    pub(crate) fn place(&self) -> (Option<OrgId>, Option<GroupId>) {
        (self.facts.org, self.facts.group)
    }

    /// Who acts: for an [`Answer`] the invitee.
    pub(crate) fn actor(&self) -> UserId {
        self.actor
    }

    /// By what right.
    pub(crate) fn via(&self) -> Via {
        self.via
    }
}

/// Proof that somebody has come into an organisation, and so that what slept for them there may wake. Only
/// this module makes one.
pub(crate) struct ArrivalPermit {
    org: OrgId,
    person: UserId,
    via: Via,
    how: Arrived,
}

impl ArrivalPermit {
    /// Where.
    pub(crate) fn org(&self) -> OrgId {
        self.org
    }

    /// Who: take it from here, never from the request.
    pub(crate) fn person(&self) -> UserId {
        self.person
    }

    /// By what right.
    pub(crate) fn via(&self) -> Via {
        self.via
    }

    /// Whether by their own word.
    pub(crate) fn how(&self) -> Arrived {
        self.how
    }
}

impl InvitePermit<Answer> {
    /// The invitee says yes to an invite to this organisation, or to a group of it.
    pub(crate) fn arrival(&self, org: OrgId) -> ArrivalPermit {
        ArrivalPermit { org, person: self.actor, via: self.via, how: Arrived::ByAnswer }
    }
}

impl SelfPermit {
    /// Somebody who is in this organisation shows that an address is theirs that was invited to it.
    pub(crate) fn arrival(&self, org: OrgId) -> ArrivalPermit {
        ArrivalPermit { org, person: self.user(), via: Via::Invitation, how: Arrived::ByOthers }
    }
}

impl Permit<Administer, OrgId> {
    /// Somebody is added to the organisation.
    pub(crate) fn arrival(&self, person: UserId) -> ArrivalPermit {
        ArrivalPermit { org: self.target(), person, via: self.via(), how: Arrived::ByOthers }
    }
}

/// May the caller see this invite?
pub(crate) async fn invite_view(conn: &mut Conn, call: &Call, id: InviteId) -> Result<InvitePermit<View>> {
    let (user, facts) = located(conn, call, id).await?;
    let mine = personal(user, |user| facts.invitee == Some(user) || facts.inviter == user);
    permit(conn, user, facts, mine).await
}

/// May the caller answer this invite? The invitee alone, by a credential for everything of theirs.
pub(crate) async fn answer(conn: &mut Conn, call: &Call, id: InviteId) -> Result<InvitePermit<Answer>> {
    let (user, facts) = located(conn, call, id).await?;
    // A sleeping invite has no invitee, and nobody equals that.
    let mine = personal(user, |user| facts.invitee == Some(user)) || planted!("I2: anybody may answer");
    if !mine {
        return Err(Error::NotFound);
    }
    if !user.can_write() {
        return Err(Error::Forbidden(Denial::Scope));
    }
    Ok(InvitePermit { facts, actor: user.id, via: Via::Invitation, action: PhantomData })
}

/// May the caller withdraw this invite, or send it again?
pub(crate) async fn withdrawal(conn: &mut Conn, call: &Call, id: InviteId) -> Result<InvitePermit<Withdraw>> {
    let (user, facts) = located(conn, call, id).await?;
    let mine = personal(user, |user| facts.inviter == user);
    let found = permit(conn, user, facts, mine).await;
    if planted!("I12: only the inviter takes an invite back") && !mine {
        return Err(Error::NotFound);
    }
    // The invitee sees it, so it is not hidden from them; they decline instead.
    if matches!(found, Err(Error::NotFound)) && personal(user, |user| facts.invitee == Some(user)) {
        return Err(Error::Forbidden(Denial::Role));
    }
    let permit = found?;
    if user.can_write() { Ok(permit) } else { Err(Error::Forbidden(Denial::Scope)) }
}

async fn located<'c>(conn: &mut Conn, call: &'c Call, id: InviteId) -> Result<(&'c UserActor, InviteFacts)> {
    let user = call.user()?;
    let facts = store::invites::locate(conn, id).await?.ok_or(Error::NotFound)?;
    Ok((user, facts))
}

/// What is somebody's as a person is not their narrower tokens'.
fn personal(user: &UserActor, is: impl Fn(UserId) -> bool) -> bool {
    user.within().is_none() && is(user.id)
}

async fn permit<A>(
    conn: &mut Conn,
    user: &UserActor,
    facts: InviteFacts,
    mine: bool,
) -> Result<InvitePermit<A>> {
    let via = if mine { Some(Via::Invitation) } else { administers(conn, user, facts).await? };
    let via = via.or(planted!("I1: the id is an authority").then_some(Via::Invitation));
    let via = via.ok_or(Error::NotFound)?;
    Ok(InvitePermit { facts, actor: user.id, via, action: PhantomData })
}

/// By what right the person is an admin of where the invite leads.
async fn administers(conn: &mut Conn, user: &UserActor, facts: InviteFacts) -> Result<Option<Via>> {
    let standing = match (facts.group, facts.org) {
        (Some(group), _) => role_towards_one(conn, user, group).await?,
        (None, Some(org)) => role_towards_one(conn, user, org).await?,
        (None, None) => {
            (user.is_platform_admin() && user.within().is_none()).then_some((Role::Owner, Via::PlatformAdmin))
        }
    };
    Ok(standing.filter(|(role, _)| *role >= Role::Admin).map(|(_, via)| via))
}

async fn role_towards_one<T: Target>(
    conn: &mut Conn,
    user: &UserActor,
    target: T,
) -> Result<Option<(Role, Via)>> {
    let found = T::locate(conn, &[target], user.id).await?.pop();
    Ok(found.and_then(|found| strongest(user, target.place(found.home), &found.facts)))
}

/// What somebody else is to these places at this moment, in their own right; places to which they are
/// nothing are left out, and so are all of them if the person cannot log in.
pub(crate) async fn roles_of<T: Target>(
    conn: &mut Conn,
    person: UserId,
    targets: &[T],
) -> Result<BTreeMap<T, Role>> {
    let account = store::users::account(conn, person).await?;
    let Some(account) = account.filter(|account| account.status == UserStatus::Enabled) else {
        return Ok(BTreeMap::new());
    };
    let owner = account.platform_role.map(|_: PlatformRole| Role::Owner);
    let located = T::locate(conn, targets, person).await?;
    let role = |facts: &store::access::Facts| {
        [facts.role(), facts.owns_org().then_some(Role::Owner), owner].into_iter().flatten().max()
    };
    Ok(located.iter().filter_map(|found| Some((found.target, role(&found.facts)?))).collect())
}

/// Whether somebody else administers the platform at this moment, and can log in.
pub(crate) async fn administers_platform(conn: &mut Conn, person: UserId) -> Result<bool> {
    let account = store::users::account(conn, person).await?;
    Ok(account
        .is_some_and(|account| account.status == UserStatus::Enabled && account.platform_role.is_some()))
}

/// Those of these groups of the organisation that the caller may invite to.
pub(crate) async fn grantable(
    conn: &mut Conn,
    call: &Call,
    org: &Permit<Administer, OrgId>,
    groups: &[GroupId],
) -> Result<BTreeMap<GroupId, Role>> {
    let user = call.user()?;
    let located = GroupId::locate(conn, groups, user.id).await?;
    Ok(located
        .into_iter()
        .filter(|found| found.home.org == org.target() || planted!("I9: groups of other organisations"))
        .filter_map(|found| {
            let (role, _) = strongest(user, found.target.place(found.home), &found.facts)?;
            (role >= Role::Admin).then_some((found.target, role))
        })
        .collect())
}

/// Which invites a list may show.
pub(crate) struct Invitations(Sql);

impl Invitations {
    /// Those to an organisation.
    pub(crate) fn to_org(permit: &Permit<Review, OrgId>) -> Self {
        let mut sql = Sql::new("v.kind = 'org' AND v.org_id = ");
        sql.bind(Arg::Id(permit.target().uuid()));
        Self(sql)
    }

    /// Those to a group.
    pub(crate) fn to_group(permit: &Permit<Review, GroupId>) -> Self {
        let mut sql = Sql::new("v.kind = 'group' AND v.group_id = ");
        sql.bind(Arg::Id(permit.target().uuid()));
        Self(sql)
    }

    /// Those that a person received.
    pub(crate) fn received(permit: &AccountPermit) -> Self {
        let mut sql = Sql::new("v.invitee_id = ");
        sql.bind(Arg::Id(permit.user().uuid()));
        Self(sql)
    }

    /// Those that a person sent.
    pub(crate) fn sent(permit: &AccountPermit) -> Self {
        let mut sql = Sql::new("v.inviter_id = ");
        sql.bind(Arg::Id(permit.user().uuid()));
        Self(sql)
    }

    /// All.
    pub(crate) fn all(_: &PlatformPermit) -> Self {
        Self(Sql::new("1 = 1"))
    }

    /// The condition on `invites v`.
    pub(crate) fn condition(&self) -> &Sql {
        &self.0
    }
}

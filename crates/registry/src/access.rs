//! Who may do what: the whole policy on one screen.
//!
//! A [`Permit`] is the proof that an actor may act on an object, a [`Visible`] the filter that a list
//! must carry. Only this module makes them, the store demands them, and so no query runs without
//! the question having been asked. What an actor has nothing to do with does not exist for them.
//!
//! Rights, strongest first: the platform's administrators are owners of everything; an
//! organisation's owner is an owner of all its groups; everyone else has their membership's role in
//! that group. An organisation's admins and editors have no access to a group without membership.

mod accounts;
mod invites;
mod lists;

use std::marker::PhantomData;

use serde::{Deserialize, Serialize};

use crate::{
    actor::{Actor, Call, UserActor, Within},
    error::{Denial, Error, Result},
    ids::{GroupId, OrgId, ProfileId, ThingId, UserId},
    store::{Conn, access::Facts},
};

pub(crate) use accounts::{
    AccountPermit, PlatformPermit, RegistrationPermit, SelfPermit, account, admission, backup, first_start,
    invited, oneself, platform, registration,
};
pub(crate) use invites::{
    Answer, ArrivalPermit, Invitations, InviteFacts, InvitePermit, Withdraw, administers_platform, answer,
    grantable, invite_view, roles_of, withdrawal,
};
pub(crate) use lists::{Administered, Visible};

/// A role in a group or an organisation; each includes those before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sees.
    Viewer,
    /// Creates and changes things and profiles.
    Editor,
    /// Also deletes, and manages members.
    Admin,
    /// Also deletes the group or organisation, and hands over ownership.
    Owner,
}

impl Role {
    /// All, weakest first.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Editor, Self::Admin, Self::Owner];

    /// As stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Editor => "editor",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    /// From text; anything unknown is no role, and so no access.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

/// What is to be done, as the least role it needs.
pub(crate) trait Action {
    const NEEDS: Role;
    /// Whether a credential that only reads is not enough.
    const WRITES: bool = true;
}

/// Look at it.
pub(crate) struct View;
/// End memberships of it: one's own, or as an admin those of others ([`removal`]).
pub(crate) struct EndMemberships;
/// Create in it, change it.
pub(crate) struct Edit;
/// See what only those do who may change it.
pub(crate) struct Inspect;
/// Read what happened in it.
pub(crate) struct Review;
/// Delete from it, manage its members.
pub(crate) struct Administer;
/// Delete it, give it away.
pub(crate) struct Own;

impl Action for View {
    const NEEDS: Role = Role::Viewer;
    const WRITES: bool = false;
}
impl Action for EndMemberships {
    const NEEDS: Role = Role::Viewer;
}
impl Action for Edit {
    const NEEDS: Role = Role::Editor;
}
impl Action for Inspect {
    const NEEDS: Role = Role::Editor;
    const WRITES: bool = false;
}
impl Action for Review {
    const NEEDS: Role = Role::Admin;
    const WRITES: bool = false;
}
impl Action for Administer {
    const NEEDS: Role = Role::Admin;
}
impl Action for Own {
    const NEEDS: Role = Role::Owner;
}

/// By what right: told in the journal.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// A membership of the group or organisation.
    Membership,
    /// Owning the organisation the group belongs to.
    OrgOwner,
    /// Administering the platform.
    PlatformAdmin,
    /// One's own account.
    Oneself,
    /// Being invited, or having invited.
    Invitation,
    /// No right needed: logging in, registering.
    Public,
    /// The program itself.
    System,
}

impl Via {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Membership,
        Self::OrgOwner,
        Self::PlatformAdmin,
        Self::Oneself,
        Self::Invitation,
        Self::Public,
        Self::System,
    ];

    /// As stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Membership => "membership",
            Self::OrgOwner => "org_owner",
            Self::PlatformAdmin => "platform_admin",
            Self::Oneself => "oneself",
            Self::Invitation => "invitation",
            Self::Public => "public",
            Self::System => "system",
        }
    }
}

/// Something a role is needed for: its id, and where in the tree it lives.
pub(crate) trait Target: Copy + Ord {
    /// What surrounds it, read in the same query as the right to it.
    type Home: Copy + Clone;
    /// The facts about those of `targets` that exist.
    async fn locate(conn: &mut Conn, targets: &[Self], user: UserId) -> Result<Vec<Located<Self>>>;
    /// The organisation and group that a scoped token is compared with.
    fn place(self, home: Self::Home) -> (OrgId, Option<GroupId>);
}

/// An existing target and the actor's standing towards it.
pub(crate) struct Located<T: Target> {
    pub(crate) target: T,
    pub(crate) home: T::Home,
    pub(crate) facts: Facts,
}

/// Proof that the actor may do `A` to `T`. Only this module makes one.
pub(crate) struct Permit<A, T: Target> {
    target: T,
    home: T::Home,
    role: Role,
    via: Via,
    action: PhantomData<A>,
}

impl<A, T: Target> Permit<A, T> {
    /// The object's id: take it from here, never from the request.
    pub(crate) fn target(&self) -> T {
        self.target
    }

    /// What surrounds the object.
    pub(crate) fn home(&self) -> T::Home {
        self.home
    }

    /// The actor's strongest role towards it.
    pub(crate) fn role(&self) -> Role {
        self.role
    }

    /// By what right.
    pub(crate) fn via(&self) -> Via {
        self.via
    }

    /// The organisation and group it belongs to.
    pub(crate) fn place(&self) -> (OrgId, Option<GroupId>) {
        self.target.place(self.home)
    }
}

/// May the caller do `A` to `target`?
pub(crate) async fn permit<A: Action, T: Target>(
    conn: &mut Conn,
    call: &Call,
    target: T,
) -> Result<Permit<A, T>> {
    permit_all(conn, call, &[target]).await?.pop().ok_or(Error::NotFound)
}

/// May the caller do `A` to each of `targets`? All or nothing; one permit for each distinct target, in
/// ascending order of id. One that may not be seen hides the rest.
pub(crate) async fn permit_all<A: Action, T: Target>(
    conn: &mut Conn,
    call: &Call,
    targets: &[T],
) -> Result<Vec<Permit<A, T>>> {
    let user = call.user()?;
    let mut distinct = targets.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    let located = T::locate(conn, &distinct, user.id).await?;
    if located.len() < distinct.len() {
        return Err(Error::NotFound);
    }
    let mut permits = located
        .into_iter()
        .map(|Located { target, home, facts }| {
            let (role, via) = strongest(user, target.place(home), &facts).ok_or(Error::NotFound)?;
            Ok(Permit { target, home, role, via, action: PhantomData })
        })
        .collect::<Result<Vec<Permit<A, T>>>>()?;
    permits.sort_unstable_by_key(Permit::target);
    if A::WRITES && !user.can_write() {
        return Err(Error::Forbidden(Denial::Scope));
    }
    if permits.iter().any(|permit| permit.role < A::NEEDS) {
        return Err(Error::Forbidden(Denial::Role));
    }
    Ok(permits)
}

/// Those of `targets` that the caller may do `A` to, whatever becomes of the others; in ascending order of id.
pub(crate) async fn permit_some<A: Action, T: Target>(
    conn: &mut Conn,
    call: &Call,
    targets: &[T],
) -> Result<Vec<Permit<A, T>>> {
    let user = call.user()?;
    if A::WRITES && !user.can_write() {
        return Ok(Vec::new());
    }
    let mut permits: Vec<Permit<A, T>> = T::locate(conn, targets, user.id)
        .await?
        .into_iter()
        .filter_map(|Located { target, home, facts }| {
            let (role, via) = strongest(user, target.place(home), &facts)?;
            (role >= A::NEEDS).then_some(Permit { target, home, role, via, action: PhantomData })
        })
        .collect();
    permits.sort_unstable_by_key(Permit::target);
    Ok(permits)
}

/// What a service that the installation trusts may do, on nobody's behalf: whatever an admin may, to
/// each of `targets`. Otherwise as [`permit_all`]. For `crate::services` alone.
pub(crate) async fn entrusted<A: Action, T: Target>(
    conn: &mut Conn,
    targets: &[T],
) -> Result<Vec<Permit<A, T>>> {
    const ROLE: Role = Role::Admin;
    let mut distinct = targets.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    // Nobody has this id, and so nobody's roles are read.
    let located = T::locate(conn, &distinct, UserId::from(uuid::Uuid::nil())).await?;
    if located.len() < distinct.len() {
        return Err(Error::NotFound);
    }
    if ROLE < A::NEEDS {
        return Err(Error::Forbidden(Denial::Role));
    }
    let mut permits: Vec<Permit<A, T>> = located
        .into_iter()
        .map(|Located { target, home, .. }| Permit {
            target,
            home,
            role: ROLE,
            via: Via::System,
            action: PhantomData,
        })
        .collect();
    permits.sort_unstable_by_key(Permit::target);
    Ok(permits)
}

/// The strongest role towards a place, and by what right; `None` hides the place.
fn strongest(user: &UserActor, (org, group): (OrgId, Option<GroupId>), facts: &Facts) -> Option<(Role, Via)> {
    match user.within() {
        Some(Within::Org(bound)) if bound != org => return None,
        Some(Within::Group(bound)) if Some(bound) != group => return None,
        _ => {}
    }
    let membership = facts.role().map(|role| (role, Via::Membership));
    let org_owner = facts.owns_org().then_some((Role::Owner, Via::OrgOwner));
    let platform = user.is_platform_admin().then_some((Role::Owner, Via::PlatformAdmin));
    // Of equal roles the first named right is the one told: one's own membership before any other.
    [membership, org_owner, platform]
        .into_iter()
        .flatten()
        .reduce(|best, next| if next.0 > best.0 { next } else { best })
}

/// The role to show with a row that a list has let through.
pub(crate) fn role_towards(user: &UserActor, place: (OrgId, Option<GroupId>), facts: &Facts) -> Role {
    strongest(user, place, facts).map_or(Role::Viewer, |(role, _)| role)
}

/// Whether an actor of rank `own` may give, change or remove a role of rank `other`: strictly
/// below one's own, except that owners may deal with owners.
pub(crate) fn outranks(own: Role, other: Role) -> Result<()> {
    if own > other || own == Role::Owner { Ok(()) } else { Err(Error::Forbidden(Denial::Rank)) }
}

/// May the caller end these memberships of `target`? One's own with any role; others' as an admin,
/// and then only below one's own rank: [`Permit::covers_removal`] tells for each.
pub(crate) async fn removal<T: Target>(
    conn: &mut Conn,
    call: &Call,
    target: T,
    members: &[UserId],
) -> Result<Permit<EndMemberships, T>> {
    let permit: Permit<EndMemberships, T> = permit(conn, call, target).await?;
    let caller = call.user()?.id;
    if permit.role < Role::Admin && members.iter().any(|member| *member != caller) {
        return Err(Error::Forbidden(Denial::Role));
    }
    Ok(permit)
}

impl<T: Target> Permit<EndMemberships, T> {
    /// Whether it goes as far as the membership of someone with this role.
    pub(crate) fn covers_removal(&self, call: &Call, member: UserId, role: Option<Role>) -> Result<()> {
        if call.user()?.id == member {
            return Ok(());
        }
        role.map_or(Ok(()), |role| outranks(self.role, role))
    }
}

impl<T: Target> Permit<Administer, T> {
    /// Whether it goes as far as giving someone with the role `before` (none, if it is not a known
    /// one) the role `after`. Nobody raises themselves.
    pub(crate) fn covers_change(
        &self,
        call: &Call,
        member: UserId,
        before: Option<Role>,
        after: Role,
    ) -> Result<()> {
        before.map_or(Ok(()), |before| outranks(self.role, before))?;
        outranks(self.role, after)?;
        if call.user()?.id == member && Some(after) > before {
            return Err(Error::Forbidden(Denial::Rank));
        }
        Ok(())
    }
}

/// Who an actor is to the journal.
pub(crate) fn actor_of(actor: &Actor) -> (&'static str, Option<uuid::Uuid>) {
    match actor {
        Actor::Anonymous => ("anonymous", None),
        Actor::User(user) => ("user", Some(user.id.uuid())),
        Actor::Thing(thing) => ("thing", Some(thing.uuid())),
        Actor::System => ("system", None),
    }
}

/// Where a group lives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupHome {
    pub(crate) org: OrgId,
}

/// Where a profile lives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProfileHome {
    pub(crate) org: OrgId,
    pub(crate) group: GroupId,
}

/// Where a thing lives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ThingHome {
    pub(crate) org: OrgId,
    pub(crate) group: GroupId,
    pub(crate) profile: ProfileId,
}

impl Target for OrgId {
    type Home = ();
    async fn locate(conn: &mut Conn, targets: &[Self], user: UserId) -> Result<Vec<Located<Self>>> {
        crate::store::access::orgs(conn, targets, user).await
    }
    fn place(self, (): ()) -> (OrgId, Option<GroupId>) {
        (self, None)
    }
}

impl Target for GroupId {
    type Home = GroupHome;
    async fn locate(conn: &mut Conn, targets: &[Self], user: UserId) -> Result<Vec<Located<Self>>> {
        crate::store::access::groups(conn, targets, user).await
    }
    fn place(self, home: GroupHome) -> (OrgId, Option<GroupId>) {
        (home.org, Some(self))
    }
}

impl Target for ProfileId {
    type Home = ProfileHome;
    async fn locate(conn: &mut Conn, targets: &[Self], user: UserId) -> Result<Vec<Located<Self>>> {
        crate::store::access::profiles(conn, targets, user).await
    }
    fn place(self, home: ProfileHome) -> (OrgId, Option<GroupId>) {
        (home.org, Some(home.group))
    }
}

impl Target for ThingId {
    type Home = ThingHome;
    async fn locate(conn: &mut Conn, targets: &[Self], user: UserId) -> Result<Vec<Located<Self>>> {
        crate::store::access::things(conn, targets, user).await
    }
    fn place(self, home: ThingHome) -> (OrgId, Option<GroupId>) {
        (home.org, Some(home.group))
    }
}

//! What members are told about their memberships: read once for a request, whatever its size.

use std::collections::HashMap;

use super::{Letter, Place};
use crate::{
    Registry,
    access::{Action, EndMemberships, Permit, Role},
    actor::Call,
    error::Result,
    ids::{GroupId, OrgId, UserId},
    journal::Entry,
    store::{self, Conn, mails::Addressees, org_memberships::Departure},
    text::Email,
};

/// How many groups one mail names.
const MOST_NAMED: usize = 50;

/// The facts that a request's mails share. Empty where there is nobody to write to: the one who asks
/// is not told what they did, and neither is anybody who cannot log in.
#[derive(Default)]
pub(crate) struct Notices {
    place: Option<Place>,
    by: Option<Email>,
    to: HashMap<UserId, Email>,
}

impl Notices {
    /// About a group, for those of `members` who are to be told.
    pub(crate) async fn in_group<A: Action>(
        registry: &Registry,
        conn: &mut Conn,
        call: &Call,
        permit: &Permit<A, GroupId>,
        members: impl IntoIterator<Item = UserId>,
    ) -> Result<Self> {
        let mut notices = Self::to(registry, conn, call, members).await?;
        if !notices.to.is_empty() {
            notices.place = store::mails::group_place(conn, permit).await?;
        }
        Ok(notices)
    }

    /// About an organisation.
    pub(crate) async fn in_org<A: Action>(
        registry: &Registry,
        conn: &mut Conn,
        call: &Call,
        permit: &Permit<A, OrgId>,
        members: impl IntoIterator<Item = UserId>,
    ) -> Result<Self> {
        let mut notices = Self::to(registry, conn, call, members).await?;
        if !notices.to.is_empty() {
            notices.place = store::mails::org_place(conn, permit).await?;
        }
        Ok(notices)
    }

    async fn to(
        registry: &Registry,
        conn: &mut Conn,
        call: &Call,
        members: impl IntoIterator<Item = UserId>,
    ) -> Result<Self> {
        let actor = call.user()?.id();
        let others: Vec<UserId> = members.into_iter().filter(|member| *member != actor).collect();
        if !registry.outbox.open || others.is_empty() {
            return Ok(Self::default());
        }
        let Addressees { by, to } = store::mails::addressees(conn, actor, &others).await?;
        Ok(Self { place: None, by, to })
    }

    /// What the groups are called that fell to owners of the organisation, if any of them is written
    /// to: the first of very many.
    pub(crate) async fn names(
        &self,
        conn: &mut Conn,
        permit: &Permit<EndMemberships, OrgId>,
        departure: &Departure,
    ) -> Result<Vec<String>> {
        if !departure.adoptions.iter().any(|adoption| self.to.contains_key(&adoption.heir)) {
            return Ok(Vec::new());
        }
        let named = departure.orphaned.get(..MOST_NAMED).unwrap_or(&departure.orphaned);
        let mut names = store::mails::group_names(conn, permit, named).await?;
        if departure.orphaned.len() > named.len() {
            names.push("…".to_owned());
        }
        Ok(names)
    }

    /// Tells a member their new role.
    pub(crate) fn role_changed(
        &self,
        entry: Entry,
        member: UserId,
        before: Option<Role>,
        role: Role,
    ) -> Entry {
        self.tell(entry, member, |place, by| Letter::RoleChanged { place, before, role, by })
    }

    /// Adds the letter to the entry, if this person is written to.
    pub(crate) fn tell(
        &self,
        entry: Entry,
        member: UserId,
        letter: impl FnOnce(Place, Email) -> Letter,
    ) -> Entry {
        match (&self.place, &self.by, self.to.get(&member)) {
            (Some(place), Some(by), Some(to)) => entry.mail(to, letter(place.clone(), by.clone())),
            _ => entry,
        }
    }
}

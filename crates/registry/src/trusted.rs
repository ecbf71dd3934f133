//! What other services of an installation ask, which are trusted and come without a person: facts about
//! things, groups, organisations and accounts, and the two things that they do, in the program's own name.

use std::collections::BTreeMap;

use crate::{
    Registry,
    access::{self, Administer, Edit, Own, Permit, Role, Target, View, Visible},
    actor::{Call, PlatformRole},
    error::{ConflictKind, Error, FieldError, Result},
    groups::{Group, bulk_size},
    identity::users::UserStatus,
    ids::{GroupId, OrgId, ProfileId, ThingId, UserId},
    journal::{self, Changes, Entry, Subject},
    members::{self, MemberRef, NewMember, never_owner, refuse},
    profiles::ProfileConfig,
    secret::Secret,
    store::{self, Conn, lock, lock::GroupLock},
    text::Email,
};

/// The most ids that one answer holds: about what fits into a message of 4 MiB.
pub const MAX_IDS: usize = 100_000;

/// What rights are asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Object {
    /// An organisation.
    Org(OrgId),
    /// A group.
    Group(GroupId),
    /// A profile.
    Profile(ProfileId),
    /// A thing.
    Thing(ThingId),
}

/// An account, as other services know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its id.
    pub id: UserId,
    /// Its address.
    pub email: Email,
}

/// Somebody to become a member of a group.
#[derive(Clone, Copy, Debug)]
pub struct Enrolment {
    /// Who.
    pub member: UserId,
    /// Where.
    pub group: GroupId,
    /// As what.
    pub role: Role,
}

impl Registry {
    /// Whether the caller may do what needs this role; an error if not.
    pub async fn check_role(&self, call: &Call, least: Role, object: Object) -> Result<()> {
        let mut conn = self.db.read().await?;
        match object {
            Object::Org(id) => check(&mut conn, call, least, id).await,
            Object::Group(id) => check(&mut conn, call, least, id).await,
            Object::Profile(id) => check(&mut conn, call, least, id).await,
            Object::Thing(id) => check(&mut conn, call, least, id).await,
        }
    }

    /// Whether the caller administers the platform, with a credential that may do everything.
    pub fn check_platform_admin(&self, call: &Call) -> Result<()> {
        access::platform(call, true).map(drop)
    }

    /// The groups of an organisation that the caller has a role in.
    pub async fn list_group_ids(&self, call: &Call, org: OrgId) -> Result<Vec<GroupId>> {
        let mut conn = self.db.read().await?;
        let visible = Visible::in_org(call, &access::permit(&mut conn, call, org).await?)?;
        store::groups::ids(&mut conn, &visible, MAX_IDS + 1).await
    }

    /// How a thing's messages are read and where they go; `None` for nowhere.
    pub async fn config_of_thing(&self, id: ThingId) -> Result<Option<ProfileConfig>> {
        let mut conn = self.db.read().await?;
        let thing: Permit<View, ThingId> = entrusted(&mut conn, id).await?;
        let profile: Permit<View, ProfileId> = entrusted(&mut conn, thing.home().profile).await?;
        Ok(store::profiles::get(&mut conn, &profile).await?.config)
    }

    /// The group that a thing is in.
    pub async fn group_of_thing(&self, id: ThingId) -> Result<GroupId> {
        let thing: Permit<View, ThingId> = entrusted(&mut self.db.read().await?, id).await?;
        Ok(thing.home().group)
    }

    /// The group that a profile is in.
    pub async fn group_of_profile(&self, id: ProfileId) -> Result<GroupId> {
        let profile: Permit<View, ProfileId> = entrusted(&mut self.db.read().await?, id).await?;
        Ok(profile.home().group)
    }

    /// The things on a profile, in ascending order; one more than [`MAX_IDS`] if there are more.
    pub async fn things_of_profile(&self, id: ProfileId) -> Result<Vec<ThingId>> {
        let mut conn = self.db.read().await?;
        let profile: Permit<View, ProfileId> = entrusted(&mut conn, id).await?;
        store::things::ids(&mut conn, &profile, MAX_IDS + 1).await
    }

    /// A group.
    pub async fn facts_of_group(&self, id: GroupId) -> Result<Group> {
        let mut conn = self.db.read().await?;
        let group: Permit<View, GroupId> = entrusted(&mut conn, id).await?;
        store::groups::get(&mut conn, &group).await
    }

    /// The owner of an organisation; of several the one with the lowest id.
    pub async fn owner_of_org(&self, id: OrgId) -> Result<UserId> {
        let mut conn = self.db.read().await?;
        let org: Permit<View, OrgId> = entrusted(&mut conn, id).await?;
        let owners = store::org_memberships::owners(&mut conn, &org).await?;
        owners.into_iter().next().ok_or(Error::NotFound)
    }

    /// What an account is to the platform.
    pub async fn platform_role_of(&self, id: UserId) -> Result<Option<PlatformRole>> {
        let account = store::users::account(&mut self.db.read().await?, id).await?;
        let enabled = account.filter(|account| account.status == UserStatus::Enabled);
        Ok(enabled.ok_or(Error::NotFound)?.platform_role)
    }

    /// The enabled ones among these accounts, in ascending order of id.
    pub async fn users_by_ids(&self, ids: &[UserId]) -> Result<Vec<Known>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        bulk_size("ids", ids.len())?;
        store::users::enabled(&mut self.db.read().await?, ids, &[]).await
    }

    /// The accounts of these addresses, in the order given; all must be there and enabled.
    pub async fn users_by_emails(&self, emails: &[Email]) -> Result<Vec<Known>> {
        if emails.is_empty() {
            return Ok(Vec::new());
        }
        bulk_size("emails", emails.len())?;
        let found = store::users::enabled(&mut self.db.read().await?, &[], emails).await?;
        let by_email: BTreeMap<&str, &Known> =
            found.iter().map(|known| (known.email.as_str(), known)).collect();
        emails
            .iter()
            .map(|email| by_email.get(email.as_str()).map(|known| Known::clone(known)))
            .collect::<Option<_>>()
            .ok_or(Error::NotFound)
    }

    /// A thing's key, where the installation keeps copies; `None` where it does not. Journalled, in the
    /// program's name.
    pub async fn reveal_key_to_service(&self, id: ThingId, request_id: &str) -> Result<Option<Secret>> {
        let call = &Call::system(request_id);
        // Serialised only for a repeatable request, which this is not.
        let mut revealed = None;
        use_case!(self, call, |tx| {
            lock::groups_of_things(&mut tx, &[id]).await?;
            lock::things(&mut tx, &[id]).await?;
            let permit: Permit<Edit, ThingId> = entrusted(&mut tx, id).await?;
            let thing = store::things::get(&mut tx, &permit).await?;
            revealed = self.copy_of_key(&mut tx, &permit).await?;
            let entry = Entry::by(&permit, "thing.key_revealed", Subject::thing(id, &thing.name));
            let entries = revealed.iter().map(|_| entry.clone()).collect();
            journal::commit(self, tx, call, entries, ()).await
        })?;
        Ok(revealed)
    }

    /// Takes people into groups of organisations that they belong to, all or none. The rules are those of
    /// admins who do so; nobody is written to, because the service that asks does that.
    pub async fn enrol(&self, enrolments: &[Enrolment], request_id: &str) -> Result<()> {
        bulk_size("memberships", enrolments.len())?;
        never_owner(enrolments.iter().map(|enrolment| enrolment.role))?;
        let call = &Call::system(request_id);
        let mut groups: BTreeMap<GroupId, (Vec<usize>, Vec<NewMember>)> = BTreeMap::new();
        for (item, Enrolment { member, group, role }) in enrolments.iter().enumerate() {
            let (items, members) = groups.entry(*group).or_default();
            items.push(item);
            members.push(NewMember { who: MemberRef::Id(*member), role: *role });
        }
        let ids: Vec<GroupId> = groups.keys().copied().collect();
        use_case!(self, call, |tx| {
            lock::orgs_of_groups(&mut tx, &ids).await?;
            lock::groups(&mut tx, &ids, GroupLock::Members).await?;
            let permits: Vec<Permit<Administer, GroupId>> = access::entrusted(&mut tx, &ids).await?;
            let mut entries = Vec::with_capacity(enrolments.len());
            for permit in &permits {
                let Some((items, members)) = groups.get(&permit.target()) else { continue };
                let named = |error| in_request(error, items);
                let added = members::resolve(&mut tx, permit, members).await.map_err(named)?;
                let who: Vec<UserId> = added.iter().map(|member| member.member_id).collect();
                let in_org = store::memberships::in_org(&mut tx, permit, &who).await?;
                refuse(ConflictKind::NotInOrg, &who, |id| !in_org.contains(id)).map_err(named)?;
                let present = store::memberships::standings(&mut tx, permit, &who).await?;
                refuse(ConflictKind::AlreadyMember, &who, |id| present.contains_key(id)).map_err(named)?;
                store::memberships::insert(&mut tx, permit, &added).await?;
                entries.extend(added.iter().map(|member| {
                    Entry::by(permit, "member.added", Subject::user(member.member_id))
                        .with(Changes::default().made("role", member.role))
                }));
            }
            journal::commit(self, tx, call, entries, ()).await
        })
    }
}

async fn check<T: Target>(conn: &mut Conn, call: &Call, least: Role, target: T) -> Result<()> {
    match least {
        Role::Viewer => access::permit::<View, _>(conn, call, target).await.map(drop),
        Role::Editor => access::permit::<Edit, _>(conn, call, target).await.map(drop),
        Role::Admin => access::permit::<Administer, _>(conn, call, target).await.map(drop),
        Role::Owner => access::permit::<Own, _>(conn, call, target).await.map(drop),
    }
}

async fn entrusted<A: access::Action, T: Target>(conn: &mut Conn, target: T) -> Result<Permit<A, T>> {
    access::entrusted(conn, &[target]).await?.pop().ok_or(Error::NotFound)
}

/// Names items as the whole request counts them, of which `items` were looked at.
fn in_request(error: Error, items: &[usize]) -> Error {
    let place = |item: usize| items.get(item).copied().unwrap_or(item);
    match error {
        Error::Invalid(errors) => Error::Invalid(
            errors.into_iter().map(|error| FieldError { item: error.item.map(place), ..error }).collect(),
        ),
        Error::Conflict(mut conflict) => {
            conflict.items = conflict.items.into_iter().map(place).collect();
            Error::Conflict(conflict)
        }
        other => other,
    }
}

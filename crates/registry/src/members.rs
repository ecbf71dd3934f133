//! Members: what memberships of organisations and of groups have in common.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::{
    access::{Administer, Permit, Role, Target},
    error::{Conflict, ConflictKind, Error, FieldError, Result},
    identity::users::UserStatus,
    ids::UserId,
    store::{self, Conn},
    text::{Email, SearchText},
    version::Version,
};

/// A member as other members see them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The person.
    pub member_id: UserId,
    /// Their address; only admins see it.
    pub email: Option<Email>,
    /// What they may do.
    pub role: Role,
}

impl Member {
    /// What an ETag is made of.
    pub fn version(&self) -> Version {
        Version::of(&(self.member_id, self.role))
    }
}

/// How a request names a person.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MemberRef {
    /// By their account's id.
    Id(UserId),
    /// By their account's address.
    Email(Email),
    /// By both, which must be the same account's.
    Both(UserId, Email),
}

impl MemberRef {
    /// The account's id, if it is given.
    pub fn id(&self) -> Option<UserId> {
        match self {
            Self::Id(id) | Self::Both(id, _) => Some(*id),
            Self::Email(_) => None,
        }
    }

    /// The field of the request that it came in.
    pub(crate) fn field(&self) -> &'static str {
        match self {
            Self::Id(_) => "member_id",
            Self::Email(_) | Self::Both(..) => "email",
        }
    }
}

/// A person to become a member.
#[derive(Clone, Debug)]
pub struct NewMember {
    /// Who.
    pub who: MemberRef,
    /// As what.
    pub role: Role,
}

/// A member whose role is to change.
#[derive(Clone, Copy, Debug)]
pub struct RoleChange {
    /// Who.
    pub member_id: UserId,
    /// To what.
    pub role: Role,
}

/// Which members.
#[derive(Clone, Debug, Default)]
pub struct MemberFilter {
    /// Part of the address, upper and lower case alike; only admins may ask for it.
    pub email: Option<SearchText>,
    /// With this role.
    pub role: Option<Role>,
}

/// What members are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum MemberOrder {
    /// By the person's id: for ids of version 7 the order in which the accounts were made.
    #[default]
    Id,
    /// By address, by code point; only admins may ask for it.
    Email,
}

/// What somebody is in a group or organisation, as stored.
pub(crate) struct Standing {
    /// `None` for a stored role that nothing recognises: a member without access.
    pub(crate) role: Option<Role>,
    pub(crate) email: Option<Email>,
}

impl Standing {
    pub(crate) fn owns(&self) -> bool {
        self.role == Some(Role::Owner)
    }
}

/// Ownership passes from hand to hand only.
pub(crate) fn never_owner(roles: impl Iterator<Item = Role>) -> Result<()> {
    let errors: Vec<FieldError> = roles
        .enumerate()
        .filter(|(_, role)| *role == Role::Owner)
        .map(|(item, _)| {
            FieldError::new("role", "must be viewer, editor or admin; ownership is handed over").in_item(item)
        })
        .collect();
    if errors.is_empty() { Ok(()) } else { Err(Error::Invalid(errors)) }
}

/// Refuses the request if any of its members `clash`, naming those that do.
pub(crate) fn refuse(kind: ConflictKind, members: &[UserId], clash: impl Fn(&UserId) -> bool) -> Result<()> {
    let items: Vec<usize> =
        members.iter().enumerate().filter(|(_, member)| clash(member)).map(|(item, _)| item).collect();
    if items.is_empty() { Ok(()) } else { Err(Error::Conflict(Conflict { kind, items })) }
}

/// Finds the accounts of people who are to become members, in the order given. Each must exist, be
/// enabled and be named once; every one that is not is told. An address that nobody has shown to be theirs
/// names no account: who made it first is not who is meant.
pub(crate) async fn resolve<T: Target>(
    conn: &mut Conn,
    permit: &Permit<Administer, T>,
    members: &[NewMember],
) -> Result<Vec<Member>> {
    let who: Vec<&MemberRef> = members.iter().map(|member| &member.who).collect();
    let accounts = Accounts::of(conn, permit, &who).await?;
    let mut errors = Vec::new();
    let mut first_item = HashMap::new();
    let mut found = Vec::with_capacity(members.len());
    for (item, NewMember { who, role }) in members.iter().enumerate() {
        let means = |account: &&Account| {
            who.id().is_some() || account.verified || planted!("I2: an address need not be proved")
        };
        let account =
            accounts.find(who).filter(|account| account.status == UserStatus::Enabled).filter(means);
        let mut refuse = |message| errors.push(FieldError::new(who.field(), message).in_item(item));
        match account {
            None => refuse("no such account".to_owned()),
            Some(Account { id, email, .. }) => match first_item.insert(*id, item) {
                Some(first) => refuse(format!("is the same person as in item {first}")),
                None => found.push(Member { member_id: *id, email: Some(email.clone()), role: *role }),
            },
        }
    }
    if errors.is_empty() { Ok(found) } else { Err(Error::Invalid(errors)) }
}

/// Which people those are who are named in other ways than by id alone, in the order given; whoever
/// has no account is no member either. Neither ids nor addresses change, so this stays true.
pub(crate) async fn named<T: Target>(
    conn: &mut Conn,
    permit: &Permit<Administer, T>,
    who: &[MemberRef],
) -> Result<Vec<UserId>> {
    let accounts = Accounts::of(conn, permit, &who.iter().collect::<Vec<_>>()).await?;
    let (mut ids, mut unknown) = (Vec::with_capacity(who.len()), Vec::new());
    for (item, who) in who.iter().enumerate() {
        match (accounts.find(who), who) {
            (Some(account), _) => ids.push(account.id),
            (None, MemberRef::Id(id)) => ids.push(*id),
            (None, MemberRef::Email(_) | MemberRef::Both(..)) => unknown.push(item),
        }
    }
    if unknown.is_empty() {
        Ok(ids)
    } else {
        Err(Error::Conflict(Conflict { kind: ConflictKind::NotAMember, items: unknown }))
    }
}

/// An account, as far as becoming a member is concerned.
pub(crate) struct Account {
    pub(crate) id: UserId,
    pub(crate) email: Email,
    pub(crate) status: UserStatus,
    /// Whether somebody has shown that the address is theirs.
    pub(crate) verified: bool,
}

/// Accounts, found by what a request names them by.
struct Accounts {
    by_id: HashMap<UserId, Account>,
    by_email: HashMap<Email, UserId>,
}

impl Accounts {
    async fn of<T: Target>(
        conn: &mut Conn,
        permit: &Permit<Administer, T>,
        who: &[&MemberRef],
    ) -> Result<Self> {
        let found = store::members::accounts(conn, permit, who).await?;
        let by_email = found.iter().map(|account| (account.email.clone(), account.id)).collect();
        Ok(Self { by_id: found.into_iter().map(|account| (account.id, account)).collect(), by_email })
    }

    fn find(&self, who: &MemberRef) -> Option<&Account> {
        match who {
            MemberRef::Id(id) => self.by_id.get(id),
            MemberRef::Email(email) => self.by_id.get(self.by_email.get(email)?),
            MemberRef::Both(id, email) => self.by_id.get(id).filter(|account| account.email == *email),
        }
    }
}

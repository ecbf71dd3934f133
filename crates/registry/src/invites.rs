//! Invites: how people come in. Three kinds, one life: an organisation's, a group's, the platform's.
//!
//! A group's invite may sleep on its organisation's, and an organisation's on the platform's; accepting
//! one wakes what sleeps on it. [`life`] says what an invite can become, `create`, `answer` and `join`
//! are the use cases, and an id is no authority: rights are in `access/invites.rs`.

mod answer;
mod arrive;
mod create;
mod drafts;
mod join;
mod letters;
pub(crate) mod life;
mod limits;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    Registry,
    access::{self, Invitations, InvitePermit, Permit, Review, Role, View},
    actor::Call,
    clock::Timestamp,
    error::{ConflictKind, Result},
    ids::{GroupId, InviteId, OrgId, UserId},
    page::{Page, PageQuery},
    store,
    text::{Email, RedirectPath},
    version::Version,
};

pub use join::{Joined, Joining};
pub use life::{InviteMode, InviteState};

/// What an invite leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InviteKind {
    /// An organisation's membership, and invites to groups of it.
    Org,
    /// A group's membership.
    Group,
    /// An account, and an organisation's invite.
    Platform,
}

impl InviteKind {
    /// All.
    pub const ALL: [Self; 3] = [Self::Org, Self::Group, Self::Platform];

    /// As stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Org => "org",
            Self::Group => "group",
            Self::Platform => "platform",
        }
    }

    /// From text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// An invite as the two people it is between, and the admins of where it leads, see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Invite {
    /// Its id: no authority.
    pub id: InviteId,
    /// What it leads to.
    pub kind: InviteKind,
    /// Where it is in its life, at the moment of the answer.
    pub state: InviteState,
    /// Whether it sleeps until another one is accepted.
    pub dormant: bool,
    /// Who is invited; nobody yet, while it sleeps.
    pub invitee_id: Option<UserId>,
    /// Their address.
    pub invitee_email: Option<Email>,
    /// As what.
    pub invitee_role: Option<Role>,
    /// Who invites.
    pub inviter_id: UserId,
    /// Their address.
    pub inviter_email: Option<Email>,
    /// The organisation.
    pub org_id: Option<OrgId>,
    /// Its name now.
    pub org_name: Option<String>,
    /// The group.
    pub group_id: Option<GroupId>,
    /// Its name now.
    pub group_name: Option<String>,
    /// The groups whose invites sleep on this one.
    pub group_invites: Vec<GroupOffer>,
    /// How those groups are joined.
    pub mode: Option<InviteMode>,
    /// Where the invitee goes on to afterwards, on the public address.
    pub redirect_path: Option<RedirectPath>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends unless answered; for one that sleeps, when what it sleeps on does.
    pub expires_at: Option<Timestamp>,
}

impl Invite {
    /// What an ETag is made of: the names and addresses on it change, too.
    pub fn version(&self) -> Version {
        Version::of(self)
    }
}

/// A group that an organisation's invite offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupOffer {
    /// The group invite that sleeps.
    pub id: InviteId,
    /// The group.
    pub group_id: GroupId,
    /// Its name now.
    pub group_name: String,
    /// As what.
    pub member_role: Role,
}

/// Somebody to be invited to an organisation.
#[derive(Clone, Debug)]
pub struct NewOrgInvite {
    /// Their address, with an account or without.
    pub email: Email,
    /// As what; never owner.
    pub role: Role,
    /// Groups of the organisation to be invited to once they have joined it.
    pub groups: Vec<(GroupId, Role)>,
    /// How those groups are joined.
    pub mode: InviteMode,
    /// Where they go on to afterwards.
    pub redirect_path: Option<RedirectPath>,
}

/// A member of the organisation to be invited to a group of it.
#[derive(Clone, Debug)]
pub struct NewGroupInvite {
    /// Their address.
    pub email: Email,
    /// As what; never owner.
    pub role: Role,
    /// Where they go on to afterwards.
    pub redirect_path: Option<RedirectPath>,
}

/// What became of one item of a bulk request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Invited {
    /// It was made.
    Made(Box<Invite>),
    /// It was not, because of the present state.
    Clash(ConflictKind),
    /// It was not, because of one of its fields.
    Invalid {
        /// Which.
        field: String,
        /// What is wrong and what to do.
        message: String,
    },
}

/// How many invites there may be, and how long they last.
#[derive(Clone, Copy, Debug)]
pub struct InviteLimits {
    /// How long an invite can be answered; at most 30 days.
    pub life: Duration,
    /// How many invites one person sends in an hour, sleeping ones aside.
    pub per_hour: u32,
    /// How many invites to one organisation or group may be pending.
    pub pending: u32,
    /// How many mails about invites one address is sent in an hour, wherever they lead.
    pub per_address: u32,
}

impl InviteLimits {
    /// The longest that an invite may last, in days.
    pub const MAX_DAYS: u32 = 30;
    /// How often one address is invited to the same place in an hour, and how often one invite is mailed
    /// again in an hour.
    pub const PER_PAIR: usize = 5;
    /// How long after a mail the next one for the same invite may follow.
    pub const RESEND_PAUSE: Duration = Duration::from_secs(60);
    /// What "in an hour" means.
    pub(crate) const WINDOW: Duration = Duration::from_secs(3600);
}

impl Default for InviteLimits {
    fn default() -> Self {
        Self { life: Duration::from_secs(7 * 24 * 3600), per_hour: 1_000, pending: 2_000, per_address: 20 }
    }
}

/// Which invites.
#[derive(Clone, Copy, Debug, Default)]
pub struct InviteFilter {
    /// In this state at this moment.
    pub state: Option<InviteState>,
    /// Of this kind.
    pub kind: Option<InviteKind>,
}

/// What invites are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum InviteOrder {
    /// By id: the order in which they were made.
    #[default]
    Id,
    /// By the time they were made.
    CreatedAt,
}

impl Registry {
    /// One invite, for the two people it is between and the admins of where it leads.
    pub async fn view_invite(&self, call: &Call, id: InviteId) -> Result<Invite> {
        let mut conn = self.db.read().await?;
        let permit: InvitePermit<View> = access::invite_view(&mut conn, call, id).await?;
        let now = conn.now(&self.db.clock).await?;
        store::invites::view(&mut conn, &permit, now).await
    }

    /// The invites to an organisation, for its admins.
    pub async fn list_org_invites(
        &self,
        call: &Call,
        org: OrgId,
        filter: &InviteFilter,
        query: &PageQuery<InviteOrder>,
    ) -> Result<Page<Invite>> {
        let mut conn = self.db.read().await?;
        let permit: Permit<Review, OrgId> = access::permit(&mut conn, call, org).await?;
        self.list(&mut conn, call, &Invitations::to_org(&permit), filter, query).await
    }

    /// The invites to a group, for its admins.
    pub async fn list_group_invites(
        &self,
        call: &Call,
        group: GroupId,
        filter: &InviteFilter,
        query: &PageQuery<InviteOrder>,
    ) -> Result<Page<Invite>> {
        let mut conn = self.db.read().await?;
        let permit: Permit<Review, GroupId> = access::permit(&mut conn, call, group).await?;
        self.list(&mut conn, call, &Invitations::to_group(&permit), filter, query).await
    }

    /// The invites that a person received: one's own, or anybody's for the platform's administrators.
    pub async fn list_received_invites(
        &self,
        call: &Call,
        user: UserId,
        filter: &InviteFilter,
        query: &PageQuery<InviteOrder>,
    ) -> Result<Page<Invite>> {
        let permit = access::account(call, user)?;
        let mut conn = self.db.read().await?;
        store::users::get(&mut conn, &permit).await?;
        self.list(&mut conn, call, &Invitations::received(&permit), filter, query).await
    }

    /// The invites that a person sent: one's own, or anybody's for the platform's administrators.
    pub async fn list_sent_invites(
        &self,
        call: &Call,
        user: UserId,
        filter: &InviteFilter,
        query: &PageQuery<InviteOrder>,
    ) -> Result<Page<Invite>> {
        let permit = access::account(call, user)?;
        let mut conn = self.db.read().await?;
        store::users::get(&mut conn, &permit).await?;
        self.list(&mut conn, call, &Invitations::sent(&permit), filter, query).await
    }

    /// All invites, for the platform's administrators.
    pub async fn list_invites(
        &self,
        call: &Call,
        filter: &InviteFilter,
        query: &PageQuery<InviteOrder>,
    ) -> Result<Page<Invite>> {
        let permit = access::platform(call, false)?;
        let mut conn = self.db.read().await?;
        self.list(&mut conn, call, &Invitations::all(&permit), filter, query).await
    }

    async fn list(
        &self,
        conn: &mut store::Conn,
        call: &Call,
        shown: &Invitations,
        filter: &InviteFilter,
        query: &PageQuery<InviteOrder>,
    ) -> Result<Page<Invite>> {
        let now = conn.now(&self.db.clock).await?;
        store::invites::list(conn, &self.keyring, call.user()?, shown, filter, query, now).await
    }
}

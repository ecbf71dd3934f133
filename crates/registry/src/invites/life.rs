//! The life of an invite: states are types, transitions consume them, and nothing here touches a
//! database. What a use case may do to an invite it has to get from here.
//!
//! `pending → accepted | declined | revoked | expired`, each terminal. A pending invite sleeps while it
//! waits for another one to be accepted: a group invite for its organisation's, an organisation's for
//! the proof of its address.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    access::Role,
    clock::Timestamp,
    error::ConflictKind,
    ids::{GroupId, InviteId, UserId},
};

/// Where an invite is in its life, at a given moment: one that is past due is expired, whether or not
/// its row says so yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InviteState {
    /// It can be answered.
    Pending,
    /// The invitee said yes; the membership (or account) was made by that.
    Accepted,
    /// The invitee said no.
    Declined,
    /// It was withdrawn, or could no longer be honoured.
    Revoked,
    /// Nobody answered in time.
    Expired,
}

impl InviteState {
    /// All, in the order of the life.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Accepted, Self::Declined, Self::Revoked, Self::Expired];

    /// As stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Accepted => "accepted",
            Self::Declined => "declined",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
        }
    }

    /// From text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// What a stored state is at this moment. An unknown one is as good as revoked: no access.
    pub(crate) fn at(stored: &str, expires_at: Option<Timestamp>, now: Timestamp) -> Self {
        match Self::parse(stored) {
            Some(Self::Pending) if past_due(expires_at, now) => Self::Expired,
            Some(state) => state,
            None => Self::Revoked,
        }
    }
}

/// Whether the moment of expiry has come: it is no part of the invite's life any more.
fn past_due(expires_at: Option<Timestamp>, now: Timestamp) -> bool {
    !planted!("I8: expiry is not looked at") && expires_at.is_none_or(|end| end <= now)
}

/// Whether somebody with this role may give `role` by an invite: as an admin, up to their own, and
/// never ownership, which passes from hand to hand.
pub(crate) fn may_grant(inviter: Option<Role>, role: Role) -> bool {
    if planted!("I3: any role may be given") {
        return true;
    }
    role != Role::Owner && inviter.is_some_and(|own| own >= Role::Admin && role <= own)
}

/// What is known, under the locks, about the two people and the place when an invite is answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    /// The inviter's strongest role towards the place now; none if they are gone or disabled.
    pub(crate) inviter: Option<Role>,
    /// Whether the invitee is a member already.
    pub(crate) member: bool,
    /// Whether the invitee is where members of the place have to be: in its organisation.
    pub(crate) eligible: bool,
}

/// A stored invite that its life is asked about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    role: Role,
    expires_at: Option<Timestamp>,
}

/// The invitee said yes and all conditions held: what a membership is made from, and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Accepted {
    role: Role,
}

impl Accepted {
    /// What the new member may do.
    pub(crate) fn role(self) -> Role {
        self.role
    }
}

/// Why an invite was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Nothing is changed by asking.
    Closed(InviteState),
    /// It can never be accepted again, so it is revoked, and the caller is told why.
    Void(ConflictKind),
}

impl Pending {
    /// Of a stored row; everything but a pending one is told as what it is. A role that nothing
    /// recognises gives nothing.
    pub(crate) fn of(
        state: InviteState,
        role: Option<Role>,
        expires_at: Option<Timestamp>,
    ) -> Result<Self, InviteState> {
        match (state, role) {
            (_, Some(role)) if planted!("I5: the change of state is not guarded") => {
                Ok(Self { role, expires_at })
            }
            (InviteState::Pending, Some(role)) => Ok(Self { role, expires_at }),
            (InviteState::Pending, None) => Err(InviteState::Revoked),
            (state, _) => Err(state),
        }
    }

    /// The invitee says yes.
    pub(crate) fn accept(self, now: Timestamp, standing: Standing) -> Result<Accepted, Refusal> {
        if past_due(self.expires_at, now) {
            return Err(Refusal::Closed(InviteState::Expired));
        }
        if standing.member && !planted!("I6: accepting overwrites a role") {
            return Err(Refusal::Void(ConflictKind::AlreadyMember));
        }
        let grants =
            may_grant(standing.inviter, self.role) || planted!("I4: the inviter's role is that of then");
        let eligible = standing.eligible || planted!("I11: the organisation is not asked again");
        if grants && eligible {
            Ok(Accepted { role: self.role })
        } else {
            Err(Refusal::Void(ConflictKind::InviteNoLongerValid))
        }
    }
}

/// The invitee says no to an invite in this state: what it ends as, or already is. What time has ended needs no
/// answer, so saying no to it is as good as done, whether or not its row says yet that it is over; every other end
/// is an answer that stays.
pub(crate) fn decline(seen: InviteState) -> Result<InviteState, InviteState> {
    match seen {
        InviteState::Pending => Ok(InviteState::Declined),
        InviteState::Expired => Ok(InviteState::Expired),
        InviteState::Accepted | InviteState::Declined | InviteState::Revoked => Err(seen),
    }
}

/// How the groups of an organisation's invite are joined once it is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InviteMode {
    /// The invitee answers each group's invite.
    #[default]
    Ask,
    /// The memberships are made at once.
    Join,
}

impl InviteMode {
    /// As stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ask => "ask",
            Self::Join => "join",
        }
    }

    /// From text.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Ask, Self::Join].into_iter().find(|mode| mode.as_str() == text)
    }
}

/// How somebody came into the organisation whose invite a group's slept on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrived {
    /// They said yes to an invite, and by that to what it says of its groups.
    ByAnswer,
    /// Somebody added them, so there is nothing yet that they have agreed to.
    ByOthers,
}

/// A group invite that sleeps on an organisation's invite.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sleeper {
    /// Of version 7: the newer, the greater.
    pub(crate) id: InviteId,
    pub(crate) group: GroupId,
    pub(crate) role: Option<Role>,
    pub(crate) inviter: UserId,
    pub(crate) mode: InviteMode,
}

/// What the invitee has in a group already.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Already {
    /// A membership.
    pub(crate) member: bool,
    /// A pending invite of their own.
    pub(crate) invited: bool,
}

/// What becomes of a sleeping group invite when the person has come into the organisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is pending from now on, with a new clock, and the invitee answers it.
    Wakes,
    /// The membership is made at once.
    Joins(Accepted),
    /// Something better was there: a membership, an invite of one's own, a newer one.
    Revoked,
}

/// Decides one by one, so that no clash fails the arrival: a membership and an invite of one's own
/// win over what sleeps; of several for one group the newest whose inviter still qualifies.
pub(crate) fn wake(
    how: Arrived,
    sleepers: &[Sleeper],
    already: impl Fn(GroupId) -> Already,
    inviter: impl Fn(UserId, GroupId) -> Option<Role>,
) -> BTreeMap<InviteId, Fate> {
    let mut newest_first = sleepers.to_vec();
    newest_first.sort_unstable_by_key(|sleeper| std::cmp::Reverse(sleeper.id));
    let mut taken = std::collections::BTreeSet::new();
    newest_first
        .into_iter()
        .map(|sleeper| {
            let Already { member, invited } = already(sleeper.group);
            let role = sleeper.role.filter(|role| may_grant(inviter(sleeper.inviter, sleeper.group), *role));
            let clashes = (member || invited || taken.contains(&sleeper.group))
                && !planted!("I10: clashes are not looked for");
            let fate = match role {
                Some(role) if !clashes => {
                    taken.insert(sleeper.group);
                    match (sleeper.mode, how) {
                        (InviteMode::Join, Arrived::ByAnswer) => Fate::Joins(Accepted { role }),
                        (InviteMode::Join, Arrived::ByOthers)
                            if planted!("I2: who is added is taken to have agreed") =>
                        {
                            Fate::Joins(Accepted { role })
                        }
                        (InviteMode::Join, Arrived::ByOthers) | (InviteMode::Ask, _) => Fate::Wakes,
                    }
                }
                _ => Fate::Revoked,
            };
            (sleeper.id, fate)
        })
        .collect()
}

#[cfg(test)]
mod model;

//! What the test asks about invites, and by the secrets of invites, in the model's own words.

use registry::{InviteMode, Role};

use super::commands::{Address, Id};

/// How far apart the numbers of invites made by one request are: each is followed by those of the group
/// invites that sleep on it, and by that of the platform's invite that it sleeps on.
pub const APART: Id = 10;

/// The number of the platform's invite that an organisation's invite sleeps on; and of its secret.
pub fn carrier(invite: Id) -> Id {
    invite + APART - 1
}

/// Somebody to be invited to an organisation, at an address with an account or without.
#[derive(Clone, PartialEq, Debug)]
pub struct NewInvite {
    pub address: Address,
    pub role: Role,
    pub groups: Vec<(Id, Role)>,
    pub mode: InviteMode,
    pub path: Option<&'static str>,
}

/// Which invites a list shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Inbox {
    Everything,
    ToOrg(Id),
    ToGroup(Id),
    Received(usize),
    Sent(usize),
}

/// A request about invites.
#[derive(Clone, PartialEq, Debug)]
pub enum Inviting {
    /// The invites get the numbers `first`, `first + APART`, …
    ToOrg {
        org: Id,
        invites: Vec<NewInvite>,
        partial: bool,
        first: Id,
    },
    ToGroup {
        group: Id,
        invites: Vec<(Address, Role)>,
        partial: bool,
        first: Id,
    },
    ToPlatform {
        address: Address,
        invite: Id,
    },
    View {
        invite: Id,
    },
    Accept {
        invite: Id,
    },
    Decline {
        invite: Id,
    },
    Revoke {
        invite: Id,
    },
    /// If a secret goes with it, it is the one of this number from now on.
    Resend {
        invite: Id,
        secret: Id,
    },
    /// Somebody makes themself an account, which proves nothing about the address.
    Register {
        address: Address,
    },
    RegisterBy {
        secret: Id,
        address: Option<Address>,
    },
    ViewBy {
        secret: Id,
    },
    DeclineBy {
        secret: Id,
    },
    Claim {
        secret: Id,
    },
}

impl Inviting {
    pub fn kind(&self) -> &'static str {
        match self {
            Self::ToOrg { .. } => "invite to org",
            Self::ToGroup { .. } => "invite to group",
            Self::ToPlatform { .. } => "invite to platform",
            Self::View { .. } => "view invite",
            Self::Accept { .. } => "accept invite",
            Self::Decline { .. } => "decline invite",
            Self::Revoke { .. } => "revoke invite",
            Self::Resend { .. } => "resend invite",
            Self::Register { .. } => "register",
            Self::RegisterBy { .. } => "register by secret",
            Self::ViewBy { .. } => "view by secret",
            Self::DeclineBy { .. } => "decline by secret",
            Self::Claim { .. } => "claim by secret",
        }
    }

    pub fn writes(&self) -> bool {
        !matches!(self, Self::View { .. } | Self::ViewBy { .. })
    }

    /// Whether it is asked without a log-in.
    pub fn is_public(&self) -> bool {
        matches!(
            self,
            Self::Register { .. } | Self::RegisterBy { .. } | Self::ViewBy { .. } | Self::DeclineBy { .. }
        )
    }

    /// The highest number that it gives to something.
    pub fn highest_number(&self) -> Id {
        match self {
            Self::ToOrg { invites, first, .. } => first + APART * invites.len() as Id,
            Self::ToGroup { invites, first, .. } => first + APART * invites.len() as Id,
            Self::ToPlatform { invite, .. } => *invite,
            Self::Resend { secret, .. } => *secret,
            _ => 0,
        }
    }

    /// Gives other numbers, for a repetition that has another effect.
    pub fn renumber(&mut self, number: Id) {
        match self {
            Self::ToOrg { first: given, .. }
            | Self::ToGroup { first: given, .. }
            | Self::ToPlatform { invite: given, .. }
            | Self::Resend { secret: given, .. } => *given = number,
            _ => {}
        }
    }
}

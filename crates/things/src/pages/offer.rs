//! What an invite offers, in the words in which people are told.

use askama::Template;
use askama::filters::HtmlSafe;
use registry::{Invite, InviteId, InviteKind, InviteMode, Role, Timestamp, text::Email};
use time::{OffsetDateTime, macros::format_description};

/// What somebody is invited to, by whom, as what and until when.
#[derive(Template)]
#[template(path = "pages/offer.html")]
pub(super) struct Offer {
    inviter: Option<Address>,
    org: Option<String>,
    group: Option<String>,
    part: Option<Part>,
    until: Option<When>,
    groups: Vec<Along>,
    joins_at_once: bool,
    /// Who it is for, where that is not whoever reads it.
    invitee: Option<Address>,
    /// How it stands, where the page does not say it otherwise.
    state: Option<&'static str>,
}

/// Its own template escapes what has to be.
impl HtmlSafe for Offer {}

/// An e-mail address, which is best broken before its host where it is too long for a line.
#[derive(Template)]
#[template(source = "<bdi>{{ self.parts().0 }}@<wbr>{{ self.parts().1 }}</bdi>", ext = "html")]
pub(super) struct Address(pub(super) Email);

/// Its own template escapes what has to be.
impl HtmlSafe for Address {}

impl Address {
    fn parts(&self) -> (&str, &str) {
        self.0.as_str().rsplit_once('@').unwrap_or_default()
    }
}

/// A group that comes along.
struct Along {
    name: String,
    part: Part,
}

impl Offer {
    /// Of an invite that can be answered.
    pub(super) fn of(invite: &Invite) -> Self {
        let groups = invite
            .group_invites
            .iter()
            .map(|offer| Along {
                name: offer.group_name.clone(),
                part: Part { role: offer.member_role, kind: InviteKind::Group },
            })
            .collect();
        Self {
            inviter: invite.inviter_email.clone().map(Address),
            org: invite.org_name.clone(),
            group: invite.group_name.clone(),
            part: Part::of(invite),
            until: invite.expires_at.map(When),
            groups,
            joins_at_once: invite.mode == Some(InviteMode::Join),
            invitee: None,
            state: None,
        }
    }

    /// Of one that is over: there is nothing to be in time for.
    pub(super) fn over(self) -> Self {
        Self { until: None, ..self }
    }

    /// As somebody reads it whom it is not for.
    pub(super) fn seen_by_others(self, invite: &Invite, state: &'static str) -> Self {
        Self { invitee: invite.invitee_email.clone().map(Address), state: Some(state), ..self }
    }

    /// Who invites; nobody by name, once the account is gone.
    pub(super) fn inviter(&self) -> &str {
        self.inviter.as_ref().map_or("whoever invited you", |address| address.0.as_str())
    }

    /// Where it leads.
    pub(super) fn place(&self) -> &str {
        self.group.as_deref().or(self.org.as_deref()).unwrap_or("Things")
    }

    /// As what, if it leads to a membership.
    pub(super) fn part(&self) -> Option<&Part> {
        self.part.as_ref()
    }

    pub(super) fn until(&self) -> Option<&When> {
        self.until.as_ref()
    }
}

/// A role in a group or an organisation.
#[derive(Clone, Copy)]
pub(super) struct Part {
    role: Role,
    kind: InviteKind,
}

impl Part {
    /// The one that an invite gives.
    pub(super) fn of(invite: &Invite) -> Option<Self> {
        Some(Self { role: invite.invitee_role?, kind: invite.kind })
    }

    pub(super) fn name(&self) -> &'static str {
        self.role.as_str()
    }

    /// The same within a sentence.
    pub(super) fn one(&self) -> &'static str {
        match self.role {
            Role::Viewer => "a viewer",
            Role::Editor => "an editor",
            Role::Admin => "an admin",
            Role::Owner => "an owner",
        }
    }

    /// What comes with it.
    pub(super) fn may(&self) -> &'static str {
        match (self.kind, self.role) {
            (InviteKind::Group, Role::Viewer) => "may see its things and profiles",
            (InviteKind::Group, Role::Editor) => "may create and change its things and profiles",
            (InviteKind::Group, Role::Admin) => {
                "may create, change and delete its things and profiles, and say who is in it"
            }
            (InviteKind::Org | InviteKind::Platform, Role::Viewer) => "may see it and their own groups",
            (InviteKind::Org | InviteKind::Platform, Role::Editor) => "may also make groups in it",
            (InviteKind::Org | InviteKind::Platform, Role::Admin) => {
                "may change it, make groups in it and say who is in it"
            }
            (_, Role::Owner) => "may do everything there",
        }
    }
}

/// A moment, as people write it.
#[derive(Clone, Copy)]
pub(super) struct When(Timestamp);

/// Digits and names of months.
impl HtmlSafe for When {}

impl When {
    /// As programs write it.
    pub(super) fn exact(&self) -> String {
        self.0.to_string()
    }
}

impl std::fmt::Display for When {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let form =
            format_description!("[day padding:none] [month repr:long] [year], [hour]:[minute]\u{a0}UTC");
        let moment = OffsetDateTime::from_unix_timestamp(self.0.millis().div_euclid(1_000));
        let text = moment.ok().and_then(|moment| moment.format(&form).ok());
        f.write_str(text.as_deref().unwrap_or_default())
    }
}

/// An invite in a list.
pub(super) struct Item {
    pub(super) id: InviteId,
    pub(super) place: String,
    /// The organisation that a group is in.
    pub(super) within: Option<String>,
    pub(super) part: Option<Part>,
    pub(super) inviter: String,
    pub(super) until: Option<When>,
}

impl Item {
    pub(super) fn of(invite: &Invite) -> Self {
        let offer = Offer::of(invite);
        Self {
            id: invite.id,
            place: offer.place().to_owned(),
            within: offer.group.as_ref().and(offer.org.clone()),
            part: offer.part,
            inviter: offer.inviter().to_owned(),
            until: offer.until,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_out() {
        let when = |text| When(Timestamp::parse(text).unwrap()).to_string();
        assert_eq!(when("2026-01-08T00:00:00Z"), "8 January 2026, 00:00\u{a0}UTC");
        assert_eq!(when("2026-11-23T12:13:20.999Z"), "23 November 2026, 12:13\u{a0}UTC");
        assert_eq!(When(Timestamp::from_millis(i64::MAX)).to_string(), "");
    }
}

//! An invitation: what it offers, the invitee's answer, and what became of it.

use askama::Template;
use axum::{extract::State, http::StatusCode};
use registry::{
    ConflictKind, Dir, Error, Invite, InviteFilter, InviteId, InviteKind, InviteOrder, InviteState, OrgId,
    PageQuery, Result, Timestamp, User,
};
use serde::Deserialize;

use super::{
    form::Form,
    next::Next,
    notice::Notice,
    offer::{Address, Item, Offer},
    page, see_other, sentence,
    visitor::Person,
};
use crate::{
    App,
    rest::{extract::Id, problem::Answer, query::Query},
};

/// How one comes to the page.
#[derive(Debug, Deserialize)]
pub(super) struct Arrival {
    next: Option<String>,
    notice: Option<String>,
}

/// What is sent with an answer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reply {
    /// The organisation's invite on whose page a group's is answered.
    from: Option<String>,
    next: Option<String>,
}

#[derive(Template)]
#[template(path = "pages/invitation.html")]
struct Shown {
    id: InviteId,
    heading: &'static str,
    /// Whether the heading goes on with where the invite leads.
    names_place: bool,
    offer: Offer,
    view: View,
    next: Option<Next>,
    onward: Option<String>,
    notice: Option<Notice>,
    wrong: Option<String>,
}

impl Shown {
    /// Whether there is something to answer before one continues.
    fn asks(&self) -> bool {
        matches!(&self.view, View::In { asked, .. } if !asked.is_empty())
    }
}

/// What there is to say besides the offer.
enum View {
    /// The invitee may answer.
    Open,
    /// The invitee is in, with the groups to answer yet and those answered.
    In {
        asked: Vec<Item>,
        answered: Vec<Answered>,
    },
    Declined,
    Revoked,
    Expired,
    /// Somebody else sees it by right.
    Other,
}

/// A group's invite, answered.
struct Answered {
    item: Item,
    joined: bool,
}

#[derive(Template)]
#[template(path = "pages/invitation-unknown.html")]
struct Unknown {
    email: Address,
    here: Option<Next>,
}

/// What the page says first.
#[derive(Default)]
struct Said {
    notice: Option<Notice>,
    wrong: Option<String>,
}

/// The invitation, for whoever may see it; for all others there is none.
pub(super) async fn show(
    State(app): State<App>,
    person: Person,
    Id(id): Id<String>,
    Query(arrival): Query<Arrival>,
) -> Answer {
    let next = arrival.next.as_deref().and_then(Next::parse);
    let notice = arrival.notice.as_deref().and_then(Notice::parse);
    shown(&app, &person, &id, next, Said { notice, wrong: None }).await
}

/// The invitee says yes.
pub(super) async fn accept(
    State(app): State<App>,
    person: Person,
    Id(id): Id<String>,
    Form(reply): Form<Reply>,
) -> Answer {
    let done = match id.parse() {
        Ok(id) => app.registry.accept_invite(&person, id).await.map(drop),
        Err(_) => Err(Error::NotFound),
    };
    answered(&app, &person, &id, &reply, Notice::GroupJoined, done).await
}

/// The invitee says no.
pub(super) async fn decline(
    State(app): State<App>,
    person: Person,
    Id(id): Id<String>,
    Form(reply): Form<Reply>,
) -> Answer {
    let done = match id.parse() {
        Ok(id) => app.registry.decline_invite(&person, id).await,
        Err(_) => Err(Error::NotFound),
    };
    answered(&app, &person, &id, &reply, Notice::GroupDeclined, done).await
}

/// The page of an invite, after what was said to it: back to where its button was.
async fn answered(
    app: &App,
    person: &Person,
    id: &str,
    reply: &Reply,
    notice: Notice,
    done: Result<()>,
) -> Answer {
    let next = reply.next.as_deref().and_then(Next::parse);
    let from: Option<InviteId> = reply.from.as_deref().and_then(|from| from.parse().ok());
    match (done, from) {
        (Ok(()), Some(from)) => see_other(&Next::with(next.as_ref(), &notice.on(&path(from)))),
        (Ok(()), None) => see_other(&Next::with(next.as_ref(), &format!("/invitations/{id}"))),
        (Err(Error::Conflict(conflict)), from) => {
            let said = Said { notice: None, wrong: Some(told(conflict.kind)) };
            let from = from.map_or_else(|| id.to_owned(), |from| from.to_string());
            shown(app, person, &from, next, said).await
        }
        (Err(Error::NotFound), _) => unknown(&app.registry.view_own_user(person).await?, id),
        (Err(error), _) => Err(error.into()),
    }
}

/// Where an invite's page is.
pub(super) fn path(id: InviteId) -> String {
    format!("/invitations/{id}")
}

async fn shown(app: &App, person: &Person, id: &str, next: Option<Next>, said: Said) -> Answer {
    let me = app.registry.view_own_user(person).await?;
    let found = match id.parse() {
        Ok(id) => app.registry.view_invite(person, id).await,
        Err(_) => Err(Error::NotFound),
    };
    let invite = match found {
        Ok(invite) => invite,
        Err(Error::NotFound) => return unknown(&me, id),
        Err(error) => return Err(error.into()),
    };
    let mine = invite.invitee_id == Some(me.id);
    let view = if mine { view(app, person, &me, &invite).await? } else { View::Other };
    let (heading, names_place) = heading(&view);
    let offer = Offer::of(&invite);
    let offer = match view {
        View::Open | View::Expired => offer,
        View::In { .. } | View::Declined | View::Revoked => offer.over(),
        View::Other => offer.seen_by_others(&invite, standing(&invite)),
    };
    // What the inviter has said counts before what the address says.
    let next = invite.redirect_path.map(Next::from).or(next);
    let answerable = matches!(view, View::Open);
    let onward = next.as_ref().filter(|_| mine && !answerable).map(|next| next.on_public(&app.options));
    let Said { notice, wrong } = said;
    let status = if wrong.is_some() { StatusCode::CONFLICT } else { StatusCode::OK };
    page(status, &Shown { id: invite.id, heading, names_place, offer, view, next, onward, notice, wrong })
}

/// The same for what somebody else was sent and what nobody was.
fn unknown(me: &User, id: &str) -> Answer {
    let here = Next::parse(&format!("/invitations/{id}"));
    page(StatusCode::NOT_FOUND, &Unknown { email: Address(me.email.clone()), here })
}

async fn view(app: &App, person: &Person, me: &User, invite: &Invite) -> Result<View> {
    Ok(match (invite.state, invite.kind, invite.org_id) {
        (InviteState::Pending, ..) => View::Open,
        (InviteState::Accepted, InviteKind::Org, Some(org)) => {
            groups(app, person, me, org, invite.created_at).await?
        }
        (InviteState::Accepted, ..) => View::In { asked: Vec::new(), answered: Vec::new() },
        (InviteState::Declined, ..) => View::Declined,
        (InviteState::Revoked, ..) => View::Revoked,
        (InviteState::Expired, ..) => View::Expired,
    })
}

/// The group invites in an organisation: those that wait, and those answered since one was invited there.
async fn groups(app: &App, person: &Person, me: &User, org: OrgId, since: Timestamp) -> Result<View> {
    // As many as one organisation's invite can bring along.
    const MOST: u32 = 1_000;
    let filter = InviteFilter { state: None, kind: Some(InviteKind::Group) };
    let newest = PageQuery::new(Some(MOST), None, None, InviteOrder::Id, Dir::Desc)?;
    let received = app.registry.list_received_invites(person, me.id, &filter, &newest).await?;
    let (mut asked, mut answered) = (Vec::new(), Vec::new());
    for invite in received.items.iter().rev().filter(|invite| invite.org_id == Some(org)) {
        match invite.state {
            InviteState::Pending => asked.push(Item::of(invite)),
            InviteState::Accepted | InviteState::Declined if invite.created_at >= since => {
                let joined = invite.state == InviteState::Accepted;
                answered.push(Answered { item: Item::of(invite), joined });
            }
            _ => {}
        }
    }
    Ok(View::In { asked, answered })
}

fn heading(view: &View) -> (&'static str, bool) {
    match view {
        View::Open => ("You are invited to", true),
        View::In { .. } => ("You joined", true),
        View::Declined => ("You declined", false),
        View::Revoked => ("This invitation is over", false),
        View::Expired => ("This invitation has expired", false),
        View::Other => ("Invitation to", true),
    }
}

/// How an invite stands, for those whom it is not for.
fn standing(invite: &Invite) -> &'static str {
    match (invite.state, invite.dormant, invite.kind) {
        (InviteState::Pending, true, InviteKind::Group) => {
            "waits until the organisation's invitation is accepted"
        }
        (InviteState::Pending, true, _) => "waits until the address is proved by the link in the mail",
        (InviteState::Pending, false, _) => "not answered yet",
        (InviteState::Accepted, ..) => "accepted",
        (InviteState::Declined, ..) => "declined",
        (InviteState::Revoked, ..) => "revoked",
        (InviteState::Expired, ..) => "expired without an answer",
    }
}

/// Why an answer did not count.
fn told(kind: ConflictKind) -> String {
    match kind {
        ConflictKind::AlreadyMember => {
            "You are a member there already. Nothing was changed, and your role is what it was.".to_owned()
        }
        ConflictKind::InviteNoLongerValid => {
            "Whoever invited you may not do so any more, so this invitation is over. Ask somebody else there to \
             invite you."
                .to_owned()
        }
        ConflictKind::InviteClosed(InviteState::Pending) => {
            "This invitation is being answered from elsewhere at this moment. Look again.".to_owned()
        }
        ConflictKind::InviteClosed(state) => {
            let state = match state {
                InviteState::Accepted => "accepted already",
                InviteState::Declined => "declined already",
                InviteState::Expired => "too old",
                InviteState::Revoked | InviteState::Pending => "taken back",
            };
            format!("Your answer came too late: the invitation was {state}.")
        }
        other => sentence(&other.to_string()),
    }
}

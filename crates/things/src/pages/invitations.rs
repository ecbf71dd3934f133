//! The invitations that wait for somebody's answer.

use askama::Template;
use axum::{extract::State, http::StatusCode};
use registry::{Dir, Invite, InviteFilter, InviteOrder, InviteState, Page, PageQuery, Result, User};
use serde::Deserialize;

use super::{next::Next, offer::Item, page, visitor::Person};
use crate::{
    App,
    rest::{problem::Answer, query::Query},
};

/// How many are shown. Whoever has more answers some and comes back.
const MOST: u32 = 100;

/// How one comes to the page.
#[derive(Debug, Deserialize)]
pub(super) struct Arrival {
    next: Option<String>,
}

#[derive(Template)]
#[template(path = "pages/invitations.html")]
struct Waiting {
    email: String,
    items: Vec<Item>,
    more: u64,
    onward: Option<String>,
}

/// Lists them, the newest first.
pub(super) async fn show(State(app): State<App>, person: Person, Query(arrival): Query<Arrival>) -> Answer {
    let me = app.registry.view_own_user(&person).await?;
    let waiting = waiting(&app, &person, &me, MOST).await?;
    let items: Vec<Item> = waiting.items.iter().map(Item::of).collect();
    let more = waiting.total.saturating_sub(items.len() as u64);
    let next = arrival.next.as_deref().and_then(Next::parse);
    let onward = next.map(|next| next.on_public(&app.options));
    page(StatusCode::OK, &Waiting { email: me.email.to_string(), items, more, onward })
}

/// What waits for this person: at most so many, and how many there are.
pub(super) async fn waiting(app: &App, person: &Person, me: &User, most: u32) -> Result<Page<Invite>> {
    let filter = InviteFilter { state: Some(InviteState::Pending), kind: None };
    let query = PageQuery::new(Some(most), None, None, InviteOrder::Id, Dir::Desc)?;
    app.registry.list_received_invites(person, me.id, &filter, &query).await
}

//! Invites over HTTP: what the invitee, the inviter and the admins see and do. How they are made is in
//! [`create`], how one comes in by a platform invite's secret in [`join`].

mod create;
mod join;

use axum::{Json as Out, extract::State, http::StatusCode};
use registry::{
    GroupId, GroupOffer, Invite, InviteFilter, InviteId, InviteKind, InviteMode, InviteOrder, InviteState,
    OrgId, UserId,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    body::OptionalJson,
    check::Check,
    compat,
    etag::{IfMatch, IfNoneMatch, tagged},
    extract::{Caller, Id},
    list::{list_query, page_body, sorts},
    problem::Answer,
    query::Query,
    wire::{Moment, RoleName},
};
use crate::App;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_org_invites, create::create_org_invites))
        .routes(routes!(search_org_invites))
        .routes(routes!(list_group_invites, create::create_group_invites))
        .routes(routes!(search_group_invites))
        .routes(routes!(list_received_invites))
        .routes(routes!(search_received_invites))
        .routes(routes!(list_sent_invites))
        .routes(routes!(search_sent_invites))
        .routes(routes!(list_invites, create::create_platform_invite))
        .routes(routes!(search_invites))
        .routes(routes!(view_invite, revoke_invite))
        .routes(routes!(accept_invite))
        .routes(routes!(decline_invite))
        .routes(routes!(resend_invite))
        .routes(routes!(join::view_invite_by_secret, join::register_by_invite))
}

/// An invite, as the two people it is between and the admins of where it leads see it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Invite)]
struct InviteBody {
    id: Uuid,
    #[schema(value_type = InviteKindName)]
    kind: InviteKind,
    #[schema(value_type = InviteStateName)]
    state: InviteState,
    /// Whether it sleeps: a group's invite until the organisation's is accepted, an organisation's until
    /// the address has an account.
    dormant: bool,
    /// Absent while nobody has the address, and while the invite sleeps.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Uuid, required = false)]
    invitee_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = Email, required = false)]
    invitee_email: Option<String>,
    /// What the invitee is to become; absent for an invite to nothing but the platform.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = RoleName, required = false)]
    invitee_role: Option<registry::Role>,
    inviter_id: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = Email, required = false)]
    inviter_email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Uuid, required = false)]
    org_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    org_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Uuid, required = false)]
    group_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    group_name: Option<String>,
    /// The groups whose invites sleep on this one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    group_invites: Vec<GroupOfferBody>,
    /// How those groups are joined.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = InviteModeName, required = false)]
    mode: Option<InviteMode>,
    /// Where the invitee goes on to after answering, on the public address.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    redirect_path: Option<String>,
    created_at: Moment,
    /// Until when it can be answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Moment, required = false)]
    expires_at: Option<Moment>,
}

impl From<Invite> for InviteBody {
    fn from(invite: Invite) -> Self {
        Self {
            id: invite.id.uuid(),
            kind: invite.kind,
            state: invite.state,
            dormant: invite.dormant,
            invitee_id: invite.invitee_id.map(UserId::uuid),
            invitee_email: invite.invitee_email.map(|email| email.as_str().to_owned()),
            invitee_role: invite.invitee_role,
            inviter_id: invite.inviter_id.uuid(),
            inviter_email: invite.inviter_email.map(|email| email.as_str().to_owned()),
            org_id: invite.org_id.map(OrgId::uuid),
            org_name: invite.org_name,
            group_id: invite.group_id.map(GroupId::uuid),
            group_name: invite.group_name,
            group_invites: invite.group_invites.into_iter().map(Into::into).collect(),
            mode: invite.mode,
            redirect_path: invite.redirect_path.map(|path| path.as_str().to_owned()),
            created_at: invite.created_at.into(),
            expires_at: invite.expires_at.map(Into::into),
        }
    }
}

/// A group that an organisation's invite leads to, too.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = GroupOffer)]
struct GroupOfferBody {
    /// The group invite that sleeps.
    id: Uuid,
    group_id: Uuid,
    group_name: String,
    #[schema(value_type = RoleName)]
    member_role: registry::Role,
}

impl From<GroupOffer> for GroupOfferBody {
    fn from(offer: GroupOffer) -> Self {
        Self {
            id: offer.id.uuid(),
            group_id: offer.group_id.uuid(),
            group_name: offer.group_name,
            member_role: offer.member_role,
        }
    }
}

/// What an invite leads to.
#[derive(ToSchema)]
#[schema(as = InviteKind, rename_all = "lowercase")]
#[expect(dead_code, reason = "describes registry::InviteKind, which knows no OpenAPI")]
enum InviteKindName {
    Org,
    Group,
    Platform,
}

/// Where an invite is in its life; all states but `pending` are final.
#[derive(ToSchema)]
#[schema(as = InviteState, rename_all = "lowercase")]
#[expect(dead_code, reason = "describes registry::InviteState, which knows no OpenAPI")]
enum InviteStateName {
    Pending,
    Accepted,
    Declined,
    Revoked,
    Expired,
}

/// How the groups of an organisation's invite are joined: `ask` lets the invitee answer each of them,
/// `join` makes the memberships with the organisation's.
#[derive(ToSchema)]
#[schema(as = InviteMode, rename_all = "lowercase")]
#[expect(dead_code, reason = "describes registry::InviteMode, which knows no OpenAPI")]
enum InviteModeName {
    Ask,
    Join,
}

sorts! { InviteSort => InviteOrder: Id "id", CreatedAt "created_at" }

list_query! {
    /// Which invites, and which page of them.
    InviteQuery sorted by InviteSort {
        /// In this state at this moment: one that is past due is expired.
        #[schema(value_type = Option<InviteStateName>)]
        #[param(value_type = Option<InviteStateName>)]
        state: Option<String>,
        /// Of this kind. Platform invites that carry an organisation's invite are listed only by
        /// `platform`, because that one stands for both.
        #[schema(value_type = Option<InviteKindName>)]
        #[param(value_type = Option<InviteKindName>)]
        kind: Option<String>,
    }
}

impl InviteQuery {
    fn filter(&self) -> Answer<InviteFilter> {
        Check::one(|check| {
            let (states, kinds) =
                (InviteState::ALL.map(InviteState::as_str), InviteKind::ALL.map(InviteKind::as_str));
            let state = word("state", self.state.as_deref(), InviteState::parse, &states, check);
            let kind = word("kind", self.kind.as_deref(), InviteKind::parse, &kinds, check);
            Some(InviteFilter { state, kind })
        })
    }
}

/// One of a few words that may be left out; empty counts as left out.
fn word<T>(
    field: &'static str,
    text: Option<&str>,
    parse: impl Fn(&str) -> Option<T>,
    known: &[&str],
    check: &mut Check,
) -> Option<T> {
    let text = text.filter(|text| !text.is_empty())?;
    check.valid(field, parse(text).ok_or_else(|| format!("must be one of {}", known.join(", "))))
}

page_body! { InvitePage of InviteQuery sorted by InviteSort, invites: InviteBody }

async fn list_of_org(app: &App, caller: &Caller, org: OrgId, query: InviteQuery) -> Answer<Out<InvitePage>> {
    let page = app.registry.list_org_invites(caller, org, &query.filter()?, &query.page()?).await?;
    Ok(Out(InvitePage::new(page, &query)))
}

/// List the invites to an organisation
#[utoipa::path(get, path = "/orgs/{id}/invites", tag = "Invites", params(InviteQuery), responses((status = 200, body = InvitePage)))]
async fn list_org_invites(
    State(app): State<App>,
    caller: Caller,
    Id(org): Id<OrgId>,
    Query(query): Query<InviteQuery>,
) -> Answer<Out<InvitePage>> {
    list_of_org(&app, &caller, org, query).await
}

/// Search the invites to an organisation
#[utoipa::path(post, path = "/orgs/{id}/invites/search", tag = "Invites", request_body = Option<InviteQuery>, responses((status = 200, body = InvitePage)))]
async fn search_org_invites(
    State(app): State<App>,
    caller: Caller,
    Id(org): Id<OrgId>,
    OptionalJson(query): OptionalJson<InviteQuery>,
) -> Answer<Out<InvitePage>> {
    list_of_org(&app, &caller, org, query).await
}

async fn list_of_group(
    app: &App,
    caller: &Caller,
    group: GroupId,
    query: InviteQuery,
) -> Answer<Out<InvitePage>> {
    let page = app.registry.list_group_invites(caller, group, &query.filter()?, &query.page()?).await?;
    Ok(Out(InvitePage::new(page, &query)))
}

/// List the invites to a group, those that sleep among them
#[utoipa::path(get, path = "/groups/{id}/invites", tag = "Invites", params(InviteQuery), responses((status = 200, body = InvitePage)))]
async fn list_group_invites(
    State(app): State<App>,
    caller: Caller,
    Id(group): Id<GroupId>,
    Query(query): Query<InviteQuery>,
) -> Answer<Out<InvitePage>> {
    list_of_group(&app, &caller, group, query).await
}

/// Search the invites to a group
#[utoipa::path(post, path = "/groups/{id}/invites/search", tag = "Invites", request_body = Option<InviteQuery>, responses((status = 200, body = InvitePage)))]
async fn search_group_invites(
    State(app): State<App>,
    caller: Caller,
    Id(group): Id<GroupId>,
    OptionalJson(query): OptionalJson<InviteQuery>,
) -> Answer<Out<InvitePage>> {
    list_of_group(&app, &caller, group, query).await
}

async fn list_received(
    app: &App,
    caller: &Caller,
    user: UserId,
    query: InviteQuery,
) -> Answer<Out<InvitePage>> {
    let page = app.registry.list_received_invites(caller, user, &query.filter()?, &query.page()?).await?;
    Ok(Out(InvitePage::new(page, &query)))
}

/// List the invites that you received, or anybody as an administrator of the platform
#[utoipa::path(get, path = "/users/{id}/invites/received", tag = "Invites", params(InviteQuery), responses((status = 200, body = InvitePage)))]
async fn list_received_invites(
    State(app): State<App>,
    caller: Caller,
    Id(user): Id<UserId>,
    Query(query): Query<InviteQuery>,
) -> Answer<Out<InvitePage>> {
    list_received(&app, &caller, user, query).await
}

/// Search the invites that you received
#[utoipa::path(post, path = "/users/{id}/invites/received/search", tag = "Invites", request_body = Option<InviteQuery>, responses((status = 200, body = InvitePage)))]
async fn search_received_invites(
    State(app): State<App>,
    caller: Caller,
    Id(user): Id<UserId>,
    OptionalJson(query): OptionalJson<InviteQuery>,
) -> Answer<Out<InvitePage>> {
    list_received(&app, &caller, user, query).await
}

async fn list_sent(app: &App, caller: &Caller, user: UserId, query: InviteQuery) -> Answer<Out<InvitePage>> {
    let page = app.registry.list_sent_invites(caller, user, &query.filter()?, &query.page()?).await?;
    Ok(Out(InvitePage::new(page, &query)))
}

/// List the invites that you sent, or anybody as an administrator of the platform
#[utoipa::path(get, path = "/users/{id}/invites/sent", tag = "Invites", params(InviteQuery), responses((status = 200, body = InvitePage)))]
async fn list_sent_invites(
    State(app): State<App>,
    caller: Caller,
    Id(user): Id<UserId>,
    Query(query): Query<InviteQuery>,
) -> Answer<Out<InvitePage>> {
    list_sent(&app, &caller, user, query).await
}

/// Search the invites that you sent
#[utoipa::path(post, path = "/users/{id}/invites/sent/search", tag = "Invites", request_body = Option<InviteQuery>, responses((status = 200, body = InvitePage)))]
async fn search_sent_invites(
    State(app): State<App>,
    caller: Caller,
    Id(user): Id<UserId>,
    OptionalJson(query): OptionalJson<InviteQuery>,
) -> Answer<Out<InvitePage>> {
    list_sent(&app, &caller, user, query).await
}

async fn list_all(app: &App, caller: &Caller, query: InviteQuery) -> Answer<Out<InvitePage>> {
    let page = app.registry.list_invites(caller, &query.filter()?, &query.page()?).await?;
    Ok(Out(InvitePage::new(page, &query)))
}

/// List all invites, as an administrator of the platform
#[utoipa::path(get, path = "/invites", tag = "Invites", params(InviteQuery), responses((status = 200, body = InvitePage)))]
async fn list_invites(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<InviteQuery>,
) -> Answer<Out<InvitePage>> {
    list_all(&app, &caller, query).await
}

/// Search all invites, as an administrator of the platform
#[utoipa::path(post, path = "/invites/search", tag = "Invites", request_body = Option<InviteQuery>, responses((status = 200, body = InvitePage)))]
async fn search_invites(
    State(app): State<App>,
    caller: Caller,
    OptionalJson(query): OptionalJson<InviteQuery>,
) -> Answer<Out<InvitePage>> {
    list_all(&app, &caller, query).await
}

/// View an invite: one that you received or sent, or one to where you are an admin
#[utoipa::path(get, path = "/invites/{id}", tag = "Invites", responses((status = 200, body = InviteBody, headers(("ETag")))))]
async fn view_invite(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<InviteId>,
    known: IfNoneMatch,
) -> Answer {
    let invite = app.registry.view_invite(&caller, id).await?;
    let version = invite.version();
    // Who sees an invite sees all of it, so its tag needs no role.
    Ok(tagged(InviteBody::from(invite), &version, "any", &known))
}

/// Take a pending invite back, with what sleeps on it
#[utoipa::path(delete, path = "/invites/{id}", tag = "Invites", responses((status = 204)))]
async fn revoke_invite(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<InviteId>,
    IfMatch(expect): IfMatch,
) -> Answer<StatusCode> {
    app.registry.revoke_invite_if(&caller, id, &expect).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What Mainflux's clients send with an answer. The invite says where its invitee goes on to.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = InviteReply)]
#[serde(deny_unknown_fields)]
struct ReplyBody {
    redirect_path: Option<String>,
}

impl ReplyBody {
    fn check(&self) -> Answer<()> {
        Check::one(|check| {
            compat::redirect_path(self.redirect_path.as_deref(), check);
            Some(())
        })
    }
}

/// Accept an invite that you received: you are a member from then on
///
/// Accepting an organisation's invite settles all pending invites of yours to that organisation, and
/// wakes the group invites that sleep on them, or joins those groups at once, as each invite's `mode` says.
#[utoipa::path(post, path = "/invites/{id}/accept", tag = "Invites", request_body = Option<ReplyBody>, responses((status = 201, body = InviteBody)))]
async fn accept_invite(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<InviteId>,
    OptionalJson(body): OptionalJson<ReplyBody>,
) -> Answer<(StatusCode, Out<InviteBody>)> {
    body.check()?;
    let invite = app.registry.accept_invite(&caller, id).await?;
    Ok((StatusCode::CREATED, Out(invite.into())))
}

/// Decline an invite that you received, with what sleeps on it
///
/// An expired invite can still be declined.
#[utoipa::path(post, path = "/invites/{id}/decline", tag = "Invites", request_body = Option<ReplyBody>, responses((status = 204)))]
async fn decline_invite(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<InviteId>,
    OptionalJson(body): OptionalJson<ReplyBody>,
) -> Answer<StatusCode> {
    body.check()?;
    app.registry.decline_invite(&caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Mail a pending invite again, and start its time anew
///
/// At most once a minute and five times an hour, the first mail included. For an address without an
/// account the mail has a new secret, and the one before does not work any more.
#[utoipa::path(post, path = "/invites/{id}/resend", tag = "Invites", responses((status = 200, body = InviteBody)))]
async fn resend_invite(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<InviteId>,
) -> Answer<Out<InviteBody>> {
    let invite = app.registry.resend_invite(&caller, id).await?;
    Ok(Out(invite.into()))
}

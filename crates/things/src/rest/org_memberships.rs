//! Organisation memberships over HTTP.

use axum::{Json as Out, extract::State, http::StatusCode};
use registry::{OrgId, UserId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    body::{Json, OptionalJson},
    compat::{self, ArrayOr, Holds},
    etag::{IfNoneMatch, tagged},
    extract::{Caller, Id, Ids},
    list::page_body,
    memberships::{
        Changes, MemberBody, MemberIds, MemberQuery, MemberSort, MembershipBody, NewOwner, new_members,
    },
    problem::Answer,
    query::Query,
};
use crate::App;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_org_members, add_org_members, update_org_members, remove_org_members))
        .routes(routes!(search_org_members))
        .routes(routes!(view_org_member))
        .routes(routes!(transfer_org))
}

page_body! { OrgMemberPage of MemberQuery sorted by MemberSort, org_memberships: MemberBody }

/// The members of an organisation.
#[derive(Debug, Serialize, ToSchema)]
struct OrgMembers {
    org_memberships: Vec<MemberBody>,
}

/// Members of an organisation; a bare array of them is taken too.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct OrgMemberships {
    #[schema(min_items = 1, max_items = 1000)]
    org_memberships: Vec<MembershipBody>,
    redirect_path: Option<String>,
}

impl Holds<MembershipBody> for OrgMemberships {
    fn items(self) -> (Vec<MembershipBody>, Option<String>) {
        (self.org_memberships, self.redirect_path)
    }
}

type Wanted = ArrayOr<OrgMemberships, MembershipBody>;

async fn list(app: &App, caller: &Caller, id: OrgId, query: MemberQuery) -> Answer<Out<OrgMemberPage>> {
    let page = app.registry.list_org_members(caller, id, &query.filter()?, &query.page()?).await?;
    Ok(Out(OrgMemberPage::new(page, &query)))
}

/// List an organisation's members
#[utoipa::path(get, path = "/orgs/{id}/memberships", tag = "Organisations", params(MemberQuery), responses((status = 200, body = OrgMemberPage)))]
async fn list_org_members(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<OrgId>,
    Query(query): Query<MemberQuery>,
) -> Answer<Out<OrgMemberPage>> {
    list(&app, &caller, id, query).await
}

/// Search an organisation's members
#[utoipa::path(post, path = "/orgs/{id}/memberships/search", tag = "Organisations", request_body = Option<MemberQuery>, responses((status = 200, body = OrgMemberPage)))]
async fn search_org_members(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<OrgId>,
    OptionalJson(query): OptionalJson<MemberQuery>,
) -> Answer<Out<OrgMemberPage>> {
    list(&app, &caller, id, query).await
}

/// View a member of an organisation
#[utoipa::path(get, path = "/orgs/{id}/members/{user}", tag = "Organisations", responses((status = 200, body = MemberBody, headers(("ETag")))))]
async fn view_org_member(
    State(app): State<App>,
    caller: Caller,
    Ids(id, user): Ids<OrgId, UserId>,
    known: IfNoneMatch,
) -> Answer {
    let member = app.registry.view_org_member(&caller, id, user).await?;
    // What the caller's role shows of it.
    let (version, seen) = (member.version(), if member.email.is_some() { "admin" } else { "viewer" });
    Ok(tagged(MemberBody::from(member), &version, seen, &known))
}

/// Take people with an account into an organisation, all or none
///
/// Answers 200, not 201: Mainflux's clients take anything else for a failure.
#[utoipa::path(post, path = "/orgs/{id}/memberships", tag = "Organisations", request_body = OrgMemberships, responses((status = 200, body = OrgMembers)))]
async fn add_org_members(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<OrgId>,
    Json(wanted): Json<Wanted>,
) -> Answer<Out<OrgMembers>> {
    let members = new_members(compat::checked(wanted)?, ("org_id", &id.to_string()))?;
    let added = app.registry.add_org_members(&caller, id, &members).await?;
    Ok(Out(OrgMembers { org_memberships: added.into_iter().map(Into::into).collect() }))
}

/// Change the roles of an organisation's members, all or none
#[utoipa::path(put, path = "/orgs/{id}/memberships", tag = "Organisations", request_body = OrgMemberships, responses((status = 200, body = OrgMembers)))]
async fn update_org_members(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<OrgId>,
    Json(wanted): Json<Wanted>,
) -> Answer<Out<OrgMembers>> {
    let changes = Changes::of(compat::checked(wanted)?, ("org_id", &id.to_string()))?;
    let found = match changes.named() {
        Some(who) => Some(app.registry.find_org_members(&caller, id, who).await?),
        None => None,
    };
    let changed = app.registry.update_org_members(&caller, id, &changes.by(found)).await?;
    Ok(Out(OrgMembers { org_memberships: changed.into_iter().map(Into::into).collect() }))
}

/// Remove members from an organisation and its groups, or yourself, all or none
#[utoipa::path(patch, path = "/orgs/{id}/memberships", tag = "Organisations", request_body = MemberIds, responses((status = 204)))]
async fn remove_org_members(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<OrgId>,
    Json(body): Json<MemberIds>,
) -> Answer<StatusCode> {
    app.registry.remove_org_members(&caller, id, &body.check()?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Hand an organisation over to one of its members; the owner who does becomes an admin
#[utoipa::path(post, path = "/orgs/{id}/owner", tag = "Organisations", request_body = NewOwner, responses((status = 204)))]
async fn transfer_org(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<OrgId>,
    Json(body): Json<NewOwner>,
) -> Answer<StatusCode> {
    app.registry.transfer_org(&caller, id, body.check()?).await?;
    Ok(StatusCode::NO_CONTENT)
}

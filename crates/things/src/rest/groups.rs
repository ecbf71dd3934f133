//! Groups over HTTP.

use axum::{
    Json as Out,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use registry::{
    GroupId, OrgId, ProfileId, ThingId,
    groups::{Group, GroupFilter, GroupOrder, GroupUpdate, NewGroup},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    body::{Json, OptionalJson},
    check::{Check, Echo, RawObject},
    etag::{IfMatch, IfNoneMatch, changed, tagged},
    extract::{Caller, Id},
    list::{list_query, page_body, sorts},
    problem::Answer,
    query::Query,
    wire::{Moment, RoleName},
};
use crate::App;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_groups, delete_groups))
        .routes(routes!(search_groups))
        .routes(routes!(list_groups_of_org, create_groups))
        .routes(routes!(search_groups_of_org))
        .routes(routes!(view_group, update_group, delete_group))
        .routes(routes!(view_group_of_thing))
        .routes(routes!(view_group_of_profile))
}

/// A group as its members see it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Group)]
struct GroupBody {
    id: Uuid,
    org_id: Uuid,
    name: String,
    description: String,
    #[schema(value_type = Object)]
    metadata: registry::JsonObject,
    created_at: Moment,
    updated_at: Moment,
    /// The caller's own role.
    #[schema(value_type = RoleName)]
    role: registry::Role,
}

impl From<Group> for GroupBody {
    fn from(group: Group) -> Self {
        Self {
            id: group.id.uuid(),
            org_id: group.org_id.uuid(),
            name: group.name,
            description: group.description,
            metadata: group.metadata,
            created_at: group.created_at.into(),
            updated_at: group.updated_at.into(),
            role: group.role,
        }
    }
}

/// Groups, in the order asked for.
#[derive(Debug, Serialize, ToSchema)]
struct Groups {
    groups: Vec<GroupBody>,
}

/// A group to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewGroupBody {
    /// Chosen by the client, or made.
    #[schema(value_type = Option<Uuid>)]
    id: Option<String>,
    /// Unique in the organisation.
    #[schema(value_type = String, required, min_length = 1, max_length = 254)]
    name: Option<String>,
    #[schema(max_length = 1024)]
    description: Option<String>,
    #[schema(value_type = Option<Object>)]
    metadata: Option<RawObject>,
    org_id: Option<Echo>,
    created_at: Option<Echo>,
    updated_at: Option<Echo>,
    role: Option<Echo>,
}

impl NewGroupBody {
    fn check(self, org: OrgId, check: &mut Check) -> Option<NewGroup> {
        check.owned("org_id", self.org_id.as_ref(), Some(&org.to_string()));
        check.owned("created_at", self.created_at.as_ref(), None);
        check.owned("updated_at", self.updated_at.as_ref(), None);
        check.owned("role", self.role.as_ref(), None);
        let id = check.parsed("id", self.id.as_deref());
        let name = check.required("name", self.name.as_deref());
        let description = check.optional("description", self.description.as_deref());
        let metadata = check.object("metadata", self.metadata.as_ref());
        Some(NewGroup {
            id,
            name: name?,
            description: description.unwrap_or_default(),
            metadata: metadata.unwrap_or_default(),
        })
    }
}

/// A change to a group; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct GroupUpdateBody {
    #[schema(value_type = String, required, min_length = 1, max_length = 254)]
    name: Option<String>,
    #[schema(max_length = 1024)]
    description: Option<String>,
    /// Replaced as a whole.
    #[schema(value_type = Option<Object>)]
    metadata: Option<RawObject>,
    id: Option<Echo>,
    org_id: Option<Echo>,
    created_at: Option<Echo>,
    updated_at: Option<Echo>,
    role: Option<Echo>,
}

impl GroupUpdateBody {
    /// Whether something has to be compared with the group as it is.
    fn echoes(&self) -> bool {
        let echoes = [&self.id, &self.org_id, &self.created_at, &self.updated_at, &self.role];
        echoes.into_iter().flatten().any(Echo::is_given)
    }

    fn check(self, truth: Option<&Group>, check: &mut Check) -> Option<GroupUpdate> {
        let told = |tell: fn(&Group) -> String| truth.map(tell);
        check.owned("id", self.id.as_ref(), told(|group| group.id.to_string()).as_deref());
        check.owned("org_id", self.org_id.as_ref(), told(|group| group.org_id.to_string()).as_deref());
        check.owned(
            "created_at",
            self.created_at.as_ref(),
            told(|group| group.created_at.to_string()).as_deref(),
        );
        check.owned(
            "updated_at",
            self.updated_at.as_ref(),
            told(|group| group.updated_at.to_string()).as_deref(),
        );
        check.owned("role", self.role.as_ref(), told(|group| group.role.as_str().to_owned()).as_deref());
        let name = check.required("name", self.name.as_deref());
        let description = check.optional("description", self.description.as_deref());
        let metadata = check.object("metadata", self.metadata.as_ref());
        Some(GroupUpdate { name: name?, description, metadata })
    }
}

/// Which groups to delete.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct GroupIds {
    #[schema(value_type = Vec<Uuid>, min_items = 1, max_items = 1000)]
    group_ids: Vec<String>,
}

sorts! { GroupSort => GroupOrder: Id "id", Name "name", CreatedAt "created_at", UpdatedAt "updated_at" }

list_query! {
    /// Which groups, and which page of them.
    GroupQuery sorted by GroupSort {
        /// Part of the name, upper and lower case alike.
        name: Option<String>,
        /// Groups whose metadata contains this JSON object.
        #[schema(value_type = Option<Object>)]
        #[param(value_type = Option<String>)]
        metadata: Option<RawObject>,
    }
}

page_body! { GroupPage of GroupQuery sorted by GroupSort, groups: GroupBody }

async fn list(app: &App, caller: &Caller, org: Option<OrgId>, query: GroupQuery) -> Answer<Out<GroupPage>> {
    let filter = Check::one(|check| {
        let name = check.filter("name", query.name.as_deref());
        Some(GroupFilter { org, name, metadata: check.object("metadata", query.metadata.as_ref()) })
    })?;
    let page = app.registry.list_groups(caller, &filter, &query.page()?).await?;
    Ok(Out(GroupPage::new(page, &query)))
}

/// List the groups you have a role in
#[utoipa::path(get, path = "/groups", tag = "Groups", params(GroupQuery), responses((status = 200, body = GroupPage)))]
async fn list_groups(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<GroupQuery>,
) -> Answer<Out<GroupPage>> {
    list(&app, &caller, None, query).await
}

/// Search the groups you have a role in
#[utoipa::path(post, path = "/groups/search", tag = "Groups", request_body = Option<GroupQuery>, responses((status = 200, body = GroupPage)))]
async fn search_groups(
    State(app): State<App>,
    caller: Caller,
    OptionalJson(query): OptionalJson<GroupQuery>,
) -> Answer<Out<GroupPage>> {
    list(&app, &caller, None, query).await
}

/// List an organisation's groups
#[utoipa::path(get, path = "/orgs/{id}/groups", tag = "Groups", params(GroupQuery), responses((status = 200, body = GroupPage)))]
async fn list_groups_of_org(
    State(app): State<App>,
    caller: Caller,
    Id(org): Id<OrgId>,
    Query(query): Query<GroupQuery>,
) -> Answer<Out<GroupPage>> {
    list(&app, &caller, Some(org), query).await
}

/// Search an organisation's groups
#[utoipa::path(post, path = "/orgs/{id}/groups/search", tag = "Groups", request_body = Option<GroupQuery>, responses((status = 200, body = GroupPage)))]
async fn search_groups_of_org(
    State(app): State<App>,
    caller: Caller,
    Id(org): Id<OrgId>,
    OptionalJson(query): OptionalJson<GroupQuery>,
) -> Answer<Out<GroupPage>> {
    list(&app, &caller, Some(org), query).await
}

/// Make groups in an organisation, all or none
#[utoipa::path(post, path = "/orgs/{id}/groups", tag = "Groups", request_body = Vec<NewGroupBody>, responses((status = 201, body = Groups)))]
async fn create_groups(
    State(app): State<App>,
    caller: Caller,
    Id(org): Id<OrgId>,
    Json(items): Json<Vec<NewGroupBody>>,
) -> Answer {
    let groups = Check::each(items, |item, check| item.check(org, check))?;
    let made = app.registry.create_groups(&caller, org, &groups).await?;
    let groups = made.into_iter().map(Into::into).collect();
    Ok((StatusCode::CREATED, Out(Groups { groups })).into_response())
}

/// View a group
#[utoipa::path(get, path = "/groups/{id}", tag = "Groups", responses((status = 200, body = GroupBody, headers(("ETag")))))]
async fn view_group(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<GroupId>,
    known: IfNoneMatch,
) -> Answer {
    Ok(shown(app.registry.view_group(&caller, id).await?, &known))
}

/// View the group that a thing is in
#[utoipa::path(get, path = "/things/{id}/groups", tag = "Groups", responses((status = 200, body = GroupBody, headers(("ETag")))))]
async fn view_group_of_thing(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<ThingId>,
    known: IfNoneMatch,
) -> Answer {
    Ok(shown(app.registry.view_group_of_thing(&caller, id).await?, &known))
}

/// View the group that a profile is in
#[utoipa::path(get, path = "/profiles/{id}/groups", tag = "Groups", responses((status = 200, body = GroupBody, headers(("ETag")))))]
async fn view_group_of_profile(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<ProfileId>,
    known: IfNoneMatch,
) -> Answer {
    Ok(shown(app.registry.view_group_of_profile(&caller, id).await?, &known))
}

fn shown(group: Group, known: &IfNoneMatch) -> Response {
    let (version, role) = (group.version(), group.role.as_str());
    tagged(GroupBody::from(group), &version, role, known)
}

/// Change a group
#[utoipa::path(put, path = "/groups/{id}", tag = "Groups", request_body = GroupUpdateBody, responses((status = 200, body = GroupBody, headers(("ETag")))))]
async fn update_group(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<GroupId>,
    IfMatch(expect): IfMatch,
    Json(body): Json<GroupUpdateBody>,
) -> Answer {
    let truth = if body.echoes() { Some(app.registry.view_group(&caller, id).await?) } else { None };
    let update = Check::one(|check| body.check(truth.as_ref(), check))?;
    let group = app.registry.update_group(&caller, id, &update, &expect).await?;
    let (version, role) = (group.version(), group.role.as_str());
    Ok(changed(GroupBody::from(group), &version, role))
}

/// Delete a group with everything in it
#[utoipa::path(delete, path = "/groups/{id}", tag = "Groups", responses((status = 204)))]
async fn delete_group(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<GroupId>,
    IfMatch(expect): IfMatch,
) -> Answer<StatusCode> {
    app.registry.delete_group(&caller, id, &expect).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Delete groups with everything in them, all or none
#[utoipa::path(patch, path = "/groups", tag = "Groups", request_body = GroupIds, responses((status = 204)))]
async fn delete_groups(
    State(app): State<App>,
    caller: Caller,
    Json(body): Json<GroupIds>,
) -> Answer<StatusCode> {
    let ids = Check::ids("group_ids", &body.group_ids)?;
    app.registry.delete_groups(&caller, &ids).await?;
    Ok(StatusCode::NO_CONTENT)
}

//! Organisations over HTTP.

use axum::{
    Json as Out,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use registry::{NewOrg, Org, OrgFilter, OrgId, OrgOrder, OrgUpdate};
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
        .routes(routes!(create_org, list_orgs, delete_orgs))
        .routes(routes!(search_orgs))
        .routes(routes!(view_org, update_org, delete_org))
}

/// An organisation as its members see it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Org)]
struct OrgBody {
    id: Uuid,
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

impl From<Org> for OrgBody {
    fn from(org: Org) -> Self {
        Self {
            id: org.id.uuid(),
            name: org.name,
            description: org.description,
            metadata: org.metadata,
            created_at: org.created_at.into(),
            updated_at: org.updated_at.into(),
            role: org.role,
        }
    }
}

/// An organisation to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewOrgBody {
    /// Chosen by the client, or made.
    #[schema(value_type = Option<Uuid>)]
    id: Option<String>,
    #[schema(value_type = String, required, min_length = 1, max_length = 254)]
    name: Option<String>,
    #[schema(max_length = 1024)]
    description: Option<String>,
    #[schema(value_type = Option<Object>)]
    metadata: Option<RawObject>,
    owner_id: Option<Echo>,
    created_at: Option<Echo>,
    updated_at: Option<Echo>,
    role: Option<Echo>,
}

impl NewOrgBody {
    fn check(self, check: &mut Check) -> Option<NewOrg> {
        check.owned("owner_id", self.owner_id.as_ref(), None);
        check.owned("created_at", self.created_at.as_ref(), None);
        check.owned("updated_at", self.updated_at.as_ref(), None);
        check.owned("role", self.role.as_ref(), None);
        let id = check.parsed("id", self.id.as_deref());
        let name = check.required("name", self.name.as_deref());
        let description = check.optional("description", self.description.as_deref());
        let metadata = check.object("metadata", self.metadata.as_ref());
        Some(NewOrg {
            id,
            name: name?,
            description: description.unwrap_or_default(),
            metadata: metadata.unwrap_or_default(),
        })
    }
}

/// A change to an organisation; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct OrgUpdateBody {
    #[schema(value_type = String, required, min_length = 1, max_length = 254)]
    name: Option<String>,
    #[schema(max_length = 1024)]
    description: Option<String>,
    /// Replaced as a whole.
    #[schema(value_type = Option<Object>)]
    metadata: Option<RawObject>,
    id: Option<Echo>,
    owner_id: Option<Echo>,
    created_at: Option<Echo>,
    updated_at: Option<Echo>,
    role: Option<Echo>,
}

impl OrgUpdateBody {
    /// Whether something has to be compared with the organisation as it is.
    fn echoes(&self) -> bool {
        let echoes = [&self.id, &self.created_at, &self.updated_at, &self.role];
        echoes.into_iter().flatten().any(Echo::is_given)
    }

    fn check(self, truth: Option<&Org>, check: &mut Check) -> Option<OrgUpdate> {
        let told = |tell: fn(&Org) -> String| truth.map(tell);
        check.owned("id", self.id.as_ref(), told(|org| org.id.to_string()).as_deref());
        // Never told, so there is nothing to send back.
        check.owned("owner_id", self.owner_id.as_ref(), None);
        let created_at = told(|org| org.created_at.to_string());
        check.owned("created_at", self.created_at.as_ref(), created_at.as_deref());
        let updated_at = told(|org| org.updated_at.to_string());
        check.owned("updated_at", self.updated_at.as_ref(), updated_at.as_deref());
        check.owned("role", self.role.as_ref(), told(|org| org.role.as_str().to_owned()).as_deref());
        let name = check.required("name", self.name.as_deref());
        let description = check.optional("description", self.description.as_deref());
        let metadata = check.object("metadata", self.metadata.as_ref());
        Some(OrgUpdate { name: name?, description, metadata })
    }
}

/// Which organisations to delete.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct OrgIds {
    #[schema(value_type = Vec<Uuid>, min_items = 1, max_items = 1000)]
    org_ids: Vec<String>,
}

sorts! { OrgSort => OrgOrder: Id "id", Name "name", CreatedAt "created_at", UpdatedAt "updated_at" }

list_query! {
    /// Which organisations, and which page of them.
    OrgQuery sorted by OrgSort {
        /// Part of the name, upper and lower case alike (ASCII).
        name: Option<String>,
        /// Organisations whose metadata contains this JSON object.
        #[schema(value_type = Option<Object>)]
        #[param(value_type = Option<String>)]
        metadata: Option<RawObject>,
    }
}

page_body! { OrgPage of OrgQuery sorted by OrgSort, orgs: OrgBody }

async fn list(app: &App, caller: &Caller, query: OrgQuery) -> Answer<Out<OrgPage>> {
    let filter = Check::one(|check| {
        let name = check.filter("name", query.name.as_deref());
        Some(OrgFilter { name, metadata: check.object("metadata", query.metadata.as_ref()) })
    })?;
    let page = app.registry.list_orgs(caller, &filter, &query.page()?).await?;
    Ok(Out(OrgPage::new(page, &query)))
}

/// List the organisations you belong to
#[utoipa::path(get, path = "/orgs", tag = "Organisations", params(OrgQuery), responses((status = 200, body = OrgPage)))]
async fn list_orgs(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<OrgQuery>,
) -> Answer<Out<OrgPage>> {
    list(&app, &caller, query).await
}

/// Search the organisations you belong to
#[utoipa::path(post, path = "/orgs/search", tag = "Organisations", request_body = Option<OrgQuery>, responses((status = 200, body = OrgPage)))]
async fn search_orgs(
    State(app): State<App>,
    caller: Caller,
    OptionalJson(query): OptionalJson<OrgQuery>,
) -> Answer<Out<OrgPage>> {
    list(&app, &caller, query).await
}

/// Make an organisation, which you then own
#[utoipa::path(post, path = "/orgs", tag = "Organisations", request_body = NewOrgBody, responses((status = 201, body = OrgBody, headers(("Location"), ("ETag")))))]
async fn create_org(State(app): State<App>, caller: Caller, Json(body): Json<NewOrgBody>) -> Answer {
    let new = Check::one(|check| body.check(check))?;
    let org = app.registry.create_org(&caller, &new).await?;
    let location = format!("/orgs/{}", org.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], as_it_is(org)).into_response())
}

/// View an organisation
#[utoipa::path(get, path = "/orgs/{id}", tag = "Organisations", responses((status = 200, body = OrgBody, headers(("ETag")))))]
async fn view_org(State(app): State<App>, caller: Caller, Id(id): Id<OrgId>, known: IfNoneMatch) -> Answer {
    let org = app.registry.view_org(&caller, id).await?;
    let (version, role) = (org.version(), org.role.as_str());
    Ok(tagged(OrgBody::from(org), &version, role, &known))
}

fn as_it_is(org: Org) -> Response {
    let (version, role) = (org.version(), org.role.as_str());
    changed(OrgBody::from(org), &version, role)
}

/// Change an organisation
#[utoipa::path(put, path = "/orgs/{id}", tag = "Organisations", request_body = OrgUpdateBody, responses((status = 200, body = OrgBody, headers(("ETag")))))]
async fn update_org(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<OrgId>,
    IfMatch(expect): IfMatch,
    Json(body): Json<OrgUpdateBody>,
) -> Answer {
    let truth = if body.echoes() { Some(app.registry.view_org(&caller, id).await?) } else { None };
    let update = Check::one(|check| body.check(truth.as_ref(), check))?;
    Ok(as_it_is(app.registry.update_org(&caller, id, &update, &expect).await?))
}

/// Delete an organisation with its groups and everything in them
#[utoipa::path(delete, path = "/orgs/{id}", tag = "Organisations", responses((status = 204)))]
async fn delete_org(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<OrgId>,
    IfMatch(expect): IfMatch,
) -> Answer<StatusCode> {
    app.registry.delete_org(&caller, id, &expect).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Delete organisations with their groups and everything in them, all or none
#[utoipa::path(patch, path = "/orgs", tag = "Organisations", request_body = OrgIds, responses((status = 204)))]
async fn delete_orgs(State(app): State<App>, caller: Caller, Json(body): Json<OrgIds>) -> Answer<StatusCode> {
    let ids = Check::ids("org_ids", &body.org_ids)?;
    app.registry.delete_orgs(&caller, &ids).await?;
    Ok(StatusCode::NO_CONTENT)
}

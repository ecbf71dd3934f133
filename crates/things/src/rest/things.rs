//! Things over HTTP.

mod credentials;
mod metadata;

use axum::{
    Json as Out,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use registry::{
    GroupId, OrgId, ProfileId, ThingId,
    credentials::ThingKey,
    things::{
        CreatedThing, NewThing, Scope, Thing, ThingFilter, ThingOrder, ThingStatus, ThingType, ThingUpdate,
    },
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
    list::{Ignored, list_query, page_body, sorts},
    problem::Answer,
    query::Query,
    wire::Moment,
};
use crate::App;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_things, metadata::merge_metadata, delete_things))
        .routes(routes!(search_things))
        .routes(routes!(list_things_of_org))
        .routes(routes!(search_things_of_org))
        .routes(routes!(list_things_of_group))
        .routes(routes!(search_things_of_group))
        .routes(routes!(list_things_of_profile, create_things))
        .routes(routes!(search_things_of_profile))
        .routes(routes!(view_thing, update_thing, move_thing, delete_thing))
        .merge(credentials::routes())
}

/// What kind of thing it is; decides which things may command which.
#[derive(ToSchema)]
#[schema(as = ThingType)]
#[expect(dead_code, reason = "describes registry::things::ThingType, which knows no OpenAPI")]
enum TypeName {
    #[schema(rename = "device")]
    Device,
    #[schema(rename = "sensor")]
    Sensor,
    #[schema(rename = "actuator")]
    Actuator,
    #[schema(rename = "controller")]
    Controller,
    #[schema(rename = "gateway")]
    Gateway,
}

/// A thing. Its key is there only when it was just made, or for editors where read-back is on.
// No Debug: it may hold a key.
#[derive(Serialize, ToSchema)]
#[schema(as = Thing)]
pub(super) struct ThingBody {
    id: Uuid,
    group_id: Uuid,
    profile_id: Uuid,
    name: String,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = TypeName)]
    kind: Option<ThingType>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    external_key: Option<String>,
    #[schema(value_type = Object)]
    metadata: registry::JsonObject,
    #[schema(value_type = credentials::StatusName)]
    status: ThingStatus,
    /// When it last authenticated, give or take a minute; absent for never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    last_seen_at: Option<Moment>,
}

impl From<Thing> for ThingBody {
    fn from(thing: Thing) -> Self {
        Self {
            id: thing.id.uuid(),
            group_id: thing.group_id.uuid(),
            profile_id: thing.profile_id.uuid(),
            name: thing.name,
            kind: thing.kind,
            key: None,
            external_key: thing.external_key,
            metadata: thing.metadata,
            status: thing.status,
            last_seen_at: thing.last_seen_at.map(Into::into),
        }
    }
}

impl From<CreatedThing> for ThingBody {
    fn from(made: CreatedThing) -> Self {
        Self { key: made.key.map(|key| key.expose().to_owned()), ..made.thing.into() }
    }
}

/// Things, in the order asked for.
#[derive(Serialize, ToSchema)]
struct Things {
    things: Vec<ThingBody>,
}

/// A thing to be made. Its group and profile come from the path.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewThingBody {
    /// Chosen by the client, or made.
    #[schema(value_type = Option<Uuid>)]
    id: Option<String>,
    /// Unique in the group; at most 2,400 bytes.
    #[schema(value_type = String, required, min_length = 1, max_length = 1024)]
    name: Option<String>,
    /// `device` unless given.
    #[serde(rename = "type")]
    #[schema(value_type = Option<TypeName>)]
    kind: Option<String>,
    /// 16 to 512 bytes; made when left out.
    #[schema(min_length = 16, max_length = 512)]
    key: Option<String>,
    /// 5 to 512 bytes; a serial number, EUI or asset tag.
    #[schema(min_length = 5, max_length = 512)]
    external_key: Option<String>,
    #[schema(value_type = Option<Object>)]
    metadata: Option<RawObject>,
    group_id: Option<Echo>,
    profile_id: Option<Echo>,
    status: Option<Echo>,
    last_seen_at: Option<Echo>,
}

impl NewThingBody {
    /// Whether something has to be compared with the profile as it is.
    fn echoes(&self) -> bool {
        self.group_id.as_ref().is_some_and(Echo::is_given)
    }

    fn check(self, group: Option<GroupId>, profile: ProfileId, check: &mut Check) -> Option<NewThing> {
        check.owned("group_id", self.group_id.as_ref(), group.map(|id| id.to_string()).as_deref());
        check.owned("profile_id", self.profile_id.as_ref(), Some(&profile.to_string()));
        check.owned("status", self.status.as_ref(), Some(ThingStatus::Enabled.as_str()));
        check.owned("last_seen_at", self.last_seen_at.as_ref(), None);
        let id = check.parsed("id", self.id.as_deref());
        let name = check.required("name", self.name.as_deref());
        let kind = check.parsed("type", self.kind.as_deref());
        let key = own_key(self.key.as_deref(), check);
        let external_key =
            check.optional("external_key", self.external_key.as_deref().filter(|key| !key.is_empty()));
        let metadata = check.object("metadata", self.metadata.as_ref());
        Some(NewThing {
            id,
            name: name?,
            kind: kind.unwrap_or_default(),
            key,
            external_key,
            metadata: metadata.unwrap_or_default(),
        })
    }
}

/// A key that the client chose. Empty counts as left out, as Go clients send it.
fn own_key(text: Option<&str>, check: &mut Check) -> Option<ThingKey> {
    check.valid("key", ThingKey::custom(text.filter(|text| !text.is_empty())?))
}

/// A change to a thing; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ThingUpdateBody {
    /// Unique in the group; at most 2,400 bytes.
    #[schema(value_type = String, required, min_length = 1, max_length = 1024)]
    name: Option<String>,
    #[serde(rename = "type")]
    #[schema(value_type = Option<TypeName>)]
    kind: Option<String>,
    /// A new key; the present one ends at once. The present key itself changes nothing.
    #[schema(min_length = 16, max_length = 512)]
    key: Option<String>,
    /// Replaced as a whole.
    #[schema(value_type = Option<Object>)]
    metadata: Option<RawObject>,
    id: Option<Echo>,
    group_id: Option<Echo>,
    profile_id: Option<Echo>,
    external_key: Option<Echo>,
    /// Changed by `/enable` and `/disable`.
    status: Option<Echo>,
    /// Whatever it says is accepted and ignored: it may have moved on since it was read.
    #[schema(value_type = Option<String>, format = DateTime, read_only)]
    #[expect(dead_code, reason = "accepted and ignored")]
    last_seen_at: Option<Ignored>,
}

impl ThingUpdateBody {
    /// Whether something has to be compared with the thing as it is.
    fn echoes(&self) -> bool {
        let echoes = [&self.id, &self.group_id, &self.profile_id, &self.external_key, &self.status];
        echoes.into_iter().flatten().any(Echo::is_given)
    }

    fn check(self, truth: Option<&Thing>, check: &mut Check) -> Option<ThingUpdate> {
        let told = |tell: fn(&Thing) -> String| truth.map(tell);
        check.owned("id", self.id.as_ref(), told(|thing| thing.id.to_string()).as_deref());
        check.owned("group_id", self.group_id.as_ref(), told(|thing| thing.group_id.to_string()).as_deref());
        check.owned(
            "profile_id",
            self.profile_id.as_ref(),
            told(|thing| thing.profile_id.to_string()).as_deref(),
        );
        let external = truth.and_then(|thing| thing.external_key.as_deref());
        check.owned("external_key", self.external_key.as_ref(), external);
        check.owned("status", self.status.as_ref(), truth.map(|thing| thing.status.as_str()));
        let name = check.required("name", self.name.as_deref());
        let kind = check.parsed("type", self.kind.as_deref());
        let key = own_key(self.key.as_deref(), check);
        let metadata = check.object("metadata", self.metadata.as_ref());
        Some(ThingUpdate { name: name?, kind, metadata, key })
    }
}

/// Where a thing is to go.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ThingMove {
    /// The group, which may be the present one.
    #[schema(value_type = Uuid)]
    group_id: String,
    /// A profile of that group.
    #[schema(value_type = Uuid)]
    profile_id: String,
}

/// Which things to delete.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ThingIds {
    #[schema(value_type = Vec<Uuid>, min_items = 1, max_items = 1000)]
    thing_ids: Vec<String>,
}

sorts! { ThingSort => ThingOrder: Id "id", Name "name", Kind "type" }

list_query! {
    /// Which things, and which page of them.
    ThingQuery sorted by ThingSort {
        /// Part of the name, upper and lower case alike (ASCII).
        name: Option<String>,
        /// Things whose metadata contains this JSON object.
        #[schema(value_type = Option<Object>)]
        #[param(value_type = Option<String>)]
        metadata: Option<RawObject>,
        /// Exactly this type.
        #[serde(rename = "type")]
        #[schema(value_type = Option<TypeName>)]
        #[param(value_type = Option<TypeName>)]
        kind: Option<String>,
        /// Exactly this external key.
        external_key: Option<String>,
        /// `enabled`, `disabled`, or `all`, which is the default.
        status: Option<String>,
    }
}

page_body! { ThingPage of ThingQuery sorted by ThingSort, things: ThingBody }

async fn list(app: &App, caller: &Caller, scope: Scope, query: ThingQuery) -> Answer<Out<ThingPage>> {
    let filter = Check::one(|check| {
        let external = query.external_key.as_deref().filter(|text| !text.is_empty());
        let status = match query.status.as_deref() {
            None | Some("" | "all") => None,
            Some(text) => {
                check.valid("status", text.parse().map_err(|_| "must be one of all, enabled, disabled"))
            }
        };
        Some(ThingFilter {
            scope,
            name: check.optional("name", query.name.as_deref().filter(|text| !text.is_empty())),
            metadata: check.object("metadata", query.metadata.as_ref()),
            kind: check.parsed("type", query.kind.as_deref()),
            external_key: check.optional("external_key", external),
            status,
        })
    })?;
    let page = app.registry.list_things(caller, &filter, &query.page()?).await?;
    Ok(Out(ThingPage::new(page, &query)))
}

/// List the things you may see
#[utoipa::path(get, path = "/things", tag = "Things", params(ThingQuery), responses((status = 200, body = ThingPage)))]
async fn list_things(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<ThingQuery>,
) -> Answer<Out<ThingPage>> {
    list(&app, &caller, Scope::Everywhere, query).await
}

/// Search the things you may see
#[utoipa::path(post, path = "/things/search", tag = "Things", request_body = Option<ThingQuery>, responses((status = 200, body = ThingPage)))]
async fn search_things(
    State(app): State<App>,
    caller: Caller,
    OptionalJson(query): OptionalJson<ThingQuery>,
) -> Answer<Out<ThingPage>> {
    list(&app, &caller, Scope::Everywhere, query).await
}

/// List the things of an organisation that you may see
#[utoipa::path(get, path = "/orgs/{id}/things", tag = "Things", params(ThingQuery), responses((status = 200, body = ThingPage)))]
async fn list_things_of_org(
    State(app): State<App>,
    caller: Caller,
    Id(org): Id<OrgId>,
    Query(query): Query<ThingQuery>,
) -> Answer<Out<ThingPage>> {
    list(&app, &caller, Scope::Org(org), query).await
}

/// Search the things of an organisation that you may see
#[utoipa::path(post, path = "/orgs/{id}/things/search", tag = "Things", request_body = Option<ThingQuery>, responses((status = 200, body = ThingPage)))]
async fn search_things_of_org(
    State(app): State<App>,
    caller: Caller,
    Id(org): Id<OrgId>,
    OptionalJson(query): OptionalJson<ThingQuery>,
) -> Answer<Out<ThingPage>> {
    list(&app, &caller, Scope::Org(org), query).await
}

/// List a group's things
#[utoipa::path(get, path = "/groups/{id}/things", tag = "Things", params(ThingQuery), responses((status = 200, body = ThingPage)))]
async fn list_things_of_group(
    State(app): State<App>,
    caller: Caller,
    Id(group): Id<GroupId>,
    Query(query): Query<ThingQuery>,
) -> Answer<Out<ThingPage>> {
    list(&app, &caller, Scope::Group(group), query).await
}

/// Search a group's things
#[utoipa::path(post, path = "/groups/{id}/things/search", tag = "Things", request_body = Option<ThingQuery>, responses((status = 200, body = ThingPage)))]
async fn search_things_of_group(
    State(app): State<App>,
    caller: Caller,
    Id(group): Id<GroupId>,
    OptionalJson(query): OptionalJson<ThingQuery>,
) -> Answer<Out<ThingPage>> {
    list(&app, &caller, Scope::Group(group), query).await
}

/// List a profile's things
#[utoipa::path(get, path = "/profiles/{id}/things", tag = "Things", params(ThingQuery), responses((status = 200, body = ThingPage)))]
async fn list_things_of_profile(
    State(app): State<App>,
    caller: Caller,
    Id(profile): Id<ProfileId>,
    Query(query): Query<ThingQuery>,
) -> Answer<Out<ThingPage>> {
    list(&app, &caller, Scope::Profile(profile), query).await
}

/// Search a profile's things
#[utoipa::path(post, path = "/profiles/{id}/things/search", tag = "Things", request_body = Option<ThingQuery>, responses((status = 200, body = ThingPage)))]
async fn search_things_of_profile(
    State(app): State<App>,
    caller: Caller,
    Id(profile): Id<ProfileId>,
    OptionalJson(query): OptionalJson<ThingQuery>,
) -> Answer<Out<ThingPage>> {
    list(&app, &caller, Scope::Profile(profile), query).await
}

/// Make things on a profile, all or none; the answer shows each key, once
#[utoipa::path(post, path = "/profiles/{id}/things", tag = "Things", request_body = Vec<NewThingBody>, responses((status = 201, body = Things)))]
async fn create_things(
    State(app): State<App>,
    caller: Caller,
    Id(profile): Id<ProfileId>,
    Json(items): Json<Vec<NewThingBody>>,
) -> Answer {
    // Which group it is shows only with the right to the profile.
    let group = if items.iter().any(NewThingBody::echoes) {
        Some(app.registry.view_profile(&caller, profile).await?.group_id)
    } else {
        None
    };
    let things = Check::each(items, |item, check| item.check(group, profile, check))?;
    let made = app.registry.create_things(&caller, profile, &things).await?;
    let things = made.into_iter().map(Into::into).collect();
    Ok((StatusCode::CREATED, Out(Things { things })).into_response())
}

/// View a thing
#[utoipa::path(get, path = "/things/{id}", tag = "Things", responses((status = 200, body = ThingBody, headers(("ETag")))))]
async fn view_thing(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<ThingId>,
    known: IfNoneMatch,
) -> Answer {
    let found = app.registry.view_thing(&caller, id).await?;
    let (version, role) = (found.thing.version(), found.thing.role.as_str());
    Ok(tagged(ThingBody::from(found), &version, role, &known))
}

fn as_it_is(thing: Thing) -> Response {
    let (version, role) = (thing.version(), thing.role.as_str());
    changed(ThingBody::from(thing), &version, role)
}

/// Change a thing
#[utoipa::path(put, path = "/things/{id}", tag = "Things", request_body = ThingUpdateBody, responses((status = 200, body = ThingBody, headers(("ETag")))))]
async fn update_thing(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<ThingId>,
    IfMatch(expect): IfMatch,
    Json(body): Json<ThingUpdateBody>,
) -> Answer {
    let truth = if body.echoes() { Some(app.registry.view_thing(&caller, id).await?.thing) } else { None };
    let update = Check::one(|check| body.check(truth.as_ref(), check))?;
    Ok(as_it_is(app.registry.update_thing(&caller, id, &update, &expect).await?))
}

/// Move a thing to a profile, of this group or another
#[utoipa::path(patch, path = "/things/{id}", tag = "Things", request_body = ThingMove, responses((status = 200, body = ThingBody, headers(("ETag")))))]
async fn move_thing(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<ThingId>,
    IfMatch(expect): IfMatch,
    Json(body): Json<ThingMove>,
) -> Answer {
    let (group, profile) = Check::one(|check| {
        let group = check.valid("group_id", body.group_id.parse::<GroupId>());
        let profile = check.valid("profile_id", body.profile_id.parse::<ProfileId>());
        Some((group?, profile?))
    })?;
    Ok(as_it_is(app.registry.move_thing(&caller, id, group, profile, &expect).await?))
}

/// Delete a thing
#[utoipa::path(delete, path = "/things/{id}", tag = "Things", responses((status = 204)))]
async fn delete_thing(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<ThingId>,
    IfMatch(expect): IfMatch,
) -> Answer<StatusCode> {
    app.registry.delete_thing(&caller, id, &expect).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Delete things, all or none
#[utoipa::path(patch, path = "/things", tag = "Things", request_body = ThingIds, responses((status = 204)))]
async fn delete_things(
    State(app): State<App>,
    caller: Caller,
    Json(body): Json<ThingIds>,
) -> Answer<StatusCode> {
    let ids = Check::ids("thing_ids", &body.thing_ids)?;
    app.registry.delete_things(&caller, &ids).await?;
    Ok(StatusCode::NO_CONTENT)
}

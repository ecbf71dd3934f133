//! Profiles over HTTP.

use axum::{
    Json as Out,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use registry::{
    GroupId, JsonObject, OrgId, ProfileId, ThingId,
    profiles::{NewProfile, Profile, ProfileConfig, ProfileFilter, ProfileOrder, ProfileUpdate, Scope},
};
use serde::{Deserialize, Deserializer, Serialize};
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
};
use crate::App;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_profiles, delete_profiles))
        .routes(routes!(search_profiles))
        .routes(routes!(list_profiles_of_org))
        .routes(routes!(search_profiles_of_org))
        .routes(routes!(list_profiles_of_group, create_profiles))
        .routes(routes!(search_profiles_of_group))
        .routes(routes!(view_profile, update_profile, delete_profile))
        .routes(routes!(view_profile_of_thing))
}

/// A profile.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Profile)]
struct ProfileBody {
    id: Uuid,
    group_id: Uuid,
    name: String,
    /// Absent where messages go nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Config, required = false)]
    config: Option<JsonObject>,
    #[schema(value_type = Object)]
    metadata: JsonObject,
}

impl From<Profile> for ProfileBody {
    fn from(profile: Profile) -> Self {
        Self {
            id: profile.id.uuid(),
            group_id: profile.group_id.uuid(),
            name: profile.name,
            config: profile.config.map(|config| config.object().clone()),
            metadata: profile.metadata,
        }
    }
}

/// How the messages of a profile's things are read and where they go. Other members are kept and
/// returned.
#[derive(ToSchema)]
#[schema(as = ProfileConfig)]
#[expect(dead_code, reason = "describes registry::profiles::ProfileConfig, which knows no OpenAPI")]
struct Config {
    content_type: Option<String>,
    transformer: Option<Transformer>,
    /// True, unless given.
    write_enabled: Option<bool>,
    /// True, unless given.
    webhook_enabled: Option<bool>,
    /// True, unless given.
    rule_enabled: Option<bool>,
}

/// How a message is taken apart.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a part of registry::profiles::ProfileConfig")]
struct Transformer {
    data_filters: Option<Vec<String>>,
    data_field: Option<String>,
    time_field: Option<String>,
    time_format: Option<String>,
    time_location: Option<String>,
}

/// Profiles, in the order asked for.
#[derive(Debug, Serialize, ToSchema)]
struct Profiles {
    profiles: Vec<ProfileBody>,
}

/// A profile to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewProfileBody {
    /// Chosen by the client, or made.
    #[schema(value_type = Option<Uuid>)]
    id: Option<String>,
    /// Unique in the group; at most 2,400 bytes.
    #[schema(value_type = String, required, min_length = 1, max_length = 1024)]
    name: Option<String>,
    #[schema(value_type = Option<Config>)]
    config: Option<RawObject>,
    #[schema(value_type = Option<Object>)]
    metadata: Option<RawObject>,
    group_id: Option<Echo>,
}

impl NewProfileBody {
    fn check(self, group: GroupId, check: &mut Check) -> Option<NewProfile> {
        check.owned("group_id", self.group_id.as_ref(), Some(&group.to_string()));
        let id = check.parsed("id", self.id.as_deref());
        let name = check.required("name", self.name.as_deref());
        let config = config_of(self.config.as_ref(), check);
        let metadata = check.object("metadata", self.metadata.as_ref());
        Some(NewProfile { id, name: name?, config, metadata: metadata.unwrap_or_default() })
    }
}

fn config_of(raw: Option<&RawObject>, check: &mut Check) -> Option<ProfileConfig> {
    let object = check.object("config", raw)?;
    check.fields(ProfileConfig::new(object))
}

/// A change to a profile; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ProfileUpdateBody {
    /// Unique in the group; at most 2,400 bytes.
    #[schema(value_type = String, required, min_length = 1, max_length = 1024)]
    name: Option<String>,
    /// Replaced as a whole; null takes it away.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Config>)]
    config: Option<Option<RawObject>>,
    /// Replaced as a whole.
    #[schema(value_type = Option<Object>)]
    metadata: Option<RawObject>,
    id: Option<Echo>,
    group_id: Option<Echo>,
}

/// Tells null from absent.
fn given<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<RawObject>>, D::Error> {
    Option::deserialize(from).map(Some)
}

impl ProfileUpdateBody {
    /// Whether something has to be compared with the profile as it is.
    fn echoes(&self) -> bool {
        [&self.id, &self.group_id].into_iter().flatten().any(Echo::is_given)
    }

    fn check(self, truth: Option<&Profile>, check: &mut Check) -> Option<ProfileUpdate> {
        let told = |tell: fn(&Profile) -> String| truth.map(tell);
        check.owned("id", self.id.as_ref(), told(|profile| profile.id.to_string()).as_deref());
        let group = told(|profile| profile.group_id.to_string());
        check.owned("group_id", self.group_id.as_ref(), group.as_deref());
        let name = check.required("name", self.name.as_deref());
        let config = self.config.map(|raw| config_of(raw.as_ref(), check));
        let metadata = check.object("metadata", self.metadata.as_ref());
        Some(ProfileUpdate { name: name?, config, metadata })
    }
}

/// Which profiles to delete.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ProfileIds {
    #[schema(value_type = Vec<Uuid>, min_items = 1, max_items = 1000)]
    profile_ids: Vec<String>,
}

sorts! { ProfileSort => ProfileOrder: Id "id", Name "name" }

list_query! {
    /// Which profiles, and which page of them.
    ProfileQuery sorted by ProfileSort {
        /// Part of the name, upper and lower case alike (ASCII).
        name: Option<String>,
        /// Profiles whose metadata contains this JSON object.
        #[schema(value_type = Option<Object>)]
        #[param(value_type = Option<String>)]
        metadata: Option<RawObject>,
        /// Exactly this content type.
        content_type: Option<String>,
    }
}

page_body! { ProfilePage of ProfileQuery sorted by ProfileSort, profiles: ProfileBody }

async fn list(app: &App, caller: &Caller, scope: Scope, query: ProfileQuery) -> Answer<Out<ProfilePage>> {
    let filter = Check::one(|check| {
        Some(ProfileFilter {
            scope,
            name: check.filter("name", query.name.as_deref()),
            metadata: check.object("metadata", query.metadata.as_ref()),
            content_type: check.filter("content_type", query.content_type.as_deref()),
        })
    })?;
    let page = app.registry.list_profiles(caller, &filter, &query.page()?).await?;
    Ok(Out(ProfilePage::new(page, &query)))
}

/// List the profiles you may see
#[utoipa::path(get, path = "/profiles", tag = "Profiles", params(ProfileQuery), responses((status = 200, body = ProfilePage)))]
async fn list_profiles(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<ProfileQuery>,
) -> Answer<Out<ProfilePage>> {
    list(&app, &caller, Scope::Everywhere, query).await
}

/// Search the profiles you may see
#[utoipa::path(post, path = "/profiles/search", tag = "Profiles", request_body = Option<ProfileQuery>, responses((status = 200, body = ProfilePage)))]
async fn search_profiles(
    State(app): State<App>,
    caller: Caller,
    OptionalJson(query): OptionalJson<ProfileQuery>,
) -> Answer<Out<ProfilePage>> {
    list(&app, &caller, Scope::Everywhere, query).await
}

/// List the profiles of an organisation that you may see
#[utoipa::path(get, path = "/orgs/{id}/profiles", tag = "Profiles", params(ProfileQuery), responses((status = 200, body = ProfilePage)))]
async fn list_profiles_of_org(
    State(app): State<App>,
    caller: Caller,
    Id(org): Id<OrgId>,
    Query(query): Query<ProfileQuery>,
) -> Answer<Out<ProfilePage>> {
    list(&app, &caller, Scope::Org(org), query).await
}

/// Search the profiles of an organisation that you may see
#[utoipa::path(post, path = "/orgs/{id}/profiles/search", tag = "Profiles", request_body = Option<ProfileQuery>, responses((status = 200, body = ProfilePage)))]
async fn search_profiles_of_org(
    State(app): State<App>,
    caller: Caller,
    Id(org): Id<OrgId>,
    OptionalJson(query): OptionalJson<ProfileQuery>,
) -> Answer<Out<ProfilePage>> {
    list(&app, &caller, Scope::Org(org), query).await
}

/// List a group's profiles
#[utoipa::path(get, path = "/groups/{id}/profiles", tag = "Profiles", params(ProfileQuery), responses((status = 200, body = ProfilePage)))]
async fn list_profiles_of_group(
    State(app): State<App>,
    caller: Caller,
    Id(group): Id<GroupId>,
    Query(query): Query<ProfileQuery>,
) -> Answer<Out<ProfilePage>> {
    list(&app, &caller, Scope::Group(group), query).await
}

/// Search a group's profiles
#[utoipa::path(post, path = "/groups/{id}/profiles/search", tag = "Profiles", request_body = Option<ProfileQuery>, responses((status = 200, body = ProfilePage)))]
async fn search_profiles_of_group(
    State(app): State<App>,
    caller: Caller,
    Id(group): Id<GroupId>,
    OptionalJson(query): OptionalJson<ProfileQuery>,
) -> Answer<Out<ProfilePage>> {
    list(&app, &caller, Scope::Group(group), query).await
}

/// Make profiles in a group, all or none
#[utoipa::path(post, path = "/groups/{id}/profiles", tag = "Profiles", request_body = Vec<NewProfileBody>, responses((status = 201, body = Profiles)))]
async fn create_profiles(
    State(app): State<App>,
    caller: Caller,
    Id(group): Id<GroupId>,
    Json(items): Json<Vec<NewProfileBody>>,
) -> Answer {
    let profiles = Check::each(items, |item, check| item.check(group, check))?;
    let made = app.registry.create_profiles(&caller, group, &profiles).await?;
    let profiles = made.into_iter().map(Into::into).collect();
    Ok((StatusCode::CREATED, Out(Profiles { profiles })).into_response())
}

/// View a profile
#[utoipa::path(get, path = "/profiles/{id}", tag = "Profiles", responses((status = 200, body = ProfileBody, headers(("ETag")))))]
async fn view_profile(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<ProfileId>,
    known: IfNoneMatch,
) -> Answer {
    Ok(shown(app.registry.view_profile(&caller, id).await?, &known))
}

/// View the profile that a thing is on
#[utoipa::path(get, path = "/things/{id}/profiles", tag = "Profiles", responses((status = 200, body = ProfileBody, headers(("ETag")))))]
async fn view_profile_of_thing(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<ThingId>,
    known: IfNoneMatch,
) -> Answer {
    Ok(shown(app.registry.view_profile_of_thing(&caller, id).await?, &known))
}

fn shown(profile: Profile, known: &IfNoneMatch) -> Response {
    let (version, role) = (profile.version(), profile.role.as_str());
    tagged(ProfileBody::from(profile), &version, role, known)
}

/// Change a profile
#[utoipa::path(put, path = "/profiles/{id}", tag = "Profiles", request_body = ProfileUpdateBody, responses((status = 200, body = ProfileBody, headers(("ETag")))))]
async fn update_profile(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<ProfileId>,
    IfMatch(expect): IfMatch,
    Json(body): Json<ProfileUpdateBody>,
) -> Answer {
    let truth = if body.echoes() { Some(app.registry.view_profile(&caller, id).await?) } else { None };
    let update = Check::one(|check| body.check(truth.as_ref(), check))?;
    let profile = app.registry.update_profile(&caller, id, &update, &expect).await?;
    let (version, role) = (profile.version(), profile.role.as_str());
    Ok(changed(ProfileBody::from(profile), &version, role))
}

/// Delete a profile that no thing uses
#[utoipa::path(delete, path = "/profiles/{id}", tag = "Profiles", responses((status = 204)))]
async fn delete_profile(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<ProfileId>,
    IfMatch(expect): IfMatch,
) -> Answer<StatusCode> {
    app.registry.delete_profile(&caller, id, &expect).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Delete profiles that no thing uses, all or none
#[utoipa::path(patch, path = "/profiles", tag = "Profiles", request_body = ProfileIds, responses((status = 204)))]
async fn delete_profiles(
    State(app): State<App>,
    caller: Caller,
    Json(body): Json<ProfileIds>,
) -> Answer<StatusCode> {
    let ids = Check::ids("profile_ids", &body.profile_ids)?;
    app.registry.delete_profiles(&caller, &ids).await?;
    Ok(StatusCode::NO_CONTENT)
}

//! Why devices do not get in, over HTTP: checks that failed, and the state of a thing's credentials.

use std::net::IpAddr;

use axum::{Json as Out, extract::State};
use registry::{
    ThingId,
    credentials::{Credential, FailedCheck, FailedCheckFilter, FailedCheckOrder, Reason},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    body::OptionalJson,
    check::Check,
    extract::{Caller, Id},
    journal::moment,
    list::{list_query, page_body},
    problem::Answer,
    query::Query,
    wire::Moment,
};
use crate::App;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_credentials))
        .routes(routes!(list_failed_checks_of_thing))
        .routes(routes!(search_failed_checks_of_thing))
        .routes(routes!(list_failed_checks))
        .routes(routes!(search_failed_checks))
}

/// Which of a thing's credentials.
#[derive(ToSchema)]
#[schema(as = CredentialKind)]
#[expect(dead_code, reason = "describes registry::credentials::IndexedAs, which knows no OpenAPI")]
enum KindName {
    #[schema(rename = "key")]
    Key,
    #[schema(rename = "previous")]
    Previous,
    #[schema(rename = "external")]
    External,
}

/// One of a thing's credentials, without its value.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Credential)]
struct CredentialBody {
    #[schema(value_type = KindName)]
    kind: &'static str,
    /// When the thing last authenticated by it, give or take a minute; absent for never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    last_seen_at: Option<Moment>,
    /// When it ends by itself; absent for never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    expires_at: Option<Moment>,
}

impl From<Credential> for CredentialBody {
    fn from(credential: Credential) -> Self {
        Self {
            kind: credential.kind.as_str(),
            last_seen_at: credential.last_seen_at.map(Into::into),
            expires_at: credential.expires_at.map(Into::into),
        }
    }
}

/// What a thing can authenticate by.
#[derive(Debug, Serialize, ToSchema)]
struct Credentials {
    credentials: Vec<CredentialBody>,
}

/// List a thing's credentials, without their values
#[utoipa::path(get, path = "/things/{id}/credentials", tag = "Things", responses((status = 200, body = Credentials)))]
async fn list_credentials(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<ThingId>,
) -> Answer<Out<Credentials>> {
    let credentials = app.registry.list_credentials(&caller, id).await?;
    Ok(Out(Credentials { credentials: credentials.into_iter().map(Into::into).collect() }))
}

/// Why a credential lets nobody in.
#[derive(ToSchema)]
#[schema(as = FailedCheckReason)]
#[expect(dead_code, reason = "describes registry::credentials::Reason, which knows no OpenAPI")]
enum ReasonName {
    /// Nobody's, as far as is known.
    #[schema(rename = "unknown_key")]
    UnknownKey,
    /// It looks generated, but there is a typing mistake in it.
    #[schema(rename = "checksum")]
    Checksum,
    /// A previous key after its time, which ended at `since`.
    #[schema(rename = "expired")]
    Expired,
    /// There is another in its place since `since`.
    #[schema(rename = "replaced")]
    Replaced,
    /// An external key that was taken away at `since`.
    #[schema(rename = "removed")]
    Removed,
    /// The thing is disabled since `since`.
    #[schema(rename = "disabled")]
    Disabled,
    /// A key shown as an external key, or the other way round.
    #[schema(rename = "wrong_kind")]
    WrongKind,
    /// Shown to a broker under a user name that is not its thing's id.
    #[schema(rename = "wrong_name")]
    WrongName,
    /// Shown to a broker with a client id that begins with another thing's id.
    #[schema(rename = "client_id")]
    ClientId,
}

/// Checks of a credential that failed alike within a few seconds. The credential itself is kept nowhere.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FailedCheck)]
struct FailedCheckBody {
    /// Later ones are larger; gaps are normal.
    id: i64,
    /// When it last happened.
    at: Moment,
    /// How often.
    times: i64,
    #[schema(value_type = ReasonName)]
    reason: String,
    /// Since when it is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    since: Option<Moment>,
    /// What was shown: `internal` for a key, `external` for an external key.
    #[serde(rename = "type")]
    kind: String,
    /// Through which door: `http`, `grpc` or `hook`.
    front: String,
    /// The address of the device, or of the broker that asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    source: Option<IpAddr>,
    /// Whose credential it is or was; absent where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    thing_id: Option<Uuid>,
}

impl From<FailedCheck> for FailedCheckBody {
    fn from(check: FailedCheck) -> Self {
        Self {
            id: check.id,
            at: check.at.into(),
            times: check.times,
            reason: check.reason,
            since: check.since.map(Into::into),
            kind: check.kind,
            front: check.front,
            source: check.source,
            thing_id: check.thing.map(|id| id.uuid()),
        }
    }
}

/// What failed checks are sorted by.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, ToSchema)]
pub(crate) enum FailedCheckSort {
    #[default]
    #[serde(rename = "id", alias = "")]
    Id,
}

impl From<FailedCheckSort> for FailedCheckOrder {
    fn from(FailedCheckSort::Id: FailedCheckSort) -> Self {
        Self
    }
}

list_query! {
    /// Which failed checks of a thing, and which page of them.
    ThingFailedCheckQuery sorted by FailedCheckSort {
        /// For this reason.
        #[schema(value_type = Option<ReasonName>)]
        #[param(value_type = Option<ReasonName>)]
        reason: Option<String>,
        /// At this moment or later.
        #[schema(format = DateTime)]
        #[param(format = DateTime)]
        since: Option<String>,
    }
}

list_query! {
    /// Which failed checks, and which page of them.
    FailedCheckQuery sorted by FailedCheckSort {
        /// Of this thing.
        #[schema(value_type = Option<Uuid>)]
        #[param(value_type = Option<Uuid>)]
        thing_id: Option<String>,
        /// For this reason.
        #[schema(value_type = Option<ReasonName>)]
        #[param(value_type = Option<ReasonName>)]
        reason: Option<String>,
        /// At this moment or later.
        #[schema(format = DateTime)]
        #[param(format = DateTime)]
        since: Option<String>,
    }
}

page_body! { ThingFailedCheckPage of ThingFailedCheckQuery sorted by FailedCheckSort, failed_checks: FailedCheckBody }
page_body! { FailedCheckPage of FailedCheckQuery sorted by FailedCheckSort, failed_checks: FailedCheckBody }

async fn list_of_thing(
    app: &App,
    caller: &Caller,
    thing: ThingId,
    query: ThingFailedCheckQuery,
) -> Answer<Out<ThingFailedCheckPage>> {
    let filter = Check::one(|check| {
        Some(FailedCheckFilter {
            thing: Some(thing),
            reason: check.parsed::<Reason>("reason", query.reason.as_deref()),
            since: moment(check, "since", query.since.as_deref()),
        })
    })?;
    let page = app.registry.list_failed_checks(caller, &filter, &query.page()?).await?;
    Ok(Out(ThingFailedCheckPage::new(page, &query)))
}

async fn list(app: &App, caller: &Caller, query: FailedCheckQuery) -> Answer<Out<FailedCheckPage>> {
    let filter = Check::one(|check| {
        Some(FailedCheckFilter {
            thing: check.parsed("thing_id", query.thing_id.as_deref()),
            reason: check.parsed::<Reason>("reason", query.reason.as_deref()),
            since: moment(check, "since", query.since.as_deref()),
        })
    })?;
    let page = app.registry.list_failed_checks(caller, &filter, &query.page()?).await?;
    Ok(Out(FailedCheckPage::new(page, &query)))
}

/// List the checks of a thing's credentials that failed, for its group's administrators
#[utoipa::path(get, path = "/things/{id}/failed-checks", tag = "Things", params(ThingFailedCheckQuery), responses((status = 200, body = ThingFailedCheckPage)))]
async fn list_failed_checks_of_thing(
    State(app): State<App>,
    caller: Caller,
    Id(thing): Id<ThingId>,
    Query(query): Query<ThingFailedCheckQuery>,
) -> Answer<Out<ThingFailedCheckPage>> {
    list_of_thing(&app, &caller, thing, query).await
}

/// Search the checks of a thing's credentials that failed
#[utoipa::path(post, path = "/things/{id}/failed-checks/search", tag = "Things", request_body = Option<ThingFailedCheckQuery>, responses((status = 200, body = ThingFailedCheckPage)))]
async fn search_failed_checks_of_thing(
    State(app): State<App>,
    caller: Caller,
    Id(thing): Id<ThingId>,
    OptionalJson(query): OptionalJson<ThingFailedCheckQuery>,
) -> Answer<Out<ThingFailedCheckPage>> {
    list_of_thing(&app, &caller, thing, query).await
}

/// List the checks of credentials that failed, of the things you administer
///
/// Those of which it is not known whose credential it was are shown to the platform's administrators.
#[utoipa::path(get, path = "/failed-checks", tag = "Operations", params(FailedCheckQuery), responses((status = 200, body = FailedCheckPage)))]
async fn list_failed_checks(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<FailedCheckQuery>,
) -> Answer<Out<FailedCheckPage>> {
    list(&app, &caller, query).await
}

/// Search the checks of credentials that failed, of the things you administer
#[utoipa::path(post, path = "/failed-checks/search", tag = "Operations", request_body = Option<FailedCheckQuery>, responses((status = 200, body = FailedCheckPage)))]
async fn search_failed_checks(
    State(app): State<App>,
    caller: Caller,
    OptionalJson(query): OptionalJson<FailedCheckQuery>,
) -> Answer<Out<FailedCheckPage>> {
    list(&app, &caller, query).await
}

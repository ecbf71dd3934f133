//! The journal over HTTP: what happened in the scopes one administers.

use axum::{Json as Out, extract::State};
use registry::{
    JsonObject, Timestamp,
    journal::{JournalFilter, JournalOrder, Record},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    body::OptionalJson,
    check::Check,
    extract::Caller,
    list::{list_query, page_body},
    problem::Answer,
    query::Query,
    wire::Moment,
};
use crate::App;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_journal)).routes(routes!(search_journal))
}

/// One change.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = JournalEntry)]
struct EntryBody {
    /// Later changes have larger ones; gaps are normal.
    id: i64,
    at: Moment,
    #[serde(skip_serializing_if = "Option::is_none")]
    org_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_id: Option<Uuid>,
    actor: ActorBody,
    /// By what right: `membership`, `org_owner`, `platform_admin`, `oneself`, `public`, `system`.
    via: String,
    /// What happened: `group.created`, `thing.updated`, …
    action: String,
    subject: SubjectBody,
    /// The changed fields, each before and after. Secrets are never among them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    changes: Option<JsonObject>,
    request_id: String,
}

/// Who did it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = JournalActor)]
struct ActorBody {
    /// `user`, `thing`, `system` or `anonymous`.
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Uuid>,
}

/// What it happened to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = JournalSubject)]
struct SubjectBody {
    /// `org`, `group`, `profile`, `thing`, `user`, …
    kind: String,
    id: Uuid,
    /// Its name at that time.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

impl From<Record> for EntryBody {
    fn from(record: Record) -> Self {
        Self {
            id: record.id,
            at: record.at.into(),
            org_id: record.org_id.map(|id| id.uuid()),
            group_id: record.group_id.map(|id| id.uuid()),
            actor: ActorBody { kind: record.actor_kind, id: record.actor_id },
            via: record.via,
            action: record.action,
            subject: SubjectBody {
                kind: record.subject_kind,
                id: record.subject_id,
                name: record.subject_name,
            },
            changes: record.changes,
            request_id: record.request_id,
        }
    }
}

/// What the journal is sorted by.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, ToSchema)]
pub(crate) enum JournalSort {
    #[default]
    #[serde(rename = "id", alias = "")]
    Id,
}

impl From<JournalSort> for JournalOrder {
    fn from(JournalSort::Id: JournalSort) -> Self {
        Self
    }
}

list_query! {
    /// Which entries, and which page of them.
    JournalQuery sorted by JournalSort {
        /// In this organisation.
        #[schema(value_type = Option<Uuid>)]
        #[param(value_type = Option<Uuid>)]
        org: Option<String>,
        /// In this group.
        #[schema(value_type = Option<Uuid>)]
        #[param(value_type = Option<Uuid>)]
        group: Option<String>,
        /// By this user or thing.
        #[schema(value_type = Option<Uuid>)]
        #[param(value_type = Option<Uuid>)]
        actor: Option<String>,
        /// This action; `thing.` stands for all that begin so.
        action: Option<String>,
        /// About this object.
        #[schema(value_type = Option<Uuid>)]
        #[param(value_type = Option<Uuid>)]
        subject: Option<String>,
        /// At this moment or later.
        #[schema(format = DateTime)]
        #[param(format = DateTime)]
        since: Option<String>,
        /// Before this moment.
        #[schema(format = DateTime)]
        #[param(format = DateTime)]
        until: Option<String>,
    }
}

page_body! { JournalPage of JournalQuery sorted by JournalSort, entries: EntryBody }

async fn list(app: &App, caller: &Caller, query: JournalQuery) -> Answer<Out<JournalPage>> {
    let filter = Check::one(|check| {
        Some(JournalFilter {
            org: check.parsed("org", query.org.as_deref()),
            group: check.parsed("group", query.group.as_deref()),
            actor: check.parsed("actor", query.actor.as_deref()),
            action: check.filter("action", query.action.as_deref()),
            subject: check.parsed("subject", query.subject.as_deref()),
            since: moment(check, "since", query.since.as_deref()),
            until: moment(check, "until", query.until.as_deref()),
        })
    })?;
    let page = app.registry.list_journal(caller, &filter, &query.page()?).await?;
    Ok(Out(JournalPage::new(page, &query)))
}

/// A time that may be left out.
pub(super) fn moment(check: &mut Check, field: &'static str, text: Option<&str>) -> Option<Timestamp> {
    let text = text.filter(|text| !text.is_empty())?;
    check.valid(
        field,
        Timestamp::parse(text).ok_or("must be a time as RFC 3339 writes it: 2026-11-23T12:13:20Z"),
    )
}

/// Read what happened in the scopes you administer
#[utoipa::path(get, path = "/journal", tag = "Operations", params(JournalQuery), responses((status = 200, body = JournalPage)))]
async fn list_journal(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<JournalQuery>,
) -> Answer<Out<JournalPage>> {
    list(&app, &caller, query).await
}

/// Search what happened in the scopes you administer
#[utoipa::path(post, path = "/journal/search", tag = "Operations", request_body = Option<JournalQuery>, responses((status = 200, body = JournalPage)))]
async fn search_journal(
    State(app): State<App>,
    caller: Caller,
    OptionalJson(query): OptionalJson<JournalQuery>,
) -> Answer<Out<JournalPage>> {
    list(&app, &caller, query).await
}

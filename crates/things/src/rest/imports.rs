//! Things from a file into a group, and out again.

mod columns;
mod events;
mod export;
mod lines;
mod rows;
mod spool;

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, Uri, header},
    response::IntoResponse,
};
use registry::{
    Error, GroupId, ProfileId,
    imports::{Counts, Import, ImportOptions, MatchBy, Open, Source},
};
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use self::{
    columns::Renamed,
    events::Summary,
    rows::{Batches, Format, Reading, Scan},
    spool::Spool,
};
use super::{
    Problem,
    check::Check,
    dry_run,
    extract::{Caller, Id},
    problem::{Answer, kinds},
    query::Query,
    repeat,
};
use crate::App;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(import_things)).routes(routes!(export::export_things))
}

/// The path whose bodies are no JSON and larger than others.
pub(super) const PATH: &str = "/groups/{id}/import";
/// How many files are worked through at a time, in the whole process.
pub(crate) const AT_ONCE: usize = 2;
/// How long a file that has arrived waits for that.
const PATIENCE: Duration = Duration::from_secs(60);
const CSV: &str = "text/csv";
const NDJSON: &str = "application/x-ndjson";

/// How to import.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
struct ImportQuery {
    /// The profile of rows that name none.
    #[param(value_type = Option<uuid::Uuid>)]
    profile_id: Option<String>,
    /// `create`, which is the default: each row makes a thing; or `upsert`: a row that finds a thing changes it.
    #[param(value_type = Option<String>, example = "upsert")]
    mode: Option<String>,
    /// By what rows find things: `name`, which is the default, `external_key` or `id`. For `mode=upsert` only.
    #[serde(rename = "match")]
    #[param(value_type = Option<String>, example = "external_key")]
    matched: Option<String>,
    /// Whether rows that cannot be done are rejected one by one. Otherwise all rows are done, or none.
    partial: Option<bool>,
    /// Other names for columns, or `-` to leave one out. For CSV only.
    #[param(example = "Serial:external_key,Notes:-")]
    columns: Option<String>,
}

impl ImportQuery {
    fn check(&self, group: GroupId, check: &mut Check) -> Option<(ImportOptions, Renamed)> {
        let profile: Option<ProfileId> = check.parsed("profile_id", self.profile_id.as_deref());
        let upserts = match self.mode.as_deref() {
            None | Some("create") => false,
            Some("upsert") => true,
            Some(_) => {
                check.refuse("mode", "must be one of create, upsert");
                false
            }
        };
        let by = match self.matched.as_deref() {
            None | Some("name") => MatchBy::Name,
            Some("external_key") => MatchBy::ExternalKey,
            Some("id") => MatchBy::Id,
            Some(_) => {
                check.refuse("match", "must be one of name, external_key, id");
                MatchBy::Name
            }
        };
        if self.matched.is_some() && !upserts {
            check.refuse("match", "is for mode=upsert; leave it out");
        }
        let renamed = Renamed::parse(self.columns.as_deref().unwrap_or_default());
        let renamed = check.valid("columns", renamed);
        let upsert = upserts.then_some(by);
        let partial = self.partial.unwrap_or(false);
        Some((ImportOptions { group, profile, upsert, partial }, renamed?))
    }
}

/// Make things in a group from a file, or change them
///
/// The file is CSV, its first line names the columns, or NDJSON, an object on each line. Fields are `id`, `name`,
/// `type`, `profile` or `profile_id`, `key`, `external_key`, `status`, `metadata`, and in CSV `metadata.<name>`. What
/// becomes of it is told as it happens, a JSON object on each line, by its member `event`: `progress`, `created`,
/// `rejected`, and at the end `done` or `failed`. With an Idempotency-Key an import that was cut off goes on where it
/// was when it is sent again, and answers the same keys.
#[utoipa::path(
    post, path = "/groups/{id}/import", tag = "Things", params(ImportQuery),
    request_body(content((String = "text/csv"), (String = "application/x-ndjson"))),
    responses((status = 200, description = "What became of the rows, told as it happens", body = String, content_type = "application/x-ndjson"))
)]
async fn import_things(
    State(app): State<App>,
    caller: Caller,
    Id(group): Id<GroupId>,
    uri: Uri,
    Query(query): Query<ImportQuery>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let (options, renamed) = Check::one(|check| query.check(group, check))?;
    let key = repeat::key(&headers).transpose()?;
    let import = app.registry.begin_import(&caller, options.clone(), key.as_deref()).await?;
    // Who may not know of the group is told nothing of what else is wrong.
    let format = format(&headers)?;
    if format == Format::Ndjson && query.columns.is_some() {
        return Err(Error::invalid("columns", "is for CSV; name the members of NDJSON as the fields").into());
    }
    let busy = || {
        Problem::new(&kinds::UNAVAILABLE, "other imports are under way; wait until they are done")
            .wait(Duration::from_secs(5))
    };
    // Better told before a file is sent than after it.
    if app.imports.available_permits() == 0 {
        return Err(busy());
    }
    let sending = app.senders.enter(&caller)?;
    let spool = Spool::of(&app, body).await?;
    // Only now: a file that arrives slowly takes nobody's room.
    let room = tokio::time::timeout(PATIENCE, Arc::clone(&app.imports).acquire_owned()).await;
    let room = room.ok().and_then(Result::ok).ok_or_else(busy)?;
    drop(sending);
    let reading = Arc::new(Reading {
        format,
        renamed,
        upsert: options.upsert,
        has_profile: options.profile.is_some(),
        manner: format!("{format:?} {}", uri.query().unwrap_or_default()),
    });
    let scan = {
        let (spool, reading) = (spool.clone(), Arc::clone(&reading));
        let look = move || rows::scan(&spool, &reading, options.partial, options.profile);
        tokio::task::spawn_blocking(look).await.map_err(Problem::internal)??
    };
    app.registry.same_import(&import, &scan.digests)?;
    let open: Open = Arc::new(move || {
        let batches: Box<dyn Source> = Box::new(Batches::new(&spool, &reading));
        Ok(batches)
    });
    let work = Work { app, call: caller.clone(), import, scan, open, _room: room };
    if caller.is_dry() { work.rehearse().await } else { work.begin() }
}

fn format(headers: &HeaderMap) -> Answer<Format> {
    let refuse = |detail: &str| Err(Problem::new(&kinds::MEDIA_TYPE, detail));
    if headers.contains_key(header::CONTENT_ENCODING) {
        return refuse("compressed bodies are not accepted; send it without Content-Encoding");
    }
    let named = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match named.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        CSV => Ok(Format::Csv),
        NDJSON => Ok(Format::Ndjson),
        _ => refuse(
            "the body must be CSV or NDJSON; send it with `Content-Type: text/csv` or `application/x-ndjson`",
        ),
    }
}

/// An import whose file is there and was looked through.
struct Work {
    app: App,
    call: registry::Call,
    import: Import,
    scan: Scan,
    open: Open,
    /// Held as long as it is worked on.
    _room: OwnedSemaphorePermit,
}

impl Work {
    /// Carries it out, whether anybody listens or not, and answers with what is told of it.
    fn begin(self) -> Answer {
        let spool = Spool::new(&self.app)?;
        let (keys, rows) = (self.import.keys().clone(), self.scan.rows);
        let told = (self.call.request_id(), self.app.options.idle);
        let (mut events, sending) = events::channel(spool, keys, rows, told);
        tokio::spawn(async move {
            let done = self.run(&mut events).await;
            events.end(done);
        });
        Ok(([(header::CONTENT_TYPE, NDJSON)], sending.body()).into_response())
    }

    /// A dry run: told at its end.
    async fn rehearse(self) -> Answer {
        let mut summary = Summary::default();
        let counts = self.run(&mut summary).await?;
        let mut response = StatusCode::OK.into_response();
        response.extensions_mut().insert(dry_run::Import(summary.told(&counts)));
        Ok(response)
    }

    async fn run(&self, report: &mut dyn registry::imports::Report) -> Answer<Counts> {
        let (registry, profiles) = (&self.app.registry, &self.scan.profiles);
        Ok(registry.run_import(&self.call, &self.import, profiles, &self.open, report).await?)
    }
}

//! A group's things as a file that an import takes again.

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::header,
    response::IntoResponse,
};
use registry::{Error, GroupId, imports::Exported};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use utoipa::IntoParams;

use super::{CSV, NDJSON, events::Chunks, rows::Format};
use crate::{
    App,
    rest::{
        extract::{Caller, Id},
        problem::Answer,
        query::Query,
    },
};

/// With what a cell must not begin in a spreadsheet, which would take it for a formula. An export puts `'` before it,
/// and an import takes it off; so it does for `'` itself.
pub(super) const GUARDED: [char; 7] = ['=', '+', '-', '@', '\t', '\r', '\''];

const HEADER: &str = "id,name,type,profile,external_key,status,metadata\r\n";

/// How to export.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct ExportQuery {
    /// `csv`, which is the default, or `ndjson`.
    #[param(value_type = Option<String>, example = "csv")]
    format: Option<String>,
}

/// A thing in NDJSON.
#[derive(Serialize)]
struct JsonRow<'t> {
    id: registry::ThingId,
    name: &'t str,
    #[serde(rename = "type")]
    kind: &'t str,
    profile: &'t str,
    #[serde(skip_serializing_if = "Option::is_none")]
    external_key: Option<&'t str>,
    status: &'t str,
    metadata: &'t registry::JsonObject,
}

/// A group's things as CSV or NDJSON, by ascending id, without their keys
///
/// An import takes it again.
#[utoipa::path(
    get, path = "/groups/{id}/export", tag = "Things", params(ExportQuery),
    responses((status = 200, description = "The things, as they are read", content((String = "text/csv"), (String = "application/x-ndjson"))))
)]
pub(super) async fn export_things(
    State(app): State<App>,
    caller: Caller,
    Id(group): Id<GroupId>,
    Query(query): Query<ExportQuery>,
) -> Answer {
    let format = match query.format.as_deref() {
        None | Some("csv") => Format::Csv,
        Some("ndjson") => Format::Ndjson,
        Some(_) => return Err(Error::invalid("format", "must be one of csv, ndjson").into()),
    };
    // The first page before the answer begins: who may not see the group is told so.
    let first = app.registry.export_things(&caller, group, None).await?;
    let (sender, receiver) = mpsc::channel(2);
    let call = caller.clone();
    tokio::spawn(async move {
        let mut page = first;
        let header = if format == Format::Csv { HEADER } else { "" };
        let mut written = header.as_bytes().to_vec();
        loop {
            page.iter().for_each(|thing| write(format, thing, &mut written));
            let sent = sender.send(Ok(Bytes::from(std::mem::take(&mut written)))).await;
            let Some(last) = page.last().filter(|_| sent.is_ok()) else { return };
            page = match app.registry.export_things(&call, group, Some(last.id)).await {
                Ok(page) => page,
                Err(error) => {
                    tracing::warn!(request_id = call.request_id(), %error, "an export broke off");
                    // The answer ends without its end, by which clients know.
                    let broken = std::io::Error::other("the export broke off");
                    return drop(sender.send(Err(broken)).await);
                }
            };
            if page.is_empty() {
                return;
            }
        }
    });
    let media = if format == Format::Csv { CSV } else { NDJSON };
    Ok(([(header::CONTENT_TYPE, media)], Body::new(Chunks(receiver))).into_response())
}

fn write(format: Format, thing: &Exported, to: &mut Vec<u8>) {
    let metadata = thing.metadata.to_text();
    match format {
        Format::Csv => {
            let id = thing.id.to_string();
            let external_key = thing.external_key.as_deref().unwrap_or_default();
            let cells = [
                &id,
                &thing.name,
                thing.kind.as_str(),
                &thing.profile,
                external_key,
                thing.status.as_str(),
                &metadata,
            ];
            for (at, text) in cells.into_iter().enumerate() {
                if at > 0 {
                    to.push(b',');
                }
                cell(text, to);
            }
            to.extend_from_slice(b"\r\n");
        }
        Format::Ndjson => {
            let row = JsonRow {
                id: thing.id,
                name: &thing.name,
                kind: thing.kind.as_str(),
                profile: &thing.profile,
                external_key: thing.external_key.as_deref(),
                status: thing.status.as_str(),
                metadata: &thing.metadata,
            };
            // Into memory, and of our own plain types: it does not fail.
            let _ = serde_json::to_writer(&mut *to, &row);
            to.push(b'\n');
        }
    }
}

/// A cell that is text in every spreadsheet.
pub(super) fn cell(text: &str, to: &mut Vec<u8>) {
    let guard = if text.starts_with(GUARDED) { "'" } else { "" };
    let quoted = text.contains([',', '"', '\n', '\r']) || text.starts_with(' ') || text.ends_with(' ');
    if !quoted {
        to.extend_from_slice(guard.as_bytes());
        to.extend_from_slice(text.as_bytes());
        return;
    }
    to.push(b'"');
    to.extend_from_slice(guard.as_bytes());
    to.extend_from_slice(text.replace('"', "\"\"").as_bytes());
    to.push(b'"');
}

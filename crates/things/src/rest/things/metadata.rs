//! Metadata of several things at once.

use axum::{Json as Out, extract::State};
use registry::ThingId;
use serde::Deserialize;
use utoipa::ToSchema;

use super::Things;
use crate::{
    App,
    rest::{
        body::Json,
        check::{Check, RawObject},
        extract::Caller,
        problem::Answer,
    },
};

/// Metadata to lay over a thing's own.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MetadataUpdate {
    #[schema(value_type = Uuid)]
    id: String,
    /// Each member replaces the one of the same name; none is removed.
    #[schema(required, value_type = Object)]
    metadata: Option<RawObject>,
}

impl MetadataUpdate {
    fn check(self, check: &mut Check) -> Option<(ThingId, registry::JsonObject)> {
        let id = check.valid("id", self.id.parse());
        if self.metadata.is_none() {
            check.refuse("metadata", "is required");
        }
        let metadata = check.object("metadata", self.metadata.as_ref());
        Some((id?, metadata?))
    }
}

/// Lay metadata over that of several things, all or none
#[utoipa::path(put, path = "/things", tag = "Things", request_body = Vec<MetadataUpdate>, responses((status = 200, body = Things)))]
pub(super) async fn merge_metadata(
    State(app): State<App>,
    caller: Caller,
    Json(items): Json<Vec<MetadataUpdate>>,
) -> Answer<Out<Things>> {
    let updates = Check::each(items, MetadataUpdate::check)?;
    let things = app.registry.merge_metadata(&caller, &updates).await?;
    Ok(Out(Things { things: things.into_iter().map(Into::into).collect() }))
}

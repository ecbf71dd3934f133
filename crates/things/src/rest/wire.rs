//! Wire types that several nouns share.

use registry::Timestamp;
use serde::{Serialize, Serializer};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat, Type},
};

/// A moment: RFC 3339, UTC, milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment(pub(crate) Timestamp);

impl From<Timestamp> for Moment {
    fn from(timestamp: Timestamp) -> Self {
        Self(timestamp)
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}

impl PartialSchema for Moment {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .examples(["2026-11-23T12:13:20.120Z"])
            .into()
    }
}

impl ToSchema for Moment {}

/// A role in a group or an organisation; each includes those before it.
#[derive(ToSchema)]
#[schema(as = Role)]
#[expect(dead_code, reason = "describes registry::Role, which knows no OpenAPI")]
pub(crate) enum RoleName {
    #[schema(rename = "viewer")]
    Viewer,
    #[schema(rename = "editor")]
    Editor,
    #[schema(rename = "admin")]
    Admin,
    #[schema(rename = "owner")]
    Owner,
}

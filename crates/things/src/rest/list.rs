//! Lists: the parameters they share, as query and as the body of `POST …/search`, and their pages.

use registry::Dir;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Ascending or descending.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Direction {
    /// Smallest first.
    Asc,
    /// Largest first: with ids made here, newest first.
    #[default]
    #[serde(alias = "")]
    Desc,
}

impl From<Direction> for Dir {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::Asc => Self::Asc,
            Direction::Desc => Self::Desc,
        }
    }
}

/// Accepted and ignored: Mainflux's clients send `total` with every list.
#[derive(Clone, Debug)]
pub(crate) struct Ignored;

impl<'de> Deserialize<'de> for Ignored {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(from).map(|_| Self)
    }
}

/// Declares what a noun is sorted by: the wire's names for the registry's order.
/// `sorts! { GroupSort => GroupOrder: Id "id", Name "name" }`; the first is the default.
macro_rules! sorts {
    ($name:ident => $order:ident: $first:ident $first_text:literal $(, $variant:ident $text:literal)* $(,)?) => {
        /// What the list is sorted by; ties are broken by id.
        #[derive(Clone, Copy, Debug, Default, serde::Deserialize, serde::Serialize)]
        pub(crate) enum $name {
            #[default]
            #[serde(rename = $first_text, alias = "")]
            $first,
            $(#[serde(rename = $text)] $variant,)*
        }

        // By hand: the derive does not see names that a macro has been given.
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::Type::String)
                    .enum_values(Some([$first_text $(, $text)*]))
                    .default(Some($first_text.into()))
                    .description(Some("What the list is sorted by; ties are broken by id."))
                    .into()
            }
        }

        impl utoipa::ToSchema for $name {}

        impl From<$name> for $order {
            fn from(sort: $name) -> Self {
                match sort {
                    $name::$first => Self::$first,
                    $($name::$variant => Self::$variant,)*
                }
            }
        }
    };
}
pub(crate) use sorts;

/// Declares the parameters of a list: the shared ones, and the noun's own filters. The same struct
/// is read from a query string and from a search's body.
macro_rules! list_query {
    ($(#[$doc:meta])* $name:ident sorted by $sort:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, serde::Deserialize, utoipa::ToSchema, utoipa::IntoParams)]
        #[serde(deny_unknown_fields)]
        #[into_params(parameter_in = Query)]
        pub(crate) struct $name {
            /// The most items on the page.
            #[schema(minimum = 1, maximum = 1000, default = 10)]
            #[param(minimum = 1, maximum = 1000, default = 10)]
            pub(crate) limit: Option<u32>,
            /// How many items to skip; further than this only `cursor` goes.
            #[schema(minimum = 0, maximum = 10000, default = 0)]
            #[param(minimum = 0, maximum = 10000, default = 0)]
            offset: Option<u32>,
            /// The `next` of the page before.
            cursor: Option<String>,
            #[schema(inline)]
            #[param(inline)]
            pub(crate) order: Option<$sort>,
            #[schema(inline)]
            #[param(inline)]
            pub(crate) dir: Option<crate::rest::list::Direction>,
            #[schema(ignore)]
            #[param(ignore)]
            #[expect(dead_code, reason = "accepted and ignored")]
            total: Option<crate::rest::list::Ignored>,
            $($(#[$field_doc])* $field: $type,)*
        }

        impl $name {
            /// The page asked for.
            pub(crate) fn page<O: From<$sort>>(&self) -> registry::Result<registry::PageQuery<O>> {
                registry::PageQuery::new(
                    self.limit,
                    self.offset,
                    self.cursor.clone().filter(|cursor| !cursor.is_empty()),
                    self.order.unwrap_or_default().into(),
                    self.dir.unwrap_or_default().into(),
                )
            }
        }
    };
}
pub(crate) use list_query;

/// Declares the page of a list: `page_body! { GroupPage of GroupQuery, groups: GroupBody }`.
macro_rules! page_body {
    ($name:ident of $query:ident sorted by $sort:ident, $field:ident: $item:ty) => {
        /// One page of the list.
        #[derive(serde::Serialize, utoipa::ToSchema)]
        pub(crate) struct $name {
            /// How many items the whole list has; at most 10,000 are counted.
            total: u64,
            /// How many items come before this page.
            offset: u64,
            /// The most items on a page.
            limit: u32,
            #[schema(inline)]
            order: $sort,
            #[schema(inline)]
            dir: crate::rest::list::Direction,
            /// The `cursor` of the next page, if there is one.
            #[serde(skip_serializing_if = "Option::is_none")]
            #[schema(value_type = String, required = false)]
            next: Option<String>,
            /// `false` when there are more than `total`; absent otherwise.
            #[serde(skip_serializing_if = "Option::is_none")]
            #[schema(value_type = bool, required = false)]
            total_exact: Option<bool>,
            $field: Vec<$item>,
        }

        impl $name {
            fn new<T: Into<$item>>(page: registry::Page<T>, query: &$query) -> Self {
                Self {
                    total: page.total,
                    offset: page.offset,
                    limit: query.limit.unwrap_or(registry::page::DEFAULT_LIMIT),
                    order: query.order.unwrap_or_default(),
                    dir: query.dir.unwrap_or_default(),
                    next: page.next,
                    total_exact: (!page.total_exact).then_some(false),
                    $field: page.items.into_iter().map(Into::into).collect(),
                }
            }
        }
    };
}
pub(crate) use page_body;

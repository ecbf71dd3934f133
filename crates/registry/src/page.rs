//! Pages of lists: by offset for people, by cursor for programs.
//!
//! A cursor names the last row seen, so every page costs the same. It is authenticated and bound to
//! the list, the filters, the order and the person: another one's cursor is as good as none.

use serde::{Deserialize, Serialize};

use crate::error::{Error, FieldError, Result};

/// The most items on a page.
pub const MAX_LIMIT: u32 = 1_000;
/// The furthest a page can be reached by offset; beyond it only cursors go.
pub const MAX_OFFSET: u32 = 10_000;
/// Up to here `total` is counted; a larger list says so (`total_exact: false`), because counting it
/// would cost more than the page.
pub const MAX_TOTAL: u32 = 10_000;

/// The most bytes of free-form JSON on a page: metadata, configurations, what the journal tells of them.
/// A page that would hold more is refused, not shortened: whoever goes on by offset would miss items.
pub const MAX_PAGE_BYTES: usize = 16 * 1024 * 1024;

/// How many items a page holds unless asked otherwise.
pub const DEFAULT_LIMIT: u32 = 10;

/// Which page of a list, in which order.
#[derive(Clone, Debug)]
pub struct PageQuery<O> {
    limit: u32,
    start: Start,
    order: O,
    dir: Dir,
}

/// Where a page begins.
#[derive(Clone, Debug)]
pub(crate) enum Start {
    Offset(u32),
    After(String),
}

/// Ascending or descending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Dir {
    /// Smallest first.
    Asc,
    /// Largest first; with ids of version 7, newest first.
    #[default]
    Desc,
}

impl Dir {
    /// As shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Asc => "asc",
            Self::Desc => "desc",
        }
    }
}

impl<O> PageQuery<O> {
    /// Checks the numbers: `limit` 1..1000, `offset` ≤ 10,000, and not both an offset and a cursor.
    pub fn new(
        limit: Option<u32>,
        offset: Option<u32>,
        cursor: Option<String>,
        order: O,
        dir: Dir,
    ) -> Result<Self> {
        let limit = limit.unwrap_or(DEFAULT_LIMIT);
        let mut errors = Vec::new();
        if !(1..=MAX_LIMIT).contains(&limit) {
            errors.push(FieldError::new("limit", format!("must be from 1 to {MAX_LIMIT}")));
        }
        let start = match (offset, cursor) {
            (Some(offset), None) if offset > MAX_OFFSET => {
                errors.push(FieldError::new(
                    "offset",
                    format!("must be at most {MAX_OFFSET}; go further with `cursor`, the page's `next`"),
                ));
                Start::Offset(0)
            }
            (offset, None) => Start::Offset(offset.unwrap_or(0)),
            (None | Some(0), Some(cursor)) => Start::After(cursor),
            (Some(_), Some(cursor)) => {
                errors.push(FieldError::new("offset", "cannot be combined with `cursor`"));
                Start::After(cursor)
            }
        };
        if errors.is_empty() { Ok(Self { limit, start, order, dir }) } else { Err(Error::Invalid(errors)) }
    }

    /// How many items at most.
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// Sorted by what.
    pub fn order(&self) -> &O {
        &self.order
    }

    /// In which direction.
    pub fn dir(&self) -> Dir {
        self.dir
    }

    pub(crate) fn start(&self) -> &Start {
        &self.start
    }
}

/// One page of a list.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// How many the whole list has, counted when its first page was read.
    pub total: u64,
    /// Whether `total` is all of them; if not, there are more than [`MAX_TOTAL`].
    pub total_exact: bool,
    /// How many items come before this page.
    pub offset: u64,
    /// The cursor of the next page, if there is one.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// The same page of something made from the items.
    pub fn map<U>(self, make: impl FnMut(T) -> U) -> Page<U> {
        Page {
            items: self.items.into_iter().map(make).collect(),
            total: self.total,
            total_exact: self.total_exact,
            offset: self.offset,
            next: self.next,
        }
    }
}

//! Lists, page by page.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Error, Request};

/// The pages of a list, in order, each at the same cost.
#[derive(Debug)]
pub struct Pages {
    request: Request,
    items: &'static str,
    next: Next,
}

#[derive(Debug)]
enum Next {
    First,
    At(String),
    None,
}

/// One page.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// How many items the list has, or at least has.
    pub total: u64,
    /// Whether `total` is all of them.
    pub total_exact: bool,
    /// Whether another page follows.
    pub more: bool,
}

impl Pages {
    pub(crate) fn new(request: Request, items: &'static str) -> Self {
        Self { request, items, next: Next::First }
    }

    /// The next page; nothing after the last.
    ///
    /// # Errors
    /// As [`Request::read`].
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<Page<T>>, Error> {
        let request = match &self.next {
            Next::None => return Ok(None),
            Next::First => self.request.again()?,
            Next::At(cursor) => self.request.again()?.requery("cursor", cursor),
        };
        let mut page: Value = request.read().await?;
        let items = page.get_mut(self.items).map(Value::take).unwrap_or_default();
        let items = serde_json::from_value(items)
            .map_err(|error| Error::Foreign(format!("`{}` is not as expected: {error}", self.items)))?;
        let total = page.get("total").and_then(Value::as_u64).unwrap_or_default();
        let total_exact = page.get("total_exact").and_then(Value::as_bool).unwrap_or(true);
        self.next = match page.get("next").and_then(Value::as_str) {
            Some(cursor) if !cursor.is_empty() => Next::At(cursor.to_owned()),
            _ => Next::None,
        };
        Ok(Some(Page { items, total, total_exact, more: matches!(self.next, Next::At(_)) }))
    }

    /// Everything that is left, up to `most` items.
    ///
    /// # Errors
    /// As [`Request::read`].
    pub async fn collect<T: DeserializeOwned>(mut self, most: usize) -> Result<Vec<T>, Error> {
        let mut all = Vec::new();
        while let Some(page) = self.next().await? {
            all.extend(page.items);
            if all.len() >= most {
                break;
            }
        }
        all.truncate(most);
        Ok(all)
    }
}

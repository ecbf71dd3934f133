//! Runs a list: counts once, reads one page by keyset, makes the next cursor.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, postgres::PgRow, sqlite::SqliteRow};

use super::{
    Conn,
    sql::{Arg, Sql},
};
use crate::{
    error::{Error, Result},
    json::JsonObject,
    page::{Dir, MAX_PAGE_BYTES, MAX_TOTAL, Page, PageQuery, Start},
    secret::Keyring,
};

/// A list before its page is cut.
pub(crate) struct Listing {
    /// `SELECT … FROM …`, without WHERE.
    pub(crate) select: Sql,
    /// `SELECT 1 AS one FROM …`: the same rows, for counting.
    pub(crate) count: Sql,
    /// The condition; it contains the caller, so it binds the cursor to them as well.
    pub(crate) filter: Sql,
    /// What the order is by before the id; `None` for the id alone.
    pub(crate) key: Option<OrderKey>,
    /// The column that breaks ties.
    pub(crate) id: &'static str,
    /// How to get at the rows of a page.
    pub(crate) reading: Reading,
}

/// How to get at the rows of a page. It depends on what there is at the moment, so it does not bind
/// the cursor; the listing's filter is checked whichever way they come.
#[derive(Default)]
pub(crate) enum Reading {
    /// As `select` says.
    #[default]
    Plain,
    /// By this instead of `select`.
    Gathered(Sql),
    /// The first rows of each of several parts, each read in the list's order, put together.
    Merged(Merged),
}

/// A list in several parts.
pub(crate) struct Merged {
    /// `SELECT … FROM`.
    pub(crate) columns: &'static str,
    /// The table with its alias, as in `select`.
    pub(crate) table: &'static str,
    /// What `select` joins to it.
    pub(crate) joins: Sql,
    /// The conditions of the parts, which do not overlap and are all there is.
    pub(crate) parts: Vec<Sql>,
}

/// An expression to order by. It differs by engine where collation or time does.
#[derive(Clone, Copy)]
pub(crate) struct OrderKey {
    pub(crate) sqlite: &'static str,
    pub(crate) postgres: &'static str,
}

/// A row that knows its place in the order.
pub(crate) trait Keyed<O> {
    /// The value of the order's expression; must equal what the database computes.
    fn key(&self, order: &O) -> Option<Arg>;
    /// The tie-break.
    fn id(&self) -> Arg;
    /// How many bytes of free-form JSON it holds.
    fn content(&self) -> usize;
}

/// The same of a column.
pub(crate) fn content(json: Option<&sqlx::types::Json<JsonObject>>) -> usize {
    json.map_or(0, |json| json.0.bytes())
}

#[derive(Serialize, Deserialize)]
struct Cursor {
    key: Option<Arg>,
    id: Arg,
    total: u64,
    exact: bool,
    offset: u64,
}

pub(crate) async fn fetch<T, O>(
    conn: &mut Conn,
    keyring: &Keyring,
    listing: Listing,
    query: &PageQuery<O>,
) -> Result<Page<T>>
where
    T: Keyed<O> + Send + Unpin + for<'r> FromRow<'r, PgRow> + for<'r> FromRow<'r, SqliteRow>,
{
    let key = listing.key.map(|key| if conn.is_postgres() { key.postgres } else { key.sqlite });
    let binding = format!("{:?} {:?} {key:?} {}", listing.select, listing.filter, query.dir().as_str());

    let mut past = Sql::default();
    let (total, exact, offset) = match query.start() {
        Start::Offset(offset) => {
            let (total, exact) = count(conn, &listing).await?;
            (total, exact, u64::from(*offset))
        }
        Start::After(text) => {
            let cursor = read(keyring, &binding, text)?;
            match (key, cursor.key) {
                (Some(key), Some(value)) => {
                    past.push(" AND (").push(key).push(", ").push(listing.id).push(")");
                    past.push(beyond(query.dir())).push("(").bind(value).push(", ").bind(cursor.id).push(")");
                }
                _ => {
                    past.push(" AND ").push(listing.id).push(beyond(query.dir())).bind(cursor.id);
                }
            }
            (cursor.total, cursor.exact, cursor.offset)
        }
    };
    let dir = match query.dir() {
        Dir::Asc => " ASC",
        Dir::Desc => " DESC",
    };
    let mut order = Sql::new(" ORDER BY ");
    if let Some(key) = key {
        order.push(key).push(dir).push(", ");
    }
    order.push(listing.id).push(dir);
    let skip = match query.start() {
        Start::Offset(offset) => i64::from(*offset),
        Start::After(_) => 0,
    };
    // One more than asked for tells whether there is a next page.
    let most = i64::from(query.limit()) + 1;

    let mut sql = match &listing.reading {
        Reading::Plain => and_where(&listing.select),
        Reading::Gathered(select) => and_where(select),
        Reading::Merged(merged) => merged.select(&listing, &past, &order, most + skip),
    };
    sql.append(&listing.filter).append(&past).append(&order);
    sql.push(" LIMIT ").bind(Arg::Int(most));
    if skip > 0 {
        sql.push(" OFFSET ").bind(Arg::Int(skip));
    }
    let (mut rows, mut bytes) = (0, 0);
    let (mut items, all) = sql
        .fetch_while(conn, |row: &T| {
            rows += 1;
            // The one beyond the page is not on it.
            if rows <= query.limit() {
                bytes += row.content();
            }
            // Whatever somebody else stored, one item can be had.
            bytes <= MAX_PAGE_BYTES || rows == 1
        })
        .await?;
    if !all {
        return Err(Error::invalid(
            "limit",
            format!(
                "must be at most {} here: a page holds up to {} MiB of metadata and the like",
                items.len(),
                MAX_PAGE_BYTES >> 20
            ),
        ));
    }
    let more = items.len() > query.limit() as usize;
    items.truncate(query.limit() as usize);
    let next = match items.last() {
        Some(last) if more => Some(write(
            keyring,
            &binding,
            &Cursor {
                key: last.key(query.order()),
                id: last.id(),
                total,
                exact,
                offset: offset + items.len() as u64,
            },
        )?),
        _ => None,
    };
    Ok(Page { items, total, total_exact: exact, offset, next })
}

fn and_where(select: &Sql) -> Sql {
    let mut sql = select.clone();
    sql.push(" WHERE ");
    sql
}

impl Merged {
    /// Begins with the ids of the first `most` rows of each part; `CROSS JOIN` holds SQLite to that.
    /// Ends so that the list's condition can follow.
    fn select(&self, listing: &Listing, past: &Sql, order: &Sql, most: i64) -> Sql {
        let mut sql = Sql::new(self.columns);
        sql.push(" (");
        for (at, part) in self.parts.iter().enumerate() {
            sql.push(if at > 0 { " UNION ALL " } else { "" });
            sql.push("SELECT * FROM (SELECT ").push(listing.id).push(" AS first_id FROM ").push(self.table);
            sql.push(" WHERE ").append(part).append(past).append(order);
            sql.push(" LIMIT ").bind(Arg::Int(most)).push(") AS part");
        }
        sql.push(") AS firsts CROSS JOIN ").push(self.table).append(&self.joins);
        sql.push(" WHERE ").push(listing.id).push(" = firsts.first_id AND ");
        sql
    }
}

fn beyond(dir: Dir) -> &'static str {
    match dir {
        Dir::Asc => " > ",
        Dir::Desc => " < ",
    }
}

async fn count(conn: &mut Conn, listing: &Listing) -> Result<(u64, bool)> {
    let mut sql = Sql::new("SELECT count(*) FROM (");
    sql.append(&listing.count).push(" WHERE ").append(&listing.filter);
    sql.push(" LIMIT ").bind(Arg::Int(i64::from(MAX_TOTAL) + 1)).push(") AS counted");
    let counted: Option<(i64,)> = sql.fetch_one(conn).await?;
    let counted = counted.map_or(0, |(counted,)| counted.max(0).unsigned_abs());
    let most = u64::from(MAX_TOTAL);
    Ok((counted.min(most), counted <= most))
}

fn write(keyring: &Keyring, binding: &str, cursor: &Cursor) -> Result<String> {
    let mut bytes = serde_json::to_vec(cursor).map_err(Error::internal)?;
    let mac = keyring.mac("cursor/1", &[bytes.as_slice(), b"\0", binding.as_bytes()].concat());
    bytes.extend_from_slice(mac.get(..MAC_LEN).unwrap_or_default());
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

fn read(keyring: &Keyring, binding: &str, text: &str) -> Result<Cursor> {
    let refusal = || {
        Error::invalid(
            "cursor",
            "is not the `next` of a page of this list with these filters; start again without it",
        )
    };
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| refusal())?;
    let (bytes, mac) = bytes.len().checked_sub(MAC_LEN).map(|at| bytes.split_at(at)).ok_or_else(refusal)?;
    let expected = keyring.mac("cursor/1", &[bytes, b"\0", binding.as_bytes()].concat());
    if expected
        .get(..MAC_LEN)
        .is_none_or(|expected| aws_lc_rs::constant_time::verify_slices_are_equal(expected, mac).is_err())
    {
        return Err(refusal());
    }
    serde_json::from_slice(bytes).map_err(|_| refusal())
}

const MAC_LEN: usize = 16;

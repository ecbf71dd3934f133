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
    page::{Dir, MAX_TOTAL, Page, PageQuery, Start},
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

    let mut sql = listing.select.clone();
    sql.push(" WHERE ").append(&listing.filter);
    let (total, exact, offset) = match query.start() {
        Start::Offset(offset) => {
            let (total, exact) = count(conn, &listing).await?;
            (total, exact, u64::from(*offset))
        }
        Start::After(text) => {
            let cursor = read(keyring, &binding, text)?;
            match (key, cursor.key) {
                (Some(key), Some(value)) => {
                    sql.push(" AND (").push(key).push(", ").push(listing.id).push(")");
                    sql.push(past(query.dir())).push("(").bind(value).push(", ").bind(cursor.id).push(")");
                }
                _ => {
                    sql.push(" AND ").push(listing.id).push(past(query.dir())).bind(cursor.id);
                }
            }
            (cursor.total, cursor.exact, cursor.offset)
        }
    };
    let dir = match query.dir() {
        Dir::Asc => " ASC",
        Dir::Desc => " DESC",
    };
    sql.push(" ORDER BY ");
    if let Some(key) = key {
        sql.push(key).push(dir).push(", ");
    }
    // One more than asked for tells whether there is a next page.
    sql.push(listing.id).push(dir).push(" LIMIT ").bind(Arg::Int(i64::from(query.limit()) + 1));
    if let Start::Offset(offset) = query.start()
        && *offset > 0
    {
        sql.push(" OFFSET ").bind(Arg::Int(i64::from(*offset)));
    }
    let mut items: Vec<T> = sql.fetch_all(conn).await?;
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

fn past(dir: Dir) -> &'static str {
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

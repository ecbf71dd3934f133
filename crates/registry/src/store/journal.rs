//! The journal's rows.

use serde_json::json;
use uuid::Uuid;

use super::{
    Conn, Engine, Tx,
    conflict::translate,
    on,
    page::{self, Keyed, Listing, Reading},
    sql::{Arg, RawJson, Sql},
};
use crate::{
    access::{Administered, actor_of},
    actor::Call,
    error::{Error, Result},
    journal::{Entry, JournalFilter, JournalOrder, Record},
    json::JsonObject,
    page::{Page, PageQuery},
    secret::Keyring,
    text::SearchText,
};

/// Appends the entries, in order, in one statement, and tells their ids.
// tidy: no permit, because an entry is made from the permit of the change it tells of.
pub(crate) async fn append(tx: &mut Tx, call: &Call, entries: &[Entry]) -> Result<Vec<i64>> {
    if entries.is_empty() {
        return Ok(Vec::new());
    }
    tx.mark(entries.iter().flat_map(Entry::marks));
    let (actor_kind, actor_id) = actor_of(&call.actor);
    let now = tx.now();
    if let [entry] = entries {
        let changes = entry.changes.clone().map(RawJson);
        let id = on!(tx, conn => sqlx::query_scalar::<_, i64>(
            "INSERT INTO journal (at, org_id, group_id, actor_kind, actor_id, via, action, subject_kind, subject_id, subject_name, changes, request_id) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) RETURNING id")
            .bind(now).bind(entry.org).bind(entry.group).bind(actor_kind).bind(actor_id).bind(entry.via.as_str())
            .bind(entry.action).bind(entry.subject.kind).bind(entry.subject.id).bind(entry.subject.name.as_deref())
            .bind(changes.clone()).bind(call.request_id.as_str())
            .fetch_one(conn))?;
        return Ok(vec![id]);
    }
    let mut ids: Vec<i64> = match tx.engine() {
        // PostgreSQL unnests typed arrays, SQLite a JSON array with hexadecimal ids: one statement
        // for any number of rows on either.
        Engine::Postgres(conn) => {
            let column = |pick: fn(&Entry) -> Option<Uuid>| entries.iter().map(pick).collect::<Vec<_>>();
            sqlx::query_scalar(
                "INSERT INTO journal (at, org_id, group_id, actor_kind, actor_id, via, action, subject_kind, subject_id, subject_name, changes, request_id) \
                 SELECT $1, e.org, e.grp, $2, $3, e.via, e.action, e.kind, e.subject, e.name, e.changes::jsonb, $4 \
                 FROM unnest($5::uuid[], $6::uuid[], $7::text[], $8::text[], $9::text[], $10::uuid[], $11::text[], $12::text[]) \
                 WITH ORDINALITY AS e(org, grp, via, action, kind, subject, name, changes, at) ORDER BY e.at RETURNING id")
                .bind(now)
                .bind(actor_kind)
                .bind(actor_id)
                .bind(call.request_id.as_str())
                .bind(column(|entry| entry.org.map(|id| id.uuid())))
                .bind(column(|entry| entry.group.map(|id| id.uuid())))
                .bind(entries.iter().map(|entry| entry.via.as_str()).collect::<Vec<_>>())
                .bind(entries.iter().map(|entry| entry.action).collect::<Vec<_>>())
                .bind(entries.iter().map(|entry| entry.subject.kind).collect::<Vec<_>>())
                .bind(entries.iter().map(|entry| entry.subject.id).collect::<Vec<_>>())
                .bind(entries.iter().map(|entry| entry.subject.name.as_deref()).collect::<Vec<_>>())
                .bind(entries.iter().map(|entry| entry.changes.as_deref()).collect::<Vec<_>>())
                .fetch_all(conn)
                .await
        }
        Engine::Sqlite(conn) => {
            let hex = |id: Uuid| id.as_simple().to_string();
            let rows: Vec<_> = entries
                .iter()
                .map(|entry| {
                    json!([
                        entry.org.map(|id| hex(id.uuid())),
                        entry.group.map(|id| hex(id.uuid())),
                        entry.via.as_str(),
                        entry.action,
                        entry.subject.kind,
                        hex(entry.subject.id),
                        entry.subject.name,
                        entry.changes,
                    ])
                })
                .collect();
            let rows = serde_json::to_string(&rows).map_err(Error::internal)?;
            sqlx::query(
                "INSERT INTO journal (at, org_id, group_id, actor_kind, actor_id, via, action, subject_kind, subject_id, subject_name, changes, request_id) \
                 SELECT $1, unhex(value ->> 0), unhex(value ->> 1), $2, $3, value ->> 2, value ->> 3, value ->> 4, unhex(value ->> 5), value ->> 6, value ->> 7, $4 \
                 FROM jsonb_each($5) ORDER BY key")
                .bind(now)
                .bind(actor_kind)
                .bind(actor_id)
                .bind(call.request_id.as_str())
                .bind(rows)
                .execute(conn)
                .await
                // The one writer gets consecutive numbers, and reading a thousand rows back costs more.
                .map(|done| {
                    let count = i64::try_from(entries.len()).unwrap_or(0);
                    (done.last_insert_rowid() - count + 1..=done.last_insert_rowid()).collect()
                })
        }
    }
    .map_err(translate)?;
    // Numbered in the order of the entries, but not necessarily told in it.
    ids.sort_unstable();
    Ok(ids)
}

/// A page of what the caller administers.
pub(crate) async fn list(
    conn: &mut Conn,
    keyring: &Keyring,
    visible: &Administered,
    filter: &JournalFilter,
    query: &PageQuery<JournalOrder>,
) -> Result<Page<Record>> {
    let mut sql: Sql = visible.scopes("j.org_id", "j.group_id");
    let ids = [
        (" AND j.org_id = ", filter.org.map(|id| id.uuid())),
        (" AND j.group_id = ", filter.group.map(|id| id.uuid())),
        (" AND j.actor_id = ", filter.actor),
        (" AND j.subject_id = ", filter.subject),
    ];
    for (condition, id) in ids {
        if let Some(id) = id {
            sql.push(condition).bind(Arg::Id(id));
        }
    }
    if let Some(action) = filter.action.as_ref().map(SearchText::as_str) {
        if action.ends_with('.') {
            // A range instead of LIKE: no wildcard to escape. '/' follows '.'.
            let end = format!("{}/", action.trim_end_matches('.'));
            // By code point, whatever the database's collation; SQLite's is that already.
            let column = if conn.is_postgres() { "j.action COLLATE \"C\"" } else { "j.action" };
            sql.push(" AND ").push(column).push(" >= ").bind(Arg::Text(action.to_owned()));
            sql.push(" AND ").push(column).push(" < ").bind(Arg::Text(end));
        } else {
            sql.push(" AND j.action = ").bind(Arg::Text(action.to_owned()));
        }
    }
    if let Some(since) = filter.since {
        sql.push(" AND j.at >= ").bind(Arg::Time(since));
    }
    if let Some(until) = filter.until {
        sql.push(" AND j.at < ").bind(Arg::Time(until));
    }
    let listing = Listing {
        select: Sql::new(
            "SELECT j.id, j.at, j.org_id, j.group_id, j.actor_kind, j.actor_id, j.via, j.action, j.subject_kind, j.subject_id, j.subject_name, j.changes, j.request_id FROM journal j",
        ),
        count: Sql::new("SELECT 1 AS one FROM journal j"),
        filter: sql,
        key: None,
        id: "j.id",
        reading: Reading::Plain,
    };
    let page: Page<Row> = page::fetch(conn, keyring, listing, query).await?;
    Ok(page.map(Record::from))
}

#[derive(sqlx::FromRow)]
struct Row {
    id: i64,
    at: crate::clock::Timestamp,
    org_id: Option<crate::ids::OrgId>,
    group_id: Option<crate::ids::GroupId>,
    actor_kind: String,
    actor_id: Option<Uuid>,
    via: String,
    action: String,
    subject_kind: String,
    subject_id: Uuid,
    subject_name: Option<String>,
    changes: Option<sqlx::types::Json<JsonObject>>,
    request_id: String,
}

impl Keyed<JournalOrder> for Row {
    fn key(&self, _: &JournalOrder) -> Option<Arg> {
        None
    }
    fn id(&self) -> Arg {
        Arg::Int(self.id)
    }
    fn content(&self) -> usize {
        page::content(self.changes.as_ref())
    }
}

impl From<Row> for Record {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            at: row.at,
            org_id: row.org_id,
            group_id: row.group_id,
            actor_kind: row.actor_kind,
            actor_id: row.actor_id,
            via: row.via,
            action: row.action,
            subject_kind: row.subject_kind,
            subject_id: row.subject_id,
            subject_name: row.subject_name,
            changes: row.changes.map(|json| json.0),
            request_id: row.request_id,
        }
    }
}

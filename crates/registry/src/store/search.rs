//! Finding things by a part of their name or by metadata, among millions.
//!
//! An index proposes candidates; the list's own condition checks each of them again. How to use it
//! depends on how many candidates there are, which a bounded count tells within a millisecond or
//! two; the planners cannot know it. Few candidates: read just those. Many: matches are everywhere,
//! so walking the list in its order finds a page soon.

use super::{
    Conn,
    sql::{Arg, Sql},
};
use crate::{error::Result, json::JsonObject};

/// Up to here candidates are "few".
const FEW: i64 = 2_000;
/// Up to here a list is simply read.
const SMALL: i64 = 20_000;

/// The tokens of the scalars in a JSON text: the expression of migration 0007, for a query.
const TERMS: &str = "(SELECT group_concat(hex(coalesce(CASE WHEN typeof(key) = 'text' THEN key END, '') || CASE type \
     WHEN 'text' THEN '=' || substr(atom, 1, 64) \
     WHEN 'integer' THEN '#' || printf('%.17g', atom) \
     WHEN 'real' THEN '#' || printf('%.17g', atom) \
     ELSE '!' || type END), ' AND ') FROM json_tree(";

/// How to read a filtered list of things, aliased `t`.
pub(crate) struct Plan {
    /// To be added to the condition.
    pub(crate) narrowed: Sql,
    /// What to count: `SELECT 1 AS one FROM …`, without WHERE, and a condition to go before the list's own.
    pub(crate) count: Sql,
}

/// Decides how to apply the filters to the things that `visible` lets through.
pub(crate) async fn plan(
    conn: &mut Conn,
    visible: &Sql,
    name: Option<&str>,
    metadata: Option<&JsonObject>,
) -> Result<Plan> {
    let indexes: Vec<Sql> =
        [name.and_then(|name| by_name(conn, name)), metadata.and_then(|json| by_metadata(conn, json))]
            .into_iter()
            .flatten()
            .collect();
    let mut plan = Plan { narrowed: Sql::default(), count: Sql::new("SELECT 1 AS one FROM things t") };
    let mut wide = Vec::new();
    for candidates in indexes {
        if at_most(conn, &candidates, FEW).await? {
            plan.narrowed.push(if conn.is_postgres() { " AND t.id IN (" } else { " AND t.seq IN (" });
            plan.narrowed.append(&candidates).push(")");
        } else {
            wide.push(candidates);
        }
    }
    // SQLite would count the matches of a large list by reading all of it; coming from the index, it
    // stops at the bound. PostgreSQL's planner does the like by itself.
    if !conn.is_postgres() && plan.narrowed.is_empty() && !wide.is_empty() {
        let mut all = Sql::new("SELECT 1 AS one FROM things t WHERE ");
        all.append(visible);
        if !at_most(conn, &all, SMALL).await? {
            plan.count = Sql::new("SELECT 1 AS one FROM (");
            for (at, candidates) in wide.iter().enumerate() {
                plan.count.push(if at > 0 { " INTERSECT " } else { "" }).append(candidates);
            }
            plan.count.push(") c CROSS JOIN things t ON t.seq = c.rowid");
        }
    }
    Ok(plan)
}

async fn at_most(conn: &mut Conn, rows: &Sql, most: i64) -> Result<bool> {
    let mut sql = Sql::new("SELECT count(*) FROM (");
    sql.append(rows).push(" LIMIT ").bind(Arg::Int(most + 1)).push(") AS counted");
    let counted: Option<(i64,)> = sql.fetch_one(conn).await?;
    Ok(counted.is_none_or(|(counted,)| counted <= most))
}

/// Names shorter than a trigram have no index.
fn by_name(conn: &Conn, name: &str) -> Option<Sql> {
    let folded: Vec<char> = name.to_ascii_lowercase().chars().collect();
    if folded.len() < 3 {
        return None;
    }
    if conn.is_postgres() {
        // OFFSET 0 keeps the planner from looking through: it would walk the list instead.
        let mut sql = Sql::new("SELECT c.id FROM things c WHERE lower(c.name COLLATE \"C\") LIKE ");
        sql.bind(Arg::Text(super::sql::like_pattern(name))).push(" ESCAPE '\\' OFFSET 0");
        return Some(sql);
    }
    let grams: Vec<String> = folded
        .windows(3)
        .map(|gram| format!("\"{}\"", gram.iter().collect::<String>().replace('"', "\"\"")))
        .collect();
    let mut sql = Sql::new("SELECT rowid FROM thing_names WHERE thing_names MATCH ");
    sql.bind(Arg::Text(grams.join(" AND ")));
    Some(sql)
}

/// An object without a scalar in it has no token; it matches by shape alone.
fn by_metadata(conn: &Conn, object: &JsonObject) -> Option<Sql> {
    fn has_scalar(value: &serde_json::Value) -> bool {
        match value {
            serde_json::Value::Object(members) => members.values().any(has_scalar),
            serde_json::Value::Array(items) => items.iter().any(has_scalar),
            _ => true,
        }
    }
    if !object.members().values().any(has_scalar) {
        return None;
    }
    if conn.is_postgres() {
        let mut sql = Sql::new("SELECT c.id FROM things c WHERE c.metadata @> ");
        sql.bind(Arg::Json(object.to_text())).push(" OFFSET 0");
        return Some(sql);
    }
    let mut sql = Sql::new("SELECT rowid FROM thing_terms WHERE thing_terms MATCH ");
    sql.push(TERMS).bind(Arg::Text(object.to_text())).push(") WHERE type NOT IN ('object', 'array'))");
    Some(sql)
}

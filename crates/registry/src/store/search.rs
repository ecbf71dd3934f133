//! Finding things by a part of their name, by metadata, or because they are disabled, among millions.
//!
//! There are two ways to a page. *Gather*: let an index propose candidates, check each, sort what is
//! left; good when there are few. *Walk*: read the list in its order, check each row, stop when the
//! page is full; good when there are many, because then they are everywhere. The planners cannot
//! know which, and a wrong guess costs seconds; a bounded count of the candidates tells within
//! milliseconds. So the decision is made here, and the SQL leaves the planners no other way.

use super::{
    Conn,
    sql::{Arg, Sql, like_pattern},
};
use crate::{error::Result, json::JsonObject};

/// Up to here candidates are gathered. Walking for as many among a million reads about as many rows
/// until a page of a hundred is full.
const FEW: i64 = 10_000;
/// Up to here a list is simply counted by reading it.
const SMALL: i64 = 20_000;

/// The tokens of the scalars in a JSON text: the expression of migration 0007, for a query.
const TERMS: &str = "(SELECT group_concat(hex(coalesce(CASE WHEN typeof(key) = 'text' THEN key END, '') || CASE type \
     WHEN 'text' THEN '=' || substr(atom, 1, 64) \
     WHEN 'integer' THEN '#' || printf('%.17g', atom) \
     WHEN 'real' THEN '#' || printf('%.17g', atom) \
     ELSE '!' || type END), ' AND ') FROM json_tree(";

/// How to read a filtered list of things, aliased `t`.
pub(crate) struct Plan {
    /// What goes after `FROM`.
    pub(crate) source: Sql,
    /// The same, for counting.
    pub(crate) counted: Sql,
    /// Whether the list is walked in its order.
    pub(crate) walked: bool,
}

impl Plan {
    fn walk() -> Self {
        Self { source: Sql::new("things t"), counted: Sql::new("things t"), walked: true }
    }

    fn gather(source: Sql) -> Self {
        Self { counted: source.clone(), source, walked: false }
    }
}

/// Decides how to find what `name`, `metadata` and `disabled` ask for among the things that `visible` lets
/// through. Whatever is decided, the list's own condition must check them again.
pub(crate) async fn plan(
    conn: &mut Conn,
    visible: &Sql,
    name: Option<&str>,
    metadata: Option<&JsonObject>,
    disabled: bool,
) -> Result<Plan> {
    if conn.is_postgres() {
        gin(conn, name, metadata, disabled).await
    } else {
        fts(conn, visible, name, metadata, disabled).await
    }
}

/// PostgreSQL combines its indexes by itself, and gathers when a fence (`OFFSET 0`) hides from it that
/// only a page is wanted.
async fn gin(
    conn: &mut Conn,
    name: Option<&str>,
    metadata: Option<&JsonObject>,
    disabled: bool,
) -> Result<Plan> {
    let mut matches = Sql::default();
    if let Some(name) = name.filter(|name| name.chars().count() >= 3) {
        matches.push(" AND lower(c.name COLLATE \"C\") LIKE ").bind(Arg::Text(like_pattern(name)));
        matches.push(" ESCAPE '\\'");
    }
    if let Some(metadata) = metadata.filter(|metadata| has_scalar(metadata)) {
        matches.push(" AND c.metadata @> ").bind(Arg::Json(metadata.to_text()));
    }
    if disabled {
        matches.push(" AND c.id IN (SELECT thing_id FROM disabled_things)");
    }
    if matches.is_empty() {
        return Ok(Plan::walk());
    }
    let mut probe = Sql::new("SELECT 1 FROM things c WHERE 1 = 1");
    probe.append(&matches).push(" OFFSET 0");
    if !at_most(conn, &probe, FEW).await? {
        return Ok(Plan::walk());
    }
    let mut source = Sql::new("(SELECT * FROM things c WHERE 1 = 1");
    source.append(&matches).push(" OFFSET 0) t");
    Ok(Plan::gather(source))
}

/// SQLite's full-text indexes give row numbers; `CROSS JOIN` makes it begin with them.
async fn fts(
    conn: &mut Conn,
    visible: &Sql,
    name: Option<&str>,
    metadata: Option<&JsonObject>,
    disabled: bool,
) -> Result<Plan> {
    let indexes: Vec<Sql> = [
        name.and_then(name_candidates),
        metadata.and_then(metadata_candidates),
        disabled.then(disabled_candidates),
    ]
    .into_iter()
    .flatten()
    .collect();
    for candidates in &indexes {
        if at_most(conn, candidates, FEW).await? {
            return Ok(Plan::gather(rows_of(candidates)));
        }
    }
    let mut plan = Plan::walk();
    let all = match indexes.as_slice() {
        [] => return Ok(plan),
        [only] => only.clone(),
        [first, rest @ ..] => {
            // Each is frequent; both together need not be.
            let mut all = first.clone();
            for candidates in rest {
                all.push(" INTERSECT ").append(candidates);
            }
            if at_most(conn, &all, FEW).await? {
                return Ok(Plan::gather(rows_of(&all)));
            }
            all
        }
    };
    // Counting what matches in a large list would read all of it; coming from the index, it stops at
    // the bound.
    let mut listed = Sql::new("SELECT 1 FROM things t WHERE ");
    listed.append(visible);
    if !at_most(conn, &listed, SMALL).await? {
        plan.counted = rows_of(&all);
    }
    Ok(plan)
}

fn rows_of(candidates: &Sql) -> Sql {
    let mut sql = Sql::new("(");
    sql.append(candidates).push(") c CROSS JOIN things t ON t.seq = c.rowid");
    sql
}

async fn at_most(conn: &mut Conn, rows: &Sql, most: i64) -> Result<bool> {
    let mut sql = Sql::new("SELECT count(*) FROM (");
    sql.append(rows).push(" LIMIT ").bind(Arg::Int(most + 1)).push(") AS counted");
    let counted: Option<(i64,)> = sql.fetch_one(conn).await?;
    Ok(counted.is_none_or(|(counted,)| counted <= most))
}

/// Names shorter than a trigram have no index.
fn name_candidates(name: &str) -> Option<Sql> {
    let folded: Vec<char> = name.to_ascii_lowercase().chars().collect();
    if folded.len() < 3 {
        return None;
    }
    let grams: Vec<String> = folded
        .windows(3)
        .map(|gram| format!("\"{}\"", gram.iter().collect::<String>().replace('"', "\"\"")))
        .collect();
    let mut sql = Sql::new("SELECT rowid FROM thing_names WHERE thing_names MATCH ");
    sql.bind(Arg::Text(grams.join(" AND ")));
    Some(sql)
}

fn metadata_candidates(object: &JsonObject) -> Option<Sql> {
    if !has_scalar(object) {
        return None;
    }
    let mut sql = Sql::new("SELECT rowid FROM thing_terms WHERE thing_terms MATCH ");
    sql.push(TERMS).bind(Arg::Text(object.to_text())).push(") WHERE type NOT IN ('object', 'array'))");
    Some(sql)
}

fn disabled_candidates() -> Sql {
    Sql::new("SELECT s.seq AS rowid FROM disabled_things x CROSS JOIN things s ON s.id = x.thing_id")
}

/// An object without a scalar in it has nothing that an index holds; it matches by shape alone.
fn has_scalar(object: &JsonObject) -> bool {
    fn within(value: &serde_json::Value) -> bool {
        match value {
            serde_json::Value::Object(members) => members.values().any(within),
            serde_json::Value::Array(items) => items.iter().any(within),
            _ => true,
        }
    }
    object.members().values().any(within)
}

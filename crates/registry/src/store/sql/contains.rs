//! JSON containment for SQLite, which has no `@>`: an object contains another when it has each of its
//! members with a value that contains the other's; an array contains another when each element of
//! the other is contained in one of its own; anything else must be equal in type and value.

use serde_json::Value;

use super::{Arg, Sql};

/// Where to look.
#[derive(Clone)]
pub(super) enum Inside {
    /// A column that holds an object.
    Column(&'static str),
    /// A row of the `json_each` of this depth.
    Element(usize),
}

/// `json_each` aliases by depth; filters nest at most 32 deep (`json::MAX_DEPTH`), plus one.
const ALIASES: [&str; 33] = [
    "e0", "e1", "e2", "e3", "e4", "e5", "e6", "e7", "e8", "e9", "e10", "e11", "e12", "e13", "e14", "e15",
    "e16", "e17", "e18", "e19", "e20", "e21", "e22", "e23", "e24", "e25", "e26", "e27", "e28", "e29", "e30",
    "e31", "e32",
];

/// The object at `inside` has a member `name` whose value contains `value`.
pub(super) fn member(sql: &mut Sql, inside: Inside, name: &str, value: &Value) {
    let depth = open(sql, inside);
    sql.push(alias(depth)).push(".key = ").bind(Arg::Text(name.to_owned())).push(" AND ");
    holds(sql, depth, value);
    sql.push(")");
}

fn open(sql: &mut Sql, inside: Inside) -> usize {
    let depth = match &inside {
        Inside::Column(_) => 0,
        Inside::Element(outer) => outer + 1,
    };
    sql.push("EXISTS (SELECT 1 FROM json_each(");
    match inside {
        Inside::Column(column) => sql.push(column),
        Inside::Element(outer) => sql.push(alias(outer)).push(".value"),
    };
    sql.push(") ").push(alias(depth)).push(" WHERE ");
    depth
}

/// The element of this depth contains `value`.
fn holds(sql: &mut Sql, depth: usize, value: &Value) {
    let at = alias(depth);
    match value {
        Value::Null => {
            sql.push(at).push(".type = 'null'");
        }
        Value::Bool(true) => {
            sql.push(at).push(".type = 'true'");
        }
        Value::Bool(false) => {
            sql.push(at).push(".type = 'false'");
        }
        Value::String(text) => {
            sql.push(at).push(".type = 'text' AND ").push(at).push(".value = ").bind(Arg::Text(text.clone()));
        }
        Value::Number(number) => {
            sql.push(at).push(".type IN ('integer', 'real') AND ").push(at).push(".value = ");
            match number.as_i64() {
                Some(number) => sql.bind(Arg::Int(number)),
                // SQLite's reading of decimals is not exact to the last bit, so both sides are read by it.
                None => sql.push("CAST(").bind(Arg::Text(number.to_string())).push(" AS REAL)"),
            };
        }
        Value::Object(members) => {
            sql.push(at).push(".type = 'object'");
            for (name, value) in members {
                sql.push(" AND ");
                member(sql, Inside::Element(depth), name, value);
            }
        }
        Value::Array(items) => {
            sql.push(at).push(".type = 'array'");
            for item in items {
                sql.push(" AND ");
                let inner = open(sql, Inside::Element(depth));
                holds(sql, inner, item);
                sql.push(")");
            }
        }
    }
}

fn alias(depth: usize) -> &'static str {
    ALIASES.get(depth).copied().unwrap_or("too_deep")
}

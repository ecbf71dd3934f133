//! What a database's tables are like, against what ours are made by: whether it is Mainflux's, and what
//! makes its tables the seed's, without touching a row.
//!
//! What is wanted is not written down again here: the first migration is executed among temporary tables,
//! which are gone with the transaction, and the catalogue is asked about both.

use sqlx::{Connection, Executor, PgConnection, postgres::types::Oid};

use super::{exists, postgres};
use crate::{
    adopt::{Error, Result},
    store::{Conn, Db, Tx, conflict::translate, sql::alter},
};

/// The four tables that every version of Mainflux's has, and the two of one branch.
const TABLES: [&str; 4] = ["groups", "group_memberships", "profiles", "things"];
const INVITES: [&str; 2] = ["group_invites", "dormant_group_invites"];
/// The column that Mainflux and we have, and the seed has not: its type, and its default.
const TYPE: (&str, &str) = ("character varying(32)", "'device'::character varying");
/// What Mainflux's migrations can be: below the first the tables have other names.
const OLDEST: u32 = 8;
const NEWEST: u32 = 10;

/// A database that can be adopted.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// What it is, for a person.
    pub(crate) source: String,
    /// What makes its tables the seed's.
    pub(crate) steps: Vec<Step>,
    /// How many of our first migrations are then done.
    pub(crate) done: i64,
    /// Whether there are tables of invites.
    has_invites: bool,
    /// Whether things have types.
    has_types: bool,
}

/// One change of a table.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// What it does, for a person.
    pub(crate) says: String,
    what: Change,
}

#[derive(Clone, Debug)]
enum Change {
    /// The statement of the first migration that begins so.
    Seed(&'static str),
    /// For the server's `format`, which quotes the names.
    Format(&'static str, Vec<String>),
}

fn step(says: String, template: &'static str, names: &[&str]) -> Step {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    Step { says, what: Change::Format(template, names) }
}

#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
struct Column {
    relation: String,
    name: String,
    kind: String,
    required: bool,
    preset: Option<String>,
}

#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
struct Constraint {
    relation: String,
    name: String,
    kind: String,
    rule: String,
    /// The index that it is, or that a foreign key rests on.
    index: Oid,
}

/// A unique index that belongs to no constraint.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
struct Index {
    relation: String,
    name: String,
    columns: String,
    predicate: Option<String>,
}

struct Shape {
    columns: Vec<Column>,
    constraints: Vec<Constraint>,
    indexes: Vec<Index>,
}

/// Tells what the database is, and what has to be done; refuses what cannot be adopted. Reads only.
pub(crate) async fn recognise(conn: &mut Conn) -> Result<Plan> {
    let conn = postgres(conn)?;
    let migration = mainflux_migration(conn).await?;
    let all: Vec<&str> = TABLES.iter().chain(&INVITES).copied().collect();
    let here: Oid = sqlx::query_scalar("SELECT current_schema()::regnamespace::oid")
        .fetch_one(&mut *conn)
        .await
        .map_err(translate)?;
    let wanted = wanted(conn, &all).await?;
    let found = shape(conn, here, &all).await?;
    let has = |table: &str| found.columns.iter().any(|column| column.relation == table);
    let missing: Vec<&str> = TABLES.into_iter().filter(|table| !has(table)).collect();
    if !missing.is_empty() {
        let others: Vec<String> = sqlx::query_scalar(
            "SELECT relname::text FROM pg_class WHERE relnamespace = $1 AND relkind IN ('r', 'p') ORDER BY relname LIMIT 20",
        )
        .bind(here)
        .fetch_all(&mut *conn)
        .await
        .map_err(translate)?;
        let found = if others.is_empty() { "no tables at all".to_owned() } else { others.join(", ") };
        return Err(Error::refused(format!(
            "this is no database of Mainflux Things: it has no table {}; it has {found}",
            missing.join(", ")
        )));
    }
    strangers(conn, here, &all).await?;

    let mut plan = Plan {
        source: String::new(),
        steps: Vec::new(),
        done: 1,
        has_invites: has(INVITES[0]),
        has_types: false,
    };
    let mut wrong = Vec::new();
    columns(&wanted, &found, &mut plan, &mut wrong);
    constraints(&wanted, &found, &mut plan, &mut wrong);
    // After the constraints: what they refer to must not be something that goes.
    tables(&found, &mut plan);
    indexes(&wanted, &found, &mut plan, &mut wrong);
    if !wrong.is_empty() {
        return Err(Error::refused(format!(
            "these tables are not as Mainflux makes them, and nobody knows what their differences mean: {}",
            wrong.join("; ")
        )));
    }
    if plan.has_types {
        plan.done = 2;
    }
    plan.source = match migration {
        None => "the seed's tables".to_owned(),
        Some(number) => {
            let what = match (plan.has_types, plan.has_invites) {
                (true, _) => ", things with types",
                (false, true) => ", group invites",
                (false, false) => "",
            };
            format!("Mainflux at things_{number}{what}")
        }
    };
    Ok(plan)
}

/// The number of Mainflux's newest migration here; `None` where its table of migrations is not.
async fn mainflux_migration(conn: &mut PgConnection) -> Result<Option<u32>> {
    if !exists(conn, "gorp_migrations").await? {
        return Ok(None);
    }
    let ids: Vec<String> = sqlx::query_scalar("SELECT id::text FROM gorp_migrations ORDER BY id")
        .fetch_all(conn)
        .await
        .map_err(translate)?;
    let number = |id: &String| id.strip_prefix("things_").and_then(|number| number.parse::<u32>().ok());
    if let Some(other) = ids.iter().find(|id| number(id).is_none()) {
        return Err(Error::refused(format!(
            "this is another service's database: it has the migration {other}, where Mainflux Things has things_1, \
             things_2, …; name the one that MF_THINGS_DB names"
        )));
    }
    match ids.iter().filter_map(number).max() {
        None => Err(Error::refused(
            "this database has a table of Mainflux's migrations, and none in it".to_owned(),
        )),
        Some(older @ ..OLDEST) => Err(Error::refused(format!(
            "the schema is at things_{older}; start Mainflux Things of version 0.33 or newer on it once, which brings \
             it up to things_{OLDEST} or beyond, and run this again"
        ))),
        Some(newer) if newer > NEWEST => Err(Error::refused(format!(
            "the schema is at things_{newer}, which is newer than what this program knows (things_{NEWEST})"
        ))),
        known => Ok(known),
    }
}

/// What must not be there: tables that ours would be called, triggers, tables of another owner.
async fn strangers(conn: &mut PgConnection, here: Oid, all: &[&str]) -> Result<()> {
    let ours: Vec<String> = Db::tables().into_iter().filter(|name| !all.contains(&name.as_str())).collect();
    let taken: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relnamespace = $1 AND relname = ANY($2) ORDER BY relname",
    )
    .bind(here)
    .bind(&ours)
    .fetch_all(&mut *conn)
    .await
    .map_err(translate)?;
    if !taken.is_empty() {
        return Err(Error::refused(format!(
            "there are tables here already that Things would make: {}; if another service keeps them, move them to \
             a database or schema of their own",
            taken.join(", ")
        )));
    }
    let triggers: Vec<String> = sqlx::query_scalar(
        "SELECT t.tgname || ' on ' || c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid \
         WHERE c.relnamespace = $1 AND c.relname = ANY($2) AND NOT t.tgisinternal ORDER BY 1",
    )
    .bind(here)
    .bind(all)
    .fetch_all(&mut *conn)
    .await
    .map_err(translate)?;
    if !triggers.is_empty() {
        return Err(Error::refused(format!(
            "these tables have triggers, which Mainflux does not make: {}; remove them first",
            triggers.join(", ")
        )));
    }
    let foreign: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT pg_get_userbyid(relowner)::text FROM pg_class WHERE relnamespace = $1 AND relname = ANY($2) \
         AND NOT pg_has_role(relowner, 'USAGE')",
    )
    .bind(here)
    .bind(all)
    .fetch_all(&mut *conn)
    .await
    .map_err(translate)?;
    match foreign.first() {
        Some(owner) => Err(Error::refused(format!(
            "the tables belong to {owner}: connect as {owner}, because only a table's owner can change it"
        ))),
        None => Ok(()),
    }
}

async fn wanted(conn: &mut PgConnection, tables: &[&str]) -> Result<Shape> {
    let mut tx = conn.begin().await.map_err(translate)?;
    tx.execute("SET LOCAL search_path TO pg_temp").await.map_err(translate)?;
    tx.execute(Db::migration("seed")?).await.map_err(translate)?;
    let temporary: Oid =
        sqlx::query_scalar("SELECT pg_my_temp_schema()").fetch_one(&mut *tx).await.map_err(translate)?;
    let wanted = shape(&mut tx, temporary, tables).await;
    tx.rollback().await.map_err(translate)?;
    wanted
}

async fn shape(conn: &mut PgConnection, namespace: Oid, tables: &[&str]) -> Result<Shape> {
    let columns = sqlx::query_as(
        "SELECT c.relname::text AS relation, a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS kind, \
         a.attnotnull AS required, pg_get_expr(d.adbin, d.adrelid) AS preset \
         FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
         WHERE c.relnamespace = $1 AND c.relname = ANY($2) AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped \
         ORDER BY c.relname, a.attname",
    );
    // Of PostgreSQL 18 on there are constraints for NOT NULL too, which the columns tell already.
    let constraints = sqlx::query_as(
        "SELECT t.relname::text AS relation, c.conname::text AS name, c.contype::text AS kind, pg_get_constraintdef(c.oid) AS rule, c.conindid AS index \
         FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid \
         WHERE t.relnamespace = $1 AND t.relname = ANY($2) AND c.contype NOT IN ('n', 't') ORDER BY t.relname, c.conname",
    );
    let indexes = sqlx::query_as(
        "SELECT t.relname::text AS relation, i.relname::text AS name, \
         (SELECT string_agg(pg_get_indexdef(x.indexrelid, k, true), ', ' ORDER BY k) FROM generate_series(1, x.indnkeyatts) k) AS columns, \
         pg_get_expr(x.indpred, x.indrelid) AS predicate \
         FROM pg_index x JOIN pg_class t ON t.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid \
         WHERE t.relnamespace = $1 AND t.relname = ANY($2) AND x.indisunique \
         AND NOT EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conindid = x.indexrelid) ORDER BY 1, 2",
    );
    Ok(Shape {
        columns: columns.bind(namespace).bind(tables).fetch_all(&mut *conn).await.map_err(translate)?,
        constraints: constraints
            .bind(namespace)
            .bind(tables)
            .fetch_all(&mut *conn)
            .await
            .map_err(translate)?,
        indexes: indexes.bind(namespace).bind(tables).fetch_all(&mut *conn).await.map_err(translate)?,
    })
}

/// How many characters a text may have; `None` for a type that is no text.
fn width(kind: &str) -> Option<u32> {
    let limit = kind.strip_prefix("character varying")?;
    if limit.is_empty() {
        return Some(u32::MAX);
    }
    limit.strip_prefix('(')?.strip_suffix(')')?.parse().ok()
}

fn columns(wanted: &Shape, found: &Shape, plan: &mut Plan, wrong: &mut Vec<String>) {
    let is_there = |table: &str| found.columns.iter().any(|column| column.relation == table);
    for want in wanted.columns.iter().filter(|column| is_there(&column.relation)) {
        let (table, name) = (want.relation.as_str(), want.name.as_str());
        let Some(have) = found.columns.iter().find(|column| column.relation == table && column.name == name)
        else {
            if (table, name) == ("things", "external_key") {
                let says = "add the column things.external_key".to_owned();
                plan.steps.push(step(says, "ALTER TABLE %I ADD COLUMN %I %s", &[table, name, &want.kind]));
            } else {
                wrong.push(format!("{table} has no column {name}"));
            }
            continue;
        };
        if have.kind != want.kind {
            match (width(&have.kind), width(&want.kind)) {
                (Some(narrow), Some(wide)) if narrow < wide => {
                    let says = format!("widen {table}.{name} from {} to {}", have.kind, want.kind);
                    plan.steps.push(step(
                        says,
                        "ALTER TABLE %I ALTER COLUMN %I TYPE %s",
                        &[table, name, &want.kind],
                    ));
                }
                _ => wrong.push(format!("{table}.{name} is {} and should be {}", have.kind, want.kind)),
            }
        }
        match (have.required, want.required) {
            (true, false) => {
                let says = format!("let {table}.{name} be NULL");
                plan.steps.push(step(says, "ALTER TABLE %I ALTER COLUMN %I DROP NOT NULL", &[table, name]));
            }
            (false, true) => wrong.push(format!("{table}.{name} may be NULL")),
            _ => {}
        }
        if have.preset != want.preset {
            let preset = want.preset.as_deref().unwrap_or("NULL");
            let says = format!("set the default of {table}.{name} to {preset}");
            plan.steps.push(step(
                says,
                "ALTER TABLE %I ALTER COLUMN %I SET DEFAULT %s",
                &[table, name, preset],
            ));
        }
    }
    for have in &found.columns {
        if wanted.columns.iter().any(|want| want.relation == have.relation && want.name == have.name) {
            continue;
        }
        let is_type = (have.relation.as_str(), have.name.as_str()) == ("things", "type");
        if is_type && have.required && (have.kind.as_str(), have.preset.as_deref()) == (TYPE.0, Some(TYPE.1))
        {
            plan.has_types = true;
        } else {
            wrong.push(format!("{}.{} ({}) is no column of Mainflux's", have.relation, have.name, have.kind));
        }
    }
}

/// What is unique by itself and by a primary key as well. `UNIQUE` and `PRIMARY KEY` of the same columns are one
/// constraint where they are declared together, as the seed does, and two where one came later, as in Mainflux.
fn is_redundant(have: &Constraint, wanted: &Shape) -> bool {
    let Some(columns) = have.rule.strip_prefix("UNIQUE ") else { return false };
    let is_key = |want: &Constraint| want.rule.strip_prefix("PRIMARY KEY ") == Some(columns);
    wanted.constraints.iter().any(|want| want.relation == have.relation && is_key(want))
}

fn constraints(wanted: &Shape, found: &Shape, plan: &mut Plan, wrong: &mut Vec<String>) {
    let is_there = |table: &str| found.columns.iter().any(|column| column.relation == table);
    let same = |a: &Constraint, b: &Constraint| a.relation == b.relation && a.rule == b.rule;
    let (redundant, others): (Vec<_>, Vec<_>) =
        found.constraints.iter().partition(|have| is_redundant(have, wanted));
    let (resting, mut left): (Vec<_>, Vec<_>) = others
        .into_iter()
        .partition(|have| have.kind == "f" && redundant.iter().any(|unique| unique.index == have.index));
    // Those first that go: a foreign key is made anew on the primary key, and a name may be wanted by another.
    for have in resting {
        let (table, name) = (have.relation.as_str(), have.name.as_str());
        let says = format!("drop the constraint {name} of {table}, to make it anew");
        plan.steps.push(step(says, "ALTER TABLE %I DROP CONSTRAINT %I", &[table, name]));
    }
    for have in redundant {
        let (table, name) = (have.relation.as_str(), have.name.as_str());
        let says = format!("drop the constraint {name} of {table}, which the primary key makes needless");
        plan.steps.push(step(says, "ALTER TABLE %I DROP CONSTRAINT %I", &[table, name]));
    }
    let mut missing: Vec<&Constraint> = Vec::new();
    for want in wanted.constraints.iter().filter(|want| is_there(&want.relation)) {
        match left.iter().position(|have| same(have, want) && have.name == want.name) {
            Some(at) => drop(left.remove(at)),
            None => missing.push(want),
        }
    }
    let mut made = Vec::new();
    for want in missing {
        let (table, name) = (want.relation.as_str(), want.name.as_str());
        if let Some(at) = left.iter().position(|have| same(have, want)) {
            let have = left.remove(at);
            let says = format!("rename the constraint {} of {table} to {name}", have.name);
            made.push(step(says, "ALTER TABLE %I RENAME CONSTRAINT %I TO %I", &[table, &have.name, name]));
        } else {
            let says = format!("add to {table} the constraint {name}: {}", want.rule);
            made.push(step(says, "ALTER TABLE %I ADD CONSTRAINT %I %s", &[table, name, &want.rule]));
        }
    }
    for have in left {
        let (table, name) = (have.relation.as_str(), have.name.as_str());
        let is_twice = wanted.constraints.iter().any(|want| same(have, want));
        // Mainflux's least length of external keys, which our own code keeps.
        let is_length = table == "things" && have.kind == "c" && have.rule.contains("length((external_key)");
        if is_twice || is_length {
            let says = format!("drop the constraint {name} of {table}: {}", have.rule);
            plan.steps.push(step(says, "ALTER TABLE %I DROP CONSTRAINT %I", &[table, name]));
        } else {
            wrong.push(format!("{table} has the constraint {name}: {}", have.rule));
        }
    }
    plan.steps.extend(made);
}

fn tables(found: &Shape, plan: &mut Plan) {
    let is_there = |table: &str| found.columns.iter().any(|column| column.relation == table);
    for table in INVITES.into_iter().filter(|table| !is_there(table)) {
        let begins = match table {
            "group_invites" => "CREATE TABLE IF NOT EXISTS group_invites",
            _ => "CREATE TABLE IF NOT EXISTS dormant_group_invites",
        };
        plan.steps.push(Step { says: format!("make the table {table}"), what: Change::Seed(begins) });
    }
}

fn indexes(wanted: &Shape, found: &Shape, plan: &mut Plan, wrong: &mut Vec<String>) {
    for want in &wanted.indexes {
        if !found.indexes.contains(want) {
            let says = format!("make the unique index {}", want.name);
            plan.steps.push(Step { says, what: Change::Seed("CREATE UNIQUE INDEX") });
        }
    }
    for have in found.indexes.iter().filter(|have| !wanted.indexes.contains(have)) {
        wrong.push(format!("{} has the unique index {} on {}", have.relation, have.name, have.columns));
    }
}

/// Makes the tables the seed's, notes that an adoption has begun, and that our first migrations are done.
/// The rest of them, which make indexes and take their time, come after it, each by itself.
// tidy: no permit, because whoever runs the program owns the database.
pub(crate) async fn begin(tx: &mut Tx, plan: &Plan) -> Result<()> {
    let now = tx.now();
    let conn = postgres(tx)?;
    let seed = Db::migration("seed")?;
    for step in &plan.steps {
        let failed = |error| {
            let error = translate(error);
            // A lock that somebody holds is waited for by trying again.
            match error {
                crate::Error::Unavailable => Error::Registry(error),
                crate::Error::Internal(source) => Error::refused(format!("cannot {}: {source}", step.says)),
                other => Error::refused(format!("cannot {}: {other}", step.says)),
            }
        };
        match &step.what {
            Change::Seed(begins) => {
                let statement =
                    seed.as_str().split(';').map(str::trim_start).find(|text| text.starts_with(begins));
                let statement =
                    statement.ok_or_else(|| crate::Error::internal("the seed lacks a statement"))?;
                alter(conn, statement.to_owned()).await.map_err(failed)?;
            }
            Change::Format(template, names) => {
                let statement: String = sqlx::query_scalar("SELECT format($1, VARIADIC $2::text[])")
                    .bind(*template)
                    .bind(names)
                    .fetch_one(&mut *conn)
                    .await
                    .map_err(translate)?;
                alter(conn, statement).await.map_err(failed)?;
            }
        }
    }
    conn.execute(Db::migration("adoption")?).await.map_err(translate)?;
    sqlx::query("INSERT INTO adoption (source, started_at) VALUES ($1, $2)")
        .bind(&plan.source)
        .bind(now)
        .execute(&mut *conn)
        .await
        .map_err(translate)?;
    Db::skip_migrations(conn, plan.done).await?;
    Ok(())
}

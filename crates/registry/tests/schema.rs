//! The live schema against the contract it began with, and the two engines against each other.

#![allow(clippy::unwrap_used, clippy::panic, reason = "also outside of the functions marked as tests")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use registry::{
    Clock,
    adopt::{Adoption, Fate, Stage},
};
use sqlx::{Connection, PgConnection, SqliteConnection};
use support::{
    Database, Engine, empty, engines, fresh,
    mainflux::{self, Version},
    open, settings,
};

/// The text that everything began with. Its first table refers to its second.
const SEED: &str = include_str!("seed.sql");

const SEED_TABLES: &str =
    "ARRAY['groups', 'group_memberships', 'profiles', 'things', 'group_invites', 'dormant_group_invites']";

#[tokio::test]
async fn the_six_tables_are_the_seeds() {
    if !engines().contains(&Engine::Postgres) {
        return;
    }
    let live = fresh(Engine::Postgres).await;
    expect_the_seeds(&live, "ordinal_position").await;
}

/// The order of columns alone may be another one after an adoption: nothing is read or written by it, and to
/// change it every row would have to be written anew.
#[tokio::test]
async fn the_six_tables_of_an_adopted_database_are_the_seeds() {
    if !engines().contains(&Engine::Postgres) {
        return;
    }
    for version in mainflux::VERSIONS {
        let database = mainflux::things(version, 20).await;
        let before = rows(&database).await;
        let adoption = Adoption::open(settings(&database, Clock::system())).await.unwrap();
        let mut offences = Vec::new();
        let look = adoption.look(None, &mut |offence| offences.push(offence.rule.fate)).await.unwrap();
        assert!(!offences.contains(&Fate::Refused), "{version:?}");
        adoption.begin(&look).await.unwrap();
        adoption.index(&mut |_| ()).await.unwrap();
        adoption.replace_keys(&mut |_| ()).await.unwrap();
        assert_eq!(adoption.stage().await.unwrap(), Stage::Finished);
        adoption.close().await;
        expect_the_seeds(&database, "0").await;
        assert_eq!(rows(&database).await, before, "{version:?}");
        let (mut adopted, ours) =
            (PgConnection::connect(database.url()).await.unwrap(), fresh(Engine::Postgres).await);
        let mut ours = PgConnection::connect(ours.url()).await.unwrap();
        let applied = "SELECT version || ' ' || description || ' ' || encode(checksum, 'hex') FROM _sqlx_migrations WHERE success ORDER BY version";
        let applied = async |conn: &mut PgConnection| lines(conn, applied.to_owned()).await;
        assert_eq!(applied(&mut adopted).await, applied(&mut ours).await);
        assert_eq!(postgres_shapes(&mut adopted).await, {
            let mut shapes = postgres_shapes(&mut ours).await;
            if version != Version::Seed {
                // Left alone.
                let gorp = postgres_shapes(&mut adopted).await.remove("gorp_migrations").unwrap();
                shapes.insert("gorp_migrations".to_owned(), gorp);
            }
            shapes
        });
        let registry = open(&database, Clock::system()).await.unwrap();
        assert_eq!(registry.migrations().await.unwrap().0, registry.migrations().await.unwrap().1);
        registry.close().await;
    }
}

/// What things are, but for their keys and what Mainflux had no column for.
async fn rows(database: &Database) -> Vec<String> {
    let rows = "SELECT concat_ws(' ', id, group_id, profile_id, name, metadata) FROM things ORDER BY id";
    database.texts(rows).await
}

/// `order` is what columns are compared by beside their names.
async fn expect_the_seeds(live: &Database, order: &str) {
    let seed = empty(Engine::Postgres).await;
    let mut seed = PgConnection::connect(seed.url()).await.unwrap();
    sow(&mut seed).await;
    let mut live = PgConnection::connect(live.url()).await.unwrap();

    let (wanted, mut found) = (columns(&mut seed, order).await, columns(&mut live, order).await);
    let added = found.iter().position(|column| column.starts_with("things.type ")).unwrap();
    let position = if order == "0" { 0 } else { 8 };
    assert_eq!(
        found.remove(added),
        format!("things.type {position} character varying(32) null=NO default='device'::character varying")
    );
    assert_eq!(wanted, found);
    assert_eq!(wanted.len(), 32, "{wanted:#?}");

    let (wanted, found) = (constraints(&mut seed).await, constraints(&mut live).await);
    assert_eq!(wanted, found);
    assert!(
        found.contains("things fk_things_profile_id FOREIGN KEY (profile_id) REFERENCES profiles(id) ON UPDATE CASCADE ON DELETE RESTRICT"),
        "{found:#?}"
    );

    let (wanted, found) = (indexes(&mut seed).await, indexes(&mut live).await);
    assert!(wanted.is_subset(&found), "missing: {:#?}", wanted.difference(&found));
    assert!(
        wanted.iter().any(|index| index.contains("unique_group_invitee_pending") && index.contains("WHERE"))
    );
    // More indexes may make a list faster, but none may refuse a row that the seed accepts.
    for extra in found.difference(&wanted) {
        assert!(extra.starts_with("CREATE INDEX "), "{extra}");
    }

    let triggers: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal")
        .fetch_one(&mut live)
        .await
        .unwrap();
    assert_eq!(triggers, 0);
}

/// Executes the seed's statements, each as soon as what it refers to is there.
async fn sow(conn: &mut PgConnection) {
    let mut left: Vec<&'static str> =
        SEED.split(';').map(str::trim).filter(|statement| !statement.is_empty()).collect();
    assert_eq!(left.len(), 7);
    while !left.is_empty() {
        let mut later = Vec::new();
        for statement in &left {
            match sqlx::query(*statement).execute(&mut *conn).await {
                Ok(_) => {}
                // Undefined table.
                Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42P01") => {
                    later.push(*statement);
                }
                Err(error) => panic!("{statement}: {error}"),
            }
        }
        assert!(later.len() < left.len(), "these refer to nothing: {later:?}");
        left = later;
    }
}

async fn lines(conn: &mut PgConnection, sql: String) -> Vec<String> {
    #[expect(clippy::disallowed_methods, reason = "made of this file's literals")]
    let sql = sqlx::AssertSqlSafe(sql);
    sqlx::query_scalar(sql).fetch_all(conn).await.unwrap()
}

async fn columns(conn: &mut PgConnection, order: &str) -> Vec<String> {
    let sql = format!(
        "SELECT table_name || '.' || column_name || ' ' || {order} || ' ' || data_type \
         || COALESCE('(' || character_maximum_length || ')', '') || ' null=' || is_nullable \
         || COALESCE(' default=' || column_default, '') \
         FROM information_schema.columns WHERE table_schema = 'public' AND table_name = ANY({SEED_TABLES}) \
         ORDER BY table_name, column_name"
    );
    lines(conn, sql).await
}

/// Primary, unique and foreign keys and checks: names, columns, rules.
async fn constraints(conn: &mut PgConnection) -> BTreeSet<String> {
    let sql = format!(
        "SELECT t.relname || ' ' || c.conname || ' ' || pg_get_constraintdef(c.oid) \
         FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid \
         WHERE t.relnamespace = 'public'::regnamespace AND t.relname = ANY({SEED_TABLES})"
    );
    lines(conn, sql).await.into_iter().collect()
}

async fn indexes(conn: &mut PgConnection) -> BTreeSet<String> {
    let sql = format!(
        "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename = ANY({SEED_TABLES})"
    );
    lines(conn, sql).await.into_iter().collect()
}

#[test]
fn migrations_are_pairs() {
    let of = |engine: &str| -> Vec<String> {
        let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(engine);
        let mut names: Vec<String> = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let (sqlite, postgres) = (of("sqlite"), of("postgres"));
    assert_eq!(sqlite, postgres);
    for (number, name) in (1..).zip(&sqlite) {
        assert!(name.starts_with(&format!("{number:04}_")) && name.ends_with(".sql"), "{name}");
    }
}

/// Also catches a program that was built before the newest migration was written.
#[tokio::test]
async fn a_database_with_the_present_schema_is_opened_as_it_is() {
    for engine in engines() {
        let database = fresh(engine).await;
        for _ in 0..2 {
            open(&database, Clock::system()).await.unwrap().close().await;
        }
    }
}

/// Each on a thread and a runtime of its own, as processes would.
#[tokio::test]
async fn many_may_open_an_empty_database_at_once() {
    const MANY: usize = 4;
    for engine in engines() {
        for _ in 0..5 {
            let database = empty(engine).await;
            let together = std::sync::Barrier::new(MANY);
            std::thread::scope(|scope| {
                for _ in 0..MANY {
                    scope.spawn(|| {
                        let runtime =
                            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                        together.wait();
                        runtime.block_on(async {
                            open(&database, Clock::system()).await.unwrap().close().await;
                        });
                    });
                }
            });
        }
    }
}

/// Groups and organisations are deleted without reading everybody's access tokens.
#[tokio::test]
async fn tokens_are_found_by_the_place_they_are_bound_to() {
    for engine in engines() {
        let database = fresh(engine).await;
        open(&database, Clock::system()).await.unwrap().close().await;
        for (index, explained) in [
            ("access_tokens_group_id", "DELETE FROM access_tokens WHERE group_id = $1"),
            ("access_tokens_org_id", "DELETE FROM access_tokens WHERE org_id = $1"),
        ] {
            let plan = match engine {
                Engine::Sqlite => {
                    let mut conn = SqliteConnection::connect(database.url()).await.unwrap();
                    #[expect(clippy::disallowed_methods, reason = "made of this file's literals")]
                    let sql = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {explained}"));
                    let steps: Vec<(i64, i64, i64, String)> =
                        sqlx::query_as(sql).bind(vec![7_u8; 16]).fetch_all(&mut conn).await.unwrap();
                    steps.into_iter().map(|(.., step)| step).collect::<Vec<_>>().join("\n")
                }
                Engine::Postgres => {
                    let mut conn = PgConnection::connect(database.url()).await.unwrap();
                    // An empty table is read as a whole otherwise.
                    sqlx::query("SET enable_seqscan = off").execute(&mut conn).await.unwrap();
                    // With a plan for any value, as that of a prepared statement is.
                    sqlx::query("SET plan_cache_mode = force_generic_plan").execute(&mut conn).await.unwrap();
                    lines(&mut conn, format!("PREPARE deletion(uuid) AS {explained}")).await;
                    let id = "00000000-0000-0000-0000-000000000007";
                    let plan = lines(&mut conn, format!("EXPLAIN EXECUTE deletion('{id}')")).await;
                    lines(&mut conn, "DEALLOCATE deletion".to_owned()).await;
                    plan.join("\n")
                }
            };
            assert!(plan.contains(index), "{engine:?}: {plan}");
        }
    }
}

/// What both engines' catalogues can say about a table.
#[derive(Debug, Default, PartialEq)]
struct Shape {
    /// Names, and whether NULL is allowed.
    columns: BTreeMap<String, bool>,
    /// The columns of each primary or unique key, partial ones included.
    keys: BTreeSet<String>,
    /// Column, table referred to, what happens on update and on delete.
    references: BTreeSet<String>,
}

#[tokio::test]
async fn both_engines_have_the_same_tables() {
    if !engines().contains(&Engine::Postgres) {
        return;
    }
    let (sqlite, postgres) = (fresh(Engine::Sqlite).await, fresh(Engine::Postgres).await);
    open(&sqlite, Clock::system()).await.unwrap().close().await;
    let mut conn = SqliteConnection::connect(sqlite.url()).await.unwrap();
    let mut of_sqlite = sqlite_shapes(&mut conn).await;
    // The row number of SQLite's full-text indexes.
    let things = of_sqlite.get_mut("things").unwrap();
    assert!(things.columns.remove("seq").is_some());
    assert!(things.keys.remove("seq"));

    let mut conn = PgConnection::connect(postgres.url()).await.unwrap();
    let mut of_postgres = postgres_shapes(&mut conn).await;
    // SQLite's database belongs to one process, which has nobody to tell.
    for of_several in ["nodes", "revocations"] {
        assert!(of_postgres.remove(of_several).is_some());
    }
    assert_eq!(of_sqlite.keys().collect::<Vec<_>>(), of_postgres.keys().collect::<Vec<_>>());
    for (table, shape) in &of_sqlite {
        assert_eq!(shape, &of_postgres[table], "{table}: SQLite, PostgreSQL");
    }
    assert!(of_sqlite.len() >= 15, "{:?}", of_sqlite.keys());
}

type Row = (String, String, String, String);

fn shapes(columns: Vec<Row>, keys: Vec<Row>, references: Vec<Row>) -> BTreeMap<String, Shape> {
    let mut shapes: BTreeMap<String, Shape> = BTreeMap::new();
    for (table, column, nullable, _) in columns {
        shapes.entry(table).or_default().columns.insert(column, nullable == "YES");
    }
    for (table, key, _, _) in keys {
        shapes.entry(table).or_default().keys.insert(key);
    }
    for (table, column, to, rules) in references {
        shapes.entry(table).or_default().references.insert(format!("{column} → {to} {rules}"));
    }
    shapes
}

async fn sqlite_shapes(conn: &mut SqliteConnection) -> BTreeMap<String, Shape> {
    // Tables of ours: no views, no full-text indexes, nothing of SQLite's or sqlx's own.
    let columns = sqlx::query_as(
        "SELECT t.name, c.name, CASE WHEN c.\"notnull\" OR c.pk THEN 'NO' ELSE 'YES' END, '' \
         FROM pragma_table_list t JOIN pragma_table_info(t.name) c \
         WHERE t.schema = 'main' AND t.type = 'table' AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND t.name <> '_sqlx_migrations'",
    );
    let keys = sqlx::query_as(
        "SELECT t.name, (SELECT group_concat(i.name, ', ') FROM (SELECT name FROM pragma_index_info(k.name) ORDER BY seqno) i), '', '' \
         FROM pragma_table_list t JOIN pragma_index_list(t.name) k \
         WHERE t.schema = 'main' AND t.type = 'table' AND k.\"unique\" AND t.name <> '_sqlx_migrations' \
         UNION SELECT t.name, c.name, '', '' FROM pragma_table_list t JOIN pragma_table_info(t.name) c \
         WHERE t.schema = 'main' AND t.type = 'table' AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND t.name <> '_sqlx_migrations' \
         GROUP BY t.name HAVING c.pk AND sum(c.pk) = 1",
    );
    let references = sqlx::query_as(
        "SELECT t.name, f.\"from\", f.\"table\", f.on_update || ', ' || f.on_delete \
         FROM pragma_table_list t JOIN pragma_foreign_key_list(t.name) f WHERE t.schema = 'main' AND t.type = 'table'",
    );
    shapes(
        columns.fetch_all(&mut *conn).await.unwrap(),
        keys.fetch_all(&mut *conn).await.unwrap(),
        references.fetch_all(&mut *conn).await.unwrap(),
    )
}

async fn postgres_shapes(conn: &mut PgConnection) -> BTreeMap<String, Shape> {
    let columns = sqlx::query_as(
        "SELECT table_name::text, column_name::text, is_nullable::text, '' FROM information_schema.columns \
         WHERE table_schema = 'public' AND table_name <> '_sqlx_migrations' \
         AND table_name NOT IN (SELECT table_name FROM information_schema.views WHERE table_schema = 'public')",
    );
    let keys = sqlx::query_as(
        "SELECT t.relname::text, (SELECT string_agg(a.attname, ', ' ORDER BY k.at) FROM unnest(i.indkey) WITH ORDINALITY k(attnum, at) \
           JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.attnum), '', '' \
         FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid \
         WHERE i.indisunique AND t.relnamespace = 'public'::regnamespace AND t.relname <> '_sqlx_migrations'",
    );
    let references = sqlx::query_as(
        "SELECT t.relname::text, a.attname::text, r.relname::text, \
           CASE c.confupdtype WHEN 'c' THEN 'CASCADE' ELSE 'NO ACTION' END || ', ' \
           || CASE c.confdeltype WHEN 'c' THEN 'CASCADE' WHEN 'r' THEN 'RESTRICT' ELSE 'NO ACTION' END \
         FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid JOIN pg_class r ON r.oid = c.confrelid \
         JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = c.conkey[1] WHERE c.contype = 'f'",
    );
    shapes(
        columns.fetch_all(&mut *conn).await.unwrap(),
        keys.fetch_all(&mut *conn).await.unwrap(),
        references.fetch_all(&mut *conn).await.unwrap(),
    )
}

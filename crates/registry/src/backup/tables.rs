//! The tables as backups and moves see them: in the order in which rows depend on each other, with the
//! values that each column takes.
//!
//! A table or column that is new to the schema is entered here: a test compares this list with the database's own
//! catalogue.

mod list;

use uuid::Uuid;

pub(crate) use list::TABLES;

use super::rules::Rule;
use crate::{clock::Timestamp, json::JsonObject};

/// What a column holds, whatever the engine calls it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Id,
    Int,
    Bool,
    Text,
    Time,
    /// An object within the limits of metadata.
    Json,
    /// An object that holds a few of those: what changed, before and after.
    Changes,
    Bytes,
}

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    Null,
    Id(Uuid),
    Int(i64),
    Bool(bool),
    Text(String),
    Time(Timestamp),
    Json(JsonObject),
    Bytes(Vec<u8>),
}

impl Cell {
    pub(crate) fn id(&self) -> Option<Uuid> {
        match self {
            Self::Id(id) => Some(*id),
            _ => None,
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// About how much memory it takes.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Text(text) => text.len() + 32,
            Self::Json(object) => object.bytes() + 32,
            Self::Bytes(bytes) => bytes.len() + 32,
            Self::Null | Self::Id(_) | Self::Int(_) | Self::Bool(_) | Self::Time(_) => 32,
        }
    }
}

/// A column.
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) nullable: bool,
    /// What else a value that comes from outside has to be.
    pub(crate) rule: Rule,
}

impl Column {
    const fn or_null(self) -> Self {
        Self { nullable: true, ..self }
    }
}

/// Which of a table's rows are in a backup.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kept {
    All,
    /// Those of which this is true.
    Where(&'static str),
    /// None: they are true of one installation at one time only.
    Moved,
}

/// A table.
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [Column],
    /// What its rows are told apart and ordered by.
    pub(crate) key: &'static [&'static str],
    pub(crate) kept: Kept,
    /// Columns that name rows of other tables, and which.
    pub(crate) refers: &'static [(&'static str, &'static str)],
    /// Whether the database numbers its rows.
    pub(crate) numbered: bool,
}

impl Table {
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        TABLES.iter().find(|table| table.name == name)
    }

    /// Its place in the order.
    pub(crate) fn position(&self) -> usize {
        TABLES.iter().position(|table| table.name == self.name).unwrap_or(TABLES.len())
    }

    /// The value of a column.
    pub(crate) fn cell<'r>(&self, row: &'r [Cell], column: &str) -> &'r Cell {
        let at = self.columns.iter().position(|known| known.name == column);
        at.and_then(|at| row.get(at)).unwrap_or(&Cell::Null)
    }
}

impl Table {
    const fn refers(self, refers: &'static [(&'static str, &'static str)]) -> Self {
        Self { refers, ..self }
    }
}

/// What a backup says that it leaves out. Of invites it has those that are settled.
pub(crate) const LEFT_OUT: &[&str] = &[
    "sessions",
    "access_tokens",
    "password_resets",
    "pending invites",
    "mails",
    "idempotency_keys",
    "imports",
    "failed_checks",
    "nodes",
    "revocations",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Clock,
        store::{Db, Engine},
    };

    /// Tables that nothing is ever copied from: the records of migrations and of an adoption, and what SQLite keeps for
    /// itself and for finding things, which triggers write. (What processes tell each other is in PostgreSQL only, and is of no use
    /// to another database.)
    const NEVER: &[&str] = &["_sqlx_migrations", "adoption", "sqlite_sequence", "thing_names", "thing_terms"];

    #[tokio::test]
    async fn every_table_and_column_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", dir.path().join("things.db").display());
        let db = Db::open(&url, 1, Clock::system()).await.unwrap();
        let mut conn = db.read().await.unwrap();
        let Engine::Sqlite(conn) = conn.engine() else { unreachable!() };
        let found: Vec<(String, String, String)> = sqlx::query_as(
            "SELECT m.name, c.name, c.type FROM sqlite_master m JOIN pragma_table_info(m.name) c \
             WHERE m.type = 'table' ORDER BY m.name, c.cid",
        )
        .fetch_all(conn)
        .await
        .unwrap();
        let mut there = Vec::new();
        for (table, column, declared) in &found {
            let is_shadow = table.starts_with("thing_names_") || table.starts_with("thing_terms_");
            if NEVER.contains(&table.as_str()) || is_shadow || (table == "things" && column == "seq") {
                continue;
            }
            let known = Table::named(table).unwrap_or_else(|| panic!("{table} is not in TABLES"));
            let known = known.columns.iter().find(|known| known.name == column);
            let known = known.unwrap_or_else(|| panic!("{table}.{column} is not in TABLES"));
            let fits = match known.kind {
                Kind::Id | Kind::Bytes => "BLOB",
                Kind::Int | Kind::Bool | Kind::Time => "INTEGER",
                Kind::Text | Kind::Json | Kind::Changes => "TEXT",
            };
            assert_eq!(declared, fits, "{table}.{column}");
            there.push((table.as_str(), column.as_str()));
        }
        for table in TABLES {
            for column in table.columns {
                assert!(there.contains(&(table.name, column.name)), "{}.{}", table.name, column.name);
            }
            for name in table.key.iter().chain(table.refers.iter().map(|(name, _)| name)) {
                assert!(table.columns.iter().any(|column| column.name == *name), "{}.{name}", table.name);
            }
            for (_, target) in table.refers {
                assert!(Table::named(target).unwrap().position() < table.position(), "{}", table.name);
            }
        }
    }
}

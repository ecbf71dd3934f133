//! The tables as backups and moves see them: in the order in which rows depend on each other, with the
//! values that each column takes.
//!
//! A table or column that is new to the schema is entered here: a test compares this list with the database's own
//! catalogue.

use uuid::Uuid;

use super::rules::{self, Rule};
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

const fn column(name: &'static str, kind: Kind, rule: Rule) -> Column {
    Column { name, kind, nullable: false, rule }
}

const fn id(name: &'static str) -> Column {
    column(name, Kind::Id, rules::anything)
}

const fn text(name: &'static str, rule: Rule) -> Column {
    column(name, Kind::Text, rule)
}

const fn time(name: &'static str) -> Column {
    column(name, Kind::Time, rules::anything)
}

const fn json(name: &'static str) -> Column {
    column(name, Kind::Json, rules::anything).or_null()
}

const fn bytes(name: &'static str, rule: Rule) -> Column {
    column(name, Kind::Bytes, rule)
}

const fn int(name: &'static str) -> Column {
    column(name, Kind::Int, rules::count)
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

const fn table(
    name: &'static str,
    columns: &'static [Column],
    key: &'static [&'static str],
    kept: Kept,
) -> Table {
    Table { name, columns, key, kept, refers: &[], numbered: false }
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
    "failed_checks",
    "nodes",
    "revocations",
];

const SETTLED: &str = "state <> 'pending'";

/// All of them.
pub(crate) const TABLES: &[Table] = &[
    table(
        "installation",
        &[
            column("one", Kind::Int, rules::count),
            time("created_at"),
            text("pepper_canary", rules::anything),
            bytes("kek_canary", rules::anything),
        ],
        &["one"],
        Kept::Moved,
    ),
    table(
        "users",
        &[
            id("id"),
            text("email", rules::email),
            text("password_hash", rules::password_hash).or_null(),
            text("status", rules::user_status),
            text("platform_role", rules::platform_role).or_null(),
            json("metadata"),
            time("created_at"),
            time("updated_at"),
            time("verified_at").or_null(),
        ],
        &["id"],
        Kept::All,
    ),
    table(
        "orgs",
        &[
            id("id"),
            text("name", rules::org_name),
            text("description", rules::description).or_null(),
            json("metadata"),
            time("created_at"),
            time("updated_at"),
        ],
        &["id"],
        Kept::All,
    ),
    table(
        "org_memberships",
        &[id("org_id"), id("member_id"), text("role", rules::role)],
        &["org_id", "member_id"],
        Kept::All,
    )
    .refers(&[("org_id", "orgs"), ("member_id", "users")]),
    table(
        "groups",
        &[
            id("id"),
            id("org_id"),
            text("name", rules::group_name),
            text("description", rules::description).or_null(),
            json("metadata"),
            time("created_at").or_null(),
            time("updated_at").or_null(),
        ],
        &["id"],
        Kept::All,
    )
    .refers(&[("org_id", "orgs")]),
    table(
        "group_memberships",
        &[id("group_id"), id("member_id"), text("role", rules::role)],
        &["group_id", "member_id"],
        Kept::All,
    )
    .refers(&[("group_id", "groups")]),
    table(
        "profiles",
        &[
            id("id"),
            id("group_id"),
            text("name", rules::profile_name),
            column("config", Kind::Json, rules::config).or_null(),
            json("metadata"),
        ],
        &["id"],
        Kept::All,
    )
    .refers(&[("group_id", "groups")]),
    table(
        "things",
        &[
            id("id"),
            id("group_id"),
            text("key", rules::verifier),
            text("external_key", rules::external_key).or_null(),
            text("name", rules::thing_name),
            json("metadata"),
            id("profile_id"),
            text("type", rules::thing_type),
        ],
        &["id"],
        Kept::All,
    )
    .refers(&[("group_id", "groups"), ("profile_id", "profiles")]),
    table(
        "credential_index",
        &[
            text("verifier", rules::verifier),
            id("thing_id"),
            text("kind", rules::indexed_as),
            time("not_after").or_null(),
        ],
        &["verifier"],
        Kept::All,
    )
    .refers(&[("thing_id", "things")]),
    table("thing_key_material", &[id("thing_id"), bytes("sealed", rules::sealed)], &["thing_id"], Kept::All)
        .refers(&[("thing_id", "things")]),
    table(
        "thing_activity",
        &[
            id("thing_id"),
            time("seen_at"),
            time("key_at").or_null(),
            time("previous_at").or_null(),
            time("external_at").or_null(),
        ],
        &["thing_id"],
        Kept::All,
    )
    .refers(&[("thing_id", "things")]),
    table("disabled_things", &[id("thing_id"), time("since")], &["thing_id"], Kept::All)
        .refers(&[("thing_id", "things")]),
    table(
        "retired_credentials",
        &[
            text("verifier", rules::verifier),
            id("thing_id"),
            text("reason", rules::retired_because),
            time("retired_at"),
        ],
        &["verifier"],
        Kept::All,
    )
    .refers(&[("thing_id", "things")]),
    table(
        "org_invites",
        &[
            id("id"),
            id("org_id"),
            id("invitee_id").or_null(),
            text("invitee_email", rules::email),
            text("invitee_role", rules::granted_role),
            id("inviter_id"),
            text("mode", rules::invite_mode),
            text("redirect_path", rules::redirect_path).or_null(),
            text("state", rules::settled),
            time("created_at"),
            time("expires_at"),
        ],
        &["id"],
        Kept::Where(SETTLED),
    )
    .refers(&[("org_id", "orgs")]),
    table(
        "platform_invites",
        &[
            id("id"),
            id("org_invite_id").or_null(),
            text("invitee_email", rules::email),
            id("inviter_id"),
            bytes("digest", rules::sha256),
            text("redirect_path", rules::redirect_path).or_null(),
            text("state", rules::settled),
            time("created_at"),
            time("expires_at"),
        ],
        &["id"],
        Kept::Where(
            "state <> 'pending' AND (org_invite_id IS NULL OR EXISTS \
             (SELECT 1 FROM org_invites o WHERE o.id = org_invite_id AND o.state <> 'pending'))",
        ),
    )
    .refers(&[("org_invite_id", "org_invites")]),
    table(
        "group_invites",
        &[
            id("id"),
            id("invitee_id").or_null(),
            id("inviter_id"),
            id("group_id"),
            text("invitee_role", rules::granted_role),
            time("created_at").or_null(),
            time("expires_at").or_null(),
            text("state", rules::settled),
        ],
        &["id"],
        Kept::Where(SETTLED),
    )
    .refers(&[("group_id", "groups")]),
    table(
        "dormant_group_invites",
        &[id("group_invite_id"), id("org_invite_id")],
        &["group_invite_id", "org_invite_id"],
        Kept::Moved,
    )
    .refers(&[("group_invite_id", "group_invites")]),
    table(
        "invite_mails",
        &[id("id"), id("inviter_id"), bytes("digest", rules::anything).or_null(), time("at")],
        &["id"],
        Kept::Moved,
    ),
    table(
        "sessions",
        &[id("id"), id("user_id"), bytes("digest", rules::sha256), time("created_at"), time("expires_at")],
        &["id"],
        Kept::Moved,
    )
    .refers(&[("user_id", "users")]),
    table(
        "access_tokens",
        &[
            id("id"),
            id("user_id"),
            text("name", rules::anything),
            bytes("digest", rules::sha256),
            column("can_write", Kind::Bool, rules::anything),
            id("org_id").or_null(),
            id("group_id").or_null(),
            time("created_at"),
            time("expires_at").or_null(),
            time("last_used_at").or_null(),
        ],
        &["id"],
        Kept::Moved,
    )
    .refers(&[("user_id", "users")]),
    table(
        "password_resets",
        &[bytes("digest", rules::sha256), id("user_id"), time("expires_at")],
        &["digest"],
        Kept::Moved,
    )
    .refers(&[("user_id", "users")]),
    Table {
        numbered: true,
        ..table(
            "journal",
            &[
                int("id"),
                time("at"),
                id("org_id").or_null(),
                id("group_id").or_null(),
                text("actor_kind", rules::actor_kind),
                id("actor_id").or_null(),
                text("via", rules::via),
                text("action", rules::action),
                text("subject_kind", rules::subject_kind),
                id("subject_id"),
                text("subject_name", rules::subject_name).or_null(),
                column("changes", Kind::Changes, rules::anything).or_null(),
                text("request_id", rules::request_id),
            ],
            &["id"],
            Kept::All,
        )
    },
    table(
        "mails",
        &[
            id("id"),
            int("journal_id"),
            text("kind", rules::anything),
            bytes("payload", rules::anything).or_null(),
            time("created_at"),
            time("next_attempt_at").or_null(),
            int("attempts"),
            text("last_error", rules::anything).or_null(),
            time("sent_at").or_null(),
            time("failed_at").or_null(),
        ],
        &["id"],
        Kept::Moved,
    ),
    table(
        "idempotency_keys",
        &[
            bytes("digest", rules::anything),
            bytes("body_digest", rules::anything),
            bytes("sealed", rules::anything).or_null(),
            time("created_at"),
        ],
        &["digest"],
        Kept::Moved,
    ),
    Table {
        numbered: true,
        ..table(
            "failed_checks",
            &[
                int("id"),
                time("at"),
                text("reason", rules::anything),
                time("since").or_null(),
                text("kind", rules::anything),
                text("front", rules::anything),
                text("source", rules::anything).or_null(),
                id("thing_id").or_null(),
                int("times"),
            ],
            &["id"],
            Kept::Moved,
        )
        .refers(&[("thing_id", "things")])
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Clock,
        store::{Db, Engine},
    };

    /// Tables that nothing is ever copied from: the record of migrations, and what SQLite keeps for itself and for
    /// finding things, which triggers write. (What processes tell each other is in PostgreSQL only, and is of no use
    /// to another database.)
    const NEVER: &[&str] = &["_sqlx_migrations", "sqlite_sequence", "thing_names", "thing_terms"];

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

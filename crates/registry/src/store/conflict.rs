//! What a database's error means: PostgreSQL names the violated constraint, SQLite its columns; this
//! file maps both to one conflict. Values in the messages (PostgreSQL's DETAIL prints keys) go no
//! further than here.

use sqlx::error::ErrorKind;

use crate::error::{ConflictKind, Error};

/// Constraint names on PostgreSQL, columns on SQLite, and the conflict they stand for.
const UNIQUE: &[(&str, &str, ConflictKind)] = &[
    ("groups_pkey", "groups.id", ConflictKind::IdTaken),
    ("groups_id_key", "groups.id", ConflictKind::IdTaken),
    ("org_name", "groups.org_id, groups.name", ConflictKind::GroupNameTaken),
    (
        "group_memberships_pkey",
        "group_memberships.group_id, group_memberships.member_id",
        ConflictKind::AlreadyMember,
    ),
    ("profiles_pkey", "profiles.id", ConflictKind::IdTaken),
    ("profiles_id_key", "profiles.id", ConflictKind::IdTaken),
    ("group_name_prs", "profiles.group_id, profiles.name", ConflictKind::ProfileNameTaken),
    ("things_pkey", "things.id", ConflictKind::IdTaken),
    ("things_id_key", "things.id", ConflictKind::IdTaken),
    ("group_name_ths", "things.group_id, things.name", ConflictKind::ThingNameTaken),
    ("things_key_key", "things.key", ConflictKind::CredentialUnavailable),
    ("things_external_key_key", "things.external_key", ConflictKind::CredentialUnavailable),
    ("credential_index_pkey", "credential_index.verifier", ConflictKind::CredentialUnavailable),
    ("users_email_key", "users.email", ConflictKind::EmailTaken),
    ("users_pkey", "users.id", ConflictKind::IdTaken),
    ("orgs_pkey", "orgs.id", ConflictKind::IdTaken),
    (
        "org_memberships_pkey",
        "org_memberships.org_id, org_memberships.member_id",
        ConflictKind::AlreadyMember,
    ),
    ("mails_pkey", "mails.id", ConflictKind::IdTaken),
    ("idempotency_keys_pkey", "idempotency_keys.digest", ConflictKind::InFlight),
];

/// Turns a driver's error into the registry's.
pub(crate) fn translate(error: sqlx::Error) -> Error {
    let database = match error {
        sqlx::Error::Database(database) => database,
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => return Error::Unavailable,
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => {
            tracing::warn!(%error, "the connection to the database broke");
            return Error::Unavailable;
        }
        other => return Error::internal(other),
    };
    match database.kind() {
        ErrorKind::UniqueViolation => {
            let columns = database.message().strip_prefix("UNIQUE constraint failed: ");
            let known = UNIQUE.iter().find(|(constraint, sqlite, _)| {
                database.constraint() == Some(constraint) || columns == Some(sqlite)
            });
            match known {
                Some((_, _, kind)) => Error::conflict(*kind),
                None => Error::internal(format!(
                    "a unique constraint without a name in conflict.rs: {:?} {:?}",
                    database.constraint(),
                    columns
                )),
            }
        }
        // What was referred to went away between the check and the write; the repeated use case
        // will not find it.
        ErrorKind::ForeignKeyViolation => Error::Collision,
        _ => match database.code().as_deref() {
            // Serialisation failure, deadlock.
            Some("40001" | "40P01") => Error::Collision,
            // Lock timeout, shutting down, too many connections, disk full, read-only.
            Some("55P03" | "57P01" | "57P02" | "57P03" | "53300" | "53100" | "25006") => {
                tracing::warn!(code = ?database.code(), "the database refuses work");
                Error::Unavailable
            }
            // SQLite: busy, busy snapshot, locked, I/O error, full, read-only, cannot open.
            Some("5" | "517" | "6" | "13" | "8" | "14") => {
                tracing::warn!(message = database.message(), "the database refuses work");
                Error::Unavailable
            }
            code => Error::internal(format!("database error {code:?}: {}", database.message())),
        },
    }
}

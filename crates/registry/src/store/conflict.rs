//! What a database's error means: PostgreSQL names the violated constraint, SQLite its columns; this
//! file maps both to one conflict. Values in the messages (PostgreSQL's DETAIL prints keys) go no
//! further than here.

use sqlx::{
    error::{DatabaseError, ErrorKind},
    sqlite::SqliteError,
};

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
    (
        "org_invites_pending",
        "org_invites.org_id, org_invites.invitee_email, org_invites.inviter_id",
        ConflictKind::AlreadyInvited,
    ),
    (
        "unique_group_invitee_pending",
        "group_invites.invitee_id, group_invites.group_id",
        ConflictKind::AlreadyInvited,
    ),
    ("platform_invites_pending", "platform_invites.invitee_email", ConflictKind::AlreadyInvited),
    ("mails_pkey", "mails.id", ConflictKind::IdTaken),
    ("idempotency_keys_pkey", "idempotency_keys.digest", ConflictKind::InFlight),
    ("imports_pkey", "imports.digest", ConflictKind::InFlight),
    ("import_batches_pkey", "import_batches.digest, import_batches.batch", ConflictKind::InFlight),
];

/// What a row has against it that was not stored.
pub(crate) enum Violation {
    /// There is one like it: the columns that must differ, as far as they are known.
    Unique(String),
    /// It refers to a row that is not there.
    Foreign,
    /// Something else, which is not the row's fault or a limit of the column.
    Other(Error),
}

/// Which rule of the schema a row breaks.
pub(crate) fn violation(error: sqlx::Error) -> Violation {
    let sqlx::Error::Database(database) = &error else { return Violation::Other(translate(error)) };
    match database.kind() {
        ErrorKind::UniqueViolation => {
            if let Some(columns) = database.message().strip_prefix("UNIQUE constraint failed: ") {
                return Violation::Unique(columns.to_owned());
            }
            let constraint = database.constraint().unwrap_or_default();
            let known = UNIQUE.iter().find(|(name, ..)| *name == constraint);
            Violation::Unique(known.map_or(constraint, |(_, columns, _)| columns).to_owned())
        }
        ErrorKind::ForeignKeyViolation => Violation::Foreign,
        _ => Violation::Other(translate(error)),
    }
}

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
        _ if sqlite_code(&*database).is_some_and(refuses_work) => {
            tracing::warn!(code = ?database.code(), message = database.message(), "the database refuses work");
            Error::Unavailable
        }
        _ => match database.code().as_deref() {
            // Serialisation failure, deadlock.
            Some("40001" | "40P01") => Error::Collision,
            // Lock timeout, shutting down, too many connections, disk full, read-only.
            Some("55P03" | "57P01" | "57P02" | "57P03" | "53300" | "53100" | "25006") => {
                tracing::warn!(code = ?database.code(), "the database refuses work");
                Error::Unavailable
            }
            code => Error::internal(format!("database error {code:?}: {}", database.message())),
        },
    }
}

/// SQLite's own number for an error. Those of PostgreSQL can look like numbers, too.
fn sqlite_code(database: &dyn DatabaseError) -> Option<i32> {
    database.try_downcast_ref::<SqliteError>()?;
    database.code()?.parse().ok()
}

/// Whether SQLite could do it at another time. The last byte says what happened, those before it where:
/// an I/O error has thirty forms.
fn refuses_work(code: i32) -> bool {
    // Busy, locked, no memory, read-only, I/O error, full, cannot open, locking protocol.
    matches!(code & 0xff, 5 | 6 | 7 | 8 | SQLITE_IO | 13 | 14 | 15)
}

const SQLITE_IO: i32 = 10;

/// Whether a commit that failed so may still come to light: SQLite was reading or writing the file, and
/// may have written the commit without getting it onto the disk.
pub(crate) fn commit_may_have_happened(database: &dyn DatabaseError) -> bool {
    sqlite_code(database).is_some_and(|code| code & 0xff == SQLITE_IO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_a_sqlite_error_is_in_its_last_byte() {
        // BUSY, BUSY_SNAPSHOT, LOCKED_SHAREDCACHE, READONLY_DBMOVED, IOERR, its READ, SHORT_READ, WRITE,
        // FSYNC and DIR_FSYNC, FULL, CANTOPEN, CANTOPEN_ISDIR, PROTOCOL.
        for code in [5, 517, 262, 1032, 10, 266, 522, 778, 1034, 1290, 13, 14, 526, 15] {
            assert!(refuses_work(code), "{code}");
        }
        // ERROR, INTERNAL, CORRUPT, CORRUPT_INDEX, SCHEMA, CONSTRAINT_CHECK, MISUSE, NOTADB.
        for code in [1, 2, 11, 779, 17, 275, 21, 26] {
            assert!(!refuses_work(code), "{code}");
        }
    }
}

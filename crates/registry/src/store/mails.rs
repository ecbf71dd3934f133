//! Mails' rows, and the names and addresses that go into mails.

use std::collections::HashMap;

use serde_json::json;
use uuid::Uuid;

use super::{
    Conn, Engine, Tx,
    conflict::translate,
    on, rows,
    sql::{Arg, Sql},
};
use crate::{
    access::{Action, EndMemberships, Permit},
    clock::Timestamp,
    error::{Error, Result},
    identity::users::UserStatus,
    ids::{GroupId, MailId, OrgId, UserId},
    mail::{ABANDONED, FAILED_KEPT, MailStatus, Place, SENT_KEPT, Sealed},
    text::Email,
};

/// Stores letters, due at once, in one statement.
// tidy: no permit, because a letter is part of the entry of the change it tells of.
pub(crate) async fn insert(tx: &mut Tx, letters: &[Sealed]) -> Result<()> {
    let now = tx.now();
    match tx.engine() {
        // As in the journal: typed arrays on PostgreSQL, a JSON array with hexadecimal bytes on SQLite.
        Engine::Postgres(conn) => sqlx::query(
            "INSERT INTO mails (id, journal_id, kind, payload, created_at, next_attempt_at, attempts) \
             SELECT m.id, m.journal_id, m.kind, m.payload, $1, $1, 0 \
             FROM unnest($2::uuid[], $3::bigint[], $4::text[], $5::bytea[]) AS m(id, journal_id, kind, payload)")
            .bind(now)
            .bind(letters.iter().map(|letter| letter.id.uuid()).collect::<Vec<_>>())
            .bind(letters.iter().map(|letter| letter.journal_id).collect::<Vec<_>>())
            .bind(letters.iter().map(|letter| letter.kind).collect::<Vec<_>>())
            .bind(letters.iter().map(|letter| letter.payload.as_slice()).collect::<Vec<_>>())
            .execute(conn)
            .await
            .map(drop),
        Engine::Sqlite(conn) => {
            let rows: Vec<_> = letters
                .iter()
                .map(|letter| {
                    let id = letter.id.uuid().as_simple().to_string();
                    json!([id, letter.journal_id, letter.kind, hex(&letter.payload)])
                })
                .collect();
            sqlx::query(
                "INSERT INTO mails (id, journal_id, kind, payload, created_at, next_attempt_at, attempts) \
                 SELECT unhex(value ->> 0), value ->> 1, value ->> 2, unhex(value ->> 3), $1, $1, 0 FROM jsonb_each($2)")
                .bind(now)
                .bind(serde_json::to_string(&rows).map_err(Error::internal)?)
                .execute(conn)
                .await
                .map(drop)
        }
    }
    .map_err(translate)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Takes back what waits to be sent about these invites.
// tidy: no permit, because it is a consequence of the change whose entry is being written.
pub(crate) async fn withdraw(tx: &mut Tx, invites: &[Uuid]) -> Result<()> {
    for chunk in invites.chunks(5_000) {
        let mut sql = Sql::new(
            "DELETE FROM mails WHERE next_attempt_at IS NOT NULL AND journal_id IN (SELECT id FROM journal WHERE subject_kind = 'invite' AND subject_id IN (",
        );
        sql.bind_all(chunk.iter().map(|id| Arg::Id(*id))).push("))");
        sql.execute(tx).await?;
    }
    Ok(())
}

/// Whether a mail is due: asked before a write transaction is begun for nothing.
pub(crate) async fn any_due(conn: &mut Conn, now: Timestamp) -> Result<bool> {
    let due: Option<(MailId,)> = on!(conn, conn => sqlx::query_as("SELECT id FROM mails WHERE next_attempt_at <= $1 LIMIT 1")
        .bind(now).fetch_optional(conn))?;
    Ok(due.is_some())
}

/// A mail that this transaction has taken.
#[derive(sqlx::FromRow)]
pub(crate) struct Claimed {
    pub(crate) id: MailId,
    pub(crate) payload: Option<Vec<u8>>,
    pub(crate) created_at: Timestamp,
    pub(crate) attempts: i64,
}

/// Takes the mails that have been due longest: counts the attempt and puts the next one off until
/// `again`. Of two that ask at once the second waits here and then finds the rows put off.
// tidy: no permit, because the program sends what was written with a permit.
pub(crate) async fn claim(tx: &mut Tx, most: u32, again: Timestamp) -> Result<Vec<Claimed>> {
    let now = tx.now();
    on!(tx, conn => sqlx::query_as(
        "UPDATE mails SET next_attempt_at = $1, attempts = attempts + 1 \
         WHERE id IN (SELECT id FROM mails WHERE next_attempt_at <= $2 ORDER BY next_attempt_at, id LIMIT $3) AND next_attempt_at <= $2 \
         RETURNING id, payload, created_at, attempts")
        .bind(again).bind(now).bind(i64::from(most)).fetch_all(conn))
}

/// Notes that a mail was sent. Whoever has claimed it meanwhile sends it a second time.
// tidy: no permit, because the program tells what became of its mail.
pub(crate) async fn sent(tx: &mut Tx, id: MailId) -> Result<()> {
    let now = tx.now();
    rows!(tx, sqlx::query(
        "UPDATE mails SET sent_at = $2, next_attempt_at = NULL, payload = NULL, last_error = NULL WHERE id = $1 AND sent_at IS NULL")
        .bind(id).bind(now))?;
    Ok(())
}

/// Notes that an attempt failed, unless another one has begun since.
// tidy: no permit, because the program tells what became of its mail.
pub(crate) async fn put_off(
    tx: &mut Tx,
    id: MailId,
    attempt: u32,
    next: Timestamp,
    reason: &str,
) -> Result<()> {
    rows!(
        tx,
        sqlx::query("UPDATE mails SET next_attempt_at = $3, last_error = $4 WHERE id = $1 AND attempts = $2 AND next_attempt_at IS NOT NULL")
            .bind(id)
            .bind(i64::from(attempt))
            .bind(next)
            .bind(reason)
    )?;
    Ok(())
}

/// Notes that a mail will not be sent.
// tidy: no permit, because the program tells what became of its mail.
pub(crate) async fn give_up(tx: &mut Tx, id: MailId, reason: &str) -> Result<()> {
    let now = tx.now();
    rows!(
        tx,
        sqlx::query("UPDATE mails SET failed_at = $2, next_attempt_at = NULL, payload = NULL, last_error = $3 WHERE id = $1 AND next_attempt_at IS NOT NULL")
            .bind(id)
            .bind(now)
            .bind(reason)
    )?;
    Ok(())
}

/// Forgets mails that were sent or given up long ago, and the content of those that nobody sends:
/// mail was switched off, or each attempt ended its worker.
// tidy: no permit, because the program tidies up after itself.
pub(crate) async fn sweep(tx: &mut Tx) -> Result<u64> {
    let now = tx.now();
    rows!(tx, sqlx::query(
        "UPDATE mails SET failed_at = $1, next_attempt_at = NULL, payload = NULL WHERE next_attempt_at IS NOT NULL AND created_at <= $2")
        .bind(now).bind(now.before(ABANDONED)))?;
    let sent = rows!(tx, sqlx::query("DELETE FROM mails WHERE sent_at <= $1").bind(now.before(SENT_KEPT)))?;
    let failed =
        rows!(tx, sqlx::query("DELETE FROM mails WHERE failed_at <= $1").bind(now.before(FAILED_KEPT)))?;
    Ok(sent + failed)
}

/// How mail is doing.
pub(crate) async fn status(conn: &mut Conn, now: Timestamp) -> Result<MailStatus> {
    let day_ago = now.before(std::time::Duration::from_secs(24 * 3600));
    let (waiting, oldest): (i64, Option<Timestamp>) = on!(conn, conn => sqlx::query_as(
        "SELECT count(*), min(created_at) FROM mails WHERE next_attempt_at IS NOT NULL").fetch_one(conn))?;
    let given_up: i64 = on!(conn, conn => sqlx::query_scalar("SELECT count(*) FROM mails WHERE failed_at > $1")
        .bind(day_ago).fetch_one(conn))?;
    let last_error: Option<(String,)> = if waiting + given_up == 0 {
        None
    } else {
        on!(conn, conn => sqlx::query_as(
            "SELECT last_error FROM mails WHERE last_error IS NOT NULL AND (next_attempt_at IS NOT NULL OR failed_at > $1) \
             ORDER BY COALESCE(failed_at, next_attempt_at) DESC LIMIT 1")
            .bind(day_ago).fetch_optional(conn))?
    };
    Ok(MailStatus {
        waiting: waiting.unsigned_abs(),
        oldest: oldest.map_or_else(Default::default, |oldest| now.since(oldest)),
        given_up: given_up.unsigned_abs(),
        last_error: last_error.map(|(text,)| text),
    })
}

/// Who did something, and those they can be reached at whom it concerns.
pub(crate) struct Addressees {
    pub(crate) by: Option<Email>,
    pub(crate) to: HashMap<UserId, Email>,
}

/// The addresses of those of `members` who can log in, and of who acts.
pub(crate) async fn addressees(conn: &mut Conn, actor: UserId, members: &[UserId]) -> Result<Addressees> {
    let mut sql = Sql::new("SELECT id, email, status FROM users WHERE id IN (");
    let everybody = members.iter().chain([&actor]).map(|id| Arg::Id(id.uuid()));
    sql.bind_all(everybody).push(")");
    let found: Vec<(UserId, Email, String)> = sql.fetch_all(conn).await?;
    let mut addressees = Addressees { by: None, to: HashMap::with_capacity(found.len()) };
    for (id, email, status) in found {
        if id == actor {
            addressees.by = Some(email);
        } else if UserStatus::from_stored(&status) == UserStatus::Enabled {
            addressees.to.insert(id, email);
        }
    }
    Ok(addressees)
}

/// What a group and its organisation are called.
pub(crate) async fn group_place<A: Action>(
    conn: &mut Conn,
    permit: &Permit<A, GroupId>,
) -> Result<Option<Place>> {
    let found: Option<(String, Option<String>)> = on!(conn, conn => sqlx::query_as(
        "SELECT g.name, o.name FROM groups g LEFT JOIN orgs o ON o.id = g.org_id WHERE g.id = $1")
        .bind(permit.target()).fetch_optional(conn))?;
    Ok(found.map(|(group, org)| Place { org: org.unwrap_or_default(), groups: vec![group] }))
}

/// What an organisation is called.
pub(crate) async fn org_place<A: Action>(
    conn: &mut Conn,
    permit: &Permit<A, OrgId>,
) -> Result<Option<Place>> {
    let found: Option<(String,)> = on!(conn, conn => sqlx::query_as("SELECT name FROM orgs WHERE id = $1")
        .bind(permit.target()).fetch_optional(conn))?;
    Ok(found.map(|(org,)| Place { org, groups: Vec::new() }))
}

/// What groups of an organisation are called, those that changed hands when somebody left it.
pub(crate) async fn group_names(
    conn: &mut Conn,
    permit: &Permit<EndMemberships, OrgId>,
    groups: &[GroupId],
) -> Result<Vec<String>> {
    let mut sql = Sql::new("SELECT name FROM groups WHERE org_id = ");
    sql.bind(Arg::Id(permit.target().uuid())).push(" AND id IN (");
    sql.bind_all(groups.iter().map(|id| Arg::Id(id.uuid()))).push(") ORDER BY id");
    let found: Vec<(String,)> = sql.fetch_all(conn).await?;
    Ok(found.into_iter().map(|(name,)| name).collect())
}

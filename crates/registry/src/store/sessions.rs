//! Log-in sessions' and password resets' rows: secrets as digests only.

use super::{Conn, Tx, on, rows};
use crate::{
    access::{AccountPermit, PlatformPermit, SelfPermit},
    actor::{CredentialUsed, PlatformRole, UserActor},
    clock::Timestamp,
    error::Result,
    identity::users::UserStatus,
    ids::{SessionId, UserId},
    secret::Secret,
};

use super::users::Account;

/// A session and whose it is.
pub(crate) struct Found {
    pub(crate) id: SessionId,
    pub(crate) user: UserId,
    pub(crate) platform_role: Option<PlatformRole>,
}

/// The session of a token, if it is still valid and its owner enabled: one indexed read.
pub(crate) async fn find(conn: &mut Conn, token: &Secret, now: Timestamp) -> Result<Option<Found>> {
    let found: Option<(SessionId, UserId, String, Option<String>)> = on!(conn, conn => sqlx::query_as(
        "SELECT s.id, s.user_id, u.status, u.platform_role FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.digest = $1 AND s.expires_at > $2")
        .bind(token.digest()).bind(now).fetch_optional(conn))?;
    Ok(found.filter(|(_, _, status, _)| UserStatus::from_stored(status) == UserStatus::Enabled).map(
        |(id, user, _, role)| Found {
            id,
            user,
            platform_role: role.as_deref().and_then(PlatformRole::parse),
        },
    ))
}

/// Whether a session has not been ended meanwhile; asked under the lock of its owner's row.
pub(crate) async fn is_live(conn: &mut Conn, permit: &SelfPermit, id: SessionId) -> Result<bool> {
    let found: Option<(SessionId,)> = on!(conn, conn => sqlx::query_as("SELECT id FROM sessions WHERE id = $1 AND user_id = $2")
        .bind(id).bind(permit.user()).fetch_optional(conn))?;
    Ok(found.is_some())
}

/// Whether what the person came in by is still there and their account enabled.
pub(crate) async fn holds(conn: &mut Conn, user: &UserActor) -> Result<bool> {
    let (sql, id) = match &user.credential {
        CredentialUsed::Session(id) => (
            "SELECT u.status FROM sessions c JOIN users u ON u.id = c.user_id WHERE c.id = $1 AND u.id = $2",
            id.uuid(),
        ),
        CredentialUsed::Token { id, .. } => (
            "SELECT u.status FROM access_tokens c JOIN users u ON u.id = c.user_id WHERE c.id = $1 AND u.id = $2",
            id.uuid(),
        ),
    };
    let status: Option<(String,)> =
        on!(conn, conn => sqlx::query_as(sql).bind(id).bind(user.id).fetch_optional(conn))?;
    Ok(status.is_some_and(|(status,)| UserStatus::from_stored(&status) == UserStatus::Enabled))
}

// tidy: no permit, because the account's password has just been proved.
pub(crate) async fn insert(
    tx: &mut Tx,
    account: &Account,
    id: SessionId,
    token: &Secret,
    expires_at: Timestamp,
) -> Result<()> {
    let now = tx.now();
    rows!(
        tx,
        sqlx::query(
            "INSERT INTO sessions (id, user_id, digest, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)"
        )
        .bind(id)
        .bind(account.id)
        .bind(token.digest())
        .bind(now)
        .bind(expires_at)
    )?;
    Ok(())
}

/// Ends one session; tells whether it was there.
pub(crate) async fn delete(tx: &mut Tx, permit: &SelfPermit, id: SessionId) -> Result<bool> {
    let ended = rows!(
        tx,
        sqlx::query("DELETE FROM sessions WHERE id = $1 AND user_id = $2").bind(id).bind(permit.user())
    )?;
    Ok(ended > 0)
}

/// Ends a person's other sessions and forgets their resets: the password has changed.
pub(crate) async fn delete_others(tx: &mut Tx, permit: &SelfPermit, kept: SessionId) -> Result<()> {
    let user = permit.user();
    rows!(tx, sqlx::query("DELETE FROM sessions WHERE user_id = $1 AND id <> $2").bind(user).bind(kept))?;
    rows!(tx, sqlx::query("DELETE FROM password_resets WHERE user_id = $1").bind(user))?;
    Ok(())
}

/// Takes away all by which somebody could come in without the password: the account is closed.
pub(crate) async fn delete_all(tx: &mut Tx, _: &PlatformPermit, account: &AccountPermit) -> Result<()> {
    all_of(tx, account.user()).await
}

/// The same for one whose password was reset.
// tidy: no permit, because the reset's token has just been proved.
pub(crate) async fn delete_all_after_reset(tx: &mut Tx, account: &Account) -> Result<()> {
    all_of(tx, account.id).await
}

async fn all_of(tx: &mut Tx, user: UserId) -> Result<()> {
    rows!(tx, sqlx::query("DELETE FROM sessions WHERE user_id = $1").bind(user))?;
    rows!(tx, sqlx::query("DELETE FROM access_tokens WHERE user_id = $1").bind(user))?;
    rows!(tx, sqlx::query("DELETE FROM password_resets WHERE user_id = $1").bind(user))?;
    Ok(())
}

/// Forgets sessions and resets that are over.
// tidy: no permit, because the program tidies up after itself.
pub(crate) async fn sweep(tx: &mut Tx) -> Result<u64> {
    let now = tx.now();
    let sessions = rows!(tx, sqlx::query("DELETE FROM sessions WHERE expires_at <= $1").bind(now))?;
    let resets = rows!(tx, sqlx::query("DELETE FROM password_resets WHERE expires_at <= $1").bind(now))?;
    Ok(sessions + resets)
}

/// Makes a reset the account's only one.
// tidy: no permit, because anybody may ask; the token goes to the account's own address.
pub(crate) async fn replace_reset(
    tx: &mut Tx,
    account: &Account,
    token: &Secret,
    expires_at: Timestamp,
) -> Result<()> {
    rows!(tx, sqlx::query("DELETE FROM password_resets WHERE user_id = $1").bind(account.id))?;
    rows!(
        tx,
        sqlx::query("INSERT INTO password_resets (digest, user_id, expires_at) VALUES ($1, $2, $3)")
            .bind(token.digest())
            .bind(account.id)
            .bind(expires_at)
    )?;
    Ok(())
}

/// Whose reset this is, if it is still valid.
pub(crate) async fn find_reset(conn: &mut Conn, token: &Secret, now: Timestamp) -> Result<Option<UserId>> {
    on!(conn, conn => sqlx::query_scalar("SELECT user_id FROM password_resets WHERE digest = $1 AND expires_at > $2")
        .bind(token.digest()).bind(now).fetch_optional(conn))
}

/// Uses a reset up; tells whether it was still there.
// tidy: no permit, because the token is the right.
pub(crate) async fn use_reset(tx: &mut Tx, token: &Secret) -> Result<bool> {
    let now = tx.now();
    let used = rows!(
        tx,
        sqlx::query("DELETE FROM password_resets WHERE digest = $1 AND expires_at > $2")
            .bind(token.digest())
            .bind(now)
    )?;
    Ok(used > 0)
}

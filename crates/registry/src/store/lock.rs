//! Row locks on PostgreSQL; on SQLite the write transaction itself is the lock, and these do nothing.
//!
//! The order is always organisation → group → profile → thing → account, several of a kind in
//! ascending id, so that no two use cases wait for each other. The strength says what may go on meanwhile:
//! members change under NO KEY UPDATE, while things and profiles, whose foreign keys take KEY SHARE,
//! can still be created.

use super::{Engine, Tx, conflict::translate};
use crate::{
    error::Result,
    ids::{GroupId, OrgId, ProfileId, ThingId, UserId},
};

/// Who shares an organisation's row.
#[derive(Clone, Copy)]
pub(crate) enum OrgLock {
    /// Groups come, group members come: its own members stay as they are.
    Share,
    /// Its members or its description change.
    Change,
    /// It goes.
    Delete,
}

/// Who shares a group's row.
#[derive(Clone, Copy)]
pub(crate) enum GroupLock {
    /// Things and profiles change.
    Contents,
    /// Members, invites or its description change.
    Members,
    /// It goes.
    Delete,
}

macro_rules! lock {
    ($tx:expr, $sql:expr, $ids:expr) => {
        match $tx.engine() {
            Engine::Sqlite(_) => Ok(()),
            Engine::Postgres(conn) => {
                let mut ids: Vec<uuid::Uuid> = $ids;
                ids.sort_unstable();
                sqlx::query($sql).bind(ids).execute(conn).await.map(drop).map_err(translate)
            }
        }
    };
}

pub(crate) async fn org(tx: &mut Tx, id: OrgId, lock: OrgLock) -> Result<()> {
    orgs(tx, &[id], lock).await
}

pub(crate) async fn orgs(tx: &mut Tx, ids: &[OrgId], lock: OrgLock) -> Result<()> {
    let sql = match lock {
        OrgLock::Share => "SELECT 1 FROM orgs WHERE id = ANY($1) ORDER BY id FOR SHARE",
        OrgLock::Change => "SELECT 1 FROM orgs WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE",
        OrgLock::Delete => "SELECT 1 FROM orgs WHERE id = ANY($1) ORDER BY id FOR UPDATE",
    };
    lock!(tx, sql, ids.iter().map(|id| id.uuid()).collect())
}

/// Locks all groups of organisations that are about to go, so that those of several organisations
/// come in ascending order too.
pub(crate) async fn groups_of_orgs(tx: &mut Tx, ids: &[OrgId]) -> Result<()> {
    lock!(
        tx,
        "SELECT 1 FROM groups WHERE org_id = ANY($1) ORDER BY id FOR UPDATE",
        ids.iter().map(|id| id.uuid()).collect()
    )
}

/// Shares the organisation that a group belongs to; taken before the group itself.
pub(crate) async fn org_of_group(tx: &mut Tx, id: GroupId) -> Result<()> {
    orgs_of_groups(tx, &[id]).await
}

/// Shares the organisations that groups belong to; taken before the groups themselves.
pub(crate) async fn orgs_of_groups(tx: &mut Tx, ids: &[GroupId]) -> Result<()> {
    lock!(
        tx,
        "SELECT 1 FROM orgs WHERE id IN (SELECT org_id FROM groups WHERE id = ANY($1)) ORDER BY id FOR SHARE",
        ids.iter().map(|id| id.uuid()).collect()
    )
}

pub(crate) async fn groups(tx: &mut Tx, ids: &[GroupId], lock: GroupLock) -> Result<()> {
    let sql = match lock {
        GroupLock::Contents => "SELECT 1 FROM groups WHERE id = ANY($1) ORDER BY id FOR KEY SHARE",
        GroupLock::Members => "SELECT 1 FROM groups WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE",
        GroupLock::Delete => "SELECT 1 FROM groups WHERE id = ANY($1) ORDER BY id FOR UPDATE",
    };
    lock!(tx, sql, ids.iter().map(|id| id.uuid()).collect())
}

/// Locks the groups that these profiles belong to. A profile never changes its group.
pub(crate) async fn groups_of_profiles(tx: &mut Tx, ids: &[ProfileId]) -> Result<()> {
    lock!(
        tx,
        "SELECT 1 FROM groups WHERE id IN (SELECT group_id FROM profiles WHERE id = ANY($1)) ORDER BY id FOR KEY SHARE",
        ids.iter().map(|id| id.uuid()).collect()
    )
}

/// Keeps profiles from going while things are put on them.
pub(crate) async fn profiles_shared(tx: &mut Tx, ids: &[ProfileId]) -> Result<()> {
    lock!(
        tx,
        "SELECT 1 FROM profiles WHERE id = ANY($1) ORDER BY id FOR KEY SHARE",
        ids.iter().map(|id| id.uuid()).collect()
    )
}

/// Changes or deletes profiles.
pub(crate) async fn profiles(tx: &mut Tx, ids: &[ProfileId]) -> Result<()> {
    lock!(
        tx,
        "SELECT 1 FROM profiles WHERE id = ANY($1) ORDER BY id FOR UPDATE",
        ids.iter().map(|id| id.uuid()).collect()
    )
}

/// Locks the groups that these things belong to at this moment. A thing may move before it is
/// itself locked: `things` comes next, and the permission read after both tells where it is.
pub(crate) async fn groups_of_things(tx: &mut Tx, ids: &[ThingId]) -> Result<()> {
    lock!(
        tx,
        "SELECT 1 FROM groups WHERE id IN (SELECT group_id FROM things WHERE id = ANY($1)) ORDER BY id FOR KEY SHARE",
        ids.iter().map(|id| id.uuid()).collect()
    )
}

/// Changes or deletes things.
pub(crate) async fn things(tx: &mut Tx, ids: &[ThingId]) -> Result<()> {
    lock!(
        tx,
        "SELECT 1 FROM things WHERE id = ANY($1) ORDER BY id FOR UPDATE",
        ids.iter().map(|id| id.uuid()).collect()
    )
}

/// Changes accounts: last in the order. Rows that refer to an account can be made meanwhile, since
/// its id never changes.
pub(crate) async fn users(tx: &mut Tx, ids: &[UserId]) -> Result<()> {
    lock!(
        tx,
        "SELECT 1 FROM users WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE",
        ids.iter().map(|id| id.uuid()).collect()
    )
}

/// Keeps accounts as they are while something rests on what their owners may do: nobody is shut out
/// between the look and the change.
pub(crate) async fn users_shared(tx: &mut Tx, ids: &[UserId]) -> Result<()> {
    lock!(
        tx,
        "SELECT 1 FROM users WHERE id = ANY($1) ORDER BY id FOR SHARE",
        ids.iter().map(|id| id.uuid()).collect()
    )
}

/// Keeps the platform's administrators as they are, until one of them is changed.
pub(crate) async fn platform_admins(tx: &mut Tx) -> Result<()> {
    match tx.engine() {
        Engine::Sqlite(_) => Ok(()),
        Engine::Postgres(conn) => {
            sqlx::query("SELECT 1 FROM users WHERE platform_role IS NOT NULL ORDER BY id FOR NO KEY UPDATE")
                .execute(conn)
                .await
                .map(drop)
                .map_err(translate)
        }
    }
}

/// Keeps accounts from being made, so that of two processes on an empty database one makes the first.
pub(crate) async fn all_users(tx: &mut Tx) -> Result<()> {
    match tx.engine() {
        Engine::Sqlite(_) => Ok(()),
        Engine::Postgres(conn) => sqlx::query("LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE")
            .execute(conn)
            .await
            .map(drop)
            .map_err(translate),
    }
}

/// Keeps everybody else from changing what a restore fills, until its commit.
pub(crate) async fn everything(tx: &mut Tx) -> Result<()> {
    match tx.engine() {
        Engine::Sqlite(_) => Ok(()),
        Engine::Postgres(conn) => sqlx::query(
            "LOCK TABLE users, orgs, groups, profiles, things, journal IN SHARE ROW EXCLUSIVE MODE",
        )
        .execute(conn)
        .await
        .map(drop)
        .map_err(translate),
    }
}

/// Makes several processes look one after the other whether a backup is due.
pub(crate) async fn schedule(tx: &mut Tx) -> Result<()> {
    match tx.engine() {
        Engine::Sqlite(_) => Ok(()),
        Engine::Postgres(conn) => sqlx::query("LOCK TABLE installation IN EXCLUSIVE MODE")
            .execute(conn)
            .await
            .map(drop)
            .map_err(translate),
    }
}

//! What makes invites, accepts them and wakes them. Every change of a state is guarded by the state before
//! it, so that of many who come at once one wins.

use super::{MOST_ROWS, end::link_gone, ids};
use crate::{
    access::{Administer, Answer, ArrivalPermit, InvitePermit, Permit, PlatformPermit, Role, Withdraw},
    clock::Timestamp,
    error::Result,
    ids::{GroupId, InviteId, OrgId, UserId},
    invites::life::{Accepted, InviteMode, InviteState},
    secret::Secret,
    store::{
        Tx, rows,
        sql::{Arg, Sql},
    },
    text::{Email, RedirectPath},
};

/// A new invite to an organisation.
pub(crate) struct NewOrgRow {
    pub(crate) id: InviteId,
    pub(crate) invitee: Option<UserId>,
    pub(crate) email: Email,
    pub(crate) role: Role,
    pub(crate) mode: InviteMode,
    pub(crate) redirect_path: Option<RedirectPath>,
}

/// A new invite to the platform.
pub(crate) struct NewPlatformRow {
    pub(crate) id: InviteId,
    pub(crate) org_invite: Option<InviteId>,
    pub(crate) email: Email,
    pub(crate) secret: Secret,
    pub(crate) redirect_path: Option<RedirectPath>,
}

fn opens(sql: &mut Sql, item: usize) -> &mut Sql {
    sql.push(if item == 0 { "(" } else { ", (" })
}

fn id_or_null(sql: &mut Sql, id: Option<uuid::Uuid>) -> &mut Sql {
    match id {
        Some(id) => sql.bind(Arg::Id(id)),
        None => sql.push("NULL"),
    }
}

fn path_or_null<'s>(sql: &'s mut Sql, path: Option<&RedirectPath>) -> &'s mut Sql {
    match path {
        Some(path) => sql.bind(Arg::Text(path.as_str().to_owned())),
        None => sql.push("NULL"),
    }
}

pub(crate) async fn insert_orgs(
    tx: &mut Tx,
    permit: &Permit<Administer, OrgId>,
    inviter: UserId,
    invites: &[NewOrgRow],
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<()> {
    for chunk in invites.chunks(MOST_ROWS) {
        let mut sql = Sql::new(
            "INSERT INTO org_invites (id, org_id, invitee_id, invitee_email, invitee_role, inviter_id, mode, redirect_path, state, created_at, expires_at) VALUES ",
        );
        for (item, invite) in chunk.iter().enumerate() {
            opens(&mut sql, item).bind(Arg::Id(invite.id.uuid())).push(", ");
            sql.bind(Arg::Id(permit.target().uuid())).push(", ");
            id_or_null(&mut sql, invite.invitee.map(UserId::uuid)).push(", ");
            sql.bind(Arg::Text(invite.email.as_str().to_owned())).push(", ");
            sql.bind(Arg::Text(invite.role.as_str().to_owned())).push(", ");
            sql.bind(Arg::Id(inviter.uuid())).push(", ");
            sql.bind(Arg::Text(invite.mode.as_str().to_owned())).push(", ");
            path_or_null(&mut sql, invite.redirect_path.as_ref()).push(", 'pending', ");
            sql.bind(Arg::Time(now)).push(", ").bind(Arg::Time(expires_at)).push(")");
        }
        sql.execute(tx).await?;
    }
    Ok(())
}

// tidy: no permit, because the callers hold one for the organisation or the platform.
pub(crate) async fn insert_platforms(
    tx: &mut Tx,
    inviter: UserId,
    invites: &[NewPlatformRow],
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<()> {
    for chunk in invites.chunks(MOST_ROWS) {
        let mut sql = Sql::new(
            "INSERT INTO platform_invites (id, org_invite_id, invitee_email, inviter_id, digest, redirect_path, state, created_at, expires_at) VALUES ",
        );
        for (item, invite) in chunk.iter().enumerate() {
            opens(&mut sql, item).bind(Arg::Id(invite.id.uuid())).push(", ");
            id_or_null(&mut sql, invite.org_invite.map(InviteId::uuid)).push(", ");
            sql.bind(Arg::Text(invite.email.as_str().to_owned())).push(", ");
            sql.bind(Arg::Id(inviter.uuid())).push(", ");
            sql.bind(Arg::Bytes(invite.secret.digest())).push(", ");
            path_or_null(&mut sql, invite.redirect_path.as_ref()).push(", 'pending', ");
            sql.bind(Arg::Time(now)).push(", ").bind(Arg::Time(expires_at)).push(")");
        }
        sql.execute(tx).await?;
    }
    Ok(())
}

/// Stores group invites: to people, or asleep (no person, no expiry).
// tidy: no permit, because the callers hold one for the group, or for the organisation with each group checked.
pub(crate) async fn insert_groups(
    tx: &mut Tx,
    inviter: UserId,
    invites: &[(InviteId, GroupId, Option<UserId>, Role)],
    now: Timestamp,
    expires_at: Option<Timestamp>,
) -> Result<()> {
    for chunk in invites.chunks(MOST_ROWS) {
        let mut sql = Sql::new(
            "INSERT INTO group_invites (id, invitee_id, inviter_id, group_id, invitee_role, created_at, expires_at, state) VALUES ",
        );
        for (item, (id, group, invitee, role)) in chunk.iter().enumerate() {
            opens(&mut sql, item).bind(Arg::Id(id.uuid())).push(", ");
            id_or_null(&mut sql, invitee.map(UserId::uuid)).push(", ");
            sql.bind(Arg::Id(inviter.uuid())).push(", ").bind(Arg::Id(group.uuid())).push(", ");
            sql.bind(Arg::Text(role.as_str().to_owned())).push(", ").bind(Arg::Time(now)).push(", ");
            match expires_at {
                Some(end) => sql.bind(Arg::Time(end)),
                None => sql.push("NULL"),
            };
            sql.push(", 'pending')");
        }
        sql.execute(tx).await?;
    }
    Ok(())
}

/// Lets group invites sleep on organisation invites.
// tidy: no permit, because the callers hold one for the organisation with each group checked.
pub(crate) async fn insert_links(tx: &mut Tx, links: &[(InviteId, InviteId)]) -> Result<()> {
    for chunk in links.chunks(MOST_ROWS) {
        let mut sql = Sql::new("INSERT INTO dormant_group_invites (group_invite_id, org_invite_id) VALUES ");
        for (item, (group_invite, org_invite)) in chunk.iter().enumerate() {
            opens(&mut sql, item).bind(Arg::Id(group_invite.uuid())).push(", ");
            sql.bind(Arg::Id(org_invite.uuid())).push(")");
        }
        sql.execute(tx).await?;
    }
    Ok(())
}

/// Accepts an organisation's invite, if it is still to be answered.
pub(crate) async fn answer_org(
    tx: &mut Tx,
    permit: &InvitePermit<Answer>,
    _: Accepted,
    now: Timestamp,
) -> Result<bool> {
    let now = if planted!("I8: expiry is not looked at") { Timestamp::from_millis(0) } else { now };
    let changed = rows!(
        tx,
        sqlx::query("UPDATE org_invites SET state = 'accepted' WHERE id = $1 AND state = 'pending' AND expires_at > $2")
            .bind(permit.id())
            .bind(now)
    )?;
    Ok(changed == 1)
}

/// Accepts a group's invite, if it is still to be answered.
pub(crate) async fn answer_group(
    tx: &mut Tx,
    permit: &InvitePermit<Answer>,
    _: Accepted,
    now: Timestamp,
) -> Result<bool> {
    let now = if planted!("I8: expiry is not looked at") { Timestamp::from_millis(0) } else { now };
    let guarded = if planted!("I5: the change of state is not guarded") {
        "UPDATE group_invites SET state = 'accepted' WHERE id = $1 AND expires_at > $2"
    } else {
        "UPDATE group_invites SET state = 'accepted' WHERE id = $1 AND state = 'pending' AND expires_at > $2"
    };
    let changed = rows!(tx, sqlx::query(guarded).bind(permit.id()).bind(now))?;
    Ok(changed == 1)
}

/// Uses up a platform invite, once.
// tidy: no permit, because its secret has been shown.
pub(crate) async fn answer_platform(
    tx: &mut Tx,
    secret: &Secret,
    state: InviteState,
    now: Timestamp,
) -> Result<bool> {
    let changed = rows!(
        tx,
        sqlx::query("UPDATE platform_invites SET state = $2 WHERE digest = $1 AND state = 'pending' AND expires_at > $3")
            .bind(secret.digest())
            .bind(state.as_str())
            .bind(now)
    )?;
    Ok(changed == 1)
}

/// Gives sleeping group invites their invitee: pending with a new clock, or accepted at once. Answers which
/// still slept.
pub(crate) async fn wake_groups(
    tx: &mut Tx,
    arrival: &ArrivalPermit,
    invites: &[InviteId],
    state: InviteState,
    expires_at: Timestamp,
) -> Result<Vec<InviteId>> {
    let mut awake = Vec::new();
    for chunk in invites.chunks(MOST_ROWS) {
        let mut sql = Sql::new("UPDATE group_invites SET invitee_id = ");
        sql.bind(Arg::Id(arrival.person().uuid())).push(", expires_at = ").bind(Arg::Time(expires_at));
        sql.push(", state = ").bind(Arg::Text(state.as_str().to_owned()));
        sql.push(" WHERE state = 'pending' AND invitee_id IS NULL AND id IN (")
            .bind_all(ids(chunk))
            .push(") RETURNING id");
        awake.extend(sql.fetch_all::<(InviteId,)>(tx).await?.into_iter().map(|(id,)| id));
        link_gone(tx, chunk).await?;
    }
    Ok(awake)
}

/// Gives the organisation invites that sleep for this address their invitee and a new clock; their platform
/// invites have done their work.
// tidy: no permit, because a secret sent to the address has been shown.
pub(crate) async fn wake_orgs(
    tx: &mut Tx,
    email: &Email,
    invitee: UserId,
    orgs: &[OrgId],
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<Vec<(InviteId, OrgId)>> {
    let mut sql = Sql::new("UPDATE org_invites SET invitee_id = ");
    sql.bind(Arg::Id(invitee.uuid())).push(", expires_at = ").bind(Arg::Time(expires_at));
    sql.push(" WHERE state = 'pending' AND invitee_id IS NULL AND expires_at > ").bind(Arg::Time(now));
    sql.push(" AND org_id IN (").bind_all(orgs.iter().map(|id| Arg::Id(id.uuid())));
    sql.push(") AND id IN (SELECT org_invite_id FROM platform_invites WHERE invitee_email = ");
    sql.bind(Arg::Text(email.as_str().to_owned())).push(") RETURNING id, org_id");
    let mut woken: Vec<(InviteId, OrgId)> = sql.fetch_all(tx).await?;
    woken.sort_unstable();
    let awake: Vec<InviteId> = woken.iter().map(|(id, _)| *id).collect();
    let mut sql = Sql::new(
        "UPDATE platform_invites SET state = 'accepted' WHERE state = 'pending' AND org_invite_id IN (",
    );
    sql.bind_all(ids(&awake)).push(")");
    sql.execute(tx).await?;
    Ok(woken)
}

/// Restarts the clock of an organisation's invite and of what it sleeps on.
pub(crate) async fn prolong_org(
    tx: &mut Tx,
    permit: &InvitePermit<Withdraw>,
    expires_at: Timestamp,
) -> Result<bool> {
    let changed = rows!(
        tx,
        sqlx::query("UPDATE org_invites SET expires_at = $2 WHERE id = $1 AND state = 'pending'")
            .bind(permit.id())
            .bind(expires_at)
    )?;
    Ok(changed == 1)
}

/// Restarts the clock of a group's invite.
pub(crate) async fn prolong_group(
    tx: &mut Tx,
    permit: &InvitePermit<Withdraw>,
    expires_at: Timestamp,
) -> Result<bool> {
    let changed = rows!(
        tx,
        sqlx::query("UPDATE group_invites SET expires_at = $2 WHERE id = $1 AND state = 'pending' AND invitee_id IS NOT NULL")
            .bind(permit.id())
            .bind(expires_at)
    )?;
    Ok(changed == 1)
}

/// A platform invite, or the one that an organisation's invite sleeps on, gets a new secret and clock: the
/// mail sent before stops working.
pub(crate) async fn renew_secret(
    tx: &mut Tx,
    permit: &InvitePermit<Withdraw>,
    secret: &Secret,
    expires_at: Timestamp,
) -> Result<bool> {
    let changed = rows!(
        tx,
        sqlx::query(
            "UPDATE platform_invites SET digest = $2, expires_at = $3 WHERE (id = $1 OR org_invite_id = $1) AND state = 'pending'"
        )
        .bind(permit.id())
        .bind(secret.digest())
        .bind(expires_at)
    )?;
    Ok(changed == 1)
}

/// An administrator's right to make platform invites is shown here, because nothing else of the row needs it.
pub(crate) async fn platform_pending(
    tx: &mut Tx,
    _: &PlatformPermit,
    email: &Email,
) -> Result<Vec<(InviteId, Timestamp)>> {
    let mut sql = Sql::new(
        "SELECT id, expires_at FROM platform_invites WHERE org_invite_id IS NULL AND state = 'pending' AND invitee_email = ",
    );
    sql.bind(Arg::Text(email.as_str().to_owned()));
    sql.fetch_all(tx).await
}

/// Restarts the clock of the organisation's invite that a platform invite carries.
pub(crate) async fn prolong_carried(
    tx: &mut Tx,
    permit: &InvitePermit<Withdraw>,
    expires_at: Timestamp,
) -> Result<()> {
    rows!(tx, sqlx::query(
        "UPDATE org_invites SET expires_at = $2 WHERE state = 'pending' AND id = (SELECT org_invite_id FROM platform_invites WHERE id = $1)")
        .bind(permit.id()).bind(expires_at))?;
    Ok(())
}

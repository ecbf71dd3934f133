//! How invites end without a yes, and with them what sleeps on them: in the same transaction, guarded by the
//! state before.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::{MOST_ROWS, ids};
use crate::{
    access::{AccountPermit, Administer, Answer, ArrivalPermit, InvitePermit, Own, Permit},
    clock::Timestamp,
    error::Result,
    ids::{GroupId, InviteId, OrgId, UserId},
    invites::life::InviteState,
    store::{
        Tx, mails, on, rows,
        sql::{Arg, Sql},
    },
    text::Email,
};

/// Ends those of these organisation invites that are pending, with what sleeps on them and with what they
/// sleep on. Answers which ended: the invites, and the sleepers with their groups.
// tidy: no permit, because it is the consequence of what callers hold one for, or of time.
pub(crate) async fn end_orgs(
    tx: &mut Tx,
    invites: &[InviteId],
    state: InviteState,
) -> Result<(Vec<InviteId>, Vec<(InviteId, GroupId)>)> {
    let (mut ended, mut sleepers) = (Vec::new(), Vec::new());
    for chunk in invites.chunks(MOST_ROWS) {
        let mut sql = Sql::new("UPDATE org_invites SET state = ");
        sql.bind(Arg::Text(state.as_str().to_owned())).push(" WHERE state = 'pending' AND id IN (");
        sql.bind_all(ids(chunk)).push(") RETURNING id");
        let now_ended: Vec<(InviteId,)> = sql.fetch_all(tx).await?;
        let now_ended: Vec<InviteId> = now_ended.into_iter().map(|(id,)| id).collect();
        if now_ended.is_empty() {
            continue;
        }
        let mut sql = Sql::new("UPDATE platform_invites SET state = ");
        sql.bind(Arg::Text(state.as_str().to_owned()))
            .push(" WHERE state = 'pending' AND org_invite_id IN (");
        sql.bind_all(ids(&now_ended)).push(")");
        sql.execute(tx).await?;
        if !planted!("I14: sleepers stay when what they sleep on ends") {
            let mut sql = Sql::new("UPDATE group_invites SET state = ");
            sql.bind(Arg::Text(state.as_str().to_owned()));
            sql.push(" WHERE state = 'pending' AND id IN (SELECT group_invite_id FROM dormant_group_invites WHERE org_invite_id IN (");
            sql.bind_all(ids(&now_ended)).push(")) RETURNING id, group_id");
            sleepers.extend(sql.fetch_all::<(InviteId, GroupId)>(tx).await?);
            let mut sql = Sql::new("DELETE FROM dormant_group_invites WHERE org_invite_id IN (");
            sql.bind_all(ids(&now_ended)).push(")");
            sql.execute(tx).await?;
        }
        ended.extend(now_ended);
    }
    Ok((ended, sleepers))
}

/// Ends those of these group invites that are pending, asleep or not.
// tidy: no permit, because it is the consequence of what callers hold one for, or of time.
pub(crate) async fn end_groups(
    tx: &mut Tx,
    invites: &[InviteId],
    state: InviteState,
) -> Result<Vec<(InviteId, GroupId)>> {
    let mut ended = Vec::new();
    for chunk in invites.chunks(MOST_ROWS) {
        let mut sql = Sql::new("UPDATE group_invites SET state = ");
        sql.bind(Arg::Text(state.as_str().to_owned()));
        sql.push(if planted!("I15: an answered invite is taken back") {
            " WHERE id IN ("
        } else {
            " WHERE state = 'pending' AND id IN ("
        });
        sql.bind_all(ids(chunk)).push(") RETURNING id, group_id");
        ended.extend(sql.fetch_all::<(InviteId, GroupId)>(tx).await?);
        link_gone(tx, chunk).await?;
    }
    Ok(ended)
}

/// These group invites sleep no more.
// tidy: no permit, because it is the consequence of what callers hold one for, or of time.
pub(crate) async fn link_gone(tx: &mut Tx, invites: &[InviteId]) -> Result<()> {
    let mut sql = Sql::new("DELETE FROM dormant_group_invites WHERE group_invite_id IN (");
    sql.bind_all(ids(invites)).push(")");
    sql.execute(tx).await?;
    Ok(())
}

/// Ends a platform invite that carries no other.
// tidy: no permit, because it is the consequence of what callers hold one for.
pub(crate) async fn end_platforms(
    tx: &mut Tx,
    invites: &[InviteId],
    state: InviteState,
) -> Result<Vec<InviteId>> {
    let mut sql = Sql::new("UPDATE platform_invites SET state = ");
    sql.bind(Arg::Text(state.as_str().to_owned())).push(" WHERE state = 'pending' AND id IN (");
    sql.bind_all(ids(invites)).push(") RETURNING id");
    let ended: Vec<(InviteId,)> = sql.fetch_all(tx).await?;
    Ok(ended.into_iter().map(|(id,)| id).collect())
}

/// The organisation goes, and its invites with it: also the platform's that led to it, and the mails that
/// wait to be sent about them.
pub(crate) async fn delete_of_org(tx: &mut Tx, permit: &Permit<Own, OrgId>) -> Result<()> {
    // What has ended has no mail waiting, and one that was sent again by its platform invite tells of that.
    let mailed: Vec<InviteId> = on!(tx, conn => sqlx::query_scalar(
        "SELECT id FROM org_invites WHERE org_id = $1 AND state = 'pending' \
         UNION ALL SELECT p.id FROM org_invites o JOIN platform_invites p ON p.org_invite_id = o.id WHERE o.org_id = $1 AND o.state = 'pending'")
        .bind(permit.target()).fetch_all(conn))?;
    withdraw_mails(tx, &mailed).await?;
    rows!(tx, sqlx::query(
        "DELETE FROM platform_invites WHERE org_invite_id IN (SELECT id FROM org_invites WHERE org_id = $1)")
        .bind(permit.target()))?;
    rows!(tx, sqlx::query("DELETE FROM org_invites WHERE org_id = $1").bind(permit.target()))?;
    Ok(())
}

/// The group goes, and its invites with it, asleep or not, and the mails that wait to be sent about them.
// tidy: no permit, because the callers hold one for the group or its organisation.
pub(crate) async fn delete_of_group(tx: &mut Tx, group: GroupId) -> Result<()> {
    let mailed: Vec<InviteId> = on!(tx, conn => sqlx::query_scalar(
        "SELECT id FROM group_invites WHERE group_id = $1 AND state = 'pending' AND invitee_id IS NOT NULL")
        .bind(group).fetch_all(conn))?;
    withdraw_mails(tx, &mailed).await?;
    rows!(tx, sqlx::query(
        "DELETE FROM dormant_group_invites WHERE group_invite_id IN (SELECT id FROM group_invites WHERE group_id = $1)")
        .bind(group))?;
    rows!(tx, sqlx::query("DELETE FROM group_invites WHERE group_id = $1").bind(group))?;
    Ok(())
}

/// Nobody is told of an invite that no page and no request would find.
// tidy: no permit, because it is the consequence of what callers hold one for.
async fn withdraw_mails(tx: &mut Tx, invites: &[InviteId]) -> Result<()> {
    let invites: Vec<Uuid> = invites.iter().map(|id| id.uuid()).collect();
    mails::withdraw(tx, &invites).await
}

/// Which pending invites are past due: of organisations, of groups (those awake), of the platform that carry no
/// other. At most `most` of each.
// tidy: no permit, because it only reads what time has ended.
pub(crate) async fn past_due(tx: &mut Tx, now: Timestamp, most: i64) -> Result<[Vec<InviteId>; 3]> {
    let mut found: [Vec<InviteId>; 3] = Default::default();
    let queries = [
        "SELECT id FROM org_invites WHERE state = 'pending' AND expires_at <= ",
        "SELECT id FROM group_invites WHERE state = 'pending' AND expires_at <= ",
        "SELECT id FROM platform_invites WHERE state = 'pending' AND org_invite_id IS NULL AND expires_at <= ",
    ];
    for (kind, query) in found.iter_mut().zip(queries) {
        let mut sql = Sql::new(query);
        sql.bind(Arg::Time(now)).push(" ORDER BY expires_at, id LIMIT ").bind(Arg::Int(most));
        kind.extend(sql.fetch_all::<(InviteId,)>(tx).await?.into_iter().map(|(id,)| id));
    }
    Ok(found)
}

/// Organisation invites of other inviters to the same person: they end when one is accepted. Those that are
/// past due, and those that are not.
pub(crate) async fn other_pending(
    tx: &mut Tx,
    permit: &InvitePermit<Answer>,
    org: OrgId,
    now: Timestamp,
) -> Result<(Vec<InviteId>, Vec<InviteId>)> {
    let mut sql = Sql::new("SELECT id, expires_at FROM org_invites WHERE state = 'pending' AND org_id = ");
    sql.bind(Arg::Id(org.uuid())).push(" AND invitee_id = ").bind(Arg::Id(permit.actor().uuid()));
    sql.push(" AND id <> ").bind(Arg::Id(permit.id().uuid())).push(" ORDER BY id");
    let found: Vec<(InviteId, Timestamp)> = sql.fetch_all(tx).await?;
    let (due, open): (Vec<_>, Vec<_>) = found.into_iter().partition(|(_, end)| *end <= now);
    let ids = |found: Vec<(InviteId, Timestamp)>| found.into_iter().map(|(id, _)| id).collect();
    Ok((ids(due), ids(open)))
}

/// Says of the invitee's own past-due invites to these groups that they are expired, so that others can
/// wake.
pub(crate) async fn expire_own(
    tx: &mut Tx,
    arrival: &ArrivalPermit,
    groups: &[GroupId],
    now: Timestamp,
) -> Result<Vec<(InviteId, GroupId)>> {
    let mut sql =
        Sql::new("UPDATE group_invites SET state = 'expired' WHERE state = 'pending' AND invitee_id = ");
    sql.bind(Arg::Id(arrival.person().uuid())).push(" AND expires_at <= ").bind(Arg::Time(now));
    sql.push(" AND group_id IN (").bind_all(groups.iter().map(|id| Arg::Id(id.uuid())));
    sql.push(") RETURNING id, group_id");
    sql.fetch_all(tx).await
}

/// The organisation's invite that a platform invite carries.
pub(crate) async fn carried_by<A>(tx: &mut Tx, permit: &InvitePermit<A>) -> Result<Vec<InviteId>> {
    let mut sql =
        Sql::new("SELECT org_invite_id FROM platform_invites WHERE org_invite_id IS NOT NULL AND id = ");
    sql.bind(Arg::Id(permit.id().uuid()));
    Ok(sql.fetch_all::<(InviteId,)>(tx).await?.into_iter().map(|(id,)| id).collect())
}

/// Pending invites of these addresses to the organisation that are past due, by whomever.
pub(crate) async fn due_in_org(
    tx: &mut Tx,
    permit: &Permit<Administer, OrgId>,
    emails: &[Email],
    now: Timestamp,
) -> Result<Vec<InviteId>> {
    let mut sql = Sql::new("SELECT id FROM org_invites WHERE state = 'pending' AND org_id = ");
    sql.bind(Arg::Id(permit.target().uuid())).push(" AND expires_at <= ").bind(Arg::Time(now));
    sql.push(" AND invitee_email IN (");
    sql.bind_all(emails.iter().map(|email| Arg::Text(email.as_str().to_owned()))).push(") ORDER BY id");
    Ok(sql.fetch_all::<(InviteId,)>(tx).await?.into_iter().map(|(id,)| id).collect())
}

/// Pending invites of these people to the group that are past due, by whomever.
pub(crate) async fn due_in_group(
    tx: &mut Tx,
    permit: &Permit<Administer, GroupId>,
    people: &[UserId],
    now: Timestamp,
) -> Result<Vec<InviteId>> {
    let mut sql = Sql::new("SELECT id FROM group_invites WHERE state = 'pending' AND group_id = ");
    sql.bind(Arg::Id(permit.target().uuid())).push(" AND expires_at <= ").bind(Arg::Time(now));
    sql.push(" AND invitee_id IN (")
        .bind_all(people.iter().map(|id| Arg::Id(id.uuid())))
        .push(") ORDER BY id");
    Ok(sql.fetch_all::<(InviteId,)>(tx).await?.into_iter().map(|(id,)| id).collect())
}

/// The organisations and groups that a person's pending invites lead to, to take their locks by.
pub(crate) async fn places_of_sent(
    tx: &mut Tx,
    account: &AccountPermit,
) -> Result<(Vec<OrgId>, Vec<GroupId>)> {
    let mut sql =
        Sql::new("SELECT DISTINCT org_id, group_id FROM invites WHERE state = 'pending' AND inviter_id = ");
    sql.bind(Arg::Id(account.user().uuid()));
    let found: Vec<(Option<OrgId>, Option<GroupId>)> = sql.fetch_all(tx).await?;
    let orgs: BTreeSet<OrgId> = found.iter().filter_map(|(org, _)| *org).collect();
    let groups: BTreeSet<GroupId> = found.iter().filter_map(|(_, group)| *group).collect();
    Ok((orgs.into_iter().collect(), groups.into_iter().collect()))
}

/// Revokes what a person who is shut out has sent, with what sleeps on it. Answers all that ended.
pub(crate) async fn revoke_sent(tx: &mut Tx, account: &AccountPermit) -> Result<Vec<InviteId>> {
    let now = tx.now();
    let mut found: [Vec<InviteId>; 3] = Default::default();
    let queries = [
        "SELECT id FROM org_invites WHERE state = 'pending' AND expires_at > ",
        "SELECT id FROM group_invites WHERE state = 'pending' AND expires_at > ",
        "SELECT id FROM platform_invites WHERE state = 'pending' AND org_invite_id IS NULL AND expires_at > ",
    ];
    for (kind, query) in found.iter_mut().zip(queries) {
        let mut sql = Sql::new(query);
        sql.bind(Arg::Time(now)).push(" AND inviter_id = ").bind(Arg::Id(account.user().uuid()));
        sql.push(" ORDER BY id");
        kind.extend(sql.fetch_all::<(InviteId,)>(tx).await?.into_iter().map(|(id,)| id));
    }
    let [orgs, groups, platforms] = found;
    let (mut ended, sleepers) = end_orgs(tx, &orgs, InviteState::Revoked).await?;
    ended.extend(sleepers.into_iter().map(|(id, _)| id));
    ended.extend(end_groups(tx, &groups, InviteState::Revoked).await?.into_iter().map(|(id, _)| id));
    ended.extend(end_platforms(tx, &platforms, InviteState::Revoked).await?);
    Ok(ended)
}

/// The open invites to groups, asleep or not, on which more conditions follow. What is past due has ended,
/// though its row may not say so yet, and stays as it ended.
pub(crate) fn open_groups(now: Timestamp) -> Sql {
    let mut sql = Sql::new(
        "SELECT i.id FROM group_invites i LEFT JOIN dormant_group_invites d ON d.group_invite_id = i.id \
         LEFT JOIN org_invites o ON o.id = d.org_invite_id \
         WHERE i.state = 'pending' AND COALESCE(i.expires_at, o.expires_at) > ",
    );
    sql.bind(Arg::Time(now));
    sql
}

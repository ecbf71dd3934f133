//! Invites' rows, of all three kinds. The view `invites` shows them in one shape.

mod end;
mod limits;
mod list;
mod write;

pub(crate) use end::{
    carried_by, delete_of_group, delete_of_org, due_in_group, due_in_org, end_groups, end_orgs,
    end_platforms, expire_own, open_groups, other_pending, past_due, places_of_sent, revoke_sent,
};
pub(crate) use limits::{count_sent, mailed_to, sent_since, sweep_sent};
pub(crate) use list::{all_of, list, view, view_by_secret};
pub(crate) use write::{
    NewOrgRow, NewPlatformRow, answer_group, answer_org, answer_platform, insert_groups, insert_links,
    insert_orgs, insert_platforms, platform_pending, prolong_carried, prolong_group, prolong_org,
    renew_secret, wake_groups, wake_orgs,
};

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{
    Conn, on,
    sql::{Arg, Sql},
};
use crate::{
    access::{Administer, InviteFacts, Permit, Role},
    clock::Timestamp,
    error::Result,
    ids::{GroupId, InviteId, OrgId, UserId},
    invites::life::{Already, InviteMode, Sleeper},
    secret::Secret,
    text::Email,
};

/// Rows that one statement writes at most: SQLite binds 32,766 values.
const MOST_ROWS: usize = 1_000;

/// What rights to an invite are decided by.
pub(crate) async fn locate(conn: &mut Conn, id: InviteId) -> Result<Option<InviteFacts>> {
    type Row = (InviteId, Option<OrgId>, Option<GroupId>, Option<UserId>, UserId);
    let found: Option<Row> = on!(conn, conn => sqlx::query_as(
        "SELECT id, org_id, group_id, invitee_id, inviter_id FROM invites WHERE id = $1")
        .bind(id).fetch_optional(conn))?;
    Ok(found.map(|(id, org, group, invitee, inviter)| InviteFacts { id, org, group, invitee, inviter }))
}

/// A platform invite that can still be used, found by its secret.
pub(crate) struct Door {
    pub(crate) id: InviteId,
    pub(crate) email: Email,
    pub(crate) inviter: UserId,
    pub(crate) org_invite: Option<InviteId>,
}

pub(crate) async fn door(conn: &mut Conn, secret: &Secret, now: Timestamp) -> Result<Option<Door>> {
    let found: Option<(InviteId, Email, UserId, Option<InviteId>)> = on!(conn, conn => sqlx::query_as(
        "SELECT id, invitee_email, inviter_id, org_invite_id FROM platform_invites WHERE digest = $1 AND state = 'pending' AND expires_at > $2")
        .bind(secret.digest()).bind(now).fetch_optional(conn))?;
    Ok(found.map(|(id, email, inviter, org_invite)| Door { id, email, inviter, org_invite }))
}

/// The organisations that somebody of this address is invited to, asleep.
pub(crate) async fn orgs_waiting_for(conn: &mut Conn, email: &Email) -> Result<Vec<OrgId>> {
    on!(conn, conn => sqlx::query_scalar(
        "SELECT DISTINCT o.org_id FROM platform_invites p JOIN org_invites o ON o.id = p.org_invite_id WHERE p.invitee_email = $1 AND p.state = 'pending'")
        .bind(email.as_str()).fetch_all(conn))
}

/// The organisation invites that sleep for this address, past due or not.
pub(crate) async fn sleeping_for(conn: &mut Conn, email: &Email) -> Result<Vec<InviteId>> {
    on!(conn, conn => sqlx::query_scalar(
        "SELECT o.id FROM platform_invites p JOIN org_invites o ON o.id = p.org_invite_id WHERE p.invitee_email = $1 AND p.state = 'pending' AND o.state = 'pending'")
        .bind(email.as_str()).fetch_all(conn))
}

/// All group invites that sleep on those of these organisation invites that are pending.
pub(crate) async fn sleepers_of(conn: &mut Conn, org_invites: &[InviteId]) -> Result<Vec<Sleeper>> {
    let mut sql = Sql::new(
        "SELECT i.id, i.group_id, i.invitee_role, i.inviter_id, o.mode FROM org_invites o \
         JOIN dormant_group_invites d ON d.org_invite_id = o.id JOIN group_invites i ON i.id = d.group_invite_id \
         WHERE o.state = 'pending' AND i.state = 'pending' AND i.invitee_id IS NULL AND o.id IN (",
    );
    sql.bind_all(ids(org_invites)).push(") ORDER BY i.id");
    let found: Vec<(InviteId, GroupId, String, UserId, String)> = sql.fetch_all(conn).await?;
    Ok(found
        .into_iter()
        .map(|(id, group, role, inviter, mode)| Sleeper {
            id,
            group,
            role: Role::parse(&role),
            inviter,
            mode: InviteMode::parse(&mode).unwrap_or_default(),
        })
        .collect())
}

/// The organisation invites that sleep for this address and are not past due: where they lead, who sent them,
/// and the role they would give, if it is a known one.
pub(crate) async fn asleep_for(
    conn: &mut Conn,
    email: &Email,
    now: Timestamp,
) -> Result<Vec<(OrgId, UserId, Option<Role>)>> {
    let found: Vec<(OrgId, UserId, String)> = on!(conn, conn => sqlx::query_as(
        "SELECT o.org_id, o.inviter_id, o.invitee_role FROM platform_invites p JOIN org_invites o ON o.id = p.org_invite_id \
         WHERE p.invitee_email = $1 AND p.state = 'pending' AND o.state = 'pending' AND o.expires_at > $2 ORDER BY o.id")
        .bind(email.as_str()).bind(now).fetch_all(conn))?;
    Ok(found.into_iter().map(|(org, inviter, role)| (org, inviter, Role::parse(&role))).collect())
}

/// Pending invites to the organisation of these people, past due or not, with when they end: those that are
/// theirs to answer, and those that sleep for their address, if they have shown that it is theirs.
pub(crate) async fn waiting_in_org(
    conn: &mut Conn,
    permit: &Permit<Administer, OrgId>,
    people: &[UserId],
) -> Result<Vec<(InviteId, UserId, Timestamp)>> {
    let mut sql = Sql::new(
        "SELECT o.id, u.id, o.expires_at FROM users u JOIN org_invites o ON o.invitee_email = u.email \
         WHERE o.state = 'pending' AND (o.invitee_id = u.id OR (o.invitee_id IS NULL AND u.verified_at IS NOT NULL)) AND o.org_id = ",
    );
    sql.bind(Arg::Id(permit.target().uuid())).push(" AND u.id IN (");
    sql.bind_all(people.iter().map(|id| Arg::Id(id.uuid()))).push(")");
    // Sorted here, so that SQLite looks for these people and not through all of the organisation.
    let mut found: Vec<(InviteId, UserId, Timestamp)> = sql.fetch_all(conn).await?;
    found.sort_unstable();
    Ok(found)
}

/// The groups of the sleepers of these organisation invites.
pub(crate) async fn groups_asleep(conn: &mut Conn, org_invites: &[InviteId]) -> Result<Vec<GroupId>> {
    let mut sql = Sql::new(
        "SELECT DISTINCT i.group_id FROM dormant_group_invites d JOIN group_invites i ON i.id = d.group_invite_id WHERE d.org_invite_id IN (",
    );
    sql.bind_all(ids(org_invites)).push(")");
    let found: Vec<(GroupId,)> = sql.fetch_all(conn).await?;
    Ok(found.into_iter().map(|(id,)| id).collect())
}

/// What a person has already in these groups.
pub(crate) async fn already(
    conn: &mut Conn,
    person: UserId,
    groups: &[GroupId],
    now: Timestamp,
) -> Result<BTreeMap<GroupId, Already>> {
    let mut sql = Sql::new("SELECT group_id, 1 FROM group_memberships WHERE member_id = ");
    sql.bind(Arg::Id(person.uuid())).push(" AND group_id IN (");
    sql.bind_all(groups.iter().map(|id| Arg::Id(id.uuid())));
    sql.push(") UNION ALL SELECT group_id, 2 FROM group_invites WHERE state = 'pending' AND invitee_id = ");
    sql.bind(Arg::Id(person.uuid())).push(" AND expires_at > ").bind(Arg::Time(now));
    sql.push(" AND group_id IN (").bind_all(groups.iter().map(|id| Arg::Id(id.uuid()))).push(")");
    let found: Vec<(GroupId, i32)> = sql.fetch_all(conn).await?;
    let mut already: BTreeMap<GroupId, Already> = BTreeMap::new();
    for (group, what) in found {
        let entry = already.entry(group).or_default();
        match what {
            1 => entry.member = true,
            _ => entry.invited = true,
        }
    }
    Ok(already)
}

/// Addresses that this person has invited to the organisation and who have not answered; and how often
/// each of `emails` was invited to it since a moment, by whomever.
pub(crate) async fn invited_to_org(
    conn: &mut Conn,
    permit: &Permit<Administer, OrgId>,
    inviter: UserId,
    emails: &[Email],
    since: Timestamp,
) -> Result<(BTreeSet<Email>, HashMap<Email, i64>)> {
    let mut sql =
        Sql::new("SELECT invitee_email, inviter_id, state, created_at FROM org_invites WHERE org_id = ");
    sql.bind(Arg::Id(permit.target().uuid())).push(" AND (state = 'pending' OR created_at > ");
    sql.bind(Arg::Time(since)).push(") AND invitee_email IN (");
    sql.bind_all(emails.iter().map(|email| Arg::Text(email.as_str().to_owned()))).push(")");
    let found: Vec<(Email, UserId, String, Timestamp)> = sql.fetch_all(conn).await?;
    let (mut pending, mut lately) = (BTreeSet::new(), HashMap::new());
    for (email, by, state, at) in found {
        if at > since {
            *lately.entry(email.clone()).or_default() += 1;
        }
        if by == inviter && state == "pending" {
            pending.insert(email);
        }
    }
    Ok((pending, lately))
}

/// Who of these people is invited to the group and has not answered; and how often each was invited to
/// it since a moment.
pub(crate) async fn invited_to_group(
    conn: &mut Conn,
    permit: &Permit<Administer, GroupId>,
    people: &[UserId],
    since: Timestamp,
) -> Result<(BTreeSet<UserId>, HashMap<UserId, i64>)> {
    let mut sql = Sql::new("SELECT invitee_id, state, created_at FROM group_invites WHERE group_id = ");
    sql.bind(Arg::Id(permit.target().uuid())).push(" AND (state = 'pending' OR created_at > ");
    sql.bind(Arg::Time(since)).push(") AND invitee_id IN (");
    sql.bind_all(people.iter().map(|id| Arg::Id(id.uuid()))).push(")");
    let found: Vec<(UserId, String, Option<Timestamp>)> = sql.fetch_all(conn).await?;
    let (mut pending, mut lately) = (BTreeSet::new(), HashMap::new());
    for (person, state, at) in found {
        if at.is_some_and(|at| at > since) {
            *lately.entry(person).or_default() += 1;
        }
        if state == "pending" {
            pending.insert(person);
        }
    }
    Ok((pending, lately))
}

/// How many invites to an organisation are pending.
pub(crate) async fn pending_in_org(
    conn: &mut Conn,
    permit: &Permit<Administer, OrgId>,
    now: Timestamp,
) -> Result<i64> {
    on!(conn, conn => sqlx::query_scalar(
        "SELECT count(*) FROM org_invites WHERE org_id = $1 AND state = 'pending' AND expires_at > $2")
        .bind(permit.target()).bind(now).fetch_one(conn))
}

/// How many invites to a group are pending, those asleep aside.
pub(crate) async fn pending_in_group(
    conn: &mut Conn,
    permit: &Permit<Administer, GroupId>,
    now: Timestamp,
) -> Result<i64> {
    on!(conn, conn => sqlx::query_scalar(
        "SELECT count(*) FROM group_invites WHERE group_id = $1 AND state = 'pending' AND expires_at > $2")
        .bind(permit.target()).bind(now).fetch_one(conn))
}

/// When mails for an invite were sent since a moment, newest first: told by the journal, which has an
/// entry for each. An organisation's invite to an address and the platform invite that carries it are one
/// mail, whichever of the two it was asked for by.
pub(crate) async fn mailed_since(conn: &mut Conn, id: InviteId, since: Timestamp) -> Result<Vec<Timestamp>> {
    let mut sql = Sql::new("SELECT id FROM platform_invites WHERE org_invite_id = ");
    sql.bind(Arg::Id(id.uuid()));
    sql.push(
        " UNION ALL SELECT org_invite_id FROM platform_invites WHERE org_invite_id IS NOT NULL AND id = ",
    );
    sql.bind(Arg::Id(id.uuid()));
    let mut same: Vec<InviteId> = sql.fetch_all(conn).await?.into_iter().map(|(id,)| id).collect();
    same.push(id);
    let mut sql = Sql::new("SELECT at FROM journal WHERE subject_id IN (");
    sql.bind_all(ids(&same)).push(") AND at > ").bind(Arg::Time(since));
    sql.push(" AND action IN ('invite.created', 'invite.resent', 'invite.woken') ORDER BY id DESC");
    Ok(sql.fetch_all(conn).await?.into_iter().map(|(at,)| at).collect())
}

fn ids(invites: &[InviteId]) -> impl Iterator<Item = Arg> {
    invites.iter().map(|id| Arg::Id(id.uuid()))
}

/// The groups whose invites depend on an organisation's invite: those that sleep on it, and those that
/// sleep on others of the same invitee to the same organisation.
pub(crate) async fn groups_concerned(conn: &mut Conn, facts: &InviteFacts) -> Result<Vec<GroupId>> {
    let mut sql = Sql::new(
        "SELECT DISTINCT i.group_id FROM dormant_group_invites d JOIN group_invites i ON i.id = d.group_invite_id \
         WHERE d.org_invite_id IN (SELECT id FROM org_invites WHERE id = ",
    );
    sql.bind(Arg::Id(facts.id.uuid()));
    sql.push(" UNION ALL SELECT org_invite_id FROM platform_invites WHERE id = ")
        .bind(Arg::Id(facts.id.uuid()));
    if let (Some(org), Some(invitee)) = (facts.org, facts.invitee) {
        sql.push(" UNION ALL SELECT id FROM org_invites WHERE state = 'pending' AND org_id = ");
        sql.bind(Arg::Id(org.uuid())).push(" AND invitee_id = ").bind(Arg::Id(invitee.uuid()));
    }
    sql.push(")");
    let found: Vec<(GroupId,)> = sql.fetch_all(conn).await?;
    Ok(found.into_iter().map(|(id,)| id).collect())
}

/// Where invites lead, for the journal, in the order in which they were made.
pub(crate) async fn places(
    conn: &mut Conn,
    invites: impl Iterator<Item = uuid::Uuid>,
) -> Result<BTreeMap<uuid::Uuid, (Option<OrgId>, Option<GroupId>)>> {
    let mut found = BTreeMap::new();
    let invites: Vec<uuid::Uuid> = invites.collect();
    for chunk in invites.chunks(5_000) {
        let mut sql = Sql::new("SELECT id, org_id, group_id FROM invites WHERE id IN (");
        sql.bind_all(chunk.iter().map(|id| Arg::Id(*id))).push(")");
        let rows: Vec<(InviteId, Option<OrgId>, Option<GroupId>)> = sql.fetch_all(conn).await?;
        found.extend(rows.into_iter().map(|(id, org, group)| (id.uuid(), (org, group))));
    }
    Ok(found)
}

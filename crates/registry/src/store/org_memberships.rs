//! Organisation memberships' rows, and what goes with one that ends.

use std::collections::BTreeMap;

use super::{
    Conn, Tx, on,
    page::{self, Keyed, Listing, OrderKey, Reading},
    rows,
    sql::{Arg, Sql},
};
use crate::{
    access::{
        Action, Administer, Answer, ArrivalPermit, EndMemberships, InvitePermit, Permit, Role, SelfPermit,
        View,
    },
    actor::UserActor,
    error::Result,
    ids::{GroupId, InviteId, OrgId, UserId},
    invites::life::{Accepted, InviteState},
    members::{Member, MemberFilter, MemberOrder, Standing},
    page::{Page, PageQuery},
    secret::Keyring,
    store::memberships::Ranks,
    text::Email,
};

/// Rows that one statement writes at most: SQLite binds 32,766 values.
const MOST_ROWS: usize = 5_000;

fn ids(members: &[UserId]) -> impl Iterator<Item = Arg> {
    members.iter().map(|id| Arg::Id(id.uuid()))
}

/// Those of `members` who are in the organisation.
pub(crate) async fn standings<A: Action>(
    conn: &mut Conn,
    permit: &Permit<A, OrgId>,
    members: &[UserId],
) -> Result<BTreeMap<UserId, Standing>> {
    let mut sql = Sql::new(
        "SELECT m.member_id, m.role, u.email FROM org_memberships m JOIN users u ON u.id = m.member_id WHERE m.org_id = ",
    );
    sql.bind(Arg::Id(permit.target().uuid())).push(" AND m.member_id IN (").bind_all(ids(members)).push(")");
    let found: Vec<(UserId, String, Email)> = sql.fetch_all(conn).await?;
    Ok(found
        .into_iter()
        .map(|(id, role, email)| (id, Standing { role: Role::parse(&role), email: Some(email) }))
        .collect())
}

/// The organisation's owners, in ascending id.
pub(crate) async fn owners<A: Action>(conn: &mut Conn, permit: &Permit<A, OrgId>) -> Result<Vec<UserId>> {
    on!(conn, conn => sqlx::query_scalar(
        "SELECT member_id FROM org_memberships WHERE org_id = $1 AND role = 'owner' ORDER BY member_id")
        .bind(permit.target()).fetch_all(conn))
}

pub(crate) async fn insert(
    tx: &mut Tx,
    permit: &Permit<Administer, OrgId>,
    members: &[Member],
) -> Result<()> {
    let mut sql = Sql::new("INSERT INTO org_memberships (org_id, member_id, role) VALUES ");
    for (item, member) in members.iter().enumerate() {
        sql.push(if item == 0 { "(" } else { ", (" });
        sql.bind(Arg::Id(permit.target().uuid())).push(", ");
        sql.bind(Arg::Id(member.member_id.uuid())).push(", ");
        sql.bind(Arg::Text(member.role.as_str().to_owned())).push(")");
    }
    sql.execute(tx).await?;
    Ok(())
}

/// Which of these organisations the person is a member of already.
pub(crate) async fn among(conn: &mut Conn, permit: &SelfPermit, orgs: &[OrgId]) -> Result<Vec<OrgId>> {
    let mut sql = Sql::new("SELECT org_id FROM org_memberships WHERE member_id = ");
    sql.bind(Arg::Id(permit.user().uuid())).push(" AND org_id IN (");
    sql.bind_all(orgs.iter().map(|id| Arg::Id(id.uuid()))).push(") ORDER BY org_id");
    Ok(sql.fetch_all::<(OrgId,)>(conn).await?.into_iter().map(|(id,)| id).collect())
}

/// Whether the invitee is in the organisation already, with whatever role.
pub(crate) async fn is_member(conn: &mut Conn, permit: &InvitePermit<Answer>, org: OrgId) -> Result<bool> {
    let found: Option<(OrgId,)> = on!(conn, conn => sqlx::query_as(
        "SELECT org_id FROM org_memberships WHERE org_id = $1 AND member_id = $2")
        .bind(org).bind(permit.actor()).fetch_optional(conn))?;
    Ok(found.is_some())
}

/// The invitee joins: the one membership that is made from an accepted invite, not by an admin.
pub(crate) async fn join(tx: &mut Tx, arrival: &ArrivalPermit, accepted: Accepted) -> Result<()> {
    rows!(
        tx,
        sqlx::query("INSERT INTO org_memberships (org_id, member_id, role) VALUES ($1, $2, $3)")
            .bind(arrival.org())
            .bind(arrival.person())
            .bind(accepted.role().as_str())
    )?;
    Ok(())
}

pub(crate) async fn set_role<A: Ranks>(
    tx: &mut Tx,
    permit: &Permit<A, OrgId>,
    member: UserId,
    role: Role,
) -> Result<()> {
    rows!(
        tx,
        sqlx::query("UPDATE org_memberships SET role = $3 WHERE org_id = $1 AND member_id = $2")
            .bind(permit.target())
            .bind(member)
            .bind(role.as_str())
    )?;
    Ok(())
}

/// Ends memberships of the organisation, with those people's access tokens for it and its groups.
pub(crate) async fn remove(
    tx: &mut Tx,
    permit: &Permit<EndMemberships, OrgId>,
    members: &[UserId],
) -> Result<()> {
    let org = Arg::Id(permit.target().uuid());
    let mut sql = Sql::new("DELETE FROM org_memberships WHERE org_id = ");
    sql.bind(org.clone()).push(" AND member_id IN (").bind_all(ids(members)).push(")");
    sql.execute(tx).await?;
    let mut sql = Sql::new("DELETE FROM access_tokens WHERE user_id IN (");
    sql.bind_all(ids(members)).push(") AND (org_id = ").bind(org.clone());
    sql.push(" OR group_id IN (SELECT id FROM groups WHERE org_id = ").bind(org).push("))");
    sql.execute(tx).await?;
    Ok(())
}

/// The organisation's groups that these people are in, or that have a pending invite to or by them, asleep or
/// not.
pub(crate) async fn groups_of(
    conn: &mut Conn,
    permit: &Permit<EndMemberships, OrgId>,
    members: &[UserId],
) -> Result<Vec<GroupId>> {
    let org = Arg::Id(permit.target().uuid());
    let mut sql = Sql::new(
        "SELECT m.group_id FROM group_memberships m JOIN groups g ON g.id = m.group_id WHERE g.org_id = ",
    );
    sql.bind(org.clone()).push(" AND m.member_id IN (").bind_all(ids(members)).push(")");
    sql.push(
        " UNION SELECT i.group_id FROM group_invites i JOIN groups g ON g.id = i.group_id WHERE g.org_id = ",
    );
    sql.bind(org.clone()).push(" AND i.state = 'pending' AND (i.invitee_id IN (").bind_all(ids(members));
    sql.push(") OR i.inviter_id IN (").bind_all(ids(members)).push("))");
    sql.push(
        " UNION SELECT i.group_id FROM org_invites o JOIN dormant_group_invites d ON d.org_invite_id = o.id \
         JOIN group_invites i ON i.id = d.group_invite_id WHERE o.state = 'pending' AND o.org_id = ",
    );
    sql.bind(org).push(" AND o.invitee_email IN (SELECT email FROM users WHERE id IN (");
    sql.bind_all(ids(members)).push("))");
    let found: Vec<(GroupId,)> = sql.fetch_all(conn).await?;
    Ok(found.into_iter().map(|(id,)| id).collect())
}

/// What leaving an organisation did to its groups.
#[derive(Default)]
pub(crate) struct Departure {
    /// Memberships that ended, with their roles.
    pub(crate) left: Vec<(GroupId, UserId, Option<Role>)>,
    /// Groups whose last owner went.
    pub(crate) orphaned: Vec<GroupId>,
    /// Who became their owners.
    pub(crate) adoptions: Vec<Adoption>,
    /// Pending invites to or by these people, which were revoked.
    pub(crate) revoked: Vec<(InviteId, Option<GroupId>)>,
}

/// A group that fell to an owner of the organisation.
pub(crate) struct Adoption {
    pub(crate) group: GroupId,
    pub(crate) heir: UserId,
    pub(crate) was_member: bool,
    pub(crate) before: Option<Role>,
}

/// Takes people out of all groups of an organisation; groups without an owner then fall to `heirs`.
/// The caller holds the locks of the organisation and of those groups.
pub(crate) async fn leave_groups(
    tx: &mut Tx,
    permit: &Permit<EndMemberships, OrgId>,
    leaving: &[UserId],
    heirs: &[UserId],
) -> Result<Departure> {
    let mut departure = Departure::default();
    let org = Arg::Id(permit.target().uuid());
    let mut sql = Sql::new(
        "SELECT m.group_id, m.member_id, m.role FROM group_memberships m JOIN groups g ON g.id = m.group_id WHERE g.org_id = ",
    );
    sql.bind(org.clone()).push(" AND (m.role = 'owner' OR m.member_id IN (").bind_all(ids(leaving));
    sql.push(") OR m.member_id IN (").bind_all(ids(heirs)).push(")) ORDER BY m.group_id, m.member_id");
    let found: Vec<(GroupId, UserId, Option<String>)> = sql.fetch_all(tx).await?;
    let mut groups: BTreeMap<GroupId, BTreeMap<UserId, Option<Role>>> = BTreeMap::new();
    for (group, member, role) in found {
        groups.entry(group).or_default().insert(member, role.as_deref().and_then(Role::parse));
    }
    for (group, members) in groups {
        let (goes, stays): (Vec<_>, Vec<_>) =
            members.iter().partition(|(member, _)| leaving.binary_search(member).is_ok());
        let owns = |(_, role): &(&UserId, &Option<Role>)| **role == Some(Role::Owner);
        if goes.iter().any(owns) && !stays.iter().any(owns) {
            departure.orphaned.push(group);
            departure.adoptions.extend(heirs.iter().map(|heir| Adoption {
                group,
                heir: *heir,
                was_member: members.contains_key(heir),
                before: members.get(heir).copied().flatten(),
            }));
        }
        departure.left.extend(goes.into_iter().map(|(member, role)| (group, *member, *role)));
    }
    for chunk in departure.adoptions.chunks(MOST_ROWS) {
        let mut sql = Sql::new("INSERT INTO group_memberships (group_id, member_id, role) VALUES ");
        for (item, adoption) in chunk.iter().enumerate() {
            sql.push(if item == 0 { "(" } else { ", (" }).bind(Arg::Id(adoption.group.uuid()));
            sql.push(", ").bind(Arg::Id(adoption.heir.uuid())).push(", 'owner')");
        }
        sql.push(" ON CONFLICT (group_id, member_id) DO UPDATE SET role = 'owner'");
        sql.execute(tx).await?;
    }
    let mut sql = Sql::new("DELETE FROM group_memberships WHERE member_id IN (");
    sql.bind_all(ids(leaving)).push(") AND group_id IN (SELECT id FROM groups WHERE org_id = ");
    sql.bind(org.clone()).push(")");
    sql.execute(tx).await?;
    departure.revoked = revoke_invites(tx, org, leaving).await?;
    Ok(departure)
}

/// Revokes the pending invites to the organisation, with what sleeps on them, and those to groups of it, that
/// these people received or sent.
async fn revoke_invites(
    tx: &mut Tx,
    org: Arg,
    leaving: &[UserId],
) -> Result<Vec<(InviteId, Option<GroupId>)>> {
    if planted!("I11: invites outlive a membership of the organisation") {
        return Ok(Vec::new());
    }
    let now = tx.now();
    let mut sql = Sql::new("SELECT id FROM org_invites WHERE state = 'pending' AND org_id = ");
    sql.bind(org.clone()).push(" AND expires_at > ").bind(Arg::Time(now));
    sql.push(" AND inviter_id IN (").bind_all(ids(leaving));
    // By address: one that sleeps has no invitee, and would let them in again just so.
    sql.push(") UNION SELECT id FROM org_invites WHERE state = 'pending' AND org_id = ").bind(org.clone());
    sql.push(" AND expires_at > ").bind(Arg::Time(now));
    sql.push(" AND invitee_email IN (SELECT email FROM users WHERE id IN (").bind_all(ids(leaving));
    sql.push(")) ORDER BY id");
    let invites: Vec<(InviteId,)> = sql.fetch_all(tx).await?;
    let invites: Vec<InviteId> = invites.into_iter().map(|(id,)| id).collect();
    let (ended, sleepers) = super::invites::end_orgs(tx, &invites, InviteState::Revoked).await?;
    let mut sql = super::invites::open_groups(now);
    sql.push(" AND (i.invitee_id IN (").bind_all(ids(leaving));
    sql.push(") OR i.inviter_id IN (").bind_all(ids(leaving));
    sql.push(")) AND i.group_id IN (SELECT id FROM groups WHERE org_id = ").bind(org);
    sql.push(") ORDER BY i.id");
    let invites: Vec<(InviteId,)> = sql.fetch_all(tx).await?;
    let invites: Vec<InviteId> = invites.into_iter().map(|(id,)| id).collect();
    let groups = super::invites::end_groups(tx, &invites, InviteState::Revoked).await?;
    let in_groups = sleepers.into_iter().chain(groups).map(|(id, group)| (id, Some(group)));
    Ok(ended.into_iter().map(|id| (id, None)).chain(in_groups).collect())
}

#[derive(sqlx::FromRow)]
struct Row {
    member_id: UserId,
    role: String,
    email: Email,
}

impl Keyed<MemberOrder> for Row {
    fn key(&self, order: &MemberOrder) -> Option<Arg> {
        match order {
            MemberOrder::Id => None,
            MemberOrder::Email => Some(Arg::Text(self.email.as_str().to_owned())),
        }
    }
    fn id(&self) -> Arg {
        Arg::Id(self.member_id.uuid())
    }
    fn content(&self) -> usize {
        0
    }
}

/// A page of an organisation's members, with their addresses.
pub(crate) async fn list(
    conn: &mut Conn,
    keyring: &Keyring,
    user: &UserActor,
    permit: &Permit<View, OrgId>,
    filter: &MemberFilter,
    query: &PageQuery<MemberOrder>,
) -> Result<Page<Member>> {
    let mut condition = Sql::new("m.org_id = ");
    condition.bind(Arg::Id(permit.target().uuid()));
    match filter.role {
        Some(role) => condition.push(" AND m.role = ").bind(Arg::Text(role.as_str().to_owned())),
        None => condition.push(" AND m.role IN ('viewer', 'editor', 'admin', 'owner')"),
    };
    if let Some(email) = &filter.email {
        condition.and_name_contains(conn, "u.email", email.as_str());
    }
    // True, and there to bind the cursor to the caller.
    condition.push(" AND ").bind(Arg::Id(user.id().uuid())).push(" IS NOT NULL");
    let listing = Listing {
        select: Sql::new(
            "SELECT m.member_id, m.role, u.email FROM org_memberships m JOIN users u ON u.id = m.member_id",
        ),
        count: Sql::new("SELECT 1 AS one FROM org_memberships m JOIN users u ON u.id = m.member_id"),
        filter: condition,
        key: match query.order() {
            MemberOrder::Id => None,
            MemberOrder::Email => Some(OrderKey { sqlite: "u.email", postgres: "u.email" }),
        },
        id: "m.member_id",
        reading: Reading::Plain,
    };
    let page: Page<Row> = page::fetch(conn, keyring, listing, query).await?;
    Ok(page.map(|row| Member {
        member_id: row.member_id,
        email: Some(row.email),
        // The condition lets no other text through.
        role: Role::parse(&row.role).unwrap_or(Role::Viewer),
    }))
}

//! Invites as they are shown: one, or a page of them. A page is three statements, whatever is on it.

use std::collections::HashMap;

use super::ids;
use crate::{
    access::{Invitations, InvitePermit, Role},
    actor::UserActor,
    clock::Timestamp,
    error::{Error, Result},
    ids::{GroupId, InviteId, OrgId, UserId},
    invites::{
        GroupOffer, Invite, InviteFilter, InviteKind, InviteOrder,
        life::{InviteMode, InviteState},
    },
    page::{Page, PageQuery},
    secret::Keyring,
    store::{
        Conn,
        invites::Door,
        page::{self, Keyed, Listing, OrderKey, Reading},
        sql::{Arg, Now, Sql},
    },
    text::{Email, RedirectPath},
};

/// Names and addresses come by sub-selects, which are asked for the rows of a page only.
const SELECT: &str = "SELECT v.id, v.kind, v.state, v.invitee_id, \
     COALESCE(v.invitee_email, (SELECT u.email FROM users u WHERE u.id = v.invitee_id)) AS invitee_email, \
     v.invitee_role, v.inviter_id, (SELECT u.email FROM users u WHERE u.id = v.inviter_id) AS inviter_email, \
     v.org_id, (SELECT o.name FROM orgs o WHERE o.id = v.org_id) AS org_name, \
     v.group_id, (SELECT g.name FROM groups g WHERE g.id = v.group_id) AS group_name, \
     v.mode, v.redirect_path, v.created_at, v.expires_at, v.org_invite_id FROM invites v";

#[derive(sqlx::FromRow)]
struct Row {
    id: InviteId,
    kind: String,
    state: String,
    invitee_id: Option<UserId>,
    invitee_email: Option<Email>,
    invitee_role: Option<String>,
    inviter_id: UserId,
    inviter_email: Option<Email>,
    org_id: Option<OrgId>,
    org_name: Option<String>,
    group_id: Option<GroupId>,
    group_name: Option<String>,
    mode: Option<String>,
    redirect_path: Option<String>,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    org_invite_id: Option<InviteId>,
}

impl Row {
    /// The organisation invite that holds this one's offers of groups.
    fn offers_of(&self) -> InviteId {
        match self.kind.as_str() {
            "platform" => self.org_invite_id.unwrap_or(self.id),
            _ => self.id,
        }
    }

    fn seen_at(self, now: Timestamp, group_invites: Vec<GroupOffer>) -> Invite {
        let kind = InviteKind::parse(&self.kind).unwrap_or(InviteKind::Platform);
        let state = InviteState::at(&self.state, self.expires_at, now);
        Invite {
            id: self.id,
            kind,
            state,
            dormant: state == InviteState::Pending
                && self.invitee_id.is_none()
                && kind != InviteKind::Platform,
            invitee_id: self.invitee_id,
            invitee_email: self.invitee_email,
            invitee_role: self.invitee_role.as_deref().and_then(Role::parse),
            inviter_id: self.inviter_id,
            inviter_email: self.inviter_email,
            org_id: self.org_id,
            org_name: self.org_name,
            group_id: self.group_id,
            group_name: self.group_name,
            group_invites,
            mode: self.mode.as_deref().and_then(InviteMode::parse).filter(|_| kind == InviteKind::Org),
            redirect_path: self.redirect_path.as_deref().and_then(|path| RedirectPath::try_from(path).ok()),
            created_at: self.created_at,
            expires_at: self.expires_at,
        }
    }
}

impl Keyed<InviteOrder> for Row {
    fn key(&self, order: &InviteOrder) -> Option<Arg> {
        match order {
            InviteOrder::Id => None,
            InviteOrder::CreatedAt => Some(Arg::Time(self.created_at)),
        }
    }
    fn id(&self) -> Arg {
        Arg::Id(self.id.uuid())
    }
    fn content(&self) -> usize {
        0
    }
}

/// One invite.
pub(crate) async fn view<A>(conn: &mut Conn, permit: &InvitePermit<A>, now: Timestamp) -> Result<Invite> {
    one(conn, permit.id(), now).await
}

/// The invite that a platform invite leads to, for whoever holds its secret.
pub(crate) async fn view_by_secret(conn: &mut Conn, door: &Door, now: Timestamp) -> Result<Invite> {
    one(conn, door.org_invite.unwrap_or(door.id), now).await
}

/// Several invites, for letters about them.
pub(crate) async fn all_of(conn: &mut Conn, invites: &[InviteId], now: Timestamp) -> Result<Vec<Invite>> {
    let mut sql = Sql::new(SELECT);
    sql.push(" WHERE v.id IN (").bind_all(ids(invites)).push(")");
    let rows: Vec<Row> = sql.fetch_all(conn).await?;
    let carriers: Vec<InviteId> = rows.iter().map(Row::offers_of).collect();
    let mut offers = offers(conn, &carriers).await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let groups = offers.remove(&row.offers_of()).unwrap_or_default();
            row.seen_at(now, groups)
        })
        .collect())
}

async fn one(conn: &mut Conn, id: InviteId, now: Timestamp) -> Result<Invite> {
    let mut sql = Sql::new(SELECT);
    sql.push(" WHERE v.id = ").bind(Arg::Id(id.uuid()));
    let row: Row = sql.fetch_one(conn).await?.ok_or(Error::NotFound)?;
    let offers = offers(conn, &[row.offers_of()]).await?.into_values().next().unwrap_or_default();
    Ok(row.seen_at(now, offers))
}

/// The groups that sleep on organisation invites.
pub(crate) async fn offers(
    conn: &mut Conn,
    org_invites: &[InviteId],
) -> Result<HashMap<InviteId, Vec<GroupOffer>>> {
    let mut sql = Sql::new(
        "SELECT d.org_invite_id, i.id, i.group_id, g.name, i.invitee_role FROM dormant_group_invites d \
         JOIN group_invites i ON i.id = d.group_invite_id JOIN groups g ON g.id = i.group_id \
         WHERE i.state = 'pending' AND d.org_invite_id IN (",
    );
    sql.bind_all(ids(org_invites)).push(") ORDER BY d.org_invite_id, i.id");
    let found: Vec<(InviteId, InviteId, GroupId, String, String)> = sql.fetch_all(conn).await?;
    let mut offers: HashMap<InviteId, Vec<GroupOffer>> = HashMap::new();
    for (org_invite, id, group_id, group_name, role) in found {
        let Some(member_role) = Role::parse(&role) else { continue };
        offers.entry(org_invite).or_default().push(GroupOffer { id, group_id, group_name, member_role });
    }
    Ok(offers)
}

/// A page of invites. Those that carry an organisation's invite to an address are shown when their
/// kind is asked for: otherwise one invitation would be two lines.
pub(crate) async fn list(
    conn: &mut Conn,
    keyring: &Keyring,
    user: &UserActor,
    shown: &Invitations,
    filter: &InviteFilter,
    query: &PageQuery<InviteOrder>,
    now: Timestamp,
) -> Result<Page<Invite>> {
    let mut condition = shown.condition().clone();
    match filter.kind {
        Some(kind) => {
            condition.push(" AND v.kind = ").bind(Arg::Text(kind.as_str().to_owned()));
        }
        None => {
            condition.push(" AND v.listed = 1");
        }
    }
    // True, and there to bind the cursor to the caller.
    condition.push(" AND ").bind(Arg::Id(user.id().uuid())).push(" IS NOT NULL");
    if let Some(state) = filter.state {
        in_state(&mut condition, state, now);
    }
    let listing = Listing {
        select: Sql::new(SELECT),
        count: Sql::new("SELECT 1 AS one FROM invites v"),
        filter: condition,
        key: match query.order() {
            InviteOrder::Id => None,
            InviteOrder::CreatedAt => Some(OrderKey { sqlite: "v.created_at", postgres: "v.created_at" }),
        },
        id: "v.id",
        reading: Reading::Plain,
    };
    let page: Page<Row> = page::fetch(conn, keyring, listing, query).await?;
    let carriers: Vec<InviteId> =
        page.items.iter().filter(|row| row.kind != "group").map(Row::offers_of).collect();
    let mut offers = if carriers.is_empty() { HashMap::new() } else { offers(conn, &carriers).await? };
    Ok(page.map(|row| {
        let groups = offers.remove(&row.offers_of()).unwrap_or_default();
        row.seen_at(now, groups)
    }))
}

/// The state that the invite is in at this moment, whatever its row says.
fn in_state(condition: &mut Sql, state: InviteState, now: Timestamp) {
    match state {
        InviteState::Pending => {
            condition.push(" AND v.state = 'pending' AND v.expires_at > ").bind(Arg::Now(Now(now)));
        }
        InviteState::Expired => {
            condition.push(" AND (v.state = 'expired' OR (v.state = 'pending' AND (v.expires_at IS NULL OR v.expires_at <= ");
            condition.bind(Arg::Now(Now(now))).push(")))");
        }
        InviteState::Accepted | InviteState::Declined => {
            condition.push(" AND v.state = ").bind(Arg::Text(state.as_str().to_owned()));
        }
        // As a row with a state that nothing recognises is shown.
        InviteState::Revoked => {
            condition.push(" AND v.state NOT IN ('pending', 'accepted', 'declined', 'expired')");
        }
    }
}

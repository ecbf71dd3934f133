//! Personal access tokens' rows: secrets as digests only.

use super::{
    Conn, Tx, on,
    page::{self, Keyed, Listing, OrderKey, Reading},
    rows,
    sql::{Arg, Sql},
};
use crate::{
    access::SelfPermit,
    actor::{PlatformRole, Within},
    clock::Timestamp,
    error::{Error, Result},
    identity::{
        tokens::{AccessToken, TokenOrder},
        users::UserStatus,
    },
    ids::{GroupId, OrgId, TokenId, UserId},
    page::{Page, PageQuery},
    secret::{Keyring, Secret},
};

/// A token and whose it is.
pub(crate) struct Found {
    pub(crate) id: TokenId,
    pub(crate) user: UserId,
    pub(crate) platform_role: Option<PlatformRole>,
    pub(crate) can_write: bool,
    pub(crate) within: Option<Within>,
    pub(crate) last_used_at: Option<Timestamp>,
}

/// A token, if it is still valid and its owner enabled: one indexed read.
pub(crate) async fn find(conn: &mut Conn, token: &Secret, now: Timestamp) -> Result<Option<Found>> {
    #[derive(sqlx::FromRow)]
    struct FoundRow {
        id: TokenId,
        user_id: UserId,
        can_write: bool,
        org_id: Option<OrgId>,
        group_id: Option<GroupId>,
        last_used_at: Option<Timestamp>,
        status: String,
        platform_role: Option<String>,
    }
    let found: Option<FoundRow> = on!(conn, conn => sqlx::query_as(
        "SELECT t.id, t.user_id, t.can_write, t.org_id, t.group_id, t.last_used_at, u.status, u.platform_role \
         FROM access_tokens t JOIN users u ON u.id = t.user_id \
         WHERE t.digest = $1 AND (t.expires_at IS NULL OR t.expires_at > $2)")
        .bind(token.digest()).bind(now).fetch_optional(conn))?;
    Ok(found.filter(|row| UserStatus::from_stored(&row.status) == UserStatus::Enabled).map(|row| Found {
        id: row.id,
        user: row.user_id,
        platform_role: row.platform_role.as_deref().and_then(PlatformRole::parse),
        can_write: row.can_write,
        within: within(row.org_id, row.group_id),
        last_used_at: row.last_used_at,
    }))
}

/// Notes a use, unless one was noted after `unless_since`.
// tidy: no permit, because the token itself has just been proved.
pub(crate) async fn note_use(tx: &mut Tx, id: TokenId, unless_since: Timestamp) -> Result<()> {
    let now = tx.now();
    rows!(tx, sqlx::query(
        "UPDATE access_tokens SET last_used_at = $2 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at <= $3)")
        .bind(id).bind(now).bind(unless_since))?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct Row {
    id: TokenId,
    name: String,
    can_write: bool,
    org_id: Option<OrgId>,
    group_id: Option<GroupId>,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    last_used_at: Option<Timestamp>,
}

impl From<Row> for AccessToken {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            name: row.name,
            can_write: row.can_write,
            within: within(row.org_id, row.group_id),
            created_at: row.created_at,
            expires_at: row.expires_at,
            last_used_at: row.last_used_at,
        }
    }
}

fn within(org: Option<OrgId>, group: Option<GroupId>) -> Option<Within> {
    group.map(Within::Group).or(org.map(Within::Org))
}

pub(crate) async fn count(conn: &mut Conn, permit: &SelfPermit) -> Result<i64> {
    on!(conn, conn => sqlx::query_scalar("SELECT count(*) FROM access_tokens WHERE user_id = $1")
        .bind(permit.user()).fetch_one(conn))
}

pub(crate) async fn insert(
    tx: &mut Tx,
    permit: &SelfPermit,
    token: &AccessToken,
    value: &Secret,
) -> Result<()> {
    let (org, group) = match token.within {
        Some(Within::Org(org)) => (Some(org), None),
        Some(Within::Group(group)) => (None, Some(group)),
        None => (None, None),
    };
    rows!(tx, sqlx::query(
        "INSERT INTO access_tokens (id, user_id, name, digest, can_write, org_id, group_id, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)")
        .bind(token.id).bind(permit.user()).bind(token.name.as_str()).bind(value.digest()).bind(token.can_write)
        .bind(org).bind(group).bind(token.created_at).bind(token.expires_at))?;
    Ok(())
}

pub(crate) async fn get(conn: &mut Conn, permit: &SelfPermit, id: TokenId) -> Result<AccessToken> {
    let found: Option<Row> = on!(conn, conn => sqlx::query_as(
        "SELECT id, name, can_write, org_id, group_id, created_at, expires_at, last_used_at FROM access_tokens WHERE id = $1 AND user_id = $2")
        .bind(id).bind(permit.user()).fetch_optional(conn))?;
    found.map(AccessToken::from).ok_or(Error::NotFound)
}

/// Deletes one token; tells whether it was there.
pub(crate) async fn delete(tx: &mut Tx, permit: &SelfPermit, id: TokenId) -> Result<bool> {
    let deleted = rows!(
        tx,
        sqlx::query("DELETE FROM access_tokens WHERE id = $1 AND user_id = $2").bind(id).bind(permit.user())
    )?;
    Ok(deleted > 0)
}

impl Keyed<TokenOrder> for Row {
    fn key(&self, order: &TokenOrder) -> Option<Arg> {
        match order {
            TokenOrder::Id => None,
            TokenOrder::Name => Some(Arg::Text(self.name.to_ascii_lowercase())),
        }
    }
    fn id(&self) -> Arg {
        Arg::Id(self.id.uuid())
    }
    fn content(&self) -> usize {
        0
    }
}

pub(crate) async fn list(
    conn: &mut Conn,
    keyring: &Keyring,
    permit: &SelfPermit,
    query: &PageQuery<TokenOrder>,
) -> Result<Page<AccessToken>> {
    let mut mine = Sql::new("t.user_id = ");
    mine.bind(Arg::Id(permit.user().uuid()));
    let listing = Listing {
        select: Sql::new(
            "SELECT t.id, t.name, t.can_write, t.org_id, t.group_id, t.created_at, t.expires_at, t.last_used_at FROM access_tokens t",
        ),
        count: Sql::new("SELECT 1 AS one FROM access_tokens t"),
        filter: mine,
        key: match query.order() {
            TokenOrder::Id => None,
            TokenOrder::Name => Some(OrderKey {
                sqlite: "lower(t.name)",
                postgres: "lower(t.name COLLATE \"C\") COLLATE \"C\"",
            }),
        },
        id: "t.id",
        reading: Reading::Plain,
    };
    let page: Page<Row> = page::fetch(conn, keyring, listing, query).await?;
    Ok(page.map(AccessToken::from))
}

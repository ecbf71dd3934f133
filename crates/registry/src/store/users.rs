//! Accounts' rows.

use super::{
    Conn, Tx, on,
    page::{self, Keyed, Listing, OrderKey, Reading},
    rows,
    sql::{Arg, RawJson, Sql},
};
use crate::{
    access::{AccountPermit, PlatformPermit, RegistrationPermit, SelfPermit, Via},
    actor::PlatformRole,
    clock::Timestamp,
    error::{Error, Result},
    identity::users::{User, UserFilter, UserOrder, UserStatus},
    ids::UserId,
    json::JsonObject,
    page::{Page, PageQuery},
    secret::Keyring,
    text::Email,
    trusted::Known,
};

#[derive(sqlx::FromRow)]
struct Row {
    id: UserId,
    email: Email,
    status: String,
    platform_role: Option<String>,
    metadata: Option<sqlx::types::Json<JsonObject>>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<Row> for User {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            email: row.email,
            metadata: row.metadata.map(|json| json.0).unwrap_or_default(),
            status: UserStatus::from_stored(&row.status),
            platform_role: row.platform_role.as_deref().and_then(PlatformRole::parse),
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

pub(crate) async fn get(conn: &mut Conn, permit: &AccountPermit) -> Result<User> {
    let found: Option<Row> = on!(conn, conn => sqlx::query_as(
        "SELECT id, email, status, platform_role, metadata, created_at, updated_at FROM users WHERE id = $1")
        .bind(permit.user()).fetch_optional(conn))?;
    found.map(User::from).ok_or(Error::NotFound)
}

pub(crate) async fn insert(
    tx: &mut Tx,
    permit: &RegistrationPermit,
    user: &User,
    password_hash: &str,
) -> Result<()> {
    // People who make themselves an account have not shown that the address is theirs.
    let verified_at = (permit.via() != Via::Public).then_some(user.created_at);
    rows!(tx, sqlx::query(
        "INSERT INTO users (id, email, password_hash, status, platform_role, metadata, created_at, updated_at, verified_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)")
        .bind(user.id).bind(user.email.as_str()).bind(password_hash).bind(user.status.as_str())
        .bind(user.platform_role.map(PlatformRole::as_str)).bind(RawJson(user.metadata.to_text()))
        .bind(user.created_at).bind(user.updated_at).bind(verified_at))?;
    Ok(())
}

/// The person has shown that the account's address is theirs.
pub(crate) async fn verify(tx: &mut Tx, permit: &SelfPermit) -> Result<()> {
    prove(tx, permit.user()).await
}

/// The same, by the token of a reset, which went to that address alone.
// tidy: no permit, because whoever comes here has shown a reset's token.
pub(crate) async fn verify_by_reset(tx: &mut Tx, account: &Account) -> Result<()> {
    prove(tx, account.id).await
}

// tidy: no permit, because the two above have asked for what it takes.
async fn prove(tx: &mut Tx, user: UserId) -> Result<()> {
    let now = tx.now();
    rows!(
        tx,
        sqlx::query("UPDATE users SET verified_at = COALESCE(verified_at, $2) WHERE id = $1")
            .bind(user)
            .bind(now)
    )?;
    Ok(())
}

pub(crate) async fn update_metadata(tx: &mut Tx, permit: &SelfPermit, user: &User) -> Result<()> {
    rows!(
        tx,
        sqlx::query("UPDATE users SET metadata = $2, updated_at = $3 WHERE id = $1")
            .bind(permit.user())
            .bind(RawJson(user.metadata.to_text()))
            .bind(user.updated_at)
    )?;
    Ok(())
}

pub(crate) async fn set_status(
    tx: &mut Tx,
    _: &PlatformPermit,
    account: &AccountPermit,
    status: UserStatus,
) -> Result<()> {
    let now = tx.now();
    rows!(
        tx,
        sqlx::query("UPDATE users SET status = $2, updated_at = $3 WHERE id = $1")
            .bind(account.user())
            .bind(status.as_str())
            .bind(now)
    )?;
    Ok(())
}

/// How many people could administer the platform without this one.
pub(crate) async fn other_platform_admins(
    conn: &mut Conn,
    _: &PlatformPermit,
    account: &AccountPermit,
) -> Result<i64> {
    on!(conn, conn => sqlx::query_scalar(
        "SELECT count(*) FROM users WHERE status = 'enabled' AND platform_role IN ('admin', 'root') AND id <> $1")
        .bind(account.user()).fetch_one(conn))
}

/// What it takes to let somebody in.
#[derive(Clone)]
pub(crate) struct Account {
    pub(crate) id: UserId,
    pub(crate) email: Email,
    pub(crate) password_hash: Option<String>,
    pub(crate) status: UserStatus,
    pub(crate) platform_role: Option<PlatformRole>,
}

#[derive(sqlx::FromRow)]
struct AccountRow {
    id: UserId,
    email: Email,
    password_hash: Option<String>,
    status: String,
    platform_role: Option<String>,
}

impl From<AccountRow> for Account {
    fn from(row: AccountRow) -> Self {
        Self {
            id: row.id,
            email: row.email,
            password_hash: row.password_hash,
            status: UserStatus::from_stored(&row.status),
            platform_role: row.platform_role.as_deref().and_then(PlatformRole::parse),
        }
    }
}

/// The account of this address, for those who come to prove that it is theirs.
pub(crate) async fn account_by_email(conn: &mut Conn, email: &Email) -> Result<Option<Account>> {
    let found: Option<AccountRow> = on!(conn, conn => sqlx::query_as(
        "SELECT id, email, password_hash, status, platform_role FROM users WHERE email = $1")
        .bind(email.as_str()).fetch_optional(conn))?;
    Ok(found.map(Account::from))
}

/// The account of this id, for those who prove that it is theirs.
pub(crate) async fn account(conn: &mut Conn, id: UserId) -> Result<Option<Account>> {
    let found: Option<AccountRow> = on!(conn, conn => sqlx::query_as(
        "SELECT id, email, password_hash, status, platform_role FROM users WHERE id = $1")
        .bind(id).fetch_optional(conn))?;
    Ok(found.map(Account::from))
}

/// The enabled accounts with one of these ids or addresses, in ascending order of id: for services that
/// the installation trusts.
pub(crate) async fn enabled(conn: &mut Conn, ids: &[UserId], emails: &[Email]) -> Result<Vec<Known>> {
    let mut sql = Sql::new("SELECT id, email FROM users WHERE status = 'enabled' AND ");
    if emails.is_empty() {
        sql.push("id IN (").bind_all(ids.iter().map(|id| Arg::Id(id.uuid())));
    } else {
        sql.push("email IN (").bind_all(emails.iter().map(|email| Arg::Text(email.as_str().to_owned())));
    }
    sql.push(") ORDER BY id");
    let found: Vec<(UserId, Email)> = sql.fetch_all(conn).await?;
    Ok(found.into_iter().map(|(id, email)| Known { id, email }).collect())
}

// tidy: no permit, because whoever sets a password has proved the old one or holds a reset's token.
pub(crate) async fn set_password_hash(tx: &mut Tx, account: &Account, password_hash: &str) -> Result<()> {
    rows!(
        tx,
        sqlx::query("UPDATE users SET password_hash = $2 WHERE id = $1").bind(account.id).bind(password_hash)
    )?;
    Ok(())
}

/// Whether there is anybody who administers the platform.
pub(crate) async fn any_platform_admin(conn: &mut Conn) -> Result<bool> {
    let found: i64 = on!(conn, conn => sqlx::query_scalar(
        "SELECT count(*) FROM (SELECT id FROM users WHERE platform_role IN ('admin', 'root') LIMIT 1) AS one").fetch_one(conn))?;
    Ok(found > 0)
}

/// Whether there is a password whose hash is one of bcrypt's: it comes from Mainflux.
pub(crate) async fn any_bcrypt(conn: &mut Conn) -> Result<bool> {
    let found: i64 = on!(conn, conn => sqlx::query_scalar(
        "SELECT count(*) FROM (SELECT id FROM users WHERE password_hash LIKE '$2%' LIMIT 1) AS one").fetch_one(conn))?;
    Ok(found > 0)
}

impl Keyed<UserOrder> for Row {
    fn key(&self, order: &UserOrder) -> Option<Arg> {
        match order {
            UserOrder::Id => None,
            UserOrder::Email => Some(Arg::Text(self.email.as_str().to_owned())),
            UserOrder::CreatedAt => Some(Arg::Time(self.created_at)),
            UserOrder::UpdatedAt => Some(Arg::Time(self.updated_at)),
        }
    }
    fn id(&self) -> Arg {
        Arg::Id(self.id.uuid())
    }
    fn content(&self) -> usize {
        page::content(self.metadata.as_ref())
    }
}

pub(crate) async fn list(
    conn: &mut Conn,
    keyring: &Keyring,
    _: &PlatformPermit,
    filter: &UserFilter,
    query: &PageQuery<UserOrder>,
) -> Result<Page<User>> {
    let mut condition = Sql::new("1 = 1");
    if let Some(email) = &filter.email {
        condition.and_name_contains(conn, "u.email", email.as_str());
    }
    if let Some(status) = filter.status {
        condition.push(" AND u.status = ").bind(Arg::Text(status.as_str().to_owned()));
    }
    if let Some(metadata) = &filter.metadata {
        condition.and_json_contains(conn, "u.metadata", metadata)?;
    }
    let same = |column| Some(OrderKey { sqlite: column, postgres: column });
    let listing = Listing {
        select: Sql::new(
            "SELECT u.id, u.email, u.status, u.platform_role, u.metadata, u.created_at, u.updated_at FROM users u",
        ),
        count: Sql::new("SELECT 1 AS one FROM users u"),
        filter: condition,
        key: match query.order() {
            UserOrder::Id => None,
            UserOrder::Email => same("u.email"),
            UserOrder::CreatedAt => same("u.created_at"),
            UserOrder::UpdatedAt => same("u.updated_at"),
        },
        id: "u.id",
        reading: Reading::Plain,
    };
    let page: Page<Row> = page::fetch(conn, keyring, listing, query).await?;
    Ok(page.map(User::from))
}

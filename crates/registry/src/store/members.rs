//! Accounts, as those who make members of them look them up.

use super::{
    Conn,
    sql::{Arg, Sql},
};
use crate::{
    access::{Administer, Permit, Target},
    clock::Timestamp,
    error::Result,
    identity::users::UserStatus,
    ids::UserId,
    members::{Account, MemberRef},
    text::Email,
};

/// Those of the named accounts that exist, in any order.
pub(crate) async fn accounts<T: Target>(
    conn: &mut Conn,
    _: &Permit<Administer, T>,
    who: &[&MemberRef],
) -> Result<Vec<Account>> {
    let (mut ids, mut emails) = (Vec::new(), Vec::new());
    for who in who {
        match who {
            MemberRef::Id(id) | MemberRef::Both(id, _) => ids.push(Arg::Id(id.uuid())),
            MemberRef::Email(email) => emails.push(Arg::Text(email.as_str().to_owned())),
        }
    }
    let mut sql = Sql::new("SELECT id, email, status, verified_at FROM users WHERE id IN (");
    sql.bind_all(ids).push(") OR email IN (").bind_all(emails).push(")");
    read(conn, &sql).await
}

/// Those of the accounts of these addresses that exist, in any order.
pub(crate) async fn accounts_of<T: Target>(
    conn: &mut Conn,
    _: &Permit<Administer, T>,
    emails: &[Email],
) -> Result<Vec<Account>> {
    let mut sql = Sql::new("SELECT id, email, status, verified_at FROM users WHERE email IN (");
    sql.bind_all(emails.iter().map(|email| Arg::Text(email.as_str().to_owned()))).push(")");
    read(conn, &sql).await
}

async fn read(conn: &mut Conn, sql: &Sql) -> Result<Vec<Account>> {
    type Row = (UserId, Email, String, Option<Timestamp>);
    let found: Vec<Row> = sql.fetch_all(conn).await?;
    let account = |(id, email, status, verified_at): Row| Account {
        id,
        email,
        status: UserStatus::from_stored(&status),
        verified: verified_at.is_some(),
    };
    Ok(found.into_iter().map(account).collect())
}

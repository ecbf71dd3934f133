//! Accounts, as those who make members of them look them up.

use super::{
    Conn,
    sql::{Arg, Sql},
};
use crate::{
    access::{Administer, Permit, Target},
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
    let mut sql = Sql::new("SELECT id, email, status FROM users WHERE id IN (");
    sql.bind_all(ids).push(") OR email IN (").bind_all(emails).push(")");
    let found: Vec<(UserId, Email, String)> = sql.fetch_all(conn).await?;
    let account = |(id, email, status): (UserId, Email, String)| Account {
        id,
        email,
        status: UserStatus::from_stored(&status),
    };
    Ok(found.into_iter().map(account).collect())
}

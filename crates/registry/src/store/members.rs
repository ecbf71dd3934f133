//! Accounts, as those who make members of them look them up.

use super::{
    Conn,
    sql::{Arg, Sql},
};
use crate::{
    access::{Administer, Permit, Target},
    error::Result,
    ids::UserId,
    members::{MemberRef, NewMember},
    text::Email,
};

/// Those of the named accounts that exist and are enabled, in any order.
pub(crate) async fn accounts<T: Target>(
    conn: &mut Conn,
    _: &Permit<Administer, T>,
    members: &[NewMember],
) -> Result<Vec<(UserId, Email)>> {
    let (mut ids, mut emails) = (Vec::new(), Vec::new());
    for member in members {
        match &member.who {
            MemberRef::Id(id) => ids.push(Arg::Id(id.uuid())),
            MemberRef::Email(email) => emails.push(Arg::Text(email.as_str().to_owned())),
        }
    }
    let mut sql = Sql::new("SELECT id, email FROM users WHERE status = 'enabled' AND (id IN (");
    sql.bind_all(ids).push(") OR email IN (").bind_all(emails).push("))");
    sql.fetch_all(conn).await
}

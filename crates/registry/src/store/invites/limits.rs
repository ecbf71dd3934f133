//! How much has been sent: what limits are counted by.

use crate::{
    clock::Timestamp,
    error::Result,
    ids::UserId,
    store::{Conn, on},
};

/// How many invites a person has sent or sent again since a moment, and when the first of them. A group's that
/// came along with an organisation's is counted with that, also once it has woken, of which the entry of its
/// making tells; and one that another sleeps on is counted with it. Of what was sent again the person's last
/// 2,000 changes are looked at.
pub(crate) async fn sent_since(
    conn: &mut Conn,
    inviter: UserId,
    since: Timestamp,
) -> Result<(i64, Option<Timestamp>)> {
    let (sent, first): (i64, Option<Timestamp>) = on!(conn, conn => sqlx::query_as(
        "SELECT count(*), min(v.created_at) FROM invites v WHERE v.inviter_id = $1 AND v.created_at > $2 AND v.org_invite_id IS NULL AND v.expires_at IS NOT NULL \
         AND NOT (v.kind = 'group' AND EXISTS (SELECT 1 FROM journal j WHERE j.subject_id = v.id AND j.action = 'invite.created' AND CAST(j.changes AS TEXT) LIKE '%\"sleeps_on\"%'))")
        .bind(inviter).bind(since).fetch_one(conn))?;
    let (again, first_again): (i64, Option<Timestamp>) = on!(conn, conn => sqlx::query_as(
        "SELECT count(*), min(at) FROM (SELECT at, action FROM journal WHERE actor_id = $1 ORDER BY id DESC LIMIT 2000) AS lately \
         WHERE at > $2 AND action = 'invite.resent'")
        .bind(inviter).bind(since).fetch_one(conn))?;
    Ok((sent + again, [first, first_again].into_iter().flatten().min()))
}

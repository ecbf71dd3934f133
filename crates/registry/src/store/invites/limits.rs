//! How much has been sent: what limits are counted by.

use std::collections::HashMap;

use super::ids;
use crate::{
    clock::Timestamp,
    error::Result,
    ids::{InviteId, UserId},
    store::{
        Conn, on,
        sql::{Arg, Sql},
    },
    text::Email,
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

/// How many mails about invites, made or sent again, each of these addresses was sent since a moment, wherever
/// they lead: told by the journal, which has an entry for each. What wakes is not counted, since the person
/// brought that about. What was mailed since then ends later than that, so no other invite is looked at.
/// Requests of several places at once do not see each other, so a few more may come through.
pub(crate) async fn mailed_to(
    conn: &mut Conn,
    emails: &[Email],
    since: Timestamp,
) -> Result<HashMap<Email, i64>> {
    let addresses = || emails.iter().map(|email| Arg::Text(email.as_str().to_owned()));
    let mut sql = Sql::new("");
    for (part, select) in [
        "SELECT i.id, i.invitee_email FROM org_invites i WHERE i.invitee_email IN (",
        "SELECT i.id, i.invitee_email FROM platform_invites i WHERE i.invitee_email IN (",
        "SELECT i.id, u.email FROM users u JOIN group_invites i ON i.invitee_id = u.id WHERE u.email IN (",
    ]
    .into_iter()
    .enumerate()
    {
        sql.push(if part == 0 { "" } else { " UNION ALL " }).push(select).bind_all(addresses());
        sql.push(") AND i.expires_at > ").bind(Arg::Time(since));
    }
    let invites: HashMap<InviteId, Email> = sql.fetch_all(conn).await?.into_iter().collect();
    let all: Vec<InviteId> = invites.keys().copied().collect();
    let mut mails: HashMap<Email, i64> = HashMap::new();
    // A query of its own: as a join PostgreSQL reads all of the journal while it has no statistics.
    for chunk in all.chunks(5_000) {
        let mut sql = Sql::new("SELECT subject_id FROM journal WHERE subject_id IN (");
        sql.bind_all(ids(chunk)).push(") AND at > ").bind(Arg::Time(since));
        sql.push(
            " AND (action = 'invite.resent' OR (action = 'invite.created' AND (changes IS NULL OR CAST(changes AS TEXT) NOT LIKE '%\"sleeps_on\"%')))",
        );
        for (id,) in sql.fetch_all::<(InviteId,)>(conn).await? {
            if let Some(email) = invites.get(&id) {
                *mails.entry(email.clone()).or_default() += 1;
            }
        }
    }
    Ok(mails)
}

//! How much has been sent: what limits are counted by. The rows are of no invite, because one goes with its
//! place, and whoever may make a place may delete it.

use std::collections::HashMap;

use super::MOST_ROWS;
use crate::{
    clock::Timestamp,
    error::Result,
    ids::{InviteId, UserId},
    store::{
        Conn, Tx, on, rows,
        sql::{Arg, Sql},
    },
};

/// An invite that is made or sent again: its row's own id, and the digest of the address if it is mailed to.
pub(crate) type Sending = (InviteId, Option<Vec<u8>>);

/// Counts what a person sends, in the transaction of the sending.
// tidy: no permit, because it is the consequence of what callers hold one for.
pub(crate) async fn count_sent(tx: &mut Tx, inviter: UserId, sent: &[Sending]) -> Result<()> {
    let now = tx.now();
    for chunk in sent.chunks(MOST_ROWS) {
        let mut sql = Sql::new("INSERT INTO invite_mails (id, inviter_id, digest, at) VALUES ");
        for (item, (id, digest)) in chunk.iter().enumerate() {
            sql.push(if item == 0 { "(" } else { ", (" }).bind(Arg::Id(id.uuid())).push(", ");
            sql.bind(Arg::Id(inviter.uuid())).push(", ");
            match digest {
                Some(digest) => sql.bind(Arg::Bytes(digest.clone())),
                None => sql.push("NULL"),
            };
            sql.push(", ").bind(Arg::Time(now)).push(")");
        }
        sql.execute(tx).await?;
    }
    Ok(())
}

/// How many invites a person has sent or sent again since a moment, and when the first of them. A group's that
/// came along with an organisation's is counted with that.
pub(crate) async fn sent_since(
    conn: &mut Conn,
    inviter: UserId,
    since: Timestamp,
) -> Result<(i64, Option<Timestamp>)> {
    on!(conn, conn => sqlx::query_as("SELECT count(*), min(at) FROM invite_mails WHERE inviter_id = $1 AND at > $2")
        .bind(inviter).bind(since).fetch_one(conn))
}

/// How many mails about invites, made or sent again, the addresses of these digests were sent since a moment,
/// wherever they lead. What wakes is not counted, since the person brought that about. Requests of several
/// places at once do not see each other, so a few more may come through.
pub(crate) async fn mailed_to(
    conn: &mut Conn,
    digests: &[Vec<u8>],
    since: Timestamp,
) -> Result<HashMap<Vec<u8>, i64>> {
    let mut mails = HashMap::new();
    for chunk in digests.chunks(MOST_ROWS) {
        let mut sql = Sql::new("SELECT digest, count(*) FROM invite_mails WHERE digest IN (");
        sql.bind_all(chunk.iter().map(|digest| Arg::Bytes(digest.clone()))).push(") AND at > ");
        sql.bind(Arg::Time(since)).push(" GROUP BY digest");
        mails.extend(sql.fetch_all::<(Vec<u8>, i64)>(conn).await?);
    }
    Ok(mails)
}

/// Forgets what no limit counts any more.
// tidy: no permit, because the program tidies up after itself.
pub(crate) async fn sweep_sent(tx: &mut Tx, until: Timestamp) -> Result<()> {
    rows!(tx, sqlx::query("DELETE FROM invite_mails WHERE at <= $1").bind(until))?;
    Ok(())
}

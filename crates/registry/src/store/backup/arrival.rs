//! What was in an installation before a backup came into it: the account of who restores, and what the
//! journal had noted until then.

use crate::{
    access::PlatformPermit,
    actor::PlatformRole,
    backup::tables::{Cell, Table},
    error::{Error, Result},
    ids::UserId,
    store::{
        Tx, rows,
        sql::{Arg, RawJson, Sql},
    },
};

/// Who restores, and which account of the backup is theirs.
///
/// Their own account makes way for it: while rows come in, its address is none. The account that has their id,
/// or else their address, is theirs from then on, with the password, role and log-ins that they came with.
pub(crate) struct Restorer {
    id: UserId,
    email: String,
    password_hash: Option<String>,
    role: PlatformRole,
    /// The account of theirs in the backup.
    found: Option<(UserId, Option<String>)>,
}

/// What an account is called while its address is kept free: no address is spelt like this.
const AWAY: &str = "restoring";

impl Restorer {
    /// Makes way.
    pub(crate) async fn step_aside(tx: &mut Tx, _: &PlatformPermit, id: UserId) -> Result<Self> {
        let mut sql = Sql::new("SELECT email, password_hash, platform_role FROM users WHERE id = ");
        sql.bind(Arg::Id(id.uuid()));
        let found: Option<(String, Option<String>, Option<String>)> = sql.fetch_one(tx).await?;
        let (email, password_hash, role) = found.ok_or(Error::Unauthenticated)?;
        let role = role.as_deref().and_then(PlatformRole::parse).ok_or(Error::Unauthenticated)?;
        rows!(tx, sqlx::query("UPDATE users SET email = $2 WHERE id = $1").bind(id).bind(AWAY))?;
        Ok(Self { id, email, password_hash, role, found: None })
    }

    /// Which account is theirs by now.
    pub(crate) fn id(&self) -> UserId {
        self.found.as_ref().map_or(self.id, |(id, _)| *id)
    }

    /// Looks for the restorer among accounts that are about to be stored. The one with their id takes the place
    /// of the row that is there; which it is, is told, because it must not be stored again.
    // tidy: no permit, because making one has shown it.
    pub(crate) async fn look(
        &mut self,
        tx: &mut Tx,
        table: &Table,
        rows: &[Vec<Cell>],
    ) -> Result<Option<usize>> {
        for (at, row) in rows.iter().enumerate() {
            let text = |column| table.cell(row, column).text().map(str::to_owned);
            let Some(id) = table.cell(row, "id").id().map(UserId::from) else { continue };
            if id == self.id {
                self.found = Some((id, text("platform_role")));
                self.replace(tx, table, row).await?;
                return Ok(Some(at));
            }
            let by_id = self.found.as_ref().is_some_and(|(found, _)| *found == self.id);
            if !by_id && text("email").as_deref() == Some(&self.email) {
                self.found = Some((id, text("platform_role")));
            }
        }
        Ok(None)
    }

    // tidy: no permit, because making one has shown it.
    async fn replace(&self, tx: &mut Tx, table: &Table, row: &[Cell]) -> Result<()> {
        let text = |column| table.cell(row, column).text().map(str::to_owned);
        let time = |column| match table.cell(row, column) {
            Cell::Time(time) => Some(*time),
            _ => None,
        };
        let metadata = match table.cell(row, "metadata") {
            Cell::Json(object) => Some(RawJson(object.to_text())),
            _ => None,
        };
        rows!(tx, sqlx::query(
            "UPDATE users SET email = $2, metadata = $3, created_at = $4, updated_at = $5, verified_at = $6 WHERE id = $1")
            .bind(self.id).bind(text("email")).bind(metadata.clone()).bind(time("created_at"))
            .bind(time("updated_at")).bind(time("verified_at")))?;
        Ok(())
    }

    /// Comes back: as the account that was found, or beside those of the backup.
    // tidy: no permit, because making one has shown it.
    pub(crate) async fn come_back(&self, tx: &mut Tx) -> Result<()> {
        let Some((found, role)) = &self.found else {
            rows!(
                tx,
                sqlx::query("UPDATE users SET email = $2 WHERE id = $1")
                    .bind(self.id)
                    .bind(self.email.as_str())
            )?;
            return Ok(());
        };
        let stronger =
            role.as_deref().and_then(PlatformRole::parse).map_or(self.role, |role| role.max(self.role));
        rows!(
            tx,
            sqlx::query(
                "UPDATE users SET password_hash = $2, platform_role = $3, status = 'enabled' WHERE id = $1"
            )
            .bind(*found)
            .bind(self.password_hash.as_deref())
            .bind(stronger.as_str())
        )?;
        if *found == self.id {
            return Ok(());
        }
        for sql in [
            "UPDATE sessions SET user_id = $2 WHERE user_id = $1",
            "UPDATE access_tokens SET user_id = $2 WHERE user_id = $1",
            "UPDATE password_resets SET user_id = $2 WHERE user_id = $1",
            "UPDATE journal SET actor_id = $2 WHERE actor_id = $1 AND id < 0",
            "UPDATE journal SET subject_id = $2 WHERE subject_id = $1 AND id < 0",
        ] {
            rows!(tx, sqlx::query(sql).bind(self.id).bind(*found))?;
        }
        rows!(tx, sqlx::query("DELETE FROM users WHERE id = $1").bind(self.id))?;
        Ok(())
    }
}

/// Puts the journal's entries aside, under negative numbers, so that those of the backup keep theirs.
// tidy: no permit, because it is a part of a restore, which has shown one.
pub(crate) async fn park_journal(tx: &mut Tx) -> Result<()> {
    renumber(tx, 0, " - id FROM journal WHERE id > 0 ORDER BY id").await?;
    rows!(tx, sqlx::query("DELETE FROM journal WHERE id > 0"))?;
    rows!(tx, sqlx::query("UPDATE mails SET journal_id = -journal_id"))?;
    Ok(())
}

/// Puts them behind those of the backup.
// tidy: no permit, because it is a part of a restore, which has shown one.
pub(crate) async fn unpark_journal(tx: &mut Tx) -> Result<()> {
    let last: Option<(i64,)> =
        Sql::new("SELECT COALESCE(max(id), 0) FROM journal WHERE id > 0").fetch_one(tx).await?;
    let last = last.map_or(0, |(last,)| last);
    renumber(tx, last, " - id FROM journal WHERE id < 0 ORDER BY id DESC").await?;
    rows!(tx, sqlx::query("DELETE FROM journal WHERE id < 0"))?;
    rows!(tx, sqlx::query("UPDATE mails SET journal_id = $1 - journal_id WHERE journal_id < 0").bind(last))?;
    Ok(())
}

// tidy: no permit, because it is a part of a restore, which has shown one.
async fn renumber(tx: &mut Tx, from: i64, rest: &'static str) -> Result<()> {
    const ENTRY: &str = "at, org_id, group_id, actor_kind, actor_id, via, action, subject_kind, subject_id, subject_name, changes, request_id";
    let mut sql = Sql::new("INSERT INTO journal (");
    sql.push(ENTRY).push(", id)");
    if tx.is_postgres() {
        sql.push(" OVERRIDING SYSTEM VALUE");
    }
    sql.push(" SELECT ").push(ENTRY).push(", ").bind(Arg::Int(from)).push(rest);
    sql.execute(tx).await.map(drop)
}

//! Phase A and phase B: credentials into the index, and keys out of the clear.

use uuid::Uuid;

use super::{Adoption, Error, Progress, Result, patiently, rules};
use crate::{
    credentials::{Mark, ThingKey},
    secret::Secret,
    store::{
        self, Tx,
        adopt::keys::{self, Changes, KeyRow, Taken},
    },
};

/// How often everything is gone through again because Mainflux has changed something meanwhile.
const PASSES: usize = 3;

const KEY: &str = "key";
const EXTERNAL: &str = "external";

/// What a batch did.
struct Done {
    things: usize,
    changed: usize,
    last: Uuid,
}

impl Adoption {
    /// Phase A: indexes every key and external key, and seals copies where they are kept. `things.key` stays
    /// as it is. Tells how many credentials were not in the index. Done again, it finds what Mainflux has changed
    /// since.
    pub async fn index(&self, progress: &mut (dyn FnMut(Progress) + Send)) -> Result<u64> {
        let mut added = 0;
        for pass in 0..PASSES {
            let (changed, resumed) = self.pass(false, progress).await?;
            added += changed;
            // A pass that was taken up in the middle has not seen what changed before there.
            if changed == 0 && !(pass == 0 && resumed) {
                break;
            }
        }
        patiently!(self.settle(false))?;
        Ok(added)
    }

    /// Phase B: puts verifiers in the place of keys. Tells how many credentials Mainflux had changed since
    /// phase A.
    pub async fn replace_keys(&self, progress: &mut (dyn FnMut(Progress) + Send)) -> Result<u64> {
        // What Mainflux has changed last gets in before anything slower is done.
        let mut changed = self.index(&mut |_| ()).await?;
        for _ in 0..PASSES {
            changed += self.pass(true, progress).await?.0;
            if patiently!(self.settle(true))? {
                return Ok(changed);
            }
        }
        Err(Error::refused(
            "somebody goes on writing keys in the clear: stop Mainflux Things, and run this again".to_owned(),
        ))
    }

    /// Goes through all things, from where an earlier run was. Tells how many credentials were new, and whether
    /// it began in the middle.
    async fn pass(
        &self,
        replacing: bool,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<(u64, bool)> {
        let mut position = store::adopt::position(&mut self.db.read().await?).await?;
        let (mut done, total) = keys::counts(&mut self.db.read().await?, position).await?;
        let resumed = position.is_some();
        let mut changed = 0;
        let number = |count: i64| u64::try_from(count).unwrap_or(0);
        progress(Progress { done: number(done), total: number(total) });
        while let Some(batch) = patiently!(self.batch(position, replacing))? {
            position = Some(batch.last);
            changed += batch.changed as u64;
            done += i64::try_from(batch.things).unwrap_or(0);
            progress(Progress { done: number(done), total: number(total.max(done)) });
        }
        patiently!(self.rewind())?;
        Ok((changed, resumed))
    }

    async fn rewind(&self) -> Result<()> {
        let mut tx = self.db.write().await?;
        store::adopt::advance(&mut tx, None).await?;
        Ok(tx.commit_raw().await?)
    }

    /// Notes that a phase is done. Phase B is only if no key is in the clear.
    async fn settle(&self, replaced: bool) -> Result<bool> {
        let mut tx = self.db.write().await?;
        store::adopt::mend::orgs(&mut tx).await?;
        if replaced {
            if keys::in_the_clear(&mut tx).await? > 0 {
                return Ok(false);
            }
            store::adopt::note_finished(&mut tx).await?;
        } else {
            store::adopt::note_indexed(&mut tx).await?;
        }
        tx.commit_raw().await?;
        Ok(true)
    }

    /// One transaction; `None` behind the last thing.
    async fn batch(&self, after: Option<Uuid>, replacing: bool) -> Result<Option<Done>> {
        if !replacing {
            // Most of what is gone through again is as it should be, and needs no lock.
            let rows = keys::peek(&mut self.db.read().await?, after).await?;
            let Some(last) = rows.last().map(|row| row.id) else { return Ok(None) };
            let mut changes = Changes::default();
            for row in &rows {
                self.compare(row, replacing, &mut changes)?;
            }
            if changes.is_empty() {
                return Ok(Some(Done { things: rows.len(), changed: 0, last }));
            }
        }
        let mut tx = self.db.write().await?;
        let rows = keys::batch(&mut tx, after, replacing).await?;
        let Some(last) = rows.last().map(|row| row.id) else { return Ok(None) };
        let mut changes = Changes::default();
        for row in &rows {
            self.compare(row, replacing, &mut changes)?;
        }
        let (stale, kinds) = &changes.stale;
        keys::forget(&mut tx, stale, kinds).await?;
        // What was indexed otherwise may be in the memory of a process that lets devices in.
        tx.mark(stale.iter().map(|thing| Mark::Object(*thing)));
        let taken = keys::index(&mut tx, &changes).await?;
        if !taken.is_empty() {
            self.make_way(&mut tx, &taken, &changes).await?;
        }
        keys::keep_copies(&mut tx, &changes).await?;
        keys::replace(&mut tx, &changes).await?;
        store::adopt::advance(&mut tx, Some(last)).await?;
        let changed = changes.indexed.0.len();
        self.commit(tx, Vec::new()).await?;
        Ok(Some(Done { things: rows.len(), changed, last }))
    }

    /// What has to change so that the index says of a thing what its row says.
    fn compare(&self, row: &KeyRow, replacing: bool, changes: &mut Changes) -> Result<()> {
        let is_verifier = row.indexed_key.as_ref() == Some(&row.key);
        if !is_verifier {
            let mut key = Secret::new(row.key.as_str());
            if row.key.is_empty() {
                // Nobody gets in by it, so nobody misses it: it stays until it is replaced.
                if !replacing {
                    return self.compare_external(row, changes);
                }
                key = ThingKey::generate()?.secret().clone();
            }
            let verifier = self.keyring.verifier(&key).as_str().to_owned();
            let known = row.indexed_key.as_ref() == Some(&verifier);
            if !known {
                if row.indexed_key.is_some() {
                    changes.stale.0.push(row.id);
                    changes.stale.1.push(KEY);
                }
                changes.indexed.0.push(verifier.clone());
                changes.indexed.1.push(row.id);
                changes.indexed.2.push(KEY);
            }
            if self.readback == crate::credentials::Readback::Editor && !(known && row.has_copy) {
                changes.copies.0.push(row.id);
                changes.copies.1.push(self.keyring.seal(row.id.as_bytes(), key.expose().as_bytes())?);
            }
            if replacing {
                changes.replaced.0.push(row.id);
                changes.replaced.1.push(verifier);
            }
        }
        self.compare_external(row, changes)
    }

    fn compare_external(&self, row: &KeyRow, changes: &mut Changes) -> Result<()> {
        let external = row.external_key.as_deref().filter(|key| !key.is_empty());
        let verifier = external.map(|key| self.keyring.verifier(&Secret::new(key)).as_str().to_owned());
        if verifier != row.indexed_external {
            if row.indexed_external.is_some() {
                changes.stale.0.push(row.id);
                changes.stale.1.push(EXTERNAL);
            }
            if let Some(verifier) = verifier {
                changes.indexed.0.push(verifier);
                changes.indexed.1.push(row.id);
                changes.indexed.2.push(EXTERNAL);
            }
        }
        Ok(())
    }

    /// A value that is to be indexed stands for another thing already. If that is no longer so, because
    /// Mainflux has given that one another since, the row goes; else only a person can decide.
    async fn make_way(&self, tx: &mut Tx, taken: &[Taken], changes: &Changes) -> Result<()> {
        for row in taken {
            let present = keys::one(tx, row.thing_id).await?;
            let value = present.and_then(|(key, external)| match row.kind.as_str() {
                KEY => Some(key),
                EXTERNAL => external,
                // A key that was rotated here, and is still valid.
                _ => Some(row.verifier.clone()),
            });
            let still = value.is_some_and(|value| {
                value == row.verifier || self.keyring.verifier(&Secret::new(value)).as_str() == row.verifier
            });
            if still {
                let claims = changes.indexed.0.iter().zip(&changes.indexed.1);
                let wanted = claims
                    .filter(|(verifier, _)| **verifier == row.verifier)
                    .map(|(_, thing)| thing.to_string());
                return Err(Error::refused(format!(
                    "one value is a credential of two things, {} and {} (as {}): {}, then run this again",
                    wanted.collect::<Vec<_>>().join(" and "),
                    row.thing_id,
                    row.kind,
                    rules::CREDENTIAL_TWICE.action,
                )));
            }
            keys::forget(tx, &[row.thing_id], &[row.kind.as_str()]).await?;
        }
        match keys::index(tx, changes).await?.as_slice() {
            [] => Ok(()),
            // Once more from the beginning of the batch.
            _ => Err(Error::Registry(crate::Error::Collision)),
        }
    }
}

//! Coming in by a platform invite: its secret, sent to an address, proves that the address is the
//! person's. It makes an account, or proves the address of one, and wakes the organisation's invites.

use serde::{Deserialize, Serialize};

use super::{Invite, InviteState};
use crate::{
    Registry,
    access::{self, Via},
    actor::Call,
    error::{Error, Result},
    identity::{
        password::Password,
        users::{User, UserStatus},
    },
    ids::{InviteId, OrgId, UserId},
    journal::{self, Entry, Subject},
    json::JsonObject,
    secret::{Prefix, Secret},
    store::{self, Tx, invites::Door, lock, lock::OrgLock},
    text::Email,
};

/// What whoever holds a platform invite's secret is told.
#[derive(Clone, Debug)]
pub struct Joining {
    /// The organisation's invite behind it, or the platform invite itself.
    pub invite: Invite,
    /// The address that the account has to be of.
    pub email: Email,
    /// Whether there is such an account already: then one logs in instead of making one.
    pub has_account: bool,
}

/// An account and the organisation invites that its proof woke.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Joined {
    /// The account.
    pub user: User,
    /// What the person can answer now.
    pub invites: Vec<InviteId>,
}

impl Registry {
    /// What a platform invite leads to. One that is not open any more is as good as none.
    pub async fn view_invite_by_secret(&self, secret: &Secret) -> Result<Joining> {
        let mut conn = self.db.read().await?;
        let now = conn.now(&self.db.clock).await?;
        let door = open_door(&mut conn, secret, now).await?;
        let invite = store::invites::view_by_secret(&mut conn, &door, now).await?;
        let has_account = store::users::account_by_email(&mut conn, &door.email).await?.is_some();
        Ok(Joining { invite, email: door.email, has_account })
    }

    /// Makes an account by a platform invite, whether registration is open or not. The address is the
    /// invite's; if `email` is given it has to be the same.
    pub async fn register_by_invite(
        &self,
        call: &Call,
        secret: &Secret,
        email: Option<&Email>,
        password: &Password,
        metadata: &JsonObject,
    ) -> Result<Joined> {
        let ready = match self.door_or_repetition(call, secret).await? {
            Some(door) => {
                if email.is_some_and(|email| *email != door.email)
                    && !planted!("I2: the secret is bound to no address")
                {
                    return Err(Error::invalid("email", "is not the address that was invited"));
                }
                let email = email.unwrap_or(&door.email).clone();
                password.suits(&email)?;
                Some((door, email, self.identity.hashing.hash(password.secret()).await?))
            }
            None => None,
        };
        use_case!(self, call, |tx| {
            let (door, email, hash) = ready.as_ref().ok_or(Error::NotFound)?;
            let orgs = self.lock_waiting(&mut tx, door).await?;
            let now = tx.moment(&self.db.clock).await?;
            if !store::invites::answer_platform(&mut tx, secret, InviteState::Accepted, now).await? {
                return Err(Error::NotFound);
            }
            let permit = access::invited();
            let user = User {
                id: self.ids.make(now),
                email: email.clone(),
                metadata: metadata.clone(),
                status: UserStatus::Enabled,
                platform_role: None,
                created_at: now,
                updated_at: now,
            };
            store::users::insert(&mut tx, &permit, &user, hash).await?;
            let mut entries = vec![Entry::about(permit.via(), "user.created", Subject::user(user.id))];
            let invites = self.enter(&mut tx, door, user.id, &orgs, &mut entries).await?;
            journal::commit(self, tx, call, entries, Joined { user, invites }).await
        })
    }

    /// Proves by a platform invite that the address of one's account is one's own, and wakes what is
    /// there for it.
    pub async fn claim_invite(&self, call: &Call, secret: &Secret) -> Result<Joined> {
        let (me, _) = call.logged_in()?;
        let me = me.id();
        let door = self.door_or_repetition(call, secret).await?;
        use_case!(self, call, |tx| {
            let door = door.as_ref().ok_or(Error::NotFound)?;
            let orgs = self.lock_waiting(&mut tx, door).await?;
            let permit = access::oneself(call, true)?;
            lock::users(&mut tx, &[me]).await?;
            let user = store::users::get(&mut tx, &permit.account()).await?;
            if user.email != door.email && !planted!("I2: the secret is bound to no address") {
                return Err(Error::NotFound);
            }
            let now = tx.moment(&self.db.clock).await?;
            if !store::invites::answer_platform(&mut tx, secret, InviteState::Accepted, now).await? {
                return Err(Error::NotFound);
            }
            store::users::verify(&mut tx, &permit).await?;
            let mut entries = Vec::new();
            let invites = self.enter(&mut tx, door, me, &orgs, &mut entries).await?;
            journal::commit(self, tx, call, entries, Joined { user, invites }).await
        })
    }

    /// Whoever was sent the secret says no, without an account; what sleeps on it ends too.
    pub async fn decline_by_secret(&self, call: &Call, secret: &Secret) -> Result<()> {
        let door = self.door_or_repetition(call, secret).await?;
        use_case!(self, call, |tx| {
            let door = door.as_ref().ok_or(Error::NotFound)?;
            self.lock_waiting(&mut tx, door).await?;
            let now = tx.moment(&self.db.clock).await?;
            if !store::invites::answer_platform(&mut tx, secret, InviteState::Declined, now).await? {
                return Err(Error::NotFound);
            }
            let mut entries =
                vec![Entry::about(Via::Invitation, "invite.declined", Subject::invite(door.id))];
            let carried: Vec<InviteId> = door.org_invite.into_iter().collect();
            let (ended, sleepers) =
                store::invites::end_orgs(&mut tx, &carried, InviteState::Declined).await?;
            let ids = ended.into_iter().chain(sleepers.into_iter().map(|(id, _)| id)).map(InviteId::uuid);
            let places = store::invites::places(&mut tx, ids).await?;
            entries.extend(places.into_iter().map(|(id, (org, group))| {
                Entry::about(Via::Invitation, "invite.declined", Subject::invite(id.into())).at(org, group)
            }));
            journal::commit(self, tx, call, entries, ()).await
        })
    }

    /// What the secret opens. The first of several equal requests used it up; the others have no more than
    /// its answer to find.
    async fn door_or_repetition(&self, call: &Call, secret: &Secret) -> Result<Option<Door>> {
        let mut conn = self.db.read().await?;
        let now = conn.now(&self.db.clock).await?;
        match open_door(&mut conn, secret, now).await {
            Err(Error::NotFound) if call.replay.is_some() => Ok(None),
            found => found.map(Some),
        }
    }

    /// Locks the organisations, and the groups in them, whose invites sleep for the address.
    async fn lock_waiting(&self, tx: &mut Tx, door: &Door) -> Result<Vec<OrgId>> {
        let orgs = store::invites::orgs_waiting_for(tx, &door.email).await?;
        lock::orgs(tx, &orgs, OrgLock::Share).await?;
        let carried: Vec<InviteId> = door.org_invite.into_iter().collect();
        let groups = store::invites::groups_asleep(tx, &carried).await?;
        lock::groups(tx, &groups, lock::GroupLock::Members).await?;
        Ok(orgs)
    }

    /// The person has come in: what waited for the address is theirs to answer.
    async fn enter(
        &self,
        tx: &mut Tx,
        door: &Door,
        person: UserId,
        locked: &[OrgId],
        entries: &mut Vec<Entry>,
    ) -> Result<Vec<InviteId>> {
        let now = tx.moment(&self.db.clock).await?;
        let expires_at = now.after(self.invites.life);
        entries.push(Entry::about(Via::Invitation, "invite.accepted", Subject::invite(door.id)));
        let woken = store::invites::wake_orgs(tx, &door.email, person, locked, now, expires_at).await?;
        entries.extend(woken.iter().map(|(id, org)| {
            Entry::about(Via::Invitation, "invite.woken", Subject::invite(*id)).in_org(*org)
        }));
        Ok(woken.into_iter().map(|(id, _)| id).collect())
    }
}

/// A platform invite that can be used now. A typing mistake is seen without a look-up, and every
/// refusal looks the same.
async fn open_door(conn: &mut store::Conn, secret: &Secret, now: crate::Timestamp) -> Result<Door> {
    if !secret.is_well_formed(Prefix::Invite) {
        return Err(Error::NotFound);
    }
    store::invites::door(conn, secret, now).await?.ok_or(Error::NotFound)
}

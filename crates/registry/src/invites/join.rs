//! Coming in by a platform invite: its secret, sent to an address, proves that the address is the
//! person's. It makes an account, or proves the address of one, and wakes the organisation's invites.

use serde::{Deserialize, Serialize};

use super::{Invite, InviteState, arrive::overtaken, letters, life::may_grant};
use crate::{
    Registry,
    access::{self, SelfPermit, Via},
    actor::Call,
    clock::Timestamp,
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

/// How registering by a secret ended, once it changed something: a secret by which nobody may be let in any
/// more ends by the attempt, and looks like any that does not work.
#[derive(Serialize, Deserialize)]
enum Registered {
    In(Box<Joined>),
    Void,
}

impl Registered {
    fn told(self) -> Result<Joined> {
        match self {
            Self::In(joined) => Ok(*joined),
            Self::Void => Err(Error::NotFound),
        }
    }
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
        let door = open_door(&mut conn, secret, now).await?.ok_or(Error::NotFound)?;
        let invite = store::invites::view_by_secret(&mut conn, &door, now).await?;
        let has_account = store::users::account_by_email(&mut conn, &door.email).await?.is_some();
        Ok(Joining { invite, email: door.email, has_account })
    }

    /// Makes an account by a platform invite, whether registration is open or not, if who invites may still
    /// let somebody in. The address is the invite's; if `email` is given it has to be the same.
    pub async fn register_by_invite(
        &self,
        call: &Call,
        secret: &Secret,
        email: Option<&Email>,
        password: &Password,
        metadata: &JsonObject,
    ) -> Result<Joined> {
        let Some(door) = self.door(secret).await? else {
            return self.answered::<Registered>(call).await?.ok_or(Error::NotFound)?.told();
        };
        if email.is_some_and(|email| *email != door.email)
            && !planted!("I2: the secret is bound to no address")
        {
            return Err(Error::invalid("email", "is not the address that was invited"));
        }
        let email = email.unwrap_or(&door.email);
        password.suits(email)?;
        let hash = self.identity.hashing.hash(password.secret()).await?;
        let registered = use_case!(self, call, |tx| {
            let orgs = self.lock_waiting(&mut tx, &door).await?;
            let now = tx.moment(&self.db.clock).await?;
            if !vouched_for(&mut tx, &door, &orgs, now).await? {
                let entries = close(&mut tx, &door, secret, InviteState::Revoked, now).await?;
                return journal::commit(self, tx, call, entries, Registered::Void).await;
            }
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
            store::users::insert(&mut tx, &permit, &user, &hash).await?;
            let mut entries = vec![Entry::about(permit.via(), "user.created", Subject::user(user.id))];
            let invites = self.enter(&mut tx, &door, user.id, None, &orgs, &mut entries).await?;
            let registered = Registered::In(Box::new(Joined { user, invites }));
            journal::commit(self, tx, call, entries, registered).await
        })?;
        registered.told()
    }

    /// Proves by a platform invite that the address of one's account is one's own, and wakes what is
    /// there for it.
    pub async fn claim_invite(&self, call: &Call, secret: &Secret) -> Result<Joined> {
        let (me, _) = call.logged_in()?;
        let me = me.id();
        let Some(door) = self.door(secret).await? else {
            return self.answered(call).await?.ok_or(Error::NotFound);
        };
        use_case!(self, call, |tx| {
            let orgs = self.lock_waiting(&mut tx, &door).await?;
            let permit = access::oneself(call, true)?;
            // Who invited to groups is locked with whom it is about, all at once, by ascending id: some of these
            // invites may wake below.
            let asleep = store::invites::sleeping_for(&mut tx, &door.email).await?;
            let sleepers = store::invites::sleepers_of(&mut tx, &asleep).await?;
            let inviters = sleepers.iter().map(|sleeper| sleeper.inviter).chain([me]);
            lock::users(&mut tx, &inviters.collect::<Vec<UserId>>()).await?;
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
            let invites = self.enter(&mut tx, &door, me, Some(&permit), &orgs, &mut entries).await?;
            journal::commit(self, tx, call, entries, Joined { user, invites }).await
        })
    }

    /// Whoever was sent the secret says no, without an account; what sleeps on it ends too.
    pub async fn decline_by_secret(&self, call: &Call, secret: &Secret) -> Result<()> {
        let Some(door) = self.door(secret).await? else {
            return self.answered(call).await?.ok_or(Error::NotFound);
        };
        use_case!(self, call, |tx| {
            self.lock_waiting(&mut tx, &door).await?;
            let now = tx.moment(&self.db.clock).await?;
            let entries = close(&mut tx, &door, secret, InviteState::Declined, now).await?;
            journal::commit(self, tx, call, entries, ()).await
        })
    }

    /// The door, if it is open. The first of repeated requests has closed it.
    async fn door(&self, secret: &Secret) -> Result<Option<Door>> {
        let mut conn = self.db.read().await?;
        let now = conn.now(&self.db.clock).await?;
        open_door(&mut conn, secret, now).await
    }

    /// Locks the organisations, and the groups in them, whose invites sleep for the address.
    async fn lock_waiting(&self, tx: &mut Tx, door: &Door) -> Result<Vec<OrgId>> {
        let orgs = store::invites::orgs_waiting_for(tx, &door.email).await?;
        lock::orgs(tx, &orgs, OrgLock::Change).await?;
        let asleep = store::invites::sleeping_for(tx, &door.email).await?;
        let groups = store::invites::groups_asleep(tx, &asleep).await?;
        lock::groups(tx, &groups, lock::GroupLock::Members).await?;
        Ok(orgs)
    }

    /// The person has come in: what waited for the address is theirs to answer. Where they are in the organisation
    /// already, by another way, its invites have been overtaken; `before` is theirs whose account is not new.
    async fn enter(
        &self,
        tx: &mut Tx,
        door: &Door,
        person: UserId,
        before: Option<&SelfPermit>,
        locked: &[OrgId],
        entries: &mut Vec<Entry>,
    ) -> Result<Vec<InviteId>> {
        let now = tx.moment(&self.db.clock).await?;
        let expires_at = now.after(self.invites.life);
        entries.push(Entry::about(Via::Invitation, "invite.accepted", Subject::invite(door.id)));
        let woken = store::invites::wake_orgs(tx, &door.email, person, locked, now, expires_at).await?;
        let told = woken.iter().map(|(id, org)| {
            Entry::about(Via::Invitation, "invite.woken", Subject::invite(*id)).in_org(*org)
        });
        let told: Vec<Entry> = told.collect();
        let mut awake = Vec::new();
        let mut settled = Vec::new();
        let mut inside = Vec::new();
        if let Some(permit) = before {
            let orgs: Vec<OrgId> = woken.iter().map(|(_, org)| *org).collect();
            inside = store::org_memberships::among(tx, permit, &orgs).await?;
            for org in &inside {
                let theirs: Vec<InviteId> =
                    woken.iter().filter(|(_, to)| to == org).map(|(id, _)| *id).collect();
                let arrival = permit.arrival(*org);
                let sleepers = store::invites::sleepers_of(tx, &theirs).await?;
                let groups = self.wake(tx, &arrival, &sleepers, now).await?;
                let up = groups.iter().filter(|entry| entry.action == "invite.woken");
                awake.extend(up.map(|entry| InviteId::from(entry.subject.id)));
                settled.extend(groups);
                settled.extend(overtaken(tx, &arrival, &theirs).await?);
            }
        }
        let open = woken.into_iter().filter(|(_, org)| !inside.contains(org));
        let open: Vec<InviteId> = open.map(|(id, _)| id).collect();
        entries.extend(letters::woken(tx, told, &open, now).await?);
        entries.extend(settled);
        Ok(open.into_iter().chain(awake).collect())
    }
}

/// Whether anybody who invites this address may still do so: a platform's administrator, or for a door that
/// carries an organisation's invite whoever sent that one or another that sleeps for the address.
async fn vouched_for(tx: &mut Tx, door: &Door, locked: &[OrgId], now: Timestamp) -> Result<bool> {
    if planted!("I4: an account is made by the word of somebody who has none") {
        return Ok(true);
    }
    if door.org_invite.is_none() {
        lock::users_shared(tx, &[door.inviter]).await?;
        return access::administers_platform(tx, door.inviter).await;
    }
    let mut offers = store::invites::asleep_for(tx, &door.email, now).await?;
    // What has come since the locks were taken is for another time.
    offers.retain(|(org, ..)| locked.contains(org));
    let inviters: Vec<UserId> = offers.iter().map(|(_, inviter, _)| *inviter).collect();
    lock::users_shared(tx, &inviters).await?;
    for (org, inviter, role) in offers {
        let own = access::roles_of(tx, inviter, &[org]).await?.get(&org).copied();
        if role.is_some_and(|role| may_grant(own, role)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Ends what the secret opens, by who holds it or because nobody may be let in by it, with what sleeps on it.
async fn close(
    tx: &mut Tx,
    door: &Door,
    secret: &Secret,
    state: InviteState,
    now: Timestamp,
) -> Result<Vec<Entry>> {
    let action = match state {
        InviteState::Declined => "invite.declined",
        _ => "invite.revoked",
    };
    if !store::invites::answer_platform(tx, secret, state, now).await? {
        return Err(Error::NotFound);
    }
    let mut entries = vec![Entry::about(Via::Invitation, action, Subject::invite(door.id))];
    let carried: Vec<InviteId> = door.org_invite.into_iter().collect();
    let (ended, sleepers) = store::invites::end_orgs(tx, &carried, state).await?;
    let ids = ended.into_iter().chain(sleepers.into_iter().map(|(id, _)| id)).map(InviteId::uuid);
    let places = store::invites::places(tx, ids).await?;
    entries.extend(places.into_iter().map(|(id, (org, group))| {
        Entry::about(Via::Invitation, action, Subject::invite(id.into())).at(org, group)
    }));
    Ok(entries)
}

/// A platform invite that can be used now. A typing mistake is seen without a look-up, and every
/// refusal looks the same.
async fn open_door(conn: &mut store::Conn, secret: &Secret, now: Timestamp) -> Result<Option<Door>> {
    if !secret.is_well_formed(Prefix::Invite) {
        return Ok(None);
    }
    store::invites::door(conn, secret, now).await
}

//! The life of invites: what they are, who may do what to them, and how they end.

use std::collections::{BTreeMap, BTreeSet};

use registry::{ConflictKind, Denial, InviteKind, InviteLimits, InviteMode, InviteState, Role, Via};
use serde_json::{Value, json};

use super::{
    commands::{Address, By, Id, Object, Person, Place, ROOT},
    policy::{Asker, Right},
    reference::{Account, Answer, DAY, Outcome, Refusal, SECOND, Subject, World, address},
};

/// How long an invite can be answered.
pub const LIFE: i64 = 7 * DAY;
pub const HOUR: i64 = 3600 * SECOND;
/// How long after a mail the next one may follow.
pub const PAUSE: i64 = 60 * SECOND;

/// An invite, as it is stored: one that is past due may still be said to be pending.
#[derive(Clone)]
pub struct Invite {
    pub kind: InviteKind,
    pub state: InviteState,
    /// Where it was sent; a group's goes to the address of its invitee.
    pub address: Option<Address>,
    /// Nobody, while it sleeps.
    pub invitee: Option<Person>,
    pub inviter: Person,
    pub role: Option<Role>,
    pub org: Option<Id>,
    pub group: Option<Id>,
    pub mode: Option<InviteMode>,
    pub path: Option<&'static str>,
    pub created_at: i64,
    /// None of its own, if it is a group's that sleeps or ended asleep.
    pub expires_at: Option<i64>,
    /// Of a group's: whether it came along with an organisation's, and counts as a part of that.
    pub slept: bool,
    /// Of a group's: the organisation's invite that it sleeps on.
    pub sleeps_on: Option<Id>,
    /// Of the platform's: the organisation's invite that sleeps on it.
    pub carries: Option<Id>,
    /// Of the platform's: the secret that works now.
    pub secret: Option<Id>,
    /// Made without a mail, because its address had got too many.
    pub silent: bool,
    /// When it was mailed, or said to have been.
    pub mailed: Vec<i64>,
    /// When it was sent again.
    pub resent: Vec<i64>,
}

impl World {
    /// When it ends unless answered: one that sleeps ends with what it sleeps on.
    fn end_of(&self, invite: &Invite) -> Option<i64> {
        invite.expires_at.or_else(|| self.invites[&invite.sleeps_on?].expires_at)
    }

    fn is_due(&self, invite: &Invite) -> bool {
        invite.state == InviteState::Pending && self.end_of(invite).is_none_or(|end| end <= self.now)
    }

    /// Whether it can still be answered.
    pub fn is_open(&self, invite: &Invite) -> bool {
        invite.state == InviteState::Pending && !self.is_due(invite)
    }

    /// Its state at this moment.
    pub fn state_of(&self, invite: &Invite) -> InviteState {
        if self.is_due(invite) { InviteState::Expired } else { invite.state }
    }

    pub fn invites_that(&self, are: impl Fn(&Invite) -> bool) -> Vec<Id> {
        self.invites.iter().filter(|(_, invite)| are(invite)).map(|(id, _)| *id).collect()
    }

    pub fn open_invites(&self, are: impl Fn(&Invite) -> bool) -> Vec<Id> {
        self.invites_that(|invite| self.is_open(invite) && are(invite))
    }

    /// Where it leads.
    fn leads_to(&self, invite: &Invite) -> (Option<Id>, Option<Id>) {
        let carried = invite.carries.and_then(|id| self.invites[&id].org);
        (invite.org.or(carried), invite.group)
    }

    /// The invite as everybody sees it who sees it at all.
    pub fn invite_row(&self, id: Id) -> Value {
        let invite = &self.invites[&id];
        let (org, group) = self.leads_to(invite);
        let below = invite.carries.or(invite.sleeps_on).map(|other| &self.invites[&other]);
        let own = |person: Person| self.people[person].address;
        let to = invite.address.or(invite.invitee.map(own)).or(below.and_then(|other| other.address));
        let role = match invite.kind {
            InviteKind::Platform => below.and_then(|other| other.role),
            _ => invite.role,
        };
        let bed = invite.carries.unwrap_or(id);
        let offers = self.invites.iter().filter(|(_, other)| other.sleeps_on == Some(bed));
        let offers: Vec<Value> = offers
            .map(|(id, other)| {
                let (group, role) = (other.group.unwrap(), other.role.unwrap());
                json!({ "id": id, "group": group, "name": self.groups[&group].name, "role": role.as_str() })
            })
            .collect();
        let state = self.state_of(invite);
        let awake = invite.invitee.is_some() || invite.kind == InviteKind::Platform;
        json!({ "id": id, "kind": invite.kind.as_str(), "state": state.as_str(),
                "dormant": state == InviteState::Pending && !awake,
                "invitee": invite.invitee, "email": to.map(address), "role": role.map(Role::as_str),
                "inviter": invite.inviter, "inviter_email": address(own(invite.inviter)),
                "org": org, "org_name": org.map(|id| self.orgs[&id].name),
                "group": group, "group_name": group.map(|id| self.groups[&id].name),
                "offers": offers, "mode": invite.mode.map(InviteMode::as_str), "path": invite.path,
                "created": invite.created_at, "expires": self.end_of(invite) })
    }

    pub fn invite_answer(&self, id: Id) -> Outcome {
        Ok(Answer { rows: vec![self.invite_row(id)], keys: Vec::new() })
    }

    /// By what right somebody is an admin of where the invite leads.
    fn administers(&self, asker: &Asker, invite: &Invite) -> Option<Via> {
        let place = match self.leads_to(invite) {
            (_, Some(group)) => Object::Group(group),
            (Some(org), None) => Object::Org(org),
            (None, None) => {
                let whole = asker.person == ROOT && asker.within.is_none();
                return whole.then_some(Via::PlatformAdmin);
            }
        };
        self.right(asker, place).filter(|right| right.role >= Role::Admin).map(|right| right.via)
    }

    /// For the two people it is between and the admins of where it leads; to all others it is not there.
    pub fn view_invite(&self, asker: &Asker, id: Id) -> Outcome {
        let invite = self.invites.get(&id).ok_or(Refusal::NotFound)?;
        let between = invite.inviter == asker.person || invite.invitee == Some(asker.person);
        if !(between && asker.within.is_none()) {
            self.administers(asker, invite).ok_or(Refusal::NotFound)?;
        }
        self.invite_answer(id)
    }

    /// The invitee alone says yes or no, by a credential for everything of theirs.
    fn may_answer(&self, asker: &Asker, id: Id) -> Result<Invite, Refusal> {
        let whole = asker.within.is_none();
        let mine = |invite: &&Invite| whole && invite.invitee == Some(asker.person);
        let invite = self.invites.get(&id).filter(mine).ok_or(Refusal::NotFound)?;
        asker.oneself(true)?;
        Ok(invite.clone())
    }

    /// The inviter, or an admin; the invitee, who sees it, is told that it is not theirs to withdraw.
    fn may_withdraw(&self, asker: &Asker, id: Id) -> Result<(Invite, Via), Refusal> {
        let invite = self.invites.get(&id).ok_or(Refusal::NotFound)?;
        let whole = asker.within.is_none();
        let sent = (whole && invite.inviter == asker.person).then_some(Via::Invitation);
        match sent.or_else(|| self.administers(asker, invite)) {
            Some(_) if !asker.can_write => Err(Refusal::Forbidden(Denial::Scope)),
            Some(via) => Ok((invite.clone(), via)),
            None if whole && invite.invitee == Some(asker.person) => Err(Refusal::Forbidden(Denial::Role)),
            None => Err(Refusal::NotFound),
        }
    }

    /// Whether somebody may give this role by an invite, in their own right and at this moment.
    pub fn may_grant(&self, inviter: Person, place: Object, role: Role) -> bool {
        let whole = Asker { person: inviter, by: By::Session(0), can_write: true, within: None };
        let own = self.right(&whole, place).filter(|_| self.people[inviter].enabled);
        grants(own.map(|right| right.role), role)
    }

    fn note_invite(&mut self, actor: Option<Person>, via: Via, action: &'static str, id: Id) {
        let (org, group) = self.leads_to(&self.invites[&id]);
        self.note_at(actor, via, action, Subject::Invite(id), (org, group));
    }

    fn note_joined(&mut self, person: Person, org: Id, group: Option<Id>) {
        let subject = Subject::Person(person);
        self.note_at(Some(person), Via::Invitation, "member.added", subject, (Some(org), group));
    }

    /// Ends a pending invite with what sleeps on it and with what it sleeps on. Tells which ended, but for
    /// a platform's that went with the organisation's it carries.
    pub fn end_invite(&mut self, id: Id, state: InviteState) -> Vec<Id> {
        let invite = self.invites.get_mut(&id).unwrap();
        if invite.state != InviteState::Pending {
            return Vec::new();
        }
        invite.state = state;
        invite.sleeps_on = None;
        let carried = invite.carries;
        let mut ended = vec![id];
        for carrier in self.invites_that(|other| other.carries == Some(id)) {
            let carrier = self.invites.get_mut(&carrier).unwrap();
            if carrier.state == InviteState::Pending {
                carrier.state = state;
            }
        }
        let sleepers = self.invites_that(|other| other.sleeps_on == Some(id));
        for other in sleepers.into_iter().chain(carried) {
            ended.extend(self.end_invite(other, state));
        }
        ended
    }

    /// Ends invites, and tells of each.
    pub fn end_invites(&mut self, ids: Vec<Id>, state: InviteState, actor: Option<Person>, via: Via) {
        let action = match state {
            InviteState::Declined => "invite.declined",
            InviteState::Expired => "invite.expired",
            _ => "invite.revoked",
        };
        for id in ids {
            for ended in self.end_invite(id, state) {
                self.note_invite(actor, via, action, ended);
            }
        }
    }

    /// Says of those invites that are past due that they are expired.
    pub fn expire_invites(&mut self, actor: Option<Person>, are: impl Fn(&Invite) -> bool) {
        // What a platform's invite carries, and what sleeps, goes with the organisation's.
        let by_itself = |invite: &Invite| invite.carries.is_none() && invite.sleeps_on.is_none();
        let due = self.invites_that(|invite| self.is_due(invite) && by_itself(invite) && are(invite));
        self.end_invites(due, InviteState::Expired, actor, Via::System);
    }

    /// Whoever leaves takes along the open invites to the place, those they sent and those to them.
    pub fn invites_leave(&mut self, asker: &Asker, right: Right, place: Place, leaving: &[Person]) {
        let addresses: Vec<Address> = leaving.iter().map(|person| self.people[*person].address).collect();
        let theirs = self.open_invites(|invite| {
            let here = match place {
                Place::Org(org) => invite.org == Some(org) && invite.kind != InviteKind::Platform,
                Place::Group(group) => invite.group == Some(group),
            };
            here && (leaving.contains(&invite.inviter)
                || invite.invitee.is_some_and(|person| leaving.contains(&person))
                || invite.address.is_some_and(|address| addresses.contains(&address)))
        });
        self.end_invites(theirs, InviteState::Revoked, Some(asker.person), right.via);
    }

    /// What somebody sent who is shut out does not work any more.
    pub fn revoke_sent(&mut self, actor: Person, person: Person) {
        let sent = self.open_invites(|invite| invite.inviter == person && invite.carries.is_none());
        self.end_invites(sent, InviteState::Revoked, Some(actor), Via::PlatformAdmin);
    }

    /// An invite that can be answered, or what became of it.
    fn open(&self, invite: &Invite) -> Result<(), Refusal> {
        match self.state_of(invite) {
            InviteState::Pending => Ok(()),
            state => Err(Refusal::Conflict(ConflictKind::InviteClosed(state), Vec::new())),
        }
    }

    pub fn accept_invite(&mut self, asker: &Asker, id: Id) -> Outcome {
        let invite = self.may_answer(asker, id)?;
        self.open(&invite)?;
        let (org, group, role) = (invite.org.unwrap(), invite.group, invite.role.unwrap());
        let place = group.map_or(Place::Org(org), Place::Group);
        let is_in = |place: Place| self.party(place).unwrap().members.contains_key(&asker.person);
        let void = if is_in(place) {
            Some(ConflictKind::AlreadyMember)
        } else if !self.may_grant(invite.inviter, place.into(), role)
            || (group.is_some() && !is_in(Place::Org(org)))
        {
            Some(ConflictKind::InviteNoLongerValid)
        } else {
            None
        };
        if let Some(kind) = void {
            // It can never be accepted: that is what the attempt leaves behind.
            self.end_invites(vec![id], InviteState::Revoked, Some(asker.person), Via::Invitation);
            self.lasting = true;
            return Err(Refusal::Conflict(kind, Vec::new()));
        }
        let like_it = |other: &Invite| {
            other.kind == InviteKind::Org && other.org == Some(org) && other.invitee == Some(asker.person)
        };
        if group.is_none() {
            self.expire_invites(Some(asker.person), like_it);
        }
        let others = self.open_invites(like_it);
        self.invites.get_mut(&id).unwrap().state = InviteState::Accepted;
        self.note_invite(Some(asker.person), Via::Invitation, "invite.accepted", id);
        self.party_mut(place).unwrap().members.insert(asker.person, role);
        self.note_joined(asker.person, org, group);
        if group.is_none() {
            self.wake(asker.person, Via::Invitation, asker.person, &others);
            self.end_invites(others, InviteState::Revoked, Some(asker.person), Via::Invitation);
        }
        self.invite_answer(id)
    }

    /// Somebody is added: what was sent to them from there has been overtaken, and so has what sleeps for
    /// their address, if it is known to be theirs.
    pub fn overtake(&mut self, asker: &Asker, right: Right, person: Person) {
        let Account { address, verified, .. } = self.people[person];
        let theirs = |invite: &Invite| {
            let here = invite.kind == InviteKind::Org && invite.org == Some(right.org);
            let asleep = invite.invitee.is_none() && invite.address == Some(address);
            here && (invite.invitee == Some(person) || (asleep && verified))
        };
        self.expire_invites(Some(asker.person), theirs);
        let open = self.open_invites(theirs);
        self.wake(asker.person, right.via, person, &open);
        self.end_invites(open, InviteState::Revoked, Some(asker.person), right.via);
    }

    /// What slept on these invites of somebody, who is in now, wakes or ends: a membership or an open
    /// invite of their own comes first, and then the newest whose inviter may still give the role. Who was
    /// added by somebody else has agreed to nothing yet.
    fn wake(&mut self, actor: Person, via: Via, person: Person, beds: &[Id]) {
        let sleepers = self.invites_that(|invite| invite.sleeps_on.is_some_and(|bed| beds.contains(&bed)));
        let groups: BTreeSet<Id> = sleepers.iter().filter_map(|id| self.invites[id].group).collect();
        self.expire_invites(Some(actor), |invite| {
            invite.invitee == Some(person) && invite.group.is_some_and(|group| groups.contains(&group))
        });
        let invited = self.open_invites(|invite| invite.invitee == Some(person));
        let mut settled: BTreeSet<Id> = invited.iter().filter_map(|id| self.invites[id].group).collect();
        settled.extend(groups.iter().filter(|group| self.groups[group].members.contains_key(&person)));
        let mut wakes = BTreeMap::new();
        for id in sleepers.iter().rev() {
            let sleeper = &self.invites[id];
            let (group, role) = (sleeper.group.unwrap(), sleeper.role.unwrap());
            let good = self.may_grant(sleeper.inviter, Object::Group(group), role);
            wakes.insert(*id, good && settled.insert(group));
        }
        for id in sleepers {
            let sleeper = self.invites.get_mut(&id).unwrap();
            let (group, role, bed) =
                (sleeper.group.unwrap(), sleeper.role.unwrap(), sleeper.sleeps_on.take());
            if !wakes[&id] {
                self.end_invites(vec![id], InviteState::Revoked, Some(actor), via);
                continue;
            }
            sleeper.invitee = Some(person);
            sleeper.expires_at = Some(self.now + LIFE);
            let bed = &self.invites[&bed.unwrap()];
            let by_answer = via == Via::Invitation;
            let (org, at_once) = (bed.org.unwrap(), by_answer && bed.mode == Some(InviteMode::Join));
            let (state, action) = if at_once {
                self.groups.get_mut(&group).unwrap().members.insert(person, role);
                self.note_joined(person, org, Some(group));
                (InviteState::Accepted, "invite.accepted")
            } else {
                (InviteState::Pending, "invite.woken")
            };
            let now = self.now;
            let sleeper = self.invites.get_mut(&id).unwrap();
            sleeper.state = state;
            sleeper.mailed.extend((!at_once).then_some(now));
            self.note_invite(Some(actor), via, action, id);
        }
    }

    /// The invitee says no, after expiry too: then there is nothing left to say no to.
    pub fn decline_invite(&mut self, asker: &Asker, id: Id) -> Outcome {
        let invite = self.may_answer(asker, id)?;
        if self.state_of(&invite) == InviteState::Expired {
            self.end_invites(vec![id], InviteState::Expired, Some(asker.person), Via::System);
            return Ok(Answer::default());
        }
        self.open(&invite)?;
        self.end_invites(vec![id], InviteState::Declined, Some(asker.person), Via::Invitation);
        Ok(Answer::default())
    }

    pub fn revoke_invite(&mut self, asker: &Asker, id: Id) -> Outcome {
        let (invite, via) = self.may_withdraw(asker, id)?;
        self.open(&invite)?;
        self.end_invites(vec![id], InviteState::Revoked, Some(asker.person), via);
        Ok(Answer::default())
    }

    /// Another mail and a new clock, and where a secret goes with it a new one.
    pub fn resend_invite(&mut self, asker: &Asker, id: Id, secret: Id) -> Outcome {
        let (invite, via) = self.may_withdraw(asker, id)?;
        self.open(&invite)?;
        if invite.sleeps_on.is_some() {
            return Err(Refusal::Conflict(ConflictKind::InviteSleeps, Vec::new()));
        }
        // An organisation's invite and the platform's that carries it are one mail.
        let pair: Vec<Id> = self
            .invites_that(|other| other.carries == Some(id))
            .into_iter()
            .chain(invite.carries)
            .chain([id])
            .collect();
        let mails: Vec<i64> = pair.iter().flat_map(|id| self.invites[id].mailed.clone()).collect();
        let mails: Vec<i64> = mails.into_iter().filter(|at| self.now - at < HOUR).collect();
        if mails.iter().any(|at| self.now - at < PAUSE) || mails.len() >= InviteLimits::PER_PAIR {
            return Err(Refusal::TooMany);
        }
        let to = pair.iter().find_map(|id| self.invites[id].address);
        if to.or(invite.invitee.map(|person| self.people[person].address)).is_some_and(|to| self.flooded(to))
        {
            return Err(Refusal::Conflict(ConflictKind::InvitedTooOften, Vec::new()));
        }
        self.within_limits(asker.person, 1, |_| false)?;
        self.resent.entry(asker.person).or_default().push(self.now);
        for other in pair {
            let now = self.now;
            let other = self.invites.get_mut(&other).unwrap();
            if other.state == InviteState::Pending {
                other.expires_at = Some(now + LIFE);
                other.secret = other.secret.map(|_| secret);
            }
        }
        let now = self.now;
        let sent = self.invites.get_mut(&id).unwrap();
        sent.mailed.push(now);
        sent.resent.push(now);
        self.note_invite(Some(asker.person), via, "invite.resent", id);
        self.invite_answer(id)
    }

    /// What waits for this address, asleep, is that person's to answer from now on. Tells which that is.
    pub fn come_in(&mut self, actor: Option<Person>, door: Id, person: Person) -> Vec<Id> {
        self.invites.get_mut(&door).unwrap().state = InviteState::Accepted;
        let subject = Subject::Invite(door);
        self.note_at(actor, Via::Invitation, "invite.accepted", subject, (None, None));
        let to = self.people[person].address;
        let waiting = self.open_invites(|invite| {
            invite.kind == InviteKind::Org && invite.invitee.is_none() && invite.address == Some(to)
        });
        for id in &waiting {
            for carrier in self.invites_that(|other| other.carries == Some(*id)) {
                self.invites.get_mut(&carrier).unwrap().state = InviteState::Accepted;
            }
            let now = self.now;
            let invite = self.invites.get_mut(id).unwrap();
            invite.invitee = Some(person);
            invite.expires_at = Some(now + LIFE);
            invite.mailed.push(now);
            self.note_invite(actor, Via::Invitation, "invite.woken", *id);
        }
        waiting
    }
}

/// As an admin, up to one's own role, and never ownership.
pub fn grants(own: Option<Role>, role: Role) -> bool {
    role != Role::Owner && own.is_some_and(|own| own >= Role::Admin && role <= own)
}

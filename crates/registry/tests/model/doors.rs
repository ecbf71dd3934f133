//! How invites are made, and how people come in by their secrets.

use std::collections::BTreeSet;

use registry::{ConflictKind, InviteKind, InviteLimits, InviteState, Role, Via};
use serde_json::{Value, json};

use super::{
    commands::{Address, Id, NOBODY, Object, Person, ROOT},
    invites::{HOUR, Invite, LIFE, grants},
    inviting::{APART, Inviting, NewInvite, carrier},
    policy::{Asker, Deed, Right, all_valid, invalid},
    reference::{Account, Answer, Outcome, Refusal, Subject, World, address},
};

/// How many invites one person sends in an hour; few, so that some are refused.
pub const PER_HOUR: u32 = 6;
/// How many invites to one place may be open.
pub const OPEN: u32 = 6;

/// What becomes of one item of a request.
#[derive(Clone, Copy)]
enum Verdict {
    Made(Option<Person>),
    Clash(ConflictKind),
    Invalid(&'static str),
}

impl Verdict {
    fn makes(self) -> bool {
        matches!(self, Self::Made(_))
    }

    /// As it is told of an item that was not made.
    fn row(self) -> Value {
        match self {
            Self::Made(_) => Value::Null,
            Self::Clash(kind) => json!({ "clash": kind.code() }),
            Self::Invalid(field) => json!({ "invalid": field }),
        }
    }
}

/// Unless what can be made is to be made, one item that cannot refuses the whole.
fn settle(verdicts: &[Verdict], partial: bool) -> Result<(), Refusal> {
    if partial {
        return Ok(());
    }
    let items = || verdicts.iter().enumerate();
    all_valid(
        items()
            .filter_map(|(item, verdict)| match verdict {
                Verdict::Invalid(field) => Some((Some(item), (*field).to_owned())),
                _ => None,
            })
            .collect(),
    )?;
    let clashes: Vec<(usize, ConflictKind)> = items()
        .filter_map(|(item, verdict)| match verdict {
            Verdict::Clash(kind) => Some((item, *kind)),
            _ => None,
        })
        .collect();
    let Some((_, first)) = clashes.first() else { return Ok(()) };
    let like_it = clashes.iter().filter(|(_, kind)| kind == first).map(|(item, _)| *item).collect();
    Err(Refusal::Conflict(*first, like_it))
}

impl Inviting {
    /// What is wrong with it whatever the state of the world.
    pub fn valid_in_itself(&self, asker: &Asker, world: &World) -> Result<(), Refusal> {
        let owners = |roles: &mut dyn Iterator<Item = Role>| {
            let owner = |(item, role)| (role == Role::Owner).then(|| (Some(item), "role".to_owned()));
            all_valid(roles.enumerate().filter_map(owner).collect())
        };
        match self {
            Self::ToOrg { invites, .. } if invites.is_empty() => Err(invalid("")),
            Self::ToGroup { invites, .. } if invites.is_empty() => Err(invalid("")),
            Self::ToOrg { invites, .. } => {
                owners(&mut invites.iter().map(|new| new.role))?;
                let mut errors = BTreeSet::new();
                for (item, new) in invites.iter().enumerate() {
                    let groups: BTreeSet<Id> = new.groups.iter().map(|(group, _)| *group).collect();
                    let owner = new.groups.iter().any(|(_, role)| *role == Role::Owner);
                    if owner || groups.len() < new.groups.len() {
                        errors.insert((Some(item), "group_invites".to_owned()));
                    }
                }
                all_valid(errors)
            }
            Self::ToGroup { invites, .. } => owners(&mut invites.iter().map(|(_, role)| *role)),
            Self::Claim { .. } => asker.logged_in(),
            Self::RegisterBy { secret, address: Some(address) } => match world.door(*secret) {
                Some(door) if world.invites[&door].address != Some(*address) => Err(invalid("email")),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }
}

impl World {
    pub fn perform_invites(&mut self, asker: &Asker, op: &Inviting) -> Outcome {
        match op {
            Inviting::ToOrg { org, invites, partial, first } => {
                self.invite_to_org(asker, *org, invites, *partial, *first)
            }
            Inviting::ToGroup { group, invites, partial, first } => {
                self.invite_to_group(asker, *group, invites, *partial, *first)
            }
            Inviting::ToPlatform { address, invite } => self.invite_to_platform(asker, *address, *invite),
            Inviting::View { invite } => self.view_invite(asker, *invite),
            Inviting::Accept { invite } => self.accept_invite(asker, *invite),
            Inviting::Decline { invite } => self.decline_invite(asker, *invite),
            Inviting::Revoke { invite } => self.revoke_invite(asker, *invite),
            Inviting::Resend { invite, secret } => self.resend_invite(asker, *invite, *secret),
            Inviting::Register { address } => self.register(*address),
            Inviting::RegisterBy { secret, .. } => self.register_by(*secret),
            Inviting::ViewBy { secret } => self.view_by(*secret),
            Inviting::DeclineBy { secret } => self.decline_by(*secret),
            Inviting::Claim { secret } => self.claim(asker, *secret),
        }
    }

    /// The account of this address.
    fn account_of(&self, address: Address) -> Option<Person> {
        self.people.iter().position(|account| account.address == address)
    }

    /// Whether an invite may be this account's to answer. Who has not shown that the address is theirs has to, as
    /// one without an account; and who is shut out looks like that.
    fn answers(&self, person: Person) -> bool {
        self.people[person].verified && self.people[person].enabled
    }

    fn often(&self, same: impl Fn(&Invite) -> bool) -> bool {
        let lately = |invite: &Invite| invite.created_at > self.now - HOUR;
        self.invites_that(|invite| same(invite) && lately(invite)).len() >= InviteLimits::PER_PAIR
    }

    /// Whether the address was sent too many mails lately, by whatever places.
    pub fn flooded(&self, to: Address) -> bool {
        let lately = |at: i64| at > self.now - HOUR;
        let theirs = self.invites.values().filter(|invite| {
            let own = invite.invitee.map(|person| self.people[person].address);
            invite.address.or(own) == Some(to)
        });
        let mails = theirs.map(|invite| {
            let made =
                lately(invite.created_at) && !(invite.slept || invite.silent || invite.carries.is_some());
            usize::from(made) + invite.resent.iter().filter(|at| lately(**at)).count()
        });
        mails.sum::<usize>() >= InviteLimits::default().per_address as usize
    }

    /// What is sent again counts like what is sent; what came along with another counts with that.
    pub fn within_limits(
        &self,
        inviter: Person,
        new: usize,
        here: impl Fn(&Invite) -> bool,
    ) -> Result<(), Refusal> {
        let asleep = |invite: &Invite| invite.sleeps_on.is_some();
        let there = self.open_invites(|invite| here(invite) && !asleep(invite)).len();
        let sent = self.invites_that(|invite| {
            let counts = !invite.slept && invite.carries.is_none();
            counts && invite.inviter == inviter && invite.created_at > self.now - HOUR
        });
        let again = self.resent.get(&inviter).map(Vec::as_slice).unwrap_or_default();
        let again = again.iter().filter(|at| **at > self.now - HOUR).count();
        if there + new > OPEN as usize || sent.len() + again + new > PER_HOUR as usize {
            return Err(Refusal::TooMany);
        }
        Ok(())
    }

    fn new_invite(&self, kind: InviteKind, inviter: Person) -> Invite {
        Invite {
            kind,
            state: InviteState::Pending,
            address: None,
            invitee: None,
            inviter,
            role: None,
            org: None,
            group: None,
            mode: None,
            path: None,
            created_at: self.now,
            expires_at: Some(self.now + LIFE),
            slept: false,
            sleeps_on: None,
            carries: None,
            secret: None,
            silent: false,
            mailed: vec![self.now],
            resent: Vec::new(),
        }
    }

    fn invite_to_org(
        &mut self,
        asker: &Asker,
        org: Id,
        new: &[NewInvite],
        partial: bool,
        first: Id,
    ) -> Outcome {
        let right = self.may(asker, Object::Org(org), Deed::Administer)?;
        let here = |invite: &Invite| invite.kind == InviteKind::Org && invite.org == Some(org);
        let to = |invite: &Invite, address: Address| here(invite) && invite.address == Some(address);
        self.expire_invites(Some(asker.person), |invite| new.iter().any(|new| to(invite, new.address)));
        let mut seen = BTreeSet::new();
        let mut verdicts = Vec::new();
        for new in new {
            let account = self.account_of(new.address);
            let mine = |invite: &Invite| to(invite, new.address) && invite.inviter == asker.person;
            let offered = |(group, role): &(Id, Role)| {
                let own = self.right(asker, Object::Group(*group)).filter(|right| right.org == org);
                grants(own.map(|right| right.role), *role)
            };
            verdicts.push(if !seen.insert(new.address) {
                Verdict::Invalid("email")
            } else if account.is_some_and(|person| self.orgs[&org].members.contains_key(&person)) {
                Verdict::Clash(ConflictKind::AlreadyMember)
            } else if !self.open_invites(mine).is_empty() {
                Verdict::Clash(ConflictKind::AlreadyInvited)
            } else if self.often(|invite| to(invite, new.address))
                || (self.flooded(new.address) && !account.is_some_and(|person| self.answers(person)))
            {
                Verdict::Clash(ConflictKind::InvitedTooOften)
            } else if !new.groups.iter().all(offered) {
                Verdict::Invalid("group_invites")
            } else {
                Verdict::Made(account.filter(|person| self.answers(*person)))
            });
        }
        settle(&verdicts, partial)?;
        let made = verdicts.iter().filter(|verdict| verdict.makes()).count();
        self.within_limits(asker.person, made, here)?;
        let mut rows = Vec::new();
        for ((id, new), verdict) in (first..).step_by(APART as usize).zip(new).zip(verdicts) {
            let Verdict::Made(invitee) = verdict else {
                rows.push(verdict.row());
                continue;
            };
            self.make_org_invite(asker, right, id, new, invitee);
            rows.push(self.invite_row(id));
        }
        Ok(Answer { rows, keys: Vec::new() })
    }

    fn make_org_invite(
        &mut self,
        asker: &Asker,
        right: Right,
        id: Id,
        new: &NewInvite,
        invitee: Option<Person>,
    ) {
        let blank = |world: &Self, kind| world.new_invite(kind, asker.person);
        let invite = Invite {
            address: Some(new.address),
            invitee,
            silent: self.flooded(new.address),
            role: Some(new.role),
            org: Some(right.org),
            mode: Some(new.mode),
            path: new.path,
            ..blank(self, InviteKind::Org)
        };
        self.invites.insert(id, invite);
        self.note(asker, right, "invite.created", Subject::Invite(id));
        for (number, (group, role)) in (id + 1..).zip(&new.groups) {
            let sleeper = Invite {
                role: Some(*role),
                org: Some(right.org),
                group: Some(*group),
                expires_at: None,
                slept: true,
                sleeps_on: Some(id),
                ..blank(self, InviteKind::Group)
            };
            self.invites.insert(number, sleeper);
            let right = Right { group: Some(*group), ..right };
            self.note(asker, right, "invite.created", Subject::Invite(number));
        }
        if invitee.is_none() {
            let number = carrier(id);
            let above = Invite {
                address: Some(new.address),
                path: new.path,
                carries: Some(id),
                secret: Some(number),
                mailed: Vec::new(),
                ..blank(self, InviteKind::Platform)
            };
            self.invites.insert(number, above);
        }
    }

    fn invite_to_group(
        &mut self,
        asker: &Asker,
        group: Id,
        new: &[(Address, Role)],
        partial: bool,
        first: Id,
    ) -> Outcome {
        let right = self.may(asker, Object::Group(group), Deed::Administer)?;
        let here = |invite: &Invite| invite.group == Some(group);
        let people: Vec<Person> = new.iter().filter_map(|(address, _)| self.account_of(*address)).collect();
        self.expire_invites(Some(asker.person), |invite| {
            here(invite) && invite.invitee.is_some_and(|person| people.contains(&person))
        });
        let mut seen = BTreeSet::new();
        let mut verdicts = Vec::new();
        for (address, role) in new {
            let (in_org, in_group) = (&self.orgs[&right.org].members, &self.groups[&group].members);
            let account = self.account_of(*address);
            let to = |invite: &Invite| here(invite) && invite.invitee == account;
            verdicts.push(if !seen.insert(*address) {
                Verdict::Invalid("email")
            } else {
                match account {
                    Some(person) if in_org.contains_key(&person) => {
                        if in_group.contains_key(&person) {
                            Verdict::Clash(ConflictKind::AlreadyMember)
                        } else if !self.open_invites(to).is_empty() {
                            Verdict::Clash(ConflictKind::AlreadyInvited)
                        } else if !self.answers(person) {
                            Verdict::Clash(ConflictKind::NotInOrg)
                        } else if self.often(to) {
                            Verdict::Clash(ConflictKind::InvitedTooOften)
                        } else if !grants(Some(right.role), *role) {
                            Verdict::Invalid("role")
                        } else {
                            Verdict::Made(Some(person))
                        }
                    }
                    // Nobody learns here whether there is such an account.
                    _ => Verdict::Clash(ConflictKind::NotInOrg),
                }
            });
        }
        settle(&verdicts, partial)?;
        let made = verdicts.iter().filter(|verdict| verdict.makes()).count();
        self.within_limits(asker.person, made, here)?;
        let silent: Vec<bool> = new.iter().map(|(address, _)| self.flooded(*address)).collect();
        let mut rows = Vec::new();
        for (((id, (_, role)), verdict), silent) in
            (first..).step_by(APART as usize).zip(new).zip(verdicts).zip(silent)
        {
            let Verdict::Made(invitee) = verdict else {
                rows.push(verdict.row());
                continue;
            };
            let invite = Invite {
                invitee,
                silent,
                role: Some(*role),
                org: Some(right.org),
                group: Some(group),
                ..self.new_invite(InviteKind::Group, asker.person)
            };
            self.invites.insert(id, invite);
            self.note(asker, right, "invite.created", Subject::Invite(id));
            rows.push(self.invite_row(id));
        }
        Ok(Answer { rows, keys: Vec::new() })
    }

    fn invite_to_platform(&mut self, asker: &Asker, address: Address, id: Id) -> Outcome {
        asker.administers_platform()?;
        if self.account_of(address).is_some() {
            return Err(Refusal::Conflict(ConflictKind::EmailTaken, Vec::new()));
        }
        let to = |invite: &Invite| {
            let alone = invite.kind == InviteKind::Platform && invite.carries.is_none();
            alone && invite.address == Some(address)
        };
        if !self.open_invites(to).is_empty() {
            return Err(Refusal::Conflict(ConflictKind::AlreadyInvited, Vec::new()));
        }
        if self.flooded(address) {
            return Err(Refusal::Conflict(ConflictKind::InvitedTooOften, Vec::new()));
        }
        self.expire_invites(Some(asker.person), to);
        self.within_limits(asker.person, 1, |_| false)?;
        let blank = self.new_invite(InviteKind::Platform, asker.person);
        self.invites.insert(id, Invite { address: Some(address), secret: Some(id), ..blank });
        let subject = Subject::Invite(id);
        self.note_at(Some(ROOT), Via::PlatformAdmin, "invite.created", subject, (None, None));
        self.invite_answer(id)
    }

    /// The open platform invite with this secret.
    pub fn door(&self, secret: Id) -> Option<Id> {
        self.open_invites(|invite| invite.secret == Some(secret)).first().copied()
    }

    fn admit(&mut self, address: Address, verified: bool, via: Via) -> Result<Person, Refusal> {
        if self.account_of(address).is_some() {
            return Err(Refusal::Conflict(ConflictKind::EmailTaken, Vec::new()));
        }
        let person = self.people.len();
        self.people.push(Account { address, enabled: true, verified });
        self.note_at(None, via, "user.created", Subject::Person(person), (None, None));
        Ok(person)
    }

    fn register(&mut self, address: Address) -> Outcome {
        let person = self.admit(address, false, Via::Public)?;
        Ok(Answer { rows: vec![json!({ "person": person })], keys: Vec::new() })
    }

    fn register_by(&mut self, secret: Id) -> Outcome {
        let door = self.door(secret).ok_or(Refusal::NotFound)?;
        if !self.vouched_for(door) {
            // Nobody is let in by it any more: that is what the attempt leaves behind.
            self.close_door(door, InviteState::Revoked, "invite.revoked");
            self.lasting = true;
            return Err(Refusal::NotFound);
        }
        let person = self.admit(self.invites[&door].address.unwrap(), true, Via::Invitation)?;
        let woken = self.come_in(None, door, person);
        Ok(Answer { rows: vec![json!({ "person": person, "invites": woken })], keys: Vec::new() })
    }

    fn claim(&mut self, asker: &Asker, secret: Id) -> Outcome {
        let own = self.people[asker.person].address;
        let door = self.door(secret).filter(|door| self.invites[door].address == Some(own));
        let door = door.ok_or(Refusal::NotFound)?;
        self.people[asker.person].verified = true;
        let woken = self.come_in(Some(asker.person), door, asker.person);
        Ok(Answer { rows: vec![json!({ "person": asker.person, "invites": woken })], keys: Vec::new() })
    }

    fn view_by(&self, secret: Id) -> Outcome {
        let door = self.door(secret).ok_or(Refusal::NotFound)?;
        let to = self.invites[&door].address.unwrap();
        let leads_to = self.invites[&door].carries.unwrap_or(door);
        let row = json!({ "invite": self.invite_row(leads_to), "email": address(to),
                          "has_account": self.account_of(to).is_some() });
        Ok(Answer { rows: vec![row], keys: Vec::new() })
    }

    fn decline_by(&mut self, secret: Id) -> Outcome {
        let door = self.door(secret).ok_or(Refusal::NotFound)?;
        self.close_door(door, InviteState::Declined, "invite.declined");
        Ok(Answer::default())
    }

    fn close_door(&mut self, door: Id, state: InviteState, action: &'static str) {
        self.invites.get_mut(&door).unwrap().state = state;
        let carried = self.invites[&door].carries;
        self.note_at(None, Via::Invitation, action, Subject::Invite(door), (None, None));
        self.end_invites(carried.into_iter().collect(), state, None, Via::Invitation);
    }

    /// Whether somebody may still let this address in: who administers the platform, or for an organisation's
    /// invite whoever sent one that sleeps for the address.
    fn vouched_for(&self, door: Id) -> bool {
        let door = &self.invites[&door];
        if door.carries.is_none() {
            return door.inviter == ROOT && self.people[ROOT].enabled;
        }
        let waits = |invite: &Invite| {
            invite.kind == InviteKind::Org && invite.invitee.is_none() && invite.address == door.address
        };
        self.open_invites(waits).into_iter().any(|id| {
            let invite = &self.invites[&id];
            self.may_grant(invite.inviter, Object::Org(invite.org.unwrap()), invite.role.unwrap())
        })
    }

    /// Who asks without a log-in.
    pub fn nobody() -> Asker {
        Asker { person: NOBODY, by: super::commands::By::Nobody, can_write: true, within: None }
    }
}

//! A thousand organisations behind the registry's back, one for each round of a race, and the invites there.

#![allow(dead_code, unreachable_pub, reason = "every test crate includes this file and uses part of it")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test without its stage cannot go on")]

use std::sync::Arc;

use registry::{Clock, GroupId, InviteId, InviteMode, OrgId, Secret, Timestamp, UserId, text::Email};
use sqlx::types::Uuid;

use super::{
    Engine,
    invites::LIFE,
    people::{Person, World, world_with},
    race::ROUNDS,
};

/// Each organisation has an owner, two admins and two groups, of which the three are owner and admins too.
pub struct Stage {
    pub world: Arc<World>,
    pub owner: Person,
    pub adam: Person,
    pub alma: Person,
    pub guest: Person,
    moments: [String; 3],
    rows: Vec<(&'static str, Vec<String>)>,
}

const ORGS: &str = "orgs (id, name, description, metadata, created_at, updated_at)";
const ORG_MEMBERS: &str = "org_memberships (org_id, member_id, role)";
const GROUPS: &str = "groups (id, org_id, name, description, metadata, created_at, updated_at)";
const MEMBERS: &str = "group_memberships (group_id, member_id, role)";
const USERS: &str = "users (id, email, status, metadata, created_at, updated_at, verified_at)";
const ORG_INVITES: &str = "org_invites (id, org_id, invitee_id, invitee_email, invitee_role, inviter_id, mode, state, created_at, expires_at)";
const PLATFORM: &str =
    "platform_invites (id, org_invite_id, invitee_email, inviter_id, digest, state, created_at, expires_at)";
const GROUP_INVITES: &str =
    "group_invites (id, invitee_id, inviter_id, group_id, invitee_role, created_at, expires_at, state)";
const LINKS: &str = "dormant_group_invites (group_invite_id, org_invite_id)";
const JOURNAL: &str =
    "journal (at, org_id, group_id, actor_kind, via, action, subject_kind, subject_id, request_id)";

pub fn org(round: usize) -> OrgId {
    OrgId::from(id(1, round))
}

pub fn group(which: u8, round: usize) -> GroupId {
    GroupId::from(id(2 + which, round))
}

pub fn inviter(round: usize) -> UserId {
    UserId::from(id(9, round))
}

pub fn inviter_address(round: usize) -> Email {
    Email::try_from(format!("inviter{round}@example.com").as_str()).unwrap()
}

/// The greater `which`, the newer.
pub fn invite(which: u8, round: usize) -> InviteId {
    InviteId::from(id(10 + which, round))
}

pub fn address(round: usize) -> Email {
    Email::try_from(format!("guest{round}@example.com").as_str()).unwrap()
}

fn id(kind: u8, round: usize) -> Uuid {
    Uuid::from_u128((u128::from(kind) << 100) + round as u128)
}

pub async fn stage(engine: Engine) -> Stage {
    let world = world_with(engine, Clock::system(), |settings| {
        settings.invites.per_hour = u32::MAX;
        settings.invites.per_address = u32::MAX;
    })
    .await;
    let [owner, adam, alma, guest] = [
        world.person("owner").await,
        world.person("adam").await,
        world.person("alma").await,
        world.person("guest").await,
    ];
    let now = world.clock().now();
    let moment = |at: Timestamp| match engine {
        Engine::Sqlite => at.millis().to_string(),
        Engine::Postgres => format!("to_timestamp({} / 1000.0)", at.millis()),
    };
    // Made long enough ago not to count in any limit.
    let moments = [moment(now.before(LIFE)), moment(now), moment(now.after(LIFE))];
    let mut stage = Stage { world: Arc::new(world), owner, adam, alma, guest, moments, rows: Vec::new() };
    for round in 0..ROUNDS {
        let now = stage.moments[0].clone();
        let here = stage.literal(org(round).uuid());
        stage.row(ORGS, format!("{here}, 'org', '', '{{}}', {now}, {now}"));
        let people = [(stage.owner.id, "owner"), (stage.adam.id, "admin"), (stage.alma.id, "admin")];
        for (person, role) in people {
            stage.org_member(round, person, role);
        }
        for which in [0, 1] {
            let group_id = stage.literal(group(which, round).uuid());
            stage.row(GROUPS, format!("{group_id}, {here}, 'group{which}', '', '{{}}', {now}, {now}"));
            for (person, role) in people {
                stage.member(which, round, person, role);
            }
        }
    }
    stage
}

impl Stage {
    fn literal(&self, id: Uuid) -> String {
        self.world.opened.database.literal(id)
    }

    fn row(&mut self, table: &'static str, values: String) {
        match self.rows.iter_mut().find(|(name, _)| *name == table) {
            Some((_, rows)) => rows.push(values),
            None => self.rows.push((table, vec![values])),
        }
    }

    pub fn org_member(&mut self, round: usize, person: UserId, role: &str) {
        let (org, person) = (self.literal(org(round).uuid()), self.literal(person.uuid()));
        self.row(ORG_MEMBERS, format!("{org}, {person}, '{role}'"));
    }

    pub fn member(&mut self, which: u8, round: usize, person: UserId, role: &str) {
        let (group, person) = (self.literal(group(which, round).uuid()), self.literal(person.uuid()));
        self.row(MEMBERS, format!("{group}, {person}, '{role}'"));
    }

    /// Somebody for this round, who never logs in.
    pub fn user(&mut self, round: usize) {
        let (user, now) = (self.literal(inviter(round).uuid()), self.moments[0].clone());
        self.row(
            USERS,
            format!("{user}, '{}', 'enabled', '{{}}', {now}, {now}, {now}", inviter_address(round)),
        );
    }

    fn told(&mut self, round: Option<usize>, which: Option<u8>, invite: InviteId) {
        let place = |id: Option<Uuid>| id.map_or("NULL".to_owned(), |id| self.literal(id));
        let (org, group) = (
            place(round.map(|round| org(round).uuid())),
            place(round.zip(which).map(|(round, which)| group(which, round).uuid())),
        );
        let (invite, at) = (self.literal(invite.uuid()), self.moments[0].clone());
        self.row(
            JOURNAL,
            format!(
                "{at}, {org}, {group}, 'system', 'system', 'invite.created', 'invite', {invite}, 'stage'"
            ),
        );
    }

    /// An invite to one of the round's two groups as an editor: the guest's, or asleep on another invite.
    pub fn group_invite(&mut self, which: u8, round: usize, id: InviteId, by: UserId, on: Option<InviteId>) {
        let (later, guest) = (self.moments[2].clone(), self.guest.id);
        self.group_invite_until(which, round, id, by, on.ok_or(guest), &later);
    }

    /// One that is past due, of the round's own person.
    pub fn due_group_invite(&mut self, which: u8, round: usize, id: InviteId, by: UserId) {
        let now = self.moments[1].clone();
        self.group_invite_until(which, round, id, by, Err(inviter(round)), &now);
    }

    fn group_invite_until(
        &mut self,
        which: u8,
        round: usize,
        id: InviteId,
        by: UserId,
        on: Result<InviteId, UserId>,
        end: &str,
    ) {
        self.told(Some(round), Some(which), id);
        let (invite, by) = (self.literal(id.uuid()), self.literal(by.uuid()));
        let (place, now) = (self.literal(group(which, round).uuid()), self.moments[0].clone());
        let (guest, end) = match on {
            Ok(_) => ("NULL".to_owned(), "NULL".to_owned()),
            Err(invitee) => (self.literal(invitee.uuid()), end.to_owned()),
        };
        self.row(
            GROUP_INVITES,
            format!("{invite}, {guest}, {by}, {place}, 'editor', {now}, {end}, 'pending'"),
        );
        if let Ok(on) = on {
            let on = self.literal(on.uuid());
            self.row(LINKS, format!("{invite}, {on}"));
        }
    }

    /// An invite of the guest to the round's organisation.
    pub fn org_invite(&mut self, round: usize, id: InviteId, by: UserId, mode: InviteMode) {
        let (guest, email) = (self.literal(self.guest.id.uuid()), self.guest.email.clone());
        self.org_invite_of(round, id, by, mode, &guest, &email);
    }

    fn org_invite_of(
        &mut self,
        round: usize,
        id: InviteId,
        by: UserId,
        mode: InviteMode,
        guest: &str,
        email: &Email,
    ) {
        self.told(Some(round), None, id);
        let (invite, by, place) =
            (self.literal(id.uuid()), self.literal(by.uuid()), self.literal(org(round).uuid()));
        let [now, _, later] = self.moments.clone();
        let mode = mode.as_str();
        self.row(
            ORG_INVITES,
            format!(
                "{invite}, {place}, {guest}, '{email}', 'viewer', {by}, '{mode}', 'pending', {now}, {later}"
            ),
        );
    }

    /// An invite of the round's address to the platform.
    pub fn platform_invite(&mut self, round: usize, id: InviteId, by: UserId, secret: &Secret) {
        self.told(None, None, id);
        self.carrier(round, id, "NULL", by, secret);
    }

    /// An invite of the round's address to its organisation, asleep on one to the platform.
    pub fn far_invite(&mut self, round: usize, ids: [InviteId; 2], by: UserId, secret: &Secret) {
        self.far_invite_to(round, round, ids, by, secret);
    }

    /// The same to the organisation of another round.
    pub fn far_invite_to(
        &mut self,
        place: usize,
        round: usize,
        ids: [InviteId; 2],
        by: UserId,
        secret: &Secret,
    ) {
        self.org_invite_of(place, ids[0], by, InviteMode::Ask, "NULL", &address(round));
        let on = self.literal(ids[0].uuid());
        self.carrier(round, ids[1], &on, by, secret);
    }

    fn carrier(&mut self, round: usize, id: InviteId, on: &str, by: UserId, secret: &Secret) {
        let (invite, by) = (self.literal(id.uuid()), self.literal(by.uuid()));
        let (digest, email) = (self.world.opened.database.bytes(&secret.digest()), address(round));
        let [now, _, later] = self.moments.clone();
        self.row(PLATFORM, format!("{invite}, {on}, '{email}', {by}, {digest}, 'pending', {now}, {later}"));
    }

    /// Writes all of it.
    pub async fn set(&mut self) -> Arc<World> {
        for table in
            [USERS, ORGS, ORG_MEMBERS, GROUPS, MEMBERS, ORG_INVITES, PLATFORM, GROUP_INVITES, LINKS, JOURNAL]
        {
            let Some((_, rows)) = self.rows.iter().find(|(name, _)| *name == table) else { continue };
            let rows: Vec<_> = rows.iter().map(|row| format!("({row})")).collect();
            for rows in rows.chunks(500) {
                let sql = format!("INSERT INTO {table} VALUES {}", rows.join(", "));
                self.world.opened.database.execute(sql).await;
            }
        }
        Arc::clone(&self.world)
    }
}

//! Invites for tests: an organisation with two admins and groups, people to be invited, and a look over
//! everything afterwards.

#![allow(dead_code, unreachable_pub, reason = "every test crate includes this file and uses part of it")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's own steps must succeed"
)]

use std::{ops::Deref, time::Duration};

use registry::{
    Clock, Error, GroupId, Invite, InviteFilter, InviteId, InviteKind, InviteMode, InviteOrder, InviteState,
    Invited, NewGroupInvite, NewOrgInvite, OrgId, Role, Secret, Settings, Timestamp, UserId,
    doctor::Severity,
    journal::{JournalFilter, JournalOrder, Record},
    secret::Prefix,
    text::Email,
};

use super::{
    Engine,
    log_ins::{email, password},
    orgs::{group_roles, roles},
    people::{PASSWORD, Person, World, first, log_in, world_with},
};

/// How long an invite lasts unless a test says otherwise.
pub const LIFE: Duration = Duration::from_secs(7 * 24 * 3600);
/// What limits are counted in.
pub const HOUR: Duration = Duration::from_secs(3600);

/// An organisation with two admins, who are admins of its three groups too.
pub struct Scene {
    pub world: World,
    pub clock: Clock,
    pub org: OrgId,
    pub red: GroupId,
    pub green: GroupId,
    pub blue: GroupId,
    /// Owns the organisation and so its groups.
    pub owner: Person,
    pub adam: Person,
    pub alma: Person,
    /// In the organisation, in no group.
    pub max: Person,
    /// In nothing.
    pub gus: Person,
    /// Owns another organisation.
    pub stranger: Person,
    pub elsewhere: OrgId,
}

impl Deref for Scene {
    type Target = World;
    fn deref(&self) -> &World {
        &self.world
    }
}

pub async fn scene(engine: Engine) -> Scene {
    scene_with(engine, |_| {}).await
}

pub async fn scene_with(engine: Engine, change: impl FnOnce(&mut Settings)) -> Scene {
    let clock = Clock::standing(Timestamp::from_millis(1_800_000_000_000));
    let world = world_with(engine, clock.clone(), |settings| {
        settings.session_days = 400;
        change(settings);
    })
    .await;
    let [owner, adam, alma, max, gus, stranger] = [
        world.person("olga").await,
        world.person("adam").await,
        world.person("alma").await,
        world.person("max").await,
        world.person("gus").await,
        world.person("stan").await,
    ];
    let org = world.org(&owner).await;
    for (person, role) in [(&adam, Role::Admin), (&alma, Role::Admin), (&max, Role::Viewer)] {
        world.join(org, person, role).await;
    }
    let [red, green, blue] =
        [world.group(org, "red").await, world.group(org, "green").await, world.group(org, "blue").await];
    for group in [red, green, blue] {
        world.admit(group, &[(&adam, Role::Admin), (&alma, Role::Admin)]).await;
    }
    let elsewhere = world.org(&stranger).await;
    // So that what was made by the scene is older than what a test makes.
    clock.advance(Duration::from_secs(1));
    Scene { world, clock, org, red, green, blue, owner, adam, alma, max, gus, stranger, elsewhere }
}

/// To the organisation as a viewer, with these groups.
pub fn to_org(email: &Email, groups: &[(GroupId, Role)], mode: InviteMode) -> NewOrgInvite {
    NewOrgInvite {
        email: email.clone(),
        role: Role::Viewer,
        groups: groups.to_vec(),
        mode,
        redirect_path: None,
    }
}

/// To a group.
pub fn to_group(email: &Email, role: Role) -> NewGroupInvite {
    NewGroupInvite { email: email.clone(), role, redirect_path: None }
}

/// The one that was made.
pub fn made(mut invited: Vec<Invited>) -> Invite {
    match (invited.pop(), invited.len()) {
        (Some(Invited::Made(invite)), 0) => *invite,
        other => panic!("{other:?}"),
    }
}

impl Scene {
    /// Everything that may be listed, oldest first.
    pub async fn received(&self, by: &Person, filter: InviteFilter) -> Vec<Invite> {
        let query = first(1000, InviteOrder::Id);
        self.list_received_invites(&by.call(), by.id, &filter, &query).await.unwrap().items
    }

    pub async fn invite(&self, by: &Person, new: NewOrgInvite) -> Result<Invite, Error> {
        self.create_org_invites(&by.call(), self.org, &[new], false).await.map(made)
    }

    /// Invites to the organisation and to groups of it as a viewer.
    pub async fn ask(&self, by: &Person, who: &Person, groups: &[GroupId]) -> Invite {
        let groups: Vec<_> = groups.iter().map(|group| (*group, Role::Viewer)).collect();
        self.invite(by, to_org(&who.email, &groups, InviteMode::Ask)).await.unwrap()
    }

    pub async fn invite_to(
        &self,
        by: &Person,
        group: GroupId,
        who: &Person,
        role: Role,
    ) -> Result<Invite, Error> {
        self.create_group_invites(&by.call(), group, &[to_group(&who.email, role)], false).await.map(made)
    }

    /// Invites an address that no account has, and tells the secret that is sent to it.
    pub async fn send(&self, by: &Person, new: NewOrgInvite) -> (Invite, Secret) {
        let invite = self.invite(by, new).await.unwrap();
        let secret = self.known_secret(invite.id).await;
        (invite, secret)
    }

    /// A secret of the test's own for a platform invite, or for the one that an organisation's invite
    /// sleeps on: the one that was made leaves by mail alone.
    pub async fn known_secret(&self, invite: InviteId) -> Secret {
        let secret = Secret::generate(Prefix::Invite).unwrap();
        let database = &self.opened.database;
        let id = database.literal(invite.uuid());
        let digest = database.bytes(&secret.digest());
        database
            .execute(format!(
                "UPDATE platform_invites SET digest = {digest} WHERE id = {id} OR org_invite_id = {id}"
            ))
            .await;
        secret
    }

    /// Makes an account by a secret, and logs in.
    pub async fn enter(&self, address: &Email, secret: &Secret) -> Person {
        let call = super::log_ins::anonymous();
        let metadata = super::log_ins::json("{}");
        self.register_by_invite(&call, secret, None, &password(PASSWORD), &metadata).await.unwrap();
        log_in(self, address.clone()).await
    }

    pub async fn state(&self, id: InviteId) -> InviteState {
        self.view_invite(&self.root.call(), id).await.unwrap().state
    }

    /// What is stored, which for what is past due is not what it is.
    pub async fn stored(&self, id: InviteId) -> String {
        let id = self.opened.database.literal(id.uuid());
        self.opened.database.text(format!("SELECT state FROM invites WHERE id = {id}")).await
    }

    pub async fn role_in_org(&self, who: &Person) -> Option<Role> {
        roles(self, self.org).await.into_iter().find(|(id, _)| *id == who.id).map(|(_, role)| role)
    }

    pub async fn role_in(&self, group: GroupId, who: &Person) -> Option<Role> {
        group_roles(self, group).await.into_iter().find(|(id, _)| *id == who.id).map(|(_, role)| role)
    }

    /// What the journal tells of an invite, oldest first.
    pub async fn trail(&self, id: InviteId) -> Vec<Record> {
        let filter = JournalFilter { subject: Some(id.uuid()), ..JournalFilter::default() };
        self.list_journal(&self.root.call(), &filter, &first(1000, JournalOrder)).await.unwrap().items
    }

    /// The same, only what happened.
    pub async fn story(&self, id: InviteId) -> Vec<String> {
        self.trail(id).await.into_iter().map(|record| record.action).collect()
    }

    /// How many entries the journal has.
    pub async fn entries(&self) -> i64 {
        self.opened.database.number("SELECT count(*) FROM journal").await
    }

    /// Rows of the tables that hold invites.
    pub async fn rows(&self) -> i64 {
        let tables = ["org_invites", "platform_invites", "group_invites", "dormant_group_invites"];
        let counts = tables.map(|table| format!("(SELECT count(*) FROM {table})")).join(" + ");
        self.opened.database.number(format!("SELECT {counts}")).await
    }

    /// Takes somebody out of the organisation behind the registry's back, which does not forget the rest.
    pub async fn vanish_from_org(&self, who: UserId) {
        let database = &self.opened.database;
        let (org, who) = (database.literal(self.org.uuid()), database.literal(who.uuid()));
        database
            .execute(format!("DELETE FROM org_memberships WHERE org_id = {org} AND member_id = {who}"))
            .await;
    }
}

/// An address that nobody has an account of.
pub fn nobody() -> Email {
    email("nora")
}

/// The sleeper for a group.
pub fn sleeper(invite: &Invite, group: GroupId) -> InviteId {
    invite.group_invites.iter().find(|offer| offer.group_id == group).unwrap().id
}

pub fn only(state: InviteState) -> InviteFilter {
    InviteFilter { state: Some(state), kind: None }
}

pub fn kind(kind: InviteKind) -> InviteFilter {
    InviteFilter { state: None, kind: Some(kind) }
}

/// What must hold of all rows whatever happened before: the rules of the doctor, V4 to V8, and that each
/// invite has one entry in the journal for its making and one for its end (V12).
const NEVER: &[(&str, &str)] = &[
    (
        "V4: two pending invites of a person to a group",
        "SELECT count(*) FROM (SELECT 1 AS one FROM group_invites WHERE state = 'pending' AND invitee_id IS NOT NULL \
         GROUP BY group_id, invitee_id HAVING count(*) > 1) AS twice",
    ),
    (
        "V4: two pending invites of an address to an organisation by one inviter",
        "SELECT count(*) FROM (SELECT 1 AS one FROM org_invites WHERE state = 'pending' \
         GROUP BY org_id, invitee_email, inviter_id HAVING count(*) > 1) AS twice",
    ),
    (
        "V5: as many invites to a place were accepted as memberships of it made by that",
        "SELECT count(*) FROM invites v WHERE v.kind <> 'platform' AND v.state = 'accepted' AND \
         (SELECT count(*) FROM invites w WHERE w.state = 'accepted' AND w.kind = v.kind AND w.invitee_id = v.invitee_id \
          AND w.org_id = v.org_id AND w.group_id IS NOT DISTINCT FROM v.group_id) <> \
         (SELECT count(*) FROM journal j WHERE j.action = 'member.added' AND j.via = 'invitation' AND j.subject_id = v.invitee_id \
          AND j.org_id = v.org_id AND j.group_id IS NOT DISTINCT FROM v.group_id)",
    ),
    (
        "V5: a membership was made by an invite that is not accepted",
        "SELECT count(*) FROM journal j JOIN orgs o ON o.id = j.org_id WHERE j.action = 'member.added' AND j.via = 'invitation' \
         AND (j.group_id IS NULL OR EXISTS (SELECT 1 FROM groups g WHERE g.id = j.group_id)) \
         AND NOT EXISTS (SELECT 1 FROM invites v WHERE v.state = 'accepted' AND v.invitee_id = j.subject_id \
          AND v.org_id = j.org_id AND v.group_id IS NOT DISTINCT FROM j.group_id)",
    ),
    (
        "V6: an invite gives ownership",
        "SELECT count(*) FROM invites WHERE invitee_role NOT IN ('viewer', 'editor', 'admin')",
    ),
    (
        "V7: a link without its invite",
        "SELECT count(*) FROM dormant_group_invites d WHERE NOT EXISTS \
         (SELECT 1 FROM group_invites i WHERE i.id = d.group_invite_id AND i.state = 'pending' AND i.invitee_id IS NULL)",
    ),
    (
        "V7: an organisation's invite sleeps without a platform invite, or is awake with one",
        "SELECT count(*) FROM org_invites o WHERE o.state = 'pending' AND (o.invitee_id IS NULL) <> \
         EXISTS (SELECT 1 FROM platform_invites p WHERE p.org_invite_id = o.id AND p.state = 'pending')",
    ),
    (
        "a platform invite is open for an organisation's invite that is not",
        "SELECT count(*) FROM platform_invites p WHERE p.state = 'pending' AND p.org_invite_id IS NOT NULL AND NOT EXISTS \
         (SELECT 1 FROM org_invites o WHERE o.id = p.org_invite_id AND o.state = 'pending' AND o.expires_at = p.expires_at)",
    ),
    (
        "V12: an invite was made without an entry, or with two",
        "SELECT count(*) FROM invites v WHERE (v.kind <> 'platform' OR v.org_invite_id IS NULL) AND \
         (SELECT count(*) FROM journal j WHERE j.subject_id = v.id AND j.action = 'invite.created') <> 1",
    ),
    (
        "V12: an invite ended without an entry that says how, or with two",
        "SELECT count(*) FROM invites v WHERE (v.kind <> 'platform' OR v.org_invite_id IS NULL) AND v.state <> 'pending' AND \
         (SELECT count(*) FROM journal j WHERE j.subject_id = v.id AND j.action = 'invite.' || v.state) <> 1",
    ),
    (
        "V12: the journal tells another end than the row",
        "SELECT count(*) FROM invites v JOIN journal j ON j.subject_id = v.id WHERE j.action <> 'invite.' || v.state AND \
         j.action IN ('invite.accepted', 'invite.declined', 'invite.revoked', 'invite.expired')",
    ),
    (
        "V12: an entry about an invite is not told where the invite leads",
        "SELECT count(*) FROM invites v JOIN journal j ON j.subject_id = v.id WHERE v.kind <> 'platform' AND \
         (j.org_id IS DISTINCT FROM v.org_id OR j.group_id IS DISTINCT FROM v.group_id)",
    ),
];

/// Looks over all rows.
pub async fn audit(world: &World) {
    for finding in world.doctor().await.unwrap() {
        // Nobody sends mails here, while days pass.
        let aside = ["name search", "clock", "mail"].contains(&finding.subject);
        assert!(finding.severity == Severity::Fine || aside, "{finding:?}");
    }
    let number = async |sql: &str| world.opened.database.number(sql).await;
    for (what, sql) in NEVER {
        assert_eq!(number(sql).await, 0, "{what}");
    }
}

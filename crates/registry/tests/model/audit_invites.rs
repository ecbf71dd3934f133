//! What must be true of invites at any time: every row is the model's, every principal sees of each what
//! the model lets them, and the rules that no constraint holds are kept.

use std::collections::BTreeSet;

use registry::{Call, InviteKind, InviteState};

use super::{
    audit::{AUDIT_EVERY, everything, root},
    commands::{By, List, Listed, Person},
    inviting::{Inbox, Inviting},
    perform_invites::hex,
    policy::Asker,
    reference::World,
    side::Side,
};

/// Rules about rows, each as a query for those that break it. What sleeps on what is the doctor's.
const RULES: &[(&str, &str)] = &[
    (
        "V4: one open invite of a person to a group",
        "SELECT 1 FROM group_invites WHERE state = 'pending' AND invitee_id IS NOT NULL \
         GROUP BY group_id, invitee_id HAVING count(*) > 1",
    ),
    (
        "V5: who accepted an organisation's invite became a member by it",
        "SELECT 1 FROM org_invites i WHERE i.state = 'accepted' AND NOT EXISTS (SELECT 1 FROM journal j \
         WHERE j.action = 'member.added' AND j.via = 'invitation' AND j.subject_id = i.invitee_id \
         AND j.org_id = i.org_id AND j.group_id IS NULL)",
    ),
    (
        "V5: who accepted a group's invite became a member by it",
        "SELECT 1 FROM group_invites i WHERE i.state = 'accepted' AND NOT EXISTS (SELECT 1 FROM journal j \
         WHERE j.action = 'member.added' AND j.via = 'invitation' AND j.subject_id = i.invitee_id \
         AND j.group_id = i.group_id)",
    ),
    ("V6: ownership is never given by an invite", "SELECT 1 FROM invites WHERE invitee_role = 'owner'"),
    (
        "V7: an organisation's invite sleeps exactly as long as it is carried by an open one of the platform",
        "SELECT 1 FROM org_invites i WHERE i.state = 'pending' AND (i.invitee_id IS NULL) <> EXISTS \
         (SELECT 1 FROM platform_invites p WHERE p.org_invite_id = i.id AND p.state = 'pending')",
    ),
    (
        "V7: nothing carried outlives what carries it",
        "SELECT 1 FROM platform_invites p JOIN org_invites i ON i.id = p.org_invite_id \
         WHERE p.state = 'pending' AND (i.state <> 'pending' OR i.expires_at <> p.expires_at)",
    ),
    (
        "V8: who is invited to a group is in its organisation",
        "SELECT 1 FROM group_invites i JOIN groups g ON g.id = i.group_id WHERE i.state = 'pending' \
         AND i.invitee_id IS NOT NULL AND i.expires_at > $now AND NOT EXISTS \
         (SELECT 1 FROM org_memberships m WHERE m.org_id = g.org_id AND m.member_id = i.invitee_id)",
    ),
];

impl Side {
    /// The rules, and the invites as one person after the other sees them, at the end of a sequence in lists
    /// too.
    pub async fn audit_invites(&mut self, world: &World, last: bool) {
        let engine = self.database.engine;
        let now = self.moment(world.now);
        let broken = |(rule, sql): &(&str, &str)| {
            format!("SELECT '{}' FROM ({}) broken", rule.replace('\'', "''"), sql.replace("$now", &now))
        };
        let broken: Vec<String> = RULES.iter().map(broken).collect();
        let broken = self.database.texts(broken.join(" UNION ALL ")).await;
        assert!(broken.is_empty(), "{engine:?}: {broken:?}");
        self.check_finality(world);
        for invite in [None, Some(InviteKind::Platform)] {
            let list = List { invite, ..everything(Listed::Invites(Inbox::Everything)) };
            self.compare_list(world, &self.as_root(), &root(), &list).await;
        }
        let person = (world.steps / AUDIT_EVERY + usize::from(last)) % self.memory.people.len();
        let Some(actor) = self.memory.actors.get(&person).cloned() else { return };
        let call = Call::new(actor, "audit");
        let asker = Asker { person, by: By::Session(0), can_write: true, within: None };
        self.look_at_each(world, &call, &asker).await;
        if last {
            for inbox in [Inbox::Everything, Inbox::Received(person), Inbox::Sent(person)] {
                let list = everything(Listed::Invites(inbox));
                self.compare_list(world, &call, &asker, &list).await;
            }
        }
    }

    async fn compare_list(&mut self, world: &World, call: &Call, asker: &Asker, list: &List) {
        let (found, expected) = (self.list(call, list).await, world.list(asker, list));
        let engine = self.database.engine;
        assert_eq!(found, expected, "\n{engine:?} (left), as {} sees it: {list:?}", asker.person);
    }

    async fn look_at_each(&mut self, world: &World, call: &Call, asker: &Asker) {
        let known: Vec<u64> = self.memory.invites.keys().copied().collect();
        for invite in known {
            let found = self.perform_invites(call, &Inviting::View { invite }).await;
            let expected = world.view_invite(asker, invite);
            let engine = self.database.engine;
            assert_eq!(found, expected, "\n{engine:?} (left): invite {invite} as {} sees it", asker.person);
        }
    }

    /// What has ended stays as it ended, but that somebody may still say no to what has expired.
    fn check_finality(&mut self, world: &World) {
        for (id, invite) in &world.invites {
            let state = world.state_of(invite);
            let before = self.memory.states.insert(*id, state).unwrap_or(InviteState::Pending);
            let late_no = (before, state) == (InviteState::Expired, InviteState::Declined);
            assert!(
                before == InviteState::Pending || before == state || late_no,
                "invite {id} was {before:?} and is {state:?}"
            );
        }
    }

    /// What is stored of invites, as text.
    pub fn selects_of_invites(&self) -> Vec<String> {
        let id = |column: &str| format!("COALESCE({}, '')", self.hex(column));
        let row = |kind: &str, table: &str| {
            let (invitee, inviter, end) = (id("invitee_id"), id("inviter_id"), self.millis("expires_at"));
            format!(
                "SELECT '{kind} ' || {} || ' ' || state || ' ' || {invitee} || ' ' || {inviter} || ' ' || \
                 invitee_role || ' ' || {end} FROM {table}",
                id("id")
            )
        };
        let (bed, sleeper) = (id("org_invite_id"), id("group_invite_id"));
        vec![
            row("org invite", "org_invites"),
            row("group invite", "group_invites"),
            format!(
                "SELECT 'platform invite ' || {} || ' ' || state || ' ' || {bed} || ' ' || {} || ' ' || {} \
                 FROM platform_invites",
                id("id"),
                id("digest"),
                self.millis("expires_at")
            ),
            format!("SELECT 'sleeper ' || {sleeper} || ' ' || {bed} FROM dormant_group_invites"),
            format!("SELECT 'unverified ' || {} FROM users WHERE verified_at IS NULL", id("id")),
        ]
    }

    /// The same of the model.
    pub fn expected_invites(&self, world: &World) -> BTreeSet<String> {
        let of = |invite: u64| self.invite_id(invite).uuid().as_simple().to_string();
        let user = |person: Person| self.user(person).uuid().as_simple().to_string();
        let mut rows = BTreeSet::new();
        for (id, invite) in &world.invites {
            let (number, state, end) = (of(*id), invite.state.as_str(), invite.expires_at.unwrap_or(0));
            if invite.kind == InviteKind::Platform {
                let (carried, secret) =
                    (invite.carries.map(of).unwrap_or_default(), self.invite_secret(invite.secret.unwrap()));
                let digest = hex(&secret.digest());
                rows.insert(format!("platform invite {number} {state} {carried} {digest} {end}"));
                continue;
            }
            let (invitee, role) = (invite.invitee.map(user).unwrap_or_default(), invite.role.unwrap());
            rows.insert(format!(
                "{} invite {number} {state} {invitee} {} {} {end}",
                invite.kind.as_str(),
                user(invite.inviter),
                role.as_str()
            ));
            rows.extend(invite.sleeps_on.map(|bed| format!("sleeper {number} {}", of(bed))));
        }
        let unverified = world.people.iter().enumerate().filter(|(_, account)| !account.verified);
        rows.extend(unverified.map(|(person, _)| format!("unverified {}", user(person))));
        rows
    }
}

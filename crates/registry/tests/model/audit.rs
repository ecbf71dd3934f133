//! What must be true at any time: each answer is the model's and the same on every engine, each change
//! has its entry in the journal, and nothing is in the database that the model does not know of.

use std::collections::{BTreeMap, BTreeSet};

use registry::{Dir, Role, credentials::CredentialKind, doctor::Severity};
use serde_json::{Value, json};

use super::{
    commands::{By, Command, Key, List, Listed, Object, Order, Place, ROOT, Scope},
    policy::Asker,
    reference::{Kind, Party, World},
    side::{Side, uuid},
    walk::in_order,
};
use crate::support::Engine;

/// The engines side by side, under the same commands.
pub struct Pair {
    pub sides: Vec<Side>,
}

/// After so many commands everything is looked at.
pub const AUDIT_EVERY: usize = 10;

/// Does something on each engine at the same time.
macro_rules! on_each {
    ($pair:expr, |$side:ident| $what:expr) => {
        match $pair.sides.as_mut_slice() {
            [one, other] => {
                let (one, other) = tokio::join!(
                    async {
                        let $side = one;
                        $what.await
                    },
                    async {
                        let $side = other;
                        $what.await
                    }
                );
                vec![one, other]
            }
            sides => {
                let mut all = Vec::new();
                for $side in sides {
                    all.push($what.await);
                }
                all
            }
        }
    };
}

impl Pair {
    /// Carries a command out on each engine and compares what came of it with the model's expectation.
    pub async fn follow(&mut self, world: &World, command: &Command) {
        let step = &world.last;
        let outcomes = on_each!(self, |side| side.carry_out(command, step));
        for (side, outcome) in self.sides.iter().zip(&outcomes) {
            let engine = side.database.engine;
            assert_eq!(
                outcome, &step.outcome,
                "\n{engine:?} (left) is not as the model (right) after command {}: {command:?}\nall: {outcomes:#?}",
                world.steps
            );
        }
        on_each!(self, |side| side.check_effect(world, command));
        if world.steps.is_multiple_of(AUDIT_EVERY) {
            self.audit(world).await;
        }
    }

    /// Looks at everything.
    pub async fn audit(&mut self, world: &World) {
        on_each!(self, |side| side.audit(world, false));
    }

    /// Looks at everything, and longer.
    pub async fn last_audit(&mut self, world: &World) {
        on_each!(self, |side| side.audit(world, true));
    }
}

impl Side {
    /// The journal has gained the model's entries and no other. What the command may have changed is as
    /// the model has it, and has another version if and only if it has another content.
    async fn check_effect(&mut self, world: &World, command: &Command) {
        let engine = self.database.engine;
        let before = world.last.journal_before;
        let entries: Vec<Value> = world.journal[before..].iter().map(World::entry_row).collect();
        let entries = in_order(entries);
        assert_eq!(self.news().await, entries, "\nthe journal of {engine:?} (left) after {command:?}");
        for object in &world.last.touched {
            let version = self.version(*object).await;
            let content = world.content(*object);
            assert_eq!(version.is_some(), content.is_some(), "{engine:?}: {object:?} after {command:?}");
            let (Some(version), Some(content)) = (version, content) else { continue };
            for ((of, other), known) in &self.memory.versions {
                let same = (of, other) == (object, &content);
                assert!(
                    of != object || same == (*known == version),
                    "{engine:?}: {object:?} has one version for two contents or two for one, after {command:?}"
                );
            }
            self.memory.versions.insert((*object, content), version);
        }
    }

    async fn audit(&mut self, world: &World, last: bool) {
        let engine = self.database.engine;
        for finding in self.registry.doctor().await.unwrap() {
            // The index that it may miss on PostgreSQL is not about rows, and nobody sends mails here.
            let about_rows = !["name search", "mail"].contains(&finding.subject);
            let bad = finding.severity > Severity::Fine && about_rows;
            assert!(!bad, "{engine:?}: {finding:?}");
        }
        let (found, expected) = (self.rows().await, self.expected_rows(world));
        let extra: Vec<_> = found.difference(&expected).collect();
        let missing: Vec<_> = expected.difference(&found).collect();
        assert!(extra.is_empty() && missing.is_empty(), "{engine:?} has {extra:#?} instead of {missing:#?}");

        let root = root();
        for what in lists(world) {
            let list = everything(what);
            let (found, expected) = (self.list(&self.as_root(), &list).await, world.list(&root, &list));
            assert_eq!(found, expected, "\n{engine:?} (left): {list:?}");
        }
        for id in world.things.keys() {
            let key = world.things[id].key;
            let seen = self.view(&self.as_root(), Object::Thing(*id), &[Some(key)]).await.unwrap();
            assert_eq!(seen.rows, [world.row(Object::Thing(*id), Role::Owner)], "{engine:?} (left)");
            assert_eq!(seen.keys, [Some(key)], "{engine:?} (left): the copy of the key of thing {id}");
        }
        self.check_credentials(world).await;
        self.audit_invites(world, last).await;
        if engine == Engine::Sqlite {
            self.check_indexes(world).await;
        }
    }

    /// The full-text indexes hold the things that there are, and nothing of those that are gone.
    async fn check_indexes(&self, world: &World) {
        // These fail where index and table differ.
        self.database
            .execute("INSERT INTO thing_names (thing_names, rank) VALUES ('integrity-check', 1)")
            .await;
        self.database.execute("INSERT INTO thing_terms (thing_terms) VALUES ('integrity-check')").await;
        let indexed = self.database.number("SELECT count(*) FROM thing_terms_docsize").await;
        // Each object of the vocabulary has scalars in it, but for the empty one.
        let expected = world.things.values().filter(|thing| thing.metadata != json!({})).count();
        assert_eq!(indexed, i64::try_from(expected).unwrap(), "rows of thing_terms");
    }

    /// Every credential ever issued works as long as it should, and no longer.
    async fn check_credentials(&mut self, world: &World) {
        let engine = self.database.engine;
        let made = self.memory.keys.keys().map(|id| Key::Made(*id));
        let keys: BTreeSet<Key> = made.chain(world.issued.iter().copied()).collect();
        for key in keys {
            for kind in [CredentialKind::Internal, CredentialKind::External] {
                let (found, expected) = (self.present(kind, key).await, world.clone().present(kind, key));
                assert_eq!(found, expected, "\n{engine:?} (left): {key:?} as {kind:?}");
            }
        }
        let sessions = self.memory.sessions.iter().map(|(id, secret)| (By::Session(*id), secret.clone()));
        let tokens = self.memory.tokens.iter().map(|(id, (_, secret))| (By::Token(*id), secret.clone()));
        for (by, secret) in sessions.chain(tokens).collect::<Vec<_>>() {
            let (found, expected) = (self.registry.authenticate(&secret).await, world.authenticate(by));
            assert_eq!(found.is_ok(), expected.is_ok(), "{engine:?} (left): {by:?} gives {found:?}");
        }
    }

    /// All rows that matter, as text, read behind the registry's back.
    async fn rows(&self) -> BTreeSet<String> {
        let (hex, millis) = (|column: &str| self.hex(column), |column: &str| self.millis(column));
        let mut selects: Vec<String> =
            COUNTED.iter().map(|table| format!("SELECT '{table}: ' || count(*) FROM {table}")).collect();
        for (table, place) in [("org_memberships", "org_id"), ("group_memberships", "group_id")] {
            let (place, member) = (hex(place), hex("member_id"));
            selects
                .push(format!("SELECT 'member ' || {place} || ' ' || {member} || ' ' || role FROM {table}"));
        }
        let (thing, group, profile) = (hex("t.id"), hex("t.group_id"), hex("p.group_id"));
        selects.push(format!(
            "SELECT 'thing ' || {thing} || ' ' || {group} || ' ' || {profile} || ' ' || t.key || ' ' || \
             COALESCE(t.external_key, '') FROM things t JOIN profiles p ON p.id = t.profile_id"
        ));
        let (thing, end) = (hex("thing_id"), millis("not_after"));
        selects.push(format!(
            "SELECT 'index ' || verifier || ' ' || {thing} || ' ' || kind || ' ' || {end} FROM credential_index"
        ));
        selects.extend(self.selects_of_invites());
        self.database.texts(selects.join(" UNION ALL ")).await.into_iter().collect()
    }

    /// The same of the model.
    fn expected_rows(&mut self, world: &World) -> BTreeSet<String> {
        let keyring = crate::support::keyring();
        let hex = |id: u64| uuid(id).as_simple().to_string();
        let members =
            |parties: &BTreeMap<u64, Party>| parties.values().map(|party| party.members.len()).sum::<usize>();
        let counts = [
            world.orgs.len(),
            members(&world.orgs),
            world.groups.len(),
            members(&world.groups),
            world.profiles.len(),
            world.things.len(),
            world.index.len(),
            // The copy of each thing's key.
            world.things.len(),
            world.sessions.len(),
            world.tokens.len(),
            world.invites.values().filter(|invite| invite.sleeps_on.is_some()).count(),
            world.journal.len(),
            world.kept.len(),
        ];
        let mut rows: BTreeSet<String> =
            COUNTED.iter().zip(counts).map(|(table, count)| format!("{table}: {count}")).collect();
        for (id, party) in world.orgs.iter().chain(&world.groups) {
            for (person, role) in &party.members {
                let member = self.user(*person).uuid().as_simple().to_string();
                rows.insert(format!("member {} {member} {}", hex(*id), role.as_str()));
            }
        }
        for (id, thing) in &world.things {
            let key = keyring.verifier(&self.secret(thing.key));
            let external = thing.external.map(|key| self.secret(key).expose().to_owned()).unwrap_or_default();
            let group = hex(thing.group);
            rows.insert(format!("thing {} {group} {group} {} {external}", hex(*id), key.as_str()));
        }
        for (key, (thing, kind)) in &world.index {
            let (kind, end) = match kind {
                Kind::Key => ("key", 0),
                Kind::External => ("external", 0),
                Kind::Previous { not_after } => ("previous", *not_after),
            };
            let verifier = keyring.verifier(&self.secret(*key));
            rows.insert(format!("index {} {} {kind} {end}", verifier.as_str(), hex(*thing)));
        }
        rows.extend(self.expected_invites(world));
        rows
    }
}

/// The tables whose rows are counted, in the order of `expected_rows`.
const COUNTED: [&str; 13] = [
    "orgs",
    "org_memberships",
    "groups",
    "group_memberships",
    "profiles",
    "things",
    "credential_index",
    "thing_key_material",
    "sessions",
    "access_tokens",
    "dormant_group_invites",
    "journal",
    "idempotency_keys",
];

fn lists(world: &World) -> Vec<Listed> {
    let mut lists = vec![
        Listed::Orgs,
        Listed::Groups(Scope::Everywhere),
        Listed::Profiles(Scope::Everywhere),
        Listed::Things(Scope::Everywhere),
    ];
    lists.extend(world.orgs.keys().map(|id| Listed::Members(Place::Org(*id))));
    lists.extend(world.groups.keys().map(|id| Listed::Members(Place::Group(*id))));
    lists
}

/// The root, as who looks at things.
pub fn root() -> Asker {
    Asker { person: ROOT, by: By::Session(0), can_write: true, within: None }
}

/// A list with no filters.
pub fn everything(what: Listed) -> List {
    List {
        what,
        text: None,
        metadata: None,
        kind: None,
        role: None,
        external: None,
        content_type: None,
        state: None,
        invite: None,
        order: Order::Id,
        dir: Dir::Asc,
        limit: 1_000,
        by_offset: false,
    }
}

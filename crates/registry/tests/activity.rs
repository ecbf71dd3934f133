//! What devices do: when they were last seen, why they were not let in, and that a disabled one is not.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "also outside of the functions marked as tests"
)]

mod support;

use std::{net::Ipv4Addr, ops::Deref, sync::Arc, time::Duration};

use registry::{
    Clock, Denial, Dir, Error, Expect, GroupId, JsonObject, OrgId, PageQuery, ProfileId, Role, Secret,
    ThingId, Timestamp,
    credentials::{
        Asker, CredentialKind, ExternalKey, FailedCheck, FailedCheckFilter, FailedCheckOrder, Front,
        IndexedAs, Reason, ThingKey,
    },
    journal::{JournalFilter, JournalOrder},
    text::ThingName,
    things::{NewThing, ThingFilter, ThingOrder, ThingStatus, ThingType, ThingUpdate},
};
use support::{
    Engine, engines,
    people::{Person, World, first, world_at},
};

const INTERNAL: CredentialKind = CredentialKind::Internal;
const EXTERNAL: CredentialKind = CredentialKind::External;
const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// A group with a profile, in a process that answers from memory.
struct Scene {
    world: World,
    clock: Clock,
    org: OrgId,
    group: GroupId,
    profile: ProfileId,
}

impl Deref for Scene {
    type Target = World;
    fn deref(&self) -> &World {
        &self.world
    }
}

async fn scene(engine: Engine) -> Scene {
    let clock = Clock::standing(START);
    let world = world_at(engine, clock.clone()).await;
    tokio::spawn(Arc::clone(&world.opened.registry).keep_step(std::future::pending()));
    while !world.answers_from_memory() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let org = world.org(&world.root).await;
    let group = world.group(org, "group").await;
    let profile = world.profile(group, "profile").await;
    Scene { world, clock, org, group, profile }
}

fn serial(name: &str) -> ExternalKey {
    ExternalKey::try_from(format!("serial of {name}").as_str()).unwrap()
}

fn text(key: &ExternalKey) -> Secret {
    Secret::new(key.as_str())
}

fn from(source: u32) -> Asker {
    Asker { front: Front::Http, source: Some(Ipv4Addr::from(source).into()) }
}

impl Scene {
    async fn thing(&self, name: &str) -> (ThingId, Secret) {
        self.thing_on(self.profile, name).await
    }

    async fn thing_on(&self, profile: ProfileId, name: &str) -> (ThingId, Secret) {
        let new = NewThing {
            id: None,
            name: ThingName::try_from(name).unwrap(),
            kind: ThingType::Sensor,
            key: None,
            external_key: Some(serial(name)),
            metadata: JsonObject::default(),
        };
        let made = self.create_things(&self.root.call(), profile, &[new]).await.unwrap().remove(0);
        (made.thing.id, made.key.unwrap())
    }

    async fn gets_in(&self, kind: CredentialKind, credential: &Secret) -> bool {
        self.gets_in_from(kind, credential, 1).await
    }

    async fn gets_in_from(&self, kind: CredentialKind, credential: &Secret, source: u32) -> bool {
        match self.authenticate_device(kind, credential, &from(source)).await {
            Ok(_) => true,
            Err(Error::NotFound) => false,
            Err(error) => panic!("{error}"),
        }
    }

    async fn seen(&self, thing: ThingId) -> Option<Timestamp> {
        self.write_activity().await.unwrap();
        let call = self.root.call();
        let viewed = self.view_thing(&call, thing).await.unwrap().thing;
        let listed =
            self.list_things(&call, &ThingFilter::default(), &first(100, ThingOrder::Id)).await.unwrap();
        assert_eq!(listed.items.iter().find(|other| other.id == thing), Some(&viewed));
        viewed.last_seen_at
    }

    async fn by_each(&self, thing: ThingId) -> Vec<(IndexedAs, Option<Timestamp>)> {
        self.write_activity().await.unwrap();
        let credentials = self.list_credentials(&self.root.call(), thing).await.unwrap();
        credentials.into_iter().map(|credential| (credential.kind, credential.last_seen_at)).collect()
    }

    async fn failed(&self, person: &Person, filter: &FailedCheckFilter) -> Result<Vec<FailedCheck>, Error> {
        self.write_activity().await.unwrap();
        let query = PageQuery::new(Some(1_000), None, None, FailedCheckOrder, Dir::Desc).unwrap();
        self.list_failed_checks(&person.call(), filter, &query).await.map(|page| page.items)
    }

    /// The newest failed check.
    async fn why(&self) -> (String, Option<ThingId>, Option<Timestamp>) {
        let check = self.failed(&self.root, &FailedCheckFilter::default()).await.unwrap().remove(0);
        (check.reason, check.thing, check.since)
    }

    async fn rows(&self, condition: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM failed_checks WHERE {condition}");
        self.opened.database.number(sql).await
    }
}

fn of(thing: ThingId) -> FailedCheckFilter {
    FailedCheckFilter { thing: Some(thing), ..FailedCheckFilter::default() }
}

#[tokio::test]
async fn a_disabled_thing_gets_in_no_more_and_an_enabled_one_does() {
    for engine in engines() {
        let s = scene(engine).await;
        let (call, any) = (s.root.call(), Expect::any());
        let (thing, key) = s.thing("a").await;
        let (other, _) = s.thing("b").await;
        let journal = async || {
            let filter = JournalFilter { subject: Some(thing.uuid()), ..JournalFilter::default() };
            let page = s.list_journal(&call, &filter, &first(100, JournalOrder)).await.unwrap();
            page.items.into_iter().skip(1).map(|entry| entry.action).collect::<Vec<_>>()
        };
        let listed = async |status| {
            let filter = ThingFilter { status: Some(status), ..ThingFilter::default() };
            let page = s.list_things(&call, &filter, &first(100, ThingOrder::Name)).await.unwrap();
            assert_eq!(page.total, page.items.len() as u64);
            page.items.into_iter().map(|thing| thing.id).collect::<Vec<_>>()
        };
        for _ in 0..2 {
            assert!(s.gets_in(INTERNAL, &key).await && s.gets_in(EXTERNAL, &text(&serial("a"))).await);
        }
        let enabled = s.enable_thing(&call, thing, &any).await.unwrap();
        assert_eq!((enabled.status, journal().await), (ThingStatus::Enabled, vec![]), "nothing has changed");

        let disabled = s.disable_thing(&call, thing, &any).await.unwrap();
        for _ in 0..2 {
            assert!(!s.gets_in(INTERNAL, &key).await && !s.gets_in(EXTERNAL, &text(&serial("a"))).await);
        }
        assert_eq!(s.why().await, ("disabled".to_owned(), Some(thing), Some(START)));
        assert_eq!(disabled.status, ThingStatus::Disabled);
        assert_eq!(s.view_thing(&call, thing).await.unwrap().thing.version(), disabled.version());
        assert_ne!(disabled.version(), enabled.version());
        assert_eq!(listed(ThingStatus::Disabled).await, [thing]);
        assert_eq!(listed(ThingStatus::Enabled).await, [other]);
        let again = s.disable_thing(&call, thing, &any).await.unwrap();
        assert_eq!(again.version(), disabled.version());
        assert_eq!(journal().await, ["thing.disabled"]);
        // A new key does not help.
        let new = s.rotate_key(&call, thing, Duration::ZERO).await.unwrap();
        assert_eq!(new.thing.status, ThingStatus::Disabled);
        assert!(!s.gets_in(INTERNAL, &new.key.clone().unwrap()).await);

        let stale =
            s.enable_thing(&call, thing, &Expect::one_of(vec![disabled.version().as_str().to_owned()])).await;
        assert!(matches!(stale, Err(Error::Stale)), "{stale:?}");
        s.enable_thing(&call, thing, &any).await.unwrap();
        assert!(s.gets_in(INTERNAL, &new.key.unwrap()).await);
        assert_eq!(listed(ThingStatus::Disabled).await, []);

        let (viewer, editor) = (s.person("vic").await, s.person("ed").await);
        for person in [&viewer, &editor] {
            s.join(s.org, person, Role::Viewer).await;
        }
        s.admit(s.group, &[(&viewer, Role::Viewer), (&editor, Role::Editor)]).await;
        let refused = s.disable_thing(&viewer.call(), thing, &any).await;
        assert!(matches!(refused, Err(Error::Forbidden(Denial::Role))), "{refused:?}");
        s.disable_thing(&editor.call(), thing, &any).await.unwrap();
    }
}

#[tokio::test]
async fn a_thing_was_last_seen_when_it_last_authenticated_by_each_of_its_credentials() {
    for engine in engines() {
        let s = scene(engine).await;
        let call = s.root.call();
        let (thing, key) = s.thing("a").await;
        assert_eq!(s.seen(thing).await, None);
        assert_eq!(s.by_each(thing).await, [(IndexedAs::Key, None), (IndexedAs::External, None)]);
        let version = s.view_thing(&call, thing).await.unwrap().thing.version();

        // Failures are no sign of life.
        assert!(!s.gets_in(EXTERNAL, &key).await);
        assert_eq!(s.seen(thing).await, None);
        assert!(s.gets_in(INTERNAL, &key).await);
        assert_eq!(s.seen(thing).await, Some(START));
        assert_eq!(s.view_thing(&call, thing).await.unwrap().thing.version(), version);
        // From memory, within a minute: not noted again.
        s.clock.advance(Duration::from_secs(59));
        assert!(s.gets_in(INTERNAL, &key).await);
        assert_eq!(s.seen(thing).await, Some(START));
        s.clock.advance(Duration::from_secs(1));
        assert!(s.gets_in(INTERNAL, &key).await);
        let minute = START.after(Duration::from_secs(60));
        assert_eq!(s.seen(thing).await, Some(minute));
        s.clock.advance(Duration::from_secs(5));
        assert!(s.gets_in(EXTERNAL, &text(&serial("a"))).await);
        let later = minute.after(Duration::from_secs(5));
        assert_eq!(s.seen(thing).await, Some(later));
        assert_eq!(
            s.by_each(thing).await,
            [(IndexedAs::Key, Some(minute)), (IndexedAs::External, Some(later))]
        );

        // The key becomes the previous key, with what is known of it and what is yet to be written.
        s.clock.advance(Duration::from_secs(60));
        assert!(s.gets_in(INTERNAL, &key).await);
        let last = later.after(Duration::from_secs(60));
        let second = s.rotate_key(&call, thing, Duration::from_secs(600)).await.unwrap().key.unwrap();
        let (previous, external) = ((IndexedAs::Previous, Some(last)), (IndexedAs::External, Some(later)));
        assert_eq!(s.by_each(thing).await, [(IndexedAs::Key, None), previous, external]);
        assert!(s.gets_in(INTERNAL, &second).await);
        assert_eq!(s.by_each(thing).await, [(IndexedAs::Key, Some(last)), previous, external]);
        // A thing was seen, whatever became of the key by which it was.
        s.rotate_key(&call, thing, Duration::ZERO).await.unwrap();
        s.set_external_key(&call, thing, &serial("a"), &Expect::any()).await.unwrap();
        assert_eq!(s.by_each(thing).await, [(IndexedAs::Key, None), external]);
        s.set_external_key(&call, thing, &serial("x"), &Expect::any()).await.unwrap();
        assert_eq!(s.by_each(thing).await, [(IndexedAs::Key, None), (IndexedAs::External, None)]);
        assert_eq!(s.seen(thing).await, Some(last));
    }
}

#[tokio::test]
async fn what_is_noted_of_a_thing_that_is_gone_holds_up_nothing() {
    for engine in engines() {
        let s = scene(engine).await;
        let (gone, gone_key) = s.thing("a").await;
        let (stays, key) = s.thing("b").await;
        for key in [&gone_key, &key] {
            assert!(s.gets_in(INTERNAL, key).await);
            assert!(!s.gets_in(EXTERNAL, key).await);
        }
        s.delete_things(&s.root.call(), &[gone]).await.unwrap();
        assert_eq!(s.seen(stays).await, Some(START));
        assert_eq!(s.opened.database.number("SELECT count(*) FROM thing_activity").await, 1);
        let failed = s.failed(&s.root, &FailedCheckFilter::default()).await.unwrap();
        assert_eq!(failed.iter().map(|check| check.thing).collect::<Vec<_>>(), [Some(stays)]);
        // With a thing goes what it did.
        s.delete_things(&s.root.call(), &[stays]).await.unwrap();
        assert_eq!(s.rows("1 = 1").await, 0);
    }
}

#[tokio::test]
async fn what_is_left_is_written_when_the_process_ends() {
    for engine in engines() {
        let s = scene(engine).await;
        let (thing, key) = s.thing("a").await;
        assert!(s.gets_in(INTERNAL, &key).await);
        Arc::clone(&s.opened.registry).note_activity(std::future::ready(())).await;
        assert_eq!(s.view_thing(&s.root.call(), thing).await.unwrap().thing.last_seen_at, Some(START));
    }
}

#[tokio::test]
async fn a_failed_check_is_told_with_its_reason() {
    for engine in engines() {
        let s = scene(engine).await;
        let (call, any) = (s.root.call(), Expect::any());
        let told = |reason: Reason, thing, since| (reason.as_str().to_owned(), thing, since);
        let day = Duration::from_secs(24 * 3600);
        let (thing, first) = s.thing("a").await;
        let fails = async |kind, credential: &Secret| {
            assert!(!s.gets_in(kind, credential).await);
            s.why().await
        };
        let nobodys = Secret::new("nobody's key at all");
        assert_eq!(fails(INTERNAL, &nobodys).await, told(Reason::UnknownKey, None, None));
        let mistyped = Secret::new("thk_with a bad checksum");
        assert_eq!(fails(INTERNAL, &mistyped).await, told(Reason::Checksum, None, None));
        assert_eq!(fails(EXTERNAL, &first).await, told(Reason::WrongKind, Some(thing), None));

        // Replaced at once, and told since when.
        s.clock.advance(day);
        let second = s.rotate_key(&call, thing, Duration::ZERO).await.unwrap().key.unwrap();
        s.clock.advance(day);
        assert_eq!(
            fails(INTERNAL, &first).await,
            told(Reason::Replaced, Some(thing), Some(START.after(day)))
        );
        // From memory too.
        assert_eq!(
            fails(INTERNAL, &first).await,
            told(Reason::Replaced, Some(thing), Some(START.after(day)))
        );

        // Replaced later: expired since its end, before and after it is swept.
        s.rotate_key(&call, thing, Duration::from_secs(600)).await.unwrap();
        assert!(s.gets_in(INTERNAL, &second).await);
        let end = START.after(2 * day).after(Duration::from_secs(600));
        s.clock.advance(day);
        assert_eq!(fails(INTERNAL, &second).await, told(Reason::Expired, Some(thing), Some(end)));
        s.clock.advance(Duration::from_secs(2));
        s.sweep().await.unwrap();
        assert_eq!(fails(INTERNAL, &second).await, told(Reason::Expired, Some(thing), Some(end)));

        let now = s.clock.now();
        s.set_external_key(&call, thing, &serial("b"), &any).await.unwrap();
        let old = text(&serial("a"));
        assert_eq!(fails(EXTERNAL, &old).await, told(Reason::Replaced, Some(thing), Some(now)));
        s.clear_external_key(&call, thing, &any).await.unwrap();
        let removed = told(Reason::Removed, Some(thing), Some(now));
        assert_eq!(fails(EXTERNAL, &text(&serial("b"))).await, removed);

        // A key of the client's choice, replaced by another; then it is another thing's, and then that one's.
        let chosen = ThingKey::custom("a key of the client's choice").unwrap();
        let put = async |thing, key: &str| {
            let key = Some(ThingKey::custom(key).unwrap());
            let name = ThingName::try_from(format!("{thing}").as_str()).unwrap();
            let update = ThingUpdate { name, kind: None, metadata: None, key };
            s.update_thing(&call, thing, &update, &any).await.unwrap();
        };
        put(thing, "a key of the client's choice").await;
        put(thing, "another key of the client's").await;
        assert_eq!(fails(INTERNAL, chosen.secret()).await, told(Reason::Replaced, Some(thing), Some(now)));
        let (other, _) = s.thing("c").await;
        put(other, "a key of the client's choice").await;
        assert!(s.gets_in(INTERNAL, chosen.secret()).await);
        let retired = "SELECT count(*) FROM retired_credentials";
        let before = s.opened.database.number(retired).await;
        s.delete_things(&call, &[other]).await.unwrap();
        assert!(s.opened.database.number(retired).await < before);
        assert_eq!(fails(INTERNAL, chosen.secret()).await, told(Reason::UnknownKey, None, None));

        // What was retired long ago is forgotten.
        s.clock.advance(91 * day);
        s.sweep().await.unwrap();
        assert_eq!(s.opened.database.number(retired).await, 0);
        assert_eq!(fails(INTERNAL, &first).await, told(Reason::UnknownKey, None, None));
    }
}

#[tokio::test]
async fn failed_checks_are_shown_to_who_administers_the_thing() {
    for engine in engines() {
        let s = scene(engine).await;
        let (thing, key) = s.thing("a").await;
        let there = s.group(s.org, "there").await;
        let (elsewhere, other_key) = s.thing_on(s.profile(there, "profile").await, "b").await;
        let (admin, editor, stranger) = (s.person("ada").await, s.person("ed").await, s.person("sam").await);
        for person in [&admin, &editor] {
            s.join(s.org, person, Role::Viewer).await;
        }
        s.admit(s.group, &[(&admin, Role::Admin), (&editor, Role::Editor)]).await;
        for _ in 0..3 {
            assert!(!s.gets_in(EXTERNAL, &key).await);
        }
        assert!(!s.gets_in(EXTERNAL, &other_key).await);
        assert!(!s.gets_in(INTERNAL, &Secret::new("nobody's key at all")).await);

        let all = FailedCheckFilter::default();
        let things = async |person: &Person, filter: &FailedCheckFilter| {
            let failed = s.failed(person, filter).await.unwrap();
            failed.into_iter().map(|check| check.thing).collect::<Vec<_>>()
        };
        assert_eq!(things(&s.root, &all).await.len(), 3);
        assert_eq!(things(&admin, &all).await, [Some(thing)]);
        assert_eq!(things(&editor, &all).await, []);
        assert_eq!(things(&stranger, &all).await, []);
        let check = s.failed(&admin, &of(thing)).await.unwrap().remove(0);
        assert_eq!((check.times, check.kind.as_str(), check.front.as_str()), (3, "external", "http"));
        assert_eq!(check.source, Some(Ipv4Addr::from(1).into()));
        assert!(matches!(s.failed(&editor, &of(thing)).await, Err(Error::Forbidden(_))));
        assert!(matches!(s.failed(&stranger, &of(thing)).await, Err(Error::NotFound)));
        assert!(matches!(s.failed(&admin, &of(elsewhere)).await, Err(Error::NotFound)));

        let unknown = FailedCheckFilter { reason: Some(Reason::UnknownKey), ..all.clone() };
        assert_eq!(things(&s.root, &unknown).await, [None]);
        assert_eq!(things(&admin, &unknown).await, []);
        let late = FailedCheckFilter { since: Some(START.after(Duration::from_millis(1))), ..all };
        assert_eq!(things(&s.root, &late).await, []);
    }
}

#[tokio::test]
async fn the_newest_failed_checks_are_kept_and_nobody_pushes_all_others_out() {
    for engine in engines() {
        let s = scene(engine).await;
        let (noisy, noisy_key) = s.thing("a").await;
        let (quiet, quiet_key) = s.thing("b").await;
        assert!(!s.gets_in(EXTERNAL, &quiet_key).await);
        s.write_activity().await.unwrap();
        // More than there is room for between two writings, from as many places.
        for source in 0..150 {
            assert!(!s.gets_in_from(EXTERNAL, &noisy_key, source).await);
        }
        for source in 0..600 {
            assert!(!s.gets_in_from(INTERNAL, &Secret::new("thk_mistyped"), source).await);
        }
        s.write_activity().await.unwrap();
        assert_eq!((s.rows("thing_id IS NOT NULL").await, s.rows("thing_id IS NULL").await), (101, 500));
        assert_eq!(s.device_checks().unlisted, 50 + 100);
        for source in 1_000..1_010 {
            assert!(!s.gets_in_from(EXTERNAL, &noisy_key, source).await);
        }
        let failed = s.failed(&s.root, &of(noisy)).await.unwrap();
        assert_eq!(failed.len(), 100);
        assert_eq!(failed[0].source, Some(Ipv4Addr::from(1_009).into()));

        let at = match engine {
            Engine::Sqlite => "0",
            Engine::Postgres => "'epoch'::timestamptz",
        };
        let many = |thing: &str, most: u32| {
            format!(
                "INSERT INTO failed_checks (at, reason, kind, front, thing_id, times) \
                 WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {most}) \
                 SELECT {at}, 'checksum', 'internal', 'http', {thing}, 1 FROM n"
            )
        };
        s.opened.database.execute(many("NULL", 6_000)).await;
        assert!(!s.gets_in(EXTERNAL, &noisy_key).await);
        s.write_activity().await.unwrap();
        assert_eq!((s.rows("thing_id IS NOT NULL").await, s.rows("thing_id IS NULL").await), (101, 5_000));
        assert_eq!(s.failed(&s.root, &of(quiet)).await.unwrap().len(), 1);
        // In all: what many things did.
        let mut things = Vec::new();
        for n in 0..60 {
            let (thing, _) = s.thing(&format!("thing {n}")).await;
            things.push(many(&s.opened.database.literal(thing.uuid()), 100));
        }
        s.opened.database.execute(things.join("; ")).await;
        assert!(!s.gets_in(EXTERNAL, &noisy_key).await);
        s.write_activity().await.unwrap();
        assert_eq!(s.rows("1 = 1").await, 10_000);
    }
}

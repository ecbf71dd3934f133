//! How many statements it takes to look at invites: as many for thousands as for one.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "also outside of the functions marked as tests"
)]

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use registry::{
    Dir, InviteFilter, InviteMode, InviteOrder, InviteState, MemberRef, NewGroupInvite, NewMember, PageQuery,
    Role,
};
use support::{
    engines,
    invites::{Scene, scene, to_group, to_org},
    log_ins::email,
};
use tracing::{Event, Subscriber};
use tracing_subscriber::{Layer, filter::Targets, layer::Context, prelude::*};

/// Counts what sqlx tells of: one event for each statement.
struct Counter(Arc<AtomicUsize>);

impl<S: Subscriber> Layer<S> for Counter {
    fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Counts for this whole process: SQLite's statements run on threads of its own.
fn count_statements() -> Arc<AtomicUsize> {
    let counted = Arc::new(AtomicUsize::new(0));
    let only = Targets::new().with_target("sqlx::query", tracing::Level::DEBUG);
    let subscriber = tracing_subscriber::registry().with(Counter(Arc::clone(&counted)).with_filter(only));
    tracing::subscriber::set_global_default(subscriber).unwrap();
    counted
}

/// The number after the last event: a statement tells of itself a moment after it has answered.
async fn settled(counted: &AtomicUsize) -> usize {
    let mut before = counted.load(Ordering::SeqCst);
    loop {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let now = counted.load(Ordering::SeqCst);
        if now == before {
            return now;
        }
        before = now;
    }
}

/// What each way to look at invites takes, on pages as large as they come.
async fn looks(s: &Scene, counted: &AtomicUsize) -> Vec<(&'static str, usize, usize)> {
    let query = || PageQuery::new(Some(1000), None, None, InviteOrder::CreatedAt, Dir::Desc).unwrap();
    let pending = InviteFilter { state: Some(InviteState::Pending), kind: None };
    let (root, adam, gus) = (s.root.call(), s.adam.call(), s.gus.call());
    let mut taken = Vec::new();
    macro_rules! look {
        ($name:literal, $request:expr) => {{
            let before = settled(counted).await;
            let shown = $request.await.unwrap();
            taken.push(($name, shown, settled(counted).await - before));
        }};
    }
    for filter in [InviteFilter::default(), pending] {
        look!("all", async { s.list_invites(&root, &filter, &query()).await.map(|page| page.items.len()) });
        look!("org", async {
            s.list_org_invites(&adam, s.org, &filter, &query()).await.map(|page| page.items.len())
        });
        look!("group", async {
            s.list_group_invites(&adam, s.red, &filter, &query()).await.map(|page| page.items.len())
        });
        look!("received", async {
            s.list_received_invites(&gus, s.gus.id, &filter, &query()).await.map(|page| page.items.len())
        });
        look!("sent", async {
            s.list_sent_invites(&adam, s.adam.id, &filter, &query()).await.map(|page| page.items.len())
        });
    }
    let theirs = s.list_org_invites(&adam, s.org, &InviteFilter::default(), &query()).await.unwrap().items;
    let most = theirs.iter().max_by_key(|invite| invite.group_invites.len()).unwrap().id;
    look!("view", async { s.view_invite(&adam, most).await.map(|invite| invite.group_invites.len()) });
    let in_group = s.list_group_invites(&adam, s.red, &pending, &query()).await.unwrap().items[0].id;
    look!("view", async { s.view_invite(&adam, in_group).await.map(|invite| invite.group_invites.len()) });
    taken
}

#[tokio::test]
async fn lists_and_views_take_as_many_statements_for_thousands_of_rows_as_for_a_few() {
    let counted = count_statements();
    for engine in engines() {
        let s = scene(engine).await;
        let database = &s.opened.database;
        s.ask(&s.adam, &s.gus, &[s.red]).await;
        s.invite_to(&s.adam, s.red, &s.max, Role::Viewer).await.unwrap();
        let before = looks(&s, &counted).await;
        assert!(before.iter().all(|(_, _, statements)| (3..=9).contains(statements)), "{before:?}");

        // Thousands: asleep with three groups each, with an account and without.
        let groups = [(s.red, Role::Viewer), (s.green, Role::Editor), (s.blue, Role::Admin)];
        for (hundred, by) in [&s.adam, &s.alma, &s.adam].into_iter().enumerate() {
            let new: Vec<_> = (0..300)
                .map(|n| to_org(&email(&format!("guest{hundred}-{n}")), &groups, InviteMode::Ask))
                .collect();
            s.create_org_invites(&by.call(), s.org, &new, false).await.unwrap();
            // Far from any limit.
            s.clock.advance(Duration::from_secs(3601));
        }
        let mut members: Vec<NewGroupInvite> = Vec::new();
        let mut added: Vec<NewMember> = Vec::new();
        for n in 0..40 {
            let person = s.person(&format!("member{n}")).await;
            s.join(s.org, &person, Role::Viewer).await;
            members.push(to_group(&person.email, Role::Viewer));
            added.push(NewMember { who: MemberRef::Id(person.id), role: Role::Viewer });
        }
        s.create_group_invites(&s.adam.call(), s.red, &members, false).await.unwrap();
        // Being added costs nothing more for each of those who have no invite there.
        let (org, mut taken) = (s.org(&s.owner).await, Vec::new());
        for few in [&added[..2], &added[2..]] {
            let before = settled(&counted).await;
            s.add_org_members(&s.owner.call(), org, few).await.unwrap();
            taken.push(settled(&counted).await - before);
        }
        assert_eq!(taken[0], taken[1], "{engine:?}: for 2 and for 38");
        // Many of the same person's, from as many organisations.
        for _ in 0..40 {
            s.clock.advance(Duration::from_secs(600));
            let org = s.org(&s.stranger).await;
            let new = [to_org(&s.gus.email, &[], InviteMode::Ask)];
            s.create_org_invites(&s.stranger.call(), org, &new, false).await.unwrap();
        }
        // Invitees who are disabled, and inviters who are nobody any more.
        let gone = database.literal(support::orgs::absent());
        database
            .execute(format!(
                "UPDATE users SET status = 'disabled' WHERE email LIKE 'member1%'; \
                 UPDATE group_invites SET inviter_id = {gone} WHERE invitee_id IN (SELECT id FROM users WHERE email LIKE 'member2%')"
            ))
            .await;
        let after = looks(&s, &counted).await;
        let statements = |taken: &[(&'static str, usize, usize)]| -> Vec<(&'static str, usize)> {
            taken.iter().map(|(name, _, statements)| (*name, *statements)).collect()
        };
        assert_eq!(statements(&after), statements(&before), "{engine:?}: {after:?}");
        for ((name, few, _), (_, many, _)) in before.iter().zip(&after).take(10) {
            assert!(*many >= few + 40, "{name} shows {many}");
        }
    }
}

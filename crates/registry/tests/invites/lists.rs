//! What lists of invites show, and to whom.

use std::time::Duration;

use registry::{
    Error, Invite, InviteFilter, InviteId, InviteKind, InviteMode, InviteOrder, InviteState, Page, Role,
};

use crate::support::{
    engines,
    invites::{Scene, audit, kind, nobody, only, scene, sleeper, to_org},
    orgs::told,
    people::{Person, after, first},
};

fn ids(page: Result<Page<Invite>, Error>) -> Vec<InviteId> {
    let page = page.unwrap();
    assert_eq!(page.total, page.items.len() as u64);
    page.items.into_iter().map(|invite| invite.id).collect()
}

async fn in_org(s: &Scene, by: &Person) -> Result<Page<Invite>, Error> {
    s.list_org_invites(&by.call(), s.org, &InviteFilter::default(), &first(100, InviteOrder::Id)).await
}

async fn in_red(s: &Scene, by: &Person) -> Result<Page<Invite>, Error> {
    s.list_group_invites(&by.call(), s.red, &InviteFilter::default(), &first(100, InviteOrder::Id)).await
}

#[tokio::test]
async fn admins_see_what_leads_to_their_place() {
    for engine in engines() {
        let s = scene(engine).await;
        let edith = s.person("edith").await;
        s.join(s.org, &edith, Role::Editor).await;
        s.admit(s.red, &[(&edith, Role::Editor)]).await;
        let invite = s.ask(&s.adam, &s.gus, &[s.red, s.blue]).await;
        let explicit = s.invite_to(&s.alma, s.red, &s.max, Role::Viewer).await.unwrap().id;
        let (far, _) = s.send(&s.adam, to_org(&nobody(), &[(s.red, Role::Viewer)], InviteMode::Ask)).await;
        for by in [&s.adam, &s.alma, &s.owner, &s.root] {
            assert_eq!(ids(in_org(&s, by).await), [invite.id, far.id]);
            assert_eq!(ids(in_red(&s, by).await), [sleeper(&invite, s.red), explicit, sleeper(&far, s.red)]);
        }
        assert_eq!(told(in_org(&s, &edith).await), "Role");
        assert_eq!(told(in_red(&s, &edith).await), "Role");
        for by in [&s.gus, &s.stranger] {
            assert_eq!(told(in_org(&s, by).await), "NotFound");
            assert_eq!(told(in_red(&s, by).await), "NotFound");
        }
        // An organisation's admin has no access to a group by that alone.
        let colleague = s.person("colin").await;
        s.join(s.org, &colleague, Role::Admin).await;
        assert_eq!(told(in_red(&s, &colleague).await), "NotFound");
        audit(&s).await;
    }
}

#[tokio::test]
async fn people_see_what_they_received_and_sent() {
    for engine in engines() {
        let s = scene(engine).await;
        let query = first(100, InviteOrder::CreatedAt);
        let invite = s.ask(&s.adam, &s.gus, &[s.red]).await;
        s.clock.advance(Duration::from_millis(1));
        let explicit = s.invite_to(&s.adam, s.red, &s.max, Role::Viewer).await.unwrap();
        let received = |by: &Person, whose: &Person| {
            let (call, whose) = (by.call(), whose.id);
            let (s, query) = (&s, &query);
            async move { s.list_received_invites(&call, whose, &InviteFilter::default(), query).await }
        };
        assert_eq!(received(&s.gus, &s.gus).await.unwrap().items, std::slice::from_ref(&invite));
        assert_eq!(ids(received(&s.root, &s.gus).await), [invite.id]);
        for by in [&s.adam, &s.owner, &s.stranger, &s.max] {
            assert_eq!(told(received(by, &s.gus).await), "NotFound");
            let outcome = s.list_sent_invites(&by.call(), s.alma.id, &InviteFilter::default(), &query).await;
            assert_eq!(told(outcome), "NotFound");
        }
        let sent = s.list_sent_invites(&s.adam.call(), s.adam.id, &InviteFilter::default(), &query).await;
        assert_eq!(ids(sent), [invite.id, sleeper(&invite, s.red), explicit.id]);
        let filter = InviteFilter { state: Some(InviteState::Pending), kind: Some(InviteKind::Org) };
        let sent = s.list_sent_invites(&s.root.call(), s.adam.id, &filter, &query).await;
        assert_eq!(ids(sent), [invite.id]);
        s.accept_invite(&s.gus.call(), invite.id).await.unwrap();
        assert_eq!(ids(received(&s.gus, &s.gus).await), [invite.id, sleeper(&invite, s.red)]);
        assert_eq!(s.received(&s.gus, only(InviteState::Accepted)).await.len(), 1);
        let bound = s.by_token(&s.gus, false, Some(registry::Within::Org(s.org))).await;
        assert_eq!(told(received(&bound, &s.gus).await), "Scope");
        audit(&s).await;
    }
}

#[tokio::test]
async fn an_invitation_to_an_address_is_one_line() {
    for engine in engines() {
        let s = scene(engine).await;
        let (far, _) = s.send(&s.adam, to_org(&nobody(), &[(s.red, Role::Viewer)], InviteMode::Ask)).await;
        let (query, root) = (first(100, InviteOrder::Id), s.root.call());
        let other = crate::support::log_ins::email("other");
        let platform = s.create_platform_invite(&root, &other, None).await.unwrap().id;
        let all = ids(s.list_invites(&root, &InviteFilter::default(), &query).await);
        assert_eq!(all, [far.id, sleeper(&far, s.red), platform]);
        assert_eq!(ids(s.list_invites(&root, &kind(InviteKind::Platform), &query).await).len(), 2);
        assert_eq!(ids(s.list_invites(&root, &kind(InviteKind::Org), &query).await), [far.id]);
        for by in [&s.owner, &s.adam, &s.gus] {
            let outcome = s.list_invites(&by.call(), &InviteFilter::default(), &query).await;
            assert_eq!(told(outcome), "PlatformOnly");
        }
        audit(&s).await;
    }
}

/// The moment by which a state is decided is another one for each page.
#[tokio::test]
async fn a_list_by_state_goes_on_while_time_does() {
    for engine in engines() {
        let s = scene(engine).await;
        let new: Vec<_> = (0..7)
            .map(|n| to_org(&crate::support::log_ins::email(&format!("guest{n}")), &[], InviteMode::Ask))
            .collect();
        s.create_org_invites(&s.adam.call(), s.org, &new, false).await.unwrap();
        for order in [InviteOrder::Id, InviteOrder::CreatedAt] {
            let filter = only(InviteState::Pending);
            let call = s.alma.call();
            let mut page = s.list_org_invites(&call, s.org, &filter, &first(3, order)).await.unwrap();
            let mut seen = page.items.len();
            while let Some(next) = page.next {
                s.clock.advance(Duration::from_millis(1));
                page =
                    s.list_org_invites(&call, s.org, &filter, &after(3, order, next.clone())).await.unwrap();
                seen += page.items.len();
                // A cursor is still one list's and one person's.
                let (query, other) = (after(3, order, next), only(InviteState::Expired));
                let outcome = s.list_org_invites(&s.adam.call(), s.org, &filter, &query).await;
                assert!(matches!(outcome, Err(Error::Invalid(_))));
                let outcome = s.list_org_invites(&call, s.org, &other, &query).await;
                assert!(matches!(outcome, Err(Error::Invalid(_))));
            }
            assert_eq!(seen, 7);
        }
        audit(&s).await;
    }
}

/// Rows that people who are gone left, and that nobody should have written.
#[tokio::test]
async fn odd_rows_are_shown_and_harmless() {
    for engine in engines() {
        let s = scene(engine).await;
        let invite = s.ask(&s.adam, &s.gus, &[s.red]).await;
        let explicit = s.invite_to(&s.alma, s.red, &s.max, Role::Viewer).await.unwrap().id;
        let database = &s.opened.database;
        let nobody = database.literal(crate::support::orgs::absent());
        database
            .execute(format!(
                "UPDATE org_invites SET inviter_id = {nobody}; UPDATE group_invites SET inviter_id = {nobody}; \
                 UPDATE group_invites SET state = 'Pending ' WHERE invitee_id IS NOT NULL"
            ))
            .await;
        for page in [in_org(&s, &s.adam).await, in_red(&s, &s.alma).await] {
            for invite in page.unwrap().items {
                assert_eq!(invite.inviter_email, None);
            }
        }
        assert_eq!(s.state(explicit).await, InviteState::Revoked);
        assert_eq!(told(s.accept_invite(&s.max.call(), explicit).await), "InviteClosed(Revoked) []");
        assert_eq!(
            ids(s
                .list_received_invites(
                    &s.max.call(),
                    s.max.id,
                    &only(InviteState::Revoked),
                    &first(9, InviteOrder::Id)
                )
                .await),
            [explicit]
        );
        assert_eq!(told(s.accept_invite(&s.gus.call(), invite.id).await), "InviteNoLongerValid []");
    }
}

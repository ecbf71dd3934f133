//! Who may invite whom to what.

use std::time::Duration;

use registry::{InviteKind, InviteLimits, InviteMode, InviteState, Invited, Registry, Role};
use serde_json::json;

use crate::support::{
    engines,
    invites::{LIFE, audit, kind, made, nobody, scene, scene_with, sleeper, to_group, to_org},
    log_ins::{anonymous, email, json as object, password},
    orgs::told,
    people::{PASSWORD, Person, log_in},
    settings,
};

#[tokio::test]
async fn admins_invite_members_of_the_organisation_to_a_group() {
    for engine in engines() {
        let s = scene(engine).await;
        let invite = s.invite_to(&s.adam, s.red, &s.max, Role::Editor).await.unwrap();
        assert_eq!(
            (invite.kind, invite.state, invite.dormant),
            (InviteKind::Group, InviteState::Pending, false)
        );
        assert_eq!((invite.invitee_id, invite.inviter_id), (Some(s.max.id), s.adam.id));
        assert_eq!((invite.org_id, invite.group_id), (Some(s.org), Some(s.red)));
        assert_eq!(invite.group_name.as_deref(), Some("red"));
        assert_eq!(invite.invitee_role, Some(Role::Editor));
        assert_eq!(invite.expires_at, Some(s.clock.now().after(LIFE)));
        assert_eq!(s.view_invite(&s.max.call(), invite.id).await.unwrap(), invite);
        assert_eq!(s.role_in(s.red, &s.max).await, None);
        let trail = s.trail(invite.id).await;
        assert_eq!(trail.len(), 1);
        assert_eq!(trail[0].action, "invite.created");
        assert_eq!((trail[0].actor_id, trail[0].via.as_str()), (Some(s.adam.id.uuid()), "membership"));
        let (invitee, role) = (s.max.id.to_string(), "editor");
        assert_eq!(json!(trail[0].changes), json!({"invitee": {"after": invitee}, "role": {"after": role}}));
        audit(&s).await;
    }
}

#[tokio::test]
async fn a_group_invite_is_for_members_of_the_organisation_who_are_not_in_the_group() {
    for engine in engines() {
        let s = scene(engine).await;
        let zoe = s.person("zoe").await;
        s.join(s.org, &zoe, Role::Viewer).await;
        s.disable_user(&s.root.call(), zoe.id).await.unwrap();
        let before = (s.rows().await, s.entries().await);
        for (who, wanted) in [
            // Whether there is such an account is not told.
            (&s.gus.email, "NotInOrg [0]"),
            (&nobody(), "NotInOrg [0]"),
            (&zoe.email, "NotInOrg [0]"),
            (&s.stranger.email, "NotInOrg [0]"),
            (&s.alma.email, "AlreadyMember [0]"),
        ] {
            let new = [to_group(who, Role::Viewer)];
            let outcome = s.create_group_invites(&s.adam.call(), s.red, &new, false).await;
            assert_eq!(told(outcome), wanted, "{who}");
        }
        assert_eq!((s.rows().await, s.entries().await), before);
        s.invite_to(&s.adam, s.red, &s.max, Role::Viewer).await.unwrap();
        // At most one at a time, whoever sends it.
        for by in [&s.adam, &s.alma, &s.owner] {
            assert_eq!(told(s.invite_to(by, s.red, &s.max, Role::Admin).await), "AlreadyInvited [0]");
        }
        s.invite_to(&s.alma, s.green, &s.max, Role::Viewer).await.unwrap();
        audit(&s).await;
    }
}

/// I3: what one may give to others by what one has oneself, in a group and through an organisation's
/// invite.
#[tokio::test]
async fn nobody_gives_more_than_an_admin_may() {
    for engine in engines() {
        let s = scene(engine).await;
        let (viewer, editor) = (s.person("vera").await, s.person("edith").await);
        for (person, role) in [(&viewer, Role::Viewer), (&editor, Role::Editor)] {
            // In the organisation they are admins.
            s.join(s.org, person, Role::Admin).await;
            s.admit(s.red, &[(person, role)]).await;
        }
        let colleague = s.person("colin").await;
        s.join(s.org, &colleague, Role::Admin).await;
        let actors: [(&Person, Option<Role>); 6] = [
            (&colleague, None),
            (&viewer, Some(Role::Viewer)),
            (&editor, Some(Role::Editor)),
            (&s.adam, Some(Role::Admin)),
            (&s.owner, Some(Role::Owner)),
            (&s.root, Some(Role::Owner)),
        ];
        for (actor, own) in actors {
            for role in Role::ALL {
                let rows = s.rows().await;
                let outcome = told(s.invite_to(actor, s.red, &s.max, role).await);
                let allowed = own >= Some(Role::Admin) && role != Role::Owner;
                if allowed {
                    assert!(outcome.starts_with("Invite {"), "{outcome}");
                    let invite = s.received(&s.max, kind(InviteKind::Group)).await.pop().unwrap();
                    assert_eq!(invite.invitee_role, Some(role));
                    s.revoke_invite(&actor.call(), invite.id).await.unwrap();
                } else {
                    let wanted = match own {
                        _ if role == Role::Owner => "role: must be viewer",
                        None => "NotFound",
                        Some(_) => "Role",
                    };
                    assert!(outcome.trim_start_matches("[0].").starts_with(wanted), "{outcome}");
                    assert_eq!(s.rows().await, rows);
                }
                let rows = s.rows().await;
                let offer = to_org(&s.gus.email, &[(s.green, Role::Viewer), (s.red, role)], InviteMode::Ask);
                let outcome = told(s.invite(actor, offer).await);
                // In the green group only those are admins who are in the red one too.
                if allowed {
                    assert!(outcome.starts_with("Invite {"), "{outcome}");
                    let invite = s.received(&s.gus, kind(InviteKind::Org)).await.pop().unwrap();
                    s.revoke_invite(&actor.call(), invite.id).await.unwrap();
                } else {
                    assert!(outcome.starts_with("[0].group_invites: "), "{outcome}");
                    assert_eq!(s.rows().await, rows, "nothing of it was made");
                }
            }
            // Five times an hour one is invited to the same place.
            s.clock.advance(crate::support::invites::HOUR);
        }
        let outcome = told(
            s.invite(&s.adam, {
                let mut new = to_org(&s.gus.email, &[], InviteMode::Ask);
                new.role = Role::Owner;
                new
            })
            .await,
        );
        assert!(outcome.starts_with("[0].role: "), "{outcome}");
        audit(&s).await;
    }
}

/// I9: who administers groups of two organisations does not mix them.
#[tokio::test]
async fn an_organisations_invite_offers_groups_of_it_only() {
    for engine in engines() {
        let s = scene(engine).await;
        let foreign = s.group(s.elsewhere, "foreign").await;
        s.join(s.elsewhere, &s.adam, Role::Admin).await;
        s.admit(foreign, &[(&s.adam, Role::Admin)]).await;
        let rows = s.rows().await;
        for by in [&s.adam, &s.root] {
            for groups in
                [vec![(foreign, Role::Viewer)], vec![(s.red, Role::Viewer), (foreign, Role::Viewer)]]
            {
                let outcome = told(s.invite(by, to_org(&s.gus.email, &groups, InviteMode::Ask)).await);
                assert!(outcome.starts_with("[0].group_invites: you are not an admin"), "{outcome}");
            }
        }
        let absent = registry::GroupId::from(crate::support::orgs::absent());
        let outcome =
            told(s.invite(&s.adam, to_org(&s.gus.email, &[(absent, Role::Viewer)], InviteMode::Ask)).await);
        assert!(outcome.starts_with("[0].group_invites: "), "{outcome}");
        let twice = [(s.red, Role::Viewer), (s.red, Role::Editor)];
        let outcome = told(s.invite(&s.adam, to_org(&s.gus.email, &twice, InviteMode::Ask)).await);
        assert_eq!(outcome, "[0].group_invites: names a group twice");
        assert_eq!(s.rows().await, rows);
        audit(&s).await;
    }
}

#[tokio::test]
async fn an_organisations_invite_holds_one_sleeper_for_each_group() {
    for engine in engines() {
        let s = scene(engine).await;
        let groups = [(s.red, Role::Editor), (s.blue, Role::Admin)];
        let invite = s.invite(&s.adam, to_org(&s.gus.email, &groups, InviteMode::Ask)).await.unwrap();
        assert_eq!((invite.kind, invite.dormant), (InviteKind::Org, false));
        assert_eq!((invite.invitee_id, invite.invitee_role), (Some(s.gus.id), Some(Role::Viewer)));
        assert_eq!(invite.org_name.as_deref(), Some("org"));
        let offered: Vec<_> =
            invite.group_invites.iter().map(|offer| (offer.group_id, offer.member_role)).collect();
        assert_eq!(offered, groups);
        assert_eq!(s.view_invite(&s.gus.call(), invite.id).await.unwrap(), invite);
        for (group, role) in groups {
            let id = sleeper(&invite, group);
            // The invitee answers the organisation's invite first.
            assert_eq!(told(s.view_invite(&s.gus.call(), id).await), "NotFound");
            assert_eq!(told(s.accept_invite(&s.gus.call(), id).await), "NotFound");
            let seen = s.view_invite(&s.alma.call(), id).await.unwrap();
            assert_eq!(
                (seen.kind, seen.state, seen.dormant),
                (InviteKind::Group, InviteState::Pending, true)
            );
            assert_eq!((seen.invitee_id, seen.invitee_role), (None, Some(role)));
            assert_eq!(seen.invitee_email.as_ref(), Some(&s.gus.email));
            assert_eq!(seen.expires_at, invite.expires_at, "it has no clock of its own");
            let trail = s.trail(id).await;
            assert_eq!(trail.len(), 1);
            assert_eq!((trail[0].org_id, trail[0].group_id), (Some(s.org), Some(group)));
            let sleeps_on = json!(trail[0].changes)["sleeps_on"]["after"].clone();
            assert_eq!(sleeps_on, json!(invite.id.to_string()));
        }
        let number = s.opened.database.number("SELECT count(*) FROM dormant_group_invites").await;
        assert_eq!(number, 2);
        // Another admin may invite as well, the same one not twice.
        assert_eq!(
            told(s.invite(&s.adam, to_org(&s.gus.email, &[], InviteMode::Ask)).await),
            "AlreadyInvited [0]"
        );
        s.invite(&s.alma, to_org(&s.gus.email, &groups, InviteMode::Join)).await.unwrap();
        audit(&s).await;
    }
}

#[tokio::test]
async fn an_organisations_invite_is_for_those_outside() {
    for engine in engines() {
        let s = scene(engine).await;
        let rows = s.rows().await;
        let ask = async |by: &Person, who: &registry::text::Email| {
            told(s.invite(by, to_org(who, &[], InviteMode::Ask)).await)
        };
        assert_eq!(ask(&s.adam, &s.max.email).await, "AlreadyMember [0]");
        assert_eq!(ask(&s.max, &s.gus.email).await, "Role");
        assert_eq!(ask(&s.stranger, &s.gus.email).await, "NotFound");
        assert_eq!(s.rows().await, rows);
        for by in [&s.adam, &s.owner, &s.root] {
            assert!(ask(by, &s.gus.email).await.starts_with("Invite {"));
        }
        let reading = s.by_token(&s.adam, false, None).await;
        assert_eq!(ask(&reading, &nobody()).await, "Scope");
        audit(&s).await;
    }
}

#[tokio::test]
async fn an_address_without_a_proved_account_sleeps_on_a_platform_invite() {
    for engine in engines() {
        let s = scene(engine).await;
        let groups = [(s.red, Role::Viewer)];
        let invite = s.invite(&s.adam, to_org(&nobody(), &groups, InviteMode::Ask)).await.unwrap();
        assert!(invite.dormant);
        assert_eq!((invite.invitee_id, invite.invitee_email.as_ref()), (None, Some(&nobody())));
        let page = s
            .list_invites(
                &s.root.call(),
                &kind(InviteKind::Platform),
                &crate::support::people::first(10, registry::InviteOrder::Id),
            )
            .await
            .unwrap();
        assert_eq!(page.items.len(), 1);
        let carrier = &page.items[0];
        assert_eq!((carrier.org_id, carrier.dormant), (Some(s.org), false));
        assert_eq!(carrier.group_invites, invite.group_invites);
        assert_eq!(carrier.expires_at, invite.expires_at);
        audit(&s).await;
    }
}

#[tokio::test]
async fn only_the_platforms_administrators_invite_to_the_platform() {
    for engine in engines() {
        let s = scene(engine).await;
        let create = async |by: &Person, who: &registry::text::Email| {
            s.create_platform_invite(&by.call(), who, None).await
        };
        assert_eq!(told(create(&s.owner, &nobody()).await), "PlatformOnly");
        assert_eq!(told(create(&s.root, &s.gus.email).await), "EmailTaken []");
        let invite = create(&s.root, &nobody()).await.unwrap();
        assert_eq!((invite.kind, invite.dormant, invite.org_id), (InviteKind::Platform, false, None));
        assert_eq!(told(create(&s.root, &nobody()).await), "AlreadyInvited []");
        create(&s.root, &email("other")).await.unwrap();
        assert_eq!(s.trail(invite.id).await[0].via, "platform_admin");
        // An organisation's invite to the same address has a secret of its own.
        made(
            s.create_org_invites(&s.adam.call(), s.org, &[to_org(&nobody(), &[], InviteMode::Ask)], false)
                .await
                .unwrap(),
        );
        audit(&s).await;
    }
}

#[tokio::test]
async fn without_mail_nobody_is_invited_whom_only_a_mail_would_bring_in() {
    for engine in engines() {
        let s = scene_with(engine, |settings| settings.open_registration = true).await;
        let sent = s.invite(&s.adam, to_org(&email("before"), &[], InviteMode::Ask)).await.unwrap();
        let woken = s.ask(&s.adam, &s.stranger, &[s.red]).await;
        let platform = s.create_platform_invite(&s.root.call(), &email("apart"), None).await.unwrap();
        let unproved = email("early");
        s.register_user(&anonymous(), &unproved, &password(PASSWORD), &object("{}")).await.unwrap();
        s.clock.advance(InviteLimits::RESEND_PAUSE);
        let mut without = settings(&s.opened.database, s.clock.clone());
        without.mail = false;
        let silent = Registry::open(without).await.unwrap();

        let (rows, entries) = (s.rows().await, s.entries().await);
        let items = [
            to_org(&nobody(), &[(s.red, Role::Editor)], InviteMode::Join),
            to_org(&s.gus.email, &[(s.red, Role::Editor)], InviteMode::Ask),
            to_org(&unproved, &[], InviteMode::Ask),
        ];
        let refused = silent.create_org_invites(&s.adam.call(), s.org, &items, false).await;
        assert_eq!(told(refused), "NoMail [0, 2]");
        let refused = silent.create_platform_invite(&s.root.call(), &nobody(), None).await;
        assert_eq!(told(refused), "NoMail []");
        // A new secret would end the one that is on its way, and reach nobody.
        for id in [sent.id, platform.id] {
            assert_eq!(told(silent.resend_invite(&s.root.call(), id).await), "NoMail []");
        }
        assert_eq!((s.rows().await, s.entries().await), (rows, entries), "nothing is left of that");

        let partly = silent.create_org_invites(&s.adam.call(), s.org, &items, true).await.unwrap();
        let refused = |item: usize| format!("{:?}", partly[item]);
        assert_eq!([refused(0), refused(2)], ["Clash(NoMail)", "Clash(NoMail)"]);
        let Invited::Made(invite) = &partly[1] else { panic!("{partly:?}") };
        // Who has an account finds what waits for them, by whichever registry.
        silent.accept_invite(&s.gus.call(), invite.id).await.unwrap();
        silent.accept_invite(&s.gus.call(), sleeper(invite, s.red)).await.unwrap();
        assert_eq!(s.role_in(s.red, &s.gus).await, Some(Role::Editor));
        s.clock.advance(Duration::from_secs(1));
        silent.resend_invite(&s.adam.call(), woken.id).await.unwrap();
        let secret = s.known_secret(platform.id).await;
        silent.view_invite_by_secret(&secret).await.unwrap();
        silent.close().await;
        audit(&s).await;
    }
}

/// I2: a group's invite is no way to somebody who may not be who their address says; and what a group's admins
/// cannot see otherwise, being refused does not tell them.
#[tokio::test]
async fn a_group_invites_nobody_whose_address_is_not_proved() {
    for engine in engines() {
        let s = scene_with(engine, |settings| settings.open_registration = true).await;
        let metadata = object("{}");
        s.register_user(&anonymous(), &nobody(), &password(PASSWORD), &metadata).await.unwrap();
        let nora = log_in(&s, nobody()).await;
        s.join(s.org, &nora, Role::Viewer).await;
        let rows = s.rows().await;
        assert_eq!(told(s.invite_to(&s.adam, s.red, &nora, Role::Viewer).await), "NotInOrg [0]");
        assert_eq!(s.rows().await, rows);

        let [yan, zoe] = [s.person("yan").await, s.person("zoe").await];
        for person in [&yan, &zoe] {
            s.join(s.org, person, Role::Viewer).await;
        }
        s.admit(s.red, &[(&yan, Role::Viewer)]).await;
        s.invite_to(&s.adam, s.red, &zoe, Role::Viewer).await.unwrap();
        for enabled in [true, false] {
            if !enabled {
                for person in [&s.max, &yan, &zoe] {
                    s.disable_user(&s.root.call(), person.id).await.unwrap();
                }
                assert_eq!(told(s.invite_to(&s.adam, s.red, &s.max, Role::Viewer).await), "NotInOrg [0]");
            }
            assert_eq!(told(s.invite_to(&s.adam, s.red, &yan, Role::Viewer).await), "AlreadyMember [0]");
            assert_eq!(told(s.invite_to(&s.adam, s.red, &zoe, Role::Viewer).await), "AlreadyInvited [0]");
        }
        audit(&s).await;
    }
}

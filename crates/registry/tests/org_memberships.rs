//! Organisation memberships, on every engine.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "also outside of the functions marked as tests"
)]

mod support;

use registry::{
    Clock, GroupId, Member, MemberFilter, MemberOrder, MemberRef, NewMember, Role, RoleChange, UserId,
    text::{Email, SearchText},
};
use support::{
    engines,
    log_ins::{anonymous, email, json, password, reset_secret},
    orgs::{Scene, absent, group_of, group_roles, journal, member, new_org, roles, scene, told},
    people::{PASSWORD, Person, first, log_in, world_with},
};

#[tokio::test]
async fn people_are_taken_in_by_id_or_address_all_or_none() {
    for engine in engines() {
        let Scene { world, org, owner, viewer, stranger, .. } = scene(engine).await;
        let out = world.person("oscar").await;
        world.disable_user(&world.root.call(), out.id).await.unwrap();
        let by_email = |text: &str| NewMember {
            who: MemberRef::Email(Email::try_from(text).unwrap()),
            role: Role::Viewer,
        };
        let add = async |new: &[NewMember]| told(world.add_org_members(&owner.call(), org, new).await);
        let before = roles(&world, org).await;
        let nobody = NewMember { who: MemberRef::Id(absent().into()), role: Role::Viewer };
        assert_eq!(
            add(&[member(&stranger, Role::Viewer), nobody, by_email("no@where"), member(&out, Role::Viewer)])
                .await,
            "[1].member_id: no such account; [2].email: no such account; [3].member_id: no such account"
        );
        assert_eq!(
            add(&[member(&stranger, Role::Viewer), by_email("STAN@example.com")]).await,
            "[1].email: is the same person as in item 0"
        );
        assert_eq!(
            add(&[member(&stranger, Role::Viewer), member(&viewer, Role::Admin)]).await,
            "AlreadyMember [1]"
        );
        assert!(add(&[member(&stranger, Role::Owner)]).await.starts_with("[0].role: "));
        assert!(add(&[]).await.starts_with("org_memberships: "));
        assert_eq!(roles(&world, org).await, before);
        let new = [by_email("Stan@Example.com")];
        let added = world.add_org_members(&owner.call(), org, &new).await.unwrap();
        let expected =
            Member { member_id: stranger.id, email: Some(stranger.email.clone()), role: Role::Viewer };
        assert_eq!(added, [expected]);
        assert_eq!(world.view_org(&stranger.call(), org).await.unwrap().role, Role::Viewer);
    }
}

/// I2: who registers first under an address is not who is meant by it, until they show that it is theirs.
#[tokio::test]
async fn an_address_that_nobody_proved_names_nobody() {
    for engine in engines() {
        let world = world_with(engine, Clock::system(), |settings| settings.open_registration = true).await;
        let owner = world.person("olga").await;
        let org = world.org(&owner).await;
        let group = world.group(org, "group").await;
        let zoe = email("zoe");
        world.register_user(&anonymous(), &zoe, &password(PASSWORD), &json("{}")).await.unwrap();
        let id = log_in(&world, zoe.clone()).await.id;
        let new = |who| [NewMember { who, role: Role::Viewer }];
        let by_email = new(MemberRef::Email(zoe.clone()));
        let call = owner.call();
        let unknown = told(world.add_org_members(&call, org, &new(MemberRef::Email(email("no")))).await);
        assert_eq!(told(world.add_org_members(&call, org, &by_email).await), unknown);
        // By the account's id there is no doubt who is meant.
        let added = world.add_org_members(&call, org, &new(MemberRef::Both(id, zoe.clone()))).await.unwrap();
        assert_eq!(added[0].member_id, id);
        assert_eq!(told(world.add_group_members(&call, group, &by_email).await), unknown);
        // A mailed secret is a proof, whatever it was asked for.
        let reset = reset_secret(&world, &anonymous(), &zoe).await.unwrap();
        world.reset_password(&anonymous(), &reset, &password(PASSWORD)).await.unwrap();
        world.add_group_members(&call, group, &by_email).await.unwrap();
        world.remove_org_members(&call, org, &[id]).await.unwrap();
        world.add_org_members(&call, org, &by_email).await.unwrap();
    }
}

#[tokio::test]
async fn addresses_are_for_admins() {
    for engine in engines() {
        let Scene { world, org, admin, editor, viewer, owner, stranger } = scene(engine).await;
        let all = MemberFilter::default();
        let looking = MemberFilter { email: Some(SearchText::try_from("ADA").unwrap()), ..all.clone() };
        for (person, sees) in
            [(&viewer, false), (&editor, false), (&admin, true), (&owner, true), (&world.root, true)]
        {
            let call = person.call();
            let page = world.list_org_members(&call, org, &all, &first(10, MemberOrder::Id)).await.unwrap();
            assert_eq!((page.items.len(), page.total), (4, 4));
            assert!(page.items.iter().all(|member| member.email.is_some() == sees));
            let one = world.view_org_member(&call, org, admin.id).await.unwrap();
            assert_eq!((one.role, one.email.is_some()), (Role::Admin, sees));
            let found = world.list_org_members(&call, org, &looking, &first(10, MemberOrder::Id)).await;
            let sorted = world.list_org_members(&call, org, &all, &first(10, MemberOrder::Email)).await;
            if sees {
                assert_eq!(found.unwrap().items, [one]);
                let sorted: Vec<_> =
                    sorted.unwrap().items.into_iter().map(|member| member.member_id).collect();
                assert_eq!(sorted, [admin.id, editor.id, owner.id, viewer.id]);
            } else {
                assert_eq!((told(found), told(sorted)), ("Role".to_owned(), "Role".to_owned()));
            }
            assert_eq!(told(world.view_org_member(&call, org, stranger.id).await), "NotFound");
        }
        let editors = MemberFilter { role: Some(Role::Editor), ..all.clone() };
        let page = world.list_org_members(&viewer.call(), org, &editors, &first(10, MemberOrder::Id)).await;
        assert_eq!(page.unwrap().items[0].member_id, editor.id);
        assert_eq!(
            told(world.list_org_members(&stranger.call(), org, &all, &first(10, MemberOrder::Id)).await),
            "NotFound"
        );
        assert_eq!(told(world.view_org_member(&stranger.call(), org, owner.id).await), "NotFound");
    }
}

/// Who may give which role to whom: strictly below one's own, before and after; owners also to
/// owners; ownership never.
#[tokio::test]
async fn ranks_are_kept_whoever_asks() {
    for engine in engines() {
        let scene = scene(engine).await;
        let Scene { world, org, .. } = &scene;
        let other_admin = world.person("ann").await;
        world.add_org_members(&scene.owner.call(), *org, &[member(&other_admin, Role::Admin)]).await.unwrap();
        let before = roles(world, *org).await;
        for actor in Role::ALL {
            let caller = scene.of(actor);
            for after in [Role::Viewer, Role::Editor, Role::Admin] {
                for target in [&scene.viewer, &scene.editor, &scene.admin, &other_admin, &scene.owner] {
                    let held = before.iter().find(|(id, _)| *id == target.id).unwrap().1;
                    let change = RoleChange { member_id: target.id, role: after };
                    let outcome = told(world.update_org_members(&caller.call(), *org, &[change]).await);
                    let expected = match actor {
                        Role::Viewer | Role::Editor => "Role",
                        Role::Admin if held < Role::Admin && after < Role::Admin => "",
                        Role::Admin => "Rank",
                        Role::Owner if held == Role::Owner => "LastOwner [0]",
                        Role::Owner => "",
                    };
                    if expected.is_empty() {
                        assert!(outcome.starts_with("[Member"), "{actor:?} {held:?} {after:?}: {outcome}");
                        let undo = RoleChange { member_id: target.id, role: held };
                        world.update_org_members(&scene.owner.call(), *org, &[undo]).await.unwrap();
                    } else {
                        assert_eq!(outcome, expected, "{actor:?} {held:?} {after:?}");
                    }
                }
                let adding =
                    world.add_org_members(&caller.call(), *org, &[member(&scene.stranger, after)]).await;
                let expected = match actor {
                    Role::Viewer | Role::Editor => Some("Role"),
                    Role::Admin if after == Role::Admin => Some("Rank"),
                    Role::Admin | Role::Owner => None,
                };
                match expected {
                    Some(expected) => assert_eq!(told(adding), expected),
                    None => {
                        adding.unwrap();
                        world
                            .remove_org_members(&scene.stranger.call(), *org, &[scene.stranger.id])
                            .await
                            .unwrap();
                    }
                }
            }
            let owner = RoleChange { member_id: scene.viewer.id, role: Role::Owner };
            let outcome = told(world.update_org_members(&caller.call(), *org, &[owner]).await);
            assert!(outcome.starts_with("[0].role: "), "{outcome}");
        }
        assert_eq!(roles(world, *org).await, before);
        let twice = [RoleChange { member_id: scene.viewer.id, role: Role::Editor }; 2];
        let outcome = told(world.update_org_members(&scene.owner.call(), *org, &twice).await);
        assert!(outcome.starts_with("[1].member_id: "), "{outcome}");
        let mixed = [twice[0], RoleChange { member_id: scene.stranger.id, role: Role::Editor }];
        assert_eq!(told(world.update_org_members(&scene.owner.call(), *org, &mixed).await), "NotAMember [1]");
        assert_eq!(roles(world, *org).await, before);
    }
}

#[tokio::test]
async fn one_leaves_freely_and_is_removed_by_rank() {
    for engine in engines() {
        let Scene { world, org, owner, admin, editor, viewer, stranger } = scene(engine).await;
        let remove =
            async |who: &Person, ids: &[UserId]| told(world.remove_org_members(&who.call(), org, ids).await);
        assert_eq!(remove(&viewer, &[editor.id]).await, "Role");
        assert_eq!(remove(&editor, &[editor.id, viewer.id]).await, "Role");
        assert_eq!(remove(&admin, &[owner.id]).await, "Rank");
        assert_eq!(remove(&owner, &[owner.id]).await, "LastOwner [0]");
        assert_eq!(remove(&world.root, &[viewer.id, owner.id]).await, "LastOwner [1]");
        assert_eq!(remove(&admin, &[viewer.id, stranger.id]).await, "NotAMember [1]");
        assert_eq!(remove(&world.root, &[world.root.id]).await, "NotAMember [0]");
        assert_eq!(roles(&world, org).await.len(), 4);
        assert_eq!(remove(&viewer, &[viewer.id]).await, "()");
        assert_eq!(told(world.view_org(&viewer.call(), org).await), "NotFound");
        assert_eq!(remove(&admin, &[editor.id, admin.id]).await, "()");
        assert_eq!(roles(&world, org).await, [(owner.id, Role::Owner)]);
        let removed: Vec<_> = journal(&world, org)
            .await
            .into_iter()
            .filter(|record| record.action == "member.removed")
            .collect();
        assert_eq!(removed.len(), 3);
        assert_eq!(removed[0].subject_id, viewer.id.uuid());
        assert_eq!(
            removed[0].changes.as_ref().unwrap().to_text(),
            r#"{"role":{"after":null,"before":"viewer"}}"#
        );
    }
}

#[tokio::test]
async fn leaving_takes_the_groups_along_and_leaves_no_group_without_owner() {
    for engine in engines() {
        let Scene { world, org, owner, admin, editor, viewer, .. } = scene(engine).await;
        let elsewhere = world.create_org(&owner.call(), &new_org("elsewhere", "{}")).await.unwrap().id;
        world.add_org_members(&owner.call(), elsewhere, &[member(&admin, Role::Admin)]).await.unwrap();
        let kept = group_of(&world, &admin, elsewhere, "kept").await;
        // Of the first the admin is the only owner, in the second not; the third they are not in.
        let [first_group, second, third] = [
            group_of(&world, &admin, org, "first").await,
            group_of(&world, &admin, org, "second").await,
            group_of(&world, &owner, org, "third").await,
        ];
        world.admit(first_group, &[(&viewer, Role::Editor)]).await;
        world.transfer_group(&owner.call(), first_group, admin.id).await.unwrap();
        world.remove_group_members(&owner.call(), first_group, &[owner.id]).await.unwrap();
        assert_eq!(
            group_roles(&world, first_group).await,
            [(admin.id, Role::Owner), (viewer.id, Role::Editor)]
        );
        world.admit(third, &[(&editor, Role::Viewer)]).await;
        let invite = |n: u8, group: GroupId, invitee: Option<&Person>, inviter: &Person| {
            let database = &world.opened.database;
            let later = match database.engine {
                support::Engine::Sqlite => "4102444800000",
                support::Engine::Postgres => "'2100-01-01T00:00:00Z'",
            };
            let invitee = invitee.map_or("NULL".to_owned(), |person| database.literal(person.id.uuid()));
            format!(
                "INSERT INTO group_invites (id, invitee_id, inviter_id, group_id, invitee_role, state, expires_at) VALUES \
                 ({}, {invitee}, {}, {}, 'viewer', 'pending', {later})",
                database.literal(sqlx::types::Uuid::from_u128(u128::from(n))),
                database.literal(inviter.id.uuid()),
                database.literal(group.uuid()),
            )
        };
        let dormant = |n: u8| {
            let id = world.opened.database.literal(sqlx::types::Uuid::from_u128(u128::from(n)));
            format!("INSERT INTO dormant_group_invites (group_invite_id, org_invite_id) VALUES ({id}, {id})")
        };
        for sql in [
            invite(1, third, Some(&admin), &owner),
            invite(2, second, None, &admin),
            dormant(2),
            invite(3, third, Some(&viewer), &owner),
            invite(4, kept, Some(&viewer), &admin),
            invite(5, third, None, &owner),
            dormant(5),
        ] {
            world.opened.database.execute(sql).await;
        }

        world.remove_org_members(&admin.call(), org, &[admin.id]).await.unwrap();
        assert_eq!(
            group_roles(&world, first_group).await,
            [(owner.id, Role::Owner), (viewer.id, Role::Editor)]
        );
        assert_eq!(group_roles(&world, second).await, [(owner.id, Role::Owner)]);
        assert_eq!(group_roles(&world, third).await, [(owner.id, Role::Owner), (editor.id, Role::Viewer)]);
        assert_eq!(group_roles(&world, kept).await.len(), 2);
        let count = async |sql: &str| world.opened.database.number(sql).await;
        assert_eq!(count("SELECT count(*) FROM group_invites WHERE state = 'revoked'").await, 2);
        assert_eq!(count("SELECT count(*) FROM group_invites WHERE state = 'pending'").await, 3);
        assert_eq!(count("SELECT count(*) FROM dormant_group_invites").await, 1);

        let recorded = journal(&world, org).await;
        let told: Vec<_> = recorded
            .iter()
            .rev()
            .take(4)
            .rev()
            .map(|record| (record.action.as_str(), record.group_id, record.subject_id))
            .collect();
        assert_eq!(
            told,
            [
                ("member.added", Some(first_group), owner.id.uuid()),
                ("member.removed", Some(first_group), admin.id.uuid()),
                ("member.removed", Some(second), admin.id.uuid()),
                ("member.removed", None, admin.id.uuid()),
            ]
        );
        let revoked: Vec<_> = recorded
            .iter()
            .filter(|record| record.action == "invite.revoked")
            .map(|record| (record.group_id, record.subject_id.as_u128()))
            .collect();
        assert_eq!(revoked, [(Some(third), 1), (Some(second), 2)]);
    }
}

#[tokio::test]
async fn an_heir_who_is_a_member_already_is_raised() {
    for engine in engines() {
        let Scene { world, org, owner, admin, editor, .. } = scene(engine).await;
        let group = group_of(&world, &admin, org, "g").await;
        world.admit(group, &[(&editor, Role::Viewer)]).await;
        world.transfer_group(&owner.call(), group, admin.id).await.unwrap();
        // The organisation's owner is admin of the group now; editor and admin leave together.
        world.remove_org_members(&owner.call(), org, &[admin.id, editor.id]).await.unwrap();
        assert_eq!(group_roles(&world, group).await, [(owner.id, Role::Owner)]);
        let recorded = journal(&world, org).await;
        let raised = recorded.iter().rev().find(|record| record.action == "member.updated").unwrap();
        assert_eq!((raised.group_id, raised.subject_id), (Some(group), owner.id.uuid()));
        let changes = raised.changes.as_ref().unwrap().to_text();
        assert_eq!(changes, r#"{"role":{"after":"owner","before":"admin"}}"#);
    }
}

#[tokio::test]
async fn ownership_passes_to_a_member_who_can_log_in() {
    for engine in engines() {
        let Scene { world, org, owner, admin, editor, viewer, stranger } = scene(engine).await;
        let transfer =
            async |who: &Person, to: &Person| told(world.transfer_org(&who.call(), org, to.id).await);
        assert_eq!(transfer(&admin, &viewer).await, "Role");
        assert_eq!(transfer(&owner, &stranger).await, "NotAMember []");
        assert!(transfer(&owner, &owner).await.starts_with("member_id: "));
        world.disable_user(&world.root.call(), editor.id).await.unwrap();
        assert!(transfer(&owner, &editor).await.starts_with("member_id: "));
        assert_eq!(transfer(&owner, &viewer).await, "()");
        let held = roles(&world, org).await;
        assert!(held.contains(&(viewer.id, Role::Owner)) && held.contains(&(owner.id, Role::Admin)));
        assert_eq!(transfer(&owner, &admin).await, "Role");
        // A platform administrator leaves no second owner behind either.
        assert_eq!(transfer(&world.root, &admin).await, "()");
        let held = roles(&world, org).await;
        assert!(held.contains(&(admin.id, Role::Owner)) && held.contains(&(viewer.id, Role::Admin)));
        assert_eq!(held.iter().filter(|(_, role)| *role == Role::Owner).count(), 1);
        let actions: Vec<_> = journal(&world, org).await.into_iter().map(|record| record.action).collect();
        assert_eq!(actions.iter().filter(|action| *action == "org.transferred").count(), 2);
    }
}

#[tokio::test]
async fn two_owners_cannot_leave_each_other_without_one() {
    for engine in engines() {
        let Scene { world, org, owner, admin, .. } = scene(engine).await;
        let database = &world.opened.database;
        let both = [&owner, &admin].map(|person| database.literal(person.id.uuid())).join(", ");
        for round in 0..40 {
            for person in [&owner, &admin] {
                // Whoever lost the last round comes back.
                let _ = world.add_org_members(&world.root.call(), org, &[member(person, Role::Admin)]).await;
            }
            database
                .execute(format!("UPDATE org_memberships SET role = 'owner' WHERE member_id IN ({both})"))
                .await;
            let (one, two) = (owner.call(), admin.call());
            let change = |person: &Person| [RoleChange { member_id: person.id, role: Role::Viewer }];
            let (on_one, on_two) = (change(&owner), change(&admin));
            let outcomes =
                match round % 4 {
                    0 => tokio::join!(
                        async { told(world.remove_org_members(&one, org, &[admin.id]).await) },
                        async { told(world.remove_org_members(&two, org, &[owner.id]).await) }
                    ),
                    1 => tokio::join!(
                        async { told(world.remove_org_members(&one, org, &[owner.id]).await) },
                        async { told(world.remove_org_members(&two, org, &[admin.id]).await) }
                    ),
                    2 => tokio::join!(
                        async { told(world.update_org_members(&one, org, &on_two).await) },
                        async { told(world.update_org_members(&two, org, &on_one).await) }
                    ),
                    _ => tokio::join!(
                        async { told(world.update_org_members(&one, org, &on_one).await) },
                        async { told(world.remove_org_members(&two, org, &[admin.id]).await) }
                    ),
                };
            let owners = roles(&world, org).await.iter().filter(|(_, role)| *role == Role::Owner).count();
            assert_eq!(owners, 1, "{round}: {outcomes:?}");
            for outcome in [&outcomes.0, &outcomes.1] {
                let fine = ["()", "[Member", "LastOwner", "NotFound", "Role", "Rank", "NotAMember"];
                assert!(fine.iter().any(|fine| outcome.starts_with(fine)), "{round}: {outcomes:?}");
            }
        }
    }
}

#[tokio::test]
async fn nobody_is_in_a_group_without_being_in_its_organisation() {
    for engine in engines() {
        let Scene { world, org, owner, admin, viewer, .. } = scene(engine).await;
        let group = group_of(&world, &owner, org, "g").await;
        let (one, two) = (owner.call(), admin.call());
        for round in 0..40 {
            let new = [member(&viewer, Role::Editor)];
            let outcomes =
                tokio::join!(async { told(world.add_group_members(&one, group, &new).await) }, async {
                    told(world.remove_org_members(&two, org, &[viewer.id]).await)
                });
            assert_eq!(outcomes.1, "()", "{round}");
            assert!(
                outcomes.0.starts_with("[Member") || outcomes.0 == "NotInOrg [0]",
                "{round}: {}",
                outcomes.0
            );
            assert_eq!(group_roles(&world, group).await, [(owner.id, Role::Owner)], "{round}");
            world.add_org_members(&one, org, &[member(&viewer, Role::Viewer)]).await.unwrap();
        }
    }
}

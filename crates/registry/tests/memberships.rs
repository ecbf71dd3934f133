//! Group memberships, on every engine.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "also outside of the functions marked as tests"
)]

mod support;

use registry::{
    Conflict, ConflictKind, Denial, Error, GroupId, Member, MemberFilter, MemberOrder, MemberRef, NewMember,
    OrgId, Role, RoleChange, UserId, Within,
    journal::{JournalFilter, JournalOrder},
    text::{Email, SearchText},
};
use support::{
    Engine, engines,
    people::{Person, World, after, first, world},
};

/// One organisation with a group and a member of each role in it.
struct Scene {
    world: World,
    org: OrgId,
    group: GroupId,
    /// Owns the organisation and so the group.
    owner: Person,
    viewer: Person,
    editor: Person,
    admin: Person,
    /// An admin of the organisation, not in the group.
    colleague: Person,
    /// In another organisation.
    stranger: Person,
}

async fn scene(engine: Engine) -> Scene {
    let world = world(engine).await;
    let owner = world.person("olga").await;
    let org = world.org(&owner).await;
    let group = world.group(org, "group").await;
    let viewer = world.person("vera").await;
    let editor = world.person("edith").await;
    let admin = world.person("adam").await;
    let colleague = world.person("colin").await;
    for person in [&viewer, &editor, &admin] {
        world.join(org, person, Role::Viewer).await;
    }
    world.join(org, &colleague, Role::Admin).await;
    world.admit(group, &[(&viewer, Role::Viewer), (&editor, Role::Editor), (&admin, Role::Admin)]).await;
    let stranger = world.person("stan").await;
    world.org(&stranger).await;
    Scene { world, org, group, owner, viewer, editor, admin, colleague, stranger }
}

fn new(person: &Person, role: Role) -> NewMember {
    NewMember { who: MemberRef::Id(person.id), role }
}

fn to(person: &Person, role: Role) -> RoleChange {
    RoleChange { member_id: person.id, role }
}

async fn roles(world: &World, group: GroupId) -> Vec<(UserId, Role)> {
    let query = first(100, MemberOrder::Id);
    let page = world.list_group_members(&world.root.call(), group, &MemberFilter::default(), &query).await;
    page.unwrap().items.into_iter().map(|member| (member.member_id, member.role)).collect()
}

async fn role_of(world: &World, group: GroupId, person: &Person) -> Option<Role> {
    roles(world, group).await.into_iter().find(|(id, _)| *id == person.id).map(|(_, role)| role)
}

fn conflict<T: std::fmt::Debug>(outcome: Result<T, Error>) -> Conflict {
    match outcome {
        Err(Error::Conflict(conflict)) => conflict,
        other => panic!("{other:?}"),
    }
}

fn conflicts(kind: ConflictKind, items: &[usize]) -> Conflict {
    Conflict { kind, items: items.to_vec() }
}

#[tokio::test]
async fn people_of_the_organisation_come_in_by_id_or_address() {
    for engine in engines() {
        let Scene { world, org, group, admin, colleague, stranger, viewer, .. } = scene(engine).await;
        let zoe = world.person("zoe").await;
        world.join(org, &zoe, Role::Viewer).await;
        let call = admin.call();
        let before = roles(&world, group).await;

        let email = |person: &Person| MemberRef::Email(person.email.clone());
        let foreign = [new(&zoe, Role::Viewer), NewMember { who: email(&stranger), role: Role::Viewer }];
        assert_eq!(
            conflict(world.add_group_members(&call, group, &foreign).await),
            conflicts(ConflictKind::NotInOrg, &[1])
        );
        let present = [new(&viewer, Role::Editor), new(&zoe, Role::Viewer)];
        assert_eq!(
            conflict(world.add_group_members(&call, group, &present).await),
            conflicts(ConflictKind::AlreadyMember, &[0])
        );
        let unknown = NewMember {
            who: MemberRef::Email(Email::try_from("nobody@example.com").unwrap()),
            role: Role::Viewer,
        };
        let twice = [new(&zoe, Role::Viewer), NewMember { who: email(&zoe), role: Role::Editor }, unknown];
        let Err(Error::Invalid(errors)) = world.add_group_members(&call, group, &twice).await else {
            panic!()
        };
        let paths: Vec<_> = errors.iter().map(registry::FieldError::path).collect();
        assert_eq!(paths, ["[1].email", "[2].email"]);
        let owners = [new(&zoe, Role::Viewer), new(&colleague, Role::Owner)];
        let Err(Error::Invalid(errors)) = world.add_group_members(&call, group, &owners).await else {
            panic!()
        };
        assert_eq!(errors[0].path(), "[1].role");
        assert!(matches!(world.add_group_members(&call, group, &[]).await, Err(Error::Invalid(_))));
        assert_eq!(roles(&world, group).await, before);

        let both = [new(&zoe, Role::Editor), NewMember { who: email(&colleague), role: Role::Viewer }];
        let added = world.add_group_members(&call, group, &both).await.unwrap();
        let wanted =
            |person: &Person, role| Member { member_id: person.id, email: Some(person.email.clone()), role };
        assert_eq!(added, [wanted(&zoe, Role::Editor), wanted(&colleague, Role::Viewer)]);
        assert_eq!(role_of(&world, group, &zoe).await, Some(Role::Editor));
        assert_eq!(roles(&world, group).await.len(), before.len() + 2);
        world.view_group(&colleague.call(), group).await.unwrap();
    }
}

#[tokio::test]
async fn a_disabled_person_cannot_come_in() {
    for engine in engines() {
        let Scene { world, org, group, admin, .. } = scene(engine).await;
        let zoe = world.person("zoe").await;
        world.join(org, &zoe, Role::Viewer).await;
        world.disable_user(&world.root.call(), zoe.id).await.unwrap();
        let outcome = world.add_group_members(&admin.call(), group, &[new(&zoe, Role::Viewer)]).await;
        assert!(matches!(outcome, Err(Error::Invalid(_))), "{outcome:?}");
    }
}

/// What the rules say of an actor of rank `own` (`None` sees nothing) who deals with another
/// member: to act at all takes an admin, and then only below one's own rank; owners are free.
fn allowed(own: Option<Role>, others: &[Role]) -> Result<(), Denied> {
    match own {
        None => Err(Denied::Hidden),
        Some(own) if own < Role::Admin => Err(Denied::Role),
        Some(Role::Owner) => Ok(()),
        Some(own) if others.iter().all(|other| *other < own) => Ok(()),
        Some(_) => Err(Denied::Rank),
    }
}

#[derive(Debug, PartialEq)]
enum Denied {
    Hidden,
    Role,
    Rank,
}

fn outcome<T>(outcome: Result<T, Error>) -> Result<(), Denied> {
    match outcome {
        Ok(_) => Ok(()),
        Err(Error::NotFound) => Err(Denied::Hidden),
        Err(Error::Forbidden(Denial::Role)) => Err(Denied::Role),
        Err(Error::Forbidden(Denial::Rank)) => Err(Denied::Rank),
        Err(other) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn everybody_deals_only_with_those_below_them() {
    const GIVEN: [Role; 3] = [Role::Viewer, Role::Editor, Role::Admin];
    for engine in engines() {
        let s = scene(engine).await;
        let mut targets = Vec::new();
        for role in Role::ALL {
            let target = s.world.person(&format!("target-{}", role.as_str())).await;
            s.world.join(s.org, &target, Role::Viewer).await;
            targets.push((target, role));
        }
        let newcomer = s.world.person("newcomer").await;
        s.world.join(s.org, &newcomer, Role::Viewer).await;
        let actors = [
            (&s.stranger, None),
            (&s.colleague, None),
            (&s.viewer, Some(Role::Viewer)),
            (&s.editor, Some(Role::Editor)),
            (&s.admin, Some(Role::Admin)),
            (&s.owner, Some(Role::Owner)),
            (&s.world.root, Some(Role::Owner)),
        ];
        for (actor, own) in actors {
            for given in GIVEN {
                // Each combination meets the same members.
                let group = s.world.group(s.org, &format!("{} {}", actor.email, given.as_str())).await;
                let mut members: Vec<_> =
                    [(&s.viewer, Role::Viewer), (&s.editor, Role::Editor), (&s.admin, Role::Admin)].into();
                members.extend(targets.iter().map(|(target, role)| (target, *role)));
                s.world.admit(group, &members).await;

                let told = s.world.add_group_members(&actor.call(), group, &[new(&newcomer, given)]).await;
                assert_eq!(outcome(told), allowed(own, &[given]), "{} adds a {given:?}", actor.email);
                for (target, role) in &targets {
                    assert_eq!(role_of(&s.world, group, target).await, Some(*role));
                    let told = s.world.update_group_members(&actor.call(), group, &[to(target, given)]).await;
                    let wanted = allowed(own, &[*role, given]);
                    assert_eq!(outcome(told), wanted, "{} makes the {role:?} a {given:?}", actor.email);
                    let now = role_of(&s.world, group, target).await;
                    assert_eq!(now, Some(if wanted.is_ok() { given } else { *role }));

                    let told = s.world.remove_group_members(&actor.call(), group, &[target.id]).await;
                    let wanted = allowed(own, &[now.unwrap()]);
                    assert_eq!(outcome(told), wanted, "{} removes the {now:?}", actor.email);
                    assert_eq!(role_of(&s.world, group, target).await.is_some(), wanted.is_err());
                }
            }
        }
    }
}

#[tokio::test]
async fn nobody_raises_themselves() {
    for engine in engines() {
        let Scene { world, org, group, owner, admin, .. } = scene(engine).await;
        let change = [to(&admin, Role::Admin)];
        let told = world.update_group_members(&admin.call(), group, &change).await;
        assert_eq!(outcome(told), Err(Denied::Rank));
        // An owner of the organisation, by that right an owner of the group, with a low membership.
        let second = world.person("second").await;
        world.join(org, &second, Role::Owner).await;
        world.admit(group, &[(&second, Role::Viewer)]).await;
        for role in [Role::Editor, Role::Admin] {
            let told = world.update_group_members(&second.call(), group, &[to(&second, role)]).await;
            assert_eq!(outcome(told), Err(Denied::Rank));
        }
        world.update_group_members(&owner.call(), group, &[to(&second, Role::Admin)]).await.unwrap();
        world.update_group_members(&second.call(), group, &[to(&second, Role::Editor)]).await.unwrap();
    }
}

#[tokio::test]
async fn a_group_keeps_an_owner() {
    for engine in engines() {
        let Scene { world, group, owner, viewer, admin, .. } = scene(engine).await;
        let before = roles(&world, group).await;
        for caller in [&owner, &world.root] {
            let demote = [to(&viewer, Role::Editor), to(&owner, Role::Admin)];
            let told = world.update_group_members(&caller.call(), group, &demote).await;
            assert_eq!(conflict(told), conflicts(ConflictKind::LastOwner, &[1]));
            let told = world.remove_group_members(&caller.call(), group, &[viewer.id, owner.id]).await;
            assert_eq!(conflict(told), conflicts(ConflictKind::LastOwner, &[1]));
        }
        let told = world.remove_group_members(&owner.call(), group, &[owner.id]).await;
        assert_eq!(conflict(told), conflicts(ConflictKind::LastOwner, &[0]));
        assert_eq!(roles(&world, group).await, before);

        world.transfer_group(&world.root.call(), group, admin.id).await.unwrap();
        world.remove_group_members(&owner.call(), group, &[owner.id]).await.unwrap();
        assert_eq!(role_of(&world, group, &owner).await, None);
        let told = world.remove_group_members(&admin.call(), group, &[admin.id]).await;
        assert_eq!(conflict(told), conflicts(ConflictKind::LastOwner, &[0]));
        // Owning the organisation is still enough, but is no membership that could be left.
        let told = world.remove_group_members(&owner.call(), group, &[owner.id]).await;
        assert_eq!(conflict(told), conflicts(ConflictKind::NotAMember, &[0]));
        world.update_group_members(&owner.call(), group, &[to(&viewer, Role::Admin)]).await.unwrap();
    }
}

#[tokio::test]
async fn people_leave_by_themselves() {
    for engine in engines() {
        let Scene { world, group, viewer, editor, admin, stranger, .. } = scene(engine).await;
        for (person, others) in [(&viewer, &editor), (&editor, &viewer)] {
            let told = world.remove_group_members(&person.call(), group, &[person.id, others.id]).await;
            assert_eq!(outcome(told), Err(Denied::Role));
        }
        let reading = world.by_token(&viewer, false, None).await;
        let told = world.remove_group_members(&reading.call(), group, &[viewer.id]).await;
        assert!(matches!(told, Err(Error::Forbidden(Denial::Scope))), "{told:?}");
        world.remove_group_members(&viewer.call(), group, &[viewer.id, viewer.id]).await.unwrap();
        assert!(matches!(world.view_group(&viewer.call(), group).await, Err(Error::NotFound)));
        let told = world.remove_group_members(&viewer.call(), group, &[viewer.id]).await;
        assert_eq!(outcome(told), Err(Denied::Hidden));
        let told = world.remove_group_members(&stranger.call(), group, &[stranger.id]).await;
        assert_eq!(outcome(told), Err(Denied::Hidden));
        // An admin may leave together with those whom they remove.
        world.remove_group_members(&admin.call(), group, &[editor.id, admin.id]).await.unwrap();
        assert_eq!(roles(&world, group).await.len(), 1);
    }
}

#[tokio::test]
async fn those_who_are_not_members_are_named() {
    for engine in engines() {
        let Scene { world, group, admin, viewer, colleague, .. } = scene(engine).await;
        let call = admin.call();
        let changes = [to(&viewer, Role::Editor), to(&colleague, Role::Editor)];
        let told = world.update_group_members(&call, group, &changes).await;
        assert_eq!(conflict(told), conflicts(ConflictKind::NotAMember, &[1]));
        let told = world.remove_group_members(&call, group, &[colleague.id, viewer.id]).await;
        assert_eq!(conflict(told), conflicts(ConflictKind::NotAMember, &[0]));
        assert_eq!(role_of(&world, group, &viewer).await, Some(Role::Viewer));
        let twice = [to(&viewer, Role::Editor), to(&viewer, Role::Viewer)];
        let Err(Error::Invalid(errors)) = world.update_group_members(&call, group, &twice).await else {
            panic!()
        };
        assert_eq!(errors[0].path(), "[1].member_id");
        let after = world.update_group_members(&call, group, &changes[..1]).await.unwrap();
        let email = Some(viewer.email.clone());
        assert_eq!(after, [Member { member_id: viewer.id, email, role: Role::Editor }]);
    }
}

#[tokio::test]
async fn ownership_passes_from_hand_to_hand() {
    for engine in engines() {
        let Scene { world, org, group, owner, admin, editor, colleague, .. } = scene(engine).await;
        let told = world.transfer_group(&admin.call(), group, editor.id).await;
        assert_eq!(outcome(told), Err(Denied::Role));
        let told = world.transfer_group(&owner.call(), group, colleague.id).await;
        assert_eq!(conflict(told).kind, ConflictKind::NotAMember);
        let told = world.transfer_group(&owner.call(), group, owner.id).await;
        assert!(matches!(told, Err(Error::Invalid(_))));

        world.transfer_group(&owner.call(), group, editor.id).await.unwrap();
        assert_eq!(role_of(&world, group, &owner).await, Some(Role::Admin));
        assert_eq!(role_of(&world, group, &editor).await, Some(Role::Owner));
        world.transfer_group(&editor.call(), group, admin.id).await.unwrap();
        assert_eq!(role_of(&world, group, &editor).await, Some(Role::Admin));
        assert_eq!(role_of(&world, group, &admin).await, Some(Role::Owner));

        // Of several owners the one who hands over steps down.
        let second = world.person("second").await;
        world.join(org, &second, Role::Viewer).await;
        world.admit(group, &[(&second, Role::Owner)]).await;
        world.transfer_group(&admin.call(), group, editor.id).await.unwrap();
        assert_eq!(role_of(&world, group, &admin).await, Some(Role::Admin));
        assert_eq!(role_of(&world, group, &second).await, Some(Role::Owner));
        // Where somebody else decides, all of them do.
        world.transfer_group(&world.root.call(), group, admin.id).await.unwrap();
        for person in [&editor, &second, &owner] {
            assert_eq!(role_of(&world, group, person).await, Some(Role::Admin));
        }
        assert_eq!(role_of(&world, group, &admin).await, Some(Role::Owner));

        world.disable_user(&world.root.call(), editor.id).await.unwrap();
        let told = world.transfer_group(&admin.call(), group, editor.id).await;
        assert!(matches!(told, Err(Error::Invalid(_))), "an owner who cannot log in");
    }
}

#[tokio::test]
async fn addresses_are_for_admins() {
    for engine in engines() {
        let Scene { world, group, viewer, editor, admin, owner, stranger, .. } = scene(engine).await;
        let everyone = MemberFilter::default();
        let by_email = || first(2, MemberOrder::Email);
        let vera = MemberFilter { email: Some(SearchText::try_from("ERA@").unwrap()), role: None };
        for person in [&viewer, &editor] {
            let page =
                world.list_group_members(&person.call(), group, &everyone, &first(10, MemberOrder::Id)).await;
            let page = page.unwrap();
            assert_eq!((page.items.len(), page.total), (4, 4));
            assert!(page.items.iter().all(|member| member.email.is_none()));
            let told = world.list_group_members(&person.call(), group, &everyone, &by_email()).await;
            assert_eq!(outcome(told), Err(Denied::Role));
            let told =
                world.list_group_members(&person.call(), group, &vera, &first(10, MemberOrder::Id)).await;
            assert_eq!(outcome(told), Err(Denied::Role));
        }
        let told = world.list_group_members(&stranger.call(), group, &everyone, &by_email()).await;
        assert_eq!(outcome(told), Err(Denied::Hidden));
        for person in [&admin, &owner, &world.root] {
            let page = world.list_group_members(&person.call(), group, &vera, &by_email()).await.unwrap();
            assert_eq!(page.items.len(), 1);
            assert_eq!(page.items[0].email, Some(viewer.email.clone()));
        }
        let page = world.list_group_members(&admin.call(), group, &everyone, &by_email()).await.unwrap();
        let next = page.next.unwrap();
        let foreign = after(2, MemberOrder::Email, next.clone());
        let foreign = world.list_group_members(&owner.call(), group, &everyone, &foreign).await;
        assert!(matches!(foreign, Err(Error::Invalid(_))), "another person's cursor");
        let rest = after(2, MemberOrder::Email, next);
        let rest = world.list_group_members(&admin.call(), group, &everyone, &rest).await.unwrap();
        let emails: Vec<_> =
            page.items.iter().chain(&rest.items).map(|member| member.email.clone().unwrap()).collect();
        assert_eq!(emails, [&admin, &editor, &owner, &viewer].map(|person| person.email.clone()));
        assert!(rest.next.is_none());
        let editors = MemberFilter { role: Some(Role::Editor), email: None };
        let page =
            world.list_group_members(&viewer.call(), group, &editors, &first(10, MemberOrder::Id)).await;
        assert_eq!(page.unwrap().items[0].member_id, editor.id);
    }
}

#[tokio::test]
async fn what_a_membership_carried_ends_with_it() {
    for engine in engines() {
        let Scene { world, org, group, admin, editor, viewer, colleague, .. } = scene(engine).await;
        let other = world.group(org, "other").await;
        world.admit(other, &[(&editor, Role::Editor)]).await;
        let here = world.by_token(&editor, true, Some(Within::Group(group))).await;
        let there = world.by_token(&editor, true, Some(Within::Group(other))).await;
        let anywhere = world.by_token(&editor, true, None).await;

        let database = &world.opened.database;
        let literal = |id: UserId| database.literal(id.uuid());
        let nobody = "NULL".to_owned();
        let later = match database.engine {
            support::Engine::Sqlite => "4102444800000",
            support::Engine::Postgres => "'2100-01-01T00:00:00Z'",
        };
        let invite = |n: u128, group: GroupId, invitee: String, inviter: String, state: &str| {
            let id = database.literal(sqlx::types::Uuid::from_u128(n));
            let group = database.literal(group.uuid());
            format!(
                "INSERT INTO group_invites (id, invitee_id, inviter_id, group_id, invitee_role, state, expires_at) \
                 VALUES ({id}, {invitee}, {inviter}, {group}, 'viewer', '{state}', {later});"
            )
        };
        let link = |n: u128| {
            let id = database.literal(sqlx::types::Uuid::from_u128(n));
            format!("INSERT INTO dormant_group_invites (group_invite_id, org_invite_id) VALUES ({id}, {id});")
        };
        let (leaver, other_admin) = (literal(editor.id), literal(admin.id));
        let invites = [
            invite(1, group, leaver.clone(), other_admin.clone(), "pending"),
            invite(2, group, literal(colleague.id), leaver.clone(), "pending"),
            invite(3, group, nobody.clone(), leaver.clone(), "pending") + &link(3),
            invite(4, group, nobody, other_admin.clone(), "pending") + &link(4),
            invite(5, group, leaver.clone(), other_admin.clone(), "accepted"),
            invite(6, other, leaver.clone(), other_admin.clone(), "pending"),
            invite(7, group, literal(viewer.id), other_admin, "pending"),
        ];
        database.execute(invites.concat()).await;

        world.remove_group_members(&admin.call(), group, &[editor.id]).await.unwrap();

        let pending = "SELECT count(*) FROM group_invites WHERE state = 'pending'";
        assert_eq!(database.number(pending).await, 3);
        assert_eq!(database.number("SELECT count(*) FROM group_invites WHERE state = 'revoked'").await, 3);
        assert_eq!(database.number("SELECT count(*) FROM dormant_group_invites").await, 1);
        let tokens =
            format!("SELECT count(*) FROM access_tokens WHERE group_id = {}", database.literal(group.uuid()));
        assert_eq!(database.number(tokens).await, 0);
        assert_eq!(database.number("SELECT count(*) FROM access_tokens").await, 2);
        assert!(matches!(world.view_group(&here.call(), group).await, Err(Error::NotFound)));
        world.view_group(&there.call(), other).await.unwrap();
        world.view_group(&anywhere.call(), other).await.unwrap();
    }
}

#[tokio::test]
async fn every_change_is_in_the_journal() {
    for engine in engines() {
        let Scene { world, group, owner, admin, viewer, editor, .. } = scene(engine).await;
        world
            .update_group_members(
                &admin.call(),
                group,
                &[to(&viewer, Role::Editor), to(&editor, Role::Editor)],
            )
            .await
            .unwrap();
        world.remove_group_members(&viewer.call(), group, &[viewer.id]).await.unwrap();
        world.transfer_group(&owner.call(), group, admin.id).await.unwrap();
        let filter = JournalFilter { group: Some(group), ..Default::default() };
        let page = world.list_journal(&owner.call(), &filter, &first(100, JournalOrder)).await.unwrap();
        let told: Vec<_> = page
            .items
            .iter()
            .filter(|entry| entry.action != "group.created")
            .map(|entry| {
                assert_eq!(entry.subject_kind, "user");
                assert_eq!(entry.subject_name, None);
                let role = &entry.changes.as_ref().unwrap().members()["role"];
                (entry.action.as_str(), entry.subject_id, role.to_string(), entry.actor_id.unwrap())
            })
            .collect();
        let id = |person: &Person| person.id.uuid();
        let json = |text: &str| text.replace('\'', "\"");
        let root = id(&world.root);
        assert_eq!(
            told,
            [
                ("member.added", id(&viewer), json("{'after':'viewer'}"), root),
                ("member.added", id(&editor), json("{'after':'editor'}"), root),
                ("member.added", id(&admin), json("{'after':'admin'}"), root),
                ("member.updated", id(&viewer), json("{'after':'editor','before':'viewer'}"), id(&admin)),
                ("member.removed", id(&viewer), json("{'after':null,'before':'editor'}"), id(&viewer)),
                ("group.transferred", id(&admin), json("{'after':'owner','before':'admin'}"), id(&owner)),
                ("member.updated", id(&owner), json("{'after':'admin','before':'owner'}"), id(&owner)),
            ]
        );
    }
}

#[tokio::test]
async fn an_unknown_role_is_no_access_and_can_be_put_right() {
    for engine in engines() {
        let Scene { world, group, admin, viewer, editor, .. } = scene(engine).await;
        let database = &world.opened.database;
        for (person, role) in [(&viewer, "'superowner'"), (&editor, "NULL")] {
            let member = database.literal(person.id.uuid());
            database
                .execute(format!("UPDATE group_memberships SET role = {role} WHERE member_id = {member}"))
                .await;
            assert!(matches!(world.view_group(&person.call(), group).await, Err(Error::NotFound)));
        }
        assert_eq!(roles(&world, group).await.len(), 2);
        world.update_group_members(&admin.call(), group, &[to(&viewer, Role::Viewer)]).await.unwrap();
        world.view_group(&viewer.call(), group).await.unwrap();
        world.remove_group_members(&admin.call(), group, &[editor.id]).await.unwrap();
    }
}

//! Who is written to about what, and what becomes of mails until they are sent, on every engine.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "also outside of the functions marked as tests"
)]

mod support;

use std::{collections::HashSet, time::Duration};

use registry::{
    Clock, Expect, InviteMode, Invited, MemberRef, NewGroupInvite, NewMember, NewOrgInvite, Registry, Role,
    RoleChange, Timestamp,
    mail::{GIVE_UP, Letter, Mail, Place, Refused},
    text::Email,
};
use support::{
    Engine, engines,
    log_ins::{HOME, anonymous, from},
    open,
    people::{Person, World, world_at},
    settings,
};

const MINUTE: Duration = Duration::from_secs(60);

async fn world(engine: Engine) -> (World, Clock) {
    let clock = Clock::standing(Timestamp::from_millis(1_800_000_000_000));
    (world_at(engine, clock.clone()).await, clock)
}

/// All mails that are due, as `address kind`, sorted; they are marked as sent.
async fn told(world: &World) -> Vec<String> {
    let mut told: Vec<String> = Vec::new();
    for mail in world.claim_mails(1000).await.unwrap() {
        told.push(format!("{} {}", mail.to.as_str().split('@').next().unwrap(), words(&mail.letter)));
        world.mail_sent(&mail).await.unwrap();
    }
    told.sort();
    told
}

fn words(letter: &Letter) -> String {
    let name = |email: &Email| email.as_str().split('@').next().unwrap().to_owned();
    let at = |Place { org, groups }: &Place| match groups.as_slice() {
        [] => org.clone(),
        groups => format!("{} of {org}", groups.join("+")),
    };
    let kind = letter.kind();
    match letter {
        Letter::MemberAdded { place, role, by, waiting } => {
            let more = if *waiting > 0 { format!(", {waiting} wait") } else { String::new() };
            format!("{kind} {} {role:?} by {}{more}", at(place), name(by))
        }
        Letter::RoleChanged { place, before, role, by } => {
            format!("{kind} {} {:?}>{role:?} by {}", at(place), before.unwrap(), name(by))
        }
        Letter::MemberRemoved { place, by }
        | Letter::OwnershipReceived { place, by }
        | Letter::GroupsInherited { place, by } => format!("{kind} {} by {}", at(place), name(by)),
        Letter::Invite(_) | Letter::PasswordReset { .. } => kind.to_owned(),
    }
}

fn new(person: &Person, role: Role) -> NewMember {
    NewMember { who: MemberRef::Id(person.id), role }
}

#[tokio::test]
async fn members_are_told_what_others_did_to_their_memberships() {
    for engine in engines() {
        let (world, _) = world(engine).await;
        let (ada, bob, cyd) =
            (world.person("ada").await, world.person("bob").await, world.person("cyd").await);
        let org = world.org(&ada).await;
        let (admin, call) = (ada.call(), bob.call());
        world
            .add_org_members(&admin, org, &[new(&bob, Role::Viewer), new(&cyd, Role::Viewer)])
            .await
            .unwrap();
        assert_eq!(
            told(&world).await,
            ["bob member-added org Viewer by ada", "cyd member-added org Viewer by ada"]
        );
        let group = world.group(org, "cold").await;
        assert!(told(&world).await.is_empty(), "nobody joined by their own doing");
        world
            .add_group_members(&admin, group, &[new(&bob, Role::Admin), new(&cyd, Role::Viewer)])
            .await
            .unwrap();
        assert_eq!(
            told(&world).await,
            ["bob member-added cold of org Admin by ada", "cyd member-added cold of org Viewer by ada"]
        );

        let change = |person: &Person, role| RoleChange { member_id: person.id, role };
        let changes = [change(&cyd, Role::Editor), change(&bob, Role::Admin)];
        world.update_group_members(&admin, group, &changes).await.unwrap();
        assert_eq!(
            told(&world).await,
            ["cyd role-changed cold of org Viewer>Editor by ada"],
            "not who stays"
        );
        world.update_org_members(&admin, org, &[change(&bob, Role::Admin)]).await.unwrap();
        assert_eq!(told(&world).await, ["bob role-changed org Viewer>Admin by ada"]);

        world.transfer_group(&admin, group, cyd.id).await.unwrap();
        assert_eq!(told(&world).await, ["cyd ownership-received cold of org by ada"]);
        world.transfer_group(&world.root.call(), group, bob.id).await.unwrap();
        assert_eq!(
            told(&world).await,
            [
                "bob ownership-received cold of org by root",
                "cyd role-changed cold of org Owner>Admin by root"
            ]
        );
        world.transfer_org(&admin, org, bob.id).await.unwrap();
        assert_eq!(told(&world).await, ["bob ownership-received org by ada"]);

        world.remove_group_members(&call, group, &[cyd.id]).await.unwrap();
        assert_eq!(told(&world).await, ["cyd member-removed cold of org by bob"]);
        world.disable_user(&world.root.call(), ada.id).await.unwrap();
        world.remove_org_members(&call, org, &[ada.id, cyd.id]).await.unwrap();
        assert_eq!(told(&world).await, ["cyd member-removed org by bob"], "nobody who cannot log in");
    }
}

#[tokio::test]
async fn leaving_an_organisation_is_one_mail_whatever_becomes_of_its_groups() {
    for engine in engines() {
        let (world, _) = world(engine).await;
        let (ada, bob) = (world.person("ada").await, world.person("bob").await);
        let org = world.org(&ada).await;
        world.join(org, &bob, Role::Viewer).await;
        for name in ["a", "b", "c"] {
            let group = world.group(org, name).await;
            world.admit(group, &[(&bob, Role::Viewer)]).await;
            if name != "c" {
                world.transfer_group(&world.root.call(), group, bob.id).await.unwrap();
            }
        }
        told(&world).await;
        world.remove_org_members(&world.root.call(), org, &[bob.id]).await.unwrap();
        assert_eq!(
            told(&world).await,
            ["ada groups-inherited a+b of org by root", "bob member-removed org by root"]
        );
        world.join(org, &bob, Role::Viewer).await;
        told(&world).await;
        world.remove_org_members(&bob.call(), org, &[bob.id]).await.unwrap();
        assert!(told(&world).await.is_empty(), "who leaves knows");
    }
}

#[tokio::test]
async fn what_waits_to_be_sent_about_an_invite_is_taken_back_with_it() {
    for engine in engines() {
        let (world, clock) = world(engine).await;
        let (ada, bob) = (world.person("ada").await, world.person("bob").await);
        let org = world.org(&ada).await;
        let invite = async |email: &Email| {
            let new = NewOrgInvite {
                email: email.clone(),
                role: Role::Viewer,
                groups: Vec::new(),
                mode: InviteMode::Ask,
                redirect_path: None,
            };
            match world.create_org_invites(&ada.call(), org, &[new], false).await.unwrap().remove(0) {
                Invited::Made(invite) => invite.id,
                refused => panic!("{refused:?}"),
            }
        };
        // Nobody has sent the first mail when the second is written, with a secret in place of the first.
        let stranger = Email::try_from("eve@example.com").unwrap();
        let id = invite(&stranger).await;
        clock.advance(2 * MINUTE);
        world.resend_invite(&ada.call(), id).await.unwrap();
        assert_eq!(told(&world).await, ["eve invite"], "the newer alone");

        clock.advance(2 * MINUTE);
        world.resend_invite(&ada.call(), id).await.unwrap();
        world.revoke_invite(&ada.call(), id).await.unwrap();
        assert!(told(&world).await.is_empty(), "nothing about what was withdrawn");

        let id = invite(&bob.email).await;
        let other = invite(&Email::try_from("flo@example.com").unwrap()).await;
        world.decline_invite(&bob.call(), id).await.unwrap();
        assert_eq!(told(&world).await, ["flo invite"], "and nothing else is taken back");
        world.revoke_invite(&ada.call(), other).await.unwrap();
    }
}

#[tokio::test]
async fn nobody_is_told_of_invites_to_a_place_that_is_gone() {
    for engine in engines() {
        let (world, clock) = world(engine).await;
        let (ada, bob) = (world.person("ada").await, world.person("bob").await);
        let (org, kept) = (world.org(&ada).await, world.org(&ada).await);
        world.join(org, &bob, Role::Viewer).await;
        let [group, other] = [world.group(org, "cold").await, world.group(org, "warm").await];
        told(&world).await;
        let invite = async |org, name: &str| {
            let email = Email::try_from(format!("{name}@example.com").as_str()).unwrap();
            let (groups, mode) = (Vec::new(), InviteMode::Ask);
            let new = NewOrgInvite { email, role: Role::Viewer, groups, mode, redirect_path: None };
            let made = world.create_org_invites(&ada.call(), org, &[new], false).await.unwrap().remove(0);
            let Invited::Made(invite) = made else { panic!("{made:?}") };
            invite.id
        };
        for to in [group, other] {
            let (email, role) = (bob.email.clone(), Role::Viewer);
            let new = NewGroupInvite { email, role, redirect_path: None };
            world.create_group_invites(&ada.call(), to, &[new], false).await.unwrap();
        }
        world.delete_group(&ada.call(), group, &Expect::any()).await.unwrap();
        assert_eq!(told(&world).await, ["bob invite"], "to the other group");
        let cyd = world.person("cyd").await;
        world.join(org, &cyd, Role::Viewer).await;
        told(&world).await;
        let to_cyd = NewGroupInvite { email: cyd.email.clone(), role: Role::Viewer, redirect_path: None };
        world.create_group_invites(&ada.call(), other, &[to_cyd], false).await.unwrap();
        let eve = invite(org, "eve").await;
        invite(org, "flo").await;
        invite(kept, "gil").await;
        clock.advance(2 * MINUTE);
        world.resend_invite(&ada.call(), eve).await.unwrap();
        world.delete_org(&ada.call(), org, &Expect::any()).await.unwrap();
        assert_eq!(told(&world).await, ["gil invite"]);
    }
}

#[tokio::test]
async fn a_change_that_does_not_happen_has_no_mail() {
    for engine in engines() {
        let (world, _) = world(engine).await;
        let (ada, bob) = (world.person("ada").await, world.person("bob").await);
        let org = world.org(&ada).await;
        world.join(org, &bob, Role::Viewer).await;
        told(&world).await;
        let cyd = world.person("cyd").await;
        let both = [new(&cyd, Role::Viewer), new(&bob, Role::Viewer)];
        assert!(world.add_org_members(&ada.call(), org, &both).await.is_err());
        assert!(told(&world).await.is_empty());
        // A repetition is answered from its record.
        for _ in 0..3 {
            let call = ada.call().repeatable("POST /orgs", "k", b"body");
            world.add_org_members(&call, org, &both[..1]).await.unwrap();
        }
        assert_eq!(told(&world).await, ["cyd member-added org Viewer by ada"]);
    }
}

#[tokio::test]
async fn a_mail_belongs_to_the_entry_that_it_tells_of() {
    for engine in engines() {
        let (world, _) = world(engine).await;
        let org = world.org(&world.root).await;
        let mut people = Vec::new();
        for number in 0..5 {
            people.push(world.person(&format!("p{number}")).await);
        }
        let members: Vec<_> = people.iter().map(|person| new(person, Role::Viewer)).collect();
        world.add_org_members(&world.root.call(), org, &members).await.unwrap();
        let mails = world.claim_mails(10).await.unwrap();
        assert_eq!(mails.len(), 5);
        let database = &world.opened.database;
        for mail in mails {
            let person = people.iter().find(|person| person.email == mail.to).unwrap();
            let (mail, person) = (database.literal(mail.id.uuid()), database.literal(person.id.uuid()));
            let sql = format!(
                "SELECT count(*) FROM mails m JOIN journal j ON j.id = m.journal_id \
                 WHERE m.id = {mail} AND j.action = 'member.added' AND j.subject_id = {person}"
            );
            assert_eq!(database.number(sql).await, 1);
        }
    }
}

#[tokio::test]
async fn with_mail_off_nothing_is_written() {
    for engine in engines() {
        let (world, clock) = world(engine).await;
        let database = &world.opened.database;
        let mut settings = settings(database, clock);
        settings.mail = false;
        let silent = Registry::open(settings).await.unwrap();
        let (ada, bob) = (world.person("ada").await, world.person("bob").await);
        let org = world.org(&ada).await;
        silent.add_org_members(&ada.call(), org, &[new(&bob, Role::Viewer)]).await.unwrap();
        silent.request_password_reset(&anonymous(), &bob.email, from(HOME)).await.unwrap();
        assert!(!silent.sends_mail());
        for table in ["mails", "password_resets"] {
            assert_eq!(database.number(format!("SELECT count(*) FROM {table}")).await, 0, "{table}");
        }
    }
}

#[tokio::test]
async fn no_two_workers_get_the_same_mail() {
    const MAILS: usize = 60;
    for engine in engines() {
        let (world, clock) = world(engine).await;
        let org = world.org(&world.root).await;
        let mut members = Vec::new();
        for number in 0..MAILS {
            members.push(new(&world.person(&format!("p{number}")).await, Role::Viewer));
        }
        world.add_org_members(&world.root.call(), org, &members).await.unwrap();
        let other = open(&world.opened.database, clock.clone()).await.unwrap();
        let mut workers = Vec::new();
        for number in 0..8 {
            let registry = if number % 2 == 0 { world.opened.registry.clone() } else { other.clone() };
            workers.push(tokio::spawn(async move {
                let mut mine: Vec<Mail> = Vec::new();
                loop {
                    let mails = registry.claim_mails(3).await.unwrap();
                    if mails.is_empty() {
                        return mine;
                    }
                    mine.extend(mails);
                }
            }));
        }
        let mut seen = HashSet::new();
        for worker in workers {
            for mail in worker.await.unwrap() {
                assert!(seen.insert(mail.id), "twice");
                assert_eq!(mail.attempt, 1);
            }
        }
        assert_eq!(seen.len(), MAILS);
    }
}

/// One mail that waits.
async fn one(engine: Engine) -> (World, Clock, Mail) {
    let (world, clock) = world(engine).await;
    let bob = world.person("bob").await;
    let org = world.org(&world.root).await;
    world.add_org_members(&world.root.call(), org, &[new(&bob, Role::Viewer)]).await.unwrap();
    let mail = world.claim_mails(10).await.unwrap().pop().unwrap();
    (world, clock, mail)
}

#[tokio::test]
async fn a_mail_of_which_nothing_was_heard_is_due_again_but_not_within_a_minute() {
    for engine in engines() {
        let (world, clock, mail) = one(engine).await;
        // An attempt may last for half a minute.
        clock.advance(MINUTE + Duration::from_secs(31));
        assert!(world.claim_mails(10).await.unwrap().is_empty());
        clock.advance(MINUTE);
        let again = world.claim_mails(10).await.unwrap().pop().unwrap();
        assert_eq!((again.id, again.created_at, again.attempt), (mail.id, mail.created_at, 2));
        // The first one comes back after all, and does not disturb the second.
        world.mail_refused(&mail, "late").await.unwrap();
        clock.advance(Duration::from_secs(119));
        assert!(world.claim_mails(10).await.unwrap().is_empty());
        world.mail_sent(&again).await.unwrap();
        clock.advance(GIVE_UP);
        assert!(world.claim_mails(10).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn what_was_sent_leaves_no_content_and_is_forgotten_after_a_week() {
    for engine in engines() {
        let (world, clock, mail) = one(engine).await;
        let database = &world.opened.database;
        world.mail_sent(&mail).await.unwrap();
        assert_eq!(database.number("SELECT count(*) FROM mails WHERE payload IS NULL").await, 1);
        assert!(world.mail_status().await.unwrap().is_well());
        clock.advance(Duration::from_secs(7 * 24 * 3600) - Duration::from_millis(1));
        world.sweep().await.unwrap();
        assert_eq!(database.number("SELECT count(*) FROM mails").await, 1);
        clock.advance(Duration::from_millis(1));
        world.sweep().await.unwrap();
        assert_eq!(database.number("SELECT count(*) FROM mails").await, 0);
    }
}

#[tokio::test]
async fn what_is_refused_is_tried_for_three_days_and_then_given_up() {
    for engine in engines() {
        let (world, clock, mut mail) = one(engine).await;
        let began = clock.now();
        let mut waits = Vec::new();
        while let Refused::Again(next) = world.mail_refused(&mail, "the server\nanswered 550").await.unwrap()
        {
            waits.push(next.since(clock.now()).as_secs() / 60);
            let status = world.mail_status().await.unwrap();
            assert_eq!((status.waiting, status.given_up), (1, 0));
            assert_eq!(status.last_error.as_deref(), Some("the serveranswered 550"));
            clock.advance(next.since(clock.now()) - Duration::from_millis(1));
            assert!(world.claim_mails(10).await.unwrap().is_empty());
            clock.advance(Duration::from_millis(1));
            mail = world.claim_mails(10).await.unwrap().pop().unwrap();
        }
        assert!(waits.len() > 50 && waits.iter().all(|wait| *wait <= 75), "{waits:?}");
        assert!(waits[..7].is_sorted() && waits[0] == 1, "{waits:?}");
        let tried = clock.now().since(began);
        assert!((GIVE_UP..GIVE_UP + 75 * MINUTE).contains(&tried), "{tried:?}");
        let status = world.mail_status().await.unwrap();
        assert_eq!((status.waiting, status.given_up, status.is_well()), (0, 1, false));
        let doctor = world.doctor().await.unwrap();
        let finding = doctor.iter().find(|finding| finding.subject == "mail").unwrap();
        assert!(finding.message.contains("1 given up") && finding.message.contains("550"), "{finding:?}");
        let database = &world.opened.database;
        assert_eq!(database.number("SELECT count(*) FROM mails WHERE payload IS NULL").await, 1);
        clock.advance(Duration::from_secs(24 * 3600));
        assert!(world.mail_status().await.unwrap().is_well(), "nobody needs to hear of it for ever");
        clock.advance(Duration::from_secs(30 * 24 * 3600));
        world.sweep().await.unwrap();
        assert_eq!(database.number("SELECT count(*) FROM mails").await, 0);
    }
}

#[tokio::test]
async fn what_has_expired_is_not_sent() {
    for engine in engines() {
        let (world, clock) = world(engine).await;
        let bob = world.person("bob").await;
        world.request_password_reset(&anonymous(), &bob.email, from(HOME)).await.unwrap();
        clock.advance(Duration::from_secs(3600));
        assert!(world.claim_mails(10).await.unwrap().is_empty());
        let status = world.mail_status().await.unwrap();
        assert_eq!((status.waiting, status.given_up), (0, 1));
        assert!(status.last_error.unwrap().contains("expired"));
    }
}

#[tokio::test]
async fn what_nobody_sends_does_not_wait_for_ever() {
    for engine in engines() {
        let (world, clock, _) = one(engine).await;
        clock.advance(Duration::from_secs(96 * 3600));
        assert!(!world.mail_status().await.unwrap().is_well());
        world.sweep().await.unwrap();
        assert!(world.claim_mails(10).await.unwrap().is_empty());
        assert_eq!(world.opened.database.number("SELECT count(*) FROM mails WHERE payload IS NULL").await, 1);
    }
}

#[tokio::test]
async fn neither_addresses_nor_names_nor_secrets_can_be_read_in_the_table() {
    for engine in engines() {
        let (world, _, mail) = one(engine).await;
        let bob = mail.to.clone();
        world.request_password_reset(&anonymous(), &bob, from(HOME)).await.unwrap();
        let reset = world.claim_mails(10).await.unwrap().pop().unwrap();
        let Letter::PasswordReset { secret, .. } = &reset.letter else { panic!("{reset:?}") };
        let database = &world.opened.database;
        let sql = match engine {
            Engine::Sqlite => "SELECT lower(hex(payload)) || kind FROM mails",
            Engine::Postgres => "SELECT encode(payload, 'hex') || kind FROM mails",
        };
        let held = database.texts(sql).await.join(" ");
        assert!(held.contains("password-reset") && held.contains("member-added"), "{held}");
        for clear in [bob.as_str(), "root@example.com", "\"org\"", secret.expose()] {
            let hex: String = clear.bytes().map(|byte| format!("{byte:02x}")).collect();
            assert!(!held.contains(&hex), "{clear}");
        }
        // Nor does it open in another row.
        let (one, other) = (database.literal(mail.id.uuid()), database.literal(reset.id.uuid()));
        database
            .execute(format!(
                "UPDATE mails SET next_attempt_at = created_at, payload = (SELECT payload FROM mails WHERE id = {other}) WHERE id = {one}"
            ))
            .await;
        assert!(world.claim_mails(10).await.unwrap().is_empty());
        assert!(world.mail_status().await.unwrap().last_error.unwrap().contains("does not open"));
    }
}

#[tokio::test]
async fn a_worker_is_woken_by_the_commit() {
    for engine in engines() {
        let (world, _) = world(engine).await;
        let bob = world.person("bob").await;
        let call = anonymous();
        let (asked, woken) = tokio::join!(
            world.request_password_reset(&call, &bob.email, from(HOME)),
            tokio::time::timeout(Duration::from_secs(5), world.letter_written()),
        );
        asked.unwrap();
        woken.unwrap();
    }
}

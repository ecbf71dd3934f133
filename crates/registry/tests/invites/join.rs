//! Coming in by the secret of a platform invite.

use registry::{
    Call, Error, Invite, InviteMode, InviteState, Invited, Joined, Role, RoleChange, Secret, UserId,
    text::Email,
};

use crate::support::{
    engines,
    invites::{LIFE, Scene, audit, nobody, only, scene, scene_with, sleeper, to_org},
    log_ins::{anonymous, email, json, password},
    orgs::told,
    people::{PASSWORD, Person, log_in},
};

async fn register(s: &Scene, secret: &Secret, address: Option<&Email>) -> Result<Joined, Error> {
    s.register_by_invite(&anonymous(), secret, address, &password(PASSWORD), &json("{}")).await
}

fn dormant(who: &Email, s: &Scene) -> registry::NewOrgInvite {
    to_org(who, &[(s.red, Role::Editor)], InviteMode::Ask)
}

async fn people(s: &Scene) -> i64 {
    s.opened.database.number("SELECT count(*) FROM users").await
}

/// Makes themselves an account, where that is open to everybody: the address is not proved.
async fn on_their_own(s: &Scene, who: &Email) -> Person {
    s.register_user(&anonymous(), who, &password(PASSWORD), &json("{}")).await.unwrap();
    log_in(s, who.clone()).await
}

#[tokio::test]
async fn a_secret_makes_an_account_and_wakes_the_invite() {
    for open in [false, true] {
        for engine in engines() {
            let s = scene_with(engine, |settings| settings.open_registration = open).await;
            let (invite, secret) = s.send(&s.adam, dormant(&nobody(), &s)).await;
            let seen = s.view_invite_by_secret(&secret).await.unwrap();
            assert_eq!((seen.invite.id, &seen.email, seen.has_account), (invite.id, &nobody(), false));
            assert_eq!(seen.invite.group_invites, invite.group_invites);
            let before = s.entries().await;
            s.clock.advance(LIFE / 2);
            let joined = register(&s, &secret, Some(&nobody())).await.unwrap();
            assert_eq!((&joined.user.email, joined.invites.as_slice()), (&nobody(), &[invite.id][..]));
            // The account, the platform's invite, the organisation's.
            assert_eq!(s.entries().await, before + 3);
            assert_eq!(s.story(invite.id).await, ["invite.created", "invite.woken"]);
            let nora = log_in(&s, nobody()).await;
            let woken = s.view_invite(&nora.call(), invite.id).await.unwrap();
            assert_eq!(
                (woken.state, woken.dormant, woken.invitee_id),
                (InviteState::Pending, false, Some(nora.id))
            );
            assert_eq!(woken.expires_at, Some(s.clock.now().after(LIFE)));
            assert_eq!(s.role_in_org(&nora).await, None, "they still answer it");
            s.accept_invite(&nora.call(), invite.id).await.unwrap();
            s.accept_invite(&nora.call(), sleeper(&invite, s.red)).await.unwrap();
            assert_eq!(s.role_in(s.red, &nora).await, Some(Role::Editor));
            audit(&s).await;
        }
    }
}

#[tokio::test]
async fn a_secret_works_once() {
    for engine in engines() {
        let s = scene(engine).await;
        let (_, secret) = s.send(&s.adam, dormant(&nobody(), &s)).await;
        let nora = s.enter(&nobody(), &secret).await;
        let count = (people(&s).await, s.entries().await);
        assert_eq!(told(register(&s, &secret, None).await.map(drop)), "NotFound");
        assert_eq!(told(s.claim_invite(&nora.call(), &secret).await.map(drop)), "NotFound");
        assert_eq!(told(s.decline_by_secret(&anonymous(), &secret).await), "NotFound");
        assert_eq!(told(s.view_invite_by_secret(&secret).await.map(drop)), "NotFound");
        assert_eq!((people(&s).await, s.entries().await), count);
        audit(&s).await;
    }
}

/// I2: a secret opens nothing but what was sent with it, to the address to which it was sent.
#[tokio::test]
async fn a_secret_is_its_addresss_alone() {
    for engine in engines() {
        let s = scene(engine).await;
        let (invite, secret) = s.send(&s.adam, dormant(&nobody(), &s)).await;
        let count = (people(&s).await, s.entries().await);
        let other = email("other");
        let outcome = register(&s, &secret, Some(&other)).await;
        assert_eq!(told(outcome.map(drop)), "email: is not the address that was invited");
        for person in [&s.gus, &s.stranger, &s.adam, &s.root] {
            assert_eq!(told(s.claim_invite(&person.call(), &secret).await.map(drop)), "NotFound");
        }
        let text = secret.expose();
        let typo = |at: usize| {
            let mut bytes = text.as_bytes().to_vec();
            bytes[at] = if bytes[at] == b'x' { b'y' } else { b'x' };
            Secret::new(String::from_utf8(bytes).unwrap())
        };
        let wrong = [
            typo(9),
            typo(text.len() - 1),
            Secret::new(""),
            Secret::new(text.to_uppercase()),
            Secret::new(format!("{text} ")),
            Secret::generate(registry::secret::Prefix::Invite).unwrap(),
            Secret::generate(registry::secret::Prefix::PasswordReset).unwrap(),
        ];
        for secret in &wrong {
            assert_eq!(told(register(&s, secret, None).await.map(drop)), "NotFound");
            assert_eq!(told(s.claim_invite(&s.gus.call(), secret).await.map(drop)), "NotFound");
            assert_eq!(told(s.decline_by_secret(&anonymous(), secret).await), "NotFound");
            assert_eq!(told(s.view_invite_by_secret(secret).await.map(drop)), "NotFound");
        }
        assert_eq!((people(&s).await, s.entries().await), count);
        // The id alone opens nothing, not even to the address's owner.
        let nora = s.enter(&nobody(), &secret).await;
        assert_eq!(s.received(&nora, only(InviteState::Pending)).await.len(), 1);
        assert_eq!(s.received(&nora, only(InviteState::Pending)).await[0].id, invite.id);
        audit(&s).await;
    }
}

/// I2: an account that somebody made for an address before it was invited is not yet whose it says.
#[tokio::test]
async fn an_account_made_beforehand_has_to_show_the_secret() {
    for engine in engines() {
        let s = scene_with(engine, |settings| settings.open_registration = true).await;
        let early = on_their_own(&s, &nobody()).await;
        let (invite, secret) = s.send(&s.adam, dormant(&nobody(), &s)).await;
        assert_eq!((invite.dormant, invite.invitee_id), (true, None));
        assert!(s.received(&early, only(InviteState::Pending)).await.is_empty());
        for id in [invite.id, sleeper(&invite, s.red)] {
            assert_eq!(told(s.view_invite(&early.call(), id).await), "NotFound");
            assert_eq!(told(s.accept_invite(&early.call(), id).await), "NotFound");
        }
        let seen = s.view_invite_by_secret(&secret).await.unwrap();
        assert!(seen.has_account);
        // Making another account of that address does not use the secret up.
        assert_eq!(told(register(&s, &secret, None).await.map(drop)), "EmailTaken []");
        let reading = s.by_token(&early, true, None).await;
        assert_eq!(told(s.claim_invite(&reading.call(), &secret).await.map(drop)), "SessionOnly");
        assert_eq!(told(s.claim_invite(&anonymous(), &secret).await.map(drop)), "Unauthenticated");
        let before = s.entries().await;
        let joined = s.claim_invite(&early.call(), &secret).await.unwrap();
        assert_eq!(joined.invites, [invite.id]);
        assert_eq!(s.entries().await, before + 2);
        s.accept_invite(&early.call(), invite.id).await.unwrap();
        // From now on the address is proved.
        let new = [to_org(&nobody(), &[], InviteMode::Ask)];
        let made = s.create_org_invites(&s.stranger.call(), s.elsewhere, &new, false).await.unwrap();
        assert_eq!(crate::support::invites::made(made).invitee_id, Some(early.id));
        audit(&s).await;
    }
}

/// I4: no account is made by the word of somebody who may not let anybody in any more; the attempt ends it, and
/// looks like one with a secret that never was.
#[tokio::test]
async fn who_may_no_longer_invite_makes_no_account() {
    for open in [false, true] {
        for engine in engines() {
            let s = scene_with(engine, |settings| settings.open_registration = open).await;
            let database = &s.opened.database;
            for (n, fall) in ["demoted", "removed", "gone", "disabled"].into_iter().enumerate() {
                let inviter = s.person(&format!("inviter{n}")).await;
                s.join(s.org, &inviter, Role::Admin).await;
                let (to, alone) = (email(&format!("guest{n}")), email(&format!("alone{n}")));
                let (invite, secret) = s.send(&inviter, to_org(&to, &[], InviteMode::Ask)).await;
                let id = database.literal(inviter.id.uuid());
                database.execute(format!("UPDATE users SET platform_role = 'admin' WHERE id = {id}")).await;
                let admin = log_in(&s, inviter.email.clone()).await.call();
                let platform = s.create_platform_invite(&admin, &alone, None).await.unwrap().id;
                let second = s.known_secret(platform).await;
                // Behind the registry's back where it would have revoked them itself.
                let sql = match fall {
                    "demoted" => format!(
                        "UPDATE org_memberships SET role = 'editor' WHERE member_id = {id}; UPDATE users SET platform_role = NULL WHERE id = {id}"
                    ),
                    "removed" => format!(
                        "DELETE FROM org_memberships WHERE member_id = {id}; UPDATE users SET platform_role = NULL WHERE id = {id}"
                    ),
                    "gone" => format!(
                        "DELETE FROM org_memberships WHERE member_id = {id}; DELETE FROM sessions WHERE user_id = {id}; DELETE FROM users WHERE id = {id}"
                    ),
                    _ => format!("UPDATE users SET status = 'disabled' WHERE id = {id}"),
                };
                database.execute(sql).await;
                let count = people(&s).await;
                for (secret, ended) in [(&secret, invite.id), (&second, platform)] {
                    let again = anonymous().repeatable(
                        "POST /register",
                        &format!("key{n}"),
                        secret.digest().as_slice(),
                    );
                    for call in [again.clone(), again, anonymous()] {
                        let outcome =
                            s.register_by_invite(&call, secret, None, &password(PASSWORD), &json("{}")).await;
                        assert_eq!(told(outcome.map(drop)), "NotFound", "{fall}");
                    }
                    assert_eq!(s.stored(ended).await, "revoked", "{fall}");
                    assert_eq!(s.story(ended).await, ["invite.created", "invite.revoked"]);
                    assert_eq!(told(s.view_invite_by_secret(secret).await.map(drop)), "NotFound");
                }
                assert_eq!(people(&s).await, count);
                database.execute(format!("DELETE FROM org_memberships WHERE member_id = {id}")).await;
            }
            audit(&s).await;
        }
    }
}

/// One that somebody may still let in by another's word comes in by either secret.
#[tokio::test]
async fn another_who_may_still_invite_is_enough() {
    for engine in engines() {
        let s = scene(engine).await;
        let (invite, secret) = s.send(&s.adam, dormant(&nobody(), &s)).await;
        let (other, _) = s.send(&s.alma, dormant(&nobody(), &s)).await;
        let change = [RoleChange { member_id: s.adam.id, role: Role::Editor }];
        s.update_org_members(&s.owner.call(), s.org, &change).await.unwrap();
        let nora = s.enter(&nobody(), &secret).await;
        assert_eq!(told(s.accept_invite(&nora.call(), invite.id).await), "InviteNoLongerValid []");
        s.accept_invite(&nora.call(), other.id).await.unwrap();
        audit(&s).await;
    }
}

/// Whether an account is disabled is not for those to know who invite: it is invited like an address that nobody
/// has an account of, and by the secret nobody gets into it.
#[tokio::test]
async fn who_is_shut_out_looks_like_nobody() {
    for engine in engines() {
        let s = scene(engine).await;
        s.disable_user(&s.root.call(), s.gus.id).await.unwrap();
        let new = [dormant(&s.gus.email, &s), dormant(&nobody(), &s)];
        let made = s.create_org_invites(&s.adam.call(), s.org, &new, false).await.unwrap();
        let [of_gus, of_nobody] = [&made[0], &made[1]].map(|made| match made {
            Invited::Made(invite) => (**invite).clone(),
            other => panic!("{other:?}"),
        });
        let alike = Invite {
            id: of_nobody.id,
            invitee_email: of_nobody.invitee_email.clone(),
            group_invites: Vec::new(),
            ..of_gus.clone()
        };
        assert_eq!(alike, Invite { group_invites: Vec::new(), ..of_nobody.clone() });
        assert!(of_gus.dormant && of_gus.invitee_id.is_none());
        let secret = s.known_secret(of_gus.id).await;
        for _ in 0..2 {
            assert_eq!(told(register(&s, &secret, None).await.map(drop)), "EmailTaken []");
        }
        assert_eq!(told(s.claim_invite(&s.gus.call(), &secret).await.map(drop)), "Unauthenticated");
        let email = s.gus.email.as_str();
        let rows = format!("SELECT count(*) FROM users WHERE email = '{email}' AND status = 'disabled'");
        assert_eq!(s.opened.database.number(rows).await, 1);
        // Let in again, they claim it like anybody else.
        s.enable_user(&s.root.call(), s.gus.id).await.unwrap();
        let gus = log_in(&s, s.gus.email.clone()).await;
        assert_eq!(s.claim_invite(&gus.call(), &secret).await.unwrap().invites, [of_gus.id]);
        s.accept_invite(&gus.call(), of_gus.id).await.unwrap();
        audit(&s).await;
    }
}

#[tokio::test]
async fn one_secret_wakes_what_several_organisations_sent() {
    for claims in [false, true] {
        for engine in engines() {
            let s = scene_with(engine, |settings| settings.open_registration = true).await;
            let early = if claims { Some(on_their_own(&s, &nobody()).await) } else { None };
            let (one, first) = s.send(&s.adam, dormant(&nobody(), &s)).await;
            let (two, second) =
                s.send(&s.alma, to_org(&nobody(), &[(s.red, Role::Viewer)], InviteMode::Ask)).await;
            let new = [to_org(&nobody(), &[], InviteMode::Ask)];
            let made = s.create_org_invites(&s.stranger.call(), s.elsewhere, &new, false).await.unwrap();
            let three = crate::support::invites::made(made);
            let third = s.known_secret(three.id).await;
            // Another address and a past-due one are left alone.
            let (other, _) = s.send(&s.adam, dormant(&email("other"), &s)).await;
            let nora = match early {
                Some(early) => {
                    s.claim_invite(&early.call(), &second).await.unwrap();
                    early
                }
                None => s.enter(&nobody(), &second).await,
            };
            let mut woken: Vec<_> = s
                .received(&nora, only(InviteState::Pending))
                .await
                .into_iter()
                .map(|invite| invite.id)
                .collect();
            let mut wanted = vec![one.id, two.id, three.id];
            woken.sort_unstable();
            wanted.sort_unstable();
            assert_eq!(woken, wanted);
            assert_eq!(s.stored(other.id).await, "pending");
            for secret in [&first, &third] {
                assert_eq!(told(s.claim_invite(&nora.call(), secret).await.map(drop)), "NotFound");
            }
            for id in wanted {
                assert_eq!(s.story(id).await, ["invite.created", "invite.woken"]);
            }
            s.accept_invite(&nora.call(), three.id).await.unwrap();
            s.accept_invite(&nora.call(), one.id).await.unwrap();
            audit(&s).await;
        }
    }
}

#[tokio::test]
async fn no_account_is_needed_to_say_no() {
    for engine in engines() {
        let s = scene(engine).await;
        let (invite, secret) = s.send(&s.adam, dormant(&nobody(), &s)).await;
        let (other, second) = s.send(&s.alma, dormant(&nobody(), &s)).await;
        s.decline_by_secret(&anonymous(), &secret).await.unwrap();
        for id in [invite.id, sleeper(&invite, s.red)] {
            assert_eq!(s.state(id).await, InviteState::Declined);
            assert_eq!(s.story(id).await, ["invite.created", "invite.declined"]);
        }
        assert_eq!(told(register(&s, &secret, None).await.map(drop)), "NotFound");
        let nora = s.enter(&nobody(), &second).await;
        assert_eq!(s.received(&nora, only(InviteState::Pending)).await[0].id, other.id);
        assert_eq!(s.received(&nora, only(InviteState::Declined)).await.len(), 0, "it never was theirs");
        audit(&s).await;
    }
}

#[tokio::test]
async fn a_secret_lasts_as_long_as_its_invite() {
    for engine in engines() {
        let s = scene(engine).await;
        let (invite, secret) = s.send(&s.adam, dormant(&nobody(), &s)).await;
        s.clock.advance(LIFE - std::time::Duration::from_millis(1));
        s.view_invite_by_secret(&secret).await.unwrap();
        s.clock.advance(std::time::Duration::from_millis(1));
        assert_eq!(told(s.view_invite_by_secret(&secret).await.map(drop)), "NotFound");
        assert_eq!(told(register(&s, &secret, None).await.map(drop)), "NotFound");
        assert_eq!(told(s.decline_by_secret(&anonymous(), &secret).await), "NotFound");
        let (again, secret) = s.send(&s.alma, dormant(&nobody(), &s)).await;
        assert_eq!(s.stored(invite.id).await, "expired");
        let nora = s.enter(&nobody(), &secret).await;
        assert_eq!(s.received(&nora, registry::InviteFilter::default()).await.len(), 1);
        s.accept_invite(&nora.call(), again.id).await.unwrap();
        audit(&s).await;
    }
}

#[tokio::test]
async fn the_platforms_own_invite_makes_an_account_and_no_more() {
    for engine in engines() {
        let s = scene(engine).await;
        let root = s.root.call();
        let invite = s.create_platform_invite(&root, &nobody(), None).await.unwrap().id;
        let secret = s.known_secret(invite).await;
        assert_eq!(s.view_invite_by_secret(&secret).await.unwrap().invite.id, invite);
        let nora = s.enter(&nobody(), &secret).await;
        assert_eq!(s.state(invite).await, InviteState::Accepted);
        assert_eq!(s.story(invite).await, ["invite.created", "invite.accepted"]);
        assert_eq!(
            told(s.create_org_invites(&nora.call(), s.org, &[dormant(&nobody(), &s)], false).await),
            "NotFound"
        );
        // Taken back, declined, past due.
        let other = email("other");
        let invite = s.create_platform_invite(&root, &other, None).await.unwrap().id;
        let secret = s.known_secret(invite).await;
        s.revoke_invite(&root, invite).await.unwrap();
        assert_eq!(told(register(&s, &secret, None).await.map(drop)), "NotFound");
        let invite = s.create_platform_invite(&root, &other, None).await.unwrap().id;
        let secret = s.known_secret(invite).await;
        s.decline_by_secret(&anonymous(), &secret).await.unwrap();
        assert_eq!(s.state(invite).await, InviteState::Declined);
        let invite = s.create_platform_invite(&root, &other, None).await.unwrap().id;
        s.clock.advance(LIFE);
        s.create_platform_invite(&root, &other, None).await.unwrap();
        assert_eq!(s.story(invite).await, ["invite.created", "invite.expired"]);
        audit(&s).await;
    }
}

#[tokio::test]
async fn a_secret_is_not_used_up_by_a_mistake() {
    for engine in engines() {
        let s = scene(engine).await;
        let (_, secret) = s.send(&s.adam, dormant(&nobody(), &s)).await;
        let own = password(nobody().as_str());
        let outcome = s.register_by_invite(&anonymous(), &secret, None, &own, &json("{}")).await;
        assert!(told(outcome.map(drop)).starts_with("password: "));
        let again: Call = anonymous().repeatable("POST /join", "key", b"body");
        let mut ids: Vec<UserId> = Vec::new();
        for _ in 0..2 {
            // A repetition finds its answer although the secret is used up.
            match s.register_by_invite(&again, &secret, None, &password(PASSWORD), &json("{}")).await {
                Ok(joined) => ids.push(joined.user.id),
                Err(error) => assert_eq!(told::<()>(Err(error)), "NotFound"),
            }
        }
        assert!(ids.windows(2).all(|pair| pair[0] == pair[1]));
        assert_eq!(ids.len(), 2, "the first answer is kept for the second");
        audit(&s).await;
    }
}

//! Requests about invites in the registry's words, and its answers in the model's.

use registry::{
    Call, Invite, InviteId, InviteMode, Invited, Joined, JsonObject, NewGroupInvite, NewOrgInvite, Secret,
    User,
    mail::Letter,
    secret::Prefix,
    text::{Email, RedirectPath},
};
use serde_json::{Value, json};

use super::{
    commands::{Address, Id, Person},
    inviting::{APART, Inviting, NewInvite, carrier},
    perform::{done, one},
    reference::{Answer, Outcome, address},
    side::{Side, group, number, org, password, refusal, uuid},
};
use crate::support::Engine;

fn email(to: Address) -> Email {
    Email::try_from(address(to).as_str()).unwrap()
}

fn new_org_invite(new: &NewInvite) -> NewOrgInvite {
    NewOrgInvite {
        email: email(new.address),
        role: new.role,
        groups: new.groups.iter().map(|(id, role)| (group(*id), *role)).collect(),
        mode: new.mode,
        redirect_path: new.path.map(|path| RedirectPath::try_from(path).unwrap()),
    }
}

impl Side {
    /// Asks the registry.
    pub async fn perform_invites(&mut self, call: &Call, op: &Inviting) -> Outcome {
        let registry = self.registry.clone();
        match op {
            Inviting::ToOrg { org: id, invites, partial, first } => {
                let new: Vec<NewOrgInvite> = invites.iter().map(new_org_invite).collect();
                let made = registry.create_org_invites(call, org(*id), &new, *partial).await;
                self.learn_all(made.map_err(refusal)?, *first).await
            }
            Inviting::ToGroup { group: id, invites, partial, first } => {
                let new: Vec<NewGroupInvite> = invites
                    .iter()
                    .map(|(to, role)| NewGroupInvite { email: email(*to), role: *role, redirect_path: None })
                    .collect();
                let made = registry.create_group_invites(call, group(*id), &new, *partial).await;
                self.learn_all(made.map_err(refusal)?, *first).await
            }
            Inviting::ToPlatform { address, invite } => {
                let made = registry.create_platform_invite(call, &email(*address), None).await;
                let made = made.map_err(refusal)?;
                self.learn(*invite, made.id);
                self.know_secret(*invite, *invite).await;
                one(Ok(self.invite_row(&made)))
            }
            Inviting::View { invite } => {
                one(registry.view_invite(call, self.invite_id(*invite)).await.map(|it| self.invite_row(&it)))
            }
            Inviting::Accept { invite } => one(registry
                .accept_invite(call, self.invite_id(*invite))
                .await
                .map(|it| self.invite_row(&it))),
            Inviting::Decline { invite } => {
                done(registry.decline_invite(call, self.invite_id(*invite)).await)
            }
            Inviting::Revoke { invite } => done(registry.revoke_invite(call, self.invite_id(*invite)).await),
            Inviting::Resend { invite, secret } => {
                let sent = registry.resend_invite(call, self.invite_id(*invite)).await.map_err(refusal)?;
                if sent.dormant || sent.kind == registry::InviteKind::Platform {
                    self.know_secret(*invite, *secret).await;
                }
                one(Ok(self.invite_row(&sent)))
            }
            Inviting::Register { address } => {
                let (to, none) = (email(*address), JsonObject::default());
                let made = registry.register_user(call, &to, &password(), &none).await.map_err(refusal)?;
                one(Ok(json!({ "person": self.newcomer(&made) })))
            }
            Inviting::RegisterBy { secret, address } => {
                let (to, none) = (address.map(email), JsonObject::default());
                let secret = self.invite_secret(*secret);
                let made = registry.register_by_invite(call, &secret, to.as_ref(), &password(), &none).await;
                one(made.map(|joined| self.joined_row(&joined)))
            }
            Inviting::ViewBy { secret } => {
                let found = registry.view_invite_by_secret(&self.invite_secret(*secret)).await;
                one(found.map(|found| {
                    json!({ "invite": self.invite_row(&found.invite), "email": found.email.as_str(),
                            "has_account": found.has_account })
                }))
            }
            Inviting::DeclineBy { secret } => {
                done(registry.decline_by_secret(call, &self.invite_secret(*secret)).await)
            }
            Inviting::Claim { secret } => {
                let claimed = registry.claim_invite(call, &self.invite_secret(*secret)).await;
                one(claimed.map(|joined| self.joined_row(&joined)))
            }
        }
    }

    /// An invite in the model's words.
    pub fn invite_row(&self, invite: &Invite) -> Value {
        let offers: Vec<Value> = invite
            .group_invites
            .iter()
            .map(|offer| {
                json!({ "id": self.invite_number(offer.id), "group": number(offer.group_id.uuid()),
                        "name": offer.group_name, "role": offer.member_role.as_str() })
            })
            .collect();
        let text = |email: &Option<Email>| email.as_ref().map(|email| email.as_str().to_owned());
        json!({ "id": self.invite_number(invite.id), "kind": invite.kind.as_str(),
                "state": invite.state.as_str(), "dormant": invite.dormant,
                "invitee": invite.invitee_id.map(|id| self.person(id)), "email": text(&invite.invitee_email),
                "role": invite.invitee_role.map(registry::Role::as_str),
                "inviter": self.person(invite.inviter_id), "inviter_email": text(&invite.inviter_email),
                "org": invite.org_id.map(|id| number(id.uuid())), "org_name": invite.org_name,
                "group": invite.group_id.map(|id| number(id.uuid())), "group_name": invite.group_name,
                "offers": offers, "mode": invite.mode.map(InviteMode::as_str),
                "path": invite.redirect_path.as_ref().map(RedirectPath::as_str),
                "created": invite.created_at.millis(), "expires": invite.expires_at.map(|at| at.millis()) })
    }

    fn joined_row(&mut self, joined: &Joined) -> Value {
        let invites: Vec<Id> = joined.invites.iter().map(|id| self.invite_number(*id)).collect();
        json!({ "person": self.newcomer(&joined.user), "invites": invites })
    }

    /// Who that is, who may have come just now.
    fn newcomer(&mut self, user: &User) -> Person {
        let known = self.memory.people.iter().position(|known| *known == user.id);
        known.unwrap_or_else(|| {
            self.memory.people.push(user.id);
            self.memory.emails.push(user.email.clone());
            self.memory.people.len() - 1
        })
    }

    /// The same request answered once more names the same invites.
    fn learn(&mut self, number: Id, id: InviteId) {
        let known = *self.memory.invites.entry(number).or_insert(id);
        assert_eq!(known, id, "a repeated request made another invite");
    }

    async fn learn_all(&mut self, outcomes: Vec<Invited>, first: Id) -> Outcome {
        let mut answer = Answer::default();
        for (number, outcome) in (first..).step_by(APART as usize).zip(outcomes) {
            let invite = match outcome {
                Invited::Made(invite) => invite,
                Invited::Clash(kind) => {
                    answer.rows.push(json!({ "clash": kind.code() }));
                    continue;
                }
                Invited::Invalid { field, .. } => {
                    answer.rows.push(json!({ "invalid": field }));
                    continue;
                }
            };
            self.learn(number, invite.id);
            for (number, offer) in (number + 1..).zip(&invite.group_invites) {
                self.learn(number, offer.id);
            }
            if invite.dormant && !self.memory.secrets.contains_key(&carrier(number)) {
                let above = self.hex("id");
                let below = self.database.literal(invite.id.uuid());
                let sql = format!("SELECT {above} FROM platform_invites WHERE org_invite_id = {below}");
                let id: sqlx::types::Uuid = self.database.text(sql).await.parse().unwrap();
                self.learn(carrier(number), id.into());
                self.know_secret(number, carrier(number)).await;
            }
            answer.rows.push(self.invite_row(&invite));
        }
        Ok(answer)
    }

    /// Takes the secret that was mailed with an invite out of the mail, by which alone it leaves the registry.
    async fn know_secret(&mut self, invite: Id, secret: Id) {
        if self.memory.secrets.contains_key(&secret) {
            // The answer of an earlier request.
            return;
        }
        let about = self.invite_id(invite).uuid();
        let mails = self.registry.claim_mails(1_000).await.unwrap();
        self.database.execute("DELETE FROM mails").await;
        for mail in mails {
            if let Letter::Invite(letter) = mail.letter {
                self.memory.mailed.extend(letter.secret.map(|secret| (letter.id, secret)));
            }
        }
        let mailed = self.memory.mailed.remove(&about);
        let mailed = mailed.unwrap_or_else(|| panic!("nobody was mailed the secret of invite {invite}"));
        assert!(
            self.memory.secrets.values().all(|known| *known != mailed),
            "invite {invite} has an old secret"
        );
        self.memory.secrets.insert(secret, mailed);
    }

    /// The secret of that number, or one of no invite.
    pub fn invite_secret(&self, secret: Id) -> Secret {
        let known = self.memory.secrets.get(&secret).cloned();
        known.unwrap_or_else(|| Secret::generate(Prefix::Invite).unwrap())
    }

    /// The invite of that number, or one that is not there.
    pub fn invite_id(&self, invite: Id) -> InviteId {
        self.memory.invites.get(&invite).copied().unwrap_or_else(|| uuid(999_999).into())
    }

    pub fn invite_number(&self, id: InviteId) -> Id {
        self.memory.invites.iter().find(|(_, known)| **known == id).map_or(0, |(number, _)| *number)
    }

    /// SQL for a moment.
    pub fn moment(&self, millis: i64) -> String {
        match self.database.engine {
            Engine::Sqlite => millis.to_string(),
            Engine::Postgres => format!("to_timestamp({millis} / 1000.0)"),
        }
    }

    /// SQL for an id or other bytes as text.
    pub fn hex(&self, column: &str) -> String {
        match self.database.engine {
            Engine::Sqlite => format!("lower(hex({column}))"),
            Engine::Postgres => format!("replace(replace({column}::text, '-', ''), '\\x', '')"),
        }
    }

    /// SQL for a moment as a number.
    pub fn millis(&self, column: &str) -> String {
        match self.database.engine {
            Engine::Sqlite => format!("COALESCE({column}, 0)"),
            Engine::Postgres => format!("COALESCE((extract(epoch FROM {column}) * 1000)::bigint, 0)"),
        }
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

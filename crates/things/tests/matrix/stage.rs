//! People, and the places where they have their roles: made in the process, because there are many.

use std::{
    ops::Deref,
    sync::atomic::{AtomicU32, Ordering},
};

use registry::{
    Actor, Call, GroupId, InviteId, InviteKind, InviteMode, Invited, MemberRef, NewGroupInvite, NewMember,
    NewOrg, NewOrgInvite, NewToken, OrgId, Password, PlatformRole, ProfileId, Role, Secret, ThingId, TokenId,
    UserId, Within,
    credentials::{Asker, CredentialKind, Front},
    groups::NewGroup,
    mail::Letter,
    profiles::{NewProfile, ProfileConfig},
    text::Email,
    things::{CreatedThing, NewThing},
};

use crate::{
    app::{ROOT_PASSWORD, Running},
    persona::Persona,
};

/// An account, logged in.
#[derive(Clone)]
pub struct Person {
    pub id: UserId,
    pub email: Email,
    pub token: Secret,
    actor: Actor,
}

impl Person {
    /// A request of theirs.
    pub fn call(&self) -> Call {
        Call::new(self.actor.clone(), "test")
    }
}

/// A group in an organisation, with a profile and a thing on it.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub org: OrgId,
    pub group: GroupId,
    pub profile: ProfileId,
    pub thing: ThingId,
}

/// Everybody, still without a place.
pub struct People<'a> {
    pub server: &'a Running,
    root: Call,
    pub stranger: Person,
    viewer: Person,
    editor: Person,
    admin: Person,
    pub owner: Person,
    org_editor: Person,
    org_admin: Person,
    pub org_owner: Person,
    platform: Person,
    disabled: Person,
    /// A member of nothing whom requests are about.
    pub bystander: Person,
    /// A viewer of organisations whom requests are about.
    pub newcomer: Person,
    /// A viewer of organisations and groups whom requests are about.
    pub member: Person,
    /// Owns another group of the home's organisation.
    pub neighbour: Person,
    /// Owns another organisation.
    pub outsider: Person,
}

/// Everybody, with roles in their home.
pub struct Stage<'a> {
    people: People<'a>,
    pub write_token: Secret,
    pub read_token: Secret,
    pub group_token: Secret,
    pub other_token: Secret,
    /// Of the home's thing.
    pub thing_key: Secret,
    /// Of the home's thing.
    pub external_key: String,
    /// Where the personas have their roles.
    pub home: Place,
    /// The neighbour's, in the home's organisation.
    pub next_door: Place,
    /// In the home's organisation, where the home's editor, admin and owner only view.
    pub annex: Place,
    /// The outsider's; the owner is a viewer of the organisation.
    pub elsewhere: Place,
}

impl<'a> Deref for Stage<'a> {
    type Target = People<'a>;
    fn deref(&self) -> &People<'a> {
        &self.people
    }
}

/// A name that nothing else in this process has.
pub fn unique(what: &str) -> String {
    static MADE: AtomicU32 = AtomicU32::new(0);
    format!("{what} {}", MADE.fetch_add(1, Ordering::Relaxed))
}

/// A checked text with such a name.
fn named<T: for<'t> TryFrom<&'t str, Error: std::fmt::Debug>>(what: &str) -> T {
    T::try_from(&unique(what)).unwrap()
}

impl<'a> People<'a> {
    /// Everybody, new, on a server where others may be already.
    pub async fn new(server: &'a Running) -> Self {
        let root = Call::new(server.root().await.actor(&server.registry).await, "test");
        let person = async |name| person(server, &root, name, None).await;
        Self {
            server,
            stranger: person("stranger").await,
            viewer: person("viewer").await,
            editor: person("editor").await,
            admin: person("admin").await,
            owner: person("owner").await,
            org_editor: person("org-editor").await,
            org_admin: person("org-admin").await,
            org_owner: person("org-owner").await,
            platform: self::person(server, &root, "platform", Some(PlatformRole::Admin)).await,
            disabled: person("disabled").await,
            bystander: person("bystander").await,
            newcomer: person("newcomer").await,
            member: person("member").await,
            neighbour: person("neighbour").await,
            outsider: person("outsider").await,
            root: root.clone(),
        }
    }

    /// Somebody new whom requests are about.
    pub async fn person(&self, name: &str) -> Person {
        person(self.server, &self.root, name, None).await
    }

    /// A request of the platform's root, who arranges everything.
    pub fn root(&self) -> Call {
        self.root.clone()
    }

    /// What somebody gets by mail who forgot their password.
    pub async fn reset_ticket(&self, person: &Person) -> Secret {
        let call = Call::new(Actor::Anonymous, "test");
        let source = self.server.address.ip();
        self.server.registry.request_password_reset(&call, &person.email, source).await.unwrap();
        self.mailed_secret(&person.email).await
    }

    /// The secret in the first mail to this address that has one. Claimed here, because most mails are to
    /// members of the organisations that are made for each row, and need not be sent.
    pub async fn mailed_secret(&self, to: &Email) -> Secret {
        loop {
            let mails = self.server.registry.claim_mails(1000).await.unwrap();
            assert!(!mails.is_empty(), "no mail to {to}");
            for mail in mails {
                self.server.registry.mail_sent(&mail).await.unwrap();
                let secret = match mail.letter {
                    Letter::PasswordReset { secret, .. } => Some(secret),
                    Letter::Invite(invite) => invite.secret,
                    _ => None,
                };
                if let (true, Some(secret)) = (mail.to == *to, secret) {
                    return secret;
                }
            }
        }
    }

    /// Shuts somebody out.
    pub async fn disable(&self, person: &Person) {
        self.server.registry.disable_user(&self.root, person.id).await.unwrap();
    }

    /// Shuts a thing out.
    pub async fn disable_thing(&self, thing: ThingId) {
        self.server.registry.disable_thing(&self.root, thing, &registry::Expect::any()).await.unwrap();
    }

    /// An invite to an organisation, from somebody of whom no request is.
    pub async fn invite_to_org(&self, org: OrgId, person: &Person) -> InviteId {
        let new = NewOrgInvite {
            email: person.email.clone(),
            role: Role::Viewer,
            groups: Vec::new(),
            mode: InviteMode::Ask,
            redirect_path: None,
        };
        let made = self.server.registry.create_org_invites(&self.root, org, &[new], false).await.unwrap();
        invited(&made)
    }

    /// An invite to a group; the person comes into its organisation for it.
    pub async fn invite_to_group(&self, group: GroupId, person: &Person) -> InviteId {
        let registry = &self.server.registry;
        let org = registry.view_group(&self.root, group).await.unwrap().org_id;
        // Members already stay what they are.
        let _ = registry.add_org_members(&self.root, org, &[member(person, Role::Viewer)]).await;
        let new = NewGroupInvite { email: person.email.clone(), role: Role::Viewer, redirect_path: None };
        invited(&registry.create_group_invites(&self.root, group, &[new], false).await.unwrap())
    }

    /// An invite to a new organisation, or to a group of it, of which the person knows nothing.
    pub async fn invite_from_afar(&self, kind: InviteKind, person: &Person) -> InviteId {
        let org = self.org_by(&self.root).await;
        match kind {
            InviteKind::Org => self.invite_to_org(org, person).await,
            InviteKind::Group => {
                let group = self.bare_groups(org, 1).await[0];
                self.invite_to_group(group, person).await
            }
            InviteKind::Platform => unreachable!("it is to nobody"),
        }
    }

    /// An invite to the platform for somebody who has no account.
    pub async fn invite_somebody(&self) -> (InviteId, Email) {
        let email = address("nobody");
        let invite = self.server.registry.create_platform_invite(&self.root, &email, None).await.unwrap();
        (invite.id, email)
    }

    /// An organisation with everybody who is in one.
    pub async fn org(&self) -> OrgId {
        let org = self.org_of(&self.org_owner).await;
        let viewers = [
            &self.viewer,
            &self.editor,
            &self.admin,
            &self.owner,
            &self.newcomer,
            &self.member,
            &self.neighbour,
        ];
        let mut members: Vec<_> = viewers.map(|person| member(person, Role::Viewer)).to_vec();
        members.push(member(&self.org_editor, Role::Editor));
        members.push(member(&self.org_admin, Role::Admin));
        self.server.registry.add_org_members(&self.root, org, &members).await.unwrap();
        org
    }

    async fn org_of(&self, owner: &Person) -> OrgId {
        self.org_by(&owner.call()).await
    }

    async fn org_by(&self, owner: &Call) -> OrgId {
        let name = named("org");
        let new = NewOrg { id: None, name, description: Default::default(), metadata: Default::default() };
        self.server.registry.create_org(owner, &new).await.unwrap().id
    }

    /// Groups of an organisation with everybody who is in one, empty otherwise.
    pub async fn groups(&self, org: OrgId, count: usize) -> Vec<GroupId> {
        let mut made = Vec::with_capacity(count);
        for group in self.bare_groups(org, count).await {
            self.hand_over(group, &self.owner, &self.org_owner).await;
            let members = [
                member(&self.viewer, Role::Viewer),
                member(&self.editor, Role::Editor),
                member(&self.admin, Role::Admin),
                member(&self.member, Role::Viewer),
            ];
            self.server.registry.add_group_members(&self.root, group, &members).await.unwrap();
            made.push(group);
        }
        made
    }

    async fn bare_groups(&self, org: OrgId, count: usize) -> Vec<GroupId> {
        let new: Vec<_> = (0..count)
            .map(|_| NewGroup {
                id: None,
                name: named("group"),
                description: Default::default(),
                metadata: Default::default(),
            })
            .collect();
        let made = self.server.registry.create_groups(&self.root, org, &new).await.unwrap();
        made.into_iter().map(|group| group.id).collect()
    }

    /// The organisation's owner gets each new group; here it passes to somebody else, wholly.
    async fn hand_over(&self, group: GroupId, to: &Person, from: &Person) {
        let registry = &self.server.registry;
        registry.add_group_members(&self.root, group, &[member(to, Role::Viewer)]).await.unwrap();
        registry.transfer_group(&self.root, group, to.id).await.unwrap();
        registry.remove_group_members(&self.root, group, &[from.id]).await.unwrap();
    }

    /// Profiles of a group, unused.
    pub async fn profiles(&self, group: GroupId, count: usize) -> Vec<ProfileId> {
        let new: Vec<_> = (0..count)
            .map(|_| NewProfile {
                id: None,
                name: named("profile"),
                config: ProfileConfig::new(Default::default()).ok(),
                metadata: Default::default(),
            })
            .collect();
        let made = self.server.registry.create_profiles(&self.root, group, &new).await.unwrap();
        made.into_iter().map(|profile| profile.id).collect()
    }

    /// Things on a profile.
    pub async fn things(&self, profile: ProfileId, count: usize) -> Vec<CreatedThing> {
        let new: Vec<_> = (0..count)
            .map(|_| NewThing {
                id: None,
                name: named("thing"),
                kind: Default::default(),
                key: None,
                external_key: Some(named("serial")),
                metadata: Default::default(),
            })
            .collect();
        self.server.registry.create_things(&self.root, profile, &new).await.unwrap()
    }

    /// A profile and a thing in a group.
    pub async fn furnish(&self, org: OrgId, group: GroupId) -> (Place, CreatedThing) {
        let profile = self.profiles(group, 1).await[0];
        let thing = self.things(profile, 1).await.remove(0);
        (Place { org, group, profile, thing: thing.thing.id }, thing)
    }

    /// An access token of somebody's.
    pub async fn token(&self, of: &Person, can_write: bool, within: Option<Within>) -> (TokenId, Secret) {
        let new = NewToken { name: named("token"), can_write, within, expires_at: None };
        let made = self.server.registry.create_token(&of.call(), &new).await.unwrap();
        (made.token.id, made.value.unwrap())
    }
}

impl<'a> Stage<'a> {
    /// The home's thing shows its key as what it is not.
    pub async fn fail_a_check(&self) {
        let asker = Asker { front: Front::Http, source: None };
        let registry = &self.server.registry;
        let shown = registry.authenticate_device(CredentialKind::External, &self.thing_key, &asker).await;
        assert!(matches!(shown, Err(registry::Error::NotFound)), "{shown:?}");
        registry.write_activity().await.unwrap();
    }

    /// Everybody, new, on a server where others may be already.
    pub async fn on(server: &'a Running) -> Self {
        let people = People::new(server).await;
        let org = people.org().await;
        let group = people.groups(org, 1).await[0];
        let (home, thing) = people.furnish(org, group).await;

        let group = people.bare_groups(org, 1).await[0];
        people.hand_over(group, &people.neighbour, &people.org_owner).await;
        let (next_door, _) = people.furnish(org, group).await;

        let group = people.bare_groups(org, 1).await[0];
        let viewers =
            [&people.editor, &people.admin, &people.owner].map(|person| member(person, Role::Viewer));
        server.registry.add_group_members(&people.root, group, &viewers).await.unwrap();
        let (annex, _) = people.furnish(org, group).await;

        let org = people.org_of(&people.outsider).await;
        let viewer = member(&people.owner, Role::Viewer);
        server.registry.add_org_members(&people.root, org, &[viewer]).await.unwrap();
        let group = people.bare_groups(org, 1).await[0];
        let (elsewhere, _) = people.furnish(org, group).await;

        let (viewer, admin) = (member(&people.disabled, Role::Viewer), member(&people.disabled, Role::Admin));
        server.registry.add_org_members(&people.root, home.org, &[viewer]).await.unwrap();
        server.registry.add_group_members(&people.root, home.group, &[admin]).await.unwrap();
        people.disable(&people.disabled).await;

        Self {
            write_token: people.token(&people.owner, true, None).await.1,
            read_token: people.token(&people.owner, false, None).await.1,
            group_token: people.token(&people.owner, true, Some(Within::Group(home.group))).await.1,
            other_token: people.token(&people.owner, true, Some(Within::Org(elsewhere.org))).await.1,
            thing_key: thing.key.unwrap(),
            external_key: thing.thing.external_key.unwrap(),
            home,
            next_door,
            annex,
            elsewhere,
            people,
        }
    }

    /// Whose account a persona uses, if it has one.
    pub fn account(&self, persona: Persona) -> Option<&Person> {
        match persona {
            Persona::Anonymous | Persona::Thing => None,
            Persona::Stranger => Some(&self.stranger),
            Persona::Viewer => Some(&self.viewer),
            Persona::Editor => Some(&self.editor),
            Persona::Admin => Some(&self.admin),
            Persona::Owner
            | Persona::Token
            | Persona::ReadToken
            | Persona::GroupToken
            | Persona::OtherToken => Some(&self.owner),
            Persona::OrgEditor => Some(&self.org_editor),
            Persona::OrgAdmin => Some(&self.org_admin),
            Persona::OrgOwner => Some(&self.org_owner),
            Persona::Platform => Some(&self.platform),
            Persona::Disabled => Some(&self.disabled),
        }
    }

    /// What a persona writes into `Authorization`, to ask for something about this place.
    pub async fn credential(&self, persona: Persona, place: Place) -> Option<String> {
        let (scheme, secret) = match persona {
            Persona::Anonymous => return None,
            Persona::Thing => ("Thing", self.thing_key.clone()),
            Persona::Token => ("Bearer", self.write_token.clone()),
            Persona::ReadToken => ("Bearer", self.read_token.clone()),
            Persona::GroupToken if place.group == self.home.group => ("Bearer", self.group_token.clone()),
            Persona::GroupToken => {
                let (_, token) = self.token(&self.owner, true, Some(Within::Group(place.group))).await;
                ("Bearer", token)
            }
            Persona::OtherToken => ("Bearer", self.other_token.clone()),
            person => ("Bearer", self.account(person).unwrap().token.clone()),
        };
        Some(format!("{scheme} {}", secret.expose()))
    }
}

fn member(person: &Person, role: Role) -> NewMember {
    NewMember { who: MemberRef::Id(person.id), role }
}

/// The only one of these, which was made.
fn invited(made: &[Invited]) -> InviteId {
    match made {
        [Invited::Made(invite)] => invite.id,
        other => panic!("{other:?} is no invite"),
    }
}

fn address(name: &str) -> Email {
    Email::try_from(format!("{}@example.com", unique(name).replace(' ', "-")).as_str()).unwrap()
}

async fn person(server: &Running, root: &Call, name: &str, role: Option<PlatformRole>) -> Person {
    let email = address(name);
    let password = Password::try_from(Secret::new(ROOT_PASSWORD)).unwrap();
    server.registry.create_user(root, &email, &password, &Default::default(), role).await.unwrap();
    let session = server.log_in(email.as_str(), ROOT_PASSWORD).await;
    let actor = session.actor(&server.registry).await;
    let Actor::User(user) = &actor else { panic!("{email:?} is a person") };
    Person { id: user.id(), email, token: Secret::new(session.token()), actor }
}

//! Accounts, organisations and memberships from Mainflux's Users and Auth, which have databases of their own.

use std::collections::{BTreeMap, HashMap, HashSet};

use uuid::Uuid;

use super::{Adoption, Error, Result, look::Findings, org_adopted, patiently, rules};
use crate::{
    PlatformRole, UserStatus,
    access::Via,
    clock::{Clock, Timestamp},
    identity::password,
    ids::UserId,
    journal::{Changes, Entry, Subject},
    json::JsonObject,
    store::{
        Conn, Db,
        adopt::{look as rows, people as store},
    },
    text::{self, Description, Email, OrgName, TextError},
};

/// What was read.
#[derive(Default)]
pub struct People {
    users: Vec<store::ForeignUser>,
    orgs: Vec<store::ForeignOrg>,
    /// Organisation, member, role.
    members: Vec<(Uuid, Uuid, Option<String>)>,
    roles: HashMap<Uuid, String>,
    has_users: bool,
    has_orgs: bool,
}

/// What was taken over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// New accounts.
    pub users: usize,
    /// Organisations that were not taken over before.
    pub orgs: usize,
    /// New memberships of organisations.
    pub members: usize,
    /// Groups that have got an owner.
    pub owned: usize,
}

impl People {
    /// Reads them from one or more databases, each of which may have any part. Changes nothing there.
    pub async fn read(urls: &[String]) -> Result<Self> {
        let mut people = Self::default();
        for url in urls {
            let db = Db::connect(url, 2, Clock::system()).await?;
            let found = async { store::read(&mut db.read().await?).await }.await;
            db.close().await;
            let found = found?;
            if found.users.is_none() && found.orgs.is_none() {
                return Err(Error::refused(
                    "a database of --users-from has neither Mainflux's table `users` nor its table `orgs`: name \
                     those of the services Users and Auth (MF_USERS_DB, MF_AUTH_DB)"
                        .to_owned(),
                ));
            }
            people.has_users |= found.users.is_some();
            people.has_orgs |= found.orgs.is_some();
            people.users.extend(found.users.unwrap_or_default());
            people.orgs.extend(found.orgs.unwrap_or_default());
            people.members.extend(found.members.unwrap_or_default());
            people.roles.extend(found.roles.unwrap_or_default());
        }
        Ok(people)
    }

    /// What is missing for lack of a database, for a person.
    pub fn lacks(&self) -> Option<&'static str> {
        match (self.has_users, self.has_orgs) {
            (true, false) => Some(
                "no organisations were found: name Auth's database by another --users-from, or organisations are \
                 called by their ids and have no members",
            ),
            (false, true) => Some(
                "no accounts were found: name Users' database by another --users-from, or nobody can log in",
            ),
            _ => None,
        }
    }

    pub(super) fn counts(&self) -> [(&'static str, i64); 3] {
        let count = |rows: usize| i64::try_from(rows).unwrap_or(i64::MAX);
        [
            ("users", count(self.users.len())),
            ("orgs", count(self.orgs.len())),
            ("org_memberships", count(self.members.len())),
        ]
    }

    /// Who owns which organisation: by membership, or else by the organisation's own word.
    fn owners(&self) -> HashMap<Uuid, Uuid> {
        let named = self.orgs.iter().filter_map(|org| Some((org.id, org.owner_id?)));
        let members = self.members.iter().filter(|(.., role)| role.as_deref() == Some("owner"));
        named.chain(members.map(|(org, member, _)| (*org, *member))).collect()
    }
}

/// The hash, if it is one that can be checked, at a cost that is no attack.
fn checkable(user: &store::ForeignUser) -> Option<String> {
    user.password.clone().filter(|hash| password::is_bcrypt(hash) && password::is_hash(hash))
}

fn org_name(org: &store::ForeignOrg) -> (String, bool) {
    let tidied = text::tidied(&org.name);
    match OrgName::try_from(tidied.as_str()) {
        Ok(name) => (name.as_str().to_owned(), name.as_str() != org.name),
        Err(_) => (format!("org_{}", org.id), true),
    }
}

fn description(org: &store::ForeignOrg) -> Result<Description, TextError> {
    Description::tidied(org.description.as_deref().unwrap_or_default())
}

fn metadata(text: Option<&str>) -> Result<JsonObject, crate::json::JsonError> {
    match text {
        None | Some("null") => Ok(JsonObject::default()),
        Some(text) => JsonObject::parse(text),
    }
}

/// Looks for what is wrong with people, or with their absence.
pub(super) async fn judge(
    conn: &mut Conn,
    people: Option<&People>,
    findings: &mut Findings<'_>,
) -> Result<()> {
    let nobody = People::default();
    let people = people.unwrap_or(&nobody);
    let mut accounts: HashSet<Uuid> = store::accounts(conn).await?.into_iter().collect();
    let mut emails: HashMap<String, Uuid> = HashMap::new();
    for user in &people.users {
        accounts.insert(user.id);
        match Email::try_from(user.email.as_str()) {
            Err(_) => findings.add(&rules::EMAIL_UNFIT, "users", user.id, ""),
            Ok(email) => {
                if let Some(other) = emails.insert(email.as_str().to_owned(), user.id) {
                    findings.add(&rules::EMAIL_TWICE, "users", user.id, format!("as that of {other}"));
                }
            }
        }
        if checkable(user).is_none() {
            findings.add(&rules::PASSWORD_UNFIT, "users", user.id, "");
        }
        if let Err(error) = metadata(user.metadata.as_deref()) {
            findings.add(&rules::METADATA_UNFIT, "users", user.id, format!("metadata {error}"));
        }
    }
    let (addresses, ids): (Vec<String>, Vec<Uuid>) = emails.into_iter().unzip();
    for (id, _) in store::taken(conn, &ids, &addresses).await? {
        findings.add(&rules::EMAIL_TAKEN, "users", id, "");
    }

    let here = store::members(conn).await?;
    let mut owners = people.owners();
    owners.extend(here.iter().filter(|(.., role)| role == "owner").map(|(org, member, _)| (*org, *member)));
    for org in &people.orgs {
        if let Err(error) = metadata(org.metadata.as_deref()) {
            findings.add(&rules::METADATA_UNFIT, "orgs", org.id, format!("metadata {error}"));
        }
        if let (name, true) = org_name(org) {
            findings.add(&rules::NAME_UNTIDY, "orgs", org.id, format!("{:?} becomes {name:?}", org.name));
        }
        match description(org) {
            Ok(better) if better.as_str() == org.description.as_deref().unwrap_or_default() => {}
            Ok(_) => findings.add(&rules::DESCRIPTION_UNTIDY, "orgs", org.id, ""),
            Err(error) => findings.add(&rules::DESCRIPTION_TOO_LONG, "orgs", org.id, error.to_string()),
        }
    }
    let owned = |org: &Uuid| owners.get(org).is_some_and(|owner| accounts.contains(owner));
    let mut orgs: HashSet<Uuid> = rows::orgs(conn).await?.into_iter().collect();
    orgs.extend(people.orgs.iter().map(|org| org.id));
    let mut ownerless: Vec<&Uuid> = orgs.iter().filter(|org| !owned(org)).collect();
    ownerless.sort_unstable();
    for org in ownerless {
        findings.add(&rules::ORG_OWNERLESS, "orgs", org, "");
    }
    for (org, member, role) in &people.members {
        let id = format!("{org}/{member}");
        if !accounts.contains(member) {
            findings.add(&rules::ORG_MEMBER_UNKNOWN, "org_memberships", &id, "");
        } else if !matches!(role.as_deref(), Some("viewer" | "editor" | "admin" | "owner")) {
            findings.add(&rules::ROLE_UNKNOWN, "org_memberships", &id, role.clone().unwrap_or_default());
        }
    }
    let mut in_orgs: HashSet<(Uuid, Uuid)> =
        people.members.iter().map(|(org, member, _)| (*org, *member)).collect();
    in_orgs.extend(here.iter().map(|(org, member, _)| (*org, *member)));
    for (group, member, org) in rows::members(conn).await? {
        let id = format!("{group}/{member}");
        if !accounts.contains(&member) {
            findings.add(&rules::MEMBER_UNKNOWN, "group_memberships", &id, "");
        } else if !in_orgs.contains(&(org, member)) && owners.get(&org) != Some(&member) {
            findings.add(&rules::OUTSIDE_ORG, "group_memberships", &id, format!("organisation {org}"));
        }
    }
    for (group, org) in rows::ownerless(conn).await? {
        let rule = if owned(&org) { &rules::GROUP_GETS_OWNER } else { &rules::GROUP_OWNERLESS };
        findings.add(rule, "groups", group, format!("organisation {org}"));
    }
    Ok(())
}

impl Adoption {
    /// Takes accounts, organisations and memberships over, in one transaction. Done again it adds what has
    /// come since, and leaves the rest as it is here: who was removed stays so, and what was deleted, too.
    pub async fn take_people(&self, people: &People) -> Result<Taken> {
        patiently!(self.take(people))
    }

    async fn take(&self, people: &People) -> Result<Taken> {
        let mut tx = self.db.write().await?;
        let mut users = store::Users::default();
        for user in &people.users {
            let email = Email::try_from(user.email.as_str())
                .map_err(|_| Error::refused(format!("the address of account {} is none", user.id)))?;
            users.ids.push(user.id);
            users.emails.push(email.as_str().to_owned());
            users.passwords.push(checkable(user));
            users.statuses.push(UserStatus::from_stored(&user.status).as_str());
            let role = people.roles.get(&user.id).and_then(|role| PlatformRole::parse(role));
            users.platform_roles.push(role.map(PlatformRole::as_str));
            users.metadata.push(fit(metadata(user.metadata.as_deref()), user.id)?);
        }
        let new = store::add_users(&mut tx, &users).await?;

        let mut orgs = store::Orgs::default();
        let all: Vec<Uuid> = people.orgs.iter().map(|org| org.id).collect();
        let taken: HashSet<Uuid> = store::taken_orgs(&mut tx, &all).await?.into_iter().collect();
        for org in people.orgs.iter().filter(|org| !taken.contains(&org.id)) {
            orgs.ids.push(org.id);
            orgs.names.push(org_name(org).0);
            let described = description(org)
                .map_err(|error| Error::refused(format!("the description of {} {error}", org.id)))?;
            orgs.descriptions.push(described.as_str().to_owned());
            orgs.metadata.push(fit(metadata(org.metadata.as_deref()), org.id)?);
            orgs.created.push(org.created_at.filter(is_real));
            orgs.updated.push(org.updated_at.filter(is_real));
        }
        let named = store::add_orgs(&mut tx, &orgs).await?;

        let settled: HashSet<(Uuid, Uuid)> = store::settled_members(&mut tx).await?.into_iter().collect();
        let is_new = |org: &Uuid, member: &Uuid| !settled.contains(&(*org, *member));
        let mut members = (Vec::new(), Vec::new(), Vec::new());
        for (org, member, role) in people.members.iter().filter(|(org, member, _)| is_new(org, member)) {
            members.0.push(*org);
            members.1.push(*member);
            // A role that is none gives no access, and is reported as such.
            members.2.push(role.clone().unwrap_or_else(|| "none".to_owned()));
        }
        let owners: (Vec<Uuid>, Vec<Uuid>) =
            people.owners().into_iter().filter(|(org, member)| is_new(org, member)).unzip();
        let joined =
            store::add_members(&mut tx, (&members.0, &members.1, &members.2), (&owners.0, &owners.1)).await?;
        let joined: BTreeMap<_, _> =
            joined.into_iter().map(|(org, member, role)| ((org, member), role)).collect();
        let owned = store::own_groups(&mut tx).await?;

        let account = |id: &UserId| Entry::about(Via::System, "user.adopted", Subject::user(*id));
        let mut entries: Vec<Entry> = new.iter().map(account).collect();
        entries.extend(named.iter().map(|(id, name)| org_adopted(*id, name)));
        entries.extend(joined.iter().map(|((org, member), role)| {
            Entry::about(Via::System, "member.adopted", Subject::user(*member))
                .in_org(*org)
                .with(Changes::default().made("role", role))
        }));
        entries.extend(owned.iter().map(|(group, org, owner)| {
            Entry::about(Via::System, "group.transferred", Subject::user(*owner))
                .at(Some(*org), Some(*group))
                .with(Changes::default().made("role", "owner"))
        }));
        let taken = Taken { users: new.len(), orgs: named.len(), members: joined.len(), owned: owned.len() };
        self.commit(tx, entries).await?;
        Ok(taken)
    }
}

/// Whether it is a moment that can be written down: Mainflux's empty time is of the year 1.
fn is_real(moment: &Timestamp) -> bool {
    moment.millis() > 0
}

fn fit(metadata: Result<JsonObject, crate::json::JsonError>, of: Uuid) -> Result<String> {
    metadata
        .map(|object| object.to_text())
        .map_err(|error| Error::refused(format!("the metadata of {of} {error}")))
}

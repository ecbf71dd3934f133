//! What happened: one entry for each change, committed in the same transaction as the change.
//!
//! [`commit`] is the only way out of a write transaction, and it takes the entries; there is no
//! second door for a change without one. Secrets never get here: an entry names changed fields and
//! the values of those that are not secret.

use std::collections::BTreeMap;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::{
    Registry,
    access::{self, Action, Permit, Review, Target, Via},
    actor::Call,
    clock::Timestamp,
    credentials::Mark,
    error::{Error, Result},
    ids::{GroupId, InviteId, OrgId, ProfileId, SessionId, ThingId, TokenId, UserId},
    json::JsonObject,
    mail::{self, Letter},
    page::{Page, PageQuery},
    store::{self, Tx},
    text::{Email, SearchText},
};

/// What an entry is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subject {
    pub(crate) kind: &'static str,
    pub(crate) id: Uuid,
    pub(crate) name: Option<String>,
}

impl Subject {
    fn new(kind: &'static str, id: Uuid, name: Option<&str>) -> Self {
        Self { kind, id, name: name.map(str::to_owned) }
    }

    pub(crate) fn org(id: OrgId, name: &str) -> Self {
        Self::new("org", id.uuid(), Some(name))
    }

    pub(crate) fn group(id: GroupId, name: &str) -> Self {
        Self::new("group", id.uuid(), Some(name))
    }

    pub(crate) fn profile(id: ProfileId, name: &str) -> Self {
        Self::new("profile", id.uuid(), Some(name))
    }

    pub(crate) fn thing(id: ThingId, name: &str) -> Self {
        Self::new("thing", id.uuid(), Some(name))
    }

    /// A person, by id alone: addresses do not go into a journal that outlives them.
    pub(crate) fn user(id: UserId) -> Self {
        Self::new("user", id.uuid(), None)
    }

    /// An invite, by id alone: its invitee's address does not go into a journal that outlives them.
    pub(crate) fn invite(id: InviteId) -> Self {
        Self::new("invite", id.uuid(), None)
    }

    /// The installation as a whole, which has no id.
    pub(crate) fn platform() -> Self {
        Self::new("platform", Uuid::nil(), None)
    }

    pub(crate) fn session(id: SessionId) -> Self {
        Self::new("session", id.uuid(), None)
    }

    pub(crate) fn token(id: TokenId, name: &str) -> Self {
        Self::new("token", id.uuid(), Some(name))
    }
}

/// The fields a change touched, before and after, each as text: they may hold metadata.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes(BTreeMap<String, Box<RawValue>>);

impl Changes {
    /// Notes a field if it changed.
    #[must_use]
    pub(crate) fn field<T: Serialize + PartialEq>(self, name: &str, before: &T, after: &T) -> Self {
        #[derive(Serialize)]
        struct Change<'a, T> {
            after: &'a T,
            before: &'a T,
        }
        if before == after { self } else { self.note(name, &Change { after, before }) }
    }

    /// Notes a value that has no before.
    #[must_use]
    pub(crate) fn made(self, name: &str, after: impl Serialize) -> Self {
        self.note(name, &BTreeMap::from([("after", after)]))
    }

    /// Notes that a field changed whose values are secret.
    #[must_use]
    pub(crate) fn secret(self, name: &str) -> Self {
        self.note(name, &BTreeMap::<&str, ()>::new())
    }

    fn note(mut self, name: &str, change: &impl Serialize) -> Self {
        // Cannot fail: our own plain types always serialise.
        let change = serde_json::value::to_raw_value(change).unwrap_or_default();
        self.0.insert(name.to_owned(), change);
        self
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// An entry about to be committed.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) org: Option<OrgId>,
    pub(crate) group: Option<GroupId>,
    pub(crate) via: Via,
    pub(crate) action: &'static str,
    pub(crate) subject: Subject,
    /// As JSON text.
    pub(crate) changes: Option<String>,
    /// Whether only what devices do not depend on has changed.
    described: bool,
    /// Who is written to because of it.
    pub(crate) letters: Vec<(Email, Letter)>,
}

impl Entry {
    /// About something done by the right that `permit` proves, where the permit's object lives.
    pub(crate) fn by<A: Action, T: Target>(
        permit: &Permit<A, T>,
        action: &'static str,
        subject: Subject,
    ) -> Self {
        let (org, group) = permit.place();
        Self {
            org: Some(org),
            group,
            via: permit.via(),
            action,
            subject,
            changes: None,
            described: false,
            letters: Vec::new(),
        }
    }

    /// About something outside of organisations.
    pub(crate) fn about(via: Via, action: &'static str, subject: Subject) -> Self {
        Self {
            org: None,
            group: None,
            via,
            action,
            subject,
            changes: None,
            described: false,
            letters: Vec::new(),
        }
    }

    /// Places it in an organisation that has only just been made.
    #[must_use]
    pub(crate) fn in_org(mut self, org: OrgId) -> Self {
        self.org = Some(org);
        self
    }

    /// Places it somewhere else than the permit's object: a new group inside an organisation.
    #[must_use]
    pub(crate) fn in_group(mut self, group: GroupId) -> Self {
        self.group = Some(group);
        self
    }

    /// Places it where an invite leads.
    #[must_use]
    pub(crate) fn at(mut self, org: Option<OrgId>, group: Option<GroupId>) -> Self {
        (self.org, self.group) = (org, group);
        self
    }

    #[must_use]
    pub(crate) fn with(mut self, changes: Changes) -> Self {
        const DESCRIPTIONS: [&str; 3] = ["name", "description", "metadata"];
        self.described =
            !changes.is_empty() && changes.0.keys().all(|field| DESCRIPTIONS.contains(&field.as_str()));
        // Cannot fail: it is text in a map already.
        self.changes = (!changes.is_empty()).then(|| serde_json::to_string(&changes.0).unwrap_or_default());
        self
    }

    /// What of devices' authentication may have changed. Made from the entry, so that no change can
    /// forget it.
    pub(crate) fn marks(&self) -> Vec<Mark> {
        let object = Mark::Object(self.subject.id);
        match (self.subject.kind, self.action) {
            ("thing", "thing.created") => vec![Mark::Credentials],
            ("thing", "thing.key_revealed") => Vec::new(),
            ("thing" | "profile" | "group", _) if self.described => Vec::new(),
            ("thing", _) => vec![object, Mark::Credentials],
            ("profile", "profile.created") | ("group", "group.created") => Vec::new(),
            ("profile" | "group", _) => vec![object],
            ("platform", "platform.restored") => vec![Mark::Everything],
            _ => Vec::new(),
        }
    }

    /// Whether what is still to be mailed about its subject is true no more: an invite that was answered,
    /// withdrawn or sent again.
    fn supersedes(&self) -> bool {
        self.subject.kind == "invite" && self.action != "invite.created"
    }

    /// Writes to somebody about it, once it is committed. An entry may have several letters.
    #[must_use]
    pub(crate) fn mail(mut self, to: &Email, letter: Letter) -> Self {
        self.letters.push((to.clone(), letter));
        self
    }
}

/// Writes entries ahead of the commit, for a use case that has more of them than should be in memory
/// together. They count only if [`commit`] follows.
pub(crate) async fn note(tx: &mut Tx, call: &Call, entries: &[Entry]) -> Result<()> {
    if let Some(dry_run) = &call.dry_run {
        dry_run.note(entries);
        return Ok(());
    }
    store::journal::append(tx, call, entries).await.map(drop)
}

/// Writes the entries with their letters and, for a repeatable request, the sealed answer; then
/// commits. A dry run is told the entries, and rolled back.
pub(crate) async fn commit<T: Serialize + DeserializeOwned>(
    registry: &Registry,
    mut tx: Tx,
    call: &Call,
    entries: Vec<Entry>,
    answer: T,
) -> Result<T> {
    if let Some(dry_run) = &call.dry_run {
        dry_run.note(&entries);
        tx.roll_back().await?;
        dry_run.end();
        return Ok(answer);
    }
    let ids = store::journal::append(&mut tx, call, &entries).await?;
    let letters = if registry.outbox.open {
        let superseded: Vec<Uuid> =
            entries.iter().filter(|entry| entry.supersedes()).map(|entry| entry.subject.id).collect();
        store::mails::withdraw(&mut tx, &superseded).await?;
        mail::seal(&registry.keyring, &registry.ids, tx.now(), &entries, &ids)?
    } else {
        Vec::new()
    };
    if !letters.is_empty() {
        store::mails::insert(&mut tx, &letters).await?;
    }
    if let Some(replay) = call.replay.as_ref().map(|replay| replay.digests(&registry.keyring)) {
        let record = zeroize::Zeroizing::new(serde_json::to_vec(&answer).map_err(Error::internal)?);
        let sealed = registry.keyring.seal(&replay.name, &record)?;
        store::replay::keep(&mut tx, &replay, &sealed).await?;
    }
    let marks = tx.take_marks();
    if entries.is_empty() && marks.is_empty() {
        // Somebody has made this change before, perhaps only just.
        registry.until_settled(tx).await?;
        return Ok(answer);
    }
    let told = store::nodes::announce(&mut tx, registry.node, &marks).await?;
    let committed = tx.commit_raw().await;
    // Whatever became of it: a commit whose outcome is unknown may have happened, or happen yet.
    registry.devices.changed(&marks);
    if matches!(committed, Err(Error::OutcomeUnknown)) {
        registry.devices.doubt();
    }
    committed?;
    if let Some(xid) = told {
        registry.until_heard(&xid).await;
    }
    if !letters.is_empty() {
        registry.outbox.stored();
    }
    Ok(answer)
}

/// An entry as read back.
#[derive(Clone, Debug)]
pub struct Record {
    /// Ordered; gaps are normal.
    pub id: i64,
    /// When.
    pub at: Timestamp,
    /// In which organisation.
    pub org_id: Option<OrgId>,
    /// In which group.
    pub group_id: Option<GroupId>,
    /// `user`, `thing`, `system` or `anonymous`.
    pub actor_kind: String,
    /// Who.
    pub actor_id: Option<Uuid>,
    /// By what right.
    pub via: String,
    /// What: `thing.created`, `group.updated`, …
    pub action: String,
    /// What kind of object it happened to.
    pub subject_kind: String,
    /// Which object.
    pub subject_id: Uuid,
    /// Its name at that time.
    pub subject_name: Option<String>,
    /// Changed fields, before and after.
    pub changes: Option<JsonObject>,
    /// The request it was part of.
    pub request_id: String,
}

/// Which entries.
#[derive(Clone, Debug, Default)]
pub struct JournalFilter {
    /// In this organisation.
    pub org: Option<OrgId>,
    /// In this group.
    pub group: Option<GroupId>,
    /// By this user or thing.
    pub actor: Option<Uuid>,
    /// This action, or all of a kind by `thing.` with nothing after the point.
    pub action: Option<SearchText>,
    /// About this object.
    pub subject: Option<Uuid>,
    /// At or after this moment.
    pub since: Option<Timestamp>,
    /// Before this moment.
    pub until: Option<Timestamp>,
}

/// The journal is ordered by its ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct JournalOrder;

impl Registry {
    /// Reads the journal of the scopes the caller administers: groups by a role of admin there,
    /// what concerns an organisation itself by a role of admin in it; owners of an organisation
    /// read all of it, platform administrators everything.
    pub async fn list_journal(
        &self,
        call: &Call,
        filter: &JournalFilter,
        query: &PageQuery<JournalOrder>,
    ) -> Result<Page<Record>> {
        let mut conn = self.db.read().await?;
        let visible = access::Administered::of(call)?;
        // A named scope that the caller may see but not administer is refused, not shown as empty.
        // One that is gone is left to the filter: owners still read what happened in it.
        let mut named = false;
        if let Some(group) = filter.group {
            named = true;
            refused_only(access::permit::<Review, _>(&mut conn, call, group).await)?;
        } else if let Some(org) = filter.org {
            named = true;
            refused_only(access::permit::<Review, _>(&mut conn, call, org).await)?;
        }
        let page = store::journal::list(&mut conn, &self.keyring, &visible, filter, query).await?;
        if named && page.total == 0 && !self.scope_is_mine(&mut conn, call, filter).await? {
            return Err(Error::NotFound);
        }
        Ok(page)
    }

    async fn scope_is_mine(
        &self,
        conn: &mut store::Conn,
        call: &Call,
        filter: &JournalFilter,
    ) -> Result<bool> {
        let found = match (filter.group, filter.org) {
            (Some(group), _) => access::permit::<Review, _>(conn, call, group).await.map(drop),
            (None, Some(org)) => access::permit::<Review, _>(conn, call, org).await.map(drop),
            (None, None) => Ok(()),
        };
        match found {
            Ok(()) => Ok(true),
            Err(Error::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn refused_only<T>(found: Result<T>) -> Result<()> {
    match found {
        Ok(_) | Err(Error::NotFound) => Ok(()),
        Err(error) => Err(error),
    }
}

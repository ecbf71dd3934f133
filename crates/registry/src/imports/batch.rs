//! One batch of rows into an open transaction: what cannot be done is found out row by row, and leaves no
//! trace there.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use super::{ImportKeys, ImportOptions, ImportRow, ProfileRef, Rejection, holders::Holders, upsert::Found};
use crate::{
    Registry,
    access::{self, Edit, Permit},
    actor::Call,
    error::{Error, FieldError, Result},
    ids::{GroupId, ProfileId, ThingId},
    journal::{self, Changes, Entry, Subject},
    secret::{Secret, Verifier},
    store::{self, Tx, imports::Claim, lock, lock::GroupLock, things::NewRow},
    things::ThingStatus,
};

/// What became of a row.
#[derive(Debug)]
pub(super) enum Outcome {
    Created { id: ThingId, generated: bool },
    Updated,
    Unchanged,
    Rejected(Vec<FieldError>),
}

/// What became of a batch's rows, from its first one on.
pub(super) struct Written {
    pub(super) outcomes: Vec<Outcome>,
    /// Why those that are left were not tried.
    pub(super) ended: Option<Error>,
}

/// A row on its way, with the thing that it makes, where that is known from the row alone.
pub(super) struct Prepared {
    pub(super) row: std::result::Result<ImportRow, Rejection>,
    pub(super) made: Option<NewRow>,
}

/// Where rows go, as far as one transaction has locked it.
pub(super) struct Place {
    pub(super) group: Permit<Edit, GroupId>,
    profiles: HashMap<ProfileRef, ProfileId>,
    permits: Vec<Permit<Edit, ProfileId>>,
}

/// A row that nothing speaks against yet.
pub(super) struct Plan<'r> {
    /// Which row of the batch.
    at: usize,
    pub(super) row: &'r ImportRow,
    pub(super) profile: Option<ProfileId>,
    /// The thing to make, unless there is one to change.
    made: Option<std::borrow::Cow<'r, NewRow>>,
    pub(super) found: Option<Found<'r>>,
    /// Of what the row brings.
    pub(super) key: Option<Verifier>,
    pub(super) external: Option<Verifier>,
}

impl Place {
    /// Locks the group, and those of its profiles that rows name, and asks whether the caller may.
    pub(super) async fn open(
        tx: &mut Tx,
        call: &Call,
        group: GroupId,
        wanted: &[ProfileRef],
    ) -> Result<Self> {
        lock::groups(tx, &[group], GroupLock::Contents).await?;
        let group: Permit<Edit, GroupId> = access::permit(tx, call, group).await?;
        let profiles = store::imports::profiles(tx, &group, wanted).await?;
        let ids: Vec<ProfileId> = profiles.values().copied().collect();
        lock::profiles_shared(tx, &ids).await?;
        let permits = match access::permit_all(tx, call, &ids).await {
            // One went between the look and the lock.
            Err(Error::NotFound) => return Err(Error::Collision),
            permits => permits?,
        };
        Ok(Self { group, profiles, permits })
    }

    pub(super) fn profile(&self, id: ProfileId) -> Option<&Permit<Edit, ProfileId>> {
        let at = self.permits.binary_search_by_key(&id, Permit::target).ok()?;
        self.permits.get(at)
    }
}

impl Registry {
    /// Writes a batch's rows, and tells what became of each, in order. It ends before a row by which the caller
    /// would be told of more keys of strangers than may be.
    pub(super) async fn write_rows(
        &self,
        tx: &mut Tx,
        call: &Call,
        (options, keys): (&ImportOptions, &ImportKeys),
        place: &Place,
        rows: &[Prepared],
    ) -> Result<Written> {
        let mut outcomes: BTreeMap<usize, Outcome> = BTreeMap::new();
        let mut good: Vec<(usize, &ImportRow, Option<&NewRow>)> = Vec::with_capacity(rows.len());
        let mut seen = Seen::default();
        for (at, prepared) in rows.iter().enumerate() {
            let errors = match &prepared.row {
                Ok(row) => seen.repeats(row),
                Err(rejection) => rejection.errors.clone(),
            };
            match &prepared.row {
                Ok(row) if errors.is_empty() => good.push((at, row, prepared.made.as_ref())),
                _ => drop(outcomes.insert(at, Outcome::Rejected(errors))),
            }
        }
        let known = match options.upsert {
            Some(by) => self.known(tx, call, place, by, good.iter().map(|(_, row, _)| *row)).await?,
            None => Default::default(),
        };
        // Told of keys that strangers hold a few times an hour: the right to be told is taken before the look.
        let brings = good.iter().any(|(_, row, _)| row.key.is_some() || row.external_key.is_some());
        let mut probe = None;
        if brings {
            match self.probes.take(call).await {
                Ok(taken) => probe = Some(taken),
                Err(error) => return Ok(Written { outcomes: Vec::new(), ended: Some(error) }),
            }
        }
        let mut plans = Vec::with_capacity(good.len());
        for (at, row, made) in good {
            match self.plan(options, keys, place, known.find(options.upsert, row), at, row, made) {
                Ok(plan) => plans.push(plan),
                Err(Error::Invalid(errors)) => drop(outcomes.insert(at, Outcome::Rejected(errors))),
                Err(error) => return Err(error),
            }
        }

        let mut parts = vec![plans];
        let mut ended = None;
        // In the order of the rows.
        while let Some(mut part) = parts.pop() {
            store::imports::savepoint(tx).await?;
            match self.write(tx, call, place, &part).await {
                Ok((entries, done)) => {
                    store::imports::release(tx).await?;
                    journal::note(tx, call, &entries).await?;
                    outcomes.extend(done);
                }
                Err(Error::Conflict(conflict)) => {
                    store::imports::undo(tx).await?;
                    let claims: Vec<Claim<'_>> = part.iter().map(Plan::claim).collect();
                    let clashes = store::imports::clashes(tx, place.group.target(), &claims).await?;
                    drop(claims);
                    let holders = Holders::of(tx, call, &place.group, &clashes).await?;
                    let strange: Vec<usize> = part
                        .iter()
                        .zip(&clashes)
                        .filter(|(_, clash)| clash.is_some_and(|clash| holders.is_strange(clash)))
                        .map(|(plan, _)| plan.at)
                        .collect();
                    if !strange.is_empty() {
                        let told = probe.take().map_or(0, |probe| probe.tell(strange.len()));
                        // For keys that others take just now; what is left was looked up, and clashes with nothing.
                        let next = self.probes.take(call).await;
                        if told < strange.len() {
                            // Right behind the last one: to stop before the next would tell of that, too.
                            let last = told.checked_sub(1).and_then(|last| strange.get(last));
                            let end = match last {
                                Some(at) => at + 1,
                                None => part.first().map_or(0, |plan| plan.at),
                            };
                            part.retain(|plan| plan.at < end);
                            parts.clear();
                            drop(outcomes.split_off(&end));
                            let wait = Error::TooMany { retry_after: Duration::from_secs(1) };
                            ended = Some(next.err().unwrap_or(wait));
                        } else {
                            probe = next.ok();
                        }
                    }
                    let all = part.len();
                    let mut rest = Vec::with_capacity(part.len());
                    for (plan, clash) in part.into_iter().zip(clashes) {
                        match clash {
                            Some(clash) => {
                                let error = holders.told(clash);
                                drop(outcomes.insert(plan.at, Outcome::Rejected(vec![error])));
                            }
                            None => rest.push(plan),
                        }
                    }
                    if rest.len() == all {
                        // Rows in each other's way, or a thing made in this moment: halves, until it is found.
                        match rest.len() {
                            0 => {}
                            1 => outcomes.extend(rest.into_iter().map(|plan| {
                                let error = FieldError::new(
                                    conflict.kind.field().unwrap_or("row"),
                                    conflict.kind.to_string(),
                                );
                                (plan.at, Outcome::Rejected(vec![error]))
                            })),
                            len => {
                                let later = rest.split_off(len / 2);
                                parts.extend([later, rest]);
                            }
                        }
                    } else if !rest.is_empty() {
                        parts.push(rest);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Written { outcomes: outcomes.into_values().collect(), ended })
    }

    /// The thing that a row makes, if it makes one.
    pub(super) fn made(&self, keys: &ImportKeys, row: &ImportRow) -> Result<Option<NewRow>> {
        let Some(name) = &row.name else { return Ok(None) };
        let id = row.id.unwrap_or_else(|| keys.id(row.row));
        let key = row.key.clone().unwrap_or_else(|| keys.key(row.row));
        Ok(Some(NewRow {
            id,
            name: name.as_str().to_owned(),
            kind: row.kind.unwrap_or_default(),
            metadata: row.metadata.as_ref().map_or_else(|| "{}".to_owned(), crate::JsonObject::to_text),
            verifier: self.verifier_of(&key),
            chosen: row.key.is_some(),
            external: row.external_key.as_ref().map(|external| {
                let verifier = self.keyring.verifier(&Secret::new(external.as_str()));
                (external.as_str().to_owned(), verifier)
            }),
            sealed: self.seal_key(id, &key)?,
        }))
    }

    #[expect(clippy::too_many_arguments, reason = "a row meets all of it here")]
    fn plan<'r>(
        &self,
        options: &ImportOptions,
        keys: &ImportKeys,
        place: &Place,
        found: Option<Found<'r>>,
        at: usize,
        row: &'r ImportRow,
        made: Option<&'r NewRow>,
    ) -> Result<Plan<'r>> {
        let default = if found.is_some() { None } else { options.profile.map(ProfileRef::Id) };
        let profile = match row.profile.as_ref().or(default.as_ref()) {
            Some(wanted) => match place.profiles.get(wanted) {
                Some(profile) => Some(*profile),
                None => {
                    let field = if matches!(wanted, ProfileRef::Id(_)) { "profile_id" } else { "profile" };
                    return Err(Error::invalid(field, "is no profile of this group"));
                }
            },
            None => None,
        };
        let verifier = |text: &str| self.keyring.verifier(&Secret::new(text));
        let mut plan = Plan {
            at,
            row,
            profile,
            made: None,
            key: row.key.as_ref().map(|key| self.verifier_of(key)),
            external: row.external_key.as_ref().map(|external| verifier(external.as_str())),
            found,
        };
        if let Some(found) = &plan.found {
            if row.id.is_some_and(|id| id != found.before.id) {
                return Err(Error::invalid(
                    "id",
                    "is not that of the thing that the row is about; leave it out",
                ));
            }
            return Ok(plan);
        }
        if profile.is_none() {
            return Err(Error::invalid(
                "profile",
                "is required to make a thing; add a column `profile`, or give `profile_id` for all rows",
            ));
        }
        plan.made = match made {
            Some(made) => Some(std::borrow::Cow::Borrowed(made)),
            None => self.made(keys, row)?.map(std::borrow::Cow::Owned),
        };
        match plan.made {
            Some(_) => Ok(plan),
            None => Err(Error::invalid("name", "is required: there is no such thing yet, and one is made")),
        }
    }

    /// Writes all of a part's rows, or fails.
    async fn write(
        &self,
        tx: &mut Tx,
        call: &Call,
        place: &Place,
        part: &[Plan<'_>],
    ) -> Result<(Vec<Entry>, Vec<(usize, Outcome)>)> {
        let (mut entries, mut outcomes) = (Vec::with_capacity(part.len()), Vec::with_capacity(part.len()));
        for plan in part {
            if let Some(found) = &plan.found {
                let changed = self.change(tx, place, plan, found).await?;
                let outcome = if changed.is_empty() { Outcome::Unchanged } else { Outcome::Updated };
                outcomes.push((plan.at, outcome));
                entries.extend(changed);
            }
        }
        let mut by_profile: BTreeMap<ProfileId, Vec<&NewRow>> = BTreeMap::new();
        let mut disabled = Vec::new();
        for plan in part {
            let (Some(made), Some(profile)) = (plan.made.as_deref(), plan.profile) else { continue };
            by_profile.entry(profile).or_default().push(made);
            outcomes.push((plan.at, Outcome::Created { id: made.id, generated: !made.chosen }));
            if plan.row.status == Some(ThingStatus::Disabled) {
                disabled.push(made.id);
            }
        }
        for (profile, things) in &by_profile {
            let permit = place.profile(*profile).ok_or(Error::NotFound)?;
            store::things::insert(tx, permit, things).await?;
            entries.extend(
                things
                    .iter()
                    .map(|thing| Entry::by(permit, "thing.created", Subject::thing(thing.id, &thing.name))),
            );
        }
        if !disabled.is_empty() {
            let names: HashMap<ThingId, &str> =
                by_profile.values().flatten().map(|thing| (thing.id, thing.name.as_str())).collect();
            let permits: Vec<Permit<Edit, ThingId>> = access::permit_all(tx, call, &disabled).await?;
            for permit in &permits {
                store::things::set_status(tx, permit, ThingStatus::Disabled).await?;
                let changes =
                    Changes::default().field("status", &ThingStatus::Enabled, &ThingStatus::Disabled);
                let name = names.get(&permit.target()).copied().unwrap_or_default();
                let subject = Subject::thing(permit.target(), name);
                entries.push(Entry::by(permit, "thing.disabled", subject).with(changes));
            }
        }
        Ok((entries, outcomes))
    }
}

impl Plan<'_> {
    fn claim(&self) -> Claim<'_> {
        let made = self.made.as_deref();
        Claim {
            owner: self.found.as_ref().map(|found| found.before.id),
            id: made.map(|made| made.id),
            name: self.row.name.as_ref().map(|name| name.as_str()),
            key: made.map(|made| &made.verifier).or(self.key.as_ref()),
            external: self.external.as_ref(),
        }
    }
}

/// What rows of a batch have brought that no two things can have.
#[derive(Default)]
struct Seen<'r> {
    ids: HashMap<ThingId, u64>,
    names: HashMap<&'r str, u64>,
    /// Keys and external keys: one value names one thing.
    credentials: HashMap<&'r str, u64>,
}

impl<'r> Seen<'r> {
    /// What an earlier row has brought already; a row that repeats something brings nothing.
    fn repeats(&mut self, row: &'r ImportRow) -> Vec<FieldError> {
        let (id, name) = (row.id, row.name.as_ref().map(|name| name.as_str()));
        let key = row.key.as_ref().map(|key| key.secret().expose());
        let external = row.external_key.as_ref().map(|external| external.as_str());
        let mut errors = Vec::new();
        let mut refuse = |field: &'static str, earlier: Option<&u64>| {
            errors.extend(earlier.map(|row| FieldError::new(field, format!("is the same as in row {row}"))));
        };
        refuse("id", id.and_then(|id| self.ids.get(&id)));
        refuse("name", name.and_then(|name| self.names.get(name)));
        refuse("key", key.and_then(|key| self.credentials.get(key)));
        refuse("external_key", external.and_then(|external| self.credentials.get(external)));
        if key.is_some() && key == external {
            errors.push(FieldError::new("external_key", "must differ from the key"));
        }
        if errors.is_empty() {
            self.ids.extend(id.map(|id| (id, row.row)));
            self.names.extend(name.map(|name| (name, row.row)));
            self.credentials.extend([key, external].into_iter().flatten().map(|text| (text, row.row)));
        }
        errors
    }
}

/// The distinct profiles that rows name.
pub(super) fn profiles_of(rows: &[Prepared], options: &ImportOptions) -> Vec<ProfileRef> {
    let named = rows.iter().filter_map(|prepared| prepared.row.as_ref().ok()?.profile.clone());
    let all: HashSet<ProfileRef> = named.chain(options.profile.map(ProfileRef::Id)).collect();
    all.into_iter().collect()
}

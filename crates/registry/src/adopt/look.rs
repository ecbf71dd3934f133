//! The look at a database: before anything is changed, what it is and what will be done; and each row that breaks
//! a rule of ours, then and again as long as Mainflux may write.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use super::{
    Adoption, Result,
    people::People,
    rules::{self, Fate, Offence, Rule},
};
use crate::{
    ids::{GroupId, ProfileId, ThingId},
    journal::Subject,
    json::JsonObject,
    profiles::ProfileConfig,
    secret::{Prefix, Secret},
    store::{
        self,
        adopt::{look as rows, shape::Plan},
    },
    text::{self, Description, GroupName, ProfileName, TextError, ThingName},
};

pub(crate) use rows::Named;

/// The tables whose rows have names.
pub(super) const NAMED: [Named; 3] = [Named::Groups, Named::Profiles, Named::Things];

/// What was found.
#[derive(Clone, Debug)]
pub struct Look {
    pub(crate) plan: Plan,
    /// What the database is.
    pub source: String,
    /// What makes its tables ours, before ours are added.
    pub steps: Vec<String>,
    /// Rows in each table; of accounts and organisations those that come along.
    pub rows: Vec<(&'static str, i64)>,
    /// How many rows break each rule that is broken.
    pub offences: BTreeMap<&'static str, (&'static Rule, u64)>,
}

impl Look {
    /// How many rows have this fate.
    pub fn count(&self, fate: Fate) -> u64 {
        self.offences.values().filter(|(rule, _)| rule.fate == fate).map(|(_, count)| count).sum()
    }
}

/// Whom offences are told to.
pub type Tell<'t> = &'t mut (dyn FnMut(&Offence) + Send);

/// Counts offences and passes them on.
pub(super) struct Findings<'t> {
    counts: BTreeMap<&'static str, (&'static Rule, u64)>,
    tell: Tell<'t>,
}

impl<'t> Findings<'t> {
    pub(super) fn new(tell: Tell<'t>) -> Self {
        Self { counts: BTreeMap::new(), tell }
    }

    pub(super) fn refused(&self) -> u64 {
        self.counts.values().filter(|(rule, _)| rule.fate == Fate::Refused).map(|(_, count)| count).sum()
    }

    pub(super) fn add(
        &mut self,
        rule: &'static Rule,
        table: &'static str,
        id: impl ToString,
        detail: impl Into<String>,
    ) {
        self.counts.entry(rule.code).or_insert((rule, 0)).1 += 1;
        (self.tell)(&Offence { rule, table, id: id.to_string(), detail: detail.into() });
    }
}

impl Named {
    pub(super) fn table(self) -> &'static str {
        match self {
            Self::Groups => "groups",
            Self::Profiles => "profiles",
            Self::Things => "things",
        }
    }

    /// The name that the row should have, if it is another one.
    pub(super) fn tidy(self, id: Uuid, name: &str) -> Result<Option<String>, TextError> {
        let mut tidied = text::tidied(name);
        if tidied.is_empty() {
            // As Mainflux names what it finds without a name.
            let prefix = match self {
                Self::Groups => "gr",
                Self::Profiles => "pr",
                Self::Things => "th",
            };
            tidied = format!("{prefix}_{id}");
        }
        match self {
            Self::Groups => GroupName::try_from(tidied.as_str()).map(drop),
            Self::Profiles => ProfileName::try_from(tidied.as_str()).map(drop),
            Self::Things => ThingName::try_from(tidied.as_str()).map(drop),
        }?;
        Ok((tidied != name).then_some(tidied))
    }

    /// What the journal says of a row that was renamed.
    pub(super) fn about(self, id: Uuid, name: &str) -> (&'static str, Subject) {
        match self {
            Self::Groups => ("group.updated", Subject::group(GroupId::from(id), name)),
            Self::Profiles => ("profile.updated", Subject::profile(ProfileId::from(id), name)),
            Self::Things => ("thing.updated", Subject::thing(ThingId::from(id), name)),
        }
    }
}

impl rows::NamedRow {
    /// The description that the row should have, if it is another one.
    pub(super) fn tidy_description(&self) -> Result<Option<String>, TextError> {
        let Some(before) = &self.description else { return Ok(None) };
        let tidied = Description::tidied(before)?;
        Ok((tidied.as_str() != before).then(|| tidied.as_str().to_owned()))
    }
}

/// A name that will be, in its place, and the row that gets it.
type Tidied = HashMap<(Uuid, String), Uuid>;

impl Adoption {
    /// Looks at what the database is and at every row, and changes nothing. `tell` hears of each that breaks a
    /// rule, in no particular order.
    pub async fn look(&self, people: Option<&People>, tell: Tell<'_>) -> Result<Look> {
        let mut conn = self.db.read().await?;
        let plan = store::adopt::shape::recognise(&mut conn).await?;
        let has = rows::has(&mut conn).await?;
        let mut rows = rows::counts(&mut conn, has).await?;
        rows.extend(people.into_iter().flat_map(People::counts));
        let mut findings = Findings::new(tell);
        examine(&mut conn, has, people, &mut findings).await?;
        Ok(Look {
            source: plan.source.clone(),
            steps: plan.steps.iter().map(|step| step.says.clone()).collect(),
            plan,
            rows,
            offences: findings.counts,
        })
    }
}

impl Adoption {
    /// Looks at every row of a database that was looked at before: Mainflux may have written since. Tells how many
    /// rows are refused.
    pub async fn look_again(&self, people: Option<&People>, tell: Tell<'_>) -> Result<u64> {
        let mut conn = self.db.read().await?;
        let has = rows::has(&mut conn).await?;
        let mut findings = Findings::new(tell);
        examine(&mut conn, has, people, &mut findings).await?;
        Ok(findings.refused())
    }
}

async fn examine(
    conn: &mut store::Conn,
    has: rows::Has,
    people: Option<&People>,
    findings: &mut Findings<'_>,
) -> Result<()> {
    rows::ask(conn, has, &mut |rule, table, id, detail| findings.add(rule, table, id, detail)).await?;
    for (id, key) in rows::keys_like_ours(conn).await? {
        if !Secret::new(key).is_well_formed(Prefix::ThingKey) {
            findings.add(&rules::KEY_LOOKS_OURS, "things", id, "");
        }
    }
    for table in NAMED {
        let mut tidied = Tidied::new();
        let mut after = None;
        loop {
            let page = rows::page(conn, table, after).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            for row in &page {
                judge(table, row, &mut tidied, findings);
            }
        }
        clashes(conn, table, &tidied, findings).await?;
    }
    super::people::judge(conn, people, findings).await
}

fn judge(table: Named, row: &rows::NamedRow, tidied: &mut Tidied, findings: &mut Findings<'_>) {
    let name = table.table();
    for (column, text) in [("metadata", &row.metadata), ("config", &row.config)] {
        let Some(text) = text.as_ref().filter(|text| text.as_str() != "null") else { continue };
        match JsonObject::parse(text) {
            Err(error) => findings.add(&rules::METADATA_UNFIT, name, row.id, format!("{column} {error}")),
            Ok(object) if column == "config" => {
                if let Some(faults) = ProfileConfig::faults(object) {
                    findings.add(&rules::CONFIG_UNFIT, name, row.id, faults);
                }
            }
            Ok(_) => {}
        }
    }
    match row.tidy_description() {
        Ok(None) => {}
        Ok(Some(_)) => findings.add(&rules::DESCRIPTION_UNTIDY, name, row.id, ""),
        Err(error) => findings.add(&rules::DESCRIPTION_TOO_LONG, name, row.id, error.to_string()),
    }
    match table.tidy(row.id, &row.name) {
        Ok(None) => {}
        Ok(Some(better)) => {
            findings.add(&rules::NAME_UNTIDY, name, row.id, format!("{:?} becomes {better:?}", row.name));
            if let Some(other) = tidied.insert((row.place, better.clone()), row.id) {
                findings.add(&rules::NAME_TAKEN, name, row.id, format!("{better:?}, as {other} would be"));
            }
        }
        Err(error) => findings.add(&rules::NAME_TOO_LONG, name, row.id, error.to_string()),
    }
}

/// The tidied names that rows have already which need no tidying.
async fn clashes(
    conn: &mut store::Conn,
    table: Named,
    tidied: &Tidied,
    findings: &mut Findings<'_>,
) -> Result<()> {
    const MANY: usize = 1000;
    let all: Vec<_> = tidied.keys().collect();
    for part in all.chunks(MANY) {
        let places: Vec<Uuid> = part.iter().map(|(place, _)| *place).collect();
        let names: Vec<String> = part.iter().map(|(_, name)| name.clone()).collect();
        for (place, name, other) in rows::taken(conn, table, &places, &names).await? {
            if let Some(id) = tidied.get(&(place, name.clone())) {
                findings.add(&rules::NAME_TAKEN, table.table(), id, format!("{name:?}, as {other} is"));
            }
        }
    }
    Ok(())
}

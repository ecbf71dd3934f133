//! Whose the keys are that rows clash with, and what of that the caller is told: all of it where they may see the
//! keys anyway, and otherwise only that a key cannot be used.

use crate::{
    access::{self, Edit, Inspect, Permit},
    actor::Call,
    error::{ConflictKind, FieldError, Result},
    ids::GroupId,
    store::{Tx, imports::Clash},
};

/// The groups that hold them, as far as the caller may see their things' keys.
pub(super) struct Holders {
    here: GroupId,
    yours: Vec<GroupId>,
}

impl Holders {
    pub(super) async fn of(
        tx: &mut Tx,
        call: &Call,
        here: &Permit<Edit, GroupId>,
        clashes: &[Option<Clash>],
    ) -> Result<Self> {
        let here = here.target();
        let holds = clashes.iter().filter_map(|clash| clash.as_ref()?.group());
        let mut others: Vec<GroupId> = holds.filter(|group| *group != here).collect();
        others.sort_unstable();
        others.dedup();
        if others.is_empty() {
            return Ok(Self { here, yours: others });
        }
        let permits: Vec<Permit<Inspect, GroupId>> = access::permit_some(tx, call, &others).await?;
        Ok(Self { here, yours: permits.iter().map(Permit::target).collect() })
    }

    /// Whether the clash tells something of somebody else's things.
    pub(super) fn is_strange(&self, clash: Clash) -> bool {
        clash.group().is_some_and(|group| group != self.here && !self.yours.contains(&group))
    }

    /// What a row is rejected with.
    pub(super) fn told(&self, clash: Clash) -> FieldError {
        let held = |group| match group {
            group if group == self.here => {
                "is a key or external key of another thing of this group".to_owned()
            }
            group if self.yours.contains(&group) => {
                format!("is a key or external key of a thing of your group {group}")
            }
            _ => ConflictKind::CredentialUnavailable.to_string(),
        };
        match clash {
            Clash::Id => FieldError::new("id", ConflictKind::IdTaken.to_string()),
            Clash::Name => FieldError::new("name", ConflictKind::ThingNameTaken.to_string()),
            Clash::Key(group) => FieldError::new("key", held(group)),
            Clash::External(group) => FieldError::new("external_key", held(group)),
        }
    }
}

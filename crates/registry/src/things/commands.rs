//! Which things may command which.

use super::ThingType;
use crate::{
    Registry,
    error::{Error, Result},
    ids::{GroupId, ThingId},
    store,
};

impl ThingType {
    /// What kinds of things this kind may command. Messages are not commands: everything may send them.
    pub fn commands(self) -> &'static [Self] {
        match self {
            Self::Controller | Self::Gateway => &[Self::Sensor, Self::Actuator, Self::Device],
            Self::Device => &[Self::Device],
            Self::Sensor | Self::Actuator => &[],
        }
    }
}

/// Where a thing is, and what kind it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) group: GroupId,
    /// `None` for a stored value that nothing recognises: it commands nothing and is commanded by nothing.
    pub(crate) kind: Option<ThingType>,
    /// A disabled thing commands nothing. It may still be commanded: what waits for it reaches it when it
    /// is let in again.
    pub(crate) enabled: bool,
}

impl Position {
    /// The kinds of things that it may command.
    fn kinds(self) -> &'static [ThingType] {
        self.kind.filter(|_| self.enabled).map(ThingType::commands).unwrap_or_default()
    }

    fn commands(self, other: Self) -> bool {
        self.group == other.group && other.kind.is_some_and(|kind| self.kinds().contains(&kind))
    }
}

impl Registry {
    /// Whether a thing may command another: enabled, both of one group, and of kinds that allow it. For
    /// services that have authenticated the first; [`Error::NotFound`] where one of them does not exist.
    pub async fn can_command(&self, publisher: ThingId, recipient: ThingId) -> Result<bool> {
        let mut conn = self.db.read().await?;
        let found = store::credentials::positions(&mut conn, &[publisher, recipient]).await?;
        let position = |id| found.get(&id).copied().ok_or(Error::NotFound);
        Ok(position(publisher)?.commands(position(recipient)?))
    }

    /// Whether a thing may command the things of a group: its own, if it is enabled and its kind
    /// commands any.
    pub async fn can_command_group(&self, publisher: ThingId, group: GroupId) -> Result<bool> {
        let mut conn = self.db.read().await?;
        let found = store::credentials::positions(&mut conn, &[publisher]).await?;
        let position = found.get(&publisher).ok_or(Error::NotFound)?;
        Ok(!position.kinds().is_empty() && position.group == group)
    }
}

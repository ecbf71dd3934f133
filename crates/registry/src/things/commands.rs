//! Which things may command which.

use super::ThingType;
use crate::{
    Registry,
    credentials::Standing,
    error::Result,
    ids::{GroupId, ThingId},
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

impl Standing {
    /// The kinds of things that it may command.
    fn kinds(&self) -> &'static [ThingType] {
        self.kind.filter(|_| self.enabled).map(ThingType::commands).unwrap_or_default()
    }

    fn commands(&self, other: &Self) -> bool {
        self.place.group == other.place.group && other.kind.is_some_and(|kind| self.kinds().contains(&kind))
    }
}

impl Registry {
    /// Whether a thing may command another: enabled, both of one group, and of kinds that allow it. For
    /// services that have authenticated the first; [`crate::Error::NotFound`] where one of them does not exist.
    pub async fn can_command(&self, publisher: ThingId, recipient: ThingId) -> Result<bool> {
        Ok(self.standing(publisher).await?.commands(&self.standing(recipient).await?))
    }

    /// Whether a thing may command the things of a group: its own, if it is enabled and its kind
    /// commands any.
    pub async fn can_command_group(&self, publisher: ThingId, group: GroupId) -> Result<bool> {
        let publisher = self.standing(publisher).await?;
        Ok(!publisher.kinds().is_empty() && publisher.place.group == group)
    }
}

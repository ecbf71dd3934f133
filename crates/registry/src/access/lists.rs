//! What lists show: conditions on the rows, made from who asks.

use super::{Permit, View};
use crate::{
    actor::{Call, Within},
    error::Result,
    ids::{GroupId, OrgId, ProfileId, UserId},
    store::sql::{Arg, Sql},
};

/// What a list may show: a condition on the group (or organisation) that each row belongs to.
pub(crate) struct Visible {
    user: UserId,
    everything: bool,
    within: Option<Within>,
    place: Place,
}

enum Place {
    Everywhere,
    Org(OrgId),
    Group(GroupId),
    Profile(ProfileId),
}

impl Visible {
    /// Everything the caller has a role for.
    pub(crate) fn everywhere(call: &Call) -> Result<Self> {
        Self::at(call, Place::Everywhere)
    }

    /// Within an organisation the caller belongs to: still only the groups they have a role in.
    pub(crate) fn in_org(call: &Call, permit: &Permit<View, OrgId>) -> Result<Self> {
        Self::at(call, Place::Org(permit.target()))
    }

    /// All of one group.
    pub(crate) fn in_group(call: &Call, permit: &Permit<View, GroupId>) -> Result<Self> {
        Self::at(call, Place::Group(permit.target()))
    }

    /// All of one profile.
    pub(crate) fn in_profile(call: &Call, permit: &Permit<View, ProfileId>) -> Result<Self> {
        Self::at(call, Place::Profile(permit.target()))
    }

    fn at(call: &Call, place: Place) -> Result<Self> {
        let user = call.user()?;
        Ok(Self { user: user.id, everything: user.is_platform_admin(), within: user.within(), place })
    }

    /// Whether it is some of all groups, each of them as a whole, and not just one.
    pub(crate) fn is_of_groups(&self) -> bool {
        match self.place {
            Place::Everywhere => !self.everything || matches!(self.within, Some(Within::Org(_))),
            Place::Org(_) => true,
            Place::Group(_) | Place::Profile(_) => false,
        }
    }

    /// The condition on a column that holds a group's id. `profile` names the column of the
    /// profile's id, for lists that have one.
    pub(crate) fn groups(&self, group: &'static str, profile: Option<&'static str>) -> Sql {
        let mut sql = Sql::default();
        match self.place {
            // A permit for the place has been shown.
            Place::Group(id) => {
                sql.push(group).push(" = ").bind(Arg::Id(id.uuid()));
                return sql;
            }
            Place::Profile(id) => {
                sql.push(profile.unwrap_or("profile_id")).push(" = ").bind(Arg::Id(id.uuid()));
                return sql;
            }
            Place::Org(id) => {
                sql.push(group)
                    .push(" IN (SELECT id FROM groups WHERE org_id = ")
                    .bind(Arg::Id(id.uuid()))
                    .push(")");
            }
            Place::Everywhere => {
                sql.push("1 = 1");
            }
        }
        match self.within {
            Some(Within::Org(id)) => {
                sql.push(" AND ").push(group);
                sql.push(" IN (SELECT id FROM groups WHERE org_id = ").bind(Arg::Id(id.uuid())).push(")");
            }
            Some(Within::Group(id)) => {
                sql.push(" AND ").push(group).push(" = ").bind(Arg::Id(id.uuid()));
            }
            None => {}
        }
        if !self.everything {
            sql.push(" AND ").push(group);
            sql.push(" IN (SELECT group_id FROM group_memberships WHERE member_id = ")
                .bind(Arg::Id(self.user.uuid()));
            sql.push(" AND role IN ('viewer', 'editor', 'admin', 'owner')");
            sql.push(" UNION ALL SELECT g.id FROM groups g JOIN org_memberships o ON o.org_id = g.org_id WHERE o.member_id = ");
            sql.bind(Arg::Id(self.user.uuid())).push(" AND o.role = 'owner')");
        }
        sql
    }

    /// The condition on a column that holds an organisation's id.
    pub(crate) fn orgs(&self, org: &'static str) -> Sql {
        let mut sql = Sql::new("1 = 1");
        match self.within {
            Some(Within::Org(id)) => {
                sql.push(" AND ").push(org).push(" = ").bind(Arg::Id(id.uuid()));
            }
            // A token for one group sees no organisation.
            Some(Within::Group(_)) => {
                sql.push(" AND 1 = 0");
            }
            None => {}
        }
        if !self.everything {
            sql.push(" AND ").push(org);
            sql.push(" IN (SELECT org_id FROM org_memberships WHERE member_id = ")
                .bind(Arg::Id(self.user.uuid()));
            sql.push(" AND role IN ('viewer', 'editor', 'admin', 'owner'))");
        }
        sql
    }
}

/// What part of the journal an actor may read.
pub(crate) struct Administered {
    user: UserId,
    everything: bool,
    within: Option<Within>,
}

impl Administered {
    pub(crate) fn of(call: &Call) -> Result<Self> {
        let user = call.user()?;
        Ok(Self { user: user.id, everything: user.is_platform_admin(), within: user.within() })
    }

    /// The condition on the columns of an entry's organisation and group.
    pub(crate) fn scopes(&self, org: &'static str, group: &'static str) -> Sql {
        let mut sql = Sql::new("1 = 1");
        match self.within {
            Some(Within::Org(id)) => {
                sql.push(" AND ").push(org).push(" = ").bind(Arg::Id(id.uuid()));
            }
            Some(Within::Group(id)) => {
                sql.push(" AND ").push(group).push(" = ").bind(Arg::Id(id.uuid()));
            }
            None => {}
        }
        if !self.everything {
            let user = Arg::Id(self.user.uuid());
            sql.push(" AND (")
                .push(group)
                .push(" IN (SELECT group_id FROM group_memberships WHERE member_id = ");
            sql.bind(user.clone())
                .push(" AND role IN ('admin', 'owner')) OR (")
                .push(group)
                .push(" IS NULL AND ");
            sql.push(org)
                .push(" IN (SELECT org_id FROM org_memberships WHERE member_id = ")
                .bind(user.clone());
            sql.push(" AND role = 'admin')) OR ").push(org);
            sql.push(" IN (SELECT org_id FROM org_memberships WHERE member_id = ")
                .bind(user)
                .push(" AND role = 'owner'))");
        }
        sql
    }
}

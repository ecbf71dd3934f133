//! What is there now, of what the file speaks of.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    super::{
        Failure,
        asked::{Asked, PAGE, text},
        trouble::exit,
    },
    wanted::Wanted,
};

/// An organisation as it is.
pub(super) struct Found {
    pub(super) org: String,
    /// Who asks: they are never removed by what is not in a file.
    pub(super) me: String,
    pub(super) members: Vec<Value>,
    /// All of them, by name.
    pub(super) groups: BTreeMap<String, Group>,
}

/// A group; what is in it is read only if the file names it.
pub(super) struct Group {
    pub(super) id: String,
    pub(super) value: Value,
    pub(super) members: Vec<Value>,
    pub(super) profiles: Vec<Value>,
    pub(super) things: Vec<Value>,
}

impl Found {
    pub(super) async fn read(asked: &Asked<'_>, wanted: &Wanted) -> Result<Self, Failure> {
        let org = asked.org_named(&wanted.organisation).await?;
        let me = text(&asked.read("ask who you are", "/users/profile").await?, "id").to_owned();
        let place = format!("/orgs/{org}");
        let members = match wanted.members {
            Some(_) => members_of(asked, &place, "org_memberships").await?,
            None => Vec::new(),
        };
        let mut groups = BTreeMap::new();
        for value in all(asked, &format!("{place}/groups"), "groups").await? {
            let (id, name) = (text(&value, "id").to_owned(), text(&value, "name").to_owned());
            let mut group = Group {
                id: id.clone(),
                value,
                members: Vec::new(),
                profiles: Vec::new(),
                things: Vec::new(),
            };
            if let Some(wanted) = wanted.groups().iter().find(|wanted| wanted.name == name) {
                let place = format!("/groups/{id}");
                if wanted.members.is_some() {
                    group.members = members_of(asked, &place, "group_memberships").await?;
                }
                if wanted.profiles.is_some() || wanted.things.is_some() {
                    group.profiles = all(asked, &format!("{place}/profiles"), "profiles").await?;
                }
                if wanted.things.is_some() {
                    group.things = all(asked, &format!("{place}/things"), "things").await?;
                }
            }
            groups.insert(name, group);
        }
        Ok(Self { org, me, members, groups })
    }
}

async fn all(asked: &Asked<'_>, path: &str, items: &'static str) -> Result<Vec<Value>, Failure> {
    let pages = asked.client.get(path).query("limit", PAGE.to_string()).query("dir", "asc").pages(items);
    pages.collect(usize::MAX).await.map_err(|error| Failure::asking(&format!("read the {items}"), &error))
}

async fn members_of(asked: &Asked<'_>, place: &str, items: &'static str) -> Result<Vec<Value>, Failure> {
    let members = all(asked, &format!("{place}/memberships"), items).await?;
    if members.iter().any(|member| text(member, "email").is_empty()) {
        return Err(Failure::Told {
            code: exit::FORBIDDEN,
            text: "cannot compare members: only admins see their addresses\n  Leave `members` out of the file, or ask an admin.".to_owned(),
        });
    }
    Ok(members)
}

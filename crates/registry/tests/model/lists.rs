//! What lists should show: everything that the filters let through, in order.

use registry::{Denial, Dir, InviteKind, Role};
use serde_json::Value;

use super::{
    commands::{Id, List, Listed, Object, Order, Place, ROOT, Scope},
    inviting::Inbox,
    policy::{Asker, Deed},
    reference::{Answer, Entry, Outcome, Party, Refusal, World, address, parse},
    walk::in_order,
};

/// A row with what it is sorted by.
type Row = (Vec<u8>, u64, Value);

impl World {
    /// The whole list, of which the registry answers one page after the other.
    pub fn list(&self, asker: &Asker, list: &List) -> Outcome {
        let mut rows = match list.what {
            Listed::Orgs => self.list_objects(asker, list, self.orgs.keys().map(|id| Object::Org(*id))),
            Listed::Groups(scope) => {
                self.seen(asker, scope)?;
                self.list_objects(
                    asker,
                    list,
                    self.within(scope, self.groups.keys().map(|id| Object::Group(*id))),
                )
            }
            Listed::Profiles(scope) => {
                self.seen(asker, scope)?;
                let all = self.profiles.keys().map(|id| Object::Profile(*id));
                self.list_objects(asker, list, self.within(scope, all))
            }
            Listed::Things(scope) => {
                self.seen(asker, scope)?;
                let all = self.things.keys().map(|id| Object::Thing(*id));
                self.list_objects(asker, list, self.within(scope, all))
            }
            Listed::Members(place) => self.list_members(asker, list, place)?,
            Listed::Tokens => {
                asker.oneself(false)?;
                let mine = self.tokens.iter().filter(|(_, token)| token.person == asker.person);
                mine.map(|(id, _)| (Vec::new(), *id, self.token_row(*id))).collect()
            }
            Listed::Journal(scope) => self.list_journal(asker, scope)?,
            Listed::Invites(inbox) => self.list_invites(asker, list, inbox)?,
        };
        rows.sort_by(|(a, x, _), (b, y, _)| (a, x).cmp(&(b, y)));
        if list.dir == Dir::Desc {
            rows.reverse();
        }
        let mut rows = rows.into_iter().map(|(_, _, row)| row).collect();
        if matches!(list.what, Listed::Journal(_)) {
            rows = in_order(rows);
        }
        Ok(Answer { rows, keys: Vec::new() })
    }

    /// A place that is named must be one's own to see.
    fn seen(&self, asker: &Asker, scope: Scope) -> Result<(), Refusal> {
        match scope {
            Scope::Everywhere => Ok(()),
            Scope::Org(id) => self.may(asker, Object::Org(id), Deed::View).map(drop),
            Scope::Group(id) => self.may(asker, Object::Group(id), Deed::View).map(drop),
            Scope::Profile(id) => self.may(asker, Object::Profile(id), Deed::View).map(drop),
        }
    }

    fn within(&self, scope: Scope, objects: impl Iterator<Item = Object>) -> impl Iterator<Item = Object> {
        objects.filter(move |object| match scope {
            Scope::Everywhere => true,
            Scope::Org(id) => self.place_of(*object).is_some_and(|(org, _)| org == id),
            Scope::Group(id) => self.place_of(*object).is_some_and(|(_, group)| group == Some(id)),
            Scope::Profile(id) => match object {
                Object::Thing(thing) => self.things[thing].profile == id,
                _ => false,
            },
        })
    }

    fn list_objects(&self, asker: &Asker, list: &List, objects: impl Iterator<Item = Object>) -> Vec<Row> {
        let mut rows = Vec::new();
        for object in objects {
            let Some(right) = self.right(asker, object) else { continue };
            let (id, name, metadata) = match object {
                Object::Org(id) => (id, self.orgs[&id].name, &self.orgs[&id].metadata),
                Object::Group(id) => (id, self.groups[&id].name, &self.groups[&id].metadata),
                Object::Profile(id) => (id, self.profiles[&id].name, &self.profiles[&id].metadata),
                Object::Thing(id) => (id, self.things[&id].name, &self.things[&id].metadata),
            };
            if list.text.is_none_or(|text| has(name, text))
                && list.metadata.is_none_or(|wanted| contains(metadata, &parse(wanted)))
                && self.fits(object, list)
            {
                rows.push((self.sort_key(object, name, list.order), id, self.row(object, right.role)));
            }
        }
        rows
    }

    /// The filters that only one kind of list has.
    fn fits(&self, object: Object, list: &List) -> bool {
        match object {
            Object::Thing(id) => {
                let thing = &self.things[&id];
                list.kind.is_none_or(|kind| thing.kind == kind)
                    && list.external.is_none_or(|external| thing.external == Some(external))
            }
            Object::Profile(id) => list.content_type.is_none_or(|wanted| {
                let config = self.profiles[&id].config.as_ref();
                config.and_then(|config| config["content_type"].as_str()) == Some(wanted)
            }),
            Object::Org(_) | Object::Group(_) => true,
        }
    }

    fn sort_key(&self, object: Object, name: &str, order: Order) -> Vec<u8> {
        let time = |party: &Party| match order {
            Order::Created => party.created_at.to_be_bytes().to_vec(),
            Order::Updated => party.updated_at.to_be_bytes().to_vec(),
            _ => Vec::new(),
        };
        match (order, object) {
            (Order::Name, _) => name.to_ascii_lowercase().into_bytes(),
            (Order::Kind, Object::Thing(id)) => self.things[&id].kind.as_str().into(),
            (_, Object::Org(id)) => time(&self.orgs[&id]),
            (_, Object::Group(id)) => time(&self.groups[&id]),
            _ => Vec::new(),
        }
    }

    /// Addresses, and looking for or sorting by them, are for admins.
    fn list_members(&self, asker: &Asker, list: &List, place: Place) -> Result<Vec<Row>, Refusal> {
        let right = self.may(asker, place.into(), Deed::View)?;
        let addresses = right.role >= Role::Admin;
        if !addresses && (list.text.is_some() || list.order == Order::Email) {
            return Err(Refusal::Forbidden(Denial::Role));
        }
        let mut rows = Vec::new();
        for (person, role) in &self.party(place).unwrap().members {
            let own = address(self.people[*person].address);
            if list.text.is_none_or(|text| has(&own, text)) && list.role.is_none_or(|wanted| *role == wanted)
            {
                let key = if list.order == Order::Email { own.into_bytes() } else { Vec::new() };
                rows.push((key, *person as u64, self.member_row(*person, *role, addresses)));
            }
        }
        Ok(rows)
    }

    /// Those to a place are for its admins, a person's own for them, and all for the root. What carries
    /// an organisation's invite is shown to those who ask for its kind.
    fn list_invites(&self, asker: &Asker, list: &List, inbox: Inbox) -> Result<Vec<Row>, Refusal> {
        match inbox {
            Inbox::Everything if asker.person != ROOT => {
                return Err(Refusal::Forbidden(Denial::PlatformOnly));
            }
            Inbox::Everything => asker.oneself(false)?,
            Inbox::ToOrg(id) => drop(self.may(asker, Object::Org(id), Deed::Review)?),
            Inbox::ToGroup(id) => drop(self.may(asker, Object::Group(id), Deed::Review)?),
            Inbox::Received(person) | Inbox::Sent(person) => {
                if person != asker.person && asker.person != ROOT {
                    return Err(Refusal::NotFound);
                }
                asker.oneself(false)?;
                self.people.get(person).ok_or(Refusal::NotFound)?;
            }
        }
        let mut rows = Vec::new();
        for (id, invite) in &self.invites {
            let here = match inbox {
                Inbox::Everything => true,
                Inbox::ToOrg(id) => invite.kind == InviteKind::Org && invite.org == Some(id),
                Inbox::ToGroup(id) => invite.group == Some(id),
                Inbox::Received(person) => invite.invitee == Some(person),
                Inbox::Sent(person) => invite.inviter == person,
            };
            let kind = list.invite.map_or(invite.carries.is_none(), |kind| kind == invite.kind);
            if here && kind && list.state.is_none_or(|state| state == self.state_of(invite)) {
                let by_time = list.order == Order::Created;
                let key = if by_time { invite.created_at.to_be_bytes().to_vec() } else { Vec::new() };
                rows.push((key, *id, self.invite_row(*id)));
            }
        }
        Ok(rows)
    }

    /// Of the journal one reads what one administers.
    fn list_journal(&self, asker: &Asker, scope: Scope) -> Result<Vec<Row>, Refusal> {
        let named = match scope {
            Scope::Org(id) => Some(Object::Org(id)),
            Scope::Group(id) => Some(Object::Group(id)),
            Scope::Everywhere | Scope::Profile(_) => None,
        };
        let right = named.map(|object| self.right(asker, object));
        if right.flatten().is_some_and(|right| right.role < Role::Admin) {
            return Err(Refusal::Forbidden(Denial::Role));
        }
        let rows: Vec<Row> = (0u64..)
            .zip(&self.journal)
            .filter(|(_, entry)| match scope {
                Scope::Org(id) => entry.org == Some(id),
                Scope::Group(id) => entry.group == Some(id),
                Scope::Everywhere | Scope::Profile(_) => true,
            })
            .filter(|(_, entry)| self.reads(asker, entry))
            .map(|(at, entry)| (Vec::new(), at, Self::entry_row(entry)))
            .collect();
        if rows.is_empty() && matches!(right, Some(None)) {
            return Err(Refusal::NotFound);
        }
        Ok(rows)
    }

    fn reads(&self, asker: &Asker, entry: &Entry) -> bool {
        let bound = match asker.within {
            None => true,
            Some(Place::Org(id)) => entry.org == Some(id),
            Some(Place::Group(id)) => entry.group == Some(id),
        };
        let role =
            |place: Place| self.party(place).and_then(|party| party.members.get(&asker.person)).copied();
        let in_group = entry.group.and_then(|id: Id| role(Place::Group(id)));
        let in_org = entry.org.and_then(|id| role(Place::Org(id)));
        bound
            && (asker.person == ROOT
                || in_group >= Some(Role::Admin)
                || in_org == Some(Role::Owner)
                || (entry.group.is_none() && in_org == Some(Role::Admin)))
    }
}

fn has(name: &str, text: &str) -> bool {
    name.to_ascii_lowercase().contains(&text.to_ascii_lowercase())
}

/// Containment as PostgreSQL's `@>` has it inside of objects.
fn contains(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            part.iter().all(|(name, part)| whole.get(name).is_some_and(|whole| contains(whole, part)))
        }
        (Value::Array(whole), Value::Array(part)) => {
            part.iter().all(|part| whole.iter().any(|whole| contains(whole, part)))
        }
        (Value::Number(whole), Value::Number(part)) => whole.as_f64() == part.as_f64(),
        (whole, part) => whole == part,
    }
}

//! Mainflux's backup of its Things service: one JSON object with arrays of things, profiles, groups and
//! memberships, keys in clear. It is read once for each array, so that none of them is ever in memory.
//!
//! Organisations and accounts are not in it. An organisation is made for each `org_id`, named after it; whoever
//! restores owns it and its groups. Memberships of others are left out, because members of groups belong to the
//! organisation, and that takes an account.

use std::{
    cell::Cell as Shared,
    collections::HashSet,
    fmt,
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
    rc::Rc,
};

use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{
    lines::{MAX_LINE, MAX_ROWS, refusal, time},
    reading::{Batch, Batches, Place, hand_on},
    tables::{Cell, Table},
};
use crate::{
    Registry,
    clock::Timestamp,
    credentials::{ExternalKey, ThingKey},
    error::{Error, FieldError, Result},
    ids::{ThingId, UserId},
    json::JsonObject,
    profiles::ProfileConfig,
    secret::Secret,
    text::{Description, GroupName, ProfileName, ThingName},
    things::ThingType,
};

const GROUPS: &str = "groups";
const PROFILES: &str = "profiles";
const THINGS: &str = "things";
const MEMBERSHIPS: &str = "group_memberships";
const ARRAYS: [&str; 4] = [GROUPS, PROFILES, THINGS, MEMBERSHIPS];

/// How many items of each kind there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Items {
    pub(crate) rows: u64,
    pub(crate) memberships: u64,
}

/// Reads all of it: whether it is what it should be, as a whole, and how much there is.
pub(crate) fn examine(file: &File) -> Result<Items> {
    let mut items = Items::default();
    walk(file, &ARRAYS, &mut |array, item, _| {
        if items.rows + items.memberships >= MAX_ROWS {
            return Err(refusal(
                Place::Item(array, item),
                "",
                format!("there are more than {MAX_ROWS} items"),
            ));
        }
        if array == MEMBERSHIPS {
            items.memberships += 1
        } else {
            items.rows += 1
        }
        Ok(())
    })?;
    if items.rows == 0 {
        return Err(refusal("body", "", "must have groups, profiles or things"));
    }
    Ok(items)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupItem {
    id: String,
    org_id: String,
    name: String,
    description: Option<String>,
    metadata: Option<Box<RawValue>>,
    created_at: Option<String>,
    updated_at: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProfileItem {
    id: String,
    group_id: String,
    name: String,
    config: Option<Box<RawValue>>,
    metadata: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ThingItem {
    id: String,
    group_id: String,
    profile_id: String,
    name: String,
    key: String,
    external_key: Option<String>,
    metadata: Option<Box<RawValue>>,
    r#type: Option<String>,
}

/// Checks the fields of one item, and keeps all that is wrong.
struct Fields {
    place: Place,
    errors: Vec<FieldError>,
}

impl Fields {
    fn of(array: &'static str, item: u64) -> Self {
        Self { place: Place::Item(array, item), errors: Vec::new() }
    }

    fn valid<T, E: fmt::Display>(&mut self, field: &str, found: std::result::Result<T, E>) -> Option<T> {
        match found {
            Ok(value) => Some(value),
            Err(reason) => {
                let error = FieldError::new(format!("{}: {field}", self.place), reason.to_string());
                self.errors.push(error);
                None
            }
        }
    }

    fn id(&mut self, field: &str, text: &str) -> Cell {
        self.valid(field, text.parse::<ThingId>()).map_or(Cell::Null, |id| Cell::Id(id.uuid()))
    }

    /// An object; none where there is none.
    fn object(&mut self, field: &str, raw: Option<&RawValue>) -> Option<JsonObject> {
        match raw.map(RawValue::get) {
            None | Some("null") => None,
            Some(text) => self.valid(field, JsonObject::parse(text)),
        }
    }

    fn metadata(&mut self, raw: Option<&RawValue>) -> Cell {
        Cell::Json(self.object("metadata", raw).unwrap_or_default())
    }

    fn time(&mut self, field: &str, text: Option<&str>, now: Timestamp) -> Cell {
        match text {
            None => Cell::Time(now),
            Some(text) => Cell::Time(self.valid(field, time(text)).unwrap_or(now)),
        }
    }

    fn done(self) -> Result<()> {
        if self.errors.is_empty() { Ok(()) } else { Err(Error::Invalid(self.errors)) }
    }
}

fn item<'r, T: Deserialize<'r>>(array: &'static str, at: u64, raw: &'r RawValue) -> Result<T> {
    serde_json::from_str(raw.get()).map_err(|error| {
        let told: String = error.to_string().chars().filter(|c| !c.is_control()).take(200).collect();
        refusal(Place::Item(array, at), "", format!("is not as Mainflux writes it: {told}"))
    })
}

fn table(name: &'static str) -> Result<&'static Table> {
    Table::named(name).ok_or_else(|| Error::internal(format!("there is no table {name}")))
}

/// Nobody takes the rows any more: something else has failed.
fn unwanted() -> Error {
    Error::internal("nobody takes the rows any more")
}

fn text(of: &str) -> Cell {
    Cell::Text(of.to_owned())
}

/// Reads all rows, made into ours, for this owner.
pub(crate) fn rows(
    file: &File,
    registry: &Registry,
    owner: UserId,
    now: Timestamp,
    to: &Batches,
) -> Result<()> {
    groups(file, owner, now, to)?;
    profiles(file, to)?;
    things(file, registry, to)
}

fn groups(file: &File, owner: UserId, now: Timestamp, to: &Batches) -> Result<()> {
    let tables = [table("orgs")?, table("org_memberships")?, table("groups")?, table("group_memberships")?];
    let mut batches = tables.map(Batch::of);
    let mut orgs: HashSet<Uuid> = HashSet::new();
    walk(file, &[GROUPS], &mut |array, at, raw| {
        let group: GroupItem = item(array, at, raw)?;
        let mut fields = Fields::of(array, at);
        let (id, org) = (fields.id("id", &group.id), fields.id("org_id", &group.org_id));
        let name = fields.valid("name", GroupName::try_from(group.name.as_str()));
        let description = fields
            .valid("description", Description::try_from(group.description.as_deref().unwrap_or_default()));
        let metadata = fields.metadata(group.metadata.as_deref());
        let created = fields.time("created_at", group.created_at.as_deref(), now);
        let updated = fields.time("updated_at", group.updated_at.as_deref(), now);
        let place = fields.place;
        fields.done()?;
        let [new_orgs, org_members, groups, members] = &mut batches;
        let (owner, role) = (Cell::Id(owner.uuid()), text("owner"));
        if org.id().is_some_and(|id| orgs.insert(id)) {
            let (now, nothing) = (Cell::Time(now), Cell::Json(JsonObject::default()));
            new_orgs.push(place, vec![org.clone(), text(&group.org_id), text(""), nothing, now.clone(), now]);
            org_members.push(place, vec![org.clone(), owner.clone(), role.clone()]);
        }
        let name = name.map_or(Cell::Null, |name| text(name.as_str()));
        let description = description.map_or(Cell::Null, |description| text(description.as_str()));
        members.push(place, vec![id.clone(), owner, role]);
        groups.push(place, vec![id, org, name, description, metadata, created, updated]);
        if groups.is_full() { send(&mut batches, to) } else { Ok(()) }
    })?;
    send(&mut batches, to)
}

fn profiles(file: &File, to: &Batches) -> Result<()> {
    let mut batches = [Batch::of(table("profiles")?)];
    walk(file, &[PROFILES], &mut |array, at, raw| {
        let profile: ProfileItem = item(array, at, raw)?;
        let mut fields = Fields::of(array, at);
        let (id, group) = (fields.id("id", &profile.id), fields.id("group_id", &profile.group_id));
        let name = fields.valid("name", ProfileName::try_from(profile.name.as_str()));
        let config = fields.object("config", profile.config.as_deref());
        let config = config.and_then(|object| {
            let checked = ProfileConfig::new(object).map_err(|errors| {
                let all: Vec<_> =
                    errors.iter().map(|error| format!("{} {}", error.path(), error.message)).collect();
                all.join("; ")
            });
            fields.valid("config", checked)
        });
        let metadata = fields.metadata(profile.metadata.as_deref());
        let place = fields.place;
        fields.done()?;
        let name = name.map_or(Cell::Null, |name| text(name.as_str()));
        let config = config.map_or(Cell::Null, |config| Cell::Json(config.object().clone()));
        let [batch] = &mut batches;
        batch.push(place, vec![id, group, name, config, metadata]);
        if batch.is_full() { send(&mut batches, to) } else { Ok(()) }
    })?;
    send(&mut batches, to)
}

fn things(file: &File, registry: &Registry, to: &Batches) -> Result<()> {
    let tables = [table("things")?, table("credential_index")?, table("thing_key_material")?];
    let mut batches = tables.map(Batch::of);
    walk(file, &[THINGS], &mut |array, at, raw| {
        let thing: ThingItem = item(array, at, raw)?;
        let mut fields = Fields::of(array, at);
        let (id, group) = (fields.id("id", &thing.id), fields.id("group_id", &thing.group_id));
        let profile = fields.id("profile_id", &thing.profile_id);
        let name = fields.valid("name", ThingName::try_from(thing.name.as_str()));
        let key = fields.valid("key", ThingKey::custom(&thing.key));
        let external = match thing.external_key.as_deref().filter(|key| !key.is_empty()) {
            Some(key) => fields.valid("external_key", ExternalKey::try_from(key)),
            None => None,
        };
        let kind = match thing.r#type.as_deref() {
            None | Some("") => Some(ThingType::default()),
            Some(kind) => fields.valid("type", kind.parse::<ThingType>()),
        };
        let metadata = fields.metadata(thing.metadata.as_deref());
        let place = fields.place;
        fields.done()?;
        // All are there: what is not has been told.
        let (Some(name), Some(key), Some(kind), Some(uuid)) = (name, key, kind, id.id()) else {
            return Ok(());
        };
        let verifier = text(registry.verifier_of(&key).as_str());
        let [things, index, material] = &mut batches;
        index.push(place, vec![verifier.clone(), id.clone(), text("key"), Cell::Null]);
        if let Some(external) = &external {
            let verifier = registry.keyring.verifier(&Secret::new(external.as_str()));
            index.push(place, vec![text(verifier.as_str()), id.clone(), text("external"), Cell::Null]);
        }
        if let Some(sealed) = registry.seal_key(ThingId::from(uuid), &key)? {
            material.push(place, vec![id.clone(), Cell::Bytes(sealed)]);
        }
        let external = external.map_or(Cell::Null, |key| text(key.as_str()));
        things.push(
            place,
            vec![id, group, verifier, external, text(name.as_str()), metadata, profile, text(kind.as_str())],
        );
        if things.is_full() { send(&mut batches, to) } else { Ok(()) }
    })?;
    send(&mut batches, to)
}

/// Hands on what there is, in this order.
fn send(batches: &mut [Batch], to: &Batches) -> Result<()> {
    for batch in batches {
        let full = std::mem::replace(batch, Batch::of(batch.table));
        if !hand_on(to, full) {
            return Err(unwanted());
        }
    }
    Ok(())
}

/// Where the row with this id is.
pub(crate) fn find(file: &File, name: &str, id: Uuid) -> Result<Place> {
    #[derive(Deserialize)]
    struct Identified {
        id: Option<String>,
    }
    let mut place = Place::Somewhere;
    let wanted = id.as_hyphenated().to_string();
    walk(file, &[GROUPS, PROFILES, THINGS], &mut |array, at, raw| {
        let found =
            serde_json::from_str::<Identified>(raw.get()).is_ok_and(|item| item.id.as_ref() == Some(&wanted));
        if array == name && found {
            place = Place::Item(array, at);
        }
        Ok(())
    })?;
    Ok(place)
}

type Each<'e> = dyn FnMut(&'static str, u64, &RawValue) -> Result<()> + 'e;

/// Goes through the items of the wanted arrays, in the order of the file; the others are only read over.
fn walk(file: &File, wanted: &[&str], each: &mut Each<'_>) -> Result<()> {
    let mut file = file.try_clone().map_err(Error::internal)?;
    file.seek(SeekFrom::Start(0)).map_err(Error::internal)?;
    let room = Room::default();
    let source = Bounded { inner: BufReader::with_capacity(128 * 1024, file), room: room.clone() };
    let mut refused = None;
    let mut reader = serde_json::Deserializer::from_reader(source);
    let walked = Whole { wanted, each, room, refused: &mut refused }.deserialize(&mut reader);
    match (walked.and_then(|()| reader.end()), refused) {
        (_, Some(error)) => Err(error),
        (Ok(()), None) => Ok(()),
        (Err(error), None) => {
            let told: String = error.to_string().chars().filter(|c| !c.is_control()).take(200).collect();
            let place = Place::Line(error.line() as u64);
            Err(refusal(place, "", format!("is neither our backup nor Mainflux's: {told}")))
        }
    }
}

/// How many bytes one item may still have; `None` while what is read is not kept.
#[derive(Clone, Default)]
struct Room(Rc<Shared<Option<usize>>>);

/// A reader that ends where an item is too long.
struct Bounded<R> {
    inner: R,
    room: Room,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        if let Some(left) = self.room.0.get() {
            let left = left.checked_sub(read);
            let left =
                left.ok_or_else(|| io::Error::other(format!("an item is longer than {MAX_LINE} bytes")))?;
            self.room.0.set(Some(left));
        }
        Ok(read)
    }
}

struct Whole<'w, 'e> {
    wanted: &'w [&'w str],
    each: &'w mut Each<'e>,
    room: Room,
    refused: &'w mut Option<Error>,
}

impl<'de> DeserializeSeed<'de> for Whole<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> std::result::Result<(), D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Whole<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with things, profiles, groups and group_memberships")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<(), A::Error> {
        let mut seen = Vec::new();
        self.room.0.set(Some(MAX_LINE));
        while let Some(name) = map.next_key::<String>()? {
            let Some(array) = ARRAYS.into_iter().find(|known| *known == name) else {
                return Err(de::Error::custom(
                    "only things, profiles, groups and group_memberships are known",
                ));
            };
            if seen.contains(&array) {
                return Err(de::Error::custom(format_args!("{array} is given twice")));
            }
            seen.push(array);
            if self.wanted.contains(&array) {
                let room = self.room.clone();
                map.next_value_seed(Array {
                    array,
                    each: &mut *self.each,
                    room,
                    refused: &mut *self.refused,
                })?;
            } else {
                self.room.0.set(None);
                map.next_value::<IgnoredAny>()?;
            }
            self.room.0.set(Some(MAX_LINE));
        }
        Ok(())
    }
}

struct Array<'w, 'e> {
    array: &'static str,
    each: &'w mut Each<'e>,
    room: Room,
    refused: &'w mut Option<Error>,
}

impl<'de> DeserializeSeed<'de> for Array<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> std::result::Result<(), D::Error> {
        // Go writes a list that was never made as null.
        reader.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for Array<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_none<E: de::Error>(self) -> std::result::Result<(), E> {
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, reader: D) -> std::result::Result<(), D::Error> {
        reader.deserialize_seq(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> std::result::Result<(), A::Error> {
        let mut at = 0;
        self.room.0.set(Some(MAX_LINE));
        while let Some(raw) = items.next_element::<Box<RawValue>>()? {
            if let Err(error) = (self.each)(self.array, at, &raw) {
                *self.refused = Some(error);
                return Err(de::Error::custom("refused"));
            }
            at += 1;
            self.room.0.set(Some(MAX_LINE));
        }
        Ok(())
    }
}

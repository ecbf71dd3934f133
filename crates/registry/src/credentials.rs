//! Device credentials: what a key may look like, how it is kept, and the look-up that tells which
//! thing it names.
//!
//! Invariant: one value names at most one thing, whether as key, external key or previous key,
//! because all of them share the primary key of `credential_index`. Nothing outside of this module
//! and its SQL knows how the look-up works, nor that there is a cache.

mod activity;
mod cache;
mod claim;
mod device;
mod failures;
mod fence;
pub(crate) mod nodes;
mod party;
pub(crate) mod probes;
mod watch;

use std::{str::FromStr, sync::atomic, time::Duration};

use crate::{
    Registry,
    access::{self, Administer, Edit, Permit},
    actor::{Actor, Call},
    error::{Error, Result},
    ids::ThingId,
    journal::{self, Changes, Entry, Subject},
    json::JsonObject,
    secret::{Prefix, Secret, Verifier},
    store::{self, Tx, lock},
    things::{CreatedThing, Thing},
    version::Expect,
};

pub use activity::Credential;
pub use claim::{Asker, Claim, Front, Whose};
pub use device::{Checks, Device, Place};
pub(crate) use device::{Devices, Known, Retired};
pub(crate) use failures::{Count, Failure, kept};
pub use failures::{FailedCheck, FailedCheckFilter, FailedCheckOrder, Reason};
pub(crate) use fence::Mark;
pub use party::Party;
pub(crate) use party::Standing;
pub use watch::{Event, Watch};

/// Custom keys: at least 16 bytes, because a key is all a device has.
pub const KEY_BYTES: std::ops::RangeInclusive<usize> = 16..=512;
/// External keys: serial numbers are shorter.
pub const EXTERNAL_KEY_BYTES: std::ops::RangeInclusive<usize> = 5..=512;
/// What is looked up at all: keys that came from Mainflux may be shorter and longer than new ones.
pub(crate) const PLAUSIBLE_BYTES: std::ops::RangeInclusive<usize> = 1..=4096;
/// The longest time that a rotated key stays valid.
pub const MAX_OVERLAP: Duration = Duration::from_secs(7 * 24 * 3600);

/// What is wrong with a key; its `Display` says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Too short or too long, in bytes.
    #[error("must be from {0} to {1} bytes long")]
    Length(usize, usize),
    /// It could not be sent in a header, or would not look like itself.
    #[error("must not contain control characters, nor begin or end with white space")]
    Unprintable,
    /// It would be taken for something else.
    #[error("must not begin with `{0}`, which marks secrets that this service generates")]
    Reserved(&'static str),
    /// It looks generated but fails its checksum.
    #[error("looks like a generated key but has a typing mistake: its checksum is wrong")]
    Checksum,
}

fn printable(text: &str, bytes: &std::ops::RangeInclusive<usize>) -> Result<(), KeyError> {
    if !bytes.contains(&text.len()) {
        return Err(KeyError::Length(*bytes.start(), *bytes.end()));
    }
    if text.trim() != text || text.chars().any(char::is_control) {
        return Err(KeyError::Unprintable);
    }
    Ok(())
}

/// A thing's key: generated here or supplied by the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThingKey(Secret);

impl ThingKey {
    /// Checks a key that a client chose.
    pub fn custom(text: &str) -> Result<Self, KeyError> {
        printable(text, &KEY_BYTES)?;
        let secret = Secret::new(text);
        if text.starts_with(Prefix::ThingKey.as_str()) {
            return if secret.is_well_formed(Prefix::ThingKey) {
                Ok(Self(secret))
            } else {
                Err(KeyError::Checksum)
            };
        }
        match ["ses_", "pat_", "rst_", "inv_"].into_iter().find(|prefix| text.starts_with(prefix)) {
            Some(prefix) => Err(KeyError::Reserved(prefix)),
            None => Ok(Self(secret)),
        }
    }

    pub(crate) fn generate() -> Result<Self> {
        Secret::generate(Prefix::ThingKey).map(Self)
    }

    /// A generated key that was derived: [`Secret::derived`].
    pub(crate) fn derived(secret: Secret) -> Self {
        Self(secret)
    }

    /// The key itself, to be shown once.
    pub fn secret(&self) -> &Secret {
        &self.0
    }
}

/// A serial number, EUI or asset tag by which a thing is known outside: an identifier, kept
/// readable, that can also authenticate (`Authorization: External …`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ExternalKey(String);

impl ExternalKey {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for ExternalKey {
    type Error = KeyError;
    fn try_from(text: &str) -> Result<Self, KeyError> {
        printable(text, &EXTERNAL_KEY_BYTES)?;
        Ok(Self(text.to_owned()))
    }
}

/// Which kind of credential a device presents. The kinds never cross.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CredentialKind {
    /// The thing's key, or its previous one while that is valid.
    Internal,
    /// The external key.
    External,
}

impl CredentialKind {
    /// As stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::External => "external",
        }
    }
}

impl FromStr for CredentialKind {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "internal" => Ok(Self::Internal),
            "external" => Ok(Self::External),
            _ => Err(()),
        }
    }
}

/// Whether editors can read keys back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Readback {
    /// A sealed copy is kept; editors of the group may see it.
    #[default]
    Editor,
    /// No copy is kept: a key is shown when it is made, and never again.
    Never,
}

/// In what role a value stands in the index.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IndexedAs {
    /// The thing's key.
    Key,
    /// Its external key.
    External,
    /// Rotated away; valid until its `not_after`.
    Previous,
}

impl IndexedAs {
    /// As stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::External => "external",
            Self::Previous => "previous",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Key, Self::External, Self::Previous].into_iter().find(|kind| kind.as_str() == text)
    }
}

impl Registry {
    /// The metadata of the thing that calls.
    pub async fn own_metadata(&self, call: &Call) -> Result<JsonObject> {
        let Actor::Thing(thing) = call.actor() else { return Err(Error::Unauthenticated) };
        let mut conn = self.db.read().await?;
        store::things::own_metadata(&mut conn, *thing).await?.ok_or(Error::Unauthenticated)
    }

    /// The current key, where the installation keeps copies; else [`Error::NotFound`]. Journalled.
    pub async fn reveal_key(&self, call: &Call, id: ThingId) -> Result<CreatedThing> {
        use_case!(self, call, |tx| {
            let permit = self.lock_thing::<Edit>(&mut tx, call, id).await?;
            let thing = store::things::get(&mut tx, &permit).await?;
            let key = self.copy_of_key(&mut tx, &permit).await?.ok_or(Error::NotFound)?;
            let entry = Entry::by(&permit, "thing.key_revealed", Subject::thing(id, &thing.name));
            journal::commit(self, tx, call, vec![entry], CreatedThing { thing, key: Some(key) }).await
        })
    }

    /// Gives a thing a new key. The old one stays valid for `overlap` (at most 7 days, zero revokes
    /// it now); an older one still in its overlap ends at once: there is at most one previous key.
    pub async fn rotate_key(&self, call: &Call, id: ThingId, overlap: Duration) -> Result<CreatedThing> {
        if overlap > MAX_OVERLAP {
            return Err(Error::invalid(
                "overlap",
                format!("must be at most {} seconds", MAX_OVERLAP.as_secs()),
            ));
        }
        use_case!(self, call, |tx| {
            let permit = self.lock_thing::<Edit>(&mut tx, call, id).await?;
            let key = ThingKey::generate()?;
            let thing = self.replace_key(&mut tx, &permit, &key, overlap).await?;
            let changes = Changes::default().secret("key").made("overlap_seconds", overlap.as_secs());
            let entry =
                Entry::by(&permit, "thing.key_rotated", Subject::thing(id, &thing.name)).with(changes);
            journal::commit(self, tx, call, vec![entry], CreatedThing { thing, key: Some(key.0) }).await
        })
    }

    /// Sets or replaces the external key.
    pub async fn set_external_key(
        &self,
        call: &Call,
        id: ThingId,
        key: &ExternalKey,
        expect: &Expect,
    ) -> Result<Thing> {
        let probe = self.probes.take(call).await?;
        let set = use_case!(self, call, |tx| {
            let permit = self.lock_thing::<Edit>(&mut tx, call, id).await?;
            let before = store::things::get(&mut tx, &permit).await?;
            expect.check(&before.version())?;
            let verifier = self.keyring.verifier(&Secret::new(key.as_str()));
            store::credentials::set_external(&mut tx, &permit, Some((key.as_str(), &verifier))).await?;
            let after = Thing { external_key: Some(key.as_str().to_owned()), ..before.clone() };
            let changes = Changes::default().field("external_key", &before.external_key, &after.external_key);
            let entry =
                Entry::by(&permit, "thing.external_key_set", Subject::thing(id, &after.name)).with(changes);
            journal::commit(self, tx, call, vec![entry], after).await
        });
        set.map_err(|error| probe.weigh(error))
    }

    /// Takes the external key away; without one it does nothing.
    pub async fn clear_external_key(&self, call: &Call, id: ThingId, expect: &Expect) -> Result<()> {
        use_case!(self, call, |tx| {
            let permit = self.lock_thing::<Administer>(&mut tx, call, id).await?;
            let before = store::things::get(&mut tx, &permit).await?;
            expect.check(&before.version())?;
            let mut entries = Vec::new();
            if before.external_key.is_some() {
                store::credentials::set_external(&mut tx, &permit, None).await?;
                let changes = Changes::default().field("external_key", &before.external_key, &None);
                entries.push(
                    Entry::by(&permit, "thing.external_key_cleared", Subject::thing(id, &before.name))
                        .with(changes),
                );
            }
            journal::commit(self, tx, call, entries, ()).await
        })
    }

    /// Locks a thing in the house's order and asks whether the caller may do `A` to it.
    pub(crate) async fn lock_thing<A: access::Action>(
        &self,
        tx: &mut Tx,
        call: &Call,
        id: ThingId,
    ) -> Result<Permit<A, ThingId>> {
        lock::groups_of_things(tx, &[id]).await?;
        lock::things(tx, &[id]).await?;
        access::permit(tx, call, id).await
    }

    /// Puts `key` in the place of the present one, everywhere it is kept.
    pub(crate) async fn replace_key(
        &self,
        tx: &mut Tx,
        permit: &Permit<Edit, ThingId>,
        key: &ThingKey,
        overlap: Duration,
    ) -> Result<Thing> {
        let verifier = self.keyring.verifier(&key.0);
        let sealed = self.seal_key(permit.target(), key)?;
        let not_after = (!overlap.is_zero()).then(|| tx.now().after(overlap));
        store::credentials::replace_key(tx, permit, &verifier, sealed.as_deref(), not_after).await?;
        store::things::get(tx, permit).await
    }

    /// The sealed copy to keep of a key, if copies are kept at all.
    pub(crate) fn seal_key(&self, thing: ThingId, key: &ThingKey) -> Result<Option<Vec<u8>>> {
        match self.readback {
            Readback::Never => Ok(None),
            Readback::Editor => {
                self.keyring.seal(thing.uuid().as_bytes(), key.0.expose().as_bytes()).map(Some)
            }
        }
    }

    /// The present key from its copy, for who may edit the thing.
    pub(crate) async fn copy_of_key(
        &self,
        conn: &mut store::Conn,
        permit: &Permit<Edit, ThingId>,
    ) -> Result<Option<Secret>> {
        if self.readback == Readback::Never {
            return Ok(None);
        }
        let Some(sealed) = store::credentials::sealed_key(conn, permit).await? else { return Ok(None) };
        let opened = self.keyring.open(permit.target().uuid().as_bytes(), &sealed)?;
        let text = std::str::from_utf8(&opened).map_err(|_| Error::internal("a sealed key is not text"))?;
        Ok(Some(Secret::new(text)))
    }

    pub(crate) fn verifier_of(&self, key: &ThingKey) -> Verifier {
        self.keyring.verifier(&key.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn custom_keys_are_bounded_printable_and_not_mistakable() {
        assert!(ThingKey::custom("0123456789abcdef").is_ok());
        assert!(ThingKey::custom(&"k".repeat(512)).is_ok());
        assert_eq!(ThingKey::custom("short"), Err(KeyError::Length(16, 512)));
        assert_eq!(ThingKey::custom(&"k".repeat(513)), Err(KeyError::Length(16, 512)));
        assert_eq!(ThingKey::custom("0123456789abcdef\n"), Err(KeyError::Unprintable));
        assert_eq!(ThingKey::custom("0123456789\0abcdef"), Err(KeyError::Unprintable));
        assert_eq!(ThingKey::custom("pat_0123456789abcdef"), Err(KeyError::Reserved("pat_")));
        assert_eq!(ThingKey::custom("thk_0123456789abcdef"), Err(KeyError::Checksum));
        let generated = ThingKey::generate().unwrap();
        assert_eq!(ThingKey::custom(generated.secret().expose()), Ok(generated));
    }

    #[test]
    fn external_keys_are_bounded_in_bytes() {
        assert!(ExternalKey::try_from("SN-42").is_ok());
        assert!(ExternalKey::try_from("SN-4").is_err());
        assert!(ExternalKey::try_from("").is_err());
        assert!(ExternalKey::try_from("ü".repeat(257).as_str()).is_err());
    }
}

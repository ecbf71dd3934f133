//! Keys and ids that an import makes: derived from the import and the row's number, so that a repeated
//! request answers the same ones although none was kept.

use aws_lc_rs::hmac;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    clock::Timestamp,
    credentials::ThingKey,
    error::Result,
    ids::ThingId,
    secret::{self, Keyring, Prefix, Secret},
};

/// Where an import's keys and ids come from. Whoever has it has all of them.
#[derive(Clone)]
pub struct ImportKeys {
    seed: hmac::Key,
    at: Timestamp,
}

impl ImportKeys {
    /// Of an import that can be repeated. The time it began at is a part of it: the same name used again on
    /// another day means other keys.
    pub(super) fn repeatable(keyring: &Keyring, name: &str, at: Timestamp) -> Self {
        let seed =
            Zeroizing::new(keyring.mac("import-keys/1", format!("{}\n{name}", at.millis()).as_bytes()));
        Self { seed: hmac::Key::new(hmac::HMAC_SHA256, &seed), at }
    }

    /// Of one that cannot.
    pub(super) fn random(at: Timestamp) -> Result<Self> {
        let mut seed = Zeroizing::new([0; 32]);
        secret::random(seed.as_mut())?;
        Ok(Self { seed: hmac::Key::new(hmac::HMAC_SHA256, seed.as_ref()), at })
    }

    /// The key of a row that brings none: as any that is generated.
    pub fn key(&self, row: u64) -> ThingKey {
        let mut block = 0u8;
        ThingKey::derived(Secret::derived(Prefix::ThingKey, || {
            block = block.wrapping_add(1);
            self.block(row, block)
        }))
    }

    /// The id of a row that brings none: a UUID of version 7, in the order of the rows.
    pub(super) fn id(&self, row: u64) -> ThingId {
        let random = self.block(row, 0).first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        let millis = u128::from(self.at.millis().max(0).unsigned_abs());
        // 48 bits of time, 4 of the version, 20 of the row (around the 2 of the variant), 54 random ones.
        let (row, random) = (u128::from(row & 0xF_FFFF), u128::from(random >> 10));
        let bits =
            (millis << 80) | (7 << 76) | ((row >> 8) << 64) | (2 << 62) | ((row & 0xFF) << 54) | random;
        Uuid::from_u128(bits).into()
    }

    fn block(&self, row: u64, block: u8) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.seed);
        context.update(&row.to_be_bytes());
        context.update(&[block]);
        let mut bytes = [0; 32];
        // Of the same length: HMAC-SHA-256.
        bytes.copy_from_slice(context.sign().as_ref());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn rows_have_keys_and_ids_of_their_own_and_always_the_same() {
        let keyring: Keyring = Keyring::generate_text().unwrap().expose().parse().unwrap();
        let at = Timestamp::from_millis(1_700_000_000_000);
        let keys = ImportKeys::repeatable(&keyring, "somebody", at);
        let made: Vec<_> = (1..3000).map(|row| (keys.id(row), keys.key(row))).collect();
        assert!(made.is_sorted_by_key(|(id, _)| *id));
        let distinct: HashSet<_> = made.iter().map(|(_, key)| key.secret().expose()).collect();
        assert_eq!(distinct.len(), made.len());
        for (row, (id, key)) in (1..).zip(&made) {
            let again = ImportKeys::repeatable(&keyring, "somebody", at);
            assert_eq!((again.id(row), &again.key(row)), (*id, key));
            assert_eq!(ThingKey::custom(key.secret().expose()).as_ref(), Ok(key));
            assert_eq!(id.uuid().get_version_num(), 7);
        }
        for other in [
            ImportKeys::repeatable(&keyring, "somebody else", at),
            ImportKeys::repeatable(&keyring, "somebody", Timestamp::from_millis(1_700_000_000_001)),
            ImportKeys::random(at).unwrap(),
        ] {
            assert_ne!(other.key(1), keys.key(1));
        }
    }
}

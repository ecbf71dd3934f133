//! Secrets: values that cannot be printed, the keys that guard them at rest, and how new ones are made.
//!
//! Nothing here has a `Display` or `Serialize`, and `Debug` shows no content. The bytes leave only
//! through [`Secret::expose`], a word to search for in a review.

use std::{fmt, path::Path, str::FromStr};

use aws_lc_rs::{digest, hmac, rand};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use zeroize::Zeroizing;

use crate::error::{Error, Result};

/// Text that must not be seen: a key, a token, a password. Wiped from memory when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes text in.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text, for the one place that must have it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// A new one from the system's generator: prefix, 30 random base62 characters (178 bits; 43 and
    /// 256 bits for an invite), and 6 base62 characters of CRC-32 over both, by which scanners and
    /// servers spot a typing mistake without a look-up.
    pub fn generate(prefix: Prefix) -> Result<Self> {
        let mut text = Zeroizing::new(String::with_capacity(prefix.body_len() + CHECK_LEN));
        text.push_str(prefix.as_str());
        extend_randomly(&mut text, prefix.body_len())?;
        let check = checksum(&text);
        text.extend(check);
        Ok(Self(text))
    }

    /// One whose characters come from a generator that can be asked again: successive blocks of bytes that look
    /// random to everybody else.
    pub(crate) fn derived(prefix: Prefix, mut blocks: impl FnMut() -> [u8; 32]) -> Self {
        let mut text = Zeroizing::new(String::with_capacity(prefix.body_len() + CHECK_LEN));
        text.push_str(prefix.as_str());
        while text.len() < prefix.body_len() {
            extend_fairly(&mut text, prefix.body_len(), Zeroizing::new(blocks()).as_ref());
        }
        let check = checksum(&text);
        text.extend(check);
        Self(text)
    }

    /// Whether this has the shape and checksum of a generated secret of that kind.
    pub fn is_well_formed(&self, prefix: Prefix) -> bool {
        self.0.len() == prefix.body_len() + CHECK_LEN
            && self.0.starts_with(prefix.as_str())
            && self.0.split_at_checked(prefix.body_len()).is_some_and(|(body, check)| {
                body.bytes().skip(Prefix::LEN).all(|b| b.is_ascii_alphanumeric())
                    && check.chars().eq(checksum(body))
            })
    }

    /// SHA-256, for the look-up of tokens that are random enough to need no more (178 bits).
    pub fn digest(&self) -> Vec<u8> {
        digest::digest(&digest::SHA256, self.0.as_bytes()).as_ref().to_vec()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Secrets inside a sealed record (an answer kept for repetition, a mail on its way), the one place
/// where they are written down as text on their way into encryption:
/// `#[serde(with = "secret::in_sealed_record")]`.
pub(crate) mod in_sealed_record {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Secret;

    pub(crate) fn serialize<S: Serializer>(secret: &Option<Secret>, to: S) -> Result<S::Ok, S::Error> {
        secret.as_ref().map(Secret::expose).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Secret>, D::Error> {
        Ok(Option::<String>::deserialize(from)?.map(Secret::new))
    }

    /// The same for one that is always there.
    pub(crate) mod required {
        use super::{Deserialize, Deserializer, Secret, Serialize, Serializer};

        pub(crate) fn serialize<S: Serializer>(secret: &Secret, to: S) -> Result<S::Ok, S::Error> {
            secret.expose().serialize(to)
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
            String::deserialize(from).map(Secret::new)
        }
    }
}

const CHECK_LEN: usize = 6;

/// What a generated secret is for, readable at its start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Prefix {
    /// A thing's key.
    ThingKey,
    /// A log-in session.
    Session,
    /// A personal access token.
    AccessToken,
    /// A password reset.
    PasswordReset,
    /// An invite to somebody without an account.
    Invite,
}

impl Prefix {
    const LEN: usize = 4;

    /// The four characters.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ThingKey => "thk_",
            Self::Session => "ses_",
            Self::AccessToken => "pat_",
            Self::PasswordReset => "rst_",
            Self::Invite => "inv_",
        }
    }

    /// The prefix and the random characters behind it.
    fn body_len(self) -> usize {
        let random = match self {
            Self::ThingKey | Self::Session | Self::AccessToken | Self::PasswordReset => 30,
            Self::Invite => 43,
        };
        Self::LEN + random
    }
}

fn base62(digit: usize) -> char {
    const DIGITS: [char; 62] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'I', 'J',
        'K', 'L', 'M', 'N', 'O', 'P', 'Q', 'R', 'S', 'T', 'U', 'V', 'W', 'X', 'Y', 'Z', 'a', 'b', 'c', 'd',
        'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', 'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x',
        'y', 'z',
    ];
    DIGITS.get(digit).copied().unwrap_or('0')
}

/// A password for a person to copy: 20 random base62 characters (119 bits).
pub(crate) fn generate_password() -> Result<Secret> {
    const LEN: usize = 20;
    let mut text = Zeroizing::new(String::with_capacity(LEN));
    extend_randomly(&mut text, LEN)?;
    Ok(Secret(text))
}

/// Appends random base62 characters until the text is `len` bytes long.
fn extend_randomly(text: &mut String, len: usize) -> Result<()> {
    let mut bytes = Zeroizing::new([0u8; 64]);
    while text.len() < len {
        random(bytes.as_mut())?;
        extend_fairly(text, len, bytes.as_ref());
    }
    Ok(())
}

/// Appends a base62 character for each of these random bytes that favours none, up to `len`.
fn extend_fairly(text: &mut String, len: usize, bytes: &[u8]) {
    // 248 = 4 × 62: values above would favour some characters.
    let fair = bytes.iter().filter(|byte| **byte < 248);
    let room = len.saturating_sub(text.len());
    text.extend(fair.take(room).map(|byte| base62(usize::from(byte % 62))));
}

fn checksum(text: &str) -> [char; CHECK_LEN] {
    let mut rest = crc32fast::hash(text.as_bytes()) as usize;
    let mut digits = ['0'; CHECK_LEN];
    for digit in digits.iter_mut().rev() {
        *digit = base62(rest % 62);
        rest /= 62;
    }
    digits
}

/// Fills the buffer from the operating system's generator.
pub(crate) fn random(buffer: &mut [u8]) -> Result<()> {
    rand::fill(buffer).map_err(|_| Error::internal("the system's random generator failed"))
}

/// What the database keeps of a credential: an HMAC under the pepper, `h1.<pepper id>.<base64url>`,
/// the same for keys and external keys, so that one index holds both apart.
#[derive(Clone, PartialEq, Eq, Hash, Debug, serde::Serialize, serde::Deserialize, sqlx::Type)]
#[serde(transparent)]
#[sqlx(transparent)]
pub struct Verifier(String);

impl Verifier {
    /// The text as stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The HMAC in a verifier, as it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Digest([u8; 32]);

/// Its first half, which RFC 2104 (section 5) allows to stand for the whole: what the cache knows a credential by.
pub(crate) type Short = [u8; 16];

impl Digest {
    pub(crate) fn short(&self) -> Short {
        let [first @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = self.0;
        first
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(…)")
    }
}

/// The installation's two keys: the pepper makes verifiers, the key-encryption key seals copies.
/// They live outside the database; a dump without them names no key.
pub struct Keyring {
    pepper: hmac::Key,
    pepper_id: String,
    kek: XChaCha20Poly1305,
    kek_id: String,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring(pepper {}, kek {}, …)", self.pepper_id, self.kek_id)
    }
}

impl Keyring {
    /// The text of a new key file.
    pub fn generate_text() -> Result<Secret> {
        let mut pepper = Zeroizing::new([0u8; 32]);
        let mut kek = Zeroizing::new([0u8; 32]);
        random(pepper.as_mut())?;
        random(kek.as_mut())?;
        Ok(Secret::new(format!(
            "# The keys of this Things installation. Keep a copy apart from the database's backups:\n\
             # without the pepper no device can authenticate, without the kek no key can be read back.\n\
             pepper=p1:{}\nkek=k1:{}\n",
            URL_SAFE_NO_PAD.encode(pepper.as_ref()),
            URL_SAFE_NO_PAD.encode(kek.as_ref()),
        )))
    }

    /// Reads the file, or makes it, readable by its owner only, if it does not exist and `create`.
    pub fn load(file: &Path, create: bool) -> Result<Self, KeyringError> {
        let fault = |error| KeyringError::File(file.display().to_string(), error);
        match std::fs::read_to_string(file) {
            Ok(text) => {
                owner_only(file).map_err(fault)?;
                Zeroizing::new(text).parse()
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && create => {
                let text = Self::generate_text().map_err(|_| KeyringError::Random)?;
                match write_new(file, text.expose()) {
                    // Another process made it in the same moment: theirs counts.
                    Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                        Self::load(file, false)
                    }
                    Err(error) => Err(fault(error)),
                    Ok(()) => text.expose().parse(),
                }
            }
            Err(error) => Err(fault(error)),
        }
    }

    /// The verifier of a key or external key.
    pub fn verifier(&self, credential: &Secret) -> Verifier {
        self.verifier_of(&self.digest(credential))
    }

    /// The digest of a key or external key: half of the work of a verifier.
    pub(crate) fn digest(&self, credential: &Secret) -> Digest {
        let mut context = hmac::Context::with_key(&self.pepper);
        context.update(b"thing-credential/1\0");
        context.update(credential.expose().as_bytes());
        let mut digest = [0; 32];
        // Of the same length: HMAC-SHA-256.
        digest.copy_from_slice(context.sign().as_ref());
        Digest(digest)
    }

    /// The verifier with this digest.
    pub(crate) fn verifier_of(&self, digest: &Digest) -> Verifier {
        Verifier(format!("h1.{}.{}", self.pepper_id, URL_SAFE_NO_PAD.encode(digest.0)))
    }

    /// A keyed digest for anything else that must not be forged or reversed; `purpose` keeps the
    /// uses apart.
    pub(crate) fn mac(&self, purpose: &str, data: &[u8]) -> Vec<u8> {
        let mut context = hmac::Context::with_key(&self.pepper);
        context.update(purpose.as_bytes());
        context.update(b"\0");
        context.update(data);
        context.sign().as_ref().to_vec()
    }

    /// A keyed digest of what comes in pieces. Its key is made from the pepper for this purpose alone.
    pub(crate) fn mac_of_pieces(&self, purpose: &str) -> RunningMac {
        let key = Zeroizing::new(self.mac(purpose, b"key"));
        RunningMac(hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &key)))
    }

    /// Whether a verifier was made with a pepper of this id.
    pub(crate) fn names_own_pepper(&self, verifier: &str) -> bool {
        verifier
            .strip_prefix("h1.")
            .and_then(|rest| rest.split_once('.'))
            .is_some_and(|(id, _)| id == self.pepper_id)
    }

    /// Encrypts, bound to `context`: opening it under another one fails.
    pub(crate) fn seal(&self, context: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
        let mut nonce = [0u8; 24];
        random(&mut nonce)?;
        let sealed = self
            .kek
            .encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: context })
            .map_err(|_| Error::internal("sealing failed"))?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Decrypts what [`Self::seal`] made.
    pub(crate) fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let opened = sealed.split_first_chunk::<24>().and_then(|(nonce, sealed)| {
            self.kek.decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: context }).ok()
        });
        opened.map(Zeroizing::new).ok_or_else(|| {
            Error::internal("a sealed value does not open: wrong key-encryption key, or it was altered")
        })
    }

    /// Which keys these are, for the database's canary row: proof of possession, no secret.
    pub(crate) fn canary(&self) -> (String, String) {
        let pepper = URL_SAFE_NO_PAD.encode(self.mac("canary/1", b"things"));
        (format!("{}.{pepper}", self.pepper_id), self.kek_id.clone())
    }
}

/// A keyed digest under way.
pub(crate) struct RunningMac(hmac::Context);

impl RunningMac {
    pub(crate) fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// Of all that came so far, as text: base64url.
    pub(crate) fn told(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0.clone().sign())
    }

    /// Whether it is this one, compared in constant time.
    pub(crate) fn is(self, told: &str) -> bool {
        let told = URL_SAFE_NO_PAD.decode(told).unwrap_or_default();
        aws_lc_rs::constant_time::verify_slices_are_equal(self.0.sign().as_ref(), &told).is_ok()
    }
}

impl FromStr for Keyring {
    type Err = KeyringError;

    fn from_str(text: &str) -> Result<Self, KeyringError> {
        let entry = |wanted: &'static str| {
            text.split(['\n', ' ', ','])
                .filter_map(|line| line.trim().split_once('='))
                .find(|(name, _)| *name == wanted)
                .and_then(|(_, value)| value.split_once(':'))
                .and_then(|(id, key)| {
                    let plain_id =
                        (1..=8).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric());
                    let key = Zeroizing::new(URL_SAFE_NO_PAD.decode(key).ok()?);
                    let key: Zeroizing<[u8; 32]> = Zeroizing::new(key.as_slice().try_into().ok()?);
                    plain_id.then(|| (id.to_owned(), key))
                })
                .ok_or(KeyringError::Malformed(wanted))
        };
        let (pepper_id, pepper) = entry("pepper")?;
        let (kek_id, kek) = entry("kek")?;
        Ok(Self {
            pepper: hmac::Key::new(hmac::HMAC_SHA256, pepper.as_ref()),
            pepper_id,
            kek: XChaCha20Poly1305::new(&(*kek).into()),
            kek_id,
        })
    }
}

/// Why the installation's keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The key file cannot be read or made.
    #[error("the key file {0} cannot be used: {1}")]
    File(String, #[source] std::io::Error),
    /// An entry is missing or broken.
    #[error(
        "the installation's keys have no valid `{0}=<id>:<32 bytes in base64url>`; restore the key file from its copy"
    )]
    Malformed(&'static str),
    /// The operating system has no randomness to give.
    #[error("the system's random generator failed")]
    Random,
}

#[cfg(unix)]
fn write_new(file: &Path, text: &str) -> std::io::Result<()> {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    // Written aside and linked into place, so that nobody ever reads half a file. The name aside is
    // random: one left by a crash is in nobody's way.
    let mut suffix = [0u8; 8];
    random(&mut suffix).map_err(|_| std::io::Error::other("the system's random generator failed"))?;
    let aside = file.with_extension(format!("new-{:016x}", u64::from_ne_bytes(suffix)));
    let mut handle = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
    let placed = handle
        .write_all(text.as_bytes())
        .and_then(|()| handle.sync_all())
        .and_then(|()| std::fs::hard_link(&aside, file))
        .and_then(|()| match file.parent().filter(|dir| !dir.as_os_str().is_empty()) {
            Some(dir) => std::fs::File::open(dir)?.sync_all(),
            None => Ok(()),
        });
    std::fs::remove_file(&aside)?;
    placed
}

#[cfg(unix)]
fn owner_only(file: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if std::fs::metadata(file)?.permissions().mode() & 0o077 == 0 {
        return Ok(());
    }
    Err(std::io::Error::new(
        std::io::ErrorKind::PermissionDenied,
        "others can read it; run `chmod 600` on it",
    ))
}

#[cfg(not(unix))]
fn write_new(file: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    std::fs::OpenOptions::new().write(true).create_new(true).open(file)?.write_all(text.as_bytes())
}

#[cfg(not(unix))]
fn owner_only(_: &Path) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyring() -> Keyring {
        Keyring::generate_text().unwrap().expose().parse().unwrap()
    }

    #[test]
    fn generated_secrets_check_and_typing_mistakes_do_not() {
        let key = Secret::generate(Prefix::ThingKey).unwrap();
        assert_eq!(key.expose().len(), 40);
        assert!(key.is_well_formed(Prefix::ThingKey));
        assert!(!key.is_well_formed(Prefix::Session));
        let typo: String = key
            .expose()
            .char_indices()
            .map(|(at, c)| if at == 9 { if c == 'x' { 'y' } else { 'x' } } else { c })
            .collect();
        assert!(!Secret::new(typo).is_well_formed(Prefix::ThingKey));
    }

    #[test]
    fn debug_shows_nothing() {
        let key = Secret::new("thk_visible");
        assert!(!format!("{key:?} {:?}", Some(&key)).contains("visible"));
        assert!(!format!("{:?}", keyring()).contains('='));
    }

    #[test]
    fn verifiers_differ_by_pepper_and_fit_the_index() {
        let key = Secret::new("0123456789abcdef");
        let (one, two) = (keyring(), keyring());
        assert_eq!(one.verifier(&key), one.verifier(&key));
        assert_ne!(one.verifier(&key), two.verifier(&key));
        assert!(one.verifier(&key).as_str().len() < 64);
    }

    #[test]
    fn sealed_values_open_only_in_their_context() {
        let keys = keyring();
        let sealed = keys.seal(b"thing 1", b"secret").unwrap();
        assert_eq!(keys.open(b"thing 1", &sealed).unwrap().as_slice(), b"secret");
        assert!(keys.open(b"thing 2", &sealed).is_err());
        assert!(keyring().open(b"thing 1", &sealed).is_err());
        assert!(keys.open(b"thing 1", b"short").is_err());
    }

    #[test]
    fn the_key_file_is_made_once_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("things.keys");
        let first = Keyring::load(&file, true).unwrap();
        let again = Keyring::load(&file, true).unwrap();
        assert_eq!(first.canary(), again.canary());
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        assert!(Keyring::load(&file, true).unwrap_err().to_string().contains("chmod 600"));
        assert!(Keyring::load(&dir.path().join("none"), false).is_err());
    }
}

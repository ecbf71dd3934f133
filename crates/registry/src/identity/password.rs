//! Passwords: which are accepted, and how they are hashed without starving everything else.
//!
//! A hash costs 19 MiB and tens of milliseconds of a core on purpose. [`Hashing`] lets one or two
//! run at a time on threads of their own and a few wait; a storm of log-ins beyond that is sent
//! away instead of piling up.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use argon2::{Algorithm, Argon2, Params, PasswordHash, PasswordHasher, PasswordVerifier, Version};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use tokio::sync::Semaphore;

use crate::{
    error::{Error, Result},
    secret::{self, Secret},
    text::Email,
};

/// A password that may become somebody's. Exactly as typed: nothing is trimmed or folded.
#[derive(Clone, Debug)]
pub struct Password(Secret);

/// What is wrong with a password; its `Display` says what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Too few characters.
    #[error("must be at least {} characters long", Password::MIN_CHARS)]
    TooShort,
    /// Too many characters.
    #[error("must be at most {} characters long", Password::MAX_CHARS)]
    TooLong,
    /// One or two characters, repeated.
    #[error("must not repeat the same one or two characters")]
    Monotonous,
    /// Among the first that anybody would try.
    #[error("is too easy to guess; choose several unrelated words or a generated password")]
    Obvious,
    /// Holds the name part of the owner's own address.
    #[error("must not contain the name in your e-mail address")]
    ContainsName,
}

/// Words that obvious passwords are made of, alone or repeated, with digits or signs around them.
const OBVIOUS_WORDS: [&str; 16] = [
    "password",
    "passwort",
    "passw0rd",
    "qwerty",
    "qwertz",
    "azerty",
    "qwertyuiop",
    "letmein",
    "welcome",
    "changeme",
    "iloveyou",
    "admin",
    "administrator",
    "root",
    "things",
    "secret",
];

/// Rows of keys and of digits: any part of them, forwards.
const OBVIOUS_ROWS: [&str; 4] = [
    "01234567890123456789012345678901234567890",
    "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz",
    "qwertyuiopasdfghjklzxcvbnm",
    "1q2w3e4r5t6y7u8i9o0p",
];

impl Password {
    /// The fewest characters it may have.
    pub const MIN_CHARS: usize = 12;
    /// The most characters it may have.
    pub const MAX_CHARS: usize = 128;

    /// 20 random letters and digits.
    pub(crate) fn generate() -> Result<Self> {
        secret::generate_password().map(Self)
    }

    pub(crate) fn secret(&self) -> &Secret {
        &self.0
    }

    /// Whether its owner, with this address, may have it.
    pub(crate) fn suits(&self, email: &Email) -> Result<(), PasswordError> {
        let name = email.as_str().split('@').next().unwrap_or_default();
        let holds_name = name.chars().count() >= 4
            && zeroize::Zeroizing::new(self.0.expose().to_lowercase()).contains(name);
        if holds_name { Err(PasswordError::ContainsName) } else { Ok(()) }
    }
}

impl TryFrom<Secret> for Password {
    type Error = PasswordError;

    fn try_from(secret: Secret) -> Result<Self, PasswordError> {
        let text = secret.expose();
        let count = text.chars().count();
        if count < Self::MIN_CHARS {
            return Err(PasswordError::TooShort);
        }
        if count > Self::MAX_CHARS {
            return Err(PasswordError::TooLong);
        }
        let mut others = text.chars().skip_while(|c| text.starts_with(*c));
        let monotonous = match others.next() {
            None => true,
            Some(second) => others.all(|c| c == second || text.starts_with(c)),
        };
        if monotonous {
            return Err(PasswordError::Monotonous);
        }
        if obvious(text) {
            return Err(PasswordError::Obvious);
        }
        Ok(Self(secret))
    }
}

fn obvious(text: &str) -> bool {
    let folded = zeroize::Zeroizing::new(text.to_lowercase());
    let core = folded.trim_matches(|c: char| !c.is_alphabetic());
    let repeats = |word: &str| !core.is_empty() && core.replace(word, "").is_empty();
    OBVIOUS_WORDS.iter().any(|word| repeats(word)) || OBVIOUS_ROWS.iter().any(|row| row.contains(&**folded))
}

/// Whether this is a hash that log-ins may be made to compute: in the form in which they are made here, or came from
/// Mainflux, and at a cost that is no attack.
pub(crate) fn is_hash(text: &str) -> bool {
    if is_bcrypt(text) {
        let cost = text.get(4..6).and_then(|cost| cost.parse().ok());
        return cost.is_some_and(|cost: u32| (4..=14).contains(&cost));
    }
    let Ok(hash) = PasswordHash::new(text) else { return false };
    text.len() <= 255
        && text.starts_with("$argon2id$")
        && Params::try_from(&hash).is_ok_and(|params| {
            params.m_cost() <= 256 * 1024 && params.t_cost() <= 16 && params.p_cost() <= 16
        })
        && hash.hash.is_some()
}

/// What a password's hash costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PasswordCost {
    /// argon2id with 19 MiB, two passes, one lane: OWASP's recommendation.
    #[default]
    Standard,
    /// Next to nothing, and so no protection: for tests that log in hundreds of times.
    Minimal,
}

impl PasswordCost {
    fn algorithm(self) -> Result<Argon2<'static>> {
        let (memory_kib, passes) = match self {
            Self::Standard => (19 * 1024, 2),
            Self::Minimal => (Params::MIN_M_COST, 1),
        };
        let params = Params::new(memory_kib, passes, 1, Some(Params::DEFAULT_OUTPUT_LEN))
            .map_err(|error| internal(&error))?;
        Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
    }
}

/// Whether it is a hash of bcrypt's, as Mainflux makes them. Such a password is hashed anew when its owner logs in.
pub(crate) fn is_bcrypt(stored: &str) -> bool {
    stored.len() == 60 && ["$2a$", "$2b$", "$2x$", "$2y$"].iter().any(|prefix| stored.starts_with(prefix))
}

/// A well-formed hash of bcrypt's, at Mainflux's cost, of a password that nobody knows.
const NOBODYS: &str = "$2b$10$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui";

/// How many hashes may wait for their turn.
const QUEUE: usize = 32;

/// Hashes passwords, a bounded number at a time.
pub(crate) struct Hashing {
    algorithm: Argon2<'static>,
    /// Those that run.
    turns: Arc<Semaphore>,
    /// Those that run or wait.
    room: Arc<Semaphore>,
    /// A well-formed hash of nothing: what an unknown account's password is compared with, so that
    /// it costs the same.
    dummy: String,
    /// Whether there may be hashes of bcrypt's. While there are, whatever is compared costs one of both kinds, so
    /// that the time does not tell who has come from Mainflux and not logged in since.
    has_bcrypt: AtomicBool,
}

impl Hashing {
    /// `permits` is how many run at a time; by default one core is left alone, and never more than
    /// two are used.
    pub(crate) fn new(cost: PasswordCost, permits: Option<usize>) -> Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let permits = permits.unwrap_or_else(|| cores.saturating_sub(1).min(2)).max(1);
        let algorithm = cost.algorithm()?;
        let (mut salt, mut output) = ([0; 16], [0; Params::DEFAULT_OUTPUT_LEN]);
        secret::random(&mut salt)?;
        secret::random(&mut output)?;
        let params = algorithm.params();
        let dummy = format!(
            "$argon2id$v=19$m={},t={},p={}${}${}",
            params.m_cost(),
            params.t_cost(),
            params.p_cost(),
            STANDARD_NO_PAD.encode(salt),
            STANDARD_NO_PAD.encode(output),
        );
        Ok(Self {
            algorithm,
            turns: Arc::new(Semaphore::new(permits)),
            room: Arc::new(Semaphore::new(permits.saturating_add(QUEUE))),
            dummy: dummy.to_string(),
            has_bcrypt: AtomicBool::new(false),
        })
    }

    /// The PHC string to keep.
    pub(crate) async fn hash(&self, password: &Secret) -> Result<String> {
        let mut salt = [0; 16];
        secret::random(&mut salt)?;
        let (algorithm, password) = (self.algorithm.clone(), password.clone());
        let hashed =
            self.run(move || algorithm.hash_password_with_salt(password.expose().as_bytes(), &salt)).await?;
        hashed.map(|hash| hash.to_string()).map_err(|error| internal(&error))
    }

    /// Whether this is the password that was hashed. An account that does not exist or has no
    /// password takes as long and is never right.
    pub(crate) async fn verify(&self, password: &Secret, stored: Option<&str>) -> Result<bool> {
        let known = stored.is_some();
        let foreign = stored.filter(|stored| is_bcrypt(stored)).map(str::to_owned);
        if foreign.is_some() {
            self.expect_bcrypt();
        }
        let with_bcrypt = self.has_bcrypt.load(Ordering::Relaxed);
        let is_foreign = foreign.is_some();
        let stored = stored.filter(|_| !is_foreign).unwrap_or(&self.dummy).to_owned();
        let (algorithm, password) = (self.algorithm.clone(), password.clone());
        let verified = self.run(move || {
            let bytes = password.expose().as_bytes();
            let of_bcrypt = with_bcrypt.then(|| bcrypt::verify(bytes, foreign.as_deref().unwrap_or(NOBODYS)));
            (algorithm.verify_password(bytes, &*stored), of_bcrypt)
        });
        let (verified, of_bcrypt) = verified.await?;
        if is_foreign {
            // A hash that is none of bcrypt's after all is nobody's password.
            return Ok(of_bcrypt.is_some_and(|verified| verified.unwrap_or(false)));
        }
        match verified {
            Ok(()) => Ok(known),
            Err(argon2::password_hash::Error::PasswordInvalid) => Ok(false),
            Err(error) => Err(internal(&error)),
        }
    }

    /// There are accounts whose password is hashed by bcrypt.
    pub(crate) fn expect_bcrypt(&self) {
        self.has_bcrypt.store(true, Ordering::Relaxed);
    }

    /// Whether the hash was made at the present cost.
    pub(crate) fn is_current(&self, stored: &str) -> bool {
        PasswordHash::new(stored)
            .ok()
            .and_then(|hash| Params::try_from(&hash).ok())
            .is_some_and(|params| params == *self.algorithm.params())
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let place = Arc::clone(&self.room)
            .try_acquire_owned()
            .map_err(|_| Error::TooMany { retry_after: Duration::from_secs(1) })?;
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(Error::internal)?;
        // The thread keeps both until it is done, also when nobody waits for it any more.
        tokio::task::spawn_blocking(move || {
            let done = work();
            drop((turn, place));
            done
        })
        .await
        .map_err(Error::internal)
    }
}

fn internal(error: &dyn std::fmt::Display) -> Error {
    Error::internal(format!("argon2: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Result<Password, PasswordError> {
        Password::try_from(Secret::new(text))
    }

    #[test]
    fn passwords_are_long_varied_and_not_obvious() {
        for (text, error) in [
            ("short-12345", PasswordError::TooShort),
            (&"ö".repeat(11), PasswordError::TooShort),
            (&"a b c ".repeat(22), PasswordError::TooLong),
            ("aaaaaaaaaaaaaaaa", PasswordError::Monotonous),
            ("abababababab", PasswordError::Monotonous),
            ("aaaaaaaaaaab", PasswordError::Monotonous),
            ("Password1234", PasswordError::Obvious),
            ("PASSWORDpassword!", PasswordError::Obvious),
            ("2024-letmein-2024", PasswordError::Obvious),
            ("administrator", PasswordError::Obvious),
            ("123456789012", PasswordError::Obvious),
            ("1q2w3e4r5t6y", PasswordError::Obvious),
            ("qwertyuiopas", PasswordError::Obvious),
        ] {
            assert_eq!(password(text).err(), Some(error), "{text}");
        }
        for good in
            ["correct horse", "  spaces count  ", "passwords are long", "aab aab aab aab", "ööööööäääääü"]
        {
            assert!(password(good).is_ok(), "{good}");
        }
        assert!(password(&"xyz ".repeat(32)).is_ok());
        assert!(password(&"xyz ".repeat(33)).is_err());
    }

    #[test]
    fn the_owners_name_is_refused_when_it_is_long_enough_to_tell() {
        let email = |text: &str| Email::try_from(text).unwrap();
        let held = password("I am LOVELACE the first").unwrap();
        assert_eq!(held.suits(&email("lovelace@example.com")), Err(PasswordError::ContainsName));
        assert_eq!(held.suits(&email("babbage@example.com")), Ok(()));
        assert_eq!(password("the ada of adas").unwrap().suits(&email("ada@example.com")), Ok(()));
    }

    #[tokio::test]
    async fn hashes_verify_and_tell_their_cost() {
        let cheap = Hashing::new(PasswordCost::Minimal, None).unwrap();
        let dear = Hashing::new(PasswordCost::Standard, Some(1)).unwrap();
        let secret = Secret::new("correct horse");
        for (hashing, other, params) in [(&cheap, &dear, "m=8,t=1,p=1"), (&dear, &cheap, "m=19456,t=2,p=1")] {
            let hash = hashing.hash(&secret).await.unwrap();
            assert!(hash.starts_with(&format!("$argon2id$v=19${params}$")), "{hash}");
            assert!(hash.len() <= 255);
            assert!(hashing.verify(&secret, Some(&hash)).await.unwrap());
            assert!(other.verify(&secret, Some(&hash)).await.unwrap());
            assert!(!hashing.verify(&Secret::new("correct horsf"), Some(&hash)).await.unwrap());
            assert!(hashing.is_current(&hash) && !other.is_current(&hash));
            assert!(!hashing.is_current("nonsense"));
        }
        assert!(!cheap.verify(&secret, None).await.unwrap());
        assert!(!cheap.verify(&Secret::new(""), None).await.unwrap());
    }

    #[tokio::test]
    async fn passwords_from_mainflux_are_checked_and_count_as_outdated() {
        let hashing = Hashing::new(PasswordCost::Minimal, None).unwrap();
        // Of Go's x/crypto/bcrypt, whose version is `2a`.
        let hash =
            bcrypt::hash_with_result("correct horse", 4).unwrap().format_for_version(bcrypt::Version::TwoA);
        assert!(is_bcrypt(&hash), "{hash}");
        assert!(hashing.verify(&Secret::new("correct horse"), Some(&hash)).await.unwrap());
        assert!(!hashing.verify(&Secret::new("correct horsf"), Some(&hash)).await.unwrap());
        assert!(!hashing.is_current(&hash));
        assert!(hashing.has_bcrypt.load(Ordering::Relaxed));
        assert!(!hashing.verify(&Secret::new("correct horse"), None).await.unwrap());
        let own = hashing.hash(&Secret::new("correct horse")).await.unwrap();
        assert!(hashing.verify(&Secret::new("correct horse"), Some(&own)).await.unwrap());
        assert!(is_bcrypt(NOBODYS));
        assert!(!bcrypt::verify("", NOBODYS).unwrap());
        let broken = format!("$2a$10${}", "!".repeat(53));
        assert!(!hashing.verify(&Secret::new(""), Some(&broken)).await.unwrap());
    }

    #[tokio::test]
    async fn an_unknown_account_costs_the_same() {
        let hashing = Hashing::new(PasswordCost::Standard, Some(1)).unwrap();
        assert!(hashing.is_current(&hashing.dummy));
        let shape = |hash: &str| hash.split('$').map(str::len).collect::<Vec<_>>();
        let real = hashing.hash(&Secret::new("correct horse")).await.unwrap();
        assert_eq!(shape(&real), shape(&hashing.dummy));
    }

    #[tokio::test]
    async fn a_storm_is_sent_away_and_work_goes_on() {
        let hashing = Arc::new(Hashing::new(PasswordCost::Standard, Some(1)).unwrap());
        let storm: Vec<_> = (0..200)
            .map(|_| {
                let hashing = Arc::clone(&hashing);
                tokio::spawn(async move { hashing.verify(&Secret::new("x"), None).await })
            })
            .collect();
        let (mut done, mut refused) = (0, 0);
        for one in storm {
            match one.await.unwrap() {
                Ok(false) => done += 1,
                Err(Error::TooMany { .. }) => refused += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(done + refused, 200);
        assert!((1..=QUEUE + 40).contains(&done), "{done}");
        // All places are free again.
        assert_eq!(hashing.room.available_permits(), QUEUE + 1);
        assert!(hashing.verify(&Secret::new("x"), None).await.is_ok());
    }
}

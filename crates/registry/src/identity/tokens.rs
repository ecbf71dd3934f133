//! Personal access tokens: what a person gives to a program instead of a password. They can be
//! narrower than the person (read only, one organisation, one group), never wider.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::users::UserStatus;
use crate::{
    Registry,
    access::{self, SelfPermit, Via, View},
    actor::{Call, Within},
    clock::Timestamp,
    error::{ConflictKind, Error, Result},
    ids::TokenId,
    journal::{self, Changes, Entry, Subject},
    page::{Page, PageQuery},
    secret::{Prefix, Secret},
    store::{self, Db, Tx, lock, lock::GroupLock, lock::OrgLock},
    text::TokenName,
    version::{Expect, Version},
};

/// The most tokens one person has, expired ones included.
pub const MAX_TOKENS: i64 = 100;
/// The longest a token may be asked to live: ten years.
pub const MAX_LIFE: Duration = Duration::from_secs(10 * 366 * 24 * 3600);
/// How exactly the last use is known.
const USE_RESOLUTION: Duration = Duration::from_secs(60);
/// How many uses are being noted at most; more are left for the next request.
const MOST_NOTES: usize = 16;

/// A token, without its value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccessToken {
    /// Its id.
    pub id: TokenId,
    /// What its owner calls it; not unique.
    pub name: String,
    /// Whether it may change anything.
    pub can_write: bool,
    /// The one place it works in; `None` for wherever its owner has rights.
    pub within: Option<Within>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, give or take a minute.
    pub last_used_at: Option<Timestamp>,
}

impl AccessToken {
    /// What an ETag is made of.
    pub fn version(&self) -> Version {
        Version::of(&(self.id, &self.name, self.can_write, self.within, self.expires_at, self.last_used_at))
    }
}

/// A token to be made.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// What to call it.
    pub name: TokenName,
    /// Whether it may change anything.
    pub can_write: bool,
    /// The one place it works in, in which its owner has a role.
    pub within: Option<Within>,
    /// When it ends by itself; at most [`MAX_LIFE`] from now.
    pub expires_at: Option<Timestamp>,
}

/// A token just made, with its value: shown once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CreatedToken {
    /// All that is known of it later.
    pub token: AccessToken,
    /// The value to present.
    #[serde(with = "crate::secret::in_sealed_record")]
    pub value: Option<Secret>,
}

/// What tokens are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TokenOrder {
    /// By id: the order of creation.
    #[default]
    Id,
    /// By name, ASCII case folded, then by code point.
    Name,
}

impl Registry {
    /// Makes a token. Only a person who has logged in may: a token that could make tokens would
    /// outlive its own deletion.
    pub async fn create_token(&self, call: &Call, new: &NewToken) -> Result<CreatedToken> {
        let (_, session) = call.logged_in()?;
        use_case!(self, call, |tx| {
            let permit = access::oneself(call, true)?;
            if let Some(expires_at) = new.expires_at {
                let now = tx.now();
                if expires_at <= now || expires_at > now.after(MAX_LIFE) {
                    return Err(Error::invalid(
                        "expires_at",
                        "must be in the future and at most ten years away",
                    ));
                }
            }
            may_bind(&mut tx, call, new.within).await?;
            lock::users(&mut tx, &[permit.user()]).await?;
            // The person may have been shut out, or logged out, since the request began.
            let enabled = store::users::account(&mut tx, permit.user())
                .await?
                .is_some_and(|account| account.status == UserStatus::Enabled);
            if !enabled || !store::sessions::is_live(&mut tx, &permit, session).await? {
                return Err(Error::Unauthenticated);
            }
            if store::tokens::count(&mut tx, &permit).await? >= MAX_TOKENS {
                return Err(Error::conflict(ConflictKind::TooManyTokens));
            }
            let token = AccessToken {
                id: self.ids.make(tx.now()),
                name: new.name.as_str().to_owned(),
                can_write: new.can_write,
                within: new.within,
                created_at: tx.now(),
                expires_at: new.expires_at,
                last_used_at: None,
            };
            let value = Secret::generate(Prefix::AccessToken)?;
            store::tokens::insert(&mut tx, &permit, &token, &value).await?;
            let changes = Changes::default().made("can_write", token.can_write).made("within", token.within);
            let entry = entry(&permit, "token.created", &token).with(changes);
            journal::commit(self, tx, call, vec![entry], CreatedToken { token, value: Some(value) }).await
        })
    }

    /// One's own tokens.
    pub async fn list_tokens(&self, call: &Call, query: &PageQuery<TokenOrder>) -> Result<Page<AccessToken>> {
        let permit = access::oneself(call, false)?;
        store::tokens::list(&mut self.db.read().await?, &self.keyring, &permit, query).await
    }

    /// One of one's own tokens.
    pub async fn view_token(&self, call: &Call, id: TokenId) -> Result<AccessToken> {
        let permit = access::oneself(call, false)?;
        store::tokens::get(&mut self.db.read().await?, &permit, id).await
    }

    /// Deletes one of one's own tokens: it does not work any more when this returns.
    pub async fn delete_token(&self, call: &Call, id: TokenId, expect: &Expect) -> Result<()> {
        use_case!(self, call, |tx| {
            let permit = access::oneself(call, true)?;
            let token = store::tokens::get(&mut tx, &permit, id).await?;
            expect.check(&token.version())?;
            if !store::tokens::delete(&mut tx, &permit, id).await? {
                return Err(Error::NotFound);
            }
            let entry = entry(&permit, "token.deleted", &token);
            journal::commit(self, tx, call, vec![entry], ()).await
        })
    }
}

/// The place must be one that the caller has a role in, and must still be there afterwards.
async fn may_bind(tx: &mut Tx, call: &Call, within: Option<Within>) -> Result<()> {
    match within {
        Some(Within::Org(org)) => {
            lock::org(tx, org, OrgLock::Share).await?;
            access::permit::<View, _>(tx, call, org).await.map(drop)
        }
        Some(Within::Group(group)) => {
            lock::org_of_group(tx, group).await?;
            lock::groups(tx, &[group], GroupLock::Contents).await?;
            access::permit::<View, _>(tx, call, group).await.map(drop)
        }
        None => Ok(()),
    }
}

fn entry(_: &SelfPermit, action: &'static str, token: &AccessToken) -> Entry {
    Entry::about(Via::Oneself, action, Subject::token(token.id, &token.name))
}

/// Notes when tokens were last used, off the path of the requests that use them.
#[derive(Clone, Default)]
pub(crate) struct LastUses(Arc<Mutex<HashSet<TokenId>>>);

impl LastUses {
    /// Notes a use in a task of its own, once a minute for each token; a failure is logged and
    /// made good by a later use.
    pub(crate) fn note(&self, db: &Db, token: TokenId, last: Option<Timestamp>, now: Timestamp) {
        if last.is_some_and(|last| now.since(last) < USE_RESOLUTION) {
            return;
        }
        let Some(noting) = self.begin(token) else { return };
        let db = db.clone();
        tokio::spawn(async move {
            let noted = async {
                let mut tx = db.write().await?;
                let minute_ago = tx.now().before(USE_RESOLUTION);
                store::tokens::note_use(&mut tx, token, minute_ago).await?;
                tx.commit_raw().await
            };
            if let Err(error) = noted.await {
                tracing::debug!(%error, "a token's last use was not noted");
            }
            drop(noting);
        });
    }

    fn begin(&self, token: TokenId) -> Option<Noting> {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (notes.len() < MOST_NOTES && notes.insert(token)).then(|| Noting(self.clone(), token))
    }
}

/// A note being written; over when dropped, whatever happened.
struct Noting(LastUses, TokenId);

impl Drop for Noting {
    fn drop(&mut self) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

//! Rights that no role in an organisation gives: over the platform, over one's own account, and over
//! the making of accounts.

use super::Via;
use crate::{
    actor::{Actor, Call},
    error::{Denial, Error, Result},
    ids::UserId,
};

/// Proof that the actor administers the platform.
pub(crate) struct PlatformPermit(());

/// May the caller administer the platform?
pub(crate) fn platform(call: &Call, writes: bool) -> Result<PlatformPermit> {
    let user = call.user()?;
    if !user.is_platform_admin() {
        return Err(Error::Forbidden(Denial::PlatformOnly));
    }
    if user.within().is_some() || (writes && !user.can_write()) {
        return Err(Error::Forbidden(Denial::Scope));
    }
    Ok(PlatformPermit(()))
}

impl PlatformPermit {
    /// It reaches every account.
    pub(crate) fn account(&self, id: UserId) -> AccountPermit {
        AccountPermit { user: id, via: Via::PlatformAdmin }
    }

    /// It makes accounts, whether registration is open or not.
    pub(crate) fn registration(&self) -> RegistrationPermit {
        RegistrationPermit(Via::PlatformAdmin)
    }
}

/// May the caller have everything at once, password hashes and sealed keys included? Who administers the
/// platform, by a credential without bounds, or the program itself; and by what right.
pub(crate) fn backup(call: &Call) -> Result<Via> {
    match call.actor {
        Actor::System => Ok(Via::System),
        Actor::Anonymous | Actor::User(_) | Actor::Thing(_) => {
            platform(call, true).map(|_| Via::PlatformAdmin)
        }
    }
}

/// Proof that this is the actor's own account.
pub(crate) struct SelfPermit(UserId);

impl SelfPermit {
    /// Whose.
    pub(crate) fn user(&self) -> UserId {
        self.0
    }

    /// It reaches that account.
    pub(crate) fn account(&self) -> AccountPermit {
        AccountPermit { user: self.0, via: Via::Oneself }
    }
}

/// May the caller act on their own account? A bound token may not: the account is outside its bounds.
pub(crate) fn oneself(call: &Call, writes: bool) -> Result<SelfPermit> {
    let user = call.user()?;
    if user.within().is_some() || (writes && !user.can_write()) {
        return Err(Error::Forbidden(Denial::Scope));
    }
    Ok(SelfPermit(user.id))
}

/// Proof that the actor may deal with an account: their own, or anybody's for the platform's
/// administrators.
pub(crate) struct AccountPermit {
    user: UserId,
    via: Via,
}

impl AccountPermit {
    /// Whose: take it from here, never from the request.
    pub(crate) fn user(&self) -> UserId {
        self.user
    }

    /// By what right.
    pub(crate) fn via(&self) -> Via {
        self.via
    }
}

/// May the caller look at this account? To everybody else it does not exist.
pub(crate) fn account(call: &Call, id: UserId) -> Result<AccountPermit> {
    if call.user()?.id == id {
        return oneself(call, false).map(|permit| permit.account());
    }
    match platform(call, false) {
        Ok(permit) => Ok(permit.account(id)),
        Err(Error::Forbidden(Denial::PlatformOnly)) => Err(Error::NotFound),
        Err(error) => Err(error),
    }
}

/// May the caller let this person in, or shut them out? To whom the account does not exist, it does not
/// exist here either.
pub(crate) fn admission(call: &Call, id: UserId) -> Result<PlatformPermit> {
    match platform(call, true) {
        Err(Error::Forbidden(Denial::PlatformOnly)) if call.user()?.id != id => Err(Error::NotFound),
        found => found,
    }
}

/// Proof that an account may be made.
pub(crate) struct RegistrationPermit(Via);

impl RegistrationPermit {
    /// By what right.
    pub(crate) fn via(&self) -> Via {
        self.0
    }
}

/// May anybody make themselves an account?
pub(crate) fn registration(open: bool) -> Result<RegistrationPermit> {
    if open { Ok(RegistrationPermit(Via::Public)) } else { Err(Error::Forbidden(Denial::RegistrationClosed)) }
}

/// Somebody who shows a platform invite's secret makes themselves the account it is for.
pub(crate) fn invited() -> RegistrationPermit {
    RegistrationPermit(Via::Invitation)
}

/// The program itself makes the first account.
pub(crate) fn first_start(call: &Call) -> Result<RegistrationPermit> {
    match call.actor {
        Actor::System => Ok(RegistrationPermit(Via::System)),
        Actor::Anonymous | Actor::User(_) | Actor::Thing(_) => Err(Error::Unauthenticated),
    }
}

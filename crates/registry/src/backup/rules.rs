//! What single values of a restored row have to be: what the API would have taken, in the form that it
//! would have stored.

use super::tables::Cell;
use crate::{
    access::{Role, Via},
    actor::{MAX_HEADER_KEY, PlatformRole},
    credentials::{IndexedAs, PLAUSIBLE_BYTES, Reason},
    identity::{password, users::UserStatus},
    invites::{InviteMode, InviteState},
    profiles::ProfileConfig,
    text::{Description, Email, GroupName, OrgName, ProfileName, RedirectPath, TextError, ThingName},
    things::ThingType,
};

/// Says what is wrong with a value that is of the right kind and not null.
pub(crate) type Rule = fn(&Cell) -> Result<(), String>;

/// Whatever is of the right kind.
pub(crate) fn anything(_: &Cell) -> Result<(), String> {
    Ok(())
}

pub(crate) fn count(cell: &Cell) -> Result<(), String> {
    match cell {
        Cell::Int(1..) => Ok(()),
        _ => Err("must be a whole number from 1".to_owned()),
    }
}

fn text(cell: &Cell) -> Result<&str, String> {
    cell.text().ok_or_else(|| "must be a string".to_owned())
}

/// Text that its type gives back as it came.
fn stored<'c, T: TryFrom<&'c str, Error = TextError>>(
    cell: &'c Cell,
    as_str: impl Fn(&T) -> &str,
) -> Result<(), String> {
    let text = text(cell)?;
    let made = T::try_from(text).map_err(|error| error.to_string())?;
    if as_str(&made) == text {
        Ok(())
    } else {
        Err("must be in the form in which it is stored: trimmed, composed (NFC), addresses in lower case"
            .to_owned())
    }
}

pub(crate) fn email(cell: &Cell) -> Result<(), String> {
    stored(cell, Email::as_str)
}

pub(crate) fn org_name(cell: &Cell) -> Result<(), String> {
    stored(cell, OrgName::as_str)
}

pub(crate) fn group_name(cell: &Cell) -> Result<(), String> {
    stored(cell, GroupName::as_str)
}

pub(crate) fn profile_name(cell: &Cell) -> Result<(), String> {
    stored(cell, ProfileName::as_str)
}

pub(crate) fn thing_name(cell: &Cell) -> Result<(), String> {
    stored(cell, ThingName::as_str)
}

pub(crate) fn description(cell: &Cell) -> Result<(), String> {
    stored(cell, Description::as_str)
}

pub(crate) fn redirect_path(cell: &Cell) -> Result<(), String> {
    stored(cell, RedirectPath::as_str)
}

/// More than the API takes: what came from Mainflux lets things in whatever it looks like.
pub(crate) fn external_key(cell: &Cell) -> Result<(), String> {
    let text = text(cell)?;
    // PostgreSQL's column has room for so many.
    let fits = PLAUSIBLE_BYTES.contains(&text.len()) && text.chars().count() <= 1024;
    match fits && !text.contains('\0') {
        true => Ok(()),
        false => Err("must be 1 to 4096 bytes and at most 1024 characters long, without U+0000".to_owned()),
    }
}

/// One of a closed set.
fn one_of(cell: &Cell, known: &[&str]) -> Result<(), String> {
    if known.contains(&text(cell)?) { Ok(()) } else { Err(format!("must be one of {}", known.join(", "))) }
}

pub(crate) fn user_status(cell: &Cell) -> Result<(), String> {
    one_of(cell, &[UserStatus::Enabled.as_str(), UserStatus::Disabled.as_str()])
}

pub(crate) fn platform_role(cell: &Cell) -> Result<(), String> {
    one_of(cell, &[PlatformRole::Root.as_str(), PlatformRole::Admin.as_str()])
}

pub(crate) fn role(cell: &Cell) -> Result<(), String> {
    one_of(cell, &Role::ALL.map(Role::as_str))
}

/// What an invite may give.
pub(crate) fn granted_role(cell: &Cell) -> Result<(), String> {
    one_of(cell, &[Role::Viewer, Role::Editor, Role::Admin].map(Role::as_str))
}

/// What a settled invite to a group gave. Those that came from Mainflux may say what no invite can give; they give
/// nothing any more.
pub(crate) fn former_role(cell: &Cell) -> Result<(), String> {
    // PostgreSQL's column has room for so many.
    let text = text(cell)?;
    match text.chars().count() {
        ..=12 if !text.contains('\0') => Ok(()),
        _ => Err("must be at most 12 characters long, without U+0000".to_owned()),
    }
}

pub(crate) fn thing_type(cell: &Cell) -> Result<(), String> {
    one_of(cell, &ThingType::ALL.map(ThingType::as_str))
}

pub(crate) fn indexed_as(cell: &Cell) -> Result<(), String> {
    one_of(cell, &[IndexedAs::Key, IndexedAs::External, IndexedAs::Previous].map(IndexedAs::as_str))
}

pub(crate) fn retired_because(cell: &Cell) -> Result<(), String> {
    one_of(cell, &[Reason::Expired, Reason::Replaced, Reason::Removed].map(Reason::as_str))
}

pub(crate) fn invite_mode(cell: &Cell) -> Result<(), String> {
    one_of(cell, &[InviteMode::Ask, InviteMode::Join].map(InviteMode::as_str))
}

/// Pending invites are not in backups.
pub(crate) fn settled(cell: &Cell) -> Result<(), String> {
    let ended = [InviteState::Accepted, InviteState::Declined, InviteState::Revoked, InviteState::Expired];
    one_of(cell, &ended.map(InviteState::as_str))
}

pub(crate) fn via(cell: &Cell) -> Result<(), String> {
    one_of(cell, &Via::ALL.map(Via::as_str))
}

pub(crate) fn actor_kind(cell: &Cell) -> Result<(), String> {
    one_of(cell, &["user", "thing", "system", "anonymous"])
}

fn word(cell: &Cell, most: usize, points: bool) -> Result<(), String> {
    let text = text(cell)?;
    let plain = |c: u8| c.is_ascii_lowercase() || c == b'_' || (points && c == b'.');
    if (1..=most).contains(&text.len()) && text.bytes().all(plain) {
        return Ok(());
    }
    let points = if points { ", points" } else { "" };
    Err(format!("must be 1 to {most} lower-case letters{points} and underscores"))
}

pub(crate) fn action(cell: &Cell) -> Result<(), String> {
    word(cell, 64, true)
}

pub(crate) fn subject_kind(cell: &Cell) -> Result<(), String> {
    word(cell, 20, false)
}

pub(crate) fn subject_name(cell: &Cell) -> Result<(), String> {
    stored(cell, ThingName::as_str)
}

pub(crate) fn request_id(cell: &Cell) -> Result<(), String> {
    let text = text(cell)?;
    if text.len() <= MAX_HEADER_KEY && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(())
    } else {
        Err(format!("must be at most {MAX_HEADER_KEY} visible ASCII characters"))
    }
}

pub(crate) fn password_hash(cell: &Cell) -> Result<(), String> {
    if password::is_hash(text(cell)?) {
        Ok(())
    } else {
        Err("must be the hash of a password as this program makes them (argon2id, at bounded cost)"
            .to_owned())
    }
}

/// `h1.<pepper id>.<32 bytes in base64url>`
pub(crate) fn verifier(cell: &Cell) -> Result<(), String> {
    let well_formed = text(cell)?.strip_prefix("h1.").and_then(|rest| rest.split_once('.')).is_some_and(
        |(pepper, digest)| {
            (1..=8).contains(&pepper.len())
                && pepper.bytes().all(|byte| byte.is_ascii_alphanumeric())
                && super::lines::from_base64(digest).is_some_and(|bytes| bytes.len() == 32)
        },
    );
    if well_formed { Ok(()) } else { Err("must be a verifier: h1.<pepper>.<digest>".to_owned()) }
}

/// A nonce and a tag of 40 bytes together, and a key: one that came from Mainflux may be longer than new ones.
pub(crate) fn sealed(cell: &Cell) -> Result<(), String> {
    match cell.bytes() {
        Some(bytes) if (40..=40 + PLAUSIBLE_BYTES.end()).contains(&bytes.len()) => Ok(()),
        _ => Err(format!("must be a sealed key: 40 to {} bytes", 40 + PLAUSIBLE_BYTES.end())),
    }
}

pub(crate) fn sha256(cell: &Cell) -> Result<(), String> {
    match cell.bytes() {
        Some(bytes) if bytes.len() == 32 => Ok(()),
        _ => Err("must be 32 bytes".to_owned()),
    }
}

pub(crate) fn config(cell: &Cell) -> Result<(), String> {
    let Cell::Json(object) = cell else { return Err("must be an object".to_owned()) };
    ProfileConfig::faults(object.clone()).map_or(Ok(()), Err)
}

//! How a browser keeps a log-in: a cookie with the session's token, the same one that a program gets
//! from `POST /tokens`. Only pages look at it; to the API it is nothing.

use axum::http::HeaderValue;
use registry::{NewSession, Timestamp};

use crate::{Options, rest::Problem};

/// Bound by browsers to HTTPS and to this host alone: no neighbour can set or see it.
const BOUND: &str = "__Host-things_session";
/// For plain HTTP, where browsers refuse the other name.
const PLAIN: &str = "things_session";

/// What the cookie is called here.
pub(super) fn name(options: &Options) -> &'static str {
    if options.https() { BOUND } else { PLAIN }
}

/// Gives the browser a session; it forgets it when the session ends by itself.
pub(super) fn begin(options: &Options, session: &NewSession, now: Timestamp) -> Result<HeaderValue, Problem> {
    let token = session.token.as_ref().ok_or_else(|| Problem::internal("a new session without a token"))?;
    set(options, token.expose(), session.expires_at.since(now).as_secs())
}

/// Takes it away again.
pub(super) fn end(options: &Options) -> Result<HeaderValue, Problem> {
    set(options, "", 0)
}

/// `Lax`: links from mails and other sites find one logged in; forms and frames of other sites do not.
fn set(options: &Options, value: &str, seconds: u64) -> Result<HeaderValue, Problem> {
    let secure = if options.https() { "; Secure" } else { "" };
    let name = name(options);
    let cookie = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
    let mut header = HeaderValue::try_from(cookie).map_err(Problem::internal)?;
    header.set_sensitive(true);
    Ok(header)
}

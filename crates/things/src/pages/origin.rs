//! Forms come from our own pages: what another site makes a browser send is refused, besides coming
//! without the cookie (`SameSite=Lax`).
//!
//! The rules are those of Go's `http.CrossOriginProtection`, as in `tower_http::csrf`. That layer is not
//! used because it writes every path into the log at the level `trace`, and ours hold secrets.

use axum::{
    extract::{Request, State},
    http::{HeaderMap, Method, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::{
    App,
    rest::problem::{Problem, kinds},
};

/// The layer.
pub(super) async fn only_ours(State(app): State<App>, request: Request, next: Next) -> Response {
    let harmless = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if harmless || is_ours(request.uri(), request.headers(), &app.options.public_url) {
        return next.run(request).await;
    }
    Problem::new(
        &kinds::CROSS_SITE,
        "this form was not sent from a page of this service; open the page here and send it again",
    )
    .into_response()
}

/// Whether a form was sent from one of our pages, or by no browser.
fn is_ours(uri: &Uri, headers: &HeaderMap, public_url: &str) -> bool {
    // Browsers tell it themselves to where they trust the connection: HTTPS and this machine.
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin" || site == "none";
    }
    // Every browser says with a form where it comes from; programs need no protection.
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    let asked = match uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => headers.get(header::HOST).and_then(|host| host.to_str().ok()),
    };
    let authority = ["http://", "https://"].into_iter().find_map(|scheme| origin.strip_prefix(scheme));
    // A proxy in front may have asked for us by another name than the browser did.
    (authority.is_some() && authority == asked) || of(public_url).is_some_and(|ours| ours == origin)
}

/// An address's origin as browsers spell it: in small letters, without a path and the usual port.
fn of(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?.to_ascii_lowercase();
    let usual = if scheme == "https" { ":443" } else { ":80" };
    let authority = authority.strip_suffix(usual).unwrap_or(&authority);
    Some(format!("{scheme}://{authority}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_spelt_as_browsers_do() {
        for (url, origin) in [
            ("https://Things.Example.com", "https://things.example.com"),
            ("https://things.example.com:443/", "https://things.example.com"),
            ("http://things.example.com:80/x?y", "http://things.example.com"),
            ("http://things.example.com:443", "http://things.example.com:443"),
            ("http://[::1]:8182", "http://[::1]:8182"),
        ] {
            assert_eq!(of(url).as_deref(), Some(origin), "{url}");
        }
    }
}

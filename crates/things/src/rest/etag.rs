//! Entity tags: `"<version>.<role>"`. The role is part of the tag, because the same resource looks
//! different after one's role has changed, but not of what `If-Match` compares.

use std::convert::Infallible;

use axum::{
    Json,
    extract::FromRequestParts,
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use registry::{Error, Expect, Version};
use serde::Serialize;

use super::Problem;
use crate::App;

/// The version that `If-Match` expects to find; any without the header.
pub(crate) struct IfMatch(pub(crate) Expect);

impl FromRequestParts<App> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        let Some(tags) = tags(&parts.headers, header::IF_MATCH)? else { return Ok(Self(Expect::any())) };
        if tags.iter().any(|tag| matches!(tag, Tag::Any)) {
            return Ok(Self(Expect::any()));
        }
        let versions = tags.iter().filter_map(|tag| match tag {
            // Weak tags never match where a change depends on it (RFC 9110 §13.1.1).
            Tag::Any | Tag::Weak(_) => None,
            Tag::Strong(text) => Some(text.rsplit_once('.').map_or(*text, |(version, _)| version).to_owned()),
        });
        Ok(Self(Expect::one_of(versions.collect())))
    }
}

/// What `If-None-Match` says the client has already. An unreadable header is as good as none: the
/// worst that follows is a whole answer.
pub(crate) struct IfNoneMatch(Vec<String>);

impl FromRequestParts<App> for IfNoneMatch {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Infallible> {
        let tags = tags(&parts.headers, header::IF_NONE_MATCH).ok().flatten().unwrap_or_default();
        let text = |tag: &Tag<'_>| match tag {
            Tag::Any => "*".to_owned(),
            Tag::Strong(text) | Tag::Weak(text) => (*text).to_owned(),
        };
        Ok(Self(tags.iter().map(text).collect()))
    }
}

/// A single resource with its tag: 200, or 304 when the client has it already.
pub(crate) fn tagged(body: impl Serialize, version: &Version, role: &str, known: &IfNoneMatch) -> Response {
    let tag = format!("{}.{role}", version.as_str());
    let mut response = if known.0.iter().any(|known| *known == tag || known == "*") {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        Json(body).into_response()
    };
    if let Ok(value) = HeaderValue::from_str(&format!("\"{tag}\"")) {
        response.headers_mut().insert(header::ETAG, value);
    }
    response
}

/// A resource as it is after a change, with its new tag.
pub(crate) fn changed(body: impl Serialize, version: &Version, role: &str) -> Response {
    tagged(body, version, role, &IfNoneMatch(Vec::new()))
}

#[derive(Debug, PartialEq)]
enum Tag<'a> {
    Any,
    Strong(&'a str),
    Weak(&'a str),
}

/// The header's tags; `None` without the header.
fn tags(headers: &HeaderMap, name: header::HeaderName) -> Result<Option<Vec<Tag<'_>>>, Problem> {
    let mut found = None;
    let field = if name == header::IF_MATCH { "If-Match" } else { "If-None-Match" };
    let refuse =
        || Problem::from(Error::invalid(field, "must be `*` or a list of ETags, each in double quotes"));
    for value in headers.get_all(&name) {
        let tags = found.get_or_insert_with(Vec::new);
        let mut rest = value.to_str().map_err(|_| refuse())?.trim();
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('*') {
                tags.push(Tag::Any);
                rest = after;
            } else {
                let (weak, quoted) = rest.strip_prefix("W/").map_or((false, rest), |rest| (true, rest));
                let (text, after) =
                    quoted.strip_prefix('"').and_then(|text| text.split_once('"')).ok_or_else(refuse)?;
                tags.push(if weak { Tag::Weak(text) } else { Tag::Strong(text) });
                rest = after;
            }
            rest = rest.trim_start();
            rest = match rest.strip_prefix(',') {
                Some(after) => after.trim_start(),
                None if rest.is_empty() => rest,
                None => return Err(refuse()),
            };
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Option<Vec<String>> {
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_MATCH, value.parse().unwrap());
        tags(&headers, header::IF_MATCH)
            .ok()
            .flatten()
            .map(|tags| tags.iter().map(|tag| format!("{tag:?}")).collect())
    }

    #[test]
    fn lists_stars_and_weak_tags_are_told_apart() {
        assert_eq!(read("*").unwrap(), ["Any"]);
        assert_eq!(read(r#""a.viewer""#).unwrap(), [r#"Strong("a.viewer")"#]);
        assert_eq!(read(r#" W/"a" , "b,c",*"#).unwrap(), [r#"Weak("a")"#, r#"Strong("b,c")"#, "Any"]);
        for bad in ["a", r#""a"#, r#""a" "b""#, "w/\"a\""] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}

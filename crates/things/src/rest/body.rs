//! Bodies: JSON within limits, refused in words that say what to do.

use std::sync::{Arc, OnceLock};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::{FromRequest, Request},
    http::{HeaderMap, Version, header, request::Parts},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use registry::Error;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::{Problem, problem, wording};
use crate::{
    App,
    auth::Identity,
    limits::{
        bodies::{Room, Sender},
        time::within,
    },
};

/// The largest body, in bytes.
const MAX_BODY: usize = 1024 * 1024;
/// The same for whoever comes without a valid token: a key, an address and a password, or an account's
/// metadata that is not too long.
const MAX_UNKNOWN_BODY: usize = 16 * 1024;

/// The room that a request's body takes, held until the request is answered: what is read from a body
/// is as large as the body.
#[derive(Clone, Default)]
pub(crate) struct HeldRoom(Arc<OnceLock<Room>>);

/// A JSON body. The last argument of a handler.
pub(crate) struct Json<T>(pub(crate) T);

/// A JSON body that may be left out, or null: then its type's default counts. Without a body no content
/// type is needed.
pub(crate) struct OptionalJson<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        is_json(&parts.headers)?;
        parse(&read(&parts, body, app).await?).map(Self)
    }
}

impl<T: DeserializeOwned + Default> FromRequest<App> for OptionalJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let bytes = read(&parts, body, app).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        is_json(&parts.headers)?;
        Ok(Self(parse::<Option<T>>(&bytes)?.unwrap_or_default()))
    }
}

/// The JSON body of a request that nobody has been identified for, with the room that it takes, to be held
/// until the answer is there.
pub(crate) async fn anonymous_json<T: DeserializeOwned>(
    request: Request,
    app: &App,
) -> Result<(T, Option<Room>), Problem> {
    let (parts, body) = request.into_parts();
    is_json(&parts.headers)?;
    let (bytes, room) = take(&parts, body, app, false, true).await?;
    Ok((parse(&bytes)?, room))
}

/// Reads a whole body, as far as it is within the limits of size and time, and there is room for it.
pub(crate) async fn read(parts: &Parts, body: Body, app: &App) -> Result<Bytes, Problem> {
    let known = matches!(parts.extensions.get::<Identity>(), Some(Identity::User(_)));
    let held = parts.extensions.get::<HeldRoom>().cloned().unwrap_or_default();
    // One that is read again, to recognise a repetition, has its room already.
    let (bytes, room) = take(parts, body, app, known, held.0.get().is_none()).await?;
    if let Some(room) = room {
        let _ = held.0.set(room);
    }
    Ok(bytes)
}

async fn take(
    parts: &Parts,
    body: Body,
    app: &App,
    known: bool,
    needs_room: bool,
) -> Result<(Bytes, Option<Room>), Problem> {
    let most = if known { MAX_BODY } else { MAX_UNKNOWN_BODY };
    let too_large = || {
        let detail = match known {
            true => format!("the body is larger than {most} bytes; send less at a time"),
            false => format!("the body is larger than the {most} bytes that are taken without a valid token"),
        };
        Problem::new(&problem::kinds::TOO_LARGE, detail)
    };
    let announced = parts
        .headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > most as u64) {
        return Err(too_large());
    }
    // A body whose length is not told may become as long as any.
    let expected = body.size_hint().upper().and_then(|length| usize::try_from(length).ok());
    let expected = expected.map_or(most, |length| length.min(most));
    let room = match expected > 0 && needs_room {
        true => {
            let sender = if known { Sender::Known } else { Sender::Unknown };
            Some(app.bodies.take(sender, expected).await?)
        }
        false => None,
    };
    let reading = Limited::new(body, most).collect();
    let limit = app.options.body_timeout;
    let read = match parts.version {
        Version::HTTP_2 => timeout(limit, reading).await.ok(),
        _ => within(limit, reading).await,
    };
    match read {
        Some(Ok(collected)) => Ok((collected.to_bytes(), room)),
        Some(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Some(Err(_)) => Err(Error::invalid("body", "broke off before its end").into()),
        None => Err(Problem::new(
            &problem::kinds::TIMEOUT,
            format!("the body did not arrive within {} seconds", app.options.body_timeout.as_secs()),
        )),
    }
}

fn is_json(headers: &HeaderMap) -> Result<(), Problem> {
    let refuse = |detail: &str| Err(Problem::new(&problem::kinds::MEDIA_TYPE, detail));
    if headers.contains_key(header::CONTENT_ENCODING) {
        return refuse("compressed bodies are not accepted; send it without Content-Encoding");
    }
    let named = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = named.split(';').next().unwrap_or_default().trim();
    let structured = essence.starts_with("application/") && essence.ends_with("+json");
    if structured || essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    refuse("the body must be JSON; send it with `Content-Type: application/json`")
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // Where in it one is, is followed only if there is a mistake to tell the place of.
    if let Ok(value) = serde_json::from_slice(bytes) {
        return Ok(value);
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader)
        .map_err(|error| wording::of_json(&error.path().clone(), error.inner()))?;
    reader.end().map_err(|_| Error::invalid("body", "must hold one JSON value and nothing after it"))?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only parsed")]
    struct Item {
        name: Option<String>,
        count: Option<u32>,
        on: Option<bool>,
        tags: Option<Vec<String>>,
        color: Option<Color>,
    }

    #[derive(Deserialize, Debug)]
    #[serde(rename_all = "lowercase")]
    enum Color {
        Red,
        Green,
    }

    fn refusal(text: &str) -> String {
        let problem = parse::<Vec<Item>>(text.as_bytes()).unwrap_err();
        problem.errors_for_test()
    }

    #[test]
    fn refusals_name_the_field_and_never_the_value() {
        for (body, told) in [
            (
                r#"[{},{"nmae":"x"}]"#,
                "[1].nmae: is not a known field; known are name, count, on, tags, color",
            ),
            (r#"[{"name":5551234}]"#, "[0].name: must be a string"),
            (r#"[{"count":"s3cret"}]"#, "[0].count: must be a whole number from 0"),
            (r#"[{"count":-1}]"#, "[0].count: must be a whole number from 0"),
            (r#"[{"count":1.5}]"#, "[0].count: must be a whole number from 0"),
            (r#"[{"on":"yes"}]"#, "[0].on: must be true or false"),
            (r#"[{"tags":"yes"}]"#, "[0].tags: must be an array"),
            (r#"[{"tags":["a",5]}]"#, "[0].tags[1]: must be a string"),
            (r#"[{"color":"blue"}]"#, "[0].color: must be one of red, green"),
            (r#"[{"name":"a","name":"b"}]"#, "[0].name: is given twice"),
            (r#"[5]"#, "[0]: must be an object"),
            (r#"{"name":"a"}"#, "body: must be an array"),
            ("", "body: must be valid JSON, but is empty"),
            ("[{", "body: must be valid JSON, but ends too early"),
            ("[{'a'}]", "body: must be valid JSON: key must be a string at line 1 column 3"),
            (r#"[] []"#, "body: must hold one JSON value and nothing after it"),
            (
                "[\"\u{1}\"]",
                "body: must be valid JSON: control character (\\u0000-\\u001F) found while parsing a string at line 1 column 3",
            ),
        ] {
            assert_eq!(refusal(body), told, "{body}");
        }
        assert!(
            refusal(&"[".repeat(20_000)).starts_with("body: must")
                || refusal(&"[".repeat(20_000)).starts_with("[0]")
        );
    }
}

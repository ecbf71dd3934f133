//! Bodies: JSON within limits, refused in words that say what to do.

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, Request},
    http::{HeaderMap, header},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use registry::Error;
use serde::de::DeserializeOwned;

use super::{Problem, problem, wording};
use crate::App;

/// The largest body, in bytes.
pub(crate) const MAX_BODY: usize = 1024 * 1024;

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
        parse(&read(&parts.headers, body, app).await?).map(Self)
    }
}

impl<T: DeserializeOwned + Default> FromRequest<App> for OptionalJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let bytes = read(&parts.headers, body, app).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        is_json(&parts.headers)?;
        Ok(Self(parse::<Option<T>>(&bytes)?.unwrap_or_default()))
    }
}

/// Reads a whole body, as far as it is within the limits of size and time.
pub(crate) async fn read(headers: &HeaderMap, body: Body, app: &App) -> Result<Bytes, Problem> {
    read_at_most(MAX_BODY, headers, body, app).await
}

/// The same, for what has a limit of size of its own.
pub(crate) async fn read_at_most(
    most: usize,
    headers: &HeaderMap,
    body: Body,
    app: &App,
) -> Result<Bytes, Problem> {
    let too_large = || {
        Problem::new(
            &problem::kinds::TOO_LARGE,
            format!("the body is larger than {most} bytes; send less at a time"),
        )
    };
    let announced =
        headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > most as u64) {
        return Err(too_large());
    }
    let reading = Limited::new(body, most).collect();
    match tokio::time::timeout(app.options.body_timeout, reading).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Error::invalid("body", "broke off before its end").into()),
        Err(_) => Err(Problem::new(
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

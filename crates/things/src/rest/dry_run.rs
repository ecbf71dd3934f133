//! `?dry_run=true`: a layer that carries a change out to the end of its transaction, has it rolled back,
//! and answers what it would have changed. Handlers do not know of it: [`super::extract`] hands the dry
//! run to their calls.

use axum::{
    Json as Out,
    extract::{MatchedPath, Request},
    http::{StatusCode, Uri, uri::PathAndQuery},
    middleware::Next,
    response::{IntoResponse, Response},
};
use registry::{DryRun, Error, JsonObject, dry_run::Change};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Problem,
    openapi::{self, Effect},
    query::decode,
};
use crate::auth::Identity;

/// The parameter's name.
pub(super) const PARAMETER: &str = "dry_run";

/// What a request would have changed; nothing of it happened.
#[derive(Serialize, ToSchema)]
#[schema(as = DryRun)]
pub(super) struct DryRunBody {
    /// Always true.
    dry_run: bool,
    /// The status that the request itself would have been answered with.
    status: u16,
    /// What the journal would tell of it: the first 1,000 entries, and fewer if they are long.
    changes: Vec<ChangeBody>,
    /// How many entries there would be.
    total: u64,
    /// What would become of the rows of an import.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = Option<Object>)]
    import: Option<serde_json::Value>,
}

/// One change.
#[derive(Serialize, ToSchema)]
#[schema(as = DryRunChange)]
struct ChangeBody {
    /// What would happen: `group.created`, `thing.updated`, …
    action: &'static str,
    /// `org`, `group`, `profile`, `thing`, `user`, …
    subject_kind: &'static str,
    /// To which object. What would be made gets another id when it is.
    subject_id: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    subject_name: Option<String>,
    /// The changed fields, each before and after. Secrets are never among them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = Option<Object>)]
    changes: Option<JsonObject>,
}

impl From<Change> for ChangeBody {
    fn from(change: Change) -> Self {
        Self {
            action: change.action,
            subject_kind: change.subject_kind,
            subject_id: change.subject_id,
            subject_name: change.subject_name,
            changes: change.changes,
        }
    }
}

/// What a handler adds to what its dry run tells; travels as a response extension.
#[derive(Clone)]
pub(super) struct Import(pub(super) serde_json::Value);

/// The layer.
pub(super) async fn dry_run(mut request: Request, next: Next) -> Response {
    let Some((value, uri)) = taken(request.uri()) else { return next.run(request).await };
    let Some(route) = request.extensions().get::<MatchedPath>().cloned() else {
        return next.run(request).await;
    };
    let dry = match asked(&request, route.as_str(), value) {
        Ok(dry) => dry,
        Err(problem) => return refuse(&request, route.as_str(), problem).into_response(),
    };
    *request.uri_mut() = uri;
    if !dry {
        return next.run(request).await;
    }
    let dry_run = DryRun::default();
    request.extensions_mut().insert(dry_run.clone());
    let mut response = next.run(request).await;
    if !response.status().is_success() {
        return response;
    }
    // What the request itself would be answered goes no further: it may hold a key that is nobody's.
    let changes = dry_run.changes();
    let body = DryRunBody {
        dry_run: true,
        status: response.status().as_u16(),
        changes: changes.first.into_iter().map(Into::into).collect(),
        total: changes.total,
        import: response.extensions_mut().remove::<Import>().map(|import| import.0),
    };
    (StatusCode::OK, Out(body)).into_response()
}

/// What the parameter says, if it is there, and the address without it: operations know nothing of it.
/// `None` as a value is for one that is given twice.
fn taken(uri: &Uri) -> Option<(Option<String>, Uri)> {
    let query = uri.query()?;
    let is_it = |parameter: &&str| {
        let name = parameter.split_once('=').map_or(*parameter, |(name, _)| name);
        decode(name).as_deref() == Some(PARAMETER)
    };
    let mut found = query.split('&').filter(is_it);
    let first = found.next()?;
    let value =
        decode(first.split_once('=').map_or("", |(_, value)| value)).filter(|_| found.next().is_none());
    let rest: Vec<&str> = query.split('&').filter(|parameter| !is_it(parameter)).collect();
    let path = match rest.as_slice() {
        [] => uri.path().to_owned(),
        rest => format!("{}?{}", uri.path(), rest.join("&")),
    };
    let mut parts = uri.clone().into_parts();
    // Part of an address that was one already.
    parts.path_and_query = Some(PathAndQuery::try_from(path).ok()?);
    Some((value, Uri::from_parts(parts).ok()?))
}

/// Whether it is to be dry; refused where it cannot be, or would mean nothing.
fn asked(request: &Request, route: &str, value: Option<String>) -> Result<bool, Problem> {
    let refuse = |message: &str| Err(Error::invalid(PARAMETER, message).into());
    match openapi::looks(request.method(), route).map(|looks| looks.effect) {
        Some(Effect::Change) => {}
        Some(Effect::Unrepeatable) => {
            return refuse(if route == "/restore" {
                "is not possible for a restore, whose progress is told while it is made; try it on a scratch \
                     installation"
            } else {
                "is not possible here: this operation also does what is outside of a transaction and cannot be \
                     undone, as counting attempts"
            });
        }
        Some(Effect::None) | None => return refuse("is for operations that change something; leave it out"),
    }
    let dry = match value.as_deref() {
        Some("true") => true,
        Some("false") => false,
        Some(_) => return refuse("must be true or false"),
        None => return refuse("must be given once"),
    };
    if dry && request.headers().contains_key("idempotency-key") {
        return refuse("changes nothing that could be repeated; leave the Idempotency-Key out");
    }
    Ok(dry)
}

/// Who may not ask learns nothing else.
fn refuse(request: &Request, route: &str, problem: Problem) -> Problem {
    if !openapi::looks(request.method(), route).is_some_and(|looks| looks.for_users) {
        return problem;
    }
    match request.extensions().get::<Identity>() {
        Some(Identity::User(_)) => problem,
        Some(Identity::Unknown(problem)) => problem.clone(),
        Some(Identity::None(_) | Identity::Refused) | None => Error::Unauthenticated.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parameter_is_found_however_it_is_spelt_and_taken_out() {
        for (before, value, after) in [
            ("/a?dry_run=true", Some("true"), "/a"),
            ("/a?x=1&dry_run=true&y=%20", Some("true"), "/a?x=1&y=%20"),
            ("/a?dry%5Frun=tr%75e", Some("true"), "/a"),
            ("/a?dry_run", Some(""), "/a"),
            ("/a?dry_run=true&dry_run=false", None, "/a"),
            ("http://host/a?dry_run=false&b", Some("false"), "http://host/a?b"),
        ] {
            let (found, uri) = taken(&before.parse().unwrap()).unwrap();
            assert_eq!((found.as_deref(), uri.to_string().as_str()), (value, after), "{before}");
        }
        assert!(taken(&"/a?dry_ran=true".parse().unwrap()).is_none());
        assert!(taken(&"/a".parse().unwrap()).is_none());
    }
}

//! The OpenAPI document: what the handlers' annotations say, completed here with what is true of every
//! operation, so that no handler has to repeat it: path ids, problems, credentials, headers.

use std::{collections::HashMap, sync::LazyLock};

use axum::http::{Method, StatusCode};
use registry::actor::MAX_HEADER_KEY;
use utoipa::{
    OpenApi, PartialSchema, ToSchema,
    openapi::{
        Content, HttpMethod, KnownFormat, ObjectBuilder, Ref, RefOr, Required, ResponseBuilder, SchemaFormat,
        Type,
        path::{Operation, Parameter, ParameterBuilder, ParameterIn},
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

use super::{
    dry_run::{self, DryRunBody},
    problem::ProblemBody,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Things",
        description = "The device registry and access-control service of an IoT platform. \
            Errors are RFC 9457 problems; `/problems/{code}` explains each kind.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(schemas(ProblemBody, DryRunBody))
)]
struct Frame;

/// The document without operations.
pub(super) fn frame() -> utoipa::openapi::OpenApi {
    let mut document = Frame::openapi();
    document.info.version = env!("CARGO_PKG_VERSION").to_owned();
    let components = document.components.get_or_insert_default();
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A person's token: from POST /tokens, or an access token."));
    components.add_security_scheme(USER, SecurityScheme::Http(bearer.build()));
    let key = ApiKeyValue::with_description(
        "Authorization",
        "A thing's key: `Thing <key>`, or `External <key>` with its external key.",
    );
    components.add_security_scheme(THING, SecurityScheme::ApiKey(ApiKey::Header(key)));
    document
}

/// What operations for people need; the default.
const USER: &str = "user";
/// What operations for things need: `security(("thing" = []))`.
const THING: &str = "thing";

/// The whole document.
pub fn document() -> utoipa::openapi::OpenApi {
    let (_, mut document) = super::routes().split_for_parts();
    for (path, item) in &mut document.paths.paths {
        // What a path deletes has a version where it answers with one resource.
        let one = [&item.get, &item.put, &item.patch].into_iter().flatten().any(returns_one);
        for (method, operation) in [
            (HttpMethod::Get, &mut item.get),
            (HttpMethod::Post, &mut item.post),
            (HttpMethod::Put, &mut item.put),
            (HttpMethod::Patch, &mut item.patch),
            (HttpMethod::Delete, &mut item.delete),
        ] {
            if let Some(operation) = operation {
                complete(operation, path, &method, one);
            }
        }
    }
    document
}

/// What an operation looks at, as far as its description says: how a request is recognised that asks
/// for something which would be ignored.
pub(super) struct Looks {
    /// At the query string.
    pub(super) query: bool,
    /// At `If-Match`.
    pub(super) if_match: bool,
    /// Whether a person has to ask.
    pub(super) for_users: bool,
    /// What it leaves behind.
    pub(super) effect: Effect,
}

/// What an operation leaves behind.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing that people would call a change.
    None,
    /// A change that a transaction holds, so that it can be undone.
    Change,
    /// More than that: attempts are counted, mail is asked for by strangers.
    Unrepeatable,
}

impl Effect {
    fn of(method: &str, path: &str, operation: &Operation) -> Self {
        if method == "GET" || path.ends_with("/search") || path == "/identify" {
            return Self::None;
        }
        // What anybody may ask for without a token is counted and limited, and so is guessing a password. A restore
        // is told as it happens.
        match needs_user(operation) && !["/password", "/restore"].contains(&path) {
            true => Self::Change,
            false => Self::Unrepeatable,
        }
    }
}

/// Whether nobody may ask for an operation without a person's token.
fn needs_user(operation: &Operation) -> bool {
    let anybody = SecurityRequirement::default();
    for_users(operation) && operation.security.as_ref().is_none_or(|needed| !needed.contains(&anybody))
}

/// Whether an operation takes a person's token: what is not said otherwise does.
fn for_users(operation: &Operation) -> bool {
    let user = SecurityRequirement::new(USER, Vec::<String>::new());
    operation.security.as_ref().is_none_or(|needed| needed.contains(&user))
}

/// What the operation behind a route looks at; `None` when it is not described.
pub(super) fn looks(method: &Method, route: &str) -> Option<&'static Looks> {
    static ALL: LazyLock<HashMap<(String, String), Looks>> = LazyLock::new(|| {
        let mut all = HashMap::new();
        for (path, item) in document().paths.paths {
            for (method, operation) in [
                ("GET", item.get),
                ("POST", item.post),
                ("PUT", item.put),
                ("PATCH", item.patch),
                ("DELETE", item.delete),
            ] {
                let Some(operation) = operation else { continue };
                let (for_users, effect) = (for_users(&operation), Effect::of(method, &path, &operation));
                let parameters = operation.parameters.unwrap_or_default();
                let has = |wanted: fn(&Parameter) -> bool| {
                    parameters.iter().any(|known| matches!(known, RefOr::T(known) if wanted(known)))
                };
                let looks = Looks {
                    query: has(|known| {
                        known.parameter_in == ParameterIn::Query && known.name != dry_run::PARAMETER
                    }),
                    if_match: has(|known| known.name == "If-Match"),
                    for_users,
                    effect,
                };
                all.insert((method.to_owned(), path.clone()), looks);
            }
        }
        all
    });
    let method = if *method == Method::HEAD { "GET" } else { method.as_str() };
    ALL.get(&(method.to_owned(), route.to_owned()))
}

fn complete(operation: &mut Operation, path: &str, method: &HttpMethod, one: bool) {
    let parameters = operation.parameters.get_or_insert_default();
    for name in path.split(['{', '}']).skip(1).step_by(2) {
        if !parameters.iter().any(|known| matches!(known, RefOr::T(known) if known.name == name)) {
            parameters.push(path_id(name));
        }
    }
    let tagged = returns_one(operation);
    let parameters = operation.parameters.get_or_insert_default();
    if matches!(method, HttpMethod::Post) && super::repeat::takes_a_key(path) {
        parameters.push(idempotency_key());
    }
    match method {
        HttpMethod::Post | HttpMethod::Put | HttpMethod::Patch if tagged => {
            parameters.push(header(
                "If-Match",
                "Change it only if it is still one of these versions, by their ETags.",
            ));
        }
        HttpMethod::Delete if one => {
            parameters.push(header(
                "If-Match",
                "Delete it only if it is still one of these versions, by their ETags.",
            ));
        }
        HttpMethod::Get if tagged => {
            parameters.push(header("If-None-Match", "Answer 304 if it is still one of these versions."));
        }
        _ => {}
    }
    if matches!(method, HttpMethod::Get) && tagged {
        add(operation, StatusCode::NOT_MODIFIED.as_str(), ResponseBuilder::new().description("Not modified"));
    }
    let effect = Effect::of(if matches!(method, HttpMethod::Get) { "GET" } else { "" }, path, operation);
    if effect == Effect::Change {
        operation.parameters.get_or_insert_default().push(dry_run_parameter());
        let body = Content::new(Some(Ref::from_schema_name(DryRunBody::name())));
        let told = ResponseBuilder::new().description("What a dry run would have changed");
        add(operation, StatusCode::OK.as_str(), told.content("application/json", body));
    }
    if operation.security.is_none() {
        operation.security = Some(vec![SecurityRequirement::new(USER, Vec::<String>::new())]);
    }
    let problem = ResponseBuilder::new()
        .description("A problem: `type` names its kind")
        .content("application/problem+json", Content::new(Some(Ref::from_schema_name(ProblemBody::name()))));
    add(operation, "default", problem);
}

fn path_id(name: &str) -> RefOr<Parameter> {
    let id = ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid)));
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .schema(Some(id))
        .build()
        .into()
}

fn header(name: &str, description: &str) -> RefOr<Parameter> {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(String::schema()))
        .build()
        .into()
}

fn idempotency_key() -> RefOr<Parameter> {
    let key = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(MAX_HEADER_KEY))
        .pattern(Some("^[!-~]+$"));
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "Makes the request repeatable: the same key with the same request has one effect, for a day.",
        ))
        .schema(Some(key))
        .build()
        .into()
}

fn dry_run_parameter() -> RefOr<Parameter> {
    ParameterBuilder::new()
        .name(dry_run::PARAMETER)
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some(
            "Change nothing, and answer 200 with what would have changed, as `DryRun`. Errors are answered as always.",
        ))
        .schema(Some(bool::schema()))
        .build()
        .into()
}

fn add(operation: &mut Operation, status: &str, response: ResponseBuilder) {
    operation.responses.responses.entry(status.to_owned()).or_insert_with(|| RefOr::T(response.build()));
}

/// Whether the operation answers with one resource, which then has an ETag: its tag is declared by
/// `headers(("ETag"))` on its success.
fn returns_one(operation: &Operation) -> bool {
    operation.responses.responses.iter().any(|(status, response)| match response {
        RefOr::T(response) => status == "200" && response.headers.contains_key("ETag"),
        RefOr::Ref(_) => false,
    })
}

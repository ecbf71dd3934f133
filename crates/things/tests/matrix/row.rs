//! What a row of the matrix is: an operation, and how to ask for it.

use std::collections::BTreeSet;

use registry::{InviteId, InviteKind, TokenId, UserId};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use things::rest;

use crate::{
    app::ROOT_PASSWORD,
    persona::Persona,
    rows::UNLISTED,
    stage::{Place, Stage},
};

/// One operation, or one way of using it.
#[derive(Clone, Copy)]
pub struct Row {
    /// Method and path, as the document has them.
    pub operation: &'static str,
    /// Tells ways of using one operation apart.
    pub note: &'static str,
    pub fresh: Fresh,
    pub about: About,
    /// Which invite, to whom it is about, the path or the answer has.
    pub invite: Option<InviteKind>,
    query: &'static str,
    body: fn(&At) -> Value,
    /// Whether the body goes as NDJSON, one line.
    ndjson: bool,
}

/// What each persona gets for itself, because the operation uses it up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fresh {
    Nothing,
    Thing,
    /// Without things on it.
    Profile,
    Group,
    Org,
    /// Everything: not even the personas themselves are as before.
    Stage,
}

/// Whom the request is about: whose account is in its path or body, whose token in its path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum About {
    /// Who belongs nowhere.
    Bystander,
    /// Who belongs to the organisation.
    Newcomer,
    /// Who belongs to the group, too.
    Member,
    Oneself,
    /// Somebody new each time.
    Somebody,
    /// The same, shut out.
    Disabled,
}

/// What a request is filled in with.
pub struct At {
    pub place: Place,
    /// A group of the same organisation that is nobody's of the home's members.
    pub next_door: Place,
    /// One that they only view.
    pub annex: Place,
    pub user: UserId,
    pub email: String,
    pub token: TokenId,
    pub key: String,
    pub password: &'static str,
    /// Of a request for a new password.
    pub ticket: String,
    pub invite: InviteId,
    /// Of a platform invite.
    pub secret: String,
}

impl At {
    /// What `row` is filled in with when `persona` asks for it.
    pub async fn of(row: &Row, stage: &Stage<'_>, persona: Persona, place: Place) -> Self {
        let person = match row.about {
            About::Bystander => stage.bystander.clone(),
            About::Newcomer => stage.newcomer.clone(),
            About::Member => stage.member.clone(),
            About::Oneself => stage.account(persona).unwrap_or(&stage.bystander).clone(),
            About::Somebody => stage.person("somebody").await,
            About::Disabled => {
                let person = stage.person("somebody").await;
                stage.disable(&person).await;
                person
            }
        };
        let mut at = Self {
            place,
            next_door: stage.next_door,
            annex: stage.annex,
            user: person.id,
            email: person.email.as_str().to_owned(),
            token: TokenId::from(person.id.uuid()),
            key: stage.thing_key.expose().to_owned(),
            password: ROOT_PASSWORD,
            ticket: String::new(),
            invite: InviteId::from(person.id.uuid()),
            secret: String::new(),
        };
        // Those who are shut out, and things, have no tokens to be asked about.
        if row.operation.contains(" /keys") && row.operation != "POST /keys" {
            let owner = if persona == Persona::Disabled { &stage.bystander } else { &person };
            at.token = stage.token(owner, true, None).await.0;
        }
        if row.operation.ends_with("/password/reset") {
            at.ticket = stage.reset_ticket(&person).await.expose().to_owned();
        }
        if let Some(kind) = row.invite {
            // Those who are shut out cannot be invited.
            let invitee = if persona == Persona::Disabled { &stage.bystander } else { &person };
            at.invite = match (kind, row.about) {
                (InviteKind::Platform, _) => stage.invite_somebody().await.0,
                // One's own leads to where one has no role yet.
                (kind, About::Oneself) => stage.invite_from_afar(kind, invitee).await,
                (InviteKind::Org, _) => stage.invite_to_org(place.org, &person).await,
                (InviteKind::Group, _) => stage.invite_to_group(place.group, &person).await,
            };
        }
        if row.operation.ends_with("/resend") {
            stage.server.clock.advance(registry::InviteLimits::RESEND_PAUSE);
        }
        if row.operation.contains("/failed-checks") {
            stage.fail_a_check().await;
        }
        if row.operation == "POST /things/{id}/enable" {
            stage.disable_thing(place.thing).await;
        }
        if row.operation.ends_with("/register/invite/{secret}") {
            let (_, email) = stage.invite_somebody().await;
            at.secret = stage.mailed_secret(&email).await.expose().to_owned();
        }
        at
    }

    /// The ids that an operation's path is about, in order.
    pub fn ids(&self, operation: &str) -> Vec<String> {
        let mut segments = operation.split('/').skip(1);
        let mut ids = Vec::new();
        let noun = segments.next().unwrap_or_default();
        for segment in segments {
            match (segment, noun) {
                ("{id}", "orgs") => ids.push(self.place.org.to_string()),
                ("{id}", "groups") => ids.push(self.place.group.to_string()),
                ("{id}", "profiles") => ids.push(self.place.profile.to_string()),
                ("{id}", "things") => ids.push(self.place.thing.to_string()),
                ("{id}", "users") | ("{user}", _) => ids.push(self.user.to_string()),
                ("{id}", "keys") => ids.push(self.token.to_string()),
                ("{id}", "invites") => ids.push(self.invite.to_string()),
                ("{code}" | "{file}" | "{secret}", _) => {}
                _ if segment.starts_with('{') => panic!("whose id is {segment}?"),
                _ => {}
            }
        }
        ids
    }
}

impl Row {
    /// An operation; `body` is `null` for none.
    pub fn new(operation: &'static str, fresh: Fresh, body: fn(&At) -> Value) -> Self {
        Self {
            operation,
            note: "",
            fresh,
            about: About::Bystander,
            invite: None,
            query: "",
            body,
            ndjson: false,
        }
    }

    /// One that changes nothing.
    pub fn read(operation: &'static str) -> Self {
        Self::new(operation, Fresh::Nothing, |_| Value::Null)
    }

    /// A list, of which everything is asked for.
    pub fn list(operation: &'static str) -> Self {
        Self { query: "?limit=1000&dir=asc", ..Self::read(operation) }
    }

    /// A list as a search.
    pub fn search(operation: &'static str) -> Self {
        Self::new(operation, Fresh::Nothing, |_| json!({ "limit": 1000, "dir": "asc" }))
    }

    /// Whom it is about.
    pub fn about(self, about: About) -> Self {
        Self { about, ..self }
    }

    /// With an invite of this kind to whom it is about.
    pub fn invite(self, kind: InviteKind) -> Self {
        Self { invite: Some(kind), ..self }
    }

    /// What tells it apart from others of the same operation.
    pub fn note(self, note: &'static str) -> Self {
        Self { note, ..self }
    }

    /// With the body as a line of NDJSON.
    pub fn ndjson(self) -> Self {
        Self { ndjson: true, ..self }
    }

    /// With a query string.
    pub fn query(self, query: &'static str) -> Self {
        Self { query, ..self }
    }

    /// The method, and the path filled in with these ids.
    pub fn address(&self, at: &At, ids: &[String]) -> (Method, String) {
        let (method, path) = self.operation.split_once(' ').unwrap();
        let mut ids = ids.iter();
        let segments = path.split('/').map(|segment| match segment {
            "{code}" => "not-found",
            "{file}" => "swagger-ui.css",
            "{secret}" => &at.secret,
            segment if segment.starts_with('{') => ids.next().unwrap(),
            segment => segment,
        });
        let path = segments.collect::<Vec<_>>().join("/");
        let Place { org, group, profile, thing } = at.place;
        let query = self.query.replace("{org}", &org.to_string()).replace("{group}", &group.to_string());
        let query = query.replace("{thing}", &thing.to_string());
        let query = query.replace("{profile}", &profile.to_string());
        (method.parse().unwrap(), path + &query)
    }

    /// The body, for `null` none.
    pub fn body(&self, at: &At) -> Value {
        (self.body)(at)
    }

    /// The request, as somebody's who comes with `credential`.
    pub fn request(&self, stage: &Stage<'_>, at: &At, credential: Option<&str>) -> RequestBuilder {
        self.request_with(stage, at, credential, "", self.body(at))
    }

    /// The same, with another body, and with more behind its query.
    pub fn request_with(
        &self,
        stage: &Stage<'_>,
        at: &At,
        credential: Option<&str>,
        parameter: &str,
        body: Value,
    ) -> RequestBuilder {
        let (method, mut path) = self.address(at, &at.ids(self.operation));
        if !parameter.is_empty() {
            path = format!("{path}{}{parameter}", if path.contains('?') { "&" } else { "?" });
        }
        let mut request = stage.server.anonymous.request(method, &path);
        if let Some(credential) = credential {
            request = request.header("authorization", credential);
        }
        match body {
            Value::Null => request,
            body if self.ndjson => {
                request.header("content-type", "application/x-ndjson").body(body.to_string())
            }
            body => request.json(&body),
        }
    }

    /// Whether anybody may ask, with or without a credential: the document says so.
    pub fn is_public(&self) -> bool {
        let needed = security(self.operation);
        UNLISTED.contains(&self.operation)
            || needed.as_array().is_some_and(|needed| needed.contains(&json!({})))
    }

    /// Whether it is for things and not for people.
    pub fn is_for_things(&self) -> bool {
        !self.is_public() && security(self.operation)[0].get("user").is_none()
    }

    /// Whether success changes something, and so is in the journal.
    pub fn writes(&self) -> bool {
        let (method, path) = self.operation.split_once(' ').unwrap();
        method != "GET" && !path.ends_with("/search") && path != "/identify"
    }
}

/// The operations of the API's document.
pub fn documented() -> BTreeSet<String> {
    let document = serde_json::to_value(rest::document()).unwrap();
    let mut operations = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in ["get", "post", "put", "patch", "delete", "head", "options", "trace"] {
            if item.get(method).is_some() {
                operations.insert(format!("{} {path}", method.to_uppercase()));
            }
        }
    }
    operations
}

/// What the document says of who may ask.
fn security(operation: &str) -> Value {
    static PATHS: std::sync::LazyLock<Value> =
        std::sync::LazyLock::new(|| serde_json::to_value(rest::document()).unwrap()["paths"].take());
    let (method, path) = operation.split_once(' ').unwrap();
    PATHS[path][method.to_lowercase()]["security"].clone()
}

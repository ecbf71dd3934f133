//! Broker hooks: MQTT brokers ask over HTTP who may connect, and what a device may do on which topic.
//!
//! A broker's file knows how it asks and how it wants to be answered, and nothing else. All of them call
//! [`Hooks::connect`] once and [`Hooks::authorize`] for each topic, and what these allow is said in
//! `registry::topics`. A broker shows a device's key once; afterwards it asks by the user name under
//! which it let the device in, so that this has to be, or hold, the thing's id ([`Name`]).
//!
//! Whatever is wrong with a question, the answer is the broker's own refusal, and always the same one.

mod asked;
mod emqx;
mod guard;
mod mosquitto;
mod nanomq;
mod rabbitmq;
mod rmqtt;
mod vernemq;

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use axum::{Router, middleware};
use registry::{
    Error, Secret, ThingId,
    credentials::{Asker, Claim, CredentialKind, Device, Front, Party, Whose},
    topics::Act,
};
use tower_http::catch_panic::CatchPanicLayer;

use crate::{
    App,
    limits::{Source, time::within},
    rest::Problem,
    telemetry::hooks::{Broker, Question, Verdict},
};

/// How many topics and filters one question may name: each is compared with all that the thing may do.
const MOST_ACTS: usize = 200;
/// Brokers wait about as long for an answer; until then it holds room.
const LONGEST_ANSWER: Duration = Duration::from_secs(5);

/// What every hook holds.
#[derive(Clone)]
struct Hooks {
    app: App,
}

/// All hooks, below `/hooks` and below `/hooks/<secret>`.
pub fn router(app: App) -> Router {
    let hooks = Hooks { app };
    let brokers = Router::new()
        .merge(emqx::routes())
        .merge(mosquitto::routes())
        .merge(nanomq::routes())
        .merge(rabbitmq::routes())
        .merge(rmqtt::routes())
        .merge(vernemq::routes());
    Router::new()
        .nest("/hooks", brokers.clone())
        .nest("/hooks/{secret}", brokers)
        .layer(CatchPanicLayer::new())
        .layer(middleware::from_fn_with_state(hooks.clone(), guard::guard))
        .with_state(hooks)
}

/// What a broker tells of a device that wants in.
#[derive(Clone, Copy)]
struct Login<'a> {
    username: &'a str,
    password: &'a str,
    client_id: &'a str,
    /// The device's address, or the broker's if it does not tell.
    source: IpAddr,
    broker: IpAddr,
}

/// Who a user name says that it is: `<thing id>`, `internal`, `external`, or one of these two, `:` and
/// the id. Anything else says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Name {
    /// Of which kind the key is that comes with it.
    kind: CredentialKind,
    thing: Option<ThingId>,
}

impl Name {
    fn parse(username: &str) -> Self {
        let (prefix, rest) = username.split_once(':').unwrap_or((username, ""));
        match prefix.parse() {
            Ok(kind) => Self { kind, thing: rest.parse().ok() },
            Err(()) => Self { kind: CredentialKind::Internal, thing: username.parse().ok() },
        }
    }
}

/// Whether a broker needs the user name to tell who somebody is, because that is all it asks with later.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Naming {
    Needed,
    Optional,
}

/// Why the answer is no. The broker is not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Denied {
    /// It is the rule.
    Refused,
    /// The question could not be settled.
    Unwell,
}

impl From<Error> for Denied {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound | Error::Unauthenticated | Error::TooMany { .. } => Self::Refused,
            error => {
                Problem::from(error).log("hook");
                Self::Unwell
            }
        }
    }
}

type Judged<T> = Result<T, Denied>;

impl Hooks {
    /// Whether a device may connect: its key is good, is that of the thing that the user name names, if
    /// it names one, and the client id is not another thing's.
    async fn connect(&self, login: Login<'_>, naming: Naming) -> Judged<Device> {
        let name = Name::parse(login.username);
        let whose = match (name.thing, naming) {
            (Some(thing), _) => Whose::Of(thing),
            (None, Naming::Optional) => Whose::Anybodys,
            (None, Naming::Needed) => {
                tracing::debug!(
                    "a device's user name is not its thing's id, by which this broker asks later"
                );
                Whose::Nobodys
            }
        };
        // All devices of a broker that does not tell where they are would be one source.
        let source = (login.source != login.broker).then(|| Source::of(SocketAddr::new(login.source, 0)));
        let guesses = &self.app.limits.hook_keys;
        let claim = Claim {
            credential: &Secret::new(login.password),
            kind: Some(name.kind),
            asker: Asker { front: Front::Hook, source: Some(login.source) },
            whose,
            client_of: owner(login.client_id),
            held: source.and_then(|source| guesses.hold(source)),
        };
        self.app.registry.authenticate_claim(&claim).await.map_err(|error| {
            if let (Error::NotFound, Some(source)) = (&error, source) {
                // Whether it was one too many changes nothing now: the answer is no.
                let _ = guesses.failed(source);
            }
            error.into()
        })
    }

    /// A client id that begins with a thing's id is that thing's: who connects with another's takes over
    /// its session, with what is queued in it.
    async fn client_id_is_free(&self, client_id: &str, thing: ThingId) -> Judged<()> {
        match owner(client_id) {
            Some(owner) if owner != thing && self.app.registry.is_thing(owner).await? => Err(Denied::Refused),
            _ => Ok(()),
        }
    }

    /// Who asks for a topic: by the key, where the broker still shows it, or else by the user name under
    /// which it let them in.
    async fn party(&self, login: Login<'_>) -> Judged<Party> {
        if !login.password.is_empty() {
            return self.connect(login, Naming::Optional).await.map(Party::from);
        }
        let thing = Name::parse(login.username).thing.ok_or(Denied::Refused)?;
        Ok(self.app.registry.device_by_id(thing).await?)
    }

    /// Whether somebody may do each of these.
    async fn weigh(&self, party: &Party, acts: &[Act<'_>]) -> Judged<Vec<bool>> {
        if acts.len() > MOST_ACTS {
            tracing::debug!(asked = acts.len(), most = MOST_ACTS, "too many topics in one question");
            return Err(Denied::Refused);
        }
        let powers = self.app.options.topics.powers(party);
        let mut allowed = Vec::with_capacity(acts.len());
        for act in acts {
            allowed.push(self.app.registry.may(&powers, *act).await?);
        }
        Ok(allowed)
    }

    /// Whether somebody may do all of these.
    async fn authorize(&self, party: &Party, acts: &[Act<'_>]) -> Judged<()> {
        match self.weigh(party, acts).await?.into_iter().all(|allowed| allowed) {
            true => Ok(()),
            false => Err(Denied::Refused),
        }
    }

    /// Settles a question, unless that takes too long, and counts the answer; what it is comes back.
    async fn settle<T>(
        &self,
        broker: Broker,
        question: Question,
        judging: impl Future<Output = Judged<T>>,
    ) -> Judged<T> {
        let limit = LONGEST_ANSWER.min(self.app.options.body_timeout);
        let judged = within(limit, judging).await.unwrap_or_else(|| {
            tracing::debug!(broker = broker.as_str(), "a question did not arrive or was not settled in time");
            Err(Denied::Unwell)
        });
        let verdict = match &judged {
            Ok(_) => Verdict::Allowed,
            Err(Denied::Refused) => Verdict::Refused,
            Err(Denied::Unwell) => Verdict::Failed,
        };
        self.app.metrics.hooks.count(broker, question, verdict);
        judged
    }
}

/// Which thing's id a client id begins with.
fn owner(client_id: &str) -> Option<ThingId> {
    client_id.get(..36)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_name_says_which_thing_and_which_kind_of_key() {
        let id = "01975c1e-7c35-7000-8000-0123456789ab";
        let thing = Some(id.parse().unwrap());
        let (internal, external) = (CredentialKind::Internal, CredentialKind::External);
        for (text, kind, thing) in [
            (id.to_owned(), internal, thing),
            (format!("internal:{id}"), internal, thing),
            (format!("external:{id}"), external, thing),
            ("internal".to_owned(), internal, None),
            ("external".to_owned(), external, None),
            (String::new(), internal, None),
            ("sensor-17".to_owned(), internal, None),
            (id.to_uppercase(), internal, None),
            (format!("{id}:internal"), internal, None),
            (format!("External:{id}"), internal, None),
            ("external:x".to_owned(), external, None),
        ] {
            assert_eq!(Name::parse(&text), Name { kind, thing }, "{text:?}");
        }
    }
}

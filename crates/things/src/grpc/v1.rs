//! `things.v1`: our own contract with gateways and brokers.

use std::{net::IpAddr, pin::Pin, time::Duration};

use registry::{
    Error, Role, Secret, ThingId,
    credentials::{CredentialKind, Device, Event, IndexedAs, Party, Watch},
    topics::{Filter, TopicRules},
    trusted::Object,
};
use tokio::sync::mpsc;
use tonic::{
    Request, Response, Status,
    codegen::tokio_stream::{Stream, wrappers::ReceiverStream},
};

use super::{
    Watchers, asker, call_of,
    contract::{
        self as wire, Action, authenticate_request::Credential, check_request::Object as Asked,
        check_request::Subject, registry_server::Registry,
    },
    id, request_id,
    status::told,
};
use crate::{App, serve::Stopping};

/// How often a watcher is told that nothing has happened. They wait four times as long.
const HEARTBEAT: Duration = Duration::from_millis(250);
/// How many messages wait for a watcher's connection before those behind them wait in the feed.
const WAITING: usize = 16;
/// How many ids one message has at most: clients read 4 MiB by default.
const MAX_CHANGED: usize = 50_000;

/// The service.
pub(super) struct Contract {
    app: App,
    stopping: Stopping,
    watchers: Watchers,
}

impl Contract {
    pub(super) fn new(app: App, stopping: Stopping, watchers: Watchers) -> Self {
        Self { app, stopping, watchers }
    }

    /// Whether the subject may; the reason, if not.
    async fn weigh(&self, request: &Request<wire::CheckRequest>) -> Result<(), Refused> {
        let asked = request.get_ref();
        let object = object(asked)?;
        let action = Action::try_from(asked.action).unwrap_or(Action::Unspecified);
        match &asked.subject {
            None => Err(missing("subject: give user_token or thing_id")),
            Some(Subject::UserToken(token)) => {
                let call = call_of(&self.app, token, &request_id(request)).await.map_err(Refused::Failed)?;
                let least = match (action, object) {
                    (Action::View, _) => Role::Viewer,
                    (Action::Edit, _) | (Action::Command, Object::Thing(_) | Object::Group(_)) => {
                        Role::Editor
                    }
                    (Action::Administer, _) => Role::Admin,
                    (Action::Own, _) => Role::Owner,
                    (Action::Command, _) => return Err(missing(COMMAND)),
                    (Action::Unspecified, _) => return Err(missing("action: give one that is known")),
                };
                self.app.registry.check_role(&call, least, object).await.map_err(Refused::from)
            }
            Some(Subject::ThingId(thing)) => {
                let thing: ThingId = id("thing_id", thing).map_err(Refused::Failed)?;
                let allowed = match (action, object) {
                    (Action::Command, Object::Thing(other)) => {
                        self.app.registry.can_command(thing, other).await
                    }
                    (Action::Command, Object::Group(group)) => {
                        self.app.registry.can_command_group(thing, group).await
                    }
                    (Action::Command, _) => return Err(missing(COMMAND)),
                    _ => return Err(missing("action: of a thing it must be ACTION_COMMAND")),
                };
                match allowed {
                    Ok(true) => Ok(()),
                    Ok(false) => Err(Refused::Denied(
                        "things command things of their own group, and only as their types allow".to_owned(),
                    )),
                    Err(error) => Err(error.into()),
                }
            }
        }
    }
}

const COMMAND: &str = "object: commands are for on_thing_id or on_group_id";

/// Why not.
enum Refused {
    /// That is the answer.
    Denied(String),
    /// There is no answer.
    Failed(Status),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound | Error::Forbidden(_) => Self::Denied(error.to_string()),
            error => Self::Failed(told(error)),
        }
    }
}

fn missing(message: &'static str) -> Refused {
    Refused::Failed(Status::invalid_argument(message))
}

fn object(asked: &wire::CheckRequest) -> Result<Object, Refused> {
    let object = match &asked.object {
        None => {
            return Err(missing("object: give one of on_thing_id, on_profile_id, on_group_id, on_org_id"));
        }
        Some(Asked::OnThingId(text)) => id("on_thing_id", text).map(Object::Thing),
        Some(Asked::OnProfileId(text)) => id("on_profile_id", text).map(Object::Profile),
        Some(Asked::OnGroupId(text)) => id("on_group_id", text).map(Object::Group),
        Some(Asked::OnOrgId(text)) => id("on_org_id", text).map(Object::Org),
    };
    object.map_err(Refused::Failed)
}

#[tonic::async_trait]
impl Registry for Contract {
    async fn authenticate(
        &self,
        request: Request<wire::AuthenticateRequest>,
    ) -> Result<Response<wire::AuthenticateResponse>, Status> {
        let asked = request.get_ref();
        let (kind, secret) = match &asked.credential {
            Some(Credential::Key(key)) => (CredentialKind::Internal, Secret::new(key)),
            Some(Credential::ExternalKey(key)) => (CredentialKind::External, Secret::new(key)),
            None => return Err(Status::invalid_argument("credential: give key or external_key")),
        };
        let source: Option<IpAddr> = match asked.source.as_str() {
            "" => None,
            text => {
                Some(text.parse().map_err(|_| Status::invalid_argument("source: must be an IP address"))?)
            }
        };
        let asker = asker(&request, source);
        let device = self.app.registry.authenticate_device(kind, &secret, &asker).await.map_err(told)?;
        Ok(Response::new(answer(&self.app.options.topics, device)))
    }

    async fn check(
        &self,
        request: Request<wire::CheckRequest>,
    ) -> Result<Response<wire::CheckResponse>, Status> {
        let (allowed, reason) = match self.weigh(&request).await {
            Ok(()) => (true, String::new()),
            Err(Refused::Denied(reason)) => (false, reason),
            Err(Refused::Failed(status)) => return Err(status),
        };
        Ok(Response::new(wire::CheckResponse { allowed, reason }))
    }

    type WatchCredentialsStream =
        Pin<Box<dyn Stream<Item = Result<wire::WatchCredentialsResponse, Status>> + Send>>;

    async fn watch_credentials(
        &self,
        _: Request<wire::WatchCredentialsRequest>,
    ) -> Result<Response<Self::WatchCredentialsStream>, Status> {
        let permit = self.watchers.admit()?;
        let watch = self.app.registry.watch_devices();
        let (send, receive) = mpsc::channel(WAITING);
        let feed = feed(self.app.clone(), watch, send, self.stopping.clone());
        tokio::spawn(async move {
            feed.await;
            drop(permit);
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receive))))
    }
}

type Sender = mpsc::Sender<Result<wire::WatchCredentialsResponse, Status>>;

/// Tells a watcher everything, until they are gone or this process stops.
async fn feed(app: App, mut watch: Watch, send: Sender, mut stopping: Stopping) {
    let mut heartbeat = tokio::time::interval(HEARTBEAT);
    heartbeat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut messages = vec![reset()];
    loop {
        for message in messages.drain(..) {
            tokio::select! {
                sent = send.send(Ok(message)) => if sent.is_err() { return },
                () = stopping.wait() => return,
            }
        }
        tokio::select! {
            // What has happened is told before that nothing has.
            biased;
            () = stopping.wait() => {
                let status = Status::unavailable("the service stops; open the stream again, and drop what you kept");
                // Of a watcher who does not read there is nothing to wait for.
                let _ = send.try_send(Err(status));
                return;
            }
            () = send.closed() => return,
            ended = watch.next() => match ended {
                Some(events) => messages = told_of(&events),
                None => messages.push(reset()),
            },
            // A process that does not hear what others change cannot say that nothing has.
            _ = heartbeat.tick(), if app.registry.hears_changes() => {
                messages.push(wire::WatchCredentialsResponse::default());
            }
        }
    }
}

fn reset() -> wire::WatchCredentialsResponse {
    wire::WatchCredentialsResponse { reset: true, ..Default::default() }
}

/// One message for what one commit ended, unless that is very much: a thousand of them would look like an
/// attack to a client.
fn told_of(events: &[Event]) -> Vec<wire::WatchCredentialsResponse> {
    events
        .chunks(MAX_CHANGED)
        .map(|events| wire::WatchCredentialsResponse {
            changed: events
                .iter()
                .filter_map(|event| match event {
                    Event::Changed(id) => Some(id.to_string()),
                    Event::CredentialAdded | Event::Everything => None,
                })
                .collect(),
            credential_added: events.contains(&Event::CredentialAdded),
            reset: events.contains(&Event::Everything),
        })
        .collect()
}

fn answer(rules: &TopicRules, device: Device) -> wire::AuthenticateResponse {
    // Rounded down: never longer than it is true.
    let keep_for_ms = u32::try_from(device.valid_for.as_millis()).unwrap_or(u32::MAX);
    let credential = match device.credential {
        IndexedAs::Key => wire::CredentialKind::Key,
        IndexedAs::External => wire::CredentialKind::ExternalKey,
        IndexedAs::Previous => wire::CredentialKind::PreviousKey,
    };
    let party = Party::from(device);
    let acl = rules.acl(&party);
    let texts = |filters: Vec<Filter>| filters.into_iter().map(Filter::into_text).collect();
    let Party { thing, kind, place } = &party;
    wire::AuthenticateResponse {
        thing_id: thing.to_string(),
        thing_type: kind.map_or("", |kind| kind.as_str()).to_owned(),
        group_id: place.group.to_string(),
        org_id: place.org.to_string(),
        profile_id: place.profile.to_string(),
        config: place.config.as_ref().map(|config| config.object().to_text()),
        publish: texts(acl.publish),
        subscribe: texts(acl.subscribe),
        commands_things: acl.commands_others,
        credential: credential.into(),
        keep_for_ms,
    }
}

//! The servers that ours are set against: axum and tonic as they come, with a hash map behind them.

use std::{
    collections::HashMap,
    io::{self, BufRead, Read, Write},
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
use registry::JsonObject;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tonic::{
    Request, Response, Status,
    codegen::tokio_stream::Empty,
    transport::server::{Router as Services, Server, TcpIncoming},
};

use super::{Result, fleet::Fleet};
use crate::{
    cli::{Failure, print},
    grpc::wire::{
        protomfx::{
            self as mainflux,
            things_service_server::{ThingsService, ThingsServiceServer},
        },
        v1::{
            self as contract,
            authenticate_request::Credential,
            registry_server::{Registry, RegistryServer},
        },
    },
};

/// What it prints once it listens.
#[derive(Deserialize, Serialize)]
pub(super) struct Listening {
    pub(super) http: SocketAddr,
    pub(super) grpc: SocketAddr,
}

/// Tells the bare servers what to hold: the place, the profiles, and a line for each thing.
pub(super) fn write(fleet: &Fleet, to: &mut impl Write) -> io::Result<()> {
    writeln!(to, "{} {} {}", fleet.org, fleet.group, fleet.profiles.len())?;
    for (id, config) in &fleet.profiles {
        writeln!(to, "{id} {config}")?;
    }
    for thing in &fleet.things {
        writeln!(to, "{} {} {}", thing.key, thing.id, thing.profile)?;
    }
    // The end of the things; the input stays open until the measuring is over.
    writeln!(to)?;
    to.flush()
}

struct Known {
    id: String,
    profile: usize,
}

/// What is answered of a profile's things, but for what is each thing's own.
struct Place {
    config: mainflux::Config,
    answer: contract::AuthenticateResponse,
}

struct Held {
    things: HashMap<String, Known>,
    places: Vec<Place>,
}

impl Held {
    fn read(from: &mut impl BufRead) -> Option<Self> {
        let mut line = || {
            let mut line = String::new();
            from.read_line(&mut line).ok()?;
            Some(line.trim_end().to_owned())
        };
        let head = line()?;
        let [org, group, profiles] = head.split(' ').collect::<Vec<_>>().try_into().ok()?;
        let mut places = Vec::new();
        for _ in 0..profiles.parse().ok()? {
            let profile = line()?;
            let (id, config) = profile.split_once(' ')?;
            places.push(Place::of(org, group, id, config)?);
        }
        let mut things = HashMap::new();
        loop {
            let thing = line()?;
            if thing.is_empty() {
                return Some(Self { things, places });
            }
            let [key, id, profile] = thing.split(' ').collect::<Vec<_>>().try_into().ok()?;
            things.insert(key.to_owned(), Known { id: id.to_owned(), profile: profile.parse().ok()? });
        }
    }

    fn find(&self, key: &str) -> Result<(&Known, &Place), Status> {
        let known = self.things.get(key).ok_or_else(|| Status::not_found("no such key"))?;
        let place = self.places.get(known.profile).ok_or_else(|| Status::internal("no such profile"))?;
        Ok((known, place))
    }
}

impl Place {
    fn of(org: &str, group: &str, id: &str, config: &str) -> Option<Self> {
        let stored = JsonObject::parse(config).ok()?;
        let content_type = stored.members().get("content_type")?.as_str()?.to_owned();
        let transformer = mainflux::Transformer {
            data_filters: vec!["temperature".to_owned(), "humidity".to_owned()],
            data_field: "e".to_owned(),
            time_field: "t".to_owned(),
            time_format: "unix".to_owned(),
            time_location: "UTC".to_owned(),
        };
        Some(Self {
            config: mainflux::Config {
                content_type,
                transformer: Some(transformer),
                write_enabled: true,
                webhook_enabled: true,
                rule_enabled: true,
            },
            answer: contract::AuthenticateResponse {
                thing_type: "sensor".to_owned(),
                group_id: group.to_owned(),
                org_id: org.to_owned(),
                profile_id: id.to_owned(),
                config: Some(config.to_owned()),
                // As long as a sensor's; each thing's own id would be in them.
                publish: vec![format!("things/{id}/messages/#")],
                subscribe: vec![
                    format!("things/{id}/messages/#"),
                    format!("things/{id}/commands/#"),
                    format!("groups/{group}/commands/#"),
                ],
                commands_things: false,
                credential: contract::CredentialKind::Key.into(),
                keep_for_ms: 600_000,
                thing_id: String::new(),
            },
        })
    }
}

/// `things bench bare`: reads what to hold, and serves until its input ends.
pub(crate) fn serve() -> Result<()> {
    let mut input = io::stdin().lock();
    let held = Held::read(&mut input)
        .ok_or_else(|| Failure::Usage("`things bench bare` is started by `things bench`".to_owned()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::to("start", &error))?;
    runtime.block_on(listen(Arc::new(held)))?;
    // Its end is the end of who measures.
    let _ = input.read(&mut [0]);
    Ok(())
}

async fn listen(held: Arc<Held>) -> Result<()> {
    let failed = |error: &(dyn std::error::Error + 'static)| Failure::to("listen", error);
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let http = TcpListener::bind(local).await.map_err(|error| failed(&error))?;
    let grpc = TcpIncoming::bind(local).map_err(|error| failed(&error))?.with_nodelay(Some(true));
    let listening = Listening {
        http: http.local_addr().map_err(|error| failed(&error))?,
        grpc: grpc.local_addr().map_err(|error| failed(&error))?,
    };
    let router = Router::new().route("/identify", post(identify)).with_state(Arc::clone(&held));
    tokio::spawn(async move {
        use axum::serve::ListenerExt;
        let http = http.tap_io(|stream| drop(stream.set_nodelay(true)));
        axum::serve(http, router).await
    });
    let services: Services = Server::builder()
        .add_service(ThingsServiceServer::new(Bare(Arc::clone(&held))))
        .add_service(RegistryServer::new(Bare(held)));
    tokio::spawn(services.serve_with_incoming(grpc));
    let listening = serde_json::to_string(&listening).map_err(|error| failed(&error))?;
    print(&format!("{listening}\n"))
}

#[derive(Deserialize)]
struct Key {
    key: String,
}

#[derive(Serialize)]
struct Id {
    id: String,
}

async fn identify(State(held): State<Arc<Held>>, Json(body): Json<Key>) -> Result<Json<Id>, StatusCode> {
    let known = held.things.get(&body.key).ok_or(StatusCode::NOT_FOUND)?;
    Ok(Json(Id { id: known.id.clone() }))
}

struct Bare(Arc<Held>);

/// The service, with every rpc that is not measured left out.
macro_rules! things_service {
    ($($other:ident($asks:ident) -> $answer:ty),* $(,)?) => {
        #[tonic::async_trait]
        impl ThingsService for Bare {
            async fn identify(
                &self,
                request: Request<mainflux::ThingKey>,
            ) -> Result<Response<mainflux::ThingId>, Status> {
                let (known, _) = self.0.find(&request.get_ref().value)?;
                Ok(Response::new(mainflux::ThingId { value: known.id.clone() }))
            }

            async fn get_pub_config_by_key(
                &self,
                request: Request<mainflux::ThingKey>,
            ) -> Result<Response<mainflux::PubConfigByKeyRes>, Status> {
                let (known, place) = self.0.find(&request.get_ref().value)?;
                Ok(Response::new(mainflux::PubConfigByKeyRes {
                    publisher_id: known.id.clone(),
                    profile_config: Some(place.config.clone()),
                }))
            }

            $(async fn $other(
                &self,
                _: Request<mainflux::$asks>,
            ) -> Result<Response<$answer>, Status> {
                Err(Status::unimplemented("only what is measured"))
            })*
        }
    };
}

things_service!(
    get_pub_conf_by_key(ThingKey) -> mainflux::PubConfigByKeyRes,
    get_config_by_thing(ThingId) -> mainflux::ConfigByThingRes,
    get_config_by_thing_id(ThingId) -> mainflux::ConfigByThingRes,
    can_user_access_thing(UserAccessReq) -> (),
    can_user_access_profile(UserAccessReq) -> (),
    can_user_access_group(UserAccessReq) -> (),
    can_thing_access_group(ThingAccessReq) -> (),
    can_thing_command(ThingCommandReq) -> (),
    can_thing_group_command(ThingGroupCommandReq) -> (),
    get_group_id_by_thing(ThingId) -> mainflux::GroupId,
    get_group_id_by_thing_id(ThingId) -> mainflux::GroupId,
    get_group_id_by_profile(ProfileId) -> mainflux::GroupId,
    get_group_id_by_profile_id(ProfileId) -> mainflux::GroupId,
    get_group_i_ds_by_org(OrgAccessReq) -> mainflux::GroupIDs,
    get_thing_i_ds_by_profile(ProfileId) -> mainflux::ThingIDs,
    create_group_memberships(CreateGroupMembershipsReq) -> (),
    get_group(GetGroupReq) -> mainflux::Group,
    get_key_by_thing_id(ThingId) -> mainflux::ThingKey,
    create_dormant_group_invites(CreateDormantGroupInvitesReq) -> (),
    activate_group_invites(ActivateGroupInvitesReq) -> (),
);

#[tonic::async_trait]
impl Registry for Bare {
    async fn authenticate(
        &self,
        request: Request<contract::AuthenticateRequest>,
    ) -> Result<Response<contract::AuthenticateResponse>, Status> {
        let Some(Credential::Key(key)) = &request.get_ref().credential else {
            return Err(Status::unimplemented("only what is measured"));
        };
        let (known, place) = self.0.find(key)?;
        let mut answer = place.answer.clone();
        answer.thing_id.clone_from(&known.id);
        answer.subscribe.push(format!("things/{}/commands/#", known.id));
        Ok(Response::new(answer))
    }

    async fn check(
        &self,
        _: Request<contract::CheckRequest>,
    ) -> Result<Response<contract::CheckResponse>, Status> {
        Err(Status::unimplemented("only what is measured"))
    }

    type WatchCredentialsStream = Empty<Result<contract::WatchCredentialsResponse, Status>>;

    async fn watch_credentials(
        &self,
        _: Request<contract::WatchCredentialsRequest>,
    ) -> Result<Response<Self::WatchCredentialsStream>, Status> {
        Err(Status::unimplemented("only what is measured"))
    }
}

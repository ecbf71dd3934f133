//! The gRPC port: how the registry's use cases are said to other services, to gateways and to brokers.
//!
//! Its callers are trusted, as far as `guard` lets them in: most rpcs come without a person. What each rpc
//! promises is written in `proto/`; here each parses, calls the registry, and writes down the answer.

mod auth;
mod edge;
mod guard;
mod health;
mod status;
mod things;
mod users;
mod v1;
pub(crate) mod wire;

use std::{net::IpAddr, str::FromStr, sync::Arc};

use axum::Router;
use registry::{
    Actor, Call, Error, Secret,
    credentials::{Asker, Front},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{Request, Status};

use crate::{
    App,
    rest::{Peer, edge::RequestId},
    serve::Stopping,
};
use status::told;
use wire::{protomfx, v1 as contract};

/// What can be asked of our own services, as paths.
pub const METHODS: &[&str] = &include!(concat!(env!("OUT_DIR"), "/methods.rs"));
/// For reflection.
const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
/// The largest request: a thousand memberships are a tenth of it.
const MAX_MESSAGE: usize = 1 << 20;
/// How many rpcs may be under way on one connection: a gateway has one for all its devices.
pub const STREAMS: u32 = 1_000;
/// How many streams of a process may watch at once, credentials or health: each is a task that never rests.
pub const WATCHERS: usize = 256;

/// Everything that the port answers.
pub fn router(app: App, stopping: &Stopping) -> Router {
    let mut routes = tonic::service::Routes::builder();
    let watchers = Watchers(Arc::new(Semaphore::new(WATCHERS)));
    macro_rules! serve {
        ($($server:path => $service:expr),* $(,)?) => {
            $(routes.add_service(<$server>::new($service).max_decoding_message_size(MAX_MESSAGE));)*
        };
    }
    serve!(
        protomfx::things_service_server::ThingsServiceServer<_> => things::Things(app.clone()),
        protomfx::auth_service_server::AuthServiceServer<_> => auth::Auth(app.clone()),
        protomfx::users_service_server::UsersServiceServer<_> => users::Users(app.clone()),
        contract::registry_server::RegistryServer<_> => v1::Contract::new(app.clone(), stopping.clone(), watchers.clone()),
        tonic_health::pb::health_server::HealthServer<_> => health::Probe::new(app.clone(), stopping.clone(), watchers),
    );
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    // Both versions, because clients ask for one or the other. They cannot fail: the descriptors were
    // compiled with this program.
    match (reflection().build_v1(), reflection().build_v1alpha()) {
        (Ok(v1), Ok(v1alpha)) => drop(routes.add_service(v1).add_service(v1alpha)),
        (Err(error), _) | (_, Err(error)) => tracing::error!(%error, "there is no reflection"),
    }
    edge::around(app, routes.routes().prepare().into_axum_router())
}

/// The streams that watch.
#[derive(Clone)]
struct Watchers(Arc<Semaphore>);

impl Watchers {
    /// Room for one more, as long as the permit lives.
    fn admit(&self) -> Result<OwnedSemaphorePermit, Status> {
        Arc::clone(&self.0).try_acquire_owned().map_err(|_| {
            Status::resource_exhausted(format!("{WATCHERS} streams watch already; close one, or share one"))
        })
    }
}

/// Under which id a request is logged and journalled.
fn request_id<T>(request: &Request<T>) -> String {
    request.extensions().get::<RequestId>().map_or_else(String::new, |id| id.as_str().to_owned())
}

/// Who is told to have asked about a credential: the device, if its address is known, or else its gateway.
fn asker<T>(request: &Request<T>, device: Option<IpAddr>) -> Asker {
    let peer = || request.extensions().get::<Peer>().map(|peer| peer.ip());
    Asker { front: Front::Grpc, source: device.or_else(peer) }
}

/// A request of the person whose session or access token this is.
async fn call_of(app: &App, token: &str, request_id: &str) -> Result<Call, Status> {
    match app.registry.authenticate(&Secret::new(token)).await {
        Ok(actor @ Actor::User(_)) => Ok(Call::new(actor, request_id)),
        Ok(_) => Err(told(Error::Unauthenticated)),
        Err(error) => Err(told(error)),
    }
}

/// An id; `field` is how the message calls it.
fn id<T: FromStr<Err: std::fmt::Display>>(field: &'static str, text: &str) -> Result<T, Status> {
    text.parse().map_err(|error| told(Error::invalid(field, format!("{error}"))))
}

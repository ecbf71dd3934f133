//! What every front holds: the registry, and how this process is set up.

use std::{ops::Deref, path::PathBuf, sync::Arc, time::Duration};

use registry::{Ids, Registry, Secret, topics::TopicRules};
use tokio::sync::Semaphore;

use crate::{
    backups::BackupState,
    health::Health,
    limits::{RateLimits, bodies::BodyRoom},
    rest::{edge::RequestIds, imports, unnamed::Senders},
    telemetry::Metrics,
};

/// Shared by every request; cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// What there is.
pub struct Parts {
    /// The use cases.
    pub registry: Arc<Registry>,
    /// How the process is set up.
    pub options: Options,
    /// Who has asked how often.
    pub limits: RateLimits,
    /// How much of requests' bodies is held.
    pub(crate) bodies: BodyRoom,
    /// Whose files arrive.
    pub(crate) senders: Senders,
    /// Room for imports that are worked on.
    pub(crate) imports: Arc<Semaphore>,
    /// What is counted.
    pub metrics: Metrics,
    /// Whether all is well.
    pub(crate) health: Health,
    /// Where request ids come from.
    pub(crate) request_ids: RequestIds,
    /// How backups are doing.
    pub backups: BackupState,
}

/// What the configuration says to the fronts.
#[derive(Clone, Debug)]
pub struct Options {
    /// Requests a second that one user, or one source network without a token, may make on average;
    /// `None` for no limit.
    pub requests_per_second: Option<u32>,
    /// Requests that may come at once.
    pub burst: u32,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
    /// How long an answer that is on the disk meanwhile may wait for a client that reads nothing of it. Over HTTP/2
    /// such a client can keep its connection by other means.
    pub idle: Duration,
    /// Where the files of imports are kept as long as they are worked on, and `/health` looks for free disk
    /// space; without it the system's directory for temporary files.
    pub data_dir: Option<PathBuf>,
    /// Where people reach this service: what links begin with.
    pub public_url: String,
    /// What brokers must show: as `Authorization: Bearer …`, or in the path for those that cannot.
    pub hooks_secret: Option<Secret>,
    /// Where things talk on brokers.
    pub topics: TopicRules,
    /// Whether connections are encrypted, which browsers are told to insist on.
    pub tls: bool,
    /// What callers of the gRPC port must show.
    pub grpc_token: Option<Secret>,
    /// How often this installation takes a backup by itself; `None` for never.
    pub backup_every: Option<Duration>,
}

impl Options {
    /// Whether browsers come by HTTPS, here or at a proxy in front.
    pub(crate) fn https(&self) -> bool {
        self.tls || self.public_url.starts_with("https://")
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            requests_per_second: Some(200),
            burst: 400,
            body_timeout: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            data_dir: None,
            public_url: "http://127.0.0.1:8182".to_owned(),
            hooks_secret: None,
            topics: TopicRules::default(),
            tls: false,
            grpc_token: None,
            backup_every: None,
        }
    }
}

impl App {
    /// Puts the parts together.
    pub fn new(registry: Arc<Registry>, options: Options) -> Self {
        let limits = RateLimits::new(&options);
        let backups = BackupState::expecting(options.backup_every);
        let metrics = Metrics::of(&registry, &backups);
        let request_ids = RequestIds::new(&Ids::default(), registry.clock().now());
        Self(Arc::new(Parts {
            registry,
            options,
            limits,
            bodies: BodyRoom::default(),
            senders: Senders::default(),
            imports: Arc::new(Semaphore::new(imports::AT_ONCE)),
            metrics,
            health: Health::default(),
            request_ids,
            backups,
        }))
    }
}

impl Deref for App {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}

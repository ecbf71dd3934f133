//! `things serve`: puts everything together, says so, and runs until it is told to stop.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use axum::{Router, extract::State, http::header, response::IntoResponse, routing::get};
use prometheus_client::metrics::gauge::Gauge;
use registry::{Password, Registry, RootMade, Secret, text::Email};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;

use super::{Failure, mail::place, print, setup};
use crate::{
    App, build,
    config::Config,
    grpc, hooks,
    limits::RateLimits,
    mail::{self, Destination, Mailing},
    rest,
    serve::{Limits, Server, Stop, Stopping, tls},
};

/// How often what has expired is removed.
const SWEEP: Duration = Duration::from_secs(3600);
/// How long the database may take to let go.
const CLOSE: Duration = Duration::from_millis(1500);

pub(super) async fn serve(config: &Config) -> Result<(), Failure> {
    let mut stops = Stops::listen()?;
    let (stop, stopping) = Stop::switch();
    // What requests under way depend on, or leave behind, goes on until they have ended.
    let (last_stop, until_last) = Stop::switch();
    let Started { registry, mut serving, mailing, tasks, _alone } = tokio::select! {
        started = start(config, stopping, until_last) => started?,
        // What a start does is done in transactions.
        _ = stops.next() => return Ok(()),
    };
    tokio::select! {
        // A listener ends only when told to.
        ended = &mut serving => return Err(Failure::Failed(format!("the listener ended: {ended:?}"))),
        name = stops.next() => {
            tracing::info!(signal = name, "stopping: no new connections; requests under way may end; a second signal stops at once");
        }
    }
    stop.now();
    let drained = tokio::select! {
        drained = &mut serving => drained.unwrap_or(false),
        name = stops.next() => {
            return Err(Failure::Failed(format!("stopped at once by a second signal ({name})")));
        }
    };
    if !drained {
        tracing::warn!("some requests did not end in time and were cut off");
    }
    // Told to stop with the listener, it has had as long to do so.
    if let Some(mailing) = mailing
        && tokio::time::timeout(CLOSE, mailing).await.is_err()
    {
        tracing::warn!("mails under way were cut off; they will be sent later");
    }
    last_stop.now();
    let ended = async {
        for task in tasks {
            // One that panicked has ended too.
            let _ = task.await;
        }
    };
    if tokio::time::timeout(CLOSE, ended).await.is_err() {
        tracing::warn!("what devices did last could not be written down in time");
    }
    if tokio::time::timeout(CLOSE, registry.close()).await.is_err() {
        tracing::warn!("the database did not let go in time");
    }
    tracing::info!("stopped");
    Ok(())
}

/// What is running.
struct Started {
    registry: Arc<Registry>,
    /// The listeners; they end once they are told to stop and all requests have ended, and tell whether they
    /// did in time.
    serving: JoinHandle<bool>,
    /// What sends mail.
    mailing: Option<JoinHandle<()>>,
    /// What ends after the last request and before the database.
    tasks: Vec<JoinHandle<()>>,
    /// SQLite's database is this process's until this is dropped.
    _alone: Option<std::fs::File>,
}

/// Gets everything going.
async fn start(config: &Config, stopping: Stopping, until_last: Stopping) -> Result<Started, Failure> {
    // Before anything is changed: two services on one port is the commonest mistake.
    let http = bind("http", config.http()).await?;
    let metrics = match config.metrics() {
        Some(address) => Some(bind("metrics", address).await?),
        None => None,
    };
    let grpc = match config.grpc() {
        Some(address) => Some(bind("grpc", address).await?),
        None => None,
    };
    let grpc_tls = encryption("gRPC", config.grpc_tls())?;
    let hooks = match config.hooks() {
        Some(address) => Some(bind("hooks", address).await?),
        None => None,
    };
    let hooks_tls = encryption("the hooks", config.hooks_tls())?;
    let tls = match config.tls() {
        Some((certificate, key)) => Some(
            tls::acceptor(certificate, key).map_err(|error| Failure::to("use the certificate", &error))?,
        ),
        None => None,
    };
    let address = http.local_addr().map_err(|error| Failure::to("listen", &error))?;
    let usage = |error: &dyn std::fmt::Display| Failure::Usage(error.to_string());
    let setup = config.mail(address).map_err(|error| usage(&error))?;
    let mailing = Mailing::new(&setup).map_err(|error| usage(&error))?;
    let alone = setup::claim(config)?;
    let registry = setup::open(config).await?;
    let root = root(config, &registry).await?;
    let app = App::new(Arc::clone(&registry), config.options(address).map_err(|error| usage(&error))?);

    let bound =
        |listener: &Option<TcpListener>| listener.as_ref().and_then(|listener| listener.local_addr().ok());
    let others = Others { metrics: bound(&metrics), grpc: bound(&grpc), hooks: bound(&hooks) };
    print(&banner(config, &registry, &setup, address, &others, root.as_ref()))?;
    tracing::info!(version = build::VERSION, %address, engine = registry.engine(), "serving");
    if tls.is_none() && !address.ip().is_loopback() {
        tracing::warn!(%address, "the API speaks plain HTTP to other machines: passwords and keys can be read on the way; set tls_cert and tls_key, or put a proxy in front");
    }
    if let Some(address) = others.grpc.filter(|address| grpc_tls.is_none() && !address.ip().is_loopback()) {
        tracing::warn!(%address, "gRPC speaks to other machines in the clear: keys and its token can be read on the way; set grpc_tls_cert and grpc_tls_key");
    }
    if let Some(address) = others.hooks.filter(|address| hooks_tls.is_none() && !address.ip().is_loopback()) {
        tracing::warn!(%address, "the hooks speak plain HTTP to other machines: devices' keys and the brokers' secret can be read on the way; set hooks_tls_cert and hooks_tls_key");
    }
    warn_of_mail(config, &setup);
    RateLimits::tidy_regularly(&app);
    look_after(&registry);
    let mut tasks = vec![
        tokio::spawn(Arc::clone(&registry).keep_step(told(until_last.clone()))),
        tokio::spawn(Arc::clone(&registry).note_activity(told(until_last))),
    ];
    if let Some(schedule) = config.backups() {
        let backups = schedule.run(Arc::clone(&registry), app.backups.clone(), told(stopping.clone()));
        tasks.push(tokio::spawn(backups));
    }
    let mailing = mailing.map(|mailing| {
        let drain = config.limits().drain;
        tokio::spawn(mailing.run(Arc::clone(&registry), app.metrics.mail.clone(), stopping.clone(), drain))
    });

    let connections = app.metrics.connections.clone();
    if let Some(listener) = metrics {
        let limits = Limits { connections: 16, drain: Duration::ZERO, ..Limits::default() };
        let router = metrics_router(app.clone());
        let server = Server { router, limits, tls: None, connections: Gauge::default() };
        tokio::spawn(server.run(listener, stopping.clone()));
    }
    let limits = config.limits();
    let mut servers =
        vec![(http, Server { router: rest::router(app.clone()), limits: limits.clone(), tls, connections })];
    if let Some(listener) = grpc {
        let router = grpc::router(app.clone(), &stopping);
        let connections = app.metrics.grpc_connections.clone();
        servers.push((listener, Server { router, limits: config.grpc_limits(), tls: grpc_tls, connections }));
    }
    if let Some(listener) = hooks {
        let router = hooks::router(app.clone());
        servers.push((listener, Server { router, limits, tls: hooks_tls, connections: Gauge::default() }));
    }
    let mut running = JoinSet::new();
    for (listener, server) in servers {
        running.spawn(server.run(listener, stopping.clone()));
    }
    let serving = tokio::spawn(async move {
        let mut drained = true;
        while let Some(ended) = running.join_next().await {
            drained &= ended.unwrap_or(false);
        }
        drained
    });
    Ok(Started { registry, serving, mailing, tasks, _alone: alone })
}

async fn told(mut stopping: Stopping) {
    stopping.wait().await;
}

/// The certificate of a port beside the API, its key, and who signs the certificates of callers, if they are
/// asked for one.
type Certificates<'c> = Option<(&'c Path, &'c Path, Option<&'c Path>)>;

/// How such a port encrypts.
fn encryption(port: &str, certificates: Certificates<'_>) -> Result<Option<TlsAcceptor>, Failure> {
    let made = match certificates {
        None => return Ok(None),
        Some((certificate, key, None)) => tls::acceptor(certificate, key),
        Some((certificate, key, Some(authorities))) => tls::mutual_acceptor(certificate, key, authorities),
    };
    made.map(Some).map_err(|error| Failure::to(&format!("use the certificates of {port}"), &error))
}

/// Where the ports beside the API are, of those that are open.
struct Others {
    metrics: Option<SocketAddr>,
    grpc: Option<SocketAddr>,
    hooks: Option<SocketAddr>,
}

async fn bind(option: &str, address: SocketAddr) -> Result<TcpListener, Failure> {
    let what = format!("listen on {address} (option {option}, flag --{option})");
    TcpListener::bind(address).await.map_err(|error| Failure::to(&what, &error))
}

/// Makes the first account where there is none.
async fn root(config: &Config, registry: &Registry) -> Result<Option<RootMade>, Failure> {
    let (email, password) = config.admin();
    let wrong = |option: &str, error: &dyn std::fmt::Display| Failure::Usage(format!("{option}: {error}"));
    let email = Email::try_from(email).map_err(|error| wrong("admin_email", &error))?;
    let password = match password {
        Some(secret) => {
            Some(Password::try_from(Secret::clone(secret)).map_err(|error| wrong("admin_password", &error))?)
        }
        None => None,
    };
    registry.ensure_root(email, password).await.map_err(|error| match error {
        registry::Error::Invalid(_) => wrong("admin_email or admin_password", &error),
        error => Failure::to("make the first account", &error),
    })
}

/// What a person sees first.
fn banner(
    config: &Config,
    registry: &Registry,
    setup: &mail::Setup,
    address: SocketAddr,
    others: &Others,
    root: Option<&RootMade>,
) -> String {
    let url = config.public_url(address);
    let Others { metrics, grpc, hooks } = others;
    let grpc = grpc.map_or_else(|| "off".to_owned(), |address| format!("{address}, {}", trust(config)));
    let metrics = metrics.map_or_else(|| "off".to_owned(), |address| format!("http://{address}/metrics"));
    let hooks = hooks.map_or_else(
        || "off".to_owned(),
        |address| format!("{}, {}", config.hooks_url(address), config.hooks_trust()),
    );
    let place = place(&setup.destination);
    let mail = match setup.destination {
        Destination::Off => "off; nobody is written to, invites are for who has an account, and who forgets a password needs you".to_owned(),
        Destination::Files(_) => format!("{place}, as files for you to pass on"),
        Destination::Smtp(_) => format!("{place}, from {}", setup.from.as_deref().unwrap_or_default()),
    };
    let mut text = format!(
        "Things {}\n\n  database   {}, {}\n  API        {url} (read and try it: {url}/docs)\n  metrics    {metrics}\n  \
         gRPC       {grpc}\n  hooks      {hooks}\n  mail       {mail}\n  keys       {}\n",
        build::VERSION,
        registry.engine(),
        config.shown_database_url(),
        setup::key_place(config),
    );
    let Some(root) = root else { return text };
    text.push_str("             Keep a copy of the keys, apart from the database's backups: without them no device\n             can authenticate.\n");
    text.push_str(&format!(
        "\nThis is the first start. The platform's administrator:\n\n  e-mail     {}\n",
        root.email
    ));
    match &root.generated {
        Some(password) => text
            .push_str(&format!("  password   {}\n             It is shown only now.\n", password.expose())),
        None => text.push_str("  password   as configured\n"),
    }
    // The password is asked for: on a command line it would be in the shell's history and the list of processes.
    text.push_str(&format!(
        "\nLog in next, in a browser at {url}/login or by\n\n  things login --url {url} --email {}\n\n",
        root.email
    ));
    text
}

/// Whom the gRPC port lets in.
fn trust(config: &Config) -> &'static str {
    let certificates = matches!(config.grpc_tls(), Some((_, _, Some(_))));
    match (certificates, config.has_grpc_token()) {
        (false, false) => "for this machine; it trusts whoever reaches it",
        (true, false) => "for who has a client certificate",
        (false, true) => "for who has its token",
        (true, true) => "for who has a client certificate and its token",
    }
}

/// What works and should be looked at all the same.
fn warn_of_mail(config: &Config, setup: &mail::Setup) {
    let Destination::Smtp(server) = &setup.destination else { return };
    if server.is_exposed() {
        tracing::warn!(
            host = server.host,
            "mails, and the password for them, can be read on their way to the mail server; leave out `?tls=…`"
        );
    }
    if !config.has_public_url() {
        tracing::warn!(
            site = setup.site,
            "links in mails lead to the address that this service listens on; set public_url"
        );
    }
}

/// Removes what has expired, and looks once for rows that break an invariant.
fn look_after(registry: &Arc<Registry>) {
    let registry = Arc::clone(registry);
    tokio::spawn(async move {
        match registry.audit_rows().await {
            Ok(findings) => {
                for finding in findings {
                    tracing::warn!(subject = finding.subject, advice = finding.advice, "{}", finding.message);
                }
            }
            Err(error) => tracing::warn!(%error, "cannot look for rows that break an invariant"),
        }
        loop {
            match registry.sweep().await {
                Ok(0) => {}
                Ok(removed) => tracing::debug!(removed, "removed what had expired"),
                Err(error) => tracing::warn!(%error, "cannot remove what has expired"),
            }
            tokio::time::sleep(SWEEP).await;
        }
    });
}

fn metrics_router(app: App) -> Router {
    async fn metrics(State(app): State<App>) -> impl IntoResponse {
        let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        ([(header::CONTENT_TYPE, kind)], app.metrics.encode().unwrap_or_default())
    }
    Router::new().route("/metrics", get(metrics)).with_state(app)
}

/// SIGTERM and SIGINT.
struct Stops {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Stops {
    fn listen() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(|error| Failure::to("listen to signals", &error));
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

//! How the process is set up: defaults, then the file, then the environment, then flags. Whatever is
//! wrong is told with the option's name and where it was set.

mod backups;
mod hooks;
mod options;
mod show;
mod sources;

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use figment::{
    Figment,
    providers::{Format, Toml},
};
use registry::{InviteLimits, Keyring, Secret, credentials::Readback};
use serde::{Deserialize, Deserializer};

pub(crate) use options::{OPTIONS, default_file};
pub(crate) use show::without_password;
pub(crate) use sources::Sources;
use sources::{Given, place, told};

use crate::{
    app::Options,
    mail::{self, Destination},
    serve::Limits,
};

/// The file that is read when none is named.
const FILE: &str = "things.toml";
/// The shortest service token: it is all that a caller of the gRPC port has.
const LEAST_TOKEN: usize = 16;

/// The configuration, valid.
pub struct Config {
    raw: Raw,
    figment: Figment,
    unknown_variables: Vec<String>,
}

/// The sources hold secrets in clear.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.raw.fmt(f)
    }
}

/// What cannot be used, and why: for the person who starts the program.
#[derive(Debug, PartialEq)]
pub struct ConfigError(String);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    data_dir: PathBuf,
    #[serde(default, deserialize_with = "secret")]
    database_url: Option<Secret>,
    http: SocketAddr,
    metrics: Listener,
    grpc: Listener,
    hooks: Listener,
    #[serde(default, deserialize_with = "secret")]
    hooks_secret: Option<Secret>,
    hooks_tls_cert: Option<PathBuf>,
    hooks_tls_key: Option<PathBuf>,
    hooks_client_ca: Option<PathBuf>,
    topics: String,
    public_url: Option<String>,
    admin_email: String,
    #[serde(default, deserialize_with = "secret")]
    admin_password: Option<Secret>,
    log: String,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    #[serde(default, deserialize_with = "secret")]
    grpc_token: Option<Secret>,
    grpc_tls_cert: Option<PathBuf>,
    grpc_tls_key: Option<PathBuf>,
    grpc_client_ca: Option<PathBuf>,
    #[serde(deserialize_with = "secret")]
    mail: Option<Secret>,
    mail_from: Option<String>,
    mail_templates: Option<PathBuf>,
    mail_ca: Option<PathBuf>,
    registration: Registration,
    session_days: u32,
    invite_days: u32,
    backup_dir: Option<PathBuf>,
    backup_every: String,
    backup_keep: u32,
    keys: Keys,
    auth: Auth,
    limits: RawLimits,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    readback: ReadbackPolicy,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Auth {
    grace_seconds: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLimits {
    database_connections: u32,
    cached_credentials: u32,
    connections: u32,
    requests_per_second: u32,
    burst: u32,
    invites_per_hour: u32,
    pending_invites: u32,
    head_seconds: u32,
    body_seconds: u32,
    idle_seconds: u32,
    drain_seconds: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Registration {
    Open,
    Closed,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ReadbackPolicy {
    Editor,
    Never,
}

/// An address, or none.
#[derive(Debug)]
struct Listener(Option<SocketAddr>);

impl<'de> Deserialize<'de> for Listener {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        match text.as_str() {
            "off" => Ok(Self(None)),
            address => address.parse().map(|address| Self(Some(address))).map_err(serde::de::Error::custom),
        }
    }
}

fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Secret>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.filter(|text| !text.is_empty()).map(Secret::new))
}

impl Config {
    /// Puts the sources together and checks everything.
    pub(crate) fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let mut figment = Figment::new();
        for option in OPTIONS {
            if let Some(default) = option.default {
                figment = figment.merge(Given { option, text: default, from: "the default".to_owned() });
            }
        }
        let file = match &sources.file {
            Some(file) if !file.is_file() => {
                return Err(ConfigError(format!("the configuration file {} does not exist", file.display())));
            }
            Some(file) => file.as_path(),
            None => Path::new(FILE),
        };
        if file.is_file() {
            figment = figment.merge(Toml::file_exact(file));
        }
        for option in OPTIONS {
            let variable = option.variable();
            if let Some((_, text)) = sources.environment.iter().find(|(name, _)| *name == variable) {
                figment = figment.merge(Given { option, text, from: variable });
            }
            if let Some((_, text)) = sources.flags.iter().find(|(key, _)| *key == option.key) {
                figment = figment.merge(Given { option, text, from: format!("--{}", option.flag_name()) });
            }
        }
        let raw = figment.extract().map_err(|error| ConfigError(told(error)))?;
        let unknown_variables =
            sources.environment.iter().map(|(name, _)| name).filter(|name| unknown(name)).cloned();
        let config = Self { raw, figment, unknown_variables: unknown_variables.collect() };
        config.check()?;
        Ok(config)
    }

    /// What no single type can say.
    fn check(&self) -> Result<(), ConfigError> {
        let (raw, limits) = (&self.raw, &self.raw.limits);
        for (key, value, least, most) in [
            ("session_days", raw.session_days, 1, 365),
            ("invite_days", raw.invite_days, 1, InviteLimits::MAX_DAYS),
            ("auth.grace_seconds", raw.auth.grace_seconds, 0, 60),
            ("limits.database_connections", limits.database_connections, 2, 1000),
            ("limits.cached_credentials", limits.cached_credentials, 0, 10_000_000),
            ("limits.connections", limits.connections, 1, 100_000),
            ("limits.burst", limits.burst, 1, 1_000_000),
            ("limits.invites_per_hour", limits.invites_per_hour, 1, 100_000),
            ("limits.pending_invites", limits.pending_invites, 1, 1_000_000),
            ("limits.head_seconds", limits.head_seconds, 1, 600),
            ("limits.body_seconds", limits.body_seconds, 1, 600),
            ("limits.idle_seconds", limits.idle_seconds, 1, 3600),
            ("limits.drain_seconds", limits.drain_seconds, 0, 600),
        ] {
            if !(least..=most).contains(&value) {
                return Err(self.refusal(key, &format!("must be from {least} to {most}")));
            }
        }
        for (certificate, key, cert_option, key_option, other) in [
            (
                &raw.tls_cert,
                &raw.tls_key,
                "tls_cert",
                "tls_key",
                "needs the other of tls_cert and tls_key too",
            ),
            (
                &raw.grpc_tls_cert,
                &raw.grpc_tls_key,
                "grpc_tls_cert",
                "grpc_tls_key",
                "needs the other of grpc_tls_cert and grpc_tls_key too",
            ),
        ] {
            if certificate.is_some() != key.is_some() {
                let given = if certificate.is_some() { cert_option } else { key_option };
                return Err(self.refusal(given, other));
            }
        }
        self.check_grpc()?;
        if let Some(url) = &raw.public_url
            && !["http://", "https://"]
                .iter()
                .any(|scheme| url.starts_with(scheme) && url.len() > scheme.len())
        {
            return Err(self.refusal("public_url", "must begin with http:// or https://"));
        }
        if let Some(url) = &raw.database_url
            && !["sqlite:", "postgres://", "postgresql://"]
                .iter()
                .any(|scheme| url.expose().starts_with(scheme))
        {
            return Err(self.refusal("database_url", "must begin with `sqlite:` or `postgres://`"));
        }
        self.destination()?;
        self.check_backups()?;
        self.check_hooks()?;
        if let Err(error) = crate::telemetry::logs::filter(&raw.log) {
            return Err(self.refusal("log", &format!("is not a filter: {error}")));
        }
        Ok(())
    }

    /// Whoever reaches the gRPC port is trusted, so not everybody may reach it.
    fn check_grpc(&self) -> Result<(), ConfigError> {
        let raw = &self.raw;
        if raw.grpc_client_ca.is_some() && raw.grpc_tls_cert.is_none() {
            return Err(self.refusal("grpc_client_ca", "needs grpc_tls_cert and grpc_tls_key too"));
        }
        if let Some(token) = &raw.grpc_token {
            let text = token.expose();
            if text.len() < LEAST_TOKEN || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
                let message =
                    format!("must be at least {LEAST_TOKEN} visible ASCII characters, without spaces");
                return Err(self.refusal("grpc_token", &message));
            }
        }
        let guarded = raw.grpc_token.is_some() || raw.grpc_client_ca.is_some();
        match raw.grpc.0 {
            Some(address) if !address.ip().is_loopback() && !guarded => Err(self.refusal(
                "grpc",
                "listens to other machines, and whoever reaches this port is trusted: set grpc_client_ca (with \
                 grpc_tls_cert and grpc_tls_key), or grpc_token, or let it listen on 127.0.0.1, or switch it `off`",
            )),
            _ => Ok(()),
        }
    }

    fn destination(&self) -> Result<Destination, ConfigError> {
        let text = self.raw.mail.as_ref().map_or("", Secret::expose);
        Destination::parse(text, &self.raw.data_dir).map_err(|message| self.refusal("mail", &message))
    }

    fn refusal(&self, key: &str, message: &str) -> ConfigError {
        ConfigError(format!("{key} {message} (set by {})", self.source(key)))
    }

    /// Where an option's value comes from.
    fn source(&self, key: &str) -> String {
        self.figment.find_metadata(key).map_or_else(|| "nobody".to_owned(), place)
    }

    /// Variables that look like options and are none. They are no error as in the file: Kubernetes
    /// and others set variables for everything in reach.
    pub(crate) fn unknown_variables(&self) -> &[String] {
        &self.unknown_variables
    }

    /// Where the keys and SQLite's database are.
    pub fn data_dir(&self) -> &Path {
        &self.raw.data_dir
    }

    /// The database, with whatever password it has.
    pub fn database_url(&self) -> String {
        match &self.raw.database_url {
            Some(url) => url.expose().to_owned(),
            None => format!("sqlite:{}", self.raw.data_dir.join("things.db").display()),
        }
    }

    /// The database, for a person to read.
    pub fn shown_database_url(&self) -> String {
        show::without_password(&self.database_url())
    }

    /// SQLite's file.
    pub fn database_file(&self) -> Option<PathBuf> {
        database_file(&self.database_url())
    }

    /// Where the API listens.
    pub fn http(&self) -> SocketAddr {
        self.raw.http
    }

    /// Where metrics are read.
    pub fn metrics(&self) -> Option<SocketAddr> {
        self.raw.metrics.0
    }

    /// Where other services and gateways ask.
    pub fn grpc(&self) -> Option<SocketAddr> {
        self.raw.grpc.0
    }

    /// The gRPC port's certificate, its key, and who signs its clients' certificates.
    pub fn grpc_tls(&self) -> Option<(&Path, &Path, Option<&Path>)> {
        let raw = &self.raw;
        let (certificate, key) = raw.grpc_tls_cert.as_deref().zip(raw.grpc_tls_key.as_deref())?;
        Some((certificate, key, raw.grpc_client_ca.as_deref()))
    }

    /// Whether callers of the gRPC port must show a token.
    pub(crate) fn has_grpc_token(&self) -> bool {
        self.raw.grpc_token.is_some()
    }

    /// What the gRPC port's listener allows.
    pub fn grpc_limits(&self) -> Limits {
        Limits { streams: crate::grpc::STREAMS, ..self.limits() }
    }

    /// How clients reach the API.
    pub fn public_url(&self, bound: SocketAddr) -> String {
        let scheme = if self.raw.tls_cert.is_some() { "https" } else { "http" };
        match &self.raw.public_url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => format!("{scheme}://{bound}"),
        }
    }

    /// The first account's address and password.
    pub fn admin(&self) -> (&str, Option<&Secret>) {
        (&self.raw.admin_email, self.raw.admin_password.as_ref())
    }

    /// What is logged.
    pub fn log(&self) -> &str {
        &self.raw.log
    }

    /// The certificate's and the key's file.
    pub fn tls(&self) -> Option<(&Path, &Path)> {
        self.raw.tls_cert.as_deref().zip(self.raw.tls_key.as_deref())
    }

    /// Where mails go and how.
    pub fn mail(&self, bound: SocketAddr) -> Result<mail::Setup, ConfigError> {
        Ok(mail::Setup {
            destination: self.destination()?,
            from: self.raw.mail_from.clone(),
            templates: self.raw.mail_templates.clone(),
            ca: self.raw.mail_ca.clone(),
            site: self.public_url(bound),
        })
    }

    /// Whether links lead to an address that others can reach.
    pub(crate) fn has_public_url(&self) -> bool {
        self.raw.public_url.is_some()
    }

    /// The file of the installation's keys.
    pub fn key_file(&self) -> PathBuf {
        self.raw.data_dir.join("things.keys")
    }

    /// How the registry is set up.
    pub fn registry(&self, keyring: Keyring) -> registry::Settings {
        registry::Settings {
            connections: self.raw.limits.database_connections,
            cached_credentials: self.raw.limits.cached_credentials as usize,
            auth_grace: seconds(self.raw.auth.grace_seconds),
            readback: match self.raw.keys.readback {
                ReadbackPolicy::Editor => Readback::Editor,
                ReadbackPolicy::Never => Readback::Never,
            },
            session_days: self.raw.session_days,
            open_registration: self.raw.registration == Registration::Open,
            invites: InviteLimits {
                life: Duration::from_secs(u64::from(self.raw.invite_days) * 24 * 3600),
                per_hour: self.raw.limits.invites_per_hour,
                pending: self.raw.limits.pending_invites,
                ..InviteLimits::default()
            },
            mail: self.destination().is_ok_and(|destination| destination != Destination::Off),
            ..registry::Settings::new(self.database_url(), keyring)
        }
    }

    /// What the fronts need to know.
    pub fn options(&self, bound: SocketAddr) -> Result<Options, ConfigError> {
        let limits = &self.raw.limits;
        Ok(Options {
            requests_per_second: Some(limits.requests_per_second).filter(|rate| *rate > 0),
            burst: limits.burst,
            body_timeout: seconds(limits.body_seconds),
            idle: seconds(limits.idle_seconds),
            data_dir: Some(self.raw.data_dir.clone()),
            public_url: self.public_url(bound),
            tls: self.raw.tls_cert.is_some(),
            grpc_token: self.raw.grpc_token.clone(),
            hooks_secret: self.raw.hooks_secret.clone(),
            topics: self.topic_rules()?,
            backup_every: self.backups().map(|schedule| schedule.every),
        })
    }

    /// What the API's listener allows.
    pub fn limits(&self) -> Limits {
        let limits = &self.raw.limits;
        Limits {
            connections: limits.connections,
            streams: Limits::default().streams,
            head: seconds(limits.head_seconds),
            idle: seconds(limits.idle_seconds),
            drain: seconds(limits.drain_seconds),
        }
    }
}

/// The file of a database that is SQLite's.
pub(crate) fn database_file(url: &str) -> Option<PathBuf> {
    url.strip_prefix("sqlite:").map(|path| PathBuf::from(path.trim_start_matches("//")))
}

/// Variables that are not options and have a meaning all the same.
const OTHER_VARIABLES: [&str; 6] = [
    "THINGS_CONFIG",
    "THINGS_KEYS",
    "THINGS_TEST_BROKERS",
    "THINGS_TEST_POSTGRES",
    "THINGS_TOKEN",
    "THINGS_URL",
];

fn unknown(variable: &str) -> bool {
    // What Kubernetes sets for a service called `things`.
    let of_a_service = variable.contains("_SERVICE_") || variable.contains("_PORT");
    variable.starts_with("THINGS_")
        && !of_a_service
        && !OTHER_VARIABLES.contains(&variable)
        && !OPTIONS.iter().any(|option| option.variable() == variable)
}

fn seconds(count: u32) -> Duration {
    Duration::from_secs(u64::from(count))
}

#[cfg(test)]
mod tests;

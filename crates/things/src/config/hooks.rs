//! Options of the broker hooks.

use std::{net::SocketAddr, path::Path};

use figment::{
    Figment,
    providers::{Format, Toml},
};
use registry::{
    Secret,
    topics::{Layout, TopicRules},
};

use super::{Config, ConfigError};

/// The shortest secret.
const SECRET_LENGTH: usize = 16;

impl Config {
    /// Where brokers ask.
    pub fn hooks(&self) -> Option<SocketAddr> {
        self.raw.hooks.0
    }

    /// The certificate's and the key's file, and that of whoever signs brokers' certificates.
    pub fn hooks_tls(&self) -> Option<(&Path, &Path, Option<&Path>)> {
        let (certificate, key) = self.raw.hooks_tls_cert.as_deref().zip(self.raw.hooks_tls_key.as_deref())?;
        Some((certificate, key, self.raw.hooks_client_ca.as_deref()))
    }

    /// How brokers reach them.
    pub(crate) fn hooks_url(&self, bound: SocketAddr) -> String {
        let scheme = if self.raw.hooks_tls_cert.is_some() { "https" } else { "http" };
        format!("{scheme}://{bound}/hooks")
    }

    /// Whom they answer, for the person who starts the program.
    pub(crate) fn hooks_trust(&self) -> &'static str {
        match (self.raw.hooks_client_ca.is_some(), self.raw.hooks_secret.is_some()) {
            (false, false) => "for MQTT brokers on this machine",
            (true, false) => "for MQTT brokers that have a client certificate",
            (false, true) => "for MQTT brokers that have its secret",
            (true, true) => "for MQTT brokers that have a client certificate and its secret",
        }
    }

    pub(super) fn topic_rules(&self) -> Result<TopicRules, ConfigError> {
        let layout = match self.raw.topics.as_str() {
            "isolated" => Layout::isolated(),
            "mainflux" => Layout::mainflux(),
            file if !Path::new(file).is_file() => {
                return Err(self.refusal("topics", "must be isolated, mainflux or a file that exists"));
            }
            file => Figment::from(Toml::file_exact(file))
                .extract()
                .map_err(|error| self.refusal("topics", &format!("cannot be read: {error}")))?,
        };
        TopicRules::new(&layout).map_err(|error| self.refusal("topics", &format!("cannot be used: {error}")))
    }

    pub(super) fn check_hooks(&self) -> Result<(), ConfigError> {
        let raw = &self.raw;
        let fits = |secret: &Secret| {
            let mut bytes = secret.expose().bytes();
            secret.expose().len() >= SECRET_LENGTH
                && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
        };
        if raw.hooks_secret.as_ref().is_some_and(|secret| !fits(secret)) {
            let wanted =
                "must be at least 16 characters, of letters, digits and `-._~` only: it is part of paths";
            return Err(self.refusal("hooks_secret", wanted));
        }
        if let (Some(_), None) | (None, Some(_)) = (&raw.hooks_tls_cert, &raw.hooks_tls_key) {
            let key = if raw.hooks_tls_cert.is_some() { "hooks_tls_cert" } else { "hooks_tls_key" };
            return Err(self.refusal(key, "needs the other of hooks_tls_cert and hooks_tls_key too"));
        }
        if raw.hooks_client_ca.is_some() && raw.hooks_tls_cert.is_none() {
            return Err(self.refusal("hooks_client_ca", "needs hooks_tls_cert and hooks_tls_key too"));
        }
        let open = self.hooks().is_some_and(|address| !address.ip().is_loopback());
        if open && raw.hooks_secret.is_none() && raw.hooks_client_ca.is_none() {
            return Err(self.refusal(
                "hooks",
                "listens to other machines, and whoever asks there learns whether a key is good and speaks for \
                 any device; set hooks_secret, or hooks_client_ca with hooks_tls_cert and hooks_tls_key",
            ));
        }
        self.topic_rules().map(drop)
    }
}

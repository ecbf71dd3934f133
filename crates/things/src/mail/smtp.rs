//! Mails to a mail server.
//!
//! Connections are kept for the next mail while there is one soon. They are kept here and not by
//! lettre's pool, because an attempt that is cut off in the middle of a conversation must take its
//! connection with it: the next mail would read this one's answers.

use std::{
    fs,
    path::Path,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use lettre::transport::smtp::{
    Error,
    authentication::{Credentials, DEFAULT_MECHANISMS},
    client::{AsyncSmtpConnection, Certificate, TlsParameters},
    extension::ClientId,
};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use tokio::time::Instant;

use super::{Encryption, Refusal, Server, SetupError, compose::Composed};

/// How long a mail server may take to be connected to.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a connection is kept for the next mail.
const IDLE: Duration = Duration::from_secs(20);
/// How long saying goodbye may take.
const GOODBYE: Duration = Duration::from_millis(500);

/// A mail server to send by.
pub(super) struct Smtp {
    host: String,
    port: u16,
    hello: ClientId,
    encryption: Encryption,
    tls: TlsParameters,
    credentials: Option<Credentials>,
    idle: Mutex<Vec<(AsyncSmtpConnection, Instant)>>,
}

impl Smtp {
    /// `domain` is what this program calls itself.
    pub(super) fn new(server: &Server, domain: &str, ca: Option<&Path>) -> Result<Self, SetupError> {
        let mut tls = TlsParameters::builder(server.host.clone());
        if let Some(file) = ca {
            tls = tls.add_root_certificate(authorities(file)?);
        }
        let tls = tls.build().map_err(|error| SetupError::new("mail_ca", error))?;
        let credentials = server
            .login
            .as_ref()
            .map(|(user, password)| Credentials::new(user.clone(), password.expose().to_owned()));
        Ok(Self {
            host: server.host.clone(),
            port: server.port,
            hello: ClientId::Domain(domain.to_owned()),
            encryption: server.encryption,
            tls,
            credentials,
            idle: Mutex::default(),
        })
    }

    pub(super) async fn send(&self, mail: &Composed) -> Result<(), Refusal> {
        let message = mail.message()?;
        let sent = async {
            let mut conn = match self.kept().await {
                Some(conn) => conn,
                None => self.connect().await?,
            };
            conn.send(message.envelope(), &message.formatted()).await?;
            Ok::<_, Error>(conn)
        };
        let conn = sent.await.map_err(|error| Refusal::new(&error))?;
        self.lock().push((conn, Instant::now()));
        Ok(())
    }

    /// A connection that the last mail left, if it is still alive.
    async fn kept(&self) -> Option<AsyncSmtpConnection> {
        loop {
            let (mut conn, since) = self.lock().pop()?;
            if since.elapsed() < IDLE && conn.test_connected().await {
                return Some(conn);
            }
        }
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, Error> {
        let implicit = (self.encryption == Encryption::Implicit).then(|| self.tls.clone());
        let place = (self.host.as_str(), self.port);
        let mut conn =
            AsyncSmtpConnection::connect_tokio1(place, Some(CONNECT), &self.hello, implicit, None).await?;
        match self.encryption {
            Encryption::Opportunistic if conn.can_starttls() => {
                conn.starttls(self.tls.clone(), &self.hello).await?;
            }
            Encryption::Required => conn.starttls(self.tls.clone(), &self.hello).await?,
            Encryption::Opportunistic | Encryption::None | Encryption::Implicit => {}
        }
        if let Some(credentials) = &self.credentials {
            conn.auth(DEFAULT_MECHANISMS, credentials).await?;
        }
        Ok(conn)
    }

    /// Ends the connections that are kept.
    pub(super) async fn close(&self) {
        let kept = std::mem::take(&mut *self.lock());
        for (mut conn, _) in kept {
            // Whatever the answer, the connection is over.
            let _ = tokio::time::timeout(GOODBYE, conn.quit()).await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(AsyncSmtpConnection, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the file of the option `mail_ca`.
fn authorities(file: &Path) -> Result<Certificate, SetupError> {
    let wrong = |error: &dyn std::fmt::Display| {
        SetupError::new(
            "mail_ca",
            format!("{}: {error}; name a file with certificates as PEM", file.display()),
        )
    };
    let pem = fs::read(file).map_err(|error| wrong(&error))?;
    match CertificateDer::pem_slice_iter(&pem).next() {
        Some(Ok(_)) => Certificate::from_pem(&pem).map_err(|error| wrong(&error)),
        Some(Err(error)) => Err(wrong(&error)),
        None => Err(wrong(&"there is no certificate in it")),
    }
}

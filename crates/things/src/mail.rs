//! Mail to people: the registry's letters are put into words and sent, by a worker that runs beside the
//! API and never in its way.

mod compose;
mod destination;
mod files;
mod smtp;
mod templates;
mod worker;

use std::{fmt, path::PathBuf, time::Duration};

use registry::{MailId, Timestamp, text::Email};

pub use destination::{Destination, Encryption, Server};
pub(crate) use templates::BUILT_IN;

use compose::{Composed, Composer, Unfit};
use files::Files;
use smtp::Smtp;

/// How often is looked for mails that nobody has told of: those of other nodes, and those due again.
const POLL: Duration = Duration::from_secs(10);

/// What the options say about mail.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Where mails go.
    pub destination: Destination,
    /// Who they come from: `Name <address>` or an address; `None` for a name on this machine.
    pub from: Option<String>,
    /// Templates that replace the built-in ones.
    pub templates: Option<PathBuf>,
    /// Certificates of authorities, as PEM, that the mail server's may be signed by, besides the
    /// well-known ones.
    pub ca: Option<PathBuf>,
    /// What links begin with.
    pub site: String,
}

/// What is wrong with the options, with the option's name and what to do.
#[derive(Debug, PartialEq)]
pub struct SetupError(String);

impl SetupError {
    fn new(option: &str, message: impl fmt::Display) -> Self {
        Self(format!("{option}: {message}"))
    }
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SetupError {}

/// Why a mail was not sent.
#[derive(Debug)]
pub struct Refusal(String);

impl Refusal {
    /// The reason, without anything that the mail holds: what looks like an address or a secret in a
    /// mail server's answer is left out.
    fn new(reason: &dyn fmt::Display) -> Self {
        const LONGEST_WORD: usize = 32;
        let harmless = |word: &str| word.chars().count() <= LONGEST_WORD && !word.contains(['@', '_', '=']);
        let text = reason.to_string();
        let words: Vec<&str> =
            text.split_whitespace().map(|word| if harmless(word) { word } else { "…" }).collect();
        Self(words.join(" "))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

/// What a template says of what it was given may be in it, too.
impl From<Unfit> for Refusal {
    fn from(unfit: Unfit) -> Self {
        Self::new(&unfit)
    }
}

/// How mails leave.
enum Transport {
    Files(Files),
    Smtp(Box<Smtp>),
}

impl Transport {
    async fn send(&self, mail: &Composed) -> Result<(), Refusal> {
        match self {
            Self::Files(files) => files.write(mail).await,
            Self::Smtp(smtp) => smtp.send(mail).await,
        }
    }

    async fn close(&self) {
        match self {
            Self::Files(_) => {}
            Self::Smtp(smtp) => smtp.close().await,
        }
    }
}

/// All that is needed to send mail, ready and checked.
pub struct Mailing {
    composer: Composer,
    transport: Transport,
    poll: Duration,
    patience: Duration,
}

impl Mailing {
    /// Gets everything ready, and renders every template once; `None` where mail is off.
    pub fn new(setup: &Setup) -> Result<Option<Self>, SetupError> {
        let composer = Composer::new(setup)?;
        let transport = match &setup.destination {
            Destination::Off => return Ok(None),
            Destination::Files(dir) => Transport::Files(Files::new(dir.clone())),
            Destination::Smtp(server) => {
                let smtp = Smtp::new(server, composer.domain(), setup.ca.as_deref())?;
                Transport::Smtp(Box::new(smtp))
            }
        };
        Ok(Some(Self { composer, transport, poll: POLL, patience: registry::mail::ATTEMPT }))
    }

    /// Looks for mails that are due this often.
    #[must_use]
    pub fn polling(self, poll: Duration) -> Self {
        Self { poll, ..self }
    }

    /// Gives an attempt this long, and never longer than the registry expects.
    #[must_use]
    pub fn within(self, patience: Duration) -> Self {
        Self { patience: patience.min(registry::mail::ATTEMPT), ..self }
    }

    /// Sends a mail, or says why not.
    async fn send(&self, mail: Result<Composed, Unfit>) -> Result<(), Refusal> {
        let mail = mail?;
        let sent = tokio::time::timeout(self.patience, self.transport.send(&mail)).await;
        sent.unwrap_or_else(|_| {
            Err(Refusal::new(&format!("no answer within {} s", self.patience.as_secs_f32())))
        })
    }

    /// Sends a mail that only says that mail works.
    pub(crate) async fn test(&self, id: MailId, to: &Email, now: Timestamp) -> Result<(), Refusal> {
        let sent = self.send(self.composer.test(id, to, now)).await;
        self.transport.close().await;
        sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_answer_is_kept_without_what_was_in_the_mail() {
        let told = "permanent error (550): 5.1.1 <ann@example.com>: no such user; saw \
                    https://things.example.com/reset/rst_123456789012345678901234567890123456";
        assert_eq!(Refusal::new(&told).0, "permanent error (550): 5.1.1 … no such user; saw …");
    }
}

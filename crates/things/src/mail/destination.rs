//! Where mails go, as the option `mail` says it.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

use registry::Secret;

/// Where mails go.
#[derive(Clone, Debug, PartialEq)]
pub enum Destination {
    /// Nowhere.
    Off,
    /// Into files in this directory, for the operator to pass on.
    Files(PathBuf),
    /// To a mail server.
    Smtp(Server),
}

/// A mail server.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// User and password.
    pub login: Option<(String, Secret)>,
    /// How the way to it is guarded.
    pub encryption: Encryption,
}

/// How the way to the mail server is guarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// Not at all.
    None,
    /// By STARTTLS where the server offers it, which somebody on the way can prevent.
    Opportunistic,
    /// By STARTTLS, or nothing is sent.
    Required,
    /// By TLS from the first byte.
    Implicit,
}

impl Encryption {
    /// For a person to read.
    pub(crate) fn told(self) -> &'static str {
        match self {
            Self::None => "not encrypted",
            Self::Opportunistic => "STARTTLS if offered",
            Self::Required => "STARTTLS",
            Self::Implicit => "TLS",
        }
    }
}

/// What can be written there, for whoever wrote something else.
const FORMS: &str = "must be `file`, `file:DIR`, `smtp://user:password@host:port`, `smtps://…` or `off`; \
                     write special characters in the user and the password as %XX";

impl Destination {
    /// Reads the option. A refusal never repeats the value, which holds a password.
    pub(crate) fn parse(text: &str, data_dir: &Path) -> Result<Self, String> {
        match text {
            "off" => return Ok(Self::Off),
            "file" => return Ok(Self::Files(data_dir.join("mail"))),
            _ => {}
        }
        if let Some(dir) = text.strip_prefix("file:").filter(|dir| !dir.is_empty()) {
            return Ok(Self::Files(PathBuf::from(dir)));
        }
        let (implicit, rest) = match (text.strip_prefix("smtp://"), text.strip_prefix("smtps://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => return Err(FORMS.to_owned()),
        };
        Server::parse(implicit, rest).map(Self::Smtp)
    }
}

impl Server {
    fn parse(implicit: bool, text: &str) -> Result<Self, String> {
        let (address, query) = text.split_once('?').map_or((text, None), |(a, query)| (a, Some(query)));
        let address = address.strip_suffix('/').unwrap_or(address);
        let (login, place) =
            address.rsplit_once('@').map_or((None, address), |(login, place)| (Some(login), place));
        let login = match login.map(|login| login.split_once(':')) {
            None => None,
            Some(Some((user, password))) => {
                let user = decoded(user).filter(|user| !user.is_empty()).ok_or(FORMS)?;
                Some((user, Secret::new(decoded(password).ok_or(FORMS)?)))
            }
            Some(None) => {
                return Err("has a user without a password: write smtp://user:password@host".to_owned());
            }
        };
        let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, rest)) => (host, rest.strip_prefix(':').or((!rest.is_empty()).then_some("?"))),
            None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':');
        if host.is_empty() || !host.chars().all(plain) {
            return Err(FORMS.to_owned());
        }
        let port = match port {
            Some(port) => port
                .parse()
                .ok()
                .filter(|port| *port > 0)
                .ok_or("needs a number from 1 to 65535 as the port, as in smtp://mail.example.com:587")?,
            None if implicit => 465,
            None => 587,
        };
        let loopback = host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
        let encryption = match (query, implicit) {
            (None, true) => Encryption::Implicit,
            (None, false) if loopback => Encryption::None,
            (None | Some("tls=required"), false) => Encryption::Required,
            (Some("tls=opportunistic"), false) => Encryption::Opportunistic,
            (Some("tls=none"), false) => Encryption::None,
            (Some(_), true) => {
                return Err("smtps:// is encrypted from its first byte and takes no `?…`".to_owned());
            }
            (Some(_), false) => {
                return Err(
                    "may end with ?tls=required, ?tls=opportunistic or ?tls=none, and nothing else; \
                            a `?` in the password is written %3F"
                        .to_owned(),
                );
            }
        };
        Ok(Self { host: host.to_owned(), port, login, encryption })
    }

    /// Whether a password or mails can be read on the way to it.
    pub(crate) fn is_exposed(&self) -> bool {
        let loopback =
            self.host == "localhost" || self.host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
        !loopback && matches!(self.encryption, Encryption::None | Encryption::Opportunistic)
    }
}

/// `%XX` for what would mean something else.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok().filter(|text| !text.contains(char::is_control))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Destination, String> {
        Destination::parse(text, Path::new("data"))
    }

    fn server(text: &str) -> Server {
        match parse(text).unwrap() {
            Destination::Smtp(server) => server,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn files_and_nothing() {
        assert_eq!(parse("off"), Ok(Destination::Off));
        assert_eq!(parse("file"), Ok(Destination::Files("data/mail".into())));
        assert_eq!(parse("file:/var/mail out"), Ok(Destination::Files("/var/mail out".into())));
    }

    #[test]
    fn servers() {
        let full = server("smtp://ann%40example.com:p%3A%40ss@mail.example.com:2525");
        assert_eq!((full.host.as_str(), full.port), ("mail.example.com", 2525));
        assert_eq!(full.login, Some(("ann@example.com".to_owned(), Secret::new("p:@ss"))));
        assert_eq!(full.encryption, Encryption::Required);
        assert_eq!(server("smtp://u:p@ss@mail/").login.unwrap().1, Secret::new("p@ss"));
        for (text, port, encryption) in [
            ("smtp://mail.example.com", 587, Encryption::Required),
            ("smtps://mail.example.com", 465, Encryption::Implicit),
            ("smtp://localhost:25", 25, Encryption::None),
            ("smtp://127.0.0.1:25?tls=required", 25, Encryption::Required),
            ("smtp://[::1]:25", 25, Encryption::None),
            ("smtp://[2001:db8::1]", 587, Encryption::Required),
            ("smtp://mail.example.com?tls=opportunistic", 587, Encryption::Opportunistic),
            ("smtp://mail.example.com?tls=none", 587, Encryption::None),
        ] {
            let server = server(text);
            assert_eq!((server.port, server.encryption, server.login), (port, encryption, None), "{text}");
        }
        assert!(server("smtp://mail.example.com?tls=none").is_exposed());
        assert!(!server("smtp://localhost").is_exposed());
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        for text in [
            "",
            "file:",
            "on",
            "http://mail",
            "smtp://",
            "smtp:///",
            "smtp://u:s3cret@",
            "smtp://:s3cret@mail",
            "smtp://s3cret@mail",
            "smtp://u:s3cret@mail:x",
            "smtp://u:s3cret@mail:0",
            "smtp://u:s3cret@ma il",
            "smtp://u:s3cret%0a@mail",
            "smtp://u:s3cret%zz@mail",
            "smtp://u:s3cr?et@mail",
            "smtp://u:s3cret@mail/x",
            "smtp://u:s3cret@mail?tls=yes",
            "smtps://u:s3cret@mail?tls=none",
            "smtp://u:s3cret@[::1]25",
        ] {
            let told = parse(text).unwrap_err();
            assert!(!told.contains("s3cr") && !told.is_empty(), "{text}: {told}");
        }
        assert!(!format!("{:?}", server("smtp://u:s3cret@mail")).contains("s3cr"));
    }
}

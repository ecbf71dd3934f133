//! A mail server on this machine that keeps what it gets, and fails in the ways that real ones do.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "every test crate includes this file and uses part of it"
)]

#[path = "smtp/received.rs"]
mod received;

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use things::mail::{Destination, Encryption, Server, Setup};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_rustls::TlsAcceptor;

pub use received::Received;

/// How long a test waits for a mail.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the server does with mails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Takes them.
    Accepting,
    /// Is not there.
    Down,
    /// Accepts connections and says nothing.
    Hanging,
    /// Takes a mail whole and does not say so.
    Swallowing,
    /// Answers with this code to every recipient, and repeats their address.
    Refusing(u16),
}

/// How the server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// In clear.
    Plain,
    /// In clear, and encrypted after STARTTLS.
    StartTls,
    /// Encrypted from the first byte.
    Tls,
}

/// A mail server. It stops when dropped.
pub struct Sink {
    pub address: SocketAddr,
    guard: Guard,
    mode: watch::Sender<Mode>,
    shared: Arc<Shared>,
    dir: tempfile::TempDir,
    serving: tokio::task::JoinHandle<()>,
}

struct Shared {
    guard: Guard,
    tls: TlsAcceptor,
    mails: Mutex<Vec<Received>>,
    connections: Mutex<usize>,
    held: AtomicUsize,
}

impl Sink {
    pub async fn start(guard: Guard) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        std::fs::write(dir.path().join("ca.pem"), made.cert.pem()).unwrap();
        let chain = vec![CertificateDer::from_pem_slice(made.cert.pem().as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(made.signing_key.serialize_pem().as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mode, modes) = watch::channel(Mode::Accepting);
        let shared = Arc::new(Shared {
            guard,
            tls: TlsAcceptor::from(Arc::new(config)),
            mails: Mutex::default(),
            connections: Mutex::default(),
            held: AtomicUsize::default(),
        });
        let serving = tokio::spawn(listen(listener, modes, Arc::clone(&shared)));
        Self { address, guard, mode, shared, dir, serving }
    }

    /// From now on.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// As the option `mail` names it, with a user and a password that hold special characters.
    pub fn url(&self) -> String {
        let (scheme, query) = match self.guard {
            Guard::Plain => ("smtp", ""),
            Guard::StartTls => ("smtp", "?tls=required"),
            Guard::Tls => ("smtps", ""),
        };
        format!("{scheme}://things%40example.com:p%3A%40ss@127.0.0.1:{}{query}", self.address.port())
    }

    /// Mail to it, as the options would say it.
    pub fn setup(&self, encryption: Encryption) -> Setup {
        let server = Server {
            host: "127.0.0.1".to_owned(),
            port: self.address.port(),
            login: Some(("things@example.com".to_owned(), registry::Secret::new("p:@ss"))),
            encryption,
        };
        Setup {
            destination: Destination::Smtp(server),
            from: Some("Thïngs <things@example.com>".to_owned()),
            templates: None,
            ca: Some(self.ca()),
            site: "https://things.example.com".to_owned(),
        }
    }

    /// From now on it takes mails: once it does.
    pub async fn recover(&self) {
        self.set(Mode::Accepting);
        let waited = tokio::time::timeout(PATIENCE, async {
            while TcpStream::connect(self.address).await.is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        waited.await.unwrap();
    }

    /// Returns once a client waits for an answer that does not come.
    pub async fn holds_somebody(&self) {
        let waited = tokio::time::timeout(PATIENCE, async {
            while self.shared.held.load(Ordering::SeqCst) == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        waited.await.unwrap_or_else(|_| panic!("nobody waits"));
    }

    /// The server's certificate, for the option `mail_ca`.
    pub fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// What has come so far, in order.
    pub fn mails(&self) -> Vec<Received> {
        self.shared.mails.lock().unwrap().clone()
    }

    /// How often somebody connected.
    pub fn connections(&self) -> usize {
        *self.shared.connections.lock().unwrap()
    }

    /// All mails, once there are so many.
    pub async fn wait_for(&self, count: usize) -> Vec<Received> {
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                let mails = self.mails();
                if mails.len() >= count {
                    return mails;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        waited.await.unwrap_or_else(|_| panic!("not {count} mails, but {:?}", self.mails()))
    }

    /// The newest mail to this address, once there is one.
    pub async fn wait_for_mail_to(&self, address: &str) -> Received {
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                if let Some(mail) = self.mails().into_iter().rev().find(|mail| mail.to == [address]) {
                    return mail;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        waited.await.unwrap_or_else(|_| panic!("no mail to {address}, but {:?}", self.mails()))
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn listen(listener: TcpListener, mut modes: watch::Receiver<Mode>, shared: Arc<Shared>) {
    let address = listener.local_addr().unwrap();
    let mut listener = Some(listener);
    loop {
        if *modes.borrow_and_update() == Mode::Down {
            listener = None;
            if modes.changed().await.is_err() {
                return;
            }
            continue;
        }
        if listener.is_none() {
            listener = TcpListener::bind(address).await.ok();
        }
        let Some(open) = &listener else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        tokio::select! {
            accepted = open.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                *shared.connections.lock().unwrap() += 1;
                let (modes, shared) = (modes.clone(), Arc::clone(&shared));
                tokio::spawn(async move {
                    // Whoever is cut off notices it.
                    let _ = converse(stream, modes, shared).await;
                });
            }
            changed = modes.changed() => if changed.is_err() { return },
        }
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Says nothing until it is not the time to any more, or the client has gone.
async fn hold(stream: &mut (impl AsyncRead + Unpin), modes: &mut watch::Receiver<Mode>, shared: &Shared) {
    shared.held.fetch_add(1, Ordering::SeqCst);
    let mut ignored = [0; 1024];
    let gone = async { while stream.read(&mut ignored).await.is_ok_and(|read| read > 0) {} };
    tokio::select! {
        () = until_not(modes, Mode::Hanging) => {}
        () = gone => {}
    }
    shared.held.fetch_sub(1, Ordering::SeqCst);
}

/// Goes on when the mode is another than this one.
async fn until_not(modes: &mut watch::Receiver<Mode>, mode: Mode) {
    let _ = modes.wait_for(|now| *now != mode).await;
}

async fn converse(
    mut stream: TcpStream,
    mut modes: watch::Receiver<Mode>,
    shared: Arc<Shared>,
) -> std::io::Result<()> {
    if *modes.borrow_and_update() == Mode::Hanging {
        hold(&mut stream, &mut modes, &shared).await;
        return Ok(());
    }
    let mut encrypted = shared.guard == Guard::Tls;
    let mut stream: BufReader<Box<dyn Stream>> =
        BufReader::new(if encrypted { Box::new(shared.tls.accept(stream).await?) } else { Box::new(stream) });
    say(&mut stream, "220 sink ESMTP").await?;
    let (mut from, mut to, mut login) = (String::new(), Vec::new(), None);
    loop {
        let mut line = String::new();
        tokio::select! {
            read = stream.read_line(&mut line) => if read? == 0 { return Ok(()) },
            _ = modes.wait_for(|mode| *mode == Mode::Down) => return Ok(()),
        }
        let mode = *modes.borrow();
        if mode == Mode::Hanging {
            hold(&mut stream, &mut modes, &shared).await;
            return Ok(());
        }
        let line = line.trim_end();
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" => {
                let starttls =
                    if shared.guard == Guard::StartTls && !encrypted { "250-STARTTLS\r\n" } else { "" };
                let told =
                    format!("250-sink\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n{starttls}250 AUTH PLAIN LOGIN");
                say(&mut stream, &told).await?;
            }
            "STARTTLS" => {
                say(&mut stream, "220 go ahead").await?;
                stream = BufReader::new(Box::new(shared.tls.accept(stream.into_inner()).await?));
                encrypted = true;
            }
            "AUTH" => {
                let secret = rest.split_whitespace().nth(1).unwrap_or_default();
                let plain = String::from_utf8(STANDARD.decode(secret).unwrap_or_default()).unwrap();
                let mut parts = plain.split('\0').skip(1);
                login = parts.next().zip(parts.next()).map(|(user, pass)| (user.to_owned(), pass.to_owned()));
                say(&mut stream, "235 welcome").await?;
            }
            "MAIL" => {
                from = address(rest);
                to = Vec::new();
                say(&mut stream, "250 ok").await?;
            }
            "RCPT" => match mode {
                Mode::Refusing(code) => {
                    say(&mut stream, &format!("{code} <{}>: not now or not ever", address(rest))).await?;
                }
                _ => {
                    to.push(address(rest));
                    say(&mut stream, "250 ok").await?;
                }
            },
            "DATA" => {
                say(&mut stream, "354 go on").await?;
                let raw = data(&mut stream).await?;
                let mail = Received::parse(from.clone(), to.clone(), raw, encrypted, login.clone());
                shared.mails.lock().unwrap().push(mail);
                if mode == Mode::Swallowing {
                    until_not(&mut modes, mode).await;
                    return Ok(());
                }
                say(&mut stream, "250 queued").await?;
            }
            "RSET" | "NOOP" => say(&mut stream, "250 ok").await?,
            "QUIT" => return say(&mut stream, "221 bye").await,
            _ => say(&mut stream, "500 what?").await?,
        }
    }
}

async fn say(stream: &mut BufReader<Box<dyn Stream>>, line: &str) -> std::io::Result<()> {
    stream.get_mut().write_all(format!("{line}\r\n").as_bytes()).await?;
    stream.get_mut().flush().await
}

/// `FROM:<address> …`.
fn address(text: &str) -> String {
    text.split_once('<').and_then(|(_, rest)| rest.split_once('>')).unwrap().0.to_owned()
}

/// Up to the line with a point.
async fn data(stream: &mut BufReader<Box<dyn Stream>>) -> std::io::Result<String> {
    let mut raw = Vec::new();
    loop {
        let mut line = Vec::new();
        if stream.read_until(b'\n', &mut line).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if line == b".\r\n" {
            return Ok(String::from_utf8(raw).unwrap());
        }
        let line = if line.starts_with(b"..") { &line[1..] } else { &line };
        raw.extend_from_slice(line);
    }
}

//! Every option there is, once: the configuration file, the environment, the flags, their help and
//! `things.default.toml` are all made from this table.

/// One option.
pub(crate) struct Opt {
    /// Its name in the file; `THINGS_` and the name in capitals, points as underscores, in the
    /// environment.
    pub(crate) key: &'static str,
    /// As TOML; `None` when there is none.
    pub(crate) default: Option<&'static str>,
    /// As TOML, for an option without a default.
    pub(crate) example: &'static str,
    /// Whether it is a number and not a text.
    pub(crate) number: bool,
    /// The placeholder of its flag, for those that have one.
    pub(crate) flag: Option<&'static str>,
    /// Whether its value, or part of it, must not be shown.
    pub(crate) secret: bool,
    /// What it is for.
    pub(crate) help: &'static str,
}

impl Opt {
    /// Its environment variable.
    pub(crate) fn variable(&self) -> String {
        format!("THINGS_{}", self.key.replace('.', "_").to_ascii_uppercase())
    }

    /// Its flag, without the dashes.
    pub(crate) fn flag_name(&self) -> String {
        self.key.replace('_', "-")
    }
}

const fn text(key: &'static str, default: &'static str, help: &'static str) -> Opt {
    Opt { key, default: Some(default), example: "", number: false, flag: None, secret: false, help }
}

const fn number(key: &'static str, default: &'static str, help: &'static str) -> Opt {
    Opt { number: true, ..text(key, default, help) }
}

const fn unset(key: &'static str, example: &'static str, help: &'static str) -> Opt {
    Opt { default: None, example, ..text(key, "", help) }
}

impl Opt {
    const fn flag(self, placeholder: &'static str) -> Self {
        Self { flag: Some(placeholder), ..self }
    }

    const fn secret(self) -> Self {
        Self { secret: true, ..self }
    }
}

/// The table. Options of one section stand together, those without a section first.
pub(crate) const OPTIONS: &[Opt] = &[
    text(
        "data_dir",
        "\"things-data\"",
        "Where the installation's keys are, SQLite's database, and mails that are written as files. Made, for its owner only, if it does not exist.",
    )
    .flag("DIR"),
    unset(
        "database_url",
        "\"postgres://things:password@localhost/things\"",
        "The database: `sqlite:PATH` or `postgres://…`. By default SQLite's `things.db` in the data directory.",
    )
    .flag("URL")
    .secret(),
    text("http", "\"127.0.0.1:8182\"", "Where the HTTP API listens.").flag("ADDRESS"),
    text("metrics", "\"127.0.0.1:9182\"", "Where Prometheus reads metrics, or `off`. Not for the public.").flag("ADDRESS"),
    text(
        "grpc",
        "\"127.0.0.1:8183\"",
        "Where gRPC listens, for Mainflux's services, gateways and brokers, or `off`. It trusts whoever reaches it: beyond \
         this machine it wants grpc_client_ca or grpc_token.",
    )
    .flag("ADDRESS"),
    text(
        "hooks",
        "\"127.0.0.1:8184\"",
        "Where MQTT brokers ask about devices, or `off`; see docs/brokers. Beyond this machine it wants hooks_secret or \
         hooks_client_ca.",
    )
    .flag("ADDRESS"),
    unset(
        "public_url",
        "\"https://things.example.com\"",
        "How clients reach the HTTP API from outside, and what links in mails begin with. By default as it listens.",
    )
    .flag("URL"),
    text(
        "admin_email",
        "\"admin@example.com\"",
        "The address of the platform's first administrator, whose account is made when there are no accounts.",
    )
    .flag("EMAIL"),
    unset(
        "admin_password",
        "\"a long password\"",
        "The password of that first account. By default one is made up and printed once.",
    )
    .flag("PASSWORD")
    .secret(),
    text(
        "log",
        "\"info\"",
        "What is logged: error, warn, info, debug or trace, also by part of the program: `info,things::access=warn` \
         leaves out the line for each request.",
    )
    .flag("FILTER"),
    unset(
        "tls_cert",
        "\"things.crt\"",
        "A PEM file with the certificate and its chain. With it and tls_key the API speaks HTTPS only.",
    )
    .flag("FILE"),
    unset("tls_key", "\"things.key\"", "A PEM file with the certificate's private key.").flag("FILE"),
    unset(
        "grpc_token",
        "\"a-long-random-text\"",
        "What callers of gRPC must send as the metadata `authorization: Bearer <token>`: 16 characters or more.",
    )
    .secret(),
    unset(
        "grpc_tls_cert",
        "\"things-grpc.crt\"",
        "A PEM file with the certificate and its chain. With it and grpc_tls_key gRPC speaks TLS only.",
    ),
    unset("grpc_tls_key", "\"things-grpc.key\"", "A PEM file with that certificate's private key."),
    unset(
        "grpc_client_ca",
        "\"grpc-clients.pem\"",
        "A PEM file with the certificates that sign those of callers of gRPC. Whoever shows none of theirs is not let in.",
    ),
    unset(
        "hooks_secret",
        "\"a-long-random-text\"",
        "What brokers must show, as `Authorization: Bearer <secret>` or as `/hooks/<secret>/…`: 16 or more letters, digits \
         and `-._~`.",
    )
    .secret(),
    unset(
        "hooks_tls_cert",
        "\"things-hooks.crt\"",
        "A PEM file with the certificate and its chain. With it and hooks_tls_key the hooks speak HTTPS only.",
    ),
    unset("hooks_tls_key", "\"things-hooks.key\"", "A PEM file with that certificate's private key."),
    unset(
        "hooks_client_ca",
        "\"brokers.pem\"",
        "A PEM file with the certificates that sign those of brokers. Whoever shows none of theirs is not let in.",
    ),
    text(
        "topics",
        "\"isolated\"",
        "Where things talk on brokers: `isolated`, below each thing's id; `mainflux`, which is also `messages`, one place for \
         all; or a TOML file, see docs/brokers.",
    ),
    text(
        "mail",
        "\"file\"",
        "Where mails to people go: `smtp://user:password@host:port` (encrypted by STARTTLS, unless the host is this \
         machine or `?tls=none` or `?tls=opportunistic` follows), `smtps://…` (encrypted from the first byte), `file:DIR` \
         or `file` (the data directory's `mail`) to pass them on yourself, or `off`: then nobody without an account can \
         be invited, and who forgets a password needs an administrator. Special characters in the password are written \
         as %XX.",
    )
    .flag("URL")
    .secret(),
    unset(
        "mail_from",
        "\"Things <things@example.com>\"",
        "Who mails come from. Needed where they are sent to a mail server.",
    ),
    unset(
        "mail_templates",
        "\"mail-templates\"",
        "A directory of templates for mails. Those that are in it replace the built-in ones, which `things mail templates \
         DIR` writes down.",
    ),
    unset(
        "mail_ca",
        "\"mail-ca.pem\"",
        "A PEM file with certificates that the mail server's may be signed by, besides those of the well-known authorities.",
    ),
    text("registration", "\"closed\"", "Whether anybody may make themselves an account: `open` or `closed`."),
    number("session_days", "14", "How many days a log-in lasts: 1 to 365."),
    number(
        "invite_days",
        "7",
        "How many days an invite can be answered, from when it was sent or resent: 1 to 30. The groups' part of an \
         organisation's invite has as long again once that is accepted.",
    ),
    unset(
        "backup_dir",
        "\"backups\"",
        "A directory that backups are written to, regularly and by themselves; none are without it. Several processes on one \
         database take one together, each time one of them. The installation's keys are not in them; see docs/backup.md.",
    ),
    text("backup_every", "\"24h\"", "How long after each other: a number and m, h or d, from 1m to 365d."),
    number("backup_keep", "7", "How many backups are kept in that directory, the newest: 1 to 10000."),
    text(
        "keys.readback",
        "\"editor\"",
        "Whether a thing's key can be read again later, and by whom: `editor` or `never`. With `never` no copy of a key \
         is kept, and copies that exist are deleted.",
    ),
    number(
        "auth.grace_seconds",
        "1",
        "How long devices that are known go on being let in while PostgreSQL does not answer: 0 to 60. While one of \
         several nodes is cut off, revoking a credential takes as long as this and a second more. Give all nodes the same.",
    ),
    number("limits.database_connections", "10", "The most connections to the database: 2 to 1000."),
    number(
        "limits.cached_credentials",
        "200000",
        "How many devices' credentials are kept in memory, so that checking one again reads nothing: 0 to 10000000, about \
         200 bytes each. As many things are kept whose brokers ask about them by their ids, about 100 bytes each.",
    ),
    number("limits.connections", "1024", "The most client connections at a time; more wait: 1 to 100000."),
    number(
        "limits.requests_per_second",
        "200",
        "Requests a second that one user, or one source network (/24, /56) without a token, may make on average; 0 for \
         no limit.",
    ),
    number("limits.burst", "400", "Requests that one of them may make at once: from 1."),
    number("limits.invites_per_hour", "1000", "How many invites one person may send in an hour: 1 to 100000."),
    number(
        "limits.pending_invites",
        "2000",
        "How many invites to one organisation or group may wait for an answer: 1 to 1000000.",
    ),
    number("limits.head_seconds", "10", "How long a request's head may take to arrive: 1 to 600."),
    number("limits.body_seconds", "30", "How long a request's body may take to arrive: 1 to 600."),
    number("limits.idle_seconds", "60", "How long a connection may stay open without traffic: 1 to 3600."),
    number("limits.drain_seconds", "8", "How long requests under way may take to end when the program stops: 0 to 600."),
];

/// `things.default.toml`: every option with its default, for reading and copying.
pub(crate) fn default_file() -> String {
    let mut file = "# Every option of Things, with its default. Generated from crates/things/src/config/options.rs.\n\
        #\n\
        # Copy what you want to change to `things.toml` in the directory where `things` starts, or to a file\n\
        # named by --config or THINGS_CONFIG. The environment overrules the file, and flags overrule both.\n\
        #\n\
        # The installation's keys are not here: they are in `things.keys` in the data directory, or, in the\n\
        # same form, in the environment variable THINGS_KEYS.\n"
        .to_owned();
    let mut section = "";
    for option in OPTIONS {
        let (inside, name) = option.key.split_once('.').unwrap_or(("", option.key));
        if inside != section {
            section = inside;
            file.push_str(&format!("\n[{section}]\n"));
        }
        file.push('\n');
        for line in wrapped(option.help) {
            file.push_str(&format!("# {line}\n"));
        }
        let flag = option.flag.map(|placeholder| format!(", flag --{} <{placeholder}>", option.flag_name()));
        file.push_str(&format!("# Environment {}{}\n", option.variable(), flag.unwrap_or_default()));
        file.push_str(&format!("#{name} = {}\n", option.default.unwrap_or(option.example)));
    }
    file
}

fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.len() + word.len() < 98 => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

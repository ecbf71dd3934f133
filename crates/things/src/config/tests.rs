//! What the configuration is made of, in which order, and what it says when it is wrong.

use super::*;

fn load(
    file: &str,
    environment: &[(&str, &str)],
    flags: &[(&'static str, &str)],
) -> Result<Config, ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("my.toml");
    std::fs::write(&path, file).unwrap();
    let own = |text: &&str| (*text).to_owned();
    Config::load(&Sources {
        file: Some(path),
        environment: environment.iter().map(|(name, value)| (own(name), own(value))).collect(),
        flags: flags.iter().map(|(key, value)| (*key, own(value))).collect(),
    })
    .map_err(|error| ConfigError(error.0.replace(&format!("{}/", dir.path().display()), "")))
}

fn refusal(file: &str, environment: &[(&str, &str)]) -> String {
    load(file, environment, &[]).unwrap_err().to_string()
}

#[test]
fn the_default_file_is_the_tables() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../things.default.toml");
    let wanted = options::default_file();
    if std::fs::read_to_string(&file).ok().as_ref() != Some(&wanted) {
        std::fs::write(&file, wanted).unwrap();
        panic!("things.default.toml was stale and has been rewritten: look at the difference and commit it");
    }
}

#[test]
fn the_default_file_says_what_is_the_default() {
    let uncommented: String = options::default_file()
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with(' ') && !rest.is_empty() => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let given = load(&uncommented, &[], &[]).unwrap();
    let defaults = load("", &[], &[]).unwrap();
    for option in OPTIONS.iter().filter(|option| option.default.is_some()) {
        let value =
            |config: &Config| format!("{:?}", config.figment.find_value(option.key).unwrap().into_string());
        assert_eq!(value(&given), value(&defaults), "{}", option.key);
    }
}

#[test]
fn flags_overrule_the_environment_and_that_the_file() {
    let file = "http = \"127.0.0.1:1\"\nsession_days = 3\nlog = \"warn\"\n[limits]\nburst = 7";
    let environment =
        [("THINGS_HTTP", "127.0.0.1:2"), ("THINGS_SESSION_DAYS", "4"), ("THINGS_LIMITS_BURST", "8")];
    let config = load(file, &environment, &[("http", "127.0.0.1:3")]).unwrap();
    assert_eq!(config.http().port(), 3);
    assert_eq!((config.raw.session_days, config.raw.limits.burst, config.log()), (4, 8, "warn"));
    assert_eq!(config.database_url(), "sqlite:things-data/things.db");
}

#[test]
fn digits_are_a_password_too() {
    let config = load("", &[("THINGS_ADMIN_PASSWORD", "1234567890")], &[]).unwrap();
    assert_eq!(config.admin().1.unwrap().expose(), "1234567890");
}

#[test]
fn what_is_wrong_is_told_with_its_name_and_place() {
    assert_eq!(refusal("http = \"nowhere\"", &[]), "http: invalid socket address syntax (in my.toml)");
    assert_eq!(
        refusal("", &[("THINGS_METRICS", "9182")]),
        "metrics: invalid socket address syntax (in THINGS_METRICS)"
    );
    assert!(
        refusal("htpp = \"127.0.0.1:1\"", &[])
            .starts_with("htpp is not an option (in my.toml); known are data_dir,")
    );
    assert!(
        refusal("[limits]\nbrust = 1", &[]).starts_with("limits.brust is not an option (in my.toml); known")
    );
    assert_eq!(
        refusal("", &[("THINGS_SESSION_DAYS", "many")]),
        "session_days: invalid type: found string \"many\", expected u32 (in THINGS_SESSION_DAYS)"
    );
    assert_eq!(refusal("session_days = 0", &[]), "session_days must be from 1 to 365 (set by my.toml)");
    assert_eq!(
        refusal("registration = \"maybe\"", &[]),
        "registration must be one of open, closed (in my.toml)"
    );
    assert_eq!(refusal("admin_password = 5", &[]), "admin_password must be a text (in my.toml)");
    assert_eq!(
        refusal("", &[("THINGS_TLS_CERT", "x")]),
        "tls_cert needs the other of tls_cert and tls_key too (set by THINGS_TLS_CERT)"
    );
    assert!(refusal("log = \"a=b=c\"", &[]).starts_with("log is not a filter"));
    assert!(refusal("database_url = \"mysql://h3llo\"", &[]).starts_with("database_url must begin with"));
    for (mail, told) in [
        ("imap://mail", "mail must be `file`, `file:DIR`, `smtp://user:password@host:port`"),
        ("smtp://ann@mail", "mail has a user without a password"),
        ("smtp://mail:port", "mail needs a number from 1 to 65535 as the port"),
        ("smtp://mail?tls=maybe", "mail may end with ?tls=required"),
    ] {
        assert!(refusal(&format!("mail = \"{mail}\""), &[]).starts_with(told), "{mail}");
    }
    let hidden = refusal("", &[("THINGS_MAIL", "smtp://ann:s3cret@mail:x")]);
    assert!(hidden.ends_with("(set by THINGS_MAIL)") && !hidden.contains("s3cr"), "{hidden}");
    assert!(refusal("x = ", &[]).contains("my.toml"));
    let missing = Config::load(&Sources { file: Some("/no/such.toml".into()), ..Sources::default() });
    assert_eq!(missing.unwrap_err().0, "the configuration file /no/such.toml does not exist");
}

#[test]
fn secrets_are_not_shown() {
    for url in [
        "postgres://ann:s3cret@db/things",
        "postgres://ann:s3cr@s3cret@db/things",
        "postgres://db/things?user=ann&password=s3cret&sslmode=require",
    ] {
        let mail = "smtp://ann:s3cret%3F@mail.example.com:587?tls=none";
        let environment =
            [("THINGS_DATABASE_URL", url), ("THINGS_ADMIN_PASSWORD", "s3cret-2"), ("THINGS_MAIL", mail)];
        let config = load("", &environment, &[]).unwrap();
        let shown = config.show();
        assert!(shown.contains("mail = \"smtp://ann:********@mail.example.com:587?tls=none\""), "{shown}");
        assert!(!shown.contains("s3cr"), "{shown}");
        assert!(shown.contains("ann") && shown.contains("db/things"), "{shown}");
        assert!(shown.contains("admin_password = \"********\"  # THINGS_ADMIN_PASSWORD"), "{shown}");
        assert!(!format!("{config:?}").contains("s3cr"), "{config:?}");
    }
}

#[test]
fn what_is_shown_can_be_read_again() {
    let config = load("http = \"127.0.0.1:1\"", &[], &[]).unwrap();
    let again = load(&config.show(), &[], &[]).unwrap();
    assert_eq!(again.http(), config.http());
    assert!(config.show().contains("http = \"127.0.0.1:1\"  # "));
    assert!(config.show().contains("burst = 400  # the default"));
}

#[test]
fn variables_that_are_no_options_are_noticed() {
    let environment =
        [("THINGS_HTPP", "x"), ("THINGS_PORT_8182_TCP", "x"), ("THINGS_KEYS", "x"), ("THINGS_LOG", "warn")];
    assert_eq!(load("", &environment, &[]).unwrap().unknown_variables(), ["THINGS_HTPP"]);
}

#[test]
fn grpc_is_for_this_machine_unless_it_knows_its_callers() {
    assert_eq!(load("", &[], &[]).unwrap().grpc().unwrap().to_string(), "127.0.0.1:8183");
    assert_eq!(load("grpc = \"off\"", &[], &[]).unwrap().grpc(), None);
    assert!(load("grpc = \"[::1]:0\"", &[], &[]).is_ok());
    for open in ["0.0.0.0:8183", "[::]:8183", "192.0.2.1:8183"] {
        let told = refusal(&format!("grpc = \"{open}\""), &[]);
        assert!(
            told.starts_with("grpc listens to other machines, and whoever reaches this port is trusted"),
            "{told}"
        );
        assert!(told.ends_with("(set by my.toml)") && told.contains("grpc_client_ca"), "{told}");
        let encrypted = format!("grpc = \"{open}\"\ngrpc_tls_cert = \"c\"\ngrpc_tls_key = \"k\"");
        assert_eq!(refusal(&encrypted, &[]), told, "encryption alone lets everybody in");
        assert!(load(&format!("{encrypted}\ngrpc_client_ca = \"ca\""), &[], &[]).is_ok());
        let token = [("THINGS_GRPC_TOKEN", "0123456789abcdef")];
        let config = load(&format!("grpc = \"{open}\""), &token, &[]).unwrap();
        assert!(!config.show().contains("0123456789abcdef"));
        assert!(!format!("{config:?}").contains("0123456789abcdef"));
    }
    for (file, told) in [
        ("grpc_token = \"short\"", "grpc_token must be at least 16 visible ASCII characters"),
        (
            "grpc_token = \"with a space in it all\"",
            "grpc_token must be at least 16 visible ASCII characters",
        ),
        ("grpc_tls_cert = \"c\"", "grpc_tls_cert needs the other of grpc_tls_cert and grpc_tls_key too"),
        ("grpc_tls_key = \"k\"", "grpc_tls_key needs the other of"),
        ("grpc_client_ca = \"ca\"", "grpc_client_ca needs grpc_tls_cert and grpc_tls_key too"),
    ] {
        assert!(refusal(file, &[]).starts_with(told), "{}", refusal(file, &[]));
    }
}

#[test]
fn hooks_are_for_this_machine_unless_they_know_who_asks() {
    assert_eq!(load("", &[], &[]).unwrap().hooks().unwrap().to_string(), "127.0.0.1:8184");
    assert_eq!(load("hooks = \"off\"", &[], &[]).unwrap().hooks(), None);
    for open in ["0.0.0.0:8184", "[::]:8184", "192.0.2.1:8184"] {
        let told = refusal(&format!("hooks = \"{open}\""), &[]);
        assert!(
            told.starts_with("hooks listens to other machines") && told.contains("hooks_secret"),
            "{told}"
        );
        let encrypted = format!("hooks = \"{open}\"\nhooks_tls_cert = \"c\"\nhooks_tls_key = \"k\"");
        assert_eq!(refusal(&encrypted, &[]), told, "encryption alone lets everybody in");
        assert!(load(&format!("{encrypted}\nhooks_client_ca = \"ca\""), &[], &[]).is_ok());
        let secret = [("THINGS_HOOKS_SECRET", "0123456789.abcdef~")];
        let config = load(&format!("hooks = \"{open}\""), &secret, &[]).unwrap();
        assert!(
            !config.show().contains("0123456789.abcdef") && !format!("{config:?}").contains("0123456789")
        );
    }
    for (file, told) in [
        ("hooks_secret = \"short\"", "hooks_secret must be at least 16 characters"),
        ("hooks_secret = \"with/a/slash/in/it/all\"", "hooks_secret must be at least 16 characters"),
        ("hooks_tls_cert = \"c\"", "hooks_tls_cert needs the other of hooks_tls_cert and hooks_tls_key too"),
        ("hooks_tls_key = \"k\"", "hooks_tls_key needs the other of"),
        ("hooks_client_ca = \"ca\"", "hooks_client_ca needs hooks_tls_cert and hooks_tls_key too"),
        ("topics = \"own\"", "topics must be isolated, mainflux or a file that exists (set by my.toml)"),
    ] {
        assert!(refusal(file, &[]).starts_with(told), "{}", refusal(file, &[]));
    }
}

#[test]
fn topics_may_be_in_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("topics.toml");
    let load = |text: &str| {
        std::fs::write(&file, text).unwrap();
        load("", &[("THINGS_TOPICS", file.to_str().unwrap())], &[])
    };
    let fits = "messages = [\"{org}/{thing}/up\"]\nthing_commands = \"{org}/{thing}/down\"";
    assert!(load(fits).unwrap().topic_rules().is_ok());
    assert!(load(&format!("{fits}\nsubscribe = [\"{{org}}/news/#\"]")).is_ok());
    for (text, told) in [
        ("messages = [\"up\"]", "is the same for all organisations"),
        ("messages = \"{thing}\"", "topics cannot be read"),
        ("massages = []", "topics cannot be read"),
    ] {
        let refused = load(text).unwrap_err().to_string();
        assert!(refused.contains(told) && refused.contains("THINGS_TOPICS"), "{refused}");
    }
}

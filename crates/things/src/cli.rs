//! The command line.
//!
//! There are two kinds of commands: those of the service, which have its options, and those of a client
//! (`client`), which ask a service over HTTP and have their own.
//!
//! Exit codes: 0 all went well, 1 something failed, 2 the command line or the configuration is wrong,
//! 3 `things doctor` found an error. Of a client: 4 not authenticated or not allowed, 5 not found, 6 in conflict
//! with how things are, 7 the server cannot be reached, 129, 130 and 143 ended by a signal.

mod adopt;
mod bench;
mod client;
mod doctor;
mod mail;
mod moving;
mod serve;
mod setup;

use std::{
    error::Error,
    fmt,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Arg, ArgMatches, Command};

use crate::{
    bench::bare,
    build,
    config::{Config, OPTIONS, Sources, default_file},
    telemetry::logs,
};

/// Why the program ends before its time.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line or the configuration is wrong.
    Usage(String),
    /// Something did not work.
    Failed(String),
    /// The doctor found an error, and has told it.
    Unwell,
    /// A client command did not work; `code` tells programs why.
    Told {
        /// The exit code.
        code: u8,
        /// All that is to be said.
        text: String,
    },
}

impl Failure {
    /// What was being done, and everything known about why it did not work. For the person at the
    /// terminal, who owns the database: unlike a client they see what is behind an error.
    pub(crate) fn to(what: &str, error: &(dyn Error + 'static)) -> Self {
        let mut text = format!("cannot {what}: {error}");
        let internal = error.downcast_ref::<registry::Error>();
        if let Some(registry::Error::Internal(source)) = internal {
            text = format!("cannot {what}: {source}");
        }
        let mut cause = internal.map_or_else(|| error.source(), |_| error.source().and_then(Error::source));
        while let Some(error) = cause {
            let more = error.to_string();
            if !text.contains(&more) {
                text.push_str(&format!(": {more}"));
            }
            cause = error.source();
        }
        Self::Failed(text)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) | Self::Failed(text) | Self::Told { text, .. } => f.write_str(text),
            Self::Unwell => f.write_str("the examination found errors"),
        }
    }
}

/// Runs the program.
pub fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // If even this cannot be written there is nobody to tell.
            let _ = writeln!(io::stderr(), "things: {failure}");
            ExitCode::from(match failure {
                Failure::Failed(_) => 1,
                Failure::Usage(_) => 2,
                Failure::Unwell => 3,
                Failure::Told { code, .. } => code,
            })
        }
    }
}

fn run() -> Result<(), Failure> {
    let matches = command().get_matches();
    let asked = matches.subcommand().map(|(name, matches)| (name, matches.subcommand_name()));
    if let Some((name, _)) = asked.filter(|(name, _)| client::knows(name)) {
        own_options(&matches, name, &service_options())?;
        // One that was chosen at compile time would be two, as in `start_logs`.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        return client::run(&matches, command());
    }
    own_options(&matches, asked.map_or("serve", |(name, _)| name), &client::options())?;
    if let Some(("config", Some("default"))) = asked {
        return print(&default_file());
    }
    let mail = matches.subcommand_matches("mail").and_then(ArgMatches::subcommand);
    if let Some(("templates", arguments)) = mail {
        return mail::write_templates(arguments.get_one::<PathBuf>("DIR"));
    }
    if let Some(arguments) = matches.subcommand_matches("bench") {
        return match asked {
            Some((_, Some("bare"))) => bare::serve(),
            _ => bench::run(&matches, arguments),
        };
    }
    let config = Config::load(&sources(&matches)).map_err(|error| Failure::Usage(error.to_string()))?;
    if let Some(("config", _)) = asked {
        return print(&config.show());
    }
    start_logs(&config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::to("start", &error))?;
    match asked {
        Some(("migrate", _)) => runtime.block_on(setup::migrate(&config)),
        Some(("move", _)) => {
            let arguments = matches.subcommand_matches("move");
            let url =
                |name| arguments.and_then(|given| given.get_one::<String>(name)).map_or("", String::as_str);
            runtime.block_on(moving::run(&config, url("FROM_URL"), url("TO_URL")))
        }
        Some(("doctor", _)) => runtime.block_on(doctor::examine(&config)),
        Some(("adopt", _)) => {
            let arguments = matches.subcommand_matches("adopt").map(adopt::Asked::of).unwrap_or_default();
            runtime.block_on(adopt::adopt(&config, &arguments))
        }
        Some(("mail", _)) => {
            let address = mail.and_then(|(_, arguments)| arguments.get_one::<String>("ADDRESS"));
            runtime.block_on(mail::test(&config, address.map_or("", String::as_str)))
        }
        _ => runtime.block_on(serve::serve(&config)),
    }
}

/// Writes for a person, or a program, on the other end of the standard output.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    read_on(text).map(|_| ())
}

/// The same, and whether anybody still reads.
pub(crate) fn read_on(text: &str) -> Result<bool, Failure> {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => Ok(true),
        // `things config show | head` is nobody's fault.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::to("write", &error)),
    }
}

fn start_logs(config: &Config) -> Result<(), Failure> {
    let filter = logs::filter(config.log()).map_err(|error| Failure::Usage(format!("log: {error}")))?;
    logs::start(filter);
    for variable in config.unknown_variables() {
        tracing::warn!(variable, "this environment variable is not an option; it is ignored");
    }
    // Two providers could be compiled in one day; then none is the default, and rustls would panic.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    Ok(())
}

/// The whole. Options stand before the command or behind it; each command has those of its kind.
fn command() -> Command {
    let service = service_commands().into_iter().map(|command| with_options(command, &service_options()));
    root()
        .subcommands(client::commands())
        .subcommands(service)
        .args(service_options())
        .args(client::options())
}

fn with_options(command: Command, options: &[Arg]) -> Command {
    let inner: Vec<String> = command.get_subcommands().map(|inner| inner.get_name().to_owned()).collect();
    let command = command.args(options.iter().cloned());
    inner
        .into_iter()
        .fold(command, |command, name| command.mut_subcommand(name, |inner| with_options(inner, options)))
}

/// Refuses options of the other kind, which only the program as a whole takes.
fn own_options(matches: &ArgMatches, command: &str, others: &[Arg]) -> Result<(), Failure> {
    let given = |option: &&Arg| {
        let source = matches.value_source(option.get_id().as_str());
        source.is_some_and(|source| source == clap::parser::ValueSource::CommandLine)
    };
    match others.iter().find(given) {
        None => Ok(()),
        Some(option) => {
            Err(Failure::Usage(format!("{command} takes no --{}", option.get_long().unwrap_or_default())))
        }
    }
}

fn root() -> Command {
    Command::new("things")
        .about("The device registry and access-control service of an IoT platform")
        .version(build::VERSION)
        .long_version(format!("{} (commit {}, built {})", build::VERSION, build::COMMIT, build::TIME))
        .after_help(
            "Without a command it serves. The service's options can also stand in things.toml or the environment; \
             things.default.toml lists all of them.\n\n\
             Exit codes: 0 all went well, 1 something failed, 2 the command line or the configuration is wrong, \
             3 the doctor found an error, 4 not authenticated or not allowed, 5 not found, 6 in conflict with how \
             things are, 7 the server cannot be reached, 129, 130 and 143 ended by a signal.",
        )
}

/// The commands of the service.
fn service_commands() -> Vec<Command> {
    vec![
        Command::new("serve").about("Run the service (the default)"),
        Command::new("migrate").about("Make the database, or bring its schema up to date, and end"),
        Command::new("config")
            .about("Look at the configuration")
            .subcommand_required(true)
            .subcommand(
                Command::new("show").about("Print what is in force and where it comes from, without secrets"),
            )
            .subcommand(
                Command::new("default").about("Print every option with its default and what it is for"),
            ),
        Command::new("doctor")
            .about("Examine the database, its rows, the keys, the clock and the disk; changes nothing"),
        adopt::command(),
        moving::command(),
        bench::command(),
        Command::new("mail")
            .about("Look after mail")
            .subcommand_required(true)
            .subcommand(
                Command::new("test")
                    .about("Send a mail to somebody in the configured way, and tell what happened")
                    .arg(Arg::new("ADDRESS").required(true).help("Whom to write to")),
            )
            .subcommand(
                Command::new("templates")
                    .about("Write the built-in templates into a directory, for the option mail_templates")
                    .arg(
                        Arg::new("DIR").required(true).value_parser(clap::value_parser!(PathBuf)).help(
                            "Where to; made if it does not exist. Files that exist are left as they are",
                        ),
                    ),
            ),
    ]
}

/// The options of the service: those of the configuration that have a flag.
fn service_options() -> Vec<Arg> {
    let config = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(clap::value_parser!(PathBuf))
        .help("Read this file instead of ./things.toml [env: THINGS_CONFIG]");
    let flags = OPTIONS.iter().filter_map(|option| {
        let placeholder = option.flag?;
        let default = option.default.map(|default| format!(" [default: {}]", default.trim_matches('"')));
        let help = format!("{} [env: {}]{}", option.help, option.variable(), default.unwrap_or_default());
        Some(Arg::new(option.key).long(option.flag_name()).value_name(placeholder).help(help))
    });
    [config].into_iter().chain(flags).map(|option| option.help_heading("Options of the service")).collect()
}

/// What was given for an option, before the command or behind it; behind it counts.
fn given<'a, T: Clone + Send + Sync + 'static>(matches: &'a ArgMatches, name: &str) -> Option<&'a T> {
    let inner = matches.subcommand().and_then(|(_, inner)| given(inner, name));
    inner.or_else(|| matches.try_get_one::<T>(name).ok().flatten())
}

fn sources(matches: &ArgMatches) -> Sources {
    let environment: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, value)| name.starts_with("THINGS_") && !value.is_empty())
        .collect();
    let named =
        environment.iter().find(|(name, _)| name == "THINGS_CONFIG").map(|(_, file)| PathBuf::from(file));
    // Instead of the flag, because it reads better.
    let adopted =
        matches.subcommand_matches("adopt").and_then(|arguments| arguments.get_one::<String>("URL"));
    let flags = OPTIONS
        .iter()
        .filter(|option| option.flag.is_some())
        .filter_map(|option| Some((option.key, given::<String>(matches, option.key)?.clone())))
        .chain(adopted.map(|url| ("database_url", url.clone())))
        .collect();
    Sources { file: given::<PathBuf>(matches, "config").cloned().or(named), environment, flags }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_consistent() {
        super::command().debug_assert();
    }
}

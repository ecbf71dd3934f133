//! `things bench`, as it is asked for.

use std::time::Duration;

use clap::{Arg, ArgMatches, Command, value_parser};

use super::{Failure, given};
use crate::{
    bench::{self, Task},
    config::OPTIONS,
};

pub(super) fn command() -> Command {
    Command::new("bench")
        .about("Measure, on a scratch database, what checking devices' keys costs against servers that do nothing else")
        .long_about(
            "Measures what checking devices' keys costs. Seeds things into a scratch database, SQLite in the directory \
             for temporary files unless --database-url names an empty one, and asks for them over HTTP and gRPC, of \
             this program and of a bare axum and a bare tonic server in turn. Takes a few minutes and all of the \
             machine. No configuration file and no variable counts. See docs/performance.md.",
        )
        .arg(number("things", "100000", "How many things there are", 1..=10_000_000))
        .arg(
            Arg::new("seconds")
                .long("seconds")
                .value_name("SECONDS")
                .default_value("2")
                .value_parser(|text: &str| match text.parse::<f64>() {
                    Ok(seconds) if (0.01..=600.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
                    _ => Err("must be from 0.01 to 600"),
                })
                .help("How long each server is measured under each load"),
        )
        .arg(
            Arg::new("connections")
                .long("connections")
                .value_name("NUMBERS")
                .default_value("1,16,64")
                .value_delimiter(',')
                .value_parser(value_parser!(u64).range(1..=1000))
                .help("On how many connections, each of them with one request after the other"),
        )
        .arg(
            Arg::new("only")
                .long("only")
                .value_name("FRONT")
                .value_parser(["http", "grpc"])
                .help("Measure only one of them: http or grpc"),
        )
        .arg(number("wrong-keys", "1000000", "How many wrong keys are tried; 0 for none", 0..=1_000_000_000))
        .arg(
            Arg::new("output")
                .long("output")
                .value_name("FORM")
                .default_value("text")
                .value_parser(["text", "json"])
                .help("How the result is printed: text or json"),
        )
        .subcommand(Command::new("bare").hide(true))
}

fn number(
    name: &'static str,
    default: &'static str,
    help: &'static str,
    range: std::ops::RangeInclusive<u64>,
) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name("NUMBER")
        .default_value(default)
        .value_parser(value_parser!(u64).range(range))
        .help(help)
}

/// `all` are the arguments of the whole program.
pub(super) fn run(all: &ArgMatches, arguments: &ArgMatches) -> Result<(), Failure> {
    let mut flags = OPTIONS.iter().filter(|option| option.flag.is_some() && option.key != "database_url");
    if let Some(ignored) = flags.find(|option| given::<String>(all, option.key).is_some()) {
        return Err(Failure::Usage(format!("bench takes no --{}", ignored.flag_name())));
    }
    let number = |name| {
        let number = arguments.get_one::<u64>(name).copied().unwrap_or_default();
        usize::try_from(number).map_err(|error| Failure::to("count so far", &error))
    };
    let only = arguments.get_one::<String>("only").map(String::as_str);
    let connections = arguments.get_many::<u64>("connections").into_iter().flatten();
    let task = Task {
        things: number("things")?,
        time: arguments.get_one("seconds").copied().unwrap_or(Duration::from_secs(2)),
        connections: connections.filter_map(|count| usize::try_from(*count).ok()).collect(),
        fronts: (only != Some("grpc"), only != Some("http")),
        wrong_keys: number("wrong-keys")?,
        database_url: given::<String>(all, "database_url").cloned(),
        json: arguments.get_one::<String>("output").is_some_and(|form| form == "json"),
    };
    // PostgreSQL may be reached by TLS.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| Failure::to("start", &error))?.block_on(bench::run(&task))
}

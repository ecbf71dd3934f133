//! `things` as a client of a server's HTTP API, and of nothing else: no configuration file, no database, no log.

mod answers;
mod asked;
mod backups;
mod contexts;
mod exports;
mod given;
mod groups;
mod imports;
mod inert;
mod invites;
mod journal;
mod labels;
mod login;
mod manual;
mod members;
mod names;
mod orgs;
mod output;
mod plan;
mod profiles;
mod progress;
mod secrets;
mod table;
mod terminal;
mod things;
mod tokens;
pub(crate) mod trouble;

use clap::{Arg, ArgMatches, Command};
use clap_complete::Shell;

use self::{
    asked::Asked,
    given::{Given, dry_run, option, switch},
    output::Form,
};
use super::Failure;

/// What stands above them in help.
pub(super) const HEADING: &str = "Options of client commands";

/// The commands, each with the options that all of them share.
pub(super) fn commands() -> Vec<Command> {
    let talking = [
        orgs::command(),
        groups::command(),
        members::command(),
        profiles::command(),
        things::command(),
        invites::command(),
        tokens::command(),
        journal::command(),
    ];
    let [backup, restore] = backups::commands();
    let [plan, apply] = plan::commands();
    let files = [imports::command(), exports::command(), labels::command(), plan, apply, backup, restore];
    let around = login::commands().into_iter().chain([contexts::command()]);
    let manual = manual::commands().into_iter();
    around.chain(talking).chain(files).map(|command| shared(command, &everywhere())).chain(manual).collect()
}

/// Options that can stand before the command.
pub(super) fn options() -> Vec<Arg> {
    everywhere().into_iter().chain([dry_run()]).collect()
}

/// Options that can stand anywhere after `things`.
fn everywhere() -> Vec<Arg> {
    let options = vec![
        option("url", "URL", "The server's API [env: THINGS_URL]"),
        option("context", "NAME", "Use this server and log-in instead of the current one"),
        option("output", "FORM", "table, json, ndjson or csv [default: table]")
            .short('o')
            .value_parser(Form::NAMES),
        option("org", "ORG", "In this organisation: its name or id"),
        option("group", "GROUP", "In this group: its name or id"),
        option("profile", "PROFILE", "On this profile: its name or id"),
        switch("yes", "Do not ask before deleting").short('y'),
    ];
    options.into_iter().map(|option| option.help_heading(HEADING)).collect()
}

/// Gives the options to a command and to all below it. `--dry-run` they have themselves, if they heed it; before the verb it
/// can stand where some verb has it.
fn shared(command: Command, options: &[Arg]) -> Command {
    let inner: Vec<String> = command.get_subcommands().map(|inner| inner.get_name().to_owned()).collect();
    let own: Vec<String> = command.get_arguments().map(|own| own.get_id().to_string()).collect();
    let missing =
        options.iter().filter(|option| !own.iter().any(|own| own == option.get_id().as_str())).cloned();
    let command = command.args(missing);
    let command = inner
        .into_iter()
        .fold(command, |command, name| command.mut_subcommand(name, |inner| shared(inner, options)));
    let heeded = |command: &Command| command.get_arguments().any(|own| own.get_id() == "dry-run");
    if command.get_subcommands().any(heeded) { command.arg(dry_run()) } else { command }
}

/// Whether a word is one of these commands.
pub(super) fn knows(word: &str) -> bool {
    commands().iter().any(|command| command.get_name() == word)
}

/// Runs what was asked for.
pub(super) fn run(matches: &ArgMatches, whole: Command) -> Result<(), Failure> {
    let given = Given::of(matches);
    if given.flag("dry-run") && !given.takes("dry-run") {
        let command = given.words.join(" ");
        return Err(Failure::Usage(format!("{command} takes no --dry-run, and nothing is done")));
    }
    match given.word(0) {
        "completions" => {
            let shell = matches.subcommand().and_then(|(_, arguments)| arguments.get_one::<Shell>("SHELL"));
            return manual::completions(shell.copied().unwrap_or(Shell::Bash), whole);
        }
        "man" => return manual::man(&given, whole),
        "context" => return contexts::run(&given),
        "plan" if given.flag("schema") => return super::print(&plan::schema()),
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::to("start", &error))?;
    runtime.block_on(asking(given))
}

async fn asking(given: Given<'_>) -> Result<(), Failure> {
    match given.word(0) {
        "login" => return login::login(&given).await,
        "logout" => return login::logout(&given).await,
        _ => {}
    }
    let asked = Asked::new(given)?;
    match asked.given.word(0) {
        "whoami" => login::whoami(&asked).await,
        "org" => orgs::run(&asked).await,
        "group" => groups::run(&asked).await,
        "member" => members::run(&asked).await,
        "profile" => profiles::run(&asked).await,
        "thing" => things::run(&asked).await,
        "invite" => invites::run(&asked).await,
        "token" => tokens::run(&asked).await,
        "import" => imports::run(&asked).await,
        "export" => exports::run(&asked).await,
        "labels" => labels::run(&asked).await,
        "plan" => plan::run(&asked, false).await,
        "apply" => plan::run(&asked, true).await,
        "backup" => backups::backup(&asked).await,
        "restore" => backups::restore(&asked).await,
        _ => journal::run(&asked).await,
    }
}

//! `things completions` and `things man`.

use std::{fs, path::Path};

use clap::{Arg, Command, value_parser};
use clap_complete::Shell;

use super::{Failure, given::Given};

pub(super) fn commands() -> [Command; 2] {
    [
        Command::new("completions")
            .about("Print what makes a shell complete commands: bash, zsh or fish")
            .arg(Arg::new("SHELL").required(true).value_parser(value_parser!(Shell)).help("Which shell")),
        Command::new("man").about("Write the manual's pages into a directory").arg(
            Arg::new("DIR")
                .required(true)
                .value_parser(value_parser!(std::path::PathBuf))
                .help("Where to; made if it does not exist"),
        ),
    ]
}

pub(super) fn completions(shell: Shell, mut whole: Command) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut whole, "things", &mut script);
    super::super::print(&String::from_utf8_lossy(&script))
}

pub(super) fn man(given: &Given<'_>, whole: Command) -> Result<(), Failure> {
    let Some(directory) = given.path("DIR") else { return Ok(()) };
    fs::create_dir_all(directory)
        .map_err(|error| Failure::to(&format!("make {}", directory.display()), &error))?;
    let mut whole = whole.disable_help_subcommand(true);
    whole.build();
    pages(&whole, "", directory)
}

fn pages(command: &Command, before: &str, directory: &Path) -> Result<(), Failure> {
    let name = if before.is_empty() {
        command.get_name().to_owned()
    } else {
        format!("{before}-{}", command.get_name())
    };
    let file = directory.join(format!("{name}.1"));
    let failed = |error: std::io::Error| Failure::to(&format!("write {}", file.display()), &error);
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone().name(name.clone())).render(&mut page).map_err(failed)?;
    fs::write(&file, page).map_err(failed)?;
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        pages(inner, &name, directory)?;
    }
    Ok(())
}

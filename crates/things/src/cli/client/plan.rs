//! `things plan` and `things apply`: groups, profiles, members and things of an organisation as a file.

mod apply;
mod found;
mod show;
mod steps;
mod wanted;

use std::path::PathBuf;

use clap::{Arg, Command, value_parser};

use self::{found::Found, steps::Plan, wanted::Wanted};
use super::{
    Failure,
    asked::Asked,
    given::{dry_run, key_file, switch},
    output::Form,
    secrets::Keys,
};

pub(super) use self::wanted::schema;

pub(super) fn commands() -> [Command; 2] {
    let file = || Arg::new("FILE").value_parser(value_parser!(PathBuf)).help("A YAML file; see docs/cli.md");
    let prune = || {
        switch("prune", "Delete what is there and not in the file, of the kinds and groups that the file has")
    };
    [
        Command::new("plan")
            .about("Show what `things apply` would change: + make, ~ change, - delete")
            .arg(file().required_unless_present("schema"))
            .arg(prune())
            .arg(switch("schema", "Print the JSON Schema of the file instead").exclusive(true)),
        Command::new("apply")
            .about("Make an organisation's groups, profiles, members and things as a file has them")
            .arg(dry_run())
            .arg(file().required(true))
            .arg(prune())
            .arg(key_file().help("Write the keys of new things into this new file, for its owner only, instead of printing them")),
    ]
}

pub(super) async fn run(asked: &Asked<'_>, apply: bool) -> Result<(), Failure> {
    let Some(file) = asked.given.path("FILE") else { return Ok(()) };
    let wanted = Wanted::read(file)?;
    let found = Found::read(asked, &wanted).await?;
    let plan = Plan::new(&wanted, &found, asked.given.flag("prune"))?;
    if !apply || asked.is_dry() {
        return show::plan(asked.out, &plan);
    }
    if plan.steps.is_empty() {
        show::spared(&plan);
        return asked.out.say("nothing to do");
    }
    if asked.out.form == Form::Table {
        show::plan(asked.out, &plan)?;
    }
    asked.confirm(&format!("Make {}", show::counted(&plan)))?;
    let keys = Keys::reserve(asked.given.path("key-file"))?;
    apply::Making::new(asked, &found, keys, plan.steps.len()).all(&plan.steps).await?;
    asked.out.say(&format!("done: {}", show::counted(&plan)))
}

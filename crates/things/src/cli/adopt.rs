//! `things adopt`: a Mainflux Things database becomes one of ours, in place. What is asked of the person at the
//! terminal, and what they are told; what is done is `registry::adopt`.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, BufRead, BufWriter, IsTerminal, Write},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
};

use clap::{Arg, ArgAction, ArgMatches, Command};
use registry::{
    Keyring, Registry, Secret,
    adopt::{Adoption, Error, Fate, Look, Offence, People, Stage},
};

use super::{Failure, print, setup};
use crate::config::Config;

mod progress;

use progress::Progress;

/// How many rows of each kind are shown; `--report` has all.
const SHOWN: usize = 10;

pub(super) fn command() -> Command {
    let flag = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
    };
    Command::new("adopt")
        .about("Make a Mainflux Things database one of ours, in place, while devices go on authenticating")
        .long_about(
            "Looks at a PostgreSQL database of Mainflux Things (versions 0.33 to 0.42), tells what it will do and which \
             rows stand in the way, and then does it: adds tables, indexes every key (phase A, Mainflux goes on \
             working), and replaces the keys by verifiers (phase B). Run again, it goes on where it was. See \
             docs/adopt.md.",
        )
        .arg(Arg::new("URL").help("The database, postgres://…; otherwise that of the option database_url"))
        .arg(
            Arg::new("users-from")
                .long("users-from")
                .value_name("URL")
                .action(ArgAction::Append)
                .help(
                    "Take accounts and organisations over from Mainflux's Users or Auth; give it twice for both. Passwords \
                     can be in ~/.pgpass",
                ),
        )
        .arg(flag("dry-run", "Only look; change nothing"))
        .arg(flag("index-only", "Stop after phase A, before the keys are replaced"))
        .arg(flag("yes", "Ask nothing"))
        .arg(
            Arg::new("report")
                .long("report")
                .value_name("FILE")
                .value_parser(clap::value_parser!(PathBuf))
                .help("Write each row that breaks a rule into this file, as a line of JSON; one that exists is overwritten"),
        )
}

/// What is asked for.
#[derive(Default)]
pub(super) struct Asked {
    users_from: Vec<String>,
    dry_run: bool,
    index_only: bool,
    yes: bool,
    report: Option<PathBuf>,
}

impl Asked {
    pub(super) fn of(arguments: &ArgMatches) -> Self {
        Self {
            users_from: arguments.get_many("users-from").into_iter().flatten().cloned().collect(),
            dry_run: arguments.get_flag("dry-run"),
            index_only: arguments.get_flag("index-only"),
            yes: arguments.get_flag("yes"),
            report: arguments.get_one("report").cloned(),
        }
    }

    /// Asks the person at the terminal whether to go on.
    fn agree(&self, question: &str) -> Result<bool, Failure> {
        if self.yes {
            return Ok(true);
        }
        if !io::stdin().is_terminal() {
            return Err(Failure::Usage(
                "nobody can be asked here: look first with --dry-run, then run it with --yes".to_owned(),
            ));
        }
        print(&format!("{question} [y/N] "))?;
        let _ = io::stdout().flush();
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer).map_err(|error| Failure::to("read the answer", &error))?;
        Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
    }
}

fn failed(what: &str) -> impl Fn(Error) -> Failure {
    move |error| match error {
        Error::Refused(reason) => Failure::Failed(reason),
        Error::Registry(error) => Failure::to(what, &error),
    }
}

pub(super) async fn adopt(config: &Config, asked: &Asked) -> Result<(), Failure> {
    let url = config.shown_database_url();
    if !url.starts_with("postgres") {
        return Err(Failure::Usage(format!(
            "{url} is no PostgreSQL database, and Mainflux knows no other: name one, as in `things adopt postgres://…`"
        )));
    }
    let people = match asked.users_from.as_slice() {
        [] => None,
        urls => Some(People::read(urls).await.map_err(failed("read the accounts"))?),
    };
    // The installation's own keys are made only when something is going to be written.
    let passing = Keyring::generate_text().map_err(|error| Failure::to("make keys", &error))?;
    let passing = Secret::expose(&passing).parse().map_err(|error| Failure::to("make keys", &error))?;
    let mut adoption =
        Adoption::open(config.registry(passing)).await.map_err(failed(&format!("use the database {url}")))?;
    let outcome = run(config, asked, people.as_ref(), &mut adoption).await;
    adoption.close().await;
    outcome?;
    Ok(())
}

async fn run(
    config: &Config,
    asked: &Asked,
    people: Option<&People>,
    adoption: &mut Adoption,
) -> Result<(), Failure> {
    let url = config.shown_database_url();
    let stage = adoption.stage().await.map_err(failed("look at the database"))?;
    if let Some(lacks) = people.and_then(People::lacks) {
        print(&format!("Note: {lacks}.\n"))?;
    }
    let mut rows = Rows::new(asked)?;
    if stage == Stage::New {
        let look = adoption.look(people, &mut |offence| rows.note(offence)).await;
        let look = look.map_err(failed("look at the database"))?;
        print(&told(&url, &look, people.is_some()))?;
        rows.close()?;
        print(&rows.told())?;
        let refused = look.count(Fate::Refused);
        if refused > 0 {
            return Err(Failure::Failed(format!(
                "nothing was changed: {refused} rows have to be put right first; see those marked `refused`"
            )));
        }
        if asked.dry_run {
            return print("Nothing was changed: this was a dry run.\n");
        }
        if !asked.agree("Begin with phase A? Mainflux goes on working, and it can be undone.")? {
            return print("Nothing was changed.\n");
        }
        adoption.use_keys(setup::keyring(config, true)?);
        adoption.begin(&look).await.map_err(failed("make the tables"))?;
        print("The tables are ours.\n")?;
    } else {
        let source = adoption.source().await.map_err(failed("look at the database"))?;
        let where_it_is = match stage {
            Stage::New | Stage::Indexing => "phase A goes on where it was",
            Stage::Indexed => "phase A is done, phase B is not",
            Stage::Finished => "it is done",
        };
        print(&format!("The adoption of {url} ({source}) has begun before: {where_it_is}.\n"))?;
        let refused = adoption.look_again(people, &mut |offence| rows.note(offence)).await;
        let refused = refused.map_err(failed("look at the database"))?;
        rows.close()?;
        print(&rows.told())?;
        if refused > 0 {
            return Err(Failure::Failed(format!(
                "this run changed nothing: {refused} rows have to be put right first; see those marked `refused`"
            )));
        }
        if asked.dry_run {
            return print("Nothing was changed: this was a dry run.\n");
        }
        adoption.use_keys(setup::keyring(config, false)?);
        adoption.prepare().await.map_err(failed("make the tables"))?;
    }
    phases(config, asked, people, adoption, stage, rows).await
}

async fn phases(
    config: &Config,
    asked: &Asked,
    people: Option<&People>,
    adoption: &Adoption,
    stage: Stage,
    rows: Rows,
) -> Result<(), Failure> {
    let mut progress = Progress::new("indexing keys");
    let indexed = adoption.index(&mut |at| progress.at(at)).await.map_err(failed("index the keys"))?;
    progress.done(&format!(
        "Phase A is done: {indexed} credentials were indexed. Both programs know all devices."
    ));
    if let Some(people) = people {
        let taken = adoption.take_people(people).await.map_err(failed("take the accounts over"))?;
        print(&format!(
            "Taken over: {} accounts and {} organisations with {} memberships; {} ownerships of groups were added.\n",
            taken.users, taken.orgs, taken.members, taken.owned
        ))?;
    }
    if asked.index_only {
        return print(
            "The keys are as they were: Mainflux can go on, and `things serve` can start. Run `things adopt` again \
             once Mainflux Things has stopped.\n",
        );
    }
    let others = adoption.others().await.map_err(failed("look at the database"))?;
    if others > 0 {
        print(&format!(
            "Note: {others} connections of other programs are open to this database. If one is Mainflux Things, stop it \
             now: it cannot check a key that was replaced.\n"
        ))?;
    }
    if stage != Stage::Finished
        && !asked
            .agree("Replace the keys by verifiers (phase B)? From then on only Things lets devices in.")?
    {
        return print("The keys are as they were. Run `things adopt` again to go on.\n");
    }
    look_before_replacing(adoption, rows.anew()).await?;
    let mut progress = Progress::new("replacing keys");
    let changed =
        adoption.replace_keys(&mut |at| progress.at(at)).await.map_err(failed("replace the keys"))?;
    progress.done("Phase B is done: no key is in the clear in the tables any more.");
    if changed > 0 {
        print(&format!(
            "Mainflux had changed {changed} credentials since phase A; they are as it left them.\n"
        ))?;
    }
    audit(config).await?;
    print(&format!(
        "\nThis database is a Things installation now. Its keys are in {}: keep a copy apart from the database's \
         backups.\nBackups from before, and what PostgreSQL has not cleared away yet, still have keys in the clear: docs/adopt.md, \
         step 9.\nNext: `things serve --database-url {}` (or the option database_url).\n",
        setup::key_place(config),
        config.shown_database_url()
    ))
}

/// Looks at what Mainflux has written since the first look: phase A took its time, and so did the person who was asked.
async fn look_before_replacing(adoption: &Adoption, mut rows: Rows) -> Result<(), Failure> {
    let refused = adoption
        .look_again(None, &mut |offence| {
            // Of the others enough was said.
            if offence.rule.fate == Fate::Refused {
                rows.note(offence);
            }
        })
        .await
        .map_err(failed("look at the database"))?;
    rows.close()?;
    if refused > 0 {
        print(&rows.told())?;
        return Err(Failure::Failed(format!(
            "phase B was not begun: {refused} rows have been written meanwhile that have to be put right first; see \
             those marked `refused`"
        )));
    }
    adoption.mend().await.map_err(failed("mend the rows"))
}

/// What `things doctor` will say of the rows.
async fn audit(config: &Config) -> Result<(), Failure> {
    let registry = Registry::attach(config.registry(setup::keyring(config, false)?));
    let registry = registry.await.map_err(|error| Failure::to("open the database", &error))?;
    let findings = registry.audit_rows().await;
    registry.close().await;
    for finding in findings.map_err(|error| Failure::to("examine the rows", &error))? {
        print(&format!("To look at: {}\n  -> {}\n", finding.message, finding.advice))?;
    }
    Ok(())
}

/// What the database is and what will be done.
fn told(url: &str, look: &Look, with_people: bool) -> String {
    let mut text = format!("{url}\n  what it is   {}\n", look.source);
    for (table, count) in &look.rows {
        text.push_str(&format!("  {table:<18} {count:>9} rows\n"));
    }
    text.push_str("What will be done\n");
    for step in &look.steps {
        text.push_str(&format!("  tables   {step}\n"));
    }
    text.push_str(
        "  tables   add those of Things; none of Mainflux's is removed\n  phase A  index every key and external key, \
         a thousand things at a time; keys stay as they are\n  phase B  replace each key by its verifier; devices \
         notice nothing\n",
    );
    text.push_str(if with_people {
        "  people   take accounts, organisations and memberships over; passwords stay valid\n"
    } else {
        "  people   none: organisations are called by their ids, and only the platform's administrator can log in\n"
    });
    text
}

/// The rows that break a rule: some to be shown, all to be written down.
struct Rows {
    shown: BTreeMap<&'static str, Vec<String>>,
    counts: BTreeMap<&'static str, (&'static registry::adopt::Rule, u64)>,
    file: Option<(PathBuf, BufWriter<fs::File>)>,
    error: Option<io::Error>,
}

impl Rows {
    fn new(asked: &Asked) -> Result<Self, Failure> {
        let file = match &asked.report {
            None => None,
            Some(path) => {
                // Names of things are nobody else's business.
                let file =
                    fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
                let file = file.map_err(|error| Failure::to(&format!("write {}", path.display()), &error))?;
                Some((path.clone(), BufWriter::new(file)))
            }
        };
        Ok(Self { shown: BTreeMap::new(), counts: BTreeMap::new(), file, error: None })
    }

    fn note(&mut self, offence: &Offence) {
        let Offence { rule, table, id, detail } = offence;
        self.counts.entry(rule.code).or_insert((rule, 0)).1 += 1;
        let shown = self.shown.entry(rule.code).or_default();
        if shown.len() < SHOWN {
            shown.push(format!("{table} {id} {detail}").trim_end().to_owned());
        }
        if let Some((_, file)) = &mut self.file
            && self.error.is_none()
        {
            let line = serde_json::json!({
                "fate": rule.fate.as_str(), "rule": rule.code, "table": table, "id": id, "detail": detail, "action": rule.action,
            });
            self.error = writeln!(file, "{line}").err();
        }
    }

    /// Everything is written down.
    fn close(&mut self) -> Result<(), Failure> {
        let Some((path, file)) = &mut self.file else { return Ok(()) };
        match self.error.take().or_else(|| file.flush().err()) {
            Some(error) => Err(Failure::to(&format!("write {}", path.display()), &error)),
            None => Ok(()),
        }
    }

    /// The same without any, to be written into the same file.
    fn anew(self) -> Self {
        Self { shown: BTreeMap::new(), counts: BTreeMap::new(), file: self.file, error: None }
    }

    fn told(&self) -> String {
        if self.counts.is_empty() {
            return "No row breaks a rule.\n".to_owned();
        }
        let mut all: Vec<_> = self.counts.values().collect();
        all.sort_by_key(|(rule, _)| (std::cmp::Reverse(rule.fate), rule.code));
        let mut text = String::new();
        for (rule, count) in all {
            text.push_str(&format!(
                "{:<8} {:<26} {count} {}\n{:>12} {}\n",
                rule.fate.as_str(),
                rule.code,
                rule.meaning,
                "->",
                rule.action
            ));
            let shown = self.shown.get(rule.code).map(Vec::as_slice).unwrap_or_default();
            for row in shown {
                text.push_str(&format!("           {row}\n"));
            }
            let rest = count.saturating_sub(shown.len() as u64);
            if rest > 0 {
                text.push_str(&format!("           and {rest} more; --report FILE has all\n"));
            }
        }
        text
    }
}

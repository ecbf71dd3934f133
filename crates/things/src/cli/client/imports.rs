//! `things import`: a file of things into a group, with a bar, the keys into a file, and a way to go on.

mod rejects;
mod resume;
mod source;
mod wording;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use clap::{Arg, ArgAction, Command, value_parser};
use serde_json::Value;
use things_client::{Error, Lines, Problem, Request, Response, Upload};
use tokio::fs::File;

use self::{rejects::Rejects, resume::Resume, source::Source, wording::reason};
use super::{
    Failure,
    asked::{Asked, note, text},
    given::{dry_run, file, option, switch},
    output::{Column, Form, counted},
    progress::{Counted, Counts, Progress, interruptible, watched},
    secrets::{Whole, record},
};

/// How long to wait for an import that an earlier run of the command began, before it is asked for again.
const IN_FLIGHT: Duration = Duration::from_secs(3);

/// How often a file is sent again whose connection broke.
const AGAIN: u32 = 2;

pub(super) fn command() -> Command {
    Command::new("import")
        .about("Make the things of a CSV or NDJSON file in --group, and write their keys into a file")
        .long_about(
            "Makes the things of a CSV or NDJSON file in --group. All rows or none, unless --partial. Columns are name, \
             type, profile or profile_id, key, external_key, id, status, metadata (a JSON object) and metadata.<member>. \
             Rows without a profile are on --profile.\n\n\
             The last column of a file of --rejects, `error`, is left out by itself.\n\n\
             If it is interrupted, or the connection breaks, the same command goes on where it was: nothing is made \
             twice, and all keys are told again. What it needs for that is in KEYS.resume beside the file of keys.",
        )
        .arg(dry_run())
        .arg(Arg::new("FILE").required(true).value_parser(value_parser!(PathBuf)).help("What to import"))
        .arg(
            option("format", "FORMAT", "csv or ndjson [default: by the file's ending]").value_parser(["csv", "ndjson"]),
        )
        .arg(
            file("keys", "Write the keys that are made into this new file, for its owner only; needed without --dry-run"),
        )
        .arg(switch("upsert", "Change the things that are there already, and make the others"))
        .arg(
            option("match", "FIELD", "How they are found: by name, external_key or id [default: name]")
                .value_parser(["name", "external_key", "id"])
                .requires("upsert"),
        )
        .arg(switch("partial", "Make what can be made, and leave the other rows out"))
        .arg(file("rejects", "Write the rows that were left out into this new file, with the reasons").requires("partial"))
        .arg(
            option("columns", "FROM:TO", "Take column FROM for TO, or leave it out: FROM:-; can be repeated")
                .action(ArgAction::Append)
                .value_delimiter(','),
        )
}

const COUNTS: &[Column] = &[
    Column::new("rows", "ROWS"),
    Column::new("created", "MADE"),
    Column::new("updated", "CHANGED"),
    Column::new("unchanged", "AS THEY WERE"),
    Column::new("rejected", "REJECTED"),
];

/// What is to be done, and what has become of it.
struct Import<'a> {
    asked: &'a Asked<'a>,
    file: Source,
    /// Whether the file is one of rejected rows, with the reasons behind them.
    again: bool,
    request: Vec<(&'static str, String)>,
    path: String,
    partial: bool,
    /// How many rows were told as done.
    done: Arc<AtomicU64>,
    /// Whether the server has the whole file.
    sent: AtomicBool,
    /// Whether it was sent before in this run, and may have been done.
    sent_before: AtomicBool,
}

pub(super) async fn run(asked: &Asked<'_>) -> Result<(), Failure> {
    let given = &asked.given;
    let Some(file) = given.path("FILE") else { return Ok(()) };
    let group =
        asked.group().await?.ok_or_else(|| Failure::Usage("say into which group: --group".to_owned()))?;
    let mut request = Vec::new();
    if let Some(name) = given.text("profile") {
        request.push(("profile_id", asked.profile_in(&group, name).await?));
    }
    if given.flag("upsert") {
        request.push(("mode", "upsert".to_owned()));
        request.push(("match", given.text("match").unwrap_or("name").to_owned()));
    }
    let partial = given.flag("partial");
    if partial {
        request.push(("partial", "true".to_owned()));
    }
    let csv = match (given.text("format"), file.extension().and_then(|ending| ending.to_str())) {
        (Some(format), _) => format == "csv",
        (None, Some("csv")) => true,
        (None, Some("ndjson" | "jsonl")) => false,
        _ => {
            return Err(Failure::Usage(format!(
                "{}: say what it is, by --format csv or ndjson",
                file.display()
            )));
        }
    };
    let file = Source::open(file, csv)?;
    let mut columns = given.texts("columns");
    // Rows that were rejected and put right still have the reasons behind them.
    let named = |column: &&str| column.split_once(':').is_some_and(|(from, _)| from.trim() == "error");
    let again = !columns.iter().any(named) && file.has_reasons()?;
    if again {
        columns.push("error:-");
    }
    if !columns.is_empty() {
        request.push(("columns", columns.join(",")));
    }
    let path = format!("/groups/{group}/import");
    let import = Import {
        asked,
        file,
        again,
        request,
        path,
        partial,
        done: Arc::default(),
        sent: AtomicBool::new(false),
        sent_before: AtomicBool::new(false),
    };
    interruptible(|| import.last_words(), import.whole()).await
}

impl Import<'_> {
    async fn whole(&self) -> Result<(), Failure> {
        let rejects = || {
            let to = self.asked.given.path("rejects");
            to.map(|to| Rejects::begin(to, self.file.csv)).transpose()
        };
        if self.asked.is_dry() {
            let rejects = rejects()?;
            let answer = self.send(None).await?.json().await.map_err(|error| self.broken(&error))?;
            return self.would_be(&answer, rejects);
        }
        let keys = self.asked.given.path("keys");
        let keys = keys.ok_or_else(|| {
            Failure::Usage(
                "say where the keys go that are made: --keys FILE; they are shown only once".to_owned(),
            )
        })?;
        if keys.exists() {
            return Err(Failure::Usage(format!(
                "--keys: {} exists, and is not overwritten; name another file or move it away",
                keys.display()
            )));
        }
        let rejects = rejects()?;
        let resume = Resume::find(keys, &self.fingerprint()?)?;
        let mut file = Whole::begin(keys, true)?;
        file.write(b"id,name,key\n")?;
        let events = match self.send(Some(resume.key())).await {
            Ok(response) => response.lines(),
            Err(failure) => {
                // Refused before anything was done: the file may be put right and sent anew. Not so if some of it may
                // have been done before: its keys are told again under this key, and under no other.
                let refused = matches!(&failure, Failure::Told { code, .. } if *code != super::trouble::exit::UNREACHABLE);
                if refused && resume.is_new() && !self.sent_before.load(Ordering::Relaxed) {
                    resume.forget();
                }
                return Err(failure);
            }
        };
        self.follow(events, Some((file, resume)), rejects).await
    }

    /// Everything that makes this import the same as an earlier one.
    fn fingerprint(&self) -> Result<String, Failure> {
        let mut about = format!("{} {}", self.asked.client.url(), self.path);
        for (name, value) in &self.request {
            about.push_str(&format!("\n{name}={value}"));
        }
        self.file.fingerprint(&about)
    }

    fn request(&self, key: Option<&str>) -> Request {
        let request = self.asked.client.post(&self.path);
        let request = self.request.iter().fold(request, |request, (name, value)| request.query(name, value));
        match key {
            Some(key) => request.idempotent(key),
            None => request.dry_run(),
        }
    }

    /// Sends the file; again, as long as an earlier run of the same import is under way on the server.
    async fn send(&self, key: Option<&str>) -> Result<Response, Failure> {
        let unreadable = |error| Failure::to("read what is imported", &error);
        let (mut told, mut broken) = (false, 0);
        loop {
            let file = self.file.reader()?;
            let length = file.metadata().map_err(unreadable)?.len();
            let file = File::from_std(file);
            let counter = Arc::new(AtomicU64::new(0));
            let upload = Upload::new(Counted::new(file, Arc::clone(&counter)), Some(length));
            let kind = if self.file.csv { "text/csv" } else { "application/x-ndjson" };
            let bar = Progress::begin("upload", Counts::Bytes, Some(length));
            let sending = self.request(key).upload(kind, upload);
            let sent = watched(bar, Arc::clone(&counter), Some(length), sending).await;
            self.sent.store(counter.load(Ordering::Relaxed) >= length, Ordering::Relaxed);
            match sent {
                Ok(response) => return Ok(response),
                Err(Error::Problem(problem)) if problem.code == "request-in-flight" => {
                    if !told {
                        note(
                            "an earlier run of this import is still under way on the server; waiting for it",
                        );
                        told = true;
                    }
                    tokio::time::sleep(problem.retry_after.unwrap_or(IN_FLIGHT).max(IN_FLIGHT)).await;
                }
                Err(Error::Problem(problem)) => return Err(self.refused(&problem)),
                // With its key it may be sent again: what has been done is not done twice.
                Err(Error::Unreachable(_)) if key.is_some() && broken < AGAIN => {
                    broken += 1;
                    self.sent_before.store(true, Ordering::Relaxed);
                    tokio::time::sleep(IN_FLIGHT).await;
                }
                Err(error) => return Err(self.broken(&error)),
            }
        }
    }

    /// Follows the events to their end.
    async fn follow(
        &self,
        mut events: Lines,
        mut kept: Option<(Whole, Resume)>,
        mut rejects: Option<Rejects>,
    ) -> Result<(), Failure> {
        let mut bar = Progress::begin("import", Counts::Rows, None);
        let (mut keys, mut rejected) = (0_u64, BTreeMap::new());
        loop {
            let event: Option<Value> = events.next().await.map_err(|error| self.broken(&error))?;
            let Some(event) = event else {
                bar.end();
                return Err(Failure::Failed(format!("the server's answer broke off; {}", self.last_words())));
            };
            let number = |name: &str| event.get(name).and_then(Value::as_u64).unwrap_or_default();
            match text(&event, "event") {
                "progress" => {
                    self.done.store(number("rows_done"), Ordering::Relaxed);
                    bar.at(number("rows_done"), event.get("rows").and_then(Value::as_u64));
                }
                "created" => {
                    if let (Some((file, _)), Some(key)) =
                        (&mut kept, event.get("key").and_then(Value::as_str))
                    {
                        file.write(&record(&[text(&event, "id"), text(&event, "name"), key])?)?;
                        keys += 1;
                    }
                }
                "rejected" => {
                    let reason = reason(&event);
                    if rejects.is_none() && rejected.len() < 20 {
                        bar.say(&format!("line {}: {reason}", number("line")));
                    }
                    let at = if self.file.csv { number("row") } else { number("line") };
                    rejected.insert(at, if rejects.is_some() { reason } else { String::new() });
                }
                "failed" => {
                    bar.end();
                    let problem =
                        event.get("problem").cloned().and_then(|told| serde_json::from_value(told).ok());
                    let problem: Problem = problem.ok_or_else(|| {
                        Failure::Failed("cannot import: the server does not say why".to_owned())
                    })?;
                    let undone = !self.partial && problem.code != "outcome-unknown";
                    if let (Some((_, resume)), true) = (kept, undone) {
                        resume.forget();
                    }
                    return Err(self.refused(&problem));
                }
                "done" => {
                    bar.end();
                    if let Some(rejects) = rejects.take() {
                        rejects.write(self.file.reader()?, &rejected, self.again)?;
                    }
                    return self.finish(&event, keys, kept);
                }
                _ => {}
            }
        }
    }

    /// What a dry run found: for people how many and which would be rejected, for programs all of it.
    fn would_be(&self, answer: &Value, rejects: Option<Rejects>) -> Result<(), Failure> {
        let Some(import) = answer.get("import") else { return self.asked.effect(answer) };
        let rejections =
            import.get("rejections").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let number = |event: &Value, name: &str| event.get(name).and_then(Value::as_u64).unwrap_or_default();
        if let Some(rejects) = rejects {
            let at = if self.file.csv { "row" } else { "line" };
            let reasons = rejections.iter().map(|rejection| (number(rejection, at), reason(rejection)));
            rejects.write(self.file.reader()?, &reasons.collect(), self.again)?;
            let known = u64::try_from(rejections.len()).unwrap_or(u64::MAX);
            if known < number(import, "rejected") {
                note(&format!("a dry run tells the first {known} rows that would be rejected, and no more"));
            }
        } else if self.asked.out.form == Form::Table {
            for rejection in rejections {
                self.asked.out.say(&format!("line {}: {}", number(rejection, "line"), reason(rejection)))?;
            }
        }
        if self.asked.out.form == Form::Json {
            self.asked.out.json(answer)?;
        }
        self.finish(import, 0, None)
    }

    fn finish(&self, event: &Value, keys: u64, kept: Option<(Whole, Resume)>) -> Result<(), Failure> {
        let number = |name: &str| event.get(name).and_then(Value::as_u64).unwrap_or_default();
        if let Some((file, resume)) = kept {
            if keys > 0 {
                file.finish()?;
            }
            resume.forget();
        }
        let dry = self.asked.is_dry();
        let sentence = format!(
            "{}{}: {} made, {} changed, {} as they were, {} rejected",
            if dry { "dry run, nothing is changed: " } else { "" },
            counted(number("rows"), "row"),
            number("created"),
            number("updated"),
            number("unchanged"),
            number("rejected")
        );
        // A dry run's JSON has been told whole.
        if !dry || self.asked.out.form != Form::Json {
            self.asked.done(&sentence, COUNTS, Some(event))?;
        }
        if let (Some(path), true) = (self.asked.given.path("keys"), keys > 0) {
            let (keys, are) = (counted(keys, "key"), if keys == 1 { "is" } else { "are" });
            note(&format!("{keys} {are} in {}; shown nowhere else", path.display()));
        }
        match number("rejected") {
            0 => Ok(()),
            some => {
                let were = match (dry, some) {
                    (true, _) => "would be",
                    (false, 1) => "was",
                    (false, _) => "were",
                };
                let rows = counted(some, "row");
                Err(Failure::Failed(match self.asked.given.path("rejects") {
                    Some(path) => {
                        format!("{rows} {were} rejected; {} has them, with the reasons", path.display())
                    }
                    None => format!("{rows} {were} rejected; --rejects FILE keeps them"),
                }))
            }
        }
    }

    fn refused(&self, problem: &Problem) -> Failure {
        Failure::told("import", &wording::refused(problem, self.partial))
    }

    fn broken(&self, error: &Error) -> Failure {
        match Failure::asking("import", error) {
            Failure::Told { code, text } => {
                Failure::Told { code, text: format!("{text}\n  {}", self.last_words()) }
            }
            failure => failure,
        }
    }

    /// What is committed, and how to go on.
    fn last_words(&self) -> String {
        if self.asked.is_dry() {
            return "it was a dry run, nothing is changed".to_owned();
        }
        if !self.sent.load(Ordering::Relaxed) {
            return "the file had not arrived, so nothing is made; run the same command again".to_owned();
        }
        let done = self.done.load(Ordering::Relaxed);
        let state = if self.partial {
            format!("at least {done} rows are done, and the server goes on with the others")
        } else {
            "the server goes on, and makes all rows or none".to_owned()
        };
        format!("{state}. Run the same command again: it makes nothing twice, and gets all keys")
    }
}

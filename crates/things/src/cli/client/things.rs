//! `things thing`.

use clap::{Arg, Command};
use serde_json::{Map, Value, json};

use super::{
    Failure,
    answers::Change,
    asked::{Asked, first, text},
    given::{change, key_file, list, metadata, number, option, some_of, switch, verb, word, words},
    names::is_id,
    orgs::update,
    output::Column,
    secrets::Place,
    terminal,
};

const COLUMNS: &[Column] = &[
    Column::new("id", "ID"),
    Column::new("name", "NAME"),
    Column::new("type", "TYPE"),
    Column::new("external_key", "EXTERNAL KEY"),
    Column::new("status", "STATUS"),
    Column::new("last_seen_at", "LAST SEEN"),
    Column::wide("group_id", "GROUP"),
    Column::wide("profile_id", "PROFILE"),
    Column::wide("metadata", "METADATA"),
];

/// One whose key is told.
const MADE: &[Column] = &[
    Column::new("id", "ID"),
    Column::new("name", "NAME"),
    Column::new("type", "TYPE"),
    Column::new("key", "KEY"),
    Column::new("external_key", "EXTERNAL KEY"),
    Column::new("status", "STATUS"),
    Column::new("group_id", "GROUP"),
    Column::new("profile_id", "PROFILE"),
    Column::new("metadata", "METADATA"),
];

const CREDENTIALS: &[Column] = &[
    Column::new("kind", "KIND"),
    Column::new("expires_at", "EXPIRES"),
    Column::new("last_seen_at", "LAST SEEN"),
];

const FAILURES: &[Column] = &[
    Column::new("at", "AT"),
    Column::new("reason", "REASON"),
    Column::new("times", "TIMES"),
    Column::new("type", "TYPE"),
    Column::new("front", "FRONT"),
    Column::new("source", "SOURCE"),
    Column::wide("since", "SINCE"),
    Column::wide("id", "ID"),
];

const TYPES: [&str; 5] = ["device", "sensor", "actuator", "controller", "gateway"];

pub(super) fn command() -> Command {
    let kind =
        || option("type", "TYPE", "device, sensor, actuator, controller or gateway").value_parser(TYPES);
    let thing = || word("THING", "Its name or id");
    Command::new("thing")
        .about("Things: devices, and their keys")
        .subcommand_required(true)
        .subcommand(
            list(
                "List the things you may see, or those of --org, --group or --profile",
                &["id", "name", "type"],
            )
            .arg(option("name", "TEXT", "Part of the name"))
            .arg(kind())
            .arg(option("external-key", "KEY", "Exactly this external key"))
            .arg(
                option("status", "STATUS", "enabled or disabled")
                    .value_parser(["enabled", "disabled", "all"]),
            )
            .arg(metadata().help("Only with metadata that contains this JSON object")),
        )
        .subcommand(verb("show", "Show one; never its key").arg(thing()))
        .subcommand(
            change(
                "create",
                "Make one on --profile (with --group, if it is a name), and print its key, once",
            )
            .arg(word("NAME", "What to call it; unique in the group"))
            .arg(kind())
            .arg(option("external-key", "KEY", "A serial number, EUI or asset tag"))
            .arg(option(
                "key",
                "KEY",
                "Its key, if it has one already; others see it in the list of processes",
            ))
            .arg(switch("key-stdin", "Read that key from the standard input instead").conflicts_with("key"))
            .arg(metadata())
            .arg(option("id", "ID", "Its id, if it has one already"))
            .arg(key_file()),
        )
        .subcommand(
            change("update", "Change one")
                .arg(thing())
                .arg(option("name", "NAME", "A new name"))
                .arg(kind())
                .arg(metadata())
                .group(some_of(&["name", "type", "metadata"])),
        )
        .subcommand(
            change("delete", "Delete some, with their keys").arg(words("THING", "Their names or ids")),
        )
        .subcommand(
            change("move", "Move some to a profile, of this group or another")
                .arg(words("THING", "Their names or ids"))
                .arg(option("to-group", "GROUP", "Which group [default: the profile's]"))
                .arg(option("to-profile", "PROFILE", "Which profile").required(true)),
        )
        .subcommand(
            change("rotate", "Give one a new key, and print it, once")
                .arg(thing())
                .arg(number(
                    "overlap",
                    0..=604_800,
                    "For how many seconds the old key still counts [default: 0]",
                ))
                .arg(key_file()),
        )
        .subcommand(
            verb("key", "Reveal a key, where copies are kept; the journal notes it")
                .arg(thing())
                .arg(key_file()),
        )
        .subcommand(
            change("external-key", "Set or take away an external key")
                .arg(thing())
                .arg(Arg::new("KEY").help("The external key").required_unless_present("remove"))
                .arg(switch("remove", "Take it away").conflicts_with("KEY")),
        )
        .subcommand(
            change("disable", "Shut some out: none of their credentials works")
                .arg(words("THING", "Their names or ids")),
        )
        .subcommand(change("enable", "Let some in again").arg(words("THING", "Their names or ids")))
        .subcommand(verb("credentials", "List one's credentials, without their values").arg(thing()))
        .subcommand(
            list("List one's checks that failed, and why", &["id"])
                .name("failures")
                .arg(thing())
                .arg(option("since", "TIME", "Not before: 2026-01-31T12:00:00Z")),
        )
}

pub(super) async fn run(asked: &Asked<'_>) -> Result<(), Failure> {
    let given = &asked.given;
    match given.word(1) {
        "list" => {
            let path = format!("{}/things", asked.within(&["group", "profile"]).await?);
            let mut request = asked.client.get(&path).query_opt("name", given.text("name"));
            request = request.query_opt("type", given.text("type")).query_opt("status", given.text("status"));
            request = request.query_opt("external_key", given.text("external-key"));
            if let Some(filter) = given.object("metadata")? {
                request = request.query("metadata", filter.to_string());
            }
            asked.list("list things", request, "things", COLUMNS).await
        }
        "create" => create(asked).await,
        "delete" => {
            let names = given.texts("THING");
            let ids = asked.things_named(&names).await?;
            asked.confirm(&format!(
                "Delete {}; the keys work no more, and cannot be had back",
                told(&names)
            ))?;
            let request = asked.client.patch("/things").json(&json!({"thing_ids": ids}));
            let done = asked.change("delete the thing", request).await?;
            asked.done(&format!("{} deleted", told(&names)), COLUMNS, done.as_ref())
        }
        "move" => move_things(asked).await,
        verb @ ("enable" | "disable") => {
            let names = given.texts("THING");
            let ids = asked.things_named(&names).await?;
            let mut ids = ids.iter();
            let prepare = async |name: &str| {
                let id = ids.next().map(String::as_str).unwrap_or_default();
                let request = asked.once(asked.client.post(&format!("/things/{id}/{verb}")))?;
                let (what, done) = (format!("{verb} {name}"), format!("{name} is {verb}d"));
                Ok(Change { what, request, done, tells_id: false })
            };
            asked.each(COLUMNS, &names, prepare).await
        }
        verb => one(asked, verb).await,
    }
}

/// The verbs about a single thing.
async fn one(asked: &Asked<'_>, verb: &str) -> Result<(), Failure> {
    let given = &asked.given;
    let name = given.required("THING");
    let id = asked.thing_named(name).await?;
    let path = format!("/things/{id}");
    match verb {
        "show" => {
            let mut thing = asked.read("show the thing", &path).await?;
            // Editors are answered with the key, where copies are kept. It is shown by its own command only.
            if let Some(members) = thing.as_object_mut() {
                members.remove("key");
            }
            asked.out.object(COLUMNS, &thing)
        }
        "update" => update(asked, "thing", &path, COLUMNS).await,
        "rotate" => {
            let overlap = given.number("overlap");
            if overlap.unwrap_or(0) == 0 {
                asked.confirm(&format!("Give {name} a new key; the present one ends at once"))?;
            }
            let place = Place::reserve(given.path("key-file").filter(|_| !asked.is_dry()))?;
            let request = asked
                .client
                .post(&format!("{path}/key/rotate"))
                .json(&json!({"overlap": overlap.unwrap_or(0)}));
            let thing = asked.make("rotate the key", request).await?;
            shown_once(asked, thing, place, &format!("{name} has a new key"))
        }
        "key" => {
            let place = Place::reserve(given.path("key-file"))?;
            let revealed = asked.read("reveal the key", &format!("{path}/key")).await?;
            place.show(text(&revealed, "key")).map(|_| ())
        }
        "external-key" => {
            let path = format!("{path}/external-key");
            if given.text("KEY").is_none() {
                asked.confirm(&format!(
                    "Take the external key of {name} away; what uses it is let in no more"
                ))?;
            }
            let (request, sentence) = match given.text("KEY") {
                Some(key) => {
                    (asked.client.patch(&path).json(&json!({"key": key})), "has that external key now")
                }
                None => (asked.client.delete(&path), "has no external key now"),
            };
            let done = asked.change("change the external key", request).await?;
            asked.done(&format!("{name} {sentence}"), COLUMNS, done.as_ref())
        }
        "credentials" => {
            let answer = asked.read("list the credentials", &format!("{path}/credentials")).await?;
            let rows = answer.get("credentials").and_then(Value::as_array).cloned().unwrap_or_default();
            let mut list = asked.out.list(CREDENTIALS);
            list.page(&rows)?;
            list.end()
        }
        _ => {
            let request =
                asked.client.get(&format!("{path}/failed-checks")).query_opt("since", given.text("since"));
            asked.list("list the checks that failed", request, "failed_checks", FAILURES).await
        }
    }
}

async fn create(asked: &Asked<'_>) -> Result<(), Failure> {
    let given = &asked.given;
    let profile = asked.profile().await?;
    let profile = profile.ok_or_else(|| Failure::Usage("say on which profile: --profile".to_owned()))?;
    let mut body = Map::new();
    given.fill(
        &mut body,
        &[("NAME", "name"), ("type", "type"), ("external-key", "external_key"), ("key", "key"), ("id", "id")],
    );
    given.fill_objects(&mut body, &["metadata"])?;
    if given.flag("key-stdin") {
        let key = terminal::line_of_stdin("key")?;
        body.insert("key".to_owned(), key.as_str().into());
    }
    let place = Place::reserve(given.path("key-file").filter(|_| !asked.is_dry()))?;
    let request = asked.client.post(&format!("/profiles/{profile}/things")).json(&[body]);
    let made = first(asked.make("create the thing", request).await?, "things");
    let id = made.as_ref().map_or("", |made| text(made, "id")).to_owned();
    shown_once(asked, made, place, &format!("thing {} is made: {id}", given.required("NAME")))
}

/// A thing whose key is in the answer: for people a sentence, on the standard error, and the key; for programs
/// the answer, without the key if that went into a file.
fn shown_once(asked: &Asked<'_>, thing: Option<Value>, place: Place, sentence: &str) -> Result<(), Failure> {
    use super::output::Form;
    let Some(mut thing) = thing else { return Ok(()) };
    if asked.out.form == Form::Table {
        super::asked::note(sentence);
        place.show(text(&thing, "key"))?;
        return Ok(());
    }
    if asked.given.path("key-file").is_some() {
        let key = thing.as_object_mut().and_then(|members| members.remove("key"));
        place.show(key.as_ref().and_then(Value::as_str).unwrap_or_default())?;
    }
    asked.done(sentence, MADE, Some(&thing))
}

async fn move_things(asked: &Asked<'_>) -> Result<(), Failure> {
    let given = &asked.given;
    let names = given.texts("THING");
    let ids = asked.things_named(&names).await?;
    let profile = given.required("to-profile");
    let to_group = match given.text("to-group") {
        Some(name) => Some(asked.group_named(name).await?),
        None => None,
    };
    let mut ids = ids.iter();
    let prepare = async |name: &str| {
        let what = format!("move {name}");
        let path = format!("/things/{}", ids.next().map(String::as_str).unwrap_or_default());
        let (thing, tag) = asked.tagged(&what, &path).await?;
        let profile = if is_id(profile) {
            profile.to_owned()
        } else {
            asked.profile_in(to_group.as_deref().unwrap_or_else(|| text(&thing, "group_id")), profile).await?
        };
        let group = match &to_group {
            Some(group) => group.clone(),
            None => {
                let found = asked.read(&what, &format!("/profiles/{profile}")).await?;
                text(&found, "group_id").to_owned()
            }
        };
        let body = json!({"group_id": group, "profile_id": profile});
        let request = asked.client.patch(&path).if_match(&tag).json(&body);
        Ok(Change { what, request, done: format!("{name} moved"), tells_id: false })
    };
    asked.each(COLUMNS, &names, prepare).await
}

/// Names for a question: not hundreds of them.
fn told(names: &[&str]) -> String {
    match names {
        [a, b, c, _, ..] => format!("{a}, {b}, {c} and {} more", names.len() - 3),
        few => few.join(", "),
    }
}

//! `things token`: access tokens, for programs.

use clap::Command;
use serde_json::{Value, json};

use super::{
    Failure,
    answers::Change,
    asked::{Asked, note, text},
    given::{change, key_file, list, number, option, switch, verb, word, words},
    names::is_id,
    output::{Column, Form},
    secrets::Place,
};

const COLUMNS: &[Column] = &[
    Column::new("id", "ID"),
    Column::new("name", "NAME"),
    Column::new("scopes", "SCOPES"),
    Column::new("expires_at", "EXPIRES"),
    Column::new("last_used_at", "LAST USED"),
    Column::wide("issued_at", "MADE"),
];

/// One that has just been made.
const MADE: &[Column] = &[
    Column::new("id", "ID"),
    Column::new("name", "NAME"),
    Column::new("scopes", "SCOPES"),
    Column::new("expires_at", "EXPIRES"),
    Column::new("token", "TOKEN"),
];

pub(super) fn command() -> Command {
    Command::new("token")
        .about("Access tokens, by which programs act for you")
        .subcommand_required(true)
        .subcommand(list("List yours, without their values", &["id", "name"]))
        .subcommand(verb("show", "Show one, without its value").arg(word("TOKEN", "Its name or id")))
        .subcommand(
            change("create", "Make one, which may read and, with --write, change; print its value, once")
                .arg(word("NAME", "What to call it"))
                .arg(switch("write", "It may change things too"))
                .arg(number("days", 1..=3650, "When it ends by itself [default: never]"))
                .arg(
                    option("within", "PLACE", "Bind it to the place given by --org or --group: org or group")
                        .value_parser(["org", "group"]),
                )
                .arg(key_file()),
        )
        .subcommand(
            change("revoke", "End some").visible_alias("delete").arg(words("TOKEN", "Their names or ids")),
        )
}

pub(super) async fn run(asked: &Asked<'_>) -> Result<(), Failure> {
    let given = &asked.given;
    match given.word(1) {
        "list" => asked.list("list access tokens", asked.client.get("/keys"), "keys", COLUMNS).await,
        "show" => {
            let id = named(asked, given.required("TOKEN")).await?;
            let token = asked.read("show the access token", &format!("/keys/{id}")).await?;
            asked.out.object(COLUMNS, &token)
        }
        "create" => create(asked).await,
        _ => {
            let names = given.texts("TOKEN");
            let mut ids = Vec::new();
            for name in &names {
                ids.push(named(asked, name).await?);
            }
            asked.confirm(&format!("End {}; what uses it is let in no more", names.join(", ")))?;
            let mut ids = ids.iter();
            let prepare = async |name: &str| {
                let id = ids.next().map(String::as_str).unwrap_or_default();
                let request = asked.client.delete(&format!("/keys/{id}"));
                let (what, done) = (format!("end the access token {name}"), format!("{name} is ended"));
                Ok(Change { what, request, done, tells_id: false })
            };
            asked.each(COLUMNS, &names, prepare).await
        }
    }
}

async fn create(asked: &Asked<'_>) -> Result<(), Failure> {
    let given = &asked.given;
    let mut scopes = vec!["read".to_owned()];
    if given.flag("write") {
        scopes.push("write".to_owned());
    }
    match given.text("within") {
        Some("org") => {
            let org =
                asked.org().await?.ok_or_else(|| Failure::Usage("--within org wants --org".to_owned()))?;
            scopes.push(format!("org:{org}"));
        }
        Some(_) => {
            let group = asked
                .group()
                .await?
                .ok_or_else(|| Failure::Usage("--within group wants --group".to_owned()))?;
            scopes.push(format!("group:{group}"));
        }
        None => {}
    }
    let mut body = json!({"name": given.required("NAME"), "scopes": scopes});
    if let (Some(days), Some(members)) = (given.number("days"), body.as_object_mut()) {
        members.insert("duration".to_owned(), (days * 86_400).into());
    }
    let place = Place::reserve(given.path("key-file").filter(|_| !asked.is_dry()))?;
    let made = asked.make("create the access token", asked.client.post("/keys").json(&body)).await?;
    let Some(mut made) = made else { return Ok(()) };
    let in_file = given.path("key-file").is_some();
    if asked.out.form == Form::Table {
        note(&format!("access token {} is made: {}", given.required("NAME"), text(&made, "id")));
        return place.show(text(&made, "token")).map(|_| ());
    }
    if let Some(members) = made.as_object_mut() {
        members.remove("value");
        if in_file {
            let token = members.remove("token");
            place.show(token.as_ref().and_then(Value::as_str).unwrap_or_default())?;
        }
    }
    asked.done("", MADE, Some(&made))
}

async fn named(asked: &Asked<'_>, name: &str) -> Result<String, Failure> {
    if is_id(name) {
        return Ok(name.to_owned());
    }
    let what = format!("look for the access token {name}");
    let all = asked.client.get("/keys").query("limit", "1000").pages("keys");
    let all: Vec<Value> = all.collect(10_000).await.map_err(|error| Failure::asking(&what, &error))?;
    let found: Vec<&Value> = all.iter().filter(|token| text(token, "name") == name).collect();
    match found.as_slice() {
        [one] => Ok(text(one, "id").to_owned()),
        [] => Err(Failure::not_found(format!(
            "you have no access token named {name}\n  `things token list` shows them"
        ))),
        several => {
            let ids: Vec<String> = several.iter().map(|token| format!("\n  {}", text(token, "id"))).collect();
            Err(Failure::Usage(format!(
                "several access tokens are named {name}; say which by its id{}",
                ids.concat()
            )))
        }
    }
}

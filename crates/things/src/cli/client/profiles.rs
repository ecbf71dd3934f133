//! `things profile`.

use clap::Command;
use serde_json::{Map, Value, json};

use super::{
    Failure,
    asked::{Asked, first, text},
    given::{change, list, metadata, option, some_of, switch, verb, word, words},
    orgs::update,
    output::Column,
};

const COLUMNS: &[Column] = &[
    Column::new("id", "ID"),
    Column::new("name", "NAME"),
    Column::new("config", "CONFIG"),
    Column::wide("group_id", "GROUP"),
    Column::wide("metadata", "METADATA"),
];

pub(super) fn command() -> Command {
    let config = || option("config", "JSON", "How its things talk: a JSON object, or @FILE with one");
    Command::new("profile")
        .about("Profiles: how a kind of device talks")
        .subcommand_required(true)
        .subcommand(
            list("List the profiles you may see, or those of --org or --group", &["id", "name"])
                .arg(option("name", "TEXT", "Part of the name"))
                .arg(option("content-type", "TYPE", "Exactly this content type"))
                .arg(metadata().help("Only with metadata that contains this JSON object")),
        )
        .subcommand(verb("show", "Show one").arg(word("PROFILE", "Its name or id")))
        .subcommand(
            change("create", "Make one in --group")
                .arg(word("NAME", "What to call it; unique in the group"))
                .arg(
                    option("content-type", "TYPE", "The content type of its things' messages")
                        .conflicts_with("config"),
                )
                .arg(config())
                .arg(metadata())
                .arg(option("id", "ID", "Its id, if it has one already")),
        )
        .subcommand(
            change("update", "Change one")
                .arg(word("PROFILE", "Its name or id"))
                .arg(option("name", "NAME", "A new name"))
                .arg(config())
                .arg(switch("no-config", "Take its config away").conflicts_with("config"))
                .arg(metadata())
                .group(some_of(&["name", "config", "no-config", "metadata"])),
        )
        .subcommand(
            change("delete", "Delete some that no thing uses").arg(words("PROFILE", "Their names or ids")),
        )
}

pub(super) async fn run(asked: &Asked<'_>) -> Result<(), Failure> {
    let given = &asked.given;
    match given.word(1) {
        "list" => {
            let path = format!("{}/profiles", asked.within(&["group"]).await?);
            let mut request = asked.client.get(&path).query_opt("name", given.text("name"));
            request = request.query_opt("content_type", given.text("content-type"));
            if let Some(filter) = given.object("metadata")? {
                request = request.query("metadata", filter.to_string());
            }
            asked.list("list profiles", request, "profiles", COLUMNS).await
        }
        "show" => {
            let id = asked.profile_named(given.required("PROFILE")).await?;
            let profile = asked.read("show the profile", &format!("/profiles/{id}")).await?;
            asked.out.object(COLUMNS, &profile)
        }
        "create" => {
            let group = asked
                .group()
                .await?
                .ok_or_else(|| Failure::Usage("say in which group: --group".to_owned()))?;
            let mut body: Map<String, Value> = Map::new();
            given.fill(&mut body, &[("NAME", "name"), ("id", "id")]);
            if let Some(kind) = given.text("content-type") {
                body.insert("config".to_owned(), json!({"content_type": kind}));
            }
            given.fill_objects(&mut body, &["config", "metadata"])?;
            let request = asked.client.post(&format!("/groups/{group}/profiles")).json(&[body]);
            let made = first(asked.make("create the profile", request).await?, "profiles");
            let id = made.as_ref().map_or("", |made| text(made, "id")).to_owned();
            asked.done(&format!("profile {} is made: {id}", given.required("NAME")), COLUMNS, made.as_ref())
        }
        "update" => {
            let id = asked.profile_named(given.required("PROFILE")).await?;
            update(asked, "profile", &format!("/profiles/{id}"), COLUMNS).await
        }
        _ => {
            let names = given.texts("PROFILE");
            let mut ids = Vec::new();
            for name in &names {
                ids.push(asked.profile_named(name).await?);
            }
            asked.confirm(&format!("Delete {}", names.join(", ")))?;
            let request = asked.client.patch("/profiles").json(&json!({"profile_ids": ids}));
            let done = asked.change("delete the profile", request).await?;
            asked.done(&format!("{} deleted", names.join(", ")), COLUMNS, done.as_ref())
        }
    }
}

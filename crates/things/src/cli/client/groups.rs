//! `things group`.

use clap::Command;
use serde_json::{Map, json};

use super::{
    Failure,
    asked::{Asked, first, text},
    given::{change, list, metadata, option, some_of, verb, word, words},
    orgs::{ORDERS, hand_over, update},
    output::Column,
};

const COLUMNS: &[Column] = &[
    Column::new("id", "ID"),
    Column::new("name", "NAME"),
    Column::new("role", "ROLE"),
    Column::new("description", "DESCRIPTION"),
    Column::wide("org_id", "ORGANISATION"),
    Column::wide("metadata", "METADATA"),
    Column::wide("created_at", "CREATED"),
    Column::wide("updated_at", "UPDATED"),
];

pub(super) fn command() -> Command {
    Command::new("group")
        .about("Groups: who may see and change which things")
        .subcommand_required(true)
        .subcommand(
            list("List the groups you have a role in, or those of --org", ORDERS)
                .arg(option("name", "TEXT", "Part of the name"))
                .arg(metadata().help("Only with metadata that contains this JSON object")),
        )
        .subcommand(verb("show", "Show one").arg(word("GROUP", "Its name or id")))
        .subcommand(
            change("create", "Make one in --org")
                .arg(word("NAME", "What to call it; unique in the organisation"))
                .arg(option("description", "TEXT", "What it is"))
                .arg(metadata())
                .arg(option("id", "ID", "Its id, if it has one already")),
        )
        .subcommand(
            change("update", "Change one")
                .arg(word("GROUP", "Its name or id"))
                .arg(option("name", "NAME", "A new name"))
                .arg(option("description", "TEXT", "A new description"))
                .arg(metadata())
                .group(some_of(&["name", "description", "metadata"])),
        )
        .subcommand(
            change("delete", "Delete some, with everything in them")
                .arg(words("GROUP", "Their names or ids")),
        )
        .subcommand(
            change("hand-over", "Give one another owner; you become an admin")
                .arg(word("GROUP", "Its name or id"))
                .arg(option("to", "MEMBER", "Whom to: a member's e-mail address or id").required(true)),
        )
}

pub(super) async fn run(asked: &Asked<'_>) -> Result<(), Failure> {
    let given = &asked.given;
    match given.word(1) {
        "list" => {
            let path = format!("{}/groups", asked.within(&[]).await?);
            let mut request = asked.client.get(&path).query_opt("name", given.text("name"));
            if let Some(filter) = given.object("metadata")? {
                request = request.query("metadata", filter.to_string());
            }
            asked.list("list groups", request, "groups", COLUMNS).await
        }
        "show" => {
            let id = asked.group_named(given.required("GROUP")).await?;
            let group = asked.read("show the group", &format!("/groups/{id}")).await?;
            asked.out.object(COLUMNS, &group)
        }
        "create" => {
            let org = asked
                .org()
                .await?
                .ok_or_else(|| Failure::Usage("say in which organisation: --org".to_owned()))?;
            let mut body = Map::new();
            given.fill(&mut body, &[("NAME", "name"), ("description", "description"), ("id", "id")]);
            given.fill_objects(&mut body, &["metadata"])?;
            let request = asked.client.post(&format!("/orgs/{org}/groups")).json(&[body]);
            let made = first(asked.make("create the group", request).await?, "groups");
            let id = made.as_ref().map_or("", |made| text(made, "id")).to_owned();
            asked.done(&format!("group {} is made: {id}", given.required("NAME")), COLUMNS, made.as_ref())
        }
        "update" => {
            let id = asked.group_named(given.required("GROUP")).await?;
            update(asked, "group", &format!("/groups/{id}"), COLUMNS).await
        }
        "delete" => {
            let names = given.texts("GROUP");
            let mut ids = Vec::new();
            for name in &names {
                ids.push(asked.group_named(name).await?);
            }
            asked.confirm(&format!("Delete {}, with all things and keys in it", names.join(", ")))?;
            let request = asked.client.patch("/groups").json(&json!({"group_ids": ids}));
            let done = asked.change("delete the group", request).await?;
            asked.done(&format!("{} deleted", names.join(", ")), COLUMNS, done.as_ref())
        }
        _ => {
            let id = asked.group_named(given.required("GROUP")).await?;
            hand_over(asked, &format!("/groups/{id}"), "group_memberships").await
        }
    }
}

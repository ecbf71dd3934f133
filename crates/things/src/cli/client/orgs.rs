//! `things org`.

use clap::Command;
use serde_json::{Map, Value, json};

use super::{
    Failure,
    asked::{Asked, text},
    given::{change, list, metadata, option, some_of, verb, word, words},
    output::Column,
};

pub(super) const ORDERS: &[&str] = &["id", "name", "created_at", "updated_at"];

const COLUMNS: &[Column] = &[
    Column::new("id", "ID"),
    Column::new("name", "NAME"),
    Column::new("role", "ROLE"),
    Column::new("description", "DESCRIPTION"),
    Column::wide("metadata", "METADATA"),
    Column::wide("created_at", "CREATED"),
    Column::wide("updated_at", "UPDATED"),
];

pub(super) fn command() -> Command {
    Command::new("org")
        .about("Organisations")
        .subcommand_required(true)
        .subcommand(
            list("List the organisations you belong to", ORDERS)
                .arg(option("name", "TEXT", "Part of the name"))
                .arg(metadata().help("Only with metadata that contains this JSON object")),
        )
        .subcommand(verb("show", "Show one").arg(word("ORG", "Its name or id")))
        .subcommand(
            change("create", "Make one, which you then own")
                .arg(word("NAME", "What to call it"))
                .arg(option("description", "TEXT", "What it is"))
                .arg(metadata())
                .arg(option("id", "ID", "Its id, if it has one already")),
        )
        .subcommand(
            change("update", "Change one")
                .arg(word("ORG", "Its name or id"))
                .arg(option("name", "NAME", "A new name"))
                .arg(option("description", "TEXT", "A new description"))
                .arg(metadata())
                .group(some_of(&["name", "description", "metadata"])),
        )
        .subcommand(
            change("delete", "Delete some, with their groups and everything in them")
                .arg(words("ORG", "Their names or ids")),
        )
        .subcommand(
            change("hand-over", "Give one another owner; you become an admin")
                .arg(word("ORG", "Its name or id"))
                .arg(option("to", "MEMBER", "Whom to: a member's e-mail address or id").required(true)),
        )
}

pub(super) async fn run(asked: &Asked<'_>) -> Result<(), Failure> {
    let given = &asked.given;
    match given.word(1) {
        "list" => {
            let mut request = asked.client.get("/orgs").query_opt("name", given.text("name"));
            if let Some(filter) = given.object("metadata")? {
                request = request.query("metadata", filter.to_string());
            }
            asked.list("list organisations", request, "orgs", COLUMNS).await
        }
        "show" => {
            let id = asked.org_named(given.required("ORG")).await?;
            let org = asked.read("show the organisation", &format!("/orgs/{id}")).await?;
            asked.out.object(COLUMNS, &org)
        }
        "create" => {
            let mut body = Map::new();
            given.fill(&mut body, &[("NAME", "name"), ("description", "description"), ("id", "id")]);
            given.fill_objects(&mut body, &["metadata"])?;
            let made = asked.make("create the organisation", asked.client.post("/orgs").json(&body)).await?;
            let id = made.as_ref().map_or("", |made| text(made, "id")).to_owned();
            asked.done(
                &format!("organisation {} is made: {id}", given.required("NAME")),
                COLUMNS,
                made.as_ref(),
            )
        }
        "update" => {
            let id = asked.org_named(given.required("ORG")).await?;
            update(asked, "organisation", &format!("/orgs/{id}"), COLUMNS).await
        }
        "delete" => {
            let names = given.texts("ORG");
            let mut ids = Vec::new();
            for name in &names {
                ids.push(asked.org_named(name).await?);
            }
            asked.confirm(&format!("Delete {}, with all groups, things and keys in it", names.join(", ")))?;
            let request = asked.client.patch("/orgs").json(&json!({"org_ids": ids}));
            let done = asked.change("delete the organisation", request).await?;
            asked.done(&format!("{} deleted", names.join(", ")), COLUMNS, done.as_ref())
        }
        _ => {
            let id = asked.org_named(given.required("ORG")).await?;
            hand_over(asked, &format!("/orgs/{id}"), "org_memberships").await
        }
    }
}

/// Changes what was given; the rest stays. It must still be as it was read.
pub(super) async fn update(
    asked: &Asked<'_>,
    noun: &str,
    path: &str,
    columns: &'static [Column],
) -> Result<(), Failure> {
    let what = format!("change the {noun}");
    let (before, tag) = asked.tagged(&what, path).await?;
    let mut body = Map::new();
    body.insert("name".to_owned(), text(&before, "name").into());
    asked.given.fill(
        &mut body,
        &[("name", "name"), ("description", "description"), ("type", "type"), ("key", "key")],
    );
    asked.given.fill_objects(&mut body, &["metadata", "config"])?;
    if asked.given.flag("no-config") {
        body.insert("config".to_owned(), Value::Null);
    }
    let after = asked.change(&what, asked.client.put(path).if_match(&tag).json(&body)).await?;
    asked.done(&format!("{noun} {} is changed", text(&before, "name")), columns, after.as_ref())
}

pub(super) async fn hand_over(asked: &Asked<'_>, place: &str, items: &'static str) -> Result<(), Failure> {
    let to = asked.given.required("to");
    let member = asked.member_named(place, items, to).await?;
    asked.confirm(&format!("Make {to} the owner in your place"))?;
    let request = asked.client.post(&format!("{place}/owner")).json(&json!({"member_id": member}));
    let done = asked.make("hand it over", request).await?;
    asked.done(&format!("{to} is the owner now"), &[], done.as_ref())
}

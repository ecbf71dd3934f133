//! `things journal`.

use std::collections::BTreeMap;

use clap::Command;
use serde_json::Value;

use super::{
    Failure,
    asked::{Asked, PAGE, text},
    given::{list, option},
    names::is_id,
    output::{Column, Form},
};

const COLUMNS: &[Column] = &[
    Column::new("at", "AT"),
    Column::new("action", "ACTION"),
    Column::new("subject", "SUBJECT"),
    Column::new("actor", "BY"),
    Column::new("changes", "CHANGES"),
    Column::wide("id", "ID"),
    Column::wide("via", "VIA"),
    Column::wide("org_id", "ORGANISATION"),
    Column::wide("group_id", "GROUP"),
    Column::wide("request_id", "REQUEST"),
];

pub(super) fn command() -> Command {
    Command::new("journal")
        .about("What happened, where you are an admin")
        .subcommand_required(true)
        .subcommand(
            list("List it, of --org or --group or all of yours; the newest first", &["id"])
                .arg(option(
                    "actor",
                    "WHO",
                    "By this account: its id, or the address of a member of --org or --group",
                ))
                .arg(option("action", "ACTION", "Only this, like thing.created"))
                .arg(option(
                    "subject",
                    "WHAT",
                    "About this: its id, or its kind and name, like 'thing Boiler room'",
                ))
                .arg(option("since", "TIME", "Not before: 2026-01-31T12:00:00Z"))
                .arg(option("until", "TIME", "Before this time")),
        )
}

/// Where it is read: a place with members, whose list is under this name.
type Place = Option<(String, &'static str)>;

pub(super) async fn run(asked: &Asked<'_>) -> Result<(), Failure> {
    let given = &asked.given;
    // A group says more than its organisation, which is then only where to look for its name.
    let group = asked.group().await?;
    let org = if group.is_none() { asked.org().await? } else { None };
    let place: Place = match (&group, &org) {
        (Some(group), _) => Some((format!("/groups/{group}"), "group_memberships")),
        (None, Some(org)) => Some((format!("/orgs/{org}"), "org_memberships")),
        (None, None) => None,
    };
    let actor = match given.text("actor") {
        Some(who) => Some(account(asked, &place, who).await?),
        None => None,
    };
    let subject = match given.text("subject") {
        Some(what) => Some(subject(asked, &place, what).await?),
        None => None,
    };
    let mut request = asked.client.get("/journal").query_opt("group", group).query_opt("org", org);
    request = request.query_opt("actor", actor).query_opt("subject", subject);
    for filter in ["action", "since", "until"] {
        request = request.query_opt(filter, given.text(filter));
    }
    let addresses = addresses(asked, &place).await;
    let named = |entry: &mut Value| {
        let Some(actor) = entry.get_mut("actor") else { return };
        let address = addresses.get(text(actor, "id")).cloned();
        if let (Some(address), Some(members)) = (address, actor.as_object_mut()) {
            members.insert("name".to_owned(), address.into());
        }
    };
    asked.list_as("read the journal", request, "entries", COLUMNS, named).await
}

/// An account by its id; else by its address, among the members of the place, or one's own.
async fn account(asked: &Asked<'_>, place: &Place, who: &str) -> Result<String, Failure> {
    if is_id(who) {
        return Ok(who.to_owned());
    }
    if let Some((path, items)) = place {
        return asked.member_named(path, items, who).await;
    }
    let me = asked.read("ask who you are", "/users/profile").await?;
    if text(&me, "email").eq_ignore_ascii_case(who) {
        return Ok(text(&me, "id").to_owned());
    }
    Err(Failure::Usage(format!(
        "say of what {who} is a member, by --org or --group, or give the account's id"
    )))
}

/// An object by its id; else by its kind and name, as the list shows it. What is deleted has only its id.
async fn subject(asked: &Asked<'_>, place: &Place, what: &str) -> Result<String, Failure> {
    if is_id(what) {
        return Ok(what.to_owned());
    }
    let (kind, name) = what.split_once(' ').unwrap_or((what, ""));
    match kind {
        "org" => asked.org_named(name).await,
        "group" => asked.group_named(name).await,
        "profile" => asked.profile_named(name).await,
        "thing" => asked.thing_named(name).await,
        "user" => account(asked, place, name).await,
        _ => Err(Failure::Usage(format!(
            "--subject {what}: write an id, or a kind and a name, like 'thing Boiler room'; kinds are org, group, profile, \
             thing and user"
        ))),
    }
}

/// The addresses of those who may have done it, by id, as far as one request tells them: the members of the place, or
/// oneself. Programs get the server's answer as it is.
async fn addresses(asked: &Asked<'_>, place: &Place) -> BTreeMap<String, String> {
    if !matches!(asked.out.form, Form::Table | Form::Csv) {
        return BTreeMap::new();
    }
    let (people, id) = match place {
        Some((path, items)) => {
            let members = asked.client.get(&format!("{path}/memberships")).query("limit", PAGE.to_string());
            let page = members.pages(items).next::<Value>().await;
            // Without addresses there are ids.
            (page.ok().flatten().map(|page| page.items).unwrap_or_default(), "member_id")
        }
        None => (asked.client.get("/users/profile").read().await.ok().into_iter().collect(), "id"),
    };
    let known = people.iter().filter(|person| !text(person, "email").is_empty());
    known.map(|person| (text(person, id).to_owned(), text(person, "email").to_owned())).collect()
}

//! `things member`: of an organisation, or of a group.

use clap::{Arg, Command};
use serde_json::{Value, json};

use super::{
    Failure,
    asked::{Asked, text},
    given::{change, list, option, verb, word, words},
    names::is_id,
    output::Column,
};

pub(super) const ROLES: [&str; 4] = ["viewer", "editor", "admin", "owner"];

const COLUMNS: &[Column] =
    &[Column::new("member_id", "ID"), Column::new("email", "E-MAIL"), Column::new("role", "ROLE")];

fn role() -> Arg {
    option("role", "ROLE", "viewer, editor, admin or owner").value_parser(ROLES)
}

pub(super) fn command() -> Command {
    Command::new("member")
        .about("Members of --group, or of --org where no group is given")
        .subcommand_required(true)
        .subcommand(
            list("List them", &["id", "email"])
                .arg(option("email", "TEXT", "Part of the address"))
                .arg(role().help("Only with this role")),
        )
        .subcommand(verb("show", "Show one").arg(word("MEMBER", "An e-mail address or id")))
        .subcommand(
            change("create", "Take people with an account in")
                .visible_alias("add")
                .arg(words("MEMBER", "E-mail addresses or ids"))
                .arg(role().required(true)),
        )
        .subcommand(
            change("update", "Change roles")
                .arg(words("MEMBER", "E-mail addresses or ids"))
                .arg(role().required(true)),
        )
        .subcommand(
            change("delete", "Remove people; from an organisation: from its groups too")
                .visible_alias("remove")
                .arg(words("MEMBER", "E-mail addresses or ids")),
        )
}

pub(super) async fn run(asked: &Asked<'_>) -> Result<(), Failure> {
    let given = &asked.given;
    let (place, items) = match asked.group().await? {
        Some(group) => (format!("/groups/{group}"), "group_memberships"),
        None => match asked.org().await? {
            Some(org) => (format!("/orgs/{org}"), "org_memberships"),
            None => return Err(Failure::Usage("say of what: --org or --group".to_owned())),
        },
    };
    let path = format!("{place}/memberships");
    let who = given.texts("MEMBER");
    let with_role = |who: &[&str]| {
        let role = given.required("role");
        let members: Vec<Value> = who
            .iter()
            .map(|who| json!({ (if is_id(who) { "member_id" } else { "email" }): who, "role": role }))
            .collect();
        json!({ items: members })
    };
    match given.word(1) {
        "list" => {
            let request = asked.client.get(&path).query_opt("email", given.text("email"));
            let request = request.query_opt("role", given.text("role"));
            asked.list("list members", request, items, COLUMNS).await
        }
        "show" => {
            let id = asked.member_named(&place, items, given.required("MEMBER")).await?;
            let what = "show the member";
            let all = asked.client.get(&path).query("limit", "1000").pages(items);
            let all: Vec<Value> =
                all.collect(100_000).await.map_err(|error| Failure::asking(what, &error))?;
            let member = all.iter().find(|member| text(member, "member_id") == id);
            let member =
                member.ok_or_else(|| Failure::not_found(format!("cannot {what}: {id} is no member")))?;
            asked.out.object(COLUMNS, member)
        }
        "create" => {
            let made = asked.make("add the member", asked.client.post(&path).json(&with_role(&who))).await?;
            taken(asked, &format!("{} added", who.join(", ")), items, made.as_ref())
        }
        "update" => {
            let request = asked.client.put(&path).json(&with_role(&who));
            let changed = asked.change("change the role", request).await?;
            taken(
                asked,
                &format!("{}: {} now", who.join(", "), given.required("role")),
                items,
                changed.as_ref(),
            )
        }
        _ => {
            let mut ids = Vec::new();
            for who in &who {
                ids.push(asked.member_named(&place, items, who).await?);
            }
            asked.confirm(&format!("Remove {}", who.join(", ")))?;
            let request = asked.client.patch(&path).json(&json!({"member_ids": ids}));
            let done = asked.change("remove the member", request).await?;
            asked.done(&format!("{} removed", who.join(", ")), COLUMNS, done.as_ref())
        }
    }
}

/// Tells of members that the answer lists.
fn taken(asked: &Asked<'_>, sentence: &str, items: &str, answer: Option<&Value>) -> Result<(), Failure> {
    let Some(answer) = answer else { return Ok(()) };
    let members = answer.get(items).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    asked.all_done(sentence, COLUMNS, members)
}

//! `things invite`.

use clap::{ArgAction, Command};
use serde_json::{Map, Value, json};

use super::{
    Failure,
    answers::Change,
    asked::{Asked, PAGE, text},
    given::{change, list, option, switch, verb, word, words},
    members::ROLES,
    names::is_id,
    output::Column,
};

const COLUMNS: &[Column] = &[
    Column::new("id", "ID"),
    Column::new("state", "STATE"),
    Column::new("kind", "KIND"),
    Column::new("invitee_email", "INVITED"),
    Column::new("invitee_role", "ROLE"),
    Column::new("org_name", "ORGANISATION"),
    Column::new("group_name", "GROUP"),
    Column::new("expires_at", "EXPIRES"),
    Column::wide("inviter_email", "INVITED BY"),
    Column::wide("dormant", "SLEEPS"),
    Column::wide("created_at", "CREATED"),
];

pub(super) fn command() -> Command {
    let invite = || words("INVITE", "Their ids, or the addresses that are invited");
    let offer = || words("INVITE", "Their ids, or the names of what they invite to");
    Command::new("invite")
        .about("Invites: how people come in")
        .subcommand_required(true)
        .subcommand(
            list(
                "List the invites you received; or, with --sent, --group, --org or --platform, others",
                &["id", "created_at"],
            )
            .arg(switch("sent", "Those that you sent"))
            .arg(
                switch("platform", "All of them, as an administrator of the platform").conflicts_with("sent"),
            )
            .arg(
                option("state", "STATE", "pending, accepted, declined, revoked or expired")
                    .value_parser(["pending", "accepted", "declined", "revoked", "expired"]),
            )
            .arg(option("kind", "KIND", "org, group or platform").value_parser(["org", "group", "platform"])),
        )
        .subcommand(verb("show", "Show one").arg(word("INVITE", "Its id, or the address that is invited")))
        .subcommand(
            change("create", "Invite people to --group, or to --org; with neither, to the platform")
                .arg(words("EMAIL", "Their addresses"))
                .arg(option("role", "ROLE", "viewer, editor, admin or owner").value_parser(ROLES))
                .arg(
                    option(
                        "group-role",
                        "GROUP=ROLE",
                        "And to this group of the organisation; can be repeated",
                    )
                    .action(ArgAction::Append),
                ),
        )
        .subcommand(change("accept", "Accept some").arg(offer()))
        .subcommand(change("decline", "Decline some").arg(offer()))
        .subcommand(change("revoke", "Take some back").visible_alias("delete").arg(invite()))
        .subcommand(change("resend", "Mail some again; their time begins anew").arg(invite()))
}

pub(super) async fn run(asked: &Asked<'_>) -> Result<(), Failure> {
    let given = &asked.given;
    match given.word(1) {
        "list" => {
            let request = asked.client.get(&listed(asked, given.flag("sent")).await?);
            let request =
                request.query_opt("state", given.text("state")).query_opt("kind", given.text("kind"));
            asked.list("list invites", request, "invites", COLUMNS).await
        }
        "show" => {
            let id = named(asked, given.required("INVITE"), false).await?;
            let invite = asked.read("show the invite", &format!("/invites/{id}")).await?;
            asked.out.object(COLUMNS, &invite)
        }
        "create" => create(asked).await,
        verb => {
            let names = given.texts("INVITE");
            let mut ids = Vec::new();
            for name in &names {
                ids.push(named(asked, name, ["accept", "decline"].contains(&verb)).await?);
            }
            if verb == "revoke" {
                asked.confirm(&format!("Take back {}", names.join(", ")))?;
            }
            let past = match verb {
                "accept" => "accepted",
                "decline" => "declined",
                "revoke" => "revoked",
                _ => "sent again",
            };
            let mut ids = ids.iter();
            let prepare = async |name: &str| {
                let id = ids.next().map(String::as_str).unwrap_or_default();
                let request = match verb {
                    "revoke" => asked.client.delete(&format!("/invites/{id}")),
                    _ => asked.once(asked.client.post(&format!("/invites/{id}/{verb}")))?,
                };
                let (what, done) = (format!("{verb} {name}"), format!("{name} is {past}"));
                Ok(Change { what, request, done, tells_id: false })
            };
            asked.each(COLUMNS, &names, prepare).await
        }
    }
}

/// The list that is meant.
async fn listed(asked: &Asked<'_>, sent: bool) -> Result<String, Failure> {
    if asked.given.flag("platform") {
        return Ok("/invites".to_owned());
    }
    if let Some(group) = asked.group().await? {
        return Ok(format!("/groups/{group}/invites"));
    }
    if let Some(org) = asked.org().await? {
        return Ok(format!("/orgs/{org}/invites"));
    }
    mine(asked, sent).await
}

async fn mine(asked: &Asked<'_>, sent: bool) -> Result<String, Failure> {
    let me = asked.read("list invites", "/users/profile").await?;
    let which = if sent { "sent" } else { "received" };
    Ok(format!("/users/{}/invites/{which}", text(&me, "id")))
}

/// The invite of that id; else the one to that address, among those of --group or --org, or sent; of those received the
/// one to what has that name. One that waits for an answer is meant before others.
async fn named(asked: &Asked<'_>, name: &str, received: bool) -> Result<String, Failure> {
    if is_id(name) {
        return Ok(name.to_owned());
    }
    let list = if received { mine(asked, false).await? } else { listed(asked, true).await? };
    let pages = asked.client.get(&list).query("limit", PAGE.to_string()).pages("invites");
    let what = format!("look for the invite {name}");
    let mut all: Vec<Value> = pages.collect(10_000).await.map_err(|error| Failure::asking(&what, &error))?;
    all.retain(|invite| match (received, text(invite, "kind")) {
        (false, _) => text(invite, "invitee_email").eq_ignore_ascii_case(name),
        (true, kind) => text(invite, &format!("{kind}_name")) == name,
    });
    // A group's invite that sleeps came along with the organisation's, which stands for both.
    let sleeps = |invite: &Value| {
        text(invite, "kind") == "group" && invite.get("dormant").and_then(Value::as_bool).unwrap_or_default()
    };
    if !all.iter().all(sleeps) {
        all.retain(|invite| !sleeps(invite));
    }
    let waiting: Vec<&Value> = all.iter().filter(|invite| text(invite, "state") == "pending").collect();
    match (waiting.as_slice(), all.as_slice()) {
        (&[one], _) | ([], [one]) => Ok(text(one, "id").to_owned()),
        ([], []) => Err(Failure::not_found(format!(
            "there is no invite {} {name} among those {}\n  `things invite list` shows them; --org or --group says where else to look",
            if received { "to" } else { "of" },
            if received { "that you received" } else { "that you sent, or of the place that is given" },
        ))),
        _ => {
            let told =
                all.iter().map(|invite| format!("\n  {}  {}", text(invite, "id"), text(invite, "state")));
            let told: String = told.collect();
            Err(Failure::Usage(format!("several invites are meant by {name}; say which by its id{told}")))
        }
    }
}

async fn create(asked: &Asked<'_>) -> Result<(), Failure> {
    let given = &asked.given;
    let emails = given.texts("EMAIL");
    let mut body: Map<String, Value> = Map::new();
    given.fill(&mut body, &[("role", "role")]);
    let mut offers = Vec::new();
    for offer in given.texts("group-role") {
        let (group, role) = offer.rsplit_once('=').ok_or_else(|| {
            Failure::Usage(format!("--group-role {offer}: write GROUP=ROLE, like `Floor 2=editor`"))
        })?;
        offers.push(json!({"group_id": asked.group_named(group).await?, "member_role": role}));
    }
    let with_offers = !offers.is_empty();
    if with_offers {
        body.insert("group_invites".to_owned(), offers.into());
    }
    let needs_role = || match given.text("role") {
        Some(_) => Ok(()),
        None => Err(Failure::Usage("say with which role: --role".to_owned())),
    };
    let path = if let Some(group) = asked.group().await? {
        needs_role()?;
        if with_offers {
            return Err(Failure::Usage(
                "--group-role goes with an invite to --org, not to --group".to_owned(),
            ));
        }
        format!("/groups/{group}/invites")
    } else if let Some(org) = asked.org().await? {
        needs_role()?;
        format!("/orgs/{org}/invites")
    } else {
        "/invites".to_owned()
    };
    let prepare = async |email: &str| {
        body.insert("email".to_owned(), email.into());
        let request = asked.once(asked.client.post(&path).json(&body))?;
        let (what, done) = (format!("invite {email}"), format!("{email} is invited"));
        Ok(Change { what, request, done, tells_id: true })
    };
    asked.each(COLUMNS, &emails, prepare).await
}

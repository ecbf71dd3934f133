//! `things journal`.

use clap::Command;

use super::{
    Failure,
    asked::Asked,
    given::{list, option},
    output::Column,
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
                .arg(option("actor", "ID", "By this account"))
                .arg(option("action", "ACTION", "Only this, like thing.created"))
                .arg(option("subject", "ID", "About this"))
                .arg(option("since", "TIME", "Not before: 2026-01-31T12:00:00Z"))
                .arg(option("until", "TIME", "Before this time")),
        )
}

pub(super) async fn run(asked: &Asked<'_>) -> Result<(), Failure> {
    let given = &asked.given;
    // A group says more than its organisation, which is then only where to look for its name.
    let group = asked.group().await?;
    let org = if group.is_none() { asked.org().await? } else { None };
    let mut request = asked.client.get("/journal").query_opt("group", group).query_opt("org", org);
    for filter in ["actor", "action", "subject", "since", "until"] {
        request = request.query_opt(filter, given.text(filter));
    }
    asked.list("read the journal", request, "entries", COLUMNS).await
}

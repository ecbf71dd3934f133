//! The table: what every persona is answered, on a target of their own where the operation changes it.

use std::{collections::BTreeMap, collections::BTreeSet, fmt::Write};

use registry::{
    Dir, PageQuery,
    journal::{JournalFilter, JournalOrder},
};
use serde_json::Value;

use crate::{
    app::{Engine, Reply, Send, start_open},
    persona::Persona,
    row::{At, Fresh, Row},
    rows::rows,
    stage::{Place, Stage},
};

const LEGEND: &str = "\
- a list without what it was asked about: the home's org, group, profile, thing; the member, account,
  token or invite in question; for the journal, an entry about the home's group
@ shows somebody's e-mail address    * shows a secret: a key, a token

";

/// The whole matrix on one engine, as text.
pub async fn table(engine: Engine) -> String {
    let server = start_open(engine).await;
    let stage = Stage::on(&server).await;
    let mut text = LEGEND.to_owned() + &line("", "", &Persona::ALL.map(|(_, title)| title.to_owned()));
    let mut asked = BTreeMap::new();
    for (index, row) in rows().iter().enumerate() {
        let cells = if row.fresh == Fresh::Stage {
            cross(index, row, &Stage::on(&server).await, &mut asked).await
        } else {
            cross(index, row, &stage, &mut asked).await
        };
        text += &line(row.operation, row.note, &cells);
    }
    changes_are_in_the_journal_and_refusals_are_not(&stage, &asked).await;
    text
}

/// What was asked for under a request id, by whom, and whether it was done.
type Asked = BTreeMap<String, (Row, Persona, u16)>;

/// One row: every persona's request.
async fn cross(index: usize, row: &Row, stage: &Stage<'_>, asked: &mut Asked) -> Vec<String> {
    let mut places = places(row.fresh, stage).await.into_iter();
    let mut cells = Vec::new();
    for (persona, _) in Persona::ALL {
        let place = places.next().unwrap_or(stage.home);
        let at = At::of(row, stage, persona, place).await;
        let credential = stage.credential(persona, place).await;
        let request_id = format!("matrix-{index}-{persona:?}");
        let request = row.request(stage, &at, credential.as_deref()).header("x-request-id", &request_id);
        let reply = request.reply().await;
        assert!(reply.status < 500, "{} by {persona:?}: {reply:?}", row.operation);
        cells.push(cell(&reply, &at));
        asked.insert(request_id, (*row, persona, reply.status));
    }
    cells
}

/// A place for each persona, made in as few transactions as there can be.
pub async fn places(fresh: Fresh, stage: &Stage<'_>) -> Vec<Place> {
    let (home, count) = (stage.home, Persona::ALL.len());
    let mut places = Vec::new();
    match fresh {
        Fresh::Nothing | Fresh::Stage => {}
        Fresh::Thing => {
            // On another profile than the place's, so that moving them there is a change.
            let elsewhere = stage.profiles(home.group, 1).await[0];
            let things = stage.things(elsewhere, count).await;
            places.extend(things.into_iter().map(|made| Place { thing: made.thing.id, ..home }));
        }
        Fresh::Profile => {
            let profiles = stage.profiles(home.group, count).await;
            places.extend(profiles.into_iter().map(|profile| Place { profile, ..home }));
        }
        Fresh::Group => {
            for group in stage.groups(home.org, count).await {
                places.push(stage.furnish(home.org, group).await.0);
            }
        }
        Fresh::Org => {
            for _ in 0..count {
                let org = stage.org().await;
                let group = stage.groups(org, 1).await[0];
                places.push(Place { org, group, ..home });
            }
        }
    }
    places
}

fn line(operation: &str, note: &str, cells: &[String]) -> String {
    let what = if note.is_empty() { operation.to_owned() } else { format!("{operation} ({note})") };
    let mut line = format!("{what:<52}");
    for cell in cells {
        write!(line, " {cell:<8}").unwrap();
    }
    line.truncate(line.trim_end().len());
    line + "\n"
}

/// The status, and what the answer shows.
fn cell(reply: &Reply, at: &At) -> String {
    let mut cell = reply.status.to_string();
    if reply.header("content-type") == "application/x-ndjson" {
        // What is cut off tells nothing.
        let last = reply.text.lines().last().unwrap();
        assert!(["\"done\"", "\"end\""].iter().any(|end| last.contains(end)), "{last}");
        if reply.text.contains("thk_") {
            cell.push('*');
        }
        return cell;
    }
    let is_json = reply.header("content-type").starts_with("application/json");
    let Ok(body) = serde_json::from_str::<Value>(&reply.text) else { return cell };
    if !is_json || body.get("openapi").is_some() {
        return cell;
    }
    if body.get("total").is_some() {
        let asked_about = [
            ("orgs", at.place.org.uuid()),
            ("groups", at.place.group.uuid()),
            ("profiles", at.place.profile.uuid()),
            ("things", at.place.thing.uuid()),
            ("users", at.user.uuid()),
            ("org_memberships", at.user.uuid()),
            ("group_memberships", at.user.uuid()),
            ("keys", at.token.uuid()),
            ("invites", at.invite.uuid()),
            ("entries", at.place.group.uuid()),
            ("failed_checks", at.place.thing.uuid()),
        ];
        let (list, id) = asked_about.iter().find(|(list, _)| body.get(list).is_some()).unwrap();
        if !body[list].to_string().contains(&id.to_string()) {
            cell.push('-');
        }
    }
    if reply.text.contains("@example.com") {
        cell.push('@');
    }
    if ["thk_", "ses_", "pat_", "rst_", "inv_"].iter().any(|prefix| reply.text.contains(prefix)) {
        cell.push('*');
    }
    cell
}

/// Refusing is more than a status, and so is succeeding: the journal tells what happened.
async fn changes_are_in_the_journal_and_refusals_are_not(stage: &Stage<'_>, asked: &Asked) {
    let registry = &stage.server.registry;
    let mut told = BTreeSet::new();
    let mut next = None;
    loop {
        let query = PageQuery::new(Some(1000), None, next, JournalOrder, Dir::Asc).unwrap();
        let page = registry.list_journal(&stage.root(), &JournalFilter::default(), &query).await.unwrap();
        told.extend(page.items.into_iter().map(|entry| entry.request_id));
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    for (id, (row, persona, status)) in asked {
        // Revealing a key changes nothing, nor does a backup, and both are told all the same.
        let reveals = ["GET /things/{id}/key", "GET /backup"].contains(&row.operation);
        let tells = *status < 400 && (row.writes() || reveals);
        assert_eq!(told.contains(id), tells, "{} by {persona:?} answered {status}", row.operation);
    }
}

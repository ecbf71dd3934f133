//! The program is killed in the middle of imports, again and again.

use std::{
    collections::HashSet,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use reqwest::Client;
use serde_json::{Value, json};

use crate::app::{Engine, databases, engines};

const ROWS: usize = 2_500;
const ROUNDS: u32 = 50;
const PASSWORD: &str = "correct horse battery staple";

/// The program, on this database; killed when dropped.
struct Program {
    child: Child,
    url: String,
}

impl Drop for Program {
    fn drop(&mut self) {
        // SIGKILL: nothing is said or finished.
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Program {
    fn start(dir: &Path, database: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_things"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("THINGS_")) {
            command.env_remove(name);
        }
        for listener in ["THINGS_HTTP", "THINGS_METRICS", "THINGS_GRPC", "THINGS_HOOKS"] {
            command.env(listener, "127.0.0.1:0");
        }
        command.env("THINGS_DATABASE_URL", database).env("THINGS_ADMIN_PASSWORD", PASSWORD);
        let mut child = command
            .current_dir(dir)
            .args(["serve", "--log", "error"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let banner = BufReader::new(child.stdout.take().unwrap());
        let api =
            banner.lines().map(Result::unwrap).find(|line| line.trim_start().starts_with("API")).unwrap();
        let url = api.split_whitespace().nth(1).unwrap().to_owned();
        Self { child, url }
    }
}

/// Somebody who asks the program that is there.
struct Asking<'p> {
    http: &'p Client,
    program: &'p Program,
    token: String,
}

impl<'p> Asking<'p> {
    async fn new(http: &'p Client, program: &'p Program) -> Self {
        let log_in = json!({ "email": "admin@example.com", "password": PASSWORD });
        let answer = http.post(format!("{}/tokens", program.url)).json(&log_in).send().await.unwrap();
        let session: Value = answer.json().await.unwrap();
        Self { http, program, token: session["token"].as_str().unwrap().to_owned() }
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        let request =
            self.http.post(format!("{}{path}", self.program.url)).bearer_auth(&self.token).json(body);
        request.send().await.unwrap().json().await.unwrap()
    }

    fn import(&self, group: &str, profile: &str, partial: bool) -> reqwest::RequestBuilder {
        let url =
            format!("{}/groups/{group}/import?profile_id={profile}&partial={partial}", self.program.url);
        let rows: String = (0..ROWS).map(|n| format!("n{n},SN-{group}-{n}\n")).collect();
        self.http
            .post(url)
            .bearer_auth(&self.token)
            .header("content-type", "text/csv")
            .header("idempotency-key", "the-same")
            .body(format!("name,external_key\n{rows}"))
    }
}

#[tokio::test]
async fn a_killed_import_is_whole_or_not_there_and_goes_on() {
    for engine in engines() {
        rounds(engine).await;
    }
}

async fn rounds(engine: Engine) {
    let (dir, database) = (tempfile::tempdir().unwrap(), databases::empty(engine).await);
    let http = Client::builder().no_proxy().build().unwrap();
    let mut program = Program::start(dir.path(), database.url());
    let (mut cut, mut took) = (0, Duration::from_millis(500));
    for round in 0..=ROUNDS {
        let (group, profile, partial) = {
            let asking = Asking::new(&http, &program).await;
            let org =
                asking.post("/orgs", &json!({ "name": "an org" })).await["id"].as_str().unwrap().to_owned();
            let made = asking.post(&format!("/orgs/{org}/groups"), &json!([{ "name": "g" }])).await;
            let group = made["groups"][0]["id"].as_str().unwrap().to_owned();
            let made = asking.post(&format!("/groups/{group}/profiles"), &json!([{ "name": "p" }])).await;
            let profile = made["profiles"][0]["id"].as_str().unwrap().to_owned();
            let partial = round % 2 == 1;
            let request = asking.import(&group, &profile, partial);
            let begun = Instant::now();
            let answer = tokio::spawn(async move { request.send().await?.text().await });
            if round == 0 {
                // How long it takes when nobody comes in between.
                answer.await.unwrap().unwrap();
                took = begun.elapsed();
                continue;
            }
            // Spread over all of it, a little beyond its end, evenly and never twice alike.
            let share = f64::from(round) * 0.618_033_988_75 % 1.0;
            tokio::time::sleep(took.mul_f64(share * 1.1)).await;
            (group, profile, partial)
        };
        drop(program);
        let id = database.literal(group.parse::<registry::GroupId>().unwrap().uuid());
        let left = database.number(format!("SELECT count(*) FROM things WHERE group_id = {id}")).await;
        let left = usize::try_from(left).unwrap();
        match partial {
            true => assert!(left == ROWS || left.is_multiple_of(1_000), "{engine:?} {round}: {left}"),
            false => assert!(left == ROWS || left == 0, "{engine:?} {round}: {left} of all or nothing"),
        }
        cut += usize::from(left < ROWS);

        program = Program::start(dir.path(), database.url());
        let asking = Asking::new(&http, &program).await;
        let answer = asking.import(&group, &profile, partial).send().await.unwrap();
        let text = answer.text().await.unwrap();
        let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let last = events.last().unwrap();
        assert!(last.get("event").is_some(), "{engine:?} {round}, {left} left: {text}");
        assert_eq!((&last["event"], &last["created"]), (&json!("done"), &json!(ROWS)), "{engine:?} {round}");
        let created: Vec<&Value> = events.iter().filter(|event| event["event"] == "created").collect();
        let keys: HashSet<&str> = created.iter().map(|event| event["key"].as_str().unwrap()).collect();
        let ids: HashSet<&str> = created.iter().map(|event| event["id"].as_str().unwrap()).collect();
        assert_eq!((created.len(), keys.len(), ids.len()), (ROWS, ROWS, ROWS));
        let things = database.number(format!("SELECT count(*) FROM things WHERE group_id = {id}")).await;
        assert_eq!(usize::try_from(things).unwrap(), ROWS);
        for event in [created[0], created[left.min(ROWS - 1)], created[ROWS - 1]] {
            let asked = asking.post("/identify", &json!({ "key": event["key"] })).await;
            assert_eq!(asked["id"], event["id"], "{engine:?} {round}: {asked}");
        }
    }
    assert!(cut > 5, "{engine:?}: only {cut} imports were cut off");
}

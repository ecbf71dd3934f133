//! Files that are not what they should be: each is refused with the place and the reason, and leaves the database
//! as it was, row for row.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    app::{Client, Running, Send, engines, start},
    file::File,
    scene::{Scene, refusal, send},
};

/// A file, and what its refusal has to say: where and why.
struct Case {
    name: &'static str,
    file: Vec<u8>,
    place: String,
    reason: &'static str,
}

fn case(
    name: &'static str,
    file: impl Into<Vec<u8>>,
    place: impl Into<String>,
    reason: &'static str,
) -> Case {
    Case { name, file: file.into(), place: place.into(), reason }
}

/// Files that are damaged or not ours: found before any row is looked at.
fn as_a_whole(text: &str) -> Vec<Case> {
    let good = File::parse(text);
    let lines: Vec<&str> = text.lines().collect();
    let count = lines.len();
    let without_end = lines[..count - 1].join("\n") + "\n";
    let mut flipped = text.as_bytes().to_vec();
    let at = text.find("Küche").unwrap();
    flipped[at] ^= 1;
    let head = |field: &str, value: Value| {
        let mut file = good.clone();
        *file.head.pointer_mut(field).unwrap() = value;
        file.sealed_as_it_is()
    };
    let counts = |change: fn(&mut serde_json::Map<String, Value>)| {
        let mut file = good.clone();
        change(file.head["counts"].as_object_mut().unwrap());
        file.sealed_as_it_is()
    };
    let end = format!("line {count}");
    let wrong_rows =
        text.replace(&format!("{{\"end\":true,\"rows\":{}", count - 2), "{\"end\":true,\"rows\":7");
    let mut huge = good.clone();
    let huge_line = huge.replace(
        "things",
        format!("{{\"table\":\"things\",\"row\":{{\"id\":\"{}\"}}}}", "x".repeat(2 << 20)),
    );
    vec![
        case("nothing", "", "line 1", "neither our backup nor Mainflux's"),
        case("no JSON", "hello", "line 1", "neither our backup nor Mainflux's"),
        case("a compressed one", vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3], "line 1", "neither"),
        case("cut in a line", &text[..text.len() / 2], "line ", "cut off"),
        case("cut after a line", without_end.clone(), end.clone(), "the end line is missing"),
        case("only a head", format!("{}\n", lines[0]), "line 2", "the end line is missing"),
        case("no line end at the end", text.trim_end(), end.clone(), "cut off"),
        case("a flipped bit", flipped, format!("{end}: mac"), "altered or damaged"),
        case("another digest", text.replace("\"mac\":\"", "\"mac\":\"A"), format!("{end}: mac"), "altered"),
        case("digest of another pepper", good.sealed_by(&[1; 32]), format!("{end}: mac"), "altered"),
        case(
            "another pepper",
            head("/keyring/check", json!("A".repeat(43))),
            "line 1: keyring.check",
            "other keys",
        ),
        case(
            "another pepper's id",
            head("/keyring/pepper", json!("p2")),
            "line 1: keyring.check",
            "other keys",
        ),
        case(
            "another kek",
            head("/keyring/kek_check", json!("A".repeat(60))),
            "line 1: keyring.kek_check",
            "other keys",
        ),
        case(
            "another format",
            head("/format", json!("things-backup/2")),
            "line 1: format",
            "things-backup/1",
        ),
        case("a newer schema", head("/schema", json!(999)), "line 1: schema", "another version"),
        case("an older schema", head("/schema", json!(3)), "line 1: schema", "another version"),
        case("too many rows said", head("/rows", json!(count)), "line 1", "must"),
        case("not as many rows at the end", wrong_rows, format!("{end}: rows"), "number of lines"),
        case(
            "something after the end",
            format!("{text}{{}}\n"),
            format!("line {}", count + 1),
            "nothing may follow",
        ),
        case("a second backup", format!("{text}{text}"), format!("line {}", count + 1), "nothing may follow"),
        case(
            "a table of the engine",
            counts(|c| drop(c.insert("sqlite_master".into(), json!(0)))),
            "line 1: counts",
            "no part",
        ),
        case(
            "a table that is left out",
            counts(|c| drop(c.insert("sessions".into(), json!(0)))),
            "line 1: counts",
            "no part",
        ),
        case(
            "counts that do not add up",
            counts(|c| drop(c.insert("things".into(), json!(1)))),
            "line 1: counts",
            "add up",
        ),
        case(
            "counts beyond all",
            counts(|c| drop(c.insert("things".into(), json!(u64::MAX)))),
            "line 1: counts",
            "add up",
        ),
        case(
            "a field that the head has not",
            head("/keyring", json!({ "x": 1 })),
            "line 1",
            "head of a backup",
        ),
        case("a line of two megabytes", huge.sealed(), format!("line {huge_line}"), "longer than"),
    ]
}

/// Files with the right digest whose rows are wrong by themselves.
fn row_by_row(text: &str) -> Vec<Case> {
    let good = File::parse(text);
    let mut cases = Vec::new();
    let mut edit = |name, table: &str, field: &str, value: Value, reason| {
        let mut file = good.clone();
        let line = file.edit(table, |row| row[field] = value);
        cases.push(case(name, file.sealed(), format!("line {line}: {table}.{field}"), reason));
    };
    let deep = format!("{}1{}", "{\"a\":".repeat(40), "}".repeat(40));
    edit("a field too many", "things", "is_admin", json!(true), "is not a field");
    edit("an id in SQL", "groups", "id", json!("x'; DROP TABLE users; --"), "UUID");
    edit("an id in capitals", "groups", "id", json!("01890000-0000-7000-8000-00000000000A"), "UUID");
    edit("an id that is a number", "groups", "id", json!(7), "must be a string");
    edit("an unknown role in a group", "group_memberships", "role", json!("god"), "one of viewer");
    edit("no role in a group", "group_memberships", "role", Value::Null, "must not be null");
    edit("an unknown role in an organisation", "org_memberships", "role", json!("root"), "one of viewer");
    edit("an unknown role on the platform", "users", "platform_role", json!("god"), "one of root, admin");
    edit("an unknown status", "users", "status", json!("maybe"), "one of enabled, disabled");
    edit("an unknown type", "things", "type", json!("drone"), "one of device");
    edit("a pending invite", "org_invites", "state", json!("pending"), "one of accepted");
    edit("an unknown state", "org_invites", "state", json!("won"), "one of accepted");
    edit("an invite to own", "org_invites", "invitee_role", json!("owner"), "one of viewer, editor, admin");
    edit("a path elsewhere", "org_invites", "redirect_path", json!("//evil.example"), "must be a path");
    edit("a path upwards", "org_invites", "redirect_path", json!("/../../etc/passwd"), "must be a path");
    edit("an address that is a path", "users", "email", json!("../../etc/passwd"), "e-mail address");
    edit("an address with a header", "users", "email", json!("a@b.example\r\nBcc: x@y.example"), "U+000D");
    edit("an address in capitals", "users", "email", json!("Ann@Example.com"), "in which it is stored");
    edit("NUL in a name", "things", "name", json!("a\0b"), "U+0000");
    edit("a name that turns around", "groups", "name", json!("a\u{202e}b"), "U+202E");
    edit("a name that is not trimmed", "things", "name", json!(" a "), "in which it is stored");
    edit("a name without end", "groups", "name", json!("x".repeat(255)), "254 characters");
    edit("no name", "orgs", "name", json!(""), "must not be empty");
    edit("metadata that are no object", "things", "metadata", json!([1]), "must be a JSON object");
    edit("metadata of a megabyte", "things", "metadata", json!({ "a": "x".repeat(100_000) }), "65536 bytes");
    edit("metadata with NUL", "things", "metadata", json!({ "a": "\0" }), "U+0000");
    edit("metadata that are deep", "things", "metadata", serde_json::from_str(&deep).unwrap(), "32 levels");
    edit(
        "topics that are no topics",
        "profiles",
        "config",
        json!({ "topics": { "publish": ["a/#/b"] } }),
        "topic filters",
    );
    edit("a time that is none", "users", "created_at", json!("yesterday"), "RFC 3339");
    edit("a time before all", "users", "created_at", json!("0001-01-01T00:00:00.000Z"), "1970");
    edit(
        "a password in clear",
        "users",
        "password_hash",
        json!("correct horse battery staple"),
        "hash of a password",
    );
    let dear =
        "$argon2id$v=19$m=4194304,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    edit("a hash that takes 4 GiB", "users", "password_hash", json!(dear), "hash of a password");
    edit("a key in clear", "things", "key", json!("a key of my own choice"), "must be a verifier");
    let foreign = format!("h1.p9.{}", "A".repeat(43));
    edit("a verifier of another pepper", "things", "key", json!(foreign), "another pepper");
    edit(
        "a retired verifier of another pepper",
        "retired_credentials",
        "verifier",
        json!(foreign),
        "another pepper",
    );
    edit("an empty external key", "things", "external_key", json!(""), "1 to 4096 bytes");
    edit("NUL in an external key", "things", "external_key", json!("a\0b"), "U+0000");
    edit("bytes that are none", "thing_key_material", "sealed", json!("!!"), "base64url");
    edit("sealed bytes that are too few", "thing_key_material", "sealed", json!("AAAA"), "40 to 4136 bytes");
    edit(
        "a credential of an unknown kind",
        "credential_index",
        "kind",
        json!("master"),
        "one of key, external",
    );
    edit("an unknown reason", "retired_credentials", "reason", json!("bored"), "one of expired");
    edit("a journal of nothing", "journal", "id", json!(0), "whole number from 1");
    edit("an unknown right", "journal", "via", json!("magic"), "one of membership");
    edit("an action in SQL", "journal", "action", json!("x'; --"), "lower-case letters");
    edit("changes that are a list", "journal", "changes", json!([]), "must be a JSON object");

    let mut put = |name, table: &str, raw: String, field: &str, reason| {
        let mut file = good.clone();
        let line = file.replace(table, raw);
        cases.push(case(name, file.sealed(), format!("line {line}{field}"), reason));
    };
    let thing = |metadata: &str| {
        let row = good.of("things")[0].clone();
        let text = json!({ "table": "things", "row": row }).to_string();
        text.replacen(&format!("\"metadata\":{}", row["metadata"]), &format!("\"metadata\":{metadata}"), 1)
    };
    put(
        "a number of 131,072 digits",
        "things",
        thing(r#"{"a":1e131071}"#),
        ": things.metadata",
        "out of range",
    );
    put("a member twice", "things", thing(r#"{"a":1,"a":2}"#), ": things.metadata", "twice");
    put("an array without end", "things", thing(&"[".repeat(200)), "", "must be a row");
    put(
        "a field twice",
        "orgs",
        r#"{"table":"orgs","row":{"id":"a","id":"b"}}"#.to_owned(),
        "",
        "given twice",
    );
    put("no row", "orgs", r#"{"table":"orgs"}"#.to_owned(), "", "must be a row");
    put(
        "a trigger",
        "orgs",
        r#"{"table":"orgs","row":{},"trigger":"CREATE TRIGGER"}"#.to_owned(),
        "",
        "must be a row",
    );
    put("an empty row", "orgs", r#"{"table":"orgs","row":{}}"#.to_owned(), ": orgs.id", "is missing");
    put(
        "a table in SQL",
        "orgs",
        r#"{"table":"orgs; DROP TABLE users","row":{}}"#.to_owned(),
        ": table",
        "not a table",
    );
    put("a view", "orgs", r#"{"table":"invites","row":{}}"#.to_owned(), ": table", "not a table");
    put("sessions", "orgs", r#"{"table":"sessions","row":{}}"#.to_owned(), ": table", "not a table");
    put(
        "a text that is no text",
        "orgs",
        "{\"table\":\"orgs\",\"row\":{\"id\":\"\u{1}\"}}".to_owned(),
        "",
        "must be a row",
    );
    cases
}

/// Files with the right digest whose rows do not go together.
fn together(text: &str) -> Vec<Case> {
    let good = File::parse(text);
    let mut cases = Vec::new();
    let mut made = |name, change: &dyn Fn(&mut File) -> String, reason| {
        let mut file = good.clone();
        let place = change(&mut file);
        cases.push(case(name, file.sealed(), place, reason));
    };
    let nobody = "01890000-0000-7000-8000-000000000000";
    let again = |file: &mut File, table: &str, change: &dyn Fn(&mut Value)| {
        let mut row = file.of(table)[0].clone();
        change(&mut row);
        file.add(table, row)
    };
    made(
        "an account twice",
        &|f| format!("line {}: users.id", again(f, "users", &|row| row["email"] = json!("x@y.example"))),
        "already",
    );
    made(
        "an address twice",
        &|f| format!("line {}: users.email", again(f, "users", &|row| row["id"] = json!(nobody))),
        "already",
    );
    made(
        "a group's name twice",
        &|f| format!("line {}: groups.name", again(f, "groups", &|row| row["id"] = json!(nobody))),
        "already",
    );
    made(
        "a thing's name twice",
        &|f| {
            let line = again(f, "things", &|row| {
                row["id"] = json!(nobody);
                row["key"] = json!(format!("h1.p1.{}", "A".repeat(43)));
                row["external_key"] = Value::Null;
            });
            format!("line {line}: things.name")
        },
        "already",
    );
    made("a thing twice", &|f| format!("line {}: things.", again(f, "things", &|_| ())), "already");
    made(
        "an entry of the journal twice",
        &|f| format!("line {}: journal.id", again(f, "journal", &|_| ())),
        "already",
    );
    made(
        "one credential for two things (V3)",
        &|f| {
            let own = f.of("credential_index")[0]["thing_id"].clone();
            let other = f.of("things").into_iter().find(|thing| thing["id"] != own).unwrap()["id"].clone();
            let line = again(f, "credential_index", &|row| {
                row["thing_id"] = other.clone();
                row["kind"] = json!("previous");
                row["not_after"] = json!("2030-01-01T00:00:00.000Z");
            });
            format!("line {line}: credential_index.verifier")
        },
        "is there already",
    );
    made(
        "a key that two things have (V3)",
        &|f| {
            let key = f.of("things")[0]["key"].clone();
            let at = f.at("things", |row| row["key"] != key);
            f.rows[at].row["key"] = key;
            format!("line {}: things.key", at + 2)
        },
        "already",
    );
    made(
        "a credential of somebody else's thing",
        &|f| {
            let at = f.at("credential_index", |row| row["kind"] == "key");
            let own = f.rows[at].row["thing_id"].clone();
            let other = f.of("things").into_iter().find(|thing| thing["id"] != own).unwrap()["id"].clone();
            f.rows[at].row["thing_id"] = other;
            format!("line {}: credential_index.verifier", at + 2)
        },
        "not that of the thing's key",
    );
    made(
        "an external key under another name",
        &|f| {
            let at = f.at("things", |row| row["external_key"] != Value::Null);
            f.rows[at].row["external_key"] = json!("SN-2000");
            let at = f.at("credential_index", |row| row["kind"] == "external");
            format!("line {}: credential_index.verifier", at + 2)
        },
        "external key",
    );
    made(
        "a sealed key of another thing",
        &|f| {
            let other = f.of("thing_key_material")[1]["sealed"].clone();
            let line = f.edit("thing_key_material", |row| row["sealed"] = other);
            format!("line {line}: thing_key_material.sealed")
        },
        "does not hold the thing's key",
    );
    made(
        "a previous key for ever",
        &|f| {
            let at = f.at("credential_index", |row| row["kind"] == "previous");
            f.rows[at].row["not_after"] = Value::Null;
            format!("line {}: credential_index.not_after", at + 2)
        },
        "must say when",
    );
    made(
        "a key that ends",
        &|f| {
            let at = f.at("credential_index", |row| row["kind"] == "key");
            f.rows[at].row["not_after"] = json!("2030-01-01T00:00:00.000Z");
            format!("line {}: credential_index.not_after", at + 2)
        },
        "must be null",
    );
    made(
        "a key that is not in the index",
        &|f| {
            let key = f.of("things")[0]["key"].clone();
            f.remove("credential_index", |row| row["verifier"] == key);
            format!("line {}: things.key", f.at("things", |row| row["key"] == key) + 2)
        },
        "credential_index",
    );
    made(
        "a profile of another group (V2)",
        &|f| {
            let at = f.at("things", |_| true);
            let own = f.rows[at].row["profile_id"].clone();
            let other =
                f.of("profiles").into_iter().find(|profile| profile["id"] != own).unwrap()["id"].clone();
            f.rows[at].row["profile_id"] = other;
            format!("line {}: things.profile_id", at + 2)
        },
        "another group",
    );
    made(
        "a profile that is not there",
        &|f| format!("line {}: things.profile_id", f.edit("things", |row| row["profile_id"] = json!(nobody))),
        "not there",
    );
    made(
        "a group that nobody owns (V1)",
        &|f| {
            let group = f.of("groups")[0]["id"].clone();
            for row in f
                .rows
                .iter_mut()
                .filter(|row| row.table == "group_memberships" && row.row["group_id"] == group)
            {
                row.row["role"] = json!("admin");
            }
            format!("line {}: groups.id", f.at("groups", |row| row["id"] == group) + 2)
        },
        "no owner",
    );
    made(
        "an organisation that nobody owns",
        &|f| {
            for row in f.rows.iter_mut().filter(|row| row.table == "org_memberships") {
                row.row["role"] = json!("admin");
            }
            format!("line {}: orgs.id", f.at("orgs", |_| true) + 2)
        },
        "no owner",
    );
    made(
        "a forged owner: somebody of no organisation (V8)",
        &|f| {
            let group = f.of("groups")[0]["id"].clone();
            let line = f
                .add("group_memberships", json!({ "group_id": group, "member_id": nobody, "role": "owner" }));
            format!("line {line}: group_memberships.member_id")
        },
        "organisation",
    );
    made(
        "a forged owner: an account that is not there",
        &|f| {
            let org = f.of("orgs")[0]["id"].clone();
            let line =
                f.add("org_memberships", json!({ "org_id": org, "member_id": nobody, "role": "owner" }));
            format!("line {line}: org_memberships.member_id")
        },
        "not there",
    );
    made(
        "a group of no organisation",
        &|f| format!("line {}: groups.org_id", f.edit("groups", |row| row["org_id"] = json!(nobody))),
        "not there",
    );
    made(
        "members of a group behind its profiles",
        &|f| {
            let at = f.at("group_memberships", |row| row["role"] != "owner");
            let member = f.rows.remove(at);
            let at = f.at("things", |_| true);
            f.rows.insert(at, member);
            format!("line {}: table", at + 2)
        },
        "must come before",
    );
    let mut swapped = good.clone();
    let counts = swapped.head["counts"].as_object_mut().unwrap();
    let (users, things) = (counts["users"].as_u64().unwrap(), counts["things"].as_u64().unwrap());
    counts.insert("users".into(), json!(users + 1));
    counts.insert("things".into(), json!(things - 1));
    cases.push(case(
        "wrong counts that add up",
        swapped.sealed_as_it_is(),
        "line 1: counts.",
        "of which there are",
    ));
    cases
}

async fn refused(case: &Case, root: &Client, server: &Running, before: &[String]) {
    let reply = send(root, case.file.clone()).await;
    let problem = refusal(&reply);
    let told: Vec<(&String, &Value)> =
        problem["errors"].as_object().unwrap_or_else(|| panic!("{}: {problem}", case.name)).iter().collect();
    let fits = |(place, reason): &(&String, &Value)| {
        place.starts_with(&case.place) && reason.as_str().unwrap().contains(case.reason)
    };
    assert!(
        told.iter().any(fits),
        "{}: wanted {} … {}, was told {told:?}",
        case.name,
        case.place,
        case.reason
    );
    let after = server.database.dump().await;
    assert!(before == after.as_slice(), "{} has changed the database", case.name);
}

#[tokio::test]
async fn what_is_wrong_is_refused_with_its_place_and_changes_nothing() {
    for engine in engines() {
        let text = Scene::on(engine).await.backup().await;
        let server = start(engine).await;
        let root = server.root().await;
        let before = server.database.dump().await;
        let cases: Vec<Case> =
            [as_a_whole(&text), row_by_row(&text), together(&text)].into_iter().flatten().collect();
        assert!(cases.len() >= 60);
        for case in &cases {
            refused(case, &root, &server, &before).await;
        }
        // The file that all of them were made from is none of them.
        let done = crate::scene::last_event(&send(&root, File::parse(&text).sealed()).await);
        assert_eq!(done["event"], "done", "{done}");
    }
}

#[tokio::test]
async fn what_is_sent_in_another_way_is_refused_too() {
    for engine in engines() {
        let text = Scene::on(engine).await.backup().await;
        let server = start(engine).await;
        let root = server.root().await;
        let before = server.database.dump().await;
        let request = || root.request(Method::POST, "/restore").body(text.clone());
        let ndjson = || request().header("content-type", "application/x-ndjson");
        assert_eq!(
            ndjson().header("content-encoding", "gzip").reply().await.problem(415),
            "unsupported-media-type"
        );
        assert_eq!(
            request().header("content-type", "text/csv").reply().await.problem(415),
            "unsupported-media-type"
        );
        assert_eq!(ndjson().header("idempotency-key", "k").reply().await.problem(400), "invalid");
        let query =
            root.request(Method::POST, "/restore?force=1").header("content-type", "application/x-ndjson");
        assert_eq!(query.body(text.clone()).reply().await.problem(400), "invalid");
        assert_eq!(
            server.anonymous.request(Method::POST, "/restore").body(text.clone()).reply().await.problem(401),
            "unauthenticated"
        );
        assert!(before == server.database.dump().await);
        // Of two at once one is made.
        let (one, other) = tokio::join!(send(&root, text.clone()), send(&root, text.clone()));
        let is_done = |reply: &crate::app::Reply| {
            reply.status == 200 && reply.text.lines().last().unwrap().contains("\"done\"")
        };
        let done = [&one, &other].iter().filter(|reply| is_done(reply)).count();
        assert_eq!(done, 1, "{} {}", one.text, other.text);
        let left = if is_done(&one) { &other } else { &one };
        let kind = refusal(left)["type"].clone();
        assert!(
            ["/problems/already-under-way", "/problems/installation-not-empty"]
                .contains(&kind.as_str().unwrap()),
            "{kind}"
        );
        // Into what is not empty.
        let before = server.database.dump().await;
        assert_eq!(send(&root, text.clone()).await.problem(409), "installation-not-empty");
        assert!(before == server.database.dump().await);
        // For who administers the platform only, and not by a token with bounds.
        let ann = server.log_in("ann@example.com", crate::scene::PASSWORD).await;
        assert_eq!(ann.get("/backup").await.problem(403), "platform-admin-only");
        assert_eq!(send(&ann, text.clone()).await.problem(403), "platform-admin-only");
        let made = root.post("/keys", &json!({ "name": "reads", "scopes": ["read"] })).await.expect(201);
        let reads = server.client(made["value"].as_str().or(made["token"].as_str()).unwrap());
        assert_eq!(reads.get("/backup").await.problem(403), "insufficient-scope");
    }
}

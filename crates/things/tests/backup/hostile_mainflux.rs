//! Mainflux's backups that are not what they should be.

use serde_json::{Value, json};

use crate::{
    app::{engines, start},
    scene::{refusal, send},
};

fn id(n: u32) -> String {
    format!("0189{n:04x}-0000-7000-8000-000000000000")
}

fn good() -> Value {
    json!({
        "things": [
            { "id": id(30), "group_id": id(10), "profile_id": id(20), "name": "a", "key": id(40), "external_key": "SN-1000" },
            { "id": id(31), "group_id": id(11), "profile_id": id(21), "name": "b", "key": id(41) },
        ],
        "profiles": [{ "id": id(20), "group_id": id(10), "name": "p" }, { "id": id(21), "group_id": id(11), "name": "p" }],
        "groups": [{ "id": id(10), "name": "g", "org_id": id(1) }, { "id": id(11), "name": "h", "org_id": id(1) }],
        "group_memberships": [],
    })
}

#[tokio::test]
async fn they_are_refused_with_their_place_and_change_nothing() {
    type Change = fn(&mut Value);
    let cases: [(&str, Change, &str, &str); 17] = [
        ("a short key", |f| f["things"][0]["key"] = json!("short"), "things[0]: key", "16 to 512"),
        ("a key twice", |f| f["things"][1]["key"] = json!(id(40)), "things[1]: things.key", "already"),
        (
            "a key that is an external one (V3)",
            |f| {
                f["things"][1]["key"] = json!("a serial of sixteen");
                f["things"][0]["external_key"] = json!("a serial of sixteen");
            },
            "things[1]: credential_index.verifier",
            "already",
        ),
        ("an unknown type", |f| f["things"][0]["type"] = json!("drone"), "things[0]: type", "one of device"),
        (
            "a profile of another group (V2)",
            |f| f["things"][0]["profile_id"] = json!(id(21)),
            "things[0]: things.profile_id",
            "another group",
        ),
        (
            "a profile that is not there",
            |f| f["things"][0]["profile_id"] = json!(id(99)),
            "things[0]: things.profile_id",
            "not there",
        ),
        (
            "a group that is not there",
            |f| f["profiles"][0]["group_id"] = json!(id(99)),
            "profiles[0]: profiles.group_id",
            "not there",
        ),
        ("a name twice", |f| f["groups"][1]["name"] = json!(" g"), "groups[1]: groups.name", "already"),
        ("NUL in a name", |f| f["groups"][0]["name"] = json!("a\0"), "groups[0]: name", "U+0000"),
        (
            "an id that is none",
            |f| f["things"][0]["id"] = json!("1; DROP TABLE things"),
            "things[0]: id",
            "UUID",
        ),
        (
            "metadata that are a list",
            |f| f["things"][0]["metadata"] = json!([]),
            "things[0]: metadata",
            "object",
        ),
        (
            "metadata without end",
            |f| f["things"][0]["metadata"] = json!({ "a": "x".repeat(70_000) }),
            "things[0]: metadata",
            "65536",
        ),
        (
            "an item of two megabytes",
            |f| f["things"][0]["metadata"] = json!({ "a": "x".repeat(2 << 20) }),
            "line ",
            "longer than",
        ),
        ("a field that Mainflux has not", |f| f["things"][0]["owner"] = json!("me"), "things[0]", "Mainflux"),
        ("an array that Mainflux has not", |f| f["users"] = json!([]), "line ", "are known"),
        ("no arrays", |f| *f = json!([]), "line ", "neither"),
        ("nothing in it", |f| *f = json!({ "things": null, "groups": [] }), "body", "must have"),
    ];
    for engine in engines() {
        let server = start(engine).await;
        let root = server.root().await;
        let before = server.database.dump().await;
        for (name, change, place, reason) in &cases {
            let mut file = good();
            change(&mut file);
            let problem = refusal(&send(&root, file.to_string()).await);
            let told = problem["errors"].as_object().unwrap_or_else(|| panic!("{name}: {problem}"));
            let fits =
                told.iter().any(|(at, why)| at.starts_with(place) && why.as_str().unwrap().contains(reason));
            assert!(fits, "{name}: {problem}");
            assert!(before == server.database.dump().await, "{name}");
        }
        // Written word for word, because no writer would.
        for (text, reason) in [
            (r#"{"groups":[],"groups":[]}"#.to_owned(), "twice"),
            (format!(r#"{{"groups":[{}]}}"#, "[".repeat(1000)), "expected"),
            (good().to_string().replacen("\"a\"", "\"a\",\"metadata\":{\"x\":1e131071}", 1), "out of range"),
            (good().to_string().trim_end_matches('}').to_owned(), "EOF"),
            (format!("{}{{}}", good()), "trailing"),
        ] {
            let problem = refusal(&send(&root, text).await);
            assert!(problem["errors"].to_string().contains(reason), "{reason}: {problem}");
            assert!(before == server.database.dump().await, "{reason}");
        }
    }
}

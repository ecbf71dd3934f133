//! Hostile input: whatever is sent, the answer is 2xx or 4xx, the same on both engines, what was
//! written reads back as it was written, and memory stays bounded.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "also outside of the functions marked as tests"
)]

#[path = "support/app.rs"]
mod app;
#[path = "support/pair.rs"]
mod pair;

use pair::{Body, ORG, Pair, encoded};
use proptest::{
    prelude::{Strategy, any, prop},
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use reqwest::Method;
use serde_json::{Value, json};

const GROUP: &str = "01900000-0000-7000-8000-0000000000b1";
const PROFILE: &str = "01900000-0000-7000-8000-0000000000c1";

async fn scene() -> Pair {
    let mut pair = Pair::start().await;
    let made = pair.post(&format!("/orgs/{ORG}/groups"), json!([{ "name": "g", "id": GROUP }])).await;
    assert_eq!(made.status, 201, "{made:?}");
    for server in &pair.servers {
        let root = server.root().await;
        let call = registry::Call::new(root.actor(&server.registry).await, "test");
        let new = registry::profiles::NewProfile {
            id: Some(PROFILE.parse().unwrap()),
            name: registry::text::ProfileName::try_from("p").unwrap(),
            config: None,
            metadata: Default::default(),
        };
        server.registry.create_profiles(&call, GROUP.parse().unwrap(), &[new]).await.unwrap();
    }
    pair
}

fn things() -> String {
    format!("/profiles/{PROFILE}/things")
}

/// Texts that have broken systems before.
fn hostile_texts() -> Vec<String> {
    let mut texts: Vec<String> = [
        "",
        " ",
        "\t",
        "a",
        "pump",
        "a\0b",
        "\0",
        "a\nb",
        "a\r\nb",
        "a\u{1b}[31mred",
        "\u{7f}",
        "\u{80}",
        "\u{9f}x",
        "a\u{202e}b",
        "a\u{200b}b",
        "a\u{200d}b",
        "\u{feff}a",
        "\u{2066}a\u{2069}",
        "\u{ad}",
        "\u{fffd}",
        "\u{ffff}",
        "\u{10ffff}",
        " trailing ",
        "\u{a0}nbsp\u{a0}",
        "\u{3000}wide\u{3000}",
        "Ku\u{308}che",
        "Küche",
        "ｆｕｌｌ",
        "ﬁ",
        "İstanbul",
        "ß",
        "ſ",
        "Σς",
        "👨\u{200d}👩\u{200d}👧",
        "%",
        "_",
        "\\",
        "%%",
        "a%b",
        "a_b",
        "\\%",
        "'",
        "''",
        "\"",
        "' OR '1'='1",
        "'; DROP TABLE things; --",
        "\"; --",
        "$1",
        "?1",
        ":name",
        "@x",
        "/*",
        "*/",
        "--",
        "#",
        "{{7*7}}",
        "<script>alert(1)</script>",
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        "../../etc/passwd",
        "null",
        "true",
        "NaN",
        "1e400",
        "AND",
        "OR",
        "NOT",
        "NEAR(a b)",
        "a*",
        "^a",
        "a:b",
        "(a",
        "a)",
        "\"a\" \"b\"",
        "thk_",
        "h1.p1.x",
        "01900000-0000-7000-8000-00000000000a",
    ]
    .map(str::to_owned)
    .into();
    for (unit, counts) in [
        ("x", [253, 254, 255, 1023, 1024, 1025]),
        ("é", [253, 254, 255, 1023, 1024, 1025]),
        ("漢", [254, 255, 799, 800, 801, 1024]),
        ("😀", [254, 255, 599, 600, 601, 1024]),
    ] {
        texts.extend(counts.map(|count| unit.repeat(count)));
    }
    texts.push("e\u{301}".repeat(600));
    texts
}

#[tokio::test]
async fn names_descriptions_keys_and_addresses() {
    let mut pair = scene().await;
    for (n, text) in hostile_texts().into_iter().enumerate() {
        let made = pair.post(&things(), json!([{ "name": text, "metadata": { "n": n } }])).await;
        if made.status == 201 {
            let id = made.json()["things"][0]["id"].as_str().unwrap().to_owned();
            let name = made.json()["things"][0]["name"].as_str().unwrap().to_owned();
            assert_eq!(name, text.trim().nfc_for_test(), "stored as trimmed and composed");
            // Each server made its own id, so each is asked for its own by name.
            let found = pair.get(&format!("/things?limit=1000&name={}", encoded(&name))).await;
            assert!(found.status == 200, "{found:?}");
            assert!(
                found.json()["things"].as_array().unwrap().iter().any(|thing| thing["id"] == id.as_str()),
                "{text:?}"
            );
        }
        pair.post(&format!("/orgs/{ORG}/groups"), json!([{ "name": text, "description": text }])).await;
        pair.post(&format!("/orgs/{ORG}/groups"), json!([{ "name": format!("d{n}"), "description": text }]))
            .await;
        pair.post(&things(), json!([{ "name": format!("k{n}"), "key": text }])).await;
        pair.post(&things(), json!([{ "name": format!("e{n}"), "external_key": text }])).await;
        pair.post(&things(), json!([{ "name": format!("i{n}"), "id": text }])).await;
        pair.post(&things(), json!([{ "name": format!("t{n}"), "type": text }])).await;
        pair.post("/identify", json!({ "key": text, "type": "external" })).await;
        for list in ["/things", "/groups"] {
            pair.get(&format!("{list}?name={}", encoded(&text))).await;
            pair.get(&format!("{list}?metadata={}", encoded(&text))).await;
            pair.get(&format!("{list}?order={}&dir=asc", encoded(&text))).await;
            pair.get(&format!("{list}?cursor={}", encoded(&text))).await;
            pair.get(&format!("{list}?{}=1", encoded(&text))).await;
            pair.post(&format!("{list}/search"), json!({ "name": text })).await;
        }
        pair.get(&format!("/things?type={0}&external_key={0}", encoded(&text))).await;
        pair.get(&format!("/journal?action={}", encoded(&text))).await;
        for path in ["things", "groups", "orgs", "profiles"] {
            pair.get(&format!("/{path}/{}", encoded(&text))).await;
        }
    }
    println!("{} requests, each answered alike", pair.requests);
}

trait Nfc {
    fn nfc_for_test(&self) -> String;
}

impl Nfc for str {
    /// By the registry's own type: the names used here are within its limits.
    fn nfc_for_test(&self) -> String {
        registry::text::ThingName::try_from(self).unwrap().as_str().to_owned()
    }
}

#[tokio::test]
async fn keys_at_the_limits_of_indexes() {
    let mut pair = scene().await;
    // Characters that do not compress: an index entry of PostgreSQL holds about 2,700 bytes.
    let random = |len: usize| -> String {
        let mut state = 88_172_645_463_325_252_u64;
        (0..len)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                char::from(b'!' + u8::try_from(state % 94).unwrap())
            })
            .collect()
    };
    for (len, status) in [(15, 400), (16, 201), (512, 201), (513, 400), (4096, 400)] {
        let made = pair.post(&things(), json!([{ "name": format!("k{len}"), "key": random(len) }])).await;
        assert_eq!(made.status, status, "key of {len}");
        let made = pair
            .post(
                &things(),
                json!([{ "name": format!("e{len}"), "external_key": format!("e{}", random(len - 1)) }]),
            )
            .await;
        assert_eq!(made.status, if len == 15 { 201 } else { status }, "external key of {len}");
    }
    for (name, status) in
        [("😀".repeat(600), 201), ("😀".repeat(601), 400), ("漢".repeat(800), 201), ("漢".repeat(1024), 400)]
    {
        let shuffled: String = name
            .chars()
            .enumerate()
            .map(|(n, c)| char::from_u32(c as u32 + (n as u32 * 7) % 64).unwrap())
            .collect();
        assert_eq!(pair.post(&things(), json!([{ "name": shuffled }])).await.status, status);
    }
}

#[tokio::test]
async fn pages_out_of_range() {
    let mut pair = scene().await;
    for list in [
        "/things".to_owned(),
        "/groups".to_owned(),
        things(),
        format!("/orgs/{ORG}/groups"),
        "/journal".to_owned(),
    ] {
        for (query, status) in [
            ("limit=0", 400),
            ("limit=-1", 400),
            ("limit=1", 200),
            ("limit=1000", 200),
            ("limit=1001", 400),
            ("limit=18446744073709551616", 400),
            ("limit=1.5", 400),
            ("limit=", 400),
            ("limit=abc", 400),
            ("limit=1&limit=2", 400),
            ("offset=0", 200),
            ("offset=10000", 200),
            ("offset=10001", 400),
            ("offset=1000000000", 400),
            ("offset=-1", 400),
            ("cursor=AAAA", 400),
            ("cursor=!!", 400),
            ("order=nothing", 400),
            ("dir=up", 400),
            ("total=5", 200),
            ("unknown=1", 400),
            ("limit=%zz", 400),
            ("limit=%00", 400),
        ] {
            let reply = pair.get(&format!("{list}?{query}")).await;
            assert_eq!(reply.status, status, "{list}?{query}: {reply:?}");
        }
    }
}

#[tokio::test]
async fn json_bombs() {
    let mut pair = scene().await;
    let nested =
        |open: &str, close: &str, depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
    let bombs: Vec<(String, u16)> = vec![
        (r#"{"a":1e131071}"#.into(), 400),
        (format!(r#"{{"a":[{}1]}}"#, "1e131071,".repeat(1000)), 400),
        (r#"{"a":1e308}"#.into(), 201),
        (format!(r#"{{"a":[{}1]}}"#, "1e308,".repeat(1000)), 400),
        (r#"{"a":1e309}"#.into(), 400),
        (r#"{"a":-1e-400}"#.into(), 201),
        (r#"{"a":1e-320}"#.into(), 201),
        (r#"{"a":-0.0,"b":0e0,"c":-0}"#.into(), 201),
        (r#"{"a":9007199254740993,"b":-9223372036854775808,"c":18446744073709551615}"#.into(), 201),
        (r#"{"a":18446744073709551616}"#.into(), 400),
        (r#"{"a":-9223372036854775809}"#.into(), 400),
        (r#"{"a":1e15,"b":1e16,"c":1e17,"d":1.5e300,"e":123456789012345680000,"f":0.1,"g":1E5}"#.into(), 400),
        (r#"{"a":1e15,"b":1e16,"c":1e17,"d":1.5e300,"e":1.2345678901234568e20,"f":0.1,"g":1E5}"#.into(), 201),
        (r#"{"a":"\u0000"}"#.into(), 400),
        (r#"{"\u0000":1}"#.into(), 400),
        (r#"{"a":"\ud800"}"#.into(), 400),
        (r#"{"a":"\udc00\ud800"}"#.into(), 400),
        (r#"{"a":"\ud83d\ude00"}"#.into(), 201),
        (r#"{"a":1,"a":2}"#.into(), 400),
        (r#"{"":1}"#.into(), 201),
        (r#"{"a":NaN}"#.into(), 400),
        (r#"{"a":Infinity}"#.into(), 400),
        (r#"{"a":01}"#.into(), 400),
        (r#"{"a":1,}"#.into(), 400),
        (r#"[]"#.into(), 400),
        (r#""text""#.into(), 400),
        (r#"null"#.into(), 201),
        (nested(r#"{"a":"#, "}", 32), 201),
        (nested(r#"{"a":"#, "}", 33), 400),
        (nested(r#"{"a":"#, "}", 20_000), 400),
        (format!(r#"{{"a":{}}}"#, nested("[", "]", 31)), 201),
        (format!(r#"{{"a":{}}}"#, nested("[", "]", 20_000)), 400),
        (format!(r#"{{"a":"{}"}}"#, "x".repeat(65_000)), 201),
        (format!(r#"{{"a":"{}"}}"#, "x".repeat(66_000)), 400),
        (format!(r#"{{"{}":1}}"#, "k".repeat(256)), 201),
        (format!(r#"{{"{}":1}}"#, "k".repeat(257)), 400),
        (format!("{{{}}}", (0..1000).map(|n| format!(r#""k{n}":{n}"#)).collect::<Vec<_>>().join(",")), 201),
        (format!("{{{}}}", (0..1001).map(|n| format!(r#""k{n}":{n}"#)).collect::<Vec<_>>().join(",")), 400),
    ];
    for (n, (bomb, status)) in bombs.iter().enumerate() {
        let body = format!(r#"[{{"name":"b{n}","metadata":{bomb}}}]"#);
        let reply = pair.send(Method::POST, &things(), Body::Raw(body)).await;
        assert_eq!(reply.status, *status, "{bomb:.200}: {reply:?}");
        let query = pair
            .get(&format!("/things?metadata={}", encoded(bomb.get(..bomb.len().min(2000)).unwrap())))
            .await;
        assert!(query.status < 500);
    }
    for body in
        ["", "{", "[", "[{]", "[{}]x", "\u{feff}[]", "nul", &"[".repeat(20_000), &"[{\"name\":".repeat(5_000)]
    {
        let reply = pair.send(Method::POST, &things(), Body::Raw((*body).to_owned())).await;
        assert_eq!(reply.status, 400, "{body:.100}");
    }
    let reply = pair.send(Method::POST, &things(), Body::Raw(format!("[{}]", " ".repeat(1 << 20)))).await;
    assert_eq!(reply.status, 413);
}

/// Any JSON, within and around the limits.
fn anything() -> impl Strategy<Value = Value> {
    let number = prop::num::f64::ANY
        .prop_map(|number| serde_json::Number::from_f64(number).map_or(Value::Null, Value::Number));
    let leaf = proptest::prop_oneof![
        proptest::strategy::Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        number,
        "\\PC{0,12}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        proptest::prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map("\\PC{0,6}", inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

#[tokio::test]
async fn whatever_is_written_reads_back_as_it_was_written() {
    let mut pair = scene().await;
    let mut runner =
        TestRunner::new_with_rng(Config::default(), TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let before = resident();
    for round in 0..50 {
        let items: Vec<Value> = (0..100)
            .map(|n| {
                let metadata =
                    json!({ "round": round, "value": anything().new_tree(&mut runner).unwrap().current() });
                json!({ "name": format!("t{round}-{n}"), "metadata": metadata })
            })
            .collect();
        // One bad item refuses all: those with U+0000 or too large go alone.
        let (fine, bad): (Vec<_>, Vec<_>) =
            items.into_iter().partition(|item| !item.to_string().contains("\\u0000"));
        let made = pair.post(&things(), json!(fine)).await;
        assert_eq!(made.status, 201, "{made:?}");
        for (sent, got) in fine.iter().zip(made.json()["things"].as_array().unwrap()) {
            assert!(same(&sent["metadata"], &got["metadata"]), "{sent} came back as {got}");
        }
        let listed = pair
            .post("/things/search", json!({ "metadata": { "round": round }, "limit": 1000, "order": "name" }))
            .await;
        assert_eq!(listed.json()["total"], fine.len());
        for got in listed.json()["things"].as_array().unwrap() {
            let sent = fine.iter().find(|sent| sent["name"] == got["name"]).unwrap();
            assert!(same(&sent["metadata"], &got["metadata"]), "{sent} was stored as {got}");
            // What a thing holds, it is found by, as far as a filter may go.
            let filter: registry::JsonObject = serde_json::from_value(got["metadata"].clone()).unwrap();
            if round < 10 && filter.check_filter().is_ok() {
                let found =
                    pair.post("/things/search", json!({ "metadata": got["metadata"], "limit": 1000 })).await;
                let found = found.json();
                assert!(
                    found["things"].as_array().unwrap().iter().any(|thing| thing["name"] == got["name"]),
                    "{got}"
                );
            }
        }
        for item in bad {
            assert_eq!(pair.post(&things(), json!([item])).await.status, 400);
        }
    }
    let grown = resident().saturating_sub(before);
    println!("{} requests, {} MiB more memory", pair.requests, grown >> 20);
    assert!(grown < 256 << 20, "two servers and their client grew by {} MiB", grown >> 20);
}

/// Equal as values: 1e2 and 100.0 are one number, -0.0 is 0.0.
fn same(sent: &Value, got: &Value) -> bool {
    match (sent, got) {
        (Value::Number(a), Value::Number(b)) => {
            a == b || (!(a.is_i64() || a.is_u64()) || !(b.is_i64() || b.is_u64())) && a.as_f64() == b.as_f64()
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter().all(|(name, value)| b.get(name).is_some_and(|other| same(value, other)))
        }
        _ => sent == got,
    }
}

/// Bytes of memory in use, where the system tells.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    pages.and_then(|text| text.split(' ').nth(1)?.parse::<usize>().ok()).unwrap_or(0) * 4096
}

//! Mail, from the change that it tells of to a mail server and back through its links.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "also outside of the functions marked as tests"
)]

#[path = "support/app.rs"]
mod app;
#[path = "support/personas.rs"]
mod personas;
#[path = "support/smtp.rs"]
mod smtp;

use std::{
    collections::HashSet,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use app::{ROOT_PASSWORD as PASSWORD, Running, databases::open, engines, start_mailing};
use personas::{Person, person, text};
use serde_json::json;
use smtp::{Guard, Mode, Received, Sink};
use things::{
    mail::{Destination, Encryption, Mailing, Setup},
    serve::Stop,
    telemetry::MailMetrics,
};

const MINUTE: Duration = Duration::from_secs(60);

fn plain(sink: &Sink) -> Setup {
    sink.setup(Encryption::None)
}

fn mailing(setup: &Setup) -> Mailing {
    Mailing::new(setup).unwrap().unwrap().polling(Duration::from_millis(20))
}

/// Ada, who owns an organisation of this name, and bob.
async fn two(server: &Running, org: &str) -> (Person, Person, String) {
    let (ada, bob) = (person(server, "ada").await, person(server, "bob").await);
    let org = text(&ada.post("/orgs", &json!({"name": org})).await.expect(201)["id"]);
    (ada, bob, org)
}

/// Ada makes bob a member, of which bob is told.
async fn add(ada: &Person, bob: &Person, org: &str) {
    let join = json!({"org_memberships": [{"member_id": bob.id, "role": "viewer"}]});
    ada.post(&format!("/orgs/{org}/memberships"), &join).await.expect(200);
}

async fn refused(server: &Running) -> String {
    server.mail_status(|status| status.last_error.is_some()).await.last_error.unwrap()
}

async fn all_sent(server: &Running) {
    server.mail_status(|status| status.waiting == 0).await;
}

#[tokio::test]
async fn mails_arrive_in_clear_after_starttls_and_by_tls() {
    for (guard, encryption) in [
        (Guard::Plain, Encryption::None),
        (Guard::Plain, Encryption::Opportunistic),
        (Guard::StartTls, Encryption::Opportunistic),
        (Guard::StartTls, Encryption::Required),
        (Guard::Tls, Encryption::Implicit),
    ] {
        let sink = Sink::start(guard).await;
        let server = start_mailing(app::Engine::Sqlite, &sink.setup(encryption)).await;
        let (ada, bob, org) = two(&server, "Nordlicht").await;
        add(&ada, &bob, &org).await;
        let mail = sink.wait_for(1).await.remove(0);
        assert_eq!(
            (mail.from.as_str(), mail.to.as_slice()),
            ("things@example.com", [bob.email.clone()].as_slice())
        );
        assert_eq!(mail.encrypted, guard != Guard::Plain);
        assert_eq!(mail.login, Some(("things@example.com".to_owned(), "p:@ss".to_owned())));
        assert_eq!(mail.header("from"), "Thïngs <things@example.com>");
        assert_eq!(mail.header("to"), "bob@example.com");
        assert_eq!(mail.header("subject"), "You are now a member of Nordlicht");
        assert_eq!(mail.header("auto-submitted"), "auto-generated");
        assert_eq!(mail.header("date"), "Thu, 01 Jan 2026 00:00:00 +0000");
        assert!(mail.header("message-id").ends_with("@example.com>"));
        assert_eq!(mail.link(), "https://things.example.com/");
        for part in [&mail.text, &mail.html] {
            assert!(part.contains("ada@example.com") && part.contains("Nordlicht"), "{part}");
        }
        assert!(!mail.html.contains("src=") && !mail.html.contains("url("), "nothing is fetched");
        all_sent(&server).await;
        let metrics = server.app.metrics.encode().unwrap();
        assert!(metrics.contains("things_mail_attempts_total{outcome=\"sent\"} 1"), "{metrics}");
    }
}

#[tokio::test]
async fn a_way_that_is_not_as_safe_as_asked_for_is_not_taken() {
    let impostor = Sink::start(Guard::StartTls).await;
    for (guard, encryption, ca, reason) in [
        (Guard::Plain, Encryption::Required, true, "STARTTLS is not supported"),
        (Guard::StartTls, Encryption::Required, false, "certificate"),
        (Guard::Tls, Encryption::Implicit, false, "certificate"),
    ] {
        let sink = Sink::start(guard).await;
        let ca = Some(if ca { sink.ca() } else { impostor.ca() });
        let server = start_mailing(app::Engine::Sqlite, &Setup { ca, ..sink.setup(encryption) }).await;
        let (ada, bob, org) = two(&server, "Nordlicht").await;
        add(&ada, &bob, &org).await;
        let told = refused(&server).await;
        assert!(told.contains(reason), "{told}");
        assert!(sink.mails().is_empty());
    }
}

#[tokio::test]
async fn a_mail_server_in_trouble_delays_mails_and_nothing_else() {
    for engine in engines() {
        for (mode, reason) in [
            (Mode::Down, "onnection refused"),
            (Mode::Hanging, "no answer within 0.2 s"),
            (Mode::Refusing(451), "(451): … not now or not ever"),
            (Mode::Refusing(550), "(550): … not now or not ever"),
        ] {
            let sink = Sink::start(Guard::Plain).await;
            sink.set(mode);
            // Wait until it is.
            tokio::time::sleep(Duration::from_millis(20)).await;
            let server = app::start(engine).await;
            let worker = |patience| {
                let (stop, stopping) = Stop::switch();
                let mailing = mailing(&plain(&sink)).within(patience);
                let run = mailing.run(server.registry.clone(), MailMetrics::default(), stopping, MINUTE);
                (stop, tokio::spawn(run))
            };
            // The usual patience would make this test last as long as a server that hangs.
            let patience = if mode == Mode::Hanging { 200 } else { 10_000 };
            let (_stop, at_first) = worker(Duration::from_millis(patience));
            trouble(&server, &sink, reason).await;
            // A server that is only slow, because the machine is busy, is not what this is about.
            at_first.abort();
            let (_stop, _patient) = worker(Duration::from_secs(10));
            over(&server, &sink).await;
        }
    }
}

async fn trouble(server: &Running, sink: &Sink, reason: &str) {
    let (ada, bob, org) = two(server, "Nordlicht").await;
    add(&ada, &bob, &org).await;
    let told = refused(server).await;
    assert!(told.contains(reason) && !told.contains("bob"), "{told}");
    assert_eq!(ada.get("/health").await.expect(200)["checks"]["mail"]["status"], "pass");
    // It is tried again and again.
    for _ in 0..3 {
        server.clock.advance(Duration::from_secs(3600 + 900));
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let health = server.anonymous.get("/health").await.expect(200);
    assert_eq!((&health["status"], &health["checks"]["mail"]["status"]), (&json!("warn"), &json!("warn")));
    assert!(sink.mails().is_empty());
}

async fn over(server: &Running, sink: &Sink) {
    sink.set(Mode::Accepting);
    let arrived = async {
        // Time stands still while an attempt is under way: past its lease it would be made once more.
        while sink.mails().is_empty() {
            server.clock.advance(Duration::from_secs(3600 + 900));
            for _ in 0..100 {
                tokio::time::sleep(Duration::from_millis(20)).await;
                if !sink.mails().is_empty() {
                    break;
                }
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), arrived).await.unwrap();
    all_sent(server).await;
    server.clock.advance(Duration::from_secs(24 * 3600));
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert_eq!(sink.mails().len(), 1, "once");
}

#[tokio::test]
async fn who_ends_between_the_servers_answer_and_its_note_sends_twice_but_not_within_a_minute() {
    for engine in engines() {
        let sink = Sink::start(Guard::Plain).await;
        let server = app::start(engine).await;
        let worker = || {
            let (stop, stopping) = Stop::switch();
            let run = mailing(&plain(&sink)).run(
                server.registry.clone(),
                MailMetrics::default(),
                stopping,
                Duration::ZERO,
            );
            (stop, tokio::spawn(run))
        };
        sink.set(Mode::Swallowing);
        let (_stop, killed) = worker();
        let (ada, bob, org) = two(&server, "Nordlicht").await;
        add(&ada, &bob, &org).await;
        let first = sink.wait_for(1).await.remove(0);
        killed.abort();
        assert!(killed.await.unwrap_err().is_cancelled());
        sink.set(Mode::Accepting);

        let (_stop, _running) = worker();
        for _ in 0..9 {
            tokio::time::sleep(Duration::from_millis(40)).await;
            assert_eq!(sink.mails().len(), 1);
            server.clock.advance(Duration::from_secs(10));
        }
        server.clock.advance(Duration::from_secs(30));
        let second = sink.wait_for(2).await.remove(1);
        assert_eq!(first.header("message-id"), second.header("message-id"));
        all_sent(&server).await;
    }
}

#[tokio::test]
async fn two_nodes_send_each_mail_once() {
    const PEOPLE: usize = 40;
    for engine in engines() {
        let sink = Sink::start(Guard::Plain).await;
        let server = start_mailing(engine, &plain(&sink)).await;
        let other = open(&server.database, server.clock.clone()).await.unwrap();
        let (_stop, stopping) = Stop::switch();
        let run = mailing(&plain(&sink)).run(Arc::clone(&other), MailMetrics::default(), stopping, MINUTE);
        tokio::spawn(run);
        let ada = person(&server, "ada").await;
        let org = text(&ada.post("/orgs", &json!({"name": "Nordlicht"})).await.expect(201)["id"]);
        let mut members = Vec::new();
        for number in 0..PEOPLE {
            let member = person(&server, &format!("p{number}")).await;
            members.push(json!({"member_id": member.id, "role": "viewer"}));
        }
        let join = json!({ "org_memberships": members });
        ada.post(&format!("/orgs/{org}/memberships"), &join).await.expect(200);
        sink.wait_for(PEOPLE).await;
        all_sent(&server).await;
        server.clock.advance(Duration::from_secs(3600));
        tokio::time::sleep(Duration::from_millis(100)).await;
        let mails = sink.mails();
        let unique: HashSet<_> = mails.iter().map(|mail| mail.header("message-id").to_owned()).collect();
        assert_eq!((mails.len(), unique.len()), (PEOPLE, PEOPLE));
        assert!(sink.connections() < PEOPLE / 2, "{} connections: they are kept", sink.connections());
        other.close().await;
    }
}

#[tokio::test]
async fn a_stop_waits_for_mails_under_way_and_not_for_ever() {
    let sink = Sink::start(Guard::Plain).await;
    sink.set(Mode::Swallowing);
    let server = app::start(app::Engine::Sqlite).await;
    let (stop, stopping) = Stop::switch();
    let drain = Duration::from_millis(300);
    let run = mailing(&plain(&sink)).run(server.registry.clone(), MailMetrics::default(), stopping, drain);
    let running = tokio::spawn(run);
    let (ada, bob, org) = two(&server, "Nordlicht").await;
    add(&ada, &bob, &org).await;
    sink.wait_for(1).await;
    let began = Instant::now();
    stop.now();
    running.await.unwrap();
    assert!((drain..Duration::from_secs(3)).contains(&began.elapsed()), "{:?}", began.elapsed());
}

#[tokio::test]
async fn names_cannot_become_headers_or_markup() {
    let sink = Sink::start(Guard::Plain).await;
    let server = start_mailing(app::Engine::Sqlite, &plain(&sink)).await;
    let ada = person(&server, "ada").await;
    let bob = person(&server, "bob").await;
    for (number, name) in [
        "Bcc: eve@example.com",
        "=?utf-8?q?x=0D=0ABcc:_eve@example.com?=",
        "<script>alert(1)</script>",
        "\"quoted\", <eve@example.com>; 'x' & \\",
        "Kühlhäuser 冷蔵庫 👨\u{200D}👩\u{200D}👧",
        "{{ link }} {% if %}",
        ".",
        &"long ".repeat(50),
    ]
    .iter()
    .enumerate()
    {
        let name = name.trim();
        let org = text(&ada.post("/orgs", &json!({"name": name})).await.expect(201)["id"]);
        add(&ada, &bob, &org).await;
        let mail = sink.wait_for(number + 1).await.pop().unwrap();
        assert_eq!(mail.to, ["bob@example.com"], "{name}");
        assert_eq!(mail.headers.iter().filter(|(header, _)| header == "bcc" || header == "cc").count(), 0);
        let subject: String = format!("You are now a member of {name}").chars().take(200).collect();
        assert_eq!(mail.header("subject"), subject.replace("=?", "= ?").trim());
        assert!(mail.text.contains(name), "{}", mail.text);
        assert!(!mail.html.contains("<script>"), "{}", mail.html);
        assert!(mail.raw.lines().all(|line| line.len() <= 998));
    }
}

#[tokio::test]
async fn a_forgotten_password_is_set_anew_through_the_mail_server() {
    for engine in engines() {
        let sink = Sink::start(Guard::StartTls).await;
        let server = start_mailing(engine, &sink.setup(Encryption::Required)).await;
        let ann = person(&server, "ann").await;
        let ask = json!({"email": ann.email});
        server.anonymous.post("/password/reset-request", &ask).await.expect(202);
        let mail: Received = sink.wait_for_mail_to("ann@example.com").await;
        assert!(mail.link().starts_with("https://things.example.com/reset/rst_"), "{}", mail.link());
        assert!(mail.text.contains("2026-01-01 01:00 UTC"), "{}", mail.text);
        let new = "four unrelated words here";
        let body = json!({"token": mail.secret(), "password": new});
        server.anonymous.put("/password/reset", &body).await.expect(201);
        server
            .anonymous
            .post("/tokens", &json!({"email": ann.email, "password": PASSWORD}))
            .await
            .problem(401);
        server.anonymous.post("/tokens", &json!({"email": ann.email, "password": new})).await.expect(201);
    }
}

fn with_templates(dir: &Path) -> Setup {
    Setup {
        destination: Destination::Files(dir.join("out")),
        from: None,
        templates: Some(dir.to_owned()),
        ca: None,
        site: "https://things.example.com".to_owned(),
    }
}

#[tokio::test]
async fn an_operators_templates_replace_the_built_in_ones() {
    let sink = Sink::start(Guard::Plain).await;
    let dir = tempfile::tempdir().unwrap();
    let template = "Subject: Willkommen bei {{ org }}\n\nHallo, {{ by }} hat dich aufgenommen: {{ link }}\n";
    std::fs::write(dir.path().join("member-added.txt"), template).unwrap();
    let setup = Setup { templates: Some(dir.path().to_owned()), ..plain(&sink) };
    let server = start_mailing(app::Engine::Sqlite, &setup).await;
    let (ada, bob, org) = two(&server, "Nordlicht").await;
    add(&ada, &bob, &org).await;
    let mail = sink.wait_for(1).await.remove(0);
    assert_eq!(mail.header("subject"), "Willkommen bei Nordlicht");
    assert_eq!(
        mail.text.trim_end(),
        "Hallo, ada@example.com hat dich aufgenommen: https://things.example.com/"
    );
    assert!(mail.html.contains("made you a member"), "the built-in one");
}

#[test]
fn a_broken_template_is_refused_at_start() {
    for (name, text, told) in [
        ("invite.txt", "Subject: x\n{{ nobody }}\n", "invite.txt, line 2: undefined value"),
        ("invite.html", "{% if by %}", "invite.html, line 1: syntax error"),
        ("role-changed.txt", "Hello\n", "role-changed.txt, line 1: must be `Subject: ` and the subject"),
        ("layout.html", "a\nb {{ what }}\n", "layout.html, line 2: undefined value"),
        ("password-reset.html", "{{ link | unknown }}", "password-reset.html, line 1: unknown filter"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(name), text).unwrap();
        let refusal = Mailing::new(&with_templates(dir.path())).err().unwrap().to_string();
        let place = dir.path().join("").display().to_string();
        assert!(refusal.starts_with(&format!("mail_templates: {place}{told}")), "{refusal}");
    }
}

#[tokio::test]
async fn what_cannot_work_is_refused_at_start() {
    let sink = Sink::start(Guard::Tls).await;
    let told = |setup: Setup| Mailing::new(&setup).err().unwrap().to_string();
    let setup = sink.setup(Encryption::Implicit);
    assert!(told(Setup { from: None, ..setup.clone() }).starts_with("mail_from: must be set"));
    assert!(
        told(Setup { from: Some("nobody".to_owned()), ..setup.clone() })
            .starts_with("mail_from: must be an address")
    );
    let missing = Setup { ca: Some("/no/such.pem".into()), ..setup.clone() };
    assert!(told(missing).starts_with("mail_ca: /no/such.pem: "));
    let empty = tempfile::NamedTempFile::new().unwrap();
    let empty = Setup { ca: Some(empty.path().to_owned()), ..setup.clone() };
    assert!(told(empty).contains("there is no certificate in it"));
    let missing = Setup { templates: Some("/no/such".into()), ..setup.clone() };
    assert!(told(missing).starts_with("mail_templates: /no/such"));
    assert!(Mailing::new(&Setup { destination: Destination::Off, ..setup }).unwrap().is_none());
}

//! Two hundred secrets go in by every door; none of them may be found afterwards in a log, an error, a
//! list, the journal, the metrics, the database's files or its dump.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "also outside of the functions marked as tests"
)]

#[path = "support/app.rs"]
mod app;
#[path = "support/smtp.rs"]
mod smtp;
#[path = "support/grpc.rs"]
mod wire;

use std::sync::{Arc, Mutex};

use app::{Client, Engine, Running, Send, engines, start_mailing};
use registry::{Secret, secret::Prefix};
use reqwest::Method;
use serde_json::{Value, json};
use smtp::{Guard, Mode, Sink};
use things::mail::{Destination, Encryption, Server, Setup};
use tracing_subscriber::fmt::MakeWriter;

/// Everything logged by this process, at the most talkative level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// The secrets so far, and every answer that must not hold one.
#[derive(Default)]
struct Watch {
    secrets: Vec<String>,
    told: Vec<(String, String)>,
}

impl Watch {
    fn secret(&mut self, kind: &str) -> String {
        let secret = format!("canary {kind} {:04} {}", self.secrets.len(), "q7Zk".repeat(3));
        self.secrets.push(secret.clone());
        secret
    }

    fn keep(&mut self, secret: &Value) -> String {
        let secret = secret.as_str().unwrap_or_else(|| panic!("a secret in {secret}")).to_owned();
        self.secrets.push(secret.clone());
        secret
    }

    /// The same of gRPC.
    fn quiet_rpc<T: std::fmt::Debug>(
        &mut self,
        occasion: &str,
        answer: Result<tonic::Response<T>, tonic::Status>,
    ) {
        self.told.push((occasion.to_owned(), format!("{answer:?}")));
    }

    /// An answer in which no secret may be.
    fn quiet(&mut self, occasion: &str, reply: &app::Reply) {
        self.told.push((occasion.to_owned(), format!("{:?} {}", reply.headers, reply.text)));
    }
}

#[tokio::test]
async fn no_secret_is_ever_told() {
    let log = Log::default();
    tracing_subscriber::fmt()
        .with_writer(log.clone())
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .init();
    for engine in engines() {
        let sink = Sink::start(Guard::Plain).await;
        let mut watch = Watch::default();
        let login = Some(("things".to_owned(), Secret::new(watch.secret("mail password"))));
        let place = Server {
            host: "127.0.0.1".to_owned(),
            port: sink.address.port(),
            login,
            encryption: Encryption::None,
        };
        let setup = Setup {
            destination: Destination::Smtp(place),
            from: Some("things@example.com".to_owned()),
            templates: None,
            ca: None,
            site: "https://things.example.com".to_owned(),
        };
        let server = start_mailing(engine, &setup).await;
        people(&server, &mut watch).await;
        mail(&server, &sink, &mut watch).await;
        devices(&server, &mut watch).await;
        invites(&server, &mut watch).await;
        pages(&server, &mut watch).await;
        rpcs(&server, &mut watch).await;
        faults(&server, &mut watch, engine).await;
        assert!(watch.secrets.len() >= 200, "{} secrets", watch.secrets.len());

        let logged = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
        assert!(logged.contains("/profiles/{id}/things"), "the log is being read");
        let metrics = server.app.metrics.encode().unwrap();
        for (counted, route) in
            [&logged, &metrics].iter().flat_map(|c| [(c, "/reset/{secret}"), (c, "/join/{secret}")])
        {
            assert!(counted.contains(route), "pages are named by their routes");
        }
        let stored = everything_stored(&server).await;
        assert!(stored.contains("h1.p1.") || stored.contains("h1."), "the database is being read");
        for secret in &watch.secrets {
            assert!(!logged.contains(secret), "{secret} is in the log");
            assert!(!metrics.contains(secret), "{secret} is in the metrics");
            assert!(!stored.contains(secret), "{secret} is in the database");
            assert!(!stored.contains(&base64(secret)), "{secret} is in the database in base64");
            for (occasion, told) in &watch.told {
                assert!(!told.contains(secret), "{secret} is told by {occasion}: {told}");
            }
        }
        println!("{engine:?}: {} secrets, {} quiet answers", watch.secrets.len(), watch.told.len());
    }
}

async fn people(server: &Running, watch: &mut Watch) {
    let root = server.root().await;
    watch.secrets.push(root.token().to_owned());
    for n in 0..12 {
        let email = format!("user{n}@example.com");
        let password = watch.secret("password");
        root.post("/users", &json!({ "email": email, "password": password })).await.expect(201);
        let session =
            server.anonymous.post("/tokens", &json!({ "email": email, "password": password })).await;
        let token = watch.keep(&session.expect(201)["token"]);
        let person = server.client(&token);
        let made =
            person.post("/keys", &json!({ "name": format!("token {n}"), "scopes": ["read", "write"] })).await;
        let pat = watch.keep(&made.expect(201)["token"]);
        for path in ["/keys", "/users/profile", "/groups", "/things"] {
            watch.quiet(path, &server.client(&pat).get(path).await);
        }
        // Wrong ones are secrets too: they may be right elsewhere.
        for _ in 0..2 {
            let wrong = watch.secret("wrong password");
            let refused =
                server.anonymous.post("/tokens", &json!({ "email": email, "password": wrong })).await;
            watch.quiet("a wrong password", &refused);
        }
        let short = format!("q!{n:03}Zz");
        watch.secrets.push(short.clone());
        watch.quiet(
            "a short password",
            &root.post("/users", &json!({ "email": "x@example.com", "password": short })).await,
        );
        let next = watch.secret("next password");
        let changed = person.patch("/password", &json!({ "old_password": password, "password": next })).await;
        assert!(changed.status < 300, "{changed:?}");
        watch.quiet("a changed password", &changed);
        watch.quiet("a used token", &server.client(&format!("{pat}x")).get("/groups").await);
    }
}

/// A right that goes out by mail, at the second attempt.
async fn mail(server: &Running, sink: &Sink, watch: &mut Watch) {
    sink.set(Mode::Refusing(550));
    let ask = json!({ "email": "user0@example.com" });
    watch.quiet("a reset", &server.anonymous.post("/password/reset-request", &ask).await);
    while server.registry.mail_status().await.unwrap().last_error.is_none() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    watch.quiet("health", &server.anonymous.get("/health").await);
    sink.set(Mode::Accepting);
    server.clock.advance(std::time::Duration::from_secs(120));
    let sent = sink.wait_for_mail_to("user0@example.com").await;
    watch.secrets.push(sent.secret().to_owned());
    assert!(watch.secrets.contains(&sent.login.unwrap().1));
}

/// Somewhere to put things.
async fn profile(root: &Client) -> (String, String) {
    let org = root.post("/orgs", &json!({ "name": "org" })).await.expect(201);
    let groups = format!("/orgs/{}/groups", org["id"].as_str().unwrap());
    let group =
        root.post(&groups, &json!([{ "name": "group" }])).await.expect(201)["groups"][0]["id"].clone();
    let group = group.as_str().unwrap().to_owned();
    let made =
        root.post(&format!("/groups/{group}/profiles"), &json!([{ "name": "profile" }])).await.expect(201);
    (group, made["profiles"][0]["id"].as_str().unwrap().to_owned())
}

async fn devices(server: &Running, watch: &mut Watch) {
    let root = server.root().await;
    let (group, profile) = profile(&root).await;
    let path = format!("/profiles/{profile}/things");
    for round in 0..4 {
        let items: Vec<Value> = (0..10)
            .map(|n| {
                let name = format!("t{round}-{n}");
                if n % 2 == 0 {
                    json!({ "name": name })
                } else {
                    json!({ "name": name, "key": watch.secret("key") })
                }
            })
            .collect();
        // With a key for repetition, so that the answer is kept.
        let post = || {
            let request = root
                .request(Method::POST, &path)
                .header("idempotency-key", format!("round {round}").replace(' ', "-"));
            request.json(&items).reply()
        };
        let made = post().await.expect(201);
        assert_eq!(post().await.expect(201), made, "the same answer again");
        for thing in made["things"].as_array().unwrap() {
            let key = watch.keep(&thing["key"]);
            let id = thing["id"].as_str().unwrap();
            let metadata = server
                .anonymous
                .request(Method::GET, "/metadata")
                .header("authorization", format!("Thing {key}"));
            watch.quiet("own metadata", &metadata.reply().await);
            watch.quiet("identify", &server.anonymous.post("/identify", &json!({ "key": key })).await);
            let rotated =
                root.post(&format!("/things/{id}/key/rotate"), &json!({ "overlap": 60 })).await.expect(201);
            watch.keep(&rotated["key"]);
            let own = watch.secret("key put");
            watch.quiet(
                "put",
                &root.put(&format!("/things/{id}"), &json!({ "name": thing["name"], "key": own })).await,
            );
            assert_eq!(root.get(&format!("/things/{id}/key")).await.expect(200)["key"], own);
            watch.quiet("a wrong scheme", &server.client(&own).get("/groups").await);
        }
        // Conflicts and refusals with a key in them.
        let taken = watch.secrets.last().unwrap().clone();
        watch.quiet("taken", &root.post(&path, &json!([{ "name": "new", "key": taken }])).await);
        watch.quiet(
            "taken as external",
            &root.post(&path, &json!([{ "name": "new", "external_key": taken }])).await,
        );
        let long = watch.secret("long").repeat(20);
        watch.quiet("too long", &root.post(&path, &json!([{ "name": "new", "key": long }])).await);
        let wrong = watch.secret("wrong type");
        watch.quiet(
            "wrong type",
            &root.post(&path, &json!([{ "name": "new", "key": { "inner": wrong } }])).await,
        );
        let beside = watch.secret("key beside an error");
        watch.quiet("as a number", &root.post(&path, &json!([{ "name": 7, "key": beside }])).await);
        let unknown = watch.secret("unknown");
        watch.quiet(
            "unknown",
            &server.anonymous.post("/identify", &json!({ "key": unknown, "type": "external" })).await,
        );
        watch.quiet(
            "bad kind",
            &server.anonymous.post("/identify", &json!({ "key": unknown, "type": "x" })).await,
        );
        let cut = format!("[{{\"name\":\"x\",\"key\":\"{}", watch.secret("cut off"));
        let request = root.request(Method::POST, &path).header("content-type", "application/json").body(cut);
        watch.quiet("cut off", &request.reply().await);
    }
    for list in ["/things?limit=1000", "/journal?limit=1000", "/openapi.json", "/health"] {
        watch.quiet(list, &root.get(list).await);
    }
    for list in
        [format!("/groups/{group}/things?limit=1000"), format!("/profiles/{profile}/things?limit=1000")]
    {
        watch.quiet(&list, &root.get(&list).await);
    }
    watch.quiet("search", &root.post("/things/search", &json!({ "limit": 1000 })).await);
}

/// Keys and tokens come in by rpcs, and a key goes out.
async fn rpcs(server: &Running, watch: &mut Watch) {
    use wire::{
        protomfx::{
            OrgAccessReq, ThingId, ThingKey, Token, UserAccessReq, auth_service_client::AuthServiceClient,
            things_service_client::ThingsServiceClient,
        },
        v1::{self, registry_client::RegistryClient},
    };
    let root = server.root().await;
    watch.secrets.push(root.token().to_owned());
    let (_, profile) = profile(&root).await;
    let key = watch.secret("key by rpc");
    let made =
        root.post(&format!("/profiles/{profile}/things"), &json!([{ "name": "rpc", "key": key }])).await;
    let id = made.expect(201)["things"][0]["id"].as_str().unwrap().to_owned();
    let channel = wire::channel(server.grpc);
    let mut things = ThingsServiceClient::new(channel.clone());
    let revealed = things.get_key_by_thing_id(ThingId { value: id.clone() }).await.unwrap();
    assert_eq!(revealed.into_inner().value, key);
    for kind in ["internal", "external", "unknown"] {
        for value in [key.clone(), watch.secret("unknown key by rpc")] {
            let shown = ThingKey { value, r#type: kind.to_owned() };
            watch.quiet_rpc("Identify", things.identify(shown.clone()).await);
            watch.quiet_rpc("GetPubConfigByKey", things.get_pub_config_by_key(shown).await);
        }
    }
    let mut registry = RegistryClient::new(channel.clone());
    let credential = Some(v1::authenticate_request::Credential::Key(key));
    let asked = v1::AuthenticateRequest { credential, source: "192.0.2.1".to_owned() };
    watch.quiet_rpc("Authenticate", registry.authenticate(asked).await);
    let mut auth = AuthServiceClient::new(channel);
    for token in [root.token().to_owned(), watch.secret("token by rpc")] {
        watch.quiet_rpc("auth Identify", auth.identify(Token { value: token.clone() }).await);
        let asked = UserAccessReq { token: token.clone(), id: id.clone(), action: "x".to_owned() };
        watch.quiet_rpc("CanUserAccessThing", things.can_user_access_thing(asked).await);
        let asked = OrgAccessReq { org_id: id.clone(), token };
        watch.quiet_rpc("GetGroupIDsByOrg", things.get_group_i_ds_by_org(asked).await);
    }
}

/// Invites' secrets come in by paths, which are logged, measured and told apart by.
async fn invites(server: &Running, watch: &mut Watch) {
    let root = server.root().await;
    for n in 0..5 {
        let email = format!("invited{n}@example.com");
        watch.quiet("an invite", &root.post("/invites", &json!({ "email": email })).await);
        let secret = server.invite_secret(&email).await.expose().to_owned();
        watch.secrets.push(secret.clone());
        let path = format!("/register/invite/{secret}");
        watch.quiet("joining", &server.anonymous.get(&path).await);
        for method in [Method::PUT, Method::DELETE, Method::PATCH] {
            watch.quiet("a wrong method", &server.anonymous.request(method, &path).reply().await);
        }
        watch.quiet("a longer path", &server.anonymous.get(&format!("{path}/x")).await);
        watch.quiet("a query", &server.anonymous.get(&format!("{path}?x=1")).await);
        watch.quiet("a query's secret", &root.get(&format!("/invites?state={secret}")).await);
        watch.quiet("another path", &server.anonymous.get(&format!("/{secret}")).await);
        watch.quiet("as an id", &root.get(&format!("/invites/{secret}")).await);
        watch.quiet("as a token", &server.client(&secret).get("/invites").await);
        watch.quiet("not JSON", &server.anonymous.request(Method::POST, &path).body("{").reply().await);
        watch.quiet("no password", &server.anonymous.post(&path, &json!({})).await);
        let unknown = watch.secret("unknown invite").replace(' ', "-");
        watch.quiet("unknown", &server.anonymous.get(&format!("/register/invite/{unknown}")).await);
        watch.secrets.push(unknown);
        let password = watch.secret("password by invite");
        for _ in 0..2 {
            let register = server.anonymous.request(Method::POST, &path).header("idempotency-key", "once");
            let joined = register.json(&json!({ "password": password })).reply().await;
            assert_eq!(joined.status, 201, "{joined:?}");
            watch.quiet("joined", &joined);
        }
        watch.quiet("used", &server.anonymous.get(&path).await);
    }
    for list in ["/invites?limit=1000", "/invites?kind=platform", "/journal?limit=1000", "/users?limit=1000"]
    {
        watch.quiet(list, &root.get(list).await);
    }
}

/// Pages take secrets in paths, in forms and in cookies, over both versions of HTTP.
async fn pages(server: &Running, watch: &mut Watch) {
    let client = || reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    let http_1 = client().http1_only().build().unwrap();
    let http_2 = client().http2_prior_knowledge().build().unwrap();
    for (n, http) in [http_1, http_2].into_iter().enumerate() {
        let send = |method: Method, path: &str, fields: String| {
            http.request(method, format!("http://{}{path}", server.address))
                .header("content-type", "application/x-www-form-urlencoded")
                // What a repeatable request is told apart by has its path in it.
                .header("idempotency-key", format!("pages-{n}"))
                .body(fields)
        };
        let new = "q7Zk-a-new-password-by-page";
        let password = format!("q7Zk-canary-password-by-page-{n}");
        let email = format!("page{n}@example.com");
        let made = json!({ "email": email, "password": password });
        server.root().await.post("/users", &made).await.expect(201);
        for kind in [Prefix::PasswordReset, Prefix::ThingKey] {
            let link = registry::Secret::generate(kind).unwrap().expose().to_owned();
            for path in
                [format!("/reset/{link}"), format!("/reset/{link}/x"), format!("/reset/{link}?next=/{link}")]
            {
                watch.quiet("a link", &send(Method::GET, &path, String::new()).reply().await);
                watch.quiet(
                    "a link used",
                    &send(Method::POST, &path, format!("password={new}")).reply().await,
                );
                watch.quiet("a link misused", &send(Method::PUT, &path, String::new()).reply().await);
                let elsewhere = send(Method::POST, &path, format!("password={new}")).header("origin", "null");
                watch.quiet("a link from elsewhere", &elsewhere.reply().await);
            }
            watch.secrets.push(link);
        }
        let door = invited_by_page(server, n).await;
        let path = format!("/join/{door}");
        // The page has forms that lead back to it, for nobody but who has come by it.
        for path in [path.clone(), format!("{path}?next=/join/{door}")] {
            assert_eq!(send(Method::GET, &path, String::new()).reply().await.status, 200);
        }
        for path in [path.clone(), format!("{path}/decline"), format!("{path}/x")] {
            watch.quiet("a door misused", &send(Method::PUT, &path, String::new()).reply().await);
            let elsewhere = send(Method::POST, &path, String::new()).header("origin", "null");
            watch.quiet("a door from elsewhere", &elsewhere.reply().await);
        }
        send(Method::POST, &path, "password=q7Zk".to_owned()).reply().await;
        let chosen = format!("q7Zk-password-by-invite-{n}");
        let entered = send(Method::POST, &path, format!("password={chosen}")).reply().await;
        assert_eq!((entered.status, entered.header("location")), (303, "/invitations"), "{}", entered.text);
        let entered = entered.header("set-cookie").split(';').next().unwrap().to_owned();
        let waiting =
            send(Method::GET, "/invitations", String::new()).header("cookie", &entered).reply().await;
        assert_eq!(waiting.status, 200);
        watch.quiet("what waits", &waiting);
        watch.quiet("a used door", &send(Method::GET, &path, String::new()).reply().await);
        watch.secrets.extend([door, chosen, entered.split_once('=').unwrap().1.to_owned()]);
        let wrong = format!("q7Zk-wrong-password-by-page-{n}");
        let refused = send(Method::POST, "/login", format!("email={email}&password={wrong}"));
        watch.quiet("a wrong password by page", &refused.reply().await);
        let session =
            send(Method::POST, "/login", format!("email={email}&password={password}")).reply().await;
        assert_eq!(session.status, 303, "{}", session.text);
        let cookie = session.header("set-cookie").split(';').next().unwrap().to_owned();
        let page = send(Method::GET, "/login", String::new()).header("cookie", &cookie).reply().await;
        assert!(page.text.contains(&email), "{}", page.text);
        watch.quiet("a page by cookie", &page);
        watch.secrets.push(cookie.split_once('=').unwrap().1.to_owned());
        watch.secrets.extend([new.to_owned(), password, wrong]);
    }
}

/// The secret of a platform invite, for a page.
async fn invited_by_page(server: &Running, n: usize) -> String {
    let email = format!("door{n}@example.com");
    server.root().await.post("/invites", &json!({ "email": email })).await.expect(201);
    server.invite_secret(&email).await.expose().to_owned()
}

/// The database refuses in the middle of a request: the answer is 5xx and says nothing.
async fn faults(server: &Running, watch: &mut Watch, engine: Engine) {
    let root = server.root().await;
    let (_, profile) = profile(&root).await;
    let path = format!("/profiles/{profile}/things");
    let made = root.post(&path, &json!([{ "name": "victim" }])).await.expect(201);
    let key = watch.keep(&made["things"][0]["key"]);
    server.database.execute("ALTER TABLE credential_index RENAME TO broken").await;
    let broken = root.post(&path, &json!([{ "name": "n", "key": watch.secret("key into a fault") }])).await;
    assert_eq!(broken.status, 500, "{engine:?}: {broken:?}");
    watch.quiet("a fault", &broken);
    let identify = server.anonymous.post("/identify", &json!({ "key": key })).await;
    assert_eq!(identify.status, 500, "{engine:?}: {identify:?}");
    watch.quiet("a fault of identify", &identify);
    for word in ["sqlx", "psql", "credential_index", "/src/", "relation", "no such table"] {
        assert!(!broken.text.contains(word) && !identify.text.contains(word), "{word}: {broken:?}");
    }
    server.database.execute("ALTER TABLE broken RENAME TO credential_index").await;
    server.database.execute("ALTER TABLE sessions RENAME TO broken").await;
    let token = root.token().to_owned();
    watch.quiet("a fault of authentication", &server.client(&token).get("/groups").await);
    server.database.execute("ALTER TABLE broken RENAME TO sessions").await;
}

/// The database as whoever steals it would read it.
async fn everything_stored(server: &Running) -> String {
    match server.database.file() {
        Some(file) => ["", "-wal"]
            .into_iter()
            .filter_map(|suffix| std::fs::read(format!("{}{suffix}", file.display())).ok())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .collect(),
        // PostgreSQL's pages may be compressed, so its rows are read instead; bytes come as base64.
        None => {
            let tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE'";
            let rows = "query_to_xml(format('SELECT * FROM %I', table_name), true, false, '')::text";
            server.database.text(format!("SELECT string_agg({rows}, ' ') FROM ({tables}) t")).await
        }
    }
}

/// As PostgreSQL's XML shows the same bytes, less the end that depends on what follows them.
fn base64(text: &str) -> String {
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::STANDARD.encode(text);
    encoded.get(..text.len() / 3 * 4).unwrap().to_owned()
}

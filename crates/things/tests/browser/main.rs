//! The pages in a real browser: with scripts and without, light and dark, wide and narrow, and with
//! somebody else's page beside them.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test ends where it cannot go on"
)]

#[path = "../support/app.rs"]
mod app;
#[path = "../support/personas.rs"]
mod personas;
#[path = "../support/webdriver.rs"]
mod webdriver;

mod invitations;

use std::path::Path;

use app::{Engine, ROOT_PASSWORD as PASSWORD, Running, mailbox::Mailbox, start, start_mailing};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use webdriver::{Browser, Scripts, is_there};

const ANN: &str = "ann@example.com";
/// A name long enough to be looked for in passwords.
const ANNABEL: &str = "annabel@example.com";
const NEW: &str = "four unrelated words here";

/// Somebody types into the log-in form and sends it.
async fn log_in(browser: &Browser, email: &str, password: &str) {
    browser.fill("#email", email).await;
    browser.fill("#password", password).await;
    browser.click("button[type=submit]").await;
}

#[tokio::test]
async fn a_person_logs_in_and_out_with_scripts_and_without() {
    if !is_there() {
        return;
    }
    let server = start(Engine::Sqlite).await;
    server.person(ANN).await;
    let site = format!("http://{}", server.address);
    for scripts in [Scripts::On, Scripts::Off] {
        let browser = Browser::start(scripts).await;
        let probe = elsewhere("127.0.0.1", "<noscript>off</noscript><script>document.title = 'On'</script>");
        browser.open(&probe.await).await;
        assert_eq!(browser.title().await == "On", scripts == Scripts::On);

        browser.open(&format!("{site}/")).await;
        browser.see("Things").await;
        browser.click("a[href='/login']").await;
        browser.see("Log in").await;
        log_in(&browser, "Ann@Example.com", "not the right password").await;
        let told = browser.text("[role=alert]").await;
        assert_eq!(told, "The e-mail address or the password is wrong, or the account is disabled.");
        assert_eq!(browser.value("#email").await, "Ann@Example.com");
        assert_eq!(browser.value("#password").await, "");
        log_in(&browser, "ann", "x").await;
        assert_eq!(
            browser.text("#email-wrong").await,
            "This must be an e-mail address, such as ada@example.com."
        );
        log_in(&browser, "ann@example.com", PASSWORD).await;
        browser.see("You are logged in").await;
        assert_eq!(browser.text("dd").await, ANN);

        let cookies = browser.cookies().await;
        assert_eq!(cookies.len(), 1, "{cookies:?}");
        let cookie = &cookies[0];
        assert_eq!((&cookie["httpOnly"], &cookie["sameSite"]), (&json!(true), &json!("Lax")));
        let token = cookie["value"].as_str().unwrap();
        server.client(token).get("/users/profile").await.expect(200);

        // The address keeps where one wanted to go, and nobody is led elsewhere.
        browser.open(&format!("{site}/login?next=//evil.example")).await;
        browser.see("You are logged in").await;
        browser.open(&format!("{site}/login?next=/")).await;
        browser.see("Things").await;

        browser.open(&format!("{site}/login")).await;
        browser.click("button.quiet").await;
        browser.see("Log in").await;
        assert_eq!(browser.text("[role=status]").await, "You are logged out.");
        assert_eq!(browser.cookies().await.len(), 0);
        assert_eq!(server.client(token).get("/users/profile").await.status, 401);
    }
}

#[tokio::test]
async fn a_forgotten_password_is_set_anew_without_scripts() {
    if !is_there() {
        return;
    }
    let mailbox = Mailbox::empty();
    let server = start_mailing(Engine::Sqlite, &mailbox.setup()).await;
    let annabel = server.person(ANNABEL).await;
    let site = format!("http://{}", server.address);
    let browser = Browser::start(Scripts::Off).await;
    browser.open(&format!("{site}/login")).await;
    log_in(&browser, ANNABEL, PASSWORD).await;
    browser.see("You are logged in").await;

    browser.open(&format!("{site}/forgot")).await;
    browser.fill("#email", "ann at example").await;
    browser.click("button").await;
    assert!(browser.text("#email-wrong").await.starts_with("This must be an e-mail address"));
    assert_eq!(browser.value("#email").await, "ann at example");
    browser.fill("#email", ANNABEL).await;
    browser.click("button").await;
    browser.see("Look into your mail").await;

    let secret = mailbox.secret(1).await.expose().to_owned();
    browser.open(&format!("{site}/reset/{}", &secret[..30])).await;
    browser.see("This link does not work").await;
    browser.open(&format!("{site}/reset/{secret}")).await;
    browser.see("Set a new password").await;
    for (bad, told) in [
        ("short", "This must be at least 12 characters long."),
        ("annabel-was-here", "This must not contain the name in your e-mail address."),
    ] {
        browser.fill("#password", bad).await;
        browser.click("button").await;
        assert_eq!(browser.text("#password-wrong").await, told);
    }
    browser.fill("#password", NEW).await;
    browser.click("button").await;
    browser.see("Log in").await;
    assert!(browser.text("[role=status]").await.starts_with("Your new password is set."));
    assert_eq!(annabel.get("/users/profile").await.status, 401);
    log_in(&browser, ANNABEL, NEW).await;
    browser.see("You are logged in").await;

    browser.open(&format!("{site}/reset/{secret}")).await;
    browser.fill("#password", PASSWORD).await;
    browser.click("button").await;
    browser.see("This link does not work").await;
    browser.click("a.button").await;
    browser.see("Forgot your password?").await;
}

#[tokio::test]
async fn other_sites_send_no_forms() {
    if !is_there() {
        return;
    }
    let server = start(Engine::Sqlite).await;
    server.person(ANN).await;
    server.person("eve@example.com").await;
    let site = format!("http://{}", server.address);
    let browser = Browser::start(Scripts::On).await;
    browser.open(&format!("{site}/login")).await;
    log_in(&browser, ANN, PASSWORD).await;
    browser.see("You are logged in").await;
    // Another site gets no cookie; a neighbour on another port does, and is refused all the same.
    for host in ["localhost", "127.0.0.1"] {
        for form in [
            format!("<form method=post action='{site}/logout'><button>Win</button></form>"),
            format!(
                "<form method=post action='{site}/login'><input name=email value=eve@example.com>\
                 <input name=password value='{PASSWORD}'><button>Win</button></form>"
            ),
        ] {
            browser.open(&elsewhere(host, &form).await).await;
            browser.click("button").await;
            browser.see("Sent from another site").await;
            browser.open(&format!("{site}/login")).await;
            browser.see("You are logged in").await;
            assert_eq!(browser.text("dd").await, ANN);
        }
        let frame = format!("<iframe src='{site}/login'></iframe><h1>Framed</h1>");
        browser.open(&elsewhere(host, &frame).await).await;
        browser.see("Framed").await;
        let seen = browser.evaluate("try { return frames[0].document.body.innerText } catch { return null }");
        assert!(!seen.await.to_string().contains("logged in"));
    }
}

/// Where the connection is not trusted browsers do not say `Sec-Fetch-Site`, and everything hangs on `Origin`.
#[tokio::test]
async fn over_plain_http_by_name_one_logs_in_too() {
    if !is_there() {
        return;
    }
    let server = start(Engine::Sqlite).await;
    server.person(ANN).await;
    let site = format!("http://things.test:{}", server.address.port());
    let browser = Browser::start(Scripts::Off).await;
    browser.open(&format!("{site}/login?next=/")).await;
    log_in(&browser, ANN, PASSWORD).await;
    browser.see("Things").await;
    assert_eq!(browser.url().await, format!("{site}/"));
    let form = format!("<form method=post action='{site}/logout'><button>Win</button></form>");
    browser.open(&elsewhere("127.0.0.1", &form).await).await;
    browser.click("button").await;
    browser.see("Sent from another site").await;
    browser.open(&format!("{site}/login")).await;
    browser.see("You are logged in").await;
}

#[tokio::test]
async fn hostile_text_is_only_text() {
    if !is_there() {
        return;
    }
    let server = start(Engine::Sqlite).await;
    let site = format!("http://{}", server.address);
    let browser = Browser::start(Scripts::On).await;
    for hostile in [
        "\"><script>alert(1)</script>",
        "' autofocus onfocus=alert(1) x='",
        "\" onfocus=\"alert(1)",
        "</p><img src=x onerror=alert(1)>",
        "{{7*7}}${7*7}<svg onload=alert(1)>",
    ] {
        browser.open(&format!("{site}/login")).await;
        log_in(&browser, hostile, "x").await;
        browser.see("Log in").await;
        assert_eq!(browser.value("#email").await, hostile);
        assert!(!browser.has_dialog().await, "{hostile}");
        assert_eq!(browser.count("script, img, main svg").await, 0, "{hostile}");
    }
    // Names that are addresses all the same.
    let odd = "o'neil&lt&amp$`{{7*7}}`@example.com";
    server.person(odd).await;
    log_in(&browser, odd, PASSWORD).await;
    browser.see("You are logged in").await;
    assert_eq!(browser.text("dd").await, odd);
    assert!(!browser.has_dialog().await);
    for path in [
        "login?next=%22%3E%3Cscript%3Ealert(1)%3C/script%3E",
        "login?notice=%3Cscript%3E",
        "%3Cscript%3Ealert(1)%3C/script%3E",
    ] {
        browser.open(&format!("{site}/{path}")).await;
        assert_eq!(browser.count("script").await, 0, "{path}");
        assert!(!browser.has_dialog().await, "{path}");
    }
}

/// Everything that is seen in one state of the pages.
async fn tour(server: &Running, browser: &Browser, mut look: impl AsyncFnMut(&str)) {
    let site = format!("http://{}", server.address);
    let reset = registry::Secret::generate(registry::secret::Prefix::PasswordReset).unwrap();
    for (name, path) in [
        ("home", "/"),
        ("login", "/login"),
        ("logged-out", "/login?notice=logged-out"),
        ("forgot", "/forgot"),
        ("mail-sent", "/forgot?sent"),
        ("reset", &format!("/reset/{}", reset.expose())),
        ("reset-over", "/reset/x"),
        ("not-found", "/nowhere"),
    ] {
        browser.open(&format!("{site}{path}")).await;
        browser.count("h1").await;
        look(name).await;
    }
    browser.open(&format!("{site}/login")).await;
    log_in(browser, "ann", "x").await;
    browser.find_wrong().await;
    look("login-field-wrong").await;
    log_in(browser, "a-person-with-quite-a-long-name@department.example.com", "x").await;
    browser.text("[role=alert]").await;
    look("login-wrong").await;
    browser.open(&format!("{site}/reset/{}", reset.expose())).await;
    browser.fill("#password", "short").await;
    browser.click("button").await;
    browser.find_wrong().await;
    look("reset-wrong").await;
    browser.open(&format!("{site}/login")).await;
    log_in(browser, ANN, PASSWORD).await;
    browser.see("You are logged in").await;
    look("logged-in").await;
    browser.click("button").await;
    browser.see("Log in").await;
    invitations::tour(server, browser, &mut look).await;
}

impl Browser {
    async fn find_wrong(&self) {
        self.text(".message").await;
    }
}

/// Pictures of all of it are left in the build's directory for whoever wants to look.
#[tokio::test]
async fn pages_are_legible_in_light_and_dark_and_fit_on_telephones() {
    if !is_there() {
        return;
    }
    let server = start(Engine::Sqlite).await;
    server.person(ANN).await;
    let album = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pages");
    std::fs::create_dir_all(&album).unwrap();
    let browser = Browser::start(Scripts::On).await;
    for (look, scheme, width, height) in
        [("light", "light", 1024, 720), ("dark", "dark", 1024, 720), ("narrow", "light", 320, 640)]
    {
        browser.prefer(scheme).await;
        browser.resize(width, height).await;
        tour(&server, &browser, async |name| {
            browser.screenshot(&album.join(format!("{name}-{look}.png"))).await;
            let found = browser.evaluate(FAULTS).await;
            assert_eq!(found, json!([]), "{name}, {look}");
        })
        .await;
    }
}

/// Finds text of too little contrast (WCAG 2.2, 1.4.3), fields without a label, and what is wider than the window.
const FAULTS: &str = r#"
const faults = [];
const rgb = (colour) => colour.match(/[\d.]+/g).map(Number);
const light = (colour) => {
    const [r, g, b] = rgb(colour).map((c) => c / 255).map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = (element) => {
    for (let e = element; e; e = e.parentElement) {
        const colour = getComputedStyle(e).backgroundColor;
        if ((rgb(colour)[3] ?? 1) === 1) return colour;
    }
    return 'rgb(255, 255, 255)';
};
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
let seen = 0;
while (texts.nextNode()) {
    const text = texts.currentNode.textContent.trim();
    if (!text) continue;
    seen += 1;
    const element = texts.currentNode.parentElement;
    const [a, b] = [light(getComputedStyle(element).color), light(ground(element))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) faults.push(`${text}: contrast ${contrast.toFixed(2)}`);
}
if (seen < 3) faults.push('hardly any text');
for (const input of document.querySelectorAll('input:not([type=hidden])')) {
    if (input.labels.length !== 1) faults.push(`${input.name}: no label`);
    for (const id of (input.getAttribute('aria-describedby') ?? '').split(' ').filter(Boolean)) {
        if (!document.getElementById(id)) faults.push(`${input.name}: described by ${id}, which is not there`);
    }
    if (parseFloat(getComputedStyle(input).fontSize) < 16) faults.push(`${input.name}: small text`);
}
for (const target of document.querySelectorAll('button, .button, input:not([type=hidden])')) {
    if (target.getBoundingClientRect().height < 44) faults.push(`${target.textContent || target.name}: hard to hit`);
}
const page = document.documentElement;
if (page.scrollWidth > page.clientWidth) faults.push(`${page.scrollWidth} wide in ${page.clientWidth}`);
if (document.querySelectorAll('h1').length !== 1) faults.push('not one heading');
return faults;
"#;

/// Somebody else's page, on a port of its own; its address.
async fn elsewhere(host: &str, html: &str) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let page = format!("<!doctype html><title>Elsewhere</title>{html}");
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{page}",
        page.len()
    );
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 8192]).await;
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    format!("http://{host}:{port}/")
}

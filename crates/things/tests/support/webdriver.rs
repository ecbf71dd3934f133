//! Chromium, driven through chromedriver by the WebDriver protocol: JSON over HTTP, of which tests need
//! a dozen requests.

#![allow(dead_code, unreachable_pub, reason = "every test crate includes this file and uses part of it")]

use std::{
    env,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};

/// How WebDriver names an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// Long enough for a page on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whether pages may run scripts. Ours have none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scripts {
    On,
    Off,
}

/// Whether there is a browser to test with; where nothing may be skipped, there has to be.
pub fn is_there() -> bool {
    let missing = ["chromium", "chromedriver"].into_iter().find(|program| {
        let mut version = Command::new(program);
        version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
        !version.status().is_ok_and(|status| status.success())
    });
    let Some(program) = missing else { return true };
    assert!(env::var("CI").as_deref() != Ok("true"), "{program} is missing");
    eprintln!("the pages are not tried in a browser: {program} is missing");
    false
}

/// A browser of its own, with nobody's history. It ends when dropped.
pub struct Browser {
    driver: Child,
    address: SocketAddr,
    session: String,
    http: reqwest::Client,
    // Dropped last: the browser writes into it.
    _profile: tempfile::TempDir,
}

impl Browser {
    pub async fn start(scripts: Scripts) -> Self {
        // A group of its own, so that whatever it starts can be ended with it.
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines
            .map(Result::unwrap)
            .find_map(|line| line.split_once("successfully on port ")?.1.trim_end_matches('.').parse().ok())
            .unwrap_or_else(|| panic!("chromedriver did not start"));
        let profile = tempfile::tempdir().unwrap();
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE * 3).build().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut browser = Self { driver, address, session: String::new(), http, _profile: profile };
        let profile = browser._profile.path().display();
        let options = json!({
            "args": [
                "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage",
                "--no-first-run", "--no-proxy-server", "--disable-background-networking",
                "--disable-component-update", "--disable-sync", "--disable-extensions",
                // A name that the browser does not take for this machine, as one in a local network.
                "--host-resolver-rules=MAP things.test 127.0.0.1",
                format!("--user-data-dir={profile}"),
            ],
            "prefs": {
                "profile.managed_default_content_settings.javascript": if scripts == Scripts::On { 1 } else { 2 },
                "credentials_enable_service": false,
            },
        });
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "timeouts": { "implicit": 5000, "pageLoad": 20000 },
            "goog:chromeOptions": options,
        } } });
        let made = browser.call(reqwest::Method::POST, "", Some(wanted)).await;
        browser.session = format!("/{}", made["sessionId"].as_str().unwrap());
        browser
    }

    /// One request of the protocol, which has to succeed.
    async fn call(&self, method: reqwest::Method, path: &str, body: Option<Value>) -> Value {
        let what = format!("{method} {path} {}", body.as_ref().unwrap_or(&Value::Null));
        self.ask(method, path, body).await.unwrap_or_else(|error| panic!("{what}: {error}"))
    }

    async fn ask(&self, method: reqwest::Method, path: &str, body: Option<Value>) -> Result<Value, Value> {
        let url = format!("http://{}/session{}{path}", self.address, self.session);
        let request = self.http.request(method, url);
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        match answer["value"].get("error") {
            Some(_) => Err(answer["value"].clone()),
            None => Ok(answer["value"].clone()),
        }
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        self.call(reqwest::Method::POST, path, Some(body)).await
    }

    async fn get(&self, path: &str) -> Value {
        self.call(reqwest::Method::GET, path, None).await
    }

    pub async fn open(&self, url: &str) {
        self.post("/url", json!({ "url": url })).await;
    }

    pub async fn url(&self) -> String {
        self.get("/url").await.as_str().unwrap().to_owned()
    }

    pub async fn title(&self) -> String {
        self.get("/title").await.as_str().unwrap().to_owned()
    }

    /// The first element that a CSS selector finds; waits for it.
    async fn find(&self, css: &str) -> String {
        let found = self.post("/element", json!({ "using": "css selector", "value": css })).await;
        format!("/element/{}", found[ELEMENT].as_str().unwrap())
    }

    /// How many there are now.
    pub async fn count(&self, css: &str) -> usize {
        self.post("/timeouts", json!({ "implicit": 0 })).await;
        let found = self.post("/elements", json!({ "using": "css selector", "value": css })).await;
        self.post("/timeouts", json!({ "implicit": 5000 })).await;
        found.as_array().unwrap().len()
    }

    /// What a person reads there.
    pub async fn text(&self, css: &str) -> String {
        let element = self.find(css).await;
        self.get(&format!("{element}/text")).await.as_str().unwrap().to_owned()
    }

    /// What is typed into a field.
    pub async fn value(&self, css: &str) -> String {
        let element = self.find(css).await;
        self.get(&format!("{element}/property/value")).await.as_str().unwrap().to_owned()
    }

    /// Replaces what is typed into a field.
    pub async fn fill(&self, css: &str, text: &str) {
        let element = self.find(css).await;
        self.post(&format!("{element}/clear"), json!({})).await;
        self.post(&format!("{element}/value"), json!({ "text": text })).await;
    }

    /// Clicks on what leads to another page, and waits until it is there.
    pub async fn click(&self, css: &str) {
        let before = self.find("html").await;
        let element = self.find(css).await;
        self.post(&format!("{element}/click"), json!({})).await;
        let started = std::time::Instant::now();
        while self.find("html").await == before {
            assert!(started.elapsed() < PATIENCE, "{css} leads nowhere");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the page's heading is this one.
    #[track_caller]
    pub fn see(&self, heading: &str) -> impl Future<Output = ()> {
        let place = std::panic::Location::caller();
        async move {
            let started = std::time::Instant::now();
            loop {
                // While one page makes way for the next, its elements are gone.
                let found = self
                    .ask(
                        reqwest::Method::POST,
                        "/element",
                        Some(json!({ "using": "css selector", "value": "h1" })),
                    )
                    .await;
                let text = match found {
                    Ok(found) => {
                        let path = format!("/element/{}/text", found[ELEMENT].as_str().unwrap());
                        self.ask(reqwest::Method::GET, &path, None).await
                    }
                    Err(error) => Err(error),
                };
                match text {
                    Ok(text) if text == heading => return,
                    found if started.elapsed() > PATIENCE => {
                        panic!("{place}: {heading:?} is not seen, but {found:?} on {}", self.url().await)
                    }
                    _ => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        }
    }

    /// The browser's cookies, those too that scripts cannot see.
    pub async fn cookies(&self) -> Vec<Value> {
        self.get("/cookie").await.as_array().unwrap().clone()
    }

    /// Whether a dialog is open, which nothing of ours opens.
    pub async fn has_dialog(&self) -> bool {
        self.ask(reqwest::Method::GET, "/alert/text", None).await.is_ok()
    }

    /// What a function without arguments returns on this page.
    pub async fn evaluate(&self, body: &str) -> Value {
        self.post("/execute/sync", json!({ "script": body, "args": [] })).await
    }

    /// Chromium's own protocol, for what WebDriver has no word for.
    async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.post("/goog/cdp/execute", json!({ "cmd": command, "params": parameters })).await
    }

    pub async fn prefer(&self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    pub async fn resize(&self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 2, "mobile": width < 500 });
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// All of the page, not only what the window shows of it.
    pub async fn screenshot(&self, file: &Path) {
        let size = "const page = document.documentElement; return [page.scrollWidth, page.scrollHeight]";
        let size = self.evaluate(size).await;
        let clip = json!({ "x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1 });
        let parameters = json!({ "captureBeyondViewport": true, "clip": clip });
        let picture = self.devtools("Page.captureScreenshot", parameters).await;
        std::fs::write(file, STANDARD.decode(picture["data"].as_str().unwrap()).unwrap()).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Asked to end its session the driver closes the browser, which keeps its own process group.
        let ended = TcpStream::connect_timeout(&self.address, PATIENCE).and_then(|mut stream| {
            stream.set_read_timeout(Some(PATIENCE))?;
            let request = format!(
                "DELETE /session{} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
                self.session, self.address
            );
            stream.write_all(request.as_bytes())?;
            stream.read_exact(&mut [0; 12])
        });
        if let Err(error) = ended {
            eprintln!("the browser may still run: {error}");
        }
        let _ = kill_process_group(Pid::from_child(&self.driver), Signal::KILL);
        let _ = self.driver.wait();
    }
}

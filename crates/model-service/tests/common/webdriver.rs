//! A chromium for each test, controlled by chromedriver with the WebDriver protocol
//! (w3.org/TR/webdriver2).

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;
use ureq::Agent;
use ureq::http::Request;

/// The name of an element id in the JSON of the protocol.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// The time limit for a page.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Browser {
    driver: Driver,
    /// The address of the session, the prefix of all commands.
    session: String,
}

/// chromedriver, in a process group that has all of chromium in it.
struct Driver {
    /// The head of the group.
    shell: Child,
    /// If it were closed, chromedriver would end at its next line.
    _stdout: BufReader<ChildStdout>,
    address: String,
    agent: Agent,
    /// chromium's profile, and what both leave in the directory for temporary files.
    directory: TempDir,
}

impl Driver {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // The shell kills its group when this process, and with it the pipe, has ended in any way.
        let mut shell = Command::new("sh")
            .args(["-c", "chromedriver --port=0 & exec >&-; read -r _; kill -KILL 0"])
            .env("HOME", directory.path())
            .env("TMPDIR", directory.path())
            .stdin(Stdio::piped())
            .process_group(0)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(shell.stdout.take().unwrap());
        let mut lines = stdout.by_ref().lines().map(Result::unwrap);
        let port = lines.find_map(|line| Some(line.split_once("successfully on port ")?.1.to_owned()));
        let port = port.expect("a chromedriver that starts; see install-packages.sh");
        let config = Agent::config_builder().http_status_as_error(false).proxy(None);
        Self {
            shell,
            _stdout: stdout,
            address: format!("http://127.0.0.1:{}", port.trim_end_matches('.')),
            agent: config.build().into(),
            directory,
        }
    }

    /// The value of the command, or the name of its error.
    fn ask(&self, method: &str, path: &str, parameters: Option<&Value>) -> Result<Value, String> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.address));
        let body = parameters.map(Value::to_string).unwrap_or_default();
        let answer = self.agent.run(request.body(body).unwrap());
        let text = answer
            .unwrap()
            .body_mut()
            .with_config()
            .limit(u64::MAX)
            .read_to_string();
        let mut answer: Value = serde_json::from_str(&text.unwrap()).unwrap();
        let value = answer["value"].take();
        match value["error"].as_str() {
            Some(error) => Err(format!("{error}: {}", value["message"])),
            None => Ok(value),
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = killpg(Pid::from_raw(self.shell.id() as i32), Signal::SIGKILL);
        let _ = self.shell.wait();
    }
}

impl Browser {
    pub fn start() -> Self {
        Self::with_preferences(json!({}))
    }

    /// A browser that runs no scripts except those of the protocol.
    pub fn without_scripts() -> Self {
        Self::with_preferences(json!({ "profile.managed_default_content_settings.javascript": 2 }))
    }

    fn with_preferences(preferences: Value) -> Self {
        let driver = Driver::start();
        let arguments = [
            "--headless",
            "--hide-scrollbars",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--no-proxy-server",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            &format!(
                "--user-data-dir={}",
                driver.directory.path().join("profile").display()
            ),
        ];
        let capabilities = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "args": arguments, "prefs": preferences },
            // A dialogue that a script has opened stays open.
            "unhandledPromptBehavior": "ignore",
            // A station signs its own certificate.
            "acceptInsecureCerts": true,
        }}});
        let session = driver.ask("POST", "/session", Some(&capabilities)).unwrap();
        let session = format!("/session/{}", session["sessionId"].as_str().unwrap());
        Self { driver, session }
    }

    fn get(&self, path: &str) -> Value {
        self.driver
            .ask("GET", &format!("{}{path}", self.session), None)
            .unwrap()
    }

    fn post(&self, path: &str, parameters: Value) -> Value {
        let path = format!("{}{path}", self.session);
        self.driver.ask("POST", &path, Some(&parameters)).unwrap()
    }

    pub fn open(&self, url: &str) {
        self.post("/url", json!({ "url": url }));
    }

    pub fn url(&self) -> String {
        text(self.get("/url"))
    }

    pub fn title(&self) -> String {
        text(self.get("/title"))
    }

    /// All elements that match a CSS selector, in the order of the page.
    pub fn find_all(&self, selector: &str) -> Vec<Element<'_>> {
        let found = self.post("/elements", json!({ "using": "css selector", "value": selector }));
        let found = found.as_array().unwrap().iter();
        found
            .map(|element| Element {
                browser: self,
                id: text(element[ELEMENT].clone()),
            })
            .collect()
    }

    /// The only element that matches a CSS selector.
    #[track_caller]
    pub fn find(&self, selector: &str) -> Element<'_> {
        let mut found = self.find_all(selector);
        assert_eq!(found.len(), 1, "{selector} on the page {}", self.url());
        found.remove(0)
    }

    /// A value that identifies the document when it is complete.
    fn document(&self) -> Option<Value> {
        let script = "return document.readyState === 'complete' ? document.documentElement : null";
        let script = json!({ "script": script, "args": [] });
        let path = format!("{}/execute/sync", self.session);
        // Between two pages no document exists.
        let root = self.driver.ask("POST", &path, Some(&script)).ok()?;
        root.get(ELEMENT).cloned()
    }

    /// The visible text of the elements that match a CSS selector.
    pub fn texts(&self, selector: &str) -> Vec<String> {
        self.find_all(selector).iter().map(Element::text).collect()
    }

    /// The result of a script that is isolated from those of the page.
    pub fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", json!({ "script": script, "args": [] }))
    }

    /// The result that a script passes to the function in its last argument.
    pub fn run_async(&self, script: &str) -> Value {
        self.post("/execute/async", json!({ "script": script, "args": [] }))
    }

    /// Presses the key that moves the focus.
    pub fn press_tab(&self) {
        let keys = ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": "\u{e004}" }));
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": keys });
        self.post("/actions", json!({ "actions": [keyboard] }));
    }

    /// A command of the protocol of chromium.
    pub fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.post(
            "/goog/cdp/execute",
            json!({ "cmd": command, "params": parameters }),
        )
    }

    /// Makes the page `light` or `dark`, as the settings of a person do.
    pub fn prefer(&self, scheme: &str) {
        let feature = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": feature }));
    }

    /// Writes a picture of the page, up to 2500 pixels high, also of what is below the window.
    pub fn take_picture(&self, file: &Path) {
        let size = self.run("const page = document.documentElement; return [innerWidth, page.scrollHeight]");
        let height = size[1].as_u64().unwrap().min(2500);
        let part = json!({ "x": 0, "y": 0, "width": size[0], "height": height, "scale": 1 });
        let parameters = json!({ "captureBeyondViewport": true, "clip": part });
        let picture = self.devtools("Page.captureScreenshot", parameters);
        let picture = BASE64_STANDARD.decode(picture["data"].as_str().unwrap());
        fs::write(file, picture.unwrap()).unwrap();
    }

    /// Sets the width of the window, and waits until the page has it.
    pub fn resize(&self, width: u32) {
        let start = Instant::now();
        self.post("/window/rect", json!({ "width": width, "height": 740 }));
        while self.run("return innerWidth") != width {
            assert!(
                start.elapsed() < PATIENCE,
                "the window does not become {width} px wide"
            );
        }
    }

    /// The message of a dialogue that a script has opened.
    pub fn dialogue(&self) -> Option<String> {
        let path = format!("{}/alert/text", self.session);
        self.driver.ask("GET", &path, None).ok().map(text)
    }
}

fn text(value: Value) -> String {
    value.as_str().expect("a text").to_owned()
}

pub struct Element<'a> {
    browser: &'a Browser,
    id: String,
}

impl Element<'_> {
    fn get(&self, what: &str) -> Value {
        self.browser.get(&format!("/element/{}/{what}", self.id))
    }

    fn post(&self, what: &str, parameters: Value) {
        self.browser
            .post(&format!("/element/{}/{what}", self.id), parameters);
    }

    /// The visible text.
    pub fn text(&self) -> String {
        text(self.get("text"))
    }

    /// A property of the element in the document.
    pub fn property(&self, name: &str) -> Value {
        self.get(&format!("property/{name}"))
    }

    /// Its role for a screen reader.
    pub fn role(&self) -> String {
        text(self.get("computedrole"))
    }

    /// Its name for a screen reader.
    pub fn label(&self) -> String {
        text(self.get("computedlabel"))
    }

    /// Clicks on a button that stays on the page.
    pub fn click(&self) {
        self.post("click", json!({}));
    }

    /// Clicks on a link or button, and waits for the next page.
    #[track_caller]
    pub fn follow(&self) {
        let (before, start) = (self.browser.document(), Instant::now());
        self.click();
        while self.browser.document().is_none_or(|now| Some(now) == before) {
            assert!(
                start.elapsed() < PATIENCE,
                "no other page than {}",
                self.browser.url()
            );
        }
    }

    /// Replaces the text.
    pub fn fill(&self, text: &str) {
        self.post("clear", json!({}));
        self.post("value", json!({ "text": text }));
    }

    pub fn choose_file(&self, file: &Path) {
        self.post("value", json!({ "text": file.to_str().unwrap() }));
    }
}

//! A bench for each test: a directory with settings, a running service, and devices that register
//! with it.

// Each test binary uses a part of it.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

pub mod axe;
pub mod browsing;
pub mod campaign;
pub mod device;
pub mod disk;
pub mod haproxy;
pub mod hostility;
pub mod hsm;
pub mod http;
pub mod page;
pub mod parallel;
pub mod postgres;
pub mod session;
pub mod webdriver;

use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use der::SecretDocument;
use der::pem::LineEnding;
use http::{Answer, Request};
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use serde_json::json;
use snap_assertions::{DigestForm, LocalSigner, SignOptions, Signer as _, Statement};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_model-service");
pub const TOKEN: &str = "the-import-token-of-the-tests";
pub const PASSWORD: &str = "the-password-of-the-page";
pub const API_KEY: &str = "the-api-key-of-the-model";
pub const ASSERTIONS: &str = "application/x.ubuntu.assertion";

/// A file of the assertion library's vectors.
pub fn vector(name: &str) -> Vec<u8> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../snap-assertions/tests/vectors");
    fs::read(directory.join(name)).unwrap()
}

pub fn text_vector(name: &str) -> String {
    String::from_utf8(vector(name)).unwrap()
}

/// One of the keys with 4096 bits: `brand`, `issuer` or `device`.
pub fn signer(name: &str) -> &'static LocalSigner {
    static SIGNERS: [OnceLock<LocalSigner>; 3] = [OnceLock::new(), OnceLock::new(), OnceLock::new()];
    let index = ["brand", "issuer", "device"]
        .iter()
        .position(|known| *known == name);
    SIGNERS[index.unwrap()].get_or_init(|| LocalSigner::from_der(&vector(&format!("{name}.pk8"))).unwrap())
}

/// The same private key as a PEM file holds it.
pub fn pem(name: &str) -> String {
    let document = SecretDocument::try_from(vector(&format!("{name}.pk8"))).unwrap();
    document
        .to_pem("PRIVATE KEY", LineEnding::LF)
        .unwrap()
        .to_string()
}

pub fn encoded_key(name: &str) -> String {
    signer(name).public_key().encode()
}

pub fn key_id(name: &str) -> String {
    signer(name).public_key().id().to_owned()
}

/// An expired account-key.
pub fn expired_key(account: &str, key: &str) -> String {
    let statement = json!({
        "type": "account-key", "authority-id": account, "account-id": account, "name": "default",
        "public-key-sha3-384": key_id(key), "since": "2020-01-01T00:00:00Z", "until": "2021-01-01T00:00:00Z",
        "body": encoded_key(key),
    });
    sign(statement, key)
}

pub fn sign(statement: serde_json::Value, key: &str) -> String {
    sign_as(statement, key, DigestForm::Text)
}

pub fn sign_as(statement: serde_json::Value, key: &str, digest_form: DigestForm) -> String {
    let statement: Statement = serde_json::from_value(statement).unwrap();
    let options = SignOptions {
        digest_form,
        ..SignOptions::now()
    };
    statement.sign(signer(key), &options).unwrap().to_string()
}

/// The model assertion of a model of the brand.
pub fn model(name: &str) -> String {
    model_by("brand-acme", name, "brand")
}

pub fn model_by(brand: &str, name: &str, key: &str) -> String {
    let snaps = json!([
        { "name": "gadget", "type": "gadget" }, { "name": "pc-kernel", "type": "kernel" }
    ]);
    let statement = json!({
        "type": "model", "authority-id": brand, "brand-id": brand, "series": "16", "model": name,
        "architecture": "amd64", "base": "core24", "grade": "dangerous", "snaps": snaps,
        "timestamp": "2026-01-01T00:00:00Z",
    });
    sign(statement, key)
}

/// A directory with settings for the models `edge-box`, `edge-box-2` (hardware identity) and
/// `edge-box-key` (API key), all for the hardware `edge-box`. Devices may propose any serial.
///
/// The database is SQLite, or PostgreSQL with `MODEL_SERVICE_TEST_STORE=postgres`.
pub struct Bench {
    directory: tempfile::TempDir,
    postgres: Option<postgres::Database>,
    /// Another URL of the same data.
    url: Option<String>,
}

/// Returns true if the tests, or the benchmark with `STORE`, run on PostgreSQL.
pub fn on_postgres() -> bool {
    let names = ["MODEL_SERVICE_TEST_STORE", "STORE"];
    names
        .iter()
        .any(|name| std::env::var(name).is_ok_and(|store| store == "postgres"))
}

impl Bench {
    pub fn new() -> Self {
        Self::with("", "")
    }

    /// With more settings: `top` before all tables, `limits` in that table.
    pub fn with(top: &str, limits: &str) -> Self {
        Self::on(
            on_postgres().then(|| postgres::Server::shared().database()),
            top,
            limits,
        )
    }

    /// With an empty PostgreSQL database, or on SQLite.
    pub fn on(postgres: Option<postgres::Database>, top: &str, limits: &str) -> Self {
        let database = postgres
            .as_ref()
            .map_or_else(|| "database.sqlite".to_owned(), postgres::Database::url);
        let bench = Self {
            directory: tempfile::tempdir().unwrap(),
            postgres,
            url: None,
        };
        for (name, content) in [
            ("serial.pem", pem("brand").as_str()),
            ("token", TOKEN),
            ("password", PASSWORD),
            ("api-key", API_KEY),
            ("brand.account-key", &text_vector("account-key-brand.assert")),
            ("issuer.account-key", &text_vector("account-key-issuer.assert")),
            ("settings.toml", &settings(&database, top, limits)),
        ] {
            bench.write(name, content.as_bytes());
        }
        let created = bench.run(&["init-store"], &[]);
        assert!(created.status.success(), "{created:?}");
        bench
    }

    /// A command with these settings and arguments.
    pub fn run(&self, command: &[&str], arguments: &[&str]) -> Output {
        Command::new(PROGRAM)
            .args(command)
            .arg("--config")
            .arg(self.path("settings.toml"))
            .args(arguments)
            .output()
            .unwrap()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A file for its owner alone.
    pub fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(self.path(name)).unwrap();
        file.write_all(content).unwrap();
        self.path(name)
    }

    /// Replaces the setting `serial-key` of all models.
    pub fn set_serial_key(&self, value: &str) {
        let settings = fs::read_to_string(self.path("settings.toml")).unwrap();
        let lines = settings
            .lines()
            .map(|line| match line.starts_with("serial-key = ") {
                true => format!("serial-key = {value}\n"),
                false => format!("{line}\n"),
            });
        self.write("settings.toml", lines.collect::<String>().as_bytes());
    }

    pub fn serve(&self) -> Service {
        serve(&self.path("settings.toml"))
    }

    /// `model-service import` with files.
    pub fn import(&self, files: &[&Path]) -> Output {
        Command::new(PROGRAM)
            .args(["import", "--config"])
            .arg(self.path("settings.toml"))
            .args(files)
            .output()
            .unwrap()
    }

    /// Imports a stream, which must succeed.
    pub fn import_text(&self, assertions: &str) {
        let file = self.write("import.assert", assertions.as_bytes());
        let output = self.import(&[&file]);
        assert!(output.status.success(), "{output:?}");
    }

    /// Fails unless the ledger is valid. That of PostgreSQL is a table without a chain.
    #[track_caller]
    pub fn verifies_ledger(&self) {
        if self.postgres.is_some() {
            return failed(&self.run(&["ledger", "verify"], &[]), 1, "ledger-in-postgresql");
        }
        let output = self.run(&["ledger", "verify"], &[]);
        assert!(output.status.success(), "{output:?}");
    }

    /// The lines of the ledger.
    pub fn ledger(&self) -> Vec<serde_json::Value> {
        if self.postgres.is_some() {
            let lines = self.rows("SELECT event FROM ledger ORDER BY number");
            return lines
                .iter()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect();
        }
        let text = fs::read_to_string(self.path("database.ledger.jsonl")).unwrap_or_default();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Adds a line that gives the serial of the last line to another device.
    pub fn contradict_ledger(&self) {
        let path = self.path("database.ledger.jsonl");
        let mut text = fs::read_to_string(&path).unwrap();
        let previous = text.lines().last().unwrap();
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, previous.as_bytes());
        let hash = hex::encode(hash);
        let mut line: serde_json::Value = serde_json::from_str(previous).unwrap();
        line["sequence"] = (line["sequence"].as_u64().unwrap() + 1).into();
        line["previous"] = hash.into();
        line["device"] = "another".into();
        text.push_str(&format!("{line}\n"));
        fs::write(path, text).unwrap();
    }

    /// Both files of the SQLite database.
    pub fn database(&self) -> Connection {
        let database = Connection::open(self.path("database.sqlite")).unwrap();
        let identities = self.path("database.identities.sqlite");
        let attach = "ATTACH ?1 AS imported";
        database.execute(attach, [identities.to_str().unwrap()]).unwrap();
        database
    }

    /// The rows that a query finds, whose values have a tab in between.
    pub fn rows(&self, query: &str) -> Vec<String> {
        if let Some(url) = self.url() {
            return postgres::psql(&url, query);
        }
        let database = self.database();
        let mut statement = database.prepare(query).unwrap();
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| {
            let value = |column| {
                Ok(match row.get_ref(column)? {
                    ValueRef::Null => String::new(),
                    ValueRef::Integer(number) => number.to_string(),
                    other => other.as_str()?.to_owned(),
                })
            };
            Ok((0..columns)
                .map(value)
                .collect::<rusqlite::Result<Vec<_>>>()?
                .join("\t"))
        });
        rows.unwrap().collect::<Result<_, _>>().unwrap()
    }

    /// Changes the database behind the service.
    pub fn execute(&self, statements: &str) {
        match self.url() {
            Some(url) => drop(postgres::psql(&url, statements)),
            None => self.database().execute_batch(statements).unwrap(),
        }
    }

    /// Reads the database at another URL from now on.
    pub fn look_at(&mut self, url: &str) {
        self.url = Some(url.to_owned());
    }

    /// The URL of the PostgreSQL database.
    pub fn url(&self) -> Option<String> {
        let url = self.url.clone();
        url.or_else(|| self.postgres.as_ref().map(postgres::Database::url))
    }

    /// The name of a table of imported identities, for [`execute`](Self::execute).
    pub fn imported(&self, table: &str) -> String {
        match &self.postgres {
            Some(_) => table.to_owned(),
            None => format!("imported.{table}"),
        }
    }

    /// The condition that a nonce was used.
    pub fn used(&self) -> &'static str {
        match &self.postgres {
            Some(_) => "used_by IS NOT NULL",
            None => "used = 1",
        }
    }

    /// Does as another import does while it stores, until the value is dropped.
    pub fn lock_imports(&self) -> Box<dyn std::any::Any> {
        if let Some(url) = self.url() {
            // The key of the lock in store/postgres/import.rs.
            let lock = "DO $$ BEGIN PERFORM pg_advisory_xact_lock(x'696D706F7274'::bigint); END $$";
            return Box::new(postgres::Session::begin(&url, lock));
        }
        let identities = Connection::open(self.path("database.identities.sqlite")).unwrap();
        identities.execute_batch("BEGIN IMMEDIATE").unwrap();
        Box::new(identities)
    }

    /// Keeps the service from writing nonces until the result is dropped.
    pub fn lock_nonces(&self) -> Box<dyn std::any::Any> {
        let Some(database) = &self.postgres else {
            let database = self.database();
            database.execute_batch("BEGIN IMMEDIATE").unwrap();
            return Box::new(database);
        };
        Box::new(postgres::Session::begin(&database.url(), "LOCK TABLE nonces"))
    }

    /// Returns true if an import has begun to store.
    pub fn an_import_stores(&self) -> bool {
        if self.postgres.is_some() {
            return self.count("pg_locks WHERE locktype = 'advisory' AND granted") > 0;
        }
        let other = Connection::open(self.path("database.identities.sqlite")).unwrap();
        other.busy_timeout(Duration::ZERO).unwrap();
        other.execute_batch("BEGIN IMMEDIATE; ROLLBACK").is_err()
    }

    pub fn count(&self, what: &str) -> i64 {
        self.rows(&format!("SELECT count(*) FROM {what}"))[0]
            .parse()
            .unwrap()
    }

    /// The last entry of the log: outcome and serial.
    pub fn last_logged(&self) -> (String, String) {
        let last = self.rows("SELECT outcome, serial FROM registrations ORDER BY id DESC LIMIT 1");
        let (outcome, serial) = last[0].split_once('\t').unwrap();
        (outcome.to_owned(), serial.to_owned())
    }
}

fn settings(database: &str, top: &str, limits: &str) -> String {
    let model = |name: &str| {
        format!(
            "[[model]]\nbrand-id = \"brand-acme\"\nmodel = \"{name}\"\nprovisioning = \"hardware-identity\"\n\
             issuers = [\"acme\"]\nhardware-names = [\"edge-box\"]\nserial = \"proposed\"\nserial-key = \"serial.pem\"\n\n"
        )
    };
    format!(
        "listen = \"127.0.0.1:0\"\ndatabase = \"{database}\"\n\
         account-keys = [\"brand.account-key\", \"issuer.account-key\"]\n\
         import-token-file = \"token\"\npage-password-file = \"password\"\n{top}\n[limits]\n{limits}\n{}{}\
         [[model]]\nbrand-id = \"brand-acme\"\nmodel = \"edge-box-key\"\nprovisioning = \"api-key\"\n\
         api-key-file = \"api-key\"\nserial-key = \"serial.pem\"\n",
        model("edge-box"),
        model("edge-box-2"),
    )
}

/// Starts the service and waits until it listens.
pub fn serve(settings: &Path) -> Service {
    serve_by(Command::new(PROGRAM).args(["serve", "--config"]).arg(settings))
}

/// Requests a serial of a service that may end meanwhile: the status, if an answer came.
pub fn try_serial(address: SocketAddr, stream: &str) -> Option<u16> {
    let request = Request::post("/v1/serial", stream).header("content-type", ASSERTIONS);
    let mut connection = TcpStream::connect(address).ok()?;
    connection.write_all(&request.bytes()).ok()?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).ok()?;
    answer.split(' ').nth(1)?.parse().ok()
}

/// The same with a prepared command.
pub fn serve_by(command: &mut Command) -> Service {
    if !command.get_envs().any(|(name, _)| name == "RUST_LOG") {
        command.env("RUST_LOG", "error");
    }
    command.stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    let url = line
        .strip_prefix("listening on ")
        .expect("the line with the address");
    let address = url.trim().split('/').nth(2).unwrap().parse().unwrap();
    Service { child, address }
}

/// Starts the service, which must fail before it listens.
#[track_caller]
pub fn refuses_to_serve(settings: &Path) -> Output {
    let mut child = Command::new(PROGRAM)
        .args(["serve", "--config"])
        .arg(settings)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    if !line.is_empty() {
        child.kill().unwrap();
    }
    let output = child.wait_with_output().unwrap();
    assert_eq!(line, "", "it listens");
    output
}

/// Fails unless the program ended with this exit status and one line on stderr, which ends with the
/// code.
#[track_caller]
pub fn failed(output: &Output, status: i32, code: &str) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.starts_with("model-service: "), "{text}");
    assert!(text.trim_end().ends_with(&format!(" [{code}]")), "{code}: {text}");
}

/// The lines that a service writes to stderr, which must be a pipe.
pub struct LogLines {
    lines: std::io::Lines<BufReader<std::process::ChildStderr>>,
    seen: Vec<String>,
}

impl LogLines {
    pub fn of(service: &mut Service) -> Self {
        Self {
            lines: BufReader::new(service.child.stderr.take().unwrap()).lines(),
            seen: Vec::new(),
        }
    }

    /// Reads until a line has `text`. Returns that line.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) -> String {
        loop {
            let line = self.lines.next().expect("the service writes more").unwrap();
            self.seen.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
    }

    pub fn seen(&self) -> &[String] {
        &self.seen
    }
}

/// A running service, which is killed at the end.
pub struct Service {
    pub child: Child,
    pub address: SocketAddr,
}

impl Service {
    pub fn send(&self, request: &Request) -> Answer {
        request.send(self.address)
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send(&Request::get(path))
    }

    pub fn nonce(&self) -> String {
        let answer = self.send(&Request::post("/v1/request-id", ""));
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        answer.json()["request-id"].as_str().unwrap().to_owned()
    }

    /// Requests a serial.
    pub fn serial(&self, stream: &str) -> Answer {
        self.send(&Request::post("/v1/serial", stream).header("content-type", ASSERTIONS))
    }

    /// Imports with the token.
    pub fn import(&self, assertions: &str) -> Answer {
        let request = Request::post("/v1/hardware-identities", assertions).header("content-type", ASSERTIONS);
        self.send(&request.header("authorization", &format!("Bearer {TOKEN}")))
    }

    /// Kills the service, as a crash or the kernel would.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

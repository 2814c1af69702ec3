//! A PostgreSQL server for the tests of a process, with a database for each bench.
//!
//! The server has its own directory, and listens on a socket there. It does not run as root, so
//! that root becomes the user `postgres` for it. A shell watches over it: when the test process
//! ends, however it does, it stops the server and removes the directory.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

/// Makes the cluster, starts the server, prints the directory, and waits for the end of its input.
/// A line on the input is a command for the server.
const SCRIPT: &str = r#"
set -e
fsync=$1
for bin in /usr/lib/postgresql/*/bin; do :; done
dir=$(mktemp -d /tmp/model-service-postgres.XXXXXX)
stop() {
    for data in "$dir"/data "$dir"/standby/data; do
        test ! -f "$data/postmaster.pid" || "$bin/pg_ctl" -D "$data" -m immediate stop >"$dir/stop" 2>&1
    done
}
trap 'stop; rm -rf "$dir"' EXIT
"$bin/initdb" -D "$dir/data" -U tests -A trust --no-sync >"$dir/initdb" 2>&1
start() {
    "$bin/pg_ctl" -D "$dir/data" -l "$dir/log" -w -o "-k $dir -c listen_addresses= -c max_connections=300 -c fsync=$fsync" start >"$dir/start" 2>&1 </dev/null
}
start
echo "$dir"
while read -r command argument; do
    case $command in
        stop) "$bin/pg_ctl" -D "$dir/data" -m immediate stop >"$dir/stop" 2>&1 ;;
        fast) "$bin/pg_ctl" -D "$dir/data" -m fast stop >"$dir/stop" 2>&1 ;;
        start) start ;;
        standby)
            mkdir "$dir/standby"
            "$bin/pg_basebackup" -h "$dir" -U tests -D "$dir/standby/data" -R -c fast --no-sync >"$dir/basebackup" 2>&1
            "$bin/pg_ctl" -D "$dir/standby/data" -l "$dir/standby/log" -w \
                -o "-k $dir/standby -c listen_addresses= -c max_connections=300 -c fsync=$fsync" \
                start >"$dir/start" 2>&1 </dev/null
            # From now on, a commit is on the standby before it is acknowledged.
            "$bin/psql" -h "$dir" -U tests -d postgres -q -c "ALTER SYSTEM SET synchronous_standby_names = '*'" \
                -c "SELECT pg_reload_conf()" >"$dir/synchronous" 2>&1
            ;;
        tls)
            openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
                -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE \
                -keyout "$dir/data/server.key" -out "$dir/data/server.crt" >"$dir/openssl" 2>&1
            chmod 600 "$dir/data/server.key"
            "$bin/psql" -h "$dir" -U tests -d postgres -q -c "ALTER USER tests PASSWORD 'the-password'" >"$dir/alter" 2>&1
            printf 'local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n' >"$dir/data/pg_hba.conf"
            printf "ssl = on\nlisten_addresses = '127.0.0.1'\nport = $argument\n" >>"$dir/data/postgresql.conf"
            "$bin/pg_ctl" -D "$dir/data" -m fast stop >"$dir/stop" 2>&1
            "$bin/pg_ctl" -D "$dir/data" -l "$dir/log" -w -o "-k $dir" start >"$dir/start" 2>&1 </dev/null
            ;;
        promote)
            "$bin/pg_ctl" -D "$dir/data" -m immediate stop >"$dir/stop" 2>&1
            "$bin/pg_ctl" -D "$dir/standby/data" -w promote >"$dir/promote" 2>&1
            ;;
    esac
    echo done
done
"#;

/// A running server.
pub struct Server {
    directory: PathBuf,
    input: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
}

impl Server {
    /// Starts it; with `fsync`, what is committed survives a crash of the machine too.
    #[allow(clippy::zombie_processes, reason = "the shell ends after this process")]
    pub fn start(fsync: bool) -> Self {
        let mut command = if nix::unistd::geteuid().is_root() {
            let mut command = Command::new("setpriv");
            command.args([
                "--reuid=postgres",
                "--regid=postgres",
                "--clear-groups",
                "sh",
                "-c",
            ]);
            command
        } else {
            let mut command = Command::new("sh");
            command.arg("-c");
            command
        };
        let fsync = if fsync { "on" } else { "off" };
        command.args([SCRIPT, "sh", fsync]).current_dir("/");
        // In a group of its own, so that an interrupt from a terminal ends the tests first.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("setpriv and PostgreSQL");
        let input = child.stdin.take().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "PostgreSQL does not start: is it installed?");
        Self {
            directory: line.trim().into(),
            input: Mutex::new((input, output)),
        }
    }

    /// The server that the tests of this process share. The benchmark has one that waits for the
    /// disk.
    pub fn shared() -> &'static Self {
        static SERVER: OnceLock<Server> = OnceLock::new();
        SERVER.get_or_init(|| Self::start(std::env::var_os("STORE").is_some()))
    }

    /// `stop` without a checkpoint, `fast`, or `start`; `standby`, which makes a synchronous
    /// standby, or `promote`, which stops the server and promotes the standby; `tls PORT`, which
    /// makes it listen there with TLS and the password `the-password`. Returns when it is done.
    pub fn control(&self, command: &str) {
        let mut pipes = self.input.lock().unwrap();
        pipes.0.write_all(format!("{command}\n").as_bytes()).unwrap();
        let mut line = String::new();
        pipes.1.read_line(&mut line).unwrap();
        assert_eq!(line, "done\n");
    }

    /// The certificate of the server after `tls PORT`.
    pub fn certificate(&self) -> PathBuf {
        self.directory.join("data/server.crt")
    }

    /// The lines of the log with this part.
    pub fn logged(&self, part: &str) -> Vec<String> {
        let log = std::fs::read_to_string(self.directory.join("log")).unwrap();
        log.lines()
            .filter(|line| line.contains(part))
            .map(str::to_owned)
            .collect()
    }

    /// The id of the first process, the parent of the others.
    pub fn process(&self) -> u32 {
        let file = std::fs::read_to_string(self.directory.join("data/postmaster.pid")).unwrap();
        file.lines().next().unwrap().parse().unwrap()
    }

    /// The URL of a database, with the directory of the socket as host.
    pub fn url(&self, database: &str) -> String {
        let host = self.directory.to_str().unwrap().replace('/', "%2F");
        format!("postgres://tests@{host}/{database}")
    }

    /// The URL of a database on the server or its standby: the one that can be written.
    pub fn url_with_standby(&self, database: &str) -> String {
        let host = self.directory.to_str().unwrap().replace('/', "%2F");
        format!("postgres://tests@{host},{host}%2Fstandby/{database}?target_session_attrs=read-write")
    }

    /// A new empty database, which is removed when it is dropped.
    pub fn database(&'static self) -> Database {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!("bench{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        psql(&self.url("postgres"), &format!("CREATE DATABASE {name}"));
        Database { server: self, name }
    }
}

/// A database of a server.
pub struct Database {
    server: &'static Server,
    name: String,
}

impl Database {
    pub fn url(&self) -> String {
        self.server.url(&self.name)
    }

    pub fn url_with_standby(&self) -> String {
        self.server.url_with_standby(&self.name)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let drop = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        // The server may be stopped.
        let _ = run_psql(&self.server.url("postgres"), &drop);
    }
}

/// Runs SQL with psql. Returns the rows, whose values have a tab in between.
pub fn psql(url: &str, sql: &str) -> Vec<String> {
    let output = run_psql(url, sql);
    assert!(output.status.success(), "{sql}: {output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

pub fn run_psql(url: &str, sql: &str) -> Output {
    Command::new("psql")
        .args([
            "-X",
            "-q",
            "-A",
            "-t",
            "-F",
            "\t",
            "-v",
            "ON_ERROR_STOP=1",
            "-d",
            url,
            "-c",
            sql,
        ])
        .output()
        .unwrap()
}

/// A psql with an open transaction, which ends when it is dropped.
pub struct Session(Child);

impl Session {
    /// Begins a transaction with a statement, and returns when that is done.
    pub fn begin(url: &str, statement: &str) -> Self {
        let mut child = Command::new("psql")
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", url])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let commands = format!("BEGIN; {statement};\n\\echo done\n");
        child
            .stdin
            .as_mut()
            .unwrap()
            .write_all(commands.as_bytes())
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "done\n");
        Self(child)
    }

    /// Commits the transaction; without, it is rolled back.
    pub fn commit(mut self) {
        self.0.stdin.as_mut().unwrap().write_all(b"COMMIT;\n").unwrap();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

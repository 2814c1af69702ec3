//! HAProxy with the packaged configuration, but without TLS.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::Bench;
use super::hsm::until;

/// The beginning of the lines of the first and of the second server in the packaged configuration.
const SERVERS: [&str; 2] = ["    server a ", "    server b "];

/// A packaged file.
pub fn packaged(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../packaging")
        .join(name)
}

/// An address that is free now. That of replicas is another one than that of clients, so that no
/// connection takes the port while a replica restarts.
pub fn free_address(host: &str) -> SocketAddr {
    TcpListener::bind((host, 0)).unwrap().local_addr().unwrap()
}

/// A running HAProxy, which is killed at the end.
pub struct Haproxy {
    child: Child,
    /// The frontend of devices.
    pub devices: SocketAddr,
    /// The frontend of operators.
    pub operators: SocketAddr,
}

impl Haproxy {
    /// Starts it in front of replicas, with other values in the configuration. Returns when it
    /// listens: it takes replicas for ready until a check has failed.
    pub fn start(bench: &Bench, replicas: &[SocketAddr], values: &[(&str, &str)]) -> Self {
        let (devices, operators) = (free_address("127.0.0.1"), free_address("127.0.0.1"));
        let configuration = configuration(replicas, [devices, operators], values);
        let file = bench.write("haproxy.cfg", configuration.as_bytes());
        let haproxy = || {
            let mut command = Command::new("haproxy");
            command.arg("-f").arg(&file);
            command
        };
        let checked = haproxy().arg("-c").output().unwrap();
        assert!(checked.status.success(), "{checked:?}");
        let quiet = || Stdio::null();
        let mut child = haproxy()
            .arg("-db")
            .stdout(quiet())
            .stderr(quiet())
            .spawn()
            .unwrap();
        until(|| {
            assert_eq!(child.try_wait().unwrap(), None, "HAProxy has ended");
            TcpStream::connect(devices).is_ok()
        });
        Self {
            child,
            devices,
            operators,
        }
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn configuration(
    replicas: &[SocketAddr],
    [devices, operators]: [SocketAddr; 2],
    values: &[(&str, &str)],
) -> String {
    let packaged = fs::read_to_string(packaged("haproxy/haproxy.cfg")).unwrap();
    let (devices, operators) = (format!("bind {devices}"), format!("bind {operators}"));
    let ours = [
        // As many as the limit of files allows.
        ("maxconn 8000", "maxconn 400"),
        (" ssl crt /etc/haproxy/model-service.pem alpn http/1.1", ""),
        ("bind :443", &devices),
        ("bind 10.0.0.1:8443", &operators),
    ];
    let mut configuration = packaged;
    for (packaged, value) in ours.iter().chain(values) {
        assert!(configuration.contains(packaged), "{packaged}");
        configuration = configuration.replace(packaged, value);
    }
    let servers: String = (0..)
        .zip(replicas)
        .map(|(number, address)| format!("    server replica-{number} {address} check\n"))
        .collect();
    let [first, second] = SERVERS.map(|server| configuration.matches(server).count());
    assert_eq!((first, second), (2, 2));
    configuration
        .lines()
        .map(|line| match SERVERS.map(|server| line.starts_with(server)) {
            [true, _] => servers.clone(),
            [_, true] => String::new(),
            _ => format!("{line}\n"),
        })
        .collect()
}

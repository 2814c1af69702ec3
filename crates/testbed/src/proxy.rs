//! The proxy between a software TPM and its users. It has the role of the kernel's resource
//! manager.
//!
//! Users connect through tpm2-tss, by TCP on two consecutive ports: commands on the first, control
//! on the second. Two TCTIs work there, and the first bytes of a connection tell them apart:
//! - `mssim` keeps one connection, as a program keeps /dev/tpmrm0 open. When the connection ends,
//!   the proxy flushes the objects and sessions that this user left in the TPM.
//! - `swtpm` makes a new connection for each command. The proxy cannot see when such a user ends,
//!   so it flushes nothing.
//!
//! Unlike the kernel, the proxy does not swap objects out: all users share the TPM's few slots for
//! transient objects (three in swtpm). The TPM refuses a fourth with TPM_RC_OBJECT_MEMORY.

mod protocols;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::fault::{Fault, Gate, Script, lock};
use crate::swtpm::SoftwareTpm;
use crate::wire;
use protocols::{serve_commands, serve_control};

/// How many times to look for two consecutive free ports.
const PORT_TRIES: usize = 100;

/// A proxy that accepts connections until it is dropped. Dropping it closes all connections and
/// switches the TPM off.
#[derive(Debug)]
pub(crate) struct Proxy {
    shared: Arc<Shared>,
    port: u16,
    listeners: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    /// `None` after the proxy was dropped, even if its threads still run.
    tpm: Mutex<Option<Tpm>>,
    script: Mutex<Script>,
    users: Mutex<Users>,
    user_left: Condvar,
    flush_after_users: AtomicBool,
    refuse: AtomicBool,
    /// Always open: it only counts.
    refused: Gate,
    stop: AtomicBool,
}

/// The TPM, and the user who created each transient object and session in it.
#[derive(Debug)]
struct Tpm {
    software: SoftwareTpm,
    owners: BTreeMap<u32, UserId>,
}

type UserId = u64;

#[derive(Debug, Default)]
struct Users {
    last: UserId,
    connected: BTreeMap<UserId, TcpStream>,
}

impl Proxy {
    pub(crate) fn start(software: SoftwareTpm) -> Result<Self> {
        let (commands, control) = consecutive_ports()?;
        let port = commands
            .local_addr()
            .context("cannot read the address of the listener")?
            .port();
        let shared = Arc::new(Shared {
            tpm: Mutex::new(Some(Tpm {
                software,
                owners: BTreeMap::new(),
            })),
            script: Mutex::default(),
            users: Mutex::default(),
            user_left: Condvar::new(),
            flush_after_users: AtomicBool::new(true),
            refuse: AtomicBool::new(false),
            refused: Gate::new(),
            stop: AtomicBool::new(false),
        });
        shared.refused.release();
        let listeners = vec![
            spawn_listener(commands, Arc::clone(&shared), serve_commands),
            spawn_listener(control, Arc::clone(&shared), serve_control),
        ];
        Ok(Proxy {
            shared,
            port,
            listeners,
        })
    }

    /// The port for commands. The next port is for control.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn script<T>(&self, work: impl FnOnce(&mut Script) -> T) -> T {
        work(&mut lock(&self.shared.script))
    }

    /// Sends a command directly to the TPM, without counts and faults.
    pub(crate) fn exchange(&self, command: &[u8]) -> Result<Vec<u8>> {
        self.shared.with_tpm(|tpm| tpm.exchange(None, command))
    }

    pub(crate) fn state_directory(&self) -> Result<PathBuf> {
        self.shared
            .with_tpm(|tpm| Ok(tpm.software.state_directory().to_owned()))
    }

    pub(crate) fn restart(&self) -> Result<()> {
        self.shared.with_tpm(|tpm| tpm.software.restart())
    }

    pub(crate) fn flush_after_users(&self, on: bool) {
        self.shared.flush_after_users.store(on, Ordering::SeqCst);
    }

    pub(crate) fn refuse_connections(&self, on: bool) {
        self.shared.refuse.store(on, Ordering::SeqCst);
    }

    /// Waits until `count` connections in total were refused. Returns an error after `limit`.
    pub(crate) fn wait_for_refused(&self, count: usize, limit: Duration) -> Result<()> {
        self.shared.refused.wait_for(count, limit)
    }

    /// Waits until all users have disconnected and their objects are flushed. Returns an error
    /// after `limit`.
    pub(crate) fn wait_until_unused(&self, limit: Duration) -> Result<()> {
        let users = lock(&self.shared.users);
        let waited = self
            .shared
            .user_left
            .wait_timeout_while(users, limit, |users| !users.connected.is_empty());
        let left = waited.map_or(0, |(users, _)| users.connected.len());
        ensure!(
            left == 0,
            "{left} connections to the TPM are still open after {limit:?}; end the programs that use them"
        );
        Ok(())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for stream in lock(&self.shared.users).connected.values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        // Only now, after all connections are closed: a released command must not get an answer.
        self.script(Script::clear_faults);
        for (offset, listener) in self.listeners.drain(..).enumerate() {
            // A connection wakes the listener, which then reads `stop`.
            let woken = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port + offset as u16));
            if woken.is_ok() {
                let _ = listener.join();
            }
        }
        drop(lock(&self.shared.tpm).take());
    }
}

fn consecutive_ports() -> Result<(TcpListener, TcpListener)> {
    for _ in 0..PORT_TRIES {
        let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen on 127.0.0.1")?;
        let port = first
            .local_addr()
            .context("cannot read the address of the listener")?
            .port();
        if let Some(next) = port.checked_add(1)
            && let Ok(second) = TcpListener::bind((Ipv4Addr::LOCALHOST, next))
        {
            return Ok((first, second));
        }
    }
    bail!(
        "cannot find two consecutive free ports in {PORT_TRIES} tries; end programs that listen on 127.0.0.1"
    )
}

/// Serves one connection until it ends. An error closes the connection.
type Service = fn(&Shared, UserId, TcpStream) -> Result<()>;

fn spawn_listener(listener: TcpListener, shared: Arc<Shared>, service: Service) -> JoinHandle<()> {
    thread::spawn(move || {
        for stream in listener.incoming() {
            if shared.stop.load(Ordering::SeqCst) {
                return;
            }
            if shared.refuse.load(Ordering::SeqCst) {
                drop(stream);
                shared.refused.pass();
                continue;
            }
            let Ok(stream) = stream else { continue };
            let Ok(user) = shared.connect(&stream) else {
                continue;
            };
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                // Neither protocol can report an error, so the connection is closed.
                let _ = service(&shared, user, stream);
                shared.disconnect(user);
            });
        }
    })
}

impl Shared {
    /// Calls `work` with exclusive access to the TPM.
    fn with_tpm<T>(&self, work: impl FnOnce(&mut Tpm) -> Result<T>) -> Result<T> {
        work(
            lock(&self.tpm)
                .as_mut()
                .context("the TPM was dropped; keep its TestTpm while programs use it")?,
        )
    }

    fn connect(&self, stream: &TcpStream) -> io::Result<UserId> {
        stream.set_nodelay(true)?;
        let mut users = lock(&self.users);
        users.last += 1;
        let user = users.last;
        users.connected.insert(user, stream.try_clone()?);
        Ok(user)
    }

    fn disconnect(&self, user: UserId) {
        if let Some(tpm) = &mut *lock(&self.tpm) {
            tpm.release(user, self.flush_after_users.load(Ordering::SeqCst));
        }
        // This is the last handle of the connection, so the connection closes here.
        lock(&self.users).connected.remove(&user);
        self.user_left.notify_all();
    }

    /// Executes a command with the fault that is set for it. Returns `None` if the connection has
    /// to be closed.
    fn execute(&self, owner: Option<UserId>, command: &[u8]) -> Result<Option<Vec<u8>>> {
        let fault = lock(&self.script).next_fault(wire::code(command));
        match &fault {
            Some(Fault::Respond(code)) => return Ok(Some(wire::bare_response(*code))),
            Some(Fault::Cut) => return Ok(None),
            Some(Fault::Delay(time)) => thread::sleep(*time),
            Some(Fault::Hold(gate)) => gate.pass(),
            _ => {}
        }
        let response = self.with_tpm(|tpm| tpm.exchange(owner, command))?;
        Ok(match &fault {
            Some(Fault::RespondAfter(code)) => Some(wire::bare_response(*code)),
            Some(Fault::CutAfter) => None,
            Some(Fault::HoldAfter(gate)) => {
                gate.pass();
                Some(response)
            }
            _ => Some(response),
        })
    }
}

impl Tpm {
    fn exchange(&mut self, owner: Option<UserId>, command: &[u8]) -> Result<Vec<u8>> {
        let response = self.software.exchange(command)?;
        // The TPM reuses the handles of flushed objects and ended sessions, so the newest user owns
        // it.
        if let Some(handle) = wire::new_handle(wire::code(command), &response) {
            match owner {
                Some(owner) => self.owners.insert(handle, owner),
                None => self.owners.remove(&handle),
            };
        }
        Ok(response)
    }

    /// Removes the objects and sessions of a user from the list, and flushes them if `flush` is
    /// true.
    fn release(&mut self, user: UserId, flush: bool) {
        let mut handles = Vec::new();
        self.owners.retain(|handle, owner| {
            let is_left = *owner == user;
            if is_left {
                handles.push(*handle);
            }
            !is_left
        });
        if flush {
            for handle in handles {
                // An error means that the TPM has already lost it: it was flushed, its session
                // ended with the last command, or the TPM restarted.
                let _ = self.software.exchange(&wire::plain_command(
                    wire::CC_FLUSH_CONTEXT,
                    &handle.to_be_bytes(),
                ));
            }
        }
    }
}

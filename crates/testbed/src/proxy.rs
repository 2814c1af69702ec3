//! Stands between a software TPM and its users, as the kernel's resource manager does on a device.
//!
//! Users reach it through tpm2-tss, by TCP on two consecutive ports: commands on the first, control on the second. Two
//! of its TCTIs work there, and the first bytes of a connection tell them apart:
//! - `mssim` keeps its connection for as long as it is open, as a program keeps /dev/tpmrm0 open. The end of the
//!   connection is the end of that user, and what it left in the TPM is flushed.
//! - `swtpm` makes a new connection for each command. A user's end cannot be seen, so nothing of its is flushed.
//!
//! Unlike the kernel it does not swap objects out: all users share the TPM's few slots for transient objects (three in
//! swtpm), and a fourth object at a time is refused with TPM_RC_OBJECT_MEMORY.
//!
//! Source of both protocols: what tpm2-tss sends (tcti-mssim.c, tcti-swtpm.c, versions 3.2 to 4.2).

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
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

/// How often to look for two consecutive free ports before giving up.
const PORT_TRIES: usize = 100;

/// mssim protocol: a TPM command follows (locality, size, command).
const MSSIM_SEND_COMMAND: u32 = 8;
/// mssim protocol: the user closes the connection.
const MSSIM_SESSION_END: u32 = 20;
/// mssim protocol, control: power on, NV on, cancel on, cancel off. Each is answered with a zero.
const MSSIM_CONTROL: [u32; 4] = [1, 11, 9, 10];
/// swtpm protocol, control: initialise (4 bytes follow) and set the locality (1 byte follows), as tpm2-tss sends them.
const SWTPM_CONTROL: [(u32, usize); 2] = [(2, 4), (5, 1)];

/// The first byte of every TPM command (TPM_ST_NO_SESSIONS, TPM_ST_SESSIONS) and of no mssim request.
const TPM_TAG_BYTE: u8 = 0x80;

/// Accepts connections until it is dropped; then all of them are closed and the TPM is switched off.
#[derive(Debug)]
pub(crate) struct Proxy {
    shared: Arc<Shared>,
    port: u16,
    listeners: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    /// Gone once the proxy is dropped, however long its threads still run.
    tpm: Mutex<Option<Tpm>>,
    script: Mutex<Script>,
    users: Mutex<Users>,
    user_left: Condvar,
    flush_after_users: AtomicBool,
    refuse: AtomicBool,
    /// Open, so that it only counts.
    refused: Gate,
    stop: AtomicBool,
}

/// The TPM and who made the transient objects and sessions in it.
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
            .context("the listener has no address")?
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

    /// The port for commands; the next one is for control.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn script<T>(&self, work: impl FnOnce(&mut Script) -> T) -> T {
        work(&mut lock(&self.shared.script))
    }

    /// Sends a command to the TPM itself: it is not counted and meets no fault.
    pub(crate) fn exchange(&self, command: &[u8]) -> Result<Vec<u8>> {
        self.shared.with_tpm(|tpm| tpm.exchange(None, command))
    }

    pub(crate) fn state_folder(&self) -> Result<PathBuf> {
        self.shared
            .with_tpm(|tpm| Ok(tpm.software.state_folder().to_owned()))
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

    /// Waits until `count` connections in all were refused; an error after `limit`.
    pub(crate) fn wait_for_refused(&self, count: usize, limit: Duration) -> Result<()> {
        self.shared.refused.wait_for(count, limit)
    }

    /// Waits until all users have left and what they left behind is flushed; an error after `limit`.
    pub(crate) fn wait_until_unused(&self, limit: Duration) -> Result<()> {
        let users = lock(&self.shared.users);
        let waited = self
            .shared
            .user_left
            .wait_timeout_while(users, limit, |users| !users.connected.is_empty());
        let left = waited.map_or(0, |(users, _)| users.connected.len());
        ensure!(
            left == 0,
            "{left} connections to the TPM are still open after {limit:?}; end the programs that hold them"
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
        // Only now: no one gets an answer any more.
        self.script(Script::clear_faults);
        for (offset, listener) in self.listeners.drain(..).enumerate() {
            // A connection wakes the listener, which then sees that it has to stop.
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
        let port = first.local_addr().context("the listener has no address")?.port();
        if let Some(next) = port.checked_add(1)
            && let Ok(second) = TcpListener::bind((Ipv4Addr::LOCALHOST, next))
        {
            return Ok((first, second));
        }
    }
    bail!("found no two consecutive free ports in {PORT_TRIES} tries; end programs that listen on 127.0.0.1")
}

/// Serves one connection until it ends; an error ends it too, and the user sees that.
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
            let Ok(user) = shared.enter(&stream) else {
                continue;
            };
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                // Whatever went wrong, closing the connection is all that can be told to the other side.
                let _ = service(&shared, user, stream);
                shared.leave(user);
            });
        }
    })
}

impl Shared {
    /// Has the TPM to itself for as long as `work` takes.
    fn with_tpm<T>(&self, work: impl FnOnce(&mut Tpm) -> Result<T>) -> Result<T> {
        work(
            lock(&self.tpm)
                .as_mut()
                .context("the TPM is gone; keep its TestTpm for as long as it is used")?,
        )
    }

    fn enter(&self, stream: &TcpStream) -> io::Result<UserId> {
        stream.set_nodelay(true)?;
        let mut users = lock(&self.users);
        users.last += 1;
        let user = users.last;
        users.connected.insert(user, stream.try_clone()?);
        Ok(user)
    }

    fn leave(&self, user: UserId) {
        if let Some(tpm) = &mut *lock(&self.tpm) {
            tpm.forget(user, self.flush_after_users.load(Ordering::SeqCst));
        }
        // The service has dropped its handle already; this one is the last, so the connection closes here.
        lock(&self.users).connected.remove(&user);
        self.user_left.notify_all();
    }

    /// Passes a command on, with the fault that it meets. `None`: the connection is to be closed.
    fn execute(&self, owner: Option<UserId>, command: &[u8]) -> Result<Option<Vec<u8>>> {
        let fault = lock(&self.script).meet(wire::code(command));
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
        // A handle that was flushed, or whose session has ended, is the TPM's to give again: the newest maker owns it.
        if let Some(handle) = wire::new_handle(wire::code(command), &response) {
            match owner {
                Some(owner) => self.owners.insert(handle, owner),
                None => self.owners.remove(&handle),
            };
        }
        Ok(response)
    }

    /// Forgets what a user made and, if asked to, flushes it from the TPM.
    fn forget(&mut self, user: UserId, flush: bool) {
        let mut handles = Vec::new();
        self.owners.retain(|handle, owner| {
            let left_behind = *owner == user;
            if left_behind {
                handles.push(*handle);
            }
            !left_behind
        });
        if flush {
            for handle in handles {
                // An error means that it is gone already: flushed, ended with its last command, or lost in a restart.
                let _ = self.software.exchange(&wire::plain_command(
                    wire::CC_FLUSH_CONTEXT,
                    &handle.to_be_bytes(),
                ));
            }
        }
    }
}

fn serve_commands(shared: &Shared, user: UserId, stream: TcpStream) -> Result<()> {
    let mut first = [0];
    if stream.peek(&mut first)? == 0 {
        return Ok(());
    }
    match first[0] {
        TPM_TAG_BYTE => serve_swtpm(shared, stream),
        _ => serve_mssim(shared, user, stream),
    }
}

fn serve_swtpm(shared: &Shared, mut stream: TcpStream) -> Result<()> {
    while let Some(command) = wire::read_message(&mut stream)? {
        let Some(response) = shared.execute(None, &command)? else {
            break;
        };
        stream.write_all(&response)?;
    }
    Ok(())
}

fn serve_mssim(shared: &Shared, user: UserId, mut stream: TcpStream) -> Result<()> {
    while let Some(request) = read_word(&mut stream)? {
        match request {
            MSSIM_SEND_COMMAND => {}
            MSSIM_SESSION_END => break,
            other => bail!("unknown mssim request {other}"),
        }
        let mut locality_and_size = [0; 5];
        stream.read_exact(&mut locality_and_size)?;
        ensure!(locality_and_size[0] == 0, "only locality 0 is served");
        let Some(command) = wire::read_message(&mut stream)? else {
            break;
        };
        let Some(response) = shared.execute(Some(user), &command)? else {
            break;
        };
        // In one write: tpm2-tss reads this socket without blocking once the first byte is there.
        let mut answer = (response.len() as u32).to_be_bytes().to_vec();
        answer.extend(response);
        answer.extend([0; 4]);
        stream.write_all(&answer)?;
    }
    Ok(())
}

fn serve_control(shared: &Shared, _user: UserId, mut stream: TcpStream) -> Result<()> {
    while let Some(request) = read_word(&mut stream)? {
        if MSSIM_CONTROL.contains(&request) {
            stream.write_all(&[0; 4])?;
            continue;
        }
        let Some((_, size)) = SWTPM_CONTROL.iter().find(|(code, _)| *code == request) else {
            break;
        };
        let mut whole = request.to_be_bytes().to_vec();
        whole.resize(4 + size, 0);
        stream.read_exact(&mut whole[4..])?;
        let response = shared.with_tpm(|tpm| tpm.software.control(&whole, 4))?;
        stream.write_all(&response)?;
    }
    Ok(())
}

/// `None` when the stream ends before the word does.
fn read_word(stream: &mut TcpStream) -> io::Result<Option<u32>> {
    let mut word = [0; 4];
    match stream.read_exact(&mut word) {
        Ok(()) => Ok(Some(u32::from_be_bytes(word))),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

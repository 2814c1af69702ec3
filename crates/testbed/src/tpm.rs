//! A TPM for one test: the software TPM behind the proxy, and what tests do to a TPM.
//!
//! What a test does here (clear, fill, set an authorisation) goes to the TPM behind the proxy: it is not counted and
//! meets no fault. Only [`TestTpm::tpm2`] goes through the proxy, as any program does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::fault::{Fault, Script, When};
use crate::proxy::Proxy;
use crate::swtpm::SoftwareTpm;
use crate::wire::{
    self, CC_CHANGE_EPS, CC_CLEAR, CC_CREATE_PRIMARY, CC_EVICT_CONTROL, CC_FLUSH_CONTEXT, CC_GET_CAPABILITY,
    CC_HIERARCHY_CHANGE_AUTH, CC_HIERARCHY_CONTROL, Command,
};

const PLATFORM: u32 = 0x4000_000C;
const LOCKOUT: u32 = 0x4000_000A;

const RC_SUCCESS: u32 = 0;
const RC_NV_DEFINED: u32 = 0x14C;
const RC_NV_SPACE: u32 = 0x14B;

const CAPABILITY_HANDLES: u32 = 1;
const FIRST_TRANSIENT: u32 = 0x8000_0000;
const FIRST_PERSISTENT: u32 = 0x8100_0000;
/// More than the TPM answers at a time; it says itself whether there are more.
const HANDLES_AT_A_TIME: u32 = 254;

/// Where [`TestTpm::fill_nv_persistent`] puts its objects: owner range, away from the handles in common use.
const FILL_FROM: u32 = 0x8100_8000;

/// The public area of a P-256 signing key with the ASCII bytes `foreign` in x: no one's template, so no one's key.
const FOREIGN_TEMPLATE: [u8; 31] = [
    0x00, 0x23, 0x00, 0x0B, 0x00, 0x04, 0x04, 0x72, 0x00, 0x00, // ECC, SHA-256, attributes, no policy
    0x00, 0x10, 0x00, 0x18, 0x00, 0x0B, 0x00, 0x03, 0x00,
    0x10, // no symmetric, ECDSA with SHA-256, P-256, no KDF
    0x00, 0x07, b'f', b'o', b'r', b'e', b'i', b'g', b'n', // unique.x
    0x00, 0x00, // unique.y
];

/// A hierarchy of the TPM that belongs to a person or an institution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hierarchy {
    /// The owner hierarchy.
    Owner,
    /// The endorsement hierarchy.
    Endorsement,
}

impl Hierarchy {
    fn handle(self) -> u32 {
        match self {
            Hierarchy::Owner => 0x4000_0001,
            Hierarchy::Endorsement => 0x4000_000B,
        }
    }
}

/// A TPM for one test. Dropping it ends all connections and the software TPM.
#[derive(Debug)]
pub struct TestTpm {
    proxy: Proxy,
}

impl TestTpm {
    /// A factory-new TPM.
    pub fn new() -> Result<Self> {
        Self::over(SoftwareTpm::start()?)
    }

    /// The TPM whose state is kept in `folder`; a new one if the folder is missing or empty.
    pub fn kept_in(folder: &Path) -> Result<Self> {
        Self::over(SoftwareTpm::start_in(folder)?)
    }

    fn over(software: SoftwareTpm) -> Result<Self> {
        Ok(TestTpm {
            proxy: Proxy::start(software)?,
        })
    }

    /// What to give a program as `TCTI` or `TPM2TOOLS_TCTI`.
    ///
    /// This is tpm2-tss's `mssim` TCTI, since it alone keeps one connection per user, as /dev/tpmrm0 does.
    pub fn tcti(&self) -> String {
        format!("mssim:host=127.0.0.1,port={}", self.proxy.port())
    }

    /// The same TPM through tpm2-tss's `swtpm` TCTI. It connects anew for each command, so the proxy cannot tell when
    /// a user is gone, and flushes nothing that it left behind.
    pub fn swtpm_tcti(&self) -> String {
        format!("swtpm:host=127.0.0.1,port={}", self.proxy.port())
    }

    /// The folder that holds the TPM's state and swtpm's log.
    pub fn state_folder(&self) -> Result<PathBuf> {
        self.proxy.state_folder()
    }

    /// Makes the commands that `command` and `when` select meet a fault, from now on. The first fault that selects a
    /// command wins.
    pub fn fail(&self, command: Command, when: When, fault: Fault) {
        self.proxy.script(|script| script.add(command, when, fault));
    }

    /// Forgets all faults and opens their gates.
    pub fn clear_faults(&self) {
        self.proxy.script(Script::clear_faults);
    }

    /// Whether new connections are closed as soon as they are made.
    pub fn refuse_connections(&self, on: bool) {
        self.proxy.refuse_connections(on);
    }

    /// Waits until `count` connections in all were refused; an error after `limit`.
    pub fn wait_for_refused(&self, count: usize, limit: Duration) -> Result<()> {
        self.proxy.wait_for_refused(count, limit)
    }

    /// Whether transient objects and sessions of a user are flushed when it goes, as the kernel's resource manager
    /// does (on by default) and a bare TPM does not.
    pub fn resource_manager(&self, on: bool) {
        self.proxy.flush_after_users(on);
    }

    /// Waits until all programs have closed their connections and what they left behind is flushed.
    pub fn wait_until_unused(&self, limit: Duration) -> Result<()> {
        self.proxy.wait_until_unused(limit)
    }

    /// How many commands of each code (TPM_CC) programs have sent, whatever became of them.
    pub fn counts(&self) -> BTreeMap<u32, u64> {
        self.proxy.script(|script| script.counts().clone())
    }

    /// How many commands programs have sent.
    pub fn total(&self) -> u64 {
        self.proxy.script(|script| script.counts().values().sum())
    }

    /// Starts to count anew.
    pub fn reset_counts(&self) {
        self.proxy.script(Script::reset_counts);
    }

    /// Cuts the TPM's power and turns it on again. Connections stay open.
    pub fn restart(&self) -> Result<()> {
        self.proxy.restart()
    }

    /// Runs one of the tpm2-tools, such as `["tpm2_getrandom", "8", "--hex"]`, and returns what it printed. An error
    /// carries what it printed on stderr.
    pub fn tpm2(&self, arguments: &[&str]) -> Result<String> {
        let (tool, arguments) = arguments
            .split_first()
            .context("no tool named; pass a name such as tpm2_getrandom")?;
        let output = process::Command::new(tool)
            .args(arguments)
            .env("TPM2TOOLS_TCTI", self.tcti())
            .output()
            .with_context(|| format!("cannot run {tool}; install the package tpm2-tools"))?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "{tool} {arguments:?} failed ({}): {stderr}",
            output.status
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// TPM2_Clear with platform authorisation, as firmware does it.
    pub fn clear_by_platform(&self) -> Result<()> {
        self.command(CC_CLEAR, &[PLATFORM], &[]).map(drop)
    }

    /// TPM2_Clear with lockout authorisation, as an operating system does it.
    pub fn clear_by_lockout(&self) -> Result<()> {
        self.command(CC_CLEAR, &[LOCKOUT], &[]).map(drop)
    }

    /// Replaces the endorsement primary seed: every key of the endorsement hierarchy is another one afterwards.
    pub fn change_eps(&self) -> Result<()> {
        self.command(CC_CHANGE_EPS, &[PLATFORM], &[]).map(drop)
    }

    /// Sets the owner authorisation, which is empty before.
    pub fn set_owner_auth(&self, auth: &str) -> Result<()> {
        self.set_auth(Hierarchy::Owner, auth)
    }

    /// Sets the endorsement authorisation, which is empty before.
    pub fn set_endorsement_auth(&self, auth: &str) -> Result<()> {
        self.set_auth(Hierarchy::Endorsement, auth)
    }

    fn set_auth(&self, hierarchy: Hierarchy, auth: &str) -> Result<()> {
        let new = wire::sized(auth.as_bytes());
        self.command(CC_HIERARCHY_CHANGE_AUTH, &[hierarchy.handle()], &new)
            .map(drop)
    }

    /// Disables a hierarchy until the next restart, as firmware settings do.
    pub fn disable_hierarchy(&self, hierarchy: Hierarchy) -> Result<()> {
        let mut body = hierarchy.handle().to_be_bytes().to_vec();
        body.push(0);
        self.command(CC_HIERARCHY_CONTROL, &[PLATFORM], &body).map(drop)
    }

    /// Puts a key that is not the project's at a persistent handle, with owner authorisation (empty).
    pub fn persist_foreign_key(&self, handle: u32) -> Result<()> {
        self.with_foreign_key(|key| {
            let code = self.persist(key, handle)?;
            ensure!(
                code == RC_SUCCESS,
                "the TPM answered {code:#x} to a key at {handle:#x}; is the handle in use, or the TPM full?"
            );
            Ok(())
        })
    }

    /// Makes keys persistent until the TPM has no room for another one; returns how many that took.
    pub fn fill_nv_persistent(&self) -> Result<usize> {
        self.with_foreign_key(|key| {
            let mut made = 0;
            for handle in FILL_FROM.. {
                match self.persist(key, handle)? {
                    RC_SUCCESS => made += 1,
                    RC_NV_DEFINED => {}
                    RC_NV_SPACE => break,
                    code => anyhow::bail!(
                        "the TPM answered {code:#x} to a key at {handle:#x}; is the owner auth empty?"
                    ),
                }
            }
            Ok(made)
        })
    }

    /// All persistent handles, in rising order.
    pub fn persistent_handles(&self) -> Result<Vec<u32>> {
        self.handles(FIRST_PERSISTENT)
    }

    /// All handles of transient objects, in rising order.
    pub fn transient_handles(&self) -> Result<Vec<u32>> {
        self.handles(FIRST_TRANSIENT)
    }

    fn handles(&self, first: u32) -> Result<Vec<u32>> {
        let (mut all, mut from, mut more) = (Vec::new(), first, true);
        while more {
            let words = [CAPABILITY_HANDLES, from, HANDLES_AT_A_TIME];
            let body: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
            let response = self.exchange(&wire::plain_command(CC_GET_CAPABILITY, &body))?;
            succeed(CC_GET_CAPABILITY, &response)?;
            // After the header: more data (1 byte), capability, count, handles.
            let count = wire::word(&response, wire::HEADER_SIZE + 5) as usize;
            let at = |index| wire::word(&response, wire::HEADER_SIZE + 9 + 4 * index);
            all.extend((0..count).map(at));
            more = response.get(wire::HEADER_SIZE) == Some(&1) && count > 0;
            from = all.last().map_or(first, |last| last + 1);
        }
        Ok(all)
    }

    fn with_foreign_key<T>(&self, work: impl FnOnce(u32) -> Result<T>) -> Result<T> {
        let mut body = wire::sized(&[0; 4]); // empty authValue and data
        body.extend(wire::sized(&FOREIGN_TEMPLATE));
        body.extend([0; 6]); // no outside info, no PCR
        let response = self.command(CC_CREATE_PRIMARY, &[Hierarchy::Owner.handle()], &body)?;
        let key = wire::word(&response, wire::HEADER_SIZE);
        let done = work(key);
        self.exchange(&wire::plain_command(CC_FLUSH_CONTEXT, &key.to_be_bytes()))?;
        done
    }

    /// Makes a transient object persistent; returns the response code.
    fn persist(&self, object: u32, handle: u32) -> Result<u32> {
        let handles = [Hierarchy::Owner.handle(), object];
        let command = wire::password_command(CC_EVICT_CONTROL, &handles, &[], &handle.to_be_bytes());
        Ok(wire::code(&self.exchange(&command)?))
    }

    /// Sends a command authorised with an empty password; an error if the TPM refuses it.
    fn command(&self, code: u32, handles: &[u32], body: &[u8]) -> Result<Vec<u8>> {
        let response = self.exchange(&wire::password_command(code, handles, &[], body))?;
        succeed(code, &response)?;
        Ok(response)
    }

    fn exchange(&self, command: &[u8]) -> Result<Vec<u8>> {
        self.proxy.exchange(command)
    }
}

fn succeed(command: u32, response: &[u8]) -> Result<()> {
    let code = wire::code(response);
    ensure!(
        code == RC_SUCCESS,
        "the TPM refused command {command:#x} with {code:#x}; was it changed before?"
    );
    Ok(())
}

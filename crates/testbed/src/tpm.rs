//! A TPM for one test: a software TPM behind the proxy.
//!
//! The operations here (clear, fill, set an authorisation) go directly to the TPM, without counts
//! and faults. Only [`TestTpm::tpm2`] goes through the proxy, as every program does.

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
/// More handles than one answer has. The answer tells if the TPM has more.
const HANDLES_AT_A_TIME: u32 = 254;

/// The first handle of [`TestTpm::fill_nv_persistent`]: in the owner range, away from common
/// handles.
const FILL_FROM: u32 = 0x8100_8000;

/// The public area of a P-256 signing key with the ASCII bytes `foreign` in x. No other program
/// uses this template.
const FOREIGN_TEMPLATE: [u8; 31] = [
    0x00, 0x23, 0x00, 0x0B, 0x00, 0x04, 0x04, 0x72, 0x00, 0x00, // ECC, SHA-256, attributes, no policy
    0x00, 0x10, 0x00, 0x18, 0x00, 0x0B, 0x00, 0x03, 0x00,
    0x10, // no symmetric, ECDSA with SHA-256, P-256, no KDF
    0x00, 0x07, b'f', b'o', b'r', b'e', b'i', b'g', b'n', // unique.x
    0x00, 0x00, // unique.y
];

/// A hierarchy of the TPM that a test can disable.
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

/// A TPM for one test. Dropping it closes all connections and ends the software TPM.
#[derive(Debug)]
pub struct TestTpm {
    proxy: Proxy,
}

impl TestTpm {
    /// A new TPM.
    pub fn new() -> Result<Self> {
        Self::behind_proxy(SoftwareTpm::start()?)
    }

    /// The TPM whose state is stored in `directory`. It is a new TPM if the directory is missing or
    /// empty.
    pub fn kept_in(directory: &Path) -> Result<Self> {
        Self::behind_proxy(SoftwareTpm::start_in(directory)?)
    }

    fn behind_proxy(software: SoftwareTpm) -> Result<Self> {
        Ok(TestTpm {
            proxy: Proxy::start(software)?,
        })
    }

    /// The TCTI string for the environment variables `TCTI` and `TPM2TOOLS_TCTI`.
    ///
    /// It uses tpm2-tss's `mssim` TCTI, which keeps one connection per user, as /dev/tpmrm0 does.
    pub fn tcti(&self) -> String {
        format!("mssim:host=127.0.0.1,port={}", self.proxy.port())
    }

    /// The TCTI string of the same TPM for tpm2-tss's `swtpm` TCTI. That TCTI makes a new
    /// connection for each command, so the proxy cannot see when a user ends, and flushes nothing.
    pub fn swtpm_tcti(&self) -> String {
        format!("swtpm:host=127.0.0.1,port={}", self.proxy.port())
    }

    /// The directory with the state of the TPM and the log of swtpm.
    pub fn state_directory(&self) -> Result<PathBuf> {
        self.proxy.state_directory()
    }

    /// Sets a fault for the commands that `command` and `when` select. If several faults select a
    /// command, the first one applies.
    pub fn fail(&self, command: Command, when: When, fault: Fault) {
        self.proxy.script(|script| script.add(command, when, fault));
    }

    /// Removes all faults and opens their gates.
    pub fn clear_faults(&self) {
        self.proxy.script(Script::clear_faults);
    }

    /// Sets whether the proxy closes new connections at once.
    pub fn refuse_connections(&self, on: bool) {
        self.proxy.refuse_connections(on);
    }

    /// Waits until `count` connections in total were refused. Returns an error after `limit`.
    pub fn wait_for_refused(&self, count: usize, limit: Duration) -> Result<()> {
        self.proxy.wait_for_refused(count, limit)
    }

    /// Sets whether the proxy flushes the transient objects and sessions of a user that
    /// disconnects. The kernel's resource manager does so (the default). A TPM without one does
    /// not.
    pub fn resource_manager(&self, on: bool) {
        self.proxy.flush_after_users(on);
    }

    /// Waits until all programs have disconnected and their objects are flushed. Returns an error
    /// after `limit`.
    pub fn wait_until_unused(&self, limit: Duration) -> Result<()> {
        self.proxy.wait_until_unused(limit)
    }

    /// The number of commands that programs have sent, by command code (TPM_CC). Commands with
    /// faults count too.
    pub fn counts(&self) -> BTreeMap<u32, u64> {
        self.proxy.script(|script| script.counts().clone())
    }

    /// The total number of commands that programs have sent.
    pub fn total(&self) -> u64 {
        self.proxy.script(|script| script.counts().values().sum())
    }

    /// Resets all counts to zero.
    pub fn reset_counts(&self) {
        self.proxy.script(Script::reset_counts);
    }

    /// Switches the TPM off and on, as in a power cut. Connections stay open.
    pub fn restart(&self) -> Result<()> {
        self.proxy.restart()
    }

    /// Runs one of the tpm2-tools, such as `["tpm2_getrandom", "8", "--hex"]`, and returns its
    /// standard output. An error contains its standard error.
    pub fn tpm2(&self, arguments: &[&str]) -> Result<String> {
        let (tool, arguments) = arguments
            .split_first()
            .context("the name of the tool is missing; give a name such as tpm2_getrandom")?;
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

    /// TPM2_Clear with platform authorisation, as firmware uses it.
    pub fn clear_by_platform(&self) -> Result<()> {
        self.command(CC_CLEAR, &[PLATFORM], &[]).map(drop)
    }

    /// TPM2_Clear with lockout authorisation, as an operating system uses it.
    pub fn clear_by_lockout(&self) -> Result<()> {
        self.command(CC_CLEAR, &[LOCKOUT], &[]).map(drop)
    }

    /// Replaces the endorsement primary seed, and so all keys of the endorsement hierarchy.
    pub fn change_eps(&self) -> Result<()> {
        self.command(CC_CHANGE_EPS, &[PLATFORM], &[]).map(drop)
    }

    /// Sets the owner authorisation. It must be empty before.
    pub fn set_owner_auth(&self, auth: &str) -> Result<()> {
        self.set_auth(Hierarchy::Owner, auth)
    }

    /// Sets the endorsement authorisation. It must be empty before.
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

    /// Stores a key of another program at a persistent handle. The owner authorisation must be
    /// empty.
    pub fn persist_foreign_key(&self, handle: u32) -> Result<()> {
        self.with_foreign_key(|key| {
            let code = self.persist(key, handle)?;
            ensure!(
                code == RC_SUCCESS,
                "the TPM answered {code:#x} to a key at {handle:#x}; check that the handle is free and the \
                 TPM has space"
            );
            Ok(())
        })
    }

    /// Makes keys persistent until the TPM is full. Returns the number of new persistent keys.
    pub fn fill_nv_persistent(&self) -> Result<usize> {
        self.with_foreign_key(|key| {
            let mut made = 0;
            for handle in FILL_FROM.. {
                match self.persist(key, handle)? {
                    RC_SUCCESS => made += 1,
                    RC_NV_DEFINED => {}
                    RC_NV_SPACE => break,
                    code => anyhow::bail!(
                        "the TPM answered {code:#x} to a key at {handle:#x}; check that the owner auth is \
                         empty"
                    ),
                }
            }
            Ok(made)
        })
    }

    /// All persistent handles, in ascending order.
    pub fn persistent_handles(&self) -> Result<Vec<u32>> {
        self.handles(FIRST_PERSISTENT)
    }

    /// All handles of transient objects, in ascending order.
    pub fn transient_handles(&self) -> Result<Vec<u32>> {
        self.handles(FIRST_TRANSIENT)
    }

    fn handles(&self, first: u32) -> Result<Vec<u32>> {
        let (mut all, mut from, mut more) = (Vec::new(), first, true);
        while more {
            let words = [CAPABILITY_HANDLES, from, HANDLES_AT_A_TIME];
            let body: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
            let response = self.exchange(&wire::plain_command(CC_GET_CAPABILITY, &body))?;
            check_success(CC_GET_CAPABILITY, &response)?;
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

    /// Makes a transient object persistent. Returns the response code.
    fn persist(&self, object: u32, handle: u32) -> Result<u32> {
        let handles = [Hierarchy::Owner.handle(), object];
        let command = wire::password_command(CC_EVICT_CONTROL, &handles, &[], &handle.to_be_bytes());
        Ok(wire::code(&self.exchange(&command)?))
    }

    /// Sends a command with empty password authorisation. Returns an error if the TPM refuses it.
    fn command(&self, code: u32, handles: &[u32], body: &[u8]) -> Result<Vec<u8>> {
        let response = self.exchange(&wire::password_command(code, handles, &[], body))?;
        check_success(code, &response)?;
        Ok(response)
    }

    fn exchange(&self, command: &[u8]) -> Result<Vec<u8>> {
        self.proxy.exchange(command)
    }
}

fn check_success(command: u32, response: &[u8]) -> Result<()> {
    let code = wire::code(response);
    ensure!(
        code == RC_SUCCESS,
        "the TPM refused the command {command:#x} with {code:#x}; check what changed the TPM before"
    );
    Ok(())
}

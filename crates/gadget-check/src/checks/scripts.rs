//! The commands of scripts: values that snapd would misread, and programs out of reach.

use serde_json::Value as Json;

use crate::finding::{FindingKind as _, GadgetFinding};
use crate::findings::ScriptFinding;
use crate::gadget::Gadget;
use crate::snap::shell::UNKNOWN;
use crate::trace::snapctl::Snapctl;
use crate::trace::{Call, GapReason, Trace, Value};

/// Options that snapd reads as strings (`registrationURL` and `getSerial` in overlord/devicestate).
const STRINGS: [&str; 3] = ["device-service.access", "device-service.url", PROPOSED_SERIAL];
/// The serial number is a number on some devices.
const PROPOSED_SERIAL: &str = "registration.proposed-serial";

/// Programs that strict confinement denies: snapd's AppArmor template for snaps has neither these
/// nor their sockets, and the bases have no package manager.
const DENIED: [&str; 6] = ["apt", "apt-get", "dpkg", "snap", "su", "sudo"];

pub(crate) fn check(gadget: &Gadget<'_>) -> Vec<GadgetFinding> {
    let traces = || gadget.traces();
    let mut findings: Vec<GadgetFinding> = traces().flat_map(untyped).collect();
    if gadget.snap.is_strict() {
        let calls = traces().flat_map(|trace| &trace.calls);
        let mut plugs = gadget.snap.plugs().into_values();
        let reach = Reach {
            own_mount: format!("/snap/{}/", gadget.snap.name),
            has_snapd: plugs.any(|interface| interface == "snapd-control"),
        };
        findings.extend(calls.filter_map(|call| reach.unreachable(call)));
    }
    findings.extend(traces().flat_map(gaps));
    findings
}

fn untyped(trace: &Trace) -> Vec<GadgetFinding> {
    let mut findings = Vec::new();
    for (call, snapctl) in trace.snapctl() {
        let Snapctl::Set {
            options,
            is_typed: false,
            ..
        } = snapctl
        else {
            continue;
        };
        let options = options.iter();
        let bad = options.filter_map(|(option, value)| misread(option, value, call.line));
        findings.extend(bad.map(|finding| finding.at(&call.script)));
    }
    findings
}

/// The finding about a value that snapctl takes for JSON, while snapd expects a string.
fn misread(option: &str, value: &Value, line: Option<usize>) -> Option<ScriptFinding> {
    if !STRINGS.contains(&option) {
        return None;
    }
    let text = value.text();
    if !value.is_known() {
        // Other characters cannot be part of a number.
        let rest = text.replace(UNKNOWN, "");
        let can_be_number = rest.bytes().all(|byte| b"0123456789+-.eE".contains(&byte));
        let option = option.to_owned();
        let is_doubtful = option == PROPOSED_SERIAL && can_be_number;
        return is_doubtful.then_some(ScriptFinding::MaybeUntypedSet { option, line });
    }
    match serde_json::from_str::<Json>(text) {
        Err(_) | Ok(Json::String(_)) => None,
        Ok(_) => Some(ScriptFinding::UntypedSet {
            option: option.to_owned(),
            value: text.to_owned(),
            line,
        }),
    }
}

/// What programs of the gadget can reach.
struct Reach {
    /// The directory where its revisions are mounted.
    own_mount: String,
    /// True if a plug gives access to snapd.
    has_snapd: bool,
}

impl Reach {
    fn unreachable(&self, call: &Call) -> Option<GadgetFinding> {
        // A group of literals of one word is not a call.
        let is_call = call.line.is_some() || !call.arguments.is_empty();
        let program = call.program.as_str();
        let is_of_other_snap = program.starts_with("/snap/") && !program.starts_with(&self.own_mount);
        let name = match program.rsplit_once('/') {
            Some(("/bin" | "/usr/bin" | "/usr/sbin" | "/sbin", name)) => name,
            _ => program,
        };
        let is_denied = DENIED.contains(&name) && !(name == "snap" && self.has_snapd);
        let finding = ScriptFinding::Unreachable {
            program: program.to_owned(),
            line: call.line,
        };
        (is_call && (is_of_other_snap || is_denied)).then(|| finding.at(&call.script))
    }
}

fn gaps(trace: &Trace) -> impl Iterator<Item = GadgetFinding> {
    trace.gaps.iter().map(|gap| {
        let finding = match &gap.reason {
            GapReason::Incomplete(line) => ScriptFinding::Incomplete { line: *line },
            GapReason::OtherLanguage(language) => ScriptFinding::OtherLanguage {
                language: language.clone(),
            },
            GapReason::UnknownProgram(line) => ScriptFinding::UnknownProgram { line: *line },
            GapReason::TooMany => ScriptFinding::TooMany,
        };
        finding.at(&gap.script)
    })
}

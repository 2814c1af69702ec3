//! The stand-in for `snapctl`: the commands get, set, unset, system-mode and reboot.
//!
//! Source: snapd's overlord/hookstate/ctlcmd and client/clientutil (2.77). A call fails, with exit
//! status 1, if it fails in snapd. The error messages are the testbed's own.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, bail, ensure};
use serde_json::{Map, Value};

use crate::json;
use crate::store::{Store, SystemMode};

const HELP: &str = "Usage: snapctl get|set|unset|system-mode|reboot ...\n\
    A stand-in for snapd's snapctl. SNAP_COOKIE is the path of the file with the configuration.\n";

/// Serves one call and returns its standard output.
///
/// `cookie` is the value of SNAP_COOKIE: the path of the file of a device or of a hook run.
///
/// # Errors
/// If snapd's `snapctl` would fail, or if the file cannot be read or written.
pub fn run(cookie: Option<&Path>, arguments: &[String]) -> Result<String> {
    let Some((command, rest)) = arguments.split_first() else {
        bail!("the command is missing; give a command, such as get");
    };
    let known: &[&str] = match command.as_str() {
        "get" => &["d", "t"],
        "set" => &["s", "t"],
        "unset" | "system-mode" => &[],
        "reboot" => &["halt", "poweroff"],
        "-h" | "--help" => return Ok(HELP.to_owned()),
        other => {
            bail!("unknown command {other:?}; give get, set, unset, system-mode or reboot")
        }
    };
    let call = Call::parse(command, rest, known)?;
    if call.help {
        return Ok(HELP.to_owned());
    }
    let has_name = call.operands.len() > 1 || call.operands.first().is_some_and(|first| !first.is_empty());
    // Only unset accepts an empty name.
    let enough = has_name || (command == "unset" && !call.operands.is_empty());
    ensure!(
        enough || !["get", "set", "unset"].contains(&command.as_str()),
        "{command} needs the name of an option; give one"
    );

    let Some(cookie) = cookie.filter(|cookie| cookie.is_absolute() && cookie.exists()) else {
        bail!("{command} works only inside a snap; run it from a hook, with the SNAP_COOKIE of the hook");
    };
    let mut store = Store::open(cookie)?;
    store.record_call(arguments)?;
    match command.as_str() {
        "get" => get(&mut store, &call),
        "set" => set(&mut store, &call),
        "unset" => unset(&mut store, &call),
        "system-mode" => Ok(system_mode(&store.device.system)),
        _ => reboot(&mut store, &call),
    }
}

/// The options and operands of a call. Options can be anywhere before `--`.
#[derive(Debug, Default)]
struct Call {
    options: Vec<String>,
    operands: Vec<String>,
    help: bool,
}

impl Call {
    fn parse(command: &str, arguments: &[String], known: &[&str]) -> Result<Self> {
        let mut call = Call::default();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            if argument == "--" {
                call.operands.extend(arguments.cloned());
                break;
            }
            let options: Vec<String> = match (argument.strip_prefix("--"), argument.strip_prefix('-')) {
                (Some(long), _) if long.len() == 1 => {
                    bail!("unknown flag {argument:?}; give -{long}")
                }
                (Some(long), _) => vec![long.to_owned()],
                (None, Some(short)) if !short.is_empty() => short.chars().map(String::from).collect(),
                _ => {
                    call.operands.push(argument.clone());
                    continue;
                }
            };
            for option in options {
                match option.as_str() {
                    "h" | "help" => call.help = true,
                    option if known.contains(&option) => call.options.push(option.to_owned()),
                    _ => bail!("unknown flag {argument:?}; the flags of {command} are {known:?}"),
                }
            }
        }
        Ok(call)
    }

    fn has(&self, option: &str) -> bool {
        self.options.iter().any(|given| given == option)
    }
}

fn get(store: &mut Store, call: &Call) -> Result<String> {
    let (typed, document) = (call.has("t"), call.has("d"));
    ensure!(
        !(typed && document),
        "-d and -t exclude each other; give one of them"
    );
    ensure!(
        !is_endpoint(&call.operands[0]),
        "plugs and slots can be read only in interface hooks; give the name of an option"
    );

    let transaction = store.begin();
    let mut found = Map::new();
    for name in &call.operands {
        if let Some(value) = transaction.get(name)? {
            found.insert(name.clone(), value);
        }
    }
    store.end(transaction, true)?;

    let answer = match call.operands.as_slice() {
        [only] if !document => found.remove(only),
        _ => Some(Value::Object(found)),
    };
    Ok(match answer {
        None if typed => "null\n".to_owned(),
        None => "\n".to_owned(),
        Some(Value::String(text)) if !typed => format!("{text}\n"),
        Some(value) => format!("{}\n", json::indented(&value)?),
    })
}

fn set(store: &mut Store, call: &Call) -> Result<String> {
    let (typed, string) = (call.has("t"), call.has("s"));
    ensure!(
        !(typed && string),
        "-t and -s exclude each other; give one of them"
    );
    let first = &call.operands[0];
    ensure!(
        first.contains('=') || !is_endpoint(first),
        "plugs and slots can be set only in interface hooks; give the name of an option"
    );

    // If a name is given twice, its last value is set at both places.
    let mut names = Vec::new();
    let mut values = BTreeMap::new();
    for operand in &call.operands {
        let (name, value) = parse_assignment(operand, typed, string)?;
        names.push(name);
        values.insert(name, value);
    }
    let base = store.device.base.clone();
    let mut transaction = store.begin();
    let done = names
        .iter()
        .try_for_each(|name| transaction.set(&base, name, values[name].clone()));
    store.end(transaction, done.is_ok())?;
    done.map(|()| String::new())
}

fn parse_assignment(operand: &str, typed: bool, string: bool) -> Result<(&str, Value)> {
    let Some((name, text)) = operand.split_once('=') else {
        return match operand.strip_suffix('!') {
            Some("") => bail!("the name before ! is missing; give name! to unset an option"),
            Some(name) => Ok((name, Value::Null)),
            None => bail!("{operand:?} is not an assignment; give name=value"),
        };
    };
    ensure!(!name.is_empty(), "the name before = is missing; give name=value");
    let value = match parse_json(text) {
        _ if string => Value::String(text.to_owned()),
        Ok(value) => value,
        Err(error) if typed => return Err(error.context(format!("{text:?} is not valid JSON"))),
        Err(_) => Value::String(text.to_owned()),
    };
    Ok((name, value))
}

/// Reads one JSON value. snapd's reader stops after it, so a closing bracket can follow.
fn parse_json(text: &str) -> Result<Value> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let Some(value) = values.next() else {
        bail!("the value is empty")
    };
    let value = value?;
    let rest = text[values.byte_offset()..].trim_start_matches([' ', '\t', '\r', '\n']);
    ensure!(
        rest.is_empty() || rest.starts_with([']', '}']),
        "unexpected {rest:?} after the value"
    );
    Ok(value)
}

/// Unsets options. Like snapd, it ignores errors: an option that cannot exist is already unset.
fn unset(store: &mut Store, call: &Call) -> Result<String> {
    let base = store.device.base.clone();
    let mut transaction = store.begin();
    for name in &call.operands {
        let _ = transaction.set(&base, name, Value::Null);
    }
    store.end(transaction, true)?;
    Ok(String::new())
}

fn system_mode(system: &SystemMode) -> String {
    let mut text = format!(
        "system-mode: {}\nseed-loaded: {}\n",
        system.mode, system.seed_loaded
    );
    if system.factory {
        text.push_str("factory: true\n");
    }
    if system.storage_encrypted {
        text.push_str("storage-encrypted: managed\n");
    }
    text
}

fn reboot(store: &mut Store, call: &Call) -> Result<String> {
    ensure!(
        store.hook() == "install-device",
        "reboot works only in the hook install-device; call it there"
    );
    let what = match (call.has("halt"), call.has("poweroff")) {
        (true, false) => "halt",
        (false, true) => "poweroff",
        (false, false) => bail!("--halt or --poweroff is missing; give one of them"),
        (true, true) => bail!("--halt and --poweroff exclude each other; give one of them"),
    };
    store.device.reboot = Some(what.to_owned());
    store.write_device()?;
    Ok(String::new())
}

/// Returns true if an operand names a plug or a slot, not an option.
fn is_endpoint(operand: &str) -> bool {
    operand.contains(':')
}

//! The hooks of the part, and the hooks of the project that replace them.

use super::edit::ProjectEdit;
use super::part;
use super::plan::Plan;
use super::source::{Part, Project};
use super::yaml_value::Yaml;
use crate::facts::hook_names;
use crate::finding::FindingKind as _;
use crate::findings::{HookFinding, ProjectFinding};
use crate::snap::content::{Content, Contents};
use crate::snap::script::Script;
use crate::trace::{Exit, Role, Trace};

/// The hooks of this project.
pub(super) const HOOKS: [&str; 4] = [
    "configure",
    "install-device",
    "prepare-device",
    "prepare-serial-request",
];
/// Bytes; hooks are shorter.
const MAX_HOOK: u64 = 1 << 20;

/// Returns true if the project has a hook of its own with this name.
pub(super) fn is_shadowed(project: &Project, name: &str) -> bool {
    project.hook(name).is_some()
}

pub(super) fn check(project: &Project, plan: &mut Plan) {
    for name in project.hook_names() {
        if !hook_names::is_known(&name) {
            let suggestion = hook_names::suggestion(&name);
            let place = format!("{}/{name}", project.hooks_directory());
            let finding = HookFinding::Ignored { name, suggestion };
            plan.findings
                .push(finding.at(place).warning_if(suggestion.is_none()));
        }
    }
    for name in HOOKS {
        match project.hook(name) {
            Some(path) => shadowed(project, name, &path, plan),
            None => from_part(project, name, plan),
        }
    }
}

/// A hook of the project that replaces that of the part.
fn shadowed(project: &Project, name: &'static str, path: &str, plan: &mut Plan) {
    let part = part::of_programs(project);
    let moved = part.and_then(|part| Some((part, part.hook_target(name)?)));
    match call_of(project, name, path) {
        Call::Missing { has_own } => {
            let is_doubtful = has_own || name == "configure" || name == "install-device";
            plan.findings
                .push(ProjectFinding::Shadowed { name }.at(path).warning_if(is_doubtful));
            let content = project.tree.read(path, MAX_HOOK).unwrap_or_default();
            plan.edits.extend(call(path, &content, name));
        }
        Call::Present { after_exit } => {
            if let Some((part, _)) = moved {
                let place = format!("{}, parts.{}.organize", project.file, part.name);
                plan.findings
                    .push(ProjectFinding::ProgramMoved { name }.at(place));
            }
            if let Some(exit) = after_exit {
                let line = exit.line;
                let finding = HookFinding::ExitsFirst { hook: name, line };
                plan.findings.push(finding.at(exit.script).warning_if(true));
            }
        }
    }
    if let Some((part, entry)) = moved {
        let path = ["parts", part.name, "organize"];
        plan.snapcraft
            .remove(&path, [entry.to_owned()], Yaml::Map(Vec::new()));
        keep_others(part, entry, plan, project);
    }
}

/// Whether a hook calls the program of the hardware identity.
enum Call {
    Missing {
        /// The hook uses registration.body itself: an author can have an identity of another kind.
        has_own: bool,
    },
    Present {
        /// An `exit` under a condition, before the call.
        after_exit: Option<Exit>,
    },
}

fn call_of(project: &Project, name: &str, path: &str) -> Call {
    let contents = Contents::of(&project.tree);
    let trace = Trace::follow(
        (&project.tree, &contents, &project.snap),
        &project.snap.hook(name),
        (&format!("hook {name}"), path),
        (Role::Hook, &[path]),
    );
    let program = format!("bin/{name}");
    let call = trace.programs.iter().find(|called| called.path == program);
    match call {
        Some(call) => Call::Present {
            after_exit: call.after_exit.clone(),
        },
        None if trace.names_in_other_language(&program) => Call::Present { after_exit: None },
        None => Call::Missing {
            has_own: matches!(&*contents.get(path), Content::Script(script) if script.mentions("registration.body")),
        },
    }
}

/// Writes an entry with a pattern, which is removed, as one entry for each of the other hooks.
fn keep_others(part: Part<'_>, entry: &str, plan: &mut Plan, project: &Project) {
    if !entry.contains('*') {
        return;
    }
    let others = HOOKS
        .into_iter()
        .filter(|name| part.hook_target(name) == Some(entry));
    for name in others.filter(|name| !is_shadowed(project, name)) {
        let path = ["parts", part.name, "organize", &format!("bin/{name}")];
        plan.snapcraft
            .add(&path, Yaml::text(&format!("snap/hooks/{name}")));
    }
}

/// A hook that the part has to provide. One for factory images is the author's choice.
fn from_part(project: &Project, name: &'static str, plan: &mut Plan) {
    let Some(part) = part::of_programs(project) else {
        return;
    };
    let target = format!("snap/hooks/{name}");
    let is_provided = project.parts().any(|part| part.provides_hook(name));
    if is_provided || name == "install-device" {
        return;
    }
    let path = ["parts", part.name, "organize"];
    let place = format!("{}, {}", project.file, path.join("."));
    plan.findings.push(
        ProjectFinding::HookMissing { name }
            .at(place)
            .warning_if(name == "configure"),
    );
    plan.snapcraft.add(
        &[&path[..], &[&format!("bin/{name}")]].concat(),
        Yaml::text(&target),
    );
}

/// Returns true if snap/hooks will have this hook once the lines are added.
pub(super) fn exists(project: &Project, name: &str) -> bool {
    // The lines have every hook if the part is missing, and else those that are not optional.
    part::of_programs(project).is_none()
        || name != "install-device"
        || is_shadowed(project, name)
        || project.parts().any(|part| part.provides_hook(name))
}

enum Language {
    Shell,
    Python,
    Other,
}

fn language(script: &Script) -> Language {
    let command = script.command().unwrap_or(script.interpreter());
    match command.rsplit('/').next().unwrap_or_default() {
        "sh" | "bash" | "dash" => Language::Shell,
        name if name.starts_with("python") => Language::Python,
        _ => Language::Other,
    }
}

/// The lines that call the program, for a hook in a known language.
///
/// The call comes first, since a hook can end early. Only prepare-serial-request comes last if it
/// can: what it sets counts at once, even if a later command fails.
fn call(path: &str, content: &[u8], name: &str) -> Option<ProjectEdit> {
    if !content.starts_with(b"#!") {
        return None;
    }
    let script = Script::parse((content, true));
    let text = String::from_utf8_lossy(content);
    let ends_early = text.lines().any(|line| {
        let mut words = line.split(|c: char| c.is_whitespace() || ";&|".contains(c));
        words.any(|word| word == "exit" || word == "exec")
    });
    let is_last = name == "prepare-serial-request" && !ends_early;
    let (after, lines) = match (language(&script), is_last) {
        (Language::Shell, false) => (1, format!("\"$SNAP/bin/{name}\" || exit\n")),
        (Language::Shell, true) => (text.lines().count(), format!("\"$SNAP/bin/{name}\" || exit\n")),
        (Language::Python, _) => (
            1,
            format!(
                "import os, subprocess, sys\nif subprocess.call([os.environ[\"SNAP\"] + \"/bin/{name}\"]) != 0:\n    \
                 sys.exit(1)\n"
            ),
        ),
        (Language::Other, _) => return None,
    };
    let under = text.lines().next().filter(|_| after == 1).unwrap_or_default();
    Some(ProjectEdit {
        file: path.to_owned(),
        after,
        remove: 0,
        lines,
        under: under.to_owned(),
        new: false,
    })
}

//! The PKCS#11 module that the settings name, and the plugs for its token.

use std::path::{Path, PathBuf};

use hardware_identity::config::{self, Settings};
use hardware_identity::identity::KeyBackend;

use super::plugs::uses_key;
use crate::finding::{FindingKind as _, GadgetFinding};
use crate::findings::TokenFinding;
use crate::gadget::Gadget;
use crate::snap::content::Content;
use crate::snap::snap_yaml;
use crate::snap::tree::Entry;

/// The interfaces with which a module reaches a token: OP-TEE, a bus, USB, a TPM, a service.
const INTERFACES: [&str; 8] = [
    "tee",
    "custom-device",
    "raw-usb",
    "tpm",
    "i2c",
    "spi",
    "serial-port",
    "pcscd",
];

/// Parts of the file names of modules, and the interface that the module needs.
const MODULES: [(&str, &str); 3] = [("ckteec", "tee"), ("optee", "tee"), ("tpm2_pkcs11", "tpm")];

pub(crate) fn check(gadget: &Gadget<'_>) -> Vec<GadgetFinding> {
    let Some(settings) = gadget.settings.as_ref().filter(|settings| is_pkcs11(settings)) else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    match module_in_snap(gadget) {
        Some(path) => findings.extend(module(gadget, &path)),
        None => findings.extend(outside(gadget, settings)),
    }
    if interface_of(settings).is_none() {
        findings.extend(hooks_without_plug(gadget));
    }
    findings
}

fn is_pkcs11(settings: &Settings) -> bool {
    settings.key_backend == KeyBackend::Pkcs11
}

/// The interface of the module that keeps the key, if its name is known.
pub(crate) fn interface_of(settings: &Settings) -> Option<&'static str> {
    let module = settings.pkcs11.module.as_ref().filter(|_| is_pkcs11(settings))?;
    let name = module.file_name().unwrap_or_default().to_string_lossy();
    let known = MODULES.iter().find(|(part, _)| name.contains(part));
    known.map(|(_, interface)| *interface)
}

/// The path of the module in the snap, `None` if it is elsewhere or there is none.
pub(crate) fn module_in_snap(gadget: &Gadget<'_>) -> Option<PathBuf> {
    let settings = gadget.settings.as_ref().filter(|settings| is_pkcs11(settings))?;
    let path = settings.pkcs11.module.as_ref()?;
    match path.strip_prefix(gadget.tree.root()) {
        Ok(path) => Some(path.to_owned()),
        // Of the defaults in gadget.yaml.
        Err(_) if path.is_relative() => Some(path.clone()),
        Err(_) => None,
    }
}

fn module(gadget: &Gadget<'_>, path: &Path) -> Option<GadgetFinding> {
    let name = path.display().to_string();
    let finding = match gadget.tree.entry(path) {
        Entry::Missing | Entry::Outside | Entry::Other => TokenFinding::ModuleMissing { module: name },
        Entry::File { .. } => match &*gadget.contents.get(path) {
            Content::Elf(elf) => {
                let programs = gadget.traces().flat_map(|trace| &trace.programs);
                let fits = |program: &crate::trace::Program| match &*gadget.contents.get(&program.path) {
                    Content::Elf(program) => {
                        (program.machine, program.is_64_bit) == (elf.machine, elf.is_64_bit)
                    }
                    _ => true,
                };
                let mut programs = programs.filter(|program| gadget.uses_tpm(program));
                if programs.all(fits) {
                    return None;
                }
                TokenFinding::ModuleArchitecture { module: name }
            }
            _ => TokenFinding::ModuleNotLibrary { module: name },
        },
    };
    Some(finding.at(place()))
}

fn outside(gadget: &Gadget<'_>, settings: &Settings) -> Option<GadgetFinding> {
    let module = settings.pkcs11.module.as_ref()?;
    let name = module.file_name()?.to_string_lossy();
    let in_base = gadget.base.is_none_or(|base| base.has_library(&name));
    let module = module.display().to_string();
    (!in_base).then(|| TokenFinding::ModuleOutside { module }.at(place()))
}

fn hooks_without_plug(gadget: &Gadget<'_>) -> Vec<GadgetFinding> {
    let hooks = ["prepare-device", "prepare-serial-request", "install-device"];
    let without = hooks.into_iter().filter(|name| {
        let trace = gadget.hooks.get(*name);
        let runnable = gadget.snap.hook(name);
        let interfaces = gadget.snap.interfaces_of(&runnable);
        trace.is_some_and(|trace| uses_key(gadget, trace))
            && !INTERFACES.iter().any(|interface| interfaces.contains(interface))
    });
    without
        .map(|hook| TokenFinding::NoPlug { hook }.at(format!("{}, hooks.{hook}.plugs", snap_yaml::FILE)))
        .collect()
}

fn place() -> String {
    format!("{}, pkcs11.module", config::FILE)
}

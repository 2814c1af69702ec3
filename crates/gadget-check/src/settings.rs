//! Whether the settings parse, and whether they are enough for a registration.

use hardware_identity::config::{self, ConfigError, OPTION, ProposedSerial, Settings};
use hardware_identity::conflicts::conflicts;
use hardware_identity::hardware_id::HardwareIdSource;
use identity_key::DigestForm;
use serde_json::Value;

use crate::content::{Content, Contents};
use crate::environment::Environment;
use crate::finding::Finding;
use crate::tree::Entry;
use crate::{Gadget, HOOKS, gadget_yaml, snap_yaml};

/// Reads the settings file, the gadget's defaults and the variable TCTI, as the hooks will.
///
/// # Errors
/// A finding for each that does not parse.
pub(crate) fn read(gadget: &Gadget<'_>) -> Result<Settings, Vec<Finding>> {
    let file = match gadget.tree.entry(config::FILE) {
        Entry::Missing => None,
        Entry::File { .. } => Some(gadget.tree.root()),
        Entry::Outside | Entry::Other => {
            let problem = "it is not a file of the snap";
            return Err(vec![bad_settings(config::FILE.to_owned(), problem)]);
        }
    };
    let environment = Environment::of(gadget.snap);
    let tcti = environment.get("TCTI").filter(|tcti| !tcti.is_empty());
    let (mut settings, mut errors) = Settings::read(file, None, tcti);
    for (_, options) in gadget.own_defaults() {
        if errors.is_empty() {
            (settings, errors) = Settings::read(file, options.get(OPTION), tcti);
        }
    }
    match errors.is_empty() {
        true => Ok(settings),
        false => Err(errors.into_iter().map(bad).collect()),
    }
}

fn bad(error: ConfigError) -> Finding {
    match error {
        ConfigError::Line { line, problem, .. } => {
            bad_settings(format!("{}, line {line}", config::FILE), &problem.to_string())
        }
        ConfigError::Unreadable(error) => bad_settings(config::FILE.to_owned(), &error.to_string()),
        ConfigError::Option { option, problem } => {
            bad_settings(
            format!("{}, defaults: {option}", gadget_yaml::FILE),
            &problem.to_string(),
        )
        }
        ConfigError::Variable(problem) => bad_settings(
            format!("{}, environment.TCTI", snap_yaml::FILE),
            &problem.to_string(),
        ),
    }
}

fn bad_settings(place: String, problem: &str) -> Finding {
    Finding::error(
        "bad-settings",
        place,
        problem,
        "every hook of this project stops at it, and the device gets no serial",
        "Correct it; docs/settings.md describes every setting",
    )
}

pub(crate) fn check(gadget: &Gadget<'_>) -> Vec<Finding> {
    let Some(settings) = &gadget.settings else {
        return Vec::new();
    };
    let told = Told::by(gadget);
    let offline = settings.device_service.offline || told.value("device-service.access") == Some("offline");
    let mut findings = Vec::new();
    if !offline && settings.device_service.url.is_none() && !told.has("device-service.url") {
        findings.push(no_url());
    }
    if !offline && settings.proposed_serial.is_none() && !told.has("registration.proposed-serial") {
        findings.push(no_proposed_serial());
    }
    let conflicts = conflicts(settings);
    match conflicts.is_empty() {
        true => findings.extend(same_serial(settings)),
        false => findings.extend(
            conflicts
                .into_iter()
                .map(|conflict| contradictory(conflict.to_string())),
        ),
    }
    if settings.digest_form == DigestForm::Der {
        findings.push(der());
    }
    findings.extend(tcti(&settings.tcti.to_string()));
    findings
}

/// What snapd is told by others than this project's hooks: the gadget's defaults, or an author's own script.
struct Told<'a> {
    defaults: Vec<&'a Value>,
    contents: Contents<'a>,
}

impl<'a> Told<'a> {
    fn by(gadget: &'a Gadget<'_>) -> Self {
        Told {
            defaults: gadget.own_defaults().map(|(_, options)| options).collect(),
            contents: Contents::of(gadget.tree),
        }
    }

    fn value(&self, option: &str) -> Option<&str> {
        let pointer = format!("/{}", option.replace('.', "/"));
        let mut values = self
            .defaults
            .iter()
            .filter_map(|options| options.pointer(&pointer));
        values.find_map(Value::as_str)
    }

    fn has(&self, option: &str) -> bool {
        let script = self.contents.get(format!("{HOOKS}/prepare-device").as_ref());
        self.value(option).is_some() || matches!(&*script, Content::Script(script) if script.mentions(option))
    }
}

fn no_url() -> Finding {
    Finding::error(
        "no-device-service-url",
        format!("{}, device-service.url", config::FILE),
        "no address of a model service is set",
        "snapd then asks Canonical's default service, which knows nothing of this brand's devices",
        "Set url under [device-service], or the gadget's defaults; or access = \"offline\" where devices need no \
         serial",
    )
    .warning()
}

fn no_proposed_serial() -> Finding {
    Finding::error(
        "no-proposed-serial",
        format!("{}, registration.proposed-serial", config::FILE),
        "no serial number is proposed",
        "the model service requires one for devices with a hardware identity",
        "Set proposed-serial under [registration] to hardware-id or key-digest",
    )
    .warning()
}

fn contradictory(problem: String) -> Finding {
    Finding::error(
        "contradictory-settings",
        config::FILE,
        problem,
        "the hook configure refuses them, so that a device is not even seeded; without it another hook stops",
        "Correct one of them; docs/settings.md describes every setting",
    )
}

fn same_serial(settings: &Settings) -> Option<Finding> {
    match (&settings.proposed_serial, &settings.hardware_id) {
        (Some(ProposedSerial::HardwareId), Some(HardwareIdSource::Literal(value))) => Some(
            Finding::error(
                "same-serial",
                format!("{}, hardware-id", config::FILE),
                format!("every device would propose the serial number \"{value}\""),
                "a serial number is unique in a model: only the first device is registered",
                "Take it from the device: dmi:product_serial, dmi:board_serial, device-tree or key-digest",
            )
            .warning(),
        ),
        _ => None,
    }
}

fn der() -> Finding {
    Finding::error(
        "digest-form-der",
        format!("{}, digest-form", config::FILE),
        "the key digest is taken over the DER bytes",
        "every snapd refuses an assertion with this form: `snap ack` and `snap sign` accept the text form alone",
        "Set digest-form to text, or remove it, unless your model service asks for the DER form",
    )
    .warning()
}

fn tcti(tcti: &str) -> Option<Finding> {
    (!tcti.starts_with("device:/dev/tpmrm")).then(|| {
        Finding::error(
            "unusual-tcti",
            format!("{}, tcti", config::FILE),
            format!("the way to the TPM is {tcti}"),
            "/dev/tpm0 can be opened by one program at a time, and snapd needs it; the others are for a bench",
            "Remove the setting: device:/dev/tpmrm0 is the default",
        )
        .warning()
    })
}

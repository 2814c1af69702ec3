//! Findings in the settings of the hooks.

use std::borrow::Cow;

use miette::Diagnostic;
use thiserror::Error;

use crate::finding::FindingKind;

#[derive(Debug, Error, Diagnostic)]
pub(crate) enum SettingsFinding {
    #[error("{problem}")]
    #[diagnostic(
        code("bad-settings"),
        help("Correct the setting; docs/settings.md describes all settings")
    )]
    Bad { problem: String },
    #[error("no URL of a model service is set")]
    #[diagnostic(
        code("no-device-service-url"),
        severity(Warning),
        help(
            "Set url under [device-service] or in the gadget's defaults; or set access = \"offline\" if \
             the devices need no serial"
        )
    )]
    NoDeviceServiceUrl,
    #[error("no serial number is proposed")]
    #[diagnostic(
        code("no-proposed-serial"),
        severity(Warning),
        help("Set proposed-serial under [registration] to hardware-id or key-digest")
    )]
    NoProposedSerial,
    #[error("{problem}")]
    #[diagnostic(
        code("contradictory-settings"),
        help("Correct one of the settings; docs/settings.md describes all settings")
    )]
    Contradictory { problem: String },
    #[error("every device would propose the serial number \"{serial}\"")]
    #[diagnostic(
        code("same-serial"),
        severity(Warning),
        help(
            "Set hardware-id to a value of the device: dmi:product_serial, dmi:board_serial, \
             device-tree or key-digest"
        )
    )]
    SameSerial { serial: String },
    #[error("the key digest is taken over the DER encoding")]
    #[diagnostic(
        code("digest-form-der"),
        severity(Warning),
        help("Set digest-form to text or remove it, unless your model service requires the DER form")
    )]
    DigestFormDer,
    #[error("the identity key is in a file")]
    #[diagnostic(
        code("software-key"),
        severity(Warning),
        help("Set key-backend to tpm or pkcs11 if the device has a TPM, a secure element or OP-TEE")
    )]
    SoftwareKey,
    #[error("the TCTI is {tcti}")]
    #[diagnostic(
        code("unusual-tcti"),
        severity(Warning),
        help("Remove the setting: device:/dev/tpmrm0 is the default")
    )]
    UnusualTcti { tcti: String },
}

impl FindingKind for SettingsFinding {
    fn why(&self) -> Cow<'static, str> {
        match self {
            SettingsFinding::Bad { .. } => {
                "every hook of this project stops at the setting, and the device gets no serial"
            }
            SettingsFinding::NoDeviceServiceUrl => {
                "snapd then uses Canonical's default service, which does not know the devices of this brand"
            }
            SettingsFinding::NoProposedSerial => {
                "the model service requires one from devices with a hardware identity"
            }
            SettingsFinding::Contradictory { .. } => {
                "the hook configure refuses the settings, so the device cannot even be seeded; in a gadget \
                 without that hook, another hook fails"
            }
            SettingsFinding::SameSerial { .. } => {
                "a serial number is unique within a model: only the first device is registered"
            }
            SettingsFinding::DigestFormDer => {
                "every snapd refuses an assertion with this form: `snap ack` and `snap sign` accept only the \
                 text form"
            }
            SettingsFinding::SoftwareKey => {
                "who can read the disk of a device can copy its identity, and a device that is re-imaged without \
                 its ubuntu-save loses it"
            }
            SettingsFinding::UnusualTcti { .. } => {
                "only one program at a time can open /dev/tpm0, and snapd needs it; other TCTIs are for test \
                 setups"
            }
        }
        .into()
    }
}

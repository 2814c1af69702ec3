//! Devices with software TPMs, to which swtpm's own CA gives certificates.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;
use testbed::{Device, HookOutcome, SystemMode, TestTpm};

use crate::bench::succeed;
use crate::common::{INSTALL_DEVICE, PREPARE_DEVICE, program};

/// A CA of swtpm_localca: a root and an issuer of EK certificates.
pub(crate) struct Ca {
    directory: TempDir,
}

impl Ca {
    pub(crate) fn new() -> Self {
        let ca = Ca {
            directory: tempfile::tempdir().unwrap(),
        };
        let place = ca.directory.path().display();
        let files = [
            (
                "setup.conf",
                format!(
                    "create_certs_tool = swtpm_localca\ncreate_certs_tool_config = {place}/localca.conf\n\
                     create_certs_tool_options = {place}/options\nactive_pcr_banks = sha256\n"
                ),
            ),
            (
                "localca.conf",
                format!(
                    "statedir = {place}\nsigningkey = {place}/key.pem\nissuercert = {place}/issuer.pem\n\
                     certserial = {place}/serial\n"
                ),
            ),
            (
                "options",
                "--platform-manufacturer Acme\n--platform-version 1\n--platform-model Box\n".to_owned(),
            ),
        ];
        for (name, content) in files {
            fs::write(ca.path(name), content).unwrap();
        }
        ca
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Copies the certificates of root and issuer.
    pub(crate) fn copy_roots(&self, directory: &Path) {
        fs::create_dir_all(directory).unwrap();
        for name in ["swtpm-localca-rootca-cert.pem", "issuer.pem"] {
            fs::copy(self.path(name), directory.join(name)).unwrap();
        }
    }

    /// Makes a TPM with certificates of the templates L-1 and H-3, as swtpm_setup does.
    fn make_tpm(&self, state: &Path) {
        fs::create_dir_all(state).unwrap();
        let mut setup = Command::new("swtpm_setup");
        setup.args([
            "--tpm2",
            "--create-ek-cert",
            "--lock-nvram",
            "--vmid",
            "device",
            "--config",
        ]);
        succeed(setup.arg(self.path("setup.conf")).arg("--tpmstate").arg(state));
    }

    /// The certificate of a P-256 key, in DER. swtpm_setup does not make one.
    fn certify_p256(&self, x: &str, y: &str) -> Vec<u8> {
        let directory = tempfile::tempdir().unwrap();
        let mut certify = Command::new("swtpm_localca");
        certify.args([
            "--type",
            "ek",
            "--tpm2",
            "--vmid",
            "device",
            "--ek",
            &format!("x={x},y={y},id=secp256r1"),
        ]);
        certify.args([
            "--tpm-spec-family",
            "2.0",
            "--tpm-spec-level",
            "0",
            "--tpm-spec-revision",
            "164",
        ]);
        certify.args([
            "--tpm-manufacturer",
            "id:00001014",
            "--tpm-model",
            "swtpm",
            "--tpm-version",
            "id:20191023",
        ]);
        certify.arg("--configfile").arg(self.path("localca.conf"));
        certify.arg("--optsfile").arg(self.path("options"));
        succeed(certify.arg("--dir").arg(directory.path()));
        fs::read(directory.path().join("ek.cert")).unwrap()
    }
}

/// A device on the line, with its TPM running.
pub(crate) struct LineDevice {
    directory: TempDir,
    pub(crate) tpm: TestTpm,
    device: Device,
    pub(crate) id: String,
}

impl LineDevice {
    /// A device whose TPM has certificates of the templates L-1 and H-3.
    pub(crate) fn new(ca: &Ca, id: &str) -> Self {
        Self::with_state(id, "", |state| ca.make_tpm(state))
    }

    /// A device whose TPM has no certificate.
    pub(crate) fn uncertified(id: &str) -> Self {
        Self::with_state(id, "", |_| {})
    }

    /// A device with the TPM of another one, and with an identity key of another kind.
    pub(crate) fn with_tpm_of(other: &LineDevice, id: &str) -> Self {
        Self::with_state(id, "algorithm = 'ecdsa-p384'\n", |state| {
            fs::create_dir_all(state).unwrap();
            let name = "tpm2-00.permall";
            fs::copy(other.directory.path().join("tpm").join(name), state.join(name)).unwrap();
        })
    }

    /// A device whose TPM `make_tpm` makes in a directory.
    fn with_state(id: &str, settings: &str, make_tpm: impl FnOnce(&Path)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("tpm");
        make_tpm(&state);
        let device = Device::kept_in(directory.path()).unwrap();
        device.write_settings(settings).unwrap();
        let device = LineDevice {
            tpm: TestTpm::kept_in(&state).unwrap(),
            device,
            directory,
            id: id.to_owned(),
        };
        // Of the device that had the TPM before.
        let _ = device
            .tpm
            .tpm2(&["tpm2_evictcontrol", "-C", "o", "-c", "0x81018C00"]);
        let hook = device.device.hook(Path::new(PREPARE_DEVICE));
        let outcome = hook.env("TCTI", device.tpm.tcti()).run().unwrap();
        assert!(outcome.status.success(), "{}", outcome.merged);
        device
    }

    /// Switches the device off and keeps its directory.
    pub(crate) fn stop(self) -> (TempDir, String) {
        (self.directory, self.id)
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn tool(&self, arguments: &[&str]) -> Output {
        let variables = self.environment();
        let variables = variables.iter().filter_map(|variable| variable.split_once('='));
        Command::new(program("hardware-identity"))
            .args(arguments)
            .env_clear()
            .envs(variables)
            .output()
            .unwrap()
    }

    /// The environment of the tool on the device: NAME=VALUE.
    pub(crate) fn environment(&self) -> Vec<String> {
        [
            format!("TCTI={}", self.tpm.tcti()),
            format!("SNAP={}", self.device.snap().display()),
            format!("SNAP_SAVE_DATA={}", self.device.save_data().display()),
        ]
        .to_vec()
    }

    /// Writes DIRECTORY/ID.json and DIRECTORY/ID.evidence.json.
    pub(crate) fn export(&self, directory: &Path, further: &[&str]) -> Output {
        let file = |end: &str| {
            directory
                .join(format!("{}{end}", self.id))
                .to_str()
                .unwrap()
                .to_owned()
        };
        let (export, evidence) = (file(".json"), file(".evidence.json"));
        let headers = [
            "--issuer-id",
            "example-issuer",
            "--manufacturer",
            "Acme",
            "--hardware-name",
            "example-box",
        ];
        let files = [
            "--hardware-id",
            &self.id,
            "--output",
            &export,
            "--with-evidence",
            &evidence,
        ];
        self.tool(&[&["export"], &headers[..], &files, further].concat())
    }

    /// Runs install-device as on a factory boot, with export and evidence to a directory.
    pub(crate) fn install(&self, directory: &Path) -> HookOutcome {
        let file = directory.join(format!("{}.json", self.id));
        let settings = format!(
            "issuer-id = 'example-issuer'\nmanufacturer = 'Acme'\nhardware-name = 'example-box'\n\
             hardware-id = '{}'\n[factory]\nexport = 'file:{}'\nevidence = 'endorsement-key'\n",
            self.id,
            file.display()
        );
        self.device.write_settings(&settings).unwrap();
        let mode = SystemMode {
            mode: "install".to_owned(),
            factory: true,
            ..SystemMode::default()
        };
        self.device.set_system_mode(mode).unwrap();
        let hook = self.device.hook(Path::new(INSTALL_DEVICE));
        hook.env("TCTI", self.tpm.tcti()).run().unwrap()
    }

    pub(crate) fn activate(&self, challenge: &Path, answer: &Path) -> Output {
        let [challenge, answer] = [challenge, answer].map(|path| path.to_str().unwrap());
        self.tool(&["activate", challenge, "--output", answer])
    }

    /// The coordinates of the P-256 endorsement key, as tpm2-tools make it.
    pub(crate) fn p256_ek(&self) -> (String, String) {
        let pem = self.path("ek.pem");
        let context = self.path("ek.ctx");
        let made = self.tpm.tpm2(&[
            "tpm2_createek",
            "-G",
            "ecc",
            "-c",
            &context,
            "-f",
            "pem",
            "-u",
            &pem,
        ]);
        made.unwrap();
        let der = Command::new("openssl")
            .args(["pkey", "-pubin", "-in", &pem, "-outform", "DER"])
            .output();
        let der = der.unwrap().stdout;
        let at = |end: usize| hex::encode(&der[der.len() - end..][..32]);
        (at(64), at(32))
    }

    /// Gives the TPM a certificate of the template L-2, with something before and after it.
    pub(crate) fn certify_p256(&self, ca: &Ca, before: impl Fn(usize) -> Vec<u8>, after: &[u8]) {
        let (x, y) = self.p256_ek();
        let certificate = ca.certify_p256(&x, &y);
        let content = [before(certificate.len()), certificate, after.to_vec()].concat();
        self.write_nv("0x01c0000a", &content);
    }

    pub(crate) fn write_nv(&self, index: &str, content: &[u8]) {
        let file = self.path("nv");
        fs::write(&file, content).unwrap();
        let size = content.len().to_string();
        let attributes = "ownerwrite|ownerread|authread|no_da";
        let _ = self.tpm.tpm2(&["tpm2_nvundefine", "-C", "o", index]);
        self.tpm
            .tpm2(&["tpm2_nvdefine", "-C", "o", "-s", &size, "-a", attributes, index])
            .unwrap();
        self.tpm
            .tpm2(&["tpm2_nvwrite", "-C", "o", "-i", &file, index])
            .unwrap();
    }

    pub(crate) fn read_nv(&self, index: &str) -> Vec<u8> {
        let file = self.path("nv");
        self.tpm
            .tpm2(&["tpm2_nvread", "-C", "o", "-o", &file, index])
            .unwrap();
        fs::read(file).unwrap()
    }
}

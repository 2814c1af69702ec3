//! Small trees shaped as public gadgets: no check fails on them, and no error is false.
//!
//! Each was written after reading the sources of the named repository, or after a usual way to
//! write such a gadget; nothing is copied. A tree has the hooks and metadata that such a gadget
//! packs, laid out as snapcraft does, and no boot files. Almost none has a hardware identity, so
//! that `missing-hook` is a true error there.

use crate::gadget::{Gadget, Parts};

struct Public {
    name: &'static str,
    /// Which gadget it is shaped as, and what was taken from it.
    shaped_as: &'static str,
    base: &'static str,
    /// More of snap.yaml.
    snap_yaml: &'static str,
    gadget_yaml: &'static str,
    /// Scripts in snap/hooks.
    hooks: &'static [(&'static str, &'static str)],
    /// Other scripts.
    scripts: &'static [(&'static str, &'static str)],
    /// Programs of this machine. Those of tpm2-tools need libraries of tpm2-tss.
    programs: &'static [&'static str],
    errors: &'static [&'static str],
    /// Warnings and infos.
    others: &'static [&'static str],
}

/// Neither hook of a hardware identity, and an old snapd.
const PLAIN: Public = Public {
    name: "",
    shaped_as: "",
    base: "core22",
    snap_yaml: "",
    gadget_yaml: "",
    hooks: &[],
    scripts: &[],
    programs: &[],
    errors: &["missing-hook"],
    others: &[
        "no-configure",
        "no-device-service-url",
        "no-proposed-serial",
        "old-assumes",
    ],
};

const PC_PREPARE_DEVICE: &str = "\
set -eu
# Nothing happens without a key.
if [ -z \"$MODEL_APIKEY\" ] ; then
    exit 0
fi
exec >> $SNAP_COMMON/prepare-device-hook.log 2>&1
snapctl set registration.proposed-serial=\"\\\"$(date -u)\\\"\"
snapctl set device-service.url=\"https://vault.example/v1/\"
snapctl set device-service.headers=\"{\\\"api-key\\\": \\\"$MODEL_APIKEY\\\"}\"
";

const PC_HOOKS: &[(&str, &str)] = &[
    ("configure", "# A gadget with prepare-device needs this hook."),
    ("prepare-device", PC_PREPARE_DEVICE),
];

const PUBLIC: [Public; 26] = [
    Public {
        name: "pc-18",
        shaped_as: "canonical/pc-gadget, branch 18: no hooks, base core18",
        base: "core18",
        others: &[
            "no-configure",
            "no-device-service-url",
            "no-proposed-serial",
            "old-assumes",
            "unknown-base",
        ],
        ..PLAIN
    },
    Public {
        name: "pc-20",
        shaped_as: "canonical/pc-gadget, branch 20: its prepare-device with the API key in snap.yaml",
        base: "core20",
        snap_yaml: "hooks: {configure: {}, prepare-device: {environment: {MODEL_APIKEY: ''}}}\n",
        hooks: PC_HOOKS,
        others: &[
            "body-not-unset",
            "no-device-service-url",
            "no-proposed-serial",
            "old-assumes",
        ],
        ..PLAIN
    },
    Public {
        name: "pc-22",
        shaped_as: "canonical/pc-gadget, branch 22: the same hooks, the key is a variable of the snap",
        snap_yaml: "environment: {MODEL_APIKEY: $NOT_SET}\n",
        hooks: PC_HOOKS,
        others: &[
            "body-not-unset",
            "no-device-service-url",
            "no-proposed-serial",
            "old-assumes",
        ],
        ..PLAIN
    },
    Public {
        name: "pc-24",
        shaped_as: "canonical/pc-gadget, branch 24: the key is not known",
        base: "core24",
        hooks: PC_HOOKS,
        others: &["body-not-unset", "old-assumes"],
        ..PLAIN
    },
    Public {
        name: "pc-24-comments",
        shaped_as: "canonical/pc-gadget, a commit with a prepare-serial-request of comments alone",
        base: "core24",
        hooks: &[
            ("configure", ""),
            (
                "prepare-serial-request",
                "# snapctl set registration.body={}\n# exit 0",
            ),
        ],
        errors: &["hook-bypassed", "missing-hook"],
        others: &["no-device-service-url", "no-proposed-serial", "old-assumes"],
        ..PLAIN
    },
    Public {
        name: "pi-22",
        shaped_as: "canonical/pi-gadget: no hooks; options of the system in gadget.yaml",
        gadget_yaml: "defaults:\n  system:\n    service.rsyslog.disable: true\n    system.power-key-action: ignore\n    \
                      pi-config.disable-overscan: 1\n",
        ..PLAIN
    },
    Public {
        name: "pi-24-kms",
        shaped_as: "canonical/pi-gadget, branch 24: slots for serial ports, GPIO and I2C",
        base: "core24",
        snap_yaml: "slots:\n  bt-serial: {interface: serial-port, path: /dev/ttyS0}\n  bcm-gpio-0: {interface: gpio, \
                    number: 0}\n  i2c-1: {interface: i2c, path: /dev/i2c-1}\n  spidev0: {interface: spi, path: \
                    /dev/spidev0.0}\n",
        ..PLAIN
    },
    Public {
        name: "pi-identity",
        shaped_as: "BeaComp/pi-gadget: keys by openssl, one name of the digest, a log file per hook",
        base: "core24",
        snap_yaml: "assumes: [snapd2.74]\nplugs: {tpm: null}\n",
        hooks: &[
            ("configure", ""),
            (
                "prepare-device",
                "set -x\nexec >> /var/snap/pi/common/prepare-device.log 2>&1\nsnapctl set \
                 device-service.url=\"http://10.0.0.2:8082/v1/\"\nsnapctl set device-service.headers='{\"api-key\": \
                 \"K\"}'\nDIR=\"/var/snap/pi/common/identity\"\nPRIV=\"${DIR}/key.pem\"\nmkdir -p \"${DIR}\"\nif [ ! -f \
                 \"${PRIV}\" ]; then\n  openssl genpkey -algorithm EC \\\n    -pkeyopt ec_paramgen_curve:P-256 -out \
                 \"${PRIV}\"\nfi\nSERIAL=$(grep Serial /proc/cpuinfo | awk '{print $3}')\nsnapctl set \
                 registration.proposed-serial=\"\\\"RPi5-${SERIAL}\\\"\"",
            ),
            (
                "prepare-serial-request",
                "exec >> /var/snap/pi/common/prepare-serial-request.log 2>&1\nID=\"$(snapctl get \
                 registration.request-id)\"\nSIG=\"$(printf '%s' \"${ID}\" \\\n  | openssl dgst -sha256 -sign \
                 \"${PRIV}\" \\\n  | base64 -w0)\"\nBODY=\"{\\\"hardware-id-key-sha384\\\":\\\"${H}\\\",\
                 \\\"request-id-signature\\\":\\\"${SIG}\\\"}\"\nsnapctl set registration.body=\"${BODY}\"\nsnapctl get \
                 registration.body",
            ),
        ],
        errors: &[],
        others: &["body-not-unset", "not-connected", "one-digest-name"],
        ..PLAIN
    },
    Public {
        name: "pi-kiosk",
        shaped_as: "ogra1/pi-kiosk-gadget: options and connections of app snaps",
        base: "core20",
        gadget_yaml: "connections:\n  - plug: 99T7MUlRhtI3U0QFgl5mXXESAiSwt776:hostname-control\n  - plug: \
                      UqFziVZDHLSyO3TqSWgNBoAdHbLI4dAH:hardware-observe\ndefaults:\n  \
                      99T7MUlRhtI3U0QFgl5mXXESAiSwt776:\n    service: {rsyslog: {disable: true}}\n  \
                      UqFziVZDHLSyO3TqSWgNBoAdHbLI4dAH:\n    hidecursor: true\n    resettime: 0\n    url: \
                      http://localhost:9400/receiver\n",
        ..PLAIN
    },
    Public {
        name: "qr-kiosk",
        shaped_as: "ubuntu-kr/ubuntu-kr-qr-kiosk-gadget-snap: sets options of other snaps by snap",
        hooks: &[(
            "prepare-device",
            "snap set qr-app server.host=\"https://kiosk.example\"\nsnap set ubuntu-frame \
             config=\"cursor=auto\"\n/snap/qr-app/current/bin/setup.sh",
        )],
        others: &[
            "body-not-unset",
            "no-configure",
            "no-device-service-url",
            "no-proposed-serial",
            "old-assumes",
            "unreachable-program",
        ],
        ..PLAIN
    },
    Public {
        name: "imx",
        shaped_as: "kubiko/imx-gadget: the serial of the SoC without quotation marks, if a plug is connected",
        snap_yaml: "plugs: {hardware-observe: null}\n",
        hooks: &[
            ("configure", ""),
            (
                "prepare-device",
                "# URL=\"https://vault.example/v1/\"\n# snapctl set device-service=\"{\\\"url\\\": \
                 \\\"$URL\\\"}\"\nif ! snapctl is-connected hardware-observe; then\n  exit 1\nfi\nsnapctl set \
                 registration.proposed-serial=\"$(cat /sys/devices/soc0/serial_number)\"",
            ),
        ],
        others: &[
            "body-not-unset",
            "no-device-service-url",
            "not-connected",
            "old-assumes",
            "untyped-set",
        ],
        ..PLAIN
    },
    Public {
        name: "imx-secure-boot",
        shaped_as: "canonical/iot-field-gadget-snap, secureboot: daemons that a connect hook starts",
        snap_yaml: "plugs: {tee: null}\napps:\n  tee-supplicant: {command: bin/tee-supplicant, daemon: simple, \
                    install-mode: disable}\n  p11-kit-servers: {command: bin/p11-kit-servers, daemon: forking}\n",
        hooks: &[(
            "connect-plug-tee",
            "set -e\nsnapctl start --enable ${SNAP_INSTANCE_NAME}.tee-supplicant\nsnapctl start --enable \
             ${SNAP_INSTANCE_NAME}.p11-kit-servers",
        )],
        scripts: &[(
            "bin/p11-kit-servers",
            "export P11_KIT_SERVER_ADDRESS=unix:path=${SNAP_DATA}/p11.sock\nmkdir -p \"${SNAP_DATA}\"\nfor f in \
             \"${SNAP}\"/usr/lib/*/libckteec.so.0; do\n  \"$SNAP/usr/bin/p11-kit\" server --provider \"$f\" \
             pkcs11:token=x\ndone",
        )],
        programs: &["bin/tee-supplicant", "usr/bin/p11-kit"],
        ..PLAIN
    },
    Public {
        name: "visionfive2",
        shaped_as: "canonical/iot-field-gadget-snap, visionfive2: logs first, then exits without a key",
        base: "core24",
        hooks: &[
            ("configure", "# A template."),
            ("default-configure", "# A template."),
            (
                "prepare-device",
                "set -eu\nexec >> $SNAP_COMMON/prepare-device-hook.log 2>&1\nif [ -z \"$MODEL_APIKEY\" ] ; then\n    \
                 exit 0\nfi\nsnapctl set registration.proposed-serial=\"\\\"$(date -u)\\\"\"\nsnapctl set \
                 device-service.url=\"http://10.0.2.2:8080/v1/\"",
            ),
        ],
        others: &["body-not-unset", "old-assumes"],
        ..PLAIN
    },
    Public {
        name: "simple",
        shaped_as: "cprov/simple-gadget: backquotes, and an echo that names the serial",
        base: "core20",
        hooks: &[(
            "prepare-device",
            "mkdir -p $SNAP_COMMON\nproduct_serial=`date +%s`\necho \"product_serial:[$product_serial]\"\nsnapctl set \
             registration.proposed-serial=\"\\\"${product_serial}\\\"\"\nsnapctl set \
             device-service.url=\"https://vault.example/v1/\"\nsnapctl set device-service.headers='{\"api-key\": \
             \"K\"}'",
        )],
        others: &["body-not-unset", "no-configure", "old-assumes"],
        ..PLAIN
    },
    Public {
        name: "limenet",
        shaped_as: "myriadrf/limenet-amd64-gadget: single quotes within the value, [ ! \"$x\" ]",
        base: "core20",
        hooks: &[
            ("configure", ""),
            (
                "prepare-device",
                "set -x\nserial=$(cat /etc/machine-id)\nif [ ! \"$serial\" ]; then\n  echo \"Empty\"\n  exit \
                 1\nfi\nsnapctl set registration.proposed-serial=\"'${serial}'\"\nsnapctl set \
                 device-service.url=\"https://vault.example/v1/\"\n# snapctl set registration.body='mac: \"00\"'",
            ),
        ],
        others: &["body-not-unset", "old-assumes"],
        ..PLAIN
    },
    Public {
        name: "classic",
        shaped_as: "jindallo/classic-gadget: a serial of digits with a zero in front, which is a string",
        base: "core20",
        hooks: &[
            ("configure", ""),
            (
                "prepare-device",
                "snapctl set device-service.url=\"http://localhost:8080/v1/\"\nsnapctl set \
                 registration.proposed-serial=\"012345\"",
            ),
        ],
        others: &["body-not-unset", "old-assumes"],
        ..PLAIN
    },
    Public {
        name: "desktop",
        shaped_as: "kenvandine/alliances-pc-desktop: -s with a value in quotation marks, an install hook",
        hooks: &[
            ("configure", ""),
            ("install", "cp -r \"$SNAP\"/etc/. \"$SNAP_DATA\" || true"),
            (
                "prepare-device",
                "snapctl set -s registration.proposed-serial='\"'\"$(uuidgen)\"'\"'\nsnapctl set \
                 device-service.url=\"https://vault.example/v1/\"",
            ),
        ],
        others: &["body-not-unset", "old-assumes"],
        ..PLAIN
    },
    Public {
        name: "nothing-to-do",
        shaped_as: "bugbiter/ubuntu-core-test: a prepare-device of comments",
        hooks: &[("prepare-device", "# snapctl set :home")],
        others: &[
            "body-not-unset",
            "no-configure",
            "no-device-service-url",
            "no-proposed-serial",
            "old-assumes",
        ],
        ..PLAIN
    },
    Public {
        name: "dragonboard",
        shaped_as: "arm boards with U-Boot: a serial from the device tree, options by case",
        base: "core20",
        hooks: &[
            (
                "configure",
                "set -e\ncase \"$(snapctl get uart)\" in\n  on|1) snapctl set mode=on ;;\n  off) snapctl set mode=off \
                 ;;\n  *) exit 0 ;;\nesac",
            ),
            (
                "prepare-device",
                "serial=$(tr -d '\\0' < /proc/device-tree/serial-number || echo none)\nsnapctl set -s \
                 registration.proposed-serial=\"$serial\" device-service.url=https://vault.example/v1/\nsnapctl unset \
                 registration.body",
            ),
        ],
        others: &["old-assumes"],
        ..PLAIN
    },
    Public {
        name: "dmidecode",
        shaped_as: "the store's guide for serial numbers: dmidecode is staged",
        snap_yaml: "plugs: {hardware-observe: null}\n",
        hooks: &[
            ("configure", ""),
            (
                "prepare-device",
                "product_serial=\"$($SNAP/usr/sbin/dmidecode -s system-serial-number)\"\nsnapctl set \
                 registration.proposed-serial=\"$product_serial\" device-service.url=https://vault.example/",
            ),
        ],
        programs: &["usr/sbin/dmidecode"],
        others: &["body-not-unset", "not-connected", "old-assumes", "untyped-set"],
        ..PLAIN
    },
    Public {
        name: "python",
        shaped_as: "gadgets with hooks in Python: subprocess and f-strings",
        base: "core24",
        hooks: &[
            ("configure", "exec python3 \"$SNAP/hooks/configure.py\""),
            ("prepare-device", "exec python3 \"$SNAP/hooks/prepare_device.py\""),
        ],
        scripts: &[
            (
                "hooks/configure.py",
                "import json, subprocess\nmode = json.loads(subprocess.check_output([\"snapctl\", \"get\", \"-d\", \
                 \"mode\"]))\nif not mode: raise SystemExit('mode isn\\'t set')",
            ),
            (
                "hooks/prepare_device.py",
                "import subprocess\n\ndef snapctl(*words):\n    subprocess.run([\"snapctl\", *words], \
                 check=True)\n\nsnapctl(\"unset\", \"registration.body\")\nserial = \
                 open(\"/sys/class/dmi/id/product_serial\").read().strip()\nsnapctl(\"set\", \"-s\", \
                 f\"registration.proposed-serial={serial}\", \"device-service.url=https://vault.example/v1/\")",
            ),
        ],
        others: &["not-checked", "old-assumes"],
        ..PLAIN
    },
    Public {
        name: "perl",
        shaped_as: "older gadgets with a hook in Perl",
        base: "core20",
        hooks: &[
            ("configure", ""),
            (
                "prepare-device",
                "exec perl -w \"$SNAP/hooks/device.pl\" # prepare-device",
            ),
        ],
        scripts: &[(
            "hooks/device.pl",
            "use strict;\nsystem(qw(snapctl unset registration.body)) == 0 or die;\nsystem(\"snapctl\", \"set\", \
             \"-s\", \"registration.proposed-serial=$serial\", 'device-service.url=https://vault.example/');",
        )],
        others: &["not-checked", "old-assumes"],
        ..PLAIN
    },
    Public {
        name: "tpm2-tools",
        shaped_as: "gadgets that sign with tpm2-tools in a shell script",
        base: "core24",
        snap_yaml: "assumes: [snapd2.74]\nenvironment:\n  LD_LIBRARY_PATH: $SNAP/usr/lib\n  PATH: \
                    $SNAP/usr/bin:$PATH\nplugs: {tpm: null, hardware-observe: null}\n",
        gadget_yaml: "connections:\n  - plug: abcdefghijklmnopqrstuvwxyzABCDEF:tpm\n  - plug: \
                      abcdefghijklmnopqrstuvwxyzABCDEF:hardware-observe\n",
        hooks: &[
            ("configure", ""),
            (
                "prepare-device",
                "set -eu\n. \"$SNAP/lib/tpm.sh\"\nsnapctl unset registration.body\nensure_key\nsnapctl set -s \
                 registration.proposed-serial=\"$(cat /sys/class/dmi/id/board_serial)\" \
                 device-service.url=https://vault.example/v1/",
            ),
            (
                "prepare-serial-request",
                "set -eu\n. \"$SNAP/lib/tpm.sh\"\nnonce=$(snapctl get registration.request-id)\nsignature=$(printf %s \
                 \"$nonce\" | tpm2_sign -c \"$HANDLE\" -g sha256 -f plain | base64 -w0)\nsnapctl set -t \
                 registration.body=\"$(printf '{\"hardware-id-key-sha384\": \"%s\", \"hardware-id-key-sha3-384\": \
                 \"%s\", \"request-id-signature\": \"%s\"}' \"$DIGEST\" \"$DIGEST\" \"$signature\")\"",
            ),
        ],
        scripts: &[(
            "lib/tpm.sh",
            "export TPM2TOOLS_TCTI=device:/dev/tpmrm0\nHANDLE=0x81010020\nensure_key() {\n  tpm2_readpublic -c \
             \"$HANDLE\" >/dev/null 2>&1 || tpm2_createprimary -C o -c ctx\n}",
        )],
        programs: &[
            "usr/bin/tpm2_sign",
            "usr/bin/tpm2_readpublic",
            "usr/bin/tpm2_createprimary",
        ],
        errors: &[],
        others: &[],
    },
    Public {
        name: "command-chain",
        shaped_as: "gadgets with apps of an extension: a command-chain, and libraries by architecture",
        snap_yaml: "apps:\n  splash:\n    command: bin/splash\n    daemon: simple\n    command-chain: \
                    [snap/command-chain/launch, bin/wait]\n",
        scripts: &[
            (
                "snap/command-chain/launch",
                "case \"$SNAP_ARCH\" in\n  amd64) ARCH=x86_64-linux-gnu ;;\n  arm64) ARCH=aarch64-linux-gnu ;;\n  *) \
                 exit 1 ;;\nesac\nexport LD_LIBRARY_PATH=\"$SNAP/usr/lib/$ARCH:$SNAP/usr/lib${LD_LIBRARY_PATH:+:\
                 $LD_LIBRARY_PATH}\"\nexec \"$@\"",
            ),
            (
                "bin/wait",
                "while ! snapctl is-connected wayland; do sleep 1; done\nexec \"$@\"",
            ),
        ],
        programs: &["bin/splash"],
        ..PLAIN
    },
    Public {
        name: "content",
        shaped_as: "gadgets that take programs from a content snap",
        snap_yaml: "plugs:\n  graphics-core22: {interface: content, target: $SNAP/graphics, default-provider: \
                    mesa-core22}\napps:\n  frame: {command: bin/frame, daemon: simple}\n",
        scripts: &[(
            "bin/frame",
            "exec \"$SNAP/graphics/bin/graphics-core22-provider-wrapper\" \"$SNAP/bin/splash\"",
        )],
        programs: &["bin/splash"],
        ..PLAIN
    },
    Public {
        name: "factory-install",
        shaped_as: "gadgets with install-device and a fde-setup program",
        base: "core24",
        hooks: &[
            ("configure", ""),
            (
                "install-device",
                "set -e\nif [ \"$(snapctl system-mode | grep -c factory)\" -gt 0 ]; then\n  \"$SNAP/bin/provision\" \
                 --all\nfi\nsnapctl reboot --halt",
            ),
        ],
        programs: &["bin/provision", "meta/hooks/fde-setup"],
        others: &["no-device-service-url", "no-proposed-serial", "old-assumes"],
        ..PLAIN
    },
];

fn build(public: &Public) -> Gadget {
    let gadget = Gadget::empty();
    gadget.remove("hardware-identity.toml");
    let architecture = crate::gadget::architecture();
    let defaults = format!(
        "name: {}\nversion: '1'\nsummary: s\ndescription: d\ntype: gadget\nbase: {}\narchitectures: [{architecture}]\n",
        public.name, public.base
    );
    let environment = match public.snap_yaml.contains("environment:\n") {
        true => "",
        false if public.programs.is_empty() => "",
        false => "environment: {LD_LIBRARY_PATH: $SNAP/usr/lib}\n",
    };
    gadget.write("meta/snap.yaml", &(defaults + environment + public.snap_yaml));
    let volumes = "volumes:\n  disk:\n    bootloader: grub\n";
    gadget.write("meta/gadget.yaml", &format!("{volumes}{}", public.gadget_yaml));
    for (name, script) in public.hooks {
        gadget.script(&format!("snap/hooks/{name}"), script);
        gadget.script(
            &format!("meta/hooks/{name}"),
            &format!("\nexec \"$SNAP/snap/hooks/{name}\" \"$@\""),
        );
    }
    for (path, script) in public.scripts {
        gadget.script(path, script);
    }
    for path in public.programs {
        let part = if path.contains("tpm2") { "program" } else { "plain" };
        gadget.copy(&Parts::get().path(part), path);
    }
    if !public.programs.is_empty() {
        for library in crate::gadget::LIBRARIES {
            gadget.copy(&Parts::get().path(library), &format!("usr/lib/{library}"));
        }
    }
    gadget
}

#[test]
fn shapes_of_public_gadgets_have_the_expected_findings() {
    let mut wrong = Vec::new();
    for public in &PUBLIC {
        let checked = build(public).check();
        let codes = |is_error: bool| -> Vec<&str> {
            let findings = checked.report["findings"].as_array().unwrap().iter();
            let of_severity = findings.filter(|finding| (finding["severity"] == "error") == is_error);
            let mut codes: Vec<&str> = of_severity
                .map(|finding| finding["code"].as_str().unwrap())
                .collect();
            codes.sort_unstable();
            codes.dedup();
            codes
        };
        let (errors, others) = (codes(true), codes(false));
        if errors != public.errors || others != public.others {
            let Public { name, shaped_as, .. } = public;
            wrong.push(format!(
                "{name} ({shaped_as}): errors {errors:?}, others {others:?}"
            ));
        }
        assert_eq!(checked.status, i32::from(!errors.is_empty()));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

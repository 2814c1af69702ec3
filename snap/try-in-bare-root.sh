#!/usr/bin/env bash
# Runs the files of the packed gadget as a device does: by chroot in a minimal Debian root without
# tpm2-tss, with the environment of snapd. The software TPM and the model service are outside of the
# root. Needs root.
# Usage: snap/try-in-bare-root.sh SNAP
# Example: snap/try-in-bare-root.sh target/snap/example-gadget.snap
set -euo pipefail
[ $# = 1 ] || { echo "usage: $0 SNAP" >&2; exit 2; }
snap=$(realpath "$1")
cd "$(dirname "$0")/.."
. ./install-packages.sh >&2
if [ "${as_namespace-}" != yes ]; then
    # Its own mount namespace, which ends with the script.
    command=(env as_namespace=yes unshare --mount --propagation private "$0" "$snap")
    [ "$(id -u)" = 0 ] || command=(sudo "${command[@]}")
    exec "${command[@]}"
fi
cargo build --release --workspace --bins --locked
. crates/testbed/bench.sh

# Created once. The rename makes it complete or absent.
root=$PWD/target/bare-root
if [ ! -d "$root" ]; then
    title "Creating a minimal Debian 12 root"
    mkdir -p target
    debootstrap --variant=minbase bookworm "$root.new" >"$root.log" ||
        fail "debootstrap failed; see $root.log"
    mv "$root.new" "$root"
fi
[ -z "$(find "$root/usr" -name 'libtss2*')" ] ||
    fail "$root contains tpm2-tss, so the test would show nothing. Delete it"

# All added files are in one directory of the root: the gadget, the testbed, which simulates snapd,
# and the device that the testbed keeps.
mount -t tmpfs tmpfs "$root/mnt"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
unsquashfs -q -d "$root/mnt/gadget" "$snap" >/dev/null
cp target/release/{testbed,snapctl} "$root/mnt"
inside() { printf '$ %s\n' "$*" >&2; env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin "${variables[@]}" chroot "$root" "$@"; }
variables=()

title "A model service and a software TPM outside of the root"
start_service
start_tpm tpm
cp "$work/bench/assertions/example-box.model" "$work/bench/assertions/serial.account-key" "$root/mnt"

# The TCTI is an option of the gadget, so that a hook has only the environment of snapd.
options=(--gadget /mnt/gadget --device-folder /mnt/device --set "hardware-identity.tcti=$tcti")

title "configure: accepts valid options and refuses an invalid one"
inside /mnt/testbed hook "${options[@]}" configure
if inside /mnt/testbed hook "${options[@]}" --set hardware-identity.algorithm=md5 configure; then
    fail "configure accepted an algorithm that does not exist"
fi

title "install-device on a factory boot: identity, export, power-off"
inside /mnt/testbed hook "${options[@]}" --set hardware-identity.factory.export=file:/mnt/export.json \
    --set hardware-identity.factory.then=poweroff --set hardware-identity.issuer-id=example-issuer \
    --set hardware-identity.manufacturer=Example --set hardware-identity.hardware-name=example-box \
    --set hardware-identity.hardware-id=SN-0001 --system-mode install --factory install-device

title "The issuer signs the export, the model service imports it"
hardware-identity sign --key "$work/bench/keys/issuer.pem" --output "$work/signed.assert" \
    "$root/mnt/export.json"
model-service import --config "$work/bench/model-service.toml" "$work/signed.assert"

title "The device registers with the files of the snap"
inside /mnt/testbed onboard "${options[@]}" --device-service-url "$service" --model /mnt/example-box.model \
    --account-key /mnt/serial.account-key --proposed-serial SN-0001 | grep -x 'serial: SN-0001' ||
    fail "the device did not get its serial"

title "The tool runs as an app of the snap"
variables=(SNAP=/mnt/gadget SNAP_SAVE_DATA=/mnt/device/save TCTI="$tcti")
inside /mnt/gadget/bin/hardware-identity show --check

#!/usr/bin/env bash
# Shows the main job on a fresh software TPM: a device makes its hardware identity, exports it, and signs a nonce with it;
# then its TPM is cleared, and the same identity comes back. The judge is openssl.
set -euo pipefail
cd "$(dirname "$0")"
. ./install-packages.sh

step() { printf '\n== %s\n' "$*"; }

step "Building"
cargo build --release --workspace --locked

work=$(mktemp -d)
trap 'kill "$(cat "$work/swtpm.pid")" 2>/dev/null; rm -rf "$work"' EXIT
mkdir "$work/tpm" "$work/save" "$work/snap"

# A software TPM, on the first two neighbouring ports that are free.
port=20000
until swtpm socket --tpm2 --daemon --tpmstate "dir=$work/tpm" --pid "file=$work/swtpm.pid" --flags not-need-init,startup-clear \
    --server "type=tcp,port=$port" --ctrl "type=tcp,port=$((port + 1))" 2>"$work/swtpm.log"; do
    port=$((port + 2))
    [ "$port" -lt 20100 ] || { cat "$work/swtpm.log" >&2; exit 1; }
done

# What snapd gives a hook. The stand-in for snapctl keeps the configuration in the file that SNAP_COOKIE names.
echo '{}' > "$work/configuration"
export PATH="$PWD/target/release:$PATH" SNAP="$work/snap" SNAP_SAVE_DATA="$work/save" SNAP_COOKIE="$work/configuration"
export TCTI="swtpm:host=127.0.0.1,port=$port" TPM2TOOLS_TCTI="swtpm:host=127.0.0.1,port=$port"

step "1. snapd runs the hook prepare-device: it makes the hardware identity key in the TPM"
prepare-device
hardware-identity show

step "2. The factory line exports the identity, for the issuer to sign"
hardware-identity export --issuer-id example-brand --manufacturer "Example Devices" --hardware-name example-box \
    --hardware-id SN-0001 --output "$work/export.json"
cat "$work/export.json"
hardware-identity export --format pem --output "$work/key.pem"

step "3. The model service gives a nonce, which snapd puts into the gadget's configuration"
nonce=$(openssl rand -hex 32)
snapctl set -s "registration.request-id=$nonce"
echo "$nonce"

step "4. snapd runs the hook prepare-serial-request: it signs the nonce and sets the body of the request"
prepare-serial-request
snapctl get registration.body

# Checks the signature in the body with openssl, over the bytes of the nonce.
verify() {
    snapctl get registration.body.request-id-signature | base64 -d > "$work/signature"
    printf %s "$nonce" | openssl dgst -sha256 -verify "$work/key.pem" -signature "$work/signature"
}

step "5. openssl checks the signature with the exported key"
verify

step "6. The device is installed anew: the TPM is cleared, the data is gone, and the same identity comes back"
before=$(hardware-identity export --format pem)
tpm2_clear -c p
rm "$SNAP_SAVE_DATA/hardware-identity.json"
prepare-device
if [ "$(hardware-identity export --format pem)" = "$before" ]; then
    echo "The same key as before."
else
    echo "Another key than before: this must never happen." >&2
    exit 1
fi
prepare-serial-request
verify
hardware-identity show --check

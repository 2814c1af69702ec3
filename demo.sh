#!/usr/bin/env bash
# Shows the main task: a device with a software TPM goes from the factory to its serial assertion.
# After a reinstallation it has the same identity. A clone of its disk does not get a serial.
# openssl and the model service check the results.
# Usage: ./demo.sh [--backend tpm|pkcs11|software]     (where the device keeps its key; default: tpm)
set -euo pipefail
cd "$(dirname "$0")"
backend=tpm
if [ "${1-}" = --backend ]; then
    backend=${2-}
    shift $(($# < 2 ? $# : 2))
fi
case $#$backend in
    0tpm | 0pkcs11 | 0software) ;;
    *) echo "usage: $0 [--backend tpm|pkcs11|software]" >&2; exit 2 ;;
esac
demo_only=yes
. ./install-packages.sh

cargo build --release --workspace --bins --locked
. crates/testbed/bench.sh
ln -s "$PWD/target/release" "$work/hooks"
cd "$work"

# Starts a TPM and sets the variables by which hooks, tool and tpm2-tools find it.
use_new_tpm() {
    start_tpm "$1"
    export TCTI=$tcti TPM2TOOLS_TCTI=$tcti
}

# Sets the variables by which snapd tells the programs of a gadget snap their directories. The
# testbed simulates snapd and keeps each device in a directory.
use_device() {
    device=$1
    mkdir -p "$device/snap"
    printf '%s\n' "$settings" >"$device/snap/hardware-identity.toml"
    export SNAP=$work/$1/snap SNAP_SAVE_DATA=$work/$1/save SNAP_COOKIE=$work/$1/state.json
}

# Makes an empty token of SoftHSM in a directory, and lets the module find it.
use_new_token() {
    mkdir "$work/$1"
    printf '%s\n' "directories.tokendir = $work/$1" "objectstore.backend = file" >"$work/$1.conf"
    export SOFTHSM2_CONF=$work/$1.conf
    softhsm2-util --init-token --free --label board --pin 123456 --so-pin 654321
    variables=(--env "SOFTHSM2_CONF=$SOFTHSM2_CONF")
}

# The settings of the gadget, and what hooks need in their environment to reach the key.
variables=()
settings="key-backend = \"$backend\""
if [ "$backend" = pkcs11 ]; then
    (umask 077 && echo 123456 >pin)
    settings+="
[pkcs11]
module = \"/usr/lib/softhsm/libsofthsm2.so\"
token = \"board\"
pin-file = \"$work/pin\""
fi

# Registers the device as snapd does at first boot: prepare-device, device key, request-id,
# prepare-serial-request, serial.
register() {
    run testbed onboard --prepare-device hooks/prepare-device \
        --prepare-serial-request hooks/prepare-serial-request --device-folder "$device" \
        --device-service-url "$service" --model bench/assertions/example-box.model \
        --account-key bench/assertions/serial.account-key --proposed-serial "$1" \
        ${variables[@]+"${variables[@]}"}
}

# Requests a resource of the brand's services as snapd does, with a session for the given serial.
session() {
    run testbed session --device-folder "$1" --serial "$2" --store-url "${service%v1/}" \
        --model bench/assertions/example-box.model
}

# Checks that a command fails for the reason that is given first.
refused() {
    if "${@:2}" 2>refusal; then fail "the device was not refused"; fi
    cat refusal
    grep -qF "[$1]" refusal || fail "the device was refused for another reason than $1"
}

title "Test bench: keys of a brand and an issuer, a model, and a model service"
start_service

title "1. Key generation: snapd runs the hook prepare-device, which creates the key (backend: $backend)"
case $backend in
    tpm) make_certified_tpm tpm; use_new_tpm tpm ;;
    pkcs11) use_new_token token ;;
esac
use_device device
run testbed hook --device-folder "$device" ${variables[@]+"${variables[@]}"} hooks/prepare-device
run hardware-identity show --check

mkdir exports answers
export_arguments=(--issuer-id example-issuer --manufacturer "Example Devices" --hardware-name example-box
    --hardware-id SN-0001 --output exports/SN-0001.json)
if [ "$backend" = tpm ]; then
    title "2. Export on the factory line, with evidence of the TPM"
    run hardware-identity export "${export_arguments[@]}" --with-evidence exports/SN-0001.evidence.json

    title "The issuer's station challenges the TPM, and only the TPM with the exported key can answer"
    run hardware-identity challenge --batch batch --ek-roots tpm-ca/roots --output-dir challenges exports
    run hardware-identity activate challenges/SN-0001.challenge.json --output answers/SN-0001.answer.json

    title "Signature at the issuer's station for the proven key, import into the model service"
    run hardware-identity sign --require-backend tpm --require-proof --batch batch --answers answers \
        --key bench/keys/issuer.pem --ledger station.jsonl --output signed.assert exports
else
    title "2. Export on the factory line; the export names the backend"
    run hardware-identity export "${export_arguments[@]}"
    grep key-backend exports/SN-0001.json

    title "Signature at the issuer's station, import into the model service"
    run hardware-identity sign --require-backend "$backend" --key bench/keys/issuer.pem \
        --ledger station.jsonl --output signed.assert exports
    if grep key-backend signed.assert; then fail "the assertion names the backend"; fi
fi
cut -d, -f5- station.jsonl
run hardware-identity verify --issuer-key bench/assertions/issuer.account-key signed.assert
run model-service import --config bench/model-service.toml signed.assert

title "3. to 5. Nonce, signed request, serial assertion: snapd registers the device"
register SN-0001 >serial
echo
cat serial

title "openssl verifies the signature over the nonce with the exported key"
hardware-identity export --format pem --output key.pem
snapctl get registration.body.request-id-signature | base64 -d >signature
printf %s "$(snapctl get registration.request-id)" |
    openssl dgst -sha256 -verify key.pem -signature signature

if [ "$backend" = tpm ]; then
    title "Reinstallation with a cleared TPM: the device registers with the same identity and serial"
    cp -r "$device" clone
    rm -r "$device"
    run tpm2_clear -c p
else
    title "Reinstallation that keeps ubuntu-save: the device registers with the same identity and serial"
    cp -r "$device" clone
    mv "$device/save" kept-save
    rm -r "$device"
    mkdir "$device"
    mv kept-save "$device/save"
fi
use_device "$device"
register "any other proposal" >serial-again
hardware-identity export --format pem | cmp - key.pem || fail "the key has changed: this must never happen"
grep -E '^(serial|revision|device-key-sha3-384):' serial-again
grep -qx 'serial: SN-0001' serial-again || fail "the serial has changed"

title "6. Session: the device key proves the serial, and the brand's services know the device"
session device serial-again | tee session
grep -qF '"serial":"SN-0001"' session || fail "the session is not for the device"

case $backend in
    tpm)
        title "The disk is cloned into another device: the record shows that this is another TPM"
        use_new_tpm other-tpm
        use_device clone
        refused identity-of-other-tpm register SN-0002

        title "The record is deleted from the clone: it then has its own identity, which was never imported"
        rm "$SNAP_SAVE_DATA/hardware-identity.json"
        refused identity-unknown register SN-0001
        ;;
    pkcs11)
        title "The disk is cloned into another device: its token does not have the key"
        use_new_token other-token
        use_device clone
        refused pkcs11-identity-missing register SN-0002

        title "The record is deleted from the clone: it then has its own identity, which was never imported"
        rm "$SNAP_SAVE_DATA/hardware-identity.json"
        refused identity-unknown register SN-0001
        ;;
    software)
        title "The disk is cloned into another device: nothing stops the clone, because the key is on the disk"
        use_device clone
        register SN-0002 >serial-of-clone
        grep -qx 'serial: SN-0001' serial-of-clone || fail "the clone has another serial"
        title "Done: the device kept its identity; only a TPM or a token protects it from copies"
        exit
        ;;
esac

title "The clone has a copy of the former device key and serial: it gets no session"
refused session-serial-replaced session clone serial

title "Done: the device kept its identity, and no other device could use it"

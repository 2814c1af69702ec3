#!/bin/sh
# The hook prepare-serial-request as a shell script on tpm2-tools, openssl and jq, for a P-256 key: the benchmark's other
# side. It does what the hook does (read the nonce whatever it holds, compare the key with the record, sign, set the body)
# without the hook's settings, retries and error messages.
set -eu
handle=0x81018C00
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

snapctl get -d registration.request-id | jq -ej '."registration.request-id" | strings' > "$work/nonce"

tpm2_readpublic -Q -c $handle -f der -o "$work/key.der" -n "$work/name"
name=$(od -An -v -tx1 "$work/name" | tr -d ' \n')
if [ "$name" != "$(jq -r .name "$SNAP_SAVE_DATA/hardware-identity.json")" ]; then
    echo "prepare-serial-request: another key than the recorded one" >&2
    exit 1
fi

digest=$(base64 -w0 "$work/key.der" | openssl dgst -sha3-384 -binary | basenc -w0 --base64url | tr -d =)
openssl dgst -sha256 -binary -out "$work/digest" "$work/nonce"
tpm2_sign -Q -c $handle -g sha256 -s ecdsa -d -f plain -o "$work/signature" "$work/digest"

snapctl set -t registration.body="$(jq -cn --arg digest "$digest" --arg signature "$(base64 -w0 "$work/signature")" '{
    "hardware-id-key-sha3-384": $digest, "hardware-id-key-sha384": $digest,
    "request-id-signature": $signature, "signature-hash-algorithm": "sha256"}')"

#!/bin/sh
# An external key manager with snapd's protocol, out of openssl. KEY is the PEM file of its one key, named "issuer";
# MECHANISM is RSA-PKCS or OPENPGP; FAULT makes it misbehave.
set -eu
mechanism=${MECHANISM:-RSA-PKCS}
fault=${FAULT:-}

# An OpenPGP signature packet (RFC 4880, section 5.2.3) over stdin, made now.
openpgp() {
    directory=$(mktemp -d)
    trap 'rm -r "$directory"' EXIT
    hashed=0400010a00060502$(printf '%08x' "$(date +%s)")
    { cat; bytes "${hashed}04ff0000000c"; } >"$directory/data"
    openssl dgst -sha512 -sign "$KEY" -out "$directory/signature" "$directory/data"
    tag=$(openssl dgst -sha512 -r "$directory/data" | cut -c 1-4)
    bytes "c2c152${hashed}0000${tag}1000"
    cat "$directory/signature"
}

# RSA over the DigestInfo on stdin, padded as RFC 8017, section 9.2 says. pkeyutl pads and signs only what is as short as
# a digest; the bare private operation is its decryption.
rsa_pkcs() {
    {
        bytes 0001
        head -c 426 /dev/zero | tr '\0' '\377'
        bytes 00
        cat
    } | openssl pkeyutl -decrypt -inkey "$KEY" -pkeyopt rsa_padding_mode:none
}

# The bytes that the hexadecimal digits $1 stand for.
bytes() {
    digits=$1
    while [ -n "$digits" ]; do
        rest=${digits#??}
        # shellcheck disable=SC2059
        printf "\\$(printf '%03o' "0x${digits%"$rest"}")"
        digits=$rest
    done
}

case "$fault:$1" in
    silent-failure:*) exit 4 ;;
    no-features:features) echo 'usage: hsm [--help]'; exit 0 ;;
    no-public-key:get-public-key) echo 'no PUBLIC KEY here'; exit 0 ;;
    fail:sign) printf 'connecting...\nthe \033[31mHSM\033[0m is\ngone.\n' >&2; exit 3 ;;
    hang:sign) exec sleep 1000 ;;
    flood:sign) exec yes ;;
    garbage:sign) echo garbage; exit 0 ;;
    lie:sign) printf '%083d' 0 | MECHANISM=$mechanism FAULT= KEY=$KEY "$0" "$@"; exit ;;
esac

case "$*" in
    features) printf '{"signing": ["%s"], "public-keys": ["%s"]}\n' "$mechanism" "${PUBLIC_KEYS:-DER}" ;;
    key-names) echo '{"key-names": ["issuer"]}' ;;
    "get-public-key -f DER -k issuer") openssl pkey -in "$KEY" -pubout -outform DER ;;
    "sign -m RSA-PKCS -k issuer") rsa_pkcs ;;
    "sign -m OPENPGP -k issuer") openpgp ;;
    *) echo "no such key or operation: $*" >&2; exit 1 ;;
esac

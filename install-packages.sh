# Installs the missing packages for build and tests. This is the only list of packages, with Debian
# 12's names. demo.sh (with demo_only=yes and its backend, for the first part), swtpm-test.sh and the scripts in
# snap/ source this file.

packages=(
    gcc libc6-dev pkg-config libtss2-dev        # for the build: aws-lc is written in C
    libssl-dev                                  # for keys in files
    swtpm tpm2-tools openssl                    # the TPM of the demo, and independent checks
    swtpm-tools gnutls-bin                      # its EK certificates
)
[ "${backend-}" = pkcs11 ] && packages+=(softhsm2)
[ "${demo_only-}" = yes ] || packages+=(
    libtpm2-pkcs11-1                            # another PKCS#11 module, on the software TPM
    softhsm2 opensc gnupg snapd                 # an HSM, and more independent checks
    squashfs-tools                              # to unpack a .snap
    jq                                          # for the benchmark's hook in shell
    debootstrap                                 # a minimal system for the packed gadget
    chromium chromium-driver                    # to test the page of the model service
    postgresql                                  # the other database of the model service
    util-linux                                  # unshare and setpriv, to test full disks and denied access
    haproxy                                     # to test the packaged configuration of the model service
    strace                                      # to see that record and export are flushed to the disk
)

# npm gets axe-core for the tests of the page. Node.js from elsewhere has it, Debian's needs a package.
[ "${demo_only-}" = yes ] || command -v npm >/dev/null || packages+=(npm)

missing=()
for package in "${packages[@]}"; do
    dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
    echo "Installing missing packages with apt-get: ${missing[*]}"
    as_root=()
    [ "$(id -u)" = 0 ] || as_root=(sudo)
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}"
fi
if ! command -v cargo >/dev/null; then
    echo "cargo is missing: install Rust from https://rustup.rs and run this again" >&2
    exit 1
fi

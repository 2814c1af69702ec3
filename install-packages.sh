# Installs what the build and the tests need and this machine lacks. Sourced by demo.sh, which needs the first part, by swtpm-test.sh
# and by the scripts in snap/; the only list of packages, by Debian 12's names.

packages=(
    gcc libc6-dev pkg-config libtss2-dev        # to build: aws-lc has C in it
    swtpm tpm2-tools openssl                    # the demo's TPM, and the outsiders that use and check it
)
[ "${demo_only-}" = yes ] || packages+=(
    softhsm2 opensc gnupg snapd                 # an HSM, and further outsiders that check our work
    squashfs-tools                              # what unpacks a .snap
    jq                                          # what a hook written as a shell script needs, for the benchmark
    debootstrap                                 # a bare root to try the packed gadget in
    chromium chromium-driver                    # the browser that the model service's page is tried in
    util-linux                                  # unshare and setpriv, for disks that are full and users that may not
    strace                                      # shows that record and export are flushed to the disk
)

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

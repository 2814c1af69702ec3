#!/usr/bin/env bash
# Packs the example gadget without snapcraft: the same files, from a cargo build and the packages of
# this system (Debian 12, Ubuntu). Equal sources and packages give equal bytes. The last line on
# stdout is the path of the .snap.
# Usage: snap/pack.sh [OUTPUT-DIR]          (default: target/snap)
# Example: snap=$(snap/pack.sh | tail -n 1)
set -euo pipefail
output=$(realpath -m "${1:-$(dirname "$0")/../target/snap}")
cd "$(dirname "$0")/.."
. ./install-packages.sh >&2

architecture=$(dpkg --print-architecture)
triplet=$(gcc -print-multiarch)
hooks=(configure install-device prepare-device prepare-serial-request)
tctis=(device mssim swtpm)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prime=$work/prime
mkdir -p "$prime/meta/hooks" "$prime/bin" "$prime/usr/lib/$triplet"

# The programs, and the files that snapd reads. snap.yaml is the part of snapcraft.yaml that is not
# specific to snapcraft.
programs() {
    cargo build --release -p hardware-identity-cli --bins --locked >&2
    # Apart from the tool, which has all key backends: the example's hooks have that of the TPM.
    cargo build --release -p hardware-identity --bins --locked >&2
    install -m 755 "${hooks[@]/#/target/release/}" "$prime/meta/hooks"
    install -m 755 target/release/hardware-identity "$prime/bin"
    { sed '/^platforms:/,$d' snap/snapcraft.yaml; echo "architectures: [$architecture]"; } >"$prime/meta/snap.yaml"
    install -m 644 snap/gadget.yaml "$prime/meta"
    install -m 644 snap/hardware-identity.toml "$prime"
}

# The libraries that the programs and TCTIs need, except those of the C library and gcc, which each
# base has; with their licences.
libraries() {
    local tcti_files=("${tctis[@]/#//usr/lib/$triplet/libtss2-tcti-}")
    tcti_files=("${tcti_files[@]/%/.so.0}")
    {
        printf '%s\n' "${tcti_files[@]}"
        ldd "$prime"/meta/hooks/* "$prime/bin/hardware-identity" "${tcti_files[@]}" | awk '$2 == "=>" {print $3}'
    } | sort -u | grep -Ev '/(libc|libm|libdl|libpthread|librt|libgcc_s)\.so' | while read -r library; do
        install -m 644 "$library" "$prime/usr/lib/$triplet"
        local package
        package=$(dpkg-query -S "$(realpath "$library")" | cut -d: -f1)
        install -D -m 644 "/usr/share/doc/$package/copyright" "$prime/usr/share/doc/$package/copyright"
    done
}

# The packages are unpacked, not installed: installation would change how this machine boots.
boot_assets() {
    mkdir "$work/packages" "$work/boot"
    local packages=("grub-efi-$architecture-signed" shim-signed)
    download() { (cd "$work/packages" && apt-get -qq -o APT::Sandbox::User=root download "${packages[@]}") >&2; }
    download || { apt-get -qq update >&2 && download; }
    for package in "$work"/packages/*.deb; do dpkg-deb -x "$package" "$work/boot"; done
    snap/boot-assets.sh "$work/boot" "$architecture"
    mv "$work"/boot/{shim.efi,grub.efi,grub.conf} "$prime"
}

programs
libraries
boot_assets
# Fixed times, so that the bytes are reproducible.
export SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)}"
find "$prime" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
mkdir -p "$output"
snap pack --filename=example-gadget.snap "$prime" "$work" >&2
mv "$work/example-gadget.snap" "$output/"
echo "$output/example-gadget.snap"

#!/bin/sh
# Selects the boot assets from the unpacked packages grub-efi-*-signed and shim-signed of Debian or
# Ubuntu.
# Usage: boot-assets.sh DIRECTORY ARCHITECTURE
# Example: boot-assets.sh boot amd64
set -eu
directory=$1
case $2 in
    amd64) machine=x86_64 suffix=x64 ;;
    arm64) machine=arm64 suffix=aa64 ;;
    *) echo "boot-assets.sh: the architecture $2 is not supported. Give amd64 or arm64" >&2; exit 1 ;;
esac

# Prints the first file that exists.
pick() {
    for file; do
        if [ -f "$directory/$file" ]; then echo "$directory/$file"; return; fi
    done
    echo "boot-assets.sh: $directory contains none of $*. Unpack grub-efi-*-signed and shim-signed there" >&2
    exit 1
}

shim=$(pick "usr/lib/shim/shim$suffix.efi.dualsigned" "usr/lib/shim/shim$suffix.efi.signed.latest" \
    "usr/lib/shim/shim$suffix.efi.signed")
grub=$(pick "usr/lib/grub/$machine-efi-signed/grub$suffix.efi.signed")
install -m 644 "$shim" "$directory/shim.efi"
install -m 644 "$grub" "$directory/grub.efi"
# An empty file, by which snapd detects the bootloader.
install -m 644 /dev/null "$directory/grub.conf"

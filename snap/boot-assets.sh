#!/bin/sh
# Picks the boot assets out of the unpacked packages grub-efi-*-signed and shim-signed, for Debian's and Ubuntu's names.
# Usage: boot-assets.sh FOLDER ARCHITECTURE
set -eu
folder=$1
case $2 in
    amd64) machine=x86_64 suffix=x64 ;;
    arm64) machine=arm64 suffix=aa64 ;;
    *) echo "boot-assets.sh: no UEFI boot assets are known for $2. Name amd64 or arm64" >&2; exit 1 ;;
esac

# The first of the files that is there.
pick() {
    for file; do
        if [ -f "$folder/$file" ]; then echo "$folder/$file"; return; fi
    done
    echo "boot-assets.sh: none of these is in $folder: $*. Unpack grub-efi-*-signed and shim-signed there" >&2
    exit 1
}

shim=$(pick "usr/lib/shim/shim$suffix.efi.dualsigned" "usr/lib/shim/shim$suffix.efi.signed.latest" \
    "usr/lib/shim/shim$suffix.efi.signed")
grub=$(pick "usr/lib/grub/$machine-efi-signed/grub$suffix.efi.signed")
install -m 644 "$shim" "$folder/shim.efi"
install -m 644 "$grub" "$folder/grub.efi"
# An empty file by which snapd knows the bootloader.
install -m 644 /dev/null "$folder/grub.conf"

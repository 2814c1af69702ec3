#!/bin/sh
# Runs "$HOOK" in a mount namespace of its own, in which a volume with the label FACTORY is mounted at "$VOLUME": a tmpfs with the
# mount options $OPTIONS, which is found by the numbers of its device, or, where only root could make that, by its name
# (KNOWN_BY=name). $MISHAP is evaluated when all that is there. $CONSOLE, if set, is /dev/console. In the end "$LEFT" holds what
# is on the volume.
set -e
if [ "${1-}" != inside ]; then
    [ "$(id -u)" = 0 ] || export user=--map-root-user KNOWN_BY=name
    exec unshare ${user-} --mount sh "$0" inside
fi

mount -t tmpfs tmpfs "$WORK"
mkdir -p "$WORK/dev/disk/by-label" "$VOLUME"
touch "$WORK/dev/null"
mount --bind /dev/null "$WORK/dev/null"
if [ -n "${CONSOLE-}" ]; then
    touch "$WORK/dev/console"
    mount --bind "$CONSOLE" "$WORK/dev/console"
fi
mount --rbind "$WORK/dev" /dev

if [ "${KNOWN_BY-}" = name ]; then
    mkfifo /dev/stick # mount(8) would take a plain file for an image
    mount -t tmpfs -o "${OPTIONS:-rw}" /dev/stick "$VOLUME"
else
    mount -t tmpfs -o "${OPTIONS:-rw}" none "$VOLUME"
    numbers=$(mountpoint -d "$VOLUME")
    mknod /dev/stick b "${numbers%:*}" "${numbers#*:}"
fi
ln -s ../../stick /dev/disk/by-label/FACTORY
eval "${MISHAP-}"
status=0
"$HOOK" || status=$?
[ ! -d "$VOLUME" ] || cp -a "$VOLUME/." "$LEFT"
exit "$status"

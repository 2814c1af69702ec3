#!/bin/sh
# Runs "$HOOK" in its own mount namespace, in which a volume with the label FACTORY is mounted at
# "$VOLUME". The volume is a tmpfs with the mount options $OPTIONS. It is found by its device numbers
# or, since only root can make that possible, by its name (KNOWN_BY=name). The command $FAULT runs
# before the hook. $CONSOLE, if set, becomes /dev/console. At the end, "$COPY" gets the volume's files.
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
    mkfifo /dev/stick # mount(8) takes a regular file for an image
    mount -t tmpfs -o "${OPTIONS:-rw}" /dev/stick "$VOLUME"
else
    mount -t tmpfs -o "${OPTIONS:-rw}" none "$VOLUME"
    numbers=$(mountpoint -d "$VOLUME")
    mknod /dev/stick b "${numbers%:*}" "${numbers#*:}"
fi
ln -s ../../stick /dev/disk/by-label/FACTORY
eval "${FAULT-}"
status=0
"$HOOK" || status=$?
[ ! -d "$VOLUME" ] || cp -a "$VOLUME/." "$COPY"
exit "$status"

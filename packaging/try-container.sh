#!/bin/sh
# Builds the Containerfile without a registry, and serves in the container with the options that its
# comment has. debootstrap makes the Debian image. The Rust image has no compiler here: its `cargo`
# copies a program that was built before.
#
#   cargo build --package model-service && packaging/try-container.sh [PROGRAM]
#
# Needs root, Debian's buildah, podman, runc and debootstrap, and the network for Debian's packages.
set -eu
cd "$(dirname "$0")/.."
program=$(realpath "${1:-target/debug/model-service}")
work=$(mktemp -d)
in_store() {
    tool=$1
    shift
    command "$tool" --root "$work/storage" --runroot "$work/run" --storage-driver vfs "$@"
}
podman() {
    in_store podman --cgroup-manager cgroupfs --runtime runc "$@"
}
trap 'podman rm --all --force >/dev/null || true; rm -rf "$work"' EXIT

debootstrap --variant=minbase trixie "$work/debian" >"$work/log"
strip -o "$work/program" "$program"
cat >"$work/cargo" <<'END'
#!/bin/sh
set -e
test "$*" = "build --release --locked --package model-service"
test -f Cargo.lock -a -f crates/model-service/Cargo.toml
mkdir -p target/release
cp /program target/release/model-service
END
chmod 755 "$work/cargo"
image=$(in_store buildah from scratch)
in_store buildah add --quiet "$image" "$work/debian" / >>"$work/log"
in_store buildah commit --quiet "$image" docker.io/library/debian:trixie-slim >>"$work/log"
in_store buildah copy --quiet "$image" "$work/cargo" /usr/local/bin/cargo >>"$work/log"
in_store buildah copy --quiet "$image" "$work/program" /program >>"$work/log"
in_store buildah commit --quiet "$image" docker.io/library/rust:1.95-trixie >>"$work/log"
in_store buildah build --quiet --isolation chroot --network host --pull-never \
    --file packaging/Containerfile --tag model-service . >>"$work/log"

"$program" init "$work/settings" >>"$work/log"
rm "$work"/settings/model-service.*sqlite "$work/settings/model-service.lock"
sed -i -e 's|^listen = .*|listen = "127.0.0.1:0"|' \
    -e 's|^database = .*|database = "/var/lib/model-service/model-service.sqlite"|' \
    "$work/settings/model-service.toml"
chown -R 65532:65532 "$work/settings"
run() {
    # A root without CAP_SYS_RESOURCE cannot raise limits, and this one may be in a container.
    podman run --ulimit nofile=16384:16384 --ulimit nproc=4096:4096 --network host --read-only --cap-drop=all \
        -v "$work/settings:/etc/model-service:ro" -v model-service:/var/lib/model-service "$@"
}
for command in init-store check; do
    run --rm model-service "$command" --config /etc/model-service/model-service.toml
done
run --detach --name served model-service >>"$work/log"
until url=$(podman logs served 2>&1 | sed -n 's/^listening on //p') && test -n "$url"; do
    test "$(podman inspect served --format '{{.State.Running}}')" = true
done
curl --fail --silent --show-error --request POST "${url}v1/request-id"
echo
curl --fail --silent --show-error "${url}ready"
podman stop served >>"$work/log"
test "$(podman inspect served --format '{{.State.ExitCode}}')" = 0
echo "the container served, and stopped with status 0"

#!/usr/bin/env bash
# Runs every test, on software TPMs. With --full the long campaigns (kills, races) run at their whole length.
set -euo pipefail
cd "$(dirname "$0")"
. ./install-packages.sh

case "${1-}" in
    "") ;;
    --full) export CAMPAIGN=full ;;
    *) echo "usage: $0 [--full]" >&2; exit 2 ;;
esac

# The tests run programs of every package.
cargo build --workspace --locked
cargo test --workspace --locked
# Size and memory have limits that only the release build can be held to.
cargo build --release --workspace --bins --examples --locked
ROUNDS=${ROUNDS:-20} cargo bench --workspace --locked --bench hooks
./demo.sh
# The packed gadget's own files, where no library but theirs is to be found.
snap/try-in-bare-root.sh "$(snap/pack.sh | tail -n 1)"

#!/usr/bin/env bash
# Runs all tests, on software TPMs. With --full, the long campaigns (kills, races) run in full
# length.
set -euo pipefail
cd "$(dirname "$0")"
. ./install-packages.sh

case "${1-}" in
    "") ;;
    --full) export CAMPAIGN=full ;;
    *) echo "usage: $0 [--full]" >&2; exit 2 ;;
esac

# The tests run programs of all packages.
cargo build --workspace --locked
cargo test --workspace --locked
# The limits for size and memory apply to the release build.
cargo build --release --workspace --bins --examples --locked
ROUNDS=${ROUNDS:-20} cargo bench --workspace --locked --bench hooks
./demo.sh
# Runs the files of the packed gadget in a system without other libraries.
snap/try-in-bare-root.sh "$(snap/pack.sh | tail -n 1)"

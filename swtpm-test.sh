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
# The tests of the service again, on PostgreSQL; without those that are about SQLite's files.
on_postgres=()
for test in crates/model-service/tests/*.rs; do
    name=$(basename "$test" .rs)
    case $name in
        backup | ledger | readiness | store) ;;
        # These have run on PostgreSQL above.
        migrate_store | postgres | replicas) ;;
        *) on_postgres+=(--test "$name") ;;
    esac
done
MODEL_SERVICE_TEST_STORE=postgres cargo test -p model-service --locked --lib "${on_postgres[@]}"
# The limits for size and memory apply to the release build.
cargo build --release --workspace --bins --examples --locked
ROUNDS=${ROUNDS:-20} cargo bench --workspace --locked --bench hooks
# Hooks for a TPM alone have a lower limit.
ROUNDS=1 cargo bench -p hardware-identity --locked --bench hooks
# Hooks for a device without a TPM need no tpm2-tss.
cargo check -p hardware-identity --locked --bins --no-default-features --features pkcs11,software
for backend in tpm pkcs11 software; do ./demo.sh --backend "$backend"; done
# Runs the files of the packed gadget in a system without other libraries.
snap/try-in-bare-root.sh "$(snap/pack.sh | tail -n 1)"

# A test bench for scripts that source this file: functions that start software TPMs and a model
# service in the temporary directory $work. All are removed when the script exits. The script must
# build the programs in target/release first.

title() { printf '\n== %s\n\n' "$*"; }
run() { printf '$ %s\n' "$*" >&2; "$@"; }
fail() { echo "$(basename "$0"): $*" >&2; exit 1; }

export PATH="$PWD/target/release:$PATH" RUST_LOG=warn
work=$(mktemp -d)
finish() {
    for pid in "$work"/*.pid; do kill "$(cat "$pid")" || true; done 2>/dev/null
    rm -rf "$work"
}
trap finish EXIT

# Makes the state of a software TPM whose endorsement keys the CA in $work/tpm-ca certifies. Call
# start_tpm with the same name afterwards.
make_certified_tpm() {
    local ca=$work/tpm-ca
    mkdir -p "$ca/roots" "$work/$1"
    printf '%s\n' "create_certs_tool = swtpm_localca" "create_certs_tool_config = $ca/localca.conf" \
        "create_certs_tool_options = $ca/options" "active_pcr_banks = sha256" >"$ca/setup.conf"
    printf '%s\n' "statedir = $ca" "signingkey = $ca/key.pem" "issuercert = $ca/roots/issuer.pem" \
        "certserial = $ca/serial" >"$ca/localca.conf"
    printf '%s\n' "--platform-manufacturer Example" "--platform-version 1" "--platform-model Box" >"$ca/options"
    swtpm_setup --tpm2 --create-ek-cert --lock-nvram --vmid "$1" --config "$ca/setup.conf" \
        --tpmstate "$work/$1" >"$work/swtpm_setup.log" || fail "no certificates: $(cat "$work/swtpm_setup.log")"
    cp "$ca/swtpm-localca-rootca-cert.pem" "$ca/roots/root.pem"
}

# Starts a software TPM with its own name, on the first two consecutive free ports. Sets $tcti.
port=20000
start_tpm() {
    mkdir -p "$work/$1"
    until swtpm socket --tpm2 --daemon --tpmstate "dir=$work/$1" --pid "file=$work/$1.pid" \
        --flags not-need-init,startup-clear \
        --server "type=tcp,port=$port" --ctrl "type=tcp,port=$((port + 1))" 2>"$work/swtpm.log"; do
        port=$((port + 2))
        [ "$port" -lt 20200 ] || fail "cannot start a software TPM: $(cat "$work/swtpm.log")"
    done
    tcti=swtpm:host=127.0.0.1,port=$port
}

# Creates the keys of a bench in $work/bench and starts the model service on a free port. Sets
# $service, the address for devices.
start_service() {
    run model-service init "$work/bench"
    sed -i 's/127.0.0.1:8650/127.0.0.1:0/' "$work/bench/model-service.toml"
    mkfifo "$work/address"
    model-service serve --config "$work/bench/model-service.toml" >"$work/address" &
    echo $! >"$work/service.pid"
    local line
    read -r line <"$work/address" || fail "the model service did not start"
    service=${line#listening on }v1/
    echo "$line"
}

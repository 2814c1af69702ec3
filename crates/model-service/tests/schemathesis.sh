#!/bin/bash
# Checks the OpenAPI document of a served bench with openapi-spec-validator, and the answers with
# schemathesis: no 500, and nothing that the document does not have. Both come from PyPI.
#
#   crates/model-service/tests/schemathesis.sh [SECONDS]      # 600 seconds by default
#
# Needs python3-venv, openssl, curl and the program in target/debug.
set -euo pipefail

seconds=${1:-600}
root=$(cd "$(dirname "$0")/../../.." && pwd)
program=${CARGO_TARGET_DIR:-$root/target}/debug/model-service
work=$(mktemp -d)
service=
finish() {
    [ -z "$service" ] || kill "$service" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet openapi-spec-validator schemathesis

"$program" init "$work/bench" >/dev/null
(umask 077 && openssl rand -hex 32 >"$work/bench/secrets/admin")
settings=$work/bench/model-service.toml
sed -i -e 's/^listen = .*/listen = "127.0.0.1:0"/' \
    -e '0,/^\[\[model\]\]/s//[[token]]\nname = "schemathesis"\nrole = "admin"\nfile = "secrets\/admin"\n\n&/' "$settings"
RUST_LOG=warn "$program" serve --config "$settings" >"$work/out" 2>"$work/log" &
service=$!
until grep -q '^listening on ' "$work/out"; do
    kill -0 "$service" || { cat "$work/log" >&2; exit 1; }
    sleep 0.1
done
url=$(sed -n 's/^listening on //p' "$work/out")

curl -sf "${url}openapi.json" >"$work/openapi.json"
"$work/venv/bin/openapi-spec-validator" "$work/openapi.json"

# Assertions are text.
cat >"$work/hooks.py" <<'PYTHON'
import schemathesis


@schemathesis.serializer("application/x.ubuntu.assertion")
def assertion(context, value):
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")
PYTHON
checks=not_a_server_error,status_code_conformance,content_type_conformance
checks+=,response_headers_conformance,response_schema_conformance,unsupported_method
cd "$work"
SCHEMATHESIS_HOOKS=hooks "$work/venv/bin/schemathesis" run "${url}openapi.json" \
    --header "Authorization: Bearer $(cat "$work/bench/secrets/admin")" \
    --checks "$checks" --max-time "$seconds"

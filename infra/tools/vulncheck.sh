#!/usr/bin/env bash
# Runs govulncheck against a database and says how old the database is.
#   infra/tools/vulncheck.sh GOVULNCHECK DATABASE
# A database that cannot be read is said loudly and is a failure only with LAPSEGUARD_STRICT=1, so that
# `make test` can be used on a train. A vulnerability is always a failure.
set -euo pipefail
govulncheck=$1 db=$2
out=$(mktemp)
trap 'rm -f "$out"' EXIT

status=0
"$govulncheck" -db "$db" ./... >"$out" 2>&1 || status=$?
if [ "$status" -ne 0 ] && grep -qE 'fetching vulnerabilities|could not read|no such host' "$out"; then
  printf '%s\n' '********************************************************************' \
    "* VULNERABILITY CHECK NOT RUN: no database at $db" \
    '* With a copy at hand: make vulncheck VULNDB=file:///path' \
    '********************************************************************' >&2
  tail -1 "$out" >&2
  [ "${LAPSEGUARD_STRICT:-}" != 1 ] || exit 1
  exit 0
fi
cat "$out"
[ "$status" -eq 0 ] || exit "$status"

# A copy knows nothing newer than itself.
case $db in
file://*)
  newest=$(grep -rhoE '"modified": ?"[0-9-]{10}' "${db#file://}" | grep -oE '[0-9-]{10}$' | sort | tail -1 || true)
  echo "database: $db, newest entry of ${newest:-unknown date}"
  ;;
*) echo "database: $db" ;;
esac

#!/usr/bin/env bash
# Runs govulncheck against a database and says how old the database is.
#   infra/tools/vulncheck.sh GOVULNCHECK DATABASE PACKAGE...
# A database that cannot be read is said loudly and is a failure only with LAPSEGUARD_STRICT=1, so that
# `make test` can be used on a train. A vulnerability is always a failure.
set -euo pipefail
govulncheck=$1 db=$2
out=$(mktemp)
trap 'rm -f "$out"' EXIT

status=0
"$govulncheck" -db "$db" "${@:3}" >"$out" 2>&1 || status=$?
# 3 is "found something"; a finding's text must not be taken for a database out of reach.
if [ "$status" -ne 0 ] && [ "$status" -ne 3 ] && grep -qE 'fetching vulnerabilities|could not read|no such host' "$out"; then
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

# A copy knows nothing newer than itself. Its dates may be blank, so the highest number says how old it is.
case $db in
file://*)
  newest=$(grep -rhoE '"id": ?"GO-[0-9]{4}-[0-9]+' "${db#file://}" | grep -oE 'GO-.*' | sort -V | tail -1 || true)
  echo "database: $db, newest entry ${newest:-unknown}"
  ;;
*) echo "database: $db" ;;
esac

#!/usr/bin/env bash
# Run every fuzz target of the repository for a while, one after the other: fuzz.sh TIME [NAME]. TIME is a duration
# (30s, 10m) or a number of executions (100000x); NAME a regular expression over "package Target". A finding is written
# to the package's testdata/fuzz, where the plain tests find it again; the first one ends the run.
set -euo pipefail
cd "$(dirname "$0")/../.."
time=$1 only=${2:-.}

# The targets are found in the text: listing them by `go test -list` would build every package's tests.
targets=$(grep -rHoE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' functions shared infra |
  sed -E 's#^(.*)/[^/]+:func (.*)$#./\1 \2#' | sort)
targets=$(grep -E -- "$only" <<<"$targets") || { echo "fuzz: no target is named like $only" >&2; exit 2; }

# No target asks an emulator; without this, some packages would start one for each.
export LAPSEGUARD_NO_EMULATORS=1
unset LAPSEGUARD_STRICT

log=$(mktemp)
trap 'rm -f "$log"' EXIT
n=0
while read -r package target; do
  start=$SECONDS
  # One worker: the machine may have other work, and a finding is the same.
  if ! go test -run='^$' -fuzz="^$target\$" -fuzztime="$time" -parallel=1 "$package" >"$log" 2>&1; then
    cat "$log" >&2
    echo "fuzz: $package $target FAILED" >&2
    exit 1
  fi
  executions=$(sed -nE 's/.*execs: ([0-9]+).*/\1/p' "$log" | tail -n 1)
  printf '    %-36s %-32s %10s executions, %d s\n' "$package" "$target" "${executions:-0}" $((SECONDS - start))
  n=$((n + 1))
done <<<"$targets"
printf '    %d targets, no finding\n' "$n"

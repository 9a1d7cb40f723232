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
# Before Go 1.27 the go command now and then takes the end of its own time for a failure. A finding, a crash and a
# hang say more than this one line.
ended() {
  grep -q '^    context deadline exceeded$' "$log" &&
    [ "$(sed -E '/^(fuzz: |warning: starting with empty corpus$|--- FAIL: |    context deadline exceeded$|FAIL|exit status 1$)/d' "$log" | wc -w)" -eq 0 ]
}
trap 'rm -f "$log"' EXIT
n=0
while read -r package target; do
  start=$SECONDS
  # One worker: the machine may have other work, and a finding is the same.
  if ! go test -run='^$' -fuzz="^$target\$" -fuzztime="$time" -parallel=1 "$package" >"$log" 2>&1 && ! ended; then
    cat "$log" >&2
    echo "fuzz: $package $target FAILED" >&2
    exit 1
  fi
  executions=$(sed -nE 's/.*execs: ([0-9]+).*/\1/p' "$log" | tail -n 1)
  # A corpus that was found before is gone through first; a short time may go by with that alone.
  done="$executions executions,"
  [ "${executions:-0}" -gt 0 ] || done="its corpus alone,"
  printf '    %-36s %-32s %-24s %d s\n' "$package" "$target" "$done" $((SECONDS - start))
  n=$((n + 1))
done <<<"$targets"
printf '    %d targets, no finding\n' "$n"

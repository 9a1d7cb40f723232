#!/usr/bin/env bash
# Runs `sam build` twice from nothing and compares: the same source must give the same bytes, and
# binaries that need no libc.
#   infra/template/build-twice.sh SAM
set -euo pipefail
cd "$(dirname "$0")/../.."
sam=$1
export AWS_DEFAULT_REGION=eu-west-1 SAM_CLI_TELEMETRY=0
sums=$(mktemp -d)
trap 'rm -rf "$sums"' EXIT

for n in 1 2; do
  rm -rf .aws-sam
  "$sam" build >"$sums/log" 2>&1 || { cat "$sums/log" >&2; exit 1; }
  sha256sum .aws-sam/build/*Function/bootstrap >"$sums/$n"
done
cmp "$sums/1" "$sums/2" || { echo 'two builds of the same source differ' >&2; exit 1; }
for f in .aws-sam/build/*Function/bootstrap; do
  # Where ./functions/X is no main package, go build writes an archive and is content.
  facts=$(go version -m "$f") || { echo "$f is no Go program" >&2; exit 1; }
  grep -q 'CGO_ENABLED=0' <<<"$facts" || { echo "$f needs a libc" >&2; exit 1; }
  grep -q 'GOOS=linux' <<<"$facts" || { echo "$f is not for Linux" >&2; exit 1; }
  printf '%s %s %d bytes\n' "$(sha256sum "$f")" "$(grep -o 'GOARCH=.*' <<<"$facts")" "$(wc -c <"$f")"
done
echo 'two builds gave the same bytes; the programs are static'

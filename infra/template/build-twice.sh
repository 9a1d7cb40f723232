#!/usr/bin/env bash
# Runs `sam build` twice from nothing and compares: the same source must give the same bytes, and
# binaries that need no libc. What is uploaded, each binary zipped, must have at most 5 MB.
#   infra/template/build-twice.sh SAM
set -euo pipefail
cd "$(dirname "$0")/../.."
sam=$1
limit=5000000 # bytes
zipped() { # bytes of a file in a zip, as `sam package` makes it
  python3 - "$1" <<'python'
import io, sys, zipfile
out = io.BytesIO()
with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
    z.write(sys.argv[1], "bootstrap")
print(len(out.getvalue()))
python
}
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
  size=$(zipped "$f")
  [ "$size" -le "$limit" ] || { echo "$f zipped has $size bytes, more than $limit" >&2; exit 1; }
  printf '%s %s %d bytes, zipped %d\n' "$(sha256sum "$f")" "$(grep -o 'GOARCH=.*' <<<"$facts")" "$(wc -c <"$f")" "$size"
done
echo "two builds gave the same bytes; the programs are static; each has at most $limit bytes zipped"

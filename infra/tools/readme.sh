#!/usr/bin/env bash
# Takes every command out of README.md and runs it in a fresh clone of what is committed, in the page's order. A block
# under the comment "not run: WHY" is listed instead. usage: readme.sh [FOLDER]: the clone is kept there.
set -euo pipefail
cd "$(dirname "$0")/../.."
clone=${1:-$(mktemp -d)}
[ $# -gt 0 ] || trap 'rm -rf "$clone"' EXIT
git clone -q --no-hardlinks . "$clone"
[ ! -d .tools ] || ln -s "$PWD/.tools" "$clone/.tools"
cp README.md "$clone/README.md" # an edit that is not committed is checked too
cd "$clone"
printf 'email,verified_at\nsomebody@one.test,2026-03-01 12:00:00+00\nelse@two.invalid,\n' >addresses.csv # reserved names: nobody is asked

# A line is COMMAND, or "- WHY<tab>COMMAND".
commands=$(awk '
  /^```/ { fenced = !fenced; next }
  /^<!-- not run: .* -->$/ { why = $0; sub(/^<!-- not run: /, "", why); sub(/ -->$/, "", why); next }
  /^    / && !fenced && !list { sub(/^    /, ""); sub(/ +#.*$/, ""); print (why != "" ? "- " why "\t" : "") $0; used = 1; next }
  /^$/ { if (used) { why = ""; used = 0 }; list = 0; next }
  { why = ""; list = /^[-*0-9]/ }
' README.md)
[ -n "$commands" ] || { echo 'README.md has no command' >&2; exit 1; }
ran=0 listed=0
while IFS= read -r line; do
  if [[ $line == '- '* ]]; then
    printf 'not run (%s): %s\n' "${line%%$'\t'*}" "${line#*$'\t'}" | sed 's/(- /(/'
    listed=$((listed + 1))
    continue
  fi
  printf '==> %s\n' "$line"
  bash -euo pipefail -c "$line" >"$clone/.out" 2>&1 </dev/null || { echo "exit $?: $line" >&2; tail -n 30 "$clone/.out" >&2; exit 1; }
  ran=$((ran + 1))
done <<<"$commands"
printf 'README: %d commands ran in a fresh clone, %d are marked\n' "$ran" "$listed"
[ "$ran" -ge 8 ] || { echo 'fewer than eight commands ran: are they found?' >&2; exit 1; }

#!/usr/bin/env bash
# The playground: emulators, reference registry and simulated internet that stay, for `sam local invoke` by hand.
#   infra/samlocal/playground.sh up|look|down
set -euo pipefail
cd "$(dirname "$0")/../.."
dir=$PWD/.lapseguard/local
alive() { [ -e "$dir/pid" ] && kill -0 "$(cat "$dir/pid")" 2>/dev/null; }

# await FILE SECONDS: until the playground wrote it.
await() {
  for ((i = 0; i < $2 * 5; i++)); do
    [ ! -e "$dir/$1" ] || return 0
    alive || { echo "the playground ended; the end of $dir/log:" >&2; tail -n 25 "$dir/log" >&2; exit 1; }
    sleep 0.2
  done
  echo "no answer within $2 seconds; see $dir/log" >&2
  exit 1
}

case ${1:-} in
up)
  if ! alive; then
    rm -rf "$dir"
    mkdir -p "$dir"
    echo 'building the functions and starting emulators, registry and internet (a minute or two) ...' >&2
    LAPSEGUARD_SAM=1 LAPSEGUARD_PLAYGROUND="$dir" nohup go test -count=1 -timeout=0 -run='^TestPlayground$' -v ./infra/samlocal >"$dir/log" 2>&1 </dev/null &
    echo $! >"$dir/pid"
  fi
  await ready 900
  cat "$dir/ready"
  ;;
look)
  alive || { echo 'nothing runs: make local-up' >&2; exit 1; }
  rm -f "$dir/looked"
  touch "$dir/look"
  await looked 60
  cat "$dir/looked"
  ;;
down)
  alive || { echo 'nothing runs' >&2; exit 0; }
  touch "$dir/stop"
  for ((i = 0; i < 300; i++)); do
    alive || { echo 'ended'; exit 0; }
    sleep 0.2
  done
  echo "it does not end; see $dir/log" >&2
  exit 1
  ;;
*)
  echo 'usage: playground.sh up|look|down' >&2
  exit 2
  ;;
esac

